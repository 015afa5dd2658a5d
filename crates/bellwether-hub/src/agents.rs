//! What the judge asks of agents: a trace, a closer look, another baseline.

use std::sync::Arc;
use std::time::Duration;

use bellwether_agent::AgentHandle;
use bellwether_model::{Baseline, CheckId};

/// The agents of this hub: so far the built-in one.
#[derive(Clone)]
pub struct Agents {
    local: Arc<AgentHandle>,
}

impl Agents {
    /// The built-in agent alone.
    #[must_use]
    pub fn local(handle: Arc<AgentHandle>) -> Self {
        Self { local: handle }
    }

    /// Asks for a trace, now.
    pub fn trace(&self, check: &CheckId) {
        self.local.trace(check);
    }

    /// Asks for traces at this cadence; `None` for the usual one.
    pub fn follow(&self, check: &CheckId, every: Option<Duration>) {
        self.local.follow(check, every);
    }

    /// Tells what was last known good.
    pub fn baseline(&self, check: &CheckId, baseline: Option<Arc<Baseline>>) {
        self.local.baseline(check, baseline);
    }
}
