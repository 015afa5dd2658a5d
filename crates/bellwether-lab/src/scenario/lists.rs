//! Lists that may be written as one item, or left empty; values that may be `null`.

use std::fmt;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Span;

/// Keeps `null` apart from a key that is left out.
pub(crate) fn given<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
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

/// An NS set at a parent: a list of names, or `{names, ttl}`. Empty: no delegation. `n{1..9}.a.test`
/// stands for nine names.
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
                let names = expanded(vec![name.to_owned()])?;
                Ok(Delegation { names, ttl: None })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Delegation, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = seq.next_element()? {
                    names.push(name);
                }
                let names = expanded(names)?;
                Ok(Delegation { names, ttl: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Delegation, A::Error> {
                let Full { names, ttl } = Full::deserialize(MapAccessDeserializer::new(map))?;
                let names = expanded(names)?;
                Ok(Delegation { names, ttl })
            }
        }
        deserializer.deserialize_any(Names)
    }
}

/// Most names that one range stands for: as many as fit into one message.
const RANGE_MAX: u32 = 3000;

/// The names with ranges (`n{1..9}.a.test`) written out.
fn expanded<E: Error>(names: Vec<String>) -> Result<Vec<String>, E> {
    let mut all = Vec::new();
    for name in names {
        let Some((before, rest)) = name.split_once('{') else {
            all.push(name);
            continue;
        };
        let range = rest.split_once('}').and_then(|(range, after)| {
            let (from, to) = range.split_once("..")?;
            let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
            (from <= to && to - from < RANGE_MAX).then_some((from..=to, after))
        });
        let (range, after) = range.ok_or_else(|| {
            let words = format!("`{name}` has no range of at most {RANGE_MAX} names");
            E::custom(format!("{words}; write `n{{1..9}}.a.test`"))
        })?;
        all.extend(range.map(|number| format!("{before}{number}{after}")));
    }
    Ok(all)
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
