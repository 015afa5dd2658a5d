//! Sentences about delegation, name servers, zones and resolvers.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_model::report::Scope;
use bellwether_model::{Cause, FactKind};

use super::naming::{hosts, number_of_hosts, owned, servers};
use super::read::{each, fact, facts_of, strings, value};
use super::{count, list};
use crate::candidates::Candidate;
use crate::facts::Known;
use crate::facts::delegation::status_word;
use crate::picture::{Hop, Picture, ServerStatus};

pub(super) fn delegation(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope) -> String {
    let zone = candidate
        .zone
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    match candidate.rule.cause {
        Cause::DnsDelegationWrongNs => wrong_ns(picture, candidate, scope, &zone),
        Cause::DnsDelegationMissing => {
            if let Some(gone) = fact(candidate, FactKind::DelegationGone) {
                return format!(
                    "{} is no longer delegated: the servers of {} answer for it, by a wildcard",
                    value(gone, "zone"),
                    value(gone, "parent")
                );
            }
            let denied = fact(candidate, FactKind::ParentNxdomain);
            let (missing, parent, rcode) = denied.map_or(("", "", ""), |d| {
                (value(d, "zone"), value(d, "parent"), value(d, "rcode"))
            });
            let alive = strings(fact(candidate, FactKind::OldNsAnswer), "/name_servers");
            let alive = if alive.is_empty() {
                String::new()
            } else {
                let one = number_of_hosts(&alive) == 1;
                let answer = if one { "answers" } else { "answer" };
                format!("; {} still {answer} for it", servers(alive))
            };
            format!(
                "{missing} is not delegated: the servers of {parent} answer {rcode}{alive}. A hold or an expired registration is not excluded"
            )
        }
        Cause::DnsDelegationLame => {
            let found = candidate.group.servers();
            let how = lame_how(candidate);
            let some = of_servers(picture, candidate, &found);
            format!(
                "{some} of {zone} answer{} {how}: {}{}",
                plural(&some),
                servers(found),
                other_servers(picture, candidate),
            )
        }
        Cause::DnsDelegationUnresolvable => unresolvable(candidate, &zone),
        Cause::DnsDelegationNsMismatch => {
            let known = fact(candidate, FactKind::ParentChildNsDiffer);
            let (parent, child) = (strings(known, "/parent"), strings(known, "/child"));
            format!(
                "the NS set of {zone} is {} at the parent and {} in the zone itself; their answers agree",
                hosts(parent),
                hosts(child)
            )
        }
        _ => format!("{} at {zone}", candidate.rule.cause.definition()),
    }
}

/// `REFUSED`, or where they differ `REFUSED (2) and an upward referral (1)`.
fn lame_how(candidate: &Candidate) -> String {
    let mut kinds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for known in &candidate.facts {
        let is_upward = known.value["upward_referral"].as_bool() == Some(true);
        let how = if known.kind == FactKind::NsRcode {
            value(known, "rcode")
        } else if known.kind != FactKind::NsNotAuthoritative {
            continue;
        } else if is_upward {
            "with an upward referral"
        } else {
            "without authority"
        };
        let how = how.to_owned();
        let label = value(known, "name_server").to_owned();
        kinds.entry(how).or_default().insert(label);
    }
    if kinds.len() == 1 {
        return list(kinds.into_keys());
    }
    let counted = kinds
        .into_iter()
        .map(|(how, labels)| format!("{how} ({})", labels.len()));
    list(counted)
}

/// The verb's ending after `all 1 name server` and `1 of 4 name servers`.
pub(super) fn plural(subject: &str) -> &'static str {
    if subject.starts_with("1 of") || subject.ends_with("name server") {
        "s"
    } else {
        ""
    }
}

