//! A request that failed, once more: what the same, a browser's, or small segments come to tells
//! causes apart that look alike, and what always fails from what fails at times. Only the beginning
//! of a body is read.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bellwether_model::Origin;
use bellwether_model::http::{Again, BodyEnd, CodingEnd, HttpResult, HttpSeen, Way};
use bellwether_model::net::TcpResult;
use bellwether_model::service::Expect;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::body::BODY_LEN_MAX;
use super::connect::{self, Failed, How};
use super::exchange::{Agent, Exchange, exchange, unasked};
use super::redirect::Visit;
use super::{expect, h2, request};
use crate::cx::Cx;
use crate::patience::patience;
use crate::{tcp, tls};

/// Sequential waits of asking again: connect, shake hands, ask.
const WAITS: u32 = 3;
/// Requests that tell whether all fail or a share: of five in all, one of two fails at least once
/// in 97 of 100 cases.
const SAME: usize = 4;
/// Longest time for asking again. Who is slower once more has shown nothing new.
const AGAIN_WAIT: Duration = Duration::from_secs(6);
/// Time that must be left for asking again, beside what the first answer took.
const TIME_MIN: Duration = Duration::from_secs(1);
/// Bytes of a body that are read: what matters is whether it comes.
const AGAIN_LEN_MAX: usize = 64 * 1024;
/// The same for a body that did not come in large segments: more than can be under way at once.
const SEGMENTS_LEN_MAX: usize = 256 * 1024;

/// Whom to ask again for what.
pub(super) struct Asked<'a> {
    pub(super) cx: &'a Cx,
    pub(super) visit: &'a Visit,
    pub(super) to: SocketAddr,
    pub(super) origin: Origin,
}

/// Sequential waits of all that was asked again: whatever says nothing comes after the others.
pub(super) fn waits(again: &[Again]) -> u32 {
    let is_silent = |again: &Again| again.way == Way::Silent;
    let times = (
        again.iter().any(is_silent),
        again.iter().any(|again| !is_silent(again)),
    );
    WAITS * (u32::from(times.0) + u32::from(times.1))
}

/// Which requests would tell more of what came of the first one.
fn ways(expect: &Expect, seen: &HttpSeen) -> Vec<Way> {
    let end = seen.body.as_ref().map(|body| body.end);
    let coding = seen.body.as_ref().and_then(|body| body.coding.as_ref());
    let is_miscoded = coding.is_some_and(|coding| {
        matches!(
            coding.end,
            CodingEnd::Malformed { .. } | CodingEnd::Truncated
        )
    });
    match (&seen.result, seen.status) {
        (HttpResult::Stalled, _) => vec![Way::SmallSegments],
        // Who ends the connection may do so to whoever asks, to us, or unasked.
        (HttpResult::Closed { .. }, _) => {
            [vec![Way::Browser, Way::Silent], vec![Way::Same; SAME]].concat()
        }
        (HttpResult::Malformed { .. }, _) => vec![Way::Same; SAME],
        (HttpResult::Response, Some(status)) if !expect.takes_status(status) => match status {
            400.. => [vec![Way::Browser], vec![Way::Same; SAME]].concat(),
            _ => Vec::new(),
        },
        (HttpResult::Response, _) => match end {
            Some(BodyEnd::Stalled) => vec![Way::SmallSegments],
            Some(BodyEnd::Truncated | BodyEnd::Malformed) => vec![Way::Same; SAME],
            _ if is_miscoded => vec![Way::Same; SAME],
            _ => Vec::new(),
        },
        (HttpResult::NotConnected { .. }, _) => Vec::new(),
    }
}

/// What more tells of the last hop: other ways to ask where it failed, unless what was asked beside
/// it tells that already, and a browser's name where it did not.
pub(super) async fn once_more(
    asked: &Asked<'_>,
    seen: &HttpSeen,
    beside: Vec<Again>,
) -> Vec<Again> {
    let again = match ways(&asked.cx.job().expect, seen)[..] {
        [Way::SmallSegments] if !beside.is_empty() => beside,
        ref ways => ask(asked, ways, seen).await,
    };
    if again.is_empty() {
        as_browser(asked, seen).await
    } else {
        again
    }
}

/// Asks again in these ways, if there is time for as long a wait as that for the first answer.
async fn ask(asked: &Asked<'_>, ways: &[Way], seen: &HttpSeen) -> Vec<Again> {
    let waited = Duration::try_from_secs_f64(seen.phases.wait_ms / 1000.0).unwrap_or_default();
    if asked.cx.left_of_probe() < waited + TIME_MIN {
        return Vec::new();
    }
    all(asked, ways, seen.phases.wait_ms).await
}

