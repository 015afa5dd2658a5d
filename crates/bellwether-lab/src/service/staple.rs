//! OCSP responses (RFC 6960), as an issuer signs them.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use jiff::{SignedDuration, Timestamp};

use super::der::{
    self, ENUMERATED, OCTET_STRING, OID, Parts, SEQUENCE, bits, content, generalized, leaf, tlv,
};
use crate::scenario::certificate::StapleWord;

/// How long a response holds.
const LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);
const DAY: SignedDuration = SignedDuration::from_hours(24);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// `id-pkix-ocsp-basic`.
const BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
/// `id-sha1`: what certificates are named by.
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];

/// The response for a certificate, by the issuer whose certificate is given; `None`: none is sent.
pub(super) fn response<E>(
    word: StapleWord,
    certificate: &[u8],
    issuer: &[u8],
    now: Timestamp,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Option<Vec<u8>>, E> {
    let begin = match word {
        StapleWord::Stale => now - LIFE - DAY,
        StapleWord::None
        | StapleWord::Good
        | StapleWord::Revoked
        | StapleWord::Unknown
        | StapleWord::Garbage => now - HOUR,
    };
    let status = match word {
        StapleWord::None => return Ok(None),
        StapleWord::Garbage => return Ok(Some(b"no response at all".to_vec())),
        StapleWord::Good | StapleWord::Stale => leaf(0x80, &[]),
        StapleWord::Revoked => tlv(0xa1, &[generalized(begin)]),
        StapleWord::Unknown => leaf(0x82, &[]),
    };
    let single = tlv(
        SEQUENCE,
        &[
            identity(certificate, issuer),
            status,
            generalized(begin),
            tlv(0xa0, &[generalized(begin + LIFE)]),
        ],
    );
    let data = tlv(
        SEQUENCE,
        &[
            tlv(0xa1, &[Parts::of(issuer).subject]),
            generalized(begin),
            tlv(SEQUENCE, &[single]),
        ],
    );
    let signature = bits(&sign(&data)?);
    let basic = tlv(SEQUENCE, &[data, der::ecdsa_sha256(), signature]);
    let bytes = tlv(SEQUENCE, &[leaf(OID, BASIC), leaf(OCTET_STRING, &basic)]);
    let response = tlv(SEQUENCE, &[leaf(ENUMERATED, &[0]), tlv(0xa0, &[bytes])]);
    Ok(Some(response))
}

/// CertID: issuer's name and key by their hashes, and the serial number (RFC 6960 section 4.1.1).
fn identity(certificate: &[u8], issuer: &[u8]) -> Vec<u8> {
    let hash = |bytes: &[u8]| {
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
        leaf(OCTET_STRING, hash.as_ref())
    };
    let issuer = Parts::of(issuer);
    let key = der::elements(content(&issuer.spki))[1];
    tlv(
        SEQUENCE,
        &[
            tlv(SEQUENCE, &[leaf(OID, SHA1)]),
            hash(&issuer.subject),
            hash(&content(key)[1..]),
            Parts::of(certificate).serial,
        ],
    )
}
