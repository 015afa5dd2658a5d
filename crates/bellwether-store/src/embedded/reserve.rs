//! Space held back, so that incidents and notices can still be kept when the disk is full.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::StoreError;

/// Written at a time: small enough to be no burden, large enough to be few calls.
const CHUNK: usize = 1024 * 1024;

/// A file that takes up space until it is needed.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    /// In a data directory.
    pub(crate) fn new(dir: &Path, bytes: u64) -> Self {
        Self {
            path: dir.join("reserve"),
            bytes,
        }
    }

    /// Gives the space up. Whether there was any.
    pub(crate) fn release(&self) -> bool {
        let released = self.bytes > 0 && fs::remove_file(&self.path).is_ok();
        if released {
            tracing::error!(path = %self.path.display(), "disk full: the reserve is given up");
        }
        released
    }

    /// Whether it is there.
    pub(crate) fn held(&self) -> bool {
        self.bytes == 0
            || fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() >= self.bytes)
    }

    /// Takes the space again, and as much again must be free besides: else the disk would be full
    /// for everybody as soon as the reserve is whole.
    pub(crate) fn take(&self) -> Result<(), StoreError> {
        if self.held() {
            return Ok(());
        }
        let trial = self.path.with_extension("trial");
        let taken = fill(&trial, self.bytes * 2)
            .and_then(|file| {
                file.set_len(self.bytes)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&trial, &self.path));
        taken.map_err(|error| {
            // What could not be made whole is no reserve.
            let _ = fs::remove_file(&trial);
            StoreError::io(&self.path, error)
        })
    }

    /// Says of a failed write whether space is what it lacked: the engine tells a full disk, but
    /// not a quota or a bound on the size of files.
    pub(crate) fn judge(&self, path: &Path, error: StoreError) -> StoreError {
        if !matches!(error, StoreError::Write { .. } | StoreError::Io { .. }) {
            return error;
        }
        let trial = self.path.with_extension("probe");
        let tried = fill(&trial, CHUNK as u64);
        let _ = fs::remove_file(&trial);
        match tried.map_err(|error| StoreError::io(path, error)) {
            Err(StoreError::Full { path }) => StoreError::Full { path },
            Err(StoreError::ReadOnly { path }) => StoreError::ReadOnly { path },
            _ => error,
        }
    }
}

/// Writes a file full of noise, because some file systems keep zeros in no space at all.
fn fill(path: &Path, bytes: u64) -> io::Result<File> {
    let mut file = File::create(path)?;
    let mut noise = vec![0; CHUNK];
    fastrand::Rng::with_seed(bytes).fill(&mut noise);
    let mut left = bytes;
    while left > 0 {
        let len = left.min(CHUNK as u64);
        file.write_all(&noise[..len as usize])?;
        left -= len;
    }
    Ok(file)
}
