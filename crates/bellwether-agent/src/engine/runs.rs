//! From a slot that is due to its row, and the burst that confirms what was not expected.

use std::sync::Arc;

use bellwether_diagnose::visit;
use bellwether_model::job::{CheckAsk, Told, Wanted};
use bellwether_model::report::Context;
use bellwether_model::run::{Run, RunOutcome, Trigger};
use bellwether_model::{Brief, CheckId, NotRunReason, Observation};
use bellwether_probe::worker::{self, Judged};
use jiff::Timestamp;

use super::check::{Burst, Check, is_named, rotation};
use super::{Engine, Key, Kind, Order, Rank, SLOT_LATE_MAX, Say, Timer};
use crate::clock::Micros;
use crate::judge::{is_sound, judge};
use crate::{Harvest, Shown, TraceWhy, wheel};

/// What a visit has beyond the longest time of one of its steps: the last one is then waited for
/// long enough to say that nothing came.
const VISIT_ROOM_MS: u64 = 1000;
/// How long after its deadline an order's end is waited for: the workers' supervisor ends one that is
/// stuck after two seconds.
const GRACE: Micros = 3_000_000;
/// How long an order may wait inside the workers for room, where its interval allows for it.
const ROOM_WAIT: Micros = 10_000_000;
/// Runs of a burst.
pub(super) const BURST_LEN: u8 = 5;
/// From the begin of one to that of the next: a hiccup of seconds shows as one.
pub(super) const BURST_GAP: Micros = 2_000_000;
/// Runs of a burst that have to be ok to end it.
const BURST_OK: u8 = 2;
/// Bursts under way at the same time: an outage of everything is confirmed by its breadth.
pub(super) const BURSTS_MAX: usize = 2048;

impl Engine {
    /// A slot of a check's grid has come.
    pub(super) fn run_due(&mut self, at: usize, grid: u32) {
        let now = self.now;
        let Some(check) = self.checks[at].as_mut().filter(|check| check.grid == grid) else {
            return;
        };
        let due = check.due;
        check.due = wheel::next(now, check.every, check.phase);
        let (next, every) = (check.due, check.every);
        self.wheel.insert(next, Timer::Due { at, grid });
        // All slots up to now but the newest have gone by, and that one too if it is long ago.
        let passed = (next - due) / every - 1;
        let newest = due + passed * every;
        let is_late = now - newest > SLOT_LATE_MAX;
        self.figures.slots_missed += passed + u64::from(is_late);
        if self.is_stopping || is_late {
            return;
        }
        if self.is_pressed() {
            self.figures.slots_pressed += 1;
            return;
        }
        self.take_slot(at, newest);
    }

    fn take_slot(&mut self, at: usize, due: Micros) {
        self.retry_trace(at);
        let former = self.checks[at].as_ref().and_then(|check| check.run);
        if let Some(number) = former {
            return self.former(number, due);
        }
        let Some((key, apart)) = self.may_run(at, due) else {
            return;
        };
        let Some(check) = self.checks[at].as_mut() else {
            return;
        };
        let turn = check.turn;
        check.turn = turn.wrapping_add(1);
        let kind = Kind::Run {
            trigger: Trigger::Schedule,
            due,
            turn,
            is_turned: false,
        };
        let number = self.line_up(key, kind, apart);
        if let (Some(check), Some(number)) = (self.check(key), number) {
            check.run = Some(number);
        }
    }

    /// The run before has not ended. One that still waits gives up its slot, not its place.
    fn former(&mut self, number: u64, due: Micros) {
        let Some(order) = self.orders.get_mut(&number).filter(|o| o.began.is_none()) else {
            self.figures.slots_busy += 1;
            return;
        };
        let Kind::Run {
            trigger,
            turn,
            due: given_up,
            ..
        } = order.kind
        else {
            return;
        };
        order.kind = Kind::Run {
            trigger,
            due,
            turn,
            is_turned: false,
        };
        let about = About::of(order, given_up);
        self.figures.overloaded += 1;
        self.row(about, Brief::unknown("monitor.overload".into()));
    }

