//! Facts of several attempts at one address.

use std::collections::BTreeMap;

use bellwether_model::FactKind;
use bellwether_model::fact::Subject;
use bellwether_model::http::HttpResult;
use bellwether_model::net::{TcpResult, TryEnd};
use bellwether_model::tls::TlsResult;
use serde_json::{Value, json};

use super::{Facts, cert, net, tls};
use crate::picture::{AddressView, Picture};

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    for view in picture.addresses.values().filter(|v| v.attempt.fails()) {
        let Some((id, tries)) = view.tries else {
            continue;
        };
        let subject = Subject::Address(view.address);
        let address = tries.address.to_string();
        for end in &tries.ends {
            for (kind, mut value) in of_end(picture, &address, &end.end) {
                if let TryEnd::Handshake { result } = &end.end
                    && tls::is_reset_at_times(view, result, kind)
                {
                    continue;
                }
                let is_known = |f: &super::Known| f.kind == kind && f.subject == subject;
                if facts.all().iter().any(is_known) {
                    continue;
                }
                value["address"] = json!(address);
                facts.add(kind, subject.clone(), value, [id]);
            }
        }
        if view.is_mixed {
            let value = json!({
                "address": address,
                "made": tries.made,
                "failed": tries.failed,
                "how": how(view),
            });
            let first = view.tcp.map(|(id, _)| id);
            let from = first.into_iter().chain([id]);
            facts.add(FactKind::WorksSometimes, subject, value, from);
        }
    }
}

/// What the end of one of several attempts says.
fn of_end(picture: &Picture<'_>, address: &str, end: &TryEnd) -> Vec<(FactKind, Value)> {
    match end {
        TryEnd::Works => Vec::new(),
        TryEnd::Connection { result } => net::of_result(address, result).into_iter().collect(),
        TryEnd::Handshake { result } => tls::of_result(result),
        TryEnd::Certificate { problems } => problems
            .iter()
            .flat_map(|problem| cert::of_problem(problem, &BTreeMap::new(), &|_| None))
            .collect(),
        TryEnd::Request { result, status, .. } => {
            let url = &picture.context.target.text;
            let value = json!({ "url": url, "status": status });
            match (result, status) {
                (HttpResult::Response, Some(500..=599)) => vec![
                    (FactKind::HttpStatus, value.clone()),
                    (FactKind::HttpServerError, value),
                ],
                (HttpResult::Response, Some(_)) => vec![(FactKind::HttpStatus, value)],
                (HttpResult::Stalled, _) => vec![(FactKind::HttpStalled, json!({ "url": url }))],
                (HttpResult::Closed { error, reset }, _) => {
                    let value = json!({ "url": url, "error": error, "reset": reset });
                    let kind = match reset {
                        true => FactKind::AddressResets,
                        false => FactKind::HttpClosed,
                    };
                    vec![(kind, value)]
                }
                (HttpResult::Malformed { error }, _) => {
                    let value = json!({ "url": url, "error": error });
                    vec![(FactKind::HttpMalformed, value)]
                }
                (HttpResult::Response | HttpResult::NotConnected { .. }, _) => Vec::new(),
            }
        }
    }
}

/// `3 × refused, 1 × timed out`.
pub(crate) fn how(view: &AddressView<'_>) -> String {
    let Some((_, tries)) = view.tries else {
        return String::new();
    };
    let failing = tries.ends.iter().filter(|end| !end.end.works());
    let parts: Vec<String> = failing
        .map(|end| format!("{} × {}", end.count, words(&end.end)))
        .collect();
    match parts.is_empty() {
        true => "the first alone".to_owned(),
        false => parts.join(", "),
    }
}

fn words(end: &TryEnd) -> String {
    match end {
        TryEnd::Works => "works".to_owned(),
        TryEnd::Connection { result } => match result {
            TcpResult::Connected => "connected".to_owned(),
            TcpResult::Refused => "refused".to_owned(),
            TcpResult::Reset => "reset".to_owned(),
            TcpResult::TimedOut => "timed out".to_owned(),
            TcpResult::NoRoute => "no route".to_owned(),
            TcpResult::Unreachable { error } | TcpResult::Error { error } => error.clone(),
        },
        TryEnd::Handshake { result } => match result {
            TlsResult::Completed => "completed".to_owned(),
            TlsResult::Alert { code, name } => format!("alert {code}, {name}"),
            TlsResult::Stalled => "handshake stalled".to_owned(),
            TlsResult::Closed { reset: true, .. } => "reset in the handshake".to_owned(),
            TlsResult::Closed { .. } => "closed in the handshake".to_owned(),
            TlsResult::NotTls { looks_like } => format!("no TLS but {looks_like}"),
            TlsResult::TooLarge { .. } => "oversize chain".to_owned(),
            TlsResult::NotConnected { error }
            | TlsResult::Malformed { error }
            | TlsResult::Failed { error } => error.clone(),
        },
        TryEnd::Certificate { .. } => "certificate refused".to_owned(),
        TryEnd::Request {
            result,
            status,
            tls_alert,
        } => match (tls_alert, status, result) {
            (Some(code), ..) => {
                let name = bellwether_model::tls::alert_name(*code);
                format!("alert {code}, {name}, after the handshake")
            }
            (None, Some(status), HttpResult::Response) => format!("status {status}"),
            (None, _, HttpResult::Stalled) => "no answer".to_owned(),
            (None, _, HttpResult::Closed { error, .. })
            | (None, _, HttpResult::Malformed { error })
            | (None, _, HttpResult::NotConnected { error }) => error.clone(),
            (None, None, HttpResult::Response) => "no status".to_owned(),
        },
    }
}
