//! What takes bytes of strangers, as functions for fuzzing: any bytes must do.
//!
//! Each runs the very code that a check runs, with the bytes in the place of a peer. They panic
//! where a check would catch a panic, so that it is found.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bellwether_model::dns::{Question, Response};
use bellwether_model::job::{Event, Job};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::cx::Cx;
use crate::dns::message::{self, QueryFlags, Raw};
use crate::{dnssec, http, worker};

/// A DNS message as the answer to a query that it may fit, its signatures checked with the keys
/// that it brings itself.
///
/// # Panics
/// If a parser panics.
#[must_use]
pub fn dns_message(bytes: &[u8]) -> Response {
    let question = Question {
        name: "www.example.com.".parse().expect("a name"),
        rtype: "A".to_owned(),
    };
    let flags = QueryFlags {
        edns: true,
        signatures: true,
        ..QueryFlags::default()
    };
    let mut random = fastrand::Rng::with_seed(0);
    let query = message::encode(&question, flags, &mut random).expect("a query");
    // Whether it counts does not matter: what does is read by the same code.
    let _ = message::matches(&query, bytes);
    let response = message::decode(&query, bytes, Raw::Keep);
    let panicked = response.malformed.as_deref() == Some("the parser panicked");
    assert!(!panicked, "the parser panicked");
    dnssec::check_itself(&response);
    response
}

/// What a server sends in answer to one request: the record of it, and how many bytes of the body
/// were kept.
///
/// # Panics
/// If the record has no JSON form.
#[must_use]
pub fn http_response(bytes: &[u8]) -> (serde_json::Value, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without sockets");
    let cx = Cx::new(job(), |_| {});
    let mut peer = Peer(bytes.to_vec(), 0);
    runtime.block_on(http::read_response(&cx, &mut peer))
}

/// A server's first flight in answer to a ClientHello of our own, in pieces of so many bytes.
#[must_use]
pub fn tls_flight(bytes: &[u8], piece: usize) -> serde_json::Value {
    crate::tls::read_flight(bytes, piece)
}

/// What a worker says, frame by frame, to its end or the first error; and one that judges.
pub fn worker_events(bytes: &[u8]) {
    worker::read_answer(bytes);
    let mut rest = bytes;
    while !rest.is_empty() && worker::read_frame::<Event>(&mut rest).is_ok() {}
}

/// What a worker is told.
pub fn worker_job(bytes: &[u8]) {
    // What is refused is as good as what is read.
    let _ = worker::read_frame::<Job>(&mut &*bytes);
}

fn job() -> Job {
    let job = serde_json::json!({
        "schema": bellwether_model::job::JOB_SCHEMA,
        "target": "http://www.example.com/".parse::<bellwether_model::Target>().expect("a target"),
        "expect": bellwether_model::Expect::default(),
        "resolvers": [],
        "controls": [],
        "root_hints": [],
        "now": "2026-06-01T00:00:00Z",
        "deadline_ms": 10_000,
    });
    serde_json::from_value(job).expect("a job")
}

/// A peer that says all it has to say at once, and takes whatever it is told.
struct Peer(Vec<u8>, usize);

impl AsyncRead for Peer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.0[self.1..];
        let len = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..len]);
        self.1 += len;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
