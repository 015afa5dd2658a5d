//! The first exchange of a hop: over HTTP/2 if that was agreed on. What takes long is suspected, and
//! made in other ways beside it, so that all of it ends within the probe's time.

use std::time::{Duration, Instant};

use bellwether_model::http::{Again, BodyEnd, H2Seen, HttpResult, Way};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::again::{self, Asked};
use super::body::BODY_LEN_MAX;
use super::connect::{self, How};
use super::exchange::{Agent, Exchange, Request, exchange};
use super::{Ready, h2, request};
use crate::patience::patience;
use crate::tls;

/// Longest time for asking over HTTP/1.1 what HTTP/2 did not answer.
const FALLBACK_WAIT: Duration = Duration::from_secs(9);
/// A request over HTTP/2 without a whole answer by then is made over HTTP/1.1 beside it.
const H2_ALONE: Duration = Duration::from_secs(4);
/// A request without a whole answer by then is made in small segments beside it.
const SUSPECTED_AFTER: Duration = Duration::from_secs(5);
/// Sequential waits of a fallback: connect, shake hands, ask.
const FALLBACK_WAITS: u32 = 3;

/// What came of it.
pub(super) struct First {
    pub(super) came: Exchange,
    /// Of the exchange over HTTP/2, if there was one.
    pub(super) h2: Option<H2Seen>,
    /// The same in small segments, where it took long.
    pub(super) beside: Vec<Again>,
    /// Sequential waits besides the first.
    pub(super) waits: u32,
}

pub(super) async fn ask(asked: &Asked<'_>, ready: Ready) -> First {
    let start = Instant::now();
    let small = async {
        sleep(SUSPECTED_AFTER).await;
        again::all(asked, &[Way::SmallSegments], 0.0).await
    };
    let mut small = Box::pin(small);
    let mut beside = None;
    let (h2, came, waits) = {
        let mut first = Box::pin(over_either(asked, ready));
        loop {
            tokio::select! {
                biased;
                first = &mut first => break first,
                again = &mut small, if beside.is_none() && !asked.cx.is_once() => beside = Some(again),
            }
        }
    };
    let end = came.body.as_ref().map(|body| body.end);
    let is_stuck = came.result == HttpResult::Stalled || end == Some(BodyEnd::Stalled);
    let beside = match beside {
        Some(again) => again,
        None if is_stuck && !asked.cx.is_once() && start.elapsed() >= SUSPECTED_AFTER => {
            small.await
        }
        None => Vec::new(),
    };
    First {
        came,
        h2,
        beside,
        waits,
    }
}

/// Over HTTP/2 if that was agreed on, and where it fails over HTTP/1.1 as well.
async fn over_either(asked: &Asked<'_>, mut ready: Ready) -> (Option<H2Seen>, Exchange, u32) {
    let request = request(asked.cx, asked.visit, Agent::Own, BODY_LEN_MAX);
    if !ready.is_h2 {
        let came = exchange(asked.cx, &mut *ready.wire, &request).await;
        return (None, came, 0);
    }
    let (stop, stopped) = oneshot::channel();
    let run = h2::exchange_until(asked.cx, &mut *ready.wire, &request, stopped);
    let mut run = Box::pin(run);
    let alone = timeout(H2_ALONE.min(asked.cx.left() / 2), &mut run).await;
    let (seen, came) = match alone {
        Ok((seen, Some(came))) => return (Some(seen), came, 0),
        Ok((seen, None)) if seen.result.is_untaken() => {
            drop(run);
            drop(ready);
            return untaken(asked, seen, &request).await;
        }
        Ok((seen, None)) => {
            drop(run);
            drop(ready);
            let came = over_h1(asked, &request).await;
            (seen, came)
        }
        Err(_) => {
            let mut fallback = Box::pin(over_h1(asked, &request));
            tokio::select! {
                biased;
                (seen, came) = &mut run => match came {
                    Some(came) => return (Some(seen), came, 0),
                    None => (seen, fallback.await),
                },
                fallback = &mut fallback => {
                    // It answers there: what did not come here by now does not come.
                    if fallback.is_some() {
                        let _ = stop.send(());
                    }
                    match run.await {
                        (seen, Some(came)) => return (Some(seen), came, 0),
                        (seen, None) => (seen, fallback),
                    }
                }
            }
        }
    };
    ended(seen, came, FALLBACK_WAITS)
}

fn ended(seen: H2Seen, came: Option<Exchange>, waits: u32) -> (Option<H2Seen>, Exchange, u32) {
    let failure = h2::as_result(&seen.result);
    let came = came.unwrap_or_else(|| Exchange::ended(failure, 0.0));
    (Some(seen), came, waits)
}

/// What the server left untaken is asked for again on another connection, as browsers do, and over
/// HTTP/1.1 if that fails too.
async fn untaken(
    asked: &Asked<'_>,
    first: H2Seen,
    request: &Request,
) -> (Option<H2Seen>, Exchange, u32) {
    let Some((again, came)) = over_h2(asked, request).await else {
        let came = over_h1(asked, request).await;
        return ended(first, came, 2 * FALLBACK_WAITS);
    };
    let seen = H2Seen {
        after: Some(first.result),
        ..again
    };
    match came {
        Some(came) => ended(seen, Some(came), FALLBACK_WAITS),
        None => {
            let came = over_h1(asked, request).await;
            ended(seen, came, 2 * FALLBACK_WAITS)
        }
    }
}

/// The same request over HTTP/2 on a connection of its own; `None` if there is none.
async fn over_h2(asked: &Asked<'_>, request: &Request) -> Option<(H2Seen, Option<Exchange>)> {
    let how = How {
        alpn: tls::WEB,
        mss: None,
    };
    let run = async {
        let url = &asked.visit.url;
        let opened = connect::open(asked.cx, asked.to, asked.origin, url, &how).await;
        let (mut ready, _) = opened.ok().filter(|(ready, _)| ready.is_h2)?;
        Some(h2::exchange(asked.cx, &mut *ready.wire, request).await)
    };
    let wait = patience(asked.cx, FALLBACK_WAIT)?;
    timeout(wait, run).await.ok().flatten()
}

/// The same request over HTTP/1.1; `None` if it does not come to an exchange.
async fn over_h1(asked: &Asked<'_>, request: &Request) -> Option<Exchange> {
    let how = How {
        alpn: tls::HTTP_1_1,
        mss: None,
    };
    let run = async {
        let opened = connect::open(asked.cx, asked.to, asked.origin, &asked.visit.url, &how).await;
        let (mut ready, _) = opened.ok()?;
        Some(exchange(asked.cx, &mut *ready.wire, request).await)
    };
    // With too little time left nothing is begun that could take the record along.
    let wait = patience(asked.cx, FALLBACK_WAIT)?;
    timeout(wait, run).await.ok().flatten()
}
