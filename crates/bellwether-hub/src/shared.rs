//! What all parts of the hub hold in common.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use bellwether_config::Config;
use bellwether_model::{Incident, Verdict};
use bellwether_store::{ObservationStore, StateStore};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::board::Board;

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
    /// What people do to incidents; taken in by the judge, who owns them.
    pub acts: mpsc::Sender<Act>,
    /// Counts of ourselves.
    pub figures: Figures,
    /// How we are ourselves.
    pub health: Health,
    /// When this process started.
    pub started: Timestamp,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The version of the program.
    pub version: &'static str,
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
        /// As it is now.
        incident: Box<Incident>,
    },
    /// A configuration came into force, or was refused.
    Configuration {
        /// The one in force.
        generation: u64,
        /// Was a newer one refused?
        refused: bool,
    },
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
    /// Background tasks that panicked or ended and were started again.
    pub tasks_restarted: AtomicU64,
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
