//! Failures that no rule explains, in words.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bellwether_model::Layer;
use bellwether_model::dns::AnswerKind;
use bellwether_model::http::{HttpResult, HttpSeen};
use bellwether_model::net::TcpResult;
use bellwether_model::tls::{TlsResult, alert_name};

use super::list;
use super::naming::{owned, servers};
use crate::picture::{AddressView, Attempt, Picture, ResolverStatus};
use crate::units::Unit;

/// What fails, where no rule says why.
pub(super) fn sentence(picture: &Picture<'_>, left: &BTreeSet<Unit>, layer: Layer) -> String {
    let mut parts = Vec::new();
    if left.contains(&Unit::Own) {
        parts.push("our own iteration finds nothing to connect to".to_owned());
    }
    let denying = left.iter().filter_map(|u| match u {
        Unit::Server(label) => Some(label),
        Unit::Own | Unit::Resolver(_) | Unit::Address(_) => None,
    });
    let denying: Vec<&String> = denying.collect();
    if !denying.is_empty() {
        parts.push(format!("{} deny the name", servers(denying)));
    }
    let resolvers = left.iter().filter_map(|u| match u {
        Unit::Resolver(label) => {
            let view = picture.resolvers.iter().find(|r| r.label == *label)?;
            Some(format!("{label} ({})", answer_of(&view.status)))
        }
        Unit::Own | Unit::Server(_) | Unit::Address(_) => None,
    });
    let resolvers: Vec<String> = resolvers.collect();
    if !resolvers.is_empty() {
        parts.push(format!("no usable answer from {}", list(resolvers)));
    }
    parts.extend(addresses(picture, left));
    format!(
        "something fails at layer {layer} that no rule explains: {}",
        parts.join("; ")
    )
}

/// Addresses that fail, those that fail in the same way together.
fn addresses(picture: &Picture<'_>, left: &BTreeSet<Unit>) -> Vec<String> {
    let mut by_how: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for unit in left {
        if let Unit::Address(address) = unit
            && let Some(view) = picture.addresses.get(address)
        {
            by_how.entry(how(view)).or_default().push(*address);
        }
    }
    by_how
        .into_iter()
        .map(|(how, all)| {
            let shown = owned(all, |a| picture.addresses.get(a)?.owner.as_ref());
            format!("{shown}: {how}")
        })
        .collect()
}

/// How an attempt ends, as the probe saw it.
fn how(view: &AddressView<'_>) -> String {
    if let Some((_, tries)) = view.tries.filter(|_| view.is_mixed) {
        let how = crate::facts::tries::how(view);
        return format!("{} of {} attempts fail ({how})", tries.failed, tries.made);
    }
    let at = match view.attempt {
        Attempt::Fails(layer) => layer,
        Attempt::Works | Attempt::Unjudged(_) => return "it does not work".to_owned(),
    };
    let seen = match at {
        Layer::Net => view.tcp.and_then(|(_, tcp)| connection(&tcp.result)),
        Layer::Tls => {
            let shaken = view.tls.and_then(|(_, tls)| handshake(&tls.result));
            shaken.or_else(|| view.http.last().and_then(|(_, http)| alert(http)))
        }
        Layer::Http => view.http.last().and_then(|(_, http)| request(http)),
        Layer::Monitor | Layer::Reg | Layer::Dns | Layer::Route | Layer::App | Layer::Promise => {
            None
        }
    };
    seen.unwrap_or_else(|| format!("it fails at layer {at}"))
}

fn connection(result: &TcpResult) -> Option<String> {
    match result {
        TcpResult::Connected => None,
        TcpResult::Refused => Some("the connection is refused".to_owned()),
        TcpResult::Reset => Some("the connection is reset".to_owned()),
        TcpResult::TimedOut => Some("nothing answers".to_owned()),
        TcpResult::NoRoute => Some("there is no route".to_owned()),
        TcpResult::Unreachable { error } | TcpResult::Error { error } => {
            Some(format!("the connection fails ({error})"))
        }
    }
}

fn handshake(result: &TlsResult) -> Option<String> {
    match result {
        TlsResult::Completed => None,
        TlsResult::Alert { name, .. } => Some(format!("the handshake ends in the alert {name}")),
        TlsResult::Stalled => Some("the handshake does not go on".to_owned()),
        TlsResult::NotTls { looks_like } => Some(format!("what answers is no TLS ({looks_like})")),
        TlsResult::Malformed { error } => {
            Some(format!("what it sends breaks the rules of TLS ({error})"))
        }
        TlsResult::TooLarge { limit } => Some(format!(
            "its part of the handshake is larger than {limit} bytes"
        )),
        TlsResult::Closed { error, .. }
        | TlsResult::NotConnected { error }
        | TlsResult::Failed { error } => Some(format!("the handshake fails ({error})")),
    }
}

/// What ended a request whose handshake was fine.
fn alert(seen: &HttpSeen) -> Option<String> {
    let code = seen.tls_alert?;
    let name = alert_name(code);
    Some(format!(
        "the handshake is done, and the request ends in the alert {name} ({code})"
    ))
}

fn request(seen: &HttpSeen) -> Option<String> {
    match &seen.result {
        HttpResult::Response => seen.status.map(|s| format!("it answers {s}")),
        HttpResult::Stalled => Some("no whole answer comes".to_owned()),
        HttpResult::Malformed { error } => Some(format!("what answers is no HTTP ({error})")),
        HttpResult::Closed { error, .. } => Some(format!(
            "it takes the request, and the connection ends ({error})"
        )),
        HttpResult::NotConnected { error } => Some(format!("the request fails ({error})")),
    }
}

pub(super) fn answer_of(status: &ResolverStatus) -> String {
    match status {
        ResolverStatus::Answers => "answers".to_owned(),
        ResolverStatus::Denies(AnswerKind::NxDomain) => "NXDOMAIN".to_owned(),
        ResolverStatus::Denies(_) => "NODATA".to_owned(),
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
