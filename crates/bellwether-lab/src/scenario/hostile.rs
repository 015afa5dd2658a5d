//! Words for what hostile servers send, and for a path that loses what it should carry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lists::given;
use super::words::SilentWord;

/// What a hostile DNS server, or somebody in its place, sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hostile {
    /// Right answers with another id.
    WrongId,
    /// Right answers to another question.
    WrongQuestion,
    /// Right answers from another port.
    WrongSource,
    /// 2,000 answers with other ids, then the right one.
    Flood,
    /// Datagrams of 0, 1 and 11 octets.
    Runts,
    /// The query itself, sent back.
    Echo,
    /// Random octets behind the right id.
    Garbage,
    /// Counts of 65,535 in each section, and nothing there.
    Counts,
    /// A record whose owner is a compression pointer to itself.
    PointerLoop,
    /// A record whose owner is a compression pointer beyond the end.
    PointerForward,
    /// A record whose owner has a label of 64 octets.
    LongLabel,
    /// A record whose owner is longer than 255 octets.
    LongName,
    /// A record whose length reaches beyond the end.
    RdlengthOver,
    /// An address record of three octets.
    RdlengthShort,
    /// Truncated over UDP; over TCP each connection is reset.
    TruncatedReset,
    /// Truncated over UDP; over TCP a length of 65,535 and nothing behind it.
    TruncatedStall,
    /// Truncated over UDP; over TCP one octet a second.
    TruncatedSlow,
    /// Truncated over UDP; over TCP 4,000 address records for each question.
    ManyRecords,
    /// Right answers with 1,000 EDNS options.
    ManyOptions,
}

impl Hostile {
    /// Does a resolver get nothing usable from it over UDP?
    #[must_use]
    pub fn is_useless(self) -> bool {
        !matches!(self, Self::Flood | Self::ManyOptions | Self::ManyRecords)
    }
}

/// What the path between the vantage and port 53 of everybody loses; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PathSpec {
    /// Answers over UDP of more octets than this (the DNS message alone); `null` mends it.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub udp_above: Option<Option<u32>>,
    /// Answers over UDP that need fragments on a link of 1,500 octets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fragments: Option<FragmentsWord>,
    /// Whatever goes over UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp: Option<PathWord>,
    /// Whatever goes over TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<PathWord>,
}

/// What becomes of fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FragmentsWord {
    /// They arrive.
    #[default]
    Pass,
    /// They are lost.
    Lost,
}

/// What becomes of a protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathWord {
    /// It arrives.
    #[default]
    Open,
    /// Nothing of it does.
    Silent,
}

/// What a question with capital letters gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CapitalsWord {
    /// No answer.
    Silent,
    /// NXDOMAIN.
    Nxdomain,
    /// REFUSED.
    Refused,
}

/// What an authoritative server gets wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerBug {
    /// NXDOMAIN for these types of names that exist, where they have no such record.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nxdomain_for_types: Vec<String>,
    /// The question comes back in lower case.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lower_case: bool,
    /// What questions with capital letters get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capitals: Option<CapitalsWord>,
    /// No answer to questions for these types.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub silent_for_types: Vec<String>,
    /// No answer to questions with an EDNS option that it does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_options: Option<SilentWord>,
    /// No answer to questions for types that it does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_types: Option<SilentWord>,
    /// No answer to questions for NS records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns_questions: Option<SilentWord>,
    /// So many signatures that do not hold before each that does (KeyTrap, CVE-2023-50387).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoy_signatures: Option<u16>,
}
