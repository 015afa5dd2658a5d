//! Rules that fire, and those that would but for one fact.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use bellwether_model::fact::Subject;
use bellwether_model::{Cause, DnsName, FactKind, Layer};

use crate::blame::{self, Group};
use crate::facts::{Facts, Known};
use crate::picture::{Attempt, Picture};
use crate::rules::{self, Blame, Over, Rule};
use crate::units::Unit;

/// A cause with the subjects that its rows fired for.
#[derive(Clone)]
pub struct Candidate {
    /// The row with the highest score.
    pub rule: &'static Rule,
    /// Its score, tenths of nats.
    pub score: i16,
    /// What it speaks of.
    pub group: Group,
    /// The zone, for zones, name servers and hosts.
    pub zone: Option<DnsName>,
    /// The facts it was concluded from, required ones first.
    pub facts: Vec<Known>,
    /// The failures it explains.
    pub explains: BTreeSet<Unit>,
}

impl Candidate {
    /// The layer of its cause. A row that names none speaks of a zone, and so of dns.
    #[must_use]
    pub fn layer(&self, picture: &Picture<'_>) -> Layer {
        let of_zone = (self.rule.over == Over::Zones).then_some(Layer::Dns);
        let lowest = || {
            let failures = self.explains.iter();
            failures.map(|u| crate::units::layer(picture, u)).min()
        };
        let cause = self.rule.cause.layer();
        cause.or(of_zone).or_else(lowest).unwrap_or(Layer::Dns)
    }
}

/// A cause that facts speak against.
#[derive(Clone, Debug, PartialEq)]
pub struct Refuted {
    /// The cause.
    pub cause: Cause,
    /// Its score.
    pub score: i16,
    /// What speaks against it.
    pub against: Vec<FactKind>,
}

/// A subject with the zone it belongs to.
type Place = (Subject, Option<DnsName>);

