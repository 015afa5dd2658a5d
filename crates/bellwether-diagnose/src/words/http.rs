//! Requests and answers, in words.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bellwether_model::report::Scope;
use bellwether_model::{Cause, FactKind};
use serde_json::Value;

use super::list;
use super::read::{fact, strings, value};
use crate::candidates::Candidate;
use crate::facts::Known;
use crate::facts::http::over_h2_fails;
use crate::picture::Picture;

/// Longest URL in a sentence, characters; evidence has more of it.
const URL_LEN_MAX: usize = 120;

/// What is wrong with an answer, or with the way to it.
pub(super) fn http(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope) -> String {
    let who = asked_at(picture, candidate, scope);
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
    let url = &short(url);
    if let Some(said) = unanswered(candidate, url, &who) {
        return said;
    }
    match candidate.rule.cause {
        Cause::HttpStatus5xx | Cause::HttpOriginUnreachable | Cause::HttpBlockedByPolicy => {
            let status = status.map(|s| s.to_string()).unwrap_or_default();
            let made = if candidate.rule.cause == Cause::HttpOriginUnreachable {
                ", made by the edge"
            } else if fact(candidate, FactKind::BrowsersServed).is_some() {
                "; a browser is served"
            } else {
                ""
            };
            format!("{url} answers {status} at {who}{}{made}", times(candidate))
        }
        Cause::HttpSlowFirstByte => {
            let Some(known) = fact(candidate, FactKind::SlowerThanDeclared) else {
                return stalled(candidate, url, &who);
            };
            let (want, got) = (value(known, "expected"), value(known, "found"));
            format!("the answer took {got} at {who}, declared is {want}")
        }
        Cause::HttpH2Broken => {
            let known = fact(candidate, FactKind::H2Fails);
            let (what, detail) = known.map_or(("", ""), |k| (value(k, "what"), value(k, "detail")));
            let detail = match detail {
                "" => String::new(),
                detail => format!(" ({detail})"),
            };
            format!("HTTP/2 fails at {who}, HTTP/1.1 works there: {what}{detail}")
        }
        _ => {
            if let Some(said) = wrong_body(candidate, url, &who) {
                return said;
            }
            if let Some(known) = fact(candidate, FactKind::RedirectLoop) {
                let (from, to) = (short(value(known, "url")), short(value(known, "location")));
                if value(known, "reason") == "limit" {
                    let from = short(&picture.context.target.text);
                    return format!(
                        "more than ten redirects lead from {from} on to {to}, without an end"
                    );
                }
                return format!("redirects lead in a circle: {from} → {to}");
            }
            if let Some(known) = fact(candidate, FactKind::ExpectationFailed) {
                return expectation(known, &who);
            }
            match status {
                Some(status) => format!("{url} answers {status} at {who}{}", times(candidate)),
                None => format!("{url} does not answer with what was announced at {who}"),
            }
        }
    }
}

/// The addresses that were asked last: those of the service, or where these redirect to.
fn asked_at(picture: &Picture<'_>, candidate: &Candidate, scope: &Scope) -> String {
    // What took too long is the whole way, and a role is that of the first answer.
    let is_whole_way = [FactKind::SlowerThanDeclared, FactKind::RoleOfAnother];
    let is_whole_way = is_whole_way
        .iter()
        .any(|kind| fact(candidate, *kind).is_some());
    let ends = scope.addresses.iter().map(|address| {
        let view = picture.addresses.get(address).filter(|_| !is_whole_way);
        let hop = view.and_then(|view| match candidate.rule.cause {
            Cause::HttpH2Broken => {
                let mut hops = view.http.iter().map(|(_, hop)| *hop);
                hops.find(|hop| over_h2_fails(hop))
            }
            _ => view.led_to(),
        });
        hop.map_or(*address, |hop| hop.address.ip())
    });
    let ends: Vec<IpAddr> = ends.collect();
    let entries = list(scope.addresses.clone());
    if ends == scope.addresses {
        return entries;
    }
    let unique: BTreeSet<IpAddr> = ends.into_iter().collect();
    format!("{} (redirected to from {entries})", list(unique))
}

/// A URL as it stands in a sentence: of a long one its beginning tells enough.
pub(super) fn short(url: &str) -> String {
    if url.chars().count() <= URL_LEN_MAX {
        return url.to_owned();
    }
    let begin: String = url.chars().take(URL_LEN_MAX).collect();
    format!("{begin}…")
}

/// Which part of equal requests it was, where it was not all.
pub(super) fn times(candidate: &Candidate) -> String {
    let number = |known: &Known, key| known.value.get(key).and_then(Value::as_u64);
    let known = fact(candidate, FactKind::HttpWorksAtTimes);
    let counted = known.and_then(|k| Some((number(k, "of")?, number(k, "worked")?)));
    counted.map_or_else(String::new, |(of, worked)| {
        format!(", {} of {of} times", of.saturating_sub(worked))
    })
}

