//! How a resolver of the box validates DNSSEC (RFC 4035 section 5), from the box's root key down.
//!
//! It checks every signature, and says what is wrong in the words of RFC 8914. It knows nothing of
//! what the scenario breaks.

use bytes::Bytes;
use domain::base::Serial;
use domain::base::iana::Rtype;
use domain::rdata::nsec3::OwnerHash;
use domain::rdata::{Dnskey, Nsec, Nsec3, Rrsig};

use super::recursor::{Recursor, Walk};
use super::{NOERROR, NXDOMAIN, Reply};
use crate::scenario::Bug;
use crate::sign::denial::hash_with;
use crate::sign::key::ds_digest;
use crate::sign::verify::{ALGORITHMS, holds, labels};
use crate::world::zone::{Data, Name, Rr, ancestors};

/// NSEC3 iterations above which a denial proves nothing (RFC 9276 section 3.2).
const ITERATIONS_MAX: u16 = 100;

/// Extended errors (RFC 8914 section 4).
mod ede {
    pub(super) const UNSUPPORTED_ALGORITHM: u16 = 1;
    pub(super) const BOGUS: u16 = 6;
    pub(super) const EXPIRED: u16 = 7;
    pub(super) const NOT_YET_VALID: u16 = 8;
    pub(super) const DNSKEY_MISSING: u16 = 9;
    pub(super) const RRSIGS_MISSING: u16 = 10;
    pub(super) const NSEC_MISSING: u16 = 12;
    pub(super) const NO_REACHABLE_AUTHORITY: u16 = 22;
}

/// What is wrong: an extended error's code and text.
pub(super) type Fault = (u16, String);

/// What a resolver that validates thinks of an answer (RFC 4035 section 4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Secure,
    Insecure,
    Bogus(Fault),
}

/// Where the chain of trust to a name ends.
enum Chain {
    /// In a zone with these keys.
    Zone(Name, Vec<Dnskey<Bytes>>),
    /// Above an unsigned zone.
    Unsigned,
}

/// What an authentic denial says of a name.
enum Denied {
    /// What was to be proven.
    Proven,
    /// Unsigned delegations were left out there (opt-out), or the proof is too costly to check.
    Unsigned,
}

/// What a parent says of a name that may be a cut.
enum CutSeen {
    None,
    Unsigned,
}

/// The denial records of an answer that are authentic.
struct Proofs<'a> {
    nsec: Vec<(&'a Name, &'a Nsec<Bytes, Name>)>,
    nsec3: Vec<(Vec<u8>, &'a Nsec3<Bytes>)>,
    apex: &'a Name,
}

impl Recursor {
    /// Judges what the servers said about one owner name.
    pub(super) fn judge(
        &mut self,
        walk: &Walk<'_>,
        (qname, qtype): (&Name, Rtype),
        reply: &Reply,
    ) -> Status {
        if reply.rcode != NOERROR && reply.rcode != NXDOMAIN {
            return Status::Insecure;
        }
        let target = signer(reply, qname).unwrap_or_else(|| match qtype {
            // DS records belong to the zone above.
            Rtype::DS => qname.parent().unwrap_or_else(|| qname.clone()),
            _ => qname.clone(),
        });
        let judged = match self.chain(walk, &target) {
            Ok(Chain::Unsigned) => return Status::Insecure,
            Ok(Chain::Zone(apex, keys)) => check(reply, (qname, qtype), &apex, &keys, walk.now),
            Err(fault) => Err(fault),
        };
        match judged {
            Ok(Denied::Unsigned) => Status::Insecure,
            Ok(Denied::Proven) if self.bug == Some(Bug::OutdatedAnchor) => {
                let text = "no DNSKEY of the root matches the trust anchor".to_owned();
                Status::Bogus((ede::DNSKEY_MISSING, text))
            }
            Ok(Denied::Proven) => Status::Secure,
            Err(fault) => Status::Bogus(fault),
        }
    }

