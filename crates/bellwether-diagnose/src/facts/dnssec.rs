//! Facts about signatures: what of the chain does not hold, at which servers, and what comes next.

use std::collections::BTreeSet;

use bellwether_model::FactKind;
use bellwether_model::dns::{AnswerKind, Exchange};
use bellwether_model::dnssec::SignedZone;
use bellwether_model::fact::Subject;
use serde_json::{Value, json};

use super::Facts;
use crate::picture::dnssec::{ChainState, ChainView, Problem, Why};
use crate::picture::{Picture, ResolverView};

/// Most NSEC3 iterations that every validator in use counts; above, some take the zone as unsigned
/// (RFC 9276 section 3.2).
const ITERATIONS_MAX: u16 = 50;

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    for chain in picture.chains_of_hops() {
        if let ChainState::Bogus(problem) = &chain.state {
            refused(picture, chain, problem, facts);
        }
        for problem in &chain.partial {
            partial(chain, problem, facts);
        }
        if matches!(chain.state, ChainState::Secure | ChainState::Insecure) {
            forecasts(picture, chain, facts);
        }
    }
    let secure = picture.validates();
    if secure {
        let from = picture.chains_of_hops().map(|c| c.id);
        let value = json!({ "name": picture.context.target.name() });
        facts.add(FactKind::ChainSecure, Subject::Service, value, from);
    }
    for resolver in picture.resolvers.iter().filter(|r| fails_checked(r)) {
        checked(picture, resolver, secure, facts);
    }
}

/// Does it give an error for some type when it checks, and an answer when asked not to?
#[must_use]
pub(crate) fn fails_checked(resolver: &ResolverView<'_>) -> bool {
    let settles = |e: &Exchange| {
        let kind = e.response().map(|r| r.kind(&e.question, None));
        kind.is_some_and(|k| k != AnswerKind::Unusable)
    };
    let unchecked = &resolver.seen.unchecked;
    resolver.failing_types.iter().any(|rtype| {
        let again = unchecked.iter().filter(|e| e.question.rtype == *rtype);
        again.into_iter().any(settles)
    })
}

fn kind_of(why: Why) -> FactKind {
    match why {
        Why::Ended => FactKind::RrsigEnded,
        Why::NotBegun => FactKind::RrsigNotBegun,
        Why::NoKeys => FactKind::DnskeyMissing,
        Why::OtherKeys => FactKind::DsMatchesNoKey,
        Why::Unsigned => FactKind::RrsigMissing,
        Why::Wrong => FactKind::RrsigWrong,
        Why::Denial => FactKind::DenialUnproven,
        Why::TooComplex => FactKind::SignaturesTooComplex,
    }
}

fn refused(picture: &Picture<'_>, chain: &ChainView<'_>, problem: &Problem, facts: &mut Facts) {
    let subject = Subject::Zone(problem.zone.clone());
    let kind = kind_of(problem.why);
    if facts.holds(kind, &subject) {
        return;
    }
    let zone = chain.seen.zones.iter().find(|z| z.zone == problem.zone);
    let value = value(problem, zone);
    facts.add(kind, subject.clone(), value, [chain.id]);
    let failing: Vec<&ResolverView<'_>> = picture
        .resolvers
        .iter()
        .filter(|r| fails_checked(r))
        .collect();
    if !failing.is_empty() {
        let labels: Vec<&str> = failing.iter().map(|r| r.label.as_str()).collect();
        let value = json!({ "resolvers": labels });
        let from = failing.iter().map(|r| r.id);
        facts.add(FactKind::FailsOnlyChecked, subject, value, from);
    }
}

fn value(problem: &Problem, zone: Option<&SignedZone>) -> Value {
    let mut value = json!({
        "zone": problem.zone,
        "name": problem.name,
        "type": problem.rtype,
        "name_servers": problem.servers,
    });
    if let Some((tag, algorithm)) = problem.key {
        value["key_tag"] = json!(tag);
        value["algorithm"] = json!(algorithm);
    }
    if let Some(at) = problem.at {
        let key = if problem.why == Why::Ended {
            "ended"
        } else {
            "begins"
        };
        value[key] = json!(at);
    }
    if let (Why::OtherKeys | Why::NoKeys, Some(zone)) = (problem.why, zone) {
        let ds: BTreeSet<u16> = zone.ds.iter().map(|d| d.key_tag).collect();
        let keys: BTreeSet<u16> = zone.keys.iter().map(|k| k.key_tag).collect();
        value["ds_tags"] = json!(ds);
        value["key_tags"] = json!(keys);
        // Where the tags agree, what does not fit is the algorithm, or the digest.
        let ds: BTreeSet<u8> = zone.ds.iter().map(|d| d.algorithm).collect();
        let keys: BTreeSet<u8> = zone.keys.iter().map(|k| k.algorithm).collect();
        value["ds_algorithms"] = json!(ds);
        value["key_algorithms"] = json!(keys);
    }
    value
}

/// What one server gives and others do not.
fn partial(chain: &ChainView<'_>, problem: &Problem, facts: &mut Facts) {
    let kind = match problem.why {
        Why::Ended => FactKind::NsRrsigEnded,
        Why::NotBegun
        | Why::NoKeys
        | Why::OtherKeys
        | Why::Unsigned
        | Why::Wrong
        | Why::Denial
        | Why::TooComplex => FactKind::NsRrsigBad,
    };
    for label in &problem.servers {
        let Some((name, address)) = label.rsplit_once('@') else {
            continue;
        };
        let (Ok(name), Ok(address)) = (name.parse(), address.parse()) else {
            continue;
        };
        let subject = Subject::NameServer(name, Some(address));
        if facts.holds(kind, &subject) {
            continue;
        }
        let mut value = value(problem, None);
        value["name_server"] = json!(label);
        value["problem"] = json!(kind_of(problem.why).name());
        facts.add_in(Some(&problem.zone), kind, subject, value, [chain.id]);
    }
}

