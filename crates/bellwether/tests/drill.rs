//! The founding incident from outside: what its drill prints, that its reports keep the format, and
//! that judging them again gives the same.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::process::{Command, Output};

use serde_json::{Value, json};

fn bellwether(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bellwether"))
        .args(args)
        .output()
        .unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    })
}

/// The reports of the incident's phases, in order.
fn incident() -> (Vec<Value>, Option<i32>) {
    let output = bellwether(&["drill", "mashery-2024", "--format", "json"]);
    let drill = json_of(&output);
    assert_eq!(drill["schema"], "bellwether.drill/1");
    let steps = drill["scenarios"][0]["steps"].as_array().unwrap().clone();
    let reports = steps
        .into_iter()
        .map(|mut step| step["report"].take())
        .collect();
    (reports, output.status.code())
}

#[test]
fn the_founding_incident_has_one_cause_in_all_its_phases() {
    let (reports, code) = incident();
    let causes: Vec<&Value> = reports.iter().map(|r| &r["diagnosis"]["cause"]).collect();
    let wrong = json!("dns.delegation.wrong_ns");
    assert_eq!(causes, [&Value::Null, &wrong, &wrong, &wrong, &Value::Null]);
    assert_eq!(code, Some(0));
    let consequences = reports[1]["diagnosis"]["consequences"].as_array().unwrap();
    assert!(
        consequences.contains(&json!("tls.name_mismatch")),
        "{consequences:?}"
    );
}

#[test]
fn reports_keep_the_format() {
    let schema = json_of(&bellwether(&["config", "schema", "--report"]));
    let validator = jsonschema::validator_for(&schema).unwrap();
    for report in incident().0 {
        let errors: Vec<String> = validator
            .iter_errors(&report)
            .map(|e| e.to_string())
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}

#[test]
fn a_saved_report_is_judged_alike_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    for (at, mut report) in incident().0.into_iter().enumerate() {
        let path = folder.path().join(format!("{at}.json"));
        for _ in 0..2 {
            std::fs::write(&path, report.to_string()).unwrap();
            let again = json_of(&bellwether(&[
                "diagnose",
                path.to_str().unwrap(),
                "--format",
                "json",
            ]));
            for key in ["verdict", "diagnosis", "findings", "layers", "controls"] {
                assert_eq!(again[key], report[key], "{key} of phase {at}");
            }
            report["observations"].as_array_mut().unwrap().reverse();
        }
    }
}

/// Words alone: ids of observations, times and gaps differ from run to run.
fn words(text: &str) -> String {
    let is_id = |w: &str| w.starts_with('e') && w[1..].chars().all(|c| c.is_ascii_digit());
    let is_time = |w: &&str| w.parse::<f64>().is_err() && !["<1", "ms", "s"].contains(w);
    let kept = text.split_whitespace().filter(|w| !is_id(w));
    kept.filter(is_time).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_readme_shows_what_the_program_prints() {
    let readme = include_str!("../../../README.md");
    let sample = readme.split("--baseline good.json\n").nth(1).unwrap();
    let sample = words(sample.split("\n```").next().unwrap());
    let drill = bellwether(&["drill", "mashery-2024"]);
    let printed = words(&String::from_utf8_lossy(&drill.stdout));
    assert!(
        printed.contains(&sample),
        "README.md says:\n{sample}\nprinted is:\n{printed}"
    );
}

/// In a namespace without any route nothing can be said about the target.
#[test]
fn without_a_route_it_is_us() {
    let output = Command::new("unshare")
        .args(["-rn", env!("CARGO_BIN_EXE_bellwether")])
        .args(["check", "https://api.example.com/", "--format", "json"])
        .output()
        .unwrap();
    let report = json_of(&output);
    assert_eq!(
        report["diagnosis"]["cause"], "monitor.vantage_uplink",
        "{report:#}"
    );
    assert_eq!(output.status.code(), Some(3));
    assert!(report["took_ms"].as_f64().unwrap() < 5000.0);
}

/// Whoever enters a world needs no flag: what is trusted there, which resolver is the machine's own
/// and where the root is, programs find by their usual means.
#[test]
fn in_a_world_a_bare_check_finds_nothing_wrong() {
    let program = env!("CARGO_BIN_EXE_bellwether");
    let check = format!("{program} check https://developer.mashery.com/ --format json");
    let output = bellwether(&["drill", "mashery-2024", "--exec", &check]);
    let report = json_of(&output);
    assert_eq!(report["verdict"], "healthy", "{report:#}");
    assert_eq!(report["findings"], json!([]));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_world_brings_its_configuration() {
    let program = env!("CARGO_BIN_EXE_bellwether");
    let files = format!(
        "cd $BELLWETHER_WORLD && cat bellwether.yaml && test -s ca.pem && test -s root.hints && test -s root.key \
         && test -s asn.csv && test -s trust.yaml && {program} config schema --scenario > /dev/null"
    );
    let output = bellwether(&["drill", "mashery-2024", "--exec", &files]);
    assert_eq!(output.status.code(), Some(0));
    let configuration = json_of(&output);
    let trust = &configuration["trust"];
    let folder = trust["ca_files"][0].as_str().unwrap();
    assert!(folder.ends_with("/ca.pem"), "{folder}");
    assert_eq!(configuration["services"][0]["name"], "developer");
    let resolvers = configuration["resolvers"].as_array().unwrap();
    let addresses = resolvers.iter().map(|r| r["address"].as_str().unwrap());
    let addresses: Vec<&str> = addresses.collect();
    assert_eq!(addresses, ["8.8.8.8", "1.1.1.1", "9.9.9.9", "4.2.2.2"]);
}
