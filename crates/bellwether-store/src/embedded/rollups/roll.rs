//! Computing roll-ups from the blocks of a day file.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, params};

use super::entry::{Entry, Sum, WithPhases, entries};
use super::{
    DAYS_DONE, Known, Rollups, Table, done_crc, put_tally, read_tally, row_crc, row_id, series_crc,
    tally_name,
};
use crate::StoreError;
use crate::codec::block;
use crate::codec::row::Row;
use crate::embedded::Embedded;
use crate::embedded::day::{DayFile, SeriesRow, block_id, block_of, hour_crc, hour_of};
use crate::embedded::names::Word;
use crate::embedded::sqlite::lock;

/// Series written in one transaction: readers see whole ones, and the log stays short.
const SERIES_PER_TRANSACTION: usize = 2000;

/// Sums of one series, by the day and what they are of.
type Sums = BTreeMap<(i64, i64, i64), Sum>;

/// Where the sums of a series are put.
struct Place<'a> {
    table: Table,
    source: i64,
    /// Entries of this source and this key are replaced; of all keys, if none.
    key: Option<i64>,
    with_phases: WithPhases,
    name: &'a [u8],
}

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
                            let sum = self.sum_hours(file, lent.connection(), hour, &rows)?;
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
            let place = |name| Place {
                table: Table::Hourly,
                source: i64::from(file.day),
                key: Some(hour),
                with_phases: WithPhases::No,
                name,
            };
            self.rollups.put_all(&sums, place)?;
        }
    }

    fn sum_hours(
        &self,
        file: &DayFile,
        connection: &Connection,
        key: i64,
        rows: &[Row],
    ) -> Result<Sums, StoreError> {
        let mut sums = Sums::new();
        for row in rows {
            let hour = hour_of(row.began());
            let symptom = symptom(file, connection, row)?;
            let sum = sums.entry((hour.div_euclid(24), key, hour)).or_default();
            sum.add(row, symptom.as_deref(), WithPhases::No);
        }
        Ok(sums)
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

impl Rollups {
    /// Hours of a source whose roll-ups are computed, with the checksum of what they are of.
    pub(super) fn done(&self, source: i64) -> Result<HashMap<i64, u32>, StoreError> {
        let lent = self.readers.begin()?;
        self.read_done(lent.connection(), source)
    }

    pub(super) fn read_done(
        &self,
        connection: &Connection,
        source: i64,
    ) -> Result<HashMap<i64, u32>, StoreError> {
        let fail = |error| self.fail(error);
        let mut statement = connection
            .prepare_cached("SELECT hour, sum, crc FROM done WHERE source = ?")
            .map_err(fail)?;
        let mut rows = statement.query([source]).map_err(fail)?;
        let mut done = HashMap::new();
        while let Some(row) = rows.next().map_err(fail)? {
            let read = (|| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))();
            let (hour, sum, crc): (i64, u32, u32) = read.map_err(fail)?;
            // One that does not hold is not done: it is computed again.
            if crc == done_crc(source, hour, sum) {
                done.insert(hour, sum);
            }
        }
        Ok(done)
    }

    fn set_done(&self, source: i64, hour: i64, sum: u32) -> Result<(), StoreError> {
        self.change(|connection| {
            connection
                .execute(
                    "INSERT OR REPLACE INTO done (source, hour, sum, crc) VALUES (?, ?, ?, ?)",
                    params![source, hour, sum, done_crc(source, hour, sum)],
                )
                .map_err(|error| self.fail(error))
        })?;
        Ok(())
    }

    /// Puts the sums of several series in place in one transaction.
    fn put_all<'a>(
        &self,
        all: &'a [(Vec<u8>, Sums)],
        place: impl Fn(&'a [u8]) -> Place<'a>,
    ) -> Result<(), StoreError> {
        let known = self.change(|connection| {
            let mut known = lock(&self.series).clone();
            let mut tallies: HashMap<String, Tally> = HashMap::new();
            for (name, sums) in all {
                self.put(connection, &place(name), sums, &mut known, &mut tallies)?;
            }
            for (name, tally) in tallies {
                put_tally(connection, &name, tally).map_err(|error| self.fail(error))?;
            }
            Ok(known)
        })?;
        *lock(&self.series) = known;
        Ok(())
    }

    fn put(
        &self,
        connection: &Connection,
        place: &Place<'_>,
        sums: &Sums,
        known: &mut HashMap<Vec<u8>, Known>,
        tallies: &mut HashMap<String, Tally>,
    ) -> Result<(), StoreError> {
        let mut days: Vec<i64> = sums.keys().map(|(day, _, _)| *day).collect();
        days.dedup();
        for day in days {
            let id = self.widen(connection, place, day, known, tallies)?;
            let id = row_id(day, id);
            let old = self.row(connection, place.table, id)?;
            let mut data = Vec::new();
            let before = old.as_deref().unwrap_or(&[]);
            for entry in entries(before, day).ok_or_else(|| self.damaged("a row does not read"))? {
                let same_key = place.key.is_none_or(|key| key == entry.key);
                if entry.source != place.source || !same_key {
                    entry.put(&mut data, day);
                }
            }
            for ((_, key, from), sum) in
                sums.range((day, i64::MIN, i64::MIN)..(day + 1, i64::MIN, i64::MIN))
            {
                let mut bytes = Vec::new();
                sum.put(&mut bytes, place.with_phases);
                let entry = Entry {
                    source: place.source,
                    key: *key,
                    from: *from,
                    sum: &bytes,
                };
                entry.put(&mut data, day);
            }
            let tally = self.tally_of(connection, tally_name(place.table, day), tallies)?;
            if let Some(old) = &old {
                tally.remove(row_crc(place.table, id, old));
            }
            let crc = row_crc(place.table, id, &data);
            tally.add(crc);
            connection
                .prepare_cached(&format!(
                    "INSERT OR REPLACE INTO {} (id, data, crc) VALUES (?, ?, ?)",
                    place.table.name()
                ))
                .and_then(|mut statement| statement.execute(params![id, data, crc]))
                .map_err(|error| self.fail(error))?;
        }
        Ok(())
    }

    /// The number of a series, which is noted to have a row on a day.
    fn widen(
        &self,
        connection: &Connection,
        place: &Place<'_>,
        day: i64,
        all: &mut HashMap<Vec<u8>, Known>,
        tallies: &mut HashMap<String, Tally>,
    ) -> Result<u32, StoreError> {
        let next = all.len() as u32 + 1;
        let old = all.get(place.name).copied();
        let mut known = old.unwrap_or(Known {
            id: next,
            first: day,
            last: day,
        });
        known.first = known.first.min(day);
        known.last = known.last.max(day);
        if old == Some(known) {
            return Ok(known.id);
        }
        let tally = self.tally_of(connection, "series".to_owned(), tallies)?;
        if let Some(old) = old {
            tally.remove(series_crc(place.name, old));
        }
        let crc = series_crc(place.name, known);
        tally.add(crc);
        let Known { id, first, last } = known;
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO series (id, name, first, last, crc) VALUES (?, ?, ?, ?, ?)",
            )
            .and_then(|mut statement| statement.execute(params![id, place.name, first, last, crc]))
            .map_err(|error| self.fail(error))?;
        all.insert(place.name.to_vec(), known);
        Ok(known.id)
    }

    fn tally_of<'a>(
        &self,
        connection: &Connection,
        name: String,
        tallies: &'a mut HashMap<String, Tally>,
    ) -> Result<&'a mut Tally, StoreError> {
        if !tallies.contains_key(&name) {
            let tally = read_tally(connection, &name).map_err(|error| self.fail(error))?;
            let tally = tally.map_err(|()| self.damaged("a tally does not hold"))?;
            tallies.insert(name.clone(), tally);
        }
        Ok(tallies.get_mut(&name).expect("put there above"))
    }

    /// A row, checked.
    pub(super) fn row(
        &self,
        connection: &Connection,
        table: Table,
        id: i64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let found: Option<(Vec<u8>, u32)> = connection
            .prepare_cached(&format!(
                "SELECT data, crc FROM {} WHERE id = ?",
                table.name()
            ))
            .and_then(|mut statement| {
                statement
                    .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .map_err(|error| self.fail(error))?;
        match found {
            Some((data, crc)) if crc == row_crc(table, id, &data) => Ok(Some(data)),
            Some(_) => Err(self.damaged("the checksum of a row does not hold")),
            None => Ok(None),
        }
    }
}

use crate::embedded::day::Tally;
