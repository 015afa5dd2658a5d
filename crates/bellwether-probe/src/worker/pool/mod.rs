//! The scheduler's end of workers of many probes: orders go in, and each comes to exactly one end.
//!
//! A hostile peer can bring a worker down with everything that is under way in it. Then a fresh one
//! takes its place at once and goes on with new orders, and what was under way is repeated one by
//! one in workers apart: what is innocent ends there as usual, and what brings such a worker down
//! alone is named ([`Said::Poisoned`]). Where it is the workers that hang, whatever they have to do,
//! nobody is: such a repetition waits for a worker that has shown that it works.
//!
//! - [`actor`]: the task that gives out orders, watches workers and replaces them
//! - [`process`]: one worker process with its pipes
//!
//! All time is counted in ticks of the pool's own: a machine that was suspended, or a supervisor
//! that was stopped, must not take its workers' silence for their death.

mod actor;
mod process;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bellwether_model::NotRunReason;
use bellwether_model::job::{Job, Told, Wanted};
use tokio::process::Command;
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::{mpsc, watch};

use super::answer::Judged;
use actor::Actor;

/// Most load under way in one worker, whatever is asked for: the worker has room for more.
const AT_ONCE_MAX: usize = 1024;
/// Load of one trace in that of a visit: it asks some hundred questions, and a visit a handful.
const TRACE_LOAD: usize = 16;

/// How a pool works.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// Worker processes; at least one. Those for suspects come on top when they are needed.
    pub workers: usize,
    /// Load under way in one worker, at most: a visit counts as one, a trace as sixteen.
    pub at_once: usize,
    /// Orders that are accepted and whose end was not yet received, at most.
    pub capacity: usize,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            workers: 2,
            // Their sockets stay below the thousand descriptors that a process has as a rule.
            at_once: 256,
            capacity: 8192,
        }
    }
}

/// What a pool says. Each order that was accepted ends in exactly one of `Told`, `Judged`, `Lost` and
/// `Poisoned`.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// An order came to its end.
    Told(Told),
    /// A visit came to its end, and was judged where it was made.
    Judged(Judged),
    /// An order could not be carried out, by no fault of its own.
    Lost {
        /// Its number.
        number: u64,
        /// Why.
        reason: NotRunReason,
        /// The reason in words.
        detail: String,
    },
    /// A worker was ended, or ended, and another one takes its place.
    Replaced {
        /// How it ended.
        why: String,
        /// Orders that were under way in it, and are repeated one by one.
        under_way: usize,
    },
    /// An order brought down a worker that had nothing else to do, and had shown that it works.
    Poisoned {
        /// Its number.
        number: u64,
        /// How the worker ended.
        why: String,
    },
}

/// No order is taken: as many as may be are open, or the pool has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the workers have as many orders as they may have")]
pub struct Full;

/// How a pool stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolFigures {
    /// Workers that run, those for suspects not counted.
    pub workers: usize,
    /// Workers for suspects that run.
    pub apart: usize,
    /// Orders in a worker.
    pub in_flight: usize,
    /// Orders that wait for room in a worker.
    pub queued: usize,
    /// Suspects that wait for a worker of their own.
    pub suspects: usize,
    /// Workers that ended and were not told to, since the pool began.
    pub replaced: u64,
    /// Workers that were started after the first ones, since the pool began.
    pub restarts: u64,
    /// Workers that could not be started, since the pool began.
    pub failed_starts: u64,
}

/// Workers of many probes. Dropping it ends them; orders that are open then are lost.
#[derive(Debug)]
pub struct Pool {
    told: mpsc::UnboundedSender<Wish>,
    said: mpsc::Sender<Said>,
    figures: watch::Receiver<PoolFigures>,
}

/// What the pool's owner wants of its task.
enum Wish {
    Setting(u32, Box<Job>),
    Forget(u32),
    Order(Wanting),
}

/// An order as it was accepted.
struct Wanting {
    number: u64,
    setting: u32,
    wanted: Wanted,
    /// In a worker that has nothing else to do.
    is_apart: bool,
    /// Room for what it ends in.
    room: OwnedPermit<Said>,
}

impl Pool {
    /// Starts workers, each by a command of `command`; their pipes are set here. Must be called
    /// within a runtime of `tokio`.
    ///
    /// A worker that cannot be started is tried again for as long as the pool lives.
    pub fn start(
        command: impl Fn() -> Command + Send + Sync + 'static,
        settings: PoolSettings,
    ) -> (Self, mpsc::Receiver<Said>) {
        let (said, hear) = mpsc::channel(settings.capacity.max(1));
        let (told, wishes) = mpsc::unbounded_channel();
        let (shown, figures) = watch::channel(PoolFigures::default());
        let actor = Actor::new(Box::new(command), settings, said.downgrade(), shown);
        tokio::spawn(actor.run(wishes, said.clone()));
        let pool = Self {
            told,
            said,
            figures,
        };
        (pool, hear)
    }

    /// Sets what orders with this setting's number go by, in all workers, those to come included.
    pub fn setting(&self, number: u32, job: Job) {
        // A pool that has ended takes no orders either.
        let _ = self.told.send(Wish::Setting(number, Box::new(job)));
    }

    /// Forgets a setting that no order will name any more.
    pub fn forget(&self, number: u32) {
        let _ = self.told.send(Wish::Forget(number));
    }

    /// Gives an order; `number` comes back with its end. Never waits.
    ///
    /// # Errors
    /// [`Full`] if as many orders are open as may be; then nothing more is said of it.
    pub fn ask(&self, number: u64, setting: u32, wanted: Wanted) -> Result<(), Full> {
        self.accept(number, setting, wanted, false)
    }

    /// [`Self::ask`] in a worker that has nothing else to do meanwhile: for what brought one down.
    ///
    /// # Errors
    /// As of [`Self::ask`].
    pub fn ask_apart(&self, number: u64, setting: u32, wanted: Wanted) -> Result<(), Full> {
        self.accept(number, setting, wanted, true)
    }

    fn accept(
        &self,
        number: u64,
        setting: u32,
        wanted: Wanted,
        is_apart: bool,
    ) -> Result<(), Full> {
        let room = self.said.clone().try_reserve_owned().map_err(|_| Full)?;
        let wanting = Wanting {
            number,
            setting,
            wanted,
            is_apart,
            room,
        };
        self.told.send(Wish::Order(wanting)).map_err(|_| Full)
    }

    /// Waits until nobody takes orders any more: then nothing more is said, though the channel stays
    /// open for as long as this lives.
    pub async fn ended(&self) {
        self.told.closed().await;
    }

    /// How it stands.
    #[must_use]
    pub fn figures(&self) -> PoolFigures {
        *self.figures.borrow()
    }
}

/// Load of an order.
fn load(wanted: &Wanted) -> usize {
    match wanted {
        Wanted::Dns { .. }
        | Wanted::Address { .. }
        | Wanted::Echo { .. }
        | Wanted::Visit { .. } => 1,
        Wanted::Trace { .. } => TRACE_LOAD,
    }
}

/// When an order must be over by its own word, if it says.
fn deadline(wanted: &Wanted) -> Option<Duration> {
    match wanted {
        Wanted::Dns { .. } | Wanted::Address { .. } | Wanted::Echo { .. } => None,
        Wanted::Visit { deadline_ms, .. } | Wanted::Trace { deadline_ms, .. } => {
            Some(Duration::from_millis(*deadline_ms))
        }
    }
}
