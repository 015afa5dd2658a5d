//! HTTP/2 (RFC 9113): the same exchange as over HTTP/1.1, on a connection that was agreed on for it.
//!
//! Every name of the library stays inside this module. What it does not bound is bounded by the
//! bytes that may come before an answer and behind it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bellwether_model::http::{BodyEnd, H2Result, H2Seen, HttpResult};
use bellwether_model::text::inert;
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::body::{BODY_LEN_MAX, Body};
use super::exchange::{BODY_WAIT, Exchange, HEAD_LEN_MAX, HEAD_WAIT, Request};
use super::head::Head;
use crate::cx::Cx;
use crate::patience::patience;
use crate::tcp::millis;
use crate::tls::{alert_in, end_words, is_overfull};
use crate::wire::Wire;

/// Bytes that may come beside the body: the head, settings, window updates, pings.
const BESIDE_LEN_MAX: usize = 256 * 1024;
/// Bytes that may come in all: a body as large as we read, what may come before it is cut, and
/// frames around it.
const LEN_MAX: usize = BODY_LEN_MAX + BESIDE_LEN_MAX + WINDOW as usize;
/// Bytes that the server may send before we take them.
const WINDOW: u32 = 256 * 1024;
/// Streams of which a reset is remembered, and bytes of ours that may wait.
const FEW: usize = 16;
/// Longest complaint of the library that is kept, characters.
const WORDS_LEN_MAX: usize = 200;
/// First bytes that are kept, to say what a peer speaks.
const BEGIN_LEN: usize = 24;
/// Types of frames that count here.
const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
/// Bytes of a payload that are kept: up to the error code of GOAWAY.
const ENDING_LEN: usize = 8;
/// Bytes of what a peer said before it closed the connection that are looked at.
const LAST_WORDS_LEN: usize = 4096;
/// How long to look for what a peer said before it closed the connection.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(50);
/// Types of frames by their number (RFC 9113 section 6).
const FRAMES: [&str; 10] = [
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
];
/// Bytes of a frame's head.
const FRAME_HEAD_LEN: usize = 9;

/// Makes a request over HTTP/2. The exchange is there if a whole response came.
pub(crate) async fn exchange(
    cx: &Cx,
    wire: &mut dyn Wire,
    request: &Request,
) -> (H2Seen, Option<Exchange>) {
    let (_stop, stopped) = oneshot::channel();
    exchange_until(cx, wire, request, stopped).await
}

/// The same, given up when that is told: what came by then stands in the record.
pub(crate) async fn exchange_until(
    cx: &Cx,
    wire: &mut dyn Wire,
    request: &Request,
    stopped: oneshot::Receiver<()>,
) -> (H2Seen, Option<Exchange>) {
    let watch = Rc::new(RefCell::new(Watch::default()));
    let metered = Metered {
        wire: &mut *wire,
        watch: watch.clone(),
    };
    let done = tokio::select! {
        biased;
        done = converse(cx, metered, request) => done,
        Ok(()) = stopped => Err(Failure::Late),
    };
    if matches!(&done, Err(Failure::Library(error)) if error.is_io()) {
        // Who closes at once may have said why before, and nothing was read of it yet.
        let mut last = vec![0; LAST_WORDS_LEN];
        if let Ok(Ok(len)) = timeout(LAST_WORDS_WAIT, wire.read(&mut last)).await {
            watch.borrow_mut().take(&last[..len]);
        }
    }
    let watch = watch.borrow();
    let (result, exchange) = match done {
        Ok(exchange) => (H2Result::Response, Some(exchange)),
        Err(Failure::Late) => (H2Result::Stalled, None),
        Err(Failure::Library(error)) => (watch.explain(&error), None),
    };
    let frames = watch.frames.iter();
    let frames = frames.map(|(name, count)| ((*name).to_owned(), *count));
    let seen = H2Seen {
        result,
        after: None,
        frames: frames.collect(),
    };
    (seen, exchange)
}

/// What a failure comes to where nothing more is known.
pub(crate) fn as_result(result: &H2Result) -> HttpResult {
    let error = match result {
        H2Result::Response => return HttpResult::Response,
        H2Result::Stalled => return HttpResult::Stalled,
        H2Result::Closed { error } => {
            return HttpResult::Closed {
                error: error.clone(),
                reset: false,
            };
        }
        H2Result::GoAway { reason } => format!("HTTP/2 GOAWAY {reason}"),
        H2Result::Reset { reason } => format!("HTTP/2 RST_STREAM {reason}"),
        H2Result::NotSpoken { looks_like } => format!("it speaks {looks_like}, not HTTP/2"),
        H2Result::Malformed { error } => error.clone(),
    };
    HttpResult::Malformed { error }
}

enum Failure {
    /// Time ran out.
    Late,
    Library(h2::Error),
}

impl From<h2::Error> for Failure {
    fn from(error: h2::Error) -> Self {
        Self::Library(error)
    }
}

