//! Does this key sign those bytes? Asked link by link, free of time and of all other rules.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use sha2::{Digest, Sha256};

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

/// The signatures checked for one chain: the search for paths, the rules of the path found and the
/// staple ask for the same ones, and a check costs more than all else about a chain.
#[derive(Debug, Default)]
pub(crate) struct Signatures {
    known: Mutex<HashMap<[u8; 32], bool>>,
}

impl Signatures {
    /// Is the signature by the key of this SubjectPublicKeyInfo (content)?
    pub(crate) fn check(&self, signed: &Signed<'_>, spki: &[u8]) -> Check {
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
            if self.verifies(*algorithm, key, signed.message, signed.signature) {
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

    /// Every algorithm that the path verification may use, each of which asks here first.
    pub(crate) fn algorithms(&self) -> Vec<Noted<'_>> {
        let all = webpki::ALL_VERIFICATION_ALGS.iter();
        all.map(|algorithm| Noted {
            algorithm: *algorithm,
            signatures: self,
        })
        .collect()
    }

    fn verifies(
        &self,
        algorithm: &dyn SignatureVerificationAlgorithm,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let of_key = algorithm.public_key_alg_id();
        let of_signature = algorithm.signature_alg_id();
        let mut hash = Sha256::new();
        for part in [
            of_key.as_ref(),
            of_signature.as_ref(),
            key,
            message,
            signature,
        ] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        let id: [u8; 32] = hash.finalize().into();
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verifies) = known().get(&id) {
            return *verifies;
        }
        let verifies = algorithm.verify_signature(key, message, signature).is_ok();
        known().insert(id, verifies);
        verifies
    }
}

/// An algorithm that does not check again what was checked.
#[derive(Debug)]
pub(crate) struct Noted<'a> {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    signatures: &'a Signatures,
}

impl SignatureVerificationAlgorithm for Noted<'_> {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let verifies = self
            .signatures
            .verifies(self.algorithm, public_key, message, signature);
        verifies.then_some(()).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}

/// [`Signatures::check`] of a signature that is asked for once.
pub(crate) fn check(signed: &Signed<'_>, spki: &[u8]) -> Check {
    Signatures::default().check(signed, spki)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Takes the signature `good` under any key.
    #[derive(Debug, Default)]
    struct Counted(AtomicUsize);

    impl SignatureVerificationAlgorithm for Counted {
        fn verify_signature(
            &self,
            _: &[u8],
            _: &[u8],
            signature: &[u8],
        ) -> Result<(), InvalidSignature> {
            self.0.fetch_add(1, Ordering::Relaxed);
            (signature == b"good").then_some(()).ok_or(InvalidSignature)
        }

        fn public_key_alg_id(&self) -> AlgorithmIdentifier {
            AlgorithmIdentifier::from_slice(b"key")
        }

        fn signature_alg_id(&self) -> AlgorithmIdentifier {
            AlgorithmIdentifier::from_slice(b"signature")
        }
    }

    #[test]
    fn each_signature_is_checked_once_and_stands_for_no_other() {
        let (signatures, algorithm) = (Signatures::default(), Counted::default());
        let asked = |key: &[u8], message: &[u8], signature: &[u8]| {
            let verifies = signatures.verifies(&algorithm, key, message, signature);
            (verifies, algorithm.0.load(Ordering::Relaxed))
        };
        assert_eq!(asked(b"k", b"m", b"good"), (true, 1));
        assert_eq!(asked(b"k", b"m", b"good"), (true, 1));
        assert_eq!(asked(b"k", b"m", b"bad"), (false, 2));
        assert_eq!(asked(b"k", b"m", b"bad"), (false, 2));
        // The same bytes, cut elsewhere.
        assert_eq!(asked(b"km", b"", b"good"), (true, 3));
        assert_eq!(asked(b"", b"km", b"good"), (true, 4));
    }
}
