//! The agent's end of the link: what was harvested goes to the spool, and from there to the hub; what
//! the hub plans and asks comes back.
//!
//! The agent dials, and dials again for as long as it runs; it measures whether the hub is there or
//! not. A delivery stays in the spool until the hub says that it has it, so that a link may break at any
//! byte. From the hub it takes checks and wishes, and nothing else: no code, no path, no command.
//!
//! - [`dial`]: reaching the hub; enrolment
//! - `ahead`: by how much the hub's clock is ahead
//! - [`gather`]: harvest to deliveries, deliveries to the spool
//! - `session`: one link, from `Hello` to its end
//! - [`plans`]: plans put together, and kept over starts
//! - [`runner`]: whoever does what is planned and asked
//! - `simulation`: the whole of it under a virtual clock, for tests

mod ahead;
pub mod dial;
pub mod gather;
pub mod plans;
pub mod runner;
mod session;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bellwether_model::link::{AgentState, Asked, Refusal};
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::settings::Local;
use crate::spool::{Disk, Fill, Spool};
use crate::{Figures, Plan};

use ahead::Ahead;
use plans::PlanFile;

/// The wait before dialling again: from here, twice as long each time, up to there.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);
/// A link that held for so long was a good one: the next wait is a short one again.
const GOOD: Duration = Duration::from_secs(60);
/// How long reaching the hub and shaking hands may take.
const DIAL_MAX: Duration = Duration::from_secs(15);
/// How long whoever was turned away waits: he keeps asking, because that may be put right at the hub,
/// and rarely, because it mostly needs a person.
const WAIT_REFUSED: Duration = Duration::from_secs(300);
/// The wait after another one with the same key came: two that throw each other out do it slowly.
const WAIT_SUPERSEDED: Duration = Duration::from_secs(45);
/// Wishes that wait for whoever runs the checks.
pub const WISHES_MAX: usize = 1_024;

/// What it means that the hub does not take a certificate.
const REFUSED: &str = "refuses this agent's certificate: it was revoked, replaced, or has ended";

/// Reaches the hub.
pub trait Dial: Send + 'static {
    /// What a link goes over.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// A new connection, with hands shaken.
    fn dial(&mut self) -> impl Future<Output = Result<Self::Stream, DialError>> + Send;

    /// The request for a new certificate, PKCS #10 in base64, if it is time for one.
    fn renewal(&mut self, now: Timestamp) -> Option<String> {
        let _ = now;
        None
    }

    /// The certificate that was asked for last.
    ///
    /// # Errors
    /// It cannot be used, or not be kept; the one before stays in use.
    fn renewed(&mut self, chain: Vec<String>) -> Result<(), String> {
        let _ = chain;
        Err("none was asked for".to_owned())
    }
}

/// Why the hub was not reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody answers there.
    #[error("the hub at {hub} cannot be reached")]
    Unreachable {
        /// Where it should be.
        hub: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody answers who is not the hub.
    #[error("the hub at {hub} is not the one that this agent enrolled with")]
    AnotherHub {
        /// Where it should be.
        hub: String,
    },
    /// The hub does not take this agent's certificate.
    #[error("the hub at {hub} {why}", why = REFUSED)]
    Refused {
        /// Where it is.
        hub: String,
    },
    /// The agent's own certificate and key cannot be used.
    #[error("this agent's certificate cannot be used: {why}; enrol again with a new token")]
    Unusable {
        /// Why.
        why: String,
    },
}

/// What is wanted of whoever runs the checks.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Go by this plan from now on.
    Plan(Box<Plan>),
    /// This, of one check.
    Asked(Asked),
}

/// What the parts of an agent share.
pub struct Shared<D> {
    spool: Mutex<Spool<D>>,
    /// What the spool's newest number is, and whether there is a link.
    newest: watch::Sender<u64>,
    /// How full the spool was when it was last at rest: whoever asks does not wait for the disk.
    fill: watch::Sender<Fill>,
    linked: watch::Sender<bool>,
    /// By how much the hub's clock is ahead.
    ahead: Mutex<Ahead>,
    /// When the newest run was made.
    last_run: Mutex<Option<Timestamp>>,
    figures: Arc<RwLock<Figures>>,
}

impl<D: Disk> Shared<D> {
    /// Around a spool. What the agent counts of itself is in `figures`.
    #[must_use]
    pub fn new(spool: Spool<D>, figures: Arc<RwLock<Figures>>) -> Arc<Self> {
        let (newest, fill) = (spool.newest(), spool.fill());
        Arc::new(Self {
            spool: Mutex::new(spool),
            newest: watch::Sender::new(newest),
            fill: watch::Sender::new(fill),
            linked: watch::Sender::new(false),
            ahead: Mutex::default(),
            last_run: Mutex::new(None),
            figures,
        })
    }

