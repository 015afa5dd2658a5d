//! Damaged files, full disks, missing files, wrong versions, two processes: found and told, never a
//! wrong answer.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bellwether_model::incident::IncidentState;
use bellwether_model::{CheckId, Digest, Incident, VantageId};
use bellwether_store::{
    Change, CounterRow, Embedded, Gap, Notice, ObservationStore, Retention, Rollup, StateStore,
    Step, StoreError, Token,
};
use common::*;

fn fill(store: &Embedded, minutes: std::ops::Range<i64>) {
    for minute in minutes {
        let number = minute as u64 + 1;
        let runs =
            (0..3).map(|check| run(check, 60_000, NOON + minute * 60, number * 3 + check as u64));
        store
            .append(&[envelope("a", number, runs.collect())])
            .unwrap();
    }
}

fn fill_state(store: &Embedded) {
    let evidence = |n: u8| Change::Evidence {
        at: at(NOON),
        bytes: vec![n; 500],
    };
    let counter = CounterRow {
        source: "edge".into(),
        service: "shop".into(),
        from: at(NOON),
        to: at(NOON + 60),
        attributes: vec![],
        total: 9,
        failed: 1,
    };
    let token = Token {
        name: "ci".into(),
        hash: Digest([5; 32]),
        scopes: vec!["read".into()],
        created: at(NOON),
        expires: None,
    };
    let notice = Notice {
        id: 0,
        incident: 1,
        at: at(NOON),
        kind: "opened".into(),
        text: "x".into(),
    };
    store
        .commit(&[
            Change::Incident(Box::new(incident(1, IncidentState::Open, vec![]))),
            Change::Incident(Box::new(incident(2, IncidentState::Resolved, vec![]))),
            Change::Notice(notice),
            Change::Counters(vec![counter]),
            Change::Token(token),
            Change::Checkpoint {
                key: "k".into(),
                bytes: Some(vec![1; 300]),
            },
        ])
        .unwrap();
    store
        .commit(&(0..5).map(evidence).collect::<Vec<_>>())
        .unwrap();
}

/// Everything that a store can be asked here; an error is none.
#[derive(PartialEq)]
struct Answers {
    series: Vec<(Vec<bellwether_model::Run>, Vec<Gap>)>,
    rollups: Vec<Option<Vec<Rollup>>>,
    cursor: Option<u64>,
    names: Option<Vec<(CheckId, VantageId)>>,
    incidents: Option<Vec<Incident>>,
    open: Option<Vec<Incident>>,
    outbox: Option<Vec<Notice>>,
    tokens: Option<Vec<Token>>,
    counters: Option<Vec<CounterRow>>,
    evidence: Vec<Option<Option<Vec<u8>>>>,
    checkpoint: Option<Option<Vec<u8>>>,
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest(<sha2::Sha256 as sha2::Digest>::digest(bytes).into())
}

fn answers(store: &Embedded) -> Answers {
    let series = (0..3).map(|check| {
        let series = all_runs(store, check);
        (series.runs, series.gaps)
    });
    let range = at(NOON - 86_400)..at(NOON + 86_400 * 2);
    let rollups = (0..3).flat_map(|check| {
        [Step::Hour, Step::Day].map(|step| {
            store
                .rollups(&[(check_of(check), vantage())], step, range.clone())
                .ok()
        })
    });
    Answers {
        series: series.collect(),
        rollups: rollups.collect(),
        cursor: store.cursor("a").ok(),
        names: store.all_series().ok(),
        incidents: store.incidents(None, 10).ok(),
        open: store.open_incidents().ok(),
        outbox: store.outbox(10).ok(),
        tokens: store.tokens().ok(),
        counters: store.counters("shop", at(NOON)..at(NOON + 60)).ok(),
        evidence: (0..5u8)
            .map(|n| store.evidence(&digest_of(&[n; 500])).ok())
            .collect(),
        checkpoint: store.checkpoint("k").ok(),
    }
}

