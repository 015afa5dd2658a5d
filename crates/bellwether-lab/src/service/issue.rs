//! What a host shows: its certificate as the scenario words it, the chain, the stapled response.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, KeyPair, KeyUsagePurpose, NameConstraints, SigningKey,
};
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::ca::{
    Authorities, Authority, DAY, Files, armoured, authority, failed, moment, serial, subject,
    validity,
};
use super::der::{self, INTEGER, OCTET_STRING, OID, Parts, SEQUENCE, leaf, tlv};
use super::staple;
use crate::LabError;
use crate::scenario::certificate::{
    CertificateSpec, ChainWord, FormWord, KeyWord, SignatureWord, UsageWord,
};
use crate::scenario::{Issuer, TlsSpec};

/// Certificates that a host with `rotates` has; a check makes fewer connections to one.
const ROTATION: usize = 16;
/// Depth of `form: nested`.
const NESTING: usize = 10_000;
/// Life of an expired edition of the intermediate, days.
const EDITION_DAYS: i64 = 365;

// Object identifiers.
const AUTHORITY_INFO: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];
const TLS_FEATURE: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 24];
const SCT_LIST: &[u64] = &[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];
const ALTERNATIVE_NAMES: &[u64] = &[2, 5, 29, 17];
/// Nobody's: below 2.999, the arc for examples (X.660).
const NOBODYS: &[u64] = &[2, 999, 1];
/// `id-ad-caIssuers`.
const CA_ISSUERS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02];
/// `rsaEncryption`.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// Where the intermediate's certificate is to be had; nobody serves it.
const ISSUER_URL: &[u8] = b"http://ca.bellwether-lab.test/intermediate.der";

impl Authorities {
    /// What a host shows, as of the world's time.
    pub(crate) fn certify(&self, spec: &TlsSpec, now: Timestamp) -> Result<Shown, LabError> {
        let names = spec.names.clone().unwrap_or_default();
        let words = spec.certificate.clone().unwrap_or_default();
        let count = if words.rotates == Some(true) {
            ROTATION
        } else {
            1
        };
        let one = |_| self.issue(&names, spec, now).and_then(Issued::ready);
        let named = (0..count).map(one).collect::<Result<Vec<_>, _>>()?;
        let default = spec.without_sni.clone().filter(|other| *other != names);
        let default = match default {
            None => None,
            // The default virtual host is another site: validity and issuer are not its fault.
            Some(other) => Some(self.issue(&other, &TlsSpec::default(), now)?.ready()?),
        };
        Ok(Shown {
            named,
            next: AtomicUsize::new(0),
            default,
        })
    }

    /// The same as files: each chain with its key, in PEM.
    pub(crate) fn files(&self, spec: &TlsSpec, now: Timestamp) -> Result<Files, LabError> {
        let names = spec.names.clone().unwrap_or_default();
        let default = spec.without_sni.clone().filter(|other| *other != names);
        let default = match default {
            None => None,
            Some(other) => Some(self.issue(&other, &TlsSpec::default(), now)?.pem()),
        };
        let named = self.issue(&names, spec, now)?.pem();
        Ok(Files {
            names,
            named,
            default,
        })
    }

