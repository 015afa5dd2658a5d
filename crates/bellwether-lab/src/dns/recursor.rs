//! What a resolver answers, and what it remembers.
//!
//! It resolves honestly inside the world: from the root, over the same zones and server
//! behaviours that its clients could ask themselves.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use domain::base::iana::Rtype;
use domain::base::rdata::ComposeRecordData;
use jiff::Timestamp;

use super::authority::{Authorities, Behaviour};
use super::validate::Status;
use super::{Manner, NOERROR, NXDOMAIN, REFUSED, Reaction, Reply, SERVFAIL, Transport};
use crate::chance::mix;
use crate::scenario::{Answers, Bug, Cache, InjectedSpec, ResolverWords, RewriteSpec};
use crate::world::roots::root_servers;
use crate::world::zone::{Data, Found, Name, Rr, Zone, ancestors, name, record};

/// Longest chain of aliases followed.
const ALIASES_MAX: usize = 16;
/// Most referrals followed for one name.
const REFERRALS_MAX: usize = 16;
/// How it asks servers. DNSSEC records are always asked for (RFC 4035 section 3.2.1); a server
/// that does not speak EDNS leaves them out.
const UPSTREAM: Manner = Manner {
    transport: Transport::Udp,
    edns: false,
    dnssec_ok: true,
    checking_disabled: true,
    authentic: false,
    capitals: false,
    unknown_option: false,
};
/// How often a name is resolved that does not validate.
const TURNS_MAX: usize = 5;
/// How deep look-ups of name servers' addresses may nest.
const NESTING_MAX: usize = 6;
/// How many name servers' names are looked up for one question: circles of them lead to thousands.
const LOOKUPS_MAX: u32 = 20;
/// TTL of a negative answer without SOA record, seconds.
const NEGATIVE_TTL: u32 = 60;

/// A recursive resolver.
#[derive(Clone, Debug)]
pub(crate) struct Recursor {
    pub(crate) address: IpAddr,
    pub(crate) behaviour: Behaviour,
    pub(crate) keeps: bool,
    pub(crate) bug: Option<Bug>,
    pub(crate) validates: bool,
    pub(crate) checks_case: bool,
    pub(crate) serves_stale: bool,
    pub(crate) ttl_floor: u32,
    pub(crate) injected: Option<InjectedSpec>,
    pub(crate) seed: u64,
    /// Look-ups of name servers' names left for the question at hand.
    lookups_left: u32,
    cache: Store,
    /// Name servers whose addresses are being looked up: who needs itself has none.
    sought: Vec<Name>,
}

/// What was remembered.
#[derive(Clone, Debug, Default)]
struct Store {
    sets: BTreeMap<(Name, Rtype), Kept>,
    cuts: BTreeMap<Name, Cut>,
}

/// An answer, positive or negative, until a second.
#[derive(Clone, Debug)]
struct Kept {
    rcode: u8,
    answer: Vec<Rr>,
    authority: Vec<Rr>,
    until: i64,
    /// It is kept for longer than the zone said.
    raised: bool,
}

/// A zone's name servers, until a second.
#[derive(Clone, Debug)]
struct Cut {
    apex: Name,
    hosts: Vec<(Name, Vec<IpAddr>)>,
    until: i64,
}

/// One resolution under way.
pub(super) struct Walk<'a> {
    pub(super) authorities: &'a Authorities,
    pub(super) now: i64,
    depth: usize,
    /// How often it was begun before: each time with another server of each zone.
    turn: usize,
}

/// How asking the servers of one zone ended.
enum Asked {
    Final(Reply),
    Deeper(Cut),
    Failed,
}

impl Recursor {
    pub(crate) fn new(address: IpAddr, seed: u64) -> Self {
        Self {
            address,
            behaviour: Behaviour::default(),
            keeps: false,
            bug: None,
            validates: false,
            checks_case: false,
            serves_stale: false,
            ttl_floor: 0,
            injected: None,
            seed: mix(seed, &address.to_string()),
            lookups_left: 0,
            cache: Store::default(),
            sought: Vec::new(),
        }
    }

