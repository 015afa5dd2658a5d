//! The store: observations, roll-ups, evidence, incidents, the outbox and checkpoints.
//!
//! It keeps what it is given and hands it out again; it judges nothing, dials nothing and knows no
//! web. The boundary is a trait with two halves. Nothing in one assumes a transaction with the
//! other: the order is append → mark → acknowledge. One conformance suite, [`conformance`], runs
//! against every implementation.
//!
//! Calls block; whoever is asynchronous calls from a thread of its own.

mod sketch;

use std::ops::Range;

use bellwether_model::{CheckId, Digest, Envelope, Incident, Run, VantageId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use sketch::Sketch;

/// Where runs are kept.
pub trait ObservationStore: Send + Sync {
    /// Keeps envelopes. `Ok` only when they are durable; an error means *unknown, send again*.
    /// An envelope whose number is not above its agent's cursor was kept before, and is passed
    /// over; a number that leaves a gap is kept, and the gap counted.
    ///
    /// # Errors
    /// Disk full, I/O, damage.
    fn append(&self, envelopes: &[Envelope]) -> Result<Appended, StoreError>;

    /// The number of the last envelope kept of an agent; 0 if there is none.
    ///
    /// # Errors
    /// I/O, damage.
    fn cursor(&self, agent: &str) -> Result<u64, StoreError>;

    /// The runs of one series that began in a range, oldest first, with what is missing of it.
    ///
    /// # Errors
    /// I/O. Damage is no error: it is a gap with its reason.
    fn series(
        &self,
        check: &CheckId,
        vantage: &VantageId,
        range: Range<Timestamp>,
        newest: usize,
    ) -> Result<Series, StoreError>;

    /// Roll-ups of series over a range, one row for each step that holds a run, oldest first. The
    /// open hour is computed from runs.
    ///
    /// # Errors
    /// I/O.
    fn rollups(
        &self,
        series: &[(CheckId, VantageId)],
        step: Step,
        range: Range<Timestamp>,
    ) -> Result<Vec<Rollup>, StoreError>;

    /// Every series that the store knows.
    ///
    /// # Errors
    /// I/O.
    fn all_series(&self) -> Result<Vec<(CheckId, VantageId)>, StoreError>;

    /// Does what is due as of `now`: seals, folds, drops what is too old or too much.
    ///
    /// # Errors
    /// Disk full, I/O.
    fn maintain(&self, now: Timestamp, keep: &Retention) -> Result<Maintained, StoreError>;
}

/// Where state is kept: incidents, evidence, the outbox, checkpoints, tokens, configurations.
pub trait StateStore: Send + Sync {
    /// Makes all changes or none. `Ok` only when they are durable.
    ///
    /// # Errors
    /// Disk full, I/O, damage.
    fn commit(&self, changes: &[Change]) -> Result<(), StoreError>;

    /// An incident.
    ///
    /// # Errors
    /// I/O, damage.
    fn incident(&self, id: u64) -> Result<Option<Incident>, StoreError>;

    /// Incidents that are not resolved, oldest first.
    ///
    /// # Errors
    /// I/O, damage.
    fn open_incidents(&self) -> Result<Vec<Incident>, StoreError>;

    /// Incidents with a number below `before`, newest first.
    ///
    /// # Errors
    /// I/O, damage.
    fn incidents(&self, before: Option<u64>, most: usize) -> Result<Vec<Incident>, StoreError>;

    /// The number that the next incident takes.
    ///
    /// # Errors
    /// I/O, damage.
    fn next_incident(&self) -> Result<u64, StoreError>;

    /// A piece of evidence.
    ///
    /// # Errors
    /// I/O, damage.
    fn evidence(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// A checkpoint, as it was put.
    ///
    /// # Errors
    /// I/O, damage.
    fn checkpoint(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Checkpoints whose key begins so.
    ///
    /// # Errors
    /// I/O, damage.
    fn checkpoints(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Notices that are not sent yet, oldest first.
    ///
    /// # Errors
    /// I/O, damage.
    fn outbox(&self, most: usize) -> Result<Vec<Notice>, StoreError>;

    /// Tokens.
    ///
    /// # Errors
    /// I/O, damage.
    fn tokens(&self) -> Result<Vec<Token>, StoreError>;

    /// Rows of counters of a service whose window touches a range, oldest first.
    ///
    /// # Errors
    /// I/O, damage.
    fn counters(
        &self,
        service: &str,
        range: Range<Timestamp>,
    ) -> Result<Vec<CounterRow>, StoreError>;
}

/// A change of state.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A new incident, or a new version of one.
    Incident(Box<Incident>),
    /// A notice to send: it stands in the transaction of the change that caused it.
    Notice(Notice),
    /// A notice was sent.
    Sent {
        /// Its number.
        notice: u64,
        /// When.
        at: Timestamp,
    },
    /// Evidence, found again by its SHA-256.
    Evidence {
        /// As of when, for retention.
        at: Timestamp,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A checkpoint; without bytes it is removed.
    Checkpoint {
        /// Its key.
        key: String,
        /// The bytes.
        bytes: Option<Vec<u8>>,
    },
    /// A token; replaces the one of its name.
    Token(Token),
    /// A token is revoked.
    TokenRevoked {
        /// Its name.
        name: String,
    },
    /// Counters: the same source, service, window and attributes again replaces.
    Counters(Vec<CounterRow>),
    /// A configuration came into force.
    Generation {
        /// Its number.
        generation: u64,
        /// When.
        at: Timestamp,
        /// SHA-256 of its text.
        digest: Digest,
    },
}

/// What an append came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Runs that are new.
    pub runs: usize,
    /// Envelopes that were there before.
    pub repeated: usize,
    /// Envelopes that never came, before these.
    pub missing: u64,
}

/// The runs of one series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Oldest first.
    pub runs: Vec<Run>,
    /// What is missing, with the reason.
    pub gaps: Vec<Gap>,
}

/// Something that is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// From when.
    pub from: Timestamp,
    /// To when.
    pub to: Timestamp,
    /// Why.
    pub reason: String,
}

/// How coarse a roll-up is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// An hour: total latency.
    Hour,
    /// A day: total latency, and each phase.
    Day,
}

