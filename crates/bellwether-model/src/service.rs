//! Services, checks, expectations and promises, as validated configuration hands them on.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::dns::Question;
use crate::{DnsName, Target};

/// What users reach, with what was promised of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its name, unique in a configuration.
    pub name: String,
    /// Labels for routing notices.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Services whose incidents may explain this one's.
    #[serde(default)]
    pub needs: Vec<String>,
    /// What is asked of it, in order.
    pub checks: Vec<Check>,
    /// What was promised.
    #[serde(default)]
    pub promises: Promises,
}

/// A configured question. Its id is `service/check`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Its name, unique in its service.
    pub name: String,
    /// What it aims at.
    pub target: Target,
    /// Is the question an ICMP echo, and nothing above it?
    #[serde(default)]
    pub icmp_only: bool,
    /// How often.
    pub every: Duration,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How often a deep trace is made, though nothing fails and nothing changes.
    #[serde(default = "quarter_of_an_hour")]
    pub deep_every: Duration,
    /// What a healthy answer is like.
    #[serde(default)]
    pub expect: Expect,
    /// The client certificate to show where the server asks for one. It crosses the pipe to a
    /// worker inside a job, and goes nowhere else.
    #[serde(skip)]
    pub client_cert: Option<ClientIdentity>,
    /// Connections to make to each address, where a share of them is looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
}

fn quarter_of_an_hour() -> Duration {
    Duration::from_secs(15 * 60)
}

/// A client certificate with its private key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientIdentity {
    /// The certificate and those that lead to its root, DER in base64.
    pub chain: Vec<String>,
    /// The private key, DER in base64.
    pub key: String,
}

impl std::fmt::Debug for ClientIdentity {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientIdentity")
            .field("chain", &self.chain)
            .finish_non_exhaustive()
    }
}

/// What a healthy answer is like. What is not declared is not judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expect {
    /// Status codes that are healthy; empty means 200 to 399.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<StatusRange>,
    /// What the body must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyExpect>,
    /// Longest time for the whole exchange, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<u64>,
    /// A header by which every address that answers says what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleExpect>,
    /// Every name server that the delegation may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub name_servers: Vec<DnsName>,
    /// Names whose answers are large, asked through each resolver.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub large_answers: Vec<Question>,
    /// Networks that answers must lie in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpNet>,
    /// `false`: healthy when every name server says NXDOMAIN or NODATA.
    #[serde(default = "yes")]
    pub exists: bool,
    /// Record data that a `dns` check must find, zone-file form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// The answer policy.
    #[serde(default)]
    pub answer: AnswerPolicy,
}

fn yes() -> bool {
    true
}

impl Default for Expect {
    /// Nothing declared: the name exists, and the answer policy is the shipped one.
    fn default() -> Self {
        Self {
            status: Vec::new(),
            body: None,
            within_ms: None,
            role: None,
            name_servers: Vec::new(),
            large_answers: Vec::new(),
            addresses: Vec::new(),
            exists: true,
            values: Vec::new(),
            answer: AnswerPolicy::default(),
        }
    }
}

impl Expect {
    /// Is this status healthy?
    #[must_use]
    pub fn takes_status(&self, status: u16) -> bool {
        if self.status.is_empty() {
            return (200..=399).contains(&status);
        }
        self.status
            .iter()
            .any(|range| (range.low..=range.high).contains(&status))
    }

    /// Is a redirect of this status the answer itself, not a way to it? So it is where redirects are
    /// all that is declared healthy.
    #[must_use]
    pub fn ends_with(&self, status: u16) -> bool {
        let is_redirect = |range: &StatusRange| range.low >= 300 && range.high <= 399;
        !self.status.is_empty() && self.status.iter().all(is_redirect) && self.takes_status(status)
    }
}

/// `200`, or `200-399`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRange {
    /// First status.
    pub low: u16,
    /// Last status.
    pub high: u16,
}

impl std::fmt::Display for StatusRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.low == self.high {
            write!(f, "{}", self.low)
        } else {
            write!(f, "{}-{}", self.low, self.high)
        }
    }
}

/// What a body must hold; exactly one way of saying it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyExpect {
    /// This text.
    Contains(String),
    /// A match of this regular expression (linear time).
    Matches(String),
    /// JSON values by JSON Pointer (RFC 6901) or dotted path: each must be equal.
    Json(BTreeMap<String, serde_json::Value>),
}

/// A response header with the value it must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleExpect {
    /// Header name.
    pub header: String,
    /// Its value.
    pub value: String,
}

/// What was promised of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Promises {
    /// Days that a certificate must have left; `None` means a third of its life or 21 days,
    /// whichever is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_days_left: Option<u32>,
    /// The receiver that is told when the certificate's promise is broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_tell: Option<String>,
    /// How large answers may be.
    #[serde(default)]
    pub answer: AnswerPolicy,
    /// The receiver that is told when the answers' promise is broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_tell: Option<String>,
    /// Addresses are published before they are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_contract: Option<AddressContract>,
}

/// Addresses are published before they are used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressContract {
    /// Where they are published.
    pub url: String,
    /// Least time between publication and use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<Duration>,
    /// The receiver that is told when it is broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tell: Option<String>,
}

/// How large an address record set may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerPolicy {
    /// Above this many addresses: a warning.
    pub warn_addresses: u32,
    /// Above this many addresses: a breach.
    pub max_addresses: u32,
    /// Above this many bytes of answer: a breach.
    pub max_bytes: u32,
}

impl Default for AnswerPolicy {
    fn default() -> Self {
        Self {
            warn_addresses: 8,
            max_addresses: 16,
            max_bytes: 1232,
        }
    }
}
