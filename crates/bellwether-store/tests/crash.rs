//! The process is killed and the power is cut, wherever it hurts: nothing acknowledged is lost.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bellwether_model::Run;
use bellwether_model::incident::IncidentState;
use bellwether_store::{Change, Embedded, ObservationStore, StateStore, StoreError};
use common::*;

const CHECKS: usize = 3;

/// Kills in one test; `BELLWETHER_STORE_KILLS` asks for more.
fn kills(usual: u64) -> u64 {
    std::env::var("BELLWETHER_STORE_KILLS").map_or(usual, |kills| kills.parse().unwrap())
}

/// The runs of an envelope: the same for the same number.
fn runs_of(number: u64) -> Vec<Run> {
    (0..CHECKS)
        .map(|check| {
            let sequence = number * CHECKS as u64 + check as u64;
            let every = if check == 0 { 300_000 } else { 60_000 };
            run(check, every, NOON + number as i64 * 60, sequence)
        })
        .collect()
}

/// A child's work: appends and commits until it is killed, says each number that was acknowledged,
/// and keeps house now and then. Not a test by itself.
#[test]
fn child() {
    let Ok(dir) = std::env::var("BELLWETHER_STORE_CHILD") else {
        return;
    };
    let early = std::env::var("BELLWETHER_STORE_EARLY").is_ok();
    let dir = Path::new(&dir);
    let store = open(dir, NOON);
    let mut acks = fs::File::options()
        .append(true)
        .create(true)
        .open(dir.join("acks"))
        .unwrap();
    let first = store.cursor("a").unwrap().number + 1;
    for number in first..first + 120 {
        let mut say = |what: &str| {
            acks.write_all(format!("{what} {number}\n").as_bytes())
                .unwrap();
            eprintln!("{what} {number}");
        };
        if early {
            say("kept");
        }
        store
            .append(&[envelope("a", number, runs_of(number))])
            .unwrap();
        if !early {
            say("kept");
        }
        if number.is_multiple_of(3) {
            let id = store.next_incident().unwrap();
            let incident = incident(id, IncidentState::Open, vec![]);
            store
                .commit(&[Change::Incident(Box::new(incident))])
                .unwrap();
            acks.write_all(format!("incident {id}\n").as_bytes())
                .unwrap();
        }
        if number.is_multiple_of(11) {
            store
                .maintain(at(NOON + number as i64 * 60), &KEEP)
                .unwrap();
        }
        if number.is_multiple_of(40) {
            // An hour at once: seals, folds, and now and then a new day.
            store
                .maintain(at(NOON + number as i64 * 600), &KEEP)
                .unwrap();
        }
    }
}

fn child_command(dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture"])
        .env("BELLWETHER_STORE_CHILD", dir)
        .stdout(Stdio::null());
    command
}

/// The last number of a kind that was acknowledged.
fn acknowledged(dir: &Path, kind: &str) -> u64 {
    let acks = fs::read_to_string(dir.join("acks")).unwrap_or_default();
    acks.lines()
        .filter_map(|line| line.strip_prefix(kind)?.trim().parse().ok())
        .max()
        .unwrap_or(0)
}

/// What is wrong with a store after a crash: all that was acknowledged must be there once.
fn verdict(dir: &Path) -> Result<u64, String> {
    let kept = acknowledged(dir, "kept");
    let incidents = acknowledged(dir, "incident");
    let store = Embedded::open(dir, options(at(NOON))).map_err(|error| error.to_string())?;
    let cursor = store.cursor("a").unwrap().number;
    if cursor < kept || cursor > kept + 1 {
        return Err(format!("{kept} acknowledged, {cursor} there"));
    }
    for check in 0..CHECKS {
        let series = all_runs(&store, check);
        let expected: Vec<Run> = {
            let mut runs: Vec<Run> = (1..=cursor)
                .flat_map(|n| runs_of(n).into_iter().nth(check))
                .collect();
            runs.sort_by_key(|run| (run.began(), run.sequence));
            runs
        };
        if series.runs != expected || !series.gaps.is_empty() {
            return Err(format!(
                "check {check}: {} runs of {}, gaps {:?}",
                series.runs.len(),
                expected.len(),
                series.gaps
            ));
        }
    }
    let there = store.next_incident().unwrap() - 1;
    if there < incidents || store.open_incidents().unwrap().len() as u64 != there {
        return Err(format!("{incidents} incidents acknowledged, {there} there"));
    }
    drop(store);
    let report = bellwether_store::embedded::check(dir).map_err(|error| error.to_string())?;
    report
        .problems
        .first()
        .map_or(Ok(kept), |problem| Err(problem.to_string()))
}

