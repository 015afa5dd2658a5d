//! What TCP and ICMP probes saw.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::http::HttpResult;
use crate::tls::{CertProblem, TlsResult};

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

/// Several attempts at one address, counted: what a share of users meets. The attempt by which the
/// address fell under suspicion is not among them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriesSeen {
    /// The address and port aimed at.
    pub address: SocketAddr,
    /// How far each went.
    pub depth: TryDepth,
    /// How many were made.
    pub made: u32,
    /// How many of them failed.
    pub failed: u32,
    /// How they ended, the most frequent first.
    pub ends: Vec<TryCount>,
}

/// How far each of several attempts goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TryDepth {
    /// It connects.
    Connection,
    /// It connects and shakes hands.
    Handshake,
    /// It asks for the target's URL too.
    Request,
}

/// Attempts that ended alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TryCount {
    /// How.
    pub end: TryEnd,
    /// How many.
    pub count: u32,
}

/// How one of several attempts ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TryEnd {
    /// All of it worked.
    Works,
    /// The connection did not open.
    Connection {
        /// How it ended.
        result: TcpResult,
    },
    /// The handshake failed.
    Handshake {
        /// How it ended.
        result: TlsResult,
    },
    /// A strict client refuses the certificate.
    Certificate {
        /// Why.
        problems: Vec<CertProblem>,
    },
    /// The answer was not a healthy one.
    Request {
        /// How the exchange ended.
        result: HttpResult,
        /// Status code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// The TLS alert that ended it, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tls_alert: Option<u8>,
    },
}

impl TryEnd {
    /// Did it work?
    #[must_use]
    pub fn works(&self) -> bool {
        *self == Self::Works
    }
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
