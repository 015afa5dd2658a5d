//! When a trace is made: soon after the start, on a slow cadence, after failures and changes, and when
//! somebody asks. One outage of everything must not become a storm of them: few are under way at the
//! same time, and the others wait in fair order.

use std::collections::VecDeque;
use std::time::Duration;

use bellwether_model::dns::ControlVia;
use bellwether_model::job::{Told, Wanted};
use bellwether_model::report::Context;
use bellwether_model::{CheckId, NotRunReason, Outcome};

use super::{Engine, Key, Kind, Order, TRACES_WAITING_MAX, Timer};
use crate::clock::{Micros, micros};
use crate::{Harvest, Trace, TraceWhy};

/// Traces under way at the same time, at most: each asks some hundred questions.
pub(super) const TRACES_MAX: usize = 32;
/// Of all places, the part that traces may take.
const TRACES_PART: usize = 4;
/// Shortest cadence at which a check is followed.
const FOLLOW_MIN: Micros = 10_000_000;

/// Checks that wait for a trace, in order. Those that somebody asked for have a queue of their own,
/// and both take turns.
#[derive(Debug, Default)]
pub(super) struct Queue {
    asked: VecDeque<Key>,
    others: VecDeque<Key>,
    asked_was_last: bool,
    limit: usize,
    pub(super) under_way: usize,
}

impl Queue {
    pub(super) fn limit(&mut self, at_once: usize) {
        self.limit = (at_once / TRACES_PART).clamp(1, TRACES_MAX);
    }

    pub(super) fn waiting(&self) -> usize {
        self.asked.len() + self.others.len()
    }

    pub(super) fn clear(&mut self) {
        self.asked.clear();
        self.others.clear();
    }

    fn push(&mut self, key: Key, why: TraceWhy) {
        match why {
            TraceWhy::Asked => self.asked.push_back(key),
            TraceWhy::Cadence | TraceWhy::Failure | TraceWhy::Change => self.others.push_back(key),
        }
    }

    fn pop(&mut self) -> Option<Key> {
        if self.under_way >= self.limit {
            return None;
        }
        self.asked_was_last = !self.asked_was_last;
        let (first, second) = match self.asked_was_last {
            true => (&mut self.asked, &mut self.others),
            false => (&mut self.others, &mut self.asked),
        };
        first.pop_front().or_else(|| second.pop_front())
    }
}

/// Which reason stands where there are several.
fn rank(why: TraceWhy) -> u8 {
    match why {
        TraceWhy::Cadence => 0,
        TraceWhy::Change => 1,
        TraceWhy::Failure => 2,
        TraceWhy::Asked => 3,
    }
}

impl Engine {
    /// The slow cadence.
    pub(super) fn deep_due(&mut self, at: usize, grid: u32) {
        let now = self.now;
        let Some(check) = self.checks[at].as_ref().filter(|check| check.grid == grid) else {
            return;
        };
        let next = check.next_trace(now);
        let is_fresh = check
            .trace
            .began
            .is_some_and(|began| began + check.deep / 2 > now);
        self.wheel.insert(next, Timer::Deep { at, grid });
        if !is_fresh && !self.is_stopping {
            self.want_trace(at, TraceWhy::Cadence);
        }
    }

    /// Traces at a cadence of their own, as long as somebody follows; `None` ends it.
    pub(crate) fn follow(&mut self, id: &CheckId, cadence: Option<Duration>) -> bool {
        let Some(at) = self.by_id.get(id).copied() else {
            return false;
        };
        let now = self.now;
        let Some(check) = self.checks[at].as_mut() else {
            return false;
        };
        let cadence = cadence.map(|cadence| micros(cadence).max(FOLLOW_MIN));
        self.grids = self.grids.wrapping_add(1);
        let follows = self.grids;
        check.follow = cadence.map(|cadence| (cadence, follows));
        if let Some(cadence) = cadence {
            let after = check.trace.began.map_or(now, |began| began + cadence);
            self.wheel
                .insert(after.max(now), Timer::Follow { at, follows });
        }
        true
    }

    pub(super) fn follow_due(&mut self, at: usize, follows: u32) {
        let Some(Some((cadence, of))) = self.checks[at].as_ref().map(|check| check.follow) else {
            return;
        };
        if of == follows {
            self.wheel
                .insert(self.now + cadence, Timer::Follow { at, follows });
            self.want_trace(at, TraceWhy::Asked);
        }
    }

    /// A run that was due then failed; `is_news`: the one before it had not. A failure that goes on
    /// is looked at less and less often: who wants to follow it asks for that.
    pub(super) fn want_after_failure(&mut self, at: usize, due: Micros, is_news: bool) {
        let Some(check) = self.checks[at].as_mut() else {
            return;
        };
        let (gap, deep) = (check.gap(), check.deep);
        let trace = &mut check.trace;
        let wait = if is_news {
            gap
        } else {
            trace.failure_gap.max(gap)
        };
        if trace.failure.is_some_and(|last| last + wait > due) {
            return;
        }
        trace.failure = Some(due);
        trace.failure_gap = if is_news {
            gap
        } else {
            wait.saturating_mul(2).min(deep.max(gap))
        };
        self.want_trace(at, TraceWhy::Failure);
    }

    /// A run saw something new. What changes all the time is looked at less and less often.
    pub(super) fn want_after_change(&mut self, at: usize) {
        let now = self.now;
        let Some(check) = self.checks[at].as_mut() else {
            return;
        };
        let gap = check.gap();
        let quiet = check.trace.change.map_or(Micros::MAX, |last| now - last);
        if quiet < check.trace.change_gap {
            return;
        }
        let is_calm = quiet >= check.deep;
        let longer = check
            .trace
            .change_gap
            .saturating_mul(2)
            .clamp(gap, check.deep);
        check.trace.change_gap = if is_calm { gap } else { longer };
        check.trace.change = Some(now);
        self.want_trace(at, TraceWhy::Change);
    }

