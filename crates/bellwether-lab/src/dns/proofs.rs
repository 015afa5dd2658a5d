//! Authentic denial of existence, as a resolver that validates reads it (RFC 4035 section 5.4,
//! RFC 5155 section 8).

use bytes::Bytes;
use domain::base::iana::Rtype;
use domain::rdata::nsec3::OwnerHash;
use domain::rdata::{Dnskey, Nsec, Nsec3};

use super::validate::{Fault, ede, verify};
use crate::sign::denial::hash_with;
use crate::sign::verify::labels;
use crate::world::zone::{Data, Name, Rr, ancestors, wildcard};

/// NSEC3 iterations above which a denial proves nothing (RFC 9276 section 3.2).
const ITERATIONS_MAX: u16 = 100;

/// What an authentic denial says of a name.
pub(super) enum Denied {
    /// What was to be proven.
    Proven,
    /// Unsigned delegations were left out there (opt-out), or the proof is too costly to check.
    Unsigned,
}

/// The denial records of an answer that are authentic.
pub(super) struct Proofs<'a> {
    pub(super) nsec: Vec<(&'a Name, &'a Nsec<Bytes, Name>)>,
    nsec3: Vec<(Vec<u8>, &'a Nsec3<Bytes>)>,
    apex: &'a Name,
}

pub(super) fn missing(what: &str, name: &Name) -> Fault {
    let text = format!("no proof that {} lacks {what}", name.fmt_with_dot());
    (ede::NSEC_MISSING, text)
}

/// Does a name lie in the gap after an NSEC record's owner?
pub(super) fn covers(owner: &Name, nsec: &Nsec<Bytes, Name>, name: &Name) -> bool {
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
    pub(super) fn read(
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

    pub(super) fn no_data(&self, qname: &Name, qtype: Rtype) -> Result<Denied, Fault> {
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

    pub(super) fn no_name(&self, qname: &Name) -> Result<Denied, Fault> {
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
    pub(super) fn nothing_closer(&self, qname: &Name, count: u8) -> Result<Denied, Fault> {
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

    pub(super) fn too_costly(&self) -> bool {
        let mut all = self.nsec3.iter();
        all.any(|(_, nsec3)| nsec3.iterations() > ITERATIONS_MAX)
    }

    fn hash(&self, name: &Name) -> Option<Vec<u8>> {
        let (_, any) = self.nsec3.first()?;
        Some(hash_with(name, any.iterations(), any.salt().as_slice()))
    }

    pub(super) fn matching(&self, name: &Name) -> Option<&'a Nsec3<Bytes>> {
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
    pub(super) fn encloser(&self, qname: &Name) -> Result<(Name, Denied), Fault> {
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
