//! From a tree to the types of [`crate::spec`], with complaints that know place and key.
//!
//! Serde ends at the first mistake. [`all`] notes it, leaves out the entry that it stands in and
//! begins again, until nothing is wrong: so every mistake of a text is found at once.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use serde::de::value::SeqDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::error::{ConfigError, Problem};
use crate::nearest::nearest;
use crate::place::{AT, Place};
use crate::tree::{Node, TOO_LARGE, Value, Word};

/// What is common to one text.
pub(crate) struct Decoder {
    steps: Cell<usize>,
    steps_max: usize,
    left_out: RefCell<HashSet<(Place, Part)>>,
}

impl Decoder {
    /// For a text of which so many values may be read, those that aliases repeat counted each time.
    pub(crate) fn new(steps_max: usize) -> Self {
        Self {
            steps: Cell::new(0),
            steps_max,
            left_out: RefCell::default(),
        }
    }

    /// Was more read than may be? No part that is left out mends that.
    fn is_spent(&self) -> bool {
        self.steps.get() > self.steps_max
    }
}

/// What may be left out: an entry of a mapping, by its key's place, or of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    Key,
    Item,
}

/// What went wrong, still without words.
#[derive(Debug)]
pub(crate) struct Failure(Box<Inner>);

#[derive(Debug)]
struct Inner {
    fault: Fault,
    place: Option<Place>,
    key: Option<String>,
    entry: Option<(Place, Part)>,
    /// Was something left out of the mapping that lacks a key?
    is_follow_up: bool,
}

