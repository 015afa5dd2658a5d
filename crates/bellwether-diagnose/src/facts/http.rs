//! Facts about requests.

use bellwether_model::fact::Subject;
use bellwether_model::http::{
    Again, BodyEnd, CodingEnd, H2Result, HttpResult, HttpSeen, Phases, RedirectEnd, Way,
};
use bellwether_model::{Expect, FactKind};
use serde_json::json;

use super::Facts;
use crate::picture::{AddressView, Picture};

/// Largest segments where the probe asks for small ones.
const SMALL_MSS: u16 = 1200;

/// Headers by which content delivery networks and proxies sign what passes them.
const EDGE_HEADERS: [&str; 14] = [
    "cf-ray",
    "x-amz-cf-id",
    "x-served-by",
    "x-cache",
    "x-cache-hits",
    "x-varnish",
    "x-azure-ref",
    "x-akamai-request-id",
    "x-edge-location",
    "x-cdn",
    "x-iinfo",
    "x-envoy-upstream-service-time",
    "via",
    "proxy-status",
];
/// What stands in the `Server` header of edges and proxies, in lower case.
const EDGE_SERVERS: [&str; 14] = [
    "cloudflare",
    "akamai",
    "cloudfront",
    "awselb",
    "varnish",
    "fastly",
    "bunnycdn",
    "envoy",
    "google frontend",
    "gfe",
    "cdn",
    "edge",
    "proxy",
    "gateway",
];
/// How the pages begin that proxies make themselves when what is behind them fails.
const EDGE_PAGES: [&str; 7] = [
    "<title>502 Bad Gateway</title>",
    "<title>504 Gateway Time-out</title>",
    "<title>503 Service Temporarily Unavailable</title>",
    "Error 503 Backend fetch failed",
    "upstream connect error or disconnect/reset before headers",
    "No server is available to handle this request",
    "no healthy upstream",
];
/// How pages begin by which a client shall prove that a person uses it.
const CHALLENGE_PAGES: [&str; 5] = [
    "<title>Just a moment...</title>",
    "<title>Attention Required!",
    "_Incapsula_Resource",
    "Checking your browser before accessing",
    "Please enable JS and disable any ad blocker",
];
/// Headers that say the same, with the values that do.
const CHALLENGE_HEADERS: [(&str, &str); 3] = [
    ("cf-mitigated", "challenge"),
    ("x-amzn-waf-action", "challenge"),
    ("x-amzn-waf-action", "captcha"),
];
/// What is decoded is that many times as large as what came: text is coded to a twentieth at best.
const INFLATES_MIN: u64 = 100;

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    for view in picture.addresses.values() {
        let subject = Subject::Address(view.address);
        for (id, hop) in &view.http {
            over_h2(id, hop, &subject, facts);
        }
        if let Some((id, last)) = view.http.last() {
            exchange(picture, (id, last), view, &subject, facts);
            body(id, last, &subject, facts);
            status(picture, id, last, &subject, facts);
            others(picture, id, last, &subject, facts);
            redirect(id, last, &subject, facts);
            expectations(id, last, &subject, facts);
            slowness(picture, view, &subject, facts);
        }
        // Where a share of handshakes stalls, one that did not says nothing of segments.
        let tls = view.tls.filter(|_| !view.is_mixed);
        let tls = tls.filter(|(_, tls)| tls.small_segments == Some(true));
        if let Some((id, tls)) = tls {
            let value = json!({ "address": tls.address.to_string(), "mss": SMALL_MSS });
            facts.add(FactKind::LargeSegmentsLost, subject, value, [id]);
        }
    }
}

/// Does a request fail over HTTP/2 that works over HTTP/1.1?
#[must_use]
pub fn over_h2_fails(seen: &HttpSeen) -> bool {
    let fails = seen.h2.as_ref().is_some_and(|h2| h2.result.fails());
    fails && is_whole(seen)
}

