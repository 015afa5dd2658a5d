//! The scripted DNS servers.
//!
//! - [`authority`]: what an authoritative server answers, behaviour words included
//! - [`recursor`]: what a resolver answers, and what it remembers
//! - [`validate`]: how a resolver validates DNSSEC; [`proofs`]: what denials prove to it
//! - [`decoys`]: signatures that only make work
//! - [`hostile`]: what hostile servers send
//! - [`wire`]: messages from and to octets
//! - [`serve`]: the sockets; [`secure`]: those of resolvers over TLS and HTTPS

pub(crate) mod authority;
mod decoys;
mod hostile;
mod proofs;
pub(crate) mod recursor;
pub(crate) mod secure;
pub(crate) mod serve;
mod validate;
pub(crate) mod wire;

use std::time::Duration;

use domain::base::iana::Rtype;

use crate::sign::denial::Proof;
use crate::world::zone::Rr;

/// Over what a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    /// TLS or HTTPS.
    Secure,
}

/// How a question was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) transport: Transport,
    /// It carried an OPT record.
    pub(crate) edns: bool,
    /// DO: DNSSEC records are wanted (RFC 3225).
    pub(crate) dnssec_ok: bool,
    /// CD: data that does not validate is wanted too (RFC 4035 section 3.2.2).
    pub(crate) checking_disabled: bool,
    /// AD in a query: the client wants to know whether it validates (RFC 6840 section 5.7).
    pub(crate) authentic: bool,
    /// Its name has capital letters.
    pub(crate) capitals: bool,
    /// It carried an EDNS option that nobody has defined.
    pub(crate) unknown_option: bool,
}

/// What is said in answer to one question.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reply {
    pub(crate) rcode: u8,
    pub(crate) aa: bool,
    pub(crate) ra: bool,
    pub(crate) ad: bool,
    /// An extended error: code and text (RFC 8914).
    pub(crate) ede: Option<(u16, String)>,
    pub(crate) answer: Vec<Rr>,
    pub(crate) authority: Vec<Rr>,
    pub(crate) additional: Vec<Rr>,
    /// The question is sent back in lower case.
    pub(crate) lower_case: bool,
    /// Largest datagram, where it is not the usual one.
    pub(crate) udp_size: Option<u16>,
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

    /// Removes DNSSEC records that were not asked for (RFC 4035 section 3.2.1).
    pub(crate) fn strip(&mut self, qtype: Rtype) {
        let unasked = |rr: &Rr| {
            let rtype = rr.rtype();
            let dnssec = [Rtype::RRSIG, Rtype::NSEC, Rtype::NSEC3, Rtype::DS];
            dnssec.contains(&rtype) && rtype != qtype && qtype != Rtype::ANY
        };
        self.answer.retain(|rr| !unasked(rr));
        self.authority.retain(|rr| !unasked(rr));
    }

    /// Adds DNSSEC records.
    pub(crate) fn add(&mut self, proof: Proof) {
        let Proof { answer, authority } = proof;
        self.answer.extend(answer);
        for rr in authority {
            if !self.authority.contains(&rr) {
                self.authority.push(rr);
            }
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
    /// Somebody on the way answers first.
    Forged {
        forged: Box<Reply>,
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
