//! What all parts of the hub hold in common.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bellwether_config::Config;
use bellwether_diagnose::fate::Fate;
use bellwether_model::incident::IncidentState;
use bellwether_model::{Cause, Incident, VantageId, Verdict};
use bellwether_store::{ObservationStore, StateStore, StoreError};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::beats::Beats;
use crate::board::Board;
use crate::fleet::{self, Fleet};
use crate::links::Links;
use crate::tasks::TaskStates;
use crate::unsaved::Unsaved;

/// What all parts of the hub hold in common.
pub struct Shared {
    /// What is true now.
    pub board: RwLock<Board>,
    /// The configuration in force, and what became of the newest file.
    pub configured: ArcSwap<Configured>,
    /// Runs.
    pub observations: Arc<dyn ObservationStore>,
    /// Incidents and the like.
    pub state: Arc<dyn StateStore>,
    /// What happens, for whoever listens; who is slow misses some.
    pub events: broadcast::Sender<Event>,
    /// What of ours would fall together with what it watches.
    pub fates: ArcSwap<Vec<Fate>>,
    /// What people do to incidents; taken in by the judge, who owns them.
    pub acts: mpsc::Sender<Act>,
    /// Counts of ourselves.
    pub figures: Figures,
    /// What the built-in agent counts of itself, about a second old.
    pub agent: Arc<RwLock<bellwether_agent::Figures>>,
    /// Agents elsewhere that are linked now.
    pub links: Links,
    /// Agents elsewhere: who they are.
    pub fleet: Fleet,
    /// Who must report, and what was heard of it.
    pub beats: Beats,
    /// How we are ourselves.
    pub health: Health,
    /// Incidents as they are, for as long as the store does not take them: what breaks is told though
    /// nothing can be written.
    pub unkept: RwLock<BTreeMap<u64, Incident>>,
    /// What the judge could not store yet.
    pub(crate) unsaved: Mutex<Unsaved>,
    /// What is wrong with ourselves, by the part that is in trouble.
    pub troubles: RwLock<BTreeMap<&'static str, Trouble>>,
    /// When the judge last went round, milliseconds since the process started.
    pub judge_beat: AtomicU64,
    /// Vantages of which runs were stored before this process made any.
    pub(crate) former_vantages: OnceLock<Vec<VantageId>>,
    /// How the background tasks fare.
    pub tasks: TaskStates,
    /// When this process started.
    pub started: Timestamp,
    /// The same by a clock that never jumps.
    pub started_at: Instant,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The version of the program.
    pub version: &'static str,
    /// How many worker processes, where somebody said so.
    pub workers: Option<NonZeroUsize>,
}

/// The part that damage of the store is told as: it stays until the process starts anew.
pub const DAMAGE: &str = "damage";

/// Something that is wrong with ourselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// What, in words.
    pub what: String,
}

