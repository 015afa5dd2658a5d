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
//! - [`settings`]: from a configuration to a plan; from what a hub tells to one
//! - [`spool`]: what was harvested, on disk until the hub has it
//! - [`uplink`]: the link to the hub
//! - `figures`, `lateness`: counts of itself

mod agent;
mod clock;
mod engine;
mod figures;
mod judge;
mod lateness;
pub mod settings;
pub mod spool;
#[cfg(test)]
mod testing;
pub mod uplink;
pub mod wheel;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use bellwether_model::job::{CheckAsk, Job};
use bellwether_model::{Baseline, CheckId, VantageId};

pub use agent::{AgentHandle, Ended, start};
pub use bellwether_model::harvest::{Harvest, Own, Shown, Trace, TraceWhy};
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
