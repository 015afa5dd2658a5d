//! Files of the data directory: who has it, and how a file comes to be there whole or not at all.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::sqlite::{self, Readers};
use crate::StoreError;

/// Evidence, incidents and hashes of tokens are for who runs this alone, whatever the umask says.
const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// What of a mode is for everybody else.
const OTHERS: u32 = 0o077;

/// Makes a directory with those above it, for who runs this alone. One that is there stays as it is.
pub(crate) fn create_dir(path: &Path) -> Result<(), StoreError> {
    let mut builder = fs::DirBuilder::new();
    let made = builder.recursive(true).mode(DIR_MODE).create(path);
    made.map_err(|error| StoreError::io(path, error))
}

/// Opens a file for writing, or makes it for who runs this alone. What is in it stays.
pub(crate) fn create_file(path: &Path) -> std::io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path)
}

/// Says it if others can get into a data directory: it may be meant so.
pub(crate) fn warn_of_readers(dir: &Path) {
    if let Ok(metadata) = fs::metadata(dir)
        && metadata.mode() & OTHERS != 0
    {
        tracing::warn!(
            dir = %dir.display(),
            mode = format!("{:o}", metadata.mode() & 0o777),
            "other users of this machine can get into the data directory; `chmod -R go-rwx` keeps them out"
        );
    }
}

/// Takes the data directory for this process: the lock goes when the process does.
pub(crate) fn take(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let fail = |error| StoreError::io(&path, error);
    let mut file = create_file(&path).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = file.read_to_string(&mut text).ok();
            return Err(StoreError::Locked {
                path: dir.to_owned(),
                pid: read.and_then(|_| text.trim().parse().ok()),
            });
        }
        Err(TryLockError::Error(error)) => return Err(fail(error)),
    }
    // Who has it is said for people only: on a full disk it is not said.
    let said = file
        .set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(file, "{}", std::process::id()));
    if let Err(error) = said {
        tracing::warn!(%error, "the lock file does not say who has it");
    }
    Ok(file)
}

/// Makes a directory's entries durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| StoreError::io(dir, error))
}

/// Device and number of the file at a path; none if there is none.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// The same of a file that is open.
pub(crate) fn identity_of(file: &File) -> Option<(u64, u64)> {
    let metadata = file.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// The path with something added to its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Removes a file of the engine with what belongs to it.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let path = beside(path, suffix);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io(&path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Renames a file of the engine with what belongs to it, so that it is out of the way and can be
/// looked at. Its new path.
pub(crate) fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let mut aside = beside(path, ".damaged");
    let mut number = 1;
    while aside.exists() {
        number += 1;
        aside = beside(path, &format!(".damaged{number}"));
    }
    fs::rename(path, &aside).map_err(|error| StoreError::io(path, error))?;
    for suffix in ["-wal", "-shm", "-journal"] {
        // What is not there need not move.
        let _ = fs::rename(beside(path, suffix), beside(&aside, suffix));
    }
    Ok(aside)
}

/// Copies what a connection sees into a new file and puts that in a path's place.
pub(crate) fn write_anew(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let new = beside(path, ".new");
    remove(&new)?;
    vacuum(connection, &new)?;
    for suffix in ["-wal", "-shm"] {
        // The log of the file that was here would be taken for the new one's.
        let _ = fs::remove_file(beside(path, suffix));
    }
    fs::rename(&new, path).map_err(|error| StoreError::io(path, error))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// The same by a connection of one's own: of a file that another process writes to.
pub(crate) fn vacuum_from(from: &Path, to: &Path) -> Result<(), StoreError> {
    let connection = sqlite::open_reader(from)?;
    connection
        .execute_batch("PRAGMA query_only = OFF;")
        .map_err(|error| StoreError::sqlite(from, error))?;
    vacuum(&connection, to)
}

/// Copies a file as of now into a new one, while others write.
pub(crate) fn vacuum_into(readers: &Readers, to: &Path) -> Result<(), StoreError> {
    let lent = readers.begin()?;
    // Copying needs to begin its own transaction, and to write, if only elsewhere.
    let connection = lent.connection();
    let fail = |error| StoreError::sqlite(to, error);
    connection
        .execute_batch("ROLLBACK; PRAGMA query_only = OFF;")
        .map_err(fail)?;
    let copied = vacuum(connection, to);
    connection
        .execute_batch("PRAGMA query_only = ON;")
        .map_err(fail)?;
    copied
}

fn vacuum(connection: &Connection, to: &Path) -> Result<(), StoreError> {
    let name = to.to_str().ok_or_else(|| {
        StoreError::Invalid(format!("a copy at `{}`: the path is no text", to.display()))
    })?;
    // An empty file is taken as it is, with its mode; one that holds something is not touched.
    create_file(to).map_err(|error| StoreError::io(to, error))?;
    connection
        .execute("VACUUM INTO ?", [name])
        .map_err(|error| StoreError::sqlite(to, error))?;
    File::open(to)
        .and_then(|file| file.sync_all())
        .map_err(|error| StoreError::io(to, error))
}
