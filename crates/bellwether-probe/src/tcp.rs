//! Connections: does the address answer, how fast, and if not, how not.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bellwether_model::Origin;
use bellwether_model::net::{TcpInfo, TcpResult, TcpSeen};
use tokio::net::TcpStream;

use crate::cx::Cx;
use crate::dial::NotDialled;
use crate::patience::patiently;
use crate::sys::tcp_state;

/// Longest wait for the answer to a SYN. The first is repeated after one second and again after
/// two more (RFC 6298 section 2): three of them may get lost before we say that nobody answers.
const CONNECT_WAIT: Duration = Duration::from_secs(4);

/// How long a connection that nothing is asked over is watched for a reset: as long again as the
/// answer to the SYN took, and this. A balancer without a server behind it accepts, then resets.
const RESET_WAIT_MIN: Duration = Duration::from_millis(30);
/// The same, at most.
const RESET_WAIT_MAX: Duration = Duration::from_millis(500);

/// Segments of this size fit wherever IPv6 does (a path of 1,280 bytes, RFC 8200 section 5), behind
/// a tunnel or two as well.
pub(crate) const SMALL_MSS: u16 = 1200;

/// An open connection.
pub(crate) struct Opened {
    pub(crate) stream: TcpStream,
    pub(crate) connect_ms: f64,
    pub(crate) info: Option<TcpInfo>,
}

/// Connects within [`CONNECT_WAIT`].
pub(crate) async fn open(cx: &Cx, to: SocketAddr, origin: Origin) -> Result<Opened, NotDialled> {
    open_with(cx, to, origin, None).await
}

/// [`open`] with segments of at most `mss` bytes, both ways.
pub(crate) async fn open_with(
    cx: &Cx,
    to: SocketAddr,
    origin: Origin,
    mss: Option<u16>,
) -> Result<Opened, NotDialled> {
    let start = Instant::now();
    let dialled = patiently(cx, CONNECT_WAIT, cx.dialer().tcp_with(to, origin, mss)).await;
    let took = millis(start);
    let stream = dialled.unwrap_or(Err(NotDialled::Failed(TcpResult::TimedOut)))?;
    let (info, is_gone) = tcp_state(&stream).unzip();
    // A reset that came right behind the answer.
    if is_gone == Some(true) {
        return Err(NotDialled::Failed(TcpResult::Reset));
    }
    // The kernel's own measurement is free of our loop's delays, but knows nothing of a SYN that
    // had to be sent again.
    let connect_ms = match info {
        Some(info) if info.retransmits == 0 && info.rtt_ms > 0.0 => info.rtt_ms.min(took),
        _ => took,
    };
    Ok(Opened {
        stream,
        connect_ms,
        info,
    })
}

/// Is the connection reset right after it opened?
pub(crate) async fn is_reset(cx: &Cx, opened: &Opened) -> bool {
    let again = Duration::try_from_secs_f64(opened.connect_ms / 1000.0).unwrap_or_default();
    let wait = (again + RESET_WAIT_MIN).min(RESET_WAIT_MAX);
    let wait = wait.min(cx.left_of_probe());
    // Only time is spent from here on.
    cx.give_way();
    let mut byte = [0];
    let peek = tokio::time::timeout(wait, opened.stream.peek(&mut byte)).await;
    matches!(peek, Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionReset)
}

/// What a connection attempt saw.
pub(crate) fn seen(address: SocketAddr, opened: &Result<Opened, TcpResult>) -> TcpSeen {
    match opened {
        Ok(opened) => TcpSeen {
            address,
            result: TcpResult::Connected,
            connect_ms: Some(opened.connect_ms),
            info: opened.info,
        },
        Err(result) => TcpSeen {
            address,
            result: result.clone(),
            connect_ms: None,
            info: None,
        },
    }
}

/// In short, for the probes above.
pub(crate) fn words(failure: &NotDialled) -> String {
    let result = match failure {
        NotDialled::Refused(reason) | NotDialled::Exhausted(reason) => return reason.clone(),
        NotDialled::Failed(result) => result,
    };
    match result {
        TcpResult::Connected => "connected".to_owned(),
        TcpResult::Refused => "connection refused".to_owned(),
        TcpResult::Reset => "connection reset".to_owned(),
        TcpResult::TimedOut => "connection timed out".to_owned(),
        TcpResult::NoRoute => "no route".to_owned(),
        TcpResult::Unreachable { error } | TcpResult::Error { error } => error.clone(),
    }
}

/// Milliseconds since.
pub(crate) fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}
