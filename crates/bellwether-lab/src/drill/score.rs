//! How often the right cause was found.

use serde::{Deserialize, Serialize};

use super::compare::{named, noticed, scope_hits};
use super::{ScenarioReport, StepReport};
use crate::scenario::ExpectSpec;
use bellwether_model::{Cause, Report, Verdict};

/// The scoreboard of a drill.
///
/// A row is one scenario with one seed. Faults are the check steps that expect a cause; the others
/// are healthy ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Scenarios times seeds.
    pub rows: usize,
    /// Share of faults whose cause was named, 0 to 1.
    pub cause_top1: f64,
    /// Share of faults whose layer was named, 0 to 1.
    pub layer: f64,
    /// Faults for which another code was named.
    pub wrong: usize,
    /// Faults for which `unknown` was named, or nothing.
    pub unknown: usize,
    /// How well the scopes named agree with those expected, 0 to 1: the harmonic mean of precision
    /// and recall (F1) over every entry of every key of a scope that a scenario gives.
    pub scope_f1: f64,
    /// How long checks of faults took until their report was whole: the median, milliseconds.
    pub diagnosed_ms: f64,
    /// Healthy steps for which an outage or a warning was named.
    pub false_alarms: usize,
}

/// What a score is computed from, scenario by scenario.
#[derive(Debug, Default)]
pub(super) struct Tally {
    score: Score,
    faults: usize,
    causes: usize,
    layers: usize,
    /// Entries of scopes that were named and expected, named alone, expected alone.
    hits: [usize; 3],
    took_ms: Vec<f64>,
}

impl Tally {
    pub(super) fn add(&mut self, scenario: &ScenarioReport) {
        self.score.rows += usize::from(scenario.skipped.is_none());
        for step in &scenario.steps {
            let Some(expect) = &step.expected else {
                continue;
            };
            match expect.cause.flatten() {
                Some(cause) => self.fault(cause, expect, step),
                None => self.score.false_alarms += usize::from(is_alarm(expect, step)),
            }
        }
    }

    fn fault(&mut self, cause: Cause, expect: &ExpectSpec, step: &StepReport) {
        self.faults += 1;
        self.took_ms.extend(step.report["took_ms"].as_f64());
        let report = Report::deserialize(&step.report).ok();
        let layer = expect.layer.or(cause.layer());
        // A row may expect what is only noticed; any other notice names no fault.
        let is_it = |report| noticed(report).filter(|n| n.cause == cause);
        let got = report.as_ref().and_then(|r| named(r).or_else(|| is_it(r)));
        if let Some(scope) = &expect.scope {
            let found = scope_hits(scope, got.as_ref());
            self.hits = std::array::from_fn(|i| self.hits[i] + found[i]);
        }
        match got {
            Some(got) if got.cause == cause => {
                self.causes += 1;
                self.layers += 1;
            }
            Some(got) => {
                if got.cause == Cause::Unknown {
                    self.score.unknown += 1;
                } else {
                    self.score.wrong += 1;
                }
                self.layers += usize::from(Some(got.layer) == layer);
            }
            None => self.score.unknown += 1,
        }
    }

    pub(super) fn score(self) -> Score {
        let [right, wrong, missed] = self.hits;
        Score {
            scope_f1: ratio(2 * right, 2 * right + wrong + missed),
            diagnosed_ms: median(self.took_ms),
            cause_top1: ratio(self.causes, self.faults),
            layer: ratio(self.layers, self.faults),
            ..self.score
        }
    }
}

fn is_alarm(expect: &ExpectSpec, step: &StepReport) -> bool {
    let Ok(report) = Report::deserialize(&step.report) else {
        return false;
    };
    let healthy = expect.verdict.unwrap_or(Verdict::Healthy) == Verdict::Healthy;
    healthy && (named(&report).is_some() || report.verdict != Verdict::Healthy)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        1.0
    } else {
        part as f64 / whole as f64
    }
}
