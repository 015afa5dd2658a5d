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
const TOKEN_LEN: usize = 16;
/// Longest packet that can be ours, and some more, so that a longer one is seen to be longer.
const PACKET_LEN_MAX: usize = 128;

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
    let probe = async {
        fault::trip(&key);
        if let Err(reason) = cx.dialer().permits(address, origin) {
            return (not_run(NotRunReason::EgressRefused, reason), waits);
        }
        let came = tokio::select! {
            biased;
            came = echo(cx, address) => came,
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
    let socket = open(cx, address).map_err(|error| refusal(&error, address))?;
    let token: [u8; TOKEN_LEN] = fastrand::u128(..).to_be_bytes();
    let start = Instant::now();
    if let Err(error) = socket.send(&request(address, &token)).await {
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
    let came = timeout(ECHO_WAIT, reply(&socket, address, &token)).await;
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
    let (domain, protocol) = match Family::of(address) {
        Family::V4 => (Domain::IPV4, Protocol::ICMPV4),
        Family::V6 => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if let Some(source) = cx.dialer().source(address) {
        socket.bind(&SockAddr::from(source))?;
    }
    socket.connect(&SockAddr::from(SocketAddr::new(address, 0)))?;
    // To the runtime it is a datagram socket like any other.
    UdpSocket::from_std(socket.into())
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
fn request(address: IpAddr, token: &[u8; TOKEN_LEN]) -> Vec<u8> {
    let kind = types(address).0;
    let mut packet = vec![kind, 0, 0, 0, 0, 0, 0, 1];
    packet.extend_from_slice(token);
    packet
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
        let is_ours = packet.first() == Some(&types(address).1)
            && packet.get(HEADER_LEN..) == Some(token.as_slice());
        if is_ours {
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
