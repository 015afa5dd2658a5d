//! Where a value comes from and what it means: `config explain KEY`.
//!
//! The meaning, the default and what is allowed are read from the JSON Schema of the types, so
//! nothing is said twice.

use std::path::PathBuf;

use serde_json::Value as Json;

use crate::nearest::nearest;
use crate::place::Place;
use crate::problems::{Problems, Source};
use crate::read;
use crate::secret::{REDACTED, without_passwords};
use crate::substitute::{Lookup, has_any};
use crate::tree::{Node, Value};
use crate::units::{DURATION_PATTERN, SIZE_PATTERN};

/// Longest value that is shown, characters.
const SHOWN_MAX: usize = 400;

/// Keys that a check inherits from its service, and a service from `defaults`.
const INHERITED: &[&str] = &["every", "timeout", "deep_every"];

/// A key, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The key.
    pub key: String,
    /// The value in force; `None` if nothing is. Secrets are `***`.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// What it means, with its unit.
    pub means: String,
    /// What may be written.
    pub allowed: String,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It stands in a file.
    Written {
        /// The key it stands behind: another one if it is inherited.
        key: String,
        /// The file.
        path: PathBuf,
        /// Line and column.
        place: Place,
    },
    /// It is the program's default.
    Default,
    /// Nothing is said, and nothing is the default.
    Nothing,
}

/// Why a key cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The configuration is wrong.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// There is no such key.
    #[error("there is no key `{key}`; {cure}")]
    UnknownKey {
        /// As far as it was understood, and the first part that was not.
        key: String,
        /// The nearest one, or those known there.
        cure: String,
    },
}

impl std::fmt::Display for Explained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            key,
            value,
            origin,
            means,
            allowed,
        } = self;
        match value {
            Some(value) => writeln!(f, "{key} = {value}")?,
            None => writeln!(f, "{key} is not set")?,
        }
        match origin {
            Origin::Written {
                key: other,
                path,
                place,
            } => {
                let path = path.display();
                write!(f, "  from     {path}:{}:{}", place.line, place.column)?;
                if other != key {
                    write!(f, ", inherited from {other}")?;
                }
                writeln!(f)?;
            }
            Origin::Default => writeln!(f, "  from     the program's default")?,
            Origin::Nothing => {}
        }
        writeln!(f, "  means    {means}")?;
        writeln!(f, "  allowed  {allowed}")
    }
}

/// Explains a key such as `services.shop.checks.main.every`: names stand for entries of lists.
/// Without texts, what is in force without a file.
///
/// # Errors
/// If the configuration is wrong, or has no such key.
pub fn explain(
    sources: &[Source],
    key: &str,
    lookup: &dyn Lookup,
) -> Result<Explained, ExplainError> {
    let mut trees: Vec<Node> = Vec::new();
    if !sources.is_empty() {
        read::read(sources.to_vec(), lookup)?;
        let read = read::trees(sources, &mut Vec::new());
        trees = read.into_iter().map(|tree| tree.root).collect();
    }
    let schema = crate::schema();
    let files = Files {
        schema: &schema,
        trees: &trees,
        sources,
    };
    files.explain(key.trim().trim_end_matches('.'))
}

struct Files<'a> {
    schema: &'a Json,
    trees: &'a [Node],
    sources: &'a [Source],
}

/// A key that was found.
struct Found<'a> {
    /// Its schema as it stands at the property, and that of its type.
    at: &'a Json,
    of: &'a Json,
    /// What stands there: several parts where files add to a list.
    nodes: Vec<(Place, Node)>,
}

impl<'a> Files<'a> {
    fn explain(&self, key: &str) -> Result<Explained, ExplainError> {
        let found = self.find(key)?;
        let mut origin = Origin::Nothing;
        let mut value = None;
        for other in inheritance(key) {
            let other_found = if other == key {
                Some((found.at, found.nodes.clone()))
            } else {
                self.find(&other).ok().map(|found| (found.at, found.nodes))
            };
            let Some((at, nodes)) = other_found else {
                continue;
            };
            if let Some((place, _)) = nodes.first() {
                let (place, is_secret) = (*place, found.of["writeOnly"] == true);
                value = Some(self.shown(&nodes, is_secret));
                let path = usize::try_from(place.file)
                    .ok()
                    .and_then(|n| self.sources.get(n));
                origin = Origin::Written {
                    key: other,
                    path: path.map(|source| source.path.clone()).unwrap_or_default(),
                    place,
                };
                break;
            }
            if let Some(default) = at.get("default").filter(|d| is_shown(d)) {
                value = Some(plain(default));
                origin = Origin::Default;
                break;
            }
        }
        let text = |schema: &Json| schema["description"].as_str().map(str::to_owned);
        let means = text(found.at).or_else(|| text(found.of));
        Ok(Explained {
            key: key.to_owned(),
            value,
            origin,
            means: means.unwrap_or_default().replace('\n', " "),
            allowed: allowed(found.at, found.of),
        })
    }

