//! Several attempts at one address, counted: does what happened once happen to all users, or to a
//! share of them?
//!
//! An address that fails gets a few; one that works gets none, unless the check declares a number.

use std::net::SocketAddr;
use std::time::Duration;

use bellwether_model::http::HttpResult;
use bellwether_model::net::{TcpResult, TriesSeen, TryCount, TryDepth, TryEnd};
use bellwether_model::tls::{TlsPurpose, TlsResult, TlsSeen};
use bellwether_model::{Origin, Outcome, ProbeKind};
use futures_util::StreamExt as _;
use futures_util::stream;

use crate::attempt::{ask, stand_in};
use crate::cx::Cx;
use crate::dial::NotDialled;
use crate::worker::fault;
use crate::{http, tcp, tls};

/// Attempts at an address that failed: if half of them fail, both outcomes are among six in 97 of
/// 100 cases.
const SUSPECTED: u32 = 6;
/// Attempts under way at the same time: a handful is no load to any server.
const AT_ONCE: usize = 8;
/// Longest time for one: two SYNs, and a handshake over a slow path.
const TRY_WAIT: Duration = Duration::from_millis(2500);
/// Time that must be left for them to begin.
const LEFT_MIN: Duration = Duration::from_millis(1000);
/// Kept back from the deadline.
const MARGIN: Duration = Duration::from_millis(100);

/// How far to go after a connection that ended so.
pub(crate) fn after_connection(result: &TcpResult) -> Option<TryDepth> {
    match result {
        TcpResult::Refused
        | TcpResult::Reset
        | TcpResult::TimedOut
        | TcpResult::Unreachable { .. } => Some(TryDepth::Connection),
        // It is not the address that failed.
        TcpResult::Connected | TcpResult::NoRoute | TcpResult::Error { .. } => None,
    }
}

/// How far to go after this handshake.
pub(crate) fn after_handshake(seen: &TlsSeen) -> Option<TryDepth> {
    let failed = seen.result != TlsResult::Completed || !seen.problems.is_empty();
    failed.then_some(TryDepth::Handshake)
}

/// Makes as many attempts as are declared, or as a suspicion is worth.
pub(crate) async fn run(
    cx: &Cx,
    at: SocketAddr,
    origin: Origin,
    suspected: Option<TryDepth>,
    waits: u32,
) {
    let scheme = cx.job().target.scheme;
    let whole = match (scheme.has_tls(), scheme.has_http()) {
        (_, true) => TryDepth::Request,
        (true, false) => TryDepth::Handshake,
        (false, false) => TryDepth::Connection,
    };
    let (depth, count) = match (cx.job().tries, suspected) {
        // One was made.
        (Some(tries), _) if tries > 1 => (whole, tries),
        (_, Some(depth)) => (depth, SUSPECTED),
        (_, None) => return,
    };
    if cx.left() < LEFT_MIN {
        return;
    }
    let kind = match depth {
        TryDepth::Connection => ProbeKind::Tcp,
        TryDepth::Handshake => ProbeKind::Tls,
        TryDepth::Request => ProbeKind::Http,
    };
    let key = format!("{} {at} tries", kind.name());
    let own = cx.for_probe();
    let probe = async {
        fault::trip(&key);
        let seen = counted(&own, at, origin, depth, count).await;
        (Outcome::Tries(seen), waits + 1)
    };
    cx.probe(kind, key.clone(), stand_in(at), probe).await;
}

async fn counted(
    cx: &Cx,
    at: SocketAddr,
    origin: Origin,
    depth: TryDepth,
    count: u32,
) -> TriesSeen {
    let tries = (0..count).map(|_| within(cx, at, origin, depth));
    let mut tries = stream::iter(tries).buffer_unordered(AT_ONCE);
    let mut ends: Vec<TryCount> = Vec::new();
    while let Some(end) = tries.next().await {
        let Some(end) = end else { continue };
        match ends.iter_mut().find(|known| known.end == end) {
            Some(known) => known.count += 1,
            None => ends.push(TryCount { end, count: 1 }),
        }
    }
    // Those that are as many stand in one order, whichever ended first.
    ends.sort_by_key(|end| (std::cmp::Reverse(end.count), format!("{:?}", end.end)));
    let sum = |failed: bool| {
        let those = ends.iter().filter(|end| !failed || !end.end.works());
        those.map(|end| end.count).sum()
    };
    TriesSeen {
        address: at,
        depth,
        made: sum(false),
        failed: sum(true),
        ends,
    }
}

/// One attempt; `None` if the check's time does not suffice for it.
async fn within(cx: &Cx, at: SocketAddr, origin: Origin, depth: TryDepth) -> Option<TryEnd> {
    let left = cx.left().saturating_sub(MARGIN);
    if left < TRY_WAIT.min(LEFT_MIN - MARGIN) {
        return None;
    }
    let mut reached = TryEnd::Connection {
        result: TcpResult::TimedOut,
    };
    let run = one(cx, at, origin, depth, &mut reached);
    match tokio::time::timeout(left.min(TRY_WAIT), run).await {
        Ok(end) => Some(end),
        // It stopped on the way: that is how it ended.
        Err(_) => Some(reached),
    }
}

