//! `rollup.db`: counts and percentiles by the hour and by the day. All of it can be computed again
//! from the day files, as long as those are kept.

mod entry;
mod put;
mod query;
mod roll;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bellwether_model::{CheckId, VantageId};
use rusqlite::{Connection, OptionalExtension, params};

use super::day::Tally;
use super::files;
use super::names::series_of;
use super::sqlite::{self, Kind, Readers, lock};
use crate::StoreError;
use crate::codec::bytes::checksum;

pub(crate) use roll::Rolled;

/// The file's kind: `bwU1`. It is synced only when its log is written back: what a crash takes is
/// computed again.
pub(crate) const KIND: Kind = Kind {
    application: 0x6277_5531,
    page: 8192,
    cache_kib: 4096,
    synchronous: "NORMAL",
    auto_vacuum: "NONE",
    migrations: &["
        CREATE TABLE series(id INTEGER PRIMARY KEY, name BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, crc INTEGER NOT NULL);
        CREATE TABLE hourly(id INTEGER PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL);
        CREATE TABLE daily(id INTEGER PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL);
        CREATE TABLE done(source INTEGER NOT NULL, hour INTEGER NOT NULL, sum INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY(source, hour)) WITHOUT ROWID;
        CREATE TABLE tally(name TEXT PRIMARY KEY, rows INTEGER NOT NULL, sum INTEGER NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;"],
};

/// In the place of an hour: the days of a source.
const DAYS_DONE: i64 = -1;

/// A table of roll-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Table {
    Hourly,
    Daily,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
        }
    }
}

/// A series as this file knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    id: u32,
    /// The first and the last day that have a row.
    first: i64,
    last: i64,
}

/// `rollup.db`.
#[derive(Debug)]
pub(crate) struct Rollups {
    path: PathBuf,
    readers: Readers,
    writer: Mutex<Option<Connection>>,
    series: Mutex<HashMap<Vec<u8>, Known>>,
    /// Days of a table that were read through and are whole.
    verified: Mutex<BTreeSet<(&'static str, i64)>>,
    identity: Mutex<Option<(u64, u64)>>,
}

impl Rollups {
    /// Opens or makes it. A damaged one is set aside: it is computed again.
    pub(crate) fn open(path: &Path, damage: &mut Vec<String>) -> Result<Self, StoreError> {
        match Self::try_open(path) {
            Err(error @ StoreError::Damaged { .. }) => {
                let aside = files::set_aside(path)?;
                damage.push(format!("set aside as `{}`: {error}", aside.display()));
                Self::try_open(path)
            }
            other => other,
        }
    }

    fn try_open(path: &Path) -> Result<Self, StoreError> {
        let connection = sqlite::create(path, &KIND)?;
        let series = load_series(&connection, path)?;
        let readers = Readers::new(path);
        readers.warm()?;
        Ok(Self {
            path: path.to_owned(),
            readers,
            writer: Mutex::new(Some(connection)),
            series: Mutex::new(series),
            verified: Mutex::default(),
            identity: Mutex::new(files::identity(path)),
        })
    }

    /// Every series that has roll-ups.
    pub(crate) fn all_series(&self) -> Result<Vec<(CheckId, VantageId)>, StoreError> {
        let series = lock(&self.series);
        Ok(series.keys().filter_map(|name| series_of(name)).collect())
    }

    /// Whether its path still leads to what is open.
    pub(crate) fn is_there(&self) -> bool {
        files::identity(&self.path) == *lock(&self.identity)
    }

    /// Writes the file anew from what is open.
    pub(crate) fn rescue(&self) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        if let Some(connection) = writer.as_ref() {
            files::write_anew(connection, &self.path)?;
        }
        self.readers.close();
        *writer = Some(sqlite::create(&self.path, &KIND)?);
        *lock(&self.identity) = files::identity(&self.path);
        Ok(())
    }

    /// Copies all of it, as of now, into a new file.
    pub(crate) fn copy_to(&self, to: &Path) -> Result<(), StoreError> {
        files::vacuum_into(&self.readers, to)
    }

    fn fail(&self, error: rusqlite::Error) -> StoreError {
        StoreError::sqlite(&self.path, error)
    }

