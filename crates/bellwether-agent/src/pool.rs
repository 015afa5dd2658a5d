//! Worker processes as [`Workers`].

use std::sync::Arc;

use bellwether_model::job::{Job, Wanted};
use bellwether_probe::worker::pool::{self, Pool, PoolSettings};
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::workers::{Full, Said, Workers};

/// Worker processes: killable, replaced when they hang or die.
pub struct Processes {
    pool: Pool,
    said: mpsc::Receiver<pool::Said>,
}

impl Processes {
    /// Starts them inside a tokio runtime. `command` makes the command of one.
    #[must_use]
    pub fn start(
        command: impl Fn() -> Command + Send + Sync + 'static,
        settings: PoolSettings,
    ) -> Self {
        let (pool, said) = Pool::start(command, settings);
        Self { pool, said }
    }
}

/// Worker processes, as many as a plan wants.
#[must_use]
pub fn processes(
    command: impl Fn() -> Command + Send + Sync + 'static,
    plan: &crate::Plan,
) -> Processes {
    let settings = PoolSettings {
        workers: plan.workers,
        ..PoolSettings::default()
    };
    Processes::start(command, settings)
}

impl Workers for Processes {
    fn setting(&mut self, number: u32, job: &Arc<Job>) {
        self.pool.setting(number, Job::clone(job));
    }

    fn forget(&mut self, number: u32) {
        self.pool.forget(number);
    }

    fn ask(&mut self, number: u64, setting: u32, wanted: Wanted, apart: bool) -> Result<(), Full> {
        let asked = if apart {
            self.pool.ask_apart(number, setting, wanted)
        } else {
            self.pool.ask(number, setting, wanted)
        };
        asked.map_err(|pool::Full| Full)
    }

    async fn next(&mut self) -> Option<Said> {
        self.said.recv().await.map(of)
    }

    fn said(&mut self) -> Option<Said> {
        self.said.try_recv().ok().map(of)
    }
}

fn of(said: pool::Said) -> Said {
    match said {
        pool::Said::Told(told) => Said::Told(told),
        pool::Said::Lost {
            number,
            reason,
            detail,
        } => Said::Lost {
            number,
            reason,
            detail,
        },
        pool::Said::Replaced { why, under_way } => Said::Replaced { why, under_way },
        pool::Said::Poisoned { number, why } => Said::Poisoned { number, why },
    }
}
