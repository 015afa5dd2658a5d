//! The box's certificate authorities.

use std::collections::BTreeMap;
use std::ops::{Add, Sub};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SerialNumber,
};

use crate::LabError;
use crate::scenario::{ClientCertSpec, TlsSpec};

/// Seconds of a day.
pub(super) const DAY: i64 = 86_400;
/// Age and life left of certificates that say nothing, days: a third of 90 days is over.
const LEAF_DAYS: (i64, i64) = (30, 60);
/// Age and life left of authorities, days.
const AUTHORITY_DAYS: (i64, i64) = (2000, 4000);

/// An authority with its key.
pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

/// The authorities of a box.
pub(crate) struct Authorities {
    pub(super) root: Authority,
    pub(super) intermediate: Authority,
    /// A root that checks do not trust.
    pub(super) private: Authority,
    /// Authorities for client certificates, by their word.
    clients: Mutex<BTreeMap<String, Arc<Authority>>>,
    /// When they all were made.
    made: Timestamp,
}

pub(super) fn failed(e: impl std::fmt::Display) -> LabError {
    LabError::Certificate(e.to_string())
}

impl Authorities {
    /// Makes them, valid around the world's time.
    pub(crate) fn new(now: Timestamp) -> Result<Self, LabError> {
        let root = root("Bellwether Lab Root", now)?;
        let params = authority(
            "Bellwether Lab Intermediate",
            now,
            BasicConstraints::Constrained(0),
        )?;
        let key = KeyPair::generate().map_err(failed)?;
        let intermediate = CertifiedIssuer::signed_by(params, key, &root).map_err(failed)?;
        let private = self::root("Private Inhouse Root", now)?;
        Ok(Self {
            root,
            intermediate,
            private,
            clients: Mutex::default(),
            made: now,
        })
    }

    /// The root that checks trust.
    pub(crate) fn root_pem(&self) -> String {
        self.root.pem()
    }

    /// An authority for client certificates.
    pub(crate) fn client_authority(&self, word: &str) -> Result<Arc<Authority>, LabError> {
        let mut all = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(word) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(self::root(&format!("Clients {word}"), self.made)?);
        all.insert(word.to_owned(), Arc::clone(&made));
        Ok(made)
    }

    /// A client certificate and its key, PEM.
    pub(crate) fn client_pem(&self, name: &str, spec: &ClientCertSpec) -> Result<String, LabError> {
        let issuer = self.client_authority(&spec.issuer)?;
        let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
        let dates = TlsSpec {
            not_before: spec.not_before,
            not_after: spec.not_after,
            ..TlsSpec::default()
        };
        let (begin, end) = validity(&dates, self.made);
        params.not_before = moment(rcgen::date_time_ymd(1970, 1, 1), begin);
        params.not_after = moment(rcgen::date_time_ymd(1970, 1, 1), end);
        params.distinguished_name = subject(name);
        params.serial_number = Some(serial());
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().map_err(failed)?;
        let cert = params.signed_by(&key, &*issuer).map_err(failed)?;
        Ok(format!("{}{}", cert.pem(), key.serialize_pem()))
    }
}

/// What a host shows, as files for a server of others.
pub(crate) struct Files {
    /// Names of the first certificate.
    pub(crate) names: Vec<String>,
    pub(crate) named: String,
    /// What is shown without a server name, where that is another one.
    pub(crate) default: Option<String>,
}

pub(super) fn armoured(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

fn root(name: &str, now: Timestamp) -> Result<Authority, LabError> {
    let params = authority(name, now, BasicConstraints::Unconstrained)?;
    let key = KeyPair::generate().map_err(failed)?;
    CertifiedIssuer::self_signed(params, key).map_err(failed)
}

pub(super) fn authority(
    name: &str,
    now: Timestamp,
    constraints: BasicConstraints,
) -> Result<CertificateParams, LabError> {
    let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
    params.distinguished_name = subject(name);
    params.serial_number = Some(serial());
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = moment(epoch, now.as_second() - AUTHORITY_DAYS.0 * DAY);
    params.not_after = moment(epoch, now.as_second() + AUTHORITY_DAYS.1 * DAY);
    Ok(params)
}

pub(super) fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// A serial of 64 positive bits (RFC 5280 section 4.1.2.2).
pub(super) fn serial() -> SerialNumber {
    SerialNumber::from((fastrand::u64(..) >> 1) | 1 << 62)
}

/// First and last second. What is given moves what is not, so that the life stays positive.
pub(super) fn validity(spec: &TlsSpec, now: Timestamp) -> (i64, i64) {
    let life = (LEAF_DAYS.0 + LEAF_DAYS.1) * DAY;
    let begin = spec.not_before.map(|moment| moment.second(now));
    let end = spec.not_after.map(|moment| moment.second(now));
    let usual = (
        now.as_second() - LEAF_DAYS.0 * DAY,
        now.as_second() + LEAF_DAYS.1 * DAY,
    );
    match (begin, end) {
        (Some(begin), Some(end)) => (begin, end),
        (Some(begin), None) if begin < usual.1 => (begin, usual.1),
        (Some(begin), None) => (begin, begin + life),
        (None, Some(end)) if end > usual.0 => (usual.0, end),
        (None, Some(end)) => (end - life, end),
        (None, None) => usual,
    }
}

/// A second after an epoch; generic, since rcgen does not export the type of its moments.
pub(super) fn moment<T>(epoch: T, second: i64) -> T
where
    T: Add<Duration, Output = T> + Sub<Duration, Output = T>,
{
    let distance = Duration::from_secs(second.unsigned_abs());
    if second < 0 {
        epoch - distance
    } else {
        epoch + distance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(begin: Option<&str>, end: Option<&str>) -> TlsSpec {
        TlsSpec {
            not_before: begin.map(|text| text.parse().unwrap()),
            not_after: end.map(|text| text.parse().unwrap()),
            ..TlsSpec::default()
        }
    }

    #[track_caller]
    fn check(begin: Option<&str>, end: Option<&str>, days: (i64, i64)) {
        let now: Timestamp = "2024-10-01T00:00:00Z".parse().unwrap();
        let (from, to) = validity(&spec(begin, end), now);
        let day = |second: i64| (second - now.as_second()) / DAY;
        assert_eq!((day(from), day(to)), days);
    }

    #[test]
    fn validities() {
        check(None, None, (-30, 60));
        check(None, Some("-1d"), (-30, -1));
        check(None, Some("-40d"), (-130, -40));
        check(Some("+1d"), None, (1, 60));
        check(Some("+70d"), None, (70, 160));
        check(Some("-1d"), Some("+46d"), (-1, 46));
    }

    #[test]
    fn the_root_is_a_certificate() {
        let now: Timestamp = "2024-10-01T00:00:00Z".parse().unwrap();
        let authorities = Authorities::new(now).unwrap();
        assert!(authorities.root_pem().contains("BEGIN CERTIFICATE"));
    }
}
