//! The behaviour words of scenarios, each a variant of a closed enum.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Span;

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
}

impl Serialize for Edns {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::On => serializer.serialize_bool(true),
            Self::Off => serializer.serialize_bool(false),
            Self::Drop => serializer.serialize_str("drop"),
            Self::Formerr => serializer.serialize_str("formerr"),
        }
    }
}

impl<'de> Deserialize<'de> for Edns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Edns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, drop or formerr")
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
                    other => Err(E::unknown_variant(
                        other,
                        &["true", "false", "drop", "formerr"],
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
        json_schema!({ "enum": [true, false, "drop", "formerr"] })
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
    /// NXDOMAIN for these names.
    NxdomainFor(Vec<String>),
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

/// One address, or a list of them, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Addresses(pub Vec<IpAddr>);

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Addresses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address or a list of addresses")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Addresses, E> {
                let address = text
                    .parse()
                    .map_err(|_| E::custom(format!("`{text}` is no IP address")))?;
                Ok(Addresses(vec![address]))
            }

            fn visit_unit<E: Error>(self) -> Result<Addresses, E> {
                Ok(Addresses::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Addresses, A::Error> {
                let mut all = Vec::new();
                while let Some(address) = seq.next_element()? {
                    all.push(address);
                }
                Ok(Addresses(all))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl JsonSchema for Addresses {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Addresses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" } },
            { "type": "null" },
        ] })
    }
}

/// One text, or a list of them, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Texts(pub Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Delegation::deserialize(deserializer).map(|list| Self(list.names))
    }
}

impl JsonSchema for Texts {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Texts".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": ["string", "null"] },
            { "type": "array", "items": { "type": "string" } },
        ] })
    }
}

/// An NS set at a parent: a list of names, or `{names, ttl}`. Empty: no delegation.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Delegation {
    /// The names.
    pub names: Vec<String>,
    /// TTL of the set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Span>,
}

impl<'de> Deserialize<'de> for Delegation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Full {
            #[serde(default)]
            names: Vec<String>,
            #[serde(default)]
            ttl: Option<Span>,
        }
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Delegation;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of name servers, or a mapping of `names` and `ttl`")
            }

            fn visit_unit<E: Error>(self) -> Result<Delegation, E> {
                Ok(Delegation::default())
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Delegation, E> {
                let names = vec![name.to_owned()];
                Ok(Delegation { names, ttl: None })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Delegation, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = seq.next_element()? {
                    names.push(name);
                }
                Ok(Delegation { names, ttl: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Delegation, A::Error> {
                let Full { names, ttl } = Full::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Delegation { names, ttl })
            }
        }
        deserializer.deserialize_any(Names)
    }
}

impl JsonSchema for Delegation {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Delegation".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let span = generator.subschema_for::<Span>();
        let names = json_schema!({ "type": "array", "items": { "type": "string" } });
        json_schema!({ "anyOf": [
            names,
            { "type": ["string", "null"] },
            { "type": "object", "additionalProperties": false,
              "properties": { "names": names, "ttl": span } },
        ] })
    }
}

/// Words for a DNS server: an `answers` word by itself, or a mapping. What is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ServerWords {
    /// How it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
    /// How long it takes to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// How it treats EDNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edns: Option<Edns>,
}

/// Words for a resolver: an `answers` word by itself, or a mapping. What is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ResolverWords {
    /// How it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
    /// How long it takes to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// How it treats EDNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edns: Option<Edns>,
    /// Does it keep what it learned? `none` also empties the cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Does it validate DNSSEC?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validates: Option<bool>,
    /// What it gets wrong; `null` mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bug: Option<Option<Bug>>,
}

/// Keys of words for a server, those of an `answers` word in mapping form included.
const SERVER_KEYS: &[&str] = &["answers", "delay", "edns", "udp", "tcp", "rcode", "stale"];
/// Keys of words for a resolver.
const RESOLVER_KEYS: &[&str] = &[
    "answers",
    "delay",
    "edns",
    "cache",
    "validates",
    "bug",
    "udp",
    "tcp",
    "rcode",
    "stale",
];

/// Reads one key's value; `false` if the key is none of them.
fn read_word<'de, A: MapAccess<'de>>(
    key: &str,
    map: &mut A,
    words: &mut ResolverWords,
) -> Result<bool, A::Error> {
    match key {
        "answers" => words.answers = Some(map.next_value()?),
        "delay" => words.delay = Some(map.next_value()?),
        "edns" => words.edns = Some(map.next_value()?),
        "cache" => words.cache = Some(map.next_value()?),
        "validates" => words.validates = Some(map.next_value()?),
        "bug" => words.bug = Some(map.next_value()?),
        "udp" => words.answers = Some(Answers::Udp(map.next_value()?)),
        "tcp" => words.answers = Some(Answers::Tcp(map.next_value()?)),
        "rcode" => words.answers = Some(Answers::Rcode(map.next_value()?)),
        "stale" => words.answers = Some(Answers::Stale(map.next_value()?)),
        _ => return Ok(false),
    }
    Ok(true)
}