/// What is wrong with answers of a store with a flipped byte: a difference of which nobody tells.
fn silent(found: &Answers, truth: &Answers, told: bool) -> Option<&'static str> {
    for ((runs, gaps), (expected, _)) in found.series.iter().zip(&truth.series) {
        if runs.iter().any(|run| !expected.contains(run)) {
            return Some("a run that never was");
        }
        if runs != expected && gaps.is_empty() && !told {
            return Some("runs missing");
        }
    }
    let differ = |name, same: bool| (!same && !told).then_some(name);
    let rollups = found.rollups.iter().zip(&truth.rollups);
    let rollups = rollups
        .clone()
        .all(|(found, truth)| found.is_none() || found == truth);
    let evidence = found.evidence.iter().zip(&truth.evidence);
    let evidence = evidence
        .clone()
        .all(|(found, truth)| found.is_none() || found == truth);
    differ("roll-ups", rollups)
        .or(differ("evidence", evidence))
        .or(differ("cursor", found.cursor == truth.cursor))
        .or(differ("names", found.names == truth.names))
        .or(differ(
            "incidents",
            found.incidents.is_none() || found.incidents == truth.incidents,
        ))
        .or(differ(
            "open",
            found.open.is_none() || found.open == truth.open,
        ))
        .or(differ(
            "outbox",
            found.outbox.is_none() || found.outbox == truth.outbox,
        ))
        .or(differ(
            "tokens",
            found.tokens.is_none() || found.tokens == truth.tokens,
        ))
        .or(differ(
            "counters",
            found.counters.is_none() || found.counters == truth.counters,
        ))
        .or(differ(
            "checkpoint",
            found.checkpoint.is_none() || found.checkpoint == truth.checkpoint,
        ))
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_in(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    for path in files_in(from) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // The lock and the reserve say nothing, and shared memory is built anew.
        if name == "lock" || name == "reserve" || name.ends_with("-shm") {
            continue;
        }
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&path, target).unwrap();
    }
}

/// A store with a closed day, blocks, parts, an inbox, roll-ups and state; copied while it is open,
/// so that logs are among its files.
fn made(dir: &Path) -> PathBuf {
    let (live, still) = (dir.join("live"), dir.join("still"));
    let store = open(&live, NOON);
    fill(&store, 0..100);
    fill_state(&store);
    store.maintain(at(NOON + 86_400), &KEEP).unwrap();
    fill(&store, 100..200);
    store.maintain(at(NOON + 86_400 + 5 * 3600), &KEEP).unwrap();
    fill(&store, 200..230);
    store
        .maintain(at(NOON + 86_400 + 5 * 3600 + 660), &KEEP)
        .unwrap();
    fill(&store, 230..240);
    copy(&live, &still);
    still
}

#[test]
fn p18_hostile_s7_a_flipped_byte_is_harmless_or_found() {
    let work = tempfile::tempdir().unwrap();
    let still = made(work.path());
    let damaged = work.path().join("damaged");
    let now = NOON + 86_400 + 6 * 3600;
    let truth = {
        copy(&still, &damaged);
        answers(&open(&damaged, now))
    };
    assert!(
        truth
            .series
            .iter()
            .all(|(runs, gaps)| runs.len() == 240 && gaps.is_empty())
    );
    let places: Vec<(PathBuf, usize)> = files_in(&still)
        .into_iter()
        .flat_map(|path| {
            let len = fs::metadata(&path).unwrap().len() as usize;
            (0..len).step_by(64).map(move |at| (path.clone(), at))
        })
        .collect();
    // Every 64th byte takes minutes; `BELLWETHER_STORE_FLIPS` says how many of them to try.
    let most: usize =
        std::env::var("BELLWETHER_STORE_FLIPS").map_or(150, |most| most.parse().unwrap());
    let step = (places.len() / most).max(1);
    let (mut harmless, mut found) = (0, 0);
    for (path, place) in places.iter().step_by(step) {
        fs::remove_dir_all(&damaged).unwrap();
        copy(&still, &damaged);
        let target = damaged.join(path.strip_prefix(&still).unwrap());
        let mut bytes = fs::read(&target).unwrap();
        // Any byte of the 64 may be hit, and any bit of it.
        let hit = (place + place / 64 % 64).min(bytes.len() - 1);
        bytes[hit] ^= 1 << (place / 64 % 8);
        fs::write(&target, bytes).unwrap();
        let Ok(store) = Embedded::open(&damaged, options(at(now))) else {
            found += 1;
            continue;
        };
        let answers = answers(&store);
        let done = store.maintain(at(now), &KEEP);
        let told = !store.notes().is_empty() || done.map_or(true, |done| !done.damage.is_empty());
        if let Some(what) = silent(&answers, &truth, told) {
            panic!("byte {hit} of {}: {what}", path.display());
        }
        if answers == truth {
            harmless += 1
        } else {
            found += 1
        }
    }
    assert!(
        harmless > 0 && found > 0,
        "{harmless} harmless, {found} found"
    );
}

