//! Heartbeats over a store in memory and over the embedded one: what is answered is durable.

use std::path::Path;
use std::sync::Arc;

use bellwether_diagnose::heartbeat::Signal;
use bellwether_model::Verdict;
use bellwether_store::Change;
use bellwether_store::embedded::{Embedded, Options};

use super::*;
use crate::shared::Shared;
use crate::testing;

const CONFIG: &str = "
services: []
heartbeats:
  - { name: nightly, cron: '0 3 * * *', time_zone: Europe/Berlin, grace: 20m }
  - { name: hourly, every: 1h, grace: 5m }
";

fn begin() -> Timestamp {
    "2026-11-01T12:00:00Z".parse().unwrap()
}

fn at(seconds: u64) -> Timestamp {
    begin() + Duration::from_secs(seconds)
}

fn config(text: &str) -> Config {
    bellwether_config::parse(text, Path::new("b.yaml")).unwrap()
}

fn state_of(beats: &Beats, name: &str, now: Timestamp) -> Stand {
    let mut stands = beats.stands(now).into_iter();
    stands.find(|stand| stand.config.name == name).unwrap()
}

/// A hub whose heartbeats are kept.
fn kept(hub: &testing::Hub) -> tokio::task::JoinHandle<()> {
    tokio::spawn(run(hub.shared.clone()))
}

