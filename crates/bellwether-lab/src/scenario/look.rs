//! What a running program must say of services, incidents and itself.

use std::fmt;

use bellwether_model::incident::{IncidentState, MomentKind};
use bellwether_model::report::Severity;
use bellwether_model::{Cause, Layer, Verdict};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::expect::ScopeExpect;
use super::lists::given;
use super::time::Span;

/// How a service must stand. What is left out is not compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceExpect {
    /// Its verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Its cause; `null`: none.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub cause: Option<Option<Cause>>,
    /// Is what is known of it too old?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<bool>,
}

/// An incident that there must be. What is left out is not compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IncidentExpect {
    /// Its cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub cause: Option<Cause>,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<IncidentState>,
    /// Its layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    /// How bad it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// What users see at worst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Causes listed as consequences, among others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub consequences: Vec<Cause>,
    /// The checks that it breaks or broke, `service/check`: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<Vec<String>>,
    /// Who is or was affected at the widest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<ScopeExpect>,
    /// What happened, in this order, among other things.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<MomentExpect>,
    /// What did not happen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<MomentKind>,
    /// Parts of caveats that it must have, among others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub caveats: Vec<String>,
    /// The first failing round came at most so long after the last `set` or `agent` step before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began_within: Option<Span>,
    /// It was opened at most so long after the last `set` before it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened_within: Option<Span>,
    /// Users were served again at most so long after the last `set` before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mitigated_within: Option<Span>,
    /// It has the number of an incident of an earlier look, which is named here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_as: Option<String>,
}

impl IncidentExpect {
    /// Is anything asked for that only a look with what came before it can tell?
    pub(crate) fn compares_times(&self) -> bool {
        let bounds = [self.began_within, self.opened_within, self.mitigated_within];
        bounds.iter().any(Option::is_some) || self.same_as.is_some()
    }
}

/// A line of a timeline: its kind, `growth`, or its kind with a part of its text, `{ growth:
/// "9.9.9.9" }`.
#[derive(Clone, Debug, PartialEq)]
pub struct MomentExpect {
    /// Its kind.
    pub kind: MomentKind,
    /// What its text must hold.
    pub text: Option<String>,
}

impl Serialize for MomentExpect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.text {
            None => self.kind.serialize(serializer),
            Some(text) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(&self.kind, text)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for MomentExpect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = MomentExpect;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a kind of moment, or a kind with a part of its text")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<MomentExpect, E> {
                let kind = MomentKind::deserialize(StrDeserializer::new(word))?;
                Ok(MomentExpect { kind, text: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MomentExpect, A::Error> {
                let Some((kind, text)) = map.next_entry::<MomentKind, String>()? else {
                    return Err(A::Error::custom("no kind of moment"));
                };
                if map.next_key::<MomentKind>()?.is_some() {
                    return Err(A::Error::custom("a moment has one kind"));
                }
                let text = Some(text);
                Ok(MomentExpect { kind, text })
            }
        }
        deserializer.deserialize_any(Words)
    }
}

impl JsonSchema for MomentExpect {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MomentExpect".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kind = generator.subschema_for::<MomentKind>();
        json_schema!({ "anyOf": [
            kind,
            { "type": "object", "propertyNames": kind, "minProperties": 1, "maxProperties": 1,
              "additionalProperties": { "type": "string" } },
        ] })
    }
}

/// A figure: `3`, or `{ at_least: 1, at_most: 4 }`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricExpect {
    /// The least.
    pub at_least: Option<f64>,
    /// The most.
    pub at_most: Option<f64>,
}

impl MetricExpect {
    /// Is it so?
    #[must_use]
    pub fn holds(self, figure: f64) -> bool {
        let Self { at_least, at_most } = self;
        at_least.is_none_or(|least| figure >= least) && at_most.is_none_or(|most| figure <= most)
    }

    /// Is it one figure?
    fn exact(self) -> Option<f64> {
        self.at_least.filter(|_| self.at_least == self.at_most)
    }
}

impl fmt::Display for MetricExpect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.exact(), self.at_least, self.at_most) {
            (Some(figure), _, _) => write!(f, "{figure}"),
            (None, Some(least), Some(most)) => write!(f, "{least} to {most}"),
            (None, Some(least), None) => write!(f, "at least {least}"),
            (None, None, Some(most)) => write!(f, "at most {most}"),
            (None, None, None) => f.write_str("any figure"),
        }
    }
}

/// A figure with bounds, as written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounds {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_least: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_most: Option<f64>,
}

impl Serialize for MetricExpect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(figure) = self.exact() {
            return serializer.serialize_f64(figure);
        }
        let Self { at_least, at_most } = *self;
        Bounds { at_least, at_most }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for MetricExpect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = MetricExpect;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a figure, or a mapping of `at_least` and `at_most`")
            }

            fn visit_f64<E: Error>(self, figure: f64) -> Result<MetricExpect, E> {
                let figure = Some(figure);
                Ok(MetricExpect {
                    at_least: figure,
                    at_most: figure,
                })
            }

            fn visit_u64<E: Error>(self, figure: u64) -> Result<MetricExpect, E> {
                self.visit_f64(figure as f64)
            }

            fn visit_i64<E: Error>(self, figure: i64) -> Result<MetricExpect, E> {
                self.visit_f64(figure as f64)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MetricExpect, A::Error> {
                let bounds = Bounds::deserialize(MapAccessDeserializer::new(map))?;
                let Bounds { at_least, at_most } = bounds;
                Ok(MetricExpect { at_least, at_most })
            }
        }
        deserializer.deserialize_any(Words)
    }
}

impl JsonSchema for MetricExpect {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MetricExpect".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "number" },
            { "type": "object", "additionalProperties": false, "properties": {
                "at_least": { "type": "number" }, "at_most": { "type": "number" } } },
        ] })
    }
}