fn wrong_ns(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope, zone: &str) -> String {
    let hop = hop(picture, candidate);
    let sides = hop.and_then(|h| h.sides.as_ref());
    let added = sides.map(|s| s.added.clone()).unwrap_or_default();
    let they = if added.len() == 1 { "it" } else { "they" };
    let s = if added.len() == 1 { "s" } else { "" };
    let answers = if scope.addresses.is_empty() {
        let unusable = strings(fact(candidate, FactKind::NewNsUnusable), "/answers");
        let words: BTreeSet<String> = unusable
            .iter()
            .filter_map(|a| a.rsplit(": ").next().map(str::to_owned))
            .collect();
        let denied = wrong_denials(picture, candidate);
        if words.is_empty() && !denied.is_empty() {
            let den = if s.is_empty() { "deny" } else { "denies" };
            format!("{they} {den} the name ({})", list(denied))
        } else if words.is_empty() {
            format!("{they} give{s} no usable answer")
        } else if words.iter().all(|w| w == "silent") {
            format!(
                "{they} do{} not answer",
                if s.is_empty() { "" } else { "es" }
            )
        } else {
            format!("{they} answer{s} {}", list(words))
        }
    } else {
        let foreign = fact(candidate, FactKind::OwnerChanged).is_some();
        let not_yours = if foreign { ", which is not yours" } else { "" };
        let given = owned(scope.addresses.clone(), |a| {
            picture.addresses.get(a)?.owner.as_ref()
        });
        format!("{they} answer{s} {given}{not_yours}")
    };
    let operators = hop.map(|h| operators(h, &sides.map(|s| s.wrong.clone()).unwrap_or_default()));
    let beside = hop.is_some_and(|h| h.seen.parent_names().len() > added.len());
    let also = if beside { "also " } else { "" };
    format!(
        "{zone} is {also}delegated to {}{}; {answers}",
        hosts(&added),
        operators.unwrap_or_default(),
    )
}

/// Whose these name servers are, where that is known: ` (AS13335 B)`.
fn operators(hop: &Hop<'_>, labels: &[String]) -> String {
    let owners: BTreeSet<String> = hop
        .servers
        .iter()
        .filter(|s| labels.contains(&s.label))
        .filter_map(|s| s.seen.owner.as_ref().map(ToString::to_string))
        .collect();
    if owners.is_empty() {
        return String::new();
    }
    format!(" ({})", list(owners))
}

/// How the servers of a wrong delegation deny the name.
fn wrong_denials(picture: &Picture<'_>, candidate: &Candidate) -> BTreeSet<String> {
    crate::blame::wrong_servers(picture, &candidate.group)
        .into_iter()
        .flat_map(|(hop, wrong)| {
            let theirs = hop.servers.iter().filter(move |s| wrong.contains(&s.label));
            theirs
                .filter(|s| matches!(s.status, ServerStatus::Denies(_)))
                .map(|s| status_word(&s.status))
        })
        .collect()
}

/// Glue that leads elsewhere than to the name server.
fn astray(candidate: &Candidate, zone: &str) -> Option<String> {
    let known = facts_of(candidate, FactKind::GlueAstray);
    let each: Vec<String> = known
        .iter()
        .map(|k| {
            let own = list(strings(Some(k), "/own"));
            let (name, at) = (value(k, "name_server"), value(k, "address"));
            format!(
                "{name} at {at} ({}), and it is at {own}",
                value(k, "answer")
            )
        })
        .collect();
    let leads = "the parent's glue for";
    (!each.is_empty()).then(|| format!("{leads} {zone} leads to {}", each.join("; to ")))
}

fn unresolvable(candidate: &Candidate, zone: &str) -> String {
    if let Some(told) = astray(candidate, zone) {
        return told;
    }
    let named = hosts(candidate.group.servers());
    let one = candidate.group.subjects.len() == 1;
    if let Some(alias) = fact(candidate, FactKind::NsIsCname) {
        let what = if one {
            format!("which is an alias of {}", value(alias, "alias_of"))
        } else {
            "which are aliases".to_owned()
        };
        return format!("{zone} is delegated to {named}, {what}: many resolvers refuse that");
    }
    let forbidden = facts_of(candidate, FactKind::NsAddressForbidden);
    if let Some(first) = forbidden.first()
        && fact(candidate, FactKind::NsAddressMissing).is_none()
    {
        let given: BTreeSet<String> = forbidden
            .iter()
            .flat_map(|k| strings(Some(k), "/addresses"))
            .collect();
        let class = strings(Some(first), "/class");
        let at = if one { "at" } else { "among others at" };
        return format!(
            "{zone} is delegated to {named}, {at} {} ({}), where nobody outside can reach it",
            list(given),
            list(class),
        );
    }
    let circle = facts_of(candidate, FactKind::NsCycle);
    if !circle.is_empty() {
        let names = strings(circle.first().copied(), "/cycle");
        if names.len() > 1 {
            let round = names.iter().chain(names.first());
            let round: Vec<&str> = round.map(String::as_str).collect();
            return format!(
                "{zone} is delegated to {named}, whose address can be found only in a circle: {}",
                round.join(" → ")
            );
        }
        let they = if one { "it" } else { "they" };
        return format!(
            "{zone} is delegated to {named}, whose address nobody but {they} can tell: no glue at the parent leads there"
        );
    }
    let missing = facts_of(candidate, FactKind::NsAddressMissing);
    let why = each(&missing, "because");
    let all = missing.iter().find_map(|k| k.value["of"].as_u64());
    if let Some(all) = all {
        let asked = candidate.group.subjects.len();
        return format!(
            "{zone} is delegated to {all} name servers; of the {asked} that were looked up none has an address ({})",
            list(why)
        );
    }
    let has = if one { "has" } else { "have" };
    format!(
        "{zone} is delegated to {named}, which {has} no address ({})",
        list(why)
    )
}

