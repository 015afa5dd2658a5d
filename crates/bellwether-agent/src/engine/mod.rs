//! What the agent does next, without any input or output: time, answers and requests come in, orders
//! and rows go out. The loop around it is in [`agent`](crate::agent).
//!
//! - [`places`]: who may begin
//! - [`check`]: what is known of one check
//! - `runs`: from a due slot to its row; confirmation
//! - `traces`: when a trace is made
//! - `poison`: checks that bring down their workers

mod check;
mod places;
mod poison;
mod runs;
#[cfg(test)]
mod tests;
mod traces;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bellwether_model::job::{CheckAsk, Job, Wanted};
use bellwether_model::run::Trigger;
use bellwether_model::{Baseline, CheckId, VantageId};
use jiff::Timestamp;

use crate::clock::Micros;
use crate::figures::Figures;
use crate::lateness::{Histogram, Recent};
use crate::wheel::Wheel;
use crate::workers::Said;
use crate::{Harvest, Own, Plan, PlannedCheck, TraceWhy, wheel};

use check::Check;
use places::{Places, Rank};
use traces::Queue;

/// Rows and traces that wait to be taken, at most; with more, no new runs begin. Two minutes of the
/// largest plan, some 100 MiB.
pub(crate) const HARVEST_WAITING_MAX: usize = 200_000;
/// Traces among them, at most: each is a thousand times a row.
pub(crate) const TRACES_WAITING_MAX: usize = 256;
/// A slot that is reached later than this was slept through: it is left out, and the next one is at
/// its own time.
pub(crate) const SLOT_LATE_MAX: Micros = 2_000_000;
/// A check that fails is traced for it at most this often, or at each of its runs; while it goes on
/// failing, less and less often.
pub(crate) const FAILURE_GAP_MIN: Micros = 10_000_000;
/// Up to so many checks have their first trace soon after the start.
const SMALL_PLAN: usize = 200;
/// How many of these first traces begin in a second.
const FIRST_TRACES_A_SECOND: u64 = 10;

/// Where a check stands, and which one there it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    at: usize,
    birth: u32,
}

#[derive(Debug)]
enum Timer {
    Due {
        at: usize,
        grid: u32,
    },
    Confirm {
        at: usize,
        birth: u32,
    },
    Deep {
        at: usize,
        grid: u32,
    },
    Follow {
        at: usize,
        follows: u32,
    },
    /// An order should have come to its end.
    Guard(u64),
}

/// What the workers are to be told.
#[derive(Debug)]
pub(crate) enum Say {
    Setting(u32, Arc<Job>),
    Forget(u32),
    Ask {
        number: u64,
        setting: u32,
        wanted: Wanted,
        apart: bool,
    },
}

/// A run or a trace, from when it lines up to when its end is known.
struct Order {
    key: Key,
    id: CheckId,
    ask: Arc<CheckAsk>,
    host: Arc<str>,
    every: Micros,
    kind: Kind,
    /// When it began; `None` while it waits.
    began: Option<Micros>,
    /// The same by the wall clock.
    wall: Timestamp,
    /// The job that it goes by.
    setting: u32,
    /// The resolver that was asked.
    resolver: Option<Arc<str>>,
    apart: bool,
    /// The workers know of it.
    is_asked: bool,
    /// Its row is made, its place given up: only its end is still to come.
    is_closed: bool,
    /// When it should have come to its end.
    guard: Micros,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Run {
        trigger: Trigger,
        due: Micros,
        turn: u32,
        /// It was turned to another address family already.
        is_turned: bool,
    },
    Trace {
        why: TraceWhy,
    },
}

/// The jobs that workers know.
struct Settings {
    job: Arc<Job>,
    number: u32,
    /// Labels of the present job's resolvers.
    labels: Vec<Arc<str>>,
    /// How many orders are under way by each former one.
    former: HashMap<u32, usize>,
    under_way: usize,
}

/// By how much the wall clock must have been moved for stamps to follow it: more than the system's
/// slewing makes in an hour, and less than anybody sees.
const MOVED_MIN: i64 = 500_000;

