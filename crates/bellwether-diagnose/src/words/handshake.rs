//! Handshakes that fail, in a sentence.

use bellwether_model::report::Scope;
use bellwether_model::{Cause, FactKind as F};
use serde_json::Value;

use super::list;
use super::read::{fact, strings, value};
use super::sentence::s;
use super::time::moment;
use crate::candidates::Candidate;
use crate::facts::Known;
use crate::picture::Picture;

/// Subjects of authorities that are listed; the report has all of them.
const AUTHORITIES_MAX: usize = 3;

/// What happened, in one sentence; `what` are the addresses.
pub(super) fn sentence(
    picture: &Picture<'_>,
    candidate: &Candidate,
    scope: &Scope,
    what: &str,
) -> String {
    match candidate.rule.cause {
        Cause::TlsClientCertRejected => client_cert(picture, candidate, scope, what),
        Cause::TlsNegotiationFailed => negotiation(picture, candidate, scope, what),
        _ => stall(picture, candidate, scope, what),
    }
}

fn es(scope: &Scope) -> &'static str {
    if scope.addresses.len() == 1 { "es" } else { "" }
}

fn number(known: &Known, key: &str) -> u64 {
    known.value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn stall(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope, what: &str) -> String {
    let port = picture.context.target.port;
    if let Some(known) = fact(candidate, F::TlsLargeHelloStalls) {
        return format!(
            "{what} answer{} a ClientHello of {} bytes, and not one of {}, which takes two segments: something drops it",
            s(scope),
            number(known, "small"),
            number(known, "large")
        );
    }
    if let Some(known) = fact(candidate, F::TlsNotSpoken) {
        return format!(
            "{what} answer{} on port {port} with what is not TLS: {}",
            s(scope),
            value(known, "looks_like")
        );
    }
    if let Some(known) = fact(candidate, F::TlsMalformed) {
        return format!(
            "{what} answer{} on port {port} with what is malformed, and no handshake of TLS: {}",
            s(scope),
            value(known, "error")
        );
    }
    if let Some(known) = fact(candidate, F::TlsNameRefused) {
        return format!(
            "{what} end{} every handshake that names {}, and complete{} one that names nobody",
            s(scope),
            value(known, "name").trim_end_matches('.'),
            s(scope)
        );
    }
    let unanswered = fact(candidate, F::TlsNoHelloAnswered);
    if let Some(known) = fact(candidate, F::TlsClosed).filter(|_| unanswered.is_none()) {
        let answered = match number(known, "other_hellos_answered") {
            0 => "",
            _ => "; ClientHellos of other shapes are answered",
        };
        return format!(
            "{what} take{} connections and end{} them before the handshake is done{answered}",
            s(scope),
            s(scope)
        );
    }
    let is_unasked = |known: &Known| known.value["ended_unasked"] == true;
    if fact(candidate, F::TlsClosed).is_some() && unanswered.is_some_and(is_unasked) {
        return format!(
            "{what} take{} connections and close{} them before a client says anything",
            s(scope),
            s(scope)
        );
    }
    if fact(candidate, F::TlsClosed).is_some() {
        return format!(
            "{what} take{} connections and end{} them as soon as a client speaks TLS, whatever it offers",
            s(scope),
            s(scope)
        );
    }
    let whatever = match fact(candidate, F::TlsNoHelloAnswered) {
        Some(_) => ": no ClientHello is answered, whatever it offers",
        None => "",
    };
    format!(
        "TLS stalls: {what} take{} connections and do{} not go on with the handshake{whatever}",
        s(scope),
        es(scope)
    )
}

fn negotiation(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope, what: &str) -> String {
    if let Some(known) = fact(candidate, F::AlpnNotSpoken) {
        let (agreed, spoken) = (value(known, "agreed"), value(known, "spoken"));
        let s = s(scope);
        return format!("{what} agree{s} on {agreed} and speak{s} {spoken}");
    }
    if let Some(known) = fact(candidate, F::TlsOldVersionsOnly) {
        let versions = list(strings(Some(known), "/versions"));
        let ends = match value(known, "certificate_until") {
            "" => String::new(),
            end => format!(" (certificate until {})", &end[..end.len().min(10)]),
        };
        return format!(
            "{what} speak{} {versions} only{ends}; clients need TLS 1.2 or 1.3",
            s(scope)
        );
    }
    if let Some(known) = fact(candidate, F::TlsOldSuitesOnly) {
        let who = match scope.profiles.is_empty() {
            true => "clients have dropped",
            false => "browsers and OpenSSL still offer last, and stricter clients do not",
        };
        return format!(
            "{what} take{} only what {who}: {} chose {} when it was offered",
            s(scope),
            value(known, "version"),
            value(known, "suite")
        );
    }
    if fact(candidate, F::TlsVersionIntolerant).is_some() {
        return format!(
            "{what} refuse{} clients that offer TLS 1.3 beside 1.2, and answer{} those that offer 1.2 alone",
            s(scope),
            s(scope)
        );
    }
    let Some(known) = fact(candidate, F::TlsAlert) else {
        return format!("{what} end{} the handshake", s(scope));
    };
    let (code, name) = (number(known, "alert"), value(known, "name"));
    let host = picture.context.target.host_text();
    let means = match code {
        40 => ": no version, cipher suite or group in common".to_owned(),
        47 => ": it takes something in the ClientHello for wrong".to_owned(),
        70 => ": no version in common".to_owned(),
        71 => ": what clients offer is too weak for it".to_owned(),
        80 => ": a fault of its own, see its log".to_owned(),
        86 => ": it takes the client for one that fell back to an older version".to_owned(),
        112 => format!(": it does not know the name {host}"),
        120 => ": no application protocol in common (ALPN)".to_owned(),
        _ => String::new(),
    };
    format!(
        "{what} end{} the handshake with alert {code}, {name}{means}",
        s(scope)
    )
}

fn client_cert(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope, what: &str) -> String {
    let refused = fact(candidate, F::ClientCertRefused);
    let how = refused.map_or("", |k| value(k, "how"));
    let shown = refused.map_or("", |k| value(k, "shown"));
    if shown.is_empty() {
        let before = match fact(candidate, F::ClientCertNotAskedBefore) {
            Some(_) => "; at the time of the baseline it did not",
            None => ", and this check has none to show",
        };
        return format!(
            "{what} ask{} for a client certificate and refuse{} clients without one ({how}){before}",
            s(scope),
            s(scope)
        );
    }
    let when = |known: &Known, key: &str| moment(picture.context.now, value(known, key));
    let why = if let Some(known) = fact(candidate, F::ClientCertEnded) {
        format!("it ended {}", when(known, "not_after"))
    } else if let Some(known) = fact(candidate, F::ClientCertNotBegun) {
        format!("it begins only {}", when(known, "not_before"))
    } else if let Some(known) = fact(candidate, F::ClientCertNotListed) {
        let mut takes = strings(Some(known), "/authorities");
        let more = takes.len().saturating_sub(AUTHORITIES_MAX);
        takes.truncate(AUTHORITIES_MAX);
        if more > 0 {
            takes.push(format!("{more} more"));
        }
        format!(
            "it is of {}, and the server takes those of {}",
            list(strings(Some(known), "/issuers")),
            list(takes)
        )
    } else {
        "its dates are right".to_owned()
    };
    format!(
        "{what} refuse{} our client certificate {shown} ({how}): {why}",
        s(scope)
    )
}
