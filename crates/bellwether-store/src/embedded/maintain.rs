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

/// A clock that is so many days beyond the newest day that was stored may be wrong: by it, all that
/// is stored would be too old at once.
const CLOCK_AHEAD_MAX: i32 = 2;

/// So many days stored since show that the clock is right after all.
const CLOCK_SHOWN_BY: usize = 3;

/// How often evidence is looked for that may go, after a time when there was none.
const EVIDENCE_EVERY: i64 = 10 * 60 * 1_000_000;

/// Evidence this young is kept though no incident names it: the one that will may not be written yet.
const UNNAMED_FOR: SignedDuration = SignedDuration::from_mins(10);

/// When what was done last, microseconds since 1970.
#[derive(Debug)]
pub(crate) struct Dues {
    sealed: i64,
    dropped: Option<i64>,
    /// When there was no evidence that could go.
    no_evidence: Option<i64>,
    /// The clock was doubted at the last time.
    doubted: bool,
}

impl Dues {
    /// As of opening.
    pub(crate) fn new(now: i64) -> Self {
        Self {
            sealed: now,
            dropped: None,
            no_evidence: None,
            doubted: false,
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
        let aged = self.reckoned(now, &mut dues);
        if dues
            .no_evidence
            .is_none_or(|last| (micros - last).abs() >= EVIDENCE_EVERY)
        {
            let spared = steps.take(self.drop_evidence(now, aged, keep));
            dues.no_evidence = (!spared).then_some(micros);
        }
        done.dropped = steps.take(self.drop_days(aged, keep));
        if dues
            .dropped
            .is_none_or(|last| (micros - last).abs() >= DROP_EVERY)
        {
            steps.take(self.drop_state(aged, keep));
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
    pub(crate) fn watch(&self) -> Result<(), StoreError> {
        self.watch_dir()?;
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
                if !matches!(rescued, Err(StoreError::Damaged { .. })) {
                    return rescued;
                }
                self.begin_anew(&what)?;
                continue;
            }
            self.state.set_day(file.day, Some(&what))?;
            self.files_mut().remove(&file.day);
        }
        Ok(())
    }

    /// Makes the directory anew if it was taken away, and holds it again.
    fn watch_dir(&self) -> Result<(), StoreError> {
        let results = self.dir.join("results");
        if !results.is_dir() {
            self.note_damage(format!(
                "the data directory `{}` was taken away while it was in use; it is made anew from what was open",
                self.dir.display()
            ));
            files::create_dir(&results)?;
        }
        let mut held = lock(&self.held);
        if files::identity(&self.dir.join("lock")) != files::identity_of(&held) {
            *held = files::take(&self.dir)?;
        }
        Ok(())
    }

    /// Begins the day that is written to again, because nothing of its file could be saved.
    fn begin_anew(&self, what: &str) -> Result<(), StoreError> {
        let mut active = lock(&self.active);
        let day = active.file.day;
        let next = Active::create(&self.dir, day, active.cursors())?;
        self.state.set_day(day, Some(what))?;
        self.note_damage(format!(
            "all runs that arrived on {} until now are lost",
            name_of(day)
        ));
        *self.heads_mut() = super::envelope::Heads {
            day,
            ..Default::default()
        };
        self.files_mut().insert(day, next.file.clone());
        *active = next;
        Ok(())
    }

    /// As of when ages are measured: now, or the end of the newest day before a leap of the clock that
    /// nothing else shows to be right.
    fn reckoned(&self, now: Timestamp, dues: &mut Dues) -> Timestamp {
        let days: Vec<i32> = self.day_files().iter().map(|file| file.day).collect();
        let today = day::day_of(now.as_microsecond());
        let shown = shown_day(&days, today);
        let is_doubted = shown != today;
        if is_doubted && !dues.doubted {
            tracing::warn!(
                %now,
                newest = name_of(shown),
                "the clock is far beyond the newest day that is stored: until it is shown to be right, ages are measured from that day"
            );
        }
        dues.doubted = is_doubted;
        if is_doubted {
            time((i64::from(shown) + 1) * day::DAY)
        } else {
            now
        }
    }

    /// Drops evidence that no incident names, oldest first, while all is too large: what nothing
    /// leads to goes before any day of results. Whether any went.
    fn drop_evidence(
        &self,
        now: Timestamp,
        aged: Timestamp,
        keep: &Retention,
    ) -> Result<bool, StoreError> {
        let surplus = self.bytes()?.saturating_sub(keep.max_bytes);
        if surplus == 0 {
            return Ok(true);
        }
        let before = now.min(aged).checked_sub(UNNAMED_FOR);
        let before = before.unwrap_or(Timestamp::MIN);
        let dropped = self.state.drop_unnamed(before, surplus)?;
        // What is free in the file from before counts as well.
        self.state.give_back()?;
        if dropped > 0 {
            tracing::warn!(
                pieces = dropped,
                "the data directory is too large: evidence that no incident names is dropped"
            );
        }
        Ok(dropped > 0)
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

/// The newest day that is shown to have come: today, or the last one before a leap of the clock since
/// which too few days were stored. `days` are those that have a file, in order.
fn shown_day(days: &[i32], today: i32) -> i32 {
    let (mut later, mut since) = (today, 0);
    for &day in days.iter().rev().skip_while(|&&day| day > today) {
        if since >= CLOCK_SHOWN_BY {
            break;
        }
        if later - day > CLOCK_AHEAD_MAX {
            return day;
        }
        later = day;
        since += 1;
    }
    today
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leap_of_the_clock_is_doubted_until_days_show_it() {
        for (days, today, shown) in [
            (&[][..], 100, 100),
            (&[100], 100, 100),
            (&[98], 100, 100),
            (&[97], 100, 97),
            (&[97, 100], 100, 97),
            (&[97, 100, 101], 101, 97),
            (&[97, 100, 101, 102], 102, 102),
            (&[90, 97, 98, 99], 100, 100),
            (&[98, 99, 5_000], 100, 100),
        ] {
            assert_eq!(shown_day(days, today), shown, "{days:?} {today}");
        }
    }
}
