//! What TCP and ICMP probes saw.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    /// `v4` or `v6`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        }
    }
}

/// How a connection attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TcpResult {
    /// The connection opened.
    Connected,
    /// A reset answered the SYN.
    Refused,
    /// A reset came after the SYN was answered.
    Reset,
    /// Nothing answered.
    TimedOut,
    /// An ICMP error answered.
    Unreachable {
        /// The system's name of the error.
        error: String,
    },
    /// The vantage has no route to the address: no packet left.
    NoRoute,
    /// Anything else.
    Error {
        /// The system's words.
        error: String,
    },
}

/// What the kernel knew of the connection (`TCP_INFO`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TcpInfo {
    /// Smoothed round-trip time.
    pub rtt_ms: f64,
    /// Segments sent again.
    pub retransmits: u32,
    /// Maximum segment size for sending, bytes.
    pub snd_mss: u32,
    /// Path MTU, bytes.
    pub pmtu: u32,
}

/// A connection attempt to one address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TcpSeen {
    /// The address and port aimed at.
    pub address: SocketAddr,
    /// How it ended.
    pub result: TcpResult,
    /// From SYN to its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_ms: Option<f64>,
    /// `TCP_INFO` right after connecting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<TcpInfo>,
}

/// How an ICMP echo ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum IcmpResult {
    /// The echo came back.
    Reply,
    /// Nothing came back.
    Silent,
    /// An error came back.
    Error {
        /// The system's words.
        error: String,
    },
}

/// An ICMP echo to one address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IcmpSeen {
    /// The address aimed at.
    pub address: IpAddr,
    /// How it ended.
    pub result: IcmpResult,
    /// Round-trip time of the echo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
}
