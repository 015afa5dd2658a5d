//! DNSSEC: zones that are signed, as their servers show them.
//!
//! Signatures are made when somebody asks for them, so that worlds in which nobody does stay
//! quick. RFC 4034, 4035 and 5155 decide; what a scenario breaks is broken on purpose, by
//! [`Signing`]'s fields.
//!
//! It signs by itself, over aws-lc-rs: the signer of `domain` takes a whole zone at once, cannot be
//! told to do it wrong, and has providers whose keys do not come from a seed.
//!
//! - [`key`]: keys, and the records that speak of them
//! - [`denial`]: NSEC and NSEC3 chains, and the proofs made of them
//! - [`verify`]: does a signature hold?

pub(crate) mod denial;
pub(crate) mod key;
pub(crate) mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use domain::base::Ttl;
use domain::base::iana::Rtype;
use domain::base::rdata::ComposeRecordData;
use domain::rdata::dnssec::ProtoRrsig;
use domain::rdata::{Cdnskey, Cds};

use crate::scenario::{CdsWord, Denial, DenialFault};
use crate::world::zone::{Data, Name, Rr, Zone};
use key::Key;

/// How long before it is made a signature begins to hold, seconds: for clocks that are slow.
pub(crate) const BEGINS_BEFORE: i64 = 86_400;
/// How long after it is made a signature ends, seconds.
pub(crate) const ENDS_AFTER: i64 = 14 * 86_400;
/// How often a signer that runs signs anew, seconds.
const SIGNS_EVERY: i64 = 86_400;
/// TTL of DNSKEY and CDS sets, seconds.
const KEY_TTL: u32 = 3600;

/// Some sets of a zone: those of an owner, or one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pick {
    pub(crate) owner: Name,
    pub(crate) rtype: Option<Rtype>,
}

impl Pick {
    fn holds(&self, owner: &Name, rtype: Rtype) -> bool {
        self.owner == *owner && self.rtype.is_none_or(|own| own == rtype)
    }
}

/// When a zone is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    /// Each day from this second on.
    Since(i64),
    /// At this second for the last time.
    Stopped(i64),
}

impl Signer {
    /// The last time at which it signed, seen from `now`.
    pub(crate) fn signed_at(self, now: i64) -> i64 {
        match self {
            Self::Since(begun) => begun + (now - begun).div_euclid(SIGNS_EVERY) * SIGNS_EVERY,
            Self::Stopped(at) => at,
        }
    }
}

/// Times that a scenario gives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    pub(crate) inception: Option<i64>,
    pub(crate) expiration: Option<i64>,
    /// Only for these; for all if absent.
    pub(crate) only: Option<Vec<Pick>>,
}

/// How a zone is signed, and what is wrong with it.
#[derive(Clone, Debug)]
pub(crate) struct Signing {
    pub(crate) ksk: Arc<Key>,
    /// The same as `ksk` if there is one key for all.
    pub(crate) zsk: Arc<Key>,
    /// Keys that sign nothing: before and after a roll.
    pub(crate) beside: Vec<Arc<Key>>,
    pub(crate) signer: Signer,
    pub(crate) given: Given,
    pub(crate) denial: Denial,
    pub(crate) fault: DenialFault,
    pub(crate) cds: CdsWord,
    /// Keys with the tag of each real one, which sign nothing.
    pub(crate) decoy_keys: u16,
    /// A key that the zone does not have.
    pub(crate) stranger: Arc<Key>,
    /// Sets whose signatures are missing.
    pub(crate) without: Vec<Pick>,
    /// What was put in place of sets after they were signed.
    pub(crate) altered: Vec<Rr>,
    /// What was signed where something else is served.
    originals: BTreeMap<(Name, Rtype), Vec<Rr>>,
    /// NSEC3 records by their hash.
    hashed: BTreeMap<Vec<u8>, Rr>,
}

