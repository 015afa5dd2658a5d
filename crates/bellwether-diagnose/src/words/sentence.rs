//! One sentence for each cause.

use std::collections::BTreeSet;

use bellwether_model::report::Scope;
use bellwether_model::{Cause, FactKind, Layer};
use serde_json::Value;

use super::{count, list};
use crate::candidates::Candidate;
use crate::facts::{Facts, Known};
use crate::picture::{Hop, Picture, ResolverStatus};
use crate::units::Unit;

/// What happened, in one sentence.
#[must_use]
pub fn summary(
    picture: &Picture<'_>,
    facts: &Facts,
    candidate: &Candidate,
    scope: &Scope,
) -> String {
    let cause = candidate.rule.cause;
    let text = match cause.layer() {
        Some(Layer::Monitor) => monitor(candidate),
        Some(Layer::Reg | Layer::Dns) => match cause.rank() {
            0 => delegation(picture, candidate, scope),
            1 => zone(picture, candidate, scope),
            _ => resolver(picture, candidate, scope),
        },
        Some(Layer::Tls) => tls(picture, candidate, scope),
        Some(Layer::Route | Layer::Net) => net(picture, candidate, scope),
        Some(Layer::Http | Layer::App) => http(candidate, scope),
        Some(Layer::Promise) => promise(facts),
        None => undecided(picture, candidate),
    };
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if !candidate_starts_with_name(&text) => {
            first.to_uppercase().chain(letters).collect()
        }
        _ => text,
    }
}

/// Names keep their case.
fn candidate_starts_with_name(text: &str) -> bool {
    text.split_ascii_whitespace()
        .next()
        .is_some_and(|w| w.contains('.') || w.contains(':'))
}

fn value<'k>(known: &'k Known, key: &str) -> &'k str {
    known.value.get(key).and_then(Value::as_str).unwrap_or("")
}

fn strings(known: Option<&Known>, pointer: &str) -> Vec<String> {
    let found = known
        .and_then(|k| k.value.pointer(pointer))
        .and_then(Value::as_array);
    found
        .map(|a| {
            a.iter()
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect()
        })
        .unwrap_or_default()
}

fn fact(candidate: &Candidate, kind: FactKind) -> Option<&Known> {
    candidate.facts.iter().find(|f| f.kind == kind)
}

fn facts_of(candidate: &Candidate, kind: FactKind) -> Vec<&Known> {
    candidate.facts.iter().filter(|f| f.kind == kind).collect()
}

/// `REFUSED`, `SERVFAIL`: each different value once.
fn each(known: &[&Known], key: &str) -> Vec<String> {
    let all: BTreeSet<String> = known.iter().map(|k| value(k, key).to_owned()).collect();
    all.into_iter().collect()
}

fn hop<'p, 'a>(picture: &'p Picture<'a>, candidate: &Candidate) -> Option<&'p Hop<'a>> {
    picture
        .hops
        .iter()
        .find(|h| Some(&h.seen.zone) == candidate.zone.as_ref())
}

/// `2 of 4 name servers`.
fn of_servers(picture: &Picture<'_>, candidate: &Candidate, found: usize) -> String {
    let all = hop(picture, candidate).map_or(found, |h| h.delegated().count());
    if all <= found {
        format!("all {}", count(found, "name server"))
    } else {
        format!("{found} of {all} name servers")
    }
}

fn monitor(candidate: &Candidate) -> String {
    let first = candidate.facts.first();
    match candidate.rule.cause {
        Cause::MonitorVantageUplink => {
            let failed = first
                .and_then(|f| f.value.get("failed"))
                .and_then(Value::as_u64)
                .unwrap_or(0);
            let route = if fact(candidate, FactKind::NoRoute).is_some() {
                "; this machine has no route to them"
            } else {
                ""
            };
            format!(
                "it is us: none of {failed} controls answers, nor does any address of the target{route}. Nothing is known of the service"
            )
        }
        Cause::MonitorVantageResolver => format!(
            "it is us: this machine's own resolver {} fails for control names too, while our own iteration resolves them",
            first.map_or("", |f| value(f, "resolver"))
        ),
        _ => {
            let probes = strings(first, "/probes");
            let why = first.map_or("", |f| value(f, "reason"));
            if probes.is_empty() {
                "nothing could be judged: no probe brought a result".to_owned()
            } else {
                format!(
                    "{} brought no result ({why}): {}",
                    count(probes.len(), "probe"),
                    list(probes)
                )
            }
        }
    }
}

