//! Does a signature hold? For the resolvers of the box that validate.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519,
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use bytes::Bytes;
use domain::rdata::dnssec::ProtoRrsig;
use domain::rdata::{Dnskey, Rrsig};

use super::canonical;
use crate::world::zone::{Name, Rr, wildcard};

/// Algorithms whose signatures can be checked.
pub(crate) const ALGORITHMS: [u8; 5] = [8, 10, 13, 14, 15];

/// Does the signature hold over the set with this key (RFC 4035 section 5.3.3)?
pub(crate) fn holds(rrsig: &Rrsig<Bytes, Name>, set: &[Rr], key: &Dnskey<Bytes>) -> bool {
    let head = ProtoRrsig::new(
        rrsig.type_covered(),
        rrsig.algorithm(),
        rrsig.labels(),
        rrsig.original_ttl(),
        rrsig.expiration(),
        rrsig.inception(),
        rrsig.key_tag(),
        rrsig.signer_name().clone(),
    );
    let mut octets = Vec::new();
    // Writing to a vector cannot fail.
    let _ = head.compose_canonical(&mut octets);
    for rr in canonical(set) {
        let signed = Rr {
            owner: signed_owner(&rr.owner, rrsig.labels()),
            ttl: rrsig.original_ttl().as_secs(),
            data: rr.data.clone(),
        };
        let _ = signed.record().compose_canonical(&mut octets);
    }
    let signature = rrsig.signature().as_ref();
    let public = key.public_key().as_ref();
    let point = || [&[4], public].concat();
    let plain = |algorithm: &'static dyn VerificationAlgorithm, public: &[u8]| {
        UnparsedPublicKey::new(algorithm, public)
            .verify(&octets, signature)
            .is_ok()
    };
    match rrsig.algorithm().to_int() {
        8 => rsa(public).is_some_and(|key| {
            let parameters = &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY;
            key.verify(parameters, &octets, signature).is_ok()
        }),
        10 => rsa(public).is_some_and(|key| {
            let parameters = &RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY;
            key.verify(parameters, &octets, signature).is_ok()
        }),
        13 => plain(&ECDSA_P256_SHA256_FIXED, &point()),
        14 => plain(&ECDSA_P384_SHA384_FIXED, &point()),
        15 => plain(&ED25519, public),
        _ => false,
    }
}

/// Labels of a name as RRSIG records count them: neither the root's nor a wildcard's.
pub(crate) fn labels(owner: &Name) -> usize {
    owner.label_count() - 1 - usize::from(owner.first().is_wildcard())
}

/// The wildcard that an owner with more labels than its signature came from.
pub(crate) fn signed_owner(owner: &Name, count: u8) -> Name {
    let count = usize::from(count);
    if labels(owner) <= count {
        return owner.clone();
    }
    let mut above = owner.clone();
    while above.label_count() - 1 > count {
        match above.parent() {
            Some(parent) => above = parent,
            None => break,
        }
    }
    wildcard(&above)
}

/// Exponent and modulus (RFC 3110 section 2).
fn rsa(public: &[u8]) -> Option<RsaPublicKeyComponents<&[u8]>> {
    let (first, rest) = public.split_first()?;
    let (len, rest) = match first {
        0 => {
            let (long, rest) = rest.split_at_checked(2)?;
            (usize::from(u16::from_be_bytes([long[0], long[1]])), rest)
        }
        short => (usize::from(*short), rest),
    };
    let (e, n) = rest.split_at_checked(len)?;
    Some(RsaPublicKeyComponents { n, e })
}
