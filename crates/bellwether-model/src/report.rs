//! The report of one check, `bellwether.check/1`, and what the next check needs of it.

use std::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::service::Expect;
use crate::{Cause, DnsName, Fact, Layer, Observation, Owner, Target};

/// The schema that a report names.
pub const REPORT_SCHEMA: &str = "bellwether.check/1";

/// What became of the service, as users see it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every path that a user could take works.
    Healthy,
    /// A user's attempt fails on some of them.
    Degraded,
    /// It fails on all of them.
    Broken,
    /// Our own vantage is at fault.
    Unknown,
}

impl Verdict {
    /// The name as it stands in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
        }
    }
}

/// How bad.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Users fail.
    Critical,
    /// No outage yet.
    Warning,
    /// Worth knowing.
    Notice,
}

/// What a finding is to the others.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It explains failures that no other finding does.
    Root,
    /// A root predicts it.
    Consequence,
    /// No user fails by it.
    Warning,
}

/// Who is affected. One shape everywhere; what does not apply is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Scope {
    /// Vantages from which it is seen.
    pub vantages: Vec<String>,
    /// Resolvers through which users fail, as asked; `own` for our iteration where no resolver
    /// was asked.
    pub resolvers: Vec<String>,
    /// Name servers at fault, as `NAME@ADDRESS`, or `NAME` without address.
    pub name_servers: Vec<String>,
    /// Addresses of the service that fail, or that are wrong.
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<IpAddr>,
    /// Address families in which users fail.
    pub families: Vec<String>,
    /// Client profiles that fail.
    pub profiles: Vec<String>,
    /// Owners of the failing or wrong addresses, `AS64511 Foreign`.
    pub owners: Vec<String>,
    /// The chance that a user's attempt fails, 0 to 1.
    pub share: f64,
    /// Since when, if known.
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
}

/// One judged cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The code.
    #[schemars(with = "String")]
    pub cause: Cause,
    /// Its layer; for `unknown` the failing one.
    pub layer: Layer,
    /// What it is to the others.
    pub role: Role,
    /// How bad.
    pub severity: Severity,
    /// How sure, 0 to 1.
    #[serde(default)]
    pub confidence: f64,
    /// Who is affected.
    #[serde(default)]
    pub scope: Scope,
    /// One sentence with names and numbers.
    pub summary: String,
    /// What to do.
    #[serde(default)]
    pub remedy: String,
    /// A command that shows the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub see: Option<String>,
    /// What it was concluded from.
    #[serde(default)]
    pub facts: Vec<Fact>,
    /// The observations that prove it.
    #[serde(default)]
    pub evidence: Vec<String>,
}

/// A cause that was considered and lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alternative {
    /// The code.
    #[schemars(with = "String")]
    pub cause: Cause,
    /// How likely.
    pub confidence: f64,
    /// Facts that speak against it.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub against: Vec<crate::FactKind>,
}

/// The finding that explains the outage, in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// The code.
    #[schemars(with = "String")]
    pub cause: Cause,
    /// Its layer; for `unknown` the failing one.
    pub layer: Layer,
    /// How bad.
    pub severity: Severity,
    /// How sure, 0 to 1.
    pub confidence: f64,
    /// One sentence with names and numbers.
    pub summary: String,
    /// Who is affected.
    pub scope: Scope,
    /// Causes that follow from this one.
    #[schemars(with = "Vec<String>")]
    pub consequences: Vec<Cause>,
    /// What to do.
    pub remedy: String,
    /// A command that shows the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub see: Option<String>,
    /// The observations that prove it.
    pub evidence: Vec<String>,
    /// What it was concluded from.
    pub facts: Vec<Fact>,
    /// What else was considered.
    #[serde(default)]
    pub alternatives: Vec<Alternative>,
    /// What was looked for and could not be known, each with what would tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_excluded: Vec<String>,
    /// What else a reader wants to know of this cause, a label and a sentence each: resolvers
    /// still right and until when, for example.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
}

