//! The agents of this hub: what is asked of them, and the built-in one's being started again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bellwether_agent::{AgentHandle, Figures, Harvest, Own, Plan, Processes, SystemClock};
use bellwether_model::link::Asked;
use bellwether_model::{Baseline, CheckId, VantageId};
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::links::Links;

/// What may wait for the agent. It takes each at once.
const ASKED_MAX: usize = 65_536;
/// How often its figures are looked at.
const FIGURES_EVERY: Duration = Duration::from_millis(500);

enum Ask {
    Plan(Box<Plan>),
    Trace(CheckId),
    Confirm(CheckId),
    Follow(CheckId, Option<Duration>),
    Baseline(CheckId, Option<Arc<Baseline>>),
    Stop(Duration, oneshot::Sender<()>),
}

/// What is asked of agents.
#[derive(Clone)]
pub struct Agents {
    /// The built-in one.
    asks: mpsc::Sender<Ask>,
    /// Those elsewhere.
    links: Links,
}

/// The agent's side: outlives the agent, so that it can be started again.
pub struct Owner {
    asks: mpsc::Receiver<Ask>,
    figures: Arc<RwLock<Figures>>,
    worker: Arc<dyn Fn() -> Command + Send + Sync>,
    plan: Plan,
    /// Where each check stands in the plan.
    places: HashMap<CheckId, usize>,
    following: BTreeMap<CheckId, Duration>,
    harvest: mpsc::Sender<Harvest>,
}

impl Agents {
    /// Both sides. What the agent counts of itself is put into `figures`.
    #[must_use]
    pub fn new(
        plan: Plan,
        worker: Arc<dyn Fn() -> Command + Send + Sync>,
        harvest: mpsc::Sender<Harvest>,
        figures: Arc<RwLock<Figures>>,
        links: Links,
    ) -> (Self, Owner) {
        let (asks, taken) = mpsc::channel(ASKED_MAX);
        let owner = Owner {
            asks: taken,
            figures,
            worker,
            places: places(&plan),
            plan,
            following: BTreeMap::new(),
            harvest,
        };
        (Self { asks, links }, owner)
    }

    /// Goes by another plan from now on.
    pub async fn plan(&self, plan: Plan) {
        // An owner that is gone was stopped.
        let _ = self.asks.send(Ask::Plan(Box::new(plan))).await;
    }

    /// Asks for a trace from a vantage, now.
    pub fn trace(&self, check: &CheckId, vantage: &VantageId) {
        if is_local(vantage) {
            return self.ask(Ask::Trace(check.clone()));
        }
        let check = check.clone();
        self.ask_afar(vantage, Asked::Trace { check });
    }

    /// Asks for a run at a vantage, now: another one sees the check fail.
    pub fn confirm(&self, check: &CheckId, vantage: &VantageId) {
        if is_local(vantage) {
            return self.ask(Ask::Confirm(check.clone()));
        }
        let check = check.clone();
        self.ask_afar(vantage, Asked::Confirm { check });
    }

    /// Asks for traces from a vantage at this cadence; `None` for the usual one.
    pub fn follow(&self, check: &CheckId, vantage: &VantageId, every: Option<Duration>) {
        if is_local(vantage) {
            return self.ask(Ask::Follow(check.clone(), every));
        }
        let every_ms = every.map(|every| u64::try_from(every.as_millis()).unwrap_or(u64::MAX));
        let check = check.clone();
        self.ask_afar(vantage, Asked::Follow { check, every_ms });
    }

    /// Tells a vantage what was last known good from there.
    pub fn baseline(&self, check: &CheckId, vantage: &VantageId, baseline: Option<Arc<Baseline>>) {
        if is_local(vantage) {
            return self.ask(Ask::Baseline(check.clone(), baseline));
        }
        let check = check.clone();
        self.ask_afar(vantage, Asked::Baseline { check, baseline });
    }

    /// Ends it; what is under way is waited for at most this long.
    pub async fn stop(&self, grace: Duration) {
        let (done, hears) = oneshot::channel();
        if self.asks.send(Ask::Stop(grace, done)).await.is_ok() {
            let _ = hears.await;
        }
    }

    /// An agent that is not linked goes by its cadence, and hears what it has to know when it comes.
    fn ask_afar(&self, vantage: &VantageId, asked: Asked) {
        if !self.links.ask(vantage, asked) {
            tracing::debug!(%vantage, "an agent that takes no requests now");
        }
    }

    fn ask(&self, ask: Ask) {
        if self.asks.try_send(ask).is_err() {
            tracing::warn!("the agent takes no requests now; its cadence goes on");
        }
    }
}

#[cfg(test)]
impl Owner {
    /// What was asked so far, in words.
    pub(crate) fn asked(&mut self) -> Vec<String> {
        let mut asked = Vec::new();
        while let Ok(ask) = self.asks.try_recv() {
            asked.push(match ask {
                Ask::Plan(plan) => format!("plan {}", plan.generation),
                Ask::Trace(check) => format!("trace {check}"),
                Ask::Confirm(check) => format!("confirm {check}"),
                Ask::Follow(check, every) => format!("follow {check} {every:?}"),
                Ask::Baseline(check, baseline) => {
                    format!("baseline {check} {}", baseline.is_some())
                }
                Ask::Stop(..) => "stop".to_owned(),
            });
        }
        asked
    }
}

impl Owner {
    /// Runs the agent, until it ends.
    pub async fn run(&mut self) {
        // Whoever heard of the agent before this one forgets what no longer holds.
        let _ = self.harvest.send(Harvest::Own(Own::Began)).await;
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
        let mut looks = tokio::time::interval(FIGURES_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Figures come first: whoever is asked much is to be watched too.
                biased;
                _ = looks.tick() => {
                    let mut figures = self.figures.write().unwrap_or_else(PoisonError::into_inner);
                    *figures = agent.figures();
                }
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
            }
        }
    }

    /// Asks it, and keeps what it has to know when it is started again.
    async fn pass_on(&mut self, agent: &AgentHandle, ask: Ask) {
        match ask {
            Ask::Plan(plan) => {
                self.places = places(&plan);
                self.following
                    .retain(|check, _| self.places.contains_key(check));
                self.plan = Plan::clone(&plan);
                agent.plan(*plan).await;
            }
            Ask::Trace(check) => agent.trace(&check).await,
            Ask::Confirm(check) => agent.confirm(&check).await,
            Ask::Follow(check, every) => {
                match every {
                    Some(every) => self.following.insert(check.clone(), every),
                    None => self.following.remove(&check),
                };
                agent.follow(&check, every).await;
            }
            Ask::Baseline(check, baseline) => {
                let place = self.places.get(&check);
                if let Some(planned) = place.and_then(|at| self.plan.checks.get_mut(*at)) {
                    planned.baseline.clone_from(&baseline);
                }
                agent.baseline(&check, baseline).await;
            }
            Ask::Stop(..) => {}
        }
    }
}

fn is_local(vantage: &VantageId) -> bool {
    vantage.as_str() == VantageId::LOCAL
}

fn places(plan: &Plan) -> HashMap<CheckId, usize> {
    let all = plan.checks.iter().enumerate();
    all.map(|(at, check)| (check.id.clone(), at)).collect()
}