/// A request over HTTP/2 that failed.
fn over_h2(id: &str, seen: &HttpSeen, subject: &Subject, facts: &mut Facts) {
    let Some(h2) = &seen.h2 else { return };
    let (what, detail) = match &h2.result {
        result if !result.fails() => return,
        // Over HTTP/1.1 it failed as well: that is told instead.
        _ if !is_whole(seen) => return,
        H2Result::NotSpoken { looks_like } => {
            let value = json!({ "url": seen.url, "address": seen.address.to_string(), "agreed": "h2", "spoken": looks_like });
            facts.add(FactKind::AlpnNotSpoken, subject.clone(), value, [id]);
            return;
        }
        H2Result::Response => return,
        H2Result::GoAway { reason } => ("GOAWAY", reason.as_str()),
        H2Result::Reset { reason } => ("RST_STREAM", reason.as_str()),
        H2Result::Stalled => ("no whole answer", ""),
        H2Result::Malformed { error } => ("wrong frames", error.as_str()),
        H2Result::Closed { error } => ("closed", error.as_str()),
    };
    let detail = Some(detail).filter(|detail| !detail.is_empty());
    let value = json!({ "url": seen.url, "address": seen.address.to_string(), "what": what, "detail": detail, "frames": h2.frames, "over_http_1": seen.status });
    facts.add(FactKind::H2Fails, subject.clone(), value, [id]);
}

/// Did a whole response come?
fn is_whole(seen: &HttpSeen) -> bool {
    let end = seen.body.as_ref().map(|body| body.end);
    seen.result == HttpResult::Response
        && end.is_none_or(|end| match end {
            BodyEnd::Complete | BodyEnd::Cut | BodyEnd::CutByMemory | BodyEnd::None => true,
            BodyEnd::Truncated
            | BodyEnd::Stalled
            | BodyEnd::Open
            | BodyEnd::Slow
            | BodyEnd::Malformed => false,
        })
}

fn exchange(
    picture: &Picture<'_>,
    (id, seen): (&str, &HttpSeen),
    view: &AddressView<'_>,
    subject: &Subject,
    facts: &mut Facts,
) {
    let url = &seen.url;
    match &seen.result {
        HttpResult::Stalled => {
            let read = Some(seen.head_read).filter(|read| *read > 0);
            let began = began_over_h2(seen).then_some("HTTP/2");
            let value = json!({ "url": url, "waited_ms": rounded(seen.phases.total_ms), "read": read, "began": began });
            facts.add(FactKind::HttpStalled, subject.clone(), value, [id]);
        }
        HttpResult::Malformed { error } => {
            let value = json!({ "url": url, "error": error });
            facts.add(FactKind::HttpMalformed, subject.clone(), value, [id]);
        }
        HttpResult::Closed { error, reset } => {
            let mut value = json!({ "url": url, "error": error });
            if *reset {
                let kind = FactKind::AddressResets;
                facts.add(kind, subject.clone(), value.clone(), [id]);
            }
            let (failed, of) = counted(&picture.context.expect, seen);
            // A share that is reset: at which step is chance.
            if *reset && (failed < of || view.is_mixed) {
                return;
            }
            let unasked = seen.again.iter().find(|again| again.way == Way::Silent);
            let ended = |again: &Again| matches!(again.result, HttpResult::Closed { .. });
            value["reset"] = json!(reset);
            value["read"] = json!(Some(seen.head_read).filter(|read| *read > 0));
            value["ended_unasked"] = json!(unasked.map(ended));
            value["of"] = json!(of);
            facts.add(FactKind::HttpClosed, subject.clone(), value, [id]);
        }
        HttpResult::NotConnected { error } if seen.hop > 0 => {
            let value = json!({ "url": url, "error": error });
            facts.add(FactKind::RedirectFails, subject.clone(), value, [id]);
        }
        HttpResult::NotConnected { .. } | HttpResult::Response => {}
    }
}

/// Did an answer begin over HTTP/2 that did not become whole?
fn began_over_h2(seen: &HttpSeen) -> bool {
    let stalled = seen.h2.as_ref().filter(|h2| h2.result == H2Result::Stalled);
    stalled.is_some_and(|h2| h2.frames.contains_key("HEADERS"))
}

