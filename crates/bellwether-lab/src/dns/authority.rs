//! What an authoritative server answers, behaviour words included.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::base::iana::Rtype;

use super::{
    FORMERR, Manner, NOERROR, NXDOMAIN, REFUSED, Reaction, Reply, SERVFAIL, Transport, decoys,
};
use crate::scenario::{Answers, CapitalsWord, Edns, Hostile, ServerBug, ServerWords};
use crate::sign::denial::Proof;
use crate::world::roots::root_servers;
use crate::world::topology::Topology;
use crate::world::zone::{Found, Name, Rr, Zone, name};

/// Longest chain of aliases that a server follows inside its own zones.
const ALIASES_MAX: usize = 16;
/// The zone of the root servers' names.
pub(crate) const CONTROL_ZONE: &str = "root-servers.net";
/// TTL of the NS set in an upward referral, seconds: as the root's own.
const ROOT_NS_TTL: u32 = 518_400;

/// How the server at one address behaves.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Behaviour {
    pub(crate) answers: Answers,
    pub(crate) delay: Option<Duration>,
    pub(crate) edns: Edns,
    pub(crate) hostile: Option<Hostile>,
    pub(crate) bug: Option<ServerBug>,
    pub(crate) udp_size: Option<u16>,
    pub(crate) rotation: Option<usize>,
}

impl Behaviour {
    pub(crate) fn change(&mut self, words: &ServerWords) {
        let ServerWords {
            answers,
            delay,
            edns,
            hostile,
            bug,
            udp_size,
            rotation,
        } = words;
        self.hostile = hostile.unwrap_or(self.hostile);
        if let Some(bug) = bug {
            self.bug = bug.clone();
        }
        self.udp_size = udp_size.or(self.udp_size);
        self.rotation = rotation.or(self.rotation);
        if let Some(answers) = answers {
            self.answers = answers.clone();
        }
        if let Some(delay) = delay {
            self.delay = Some(delay.0);
        }
        if let Some(edns) = edns {
            self.edns = *edns;
        }
    }

    /// Does it keep silent over this transport?
    pub(crate) fn is_silent(&self, transport: Transport) -> bool {
        match self.answers {
            Answers::Silent => true,
            Answers::Udp(_) => transport == Transport::Udp,
            Answers::Tcp(_) => transport == Transport::Tcp,
            Answers::Normal
            | Answers::Rcode(_)
            | Answers::Blank
            | Answers::Stale(_)
            | Answers::UpwardReferral
            | Answers::NotAuthoritative => false,
        }
    }

    /// What EDNS does to a query that carries an OPT record.
    pub(crate) fn on_edns(&self, asked: bool, after: Duration) -> Option<Reaction> {
        match self.edns {
            Edns::Drop if asked => Some(Reaction::Silent),
            Edns::Formerr if asked => Some(Reaction::answer(Reply::rcode(FORMERR), after, false)),
            Edns::Refused if asked => Some(Reaction::answer(Reply::rcode(REFUSED), after, false)),
            Edns::Servfail if asked => Some(Reaction::answer(Reply::rcode(SERVFAIL), after, false)),
            Edns::On | Edns::Off | Edns::Drop | Edns::Formerr | Edns::Refused | Edns::Servfail => {
                None
            }
        }
    }
}

impl ServerBug {
    /// Does the server not answer this question?
    fn drops(&self, qtype: Rtype, manner: Manner) -> bool {
        // Types that nobody has assigned (RFC 6895 section 3.1).
        let is_unknown = qtype.to_int() >= 0xff00;
        let silent = &self.silent_for_types;
        let is_silent = silent
            .iter()
            .any(|t| t.parse().is_ok_and(|t: Rtype| t == qtype));
        is_silent
            || self.capitals == Some(CapitalsWord::Silent) && manner.capitals
            || self.unknown_options.is_some() && manner.unknown_option
            || self.unknown_types.is_some() && is_unknown
            || self.ns_questions.is_some() && qtype == Rtype::NS
    }

    /// What a question with capital letters gets, if it is no answer.
    fn refuses(&self, manner: Manner) -> Option<u8> {
        match self.capitals.filter(|_| manner.capitals)? {
            CapitalsWord::Silent => None,
            CapitalsWord::Nxdomain => Some(NXDOMAIN),
            CapitalsWord::Refused => Some(REFUSED),
        }
    }

    /// What becomes of a right answer.
    fn spoil(&self, qtype: Rtype, reply: &mut Reply) {
        let types = &self.nxdomain_for_types;
        let is_denied = types
            .iter()
            .any(|t| t.parse().is_ok_and(|t: Rtype| t == qtype));
        if is_denied && reply.rcode == NOERROR && reply.answer.is_empty() && reply.aa {
            reply.rcode = NXDOMAIN;
        }
        reply.lower_case = self.lower_case;
        if let Some(count) = self.decoy_signatures {
            decoys::add(count, reply);
        }
    }
}

