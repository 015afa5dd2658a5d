//! Facts about what resolvers keep, how long, how quickly they answer, and who answers for them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bellwether_model::FactKind;
use bellwether_model::dns::{Exchange, Response};
use bellwether_model::fact::Subject;
use bellwether_model::observation::DnsPurpose;
use serde_json::json;

use super::{Facts, addresses};
use crate::picture::{Picture, ResolverView, ServerStatus, ServerView};

/// A resolver's cached answer that takes longer than this does not come from its cache alone.
const SLOW_MS: f64 = 800.0;
/// What answers within this is quick.
const QUICK_MS: f64 = 300.0;
/// Fewer answers than this may be chance.
const SLOW_MIN: usize = 3;
/// Seconds that answers made by policy, or steered, live at most, as a rule.
const SHORT_TTL: u32 = 300;

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    let authority: BTreeSet<IpAddr> = picture
        .hops
        .iter()
        .flat_map(|h| h.delegated())
        .flat_map(|s| s.leads_to.iter().copied())
        .collect();
    // What was kept before the zone's TTL was lowered may still be kept.
    let before = picture.context.baseline.as_ref().and_then(|b| b.ttl);
    let ttl = authority_ttl(picture).map(|own| own.max(before.unwrap_or(own)));
    for resolver in &picture.resolvers {
        let subject = Subject::Resolver(resolver.label.clone());
        if resolver.serves_stale() && resolver.is_usable() {
            let codes: BTreeSet<u16> = resolver.extended.iter().map(|e| e.code).collect();
            let value = json!({ "resolver": resolver.label, "extended_errors": codes, "seconds_left": resolver.ttl });
            facts.add(
                FactKind::ResolverServesStale,
                subject.clone(),
                value,
                [resolver.id],
            );
        }
        if let (Some(held), Some(own)) = (resolver.ttl, ttl)
            && held > own
        {
            let value =
                json!({ "resolver": resolver.label, "seconds_left": held, "zone_ttl": own });
            facts.add(
                FactKind::ResolverTtlAboveZone,
                subject.clone(),
                value,
                [resolver.id],
            );
        }
        let is_foreign = foreign(picture, resolver, &subject, &authority, facts);
        if !is_foreign || picture.context.baseline.is_none() {
            kept(picture, resolver, &subject, &authority, facts);
        }
        old_ds(picture, resolver, &subject, facts);
        slow(picture, resolver, &subject, facts);
    }
    second_answers(picture, &authority, facts);
}

/// The longest TTL that a name server gives for the addresses.
pub(crate) fn authority_ttl(picture: &Picture<'_>) -> Option<u32> {
    let hop = picture.last_hop()?;
    let exchanges = hop.delegated().flat_map(|s| &s.seen.exchanges);
    let about = exchanges.filter(|e| e.question.name == hop.seen.name);
    let records = about.filter_map(|e| {
        let response = e.response().filter(|r| r.flags.aa)?;
        response.records(&e.question).iter().map(|r| r.ttl).max()
    });
    records.max()
}

