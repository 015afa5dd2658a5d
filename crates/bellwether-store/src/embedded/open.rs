//! Opening a data directory: what is there, what is whole, and what is set aside.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use super::active::{Active, is_ready, put_bad, read_cursors};
use super::day::{self, DayFile, name_of};
use super::envelope::{Arena, Heads};
use super::maintain::Dues;
use super::reserve::Reserve;
use super::rollups::Rollups;
use super::sqlite;
use super::state::State;
use super::wal::{self, Tail};
use super::{Embedded, Options, files};
use crate::{StoreError, error};

impl Embedded {
    /// Opens a data directory, or makes it. What was kept is there again, whatever ended the
    /// process before.
    ///
    /// # Errors
    /// Another process has it; it is of a newer program; `state.db` is damaged or missing; I/O.
    pub fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        files::create_dir(dir)?;
        files::warn_of_readers(dir);
        let held = files::take(dir)?;
        let reserve = Arc::new(Reserve::new(dir, options.reserve_bytes));
        let results = dir.join("results");
        let state_path = dir.join("state.db");
        if results.exists() && fs::metadata(&state_path).map_or(0, |state| state.len()) == 0 {
            return Err(StoreError::Damaged {
                path: state_path,
                what: "it is missing, and results are there".to_owned(),
                cure: error::RESTORE,
            });
        }
        let mut notes = Vec::new();
        inspect_state_log(&state_path, &mut notes)?;
        let state = State::open(&state_path, reserve.clone())?;
        files::create_dir(&results)?;
        files::sync_dir(dir)?;
        let today = day::day_of(options.now.as_microsecond());
        let mut damage = Vec::new();
        let opened = Opened::read(dir, &state, &mut damage, &mut notes)?;
        let rollups = Rollups::open(&dir.join("rollup.db"), &mut damage)?;
        let (active, arena, days) = opened.start(dir, today, &state, &mut damage)?;
        let heads = Heads {
            day: active.file.day,
            current: arena,
            frozen: None,
        };
        let store = Self {
            dir: dir.to_owned(),
            state,
            rollups,
            reserve,
            active: Mutex::new(active),
            heads: RwLock::new(heads),
            files: RwLock::new(days),
            sealing: Mutex::default(),
            maintaining: Mutex::new(Dues::new(options.now.as_microsecond())),
            damage: Mutex::default(),
            notes,
            held: Mutex::new(held),
        };
        damage.into_iter().for_each(|what| store.note_damage(what));
        // A disk that is full from the start must not keep anybody from reading and telling.
        if let Err(error) = store.reserve.take() {
            store.note_damage(format!("no reserve is held: {error}"));
        }
        Ok(store)
    }
}

/// Day files by their day.
type Days = BTreeMap<i32, Arc<DayFile>>;

/// Day files that were found.
struct Opened {
    days: Days,
}

impl Opened {
    /// Looks through the directory: what is unfinished is removed, what is no day file is set aside,
    /// what should be there and is not is noted as lost.
    fn read(
        dir: &Path,
        state: &State,
        damage: &mut Vec<String>,
        notes: &mut Vec<String>,
    ) -> Result<Self, StoreError> {
        let results = dir.join("results");
        let fail = |error| StoreError::io(&results, error);
        let mut days = BTreeMap::new();
        for entry in fs::read_dir(&results).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name();
            let day = name.to_str().and_then(|name| name.strip_suffix(".db"));
            let Some(day) = day.and_then(day::day_named) else {
                continue;
            };
            let file = DayFile::new(dir, day);
            let tail = wal::inspect(&files::beside(&file.path, "-wal"))?;
            match usable(&file) {
                Ok(true) => {
                    note_tail(&file, &tail, damage, notes)?;
                    days.insert(day, Arc::new(file));
                }
                // It was being made when the process ended: nothing was acknowledged in it.
                Ok(false) => files::remove(&file.path)?,
                Err(error @ StoreError::Damaged { .. }) => {
                    lose(state, &file, &error.to_string(), damage)?;
                }
                Err(error) => return Err(error),
            }
        }
        for (day, wrong) in state.days() {
            if !days.contains_key(&day) && wrong.is_none() {
                let wrong = format!("the file of {} is missing", name_of(day));
                state.set_day(day, Some(&wrong))?;
                damage.push(wrong);
            }
        }
        let known: Vec<i32> = state.days().into_iter().map(|(day, _)| day).collect();
        for &day in days.keys().filter(|day| !known.contains(day)) {
            state.set_day(day, None)?;
        }
        Ok(Self { days })
    }

    /// Opens the newest file for writing, or makes today's.
    fn start(
        mut self,
        dir: &Path,
        today: i32,
        state: &State,
        damage: &mut Vec<String>,
    ) -> Result<(Active, Arena, Days), StoreError> {
        let mut day = today;
        let mut cursors = HashMap::new();
        while let Some(newest) = self.days.last_key_value().map(|(_, file)| file.clone()) {
            if newest.is_closed() {
                // What is closed stays so: the cursors go on in a new file.
                let lent = newest.readers.begin()?;
                cursors.extend(read_cursors(lent.connection(), &newest)?);
                day = today.max(newest.day + 1);
                break;
            }
            match Active::load(newest.clone()) {
                Ok((active, arena)) => return Ok((active, arena, self.days)),
                Err(error @ StoreError::Damaged { .. }) => {
                    lose(state, &newest, &error.to_string(), damage)?;
                    self.days.remove(&newest.day);
                }
                Err(error) => return Err(error),
            }
        }
        let active = Active::create(dir, day, &cursors)?;
        keep_wrong(state, day)?;
        self.days.insert(day, active.file.clone());
        Ok((active, Arena::default(), self.days))
    }
}