/// Waits for an acknowledgement, burns a random while, and kills.
fn kill_at_random(mut child: Child, random: &mut fastrand::Rng) {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    for _ in 0..random.u32(1..60) {
        if lines.next().is_none_or(|line| line.is_err()) {
            break;
        }
    }
    (0..random.u32(0..3_000_000)).for_each(|n| {
        std::hint::black_box(n);
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn p01_killed_at_random_instants_nothing_acknowledged_is_lost() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut acknowledged = 0;
    let kills = kills(60);
    let mut dir = tempfile::tempdir().unwrap();
    for kill in 0..kills {
        if kill.is_multiple_of(20) {
            dir = tempfile::tempdir().unwrap();
        }
        let child = child_command(dir.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        kill_at_random(child, &mut random);
        acknowledged = verdict(dir.path()).unwrap_or_else(|wrong| panic!("kill {kill}: {wrong}"));
    }
    assert!(acknowledged > 0, "the child came to something");
}

/// Runs a child that is killed by, or fails at, its n-th call of the system.
fn under_strace(command: &Command, inject: &str, log: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-y", "-o"]);
    strace.arg(log);
    // What is traced comes first: it would take the injection back.
    let calls = inject.split(':').next().unwrap();
    strace.arg("-e").arg(format!("trace={calls},ftruncate"));
    strace.arg("-e").arg(format!("inject={inject}"));
    strace.arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        strace.env(key, value.unwrap());
    }
    strace.stdout(Stdio::null()).stderr(Stdio::null());
    strace
}

#[test]
fn hostile_c1_killed_at_the_nth_call_nothing_acknowledged_is_lost() {
    let mut random = fastrand::Rng::with_seed(2);
    let kills = kills(60);
    let mut killed = 0;
    let mut dir = tempfile::tempdir().unwrap();
    for kill in 0..kills {
        if kill.is_multiple_of(10) {
            dir = tempfile::tempdir().unwrap();
        }
        let (call, most) = match random.u8(0..10) {
            0..5 => ("pwrite64", 900),
            5..8 => ("fsync", 120),
            8 => ("ftruncate", 5),
            _ => ("openat", 60),
        };
        let inject = format!("{call}:signal=KILL:when={}", random.u32(1..most));
        let log = dir.path().join("strace");
        let status = under_strace(&child_command(dir.path()), &inject, &log).status();
        let status = status.expect("strace is there: apt-get install strace");
        killed += u64::from(!status.success());
        verdict(dir.path()).unwrap_or_else(|wrong| panic!("kill {kill} at {inject}: {wrong}"));
    }
    assert!(
        killed * 2 > kills,
        "most children were killed, {killed} of {kills}"
    );
}

#[test]
fn the_crash_test_catches_who_acknowledges_too_early() {
    let mut random = fastrand::Rng::with_seed(3);
    let caught = (0..100).any(|_| {
        let dir = tempfile::tempdir().unwrap();
        let mut child = child_command(dir.path());
        child.env("BELLWETHER_STORE_EARLY", "1");
        let log = dir.path().join("strace");
        let inject = format!("pwrite64:signal=KILL:when={}", random.u32(60..300));
        under_strace(&child, &inject, &log).status().unwrap();
        // A store that acknowledges before it keeps says one more than is there.
        acknowledged(dir.path(), "kept") > 0 && {
            let kept = acknowledged(dir.path(), "kept");
            let store = open(dir.path(), NOON);
            store.cursor("a").unwrap().number < kept
        }
    });
    assert!(caught);
}

#[test]
fn the_crash_test_catches_a_log_that_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(4);
    let child = child_command(dir.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    kill_at_random(child, &mut random);
    for entry in fs::read_dir(dir.path().join("results")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().ends_with("-wal") {
            fs::remove_file(path).unwrap();
        }
    }
    assert!(verdict(dir.path()).is_err());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else if !name.to_string_lossy().ends_with("-shm") {
            // Shared memory is gone with the power.
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

#[test]
fn hostile_c2_hostile_s6_what_was_not_synced_may_be_gone_or_garbled() {
    let mut random = fastrand::Rng::with_seed(5);
    let work = tempfile::tempdir().unwrap();
    let dir = work.path().join("live");
    fs::create_dir_all(&dir).unwrap();
    let store = open(&dir, NOON);
    let log = dir.join("results/2026-03-10.db-wal");
    let mut acks = fs::File::create(dir.join("acks")).unwrap();
    let mut trials = 0;
    for number in 1..=kills(60) {
        let before = fs::metadata(&log).map_or(0, |log| log.len());
        let cut = work.path().join("cut");
        store
            .append(&[envelope("a", number, runs_of(number))])
            .unwrap();
        let after = fs::metadata(&log).unwrap().len();
        if after > before {
            // As if the power went before the last append was synced: it is not acknowledged yet.
            copy(&dir, &cut);
            let torn = cut.join("results/2026-03-10.db-wal");
            let mut bytes = fs::read(&torn).unwrap();
            let at = random.u64(before..after) as usize;
            match random.u8(0..3) {
                0 => bytes.truncate(at),
                1 => random.fill(&mut bytes[at..]),
                _ => bytes[at..].fill(0),
            }
            fs::write(&torn, bytes).unwrap();
            verdict(&cut).unwrap_or_else(|wrong| panic!("cut {number} at {at}: {wrong}"));
            fs::remove_dir_all(&cut).unwrap();
            trials += 1;
        }
        acks.write_all(format!("kept {number}\n").as_bytes())
            .unwrap();
        if number.is_multiple_of(10) {
            store
                .maintain(at(NOON + number as i64 * 60), &KEEP)
                .unwrap();
        }
    }
    assert!(trials > 30, "{trials} trials");
}

#[test]
fn p17_hostile_s3_hostile_s4_a_failed_sync_is_never_taken_for_a_success() {
    for (calls, when) in [
        ("fsync", 60),
        ("fsync", 71),
        ("pwrite64", 400),
        ("pwrite64", 551),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("strace");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "failing_child", "--nocapture"]);
        command.env("BELLWETHER_STORE_FAILING", dir.path());
        let inject = format!("{calls}:error=EIO:when={when}");
        let status = under_strace(&command, &inject, &log).status().unwrap();
        assert!(status.success(), "{inject}");
        let kept = verdict(dir.path()).unwrap_or_else(|wrong| panic!("{inject}: {wrong}"));
        assert_eq!(kept, 60);
        let failures = fs::read_to_string(dir.path().join("failures")).unwrap();
        assert!(failures.contains("failed to write"), "{inject}: {failures}");
        // What the system still held of it was written once more before anything else was kept.
        let calls = fs::read_to_string(&log).unwrap();
        let (_, rest) = calls.split_once("(INJECTED)").expect("it failed once");
        assert!(
            rest.contains("ftruncate"),
            "the log was written back and emptied"
        );
    }
}

/// Sends everything until it is acknowledged, as an agent does. Not a test by itself.
#[test]
fn failing_child() {
    let Ok(dir) = std::env::var("BELLWETHER_STORE_FAILING") else {
        return;
    };
    let dir = Path::new(&dir);
    let store = open(dir, NOON);
    let mut acks = fs::File::create(dir.join("acks")).unwrap();
    let mut failures = fs::File::create(dir.join("failures")).unwrap();
    for number in 1..=60 {
        let envelope = envelope("a", number, runs_of(number));
        while let Err(error) = store.append(std::slice::from_ref(&envelope)) {
            writeln!(failures, "{error}").unwrap();
            assert!(
                failures.metadata().unwrap().len() < 10_000,
                "it comes back: {error}"
            );
            // Reading goes on meanwhile.
            assert!(all_runs(&store, 1).runs.len() >= number as usize - 1);
        }
        acks.write_all(format!("kept {number}\n").as_bytes())
            .unwrap();
        if number.is_multiple_of(2) {
            let id = number / 2;
            let change = Change::Incident(Box::new(incident(id, IncidentState::Open, vec![])));
            while let Err(error) = store.commit(std::slice::from_ref(&change)) {
                writeln!(failures, "{error}").unwrap();
                assert!(
                    failures.metadata().unwrap().len() < 10_000,
                    "it comes back: {error}"
                );
            }
            acks.write_all(format!("incident {id}\n").as_bytes())
                .unwrap();
        }
    }
}

#[test]
fn hostile_s5_a_file_system_that_becomes_read_only_keeps_nobody_from_reading() {
    let dir = tempfile::tempdir().unwrap();
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-o"])
        .arg(dir.path().join("strace"));
    // What a file system does that is remounted read-only because of an error below it: files that
    // are open take no more writes. `reserve.probe` is how the store finds out what it lacks.
    for file in [
        "results/2026-03-10.db",
        "results/2026-03-10.db-wal",
        "state.db",
        "state.db-wal",
        "rollup.db",
        "rollup.db-wal",
        "reserve.probe",
    ] {
        strace.arg("-P").arg(dir.path().join("data").join(file));
    }
    strace.args(["-e", "trace=pwrite64,write"]);
    strace.args(["-e", "inject=pwrite64:error=EROFS:when=300+"]);
    strace.args(["-e", "inject=write:error=EROFS"]);
    strace.arg(std::env::current_exe().unwrap());
    strace.args(["--exact", "read_only_child", "--nocapture"]);
    strace.env("BELLWETHER_STORE_READ_ONLY", dir.path().join("data"));
    let output = strace
        .output()
        .expect("strace is there: apt-get install strace");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("to the end"),
        "{text}"
    );
    // What was acknowledged is there when the file system takes writes again.
    let store = open(&dir.path().join("data"), NOON);
    let kept = fs::read_to_string(dir.path().join("kept")).unwrap();
    assert_eq!(store.cursor("a").unwrap().number.to_string(), kept);
    assert_eq!(all_runs(&store, 1).runs.len().to_string(), kept);
}

/// Not a test by itself.
#[test]
fn read_only_child() {
    let Ok(dir) = std::env::var("BELLWETHER_STORE_READ_ONLY") else {
        return;
    };
    let dir = Path::new(&dir);
    let options = bellwether_store::Options {
        reserve_bytes: 0,
        ..options(at(NOON))
    };
    let store = Embedded::open(dir, options).unwrap();
    let change = Change::Incident(Box::new(incident(1, IncidentState::Open, vec![])));
    store.commit(&[change]).unwrap();
    let mut number = 0;
    let append = |number: u64| store.append(&[envelope("a", number, runs_of(number))]);
    let refused = loop {
        number += 1;
        assert!(number < 2000, "the file system takes no writes");
        if let Err(error) = append(number) {
            break error;
        }
    };
    let read_only = |error: &StoreError| matches!(error, StoreError::ReadOnly { .. });
    assert!(read_only(&refused), "{refused:?}");
    let kept = number - 1;
    fs::write(dir.parent().unwrap().join("kept"), kept.to_string()).unwrap();
    for _ in 0..3 {
        let again = append(number).unwrap_err();
        assert!(read_only(&again), "{again:?}");
        let change = Change::Incident(Box::new(incident(2, IncidentState::Open, vec![])));
        let refused = store.commit(&[change]).unwrap_err();
        assert!(read_only(&refused), "{refused:?}");
        // Keeping house fails and harms nothing.
        let _ = store.maintain(at(NOON + 3600), &KEEP);
        for check in 0..CHECKS {
            let series = all_runs(&store, check);
            assert_eq!((series.runs.len() as u64, series.gaps), (kept, vec![]));
        }
        assert_eq!(store.cursor("a").unwrap().number, kept);
        assert_eq!(store.open_incidents().unwrap().len(), 1);
        assert_eq!(store.next_incident().unwrap(), 2);
    }
    eprintln!("to the end");
}