    /// Follows DS and DNSKEY sets from the root to the zone of a name.
    fn chain(&mut self, walk: &Walk<'_>, target: &Name) -> Result<Chain, Fault> {
        let root = Name::root_bytes();
        let anchor = walk.authorities.root_ds();
        let mut keys = self.keys(walk, &root, &anchor)?;
        let mut apex = root.clone();
        let mut names = ancestors(target, &root);
        names.reverse();
        for name in names.into_iter().skip(1) {
            let reply = self.one(walk, &name, Rtype::DS);
            if reply.rcode != NOERROR && reply.rcode != NXDOMAIN {
                let text = format!("no server tells the DS records of {name}");
                return Err((ede::NO_REACHABLE_AUTHORITY, text));
            }
            let set = of(&reply.answer, &name, Rtype::DS);
            if set.is_empty() {
                match no_ds(&reply, &name, &apex, &keys, walk.now)? {
                    CutSeen::None => continue,
                    CutSeen::Unsigned => return Ok(Chain::Unsigned),
                }
            }
            verify(&set, &reply.answer, &apex, &keys, walk.now)?;
            if !self.supports(&set)? {
                return Ok(Chain::Unsigned);
            }
            keys = self.keys(walk, &name, &set)?;
            apex = name;
        }
        Ok(Chain::Zone(apex, keys))
    }

    /// Is there a DS record whose algorithm and digest it knows (RFC 4035 section 5.2)?
    fn supports(&self, set: &[Rr]) -> Result<bool, Fault> {
        let mut algorithms = set.iter().filter_map(|rr| match &rr.data {
            Data::Ds(ds) if ds.digest_type().to_int() == 2 => Some(ds.algorithm().to_int()),
            _ => None,
        });
        let listed = |list: &[crate::scenario::Algorithm], algorithm: u8| {
            list.iter().any(|a| a.number() == algorithm)
        };
        if let Some(Bug::FailsAlgorithm(list)) = &self.bug
            && algorithms.clone().all(|a| listed(list, a))
        {
            let text = "unsupported DNSKEY algorithm".to_owned();
            return Err((ede::UNSUPPORTED_ALGORITHM, text));
        }
        Ok(algorithms.any(|a| {
            let without = match &self.bug {
                Some(Bug::WithoutAlgorithm(list)) => listed(list, a),
                _ => false,
            };
            ALGORITHMS.contains(&a) && !without
        }))
    }

    /// The keys of a zone, if a DS record vouches for one that signs them all.
    fn keys(
        &mut self,
        walk: &Walk<'_>,
        apex: &Name,
        ds: &[Rr],
    ) -> Result<Vec<Dnskey<Bytes>>, Fault> {
        let reply = self.one(walk, apex, Rtype::DNSKEY);
        let set = of(&reply.answer, apex, Rtype::DNSKEY);
        if set.is_empty() {
            let text = format!("no DNSKEY set for {}", apex.fmt_with_dot());
            return Err((ede::DNSKEY_MISSING, text));
        }
        let keys: Vec<Dnskey<Bytes>> = set
            .iter()
            .filter_map(|rr| match &rr.data {
                Data::Dnskey(key) => Some(key.clone()),
                _ => None,
            })
            .collect();
        let vouched = |key: &&Dnskey<Bytes>| {
            ds.iter().any(|rr| match &rr.data {
                Data::Ds(ds) => {
                    ds.key_tag() == key.key_tag()
                        && ds.algorithm() == key.algorithm()
                        && ds.digest_type().to_int() == 2
                        && *ds.digest() == ds_digest(apex, key)
                }
                _ => false,
            })
        };
        let entry: Vec<Dnskey<Bytes>> = keys.iter().filter(vouched).cloned().collect();
        if entry.is_empty() {
            let text = format!("no DNSKEY of {} matches a DS record", apex.fmt_with_dot());
            return Err((ede::DNSKEY_MISSING, text));
        }
        verify(&set, &reply.answer, apex, &entry, walk.now)?;
        Ok(keys)
    }
}

/// The zone that signed what was said about a name, by its own words.
fn signer(reply: &Reply, qname: &Name) -> Option<Name> {
    let records = reply.answer.iter().chain(&reply.authority);
    let mut signers = records.filter_map(|rr| match &rr.data {
        Data::Rrsig(rrsig) => Some(rrsig.signer_name()),
        _ => None,
    });
    signers.find(|signer| qname.ends_with(signer)).cloned()
}

/// The records of one set.
fn of(records: &[Rr], owner: &Name, rtype: Rtype) -> Vec<Rr> {
    let own = |rr: &&Rr| rr.owner == *owner && rr.rtype() == rtype;
    records.iter().filter(own).cloned().collect()
}

