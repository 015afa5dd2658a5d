//! What to do: the rule's advice, made exact where the observations tell more.

use bellwether_model::target::{Host, Target};
use bellwether_model::{Cause, FactKind, Layer};

use super::naming::hosts;
use super::read::{each, fact, facts_of, value};
use super::time::span;
use crate::blame;
use crate::candidates::Candidate;
use crate::facts::delegation::OWN_ZONE_FAILS;
use crate::picture::{Attempt, Picture};
use crate::rules::Blame;

/// What to do about a candidate.
#[must_use]
pub fn remedy(picture: &Picture<'_>, candidate: &Candidate) -> String {
    let told = candidate.rule.remedy;
    match candidate.rule.cause {
        Cause::DnsDelegationWrongNs if candidate.rule.blame == Blame::WrongSide => {
            wrong_ns(picture, candidate)
        }
        Cause::DnsDelegationUnresolvable => unresolvable(candidate),
        Cause::DnsAuthStaleSecondary => newest_fails(picture, candidate),
        Cause::DnsZoneRecordWrong => record_wrong(picture, candidate),
        Cause::DnsZoneRecordMissing => record_missing(picture),
        Cause::NetTcpRefused | Cause::NetTcpFiltered => redirect(candidate),
        Cause::HttpWrongContent => chain(candidate),
        Cause::TlsNameMismatch => by_address(&picture.context.target),
        _ => None,
    }
    .unwrap_or_else(|| told.to_owned())
}

/// Until when caches keep a wrong NS set is told by its TTL.
fn wrong_ns(picture: &Picture<'_>, candidate: &Candidate) -> Option<String> {
    let (hop, _) = blame::wrong_servers(picture, &candidate.group)
        .into_iter()
        .next()?;
    let ttl = hop.seen.parent_sets.iter().map(|s| s.ttl).max()?;
    Some(format!(
        "Restore the NS set at your registrar. Old caches heal by themselves; wrong ones within {} of that (TTL of the NS set).",
        span(ttl.into())
    ))
}

fn unresolvable(candidate: &Candidate) -> Option<String> {
    if !facts_of(candidate, FactKind::NsIsCname).is_empty() {
        return Some(
            "Give each of these names address records of its own instead of the alias, or name what it is an alias of in the NS set.".to_owned(),
        );
    }
    let missing = facts_of(candidate, FactKind::NsAddressMissing);
    if !missing.is_empty() && each(&missing, "because") == [OWN_ZONE_FAILS] {
        return Some(format!(
            "Mend the name servers that {} lie below (See), or their delegation; until then list name servers whose names can be found.",
            hosts(each(&missing, "name_server"))
        ));
    }
    let circle = facts_of(candidate, FactKind::NsCycle);
    if circle.is_empty() {
        return None;
    }
    Some(format!(
        "Have the addresses of {} put beside the NS set at the parent (glue, at your registrar), or use name servers outside the zone.",
        hosts(each(&circle, "name_server"))
    ))
}

/// To transfer the newest copy mends nothing where that one leads to what fails.
fn newest_fails(picture: &Picture<'_>, candidate: &Candidate) -> Option<String> {
    fact(candidate, FactKind::SerialBehind)?;
    let zone = picture.zone(candidate.zone.as_ref()?)?;
    let behind = candidate.group.servers();
    let leads_to = |is_behind: bool| {
        let servers = zone.delegated();
        let servers = servers.filter(move |s| behind.contains(&s.label) == is_behind);
        let all = servers.flat_map(|s| s.leads_to.iter().copied());
        all.collect::<std::collections::BTreeSet<_>>()
    };
    let attempt = |a: &std::net::IpAddr| picture.addresses.get(a).map(|v| &v.attempt);
    let newest = leads_to.clone()(false);
    let older = leads_to(true);
    let fails = !newest.is_empty()
        && newest
            .iter()
            .all(|a| attempt(a).is_some_and(Attempt::fails));
    let works = older.iter().any(|a| attempt(a).is_some_and(Attempt::works));
    (fails && works).then(|| {
        "Look first whether the newest copy is right: what it leads to fails, what the older ones lead to works. Transfer it only then.".to_owned()
    })
}

fn record_wrong(picture: &Picture<'_>, candidate: &Candidate) -> Option<String> {
    let left = picture.resolvers.iter().filter_map(|r| r.ttl).max();
    let keep = left.map_or_else(
        || "Resolvers keep the wrong one until its TTL ends.".to_owned(),
        |left| {
            format!(
                "The resolvers asked here keep the wrong one for up to {} more.",
                span(left.into())
            )
        },
    );
    if fact(candidate, FactKind::CnameLoop).is_some() {
        return Some(format!(
            "Break the circle: the last of these names needs an address record, or an alias that leads out. {keep}"
        ));
    }
    if let Some(dangling) = fact(candidate, FactKind::CnameTargetMissing) {
        return Some(format!(
            "Point the alias at a name that exists, or bring {} back. {keep}",
            value(dangling, "target")
        ));
    }
    if fact(candidate, FactKind::WildcardStranger).is_some() {
        return Some(
            "Look whether the name is spelt right; if it is, put a record of its own into the zone beside the wildcard.".to_owned(),
        );
    }
    Some(format!("Correct the record in the zone. {keep}"))
}

fn record_missing(picture: &Picture<'_>) -> Option<String> {
    let negative = picture.resolvers.iter().filter_map(|r| r.negative);
    let ttl = negative.map(|(left, minimum)| left.max(minimum)).max()?;
    let put = if picture.context.baseline.is_some() {
        "Put the record back into the zone."
    } else {
        "If the name is spelt right, put the record into the zone."
    };
    Some(format!(
        "{put} Resolvers keep the denial for up to {} (the zone's negative TTL, SOA minimum).",
        span(ttl.into())
    ))
}

/// The host that takes no connections is not the service's own.
fn redirect(candidate: &Candidate) -> Option<String> {
    let is_led = candidate.facts.iter().any(|known| {
        let kinds = [FactKind::AddressRefused, FactKind::AddressTimesOut];
        kinds.contains(&known.kind) && !value(known, "url").is_empty()
    });
    is_led.then(|| {
        "Bring back the host that the service redirects to, or redirect elsewhere.".to_owned()
    })
}

/// A chain without an end is no circle.
fn chain(candidate: &Candidate) -> Option<String> {
    let known = fact(candidate, FactKind::RedirectLoop)?;
    (value(known, "reason") == "limit").then(|| {
        "Look where the chain of redirects should end, and let the first one lead there: clients give up after ten to twenty.".to_owned()
    })
}

/// A certificate seldom names an address.
fn by_address(target: &Target) -> Option<String> {
    let Host::Address(address) = &target.host else {
        return None;
    };
    Some(format!(
        "Check by the name that users type, with --connect {address}; or use a certificate that names the address."
    ))
}

/// What to try next where no rule explains the failure.
pub(super) fn unexplained(layer: Layer) -> String {
    let next = match layer {
        Layer::Reg | Layer::Dns | Layer::Route => {
            "Ask again what failed (See), and check with --baseline or --expect, which tell who is right."
        }
        Layer::Net => "Try the address from another network (See).",
        Layer::Tls => "Look at the handshake with another client (See).",
        Layer::Http | Layer::App | Layer::Promise => {
            "Look at the answer itself (See) and at the server's own log."
        }
        Layer::Monitor => "Check again from another machine.",
    };
    format!("{next} Keep the report (--save FILE): `bellwether diagnose FILE` judges it again.")
}