async fn converse(cx: &Cx, metered: Metered<'_>, request: &Request) -> Result<Exchange, Failure> {
    let (send, connection) = Builder::new()
        .enable_push(false)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(u32::try_from(HEAD_LEN_MAX).unwrap_or(u32::MAX))
        .max_concurrent_reset_streams(FEW)
        .max_pending_accept_reset_streams(FEW)
        .max_send_buffer_size(FEW * 1024)
        .handshake::<_, Bytes>(metered)
        .await?;
    // What ends the connection shows at the request, too.
    let drive = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    let answer = ask(cx, send, request);
    tokio::select! {
        biased;
        answer = answer => answer,
        () = drive => Err(Failure::Late),
    }
}

async fn ask(cx: &Cx, send: SendRequest<Bytes>, request: &Request) -> Result<Exchange, Failure> {
    let start = Instant::now();
    let head = async {
        let mut send = send.ready().await?;
        let (response, _) = send.send_request(message(request), true)?;
        response.await
    };
    let response = within(patience(cx, HEAD_WAIT), head).await??;
    let wait_ms = millis(start);
    let (parts, mut stream) = response.into_parts();
    let raw = parts.headers.iter();
    let raw = raw.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    let head = Head::of(parts.status.as_u16(), "HTTP/2", raw.collect());
    let mut body = Body::new(request.room.clone());
    let read = async {
        while let Some(chunk) = stream.data().await {
            let chunk = chunk?;
            let _ = stream.flow_control().release_capacity(chunk.len());
            if let Err(end) = body.keep(&chunk) {
                return Ok(end);
            }
        }
        Ok::<_, h2::Error>(BodyEnd::Complete)
    };
    let wait = patience(cx, BODY_WAIT);
    let is_stream = head.is_stream();
    let end = match within(wait, read).await {
        Ok(end) => end?,
        // It is not meant to end.
        Err(Failure::Late) if is_stream => BodyEnd::Open,
        Err(failure) => return Err(failure),
    };
    let announced = head.values("content-length").next();
    let announced = announced.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    body.finish(end, announced);
    let times = (wait_ms, millis(start) - wait_ms);
    Ok(Exchange::whole(head, body, request.agent, None, times))
}

/// `None` leaves the limit to the check's deadline.
async fn within<F: Future>(wait: Option<Duration>, run: F) -> Result<F::Output, Failure> {
    match wait {
        Some(wait) => timeout(wait, run).await.map_err(|_| Failure::Late),
        None => Ok(run.await),
    }
}

fn message(request: &Request) -> http::Request<()> {
    let uri = http::Uri::builder()
        .scheme(request.scheme.as_str())
        .authority(request.authority.as_str())
        .path_and_query(request.path.as_str())
        .build()
        .unwrap_or_default();
    let mut message = http::Request::new(());
    *message.uri_mut() = uri;
    *message.version_mut() = http::Version::HTTP_2;
    for (name, value) in request.agent.headers() {
        let value = http::HeaderValue::from_static(value);
        if let Ok(name) = http::HeaderName::from_bytes(name.as_bytes()) {
            message.headers_mut().insert(name, value);
        }
    }
    let cookies = request.cookies.as_deref();
    if let Some(Ok(value)) = cookies.map(http::HeaderValue::from_bytes) {
        message.headers_mut().insert(http::header::COOKIE, value);
    }
    message
}

/// What came over the connection, frame by frame.
#[derive(Default)]
struct Watch {
    begin: Vec<u8>,
    read: usize,
    /// Bytes in DATA frames.
    data: usize,
    frames: BTreeMap<&'static str, u64>,
    /// The head of the frame that comes, as far as it came.
    head: Vec<u8>,
    /// Bytes of the frame that comes that are still missing.
    missing: usize,
    /// The type of the frame that comes.
    kind: u8,
    /// The beginning of its payload, if it ends a stream or the connection.
    payload: Vec<u8>,
}

