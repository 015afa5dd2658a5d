//! Runs: how they come in and how they are asked for.

use std::collections::BTreeSet;
use std::ops::Range;

use bellwether_model::{CheckId, Envelope, Run, VantageId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Sketch, StoreError};

/// How far an agent's envelopes are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The number of the last one; 0 if there is none.
    pub number: u64,
    /// Which start of the agent made it; 0 where that is not known, as in what stores of 0.1 wrote.
    pub boot: u64,
}

/// Where runs are kept.
pub trait ObservationStore: Send + Sync {
    /// Keeps envelopes. `Ok` only when they are durable; an error means *unknown, send again*.
    /// An envelope whose number is not above its agent's cursor was kept before, and is passed
    /// over; a number that leaves a gap is kept, and the gap counted.
    ///
    /// # Errors
    /// Disk full, I/O, damage.
    fn append(&self, envelopes: &[Envelope]) -> Result<Appended, StoreError>;

    /// The last envelope kept of an agent.
    ///
    /// # Errors
    /// I/O, damage.
    fn cursor(&self, agent: &str) -> Result<Cursor, StoreError>;

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

    /// Every vantage that the store knows, in order.
    ///
    /// # Errors
    /// I/O.
    fn vantages(&self) -> Result<Vec<VantageId>, StoreError> {
        let all: BTreeSet<VantageId> = self.all_series()?.into_iter().map(|(_, at)| at).collect();
        Ok(all.into_iter().collect())
    }

    /// Looks whether what is kept is still where it belongs, and puts right what can be: cheap, for
    /// every second or two. Damage found since it was last told, in words.
    ///
    /// # Errors
    /// It is not, and cannot be put right now.
    fn look(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    /// Does what is due as of `now`: seals, folds, drops what is too old or too much.
    ///
    /// # Errors
    /// Disk full, I/O.
    fn maintain(&self, now: Timestamp, keep: &Retention) -> Result<Maintained, StoreError>;
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
