//! Real server programs that stand where scripted servers would.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A server program, run as it is installed on this machine.
///
/// It serves what the scripted server at its place would. Words of behaviour that it cannot be
/// told are mistakes of the scenario.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Software {
    /// BIND 9, as authoritative server or as resolver.
    Named,
    /// NSD, authoritative.
    Nsd,
    /// Knot DNS, authoritative.
    Knot,
    /// PowerDNS Authoritative Server with its bind backend.
    Pdns,
    /// Unbound, a resolver.
    Unbound,
    /// nginx, a web server.
    Nginx,
    /// HAProxy, a web server that answers by itself.
    Haproxy,
    /// `openssl s_server`, which answers with its status page.
    Openssl,
}

/// What a server is at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    Authority,
    Resolver,
    Web,
}

impl Software {
    /// The program's file.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Nsd => "nsd",
            Self::Knot => "knotd",
            Self::Pdns => "pdns_server",
            Self::Unbound => "unbound",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Openssl => "openssl",
        }
    }

    /// Its Debian packages.
    pub(crate) fn packages(self) -> &'static str {
        match self {
            Self::Named => "bind9",
            Self::Nsd => "nsd",
            Self::Knot => "knot",
            Self::Pdns => "pdns-server pdns-backend-bind",
            Self::Unbound => "unbound",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Openssl => "openssl",
        }
    }

    pub(crate) fn does(self, duty: Duty) -> bool {
        match self {
            Self::Named => duty != Duty::Web,
            Self::Nsd | Self::Knot | Self::Pdns => duty == Duty::Authority,
            Self::Unbound => duty == Duty::Resolver,
            Self::Nginx | Self::Haproxy | Self::Openssl => duty == Duty::Web,
        }
    }
}

/// Where a real server stands: at an address, port 53, or at a port of an address.
pub(crate) const DNS_PORT: u16 = 53;
