//! Facts about resolvers, each against the authority.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bellwether_model::FactKind;
use bellwether_model::egress::AddressClass;
use bellwether_model::fact::Subject;
use serde_json::json;

use super::{Facts, addresses, names};
use crate::picture::{Picture, ResolverStatus, ResolverView, ServerStatus};

/// Extended errors that say that an answer was made by policy: forged, blocked, censored,
/// filtered, prohibited (RFC 8914 sections 4.5 and 4.16 to 4.19).
const POLICY_ERRORS: [u16; 5] = [4, 15, 16, 17, 18];

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    let authority: BTreeSet<IpAddr> = picture
        .hops
        .iter()
        .flat_map(|h| h.delegated())
        .flat_map(|s| s.leads_to.iter().copied())
        .collect();
    let has_it = picture
        .last_hop()
        .is_some_and(|h| h.delegated().any(|s| s.status == ServerStatus::Answers));
    for resolver in &picture.resolvers {
        let subject = Subject::Resolver(resolver.label.clone());
        controls(resolver, &subject, facts);
        if is_system(resolver) {
            let value = json!({ "resolver": resolver.label });
            facts.add(
                FactKind::ResolverIsSystem,
                subject.clone(),
                value,
                [resolver.id],
            );
        }
        caches(picture, resolver, &subject, facts);
        if has_it {
            denial(picture, resolver, &subject, facts);
            failure(resolver, &subject, facts);
        }
        answers(picture, resolver, &subject, &authority, facts);
        rewriting(resolver, &subject, &authority, facts);
    }
}

fn controls(resolver: &ResolverView<'_>, subject: &Subject, facts: &mut Facts) {
    match resolver.controls_work {
        Some(false) => {
            let value = json!({ "resolver": resolver.label, "system": is_system(resolver) });
            let from = resolver.control_ids.iter().copied().chain([resolver.id]);
            facts.add(
                FactKind::ResolverFailsControls,
                subject.clone(),
                value,
                from,
            );
        }
        Some(true) if resolver.sibling_works != Some(false) => {
            let value = json!({ "resolver": resolver.label, "sibling": resolver.sibling_works });
            let from = resolver.control_ids.iter().copied().chain([resolver.id]);
            facts.add(
                FactKind::ResolverOtherNamesRight,
                subject.clone(),
                value,
                from,
            );
        }
        Some(true) | None => {}
    }
}

fn is_system(resolver: &ResolverView<'_>) -> bool {
    resolver.origin == bellwether_model::dns::ResolverOrigin::System
}

/// The NS set that a cache holds against the parent's.
fn caches(
    picture: &Picture<'_>,
    resolver: &ResolverView<'_>,
    subject: &Subject,
    facts: &mut Facts,
) {
    let (Some(hop), Some((held, ttl))) = (picture.own_hop(), &resolver.ns_set) else {
        return;
    };
    let now = hop.seen.parent_names();
    let children = hop.servers.iter().filter_map(|s| s.ns_set.as_ref());
    let known = now == *held || children.clone().any(|c| c == held);
    // A cache that holds names which nobody gives any more remembers an earlier delegation.
    let gone: Vec<_> = held.iter().filter(|n| !now.contains(n)).cloned().collect();
    if now.is_empty() || gone.is_empty() || (known && now == *held) {
        return;
    }
    let value = json!({ "resolver": resolver.label, "held": names(held), "parent": names(&now), "seconds_left": ttl });
    facts.add(
        FactKind::CacheNsDiffer,
        subject.clone(),
        value,
        [resolver.id, hop.id],
    );
}

/// It denies what the authority has.
///
/// A denial is kept for the lesser of the SOA record's own TTL and its minimum field (RFC 2308
/// section 5); one that comes with less was made earlier.
fn denial(
    picture: &Picture<'_>,
    resolver: &ResolverView<'_>,
    subject: &Subject,
    facts: &mut Facts,
) {
    let ResolverStatus::Denies(kind) = resolver.status else {
        return;
    };
    let answer = match kind {
        bellwether_model::dns::AnswerKind::NxDomain => "NXDOMAIN",
        _ => "NODATA",
    };
    let value = json!({ "resolver": resolver.label, "answer": answer });
    facts.add(
        FactKind::ResolverDeniesExistingName,
        subject.clone(),
        value,
        [resolver.id],
    );
    let servers = || {
        picture
            .last_hop()
            .into_iter()
            .flat_map(|h| h.servers.iter())
    };
    if let Some((left, minimum)) = resolver.negative
        && let Some(own_ttl) = servers().find_map(|s| s.soa_ttl)
        && left < minimum.min(own_ttl)
    {
        let whole = minimum.min(own_ttl);
        let value =
            json!({ "resolver": resolver.label, "seconds_left": left, "negative_ttl": whole });
        facts.add(
            FactKind::ResolverNegativeCached,
            subject.clone(),
            value,
            [resolver.id],
        );
    }
}

/// It gives nothing usable for what the authority has.
fn failure(resolver: &ResolverView<'_>, subject: &Subject, facts: &mut Facts) {
    let answer = match &resolver.status {
        ResolverStatus::Error(rcode) => rcode.to_string(),
        ResolverStatus::Silent => "no answer".to_owned(),
        ResolverStatus::Answers | ResolverStatus::Denies(_) => return,
    };
    if resolver.controls_work == Some(false) {
        return;
    }
    let value = json!({ "resolver": resolver.label, "answer": answer });
    facts.add(
        FactKind::ResolverServfail,
        subject.clone(),
        value,
        [resolver.id],
    );
}

/// Addresses that no name server gives.
fn answers(
    picture: &Picture<'_>,
    resolver: &ResolverView<'_>,
    subject: &Subject,
    authority: &BTreeSet<IpAddr>,
    facts: &mut Facts,
) {
    let extra: BTreeSet<IpAddr> = resolver.addresses.difference(authority).copied().collect();
    if extra.is_empty() || authority.is_empty() {
        return;
    }
    let before: BTreeSet<IpAddr> = picture
        .context
        .baseline
        .iter()
        .flat_map(|b| b.addresses.iter().map(|a| a.address))
        .collect();
    let kind = if extra.is_subset(&before) {
        FactKind::ResolverServesOldAnswer
    } else {
        FactKind::ResolverAnswerDiffers
    };
    let value = json!({
        "resolver": resolver.label,
        "addresses": addresses(&extra),
        "authority": addresses(authority),
        "seconds_left": resolver.ttl,
    });
    facts.add(kind, subject.clone(), value, [resolver.id]);
}

/// It says itself that it rewrites, or leads to nowhere.
fn rewriting(
    resolver: &ResolverView<'_>,
    subject: &Subject,
    authority: &BTreeSet<IpAddr>,
    facts: &mut Facts,
) {
    let codes: BTreeSet<u16> = resolver
        .extended
        .iter()
        .map(|e| e.code)
        .filter(|c| POLICY_ERRORS.contains(c))
        .collect();
    let nowhere: BTreeSet<IpAddr> = resolver
        .addresses
        .difference(authority)
        .copied()
        .filter(|a| !AddressClass::of(*a).is_public())
        .collect();
    if codes.is_empty() && (nowhere.is_empty() || authority.is_empty()) {
        return;
    }
    let value = json!({ "resolver": resolver.label, "extended_errors": codes, "addresses": addresses(&nowhere) });
    facts.add(
        FactKind::ResolverSinkhole,
        subject.clone(),
        value,
        [resolver.id],
    );
}
