//! Files that are missing, damaged, of another version, or in use; copies of them.

use std::fs;
use std::path::{Path, PathBuf};

use bellwether_model::incident::IncidentState;
use bellwether_store::{Change, Embedded, ObservationStore, StateStore, StoreError};

use crate::answers::*;
use crate::common::*;

pub(crate) fn files_in(dir: &Path) -> Vec<PathBuf> {
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

pub(crate) fn copy(from: &Path, to: &Path) {
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
pub(crate) fn made(dir: &Path) -> PathBuf {
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
    assert_eq!(store.cursor("a").unwrap().number, 11);
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
    assert_eq!(store.cursor("a").unwrap().number, 11);
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

/// The data directory of each released version, as it was.
#[test]
fn the_data_of_version_1_is_read() {
    // It did not know which start of an agent made what.
    data_of("v1", 0);
}

#[test]
fn the_data_of_version_2_is_read() {
    data_of("v2", 7);
}

fn data_of(version: &str, boot: u64) {
    let dir = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    copy(&fixtures.join(version), dir.path());
    assert_eq!(
        bellwether_store::embedded::check(dir.path())
            .unwrap()
            .problems,
        []
    );
    let store = open(dir.path(), NOON + 86_400 + 6 * 3600);
    assert_eq!(store.cursor("a").unwrap().boot, boot);
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