#[derive(Debug)]
enum Fault {
    Words(String),
    Unknown(String, &'static [&'static str]),
    Missing(&'static str),
    Wrong(&'static str),
}

const TEXT: &str = "one text";
const LIST: &str = "a list: `[a, b]`, or lines that begin with `- `";
const MAPPING: &str = "a mapping: lines of `key: value`";
const BOOLEAN: &str = "true or false";
const WHOLE: &str = "a whole number";
const NUMBER: &str = "a number";

impl Failure {
    fn new(fault: Fault) -> Self {
        Self(Box::new(Inner {
            fault,
            place: None,
            key: None,
            entry: None,
            is_follow_up: false,
        }))
    }

    fn wrong(wanted: &'static str, place: Place) -> Self {
        Self::new(Fault::Wrong(wanted)).at(place)
    }

    fn at(mut self, place: Place) -> Self {
        self.0.place.get_or_insert(place);
        self
    }

    fn inside(mut self, place: Place, part: Part) -> Self {
        self.0.entry.get_or_insert((place, part));
        self
    }

    fn behind(mut self, key: &str) -> Self {
        self.0.key.get_or_insert_with(|| key.to_owned());
        self
    }

    fn complaint(self) -> ConfigError {
        let Inner {
            fault, place, key, ..
        } = *self.0;
        let problem = match (fault, key) {
            (Fault::Unknown(word, known), _) => unknown(&word, known),
            (Fault::Missing(key), _) => Problem::Missing {
                key: key.to_owned(),
                of: "what begins here".to_owned(),
                example: format!("`{key}: …`"),
            },
            (Fault::Wrong(wanted), Some(key)) => Problem::Value {
                key,
                why: format!("wrong type; it must be {wanted}"),
            },
            (Fault::Wrong(wanted), None) => {
                Problem::Shape(format!("wrong type; this must be {wanted}"))
            }
            (Fault::Words(words), Some(key)) => Problem::Value { key, why: words },
            (Fault::Words(words), None) => Problem::Shape(words),
        };
        ConfigError::new(place.unwrap_or_default(), problem)
    }
}

/// Keys that tell an entry of `services:` where a whole file is read.
const ENTRY_KEYS: &[&str] = &["name", "url", "checks", "expect"];

/// Kinds of checks that later versions have.
const LATER_KINDS: &[&str] = &[
    "grpc",
    "ws",
    "smtp",
    "imap",
    "pop3",
    "ldap",
    "postgres",
    "transaction",
];

/// Words for a key that does not exist.
pub(crate) fn unknown(key: &str, known: &[&'static str]) -> Problem {
    if known.contains(&"services") && ENTRY_KEYS.contains(&key) {
        return Problem::Shape(format!(
            "`{key}` belongs to an entry of `services:`; write `services:` and, indented below it, `- {key}: …` (an entry alone is for `check --expect`)"
        ));
    }
    if known.contains(&"icmp") && LATER_KINDS.contains(&key) {
        return Problem::LaterKind(key.to_owned());
    }
    Problem::UnknownKey {
        key: key.to_owned(),
        nearest: nearest(key, known.iter().copied()).map(str::to_owned),
        known: known.iter().map(|s| (*s).to_owned()).collect(),
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0.fault)
    }
}

impl std::error::Error for Failure {}

impl serde::de::Error for Failure {
    fn custom<T: std::fmt::Display>(words: T) -> Self {
        Self::new(Fault::Words(words.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::custom(format!("wrong type; it must be {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::custom(format!("it must be {expected}"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Fault::Unknown(field.to_owned(), expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Fault::Missing(field))
    }
}

/// Decodes a node; the first mistake ends it.
///
/// # Errors
/// The mistake.
pub(crate) fn first<T: DeserializeOwned>(node: &Node, decoder: &Decoder) -> Result<T, ConfigError> {
    T::deserialize(Cursor { node, decoder }).map_err(Failure::complaint)
}

/// Decodes a node, whose key is `key`; every mistake is noted, and `None` comes of what cannot be
/// read without the entry that it stands in.
pub(crate) fn all<T: DeserializeOwned>(
    node: &Node,
    key: &str,
    decoder: &Decoder,
    problems: &mut Vec<ConfigError>,
) -> Option<T> {
    let before = decoder.steps.get();
    // That was said already.
    if decoder.is_spent() {
        return None;
    }
    loop {
        // What is read again is held once.
        decoder.steps.set(before);
        let failure = match T::deserialize(Cursor { node, decoder }) {
            Ok(value) => return Some(value),
            Err(failure) => failure,
        };
        let (entry, is_follow_up) = (failure.0.entry, failure.0.is_follow_up);
        if !is_follow_up {
            problems.push(failure.behind(key).complaint());
        }
        if decoder.is_spent() {
            return None;
        }
        let entry = entry.filter(|_| !is_follow_up && problems.len() < crate::problems::MAX)?;
        if !decoder.left_out.borrow_mut().insert(entry) {
            return None;
        }
    }
}

#[derive(Clone, Copy)]
struct Cursor<'a> {
    node: &'a Node,
    decoder: &'a Decoder,
}

impl<'a> Cursor<'a> {
    fn scalar(&self, wanted: &'static str) -> Result<(&'a str, bool), Failure> {
        match &*self.node.value {
            Value::Scalar { text, plain } => Ok((text, *plain)),
            Value::List(_) | Value::Map(_) => Err(Failure::wrong(wanted, self.node.place)),
        }
    }

    fn step(&self) -> Result<(), Failure> {
        let steps = self.decoder.steps.get() + 1;
        self.decoder.steps.set(steps);
        if self.decoder.is_spent() {
            return Err(Failure::custom(TOO_LARGE).at(self.node.place));
        }
        Ok(())
    }

    fn list<V: Visitor<'a>>(self, items: &'a [Node], visitor: V) -> Result<V::Value, Failure> {
        let access = Items {
            items: items.iter(),
            decoder: self.decoder,
        };
        visitor
            .visit_seq(access)
            .map_err(|failure| failure.at(self.node.place))
    }

    fn map<V: Visitor<'a>>(
        self,
        entries: &'a [(Word, Node)],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let access = Entries {
            entries: entries.iter(),
            value: None,
            decoder: self.decoder,
        };
        visitor.visit_map(access).map_err(|mut failure| {
            let left_out = self.decoder.left_out.borrow();
            if matches!(failure.0.fault, Fault::Missing(_)) && failure.0.place.is_none() {
                let mut all = entries.iter();
                failure.0.is_follow_up =
                    all.any(|(word, _)| left_out.contains(&(word.place, Part::Key)));
            }
            failure.at(self.node.place)
        })
    }
}

impl<'de> Deserializer<'de> for Cursor<'de> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.step()?;
        let place = self.node.place;
        match &*self.node.value {
            Value::List(items) => self.list(items, visitor),
            Value::Map(entries) => self.map(entries, visitor),
            Value::Scalar { .. } if self.node.is_null() => visitor.visit_unit(),
            Value::Scalar { text, plain: true } => match text.as_str() {
                "true" | "True" | "TRUE" => visitor.visit_bool(true),
                "false" | "False" | "FALSE" => visitor.visit_bool(false),
                text => {
                    if let Ok(number) = text.parse::<u64>() {
                        visitor.visit_u64(number)
                    } else if let Ok(number) = text.parse::<i64>() {
                        visitor.visit_i64(number)
                    } else if let Some(number) = float(text) {
                        visitor.visit_f64(number)
                    } else {
                        visitor.visit_str(text)
                    }
                }
            },
            Value::Scalar { text, .. } => visitor.visit_str(text),
        }
        .map_err(|failure| failure.at(place))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.step()?;
        match self.scalar(BOOLEAN)? {
            ("true", true) => visitor.visit_bool(true),
            ("false", true) => visitor.visit_bool(false),
            _ => Err(Failure::wrong(BOOLEAN, self.node.place)),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.step()?;
        let (text, _) = self.scalar(WHOLE)?;
        let wrong = || Failure::wrong(WHOLE, self.node.place);
        let number: u64 = text.parse().map_err(|_| wrong())?;
        visitor.visit_u64(number).map_err(|_: Failure| wrong())
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.step()?;
        let (text, _) = self.scalar(WHOLE)?;
        let wrong = || Failure::wrong(WHOLE, self.node.place);
        let number: i64 = text.parse().map_err(|_| wrong())?;
        visitor.visit_i64(number).map_err(|_: Failure| wrong())
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.step()?;
        let (text, _) = self.scalar(NUMBER)?;
        let number = float(text).ok_or_else(|| Failure::wrong(NUMBER, self.node.place))?;
        visitor.visit_f64(number)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.step()?;
        let (text, _) = self.scalar(TEXT)?;
        if self.node.is_null() {
            return Err(Failure::wrong(TEXT, self.node.place));
        }
        visitor
            .visit_str(text)
            .map_err(|failure: Failure| failure.at(self.node.place))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.node.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        if name == AT {
            visitor.visit_seq(Placed {
                cursor: self,
                at: 0,
            })
        } else {
            visitor.visit_newtype_struct(self)
        }
    }

    /// What stands behind `key:` may be left out where a list is.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.step()?;
        match &*self.node.value {
            Value::List(items) => self.list(items, visitor),
            Value::Scalar { .. } if self.node.is_null() => self.list(&[], visitor),
            Value::Scalar { .. } | Value::Map(_) => Err(Failure::wrong(LIST, self.node.place)),
        }
    }

    /// What stands behind `key:` may be left out where a mapping is.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.step()?;
        match &*self.node.value {
            Value::Map(entries) => self.map(entries, visitor),
            Value::Scalar { .. } if self.node.is_null() => self.map(&[], visitor),
            Value::Scalar { .. } | Value::List(_) => Err(Failure::wrong(MAPPING, self.node.place)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.step()?;
        let (text, _) = self.scalar(TEXT)?;
        visitor
            .visit_enum(text.into_deserializer())
            .map_err(|failure: Failure| failure.at(self.node.place))
    }

    /// Nothing is looked at, so nothing is counted.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// A number of YAML's core schema that is finite.
fn float(text: &str) -> Option<f64> {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && text.contains(|c: char| c.is_ascii_digit());
    let number: f64 = text.parse().ok()?;
    Some(number).filter(|n| is_number && n.is_finite())
}

/// A list's entries, without those left out.
struct Items<'a> {
    items: std::slice::Iter<'a, Node>,
    decoder: &'a Decoder,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failure> {
        let left_out = self.decoder.left_out.borrow();
        let node = self
            .items
            .find(|node| left_out.is_empty() || !left_out.contains(&(node.place, Part::Item)));
        drop(left_out);
        let Some(node) = node else { return Ok(None) };
        let decoder = self.decoder;
        let item = seed.deserialize(Cursor { node, decoder });
        item.map(Some)
            .map_err(|failure| failure.at(node.place).inside(node.place, Part::Item))
    }
}

