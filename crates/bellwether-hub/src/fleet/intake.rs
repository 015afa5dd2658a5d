//! Deliveries, until they are durable.
//!
//! What agents deliver waits for the disk on a thread of its own: what has come together is kept by one
//! append. Each agent has one delivery under way, so that its order is kept and one that brings much
//! waits behind the others. Evidence is kept before the rows that name it.
//!
//! A store that fails, or panics, over what came together is asked again with each delivery by itself:
//! what one agent sends holds up none of the others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use bellwether_model::Envelope;
use bellwether_store::{Change, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::shared::Shared;

/// Deliveries that may wait for the disk: one of each agent that is linked has its place.
const WAITING_MAX: usize = 512;
/// Deliveries that are kept by one append.
const TOGETHER_MAX: usize = 64;
/// Rows that are kept by one append, about: what it takes no longer than a batch of our own.
const ROWS_TOGETHER_MAX: usize = 4_000;

/// The part that trouble with keeping deliveries is told as.
const PART: &str = "intake";

/// A delivery that is to be kept.
pub(crate) struct Bundle {
    /// Its rows, under the agent's id and the delivery's number.
    pub(crate) envelope: Envelope,
    /// What its rows name.
    pub(crate) evidence: Vec<Change>,
}

/// A delivery that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Now.
    Now,
    /// Something came under this number before, and this is not kept.
    Before,
}

struct Waiting {
    bundle: Bundle,
    done: oneshot::Sender<Result<Kept, String>>,
}

/// Where deliveries wait for the disk.
#[derive(Clone)]
pub(crate) struct Intake(mpsc::Sender<Waiting>);

impl Intake {
    /// Starts the thread; it ends with the last of these.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let (waits, mut waiting) = mpsc::channel(WAITING_MAX);
        let keeps = move || {
            let mut is_failing = false;
            while let Some(first) = waiting.blocking_recv() {
                // A disk in trouble is tried with one, of which it is known what became of it.
                let together = match is_failing {
                    true => vec![first],
                    false => gather(first, &mut waiting),
                };
                is_failing = keep(&shared, together, is_failing);
            }
        };
        thread::Builder::new()
            .name("intake".to_owned())
            .spawn(keeps)?;
        Ok(Self(waits))
    }

    /// Keeps a delivery: `Ok` when the disk has it, or had another one of its number before.
    ///
    /// # Errors
    /// Why it is not known to be kept, in words.
    pub(crate) async fn keep(&self, bundle: Bundle) -> Result<Kept, String> {
        let (done, hears) = oneshot::channel();
        let ended = || "nothing is kept any more: the thread for it has ended".to_owned();
        let waits = self.0.send(Waiting { bundle, done }).await;
        waits.map_err(|_| ended())?;
        hears.await.map_err(|_| ended())?
    }
}

/// What came together with the first.
fn gather(first: Waiting, waiting: &mut mpsc::Receiver<Waiting>) -> Vec<Waiting> {
    let mut rows = first.bundle.envelope.runs.len();
    let mut together = vec![first];
    while together.len() < TOGETHER_MAX && rows < ROWS_TOGETHER_MAX {
        let Ok(next) = waiting.try_recv() else {
            break;
        };
        rows += next.bundle.envelope.runs.len();
        together.push(next);
    }
    together
}

/// Keeps what came together. Whether anything of it could not be.
fn keep(shared: &Shared, together: Vec<Waiting>, was_failing: bool) -> bool {
    let (bundles, dones): (Vec<Bundle>, Vec<_>) =
        together.into_iter().map(|w| (w.bundle, w.done)).unzip();
    let kept = match append(shared, &bundles) {
        Ok(kept) => kept.into_iter().map(Ok).collect(),
        Err(error) if bundles.len() == 1 => vec![Err(error)],
        Err(_) => {
            let each = bundles.chunks(1).map(|one| append(shared, one));
            Vec::from_iter(each.map(|kept| kept.map(|kept| kept[0])))
        }
    };
    let failed = kept.iter().find_map(|kept| kept.as_ref().err());
    if let Some(error) = failed {
        shared.figures.append_errors.fetch_add(1, Ordering::Relaxed);
        if !was_failing {
            tracing::error!(%error, "what agents deliver cannot be kept; they keep it until it can");
        }
    } else if was_failing {
        tracing::info!("what agents deliver is kept again");
    }
    let is_failing = failed.is_some();
    if is_failing != was_failing || is_failing {
        shared.trouble(PART, failed.map(ToString::to_string));
    }
    for ((bundle, done), kept) in bundles.iter().zip(dones).zip(kept) {
        if matches!(kept, Ok(Kept::Now)) {
            let runs = u64::try_from(bundle.envelope.runs.len()).unwrap_or(u64::MAX);
            shared.figures.kept.fetch_add(runs, Ordering::Relaxed);
        }
        // Whoever delivered may have gone; it is told what is kept when it comes again.
        let _ = done.send(kept.map_err(|error| error.to_string()));
    }
    is_failing
}

