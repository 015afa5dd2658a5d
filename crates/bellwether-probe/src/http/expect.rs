//! What was declared, held against what came.

use bellwether_model::http::Expectation;
use bellwether_model::service::{BodyExpect, Expect, RoleExpect};
use bellwether_model::text::inert;
use regex::bytes::RegexBuilder;
use serde_json::Value;

/// Largest body that is read as JSON: a parsed value takes up to 80 times its text.
const JSON_LEN_MAX: usize = 128 * 1024;
/// Memory of a compiled expression, bytes. The engine's time is linear in the body.
const REGEX_LEN_MAX: usize = 1024 * 1024;
/// Longest text of what was found, characters.
const FOUND_LEN_MAX: usize = 200;

/// What the whole exchange came to, redirects included.
pub(crate) struct Came<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    pub(crate) total_ms: f64,
    /// The declared role header of the first response.
    pub(crate) role: Option<String>,
    /// The body's coding, if the server sent one although we asked for none: expectations are held
    /// against the bytes as they came.
    pub(crate) coding: Option<String>,
}

/// Every declared expectation of the response, met or not.
pub(crate) fn held(expect: &Expect, came: &Came<'_>) -> Vec<Expectation> {
    let mut held = Vec::new();
    if !expect.status.is_empty() {
        let ranges: Vec<String> = expect.status.iter().map(ToString::to_string).collect();
        held.push(Expectation {
            what: "status".to_owned(),
            expected: ranges.join(", "),
            found: came.status.to_string(),
            met: expect.takes_status(came.status),
        });
    }
    if let Some(declared) = &expect.body {
        let first = held.len();
        body(declared, came.body, &mut held);
        if let Some(coding) = &came.coding {
            for held in held[first..].iter_mut().filter(|held| !held.met) {
                let found = format!("{}, coded as {coding}", held.found);
                held.found = inert(&found, FOUND_LEN_MAX);
            }
        }
    }
    if let Some(within) = expect.within_ms {
        held.push(Expectation {
            what: "within".to_owned(),
            expected: format!("{within} ms"),
            found: format!("{:.0} ms", came.total_ms),
            // Milliseconds that a person declares are far below 2^53.
            met: came.total_ms <= within as f64,
        });
    }
    if let Some(RoleExpect { header, value }) = &expect.role {
        let found = came.role.as_deref();
        held.push(Expectation {
            what: "role".to_owned(),
            expected: format!("{header}: {value}"),
            found: match found {
                Some(found) => inert(&format!("{header}: {found}"), FOUND_LEN_MAX),
                None => format!("no header {header}"),
            },
            met: found == Some(value.as_str()),
        });
    }
    held
}

/// Is this status with this body what was declared?
pub(crate) fn holds(expect: &Expect, status: u16, bytes: &[u8]) -> bool {
    let mut found = Vec::new();
    if let Some(declared) = &expect.body {
        body(declared, bytes, &mut found);
    }
    expect.takes_status(status) && found.iter().all(|f| f.met)
}

fn body(declared: &BodyExpect, body: &[u8], held: &mut Vec<Expectation>) {
    let mut push = |expected: String, found: Result<String, String>| {
        held.push(Expectation {
            what: "body".to_owned(),
            expected,
            met: found.is_ok(),
            found: found.unwrap_or_else(|found| found),
        });
    };
    match declared {
        BodyExpect::Contains(text) => {
            let is_there = text.is_empty() || contains(body, text.as_bytes());
            push(format!("contains `{text}`"), there(is_there, body));
        }
        BodyExpect::Matches(pattern) => {
            let found = RegexBuilder::new(pattern)
                .size_limit(REGEX_LEN_MAX)
                .dfa_size_limit(REGEX_LEN_MAX)
                .build()
                .map_err(|_| "the expression cannot be used".to_owned())
                .and_then(|regex| there(regex.is_match(body), body));
            push(format!("matches `{pattern}`"), found);
        }
        BodyExpect::Json(values) => {
            let parsed = json(body);
            for (path, expected) in values {
                let found = parsed.as_ref().map_err(Clone::clone);
                let found = found.and_then(|document| compare(document, path, expected));
                push(format!("{path} = {expected}"), found);
            }
        }
    }
}