/// What will fail if nothing is done.
fn forecasts(picture: &Picture<'_>, chain: &ChainView<'_>, facts: &mut Facts) {
    if let Some(soon) = &chain.ends_soon {
        let value = json!({ "zone": soon.zone, "ends": soon.ends, "newest": soon.newest });
        let subject = Subject::Zone(soon.zone.clone());
        facts.add(FactKind::RrsigEndsSoon, subject, value, [chain.id]);
    }
    let Some(zone) = chain.seen.zones.last().filter(|z| z.holds_name) else {
        return;
    };
    let subject = Subject::Zone(zone.zone.clone());
    let is_secure = chain.state == ChainState::Secure;
    if is_secure && !zone.cds.is_empty() && !zone.cds.iter().any(|c| c.matches) {
        let offered: BTreeSet<u16> = zone.cds.iter().map(|c| c.key_tag).collect();
        let keys: BTreeSet<u16> = zone.keys.iter().map(|k| k.key_tag).collect();
        let value = json!({ "zone": zone.zone, "cds_tags": offered, "key_tags": keys });
        facts.add(
            FactKind::CdsMatchesNoKey,
            subject.clone(),
            value,
            [chain.id],
        );
    }
    let answers = zone.answers.iter().chain(&zone.others);
    let most = answers
        .filter_map(|a| a.denial.as_ref()?.iterations)
        .max()
        .filter(|i| *i > ITERATIONS_MAX);
    let signed = zone.ds.iter().any(|d| d.supported && d.matches);
    if let Some(iterations) = most.filter(|_| signed) {
        let value = json!({ "zone": zone.zone, "iterations": iterations, "limit": ITERATIONS_MAX });
        facts.add(
            FactKind::Nsec3IterationsHigh,
            subject.clone(),
            value,
            [chain.id],
        );
        give_up(picture, zone, &subject, facts);
    }
}

/// Resolvers that refuse what the zone denies with too many iterations, and nothing above it.
fn give_up(picture: &Picture<'_>, zone: &SignedZone, subject: &Subject, facts: &mut Facts) {
    let is_costly = |rtype: &String| {
        let answers = zone.answers.iter().filter(|a| a.rtype == *rtype);
        let mut counts = answers.filter_map(|a| a.denial.as_ref()?.iterations);
        counts.any(|iterations| iterations > ITERATIONS_MAX)
    };
    let refuses = |r: &&ResolverView<'_>| {
        let above = r.seen.ancestors.iter().filter(|e| e.was_asked());
        let works = |e: &Exchange| e.response().is_some_and(|r| r.rcode.0 == 0);
        fails_checked(r) && r.failing_types.iter().all(is_costly) && above.into_iter().all(works)
    };
    let failing: Vec<&ResolverView<'_>> = picture.resolvers.iter().filter(refuses).collect();
    if !failing.is_empty() {
        let labels: Vec<&str> = failing.iter().map(|r| r.label.as_str()).collect();
        let value = json!({ "resolvers": labels });
        let from = failing.iter().map(|r| r.id);
        facts.add(FactKind::FailsOnlyChecked, subject.clone(), value, from);
    }
}

/// What a resolver stumbles over that fails only where it checks.
fn checked(picture: &Picture<'_>, resolver: &ResolverView<'_>, secure: bool, facts: &mut Facts) {
    let subject = Subject::Resolver(resolver.label.clone());
    let value = json!({ "resolver": resolver.label });
    facts.add(
        FactKind::FailsOnlyChecked,
        subject.clone(),
        value.clone(),
        [resolver.id],
    );
    let above = &resolver.seen.ancestors;
    let works = |e: &Exchange| e.response().is_some_and(|r| r.rcode.0 == 0);
    let asked = || above.iter().filter(|e| e.was_asked());
    if asked().next().is_some() && !asked().any(works) {
        let names: Vec<&str> = asked().map(|e| e.question.name.as_str()).collect();
        let value = json!({ "resolver": resolver.label, "names": names });
        facts.add(
            FactKind::ResolverFailsSigned,
            subject.clone(),
            value,
            [resolver.id],
        );
    }
    let is_checked = |e: &Exchange| works(e) && e.response().is_some_and(|r| r.flags.ad);
    if !secure || above.is_empty() || !above.iter().all(is_checked) {
        return;
    }
    let Some(chain) = picture.chains_of_hops().last() else {
        return;
    };
    let algorithms = |z: &SignedZone| -> BTreeSet<u8> {
        let keys = z.keys.iter().filter(|k| k.vouched);
        keys.map(|k| k.algorithm).collect()
    };
    let zones = &chain.seen.zones;
    let own = zones.last().map(algorithms).unwrap_or_default();
    let others: BTreeSet<u8> = zones.iter().take(2).flat_map(algorithms).collect();
    if zones.len() > 2 && !own.is_empty() && own.is_disjoint(&others) {
        let value = json!({
            "resolver": resolver.label,
            "zone": zones.last().map(|z| &z.zone),
            "algorithms": own,
            "checked_with": others,
        });
        facts.add(
            FactKind::ResolverLacksAlgorithm,
            subject,
            value,
            [resolver.id, chain.id],
        );
    }
}
