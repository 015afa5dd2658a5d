//! Text to a checked [`Spec`], with errors that name file, line, column, the key and the nearest
//! known one.

use std::collections::BTreeMap;
use std::path::Path;

use bellwether_config::nearest::nearest;
use bellwether_config::{At, ConfigError, Lookup, ServiceSpec, System, convert};
use bellwether_model::{Cause, FactKind};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Spec;
use super::rules::{Wrong, check};
use crate::LabError;

/// Longest scenario, bytes: above any that a person writes.
pub(crate) const TEXT_LEN_MAX: usize = 1024 * 1024;

/// Reads a scenario. `path` is for messages.
///
/// # Errors
/// If the text is no scenario; the message names the place and the cure.
pub fn parse(text: &str, path: &str) -> Result<Spec, LabError> {
    if text.len() > TEXT_LEN_MAX {
        let message = format!("is longer than {TEXT_LEN_MAX} bytes");
        return Err(error(path, None, message));
    }
    let mut options = serde_saphyr::Options::default();
    options.strict_booleans = true;
    let spec: Spec =
        serde_saphyr::from_str_with_options(text, options).map_err(|e| from_yaml(&e, path))?;
    services(text).map_err(|e| {
        let at = (e.place.line > 0).then_some((e.place.line, e.place.column));
        error(path, at, e.problem.to_string())
    })?;
    check(&spec).map_err(|Wrong { word, message }| mistaken(path, text, &word, message))?;
    Ok(spec)
}

/// The known word that was probably meant, whatever its case.
pub(crate) fn meant<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let upper = word.to_ascii_uppercase();
    let near = nearest(word, known.clone()).or_else(|| nearest(&upper, known.clone()));
    near.or_else(|| nearest(&word.to_ascii_lowercase(), known))
}

/// Reads the services once more by the rules of `bellwether.yaml`, for their places.
fn services(text: &str) -> Result<(), ConfigError> {
    #[derive(Deserialize)]
    struct Services {
        #[serde(default)]
        services: Vec<At<ServiceSpec>>,
        #[serde(default)]
        world: Certificates,
    }
    #[derive(Default, Deserialize)]
    struct Certificates {
        #[serde(default)]
        client_certs: BTreeMap<String, IgnoredAny>,
    }
    let Services { services, world } = bellwether_config::yaml(text)?;
    let files = WorldFiles(world.client_certs.into_keys().collect());
    for spec in services {
        convert::service(spec.value, &files)?;
    }
    Ok(())
}

/// The files of a world that is not made yet: its client certificates, by their names.
struct WorldFiles(Vec<String>);

/// Of the form of a client certificate, and nothing more.
const UNMADE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n\
    -----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";

impl Lookup for WorldFiles {
    fn env(&self, name: &str) -> Option<String> {
        System.env(name)
    }

    fn file(&self, path: &Path) -> std::io::Result<String> {
        let is_made = |name: &String| path == Path::new(&format!("{name}.pem"));
        if self.0.iter().any(is_made) {
            return Ok(UNMADE.to_owned());
        }
        System.file(path)
    }
}

/// A mistake that shows only when the world is built, at the first place where `word` stands.
pub(crate) fn mistaken(path: &str, text: &str, word: &str, message: String) -> LabError {
    error(path, place(text, word), message)
}

fn error(path: &str, at: Option<(u64, u64)>, message: String) -> LabError {
    let place = match at {
        Some((line, column)) => format!("{path}:{line}:{column}"),
        None => path.to_owned(),
    };
    LabError::Scenario { place, message }
}

fn from_yaml(failure: &serde_saphyr::Error, path: &str) -> LabError {
    let bare = failure.without_snippet();
    let at = bare.location().map(|at| (at.line(), at.column()));
    error(path, at, words(bare))
}