/// Checks a set against the signatures among some records; the one that holds, if any does.
fn verify<'a>(
    set: &[Rr],
    among: &'a [Rr],
    apex: &Name,
    keys: &[Dnskey<Bytes>],
    now: i64,
) -> Result<&'a Rrsig<Bytes, Name>, Fault> {
    let Some(first) = set.first() else {
        return Err((ede::BOGUS, "nothing to verify".to_owned()));
    };
    let (owner, rtype) = (&first.owner, first.rtype());
    let what = format!("{} {rtype}", owner.fmt_with_dot());
    let mut fault = (ede::RRSIGS_MISSING, format!("no signature over {what}"));
    for rrsig in among.iter().filter_map(|rr| match &rr.data {
        Data::Rrsig(rrsig) if rr.owner == *owner && rrsig.type_covered() == rtype => Some(rrsig),
        _ => None,
    }) {
        if rrsig.signer_name() != apex || usize::from(rrsig.labels()) > labels(owner) {
            fault = (ede::BOGUS, format!("foreign signature over {what}"));
            continue;
        }
        // Serial number arithmetic (RFC 4034 section 3.1.5).
        let now = Serial::from(u32::try_from(now.rem_euclid(1 << 32)).unwrap_or(0));
        if rrsig.expiration().into_int() != now.into_int()
            && Serial::from(rrsig.expiration().into_int()) < now
        {
            fault = (ede::EXPIRED, format!("signature over {what} expired"));
            continue;
        }
        if Serial::from(rrsig.inception().into_int()) > now {
            fault = (
                ede::NOT_YET_VALID,
                format!("signature over {what} not yet valid"),
            );
            continue;
        }
        let mut named = keys
            .iter()
            .filter(|k| k.key_tag() == rrsig.key_tag() && k.algorithm() == rrsig.algorithm());
        if named.clone().next().is_none() {
            fault = (ede::DNSKEY_MISSING, format!("no key signed {what}"));
            continue;
        }
        if named.any(|key| holds(rrsig, set, key)) {
            return Ok(rrsig);
        }
        fault = (ede::BOGUS, format!("signature over {what} does not hold"));
    }
    Err(fault)
}

/// Checks an answer of one zone about one owner name.
fn check(
    reply: &Reply,
    (qname, qtype): (&Name, Rtype),
    apex: &Name,
    keys: &[Dnskey<Bytes>],
    now: i64,
) -> Result<Denied, Fault> {
    let mut types: Vec<Rtype> = reply.answer.iter().map(Rr::rtype).collect();
    types.sort_unstable();
    types.dedup();
    types.retain(|rtype| *rtype != Rtype::RRSIG);
    if types.is_empty() {
        let soa = reply.authority.iter().find(|rr| rr.rtype() == Rtype::SOA);
        let soa = soa.map(|rr| of(&reply.authority, &rr.owner, Rtype::SOA));
        verify(&soa.unwrap_or_default(), &reply.authority, apex, keys, now)?;
        let proofs = Proofs::read(&reply.authority, apex, keys, now)?;
        return match reply.rcode {
            NXDOMAIN => proofs.no_name(qname),
            _ => proofs.no_data(qname, qtype),
        };
    }
    for rtype in types {
        let set = of(&reply.answer, qname, rtype);
        let rrsig = verify(&set, &reply.answer, apex, keys, now)?;
        if usize::from(rrsig.labels()) < labels(qname) {
            let proofs = Proofs::read(&reply.authority, apex, keys, now)?;
            if let Denied::Unsigned = proofs.nothing_closer(qname, rrsig.labels())? {
                return Ok(Denied::Unsigned);
            }
        }
    }
    Ok(Denied::Proven)
}

/// A parent that has no DS record: is there a cut at the name?
fn no_ds(
    reply: &Reply,
    name: &Name,
    apex: &Name,
    keys: &[Dnskey<Bytes>],
    now: i64,
) -> Result<CutSeen, Fault> {
    let is_alias = |rr: &Rr| rr.owner == *name && rr.rtype() == Rtype::CNAME;
    if reply.answer.iter().any(is_alias) {
        // Nothing stands beside an alias, no cut either.
        return Ok(CutSeen::None);
    }
    let proofs = Proofs::read(&reply.authority, apex, keys, now)?;
    let seen = |has: &dyn Fn(Rtype) -> bool| match has(Rtype::NS) && !has(Rtype::SOA) {
        true => CutSeen::Unsigned,
        false => CutSeen::None,
    };
    if let Some((_, nsec)) = proofs.nsec.iter().find(|(owner, _)| *owner == name) {
        return match nsec.types().contains(Rtype::DS) {
            true => Err(missing("a DS set", name)),
            false => Ok(seen(&|rtype| nsec.types().contains(rtype))),
        };
    }
    if proofs.nsec.iter().any(|(o, nsec)| covers(o, nsec, name)) {
        return Ok(CutSeen::None);
    }
    if proofs.too_costly() {
        return Ok(CutSeen::Unsigned);
    }
    if let Some(nsec3) = proofs.matching(name) {
        return match nsec3.types().contains(Rtype::DS) {
            true => Err(missing("a DS set", name)),
            false => Ok(seen(&|rtype| nsec3.types().contains(rtype))),
        };
    }
    match proofs.encloser(name)? {
        (_, Denied::Unsigned) => Ok(CutSeen::Unsigned),
        (_, Denied::Proven) => Ok(CutSeen::None),
    }
}