#[test]
fn hostile_s12_a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), NOON);
    let second = Embedded::open(dir.path(), options(at(NOON)));
    match second {
        Err(StoreError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(store);
    open(dir.path(), NOON);
}

#[test]
fn hostile_s14_a_newer_schema_is_refused() {
    for name in ["state.db", "results/2026-03-10.db", "rollup.db"] {
        let dir = tempfile::tempdir().unwrap();
        fill(&open(dir.path(), NOON), 0..3);
        let path = dir.path().join(name);
        rusqlite::Connection::open(&path)
            .unwrap()
            .execute_batch("PRAGMA user_version = 99")
            .unwrap();
        let error = Embedded::open(dir.path(), options(at(NOON))).unwrap_err();
        assert!(
            matches!(error, StoreError::Newer { found: 99, .. }),
            "{name}: {error:?}"
        );
        assert!(error.to_string().contains("use a newer bellwether"));
    }
}

#[test]
fn hostile_s8_a_file_that_is_taken_away_is_told_of_and_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), NOON);
    fill(&store, 0..10);
    fill_state(&store);
    let truth = answers(&store);
    for path in ["state.db", "results/2026-03-10.db", "rollup.db"] {
        fs::remove_file(dir.path().join(path)).unwrap();
    }
    let done = store.maintain(at(NOON + 60), &KEEP).unwrap();
    assert_eq!(done.damage.len(), 3, "{:?}", done.damage);
    fill(&store, 10..11);
    drop(store);
    let store = open(dir.path(), NOON + 120);
    assert_eq!(store.cursor("a").unwrap(), 11);
    assert_eq!(store.incidents(None, 10).unwrap(), truth.incidents.unwrap());
    assert_eq!(all_runs(&store, 0).runs.len(), 11);
    assert_eq!(all_runs(&store, 0).gaps, []);
}

#[test]
fn hostile_s8_a_day_that_is_missing_is_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), NOON);
    fill(&store, 0..10);
    store.maintain(at(NOON + 86_400), &KEEP).unwrap();
    fs::remove_file(dir.path().join("results/2026-03-10.db")).unwrap();
    let done = store.maintain(at(NOON + 86_460), &KEEP).unwrap();
    assert_eq!(done.damage.len(), 1, "{:?}", done.damage);
    assert_eq!(all_runs(&store, 0).gaps.len(), 1);
    drop(store);
    let store = open(dir.path(), NOON + 86_520);
    assert_eq!(all_runs(&store, 0).gaps.len(), 1, "nobody forgets it");
}

#[test]
fn state_that_is_missing_is_no_new_beginning() {
    let dir = tempfile::tempdir().unwrap();
    fill(&open(dir.path(), NOON), 0..3);
    fs::remove_file(dir.path().join("state.db")).unwrap();
    let error = Embedded::open(dir.path(), options(at(NOON))).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("restore the data directory from a backup"),
        "{error}"
    );
}

