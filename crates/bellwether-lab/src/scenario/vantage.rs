//! Vantages with agents of their own: where they stand, what becomes of their packets and of their
//! link, and what is done with their agents.

use std::fmt;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::behaviour::ResolverWords;
use super::lists::{Addresses, given};
use super::time::Span;

/// The vantage of the agent that is built into `serve`.
pub const LOCAL: &str = "local";

/// Where an agent stands; but for `address` as in `vantages:` of `bellwether.yaml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VantageSpec {
    /// Its name; `local` is built in.
    pub name: String,
    /// The addresses that its agent dials from, at most one for each family.
    pub address: Addresses,
    /// Part of the world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Its autonomous system: `AS3320`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// How it is connected: `eyeball`, `cloud` or `transit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
}

/// What `set: vantages` may change of a vantage; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VantagePatch {
    /// The link between its agent and the hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkWord>,
    /// The share of its packets that do not arrive at servers, resolvers and hosts of the box; 0
    /// mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub loss: Option<f64>,
    /// Nothing that it sends arrives at servers, resolvers and hosts of the box.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<bool>,
    /// For it, port 53 of every address leads to a resolver that behaves so; `null` ends it.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub interceptor: Option<Option<ResolverWords>>,
    /// For it, the ports of every host lead to the same port of the host at this address; `null`
    /// ends it.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub portal: Option<Option<IpAddr>>,
}

/// What becomes of the link between an agent and the hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkWord {
    /// It carries what is sent.
    #[default]
    Open,
    /// What is connected is reset, and nobody takes connections.
    Refused,
    /// What is sent waits, as behind a cable that is cut; connections stay.
    Silent,
}

/// What is done with agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentWord {
    /// It is started on the data that it left; before its first start it is enrolled.
    Start,
    /// It is asked to end (SIGTERM), and must do so within its promise.
    Stop,
    /// It is ended without warning (SIGKILL).
    Kill,
    /// It stands still (SIGSTOP).
    Freeze,
    /// It goes on (SIGCONT), and so do its workers.
    Thaw,
    /// One of its worker processes stands still.
    FreezeWorker,
    /// All its worker processes stand still, and so do those that it starts in their place, until
    /// `thaw`.
    FreezeWorkers,
    /// For a time (`during`), each of its worker processes that has a connection to an endpoint (`of`)
    /// is ended without warning.
    KillProber,
}

impl AgentWord {
    /// The word as written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
            Self::FreezeWorker => "freeze_worker",
            Self::FreezeWorkers => "freeze_workers",
            Self::KillProber => "kill_prober",
        }
    }
}

/// How an agent is, as the hub tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresenceWord {
    /// It is linked.
    Linked,
    /// It is not.
    Offline,
}

impl PresenceWord {
    /// The word as written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::Offline => "offline",
        }
    }
}

/// What must be kept of a check's runs from one vantage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunsExpect {
    /// At least so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<usize>,
    /// No two that follow each other began further apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_at_most: Option<Span>,
    /// None is kept twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub once: Option<bool>,
}

/// One name, or a list of names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Names(pub Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a list of names")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Names, E> {
                Ok(Names(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Names, A::Error> {
                let mut all = Vec::new();
                while let Some(name) = seq.next_element()? {
                    all.push(name);
                }
                Ok(Names(all))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl JsonSchema for Names {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Names".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" } },
        ] })
    }
}

/// How a heartbeat is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingWord {
    /// It went well.
    Success,
    /// It begins.
    Start,
    /// It failed.
    Fail,
    /// A line for the log; it says nothing of how it went.
    Log,
    /// It ended with this exit status.
    Exit(u8),
}

impl PingWord {
    const WORDS: [(&'static str, Self); 4] = [
        ("success", Self::Success),
        ("start", Self::Start),
        ("fail", Self::Fail),
        ("log", Self::Log),
    ];

    /// What stands behind the heartbeat's URL.
    #[must_use]
    pub fn suffix(self) -> String {
        match self {
            Self::Success => String::new(),
            Self::Start => "/start".to_owned(),
            Self::Fail => "/fail".to_owned(),
            Self::Log => "/log".to_owned(),
            Self::Exit(status) => format!("/{status}"),
        }
    }
}

impl Serialize for PingWord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Exit(status) => serializer.serialize_u8(*status),
            Self::Success | Self::Start | Self::Fail | Self::Log => {
                let known = Self::WORDS.iter().find(|(_, word)| word == self);
                serializer.serialize_str(known.map_or("", |(name, _)| name))
            }
        }
    }
}

impl<'de> Deserialize<'de> for PingWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = PingWord;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`success`, `start`, `fail`, `log` or an exit status from 0 to 255")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<PingWord, E> {
                let known = PingWord::WORDS.iter().find(|(name, _)| *name == word);
                let unknown = || E::unknown_variant(word, &["success", "start", "fail", "log"]);
                known.map(|(_, word)| *word).ok_or_else(unknown)
            }

            fn visit_u64<E: Error>(self, status: u64) -> Result<PingWord, E> {
                let status = u8::try_from(status);
                status
                    .map(PingWord::Exit)
                    .map_err(|_| E::custom("an exit status is from 0 to 255"))
            }

            fn visit_i64<E: Error>(self, status: i64) -> Result<PingWord, E> {
                let status = u8::try_from(status);
                status
                    .map(PingWord::Exit)
                    .map_err(|_| E::custom("an exit status is from 0 to 255"))
            }
        }
        deserializer.deserialize_any(Words)
    }
}

impl JsonSchema for PingWord {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PingWord".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "enum": ["success", "start", "fail", "log"] },
            { "type": "integer", "minimum": 0, "maximum": 255 },
        ] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_words_or_exit_statuses() {
        for (text, suffix) in [
            ("success", ""),
            ("start", "/start"),
            ("fail", "/fail"),
            ("log", "/log"),
            ("0", "/0"),
            ("255", "/255"),
        ] {
            let word: PingWord = serde_saphyr::from_str(text).unwrap();
            assert_eq!(word.suffix(), suffix, "{text}");
            let again = serde_json::to_value(word).unwrap();
            assert_eq!(serde_json::from_value::<PingWord>(again).unwrap(), word);
        }
        for text in ["256", "-1", "succes", "1.5"] {
            assert!(serde_saphyr::from_str::<PingWord>(text).is_err(), "{text}");
        }
    }
}
