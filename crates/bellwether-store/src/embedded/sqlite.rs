//! Connections to SQLite: how they are opened, migrated and given out.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::StoreError;

/// Longest wait for a lock of another connection of ours: only a checkpoint waits for readers.
const BUSY: Duration = Duration::from_secs(5);

/// A write-ahead log of about this size is copied into its file. Larger logs write each page less
/// often; it is read once at start.
const CHECKPOINT_BYTES: u32 = 16 * 1024 * 1024;

/// Idle connections kept for the next reader of a file.
const IDLE_READERS_MAX: usize = 4;

/// What kind of file it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// Stands in the header of the file, so that one kind is never taken for another.
    pub(crate) application: i32,
    /// Bytes of a page.
    pub(crate) page: u32,
    /// KiB of cache of the writer.
    pub(crate) cache_kib: u32,
    /// `FULL`, but for what can be computed again.
    pub(crate) synchronous: &'static str,
    /// `INCREMENTAL` where pages that are free are to be given back: in a file that never ends.
    pub(crate) auto_vacuum: &'static str,
    /// From each schema to the next; the first from nothing.
    pub(crate) migrations: &'static [&'static str],
}

/// Makes a file, or opens it for writing if it is there, and brings it to the newest schema.
pub(crate) fn create(path: &Path, kind: &Kind) -> Result<Connection, StoreError> {
    open_with(path, kind, OpenFlags::SQLITE_OPEN_CREATE)
}

/// Opens a file that is there for writing, and brings it to the newest schema.
pub(crate) fn open_writer(path: &Path, kind: &Kind) -> Result<Connection, StoreError> {
    open_with(path, kind, OpenFlags::empty())
}

fn open_with(path: &Path, kind: &Kind, flags: OpenFlags) -> Result<Connection, StoreError> {
    let fail = |error| StoreError::sqlite(path, error);
    if flags.contains(OpenFlags::SQLITE_OPEN_CREATE) {
        // The engine gives what belongs to a file the file's own mode.
        super::files::create_file(path).map_err(|error| StoreError::io(path, error))?;
    }
    let mut connection = Connection::open_with_flags(
        path,
        flags | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(fail)?;
    connection.busy_timeout(BUSY).map_err(fail)?;
    refuse_newer(&connection, path, kind)?;
    let Kind {
        page,
        cache_kib,
        synchronous,
        auto_vacuum,
        ..
    } = kind;
    let pages = CHECKPOINT_BYTES / page;
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = {page};
             PRAGMA auto_vacuum = {auto_vacuum};
             PRAGMA journal_mode = WAL;
             PRAGMA synchronous = {synchronous};
             PRAGMA wal_autocheckpoint = {pages};
             PRAGMA journal_size_limit = {CHECKPOINT_BYTES};
             PRAGMA cache_size = -{cache_kib};
             PRAGMA cell_size_check = ON;
             PRAGMA temp_store = MEMORY;"
        ))
        .map_err(fail)?;
    migrate(&mut connection, path, kind)?;
    Ok(connection)
}

/// Opens a file that is there, for reading.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let fail = |error| StoreError::sqlite(path, error);
    // A reader of a file with a write-ahead log takes part in its locks: it must be able to write
    // them, and asks itself not to write anything else.
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .or_else(|_| {
        Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
    })
    .map_err(fail)?;
    connection.busy_timeout(BUSY).map_err(fail)?;
    connection
        .execute_batch(
            "PRAGMA query_only = ON;
             PRAGMA cache_size = -256;
             PRAGMA cell_size_check = ON;
             PRAGMA temp_store = MEMORY;",
        )
        .map_err(fail)?;
    Ok(connection)
}

fn number(connection: &Connection, path: &Path, sql: &str) -> Result<i64, StoreError> {
    connection
        .query_row(sql, [], |row| row.get(0))
        .map_err(|error| StoreError::sqlite(path, error))
}

/// The schema of a file; an error if it is above what this program knows, or another's file.
pub(crate) fn refuse_newer(
    connection: &Connection,
    path: &Path,
    kind: &Kind,
) -> Result<usize, StoreError> {
    let found = number(connection, path, "PRAGMA user_version")?;
    let known = kind.migrations.len();
    let schema = usize::try_from(found).ok().filter(|&found| found <= known);
    let Some(schema) = schema else {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: known as i64,
        });
    };
    let application = number(connection, path, "PRAGMA application_id")?;
    let own = application == i64::from(kind.application);
    if own || (schema == 0 && application == 0) {
        return Ok(schema);
    }
    Err(StoreError::Damaged {
        path: path.to_owned(),
        what: format!("its header says that it is another kind of file ({application})"),
        cure: crate::error::RESTORE,
    })
}