#[test]
fn a_bad_day_is_set_aside_and_the_rest_serves_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), NOON);
    fill(&store, 0..10);
    store.maintain(at(NOON + 86_400), &KEEP).unwrap();
    fill(&store, 10..20);
    drop(store);
    let path = dir.path().join("results/2026-03-11.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[..100].fill(7);
    fs::write(&path, bytes).unwrap();
    let store = open(dir.path(), NOON + 86_460);
    let series = all_runs(&store, 0);
    assert_eq!(series.runs.len(), 10);
    assert_eq!(series.gaps.len(), 1);
    assert!(dir.path().join("results/2026-03-11.db.damaged").exists());
    fill(&store, 20..30);
    assert_eq!(all_runs(&store, 0).runs.len(), 20);
    let done = store.maintain(at(NOON + 86_470), &KEEP).unwrap();
    assert_eq!(done.damage.len(), 1, "{:?}", done.damage);
}

#[test]
fn a_backup_can_be_opened_and_is_whole() {
    let work = tempfile::tempdir().unwrap();
    let (live, copied) = (work.path().join("live"), work.path().join("copy"));
    let store = open(&live, NOON);
    fill(&store, 0..100);
    fill_state(&store);
    store.maintain(at(NOON + 86_400), &KEEP).unwrap();
    fill(&store, 100..130);
    let truth = answers(&store);
    store.backup(&copied).unwrap();
    fill(&store, 130..140);
    assert_eq!(
        bellwether_store::embedded::check(&copied).unwrap().problems,
        []
    );
    let restored = open(&copied, NOON + 86_460);
    assert!(
        answers(&restored) == truth,
        "the copy answers as the original did"
    );
    assert!(store.backup(&copied).is_err(), "nothing is written over");
}

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
fn hostile_s8_a_directory_that_is_taken_away_is_made_anew() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    let store = open(&dir, NOON);
    fill(&store, 0..10);
    fill_state(&store);
    let truth = answers(&store);
    fs::remove_dir_all(&dir).unwrap();
    // Nothing counts as kept that would be gone with the process.
    let next = || envelope("a", 11, vec![run(0, 60_000, NOON + 700, 99)]);
    assert!(store.append(&[next()]).is_err());
    let change = || Change::Incident(Box::new(incident(3, IncidentState::Open, vec![])));
    assert!(store.commit(&[change()]).is_err());
    let damage = store.look().unwrap();
    assert!(damage[0].contains("was taken away"), "{damage:?}");
    assert_eq!(store.look().unwrap(), Vec::<String>::new());
    assert!(answers(&store) == truth);
    store.append(&[next()]).unwrap();
    store.commit(&[change()]).unwrap();
    let second = Embedded::open(&dir, options(at(NOON)));
    assert!(
        matches!(second, Err(StoreError::Locked { .. })),
        "{second:?}"
    );
    drop(store);
    let store = open(&dir, NOON + 120);
    assert_eq!(store.cursor("a").unwrap(), 11);
    assert_eq!(store.incidents(None, 10).unwrap().len(), 3);
    assert_eq!(all_runs(&store, 0).runs.len(), 11);
    assert_eq!(all_runs(&store, 0).gaps, []);
}

#[test]
fn what_is_kept_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let (dir, copy) = (parent.path().join("data"), parent.path().join("copy"));
    let store = open(&dir, NOON);
    fill(&store, 0..10);
    fill_state(&store);
    store.backup(&copy).unwrap();
    let mut looked = 0;
    for path in [&dir, &copy] {
        let dirs = [path.clone(), path.join("results")];
        for path in dirs.iter().cloned().chain(files_in(path)) {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
            looked += 1;
        }
    }
    assert!(looked >= 12, "{looked}");
}

