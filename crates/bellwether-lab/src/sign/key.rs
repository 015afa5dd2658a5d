//! Keys of zones: made from the seed, so that one seed gives one world; they sign and tell
//! their DNSKEY and DS records.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
};
use bytes::Bytes;
use domain::base::ToName;
use domain::base::iana::{DigestAlgorithm, SecurityAlgorithm};
use domain::base::rdata::ComposeRecordData;
use domain::rdata::{Dnskey, Ds};

use crate::scenario::Algorithm;
use crate::world::zone::Name;

/// Signatures that one key remembers; above it, it starts anew.
const MEMORY_MAX: usize = 4096;
/// Octets that a key of the same tag keeps: of an RSA key, its exponent with the length of that (RFC
/// 3110 section 2).
const NAMESAKE_HEAD_LEN: usize = 4;
/// Digest type SHA-256 (RFC 4509).
const SHA_256: DigestAlgorithm = DigestAlgorithm::SHA256;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Signs the keys; the parent's DS record points at it. Also a combined key.
    KeySigning,
    /// Signs everything else.
    ZoneSigning,
}

/// The secret half.
enum Secret {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
    /// Nobody checks the signatures of this algorithm any more, so they are octets like any.
    Forgotten,
}

/// A key of a zone.
pub(crate) struct Key {
    algorithm: Algorithm,
    secret: Secret,
    dnskey: Dnskey<Bytes>,
    /// Signatures made so far, by the hash of what was signed: a signer does not sign the same
    /// thing twice.
    made: Mutex<BTreeMap<Vec<u8>, Bytes>>,
}

/// What a key is made for: its zone (by the scenario's name for it, or the apex), its role and
/// its number in the order of rolls.
type Purpose = (String, Role, u32, u8);

/// All keys of a world, made when they are first needed.
#[derive(Clone, Default)]
pub(crate) struct Keys {
    seed: u64,
    made: Arc<Mutex<BTreeMap<Purpose, Arc<Key>>>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("dnskey", &self.dnskey)
            .finish_non_exhaustive()
    }
}

impl Keys {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            made: Arc::default(),
        }
    }

    /// The key of a zone for a role.
    pub(crate) fn key(
        &self,
        zone: &str,
        role: Role,
        generation: u32,
        algorithm: Algorithm,
    ) -> Arc<Key> {
        let purpose = (zone.to_owned(), role, generation, algorithm.number());
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(Key::make(self.seed, zone, role, generation, algorithm));
        Arc::clone(made.entry(purpose).or_insert_with(make))
    }
}

impl Key {
    fn make(seed: u64, zone: &str, role: Role, generation: u32, algorithm: Algorithm) -> Self {
        let flags = match role {
            Role::KeySigning => 257,
            Role::ZoneSigning => 256,
        };
        let text = format!("{seed} {zone} {role:?} {generation} {}", algorithm.number());
        let (secret, public) = match algorithm {
            Algorithm::RsaSha256 => rsa(&RSA_PKCS1_SHA256),
            Algorithm::RsaSha512 => rsa(&RSA_PKCS1_SHA512),
            Algorithm::EcdsaP256Sha256 => ecdsa_p256(&text),
            Algorithm::EcdsaP384Sha384 => ecdsa_p384(),
            Algorithm::Ed25519 => ed25519(&text),
            Algorithm::EccGost => (Secret::Forgotten, twice(&text).to_vec()),
        };
        let number = SecurityAlgorithm::from_int(algorithm.number());
        let dnskey = Dnskey::new(flags, 3, number, Bytes::from(public));
        Self {
            algorithm,
            secret,
            dnskey: dnskey.expect("a key is shorter than 64 KiB"),
            made: Mutex::default(),
        }
    }

    pub(crate) fn algorithm(&self) -> SecurityAlgorithm {
        SecurityAlgorithm::from_int(self.algorithm.number())
    }

    pub(crate) fn dnskey(&self) -> &Dnskey<Bytes> {
        &self.dnskey
    }

    pub(crate) fn tag(&self) -> u16 {
        self.dnskey.key_tag()
    }

    /// Another key with the same tag: the tag is a sum over pairs of octets (RFC 4034 appendix B), and
    /// a sum does not change with the order.
    pub(crate) fn namesake(&self, number: u16) -> Dnskey<Bytes> {
        let key = &self.dnskey;
        let mut octets = key.public_key().to_vec();
        let pairs = octets.len().saturating_sub(NAMESAKE_HEAD_LEN) / 2;
        let other = usize::from(number) % pairs.max(1);
        for odd in 0..2 {
            let at = NAMESAKE_HEAD_LEN + odd;
            octets.swap(at, at + 2 * other);
        }
        let (flags, protocol, algorithm) = (key.flags(), key.protocol(), key.algorithm());
        let made = Dnskey::new(flags, protocol, algorithm, Bytes::from(octets));
        made.expect("as long as the real one")
    }

