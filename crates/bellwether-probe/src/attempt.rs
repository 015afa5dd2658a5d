//! Everything that a user's client does with one address: connect, shake hands, ask.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bellwether_model::net::{TcpResult, TryDepth};
use bellwether_model::observation::NotRun;
use bellwether_model::tls::{CertProblem, HelloKind, HelloSeen, TlsPurpose, TlsResult, TlsSeen};
use bellwether_model::{NotRunReason, Origin, Outcome, ProbeKind};

use crate::cx::Cx;
use crate::dial::NotDialled;
use crate::http::{self, Ready, Resolve};
use crate::patience::patience;
use crate::tcp::{self, Opened};
use crate::tls::{self, Alert, Ask, Noting, Stream};
use crate::tries;
use crate::worker::fault;

/// Time that must be left for further ClientHellos to begin: a server far away answers within it.
const HELLOS_TIME_MIN: Duration = Duration::from_millis(1200);
/// Longest time for a handshake over small segments: nobody who answers takes longer.
const SMALL_SEGMENTS_WAIT: Duration = Duration::from_millis(2500);
/// A handshake that is not over by then is tried in small segments beside it.
const SUSPECTED_AFTER: Duration = Duration::from_millis(1500);

/// Probes one address of the target as far up as the target's scheme says.
///
/// `origin` says who named the address, `waits` how many sequential waits it took to learn it.
/// Each step is an observation; one that fails ends the attempt. Tells whether the address took a
/// connection.
pub(crate) async fn run(
    cx: &Cx,
    address: IpAddr,
    origin: Origin,
    waits: u32,
    resolve: Rc<dyn Resolve>,
) -> bool {
    let target = &cx.job().target;
    if !target.scheme.has_tcp() || cx.is_echo_only() {
        return false;
    }
    let at = SocketAddr::new(address, target.port);
    let waits = waits + 1;
    let (is_open, suspected) = match connect(cx, at, origin, waits).await {
        Ok(opened) => {
            let suspected = converse(cx, at, origin, opened, waits, &*resolve).await;
            (true, suspected)
        }
        Err(failure) => (false, failure.as_ref().and_then(tries::after_connection)),
    };
    // After everything else, so that nothing of ours stands between one try and the next.
    if !cx.is_once() {
        tries::run(cx, at, origin, suspected, waits).await;
    }
    is_open
}

/// Everything that comes after the connection. Tells how far further attempts should go, if what
/// came of this one may be so for a share of users only.
async fn converse(
    cx: &Cx,
    at: SocketAddr,
    origin: Origin,
    opened: Opened,
    waits: u32,
    resolve: &dyn Resolve,
) -> Option<TryDepth> {
    let target = &cx.job().target;
    let connect_ms = opened.connect_ms;
    if !target.scheme.has_tls() {
        if target.scheme.has_http() {
            let ready = Ready {
                wire: Box::new(opened.stream),
                is_h2: false,
                alert: Alert::default(),
                connect_ms,
                tls_ms: 0.0,
            };
            http::run(cx, at, origin, ready, waits, resolve).await;
        }
        return None;
    }
    let waits = waits + 1;
    let ask = ask(cx, at, TlsPurpose::User);
    let (seen, stream) = handshake(cx, opened, ask, origin, waits).await;
    let http = async {
        if let (Some(seen), Some(stream), true) = (&seen, stream, target.scheme.has_http()) {
            let alert = Alert::default();
            let ready = Ready {
                is_h2: tls::is_h2(&stream),
                wire: Box::new(Noting::new(stream, alert.clone())),
                alert,
                connect_ms,
                tls_ms: seen.handshake_ms,
            };
            http::run(cx, at, origin, ready, waits, resolve).await;
        }
    };
    let no_sni = async {
        if !cx.is_once() && seen.as_ref().is_some_and(asks_for_default) {
            without_sni(cx, at, origin, waits).await;
        }
    };
    let hellos = async {
        if let Some(seen) = seen.as_ref().filter(|_| !cx.is_once()) {
            shapes(cx, at, origin, seen, waits).await;
        }
    };
    tokio::join!(http, no_sni, hellos);
    seen.as_ref().and_then(tries::after_handshake)
}

/// One connection; `Err(None)` if none was tried.
async fn connect(
    cx: &Cx,
    at: SocketAddr,
    origin: Origin,
    waits: u32,
) -> Result<Opened, Option<TcpResult>> {
    let key = format!("tcp {at}");
    let mut kept = Err(None);
    let own = cx.for_probe();
    let probe = async {
        fault::trip(&key);
        let cx = &own;
        let opened = match tcp::open(cx, at, origin).await {
            Ok(opened) if is_last_step(cx) && tcp::is_reset(cx, &opened).await => {
                Err(TcpResult::Reset)
            }
            Ok(opened) => Ok(opened),
            Err(NotDialled::Failed(result)) => Err(result),
            Err(NotDialled::Refused(detail)) => {
                let reason = NotRunReason::EgressRefused;
                return (not_dialled(at, reason, detail), waits);
            }
            Err(NotDialled::Exhausted(detail)) => {
                return (not_dialled(at, NotRunReason::Limit, detail), waits);
            }
        };
        let seen = tcp::seen(at, &opened);
        // Without a route nobody was waited for.
        let waited = if seen.result == TcpResult::NoRoute {
            1
        } else {
            0
        };
        kept = opened.map_err(Some);
        (Outcome::Tcp(seen), waits - waited)
    };
    cx.probe(ProbeKind::Tcp, key.clone(), stand_in(at), probe)
        .await;
    kept
}

