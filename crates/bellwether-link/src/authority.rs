//! The hub's own authority: it signs the hub's certificate and those of agents, and nobody else
//! believes it.
//!
//! Key and certificate stand in one file, so that either both are there or none. An agent's key is
//! made on the agent and never leaves it: of its request only the public key is taken, and what the
//! certificate says is the hub's word alone.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_model::Digest;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};

use crate::names::SERVER_NAME;

/// The file in the authority's directory that holds its key and its certificate.
pub const FILE: &str = "authority.pem";

/// How long the authority lives, days: who renews it enrols every agent anew, which nobody wants to
/// do often, and it is believed by its hash alone.
pub const AUTHORITY_DAYS: i64 = 3_653;

/// How long an agent's certificate lives: one that is stolen in silence is worth a month at most, and
/// an agent that was off for three weeks still comes back by itself.
pub const AGENT_LIFE: Duration = Duration::from_secs(30 * 86_400);

/// From when authority and hub are valid, seconds since 1970: 2020. An agent whose clock is years
/// behind is to link all the same, and be told of it.
const BEGINS: i64 = 1_577_836_800;

/// Seconds of a day. So long before it is made an agent's certificate is valid: a hub's clock that is
/// set back by hours does not lock out who came just now.
const DAY: i64 = 86_400;

/// What stands before an agent's id in its certificate.
const AGENT_URI: &str = "bellwether:agent/";

/// Longest request that is looked at, bytes: ours have some 250.
const REQUEST_LEN_MAX: usize = 4_096;

/// Largest file that is read, bytes: ours has a kilobyte.
const FILE_LEN_MAX: u64 = 64 * 1024;

/// Bytes of an uncompressed point of P-256 (SEC 1 section 2.3.3).
const POINT_LEN: usize = 65;

