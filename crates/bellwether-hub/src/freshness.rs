//! Silence is never green: checks that give no result, as reports about ourselves.

use std::time::Duration;

use bellwether_model::report::{REPORT_SCHEMA, Role, Severity};
use bellwether_model::{
    Cause, CheckId, Diagnosis, Finding, Layer, Report, Scope, VantageId, Verdict,
};
use jiff::{SignedDuration, Timestamp};

use crate::board::{CheckState, STALE_GRACE};

/// By how much the wall clock must differ from the other one to count as moved: far above what a
/// judge that was held up between two looks makes of it.
const MOVED_MIN: SignedDuration = SignedDuration::from_secs(2);

/// Notices when the wall clock is set, or the machine slept.
#[derive(Clone, Copy, Debug)]
pub struct Moves {
    wall: Timestamp,
    elapsed: Duration,
}

impl Moves {
    /// From what both clocks show now: the wall's, and one that never jumps.
    #[must_use]
    pub fn new(wall: Timestamp, elapsed: Duration) -> Self {
        Self { wall, elapsed }
    }

    /// By how much the wall clock was moved since the last look, if it was.
    pub fn look(&mut self, wall: Timestamp, elapsed: Duration) -> Option<SignedDuration> {
        let passed = elapsed.saturating_sub(self.elapsed);
        let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        let moved = wall.duration_since(self.wall).saturating_sub(passed);
        *self = Self { wall, elapsed };
        (moved.abs() >= MOVED_MIN).then_some(moved)
    }
}

/// Since when a check gave no result, if that is longer than two intervals. `judged_at` is when it last
/// was judged from where it is to come.
#[must_use]
pub fn silent_since(
    check: &CheckState,
    judged_at: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    (silent_after(check, judged_at) < now).then(|| asked_since(check, judged_at))
}

/// Until when it is in time.
#[must_use]
pub fn silent_after(check: &CheckState, judged_at: Option<Timestamp>) -> Timestamp {
    let since = asked_since(check, judged_at);
    let after = since.checked_add(check.every * 2 + STALE_GRACE);
    after.unwrap_or(Timestamp::MAX)
}

/// What this process has not had the time to ask yet is not its silence.
fn asked_since(check: &CheckState, judged_at: Option<Timestamp>) -> Timestamp {
    let since = judged_at.unwrap_or(check.known_since);
    since.max(check.known_since)
}

/// The report of a check without a result.
#[must_use]
pub fn no_result(
    check: &CheckId,
    vantage: &VantageId,
    since: Timestamp,
    version: &str,
    now: Timestamp,
) -> Report {
    let age = now.duration_since(since).as_secs();
    let at = match vantage.as_str() {
        VantageId::LOCAL => String::new(),
        elsewhere => format!(" at {elsewhere}"),
    };
    let summary = format!(
        "{check} gave no result{at} for {age} s: its probes do not end, or nobody runs them; what is true of it is unknown"
    );
    let cause = Cause::MonitorProbeHung;
    report(check, vantage, cause, summary, since, version, now)
}

/// The report of a check whose probes bring down workers.
#[must_use]
pub fn poisoned(
    check: &CheckId,
    vantage: &VantageId,
    why: &str,
    version: &str,
    now: Timestamp,
) -> Report {
    let why = bellwether_model::text::inert(why, 300);
    let summary = format!(
        "the probes of {check} bring down their worker ({why}); it is asked apart from all others, which go on in time"
    );
    report(
        check,
        vantage,
        Cause::MonitorCheckPoisoned,
        summary,
        now,
        version,
        now,
    )
}

fn report(
    check: &CheckId,
    vantage: &VantageId,
    cause: Cause,
    summary: String,
    since: Timestamp,
    version: &str,
    now: Timestamp,
) -> Report {
    let remedy = match cause {
        Cause::MonitorCheckPoisoned => format!(
            "Take {check} out of the configuration, and report the bug with the evidence of its last trace"
        ),
        _ => "Look at the log of `bellwether serve` and at the load of this machine; `bellwether status` shows which other checks are silent".to_owned(),
    };
    let scope = Scope {
        vantages: vec![vantage.to_string()],
        since: Some(since),
        ..Scope::default()
    };
    let layer = Layer::Monitor;
    let finding = Finding {
        cause,
        layer,
        role: Role::Root,
        severity: Severity::Critical,
        confidence: 0.99,
        scope: scope.clone(),
        summary: summary.clone(),
        remedy: remedy.clone(),
        see: None,
        facts: Vec::new(),
        evidence: Vec::new(),
    };
    let diagnosis = Diagnosis {
        cause,
        layer,
        severity: Severity::Critical,
        confidence: 0.99,
        summary,
        scope,
        consequences: Vec::new(),
        remedy,
        see: None,
        evidence: Vec::new(),
        facts: Vec::new(),
        alternatives: Vec::new(),
        not_excluded: Vec::new(),
        details: Vec::new(),
    };
    Report {
        schema: REPORT_SCHEMA.to_owned(),
        version: version.to_owned(),
        target: check.to_string(),
        began: now,
        took_ms: 0.0,
        verdict: Verdict::Unknown,
        diagnosis: Some(diagnosis),
        findings: vec![finding],
        layers: Vec::new(),
        controls: Vec::new(),
        critical_path: 0,
        queries: 0,
        peak_kib: None,
        context: None,
        observations: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_seen_to_move() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut moves = Moves::new(at(1_000), Duration::from_secs(5));
        assert_eq!(moves.look(at(1_010), Duration::from_secs(15)), None);
        let day = SignedDuration::from_secs(86_400);
        let seen = moves.look(at(1_011 + 86_400), Duration::from_secs(16));
        assert_eq!(seen, Some(day));
        assert_eq!(
            moves.look(at(1_012 + 86_400), Duration::from_secs(17)),
            None
        );
        let seen = moves.look(at(1_013), Duration::from_secs(18));
        assert_eq!(seen, Some(-day));
    }
}
