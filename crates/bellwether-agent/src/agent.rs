//! The loop around the engine: time, answers and requests in, orders and harvest out.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwether_model::{Baseline, CheckId, NotRunReason};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, timeout_at};

use crate::clock::{Anchored, Clock};
use crate::engine::{Engine, Say};
use crate::figures::Figures;
use crate::workers::{Said, Workers};
use crate::{Harvest, Plan};

#[cfg(test)]
mod tests;

/// Requests that wait to be taken in: people and incidents make some a second at most.
const REQUESTS_MAX: usize = 1024;
/// What is said by workers and taken in before the clock is looked at again.
const SAID_AT_ONCE: usize = 256;
/// Harvest handed on before the clock is looked at again.
const HARVEST_AT_ONCE: usize = 1024;
/// How old told figures may be.
const FIGURES_EVERY: Duration = Duration::from_millis(200);
/// The name of the agent's own thread, as tools for processes show it.
const THREAD: &str = "agent";
/// Longest sleep: the wall clock is looked at as often.
const SLEEP_MAX: Duration = Duration::from_secs(1);

enum Request {
    Plan(Box<Plan>),
    Trace(CheckId),
    Follow(CheckId, Option<Duration>),
    Confirm(CheckId),
    Baseline(CheckId, Option<Arc<Baseline>>),
    Stop(Instant),
}

/// A running agent. It ends when this is dropped: with what is under way lost, unlike by
/// [`stop`](Self::stop).
#[derive(Debug)]
pub struct AgentHandle {
    requests: mpsc::Sender<Request>,
    figures: Arc<Mutex<Figures>>,
    task: JoinHandle<()>,
}

/// How an agent ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// It was stopped, or whoever took its harvest, or its workers, are gone.
    #[error("the agent has ended")]
    Stopped,
    /// Its own code failed.
    #[error("the agent's own code failed")]
    Failed(#[source] JoinError),
}

/// Starts an agent inside a tokio runtime: where that has several threads, on a thread of its own, so
/// that nothing begins late because others keep them busy. Its harvest goes to `harvest`; who takes it
/// slowly holds up new runs, and loses nothing.
#[must_use]
pub fn start(
    plan: Plan,
    workers: impl Workers,
    clock: impl Clock + Sync,
    harvest: mpsc::Sender<Harvest>,
) -> AgentHandle {
    let (requests, taken) = mpsc::channel(REQUESTS_MAX);
    let figures = Arc::new(Mutex::new(Figures::default()));
    let clock = Anchored::new(clock);
    let engine = Engine::new(plan, clock.now(), clock.wall());
    let agent = Agent {
        engine,
        clock,
        workers,
        requests: taken,
        harvest,
        figures: figures.clone(),
        told: None,
        stops: None,
    };
    AgentHandle {
        requests,
        figures,
        task: spawn(agent.run()),
    }
}

/// The agent and its workers' pipes hand things to each other all the time: on one thread nobody has to
/// be woken for that.
fn spawn(run: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    if Handle::current().runtime_flavor() != RuntimeFlavor::MultiThread {
        return tokio::spawn(run);
    }
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let own = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (alive, ended) = oneshot::channel::<()>();
        let task = runtime.spawn(async move {
            let _alive = alive;
            run.await;
        });
        if tell.send(task).is_ok() {
            // It is an error by which the end of a task is told, and none.
            let _ = runtime.block_on(ended);
        }
        Ok::<(), std::io::Error>(())
    };
    let thread = std::thread::Builder::new().name(THREAD.to_owned());
    let started = thread.spawn(own).is_ok().then(|| told.recv().ok());
    started.flatten().unwrap_or_else(|| {
        // Whoever waits for its end starts another one.
        tracing::error!("the agent has no thread");
        tokio::spawn(async {})
    })
}

impl AgentHandle {
    /// Goes by another plan from now on. Checks that stay keep their times, and what is known of them.
    pub async fn plan(&self, plan: Plan) {
        self.ask(Request::Plan(Box::new(plan))).await;
    }

    /// Asks for a trace of a check, as soon as there is a place.
    pub async fn trace(&self, check: &CheckId) {
        self.ask(Request::Trace(check.clone())).await;
    }

    /// Traces a check at this cadence, while an incident of it is open; `None` ends that.
    pub async fn follow(&self, check: &CheckId, cadence: Option<Duration>) {
        self.ask(Request::Follow(check.clone(), cadence)).await;
    }

    /// Asks for a run of a check at once, besides those that are due: somebody elsewhere sees it fail.
    pub async fn confirm(&self, check: &CheckId) {
        self.ask(Request::Confirm(check.clone())).await;
    }

    /// Says what is known good of a check from now on.
    pub async fn baseline(&self, check: &CheckId, baseline: Option<Arc<Baseline>>) {
        self.ask(Request::Baseline(check.clone(), baseline)).await;
    }

    /// Counts, a fifth of a second old at most.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        figures.clone()
    }

    /// Begins nothing more, waits for what is under way, hands on what is known, and ends; all of it
    /// within `grace`. Rows that nobody took by then are counted in the figures returned.
    ///
    /// # Errors
    /// If the agent's own code failed.
    pub async fn stop(mut self, grace: Duration) -> Result<Figures, Ended> {
        self.ask(Request::Stop(Instant::now() + grace)).await;
        match (&mut self.task).await {
            Ok(()) => Ok(self.figures()),
            Err(failed) => Err(Ended::Failed(failed)),
        }
    }

    /// Waits until it ends by itself, which it only does if something went wrong.
    pub async fn ended(&mut self) -> Ended {
        match (&mut self.task).await {
            Ok(()) => Ended::Stopped,
            Err(failed) => Ended::Failed(failed),
        }
    }

    /// An agent that has ended takes no requests: whoever holds it learns that by `ended`.
    async fn ask(&self, request: Request) {
        if self.requests.send(request).await.is_err() {
            tracing::debug!("a request to an agent that has ended");
        }
    }
}

