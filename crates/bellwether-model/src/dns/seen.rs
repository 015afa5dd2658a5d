//! What the walk, resolvers and controls were seen to say: exchanges, with who was asked and why.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::Exchange;
use crate::{Channel, DnsName, Owner};

/// Who names a name server of a zone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ListedBy {
    /// The root hints.
    Hints,
    /// A referral of the parent's servers.
    Parent,
    /// The NS set in the zone itself, as its own servers give it.
    Child,
    /// The baseline.
    Baseline,
    /// `expect.name_servers`.
    Expected,
    /// The NS set in a resolver's cache.
    Cache {
        /// The resolver, as asked.
        resolver: String,
    },
}

/// Why a name server's name has no address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HostFailure {
    /// The name does not exist.
    NxDomain,
    /// The name exists and has neither A nor AAAA.
    NoData,
    /// The name's own zone does not answer usably.
    ServersFail,
    /// The look-up needs its own result.
    Cycle {
        /// The names in the circle, in order.
        names: Vec<DnsName>,
    },
    /// A limit of the walk ended it.
    Limit,
    /// This machine has no way to any server of a zone on the way: it says nothing of the name.
    NoRoute,
}

/// A name server's name, with what the parent and its own zone say of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostSeen {
    /// The name server's name.
    pub name: DnsName,
    /// Who names it.
    pub listed_by: Vec<ListedBy>,
    /// Addresses that the parent's referral carried.
    #[serde(default)]
    pub glue: Vec<IpAddr>,
    /// Addresses known without asking: from hints or the baseline.
    #[serde(default)]
    pub known: Vec<IpAddr>,
    /// Addresses that the name's own zone gives; `None` if that was not asked.
    #[serde(default)]
    pub resolved: Option<Vec<IpAddr>>,
    /// The name is an alias for this one (forbidden, RFC 2181 section 10.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias_of: Option<DnsName>,
    /// Why the own zone gave no address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<HostFailure>,
}

impl HostSeen {
    /// The addresses that a resolver with an empty cache finds: by glue, or in the name's own zone.
    #[must_use]
    pub fn findable(&self) -> Vec<IpAddr> {
        let resolved = self.resolved.iter().flatten();
        let mut all: Vec<IpAddr> = self.glue.iter().chain(resolved).copied().collect();
        all.sort();
        all.dedup();
        all
    }

    /// Every address by which it can be asked, sorted.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        let resolved = self.resolved.iter().flatten();
        let mut all: Vec<IpAddr> = self
            .glue
            .iter()
            .chain(&self.known)
            .chain(resolved)
            .copied()
            .collect();
        all.sort();
        all.dedup();
        all
    }
}

/// What one name server at one address answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerSeen {
    /// The name server's name.
    pub name: DnsName,
    /// The address asked.
    pub address: IpAddr,
    /// Its owner, if a table was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// What it was asked.
    pub exchanges: Vec<Exchange>,
}

impl ServerSeen {
    /// `ns1.example.com.@192.0.2.1`, as in a report's scope.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.address)
    }

    /// The first exchange over UDP for a question of this name and type that was answered, or
    /// else the first one.
    #[must_use]
    pub fn exchange(&self, name: &DnsName, rtype: &str) -> Option<&Exchange> {
        let mut asked = self
            .exchanges
            .iter()
            .filter(|e| e.question.name == *name && e.question.rtype == rtype);
        asked
            .clone()
            .find(|e| e.response().is_some())
            .or_else(|| asked.next())
    }

    /// Did any exchange bring a response?
    #[must_use]
    pub fn answers(&self) -> bool {
        self.exchanges.iter().any(|e| e.response().is_some())
    }
}

