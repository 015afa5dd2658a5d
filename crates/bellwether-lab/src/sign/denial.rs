//! NSEC and NSEC3 chains, and the proofs that a server adds to its answers (RFC 4035 section
//! 3.1.3, RFC 5155 section 7.2).

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bytes::Bytes;
use domain::base::ToName;
use domain::base::iana::{Nsec3HashAlgorithm, Rtype};
use domain::rdata::dnssec::{RtypeBitmap, RtypeBitmapBuilder};
use domain::rdata::nsec3::{Nsec3Salt, OwnerHash};
use domain::rdata::{Nsec, Nsec3, Nsec3param};
use domain::utils::base32;

use super::Signing;
use crate::scenario::{Denial, DenialFault, Nsec3Spec};
use crate::world::zone::{Found, Name, Rr, Zone, ancestors, wildcard};

/// Flag of NSEC3 records that leave unsigned delegations out (RFC 5155 section 3.1.2.1).
const OPT_OUT: u8 = 1;

/// What a client that validates is given beside an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proof {
    pub(crate) answer: Vec<Rr>,
    pub(crate) authority: Vec<Rr>,
}

/// Adds the chain of denials to a zone that is otherwise complete.
pub(super) fn link(zone: &mut Zone, signing: &mut Signing) {
    let nodes = nodes(zone);
    match signing.denial.clone() {
        Denial::Nsec => link_nsec(zone, signing.fault, &nodes),
        Denial::Nsec3(spec) => link_nsec3(zone, signing, &spec, &nodes),
    }
}

/// Owners for which this zone speaks, cuts included, with their types.
fn nodes(zone: &Zone) -> BTreeMap<Name, BTreeSet<Rtype>> {
    let mut all = BTreeMap::new();
    for (owner, sets) in zone.nodes() {
        if zone.is_below_cut(owner) {
            continue;
        }
        let types: BTreeSet<Rtype> = match zone.is_cut(owner) {
            true => sets
                .keys()
                .copied()
                .filter(|t| [Rtype::NS, Rtype::DS].contains(t))
                .collect(),
            false => sets.keys().copied().collect(),
        };
        all.insert(owner.clone(), types);
    }
    all
}

fn link_nsec(zone: &mut Zone, fault: DenialFault, nodes: &BTreeMap<Name, BTreeSet<Rtype>>) {
    let ttl = zone.soa().map_or(0, |soa| soa.ttl);
    let owners: Vec<&Name> = match fault {
        DenialFault::Wide => vec![&zone.apex],
        DenialFault::None | DenialFault::Missing => nodes.keys().collect(),
    };
    let mut chain = Vec::new();
    for (index, owner) in owners.iter().enumerate() {
        let next = owners[(index + 1) % owners.len()];
        let types = nodes.get(*owner).into_iter().flatten().copied();
        let types = bitmap(types.chain([Rtype::RRSIG, Rtype::NSEC]));
        chain.push(Rr::new(
            (*owner).clone(),
            ttl,
            Nsec::new(next.clone(), types),
        ));
    }
    for rr in chain {
        zone.add(rr);
    }
}

fn link_nsec3(
    zone: &mut Zone,
    signing: &mut Signing,
    spec: &Nsec3Spec,
    nodes: &BTreeMap<Name, BTreeSet<Rtype>>,
) {
    let ttl = zone.soa().map_or(0, |soa| soa.ttl);
    let salt = salt(spec);
    let hashing = Nsec3HashAlgorithm::SHA1;
    let parameters = Nsec3param::new(hashing, 0, spec.iterations, salt.clone());
    let apex = zone.apex.clone();
    zone.add(Rr::new(apex.clone(), ttl, parameters));
    let mut named: BTreeMap<Name, BTreeSet<Rtype>> = BTreeMap::new();
    for (owner, types) in nodes {
        let unsigned_cut = zone.is_cut(owner) && !types.contains(&Rtype::DS);
        if spec.opt_out && unsigned_cut {
            continue;
        }
        // Names that only have something below them are in the chain too.
        for above in ancestors(owner, &apex) {
            named.entry(above).or_default();
        }
        let types = types.iter().copied();
        let signed = (!unsigned_cut).then_some(Rtype::RRSIG);
        let entry = named.entry(owner.clone()).or_default();
        entry.extend(types.chain(signed));
    }
    named
        .entry(apex.clone())
        .or_default()
        .insert(Rtype::NSEC3PARAM);
    if signing.fault == DenialFault::Wide {
        named.retain(|owner, _| *owner == apex);
    }
    let hashes: BTreeMap<Vec<u8>, BTreeSet<Rtype>> = named
        .into_iter()
        .map(|(owner, types)| (hash(&owner, spec), types))
        .collect();
    let order: Vec<&Vec<u8>> = hashes.keys().collect();
    for (index, (own, types)) in hashes.iter().enumerate() {
        let next = order[(index + 1) % order.len()].clone();
        let Ok(next) = OwnerHash::from_octets(Bytes::from(next)) else {
            continue;
        };
        let flags = if spec.opt_out { OPT_OUT } else { 0 };
        let types = bitmap(types.iter().copied());
        let data = Nsec3::new(hashing, flags, spec.iterations, salt.clone(), next, types);
        let text = format!(
            "{}.{}",
            base32::encode_string_hex(own).to_ascii_lowercase(),
            apex.fmt_with_dot().to_string().trim_start_matches('.')
        );
        if let Ok(owner) = Name::bytes_from_str(&text) {
            signing
                .hashed
                .insert(own.clone(), Rr::new(owner, ttl, data));
        }
    }
}