fn migrate(connection: &mut Connection, path: &Path, kind: &Kind) -> Result<(), StoreError> {
    let fail = |error| StoreError::sqlite(path, error);
    let schema = refuse_newer(connection, path, kind)?;
    for (index, step) in kind.migrations.iter().enumerate().skip(schema) {
        let transaction = connection.transaction().map_err(fail)?;
        transaction.execute_batch(step).map_err(fail)?;
        transaction
            .execute_batch(&format!(
                "PRAGMA application_id = {}; PRAGMA user_version = {};",
                kind.application,
                index + 1
            ))
            .map_err(fail)?;
        transaction.commit().map_err(fail)?;
    }
    Ok(())
}

/// What the engine itself finds wrong with a file, or with one table of it.
pub(crate) fn quick_check(
    connection: &Connection,
    table: Option<&str>,
) -> Result<Option<String>, rusqlite::Error> {
    let sql = table.map_or("PRAGMA quick_check(4)".to_owned(), |table| {
        format!("PRAGMA quick_check({table})")
    });
    let mut statement = connection.prepare(&sql)?;
    let lines: Vec<String> = statement
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok((lines != ["ok"]).then(|| lines.join("; ")))
}

/// What of a file's description of its own tables is not as it was written. No checksum is over it.
pub(crate) fn schema_differs(
    connection: &Connection,
    kind: &Kind,
    schema: usize,
) -> rusqlite::Result<Option<String>> {
    let read = |connection: &Connection| {
        let sql = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name";
        let mut statement = connection.prepare(sql)?;
        let row = |row: &rusqlite::Row<'_>| {
            let sql: Option<String> = row.get(3)?;
            Ok([
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                sql.unwrap_or_default(),
            ])
        };
        let rows = statement.query_map([], row)?;
        rows.collect::<rusqlite::Result<Vec<[String; 4]>>>()
    };
    let model = Connection::open_in_memory()?;
    for step in kind.migrations.iter().take(schema) {
        model.execute_batch(step)?;
    }
    let (found, expected) = (read(connection)?, read(&model)?);
    let strange = found.iter().find(|row| !expected.contains(row));
    let missing = expected.iter().find(|row| !found.contains(row));
    Ok(strange.or(missing).map(|[kind, name, ..]| {
        format!("its own description of {kind} `{name}` is not as it was written")
    }))
}

/// Copies the write-ahead log into its file and empties it. This is what makes a file trusted
/// again after a failed sync: what was in the system's cache is written once more and synced.
pub(crate) fn checkpoint(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let busy: i64 = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(|error| StoreError::sqlite(path, error))?;
    if busy == 0 {
        return Ok(());
    }
    Err(StoreError::Write {
        path: path.to_owned(),
        source: "readers keep its log from being written back".into(),
    })
}

/// Connections for readers of one file.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Of a file; none is opened yet.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            idle: Mutex::default(),
        }
    }

    /// Opens one in advance, so that reading goes on when nothing can be opened any more.
    pub(crate) fn warm(&self) -> Result<(), StoreError> {
        self.with(|connection| connection.query_row("PRAGMA schema_version", [], |_| Ok(())))
    }

    /// Lends a connection inside a transaction: everything read through it is of one moment.
    pub(crate) fn begin(&self) -> Result<Lent<'_>, StoreError> {
        let idle = lock(&self.idle).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open_reader(&self.path)?,
        };
        let lent = Lent {
            readers: self,
            connection: Some(connection),
        };
        lent.connection()
            .execute_batch("BEGIN; SELECT 1 FROM sqlite_schema;")
            .map_err(|error| StoreError::sqlite(&self.path, error))?;
        Ok(lent)
    }

    /// Reads once.
    pub(crate) fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let lent = self.begin()?;
        read(lent.connection()).map_err(|error| StoreError::sqlite(&self.path, error))
    }

    /// Closes the idle ones.
    pub(crate) fn close(&self) {
        lock(&self.idle).clear();
    }
}

/// A connection that goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Lent<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Lent<'_> {
    /// The connection.
    pub(crate) fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("there until dropped")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok() {
            let mut idle = lock(&self.readers.idle);
            if idle.len() < IDLE_READERS_MAX {
                idle.push(connection);
            }
        }
    }
}

/// Locks; a thread that panicked with the lock leaves data that was valid at every step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
