//! A level's results in the order of the record: equal worlds give equal observations.

use bellwether_model::DnsName;
use bellwether_model::dns::{
    Exchange, HostSeen, ParentSet, Rcode, ServerSeen, Transport, Variant, ZoneSeen,
};

use super::level::{Level, Server};

impl Level {
    pub(super) fn seen(self) -> ZoneSeen {
        let stopped = self.stopped();
        // A zone that only something else than its parent remembers holds nothing for users.
        let is_delegated = self.parent.is_none() || !self.parent_sets.is_empty();
        let holds_name = self.holds && !self.passed && is_delegated;
        let parent_sets = self
            .parent_sets
            .into_iter()
            .map(|(names, (ttl, givers))| ParentSet {
                names,
                ttl,
                given_by: givers.into_iter().collect(),
            });
        let owners = self.walk.inner.owners.clone();
        let rank = |e: &Exchange| rank(e, &self.trace.name, &self.trace.rtypes);
        let server = |((name, address), mut exchanges): (Server, Vec<Exchange>)| {
            if exchanges.is_empty() {
                // The level's time ran out before it answered.
                exchanges.push(self.walk.never_ended(address, &self.trace));
            }
            exchanges.sort_by_key(rank);
            ServerSeen {
                name,
                address,
                owner: owners.owner(address),
                exchanges,
            }
        };
        ZoneSeen {
            zone: self.zone,
            parent: self.parent,
            name: self.trace.name.clone(),
            holds_name,
            parent_sets: parent_sets.collect(),
            hosts: self.hosts.into_values().map(sorted).collect(),
            servers: self.servers.into_iter().map(server).collect(),
            canary: self.canary,
            stopped,
        }
    }
}

fn sorted(mut host: HostSeen) -> HostSeen {
    host.listed_by.sort();
    host.glue.sort();
    host.known.sort();
    host
}

/// The walk's own questions first; of one question the exchange that settled it first, so that a
/// truncated answer stands behind the whole one, and an error behind what followed it.
fn rank(
    exchange: &Exchange,
    name: &DnsName,
    rtypes: &[String],
) -> (usize, String, u8, Transport, (bool, Variant, Option<u16>)) {
    let question = &exchange.question;
    let own = rtypes.iter().position(|t| *t == question.rtype);
    let place = match own {
        Some(place) if question.name == *name => place,
        _ => rtypes.len(),
    };
    let settles = match exchange.response() {
        Some(r) if r.flags.tc => 1,
        Some(r) if matches!(r.rcode, Rcode::NOERROR | Rcode::NXDOMAIN) => 0,
        Some(_) => 2,
        None => 3,
    };
    (
        place,
        question.rtype.clone(),
        settles,
        exchange.transport,
        (!exchange.edns, exchange.variant, exchange.offered),
    )
}
