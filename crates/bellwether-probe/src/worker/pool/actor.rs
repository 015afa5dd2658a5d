//! The task that gives out orders, watches workers and replaces them.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::NotRunReason;
use bellwether_model::job::{Job, Order, Told, Wanted};
use tokio::process::Command;
use tokio::sync::mpsc::{OwnedPermit, WeakSender};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::super::answer::{Answer, Judged};
use super::super::frame;
use super::process::{Buried, Event, Process};
use super::{PoolFigures, PoolSettings, Said, Wanting, Wish};

/// The pool's clock.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// Silence by which a worker is known to be stuck: it says something several times a second.
pub(super) const SILENT_MAX: u64 = 20;
/// The same for one that has not said anything, which is being started, and for one that others
/// keep from the processor.
const SILENT_AT_START_MAX: u64 = 100;
/// Ticks after its deadline in which an order may still end.
const GRACE: u64 = 20;
/// Deadline of an order whose setting is not known here: it is answered at once.
const DEADLINE: Duration = Duration::from_secs(10);
/// Ticks that an order waits for room in a worker: after them what it asks for is out of date.
const QUEUED_MAX: u64 = 100;
/// The same for a suspect: hundreds of them take turns, some up to their deadline.
const SUSPECT_MAX: u64 = 1200;
/// Workers for suspects: one that is waited for must not keep the others from being cleared.
const APART_MAX: usize = 4;
/// Ticks after which a worker for suspects that has none ends.
const IDLE_MAX: u64 = 100;
/// Ticks until a worker that could not be started, or ended before it had brought an order to its
/// end, is started again: doubled each time.
const BACK_OFF_MIN: u64 = 1;
/// The same, at most: half a minute.
const BACK_OFF_MAX: u64 = 300;
/// Events that wait to be looked at; whoever has more to say waits.
const EVENTS_MAX: usize = 1024;
/// Events, and wishes, that are looked at before orders are given out again.
const AT_ONCE: usize = 256;
/// By so much load, and a quarter of what the others have, a worker may be ahead of the least loaded one
/// and still be given what it knows: chains that it has verified need not be verified by another one.
const AHEAD_MAX: usize = 4;
/// Replacements that are not told yet since nobody hears, at most; beyond it they are only counted.
const UNTOLD_MAX: usize = 256;

type Start = Box<dyn Fn() -> Command + Send + Sync>;

/// A place for a worker.
#[derive(Default)]
struct Slot {
    process: Option<Process>,
    /// Tick before which none is started.
    not_before: u64,
    /// Workers that came to nothing, one after the other.
    failures: u32,
    /// How the last one failed.
    why: String,
}

/// An order that is open.
struct Open {
    number: u64,
    frame: Arc<[u8]>,
    load: usize,
    /// Which worker knows its target, as far as they are all well: a number to be taken modulo theirs.
    home: u64,
    /// Ticks that it may take.
    ticks: u64,
    /// When it began to wait.
    since: u64,
    room: OwnedPermit<Said>,
}

/// A setting as workers are told of it.
struct Setting {
    frame: Arc<[u8]>,
    deadline: Duration,
}

pub(super) struct Actor {
    start: Start,
    settings: PoolSettings,
    /// For what is said of no order.
    said: WeakSender<Said>,
    shown: watch::Sender<PoolFigures>,
    jobs: BTreeMap<u32, Setting>,
    slots: Vec<Slot>,
    apart: Vec<Slot>,
    orders: BTreeMap<u64, Open>,
    queue: VecDeque<u64>,
    suspects: VecDeque<u64>,
    untold: VecDeque<Said>,
    /// Ticks so far.
    now: u64,
    last_order: u64,
    last_process: u64,
    figures: PoolFigures,
    events: mpsc::Sender<Event>,
    heard: Option<mpsc::Receiver<Event>>,
}

