//! Failures of users, as things that a cause can explain.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bellwether_model::dns::{AnswerKind, Exchange, HostFailure, HostSeen};
use bellwether_model::egress::AddressClass;
use bellwether_model::net::Family;
use bellwether_model::{DnsName, Layer};

use crate::picture::{AddressView, Attempt, Hop, Picture, ResolverView, ServerStatus, ServerView};

/// Something by which a user's attempt fails.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// A resolver gives nothing to connect to.
    Resolver(String),
    /// Our own iteration finds nothing to connect to: nor does a resolver with an empty cache.
    Own,
    /// A name server denies what others have; resolvers believe it.
    Server(String),
    /// An address that somebody gives does not work.
    Address(IpAddr),
}

/// Every failure that there is.
#[must_use]
pub fn failing(picture: &Picture<'_>) -> BTreeSet<Unit> {
    let mut units = BTreeSet::new();
    if !picture.context.expect.exists {
        return unexpected_existence(picture);
    }
    // What nobody asked, for lack of time or of a route, has not failed.
    let asked = |r: &&ResolverView<'_>| r.seen.answers.iter().any(Exchange::was_asked);
    let failing = picture.resolvers.iter().filter(|r| !r.is_usable());
    for resolver in failing.filter(asked) {
        units.insert(Unit::Resolver(resolver.label.clone()));
    }
    if own_fails(picture) {
        units.insert(Unit::Own);
    }
    for hop in picture.hops.iter().filter(|h| h.is_reached()) {
        if !hop.delegated().any(|s| s.status == ServerStatus::Answers) {
            continue;
        }
        for server in hop.delegated() {
            let denies = matches!(server.status, ServerStatus::Denies(_));
            if denies || !server.denied_types.is_empty() {
                units.insert(Unit::Server(server.label.clone()));
            }
        }
    }
    if picture
        .hops
        .iter()
        .any(|h| h.delegated().any(|s| s.status == ServerStatus::Answers))
    {
        for server in picture.above.iter().flat_map(Hop::denying_delegation) {
            units.insert(Unit::Server(server.label.clone()));
        }
    }
    for view in picture.addresses.values() {
        if view.attempt.fails()
            && is_given(picture, view)
            && picture.judges(Family::of(view.address))
        {
            units.insert(Unit::Address(view.address));
        }
    }
    if values_fail(picture) {
        units.insert(Unit::Own);
    }
    for resolver in picture.resolvers.iter().filter(|r| r.is_usable()) {
        if !has_values(picture, &resolver.values) {
            units.insert(Unit::Resolver(resolver.label.clone()));
        }
    }
    units
}

/// Are the declared record data there, if any are declared?
pub(crate) fn has_values(picture: &Picture<'_>, found: &BTreeSet<String>) -> bool {
    let normal = |values: &mut dyn Iterator<Item = &String>| -> BTreeSet<String> {
        values.map(|v| crate::facts::zone::normal(v)).collect()
    };
    let wanted = normal(&mut picture.context.expect.values.iter());
    wanted.is_empty() || normal(&mut found.iter()) == wanted
}

/// Where the name should not exist, whoever has it fails.
fn unexpected_existence(picture: &Picture<'_>) -> BTreeSet<Unit> {
    let mut units = BTreeSet::new();
    let exists = |s: &crate::picture::ServerView<'_>| s.status == ServerStatus::Answers;
    if picture.hops.iter().any(|h| h.delegated().any(exists)) {
        units.insert(Unit::Own);
    }
    for resolver in picture.resolvers.iter().filter(|r| r.is_usable()) {
        units.insert(Unit::Resolver(resolver.label.clone()));
    }
    units
}

/// Declared record data that no server gives.
fn values_fail(picture: &Picture<'_>) -> bool {
    let Some(hop) = picture.last_hop() else {
        return false;
    };
    let mut answering = hop
        .delegated()
        .filter(|s| s.status == ServerStatus::Answers)
        .peekable();
    answering.peek().is_some() && answering.all(|s| !has_values(picture, &s.values))
}

