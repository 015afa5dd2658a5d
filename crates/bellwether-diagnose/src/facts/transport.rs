//! Facts about how DNS travels: encrypted resolvers, sizes, protocols.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_model::Channel;
use bellwether_model::FactKind;
use bellwether_model::dns::{
    ChannelFailure, ControlVia, Exchange, ExchangeResult, Rcode, Transport, Variant,
};
use bellwether_model::fact::Subject;
use bellwether_model::net::TcpResult;
use bellwether_model::tls::CertProblem;
use serde_json::{Value, json};

use super::{Facts, lost};
use crate::picture::{Hop, NO_ANSWER, Picture, ResolverView, ServerStatus, ServerView, is_good};

/// The unknown type that servers are asked for.
const UNKNOWN_TYPE: &str = "TYPE65280";
/// A stray datagram, or a late answer to an earlier question, is nobody's fault.
const DISCARDED_MIN: u32 = 3;
/// So many questions tell a habit from an accident.
const CASE_MIN: usize = 3;

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    for resolver in &picture.resolvers {
        channel(picture, resolver, facts);
        truncated(resolver, facts);
    }
    for hop in picture.hops.iter().filter(|h| h.is_reached()) {
        for each in hop.delegated() {
            server(picture, hop, each, facts);
        }
    }
    port53(picture, facts);
}

/// Why a resolver over TLS or HTTPS cannot be asked, and whether plain DNS works there.
fn channel(picture: &Picture<'_>, resolver: &ResolverView<'_>, facts: &mut Facts) {
    let answers = || resolver.seen.answers.iter();
    if answers().any(|e| e.response().is_some()) {
        return;
    }
    let Some(failure) = answers().find_map(|e| e.channel_failure()) else {
        return;
    };
    let subject = Subject::Resolver(resolver.label.clone());
    let value = json!({
        "resolver": resolver.label,
        "over": over_what(&resolver.seen.channel),
        "because": because(failure),
        "failure": serde_json::to_value(failure).unwrap_or(Value::Null),
    });
    facts.add(
        FactKind::ResolverChannelFails,
        subject.clone(),
        value,
        [resolver.id],
    );
    let address = resolver.seen.address.ip();
    let same = picture
        .resolvers
        .iter()
        .find(|r| r.seen.channel.is_plain() && r.seen.address.ip() == address && r.is_usable());
    let control = picture
        .controls
        .iter()
        .find(|(_, c)| c.ok && c.via == ControlVia::Address && c.control == address.to_string());
    if let Some(id) = same.map(|r| r.id).or(control.map(|(id, _)| *id)) {
        let value = json!({ "resolver": resolver.label, "address": address.to_string() });
        facts.add(FactKind::ResolverPlainWorks, subject, value, [id]);
    }
}

fn over_what(channel: &Channel) -> &'static str {
    match channel {
        Channel::Plain => "plain DNS",
        Channel::Tls { .. } => "TLS",
        Channel::Https { .. } => "HTTPS",
    }
}

/// In words, after `because`.
#[must_use]
pub fn because(failure: &ChannelFailure) -> String {
    match failure {
        ChannelFailure::Certificate { problems } => match problems.first() {
            Some(problem) => certificate(problem),
            None => "its certificate is refused".to_owned(),
        },
        ChannelFailure::Handshake { error } => format!("the handshake fails: {error}"),
        ChannelFailure::Http {
            status: Some(status),
            content_type: Some(media),
            ..
        } => format!("HTTP answers {status} with `{media}`, which is no DNS"),
        ChannelFailure::Http { error, .. } => format!("HTTP brings no DNS: {error}"),
    }
}

