//! Facts about handshakes.

use std::collections::BTreeSet;

use bellwether_model::FactKind;
use bellwether_model::fact::Subject;
use bellwether_model::net::TryEnd;
use bellwether_model::tls::{HelloAnswer, HelloKind, HelloSeen, TlsResult, TlsSeen, alert_name};
use serde_json::{Value, json};

use super::Facts;
use crate::picture::{AddressView, Picture};

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    for view in picture.addresses.values() {
        let subject = Subject::Address(view.address);
        let Some((id, tls)) = view.tls else { continue };
        for (kind, mut value) in of_result(&tls.result) {
            // Of a share that is reset, at which step is chance.
            if is_reset_at_times(view, &tls.result, kind) {
                continue;
            }
            value["address"] = json!(tls.address.to_string());
            if kind == FactKind::TlsClosed
                && let Some((_, seen)) = view.hellos
            {
                let answered = seen.hellos.iter().filter(|h| version_of(h).is_some());
                value["other_hellos_answered"] = json!(answered.count());
            }
            let hellos = view.hellos.filter(|_| kind == FactKind::ChainTooLarge);
            let from = [id].into_iter().chain(hellos.map(|(id, _)| id));
            if let Some((_, hellos)) = hellos {
                chain_size(hellos, &mut value);
            }
            facts.add(kind, subject.clone(), value, from);
        }
        name_refused(view, &subject, facts);
        // Where a share fails, which of them failed is chance.
        if let Some((hello_id, hellos)) = view.hellos
            && tls.result != TlsResult::Completed
            && !view.is_mixed
        {
            for (kind, mut value) in of_hellos(&tls.result, &hellos.hellos) {
                value["address"] = json!(tls.address.to_string());
                facts.add(kind, subject.clone(), value, [id, hello_id]);
            }
        }
    }
}

/// Is it the end of a handshake that was reset, where a share of connections is?
pub(super) fn is_reset_at_times(
    view: &AddressView<'_>,
    result: &TlsResult,
    kind: FactKind,
) -> bool {
    let is_reset = matches!(result, TlsResult::Closed { reset: true, .. });
    view.is_mixed && is_reset && kind == FactKind::TlsClosed
}

/// Handshakes end that name the host; one without a name completes.
fn name_refused(view: &AddressView<'_>, subject: &Subject, facts: &mut Facts) {
    let (Some((id, tls)), Some((bare_id, bare))) = (view.tls, view.tls_no_sni) else {
        return;
    };
    let ends = matches!(tls.result, TlsResult::Closed { .. }) && !view.is_mixed;
    let hellos = view.hellos.map_or(&[][..], |(_, seen)| &seen.hellos[..]);
    let answered = hellos.iter().any(|h| version_of(h).is_some());
    if ends && !answered && bare.result == TlsResult::Completed {
        let names = bare.chain.first().map(|cert| cert.names.clone());
        let value =
            json!({ "address": tls.address.to_string(), "name": tls.sni, "shown_without": names });
        let ids = [id, bare_id];
        facts.add(FactKind::TlsNameRefused, subject.clone(), value, ids);
    }
}

/// What the end of a handshake says by itself.
pub(super) fn of_result(result: &TlsResult) -> Vec<(FactKind, Value)> {
    let one = match result {
        TlsResult::Completed | TlsResult::NotConnected { .. } | TlsResult::Failed { .. } => {
            return Vec::new();
        }
        TlsResult::Alert { code, name } => {
            (FactKind::TlsAlert, json!({ "alert": code, "name": name }))
        }
        TlsResult::Stalled => (FactKind::TlsStalled, json!({})),
        TlsResult::NotTls { looks_like } => {
            (FactKind::TlsNotSpoken, json!({ "looks_like": looks_like }))
        }
        TlsResult::Malformed { error } => (FactKind::TlsMalformed, json!({ "error": error })),
        TlsResult::TooLarge { limit } => (
            FactKind::ChainTooLarge,
            json!({ "limit": limit, "reason": format!("its part of the handshake is larger than {limit} bytes (oversize chain)") }),
        ),
        TlsResult::Closed { error, reset } => {
            let value = json!({ "error": error, "reset": reset });
            let closed = (FactKind::TlsClosed, value);
            let resets = reset.then(|| (FactKind::AddressResets, json!({})));
            return [closed].into_iter().chain(resets).collect();
        }
    };
    vec![one]
}

/// How large a chain is that was cut, where the server also sends it in clear.
fn chain_size(hellos: &TlsSeen, value: &mut Value) {
    let largest = hellos.hellos.iter().max_by_key(|h| h.chain_size);
    if let Some(hello) = largest.filter(|h| h.chain_size > 0) {
        value["size"] = json!(hello.chain_size);
        value["certificates"] = json!(hello.chain_len);
        value["reason"] = json!(format!(
            "oversize chain, {} bytes of certificates; clients take {} at most",
            hello.chain_size, value["limit"]
        ));
    }
}

