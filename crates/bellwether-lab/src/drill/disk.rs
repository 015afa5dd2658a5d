//! A disk of a program's own, which can be filled.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::LabError;
use crate::scenario::serve::DiskWord;
use crate::sys;

/// The file that takes all the room.
const BALLAST: &str = "ballast";
/// How much of it is written at once, bytes.
const PIECE: [u8; 4096] = [0; 4096];

/// A file system in memory, mounted where data lie. It ends with this process.
#[derive(Debug)]
pub(super) struct Disk {
    ballast: PathBuf,
}

impl Disk {
    /// Mounts one of so many MiB.
    pub(super) fn new(folder: &Path, mib: u32) -> Result<Self, LabError> {
        let failed = |source| LabError::File {
            doing: "mount a disk at",
            path: folder.into(),
            source,
        };
        fs::create_dir_all(folder).map_err(failed)?;
        sys::mount_memory(folder, mib).map_err(failed)?;
        Ok(Self {
            ballast: folder.join(BALLAST),
        })
    }

    /// Takes all the room there is, or gives it back.
    pub(super) fn set(&self, word: DiskWord) -> Result<(), LabError> {
        let done = match word {
            DiskWord::Full => self.fill(),
            DiskWord::Free => fs::remove_file(&self.ballast),
        };
        done.map_err(|source| LabError::File {
            doing: "write",
            path: self.ballast.clone(),
            source,
        })
    }

    fn fill(&self) -> io::Result<()> {
        let mut file = fs::File::options()
            .create(true)
            .append(true)
            .open(&self.ballast)?;
        loop {
            match file.write_all(&PIECE) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Else the folder cannot be removed. What is not mounted any more is as good.
        if let Some(folder) = self.ballast.parent() {
            let _ = sys::unmount(folder);
        }
    }
}
