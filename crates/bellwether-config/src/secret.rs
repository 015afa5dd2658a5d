//! Texts that never come back out.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What stands in place of a secret, wherever configuration is echoed.
pub const REDACTED: &str = "***";

/// A text that never comes back out: `Debug`, `Display` and `Serialize` say `***`.
///
/// Whoever needs the text itself asks for it by name ([`Secret::expose`]), so that a search for
/// that word finds every place where a secret is used.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for sending it to whom it is for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// How a text is written in the path, the query and the user of a URL, where that is another way.
pub(crate) fn in_urls(text: &str) -> Vec<String> {
    let mut ways = Vec::new();
    if let Ok(mut url) = url::Url::parse("https://host/") {
        // A path that is set as one segment keeps all of it; one that is read as a whole keeps its
        // slashes. Both come back in answers and complaints.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(text);
        }
        ways.push(url.path()[1..].to_owned());
        url.set_path(&format!("x{text}"));
        ways.push(url.path()[2..].to_owned());
        url.set_query(Some(text));
        ways.extend(url.query().map(str::to_owned));
        if url.set_username(text).is_ok() {
            ways.push(url.username().to_owned());
        }
    }
    ways.push(url::form_urlencoded::byte_serialize(text.as_bytes()).collect());
    ways.retain(|way| way != text);
    ways.sort();
    ways.dedup();
    ways
}

/// A text in which what stands before the `@` of a URL is `***`: it is a password, or as good as.
#[must_use]
pub fn without_passwords(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        let end = behind.find(|c: char| c == '/' || c == '"' || c == '`' || c.is_whitespace());
        let authority = &behind[..end.unwrap_or(behind.len())];
        out.push_str(before);
        rest = match authority.rfind('@') {
            Some(user) => {
                out.push_str(REDACTED);
                &behind[user..]
            }
            None => behind,
        };
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(REDACTED)
    }
}

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = String::json_schema(generator);
        schema.insert("writeOnly".to_owned(), true.into());
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_urls() {
        for (text, shown) in [
            ("https://u:p@a.example/@b", "https://***@a.example/@b"),
            ("see postgres://u:p@db/x, ok", "see postgres://***@db/x, ok"),
            (
                "https://dns.example/q@9.9.9.9",
                "https://dns.example/q@9.9.9.9",
            ),
            ("a@b and c", "a@b and c"),
            ("x://a@b x://c@d", "x://***@b x://***@d"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }

    #[test]
    fn ways_of_writing_it_in_a_url() {
        assert_eq!(in_urls("plain-1"), [""; 0]);
        let ways = in_urls("a b/c\"d");
        for url in [
            "https://h/a b/c\"d?x",
            "https://h/?key=a b/c\"d",
            "https://a%20b%2Fc%22d@h/",
        ] {
            let written = url::Url::parse(url).unwrap().to_string();
            let way = ways.iter().find(|way| written.contains(way.as_str()));
            assert!(way.is_some(), "{written}: {ways:?}");
        }
        assert!(ways.contains(&"a+b%2Fc%22d".to_owned()), "{ways:?}");
    }

    #[test]
    fn nothing_shows_it() {
        let secret = Secret::new("hunter2");
        let shown = format!(
            "{secret:?} {secret} {}",
            serde_json::to_string(&secret).unwrap()
        );
        assert_eq!(shown, "*** *** \"***\"");
        assert_eq!(secret.expose(), "hunter2");
    }
}