fn version_of(hello: &HelloSeen) -> Option<String> {
    match &hello.answer {
        HelloAnswer::ServerHello { version, .. } => Some(version.clone()),
        HelloAnswer::Alert { .. }
        | HelloAnswer::Stalled
        | HelloAnswer::Closed { .. }
        | HelloAnswer::NotTls { .. }
        | HelloAnswer::Malformed { .. }
        | HelloAnswer::NotConnected { .. } => None,
    }
}

/// No list of certificates is as long as some lengths say.
fn too_large(hellos: &[HelloSeen]) -> Vec<(FactKind, Value)> {
    let broken = hellos.iter().find_map(|h| match &h.answer {
        HelloAnswer::Malformed { error } => Some(error),
        HelloAnswer::ServerHello { .. }
        | HelloAnswer::Alert { .. }
        | HelloAnswer::Stalled
        | HelloAnswer::Closed { .. }
        | HelloAnswer::NotTls { .. }
        | HelloAnswer::NotConnected { .. } => None,
    });
    let known = broken.map(|error| (FactKind::TlsMalformed, json!({ "error": error })));
    known.into_iter().collect()
}

/// What ClientHellos of other shapes tell of a handshake that failed.
fn of_hellos(result: &TlsResult, hellos: &[HelloSeen]) -> Vec<(FactKind, Value)> {
    let by = |kind: HelloKind| hellos.iter().find(|h| h.hello == kind);
    if let TlsResult::TooLarge { .. } = result {
        return too_large(hellos);
    }
    let is_answered = |kind: HelloKind| by(kind).is_some_and(|h| version_of(h).is_some());
    let versions: BTreeSet<String> = hellos.iter().filter_map(version_of).collect();
    let is_old = |version: &str| matches!(version, "SSL 3.0" | "TLS 1.0" | "TLS 1.1");
    if !versions.is_empty() && versions.iter().all(|v| is_old(v)) {
        let ends = hellos.iter().find_map(|h| h.chain.first()?.not_after);
        let value = json!({ "versions": versions, "certificate_until": ends });
        return vec![(FactKind::TlsOldVersionsOnly, value)];
    }
    if let TlsResult::Alert { code: 120, name } = result {
        let known = is_answered(HelloKind::WithoutAlpn);
        let value = json!({ "alert": 120, "name": name });
        return known
            .then_some((FactKind::AlpnRefused, value))
            .into_iter()
            .collect();
    }
    let (small, large) = (by(HelloKind::Small), by(HelloKind::Large));
    if let (Some(small), Some(large)) = (small, large)
        && matches!(result, TlsResult::Stalled | TlsResult::Closed { .. })
        && is_answered(HelloKind::Small)
        && matches!(
            large.answer,
            HelloAnswer::Stalled | HelloAnswer::Closed { .. }
        )
    {
        let value = json!({ "small": small.size, "large": large.size });
        return vec![(FactKind::TlsLargeHelloStalls, value)];
    }
    if !is_answered(HelloKind::Small)
        && !is_answered(HelloKind::Large)
        && let Some(HelloAnswer::ServerHello {
            version,
            cipher,
            is_current,
        }) = by(HelloKind::Tls12).map(|h| &h.answer)
    {
        let kind = if *is_current {
            FactKind::TlsVersionIntolerant
        } else {
            FactKind::TlsOldSuitesOnly
        };
        return vec![(kind, json!({ "version": version, "suite": cipher }))];
    }
    let is_unanswered =
        |h: &HelloSeen| matches!(h.answer, HelloAnswer::Stalled | HelloAnswer::Closed { .. });
    let (silent, said): (Vec<_>, Vec<_>) =
        hellos.iter().partition(|h| h.hello == HelloKind::Silent);
    if !said.is_empty() && said.iter().all(|h| is_unanswered(h)) {
        let ends = |h: &&HelloSeen| matches!(h.answer, HelloAnswer::Closed { .. });
        let value = json!({ "tried": said.len(), "ended_unasked": silent.iter().any(ends) });
        return vec![(FactKind::TlsNoHelloAnswered, value)];
    }
    Vec::new()
}

/// A failing attempt, where it is about the client's certificate.
pub(super) fn client_auth(picture: &Picture<'_>, facts: &mut Facts) {
    for view in picture.addresses.values() {
        if view.attempt.fails() {
            refused(picture, view, facts);
        }
    }
}

/// Alerts that speak of the certificate that the client shows, or does not show
/// (RFC 8446 section 6.2): that it may not come in (49), and that a signature of it does not fit (51),
/// too.
const CLIENT_CERT_ALERTS: [u8; 9] = [42, 43, 44, 45, 46, 48, 49, 51, 116];