/// Everything that fires, lowest layer, rank and largest coverage first; and what was refuted.
#[must_use]
pub fn all(
    picture: &Picture<'_>,
    facts: &Facts,
    failing: &BTreeSet<Unit>,
) -> (Vec<Candidate>, Vec<Refuted>) {
    let places = places(facts);
    let mut fired: Vec<(&'static Rule, i16, Place, Vec<Known>)> = Vec::new();
    let mut refuted = Vec::new();
    for rule in rules::all() {
        for place in places.iter().filter(|(s, _)| over(s) == rule.over) {
            let known: Vec<&Known> = facts.bearing_on(&place.0, place.1.as_ref()).collect();
            let has = |kind: &FactKind| known.iter().any(|k| k.kind == *kind);
            let met = rule.requires.iter().all(has) && speaks_of_it(rule, &place.0, &known);
            if !met || is_above_failure(picture, rule, &place.0) {
                continue;
            }
            let score = score(rule, &has);
            let against: Vec<FactKind> = rule.excludes.iter().copied().filter(has).collect();
            if !against.is_empty() {
                refuted.push(Refuted {
                    cause: rule.cause,
                    score,
                    against,
                });
                continue;
            }
            let used: Vec<Known> = known
                .iter()
                .filter(|k| is_used(rule, k.kind))
                .map(|k| (*k).clone())
                .collect();
            fired.push((rule, score, place.clone(), used));
        }
    }
    let mut candidates = group(best_for_each_subject(fired));
    for candidate in &mut candidates {
        let rule = candidate.rule;
        add_witnesses(picture, facts, candidate);
        candidate.explains =
            blame::explained(picture, failing, rule.blame, rule.cause, &candidate.group);
    }
    candidates.sort_by_key(|c| order(picture, c));
    refuted.sort_by_key(|r| (Reverse(r.score), r.cause));
    (candidates, refuted)
}

/// What the servers of a wrong delegation answer, one by one, and the caches that remember an
/// earlier one, are part of its evidence.
fn add_witnesses(picture: &Picture<'_>, facts: &Facts, candidate: &mut Candidate) {
    if candidate.rule.blame != Blame::WrongSide {
        return;
    }
    let wrong: BTreeSet<String> = blame::wrong_servers(picture, &candidate.group)
        .into_iter()
        .flat_map(|(_, labels)| labels)
        .collect();
    let has_caches = candidate
        .facts
        .iter()
        .any(|f| f.kind == FactKind::CacheNsDiffer);
    let bears = |fact: &Known| match &fact.subject {
        Subject::NameServer(name, Some(address)) => wrong.contains(&format!("{name}@{address}")),
        Subject::Resolver(_) => fact.kind == FactKind::CacheNsDiffer && !has_caches,
        Subject::NameServer(_, None)
        | Subject::Vantage
        | Subject::Zone(_)
        | Subject::Address(_)
        | Subject::Service => false,
    };
    for fact in facts.all().iter().filter(|f| bears(f)) {
        if !candidate.facts.contains(fact) {
            candidate.facts.push(fact.clone());
        }
    }
}

/// Lower layers explain higher ones; inside a layer rank, then coverage, decide.
fn order(picture: &Picture<'_>, c: &Candidate) -> impl Ord + use<> {
    let layer = c.layer(picture);
    let coverage = (Reverse(c.explains.len()), Reverse(c.score));
    (
        layer,
        c.rule.cause.rank(),
        coverage,
        c.rule.cause,
        c.group.subjects.clone(),
    )
}

fn over(subject: &Subject) -> Over {
    match subject {
        Subject::Vantage => Over::Vantage,
        Subject::Zone(_) => Over::Zones,
        Subject::NameServer(_, Some(_)) => Over::NameServers,
        Subject::NameServer(_, None) => Over::Hosts,
        Subject::Resolver(_) => Over::Resolvers,
        Subject::Address(_) => Over::Addresses,
        Subject::Service => Over::Service,
    }
}

/// Every subject that a fact speaks of, once.
fn places(facts: &Facts) -> Vec<Place> {
    let all: BTreeSet<Place> = facts
        .all()
        .iter()
        .map(|f| (f.subject.clone(), f.zone.clone()))
        .collect();
    all.into_iter().collect()
}

/// At least one required fact is about the subject itself, not only about its surroundings.
fn speaks_of_it(rule: &Rule, subject: &Subject, known: &[&Known]) -> bool {
    known
        .iter()
        .any(|k| k.subject == *subject && rule.requires.contains(&k.kind))
}

/// What an address does in layers above the one at which users fail there, no user sees.
fn is_above_failure(picture: &Picture<'_>, rule: &Rule, subject: &Subject) -> bool {
    let Subject::Address(address) = subject else {
        return false;
    };
    match picture.addresses.get(address).map(|v| &v.attempt) {
        Some(Attempt::Fails(at)) => rule.cause.layer().is_some_and(|layer| layer > *at),
        Some(Attempt::Works | Attempt::Unjudged(_)) | None => false,
    }
}

fn is_used(rule: &Rule, kind: FactKind) -> bool {
    rule.requires.contains(&kind) || rule.supports.iter().any(|(k, _)| *k == kind)
}

fn score(rule: &Rule, has: &dyn Fn(&FactKind) -> bool) -> i16 {
    rule.prior
        + rule
            .supports
            .iter()
            .filter(|(k, _)| has(k))
            .map(|(_, w)| w)
            .sum::<i16>()
}

/// Of several causes of one layer for one address or resolver, the highest score names it.
fn best_for_each_subject(
    fired: Vec<(&'static Rule, i16, Place, Vec<Known>)>,
) -> Vec<(&'static Rule, i16, Place, Vec<Known>)> {
    let single = |over| matches!(over, Over::Addresses | Over::Resolvers);
    let mut best: BTreeMap<(Place, Option<Layer>), (i16, Cause)> = BTreeMap::new();
    for (rule, score, place, _) in fired.iter().filter(|f| single(f.0.over)) {
        let key = (place.clone(), rule.cause.layer());
        let entry = best.entry(key).or_insert((*score, rule.cause));
        if (*score, Reverse(rule.cause)) > (entry.0, Reverse(entry.1)) {
            *entry = (*score, rule.cause);
        }
    }
    fired
        .into_iter()
        .filter(|(rule, _, place, _)| {
            !single(rule.over)
                || best
                    .get(&(place.clone(), rule.cause.layer()))
                    .is_some_and(|b| b.1 == rule.cause)
        })
        .collect()
}

/// One candidate for each cause and zone.
fn group(fired: Vec<(&'static Rule, i16, Place, Vec<Known>)>) -> Vec<Candidate> {
    let mut grouped: BTreeMap<(Cause, Option<DnsName>, Over), Candidate> = BTreeMap::new();
    for (rule, score, (subject, zone), used) in fired {
        let key = (rule.cause, zone.clone(), rule.over);
        let candidate = grouped.entry(key).or_insert_with(|| Candidate {
            rule,
            score,
            group: Group::default(),
            zone,
            facts: Vec::new(),
            explains: BTreeSet::new(),
        });
        if score > candidate.score {
            candidate.rule = rule;
            candidate.score = score;
        }
        candidate.group.subjects.insert(subject);
        for known in used {
            if !candidate.facts.contains(&known) {
                candidate.facts.push(known);
            }
        }
    }
    let mut all: Vec<Candidate> = grouped.into_values().collect();
    for candidate in &mut all {
        let required = candidate.rule.requires;
        candidate.facts.sort_by_key(|f| {
            (
                !required.contains(&f.kind),
                f.kind,
                f.subject.clone(),
                f.from.clone(),
            )
        });
    }
    all
}
