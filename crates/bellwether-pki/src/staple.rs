//! Stapled OCSP responses (RFC 6960): what the issuer says of the certificate, as far as it can be
//! believed.

use bellwether_model::text::inert_bytes;
use bellwether_model::tls::{StapleSeen, StapleStatus};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::der::{Element, Reader, Skeleton};
use crate::signature::{Check, Signed, check};

/// Largest response that is read, bytes. Real ones have 300 to 3,000.
const LEN_MAX: usize = 64 * 1024;
/// Answers of one response that are looked at; servers get one for one certificate.
const ANSWERS_MAX: usize = 64;
/// Certificates in a response that are looked at: a delegated responder's own.
const CERTS_MAX: usize = 4;
/// How far clocks may differ, seconds: responses are made at the second they are asked for.
const LEEWAY: i64 = 300;

const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
const BIT_STRING: u8 = 0x03;
const ENUMERATED: u8 = 0x0a;
const INTEGER: u8 = 0x02;
const GENERALIZED_TIME: u8 = 0x18;

/// `id-kp-OCSPSigning`, with its header.
const OCSP_SIGNING: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x09];

/// What a response says of the certificate with this serial number.
///
/// `issuers` are the keys (contents of SubjectPublicKeyInfo) that may have issued it.
pub(crate) fn read(bytes: &[u8], serial: &[u8], issuers: &[&[u8]], at: Timestamp) -> StapleSeen {
    let unreadable = |problem: &str| StapleSeen {
        status: StapleStatus::Unreadable,
        this_update: None,
        next_update: None,
        problem: Some(problem.to_owned()),
    };
    if bytes.len() > LEN_MAX {
        return unreadable("it is larger than 64 KiB");
    }
    let basic = match basic_response(bytes) {
        Ok(basic) => basic,
        Err(problem) => return unreadable(&problem),
    };
    let Some(answer) = basic.answer(serial) else {
        return unreadable("it is about another certificate");
    };
    let mut seen = StapleSeen {
        status: answer.status,
        this_update: answer.this_update,
        next_update: answer.next_update,
        problem: None,
    };
    let second = at.as_second();
    seen.problem = if !issuers.is_empty() && !basic.is_by(issuers) {
        Some("its signature is not the issuer's".to_owned())
    } else if answer
        .this_update
        .is_none_or(|begin| begin.as_second() > second + LEEWAY)
    {
        Some("it is not valid yet".to_owned())
    } else if answer
        .next_update
        .is_some_and(|end| end.as_second() < second - LEEWAY)
    {
        seen.status = match seen.status {
            StapleStatus::Revoked => StapleStatus::Revoked,
            StapleStatus::Good
            | StapleStatus::Unknown
            | StapleStatus::Stale
            | StapleStatus::Unreadable => StapleStatus::Stale,
        };
        Some("it is out of date".to_owned())
    } else if seen.status == StapleStatus::Unknown {
        Some("the issuer does not know the certificate".to_owned())
    } else {
        None
    };
    seen
}

/// The times at which what [`read`] says of a response changes.
pub(crate) fn turns(seen: &StapleSeen) -> impl Iterator<Item = Timestamp> {
    let leeway = SignedDuration::from_secs(LEEWAY);
    let second = SignedDuration::from_secs(1);
    let begin = seen.this_update.and_then(|at| at.checked_sub(leeway).ok());
    // Compared by whole seconds: it is over when the next one begins.
    let end = seen
        .next_update
        .and_then(|at| at.checked_add(leeway + second).ok());
    begin.into_iter().chain(end)
}

/// A BasicOCSPResponse, taken apart.
struct Basic<'a> {
    data: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
    answers: &'a [u8],
    certs: &'a [u8],
}

/// What is said of one certificate.
struct Answer {
    status: StapleStatus,
    this_update: Option<Timestamp>,
    next_update: Option<Timestamp>,
}

fn basic_response(bytes: &[u8]) -> Result<Basic<'_>, String> {
    let none = || "it is no OCSP response".to_owned();
    let outer = only(bytes, SEQUENCE).ok_or_else(none)?;
    let mut outer = Reader::new(outer);
    let status = next(&mut outer, ENUMERATED).ok_or_else(none)?;
    if status != [0] {
        return Err(format!(
            "the responder gave error {}",
            inert_bytes(&crate::cert::hex(status).into_bytes(), 8)
        ));
    }
    let wrapped = next(&mut outer, 0xa0).ok_or_else(none)?;
    let mut inner = Reader::new(only(wrapped, SEQUENCE).ok_or_else(none)?);
    inner.element().ok_or_else(none)?;
    let basic = next(&mut inner, OCTET_STRING).ok_or_else(none)?;
    parts(basic).ok_or_else(none)
}

