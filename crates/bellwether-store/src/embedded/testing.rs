//! What the tests of the rooms share: a store without a reserve, and plain runs.

use bellwether_model::run::{Phases, RunOutcome, Trigger};
use bellwether_model::{CheckId, Envelope, Run, VantageId};
use jiff::Timestamp;

use super::Options;

/// 2026-03-10 12:00:00 UTC.
pub(crate) const NOON: Timestamp = Timestamp::constant(1_773_144_000, 0);

pub(crate) fn options() -> Options {
    Options {
        now: NOON,
        reserve_bytes: 0,
    }
}

/// The check of all of these runs.
pub(crate) fn check() -> CheckId {
    CheckId::new("shop", "main")
}

/// Where all of them were made.
pub(crate) fn vantage() -> VantageId {
    VantageId::new("local")
}

/// A run that was served.
pub(crate) fn run(sequence: u64, due: Timestamp) -> Run {
    Run {
        check: check(),
        vantage: vantage(),
        sequence,
        due,
        late: 300,
        every: 1_000,
        trigger: Trigger::Schedule,
        outcome: RunOutcome::Ok,
        layer: None,
        symptom: None,
        resolver: None,
        address: None,
        status: Some(200),
        size: Some(10),
        certificate: None,
        certificate_ends: None,
        evidence: None,
        clock_offset_ms: None,
        phases: Phases::default(),
    }
}

pub(crate) fn envelope(number: u64, runs: Vec<Run>) -> Envelope {
    Envelope {
        agent: "a".into(),
        boot: 1,
        number,
        runs,
    }
}
