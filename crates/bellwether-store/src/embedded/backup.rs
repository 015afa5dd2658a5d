//! A copy of the data directory, made while it is written to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Embedded;
use super::files::{create_dir, sync_dir, vacuum_from, vacuum_into};
use super::sqlite::lock;
use crate::StoreError;

/// Copies a data directory that another process may write to, as of about now, into a directory that
/// is empty or not there yet. It can be opened like the original.
///
/// # Errors
/// Something is there already; there is no data directory; disk full; I/O.
pub fn backup(from: &Path, to: &Path) -> Result<(), StoreError> {
    let results = to.join("results");
    begin(to, &results)?;
    // State first: what it names must be among the days that follow.
    vacuum_from(&from.join("state.db"), &to.join("state.db"))?;
    let mut copied = BTreeSet::new();
    // A day that is begun meanwhile is copied too; there is never more than one more.
    for _ in 0..2 {
        for day in days(&from.join("results"))? {
            if !copied.insert(day.clone()) {
                continue;
            }
            let Some(name) = day.file_name() else {
                continue;
            };
            match vacuum_from(&day, &results.join(name)) {
                // It was too old to be kept, and was dropped meanwhile.
                Err(_) if !day.exists() => {}
                done => done?,
            }
        }
    }
    let rollups = from.join("rollup.db");
    if rollups.exists() {
        vacuum_from(&rollups, &to.join("rollup.db"))?;
    }
    sync_dir(&results)?;
    sync_dir(to)
}

/// The day files of a directory.
fn days(results: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = fs::read_dir(results).map_err(|error| StoreError::io(results, error))?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths
        .filter(|path| path.extension().is_some_and(|e| e == "db"))
        .collect())
}

/// Makes the directories of a copy.
fn begin(to: &Path, results: &Path) -> Result<(), StoreError> {
    if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(StoreError::Invalid(format!(
            "a backup in `{}`: something is there already",
            to.display()
        )));
    }
    create_dir(results)
}

impl Embedded {
    /// Copies everything, as of about now, into a directory that is empty or not there yet. It can
    /// be opened like the original. Days that are closed are linked where the file system can.
    ///
    /// # Errors
    /// Something is there already; disk full; I/O.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        // No day is dropped, closed or turned meanwhile.
        let _still = lock(&self.maintaining);
        let results = to.join("results");
        begin(to, &results)?;
        // State first: what it names must be among the days that follow.
        self.state.copy_to(&to.join("state.db"))?;
        for file in self.day_files() {
            let Some(name) = file.path.file_name() else {
                continue;
            };
            let to = results.join(name);
            if file.is_closed() {
                fs::hard_link(&file.path, &to)
                    .or_else(|_| fs::copy(&file.path, &to).map(|_| ()))
                    .map_err(|error| StoreError::io(&to, error))?;
                let synced = fs::File::open(&to).and_then(|file| file.sync_all());
                synced.map_err(|error| StoreError::io(&to, error))?;
            } else {
                vacuum_into(&file.readers, &to)?;
            }
        }
        self.rollups.copy_to(&to.join("rollup.db"))?;
        sync_dir(&results)?;
        sync_dir(to)
    }
}