impl Signing {
    pub(crate) fn new(ksk: Arc<Key>, zsk: Arc<Key>, stranger: Arc<Key>, signer: Signer) -> Self {
        Self {
            ksk,
            zsk,
            beside: Vec::new(),
            signer,
            given: Given::default(),
            denial: Denial::default(),
            fault: DenialFault::default(),
            cds: CdsWord::default(),
            decoy_keys: 0,
            stranger,
            without: Vec::new(),
            altered: Vec::new(),
            originals: BTreeMap::new(),
            hashed: BTreeMap::new(),
        }
    }

    /// The same for another version of the zone, of which nothing is made yet.
    pub(crate) fn anew(&self) -> Self {
        Self {
            originals: BTreeMap::new(),
            hashed: BTreeMap::new(),
            ..self.clone()
        }
    }

    /// Begin and end of a signature.
    fn times(&self, owner: &Name, rtype: Rtype, now: i64) -> (i64, i64) {
        let made = self.signer.signed_at(now);
        let usual = (made - BEGINS_BEFORE, made + ENDS_AFTER);
        let Given {
            inception,
            expiration,
            only,
        } = &self.given;
        let meant = |picks: &Vec<Pick>| picks.iter().any(|pick| pick.holds(owner, rtype));
        if !only.as_ref().is_none_or(meant) {
            return usual;
        }
        let span = BEGINS_BEFORE + ENDS_AFTER;
        match (*inception, *expiration) {
            (None, None) => usual,
            (Some(begin), None) => (begin, begin + span),
            // A signature that ended long ago began before that.
            (None, Some(end)) => (usual.0.min(end - span), end),
            (Some(begin), Some(end)) => (begin, end),
        }
    }

    /// The RRSIG record over a set as it was signed (RFC 4034 section 3.1.8.1).
    fn sign(&self, apex: &Name, set: &[Rr], now: i64) -> Option<Rr> {
        let first = set.first()?;
        let (owner, rtype) = (&first.owner, first.rtype());
        if self.without.iter().any(|pick| pick.holds(owner, rtype)) {
            return None;
        }
        let of_keys = [Rtype::DNSKEY, Rtype::CDS, Rtype::CDNSKEY].contains(&rtype);
        let key = if of_keys { &self.ksk } else { &self.zsk };
        let (inception, expiration) = self.times(owner, rtype, now);
        let labels = verify::labels(owner);
        let head = ProtoRrsig::new(
            rtype,
            key.algorithm(),
            u8::try_from(labels).unwrap_or(u8::MAX),
            Ttl::from_secs(first.ttl),
            stamp(expiration),
            stamp(inception),
            key.tag(),
            apex.clone(),
        );
        let mut octets = Vec::new();
        // Writing to a vector cannot fail.
        let _ = head.compose_canonical(&mut octets);
        for data in canonical(set) {
            let record = Rr {
                ttl: first.ttl,
                ..data.clone()
            };
            let _ = record.record().compose_canonical(&mut octets);
        }
        let rrsig = head.into_rrsig(key.sign(&octets)).ok()?;
        Some(Rr::new(owner.clone(), first.ttl, rrsig))
    }
}

/// Seconds since 1970 as RRSIG records write them: modulo 2^32 (RFC 4034 section 3.1.5).
fn stamp(second: i64) -> domain::rdata::dnssec::Timestamp {
    let low = second.rem_euclid(1 << 32);
    u32::try_from(low).unwrap_or(0).into()
}

