//! What each resolver made of the name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bellwether_model::DnsName;
use bellwether_model::dns::{
    AnswerKind, ControlSeen, ControlVia, Exchange, ExtendedError, Rcode, Record, ResolverOrigin,
    ResolverSeen,
};
use bellwether_model::report::Context;

use super::Seen;

/// Extended errors of answers older than their TTL (RFC 8914 sections 4.4 and 4.20).
const STALE_ERRORS: [u16; 2] = [3, 19];

/// What a resolver is good for, for this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolverStatus {
    /// It answers; every type that it was asked for has records or none.
    Answers,
    /// It says that the name does not exist (NXDOMAIN), or has nothing of what was asked (NODATA).
    Denies(AnswerKind),
    /// It answers with an error.
    Error(Rcode),
    /// It does not answer.
    Silent,
}

/// One resolver.
pub struct ResolverView<'a> {
    /// The observation.
    pub id: &'a str,
    /// What it saw.
    pub seen: &'a ResolverSeen,
    /// As asked.
    pub label: String,
    /// Where it came from.
    pub origin: ResolverOrigin,
    /// What it is good for, for this name.
    pub status: ResolverStatus,
    /// Addresses given.
    pub addresses: BTreeSet<IpAddr>,
    /// Record data of the check's own type.
    pub values: BTreeSet<String>,
    /// Types for which it gives an error or nothing although it answers others.
    pub failing_types: Vec<String>,
    /// Do the controls work through it? `None` if there are none, or if they cannot tell.
    pub controls_work: Option<bool>,
    /// Observations of its controls.
    pub control_ids: Vec<&'a str>,
    /// Does it know another name of the same zone?
    pub sibling_works: Option<bool>,
    /// The NS set that it holds for the zone, with the seconds left.
    pub ns_set: Option<(Vec<DnsName>, u32)>,
    /// Seconds left for the addresses.
    pub ttl: Option<u32>,
    /// The SOA record of a denial: seconds left, and the zone's negative TTL.
    pub negative: Option<(u32, u32)>,
    /// It says that it has checked the answer's signatures (AD).
    pub authentic: bool,
    /// Extended errors.
    pub extended: Vec<ExtendedError>,
    /// An answer is cut over UDP, and does not come over TCP.
    pub truncated: bool,
    /// Did each question come to an end? What was under way when the time ran out is not there.
    pub is_whole: bool,
}

impl ResolverView<'_> {
    /// Does it hold this NS set, in whatever order?
    #[must_use]
    pub fn holds(&self, set: &[DnsName]) -> bool {
        let held = self.ns_set.iter().flat_map(|(names, _)| names);
        held.collect::<BTreeSet<_>>() == set.iter().collect()
    }

    /// Does it say that its answer is older than its TTL?
    #[must_use]
    pub fn serves_stale(&self) -> bool {
        self.extended.iter().any(|e| STALE_ERRORS.contains(&e.code))
    }

    /// Does a user of this resolver get anything to connect to?
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.status == ResolverStatus::Answers
    }
}

pub(super) fn views<'a>(
    context: &'a Context,
    matrix: &[Seen<'a, ResolverSeen>],
    controls: &[Seen<'a, ControlSeen>],
) -> Vec<ResolverView<'a>> {
    let mut by_label: BTreeMap<&str, ResolverView<'a>> = BTreeMap::new();
    for (id, seen) in matrix {
        by_label
            .entry(seen.resolver.as_str())
            .or_insert_with(|| view(context, id, seen, controls));
    }
    by_label.into_values().collect()
}

fn view<'a>(
    context: &Context,
    id: &'a str,
    seen: &'a ResolverSeen,
    controls: &[Seen<'a, ControlSeen>],
) -> ResolverView<'a> {
    let mine: Vec<&Seen<'a, ControlSeen>> = controls
        .iter()
        .filter(|(_, c)| matches!(&c.via, ControlVia::Resolver { resolver } if *resolver == seen.resolver))
        .collect();
    let mut view = ResolverView {
        id,
        seen,
        label: seen.resolver.clone(),
        origin: seen.origin,
        status: ResolverStatus::Silent,
        addresses: BTreeSet::new(),
        values: BTreeSet::new(),
        failing_types: Vec::new(),
        controls_work: None,
        control_ids: mine.iter().map(|(id, _)| *id).collect(),
        sibling_works: sibling(context, seen),
        ns_set: ns_set(seen),
        ttl: None,
        negative: None,
        authentic: false,
        extended: Vec::new(),
        truncated: false,
        is_whole: true,
    };
    read_answers(context, seen, &mut view);
    view.controls_work = controls_work(&mine, controls, &view.status);
    view
}

