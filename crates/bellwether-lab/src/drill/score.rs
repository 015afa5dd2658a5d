//! How often the right cause was found.

use serde::{Deserialize, Serialize};

use super::compare::named;
use super::{ScenarioReport, StepReport};
use crate::scenario::{ExpectSpec, Spec};
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
    /// Healthy steps for which an outage or a warning was named.
    pub false_alarms: usize,
}

impl Score {
    pub(super) fn of<'a>(results: impl Iterator<Item = (&'a Spec, &'a ScenarioReport)>) -> Self {
        let mut score = Self::default();
        let (mut faults, mut causes, mut layers) = (0_usize, 0_usize, 0_usize);
        for (spec, report) in results {
            score.rows += 1;
            for step in &report.steps {
                let Some(expect) = spec.expect.get(&step.name) else {
                    continue;
                };
                match expect.cause.flatten() {
                    Some(cause) => {
                        faults += 1;
                        let (cause_right, layer_right) = score.fault(cause, expect, step);
                        causes += usize::from(cause_right);
                        layers += usize::from(layer_right);
                    }
                    None => score.false_alarms += usize::from(is_alarm(expect, step)),
                }
            }
        }
        score.cause_top1 = ratio(causes, faults);
        score.layer = ratio(layers, faults);
        score
    }

    fn fault(&mut self, cause: Cause, expect: &ExpectSpec, step: &StepReport) -> (bool, bool) {
        let report = Report::deserialize(&step.report).ok();
        let got = report.as_ref().and_then(named);
        let layer = expect.layer.or(cause.layer());
        match got {
            Some(got) if got.cause == cause => (true, true),
            Some(got) => {
                if got.cause == Cause::Unknown {
                    self.unknown += 1;
                } else {
                    self.wrong += 1;
                }
                (false, Some(got.layer) == layer)
            }
            None => {
                self.unknown += 1;
                (false, false)
            }
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

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        1.0
    } else {
        part as f64 / whole as f64
    }
}
