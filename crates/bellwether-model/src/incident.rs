//! Incidents: open matters with their timeline.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::report::{Scope, Severity, Verdict};
use crate::run::Digest;
use crate::{Cause, Layer};

/// Where an incident stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum IncidentState {
    /// Users fail, and nobody has taken it on.
    Open,
    /// Somebody has.
    Acknowledged,
    /// Users are served again; it is watched whether it stays so.
    Mitigated,
    /// Over.
    Resolved,
}

impl IncidentState {
    /// The name as it stands in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Mitigated => "mitigated",
            Self::Resolved => "resolved",
        }
    }
}

/// One cause, over all that it breaks and as long as it lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// Its number, from 1.
    pub id: u64,
    /// Where it stands.
    pub state: IncidentState,
    /// The code.
    #[schemars(with = "String")]
    pub cause: Cause,
    /// Its layer; for `unknown` the failing one.
    pub layer: Layer,
    /// How bad.
    pub severity: Severity,
    /// What users see at worst.
    pub verdict: Verdict,
    /// How sure, 0 to 1.
    pub confidence: f64,
    /// One sentence with names and numbers, as of the last change.
    pub summary: String,
    /// What to do.
    pub remedy: String,
    /// A command that shows the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub see: Option<String>,
    /// Causes that follow from this one.
    #[schemars(with = "Vec<String>")]
    #[serde(default)]
    pub consequences: Vec<Cause>,
    /// The checks that it breaks or broke, sorted by name.
    pub checks: Vec<AffectedCheck>,
    /// Who is or was affected at the widest.
    pub scope: Scope,
    /// What one vantage cannot separate, and the like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caveats: Vec<String>,
    /// The first failing round.
    #[schemars(with = "String")]
    pub began: Timestamp,
    /// When it was opened: the alarm.
    #[schemars(with = "String")]
    pub opened: Timestamp,
    /// When it last changed.
    #[schemars(with = "String")]
    pub updated: Timestamp,
    /// When somebody took it on.
    #[schemars(with = "Option<String>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Timestamp>,
    /// When users were first served again.
    #[schemars(with = "Option<String>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mitigated: Option<Timestamp>,
    /// When it was over.
    #[schemars(with = "Option<String>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Timestamp>,
    /// It comes and goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flapping: Option<Flapping>,
    /// Reports behind it, oldest first: bounded, the first and the newest are always there.
    #[schemars(with = "Vec<String>")]
    #[serde(default)]
    pub evidence: Vec<Digest>,
    /// What happened, oldest first.
    #[serde(default)]
    pub timeline: Vec<Moment>,
}

/// A check that an incident breaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AffectedCheck {
    /// `service/check`.
    pub check: String,
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// Until when, where it is over.
    #[schemars(with = "Option<String>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Who is affected of it, as of its last judgement.
    #[serde(default)]
    pub scope: Scope,
}

/// How it comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Flapping {
    /// Times that it came back.
    pub count: u32,
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// Mean time from one coming to the next, seconds.
    pub period_seconds: f64,
    /// Share of the time in which users failed.
    pub duty: f64,
}

/// A line of a timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What kind.
    pub kind: MomentKind,
    /// In words, with names and numbers.
    pub text: String,
    /// The report that shows it.
    #[schemars(with = "Option<String>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Digest>,
}

/// What a line of a timeline tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MomentKind {
    /// The first round that failed.
    FirstFailure,
    /// It was opened.
    Alarm,
    /// More fails: a resolver, an address, a check, a vantage.
    Growth,
    /// Something of it works again, and not all.
    Shrinkage,
    /// It fails in another way: another rcode of a name server, another owner, another layer.
    Phase,
    /// The judgement changed: another cause.
    Cause,
    /// Users are served again.
    Healing,
    /// It is over.
    Resolved,
    /// It came back before it was over.
    Reopened,
    /// It comes and goes; further changes are damped.
    Flapping,
    /// Somebody took it on.
    Acknowledged,
    /// Somebody's words.
    Note,
    /// About ourselves: a restart, a gap in what we saw.
    Monitor,
}
