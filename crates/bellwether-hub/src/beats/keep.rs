//! Writing down what was heard: all that came together at once, and no more than ten times a second.

use std::sync::Arc;
use std::time::Duration;

use bellwether_store::Change;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{ALIVE, Beats, HEARD, Written};
use crate::shared::Shared;

/// What comes within so long of a write waits for the next: a flood writes ten times a second, and one
/// signal alone waits for nothing.
const TOGETHER: Duration = Duration::from_millis(100);
/// The wait before what could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often it is written down that we can hear: a restart forgets no more than that.
const ALIVE_EVERY: Duration = Duration::from_secs(10);

/// Heartbeats by name, each with what is kept of it; those without are to be forgotten.
type Changed = Vec<(String, Option<Vec<u8>>)>;

impl Beats {
    /// What is to be written down, with the number of the newest change in it.
    fn changes(&self) -> (u64, Changed) {
        let mut held = self.held();
        let dirty = std::mem::take(&mut held.dirty);
        let changes = dirty.into_iter().map(|name| {
            let kept = held.beats.get(&name).and_then(super::Beat::kept);
            (name, kept)
        });
        let changes = changes.collect();
        (held.number, changes)
    }

    /// These could not be written.
    fn take_back(&self, names: impl Iterator<Item = String>) {
        self.held().dirty.extend(names);
    }
}

/// Writes down what was heard, for ever.
pub(crate) async fn run(shared: Arc<Shared>) {
    let beats = &shared.beats;
    let mut alive: Option<Instant> = None;
    let mut is_failing = false;
    loop {
        let is_due = alive.is_none_or(|at| at.elapsed() >= ALIVE_EVERY);
        let is_alive_due = is_due && !beats.is_empty();
        let (number, heard) = beats.changes();
        let mut changes: Vec<Change> = heard
            .iter()
            .map(|(name, kept)| Change::Checkpoint {
                key: format!("{HEARD}{name}"),
                bytes: kept.clone(),
            })
            .collect();
        if is_alive_due {
            changes.push(Change::Checkpoint {
                key: ALIVE.to_owned(),
                bytes: serde_json::to_vec(&Timestamp::now()).ok(),
            });
        }
        let is_kept = changes.is_empty() || commit(&shared, changes).await;
        if is_kept {
            if is_alive_due {
                alive = Some(Instant::now());
            }
            if std::mem::take(&mut is_failing) {
                tracing::info!("what heartbeats report is kept again");
            }
        } else {
            beats.take_back(heard.into_iter().map(|(name, _)| name));
            if !std::mem::replace(&mut is_failing, true) {
                tracing::error!("what heartbeats report cannot be kept; it counts all the same");
            }
        }
        beats.written.send_modify(|written| {
            *written = Written {
                kept: if is_kept { number } else { written.kept },
                tried: number,
            };
        });
        let pause = if is_kept { TOGETHER } else { AGAIN };
        tokio::time::sleep(pause).await;
        if is_kept {
            // What came meanwhile has left its mark.
            let _ = tokio::time::timeout(ALIVE_EVERY, beats.wake.notified()).await;
        }
    }
}

/// Asks the store on a thread that may block. A panic of it is a failure like others.
async fn commit(shared: &Arc<Shared>, changes: Vec<Change>) -> bool {
    let state = shared.state.clone();
    let done = tokio::task::spawn_blocking(move || state.commit(&changes)).await;
    let trouble = match done {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("the store panicked over heartbeats".to_owned()),
    };
    let is_kept = trouble.is_none();
    shared.trouble("heartbeats", trouble);
    is_kept
}
