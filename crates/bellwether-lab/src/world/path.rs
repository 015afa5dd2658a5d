//! The path between the vantage and port 53 of everybody.

use std::net::IpAddr;

use crate::dns::Transport;
use crate::scenario::hostile::{FragmentsWord, PathSpec, PathWord};

/// What one packet on a link of 1,500 octets carries besides the headers of IP and UDP.
const DATAGRAM_V4: usize = 1500 - 20 - 8;
const DATAGRAM_V6: usize = 1500 - 40 - 8;

/// What the path loses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Path {
    udp_above: Option<u32>,
    fragments: FragmentsWord,
    udp: PathWord,
    tcp: PathWord,
}

impl Path {
    pub(crate) fn change(&mut self, words: &PathSpec) {
        let PathSpec {
            udp_above,
            fragments,
            udp,
            tcp,
        } = words;
        self.udp_above = udp_above.unwrap_or(self.udp_above);
        self.fragments = fragments.unwrap_or(self.fragments);
        self.udp = udp.unwrap_or(self.udp);
        self.tcp = tcp.unwrap_or(self.tcp);
    }

    /// Does nothing of this protocol arrive?
    pub(crate) fn is_silent(&self, transport: Transport) -> bool {
        let word = match transport {
            Transport::Udp => self.udp,
            Transport::Tcp => self.tcp,
            Transport::Secure => PathWord::Open,
        };
        word == PathWord::Silent
    }

    /// Does a datagram of a server at this address arrive?
    pub(crate) fn carries(&self, address: IpAddr, len: usize) -> bool {
        let whole = if address.is_ipv4() {
            DATAGRAM_V4
        } else {
            DATAGRAM_V6
        };
        let lost = self.fragments == FragmentsWord::Lost && len > whole;
        let above = self.udp_above.is_some_and(|most| len > most as usize);
        !lost && !above && self.udp == PathWord::Open
    }
}
