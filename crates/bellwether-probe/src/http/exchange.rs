//! One request and its response, over a connection that is open already.

use std::time::{Duration, Instant};

use bellwether_model::http::{BodySeen, HttpResult};
use bellwether_model::text::inert_bytes;

use super::body::{Body, Came, Source};
use super::head::Head;
use crate::cx::Cx;
use crate::patience::patience;
use crate::tcp::millis;
use crate::tls::{alert_in, end_words};
use crate::wire::Wire;

/// How we name ourselves, so that operators can tell our requests from those of users.
const USER_AGENT: &str = "bellwether/0.1 (+check)";
/// Longest wait for the head of a response, from the request on.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// Longest wait for a body, from the head on.
const BODY_WAIT: Duration = Duration::from_secs(10);
/// Largest head, bytes. Browsers take some 256 KiB, common servers send less than 8.
const HEAD_LEN_MAX: usize = 64 * 1024;
/// Interim responses (RFC 9110 section 15.2) before the final one.
const INTERIM_MAX: usize = 8;
/// What every response begins with.
const VERSION_PREFIX: &[u8] = b"HTTP/";

/// What came of a request.
pub(crate) struct Exchange {
    pub(crate) result: HttpResult,
    /// The TLS alert that ended it.
    pub(crate) alert: Option<u8>,
    pub(crate) head: Option<Head>,
    pub(crate) body: Option<BodySeen>,
    /// The body's bytes, bounded.
    pub(crate) bytes: Vec<u8>,
    pub(crate) wait_ms: f64,
    pub(crate) transfer_ms: f64,
}

/// Asks for `path` of `host` (with its port, if it is not the scheme's own) and reads the answer.
pub(crate) async fn exchange(cx: &Cx, wire: &mut dyn Wire, host: &str, path: &str) -> Exchange {
    let mut source = Source::new(wire);
    let start = Instant::now();
    source.wait_until(patience(cx, HEAD_WAIT));
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\n\
         Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
    );
    // A server that refuses early has answered already: whether sending failed shows when reading.
    let sent = source.send(request.as_bytes()).await;
    let mut alert = None;
    let head = match (head(&mut source, &mut alert).await, sent) {
        (Ok(head), _) => head,
        (Err(HttpResult::Closed { .. }), Err(error)) if alert.is_none() => {
            let error = words(&error, &mut alert);
            return Exchange::ended(HttpResult::Closed { error }, alert, millis(start));
        }
        (Err(result), _) => return Exchange::ended(result, alert, millis(start)),
    };
    let wait_ms = millis(start);
    source.wait_until(patience(cx, BODY_WAIT));
    let body = Body::read(&mut source, head.framing()).await;
    let seen = BodySeen {
        note: head.oddity(),
        ..body.seen()
    };
    Exchange {
        result: HttpResult::Response,
        alert: None,
        head: Some(head),
        body: Some(seen),
        bytes: body.bytes,
        wait_ms,
        transfer_ms: millis(start) - wait_ms,
    }
}

impl Exchange {
    /// No response came.
    pub(crate) fn ended(result: HttpResult, alert: Option<u8>, wait_ms: f64) -> Self {
        Self {
            result,
            alert,
            head: None,
            body: None,
            bytes: Vec::new(),
            wait_ms,
            transfer_ms: 0.0,
        }
    }
}

/// The head of the final response.
async fn head(source: &mut Source<'_>, alert: &mut Option<u8>) -> Result<Head, HttpResult> {
    for _ in 0..=INTERIM_MAX {
        let bytes = head_bytes(source, alert).await?;
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
async fn head_bytes(
    source: &mut Source<'_>,
    alert: &mut Option<u8>,
) -> Result<Vec<u8>, HttpResult> {
    let mut looked = 0;
    loop {
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
                return Err(HttpResult::Closed { error });
            }
            Came::End => {
                let error = "the server closed the connection inside the head".to_owned();
                return Err(HttpResult::Closed { error });
            }
            Came::Failed(error) => {
                let error = words(&error, alert);
                return Err(HttpResult::Closed { error });
            }
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

fn words(error: &std::io::Error, alert: &mut Option<u8>) -> String {
    match alert_in(error) {
        Some((code, words)) => {
            *alert = Some(code);
            words
        }
        None => end_words(error),
    }
}
