//! Words for what a host speaks: responses, bytes as they are, HTTP/2.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// A host's response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSpec {
    /// Status code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Headers besides Date, Content-Type and Content-Length, which one of the same name replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    /// Body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// How often the body stands behind itself; once if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat: Option<u32>,
    /// How long it takes before the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// Where it redirects to; status 301 if none is given. `{n}` stands for the number of the
    /// request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
    /// What some requests get instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sometimes: Option<SometimesSpec>,
    /// What some clients get instead (over HTTP/1.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refuses: Option<RefusesSpec>,
}

impl HttpSpec {
    /// With what another gives put over it.
    pub(crate) fn patched(self, new: Self) -> Self {
        Self {
            status: new.status.or(self.status),
            headers: new.headers.or(self.headers),
            body: new.body.or(self.body),
            repeat: new.repeat.or(self.repeat),
            delay: new.delay.or(self.delay),
            redirect: new.redirect.or(self.redirect),
            sometimes: new.sometimes.or(self.sometimes),
            refuses: new.refuses.or(self.refuses),
        }
    }
}

/// What a share of requests gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SometimesSpec {
    /// Of so many requests, counted since the world last changed, the first.
    pub of: u32,
    /// The status that it gets.
    pub status: u16,
}

/// What clients get that name themselves in certain ways.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefusesSpec {
    /// Whoever has one of these in its `User-Agent`, in any case.
    pub agents: Vec<String>,
    /// The status that it gets.
    pub status: u16,
    /// The body that it gets; none if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Bytes as they are, instead of a response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawSpec {
    /// When they are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<RawWhen>,
    /// The bytes.
    pub send: Vec<RawPiece>,
    /// What becomes of the connection after that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<RawThen>,
}

/// When bytes are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawWhen {
    /// After the head of a request.
    #[default]
    Request,
    /// As soon as the connection (and TLS, if it is spoken) is there.
    Open,
}

/// What becomes of a connection after the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawThen {
    /// It is closed.
    #[default]
    Close,
    /// It stays open, and nothing more comes.
    Hold,
    /// It is reset.
    Reset,
}

/// Some of the bytes: `text`, then `hex`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawPiece {
    /// As text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// As hexadecimal digits; blanks do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hex: Option<Hex>,
    /// How often; once if left out, 0 without end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// One byte at a time, with this long between two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drip: Option<Span>,
    /// How long it takes before them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Span>,
}

/// Bytes as hexadecimal digits; blanks between them do not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Hex(pub Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let pairs = digits.chunks(2).map(|pair| match pair {
            [a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()
            }
            _ => None,
        });
        let bytes: Option<Vec<u8>> = pairs.collect();
        bytes
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not made of pairs of hexadecimal digits"))
    }
}

impl From<Hex> for String {
    fn from(hex: Hex) -> Self {
        hex.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// How a host speaks HTTP/2, which it offers by ALPN. Over HTTP/1.1 it answers as usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum H2Word {
    /// Not at all, and does not offer it.
    #[default]
    Off,
    /// As it should.
    Normal,
    /// It says goodbye (GOAWAY, INTERNAL_ERROR) on each request.
    Goaway,
    /// It says goodbye without an error, before it has taken the request.
    GoawayUnprocessed,
    /// It gives each request up (RST_STREAM, INTERNAL_ERROR).
    Reset,
    /// It gives each request up, and wants it over HTTP/1.1 (RST_STREAM, HTTP_1_1_REQUIRED).
    Http11Required,
    /// It takes requests and does not answer.
    Silent,
    /// It answers with a head, and never with the body.
    BodySilent,
    /// SETTINGS without end instead of an answer.
    SettingsFlood,
    /// PING without end instead of an answer.
    PingFlood,
    /// A head whose CONTINUATION frames have no end.
    ContinuationFlood,
    /// It pushes although clients forbid it.
    Push,
    /// It says that frames may be of no size, and a window of more than there is.
    BadSettings,
    /// It closes the connection on each request.
    Close,
    /// It agrees on HTTP/2 and speaks HTTP/1.1.
    Http1,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits() {
        let read = |text: &str| Hex::try_from(text.to_owned());
        assert_eq!(read("00 fF\n1b"), Ok(Hex(vec![0, 255, 27])));
        assert_eq!(String::from(Hex(vec![0, 255])), "00ff");
        for wrong in ["0", "0g", "+1", "é"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
