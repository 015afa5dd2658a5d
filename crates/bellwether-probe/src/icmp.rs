//! ICMP echo, where the system allows it without privilege.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bellwether_model::net::{Family, IcmpResult, IcmpSeen};
use bellwether_model::observation::NotRun;
use bellwether_model::{NotRunReason, Origin, Outcome, ProbeKind};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::cx::Cx;
use crate::dial::system_words;
use crate::pings::Echo;
use crate::tcp::millis;
use crate::worker::fault;

/// Longest wait for an echo: slower paths than a second have other troubles.
const ECHO_WAIT: Duration = Duration::from_secs(1);
/// Echo request and reply of ICMP (RFC 792) and of ICMPv6 (RFC 4443 section 4).
const TYPES_V4: (u8, u8) = (8, 0);
const TYPES_V6: (u8, u8) = (128, 129);
/// Type, code, checksum, identifier, sequence number.
const HEADER_LEN: usize = 8;
/// What we send along, to know our own echo by.
pub(crate) const TOKEN_LEN: usize = 16;
/// Longest packet that can be ours, and some more, so that a longer one is seen to be longer.
pub(crate) const PACKET_LEN_MAX: usize = 128;

/// Sends one echo to an address and waits for it to come back.
///
/// `origin` says who named the address, `waits` how many sequential waits it took to learn it.
/// `served` tells that the address has served a connection to its end: whether it answers echoes
/// matters no more then, and where echoes are dropped, as in many networks, nobody waits for one.
pub async fn run(
    cx: &Cx,
    address: IpAddr,
    origin: Origin,
    waits: u32,
    served: oneshot::Receiver<()>,
) {
    let stand_in = NotRun {
        reason: NotRunReason::Deadline,
        detail: String::new(),
        subject: address.to_string(),
        address: Some(address),
        via: None,
    };
    let not_run = |reason, detail| {
        let stand_in = stand_in.clone();
        Outcome::NotRun(NotRun {
            reason,
            detail,
            ..stand_in
        })
    };
    let key = format!("icmp {address}");
    let own = cx.for_probe();
    let probe = async {
        fault::trip(&key);
        if let Err(reason) = cx.dialer().permits(address, origin) {
            return (not_run(NotRunReason::EgressRefused, reason), waits);
        }
        let came = tokio::select! {
            biased;
            came = echo(&own, address) => came,
            Ok(()) = served => {
                let detail = "no echo had come back when a connection was served to its end";
                Err((NotRunReason::NotNeeded, detail.to_owned()))
            }
        };
        match came {
            Ok(seen) => (Outcome::Icmp(seen), waits + 1),
            Err((reason, detail)) => (not_run(reason, detail), waits),
        }
    };
    cx.probe(ProbeKind::Icmp, key.clone(), stand_in.clone(), probe)
        .await;
}

async fn echo(cx: &Cx, address: IpAddr) -> Result<IcmpSeen, (NotRunReason, String)> {
    let seen = |result, rtt_ms| IcmpSeen {
        address,
        result,
        rtt_ms,
    };
    let wait = ECHO_WAIT.min(cx.left_of_probe());
    if let Some(pings) = &cx.memory().pings {
        let source = cx.dialer().source(address);
        match pings.echo(address, source, wait).await {
            Some(Echo::Reply(rtt_ms)) => return Ok(seen(IcmpResult::Reply, Some(rtt_ms))),
            Some(Echo::Silent) => return Ok(seen(IcmpResult::Silent, None)),
            // A socket of its own tells what is the matter.
            None => {}
        }
    }
    let socket = open(cx, address).map_err(|error| refusal(&error, address))?;
    let token: [u8; TOKEN_LEN] = fastrand::u128(..).to_be_bytes();
    let start = Instant::now();
    if let Err(error) = socket.send(&request(address, 1, &token)).await {
        return match error.raw_os_error() {
            Some(libc::ENETUNREACH | libc::EHOSTUNREACH) if !has_route(cx, address) => {
                Err((NotRunReason::NoRoute, system_words(&error)))
            }
            _ => {
                let error = system_words(&error);
                Ok(seen(IcmpResult::Error { error }, None))
            }
        };
    }
    let came = timeout(wait, reply(&socket, address, &token)).await;
    Ok(match came {
        Ok(Ok(())) => seen(IcmpResult::Reply, Some(millis(start))),
        Ok(Err(error)) => {
            let error = system_words(&error);
            seen(IcmpResult::Error { error }, None)
        }
        Err(_) => seen(IcmpResult::Silent, None),
    })
}