/// What became of each, once all of them are durable.
fn append(shared: &Shared, bundles: &[Bundle]) -> Result<Vec<Kept>, StoreError> {
    let changes: Vec<Change> = bundles.iter().flat_map(|b| b.evidence.clone()).collect();
    let envelopes: Vec<Envelope> = bundles.iter().map(|b| b.envelope.clone()).collect();
    let kept = catch_unwind(AssertUnwindSafe(|| {
        if !changes.is_empty() {
            shared.state.commit(&changes)?;
        }
        let mut kept = Vec::with_capacity(envelopes.len());
        for envelope in &envelopes {
            let is_known = shared.observations.cursor(&envelope.agent)?.number >= envelope.number;
            kept.push(if is_known { Kept::Before } else { Kept::Now });
        }
        // After a write that failed the store finds out while it appends what it has.
        let appended = shared.observations.append(&envelopes)?;
        if appended.repeated == kept.len() {
            kept.fill(Kept::Before);
        }
        Ok(kept)
    }));
    kept.unwrap_or_else(|_| {
        let restarted = &shared.figures.tasks_restarted;
        restarted.fetch_add(1, Ordering::Relaxed);
        Err(StoreError::Other(
            "the store panicked over what an agent delivered".to_owned(),
        ))
    })
}

#[cfg(test)]
mod tests {
    use bellwether_model::run::RunOutcome;
    use bellwether_model::{CheckId, Run, VantageId};
    use bellwether_store::ObservationStore as _;
    use jiff::Timestamp;

    use super::*;
    use crate::testing;

    fn bundle(agent: &str, number: u64) -> Bundle {
        let check = CheckId::new("none", "main");
        let run = testing::run(&check, number, Timestamp::UNIX_EPOCH, RunOutcome::Ok);
        let vantage = VantageId::new(agent);
        Bundle {
            envelope: Envelope {
                agent: agent.into(),
                boot: 1,
                number,
                runs: vec![Run { vantage, ..run }],
            },
            evidence: vec![Change::Evidence {
                at: Timestamp::UNIX_EPOCH,
                bytes: agent.as_bytes().to_vec(),
            }],
        }
    }

    #[tokio::test]
    async fn what_the_disk_does_not_take_is_told_and_comes_again() {
        let hub = testing::empty(Timestamp::UNIX_EPOCH);
        let intake = Intake::start(hub.shared.clone()).unwrap();
        hub.memory.set_broken(true);
        assert!(intake.keep(bundle("fra/1", 1)).await.is_err());
        assert!(hub.shared.troubles().contains_key(PART));
        hub.memory.set_broken(false);
        assert_eq!(intake.keep(bundle("fra/1", 1)).await, Ok(Kept::Now));
        assert_eq!(intake.keep(bundle("fra/1", 1)).await, Ok(Kept::Before));
        assert!(!hub.shared.troubles().contains_key(PART));
        assert_eq!(hub.memory.cursor("fra/1").unwrap().number, 1);
    }

    #[tokio::test]
    async fn one_that_the_store_panics_over_holds_up_no_other() {
        let hub = testing::empty(Timestamp::UNIX_EPOCH);
        let (one, other) = (bundle("fra/1", 1), bundle("nyc/1", 1));
        let (done, hears): (Vec<_>, Vec<_>) = (0..2)
            .map(|_| oneshot::channel::<Result<Kept, String>>())
            .unzip();
        let waiting = [one, other].into_iter().zip(done);
        let waiting = waiting.map(|(bundle, done)| Waiting { bundle, done });
        hub.memory.panic_next();
        assert!(!keep(&hub.shared, waiting.collect(), false));
        for hears in hears {
            hears.await.unwrap().unwrap();
        }
        for agent in ["fra/1", "nyc/1"] {
            assert_eq!(hub.memory.cursor(agent).unwrap().number, 1);
        }
    }
}
