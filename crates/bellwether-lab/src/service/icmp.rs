//! Echo replies, where some addresses keep silent.
//!
//! The kernel answers echo requests to every local address, and can be told to answer none. Once
//! a scenario silences one address, the kernel is told so, and the others are answered from here.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::LabError;
use crate::net::{Loss, lose};

/// Files of the namespace that stop the kernel from answering.
const SWITCHES: [&str; 2] = [
    "/proc/sys/net/ipv4/icmp_echo_ignore_all",
    "/proc/sys/net/ipv6/icmp/echo_ignore_all",
];
/// Largest echo request answered, bytes.
const PACKET_LEN_MAX: usize = 2048;
/// Echo request and reply (RFC 792, RFC 4443 section 4).
const ECHO_V4: (u8, u8) = (8, 0);
const ECHO_V6: (u8, u8) = (128, 129);

/// Who answers echo requests.
#[derive(Default)]
pub(crate) struct Echoes {
    answering: BTreeSet<IpAddr>,
    losses: Vec<Loss>,
    tasks: JoinSet<()>,
}

impl Echoes {
    /// Answers for all of these addresses but the silent ones, as far as requests arrive.
    pub(crate) fn follow(
        &mut self,
        all: &BTreeSet<IpAddr>,
        silent: &BTreeSet<IpAddr>,
        losses: &[Loss],
    ) -> Result<(), LabError> {
        if silent.is_empty() && losses.is_empty() && self.answering.is_empty() {
            return Ok(());
        }
        for path in SWITCHES {
            fs::write(path, "1").map_err(|source| LabError::Namespace {
                doing: "silence echo replies",
                hint: "",
                source,
            })?;
        }
        let wanted: BTreeSet<IpAddr> = all.difference(silent).copied().collect();
        if wanted != self.answering || losses != self.losses {
            self.tasks = JoinSet::new();
            for address in &wanted {
                let socket = raw_socket(*address, losses).map_err(|source| LabError::Listen {
                    address: SocketAddr::new(*address, 0),
                    source,
                })?;
                self.tasks.spawn(answer(socket, address.is_ipv4()));
            }
            self.answering = wanted;
            self.losses = losses.to_vec();
        }
        Ok(())
    }
}

/// A raw socket in the clothes of a UDP socket: receiving and sending datagrams with addresses is
/// the same call for both.
fn raw_socket(address: IpAddr, losses: &[Loss]) -> std::io::Result<UdpSocket> {
    let at = SocketAddr::new(address, 0);
    let protocol = if address.is_ipv4() {
        Protocol::ICMPV4
    } else {
        Protocol::ICMPV6
    };
    let socket = Socket::new(Domain::for_address(at), Type::RAW, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_freebind_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    lose(&socket, address, losses)?;
    socket.bind(&SockAddr::from(at))?;
    UdpSocket::from_std(socket.into())
}

async fn answer(socket: UdpSocket, v4: bool) {
    let mut packet = [0; PACKET_LEN_MAX];
    loop {
        let Ok((len, peer)) = socket.recv_from(&mut packet).await else {
            continue;
        };
        if let Some(reply) = reply(&packet[..len], v4) {
            // A client that has gone away is no matter of the host's.
            let _ = socket.send_to(&reply, SocketAddr::new(peer.ip(), 0)).await;
        }
    }
}

fn reply(packet: &[u8], v4: bool) -> Option<Vec<u8>> {
    // A raw IPv4 socket delivers the IP header too.
    let header = if v4 {
        usize::from(packet.first()? & 0x0f) * 4
    } else {
        0
    };
    let (request, answer) = if v4 { ECHO_V4 } else { ECHO_V6 };
    let mut message = packet.get(header..)?.to_vec();
    if message.len() < 8 || message[0] != request {
        return None;
    }
    message[0] = answer;
    message[2..4].fill(0);
    if v4 {
        // The kernel computes the checksum of ICMPv6 itself.
        let sum = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
    }
    Some(message)
}

/// The Internet checksum (RFC 1071).
fn checksum(octets: &[u8]) -> u16 {
    let words = octets.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        u32::from(u16::from_be_bytes([pair[0], low]))
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echo_replies() {
        let mut packet = vec![0x45; 20];
        packet.extend([8, 0, 0, 0, 1, 2, 3, 4, 5]);
        let reply = reply(&packet, true).unwrap();
        assert_eq!(reply[0], 0);
        assert_eq!(checksum(&reply), 0);
        assert!(super::reply(&[0x45; 20], true).is_none());
    }
}
