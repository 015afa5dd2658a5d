//! Keeping runs: batches of a fifth of a second become envelopes, and wait until they are durable.
//!
//! Blocking work of the store stands on a thread of its own, so that a slow disk holds up nobody
//! who judges or answers. What cannot be kept now is tried again, with the same number and content,
//! and nothing counts as kept before the store says so. Only when more waits than memory allows, runs
//! are given up: counted, and seen in the store as a gap of the numbers. A store that panics is one
//! that takes nothing: the thread lives on, with what waits.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use bellwether_model::{Envelope, Run};
use bellwether_store::StoreError;

use crate::shared::Shared;

/// How long a batch is gathered.
pub const WINDOW: Duration = Duration::from_millis(200);
/// Runs that close a batch before its time.
pub const BATCH_LEN_MAX: usize = 2_000;
/// Runs that may wait for the disk: about 100 MiB.
pub const WAITING_LEN_MAX: usize = 300_000;
/// Runs that may be held in all, also those that the thread has not taken over yet: where an append
/// hangs, nobody else can give up the oldest, and the newest are left out.
pub const HELD_LEN_MAX: u64 = 400_000;
/// The wait before an append that failed is tried again.
const AGAIN_MIN: Duration = Duration::from_millis(200);
/// The longest one: within ten seconds after space is there, runs are kept again.
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// The name of the built-in agent.
pub const LOCAL_AGENT: &str = "local";

enum Said {
    /// What came together is handed on together: each time the thread is woken costs as much as
    /// dozens of runs.
    Runs(Vec<Run>),
    /// Keep what is there, and say whether that is done.
    Flush(mpsc::Sender<bool>),
}

/// Takes runs to keep.
#[derive(Clone)]
pub struct Keeper {
    says: mpsc::Sender<Said>,
    shared: Arc<Shared>,
    /// Runs that were left out since the last envelope.
    left_out: Arc<AtomicU64>,
}

impl Keeper {
    /// Starts the thread. `boot` tells this start of the agent from others.
    ///
    /// # Errors
    /// The thread cannot be started, or the store cannot say which envelope was the last.
    pub fn start(shared: Arc<Shared>, boot: u64) -> Result<Self, KeepError> {
        let last = shared.observations.cursor(LOCAL_AGENT)?.number;
        let (says, hears) = mpsc::channel();
        let left_out = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            shared: shared.clone(),
            left_out: left_out.clone(),
            boot,
            number: last,
            batch: Vec::new(),
            waiting: VecDeque::new(),
            waiting_runs: 0,
            again: AGAIN_MIN,
            not_before: None,
            is_failing: false,
        };
        thread::Builder::new()
            .name("keep".to_owned())
            .spawn(move || writer.run(&hears))
            .map_err(KeepError::Thread)?;
        Ok(Self {
            says,
            shared,
            left_out,
        })
    }

    /// Hands on runs to keep.
    pub fn keep(&self, runs: Vec<Run>) {
        if runs.is_empty() {
            return;
        }
        let count = runs.len() as u64;
        let figures = &self.shared.figures;
        if figures.waiting.load(Ordering::Relaxed) >= HELD_LEN_MAX {
            if self.left_out.fetch_add(count, Ordering::Relaxed) == 0 {
                tracing::error!("runs are left out: the disk does not answer, and memory is full");
            }
            figures.lost.fetch_add(count, Ordering::Relaxed);
            return;
        }
        figures.waiting.fetch_add(count, Ordering::Relaxed);
        // The thread ends only when all senders are gone.
        if self.says.send(Said::Runs(runs)).is_err() {
            figures.waiting.fetch_sub(count, Ordering::Relaxed);
            figures.lost.fetch_add(count, Ordering::Relaxed);
            let what = "no run is kept any more: the thread that keeps them has ended";
            self.shared.trouble("keep", Some(what.to_owned()));
        }
    }

    /// Waits until all that was handed on was tried once, at most this long. Tells whether all of it
    /// is kept. Blocks.
    #[must_use]
    pub fn flush(&self, wait: Duration) -> bool {
        let (says, hears) = mpsc::channel();
        self.says.send(Said::Flush(says)).is_ok() && hears.recv_timeout(wait) == Ok(true)
    }
}

