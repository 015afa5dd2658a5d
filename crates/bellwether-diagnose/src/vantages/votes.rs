//! What the traces of a vantage say of itself, by their controls.

use std::time::Duration;

use bellwether_model::report::Role;
use bellwether_model::{Cause, CheckId, Finding, Layer, Report, VantageId, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// So many traces in a row must say that the vantage is at fault, and as many that it is not.
const VOTES: u8 = 2;

/// While it is at fault it is looked this often whether it still is; more often where runs are, but no
/// more often than the second.
const ASKED_EVERY: Duration = Duration::from_secs(60);
const ASKED_EVERY_MIN: Duration = Duration::from_secs(3);

/// What traces say of their vantage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Votes {
    /// Traces in a row that blame the vantage, and those that do not.
    bad: u8,
    good: u8,
    /// When the first of the former began.
    since: Option<Timestamp>,
    /// What the newest of them blames.
    blames: Option<(Cause, String, String)>,
    /// The resolvers that it blames, where it blames some.
    resolvers: Vec<String>,
    stands: Option<Cause>,
    /// The check whose trace said so, and when one was last asked for.
    check: Option<CheckId>,
    asked: Option<Timestamp>,
}

impl Votes {
    /// Takes in a trace. Tells whether another one is wanted at once.
    pub(super) fn vote(&mut self, check: &CheckId, report: &Report, now: Timestamp) -> bool {
        match blamed(report) {
            Some(finding) => {
                self.good = 0;
                self.bad = self.bad.saturating_add(1);
                if self.stands.is_none() && self.bad == 1 {
                    self.since = Some(report.began);
                }
                let Finding {
                    cause,
                    summary,
                    remedy,
                    scope,
                    ..
                } = finding;
                self.resolvers.clone_from(&scope.resolvers);
                self.blames = Some((*cause, summary.clone(), remedy.clone()));
                self.check = Some(check.clone());
                if self.bad >= VOTES {
                    self.stands = Some(*cause);
                }
                self.wants(self.bad < VOTES && self.stands.is_none(), now)
            }
            // That probes did not run says nothing of the vantage's network.
            None if report.verdict == Verdict::Unknown => false,
            None => {
                self.bad = 0;
                self.good = self.good.saturating_add(1);
                if self.good >= VOTES {
                    self.stands = None;
                    self.check = None;
                }
                self.wants(self.stands.is_some(), now)
            }
        }
    }

    fn wants(&mut self, wants: bool, now: Timestamp) -> bool {
        if wants {
            self.asked = Some(now);
        }
        wants
    }

    /// What the vantage is at fault by.
    pub(super) fn stands(&self) -> Option<Cause> {
        self.stands
    }

    pub(super) fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// The resolvers that are at fault, where that is known.
    pub(super) fn resolvers(&self) -> &[String] {
        &self.resolvers
    }

    /// The sentence, and what to do.
    pub(super) fn words(&self, vantage: &VantageId) -> (String, String) {
        let blames = self.blames.as_ref();
        let summary = blames.map_or("its controls fail", |(_, summary, _)| summary);
        let remedy = blames.map(|(_, _, remedy)| remedy.clone());
        (
            format!("at {vantage}: {summary}"),
            remedy.unwrap_or_default(),
        )
    }

    /// The check of which a trace is due, while the vantage is at fault.
    pub(super) fn asks(&mut self, every: Duration, now: Timestamp) -> Option<CheckId> {
        self.stands?;
        let pace = every.clamp(ASKED_EVERY_MIN, ASKED_EVERY);
        let is_due = self
            .asked
            .is_none_or(|asked| super::is_older(asked, pace, now));
        if !is_due {
            return None;
        }
        self.asked = Some(now);
        self.check.clone()
    }

    pub(super) fn clock_moved(&mut self, now: Timestamp) {
        self.asked = self.asked.map(|at| at.min(now));
        self.since = self.since.map(|at| at.min(now));
    }
}

/// The finding by which a trace blames its own vantage. That one check's probes hang or harm us says
/// nothing of the others.
pub(super) fn blamed(report: &Report) -> Option<&Finding> {
    if report.verdict != Verdict::Unknown {
        return None;
    }
    let of_one = |cause| {
        matches!(
            cause,
            Cause::MonitorProbeHung | Cause::MonitorCheckPoisoned | Cause::MonitorCoverageGap
        )
    };
    let mut roots = report.findings.iter().filter(|f| f.role == Role::Root);
    roots.find(|f| f.layer == Layer::Monitor && !of_one(f.cause))
}