    /// Lines up an order of a check; its number.
    pub(super) fn line_up(&mut self, key: Key, kind: Kind, apart: bool) -> Option<u64> {
        self.number += 1;
        let number = self.number;
        let wall = self.wall;
        let check = self.check(key)?;
        let order = Order {
            key,
            id: check.planned.id.clone(),
            ask: check.planned.ask.clone(),
            host: check.host.clone(),
            every: check.every,
            kind,
            began: None,
            wall,
            setting: 0,
            resolver: None,
            apart,
            is_asked: false,
            is_closed: false,
            guard: 0,
        };
        let rank = match kind {
            Kind::Run {
                trigger: Trigger::Schedule,
                ..
            } => Rank::Due,
            Kind::Run {
                trigger: Trigger::Confirm,
                ..
            } => Rank::Confirm,
            Kind::Trace { .. } => Rank::Trace,
        };
        self.places.enter(number, &order.host, rank);
        self.orders.insert(number, order);
        Some(number)
    }

    /// There is a place: begins what lined up. Does anybody still want it?
    pub(super) fn begin(&mut self, number: u64) -> bool {
        let Some(mut order) = self.orders.remove(&number) else {
            return false;
        };
        if self.check(order.key).is_none() {
            return false;
        }
        order.began = Some(self.now);
        order.wall = self.wall;
        match order.kind {
            Kind::Run {
                trigger, due, turn, ..
            } => self.begin_run(number, order, trigger, due, turn),
            Kind::Trace { .. } => self.begin_trace(number, order),
        }
        true
    }

    fn begin_run(
        &mut self,
        number: u64,
        mut order: Order,
        trigger: Trigger,
        due: Micros,
        turn: u32,
    ) {
        let now = self.now;
        // What confirms is on no grid.
        let due = if trigger == Trigger::Schedule {
            due
        } else {
            now
        };
        let (resolver, address_turn) = self.way(&mut order, turn);
        order.kind = Kind::Run {
            trigger,
            due,
            turn,
            is_turned: false,
        };
        if trigger == Trigger::Schedule {
            let late = now - due;
            self.lateness.record(late);
            self.recent.record(now, late);
            self.figures.waited += u64::from(late > 2 * wheel::TICK);
        }
        if is_named(&order.ask) && resolver.is_none() {
            // A trace tells who may be asked.
            self.want_trace(order.key.at, TraceWhy::Cadence);
            self.orders.insert(number, order);
            return self.close_run(
                number,
                Brief::unknown(visit::not_run(NotRunReason::Privacy).into()),
                None,
                true,
            );
        }
        self.send(number, order, resolver, address_turn);
    }

    /// Which resolver and address a run goes by.
    fn way(&mut self, order: &mut Order, turn: u32) -> (Option<u32>, u32) {
        let job = self.settings.job.clone();
        let usable = match self.check(order.key) {
            Some(check) if is_named(&order.ask) => check.resolvers(&job.resolvers),
            Some(_) | None => Vec::new(),
        };
        let (resolver, address_turn) = rotation(turn, &usable);
        let label = resolver.and_then(|at| self.settings.labels.get(at as usize));
        order.resolver = label.cloned();
        (resolver, address_turn)
    }

    /// Hands a visit to the workers.
    fn send(&mut self, number: u64, mut order: Order, resolver: Option<u32>, turn: u32) {
        let deadline_ms = order.ask.timeout_ms.saturating_add(VISIT_ROOM_MS);
        let now = self.now;
        let usual = self.check(order.key).map(|check| check.usual(now));
        let wanted = Wanted::Visit {
            ask: order.ask.clone(),
            resolver,
            turn,
            deadline_ms,
            usual: Some(usual.unwrap_or_default()),
        };
        let deadline = deadline_ms.saturating_mul(1000);
        let patience = deadline + GRACE;
        order.guard = self.now + (patience + ROOM_WAIT).min(order.every.max(patience));
        self.hand_over(number, order, wanted);
    }

