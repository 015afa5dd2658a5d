//! Sentences about delegation, name servers, zones and resolvers.

use std::collections::BTreeSet;

use bellwether_model::report::Scope;
use bellwether_model::{Cause, FactKind};

use super::read::{each, fact, facts_of, strings, value};
use super::{count, list};
use crate::candidates::Candidate;
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
            let denied = fact(candidate, FactKind::ParentNxdomain);
            let (missing, parent, rcode) = denied.map_or(("", "", ""), |d| {
                (value(d, "zone"), value(d, "parent"), value(d, "rcode"))
            });
            let alive = strings(fact(candidate, FactKind::OldNsAnswer), "/name_servers");
            let alive = if alive.is_empty() {
                String::new()
            } else {
                format!("; {} still answer for it", list(alive))
            };
            format!(
                "{missing} is not delegated: the servers of {parent} answer {rcode}{alive}. A hold or an expired registration is not excluded"
            )
        }
        Cause::DnsDelegationLame => {
            let found = candidate.group.servers();
            let rcodes = each(&facts_of(candidate, FactKind::NsRcode), "rcode");
            let how = if rcodes.is_empty() {
                "without authority".to_owned()
            } else {
                list(rcodes)
            };
            let some = of_servers(picture, candidate, found.len());
            format!(
                "{some} of {zone} answer{} {how}: {}{}",
                plural(&some),
                list(found),
                other_servers(picture, candidate),
            )
        }
        Cause::DnsDelegationUnresolvable => unresolvable(candidate, &zone),
        Cause::DnsDelegationNsMismatch => {
            let known = fact(candidate, FactKind::ParentChildNsDiffer);
            let (parent, child) = (strings(known, "/parent"), strings(known, "/child"));
            format!(
                "the parent gives {} for {zone}, the zone itself {}; their data agree",
                list(parent),
                list(child)
            )
        }
        Cause::RegTldUnreachable => {
            format!("no server of {zone} answers; nothing below it can be found")
        }
        _ => format!("{} at {zone}", candidate.rule.cause.definition()),
    }
}

/// The verb's ending after `all 1 name server` and `1 of 4 name servers`.
fn plural(subject: &str) -> &'static str {
    if subject.starts_with("1 of") || subject.ends_with("name server") {
        "s"
    } else {
        ""
    }
}

fn wrong_ns(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope, zone: &str) -> String {
    let sides = hop(picture, candidate).and_then(|h| h.sides.as_ref());
    let added = sides.map(|s| list(s.added.clone())).unwrap_or_default();
    let foreign = fact(candidate, FactKind::OwnerChanged);
    let whose = if foreign.is_some() && !scope.owners.is_empty() {
        format!(" of {}", list(scope.owners.clone()))
    } else {
        String::new()
    };
    let answers = if scope.addresses.is_empty() {
        let unusable = strings(fact(candidate, FactKind::NewNsUnusable), "/answers");
        let words: BTreeSet<String> = unusable
            .iter()
            .filter_map(|a| a.rsplit(": ").next().map(str::to_owned))
            .collect();
        let denied = wrong_denials(picture, candidate);
        if words.is_empty() && !denied.is_empty() {
            format!("; they deny the name ({})", list(denied))
        } else if words.is_empty() {
            "; they give no usable answer".to_owned()
        } else if words.iter().all(|w| w == "silent") {
            "; they do not answer".to_owned()
        } else {
            format!("; they answer {}", list(words))
        }
    } else {
        format!("; they answer {}{whose}", list(scope.addresses.clone()))
    };
    let old = sides.map_or(0, |s| s.before.len());
    let still = if fact(candidate, FactKind::OldNsAnswer).is_some() {
        format!(
            ". The earlier {} still answer with the right data",
            count(old, "name server")
        )
    } else {
        String::new()
    };
    format!("{zone} is delegated to {added}{answers}{still}")
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

fn unresolvable(candidate: &Candidate, zone: &str) -> String {
    let hosts = list(candidate.group.servers());
    if let Some(alias) = fact(candidate, FactKind::NsIsCname) {
        return format!(
            "the name server {hosts} of {zone} is an alias (of {}): many resolvers refuse that",
            value(alias, "alias_of")
        );
    }
    if let Some(cycle) = fact(candidate, FactKind::NsCycle) {
        let names = strings(Some(cycle), "/cycle");
        return format!(
            "the name servers of {zone} can only be found by asking themselves: {}",
            names.join(" → ")
        );
    }
    let why = each(&facts_of(candidate, FactKind::NsAddressMissing), "because");
    format!(
        "{zone} is delegated to {hosts}, which ha{} no address ({})",
        if candidate.group.subjects.len() == 1 {
            "s"
        } else {
            "ve"
        },
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
        | Cause::DnsDnssecDenialBroken => super::dnssec::sentence(candidate, scope),
        Cause::DnsAuthStaleSecondary if fact(candidate, FactKind::NsRrsigEnded).is_some() => {
            super::dnssec::sentence(candidate, scope)
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
                "every name server of {zone} that answers says that {name} has no address ({})",
                list(kinds)
            )
        }
        _ => record_wrong(candidate, scope, &zone),
    }
}

