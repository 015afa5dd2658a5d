//! ClientHellos of several shapes to one address, after the user's handshake failed: which of them
//! is answered, and with what? Up to TLS 1.2 certificates come in clear.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bellwether_model::Origin;
use bellwether_model::net::TcpResult;
use bellwether_model::tls::{HelloAnswer, HelloKind, HelloSeen, TlsResult, TlsSeen, alert_name};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::flight::Flight;
use super::hello::hello;
use super::outcome::{begins_like_tls, end_words, looks_like};
use super::suite::{suite_name, version_name};
use super::{Ask, begin, read_chain, sent_name};
use crate::cx::Cx;
use crate::dial::NotDialled;
use crate::patience::patience;
use crate::tcp::{self, millis};

/// Longest wait for the answer to one ClientHello: the user's handshake waited longer before.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Shortest time for which a connection is watched over which nothing is said: a process that takes
/// it only to end it does so within its first turn, on a busy machine too.
const SILENCE_WAIT_MIN: Duration = Duration::from_millis(250);
/// Bytes read of one answer. A chain above it is known by its announced size.
const ANSWER_LEN_MAX: usize = 512 * 1024;
/// First bytes kept, to say what a peer speaks.
const HEAD_LEN: usize = 64;

/// The shapes that tell something after this handshake; none if nothing is left to tell.
pub(crate) fn shapes_after(seen: &TlsSeen) -> &'static [HelloKind] {
    use HelloKind as K;
    match &seen.result {
        // No application protocol in common.
        TlsResult::Alert { code: 120, .. } => &[K::WithoutAlpn],
        _ if seen.client_cert_requested => &[],
        TlsResult::Closed { .. } => &[
            K::Small,
            K::Large,
            K::Tls12,
            K::Tls11,
            K::Tls10,
            K::Ssl3,
            K::Silent,
        ],
        TlsResult::Alert { .. } | TlsResult::Failed { .. } | TlsResult::Malformed { .. } => {
            &[K::Small, K::Large, K::Tls12, K::Tls11, K::Tls10, K::Ssl3]
        }
        TlsResult::Stalled => &[K::Small, K::Large, K::Tls12, K::Tls10],
        TlsResult::TooLarge { .. } => &[K::Tls12],
        TlsResult::Completed | TlsResult::NotTls { .. } | TlsResult::NotConnected { .. } => &[],
    }
}

/// How long a connection is watched over which nothing is said or asked, after one that ended in
/// `took_ms`: twice as long as that, and this more, for servers that are slow at times.
pub(crate) fn silence_wait(cx: &Cx, took_ms: f64) -> Duration {
    let took = Duration::try_from_secs_f64(took_ms / 1000.0).unwrap_or_default();
    let wait = SILENCE_WAIT_MIN + 2 * took;
    wait.min(ANSWER_WAIT).min(cx.left() / 2)
}

/// Sends each of these shapes, over a connection each: all at once, and then the one that says nothing.
///
/// `failed` is the handshake that failed: whether the server ends connections unasked shows within a
/// time that goes by how long that one took.
pub(crate) async fn ask_all(
    cx: &Cx,
    origin: Origin,
    ask: &Ask,
    shapes: &[HelloKind],
    failed: &TlsSeen,
) -> TlsSeen {
    let mut seen = begin(ask, sent_name(ask));
    let start = Instant::now();
    let one = |kind: &HelloKind| one(cx, ask.address, origin, ask, (*kind, failed));
    let (silent, spoken): (Vec<_>, Vec<_>) = shapes.iter().partition(|kind| is_silent(kind));
    seen.hellos = join_all(spoken.into_iter().map(one)).await;
    // By itself: whoever bounds connections per client would end it for those beside it. What the
    // others came to is told even where it takes too long.
    for kind in silent {
        let hello = tokio::time::timeout(cx.left() / 2, one(kind)).await;
        seen.hellos.extend(hello);
    }
    seen.handshake_ms = millis(start);
    seen.client_cert_requested = seen.hellos.iter().any(|h| h.client_cert_requested);
    let best = seen
        .hellos
        .iter()
        .find(|h| matches!(h.answer, HelloAnswer::ServerHello { .. }));
    if let Some(first) = best.or(seen.hellos.first()) {
        seen.result = result_of(&first.answer);
    }
    seen
}

fn is_silent(kind: &HelloKind) -> bool {
    *kind == HelloKind::Silent
}