    fn issue(&self, names: &[String], spec: &TlsSpec, now: Timestamp) -> Result<Issued, LabError> {
        let words = spec.certificate.clone().unwrap_or_default();
        let key = KeyPair::generate().map_err(failed)?;
        let own = self.constrained(&words, now)?;
        let between = own.as_ref().unwrap_or(&self.intermediate);
        let issuer = spec.issuer.unwrap_or_default();
        let mut params = params(names, spec, &words, now)?;
        let (made, signer, above) = match issuer {
            Issuer::Box => {
                params.custom_extensions.push(issuer_url());
                let made = params.signed_by(&key, between).map_err(failed)?;
                (made, between.key(), Some(between))
            }
            Issuer::Private => {
                let made = params.signed_by(&key, &self.private).map_err(failed)?;
                (made, self.private.key(), Some(&self.private))
            }
            Issuer::Itself => {
                params.use_authority_key_identifier_extension = false;
                (params.self_signed(&key).map_err(failed)?, &key, None)
            }
        };
        let sign = |bytes: &[u8]| signer.sign(bytes).map_err(failed);
        let whole = altered(made.der(), &words, sign)?;
        let ocsp = match above {
            Some(above) => {
                let word = words.staple.unwrap_or_default();
                staple::response(word, &whole, above.der(), now, sign)?
            }
            None => None,
        };
        let mut chain = vec![CertificateDer::from(shaped(whole, words.form))];
        match issuer {
            Issuer::Box => self.add_links(&mut chain, between, &words, now)?,
            // The root is sent along, as in-house setups do: nothing is missing but trust.
            Issuer::Private => chain.push(self.private.der().clone()),
            Issuer::Itself => {}
        }
        Ok(Issued { chain, key, ocsp })
    }

    /// An intermediate for one host, that may issue for some names only.
    fn constrained(
        &self,
        words: &CertificateSpec,
        now: Timestamp,
    ) -> Result<Option<Authority>, LabError> {
        if words.permits.is_none() && words.excludes.is_none() {
            return Ok(None);
        }
        let subtrees = |names: &Option<Vec<String>>| {
            let names = names.iter().flatten().cloned();
            names.map(GeneralSubtree::DnsName).collect()
        };
        let name = "Bellwether Lab Constrained Intermediate";
        let mut params = authority(name, now, BasicConstraints::Constrained(0))?;
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: subtrees(&words.permits),
            excluded_subtrees: subtrees(&words.excludes),
        });
        let key = KeyPair::generate().map_err(failed)?;
        CertifiedIssuer::signed_by(params, key, &self.root)
            .map(Some)
            .map_err(failed)
    }

    fn add_links(
        &self,
        chain: &mut Vec<CertificateDer<'static>>,
        between: &Authority,
        words: &CertificateSpec,
        now: Timestamp,
    ) -> Result<(), LabError> {
        let link = || between.der().clone();
        let root = || self.root.der().clone();
        match words.chain.unwrap_or_default() {
            ChainWord::Whole => chain.push(link()),
            ChainWord::LeafOnly => {}
            ChainWord::ExpiredIntermediate => chain.push(self.edition(between, now)?),
            ChainWord::BesideExpired => chain.extend([self.edition(between, now)?, link()]),
            ChainWord::WithRoot => chain.extend([link(), root()]),
            ChainWord::Unordered => chain.extend([root(), link()]),
        }
        chain.extend((0..words.more_links.unwrap_or_default()).map(|_| link()));
        Ok(())
    }

    /// The same authority with the same key in an earlier certificate, which ended yesterday.
    fn edition(
        &self,
        between: &Authority,
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, LabError> {
        let mut parts = Parts::of(between.der());
        let day = |days: i64| Timestamp::from_second(now.as_second() + days * DAY).map_err(failed);
        parts.validity = tlv(
            SEQUENCE,
            &[der::utc(day(-EDITION_DAYS)?), der::utc(day(-1)?)],
        );
        let sign = |bytes: &[u8]| self.root.key().sign(bytes).map_err(failed);
        parts.signed(sign).map(CertificateDer::from)
    }
}

/// A chain with its key and the response that goes along.
struct Issued {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
    ocsp: Option<Vec<u8>>,
}

impl Issued {
    /// As our own server takes it.
    fn ready(self) -> Result<Arc<CertifiedKey>, LabError> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let key = aws_lc_rs::sign::any_supported_type(&key).map_err(failed)?;
        let mut shown = CertifiedKey::new(self.chain, key);
        shown.ocsp = self.ocsp;
        Ok(Arc::new(shown))
    }

    /// Chain and key, as servers of others read them.
    fn pem(&self) -> String {
        let chain: String = self
            .chain
            .iter()
            .map(|der| armoured("CERTIFICATE", der))
            .collect();
        chain + &self.key.serialize_pem()
    }
}