fn parts(basic: &[u8]) -> Option<Basic<'_>> {
    let mut reader = Reader::new(only(basic, SEQUENCE)?);
    let data = reader.element().filter(|e| e.tag == SEQUENCE)?;
    let algorithm = next(&mut reader, SEQUENCE)?;
    let signature = next(&mut reader, BIT_STRING)?.strip_prefix(&[0])?;
    let certs = next(&mut reader, 0xa0).and_then(|wrapped| only(wrapped, SEQUENCE));
    let mut inner = Reader::new(data.content);
    let mut first = inner.element()?;
    if first.tag == 0xa0 {
        first = inner.element()?;
    }
    // The responder's name or key.
    matches!(first.tag, 0xa1 | 0xa2).then_some(())?;
    next(&mut inner, GENERALIZED_TIME)?;
    Some(Basic {
        data: data.whole,
        algorithm,
        signature,
        answers: next(&mut inner, SEQUENCE)?,
        certs: certs.unwrap_or_default(),
    })
}

impl Basic<'_> {
    fn answer(&self, serial: &[u8]) -> Option<Answer> {
        let mut reader = Reader::new(self.answers);
        let all = std::iter::from_fn(|| reader.element()).take(ANSWERS_MAX);
        all.filter_map(|element| answer(&element, serial)).next()
    }

    /// Signed by an issuer's key, or by a key that an issuer made a responder's (RFC 6960 section
    /// 4.2.2.2).
    fn is_by(&self, issuers: &[&[u8]]) -> bool {
        let signed = Signed {
            message: self.data,
            algorithm: self.algorithm,
            signature: self.signature,
        };
        let is_good = |signed: &Signed<'_>, key: &[u8]| check(signed, key) == Check::Good;
        if issuers.iter().any(|key| is_good(&signed, key)) {
            return true;
        }
        let mut reader = Reader::new(self.certs);
        let certs = std::iter::from_fn(|| reader.element()).take(CERTS_MAX);
        certs.into_iter().any(|element| {
            let Some(cert) = Skeleton::read(element.whole) else {
                return false;
            };
            let may = cert
                .tbs
                .windows(OCSP_SIGNING.len())
                .any(|w| w == OCSP_SIGNING);
            let by_issuer = |key: &&[u8]| is_good(&Signed::of(&cert), key);
            may && issuers.iter().any(by_issuer) && is_good(&signed, cert.spki)
        })
    }
}

fn answer(element: &Element<'_>, serial: &[u8]) -> Option<Answer> {
    let mut reader = Reader::new(element.content);
    let mut identity = Reader::new(next(&mut reader, SEQUENCE)?);
    next(&mut identity, SEQUENCE)?;
    next(&mut identity, OCTET_STRING)?;
    next(&mut identity, OCTET_STRING)?;
    if next(&mut identity, INTEGER)? != serial {
        return None;
    }
    let status = match reader.element()?.tag {
        0x80 => StapleStatus::Good,
        0xa1 => StapleStatus::Revoked,
        _ => StapleStatus::Unknown,
    };
    let this_update = next(&mut reader, GENERALIZED_TIME).and_then(time);
    let next_update = next(&mut reader, 0xa0)
        .and_then(|wrapped| only(wrapped, GENERALIZED_TIME))
        .and_then(time);
    Some(Answer {
        status,
        this_update,
        next_update,
    })
}

fn next<'a>(reader: &mut Reader<'a>, tag: u8) -> Option<&'a [u8]> {
    reader.element().filter(|e| e.tag == tag).map(|e| e.content)
}

fn only(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    next(&mut Reader::new(bytes), tag)
}

/// `YYYYMMDDHHMMSSZ`; fractions of seconds do not occur (RFC 5280 section 4.1.2.5.2).
fn time(text: &[u8]) -> Option<Timestamp> {
    let digits = text.strip_suffix(b"Z")?;
    if digits.len() != 14 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let two = |at: usize| i8::try_from((digits[at] - b'0') * 10 + (digits[at + 1] - b'0')).ok();
    let year = i16::from(two(0)?) * 100 + i16::from(two(2)?);
    let date = DateTime::new(year, two(4)?, two(6)?, two(8)?, two(10)?, two(12)?, 0);
    let zoned = date.ok()?.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let at: Timestamp = "2024-10-01T11:10:00Z".parse().unwrap();
        assert_eq!(time(b"20241001111000Z"), Some(at));
        assert_eq!(time(b"20241301111000Z"), None);
        assert_eq!(time(b"2024100111100Z"), None);
    }

    #[test]
    fn what_is_no_response_is_said_to_be_none() {
        let at = Timestamp::UNIX_EPOCH;
        for bytes in [
            &b""[..],
            b"no response",
            &[0x30, 0x03, 0x0a, 0x01, 0x06],
            &[0x30; 64],
        ] {
            let seen = read(bytes, &[1], &[], at);
            assert_eq!(seen.status, StapleStatus::Unreadable);
            assert!(seen.problem.is_some());
        }
    }
}
