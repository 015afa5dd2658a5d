//! One try over TCP.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bellwether_model::dns::ExchangeResult;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::message::{Query, matches};
use super::reply::{Discards, failed};
use crate::dial::system_words;
use crate::room::opened;

/// Most wrong messages taken on one connection before the try ends.
const DISCARDS_MAX: u32 = 16;

/// Connects, sends the query behind its length (RFC 1035 section 4.2.2), and waits for the reply
/// that matches.
pub(super) async fn attempt(
    server: SocketAddr,
    source: Option<SocketAddr>,
    query: &Query,
    wait: Duration,
    discards: &mut Discards,
) -> Result<Vec<u8>, ExchangeResult> {
    let deadline = Instant::now() + wait;
    let left = || deadline.saturating_duration_since(Instant::now());
    let mut stream = match tokio::time::timeout(left(), connect(server, source)).await {
        Err(_) => return Err(ExchangeResult::Silent),
        Ok(connected) => connected.map_err(failed)?,
    };
    let talk = converse(&mut stream, query, discards);
    match tokio::time::timeout(left(), talk).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(broken(&error)),
        Err(_) => Err(ExchangeResult::Broken {
            error: "the connection opened, and no answer came".to_owned(),
        }),
    }
}

async fn connect(server: SocketAddr, source: Option<SocketAddr>) -> io::Result<TcpStream> {
    let socket = opened(|| {
        if server.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }
    })
    .await?;
    if let Some(source) = source {
        socket.bind(source)?;
    }
    socket.connect(server).await
}

/// Sends the query behind its length and waits for the reply that matches.
pub(super) async fn converse<S>(
    stream: &mut S,
    query: &Query,
    discards: &mut Discards,
) -> io::Result<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let len = u16::try_from(query.bytes.len()).expect("a query is a few hundred bytes long");
    let mut framed = len.to_be_bytes().to_vec();
    framed.extend(&query.bytes);
    // One segment: some servers read length and message in one go (RFC 7766 section 8).
    stream.write_all(&framed).await?;
    loop {
        let len = stream.read_u16().await?;
        let mut bytes = vec![0; usize::from(len)];
        stream.read_exact(&mut bytes).await?;
        match matches(query, &bytes) {
            Ok(()) => return Ok(bytes),
            Err(reason) => discards.count(reason),
        }
        if discards.total() >= DISCARDS_MAX {
            return Err(io::Error::other("only wrong messages came"));
        }
    }
}

/// A connection that ended before an answer.
pub(super) fn broken(error: &io::Error) -> ExchangeResult {
    let error = if error.kind() == io::ErrorKind::UnexpectedEof {
        "the connection was closed before an answer".to_owned()
    } else {
        system_words(error)
    };
    ExchangeResult::Broken { error }
}
