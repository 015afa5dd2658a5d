//! Does a set of NSEC or NSEC3 records prove that something is not there?
//!
//! RFC 4035 section 5.4 with the corrections of RFC 6840 section 4, and RFC 5155 section 8.

use std::cmp::Ordering;

use bellwether_model::dnssec::{DenialResult, DenialSeen};
use domain::base::iana::{Nsec3HashAlgorithm, Rtype};
use domain::base::name::{Label, ToLabelIter, ToName};
use domain::dnssec::common::nsec3_hash;
use domain::rdata::nsec3::{Nsec3Salt, OwnerHash};

use super::wire::{self, Rrset, Wire, bitmap_has};

/// Most NSEC3 iterations that validators count: BIND and Knot Resolver stop at 50, and take the
/// zone as unsigned above (RFC 9276 section 3.2).
pub(super) const ITERATIONS_MAX: u16 = 50;
/// Most NSEC3 records looked at: a denial needs three.
const RECORDS_MAX: usize = 16;
/// Most labels of a name that are hashed, one by one: a name of many labels is cheap bait
/// (CVE-2023-50868). Names of IPv6 addresses have 34.
const LABELS_MAX: usize = 40;

/// What is denied.
#[derive(Clone, Copy, Debug)]
pub(super) enum Denied<'a> {
    /// Records of a type at a name that exists.
    Type(&'a Wire, Rtype),
    /// A name.
    Name(&'a Wire),
    /// A name, beside a wildcard at this closest encloser that answers for it.
    Beside(&'a Wire, &'a Wire),
}

/// Is it denied? `sets` are NSEC and NSEC3 record sets whose signatures fit.
pub(super) fn denial(zone: &Wire, sets: &[&Rrset], denied: Denied<'_>) -> DenialSeen {
    let nsec: Vec<Nsec> = sets.iter().filter_map(|s| Nsec::of(s)).collect();
    let nsec3: Vec<Nsec3> = sets.iter().filter_map(|s| Nsec3::of(s, zone)).collect();
    if nsec.is_empty() && nsec3.is_empty() {
        return DenialSeen {
            result: DenialResult::Absent,
            iterations: None,
        };
    }
    let iterations = nsec3.iter().map(|n| n.iterations).max();
    let result = if by_nsec(&nsec, denied) {
        DenialResult::Proven
    } else if iterations.is_some_and(|i| i > ITERATIONS_MAX) {
        DenialResult::TooManyIterations
    } else {
        // All are made with the same parameters (RFC 5155 section 7.2), so that one hash of a name
        // suffices.
        let is_same = |n: &&Nsec3| n.parameters() == nsec3[0].parameters();
        let same: Vec<&Nsec3> = nsec3.iter().filter(is_same).take(RECORDS_MAX).collect();
        by_nsec3(zone, &same, denied)
    };
    DenialSeen { result, iterations }
}

/// An NSEC record (RFC 4034 section 4).
struct Nsec {
    owner: Wire,
    next: Wire,
    types: Vec<u8>,
}

impl Nsec {
    fn of(set: &Rrset) -> Option<Self> {
        if set.rtype != Rtype::NSEC {
            return None;
        }
        let (next, types) = wire::name(set.data.first()?)?;
        Some(Self {
            owner: set.owner.clone(),
            next,
            types: types.to_vec(),
        })
    }

    fn has(&self, rtype: Rtype) -> bool {
        bitmap_has(&self.types, rtype)
    }

    /// Does the name lie between owner and next? The last record's next is the apex.
    fn covers(&self, name: &Wire) -> bool {
        let after = self.owner.name_cmp(name) == Ordering::Less;
        let before = name.name_cmp(&self.next) == Ordering::Less;
        let is_last = self.next.name_cmp(&self.owner) != Ordering::Greater;
        let inside = if is_last { after } else { after && before };
        inside && !self.is_of_another_zone(name)
    }

    /// A record of a delegation, or an alias of a whole tree, says nothing of names below it (RFC
    /// 6840 section 4.1).
    fn is_of_another_zone(&self, name: &Wire) -> bool {
        let below = name.ends_with(&self.owner) && name.name_cmp(&self.owner) != Ordering::Equal;
        let is_cut = self.has(Rtype::NS) && !self.has(Rtype::SOA);
        below && (is_cut || self.has(Rtype::DNAME))
    }

    /// The closest encloser that a covering record proves: what the name has in common with
    /// either end.
    fn encloser(&self, name: &Wire) -> Wire {
        let (a, b) = (common(name, &self.owner), common(name, &self.next));
        if a.iter_labels().count() >= b.iter_labels().count() {
            a
        } else {
            b
        }
    }

    fn denies_type(&self, rtype: Rtype) -> bool {
        // The parent's side of a cut speaks of DS only, the child's of all else.
        let is_cut = self.has(Rtype::NS) && !self.has(Rtype::SOA);
        let side = if rtype == Rtype::DS {
            !self.has(Rtype::SOA) || self.owner.is_root()
        } else {
            !is_cut
        };
        side && !self.has(rtype) && !self.has(Rtype::CNAME)
    }
}

fn by_nsec(all: &[Nsec], denied: Denied<'_>) -> bool {
    match denied {
        Denied::Type(name, rtype) => all.iter().any(|n| {
            if n.owner.name_eq(name) {
                return n.denies_type(rtype);
            }
            if !n.covers(name) {
                return false;
            }
            // An empty non-terminal: the next name lies below it (RFC 7129 section 5.1).
            let is_empty = n.next.ends_with(name);
            let source = wildcard(&n.encloser(name));
            let by_wildcard = || {
                all.iter()
                    .any(|w| w.owner == source && w.denies_type(rtype))
            };
            is_empty || by_wildcard()
        }),
        Denied::Name(name) => all.iter().filter(|n| n.covers(name)).any(|n| {
            let source = wildcard(&n.encloser(name));
            all.iter().any(|w| w.covers(&source))
        }),
        Denied::Beside(name, _) => all.iter().any(|n| n.covers(name)),
    }
}

/// An NSEC3 record (RFC 5155 section 3).
struct Nsec3 {
    hash: Vec<u8>,
    next: Vec<u8>,
    algorithm: u8,
    opt_out: bool,
    iterations: u16,
    salt: Vec<u8>,
    types: Vec<u8>,
}

impl Nsec3 {
    fn of(set: &Rrset, zone: &Wire) -> Option<Self> {
        if set.rtype != Rtype::NSEC3 || !set.owner.parent()?.name_eq(zone) {
            return None;
        }
        let label = set.owner.first().to_string().to_ascii_uppercase();
        let hash = domain::utils::base32::decode_hex::<Vec<u8>>(&label).ok()?;
        let [algorithm, flags, high, low, salt_len, rest @ ..] = set.data.first()?.as_slice()
        else {
            return None;
        };
        let salt = rest.get(..usize::from(*salt_len))?.to_vec();
        let (hash_len, rest) = rest.get(usize::from(*salt_len)..)?.split_first()?;
        let next = rest.get(..usize::from(*hash_len))?.to_vec();
        Some(Self {
            hash,
            next,
            algorithm: *algorithm,
            opt_out: flags & 1 != 0,
            iterations: u16::from_be_bytes([*high, *low]),
            salt,
            types: rest[usize::from(*hash_len)..].to_vec(),
        })
    }

    fn has(&self, rtype: Rtype) -> bool {
        bitmap_has(&self.types, rtype)
    }

    fn hashed(&self, name: &Wire) -> Option<Vec<u8>> {
        let algorithm = Nsec3HashAlgorithm::from_int(self.algorithm);
        let salt = Nsec3Salt::from_octets(self.salt.clone()).ok()?;
        let hash: OwnerHash<Vec<u8>> = nsec3_hash(name, algorithm, self.iterations, &salt).ok()?;
        Some(hash.as_slice().to_vec())
    }

    fn parameters(&self) -> (u8, u16, &[u8]) {
        (self.algorithm, self.iterations, &self.salt)
    }

    fn covers(&self, hash: &[u8]) -> bool {
        let (after, before) = (*self.hash < *hash, *hash < *self.next);
        if self.hash < self.next {
            after && before
        } else {
            // The last record of the ring.
            after || before
        }
    }

    fn denies_type(&self, rtype: Rtype) -> bool {
        let is_cut = self.has(Rtype::NS) && !self.has(Rtype::SOA);
        let side = if rtype == Rtype::DS {
            !self.has(Rtype::SOA)
        } else {
            !is_cut
        };
        side && !self.has(rtype) && !self.has(Rtype::CNAME)
    }
}

/// The record at a name's hash.
fn matching<'n>(all: &[&'n Nsec3], name: &Wire) -> Option<&'n Nsec3> {
    let hash = all.first()?.hashed(name)?;
    all.iter().find(|n| n.hash == hash).copied()
}