pub(crate) struct Engine {
    now: Micros,
    wall: Timestamp,
    /// What stamps are ahead of the agent's time, microseconds: the wall clock was set, or the machine
    /// slept.
    ahead: i64,
    vantage: VantageId,
    wheel: Wheel<Timer>,
    due: Vec<(Micros, Timer)>,
    checks: Vec<Option<Check>>,
    free: Vec<usize>,
    by_id: HashMap<CheckId, usize>,
    births: u32,
    grids: u32,
    places: Places,
    orders: HashMap<u64, Order>,
    number: u64,
    sequence: u64,
    settings: Settings,
    queue: Queue,
    bursts: usize,
    /// The order of a poisoned check that is under way.
    apart: Option<u64>,
    /// Until then what was under way in a worker that ended may still come.
    repeating: Micros,
    words: HashSet<Arc<str>>,
    out: VecDeque<Harvest>,
    traces_out: usize,
    /// [`HARVEST_WAITING_MAX`], or less in tests.
    harvest_max: usize,
    says: Vec<Say>,
    is_stopping: bool,
    lateness: Histogram,
    recent: Recent,
    figures: Figures,
}

impl Engine {
    pub(crate) fn new(plan: Plan, now: Micros, wall: Timestamp) -> Self {
        let mut engine = Self {
            now,
            wall,
            ahead: 0,
            vantage: plan.vantage.clone(),
            wheel: Wheel::new(now),
            due: Vec::new(),
            checks: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            births: 0,
            grids: 0,
            places: Places::new(plan.at_once),
            orders: HashMap::new(),
            number: 0,
            sequence: 0,
            settings: Settings {
                job: Arc::new(plan.common.clone()),
                number: 0,
                labels: labels(&plan.common),
                former: HashMap::new(),
                under_way: 0,
            },
            queue: Queue::default(),
            bursts: 0,
            apart: None,
            repeating: 0,
            words: HashSet::new(),
            out: VecDeque::new(),
            traces_out: 0,
            harvest_max: HARVEST_WAITING_MAX,
            says: Vec::new(),
            is_stopping: false,
            lateness: Histogram::default(),
            recent: Recent::default(),
            figures: Figures::default(),
        };
        let job = engine.settings.job.clone();
        engine.says.push(Say::Setting(0, job));
        engine.plan(plan);
        engine
    }

    /// Goes by this plan from now on. Checks that stay keep their times and what is known of them.
    pub(crate) fn plan(&mut self, plan: Plan) {
        let Plan {
            generation,
            vantage,
            common,
            checks,
            at_once,
            workers: _,
        } = plan;
        self.figures.generation = generation;
        self.vantage = vantage;
        self.places.limit(at_once);
        self.queue.limit(at_once);
        self.common(common);
        let mut gone: HashSet<usize> = self.by_id.values().copied().collect();
        let count = u64::try_from(checks.len()).unwrap_or(u64::MAX);
        let soon = 1_000_000 + count.saturating_mul(1_000_000) / FIRST_TRACES_A_SECOND;
        let soon = (checks.len() <= SMALL_PLAN).then_some(soon);
        for planned in checks {
            match self.by_id.get(&planned.id) {
                Some(at) => {
                    let at = *at;
                    gone.remove(&at);
                    self.stay(at, planned);
                }
                None => self.add(planned, soon),
            }
        }
        for at in gone {
            self.remove(at);
        }
        self.figures.checks = self.by_id.len();
    }

    fn common(&mut self, common: Job) {
        if *self.settings.job == common {
            return;
        }
        let settings = &mut self.settings;
        settings.labels = labels(&common);
        if settings.under_way == 0 {
            self.says.push(Say::Forget(settings.number));
        } else {
            settings.former.insert(settings.number, settings.under_way);
        }
        settings.job = Arc::new(common);
        settings.number = settings.number.wrapping_add(1);
        settings.under_way = 0;
        self.says
            .push(Say::Setting(settings.number, settings.job.clone()));
    }

    /// An order by this job is over.
    fn settle(&mut self, setting: u32) {
        if setting == self.settings.number {
            self.settings.under_way = self.settings.under_way.saturating_sub(1);
            return;
        }
        if let Some(under_way) = self.settings.former.get_mut(&setting) {
            *under_way -= 1;
            if *under_way == 0 {
                self.settings.former.remove(&setting);
                self.says.push(Say::Forget(setting));
            }
        }
    }

