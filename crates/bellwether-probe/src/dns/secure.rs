//! One try over TLS (RFC 7858) or HTTPS (RFC 8484).
//!
//! The certificate is judged before anything is asked: who asked for privacy gets it or an answer
//! why not, and no question goes out over another transport instead.

use std::time::{Duration, Instant};

use bellwether_model::Channel;
use bellwether_model::dns::{ChannelFailure, ExchangeResult};
use bellwether_model::http::{BodyEnd, HttpResult};
use bellwether_model::net::TcpResult;
use bellwether_model::target::Host;
use bellwether_model::text::inert;
use bellwether_model::tls::{TlsPurpose, TlsResult};
use bytes::Bytes;
use futures_util::FutureExt;

use super::exchange::Ask;
use super::message::{Query, matches};
use super::reply::Discards;
use super::tcp;
use crate::budget::Budget;
use crate::cx::Cx;
use crate::dial::NotDialled;
use crate::http::{self as http_1, Room};
use crate::tls::{self, Stream};
use crate::wire::Wire;

/// Largest answer over HTTPS, octets: the longest DNS message (RFC 8484 section 6).
const BODY_LEN_MAX: usize = 65_535;
/// Largest list of header fields over HTTP/2, octets.
const HEAD_LEN_MAX: usize = 16 * 1024;
/// The media type of DNS messages (RFC 8484 section 6).
const MEDIA_TYPE: &str = "application/dns-message";
/// Longest text kept of what the other side says, characters.
const WORDS_LEN_MAX: usize = 128;

/// Connects, shakes hands, judges the certificate, and asks.
pub(super) async fn attempt(
    cx: &Cx,
    ask: &Ask,
    query: &Query,
    wait: Duration,
    discards: &mut Discards,
) -> Result<Vec<u8>, ExchangeResult> {
    let deadline = Instant::now() + wait;
    let left = || deadline.saturating_duration_since(Instant::now());
    let dialled = cx.dialer().tcp(ask.server, ask.origin);
    let stream = match tokio::time::timeout(left(), dialled).await {
        Err(_) => return Err(ExchangeResult::Silent),
        Ok(Err(not_dialled)) => return Err(unreached(not_dialled)),
        Ok(Ok(stream)) => stream,
    };
    let (host, alpn): (&Host, &'static [&'static [u8]]) = match &ask.channel {
        Channel::Tls { host } => (host, &[]),
        Channel::Https { host, .. } => (host, &[b"h2", b"http/1.1"]),
        Channel::Plain => {
            let reason = "no name was given to verify".to_owned();
            return Err(ExchangeResult::NotAsked { reason });
        }
    };
    let hello = tls::Ask {
        address: ask.server,
        host: host.clone(),
        purpose: TlsPurpose::User,
        alpn,
    };
    let anchors = crate::roots::anchors(cx.job());
    let shaken = tls::shake(cx, stream, &hello, &anchors);
    let Ok((seen, stream)) = tokio::time::timeout(left(), shaken).await else {
        return Err(handshake("it stopped halfway"));
    };
    let mut problems = seen.problems;
    problems.retain(|problem| !problem.is_of_browsers());
    if !problems.is_empty() {
        return Err(failed(ChannelFailure::Certificate { problems }));
    }
    let Some(mut stream) = stream.filter(|_| seen.result == TlsResult::Completed) else {
        return Err(handshake(&words(&seen.result)));
    };
    let talk = async {
        match &ask.channel {
            Channel::Tls { .. } | Channel::Plain => tcp::converse(&mut stream, query, discards)
                .await
                .map_err(|error| tcp::broken(&error)),
            Channel::Https { host, path } => {
                let authority = authority(host, ask.server.port());
                let bytes = if seen.alpn.as_deref() == Some("h2") {
                    over_h2(stream, &authority, path, query).boxed_local().await
                } else {
                    over_http_1(&mut stream, &authority, path, query, cx.budget().clone()).await
                }?;
                match matches(query, &bytes) {
                    Ok(()) => Ok(bytes),
                    Err(reason) => {
                        discards.count(reason);
                        Err(no_answer(None, None, "what came answers another question"))
                    }
                }
            }
        }
    };
    match tokio::time::timeout(left(), talk).await {
        Ok(ended) => ended,
        Err(_) => Err(ExchangeResult::Broken {
            error: "the connection opened, and no answer came".to_owned(),
        }),
    }
}

fn unreached(not_dialled: NotDialled) -> ExchangeResult {
    match not_dialled {
        NotDialled::Refused(reason) | NotDialled::Exhausted(reason) => {
            ExchangeResult::NotAsked { reason }
        }
        NotDialled::Failed(TcpResult::Refused | TcpResult::Reset) => ExchangeResult::Refused,
        NotDialled::Failed(TcpResult::TimedOut) => ExchangeResult::Silent,
        NotDialled::Failed(TcpResult::Unreachable { error } | TcpResult::Error { error }) => {
            ExchangeResult::Unreachable { error }
        }
        NotDialled::Failed(_) => ExchangeResult::Unreachable {
            error: "there is no route".to_owned(),
        },
    }
}