#[test]
fn a_flip_in_the_description_of_tables_is_found() {
    for name in ["state.db", "results/2026-03-10.db", "rollup.db"] {
        let parent = tempfile::tempdir().unwrap();
        let dir = made(parent.path());
        let found = bellwether_store::embedded::check(&dir).unwrap();
        assert_eq!(found.problems, []);
        let path = dir.join(name);
        let connection = rusqlite::Connection::open(&path).unwrap();
        let log: i64 = connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .unwrap();
        assert_eq!(log, 0);
        drop(connection);
        let mut bytes = fs::read(&path).unwrap();
        let text = b"NOT NULL";
        let place = bytes.windows(text.len()).position(|some| some == text);
        bytes[place.unwrap()] ^= 0x20;
        fs::write(&path, bytes).unwrap();
        let found = bellwether_store::embedded::check(&dir).unwrap();
        let words: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
        assert_eq!(words.len(), 1, "{name}: {words:?}");
        assert!(words[0].contains("description of table"), "{words:?}");
    }
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

/// Runs a child of this binary in a small file system of its own.
fn in_tmpfs(child: &str, size: &str, dir: &Path) {
    let script = format!(
        "mount -t tmpfs -o {size} tmpfs {dir} && exec {exe} --exact {child} --nocapture",
        dir = dir.display(),
        exe = std::env::current_exe().unwrap().display(),
    );
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", &script])
        .env("BELLWETHER_STORE_DIR", dir)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("to the end"),
        "{text}"
    );
}

#[test]
fn p16_hostile_s1_a_full_disk_keeps_nobody_from_telling() {
    let dir = tempfile::tempdir().unwrap();
    in_tmpfs("full_child", "size=6m", dir.path());
}

/// Not a test by itself.
#[test]
fn full_child() {
    let Ok(dir) = std::env::var("BELLWETHER_STORE_DIR") else {
        return;
    };
    let dir = Path::new(&dir);
    let store = open(dir, NOON);
    fill(&store, 0..5);
    let filler = dir.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    for block in [64 * 1024, 4096, 512, 1] {
        while std::io::Write::write_all(&mut file, &vec![1; block]).is_ok() {}
    }
    // Fill the pages that are half empty still, then no more is taken, and it is said why.
    let mut number = 5;
    let full = loop {
        number += 1;
        let runs = (0..3).map(|check| {
            run(
                check,
                60_000,
                NOON + number as i64 * 60,
                number * 3 + check as u64,
            )
        });
        match store.append(&[envelope("a", number, runs.collect())]) {
            Ok(_) => assert!(number < 2000, "the disk is full"),
            Err(error) => break error,
        }
    };
    assert!(full.is_full(), "{full:?}");
    for id in 1..=20 {
        let change = Change::Incident(Box::new(incident(id, IncidentState::Open, vec![])));
        store
            .commit(&[change])
            .unwrap_or_else(|error| panic!("incident {id}: {error:?}"));
    }
    assert!(!dir.join("reserve").exists(), "the reserve was given up");
    let before = all_runs(&store, 0).runs.len();
    assert_eq!(before as u64, store.cursor("a").unwrap());
    let _ = store.maintain(at(NOON + 60), &KEEP);
    drop(file);
    fs::remove_file(&filler).unwrap();
    store.maintain(at(NOON + 70), &KEEP).unwrap();
    assert!(dir.join("reserve").exists(), "the reserve is held again");
    let runs = vec![run(0, 60_000, NOON + number as i64 * 60, number * 3)];
    store.append(&[envelope("a", number, runs)]).unwrap();
    assert_eq!(all_runs(&store, 0).runs.len(), before + 1);
    drop(store);
    let store = open(dir, NOON + 80);
    assert_eq!(all_runs(&store, 0).runs.len(), before + 1);
    assert_eq!(store.open_incidents().unwrap().len(), 20);
    eprintln!("to the end");
}

#[test]
fn hostile_s2_without_inodes_the_day_goes_on_in_its_file() {
    let dir = tempfile::tempdir().unwrap();
    in_tmpfs("inodes_child", "size=20m,nr_inodes=40", dir.path());
}

/// Not a test by itself.
#[test]
fn inodes_child() {
    let Ok(dir) = std::env::var("BELLWETHER_STORE_DIR") else {
        return;
    };
    let dir = Path::new(&dir);
    let store = open(dir, NOON);
    fill(&store, 0..5);
    let mut files = Vec::new();
    while let Ok(file) = fs::File::create(dir.join(format!("filler-{}", files.len()))) {
        files.push(file);
    }
    assert!(!files.is_empty());
    assert!(
        store.maintain(at(NOON + 86_400), &KEEP).is_err(),
        "no new day without an inode"
    );
    fill(&store, 5..10);
    assert_eq!(all_runs(&store, 0).runs.len(), 10);
    let count = files.len();
    drop(files);
    for index in 0..count {
        fs::remove_file(dir.join(format!("filler-{index}"))).unwrap();
    }
    store.maintain(at(NOON + 86_460), &KEEP).unwrap();
    fill(&store, 10..15);
    assert_eq!(all_runs(&store, 0).runs.len(), 15);
    assert!(dir.join("results/2026-03-11.db").exists());
    eprintln!("to the end");
}

