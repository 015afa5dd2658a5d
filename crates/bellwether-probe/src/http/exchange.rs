//! One request and its response, over a connection that is open already.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use bellwether_model::http::{BodyEnd, BodySeen, HttpResult};
use bellwether_model::text::inert_bytes;

use super::body::{BODY_LEN_MAX, Body, Came, Room, Source, sample};
use super::decode::decode;
use super::head::Head;
use crate::budget::Loan;
use crate::cx::Cx;
use crate::patience::patience;
use crate::tcp::millis;
use crate::tls::{alert_in, end_words, is_overfull};
use crate::wire::Wire;

/// How we name ourselves, so that operators can tell our requests from those of users.
const USER_AGENT: &str = "bellwether/0.1 (+check)";
/// How a current browser names itself.
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
/// Longest wait for the head of a response, from the request on.
pub(super) const HEAD_WAIT: Duration = Duration::from_secs(10);
/// Longest wait for a body, from the head on.
pub(super) const BODY_WAIT: Duration = Duration::from_secs(10);
/// Largest head, bytes. Browsers take some 256 KiB, common servers send less than 8.
pub(super) const HEAD_LEN_MAX: usize = 64 * 1024;
/// Interim responses (RFC 9110 section 15.2) before the final one: one for each hint or second of
/// work is much already.
const INTERIM_MAX: usize = 100;
/// Blank lines before a head that are passed over, bytes, as browsers do.
const BLANK_LEN_MAX: usize = 4;
/// Bytes that a server may send before anything is asked: HTTP/2 has a few frames to begin with.
const UNASKED_LEN_MAX: usize = 16 * 1024;
/// What every response begins with.
const VERSION_PREFIX: &[u8] = b"HTTP/";

/// What came of a request.
pub(crate) struct Exchange {
    pub(crate) result: HttpResult,
    pub(crate) head: Option<Head>,
    /// Bytes of a head that never became whole.
    pub(crate) head_len: u64,
    pub(crate) body: Option<BodySeen>,
    /// The body's bytes, bounded.
    pub(crate) bytes: Vec<u8>,
    /// What the worker lends for them.
    _loan: Option<Loan>,
    pub(crate) wait_ms: f64,
    pub(crate) transfer_ms: f64,
}

/// A request.
#[derive(Clone)]
pub(crate) struct Request {
    /// `http` or `https`.
    pub(crate) scheme: String,
    /// The host, with its port if that is not the scheme's own.
    pub(crate) authority: String,
    /// The request target in origin form.
    pub(crate) path: String,
    /// The value of the `Cookie` header.
    pub(crate) cookies: Option<Vec<u8>>,
    pub(crate) agent: Agent,
    pub(crate) room: Room,
}

/// How the client names itself, and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    /// As ourselves. Servers that code whatever is asked of them are healthy to any browser, so
    /// the one coding that every client knows is taken; what else comes is a lie.
    Own,
    /// As a browser.
    Browser,
    /// As ourselves, but for the name.
    BrowserName,
}

impl Agent {
    /// Names and values.
    pub(super) fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Own => &[
                ("User-Agent", USER_AGENT),
                ("Accept", "*/*"),
                ("Accept-Encoding", "gzip"),
            ],
            Self::BrowserName => &[
                ("User-Agent", BROWSER),
                ("Accept", "*/*"),
                ("Accept-Encoding", "gzip"),
            ],
            Self::Browser => &[
                ("User-Agent", BROWSER),
                (
                    "Accept",
                    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                ),
                ("Accept-Language", "en-US,en;q=0.5"),
                ("Accept-Encoding", "gzip, deflate, br, zstd"),
            ],
        }
    }

    fn codings(self) -> &'static [&'static str] {
        match self {
            // Whoever takes gzip takes deflate, asked for or not.
            Self::Own | Self::BrowserName => &["gzip", "x-gzip", "deflate"],
            Self::Browser => &["gzip", "x-gzip", "deflate", "br", "zstd"],
        }
    }
}

