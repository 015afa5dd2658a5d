//! From what a check saw to its report.

use bellwether_model::report::{Context, REPORT_SCHEMA};
use bellwether_model::{Observation, Report};
use jiff::Timestamp;

use crate::{Judged, Situation, diagnose};

/// What a check gave.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it was given.
    pub context: Context,
    /// When it began.
    pub began: Timestamp,
    /// How long it took, milliseconds.
    pub took_ms: f64,
    /// DNS queries sent.
    pub queries: u32,
    /// The most memory that a worker held, KiB.
    pub peak_kib: Option<u64>,
    /// What was seen.
    pub observations: Vec<Observation>,
}

/// Judges what was seen; `version` is that of the program.
#[must_use]
pub fn report(seen: Seen, version: &str) -> Report {
    let Seen {
        context,
        began,
        took_ms,
        queries,
        peak_kib,
        observations,
    } = seen;
    let situation = Situation {
        context,
        observations,
    };
    let Judged {
        verdict,
        diagnosis,
        findings,
        layers,
        controls,
    } = diagnose(&situation);
    let Situation {
        context,
        observations,
    } = situation;
    Report {
        schema: REPORT_SCHEMA.to_owned(),
        version: version.to_owned(),
        target: context.target.text.clone(),
        began,
        took_ms: round(took_ms),
        verdict,
        diagnosis,
        findings,
        layers,
        controls,
        critical_path: observations.iter().map(|o| o.waits).max().unwrap_or(0),
        queries,
        peak_kib,
        context: Some(context),
        observations,
    }
}

/// Microseconds are as fine as the clock means anything.
fn round(millis: f64) -> f64 {
    (millis * 1000.0).round() / 1000.0
}