impl Shared {
    /// Reads the board.
    pub fn board<T>(&self, read: impl FnOnce(&Board) -> T) -> T {
        read(&self.board.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the board: the judge's right alone.
    pub(crate) fn board_mut<T>(&self, change: impl FnOnce(&mut Board) -> T) -> T {
        change(&mut self.board.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says which incidents the store has not taken as they are.
    pub fn set_unkept(&self, incidents: BTreeMap<u64, Incident>) {
        *self.unkept.write().unwrap_or_else(PoisonError::into_inner) = incidents;
    }

    /// Incidents that the store has not taken as they are.
    pub(crate) fn unkept(&self) -> BTreeMap<u64, Incident> {
        let unkept = self.unkept.read();
        unkept.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Incidents that are not resolved, as they are: in the store, or not kept yet.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn open_incidents(&self) -> Result<Vec<Incident>, StoreError> {
        let mut unkept = self.unkept();
        let mut open = self.state.open_incidents()?;
        for incident in &mut open {
            if let Some(newer) = unkept.remove(&incident.id) {
                *incident = newer;
            }
        }
        open.extend(unkept.into_values());
        open.retain(|incident| incident.state != IncidentState::Resolved);
        Ok(open)
    }

    /// An incident, as it is.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn incident(&self, id: u64) -> Result<Option<Incident>, StoreError> {
        match self.unkept().remove(&id) {
            Some(incident) => Ok(Some(incident)),
            None => self.state.incident(id),
        }
    }

    /// Incidents with lower numbers than `before`, newest first, at most so many.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn incidents(&self, before: Option<u64>, most: usize) -> Result<Vec<Incident>, StoreError> {
        let mut found: BTreeMap<u64, Incident> = BTreeMap::new();
        for incident in self.state.incidents(before, most)? {
            found.insert(incident.id, incident);
        }
        let fits = |id: u64| before.is_none_or(|before| id < before);
        found.extend(self.unkept().into_iter().filter(|(id, _)| fits(*id)));
        Ok(found.into_values().rev().take(most).collect())
    }

    /// Vantages of which runs are stored, as it was when this was first asked: what this process adds
    /// stands on the board. To go through all series each time takes longer than to read one.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn former_vantages(&self) -> Result<&[VantageId], StoreError> {
        if let Some(known) = self.former_vantages.get() {
            return Ok(known);
        }
        let found = self.observations.vantages()?;
        Ok(self.former_vantages.get_or_init(|| found))
    }

    /// Tells whoever listens.
    pub(crate) fn say(&self, event: Event) {
        // Nobody listening is no error.
        let _ = self.events.send(event);
    }

    /// A part is in trouble, or no longer.
    pub(crate) fn trouble(&self, part: &'static str, what: Option<String>) {
        let mut troubles = self
            .troubles
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(what) = what {
            let trouble = troubles.entry(part).or_insert_with(|| Trouble {
                since: Timestamp::now(),
                what: String::new(),
            });
            trouble.what = what;
        } else {
            troubles.remove(part);
        }
        let all: Vec<&str> = troubles.values().map(|t| t.what.as_str()).collect();
        let all = (!all.is_empty()).then(|| all.join("; "));
        self.health.set_trouble(all);
    }

    /// Is something wrong that keeps us from our work? What is damaged already is left out, and so are
    /// agents that cannot link: the rest serves on.
    #[must_use]
    pub fn is_hindered(&self) -> bool {
        let troubles = self.troubles.read();
        let troubles = troubles.unwrap_or_else(PoisonError::into_inner);
        let mut parts = troubles.keys();
        let is_served = parts.all(|part| [DAMAGE, fleet::TROUBLE].contains(part));
        self.health.trouble().is_some() && (troubles.is_empty() || !is_served)
    }

    /// What is wrong with ourselves, by part.
    #[must_use]
    pub fn troubles(&self) -> BTreeMap<&'static str, Trouble> {
        let troubles = self.troubles.read();
        troubles.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The judge goes round.
    pub(crate) fn judge_beat(&self) {
        let age = self.started_at.elapsed().as_millis();
        let age = u64::try_from(age).unwrap_or(u64::MAX);
        self.judge_beat.store(age, Ordering::Relaxed);
    }

    /// How long ago the judge went round.
    #[must_use]
    pub fn judge_age(&self) -> Duration {
        let beat = Duration::from_millis(self.judge_beat.load(Ordering::Relaxed));
        self.started_at.elapsed().saturating_sub(beat)
    }
}

/// The configuration in force, and what became of the newest file.
#[derive(Clone, Debug)]
pub struct Configured {
    /// Which one; grows.
    pub generation: u64,
    /// Since when.
    pub since: Timestamp,
    /// What it holds.
    pub config: Arc<Config>,
    /// The file or directory, if there is one.
    pub path: Option<PathBuf>,
    /// A newer file that was refused: when, and why.
    pub refused: Option<Refused>,
}

/// A file that was refused.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// When.
    pub at: Timestamp,
    /// What is wrong, each with file, line and column.
    pub problems: Vec<String>,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A service's verdict changed.
    Service {
        /// Its name.
        name: String,
        /// The verdict.
        verdict: Verdict,
        /// The cause's code.
        cause: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// An incident was opened, or changed.
    Incident {
        /// As it is now, in short.
        incident: IncidentNow,
    },
    /// A configuration came into force, or was refused.
    Configuration {
        /// The one in force.
        generation: u64,
        /// Was a newer one refused?
        refused: bool,
    },
}

/// An incident as an event tells it: readers who are slow hold many of them, and an incident in full
/// may name every check there is. The rest of it is had by its number.
#[derive(Clone, Debug, Serialize)]
pub struct IncidentNow {
    /// Its number.
    pub id: u64,
    /// Open, acknowledged, mitigated or resolved.
    pub state: IncidentState,
    /// What broke.
    pub cause: Cause,
    /// One sentence.
    pub summary: String,
    /// The first failure that it stands for.
    pub began: Timestamp,
}

impl From<&Incident> for IncidentNow {
    fn from(incident: &Incident) -> Self {
        Self {
            id: incident.id,
            state: incident.state,
            cause: incident.cause,
            summary: incident.summary.clone(),
            began: incident.began,
        }
    }
}

/// What a person does to an incident.
#[derive(Debug)]
pub struct Act {
    /// Its number.
    pub incident: u64,
    /// What.
    pub what: ActKind,
    /// Who, by the token's name.
    pub by: String,
    /// What came of it.
    pub done: oneshot::Sender<Result<Incident, ActError>>,
}

/// What a person does.
#[derive(Clone, Debug)]
pub enum ActKind {
    /// Takes it on.
    Acknowledge,
    /// Writes something down.
    Note(String),
}

/// Why nothing came of it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ActError {
    /// There is no such incident.
    #[error("there is no incident {0}")]
    Unknown(u64),
    /// It is over.
    #[error("incident {0} is resolved already")]
    Resolved(u64),
    /// It could not be kept.
    #[error("it could not be kept: {0}")]
    Store(String),
}

/// Counts of ourselves, for metrics, page and status.
#[derive(Debug, Default)]
pub struct Figures {
    /// Runs taken in, by outcome: ok, wrong, failed, not run.
    pub runs: [AtomicU64; 4],
    /// Runs that were acknowledged as durable.
    pub kept: AtomicU64,
    /// Runs that wait to be kept.
    pub waiting: AtomicU64,
    /// Appends that failed.
    pub append_errors: AtomicU64,
    /// Traces judged.
    pub traces: AtomicU64,
    /// Workers that were replaced.
    pub workers_replaced: AtomicU64,
    /// Traces that the rules panicked over.
    pub judge_panics: AtomicU64,
    /// Runs that were given up, since the disk took none and memory was full.
    pub lost: AtomicU64,
    /// Background tasks that panicked or ended and were started again.
    pub tasks_restarted: Arc<AtomicU64>,
    /// Configurations that were refused.
    pub refused_configurations: AtomicU64,
    /// How late runs began.
    pub lateness: Lateness,
}

/// How late runs began, as a histogram.
#[derive(Debug, Default)]
pub struct Lateness {
    counts: [AtomicU64; Self::BOUNDS_MS.len() + 1],
    sum_micros: AtomicU64,
}

impl Lateness {
    /// Upper bounds, milliseconds: around the promise (p99 at most 25 ms), and up to an interval.
    pub const BOUNDS_MS: [u64; 9] = [1, 5, 10, 25, 50, 100, 1_000, 10_000, 60_000];

