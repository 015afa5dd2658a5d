//! What a trace saw, in brief: enough to tell the next one's changes from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bellwether_model::dns::{Exchange, ExchangeResult, Rcode, ResolverSeen, ServerSeen};
use bellwether_model::net::TcpResult;
use bellwether_model::report::Role;
use bellwether_model::tls::{TlsPurpose, TlsResult};
use bellwether_model::{Layer, Outcome, Report};
use serde::{Deserialize, Serialize};

use super::sorted::Sorted;

/// At most this many resolvers, name servers or addresses of one trace are compared with the next:
/// more belong to no service that is asked about, and memory is kept for every open matter.
const COMPARED_MAX: usize = 256;

/// What an answer is like. Rotating addresses and running TTLs are no change of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    /// `NOERROR`, `SERVFAIL`, `no answer`, ….
    pub how: String,
    /// The owners of the addresses in it, where they are known.
    pub owners: BTreeSet<String>,
}

/// What a trace saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Seen {
    /// What each name server of the target's zones answered, by `NAME@ADDRESS`.
    pub servers: Sorted<String, Answer>,
    /// What each resolver answered, as labelled.
    pub resolvers: Sorted<String, Answer>,
    /// The lowest layer at which each dialled address fails; `None`: at none.
    pub addresses: Sorted<IpAddr, Option<Layer>>,
}

impl Seen {
    pub(super) fn of(report: &Report) -> Self {
        let owners = owners(report);
        let (mut servers, mut resolvers) = (BTreeMap::new(), BTreeMap::new());
        let mut addresses = BTreeMap::new();
        for observation in &report.observations {
            match &observation.outcome {
                Outcome::Delegation(zone) if zone.holds_name => {
                    for server in &zone.servers {
                        if let Some(answer) = of_server(server, &zone.name, &owners) {
                            put(&mut servers, server.label(), answer);
                        }
                    }
                }
                Outcome::ResolverMatrix(asked) => {
                    if let Some(answer) = of_resolver(asked, &owners) {
                        put(&mut resolvers, asked.resolver.clone(), answer);
                    }
                }
                Outcome::Tcp(tcp) => {
                    let fails = tcp.result != TcpResult::Connected;
                    dialled(
                        &mut addresses,
                        tcp.address.ip(),
                        fails.then_some(Layer::Net),
                    );
                }
                Outcome::Tls(tls) if tls.purpose == TlsPurpose::User => {
                    let fails = tls.result != TlsResult::Completed || !tls.problems.is_empty();
                    dialled(
                        &mut addresses,
                        tls.address.ip(),
                        fails.then_some(Layer::Tls),
                    );
                }
                Outcome::Http(http) => {
                    let fails = http.status.is_none()
                        || http.status.is_some_and(|s| s >= 500)
                        || http.expectations.iter().any(|e| !e.met);
                    dialled(
                        &mut addresses,
                        http.entry.ip(),
                        fails.then_some(Layer::Http),
                    );
                }
                _ => {}
            }
        }
        as_judged(&mut addresses, report);
        Self {
            servers: servers.into(),
            resolvers: resolvers.into(),
            addresses: addresses.into(),
        }
    }

    /// What changed from an earlier trace to this one, a sentence each, in a stable order. Of
    /// resolvers only what those give that are affected all along: that one begins or ends to fail
    /// is told otherwise.
    pub(super) fn changes_since(&self, before: &Self, affected: &BTreeSet<&str>) -> Vec<String> {
        let mut lines = answers(&before.servers, &self.servers, |_| true);
        lines.extend(answers(&before.resolvers, &self.resolvers, |r| {
            affected.contains(r)
        }));
        for (address, now) in self.addresses.iter() {
            if let (Some(Some(was)), Some(is)) = (before.addresses.get(address), now)
                && was != is
            {
                lines.push(format!("{address} fails at {is} instead of {was}"));
            }
        }
        lines
    }
}

/// Where a failure is met may be chance, as of a reset that comes before or after what we say: what
/// was judged to be at a lower layer fails there.
fn as_judged(addresses: &mut BTreeMap<IpAddr, Option<Layer>>, report: &Report) {
    let above = [Layer::Net, Layer::Tls, Layer::Http];
    let roots = report.findings.iter().filter(|f| f.role == Role::Root);
    for finding in roots.filter(|f| above.contains(&f.layer)) {
        for address in &finding.scope.addresses {
            if let Some(Some(layer)) = addresses.get_mut(address) {
                *layer = finding.layer.min(*layer);
            }
        }
    }
}

