//! Sentences about how DNS travels.

use bellwether_model::report::Scope;
use bellwether_model::{Cause, FactKind};

use super::naming::{hosts, servers};
use super::read::{each, fact, facts_of, strings, value};
use super::{count, list};
use crate::candidates::Candidate;

/// What happened, for `dns.transport.*`.
pub(super) fn sentence(candidate: &Candidate) -> String {
    if candidate.rule.cause == Cause::DnsTransportUdpLargeDropped {
        return large(candidate);
    }
    if let Some(known) = fact(candidate, FactKind::Port53Dead) {
        let protocols = value(known, "protocols");
        let encrypted = strings(Some(known), "/encrypted");
        let works = match encrypted.is_empty() {
            true => "other ports work".to_owned(),
            false => format!("{} can be asked", list(encrypted)),
        };
        return format!(
            "port 53 is dead from here over {protocols}: no server and no resolver answers on it, and {works}"
        );
    }
    let known = fact(candidate, FactKind::Port53TcpFails);
    let zone = known.map_or("", |k| value(k, "zone"));
    let needed = strings(known, "/truncated");
    let needs = match needed.first() {
        Some(first) => format!("; {first} does not fit into a datagram and needs it"),
        None => String::new(),
    };
    let everywhere = known.is_some_and(|k| k.value["everywhere"] == true);
    if everywhere {
        return format!(
            "DNS over TCP is dead from here, at the name servers of {zone} and at every other that was asked, while UDP works{needs}"
        );
    }
    let labels = strings(known, "/name_servers");
    format!(
        "no name server of {zone} answers over TCP ({}), while UDP works{needs}",
        hosts(labels)
    )
}

fn large(candidate: &Candidate) -> String {
    let lost = facts_of(candidate, FactKind::NsLargeUdpLost);
    let Some(first) = lost.first() else {
        return candidate.rule.cause.definition().to_owned();
    };
    let number = |key: &str| first.value[key].as_u64();
    let size = match number("size") {
        Some(size) => format!("answers of {size} octets"),
        None => format!("answers that need more than {} octets", 512),
    };
    let pieces = match first.value["fragments"] == true {
        true => ", which come in fragments,",
        false => "",
    };
    let arrived = match number("arrived") {
        Some(arrived) => format!("; the largest that arrived had {arrived}"),
        None => String::new(),
    };
    let tcp = match first.value["over_tcp"] == true {
        true => ", and they come over TCP",
        false => "",
    };
    format!(
        "{size} ({} {}){pieces} do not arrive over UDP from {}{arrived}{tcp}",
        value(first, "name"),
        value(first, "type"),
        servers(candidate.group.servers()),
    )
}

/// What happened, for servers that break the protocol; `some` are those, with the zone.
pub(super) fn bug(candidate: &Candidate, some: &str, s: &str) -> Option<String> {
    let who = servers(candidate.group.servers());
    if let Some(known) = fact(candidate, FactKind::NsDeniesByType) {
        let types = list(strings(Some(known), "/types"));
        let say = if s.is_empty() { "say" } else { "says" };
        return Some(format!(
            "{some} {say} that {} does not exist (NXDOMAIN) when asked for {types}, and ha{} it: {who}",
            value(known, "name"),
            if s.is_empty() { "ve" } else { "s" },
        ));
    }
    if let Some(known) = fact(candidate, FactKind::NsMalformed) {
        return Some(format!(
            "{some} send{s} what cannot be read ({}): {who}",
            value(known, "because")
        ));
    }
    let does = if s.is_empty() { "do" } else { "does" };
    if let Some(known) = fact(candidate, FactKind::NsCaseNotKept) {
        let how = value(known, "how");
        return Some(format!(
            "{some} {does} not keep the case of letters ({how}): {who}"
        ));
    }
    if let Some(known) = fact(candidate, FactKind::NsTypeFails) {
        return Some(format!(
            "{some} give{s} no usable answer for {} {} ({}), and answer{s} for other types: {who}",
            value(known, "name"),
            list(strings(Some(known), "/types")),
            value(known, "answer"),
        ));
    }
    let variants = facts_of(candidate, FactKind::NsVariantFails);
    if !variants.is_empty() {
        return Some(format!(
            "{some} fail{s} questions {} ({}): {who}",
            list(each(&variants, "variant")),
            list(each(&variants, "answer")),
        ));
    }
    if let Some(known) = fact(candidate, FactKind::NsTruncated) {
        return Some(format!(
            "the answer of {some} for {} does not fit into a datagram, and TCP fails: {who}",
            value(known, "name")
        ));
    }
    let stray = fact(candidate, FactKind::RepliesDiscarded)?;
    let how_many = stray.value["count"].as_u64().unwrap_or_default();
    let messages = count(usize::try_from(how_many).unwrap_or(usize::MAX), "message");
    Some(format!(
        "{messages} that answer no question came in the name of {who}"
    ))
}

/// Resolvers whose answer is cut, and whose TCP port is dead.
pub(super) fn without_tcp(who: &str, name: &str, scope: &Scope) -> String {
    let (s, do_not) = if scope.resolvers.len() == 1 {
        ("s", "does not")
    } else {
        ("", "do not")
    };
    format!("{who} truncate{s} the answer for {name}, which is large, and {do_not} answer over TCP")
}

/// Resolvers that cannot be asked over the encrypted transport asked for.
pub(super) fn encrypted(candidate: &Candidate, who: &str) -> String {
    let failures = facts_of(candidate, FactKind::ResolverChannelFails);
    let plain = match fact(candidate, FactKind::ResolverPlainWorks) {
        Some(known) => format!("; {} answers in plain DNS", value(known, "address")),
        None => String::new(),
    };
    format!(
        "{who} cannot be asked over {}: {}{plain}",
        list(each(&failures, "over")),
        list(each(&failures, "because")),
    )
}
