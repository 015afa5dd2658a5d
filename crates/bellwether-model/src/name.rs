//! Domain names in presentation form.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest label, in octets (RFC 1035 section 2.3.4).
const LABEL_LEN_MAX: usize = 63;
/// Longest name in presentation form without escapes: 255 octets on the wire less the root label
/// and the first length octet (RFC 1035 section 2.3.4).
const NAME_LEN_MAX: usize = 253;

/// A fully qualified domain name: lower case, with the final dot, escapes as in RFC 1035
/// section 5.1 (`\DDD`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct DnsName(String);

/// Why a text is no domain name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("the name is empty")]
    Empty,
    /// Two dots in a row, or a dot at the beginning.
    #[error("`{0}` has an empty label")]
    EmptyLabel(String),
    /// A label above 63 octets.
    #[error("`{0}` has a label longer than 63 octets")]
    LongLabel(String),
    /// A name above 255 octets.
    #[error("`{0}` is longer than 255 octets")]
    LongName(String),
    /// A character that no name holds.
    #[error(
        "`{name}` holds the character {character:?}; a name has letters, digits, `-`, `_` and `.`"
    )]
    Character {
        /// The whole text.
        name: String,
        /// The character.
        character: char,
    },
}

impl DnsName {
    /// The root.
    #[must_use]
    pub fn root() -> Self {
        Self(".".to_owned())
    }

    /// A name as a person types it: with or without the final dot.
    ///
    /// # Errors
    /// If a label or the name is too long or empty, or holds a character that names do not have.
    pub fn typed(text: &str) -> Result<Self, NameError> {
        let bad =
            |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*' | '/'));
        if let Some(character) = text.chars().find(bad) {
            return Err(NameError::Character {
                name: text.to_owned(),
                character,
            });
        }
        Self::presentation(text)
    }

    /// A name in presentation form as a decoder prints it, escapes included.
    ///
    /// # Errors
    /// If a label or the name is too long or empty.
    pub fn presentation(text: &str) -> Result<Self, NameError> {
        if text == "." {
            return Ok(Self::root());
        }
        let body = text.strip_suffix('.').unwrap_or(text);
        if body.is_empty() {
            return Err(NameError::Empty);
        }
        let mut octets = 0;
        for label in split_labels(body) {
            let len = label_octets(label);
            if len == 0 {
                return Err(NameError::EmptyLabel(text.to_owned()));
            }
            if len > LABEL_LEN_MAX {
                return Err(NameError::LongLabel(text.to_owned()));
            }
            octets += len + 1;
        }
        if octets - 1 > NAME_LEN_MAX {
            return Err(NameError::LongName(text.to_owned()));
        }
        Ok(Self(format!("{}.", body.to_ascii_lowercase())))
    }

    /// With the final dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without the final dot, as TLS and HTTP want it; `.` for the root.
    #[must_use]
    pub fn without_dot(&self) -> &str {
        if self.is_root() {
            "."
        } else {
            &self.0[..self.0.len() - 1]
        }
    }

    /// Is this the root?
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0 == "."
    }

    /// The labels, leftmost first, the root label left out.
    #[must_use]
    pub fn labels(&self) -> Vec<&str> {
        if self.is_root() {
            return Vec::new();
        }
        split_labels(self.without_dot()).collect()
    }

    /// One label less; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let labels = self.labels();
        match labels.len() {
            0 => None,
            1 => Some(Self::root()),
            _ => Some(Self(self.0[labels[0].len() + 1..].to_owned())),
        }
    }

    /// Is this name at or below `ancestor`?
    #[must_use]
    pub fn is_at_or_below(&self, ancestor: &Self) -> bool {
        ancestor.is_root()
            || self == ancestor
            || self
                .0
                .strip_suffix(ancestor.as_str())
                .is_some_and(|rest| rest.ends_with('.'))
    }

    /// This name's own last `count` labels, for example the top-level domain with `count` = 1.
    #[must_use]
    pub fn last_labels(&self, count: usize) -> Self {
        let labels = self.labels();
        let kept = &labels[labels.len().saturating_sub(count)..];
        if kept.is_empty() {
            Self::root()
        } else {
            Self(format!("{}.", kept.join(".")))
        }
    }
}

/// Labels of a presentation-form name, dots behind a backslash left in their label.
fn split_labels(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        let mut escaped = false;
        let end = current.bytes().position(|b| {
            let is_end = b == b'.' && !escaped;
            escaped = b == b'\\' && !escaped;
            is_end
        });
        match end {
            Some(at) => {
                rest = Some(&current[at + 1..]);
                Some(&current[..at])
            }
            None => {
                rest = None;
                Some(current)
            }
        }
    })
}

/// Octets on the wire of a label with escapes.
fn label_octets(label: &str) -> usize {
    let bytes = label.as_bytes();
    let (mut at, mut octets) = (0, 0);
    while at < bytes.len() {
        let digits = bytes.len() >= at + 4 && bytes[at + 1..at + 4].iter().all(u8::is_ascii_digit);
        at += match bytes[at] {
            b'\\' if digits => 4,
            b'\\' => 2,
            _ => 1,
        };
        octets += 1;
    }
    octets
}

impl std::fmt::Display for DnsName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DnsName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::presentation(text)
    }
}

impl<'de> Deserialize<'de> for DnsName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::presentation(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_names() {
        let ok = |text: &str| DnsName::typed(text).map(|n| n.to_string()).ok();
        assert_eq!(ok("WWW.Example.com").as_deref(), Some("www.example.com."));
        assert_eq!(ok("example.com.").as_deref(), Some("example.com."));
        assert_eq!(ok(".").as_deref(), Some("."));
        for bad in [
            "",
            "..",
            "a..b",
            ".a",
            "a b",
            "ä.de",
            &"x".repeat(64),
            &"a.".repeat(128),
        ] {
            assert!(DnsName::typed(bad).is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn ancestry() {
        let name = DnsName::typed("www.svc.test").unwrap();
        assert_eq!(name.parent().unwrap().as_str(), "svc.test.");
        assert!(name.is_at_or_below(&DnsName::typed("svc.test").unwrap()));
        assert!(!name.is_at_or_below(&DnsName::typed("vc.test").unwrap()));
        assert!(name.is_at_or_below(&DnsName::root()));
        assert_eq!(name.last_labels(1).as_str(), "test.");
        assert_eq!(
            DnsName::typed("test").unwrap().parent(),
            Some(DnsName::root())
        );
    }

    #[test]
    fn escapes_count_as_one_octet() {
        let name = DnsName::presentation("a\\.b\\032c.test").unwrap();
        assert_eq!(name.labels(), ["a\\.b\\032c", "test"]);
    }
}
