//! From text to configuration.

use std::path::Path;

use bellwether_model::{Resolver, Service};
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::convert;
use crate::error::{ConfigError, Problem};
use crate::nearest::nearest;
use crate::place::{At, Place};
use crate::spec::{ConfigSpec, ServiceSpec};
use crate::substitute::{Lookup, System};

/// Largest text that is read: far above any configuration by hand, far below what a parser would
/// choke on.
const TEXT_LEN_MAX: usize = 4 * 1024 * 1024;

/// Sections of `bellwether.yaml` that come with later versions.
const LATER_SECTIONS: &[&str] = &[
    "hub",
    "trust",
    "defaults",
    "vantages",
    "controls",
    "allow_networks",
    "heartbeats",
    "receivers",
    "route",
    "maintenance",
    "status_pages",
    "retention",
];

/// Keys that tell an entry of `services:` where a whole file is read.
const ENTRY_KEYS: &[&str] = &["name", "url", "checks", "expect"];

/// Validated configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Resolvers to ask, in the order of the file.
    pub resolvers: Vec<Resolver>,
    /// What is watched, in the order of the file.
    pub services: Vec<Service>,
}

/// Reads a configuration file's text; `path` is for messages.
///
/// # Errors
/// The first thing that is wrong, with file, line, column and cure.
pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    config(text, &System).map_err(|error| error.in_file(path))
}

/// Reads one service: an entry of `services:`, a list of one, or a file whose `services:` holds
/// one; `path` is for messages.
///
/// # Errors
/// The first thing that is wrong, with file, line, column and cure.
pub fn parse_service(text: &str, path: &Path) -> Result<Service, ConfigError> {
    one_service(text, &System).map_err(|error| error.in_file(path))
}

/// Deserializes YAML with this crate's rules (YAML 1.2 booleans, no key twice, nothing above
/// 4 MiB) and this crate's complaints.
///
/// # Errors
/// The first thing that is wrong, with line, column and cure.
pub fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    if text.len() > TEXT_LEN_MAX {
        let why = format!("the file has more than {TEXT_LEN_MAX} bytes");
        return Err(ConfigError::new(Place::default(), Problem::Shape(why)));
    }
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| complaint(error, text))
}

/// JSON Schema of `bellwether.yaml`.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(ConfigSpec).to_value()
}

/// JSON Schema of one entry of `services:`.
#[must_use]
pub fn schema_of_service() -> serde_json::Value {
    schemars::schema_for!(ServiceSpec).to_value()
}

fn config(text: &str, lookup: &dyn Lookup) -> Result<Config, ConfigError> {
    let ConfigSpec {
        version,
        resolvers,
        services,
    } = yaml(text)?;
    if let Some(version) = version
        && version.value != 1
    {
        let why = format!("{} is unknown; this program reads version 1", version.value);
        return Err(ConfigError::value(version.place, "version", why));
    }
    if services.is_empty() {
        let problem = Problem::Missing {
            key: "services".to_owned(),
            of: "the file".to_owned(),
            example: "`services: [{ name: shop, url: https://www.shop.example/ }]`".to_owned(),
        };
        return Err(ConfigError::new(Place::default(), problem));
    }
    let names = services
        .iter()
        .map(|s| (s.value.name.place, s.value.name.value.as_str()));
    convert::once("service", names)?;
    let names = resolvers
        .iter()
        .map(|r| (r.value.name.place, r.value.name.value.as_str()));
    convert::once("resolver", names)?;
    let resolvers = resolvers
        .into_iter()
        .map(|spec| convert::resolver(spec.value))
        .collect::<Result<Vec<_>, _>>()?;
    let needs: Vec<At<String>> = services
        .iter()
        .flat_map(|s| s.value.needs.clone())
        .collect();
    let services = services
        .into_iter()
        .map(|spec| convert::service(spec.value, lookup))
        .collect::<Result<Vec<_>, _>>()?;
    for need in needs {
        let known = || services.iter().map(|s| s.name.as_str());
        if !known().any(|name| name == need.value) {
            let cure = match nearest(&need.value, known()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("there are: {}", known().collect::<Vec<_>>().join(", ")),
            };
            let why = format!("there is no service `{}`; {cure}", need.value);
            return Err(ConfigError::value(need.place, "needs", why));
        }
    }
    Ok(Config {
        resolvers,
        services,
    })
}

fn one_service(text: &str, lookup: &dyn Lookup) -> Result<Service, ConfigError> {
    let services = match yaml::<Shape>(text)? {
        Shape::Entry => return convert::service(yaml(text)?, lookup),
        Shape::List => yaml::<Vec<At<ServiceSpec>>>(text)?,
        Shape::File => yaml::<ConfigSpec>(text)?.services,
    };
    match <[At<ServiceSpec>; 1]>::try_from(services) {
        Ok([spec]) => convert::service(spec.value, lookup),
        Err(services) => {
            let place = services.get(1).map(|s| s.place).unwrap_or_default();
            let why = format!("one service is read here, and there are {}", services.len());
            Err(ConfigError::value(place, "services", why))
        }
    }
}