    pub(crate) fn change(&mut self, words: &ResolverWords) {
        let ResolverWords {
            answers,
            delay,
            edns,
            cache,
            validates,
            bug,
            tls: _,
            http: _,
            port: _,
            hostile,
            checks_case,
            serve_stale,
            ttl_floor,
            injected,
        } = words;
        self.behaviour.hostile = hostile.unwrap_or(self.behaviour.hostile);
        self.checks_case = checks_case.unwrap_or(self.checks_case);
        if let Some(answers) = answers {
            self.behaviour.answers = answers.clone();
        }
        if let Some(delay) = delay {
            self.behaviour.delay = Some(delay.0);
        }
        if let Some(edns) = edns {
            self.behaviour.edns = *edns;
        }
        if let Some(cache) = cache {
            self.keeps = *cache == Cache::Kept;
        }
        if let Some(validates) = validates {
            self.validates = *validates;
        }
        if let Some(bug) = bug {
            self.bug = bug.clone();
        }
        if let Some(injected) = injected {
            self.injected = injected.clone();
        }
        self.serves_stale = serve_stale.unwrap_or(self.serves_stale);
        self.ttl_floor = ttl_floor.map_or(self.ttl_floor, |span| span.ttl());
        if !self.keeps {
            self.cache = Store::default();
        }
    }

    /// What it does with a question.
    pub(crate) fn react(
        &mut self,
        authorities: &Authorities,
        (qname, qtype): (&Name, Rtype),
        manner: Manner,
        now: Timestamp,
    ) -> Reaction {
        if self.behaviour.is_silent(manner.transport) {
            return Reaction::Silent;
        }
        let after = self.behaviour.delay.unwrap_or(authorities.delay);
        if let Some(reaction) = self.behaviour.on_edns(manner.edns, after) {
            return reaction;
        }
        let checks = self.validates && !manner.checking_disabled;
        let mut reply = match self.behaviour.answers.clone() {
            Answers::Rcode(word) => Reply::rcode(word.code()),
            Answers::Blank => Reply::rcode(NXDOMAIN),
            Answers::UpwardReferral => Reply::rcode(NOERROR),
            Answers::Stale(spec) => {
                let fresh = self.resolve(authorities, (qname, qtype), checks, now);
                let old = old_answer(&spec.records.unwrap_or_default(), qname, qtype);
                match old {
                    Some(old) if fresh.rcode == SERVFAIL => stale(old),
                    Some(old) => old,
                    None => fresh,
                }
            }
            Answers::Normal
            | Answers::Silent
            | Answers::Udp(_)
            | Answers::Tcp(_)
            | Answers::NotAuthoritative => self.resolve(authorities, (qname, qtype), checks, now),
        };
        self.err(qname, qtype, &mut reply);
        reply.ra = true;
        // RFC 4035 section 3.2.3, RFC 6840 section 5.7.
        reply.ad &= manner.dnssec_ok || manner.authentic;
        if !manner.dnssec_ok {
            reply.strip(qtype);
        }
        let edns = self.behaviour.edns == crate::scenario::Edns::On;
        match self.forged(qname, qtype) {
            Some(forged) if manner.transport == Transport::Udp => Reaction::Forged {
                forged: Box::new(forged),
                reply: Box::new(reply),
                after,
                edns,
            },
            Some(_) | None => Reaction::answer(reply, after, edns),
        }
    }

    /// What somebody on the way answers first.
    fn forged(&self, qname: &Name, qtype: Rtype) -> Option<Reply> {
        let InjectedSpec { names, to } = self.injected.as_ref()?;
        let reply = Reply {
            ra: true,
            ..in_place(qname, qtype, &to.0)
        };
        is_named(names, qname).then_some(reply)
    }