/// A mapping's entries, without those left out.
struct Entries<'a> {
    entries: std::slice::Iter<'a, (Word, Node)>,
    value: Option<(&'a Word, &'a Node)>,
    decoder: &'a Decoder,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Failure> {
        let left_out = self.decoder.left_out.borrow();
        let entry = self
            .entries
            .find(|(word, _)| left_out.is_empty() || !left_out.contains(&(word.place, Part::Key)));
        drop(left_out);
        let Some((word, node)) = entry else {
            return Ok(None);
        };
        self.value = Some((word, node));
        let key: serde::de::value::StrDeserializer<'_, Failure> = word.text.into_deserializer();
        seed.deserialize(key)
            .map(Some)
            .map_err(|failure| failure.at(word.place).inside(word.place, Part::Key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let (word, node) = self.value.take().expect("a value follows its key");
        let decoder = self.decoder;
        seed.deserialize(Cursor { node, decoder })
            .map_err(|failure| {
                failure
                    .at(node.place)
                    .inside(word.place, Part::Key)
                    .behind(&word.text)
            })
    }
}

/// A place, and the value that stands there: what [`crate::At`] asks for.
struct Placed<'a> {
    cursor: Cursor<'a>,
    at: usize,
}

impl<'de> SeqAccess<'de> for Placed<'de> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failure> {
        self.at += 1;
        match self.at {
            1 => {
                let Place { file, line, column } = self.cursor.node.place;
                let place = [u64::from(file), line, column];
                let place = SeqDeserializer::<_, Failure>::new(place.into_iter());
                seed.deserialize(place).map(Some)
            }
            2 => seed.deserialize(self.cursor).map(Some),
            _ => Ok(None),
        }
    }
}
