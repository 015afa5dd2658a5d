//! Does this key sign those bytes? Asked link by link, free of time and of all other rules.

use crate::der::{Skeleton, key_parts};

/// What came of checking one signature, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Check {
    /// It verifies.
    Good,
    /// An algorithm or a key size that clients of today do not accept, so that it is not known
    /// whether it would verify.
    Unsupported,
    /// It does not verify.
    Bad,
}

/// A certificate's signed part.
pub(crate) struct Signed<'a> {
    pub(crate) message: &'a [u8],
    pub(crate) algorithm: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl<'a> Signed<'a> {
    pub(crate) fn of(skeleton: &Skeleton<'a>) -> Self {
        Self {
            message: skeleton.tbs,
            algorithm: skeleton.signature_algorithm,
            signature: skeleton.signature,
        }
    }
}

/// Is the signature by the key of this SubjectPublicKeyInfo (content)?
pub(crate) fn check(signed: &Signed<'_>, spki: &[u8]) -> Check {
    let Some((key_algorithm, key)) = key_parts(spki) else {
        return Check::Unsupported;
    };
    let mut tried = false;
    for algorithm in webpki::ALL_VERIFICATION_ALGS {
        if algorithm.signature_alg_id().as_ref() != signed.algorithm
            || algorithm.public_key_alg_id().as_ref() != key_algorithm
        {
            continue;
        }
        tried = true;
        if algorithm
            .verify_signature(key, signed.message, signed.signature)
            .is_ok()
        {
            return Check::Good;
        }
    }
    // A key below the library's least size fails like a wrong signature does.
    if !tried || crate::key::KeyKind::of(spki).weakness().is_some() {
        Check::Unsupported
    } else {
        Check::Bad
    }
}
