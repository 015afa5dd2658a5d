//! Counts of an agent, for whoever watches it.

use serde::Serialize;

use crate::lateness::Lateness;

/// What an agent has done since it started, and what it is at. Counts only grow; what is said to be
/// "now" goes up and down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// The plan it goes by, now.
    pub generation: u64,
    /// Checks, now.
    pub checks: usize,
    /// Rows made, by outcome: ok, wrong, failed, not run. Those that confirm are counted too.
    pub runs: [u64; 4],
    /// Of these, the ones that confirm.
    pub confirms: u64,
    /// Bursts begun to confirm an unexpected result.
    pub bursts: u64,
    /// Bursts not begun, because too many were under way.
    pub bursts_forgone: u64,
    /// Slots left out because the agent itself was not running when they were due: the machine slept,
    /// or was held up.
    pub slots_missed: u64,
    /// Slots left out because the run before was still under way.
    pub slots_busy: u64,
    /// Slots left out because nobody took what was there already.
    pub slots_pressed: u64,
    /// Runs that could not begin when they were due, for want of a place.
    pub waited: u64,
    /// Runs given up after a whole interval without a place; each left a row that says so.
    pub overloaded: u64,
    /// Runs that did not come back by their deadline; each left a row that says so.
    pub hung: u64,
    /// Answers that came after their row was made.
    pub answers_late: u64,
    /// Runs and traces under way, now.
    pub under_way: usize,
    /// Runs and traces that wait for a place, now; those for a place at their host not counted.
    pub waiting: usize,
    /// Traces made: by cadence, after failures, after changes, asked for.
    pub traces: [u64; 4],
    /// Traces of which nothing came back.
    pub traces_lost: u64,
    /// Traces under way, now.
    pub traces_under_way: usize,
    /// Traces that wait for their turn, now.
    pub traces_waiting: usize,
    /// What was seen and not yet taken, now.
    pub harvest_waiting: usize,
    /// Are no new runs begun because it is not taken, now?
    pub pressed: bool,
    /// Rows and traces that nobody took before the agent ended.
    pub undelivered: u64,
    /// Workers replaced.
    pub workers_replaced: u64,
    /// Checks that are asked apart because they bring down workers, now.
    pub poisoned: usize,
    /// How late scheduled runs began, since the start.
    pub lateness: Lateness,
    /// The same, in the last whole minute.
    pub lateness_recent: Lateness,
    /// By how much the wall clock has moved since the start against the clock that runs are due by,
    /// milliseconds, now: it was set, or the machine slept. Stamps follow it.
    pub clock_moved_ms: i64,
}
