//! A hub that dies between what is durable and what is told.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use bellwether_model::Envelope;
use bellwether_store::embedded::{Embedded, Options};
use bellwether_store::{Appended, Cursor, Maintained, Retention, Rollup, Series, Step, StoreError};

use super::*;

/// A store that dies: with its last append durable or not, and nothing said of it.
struct Dying {
    inner: Arc<Embedded>,
    appends: AtomicI64,
    is_dead: AtomicBool,
    keeps_last: bool,
}

impl Dying {
    fn dead() -> StoreError {
        StoreError::Other("killed".to_owned())
    }
}

impl ObservationStore for Dying {
    fn append(&self, envelopes: &[Envelope]) -> Result<Appended, StoreError> {
        if self.is_dead.load(Ordering::SeqCst) {
            return Err(Self::dead());
        }
        if self.appends.fetch_sub(1, Ordering::SeqCst) > 0 {
            return self.inner.append(envelopes);
        }
        self.is_dead.store(true, Ordering::SeqCst);
        if self.keeps_last {
            self.inner.append(envelopes)?;
        }
        Err(Self::dead())
    }

    fn cursor(&self, agent: &str) -> Result<Cursor, StoreError> {
        self.inner.cursor(agent)
    }

    fn series(
        &self,
        check: &CheckId,
        vantage: &VantageId,
        range: Range<Timestamp>,
        newest: usize,
    ) -> Result<Series, StoreError> {
        self.inner.series(check, vantage, range, newest)
    }

    fn rollups(
        &self,
        series: &[(CheckId, VantageId)],
        step: Step,
        range: Range<Timestamp>,
    ) -> Result<Vec<Rollup>, StoreError> {
        self.inner.rollups(series, step, range)
    }

    fn all_series(&self) -> Result<Vec<(CheckId, VantageId)>, StoreError> {
        self.inner.all_series()
    }

    fn maintain(&self, now: Timestamp, keep: &Retention) -> Result<Maintained, StoreError> {
        self.inner.maintain(now, keep)
    }
}

/// What an agent has on its disk, and what it may take from there.
#[derive(Default)]
struct Spool {
    waits: VecDeque<u64>,
    acknowledged: u64,
}

impl Spool {
    fn kept(&mut self, number: u64) {
        self.acknowledged = self.acknowledged.max(number);
        while self.waits.front().is_some_and(|first| *first <= number) {
            self.waits.pop_front();
        }
    }
}

/// Delivers what waits until the hub dies or all is kept.
async fn deliver(room: &Room, peer: &Peer, vantage: &str, spool: &Mutex<Spool>) {
    let (mut wire, kept) = room.link_as(peer, hello(1)).await;
    spool.lock().unwrap().kept(kept);
    loop {
        let next: Vec<u64> = spool
            .lock()
            .unwrap()
            .waits
            .iter()
            .take(3)
            .copied()
            .collect();
        if next.is_empty() {
            return;
        }
        for number in &next {
            wire.deliver(*number, &packed(vantage, *number)).await;
        }
        let last = next[next.len() - 1];
        loop {
            match wire.hear().await {
                Some(ToAgent::Kept { number }) => {
                    spool.lock().unwrap().kept(number);
                    if number >= last {
                        break;
                    }
                }
                Some(ToAgent::Later { .. }) | None => return,
                Some(_) => {}
            }
        }
    }
}

/// Opens the store as soon as the life before has let go of it: its last thread ends by itself.
fn opened(path: &Path) -> Arc<Embedded> {
    let begun = std::time::Instant::now();
    loop {
        match Embedded::open(path, Options::new(start())) {
            Ok(store) => return Arc::new(store),
            Err(StoreError::Locked { .. }) if begun.elapsed() < FAR => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// One life of a hub, which dies at an append.
fn life(path: &Path, appends: i64, keeps_last: bool) -> Room {
    let store = opened(path);
    let dying = Dying {
        inner: store.clone(),
        appends: AtomicI64::new(appends),
        is_dead: AtomicBool::new(false),
        keeps_last,
    };
    let hub = testing::hub(start(), CONFIG);
    room_of(hub, Arc::new(dying), store, tempfile::tempdir().unwrap())
}

/// Many lives after each other: what was acknowledged is there once, in order, whenever it was that the
/// hub died.
#[test]
fn c07_a_hub_that_is_killed_has_everything_exactly_once() {
    const DELIVERIES: u64 = 60;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let vantages = ["fra", "nyc"];
    let spools = vantages.map(|_| {
        Mutex::new(Spool {
            waits: (1..=DELIVERIES).collect(),
            acknowledged: 0,
        })
    });
    let mut peers: Option<Vec<Peer>> = None;
    let is_done = || spools.iter().all(|s| s.lock().unwrap().waits.is_empty());
    let mut lives = 0;
    while !is_done() {
        lives += 1;
        assert!(lives < 200, "no life gets any further");
        // A runtime of its own: when it is dropped, everything of that life is.
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let room = life(&path, lives % 7, lives % 2 == 0);
            let peers = peers.get_or_insert_with(|| vantages.map(|v| room.enrol(v)).to_vec());
            tokio::join!(
                deliver(&room, &peers[0], vantages[0], &spools[0]),
                deliver(&room, &peers[1], vantages[1], &spools[1]),
            );
        });
        drop(runtime);
    }
    assert!(lives > 10, "{lives} lives: too few to show anything");
    let store = opened(&path);
    for vantage in vantages {
        let all = Timestamp::MIN..Timestamp::MAX;
        let id = VantageId::new(vantage);
        let runs = store.series(&check(), &id, all, usize::MAX).unwrap().runs;
        let sequences: Vec<u64> = runs.iter().map(|run| run.sequence).collect();
        assert_eq!(sequences, (1..=DELIVERIES).collect::<Vec<_>>(), "{vantage}");
    }
}
