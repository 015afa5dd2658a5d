//! What is normal: the share of runs that fail anyway, of one check at one vantage.

use serde::{Deserialize, Serialize};

use super::Micros;

/// Half of what was learned is forgotten in seven days.
const HALF_LIFE: f64 = 7.0 * 86_400e6;

/// Nothing is so good that a lost packet proves an outage, and nothing so bad that an outage is
/// normal.
const SHARE: (f64, f64) = (0.005, 0.05);

/// Before anything is learned: one failure in a hundred.
const PRIOR: (f64, f64) = (1.0, 100.0);

/// Results of an open suspicion are learned after so many, though it still stands: a vantage that
/// never gets through is normal in the end.
const PENDING_MAX: u16 = 2880;

/// The share of runs that fail anyway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Learned {
    /// Failures, less what was forgotten.
    bad: f32,
    /// Runs, less what was forgotten.
    runs: f32,
    /// As of when.
    at: Micros,
    /// Runs and failures of an open suspicion: learned when it passes, dropped when it becomes an
    /// incident, so that an outage never teaches that outages are normal.
    pending: (u16, u16),
}

impl Learned {
    pub(super) fn clock_set_back(&mut self, now: Micros) {
        self.at = self.at.min(now);
    }

    /// The share.
    pub(super) fn share(&self) -> f64 {
        let bad = PRIOR.0 + f64::from(self.bad);
        let runs = PRIOR.1 + f64::from(self.runs);
        (bad / runs).clamp(SHARE.0, SHARE.1)
    }

    /// A result.
    pub(super) fn hear(&mut self, bad: bool, suspicion: bool, at: Micros) {
        self.pending.0 += 1;
        self.pending.1 += u16::from(bad);
        if !suspicion || self.pending.0 >= PENDING_MAX {
            self.settle(at);
        }
    }

    /// What was heard belongs to an incident.
    pub(super) fn forget_pending(&mut self) {
        self.pending = (0, 0);
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "a decay factor and an age in microseconds: seven digits are plenty"
    )]
    fn settle(&mut self, at: Micros) {
        let age = (at - self.at).max(0) as f64;
        let kept = if self.at == 0 {
            0.0
        } else {
            (-age / HALF_LIFE).exp2() as f32
        };
        self.bad = self.bad * kept + f32::from(self.pending.1);
        self.runs = self.runs * kept + f32::from(self.pending.0);
        self.at = at;
        self.pending = (0, 0);
    }
}