/// Does our own iteration end without anything to connect to?
#[must_use]
pub fn own_fails(picture: &Picture<'_>) -> bool {
    if picture.context.target.name().is_none() {
        return false;
    }
    let Some(hop) = picture.last_hop() else {
        return false;
    };
    if split_horizon(picture) || picture.is_served_stale() {
        return false;
    }
    // Our own iteration validates, as most public resolvers do.
    if picture.is_bogus() {
        return true;
    }
    if is_cut_short(picture, hop) {
        return false;
    }
    let ends = hop.delegated().any(|s| {
        s.status == ServerStatus::Answers && (!s.addresses.is_empty() || !s.values.is_empty())
    });
    !ends
}

/// Did our own iteration end for reasons of this side: no route, a limit, the check's time? That says
/// nothing of the name.
fn is_cut_short(picture: &Picture<'_>, hop: &Hop<'_>) -> bool {
    let refers = |s: &ServerView<'_>| s.status == ServerStatus::Denies(AnswerKind::Referral);
    if !hop.is_reached() && hop.delegated().any(refers) {
        return true;
    }
    if leads_on(picture, hop) {
        return endless(picture).is_none();
    }
    // An address that nobody may ask is another matter: it is the fault of whoever gives it.
    let unasked = |s: &ServerView<'_>| {
        let is_public = AddressClass::of(s.seen.address).is_public();
        is_public && matches!(s.status, ServerStatus::NotAsked(_))
    };
    // Others might have answered, had our limits or the time not ended it.
    let limited = |s: &ServerView<'_>| {
        let lacks_way = s.seen.exchanges.iter().any(Exchange::lacked_route);
        unasked(s) && !lacks_way && picture.judges(Family::of(s.seen.address))
    };
    if hop.servers.iter().any(limited) {
        return true;
    }
    let lost = |h: &HostSeen| matches!(h.failure, Some(HostFailure::NoRoute | HostFailure::Limit));
    hop.delegated().next().is_none()
        && (hop.servers.iter().any(unasked) || hop.seen.hosts.iter().any(lost))
}

/// Aliases in a row that no resolver has to follow: most stop between 8 and 16.
const ALIASES_MIN: usize = 8;

/// The chain of aliases, where it leads on past what was walked and every resolver gives up on it. Resolvers
/// follow more than we do, or fewer: one that comes to an end shows that users do.
pub(crate) fn endless(picture: &Picture<'_>) -> Option<Vec<DnsName>> {
    let last = picture.last_hop().filter(|hop| leads_on(picture, hop))?;
    let asked = |r: &&ResolverView<'_>| r.seen.answers.iter().any(Exchange::was_asked);
    let mut resolvers = picture.resolvers.iter().filter(asked).peekable();
    if resolvers.peek().is_none() || resolvers.any(ResolverView::is_usable) {
        return None;
    }
    let mut all: Vec<DnsName> = picture.hops.iter().map(|h| h.seen.name.clone()).collect();
    let next = last.delegated().find_map(|s| s.aliases.last())?;
    all.push(next.clone());
    (all.len() > ALIASES_MIN).then_some(all)
}

/// Does the last zone that was walked lead on, to a name that was not?
fn leads_on(picture: &Picture<'_>, hop: &Hop<'_>) -> bool {
    let answers = |s: &&ServerView<'_>| s.status == ServerStatus::Answers;
    let leads = |s: &ServerView<'_>| {
        let circles = |end: &DnsName| {
            let is_back = picture.hops.iter().any(|h| h.seen.name == *end);
            is_back || s.aliases[..s.aliases.len() - 1].contains(end)
        };
        s.leads_to.is_empty()
            && s.values.is_empty()
            && s.aliases.last().is_some_and(|end| !circles(end))
    };
    let mut answering = hop.delegated().filter(answers).peekable();
    answering.peek().is_some() && answering.all(leads)
}

/// Only the vantage's own resolvers know the name, and they answer privately: an internal service,
/// which is judged through them alone.
#[must_use]
pub fn split_horizon(picture: &Picture<'_>) -> bool {
    let system = picture
        .resolvers
        .iter()
        .filter(|r| r.origin == bellwether_model::dns::ResolverOrigin::System && r.is_usable());
    let private = |a: &IpAddr| !bellwether_model::egress::AddressClass::of(*a).is_public();
    let mut inside = system
        .filter(|r| r.addresses.iter().any(private))
        .peekable();
    inside.peek().is_some()
        && picture
            .last_hop()
            .is_none_or(|h| !h.delegated().any(|s| s.status == ServerStatus::Answers))
}