fn refused(picture: &Picture<'_>, view: &AddressView<'_>, facts: &mut Facts) {
    let Some((id, tls)) = view.tls else { return };
    let Some((how, from)) = refusal(picture, view, id, tls) else {
        return;
    };
    let subject = Subject::Address(view.address);
    let address = tls.address.to_string();
    let auth = tls.client_auth.clone().unwrap_or_default();
    let value = json!({
        "address": address,
        "authorities": auth.authorities,
        "authorities_len": auth.authorities_len,
    });
    facts.add(FactKind::ClientCertRequested, subject.clone(), value, [id]);
    let shown = auth.shown.as_deref();
    let value = json!({
        "address": address,
        "how": how,
        "shown": shown.map(|cert| cert.subject.clone()),
    });
    facts.add(FactKind::ClientCertRefused, subject.clone(), value, from);
    let before = picture.context.baseline.iter().flat_map(|b| &b.addresses);
    let asked = |of: &bellwether_model::report::BaselineAddress| of.client_cert_requested;
    let here = view.before.map(asked);
    let everywhere: BTreeSet<Option<bool>> = before.map(asked).collect();
    let not_before = match here {
        Some(asked) => asked == Some(false),
        None => everywhere.len() == 1 && everywhere.contains(&Some(false)),
    };
    if not_before && tls.client_cert_requested {
        let at = picture.context.baseline.as_ref().map(|b| b.at);
        let value = json!({ "address": address, "baseline": at });
        facts.add(
            FactKind::ClientCertNotAskedBefore,
            subject.clone(),
            value,
            [id],
        );
    }
    let Some(cert) = shown else { return };
    let now = picture.context.now;
    if let Some(end) = cert.not_after.filter(|end| *end < now) {
        let value = json!({ "subject": cert.subject, "not_after": end });
        facts.add(FactKind::ClientCertEnded, subject.clone(), value, [id]);
    }
    if let Some(begin) = cert.not_before.filter(|begin| *begin > now) {
        let value = json!({ "subject": cert.subject, "not_before": begin });
        facts.add(FactKind::ClientCertNotBegun, subject.clone(), value, [id]);
    }
    // A list that was cut may name it further down.
    let is_whole = !auth.authorities.is_empty() && auth.authorities.len() == auth.authorities_len;
    if is_whole && !auth.issuers.iter().any(|i| auth.authorities.contains(i)) {
        let value = json!({
            "address": address,
            "issuers": auth.issuers,
            "authorities": auth.authorities,
        });
        facts.add(FactKind::ClientCertNotListed, subject, value, [id]);
    }
}

/// By what the server refused the client's certificate, with the observations that show it.
fn refusal<'v>(
    picture: &Picture<'_>,
    view: &AddressView<'v>,
    id: &'v str,
    tls: &TlsSeen,
) -> Option<(String, Vec<&'v str>)> {
    let asked = tls.client_cert_requested;
    let speaks_of_it = |code: u8| asked || CLIENT_CERT_ALERTS.contains(&code);
    match &tls.result {
        TlsResult::Alert { code, name } if speaks_of_it(*code) => {
            return Some((format!("alert {code}, {name}"), vec![id]));
        }
        TlsResult::Closed { reset: false, .. } if asked => {
            return Some(("closing the connection".to_owned(), vec![id]));
        }
        TlsResult::Completed
        | TlsResult::Alert { .. }
        | TlsResult::Stalled
        | TlsResult::Closed { .. }
        | TlsResult::NotTls { .. }
        | TlsResult::NotConnected { .. }
        | TlsResult::Malformed { .. }
        | TlsResult::TooLarge { .. }
        | TlsResult::Failed { .. } => {}
    }
    if let Some((tries_id, tries)) = view.tries {
        let code = tries.ends.iter().find_map(|end| match &end.end {
            TryEnd::Handshake {
                result: TlsResult::Alert { code, .. },
            } => Some(*code),
            TryEnd::Request { tls_alert, .. } => *tls_alert,
            TryEnd::Works
            | TryEnd::Connection { .. }
            | TryEnd::Handshake { .. }
            | TryEnd::Certificate { .. } => None,
        });
        if let Some(code) = code.filter(|code| speaks_of_it(*code)) {
            let name = alert_name(code);
            return Some((format!("alert {code}, {name}"), vec![id, tries_id]));
        }
    }
    let (http_id, http) = view.http.last().filter(|_| asked)?;
    if let Some(code) = http.tls_alert {
        let name = alert_name(code);
        return Some((format!("alert {code}, {name}"), vec![id, http_id]));
    }
    // Some servers shake hands with everybody and refuse by an answer.
    let status = http
        .status
        .filter(|s| !picture.context.expect.takes_status(*s))?;
    let is_new = view.before.and_then(|b| b.client_cert_requested) == Some(false);
    let sample = http.body.as_ref().map_or("", |b| b.sample.as_str());
    let says_so = sample.to_ascii_lowercase().contains("certificate");
    let is_refusal = match status {
        495 | 496 => true,
        400 | 401 | 403 => is_new || says_so,
        _ => false,
    };
    is_refusal.then(|| (format!("HTTP status {status}"), vec![id, http_id]))
}
