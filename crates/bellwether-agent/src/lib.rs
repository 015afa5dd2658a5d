//! The agent: runs each check when it is due, confirms what is unexpected, traces what fails.
//!
//! It knows workers (of `bellwether-probe`) and a clock, and no store and no web. What it is to do
//! comes as a [`Plan`]; what came of it leaves as [`Harvest`], in order for each check. It judges
//! no service: whether a service is broken is said by whoever takes the harvest.
//!
//! - [`wheel`]: when what is due; the grid of a check
//! - `engine`: what to do next, without any input or output
//! - `agent`: the loop around it, and its [`AgentHandle`]
//! - `judge`: what a visit came to, in short
//! - `workers`: whoever carries out what is asked: [`Workers`]
//! - `clock`: the clocks, and the time that the agent goes by
//! - [`settings`]: from a configuration to a plan
//! - `figures`, `lateness`: counts of itself

mod agent;
mod clock;
mod engine;
mod figures;
mod judge;
mod lateness;
pub mod settings;
#[cfg(test)]
mod testing;
pub mod wheel;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use bellwether_model::job::{CheckAsk, Job};
use bellwether_model::report::Context;
use bellwether_model::{Baseline, CheckId, Observation, Run, VantageId};
use jiff::Timestamp;

pub use agent::{AgentHandle, Ended, start};
pub use clock::{Clock, SystemClock};
pub use figures::{Figures, Sample};
pub use judge::judge;
pub use lateness::Lateness;
pub use workers::{Full, Processes, Said, Workers};

/// Everything that an agent is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which configuration it was made of; grows.
    pub generation: u64,
    /// Where this agent stands.
    pub vantage: VantageId,
    /// What is common to all checks: resolvers, controls, root hints, trust anchors, egress.
    /// Its target and expectations are placeholders.
    pub common: Job,
    /// The checks.
    pub checks: Vec<PlannedCheck>,
    /// Runs and traces under way at once, at most.
    pub at_once: usize,
    /// Worker processes.
    pub workers: usize,
}

/// A check to run.
#[derive(Clone, Debug)]
pub struct PlannedCheck {
    /// Its id.
    pub id: CheckId,
    /// What it asks.
    pub ask: Arc<CheckAsk>,
    /// How often.
    pub every: Duration,
    /// How often a trace, though nothing fails.
    pub deep_every: Duration,
    /// What was last known good, as far as whoever plans knows.
    pub baseline: Option<Arc<Baseline>>,
}

/// What came of it.
#[derive(Clone, Debug)]
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
#[derive(Clone, Debug)]
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
#[derive(Clone, Debug)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