/// Every authoritative server of the world.
#[derive(Clone, Debug, Default)]
pub(crate) struct Authorities {
    pub(crate) topology: Topology,
    pub(crate) behaviour: BTreeMap<IpAddr, Behaviour>,
    /// Older versions of zones at servers that answer from them, by zone index.
    pub(crate) stale: BTreeMap<IpAddr, BTreeMap<usize, Zone>>,
    /// How the root servers answer for their own names, which are controls of every check. The
    /// root itself goes on: broken controls alone must not break the Internet.
    pub(crate) controls: Option<Behaviour>,
    /// Delay of servers that have none of their own.
    pub(crate) delay: Duration,
    /// How many rotated answers were given.
    turns: Arc<AtomicUsize>,
}

impl Authorities {
    pub(crate) fn behaviour(&self, address: IpAddr) -> Behaviour {
        self.behaviour.get(&address).cloned().unwrap_or_default()
    }

    /// The DS set of the root, as a trust anchor holds it.
    pub(crate) fn root_ds(&self) -> Vec<Rr> {
        let root = self.topology.zones.iter().find(|z| z.apex.is_root());
        let signed = root.and_then(|zone| Some((&zone.apex, zone.signing.as_ref()?)));
        let ds = signed.map(|(apex, signing)| Rr::new(apex.clone(), 0, signing.ksk.ds(apex)));
        ds.into_iter().collect()
    }

    /// What the server at `address` does with a question.
    pub(crate) fn react(
        &self,
        address: IpAddr,
        (qname, qtype): (&Name, Rtype),
        manner: Manner,
        now: i64,
    ) -> Reaction {
        let behaviour = match &self.controls {
            Some(controls) if is_control(address, qname) => controls.clone(),
            _ => self.behaviour(address),
        };
        if behaviour.is_silent(manner.transport) || !self.topology.at.contains_key(&address) {
            return Reaction::Silent;
        }
        let after = behaviour.delay.unwrap_or(self.delay);
        if let Some(reaction) = behaviour.on_edns(manner.edns, after) {
            return reaction;
        }
        if behaviour
            .bug
            .as_ref()
            .is_some_and(|bug| bug.drops(qtype, manner))
        {
            return Reaction::Silent;
        }
        let refused = behaviour.bug.as_ref().and_then(|bug| bug.refuses(manner));
        if let Some(rcode) = refused {
            return Reaction::answer(Reply::rcode(rcode), after, behaviour.edns == Edns::On);
        }
        let proving = manner.dnssec_ok && behaviour.edns == Edns::On;
        let question = (qname, qtype);
        let mut reply = self.reply(
            address,
            &behaviour.answers,
            question,
            proving.then_some(now),
        );
        if let Some(bug) = &behaviour.bug {
            bug.spoil(qtype, &mut reply);
        }
        reply.udp_size = behaviour.udp_size;
        if let Some(each) = behaviour.rotation {
            self.rotate(&mut reply, each);
        }
        Reaction::answer(reply, after, behaviour.edns == Edns::On)
    }

    /// Leaves some of the addresses in an answer, others each time.
    fn rotate(&self, reply: &mut Reply, each: usize) {
        let is_address = |rr: &Rr| rr.ip().is_some();
        let mut members: Vec<Rr> = reply
            .answer
            .iter()
            .filter(|rr| is_address(rr))
            .cloned()
            .collect();
        if members.len() <= each {
            return;
        }
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let begin = (turn * each) % members.len();
        members.rotate_left(begin);
        members.truncate(each);
        reply.answer.retain(|rr| !is_address(rr));
        reply.answer.extend(members);
    }

    /// `proving` is the time, if DNSSEC records are wanted.
    fn reply(
        &self,
        address: IpAddr,
        answers: &Answers,
        question: (&Name, Rtype),
        proving: Option<i64>,
    ) -> Reply {
        match answers {
            Answers::Rcode(word) => Reply::rcode(word.code()),
            Answers::UpwardReferral => upward_referral(),
            Answers::NotAuthoritative => Reply {
                aa: false,
                ..self.look_up(address, answers, question, proving)
            },
            Answers::Normal
            | Answers::Silent
            | Answers::Udp(_)
            | Answers::Tcp(_)
            | Answers::Blank
            | Answers::Stale(_) => self.look_up(address, answers, question, proving),
        }
    }

