//! What HTTP probes saw.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// How an exchange ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HttpResult {
    /// A response with a whole head came; the body may still be short.
    Response,
    /// Nothing, or not all of the head, came in time.
    Stalled,
    /// The connection ended before the head was whole.
    Closed {
        /// The system's words.
        error: String,
    },
    /// What came is not HTTP.
    Malformed {
        /// The parser's complaint.
        error: String,
    },
    /// The connection or the handshake before it failed; the `tcp` and `tls` observations of the
    /// same address say how.
    NotConnected {
        /// In short.
        error: String,
    },
}

/// How reading a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyEnd {
    /// All that was announced came.
    Complete,
    /// The connection ended before what was announced had come.
    Truncated,
    /// Time ran out.
    Stalled,
    /// Reading stopped at our own limit.
    Cut,
    /// Chunking or lengths are wrong.
    Malformed,
    /// There is none.
    None,
}

/// What is kept of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodySeen {
    /// Bytes read.
    pub size: u64,
    /// Length that was announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<u64>,
    /// SHA-256 of the bytes read, hexadecimal.
    pub sha256: String,
    /// How reading ended.
    pub end: BodyEnd,
    /// The beginning as text, control characters escaped, at most 256 characters.
    #[serde(default)]
    pub sample: String,
    /// What is odd about how its length was announced, for example two lengths that differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What became of a redirect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RedirectEnd {
    /// The next hop is an observation of its own.
    Followed,
    /// The same URL came before.
    Loop,
    /// The limit of redirects is reached.
    Limit,
    /// Not allowed: scheme, or an address that the network may not name.
    Refused {
        /// Why.
        reason: String,
    },
    /// The host of the location has no address.
    Unresolved {
        /// Why.
        reason: String,
    },
    /// There is no usable location.
    NoLocation,
}

/// A redirect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// The location, resolved against the URL.
    pub location: String,
    /// What became of it.
    pub end: RedirectEnd,
    /// What is odd about it although it was followed, for example that it leaves TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One declared expectation, held against what came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// `status`, `body`, `within` or `role`.
    pub what: String,
    /// As declared.
    pub expected: String,
    /// As found.
    pub found: String,
    /// Are they the same?
    pub met: bool,
}

/// Times of the phases of one exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Phases {
    /// TCP connect.
    pub connect_ms: f64,
    /// TLS handshake; 0 without TLS.
    pub tls_ms: f64,
    /// From the request to the first byte.
    pub wait_ms: f64,
    /// From the first byte to the end of the body.
    pub transfer_ms: f64,
    /// Everything.
    pub total_ms: f64,
}

/// A request to one address (probe `http`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpSeen {
    /// The address of the *first* hop: which of the target's addresses this attempt began at.
    pub entry: SocketAddr,
    /// The address asked in this hop.
    pub address: SocketAddr,
    /// What was asked for.
    pub url: String,
    /// 0 for the target's own URL, 1 for the first redirect.
    pub hop: u8,
    /// How it ended.
    pub result: HttpResult,
    /// The TLS alert that ended the exchange, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_alert: Option<u8>,
    /// Status code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// For example `HTTP/1.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Headers in their order, values bounded, control characters escaped.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodySeen>,
    /// Where it sends the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// The declared expectations; only on the last hop.
    #[serde(default)]
    pub expectations: Vec<Expectation>,
    /// What verification of the certificate of a *redirect's* host says, if it differs from the
    /// target's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<crate::tls::CertProblem>,
    /// Times.
    pub phases: Phases,
}

impl HttpSeen {
    /// The first value of a header, by its name in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }
}
