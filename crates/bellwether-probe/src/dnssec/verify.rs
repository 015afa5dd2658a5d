//! Does a signature fit a key? Time is judged elsewhere.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bellwether_model::DnsName;
use bellwether_model::dnssec::{RrsetSeen, SignatureResult, SignatureSeen};
use domain::base::iana::{DigestAlgorithm, SecurityAlgorithm};
use domain::base::name::ToLabelIter;
use domain::crypto::common::{AlgorithmError, DigestBuilder, DigestType, PublicKey};
use domain::rdata::Dnskey;
use jiff::Timestamp;

use super::KEYS_MAX;
use super::wire::{Rrset, Rrsig, Wire};

/// Most verifications for one record set: what honest zones need, twice over in a rollover of
/// algorithm and key, is below, and validators stop there or before (CVE-2023-50387).
const VERIFICATIONS_OF_SET_MAX: u32 = 16;
/// Most signatures of one record set that are looked at.
const SIGNATURES_MAX: usize = 16;
/// Most verifications of one check: a fifth of a second of work at worst.
const VERIFICATIONS_MAX: u32 = 600;

/// A zone key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) flags: u16,
    pub(super) algorithm: u8,
    pub(super) key_tag: u16,
    /// The whole record data.
    pub(super) data: Vec<u8>,
}

/// Bits of the flags field (RFC 4034 section 2.1.1, RFC 5011 section 3).
const ZONE_KEY: u16 = 0x0100;
const REVOKED: u16 = 0x0080;
/// The only value of the protocol field (RFC 4034 section 2.1.2).
const PROTOCOL: u8 = 3;

impl Key {
    /// A key that may sign a zone; revoked ones and others are none.
    pub(super) fn of(data: &[u8]) -> Option<Self> {
        let [high, low, PROTOCOL, algorithm, public @ ..] = data else {
            return None;
        };
        let flags = u16::from_be_bytes([*high, *low]);
        if flags & ZONE_KEY == 0 || flags & REVOKED != 0 {
            return None;
        }
        let key = dnskey(flags, *algorithm, public)?;
        Some(Self {
            flags,
            algorithm: *algorithm,
            key_tag: key.key_tag(),
            data: data.to_vec(),
        })
    }

    fn public(&self) -> Result<PublicKey, AlgorithmError> {
        let key = dnskey(self.flags, self.algorithm, &self.data[4..])
            .ok_or(AlgorithmError::InvalidData)?;
        PublicKey::from_dnskey(&key)
    }
}

fn dnskey(flags: u16, algorithm: u8, public: &[u8]) -> Option<Dnskey<Vec<u8>>> {
    let algorithm = SecurityAlgorithm::from_int(algorithm);
    Dnskey::new(flags, PROTOCOL, algorithm, public.to_vec()).ok()
}

/// Signing algorithms that we can check (RFC 8624 section 3.1, less what it forbids).
pub(super) fn supports_algorithm(algorithm: u8) -> bool {
    matches!(algorithm, 5 | 7 | 8 | 10 | 13 | 14 | 15)
}

/// Digest types that we can check.
pub(super) fn supports_digest(digest_type: u8) -> bool {
    digest_kind(digest_type).is_some()
}

fn digest_kind(digest_type: u8) -> Option<DigestType> {
    match DigestAlgorithm::from_int(digest_type) {
        DigestAlgorithm::SHA1 => Some(DigestType::Sha1),
        DigestAlgorithm::SHA256 => Some(DigestType::Sha256),
        DigestAlgorithm::SHA384 => Some(DigestType::Sha384),
        _ => None,
    }
}

/// Is this the digest of the key (RFC 4034 section 5.1.4)?
pub(super) fn digest_fits(zone: &Wire, key: &Key, digest_type: u8, digest: &[u8]) -> bool {
    let Some(kind) = digest_kind(digest_type) else {
        return false;
    };
    let mut builder = DigestBuilder::new(kind);
    builder.update(zone.as_slice());
    builder.update(&key.data);
    builder.finish().as_ref() == digest
}

/// Verifications left for one check, and what came of those made: every server of a zone sends the
/// same signatures.
pub(super) struct Budget {
    left: u32,
    /// With the verifications that each took: a set is as complex at the second server as at the
    /// first.
    known: HashMap<(Vec<u8>, Vec<u8>), (SignatureResult, u32)>,
    /// What times are near to: serial numbers of time wrap (RFC 4034 section 3.1.5).
    now: Timestamp,
}

impl Budget {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            left: VERIFICATIONS_MAX,
            known: HashMap::new(),
            now,
        }
    }
}