/// The lowest failing layer stays.
fn dialled(all: &mut BTreeMap<IpAddr, Option<Layer>>, address: IpAddr, fails: Option<Layer>) {
    if all.len() >= COMPARED_MAX && !all.contains_key(&address) {
        return;
    }
    let known = all.entry(address).or_default();
    *known = match (*known, fails) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}

fn put(map: &mut BTreeMap<String, Answer>, label: String, answer: Answer) {
    if map.len() < COMPARED_MAX {
        map.entry(label).or_insert(answer);
    }
}

fn answers(
    before: &Sorted<String, Answer>,
    now: &Sorted<String, Answer>,
    counts: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (label, is) in now.iter().filter(|(label, _)| counts(label)) {
        let Some(was) = before.get(label) else {
            continue;
        };
        if was.how != is.how {
            lines.push(format!("{label} answers {} instead of {}", is.how, was.how));
        } else if was.owners != is.owners && !was.owners.is_empty() && !is.owners.is_empty() {
            let (is, was) = (joined(&is.owners), joined(&was.owners));
            lines.push(format!("{label} gives addresses of {is} instead of {was}"));
        }
    }
    lines
}

fn joined(owners: &BTreeSet<String>) -> String {
    let all: Vec<&str> = owners.iter().map(String::as_str).collect();
    all.join(" and ")
}

/// Owners of addresses, from every list of them in the report.
fn owners(report: &Report) -> BTreeMap<IpAddr, String> {
    let lists = report.observations.iter().filter_map(|o| match &o.outcome {
        Outcome::Addresses(seen) => Some(&seen.found),
        _ => None,
    });
    let known = lists
        .flatten()
        .filter_map(|a| Some((a.address, a.owner.as_ref()?)));
    known
        .map(|(address, owner)| (address, owner.to_string()))
        .collect()
}

fn of_server(
    server: &ServerSeen,
    name: &bellwether_model::DnsName,
    owners: &BTreeMap<IpAddr, String>,
) -> Option<Answer> {
    let asked = ["A", "AAAA"]
        .into_iter()
        .filter_map(|t| server.exchange(name, t));
    let mut all: Vec<&Exchange> = asked.collect();
    if all.is_empty() {
        all.extend(server.exchanges.first());
    }
    answer(&all, owners)
}

fn of_resolver(asked: &ResolverSeen, owners: &BTreeMap<IpAddr, String>) -> Option<Answer> {
    let mut all: Vec<&Exchange> = ["A", "AAAA"]
        .into_iter()
        .filter_map(|t| asked.last(t))
        .collect();
    if all.is_empty() {
        all.extend(asked.answers.last());
    }
    answer(&all, owners)
}

/// Of several types, the one with data speaks, else the first that was asked.
fn answer(all: &[&Exchange], owners: &BTreeMap<IpAddr, String>) -> Option<Answer> {
    let mut addresses = BTreeSet::new();
    for exchange in all {
        if let Some(response) = exchange.response() {
            addresses.extend(response.addresses(&exchange.question));
        }
    }
    let has_data = |e: &&&Exchange| {
        e.response()
            .is_some_and(|r| !r.records(&e.question).is_empty())
    };
    let asked = || all.iter().filter(|e| e.was_asked());
    let speaks = asked().find(has_data).or_else(|| asked().next())?;
    let given = addresses.iter().filter_map(|a| owners.get(a).cloned());
    Some(Answer {
        how: how(speaks),
        owners: given.collect(),
    })
}

fn how(exchange: &Exchange) -> String {
    match &exchange.result {
        ExchangeResult::Answered { response } => {
            let empty = response.rcode == Rcode::NOERROR
                && response.records(&exchange.question).is_empty()
                && response.aliases(&exchange.question.name).is_empty();
            if empty {
                "NOERROR without data".to_owned()
            } else {
                response.rcode.to_string()
            }
        }
        ExchangeResult::Silent => "nothing".to_owned(),
        ExchangeResult::Refused => "with a closed port".to_owned(),
        ExchangeResult::Unreachable { .. } => "nothing, being unreachable,".to_owned(),
        ExchangeResult::Broken { .. } => "with a broken connection".to_owned(),
        ExchangeResult::Channel { .. } => "with a channel that cannot be used".to_owned(),
        ExchangeResult::NotAsked { .. } => "nothing, not being asked,".to_owned(),
    }
}
