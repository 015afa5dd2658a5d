//! The symptom of the step at which an attempt failed. That it failed, and where, was judged before.

use std::borrow::Cow;

use bellwether_model::dns::{Exchange, ExchangeResult, Rcode};
use bellwether_model::http::{BodyEnd, CodingEnd, HttpResult, HttpSeen, RedirectEnd};
use bellwether_model::net::TcpResult;
use bellwether_model::run::RunOutcome;
use bellwether_model::tls::{CertProblem, TlsResult, alert_name};
use bellwether_model::{Expect, NotRunReason};

use crate::facts::http::over_h2_fails;
use crate::picture::{AddressView, ResolverStatus, ResolverView};

/// A symptom: most are fixed words, some end in a number or a name.
pub type Symptom = Cow<'static, str>;

/// From here on a status says that the server itself failed (RFC 9110 section 15.6).
const SERVER_ERROR_MIN: u16 = 500;

/// Why a resolver gives nothing; `None`: it was not asked.
pub(super) fn resolver(view: &ResolverView<'_>, wants_addresses: bool) -> Option<Symptom> {
    use bellwether_model::dns::AnswerKind;
    Some(match &view.status {
        ResolverStatus::Answers => return None,
        ResolverStatus::Denies(AnswerKind::NxDomain) => "dns.nxdomain".into(),
        ResolverStatus::Denies(_) if wants_addresses => "dns.no_address".into(),
        ResolverStatus::Denies(_) => "dns.no_data".into(),
        ResolverStatus::Error(Rcode::NOERROR) => "dns.malformed".into(),
        ResolverStatus::Error(code) => rcode(*code),
        ResolverStatus::Silent if view.truncated => "dns.cut".into(),
        ResolverStatus::Silent => {
            let asked = || view.seen.answers.iter().filter(|e| e.was_asked());
            let unanswered = asked().rfind(|e| e.response().is_none());
            silence(unanswered.or_else(|| asked().next_back())?)
        }
    })
}

fn rcode(code: Rcode) -> Symptom {
    match code {
        Rcode::SERVFAIL => "dns.servfail".into(),
        Rcode::REFUSED => "dns.refused".into(),
        Rcode::FORMERR => "dns.formerr".into(),
        Rcode::NOTIMP => "dns.notimp".into(),
        Rcode(other) => format!("dns.rcode_{other}").into(),
    }
}

fn silence(exchange: &Exchange) -> Symptom {
    let word = match &exchange.result {
        ExchangeResult::Silent | ExchangeResult::NotAsked { .. } => "dns.silent",
        ExchangeResult::Refused => "dns.port_closed",
        ExchangeResult::Unreachable { .. } => "dns.unreachable",
        ExchangeResult::Broken { .. } => "dns.broken",
        ExchangeResult::Channel { .. } => "dns.channel",
        ExchangeResult::Answered { .. } => "dns.malformed",
    };
    word.into()
}

/// Why no connection came about.
pub(super) fn connection(result: &TcpResult) -> Symptom {
    let word = match result {
        TcpResult::Refused => "tcp.refused",
        TcpResult::Reset => "tcp.reset",
        TcpResult::TimedOut => "tcp.silent",
        TcpResult::Unreachable { .. } => "tcp.unreachable",
        TcpResult::NoRoute => "monitor.no_route",
        TcpResult::Connected | TcpResult::Error { .. } => "monitor.error",
    };
    word.into()
}

/// Why no client goes on after this handshake.
pub(super) fn handshake(result: &TlsResult, problems: &[CertProblem]) -> Symptom {
    let word = match result {
        TlsResult::Completed => return problems.first().map_or("tls.failed".into(), certificate),
        TlsResult::Alert { code, .. } => return alert(*code),
        TlsResult::Stalled => "tls.stalled",
        TlsResult::Closed { reset: true, .. } => "tls.reset",
        TlsResult::Closed { reset: false, .. } => "tls.closed",
        TlsResult::NotTls { .. } => "tls.not_tls",
        TlsResult::Malformed { .. } => "tls.malformed",
        TlsResult::TooLarge { .. } => "tls.too_large",
        TlsResult::NotConnected { .. } | TlsResult::Failed { .. } => "tls.failed",
    };
    word.into()
}

fn alert(code: u8) -> Symptom {
    let name = alert_name(code);
    // An alert without a name is called by its number, and `alert_` stands before it already.
    let name = name.strip_prefix("alert_").unwrap_or(&name);
    format!("tls.alert_{name}").into()
}

fn certificate(problem: &CertProblem) -> Symptom {
    let word = match problem {
        CertProblem::Expired { .. } => "tls.expired",
        CertProblem::NotYetValid { .. } => "tls.not_yet_valid",
        CertProblem::NameMismatch { .. } => "tls.name_mismatch",
        CertProblem::UntrustedRoot { .. } => "tls.untrusted_root",
        CertProblem::ChainIncomplete { .. } => "tls.chain_incomplete",
        CertProblem::BadSignature { .. } => "tls.bad_signature",
        CertProblem::NotLogged { .. } => "tls.not_logged",
        CertProblem::Staple { .. } => "tls.staple",
        CertProblem::Revoked { .. } => "tls.revoked",
        CertProblem::Policy { .. }
        | CertProblem::LongPath { .. }
        | CertProblem::Malformed { .. }
        | CertProblem::Other { .. } => "tls.bad_certificate",
    };
    word.into()
}

