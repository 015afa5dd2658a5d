//! Checks that bring down the worker that probes them: they are named, and from then on asked apart
//! from all others, seldom, and one at a time, until it goes well.

use crate::clock::Micros;
use crate::{Own, TraceWhy};

use super::check::Check;
use super::runs::About;
use super::{Engine, Key, Kind};
use bellwether_model::Brief;

/// Of its times, a poisoned check is asked at one of so many.
const APART_EVERY: u64 = 5;
/// How long what was under way in a worker that ended is waited for while it is repeated one by one,
/// where its interval allows for it.
const REPEATING: Micros = 30_000_000;

impl Check {
    pub(super) fn is_poisoned(&self) -> bool {
        self.poison.is_some() || self.trace.poison.is_some()
    }

    /// How long it is left alone. Half an interval less: its slot must be no moment too early.
    pub(super) fn pause(&self) -> Micros {
        APART_EVERY * self.every - self.every / 2
    }
}

impl Engine {
    pub(super) fn replaced(&mut self, why: String, under_way: usize) {
        self.figures.workers_replaced += 1;
        self.repeating = self.now + REPEATING;
        self.own(Own::WorkerReplaced { why, under_way });
    }

    /// An order brought down a worker all by itself.
    pub(super) fn poisoned(&mut self, number: u64, why: String) {
        let Some(order) = self.orders.get(&number) else {
            return;
        };
        let (key, kind, id) = (order.key, order.kind, order.id.clone());
        let symptom = if why.contains("hung") || why.contains("stuck") {
            "monitor.worker_hung"
        } else {
            "monitor.worker_died"
        };
        self.end(number, symptom, true);
        let now = self.now;
        let Some(check) = self.check(key) else { return };
        let was_known = check.is_poisoned();
        match kind {
            Kind::Run { .. } => check.poison = Some(now + check.pause()),
            Kind::Trace { .. } => check.trace.poison = Some(now + check.pause()),
        }
        if !was_known {
            self.figures.poisoned += 1;
            self.own(Own::CheckPoisoned { check: id, why });
        }
    }

    /// May a check's run begin, and if so, apart? If not, the slot leaves a row that says so.
    pub(super) fn may_run(&mut self, at: usize, due: Micros) -> Option<(Key, bool)> {
        let key = self.key(at)?;
        let (now, wall) = (self.now, self.wall);
        let is_busy = self.apart.is_some();
        let check = self.check(key)?;
        let Some(next) = check.poison else {
            return Some((key, false));
        };
        if now >= next && !is_busy {
            check.poison = Some(now + check.pause());
            // The number that it is given next.
            self.apart = Some(self.number + 1);
            return Some((key, true));
        }
        let about = About::passed(check, key, due, wall);
        self.row(about, Brief::unknown("monitor.check_poisoned".into()));
        None
    }

    /// A check whose traces bring down workers is traced again after a while, to see whether it still
    /// is so.
    pub(super) fn retry_trace(&mut self, at: usize) {
        let now = self.now;
        let next = self.checks[at]
            .as_ref()
            .and_then(|check| check.trace.poison);
        if next.is_some_and(|next| next <= now) {
            self.want_trace(at, TraceWhy::Cadence);
        }
    }

    pub(super) fn run_is_well(&mut self, key: Key) {
        self.is_well(key, |check| check.poison.take().is_some());
    }

    pub(super) fn trace_is_well(&mut self, key: Key) {
        self.is_well(key, |check| check.trace.poison.take().is_some());
    }

    fn is_well(&mut self, key: Key, heal: impl Fn(&mut Check) -> bool) {
        let Some(check) = self.check(key) else { return };
        if heal(check) && !check.is_poisoned() {
            let id = check.planned.id.clone();
            self.figures.poisoned -= 1;
            self.own(Own::CheckWell { check: id });
        }
    }
}