/// A roll-up of one series, or of several together.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollup {
    /// Where its step begins.
    pub from: Timestamp,
    /// Runs for each outcome: ok, wrong, failed, not run.
    pub outcomes: [u64; 4],
    /// Runs for each symptom.
    pub symptoms: Vec<(String, u64)>,
    /// Total latency of runs that were ok, microseconds.
    pub total: Sketch,
    /// Each phase of runs that were ok; empty by the hour.
    pub phases: Vec<Sketch>,
}

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Runs and evidence, days.
    pub raw_days: u32,
    /// Roll-ups, days.
    pub rollup_days: u32,
    /// All of the data directory, bytes.
    pub max_bytes: u64,
}

/// What maintenance did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Runs that moved into parts.
    pub sealed: usize,
    /// Runs that moved into blocks.
    pub folded: usize,
    /// Days that were dropped.
    pub dropped: Vec<String>,
    /// Damage found, in words.
    pub damage: Vec<String>,
}

/// A notice to send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Its number, from 1; 0 asks the store to give one.
    pub id: u64,
    /// The incident it tells of.
    pub incident: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The kind of change: `opened`, `grown`, `resolved`, ….
    pub kind: String,
    /// The sentence.
    pub text: String,
}

/// A token, hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its name, unique.
    pub name: String,
    /// SHA-256 of the secret: 256 random bits, so that no slow hash is needed.
    pub hash: Digest,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Since when.
    pub created: Timestamp,
    /// Until when.
    pub expires: Option<Timestamp>,
}

/// Somebody else's totals over a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterRow {
    /// Who counted.
    pub source: String,
    /// The service.
    pub service: String,
    /// The window's begin.
    pub from: Timestamp,
    /// The window's end.
    pub to: Timestamp,
    /// What they were counted by, sorted by name.
    pub attributes: Vec<(String, String)>,
    /// Attempts.
    pub total: u64,
    /// Those that failed.
    pub failed: u64,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Placeholder while the engine is built.
    #[error("{0}")]
    Other(String),
}