fn there(is_there: bool, body: &[u8]) -> Result<String, String> {
    if is_there {
        Ok("found".to_owned())
    } else {
        Err(format!("not found in {} bytes", body.len()))
    }
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    // The searcher of the regular expressions is fast for plain text too.
    let text = String::from_utf8_lossy(text);
    regex::bytes::Regex::new(&regex::escape(&text)).is_ok_and(|regex| regex.is_match(body))
}

fn json(body: &[u8]) -> Result<Value, String> {
    if body.len() > JSON_LEN_MAX {
        return Err(format!("more than {JSON_LEN_MAX} bytes, not read as JSON"));
    }
    serde_json::from_slice(body).map_err(|error| inert(&format!("no JSON: {error}"), FOUND_LEN_MAX))
}

fn compare(document: &Value, path: &str, expected: &Value) -> Result<String, String> {
    let Some(found) = at(document, path) else {
        return Err("nothing there".to_owned());
    };
    let shown = inert(&found.to_string(), FOUND_LEN_MAX);
    let is_same = match (found.as_f64(), expected.as_f64()) {
        // `1` and `1.0` are one number in JSON.
        (Some(found), Some(expected)) => found == expected,
        _ => found == expected,
    };
    if is_same { Ok(shown) } else { Err(shown) }
}

/// By JSON Pointer (RFC 6901), or by names and indexes with dots between them.
fn at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() || path.starts_with('/') {
        return document.pointer(path);
    }
    path.split('.')
        .try_fold(document, |value, step| match value {
            Value::Object(members) => members.get(step),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_model::service::StatusRange;
    use serde_json::json;

    fn met(expect: Expect, body: &[u8]) -> Vec<bool> {
        let came = Came {
            status: 200,
            body,
            total_ms: 80.4,
            role: Some("web".to_owned()),
            coding: None,
        };
        held(&expect, &came).iter().map(|e| e.met).collect()
    }

    fn of_body(declared: BodyExpect, body: &str) -> Vec<bool> {
        let expect = Expect {
            body: Some(declared),
            ..Expect::default()
        };
        met(expect, body.as_bytes())
    }

    #[test]
    fn what_is_not_declared_is_not_judged() {
        assert!(met(Expect::default(), b"").is_empty());
    }

    #[test]
    fn status_time_and_role() {
        let expect = Expect {
            status: vec![StatusRange {
                low: 204,
                high: 299,
            }],
            within_ms: Some(80),
            role: Some(RoleExpect {
                header: "x-tier".to_owned(),
                value: "web".to_owned(),
            }),
            ..Expect::default()
        };
        assert_eq!(met(expect, b""), [false, false, true]);
    }

    #[test]
    fn text_and_expressions() {
        let contains = |text: &str| BodyExpect::Contains(text.to_owned());
        assert_eq!(of_body(contains("a.c"), "xa.cx"), [true]);
        assert_eq!(of_body(contains("a.c"), "xabcx"), [false]);
        let matches = |text: &str| BodyExpect::Matches(text.to_owned());
        assert_eq!(of_body(matches("a.c"), "xabcx"), [true]);
        assert_eq!(of_body(matches("("), "x"), [false]);
        assert_eq!(of_body(matches("(x+x+)+y"), &"x".repeat(10_000)), [false]);
    }

    #[test]
    fn json_by_pointer_and_by_dots() {
        let declared = |path: &str, value: Value| {
            BodyExpect::Json([(path.to_owned(), value)].into_iter().collect())
        };
        let text = r#"{"a":{"b":[1,{"c":"x"}]},"d":null}"#;
        assert_eq!(of_body(declared("/a/b/0", json!(1.0)), text), [true]);
        assert_eq!(of_body(declared("a.b.1.c", json!("x")), text), [true]);
        assert_eq!(of_body(declared("a.b.1.c", json!("y")), text), [false]);
        assert_eq!(of_body(declared("a.z", json!(null)), text), [false]);
        assert_eq!(of_body(declared("d", json!(null)), text), [true]);
        assert_eq!(of_body(declared("d", json!(null)), "<html>"), [false]);
        let deep = "[".repeat(100_000);
        assert_eq!(of_body(declared("d", json!(null)), &deep), [false]);
    }
}
