//! What is due from time to time: sealing, folding, turning the day, dropping what is old or too
//! much, and looking whether the files are still there.

use std::fs;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

use super::active::Active;
use super::day::{self, DayFile, HOUR, name_of, set_meta};
use super::fold::Due;
use super::open::keep_wrong;
use super::read::time;
use super::sqlite::{self, lock};
use super::{Embedded, files};
use crate::{Maintained, Retention, StoreError};

/// How often the head is sealed: longer takes more memory and a longer start, shorter larger parts.
const SEAL_EVERY: i64 = 10 * 60 * 1_000_000;

/// How often old state is looked for.
const DROP_EVERY: i64 = HOUR;

/// Attempts to turn the day while envelopes keep coming in between.
const TURNS_MAX: usize = 3;

/// When what was done last, microseconds since 1970.
#[derive(Debug)]
pub(crate) struct Dues {
    sealed: i64,
    dropped: Option<i64>,
}

impl Dues {
    /// As of opening.
    pub(crate) fn new(now: i64) -> Self {
        Self {
            sealed: now,
            dropped: None,
        }
    }
}

impl Embedded {
    /// Does everything that is due. One step that fails does not keep the others from being done:
    /// dropping a day may be what makes the next seal possible.
    pub(crate) fn do_maintain(
        &self,
        now: Timestamp,
        keep: &Retention,
    ) -> Result<Maintained, StoreError> {
        let mut dues = lock(&self.maintaining);
        let micros = now.as_microsecond();
        let mut done = Maintained::default();
        let mut steps = Steps::default();
        steps.take(self.watch());
        steps.take(self.hold_reserve());
        if dues.sealed > micros || micros - dues.sealed >= SEAL_EVERY {
            done.sealed += steps.take(self.seal());
            dues.sealed = micros;
        }
        done.sealed += steps.take(self.turn(micros));
        for file in self.day_files() {
            if !file.is_rolled() {
                done.folded += steps.take(self.finish(&file, micros));
            }
        }
        done.dropped = steps.take(self.drop_days(now, keep));
        if dues
            .dropped
            .is_none_or(|last| (micros - last).abs() >= DROP_EVERY)
        {
            steps.take(self.drop_state(now, keep));
            dues.dropped = Some(micros);
        }
        match steps.failed {
            Some(error) => Err(error),
            None => {
                done.damage = std::mem::take(&mut *lock(&self.damage));
                Ok(done)
            }
        }
    }

    /// Folds what is due of a file, closes it if its day is over, and computes its roll-ups.
    fn finish(&self, file: &DayFile, now: i64) -> Result<usize, StoreError> {
        let open = lock(&self.active).file.day == file.day;
        let mut folded = 0;
        if !file.is_closed() {
            folded = self.fold(file, if open { Due::By(now) } else { Due::All })?;
            if !open {
                close(file)?;
            }
        }
        match self.roll(file) {
            Ok(()) if file.is_closed() => file.set_rolled(),
            Ok(()) => {}
            // Roll-ups that cannot be computed keep nothing else from being done.
            Err(error @ StoreError::Damaged { .. }) => self.note_damage(error.to_string()),
            Err(error) => return Err(error),
        }
        Ok(folded)
    }

    /// Begins a new file when the day is over. How many runs were sealed for it.
    fn turn(&self, now: i64) -> Result<usize, StoreError> {
        let day = day::day_of(now);
        let mut sealed = 0;
        for _ in 0..TURNS_MAX {
            if lock(&self.active).file.day >= day {
                return Ok(sealed);
            }
            sealed += self.seal()?;
            let mut active = lock(&self.active);
            self.freshen(&mut active)?;
            if active.inbox.rows > 0 {
                continue;
            }
            let next = Active::create(&self.dir, day, active.cursors())?;
            keep_wrong(&self.state, day)?;
            let mut heads = self.heads_mut();
            *heads = super::envelope::Heads {
                day,
                ..Default::default()
            };
            self.files_mut().insert(day, next.file.clone());
            *active = next;
            return Ok(sealed);
        }
        Ok(sealed)
    }

    /// Holds space back again after it was given up.
    fn hold_reserve(&self) -> Result<(), StoreError> {
        match self.reserve.take() {
            // The disk is still full, and everybody who writes hears of it.
            Err(StoreError::Full { .. } | StoreError::ReadOnly { .. }) => Ok(()),
            other => other,
        }
    }