    /// What it gets wrong.
    fn err(&self, qname: &Name, qtype: Rtype, reply: &mut Reply) {
        match &self.bug {
            Some(Bug::Rewrites(spec)) if is_named(&spec.names, qname) => {
                *reply = rewritten(spec, qname, qtype);
                return;
            }
            Some(Bug::NxdomainTo(addresses)) if reply.rcode == NXDOMAIN => {
                *reply = in_place(qname, qtype, &addresses.0);
                return;
            }
            Some(Bug::LosesAbove(most)) if octets(&reply.answer) > *most as usize => {
                *reply = Reply::rcode(SERVFAIL);
                return;
            }
            _ => {}
        }
        let wrong = match &self.bug {
            None => false,
            Some(Bug::NxdomainAbove(most)) => {
                let addresses = reply.answer.iter().filter(|rr| rr.ip().is_some()).count();
                addresses > *most as usize
            }
            Some(Bug::NxdomainFor(names)) => {
                names.iter().any(|n| name(n).is_ok_and(|n| n == *qname))
            }
            // These show when it validates.
            Some(
                Bug::WithoutAlgorithm(_)
                | Bug::FailsAlgorithm(_)
                | Bug::FailsIterationsAbove(_)
                | Bug::OutdatedAnchor
                | Bug::Rewrites(_)
                | Bug::LosesAbove(_)
                | Bug::NxdomainTo(_),
            ) => false,
        };
        if wrong {
            *reply = Reply::rcode(NXDOMAIN);
        }
    }

    /// Fills its cache as of an earlier moment.
    pub(crate) fn warm(&mut self, authorities: &Authorities, names: &[Name], then: Timestamp) {
        for qname in names {
            for qtype in [Rtype::A, Rtype::AAAA] {
                self.resolve(authorities, (qname, qtype), false, then);
            }
        }
        let apexes: Vec<Name> = self.cache.cuts.keys().cloned().collect();
        for apex in apexes
            .iter()
            .filter(|apex| names.iter().any(|n| n.ends_with(*apex)))
        {
            self.resolve(authorities, (apex, Rtype::NS), false, then);
        }
    }

    /// Resolves a name, aliases followed; and validates what it found, if it is to check. What does
    /// not validate at one server may do so at another (RFC 4035 section 5).
    pub(crate) fn resolve(
        &mut self,
        authorities: &Authorities,
        (qname, qtype): (&Name, Rtype),
        checks: bool,
        now: Timestamp,
    ) -> Reply {
        if !self.keeps {
            self.cache = Store::default();
        }
        self.lookups_left = LOOKUPS_MAX;
        let mut walk = Walk {
            authorities,
            now: now.as_second(),
            depth: 0,
            turn: 0,
        };
        if !checks {
            return self.follow(&walk, qname, qtype, |_, _, _| Status::Insecure);
        }
        loop {
            let before = self.cache.clone();
            let judge = |resolver: &mut Self, name: &Name, reply: &Reply| {
                resolver.judge(&walk, (name, qtype), reply)
            };
            let reply = self.follow(&walk, qname, qtype, judge);
            if reply.rcode != SERVFAIL || reply.ede.is_none() {
                return reply;
            }
            // What does not validate is not remembered.
            self.cache = before;
            walk.turn += 1;
            if walk.turn == TURNS_MAX {
                return reply;
            }
        }
    }

    /// Follows aliases, and judges each answer on the way.
    fn follow(
        &mut self,
        walk: &Walk<'_>,
        qname: &Name,
        qtype: Rtype,
        judge: impl Fn(&mut Self, &Name, &Reply) -> Status,
    ) -> Reply {
        let mut reply = Reply {
            ad: true,
            ..Reply::default()
        };
        let mut current = qname.clone();
        for _ in 0..ALIASES_MAX {
            let found = self.one(walk, &current, qtype);
            match judge(self, &current, &found) {
                Status::Secure => {}
                Status::Insecure => reply.ad = false,
                Status::Bogus(fault) => {
                    return Reply {
                        ede: Some(fault),
                        ..Reply::rcode(SERVFAIL)
                    };
                }
            }
            let alias = found
                .answer
                .iter()
                .find(|rr| rr.owner == current && rr.rtype() == Rtype::CNAME)
                .and_then(|rr| rr.target().cloned())
                .filter(|_| qtype != Rtype::CNAME && qtype != Rtype::ANY);
            reply.rcode = found.rcode;
            reply.ede = reply.ede.or(found.ede);
            reply.answer.extend(found.answer);
            reply.authority.extend(found.authority);
            match alias {
                None => return reply,
                Some(target) if reply.answer.iter().any(|rr| rr.owner == target) => {
                    return Reply::rcode(SERVFAIL);
                }
                Some(target) => current = target,
            }
        }
        Reply::rcode(SERVFAIL)
    }