fn result_of(answer: &HelloAnswer) -> TlsResult {
    match answer.clone() {
        HelloAnswer::ServerHello { .. } => TlsResult::Completed,
        HelloAnswer::Alert { code, name } => TlsResult::Alert { code, name },
        HelloAnswer::Stalled => TlsResult::Stalled,
        HelloAnswer::Closed { error, reset } => TlsResult::Closed { error, reset },
        HelloAnswer::NotTls { looks_like } => TlsResult::NotTls { looks_like },
        HelloAnswer::Malformed { error } => TlsResult::Malformed { error },
        HelloAnswer::NotConnected { error } => TlsResult::NotConnected { error },
    }
}

async fn one(
    cx: &Cx,
    at: SocketAddr,
    origin: Origin,
    ask: &Ask,
    (kind, failed): (HelloKind, &TlsSeen),
) -> HelloSeen {
    let name = sent_name(ask);
    let name = name.as_ref().map(|name| name.without_dot());
    let bytes = hello(kind, name, ask.alpn);
    let mut seen = HelloSeen {
        hello: kind,
        size: bytes.len(),
        answer: HelloAnswer::Stalled,
        took_ms: 0.0,
        chain: Vec::new(),
        chain_len: 0,
        chain_size: 0,
        client_cert_requested: false,
    };
    let start = Instant::now();
    match tcp::open(cx, at, origin).await {
        Ok(opened) => {
            let mut flight = Flight::default();
            let wait = match kind {
                HelloKind::Silent => silence_wait(cx, failed.handshake_ms),
                _ => patience(cx, ANSWER_WAIT).unwrap_or_else(|| cx.left() / 2),
            };
            seen.answer = converse(wait, opened.stream, &bytes, &mut flight).await;
            seen.chain = read_chain(&flight.chain);
            seen.chain_len = flight.chain_len;
            seen.chain_size = flight.chain_size;
            seen.client_cert_requested = flight.client_cert_requested;
        }
        Err(failure) => {
            let error = tcp::words(&failure);
            seen.answer = match failure {
                // It did open, and was gone before anything could be said.
                NotDialled::Failed(TcpResult::Reset) => HelloAnswer::Closed { error, reset: true },
                _ => HelloAnswer::NotConnected { error },
            };
        }
    }
    seen.took_ms = millis(start);
    seen
}

/// Sends a ClientHello and reads until the flight is over, the time is up, or enough has come.
async fn converse(
    wait: Duration,
    mut stream: TcpStream,
    bytes: &[u8],
    flight: &mut Flight,
) -> HelloAnswer {
    let mut head = Vec::new();
    let read = async {
        stream.write_all(bytes).await?;
        let mut chunk = vec![0; 16 * 1024];
        let mut total = 0;
        while !flight.is_over && total < ANSWER_LEN_MAX {
            let len = stream.read(&mut chunk).await?;
            if len == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            total += len;
            let room = HEAD_LEN.saturating_sub(head.len()).min(len);
            head.extend_from_slice(&chunk[..room]);
            if !begins_like_tls(&head) {
                break;
            }
            flight.take(&chunk[..len]);
        }
        Ok(())
    };
    let ended: Option<std::io::Result<()>> = tokio::time::timeout(wait, read).await.ok();
    if !head.is_empty() && !begins_like_tls(&head) {
        return HelloAnswer::NotTls {
            looks_like: looks_like(&head),
        };
    }
    if let Some((version, suite)) = flight.chosen {
        return HelloAnswer::ServerHello {
            version: version_name(version),
            cipher: suite_name(suite),
            is_current: is_current(version, suite),
        };
    }
    if let Some(code) = flight.alert {
        let name = alert_name(code);
        return HelloAnswer::Alert { code, name };
    }
    if let Some(error) = flight.malformed.take() {
        return HelloAnswer::Malformed { error };
    }
    match ended {
        None => HelloAnswer::Stalled,
        Some(Err(error)) => HelloAnswer::Closed {
            error: end_words(&error),
            reset: error.kind() == std::io::ErrorKind::ConnectionReset,
        },
        Some(Ok(())) => HelloAnswer::Malformed {
            error: "no ServerHello came".to_owned(),
        },
    }
}

/// Ephemeral keys and authenticated encryption (RFC 9325 section 4.2).
fn is_current(version: u16, suite: u16) -> bool {
    version >= 0x0304 || matches!(suite, 0xc02b | 0xc02c | 0xc02f | 0xc030 | 0xcca8 | 0xcca9)
}