    pub(super) fn hand_over(&mut self, number: u64, mut order: Order, wanted: Wanted) {
        order.setting = self.settings.number;
        order.is_asked = true;
        self.settings.under_way += 1;
        self.wheel.insert(order.guard, Timer::Guard(number));
        self.says.push(Say::Ask {
            number,
            setting: order.setting,
            wanted,
            apart: order.apart,
        });
        self.orders.insert(number, order);
    }

    /// How long an order's end is waited for beyond its deadline, at most.
    pub(super) fn patience() -> Micros {
        GRACE + ROOM_WAIT
    }

    /// An order was carried out.
    pub(super) fn told(&mut self, told: Told) {
        let number = told.number;
        let Some(order) = self.orders.get(&number) else {
            return;
        };
        if order.is_closed {
            self.figures.answers_late += 1;
            self.forget(number);
            return;
        }
        match order.kind {
            Kind::Trace { .. } => self.traced(told),
            Kind::Run { .. } => {
                let (brief, observations) = judge(&order.ask, told.observations, order.wall);
                let records = Records {
                    seen: Seen::Here(observations),
                    queries: told.queries,
                };
                self.visited(number, brief, Some(records));
            }
        }
    }

    /// A visit was carried out, and judged by the worker.
    pub(super) fn judged(&mut self, judged: Judged) {
        let Judged {
            number,
            queries,
            brief,
            records,
        } = judged;
        let Some(order) = self.orders.get(&number) else {
            return;
        };
        if order.is_closed {
            self.figures.answers_late += 1;
            self.forget(number);
            return;
        }
        let is_run = matches!(order.kind, Kind::Run { .. });
        if !is_run || !is_sound(&brief) {
            tracing::warn!(number, ?brief, "a worker says what none of our code would");
            return self.lost(number, NotRunReason::WorkerDied);
        }
        let seen = records.map(Seen::Written);
        let records = seen.map(|seen| Records { seen, queries });
        self.visited(number, brief, records);
    }

    fn visited(&mut self, number: u64, brief: Brief, records: Option<Records>) {
        let Some(key) = self.orders.get(&number).map(|order| order.key) else {
            return;
        };
        if brief.not_run == Some(NotRunReason::NoRoute) && self.turn_away(number) {
            return;
        }
        let is_well = brief.outcome != RunOutcome::NotRun;
        self.close_run(number, brief, records, true);
        if is_well {
            self.run_is_well(key);
        }
    }

    /// This vantage has no way to the address: the same run goes to one of the other family, once.
    fn turn_away(&mut self, number: u64) -> bool {
        let Some(mut order) = self.orders.remove(&number) else {
            return false;
        };
        let Kind::Run {
            trigger,
            due,
            turn,
            is_turned: false,
        } = order.kind
        else {
            self.orders.insert(number, order);
            return false;
        };
        order.kind = Kind::Run {
            trigger,
            due,
            turn,
            is_turned: true,
        };
        let (resolver, address_turn) = self.way(&mut order, turn);
        if is_named(&order.ask) && resolver.is_none() {
            self.orders.insert(number, order);
            return false;
        }
        self.settle(order.setting);
        self.number += 1;
        let again = self.number;
        if let Some(check) = self.check(order.key)
            && check.run == Some(number)
        {
            check.run = Some(again);
        }
        if self.apart == Some(number) {
            self.apart = Some(again);
        }
        self.send(again, order, resolver, address_turn.wrapping_add(1));
        true
    }

    /// An order was not carried out.
    pub(super) fn lost(&mut self, number: u64, reason: NotRunReason) {
        self.end(number, visit::not_run(reason), true);
    }