fn certificate(problem: &CertProblem) -> String {
    match problem {
        CertProblem::Expired { not_after, .. } => {
            format!(
                "its certificate ended {}",
                not_after.strftime("%Y-%m-%d %H:%M UTC")
            )
        }
        CertProblem::NotYetValid { not_before, .. } => {
            format!(
                "its certificate begins {}",
                not_before.strftime("%Y-%m-%d %H:%M UTC")
            )
        }
        CertProblem::NameMismatch {
            expected,
            presented,
        } => {
            let shown: Vec<&str> = presented.iter().take(2).map(String::as_str).collect();
            let more = if presented.len() > 2 { " and more" } else { "" };
            format!(
                "its certificate is for {}{more}, not for {expected}",
                shown.join(", ")
            )
        }
        CertProblem::UntrustedRoot {
            self_signed: true, ..
        } => "its certificate is signed by its own key".to_owned(),
        CertProblem::UntrustedRoot { issuer, .. } => {
            format!("its certificate leads to `{issuer}`, which is no trust anchor")
        }
        CertProblem::ChainIncomplete { missing, .. } => {
            format!("its chain of certificates lacks `{missing}`")
        }
        CertProblem::Policy { reason, .. } => format!("its certificate is refused: {reason}"),
        CertProblem::LongPath { intermediates } => {
            format!(
                "its certificate is refused: {}",
                super::cert::long_path(*intermediates)
            )
        }
        CertProblem::BadSignature { .. } => {
            "a signature in its chain of certificates does not fit".to_owned()
        }
        CertProblem::Malformed { error, .. } => {
            format!("its certificate cannot be parsed: {error}")
        }
        CertProblem::NotLogged { .. } => {
            "browsers want more signed timestamps in its certificate".to_owned()
        }
        CertProblem::Staple { reason, .. } => format!("its certificate is refused: {reason}"),
        CertProblem::Revoked { .. } => "its certificate is revoked".to_owned(),
        CertProblem::Other { detail } => format!("its certificate is refused: {detail}"),
    }
}

/// How far down from UDP/1232 the ordinary Internet carries whole datagrams: 1,500 octets less the
/// headers of IPv4 and UDP, and of IPv6 and UDP.
const WHOLE_V4: usize = 1472;
const WHOLE_V6: usize = 1452;

fn name_server(server: &ServerView<'_>) -> Subject {
    Subject::NameServer(server.seen.name.clone(), Some(server.seen.address))
}

fn over(transport: Transport) -> impl Fn(&&Exchange) -> bool {
    move |e: &&Exchange| e.transport == transport
}

/// What one name server does with questions that differ in size or form.
fn server(picture: &Picture<'_>, hop: &Hop<'_>, server: &ServerView<'_>, facts: &mut Facts) {
    let mut add = |kind: FactKind, value: Value| {
        facts.add_in(
            Some(&hop.seen.zone),
            kind,
            name_server(server),
            value,
            [hop.id],
        );
    };
    if let Some(value) = large_lost(server) {
        add(FactKind::NsLargeUdpLost, value);
    }
    if server.status == ServerStatus::Truncated {
        add(
            FactKind::NsTruncated,
            json!({ "name_server": server.label, "name": hop.seen.name }),
        );
    }
    if let ServerStatus::Malformed {
        complaint,
        at,
        size,
    } = &server.status
    {
        let mut value = json!({ "name_server": server.label, "because": complaint });
        if let Some(at) = at {
            value["because"] = json!(format!("{complaint}, at octet {at} of {size}"));
            value["octet"] = json!(at);
        }
        add(FactKind::NsMalformed, value);
    }
    if !server.denied_types.is_empty() {
        let value = json!({
            "name_server": server.label,
            "name": hop.seen.name,
            "types": server.denied_types,
        });
        add(FactKind::NsDeniesByType, value);
    }
    if let Some((how, answer)) = case(server) {
        let value = json!({ "name_server": server.label, "how": how });
        add(FactKind::NsCaseNotKept, value);
        if let Some(answer) = answer {
            let value = json!({ "name_server": server.label, "answer": answer });
            add(FactKind::NsSmallLettersOnly, value);
        }
    }
    let of_type = |e: &Exchange| server.failed_types.contains_key(&e.question.rtype);
    let is_told = |answer: &str| answer != NO_ANSWER || !lost::is_any(picture, hop, of_type);
    let answer = server.failed_types.values().next();
    if answer.is_some_and(|answer| is_told(answer)) && large_lost(server).is_none() {
        let types: Vec<&String> = server.failed_types.keys().collect();
        let value = json!({
            "name_server": server.label,
            "name": hop.seen.name,
            "types": types,
            "answer": answer,
        });
        add(FactKind::NsTypeFails, value);
    }
    for value in variants(picture, hop, server) {
        add(FactKind::NsVariantFails, value);
    }
    if let Some(value) = discarded(server) {
        add(FactKind::RepliesDiscarded, value);
    }
}

