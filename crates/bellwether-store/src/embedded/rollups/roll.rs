//! Computing roll-ups from the blocks of a day file.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension};

use super::entry::WithPhases;
use super::put::{Place, Sums};
use super::{DAYS_DONE, Table};
use crate::StoreError;
use crate::codec::block;
use crate::codec::row::Row;
use crate::embedded::Embedded;
use crate::embedded::day::{DayFile, SeriesRow, block_id, block_of, hour_crc, hour_of};
use crate::embedded::names::Word;

/// Series written in one transaction: readers see whole ones, and the log stays short.
const SERIES_PER_TRANSACTION: usize = 2000;

impl Embedded {
    /// Computes the roll-ups of a file that are not computed from what it holds now. Whether all
    /// are.
    pub(crate) fn roll(&self, file: &DayFile) -> Result<(), StoreError> {
        let manifest = self.manifest(file)?;
        let done = self.rollups.done(i64::from(file.day))?;
        let due: Vec<(i64, u32)> = manifest
            .iter()
            .filter(|(hour, sum)| done.get(hour) != Some(sum))
            .map(|(&hour, &sum)| (hour, sum))
            .collect();
        let all = manifest.values().fold(0, |all, sum| all ^ sum);
        let days_due = file.is_closed() && done.get(&DAYS_DONE) != Some(&all);
        if due.is_empty() && !days_due {
            return Ok(());
        }
        let mut series = HashMap::new();
        {
            let lent = file.readers.begin()?;
            file.each_series(lent.connection(), |row| {
                series.insert(row.id, row);
            })?;
        }
        for (hour, sum) in due {
            self.roll_hour(file, hour, &series)?;
            self.rollups.set_done(i64::from(file.day), hour, sum)?;
        }
        if days_due {
            self.roll_days(file, &series)?;
            self.rollups.set_done(i64::from(file.day), DAYS_DONE, all)?;
        }
        Ok(())
    }

    /// Hours of a file and the checksums of their blocks together.
    pub(super) fn manifest(&self, file: &DayFile) -> Result<BTreeMap<i64, u32>, StoreError> {
        let lent = file.readers.begin()?;
        read_manifest(lent.connection(), file)
    }

    fn roll_hour(
        &self,
        file: &DayFile,
        hour: i64,
        series: &HashMap<u32, SeriesRow>,
    ) -> Result<(), StoreError> {
        let mut after = -1;
        loop {
            let mut sums = Vec::new();
            {
                let lent = file.readers.begin()?;
                let blocks = blocks(lent.connection(), hour, after);
                for (id, data) in blocks.map_err(|error| file.fail(error))? {
                    let (_, of) = block_of(id);
                    after = i64::from(of);
                    match (block::decode(id as u64, &data), series.get(&of)) {
                        (Ok(rows), Some(row)) => {
                            let sum = sum_hours(file, lent.connection(), hour, &rows)?;
                            sums.push((row.name.clone(), sum));
                        }
                        (Err(error), _) => self
                            .note_damage(format!("a block in `{}`: {error}", file.path.display())),
                        (Ok(_), None) => {}
                    }
                }
            }
            if sums.is_empty() {
                return Ok(());
            }
            self.rollups.put_hours(file, hour, &sums)?;
        }
    }

    fn roll_days(
        &self,
        file: &DayFile,
        series: &HashMap<u32, SeriesRow>,
    ) -> Result<(), StoreError> {
        let rows: Vec<&SeriesRow> = series.values().collect();
        for chunk in rows.chunks(SERIES_PER_TRANSACTION) {
            let mut sums = Vec::with_capacity(chunk.len());
            let lent = file.readers.begin()?;
            for row in chunk {
                let mut days = Sums::new();
                for &hour in &row.hours {
                    let id = block_id(hour, row.id);
                    let data: Option<Vec<u8>> = lent
                        .connection()
                        .prepare_cached("SELECT data FROM block WHERE id = ?")
                        .and_then(|mut statement| {
                            statement.query_row([id], |row| row.get(0)).optional()
                        })
                        .map_err(|error| file.fail(error))?;
                    let decoded = data.and_then(|data| block::decode(id as u64, &data).ok());
                    for row in decoded.iter().flatten() {
                        let day = hour_of(row.began()).div_euclid(24);
                        let symptom = symptom(file, lent.connection(), row)?;
                        let sum = days.entry((day, day * 24, day * 24)).or_default();
                        sum.add(row, symptom.as_deref(), WithPhases::Yes);
                    }
                }
                sums.push((row.name.clone(), days));
            }
            drop(lent);
            let place = |name| Place {
                table: Table::Daily,
                source: i64::from(file.day),
                key: None,
                with_phases: WithPhases::Yes,
                name,
            };
            self.rollups.put_all(&sums, place)?;
        }
        Ok(())
    }
}

/// Sums of the runs of a block by the hour.
fn sum_hours(
    file: &DayFile,
    connection: &Connection,
    key: i64,
    rows: &[Row],
) -> Result<Sums, StoreError> {
    let mut sums = Sums::new();
    for rows in rows.chunk_by(|a, b| hour_of(a.began()) == hour_of(b.began())) {
        let hour = hour_of(rows[0].began());
        let sum = sums.entry((hour.div_euclid(24), key, hour)).or_default();
        for row in rows {
            let symptom = symptom(file, connection, row)?;
            sum.add(row, symptom.as_deref(), WithPhases::No);
        }
    }
    Ok(sums)
}