/// What another process finds.
fn again(hub: &testing::Hub, now: Timestamp) -> Beats {
    let dir = tempfile::tempdir().unwrap();
    let beats = Beats::open(&*hub.memory, dir.path(), [9; 32], now).unwrap();
    beats.configure(&config(CONFIG), now);
    beats
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_is_durable() {
    let hub = testing::hub(begin(), CONFIG);
    let keeper = kept(&hub);
    let ping = Ping::new(at(10), Signal::Exit(3));
    assert_eq!(hub.shared.beats.heard("hourly", &ping).await, Ok(()));
    // Killed in this instant.
    keeper.abort();
    let after = again(&hub, at(60));
    let stand = state_of(&after, "hourly", at(60));
    assert_eq!(
        stand.heard,
        state_of(&hub.shared.beats, "hourly", at(60)).heard
    );
    assert_eq!(stand.heard.ended.unwrap().exit, Some(3));
    assert_eq!(
        stand.heard.known_since,
        begin(),
        "a restart is no beginning"
    );
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_written_together() {
    let hub = testing::hub(begin(), CONFIG);
    let _keeper = kept(&hub);
    let before = hub.memory.commits();
    let ping = Ping::new(at(1), Signal::Success);
    let all = (0..10_000).map(|_| hub.shared.beats.heard("hourly", &ping));
    let done = futures_util::future::join_all(all).await;
    assert!(done.iter().all(Result::is_ok));
    let commits = hub.memory.commits() - before;
    assert!(commits <= 5, "{commits} writes");
    assert_eq!(hub.shared.beats.taken(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_nothing_makes_nobody_late() {
    let hub = testing::hub(begin(), CONFIG);
    let _keeper = kept(&hub);
    hub.memory.set_broken(true);
    let ping = Ping::new(at(3_000), Signal::Success);
    let beats = &hub.shared.beats;
    assert_eq!(beats.heard("hourly", &ping).await, Err(Refusal::NotKept));
    let stand = state_of(beats, "hourly", at(4_000));
    assert_eq!(stand.state.verdict, Verdict::Healthy, "it was heard");
    assert!(hub.shared.troubles().contains_key("heartbeats"));
    // It comes right by itself, and what could not be kept is.
    hub.memory.set_broken(false);
    let next = Ping::new(at(3_001), Signal::Log);
    assert_eq!(beats.heard("nightly", &next).await, Ok(()));
    assert!(hub.shared.troubles().is_empty());
    let after = again(&hub, at(4_000));
    let stand = state_of(&after, "hourly", at(4_000));
    assert_eq!(stand.heard.last_success, Some(at(3_000)));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_is_one_that_takes_nothing() {
    let hub = testing::hub(begin(), CONFIG);
    let _keeper = kept(&hub);
    hub.memory.panic_next();
    let ping = Ping::new(at(1), Signal::Success);
    let beats = &hub.shared.beats;
    // The mark that we can hear may be what met it.
    let first = beats.heard("hourly", &ping).await;
    assert!(first.is_ok() || beats.heard("hourly", &ping).await.is_ok());
}

#[tokio::test]
async fn a_disk_that_hangs_is_waited_for_no_longer_than_told() {
    let hub = testing::hub(begin(), CONFIG);
    let _keeper = kept(&hub);
    hub.memory.set_hanging(true);
    let ping = Ping::new(at(1), Signal::Success);
    let beats = &hub.shared.beats;
    // Without its own bound it would wait for ever.
    assert_eq!(beats.heard("hourly", &ping).await, Err(Refusal::NotKept));
    let stand = state_of(beats, "hourly", at(2));
    assert_eq!(stand.state.verdict, Verdict::Healthy);
    hub.memory.set_hanging(false);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_taken_out_is_forgotten_and_one_that_moves_begins_anew() {
    let hub = testing::hub(begin(), CONFIG);
    let _keeper = kept(&hub);
    let beats = &hub.shared.beats;
    for name in ["hourly", "nightly"] {
        let ping = Ping::new(at(1), Signal::Success);
        assert_eq!(beats.heard(name, &ping).await, Ok(()));
    }
    let less = "services: []\nheartbeats: [{ name: hourly, every: 2h, grace: 5m }]";
    beats.configure(&config(less), at(100));
    let stand = state_of(beats, "hourly", at(100));
    assert_eq!(stand.heard.last_success, Some(at(1)));
    assert_eq!(stand.state.due, Some(at(100 + 7_200)));
    let gone = Ping::new(at(101), Signal::Success);
    assert_eq!(beats.heard("nightly", &gone).await, Err(Refusal::Gone));
    let ping = Ping::new(at(102), Signal::Log);
    assert_eq!(beats.heard("hourly", &ping).await, Ok(()));
    let names: Vec<String> = hub
        .memory
        .checkpoints(HEARD)
        .unwrap()
        .into_iter()
        .map(|(k, _)| k)
        .collect();
    assert_eq!(names, ["heartbeat/hourly"]);
    // With another grace alone it is the same.
    let grace = "services: []\nheartbeats: [{ name: hourly, every: 2h, grace: 1m }]";
    beats.configure(&config(grace), at(200));
    assert_eq!(
        state_of(beats, "hourly", at(200)).heard.known_since,
        at(100)
    );
}

#[test]
fn what_fell_due_while_we_were_away_has_its_grace_anew() {
    let hub = testing::hub(begin(), CONFIG);
    let mark = |name: &str, value: Vec<u8>| Change::Checkpoint {
        key: name.to_owned(),
        bytes: Some(value),
    };
    let mut heard = Heard::new(begin());
    heard.ping(&Ping::new(at(0), Signal::Success));
    let kept = Kept {
        v: VERSION,
        rhythm: "every 3600 s".to_owned(),
        heard,
    };
    let changes = [
        mark("heartbeat/hourly", serde_json::to_vec(&kept).unwrap()),
        mark("heartbeat/nightly", b"of another world".to_vec()),
        mark(ALIVE, serde_json::to_vec(&at(3_000)).unwrap()),
    ];
    hub.memory.commit(&changes).unwrap();
    // Due at 3,600, late after 3,900; we are back at 7,000.
    let dir = tempfile::tempdir().unwrap();
    let beats = Beats::open(&*hub.memory, dir.path(), [9; 32], at(7_000)).unwrap();
    beats.configure(&config(CONFIG), at(7_000));
    let verdict = |seconds| state_of(&beats, "hourly", at(seconds)).state.verdict;
    assert_eq!(verdict(7_300), Verdict::Unknown);
    assert_eq!(verdict(7_301), Verdict::Broken);
    let path = |beats: &Beats| state_of(beats, "hourly", at(0)).paths;
    let other = Beats::open(&*hub.memory, dir.path(), [1; 32], at(8_000)).unwrap();
    other.configure(&config(CONFIG), at(8_000));
    assert_eq!(path(&beats), path(&other), "URLs outlive the process");
}

#[test]
fn a_machine_that_slept_holds_nothing_against_anybody() {
    let hub = testing::hub(begin(), CONFIG);
    let beats = &hub.shared.beats;
    {
        let mut held = beats.held();
        let beat = held.beats.get_mut("hourly").unwrap();
        beat.heard.ping(&Ping::new(at(100), Signal::Success));
    }
    beats.clock_moved(SignedDuration::from_secs(36_000), at(37_000));
    let stand = state_of(beats, "hourly", at(37_000));
    assert_eq!(stand.state.verdict, Verdict::Healthy);
    beats.clock_moved(SignedDuration::from_secs(-36_000), at(1_000));
    let stand = state_of(beats, "hourly", at(1_000));
    assert_eq!(stand.heard.last_success, Some(at(1_000)));
}

/// What the embedded store was told before it is left without a word is there afterwards.
#[tokio::test]
async fn signals_outlive_a_process_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let open = |now| Arc::new(Embedded::open(dir.path(), Options::new(now)).unwrap());
    let store = open(begin());
    let hub = testing::hub(begin(), CONFIG);
    let beats = Beats::open(&*store, dir.path(), [3; 32], begin()).unwrap();
    beats.configure(&config(CONFIG), begin());
    let shared = Arc::into_inner(hub.shared).unwrap();
    let shared = Arc::new(Shared {
        beats,
        state: store.clone(),
        ..shared
    });
    let keeper = tokio::spawn(run(shared.clone()));
    let mut kept = 0;
    for seconds in 0..50 {
        let ping = Ping::new(at(seconds), Signal::Success);
        if shared.beats.heard("hourly", &ping).await.is_ok() {
            kept = seconds;
        }
    }
    assert_eq!(kept, 49);
    keeper.abort();
    let _ = keeper.await;
    drop(shared);
    drop(store);
    let store = open(at(100));
    let after = Beats::open(&*store, dir.path(), [4; 32], at(100)).unwrap();
    after.configure(&config(CONFIG), at(100));
    let stand = state_of(&after, "hourly", at(100));
    assert_eq!(stand.heard.last_success, Some(at(49)));
    assert_eq!(stand.heard.pings, 50);
}