fn answers_word<E: Error>(word: &str) -> Result<Answers, E> {
    Answers::deserialize(StrDeserializer::new(word))
}

impl<'de> Deserialize<'de> for ServerWords {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = ServerWords;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an `answers` word, or a mapping of answers, delay and edns")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<ServerWords, E> {
                let answers = Some(answers_word(word)?);
                Ok(ServerWords {
                    answers,
                    ..ServerWords::default()
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ServerWords, A::Error> {
                let mut words = ResolverWords::default();
                while let Some(key) = map.next_key::<String>()? {
                    let known = SERVER_KEYS.contains(&key.as_str());
                    if !known || !read_word(&key, &mut map, &mut words)? {
                        return Err(A::Error::unknown_field(&key, SERVER_KEYS));
                    }
                }
                let ResolverWords {
                    answers,
                    delay,
                    edns,
                    ..
                } = words;
                Ok(ServerWords {
                    answers,
                    delay,
                    edns,
                })
            }
        }
        deserializer.deserialize_any(Words)
    }
}

impl<'de> Deserialize<'de> for ResolverWords {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = ResolverWords;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an `answers` word, or a mapping of a resolver's words")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<ResolverWords, E> {
                let answers = Some(answers_word(word)?);
                Ok(ResolverWords {
                    answers,
                    ..ResolverWords::default()
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ResolverWords, A::Error> {
                let mut words = ResolverWords::default();
                while let Some(key) = map.next_key::<String>()? {
                    if !read_word(&key, &mut map, &mut words)? {
                        return Err(A::Error::unknown_field(&key, RESOLVER_KEYS));
                    }
                }
                Ok(words)
            }
        }
        deserializer.deserialize_any(Words)
    }
}

fn words_schema(generator: &mut SchemaGenerator, resolver: bool) -> Schema {
    let answers = generator.subschema_for::<Answers>();
    let mut properties = serde_json::json!({
        "answers": answers,
        "delay": generator.subschema_for::<Span>(),
        "edns": generator.subschema_for::<Edns>(),
    });
    if resolver {
        properties["cache"] = generator.subschema_for::<Cache>().to_value();
        properties["validates"] = serde_json::json!({ "type": "boolean" });
        properties["bug"] = generator.subschema_for::<Option<Bug>>().to_value();
    }
    json_schema!({ "anyOf": [
        answers,
        { "type": "object", "additionalProperties": false, "properties": properties },
    ] })
}

impl JsonSchema for ServerWords {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ServerWords".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        words_schema(generator, false)
    }
}

impl JsonSchema for ResolverWords {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ResolverWords".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        words_schema(generator, true)
    }
}

/// Words for the default controls: for all of them, or by address or name.
#[derive(Clone, Debug, PartialEq)]
pub enum ControlsSpec {
    /// All of them.
    All(ServerWords),
    /// Some of them.
    Each(BTreeMap<String, ServerWords>),
}

impl Serialize for ControlsSpec {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All(words) => words.serialize(serializer),
            Self::Each(each) => each.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ControlsSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = ControlsSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an `answers` word, a mapping of words, or words by address or name")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<ControlsSpec, E> {
                let answers = Some(answers_word(word)?);
                let words = ServerWords {
                    answers,
                    ..ServerWords::default()
                };
                Ok(ControlsSpec::All(words))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ControlsSpec, A::Error> {
                let mut all = ResolverWords::default();
                let mut each = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if SERVER_KEYS.contains(&key.as_str()) {
                        read_word(&key, &mut map, &mut all)?;
                    } else if key.contains(['.', ':']) {
                        each.insert(key, map.next_value()?);
                    } else {
                        return Err(A::Error::unknown_field(&key, SERVER_KEYS));
                    }
                }
                if !each.is_empty() {
                    return Ok(ControlsSpec::Each(each));
                }
                let ResolverWords {
                    answers,
                    delay,
                    edns,
                    ..
                } = all;
                Ok(ControlsSpec::All(ServerWords {
                    answers,
                    delay,
                    edns,
                }))
            }
        }
        deserializer.deserialize_any(Words)
    }
}

impl JsonSchema for ControlsSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ControlsSpec".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let words = generator.subschema_for::<ServerWords>();
        json_schema!({ "anyOf": [words, { "type": "object", "additionalProperties": words }] })
    }
}