impl Drop for AgentHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Agent<W, C> {
    engine: Engine,
    clock: Anchored<C>,
    workers: W,
    requests: mpsc::Receiver<Request>,
    harvest: mpsc::Sender<Harvest>,
    figures: Arc<Mutex<Figures>>,
    /// When the figures were told last.
    told: Option<Instant>,
    /// When to end, once it is to.
    stops: Option<Instant>,
}

/// What woke the loop.
enum Woke {
    Request(Request),
    Said(Option<Said>),
    /// There is room for harvest.
    Room(bool),
    Time,
}

impl<W: Workers, C: Clock + Sync> Agent<W, C> {
    async fn run(mut self) {
        loop {
            self.engine.advance(self.clock.now(), self.clock.wall());
            self.say();
            hand_on(&mut self.engine, &self.harvest);
            self.tell(false);
            if self.stops.is_some() && self.engine.is_idle() {
                break;
            }
            match self.wake().await {
                Woke::Request(request) => self.take(request),
                Woke::Said(Some(said)) => self.hear(said),
                Woke::Said(None) | Woke::Room(false) => break,
                Woke::Room(true) | Woke::Time => {}
            }
            if self.stops.is_some_and(|at| at <= Instant::now()) {
                break;
            }
        }
        self.end().await;
    }

    async fn wake(&mut self) -> Woke {
        let has_harvest = self.engine.has_harvest();
        let now = self.clock.now();
        let ahead = Duration::from_micros(self.engine.wake().saturating_sub(now)).min(SLEEP_MAX);
        let mut until = Instant::now() + ahead;
        until = self.stops.map_or(until, |stops| stops.min(until));
        let Self {
            requests,
            workers,
            harvest,
            engine,
            ..
        } = self;
        tokio::select! {
            Some(request) = requests.recv() => Woke::Request(request),
            said = workers.next() => Woke::Said(said),
            room = harvest.reserve(), if has_harvest => {
                let Ok(permit) = room else { return Woke::Room(false) };
                if let Some(first) = engine.harvest() {
                    permit.send(first);
                }
                hand_on(engine, harvest);
                Woke::Room(true)
            }
            () = tokio::time::sleep_until(until) => Woke::Time,
        }
    }

    fn take(&mut self, request: Request) {
        self.engine.catch_up(self.clock.now(), self.clock.wall());
        match request {
            Request::Plan(plan) => self.engine.plan(*plan),
            Request::Trace(check) => {
                self.engine.ask_trace(&check);
            }
            Request::Follow(check, cadence) => {
                self.engine.follow(&check, cadence);
            }
            Request::Confirm(check) => {
                self.engine.ask_confirm(&check);
            }
            Request::Baseline(check, baseline) => self.engine.baseline(&check, baseline),
            Request::Stop(at) => {
                self.stops = Some(at);
                self.engine.stop();
            }
        }
    }

    fn hear(&mut self, first: Said) {
        self.engine.catch_up(self.clock.now(), self.clock.wall());
        self.engine.heard(first);
        for _ in 1..SAID_AT_ONCE {
            let Some(said) = self.workers.said() else {
                break;
            };
            self.engine.heard(said);
        }
        self.engine.begin_waiting();
    }

    /// Tells the workers. An order that they have no room for has come to its end.
    fn say(&mut self) {
        loop {
            let says: Vec<Say> = self.engine.says().collect();
            if says.is_empty() {
                return;
            }
            for say in says {
                match say {
                    Say::Setting(number, job) => self.workers.setting(number, &job),
                    Say::Forget(number) => self.workers.forget(number),
                    Say::Ask {
                        number,
                        setting,
                        wanted,
                        apart,
                    } => {
                        if self.workers.ask(number, setting, wanted, apart).is_err() {
                            self.engine.heard(Said::Lost {
                                number,
                                reason: NotRunReason::Limit,
                                detail: crate::workers::Full.to_string(),
                            });
                        }
                    }
                }
            }
        }
    }

    fn tell(&mut self, is_last: bool) {
        let now = Instant::now();
        if !is_last && self.told.is_some_and(|told| now - told < FIGURES_EVERY) {
            return;
        }
        self.told = Some(now);
        let figures = self.engine.figures();
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner) = figures;
    }

    /// Hands on what is known, as long as there is time.
    async fn end(mut self) {
        self.engine.stop();
        self.engine.give_up();
        // Without a request to stop, whoever takes the harvest, or the workers, are gone.
        let until = self.stops.unwrap_or_else(Instant::now) + FIGURES_EVERY;
        while self.engine.has_harvest() {
            let Ok(Ok(permit)) = timeout_at(until, self.harvest.reserve()).await else {
                break;
            };
            if let Some(next) = self.engine.harvest() {
                permit.send(next);
            }
        }
        self.engine.undelivered();
        self.tell(true);
    }
}

/// What there is room for at once.
fn hand_on(engine: &mut Engine, harvest: &mpsc::Sender<Harvest>) {
    for _ in 1..HARVEST_AT_ONCE {
        if !engine.has_harvest() {
            return;
        }
        let Ok(permit) = harvest.try_reserve() else {
            return;
        };
        if let Some(next) = engine.harvest() {
            permit.send(next);
        }
    }
}
