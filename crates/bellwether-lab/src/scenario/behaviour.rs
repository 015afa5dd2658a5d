//! Words for one server, resolver or control: an `answers` word by itself, or a mapping.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::StrDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::words::{Answers, Bug, Cache, Edns, TcpWord};
use super::{Hostile, HttpSpec, InjectedSpec, ServerBug, Span, TlsSpec};

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
    /// What it sends instead of answers, or around them; `null` mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostile: Option<Option<Hostile>>,
    /// What it gets wrong; `null` mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bug: Option<Option<ServerBug>>,
    /// Largest answer over UDP, octets, for clients that offer as much; 1232 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp_size: Option<u16>,
    /// How many of a name's addresses stand in one answer, each in turn; for unsigned zones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<usize>,
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
    /// Over TLS or HTTPS: the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// Over HTTPS: what is answered instead of DNS; `null` mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Option<HttpSpec>>,
    /// Over TLS or HTTPS: what becomes of connections. (`tcp: silent` of plain DNS is one of the
    /// `answers`.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<TcpWord>,
    /// What it sends instead of answers, or around them; `null` mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostile: Option<Option<Hostile>>,
    /// Does it fail where the question does not come back in the case that it was sent in (0x20)?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks_case: Option<bool>,
    /// Does it go on with what it kept when no name server answers (RFC 8767)?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serve_stale: Option<bool>,
    /// The least TTL by which it keeps answers, whatever the zone says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_floor: Option<Span>,
    /// Forged answers that arrive before its own; `null` ends them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub injected: Option<Option<InjectedSpec>>,
}

/// Keys of words for a server, those of an `answers` word in mapping form included.
const SERVER_KEYS: &[&str] = &[
    "answers", "delay", "edns", "hostile", "bug", "udp_size", "rotation", "udp", "tcp", "rcode",
    "stale",
];
/// Keys of words for a resolver.
const RESOLVER_KEYS: &[&str] = &[
    "answers",
    "delay",
    "edns",
    "cache",
    "validates",
    "bug",
    "hostile",
    "checks_case",
    "tls",
    "http",
    "port",
    "serve_stale",
    "ttl_floor",
    "injected",
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
        "hostile" => words.hostile = Some(map.next_value()?),
        "checks_case" => words.checks_case = Some(map.next_value()?),
        "tls" => words.tls = Some(map.next_value()?),
        "http" => words.http = Some(map.next_value()?),
        "port" => words.port = Some(map.next_value()?),
        "serve_stale" => words.serve_stale = Some(map.next_value()?),
        "ttl_floor" => words.ttl_floor = Some(map.next_value()?),
        "injected" => words.injected = Some(map.next_value()?),
        "udp" => words.answers = Some(Answers::Udp(map.next_value()?)),
        "tcp" => words.answers = Some(Answers::Tcp(map.next_value()?)),
        "rcode" => words.answers = Some(Answers::Rcode(map.next_value()?)),
        "stale" => words.answers = Some(Answers::Stale(map.next_value()?)),
        _ => return Ok(false),
    }
    Ok(true)
}

/// The same of a server's words.
fn read_server_word<'de, A: MapAccess<'de>>(
    key: &str,
    map: &mut A,
    words: &mut ServerWords,
) -> Result<bool, A::Error> {
    match key {
        "bug" => words.bug = Some(map.next_value()?),
        "udp_size" => words.udp_size = Some(map.next_value()?),
        "rotation" => words.rotation = Some(map.next_value()?),
        key if SERVER_KEYS.contains(&key) => {
            let mut shared = ResolverWords::default();
            read_word(key, map, &mut shared)?;
            words.answers = shared.answers.or(words.answers.take());
            words.delay = shared.delay.or(words.delay);
            words.edns = shared.edns.or(words.edns);
            words.hostile = shared.hostile.or(words.hostile);
        }
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
                f.write_str("an `answers` word, or a mapping of answers, delay, edns and rotation")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<ServerWords, E> {
                let answers = Some(answers_word(word)?);
                Ok(ServerWords {
                    answers,
                    ..ServerWords::default()
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ServerWords, A::Error> {
                let mut words = ServerWords::default();
                while let Some(key) = map.next_key::<String>()? {
                    if !read_server_word(&key, &mut map, &mut words)? {
                        return Err(A::Error::unknown_field(&key, SERVER_KEYS));
                    }
                }
                Ok(words)
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
                    let known = RESOLVER_KEYS.contains(&key.as_str());
                    if !known || !read_word(&key, &mut map, &mut words)? {
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
        "hostile": generator.subschema_for::<Option<Hostile>>(),
    });
    if !resolver {
        properties["bug"] = generator.subschema_for::<Option<ServerBug>>().to_value();
        properties["udp_size"] =
            serde_json::json!({ "type": "integer", "minimum": 512, "maximum": 65_535 });
    }
    if resolver {
        properties["cache"] = generator.subschema_for::<Cache>().to_value();
        properties["validates"] = serde_json::json!({ "type": "boolean" });
        properties["checks_case"] = serde_json::json!({ "type": "boolean" });
        properties["tls"] = generator.subschema_for::<TlsSpec>().to_value();
        properties["http"] = generator.subschema_for::<Option<HttpSpec>>().to_value();
        properties["port"] = generator.subschema_for::<TcpWord>().to_value();
        properties["bug"] = generator.subschema_for::<Option<Bug>>().to_value();
        properties["serve_stale"] = serde_json::json!({ "type": "boolean" });
        properties["ttl_floor"] = generator.subschema_for::<Span>().to_value();
        properties["injected"] = generator.subschema_for::<Option<InjectedSpec>>().to_value();
    } else {
        properties["rotation"] = serde_json::json!({ "type": "integer", "minimum": 1 });
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
                let mut all = ServerWords::default();
                let mut each = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if SERVER_KEYS.contains(&key.as_str()) {
                        read_server_word(&key, &mut map, &mut all)?;
                    } else if key.contains(['.', ':']) {
                        each.insert(key, map.next_value()?);
                    } else {
                        return Err(A::Error::unknown_field(&key, SERVER_KEYS));
                    }
                }
                if !each.is_empty() {
                    return Ok(ControlsSpec::Each(each));
                }
                Ok(ControlsSpec::All(all))
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