/// Another answer than the authority's, with less time left than the zone gives: it was looked up
/// before the zone changed.
///
/// Answers that are steered differ too. They live for minutes at most, differ from server to server
/// or from question to question, or from one resolver to the next.
fn kept(
    picture: &Picture<'_>,
    resolver: &ResolverView<'_>,
    subject: &Subject,
    authority: &BTreeSet<IpAddr>,
    facts: &mut Facts,
) {
    let extra = |r: &ResolverView<'_>| -> BTreeSet<IpAddr> {
        r.addresses.difference(authority).copied().collect()
    };
    let mine = extra(resolver);
    let (Some(left), Some(whole)) = (resolver.ttl, authority_ttl(picture)) else {
        return;
    };
    // What policy puts in place is given with a short time too.
    let is_running = left > SHORT_TTL && left < whole;
    let Some(hop) = picture.last_hop() else {
        return;
    };
    let answers = || {
        hop.delegated()
            .filter(|s| s.status == ServerStatus::Answers)
    };
    let of_one = |server: &ServerView<'_>| {
        let about = server.seen.exchanges.iter();
        let about = about.filter(|e| e.question.name == hop.seen.name);
        let given = about.filter_map(|e| {
            let mut all = e.response()?.addresses(&e.question);
            all.sort();
            Some((e.question.rtype.clone(), all)).filter(|(_, all)| !all.is_empty())
        });
        given.collect::<BTreeSet<_>>()
    };
    let sets: BTreeSet<_> = answers().map(of_one).collect();
    let is_steady = sets.len() == 1
        && sets.iter().all(|set| {
            let types: BTreeSet<&String> = set.iter().map(|(rtype, _)| rtype).collect();
            types.len() == set.len()
        });
    let others = picture.resolvers.iter().map(extra);
    let is_shared = others.into_iter().all(|e| e.is_empty() || e == mine);
    if mine.is_empty() || !is_running || !is_steady || !is_shared {
        return;
    }
    let value = json!({
        "resolver": resolver.label, "addresses": addresses(&mine), "seconds_left": left, "zone_ttl": whole,
    });
    let kind = FactKind::ResolverAnswerKept;
    facts.add(kind, subject.clone(), value, [resolver.id, hop.id]);
}

/// Addresses of an operator that nothing else of the service belongs to. Without a baseline nobody
/// knows who else serves the name: there they must show certificates for other names as well.
fn foreign(
    picture: &Picture<'_>,
    resolver: &ResolverView<'_>,
    subject: &Subject,
    authority: &BTreeSet<IpAddr>,
    facts: &mut Facts,
) -> bool {
    let baseline = picture.context.baseline.as_ref();
    let owner = |a: &IpAddr| picture.addresses.get(a).and_then(|v| v.owner.as_ref());
    let extra: BTreeSet<IpAddr> = resolver.addresses.difference(authority).copied().collect();
    let theirs: Vec<_> = extra.iter().filter_map(owner).collect();
    let is_a_strangers = |a: &IpAddr| picture.addresses.get(a).is_some_and(|v| v.is_a_strangers());
    let before = baseline.iter().flat_map(|b| &b.addresses);
    let before = before.filter_map(|b| b.owner.as_ref());
    let ours: Vec<_> = authority.iter().filter_map(owner).chain(before).collect();
    let is_ours = |o: &&bellwether_model::Owner| ours.iter().any(|own| own.same_operator(o));
    if theirs.is_empty()
        || theirs.len() < extra.len()
        || ours.is_empty()
        || theirs.iter().any(is_ours)
        || baseline.is_none() && !extra.iter().all(is_a_strangers)
    {
        return false;
    }
    let text: BTreeSet<String> = theirs.iter().map(ToString::to_string).collect();
    let value =
        json!({ "resolver": resolver.label, "addresses": addresses(&extra), "owners": text });
    facts.add(
        FactKind::ResolverAnswerForeign,
        subject.clone(),
        value,
        [resolver.id],
    );
    true
}

/// Tags of the DS records that a resolver holds, against the parent's.
fn old_ds(
    picture: &Picture<'_>,
    resolver: &ResolverView<'_>,
    subject: &Subject,
    facts: &mut Facts,
) {
    let Some(exchange) = &resolver.seen.zone_ds else {
        return;
    };
    let Some(response) = exchange.response() else {
        return;
    };
    let zone = &exchange.question.name;
    let of_chain = picture.chains.iter().find_map(|chain| {
        let zone = chain.seen.zones.iter().find(|z| z.zone == *zone)?;
        Some((chain.id, zone))
    });
    let Some((id, signed)) = of_chain else { return };
    let tag = |data: &str| data.split(' ').next()?.parse::<u16>().ok();
    let records = response.records(&exchange.question);
    let held: BTreeSet<u16> = records.iter().filter_map(|r| tag(&r.data)).collect();
    let now: BTreeSet<u16> = signed.ds.iter().map(|d| d.key_tag).collect();
    if held.is_empty() || held == now {
        return;
    }
    let left = records.iter().map(|r| r.ttl).max();
    let value = json!({ "resolver": resolver.label, "zone": zone, "held": held, "parent": now, "seconds_left": left });
    facts.add(
        FactKind::ResolverHoldsOldDs,
        subject.clone(),
        value,
        [resolver.id, id],
    );
}

