//! Facts about requests.

use bellwether_model::FactKind;
use bellwether_model::fact::Subject;
use bellwether_model::http::{BodyEnd, HttpResult, HttpSeen, RedirectEnd};
use serde_json::json;

use super::Facts;
use crate::picture::Picture;

/// Headers by which content delivery networks and proxies sign what they make themselves.
const EDGE_HEADERS: [&str; 6] = [
    "cf-ray",
    "x-amz-cf-id",
    "x-served-by",
    "x-cache",
    "via",
    "x-azure-ref",
];

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    for view in picture.addresses.values() {
        let subject = Subject::Address(view.address);
        if let Some((id, last)) = view.http.last() {
            exchange(id, last, &subject, facts);
            status(picture, id, last, &subject, facts);
            redirect(id, last, &subject, facts);
            expectations(id, last, &subject, facts);
        }
    }
}

fn exchange(id: &str, seen: &HttpSeen, subject: &Subject, facts: &mut Facts) {
    let url = &seen.url;
    match &seen.result {
        HttpResult::Stalled => {
            let value = json!({ "url": url, "waited_ms": seen.phases.total_ms });
            facts.add(FactKind::HttpStalled, subject.clone(), value, [id]);
        }
        HttpResult::Malformed { error } => {
            let value = json!({ "url": url, "error": error });
            facts.add(FactKind::HttpMalformed, subject.clone(), value, [id]);
        }
        HttpResult::Closed { error } => {
            let value = json!({ "url": url, "error": error });
            facts.add(FactKind::AddressResets, subject.clone(), value, [id]);
        }
        HttpResult::NotConnected { error } if seen.hop > 0 => {
            let value = json!({ "url": url, "error": error });
            facts.add(FactKind::RedirectFails, subject.clone(), value, [id]);
        }
        HttpResult::NotConnected { .. } | HttpResult::Response => {}
    }
    let Some(body) = &seen.body else { return };
    let value = json!({ "url": url, "read": body.size, "announced": body.announced });
    match body.end {
        BodyEnd::Truncated | BodyEnd::Malformed => {
            facts.add(FactKind::HttpTruncated, subject.clone(), value, [id]);
        }
        BodyEnd::Stalled => facts.add(FactKind::HttpStalled, subject.clone(), value, [id]),
        BodyEnd::Complete | BodyEnd::Cut | BodyEnd::None => {}
    }
}

fn status(picture: &Picture<'_>, id: &str, seen: &HttpSeen, subject: &Subject, facts: &mut Facts) {
    let Some(status) = seen
        .status
        .filter(|s| !picture.context.expect.takes_status(*s))
    else {
        return;
    };
    let expected: Vec<String> = picture
        .context
        .expect
        .status
        .iter()
        .map(ToString::to_string)
        .collect();
    let value = json!({ "url": seen.url, "status": status, "expected": expected, "server": seen.header("server") });
    facts.add(FactKind::HttpStatus, subject.clone(), value.clone(), [id]);
    match status {
        500..=599 => facts.add(FactKind::HttpServerError, subject.clone(), value, [id]),
        401 | 403 | 407 | 429 | 451 => {
            facts.add(FactKind::HttpDenied, subject.clone(), value, [id])
        }
        _ => {}
    }
    let edge = EDGE_HEADERS.iter().find(|h| seen.header(h).is_some());
    if let Some(header) = edge.filter(|_| matches!(status, 502 | 504 | 520..=530)) {
        let value = json!({ "header": header, "value": seen.header(header), "status": status });
        facts.add(FactKind::EdgeGenerated, subject.clone(), value, [id]);
    }
}

fn redirect(id: &str, seen: &HttpSeen, subject: &Subject, facts: &mut Facts) {
    let Some(redirect) = &seen.redirect else {
        return;
    };
    let (kind, reason) = match &redirect.end {
        RedirectEnd::Loop => (FactKind::RedirectLoop, "loop".to_owned()),
        RedirectEnd::Limit => (FactKind::RedirectLoop, "limit".to_owned()),
        RedirectEnd::Refused { reason } => (FactKind::RedirectRefused, reason.clone()),
        RedirectEnd::Unresolved { reason } => (FactKind::RedirectFails, reason.clone()),
        RedirectEnd::Followed | RedirectEnd::NoLocation => return,
    };
    let value = json!({ "url": seen.url, "location": redirect.location, "reason": reason });
    facts.add(kind, subject.clone(), value, [id]);
}

fn expectations(id: &str, seen: &HttpSeen, subject: &Subject, facts: &mut Facts) {
    for failed in seen
        .expectations
        .iter()
        .filter(|e| !e.met && e.what != "status")
    {
        let value =
            json!({ "what": failed.what, "expected": failed.expected, "found": failed.found });
        let kind = match failed.what.as_str() {
            "within" => FactKind::SlowerThanDeclared,
            "role" => FactKind::RoleDiffers,
            _ => FactKind::ExpectationFailed,
        };
        facts.add(kind, subject.clone(), value.clone(), [id]);
        if kind != FactKind::ExpectationFailed {
            facts.add(FactKind::ExpectationFailed, subject.clone(), value, [id]);
        }
    }
}
