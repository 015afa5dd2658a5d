//! Disks that are full, in several ways.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use bellwether_model::incident::IncidentState;
use bellwether_store::{Change, Embedded, ObservationStore, StateStore, StoreError};

use crate::answers::*;
use crate::common::*;

/// A child that does not find its directory does nothing, and is no success.
fn came_to_the_end(output: &Output) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("to the end"),
        "{text}"
    );
}

/// Runs a child of this binary in a small file system of its own.
fn in_tmpfs(child: &str, size: &str, dir: &Path) {
    let script = format!(
        "mount -t tmpfs -o {size} tmpfs {dir} && exec {exe} --exact disks::{child} --nocapture",
        dir = dir.display(),
        exe = std::env::current_exe().unwrap().display(),
    );
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", &script])
        .env("BELLWETHER_STORE_DIR", dir)
        .output()
        .unwrap();
    came_to_the_end(&output);
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
    assert_eq!(before as u64, store.cursor("a").unwrap().number);
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
        "trap '' XFSZ; ulimit -f 400; exec {} --exact disks::bounded_child --nocapture",
        std::env::current_exe().unwrap().display()
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("BELLWETHER_STORE_DIR", dir.path())
        .output()
        .unwrap();
    came_to_the_end(&output);
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