pub(super) fn zone(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope) -> String {
    let zone = candidate
        .zone
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    match candidate.rule.cause {
        Cause::DnsDnssecDsMismatch
        | Cause::DnsDnssecSigExpired
        | Cause::DnsDnssecSigNotYetValid
        | Cause::DnsDnssecSigBad
        | Cause::DnsDnssecDenialBroken => {
            super::dnssec::sentence(picture.context.now, candidate, scope)
        }
        Cause::DnsAuthStaleSecondary if fact(candidate, FactKind::NsRrsigEnded).is_some() => {
            super::dnssec::sentence(picture.context.now, candidate, scope)
        }
        Cause::DnsAuthUnresponsive | Cause::DnsAuthProtocolBug => {
            unresponsive(picture, candidate, &zone)
        }
        Cause::DnsAuthBlankZone | Cause::DnsAuthStaleSecondary => {
            odd_servers(picture, candidate, scope, &zone)
        }
        Cause::DnsZoneRecordMissing => {
            let answers = strings(
                fact(candidate, FactKind::RrsetEmptyEverywhere),
                "/name_servers",
            );
            let kinds: BTreeSet<&str> = answers
                .iter()
                .filter_map(|a| a.rsplit(": ").next())
                .collect();
            let name =
                fact(candidate, FactKind::RrsetEmptyEverywhere).map_or("", |k| value(k, "name"));
            format!(
                "every name server of {zone} that answers says that {name} {}",
                match (kinds.contains("NXDOMAIN"), kinds.len()) {
                    (true, 1) => "does not exist (NXDOMAIN)".to_owned(),
                    (false, 1) => {
                        let what = picture.context.target.rtype.as_ref();
                        let what = what.map_or("address".to_owned(), |t| format!("{t} record"));
                        format!("exists and has no {what} (NODATA)")
                    }
                    _ => format!("has no address ({})", list(kinds)),
                }
            )
        }
        _ => record_wrong(candidate, scope, &zone),
    }
}

fn unresponsive(picture: &Picture<'_>, candidate: &Candidate, zone: &str) -> String {
    let labels = candidate.group.servers();
    let some = of_servers(picture, candidate, &labels);
    let s = plural(&some);
    let does = if number_of_hosts(&labels) == 1 {
        "does"
    } else {
        "do"
    };
    let whose = format!("{some} of {zone}");
    let is_silent = fact(candidate, FactKind::NsSilent).is_some();
    if let Some(known) = fact(candidate, FactKind::NsEdnsFails) {
        let how = match known.value["answer"].as_str() {
            None | Some("no answer") => format!("drop{s} queries with EDNS"),
            Some(rcode) => {
                format!("answer{s} {rcode} to queries with EDNS, and plain ones rightly")
            }
        };
        format!("{some} of {zone} {how}: {}", servers(labels))
    } else if fact(candidate, FactKind::NsTcpFails).is_some() {
        format!(
            "{some} of {zone} answer{s} over UDP and not over TCP: {}",
            servers(labels)
        )
    } else if let Some(sentence) =
        super::transport::bug(candidate, &whose, s).filter(|_| !is_silent)
    {
        sentence
    } else if fact(candidate, FactKind::AllNsServfail).is_some() {
        format!("{some} of {zone} answer{s} SERVFAIL: they run, and have lost the zone")
    } else {
        let others = other_servers(picture, candidate);
        let all = are_all(picture, candidate, &labels);
        let who = servers(labels);
        if all {
            return format!("no name server of {zone} answers ({who}){others}");
        }
        format!("{some} of {zone} {does} not answer: {who}{others}")
    }
}