/// Right and late: all that it answers takes long, and what others answer does not.
fn slow(picture: &Picture<'_>, resolver: &ResolverView<'_>, subject: &Subject, facts: &mut Facts) {
    let took = |r: &ResolverView<'_>| -> Vec<f64> {
        let seen = r
            .seen
            .answers
            .iter()
            .chain(&r.seen.zone_ns)
            .chain(&r.seen.sibling);
        let answered = seen.filter(|e| e.response().is_some());
        answered.map(|e| e.took_ms).collect()
    };
    let mine = took(resolver);
    let least = mine.iter().copied().fold(f64::INFINITY, f64::min);
    if !resolver.is_usable() || mine.len() < SLOW_MIN || least < SLOW_MS {
        return;
    }
    let Some(hop) = picture.last_hop() else {
        return;
    };
    let servers = hop.delegated().flat_map(|s| &s.seen.exchanges);
    let served: Vec<f64> = servers
        .filter(|e| e.response().is_some())
        .map(|e| e.took_ms)
        .collect();
    let quickest = |all: &[f64]| all.iter().copied().fold(f64::INFINITY, f64::min);
    // One quick answer of each kind shows that neither our path nor the authority is slow.
    let others = picture
        .resolvers
        .iter()
        .filter(|r| r.label != resolver.label);
    let quick_others = others.map(took).any(|all| quickest(&all) < QUICK_MS);
    if quickest(&served) > QUICK_MS || !quick_others {
        return;
    }
    let ms = |value: f64| format!("{value:.0}");
    let value = json!({
        "resolver": resolver.label, "least_ms": ms(least), "answers": mine.len(),
        "name_servers_ms": ms(quickest(&served)),
    });
    facts.add(
        FactKind::ResolverSlow,
        subject.clone(),
        value,
        [resolver.id, hop.id],
    );
}

/// Two answers to one question. The one that came first was taken; the one that came later is the
/// authority's.
fn second_answers(picture: &Picture<'_>, authority: &BTreeSet<IpAddr>, facts: &mut Facts) {
    for (id, seen, later) in picture.asides_for(DnsPurpose::SecondAnswer) {
        let mut asked = picture.resolvers.iter();
        let Some(resolver) = asked.find(|r| r.seen.address.ip() == seen.server) else {
            continue;
        };
        let question = &seen.exchange.question;
        let first = resolver
            .seen
            .answers
            .iter()
            .find(|e| e.question == *question);
        let Some(taken) = first.and_then(Exchange::response) else {
            continue;
        };
        let right = later.addresses(question);
        let wrong = taken.addresses(question);
        let is_right = right.iter().any(|a| authority.contains(a));
        if !is_right || wrong.iter().any(|a| authority.contains(a)) {
            continue;
        }
        let value = json!({
            "resolver": resolver.label,
            "first": said(taken, &wrong), "first_ttl": ttl(taken),
            "second": said(later, &right), "second_ttl": ttl(later),
        });
        let subject = Subject::Resolver(resolver.label.clone());
        facts.add(
            FactKind::ResolverTwoAnswers,
            subject,
            value,
            [id, resolver.id],
        );
    }
}

fn said(response: &Response, given: &[IpAddr]) -> Vec<String> {
    if given.is_empty() {
        return vec![response.rcode.to_string()];
    }
    given.iter().map(ToString::to_string).collect()
}

fn ttl(response: &Response) -> Option<u32> {
    response.answer.iter().map(|r| r.ttl).min()
}