    /// The zones of a server, in the version that it has.
    pub(crate) fn zones(&self, address: IpAddr, answers: &Answers) -> Vec<Cow<'_, Zone>> {
        let indexes = self
            .topology
            .at
            .get(&address)
            .map_or(&[][..], Vec::as_slice);
        let version = |index: &usize| {
            let zone = &self.topology.zones[*index];
            match answers {
                Answers::Blank => Cow::Owned(zone.blank()),
                Answers::Stale(_) => {
                    let older = self.stale.get(&address).and_then(|zones| zones.get(index));
                    Cow::Borrowed(older.unwrap_or(zone))
                }
                Answers::Normal
                | Answers::Silent
                | Answers::Udp(_)
                | Answers::Tcp(_)
                | Answers::Rcode(_)
                | Answers::UpwardReferral
                | Answers::NotAuthoritative => Cow::Borrowed(zone),
            }
        };
        indexes.iter().map(version).collect()
    }

    /// RFC 1034 section 4.3.2, aliases followed through the server's own zones.
    fn look_up(
        &self,
        address: IpAddr,
        answers: &Answers,
        (qname, qtype): (&Name, Rtype),
        proving: Option<i64>,
    ) -> Reply {
        let zones = self.zones(address, answers);
        let mut reply = Reply::default();
        let mut current = qname.clone();
        for _ in 0..ALIASES_MAX {
            let Some(zone) = deepest(&zones, &current, qtype) else {
                if reply.answer.is_empty() {
                    return Reply::rcode(REFUSED);
                }
                return reply;
            };
            let mut found = zone.look_up(&current, qtype);
            if let (Found::NoData, Rtype::RRSIG, Some(now)) = (&found, qtype, proving) {
                let signatures = zone.signatures(&current, now);
                if !signatures.is_empty() {
                    found = Found::Answer(signatures);
                }
            }
            let proof = match proving {
                Some(now) => zone.prove(&current, &found, now),
                None => Proof::default(),
            };
            match found {
                Found::Answer(set) => {
                    reply.aa = true;
                    reply.additional = self.beside(&zone.apex, &set);
                    reply.answer.extend(set);
                    reply.add(proof);
                    return reply;
                }
                Found::Alias(alias) => {
                    reply.aa = true;
                    let target = alias.target().cloned();
                    let seen = reply.answer.contains(&alias);
                    match target {
                        Some(target) if !seen => current = target,
                        _ => return reply,
                    }
                    reply.answer.push(alias);
                    reply.add(proof);
                }
                Found::Referral(set) => {
                    if reply.answer.is_empty() {
                        reply.additional = self.beside(&zone.apex, &set);
                        reply.authority = set;
                        reply.add(proof);
                    }
                    return reply;
                }
                Found::NoData => {
                    reply.aa = true;
                    reply.authority.extend(zone.soa());
                    reply.add(proof);
                    return reply;
                }
                Found::NxDomain => {
                    reply.aa = true;
                    reply.rcode = NXDOMAIN;
                    reply.authority.extend(zone.soa());
                    reply.add(proof);
                    return reply;
                }
            }
        }
        reply
    }

    /// Addresses of the servers that an NS set names.
    fn beside(&self, parent: &Name, set: &[Rr]) -> Vec<Rr> {
        let mut all = Vec::new();
        for rr in set.iter().filter(|rr| rr.rtype() == Rtype::NS) {
            if let Some(host) = rr.target() {
                let glue = self.topology.glue(parent, &rr.owner, host);
                all.extend(
                    glue.into_iter()
                        .map(|address| Rr::address(host, rr.ttl, address)),
                );
            }
        }
        all
    }
}

/// The deepest zone of a server that a name is in; for DS, the parent's side of a cut.
fn deepest<'a>(zones: &'a [Cow<'_, Zone>], qname: &Name, qtype: Rtype) -> Option<&'a Zone> {
    let holding = || zones.iter().filter(|z| qname.ends_with(&z.apex));
    let above = holding().filter(|z| z.apex != *qname);
    let best = match qtype {
        Rtype::DS => above.max_by_key(|z| z.apex.label_count()),
        _ => None,
    };
    best.or_else(|| holding().max_by_key(|z| z.apex.label_count()))
        .map(AsRef::as_ref)
}

/// Is this a question to a root server for a root server's name?
fn is_control(address: IpAddr, qname: &Name) -> bool {
    let is_root = root_servers().any(|(_, addresses)| addresses.contains(&address));
    is_root && name(CONTROL_ZONE).is_ok_and(|zone| qname.ends_with(&zone))
}

fn upward_referral() -> Reply {
    let root = Name::root_bytes();
    let hosts = root_servers().filter_map(|(host, _)| name(&host).ok());
    let authority = hosts
        .map(|host| Rr::ns(&root, ROOT_NS_TTL, &host))
        .collect();
    Reply {
        authority,
        ..Reply::default()
    }
}
