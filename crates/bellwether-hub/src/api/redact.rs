//! What may hold a secret, with the secret left out.

use bellwether_config::Config;
use bellwether_model::Report;
use serde_json::Value;

/// What stands in place of a secret.
const HIDDEN: &str = "…";

/// A target as it may be shown: without user and password, and with the names alone of the
/// parameters of its query, where keys of APIs stand.
#[must_use]
pub(crate) fn target(text: &str) -> String {
    let (text, fragment) = match text.split_once('#') {
        Some((text, _)) => (text, "#…"),
        None => (text, ""),
    };
    let (before, query) = match text.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (text, None),
    };
    let mut out = match before.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority
                .rsplit_once('@')
                .map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => before.to_owned(),
    };
    if let Some(query) = query {
        let hidden = |pair: &str| match pair.split_once('=') {
            Some((name, _)) => format!("{name}={HIDDEN}"),
            None => HIDDEN.to_owned(),
        };
        let pairs: Vec<String> = query.split('&').map(hidden).collect();
        out.push('?');
        out.push_str(&pairs.join("&"));
    }
    out + fragment
}

/// A complaint as it may be shown to whoever reads: it quotes what was written, and of the URLs in it
/// only the names of their parameters are told.
#[must_use]
pub(crate) fn complaint(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || "`\"'<>".contains(c);
    let mut out = String::with_capacity(text.len());
    for piece in text.split_inclusive(is_end) {
        let word = piece.trim_end_matches(is_end);
        if word.contains("://") && word.contains('?') {
            out.push_str(&target(word));
        } else {
            out.push_str(word);
        }
        out.push_str(&piece[word.len()..]);
    }
    out
}

/// The configuration as it may be shown: what a `${…}` stood for, and what is a secret by its key,
/// is `***`, and so are parameters of URLs, where people write keys of APIs as they are.
#[must_use]
pub(crate) fn configuration(config: &Config) -> Value {
    let mut shown = config.redacted();
    in_strings(&mut shown, &|text| {
        let (scheme, _) = text.split_once("://")?;
        let is_url = scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        is_url.then(|| target(text))
    });
    shown
}

/// A report without what a `${…}` of the configuration stood for, in a URL for example, and without
/// the values of its target's query: what is kept and shown goes by this, and gives the same verdict.
#[must_use]
pub(crate) fn report(config: &Config, report: Report) -> Report {
    let query = query_of(&report);
    if config.secrets.is_empty() && query.is_none() {
        return report;
    }
    // Text by text: in JSON as a whole a secret with a quote or a line break in it is written in
    // another way, and would be passed over.
    let Ok(mut value) = serde_json::to_value(&report) else {
        return report;
    };
    let changed = in_strings(&mut value, &|text| {
        let without_query = query
            .as_ref()
            .map(|(given, shown)| text.replace(given, shown));
        let shown = config.scrub(without_query.as_deref().unwrap_or(text));
        (shown != text).then_some(shown)
    });
    if !changed {
        return report;
    }
    serde_json::from_value(value).unwrap_or_else(|_| without_words(report))
}

/// The query of a report's target, and how it is shown, where that is not the same.
fn query_of(report: &Report) -> Option<(String, String)> {
    let asked = &report.context.as_ref()?.target.text;
    let given = asked.split_once('?')?.1;
    let shown = target(asked);
    let shown = shown.split_once('?')?.1;
    (given != shown).then(|| (format!("?{given}"), format!("?{shown}")))
}

/// A secret stood where the report holds something else than words: a status, a code. It is told
/// without everything that could repeat it.
fn without_words(mut report: Report) -> Report {
    const LEFT_OUT: &str = "left out: it would repeat a secret of the configuration";
    report.target = HIDDEN.to_owned();
    report.observations.clear();
    report.context = None;
    for finding in &mut report.findings {
        finding.facts.clear();
        finding.see = None;
        LEFT_OUT.clone_into(&mut finding.summary);
        LEFT_OUT.clone_into(&mut finding.remedy);
    }
    if let Some(diagnosis) = &mut report.diagnosis {
        diagnosis.facts.clear();
        diagnosis.details.clear();
        diagnosis.see = None;
        LEFT_OUT.clone_into(&mut diagnosis.summary);
        LEFT_OUT.clone_into(&mut diagnosis.remedy);
    }
    for layer in &mut report.layers {
        LEFT_OUT.clone_into(&mut layer.summary);
    }
    report
}

/// Puts other texts in place of texts, keys of objects too. Tells whether any was replaced.
fn in_strings(value: &mut Value, replace: &dyn Fn(&str) -> Option<String>) -> bool {
    match value {
        Value::String(text) => match replace(text) {
            Some(other) => {
                *text = other;
                true
            }
            None => false,
        },
        Value::Array(items) => {
            let replaced = items.iter_mut().map(|item| in_strings(item, replace));
            // All of them are gone through, also behind the first.
            replaced.fold(false, |any, one| any | one)
        }
        Value::Object(entries) => {
            let keys: Vec<(String, String)> = entries
                .keys()
                .filter_map(|key| Some((key.clone(), replace(key)?)))
                .collect();
            let mut any = !keys.is_empty();
            for (key, other) in keys {
                if let Some(value) = entries.remove(&key) {
                    entries.insert(other, value);
                }
            }
            for entry in entries.values_mut() {
                any |= in_strings(entry, replace);
            }
            any
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{complaint, in_strings, target};

    #[test]
    fn complaints_quote_no_parameters() {
        for (given, shown) in [
            (
                "b.yaml:2:9: `url`: `ftp://h/a?key=x&b` is no URL",
                "b.yaml:2:9: `url`: `ftp://h/a?key=…&…` is no URL",
            ),
            ("what? see https://h/", "what? see https://h/"),
            ("a `b` ü", "a `b` ü"),
        ] {
            assert_eq!(complaint(given), shown);
        }
    }

    #[test]
    fn every_text_is_replaced() {
        let mut value = serde_json::json!({"a": ["x", {"x": "x"}], "b": 1, "c": null});
        let replace = |text: &str| (text == "x").then(|| "y".to_owned());
        assert!(in_strings(&mut value, &replace));
        assert_eq!(
            value,
            serde_json::json!({"a": ["y", {"y": "y"}], "b": 1, "c": null})
        );
        assert!(!in_strings(&mut value, &replace));
    }

    #[test]
    fn secrets_are_left_out() {
        for (given, shown) in [
            (
                "https://www.svc.test/a?b=1&key=x",
                "https://www.svc.test/a?b=…&key=…",
            ),
            (
                "https://u:p@www.svc.test:8/a@b",
                "https://www.svc.test:8/a@b",
            ),
            ("https://u:p@w@h", "https://h"),
            ("https://h/?secret", "https://h/?…"),
            ("https://h?a=b=c#d", "https://h?a=…#…"),
            ("tcp://[::1]:80", "tcp://[::1]:80"),
            ("dns://a.test", "dns://a.test"),
            ("a.test", "a.test"),
        ] {
            assert_eq!(target(given), shown);
        }
    }
}
