//! What is put into the embedded store comes out of it.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod common;

use bellwether_model::incident::IncidentState;
use bellwether_store::{Change, Cursor, Notice, ObservationStore, StateStore};
use common::*;

fn minute_runs(checks: usize, minutes: i64) -> Vec<bellwether_model::Run> {
    let mut sequence = 0;
    let mut runs = Vec::new();
    for minute in 0..minutes {
        for check in 0..checks {
            sequence += 1;
            runs.push(run(check, 60_000, NOON + minute * 60, sequence));
        }
    }
    runs
}

fn expected(runs: &[bellwether_model::Run], check: usize) -> Vec<bellwether_model::Run> {
    let mut expected: Vec<_> = runs
        .iter()
        .filter(|run| run.check == check_of(check))
        .cloned()
        .collect();
    expected.sort_by_key(bellwether_model::Run::began);
    expected
}

#[test]
fn p01_what_is_appended_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let runs = minute_runs(5, 90);
    let store = open(dir.path(), NOON);
    for (number, chunk) in runs.chunks(40).enumerate() {
        let appended = store
            .append(&[envelope("a", number as u64 + 1, chunk.to_vec())])
            .unwrap();
        assert_eq!(
            (appended.runs, appended.repeated, appended.missing),
            (chunk.len(), 0, 0)
        );
    }
    for check in 0..5 {
        assert_eq!(all_runs(&store, check).runs, expected(&runs, check));
    }
    drop(store);
    let store = open(dir.path(), NOON);
    for check in 0..5 {
        let series = all_runs(&store, check);
        assert_eq!(series.gaps, []);
        assert_eq!(series.runs, expected(&runs, check));
    }
    let again = store
        .append(&[envelope("a", 3, runs[..2].to_vec())])
        .unwrap();
    assert_eq!((again.runs, again.repeated), (0, 1));
}

#[test]
fn p01_state_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), NOON);
    let opened = incident(1, IncidentState::Open, vec![]);
    let notice = Notice {
        id: 0,
        incident: 1,
        at: at(NOON),
        kind: "opened".into(),
        text: "x".into(),
    };
    store
        .commit(&[
            Change::Incident(Box::new(opened.clone())),
            Change::Notice(notice.clone()),
        ])
        .unwrap();
    drop(store);
    let store = open(dir.path(), NOON);
    assert_eq!(store.open_incidents().unwrap(), [opened]);
    assert_eq!(store.next_incident().unwrap(), 2);
    assert_eq!(store.outbox(10).unwrap(), [Notice { id: 1, ..notice }]);
}

#[test]
fn runs_go_through_parts_blocks_and_days_and_stay_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), NOON);
    let every = |check: usize| if check == 4 { 300_000u32 } else { 60_000 };
    let mut all = Vec::new();
    let mut sequence = 0;
    let mut number = 0;
    // Fourteen hours from noon: the day changes.
    for minute in 0..14 * 60 {
        let mut runs = Vec::new();
        for check in 0..5 {
            if minute * 60_000 % i64::from(every(check)) == 0 {
                sequence += 1;
                runs.push(run(check, every(check), NOON + minute * 60, sequence));
            }
        }
        number += 1;
        store
            .append(&[envelope("a", number, runs.clone())])
            .unwrap();
        all.extend(runs);
        if minute % 5 == 0 {
            store.maintain(at(NOON + minute * 60), &KEEP).unwrap();
        }
        if minute % 200 == 199 {
            for check in 0..5 {
                let series = all_runs(&store, check);
                assert_eq!(series.gaps, []);
                assert_eq!(
                    series.runs,
                    expected(&all, check),
                    "check {check} at minute {minute}"
                );
            }
        }
    }
    let report = bellwether_store::embedded::check(dir.path()).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(report.runs, all.len() as u64);
    drop(store);
    let store = open(dir.path(), NOON + 14 * 3600);
    assert_eq!(store.cursor("a").unwrap().number, number);
    for check in 0..5 {
        assert_eq!(all_runs(&store, check).runs, expected(&all, check));
    }
    let files = std::fs::read_dir(dir.path().join("results")).unwrap();
    let names: Vec<_> = files.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        names.iter().any(|name| name == "2026-03-10.db"),
        "{names:?}"
    );
    assert!(
        names.iter().any(|name| name == "2026-03-11.db"),
        "{names:?}"
    );
}

#[test]
fn the_embedded_store_conforms() {
    let mut dirs = Vec::new();
    bellwether_store::conformance::all(|| {
        let dir = tempfile::tempdir().unwrap();
        let now = bellwether_store::conformance::BEGIN;
        let store = bellwether_store::Embedded::open(dir.path(), options(now)).unwrap();
        dirs.push(dir);
        let store = std::sync::Arc::new(store);
        bellwether_store::conformance::Subject {
            observations: store.clone(),
            state: store,
        }
    });
}