/// A question that stays without an answer where there is room for a large one, and whose answer
/// comes with less room, or over TCP.
fn large_lost(server: &ServerView<'_>) -> Option<Value> {
    let all = || server.seen.exchanges.iter();
    let size = |e: &Exchange| e.response().map(|r| r.size);
    let lost = all().filter(over(Transport::Udp)).filter(|e| {
        let is_silent = e.result == ExchangeResult::Silent && e.edns;
        let with_less = |o: &&Exchange| {
            let less_room = o.transport == Transport::Udp
                && (!o.edns || room(o) < room(e))
                && o.response().is_some_and(|r| r.flags.tc);
            o.question == e.question && (less_room || is_large_over_tcp(o))
        };
        is_silent && e.variant.is_usual() && all().any(|o| with_less(&o))
    });
    let lost: Vec<&Exchange> = lost.collect();
    let first = lost.iter().min_by_key(|e| room(e))?;
    let whole = all()
        .filter(over(Transport::Tcp))
        .filter(|o| lost.iter().any(|e| e.question == o.question))
        .filter_map(size)
        .min();
    let arrived = all().filter(over(Transport::Udp)).filter_map(size).max();
    let limit = if server.seen.address.is_ipv4() {
        WHOLE_V4
    } else {
        WHOLE_V6
    };
    Some(json!({
        "name_server": server.label,
        "type": first.question.rtype,
        "name": first.question.name,
        "offered": room(first),
        "size": whole,
        "arrived": arrived,
        "fragments": whole.is_some_and(|size| size > limit),
        "over_tcp": whole.is_some(),
    }))
}

/// An answer over TCP that UDP carries only with room for more than the least.
fn is_large_over_tcp(exchange: &Exchange) -> bool {
    let size = exchange.response().map_or(0, |r| r.size);
    exchange.transport == Transport::Tcp && size > 512
}

/// Octets that an exchange over UDP had room for.
fn room(exchange: &Exchange) -> u16 {
    match (exchange.edns, exchange.offered) {
        (false, _) => 512,
        (true, Some(offered)) => offered,
        (true, None) => 1232,
    }
}

/// Only small letters are answered rightly, or the question comes back in other letters than it was sent
/// in (0x20 of resolvers): how, and what capital letters get if they get nothing.
fn case(server: &ServerView<'_>) -> Option<(String, Option<String>)> {
    let over_udp = || server.seen.exchanges.iter().filter(over(Transport::Udp));
    let answered = || over_udp().filter(|e| e.response().is_some());
    let mut good = answered().filter(|e| is_good(e)).peekable();
    let is_small = good.peek().is_some() && good.all(|e| e.lower_case);
    let failing: Vec<&Exchange> = answered()
        .filter(|e| !e.lower_case && !is_good(e))
        .collect();
    // A flood of other messages drowns first tries, whatever their letters.
    let is_quiet = over_udp().all(|e| e.discarded.is_empty());
    let all_small = is_quiet && answered().count() >= CASE_MIN && answered().all(|e| e.lower_case);
    if is_small && (all_small || failing.len() >= CASE_MIN) {
        let rcode = failing.iter().find_map(|e| Some(e.response()?.rcode));
        let answer = rcode.map_or("no answer".to_owned(), |r| r.to_string());
        let how = match rcode {
            None => "only questions in small letters are answered".to_owned(),
            Some(_) => format!("questions in small letters are answered, others get {answer}"),
        };
        return Some((how, Some(answer)));
    }
    let changed = answered().any(|e| e.response().is_some_and(|r| !r.case_kept));
    changed.then(|| ("the question comes back in other letters".to_owned(), None))
}