/// A labelled sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Detail {
    /// For example `still_right`.
    pub label: String,
    /// The sentence.
    pub text: String,
    /// Observations that show it.
    #[serde(default)]
    pub evidence: Vec<String>,
}

/// State of a layer.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum LayerState {
    /// Everything judged in it works.
    Ok,
    /// Everything judged in it fails.
    Failed,
    /// Some of it fails.
    Degraded,
    /// It could not be judged.
    Unknown,
    /// Nothing was asked of it, since what it needs failed.
    Skipped,
}

/// One layer's line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LayerReport {
    /// The layer.
    pub layer: Layer,
    /// Its state.
    pub state: LayerState,
    /// How long its probes took, milliseconds.
    #[serde(default)]
    pub took_ms: f64,
    /// In words.
    #[serde(default)]
    pub summary: String,
}

/// State of a control.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ControlState {
    /// It works.
    Ok,
    /// It does not.
    Failed,
}

/// One control's line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ControlReport {
    /// The control and the way to it, for example `a.root-servers.net. via 9.9.9.9`.
    pub name: String,
    /// Its state.
    pub state: ControlState,
}

/// What the check was given: all that judging needs besides the observations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// What was aimed at.
    pub target: Target,
    /// The expectations.
    pub expect: Expect,
    /// From where.
    pub vantage: String,
    /// As of when validity is judged.
    pub now: Timestamp,
    /// Was the time given (`--at`)? Then our clock is not judged.
    #[serde(default)]
    pub time_given: bool,
    /// Only this family was to be judged (`-4`, `-6`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<crate::net::Family>,
    /// What was last known good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
}

/// The report of one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// `bellwether.check/1`.
    pub schema: String,
    /// Version of the program.
    pub version: String,
    /// What was aimed at.
    pub target: String,
    /// When it began, RFC 3339.
    #[schemars(with = "String")]
    pub began: Timestamp,
    /// How long it took, milliseconds.
    pub took_ms: f64,
    /// What became of the service.
    pub verdict: Verdict,
    /// The lowest cause whose evidence suffices; null when nothing is broken.
    pub diagnosis: Option<Diagnosis>,
    /// Everything found.
    pub findings: Vec<Finding>,
    /// Layer by layer.
    pub layers: Vec<LayerReport>,
    /// What must work if the vantage works.
    pub controls: Vec<ControlReport>,
    /// Sequential waits for the network on the longest chain.
    pub critical_path: u32,
    /// DNS queries sent.
    #[serde(default)]
    pub queries: u32,
    /// The most memory that a worker of this check held, KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_kib: Option<u64>,
    /// What the check was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub context: Option<Context>,
    /// What was seen.
    pub observations: Vec<Observation>,
}

/// What was last known good: what a healthy report leaves for the next check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// As of when.
    pub at: Timestamp,
    /// The zones on the way to the name.
    #[serde(default)]
    pub zones: Vec<BaselineZone>,
    /// The addresses that answered, and how.
    #[serde(default)]
    pub addresses: Vec<BaselineAddress>,
    /// Alias chain of the name, without the name itself.
    #[serde(default)]
    pub aliases: Vec<DnsName>,
    /// The longest TTL that a name server gave for the addresses, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
}

/// A zone as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineZone {
    /// Apex.
    pub zone: DnsName,
    /// The NS set at the parent, sorted.
    pub parent_names: Vec<DnsName>,
    /// Its name servers with their addresses.
    pub servers: Vec<BaselineServer>,
    /// The newest serial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u32>,
    /// Did it hold the name?
    #[serde(default)]
    pub holds_name: bool,
}

/// A name server as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineServer {
    /// Name.
    pub name: DnsName,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
}

/// An address as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineAddress {
    /// The address.
    pub address: IpAddr,
    /// Its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// SHA-256 of its certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Did it ask for a client certificate?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert_requested: Option<bool>,
    /// The certificate's issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Signed certificate timestamps in it.
    #[serde(default)]
    pub scts: usize,
    /// Subjects of the CA certificates sent along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intermediates: Vec<String>,
}
