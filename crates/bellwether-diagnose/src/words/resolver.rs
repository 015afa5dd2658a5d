//! Sentences about resolvers.

use std::collections::BTreeSet;

use bellwether_model::report::Scope;
use bellwether_model::{Cause, FactKind};

use super::read::{each, fact, facts_of, strings, value};
use super::unexplained::answer_of;
use super::{count, list, span};
use crate::candidates::Candidate;
use crate::picture::Picture;

/// Who it is told of, and of which name.
struct About<'c> {
    candidate: &'c Candidate,
    who: String,
    name: String,
    /// The verb's ending.
    s: &'static str,
}

pub(super) fn resolver(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope) -> String {
    let all = picture.resolvers.len();
    let one = scope.resolvers.len() == 1;
    let of = count(all, "resolver");
    let name = picture.context.target.name();
    let about = About {
        candidate,
        who: format!(
            "{} ({} of {of})",
            list(scope.resolvers.clone()),
            scope.resolvers.len()
        ),
        name: name.map(ToString::to_string).unwrap_or_default(),
        s: if one { "s" } else { "" },
    };
    let About { who, name, s, .. } = &about;
    let den = if one { "denies" } else { "deny" };
    match candidate.rule.cause {
        Cause::DnsAnswerTooManyRecords => {
            let records = fact(candidate, FactKind::AnswerTooLarge)
                .map(|k| k.value["records"].to_string())
                .unwrap_or_default();
            format!("{name} has {records} addresses in one answer, and {who} {den} it")
        }
        Cause::DnsResolverDown if fact(candidate, FactKind::ResolverChannelFails).is_some() => {
            super::transport::encrypted(candidate, who)
        }
        Cause::DnsResolverDown => {
            let mine = picture
                .resolvers
                .iter()
                .filter(|r| scope.resolvers.contains(&r.label));
            let how: BTreeSet<String> = mine.map(|r| answer_of(&r.status)).collect();
            format!(
                "{who} give{s} no usable answer ({}), not even for control names",
                list(how)
            )
        }
        Cause::DnsResolverBug if fact(candidate, FactKind::ResolverFailsSigned).is_some() => {
            format!(
                "{who} refuse{s} every signed name, the root's own too; the signatures on the way to {name} hold"
            )
        }
        Cause::DnsResolverBug
            if candidate
                .rule
                .requires
                .contains(&FactKind::ResolverLosesLarge) =>
        {
            large(&about)
        }
        Cause::DnsResolverBug if fact(candidate, FactKind::ResolverTruncated).is_some() => {
            super::transport::without_tcp(who, name, scope)
        }
        Cause::DnsResolverBug => {
            format!("{who} {den} {name}, which its name servers have; other names come right")
        }
        Cause::DnsResolverFiltered => filtered(&about),
        Cause::DnsResolverStaleCache => stale(&about),
        Cause::DnsResolverSlow => {
            let known = fact(candidate, FactKind::ResolverSlow);
            let text = |key: &str| known.map_or("", |k| value(k, key));
            format!(
                "{who} take{s} {} ms or more for each answer, a right one; the name servers take {} ms",
                text("least_ms"),
                text("name_servers_ms")
            )
        }
        cause => format!("{who}: {}", cause.definition()),
    }
}

fn large(about: &About<'_>) -> String {
    let About {
        candidate, who, s, ..
    } = about;
    let known = facts_of(candidate, FactKind::ResolverLosesLarge);
    let first = known.first().copied();
    let text = |key: &str| first.map_or("", |k| value(k, key));
    let octets = first.map_or(0, |k| k.value["octets"].as_u64().unwrap_or(0));
    let not = if s.is_empty() { "do not" } else { "does not" };
    format!(
        "{who} {not} bring large answers: {} {} has {octets} octets at its name servers, and comes as {}; other names come right",
        text("name"),
        text("type"),
        list(each(&known, "answer"))
    )
}

fn filtered(about: &About<'_>) -> String {
    let About {
        candidate,
        who,
        name,
        s,
    } = about;
    let known = |kind| fact(candidate, kind);
    if let Some(two) = known(FactKind::ResolverTwoAnswers) {
        return format!(
            "somebody on the way to {who} answers before it: two answers come for {name}, {} first, then {}",
            list(strings(Some(two), "/first")),
            list(strings(Some(two), "/second"))
        );
    }
    if let Some(canary) = known(FactKind::ResolverAnswersCanary)
        && candidate.explains.is_empty()
    {
        let given = list(strings(Some(canary), "/addresses"));
        return format!("{who} give{s} {given} for names that do not exist");
    }
    match (
        known(FactKind::ResolverSinkhole),
        known(FactKind::ResolverAnswerForeign),
    ) {
        (None, Some(foreign)) => format!(
            "{who} lead{s} {name} to {} ({}), which no name server gives",
            list(strings(Some(foreign), "/addresses")),
            list(strings(Some(foreign), "/owners"))
        ),
        (Some(_), _) | (None, None) => {
            format!("{who} rewrite{s} the answer for {name} by policy")
        }
    }
}

fn stale(about: &About<'_>) -> String {
    let About {
        candidate,
        who,
        name,
        s,
    } = about;
    let one = !s.is_empty();
    if fact(candidate, FactKind::ResolverServesStale).is_some() {
        let goes = if one {
            "goes on with what it kept"
        } else {
            "go on with what they kept"
        };
        return format!("{who} {goes} of {name}, since no name server answers");
    }
    let left = candidate
        .facts
        .iter()
        .find_map(|f| f.value.get("seconds_left")?.as_u64());
    let left = left
        .map(|left| format!(", for {} more", span(left)))
        .unwrap_or_default();
    if let Some(ds) = fact(candidate, FactKind::ResolverHoldsOldDs) {
        return format!(
            "{who} still hold{s} a DS set of {} that the parent no longer gives{left}",
            value(ds, "zone")
        );
    }
    format!("{who} still hold{s} what the name servers of {name} no longer say{left}")
}