    /// One owner name: from the cache, or asked. An alias ends it.
    pub(super) fn one(&mut self, walk: &Walk<'_>, qname: &Name, qtype: Rtype) -> Reply {
        for key in [(qname.clone(), qtype), (qname.clone(), Rtype::CNAME)] {
            if let Some(kept) = self.cache.sets.get(&key).filter(|k| k.until > walk.now) {
                // A denial of the alias says nothing about the type that was asked for.
                if key.1 == qtype || !kept.answer.is_empty() {
                    return kept.reply(walk.now);
                }
            }
        }
        // DS records stand at the parent's side of a cut (RFC 4035 section 3.1.4.1).
        let above = qname.parent().filter(|_| qtype == Rtype::DS);
        let mut cut = self.nearest(walk.now, above.as_ref().unwrap_or(qname));
        for _ in 0..REFERRALS_MAX {
            match self.ask(walk, &mut cut, qname, qtype) {
                Asked::Final(reply) => {
                    self.keep(walk.now, &cut, qname, qtype, &reply);
                    return reply;
                }
                Asked::Deeper(next) => {
                    self.cache.cuts.insert(next.apex.clone(), next.clone());
                    cut = next;
                }
                Asked::Failed => return self.stale(qname, qtype),
            }
        }
        self.stale(qname, qtype)
    }

    /// What it kept too long, if it goes on with that; else nothing.
    fn stale(&self, qname: &Name, qtype: Rtype) -> Reply {
        let keys = [(qname.clone(), qtype), (qname.clone(), Rtype::CNAME)];
        let mut kept = keys.iter().filter_map(|key| self.cache.sets.get(key));
        match kept.next().filter(|_| self.serves_stale) {
            Some(kept) => stale(kept.reply(kept.until)),
            None => Reply::rcode(SERVFAIL),
        }
    }

    fn keep(&mut self, now: i64, cut: &Cut, qname: &Name, qtype: Rtype, reply: &Reply) {
        let records = if reply.answer.is_empty() {
            &reply.authority
        } else {
            &reply.answer
        };
        let ttl = records
            .iter()
            .map(|rr| rr.ttl)
            .min()
            .unwrap_or(NEGATIVE_TTL)
            .max(self.ttl_floor);
        let mut until = now + i64::from(ttl);
        if qtype == Rtype::NS && cut.apex == *qname {
            // When the delegation is asked for anew, the NS set is too.
            until = until.min(cut.until);
        }
        let is_alias = reply
            .answer
            .first()
            .is_some_and(|rr| rr.rtype() == Rtype::CNAME);
        let key = (qname.clone(), if is_alias { Rtype::CNAME } else { qtype });
        let kept = Kept {
            rcode: reply.rcode,
            answer: reply.answer.clone(),
            authority: reply.authority.clone(),
            until,
            raised: self.ttl_floor > 0,
        };
        self.cache.sets.insert(key, kept);
    }

    /// The deepest zone cut that is remembered, or the root.
    fn nearest(&self, now: i64, qname: &Name) -> Cut {
        ancestors(qname, &Name::root_bytes())
            .iter()
            .filter_map(|apex| self.cache.cuts.get(apex))
            .find(|cut| cut.until > now)
            .cloned()
            .unwrap_or_else(root)
    }

    /// Asks the servers of one zone in turn, until one says something usable.
    fn ask(&mut self, walk: &Walk<'_>, cut: &mut Cut, qname: &Name, qtype: Rtype) -> Asked {
        let count = cut.hosts.len();
        // Asked again, it takes one server for all questions, so that answers fit together.
        let first = match walk.turn {
            0 => format!("{qname} {}", cut.apex),
            _ => cut.apex.to_string(),
        };
        let start = match count {
            0 => return Asked::Failed,
            _ => (mix(self.seed, &first) % count as u64) as usize + walk.turn,
        };
        for index in (0..count).map(|offset| (start + offset) % count) {
            if cut.hosts[index].1.is_empty() {
                let host = cut.hosts[index].0.clone();
                let found = self.addresses(walk, &host);
                if found.is_empty() {
                    continue;
                }
                cut.hosts[index].1 = found;
                if let Some(known) = self.cache.cuts.get_mut(&cut.apex) {
                    known.hosts.clone_from(&cut.hosts);
                }
            }
            for address in cut.hosts[index].1.clone() {
                let question = (qname, qtype);
                let hostile = walk.authorities.behaviour(address).hostile;
                if hostile.is_some_and(crate::scenario::Hostile::is_useless) {
                    continue;
                }
                let manner = Manner {
                    capitals: self.checks_case,
                    ..UPSTREAM
                };
                let reaction = walk.authorities.react(address, question, manner, walk.now);
                if let Reaction::Answer { reply, .. } = reaction
                    && !(self.checks_case && reply.lower_case)
                    && let Some(asked) = usable(*reply, cut, qname, qtype, walk.now)
                {
                    return asked;
                }
            }
        }
        Asked::Failed
    }

