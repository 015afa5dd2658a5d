//! Folding: the parts of an hour become blocks, one for each series.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::Embedded;
use super::active::put_bad;
use super::day::{
    DayFile, HOUR, SeriesRow, Tally, block_id, hour_crc, part_crc_key, part_id, part_of,
    put_series, set_tally,
};
use super::read::{SLOW_HOURS, sort};
use super::rollups::Rolled;
use super::sqlite::lock;
use crate::StoreError;
use crate::codec::block::{self, ROWS_MAX};
use crate::codec::row::Row;

/// How long after an hour its parts are folded: late runs come within it.
const GRACE: i64 = 5 * 60 * 1_000_000;

/// Checks slower than this are folded by [`SLOW_HOURS`], milliseconds: an hour of them is too few for
/// a block to be small.
const SLOW: u32 = 120_000;

/// Series folded in one transaction: appends wait at most for that.
const SERIES_PER_TRANSACTION: usize = 2000;

/// Up to when hours are folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// What is over, microseconds since 1970.
    By(i64),
    /// Everything: the day is over.
    All,
}

impl Due {
    fn is_over(self, end_hour: i64) -> bool {
        match self {
            Self::By(now) => end_hour.saturating_mul(HOUR).saturating_add(GRACE) <= now,
            Self::All => true,
        }
    }
}

impl Embedded {
    /// Folds the hours of a file that are due. How many runs that were.
    pub(crate) fn fold(&self, file: &DayFile, due: Due) -> Result<usize, StoreError> {
        let hours: Vec<i64> = {
            let lent = file.readers.begin()?;
            let hours = hours_with_parts(lent.connection());
            let hours = hours.map_err(|error| file.fail(error))?;
            hours
                .into_iter()
                .filter(|hour| due.is_over(hour + 1))
                .collect()
        };
        if hours.is_empty() {
            return Ok(0);
        }
        let mut series = HashMap::new();
        {
            let lent = file.readers.begin()?;
            file.each_series(lent.connection(), |row| {
                series.insert(row.id, row);
            })?;
        }
        let mut folded = 0;
        let mut following = self.follow(file);
        for hour in hours {
            let parts = {
                let lent = file.readers.begin()?;
                parts_of(lent.connection(), hour).map_err(|error| file.fail(error))?
            };
            let parts: Vec<(u32, Vec<i64>)> = parts.into_iter().collect();
            for chunk in parts.chunks(SERIES_PER_TRANSACTION) {
                let (runs, rolled) = self.fold_chunk(file, due, chunk, &mut series)?;
                folded += runs;
                self.put_rolled(file, rolled, &mut following);
            }
        }
        self.end_following(file, following);
        Ok(folded)
    }

    fn fold_chunk(
        &self,
        file: &DayFile,
        due: Due,
        chunk: &[(u32, Vec<i64>)],
        series: &mut HashMap<u32, SeriesRow>,
    ) -> Result<(usize, Rolled), StoreError> {
        let mut writer = lock(&file.writer);
        let connection = file.open_writer(&mut writer)?;
        let part = file.tally(connection, "part")?;
        let names = file.tally(connection, "series")?;
        let transaction = connection.transaction().map_err(|error| file.fail(error))?;
        let mut fold = Fold {
            transaction: &transaction,
            file,
            due,
            part,
            names,
            manifest: BTreeMap::new(),
            changed: Vec::new(),
            bad: Vec::new(),
            runs: 0,
            rolled: Rolled::default(),
            encoder: block::Encoder::default(),
        };
        let done = chunk
            .iter()
            .try_for_each(|(id, parts)| fold.series(series.get(id), *id, parts))
            .and_then(|()| fold.finish());
        let Fold {
            changed,
            bad,
            runs,
            rolled,
            ..
        } = fold;
        match done.and_then(|()| transaction.commit()) {
            Ok(()) => {
                series.extend(changed.into_iter().map(|row| (row.id, row)));
                bad.into_iter().for_each(|what| self.note_damage(what));
                Ok((runs, rolled))
            }
            Err(error) => {
                let error = file.fail(error);
                if matches!(error, StoreError::Write { .. }) {
                    *writer = None;
                }
                Err(self.reserve.judge(&file.path, error))
            }
        }
    }
}

/// Hours that have parts, without reading all of them.
fn hours_with_parts(connection: &Connection) -> rusqlite::Result<BTreeSet<i64>> {
    let mut statement =
        connection.prepare_cached("SELECT id FROM part WHERE id >= ? ORDER BY id LIMIT 1")?;
    let mut hours = BTreeSet::new();
    let mut at = 0;
    while let Some(id) = statement.query_row([at], |row| row.get(0)).optional()? {
        let (hour, _, _) = part_of(id);
        hours.insert(hour);
        at = part_id(hour + 1, 0, 0);
    }
    Ok(hours)
}

/// The parts of an hour for each series.
fn parts_of(connection: &Connection, hour: i64) -> rusqlite::Result<BTreeMap<u32, Vec<i64>>> {
    let mut statement =
        connection.prepare_cached("SELECT id FROM part WHERE id >= ? AND id < ? ORDER BY id")?;
    let mut rows = statement.query([part_id(hour, 0, 0), part_id(hour + 1, 0, 0)])?;
    let mut parts: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        let (_, _, series) = part_of(id);
        parts.entry(series).or_default().push(id);
    }
    Ok(parts)
}

/// What changes in the manifest of an hour.
#[derive(Clone, Copy, Debug, Default)]
struct Manifest {
    blocks: i64,
    results: i64,
    sum: u32,
}

