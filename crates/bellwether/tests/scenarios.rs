//! Every shipped scenario, as `bellwether drill` runs it: a world in a namespace of its own, of
//! which no packet leaves. The build script writes one test for each file of `scenarios/`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Orders in which the observations of each report are judged again, besides their own.
const ORDERS: u64 = 2;

/// The scenario runs, each of its steps is as its file expects, and each report keeps the format
/// and is judged alike again, in whatever order its observations stand.
fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../scenarios/{name}.yaml"));
    let output = Command::new(env!("CARGO_BIN_EXE_bellwether"))
        .args(["drill", "--format", "json"])
        .arg(path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let drill: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{name}: {error}: {said}"));
    let steps = drill["scenarios"][0]["steps"].as_array().unwrap();
    for step in steps {
        let (at, missed) = (&step["name"], &step["missed"]);
        assert_eq!(step["as_expected"], true, "{name}, {at}: {missed:#}");
        judged_alike(name, &step["report"]);
    }
    assert!(output.status.success(), "{name}: {said}");
}

fn judged_alike(name: &str, report: &Value) {
    let mut shuffled = report.clone();
    for seed in 0..=ORDERS {
        let again = diagnose(&shuffled);
        for key in ["verdict", "diagnosis", "findings", "layers", "controls"] {
            assert_eq!(again[key], report[key], "{name}: {key}, order {seed}");
        }
        let observations = shuffled["observations"].as_array_mut().unwrap();
        fastrand::Rng::with_seed(seed).shuffle(observations);
    }
}

fn diagnose(report: &Value) -> Value {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bellwether"))
        .args(["diagnose", "-", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(report.to_string().as_bytes()).unwrap();
    drop(stdin);
    serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap()
}

include!(concat!(env!("OUT_DIR"), "/scenario_tests.rs"));
