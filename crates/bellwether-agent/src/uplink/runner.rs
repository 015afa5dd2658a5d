//! Whoever does what is planned and asked: the agent with its workers, started anew when it ends.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bellwether_model::CheckId;
use bellwether_model::harvest::{Harvest, Own};
use bellwether_model::link::Asked;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Wish;
use crate::{AgentHandle, Figures, Plan, Processes, SystemClock, start};

/// How often figures are looked at.
const FIGURES_EVERY: Duration = Duration::from_millis(500);
/// How long what is under way is waited for when the agent is to end.
const GRACE: Duration = Duration::from_secs(4);
/// The wait before an agent that ended by itself is started again.
const AGAIN: Duration = Duration::from_secs(1);

/// Runs an agent by the plans that come.
pub struct Runner {
    /// What is wanted.
    pub wishes: mpsc::Receiver<Wish>,
    /// The plan to begin with, if there is one.
    pub plan: Option<Plan>,
    /// Where what is seen goes.
    pub harvest: mpsc::Sender<Harvest>,
    /// What the agent counts of itself.
    pub figures: Arc<RwLock<Figures>>,
    /// The command of a worker.
    pub worker: Arc<dyn Fn() -> Command + Send + Sync>,
}

impl Runner {
    /// Runs until `stop`. What is known by then has been handed on when this ends.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut following = BTreeMap::new();
        loop {
            let Some(plan) = self.plan.clone() else {
                tokio::select! {
                    wish = self.wishes.recv() => match wish {
                        Some(wish) => self.note(&wish, &mut following),
                        None => return,
                    },
                    () = stop.cancelled() => return,
                }
                continue;
            };
            let worker = self.worker.clone();
            let agent = start(
                plan.clone(),
                Processes::start(move || worker(), plan.workers, plan.at_once),
                SystemClock::start(),
                self.harvest.clone(),
            );
            for (check, every) in &following {
                agent.follow(check, Some(*every)).await;
            }
            if self.go_on(agent, &mut following, &stop).await {
                return;
            }
            tokio::time::sleep(AGAIN).await;
            // Whoever heard of the agent before this one forgets what no longer holds.
            let _ = self.harvest.send(Harvest::Own(Own::Began)).await;
        }
    }

    /// Until it is to stop, or the agent ends by itself.
    async fn go_on(
        &mut self,
        mut agent: AgentHandle,
        following: &mut BTreeMap<CheckId, Duration>,
        stop: &CancellationToken,
    ) -> bool {
        let mut looks = tokio::time::interval(FIGURES_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = looks.tick() => {
                    let mut figures = self.figures.write().unwrap_or_else(PoisonError::into_inner);
                    *figures = agent.figures();
                }
                () = stop.cancelled() => {
                    match agent.stop(GRACE).await {
                        Ok(last) if last.undelivered > 0 => {
                            let undelivered = last.undelivered;
                            tracing::error!(undelivered, "nobody took what the agent saw last");
                        }
                        Ok(_) => {}
                        Err(error) => tracing::warn!(%error, "the agent did not end well"),
                    }
                    return true;
                }
                wish = self.wishes.recv() => match wish {
                    Some(wish) => {
                        self.note(&wish, following);
                        pass_on(&agent, wish).await;
                    }
                    None => stop.cancelled().await,
                },
                ended = agent.ended() => {
                    tracing::error!(error = %ended, "the agent ended; it is started again");
                    return false;
                }
            }
        }
    }

    /// Keeps what an agent that is started again has to know.
    fn note(&mut self, wish: &Wish, following: &mut BTreeMap<CheckId, Duration>) {
        match wish {
            Wish::Plan(plan) => {
                following.retain(|check, _| plan.checks.iter().any(|planned| planned.id == *check));
                self.plan = Some(Plan::clone(plan));
            }
            Wish::Asked(Asked::Follow { check, every_ms }) => {
                match every_ms {
                    Some(every) => following.insert(check.clone(), Duration::from_millis(*every)),
                    None => following.remove(check),
                };
            }
            Wish::Asked(Asked::Baseline { check, baseline }) => {
                let checks = self.plan.iter_mut().flat_map(|plan| &mut plan.checks);
                for planned in checks.filter(|planned| planned.id == *check) {
                    planned.baseline.clone_from(baseline);
                }
            }
            Wish::Asked(Asked::Trace { .. } | Asked::Confirm { .. }) => {}
        }
    }
}

async fn pass_on(agent: &AgentHandle, wish: Wish) {
    match wish {
        Wish::Plan(plan) => agent.plan(*plan).await,
        Wish::Asked(Asked::Trace { check }) => agent.trace(&check).await,
        Wish::Asked(Asked::Confirm { check }) => agent.confirm(&check).await,
        Wish::Asked(Asked::Follow { check, every_ms }) => {
            agent
                .follow(&check, every_ms.map(Duration::from_millis))
                .await;
        }
        Wish::Asked(Asked::Baseline { check, baseline }) => agent.baseline(&check, baseline).await,
    }
}