    /// The addresses of a name server that came without glue.
    fn addresses(&mut self, walk: &Walk<'_>, host: &Name) -> Vec<IpAddr> {
        if walk.depth >= NESTING_MAX || self.lookups_left == 0 || self.sought.contains(host) {
            return Vec::new();
        }
        self.lookups_left -= 1;
        self.sought.push(host.clone());
        let nested = Walk {
            depth: walk.depth + 1,
            ..*walk
        };
        let mut all = Vec::new();
        for qtype in [Rtype::A, Rtype::AAAA] {
            let reply = self.one(&nested, host, qtype);
            all.extend(
                reply
                    .answer
                    .iter()
                    .filter(|rr| rr.owner == *host)
                    .filter_map(Rr::ip),
            );
        }
        self.sought.pop();
        all
    }
}

impl Kept {
    /// As an answer, with the TTLs that are left.
    fn reply(&self, now: i64) -> Reply {
        let left = u32::try_from(self.until - now).unwrap_or(0);
        // Under a floor all of it is kept for longer than it says.
        let told = |set: &[Rr]| set.iter().map(|rr| rr.ttl).min().unwrap_or(left);
        let aged = |set: &[Rr]| {
            let is_raised = left > told(set) && self.raised;
            set.iter()
                .map(|rr| Rr {
                    ttl: if is_raised { left } else { rr.ttl.min(left) },
                    ..rr.clone()
                })
                .collect::<Vec<_>>()
        };
        Reply {
            rcode: self.rcode,
            answer: aged(&self.answer),
            authority: aged(&self.authority),
            ..Reply::default()
        }
    }
}

/// About as many octets as records take in a message.
fn octets(records: &[Rr]) -> usize {
    /// Pointer, type, class, TTL and length.
    const HEAD: usize = 12;
    let len = |rr: &Rr| usize::from(rr.data.rdlen(false).unwrap_or(0));
    records.iter().map(|rr| HEAD + len(rr)).sum()
}

/// What a server of `cut` said, if a resolver can use it. Errors, answers without authority and
/// referrals that lead nowhere are passed over: the next server is asked.
fn usable(reply: Reply, cut: &Cut, qname: &Name, qtype: Rtype, now: i64) -> Option<Asked> {
    if reply.rcode == NXDOMAIN && reply.aa && reply.answer.is_empty() {
        return Some(Asked::Final(negative(reply)));
    }
    if !reply.answer.is_empty() {
        if !reply.aa {
            return None;
        }
        // Only the first owner name: an alias's target is resolved by itself.
        let answer: Vec<Rr> = reply
            .answer
            .into_iter()
            .filter(|rr| rr.owner == *qname)
            .collect();
        let rcode = NOERROR;
        let known = !answer.is_empty();
        // Beside an answer, only what proves it: that nothing is closer than a wildcard.
        let mut authority = reply.authority;
        authority.retain(is_proof);
        return known.then(|| {
            Asked::Final(Reply {
                rcode,
                answer,
                authority,
                ..Reply::default()
            })
        });
    }
    if reply.rcode != NOERROR {
        return None;
    }
    if reply.aa {
        return Some(Asked::Final(negative(reply)));
    }
    let ns = |rr: &&Rr| rr.rtype() == Rtype::NS;
    let apex = reply.authority.iter().find(ns)?.owner.clone();
    let deeper = apex != cut.apex && apex.ends_with(&cut.apex) && qname.ends_with(&apex);
    if !deeper || (apex == *qname && qtype == Rtype::DS) {
        return None;
    }
    let set = reply
        .authority
        .iter()
        .filter(ns)
        .filter(|rr| rr.owner == apex);
    let ttl = set.clone().map(|rr| rr.ttl).min().unwrap_or(0);
    let glue = |host: &Name| {
        let addresses = reply.additional.iter().filter(|rr| rr.owner == *host);
        addresses.filter_map(Rr::ip).collect::<Vec<_>>()
    };
    let hosts = set.filter_map(|rr| rr.target().cloned()).map(|host| {
        let addresses = glue(&host);
        (host, addresses)
    });
    let hosts = hosts.collect();
    Some(Asked::Deeper(Cut {
        apex,
        hosts,
        until: now + i64::from(ttl),
    }))
}

