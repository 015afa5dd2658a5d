//! What TLS probes saw, and what certificates say.

use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::DnsName;
use crate::net::TcpInfo;

/// Why a handshake was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsPurpose {
    /// As a user does: SNI is the host of the target.
    User,
    /// Without SNI, to see the default certificate.
    NoSni,
    /// For a name that the server cannot know.
    OtherSni,
    /// After the user's handshake failed: ClientHellos of several shapes, each over a connection
    /// of its own, to see which of them is answered. What came stands in `hellos`.
    Hellos,
}

/// How a handshake ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TlsResult {
    /// It completed; what verification says stands in `problems`.
    Completed,
    /// An alert of the server ended it (RFC 8446 section 6).
    Alert {
        /// Alert number.
        code: u8,
        /// Its name, for example `handshake_failure`.
        name: String,
    },
    /// Nothing more came before the time ran out.
    Stalled,
    /// The server closed or reset the connection.
    Closed {
        /// The system's words.
        error: String,
        /// By a reset (RST), not in an orderly way.
        #[serde(default)]
        reset: bool,
    },
    /// What came is not TLS.
    NotTls {
        /// What it looks like: `HTTP`, `SSH`, `SMTP`, or the first bytes in hexadecimal.
        looks_like: String,
    },
    /// The TCP connection did not open.
    NotConnected {
        /// The system's words.
        error: String,
    },
    /// What came begins like TLS and breaks its rules.
    Malformed {
        /// The library's words.
        error: String,
    },
    /// The server's part of the handshake is larger than clients take.
    TooLarge {
        /// The limit that was met, bytes.
        limit: usize,
    },
    /// Our library gave up on what the peer sent.
    Failed {
        /// The library's words.
        error: String,
    },
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertSeen {
    /// SHA-256 of the bytes, hexadecimal.
    pub sha256: String,
    /// Bytes.
    pub size: usize,
    /// Subject, RFC 4514 form, control characters escaped.
    #[serde(default)]
    pub subject: String,
    /// Issuer, same form.
    #[serde(default)]
    pub issuer: String,
    /// Serial number, hexadecimal.
    #[serde(default)]
    pub serial: String,
    /// Begin of validity.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
    /// End of validity.
    #[serde(default)]
    pub not_after: Option<Timestamp>,
    /// DNS names of the subject alternative name extension.
    #[serde(default)]
    pub names: Vec<String>,
    /// IP addresses of the same extension.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Basic constraints say CA.
    #[serde(default)]
    pub is_ca: bool,
    /// Signed by its own key.
    #[serde(default)]
    pub self_signed: bool,
    /// For example `ECDSA P-256` or `RSA 2048`.
    #[serde(default)]
    pub key: String,
    /// For example `ecdsa-with-SHA256`.
    #[serde(default)]
    pub signature: String,
    /// Signed certificate timestamps in it (RFC 6962 section 3.3).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub scts: usize,
    /// Does it demand a stapled OCSP response (RFC 7633)?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub must_staple: bool,
    /// Where the issuer's certificate can be had (authority information access).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuer_urls: Vec<String>,
    /// The parser's complaint, if it could not be read in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub malformed: Option<String>,
    /// The certificate, DER in base64; kept for the first of a chain and for ill-formed ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub der: Option<String>,
}

/// A reason for a strict client to refuse a chain. All that hold are listed, not only the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CertProblem {
    /// A certificate's validity ended; index 0 is the server's own.
    Expired {
        /// Place in the chain as sent.
        index: usize,
        /// End of validity.
        not_after: Timestamp,
    },
    /// A certificate's validity has not begun.
    NotYetValid {
        /// Place in the chain as sent.
        index: usize,
        /// Begin of validity.
        not_before: Timestamp,
    },
    /// The certificate does not name the host (RFC 9525 section 6).
    NameMismatch {
        /// The host.
        expected: String,
        /// The names in the certificate.
        presented: Vec<String>,
    },
    /// No path leads to a trust anchor, and none is missing in between.
    UntrustedRoot {
        /// Issuer of the last certificate of the best path.
        issuer: String,
        /// The server's certificate is signed by its own key.
        self_signed: bool,
    },
    /// No path leads to a trust anchor because an intermediate certificate was not sent.
    ChainIncomplete {
        /// Its subject.
        missing: String,
        /// Does the certificate say where it can be had, so that browsers can mend the chain?
        #[serde(default)]
        fetchable: bool,
    },
    /// Key, signature, usage or another constraint is refused.
    Policy {
        /// Place in the chain as sent.
        index: usize,
        /// What is refused.
        reason: String,
    },
    /// More certificates of CAs between the server's and the anchor than browsers and others follow:
    /// Firefox and rustls take 6.
    LongPath {
        /// How many stand between.
        intermediates: usize,
    },
    /// A signature does not verify.
    BadSignature {
        /// Place in the chain as sent.
        index: usize,
    },
    /// A certificate cannot be parsed.
    Malformed {
        /// Place in the chain as sent.
        index: usize,
        /// The parser's complaint.
        error: String,
    },
    /// A publicly trusted certificate that browsers take for one that no log knows.
    NotLogged {
        /// Signed certificate timestamps in it.
        found: usize,
        /// What browsers want at least.
        wanted: usize,
    },
    /// The stapled OCSP response is missing where the certificate demands one, or is no good.
    Staple {
        /// Did one come?
        sent: bool,
        /// What is wrong.
        reason: String,
    },
    /// The stapled OCSP response says that the certificate is revoked.
    Revoked {
        /// As of when.
        at: Option<Timestamp>,
    },
    /// Anything else that verification says.
    Other {
        /// The library's words.
        detail: String,
    },
}

