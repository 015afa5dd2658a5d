//! The steps that a user's request takes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The steps a user's request takes, in order.
///
/// Each step needs all the steps before it, so the lowest broken layer names the incident and
/// hides the rest. `Promise` stands beside them: no outage yet.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// Our own vantage, worker or clock.
    Monitor,
    /// Registration, and the zone above the registered name.
    Reg,
    /// Delegation, name servers, zone content, resolvers.
    Dns,
    /// Routing, and who owns an address.
    Route,
    /// Packets and TCP connections to the service's addresses.
    Net,
    /// TLS handshakes and certificates.
    Tls,
    /// HTTP exchanges, origin and edge.
    Http,
    /// Transactions.
    App,
    /// A kept contract is about to break; no user fails yet.
    Promise,
}

impl Layer {
    /// The layer's name as it stands in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::Reg => "reg",
            Self::Dns => "dns",
            Self::Route => "route",
            Self::Net => "net",
            Self::Tls => "tls",
            Self::Http => "http",
            Self::App => "app",
            Self::Promise => "promise",
        }
    }
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