/// What can go wrong at the start.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// No thread.
    #[error("failed to start the thread that keeps runs")]
    Thread(#[source] std::io::Error),
    /// No cursor.
    #[error("failed to read which runs were kept last")]
    Store(#[from] bellwether_store::StoreError),
}

struct Writer {
    shared: Arc<Shared>,
    left_out: Arc<AtomicU64>,
    boot: u64,
    /// Of the last envelope that was closed.
    number: u64,
    batch: Vec<Run>,
    waiting: VecDeque<Envelope>,
    waiting_runs: usize,
    again: Duration,
    not_before: Option<Instant>,
    /// The last append failed, and that was told.
    is_failing: bool,
}

impl Writer {
    fn run(mut self, hears: &mpsc::Receiver<Said>) {
        let mut due = Instant::now() + WINDOW;
        loop {
            let wait = due.saturating_duration_since(Instant::now());
            match hears.recv_timeout(wait) {
                Ok(Said::Runs(mut runs)) => {
                    self.batch.append(&mut runs);
                    if self.batch.len() < BATCH_LEN_MAX {
                        continue;
                    }
                    self.close();
                    self.append();
                }
                Ok(Said::Flush(done)) => {
                    self.close();
                    self.not_before = None;
                    self.append();
                    // Whoever asked may have gone.
                    let _ = done.send(self.waiting.is_empty());
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.close();
                    self.append();
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.close();
                    self.not_before = None;
                    self.append();
                    return;
                }
            }
            due = Instant::now() + WINDOW;
        }
    }

    /// Makes an envelope of the batch.
    fn close(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        if self.left_out.swap(0, Ordering::Relaxed) > 0 {
            // The number of an envelope that never was stands for what was left out.
            self.number += 1;
        }
        self.number += 1;
        self.waiting_runs += self.batch.len();
        self.waiting.push_back(Envelope {
            agent: LOCAL_AGENT.into(),
            boot: self.boot,
            number: self.number,
            runs: std::mem::take(&mut self.batch),
        });
        while self.waiting_runs > WAITING_LEN_MAX {
            let Some(lost) = self.waiting.pop_front() else {
                break;
            };
            self.waiting_runs -= lost.runs.len();
            let runs = u64::try_from(lost.runs.len()).unwrap_or(u64::MAX);
            let figures = &self.shared.figures;
            figures.lost.fetch_add(runs, Ordering::Relaxed);
            figures.waiting.fetch_sub(runs, Ordering::Relaxed);
            tracing::error!(
                runs,
                "runs are given up: the disk takes none, and memory is full"
            );
        }
    }

    /// Tries to keep what waits.
    fn append(&mut self) {
        let is_early = self.not_before.is_some_and(|at| Instant::now() < at);
        if self.waiting.is_empty() || is_early {
            return;
        }
        match self.try_append() {
            Ok(()) => {
                let kept = u64::try_from(self.waiting_runs).unwrap_or(u64::MAX);
                let figures = &self.shared.figures;
                figures.kept.fetch_add(kept, Ordering::Relaxed);
                figures.waiting.fetch_sub(kept, Ordering::Relaxed);
                self.waiting.clear();
                self.waiting_runs = 0;
                self.again = AGAIN_MIN;
                self.not_before = None;
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!(runs = kept, "runs are kept again");
                    self.shared.trouble("keep", None);
                }
            }
            Err(error) => {
                self.shared
                    .figures
                    .append_errors
                    .fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!(%error, "runs cannot be kept; they wait in memory");
                }
                self.shared.trouble("keep", Some(error.to_string()));
                self.not_before = Some(Instant::now() + self.again);
                self.again = (self.again * 2).min(AGAIN_MAX);
            }
        }
    }

    /// Asks the store once. A panic of it costs no run: the same envelopes are tried again.
    fn try_append(&mut self) -> Result<(), StoreError> {
        let envelopes = &*self.waiting.make_contiguous();
        let observations = &self.shared.observations;
        let appended = catch_unwind(AssertUnwindSafe(|| observations.append(envelopes)));
        appended.map_or_else(
            |_| {
                let restarted = &self.shared.figures.tasks_restarted;
                restarted.fetch_add(1, Ordering::Relaxed);
                Err(StoreError::Other("the store panicked over runs".to_owned()))
            },
            |done| done.map(|_| ()),
        )
    }
}