/// A denial, or its signature.
fn is_proof(rr: &Rr) -> bool {
    match &rr.data {
        Data::Nsec(_) | Data::Nsec3(_) => true,
        Data::Rrsig(rrsig) => [Rtype::NSEC, Rtype::NSEC3].contains(&rrsig.type_covered()),
        _ => false,
    }
}

fn negative(reply: Reply) -> Reply {
    Reply {
        rcode: reply.rcode,
        authority: reply.authority,
        ..Reply::default()
    }
}

fn root() -> Cut {
    let hosts = root_servers().filter_map(|(host, addresses)| {
        let host = name(&host).ok()?;
        Some((host, addresses.to_vec()))
    });
    Cut {
        apex: Name::root_bytes(),
        hosts: hosts.collect(),
        until: i64::MAX,
    }
}

/// The extended error of an answer that is older than its TTL (RFC 8914 section 4.4), and the TTL
/// that such an answer has (RFC 8767 section 4).
const STALE_ANSWER: u16 = 3;
const STALE_TTL: u32 = 30;

fn stale(reply: Reply) -> Reply {
    let late = |set: Vec<Rr>| {
        let each = set.into_iter().map(|rr| Rr {
            ttl: STALE_TTL,
            ..rr
        });
        each.collect()
    };
    Reply {
        answer: late(reply.answer),
        authority: late(reply.authority),
        ede: Some((STALE_ANSWER, "no name server answers".to_owned())),
        ..reply
    }
}

fn is_named(names: &[String], qname: &Name) -> bool {
    names.iter().any(|n| name(n).is_ok_and(|n| n == *qname))
}

/// These addresses, as far as they are of the type asked for.
fn in_place(qname: &Name, qtype: Rtype, addresses: &[IpAddr]) -> Reply {
    let answer = addresses
        .iter()
        .map(|address| Rr::address(qname, NEGATIVE_TTL, *address))
        .filter(|rr| rr.rtype() == qtype);
    Reply {
        answer: answer.collect(),
        ..Reply::default()
    }
}

fn rewritten(spec: &RewriteSpec, qname: &Name, qtype: Rtype) -> Reply {
    let reply = match spec.to {
        Some(_) => in_place(qname, qtype, spec.addresses()),
        None => Reply::rcode(NXDOMAIN),
    };
    let error = |code| (code, spec.text.clone().unwrap_or_default());
    Reply {
        ede: spec.error.map(error),
        ..reply
    }
}

/// An answer from records that the scenario gives a resolver, their owners absolute.
fn old_answer(records: &[String], qname: &Name, qtype: Rtype) -> Option<Reply> {
    let root = Name::root_bytes();
    let mut zone = Zone::new(root.clone(), None);
    for rr in records
        .iter()
        .filter_map(|line| record(line, &root, &[]).ok())
    {
        zone.add(rr);
    }
    match zone.look_up(qname, qtype) {
        Found::Answer(answer) => Some(Reply {
            answer,
            ..Reply::default()
        }),
        Found::Alias(alias) => Some(Reply {
            answer: vec![alias],
            ..Reply::default()
        }),
        Found::Referral(_) | Found::NoData | Found::NxDomain => None,
    }
}

/// How long at most a delayed answer waits: longer than any client.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(60);

/// The answer to a question that resolvers do not take: other classes, transfers.
pub(crate) fn refused() -> Reply {
    Reply {
        ra: true,
        ..Reply::rcode(REFUSED)
    }
}
