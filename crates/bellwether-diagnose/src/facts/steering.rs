//! Facts about what steers users to addresses: roles, members of a pool, and how name servers are
//! spread.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bellwether_model::fact::Subject;
use bellwether_model::http::{Expectation, HttpSeen};
use bellwether_model::net::Family;
use bellwether_model::{FactKind, Layer};
use ipnet::IpNet;
use serde_json::json;

use super::{Facts, addresses};
use crate::picture::{AddressView, Attempt, Hop, Picture, ServerView};

/// The network that name servers had better not share: what is announced and routed as one.
const V4_NETWORK: u8 = 24;
const V6_NETWORK: u8 = 48;

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    for view in picture.addresses.values() {
        role(picture, view, facts);
    }
    pool(picture, facts);
    if let Some(hop) = picture.own_hop().filter(|h| h.is_reached()) {
        spread(hop, facts);
    }
}

/// The role that an address says it has, against the declared one.
fn role(picture: &Picture<'_>, view: &AddressView<'_>, facts: &mut Facts) {
    if picture.context.expect.role.is_none() {
        return;
    }
    let subject = Subject::Address(view.address);
    let missed = view.http.iter().find_map(|(id, h)| Some((*id, missed(h)?)));
    if let Some((id, missed)) = missed.filter(|(_, m)| says_another(m)) {
        let value = json!({
            "address": view.address.to_string(), "expected": missed.expected, "found": missed.found,
        });
        return facts.add(FactKind::RoleOfAnother, subject, value, [id]);
    }
    let beside = beside(picture, view);
    let working: Vec<&AddressView<'_>> = beside
        .iter()
        .filter_map(|a| picture.addresses.get(a))
        .filter(|v| v.attempt.works())
        .collect();
    if view.attempt != Attempt::Fails(Layer::Http) || working.is_empty() {
        return;
    }
    let value = json!({
        "address": view.address.to_string(),
        "of": beside.len() + 1,
        "works": addresses(working.iter().map(|v| &v.address)),
    });
    let from = working
        .iter()
        .flat_map(|v| v.http.first())
        .map(|(id, _)| *id);
    facts.add(FactKind::OthersInRole, subject, value, from);
}

fn missed(seen: &HttpSeen) -> Option<&Expectation> {
    let mut held = seen.expectations.iter();
    held.find(|e| e.what == "role" && !e.met)
}

/// Another value of the header, not its absence: a page of an error has no role.
fn says_another(missed: &Expectation) -> bool {
    let header = missed.expected.split(':').next().unwrap_or_default();
    missed.found.starts_with(&format!("{header}:"))
}

/// Addresses that stand in an answer together with this one.
fn beside(picture: &Picture<'_>, view: &AddressView<'_>) -> BTreeSet<IpAddr> {
    let servers = picture.hops.iter().flat_map(Hop::delegated);
    let sets = servers
        .map(|s| &s.addresses)
        .chain(picture.resolvers.iter().map(|r| &r.addresses));
    let mut all: BTreeSet<IpAddr> = sets
        .filter(|set| set.contains(&view.address))
        .flatten()
        .copied()
        .collect();
    all.remove(&view.address);
    all
}

/// Declared single addresses against all answers seen: a rotation that leaves one out.
fn pool(picture: &Picture<'_>, facts: &mut Facts) {
    let Some(hop) = picture.last_hop() else {
        return;
    };
    let by_servers = hop.delegated().flat_map(|s| s.addresses.iter());
    let by_resolvers = picture.resolvers.iter().flat_map(|r| r.addresses.iter());
    let seen: BTreeSet<IpAddr> = by_servers.chain(by_resolvers).copied().collect();
    let declared = picture.context.expect.addresses.iter();
    let members: BTreeSet<IpAddr> = declared.filter_map(single).collect();
    let never: BTreeSet<IpAddr> = members
        .difference(&seen)
        .copied()
        .filter(|a| picture.judges(Family::of(*a)))
        .collect();
    // Where none of the pool is seen, another fault hides all of it.
    if never.is_empty() || members.is_disjoint(&seen) {
        return;
    }
    let value = json!({
        "name": hop.seen.name,
        "never": addresses(&never),
        "seen": addresses(members.intersection(&seen)),
        "answers": hop.delegated().map(|s| answers(hop, s)).sum::<usize>(),
    });
    facts.add(
        FactKind::PoolMemberUnseen,
        Subject::Service,
        value,
        [hop.id],
    );
}

/// A network of one address.
fn single(net: &IpNet) -> Option<IpAddr> {
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}

/// Answers with addresses that a server gave for the name.
fn answers(hop: &Hop<'_>, server: &ServerView<'_>) -> usize {
    let asked = server.seen.exchanges.iter();
    let about = asked.filter(|e| e.question.name == hop.seen.name);
    about
        .filter(|e| {
            e.response()
                .is_some_and(|r| !r.addresses(&e.question).is_empty())
        })
        .count()
}

/// Do all name servers of the zone stand in one place?
fn spread(hop: &Hop<'_>, facts: &mut Facts) {
    if hop.seen.zone.labels().len() < 2 {
        return;
    }
    let servers: Vec<&ServerView<'_>> = hop.delegated().collect();
    let networks: BTreeSet<IpNet> = servers
        .iter()
        .filter_map(|s| network(s.seen.address))
        .collect();
    let labels: Vec<&str> = servers.iter().map(|s| s.label.as_str()).collect();
    let zone = Subject::Zone(hop.seen.zone.clone());
    let families: BTreeSet<bool> = networks.iter().map(|n| n.addr().is_ipv4()).collect();
    if !servers.is_empty() && networks.len() == families.len() {
        let words: Vec<String> = networks.iter().map(ToString::to_string).collect();
        let value = json!({ "zone": hop.seen.zone, "networks": words, "name_servers": labels });
        facts.add(FactKind::NsShareNetwork, zone.clone(), value, [hop.id]);
    }
    let Some(first) = servers.first().and_then(|s| s.seen.owner.as_ref()) else {
        return;
    };
    let same = |s: &&ServerView<'_>| {
        let owner = s.seen.owner.as_ref();
        owner.is_some_and(|o| o.same_operator(first))
    };
    if servers.iter().all(same) {
        let value =
            json!({ "zone": hop.seen.zone, "owner": first.to_string(), "name_servers": labels });
        facts.add(FactKind::NsShareOwner, zone, value, [hop.id]);
    }
}

fn network(address: IpAddr) -> Option<IpNet> {
    let len = match address {
        IpAddr::V4(_) => V4_NETWORK,
        IpAddr::V6(_) => V6_NETWORK,
    };
    IpNet::new(address, len).ok().map(|net| net.trunc())
}