/// The record around a name's hash.
fn covering<'n>(all: &[&'n Nsec3], name: &Wire) -> Option<&'n Nsec3> {
    let hash = all.first()?.hashed(name)?;
    all.iter().find(|n| n.covers(&hash)).copied()
}

fn by_nsec3(zone: &Wire, all: &[&Nsec3], denied: Denied<'_>) -> DenialResult {
    let proven = |by: bool| {
        if by {
            DenialResult::Proven
        } else {
            DenialResult::Unproven
        }
    };
    match denied {
        Denied::Type(name, rtype) => {
            if let Some(at) = matching(all, name) {
                return proven(at.denies_type(rtype));
            }
            let Some((encloser, next_closer)) = closest(zone, all, name) else {
                return DenialResult::Unproven;
            };
            if next_closer.opt_out {
                return DenialResult::OptOut;
            }
            let at = matching(all, &wildcard(&encloser));
            proven(at.is_some_and(|w| w.denies_type(rtype)))
        }
        Denied::Name(name) => {
            let Some((encloser, next_closer)) = closest(zone, all, name) else {
                return DenialResult::Unproven;
            };
            if covering(all, &wildcard(&encloser)).is_none() {
                return DenialResult::Unproven;
            }
            if next_closer.opt_out {
                DenialResult::OptOut
            } else {
                DenialResult::Proven
            }
        }
        Denied::Beside(name, encloser) => {
            let Some(next_closer) = child_towards(encloser, name) else {
                return DenialResult::Unproven;
            };
            match covering(all, &next_closer) {
                Some(n) if n.opt_out => DenialResult::OptOut,
                Some(_) => DenialResult::Proven,
                None => DenialResult::Unproven,
            }
        }
    }
}

