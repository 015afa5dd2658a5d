//! A day file: the runs that arrived on one UTC day, with everything needed to read them.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest as _, Sha256};

use super::files;
use super::names::Word;
use super::sqlite::{self, Kind, Readers, lock};
use crate::StoreError;
use crate::codec::bytes::{Bytes, checksum, put};

/// The file's kind: `bwR1`. Pages of 8 KiB hold a block or two of the longest each; larger ones make
/// small commits larger.
pub(crate) const KIND: Kind = Kind {
    application: 0x6277_5231,
    page: 8192,
    cache_kib: 8192,
    synchronous: "FULL",
    auto_vacuum: "NONE",
    migrations: &["
        CREATE TABLE meta(key TEXT PRIMARY KEY, a INTEGER NOT NULL, b INTEGER NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE cursor(agent TEXT PRIMARY KEY, envelope INTEGER NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE word(id INTEGER PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL);
        CREATE TABLE series(key INTEGER PRIMARY KEY, id INTEGER NOT NULL, name BLOB NOT NULL, hours BLOB NOT NULL, crc INTEGER NOT NULL);
        CREATE TABLE inbox(id INTEGER PRIMARY KEY, data BLOB NOT NULL);
        CREATE TABLE part(id INTEGER PRIMARY KEY, data BLOB NOT NULL);
        CREATE TABLE block(id INTEGER PRIMARY KEY, data BLOB NOT NULL);
        CREATE TABLE hour(hour INTEGER PRIMARY KEY, blocks INTEGER NOT NULL, results INTEGER NOT NULL, sum INTEGER NOT NULL, crc INTEGER NOT NULL);
        CREATE TABLE bad(id INTEGER PRIMARY KEY, hour INTEGER, series INTEGER, reason TEXT NOT NULL, data BLOB NOT NULL);",
        "ALTER TABLE cursor ADD COLUMN boot INTEGER NOT NULL DEFAULT 0;"],
};

/// Microseconds of an hour.
pub(crate) const HOUR: i64 = 3_600_000_000;

/// Microseconds of a day.
pub(crate) const DAY: i64 = 24 * HOUR;

/// Hours fit this many bits of a key, from 1970 to 2089; what is beyond is kept at the bound.
const HOUR_BITS: u32 = 20;
const SEAL_BITS: u32 = 15;
const SERIES_BITS: u32 = 28;

/// Seals of one file: one every three seconds for a day.
pub(crate) const SEAL_MAX: u32 = 1 << SEAL_BITS;

/// Words kept in memory for reading one file.
const WORDS_CACHED_MAX: usize = 16 * 1024;

/// The day of a time, since 1970.
pub(crate) fn day_of(at: i64) -> i32 {
    at.div_euclid(DAY) as i32
}

/// The hour of a time, since 1970, as keys hold it.
pub(crate) fn hour_of(at: i64) -> i64 {
    at.div_euclid(HOUR).clamp(0, (1 << HOUR_BITS) - 1)
}

/// The key of a part.
pub(crate) fn part_id(hour: i64, seal: u32, series: u32) -> i64 {
    (hour << (SEAL_BITS + SERIES_BITS)) + (i64::from(seal) << SERIES_BITS) + i64::from(series)
}

/// Hour, seal and series in the key of a part.
pub(crate) fn part_of(id: i64) -> (i64, u32, u32) {
    let seal = (id >> SERIES_BITS) as u32 & (SEAL_MAX - 1);
    let series = id as u32 & ((1 << SERIES_BITS) - 1);
    (id >> (SEAL_BITS + SERIES_BITS), seal, series)
}

/// The key of a block.
pub(crate) fn block_id(hour: i64, series: u32) -> i64 {
    hour << 32 | i64::from(series)
}

/// Hour and series in the key of a block.
pub(crate) fn block_of(id: i64) -> (i64, u32) {
    (id >> 32, id as u32)
}

/// What goes into the checksum of a part: never what goes into that of a block.
pub(crate) fn part_crc_key(id: i64) -> u64 {
    id as u64 | 1 << 63
}

/// A day's name, `2026-11-22`.
pub(crate) fn name_of(day: i32) -> String {
    let at = jiff::Timestamp::from_second(i64::from(day) * 86_400);
    at.map_or_else(
        |_| format!("day{day}"),
        |at| at.strftime("%Y-%m-%d").to_string(),
    )
}

/// The day of a name.
pub(crate) fn day_named(name: &str) -> Option<i32> {
    let date: jiff::civil::Date = name.parse().ok()?;
    let at = date.at(0, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(day_of(at.timestamp().as_microsecond())).filter(|&day| name_of(day) == name)
}

/// A series as a day file knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeriesRow {
    pub(crate) key: i64,
    pub(crate) id: u32,
    pub(crate) name: Vec<u8>,
    /// Hours that have a block, as keys hold them.
    pub(crate) hours: BTreeSet<i64>,
}

impl SeriesRow {
    pub(crate) fn hours_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut next = 0;
        let mut hours = self.hours.iter().copied().peekable();
        while let Some(first) = hours.next() {
            let mut last = first;
            while hours.peek() == Some(&(last + 1)) {
                last += 1;
                hours.next();
            }
            put(&mut out, (first - next) as u64);
            put(&mut out, (last - first) as u64);
            next = last + 1;
        }
        out
    }

    /// Its checksum.
    pub(crate) fn crc(&self) -> u32 {
        checksum(&[
            &self.key.to_le_bytes(),
            &self.id.to_le_bytes(),
            &self.name,
            &self.hours_bytes(),
        ])
    }

    /// From a row of the table; `None` if the checksum does not hold.
    pub(crate) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Self>> {
        let hours: Vec<u8> = row.get(3)?;
        let found = Self {
            key: row.get(0)?,
            id: row.get(1)?,
            name: row.get(2)?,
            hours: read_hours(&hours).unwrap_or_default(),
        };
        let crc: u32 = row.get(4)?;
        Ok((found.crc() == crc).then_some(found))
    }
}

fn read_hours(bytes: &[u8]) -> Option<BTreeSet<i64>> {
    let mut bytes = Bytes::new(bytes);
    let mut hours = BTreeSet::new();
    let mut next = 0i64;
    while !bytes.rest().is_empty() {
        let first = next.checked_add(i64::try_from(bytes.number()?).ok()?)?;
        let more = i64::try_from(bytes.number()?).ok()?;
        let last = first.checked_add(more)?;
        if last >= 1 << HOUR_BITS {
            return None;
        }
        hours.extend(first..=last);
        next = last + 1;
    }
    Some(hours)
}

/// Where a series begins to look for its row: later places are for names that share it.
pub(crate) fn series_key(name: &[u8]) -> i64 {
    let hash = Sha256::digest(name);
    let first = i64::from_le_bytes(*hash.first_chunk::<8>().expect("32 bytes"));
    first & (i64::MAX >> 1)
}

/// A day file.
#[derive(Debug)]
pub(crate) struct DayFile {
    pub(crate) day: i32,
    pub(crate) path: PathBuf,
    pub(crate) readers: Readers,
    /// The writer of a file that is not closed; none after a failed write.
    pub(crate) writer: Mutex<Option<Connection>>,
    /// Which file it was that was opened.
    pub(crate) identity: Mutex<Option<(u64, u64)>>,
    words: Mutex<HashMap<u32, Word>>,
    /// The series were read through and are whole.
    verified: AtomicBool,
    /// It is complete and will not change any more.
    closed: AtomicBool,
    /// All of its roll-ups are computed, and it is closed.
    rolled: AtomicBool,
}

impl DayFile {
    /// The path of a day's file.
    pub(crate) fn path_in(dir: &Path, day: i32) -> PathBuf {
        dir.join("results").join(format!("{}.db", name_of(day)))
    }

    /// A file that is there.
    pub(crate) fn new(dir: &Path, day: i32) -> Self {
        let path = Self::path_in(dir, day);
        Self {
            day,
            readers: Readers::new(&path),
            writer: Mutex::new(None),
            identity: Mutex::new(files::identity(&path)),
            words: Mutex::default(),
            verified: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            rolled: AtomicBool::new(false),
            path,
        }
    }

    /// An error of this file.
    pub(crate) fn fail(&self, error: rusqlite::Error) -> StoreError {
        StoreError::sqlite(&self.path, error)
    }

    /// An error for damage in this file.
    pub(crate) fn damaged(&self, what: &str) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            what: what.to_owned(),
            cure: "the other days are not touched by it; restore this file from a backup",
        }
    }

    /// Whether it will not change any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether all of its roll-ups are computed, and it is closed.
    pub(crate) fn is_rolled(&self) -> bool {
        self.rolled.load(Ordering::Acquire)
    }

    /// Says that all of its roll-ups are computed.
    pub(crate) fn set_rolled(&self) {
        self.rolled.store(true, Ordering::Release);
    }

    /// Says that it will not change any more.
    pub(crate) fn set_closed(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether its path still leads to what is open.
    pub(crate) fn is_there(&self) -> bool {
        files::identity(&self.path) == *lock(&self.identity)
    }

    /// Writes the file anew from what is open, because its path leads elsewhere by now.
    pub(crate) fn rescue(&self) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        let Some(connection) = writer.as_ref() else {
            return Err(self.damaged("it is gone, and was not open to be written anew"));
        };
        files::write_anew(connection, &self.path)?;
        *writer = None;
        self.readers.close();
        *lock(&self.identity) = files::identity(&self.path);
        Ok(())
    }

    /// Opens the writer, if it is not open, trusting only what is durable.
    pub(crate) fn open_writer<'a>(
        &self,
        writer: &'a mut Option<Connection>,
    ) -> Result<&'a mut Connection, StoreError> {
        if writer.is_none() {
            let connection = sqlite::open_writer(&self.path, &KIND)?;
            sqlite::checkpoint(&connection, &self.path)?;
            connection.set_prepared_statement_cache_capacity(32);
            *writer = Some(connection);
        }
        Ok(writer.as_mut().expect("opened above"))
    }

    /// A number of the file's own.
    pub(crate) fn meta(
        &self,
        connection: &Connection,
        key: &str,
    ) -> Result<Option<(i64, i64)>, StoreError> {
        let found: Option<(i64, i64, u32)> = connection
            .prepare_cached("SELECT a, b, crc FROM meta WHERE key = ?")
            .and_then(|mut statement| {
                statement
                    .query_row([key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                    .optional()
            })
            .map_err(|error| self.fail(error))?;
        match found {
            None => Ok(None),
            Some((a, b, crc)) if crc == meta_crc(key, a, b) => Ok(Some((a, b))),
            Some(_) => Err(self.damaged("a number of the file's own does not hold")),
        }
    }

    /// A number that must be there, in two halves: rows, and all their checksums together.
    pub(crate) fn tally(&self, connection: &Connection, key: &str) -> Result<Tally, StoreError> {
        let (rows, sum) = self.meta(connection, key)?.unwrap_or((0, 0));
        Ok(Tally {
            rows,
            sum: sum as u32,
        })
    }

    /// The row of a series, if it has any run here. Before "it has none" is believed for the first
    /// time, all series are read through.
    pub(crate) fn series(
        &self,
        connection: &Connection,
        name: &[u8],
    ) -> Result<Option<SeriesRow>, StoreError> {
        self.verify_series_once(connection)?;
        find_series(connection, name)
            .map_err(|error| self.fail(error))?
            .map_err(|()| self.damaged("the checksum of a series does not hold"))
    }

    fn verify_series_once(&self, connection: &Connection) -> Result<(), StoreError> {
        if self.verified.load(Ordering::Acquire) {
            return Ok(());
        }
        self.each_series(connection, |_| ())?;
        self.verified.store(true, Ordering::Release);
        Ok(())
    }

    /// Reads all series through, checked against their tally.
    pub(crate) fn each_series(
        &self,
        connection: &Connection,
        mut each: impl FnMut(SeriesRow),
    ) -> Result<(), StoreError> {
        let fail = |error| self.fail(error);
        if let Some(what) = sqlite::quick_check(connection, Some("series")).map_err(fail)? {
            return Err(self.damaged(&what));
        }
        let mut statement = connection
            .prepare_cached("SELECT key, id, name, hours, crc FROM series ORDER BY key")
            .map_err(fail)?;
        let mut rows = statement.query([]).map_err(fail)?;
        let mut found = Tally::default();
        while let Some(row) = rows.next().map_err(fail)? {
            let Some(series) = SeriesRow::read(row).map_err(fail)? else {
                return Err(self.damaged("the checksum of a series does not hold"));
            };
            found.add(series.crc());
            each(series);
        }
        drop(rows);
        if found != self.tally(connection, "series")? {
            return Err(self.damaged("a series is missing"));
        }
        Ok(())
    }

    /// A word by its number.
    pub(crate) fn word(
        &self,
        connection: &Connection,
        id: u32,
    ) -> Result<Option<Word>, StoreError> {
        if let Some(word) = lock(&self.words).get(&id) {
            return Ok(Some(word.clone()));
        }
        let found: Option<(Vec<u8>, u32)> = connection
            .prepare_cached("SELECT data, crc FROM word WHERE id = ?")
            .and_then(|mut statement| {
                statement
                    .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .map_err(|error| self.fail(error))?;
        let word = found.and_then(|(data, crc)| {
            (crc == word_crc(id, &data)).then(|| Word::from_bytes(&data))?
        });
        if let Some(word) = &word {
            let mut words = lock(&self.words);
            if words.len() >= WORDS_CACHED_MAX {
                words.clear();
            }
            words.insert(id, word.clone());
        }
        Ok(word)
    }
}

/// The row of a series. The inner error: its checksum does not hold.
pub(crate) fn find_series(
    connection: &Connection,
    name: &[u8],
) -> rusqlite::Result<Result<Option<SeriesRow>, ()>> {
    let mut statement =
        connection.prepare_cached("SELECT key, id, name, hours, crc FROM series WHERE key = ?")?;
    let mut key = series_key(name);
    loop {
        let row = statement.query_row([key], SeriesRow::read).optional()?;
        match row {
            None => return Ok(Ok(None)),
            Some(None) => return Ok(Err(())),
            Some(Some(series)) if series.name == name => return Ok(Ok(Some(series))),
            Some(Some(_)) => key += 1,
        }
    }
}

/// Rows of a table, and all their checksums together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) rows: i64,
    pub(crate) sum: u32,
}

impl Tally {
    /// A row came.
    pub(crate) fn add(&mut self, crc: u32) {
        self.rows += 1;
        self.sum ^= crc;
    }

    /// A row went.
    pub(crate) fn remove(&mut self, crc: u32) {
        self.rows -= 1;
        self.sum ^= crc;
    }
}

/// Sets a number of the file's own.
pub(crate) fn set_meta(connection: &Connection, key: &str, a: i64, b: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta (key, a, b, crc) VALUES (?, ?, ?, ?)")?
        .execute(params![key, a, b, meta_crc(key, a, b)])?;
    Ok(())
}

/// Sets a tally.
pub(crate) fn set_tally(connection: &Connection, key: &str, tally: Tally) -> rusqlite::Result<()> {
    set_meta(connection, key, tally.rows, i64::from(tally.sum))
}

/// Writes a series that is new, or whose hours changed.
pub(crate) fn put_series(connection: &Connection, series: &SeriesRow) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO series (key, id, name, hours, crc) VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(params![
            series.key,
            series.id,
            series.name,
            series.hours_bytes(),
            series.crc()
        ])?;
    Ok(())
}

/// The place for a series that is new: the first free one.
pub(crate) fn free_series_key(connection: &Connection, name: &[u8]) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM series WHERE key = ?")?;
    let mut key = series_key(name);
    while statement.exists([key])? {
        key += 1;
    }
    Ok(key)
}