/// What a text holds, judged by its outermost form alone.
enum Shape {
    /// One entry of `services:`.
    Entry,
    /// A list of them.
    List,
    /// A mapping with the key `services` or `version`.
    File,
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Outermost;
        impl<'de> Visitor<'de> for Outermost {
            type Value = Shape;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a service: `name:`, `url:` and what is expected of it")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Shape::List)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
                let mut shape = Shape::Entry;
                while let Some((key, IgnoredAny)) = map.next_entry::<String, _>()? {
                    if key == "services" || key == "version" {
                        shape = Shape::File;
                    }
                }
                Ok(shape)
            }
        }
        deserializer.deserialize_any(Outermost)
    }
}

/// The parser's complaint in our words.
fn complaint(error: serde_saphyr::Error, text: &str) -> ConfigError {
    let place = error
        .location()
        .map(|at| Place {
            line: at.line(),
            column: at.column(),
        })
        .unwrap_or_default();
    let inner = error.without_snippet();
    let problem = match inner {
        serde_saphyr::Error::SerdeUnknownField {
            field, expected, ..
        } => {
            let is_file = expected.contains(&"services");
            if is_file && LATER_SECTIONS.contains(&field.as_str()) {
                Problem::LaterSection(field.clone())
            } else if is_file && ENTRY_KEYS.contains(&field.as_str()) {
                Problem::Shape(format!(
                    "`{field}` belongs to an entry of `services:`; write `services:` and, indented below it, `- {field}: …` (an entry alone is for `check --expect`)"
                ))
            } else {
                Problem::UnknownKey {
                    key: field.clone(),
                    nearest: nearest(field, expected.iter().copied()).map(str::to_owned),
                    known: expected.iter().map(|s| (*s).to_owned()).collect(),
                }
            }
        }
        serde_saphyr::Error::SerdeMissingField { field, .. } => Problem::Missing {
            key: (*field).to_owned(),
            of: "what begins here".to_owned(),
            example: format!("`{field}: …`"),
        },
        serde_saphyr::Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("a key");
            Problem::Shape(format!("the key `{key}` stands twice here; remove one"))
        }
        other => {
            let message = one_line(&other.to_string());
            match cure(&message) {
                Some(cure) => Problem::Shape(cure.to_owned()),
                None => wrong_form(&message, key_at(text, place)),
            }
        }
    };
    ConfigError::new(place, problem)
}

/// What a value should have been, with the key it stands behind.
fn wrong_form(message: &str, key: Option<&str>) -> Problem {
    let wanted = [
        (
            "sequence start",
            "a list: `[a, b]`, or lines that begin with `- `",
        ),
        ("mapping start", "a mapping: lines of `key: value`"),
        ("string scalar", "one text"),
        ("boolean", "true or false"),
        ("invalid u32", "a whole number"),
        ("integer", "a whole number"),
        ("number", "a number"),
    ]
    .into_iter()
    .find(|(words, _)| message.contains(words))
    .map(|(_, wanted)| wanted);
    match (wanted, key) {
        (Some(wanted), Some(key)) => Problem::Value {
            key: key.to_owned(),
            why: format!("wrong type; it must be {wanted}"),
        },
        (Some(wanted), None) => Problem::Shape(format!("wrong type; this must be {wanted}")),
        (None, Some(key)) => Problem::Shape(format!("{message} (behind `{key}`)")),
        (None, None) => Problem::Shape(format!("{message}; look at the indentation here")),
    }
}

/// The key of the value at a place: the nearest word before it on its line that has a colon.
fn key_at(text: &str, place: Place) -> Option<&str> {
    let line = text
        .lines()
        .nth(usize::try_from(place.line).ok()?.checked_sub(1)?)?;
    let column = usize::try_from(place.column).ok()?.checked_sub(1)?;
    let end = line
        .char_indices()
        .nth(column)
        .map_or(line.len(), |(at, _)| at);
    let before = line[..end].rsplit_once(':')?.0;
    let start = before
        .char_indices()
        .rfind(|(_, c)| !(c.is_alphanumeric() || *c == '_'))
        .map_or(0, |(at, c)| at + c.len_utf8());
    Some(&before[start..]).filter(|key| !key.is_empty())
}

/// Better words for some of the parser's messages.
fn cure(message: &str) -> Option<&'static str> {
    let cures = [
        (
            "multiple YAML documents",
            "a second document begins here (`---`); one is read, remove the others",
        ),
        (
            "budget breached",
            "the file is too large once its aliases (`*name`) are written out; use fewer",
        ),
        (
            "recursion limit exceeded",
            "nested too deeply; no key needs more than a few levels",
        ),
        ("found a tab", "a tab stands here; indent with spaces"),
        (
            "unexpected end of input",
            "the file is empty, or ends too early",
        ),
        (
            "unknown anchor",
            "there is no anchor (`&name`) of this alias (`*name`)",
        ),
    ];
    let known = cures.iter().find(|(words, _)| message.contains(words));
    known.map(|(_, cure)| *cure)
}

/// The message without the place, which is said in front already.
fn one_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    match line.rsplit_once(" at line ") {
        Some((words, _)) => words.to_owned(),
        None => line.to_owned(),
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
