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

/// Worker processes. They are started when the first job is set, by whoever sets it: so their pipes are
/// read where the agent runs.
pub struct Processes {
    settings: PoolSettings,
    command: Option<Start>,
    open: Option<(Pool, mpsc::Receiver<Said>)>,
}

type Start = Box<dyn Fn() -> Command + Send + Sync>;

impl std::fmt::Debug for Processes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Processes")
            .field("settings", &self.settings)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

impl Processes {
    /// `workers` processes, each by a command of `command`, with room for `at_once` runs and traces in
    /// all.
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
        Self {
            settings,
            command: Some(Box::new(command)),
            open: None,
        }
    }
}

impl Workers for Processes {
    fn setting(&mut self, number: u32, job: &Arc<Job>) {
        if let Some(command) = self.command.take() {
            self.open = Some(Pool::start(command, self.settings));
        }
        if let Some((pool, _)) = &self.open {
            pool.setting(number, (**job).clone());
        }
    }

    fn forget(&mut self, number: u32) {
        if let Some((pool, _)) = &self.open {
            pool.forget(number);
        }
    }

    fn ask(&mut self, number: u64, setting: u32, wanted: Wanted, apart: bool) -> Result<(), Full> {
        let (pool, _) = self.open.as_ref().ok_or(Full)?;
        if apart {
            pool.ask_apart(number, setting, wanted)
        } else {
            pool.ask(number, setting, wanted)
        }
    }

    async fn next(&mut self) -> Option<Said> {
        match &mut self.open {
            Some((pool, said)) => tokio::select! {
                biased;
                said = said.recv() => said,
                // Its task failed: an agent that waited on would look alive, and probe nothing.
                () = pool.ended() => None,
            },
            // None was asked for anything.
            None => std::future::pending().await,
        }
    }

    fn said(&mut self) -> Option<Said> {
        self.open.as_mut()?.1.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever waits for workers that are gone is told so.
    #[tokio::test]
    async fn a_pool_that_fails_says_nothing_more() {
        let fails = || -> Command { panic!("a command of tests") };
        let mut workers = Processes::start(fails, 1, 1);
        let job = Arc::new(crate::testing::plan(1, 60).common);
        workers.setting(1, &job);
        let said = tokio::time::timeout(std::time::Duration::from_secs(10), workers.next());
        assert!(said.await.is_ok_and(|said| said.is_none()));
    }
}
