//! Every shipped scenario, as `bellwether drill` runs it: a world in a namespace of its own, of
//! which no packet leaves. The build script writes one test for each file of `scenarios/`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use bellwether_lab::LOOK_SCHEMA;
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
        // What a running program told is no report that could be judged again.
        if step["report"]["schema"] != LOOK_SCHEMA {
            judged_alike(name, &step["report"]);
        }
    }
    if name.starts_with("hostile-") {
        unharmed(name, &steps);
    }
}

/// Longest time of a check: its default deadline, and what it takes to say so.
const TOOK_MAX: f64 = 30_100.0;
/// Longest time of one probe: the default timeout of a check, and what it takes to say so.
const PROBE_TOOK_MAX: f64 = 10_100.0;
/// Most memory that a hostile target may cost a worker beyond what a healthy one costs.
const GROWTH_KIB_MAX: i64 = 16 * 1024;
/// A scenario whose first check is of a healthy service.
const HEALTHY: &str = "h04-wrong-content";

/// Whatever the peer sent: the check and each probe ended in time, no layer is missing, the worker took little
/// more memory than for a healthy service, and nothing raw is printed.
fn unharmed(name: &str, steps: &[Value]) {
    let mut healthy = steps.iter().filter(|s| s["report"]["verdict"] == "healthy");
    let usual = match healthy.find_map(peak_kib) {
        Some(peak) => peak,
        None => peak_kib(&drill(HEALTHY)[0]).expect("a healthy worker tells what it took"),
    };
    for step in steps {
        let (at, report) = (&step["name"], &step["report"]);
        let took = report["took_ms"].as_f64().unwrap();
        assert!(took <= TOOK_MAX, "{name}, {at}: {took} ms");
        for observation in report["observations"].as_array().unwrap() {
            let (id, probe) = (&observation["id"], &observation["probe"]);
            let took = observation["took_ms"].as_f64().unwrap();
            // The list of addresses is open as long as anybody may still name one.
            let is_bounded = probe != "addresses";
            let fits = !is_bounded || took <= PROBE_TOOK_MAX;
            assert!(fits, "{name}, {at}, {id} {probe}: {took} ms");
        }
        let peak = peak_kib(step);
        let peak = peak.unwrap_or_else(|| panic!("{name}, {at}: the worker did not end by itself"));
        let growth = peak - usual;
        assert!(growth <= GROWTH_KIB_MAX, "{name}, {at}: {growth} KiB");
        assert_eq!(layers(report), expected_layers(report), "{name}, {at}");
        let text = printed(report);
        let raw = text.chars().find(|c| is_raw(*c));
        assert_eq!(raw, None, "{name}, {at}: {text}");
    }
}

/// The most memory that the worker of a step held.
fn peak_kib(step: &Value) -> Option<i64> {
    step["report"]["peak_kib"].as_i64()
}

fn layers(report: &Value) -> Vec<&str> {
    let layers = report["layers"].as_array().unwrap().iter();
    layers.map(|l| l["layer"].as_str().unwrap()).collect()
}

/// Those that the target's scheme needs.
fn expected_layers(report: &Value) -> Vec<&'static str> {
    let target = report["target"].as_str().unwrap();
    match target.split_once("://").map_or("dns", |(scheme, _)| scheme) {
        "https" => vec!["dns", "net", "tls", "http"],
        "http" => vec!["dns", "net", "http"],
        "tls" => vec!["dns", "net", "tls"],
        "tcp" => vec!["dns", "net"],
        _ => vec!["dns"],
    }
}

/// Controls of a terminal, and those that turn the direction of text.
fn is_raw(c: char) -> bool {
    let turns = matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c != '\n' && (c.is_control() || turns)
}

/// The report as it is printed for people.
fn printed(report: &Value) -> String {
    judge(report, "text")
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

fn diagnose(report: &Value) -> Value {
    serde_json::from_str(&judge(report, "json")).unwrap()
}

/// What `diagnose` prints of a saved report.
fn judge(report: &Value, format: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bellwether"))
        .args(["diagnose", "-", "--format", format])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(report.to_string().as_bytes()).unwrap();
    drop(stdin);
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

include!(concat!(env!("OUT_DIR"), "/scenario_tests.rs"));