impl Actor {
    pub(super) fn new(
        start: Start,
        settings: PoolSettings,
        said: WeakSender<Said>,
        shown: watch::Sender<PoolFigures>,
    ) -> Self {
        let (events, heard) = mpsc::channel(EVENTS_MAX);
        let slots = || Slot::default();
        Self {
            start,
            settings,
            said,
            shown,
            jobs: BTreeMap::new(),
            slots: std::iter::repeat_with(slots)
                .take(settings.workers.max(1))
                .collect(),
            apart: std::iter::repeat_with(slots).take(APART_MAX).collect(),
            orders: BTreeMap::new(),
            queue: VecDeque::new(),
            suspects: VecDeque::new(),
            untold: VecDeque::new(),
            now: 0,
            last_order: 0,
            last_process: 0,
            figures: PoolFigures::default(),
            events,
            heard: Some(heard),
        }
    }

    /// Works until the pool is dropped or nobody hears what it says.
    pub(super) async fn run(
        mut self,
        mut wishes: mpsc::UnboundedReceiver<Wish>,
        hearer: mpsc::Sender<Said>,
    ) {
        let mut tick = tokio::time::interval(TICK);
        // Ticks that we slept through say nothing of the workers.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let Some(mut heard) = self.heard.take() else {
            return;
        };
        let (mut events, mut granted) = (Vec::new(), Vec::new());
        loop {
            self.give_out();
            self.show();
            tokio::select! {
                biased;
                _ = tick.tick() => self.tick(),
                1.. = heard.recv_many(&mut events, AT_ONCE) => {
                    events.drain(..).for_each(|event| self.take(event));
                }
                count = wishes.recv_many(&mut granted, AT_ONCE) => {
                    if count == 0 {
                        break;
                    }
                    granted.drain(..).for_each(|wish| self.grant(wish));
                }
                () = hearer.closed() => break,
            }
        }
        for (_, order) in std::mem::take(&mut self.orders) {
            order.lost(NotRunReason::Deadline, "the workers were ended".to_owned());
        }
    }

    fn grant(&mut self, wish: Wish) {
        match wish {
            Wish::Setting(number, job) => self.set(number, job),
            Wish::Forget(setting) => {
                self.jobs.remove(&setting);
                if let Ok(frame) = frame::encode(&Order::Forget { setting }) {
                    self.send_all(&frame.into());
                }
            }
            Wish::Order(wanting) => self.accept(wanting),
        }
    }

    fn set(&mut self, number: u32, job: Box<Job>) {
        let deadline = Duration::from_millis(job.deadline_ms);
        let order = Order::Setting {
            setting: number,
            job,
        };
        // A job that is too long for a frame: its orders are answered as those of an unknown one.
        let Ok(frame) = frame::encode(&order) else {
            self.jobs.remove(&number);
            return;
        };
        let frame: Arc<[u8]> = frame.into();
        self.send_all(&frame);
        self.jobs.insert(number, Setting { frame, deadline });
    }

    fn send_all(&self, frame: &Arc<[u8]>) {
        for process in self
            .slots
            .iter()
            .chain(&self.apart)
            .filter_map(|s| s.process.as_ref())
        {
            process.send(frame.clone());
        }
    }

    fn accept(&mut self, wanting: Wanting) {
        let Wanting {
            number,
            setting,
            wanted,
            is_apart,
            room,
        } = wanting;
        self.last_order += 1;
        let known = self.jobs.get(&setting).map(|job| job.deadline);
        let deadline = super::deadline(&wanted).or(known).unwrap_or(DEADLINE);
        let load = super::load(&wanted);
        let home = home(&wanted);
        // Workers know it by a number of ours: whoever gave it may give a number twice.
        let order = Order::Probe {
            number: self.last_order,
            setting,
            wanted,
        };
        let frame = match frame::encode(&order) {
            Ok(frame) => frame.into(),
            Err(error) => {
                let detail = format!("the order cannot be sent: {error}");
                room.send(lost(number, NotRunReason::Limit, detail));
                return;
            }
        };
        let open = Open {
            number,
            frame,
            load,
            home,
            ticks: ticks(deadline) + GRACE,
            since: self.now,
            room,
        };
        self.orders.insert(self.last_order, open);
        if is_apart {
            self.suspects.push_back(self.last_order);
        } else {
            self.queue.push_back(self.last_order);
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Answered(process, answers) => {
                for answer in answers {
                    self.answered(process, answer);
                }
            }
            Event::Ended(process, why) => self.end(process, why),
            Event::Buried(buried) => self.buried(buried),
        }
    }

    /// An order came to its end.
    fn answered(&mut self, process: u64, answer: Answer) {
        let mut slots = self.slots.iter_mut().chain(&mut self.apart);
        let is_it = |slot: &&mut Slot| slot.process.as_ref().is_some_and(|p| p.number == process);
        let Some(slot) = slots.find(is_it) else {
            // Said before it was ended: the order is being repeated.
            return;
        };
        let Some(running) = &mut slot.process else {
            return;
        };
        let order = answer.number();
        if running.under_way.remove(&order).is_none() {
            let why = format!("it speaks of an order {order} that it has not");
            self.end(process, Some(why));
            return;
        }
        running.has_told = true;
        slot.failures = 0;
        if let Some(open) = self.orders.remove(&order) {
            running.load = running.load.saturating_sub(open.load);
            let number = open.number;
            open.room.send(match answer {
                Answer::Told(told) => Said::Told(Told { number, ..told }),
                Answer::Judged(judged) => Said::Judged(Judged { number, ..judged }),
            });
        }
    }

    /// A worker is not to go on, or does not.
    fn end(&mut self, process: u64, why: Option<String>) {
        let now = self.now;
        let of = |slots: &mut Vec<Slot>| {
            let is_it =
                |slot: &&mut Slot| slot.process.as_ref().is_some_and(|p| p.number == process);
            let slot = slots.iter_mut().find(is_it)?;
            let ended = slot.process.take()?;
            // One that did its work is replaced at once; one that never got anywhere, later.
            if !ended.has_spoken() || (!ended.has_told && ended.under_way.is_empty()) {
                slot.failed(
                    now,
                    why.clone().unwrap_or_else(|| "it ended at once".to_owned()),
                );
            }
            Some(ended)
        };
        let (ended, is_apart) = match of(&mut self.slots) {
            Some(ended) => (Some(ended), false),
            None => (of(&mut self.apart), true),
        };
        let Some(mut ended) = ended else { return };
        self.figures.replaced += 1;
        if !ended.has_spoken() || (is_apart && ended.is_stopped()) {
            // It never took an order, or was stopped over it: none of them is to blame.
            let queue = if is_apart {
                &mut self.suspects
            } else {
                &mut self.queue
            };
            for order in std::mem::take(&mut ended.under_way).into_keys().rev() {
                queue.push_front(order);
            }
        }
        let events = self.events.clone();
        tokio::spawn(async move {
            let buried = ended.bury(is_apart, why).await;
            // If nobody hears it, the pool has ended.
            let _ = events.send(Event::Buried(buried)).await;
        });
    }

    /// A worker is gone, and it is known how.
    fn buried(&mut self, buried: Buried) {
        let Buried {
            is_apart,
            why,
            under_way,
        } = buried;
        if is_apart && !under_way.is_empty() {
            for order in under_way.keys() {
                if let Some(open) = self.orders.remove(order) {
                    let (number, why) = (open.number, why.clone());
                    open.room.send(Said::Poisoned { number, why });
                }
            }
            return;
        }
        let replaced = Said::Replaced {
            why,
            under_way: under_way.len(),
        };
        if self.untold.len() < UNTOLD_MAX {
            self.untold.push_back(replaced);
            self.tell();
        }
        for order in under_way.into_keys() {
            if let Some(open) = self.orders.get_mut(&order) {
                open.since = self.now;
                self.suspects.push_back(order);
            }
        }
    }

    fn tick(&mut self) {
        self.now += 1;
        let mut stuck = Vec::new();
        for slot in self.slots.iter_mut().chain(&mut self.apart) {
            let Some(process) = &mut slot.process else {
                continue;
            };
            process.tick();
            let silent_max = if process.has_spoken() {
                SILENT_MAX
            } else {
                SILENT_AT_START_MAX
            };
            let is_over = |due: &u64| *due < self.now;
            let is_silent = process.silent > silent_max
                && (process.silent > SILENT_AT_START_MAX || !process.is_starved());
            if is_silent {
                let silence = TICK * u32::try_from(process.silent).unwrap_or(u32::MAX);
                let why = format!(
                    "it was stuck: it said nothing for {} ms",
                    silence.as_millis()
                );
                stuck.push((process.number, why));
            } else if let Some((order, _)) = process.under_way.iter().find(|(_, d)| is_over(d)) {
                let order = self.orders.get(order).map_or(0, |open| open.number);
                let why =
                    format!("it was stuck: order {order} was not over long after its deadline");
                stuck.push((process.number, why));
            }
        }
        for (process, why) in stuck {
            self.end(process, Some(why));
        }
        for slot in &mut self.apart {
            // One that has nothing to do is dropped, and ends by that.
            slot.process.take_if(|process| process.idle > IDLE_MAX);
        }
        self.give_up();
        self.tell();
    }

    /// Orders that waited too long are lost.
    fn give_up(&mut self) {
        let why = |slots: &[Slot]| {
            if slots.iter().any(|slot| slot.process.is_some()) {
                let detail = "no worker had room for it in time".to_owned();
                return (NotRunReason::Limit, detail);
            }
            let why = slots
                .iter()
                .map(|slot| slot.why.as_str())
                .find(|why| !why.is_empty());
            let why = why.unwrap_or("none was started in time");
            (NotRunReason::WorkerDied, format!("no worker runs: {why}"))
        };
        let queues = [
            (&mut self.queue, QUEUED_MAX, why(&self.slots)),
            (&mut self.suspects, SUSPECT_MAX, why(&self.apart)),
        ];
        for (queue, most, (reason, detail)) in queues {
            while let Some(order) = queue.front().copied() {
                let waited = self.orders.get(&order).map(|open| self.now - open.since);
                if waited.is_some_and(|waited| waited <= most) {
                    break;
                }
                queue.pop_front();
                if let Some(open) = self.orders.remove(&order) {
                    open.lost(reason, detail.clone());
                }
            }
        }
    }

    /// Tells of replacements, as far as there is room.
    fn tell(&mut self) {
        let Some(said) = self.said.upgrade() else {
            return;
        };
        while let (Some(_), Ok(room)) = (self.untold.front(), said.try_reserve()) {
            if let Some(untold) = self.untold.pop_front() {
                room.send(untold);
            }
        }
    }

    /// Starts workers that are missing, and gives them what waits.
    fn give_out(&mut self) {
        for at in 0..self.slots.len() {
            self.start(at, false);
        }
        while let Some(order) = self.queue.front().copied() {
            let Some((load, home)) = self.orders.get(&order).map(|open| (open.load, open.home))
            else {
                self.queue.pop_front();
                continue;
            };
            let most = self.settings.at_once.clamp(1, super::AT_ONCE_MAX);
            let count = self.slots.len() as u64;
            let running = (0_u64..).zip(&mut self.slots);
            let running =
                running.filter_map(|(at, slot)| Some((at == home % count, slot.process.as_mut()?)));
            let fits = |(_, p): &(bool, &mut Process)| p.load == 0 || p.load + load <= most;
            // The one that knows the target counts as less loaded than it is.
            let loaded = |(is_home, p): &(bool, &mut Process)| {
                let ahead = if *is_home { 0 } else { AHEAD_MAX + p.load / 4 };
                (p.load + ahead, !is_home)
            };
            let Some((_, process)) = running.filter(fits).min_by_key(loaded) else {
                break;
            };
            self.queue.pop_front();
            send(process, order, &self.orders, self.now);
        }
        self.give_out_suspects();
    }

    /// Gives suspects to workers apart that have shown that they work, each to one; starts as many as it
    /// takes.
    fn give_out_suspects(&mut self) {
        let is_free =
            |slot: &&Slot| (slot.process.as_ref()).is_some_and(|p| p.under_way.is_empty());
        let mut free = self.apart.iter().filter(is_free).count();
        for at in 0..self.apart.len() {
            if free < self.suspects.len() && self.apart[at].process.is_none() {
                self.start(at, true);
                free += usize::from(self.apart[at].process.is_some());
            }
            let proven =
                (self.apart[at].process.as_mut()).filter(|p| p.under_way.is_empty() && p.works());
            let Some(process) = proven else { continue };
            if let Some(order) = self.suspects.pop_front() {
                send(process, order, &self.orders, self.now);
                free -= 1;
            }
        }
    }

    /// Starts a worker where there is none.
    fn start(&mut self, at: usize, is_apart: bool) {
        let slots = if is_apart {
            &mut self.apart
        } else {
            &mut self.slots
        };
        let slot = &mut slots[at];
        if slot.process.is_some() || self.now < slot.not_before {
            return;
        }
        self.last_process += 1;
        match Process::start((self.start)(), self.last_process, &self.events) {
            Ok(process) => {
                for job in self.jobs.values() {
                    process.send(job.frame.clone());
                }
                slot.process = Some(process);
                if !is_apart && self.last_process > self.slots.len() as u64 {
                    self.figures.restarts += 1;
                }
            }
            Err(error) => {
                // No process or no descriptor is left: others give some back.
                slot.failed(self.now, format!("it cannot be started: {error}"));
                self.figures.failed_starts += 1;
            }
        }
    }

    fn show(&mut self) {
        let count = |slots: &[Slot]| slots.iter().filter(|slot| slot.process.is_some()).count();
        let figures = PoolFigures {
            workers: count(&self.slots),
            apart: count(&self.apart),
            // What waits for nobody any more is taken from a queue when its turn comes.
            in_flight: (self.orders.len()).saturating_sub(self.queue.len() + self.suspects.len()),
            queued: self.queue.len(),
            suspects: self.suspects.len(),
            ..self.figures
        };
        self.figures = figures;
        self.shown.send_if_modified(|shown| {
            let is_new = *shown != figures;
            *shown = figures;
            is_new
        });
    }
}