fn unresponsive(picture: &Picture<'_>, candidate: &Candidate, zone: &str) -> String {
    let servers = candidate.group.servers();
    let some = of_servers(picture, candidate, servers.len());
    let s = plural(&some);
    if fact(candidate, FactKind::NsEdnsFails).is_some() {
        format!(
            "{some} of {zone} drop{s} queries with EDNS: {}",
            list(servers)
        )
    } else if fact(candidate, FactKind::NsTcpFails).is_some() {
        format!(
            "{some} of {zone} answer{s} over UDP and not over TCP: {}",
            list(servers)
        )
    } else if fact(candidate, FactKind::AllNsServfail).is_some() {
        format!("{some} of {zone} answer{s} SERVFAIL: they run, and have lost the zone")
    } else {
        let does = if s.is_empty() { "do" } else { "does" };
        let others = other_servers(picture, candidate);
        format!(
            "{some} of {zone} {does} not answer: {}{others}",
            list(servers)
        )
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
        .map(|s| format!("{} ({})", s.label, status_word(&s.status)))
        .collect();
    if others.is_empty() {
        return String::new();
    }
    format!("; nothing usable comes from the others: {}", list(others))
}

/// Servers that say something else than the others.
fn odd_servers(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope, zone: &str) -> String {
    let servers = candidate.group.servers();
    let some = of_servers(picture, candidate, servers.len());
    let s = plural(&some);
    if candidate.rule.cause == Cause::DnsAuthBlankZone {
        let known = fact(candidate, FactKind::NsDeniesExistingName);
        let (name, answer) = known.map_or(("", ""), |k| (value(k, "name"), value(k, "answer")));
        let denies = if s.is_empty() { "deny" } else { "denies" };
        return format!(
            "{some} of {zone} {denies} {name} with authority ({answer}), the others have it: {}",
            list(servers)
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
        list(servers)
    )
}

fn record_wrong(candidate: &Candidate, scope: &Scope, zone: &str) -> String {
    if let Some(known) = fact(candidate, FactKind::CnameLoop) {
        return format!(
            "the aliases in {zone} lead in a circle: {}",
            strings(Some(known), "/aliases").join(" → ")
        );
    }
    if let Some(known) = fact(candidate, FactKind::CnameTargetMissing) {
        return format!(
            "{} is an alias of {}, which does not exist or has no address",
            value(known, "alias"),
            value(known, "target")
        );
    }
    let private = facts_of(candidate, FactKind::PrivateAddress);
    if !private.is_empty() {
        let what = list(each(&private, "address"));
        let class = list(each(&private, "class"));
        return format!(
            "every name server of {zone} answers with {what}, which is {class}: nobody outside can reach it"
        );
    }
    if let Some(known) = fact(candidate, FactKind::ExpectationFailed) {
        return format!(
            "{zone} answers, and not as declared: `{}` should be {}, is {}",
            value(known, "what"),
            known.value["expected"],
            known.value["found"]
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
        format!(" of {}", list(scope.owners.clone()))
    };
    format!(
        "every name server of {zone} answers with {}{whose}{was}",
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
        list(sides.added.clone()),
        owners(&sides.wrong),
        list(sides.before.clone()),
        owners(&sides.right),
    )
}

pub(super) fn resolver(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope) -> String {
    let all = picture.resolvers.len();
    let who = format!(
        "{} of {}: {}",
        scope.resolvers.len(),
        count(all, "resolver"),
        list(scope.resolvers.clone())
    );
    let name = picture
        .context
        .target
        .name()
        .map(ToString::to_string)
        .unwrap_or_default();
    match candidate.rule.cause {
        Cause::DnsAnswerTooManyRecords => {
            let records = fact(candidate, FactKind::AnswerTooLarge)
                .map(|k| k.value["records"].to_string())
                .unwrap_or_default();
            format!(
                "{name} has {records} addresses in one answer, and some resolvers fail over it ({who})"
            )
        }
        Cause::DnsResolverDown => format!(
            "{} give{} no usable answer, not even for control names ({} of {})",
            list(scope.resolvers.clone()),
            if scope.resolvers.len() == 1 { "s" } else { "" },
            scope.resolvers.len(),
            count(all, "resolver"),
        ),
        Cause::DnsResolverBug if fact(candidate, FactKind::ResolverFailsSigned).is_some() => {
            format!(
                "the signatures on the way to {name} hold, and every signed name fails where it is checked, the root's own too ({who})"
            )
        }
        Cause::DnsResolverBug => format!(
            "the authority has {name}, and resolvers that answer other names rightly deny it ({who})"
        ),
        Cause::DnsResolverFiltered => {
            format!("resolvers rewrite the answer for {name} by policy ({who})")
        }
        Cause::DnsResolverStaleCache => {
            let left = candidate
                .facts
                .iter()
                .find_map(|f| f.value.get("seconds_left")?.as_u64());
            let left = left.map(|s| format!(", {s} s left")).unwrap_or_default();
            format!("caches still hold what the authority of {name} no longer says ({who}{left})")
        }
        cause => format!("{} ({who})", cause.definition()),
    }
}

/// `2 of 4 name servers`.
fn of_servers(picture: &Picture<'_>, candidate: &Candidate, found: usize) -> String {
    let all = hop(picture, candidate).map_or(found, |h| h.delegated().count());
    if all <= found {
        match found {
            1 => "the only name server".to_owned(),
            2 => "both name servers".to_owned(),
            many => format!("all {many} name servers"),
        }
    } else {
        format!("{found} of {all} name servers")
    }
}

fn hop<'p, 'a>(picture: &'p Picture<'a>, candidate: &Candidate) -> Option<&'p Hop<'a>> {
    picture
        .hops
        .iter()
        .find(|h| Some(&h.seen.zone) == candidate.zone.as_ref())
}