    /// The DS record that points at it (RFC 4034 section 5.1.4).
    pub(crate) fn ds(&self, apex: &Name) -> Ds<Bytes> {
        let digest = ds_digest(apex, &self.dnskey);
        Ds::new(self.tag(), self.algorithm(), SHA_256, digest).expect("32 octets")
    }

    /// A signature over octets.
    pub(crate) fn sign(&self, octets: &[u8]) -> Bytes {
        let hash = digest(&SHA256, octets).as_ref().to_vec();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.get(&hash) {
            return known.clone();
        }
        if made.len() >= MEMORY_MAX {
            made.clear();
        }
        let random = SystemRandom::new();
        let signature = match &self.secret {
            Secret::Ecdsa(pair) => {
                let signature = pair.sign(&random, octets);
                Bytes::copy_from_slice(signature.expect("a sound key signs").as_ref())
            }
            Secret::Ed25519(pair) => Bytes::copy_from_slice(pair.sign(octets).as_ref()),
            Secret::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, octets, &mut signature)
                    .expect("a sound key signs");
                Bytes::from(signature)
            }
            Secret::Forgotten => Bytes::from([hash.as_slice(), hash.as_slice()].concat()),
        };
        made.insert(hash, signature.clone());
        signature
    }
}

/// SHA-256 of owner name and DNSKEY data.
pub(crate) fn ds_digest(apex: &Name, dnskey: &Dnskey<Bytes>) -> Bytes {
    let mut octets = Vec::new();
    // Writing to a vector cannot fail.
    let _ = apex.compose_canonical(&mut octets);
    let _ = dnskey.compose_canonical_rdata(&mut octets);
    Bytes::copy_from_slice(digest(&SHA256, &octets).as_ref())
}

/// 32 octets from a text.
fn once(text: &str) -> [u8; 32] {
    let mut octets = [0; 32];
    octets.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    octets
}

/// 64 octets from a text.
fn twice(text: &str) -> [u8; 64] {
    let mut octets = [0; 64];
    octets[..32].copy_from_slice(&once(text));
    octets[32..].copy_from_slice(&once(&format!("{text} again")));
    octets
}

/// A P-256 key whose secret number is a hash of the text. One hash in 2^32 is no such number:
/// the next one is taken.
fn ecdsa_p256(text: &str) -> (Secret, Vec<u8>) {
    /// `ECPrivateKey` (RFC 5915) without its public half: version 1, then the octets.
    const BEFORE: [u8; 7] = [0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20];
    /// The curve, prime256v1.
    const AFTER: [u8; 12] = [
        0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    ];
    let mut text = text.to_owned();
    loop {
        let der = [&BEFORE[..], &once(&text), &AFTER].concat();
        match EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der) {
            Ok(pair) => return of_point(pair),
            Err(_) => text.push('+'),
        }
    }
}

fn ecdsa_p384() -> (Secret, Vec<u8>) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING);
    of_point(pair.expect("the system gives random numbers"))
}

/// RFC 6605 section 4: the point without the octet that says that it is uncompressed.
fn of_point(pair: EcdsaKeyPair) -> (Secret, Vec<u8>) {
    let public = pair.public_key().as_ref()[1..].to_vec();
    (Secret::Ecdsa(pair), public)
}

fn ed25519(text: &str) -> (Secret, Vec<u8>) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&once(text)).expect("any 32 octets are a key");
    let public = pair.public_key().as_ref().to_vec();
    (Secret::Ed25519(pair), public)
}

/// An RSA key of 2048 bits. Made at random: there is no way to make it from a seed.
fn rsa(encoding: &'static dyn RsaEncoding) -> (Secret, Vec<u8>) {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("the system gives random numbers");
    let public = pair.public_key();
    let (modulus, exponent) = (public.modulus(), public.exponent());
    let exponent = exponent.big_endian_without_leading_zero();
    // RFC 3110 section 2: the exponent's length, the exponent, the modulus.
    let mut octets = vec![u8::try_from(exponent.len()).unwrap_or(0)];
    octets.extend(exponent);
    octets.extend(modulus.big_endian_without_leading_zero());
    (Secret::Rsa(Box::new(pair), encoding), octets)
}
