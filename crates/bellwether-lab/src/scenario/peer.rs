//! Words for peers that do not serve TLS and HTTP as they should, and for client certificates.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{H2Word, HttpSpec, Moment, RawSpec, TcpWord, TlsSpec};

/// What stands on a port in the place of TLS and HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeerWord {
    /// Nothing: TLS and HTTP as the host's other words say.
    #[default]
    None,
    /// Takes connections and never says anything.
    Mute,
    /// Closes when the client has spoken.
    Closes,
    /// Resets when the client has spoken.
    Resets,
    /// Says this at once, and nothing more.
    Says(String),
    /// Says these bytes, in hexadecimal, when the client has spoken, and nothing more.
    Bytes(String),
    /// Answers ClientHellos with this fatal alert.
    Alert(u8),
    /// Speaks only this, up to the end of its first flight.
    Speaks(OldTls),
    /// Answers with a record of 65535 bytes.
    LongRecord,
    /// Answers with a handshake message of 16 MiB, and sends as much of it as is read.
    LongMessage,
    /// Answers with a ServerHello of TLS 1.2, one byte a second.
    Drips,
}

/// Versions and key exchanges that clients have dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OldTls {
    /// SSL 3.0.
    Ssl3,
    /// TLS 1.0.
    Tls10,
    /// TLS 1.0 and 1.1.
    Tls11,
    /// TLS 1.2 with RSA key exchange and CBC.
    Tls12Rsa,
}

/// Versions that the box's TLS servers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// What a share of the connections to a host meets instead.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShareSpec {
    /// Which share of them, 0 to 1: spread evenly, the first connection among them.
    #[schemars(range(min = 0, max = 1))]
    pub share: f64,
    /// What becomes of these connections: `open` or `reset`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpWord>,
    /// What stands there in the place of TLS and HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerWord>,
    /// TLS, as far as it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// HTTP, as far as it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSpec>,
    /// How it speaks HTTP/2, where the host offers that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2: Option<H2Word>,
    /// Bytes as they are, instead of a response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<RawSpec>,
}

/// Does a server ask for client certificates, and which does it take?
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientAuthSpec {
    /// Does it ask?
    pub want: ClientAuthWord,
    /// Authorities that it takes and names, by the `issuer` of `client_certs`.
    pub trusts: Vec<String>,
    /// How it refuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refuses_by: Option<RefusalWord>,
}

/// Does a server ask for client certificates?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthWord {
    /// No.
    #[default]
    None,
    /// Yes; clients without one are served too.
    Requested,
    /// Yes, and refuses clients without one.
    Required,
}

/// How a server refuses a client over its certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusalWord {
    /// By a TLS alert.
    #[default]
    Alert,
    /// By status 400 to every request.
    Http,
}

/// A client certificate of the box: `NAME.pem` in the directory in which checks run, certificate
/// and key, for `client_cert: "${file:NAME.pem}"`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientCertSpec {
    /// The authority that issues it: any word.
    pub issuer: String,
    /// Begin of validity; 30 days ago if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Moment>,
    /// End of validity; in 60 days if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Moment>,
}