    /// An order's end should have come.
    pub(super) fn guard(&mut self, number: u64) {
        let repeating = self.repeating;
        let Some(order) = self.orders.get_mut(&number).filter(|o| !o.is_closed) else {
            return;
        };
        let Some(began) = order.began else { return };
        // A worker ended: what was under way in it is repeated one by one, within its interval.
        let latest = repeating.min(began + order.every);
        if latest > self.now {
            order.guard = latest;
            return self.wheel.insert(latest, Timer::Guard(number));
        }
        if order.guard > self.now {
            return;
        }
        self.figures.hung += u64::from(matches!(order.kind, Kind::Run { .. }));
        self.end(number, "monitor.probe_hung", false);
    }

    /// Ends an order without an answer. `is_over`: its end was told, nothing more will come.
    pub(super) fn end(&mut self, number: u64, symptom: &'static str, is_over: bool) {
        let Some(order) = self.orders.get(&number) else {
            return;
        };
        match order.kind {
            _ if order.is_closed => {
                if is_over {
                    self.forget(number);
                }
            }
            Kind::Run { .. } => {
                self.close_run(number, Brief::unknown(symptom.into()), None, is_over)
            }
            Kind::Trace { .. } => {
                self.figures.traces_lost += u64::from(order.began.is_some());
                self.close_trace(number, is_over);
            }
        }
    }

    /// Ends all orders of a kind, when nothing more is to begin.
    pub(super) fn end_where(&mut self, which: impl Fn(&Order) -> bool) {
        let open = self.orders.iter().filter(|(_, o)| !o.is_closed && which(o));
        let mut numbers: Vec<u64> = open.map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        for number in numbers {
            self.end(number, "monitor.stopped", false);
        }
    }

    /// What is left of an order when its end was told.
    fn forget(&mut self, number: u64) {
        if let Some(order) = self.orders.remove(&number)
            && order.is_asked
        {
            self.settle(order.setting);
        }
    }

    /// Gives up an order's place. What is still to come of it is known again by its number.
    pub(super) fn release(&mut self, number: u64, is_over: bool) -> Option<About> {
        let order = self.orders.get_mut(&number)?;
        order.is_closed = true;
        let due = match order.kind {
            Kind::Run { due, .. } => due,
            Kind::Trace { .. } => order.began.unwrap_or_default(),
        };
        let about = About::of(order, due);
        let (host, order_is_asked) = (order.host.clone(), order.is_asked);
        if about.began.is_some() {
            self.places.leave(&host);
        }
        if is_over || !order_is_asked {
            self.forget(number);
        }
        if self.apart == Some(number) {
            self.apart = None;
        }
        Some(about)
    }

    fn close_run(&mut self, number: u64, judged: Brief, records: Option<Records>, is_over: bool) {
        let Some(about) = self.release(number, is_over) else {
            return;
        };
        if let Some(check) = self.check(about.key)
            && check.run == Some(number)
        {
            check.run = None;
        }
        let is_shown = self.learn(&about, &judged, records.is_some());
        let began = about.began.unwrap_or(self.now);
        // Milliseconds of a run are far below 2^53.
        let took_ms = self.now.saturating_sub(began) as f64 / 1000.0;
        let (ask, wall) = (about.ask.clone(), about.wall);
        let Some(run) = self.made(about, judged) else {
            return;
        };
        let shown = records.filter(|_| is_shown).and_then(Records::read);
        let harvest = match shown {
            Some((observations, queries)) => Harvest::Shown(Box::new(Shown {
                context: Context {
                    target: ask.target.clone(),
                    expect: ask.expect.clone(),
                    vantage: self.vantage.as_str().to_owned(),
                    now: wall,
                    time_given: false,
                    family: None,
                    baseline: None,
                },
                observations,
                took_ms,
                queries,
                run,
            })),
            None => Harvest::Run(run),
        };
        self.out.push_back(harvest);
    }

