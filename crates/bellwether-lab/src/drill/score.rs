//! How often the right cause was found.

use serde::{Deserialize, Serialize};

use bellwether_model::{Cause, Incident, Layer, Report, Scope, Verdict};

use super::compare::{named, noticed, scope_hits};
use super::look::found;
use super::{ScenarioReport, StepReport};
use crate::scenario::expect::ScopeExpect;
use crate::scenario::{ExpectSpec, IncidentExpect};

/// The scoreboard of a drill.
///
/// A row is one scenario with one seed. Faults are the check steps that expect a cause, and the
/// incidents that a look expects by their cause; the others are healthy ones.
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
            if let Some(wanted) = &expect.incidents {
                self.look(wanted, step);
            }
            match expect.cause.flatten() {
                Some(cause) => self.check(cause, expect, step),
                None => self.score.false_alarms += usize::from(is_alarm(expect, step)),
            }
        }
    }

    /// The fault of a check step.
    fn check(&mut self, cause: Cause, expect: &ExpectSpec, step: &StepReport) {
        self.took_ms.extend(step.report["took_ms"].as_f64());
        let report = Report::deserialize(&step.report).ok();
        let layer = expect.layer.or(cause.layer());
        // A row may expect what is only noticed; any other notice names no fault.
        let is_it = |report| noticed(report).filter(|n| n.cause == cause);
        let got = report.as_ref().and_then(|r| named(r).or_else(|| is_it(r)));
        let got = got.map(|named| (named.cause, named.layer, named.scope));
        self.fault(cause, layer, expect.scope.as_ref(), got);
    }

    /// The incidents of a look: each is a fault; where there should be none, any is a false alarm.
    fn look(&mut self, wanted: &[IncidentExpect], step: &StepReport) {
        let got = Vec::<Incident>::deserialize(&step.report["incidents"]);
        let got = got.unwrap_or_default();
        if wanted.is_empty() {
            self.score.false_alarms += usize::from(!got.is_empty());
        }
        for (wanted, found) in wanted.iter().zip(found(wanted, &got)) {
            if let Some(cause) = wanted.cause {
                let layer = wanted.layer.or(cause.layer());
                self.fault(cause, layer, wanted.scope.as_ref(), found);
            }
        }
    }

    fn fault(
        &mut self,
        cause: Cause,
        layer: Option<Layer>,
        scope: Option<&ScopeExpect>,
        got: Option<(Cause, Layer, &Scope)>,
    ) {
        self.faults += 1;
        if let Some(scope) = scope {
            let hits = scope_hits(scope, got.map(|(_, _, scope)| scope));
            self.hits = std::array::from_fn(|i| self.hits[i] + hits[i]);
        }
        match got {
            Some((named, _, _)) if named == cause => {
                self.causes += 1;
                self.layers += 1;
            }
            Some((named, named_layer, _)) => {
                if named == Cause::Unknown {
                    self.score.unknown += 1;
                } else {
                    self.score.wrong += 1;
                }
                self.layers += usize::from(Some(named_layer) == layer);
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
