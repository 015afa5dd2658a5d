//! What is true now, as it is told by API, page, metrics and command line.
//!
//! One writer (the judge) and many readers, who take a copy of what they need. What is too old to
//! be true is told as unknown by [`Board::service`], not by each reader.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::report::LayerReport;
use bellwether_model::{Cause, CheckId, Digest, Run, VantageId, Verdict};
use jiff::Timestamp;

/// How long after its second missed interval a verdict counts as too old.
pub const STALE_GRACE: Duration = Duration::from_secs(10);

/// What is true now.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// Services by name.
    pub services: BTreeMap<String, ServiceState>,
    /// Checks by id.
    pub checks: BTreeMap<CheckId, CheckState>,
}

/// A service as it stands.
#[derive(Clone, Debug)]
pub struct ServiceState {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Services whose incidents may explain this one's.
    pub needs: Vec<String>,
    /// The worst of its checks.
    pub verdict: Verdict,
    /// The cause, where one is known.
    pub cause: Option<Cause>,
    /// Since when the verdict is what it is; `None` before the first.
    pub since: Option<Timestamp>,
    /// When it was last judged: the oldest of its checks' last judgements.
    pub judged_at: Option<Timestamp>,
    /// Its checks.
    pub checks: Vec<CheckId>,
    /// Incidents that are not resolved.
    pub incidents: Vec<u64>,
    /// Why the verdict is unknown, where it is.
    pub why_unknown: Option<String>,
}

/// A check as it stands.
#[derive(Clone, Debug)]
pub struct CheckState {
    /// Where its target is, as text.
    pub target: String,
    /// How often.
    pub every: Duration,
    /// When it came into the configuration of this process.
    pub known_since: Timestamp,
    /// What became of it.
    pub verdict: Verdict,
    /// The cause, where one is known.
    pub cause: Option<Cause>,
    /// One sentence.
    pub summary: String,
    /// Since when the verdict is what it is.
    pub since: Option<Timestamp>,
    /// When it was last judged, by a run that said something or by a trace.
    pub judged_at: Option<Timestamp>,
    /// The layers as of the last trace.
    pub layers: Vec<LayerReport>,
    /// When that trace was made.
    pub traced_at: Option<Timestamp>,
    /// The report of that trace, where it is kept.
    pub evidence: Option<Digest>,
    /// The last run at each vantage.
    pub last: BTreeMap<VantageId, Run>,
    /// Its probes bring down workers: how.
    pub poisoned: Option<String>,
}

impl CheckState {
    /// Until when what is known holds: from then on it is unknown.
    #[must_use]
    pub fn holds_until(&self) -> Timestamp {
        let since = self.judged_at.unwrap_or(self.known_since);
        let until = since.checked_add(self.every + STALE_GRACE);
        until.unwrap_or(Timestamp::MAX)
    }

    /// Is what is known too old to be true? Then the verdict is unknown.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        let since = self.judged_at.unwrap_or(self.known_since);
        let age = Duration::try_from(now.duration_since(since)).unwrap_or(Duration::ZERO);
        age > self.every + STALE_GRACE
    }
}

/// A service as it is told: what is stale is unknown.
#[derive(Clone, Debug)]
pub struct Told {
    /// The verdict.
    pub verdict: Verdict,
    /// The cause, where one is known.
    pub cause: Option<Cause>,
    /// Is what is known too old?
    pub stale: bool,
}

impl Board {
    /// A service as it is told at a time.
    #[must_use]
    pub fn service(&self, name: &str, now: Timestamp) -> Option<Told> {
        let service = self.services.get(name)?;
        let mut checks = service.checks.iter().filter_map(|id| self.checks.get(id));
        let stale = checks.any(|check| check.is_stale(now));
        // What is broken stays so until something says otherwise; what was healthy is unknown.
        Some(Told {
            verdict: if stale {
                Verdict::Unknown
            } else {
                service.verdict
            },
            cause: service.cause,
            stale,
        })
    }

    /// Since when a service is stale: the first of its checks to have become so.
    #[must_use]
    pub fn stale_since(&self, name: &str, now: Timestamp) -> Option<Timestamp> {
        let service = self.services.get(name)?;
        let checks = service.checks.iter().filter_map(|id| self.checks.get(id));
        let stale = checks.filter(|check| check.is_stale(now));
        stale.map(CheckState::holds_until).min()
    }
}