    fn add(&mut self, planned: PlannedCheck, soon: Option<Micros>) {
        self.births = self.births.wrapping_add(1);
        let id = planned.id.clone();
        let mut check = Check::new(planned, self.births);
        check.due = wheel::next(self.now, check.every, check.phase);
        let at = self.free.pop().unwrap_or_else(|| {
            self.checks.push(None);
            self.checks.len() - 1
        });
        self.by_id.insert(id, at);
        let first = check.first_trace(self.now, soon);
        self.checks[at] = Some(check);
        self.set_timers(at, first);
    }

    fn stay(&mut self, at: usize, planned: PlannedCheck) {
        let now = self.now;
        let Some(check) = self.checks[at].as_mut() else {
            return;
        };
        let had = (check.burst.is_some(), check.is_poisoned());
        let moves = check.replan(planned);
        let burst_ended = had.0 && check.burst.is_none();
        let healed = had.1 && !check.is_poisoned();
        let id = check.planned.id.clone();
        if moves {
            check.due = wheel::next(now, check.every, check.phase);
            let deep = check.next_trace(now);
            self.set_timers(at, deep);
        }
        self.bursts -= usize::from(burst_ended);
        if healed {
            self.figures.poisoned -= 1;
            self.own(Own::CheckWell { check: id });
        }
    }

    fn set_timers(&mut self, at: usize, deep: Micros) {
        self.grids = self.grids.wrapping_add(1);
        let grid = self.grids;
        let Some(check) = self.checks[at].as_mut() else {
            return;
        };
        check.grid = grid;
        self.wheel.insert(check.due, Timer::Due { at, grid });
        self.wheel.insert(deep, Timer::Deep { at, grid });
    }

    fn remove(&mut self, at: usize) {
        let Some(check) = self.checks[at].take() else {
            return;
        };
        self.bursts -= usize::from(check.burst.is_some());
        self.figures.poisoned -= usize::from(check.is_poisoned());
        self.by_id.remove(&check.planned.id);
        // What waits is not begun any more; what is under way still leaves its row.
        for number in check.run.into_iter().chain(check.trace.order) {
            let waits = self.orders.get(&number).is_some_and(|o| o.began.is_none());
            if waits {
                self.orders.remove(&number);
                self.apart.take_if(|apart| *apart == number);
            }
            if waits && check.trace.order == Some(number) {
                self.queue.under_way -= 1;
            }
        }
        self.free.push(at);
    }

    /// Does everything that is due.
    pub(crate) fn advance(&mut self, now: Micros, wall: Timestamp) {
        self.catch_up(now, wall);
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(self.now, &mut due);
        for (_, timer) in due.drain(..) {
            match timer {
                Timer::Due { at, grid } => self.run_due(at, grid),
                Timer::Confirm { at, birth } => self.confirm(Key { at, birth }),
                Timer::Deep { at, grid } => self.deep_due(at, grid),
                Timer::Follow { at, follows } => self.follow_due(at, follows),
                Timer::Guard(number) => self.guard(number),
            }
        }
        self.due = due;
        self.begin_waiting();
    }

    /// What is heard from now on is heard at this time.
    pub(crate) fn catch_up(&mut self, now: Micros, wall: Timestamp) {
        self.now = self.now.max(now);
        self.wall = wall;
        let ahead = self.moved();
        // Between two such moves all stamps lie on one grid, whatever the clock's own pace is.
        if ahead.abs_diff(self.ahead) >= MOVED_MIN.unsigned_abs() {
            self.ahead = ahead;
        }
    }

    /// By how much the wall clock has moved since the start, microseconds.
    fn moved(&self) -> i64 {
        let now = i64::try_from(self.now).unwrap_or(i64::MAX);
        self.wall.as_microsecond().saturating_sub(now)
    }

    /// A moment of the agent's time as a stamp.
    fn stamp(&self, at: Micros) -> Timestamp {
        let at = i64::try_from(at).unwrap_or(i64::MAX);
        let micros = at.saturating_add(self.ahead);
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
    }

