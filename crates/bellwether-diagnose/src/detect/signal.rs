//! What detection says.

use bellwether_model::incident::Flapping;
use bellwether_model::{CheckId, VantageId};
use jiff::Timestamp;

use super::heard::Group;

/// What detection says about a check.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// One result is unexpected: ask again at once. Visits are made in the order of `vantages`, two
    /// seconds apart, the first one included, and end at the first that succeeds. It may come again
    /// when they have ended so and nothing is settled: after a lone failure three times, and while more
    /// than one stands or all results together speak for a grey failure at most a minute long.
    Suspect {
        /// The check.
        check: CheckId,
        /// The first failing run.
        since: Timestamp,
        /// Where to ask, in order; a vantage may stand there more than once, and should then ask
        /// by another way (resolver, address) each time.
        vantages: Vec<VantageId>,
    },
    /// It is broken.
    Alarm(Alarm),
    /// It is broken for more than the alarm said: a group's trouble is everybody's now.
    Widened(Alarm),
    /// It works again, and has done so for the damping time.
    Clear {
        /// The check.
        check: CheckId,
        /// The first success after the last failure.
        at: Timestamp,
    },
    /// It is slower than it was, or slower than said before.
    SlowAlarm(SlowAlarm),
    /// It is no longer slow.
    SlowClear {
        /// The check.
        check: CheckId,
        /// When that was seen.
        at: Timestamp,
        /// Why.
        why: SlowEnd,
    },
    /// It comes and goes. Said once when it begins, then at most every half hour; until it ends
    /// there is no `Clear`, and no second `Alarm`.
    Flapping {
        /// The check.
        check: CheckId,
        /// How.
        flapping: Flapping,
    },
}

impl Signal {
    /// The check that it speaks of.
    #[must_use]
    pub fn check(&self) -> &CheckId {
        match self {
            Self::Suspect { check, .. }
            | Self::Clear { check, .. }
            | Self::SlowClear { check, .. }
            | Self::Flapping { check, .. } => check,
            Self::Alarm(alarm) | Self::Widened(alarm) => &alarm.check,
            Self::SlowAlarm(slow) => &slow.check,
        }
    }
}

/// A check is broken.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// The check.
    pub check: CheckId,
    /// When it most likely began: the first failing run since the evidence was last nil. This, not
    /// the time of the alarm, is what a status page tells.
    pub onset: Timestamp,
    /// For whom.
    pub channel: Channel,
    /// Vantages that hold evidence against it, sorted.
    pub vantages: Vec<VantageId>,
    /// The evidence, nats: the logarithm of how much likelier the results are if it is broken.
    pub score: f64,
    /// What so few vantages cannot tell.
    pub caveat: Option<&'static str>,
}

/// Whose evidence raised an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// All vantages together.
    Global,
    /// Vantages that have something in common.
    Group(Group),
}

/// A check is slow.
#[derive(Clone, Debug, PartialEq)]
pub struct SlowAlarm {
    /// The check.
    pub check: CheckId,
    /// When it most likely began.
    pub since: Timestamp,
    /// For whom.
    pub channel: Channel,
    /// Vantages that hold evidence, sorted.
    pub vantages: Vec<VantageId>,
    /// The phase that took most of the added time, as [`bellwether_model::run::Phases::NAMES`] has it.
    pub phase: Option<&'static str>,
    /// Median now by median before.
    pub ratio: f64,
    /// Share of recent results above 1.25 times the usual 95th percentile.
    pub share: f64,
    /// How bad.
    pub grade: Grade,
}

/// How slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// Worth knowing.
    Notice,
    /// Three times as slow, or more.
    Warning,
    /// Ten times as slow, or more.
    Incident,
}

/// Why slowness ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlowEnd {
    /// It is as fast as it was.
    Recovered,
    /// It stayed so for a day within what is allowed: this is the normal now.
    NewNormal,
    /// It is broken, which says more.
    Broken,
}