fn not_dialled(at: SocketAddr, reason: NotRunReason, detail: String) -> Outcome {
    Outcome::NotRun(NotRun {
        reason,
        detail,
        ..stand_in(at)
    })
}

/// Is the connection all that is asked for?
fn is_last_step(cx: &Cx) -> bool {
    let scheme = cx.job().target.scheme;
    !scheme.has_tls() && !scheme.has_http()
}

async fn handshake(
    cx: &Cx,
    opened: Opened,
    ask: Ask,
    origin: Origin,
    waits: u32,
) -> (Option<TlsSeen>, Option<Stream>) {
    let at = ask.address;
    let key = format!("tls {at} {}", purpose_name(ask.purpose));
    let mut kept = None;
    let own = cx.for_probe();
    let probe = async {
        fault::trip(&key);
        let cx = &own;
        let anchors = crate::roots::anchors(cx.job());
        let start = Instant::now();
        let small = async {
            tokio::time::sleep(SUSPECTED_AFTER).await;
            in_small_segments(cx, &ask, origin).await
        };
        let mut small = Box::pin(small);
        let mut shaken = Box::pin(tls::shake(cx, opened.stream, &ask, &anchors));
        let mut beside = None;
        let (mut seen, stream) = loop {
            tokio::select! {
                biased;
                shaken = &mut shaken => break shaken,
                came = &mut small, if beside.is_none() && !cx.is_once() => beside = Some(came),
            }
        };
        if seen.result == TlsResult::Stalled && !cx.is_once() {
            seen.small_segments = match beside {
                Some(came) => came,
                None if start.elapsed() >= SUSPECTED_AFTER => small.await,
                None => in_small_segments(cx, &ask, origin).await,
            };
        }
        kept = stream;
        (Outcome::Tls(Box::new(seen)), waits)
    };
    let outcome = cx
        .probe(ProbeKind::Tls, key.clone(), stand_in(at), probe)
        .await;
    match outcome {
        Outcome::Tls(seen) => (Some(*seen), kept),
        _ => (None, None),
    }
}

/// A server's certificates fill more than one segment: does the handshake that stalled go on where
/// segments are small?
async fn in_small_segments(cx: &Cx, ask: &Ask, origin: Origin) -> Option<bool> {
    let wait = patience(cx, SMALL_SEGMENTS_WAIT)?;
    let shaken = async {
        let mss = Some(tcp::SMALL_MSS);
        let opened = tcp::open_with(cx, ask.address, origin, mss).await.ok()?;
        let anchors = crate::roots::anchors(cx.job());
        let (seen, _) = tls::shake(cx, opened.stream, ask, &anchors).await;
        Some(seen.result == TlsResult::Completed)
    };
    let shaken = tokio::time::timeout(wait, shaken).await;
    shaken.unwrap_or(Some(false))
}

/// Would the default certificate tell something? Where the one for our name is another's, or the
/// server would not talk of our name.
fn asks_for_default(seen: &TlsSeen) -> bool {
    let refused = matches!(
        seen.result,
        TlsResult::Alert { .. } | TlsResult::Closed { .. }
    );
    let is_other = |problem: &CertProblem| matches!(problem, CertProblem::NameMismatch { .. });
    seen.sni.is_some() && (refused || seen.problems.iter().any(is_other))
}

/// The same again without naming the host, over a connection of its own.
async fn without_sni(cx: &Cx, at: SocketAddr, origin: Origin, waits: u32) {
    let ask = ask(cx, at, TlsPurpose::NoSni);
    let key = format!("tls {at} {}", purpose_name(ask.purpose));
    let own = cx.for_probe();
    let probe = async {
        let cx = &own;
        let seen = match tcp::open(cx, at, origin).await {
            Ok(opened) => {
                let anchors = crate::roots::anchors(cx.job());
                tls::shake(cx, opened.stream, &ask, &anchors).await.0
            }
            Err(error) => tls::not_connected(&ask, tcp::words(&error)),
        };
        (Outcome::Tls(Box::new(seen)), waits + 2)
    };
    cx.probe(ProbeKind::Tls, key, stand_in(at), probe).await;
}