fn failed(failure: ChannelFailure) -> ExchangeResult {
    ExchangeResult::Channel { failure }
}

fn handshake(error: &str) -> ExchangeResult {
    let error = inert(error, WORDS_LEN_MAX);
    failed(ChannelFailure::Handshake { error })
}

fn no_answer(status: Option<u16>, content_type: Option<&[u8]>, error: &str) -> ExchangeResult {
    let text = |bytes: &[u8]| bellwether_model::text::inert_bytes(bytes, WORDS_LEN_MAX);
    failed(ChannelFailure::Http {
        status,
        content_type: content_type.map(text),
        error: inert(error, WORDS_LEN_MAX),
    })
}

/// How a handshake ended that did not complete.
fn words(result: &TlsResult) -> String {
    match result {
        TlsResult::Alert { name, .. } => format!("alert {name}"),
        TlsResult::Stalled => "it stopped halfway".to_owned(),
        TlsResult::NotTls { looks_like } => format!("{looks_like} came, which is not TLS"),
        TlsResult::TooLarge { limit } => {
            format!("its part of the handshake is larger than {limit} bytes")
        }
        TlsResult::Malformed { error } => format!("what it sends is no TLS ({error})"),
        TlsResult::Closed { error, .. }
        | TlsResult::NotConnected { error }
        | TlsResult::Failed { error } => error.clone(),
        other => format!("{other:?}"),
    }
}

/// Host and port as a URL has them.
fn authority(host: &Host, port: u16) -> String {
    let host = match host {
        Host::Name(name) => name.without_dot().to_owned(),
        Host::Address(address) if address.is_ipv6() => format!("[{address}]"),
        Host::Address(address) => address.to_string(),
    };
    match port {
        443 => host,
        port => format!("{host}:{port}"),
    }
}

/// Is what came a DNS message by its status and type (RFC 8484 section 4.2.1)?
fn judge(status: u16, content_type: Option<&[u8]>) -> Result<(), ExchangeResult> {
    if !(200..300).contains(&status) {
        let error = format!("status {status}");
        return Err(no_answer(Some(status), content_type, &error));
    }
    let media = content_type.and_then(|value| value.split(|b| *b == b';').next());
    let is_dns = media.is_some_and(|m| m.trim_ascii().eq_ignore_ascii_case(MEDIA_TYPE.as_bytes()));
    if is_dns {
        return Ok(());
    }
    Err(no_answer(Some(status), content_type, "no DNS message came"))
}

/// A body that holds no plain DNS message: none at all, or a coded one (we ask for no coding).
fn judge_body(status: u16, coding: Option<&[u8]>, body: &[u8]) -> Result<(), ExchangeResult> {
    let is_coded = |coding: &&[u8]| !coding.trim_ascii().eq_ignore_ascii_case(b"identity");
    if let Some(coding) = coding.filter(is_coded) {
        let coding = bellwether_model::text::inert_bytes(coding, WORDS_LEN_MAX);
        let error = format!("the answer is coded ({coding}), and no coding was asked for");
        return Err(no_answer(Some(status), None, &error));
    }
    if body.is_empty() {
        return Err(no_answer(Some(status), None, "the answer is empty"));
    }
    Ok(())
}

/// The id is 0, so that answers can be cached (RFC 8484 section 4.1); it is put back afterwards.
fn body_of(query: &Query) -> Bytes {
    let mut bytes = query.bytes.clone();
    bytes[..2].fill(0);
    bytes.into()
}

fn with_id(mut bytes: Vec<u8>, query: &Query) -> Vec<u8> {
    if bytes.len() >= 2 && bytes[..2] == [0, 0] {
        bytes[..2].copy_from_slice(&query.bytes[..2]);
    }
    bytes
}

async fn over_h2(
    stream: Stream,
    authority: &str,
    path: &str,
    query: &Query,
) -> Result<Vec<u8>, ExchangeResult> {
    let broken = |error: h2::Error| ExchangeResult::Broken {
        error: inert(&error.to_string(), WORDS_LEN_MAX),
    };
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        .max_header_list_size(HEAD_LEN_MAX as u32)
        .initial_window_size(2 * BODY_LEN_MAX as u32)
        .initial_connection_window_size(2 * BODY_LEN_MAX as u32);
    let (client, connection) = builder
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(broken)?;
    let request = http::Request::builder()
        .method("POST")
        .uri(format!("https://{authority}{path}"))
        .header("accept", MEDIA_TYPE)
        .header("content-type", MEDIA_TYPE)
        .body(())
        .map_err(|error| no_answer(None, None, &error.to_string()))?;
    let exchange = async {
        let mut client = client.ready().await.map_err(broken)?;
        let (response, mut body) = client.send_request(request, false).map_err(broken)?;
        body.send_data(body_of(query), true).map_err(broken)?;
        let response = response.await.map_err(broken)?;
        let status = response.status().as_u16();
        let header = |name| {
            let value = response.headers().get(name);
            value.map(|v: &http::HeaderValue| v.as_bytes().to_vec())
        };
        judge(status, header("content-type").as_deref())?;
        let coding = header("content-encoding");
        let mut came = Vec::new();
        let mut source = response.into_body();
        while let Some(part) = source.data().await {
            let part = part.map_err(broken)?;
            // What is read makes room for more (RFC 9113 section 5.2).
            let _ = source.flow_control().release_capacity(part.len());
            came.extend_from_slice(&part);
            if came.len() > BODY_LEN_MAX {
                return Err(no_answer(
                    None,
                    None,
                    "the answer is longer than a DNS message",
                ));
            }
        }
        judge_body(status, coding.as_deref(), &came)?;
        Ok(with_id(came, query))
    };
    // The connection moves the frames for the exchange, and ends with it.
    tokio::select! {
        ended = exchange => ended,
        ended = connection => Err(match ended {
            Err(error) => broken(error),
            Ok(()) => ExchangeResult::Broken {
                error: "the connection was closed before an answer".to_owned(),
            },
        }),
    }
}

