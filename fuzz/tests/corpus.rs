//! The corpora, as plain tests: what fuzzing found, and one of each kind to begin with.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use bellwether_fuzz::TARGETS;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

#[test]
fn every_target_holds_over_its_corpus() {
    for target in TARGETS {
        let folder = corpus().join(target.name);
        let mut inputs: Vec<PathBuf> = fs::read_dir(&folder)
            .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
            .map(|entry| entry.expect("a folder that can be read").path())
            .collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{} has no corpus", target.name);
        for input in inputs {
            let bytes = fs::read(&input).expect("a corpus file that can be read");
            let held = std::panic::catch_unwind(|| (target.run)(&bytes));
            assert!(
                held.is_ok(),
                "{} fails over {}",
                target.name,
                input.display()
            );
        }
    }
}

#[test]
fn every_corpus_has_its_target() {
    let names: BTreeSet<String> = TARGETS.iter().map(|t| t.name.to_owned()).collect();
    let folders: BTreeSet<String> = fs::read_dir(corpus())
        .expect("corpora")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a plain name")
        })
        .collect();
    assert_eq!(folders, names);
}