    /// What a run shows beyond its row: something to confirm, to trace, or new. Are its records
    /// worth keeping?
    fn learn(&mut self, about: &About, judged: &Brief, has_records: bool) -> bool {
        let (resolvers, now) = (self.settings.labels.len(), self.now);
        let mut is_shown = false;
        let Kind::Run { trigger, turn, .. } = about.kind else {
            return false;
        };
        let Some(check) = self.check(about.key) else {
            return false;
        };
        let at = about.key.at;
        if judged.outcome != RunOutcome::NotRun {
            let bad = judged.outcome != RunOutcome::Ok;
            let is_news = bad && check.bad != Some(true);
            check.bad = Some(bad);
            check.judged = check.judged.saturating_add(1);
            // Each resolver was heard in both families before anything counts as new.
            let settled = check.judged as usize > 2 * resolvers.max(1);
            let is_new = check.known.learn(judged) && settled;
            is_shown = check.is_worth_showing(judged, is_news, is_new, has_records, now);
            if bad {
                self.want_after_failure(at, about.due, is_news);
            } else if is_new {
                self.want_after_change(at);
            }
            if is_news {
                self.burst(about.key, turn);
            }
        }
        if trigger == Trigger::Confirm {
            self.confirmed(about, judged.outcome == RunOutcome::Ok);
        }
        is_shown
    }

    /// Begins to confirm.
    fn burst(&mut self, key: Key, turn: u32) {
        let is_full = self.bursts >= BURSTS_MAX || self.is_stopping || self.is_pressed();
        let Some(check) = self.check(key).filter(|check| check.burst.is_none()) else {
            return;
        };
        if is_full {
            self.figures.bursts_forgone += 1;
            return;
        }
        check.burst = Some(Burst {
            left: BURST_LEN,
            ok: 0,
            turn,
        });
        self.bursts += 1;
        self.figures.bursts += 1;
        self.confirm(key);
    }

    /// The next run of a burst: first as the one to be confirmed, then through others.
    pub(super) fn confirm(&mut self, key: Key) {
        let ends = self.is_stopping || self.is_pressed();
        let Some(check) = self.check(key) else { return };
        let is_poisoned = check.poison.is_some();
        let Some(burst) = &mut check.burst else {
            return;
        };
        if ends || is_poisoned || burst.left == 0 {
            check.burst = None;
            self.bursts -= 1;
            return;
        }
        let turn = burst.turn.wrapping_add(u32::from(BURST_LEN - burst.left));
        burst.left -= 1;
        let kind = Kind::Run {
            trigger: Trigger::Confirm,
            due: 0,
            turn,
            is_turned: false,
        };
        self.line_up(key, kind, false);
    }

    /// A run at once, besides those that are due. One that is confirmed already, or brings down workers,
    /// is not asked more often for that. Is there such a check?
    pub(crate) fn ask_confirm(&mut self, id: &CheckId) -> bool {
        let Some(at) = self.by_id.get(id).copied() else {
            return false;
        };
        let ends = self.is_stopping || self.is_pressed();
        let (Some(key), Some(check)) = (self.key(at), self.checks[at].as_mut()) else {
            return false;
        };
        let is_open = |number: &u64| self.orders.get(number).is_some_and(|o| !o.is_closed);
        let is_asked = check.asked.as_ref().is_some_and(is_open);
        if ends || is_asked || check.burst.is_some() || check.is_poisoned() {
            return true;
        }
        let turn = check.turn;
        check.turn = turn.wrapping_add(1);
        let kind = Kind::Run {
            trigger: Trigger::Confirm,
            due: 0,
            turn,
            is_turned: false,
        };
        let number = self.line_up(key, kind, false);
        if let Some(check) = self.check(key) {
            check.asked = number;
        }
        true
    }

    fn confirmed(&mut self, about: &About, is_ok: bool) {
        let now = self.now;
        let Some(check) = self.check(about.key) else {
            return;
        };
        let Some(burst) = &mut check.burst else {
            return;
        };
        burst.ok += u8::from(is_ok);
        if burst.ok >= BURST_OK || burst.left == 0 {
            check.burst = None;
            self.bursts -= 1;
            return;
        }
        let next = now.max(about.began.unwrap_or(now) + BURST_GAP);
        let Key { at, birth } = about.key;
        self.wheel.insert(next, Timer::Confirm { at, birth });
    }