    /// Does something with the spool where waiting for the disk holds up nobody.
    async fn spool<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Spool<D>) -> T + Send + 'static,
    ) -> T {
        let shared = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut spool = lock(&shared.spool);
            let done = work(&mut spool);
            let (newest, fill) = (spool.newest(), spool.fill());
            shared.fill.send_replace(fill);
            drop(spool);
            shared
                .newest
                .send_if_modified(|told| std::mem::replace(told, newest) != newest);
            done
        });
        match done.await {
            Ok(done) => done,
            // It is cancelled only when the runtime ends.
            Err(failed) if failed.is_cancelled() => std::future::pending().await,
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }

    /// Is there a link now? Told again whenever that changes.
    #[must_use]
    pub fn linked(&self) -> watch::Receiver<bool> {
        self.linked.subscribe()
    }

    /// How the agent is.
    fn state(self: &Arc<Self>, at: Timestamp) -> AgentState {
        let fill = self.fill.borrow().clone();
        let figures = self.figures.read().unwrap_or_else(PoisonError::into_inner);
        AgentState {
            at,
            spooled: fill.deliveries,
            spooled_bytes: fill.bytes,
            oldest: fill.oldest,
            thinned: fill.thinned,
            trouble: fill.trouble,
            checks: figures.checks as u64,
            runs: figures.runs,
            last_run: *lock(&self.last_run),
            late_p99_us: figures.lateness_recent.p99,
            workers_replaced: figures.workers_replaced,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The link, over and over.
pub struct Uplink<L, D, C> {
    /// How the hub is reached.
    pub dial: L,
    /// What is shared with the other parts.
    pub shared: Arc<Shared<D>>,
    /// The clocks.
    pub clock: C,
    /// The version of the program.
    pub program: String,
    /// What this agent adds to its plans.
    pub local: Local,
    /// Where plans are kept over starts; nowhere in tests.
    pub plan_file: Option<PlanFile>,
    /// The generation of the plan that is gone by; 0 for none.
    pub generation: u64,
    /// Who does what is planned and asked.
    pub wishes: mpsc::Sender<Wish>,
    /// Chance.
    pub random: fastrand::Rng,
}

/// How a link ended.
#[derive(Debug)]
enum Ended {
    /// It broke, or nothing was heard for too long.
    Broken(String),
    /// The hub turned the agent away.
    Refused(Refusal, String),
    /// The agent ends.
    Stopped,
}

impl<L: Dial, D: Disk, C: Clock + Sync> Uplink<L, D, C> {
    /// Keeps the link up until `stop`; what waits then is delivered for a few seconds more.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut wait = WAIT_MIN;
        let mut said = String::new();
        let started = self.clock.wall();
        while !stop.is_cancelled() {
            let begun = Instant::now();
            let ended = self.link(started, &stop).await;
            self.shared.linked.send_replace(false);
            if begun.elapsed() >= GOOD {
                wait = WAIT_MIN;
            }
            let pause = match ended {
                Ended::Stopped => return,
                Ended::Broken(why) => {
                    // The same thing is told once.
                    if why == said {
                        tracing::debug!(why, "no link to the hub");
                    } else {
                        tracing::warn!(
                            why,
                            "no link to the hub; measuring goes on, results are spooled"
                        );
                    }
                    said = why;
                    let pause = wait;
                    wait = (wait * 2).min(WAIT_MAX);
                    pause
                }
                Ended::Refused(code, why) => {
                    let pause = refused(code, &why, wait);
                    said.clear();
                    wait = (wait * 2).min(WAIT_MAX);
                    pause
                }
            };
            // Many agents that lost the same hub do not all come back in the same second.
            let pause = pause.mul_f64(0.5 + self.random.f64() / 2.0);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// One link.
    async fn link(&mut self, started: Timestamp, stop: &CancellationToken) -> Ended {
        let dialled = tokio::select! {
            dialled = tokio::time::timeout(DIAL_MAX, self.dial.dial()) => dialled,
            () = stop.cancelled() => return Ended::Stopped,
        };
        match dialled {
            Ok(Ok(stream)) => session::run(self, stream, started, stop).await,
            Ok(Err(error @ (DialError::Refused { .. } | DialError::Unusable { .. }))) => {
                Ended::Refused(Refusal::Denied, error.to_string())
            }
            Ok(Err(error)) => Ended::Broken(words(&error)),
            Err(_) => Ended::Broken("nobody shook hands in time".to_owned()),
        }
    }
}

/// An error with its reasons.
fn words(error: &dyn std::error::Error) -> String {
    let mut all = error.to_string();
    let mut source = error.source();
    while let Some(why) = source {
        all += &format!(": {why}");
        source = why.source();
    }
    all
}

/// Says what a refusal means, and tells how long to wait after it. In no case does measuring end: what
/// is seen is spooled as long as there is room.
fn refused(code: Refusal, why: &str, wait: Duration) -> Duration {
    match code {
        Refusal::Denied => {
            tracing::error!(
                why,
                "the hub does not take this agent; enrol it again (`bellwether agent enrol`) if it should; until then results are spooled"
            );
            WAIT_REFUSED
        }
        Refusal::Unconfigured => {
            tracing::error!(
                why,
                "this agent's vantage is not in the hub's configuration (`vantages:`); results are spooled"
            );
            WAIT_REFUSED / 5
        }
        Refusal::Version => {
            tracing::error!(
                why,
                "the hub and this agent are too far apart in version; update the older one; results are spooled"
            );
            WAIT_REFUSED
        }
        Refusal::Protocol => {
            tracing::error!(why, "the hub did not understand this agent");
            wait.max(WAIT_MAX)
        }
        Refusal::Superseded => {
            tracing::warn!(
                why,
                "another agent with this one's key is linked; if there is a copy of its data directory, stop one of them"
            );
            WAIT_SUPERSEDED
        }
        Refusal::Busy => {
            tracing::warn!(why, "the hub takes no links now");
            wait
        }
    }
}