/// What each signature of a record set is, against the zone's keys.
pub(super) fn rrset(set: &Rrset, zone: &DnsName, keys: &[Key], budget: &mut Budget) -> RrsetSeen {
    let mut signatures = Vec::new();
    let mut of_set = VERIFICATIONS_OF_SET_MAX;
    for (index, sig) in set.signatures.iter().enumerate() {
        let result = if index < SIGNATURES_MAX {
            verify(set, sig, zone, keys, &mut of_set, budget)
        } else {
            SignatureResult::TooMany
        };
        signatures.push(SignatureSeen {
            key_tag: sig.key_tag,
            algorithm: sig.algorithm,
            signer: sig.signer.clone(),
            inception: time(sig.inception, budget.now),
            expiration: time(sig.expiration, budget.now),
            result,
        });
        if index >= SIGNATURES_MAX {
            break;
        }
    }
    RrsetSeen {
        name: set.name.clone(),
        rtype: set.rtype.to_string(),
        signatures,
    }
}

fn verify(
    set: &Rrset,
    sig: &Rrsig,
    zone: &DnsName,
    keys: &[Key],
    of_set: &mut u32,
    budget: &mut Budget,
) -> SignatureResult {
    if sig.signer != *zone {
        return SignatureResult::WrongSigner;
    }
    if !supports_algorithm(sig.algorithm) {
        return SignatureResult::Unsupported;
    }
    let mut fitting = keys
        .iter()
        .filter(|k| k.key_tag == sig.key_tag && k.algorithm == sig.algorithm)
        .peekable();
    if fitting.peek().is_none() {
        // Of too many keys, those that were left out may fit.
        return if keys.len() < KEYS_MAX {
            SignatureResult::NoKey
        } else {
            SignatureResult::TooMany
        };
    }
    let Some(octets) = signed_octets(set, sig) else {
        return SignatureResult::Failed;
    };
    let memo = (octets, sig.signature.clone());
    if let Some((known, spent)) = budget.known.get(&memo)
        && let Some(left) = of_set.checked_sub(*spent)
    {
        *of_set = left;
        return *known;
    }
    let before = *of_set;
    let result = try_keys(fitting, &memo.0, &sig.signature, of_set, &mut budget.left);
    if !matches!(result, SignatureResult::TooMany | SignatureResult::NotTried) {
        budget.known.insert(memo, (result, before - *of_set));
    }
    result
}

fn try_keys<'k>(
    fitting: impl Iterator<Item = &'k Key>,
    octets: &[u8],
    signature: &[u8],
    of_set: &mut u32,
    left: &mut u32,
) -> SignatureResult {
    let mut result = SignatureResult::Failed;
    for key in fitting {
        if *of_set == 0 {
            return SignatureResult::TooMany;
        }
        if *left == 0 {
            return SignatureResult::NotTried;
        }
        *of_set -= 1;
        *left -= 1;
        let check = || key.public().and_then(|k| k.verify(octets, signature));
        // The arithmetic behind this is others' code, and the key a stranger's.
        match catch_unwind(AssertUnwindSafe(check)) {
            Ok(Ok(())) => return SignatureResult::Verified,
            Ok(Err(AlgorithmError::Unsupported)) => result = SignatureResult::Unsupported,
            Ok(Err(AlgorithmError::BadSig | AlgorithmError::InvalidData)) | Err(_) => {}
        }
    }
    result
}

/// What the signature is over (RFC 4034 section 3.1.8.1); `None` if it counts more labels than the
/// owner has.
fn signed_octets(set: &Rrset, sig: &Rrsig) -> Option<Vec<u8>> {
    let owner = signed_owner(&set.owner, sig.labels)?;
    let mut octets = sig.head.clone();
    for data in &set.data {
        octets.extend(owner.as_slice());
        octets.extend(set.rtype.to_int().to_be_bytes());
        octets.extend([0, 1]);
        octets.extend(sig.original_ttl);
        octets.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        octets.extend(data);
    }
    Some(octets)
}

/// Labels of a name as RRSIG counts them: without the root and a leading asterisk (RFC 4034
/// section 3.1.3).
pub(super) fn counted_labels(owner: &Wire) -> usize {
    let all = owner.iter_labels().count() - 1;
    all - usize::from(owner.as_slice().starts_with(b"\x01*"))
}

fn signed_owner(owner: &Wire, labels: u8) -> Option<Wire> {
    let (have, signed) = (counted_labels(owner), usize::from(labels));
    if signed > have {
        return None;
    }
    if signed == have {
        return Some(owner.clone());
    }
    let all = owner.iter_labels().count() - 1;
    let encloser = owner.iter_suffixes().nth(all - signed)?;
    let mut octets = b"\x01*".to_vec();
    octets.extend_from_slice(encloser.as_octets());
    Wire::from_octets(octets).ok()
}

/// The moment of a serial number of time that is nearest to now.
fn time(serial: u32, now: Timestamp) -> Timestamp {
    let now = now.as_second();
    let base = u32::try_from(now.rem_euclid(1 << 32)).unwrap_or(0);
    let ahead = serial.wrapping_sub(base);
    let offset = if ahead < 1 << 31 {
        i64::from(ahead)
    } else {
        i64::from(ahead) - (1 << 32)
    };
    Timestamp::from_second(now + offset).unwrap_or(Timestamp::MAX)
}
