//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No space, no inodes, or a quota: nothing of it was kept. Space will make it work again.
    #[error("no space left for `{path}`")]
    Full {
        /// Where.
        path: PathBuf,
    },
    /// The file system takes no writes. Reading goes on.
    #[error("`{path}` cannot be written: its file system is read-only")]
    ReadOnly {
        /// Where.
        path: PathBuf,
    },
    /// A write or its sync failed: what was to be kept is in doubt. The file is opened again from
    /// what is durable before anything else is kept in it.
    #[error("failed to write `{path}`")]
    Write {
        /// Where.
        path: PathBuf,
        /// What the engine says.
        #[source]
        source: Cause,
    },
    /// Anything else that the engine or the system refuses.
    #[error("failed to use `{path}`")]
    Io {
        /// Where.
        path: PathBuf,
        /// What the engine or the system says.
        #[source]
        source: Cause,
    },
    /// What is there is not what was written.
    #[error("`{path}` is damaged: {what}; {cure}")]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// What to do.
        cure: &'static str,
    },
    /// Another process has the data directory.
    #[error("data directory `{path}` is in use by process {pid}", pid = .pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()))]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// Who has it, as far as it says.
        pid: Option<u32>,
    },
    /// Written by a newer program.
    #[error(
        "`{path}` has schema {found}, and this program knows up to {known}: use a newer bellwether, or restore a backup made before the update"
    )]
    Newer {
        /// Where.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// What cannot be kept as it is.
    #[error("cannot keep {0}")]
    Invalid(String),
    /// Anything of another engine.
    #[error("{0}")]
    Other(String),
}

/// What lies behind an error.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The cure for a damaged `state.db`.
pub(crate) const RESTORE: &str = "restore the data directory from a backup";

impl StoreError {
    /// Of a system call.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            _ => Self::Io {
                path,
                source: source.into(),
            },
        }
    }

    /// Of SQLite.
    pub(crate) fn sqlite(path: &Path, error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        use rusqlite::ffi;
        let path = path.to_owned();
        let code = error.sqlite_error().copied();
        match code.map(|code| (code.code, code.extended_code)) {
            Some((Code::DiskFull, _)) => Self::Full { path },
            Some((Code::ReadOnly, _)) => Self::ReadOnly { path },
            Some((Code::DatabaseCorrupt | Code::NotADatabase, _)) => Self::Damaged {
                path,
                what: error.to_string(),
                cure: RESTORE,
            },
            Some((
                Code::SystemIoFailure,
                ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ,
            )) => Self::Io {
                path,
                source: error.into(),
            },
            Some((Code::SystemIoFailure, _)) => Self::Write {
                path,
                source: error.into(),
            },
            _ => Self::Io {
                path,
                source: error.into(),
            },
        }
    }

    /// Of a file whose path leads elsewhere by now: what is written to it is gone with the process.
    pub(crate) fn taken_away(path: &Path) -> Self {
        Self::Write {
            path: path.to_owned(),
            source: "it was taken away while it was in use".into(),
        }
    }

    /// Whether space, and nothing else, is what it needs.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}