    fn damaged(&self, what: &str) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            what: what.to_owned(),
            cure: "remove it: it is computed again from the days that are kept",
        }
    }

    /// Writes in one transaction. A failed write is not trusted: the file is opened again.
    fn change<T>(
        &self,
        write: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = lock(&self.writer);
        if writer.is_none() {
            let connection = sqlite::open_writer(&self.path, &KIND)?;
            sqlite::checkpoint(&connection, &self.path)?;
            *lock(&self.series) = load_series(&connection, &self.path)?;
            *writer = Some(connection);
        }
        let connection = writer.as_mut().expect("opened above");
        let done = (|| {
            let transaction = connection.transaction().map_err(|error| self.fail(error))?;
            let done = write(&transaction)?;
            transaction.commit().map_err(|error| self.fail(error))?;
            Ok(done)
        })();
        if done.is_err() {
            *writer = None;
        }
        done
    }

    /// Drops days before one.
    pub(crate) fn drop_before(&self, day: i32) -> Result<(), StoreError> {
        let end = row_id(i64::from(day), 0);
        loop {
            let found = |table: Table| {
                self.readers.with(|connection| {
                    connection.query_row(
                        &format!("SELECT min(id) FROM {}", table.name()),
                        [],
                        |row| row.get::<_, Option<i64>>(0),
                    )
                })
            };
            let oldest = [found(Table::Hourly)?, found(Table::Daily)?];
            let Some(oldest) = oldest.into_iter().flatten().filter(|&id| id < end).min() else {
                return Ok(());
            };
            let (oldest, _) = row_of(oldest);
            self.change(|connection| {
                (|| {
                    for table in [Table::Hourly, Table::Daily] {
                        connection.execute(
                            &format!("DELETE FROM {} WHERE id >= ? AND id < ?", table.name()),
                            [row_id(oldest, 0), row_id(oldest + 1, 0)],
                        )?;
                        connection.execute(
                            "DELETE FROM tally WHERE name = ?",
                            [tally_name(table, oldest)],
                        )?;
                    }
                    connection.execute("DELETE FROM done WHERE source <= ?", [oldest])
                })()
                .map_err(|error| self.fail(error))
            })?;
            // Rows that are gone on purpose are not missed.
            lock(&self.verified).extend([("hourly", oldest), ("daily", oldest)]);
        }
    }
}

/// The key of a row: days before series, so that a day is one range.
fn row_id(day: i64, series: u32) -> i64 {
    day << 32 | i64::from(series)
}

fn row_of(id: i64) -> (i64, u32) {
    (id >> 32, id as u32)
}

fn row_crc(table: Table, id: i64, data: &[u8]) -> u32 {
    checksum(&[table.name().as_bytes(), &id.to_le_bytes(), data])
}

fn series_crc(name: &[u8], known: Known) -> u32 {
    let Known { id, first, last } = known;
    checksum(&[
        &id.to_le_bytes(),
        name,
        &first.to_le_bytes(),
        &last.to_le_bytes(),
    ])
}

fn done_crc(source: i64, hour: i64, sum: u32) -> u32 {
    checksum(&[
        &source.to_le_bytes(),
        &hour.to_le_bytes(),
        &sum.to_le_bytes(),
    ])
}

fn tally_name(table: Table, day: i64) -> String {
    format!("{}/{day}", table.name())
}

/// The tally of a name; none yet is empty. The inner error: its checksum does not hold.
fn read_tally(connection: &Connection, name: &str) -> rusqlite::Result<Result<Tally, ()>> {
    let found = connection
        .prepare_cached("SELECT rows, sum, crc FROM tally WHERE name = ?")?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((rows, sum, crc)): Option<(i64, u32, u32)> = found else {
        return Ok(Ok(Tally::default()));
    };
    let holds = crc == tally_crc(name, Tally { rows, sum });
    Ok(holds.then_some(Tally { rows, sum }).ok_or(()))
}