fn params(
    names: &[String],
    spec: &TlsSpec,
    words: &CertificateSpec,
    now: Timestamp,
) -> Result<CertificateParams, LabError> {
    let raw = words.raw_names.clone().unwrap_or_default();
    let more = words.more_names.unwrap_or_default();
    let is_written_here = !raw.is_empty() || more > 0;
    let known = if is_written_here { &[] } else { names };
    let mut params = CertificateParams::new(known).map_err(failed)?;
    if is_written_here {
        params
            .custom_extensions
            .push(alternative_names(names, &raw, more));
    }
    let (begin, end) = validity(spec, now);
    params.not_before = moment(rcgen::date_time_ymd(1970, 1, 1), begin);
    params.not_after = moment(rcgen::date_time_ymd(1970, 1, 1), end);
    let first = names.first().map_or("nobody", String::as_str);
    params.distinguished_name = subject(words.subject.as_deref().unwrap_or(first));
    if let Some(organisation) = &words.organisation {
        let name = &mut params.distinguished_name;
        name.push(DnType::OrganizationName, organisation.as_str());
    }
    params.serial_number = Some(serial());
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![match words.usage.unwrap_or_default() {
        UsageWord::Server => ExtendedKeyUsagePurpose::ServerAuth,
        UsageWord::Client => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    if words.must_staple == Some(true) {
        // status_request, the extension that the server must answer.
        let feature = tlv(SEQUENCE, &[leaf(INTEGER, &[5])]);
        params
            .custom_extensions
            .push(extension(TLS_FEATURE, feature));
    }
    if let Some(count) = words.scts.filter(|count| *count > 0) {
        params
            .custom_extensions
            .push(extension(SCT_LIST, scts(count, now)));
    }
    if words.unknown_critical == Some(true) {
        let mut unknown = extension(NOBODYS, leaf(OCTET_STRING, &[]));
        unknown.set_criticality(true);
        params.custom_extensions.push(unknown);
    }
    Ok(params)
}

fn extension(oid: &[u64], content: Vec<u8>) -> CustomExtension {
    CustomExtension::from_oid_content(oid, content)
}

fn issuer_url() -> CustomExtension {
    let access = tlv(SEQUENCE, &[leaf(OID, CA_ISSUERS), leaf(0x86, ISSUER_URL)]);
    extension(AUTHORITY_INFO, tlv(SEQUENCE, &[access]))
}

/// DNS names byte for byte, and as many more below the first one's domain as are asked for.
fn alternative_names(names: &[String], raw: &[String], more: u32) -> CustomExtension {
    let first = names.first().map_or("nobody.test", String::as_str);
    let domain = first.split_once('.').map_or(first, |(_, domain)| domain);
    let added = (0..more).map(|n| format!("n{n}.{domain}"));
    let all: Vec<Vec<u8>> = names
        .iter()
        .chain(raw)
        .cloned()
        .chain(added)
        .map(|name| leaf(0x82, name.as_bytes()))
        .collect();
    extension(ALTERNATIVE_NAMES, tlv(SEQUENCE, &all))
}

/// A SignedCertificateTimestampList (RFC 6962 section 3.3) of logs that do not exist.
fn scts(count: u8, now: Timestamp) -> Vec<u8> {
    let mut list = Vec::new();
    for _ in 0..count {
        let mut one = vec![0];
        one.extend((0..32).map(|_| fastrand::u8(..)));
        one.extend(now.as_millisecond().to_be_bytes());
        one.extend([0, 0, 4, 3, 0, 64]);
        one.extend((0..64).map(|_| fastrand::u8(..)));
        list.extend(u16::try_from(one.len()).unwrap_or_default().to_be_bytes());
        list.extend(one);
    }
    let mut bytes = u16::try_from(list.len())
        .unwrap_or_default()
        .to_be_bytes()
        .to_vec();
    bytes.extend(list);
    leaf(OCTET_STRING, &bytes)
}

/// The certificate with those of its parts changed that the library would not write.
fn altered(
    der: &[u8],
    words: &CertificateSpec,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, LabError>,
) -> Result<Vec<u8>, LabError> {
    let form = words.form.unwrap_or_default();
    let key = words.key.unwrap_or_default();
    let signature = words.signature.unwrap_or_default();
    let mut parts = Parts::of(der);
    match key {
        KeyWord::P256 => {}
        KeyWord::Rsa1024 => parts.spki = rsa_1024(),
    }
    match signature {
        SignatureWord::Sha256 => {}
        SignatureWord::Sha1 => parts.algorithm = der::ecdsa_sha1(),
        SignatureWord::Md5 => parts.algorithm = der::rsa_md5(),
    }
    match form {
        FormWord::NegativeSerial => parts.serial = leaf(INTEGER, &[0x80 | fastrand::u8(..), 1]),
        FormWord::BadDate => {
            let begin = der::elements(der::content(&parts.validity))[0].to_vec();
            let end = leaf(der::UTC_TIME, b"250229000000Z");
            parts.validity = tlv(SEQUENCE, &[begin, end]);
        }
        FormWord::Nested => {
            // A length of four bytes takes any content; the innermost is empty.
            let nested = (0..NESTING).fold(Vec::new(), |inner, _| tlv(SEQUENCE, &[inner]));
            parts.subject = nested;
        }
        FormWord::DoubleExtension => {
            let names = [0x06, 0x03, 0x55, 0x1d, 0x11];
            let is_names = |e: &&Vec<u8>| e.windows(names.len()).any(|w| w == names);
            let again = parts.extensions.iter().find(is_names).cloned();
            parts.extensions.extend(again);
        }
        FormWord::WellFormed
        | FormWord::Empty
        | FormWord::Cut
        | FormWord::Garbage
        | FormWord::IndefiniteLength
        | FormWord::Trailing => {}
    }
    let untouched = key == KeyWord::P256 && signature == SignatureWord::Sha256;
    let is_whole = !matches!(
        form,
        FormWord::NegativeSerial | FormWord::BadDate | FormWord::Nested | FormWord::DoubleExtension
    );
    if untouched && is_whole {
        return Ok(der.to_vec());
    }
    parts.signed(sign)
}

/// The bytes as they are sent.
fn shaped(mut der: Vec<u8>, form: Option<FormWord>) -> Vec<u8> {
    match form.unwrap_or_default() {
        FormWord::Empty => Vec::new(),
        FormWord::Cut => {
            der.truncate(der.len() / 2);
            der
        }
        FormWord::Garbage => (0..64).map(|_| fastrand::u8(..)).collect(),
        FormWord::IndefiniteLength => {
            let mut out = vec![SEQUENCE, 0x80];
            out.extend(der::content(&der));
            out.extend([0, 0]);
            out
        }
        FormWord::Trailing => {
            der.extend([0; 10]);
            der
        }
        FormWord::WellFormed
        | FormWord::NegativeSerial
        | FormWord::BadDate
        | FormWord::Nested
        | FormWord::DoubleExtension => der,
    }
}

/// A key of 1,024 bits that is the product of no known primes.
fn rsa_1024() -> Vec<u8> {
    let mut modulus = vec![0];
    modulus.push(0x80 | fastrand::u8(..));
    modulus.extend((0..126).map(|_| fastrand::u8(..)));
    modulus.push(1 | fastrand::u8(..));
    let exponent = leaf(INTEGER, &[1, 0, 1]);
    let key = tlv(SEQUENCE, &[leaf(INTEGER, &modulus), exponent]);
    let algorithm = tlv(SEQUENCE, &[leaf(OID, RSA), leaf(0x05, &[])]);
    tlv(SEQUENCE, &[algorithm, der::bits(&key)])
}

/// What a host shows, chosen by the server name that the client sends (RFC 6066 section 3).
#[derive(Debug)]
pub(crate) struct Shown {
    /// One, or several of which each connection gets the next.
    named: Vec<Arc<CertifiedKey>>,
    next: AtomicUsize,
    /// What is shown without a server name, where that is another one.
    default: Option<Arc<CertifiedKey>>,
}

impl Shown {
    /// The chain that is shown by name, DER.
    pub(crate) fn chain(&self) -> Vec<Vec<u8>> {
        let chain = self.named.iter().take(1).flat_map(|named| &named.cert);
        chain.map(|cert| cert.as_ref().to_vec()).collect()
    }

    fn choose(&self, sni: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        match (&self.default, sni) {
            (Some(default), None) => Some(default),
            (Some(_) | None, _) => {
                let turn = self.next.fetch_add(1, Ordering::Relaxed);
                self.named.get(turn % self.named.len().max(1))
            }
        }
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name()).map(Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2024-10-01T00:00:00Z";

    fn shown(words: &str) -> Shown {
        let now: Timestamp = NOW.parse().unwrap();
        let text = format!("{{ names: [www.svc.test], {words} }}");
        let spec: TlsSpec = serde_saphyr::from_str(&text).unwrap();
        Authorities::new(now).unwrap().certify(&spec, now).unwrap()
    }

    #[track_caller]
    fn lengths(words: &str, count: usize) {
        let shown = shown(words);
        assert_eq!(shown.named[0].cert.len(), count, "{words}");
    }

    #[test]
    fn the_default_certificate_is_shown_without_a_server_name() {
        let shown = shown("without_sni: [default.test]");
        let is_named = |sni| Arc::ptr_eq(shown.choose(sni).unwrap(), &shown.named[0]);
        assert!(is_named(Some("www.svc.test")));
        assert!(is_named(Some("stranger.test")));
        assert!(is_named(Some("default.test")));
        assert!(!is_named(None));
        let same = self::shown("without_sni: [www.svc.test]");
        assert!(same.default.is_none());
    }

    #[test]
    fn chains() {
        lengths("issuer: box", 2);
        lengths("issuer: private", 2);
        lengths("issuer: self", 1);
        lengths("certificate: { chain: leaf_only }", 1);
        lengths("certificate: { chain: expired_intermediate }", 2);
        lengths("certificate: { chain: beside_expired }", 3);
        lengths("certificate: { chain: with_root, more_links: 7 }", 10);
        lengths("certificate: { excludes: [bar.svc.test] }", 2);
    }

    #[test]
    fn every_form_has_its_bytes() {
        let bytes = |form: &str| {
            let shown = shown(&format!("certificate: {{ form: {form} }}"));
            shown.named[0].cert[0].to_vec()
        };
        let is_sequence = |der: &[u8]| {
            let all = der::elements(der);
            all.len() == 1 && all[0][0] == SEQUENCE
        };
        for form in [
            "well_formed",
            "negative_serial",
            "bad_date",
            "nested",
            "double_extension",
        ] {
            assert!(is_sequence(&bytes(form)), "{form}");
        }
        assert!(bytes("empty").is_empty());
        assert_eq!(bytes("garbage").len(), 64);
        assert_eq!(bytes("indefinite_length")[..2], [SEQUENCE, 0x80]);
        assert!(bytes("nested").len() > NESTING * 2);
        let serial = Parts::of(&bytes("negative_serial")).serial;
        assert!(serial[2] & 0x80 != 0);
        let has = |text: &[u8], form| bytes(form).windows(text.len()).any(|w| w == text);
        assert!(has(b"250229000000Z", "bad_date"));
    }

    #[test]
    fn what_goes_along() {
        assert!(
            shown("certificate: { staple: good }").named[0]
                .ocsp
                .is_some()
        );
        assert!(
            shown("certificate: { must_staple: true }").named[0]
                .ocsp
                .is_none()
        );
        let turning = shown("certificate: { rotates: true }");
        let first = turning.choose(None).unwrap().cert[0].clone();
        assert_ne!(turning.choose(None).unwrap().cert[0], first);
        let many = shown("certificate: { more_names: 10000 }");
        assert!(many.named[0].cert[0].len() > 100_000);
    }
}