/// Many runs of many series are folded while an incident is on: appends and changes of state get in
/// between. How long they wait is measured by the example `measure`.
#[test]
fn hostile_s15_folding_lets_others_write_in_between() {
    const SERIES: usize = 2500;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), NOON);
    let mut sequence = 0;
    for minute in 0..8 {
        let runs = (0..SERIES).map(|check| {
            sequence += 1;
            run(check, 60_000, NOON + minute * 60, sequence)
        });
        let runs: Vec<_> = runs.collect();
        store
            .append(&[envelope("a", minute as u64 + 1, runs)])
            .unwrap();
    }
    let done = std::sync::atomic::AtomicBool::new(false);
    let in_between = std::thread::scope(|scope| {
        let folding = scope.spawn(|| {
            let done_work = store.maintain(at(NOON + 2 * 3600), &KEEP).unwrap();
            done.store(true, std::sync::atomic::Ordering::Release);
            done_work.folded
        });
        let mut in_between = 0;
        for number in 1.. {
            if done.load(std::sync::atomic::Ordering::Acquire) {
                break;
            }
            let runs = vec![run(0, 60_000, NOON + number as i64 * 60, number)];
            store.append(&[envelope("b", number, runs)]).unwrap();
            let incident = incident(number, IncidentState::Open, vec![]);
            store
                .commit(&[Change::Incident(Box::new(incident))])
                .unwrap();
            in_between = number;
        }
        assert!(folding.join().unwrap() >= SERIES * 8);
        in_between
    });
    assert!(in_between > 1, "{in_between} writes in between");
    assert_eq!(store.cursor("b").unwrap().number, in_between);
    assert_eq!(all_runs(&store, 0).runs.len() as u64, 8 + in_between);
    assert_eq!(store.next_incident().unwrap(), in_between + 1);
}

#[test]
fn a_path_may_hold_anything_that_a_text_may() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path().join("bell wether?mode=ro#a%20b'c\"d;ü");
    let copied = work.path().join("a copy's \"place\"");
    let runs = minute_runs(2, 5);
    let store = open(&dir, NOON);
    store.append(&[envelope("a", 1, runs.clone())]).unwrap();
    store.maintain(at(NOON + 86_400), &KEEP).unwrap();
    store.backup(&copied).unwrap();
    drop(store);
    for dir in [&dir, &copied] {
        let report = bellwether_store::embedded::check(dir).unwrap();
        assert_eq!((report.problems, report.runs), (vec![], 10));
        let store = open(dir, NOON + 86_460);
        assert_eq!(all_runs(&store, 1).runs, expected(&runs, 1));
    }
}

/// Files of 0.1 have cursors without a start: one that is written to gets it, one that is closed is read
/// as it is.
#[test]
fn cursors_of_an_older_schema_are_read() {
    for is_closed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), NOON);
        let old = bellwether_model::Envelope {
            boot: 0,
            ..envelope("a", 3, vec![run(0, 60_000, NOON, 1)])
        };
        store.append(&[old]).unwrap();
        if is_closed {
            // The next day's file is lost after this one was closed.
            for hour in 1..30 {
                store.maintain(at(NOON + hour * 3_600), &KEEP).unwrap();
            }
        }
        drop(store);
        for lost in ["11", "12"] {
            let _ = std::fs::remove_file(dir.path().join(format!("results/2026-03-{lost}.db")));
        }
        let path = dir.path().join("results/2026-03-10.db");
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection
            .execute_batch("ALTER TABLE cursor DROP COLUMN boot; PRAGMA user_version = 1;")
            .unwrap();
        drop(connection);
        let store = open(dir.path(), NOON + 86_400);
        assert_eq!(store.cursor("a").unwrap(), Cursor { number: 3, boot: 0 });
        let next = envelope("a", 4, vec![run(0, 60_000, NOON + 60, 2)]);
        assert_eq!(store.append(&[next]).unwrap().missing, 0);
        drop(store);
        let schema: u32 = rusqlite::Connection::open(&path)
            .unwrap()
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap();
        assert_eq!(schema, if is_closed { 1 } else { 2 });
        let store = open(dir.path(), NOON + 86_400);
        assert_eq!(store.cursor("a").unwrap(), Cursor { number: 4, boot: 7 });
        let report = bellwether_store::embedded::check(dir.path()).unwrap();
        let is_loss = |what: &str| what == "the file of 2026-03-11 is missing";
        assert!(report.problems.iter().all(|problem| is_loss(&problem.what)));
    }
}