fn body(id: &str, seen: &HttpSeen, subject: &Subject, facts: &mut Facts) {
    let Some(body) = &seen.body else { return };
    let mut value = json!({ "url": seen.url, "read": body.size, "announced": body.announced });
    let mut add = |kind, value| facts.add(kind, subject.clone(), value, [id]);
    match body.end {
        BodyEnd::Truncated => add(FactKind::HttpTruncated, value),
        BodyEnd::Malformed => {
            value["note"] = json!(body.note.as_deref().unwrap_or("the chunks are wrong"));
            add(FactKind::HttpFramingWrong, value);
        }
        BodyEnd::Stalled => add(FactKind::HttpBodyStalled, value),
        BodyEnd::Open | BodyEnd::Slow if !seen.is_stream() => {
            value["waited_ms"] = json!(rounded(seen.phases.transfer_ms));
            value["still_coming"] = json!(body.end == BodyEnd::Slow);
            add(FactKind::HttpNeverEnds, value);
        }
        BodyEnd::CutByMemory => add(FactKind::CutByMemory, value),
        BodyEnd::Open | BodyEnd::Slow | BodyEnd::Complete | BodyEnd::Cut | BodyEnd::None => {}
    }
    if let Some(note) = &body.note
        && body.end != BodyEnd::Malformed
    {
        let value = json!({ "url": seen.url, "note": note });
        add(FactKind::HttpOdd, value);
    }
    let Some(coding) = &body.coding else { return };
    let fault = match &coding.end {
        CodingEnd::Malformed { error } => format!("it is not ({error})"),
        CodingEnd::Truncated => "it ends inside".to_owned(),
        CodingEnd::WindowTooLarge { bytes } => {
            format!("it takes a window of {} MiB", bytes / (1024 * 1024))
        }
        CodingEnd::Complete | CodingEnd::Cut if !coding.accepted => {
            "the request does not ask for that".to_owned()
        }
        CodingEnd::Complete | CodingEnd::Cut | CodingEnd::Unknown => String::new(),
    };
    if !fault.is_empty() {
        let value = json!({ "url": seen.url, "codings": coding.codings, "fault": fault });
        add(FactKind::HttpCodingWrong, value);
    }
    if coding.end == CodingEnd::Cut && coding.size / INFLATES_MIN > coding.coded {
        let value = json!({ "url": seen.url, "codings": coding.codings, "read": coding.coded, "decoded": coding.size });
        add(FactKind::HttpInflates, value);
    }
}

fn status(picture: &Picture<'_>, id: &str, seen: &HttpSeen, subject: &Subject, facts: &mut Facts) {
    let Some(status) = seen.status else { return };
    if let Some(mark) = challenge(seen) {
        let value = json!({ "url": seen.url, "status": status, "mark": mark });
        facts.add(FactKind::HttpChallenge, subject.clone(), value, [id]);
    }
    let expect = &picture.context.expect;
    // We never name a copy of ours that could still be good (RFC 9110 section 15.4.5).
    if status == 304 && expect.status.is_empty() {
        let value = json!({ "url": seen.url });
        facts.add(FactKind::NotModifiedUnasked, subject.clone(), value, [id]);
    }
    if expect.takes_status(status) {
        return;
    }
    let expected: Vec<String> = expect.status.iter().map(ToString::to_string).collect();
    let mut value = json!({ "url": seen.url, "status": status, "expected": expected, "server": seen.header("server") });
    if let Some(after) = seen.header("retry-after") {
        value["retry_after"] = json!(after);
    }
    facts.add(FactKind::HttpStatus, subject.clone(), value.clone(), [id]);
    match status {
        500..=599 => {
            let (failed, of) = counted(expect, seen);
            value["failed"] = json!(failed);
            value["of"] = json!(of);
            facts.add(FactKind::HttpServerError, subject.clone(), value, [id]);
        }
        401 | 403 | 407 | 429 | 451 => {
            facts.add(FactKind::HttpDenied, subject.clone(), value, [id])
        }
        _ => {}
    }
    if let Some((header, text)) = edge(seen, status) {
        let value = json!({ "header": header, "value": text, "status": status });
        facts.add(FactKind::EdgeGenerated, subject.clone(), value, [id]);
    }
}