/// Failed controls speak against the resolver only where our own iteration answers the same names,
/// or where the resolver says nothing at all: else the names themselves, or we, are at fault.
fn controls_work(
    mine: &[&Seen<'_, ControlSeen>],
    all: &[Seen<'_, ControlSeen>],
    status: &ResolverStatus,
) -> Option<bool> {
    if mine.is_empty() {
        return None;
    }
    if mine.iter().any(|(_, c)| c.ok) {
        return Some(true);
    }
    // It answers the name: whatever it has against the controls, or their form, it is not down.
    if *status == ResolverStatus::Answers {
        return None;
    }
    let iterated = mine.iter().any(|(_, failed)| {
        all.iter()
            .any(|(_, c)| c.ok && c.via == ControlVia::Own && c.control == failed.control)
    });
    (iterated || *status == ResolverStatus::Silent).then_some(false)
}

fn read_answers(context: &Context, seen: &ResolverSeen, view: &mut ResolverView<'_>) {
    let mut kinds: Vec<AnswerKind> = Vec::new();
    let mut error = None;
    for rtype in context.target.rtypes() {
        let Some(exchange) = seen.last(&rtype) else {
            view.is_whole = false;
            continue;
        };
        let Some(response) = exchange.response() else {
            view.failing_types.push(rtype);
            continue;
        };
        view.extended
            .extend(response.extended_errors.iter().cloned());
        let kind = response.kind(&exchange.question, None);
        if response.is_cut(&exchange.question) {
            view.truncated |= response.malformed.is_none();
            view.failing_types.push(rtype);
            continue;
        }
        if kind == AnswerKind::Unusable {
            error = error.or(Some(response.rcode));
            view.failing_types.push(rtype);
            continue;
        }
        let records = response.records(&exchange.question);
        view.authentic |= response.flags.ad && !records.is_empty();
        view.addresses
            .extend(records.iter().filter_map(|r| r.address()));
        view.values.extend(records.iter().map(|r| r.data.clone()));
        let ttl = records.iter().map(|r| r.ttl).min();
        view.ttl = [view.ttl, ttl].into_iter().flatten().min();
        if let Some(soa) = response.authority.iter().find(|r| r.rtype == "SOA")
            && let Some(data) = soa.soa()
        {
            view.negative = view.negative.or(Some((soa.ttl, data.minimum)));
        }
        kinds.push(kind);
    }
    view.status = if kinds.contains(&AnswerKind::Positive) {
        ResolverStatus::Answers
    } else if kinds.contains(&AnswerKind::NxDomain) {
        ResolverStatus::Denies(AnswerKind::NxDomain)
    } else if let Some(rcode) = error {
        ResolverStatus::Error(rcode)
    } else if !view.failing_types.is_empty() || !view.is_whole {
        ResolverStatus::Silent
    } else {
        ResolverStatus::Denies(AnswerKind::NoData)
    };
}

/// The apex, asked for as a sibling of a target at the apex, is no other name.
fn sibling(context: &Context, seen: &ResolverSeen) -> Option<bool> {
    let is_other = |e: &&Exchange| context.target.name() != Some(&e.question.name);
    let exchange = seen.sibling.as_ref().filter(|e| e.was_asked());
    let exchange = exchange.filter(is_other)?;
    let response = exchange.response();
    Some(response.is_some_and(|r| r.kind(&exchange.question, None) == AnswerKind::Positive))
}

fn ns_set(seen: &ResolverSeen) -> Option<(Vec<DnsName>, u32)> {
    let exchange = seen.zone_ns.as_ref()?;
    let response = exchange.response()?;
    let records = response.records(&exchange.question);
    let ttl = records.iter().map(|r| r.ttl).min()?;
    let mut names: Vec<DnsName> = records.into_iter().filter_map(Record::target).collect();
    names.sort();
    names.dedup();
    Some((names, ttl))
}