/// The client's side of a handshake whose server asked for a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientAuthSeen {
    /// Names of the authorities that the server says it takes, bounded; none if it does not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorities: Vec<String>,
    /// How many it names, also those above the bound.
    #[serde(default)]
    pub authorities_len: usize,
    /// The certificate that was shown, if one is configured. Its key is never told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<Box<CertSeen>>,
    /// Issuers of the certificate and of those shown with it: which of them the server may know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<String>,
}

/// The shape of a ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HelloKind {
    /// TLS 1.3 and 1.2 as current clients offer them, in one small segment.
    Small,
    /// The same, as long as one with a post-quantum key share: it takes two segments.
    Large,
    /// As `small`, without application protocols (ALPN).
    WithoutAlpn,
    /// TLS 1.2 at most, also with the key exchanges and ciphers that clients have dropped.
    Tls12,
    /// TLS 1.1 at most.
    Tls11,
    /// TLS 1.0.
    Tls10,
    /// SSL 3.0.
    Ssl3,
    /// None at all: nothing is said, to see whether the server ends connections unasked.
    Silent,
}

/// What answered a ClientHello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HelloAnswer {
    /// The server chose.
    ServerHello {
        /// For example `TLS 1.0`.
        version: String,
        /// Cipher suite: `TLS_RSA_WITH_AES_128_CBC_SHA`, or its number.
        cipher: String,
        /// Does the suite keep past traffic safe if the key is lost (RFC 9325 section 4.1)? All
        /// that current clients offer do.
        is_current: bool,
    },
    /// An alert.
    Alert {
        /// Alert number.
        code: u8,
        /// Its name.
        name: String,
    },
    /// Nothing came in time.
    Stalled,
    /// The server closed or reset the connection.
    Closed {
        /// The system's words.
        error: String,
        /// By a reset (RST), not in an orderly way.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reset: bool,
    },
    /// What came is not TLS.
    NotTls {
        /// What it looks like.
        looks_like: String,
    },
    /// What came breaks the rules of TLS.
    Malformed {
        /// How.
        error: String,
    },
    /// The TCP connection did not open.
    NotConnected {
        /// The system's words.
        error: String,
    },
}

/// One ClientHello of our own and its answer. No key is agreed on: up to TLS 1.2 certificates
/// travel in clear, so they are seen although the handshake goes no further.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HelloSeen {
    /// Its shape.
    pub hello: HelloKind,
    /// Its bytes.
    pub size: usize,
    /// What answered.
    pub answer: HelloAnswer,
    /// From sending to the end of what was read.
    pub took_ms: f64,
    /// The certificates that came in clear, bounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<CertSeen>,
    /// Certificates that came, also those above the bound.
    #[serde(default)]
    pub chain_len: usize,
    /// Bytes of all certificates, as announced.
    #[serde(default)]
    pub chain_size: usize,
    /// Did the server ask for a client certificate?
    #[serde(default)]
    pub client_cert_requested: bool,
}

impl CertProblem {
    /// Do clients other than browsers not look at it?
    #[must_use]
    pub fn is_of_browsers(&self) -> bool {
        match self {
            Self::NotLogged { .. } | Self::Staple { .. } | Self::Revoked { .. } => true,
            Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::NameMismatch { .. }
            | Self::UntrustedRoot { .. }
            | Self::ChainIncomplete { .. }
            | Self::Policy { .. }
            | Self::LongPath { .. }
            | Self::BadSignature { .. }
            | Self::Malformed { .. }
            | Self::Other { .. } => false,
        }
    }
}