/// Questions out of the ordinary that fail where the ordinary one works.
fn variants(picture: &Picture<'_>, hop: &Hop<'_>, server: &ServerView<'_>) -> Vec<Value> {
    let zone = &hop.seen.zone;
    let of_apex = |rtype: &str| {
        let all = server.seen.exchanges.iter().filter(over(Transport::Udp));
        let rtype = rtype.to_owned();
        all.filter(move |e| e.question.name == *zone && e.question.rtype == rtype && e.edns)
    };
    let works = |e: &&Exchange| {
        e.response()
            .is_some_and(|r| r.rcode == Rcode::NOERROR && r.edns && r.flags.aa)
    };
    // Without EDNS, whole or in part, nothing is out of the ordinary any more.
    if !of_apex("SOA").any(|e| e.variant.is_usual() && works(&e)) {
        return Vec::new();
    }
    let failing = |e: &Exchange| match e.response() {
        Some(r) if r.rcode == Rcode::NOERROR => None,
        Some(r) => Some(r.rcode.to_string()),
        None if e.was_asked() => Some(NO_ANSWER.to_owned()),
        None => None,
    };
    // Not only the servers of one maker keep silent on some of them.
    let is_variant = |e: &Exchange| {
        let rtype = e.question.rtype.as_str();
        !e.variant.is_usual() || rtype == UNKNOWN_TYPE || rtype == "NS"
    };
    let mut found = Vec::new();
    let mut add = |what: &str, exchanges: Vec<&Exchange>| {
        let fails: Vec<String> = exchanges.iter().filter_map(|e| failing(e)).collect();
        if let Some(answer) = fails.first()
            && fails.len() == exchanges.len()
            && (answer != NO_ANSWER || !lost::is_any(picture, hop, is_variant))
        {
            found.push(json!({
                "name_server": server.label,
                "variant": what,
                "answer": answer,
            }));
        }
    };
    let options = of_apex("SOA").filter(|e| e.variant == Variant::UnknownOption);
    add("with an unknown EDNS option", options.collect());
    add("for an unknown type", of_apex(UNKNOWN_TYPE).collect());
    add(
        "for NS records",
        of_apex("NS").filter(|e| e.variant.is_usual()).collect(),
    );
    found
}

/// Messages that matched no question, where there were more than a stray one.
fn discarded(server: &ServerView<'_>) -> Option<Value> {
    let mut reasons: BTreeMap<&str, u32> = BTreeMap::new();
    for discarded in server.seen.exchanges.iter().flat_map(|e| &e.discarded) {
        let count = reasons.entry(&discarded.reason).or_default();
        *count = count.saturating_add(discarded.count);
    }
    let all: u32 = reasons.values().fold(0, |sum, n| sum.saturating_add(*n));
    (all >= DISCARDED_MIN)
        .then(|| json!({ "name_server": server.label, "count": all, "reasons": reasons }))
}

/// Do users' resolvers that a cut answer leads to TCP get nothing there?
fn truncated(resolver: &ResolverView<'_>, facts: &mut Facts) {
    if !resolver.truncated {
        return;
    }
    facts.add(
        FactKind::ResolverTruncated,
        Subject::Resolver(resolver.label.clone()),
        json!({ "resolver": resolver.label }),
        [resolver.id],
    );
}

/// Is one protocol dead for everybody, as far as this was asked?
fn port53(picture: &Picture<'_>, facts: &mut Facts) {
    tcp_dead(picture, facts);
    all_dead(picture, facts);
}