    /// Hands on a row without records.
    pub(super) fn row(&mut self, about: About, judged: Brief) {
        if let Some(run) = self.made(about, judged) {
            self.out.push_back(Harvest::Run(run));
        }
    }

    /// Makes a row.
    fn made(&mut self, about: About, judged: Brief) -> Option<Run> {
        let About {
            id,
            every,
            kind,
            due,
            began,
            resolver,
            ..
        } = about;
        let Kind::Run { trigger, .. } = kind else {
            return None;
        };
        // What confirms and was not begun is on no grid either.
        let due = if trigger == Trigger::Confirm {
            began.unwrap_or(self.now)
        } else {
            due
        };
        let late = began.unwrap_or(self.now).saturating_sub(due);
        let symptom = judged.symptom.map(|symptom| self.word(&symptom));
        self.sequence += 1;
        let run = Run {
            check: id,
            vantage: self.vantage.clone(),
            sequence: self.sequence,
            due: self.stamp(due),
            late: u32::try_from(late).unwrap_or(u32::MAX),
            every: u32::try_from(every / 1000).unwrap_or(u32::MAX),
            trigger,
            outcome: judged.outcome,
            layer: judged.layer,
            symptom,
            resolver,
            address: judged.address,
            status: judged.status,
            size: judged.size,
            certificate: judged.certificate,
            certificate_ends: judged.certificate_ends,
            evidence: None,
            clock_offset_ms: None,
            phases: judged.phases,
        };
        let place = match run.outcome {
            RunOutcome::Ok => 0,
            RunOutcome::Wrong => 1,
            RunOutcome::Failed => 2,
            RunOutcome::NotRun => 3,
        };
        self.figures.runs[place] += 1;
        self.figures.confirms += u64::from(trigger == Trigger::Confirm);
        Some(run)
    }
}

/// What a run was judged from.
struct Records {
    seen: Seen,
    queries: u32,
}

enum Seen {
    Here(Vec<Observation>),
    /// As a worker wrote them: read if they are worth showing.
    Written(worker::Records),
}

impl Records {
    fn read(self) -> Option<(Vec<Observation>, u32)> {
        let observations = match self.seen {
            Seen::Here(observations) => observations,
            Seen::Written(written) => match written.read() {
                Ok(observations) => observations,
                Err(error) => {
                    tracing::warn!(%error, "the records of a run cannot be read");
                    return None;
                }
            },
        };
        Some((observations, self.queries))
    }
}

/// What a row says of its order.
pub(super) struct About {
    pub(super) key: Key,
    pub(super) id: CheckId,
    pub(super) kind: Kind,
    pub(super) began: Option<Micros>,
    pub(super) wall: Timestamp,
    pub(super) ask: Arc<CheckAsk>,
    every: Micros,
    due: Micros,
    resolver: Option<Arc<str>>,
}

impl About {
    fn of(order: &Order, due: Micros) -> Self {
        Self {
            key: order.key,
            id: order.id.clone(),
            kind: order.kind,
            began: order.began,
            wall: order.wall,
            ask: order.ask.clone(),
            every: order.every,
            due,
            resolver: order.resolver.clone(),
        }
    }

    /// Of a slot for which no order is made.
    pub(super) fn passed(check: &Check, key: Key, due: Micros, wall: Timestamp) -> Self {
        let kind = Kind::Run {
            trigger: Trigger::Schedule,
            due,
            turn: check.turn,
            is_turned: false,
        };
        Self {
            key,
            id: check.planned.id.clone(),
            kind,
            began: Some(due),
            wall,
            ask: check.planned.ask.clone(),
            every: check.every,
            due,
            resolver: None,
        }
    }
}