/// ClientHellos of other shapes, where the user's handshake failed in a way that they can explain.
async fn shapes(cx: &Cx, at: SocketAddr, origin: Origin, seen: &TlsSeen, waits: u32) {
    let shapes = tls::shapes_after(seen);
    // A check of which little is left says what it has.
    if shapes.is_empty() || cx.left() < HELLOS_TIME_MIN {
        return;
    }
    let ask = ask(cx, at, TlsPurpose::Hellos);
    let key = format!("tls {at} {}", purpose_name(ask.purpose));
    let own = cx.for_probe();
    let probe = async {
        fault::trip(&key);
        let seen = tls::ask_all(&own, origin, &ask, shapes, seen).await;
        // The one that says nothing comes after the others.
        let is_silent = |h: &HelloSeen| h.hello == HelloKind::Silent;
        let after = u32::from(seen.hellos.iter().any(is_silent));
        (Outcome::Tls(Box::new(seen)), waits + 2 + 2 * after)
    };
    cx.probe(ProbeKind::Tls, key.clone(), stand_in(at), probe)
        .await;
}

pub(crate) fn ask(cx: &Cx, at: SocketAddr, purpose: TlsPurpose) -> Ask {
    let target = &cx.job().target;
    let alpn: &[&[u8]] = if target.scheme.has_http() {
        tls::WEB
    } else {
        &[]
    };
    Ask {
        address: at,
        host: target.host.clone(),
        purpose,
        alpn,
    }
}

fn purpose_name(purpose: TlsPurpose) -> &'static str {
    match purpose {
        TlsPurpose::User => "user",
        TlsPurpose::NoSni => "no_sni",
        TlsPurpose::OtherSni => "other_sni",
        TlsPurpose::Hellos => "hellos",
    }
}

/// What stands for a probe of this address until it ends.
pub(crate) fn stand_in(at: SocketAddr) -> NotRun {
    NotRun {
        reason: NotRunReason::Deadline,
        detail: String::new(),
        subject: at.to_string(),
        address: Some(at.ip()),
        via: None,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use bellwether_model::job::{Event, Job};

    use super::*;
    use crate::cx::Setting;
    use crate::testing::{Fixed, LOCALHOST, attempt, attempt_as, job, server, tcp_of};

    /// Buffers that lie in futures, not on the heap, once overflowed a thread's stack.
    #[tokio::test]
    async fn an_attempt_is_small() {
        let cx = Cx::new(job("https://svc.test/"), |_| {});
        let resolve = Rc::new(Fixed(Vec::new()));
        let attempt = run(&cx, LOCALHOST, Origin::Operator, 0, resolve);
        assert!(size_of_val(&attempt) < 32 * 1024);
    }

    /// Whoever waits in vain says so within the declared time, however short it is.
    #[tokio::test]
    async fn who_does_not_answer_is_told_in_time() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((LOCALHOST, 0).into()).unwrap();
        // One connection fills the queue; what comes after it is dropped.
        let listener = socket.listen(0).unwrap();
        let at = listener.local_addr().unwrap();
        let _waits = tokio::net::TcpStream::connect(at).await.unwrap();
        for is_once in [false, true] {
            let job = Job {
                timeout_ms: Some(1000),
                ..job(&format!("https://{at}/"))
            };
            let told = Rc::new(RefCell::new(Vec::new()));
            let sink = told.clone();
            let setting = if is_once {
                Setting::once(job)
            } else {
                Setting::new(job)
            };
            let cx = Cx::begin(setting, Rc::default(), move |event| {
                if let Event::Observed { observation, .. } = event {
                    sink.borrow_mut().push(observation.outcome.clone());
                }
            });
            run(
                &cx,
                LOCALHOST,
                Origin::Operator,
                0,
                Rc::new(Fixed(Vec::new())),
            )
            .await;
            let told = told.take();
            let Some(Outcome::Tcp(seen)) = told.first() else {
                panic!("{told:?}");
            };
            assert_eq!(seen.result, TcpResult::TimedOut);
        }
    }

    #[tokio::test]
    async fn the_egress_rule_is_asked() {
        let seen = attempt_as(job("https://svc.test/"), Origin::Network).await;
        assert_eq!(seen.len(), 1);
        let Outcome::NotRun(not_run) = &seen[0].1 else {
            panic!("{:?}", seen[0].1);
        };
        assert_eq!(not_run.reason, NotRunReason::EgressRefused);
        assert_eq!(not_run.address, Some(LOCALHOST));
    }

    #[tokio::test]
    async fn a_connection_that_is_reset_at_once() {
        let at = server(|stream| async move {
            // Unread bytes and no lingering: the kernel answers with a reset.
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        })
        .await;
        let seen = attempt(job(&format!("tcp://svc.test:{}", at.port()))).await;
        assert_eq!(tcp_of(&seen).result, TcpResult::Reset);
        let at = server(|stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .await;
        let seen = attempt(job(&format!("tcp://svc.test:{}", at.port()))).await;
        assert_eq!(tcp_of(&seen).result, TcpResult::Connected);
    }

    #[tokio::test]
    async fn a_name_alone_is_not_connected_to() {
        assert!(
            attempt_as(job("dns://svc.test"), Origin::Operator)
                .await
                .is_empty()
        );
    }
}
