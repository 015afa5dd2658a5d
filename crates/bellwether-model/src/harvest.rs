//! What agents bring home: rows, records worth keeping, traces, and what they say of themselves.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::report::Context;
use crate::{CheckId, Observation, Run};

/// What came of what an agent did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them are runs, and lie in a queue once"
)]
pub enum Harvest {
    /// A run, as a row.
    Run(Run),
    /// A run whose records are worth keeping: it failed, or shows something new.
    Shown(Box<Shown>),
    /// A trace, to be judged.
    Trace(Box<Trace>),
    /// Something about ourselves.
    Own(Own),
}

/// A run with the records behind it, to be kept as its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// The run, as a row; its evidence is left to whoever keeps it.
    pub run: Run,
    /// What it was given.
    pub context: Context,
    /// How long it took, milliseconds.
    pub took_ms: f64,
    /// DNS queries sent.
    pub queries: u32,
    /// What was seen.
    pub observations: Vec<Observation>,
}

/// A trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// The check.
    pub check: CheckId,
    /// Why it was made.
    pub why: TraceWhy,
    /// What it was given.
    pub context: Context,
    /// When it began.
    pub began: Timestamp,
    /// How long it took, milliseconds.
    pub took_ms: f64,
    /// DNS queries sent.
    pub queries: u32,
    /// What was seen.
    pub observations: Vec<Observation>,
}

/// Why a trace was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceWhy {
    /// The first of a check, or the slow cadence.
    Cadence,
    /// A run failed.
    Failure,
    /// A run saw something else than the one before.
    Change,
    /// Somebody asked for it: an open incident is followed, a suspicion confirmed.
    Asked,
}

/// What an agent says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Own {
    /// It was started anew: what it said of checks before, that they bring down workers, holds no
    /// longer.
    Began,
    /// A worker hung or died, and another one took its place.
    WorkerReplaced {
        /// How it ended.
        why: String,
        /// What was under way in it, and is repeated one by one.
        under_way: usize,
    },
    /// A check whose probes bring down their worker: it is asked apart from all others.
    CheckPoisoned {
        /// The check.
        check: CheckId,
        /// How the worker ended.
        why: String,
    },
    /// It no longer does.
    CheckWell {
        /// The check.
        check: CheckId,
    },
}
