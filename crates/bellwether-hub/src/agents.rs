//! The agents of this hub, so far the built-in one: what is asked of it, and its being started again.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bellwether_agent::{AgentHandle, Figures, Harvest, Plan, Processes, SystemClock};
use bellwether_model::{Baseline, CheckId};
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};

/// What may wait for the agent. It takes each at once.
const ASKED_MAX: usize = 65_536;
/// How often its figures are looked at.
const FIGURES_EVERY: Duration = Duration::from_millis(500);

enum Ask {
    Plan(Box<Plan>),
    Trace(CheckId),
    Follow(CheckId, Option<Duration>),
    Baseline(CheckId, Option<Arc<Baseline>>),
    Stop(Duration, oneshot::Sender<()>),
}

/// What is asked of agents.
#[derive(Clone)]
pub struct Agents {
    asks: mpsc::Sender<Ask>,
    figures: Arc<RwLock<Figures>>,
}

/// The agent's side: outlives the agent, so that it can be started again.
pub struct Owner {
    asks: mpsc::Receiver<Ask>,
    figures: Arc<RwLock<Figures>>,
    worker: Arc<dyn Fn() -> Command + Send + Sync>,
    plan: Plan,
    following: BTreeMap<CheckId, Duration>,
    harvest: mpsc::Sender<Harvest>,
}

impl Agents {
    /// Both sides.
    #[must_use]
    pub fn new(
        plan: Plan,
        worker: Arc<dyn Fn() -> Command + Send + Sync>,
        harvest: mpsc::Sender<Harvest>,
    ) -> (Self, Owner) {
        let (asks, taken) = mpsc::channel(ASKED_MAX);
        let figures = Arc::new(RwLock::new(Figures::default()));
        let owner = Owner {
            asks: taken,
            figures: figures.clone(),
            worker,
            plan,
            following: BTreeMap::new(),
            harvest,
        };
        (Self { asks, figures }, owner)
    }

    /// Goes by another plan from now on.
    pub async fn plan(&self, plan: Plan) {
        // An owner that is gone was stopped.
        let _ = self.asks.send(Ask::Plan(Box::new(plan))).await;
    }

    /// Asks for a trace, now.
    pub fn trace(&self, check: &CheckId) {
        self.ask(Ask::Trace(check.clone()));
    }

    /// Asks for traces at this cadence; `None` for the usual one.
    pub fn follow(&self, check: &CheckId, every: Option<Duration>) {
        self.ask(Ask::Follow(check.clone(), every));
    }

    /// Tells what was last known good.
    pub fn baseline(&self, check: &CheckId, baseline: Option<Arc<Baseline>>) {
        self.ask(Ask::Baseline(check.clone(), baseline));
    }

    /// Its counts, about a second old.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let figures = self.figures.read();
        figures.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it; what is under way is waited for at most this long.
    pub async fn stop(&self, grace: Duration) {
        let (done, hears) = oneshot::channel();
        if self.asks.send(Ask::Stop(grace, done)).await.is_ok() {
            let _ = hears.await;
        }
    }

    fn ask(&self, ask: Ask) {
        if self.asks.try_send(ask).is_err() {
            tracing::warn!("the agent takes no requests now; its cadence goes on");
        }
    }
}

impl Owner {
    /// Runs the agent, until it ends.
    pub async fn run(&mut self) {
        let worker = self.worker.clone();
        let mut agent = bellwether_agent::start(
            self.plan.clone(),
            Processes::start(move || worker(), self.plan.workers, self.plan.at_once),
            SystemClock::start(),
            self.harvest.clone(),
        );
        for (check, every) in &self.following {
            agent.follow(check, Some(*every)).await;
        }
        loop {
            tokio::select! {
                ask = self.asks.recv() => match ask {
                    Some(Ask::Stop(grace, done)) => {
                        match agent.stop(grace).await {
                            Ok(last) if last.undelivered > 0 => {
                                let undelivered = last.undelivered;
                                tracing::error!(undelivered, "nobody took what the agent saw last");
                            }
                            Ok(_) => {}
                            Err(error) => tracing::warn!(%error, "the agent did not end well"),
                        }
                        let _ = done.send(());
                        std::future::pending::<()>().await;
                        return;
                    }
                    Some(ask) => self.pass_on(&agent, ask).await,
                    None => std::future::pending().await,
                },
                ended = agent.ended() => {
                    tracing::error!(error = %ended, "the agent ended; it is started again");
                    return;
                }
                () = tokio::time::sleep(FIGURES_EVERY) => {
                    let mut figures = self.figures.write().unwrap_or_else(PoisonError::into_inner);
                    *figures = agent.figures();
                }
            }
        }
    }

    /// Asks it, and keeps what it has to know when it is started again.
    async fn pass_on(&mut self, agent: &AgentHandle, ask: Ask) {
        match ask {
            Ask::Plan(plan) => {
                self.following
                    .retain(|check, _| plan.checks.iter().any(|c| c.id == *check));
                self.plan = Plan::clone(&plan);
                agent.plan(*plan).await;
            }
            Ask::Trace(check) => agent.trace(&check).await,
            Ask::Follow(check, every) => {
                match every {
                    Some(every) => self.following.insert(check.clone(), every),
                    None => self.following.remove(&check),
                };
                agent.follow(&check, every).await;
            }
            Ask::Baseline(check, baseline) => {
                if let Some(planned) = self.plan.checks.iter_mut().find(|c| c.id == check) {
                    planned.baseline.clone_from(&baseline);
                }
                agent.baseline(&check, baseline).await;
            }
            Ask::Stop(..) => {}
        }
    }
}