fn missing(what: &str, name: &Name) -> Fault {
    let text = format!("no proof that {} lacks {what}", name.fmt_with_dot());
    (ede::NSEC_MISSING, text)
}

/// Does a name lie in the gap after an NSEC record's owner?
fn covers(owner: &Name, nsec: &Nsec<Bytes, Name>, name: &Name) -> bool {
    let next = nsec.next_name();
    match owner < next {
        true => owner < name && name < next,
        // The last one, which leads back to the apex.
        false => owner < name && name.ends_with(next),
    }
}

/// Does it give another zone the word, below which it says nothing?
fn delegates(owner: &Name, nsec: &Nsec<Bytes, Name>, name: &Name) -> bool {
    let types = nsec.types();
    types.contains(Rtype::NS)
        && !types.contains(Rtype::SOA)
        && name != owner
        && name.ends_with(owner)
}

impl<'a> Proofs<'a> {
    /// The denials among some records; one that does not verify is a fault.
    fn read(
        records: &'a [Rr],
        apex: &'a Name,
        keys: &[Dnskey<Bytes>],
        now: i64,
    ) -> Result<Self, Fault> {
        let mut proofs = Self {
            nsec: Vec::new(),
            nsec3: Vec::new(),
            apex,
        };
        for rr in records {
            match &rr.data {
                Data::Nsec(nsec) => {
                    verify(std::slice::from_ref(rr), records, apex, keys, now)?;
                    proofs.nsec.push((&rr.owner, nsec));
                }
                Data::Nsec3(nsec3) => {
                    verify(std::slice::from_ref(rr), records, apex, keys, now)?;
                    let label = rr.owner.first().to_string();
                    let own: Option<OwnerHash<Vec<u8>>> = label.parse().ok();
                    let own = own.map(|own| own.as_slice().to_vec());
                    proofs.nsec3.extend(own.map(|own| (own, nsec3)));
                }
                _ => {}
            }
        }
        Ok(proofs)
    }

    fn no_data(&self, qname: &Name, qtype: Rtype) -> Result<Denied, Fault> {
        let lacks = |has: &dyn Fn(Rtype) -> bool| {
            let from_above = has(Rtype::NS) && !has(Rtype::SOA) && qtype != Rtype::DS;
            !has(qtype) && !has(Rtype::CNAME) && !from_above
        };
        let fault = || missing(&format!("{qtype} records"), qname);
        if !self.nsec.is_empty() {
            if let Some((_, own)) = self.nsec.iter().find(|(owner, _)| *owner == qname) {
                return match lacks(&|rtype| own.types().contains(rtype)) {
                    true => Ok(Denied::Proven),
                    false => Err(fault()),
                };
            }
            let covering = self.covering(qname).ok_or_else(fault)?;
            // Something exists below it, so that it exists without records.
            if covering.1.next_name().ends_with(qname) {
                return Ok(Denied::Proven);
            }
            let star = wildcard(&encloser_by(covering, qname));
            let star = self.nsec.iter().find(|(owner, _)| **owner == star);
            let proven = star.is_some_and(|(_, nsec)| lacks(&|rtype| nsec.types().contains(rtype)));
            return proven.then_some(Denied::Proven).ok_or_else(fault);
        }
        if self.too_costly() {
            return Ok(Denied::Unsigned);
        }
        if let Some(own) = self.matching(qname) {
            let proven = lacks(&|rtype| own.types().contains(rtype));
            return proven.then_some(Denied::Proven).ok_or_else(fault);
        }
        let (encloser, denied) = self.encloser(qname)?;
        if qtype == Rtype::DS && matches!(denied, Denied::Unsigned) {
            return Ok(denied);
        }
        let star = self.matching(&wildcard(&encloser));
        let proven = star.is_some_and(|nsec3| lacks(&|rtype| nsec3.types().contains(rtype)));
        proven.then_some(denied).ok_or_else(fault)
    }

