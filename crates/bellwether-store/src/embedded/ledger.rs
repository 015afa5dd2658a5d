//! Tables of `state.db`: each row with its checksum, each table with a tally of its rows, so that a
//! row that changed or vanished is found.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use crate::StoreError;
use crate::codec::bytes::checksum;
use crate::embedded::sqlite;
use crate::error::RESTORE;

/// A table of `state.db`. All have the same shape: key, data, checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Table {
    Incident,
    Notice,
    Evidence,
    /// Evidence by time, for retention.
    EvidenceAt,
    Checkpoint,
    Token,
    Counter,
    Generation,
    /// Day files that must be there, or are known to be lost.
    Day,
}

impl Table {
    pub(crate) const ALL: [Self; 9] = [
        Self::Incident,
        Self::Notice,
        Self::Evidence,
        Self::EvidenceAt,
        Self::Checkpoint,
        Self::Token,
        Self::Counter,
        Self::Generation,
        Self::Day,
    ];

    /// Small enough to be read whole at each start.
    pub(crate) const SMALL: [Self; 6] = [
        Self::Incident,
        Self::Notice,
        Self::Checkpoint,
        Self::Token,
        Self::Generation,
        Self::Day,
    ];

    /// Its name in the file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::Notice => "notice",
            Self::Evidence => "evidence",
            Self::EvidenceAt => "evidence_at",
            Self::Checkpoint => "checkpoint",
            Self::Token => "token",
            Self::Counter => "counter",
            Self::Generation => "generation",
            Self::Day => "day",
        }
    }

    /// Makes all tables: the first migration.
    pub(crate) const SCHEMA: &'static str = "
        CREATE TABLE tally(name TEXT PRIMARY KEY, rows INTEGER NOT NULL, sum INTEGER NOT NULL,
            crc INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE incident(key BLOB PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE notice(key BLOB PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE evidence(key BLOB PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE evidence_at(key BLOB PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE checkpoint(key BLOB PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE token(key BLOB PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE counter(key BLOB PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE generation(key BLOB PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE day(key BLOB PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;";

    /// What is large lies apart from its key: the second migration. In a table without row numbers each
    /// step on the way to a key reads all of the row that it is compared with, and of rows of half a
    /// MiB that costs more than all else. The checksum comes first, so that it is read without the
    /// data. Incidents stay as they are: they are few, and what is held in reserve for a disk that is
    /// full is for them, and holds more where a row takes one page and not two.
    pub(crate) const APART: &'static str = "
        ALTER TABLE evidence RENAME TO former;
        CREATE TABLE evidence(key BLOB NOT NULL PRIMARY KEY, crc INTEGER NOT NULL, data BLOB NOT NULL);
        INSERT INTO evidence(key, crc, data) SELECT key, crc, data FROM former ORDER BY key;
        DROP TABLE former;
        ALTER TABLE checkpoint RENAME TO former;
        CREATE TABLE checkpoint(key BLOB NOT NULL PRIMARY KEY, crc INTEGER NOT NULL, data BLOB NOT NULL);
        INSERT INTO checkpoint(key, crc, data) SELECT key, crc, data FROM former ORDER BY key;
        DROP TABLE former;";

    fn crc(self, key: &[u8], data: &[u8]) -> u32 {
        checksum(&[self.name().as_bytes(), key, data])
    }
}

/// Rows of a table and all their checksums together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) rows: i64,
    pub(crate) sum: u32,
}

/// The tallies of all tables. A copy is changed along with a transaction and kept once it holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    tallies: HashMap<Table, Tally>,
}

/// A key and its data.
pub(crate) type Entry = (Vec<u8>, Vec<u8>);

impl Ledger {
    /// Reads the tallies of a file.
    pub(crate) fn load(connection: &Connection, path: &Path) -> Result<Self, StoreError> {
        let mut tallies = HashMap::new();
        for table in Table::ALL {
            let found: Option<(i64, u32, u32)> = connection
                .prepare_cached("SELECT rows, sum, crc FROM tally WHERE name = ?")
                .and_then(|mut statement| {
                    statement
                        .query_row([table.name()], |row| {
                            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                        })
                        .optional()
                })
                .map_err(|error| StoreError::sqlite(path, error))?;
            let Some((rows, sum, crc)) = found else {
                continue;
            };
            let tally = Tally { rows, sum };
            if crc != tally_crc(table, tally) {
                return Err(damaged(path, table, "its tally does not hold"));
            }
            tallies.insert(table, tally);
        }
        Ok(Self { tallies })
    }

    /// Puts a row, in place of the one of its key. Whether there was one.
    pub(crate) fn put(
        &mut self,
        connection: &Connection,
        table: Table,
        key: &[u8],
        data: &[u8],
    ) -> rusqlite::Result<bool> {
        let old = self.forget(connection, table, key)?;
        let crc = table.crc(key, data);
        let tally = self.tallies.entry(table).or_default();
        tally.rows += 1;
        tally.sum ^= crc;
        connection
            .prepare_cached(&format!(
                "INSERT OR REPLACE INTO {} (key, data, crc) VALUES (?, ?, ?)",
                table.name()
            ))?
            .execute(params![key, data, crc])?;
        Ok(old)
    }

    /// Removes a row. Whether there was one.
    pub(crate) fn remove(
        &mut self,
        connection: &Connection,
        table: Table,
        key: &[u8],
    ) -> rusqlite::Result<bool> {
        let old = self.forget(connection, table, key)?;
        if old {
            connection
                .prepare_cached(&format!("DELETE FROM {} WHERE key = ?", table.name()))?
                .execute([key])?;
        }
        Ok(old)
    }

    fn forget(
        &mut self,
        connection: &Connection,
        table: Table,
        key: &[u8],
    ) -> rusqlite::Result<bool> {
        let old: Option<u32> = connection
            .prepare_cached(&format!("SELECT crc FROM {} WHERE key = ?", table.name()))?
            .query_row([key], |row| row.get(0))
            .optional()?;
        let Some(crc) = old else {
            return Ok(false);
        };
        let tally = self.tallies.entry(table).or_default();
        tally.rows -= 1;
        tally.sum ^= crc;
        Ok(true)
    }

    /// Writes the tallies that differ from those before: the last step of a transaction.
    pub(crate) fn store(&self, connection: &Connection, before: &Self) -> rusqlite::Result<()> {
        for (table, tally) in &self.tallies {
            if before.tallies.get(table) != Some(tally) {
                connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO tally (name, rows, sum, crc) VALUES (?, ?, ?, ?)",
                    )?
                    .execute(params![
                        table.name(),
                        tally.rows,
                        tally.sum,
                        tally_crc(*table, *tally)
                    ])?;
            }
        }
        Ok(())
    }

    /// Reads a whole table and compares it with its checksums and its tally.
    pub(crate) fn verify(
        &self,
        connection: &Connection,
        path: &Path,
        table: Table,
        mut each: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), StoreError> {
        let fail = |error| StoreError::sqlite(path, error);
        if let Some(what) = sqlite::quick_check(connection, Some(table.name())).map_err(fail)? {
            return Err(damaged(path, table, &what));
        }
        let mut statement = connection
            .prepare(&format!(
                "SELECT key, data, crc FROM {} ORDER BY key",
                table.name()
            ))
            .map_err(fail)?;
        let mut rows = statement.query([]).map_err(fail)?;
        let mut found = Tally::default();
        while let Some(row) = rows.next().map_err(fail)? {
            let key = row.get_ref(0).map_err(fail)?.as_blob();
            let data = row.get_ref(1).map_err(fail)?.as_blob();
            let crc: Option<u32> = row.get(2).ok();
            let (Ok(key), Ok(data), Some(crc)) = (key, data, crc) else {
                return Err(damaged(path, table, "a row is of another type"));
            };
            if table.crc(key, data) != crc {
                return Err(damaged(path, table, "the checksum of a row does not hold"));
            }
            found.rows += 1;
            found.sum ^= crc;
            each(key, data);
        }
        let expected = self.tallies.get(&table).copied().unwrap_or_default();
        if found == expected {
            return Ok(());
        }
        let what = format!("{} rows of {} are there", found.rows, expected.rows);
        Err(damaged(path, table, &what))
    }
}

/// A row, checked.
pub(crate) fn get(
    connection: &Connection,
    path: &Path,
    table: Table,
    key: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    let found: Option<(Vec<u8>, u32)> = connection
        .prepare_cached(&format!(
            "SELECT data, crc FROM {} WHERE key = ?",
            table.name()
        ))
        .and_then(|mut statement| {
            statement
                .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })
        .map_err(|error| StoreError::sqlite(path, error))?;
    let Some((data, crc)) = found else {
        return Ok(None);
    };
    if table.crc(key, &data) != crc {
        return Err(damaged(path, table, "the checksum of a row does not hold"));
    }
    Ok(Some(data))
}

/// Rows whose key is at least `from` and below `to`, checked, in order or from the last on.
pub(crate) fn range(
    connection: &Connection,
    path: &Path,
    table: Table,
    (from, to): (&[u8], &[u8]),
    order: &'static str,
    most: usize,
) -> Result<Vec<Entry>, StoreError> {
    let fail = |error| StoreError::sqlite(path, error);
    let mut statement = connection
        .prepare_cached(&format!(
            "SELECT key, data, crc FROM {} WHERE key >= ? AND key < ? ORDER BY key {order} LIMIT ?",
            table.name()
        ))
        .map_err(fail)?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![from, to, most]).map_err(fail)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(fail)? {
        let read = (|| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))();
        let (key, data, crc): (Vec<u8>, Vec<u8>, u32) = read.map_err(fail)?;
        if table.crc(&key, &data) != crc {
            return Err(damaged(path, table, "the checksum of a row does not hold"));
        }
        found.push((key, data));
    }
    Ok(found)
}

fn tally_crc(table: Table, Tally { rows, sum }: Tally) -> u32 {
    checksum(&[
        table.name().as_bytes(),
        &rows.to_le_bytes(),
        &sum.to_le_bytes(),
    ])
}

/// The error for damage in a table.
pub(crate) fn damaged(path: &Path, table: Table, what: &str) -> StoreError {
    StoreError::Damaged {
        path: path.to_owned(),
        what: format!("table {}: {what}", table.name()),
        cure: RESTORE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_there_once_it_lies_apart() {
        let path = Path::new("state.db");
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(Table::SCHEMA).unwrap();
        let mut ledger = Ledger::default();
        let large = vec![7; 300_000];
        let tables = [Table::Evidence, Table::Checkpoint, Table::Incident];
        for table in tables {
            for (key, data) in [(b"b", &b"small"[..]), (b"a", &large)] {
                ledger.put(&connection, table, key, data).unwrap();
            }
        }
        connection.execute_batch(Table::APART).unwrap();
        for table in tables {
            assert!(ledger.put(&connection, table, b"b", b"newer").unwrap());
            let mut keys = Vec::new();
            let each = |key: &[u8], _: &[u8]| keys.push(key.to_vec());
            ledger.verify(&connection, path, table, each).unwrap();
            assert_eq!(keys, [b"a", b"b"]);
            let kept = get(&connection, path, table, b"a").unwrap();
            assert_eq!(kept.as_ref(), Some(&large));
            assert!(ledger.remove(&connection, table, b"a").unwrap());
            assert_eq!(get(&connection, path, table, b"a").unwrap(), None);
        }
    }
}
