//! Heartbeats: jobs that report, judged by what was heard of them and when.
//!
//! Pure, like all judging: [`Heard`] is all that is remembered of a job, [`Terms`] is what it promised,
//! and `now` comes in as an argument. [`judge`] says whether it keeps its promise, [`report`] says the
//! same as a report, from which incidents are made.
//!
//! - a job reports by its ends; the time that it is due counts from the newest of them
//! - one that never ended is due a whole period after it was configured, not sooner; and so is one
//!   that is configured otherwise than before
//! - with a limit of its run time, a run that was begun is due at that limit, and by nothing else
//! - while nobody could hear it ([`Gap`]) nothing is held against it: what fell due then has its grace
//!   anew from when it can be heard again
//!
//! - `heard`: what is remembered, and how a signal changes it
//! - `tell`: the report, with its sentences and facts

mod heard;
mod tell;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bellwether_model::Verdict;
use jiff::{SignedDuration, Timestamp};

pub use heard::{End, Heard, LOG_LEN_MAX, Ping, RID_LEN_MAX, RUNS_MAX, Run, Signal};
pub use tell::{excerpt, report};

/// Least time that a job has to report in after nobody could hear it: a client that was refused tries
/// again within seconds.
pub const AGAIN_MIN: Duration = Duration::from_secs(10);

/// A report so long before it is due counts as that one: the clocks of two machines differ by seconds.
const EARLY_MAX: SignedDuration = SignedDuration::from_secs(30);

/// Of two times that are near to each other the report counts for the first until this share of the
/// time between them is left.
const EARLY_SHARE: i32 = 20;

/// The first time of a rhythm after another time.
pub type NextAfter<'a> = dyn Fn(Timestamp) -> Option<Timestamp> + 'a;

/// When a job is to report.
#[derive(Clone, Copy)]
pub enum Rhythm<'a> {
    /// So long after the last time, at most.
    Every(Duration),
    /// At certain times: gives the first of them after another time.
    Times(&'a NextAfter<'a>),
}

impl std::fmt::Debug for Rhythm<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Every(every) => write!(f, "Every({every:?})"),
            Self::Times(_) => f.write_str("Times(…)"),
        }
    }
}

impl Rhythm<'_> {
    /// When the next report is due after one at this time.
    fn after(self, report: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(every) => report.checked_add(every).ok(),
            Self::Times(next_after) => {
                let first = next_after(report)?;
                let Some(second) = next_after(first) else {
                    return Some(first);
                };
                let early = EARLY_MAX.min(second.duration_since(first) / EARLY_SHARE);
                if first.duration_since(report) <= early {
                    Some(second)
                } else {
                    Some(first)
                }
            }
        }
    }

    /// When the first report of all is due, a whole period after this time.
    fn first(self, since: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(every) => since.checked_add(every).ok(),
            // It may have been configured a moment before the first of them.
            Self::Times(next_after) => next_after(next_after(since)?),
        }
    }
}

/// What a job promised.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it is to report.
    pub rhythm: Rhythm<'a>,
    /// How late it may be.
    pub grace: Duration,
    /// How long one run may take.
    pub max_run: Option<Duration>,
}

/// When nobody could hear a job: the hub was down, or its machine slept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// From then on; it was heard until then.
    pub from: Timestamp,
    /// It is heard again since then.
    pub until: Timestamp,
}

/// What of a job is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Its next report.
    Report,
    /// The end of the run that began then.
    End {
        /// When the run began.
        began: Timestamp,
    },
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Healthy, broken, or unknown: it never reported, or could not be heard.
    pub verdict: Verdict,
    /// What is waited for.
    pub awaited: Awaited,
    /// When that is due, without the grace; `None` if it never is.
    pub due: Option<Timestamp>,
    /// Did it not come in time?
    pub missed: bool,
    /// Did it report failure last?
    pub failed: bool,
    /// Since when it is broken; `None` unless it is.
    pub since: Option<Timestamp>,
}

impl State {
    /// By how much it is late.
    #[must_use]
    pub fn late_by(&self, now: Timestamp) -> Option<Duration> {
        let due = self.due.filter(|_| self.missed)?;
        Duration::try_from(now.duration_since(due)).ok()
    }
}

/// What is waited for, when it is due, and by when it must have come.
struct Wait {
    awaited: Awaited,
    due: Option<Timestamp>,
    /// Without what is granted for a gap.
    deadline: Option<Timestamp>,
}

fn wait(heard: &Heard, terms: &Terms<'_>) -> Wait {
    if let (Some(began), Some(max_run)) = (heard.running_since(), terms.max_run) {
        let due = began.checked_add(max_run).ok();
        return Wait {
            awaited: Awaited::End { began },
            due,
            deadline: due,
        };
    }
    // What was reported by another rhythm says nothing of when this one is due.
    let ended = heard.ended.as_ref().map(|end| end.at);
    let due = match ended.filter(|at| *at >= heard.known_since) {
        Some(at) => terms.rhythm.after(at),
        None => terms.rhythm.first(heard.known_since),
    };
    Wait {
        awaited: Awaited::Report,
        due,
        deadline: due.and_then(|due| due.checked_add(terms.grace).ok()),
    }
}

/// The deadline, with what is granted for a gap in which what is waited for fell due.
fn granted(wait: &Wait, grace: Duration, gap: Option<Gap>) -> Option<Timestamp> {
    let (due, deadline) = (wait.due?, wait.deadline?);
    let gap = gap.filter(|gap| deadline > gap.from && due < gap.until);
    let again = gap.and_then(|gap| gap.until.checked_add(grace.max(AGAIN_MIN)).ok());
    Some(again.map_or(deadline, |again| again.max(deadline)))
}

/// How a job stands now.
#[must_use]
pub fn judge(heard: &Heard, terms: &Terms<'_>, gap: Option<Gap>, now: Timestamp) -> State {
    let wait = wait(heard, terms);
    let is_past = |deadline: Option<Timestamp>| deadline.is_some_and(|deadline| now > deadline);
    let missed = is_past(granted(&wait, terms.grace, gap));
    let is_granted = is_past(wait.deadline) && !missed;
    let failed = heard.ended.as_ref().is_some_and(|end| !end.ok);
    let verdict = if missed || failed {
        Verdict::Broken
    } else if is_granted || heard.ended.is_none() {
        Verdict::Unknown
    } else {
        Verdict::Healthy
    };
    let due = wait.due.filter(|_| missed);
    let failing = heard.failing_since.filter(|_| failed);
    let since = due.into_iter().chain(failing).min();
    State {
        verdict,
        awaited: wait.awaited,
        due: wait.due,
        missed,
        failed,
        since,
    }
}