fn put_tally(connection: &Connection, name: &str, tally: Tally) -> rusqlite::Result<()> {
    let Tally { rows, sum } = tally;
    connection
        .prepare_cached("INSERT OR REPLACE INTO tally (name, rows, sum, crc) VALUES (?, ?, ?, ?)")?
        .execute(params![name, rows, sum, tally_crc(name, tally)])?;
    Ok(())
}

fn tally_crc(name: &str, Tally { rows, sum }: Tally) -> u32 {
    checksum(&[name.as_bytes(), &rows.to_le_bytes(), &sum.to_le_bytes()])
}

fn load_series(
    connection: &Connection,
    path: &Path,
) -> Result<HashMap<Vec<u8>, Known>, StoreError> {
    let fail = |error| StoreError::sqlite(path, error);
    let damaged = |what: &str| StoreError::Damaged {
        path: path.to_owned(),
        what: what.to_owned(),
        cure: "it is computed again from the days that are kept",
    };
    for table in ["series", "done", "tally"] {
        if let Some(what) = sqlite::quick_check(connection, Some(table)).map_err(fail)? {
            return Err(damaged(&what));
        }
    }
    let mut statement = connection
        .prepare("SELECT id, name, first, last, crc FROM series ORDER BY id")
        .map_err(fail)?;
    let mut rows = statement.query([]).map_err(fail)?;
    let mut series = HashMap::new();
    let mut found = Tally::default();
    while let Some(row) = rows.next().map_err(fail)? {
        let read = (|| {
            let known = Known {
                id: row.get(0)?,
                first: row.get(2)?,
                last: row.get(3)?,
            };
            Ok((row.get(1)?, known, row.get(4)?))
        })();
        let (name, known, crc): (Vec<u8>, Known, u32) = read.map_err(fail)?;
        if crc != series_crc(&name, known) {
            return Err(damaged("the checksum of a series does not hold"));
        }
        found.add(crc);
        series.insert(name, known);
    }
    let expected = read_tally(connection, "series").map_err(fail)?;
    if expected != Ok(found) {
        return Err(damaged("a series is missing"));
    }
    Ok(series)
}

/// Reads everything through: what is wrong, in words.
pub(crate) fn verify_all(connection: &Connection, path: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    problems.extend(
        load_series(connection, path)
            .err()
            .map(|error| error.to_string()),
    );
    for table in [Table::Hourly, Table::Daily] {
        problems.extend(
            verify_table(connection, path, table).unwrap_or_else(|error| vec![error.to_string()]),
        );
    }
    problems
}

fn verify_table(
    connection: &Connection,
    path: &Path,
    table: Table,
) -> Result<Vec<String>, StoreError> {
    let fail = |error| StoreError::sqlite(path, error);
    let mut problems = Vec::new();
    let mut days: HashMap<i64, Tally> = HashMap::new();
    let mut statement = connection
        .prepare(&format!("SELECT id, data, crc FROM {}", table.name()))
        .map_err(fail)?;
    let mut rows = statement.query([]).map_err(fail)?;
    while let Some(row) = rows.next().map_err(fail)? {
        let read = (|| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))();
        let (id, data, crc): (i64, Vec<u8>, u32) = read.map_err(fail)?;
        let (day, _) = row_of(id);
        if crc != row_crc(table, id, &data) || entry::entries(&data, day).is_none() {
            problems.push(format!("{} {id}: its checksum does not hold", table.name()));
        }
        days.entry(day).or_default().add(crc);
    }
    let mut statement = connection
        .prepare("SELECT name FROM tally WHERE name LIKE ? || '/%'")
        .map_err(fail)?;
    let names: Result<Vec<String>, _> = statement
        .query_map([table.name()], |row| row.get(0))
        .and_then(Iterator::collect);
    for name in names.map_err(fail)? {
        let expected = read_tally(connection, &name).map_err(fail)?;
        let day = name.split_once('/').and_then(|(_, day)| day.parse().ok());
        let found = day
            .and_then(|day: i64| days.remove(&day))
            .unwrap_or_default();
        if expected != Ok(found) {
            problems.push(format!("{name}: {} rows are there", found.rows));
        }
    }
    if !days.is_empty() {
        problems.push(format!(
            "{}: {} days have no tally",
            table.name(),
            days.len()
        ));
    }
    Ok(problems)
}