impl Slot {
    fn failed(&mut self, now: u64, why: String) {
        let doubled = BACK_OFF_MIN
            .checked_shl(self.failures)
            .unwrap_or(BACK_OFF_MAX);
        self.not_before = now + doubled.min(BACK_OFF_MAX);
        self.failures = (self.failures + 1).min(u64::BITS - 1);
        self.why = why;
    }
}

impl Open {
    fn lost(self, reason: NotRunReason, detail: String) {
        self.room.send(lost(self.number, reason, detail));
    }
}

fn lost(number: u64, reason: NotRunReason, detail: String) -> Said {
    Said::Lost {
        number,
        reason,
        detail,
    }
}

fn send(process: &mut Process, order: u64, orders: &BTreeMap<u64, Open>, now: u64) {
    // One that is not open any more has nothing to wait for.
    let Some(open) = orders.get(&order) else {
        return;
    };
    process.under_way.insert(order, now + open.ticks);
    process.load += open.load;
    process.send(open.frame.clone());
}

/// Orders for one target have one home.
fn home(wanted: &Wanted) -> u64 {
    let mut hasher = DefaultHasher::new();
    match wanted {
        Wanted::Visit { ask, .. } | Wanted::Trace { ask, .. } => ask.target.hash(&mut hasher),
        Wanted::Dns { name, .. } => name.hash(&mut hasher),
        Wanted::Address { address } | Wanted::Echo { address } => address.hash(&mut hasher),
    }
    hasher.finish()
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u64::MAX / 2)
}
