//! `score`: every scenario with several seeds, and how often the right cause was found.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{root, say};

/// `bellwether drill --format json`, as far as the scoreboard needs it.
#[derive(Deserialize)]
struct Drill {
    scenarios: Vec<Scenario>,
    score: Score,
}

#[derive(Deserialize)]
struct Scenario {
    name: String,
    seed: u64,
    steps: Vec<Step>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct Step {
    name: String,
    as_expected: bool,
    missed: Vec<String>,
    #[serde(default)]
    expected: serde_json::Value,
    report: Option<Report>,
}

/// What a report came to. Its observations are dropped as they are read: those of many scenarios
/// under many seeds are gigabytes.
#[derive(Deserialize)]
struct Report {
    verdict: String,
    diagnosis: Option<Finding>,
    findings: Vec<Finding>,
}

#[derive(Deserialize)]
struct Finding {
    cause: String,
    severity: String,
}

#[derive(Deserialize)]
struct Score {
    rows: usize,
    cause_top1: f64,
    layer: f64,
    wrong: usize,
    unknown: usize,
    false_alarms: usize,
    scope_f1: f64,
    diagnosed_ms: f64,
}

/// Runs the scenarios and prints the scoreboard; `Err` if anything was not as expected.
pub(crate) fn run(binary: &Path, seeds: u64, rows: &str) -> Result<()> {
    let names = scenarios(rows)?;
    let mut child = Command::new(binary)
        .current_dir(root())
        .arg("drill")
        .args(&names)
        .args(["--seeds", &seeds.to_string(), "--format", "json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start the drill")?;
    let stdout = child.stdout.take().context("the drill has no stdout")?;
    let drill: Drill =
        serde_json::from_reader(BufReader::new(stdout)).context("the drill gave no results")?;
    child.wait().context("failed to wait for the drill")?;
    rows_of(&drill);
    differences(&drill);
    matrix(&drill);
    let score = &drill.score;
    let rows = score.rows;
    say(&format!(
        "\n{rows} rows ({} scenarios × {seeds} seeds): cause {:.1} %, layer {:.1} %, scope {:.1} % (F1), wrong {}, unknown {}, false alarms {}",
        names.len(),
        score.cause_top1 * 100.0,
        score.layer * 100.0,
        score.scope_f1 * 100.0,
        score.wrong,
        score.unknown,
        score.false_alarms,
    ));
    say(&format!(
        "a fault's whole report took {:.0} ms (median; in the box nothing is far away)",
        score.diagnosed_ms
    ));
    let failed = drill.scenarios.iter().filter(|s| !s.as_expected()).count();
    if failed > 0 {
        bail!("{failed} of {rows} rows are not as expected");
    }
    say("all as expected");
    Ok(())
}

impl Scenario {
    fn as_expected(&self) -> bool {
        self.error.is_none() && self.steps.iter().all(|s| s.as_expected)
    }
}

/// How a step begins that starts a running `serve`. Scenarios with one take real time and tell incidents,
/// not reports: they are tests.
const NOT_SCORED: &str = "serve: start";

/// Is a scenario one of reports?
fn is_scored(file: &str) -> bool {
    let text = std::fs::read_to_string(root().join("scenarios").join(file));
    text.is_ok_and(|text| !text.contains(NOT_SCORED))
}

/// The scenario files whose names fit, sorted.
fn scenarios(rows: &str) -> Result<Vec<String>> {
    let mut found: Vec<String> = std::fs::read_dir(root().join("scenarios"))
        .context("failed to list scenarios/")?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|file| is_scored(file))
        .filter_map(|file| file.strip_suffix(".yaml").map(str::to_owned))
        .filter(|name| fits(rows, name))
        .map(|name| format!("scenarios/{name}.yaml"))
        .collect();
    found.sort();
    if found.is_empty() {
        bail!("no scenario fits `{rows}`");
    }
    Ok(found)
}

/// Does a name fit a pattern in which `*` stands for anything?
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| fits(tail, rest)))
        }),
    }
}

/// One line for each scenario: in how many seeds it was as expected.
fn rows_of(drill: &Drill) {
    let mut by_name: BTreeMap<&str, Vec<&Scenario>> = BTreeMap::new();
    for scenario in &drill.scenarios {
        by_name.entry(&scenario.name).or_default().push(scenario);
    }
    for (name, runs) in by_name {
        let right = runs.iter().filter(|s| s.as_expected()).count();
        let mark = if right == runs.len() { '✓' } else { '✗' };
        say(&format!("{mark} {name:36} {right}/{}", runs.len()));
    }
}

/// What was not as expected, in words.
fn differences(drill: &Drill) {
    for scenario in drill.scenarios.iter().filter(|s| !s.as_expected()) {
        say(&format!("\n{} (seed {})", scenario.name, scenario.seed));
        if let Some(error) = &scenario.error {
            say(&format!("  did not run to its end: {error}"));
        }
        for step in scenario.steps.iter().filter(|s| !s.as_expected) {
            for missed in &step.missed {
                say(&format!("  {}: {missed}", step.name));
            }
        }
    }
}

/// Which cause was expected and which was named, and how often.
fn matrix(drill: &Drill) {
    let mut cells: BTreeMap<(String, String), usize> = BTreeMap::new();
    for step in drill.scenarios.iter().flat_map(|s| &s.steps) {
        let expected = expected(step);
        let named = step.report.as_ref().map(|r| named(r, &expected));
        let named = named.unwrap_or("no report").to_owned();
        *cells.entry((expected, named)).or_default() += 1;
    }
    say("\nexpected → named, how often");
    for ((expected, named), count) in cells {
        let mark = if expected == named { ' ' } else { '✗' };
        say(&format!("{mark} {expected:32} → {named:32} {count:4}"));
    }
}

/// The diagnosis' cause, else the first warning's, else that of a notice which is expected, else the
/// verdict.
fn named<'r>(report: &'r Report, expected: &str) -> &'r str {
    let find = |fits: &dyn Fn(&Finding) -> bool| report.findings.iter().find(|f| fits(f));
    let warning = || find(&|f| f.severity == "warning");
    let noticed = || find(&|f| f.cause == expected);
    let named = report.diagnosis.as_ref().or_else(warning).or_else(noticed);
    named.map_or(&report.verdict, |finding| &finding.cause)
}

/// What the scenario wants: a cause, else a verdict; `-` where it says neither.
fn expected(step: &Step) -> String {
    let cause = step.expected["cause"].as_str();
    let wanted = cause.or(step.expected["verdict"].as_str());
    wanted.unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(fits("*", "d01") && fits("d*", "d01") && fits("d*1", "d01") && fits("d01", "d01"));
        assert!(!fits("t*", "d01") && !fits("d*2", "d01") && !fits("d0", "d01"));
    }
}
