//! Sentences about registries, pools, roles and promises.

use bellwether_model::report::Scope;
use bellwether_model::{Cause, FactKind};

use super::dns::{of_servers, plural};
use super::naming::{hosts, owned, servers};
use super::read::{each, fact, facts_of, strings, value};
use super::{count, list};
use crate::candidates::Candidate;
use crate::facts::Known;
use crate::picture::Picture;

/// What a registry does wrong.
pub(super) fn registry(picture: &Picture<'_>, candidate: &Candidate) -> String {
    let zone = candidate.zone.as_ref();
    let zone = zone.map(ToString::to_string).unwrap_or_default();
    let labels = candidate.group.servers();
    let some = of_servers(picture, candidate, &labels);
    let s = plural(&some);
    if let Some(denied) = fact(candidate, FactKind::RegistryServerDenies) {
        let (denies, name) = (
            if s.is_empty() { "deny" } else { "denies" },
            value(denied, "name"),
        );
        return format!(
            "{some} of {zone} {denies} {name} with authority ({}), and the others delegate it: {}",
            value(denied, "answer"),
            servers(labels)
        );
    }
    let failing = facts_of(candidate, FactKind::RegistryServerFails);
    if !failing.is_empty() {
        return format!(
            "{some} of {zone} give{s} no usable answer ({}): {}",
            list(each(&failing, "answer")),
            servers(labels)
        );
    }
    let doubled = facts_of(candidate, FactKind::NsNameDoubled);
    let Some(first) = doubled.first() else {
        return format!("no server of {zone} answers; nothing below it can be found");
    };
    format!(
        "{} delegates {zone} to {}, which do not exist: `{}` was appended to {}",
        value(first, "parent"),
        hosts(candidate.group.servers()),
        value(first, "parent"),
        hosts(each(&doubled, "meant")),
    )
}

/// Whom users are led to.
pub(super) fn steering(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope) -> String {
    let name = picture.context.target.name();
    let name = name.map(ToString::to_string).unwrap_or_default();
    let who = owned(scope.addresses.clone(), |a| {
        picture.addresses.get(a)?.owner.as_ref()
    });
    let one = scope.addresses.len() == 1;
    if let Some(role) = fact(candidate, FactKind::RoleOfAnother) {
        let says = if one { "says" } else { "say" };
        return format!(
            "{name} leads to {who}, which {says} `{}`; declared is `{}`",
            value(role, "found"),
            value(role, "expected"),
        );
    }
    let known = fact(candidate, FactKind::OthersInRole);
    let of = known.and_then(|k| k.value.get("of")?.as_u64());
    let of = of.map_or_else(String::new, |of| format!("{of} "));
    let fails = if one { "fails" } else { "fail" };
    format!(
        "{} of {of}addresses in the answer, {who}, {fails} behind an open port; {} work{} as declared",
        scope.addresses.len(),
        list(strings(known, "/works")),
        if strings(known, "/works").len() == 1 {
            "s"
        } else {
            ""
        },
    )
}

/// What was promised, and is not kept.
pub(super) fn promise(candidate: &Candidate) -> String {
    if candidate.rule.cause == Cause::PromiseRedundancy {
        return redundancy(candidate);
    }
    let known: Vec<&Known> = facts_of(candidate, FactKind::AnswerTooLarge);
    let Some(first) = known.first() else {
        return unseen(candidate);
    };
    let number = |key: &str| first.value[key].to_string();
    format!(
        "{} has {} addresses in one answer of about {} bytes; the policy is at most {}",
        value(first, "name"),
        number("records"),
        number("bytes"),
        first.value["policy"]["warn_addresses"]
    )
}

fn unseen(candidate: &Candidate) -> String {
    let known = fact(candidate, FactKind::PoolMemberUnseen);
    let never = strings(known, "/never");
    let answers = known.and_then(|k| k.value.get("answers")?.as_u64());
    let stands = if never.len() == 1 { "stands" } else { "stand" };
    let name = known.map_or("", |k| value(k, "name"));
    format!(
        "{} of the declared pool {stands} in none of {} for {name}",
        list(never),
        count(usize::try_from(answers.unwrap_or(0)).unwrap_or(0), "answer")
    )
}

fn redundancy(candidate: &Candidate) -> String {
    let network = fact(candidate, FactKind::NsShareNetwork);
    let owner = fact(candidate, FactKind::NsShareOwner);
    let zone = candidate.zone.as_ref();
    let zone = zone.map(ToString::to_string).unwrap_or_default();
    let place = match (network, owner) {
        (Some(known), _) => format!("stand in {}", list(strings(Some(known), "/networks"))),
        (None, Some(known)) => format!("belong to {}", value(known, "owner")),
        (None, None) => "stand in one place".to_owned(),
    };
    format!("all name servers of {zone} {place}: they can fail together")
}