/// The records of a set in canonical order (RFC 4034 section 6.3).
fn canonical(set: &[Rr]) -> Vec<&Rr> {
    let mut all: Vec<(Vec<u8>, &Rr)> = set.iter().map(|rr| (rdata(&rr.data), rr)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.into_iter().map(|(_, rr)| rr).collect()
}

fn rdata(data: &Data) -> Vec<u8> {
    let mut octets = Vec::new();
    // Writing to a vector cannot fail.
    let _ = data.compose_canonical_rdata(&mut octets);
    octets
}

impl Zone {
    /// Adds what a signed zone holds besides its records: keys, denials, requests to the parent.
    /// To be called once, when the zone is complete.
    pub(crate) fn seal(&mut self) {
        let Some(mut signing) = self.signing.take() else {
            return;
        };
        self.publish_keys(&signing);
        denial::link(self, &mut signing);
        for rr in &signing.altered {
            let key = (rr.owner.clone(), rr.rtype());
            let original = self.take_set(&key.0, key.1);
            signing.originals.entry(key).or_insert(original);
        }
        for rr in &signing.altered {
            self.add(rr.clone());
        }
        self.signing = Some(signing);
    }

    fn publish_keys(&mut self, signing: &Signing) {
        let apex = self.apex.clone();
        for key in [&signing.ksk, &signing.zsk]
            .into_iter()
            .chain(&signing.beside)
        {
            self.add(Rr::new(apex.clone(), KEY_TTL, key.dnskey().clone()));
            for number in 1..=signing.decoy_keys {
                let namesake = key.namesake(number);
                self.add(Rr::new(apex.clone(), KEY_TTL, namesake));
            }
        }
        let wanted = match signing.cds {
            CdsWord::None => return,
            CdsWord::Right => &signing.ksk,
            CdsWord::Wrong => &signing.stranger,
        };
        let ds = wanted.ds(&apex);
        let digest: Bytes = ds.digest().clone();
        let cds = Cds::new(ds.key_tag(), ds.algorithm(), ds.digest_type(), digest);
        let dnskey = wanted.dnskey();
        let cdnskey = Cdnskey::new(
            dnskey.flags(),
            dnskey.protocol(),
            dnskey.algorithm(),
            dnskey.public_key().clone(),
        );
        if let (Ok(cds), Ok(cdnskey)) = (cds, cdnskey) {
            self.add(Rr::new(apex.clone(), KEY_TTL, cds));
            self.add(Rr::new(apex, KEY_TTL, cdnskey));
        }
    }

    /// Every RRSIG record of an owner, for those who ask for that type.
    pub(crate) fn signatures(&self, owner: &Name, now: i64) -> Vec<Rr> {
        let node = self.nodes().find(|(own, _)| *own == owner);
        let types = node.into_iter().flat_map(|(_, sets)| sets.keys());
        types.filter_map(|t| self.rrsig(owner, *t, now)).collect()
    }

    /// Every record of the zone as of a second, signatures and hashed denials included.
    pub(crate) fn whole(&self, now: i64) -> Vec<Rr> {
        let owners: Vec<&Name> = self.nodes().map(|(owner, _)| owner).collect();
        let sets = self.nodes().flat_map(|(_, sets)| sets.values().flatten());
        let mut all: Vec<Rr> = sets.cloned().collect();
        let Some(signing) = &self.signing else {
            return all;
        };
        for owner in owners.into_iter().filter(|owner| !self.is_below_cut(owner)) {
            let is_cut = self.is_cut(owner);
            let signed = self
                .signatures(owner, now)
                .into_iter()
                .filter(|rr| match &rr.data {
                    // Glue at a cut is not the zone's to sign (RFC 4035 section 2.2).
                    Data::Rrsig(sig) => {
                        !is_cut || [Rtype::DS, Rtype::NSEC].contains(&sig.type_covered())
                    }
                    _ => true,
                });
            all.extend(signed);
        }
        for rr in signing.hashed.values() {
            all.push(rr.clone());
            all.extend(signing.sign(&self.apex, std::slice::from_ref(rr), now));
        }
        all
    }

    /// The RRSIG record over a set of this zone.
    fn rrsig(&self, owner: &Name, rtype: Rtype, now: i64) -> Option<Rr> {
        let signing = self.signing.as_ref()?;
        // A parent signs no NS set of a child (RFC 4035 section 2.2).
        if rtype == Rtype::NS && *owner != self.apex {
            return None;
        }
        let original = signing.originals.get(&(owner.clone(), rtype));
        let set = original.map_or_else(|| self.set(owner, rtype), Vec::as_slice);
        signing.sign(&self.apex, set, now)
    }
}

#[cfg(test)]
mod tests;