/// Do users get what we get? Asked where a body is declared, since only then is it known what they
/// must get: that pages differ by client is no fault. What differs is asked for more than once. Behind
/// redirects, which take their time, it is left alone.
async fn as_browser(asked: &Asked<'_>, seen: &HttpSeen) -> Vec<Again> {
    let expect = &asked.cx.job().expect;
    let is_good = seen.result == HttpResult::Response
        && seen
            .status
            .is_some_and(|status| expect.takes_status(status))
        && seen.expectations.iter().all(|e| e.met);
    if expect.body.is_none() || seen.hop > 0 || !is_good {
        return Vec::new();
    }
    let mut all_ways = ask(asked, &[Way::BrowserName], seen).await;
    let gets_it = |again: &Again| {
        let status = again.status.filter(|status| expect.takes_status(*status));
        status.is_some() && again.as_declared != Some(false)
    };
    if all_ways.iter().all(gets_it) {
        return all_ways;
    }
    let more = [Way::Same, Way::Same, Way::BrowserName, Way::BrowserName];
    all_ways.extend(ask(asked, &more, seen).await);
    all_ways
}

/// Asks again in these ways, all at once, after a request that took `took_ms`; where nothing is to be
/// asked, that comes after them.
pub(super) async fn all(asked: &Asked<'_>, ways: &[Way], took_ms: f64) -> Vec<Again> {
    // With too little time left nothing is begun that could take the record along.
    let Some(wait) = patience(asked.cx, AGAIN_WAIT).filter(|_| !ways.is_empty()) else {
        return Vec::new();
    };
    let one = |way: &Way| one(asked, *way, wait, took_ms);
    let (silent, spoken): (Vec<_>, Vec<_>) = ways.iter().partition(|way| **way == Way::Silent);
    let mut all = join_all(spoken.into_iter().map(one)).await;
    // By itself: whoever bounds connections per client would end it for those beside it. What the
    // others came to is told even where it takes too long.
    for way in silent {
        let again = timeout(asked.cx.left() / 2, one(way)).await;
        all.extend(again);
    }
    all
}

async fn one(asked: &Asked<'_>, way: Way, wait: Duration, took_ms: f64) -> Again {
    let (agent, mss, len_max) = match way {
        Way::Same | Way::Silent => (Agent::Own, None, AGAIN_LEN_MAX),
        Way::Browser => (Agent::Browser, None, AGAIN_LEN_MAX),
        Way::SmallSegments => (Agent::Own, Some(tcp::SMALL_MSS), SEGMENTS_LEN_MAX),
        Way::BrowserName => (Agent::BrowserName, None, AGAIN_LEN_MAX),
    };
    // What was declared may stand anywhere in the body.
    let expect = &asked.cx.job().expect;
    let is_declared = expect.body.is_some() && mss.is_none();
    let len_max = if is_declared { BODY_LEN_MAX } else { len_max };
    let how = How {
        alpn: tls::WEB,
        mss,
    };
    let run = async {
        let Asked {
            cx,
            visit,
            to,
            origin,
        } = *asked;
        let mut ready = match connect::open(cx, to, origin, &visit.url, &how).await {
            Ok((ready, _)) => ready,
            // It opened, and was gone before anything could be asked.
            Err(Failed::Tcp(error, Some(TcpResult::Reset))) => {
                let reset = true;
                return Exchange::ended(HttpResult::Closed { error, reset }, 0.0);
            }
            Err(Failed::Tcp(error, _) | Failed::Tls(error, _)) => {
                return Exchange::ended(HttpResult::NotConnected { error }, 0.0);
            }
        };
        if way == Way::Silent {
            let wait = tls::silence_wait(cx, took_ms);
            let start = Instant::now();
            let result = unasked(&mut *ready.wire, wait).await;
            return Exchange::ended(result, tcp::millis(start));
        }
        let request = request(cx, visit, agent, len_max);
        if !ready.is_h2 {
            return exchange(cx, &mut *ready.wire, &request).await;
        }
        let (h2, came) = h2::exchange(cx, &mut *ready.wire, &request).await;
        came.unwrap_or_else(|| Exchange::ended(h2::as_result(&h2.result), 0.0))
    };
    let came = timeout(wait, run).await;
    let came = came.unwrap_or_else(|_| Exchange::ended(HttpResult::Stalled, 0.0));
    let status = came.head.map(|head| head.status);
    let as_declared = status
        .filter(|_| is_declared)
        .map(|status| expect::holds(expect, status, &came.bytes));
    Again {
        way,
        result: came.result,
        status,
        as_declared,
        body: came.body.as_ref().map(|body| body.end),
        coding: came
            .body
            .as_ref()
            .and_then(|body| Some(body.coding.as_ref()?.end.clone())),
        size: came.body.map_or(0, |body| body.size),
        wait_ms: came.wait_ms,
        mss,
    }
}