    /// Lines a check up for a trace; a stronger reason takes the place of a weaker one.
    pub(super) fn want_trace(&mut self, at: usize, why: TraceWhy) {
        if self.is_stopping {
            return;
        }
        let Some(check) = self.checks[at].as_mut() else {
            return;
        };
        let trace = &mut check.trace;
        let is_stronger = trace.wanted.is_none_or(|wanted| rank(why) > rank(wanted));
        if !is_stronger {
            return;
        }
        trace.wanted = Some(why);
        // One that is under way shows what the slow cadence asks for.
        if trace.order.is_some() {
            if why == TraceWhy::Cadence {
                trace.wanted = None;
            }
            return;
        }
        let key = Key {
            at,
            birth: check.birth,
        };
        // Who is asked for goes to the shorter queue; the entry in the other one is passed over.
        if !trace.is_queued || why == TraceWhy::Asked {
            trace.is_queued = true;
            self.queue.push(key, why);
        }
    }

    /// Begins traces, as far as there is room for them and for what they bring.
    pub(super) fn begin_traces(&mut self) {
        while self.traces_out + self.queue.under_way < TRACES_WAITING_MAX
            && let Some(key) = self.queue.pop()
        {
            self.take_trace(key);
        }
    }

    fn take_trace(&mut self, key: Key) {
        let now = self.now;
        let is_busy = self.apart.is_some();
        let Some(check) = self.check(key) else { return };
        let pause = check.pause();
        let trace = &mut check.trace;
        if trace.order.is_some() {
            return;
        }
        let Some(why) = trace.wanted.take() else {
            return;
        };
        trace.is_queued = false;
        let is_poisoned = trace.poison.is_some();
        if let Some(next) = trace.poison {
            if is_busy || next > now {
                return;
            }
            trace.poison = Some(now + pause);
        }
        let number = self.line_up(key, Kind::Trace { why }, is_poisoned);
        if is_poisoned {
            self.apart = number;
        }
        if let Some(check) = self.check(key) {
            check.trace.order = number;
            self.queue.under_way += 1;
        }
    }

    pub(super) fn begin_trace(&mut self, number: u64, mut order: Order) {
        let now = self.now;
        let deadline_ms = self.settings.job.deadline_ms;
        order.guard = now + deadline_ms.saturating_mul(1000) + Self::patience();
        let Some(check) = self.check(order.key) else {
            return;
        };
        check.trace.began = Some(now);
        let wanted = Wanted::Trace {
            ask: order.ask.clone(),
            baseline: check.planned.baseline.as_deref().cloned().map(Box::new),
            now: Some(order.wall),
            deadline_ms,
        };
        self.hand_over(number, order, wanted);
    }

    /// A trace came back.
    pub(super) fn traced(&mut self, told: Told) {
        let Told {
            number,
            mut observations,
            queries,
        } = told;
        let Some(about) = self.close_trace(number, true) else {
            return;
        };
        let Kind::Trace { why } = about.kind else {
            return;
        };
        for (place, observation) in observations.iter_mut().enumerate() {
            observation.id = format!("e{}", place + 1);
        }
        let family = self.settings.job.family;
        let mut baseline = None;
        if let Some(check) = self.check(about.key) {
            check.is_traced = true;
            check.private = private(&observations);
            baseline = check.planned.baseline.as_deref().cloned();
            self.trace_is_well(about.key);
        }
        let place = match why {
            TraceWhy::Cadence => 0,
            TraceWhy::Failure => 1,
            TraceWhy::Change => 2,
            TraceWhy::Asked => 3,
        };
        self.figures.traces[place] += 1;
        let began = about.began.unwrap_or(self.now);
        let context = Context {
            target: about.ask.target.clone(),
            expect: about.ask.expect.clone(),
            vantage: self.vantage.as_str().to_owned(),
            now: about.wall,
            time_given: false,
            family,
            baseline,
        };
        // Milliseconds of a trace are far below 2^53.
        let took_ms = (self.now - began) as f64 / 1000.0;
        let trace = Trace {
            check: about.id,
            why,
            context,
            began: about.wall,
            took_ms,
            queries,
            observations,
        };
        self.traces_out += 1;
        self.out.push_back(Harvest::Trace(Box::new(trace)));
    }

    /// A trace is over, or given up; another one that is wanted by now lines up.
    pub(super) fn close_trace(&mut self, number: u64, is_over: bool) -> Option<super::runs::About> {
        let about = self.release(number, is_over)?;
        self.queue.under_way -= 1;
        if let Some(check) = self.check(about.key)
            && check.trace.order == Some(number)
        {
            check.trace.order = None;
            if let Some(why) = check.trace.wanted.take() {
                self.want_trace(about.key.at, why);
            }
        }
        Some(about)
    }
}

/// The resolvers that the privacy rule kept from being asked, by their labels.
fn private(observations: &[bellwether_model::Observation]) -> Vec<String> {
    let mut all = Vec::new();
    for observation in observations {
        let Outcome::NotRun(not_run) = &observation.outcome else {
            continue;
        };
        if not_run.reason != NotRunReason::Privacy {
            continue;
        }
        match &not_run.via {
            Some(ControlVia::Resolver { resolver }) => all.push(resolver.clone()),
            Some(ControlVia::Own | ControlVia::Address) | None => all.push(not_run.subject.clone()),
        }
    }
    all.sort();
    all.dedup();
    all
}