/// By what an error shows that an edge made it, because what is behind the edge failed.
fn edge(seen: &HttpSeen, status: u16) -> Option<(&str, &str)> {
    let sample = seen.body.as_ref().map_or("", |b| b.sample.as_str());
    let page = EDGE_PAGES.iter().find(|page| sample.contains(**page));
    if let Some(page) = page.filter(|_| matches!(status, 502..=504)) {
        return Some(("body", page));
    }
    if !matches!(status, 502 | 504 | 520..=530) {
        return None;
    }
    let signed = EDGE_HEADERS.iter();
    let signed = signed.filter_map(|header| Some((*header, seen.header(header)?)));
    let server = seen.header("server").filter(|server| {
        let server = server.to_ascii_lowercase();
        EDGE_SERVERS.iter().any(|edge| server.contains(edge))
    });
    let server = server.map(|server| ("server", server));
    server.or_else(|| signed.into_iter().next())
}

/// By what an answer shows that it is a challenge.
fn challenge(seen: &HttpSeen) -> Option<&'static str> {
    let sample = seen.body.as_ref().map_or("", |b| b.sample.as_str());
    let says = |(header, value): &&(&str, &str)| {
        let found = seen.header(header);
        found.is_some_and(|found| found.eq_ignore_ascii_case(value))
    };
    let by_header = CHALLENGE_HEADERS
        .iter()
        .find(says)
        .map(|(header, _)| *header);
    by_header.or_else(|| {
        CHALLENGE_PAGES
            .iter()
            .find(|p| sample.contains(**p))
            .copied()
    })
}

/// Of the same request, made several times: how many failed, and of how many.
#[must_use]
pub fn counted(expect: &Expect, seen: &HttpSeen) -> (usize, usize) {
    let same = || seen.again.iter().filter(|again| again.way == Way::Same);
    let failed = same().filter(|again| !works(expect, again)).count();
    let first = usize::from(!seen.again.iter().any(|again| again.way == Way::BrowserName));
    (failed + first, same().count() + first)
}

/// Is what we get kept from whoever has a browser's name? One sample each may be chance.
#[must_use]
pub fn refuses_browsers<'s>(expect: &Expect, seen: &'s HttpSeen) -> Option<&'s Again> {
    let of = |way: Way| seen.again.iter().filter(move |again| again.way == way);
    let gets = |again: &Again| works(expect, again) && again.as_declared != Some(false);
    let always = of(Way::BrowserName).count() >= 3 && !of(Way::BrowserName).any(gets);
    let ours = of(Way::Same).count() >= 2 && of(Way::Same).all(gets);
    let first = of(Way::BrowserName).next();
    first.filter(|_| always && ours && is_whole(seen))
}

fn works(expect: &Expect, again: &Again) -> bool {
    let whole = [
        None,
        Some(BodyEnd::Complete),
        Some(BodyEnd::Cut),
        Some(BodyEnd::None),
    ];
    again.result == HttpResult::Response
        && again
            .status
            .is_some_and(|status| expect.takes_status(status))
        && whole.contains(&again.body)
        && again.coding.as_ref().is_none_or(|end| match end {
            CodingEnd::Complete | CodingEnd::Cut | CodingEnd::Unknown => true,
            CodingEnd::Malformed { .. }
            | CodingEnd::Truncated
            | CodingEnd::WindowTooLarge { .. } => false,
        })
}

