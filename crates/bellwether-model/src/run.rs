//! One run of a check at one vantage, as a row: what a user's attempt came to.
//!
//! A row is what is kept of every run. The records behind it are kept as evidence where the run
//! failed, or where something changed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Layer;

/// A check's id, `service/check`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CheckId(Arc<str>);

impl CheckId {
    /// The id of a service's check.
    #[must_use]
    pub fn new(service: &str, check: &str) -> Self {
        Self(format!("{service}/{check}").into())
    }

    /// What stands in the place of the service in the id of a heartbeat. No service has this name:
    /// names have no `@`.
    pub const HEARTBEAT: &'static str = "@heartbeat";

    /// The id under which a heartbeat's incidents are kept.
    #[must_use]
    pub fn heartbeat(name: &str) -> Self {
        Self::new(Self::HEARTBEAT, name)
    }

    /// The name of the heartbeat, if it is the id of one.
    #[must_use]
    pub fn as_heartbeat(&self) -> Option<&str> {
        (self.service() == Self::HEARTBEAT).then(|| self.check())
    }

    /// From an id as it is written; `None` without a slash.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.contains('/').then(|| Self(text.into()))
    }

    /// The service's name.
    #[must_use]
    pub fn service(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(service, _)| service)
    }

    /// The check's name.
    #[must_use]
    pub fn check(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(_, check)| check)
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for CheckId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an agent stands, by its configured name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VantageId(Arc<str>);

impl VantageId {
    /// The built-in vantage of `serve`.
    pub const LOCAL: &'static str = "local";

    /// A vantage of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for VantageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of something kept: a certificate, a piece of evidence. Written in lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// From 64 hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not 64 hex digits"))
    }
}

/// What a run came to, as far as the run alone can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// A user would have been served.
    Ok,
    /// Every protocol worked, and what came is not what is expected.
    Wrong,
    /// A user would not have been served.
    Failed,
    /// The run itself failed: says nothing about the target.
    NotRun,
}

/// Why a run was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// It was due.
    #[default]
    Schedule,
    /// To confirm an unexpected result.
    Confirm,
}

/// How long each step took, microseconds; a step that was not reached has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Phases {
    /// The look-up.
    pub dns: Option<u32>,
    /// The connection, or the echo.
    pub connect: Option<u32>,
    /// The handshake.
    pub tls: Option<u32>,
    /// From the request to the first byte of the answer.
    pub first_byte: Option<u32>,
    /// From there to the last.
    pub transfer: Option<u32>,
}

impl Phases {
    /// Names of the phases, in order.
    pub const NAMES: [&'static str; 5] = ["dns", "connect", "tls", "first_byte", "transfer"];

    /// The phases in order.
    #[must_use]
    pub fn all(self) -> [Option<u32>; 5] {
        let Self {
            dns,
            connect,
            tls,
            first_byte,
            transfer,
        } = self;
        [dns, connect, tls, first_byte, transfer]
    }

    /// From all five, in order.
    #[must_use]
    pub fn of([dns, connect, tls, first_byte, transfer]: [Option<u32>; 5]) -> Self {
        Self {
            dns,
            connect,
            tls,
            first_byte,
            transfer,
        }
    }

    /// All of them together, microseconds.
    #[must_use]
    pub fn total(self) -> u64 {
        self.all().into_iter().flatten().map(u64::from).sum()
    }
}

/// One run of a check at one vantage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The check.
    pub check: CheckId,
    /// Where from.
    pub vantage: VantageId,
    /// Its number among the runs of this agent since it started: gapless, from 1.
    pub sequence: u64,
    /// When it was due: on the check's own grid for [`Trigger::Schedule`]. Whole microseconds.
    pub due: Timestamp,
    /// How late it began, microseconds.
    pub late: u32,
    /// The check's interval, milliseconds.
    pub every: u32,
    /// Why it was made.
    #[serde(default)]
    pub trigger: Trigger,
    /// What it came to.
    pub outcome: RunOutcome,
    /// The lowest layer that failed, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    /// What was seen there in stable words: `dns.nxdomain`, `tcp.refused`, `http.status_503`. A
    /// symptom, not a cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symptom: Option<Arc<str>>,
    /// The resolver that was asked, as labelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolver: Option<Arc<str>>,
    /// The address that was dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// HTTP status, or rcode of a `dns` check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Bytes of body, or of DNS answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// SHA-256 of the server's own certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Digest>,
    /// When that certificate ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_ends: Option<Timestamp>,
    /// The records behind it, where they are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Digest>,
    /// By how much the hub's clock was ahead of the agent's, milliseconds, where that was measured.
    /// Beyond [`CLOCK_OFFSET_KEPT`](Self::CLOCK_OFFSET_KEPT) `due` was put right by as much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_offset_ms: Option<i32>,
    /// How long each step took.
    #[serde(default)]
    pub phases: Phases,
}

impl Run {
    /// An agent's clock that is off by no more is left as it is: by so much measuring may err, and so
    /// soon a clock that is kept is right again.
    pub const CLOCK_OFFSET_KEPT: Duration = Duration::from_secs(2);

    /// When it began.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        let late = Duration::from_micros(u64::from(self.late));
        self.due.checked_add(late).unwrap_or(self.due)
    }
}

/// The unit in which runs are handed on and kept: all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The agent that made the runs.
    pub agent: Arc<str>,
    /// Which start of the agent.
    pub boot: u64,
    /// Its number among the envelopes of this agent: gapless from 1, over all boots, and with the
    /// same content when it is sent again.
    pub number: u64,
    /// The runs, in order of their sequence.
    pub runs: Vec<Run>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_two_parts() {
        let id = CheckId::new("shop", "main");
        assert_eq!((id.service(), id.check()), ("shop", "main"));
        assert_eq!(id.as_heartbeat(), None);
        let heartbeat = CheckId::heartbeat("nightly backup");
        assert_eq!(heartbeat.as_heartbeat(), Some("nightly backup"));
        assert_eq!(heartbeat.to_string(), "@heartbeat/nightly backup");
        assert_eq!(CheckId::parse(id.as_str()), Some(id));
        assert_eq!(CheckId::parse("shop"), None);
    }

    #[test]
    fn a_digest_is_hex() {
        let digest = Digest([0xab; 32]);
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        assert_eq!(Digest::parse("ab"), None);
    }
}
