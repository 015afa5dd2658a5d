//! Keeping runs: batches of a fifth of a second become envelopes, and wait until they are durable.
//!
//! Blocking work of the store stands on a thread of its own, so that a slow disk holds up nobody
//! who judges or answers. What cannot be kept now is tried again, with the same number and content,
//! and nothing counts as kept before the store says so. Only when more waits than memory allows,
//! the oldest are given up: counted, and seen in the store as a gap of the numbers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use bellwether_model::{Envelope, Run};

use crate::shared::Shared;

/// How long a batch is gathered.
pub const WINDOW: Duration = Duration::from_millis(200);
/// Runs that close a batch before its time.
pub const BATCH_LEN_MAX: usize = 2_000;
/// Runs that may wait for the disk: about 100 MiB.
pub const WAITING_LEN_MAX: usize = 300_000;
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
    /// Keep what is there and say so.
    Flush(mpsc::Sender<()>),
}

/// Takes runs to keep.
#[derive(Clone)]
pub struct Keeper {
    says: mpsc::Sender<Said>,
}

impl Keeper {
    /// Starts the thread. `boot` tells this start of the agent from others.
    ///
    /// # Errors
    /// The thread cannot be started, or the store cannot say which envelope was the last.
    pub fn start(shared: Arc<Shared>, boot: u64) -> Result<Self, KeepError> {
        let last = shared.observations.cursor(LOCAL_AGENT)?;
        let (says, hears) = mpsc::channel();
        let writer = Writer {
            shared,
            boot,
            number: last,
            batch: Vec::new(),
            waiting: VecDeque::new(),
            waiting_runs: 0,
            again: AGAIN_MIN,
            not_before: None,
        };
        thread::Builder::new()
            .name("keep".to_owned())
            .spawn(move || writer.run(&hears))
            .map_err(KeepError::Thread)?;
        Ok(Self { says })
    }

    /// Hands on runs to keep.
    pub fn keep(&self, runs: Vec<Run>) {
        if runs.is_empty() {
            return;
        }
        // The thread ends only when all senders are gone.
        let _ = self.says.send(Said::Runs(runs));
    }

    /// Waits until all that was handed on was tried once, at most this long. Blocks.
    #[must_use]
    pub fn flush(&self, wait: Duration) -> bool {
        let (says, hears) = mpsc::channel();
        self.says.send(Said::Flush(says)).is_ok() && hears.recv_timeout(wait).is_ok()
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
    boot: u64,
    /// Of the last envelope that was closed.
    number: u64,
    batch: Vec<Run>,
    waiting: VecDeque<Envelope>,
    waiting_runs: usize,
    again: Duration,
    not_before: Option<Instant>,
}

impl Writer {
    fn run(mut self, hears: &mpsc::Receiver<Said>) {
        let mut due = Instant::now() + WINDOW;
        loop {
            let wait = due.saturating_duration_since(Instant::now());
            match hears.recv_timeout(wait) {
                Ok(Said::Runs(mut runs)) => {
                    self.batch.append(&mut runs);
                    self.tell_waiting();
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
                    let _ = done.send(());
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
            self.shared.figures.lost.fetch_add(runs, Ordering::Relaxed);
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
            self.tell_waiting();
            return;
        }
        let envelopes = self.waiting.make_contiguous();
        match self.shared.observations.append(envelopes) {
            Ok(_) => {
                let kept = u64::try_from(self.waiting_runs).unwrap_or(u64::MAX);
                self.shared.figures.kept.fetch_add(kept, Ordering::Relaxed);
                self.waiting.clear();
                self.waiting_runs = 0;
                self.again = AGAIN_MIN;
                if self.not_before.take().is_some() {
                    tracing::info!(runs = kept, "runs are kept again");
                    self.shared.trouble("keep", None);
                }
            }
            Err(error) => {
                self.shared
                    .figures
                    .append_errors
                    .fetch_add(1, Ordering::Relaxed);
                if self.not_before.is_none() {
                    tracing::error!(%error, "runs cannot be kept; they wait in memory");
                }
                self.shared.trouble("keep", Some(error.to_string()));
                self.not_before = Some(Instant::now() + self.again);
                self.again = (self.again * 2).min(AGAIN_MAX);
            }
        }
        self.tell_waiting();
    }

    fn tell_waiting(&self) {
        let waiting = self.waiting_runs + self.batch.len();
        let waiting = u64::try_from(waiting).unwrap_or(u64::MAX);
        let figures = &self.shared.figures;
        figures.waiting.store(waiting, Ordering::Relaxed);
    }
}
