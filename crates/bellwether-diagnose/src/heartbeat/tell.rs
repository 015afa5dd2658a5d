//! How a job stands, as a report: the sentence, the facts, what to do.

use bellwether_model::report::{REPORT_SCHEMA, Role, Severity};
use bellwether_model::text::inert;
use bellwether_model::{
    Cause, CheckId, Diagnosis, Fact, FactKind, Finding, Layer, Report, Scope, Verdict,
};
use jiff::Timestamp;
use serde_json::json;

use super::{Awaited, Heard, State, Terms};
use crate::words::span;

/// Characters of what a job said that stand in a sentence.
const SENTENCE_LOG_MAX: usize = 160;
/// Characters of it that stand in a fact.
const FACT_LOG_MAX: usize = 600;

/// The report of how a job stands; `None` while that is unknown. Its `began` is `now`.
#[must_use]
pub fn report(
    heard: &Heard,
    terms: &Terms<'_>,
    state: &State,
    version: &str,
    now: Timestamp,
) -> Option<Report> {
    let mut report = Report {
        schema: REPORT_SCHEMA.to_owned(),
        version: version.to_owned(),
        target: CheckId::heartbeat(terms.name).to_string(),
        began: now,
        took_ms: 0.0,
        verdict: state.verdict,
        diagnosis: None,
        findings: Vec::new(),
        layers: Vec::new(),
        controls: Vec::new(),
        critical_path: 0,
        queries: 0,
        peak_kib: None,
        context: None,
        observations: Vec::new(),
    };
    match state.verdict {
        Verdict::Unknown => return None,
        Verdict::Healthy => return Some(report),
        Verdict::Degraded | Verdict::Broken => {}
    }
    let (cause, layer) = (Cause::AppStepFailed, Layer::App);
    let scope = Scope {
        since: state.since,
        ..Scope::default()
    };
    let finding = Finding {
        cause,
        layer,
        role: Role::Root,
        severity: Severity::Critical,
        confidence: 0.99,
        scope,
        summary: summary(heard, terms, state),
        remedy: remedy(terms, state),
        see: None,
        facts: facts(heard, terms, state, now),
        evidence: Vec::new(),
    };
    report.diagnosis = Some(Diagnosis {
        cause,
        layer,
        severity: finding.severity,
        confidence: finding.confidence,
        summary: finding.summary.clone(),
        scope: finding.scope.clone(),
        consequences: Vec::new(),
        remedy: finding.remedy.clone(),
        see: None,
        evidence: Vec::new(),
        facts: finding.facts.clone(),
        alternatives: Vec::new(),
        not_excluded: Vec::new(),
        details: Vec::new(),
    });
    report.findings.push(finding);
    Some(report)
}

/// What a stranger's job said, in one line, with nothing in it that acts: the end of it, at most so
/// many characters before they are escaped.
#[must_use]
pub fn excerpt(log: &str, max: usize) -> String {
    let words: Vec<&str> = log.split_whitespace().collect();
    let line = words.join(" ");
    let len = line.chars().count();
    let end: String = line.chars().skip(len.saturating_sub(max)).collect();
    let cut = if len > max { "…" } else { "" };
    // Escapes are longer than what they stand for.
    format!("{cut}{}", inert(&end, max))
}

/// A time with its date and seconds: it says when, not how long ago, so that the sentence stays true.
fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn summary(heard: &Heard, terms: &Terms<'_>, state: &State) -> String {
    let name = terms.name;
    let mut said = Vec::new();
    if let Some(end) = heard.ended.as_ref().filter(|_| state.failed) {
        let how = match end.exit {
            Some(exit) => format!("failed with exit status {exit}"),
            None => "reported failure".to_owned(),
        };
        let log = end.log.as_deref().map(|log| excerpt(log, SENTENCE_LOG_MAX));
        let log = log.map_or_else(String::new, |log| format!(": {log}"));
        said.push(format!("heartbeat {name} {how} at {}{log}", clock(end.at)));
    }
    if state.missed
        && let Some(due) = state.due
    {
        let due = clock(due);
        said.push(match state.awaited {
            Awaited::End { began } => {
                let limit = terms.max_run.map_or(0, |max_run| max_run.as_secs());
                format!(
                    "heartbeat {name} began a run at {} that did not end by {due}, its limit of {}",
                    clock(began),
                    span(limit)
                )
            }
            Awaited::Report => {
                let last = match heard.ended.as_ref().map(|end| end.at) {
                    Some(at) => format!("its last report came at {}", clock(at)),
                    None => "it never did".to_owned(),
                };
                let grace = span(terms.grace.as_secs());
                let begun = heard.running_since().map_or_else(String::new, |began| {
                    format!("; a run began at {} and has not ended", clock(began))
                });
                format!(
                    "heartbeat {name} did not report by {due}, nor within {grace} of grace; {last}{begun}"
                )
            }
        });
    }
    said.join(". ")
}

fn remedy(terms: &Terms<'_>, state: &State) -> String {
    let name = terms.name;
    match (state.missed, state.awaited) {
        (false, _) => {
            format!("Look at the log of the job {name}; its next success ends this incident")
        }
        (true, Awaited::End { .. }) => format!(
            "Look whether the job {name} still runs, and on what it waits; `max_run` is how long it may take"
        ),
        (true, Awaited::Report) => format!(
            "Look on its machine whether the job {name} was started (crontab, systemd timer), how it ended, and whether that machine reaches this hub"
        ),
    }
}

fn facts(heard: &Heard, terms: &Terms<'_>, state: &State, now: Timestamp) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |fact, value| {
        facts.push(Fact {
            fact,
            value,
            from: Vec::new(),
        });
    };
    let missed = state.due.zip(state.late_by(now));
    if let Some((due, late)) = missed {
        let (awaited, began) = match state.awaited {
            Awaited::Report => ("report", heard.running_since()),
            Awaited::End { began } => ("end", Some(began)),
        };
        let value = json!({
            "heartbeat": terms.name,
            "awaited": awaited,
            "due": due,
            "late_seconds": late.as_secs(),
            "grace_seconds": terms.grace.as_secs(),
            "last_ping": heard.last_ping,
            "last_success": heard.last_success,
            "running_since": began,
        });
        add(FactKind::HeartbeatMissed, value);
    }
    if let Some(end) = heard.ended.as_ref().filter(|_| state.failed) {
        let value = json!({
            "heartbeat": terms.name,
            "at": end.at,
            "exit": end.exit,
            "took_ms": end.took_ms,
            "log": end.log.as_deref().map(|log| excerpt(log, FACT_LOG_MAX)),
            "since": heard.failing_since,
            "last_success": heard.last_success,
        });
        add(FactKind::HeartbeatFailed, value);
    }
    facts
}
