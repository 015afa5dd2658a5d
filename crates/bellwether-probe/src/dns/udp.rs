//! One try over UDP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use bellwether_model::dns::ExchangeResult;
use bellwether_model::net::Family;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::message::{Query, matches};
use super::reply::{Discards, failed};
use crate::sys::report_icmp_errors;

/// Longest datagram read. The offer is 1232 octets, but a server that ignores it is to be seen
/// whole; this is the longest that UDP carries.
const DATAGRAM_LEN_MAX: usize = 65_535;
/// Most wrong datagrams taken before a try ends: a flood must not keep the probe busy, and who
/// guesses ids sends some thousands before the right answer comes.
const DISCARDS_MAX: u32 = 8192;

/// Sends the query from a fresh socket with a port of its own and waits for the reply that
/// matches; the socket comes back with it. What does not match is counted, and the wait goes on.
pub(super) async fn attempt(
    server: SocketAddr,
    source: Option<SocketAddr>,
    query: &Query,
    wait: Duration,
    discards: &mut Discards,
) -> Result<(Vec<u8>, UdpSocket), ExchangeResult> {
    let socket = open(server, source).map_err(failed)?;
    socket.send_to(&query.bytes, server).await.map_err(failed)?;
    let deadline = Instant::now() + wait;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(received) = tokio::time::timeout(left, receive(&socket)).await else {
            return Err(ExchangeResult::Silent);
        };
        let (bytes, from) = received.map_err(failed)?;
        let verdict = if from == server {
            matches(query, &bytes)
        } else {
            Err("wrong_source")
        };
        match verdict {
            Ok(()) => return Ok((bytes, socket)),
            Err(reason) => discards.count(reason),
        }
        if discards.total() >= DISCARDS_MAX {
            return Err(ExchangeResult::Silent);
        }
    }
}

fn open(server: SocketAddr, source: Option<SocketAddr>) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(server),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    report_icmp_errors(&socket, Family::of(server.ip()))?;
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    // The kernel picks the port at random (RFC 5452 section 4.5).
    socket.bind(&source.unwrap_or(SocketAddr::new(any, 0)).into())?;
    UdpSocket::from_std(socket.into())
}

/// Waits for a datagram, or for an ICMP error, which wakes nobody who waits for reading alone.
async fn receive(socket: &UdpSocket) -> io::Result<(Vec<u8>, SocketAddr)> {
    let mut buffer = vec![0; DATAGRAM_LEN_MAX];
    let wanted = Interest::READABLE.add(Interest::ERROR);
    let (len, from) = socket
        .async_io(wanted, || match socket.take_error()? {
            Some(error) => Err(error),
            None => socket.try_recv_from(&mut buffer),
        })
        .await?;
    buffer.truncate(len);
    buffer.shrink_to_fit();
    Ok((buffer, from))
}