    /// Walks along a key.
    fn find(&self, key: &str) -> Result<Found<'a>, ExplainError> {
        let nodes = self.trees.iter().map(|tree| (tree.place, tree.clone()));
        let mut found = Found {
            at: self.schema,
            of: self.schema,
            nodes: nodes.collect(),
        };
        let mut rest = key;
        while !rest.is_empty() {
            let done = key[..key.len() - rest.len()].trim_end_matches('.');
            let (next, after) = self.step(&found, done, rest)?;
            found = next;
            rest = after;
        }
        Ok(found)
    }

    /// One part of a key: a key of a mapping, or a name or number of an entry of a list.
    fn step<'k>(
        &self,
        found: &Found<'a>,
        done: &str,
        rest: &'k str,
    ) -> Result<(Found<'a>, &'k str), ExplainError> {
        let (word, after) = rest.split_once('.').unwrap_or((rest, ""));
        let inside = |key: &str| match done {
            "" => key.to_owned(),
            done => format!("{done}.{key}"),
        };
        if let Some(properties) = found.of["properties"].as_object() {
            let Some(at) = properties.get(word) else {
                let known = properties.keys().map(String::as_str);
                return Err(unknown(&inside(word), done, word, known));
            };
            let nodes = found.nodes.iter().filter_map(|(_, node)| node.entry(word));
            let nodes = nodes.map(|(_, node)| (node.place, node.clone())).collect();
            let of = self.resolved(at);
            return Ok((Found { at, of, nodes }, after));
        }
        if !found.of["items"].is_null() {
            let at = &found.of["items"];
            let of = self.resolved(at);
            let items = found.nodes.iter().flat_map(|(_, node)| match &*node.value {
                Value::List(items) => items.as_slice(),
                Value::Scalar { .. } | Value::Map(_) => &[],
            });
            let items: Vec<&Node> = items.collect();
            let named = |node: &Node| match node.entry("name").map(|(_, name)| &*name.value) {
                Some(Value::Scalar { text, .. }) => Some(text.clone()),
                _ => None,
            };
            // A name may have dots itself: the longest that fits is meant.
            let fits = |name: &str| {
                rest == name || rest.strip_prefix(name).is_some_and(|r| r.starts_with('.'))
            };
            let entry = items
                .iter()
                .filter_map(|node| named(node).map(|name| (name, *node)))
                .filter(|(name, _)| fits(name))
                .max_by_key(|(name, _)| name.len());
            if let Some((name, node)) = entry {
                let nodes = vec![(node.place, node.clone())];
                let after = rest[name.len()..].trim_start_matches('.');
                return Ok((Found { at, of, nodes }, after));
            }
            if let Some(node) = word.parse::<usize>().ok().and_then(|n| items.get(n)) {
                let nodes = vec![(node.place, (*node).clone())];
                return Ok((Found { at, of, nodes }, after));
            }
            // `url:` is short for a check called `main`; without a file any name may come to be.
            if self.trees.is_empty() || (done.ends_with(".checks") && word == "main") {
                let nodes = Vec::new();
                return Ok((Found { at, of, nodes }, after));
            }
            let names: Vec<String> = items.iter().filter_map(|node| named(node)).collect();
            return Err(unknown(
                &inside(word),
                done,
                word,
                names.iter().map(String::as_str),
            ));
        }
        if found.of["additionalProperties"].is_object() {
            let nodes = found.nodes.iter().filter_map(|(_, node)| node.entry(rest));
            let nodes = nodes.map(|(_, node)| (node.place, node.clone())).collect();
            let at = &found.of["additionalProperties"];
            let of = self.resolved(at);
            return Ok((Found { at, of, nodes }, ""));
        }
        Err(unknown(&inside(word), done, word, std::iter::empty()))
    }

    /// The schema that a reference leads to; of one that may be null, the other.
    fn resolved(&self, schema: &'a Json) -> &'a Json {
        let mut schema = schema;
        loop {
            if let Some(name) = schema["$ref"].as_str() {
                let name = name.rsplit('/').next().unwrap_or_default();
                schema = &self.schema["$defs"][name];
            } else if let Some(any) = schema["anyOf"].as_array() {
                let is_null = |one: &&Json| one["type"] == "null";
                match any.iter().find(|one| !is_null(one)) {
                    Some(one) => schema = one,
                    None => return schema,
                }
            } else {
                return schema;
            }
        }
    }

    fn shown(&self, nodes: &[(Place, Node)], is_secret: bool) -> String {
        let mut out = String::new();
        for (n, (_, node)) in nodes.iter().enumerate() {
            if n > 0 {
                out.push_str(", ");
            }
            match (is_secret, &*node.value) {
                (true, _) => out.push_str(REDACTED),
                (false, Value::Scalar { text, .. }) if !has_any(text) => out.push_str(text),
                (false, _) => show(node, &mut out),
            }
        }
        let out = without_passwords(&out).into_owned();
        let shown: String = out.chars().take(SHOWN_MAX).collect();
        match shown.len() < out.len() {
            true => format!("{shown}…"),
            false => shown,
        }
    }
}

