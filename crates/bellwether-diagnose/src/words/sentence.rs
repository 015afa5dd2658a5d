//! One sentence for each cause.

use std::net::SocketAddr;

use bellwether_model::report::Scope;
use bellwether_model::{Cause, FactKind, Layer};
use serde_json::Value;

use super::cert::cert;
use super::dns::{delegation, undecided, zone};
use super::http::{http, short, times};
use super::naming::owned;
use super::read::{fact, strings, value};
use super::resolver::resolver;
use super::{count, list, steering};
use crate::candidates::Candidate;
use crate::facts::Known;
use crate::picture::Picture;

/// What happened, in one sentence.
#[must_use]
pub fn summary(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope) -> String {
    let cause = candidate.rule.cause;
    let text = match cause.layer() {
        Some(Layer::Monitor) => monitor(candidate),
        Some(Layer::Dns) if cause.code().starts_with("dns.transport.") => {
            super::transport::sentence(candidate)
        }
        Some(Layer::Reg) => steering::registry(picture, candidate),
        Some(Layer::Dns) if cause.code().starts_with("dns.steering.") => {
            steering::steering(picture, candidate, scope)
        }
        Some(Layer::Dns) => match cause.rank() {
            0 => delegation(picture, candidate, scope),
            1 => zone(picture, candidate, scope),
            _ => resolver(picture, candidate, scope),
        },
        Some(Layer::Tls) => tls(picture, candidate, scope),
        Some(Layer::Route | Layer::Net) => net(picture, candidate, scope),
        Some(Layer::Http | Layer::App) => http(picture, candidate, scope),
        Some(Layer::Promise) => steering::promise(candidate),
        None => undecided(picture, candidate),
    };
    capitalised(text + &counted(picture, candidate, scope))
}

/// `; 3 of 6 attempts fail`, where several were made and some work.
fn counted(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope) -> String {
    let above = [Layer::Net, Layer::Tls, Layer::Http];
    let is_here = |layer: Option<Layer>| layer.is_some_and(|layer| above.contains(&layer));
    let views = scope.addresses.iter();
    let views = views.filter_map(|address| picture.addresses.get(address));
    let mixed = views
        .filter(|view| view.is_mixed)
        .filter_map(|view| view.tries);
    let (failed, made) = mixed.fold((0, 0), |(failed, made), (_, tries)| {
        (failed + tries.failed, made + tries.made)
    });
    if made == 0 || !is_here(candidate.rule.cause.layer()) {
        return String::new();
    }
    match failed {
        0 => format!("; it was so once, and not in {made} attempts after that"),
        _ => format!("; {failed} of {made} attempts fail"),
    }
}