    /// Takes in what became of an order or a worker.
    pub(crate) fn heard(&mut self, said: Said) {
        match said {
            Said::Told(told) => self.told(told),
            Said::Judged(judged) => self.judged(judged),
            Said::Lost {
                number,
                reason,
                detail,
            } => {
                tracing::debug!(number, %detail, "an order was not carried out");
                self.lost(number, reason);
            }
            Said::Replaced { why, under_way } => self.replaced(why, under_way),
            Said::Poisoned { number, why } => self.poisoned(number, why),
        }
    }

    /// Begins what waits, as far as there are places.
    pub(crate) fn begin_waiting(&mut self) {
        if !self.is_stopping && !self.is_pressed() {
            self.begin_traces();
        }
        while !self.is_pressed()
            && let Some((number, host)) = self.places.next()
        {
            if !self.begin(number) {
                self.places.leave(&host);
            }
        }
    }

    /// A trace of this check, as soon as there is a place. Is there such a check?
    pub(crate) fn ask_trace(&mut self, id: &CheckId) -> bool {
        let Some(at) = self.by_id.get(id).copied() else {
            return false;
        };
        self.want_trace(at, TraceWhy::Asked);
        true
    }

    /// What is known good from now on.
    pub(crate) fn baseline(&mut self, id: &CheckId, baseline: Option<Arc<Baseline>>) {
        if let Some(check) = self.by_id.get(id).and_then(|at| self.checks[*at].as_mut()) {
            check.planned.baseline = baseline;
        }
    }

    fn check(&mut self, key: Key) -> Option<&mut Check> {
        let check = self.checks.get_mut(key.at)?.as_mut()?;
        (check.birth == key.birth).then_some(check)
    }

    fn key(&self, at: usize) -> Option<Key> {
        let check = self.checks.get(at)?.as_ref()?;
        Some(Key {
            at,
            birth: check.birth,
        })
    }

    /// When to [`advance`](Self::advance) next, at the latest.
    pub(crate) fn wake(&self) -> Micros {
        self.wheel.wake()
    }

    pub(crate) fn says(&mut self) -> std::vec::Drain<'_, Say> {
        self.says.drain(..)
    }

    /// Is nobody taking what was seen?
    pub(crate) fn is_pressed(&self) -> bool {
        self.out.len() >= self.harvest_max
    }

    pub(crate) fn has_harvest(&self) -> bool {
        !self.out.is_empty()
    }

    /// The next thing that was seen.
    pub(crate) fn harvest(&mut self) -> Option<Harvest> {
        let next = self.out.pop_front()?;
        self.traces_out -= usize::from(matches!(next, Harvest::Trace(_)));
        Some(next)
    }

    fn own(&mut self, own: Own) {
        self.out.push_back(Harvest::Own(own));
    }

    /// Begins nothing more. What only waits leaves a row.
    pub(crate) fn stop(&mut self) {
        self.is_stopping = true;
        self.queue.clear();
        self.end_where(|order| order.began.is_none());
    }

    /// Is nothing under way any more?
    pub(crate) fn is_idle(&self) -> bool {
        self.orders.values().all(|order| order.is_closed)
    }

    /// Waits no longer for what is under way: it leaves a row that says so.
    pub(crate) fn give_up(&mut self) {
        self.end_where(|_| true);
    }

    pub(crate) fn undelivered(&mut self) {
        self.figures.undelivered = self.out.len() as u64;
    }

    pub(crate) fn figures(&mut self) -> Figures {
        self.figures.under_way = self.places.busy();
        self.figures.waiting = self.places.waiting();
        self.figures.traces_under_way = self.queue.under_way;
        self.figures.traces_waiting = self.queue.waiting();
        self.figures.harvest_waiting = self.out.len();
        self.figures.pressed = self.is_pressed();
        self.figures.lateness = self.lateness.told();
        self.figures.lateness_recent = self.recent.told(self.now);
        self.figures.clock_moved_ms = self.moved() / 1000;
        self.figures.clone()
    }

    /// A word that many rows share.
    fn word(&mut self, text: &str) -> Arc<str> {
        if let Some(word) = self.words.get(text) {
            return word.clone();
        }
        let word: Arc<str> = text.into();
        // There are some hundred symptoms, those with numbers included.
        if self.words.len() < 4096 {
            self.words.insert(word.clone());
        }
        word
    }
}

fn labels(job: &Job) -> Vec<Arc<str>> {
    job.resolvers
        .iter()
        .map(|r| r.label.as_str().into())
        .collect()
}