/// One transaction of a fold.
struct Fold<'a> {
    transaction: &'a Transaction<'a>,
    file: &'a DayFile,
    due: Due,
    part: Tally,
    names: Tally,
    manifest: BTreeMap<i64, Manifest>,
    changed: Vec<SeriesRow>,
    bad: Vec<String>,
    runs: usize,
    rolled: Rolled,
    encoder: block::Encoder,
}

impl Fold<'_> {
    /// Folds the parts of one series and hour.
    fn series(&mut self, row: Option<&SeriesRow>, id: u32, parts: &[i64]) -> rusqlite::Result<()> {
        let mut fast = Vec::new();
        let mut slow = Vec::new();
        let mut hour = 0;
        for &part in parts {
            (hour, _, _) = part_of(part);
            let data: Vec<u8> = self
                .transaction
                .prepare_cached("SELECT data FROM part WHERE id = ?")?
                .query_row([part], |row| row.get(0))?;
            let is_slow = block::interval(&data).is_some_and(|every| every > SLOW);
            if is_slow && !self.due.is_over(slow_hour(hour) + SLOW_HOURS) {
                continue;
            }
            match (block::decode(part_crc_key(part), &data), row) {
                (Ok(rows), Some(_)) if is_slow => slow.extend(rows),
                (Ok(rows), Some(_)) => fast.extend(rows),
                (Ok(_), None) => self.set_bad(hour, id, "a part is of no known series", &data)?,
                (Err(error), _) => self.set_bad(hour, id, &format!("a part: {error}"), &data)?,
            }
            self.part.remove(block::crc_of(&data));
            self.transaction
                .prepare_cached("DELETE FROM part WHERE id = ?")?
                .execute([part])?;
        }
        let Some(row) = row else {
            return Ok(());
        };
        let mut row = row.clone();
        let before = row.crc();
        self.block(&mut row, hour, fast)?;
        self.block(&mut row, slow_hour(hour), slow)?;
        if row.crc() != before {
            self.names.remove(before);
            self.names.add(row.crc());
            put_series(self.transaction, &row)?;
            self.changed.push(row);
        }
        Ok(())
    }

    /// Puts rows into the block of an hour, which may be there already.
    fn block(
        &mut self,
        series: &mut SeriesRow,
        hour: i64,
        mut rows: Vec<Row>,
    ) -> rusqlite::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.runs += rows.len();
        let id = block_id(hour, series.id);
        let mut manifest = self.manifest(hour)?;
        if series.hours.contains(&hour)
            && let Some(old) = self.old_block(id)?
        {
            let crc = block::crc_of(&old);
            manifest.blocks -= 1;
            manifest.sum ^= crc;
            match block::decode(id as u64, &old) {
                Ok(old) => {
                    manifest.results -= old.len() as i64;
                    rows.extend(old);
                }
                // How many runs it held is not known any more: the manifest says fewer are there.
                Err(error) => self.set_bad(hour, series.id, &format!("a block: {error}"), &old)?,
            }
        }
        sort(&mut rows);
        if rows.len() > ROWS_MAX {
            let reason = "more runs in an hour than a block holds";
            let rest = block::encode(id as u64, &rows[ROWS_MAX..]);
            self.set_bad(hour, series.id, reason, &rest)?;
            rows.truncate(ROWS_MAX);
        }
        let data = self.encoder.encode(id as u64, &rows);
        self.rolled
            .add(self.file, self.transaction, hour, &series.name, &rows);
        manifest.blocks += 1;
        manifest.results += rows.len() as i64;
        manifest.sum ^= block::crc_of(&data);
        self.manifest.insert(hour, manifest);
        series.hours.insert(hour);
        self.transaction
            .prepare_cached("INSERT OR REPLACE INTO block (id, data) VALUES (?, ?)")?
            .execute(params![id, data])?;
        Ok(())
    }

    fn old_block(&self, id: i64) -> rusqlite::Result<Option<Vec<u8>>> {
        self.transaction
            .prepare_cached("SELECT data FROM block WHERE id = ?")?
            .query_row([id], |row| row.get(0))
            .optional()
    }

    fn manifest(&mut self, hour: i64) -> rusqlite::Result<Manifest> {
        if let Some(manifest) = self.manifest.get(&hour) {
            return Ok(*manifest);
        }
        let found = self
            .transaction
            .prepare_cached("SELECT blocks, results, sum FROM hour WHERE hour = ?")?
            .query_row([hour], |row| {
                Ok(Manifest {
                    blocks: row.get(0)?,
                    results: row.get(1)?,
                    sum: row.get(2)?,
                })
            })
            .optional()?;
        Ok(found.unwrap_or_default())
    }

    fn set_bad(
        &mut self,
        hour: i64,
        series: u32,
        reason: &str,
        data: &[u8],
    ) -> rusqlite::Result<()> {
        self.bad
            .push(format!("`{}`: {reason}", self.file.path.display()));
        put_bad(self.transaction, Some((hour, series)), reason, data)
    }

    fn finish(&mut self) -> rusqlite::Result<()> {
        set_tally(self.transaction, "part", self.part)?;
        set_tally(self.transaction, "series", self.names)?;
        for (&hour, manifest) in &self.manifest {
            let Manifest {
                blocks,
                results,
                sum,
            } = *manifest;
            self.transaction
                .prepare_cached("INSERT OR REPLACE INTO hour (hour, blocks, results, sum, crc) VALUES (?, ?, ?, ?, ?)")?
                .execute(params![hour, blocks, results, sum, hour_crc(hour, blocks, results, sum)])?;
        }
        Ok(())
    }
}

/// The first hour of the block of a slow check.
fn slow_hour(hour: i64) -> i64 {
    hour - hour.rem_euclid(SLOW_HOURS)
}
