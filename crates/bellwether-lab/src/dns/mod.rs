//! The scripted DNS servers.
//!
//! - [`authority`]: what an authoritative server answers, behaviour words included
//! - [`recursor`]: what a resolver answers, and what it remembers
//! - [`wire`]: messages from and to octets
//! - [`serve`]: the sockets

pub(crate) mod authority;
pub(crate) mod recursor;
pub(crate) mod serve;
pub(crate) mod wire;

use std::time::Duration;

use crate::world::zone::Rr;

/// Over what a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// What is said in answer to one question.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reply {
    pub(crate) rcode: u8,
    pub(crate) aa: bool,
    pub(crate) ra: bool,
    pub(crate) answer: Vec<Rr>,
    pub(crate) authority: Vec<Rr>,
    pub(crate) additional: Vec<Rr>,
}

pub(crate) const NOERROR: u8 = 0;
pub(crate) const FORMERR: u8 = 1;
pub(crate) const SERVFAIL: u8 = 2;
pub(crate) const NXDOMAIN: u8 = 3;
pub(crate) const NOTIMP: u8 = 4;
pub(crate) const REFUSED: u8 = 5;

impl Reply {
    pub(crate) fn rcode(rcode: u8) -> Self {
        Self {
            rcode,
            ..Self::default()
        }
    }
}

/// What a server does with one question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reaction {
    Silent,
    Answer {
        reply: Box<Reply>,
        after: Duration,
        edns: bool,
    },
}

impl Reaction {
    pub(crate) fn answer(reply: Reply, after: Duration, edns: bool) -> Self {
        Self::Answer {
            reply: Box::new(reply),
            after,
            edns,
        }
    }
}