fn salt(spec: &Nsec3Spec) -> Nsec3Salt<Bytes> {
    let octets = spec.salt.as_deref().and_then(unhex).unwrap_or_default();
    Nsec3Salt::from_octets(Bytes::from(octets)).unwrap_or_else(|_| Nsec3Salt::empty())
}

/// Octets from hexadecimal digits.
pub(crate) fn unhex(digits: &str) -> Option<Vec<u8>> {
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}

/// RFC 5155 section 5.
fn hash(name: &Name, spec: &Nsec3Spec) -> Vec<u8> {
    let salt = salt(spec);
    hash_with(name, spec.iterations, salt.as_slice())
}

/// RFC 5155 section 5.
pub(crate) fn hash_with(name: &Name, iterations: u16, salt: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    // Writing to a vector cannot fail.
    let _ = name.compose_canonical(&mut octets);
    for _ in 0..=iterations {
        octets.extend_from_slice(salt);
        octets = digest(&SHA1_FOR_LEGACY_USE_ONLY, &octets).as_ref().to_vec();
    }
    octets
}

fn bitmap(types: impl Iterator<Item = Rtype>) -> RtypeBitmap<Bytes> {
    let mut builder = RtypeBitmapBuilder::new_vec();
    for rtype in types {
        // Writing to a vector cannot fail.
        let _ = builder.add(rtype);
    }
    let octets: Vec<u8> = builder.finalize().as_slice().to_vec();
    RtypeBitmap::from_octets(Bytes::from(octets)).expect("a builder makes bitmaps")
}

impl Zone {
    /// What a signed zone adds to what was found in it, for a client that asks for it.
    pub(crate) fn prove(&self, qname: &Name, found: &Found, now: i64) -> Proof {
        let mut proof = Proof::default();
        let Some(signing) = &self.signing else {
            return proof;
        };
        let denies = signing.fault != DenialFault::Missing;
        match found {
            Found::Answer(set) => self.prove_answer(qname, set, now, &mut proof),
            Found::Alias(rr) => {
                self.prove_answer(qname, std::slice::from_ref(rr), now, &mut proof);
            }
            Found::Referral(set) => {
                let Some(cut) = set.first().map(|rr| &rr.owner) else {
                    return proof;
                };
                let ds = self.set(cut, Rtype::DS);
                if ds.is_empty() {
                    self.no_data(signing, cut, &mut proof.authority);
                } else {
                    proof.authority.extend(ds.iter().cloned());
                }
                self.sign_all(&mut proof.authority, now);
            }
            Found::NoData => {
                proof.authority.extend(self.soa());
                if denies {
                    self.no_data(signing, qname, &mut proof.authority);
                }
                self.sign_all(&mut proof.authority, now);
                proof.authority.retain(|rr| rr.rtype() != Rtype::SOA);
            }
            Found::NxDomain => {
                proof.authority.extend(self.soa());
                if denies {
                    self.nx_domain(signing, qname, &mut proof.authority);
                }
                self.sign_all(&mut proof.authority, now);
                proof.authority.retain(|rr| rr.rtype() != Rtype::SOA);
            }
        }
        proof
    }

    fn prove_answer(&self, qname: &Name, set: &[Rr], now: i64, proof: &mut Proof) {
        let Some(signing) = &self.signing else {
            return;
        };
        let star = self.expands(qname);
        let owner = star.as_ref().unwrap_or(qname);
        let types: BTreeSet<Rtype> = set.iter().map(Rr::rtype).collect();
        for rtype in types {
            if let Some(rrsig) = self.rrsig(owner, rtype, now) {
                let owner = qname.clone();
                proof.answer.push(Rr { owner, ..rrsig });
            }
        }
        if star.is_some() {
            // Nothing closer than the wildcard exists (RFC 4035 section 3.1.3.3).
            match signing.denial {
                Denial::Nsec => proof.authority.extend(self.covering(qname)),
                Denial::Nsec3(_) => {
                    let (_, next) = self.encloser(signing, qname);
                    proof.authority.extend(signing.covering(&next));
                }
            }
            self.sign_all(&mut proof.authority, now);
        }
    }

