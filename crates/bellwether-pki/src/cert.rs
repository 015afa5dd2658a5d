//! One certificate, read as far as it can be.

use std::net::IpAddr;

use bellwether_model::text::{inert, inert_bytes};
use bellwether_model::tls::CertSeen;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Extension};
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::der::{Reader, Skeleton, sequence};
use crate::key::{KeyKind, signature_name};
use crate::signature::{Check, Signed, check};

/// Largest certificate that is parsed, bytes. Real ones have 1 to 4 KiB; rustls takes no handshake
/// message above 64 KiB.
const CERT_LEN_MAX: usize = 64 * 1024;
/// Names kept of one certificate. A large CDN's has some hundred; a hostile one 10,000.
const NAMES_MAX: usize = 256;
/// Longest text kept of a name, characters: a domain name has at most 253.
const TEXT_LEN_MAX: usize = 256;
/// Longest distinguished name kept, characters.
const DN_LEN_MAX: usize = 512;
/// `id-pe-tlsfeature`.
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";
/// URLs kept of authority information access.
const URLS_MAX: usize = 4;

/// A certificate with what judging needs besides what is shown.
pub(crate) struct Cert<'a> {
    pub(crate) der: &'a [u8],
    pub(crate) skeleton: Option<Skeleton<'a>>,
    pub(crate) seen: CertSeen,
    /// DNS names as they stand in the certificate, all of them.
    pub(crate) dns_names: Vec<String>,
    /// IP addresses, all of them.
    pub(crate) addresses: Vec<IpAddr>,
    /// The alternative names could not be read in full.
    pub(crate) names_unreadable: bool,
    /// Extended key usage, if there: does it take servers?
    pub(crate) serves: Option<bool>,
    /// Key usage, if there: may it sign certificates?
    pub(crate) signs_certificates: Option<bool>,
    pub(crate) key: KeyKind,
    pub(crate) authority_key_id: Option<&'a [u8]>,
    pub(crate) subject_key_id: Option<&'a [u8]>,
    /// Organisations of the issuer.
    pub(crate) issuer_organisations: Vec<String>,
}

impl<'a> Cert<'a> {
    /// Reads what can be read; never fails.
    pub(crate) fn read(der: &'a [u8]) -> Self {
        let mut cert = Self::blank(der);
        if der.is_empty() {
            cert.complain("it is empty");
            return cert;
        }
        if der.len() > CERT_LEN_MAX {
            cert.complain(&format!("it is larger than {CERT_LEN_MAX} bytes"));
            return cert;
        }
        match X509Certificate::from_der(der) {
            Ok((rest, parsed)) => {
                cert.take_parsed(&parsed);
                cert.check_names();
                if !rest.is_empty() {
                    cert.complain(&format!("{} bytes follow its end", rest.len()));
                }
            }
            Err(error) => {
                cert.complain(&words(&error.to_string()));
                cert.take_parts();
            }
        }
        cert.seen.self_signed = cert.is_self_signed();
        cert
    }

    /// Nothing but its hash, its size and its skeleton.
    pub(crate) fn blank(der: &'a [u8]) -> Self {
        let skeleton = (der.len() <= CERT_LEN_MAX)
            .then(|| Skeleton::read(der))
            .flatten();
        let key = skeleton
            .as_ref()
            .map_or(KeyKind::Unreadable, |s| KeyKind::of(s.spki));
        let seen = CertSeen {
            sha256: hex(&Sha256::digest(der)),
            size: der.len(),
            subject: String::new(),
            issuer: String::new(),
            serial: String::new(),
            not_before: None,
            not_after: None,
            names: Vec::new(),
            addresses: Vec::new(),
            is_ca: false,
            self_signed: false,
            key: key.to_string(),
            signature: skeleton
                .as_ref()
                .map(|s| signature_name(s.signature_algorithm))
                .unwrap_or_default(),
            scts: 0,
            must_staple: false,
            issuer_urls: Vec::new(),
            malformed: None,
            der: None,
        };
        Self {
            der,
            skeleton,
            seen,
            dns_names: Vec::new(),
            addresses: Vec::new(),
            names_unreadable: false,
            serves: None,
            signs_certificates: None,
            key,
            authority_key_id: None,
            subject_key_id: None,
            issuer_organisations: Vec::new(),
        }
    }