impl Watch {
    /// The limit that is reached, if one is.
    fn exceeded(&self) -> Option<usize> {
        if self.read - self.data >= BESIDE_LEN_MAX {
            Some(BESIDE_LEN_MAX)
        } else {
            (self.read >= LEN_MAX).then_some(LEN_MAX)
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        self.read = self.read.saturating_add(bytes.len());
        let room = BEGIN_LEN - self.begin.len();
        self.begin
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        while !bytes.is_empty() {
            let skipped = bytes.len().min(self.missing);
            self.missing -= skipped;
            match self.kind {
                DATA => self.data += skipped,
                RST_STREAM | GOAWAY => {
                    let room = ENDING_LEN - self.payload.len();
                    let came = &bytes[..skipped.min(room)];
                    self.payload.extend_from_slice(came);
                }
                _ => {}
            }
            bytes = &bytes[skipped..];
            let wanted = FRAME_HEAD_LEN - self.head.len();
            let (more, rest) = bytes.split_at(bytes.len().min(wanted));
            if self.missing == 0 {
                self.head.extend_from_slice(more);
                bytes = rest;
            }
            if let [a, b, c, kind, ..] = self.head[..]
                && self.head.len() == FRAME_HEAD_LEN
            {
                self.missing = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.head.clear();
                self.kind = kind;
                if matches!(kind, RST_STREAM | GOAWAY) {
                    self.payload.clear();
                }
                let name = FRAMES.get(usize::from(kind)).unwrap_or(&"unknown");
                *self.frames.entry(name).or_default() += 1;
            }
        }
    }

    /// The frames of which most came.
    fn most(&self) -> String {
        let most = self.frames.iter().max_by_key(|(_, count)| **count);
        most.map_or_else(String::new, |(name, count)| {
            format!(", {count} {name} frames among them")
        })
    }

    fn count(&self, name: &str) -> u64 {
        self.frames.get(name).copied().unwrap_or_default()
    }

    /// What the server said before the connection ended, if that came too late for the library.
    fn ending(&self) -> Option<H2Result> {
        let code = |at: usize| {
            let code = self.payload.get(at..at + 4)?.try_into().ok()?;
            let reason = h2::Reason::from(u32::from_be_bytes(code));
            Some(format!("{reason:?}"))
        };
        // RFC 9113 sections 6.4 and 6.8.
        if self.count("GOAWAY") > 0 {
            let reason = code(4).unwrap_or_default();
            return Some(H2Result::GoAway { reason });
        }
        (self.count("RST_STREAM") > 0).then(|| H2Result::Reset {
            reason: code(0).unwrap_or_default(),
        })
    }

    fn explain(&self, error: &h2::Error) -> H2Result {
        if self.begin.starts_with(b"HTTP/1.") {
            return H2Result::NotSpoken {
                looks_like: "HTTP/1".to_owned(),
            };
        }
        let reason = error.reason().map_or_else(String::new, |reason| {
            inert(&format!("{reason:?}"), WORDS_LEN_MAX)
        });
        if let Some(limit) = self.exceeded() {
            let kib = limit / 1024;
            return H2Result::Malformed {
                error: format!("more than {kib} KiB and no whole answer{}", self.most()),
            };
        }
        if error.is_remote() && error.is_go_away() {
            return H2Result::GoAway { reason };
        }
        if error.is_remote() && error.is_reset() {
            return H2Result::Reset { reason };
        }
        if let Some(ending) = self.ending().filter(|_| error.is_io()) {
            return ending;
        }
        // What was sent behind the handshake is at fault, and nobody ended the connection.
        if let Some(io) = error.get_io().filter(|io| is_overfull(io)) {
            return H2Result::Malformed {
                error: end_words(io),
            };
        }
        if let Some(io) = error.get_io() {
            let error = alert_in(io).unwrap_or_else(|| end_words(io));
            return H2Result::Closed { error };
        }
        let error = if self.count("PUSH_PROMISE") > 0 {
            "it pushes (PUSH_PROMISE), which we forbid".to_owned()
        } else if self.count("CONTINUATION") > 1 {
            format!(
                "a head in {} CONTINUATION frames ({reason})",
                self.count("CONTINUATION")
            )
        } else {
            inert(&error.to_string(), WORDS_LEN_MAX)
        };
        H2Result::Malformed { error }
    }
}

/// A connection that counts what comes.
struct Metered<'a> {
    wire: &'a mut dyn Wire,
    watch: Rc<RefCell<Watch>>,
}

impl AsyncRead for Metered<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let exceeded = self.watch.borrow().exceeded();
        if let Some(limit) = exceeded {
            let text = format!("more than {limit} bytes came");
            return Poll::Ready(Err(io::Error::other(text)));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut *self.wire).poll_read(cx, buf);
        self.watch.borrow_mut().take(&buf.filled()[before..]);
        polled
    }
}

impl AsyncWrite for Metered<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.wire).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.wire).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100];
        let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        let odd = [0, 0, 0, 99, 0, 0, 0, 0, 0];
        let bytes = [&settings[..], &ping, &odd, &settings, &ping[..4]].concat();
        for len in 1..=bytes.len() {
            let mut watch = Watch::default();
            for part in bytes.chunks(len) {
                watch.take(part);
            }
            assert_eq!(watch.read, bytes.len());
            assert_eq!(watch.ending(), None);
            let mut watch = Watch::default();
            let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
            for part in [&bytes[..settings.len()], &goaway].concat().chunks(len) {
                watch.take(part);
            }
            let reason = "INTERNAL_ERROR".to_owned();
            assert_eq!(watch.ending(), Some(H2Result::GoAway { reason }));
            let mut watch = Watch::default();
            for part in bytes.chunks(len) {
                watch.take(part);
            }
            let counts = ["SETTINGS", "PING", "unknown"].map(|name| watch.count(name));
            assert_eq!(counts, [2, 1, 1], "cut into {len}");
        }
    }
}
