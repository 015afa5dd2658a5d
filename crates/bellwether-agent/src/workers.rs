//! Whoever carries out what the agent wants asked: worker processes, or a script in tests.

use std::future::Future;
use std::sync::Arc;

use bellwether_model::job::{Job, Wanted};
pub use bellwether_probe::worker::pool::{Full, Said};
use bellwether_probe::worker::pool::{Pool, PoolSettings};
use tokio::process::Command;
use tokio::sync::mpsc;

/// Load of one worker, of [`Plan::at_once`](crate::Plan): traces count more than visits there, so the
/// workers together have room for a fifth more.
const ROOM: (usize, usize) = (6, 5);
/// The least of it.
const ROOM_MIN: usize = 64;

/// Whoever carries out orders. Nothing here waits: orders are taken or not, and what became of them is
/// said later. Each that was taken comes to one end.
pub trait Workers: Send + 'static {
    /// A job that orders go by from now on.
    fn setting(&mut self, number: u32, job: &Arc<Job>);

    /// A job that no order will name any more.
    fn forget(&mut self, number: u32);

    /// Takes an order; `apart` from all others where it may do harm.
    ///
    /// # Errors
    /// [`Full`]: then nothing will be said of it.
    fn ask(&mut self, number: u64, setting: u32, wanted: Wanted, apart: bool) -> Result<(), Full>;

    /// What is said next; `None` if nothing more will be. Nothing is lost if the future is dropped.
    fn next(&mut self) -> impl Future<Output = Option<Said>> + Send;

    /// What is said already.
    fn said(&mut self) -> Option<Said>;
}

/// Worker processes.
#[derive(Debug)]
pub struct Processes {
    pool: Pool,
    said: mpsc::Receiver<Said>,
}

impl Processes {
    /// Starts `workers` processes, each by a command of `command`, with room for `at_once` runs and
    /// traces in all. Takes place inside a tokio runtime.
    #[must_use]
    pub fn start(
        command: impl Fn() -> Command + Send + Sync + 'static,
        workers: usize,
        at_once: usize,
    ) -> Self {
        let workers = workers.max(1);
        let room = at_once * ROOM.0 / ROOM.1;
        let settings = PoolSettings {
            workers,
            at_once: room.div_ceil(workers).max(ROOM_MIN),
            // An order of which the agent gave up is open until its worker is ended.
            capacity: (4 * at_once).max(PoolSettings::default().capacity),
        };
        let (pool, said) = Pool::start(command, settings);
        Self { pool, said }
    }
}

impl Workers for Processes {
    fn setting(&mut self, number: u32, job: &Arc<Job>) {
        self.pool.setting(number, (**job).clone());
    }

    fn forget(&mut self, number: u32) {
        self.pool.forget(number);
    }

    fn ask(&mut self, number: u64, setting: u32, wanted: Wanted, apart: bool) -> Result<(), Full> {
        if apart {
            self.pool.ask_apart(number, setting, wanted)
        } else {
            self.pool.ask(number, setting, wanted)
        }
    }

    async fn next(&mut self) -> Option<Said> {
        self.said.recv().await
    }

    fn said(&mut self) -> Option<Said> {
        self.said.try_recv().ok()
    }
}
