//! Sockets of the box: bound to any address, and deaf to whom a scenario says.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;

use socket2::{Domain, Protocol, SockAddr, SockFilter, SockRef, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use crate::LabError;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 512;

// Classic BPF (linux/filter.h): load a word, compare it with a constant, return how much is kept.
const LOAD_WORD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_NOT_BELOW: u16 = 0x35;
const RETURN: u16 = 0x06;
/// Drops every segment, SYNs first.
const DROP: Op = Op::new(RETURN, 0, 0, 0);
/// Keeps the packet whole.
const PASS: Op = Op::new(RETURN, 0, 0, u32::MAX);
/// Where the IP header's source is, counted from its begin (`SKF_NET_OFF`).
const SOURCE_V4: u32 = 0xfff0_0000 + 12;
const SOURCE_V6: u32 = 0xfff0_0000 + 8;
/// A random word (`SKF_AD_OFF + SKF_AD_RANDOM`).
const RANDOM: u32 = 0xffff_f000 + 56;
/// How many random words there are.
const CHANCES: f64 = 4_294_967_296.0;

fn socket(at: SocketAddr, kind: Type, protocol: Protocol) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), kind, Some(protocol))?;
    match at {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(at))?;
    Ok(socket)
}

/// A UDP socket at any address.
pub(crate) fn udp_socket(at: SocketAddr) -> Result<UdpSocket, LabError> {
    let made = socket(at, Type::DGRAM, Protocol::UDP);
    made.and_then(|s| UdpSocket::from_std(s.into()))
        .map_err(|source| LabError::Listen {
            address: at,
            source,
        })
}

/// A listener at any address.
pub(crate) fn tcp_listener(at: SocketAddr) -> Result<TcpListener, LabError> {
    let made = socket(at, Type::STREAM, Protocol::TCP).and_then(|s| {
        s.listen(BACKLOG)?;
        TcpListener::from_std(s.into())
    });
    made.map_err(|source| LabError::Listen {
        address: at,
        source,
    })
}

/// One instruction: its code, how many it leaps over if it holds and if not, and its constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Op {
    code: u16,
    then: u8,
    otherwise: u8,
    k: u32,
}

impl Op {
    const fn new(code: u16, then: u8, otherwise: u8, k: u32) -> Self {
        Self {
            code,
            then,
            otherwise,
            k,
        }
    }
}

/// A share of the packets from one address that does not arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Loss {
    pub(crate) from: IpAddr,
    pub(crate) share: f64,
}

/// What is let through to a socket: nothing, everything, or less from some addresses. A silent
/// listener's connections time out, as behind a filter that drops; what it accepted before goes by
/// what held then.
pub(crate) struct Gate<S> {
    socket: Arc<S>,
    at: SocketAddr,
    filter: Vec<Op>,
}

impl<S: AsFd> Gate<S> {
    pub(crate) fn new(socket: Arc<S>, at: SocketAddr) -> Self {
        Self {
            socket,
            at,
            filter: Vec::new(),
        }
    }

    /// Lets through what it is to let through from now on.
    pub(crate) fn set(&mut self, silent: bool, losses: &[Loss]) -> Result<(), LabError> {
        let filter = match silent {
            true => vec![DROP],
            false => filter(self.at.ip(), losses),
        };
        if filter == self.filter {
            return Ok(());
        }
        let socket = SockRef::from(&*self.socket);
        let done = match filter.is_empty() {
            true => socket.detach_filter(),
            false => socket.attach_filter(&program(&filter)),
        };
        done.map_err(|source| LabError::Listen {
            address: self.at,
            source,
        })?;
        self.filter = filter;
        Ok(())
    }
}

