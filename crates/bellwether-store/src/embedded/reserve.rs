//! Space held back, so that incidents and notices can still be kept when the disk is full.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::files;
use crate::StoreError;

/// What must be free before the reserve is taken, as often as it is large: itself, as much again,
/// and as much for everybody who writes while it is tried.
const ROOM: u64 = 3;

/// Written at a time: small enough to be no burden, large enough to be few calls.
const CHUNK: usize = 1024 * 1024;

/// At most so many calls are passed over after attempts that failed: at one call every twenty
/// seconds, twenty minutes.
const PAUSE_MAX: u32 = 64;

/// A file that takes up space until it is needed.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
    /// Calls to be passed over before it is tried again.
    pause: AtomicU32,
    /// How many there are after the next failure.
    next_pause: AtomicU32,
}

impl Reserve {
    /// In a data directory.
    pub(crate) fn new(dir: &Path, bytes: u64) -> Self {
        Self {
            path: dir.join("reserve"),
            bytes,
            pause: AtomicU32::new(0),
            next_pause: AtomicU32::new(1),
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
        self.take_of(free)
    }

    /// Nothing is written where the space is known not to be there: to fill the disk in order to
    /// find out would do what it is to protect from. A quota shows only by trying, and is tried ever
    /// more rarely.
    fn take_of(&self, free: impl Fn(&Path) -> Option<u64>) -> Result<(), StoreError> {
        if self.held() {
            return Ok(());
        }
        let full = || StoreError::Full {
            path: self.path.clone(),
        };
        let dir = self.path.parent().unwrap_or(&self.path);
        if free(dir).is_some_and(|free| free < self.bytes.saturating_mul(ROOM)) {
            return Err(full());
        }
        let pause = self.pause.load(Ordering::Relaxed);
        if pause > 0 {
            self.pause.store(pause - 1, Ordering::Relaxed);
            return Err(full());
        }
        let trial = self.path.with_extension("trial");
        let taken = fill(&trial, self.bytes * 2)
            .and_then(|file| {
                file.set_len(self.bytes)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&trial, &self.path));
        match taken {
            Ok(()) => {
                self.next_pause.store(1, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                // What could not be made whole is no reserve.
                let _ = fs::remove_file(&trial);
                let pause = self.next_pause.load(Ordering::Relaxed);
                self.pause.store(pause, Ordering::Relaxed);
                let next = (pause * 2).min(PAUSE_MAX);
                self.next_pause.store(next, Ordering::Relaxed);
                Err(StoreError::io(&self.path, error))
            }
        }
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

/// Bytes that are free where a directory is, for who is not root; `None` if the system does not say.
fn free(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Writes a file full of noise, because some file systems keep zeros in no space at all.
fn fill(path: &Path, bytes: u64) -> io::Result<File> {
    let mut file = files::create_file(path)?;
    file.set_len(0)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_is_not_filled_to_find_out() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(dir.path(), 64 * 1024);
        // Where a directory stands nothing can be written: who tries hears of that instead.
        let trial = dir.path().join("reserve.trial");
        fs::create_dir(&trial).unwrap();
        let taken = reserve.take_of(|_| Some(128 * 1024));
        assert!(matches!(taken, Err(StoreError::Full { .. })), "{taken:?}");
        // With room it is tried, and after a failure not at once again.
        let taken = reserve.take_of(|_| Some(u64::MAX));
        assert!(matches!(taken, Err(StoreError::Io { .. })), "{taken:?}");
        let taken = reserve.take_of(|_| Some(u64::MAX));
        assert!(matches!(taken, Err(StoreError::Full { .. })), "{taken:?}");
        fs::remove_dir(&trial).unwrap();
        let taken = reserve.take_of(|_| Some(u64::MAX));
        assert!(taken.is_ok() && reserve.held(), "{taken:?}");
        assert!(free(dir.path()).is_some());
    }
}
