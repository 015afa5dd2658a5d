//! The box's certificate authorities.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SerialNumber,
};
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::LabError;
use crate::scenario::{Issuer, TlsSpec};

/// Seconds of a day.
const DAY: i64 = 86_400;
/// Age and life left of certificates that say nothing, days: a third of 90 days is over.
const LEAF_DAYS: (i64, i64) = (30, 60);
/// Age and life left of authorities, days.
const AUTHORITY_DAYS: (i64, i64) = (2000, 4000);

/// An authority with its key.
type Authority = CertifiedIssuer<'static, KeyPair>;

/// The authorities of a box.
pub(crate) struct Authorities {
    root: Authority,
    intermediate: Authority,
    /// A root that checks do not trust.
    private: Authority,
}

fn failed(e: impl std::fmt::Display) -> LabError {
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
        })
    }

    /// The root that checks trust.
    pub(crate) fn root_pem(&self) -> String {
        self.root.pem()
    }

    /// What a host shows, as of the world's time.
    pub(crate) fn certify(&self, spec: &TlsSpec, now: Timestamp) -> Result<Shown, LabError> {
        let names = spec.names.clone().unwrap_or_default();
        let named = self.leaf(&names, spec, now)?;
        let default = spec.without_sni.clone().filter(|other| *other != names);
        let default = match default {
            None => None,
            // The default virtual host is another site: validity and issuer are not its fault.
            Some(other) => Some(self.leaf(&other, &TlsSpec::default(), now)?),
        };
        Ok(Shown { named, default })
    }

    /// The same as files: each chain with its key, in PEM.
    pub(crate) fn files(&self, spec: &TlsSpec, now: Timestamp) -> Result<Files, LabError> {
        let names = spec.names.clone().unwrap_or_default();
        let pem = |(chain, key): (Vec<CertificateDer<'static>>, KeyPair)| {
            let chain: String = chain
                .iter()
                .map(|der| armoured("CERTIFICATE", der))
                .collect();
            chain + &key.serialize_pem()
        };
        let default = spec.without_sni.clone().filter(|other| *other != names);
        let default = match default {
            None => None,
            Some(other) => Some(pem(self.issue(&other, &TlsSpec::default(), now)?)),
        };
        let named = pem(self.issue(&names, spec, now)?);
        Ok(Files {
            names,
            named,
            default,
        })
    }

    fn leaf(
        &self,
        names: &[String],
        spec: &TlsSpec,
        now: Timestamp,
    ) -> Result<Arc<CertifiedKey>, LabError> {
        let (chain, key) = self.issue(names, spec, now)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = aws_lc_rs::sign::any_supported_type(&key).map_err(failed)?;
        Ok(Arc::new(CertifiedKey::new(chain, key)))
    }

    fn issue(
        &self,
        names: &[String],
        spec: &TlsSpec,
        now: Timestamp,
    ) -> Result<(Vec<CertificateDer<'static>>, KeyPair), LabError> {
        let mut params = CertificateParams::new(names).map_err(failed)?;
        let (begin, end) = validity(spec, now);
        params.not_before = moment(rcgen::date_time_ymd(1970, 1, 1), begin);
        params.not_after = moment(rcgen::date_time_ymd(1970, 1, 1), end);
        let first = names.first().map_or("nobody", String::as_str);
        params.distinguished_name = subject(first);
        params.serial_number = Some(serial());
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(failed)?;
        let chain = match spec.issuer.unwrap_or_default() {
            Issuer::Box => {
                let leaf = params.signed_by(&key, &self.intermediate).map_err(failed)?;
                vec![leaf.der().clone(), self.intermediate.der().clone()]
            }
            // The root is sent along, as in-house setups do: nothing is missing but trust.
            Issuer::Private => {
                let leaf = params.signed_by(&key, &self.private).map_err(failed)?;
                vec![leaf.der().clone(), self.private.der().clone()]
            }
            Issuer::Itself => {
                params.use_authority_key_identifier_extension = false;
                vec![params.self_signed(&key).map_err(failed)?.der().clone()]
            }
        };
        Ok((chain, key))
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

fn armoured(label: &str, der: &[u8]) -> String {
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

fn authority(
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

fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// A serial of 64 positive bits (RFC 5280 section 4.1.2.2).
fn serial() -> SerialNumber {
    SerialNumber::from((fastrand::u64(..) >> 1) | 1 << 62)
}

/// First and last second. What is given moves what is not, so that the life stays positive.
fn validity(spec: &TlsSpec, now: Timestamp) -> (i64, i64) {
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
fn moment<T>(epoch: T, second: i64) -> T
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

/// What a host shows, chosen by the server name that the client sends (RFC 6066 section 3).
#[derive(Debug)]
pub(crate) struct Shown {
    named: Arc<CertifiedKey>,
    /// What is shown without a server name, where that is another one.
    default: Option<Arc<CertifiedKey>>,
}

impl Shown {
    fn choose(&self, sni: Option<&str>) -> &Arc<CertifiedKey> {
        match (&self.default, sni) {
            (Some(default), None) => default,
            (Some(_) | None, _) => &self.named,
        }
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.choose(hello.server_name())))
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
    fn the_default_certificate_is_shown_without_a_server_name() {
        let now: Timestamp = "2024-10-01T00:00:00Z".parse().unwrap();
        let authorities = Authorities::new(now).unwrap();
        let spec = TlsSpec {
            names: Some(vec!["www.svc.test".to_owned()]),
            without_sni: Some(vec!["default.test".to_owned()]),
            ..TlsSpec::default()
        };
        let shown = authorities.certify(&spec, now).unwrap();
        let is_named = |sni| Arc::ptr_eq(shown.choose(sni), &shown.named);
        assert!(is_named(Some("www.svc.test")));
        assert!(is_named(Some("stranger.test")));
        assert!(is_named(Some("default.test")));
        assert!(!is_named(None));
        let same = TlsSpec {
            without_sni: spec.names.clone(),
            ..spec
        };
        assert!(authorities.certify(&same, now).unwrap().default.is_none());
    }

    #[test]
    fn each_issuer_makes_a_chain() {
        let now: Timestamp = "2024-10-01T00:00:00Z".parse().unwrap();
        let authorities = Authorities::new(now).unwrap();
        for (issuer, length) in [(Issuer::Box, 2), (Issuer::Private, 2), (Issuer::Itself, 1)] {
            let spec = TlsSpec {
                names: Some(vec!["www.svc.test".to_owned()]),
                issuer: Some(issuer),
                ..TlsSpec::default()
            };
            let shown = authorities.certify(&spec, now).unwrap();
            assert_eq!(shown.named.cert.len(), length);
        }
        assert!(authorities.root_pem().contains("BEGIN CERTIFICATE"));
    }
}
