//! Judging: one check's observations become facts, findings and one diagnosis.
//!
//! Pure: no clock, no socket, no file. The same situation gives the same judgement, in whatever
//! order its observations come. `situation.context.now` is the only time.
//!
//! The data runs one way: observations → [`picture`] (put in order) → [`facts`] (typed, each with
//! what it speaks of) → [`rules`] (causes as rows) → [`candidates`] (rows that fire, with the
//! failures of users, [`units`], that they explain, [`blame`]) → [`judge`] (roots, consequences,
//! warnings, verdict) → [`words`], [`scope`], [`layers`]; [`report`] puts it together.
//!
//! The heart is provenance: a failing address is explained by the delegation, the name server or
//! the resolver that handed it out before TLS or HTTP is blamed.

pub mod baseline;
pub mod blame;
pub mod candidates;
pub mod detect;
pub mod facts;
pub mod fate;
pub mod incidents;
pub mod judge;
pub mod layers;
pub mod picture;
pub mod report;
pub mod rules;
pub mod scope;
pub mod suffix;
pub mod units;
pub mod vantages;
pub mod visit;
pub mod words;

use bellwether_model::report::{Context, ControlReport, LayerReport};
use bellwether_model::{Baseline, Diagnosis, Finding, Observation, Report, Verdict};

pub use rules::causes_with_rules;

/// Everything that judging looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct Situation {
    /// What the check was given.
    pub context: Context,
    /// What was seen.
    pub observations: Vec<Observation>,
}

/// What it came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// What became of the service.
    pub verdict: Verdict,
    /// The lowest cause whose evidence suffices.
    pub diagnosis: Option<Diagnosis>,
    /// Everything found, sorted.
    pub findings: Vec<Finding>,
    /// Layer by layer.
    pub layers: Vec<LayerReport>,
    /// The controls.
    pub controls: Vec<ControlReport>,
}

/// Judges one check.
#[must_use]
pub fn diagnose(situation: &Situation) -> Judged {
    let picture = picture::Picture::of(situation);
    let judge::Judgement {
        verdict,
        findings,
        diagnosis,
    } = judge::judge(&picture);
    let layers = layers::layers(&picture, &findings, &situation.observations);
    let controls = layers::controls(&picture);
    Judged {
        verdict,
        diagnosis,
        findings,
        layers,
        controls,
    }
}

/// What a healthy report leaves for the next check; `None` if it was not healthy.
#[must_use]
pub fn baseline_of(report: &Report) -> Option<Baseline> {
    baseline::of(report)
}
