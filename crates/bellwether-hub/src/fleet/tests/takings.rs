//! Deliveries that are still on their way into the store when their link is gone.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};

use bellwether_model::Envelope;
use bellwether_store::{Appended, Cursor, Maintained, Retention, Rollup, Series, Step, StoreError};
use tokio::sync::watch;

use super::super::Sat;
use super::super::taking::{Done, Memory as Remembered, Taking};
use super::*;
use crate::testing::Memory;

/// A store whose appends wait until they may go on, or fail though the disk has them.
struct Slow {
    inner: Arc<Memory>,
    is_held: Mutex<bool>,
    goes_on: Condvar,
    /// Appends that have begun.
    begun: watch::Sender<u32>,
    /// Was it asked how far an agent is while something of it was on its way?
    was_asked: AtomicBool,
    /// Is the next append durable, and said not to be?
    lies: AtomicBool,
    /// What it says meanwhile of how far an agent is.
    said: Mutex<Option<Cursor>>,
}

impl Slow {
    fn new(inner: Arc<Memory>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            is_held: Mutex::new(false),
            goes_on: Condvar::new(),
            begun: watch::Sender::new(0),
            was_asked: AtomicBool::new(false),
            lies: AtomicBool::new(false),
            said: Mutex::new(None),
        })
    }

    fn hold(&self, is_held: bool) {
        *self.is_held.lock().unwrap() = is_held;
        self.goes_on.notify_all();
    }
}

impl ObservationStore for Slow {
    fn append(&self, envelopes: &[Envelope]) -> Result<Appended, StoreError> {
        self.begun.send_modify(|begun| *begun += 1);
        let held = self.is_held.lock().unwrap();
        drop(self.goes_on.wait_while(held, |held| *held).unwrap());
        if self.lies.swap(false, Ordering::SeqCst) {
            let before = self.inner.cursor(&envelopes[0].agent)?;
            *self.said.lock().unwrap() = Some(before);
            self.inner.append(envelopes)?;
            return Err(StoreError::Other("nobody knows".to_owned()));
        }
        *self.said.lock().unwrap() = None;
        self.inner.append(envelopes)
    }

    fn cursor(&self, agent: &str) -> Result<Cursor, StoreError> {
        let is_on_its_way = *self.is_held.lock().unwrap() && *self.begun.borrow() > 0;
        if is_on_its_way && agent.starts_with("fra/") {
            self.was_asked.store(true, Ordering::SeqCst);
        }
        let said = *self.said.lock().unwrap();
        said.map_or_else(|| self.inner.cursor(agent), Ok)
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

fn slow() -> (Arc<Slow>, Room) {
    let hub = testing::hub(start(), CONFIG);
    let memory = hub.memory.clone();
    let store = Slow::new(memory.clone());
    let dir = tempfile::tempdir().unwrap();
    let room = room_of(hub, store.clone(), memory, dir);
    (store, room)
}

/// Until an agent's newest link is one of this start.
async fn seated(room: &Room, boot: u64) {
    let is_seated = async {
        let fra = VantageId::new("fra");
        while room.fleet().seats().get(&fra).map(|seat| seat.boot) != Some(boot) {
            tokio::task::yield_now().await;
        }
    };
    timeout(FAR, is_seated).await.expect("it comes");
}

#[tokio::test]
async fn c07_a_link_begins_behind_what_came_over_the_one_before() {
    let (store, room) = slow();
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    store.hold(true);
    let mut begun = store.begun.subscribe();
    wire.deliver(1, &packed("fra", 1)).await;
    let begins = timeout(FAR, begun.wait_for(|begun| *begun == 1));
    drop(begins.await.unwrap().unwrap());
    drop(wire);
    let mut wire = room.connect(Some(peer.clone()));
    wire.say(&ToHub::Hello(hello(2))).await;
    seated(&room, 2).await;
    // Time enough to look at what is not there yet: others link meanwhile.
    let nyc = room.enrol("nyc");
    for _ in 0..5 {
        room.link(&nyc).await;
    }
    store.hold(false);
    assert_eq!(wire.welcomed().await, 1);
    assert!(!store.was_asked.load(Ordering::SeqCst));
    // An agent that lost what it had makes another one of the next number, and it is kept.
    wire.deliver(2, &packed("fra", 9)).await;
    assert_eq!(wire.kept().await, 2);
    let sequences = room.runs(&check(), "fra").into_iter();
    let sequences = sequences.map(|run| run.sequence).collect::<Vec<_>>();
    assert_eq!(sequences, [1, 9]);
}

#[tokio::test]
async fn c07_what_an_old_link_still_has_is_left_to_the_new_one() {
    let (_store, room) = slow();
    let peer = room.enrol("fra");
    let vantage = VantageId::new("fra");
    let Sat { number, turn, .. } = room.fleet().sit(&vantage, "1", 1);
    room.fleet().sit(&vantage, "1", 2);
    let taking = Taking {
        host: room.host.clone(),
        vantage,
        agent: peer.agent.as_str().into(),
        boot: 1,
        offset_ms: None,
        missing: 0,
        is_again: false,
        seat: number,
        turn,
    };
    let (done, _) = taking
        .take(1, packed("fra", 1), Remembered::default())
        .await;
    assert!(matches!(done, Done::Later(_)));
    assert!(room.runs(&check(), "fra").is_empty());
}

#[tokio::test]
async fn p17_what_the_disk_has_though_it_said_no_is_neither_lost_nor_there_twice() {
    let (store, mut room) = slow();
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    let later = async |wire: &mut Wire<DuplexStream>| {
        wire.hear_until(|heard| matches!(heard, ToAgent::Later { .. }).then_some(()))
            .await;
    };
    store.lies.store(true, Ordering::SeqCst);
    wire.deliver(1, &packed("fra", 1)).await;
    later(&mut wire).await;
    wire.deliver(1, &packed("fra", 1)).await;
    assert_eq!(wire.kept().await, 1);
    let judged = room.judged.recv().await.unwrap();
    assert_eq!(judged.harvest.len(), 1, "nobody had judged it");
    // Another start, which lost what it had: something else comes under the same number.
    store.lies.store(true, Ordering::SeqCst);
    wire.deliver(2, &packed("fra", 2)).await;
    later(&mut wire).await;
    drop(wire);
    let (mut wire, kept) = room.link_as(&peer, hello(2)).await;
    assert_eq!(kept, 1, "as far as the store knows");
    wire.deliver(2, &packed("fra", 7)).await;
    assert_eq!(wire.refused().await.0, Refusal::Busy, "and begins anew");
    let (mut wire, kept) = room.link_as(&peer, hello(2)).await;
    assert_eq!(kept, 2);
    wire.deliver(3, &packed("fra", 7)).await;
    assert_eq!(wire.kept().await, 3);
    let sequences = room.runs(&check(), "fra").into_iter();
    let sequences = sequences.map(|run| run.sequence).collect::<Vec<_>>();
    assert_eq!(sequences, [1, 2, 7]);
}
