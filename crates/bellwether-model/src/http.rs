//! What HTTP probes saw.

use std::collections::BTreeMap;
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
        /// By a reset (RST), not in an orderly way.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reset: bool,
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
    /// Time ran out while something announced was missing, and nothing more came.
    Stalled,
    /// Time ran out, nothing announced was missing, and no end came: between two chunks, or in a
    /// body that only the end of the connection ends.
    Open,
    /// Time ran out while bytes still came, too few of them.
    Slow,
    /// Reading stopped at our own limit.
    Cut,
    /// Reading stopped because the worker's memory for all probes together was spent.
    CutByMemory,
    /// Chunking or lengths are wrong.
    Malformed,
    /// There is none.
    None,
}

/// How decoding a coded body ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CodingEnd {
    /// All of it was decoded.
    Complete,
    /// Decoding stopped at our own limit for what comes out.
    Cut,
    /// It ends inside.
    Truncated,
    /// It is not coded as announced.
    Malformed {
        /// The decoder's complaint.
        error: String,
    },
    /// Decoding it takes a larger window than clients have to have.
    WindowTooLarge {
        /// The window, bytes.
        bytes: u64,
    },
    /// A coding that nobody registered, or more of them than make sense: it was not decoded.
    Unknown,
}

/// What a coded body was decoded to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodingSeen {
    /// The codings in the order in which they were applied (RFC 9110 section 8.4).
    pub codings: Vec<String>,
    /// Does the request say that the client takes them?
    pub accepted: bool,
    /// How decoding ended.
    pub end: CodingEnd,
    /// Bytes decoded, at most as many as are read of a body.
    pub size: u64,
    /// Bytes of the body that they came out of.
    #[serde(default)]
    pub coded: u64,
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
    /// What decoding it came to, if it was coded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coding: Option<CodingSeen>,
}

/// How an exchange over HTTP/2 ended, where both sides agreed on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum H2Result {
    /// A whole response came.
    Response,
    /// The server said goodbye (GOAWAY) before it answered.
    GoAway {
        /// The error code's name.
        reason: String,
    },
    /// The server gave the request up (RST_STREAM).
    Reset {
        /// The error code's name.
        reason: String,
    },
    /// No whole response came in time.
    Stalled,
    /// What the server sends is no HTTP/2 at all.
    NotSpoken {
        /// What it looks like.
        looks_like: String,
    },
    /// The server breaks the rules, or our limits for frames that bring no answer.
    Malformed {
        /// The complaint.
        error: String,
    },
    /// The connection ended before the response was whole.
    Closed {
        /// The system's words.
        error: String,
    },
}

impl H2Result {
    /// Was the request not taken, so that it may be made again as it is (RFC 9113 section 8.7)?
    #[must_use]
    pub fn is_untaken(&self) -> bool {
        match self {
            Self::GoAway { reason } => reason == "NO_ERROR",
            Self::Reset { reason } => reason == "REFUSED_STREAM",
            Self::Response
            | Self::Stalled
            | Self::NotSpoken { .. }
            | Self::Malformed { .. }
            | Self::Closed { .. } => false,
        }
    }

    /// Does it fail, to a client that does what the server asks for? To be asked over HTTP/1.1
    /// instead is no failure (RFC 9113 section 7).
    #[must_use]
    pub fn fails(&self) -> bool {
        match self {
            Self::Response => false,
            Self::GoAway { reason } | Self::Reset { reason } => reason != "HTTP_1_1_REQUIRED",
            Self::Stalled
            | Self::NotSpoken { .. }
            | Self::Malformed { .. }
            | Self::Closed { .. } => true,
        }
    }
}

/// The exchange over HTTP/2. If it failed, the rest of the record is of the same request over
/// HTTP/1.1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct H2Seen {
    /// How it ended.
    pub result: H2Result,
    /// How an exchange before this one ended, after which clients ask again by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<H2Result>,
    /// Frames that came, by type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub frames: BTreeMap<String, u64>,
}

/// In which way a request that failed was made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// As before: is it so each time?
    Same,
    /// As a browser names itself and what it takes.
    Browser,
    /// With a browser's name (`User-Agent`), and otherwise as before.
    BrowserName,
    /// Over a connection whose segments are small.
    SmallSegments,
    /// Not at all: the connection opens and nothing is asked, to see whether the server ends it
    /// unasked.
    Silent,
}

/// The same request once more, over a connection of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Again {
    /// In which way.
    pub way: Way,
    /// How it ended.
    pub result: HttpResult,
    /// Status code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How reading the body ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyEnd>,
    /// Does it hold what was declared?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_declared: Option<bool>,
    /// How decoding it ended, if it was coded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coding: Option<CodingEnd>,
    /// Bytes read of the body.
    #[serde(default)]
    pub size: u64,
    /// From the request to the first byte.
    #[serde(default)]
    pub wait_ms: f64,
    /// The largest segment that the server could send, if it was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mss: Option<u16>,
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
    /// There is no location, or an empty one.
    NoLocation,
    /// The location is nothing that a client can follow.
    Unusable {
        /// Why.
        reason: String,
    },
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
    /// How the connection to a *redirect's* host ended, if none came about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<crate::net::TcpResult>,
    /// The TLS alert that ended the exchange, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_alert: Option<u8>,
    /// Bytes of a head that came and never became whole.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub head_read: u64,
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
    /// The exchange over HTTP/2, if both sides agreed on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub h2: Option<H2Seen>,
    /// The same request again, where the first one failed, or where users may get something else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<Again>,
    /// Times.
    pub phases: Phases,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl HttpSeen {
    /// Is the body one that goes on until the client leaves: events, or pictures one by one?
    #[must_use]
    pub fn is_stream(&self) -> bool {
        let kinds = ["text/event-stream", "multipart/x-mixed-replace"];
        let content_type = self.header("content-type").unwrap_or_default();
        let content_type = content_type.trim().to_ascii_lowercase();
        kinds.iter().any(|kind| content_type.starts_with(kind))
    }

    /// The first value of a header, by its name in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }
}