    fn no_name(&self, qname: &Name) -> Result<Denied, Fault> {
        let fault = || missing("any record", qname);
        if !self.nsec.is_empty() {
            let covering = self.covering(qname).ok_or_else(fault)?;
            let star = wildcard(&encloser_by(covering, qname));
            self.covering(&star).ok_or_else(fault)?;
            return Ok(Denied::Proven);
        }
        if self.too_costly() {
            return Ok(Denied::Unsigned);
        }
        let (encloser, denied) = self.encloser(qname)?;
        self.covering_hash(&wildcard(&encloser)).ok_or_else(fault)?;
        Ok(denied)
    }

    /// For an answer from a wildcard whose encloser has this many labels.
    fn nothing_closer(&self, qname: &Name, count: u8) -> Result<Denied, Fault> {
        let fault = || missing("an own entry beside the wildcard", qname);
        if !self.nsec.is_empty() {
            let covering = self.covering(qname).ok_or_else(fault)?;
            // The wildcard has to stand below the closest encloser, as unbound wants it too.
            let direct = labels(&encloser_by(covering, qname)) == usize::from(count);
            return direct.then_some(Denied::Proven).ok_or_else(fault);
        }
        if self.too_costly() {
            return Ok(Denied::Unsigned);
        }
        let mut next = qname.clone();
        while labels(&next) > usize::from(count) + 1 {
            next = next.parent().ok_or_else(fault)?;
        }
        let covering = self.covering_hash(&next).ok_or_else(fault)?;
        Ok(match covering.opt_out() {
            true => Denied::Unsigned,
            false => Denied::Proven,
        })
    }

    fn covering(&self, name: &Name) -> Option<(&'a Name, &'a Nsec<Bytes, Name>)> {
        let fits = |(owner, nsec): &&(&'a Name, &'a Nsec<Bytes, Name>)| {
            covers(owner, nsec, name) && !delegates(owner, nsec, name)
        };
        self.nsec.iter().find(fits).copied()
    }

    fn too_costly(&self) -> bool {
        let mut all = self.nsec3.iter();
        all.any(|(_, nsec3)| nsec3.iterations() > ITERATIONS_MAX)
    }

    fn hash(&self, name: &Name) -> Option<Vec<u8>> {
        let (_, any) = self.nsec3.first()?;
        Some(hash_with(name, any.iterations(), any.salt().as_slice()))
    }

    fn matching(&self, name: &Name) -> Option<&'a Nsec3<Bytes>> {
        let hash = self.hash(name)?;
        let own = self.nsec3.iter().find(|(own, _)| *own == hash);
        own.map(|(_, nsec3)| *nsec3)
    }

    fn covering_hash(&self, name: &Name) -> Option<&'a Nsec3<Bytes>> {
        let hash = self.hash(name)?;
        let covers = |(own, nsec3): &&(Vec<u8>, &Nsec3<Bytes>)| {
            let next = nsec3.next_owner().as_slice();
            match own.as_slice() < next {
                true => *own < hash && hash.as_slice() < next,
                false => *own < hash || hash.as_slice() < next,
            }
        };
        self.nsec3.iter().find(covers).map(|(_, nsec3)| *nsec3)
    }

    /// RFC 5155 section 8.3: the closest encloser; unsigned if opt-out covers the next name.
    fn encloser(&self, qname: &Name) -> Result<(Name, Denied), Fault> {
        let fault = || missing("anything closer", qname);
        let mut next = qname.clone();
        for name in ancestors(qname, self.apex).into_iter().skip(1) {
            if self.matching(&name).is_some() {
                let covering = self.covering_hash(&next).ok_or_else(fault)?;
                let denied = match covering.opt_out() {
                    true => Denied::Unsigned,
                    false => Denied::Proven,
                };
                return Ok((name, denied));
            }
            next = name;
        }
        Err(fault())
    }
}

/// The closest encloser that the NSEC record in whose gap a name lies proves.
fn encloser_by((owner, nsec): (&Name, &Nsec<Bytes, Name>), name: &Name) -> Name {
    let shared = |other: &Name| {
        let above = ancestors(name, &Name::root_bytes());
        above.into_iter().find(|n| other.ends_with(n))
    };
    let both = [shared(owner), shared(nsec.next_name())];
    let longest = both.into_iter().flatten().max_by_key(Name::label_count);
    longest.unwrap_or_else(Name::root_bytes)
}

fn wildcard(encloser: &Name) -> Name {
    let text = match encloser.is_root() {
        true => "*.".to_owned(),
        false => format!("*.{}", encloser.fmt_with_dot()),
    };
    Name::bytes_from_str(&text).unwrap_or_else(|_| encloser.clone())
}
