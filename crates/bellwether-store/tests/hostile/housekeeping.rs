//! What goes and what stays, in which order.

use bellwether_model::Digest;
use bellwether_model::incident::IncidentState;
use bellwether_store::{Change, ObservationStore, Retention, StateStore};

use crate::answers::*;
use crate::common::*;

#[test]
fn evidence_of_an_unresolved_incident_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), NOON);
    let pieces: Vec<Vec<u8>> = (0..6u8).map(|n| vec![n; 40]).collect();
    let digests: Vec<Digest> = pieces.iter().map(|piece| digest_of(piece)).collect();
    let mut changes: Vec<Change> = pieces
        .iter()
        .map(|bytes| Change::Evidence {
            at: at(NOON),
            bytes: bytes.clone(),
        })
        .collect();
    let open_one = incident(1, IncidentState::Open, vec![digests[0]]);
    let resolved = incident(2, IncidentState::Resolved, digests[1..4].to_vec());
    changes.push(Change::Incident(Box::new(open_one)));
    changes.push(Change::Incident(Box::new(resolved)));
    store.commit(&changes).unwrap();
    // A single day that far ahead may be a clock that is wrong: the third one shows it to be right.
    for (day, expected) in [
        (40, [true; 6]),
        (41, [true; 6]),
        (42, [true, true, false, true, false, false]),
    ] {
        store.maintain(at(NOON + 86_400 * day), &KEEP).unwrap();
        let kept: Vec<bool> = digests
            .iter()
            .map(|digest| store.evidence(digest).unwrap().is_some())
            .collect();
        assert_eq!(kept, expected, "day {day}");
    }
}

#[test]
fn a_clock_far_ahead_drops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), NOON);
    fill(&store, 0..20);
    for day in 1..3 {
        store.maintain(at(NOON + 86_400 * day), &KEEP).unwrap();
    }
    let truth = answers(&store);
    for minute in 0..3 {
        let ahead = at(NOON + 86_400 * 4_000 + minute * 60);
        let done = store.maintain(ahead, &KEEP).unwrap();
        assert_eq!(done.dropped, Vec::<String>::new());
    }
    store.maintain(at(NOON + 86_400 * 2 + 60), &KEEP).unwrap();
    assert!(answers(&store) == truth, "everything is still there");
}

#[test]
fn evidence_that_nobody_names_goes_before_any_day() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), NOON);
    let noise = |n: u64| {
        let mut bytes = vec![0; 20_000];
        fastrand::Rng::with_seed(n).fill(&mut bytes);
        bytes
    };
    for day in 0..2 {
        fill(&store, day * 20..day * 20 + 20);
        store
            .maintain(at(NOON + 86_400 * (day + 1)), &KEEP)
            .unwrap();
    }
    let before = store.bytes().unwrap();
    let piece = |n: u64| Change::Evidence {
        at: at(NOON + n as i64),
        bytes: noise(n),
    };
    let named = digest_of(&noise(3));
    let resolved = incident(
        1,
        IncidentState::Resolved,
        vec![digest_of(&noise(0)), named],
    );
    let mut changes: Vec<Change> = (0..200).map(piece).collect();
    changes.push(Change::Incident(Box::new(resolved)));
    store.commit(&changes).unwrap();
    let keep = Retention {
        max_bytes: before + 1_500_000,
        ..KEEP
    };
    let now = at(NOON + 86_400 * 2 + 60);
    assert!(store.bytes().unwrap() > keep.max_bytes + 2_000_000);
    let done = store.maintain(now, &keep).unwrap();
    assert_eq!(done.dropped, Vec::<String>::new(), "no day went");
    assert_eq!(all_runs(&store, 0).runs.len(), 40);
    assert!(store.bytes().unwrap() <= keep.max_bytes, "the file shrank");
    let kept = |n: u64| store.evidence(&digest_of(&noise(n))).unwrap().is_some();
    assert_eq!([0, 1, 3, 199].map(kept), [true, false, true, true]);
    drop(store);
    assert_eq!(
        bellwether_store::embedded::check(dir.path())
            .unwrap()
            .problems,
        []
    );
}

#[test]
fn the_oldest_day_goes_when_all_is_too_large() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), NOON);
    for day in 0..3 {
        fill(&store, day * 20..day * 20 + 20);
        store
            .maintain(at(NOON + 86_400 * (day + 1)), &KEEP)
            .unwrap();
    }
    // Without what the log of the state takes: that goes before any day.
    rusqlite::Connection::open(dir.path().join("state.db"))
        .unwrap()
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    let keep = Retention {
        max_bytes: store.bytes().unwrap() - 1,
        ..KEEP
    };
    let done = store.maintain(at(NOON + 86_400 * 3 + 60), &keep).unwrap();
    assert_eq!(done.dropped, ["2026-03-10"]);
    assert_eq!(all_runs(&store, 0).runs.len(), 40);
}