#[cfg(test)]
mod tests {
    use bellwether_model::CheckId;
    use bellwether_model::run::RunOutcome;
    use bellwether_store::ObservationStore as _;
    use jiff::Timestamp;

    use super::*;
    use crate::testing::{self, Hub};

    /// Far above what it takes.
    const FAR: Duration = Duration::from_secs(60);

    fn hub() -> Hub {
        testing::empty(Timestamp::UNIX_EPOCH)
    }

    fn run() -> Run {
        let check = CheckId::new("none", "main");
        testing::run(&check, 1, Timestamp::UNIX_EPOCH, RunOutcome::Ok)
    }

    fn waiting(hub: &Hub) -> u64 {
        hub.shared.figures.waiting.load(Ordering::Relaxed)
    }

    #[test]
    fn a_store_that_panics_loses_no_run() {
        let hub = hub();
        let keeper = Keeper::start(hub.shared.clone(), 1).unwrap();
        hub.memory.panic_next();
        keeper.keep(vec![run()]);
        // The first try of the thread may be this one or its own.
        assert!(keeper.flush(FAR) || keeper.flush(FAR));
        let restarted = &hub.shared.figures.tasks_restarted;
        assert_eq!(restarted.load(Ordering::Relaxed), 1);
        keeper.keep(vec![run()]);
        assert!(keeper.flush(FAR));
        assert_eq!(hub.memory.cursor(LOCAL_AGENT).unwrap().number, 2);
        assert_eq!(hub.shared.figures.kept.load(Ordering::Relaxed), 2);
        assert_eq!(waiting(&hub), 0);
        assert!(hub.shared.troubles().is_empty());
    }

    #[test]
    fn what_is_not_kept_is_not_told_as_kept() {
        let hub = hub();
        let keeper = Keeper::start(hub.shared.clone(), 1).unwrap();
        assert!(keeper.flush(FAR), "nothing is all");
        hub.memory.set_broken(true);
        keeper.keep(vec![run()]);
        assert!(!keeper.flush(FAR));
        assert_eq!(waiting(&hub), 1);
        hub.memory.set_broken(false);
        assert!(keeper.flush(FAR));
        assert_eq!(waiting(&hub), 0);
    }

    #[test]
    fn a_disk_that_hangs_fills_no_memory() {
        let hub = hub();
        let keeper = Keeper::start(hub.shared.clone(), 1).unwrap();
        let figures = &hub.shared.figures;
        // As if so many had been handed on, and the thread hung over the first of them.
        figures.waiting.fetch_add(HELD_LEN_MAX, Ordering::Relaxed);
        keeper.keep(vec![run()]);
        assert_eq!(figures.lost.load(Ordering::Relaxed), 1);
        assert_eq!(waiting(&hub), HELD_LEN_MAX);
        figures.waiting.fetch_sub(HELD_LEN_MAX, Ordering::Relaxed);
        keeper.keep(vec![run()]);
        assert!(keeper.flush(FAR));
        // The second number is the first that was given: the store sees a gap.
        assert_eq!(hub.memory.cursor(LOCAL_AGENT).unwrap().number, 2);
        assert_eq!(figures.kept.load(Ordering::Relaxed), 1);
    }
}
