//! Signatures that only make work for validators (CVE-2023-50387).

use bytes::Bytes;
use domain::rdata::Rrsig;

use super::Reply;
use crate::world::zone::{Data, Name, Rr};

/// Puts so many before each real one of an answer.
pub(super) fn add(count: u16, reply: &mut Reply) {
    for section in [&mut reply.answer, &mut reply.authority] {
        for rr in std::mem::take(section) {
            if let Data::Rrsig(rrsig) = &rr.data {
                let made = (1..=count).filter_map(|n| forged(rrsig, n));
                section.extend(made.map(|rrsig| Rr::new(rr.owner.clone(), rr.ttl, rrsig)));
            }
            section.push(rr);
        }
    }
}

/// The same signature with one octet turned over.
fn forged(rrsig: &Rrsig<Bytes, Name>, number: u16) -> Option<Rrsig<Bytes, Name>> {
    let mut octets = rrsig.signature().to_vec();
    let at = usize::from(number) % octets.len().max(1);
    *octets.get_mut(at)? ^= 0xff;
    Rrsig::new(
        rrsig.type_covered(),
        rrsig.algorithm(),
        rrsig.labels(),
        rrsig.original_ttl(),
        rrsig.expiration(),
        rrsig.inception(),
        rrsig.key_tag(),
        rrsig.signer_name().clone(),
        Bytes::from(octets),
    )
    .ok()
}
