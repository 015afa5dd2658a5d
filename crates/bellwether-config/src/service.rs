//! One service, as `check --expect` reads it.

use std::path::Path;

use bellwether_model::Service;
use serde::de::DeserializeOwned;

use crate::convert::{Noted, Reading};
use crate::decode::{self, Decoder};
use crate::error::{ConfigError, Problem};
use crate::place::{At, Place};
use crate::problems::{Problems, Source};
use crate::read::MARK;
use crate::spec::{ConfigSpec, ServiceSpec};
use crate::substitute::{Lookup, System};
use crate::tree::{self, TEXT_LEN_MAX, Tree, Value};

/// Reads one service: an entry of `services:`, a list of one, or a file whose `services:` holds
/// one; `path` is for messages.
///
/// # Errors
/// Everything that is wrong, each with file, line, column and cure.
pub fn parse_service(text: &str, path: &Path) -> Result<Service, Problems> {
    let source = Source {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    one(&source, &System)
}

/// Deserializes YAML with this crate's rules (YAML 1.2 booleans, no key twice, nothing above
/// 64 MiB) and this crate's complaints.
///
/// # Errors
/// The first thing that is wrong, with line, column and cure.
pub fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    let mut problems = Vec::new();
    let tree = root(text, &mut problems)?;
    if let Some(problem) = problems.into_iter().next() {
        return Err(problem);
    }
    decode::first(&tree.root, &Decoder::new(tree.nodes_max))
}

fn root(text: &str, problems: &mut Vec<ConfigError>) -> Result<Tree, ConfigError> {
    let begins = Place {
        file: 0,
        line: 1,
        column: 1,
    };
    if text.len() > TEXT_LEN_MAX {
        let why = format!("the file has more than {TEXT_LEN_MAX} bytes");
        return Err(ConfigError::new(begins, Problem::Shape(why)));
    }
    let text = text.strip_prefix(MARK).unwrap_or(text);
    let tree = tree::read(text, 0, problems)?;
    tree.filter(|tree| !tree.root.is_null()).ok_or_else(|| {
        let why = "the file is empty, or ends too early".to_owned();
        ConfigError::new(begins, Problem::Shape(why))
    })
}

pub(crate) fn one(source: &Source, lookup: &dyn Lookup) -> Result<Service, Problems> {
    let mut problems = Vec::new();
    let reading = Reading::new(lookup);
    let spec = root(&source.text, &mut problems).and_then(|tree| spec(&tree, &mut problems));
    let spec = spec.unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    reading.is_damaged.set(!problems.is_empty());
    let service = spec.and_then(|spec| reading.service(spec.value));
    let Noted {
        problems: noted, ..
    } = reading.noted.into_inner();
    problems.extend(noted);
    match service {
        Some(service) if problems.is_empty() => Ok(service),
        _ => Err(Problems::new(problems, std::slice::from_ref(source))),
    }
}

fn spec(
    tree: &Tree,
    problems: &mut Vec<ConfigError>,
) -> Result<Option<At<ServiceSpec>>, ConfigError> {
    let (node, decoder) = (&tree.root, Decoder::new(tree.nodes_max));
    let is_file = node.entry("services").is_some() || node.entry("version").is_some();
    let services = match &*node.value {
        Value::List(_) => decode::all(node, "services", &decoder, problems),
        _ if is_file => {
            let file: Option<ConfigSpec> = decode::all(node, "services", &decoder, problems);
            file.map(|file| file.services)
        }
        _ => return Ok(decode::all(node, "services", &decoder, problems)),
    };
    let Some(mut services): Option<Vec<At<ServiceSpec>>> = services else {
        return Ok(None);
    };
    if services.len() == 1 || !problems.is_empty() {
        return Ok(services.pop());
    }
    let place = services.get(1).map_or(node.place, |second| second.place);
    let why = format!("one service is read here, and there are {}", services.len());
    Err(ConfigError::value(place, "services", why))
}
