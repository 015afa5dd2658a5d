//! The envelope between a supervisor and its worker process: one [`Job`] in, [`Event`]s out.
//!
//! Each is JSON behind its length as four little-endian bytes.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dns::{Record, ResolverOrigin};
use crate::net::Family;
use crate::observation::{NotRun, Observation, ProbeKind};
use crate::service::{ClientIdentity, Expect};
use crate::{Baseline, Channel, DnsName, Egress, Target};

/// The schema that a job names.
pub const JOB_SCHEMA: &str = "bellwether.worker/1";

/// Longest frame, bytes: above any observation that the probes' own limits allow.
pub const FRAME_LEN_MAX: usize = 16 * 1024 * 1024;

/// Everything a worker needs for one check: workers hold no configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// [`JOB_SCHEMA`].
    pub schema: String,
    /// What to aim at.
    pub target: Target,
    /// What a healthy answer is like.
    pub expect: Expect,
    /// Resolvers to ask.
    pub resolvers: Vec<ResolverAsk>,
    /// Controls to ask.
    pub controls: Vec<Control>,
    /// Root name servers to begin at.
    pub root_hints: Vec<RootHint>,
    /// The root's trust anchor for DNSSEC, DS or DNSKEY records; none switches validation off.
    #[serde(default)]
    pub trust_anchor: Vec<Record>,
    /// Further trust anchors for TLS, DER in base64.
    #[serde(default)]
    pub extra_roots: Vec<String>,
    /// The client certificate to show where the target asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<ClientIdentity>,
    /// Connections to make to each address; by default one, and a few more where it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// Addresses to dial from, at most one for each family.
    #[serde(default)]
    pub sources: Vec<IpAddr>,
    /// Dial this address instead of those found.
    #[serde(default)]
    pub connect: Option<IpAddr>,
    /// Only this family.
    #[serde(default)]
    pub family: Option<Family>,
    /// What may be dialled.
    #[serde(default)]
    pub egress: Egress,
    /// What was last known good.
    #[serde(default)]
    pub baseline: Option<Baseline>,
    /// As of when validity is judged.
    pub now: Timestamp,
    /// Table of prefixes, AS numbers and owners.
    #[serde(default)]
    pub asn_table: Option<PathBuf>,
    /// Longest time of one probe, milliseconds; ten seconds if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// When the whole check must be over, milliseconds from its start.
    pub deadline_ms: u64,
    /// Probes not to run, by their key: an earlier worker died over them.
    #[serde(default)]
    pub avoid: Vec<String>,
}

/// A resolver to ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolverAsk {
    /// As asked, for reports: `192.0.2.53`.
    pub label: String,
    /// Address and port.
    pub address: SocketAddr,
    /// How it is spoken to.
    #[serde(default)]
    pub channel: Channel,
    /// Where it came from.
    pub origin: ResolverOrigin,
}

/// A control: something that works if the vantage works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// A name, resolved through each resolver and by our own iteration.
    Name(DnsName),
    /// An address, asked on port 53.
    Address(IpAddr),
}

impl std::fmt::Display for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// A root name server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootHint {
    /// Its name.
    pub name: DnsName,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A probe begins. If nothing more comes of it, the worker hung or died over it.
    Started {
        /// Unique in this check and the same in every run of it, for example
        /// `tls 192.0.2.1:443 user`.
        key: String,
        /// Its kind.
        probe: ProbeKind,
        /// What stands in for its outcome if none comes; its reason is filled in then.
        stand_in: NotRun,
    },
    /// A probe ended. The id is empty; the supervisor gives it.
    Observed {
        /// The key it was started with.
        key: String,
        /// The record.
        observation: Box<Observation>,
    },
    /// Everything was asked.
    Done {
        /// DNS queries sent.
        queries: u32,
        /// The most memory that the worker held, KiB, if the system tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peak_kib: Option<u64>,
    },
}

/// What a worker of many probes is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// A job that probes go by from now on, until another one has its number. Its deadline is that
    /// of each of them.
    Setting {
        /// Its number.
        setting: u32,
        /// The job.
        job: Box<Job>,
    },
    /// A job that no order will name any more.
    Forget {
        /// Its number.
        setting: u32,
    },
    /// A probe, or several that follow one another.
    Probe {
        /// Comes back with what was seen.
        number: u64,
        /// The number of the job to go by.
        setting: u32,
        /// What to ask.
        wanted: Wanted,
    },
}

/// What a worker of many probes is to ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// A resolver for the addresses (type A) of a name, over UDP.
    Dns {
        /// The resolver.
        server: SocketAddr,
        /// The name.
        name: DnsName,
    },
    /// What a user's client does with an address, as far up as the job's target says.
    Address {
        /// The address.
        address: IpAddr,
    },
    /// An echo.
    Echo {
        /// The address.
        address: IpAddr,
    },
    /// What one user does once: resolve through one resolver, connect to one address, and go on as
    /// far up as the target says.
    Visit {
        /// What is asked.
        ask: Arc<CheckAsk>,
        /// The resolver to ask: its place among the job's; none for a target that is an address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resolver: Option<u32>,
        /// Picks one of the addresses found, sorted, each in its turn and the families by turns.
        turn: u32,
        /// When all of it must be over, milliseconds from its start.
        deadline_ms: u64,
        /// [Looks](crate::Brief::look) whose records nobody wants; where it is left out, the records
        /// alone are wanted, and no judgement of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usual: Option<Vec<u64>>,
    },
    /// Everything that `check` asks. What root and top-level domains say is shared with the
    /// worker's other traces for as long as its TTL allows.
    Trace {
        /// What is asked.
        ask: Arc<CheckAsk>,
        /// What was last known good.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        baseline: Option<Box<Baseline>>,
        /// As of when validity is judged; now, if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        now: Option<Timestamp>,
        /// When all of it must be over, milliseconds from its start.
        deadline_ms: u64,
    },
}

/// What one check asks, apart from what is common to all checks of an agent: it stands in place of
/// the job's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckAsk {
    /// What to aim at.
    pub target: Target,
    /// An echo, and nothing above it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub icmp_only: bool,
    /// What a healthy answer is like. Left out where nothing is declared: it goes with each order.
    #[serde(default, skip_serializing_if = "is_undeclared")]
    pub expect: Expect,
    /// The client certificate to show where the target asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<ClientIdentity>,
    /// Connections to make to each address of a trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// Longest time of one probe, milliseconds.
    pub timeout_ms: u64,
}

fn is_undeclared(expect: &Expect) -> bool {
    *expect == Expect::default()
}

/// What a worker of many probes says of one order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The number of the order.
    pub number: u64,
    /// The records, in order; their ids are empty.
    pub observations: Vec<Observation>,
    /// DNS queries sent.
    #[serde(default)]
    pub queries: u32,
}