/// Is a browser served where we are not, each time that we ask?
#[must_use]
pub fn serves_browsers(expect: &Expect, seen: &HttpSeen) -> bool {
    let denied = seen
        .status
        .is_some_and(|s| (400..=499).contains(&s) && !expect.takes_status(s));
    let refused = denied || matches!(seen.result, HttpResult::Closed { .. });
    let mut browsers = seen.again.iter().filter(|again| again.way == Way::Browser);
    let (failed, of) = counted(expect, seen);
    refused && failed == of && browsers.any(|again| works(expect, again))
}

/// What comes under a browser's name, in words.
fn browser_gets(expect: &Expect, again: &Again) -> String {
    match (&again.result, again.status) {
        (HttpResult::Response, Some(status)) if expect.takes_status(status) => {
            format!("{status} without what is declared")
        }
        (HttpResult::Response, Some(status)) => status.to_string(),
        _ => "no answer".to_owned(),
    }
}

/// What the same request in other ways came to.
fn others(picture: &Picture<'_>, id: &str, seen: &HttpSeen, subject: &Subject, facts: &mut Facts) {
    let expect = &picture.context.expect;
    if let Some(browser) = refuses_browsers(expect, seen) {
        let value = json!({ "url": seen.url, "status": seen.status, "browser": browser_gets(expect, browser) });
        facts.add(FactKind::BrowsersRefused, subject.clone(), value, [id]);
    }
    let (failed, of) = counted(expect, seen);
    if failed > 0 && failed < of {
        let value = json!({ "url": seen.url, "worked": of - failed, "of": of });
        facts.add(FactKind::HttpWorksAtTimes, subject.clone(), value, [id]);
    }
    if serves_browsers(expect, seen) {
        let value = json!({ "url": seen.url, "status": seen.status });
        facts.add(FactKind::BrowsersServed, subject.clone(), value, [id]);
    }
    let small = seen
        .again
        .iter()
        .find(|again| again.way == Way::SmallSegments);
    let came = small.filter(|again| {
        again.result == HttpResult::Response
            && matches!(again.body, Some(BodyEnd::Complete | BodyEnd::Cut))
    });
    if let Some(small) = came {
        let read = seen.body.as_ref().map_or(0, |body| body.size);
        let value = json!({ "address": seen.address.to_string(), "url": seen.url, "mss": small.mss, "read": read, "read_in_small": small.size });
        facts.add(FactKind::LargeSegmentsLost, subject.clone(), value, [id]);
    }
}

/// Would the answer have come in time, had the server not waited?
fn slowness(picture: &Picture<'_>, view: &AddressView<'_>, subject: &Subject, facts: &mut Facts) {
    let Some(within) = picture.context.expect.within_ms else {
        return;
    };
    // Milliseconds that a person declares are far below 2^53.
    let within = within as f64;
    let hops = || view.http.iter().map(|(_, hop)| hop.phases);
    let total: f64 = hops().map(|phases| phases.total_ms).sum();
    let way: f64 = hops().map(|phases| phases.connect_ms).sum();
    // The first byte cannot come before the request has gone there and the answer come back.
    let own = |phases: Phases| (phases.wait_ms - phases.connect_ms).max(0.0);
    let waited: f64 = hops().map(own).sum();
    if total > within && total - waited <= within {
        let value = json!({ "waited_ms": rounded(waited), "connect_ms": rounded(way), "within_ms": within, "took_ms": rounded(total) });
        let from = view.http.iter().map(|(id, _)| *id);
        facts.add(FactKind::FirstByteSlow, subject.clone(), value, from);
    }
}

fn rounded(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
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
        RedirectEnd::Unusable { reason } => (FactKind::RedirectNowhere, reason.clone()),
        RedirectEnd::NoLocation => (FactKind::RedirectNowhere, "it names none".to_owned()),
        RedirectEnd::Followed => return,
    };
    let mut value = json!({ "url": seen.url, "location": redirect.location, "reason": reason });
    if kind == FactKind::RedirectNowhere {
        let location = Some(&redirect.location).filter(|location| !location.is_empty());
        value["location"] = json!(location);
        value["status"] = json!(seen.status);
    }
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
