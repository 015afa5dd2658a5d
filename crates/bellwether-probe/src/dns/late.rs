//! Answers that come after the one that was taken: who sits on the way answers first, and the
//! real answer comes all the same.

use std::net::{SocketAddr, UdpSocket};

use bellwether_model::dns::{Exchange, ExchangeResult, Response, Transport};

use super::message::{Query, Raw, decode, matches};

/// Sockets kept open after their answer, for one check.
const KEPT_MAX: usize = 32;
/// Datagrams read of each when the check ends.
const READ_MAX: usize = 4;
/// Longest datagram read.
const DATAGRAM_LEN_MAX: usize = 65_535;

/// A socket whose question is answered.
pub(crate) struct Kept {
    /// One that never blocks.
    pub(crate) socket: UdpSocket,
    pub(crate) server: SocketAddr,
    pub(crate) query: Query,
    /// The octets that were taken.
    pub(crate) taken: Vec<u8>,
    /// The question as asked.
    pub(crate) exchange: Exchange,
}

/// Sockets that are listened to until the check ends.
#[derive(Default)]
pub(crate) struct Late {
    kept: Vec<Kept>,
}

impl Late {
    pub(crate) fn keep(&mut self, kept: Kept) {
        if self.kept.len() < KEPT_MAX {
            self.kept.push(kept);
        }
    }

    /// Second answers that say something else than the first, each with who was asked.
    pub(crate) fn read(&mut self) -> Vec<(SocketAddr, Exchange)> {
        let kept = std::mem::take(&mut self.kept);
        kept.into_iter().filter_map(second).collect()
    }
}

fn second(kept: Kept) -> Option<(SocketAddr, Exchange)> {
    let Kept {
        socket,
        server,
        query,
        taken,
        exchange,
    } = kept;
    let first = decode(&query, &taken, Raw::IfMalformed);
    let mut buffer = vec![0; DATAGRAM_LEN_MAX];
    for _ in 0..READ_MAX {
        let (len, from) = socket.recv_from(&mut buffer).ok()?;
        let octets = &buffer[..len];
        if from != server || octets == taken || matches(&query, octets).is_err() {
            continue;
        }
        let response = decode(&query, octets, Raw::Keep);
        if is_other(&exchange, &first, &response) {
            let result = ExchangeResult::Answered {
                response: Box::new(response),
            };
            let exchange = Exchange {
                transport: Transport::Udp,
                result,
                ..exchange
            };
            return Some((server, exchange));
        }
    }
    None
}

fn is_other(exchange: &Exchange, first: &Response, second: &Response) -> bool {
    let question = &exchange.question;
    first.rcode != second.rcode || first.addresses(question) != second.addresses(question)
}
