//! Counts of an agent, for whoever watches it.

use std::time::Duration;

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

/// A figure as metrics have it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Its name, without a prefix, and without the suffix that a format gives to counters.
    pub name: &'static str,
    /// What it says, for people.
    pub help: &'static str,
    /// What parts it from others of the same name, as key and value; those stand next to each other.
    pub label: Option<(&'static str, &'static str)>,
    /// Its value, in the unit that its name ends in.
    pub value: f64,
}

impl Sample {
    fn of(name: &'static str, help: &'static str, value: f64) -> Self {
        Self {
            name,
            help,
            label: None,
            value,
        }
    }

    fn among(self, key: &'static str, value: &'static str) -> Self {
        Self {
            label: Some((key, value)),
            ..self
        }
    }
}

impl Figures {
    /// What only grows until the agent starts anew.
    #[must_use]
    pub fn counters(&self) -> Vec<Sample> {
        let slots = |reason, count: u64| {
            let help = "Times at which a check was due and not run";
            Sample::of("agent_slots_left_out", help, float(count)).among("reason", reason)
        };
        let traces = ["cadence", "failure", "change", "asked"].into_iter();
        let traces = traces.zip(self.traces).map(|(why, count)| {
            Sample::of("agent_traces", "Traces made", float(count)).among("why", why)
        });
        let plain = [
            ("agent_confirms", "Runs that confirm", self.confirms),
            (
                "agent_bursts",
                "Times that something was confirmed",
                self.bursts,
            ),
            (
                "agent_bursts_forgone",
                "Times that too much was being confirmed already",
                self.bursts_forgone,
            ),
            (
                "agent_waited",
                "Runs that had no place when they were due",
                self.waited,
            ),
            (
                "agent_overloaded",
                "Runs given up after an interval without a place",
                self.overloaded,
            ),
            (
                "agent_hung",
                "Runs that did not come back by their deadline",
                self.hung,
            ),
            (
                "agent_answers_late",
                "Answers that came after their deadline",
                self.answers_late,
            ),
            (
                "agent_traces_lost",
                "Traces of which nothing came back",
                self.traces_lost,
            ),
        ];
        let plain = plain
            .into_iter()
            .map(|(name, help, count)| Sample::of(name, help, float(count)));
        [
            slots("asleep", self.slots_missed),
            slots("busy", self.slots_busy),
            slots("pressed", self.slots_pressed),
        ]
        .into_iter()
        .chain(traces)
        .chain(plain)
        .collect()
    }

    /// What goes up and down.
    #[must_use]
    pub fn gauges(&self) -> Vec<Sample> {
        let recent = |quantile, micros: u64| {
            let help = "How late runs began in the last whole minute; quantile 1 is the latest";
            let seconds = Duration::from_micros(micros).as_secs_f64();
            Sample::of("agent_recent_lateness_seconds", help, seconds).among("quantile", quantile)
        };
        let queue = |name, waiting: usize| {
            let help = "What waits inside the agent";
            Sample::of("agent_waiting", help, float(waiting as u64)).among("for", name)
        };
        let Self {
            lateness_recent: late,
            ..
        } = self;
        vec![
            recent("0.5", late.p50),
            recent("0.95", late.p95),
            recent("0.99", late.p99),
            recent("1", late.max),
            Sample::of(
                "agent_recent_runs",
                "Runs that were due in the last whole minute and began",
                float(late.count),
            ),
            queue("a place", self.waiting),
            queue("a trace", self.traces_waiting),
            queue("the hub", self.harvest_waiting),
            Sample::of(
                "agent_under_way",
                "Runs and traces under way",
                float(self.under_way as u64),
            ),
            Sample::of(
                "agent_pressed",
                "Are no runs begun because nobody takes what was seen",
                f64::from(u8::from(self.pressed)),
            ),
            Sample::of(
                "agent_clock_moved_seconds",
                "By how much the wall clock was set since the agent started",
                self.clock_moved_ms as f64 / 1e3,
            ),
        ]
    }
}

/// Counts of ours stay far below 2^53.
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_names_that_metrics_may_have() {
        let figures = Figures {
            slots_missed: 3,
            slots_busy: 4,
            traces: [0, 5, 0, 0],
            lateness_recent: Lateness {
                count: 7,
                p50: 1_000,
                p95: 2_000,
                p99: 25_000,
                max: 1_500_000,
            },
            ..Figures::default()
        };
        let all = [figures.counters(), figures.gauges()].concat();
        let value = |name: &str, label: &str| {
            let is_it = |s: &&Sample| s.name == name && s.label.is_none_or(|(_, of)| of == label);
            all.iter().find(is_it).map(|sample| sample.value)
        };
        assert_eq!(value("agent_slots_left_out", "asleep"), Some(3.0));
        assert_eq!(value("agent_slots_left_out", "busy"), Some(4.0));
        assert_eq!(value("agent_traces", "failure"), Some(5.0));
        assert_eq!(value("agent_recent_lateness_seconds", "0.99"), Some(0.025));
        assert_eq!(value("agent_recent_lateness_seconds", "1"), Some(1.5));
        assert_eq!(value("agent_recent_runs", ""), Some(7.0));
        // Each name with its label once, those of a name next to each other.
        let mut names: Vec<_> = all.iter().map(|s| (s.name, s.label)).collect();
        let families = all.chunk_by(|a, b| a.name == b.name).count();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
        let distinct: std::collections::BTreeSet<_> = all.iter().map(|s| s.name).collect();
        assert_eq!(distinct.len(), families);
        let is_plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(all.iter().all(|s| s.name.chars().all(is_plain)));
    }
}