/// A sentence begins with a capital letter, unless with a name.
pub(super) fn capitalised(text: String) -> String {
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

/// Addresses without a route that are told one by one.
const SHOWN_MAX: usize = 3;

/// What this machine has no route to.
fn out_of_reach(far: &Known) -> String {
    let addresses = strings(Some(far), "/addresses");
    let mut shown: Vec<String> = addresses.iter().take(SHOWN_MAX).cloned().collect();
    if addresses.len() > shown.len() {
        shown.push(format!("{} more", addresses.len() - shown.len()));
    }
    let at = match shown.is_empty() {
        true => String::new(),
        false => format!(" ({})", list(shown)),
    };
    format!(
        "this machine has no route to any {}{at}: what is there is not judged from here",
        value(far, "what")
    )
}

fn monitor(candidate: &Candidate) -> String {
    let first = candidate.facts.first();
    match candidate.rule.cause {
        Cause::MonitorVantageUplink => {
            if let Some(nothing) = fact(candidate, FactKind::NothingLeaves) {
                return format!(
                    "it is us: this machine has no route, and {} attempts ended before a packet left. Nothing is known of the service",
                    nothing.value["attempts"]
                );
            }
            if let Some(far) = fact(candidate, FactKind::OutOfReach) {
                return out_of_reach(far);
            }
            let failed = first
                .and_then(|f| f.value.get("failed"))
                .and_then(Value::as_u64)
                .unwrap_or(0);
            let answers = first.and_then(|f| f.value.get("target_answers"));
            if answers.and_then(Value::as_bool) == Some(true) {
                return format!(
                    "none of {failed} controls answers, but the target does: the controls are down or blocked from here, so they vouch for nothing"
                );
            }
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
        Cause::MonitorVantageIntercepted => intercepted(candidate),
        Cause::MonitorClockSkew => {
            let zones = list(strings(first, "/zones"));
            let text = |key: &str| first.map_or("", |f| value(f, key));
            let least = first.and_then(|f| f.value.get("at_least_s")?.as_u64());
            format!(
                "it is us: this machine's clock says {}, and is {} by at least {}: no signature of {zones} holds by it",
                text("clock"),
                text("direction"),
                super::span(least.unwrap_or(0)),
            )
        }
        Cause::MonitorFalseSignal => format!(
            "the trust anchor (key {}) fits no key of the root ({}): signatures were not judged",
            numbers(first, "anchor_tags"),
            numbers(first, "key_tags"),
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

/// Somebody else answers in place of the servers asked.
fn intercepted(candidate: &Candidate) -> String {
    let canary = fact(candidate, FactKind::CanaryResolves);
    let has_root = fact(candidate, FactKind::RootAnswersItself).is_some();
    let how = match canary {
        Some(known) => format!(
            "the root server's address {} answers {} for a name that must not exist",
            value(known, "server"),
            list(strings(Some(known), "/addresses"))
        ),
        None => match fact(candidate, FactKind::RegistryAnswersItself) {
            Some(known) if !has_root => format!(
                "the addresses of name servers of {} give final answers, which a registry never does",
                value(known, "zone")
            ),
            Some(_) | None => {
                "the root servers' addresses give final answers, which the root never does"
                    .to_owned()
            }
        },
    };
    format!(
        "it is us: DNS is intercepted on the way out: {how}. Nothing is known of the service's name servers"
    )
}

fn numbers(known: Option<&Known>, key: &str) -> String {
    let all = known.and_then(|k| k.value.get(key)?.as_array());
    list(all.into_iter().flatten().map(ToString::to_string))
}

/// `203.0.113.9 (AS64511 Foreign)`, `1 of 3 addresses, 203.0.113.9 (AS64511 Foreign),`.
fn of_addresses(picture: &Picture<'_>, scope: &Scope) -> String {
    let shown = owned(scope.addresses.clone(), |a| {
        picture.addresses.get(a)?.owner.as_ref()
    });
    let all = picture
        .addresses
        .values()
        .filter(|v| v.tcp.is_some())
        .count();
    if scope.addresses.len() < all {
        format!("{} of {all} addresses, {shown},", scope.addresses.len())
    } else {
        shown
    }
}

/// The host that a redirect leads to takes no connections.
fn redirected(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope) -> Option<String> {
    let own = &picture.context.target.text;
    let known = candidate.facts.iter().find(|known| {
        let at: Option<SocketAddr> = value(known, "address").parse().ok();
        let url = value(known, "url");
        at.is_some() && !url.is_empty() && url != own
    })?;
    let how = match known.kind {
        FactKind::AddressRefused => "refuses connections: nothing listens there",
        FactKind::AddressResets | FactKind::ResetUnasked => "resets connections",
        FactKind::AddressTimesOut => "does not answer",
        FactKind::AddressUnreachable => "is unreachable",
        _ => return None,
    };
    Some(format!(
        "{}, where {} redirect{} ({}), {how}",
        value(known, "address"),
        list(scope.addresses.clone()),
        s(scope),
        short(value(known, "url")),
    ))
}

fn net(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope) -> String {
    let port = picture.context.target.port;
    if let Some(said) = redirected(picture, candidate, scope) {
        return said;
    }
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
        Cause::NetTcpResetFlap if fact(candidate, FactKind::AddressRefused).is_some() => {
            format!(
                "{what} refuse{} a share of the connections on port {port}",
                s(scope)
            )
        }
        Cause::NetTcpResetFlap if fact(candidate, FactKind::ResetUnasked).is_some() => {
            format!(
                "{what} take{} connections on port {port} and reset{} each of them before anything is said",
                s(scope),
                s(scope)
            )
        }
        Cause::NetTcpResetFlap => format!(
            "{what} reset{} a share of the connections on port {port}{}",
            s(scope),
            times(candidate)
        ),
        Cause::NetPathV6Broken => format!(
            "IPv6 does not work, IPv4 does: nothing comes back from {} on port {port}",
            list(scope.addresses.clone())
        ),
        Cause::NetPathPmtuBlackhole => format!(
            "large packets from {what} vanish: what stalls works with segments of at most 1200 bytes"
        ),
        Cause::NetTcpMidstreamStall => {
            let known = fact(candidate, FactKind::HttpBodyStalled);
            let number = |key| known.and_then(|k| k.value.get(key)?.as_u64());
            let read = number("read").unwrap_or_default();
            let of = number("announced").map_or_else(String::new, |all| format!(" of {all}"));
            format!(
                "transfers from {what} stop after {read}{of} bytes, and the connection stays open"
            )
        }
        Cause::IpOwnerUnexpected => format!(
            "{what} lie{} outside the declared networks, and fail{}",
            s(scope),
            s(scope)
        ),
        cause => format!("{what}: {}", cause.definition()),
    }
}

pub(super) fn s(scope: &Scope) -> &'static str {
    if scope.addresses.len() == 1 { "s" } else { "" }
}

/// The service's addresses, or the host that a redirect leads to.
fn whose_certificate(picture: &Picture<'_>, first: Option<&Known>, scope: &Scope) -> String {
    let text = |key: &str| first.map_or("", |k| value(k, key));
    match (text("url"), text("address")) {
        ("", _) => of_addresses(picture, scope),
        (url, address) => format!(
            "{address}, where {} lead{} ({}),",
            list(scope.addresses.clone()),
            s(scope),
            short(url),
        ),
    }
}

fn tls(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope) -> String {
    let first = candidate.facts.first();
    let what = whose_certificate(picture, first, scope);
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
        Cause::TlsHandshakeStall | Cause::TlsNegotiationFailed | Cause::TlsClientCertRejected => {
            super::handshake::sentence(picture, candidate, scope, &what)
        }
        _ => cert(picture, candidate, scope, &what),
    }
}
