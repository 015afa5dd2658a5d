//! The record of one probe run.

use std::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dns::{ControlSeen, ControlVia, Exchange, ResolverSeen, ZoneSeen};
use crate::dnssec::DnssecSeen;
use crate::http::HttpSeen;
use crate::net::{IcmpSeen, TcpSeen, TriesSeen};
use crate::tls::TlsSeen;
use crate::{DnsName, Owner};

/// The kinds of probe.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// One question to one server.
    Dns,
    /// The servers of one zone on the way to a name.
    Delegation,
    /// One resolver.
    ResolverMatrix,
    /// Signatures along the walk.
    Dnssec,
    /// The addresses found, with where each came from.
    Addresses,
    /// A connection.
    Tcp,
    /// A handshake.
    Tls,
    /// A request.
    Http,
    /// An echo.
    Icmp,
    /// A control.
    Control,
    /// The path to an address.
    Path,
}

impl ProbeKind {
    /// The name as it stands in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Delegation => "delegation",
            Self::ResolverMatrix => "resolver_matrix",
            Self::Dnssec => "dnssec",
            Self::Addresses => "addresses",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Http => "http",
            Self::Icmp => "icmp",
            Self::Control => "control",
            Self::Path => "path",
        }
    }
}

/// One probe run: what was asked, what came back, how long it took.
///
/// An observation is a fact and never a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    /// `e1`, `e2`, …: known inside one report only.
    pub id: String,
    /// The kind of probe.
    pub probe: ProbeKind,
    /// When it began, RFC 3339.
    #[schemars(with = "String")]
    pub began: Timestamp,
    /// How long it took, milliseconds.
    pub took_ms: f64,
    /// Sequential waits for the network up to its end, those of its inputs included.
    #[serde(default)]
    pub waits: u32,
    /// What came back.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub outcome: Outcome,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// One question to one server (the check's own question, for targets `dns://`).
    Dns(DnsSeen),
    /// The servers of one zone.
    Delegation(ZoneSeen),
    /// One resolver.
    ResolverMatrix(Box<ResolverSeen>),
    /// Signatures on the way to one name.
    Dnssec(Box<DnssecSeen>),
    /// The addresses found.
    Addresses(AddressesSeen),
    /// A connection.
    Tcp(TcpSeen),
    /// A handshake.
    Tls(Box<TlsSeen>),
    /// A request.
    Http(Box<HttpSeen>),
    /// Several attempts at one address, counted. Its probe is that of the last step they take.
    Tries(TriesSeen),
    /// An echo.
    Icmp(IcmpSeen),
    /// A control.
    Control(ControlSeen),
    /// The probe itself failed. This says nothing about the target, and counts as "unknown",
    /// never as "up".
    NotRun(NotRun),
}

/// One question to one server, outside walk and matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DnsSeen {
    /// The server's address.
    pub server: IpAddr,
    /// What it is to show.
    #[serde(default)]
    pub purpose: DnsPurpose,
    /// The exchange.
    pub exchange: Exchange,
}

/// What a question outside walk and matrix is to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsPurpose {
    /// What the server answers.
    #[default]
    Answer,
    /// Whether a name that must not exist does.
    Canary,
    /// What came after the answer that was taken, and says something else.
    SecondAnswer,
    /// A declared question whose answer is large, by our own iteration.
    LargeAnswer,
}

/// Every address found for the target, each with where it came from (probe `addresses`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AddressesSeen {
    /// The addresses.
    pub found: Vec<AddressSeen>,
    /// The alias chain that led to them by our own iteration, the target's name first.
    #[serde(default)]
    pub aliases: Vec<DnsName>,
}

/// One address of the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddressSeen {
    /// The address.
    pub address: IpAddr,
    /// Who gave it.
    pub sources: Vec<AddressSource>,
    /// Its owner, if a table was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// Why it was not dialled, if it was not: the egress rule, or the bound on addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_dialled: Option<String>,
}

/// Who gave an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AddressSource {
    /// The operator: an address typed as the target, or `--connect`.
    Typed,
    /// A resolver, as asked.
    Resolver {
        /// The resolver.
        resolver: String,
    },
    /// A name server of the zone that holds the name.
    NameServer {
        /// Its name.
        name: DnsName,
        /// Its address.
        address: IpAddr,
    },
    /// The baseline: known from before, given by nobody now.
    Baseline,
}

/// Why a probe did not run to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotRunReason {
    /// The vantage has no route for the address family.
    NoRoute,
    /// The egress rule forbids the address.
    EgressRefused,
    /// The system does not allow it without privilege.
    NotPermitted,
    /// The check's time ran out first.
    Deadline,
    /// The worker was ended because it hung.
    WorkerHung,
    /// The worker died.
    WorkerDied,
    /// The probe's own code panicked.
    Panicked,
    /// A named limit.
    Limit,
    /// What it could tell was known before it ended.
    NotNeeded,
    /// The privacy rule keeps the name from being sent there.
    Privacy,
}

/// A probe that gave no result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NotRun {
    /// Why.
    pub reason: NotRunReason,
    /// The reason in words, with names and numbers.
    pub detail: String,
    /// What it was aimed at: an address, `NAME@ADDRESS`, a resolver, a zone.
    #[serde(default)]
    pub subject: String,
    /// The address aimed at, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The resolver aimed at, or the way a control was to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<ControlVia>,
}
