//! A value with the line and column it stands at.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// File, line and column; lines and columns are counted from 1, and are 0 where the value did not
/// come from a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which of the files that are read together, from 0.
    pub file: u32,
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1, in characters.
    pub column: u64,
}

/// A value with its place. Serializes as the value alone.
#[derive(Clone, Debug, Default)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

impl<T> At<T> {
    /// A value that stands in no text.
    #[must_use]
    pub fn nowhere(value: T) -> Self {
        Self {
            value,
            place: Place::default(),
        }
    }
}

/// Two values are equal wherever they stand.
impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Serialize> Serialize for At<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

/// The name by which this crate's reader knows that a place is wanted.
pub(crate) const AT: &str = "$bellwether::At";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    /// With its place from this crate's reader; from any other, the value alone.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Placed<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Placed<T> {
            type Value = At<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a value")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<At<T>, D::Error> {
                T::deserialize(deserializer).map(At::nowhere)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<At<T>, A::Error> {
                let place: Option<(u64, u64, u64)> = seq.next_element()?;
                let (file, line, column) = place.unwrap_or_default();
                let file = u32::try_from(file).unwrap_or_default();
                let value = seq.next_element()?;
                Ok(At {
                    value: value.ok_or_else(|| A::Error::invalid_length(1, &self))?,
                    place: Place { file, line, column },
                })
            }
        }
        deserializer.deserialize_newtype_struct(AT, Placed(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
