//! A judged trace in brief: the verdict, what it blames, what it saw.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwether_model::report::{ControlState, LayerState, Role, Severity};
use bellwether_model::{Cause, CheckId, Digest, Finding, Layer, Report, Scope, VantageId, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::JudgedTrace;
use super::party::{self, Party};
use super::seen::Seen;

/// What a trace blames.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Blamed {
    pub cause: Cause,
    pub layer: Layer,
    pub severity: Severity,
    pub verdict: Verdict,
    pub confidence: f64,
    pub summary: String,
    pub remedy: String,
    pub see: Option<String>,
    pub consequences: Vec<Cause>,
    pub scope: Scope,
    pub parties: BTreeSet<Party>,
}

impl Blamed {
    /// Does it concern ourselves?
    pub(super) fn is_ours(&self) -> bool {
        party::is_ours(self.cause, self.layer)
    }

    fn of(finding: &Finding, report: &Report, check: &CheckId, vantage: &VantageId) -> Self {
        Self {
            cause: finding.cause,
            layer: finding.layer,
            severity: finding.severity,
            verdict: report.verdict,
            confidence: finding.confidence,
            summary: finding.summary.clone(),
            remedy: finding.remedy.clone(),
            see: finding.see.clone(),
            consequences: Vec::new(),
            scope: finding.scope.clone(),
            parties: party::of(finding, report, check, vantage),
        }
    }
}

/// How many controls were asked, and how many answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Controls {
    pub asked: usize,
    pub answered: usize,
}

/// A judged trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Brief {
    pub began: Timestamp,
    pub evidence: Option<Digest>,
    pub verdict: Verdict,
    /// What users fail by, the diagnosis first. Of a healthy trace there are none.
    pub roots: Vec<Arc<Blamed>>,
    /// What is about to break.
    pub warnings: Vec<Blamed>,
    pub seen: Arc<Seen>,
    pub controls: Controls,
}

impl Brief {
    pub(super) fn of(trace: &JudgedTrace<'_>) -> Self {
        let report = trace.report;
        let blamed = |f: &Finding| Blamed::of(f, report, trace.check, trace.vantage);
        let with = |role: Role| report.findings.iter().filter(move |f| f.role == role);
        let mut roots: Vec<Blamed> = match report.verdict {
            Verdict::Healthy => Vec::new(),
            Verdict::Degraded | Verdict::Broken => {
                let theirs = with(Role::Root).map(blamed);
                theirs.filter(|b| !b.is_ours()).collect()
            }
            // The rest of such a report says nothing about the target.
            Verdict::Unknown => with(Role::Root)
                .map(blamed)
                .filter(Blamed::is_ours)
                .collect(),
        };
        if report.verdict != Verdict::Healthy && roots.is_empty() {
            roots.push(unexplained(trace));
        }
        let mut roots = one_per_cause(roots);
        if let Some(first) = roots.first_mut() {
            let mut follow: Vec<Cause> = with(Role::Consequence).map(|f| f.cause).collect();
            follow.dedup();
            first.consequences = follow;
        }
        let warns = with(Role::Warning).filter(|f| f.severity == Severity::Warning);
        let warnings = match report.verdict {
            Verdict::Unknown => Vec::new(),
            Verdict::Healthy | Verdict::Degraded | Verdict::Broken => warns.map(blamed).collect(),
        };
        let answered = report
            .controls
            .iter()
            .filter(|c| c.state == ControlState::Ok);
        Self {
            began: report.began,
            evidence: trace.evidence,
            verdict: report.verdict,
            roots: roots.into_iter().map(Arc::new).collect(),
            warnings,
            seen: Arc::new(Seen::of(report)),
            controls: Controls {
                asked: report.controls.len(),
                answered: answered.count(),
            },
        }
    }

    /// Does it say that users fail?
    pub(super) fn is_bad(&self) -> bool {
        matches!(self.verdict, Verdict::Degraded | Verdict::Broken)
    }
}

/// Two findings of one cause in one report are one trouble of the check.
fn one_per_cause(roots: Vec<Blamed>) -> Vec<Blamed> {
    let mut kept: Vec<Blamed> = Vec::new();
    for mut root in roots {
        match kept.iter_mut().find(|k| k.cause == root.cause) {
            Some(first) => {
                first.parties.append(&mut root.parties);
                super::scopes::widen(&mut first.scope, &root.scope);
            }
            None => kept.push(root),
        }
    }
    kept
}

/// Something is broken, and no finding says what.
fn unexplained(trace: &JudgedTrace<'_>) -> Blamed {
    let report = trace.report;
    let failing = |s: LayerState| matches!(s, LayerState::Failed | LayerState::Degraded);
    let lowest = report.layers.iter().find(|l| failing(l.state));
    let layer = match report.verdict {
        Verdict::Unknown => Layer::Monitor,
        _ => lowest.map_or(Layer::App, |l| l.layer),
    };
    let ours = layer == Layer::Monitor;
    let party = if ours {
        Party::Vantage(trace.vantage.as_str().to_owned())
    } else {
        Party::Check(trace.check.to_string())
    };
    let diagnosis = report.diagnosis.as_ref();
    Blamed {
        cause: diagnosis.map_or(Cause::Unknown, |d| d.cause),
        layer,
        severity: Severity::Critical,
        verdict: report.verdict,
        confidence: diagnosis.map_or(0.0, |d| d.confidence),
        summary: diagnosis.map_or_else(
            || {
                format!(
                    "{} is {} and no rule explains it",
                    report.target,
                    report.verdict.name()
                )
            },
            |d| d.summary.clone(),
        ),
        remedy: diagnosis.map(|d| d.remedy.clone()).unwrap_or_default(),
        see: diagnosis.and_then(|d| d.see.clone()),
        consequences: Vec::new(),
        scope: diagnosis.map(|d| d.scope.clone()).unwrap_or_default(),
        parties: BTreeSet::from([party]),
    }
}
