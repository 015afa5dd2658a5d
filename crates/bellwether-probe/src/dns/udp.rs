//! One try over UDP.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use bellwether_model::dns::ExchangeResult;
use bellwether_model::net::Family;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;

use super::message::{Query, matches};
use super::reply::{Discards, failed};
use crate::cx::Cx;
use crate::room::opened;
use crate::sys::{awaited, report_icmp_errors};

/// Most wrong datagrams taken before a try ends: a flood must not keep the probe busy, and who
/// guesses ids sends some thousands before the right answer comes.
const DISCARDS_MAX: u32 = 8192;

/// Sends the query from a fresh socket with a port of its own and waits for the reply that
/// matches; the socket comes back with it. What does not match is counted, and the wait goes on.
pub(super) async fn attempt(
    cx: &Cx,
    server: SocketAddr,
    source: Option<SocketAddr>,
    query: &Query,
    wait: Duration,
    discards: &mut Discards,
) -> Result<(Vec<u8>, UdpSocket), ExchangeResult> {
    let socket = opened(|| open(server, source)).await.map_err(failed)?;
    send(&socket, &query.bytes, server).await.map_err(failed)?;
    // The runtime hears of it only now: most queries leave at once. An ICMP error wakes nobody who
    // waits for reading alone.
    let wanted = Interest::READABLE.add(Interest::ERROR);
    let socket = awaited(socket, wanted).map_err(failed)?;
    let replies = async {
        loop {
            // An ICMP error that came is told to whoever reads.
            let read = |socket: &UdpSocket| {
                cx.memory().datagrams.read(socket, |bytes, from| {
                    if from == server {
                        matches(query, bytes).map(|()| bytes.to_vec())
                    } else {
                        Err("wrong_source")
                    }
                })
            };
            match socket.async_io(wanted, read).await.map_err(failed)? {
                Ok(bytes) => return Ok(bytes),
                Err(reason) => discards.count(reason),
            }
            if discards.total() >= DISCARDS_MAX {
                return Err(ExchangeResult::Silent);
            }
        }
    };
    let deadline = tokio::time::Instant::from_std(Instant::now() + wait);
    match tokio::time::timeout_at(deadline, replies).await {
        Ok(came) => Ok((came?, socket.into_inner())),
        Err(_) => Err(ExchangeResult::Silent),
    }
}

fn open(server: SocketAddr, source: Option<SocketAddr>) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(server),
        Type::DGRAM.nonblocking(),
        Some(Protocol::UDP),
    )?;
    report_icmp_errors(&socket, Family::of(server.ip()))?;
    // The kernel picks the port at random (RFC 5452 section 4.5), here or when the query is sent.
    if let Some(source) = source {
        socket.bind(&source.into())?;
    }
    Ok(socket.into())
}

async fn send(socket: &UdpSocket, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
    loop {
        match socket.send_to(bytes, to) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        // It is as good as never: the socket is new and its buffer empty.
        let full = tokio::net::UdpSocket::from_std(socket.try_clone()?)?;
        full.writable().await?;
    }
}