    /// The name exists, the type does not; also: a cut has no DS set.
    fn no_data(&self, signing: &Signing, qname: &Name, proof: &mut Vec<Rr>) {
        let star = self.expands(qname);
        match (&signing.denial, star) {
            (Denial::Nsec, None) => {
                let own = self.set(qname, Rtype::NSEC).first().cloned();
                add(proof, own.or_else(|| self.covering(qname)));
            }
            (Denial::Nsec, Some(star)) => {
                add(proof, self.set(&star, Rtype::NSEC).first().cloned());
                add(proof, self.covering(qname));
            }
            (Denial::Nsec3(_), None) => match signing.matching(qname) {
                Some(own) => add(proof, Some(own)),
                None => self.encloser_proof(signing, qname, proof),
            },
            (Denial::Nsec3(_), Some(star)) => {
                self.encloser_proof(signing, qname, proof);
                add(proof, signing.matching(&star));
            }
        }
    }

    fn nx_domain(&self, signing: &Signing, qname: &Name, proof: &mut Vec<Rr>) {
        let star = wildcard(&self.closest(qname));
        match &signing.denial {
            Denial::Nsec => {
                add(proof, self.covering(qname));
                add(proof, self.covering(&star));
            }
            Denial::Nsec3(_) => {
                self.encloser_proof(signing, qname, proof);
                add(proof, signing.covering(&star));
            }
        }
    }

    /// The NSEC record whose gap a name lies in.
    fn covering(&self, name: &Name) -> Option<Rr> {
        let mut before = self.before(name);
        let nsec = before.find_map(|(_, sets)| sets.get(&Rtype::NSEC)?.first());
        nsec.cloned()
    }

    /// RFC 5155 section 7.2.1.
    fn encloser_proof(&self, signing: &Signing, qname: &Name, proof: &mut Vec<Rr>) {
        let (encloser, next) = self.encloser(signing, qname);
        add(proof, signing.matching(&encloser));
        add(proof, signing.covering(&next));
    }

    /// The closest encloser that the chain has, and the name one label longer.
    fn encloser(&self, signing: &Signing, qname: &Name) -> (Name, Name) {
        let mut next = qname.clone();
        for name in ancestors(qname, &self.apex).into_iter().skip(1) {
            if signing.matching(&name).is_some() {
                return (name, next);
            }
            next = name;
        }
        (self.apex.clone(), next)
    }

    /// Adds a signature to each set.
    fn sign_all(&self, records: &mut Vec<Rr>, now: i64) {
        let mut seen = BTreeSet::new();
        let mut signed = Vec::new();
        for rr in records.iter() {
            let rtype = rr.rtype();
            if rtype == Rtype::RRSIG || !seen.insert((rr.owner.clone(), rtype)) {
                continue;
            }
            let rrsig = match rtype {
                Rtype::NSEC3 => self
                    .signing
                    .as_ref()
                    .and_then(|s| s.sign(&self.apex, std::slice::from_ref(rr), now)),
                _ => self.rrsig(&rr.owner, rtype, now),
            };
            signed.extend(rrsig.map(|rrsig| Rr {
                ttl: rrsig.ttl.min(rr.ttl),
                ..rrsig
            }));
        }
        records.extend(signed);
    }
}

impl Signing {
    fn spec(&self) -> Option<&Nsec3Spec> {
        match &self.denial {
            Denial::Nsec => None,
            Denial::Nsec3(spec) => Some(spec),
        }
    }

    /// The NSEC3 record of a name.
    fn matching(&self, name: &Name) -> Option<Rr> {
        self.hashed.get(&hash(name, self.spec()?)).cloned()
    }

    /// The NSEC3 record whose gap the hash of a name lies in.
    fn covering(&self, name: &Name) -> Option<Rr> {
        let own = hash(name, self.spec()?);
        let before = self.hashed.range(..own).next_back();
        let last = || self.hashed.iter().next_back();
        before.or_else(last).map(|(_, rr)| rr.clone())
    }
}

fn add(proof: &mut Vec<Rr>, rr: Option<Rr>) {
    if let Some(rr) = rr.filter(|rr| !proof.contains(rr)) {
        proof.push(rr);
    }
}