/// What a stapled OCSP response says of the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StapleStatus {
    /// Good.
    Good,
    /// Revoked.
    Revoked,
    /// Not known to the responder.
    Unknown,
    /// Out of date, whatever it says.
    Stale,
    /// It cannot be read, or is about another certificate.
    Unreadable,
}

/// A stapled OCSP response (RFC 6066 section 8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StapleSeen {
    /// What it says.
    pub status: StapleStatus,
    /// As of when.
    #[serde(default)]
    pub this_update: Option<Timestamp>,
    /// Until when it may be used.
    #[serde(default)]
    pub next_update: Option<Timestamp>,
    /// Why it is of no use, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A kind of client, as far as it judges certificates in a way of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientProfile {
    /// A current browser: fetches or remembers intermediates, looks at staples, wants proof of
    /// logging.
    Browser,
    /// OpenSSL and what behaves like it: takes the chain as it is sent.
    Openssl,
    /// The same, with the roots that the operator gave and no others.
    OwnRoots,
    /// Programs that take authenticated ciphers with forward secrecy alone, as RFC 9325 section 4.2
    /// asks: rustls, and others so configured.
    AeadOnly,
}

impl ClientProfile {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Openssl => "openssl",
            Self::OwnRoots => "own_roots",
            Self::AeadOnly => "aead_only",
        }
    }
}

/// What one kind of client makes of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileVerdict {
    /// The kind.
    pub profile: ClientProfile,
    /// Why it refuses the chain; `None`: it takes it.
    #[serde(default)]
    pub refuses: Option<String>,
}

/// For `skip_serializing_if`.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes by reference"
)]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A handshake with one address (probe `tls`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TlsSeen {
    /// The address and port aimed at.
    pub address: SocketAddr,
    /// The server name sent; `None` without SNI.
    #[serde(default)]
    pub sni: Option<DnsName>,
    /// Why this handshake.
    pub purpose: TlsPurpose,
    /// How it ended.
    pub result: TlsResult,
    /// From ClientHello to the end.
    pub handshake_ms: f64,
    /// For example `TLSv1.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Cipher suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// Key exchange group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Application protocol that was agreed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<String>,
    /// The chain as sent, bounded; kept whatever verification says.
    #[serde(default)]
    pub chain: Vec<CertSeen>,
    /// Certificates sent, also those above the bound.
    #[serde(default)]
    pub chain_len: usize,
    /// What a strict client refuses, judged at the check's time; empty if nothing.
    #[serde(default)]
    pub problems: Vec<CertProblem>,
    /// Did the server ask for a client certificate?
    #[serde(default)]
    pub client_cert_requested: bool,
    /// What passed when it asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuthSeen>,
    /// For `hellos`: each and its answer. `result` is then that of the most modern one:
    /// `completed` if a ServerHello came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hellos: Vec<HelloSeen>,
    /// Did the server send an OCSP response?
    #[serde(default)]
    pub stapled: bool,
    /// What it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staple: Option<StapleSeen>,
    /// What kinds of clients make of the chain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<ProfileVerdict>,
    /// `TCP_INFO` of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpInfo>,
    /// Where this handshake stalled: did the same complete over a connection whose segments are
    /// small?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small_segments: Option<bool>,
}

impl TlsSeen {
    /// What is known of a handshake before it is made: nothing came yet.
    #[must_use]
    pub fn begun(address: SocketAddr, purpose: TlsPurpose) -> Self {
        Self {
            address,
            sni: None,
            purpose,
            result: TlsResult::Stalled,
            handshake_ms: 0.0,
            version: None,
            cipher: None,
            group: None,
            alpn: None,
            chain: Vec::new(),
            chain_len: 0,
            problems: Vec::new(),
            client_cert_requested: false,
            client_auth: None,
            hellos: Vec::new(),
            stapled: false,
            staple: None,
            profiles: Vec::new(),
            tcp: None,
            small_segments: None,
        }
    }
}

/// The name of an alert, as the registry of IANA has it (RFC 8446 section 6).
#[must_use]
pub fn alert_name(code: u8) -> String {
    let known = match code {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        60 => "export_restriction",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        111 => "certificate_unobtainable",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        114 => "bad_certificate_hash_value",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        121 => "ech_required",
        other => return format!("alert_{other}"),
    };
    known.to_owned()
}
