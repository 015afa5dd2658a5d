//! Background tasks with an owner: one that panics or ends is started again, and counted.
//!
//! A task is made by a function, so that it can be made anew; what it must not lose lies outside
//! of it. Dropping [`Tasks`] ends them all.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwether_model::text::inert;
use futures_util::FutureExt as _;
use tokio::task::JoinHandle;

/// The first wait before a task is started again.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest one: what ends at once, whenever it is started, costs next to nothing.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A task that ran this long counts as well again.
const WELL_AFTER: Duration = Duration::from_secs(60);
/// Longest words of a panic that are kept.
const WORDS_LEN_MAX: usize = 200;

/// How a task fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskState {
    /// Times that it was started again.
    pub restarts: u64,
    /// Why the last time.
    pub last: Option<String>,
}

/// How all tasks fare, for whoever shows it.
#[derive(Clone, Debug, Default)]
pub struct TaskStates(Arc<Mutex<BTreeMap<&'static str, TaskState>>>);

impl TaskStates {
    /// Each task with its state.
    #[must_use]
    pub fn all(&self) -> BTreeMap<&'static str, TaskState> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn change(&self, name: &'static str, change: impl FnOnce(&mut TaskState)) {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(states.entry(name).or_default());
    }
}

/// The background tasks.
#[derive(Debug, Default)]
pub struct Tasks {
    states: TaskStates,
    handles: Vec<JoinHandle<()>>,
}

impl Tasks {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How they fare; stays up to date.
    #[must_use]
    pub fn states(&self) -> TaskStates {
        self.states.clone()
    }

    /// Starts a task that is to run for ever. `restarted` counts over all tasks.
    pub fn spawn<F, Fut>(&mut self, name: &'static str, restarted: Arc<AtomicU64>, mut make: F)
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.states.change(name, |_| {});
        let states = self.states.clone();
        self.handles.push(tokio::spawn(async move {
            let mut pause = PAUSE_MIN;
            loop {
                let began = tokio::time::Instant::now();
                // Making it may panic as well as running it.
                let run = AssertUnwindSafe(async { make().await }).catch_unwind();
                let why = match run.await {
                    Ok(()) => "it ended by itself".to_owned(),
                    Err(panic) => words(&*panic),
                };
                if began.elapsed() >= WELL_AFTER {
                    pause = PAUSE_MIN;
                }
                restarted.fetch_add(1, Ordering::Relaxed);
                tracing::error!(task = name, why, "a background task is started again");
                states.change(name, |state| {
                    state.restarts += 1;
                    state.last = Some(why);
                });
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }));
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        for handle in &self.handles {
            handle.abort();
        }
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "no message".to_owned());
    format!("it panicked: {}", inert(&text, WORDS_LEN_MAX))
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_or_ends_is_started_again() {
        let mut tasks = Tasks::new();
        let restarted = Arc::new(AtomicU64::new(0));
        let (says, mut hears) = mpsc::channel(4);
        let mut number = 0;
        tasks.spawn("judge", restarted.clone(), move || {
            number += 1;
            let (says, number) = (says.clone(), number);
            async move {
                says.send(number).await.unwrap();
                assert!(number != 1, "rehearsed");
                if number > 2 {
                    std::future::pending::<()>().await;
                }
            }
        });
        for expected in 1..=3 {
            assert_eq!(hears.recv().await, Some(expected));
        }
        assert_eq!(restarted.load(Ordering::Relaxed), 2);
        let state = tasks.states().all()["judge"].clone();
        assert_eq!(state.restarts, 2);
        assert_eq!(state.last.as_deref(), Some("it ended by itself"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_in_its_inbox_is_not_lost() {
        let mut tasks = Tasks::new();
        let (says, hears) = mpsc::channel(4);
        let hears = Arc::new(tokio::sync::Mutex::new(hears));
        let (tells, mut told) = mpsc::channel(4);
        tasks.spawn("judge", Arc::default(), move || {
            let (hears, tells) = (hears.clone(), tells.clone());
            async move {
                let mut hears = hears.lock().await;
                while let Some(number) = hears.recv().await {
                    assert!(number != 1, "rehearsed");
                    tells.send(number).await.unwrap();
                }
            }
        });
        for number in 0..3 {
            says.send(number).await.unwrap();
        }
        assert_eq!(told.recv().await, Some(0));
        assert_eq!(told.recv().await, Some(2));
    }
}