    /// Looks whether the files are still those that are open, and writes anew what is not.
    fn watch(&self) -> Result<(), StoreError> {
        if !self.state.is_there() {
            self.note_damage(format!(
                "`{}` was taken away while it was open",
                self.state.path().display()
            ));
            self.state.rescue()?;
        }
        if !self.rollups.is_there() {
            self.note_damage("the roll-ups were taken away while they were open".to_owned());
            self.rollups.rescue()?;
        }
        let active = lock(&self.active).file.clone();
        for file in self.day_files() {
            if file.is_there() {
                continue;
            }
            let what = format!(
                "`{}` was taken away while it was in use",
                file.path.display()
            );
            self.note_damage(what.clone());
            let rescued = file.rescue();
            if rescued.is_ok() {
                if Arc::ptr_eq(&file, &active) {
                    lock(&self.active).stale = true;
                }
                continue;
            }
            if Arc::ptr_eq(&file, &active) {
                return rescued;
            }
            self.state.set_day(file.day, Some(&what))?;
            self.files_mut().remove(&file.day);
        }
        Ok(())
    }

    /// Drops days that are too old, and the oldest as long as all is too large. Never the one that
    /// is written to.
    fn drop_days(&self, now: Timestamp, keep: &Retention) -> Result<Vec<String>, StoreError> {
        let mut dropped = Vec::new();
        let oldest = day::day_of(now.as_microsecond()).saturating_sub_unsigned(keep.raw_days);
        let active = lock(&self.active).file.day;
        for file in self.day_files() {
            let too_old = file.day < oldest;
            if file.day == active || !(too_old || self.bytes()? > keep.max_bytes) {
                continue;
            }
            self.state.forget_day(file.day)?;
            self.files_mut().remove(&file.day);
            file.readers.close();
            *lock(&file.writer) = None;
            files::remove(&file.path)?;
            dropped.push(name_of(file.day));
        }
        for (day, wrong) in self.state.days() {
            if wrong.is_some() && day < oldest && day != active {
                self.state.forget_day(day)?;
            }
        }
        let rollups = day::day_of(now.as_microsecond()).saturating_sub_unsigned(keep.rollup_days);
        self.rollups.drop_before(rollups)?;
        Ok(dropped)
    }

    fn drop_state(&self, now: Timestamp, keep: &Retention) -> Result<(), StoreError> {
        let before = |days: u32| {
            let age = SignedDuration::from_hours(i64::from(days) * 24);
            now.checked_sub(age).unwrap_or(Timestamp::MIN)
        };
        // What is kept is kept by whole microseconds.
        let raw = time(before(keep.raw_days).as_microsecond());
        self.state.drop_before(raw, before(keep.rollup_days))
    }

    /// Bytes of the data directory, as the disk has them.
    ///
    /// # Errors
    /// I/O.
    pub fn bytes(&self) -> Result<u64, StoreError> {
        let results = self.dir.join("results");
        Ok(bytes_in(&self.dir)? + bytes_in(&results)?)
    }

    pub(crate) fn files_mut(
        &self,
    ) -> std::sync::RwLockWriteGuard<'_, std::collections::BTreeMap<i32, Arc<DayFile>>> {
        self.files.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first error of several steps.
#[derive(Default)]
struct Steps {
    failed: Option<StoreError>,
}

impl Steps {
    fn take<T: Default>(&mut self, step: Result<T, StoreError>) -> T {
        step.unwrap_or_else(|error| {
            tracing::error!(%error, "maintenance of the store");
            self.failed.get_or_insert(error);
            T::default()
        })
    }
}

/// Closes a file whose day is over and all of whose parts are folded: it will not change any more,
/// so that it can be copied as it is.
fn close(file: &DayFile) -> Result<(), StoreError> {
    let mut writer = lock(&file.writer);
    let connection = file.open_writer(&mut writer)?;
    if file.tally(connection, "part")?.rows > 0 || file.tally(connection, "inbox")?.rows > 0 {
        return Ok(());
    }
    set_meta(connection, "closed", 1, 0).map_err(|error| file.fail(error))?;
    file.readers.close();
    sqlite::checkpoint(connection, &file.path)?;
    settle(connection);
    *writer = None;
    file.set_closed();
    Ok(())
}

/// Without a log the file is whole by itself. A reader that is at it keeps it from being so, and no
/// harm is done: a log that is empty says nothing.
fn settle(connection: &Connection) {
    if let Err(error) = connection.execute_batch("PRAGMA journal_mode = DELETE") {
        tracing::debug!(%error, "a closed day keeps its log");
    }
}

fn bytes_in(dir: &Path) -> Result<u64, StoreError> {
    use std::os::unix::fs::MetadataExt;
    let fail = |error| StoreError::io(dir, error);
    let mut bytes = 0;
    for entry in fs::read_dir(dir).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        // One that went away in between takes no space.
        if let Ok(metadata) = entry.metadata()
            && metadata.is_file()
        {
            bytes += metadata.blocks() * 512;
        }
    }
    Ok(bytes)
}