async fn over_http_1(
    stream: &mut dyn Wire,
    authority: &str,
    path: &str,
    query: &Query,
    budget: Budget,
) -> Result<Vec<u8>, ExchangeResult> {
    let body = body_of(query);
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nAccept: {MEDIA_TYPE}\r\n\
         Content-Type: {MEDIA_TYPE}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(&body);
    let room = Room {
        len_max: BODY_LEN_MAX,
        budget,
    };
    let answer = http_1::converse(stream, &request, room).await;
    let (head, body) = answer.map_err(|result| match result {
        HttpResult::Malformed { error } => no_answer(None, None, &format!("not HTTP: {error}")),
        HttpResult::Closed { error, .. } | HttpResult::NotConnected { error } => {
            ExchangeResult::Broken { error }
        }
        HttpResult::Stalled | HttpResult::Response => ExchangeResult::Broken {
            error: "the answer has no end".to_owned(),
        },
    })?;
    judge(head.status, head.values("content-type").next())?;
    let wrong = match body.end() {
        BodyEnd::Complete | BodyEnd::None => None,
        BodyEnd::Cut | BodyEnd::CutByMemory => Some("the answer is longer than a DNS message"),
        BodyEnd::Malformed => Some("the length of the answer is ill-formed"),
        BodyEnd::Truncated | BodyEnd::Stalled | BodyEnd::Open | BodyEnd::Slow => {
            Some("the answer ends early")
        }
    };
    if let Some(error) = wrong {
        return Err(no_answer(Some(head.status), None, error));
    }
    let bytes = body.into_parts().0;
    judge_body(head.status, head.values("content-encoding").next(), &bytes)?;
    Ok(with_id(bytes, query))
}

#[cfg(test)]
mod tests {
    use bellwether_model::DnsName;
    use bellwether_model::dns::Question;

    use super::super::message::{QueryFlags, encode};
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn query() -> Query {
        let question = Question {
            name: DnsName::typed("www.svc.test").unwrap(),
            rtype: "A".to_owned(),
        };
        let mut random = fastrand::Rng::with_seed(1);
        encode(&question, QueryFlags::default(), &mut random).unwrap()
    }

    /// What is made of an answer over HTTP/1.1.
    async fn answered(query: &Query, answer: &str) -> Result<Vec<u8>, ExchangeResult> {
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        let serve = async {
            let mut request = vec![0; 1024];
            assert!(theirs.read(&mut request).await.unwrap() > 0);
            theirs.write_all(answer.as_bytes()).await.unwrap();
            drop(theirs);
        };
        let ask = over_http_1(
            &mut ours,
            "dns.test",
            "/dns-query",
            query,
            Budget::default(),
        );
        tokio::join!(ask, serve).0
    }

    #[tokio::test]
    async fn answers_over_http_1() {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/dns-message\r\n";
        let query = query();
        let mut whole = query.bytes[..2].to_vec();
        whole.extend_from_slice(b"answer");
        let body = "\0\0answer";
        for framed in [
            format!("{head}Content-Length: 8\r\n\r\n{body}"),
            format!(
                "{head}Transfer-Encoding: chunked\r\n\r\n3\r\n\0\0a\r\n5;x=y\r\nnswer\r\n0\r\n\r\n"
            ),
            format!("{head}\r\n{body}"),
            format!("HTTP/1.1 103 Early Hints\r\n\r\n{head}Content-Length: 8\r\n\r\n{body}"),
        ] {
            assert_eq!(
                answered(&query, &framed).await,
                Ok(whole.clone()),
                "{framed:?}"
            );
        }
        for wrong in [
            format!("{head}Content-Length: 9\r\n\r\n{body}"),
            format!("{head}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"),
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_owned(),
            format!("{head}Content-Length: 0\r\n\r\n"),
            format!("{head}Content-Encoding: gzip\r\nContent-Length: 8\r\n\r\n{body}"),
            "SSH-2.0-x\r\n".to_owned(),
        ] {
            let ended = answered(&query, &wrong).await;
            let is_of_http = matches!(
                ended,
                Err(ExchangeResult::Channel {
                    failure: ChannelFailure::Http { .. }
                })
            );
            assert!(is_of_http, "{wrong:?}: {ended:?}");
        }
    }
}
