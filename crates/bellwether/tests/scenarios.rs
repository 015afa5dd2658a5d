//! Every shipped scenario, as `bellwether drill` runs it: a world in a namespace of its own, of
//! which no packet leaves. The build script writes one test for each file of `scenarios/`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Orders in which the observations of each report are judged again, besides their own.
const ORDERS: u64 = 2;

/// Sequential waits, and DNS queries, that a check of a healthy service may take.
const WAITS_MAX: u64 = 7;
const QUERIES_MAX: u64 = 150;

/// The scenario runs, each of its steps is as its file expects, and each report keeps the format
/// and is judged alike again, in whatever order its observations stand.
fn check(name: &str) {
    let steps = drill(name);
    for step in &steps {
        let (at, missed) = (&step["name"], &step["missed"]);
        assert_eq!(step["as_expected"], true, "{name}, {at}: {missed:#}");
        judged_alike(name, &step["report"]);
        if name.starts_with("hostile-") {
            is_inert(name, &step["report"]);
        }
    }
}

/// The check steps of a scenario.
fn drill(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../scenarios/{name}.yaml"));
    let output = Command::new(env!("CARGO_BIN_EXE_bellwether"))
        .args(["drill", "--format", "json"])
        .arg(path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let drill: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{name}: {error}: {said}"));
    let steps = drill["scenarios"][0]["steps"].as_array().unwrap().clone();
    let as_expected = steps.iter().all(|s| s["as_expected"] == true);
    assert_eq!(output.status.success(), as_expected, "{name}: {said}");
    steps
}

/// Several addresses, resolvers with and without the name in cache.
#[test]
fn a_healthy_check_is_quick_and_polite() {
    for name in ["p11-one-address-refused", "mashery-2024"] {
        let healthy = &drill(name)[0]["report"];
        assert_eq!(healthy["verdict"], "healthy");
        let waits = healthy["critical_path"].as_u64().unwrap();
        assert!(waits <= WAITS_MAX, "{name}: {waits} waits");
        let queries = healthy["queries"].as_u64().unwrap();
        assert!(queries <= QUERIES_MAX, "{name}: {queries} queries");
    }
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

/// Nothing that a peer wrote reaches a terminal raw: no control and no direction mark.
fn is_inert(name: &str, report: &Value) {
    let told = String::from_utf8(judge(report, "text")).unwrap();
    let is_raw = |c: &char| {
        let directs = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        c.is_control() && *c != '\n' || directs
    };
    assert_eq!(told.chars().find(is_raw), None, "{name}: {told:?}");
}

fn diagnose(report: &Value) -> Value {
    serde_json::from_slice(&judge(report, "json")).unwrap()
}

/// What `diagnose` prints of a report.
fn judge(report: &Value, format: &str) -> Vec<u8> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bellwether"))
        .args(["diagnose", "-", "--format", format])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(report.to_string().as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap().stdout
}

include!(concat!(env!("OUT_DIR"), "/scenario_tests.rs"));
