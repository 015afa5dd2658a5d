//! What was seen of signatures along the way to a name (probe `dnssec`).
//!
//! Whether a signature fits its key does not depend on time, and stands here; whether its window
//! holds is judged later, so that a saved report can be judged as of another time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::DnsName;

/// The chain from the root's trust anchor to one name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DnssecSeen {
    /// The name: the target's, or one that it is an alias of.
    pub name: DnsName,
    /// The zones on the way, root first.
    pub zones: Vec<SignedZone>,
}

/// What one zone gave for its part of the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignedZone {
    /// The apex.
    pub zone: DnsName,
    /// The zone above; `None` for the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<DnsName>,
    /// Does it hold the name?
    #[serde(default)]
    pub holds_name: bool,
    /// The DS records that vouch for its keys: the parent's, or the trust anchor for the root.
    #[serde(default)]
    pub ds: Vec<DsSeen>,
    /// The answers of the parent's servers for those DS records.
    #[serde(default)]
    pub ds_answers: Vec<SignedAnswer>,
    /// Its keys, as any of its servers gives them.
    #[serde(default)]
    pub keys: Vec<KeySeen>,
    /// The answers of its servers for its keys.
    #[serde(default)]
    pub key_answers: Vec<SignedAnswer>,
    /// The answers of its servers to the questions for the name.
    #[serde(default)]
    pub answers: Vec<SignedAnswer>,
    /// Other signed answers of its servers: SOA, NS, CDS.
    #[serde(default)]
    pub others: Vec<SignedAnswer>,
    /// CDS records that it offers its parent (RFC 7344), the deletion sign left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cds: Vec<DsSeen>,
}

/// A DS or CDS record, or a trust anchor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DsSeen {
    /// Tag of the key it vouches for.
    pub key_tag: u16,
    /// The key's algorithm.
    pub algorithm: u8,
    /// Digest type; 0 where the anchor is a key itself.
    pub digest_type: u8,
    /// Do we support algorithm and digest type?
    pub supported: bool,
    /// Does a key of the zone fit it?
    pub matches: bool,
}

/// A DNSKEY record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeySeen {
    /// Key tag (RFC 4034 appendix B).
    pub key_tag: u16,
    /// Algorithm.
    pub algorithm: u8,
    /// Flags: 257 for a key signing key.
    pub flags: u16,
    /// Does a DS record, or the trust anchor, vouch for it?
    pub vouched: bool,
}

/// What an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignedKind {
    /// Records of the asked type, or an alias.
    Records,
    /// None of that type.
    NoData,
    /// The name does not exist.
    NxDomain,
}

/// One answer of one server, with its signatures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignedAnswer {
    /// The server, `NAME@ADDRESS`.
    pub name_server: String,
    /// Name asked for.
    pub name: DnsName,
    /// Type asked for.
    #[serde(rename = "type")]
    pub rtype: String,
    /// What it holds.
    pub kind: SignedKind,
    /// The record sets of the zone that it rests on, those of its denial included.
    pub rrsets: Vec<RrsetSeen>,
    /// What denies, where something is denied: the type, the name, or the name beside a wildcard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial: Option<DenialSeen>,
    /// Part of it is of another zone, or could not be read: nothing follows from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unjudged: Option<String>,
}

/// A record set with its signatures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RrsetSeen {
    /// Owner.
    pub name: DnsName,
    /// Type.
    #[serde(rename = "type")]
    pub rtype: String,
    /// Its signatures.
    pub signatures: Vec<SignatureSeen>,
}

/// One RRSIG record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignatureSeen {
    /// Tag of the key that made it.
    pub key_tag: u16,
    /// Its algorithm.
    pub algorithm: u8,
    /// Who signed.
    pub signer: DnsName,
    /// Begin of its window.
    pub inception: Timestamp,
    /// End of its window.
    pub expiration: Timestamp,
    /// Does it fit a key of the zone?
    pub result: SignatureResult,
}

/// Does a signature fit, time aside?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureResult {
    /// It verifies with a key of the zone.
    Verified,
    /// The key is there, and it does not verify.
    Failed,
    /// No key of the zone has its tag and algorithm.
    NoKey,
    /// Somebody else than the zone signed.
    WrongSigner,
    /// We do not support its algorithm or key.
    Unsupported,
    /// The check has made as many verifications as it may: it was not tried.
    NotTried,
    /// The record set has more signatures, or the zone more keys of one tag, than validators try.
    TooMany,
}

/// What became of a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenialResult {
    /// The records prove it.
    Proven,
    /// They prove it as far as opt-out goes (RFC 5155 section 6): something unsigned may be there.
    OptOut,
    /// More NSEC3 iterations than validators count: they take the zone as unsigned (RFC 9276).
    TooManyIterations,
    /// They prove something else.
    Unproven,
    /// There are none.
    Absent,
}

/// The NSEC or NSEC3 records of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenialSeen {
    /// What became of it.
    pub result: DenialResult,
    /// Most NSEC3 iterations among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u16>,
}