/// A ping socket: an ICMP socket without privilege, which sends and receives echoes only.
fn open(cx: &Cx, address: IpAddr) -> io::Result<UdpSocket> {
    let socket = ping_socket(Family::of(address), cx.dialer().source(address))?;
    socket.connect(&SockAddr::from(SocketAddr::new(address, 0)))?;
    // To the runtime it is a datagram socket like any other.
    UdpSocket::from_std(socket.into())
}

/// One that is not connected.
pub(crate) fn ping_socket(family: Family, source: Option<SocketAddr>) -> io::Result<Socket> {
    let (domain, protocol) = match family {
        Family::V4 => (Domain::IPV4, Protocol::ICMPV4),
        Family::V6 => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(protocol))?;
    if let Some(source) = source {
        socket.bind(&SockAddr::from(source))?;
    }
    Ok(socket)
}

fn refusal(error: &io::Error, address: IpAddr) -> (NotRunReason, String) {
    let words = system_words(error);
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => (
            NotRunReason::NotPermitted,
            format!(
                "{words}: the system allows echo without privilege only to the groups in \
                 `sysctl net.ipv4.ping_group_range`"
            ),
        ),
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EADDRNOTAVAIL) => {
            let detail = format!("{words}: no route to {address}");
            (NotRunReason::NoRoute, detail)
        }
        _ => (NotRunReason::NotPermitted, words),
    }
}

fn has_route(cx: &Cx, address: IpAddr) -> bool {
    // Any port serves: nothing is sent.
    cx.dialer().has_route(SocketAddr::new(address, 9))
}

/// An echo request; the kernel fills in identifier and checksum.
pub(crate) fn request(address: IpAddr, number: u16, token: &[u8; TOKEN_LEN]) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    let mut packet = Vec::with_capacity(HEADER_LEN + TOKEN_LEN);
    packet.extend_from_slice(&[types(address).0, 0, 0, 0, 0, 0, high, low]);
    packet.extend_from_slice(token);
    packet
}

/// The number and the token of an echo reply from this address.
pub(crate) fn reply_in(packet: &[u8], address: IpAddr) -> Option<(u16, &[u8])> {
    let (header, token) = packet.split_at_checked(HEADER_LEN)?;
    let is_reply = header[0] == types(address).1;
    is_reply.then(|| (u16::from_be_bytes([header[6], header[7]]), token))
}

fn types(address: IpAddr) -> (u8, u8) {
    match Family::of(address) {
        Family::V4 => TYPES_V4,
        Family::V6 => TYPES_V6,
    }
}

/// Waits for the reply that carries our token; others are passed over.
async fn reply(socket: &UdpSocket, address: IpAddr, token: &[u8; TOKEN_LEN]) -> io::Result<()> {
    let mut bytes = [0; PACKET_LEN_MAX];
    loop {
        let len = socket.recv(&mut bytes).await?;
        let packet = &bytes[..len];
        if reply_in(packet, address).is_some_and(|(_, came)| came == token) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use bellwether_model::job::Event;

    use super::*;
    use crate::testing::{LOCALHOST, job};

    async fn outcome(origin: Origin) -> Outcome {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let sink = seen.clone();
        let cx = Cx::new(job("https://svc.test/"), move |event| {
            if let Event::Observed { observation, .. } = event {
                sink.borrow_mut().push(observation.outcome.clone());
            }
        });
        run(&cx, LOCALHOST, origin, 0, oneshot::channel().1).await;
        let outcome = seen.borrow_mut().pop();
        outcome.unwrap()
    }

    /// Whether echo is allowed depends on the system: either it works, or the reason is told.
    #[tokio::test]
    async fn an_echo_comes_back_or_is_not_allowed() {
        match outcome(Origin::Operator).await {
            Outcome::Icmp(seen) => {
                assert_eq!(seen.result, IcmpResult::Reply);
                assert!(seen.rtt_ms.is_some());
            }
            Outcome::NotRun(not_run) => {
                assert_eq!(not_run.reason, NotRunReason::NotPermitted);
                assert!(not_run.detail.contains("net.ipv4.ping_group_range"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_egress_rule_is_asked() {
        let Outcome::NotRun(not_run) = outcome(Origin::Network).await else {
            panic!("sent");
        };
        assert_eq!(not_run.reason, NotRunReason::EgressRefused);
    }
}