    /// Everything, from a certificate that the parser accepts.
    fn take_parsed(&mut self, parsed: &X509Certificate<'a>) {
        self.seen.subject = distinguished_name(parsed.subject());
        self.seen.issuer = distinguished_name(parsed.issuer());
        self.issuer_organisations = organisations_of(parsed.issuer());
        self.take_serial(parsed.raw_serial());
        let validity = parsed.validity();
        self.seen.not_before = self.timestamp(validity.not_before, "begin");
        self.seen.not_after = self.timestamp(validity.not_after, "end");
        let mut known = Vec::new();
        for extension in parsed.extensions() {
            if known.contains(&&extension.oid) {
                self.complain(&format!("extension {} stands twice", extension.oid));
            }
            known.push(&extension.oid);
            self.take_extension(extension);
        }
    }

    /// The parser takes what is no name for an empty one.
    fn check_names(&mut self) {
        let Some((issuer, subject)) = self.skeleton.as_ref().map(|s| (s.issuer, s.subject)) else {
            return;
        };
        for (what, name) in [("subject", subject), ("issuer", issuer)] {
            if let Err(complaint) = crate::strict::check_name(name) {
                self.complain(&format!("its {what}: {complaint}"));
            }
        }
    }

    /// What stands in a certificate that the parser refuses, part by part.
    fn take_parts(&mut self) {
        let Some(skeleton) = &self.skeleton else {
            return;
        };
        let name = |content: &[u8]| {
            let der = sequence(content);
            X509Name::from_der(&der)
                .map(|(_, name)| (distinguished_name(&name), organisations_of(&name)))
                .unwrap_or_default()
        };
        let mut times = Reader::new(skeleton.validity);
        let mut time = || {
            let element = times.element()?;
            let (_, time) = ASN1Time::from_der(element.whole).ok()?;
            timestamp_of(time)
        };
        let (not_before, not_after) = (time(), time());
        let (subject, _) = name(skeleton.subject);
        let (issuer, organisations) = name(skeleton.issuer);
        let serial = skeleton.serial;
        self.seen.subject = subject;
        self.seen.issuer = issuer;
        self.issuer_organisations = organisations;
        self.seen.not_before = not_before;
        self.seen.not_after = not_after;
        self.names_unreadable = true;
        self.take_serial(serial);
    }

    fn take_serial(&mut self, serial: &[u8]) {
        // At most 20 octets (RFC 5280 section 4.1.2.2); more than 40 are not worth showing.
        self.seen.serial = hex(&serial[..serial.len().min(40)]);
        if serial.first().is_some_and(|b| b & 0x80 != 0) {
            self.complain("its serial number is negative");
        }
    }

    fn take_extension(&mut self, extension: &X509Extension<'a>) {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                for name in &names.general_names {
                    self.take_name(name);
                }
            }
            ParsedExtension::BasicConstraints(constraints) => self.seen.is_ca = constraints.ca,
            ParsedExtension::KeyUsage(usage) => {
                self.signs_certificates = Some(usage.key_cert_sign());
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                self.serves = Some(usage.any || usage.server_auth);
            }
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.authority_key_id = id.key_identifier.as_ref().map(|id| id.0);
            }
            ParsedExtension::SubjectKeyIdentifier(id) => self.subject_key_id = Some(id.0),
            ParsedExtension::AuthorityInfoAccess(access) => {
                // id-ad-caIssuers (RFC 5280 section 4.2.2.1).
                let issuers = access
                    .iter()
                    .filter(|d| d.access_method.to_id_string() == "1.3.6.1.5.5.7.48.2");
                let urls = issuers.filter_map(|d| match &d.access_location {
                    GeneralName::URI(url) => Some(inert(url, TEXT_LEN_MAX)),
                    _ => None,
                });
                self.seen.issuer_urls = urls.take(URLS_MAX).collect();
            }
            ParsedExtension::SCT(list) => self.seen.scts = list.len(),
            ParsedExtension::ParseError { .. } if !extension.critical && !is_read(extension) => {}
            ParsedExtension::ParseError { error } => {
                // Subject alternative name.
                if extension.oid.to_id_string() == "2.5.29.17" {
                    self.names_unreadable = true;
                }
                let error = words(&error.to_string());
                self.complain(&format!("extension {}: {error}", extension.oid));
            }
            // What other extensions say is not shown; whether a critical one is known, the path
            // verification asks.
            _ if extension.oid.to_id_string() == TLS_FEATURE => {
                self.seen.must_staple = demands_staple(extension.value);
            }
            _ => {}
        }
    }

    fn take_name(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => {
                if self.seen.names.len() < NAMES_MAX {
                    self.seen.names.push(inert(name, TEXT_LEN_MAX));
                }
                self.dns_names.push((*name).to_owned());
            }
            GeneralName::IPAddress(bytes) => match address(bytes) {
                Some(address) => {
                    if self.seen.addresses.len() < NAMES_MAX {
                        self.seen.addresses.push(address);
                    }
                    self.addresses.push(address);
                }
                None => self.complain(&format!("an IP address of {} bytes", bytes.len())),
            },
            GeneralName::Invalid(_, bytes) => {
                let shown = inert_bytes(bytes, 64);
                self.complain(&format!("an alternative name that is none: {shown}"));
            }
            _ => {}
        }
    }

    fn timestamp(&mut self, time: ASN1Time, which: &str) -> Option<Timestamp> {
        let stamp = timestamp_of(time);
        if stamp.is_none() {
            self.complain(&format!("the {which} of its validity is no time"));
        }
        stamp
    }

    fn complain(&mut self, complaint: &str) {
        self.seen
            .malformed
            .get_or_insert_with(|| complaint.to_owned());
    }

    /// Same name on both sides: it may end a path.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.skeleton
            .as_ref()
            .is_some_and(|s| s.issuer == s.subject)
    }

    fn is_self_signed(&self) -> bool {
        let own = self.skeleton.as_ref().filter(|s| s.issuer == s.subject);
        own.is_some_and(|s| check(&Signed::of(s), s.spki) != Check::Bad)
    }
}