/// Does anybody hand this address to users?
fn is_given(picture: &Picture<'_>, view: &AddressView<'_>) -> bool {
    let by_server = picture
        .hops
        .iter()
        .flat_map(|h| h.delegated())
        .any(|s| s.leads_to.contains(&view.address));
    let typed = picture.context.target.name().is_none() || picture.hops.is_empty();
    by_server || typed || !view.resolvers.is_empty()
}

/// Of a resolver's users, which part fails by these units?
#[must_use]
pub fn resolver_share(
    picture: &Picture<'_>,
    resolver: &ResolverView<'_>,
    units: &BTreeSet<Unit>,
) -> f64 {
    if units.contains(&Unit::Resolver(resolver.label.clone())) {
        return 1.0;
    }
    families_share(picture, &resolver.addresses, units)
}

/// Of those who look up afresh, which part fails by these units?
#[must_use]
pub fn own_share(picture: &Picture<'_>, units: &BTreeSet<Unit>) -> f64 {
    if units.contains(&Unit::Own) {
        return 1.0;
    }
    // Whom one server on the way sends off with a denial asks no further.
    let passing = picture.above.iter().map(|zone| {
        let usable = zone.delegated().filter(|s| !s.status.is_unusable());
        let told = usable.map(|s| match units.contains(&Unit::Server(s.label.clone())) {
            true => 0.0,
            false => 1.0,
        });
        let told: Vec<f64> = told.collect();
        if told.is_empty() { 1.0 } else { mean(&told) }
    });
    let passing: f64 = passing.product();
    1.0 - passing * (1.0 - share_below(picture, units))
}

/// The same of those who come as far as the zone that holds the name.
fn share_below(picture: &Picture<'_>, units: &BTreeSet<Unit>) -> f64 {
    if picture.context.target.name().is_none() || picture.hops.is_empty() {
        let all = picture.addresses.keys().copied().collect();
        return families_share(picture, &all, units);
    }
    // Where the servers' aliases part, it matters which of them is asked.
    let parts = |hop: &&Hop<'_>| {
        let usable = hop.delegated().filter(|s| !s.aliases.is_empty());
        let ends: BTreeSet<_> = usable.filter_map(|s| s.aliases.last()).collect();
        ends.len() > 1
    };
    let parting = picture.hops.iter().find(parts);
    let Some(hop) = parting.or(picture.last_hop()) else {
        return 0.0;
    };
    let shares: Vec<f64> = hop
        .delegated()
        .filter(|s| !s.status.is_unusable())
        .map(|s| {
            let denied = units.contains(&Unit::Server(s.label.clone()));
            if denied {
                1.0
            } else {
                families_share(picture, &s.leads_to, units)
            }
        })
        .collect();
    mean(&shares)
}

fn families_share(
    picture: &Picture<'_>,
    addresses: &BTreeSet<IpAddr>,
    units: &BTreeSet<Unit>,
) -> f64 {
    let shares: Vec<f64> = [Family::V4, Family::V6]
        .into_iter()
        .filter(|family| picture.judges(*family))
        .filter_map(|family| {
            let judged: Vec<f64> = addresses
                .iter()
                .filter(|a| Family::of(**a) == family)
                .filter_map(|a| picture.addresses.get(a))
                .filter(|v| !matches!(v.attempt, Attempt::Unjudged(_)))
                .map(|v| match units.contains(&Unit::Address(v.address)) {
                    true => v.part,
                    false => 0.0,
                })
                .collect();
            (!judged.is_empty()).then(|| mean(&judged))
        })
        .collect();
    mean(&shares)
}

/// The mean; 0 of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        0.0
    } else {
        values.iter().sum::<f64>() / small(values.len())
    }
}

/// Counts here are of resolvers, servers and addresses: far below 2^32.
fn small(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The lowest layer at which a unit fails.
#[must_use]
pub fn layer(picture: &Picture<'_>, unit: &Unit) -> Layer {
    match unit {
        Unit::Resolver(_) | Unit::Own | Unit::Server(_) => Layer::Dns,
        Unit::Address(address) => match picture.addresses.get(address).map(|v| &v.attempt) {
            Some(Attempt::Fails(layer)) => *layer,
            Some(Attempt::Works | Attempt::Unjudged(_)) | None => Layer::Net,
        },
    }
}