fn meta_crc(key: &str, a: i64, b: i64) -> u32 {
    checksum(&[key.as_bytes(), &a.to_le_bytes(), &b.to_le_bytes()])
}

/// The checksum of a word.
pub(crate) fn word_crc(id: u32, data: &[u8]) -> u32 {
    checksum(&[&id.to_le_bytes(), data])
}

/// The checksum of a cursor; where its start is not known, as it was before there was one.
pub(crate) fn cursor_crc(agent: &str, envelope: i64, boot: i64) -> u32 {
    let (envelope, start) = (envelope.to_le_bytes(), boot.to_le_bytes());
    let parts = [agent.as_bytes(), &envelope, &start];
    let known = if boot == 0 { 2 } else { 3 };
    checksum(&parts[..known])
}

/// The checksum of a row of the manifest.
pub(crate) fn hour_crc(hour: i64, blocks: i64, results: i64, sum: u32) -> u32 {
    checksum(&[
        &hour.to_le_bytes(),
        &blocks.to_le_bytes(),
        &results.to_le_bytes(),
        &sum.to_le_bytes(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back() {
        let id = part_id((1 << HOUR_BITS) - 1, SEAL_MAX - 1, (1 << SERIES_BITS) - 1);
        assert!(id > 0);
        assert_eq!(
            part_of(id),
            ((1 << HOUR_BITS) - 1, SEAL_MAX - 1, (1 << SERIES_BITS) - 1)
        );
        assert_eq!(block_of(block_id(500_000, 7)), (500_000, 7));
    }

    #[test]
    fn days_have_names() {
        assert_eq!(name_of(0), "1970-01-01");
        assert_eq!(
            day_named("2026-11-22").map(name_of).as_deref(),
            Some("2026-11-22")
        );
        assert_eq!(day_named("2026-11-22.damaged"), None);
    }

    #[test]
    fn hours_come_back() {
        let series = SeriesRow {
            key: 1,
            id: 2,
            name: b"x".to_vec(),
            hours: [0, 1, 2, 500_000, 500_001, 500_006].into(),
        };
        assert_eq!(read_hours(&series.hours_bytes()), Some(series.hours));
    }
}
