//! Words for how a zone is signed with DNSSEC.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Moment;

/// A DNSSEC algorithm, by its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// 8.
    RsaSha256,
    /// 10.
    RsaSha512,
    /// 12: given up by everybody (RFC 9906), so that validators take the zone as unsigned. Its
    /// signatures are octets without meaning.
    EccGost,
    /// 13.
    #[default]
    EcdsaP256Sha256,
    /// 14.
    EcdsaP384Sha384,
    /// 15.
    Ed25519,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::RsaSha256,
        Self::RsaSha512,
        Self::EccGost,
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::Ed25519,
    ];

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::RsaSha256 => 8,
            Self::RsaSha512 => 10,
            Self::EccGost => 12,
            Self::EcdsaP256Sha256 => 13,
            Self::EcdsaP384Sha384 => 14,
            Self::Ed25519 => 15,
        }
    }
}

impl Serialize for Algorithm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for Algorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(deserializer)?;
        let known = Self::ALL.into_iter().find(|a| a.number() == number);
        known.ok_or_else(|| {
            let numbers = Self::ALL.map(|a| a.number().to_string()).join(", ");
            D::Error::custom(format!(
                "the lab has no algorithm {number}; known are {numbers}"
            ))
        })
    }
}

impl JsonSchema for Algorithm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Algorithm".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": Self::ALL.map(Self::number) })
    }
}

/// How many keys a zone has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeysWord {
    /// A key-signing and a zone-signing key.
    #[default]
    Split,
    /// One key for all.
    Single,
}

/// Does the signer of a zone run?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignerWord {
    /// It signs anew each day.
    #[default]
    Running,
    /// It does not: the signatures stay as they are, and end 14 days after they were made.
    Stopped,
}

/// From when to when signatures hold, where it is not from one day before they were made to 14
/// days after. Moments relative to the clock are taken when the words are read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SignaturesSpec {
    /// Begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inception: Option<Moment>,
    /// End.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration: Option<Moment>,
    /// Only those over these sets, each `OWNER` or `OWNER TYPE`; all if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
}

/// How a signed zone proves that something does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Denial {
    /// By NSEC records (RFC 4034 section 4).
    #[default]
    Nsec,
    /// By NSEC3 records (RFC 5155).
    Nsec3(Nsec3Spec),
}

/// Parameters of NSEC3.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Nsec3Spec {
    /// Additional iterations; RFC 9276 asks for none.
    pub iterations: u16,
    /// Salt, in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// Leave unsigned delegations out of the chain.
    pub opt_out: bool,
}

impl Serialize for Denial {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        match self {
            Self::Nsec => serializer.serialize_str("nsec"),
            Self::Nsec3(spec) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("nsec3", spec)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Denial {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Full {
            nsec3: Nsec3Spec,
        }
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = Denial;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("nsec, nsec3, or a mapping of nsec3")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Denial, E> {
                match word {
                    "nsec" => Ok(Denial::Nsec),
                    "nsec3" => Ok(Denial::Nsec3(Nsec3Spec::default())),
                    other => Err(E::unknown_variant(other, &["nsec", "nsec3"])),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Denial, A::Error> {
                let Full { nsec3 } = Full::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Denial::Nsec3(nsec3))
            }
        }
        deserializer.deserialize_any(Words)
    }
}

impl JsonSchema for Denial {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Denial".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let nsec3 = generator.subschema_for::<Nsec3Spec>();
        json_schema!({ "anyOf": [
            { "enum": ["nsec", "nsec3"] },
            { "type": "object", "additionalProperties": false, "required": ["nsec3"],
              "properties": { "nsec3": nsec3 } },
        ] })
    }
}

/// What is wrong with the proofs that something does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DenialFault {
    /// Nothing.
    #[default]
    None,
    /// Negative answers carry none; those from wildcards still prove that nothing is closer.
    Missing,
    /// One record claims that the zone holds nothing but its apex: NXDOMAIN and answers from a
    /// wildcard at the apex stay proven, the absence of a type at an existing name does not.
    Wide,
}

/// The CDS and CDNSKEY records of a zone (RFC 7344): what its parent is asked to publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CdsWord {
    /// There are none.
    #[default]
    None,
    /// They ask for the zone's key.
    Right,
    /// They ask for a key that the zone does not have.
    Wrong,
}

/// The DS set at a parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DsWords {
    /// That of the keys that the zone has at this moment.
    Right,
    /// That of a key that the zone does not have.
    Wrong,
    /// These records, as `KEYTAG ALGORITHM DIGESTTYPE DIGEST`; none: the zone is unsigned to
    /// the world.
    Records(Vec<String>),
}

impl Serialize for DsWords {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Right => serializer.serialize_str("right"),
            Self::Wrong => serializer.serialize_str("wrong"),
            Self::Records(records) => records.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for DsWords {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = DsWords;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("none, right, wrong, a DS record or a list of them")
            }

            fn visit_unit<E: Error>(self) -> Result<DsWords, E> {
                Ok(DsWords::Records(Vec::new()))
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<DsWords, E> {
                match word {
                    "none" => Ok(DsWords::Records(Vec::new())),
                    "right" => Ok(DsWords::Right),
                    "wrong" => Ok(DsWords::Wrong),
                    record if record.contains(' ') => Ok(DsWords::Records(vec![record.to_owned()])),
                    other => Err(E::unknown_variant(other, &["none", "right", "wrong"])),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<DsWords, A::Error> {
                let mut records = Vec::new();
                while let Some(record) = seq.next_element()? {
                    records.push(record);
                }
                Ok(DsWords::Records(records))
            }
        }
        deserializer.deserialize_any(Words)
    }
}

impl JsonSchema for DsWords {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DsWords".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "enum": ["none", "right", "wrong", null] },
            { "type": "string", "pattern": "^[0-9]+ [0-9]+ [0-9]+ [0-9A-Fa-f ]+$" },
            { "type": "array", "items": { "type": "string" } },
        ] })
    }
}