/// Makes a request over HTTP/1.1 and reads the answer.
pub(crate) async fn exchange(cx: &Cx, wire: &mut dyn Wire, request: &Request) -> Exchange {
    let mut source = Source::new(wire);
    let start = Instant::now();
    source.wait_until(patience(cx, HEAD_WAIT));
    let mut text = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\n",
        request.path, request.authority
    );
    for (name, value) in request.agent.headers() {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut bytes = text.into_bytes();
    if let Some(cookies) = &request.cookies {
        bytes.extend_from_slice(b"Cookie: ");
        bytes.extend_from_slice(cookies);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"Connection: close\r\n\r\n");
    let head = match ask(&mut source, &bytes).await {
        Ok(head) => head,
        Err(result) => {
            let read = source.unread().len();
            return Exchange {
                head_len: u64::try_from(read).unwrap_or(u64::MAX),
                ..Exchange::ended(result, millis(start))
            };
        }
    };
    let wait_ms = millis(start);
    source.wait_until(patience(cx, BODY_WAIT));
    let framing = head.framing();
    let body = Body::read(&mut source, framing, request.room.clone()).await;
    let surplus = source.unread().len();
    let surplus = (body.end() == BodyEnd::Complete && surplus > 0)
        .then(|| format!("{surplus} bytes or more came behind the announced end"));
    let times = (wait_ms, millis(start) - wait_ms);
    Exchange::whole(head, body, request.agent, surplus, times)
}

impl Exchange {
    /// No response came.
    pub(crate) fn ended(result: HttpResult, wait_ms: f64) -> Self {
        Self {
            result,
            head: None,
            head_len: 0,
            body: None,
            bytes: Vec::new(),
            _loan: None,
            wait_ms,
            transfer_ms: 0.0,
        }
    }

    /// A response with its body, decoded as far as it is coded.
    pub(super) fn whole(
        head: Head,
        body: Body,
        agent: Agent,
        surplus: Option<String>,
        (wait_ms, transfer_ms): (f64, f64),
    ) -> Self {
        let is_whole = body.end() == BodyEnd::Complete;
        let codings = head.tokens("content-encoding");
        let mut seen = body.seen();
        let (mut bytes, mut loan) = body.into_parts();
        let is_coded = codings.iter().any(|coding| !coding.is_empty());
        // What comes out lies beside what came, until that is dropped.
        let decoded = if !is_coded {
            None
        } else if loan.covers(bytes.len() + BODY_LEN_MAX) {
            decode(&codings, &bytes, is_whole, agent.codings())
        } else {
            seen.end = BodyEnd::CutByMemory;
            None
        };
        if let Some((coding, decoded)) = decoded {
            seen.coding = Some(coding);
            if let Some(decoded) = decoded {
                seen.sample = sample(&decoded);
                bytes = decoded;
            }
        }
        let charset = charset_lie(&head, &bytes);
        let notes = [head.breaks(), head.oddity(), surplus, charset];
        let notes: Vec<String> = notes.into_iter().flatten().collect();
        seen.note = (!notes.is_empty()).then(|| notes.join("; "));
        Self {
            result: HttpResult::Response,
            head: Some(head),
            head_len: 0,
            body: Some(seen),
            bytes,
            _loan: Some(loan),
            wait_ms,
            transfer_ms,
        }
    }
}

/// Text that is announced as UTF-8 and is none.
fn charset_lie(head: &Head, bytes: &[u8]) -> Option<String> {
    let content_type = head.values("content-type").next()?.to_ascii_lowercase();
    let says_utf8 = content_type.windows(13).any(|w| w == b"charset=utf-8");
    let error = std::str::from_utf8(bytes).err()?;
    // Reading may have stopped inside a character.
    (says_utf8 && error.error_len().is_some())
        .then(|| "it is announced as UTF-8, and is not".to_owned())
}

/// Sends a request as it stands, and reads the whole answer, for what else speaks over HTTP/1.1.
/// Whoever calls bounds the time.
pub(crate) async fn converse(
    wire: &mut dyn Wire,
    request: &[u8],
    room: Room,
) -> Result<(Head, Body), HttpResult> {
    let mut source = Source::new(wire);
    let head = ask(&mut source, request).await?;
    let framing = head.framing();
    let body = Body::read(&mut source, framing, room).await;
    Ok((head, body))
}