/// The servers of one zone on the way to a name (probe `delegation`).
///
/// The NS set that the *parent* gives for this zone stands in `parent_sets`, as the parent's
/// servers gave it, grouped by set; the zone's own NS set is in the servers' answers to the NS
/// question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ZoneSeen {
    /// The apex of the zone.
    pub zone: DnsName,
    /// The zone above; `None` for the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<DnsName>,
    /// The name that this walk is for: the target's, or one that it is an alias of.
    pub name: DnsName,
    /// Is this the zone that holds `name`: the last one on the way?
    pub holds_name: bool,
    /// The NS sets that the parent's servers gave, with who gave each.
    #[serde(default)]
    pub parent_sets: Vec<ParentSet>,
    /// The name servers' names.
    pub hosts: Vec<HostSeen>,
    /// What each gave at each address.
    pub servers: Vec<ServerSeen>,
    /// A name beside `name` that nobody registered: who answers it answers from a wildcard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<DnsName>,
    /// Why the walk stopped here, if it did not reach the end: a named limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// One NS set given by some of the parent's servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParentSet {
    /// The names, sorted.
    pub names: Vec<DnsName>,
    /// Least TTL, seconds.
    pub ttl: u32,
    /// The parent's servers that gave it, as `NAME@ADDRESS`.
    pub given_by: Vec<String>,
}

impl ZoneSeen {
    /// The names that the parent's servers give, all sets together, sorted.
    #[must_use]
    pub fn parent_names(&self) -> Vec<DnsName> {
        let mut names: Vec<DnsName> = self
            .parent_sets
            .iter()
            .flat_map(|s| s.names.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Who names this server's host.
    #[must_use]
    pub fn listed_by(&self, name: &DnsName) -> &[ListedBy] {
        self.hosts
            .iter()
            .find(|h| h.name == *name)
            .map_or(&[], |h| &h.listed_by)
    }
}

/// Where a resolver to ask came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResolverOrigin {
    /// Given by the operator.
    Given,
    /// The system's own.
    System,
    /// One of the public defaults.
    Default,
}

/// What one resolver answered (probe `resolver_matrix`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolverSeen {
    /// As asked: `192.0.2.53`.
    pub resolver: String,
    /// Where it came from.
    pub origin: ResolverOrigin,
    /// Its address and port.
    pub address: SocketAddr,
    /// How it was spoken to.
    #[serde(default, skip_serializing_if = "Channel::is_plain")]
    pub channel: Channel,
    /// The target's name: A, AAAA (or the check's own type), each with its TCP retry and its
    /// repetition after a failure.
    pub answers: Vec<Exchange>,
    /// The NS set of the target's zone, as cached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_ns: Option<Exchange>,
    /// Another name of the same zone: its apex, asked for its SOA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sibling: Option<Exchange>,
    /// What it failed, asked again with checking disabled (CD, RFC 4035 section 3.2.2).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unchecked: Vec<Exchange>,
    /// Where it answers only unchecked: signed names above the target's zone, checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<Exchange>,
    /// Where it answers only unchecked: the DS records that it holds for the target's zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_ds: Option<Box<Exchange>>,
    /// Questions whose answers are large: declared ones, and one of the target's zone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub large: Vec<Exchange>,
}

impl ResolverSeen {
    /// The last exchange that counts for a type: a TCP retry and a repetition replace what they
    /// repeat.
    #[must_use]
    pub fn last(&self, rtype: &str) -> Option<&Exchange> {
        let asked = || self.answers.iter().filter(|e| e.question.rtype == rtype);
        asked()
            .rfind(|e| e.response().is_some())
            .or_else(|| asked().next_back())
    }
}

/// How a control was reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ControlVia {
    /// A control name through a resolver.
    Resolver {
        /// The resolver, as asked.
        resolver: String,
    },
    /// A control name by our own iteration.
    Own,
    /// A control address, asked on port 53.
    Address,
}

/// What became of a control: something that works if the vantage works (probe `control`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlSeen {
    /// The control's name or address.
    pub control: String,
    /// How it was reached.
    pub via: ControlVia,
    /// Did it work: did a usable answer come?
    pub ok: bool,
    /// The exchange.
    pub exchange: Exchange,
}