/// Servers beside those of a cause, where they give nothing usable either.
fn other_servers(picture: &Picture<'_>, candidate: &Candidate) -> String {
    let mine = candidate.group.servers();
    let Some(hop) = hop(picture, candidate).filter(|h| h.all_unusable()) else {
        return String::new();
    };
    let others: Vec<String> = hop
        .delegated()
        .filter(|s| !mine.contains(&s.label))
        .map(|s| format!("{} ({})", s.seen.name, status_word(&s.status)))
        .collect();
    if others.is_empty() {
        return String::new();
    }
    format!("; nothing usable comes from the others: {}", list(others))
}

/// Servers that say something else than the others.
fn odd_servers(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope, zone: &str) -> String {
    let labels = candidate.group.servers();
    let some = of_servers(picture, candidate, &labels);
    let s = plural(&some);
    if candidate.rule.cause == Cause::DnsAuthBlankZone {
        let known = fact(candidate, FactKind::NsDeniesExistingName);
        let (name, answer) = known.map_or(("", ""), |k| (value(k, "name"), value(k, "answer")));
        let denies = if s.is_empty() { "deny" } else { "denies" };
        let have = match picture.above.iter().any(|h| h.seen.zone.as_str() == zone) {
            true => "delegate it",
            false => "have it",
        };
        return format!(
            "{some} of {zone} {denies} {name} with authority ({answer}), and the others {have}: {}",
            servers(labels)
        );
    }
    if let Some(known) = fact(candidate, FactKind::NsAnswersAlone) {
        return format!(
            "{some} of {zone} give{s} {} for {}, all others {}, and the serials are the same: {}",
            list(strings(Some(known), "/addresses")),
            value(known, "name"),
            list(strings(Some(known), "/others")),
            servers(labels)
        );
    }
    let known = fact(candidate, FactKind::SerialBehind);
    let number = |key: &str| {
        known
            .and_then(|k| k.value.get(key))
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    let gives = if scope.addresses.is_empty() {
        String::new()
    } else {
        format!(", and still give{s} {}", list(scope.addresses.clone()))
    };
    format!(
        "{some} of {zone} serve{s} an old copy of the zone (serial {}, newest {}){gives}: {}",
        number("serial"),
        number("newest"),
        servers(labels)
    )
}

/// Aliases that lead to no end.
fn endless(known: &Known, zone: &str) -> String {
    let names = strings(Some(known), "/aliases");
    if known.value["endless"] == true
        && let [first, .., last] = names.as_slice()
    {
        return format!(
            "{first} is an alias of an alias, and so on: after {} of them the chain still leads on, to {last}, and no resolver follows it to an end",
            names.len() - 1
        );
    }
    format!(
        "the aliases in {zone} lead in a circle: {}",
        names.join(" → ")
    )
}

fn record_wrong(candidate: &Candidate, scope: &Scope, zone: &str) -> String {
    if let Some(known) = fact(candidate, FactKind::CnameLoop) {
        return endless(known, zone);
    }
    if let Some(known) = fact(candidate, FactKind::CnameTargetMissing) {
        return format!(
            "{} is an alias of {}, which does not exist or has no address",
            value(known, "alias"),
            value(known, "target")
        );
    }
    if let Some(known) = fact(candidate, FactKind::WildcardStranger) {
        let name = fact(candidate, FactKind::WildcardAnswers).map_or("", |k| value(k, "name"));
        return format!(
            "{name} is not in {zone}: a wildcard answers for it, and leads to {}, which shows a certificate for {}",
            list(strings(Some(known), "/addresses")),
            list(strings(Some(known), "/presented"))
        );
    }
    let private = facts_of(candidate, FactKind::PrivateAddress);
    if !private.is_empty() {
        let what = list(each(&private, "address"));
        let class = list(each(&private, "class"));
        if zone.is_empty() {
            return format!(
                "some of the answers lead to {what}, which is {class}: not dialled, and nobody outside can reach it"
            );
        }
        return format!(
            "every name server of {zone} answers {what}, which is {class}: nobody outside can reach it"
        );
    }
    if let Some(known) = fact(candidate, FactKind::ExpectationFailed) {
        if value(known, "what") == "exists" {
            return format!("{zone} has the name, which is declared not to exist");
        }
        return format!(
            "{zone} answers, and not as declared: `{}` should be {}, is {}",
            value(known, "what"),
            plain(&known.value["expected"]),
            plain(&known.value["found"])
        );
    }
    if zone.is_empty() {
        return format!(
            "every name server also answers {} ({}), which is not yours",
            list(scope.addresses.clone()),
            list(scope.owners.clone())
        );
    }
    let before = strings(fact(candidate, FactKind::RecordsChanged), "/before");
    let was = if before.is_empty() {
        String::new()
    } else {
        format!(" instead of {}", list(before))
    };
    let whose = if scope.owners.is_empty() {
        String::new()
    } else {
        format!(" ({})", list(scope.owners.clone()))
    };
    format!(
        "every name server of {zone} answers {}{whose}{was}",
        list(scope.addresses.clone())
    )
}

pub(super) fn undecided(picture: &Picture<'_>, candidate: &Candidate) -> String {
    let Some(hop) = hop(picture, candidate) else {
        return "two groups of name servers disagree".to_owned();
    };
    let Some(sides) = hop.undecided.as_ref() else {
        return "two groups of name servers disagree".to_owned();
    };
    let owners = |labels: &[String]| -> String {
        let of: BTreeSet<String> = hop
            .servers
            .iter()
            .filter(|s| labels.contains(&s.label))
            .flat_map(|s| s.addresses.iter())
            .filter_map(|a| {
                picture
                    .addresses
                    .get(a)?
                    .owner
                    .as_ref()
                    .map(ToString::to_string)
            })
            .collect();
        if of.is_empty() {
            String::new()
        } else {
            format!(" ({})", list(of))
        }
    };
    format!(
        "the parent delegates {} to {}{}, caches or the zone itself name {}{}; their answers have nothing in common, and nothing tells which side is right",
        hop.seen.zone,
        hosts(&sides.added),
        owners(&sides.wrong),
        hosts(&sides.before),
        owners(&sides.right),
    )
}

/// Are these all name servers that resolvers come to?
fn are_all(picture: &Picture<'_>, candidate: &Candidate, labels: &BTreeSet<String>) -> bool {
    hop(picture, candidate).is_none_or(|h| h.delegated().count() <= labels.len())
}

/// `2 of 4 name servers`; where a name has several addresses and not all of them are meant,
/// `1 of 8 addresses of name servers`.
pub(super) fn of_servers(
    picture: &Picture<'_>,
    candidate: &Candidate,
    labels: &BTreeSet<String>,
) -> String {
    let hop = hop(picture, candidate);
    let all: Vec<&str> = hop.map_or_else(Vec::new, |h| {
        h.delegated().map(|s| s.label.as_str()).collect()
    });
    if all.len() <= labels.len() {
        return match number_of_hosts(labels) {
            1 => "the only name server".to_owned(),
            2 => "both name servers".to_owned(),
            many => format!("all {many} name servers"),
        };
    }
    let found = number_of_hosts(labels);
    let rest = all.iter().filter(|l| !labels.contains(**l));
    if found + number_of_hosts(rest) > number_of_hosts(&all) {
        return format!(
            "{} of {} addresses of name servers",
            labels.len(),
            all.len()
        );
    }
    format!("{found} of {}", count(number_of_hosts(&all), "name server"))
}

fn hop<'p, 'a>(picture: &'p Picture<'a>, candidate: &Candidate) -> Option<&'p Hop<'a>> {
    picture.zone(candidate.zone.as_ref()?)
}

/// A value without quotes.
fn plain(value: &serde_json::Value) -> String {
    match (value.as_str(), value.as_array()) {
        (Some(text), _) => text.to_owned(),
        (None, Some(items)) => list(items.iter().map(plain)),
        (None, None) => value.to_string(),
    }
}