fn delegation(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope) -> String {
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
                "{some} of {zone} answer{} {how}: {}",
                plural(&some),
                list(found)
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
    if subject.starts_with("1 of") || subject.ends_with("1 name server") {
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
        if words.is_empty() {
            "; they give no usable answer".to_owned()
        } else {
            format!("; they answer {}", list(words))
        }
    } else {
        format!("; they answer {}{whose}", list(scope.addresses.clone()))
    };
    let old = sides.map(|s| s.before.clone()).unwrap_or_default();
    let still = if fact(candidate, FactKind::OldNsAnswer).is_some() {
        format!(". {} still answer with the right data", list(old))
    } else {
        String::new()
    };
    format!("{zone} is delegated to {added}{answers}{still}")
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

fn zone(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope) -> String {
    let zone = candidate
        .zone
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    match candidate.rule.cause {
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
        format!("{some} of {zone} {does} not answer: {}", list(servers))
    }
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

fn resolver(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope) -> String {
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
        Cause::DnsResolverDown => {
            format!("gives no usable answer, not for control names either ({who})")
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

/// `203.0.113.9 (AS64511 Foreign)`, `2 of 3 addresses`.
fn of_addresses(picture: &Picture<'_>, scope: &Scope) -> String {
    let shown: Vec<String> = scope
        .addresses
        .iter()
        .map(
            |a| match picture.addresses.get(a).and_then(|v| v.owner.as_ref()) {
                Some(owner) => format!("{a} ({owner})"),
                None => a.to_string(),
            },
        )
        .collect();
    let all = picture
        .addresses
        .values()
        .filter(|v| v.tcp.is_some())
        .count();
    if scope.addresses.len() < all {
        format!(
            "{} of {all} addresses, {},",
            scope.addresses.len(),
            list(shown)
        )
    } else {
        list(shown)
    }
}

fn net(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope) -> String {
    let port = picture.context.target.port;
    let what = of_addresses(picture, scope);
    match candidate.rule.cause {
        Cause::NetTcpRefused => format!(
            "{what} refuse{} connections on port {port}: nothing listens there",
            s(scope)
        ),
        Cause::NetTcpFiltered => format!(
            "{what} do{} not answer on port {port}",
            if scope.addresses.len() == 1 { "es" } else { "" }
        ),
        Cause::NetPathV6Broken => format!("IPv6 fails ({what} does not answer) while IPv4 works"),
        Cause::IpOwnerUnexpected => format!(
            "{what} lie{} outside the declared networks, and fail{}",
            s(scope),
            s(scope)
        ),
        cause => format!("{what}: {}", cause.definition()),
    }
}

fn s(scope: &Scope) -> &'static str {
    if scope.addresses.len() == 1 { "s" } else { "" }
}

fn tls(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope) -> String {
    let what = of_addresses(picture, scope);
    let first = candidate.facts.first();
    let text = |key: &str| first.map_or("", |k| value(k, key)).to_owned();
    match candidate.rule.cause {
        Cause::TlsNameMismatch => {
            let known = fact(candidate, FactKind::CertNamesDiffer);
            let shown = list(strings(known, "/presented"));
            let host = known.map_or("", |k| value(k, "expected"));
            format!(
                "{what} show{} a certificate for {shown}, not for {host}",
                s(scope)
            )
        }
        Cause::CertExpired => format!("the certificate at {what} ended at {}", text("not_after")),
        Cause::CertNotYetValid => format!(
            "the certificate at {what} begins only at {}",
            text("not_before")
        ),
        Cause::CertChainExpiredLink => {
            format!(
                "an intermediate certificate at {what} ended at {}: {}",
                text("not_after"),
                text("subject")
            )
        }
        Cause::CertUntrustedRoot if fact(candidate, FactKind::CertSelfSigned).is_some() => {
            format!("the certificate at {what} is signed by its own key; no client trusts it")
        }
        Cause::CertUntrustedRoot => format!(
            "no trust anchor is behind the certificate at {what}: its chain ends at {}",
            text("issuer")
        ),
        Cause::CertChainIncomplete => format!(
            "{what} send{} no certificate of {}",
            s(scope),
            text("missing")
        ),
        Cause::CertMalformed => format!(
            "{what} show{} a certificate that cannot be parsed: {}",
            s(scope),
            text("error")
        ),
        Cause::CertPolicyRejected => format!(
            "clients refuse the certificate at {what}: {}",
            text("reason")
        ),
        Cause::TlsHandshakeStall => format!(
            "{what} take{} connections and do{} not go on with the handshake",
            s(scope),
            if scope.addresses.len() == 1 { "es" } else { "" }
        ),
        Cause::TlsNegotiationFailed => format!(
            "{what} end{} the handshake with the alert {}",
            s(scope),
            text("name")
        ),
        Cause::TlsClientCertRejected => format!(
            "{what} ask{} for a client certificate and end{} the handshake without one",
            s(scope),
            s(scope)
        ),
        cause => format!("{what}: {}", cause.definition()),
    }
}

fn http(candidate: &Candidate, scope: &Scope) -> String {
    let who = list(scope.addresses.clone());
    let status = candidate
        .facts
        .iter()
        .find_map(|f| f.value.get("status")?.as_u64());
    let url = candidate
        .facts
        .iter()
        .map(|f| value(f, "url"))
        .find(|u| !u.is_empty())
        .unwrap_or("");
    match candidate.rule.cause {
        Cause::HttpStatus5xx | Cause::HttpOriginUnreachable | Cause::HttpBlockedByPolicy => {
            let status = status.map(|s| s.to_string()).unwrap_or_default();
            let made = if candidate.rule.cause == Cause::HttpOriginUnreachable {
                ", made by the edge"
            } else {
                ""
            };
            format!("{url} answers {status} at {who}{made}")
        }
        Cause::HttpSlowFirstByte => {
            let known = fact(candidate, FactKind::SlowerThanDeclared);
            let (want, got) = known.map_or(("", ""), |k| (value(k, "expected"), value(k, "found")));
            format!("the answer took {got} at {who}, declared is {want}")
        }
        _ => {
            if let Some(known) = fact(candidate, FactKind::RedirectLoop) {
                return format!(
                    "redirects lead in a circle: {} → {}",
                    value(known, "url"),
                    value(known, "location")
                );
            }
            if let Some(known) = fact(candidate, FactKind::ExpectationFailed) {
                return format!(
                    "the answer at {who} is not as declared: `{}` should be {}, is {}",
                    value(known, "what"),
                    value(known, "expected"),
                    value(known, "found")
                );
            }
            match status {
                Some(status) => format!("{url} answers {status} at {who}"),
                None => format!("{url} does not answer with what was announced at {who}"),
            }
        }
    }
}

fn promise(facts: &Facts) -> String {
    let known: Vec<&Known> = facts.of_kind(FactKind::AnswerTooLarge).collect();
    let first = known.first();
    let number = |key: &str| first.map(|k| k.value[key].to_string()).unwrap_or_default();
    let limit = first
        .map(|k| k.value["policy"]["warn_addresses"].to_string())
        .unwrap_or_default();
    let name = first.map_or("", |k| value(k, "name"));
    format!(
        "{name} has {} addresses in one answer of about {} bytes; the policy is at most {limit}",
        number("records"),
        number("bytes")
    )
}

fn undecided(picture: &Picture<'_>, candidate: &Candidate) -> String {
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

/// What fails, where no rule says why.
pub(super) fn unexplained(picture: &Picture<'_>, left: &BTreeSet<Unit>, layer: Layer) -> String {
    let resolvers: Vec<String> = left
        .iter()
        .filter_map(|u| match u {
            Unit::Resolver(label) => {
                let view = picture.resolvers.iter().find(|r| r.label == *label)?;
                Some(format!("{label} ({})", answer_of(&view.status)))
            }
            Unit::Own | Unit::Server(_) | Unit::Address(_) => None,
        })
        .collect();
    let addresses: Vec<String> = left
        .iter()
        .filter_map(|u| match u {
            Unit::Address(a) => Some(a.to_string()),
            Unit::Own | Unit::Server(_) | Unit::Resolver(_) => None,
        })
        .collect();
    let mut parts = Vec::new();
    if left.contains(&Unit::Own) {
        parts.push("our own iteration finds nothing to connect to".to_owned());
    }
    if !resolvers.is_empty() {
        parts.push(format!("no usable answer from {}", list(resolvers)));
    }
    if !addresses.is_empty() {
        parts.push(format!(
            "{} fail{}",
            list(addresses.clone()),
            if addresses.len() == 1 { "s" } else { "" }
        ));
    }
    format!(
        "Something fails at layer {layer} that no rule explains: {}",
        parts.join("; ")
    )
}

fn answer_of(status: &ResolverStatus) -> String {
    match status {
        ResolverStatus::Answers => "answers".to_owned(),
        ResolverStatus::Denies(kind) => format!("{kind:?}").to_uppercase(),
        ResolverStatus::Error(rcode) => rcode.to_string(),
        ResolverStatus::Silent => "silent".to_owned(),
    }
}

/// Observations that show these failures.
pub(super) fn evidence_of(picture: &Picture<'_>, left: &BTreeSet<Unit>) -> Vec<String> {
    let mut ids = Vec::new();
    for unit in left {
        match unit {
            Unit::Resolver(label) => {
                ids.extend(
                    picture
                        .resolvers
                        .iter()
                        .filter(|r| r.label == *label)
                        .map(|r| r.id.to_owned()),
                );
            }
            Unit::Own | Unit::Server(_) => ids.extend(picture.hops.iter().map(|h| h.id.to_owned())),
            Unit::Address(address) => {
                let Some(view) = picture.addresses.get(address) else {
                    continue;
                };
                ids.extend(view.tcp.map(|(id, _)| id.to_owned()));
                ids.extend(view.tls.map(|(id, _)| id.to_owned()));
                ids.extend(view.http.iter().map(|(id, _)| (*id).to_owned()));
            }
        }
    }
    ids
}
