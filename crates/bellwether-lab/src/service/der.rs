//! DER written by hand: certificates with one part changed, and OCSP responses.

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;

/// `ecdsa-with-SHA256`, as an algorithm.
pub(super) fn ecdsa_sha256() -> Vec<u8> {
    algorithm(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02])
}

/// `ecdsa-with-SHA1`.
pub(super) fn ecdsa_sha1() -> Vec<u8> {
    algorithm(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01])
}

/// `md5WithRSAEncryption`.
pub(super) fn rsa_md5() -> Vec<u8> {
    algorithm(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04])
}

fn algorithm(oid: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[leaf(OID, oid)])
}

/// One element around the given ones.
pub(super) fn tlv(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match content.len() {
        short @ 0..=0x7f => out.push(u8::try_from(short).unwrap_or_default()),
        long => {
            let bytes = long.to_be_bytes();
            let from = bytes.iter().position(|b| *b != 0).unwrap_or_default();
            let digits = &bytes[from..];
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or_default());
            out.extend(digits);
        }
    }
    out.extend(content);
    out
}

/// One element of these bytes.
pub(super) fn leaf(tag: u8, bytes: &[u8]) -> Vec<u8> {
    tlv(tag, &[bytes.to_vec()])
}

/// A BIT STRING of whole bytes.
pub(super) fn bits(bytes: &[u8]) -> Vec<u8> {
    tlv(BIT_STRING, &[vec![0], bytes.to_vec()])
}

/// A moment as OCSP writes it.
pub(super) fn generalized(at: Timestamp) -> Vec<u8> {
    let text = at.to_zoned(TimeZone::UTC).strftime("%Y%m%d%H%M%SZ");
    leaf(GENERALIZED_TIME, text.to_string().as_bytes())
}

/// A moment as certificates of this half of the century write it.
pub(super) fn utc(at: Timestamp) -> Vec<u8> {
    let text = at.to_zoned(TimeZone::UTC).strftime("%y%m%d%H%M%SZ");
    leaf(UTC_TIME, text.to_string().as_bytes())
}

/// The elements that follow each other in these bytes, which this process has written.
pub(super) fn elements(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while let [_, first, ..] = bytes {
        let digits = if *first < 0x80 {
            0
        } else {
            usize::from(first & 0x7f)
        };
        let len = match digits {
            0 => usize::from(*first),
            _ => bytes[2..2 + digits]
                .iter()
                .fold(0, |len, b| (len << 8) | usize::from(*b)),
        };
        let (one, rest) = bytes.split_at(2 + digits + len);
        all.push(one);
        bytes = rest;
    }
    all
}

/// What is inside one element.
pub(super) fn content(element: &[u8]) -> &[u8] {
    match element.get(1) {
        Some(first) if *first >= 0x80 => &element[2 + usize::from(first & 0x7f)..],
        _ => &element[2..],
    }
}

/// The parts of a certificate's signed half, each with its header.
pub(super) struct Parts {
    version: Vec<u8>,
    pub(super) serial: Vec<u8>,
    pub(super) algorithm: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) validity: Vec<u8>,
    pub(super) subject: Vec<u8>,
    pub(super) spki: Vec<u8>,
    pub(super) extensions: Vec<Vec<u8>>,
}

impl Parts {
    /// The parts of a certificate that this process has made, version 3 and with extensions.
    pub(super) fn of(der: &[u8]) -> Self {
        let outer = elements(content(der));
        let inner = elements(content(outer[0]));
        let part = |at: usize| inner[at].to_vec();
        let list = content(content(inner[7]));
        Self {
            version: part(0),
            serial: part(1),
            algorithm: part(2),
            issuer: part(3),
            validity: part(4),
            subject: part(5),
            spki: part(6),
            extensions: elements(list).into_iter().map(<[u8]>::to_vec).collect(),
        }
    }

    /// A certificate of them.
    pub(super) fn signed<E>(
        self,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, E> {
        let Self {
            version,
            serial,
            algorithm,
            issuer,
            validity,
            subject,
            spki,
            extensions,
        } = self;
        let list = tlv(0xa3, &[tlv(SEQUENCE, &extensions)]);
        let beside = algorithm.clone();
        let parts = [
            version, serial, algorithm, issuer, validity, subject, spki, list,
        ];
        let tbs = tlv(SEQUENCE, &parts);
        let signature = bits(&sign(&tbs)?);
        Ok(tlv(SEQUENCE, &[tbs, beside, signature]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        for len in [0usize, 1, 127, 128, 255, 256, 70_000] {
            let element = tlv(OCTET_STRING, &[vec![7; len]]);
            assert_eq!(elements(&element), [element.as_slice()]);
            assert_eq!(content(&element).len(), len);
        }
    }

    #[test]
    fn what_is_taken_apart_and_put_together_is_the_same() {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["svc.test".to_owned()]).unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let signature = elements(content(&der))[2].to_vec();
        let same: Result<Vec<u8>, ()> =
            Parts::of(&der).signed(|_| Ok(content(&signature)[1..].to_vec()));
        assert_eq!(same, Ok(der));
    }

    #[test]
    fn moments() {
        let at: Timestamp = "2024-10-01T11:10:00Z".parse().unwrap();
        assert_eq!(content(&generalized(at)), b"20241001111000Z");
        assert_eq!(content(&utc(at)), b"241001111000Z");
    }
}