    /// Counts a run that began so late.
    pub fn observe(&self, late: Duration) {
        let within = |bound: &u64| late <= Duration::from_millis(*bound);
        let at = Self::BOUNDS_MS.iter().position(within);
        self.counts[at.unwrap_or(Self::BOUNDS_MS.len())].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Runs for each bound, those beyond the last one at the end, and the sum in seconds.
    #[must_use]
    pub fn counts(&self) -> ([u64; Self::BOUNDS_MS.len() + 1], f64) {
        let counts = self.counts.each_ref().map(|n| n.load(Ordering::Relaxed));
        let sum = Duration::from_micros(self.sum_micros.load(Ordering::Relaxed));
        (counts, sum.as_secs_f64())
    }
}

/// How we are ourselves, as those say who know: the start, the keeper of runs, the configuration.
#[derive(Debug, Default)]
pub struct Health {
    /// The store is open and the schedule runs.
    pub ready: AtomicBool,
    /// What is wrong with the store, in words, as long as it is.
    pub store_trouble: RwLock<Option<String>>,
    /// Receivers that are configured: with none, nobody is told.
    pub receivers: AtomicUsize,
}

impl Health {
    /// What is wrong with the store, if something is.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.store_trouble.read();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what is wrong with the store, or that nothing is.
    pub fn set_trouble(&self, trouble: Option<String>) {
        let place = self.store_trouble.write();
        *place.unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}
