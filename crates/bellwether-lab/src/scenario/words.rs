//! The behaviour words of scenarios, each a variant of a closed enum.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// How a DNS server or resolver answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answers {
    /// As it should.
    #[default]
    Normal,
    /// Not at all.
    Silent,
    /// Not over UDP.
    Udp(SilentWord),
    /// Not over TCP.
    Tcp(SilentWord),
    /// With this rcode, whatever is asked.
    Rcode(RcodeWord),
    /// With authority, of zones that hold nothing but their SOA and NS sets.
    Blank,
    /// From an older version of the zone.
    Stale(StaleSpec),
    /// With a referral to the root.
    UpwardReferral,
    /// Without authority (AA=0).
    NotAuthoritative,
}

/// The one thing that a protocol can be told to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SilentWord {
    /// No answer.
    Silent,
}

/// Response codes (RFC 1035 section 4.1.1, RFC 2136 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RcodeWord {
    /// 0, with nothing in the answer.
    Noerror,
    /// 1.
    Formerr,
    /// 2.
    Servfail,
    /// 3.
    Nxdomain,
    /// 4.
    Notimp,
    /// 5.
    Refused,
    /// 6.
    Yxdomain,
    /// 7.
    Yxrrset,
    /// 8.
    Nxrrset,
    /// 9.
    Notauth,
    /// 10.
    Notzone,
}

impl RcodeWord {
    /// The code on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// An older version of a zone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StaleSpec {
    /// The zone's name in the scenario; needed if the server has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its serial; that of the first version if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<u32>,
    /// Its records; those of the first version if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<Vec<String>>,
    /// How long before the world's first moment it was fetched: its signatures are that old, and
    /// are never renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<super::Span>,
}

/// How a server or resolver treats EDNS (RFC 6891): `true`, `false`, or a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edns {
    /// As it should.
    #[default]
    On,
    /// Answers as if no OPT record had been sent.
    Off,
    /// Does not answer queries that carry one.
    Drop,
    /// Answers them with FORMERR.
    Formerr,
    /// Answers them with REFUSED.
    Refused,
    /// Answers them with SERVFAIL.
    Servfail,
}

impl Serialize for Edns {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::On => serializer.serialize_bool(true),
            Self::Off => serializer.serialize_bool(false),
            Self::Drop => serializer.serialize_str("drop"),
            Self::Formerr => serializer.serialize_str("formerr"),
            Self::Refused => serializer.serialize_str("refused"),
            Self::Servfail => serializer.serialize_str("servfail"),
        }
    }
}

impl<'de> Deserialize<'de> for Edns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Edns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, drop, formerr, refused or servfail")
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<Edns, E> {
                Ok(if on { Edns::On } else { Edns::Off })
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Edns, E> {
                match word {
                    "true" => Ok(Edns::On),
                    "false" => Ok(Edns::Off),
                    "drop" => Ok(Edns::Drop),
                    "formerr" => Ok(Edns::Formerr),
                    "refused" => Ok(Edns::Refused),
                    "servfail" => Ok(Edns::Servfail),
                    other => Err(E::unknown_variant(
                        other,
                        &["true", "false", "drop", "formerr", "refused", "servfail"],
                    )),
                }
            }
        }
        deserializer.deserialize_any(Words)
    }
}

impl JsonSchema for Edns {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Edns".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": [true, false, "drop", "formerr", "refused", "servfail"] })
    }
}

/// Does a resolver keep what it learned?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cache {
    /// Answers and NS sets, for their TTL.
    Kept,
    /// Nothing: it asks the authority each time.
    #[default]
    None,
}

/// What a resolver gets wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bug {
    /// NXDOMAIN for answers of more address records than this.
    NxdomainAbove(u32),
    /// SERVFAIL for record sets of more octets than this: its path to name servers loses them.
    LosesAbove(u32),
    /// NXDOMAIN for these names.
    NxdomainFor(Vec<String>),
    /// It rewrites answers by policy.
    Rewrites(super::RewriteSpec),
    /// These addresses in place of every NXDOMAIN.
    NxdomainTo(super::Addresses),
    /// It validates without these DNSSEC algorithms: zones signed with them are unsigned to it.
    WithoutAlgorithm(Vec<super::Algorithm>),
    /// It validates, and fails what is signed with these algorithms instead of taking it as
    /// unsigned.
    FailsAlgorithm(Vec<super::Algorithm>),
    /// It validates, and fails denials of more NSEC3 iterations than this instead of taking the zone
    /// as unsigned.
    FailsIterationsAbove(u16),
    /// Its trust anchor is older than the root's key: every signed name fails.
    OutdatedAnchor,
}

/// What becomes of connections to a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TcpWord {
    /// They open.
    #[default]
    Open,
    /// A reset answers.
    Refused,
    /// Nothing answers.
    Silent,
    /// They open, and are reset at once.
    Reset,
}

/// Does an address answer echo requests?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IcmpWord {
    /// Yes.
    #[default]
    Normal,
    /// No.
    Silent,
}

/// Who signs a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Issuer {
    /// An intermediate of the box's CA, which checks trust.
    #[default]
    Box,
    /// A CA that checks do not trust.
    Private,
    /// Its own key.
    #[serde(rename = "self")]
    Itself,
}
