//! The engine that needs no server: one data directory, files of SQLite in it.
//!
//! Runs arrive as envelopes in the day file's inbox, are sealed into parts, and folded into column
//! blocks of one series and hour. `state.db` holds what is true now. `rollup.db` can be computed
//! again from the day files.

mod active;
mod backup;
mod check;
mod day;
mod envelope;
mod evidence;
mod files;
mod fold;
mod ledger;
mod maintain;
mod names;
mod open;
mod quick;
mod read;
mod reserve;
mod rollups;
mod seal;
mod sqlite;
mod state;
#[cfg(test)]
mod testing;
mod wal;

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bellwether_model::{CheckId, Digest, Envelope, Incident, VantageId};
use jiff::Timestamp;

pub use backup::backup;
pub use check::{Problem, Report, check};
pub use evidence::EVIDENCE_LEN_MAX;

use crate::StoreError;
use crate::observations::{
    Appended, Cursor, Maintained, ObservationStore, Retention, Rollup, Series, Step,
};
use crate::state::{Change, CounterRow, Notice, StateStore, Token};
use active::Active;
use day::{DayFile, Tally};
use envelope::Heads;
use maintain::Dues;
use reserve::Reserve;
use rollups::Rollups;
use sqlite::lock;
use state::State;

/// Space held back for incidents and notices: more than a day of them.
const RESERVE_BYTES: u64 = 64 * 1024 * 1024;

/// How a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// As of when: says which day is written to until [`ObservationStore::maintain`] says another.
    pub now: Timestamp,
    /// Space held back, so that incidents can be kept on a full disk, bytes; 0 for none.
    pub reserve_bytes: u64,
}

impl Options {
    /// As is usual.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            reserve_bytes: RESERVE_BYTES,
        }
    }
}

/// The engine that needs no server.
#[derive(Debug)]
pub struct Embedded {
    dir: PathBuf,
    state: State,
    rollups: Rollups,
    reserve: Arc<Reserve>,
    /// Locked before everything else that is locked here.
    active: Mutex<Active>,
    heads: RwLock<Heads>,
    files: RwLock<BTreeMap<i32, Arc<DayFile>>>,
    /// One seal at a time.
    sealing: Mutex<()>,
    /// One maintenance or backup at a time; locked before all others.
    maintaining: Mutex<Dues>,
    /// Found and not told yet.
    damage: Mutex<Vec<String>>,
    /// What opening found that a crash explains.
    notes: Vec<String>,
    /// Held as long as the process lives: nobody else writes here.
    held: Mutex<File>,
}

impl Embedded {
    /// The data directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What opening found and went on from: the end of a log that does not hold. A crash leaves it
    /// so, and then nothing that was acknowledged is lost; damage to the very last change looks the
    /// same, and is worth telling of.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Keeps envelopes.
    fn keep(&self, envelopes: &[Envelope]) -> Result<Appended, StoreError> {
        if self.heads().current.is_full() {
            self.seal()?;
        }
        let mut active = lock(&self.active);
        if !active.file.is_there() {
            return Err(StoreError::taken_away(&active.file.path));
        }
        let path = active.file.path.clone();
        self.freshen(&mut active)
            .map_err(|error| self.reserve.judge(&path, error))?;
        let push = |envelopes: &[Vec<_>], through: i64, added: Tally| {
            let mut heads = self.heads_mut();
            heads.current.tally.rows += added.rows;
            heads.current.tally.sum ^= added.sum;
            for (series, row) in envelopes.iter().flatten() {
                heads.current.push(*series, row);
            }
            heads.current.through = through;
        };
        active
            .append(envelopes, push)
            .map_err(|error| self.reserve.judge(&path, error))
    }

    /// Reads the active file again, if a failed write left it in doubt.
    fn freshen(&self, active: &mut Active) -> Result<(), StoreError> {
        if active.stale {
            let arena = active.reload()?;
            let mut heads = self.heads_mut();
            heads.current = arena;
            heads.frozen = None;
        }
        Ok(())
    }

    fn heads(&self) -> RwLockReadGuard<'_, Heads> {
        self.heads.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn heads_mut(&self) -> RwLockWriteGuard<'_, Heads> {
        self.heads.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes damage: the next maintenance tells of it.
    fn note_damage(&self, what: String) {
        tracing::error!(what, "damage in the store");
        let mut damage = lock(&self.damage);
        if !damage.contains(&what) && damage.len() < DAMAGE_NOTED_MAX {
            damage.push(what);
        }
    }
}

/// Sentences about damage kept until they are told: after that many, more say nothing new.
const DAMAGE_NOTED_MAX: usize = 100;

impl ObservationStore for Embedded {
    fn append(&self, envelopes: &[Envelope]) -> Result<Appended, StoreError> {
        self.keep(envelopes)
    }

    fn cursor(&self, agent: &str) -> Result<Cursor, StoreError> {
        Ok(lock(&self.active).cursor(agent))
    }

    fn series(
        &self,
        check: &CheckId,
        vantage: &VantageId,
        range: Range<Timestamp>,
        newest: usize,
    ) -> Result<Series, StoreError> {
        self.read_series(check, vantage, &range, newest)
    }

    fn rollups(
        &self,
        series: &[(CheckId, VantageId)],
        step: Step,
        range: Range<Timestamp>,
    ) -> Result<Vec<Rollup>, StoreError> {
        self.read_rollups(series, step, &range)
    }

    fn all_series(&self) -> Result<Vec<(CheckId, VantageId)>, StoreError> {
        self.read_all_series()
    }

    fn look(&self) -> Result<Vec<String>, StoreError> {
        let _one = lock(&self.maintaining);
        self.watch()?;
        Ok(std::mem::take(&mut *lock(&self.damage)))
    }

    fn maintain(&self, now: Timestamp, keep: &Retention) -> Result<Maintained, StoreError> {
        self.do_maintain(now, keep)
    }
}

impl StateStore for Embedded {
    fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.state.commit(changes)
    }

    fn incident(&self, id: u64) -> Result<Option<Incident>, StoreError> {
        self.state.incident(id)
    }

    fn open_incidents(&self) -> Result<Vec<Incident>, StoreError> {
        self.state.open_incidents()
    }

    fn incidents(&self, before: Option<u64>, most: usize) -> Result<Vec<Incident>, StoreError> {
        self.state.incidents(before, most)
    }

    fn next_incident(&self) -> Result<u64, StoreError> {
        Ok(self.state.next_incident())
    }

    fn evidence(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.state.evidence(digest)
    }

    fn checkpoint(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.state.checkpoint(key)
    }

    fn checkpoints(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.state.checkpoints(prefix)
    }

    fn outbox(&self, most: usize) -> Result<Vec<Notice>, StoreError> {
        self.state.outbox(most)
    }

    fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.state.tokens()
    }

    fn counters(
        &self,
        service: &str,
        range: Range<Timestamp>,
    ) -> Result<Vec<CounterRow>, StoreError> {
        self.state.counters(service, range)
    }
}