/// The closest encloser proof (RFC 5155 section 8.3): the encloser, and the record that covers
/// the next closer name.
fn closest<'n>(zone: &Wire, all: &[&'n Nsec3], name: &Wire) -> Option<(Wire, &'n Nsec3)> {
    let mut next_closer = name.clone();
    for _ in 0..LABELS_MAX {
        if next_closer.name_eq(zone) {
            return None;
        }
        let encloser: Wire = next_closer.parent()?.to_canonical_name();
        if let Some(at) = matching(all, &encloser) {
            let is_cut = at.has(Rtype::NS) && !at.has(Rtype::SOA) || at.has(Rtype::DNAME);
            let around = covering(all, &next_closer)?;
            return (!is_cut).then_some((encloser, around));
        }
        next_closer = encloser;
    }
    None
}

/// `*.encloser`.
fn wildcard(encloser: &Wire) -> Wire {
    let mut octets = b"\x01*".to_vec();
    octets.extend(encloser.as_slice());
    Wire::from_octets(octets).unwrap_or_else(|_| encloser.clone())
}

/// The name one label below `ancestor` on the way to `name`.
fn child_towards(ancestor: &Wire, name: &Wire) -> Option<Wire> {
    let depth = ancestor.iter_labels().count() + 1;
    let skip = name.iter_labels().count().checked_sub(depth)?;
    let child: Wire = name.iter_suffixes().nth(skip)?.to_canonical_name();
    child.ends_with(ancestor).then_some(child)
}

/// What two names have in common, from the root down.
fn common(a: &Wire, b: &Wire) -> Wire {
    let labels = |name: &Wire| -> Vec<Vec<u8>> {
        name.iter_labels()
            .map(|l: &Label| l.as_slice().to_ascii_lowercase())
            .collect()
    };
    let (a_labels, b_labels) = (labels(a), labels(b));
    let same = a_labels
        .iter()
        .rev()
        .zip(b_labels.iter().rev())
        .take_while(|(x, y)| x == y)
        .count();
    let skip = a_labels.len() - same;
    a.iter_suffixes()
        .nth(skip)
        .map_or_else(Wire::root_vec, |n| n.to_canonical_name())
}
