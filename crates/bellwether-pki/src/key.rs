//! Keys and algorithms: what they are called, and which of them clients refuse.

use crate::der::{Reader, key_parts};

/// Least size of an RSA key that clients take (CA/Browser Forum baseline requirements 6.1.5).
const RSA_BITS_MIN: usize = 2048;

// Object identifiers, as their content bytes.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const ED448: &[u8] = &[0x2b, 0x65, 0x71];
const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];

/// Tag of OBJECT IDENTIFIER.
const OID: u8 = 0x06;

/// The kind of a public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Rsa(usize),
    /// A named curve that clients take.
    Ecdsa(&'static str),
    Ed25519,
    /// Any other, by name or object identifier.
    Other(String),
    /// There is no key that can be read.
    Unreadable,
}

impl KeyKind {
    /// The kind of the key in the content of a SubjectPublicKeyInfo.
    pub(crate) fn of(spki: &[u8]) -> Self {
        let Some((algorithm, key)) = key_parts(spki) else {
            return Self::Unreadable;
        };
        let mut reader = Reader::new(algorithm);
        let Some(oid) = reader.element().filter(|e| e.tag == OID) else {
            return Self::Unreadable;
        };
        match oid.content {
            RSA | RSA_PSS => rsa_bits(key).map_or(Self::Unreadable, Self::Rsa),
            EC => match reader.element().map(|e| e.content) {
                Some(P256) => Self::Ecdsa("P-256"),
                Some(P384) => Self::Ecdsa("P-384"),
                Some(P521) => Self::Ecdsa("P-521"),
                Some(curve) => Self::Other(format!("ECDSA on curve {}", dotted(curve))),
                None => Self::Unreadable,
            },
            ED25519 => Self::Ed25519,
            ED448 => Self::Other("Ed448".to_owned()),
            DSA => Self::Other("DSA".to_owned()),
            other => Self::Other(format!("key of type {}", dotted(other))),
        }
    }

    /// Why clients refuse it, if they do.
    pub(crate) fn weakness(&self) -> Option<String> {
        match self {
            Self::Rsa(bits) if *bits < RSA_BITS_MIN => Some(format!(
                "RSA key of {bits} bits; clients want {RSA_BITS_MIN} or more"
            )),
            Self::Other(what) => Some(format!("{what}, which clients do not take")),
            Self::Rsa(_) | Self::Ecdsa(_) | Self::Ed25519 | Self::Unreadable => None,
        }
    }
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::Ecdsa(curve) => write!(f, "ECDSA {curve}"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Other(what) => f.write_str(what),
            Self::Unreadable => Ok(()),
        }
    }
}

/// Bits of the modulus of an RSAPublicKey (RFC 8017 appendix A.1.1).
fn rsa_bits(key: &[u8]) -> Option<usize> {
    let outer = Reader::new(key).element()?;
    let modulus = Reader::new(outer.content).element()?.content;
    let first = modulus.iter().position(|b| *b != 0)?;
    let lead = modulus[first].leading_zeros();
    Some((modulus.len() - first) * 8 - usize::try_from(lead).ok()?)
}

/// The name of the algorithm in the content of an AlgorithmIdentifier.
pub(crate) fn signature_name(algorithm: &[u8]) -> String {
    let Some(oid) = Reader::new(algorithm).element().filter(|e| e.tag == OID) else {
        return String::new();
    };
    let dotted = dotted(oid.content);
    match SIGNATURES.iter().find(|(oid, ..)| *oid == dotted) {
        Some((_, name, _)) => (*name).to_owned(),
        None => dotted,
    }
}

/// Why clients refuse a signature of this name, if they do.
pub(crate) fn signature_weakness(name: &str) -> Option<String> {
    let (_, name, weak) = SIGNATURES.iter().find(|(_, known, _)| *known == name)?;
    weak.then(|| format!("signature {name}, which clients do not take"))
}

/// Object identifier, name, and whether clients refuse it.
const SIGNATURES: &[(&str, &str, bool)] = &[
    ("1.2.840.113549.1.1.2", "md2WithRSAEncryption", true),
    ("1.2.840.113549.1.1.4", "md5WithRSAEncryption", true),
    ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption", true),
    ("1.2.840.113549.1.1.10", "rsassaPss", false),
    ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption", false),
    ("1.2.840.113549.1.1.12", "sha384WithRSAEncryption", false),
    ("1.2.840.113549.1.1.13", "sha512WithRSAEncryption", false),
    ("1.2.840.113549.1.1.14", "sha224WithRSAEncryption", true),
    ("1.2.840.10040.4.3", "dsa-with-sha1", true),
    ("2.16.840.1.101.3.4.3.2", "dsa-with-sha256", true),
    ("1.2.840.10045.4.1", "ecdsa-with-SHA1", true),
    ("1.2.840.10045.4.3.1", "ecdsa-with-SHA224", true),
    ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256", false),
    ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384", false),
    ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512", false),
    ("1.3.101.112", "Ed25519", false),
    ("1.3.101.113", "Ed448", true),
];

/// An object identifier in dotted form (X.690 section 8.19); at most the first 20 arcs.
pub(crate) fn dotted(content: &[u8]) -> String {
    let mut arcs = Vec::new();
    let mut value: u64 = 0;
    for byte in content {
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if arcs.is_empty() {
                let first = (value / 40).min(2);
                arcs.push(first.to_string());
                value -= first * 40;
            }
            arcs.push(value.to_string());
            value = 0;
        }
        if arcs.len() > 20 {
            break;
        }
    }
    arcs.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_identifiers() {
        assert_eq!(dotted(RSA), "1.2.840.113549.1.1.1");
        assert_eq!(dotted(&[0x55, 4, 3]), "2.5.4.3");
        assert_eq!(dotted(&[0x88, 0x37, 3]), "2.999.3");
        assert_eq!(dotted(&[0xff; 40]), "");
    }
}