/// What a connection, a handshake or an exchange failed by, with whether every protocol worked.
pub(super) fn above_dns(expect: &Expect, view: &AddressView<'_>) -> (RunOutcome, Symptom) {
    let failed = |symptom| (RunOutcome::Failed, symptom);
    if let Some((_, tcp)) = view.tcp
        && tcp.result != TcpResult::Connected
    {
        return failed(connection(&tcp.result));
    }
    if let Some((_, tls)) = view.tls
        && crate::picture::addresses::tls_fails(tls)
    {
        return failed(handshake(&tls.result, &tls.problems));
    }
    match view.http.last() {
        Some((_, last)) => exchange(expect, view, last),
        // Nothing above was tried, and what is below works: private by the public tree's word.
        None => failed("dns.address_private".into()),
    }
}

fn exchange(expect: &Expect, view: &AddressView<'_>, last: &HttpSeen) -> (RunOutcome, Symptom) {
    let failed = |word: &'static str| (RunOutcome::Failed, Symptom::Borrowed(word));
    if let Some(problem) = last.problems.first() {
        return (RunOutcome::Failed, certificate(problem));
    }
    if last.hop > 0
        && last
            .connection
            .as_ref()
            .is_some_and(|c| *c != TcpResult::Connected)
    {
        return failed("http.redirect_unreachable");
    }
    if let Some(code) = last
        .tls_alert
        .filter(|_| last.result != HttpResult::Response)
    {
        return (RunOutcome::Failed, alert(code));
    }
    match &last.result {
        HttpResult::Response => {}
        HttpResult::Stalled => return failed("http.stalled"),
        HttpResult::Closed { .. } => return failed("http.closed"),
        HttpResult::Malformed { .. } => return failed("http.malformed"),
        HttpResult::NotConnected { .. } => return failed("http.not_connected"),
    }
    if let Some(word) = last.redirect.as_ref().and_then(|r| redirect(&r.end)) {
        return failed(word);
    }
    if let Some(status) = last.status.filter(|status| !expect.takes_status(*status)) {
        let outcome = if status >= SERVER_ERROR_MIN {
            RunOutcome::Failed
        } else {
            RunOutcome::Wrong
        };
        return (outcome, format!("http.status_{status}").into());
    }
    if let Some(word) = body(last) {
        return failed(word);
    }
    if view.http.iter().any(|(_, hop)| over_h2_fails(hop)) {
        return failed("http.over_h2");
    }
    expectation(expect, last)
}

fn redirect(end: &RedirectEnd) -> Option<&'static str> {
    match end {
        RedirectEnd::Followed => None,
        RedirectEnd::Loop | RedirectEnd::Limit => Some("http.redirect_loop"),
        RedirectEnd::Refused { .. } => Some("http.redirect_refused"),
        RedirectEnd::Unresolved { .. } => Some("http.redirect_unresolved"),
        RedirectEnd::NoLocation | RedirectEnd::Unusable { .. } => Some("http.redirect_nowhere"),
    }
}

fn body(last: &HttpSeen) -> Option<&'static str> {
    let body = last.body.as_ref()?;
    match body.end {
        BodyEnd::Truncated => return Some("http.body_truncated"),
        BodyEnd::Stalled => return Some("http.body_stalled"),
        BodyEnd::Malformed => return Some("http.body_malformed"),
        BodyEnd::Open | BodyEnd::Slow if !last.is_stream() => return Some("http.body_endless"),
        BodyEnd::Open
        | BodyEnd::Slow
        | BodyEnd::Complete
        | BodyEnd::Cut
        | BodyEnd::CutByMemory
        | BodyEnd::None => {}
    }
    let coding = body.coding.as_ref()?;
    let is_wrong = match coding.end {
        CodingEnd::Malformed { .. } | CodingEnd::Truncated | CodingEnd::WindowTooLarge { .. } => {
            true
        }
        CodingEnd::Complete | CodingEnd::Cut => !coding.accepted,
        CodingEnd::Unknown => false,
    };
    is_wrong.then_some("http.coding_wrong")
}

fn expectation(expect: &Expect, last: &HttpSeen) -> (RunOutcome, Symptom) {
    let unmet = |what: &str| last.expectations.iter().any(|e| !e.met && e.what == what);
    let words = [
        ("body", "http.body_wrong"),
        ("role", "http.role_wrong"),
        ("within", "http.slow"),
    ];
    if let Some((_, word)) = words.iter().find(|(what, _)| unmet(what)) {
        return (RunOutcome::Wrong, (*word).into());
    }
    // What is left: the same request as a browser makes it is refused.
    let refused = crate::facts::http::refuses_browsers(expect, last);
    match refused.and_then(|again| again.status) {
        Some(status) => (RunOutcome::Failed, format!("http.status_{status}").into()),
        None => (RunOutcome::Failed, "http.unhealthy".into()),
    }
}

/// What is said of a probe that did not run.
#[must_use]
pub fn not_run(reason: NotRunReason) -> &'static str {
    match reason {
        NotRunReason::NoRoute => "monitor.no_route",
        NotRunReason::EgressRefused => "monitor.egress_refused",
        NotRunReason::NotPermitted => "monitor.not_permitted",
        NotRunReason::Deadline => "monitor.deadline",
        NotRunReason::WorkerHung => "monitor.worker_hung",
        NotRunReason::WorkerDied => "monitor.worker_died",
        NotRunReason::Panicked => "monitor.probe_panicked",
        NotRunReason::Limit => "monitor.limit",
        NotRunReason::NotNeeded => "monitor.not_needed",
        NotRunReason::Privacy => "monitor.privacy",
    }
}
