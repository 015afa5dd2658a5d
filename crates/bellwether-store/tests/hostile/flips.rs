//! Bits that rot.

use std::fs;
use std::path::{Path, PathBuf};

use bellwether_store::{Embedded, ObservationStore};

use crate::answers::*;
use crate::common::*;
use crate::files::*;

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
    let step = (places.len() / flips()).max(1);
    let (mut harmless, mut found) = (0, 0);
    let mut faults = Vec::new();
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
        if let Some(what) = wrong(&answers, &truth) {
            faults.push(format!("byte {hit} of {}: {what} wrong", path.display()));
        } else if let Some(what) = silent(&answers, &truth).filter(|_| !told) {
            faults.push(format!("byte {hit} of {}: {what} silent", path.display()));
        } else if answers == truth {
            harmless += 1;
        } else {
            found += 1;
        }
    }
    eprintln!(
        "{} places: {harmless} harmless, {found} found, {} wrong or silent",
        places.len().div_ceil(step),
        faults.len()
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(
        harmless > 0 && found > 0,
        "{harmless} harmless, {found} found"
    );
}

/// How many places to flip: every 64th byte takes minutes. `BELLWETHER_STORE_FLIPS` asks for another
/// number, or for `all`.
fn flips() -> usize {
    match std::env::var("BELLWETHER_STORE_FLIPS") {
        Ok(all) if all == "all" => usize::MAX,
        Ok(number) => number.parse().unwrap(),
        Err(_) => 150,
    }
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

/// The corpus of the fuzzer: contents of blocks, and the same with a byte changed or cut short.
#[test]
fn p18_the_corpus_of_blocks_reads_without_panic() {
    let corpus =
        files_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/store_block"));
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