/// Sums of blocks that are just being written, made while their runs are at hand. They are put in
/// place once the blocks are durable; what goes wrong before that is made good by [`Embedded::roll`],
/// because the hour does not count as done.
#[derive(Debug, Default)]
pub(crate) struct Rolled {
    by_key: BTreeMap<i64, Vec<(Vec<u8>, Sums)>>,
    /// Keys whose sums could not be made.
    failed: BTreeSet<i64>,
}

impl Rolled {
    /// Sums the runs of a block.
    pub(crate) fn add(
        &mut self,
        file: &DayFile,
        connection: &Connection,
        key: i64,
        name: &[u8],
        rows: &[Row],
    ) {
        match sum_hours(file, connection, key, rows) {
            Ok(sums) => {
                let all = self.by_key.entry(key).or_default();
                all.push((name.to_vec(), sums));
            }
            Err(error) => {
                tracing::debug!(%error, key, "an hour is rolled up later");
                self.failed.insert(key);
            }
        }
    }
}

/// Hours whose roll-ups are kept up with while they are folded.
#[derive(Debug, Default)]
pub(crate) struct Following {
    /// The manifest before, and the hours that were done then; none if they cannot be read.
    before: Option<(BTreeMap<i64, u32>, HashMap<i64, u32>)>,
    /// Whether the roll-ups of an hour are of all that its blocks hold.
    hours: BTreeMap<i64, bool>,
}

impl Following {
    /// Whether the roll-ups of an hour were of all that its blocks held before: only then can they
    /// be kept so by adding to them.
    fn was_done(&self, key: i64) -> bool {
        let before = self.before.as_ref();
        before.is_some_and(|(manifest, done)| manifest.get(&key) == done.get(&key))
    }
}

// What fails here is told of by `roll`, which comes after and finds the hour not done.
impl Embedded {
    /// Begins to follow the folding of a file.
    pub(crate) fn follow(&self, file: &DayFile) -> Following {
        let manifest = self.manifest(file).ok();
        let done = self.rollups.done(i64::from(file.day)).ok();
        Following {
            before: manifest.zip(done),
            hours: BTreeMap::new(),
        }
    }

    /// Puts the sums of blocks in place that are durable by now.
    pub(crate) fn put_rolled(&self, file: &DayFile, rolled: Rolled, following: &mut Following) {
        for key in rolled.failed {
            following.hours.insert(key, false);
        }
        for (key, sums) in rolled.by_key {
            let known = following.hours.get(&key).copied();
            let whole = known.unwrap_or_else(|| following.was_done(key))
                && self.rollups.put_hours(file, key, &sums).is_ok();
            following.hours.insert(key, whole);
        }
    }

    /// Notes the hours that were followed to the end as done.
    pub(crate) fn end_following(&self, file: &DayFile, following: Following) {
        let Ok(manifest) = self.manifest(file) else {
            return;
        };
        for (hour, whole) in following.hours {
            if let (true, Some(&sum)) = (whole, manifest.get(&hour))
                && let Err(error) = self.rollups.set_done(i64::from(file.day), hour, sum)
            {
                tracing::debug!(%error, hour, "an hour is rolled up later");
            }
        }
    }
}

/// The symptom of a run in words.
pub(super) fn symptom(
    file: &DayFile,
    connection: &Connection,
    row: &Row,
) -> Result<Option<std::sync::Arc<str>>, StoreError> {
    if row.symptom == 0 {
        return Ok(None);
    }
    match file.word(connection, row.symptom)? {
        Some(Word::Text(text)) => Ok(Some(text)),
        _ => Err(file.damaged("a word of a run is missing")),
    }
}

/// Reads the manifest, checked.
pub(super) fn read_manifest(
    connection: &Connection,
    file: &DayFile,
) -> Result<BTreeMap<i64, u32>, StoreError> {
    let fail = |error| file.fail(error);
    let mut statement = connection
        .prepare_cached("SELECT hour, blocks, results, sum, crc FROM hour ORDER BY hour")
        .map_err(fail)?;
    let mut rows = statement.query([]).map_err(fail)?;
    let mut manifest = BTreeMap::new();
    while let Some(row) = rows.next().map_err(fail)? {
        let read = (|| {
            let hour: i64 = row.get(0)?;
            let sum: u32 = row.get(3)?;
            let crc: u32 = row.get(4)?;
            Ok((
                hour,
                sum,
                crc == hour_crc(hour, row.get(1)?, row.get(2)?, sum),
            ))
        })();
        let (hour, sum, holds) = read.map_err(fail)?;
        if !holds {
            return Err(file.damaged("a row of the manifest does not hold"));
        }
        manifest.insert(hour, sum);
    }
    Ok(manifest)
}

/// Some blocks of an hour, after a series.
fn blocks(connection: &Connection, hour: i64, after: i64) -> rusqlite::Result<Vec<(i64, Vec<u8>)>> {
    let mut statement = connection
        .prepare_cached("SELECT id, data FROM block WHERE id > ? AND id < ? ORDER BY id LIMIT ?")?;
    let from = block_id(hour, 0) + after;
    let limit = SERIES_PER_TRANSACTION as i64;
    statement
        .query_map([from, block_id(hour + 1, 0), limit], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect()
}