/// Sends a request, and reads the head of the final response.
async fn ask(source: &mut Source<'_>, request: &[u8]) -> Result<Head, HttpResult> {
    // A server that refuses early has answered already: whether sending failed shows when reading.
    let sent = source.send(request).await;
    match (head(source).await, sent) {
        (Err(HttpResult::Closed { reset, .. }), Err(error)) => Err(HttpResult::Closed {
            error: words(&error),
            // A pipe that is broken says no such thing: an orderly end came first, then the reset of
            // what was sent behind it.
            reset: reset || is_reset(&error),
        }),
        (answer, _) => answer,
    }
}

/// The head of the final response.
async fn head(source: &mut Source<'_>) -> Result<Head, HttpResult> {
    for _ in 0..=INTERIM_MAX {
        let bytes = head_bytes(source).await?;
        let head = Head::parse(&bytes).map_err(|error| HttpResult::Malformed { error })?;
        if !(100..200).contains(&head.status) {
            return Ok(head);
        }
        if head.status == 101 {
            let error = "it switches protocols, which nobody asked for".to_owned();
            return Err(HttpResult::Malformed { error });
        }
    }
    let error = format!("more than {INTERIM_MAX} interim responses");
    Err(HttpResult::Malformed { error })
}

/// The bytes up to the first empty line.
async fn head_bytes(source: &mut Source<'_>) -> Result<Vec<u8>, HttpResult> {
    let mut looked = 0;
    let mut blank = 0;
    loop {
        let begin = source.unread().iter().take(BLANK_LEN_MAX - blank);
        let skipped = begin.take_while(|b| matches!(b, b'\r' | b'\n')).count();
        if looked == 0 {
            blank += skipped;
            source.use_up(skipped);
        }
        let unread = source.unread();
        if let Some(end) = head_end(unread, looked) {
            let head = unread[..end].to_vec();
            source.use_up(end);
            return Ok(head);
        }
        let begin = unread.len().min(VERSION_PREFIX.len());
        if unread[..begin] != VERSION_PREFIX[..begin] {
            let shown = inert_bytes(unread, 40);
            let error = format!("it begins with `{shown}`");
            return Err(HttpResult::Malformed { error });
        }
        // The empty line may have come in part.
        looked = unread.len().saturating_sub(3);
        if unread.len() > HEAD_LEN_MAX {
            let error = format!("the head is larger than {HEAD_LEN_MAX} bytes");
            return Err(HttpResult::Malformed { error });
        }
        match source.more().await {
            Came::Bytes => {}
            Came::Nothing => return Err(HttpResult::Stalled),
            Came::End if source.unread().is_empty() => {
                let error = "the server closed the connection without an answer".to_owned();
                return Err(closed(error));
            }
            Came::End => {
                let error = "the server closed the connection inside the head".to_owned();
                return Err(closed(error));
            }
            // What was sent behind the handshake is at fault, and nobody ended the connection.
            Came::Failed(error) if is_overfull(&error) => {
                let error = words(&error);
                return Err(HttpResult::NotConnected { error });
            }
            Came::Failed(error) => {
                let reset = is_reset(&error);
                let error = words(&error);
                return Err(HttpResult::Closed { error, reset });
            }
        }
    }
}

fn closed(error: String) -> HttpResult {
    let reset = false;
    HttpResult::Closed { error, reset }
}

fn is_reset(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::ConnectionReset
}

/// Watches a connection over which nothing is asked: how it ends, if it does so in this time.
pub(super) async fn unasked(wire: &mut dyn Wire, wait: Duration) -> HttpResult {
    let mut source = Source::new(wire);
    source.wait_until(Some(wait));
    loop {
        match source.more().await {
            Came::Nothing => return HttpResult::Stalled,
            Came::End => {
                let error = "the server closed the connection unasked".to_owned();
                return closed(error);
            }
            Came::Failed(error) => {
                let reset = is_reset(&error);
                let error = words(&error);
                return HttpResult::Closed { error, reset };
            }
            // Settings of HTTP/2, say; more than that nobody sends unasked.
            Came::Bytes if source.unread().len() > UNASKED_LEN_MAX => return HttpResult::Stalled,
            Came::Bytes => {}
        }
    }
}

/// Where a head ends: behind an empty line, whose `\r` may be missing (RFC 9112 section 2.2).
fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len()).find_map(|at| match &bytes[at..] {
        [b'\n', b'\n', ..] => Some(at + 2),
        [b'\n', b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

fn words(error: &std::io::Error) -> String {
    alert_in(error).unwrap_or_else(|| end_words(error))
}
