//! Findings in words: one sentence with names and numbers, what else to know, and a command that
//! shows the same.

mod cert;
mod details;
mod dns;
mod dnssec;
mod handshake;
mod http;
mod naming;
mod read;
mod remedy;
mod resolver;
mod see;
mod sentence;
mod steering;
mod time;
mod transport;
mod unexplained;

use std::collections::BTreeSet;

use bellwether_model::report::{Role, Scope, Severity};
use bellwether_model::{Cause, FactKind, Finding, Layer};

use crate::blame::Group;
use crate::candidates::Candidate;
use crate::facts::{Facts, Known};
use crate::picture::Picture;
use crate::rules::{self, Alone, Blame, Over, Rule};
use crate::units::{self, Unit};

pub use details::details;
pub use naming::{count, hosts, list, number_of_hosts, servers};
pub use remedy::remedy;
pub use see::see;
pub use sentence::summary;
pub use time::{clock, moment, span};

/// For the case that nothing was judged and no probe says why.
const NOTHING_JUDGED: Rule = Rule {
    cause: Cause::MonitorProbeHung,
    over: Over::Vantage,
    requires: &[FactKind::ProbesNotRun],
    excludes: &[],
    supports: &[],
    prior: 10,
    cap: 80,
    blame: Blame::Nobody,
    alone: Alone::Warn,
    remedy: "Run the check again with a longer --deadline; without resolvers, a name and a route there is nothing to judge.",
    not_excluded: &[],
};

/// The candidate for a check by which nothing could be judged.
#[must_use]
pub fn nothing_judged(facts: &Facts) -> Candidate {
    static RULE: Rule = NOTHING_JUDGED;
    let known: Vec<Known> = facts.of_kind(FactKind::ProbesNotRun).cloned().collect();
    Candidate {
        rule: &RULE,
        score: RULE.prior,
        group: Group::default(),
        zone: None,
        facts: known,
        explains: BTreeSet::new(),
    }
}

/// The finding for failures that no rule explains: `unknown`, with layer, scope and evidence.
#[must_use]
pub fn unexplained(picture: &Picture<'_>, facts: &Facts, left: &BTreeSet<Unit>) -> Finding {
    let layer = left
        .iter()
        .map(|u| units::layer(picture, u))
        .min()
        .unwrap_or(Layer::Dns);
    let static_rule = rules::all()
        .find(|r| r.cause == Cause::Unknown)
        .expect("there is a row for it");
    let mut group = Group::default();
    for unit in left {
        group.subjects.insert(match unit {
            Unit::Resolver(label) => bellwether_model::fact::Subject::Resolver(label.clone()),
            Unit::Address(address) => bellwether_model::fact::Subject::Address(*address),
            Unit::Own | Unit::Server(_) => continue,
        });
    }
    let about: Vec<Known> = facts
        .all()
        .iter()
        .filter(|f| group.subjects.contains(&f.subject))
        .cloned()
        .collect();
    let candidate = Candidate {
        rule: static_rule,
        score: 0,
        group,
        zone: None,
        facts: about,
        explains: left.clone(),
    };
    let mut scope: Scope = crate::scope::of(picture, &candidate, Role::Root);
    scope.name_servers = left
        .iter()
        .filter_map(|u| match u {
            Unit::Server(label) => Some(label.clone()),
            Unit::Resolver(_) | Unit::Own | Unit::Address(_) => None,
        })
        .collect();
    let mut evidence: Vec<String> = candidate
        .facts
        .iter()
        .flat_map(|f| f.from.iter().cloned())
        .collect();
    evidence.extend(unexplained::evidence_of(picture, left));
    evidence.sort_by_key(|id| (id.len(), id.clone()));
    evidence.dedup();
    Finding {
        cause: Cause::Unknown,
        layer,
        role: Role::Root,
        severity: Severity::Critical,
        confidence: 0.5,
        summary: sentence::capitalised(unexplained::sentence(picture, left, layer)),
        remedy: remedy::unexplained(layer),
        see: see::unexplained(picture, left, layer),
        facts: candidate.facts.iter().map(Known::report).collect(),
        evidence,
        scope,
    }
}
