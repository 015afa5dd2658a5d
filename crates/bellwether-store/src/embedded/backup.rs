//! A copy of the data directory, made while it is written to.

use std::fs;
use std::path::Path;

use super::Embedded;
use super::files::{sync_dir, vacuum_into};
use super::sqlite::lock;
use crate::StoreError;

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
        let fail = |error| StoreError::io(to, error);
        if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(StoreError::Invalid(format!(
                "a backup in `{}`: something is there already",
                to.display()
            )));
        }
        fs::create_dir_all(&results).map_err(fail)?;
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