/// Why there is no authority, or it does not sign.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Its file.
    #[error("failed to {what} `{path}`")]
    File {
        /// What was to be done with it.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why it could not.
        #[source]
        source: io::Error,
    },
    /// What the file holds.
    #[error("`{path}` holds no key with its certificate: {why}")]
    Content {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A request for a certificate that is none that we sign.
    #[error("a request that is not signed: {0}")]
    Request(String),
    /// Making a key, or signing.
    #[error("failed to make a certificate")]
    Signing(#[from] rcgen::Error),
    /// A certificate that TLS does not take.
    #[error("failed to set up TLS")]
    Tls(#[from] rustls::Error),
}

/// The hub's authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A certificate that was made for an agent.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate, and the authority's above it, DER.
    pub chain: Vec<Vec<u8>>,
    /// SHA-256 of the certificate.
    pub fingerprint: Digest,
    /// When it ends.
    pub ends: Timestamp,
}

/// A certificate with its key, as TLS takes them.
pub struct ServerIdentity {
    /// The certificate, and the authority's above it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key.
    pub key: PrivateKeyDer<'static>,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// No key can be made.
    pub fn generate(now: Timestamp) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params("bellwether hub authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid(
            &mut params,
            &key,
            BEGINS,
            now.as_second() + AUTHORITY_DAYS * DAY,
        );
        let certificate = params.self_signed(&key)?.der().clone();
        Self::of(key, certificate)
    }

    /// The one of a directory; it is made where there is none.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds something else.
    pub fn open(dir: &Path, now: Timestamp) -> Result<Self, AuthorityError> {
        let path = dir.join(FILE);
        match read(&path) {
            Ok(pem) => {
                only_ours(&path)?;
                Self::parse(&pem).map_err(|why| AuthorityError::Content { path, why })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let authority = Self::generate(now)?;
                let written = write(dir, &path, authority.to_pem().as_bytes());
                written.map_err(|source| AuthorityError::File {
                    what: "write the authority's file",
                    path,
                    source,
                })?;
                Ok(authority)
            }
            Err(source) => Err(AuthorityError::File {
                what: "read the authority's file",
                path,
                source,
            }),
        }
    }

    fn of(key: KeyPair, certificate: CertificateDer<'static>) -> Result<Self, AuthorityError> {
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self {
            issuer,
            certificate,
        })
    }

    fn parse(pem: &[u8]) -> Result<Self, String> {
        let words = |error: rustls_pki_types::pem::Error| error.to_string();
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(words)?;
        let certificate = CertificateDer::from_pem_slice(pem).map_err(words)?;
        let key = KeyPair::try_from(&key).map_err(|error| error.to_string())?;
        let public = public_key(&certificate)?;
        // A key of another certificate would sign what nobody believes.
        if !public.ends_with(key.der_bytes()) {
            return Err("the key is not that of the certificate".to_owned());
        }
        Self::of(key, certificate).map_err(|error| error.to_string())
    }

    fn to_pem(&self) -> String {
        self.issuer.key().serialize_pem() + &pem(&self.certificate)
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of its certificate: what a token names, and an agent believes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        digest(&self.certificate)
    }

    /// A certificate for the hub itself, with a new key that is nowhere written down.
    ///
    /// # Errors
    /// No key can be made.
    pub fn server(&self, now: Timestamp) -> Result<ServerIdentity, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params("bellwether hub");
        params.subject_alt_names = vec![SanType::DnsName(SERVER_NAME.try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        valid(
            &mut params,
            &key,
            BEGINS,
            now.as_second() + AUTHORITY_DAYS * DAY,
        );
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(ServerIdentity {
            chain: vec![certificate.der().clone(), self.certificate.clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }

    /// A certificate for the agent of this id. Of the request (PKCS #10, DER) only the public key is
    /// taken; that whoever asks has the private one, its signature shows.
    ///
    /// # Errors
    /// It is no request for a key of P-256, or its signature is wrong.
    pub fn agent(
        &self,
        request: &[u8],
        agent: &str,
        now: Timestamp,
    ) -> Result<Issued, AuthorityError> {
        if request.len() > REQUEST_LEN_MAX {
            return Err(AuthorityError::Request(format!(
                "it has {} bytes, above {REQUEST_LEN_MAX}",
                request.len()
            )));
        }
        let request = CertificateSigningRequestParams::from_der(&request.into());
        let request = request.map_err(|error| AuthorityError::Request(error.to_string()))?;
        let key = request.public_key;
        if key.algorithm() != &PKCS_ECDSA_P256_SHA256 || key.der_bytes().len() != POINT_LEN {
            let why = "its key is not one of P-256".to_owned();
            return Err(AuthorityError::Request(why));
        }
        let mut params = params("bellwether agent");
        params.subject_alt_names = vec![SanType::URI(agent_uri(agent).try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let life = i64::try_from(AGENT_LIFE.as_secs()).unwrap_or(i64::MAX);
        let ends = now.as_second() + life;
        valid(&mut params, &key, now.as_second() - DAY, ends);
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            fingerprint: digest(certificate.der()),
            chain: vec![certificate.der().to_vec(), self.certificate.to_vec()],
            ends: Timestamp::from_second(ends).unwrap_or(now),
        })
    }
}

/// SHA-256 of a certificate.
#[must_use]
pub fn digest(certificate: &[u8]) -> Digest {
    Digest(Sha256::digest(certificate).into())
}

/// The id that stands in an agent's certificate; `None` where none does. Says nothing of whether the
/// certificate is to be believed.
#[must_use]
pub fn agent_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let mut names = certificate.valid_uri_names();
    let written = names.find_map(|name| name.strip_prefix(AGENT_URI))?;
    unescaped(written)
}

/// An id as a URI. Names of vantages may hold what URIs may not (RFC 3986 section 2).
pub(crate) fn agent_uri(agent: &str) -> String {
    let mut uri = AGENT_URI.to_owned();
    for byte in agent.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_./".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

fn unescaped(written: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(written.len());
    let mut rest = written.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (pair, behind) = rest.split_at_checked(2)?;
        let pair = std::str::from_utf8(pair).ok()?;
        bytes.push(u8::from_str_radix(pair, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

/// What all of ours have in common.
fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    params.use_authority_key_identifier_extension = true;
    params
}

/// When a certificate is valid, seconds since 1970. Its number is unlike any other of the same issuer
/// (RFC 5280 section 4.1.2.2): a hash of its key, which nobody else has, and of its end.
fn valid(params: &mut CertificateParams, key: &impl PublicKeyData, from: i64, to: i64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = |at: i64| Duration::from_secs(u64::try_from(at).unwrap_or_default());
    params.not_before = epoch + since(from);
    params.not_after = epoch + since(to);
    let hash = Sha256::new().chain_update(key.der_bytes());
    let mut serial = hash.chain_update(to.to_le_bytes()).finalize()[..16].to_vec();
    // Positive, and no leading zero that an encoder might drop.
    serial[0] = serial[0] & 0x3f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
}

/// The public key of a certificate, as it is encoded.
fn public_key(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, String> {
    let parsed = webpki::EndEntityCert::try_from(certificate).map_err(|error| error.to_string())?;
    Ok(parsed.subject_public_key_info().to_vec())
}

/// A certificate as text (RFC 7468).
fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(FILE_LEN_MAX)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Takes away what others may do with a file: a backup that was put back often lets everybody read.
fn only_ours(path: &Path) -> Result<(), AuthorityError> {
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(|source| {
        AuthorityError::File {
            what: "keep others from reading",
            path: path.to_owned(),
            source,
        }
    })
}

/// Writes a file that only we may read: whole, or not at all.
fn write(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request as an agent makes it, with more in it than it is given.
    fn request(key: &KeyPair) -> Vec<u8> {
        let mut params =
            CertificateParams::new(vec!["hub.bellwether.internal".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.serialize_request(key).unwrap().der().to_vec()
    }

    fn now() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn it_is_made_once_and_only_we_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("link");
        let made = Authority::open(&dir, now()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(mode(&dir.join(FILE)), 0o600);
        fs::set_permissions(dir.join(FILE), Permissions::from_mode(0o644)).unwrap();
        let again = Authority::open(&dir, now()).unwrap();
        assert_eq!(again.digest(), made.digest());
        assert_eq!(mode(&dir.join(FILE)), 0o600);
        // What one signs is signed by the other.
        let key = KeyPair::generate().unwrap();
        let issued = again.agent(&request(&key), "fra/1", now()).unwrap();
        assert_eq!(issued.chain[1], made.certificate().to_vec());
    }

    #[test]
    fn a_damaged_file_is_told_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let (ours, other) = (
            Authority::generate(now()).unwrap(),
            Authority::generate(now()).unwrap(),
        );
        let crossed = ours.issuer.key().serialize_pem() + &pem(&other.certificate);
        for damaged in ["", "-----BEGIN PRIVATE KEY-----", &crossed] {
            fs::write(&path, damaged).unwrap();
            let opened = Authority::open(dir.path(), now());
            assert!(matches!(opened, Err(AuthorityError::Content { .. })));
            assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
        }
    }

    #[test]
    fn a_certificate_says_what_the_hub_says() {
        let authority = Authority::generate(now()).unwrap();
        let key = KeyPair::generate().unwrap();
        for id in ["fra/1f0c3a", "Zürich West/00", "a%2f b/1"] {
            let issued = authority.agent(&request(&key), id, now()).unwrap();
            let certificate = CertificateDer::from(issued.chain[0].clone());
            assert_eq!(agent_of(&certificate).as_deref(), Some(id));
            assert_eq!(issued.fingerprint, digest(&certificate));
            let parsed = webpki::EndEntityCert::try_from(&certificate).unwrap();
            assert_eq!(
                parsed.valid_dns_names().count(),
                0,
                "no name of its own choice"
            );
            let spki = public_key(&certificate).unwrap();
            assert!(spki.ends_with(key.der_bytes()));
        }
        assert_eq!(agent_of(authority.certificate()), None);
    }

    #[test]
    fn a_request_that_is_none_is_not_signed() {
        let authority = Authority::generate(now()).unwrap();
        let key = KeyPair::generate().unwrap();
        let good = request(&key);
        let mut forged = good.clone();
        *forged.last_mut().unwrap() ^= 1;
        let other = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let long = [good.as_slice(), &[0; REQUEST_LEN_MAX]].concat();
        for bad in [
            &forged,
            &request(&other),
            &long,
            &good[..good.len() / 2].to_vec(),
            &Vec::new(),
        ] {
            let signed = authority.agent(bad, "fra/1", now());
            assert!(matches!(signed, Err(AuthorityError::Request(_))));
        }
    }
}