/// `reached` is how it ends if time runs out.
async fn one(
    cx: &Cx,
    at: SocketAddr,
    origin: Origin,
    depth: TryDepth,
    reached: &mut TryEnd,
) -> TryEnd {
    let opened = match tcp::open(cx, at, origin).await {
        Ok(opened) => opened,
        Err(NotDialled::Failed(result)) => return TryEnd::Connection { result },
        Err(NotDialled::Refused(error) | NotDialled::Exhausted(error)) => {
            let result = TcpResult::Error { error };
            return TryEnd::Connection { result };
        }
    };
    if depth == TryDepth::Connection {
        if tcp::is_reset(cx, &opened).await {
            let result = TcpResult::Reset;
            return TryEnd::Connection { result };
        }
        return TryEnd::Works;
    }
    let is_request = depth == TryDepth::Request;
    if !cx.job().target.scheme.has_tls() {
        *reached = stalled();
        let mut stream = opened.stream;
        return request(cx, &mut stream, &tls::Alert::default()).await;
    }
    let result = TlsResult::Stalled;
    *reached = TryEnd::Handshake { result };
    let mut ask = ask(cx, at, TlsPurpose::User);
    if is_request {
        ask.alpn = tls::HTTP_1_1;
    }
    let anchors = crate::roots::anchors(cx.job());
    let (seen, stream) = tls::shake(cx, opened.stream, &ask, &anchors).await;
    if seen.result != TlsResult::Completed {
        let result = seen.result;
        return TryEnd::Handshake { result };
    }
    if !seen.problems.is_empty() {
        let problems = seen.problems;
        return TryEnd::Certificate { problems };
    }
    match stream.filter(|_| is_request) {
        Some(stream) => {
            *reached = stalled();
            let alert = tls::Alert::default();
            let mut stream = tls::Noting::new(stream, alert.clone());
            request(cx, &mut stream, &alert).await
        }
        None => TryEnd::Works,
    }
}

fn stalled() -> TryEnd {
    TryEnd::Request {
        result: HttpResult::Stalled,
        status: None,
        tls_alert: None,
    }
}

async fn request(cx: &Cx, wire: &mut dyn crate::wire::Wire, alert: &tls::Alert) -> TryEnd {
    let (result, status) = http::once(cx, wire).await;
    let is_expected = status.is_some_and(|status| cx.job().expect.takes_status(status));
    if result == HttpResult::Response && is_expected {
        return TryEnd::Works;
    }
    TryEnd::Request {
        result,
        status,
        tls_alert: alert.get(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::testing::{attempt, job, server};

    /// A server of HTTP that resets those connections, counted from 0, that `is_reset` names.
    async fn flapping(is_reset: fn(u32) -> bool) -> SocketAddr {
        let met = Arc::new(AtomicU32::new(0));
        server(move |mut stream| {
            let number = met.fetch_add(1, Ordering::Relaxed);
            async move {
                if is_reset(number) {
                    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                    return;
                }
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
                    .await;
                let _ = stream.read(&mut request).await;
            }
        })
        .await
    }

    async fn tries(target: String, declared: Option<u32>) -> Option<TriesSeen> {
        let mut job = job(&target);
        job.tries = declared;
        let seen = attempt(job).await;
        seen.into_iter().find_map(|(_, outcome, _)| match outcome {
            Outcome::Tries(seen) => Some(seen),
            _ => None,
        })
    }

    #[tokio::test]
    async fn a_connection_that_is_reset_is_tried_again() {
        let at = flapping(|number| number % 2 == 0).await;
        let seen = tries(format!("tcp://svc.test:{}", at.port()), None).await;
        let seen = seen.unwrap();
        assert_eq!((seen.made, seen.failed), (SUSPECTED, SUSPECTED / 2));
        assert_eq!(seen.depth, TryDepth::Connection);
        assert_eq!(seen.ends.len(), 2);
    }

    #[tokio::test]
    async fn what_works_is_let_alone_unless_more_is_declared() {
        let at = flapping(|_| false).await;
        let target = format!("http://svc.test:{}/", at.port());
        assert_eq!(tries(target.clone(), None).await, None);
        assert_eq!(tries(target.clone(), Some(1)).await, None);
        let at = flapping(|number| number % 10 == 9).await;
        let target = format!("http://svc.test:{}/", at.port());
        let seen = tries(target, Some(20)).await.unwrap();
        assert_eq!((seen.made, seen.failed), (20, 2));
        assert_eq!(seen.depth, TryDepth::Request);
    }

    #[tokio::test]
    async fn little_time_is_not_spent_on_them() {
        let mut job = job("https://svc.test:1/");
        job.deadline_ms = 900;
        let seen = attempt(job).await;
        assert_eq!(seen.len(), 1);
    }
}