/// The key itself, and those whose value is taken where it says nothing.
fn inheritance(key: &str) -> Vec<String> {
    let mut keys = vec![key.to_owned()];
    let Some((before, last)) = key.rsplit_once('.') else {
        return keys;
    };
    if key.starts_with("services.") && INHERITED.contains(&last) {
        if let Some((service, _)) = before.split_once(".checks.") {
            keys.push(format!("{service}.{last}"));
        }
        keys.push(format!("defaults.{last}"));
    }
    keys
}

/// Keys whose values are never shown, wherever they stand.
const SECRET_KEYS: &[&str] = &["client_cert", "token", "webhook"];

fn show(node: &Node, out: &mut String) {
    // What is cut off in the end need not be written.
    if out.len() > SHOWN_MAX * 4 {
        return;
    }
    match &*node.value {
        Value::Scalar { text, .. } if has_any(text) => out.push_str(REDACTED),
        Value::Scalar { text, plain: true } => out.push_str(text),
        Value::Scalar { text, .. } => out.push_str(&format!("{text:?}")),
        Value::List(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                show(item, out);
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push_str("{ ");
            for (n, (word, value)) in entries.iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                out.push_str(&word.text);
                out.push_str(": ");
                if SECRET_KEYS.contains(&&*word.text) {
                    out.push_str(REDACTED);
                } else {
                    show(value, out);
                }
            }
            out.push_str(" }");
        }
    }
}

/// Empty lists and mappings are no values that anybody asks for.
fn is_shown(default: &Json) -> bool {
    default.is_string() || default.is_number() || default.is_boolean()
}

fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn unknown<'k>(
    key: &str,
    done: &str,
    word: &str,
    known: impl Iterator<Item = &'k str> + Clone,
) -> ExplainError {
    let inside = |word: &str| match done {
        "" => word.to_owned(),
        done => format!("{done}.{word}"),
    };
    let cure = match nearest(word, known.clone()) {
        Some(near) => format!("did you mean `{}`?", inside(near)),
        None => {
            let mut listed: Vec<&str> = known.take(20).collect();
            listed.sort_unstable();
            match listed.len() {
                0 => "nothing is known there".to_owned(),
                _ => format!("known there: {}", listed.join(", ")),
            }
        }
    };
    let key = key.to_owned();
    ExplainError::UnknownKey { key, cure }
}

/// What may be written, in words.
fn allowed(at: &Json, of: &Json) -> String {
    let either = |key: &str| {
        let own = &at[key];
        if own.is_null() { &of[key] } else { own }
    };
    if let Some(words) = either("enum").as_array() {
        let words: Vec<String> = words.iter().filter(|w| !w.is_null()).map(plain).collect();
        return words.join(", ");
    }
    match either("pattern").as_str() {
        Some(DURATION_PATTERN) => return "a number and ms, s, m, h, d, w, mo or y".to_owned(),
        Some(SIZE_PATTERN) => return "a whole number and KiB, MiB or GiB".to_owned(),
        Some(pattern) => return format!("a text like {pattern}"),
        None => {}
    }
    let is = |kind: &str| match &of["type"] {
        Json::String(own) => own == kind,
        Json::Array(any) => any.iter().any(|one| one == kind),
        _ => false,
    };
    if let Some(keys) = of["properties"].as_object() {
        let keys: Vec<&str> = keys.keys().map(String::as_str).collect();
        return format!("a mapping with {}", keys.join(", "));
    }
    if is("integer") {
        let bound = |key: &str| either(key).as_u64();
        return match (bound("minimum"), bound("maximum")) {
            (Some(low), Some(high)) => format!("a whole number from {low} to {high}"),
            (Some(low), None) => format!("a whole number from {low}"),
            _ => "a whole number".to_owned(),
        };
    }
    let word = [
        ("array", "a list"),
        ("object", "a mapping"),
        ("boolean", "true, false"),
        ("string", "a text"),
        ("number", "a number"),
    ];
    let word = word.into_iter().find(|(kind, _)| is(kind));
    word.map_or("see its meaning", |(_, word)| word).to_owned()
}
