//! Messages from and to octets.

use bytes::Bytes;
use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::message_builder::{AdditionalBuilder, MessageBuilder, PushError};
use domain::base::name::ToName;
use domain::base::opt::{ExtendedError, UnknownOptData};
use domain::base::{Message, StaticCompressor, StreamTarget};

use super::{FORMERR, Manner, NOTIMP, Reply, Transport};
use crate::world::zone::Name;

/// UDP payload size that every server here offers: what fits any path (DNS flag day 2020).
const UDP_SIZE: u16 = 1232;
/// Where option codes for experiments begin (RFC 6891 section 9).
const EXPERIMENTS: u16 = 65_001;
/// Largest UDP message without EDNS (RFC 1035 section 4.2.1).
const UDP_SIZE_PLAIN: u16 = 512;

/// A query as it came.
pub(crate) struct Query {
    message: Message<Bytes>,
    pub(crate) qname: Name,
    pub(crate) qtype: Rtype,
    pub(crate) class: Class,
    /// Size and DO bit of its OPT record.
    opt: Option<(u16, bool)>,
    /// It carries an option for experiments.
    unknown_option: bool,
}

/// What came in.
pub(crate) enum Incoming {
    /// A question to answer.
    Query(Query),
    /// Octets to send back at once: a query that is none.
    Bad(Vec<u8>),
    /// Nothing to answer: a response, or too short.
    Noise,
}

impl Query {
    /// Reads a message.
    pub(crate) fn read(octets: &[u8]) -> Incoming {
        let Ok(message) = Message::from_octets(Bytes::copy_from_slice(octets)) else {
            return Incoming::Noise;
        };
        let header = message.header();
        if header.qr() {
            return Incoming::Noise;
        }
        if header.opcode() != Opcode::QUERY {
            return bad(&message, NOTIMP);
        }
        let Ok(question) = message.sole_question() else {
            return bad(&message, FORMERR);
        };
        let opt = message
            .opt()
            .map(|opt| (opt.udp_payload_size(), opt.dnssec_ok()));
        let unknown = |option: UnknownOptData<Bytes>| option.code().to_int() >= EXPERIMENTS;
        let unknown_option = message.opt().is_some_and(|opt| {
            let mut options = opt.opt().iter::<UnknownOptData<_>>();
            options.any(|option| option.is_ok_and(unknown))
        });
        let qname = question.qname().to_name();
        let (qtype, class) = (question.qtype(), question.qclass());
        Incoming::Query(Self {
            message,
            qname,
            qtype,
            class,
            opt,
            unknown_option,
        })
    }

    /// How it was put.
    pub(crate) fn manner(&self, transport: Transport) -> Manner {
        let header = self.message.header();
        Manner {
            transport,
            edns: self.opt.is_some(),
            dnssec_ok: self.opt.is_some_and(|(_, dnssec_ok)| dnssec_ok),
            checking_disabled: header.cd(),
            authentic: header.ad(),
            capitals: self.qname.as_slice().iter().any(u8::is_ascii_uppercase),
            unknown_option: self.unknown_option,
        }
    }

    /// The octets of a reply; for plain TCP, with their length before them.
    pub(crate) fn write(&self, reply: &Reply, transport: Transport, edns: bool) -> Vec<u8> {
        let opt = self.opt.filter(|_| edns);
        let limit = match (transport, opt) {
            (Transport::Tcp | Transport::Secure, _) => u16::MAX,
            (Transport::Udp, Some((size, _))) => size.clamp(
                UDP_SIZE_PLAIN,
                reply.udp_size.unwrap_or(UDP_SIZE).max(UDP_SIZE_PLAIN),
            ),
            (Transport::Udp, None) => UDP_SIZE_PLAIN,
        };
        let whole = self.compose(reply, opt, false);
        let fits = |octets: &Vec<u8>| octets.len() <= usize::from(limit);
        let octets = match whole.ok().filter(fits) {
            Some(octets) => octets,
            // Nothing of it is sent: a client has to ask over TCP (RFC 2181 section 9).
            None => self.compose(reply, opt, true).unwrap_or_default(),
        };
        match transport {
            Transport::Udp | Transport::Secure => octets,
            Transport::Tcp => {
                let len = u16::try_from(octets.len()).unwrap_or(0);
                let mut framed = len.to_be_bytes().to_vec();
                framed.extend(octets);
                framed
            }
        }
    }

    fn compose(
        &self,
        reply: &Reply,
        opt: Option<(u16, bool)>,
        truncated: bool,
    ) -> Result<Vec<u8>, PushError> {
        let target = StreamTarget::new_vec();
        let builder = MessageBuilder::from_target(StaticCompressor::new(target))
            .map_err(|_| PushError::ShortBuf)?;
        let mut answer =
            builder.start_answer(&self.message, Rcode::masked_from_int(reply.rcode))?;
        let header = answer.header_mut();
        header.set_aa(reply.aa);
        header.set_ra(reply.ra);
        header.set_ad(reply.ad);
        header.set_cd(self.message.header().cd());
        header.set_tc(truncated);
        let sections = if truncated { &Reply::default() } else { reply };
        for rr in &sections.answer {
            answer.push(rr.record())?;
        }
        let mut authority = answer.authority();
        for rr in &sections.authority {
            authority.push(rr.record())?;
        }
        let mut additional = authority.additional();
        for rr in &sections.additional {
            additional.push(rr.record())?;
        }
        push_opt(&mut additional, opt, reply.ede.as_ref())?;
        let mut octets = additional.finish().into_target().as_dgram_slice().to_vec();
        if reply.lower_case {
            let end = 12 + self.qname.as_slice().len();
            octets[12..end].make_ascii_lowercase();
        }
        Ok(octets)
    }
}

fn push_opt(
    additional: &mut AdditionalBuilder<StaticCompressor<StreamTarget<Vec<u8>>>>,
    opt: Option<(u16, bool)>,
    ede: Option<&(u16, String)>,
) -> Result<(), PushError> {
    let Some((_, dnssec_ok)) = opt else {
        return Ok(());
    };
    additional.opt(|opt| {
        opt.set_udp_payload_size(UDP_SIZE);
        opt.set_dnssec_ok(dnssec_ok);
        if let Some((code, text)) = ede
            && let Ok(error) = ExtendedError::<Vec<u8>>::new_with_str((*code).into(), text)
        {
            opt.push(&error)?;
        }
        Ok(())
    })
}

fn bad(message: &Message<Bytes>, rcode: u8) -> Incoming {
    let mut octets = message.as_slice().to_vec();
    octets.truncate(12);
    // QR set, the counts of all sections zero.
    octets[2] |= 0x80;
    octets[3] = (octets[3] & 0xf0) | rcode;
    octets[4..12].fill(0);
    Incoming::Bad(octets)
}