/// A log of `state.db` that lost what was acknowledged is no log to go on with.
fn inspect_state_log(path: &Path, notes: &mut Vec<String>) -> Result<(), StoreError> {
    let log = files::beside(path, "-wal");
    match wal::inspect(&log)? {
        Tail::Whole => Ok(()),
        Tail::Torn => {
            notes.push(torn(&log));
            Ok(())
        }
        Tail::Damaged(what) => Err(StoreError::Damaged {
            path: path.to_owned(),
            what: what.to_owned(),
            cure: error::RESTORE,
        }),
    }
}

fn torn(path: &Path) -> String {
    let what = format!(
        "`{}`: the last change in its log does not hold",
        path.display()
    );
    tracing::warn!("{what}");
    what
}

/// Notes what the log of a day file lost: runs of that day may be missing from now on.
fn note_tail(
    file: &DayFile,
    tail: &Tail,
    damage: &mut Vec<String>,
    notes: &mut Vec<String>,
) -> Result<(), StoreError> {
    match tail {
        Tail::Whole => Ok(()),
        Tail::Torn => {
            notes.push(torn(&file.path));
            Ok(())
        }
        Tail::Damaged(what) => {
            damage.push(format!("`{}`: {what}", file.path.display()));
            let mut writer = sqlite::lock(&file.writer);
            let connection = file.open_writer(&mut writer)?;
            put_bad(connection, None, what, &[]).map_err(|error| file.fail(error))
        }
    }
}

/// Notes that a day's file must be there, without forgetting what was lost of that day.
pub(crate) fn keep_wrong(state: &State, day: i32) -> Result<(), StoreError> {
    if state.days().iter().any(|(known, _)| *known == day) {
        return Ok(());
    }
    state.set_day(day, None)
}

/// Sets a file aside and notes its day as lost.
pub(crate) fn lose(
    state: &State,
    file: &DayFile,
    why: &str,
    damage: &mut Vec<String>,
) -> Result<(), StoreError> {
    *sqlite::lock(&file.writer) = None;
    file.readers.close();
    let aside = files::set_aside(&file.path)?;
    let wrong = format!("set aside as `{}`: {why}", aside.display());
    state.set_day(file.day, Some(&wrong))?;
    damage.push(wrong);
    Ok(())
}

/// Whether a day file was finished; an error if it cannot be read. A file that is written to is
/// checked whole, a closed one when it is read.
fn usable(file: &DayFile) -> Result<bool, StoreError> {
    let fail = |error| file.fail(error);
    let lent = file.readers.begin()?;
    let connection = lent.connection();
    let schema = sqlite::refuse_newer(connection, &file.path, &day::KIND)?;
    if schema == 0 {
        return Ok(false);
    }
    if !is_ready(connection, file)? {
        return Ok(false);
    }
    if file.meta(connection, "closed")?.is_some() {
        file.set_closed();
        return Ok(true);
    }
    if let Some(what) = sqlite::quick_check(connection, None).map_err(fail)? {
        return Err(file.damaged(&what));
    }
    read_cursors(connection, file)?;
    Ok(true)
}
