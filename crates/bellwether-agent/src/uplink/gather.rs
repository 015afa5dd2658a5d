//! From what is harvested, one by one, to deliveries in the spool.

use std::sync::Arc;
use std::time::Duration;

use bellwether_model::harvest::{Harvest, Own};
use bellwether_model::link::Delivery;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::ahead::Stamps;
use super::{Shared, lock};
use crate::clock::Clock;
use crate::spool::{DELIVERY_ROWS_MAX, Disk};

/// Harvest between the agent and the spool: seconds of the largest plan. When it is full the agent
/// keeps more itself, and begins no new runs when that is full too.
pub const HARVEST_MAX: usize = 16_384;
/// How long rows are put together before the disk has them.
const TOGETHER: Duration = Duration::from_millis(200);
/// The same while there is no hub: what is lost with the machine's power is that much more, and what is
/// spooled for days is so much less.
const TOGETHER_ALONE: Duration = Duration::from_secs(5);
/// How often a disk in trouble is tried, if nothing new comes.
const RETRY: Duration = Duration::from_secs(2);
/// Records of runs in one delivery, at most: each is some hundred times a row.
const SHOWN_MAX: usize = 100;

/// Takes harvest until nobody brings any more. The first thing said is that the agent has begun.
pub async fn gather<D: Disk, C: Clock + Sync>(
    mut harvest: mpsc::Receiver<Harvest>,
    shared: Arc<Shared<D>>,
    clock: C,
) {
    let boot = shared.spool(|spool| spool.boot()).await;
    let mut stamps = Stamps::default();
    let mut first = Some(Harvest::Own(Own::Began));
    loop {
        let one = match first.take() {
            Some(one) => one,
            None => tokio::select! {
                one = harvest.recv() => match one {
                    Some(one) => one,
                    None => break,
                },
                () = tokio::time::sleep(RETRY) => {
                    shared.spool(|spool| spool.flush()).await;
                    continue;
                }
            },
        };
        let is_alone = !*shared.linked.borrow();
        let wait = if is_alone { TOGETHER_ALONE } else { TOGETHER };
        let mut together = together(&mut harvest, one, Instant::now() + wait).await;
        let lain = stamps.put_right(&mut together, &clock);
        let newest = together.iter().filter_map(|one| match one {
            Harvest::Run(run) => Some(run.began()),
            Harvest::Shown(shown) => Some(shown.run.began()),
            Harvest::Trace(_) | Harvest::Own(_) => None,
        });
        if let Some(newest) = newest.max() {
            *lock(&shared.last_run) = Some(newest);
        }
        let delivery = Delivery {
            boot,
            at: clock.wall(),
            offset_ms: lock(&shared.ahead).now(lain),
            harvest: together,
            thinned: Vec::new(),
        };
        shared.spool(move |spool| spool.append(delivery)).await;
    }
    shared.spool(|spool| spool.close()).await;
}

/// What comes together: until then, or until it is enough, or something that is not to wait.
async fn together(
    harvest: &mut mpsc::Receiver<Harvest>,
    first: Harvest,
    until: Instant,
) -> Vec<Harvest> {
    let mut all = vec![first];
    let mut shown = 0;
    loop {
        match all.last() {
            Some(Harvest::Trace(_)) => return all,
            Some(Harvest::Shown(_)) => shown += 1,
            Some(Harvest::Run(_) | Harvest::Own(_)) | None => {}
        }
        if all.len() >= DELIVERY_ROWS_MAX || shown >= SHOWN_MAX {
            return all;
        }
        match timeout_at(until, harvest.recv()).await {
            Ok(Some(next)) => all.push(next),
            Ok(None) | Err(_) => return all,
        }
    }
}