/// Extensions that clients read: what is ill-formed in others, nobody sees unless they are critical.
const READ: [&str; 11] = [
    "1.3.6.1.5.5.7.1.1", // authority information access
    "2.5.29.14",         // subject key identifier
    "2.5.29.15",         // key usage
    "2.5.29.17",         // subject alternative name
    "2.5.29.19",         // basic constraints
    "2.5.29.30",         // name constraints
    "2.5.29.32",         // certificate policies
    "2.5.29.35",         // authority key identifier
    "2.5.29.36",         // policy constraints
    "2.5.29.37",         // extended key usage
    "2.5.29.54",         // inhibit any policy
];

fn is_read(extension: &X509Extension<'_>) -> bool {
    READ.contains(&extension.oid.to_id_string().as_str())
}

/// The last day of the year 9999 stands for "no end" (RFC 5280 section 4.1.2.5), and lies behind
/// what our timestamps reach.
fn timestamp_of(time: ASN1Time) -> Option<Timestamp> {
    let second = time.timestamp();
    if second > Timestamp::MAX.as_second() {
        return Some(Timestamp::MAX);
    }
    Timestamp::from_second(second).ok()
}

/// Is `status_request` (5) among the features (RFC 7633 section 4)?
fn demands_staple(features: &[u8]) -> bool {
    let mut outer = Reader::new(features);
    let Some(list) = outer.element() else {
        return false;
    };
    let mut reader = Reader::new(list.content);
    std::iter::from_fn(|| reader.element()).any(|feature| feature.content == [5])
}

pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok()
}

/// The organisations in the content of a name.
pub(crate) fn organisations(content: &[u8]) -> Vec<String> {
    let der = sequence(content);
    X509Name::from_der(&der)
        .map(|(_, name)| organisations_of(&name))
        .unwrap_or_default()
}

fn organisations_of(name: &X509Name<'_>) -> Vec<String> {
    name.iter_organization()
        .filter_map(|o| o.as_str().ok().map(str::to_owned))
        .collect()
}

/// A name that stands by itself; what cannot be read is shown as bytes.
pub(crate) fn name_text(der: &[u8]) -> String {
    match X509Name::from_der(der) {
        Ok((_, name)) => distinguished_name(&name),
        Err(_) => inert_bytes(der, TEXT_LEN_MAX),
    }
}

/// The string form of RFC 4514: last component first, special characters escaped.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|rdn| rdn.iter().map(attribute).collect::<Vec<_>>().join("+"))
        .collect();
    parts.reverse();
    let text = parts.join(",");
    if text.chars().count() > DN_LEN_MAX {
        return text.chars().take(DN_LEN_MAX).chain(['…']).collect();
    }
    text
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let label = match oid.as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        other => other,
    };
    let value = match attribute.as_str() {
        Ok(text) => inert(text, TEXT_LEN_MAX),
        Err(_) => inert_bytes(attribute.as_slice(), TEXT_LEN_MAX),
    };
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        // `inert` has doubled backslashes already, which is this form's way too.
        if matches!(c, ',' | '+' | '"' | '<' | '>' | ';') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    format!("{label}={escaped}")
}

/// A library's words, harmless and short.
fn words(text: &str) -> String {
    let said = inert(text, TEXT_LEN_MAX);
    // How nom says that bytes are missing.
    if said.contains("(Eof)") || said.contains("Incomplete") {
        return "it is cut off, or no certificate at all".to_owned();
    }
    // Names of the parser's own parts tell nobody anything.
    if said.contains("NomError") || said.contains("Parsing Error") {
        return "its encoding breaks the rules of DER".to_owned();
    }
    said
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
