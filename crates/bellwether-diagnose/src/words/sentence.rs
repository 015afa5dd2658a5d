//! One sentence for each cause.

use bellwether_model::report::Scope;
use bellwether_model::{Cause, FactKind, Layer};
use serde_json::Value;

use super::dns::{delegation, undecided, zone};
use super::naming::owned;
use super::read::{fact, strings, value};
use super::resolver::resolver;
use super::time::moment;
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
        Some(Layer::Reg) => steering::registry(candidate),
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
        Some(Layer::Http | Layer::App) => http(candidate, scope),
        Some(Layer::Promise) => steering::promise(candidate),
        None => undecided(picture, candidate),
    };
    capitalised(text)
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
    let how = match canary {
        Some(known) => format!(
            "the root server's address {} answers {} for a name that must not exist",
            value(known, "server"),
            list(strings(Some(known), "/addresses"))
        ),
        None => {
            "the root servers' addresses give final answers, which the root never does".to_owned()
        }
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
        Cause::NetPathV6Broken => format!(
            "IPv6 does not work, IPv4 does: nothing comes back from {} on port {port}",
            list(scope.addresses.clone())
        ),
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

/// The service's addresses, or the host that a redirect leads to.
fn whose_certificate(picture: &Picture<'_>, first: Option<&Known>, scope: &Scope) -> String {
    let text = |key: &str| first.map_or("", |k| value(k, key));
    match (text("url"), text("address")) {
        ("", _) => of_addresses(picture, scope),
        (url, address) => format!(
            "{address}, where {} lead{} ({url}),",
            list(scope.addresses.clone()),
            s(scope)
        ),
    }
}

fn tls(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope) -> String {
    let first = candidate.facts.first();
    let text = |key: &str| first.map_or("", |k| value(k, key)).to_owned();
    let what = whose_certificate(picture, first, scope);
    let when = |key: &str| moment(picture.context.now, &text(key));
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
        Cause::CertExpired => format!("the certificate at {what} ended {}", when("not_after")),
        Cause::CertNotYetValid => {
            format!(
                "the certificate at {what} begins only {}",
                when("not_before")
            )
        }
        Cause::CertChainExpiredLink => {
            format!(
                "an intermediate certificate at {what} ended {}: {}",
                when("not_after"),
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
                return expectation(known, &who);
            }
            match status {
                Some(status) => format!("{url} answers {status} at {who}"),
                None => format!("{url} does not answer with what was announced at {who}"),
            }
        }
    }
}

/// What was declared and did not come.
fn expectation(known: &Known, who: &str) -> String {
    let (what, expected, found) = (
        value(known, "what"),
        value(known, "expected"),
        value(known, "found"),
    );
    let lacks = expected
        .strip_prefix("contains ")
        .or_else(|| expected.strip_prefix("matches "));
    match lacks {
        Some(text) if what == "body" => {
            format!("the body of the answer at {who} lacks the declared {text} ({found})")
        }
        _ => format!(
            "the answer at {who} is not as declared: {what} should be `{expected}`, and is `{found}`"
        ),
    }
}