#[test]
fn hostile_s13_a_bound_on_file_sizes_is_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    // The signal that comes with the bound is not waited for by anybody.
    let script = format!(
        "trap '' XFSZ; ulimit -f 400; exec {} --exact bounded_child --nocapture",
        std::env::current_exe().unwrap().display()
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("BELLWETHER_STORE_DIR", dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("to the end"),
        "{text}"
    );
}

/// Not a test by itself.
#[test]
fn bounded_child() {
    let Ok(dir) = std::env::var("BELLWETHER_STORE_DIR") else {
        return;
    };
    let dir = Path::new(&dir);
    let options = bellwether_store::Options {
        reserve_bytes: 0,
        ..options(at(NOON))
    };
    let store = Embedded::open(dir, options).unwrap();
    let mut number = 0;
    let error = loop {
        number += 1;
        let runs = vec![run(0, 60_000, NOON + number as i64 * 60, number)];
        match store.append(&[envelope("a", number, runs)]) {
            Ok(_) => assert!(number < 5000),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, StoreError::Full { .. } | StoreError::Write { .. }),
        "{error:?}"
    );
    assert_eq!(
        all_runs(&store, 0).runs.len() as u64,
        number - 1,
        "reading goes on"
    );
    eprintln!("to the end");
}

/// The data directory of each released version, as it was.
#[test]
fn the_data_of_version_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    copy(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1"),
        dir.path(),
    );
    assert_eq!(
        bellwether_store::embedded::check(dir.path())
            .unwrap()
            .problems,
        []
    );
    let store = open(dir.path(), NOON + 86_400 + 6 * 3600);
    for check in 0..3 {
        let series = all_runs(&store, check);
        assert_eq!((series.runs.len(), series.gaps), (240, vec![]));
        for (index, found) in series.runs.iter().enumerate().take(50) {
            let number = index as u64 + 1;
            assert_eq!(
                *found,
                run(
                    check,
                    60_000,
                    NOON + index as i64 * 60,
                    number * 3 + check as u64
                )
            );
        }
    }
    assert_eq!(
        store.open_incidents().unwrap(),
        [incident(1, IncidentState::Open, vec![])]
    );
    assert_eq!(
        store.evidence(&digest_of(&[3; 500])).unwrap(),
        Some(vec![3; 500])
    );
    assert_eq!(store.outbox(9).unwrap().len(), 1);
    store.maintain(at(NOON + 86_400 * 2), &KEEP).unwrap();
    assert_eq!(all_runs(&store, 0).runs.len(), 240);
}

/// Makes the fixture of the version at hand; not a test by itself.
#[test]
fn fixture() {
    let Ok(dir) = std::env::var("BELLWETHER_STORE_FIXTURE") else {
        return;
    };
    let work = tempfile::tempdir().unwrap();
    drop(made(work.path()));
    let live = work.path().join("live");
    drop(open(&live, NOON + 86_400 + 6 * 3600));
    copy(&live, Path::new(&dir));
}

/// The corpus of the fuzzer: contents of blocks, and the same with a byte changed or cut short.
#[test]
fn p18_the_corpus_of_blocks_reads_without_panic() {
    let corpus = files_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/block"));
    assert!(!corpus.is_empty());
    for path in corpus {
        let bytes = fs::read(&path).unwrap();
        assert!(bellwether_store::fuzz_block(&bytes), "{}", path.display());
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 0x11;
            let _ = bellwether_store::fuzz_block(&changed);
            let _ = bellwether_store::fuzz_block(&bytes[..place]);
        }
    }
}
