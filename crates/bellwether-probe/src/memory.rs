//! What lives as long as the worker, and not as long as one check.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, UdpSocket};

use crate::budget::Budget;
use crate::pings::Pings;
use crate::tls;

/// Longest datagram read. A query offers 1232 octets, but a server that ignores it is to be seen
/// whole; this is the longest that UDP carries.
const DATAGRAM_LEN_MAX: usize = 65_535;

/// What the checks and probes of one worker share.
#[derive(Default)]
pub(crate) struct Memory {
    /// Configurations, and what was made of chains.
    pub(crate) tls: tls::Memory,
    /// Where datagrams are read to.
    pub(crate) datagrams: Datagrams,
    /// What all probes may hold together.
    pub(crate) budget: Budget,
    /// Ping sockets, in a worker of many probes.
    pub(crate) pings: Option<Pings>,
}

impl Memory {
    /// That of a worker of many probes.
    pub(crate) fn of_many() -> Self {
        Self {
            pings: Some(Pings::default()),
            ..Self::default()
        }
    }
}

/// Room for one datagram: each is looked at where it was read, and only what counts is copied.
#[derive(Default)]
pub(crate) struct Datagrams {
    buffer: RefCell<Vec<u8>>,
}

impl Datagrams {
    /// Reads one datagram.
    pub(crate) fn read<T>(
        &self,
        socket: &UdpSocket,
        look: impl FnOnce(&[u8], SocketAddr) -> T,
    ) -> io::Result<T> {
        let mut buffer = self.buffer.borrow_mut();
        buffer.resize(DATAGRAM_LEN_MAX, 0);
        let (len, from) = socket.recv_from(&mut buffer)?;
        Ok(look(&buffer[..len], from))
    }
}