/// The parser's complaint in our words, with the nearest known key or code.
fn words(failure: &serde_saphyr::Error) -> String {
    match failure {
        serde_saphyr::Error::SerdeUnknownField {
            field, expected, ..
        } => unknown("unknown key", field, expected),
        serde_saphyr::Error::SerdeUnknownVariant {
            variant, expected, ..
        } => unknown("unknown word", variant, expected),
        other => {
            let text = first_line(&other.to_string());
            let known = match () {
                () if text.contains("unknown cause") => {
                    Cause::ALL.iter().map(|c| c.code()).collect::<Vec<_>>()
                }
                () if text.contains("unknown fact") => {
                    FactKind::ALL.iter().map(|f| f.name()).collect()
                }
                () => Vec::new(),
            };
            let quoted = text.split('`').nth(1).unwrap_or_default().to_owned();
            match meant(&quoted, known) {
                Some(near) => format!("{text}; did you mean `{near}`?"),
                None => text,
            }
        }
    }
}

fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    match meant(word, known.iter().copied()) {
        Some(near) => format!("{what} `{word}`; did you mean `{near}`? (known: {list})"),
        None => format!("{what} `{word}`; known are {list}"),
    }
}

/// The message without the parser's own place, which stands before it already.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim();
    let without = match line.find(" at line ") {
        Some(at) if line[at..].contains("column") => &line[..at],
        _ => line,
    };
    match without.strip_prefix("error: ") {
        Some(rest) => rest.to_owned(),
        None => without.to_owned(),
    }
}

/// Line and column of the first place where a word stands.
fn place(text: &str, needle: &str) -> Option<(u64, u64)> {
    let at = text.find(needle)?;
    let line = text[..at].matches('\n').count() as u64 + 1;
    let start = text[..at].rfind('\n').map_or(0, |n| n + 1);
    Some((line, text[start..at].chars().count() as u64 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A whole scenario with one line changed.
    fn scenario(line: &str, other: &str) -> String {
        let text = r#"schema: bellwether.scenario/1
name: x
world:
  zones:
    - name: ours
      apex: svc.test
      servers: { ns1.dns.test: 192.0.2.1 }
      records: ["www 60 A 192.0.2.2"]
  resolvers: [{ address: 8.8.8.8, cache: kept }]
services: [{ name: www, url: "https://www.svc.test/" }]
steps:
  - { check: before, save: true }
  - { set: { servers: { 192.0.2.1: { answers: { rcode: REFUSED } } } } }
  - { wait: 10m }
expect:
  before: { verdict: healthy, cause: null }
"#;
        assert!(text.contains(line), "{line}");
        text.replace(line, other)
    }

    #[track_caller]
    fn check(line: &str, other: &str, expected: &[&str]) {
        let error = parse(&scenario(line, other), "x.yaml")
            .unwrap_err()
            .to_string();
        for part in expected {
            assert!(error.contains(part), "{error}\nlacks {part}");
        }
    }

    #[test]
    fn a_scenario() {
        let spec = parse(&scenario("name: x", "name: x"), "x.yaml").unwrap();
        assert_eq!(spec.expect["before"].cause, Some(None));
        let again = serde_json::to_value(&spec).unwrap();
        assert_eq!(serde_json::from_value::<Spec>(again).unwrap(), spec);
    }

    #[test]
    fn mistakes_name_place_and_cure() {
        check(
            "records:",
            "recods:",
            &["x.yaml:8:7", "`recods`", "did you mean `records`"],
        );
        check(
            "kept",
            "keept",
            &["x.yaml:9:", "`keept`", "did you mean `kept`"],
        );
        check(
            "REFUSED",
            "REFUSE",
            &["x.yaml:13:", "`REFUSE`", "did you mean `REFUSED`"],
        );
        check(
            "answers:",
            "anwsers:",
            &["x.yaml:13:", "did you mean `answers`"],
        );
        check(
            "cause: null",
            "cause: dns.auth.blank_zon",
            &["did you mean `dns.auth.blank_zone`"],
        );
        check("10m", "10 minutes", &["x.yaml:14:", "is no length of time"]);
        check(
            "192.0.2.1 }\n",
            "192.0.2.300 }\n",
            &["x.yaml:7:", "192.0.2.300"],
        );
        check(
            "scenario/1",
            "scenario/2",
            &["x.yaml:1:", "must be `bellwether.scenario/1`"],
        );
        check(
            "  before: {",
            "  befor: {",
            &["no check step `befor`", "did you mean `before`"],
        );
        check(
            "check: before, save: true",
            "save: true",
            &["exactly one of"],
        );
        check(
            "services: [",
            "services: [{ name: b, url: \"https://b.test/\" }, ",
            &["2 services"],
        );
    }
}