/// TCP: no server of the zone answers over it, and neither do others; or answers that need it are
/// there, and no server of the zone gives them.
fn tcp_dead(picture: &Picture<'_>, facts: &mut Facts) {
    let Some(hop) = picture.own_hop().filter(|h| h.is_reached()) else {
        return;
    };
    let over_udp = |s: &ServerView<'_>| {
        let mut udp = s.seen.exchanges.iter().filter(over(Transport::Udp));
        udp.any(|e| e.response().is_some())
    };
    let asked_tcp = |s: &ServerView<'_>| {
        let mut tcp = s.seen.exchanges.iter().filter(over(Transport::Tcp));
        tcp.any(Exchange::was_asked)
    };
    let servers: Vec<&ServerView<'_>> = hop
        .delegated()
        .filter(|s| over_udp(s) && asked_tcp(s) && super::authority::tells_of_tcp(s))
        .collect();
    // Where messages come, of whatever kind, nothing is filtered.
    let brings = |s: &&ServerView<'_>| {
        let mut tcp = s.seen.exchanges.iter().filter(over(Transport::Tcp));
        tcp.any(|e| e.response().is_some() || !e.discarded.is_empty())
    };
    if servers.is_empty() || hop.delegated().any(|s| brings(&s)) {
        return;
    }
    let cut: BTreeSet<String> = servers
        .iter()
        .flat_map(|s| &s.seen.exchanges)
        .filter(|e| e.response().is_some_and(|r| r.flags.tc))
        .map(|e| format!("{} {}", e.question.name, e.question.rtype))
        .collect();
    let elsewhere: Vec<(&str, bool)> = picture
        .asides
        .iter()
        .filter(|(_, q)| q.exchange.transport == Transport::Tcp && q.exchange.was_asked())
        .map(|(id, q)| (*id, q.exchange.response().is_some()))
        .collect();
    let everywhere = !elsewhere.is_empty() && elsewhere.iter().all(|(_, works)| !works);
    if !everywhere && (cut.is_empty() || servers.len() < 2) {
        return;
    }
    let labels: Vec<&str> = servers.iter().map(|s| s.label.as_str()).collect();
    let value = json!({
        "zone": hop.seen.zone,
        "name_servers": labels,
        "elsewhere": elsewhere.len(),
        "everywhere": everywhere,
        "truncated": cut,
    });
    let from = elsewhere.iter().map(|(id, _)| *id).chain([hop.id]);
    facts.add(FactKind::Port53TcpFails, Subject::Service, value, from);
}

/// Everything: nobody answers on port 53, and other ports work.
fn all_dead(picture: &Picture<'_>, facts: &mut Facts) {
    let answered = |e: &Exchange| e.response().is_some();
    let by_server = picture
        .levels
        .iter()
        .flat_map(|(_, level)| &level.servers)
        .any(|s| {
            s.exchanges
                .iter()
                .any(|e| answered(e) && e.transport == Transport::Udp)
        });
    let asked = picture.levels.iter().any(|(_, level)| {
        level
            .servers
            .iter()
            .any(|s| s.exchanges.iter().any(Exchange::was_asked))
    });
    let is_plain = |r: &&ResolverView<'_>| r.seen.channel.is_plain();
    let by_resolver = picture.resolvers.iter().filter(is_plain).any(|r| {
        r.seen
            .answers
            .iter()
            .any(|e| answered(e) && e.transport == Transport::Udp)
    });
    let by_control = picture
        .controls
        .iter()
        .any(|(_, c)| answered(&c.exchange) && c.exchange.transport == Transport::Udp);
    if !asked || by_server || by_resolver || by_control {
        return;
    }
    let encrypted: Vec<&ResolverView<'_>> = picture
        .resolvers
        .iter()
        .filter(|r| !r.seen.channel.is_plain() && r.is_usable())
        .collect();
    let tcp: Vec<&str> = picture
        .asides
        .iter()
        .filter(|(_, q)| q.exchange.transport == Transport::Tcp && answered(&q.exchange))
        .map(|(id, _)| *id)
        .collect();
    let addresses: Vec<&str> = picture
        .addresses
        .values()
        .filter_map(|v| v.tcp)
        .filter(|(_, t)| t.result == TcpResult::Connected)
        .map(|(id, _)| id)
        .collect();
    if encrypted.is_empty() && tcp.is_empty() && addresses.is_empty() {
        return;
    }
    let labels: Vec<&str> = encrypted.iter().map(|r| r.label.as_str()).collect();
    let value = json!({
        "protocols": if tcp.is_empty() { "UDP and TCP" } else { "UDP" },
        "encrypted": labels,
        "addresses": addresses.len(),
    });
    let levels = picture.levels.iter().map(|(id, _)| *id);
    let from: Vec<&str> = levels
        .chain(tcp)
        .chain(addresses)
        .chain(encrypted.iter().map(|r| r.id))
        .collect();
    facts.add(FactKind::Port53Dead, Subject::Service, value, from);
}
