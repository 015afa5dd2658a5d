//! How a resolver of the box validates DNSSEC (RFC 4035 section 5), from the box's root key down.
//!
//! It checks every signature, and says what is wrong in the words of RFC 8914. It knows nothing of
//! what the scenario breaks.

use bytes::Bytes;
use domain::base::Serial;
use domain::base::iana::Rtype;
use domain::rdata::{Dnskey, Rrsig};

use super::proofs::{Denied, Proofs, covers, missing};
use super::recursor::{Recursor, Walk};
use super::{NOERROR, NXDOMAIN, Reply};
use crate::scenario::Bug;
use crate::sign::key::ds_digest;
use crate::sign::verify::{ALGORITHMS, holds, labels};
use crate::world::zone::{Data, Name, Rr, ancestors};

/// Extended errors (RFC 8914 section 4).
pub(super) mod ede {
    pub(crate) const UNSUPPORTED_ALGORITHM: u16 = 1;
    pub(crate) const BOGUS: u16 = 6;
    pub(crate) const EXPIRED: u16 = 7;
    pub(crate) const NOT_YET_VALID: u16 = 8;
    pub(crate) const DNSKEY_MISSING: u16 = 9;
    pub(crate) const RRSIGS_MISSING: u16 = 10;
    pub(crate) const NSEC_MISSING: u16 = 12;
    pub(crate) const NO_REACHABLE_AUTHORITY: u16 = 22;
    pub(crate) const NSEC3_ITERATIONS: u16 = 27;
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

/// What a parent says of a name that may be a cut.
enum CutSeen {
    None,
    Unsigned,
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
            Ok(Chain::Zone(apex, keys)) => match self.gives_up(reply) {
                Some(fault) => Err(fault),
                None => check(reply, (qname, qtype), &apex, &keys, walk.now),
            },
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

    /// Some fail on iterations above a limit of their own (RFC 9276 section 3.2).
    fn gives_up(&self, reply: &Reply) -> Option<Fault> {
        let Some(Bug::FailsIterationsAbove(most)) = self.bug else {
            return None;
        };
        let mut denials = reply.authority.iter();
        let is_costly = |rr: &Rr| matches!(&rr.data, Data::Nsec3(n) if n.iterations() > most);
        let fault = || (ede::NSEC3_ITERATIONS, "too many iterations".to_owned());
        denials.any(is_costly).then(fault)
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

/// How much work a resolver takes upon itself for one set (CVE-2023-50387).
const VERIFICATIONS_MAX: usize = 16;

/// Checks a set against the signatures among some records; the one that holds, if any does.
pub(super) fn verify<'a>(
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
    let mut tried = 0;
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
        tried += named.clone().count();
        if tried > VERIFICATIONS_MAX {
            return Err((ede::BOGUS, format!("too much work for {what}")));
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