/// The program that drops what is lost on the way to an address: it compares the source in the IP
/// header, and leaves the rest to the kernel's own chance. Empty if nothing is lost.
fn filter(at: IpAddr, losses: &[Loss]) -> Vec<Op> {
    let mut program = Vec::new();
    for Loss { from, share } in losses {
        let (offset, octets) = match (at, from) {
            (IpAddr::V4(_), IpAddr::V4(from)) => (SOURCE_V4, from.octets().to_vec()),
            (IpAddr::V6(_), IpAddr::V6(from)) => (SOURCE_V6, from.octets().to_vec()),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => continue,
        };
        // A share of less than one in 2^32 rounds to none, and one of 1 to all.
        let below = (share * CHANCES) as u64;
        let verdict = match u32::try_from(below) {
            Err(_) => vec![DROP],
            Ok(0) => continue,
            Ok(below) => vec![
                Op::new(LOAD_WORD, 0, 0, RANDOM),
                Op::new(JUMP_NOT_BELOW, 1, 0, below),
                DROP,
            ],
        };
        let words: Vec<u32> = octets
            .chunks(4)
            .map(|four| {
                four.iter()
                    .fold(0, |word, octet| word << 8 | u32::from(*octet))
            })
            .collect();
        let places = (offset..).step_by(4);
        for (number, (word, place)) in words.iter().zip(places).enumerate() {
            let rest = 2 * (words.len() - number - 1) + verdict.len();
            // At most three more words of an IPv6 address, and three instructions.
            let rest = u8::try_from(rest).unwrap_or(u8::MAX);
            program.push(Op::new(LOAD_WORD, 0, 0, place));
            program.push(Op::new(JUMP_EQUAL, 0, rest, *word));
        }
        program.extend(verdict);
    }
    if !program.is_empty() {
        program.push(PASS);
    }
    program
}

fn program(ops: &[Op]) -> Vec<SockFilter> {
    let ops = ops.iter();
    ops.map(|op| SockFilter::new(op.code, op.then, op.otherwise, op.k))
        .collect()
}

/// Has a socket lose what comes from some addresses.
pub(crate) fn lose(socket: &Socket, at: IpAddr, losses: &[Loss]) -> std::io::Result<()> {
    let filter = filter(at, losses);
    match filter.is_empty() {
        true => Ok(()),
        false => socket.attach_filter(&program(&filter)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a program does with a packet whose source is `from`, where chance says `random`.
    fn passes(program: &[Op], from: IpAddr, random: u32) -> bool {
        let (begin, octets) = match from {
            IpAddr::V4(from) => (SOURCE_V4, from.octets().to_vec()),
            IpAddr::V6(from) => (SOURCE_V6, from.octets().to_vec()),
        };
        let word = |place: u32| {
            let at = usize::try_from(place - begin).unwrap();
            u32::from_be_bytes(octets[at..at + 4].try_into().unwrap())
        };
        let (mut at, mut held) = (0, 0);
        loop {
            let Op {
                code,
                then,
                otherwise,
                k,
            } = program[at];
            at += 1;
            let leap = match code {
                LOAD_WORD => {
                    held = if k == RANDOM { random } else { word(k) };
                    0
                }
                JUMP_EQUAL => {
                    if held == k {
                        then
                    } else {
                        otherwise
                    }
                }
                JUMP_NOT_BELOW => {
                    if held >= k {
                        then
                    } else {
                        otherwise
                    }
                }
                RETURN => return k != 0,
                _ => panic!("{code}"),
            };
            at += usize::from(leap);
        }
    }

    #[test]
    fn filters_lose_what_they_should() {
        let [fra, nyc, other]: [IpAddr; 3] =
            ["192.0.2.10", "192.0.2.11", "192.0.2.12"].map(|a| a.parse().unwrap());
        let [fra6, other6]: [IpAddr; 2] =
            ["2001:db8::10", "2001:db8::11"].map(|a| a.parse().unwrap());
        let losses = [
            Loss {
                from: fra,
                share: 1.0,
            },
            Loss {
                from: fra6,
                share: 1.0,
            },
            Loss {
                from: nyc,
                share: 0.25,
            },
        ];
        let v4 = filter(other, &losses);
        assert!(!passes(&v4, fra, u32::MAX) && !passes(&v4, fra, 0));
        assert!(passes(&v4, other, 0));
        let quarter = 1 << 30;
        assert!(!passes(&v4, nyc, quarter - 1) && passes(&v4, nyc, quarter));
        let v6 = filter(other6, &losses);
        assert!(!passes(&v6, fra6, u32::MAX) && passes(&v6, other6, 0));
        assert!(filter(other6, &losses[..1]).is_empty());
        assert!(
            filter(
                other,
                &[Loss {
                    from: fra,
                    share: 0.0
                }]
            )
            .is_empty()
        );
    }
}
