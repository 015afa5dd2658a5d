//! What a check aims at.
//!
//! - [`typed`]: from what a person types

mod typed;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::DnsName;

pub use typed::TargetError;

/// How far up a check goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// HTTP over TLS.
    Https,
    /// HTTP without TLS.
    Http,
    /// A TLS handshake.
    Tls,
    /// A TCP connection.
    Tcp,
    /// Name resolution alone.
    Dns,
}

impl Scheme {
    /// The name before `://`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Tls => "tls",
            Self::Tcp => "tcp",
            Self::Dns => "dns",
        }
    }

    /// Does a check of this scheme shake hands?
    #[must_use]
    pub fn has_tls(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }

    /// Does a check of this scheme send a request?
    #[must_use]
    pub fn has_http(self) -> bool {
        matches!(self, Self::Https | Self::Http)
    }

    /// Does a check of this scheme connect?
    #[must_use]
    pub fn has_tcp(self) -> bool {
        !matches!(self, Self::Dns)
    }
}

/// A name or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Host {
    /// A domain name.
    Name(DnsName),
    /// An address: nothing to resolve.
    Address(IpAddr),
}

/// One name, address and port aimed at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// As it stands in reports: a URL.
    pub text: String,
    /// How far up to go.
    pub scheme: Scheme,
    /// Where to.
    pub host: Host,
    /// The port; 53 for `dns`.
    pub port: u16,
    /// Path and query of an HTTP request.
    pub path: String,
    /// The record type that a `dns` target asks for; A and AAAA for all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtype: Option<String>,
}

impl Target {
    /// The name to resolve, if there is one.
    #[must_use]
    pub fn name(&self) -> Option<&DnsName> {
        match &self.host {
            Host::Name(name) => Some(name),
            Host::Address(_) => None,
        }
    }

    /// The host as TLS and HTTP want it: no final dot, no brackets.
    #[must_use]
    pub fn host_text(&self) -> String {
        match &self.host {
            Host::Name(name) => name.without_dot().to_owned(),
            Host::Address(address) => address.to_string(),
        }
    }

    /// The record types that a user's client asks for.
    #[must_use]
    pub fn rtypes(&self) -> Vec<String> {
        match &self.rtype {
            Some(rtype) => vec![rtype.clone()],
            None => vec!["A".to_owned(), "AAAA".to_owned()],
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