/// What is wrong with a body or a redirect, where that is told by more than the status.
fn wrong_body(candidate: &Candidate, url: &str, who: &str) -> Option<String> {
    let of = |kind| fact(candidate, kind);
    let times = times(candidate);
    if let Some(known) = of(FactKind::HttpCodingWrong) {
        let codings = list(strings(Some(known), "/codings"));
        let fault = value(known, "fault");
        return Some(format!(
            "the body of {url} at {who} says{times} that it is coded as {codings}: {fault}"
        ));
    }
    if let Some(known) = of(FactKind::HttpNeverEnds) {
        let read = known.value.get("read").and_then(Value::as_u64);
        let read = read.unwrap_or_default();
        return Some(format!(
            "the body of {url} at {who} does not end: {read} bytes came"
        ));
    }
    if let Some(known) = of(FactKind::HttpFramingWrong) {
        let note = value(known, "note");
        return Some(format!(
            "the length of the body of {url} at {who} is wrong{times}: {note}"
        ));
    }
    if let Some(known) = of(FactKind::HttpTruncated) {
        let number = |key| known.value.get(key).and_then(Value::as_u64);
        let read = number("read").unwrap_or_default();
        let all = number("announced").map_or_else(String::new, |all| format!(" of {all}"));
        return Some(format!(
            "the body of {url} at {who} ends after {read}{all} bytes{times}"
        ));
    }
    if let Some(known) = of(FactKind::HttpMalformed) {
        let error = value(known, "error");
        return Some(format!(
            "what {url} answers at {who} is not HTTP{times}: {error}"
        ));
    }
    if let Some(said) = wrong_redirect(candidate, url, who) {
        return Some(said);
    }
    passed_over(candidate, url, who)
}

/// What is wrong with a redirect.
fn wrong_redirect(candidate: &Candidate, url: &str, who: &str) -> Option<String> {
    let of = |kind| fact(candidate, kind);
    if let Some(known) = of(FactKind::RedirectRefused) {
        let (location, reason) = (short(value(known, "location")), value(known, "reason"));
        return Some(format!(
            "{url} redirects to {location}, where nobody may go: {reason}"
        ));
    }
    if let Some(known) = of(FactKind::RedirectNowhere) {
        let location = Some(value(known, "location")).filter(|l| !l.is_empty());
        let status = &known.value["status"];
        return Some(match location {
            Some(location) => format!(
                "{url} answers {status} at {who}, and no client can go to `{}`: {}",
                short(location),
                value(known, "reason")
            ),
            None => format!("{url} answers {status} at {who} and does not say where to go"),
        });
    }
    if let Some(known) = of(FactKind::RedirectFails) {
        let location = Some(value(known, "location")).filter(|l| !l.is_empty());
        let reason = [value(known, "reason"), value(known, "error")].concat();
        let location = short(location.unwrap_or(url));
        return Some(format!(
            "the service redirects to {location}, which fails: {reason}"
        ));
    }
    None
}

/// What clients pass over, and is worth a word.
fn passed_over(candidate: &Candidate, url: &str, who: &str) -> Option<String> {
    let of = |kind| fact(candidate, kind);
    if let Some(known) = of(FactKind::HttpOdd) {
        return Some(format!(
            "{url} is read at {who} all the same: {}",
            value(known, "note")
        ));
    }
    if of(FactKind::NotModifiedUnasked).is_some() {
        return Some(format!(
            "{url} answers 304 at {who}, and nobody asked whether it has changed"
        ));
    }
    if let Some(known) = of(FactKind::HttpInflates) {
        let number = |key| {
            known
                .value
                .get(key)
                .and_then(Value::as_u64)
                .unwrap_or_default()
        };
        let (read, decoded) = (number("read"), number("decoded"));
        return Some(format!(
            "{read} bytes of {url} decode to more than {decoded}"
        ));
    }
    None
}

/// How far an answer came that did not become whole.
fn stalled(candidate: &Candidate, url: &str, who: &str) -> String {
    let known = fact(candidate, FactKind::HttpStalled);
    let of = |key: &str| known.and_then(|known| known.value.get(key));
    if let Some(read) = of("read").and_then(Value::as_u64) {
        let waited = of("waited_ms").and_then(Value::as_f64).unwrap_or_default() / 1000.0;
        return format!(
            "{url} is asked for at {who}, and only {read} bytes of a head come in {waited:.1} s"
        );
    }
    match of("began").and_then(Value::as_str) {
        Some(over) => {
            format!("{url} is asked for at {who}: over {over} an answer begins and has no end")
        }
        None => format!("{url} is asked for at {who}, and no answer comes"),
    }
}

/// Who gets no answer, where that tells more than an answer.
fn unanswered(candidate: &Candidate, url: &str, who: &str) -> Option<String> {
    let is_blocked = candidate.rule.cause == Cause::HttpBlockedByPolicy;
    if let Some(known) = fact(candidate, FactKind::BrowsersRefused).filter(|_| is_blocked) {
        let gets = value(known, "browser");
        return Some(format!(
            "{url} gives us what is declared at {who}, and a client with a browser's name {gets}"
        ));
    }
    let known = fact(candidate, FactKind::HttpClosed)?;
    Some(closed(candidate, known, url, who))
}

/// How a connection ended that brought no answer.
fn closed(candidate: &Candidate, known: &Known, url: &str, who: &str) -> String {
    let is = |key: &str| known.value.get(key).and_then(Value::as_bool) == Some(true);
    let ends = match is("reset") {
        true => "is reset",
        false => "is closed",
    };
    if is("ended_unasked") {
        return format!("the connection for {url} {ends} by {who} before anything is asked");
    }
    let read = known.value.get("read").and_then(Value::as_u64);
    let how = match read {
        Some(read) => format!("after {read} bytes of a head"),
        None => "without an answer".to_owned(),
    };
    let times = times(candidate);
    let browser = match fact(candidate, FactKind::BrowsersServed) {
        Some(_) => "; a browser is served",
        None => "",
    };
    format!("{url} is asked for at {who}, and the connection {ends} {how}{times}{browser}")
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
