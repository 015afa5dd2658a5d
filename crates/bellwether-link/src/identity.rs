//! Who an agent is: a key that is made where the agent stands and never leaves it, and the certificate
//! that the hub gave it for that.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_model::VantageId;
use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use serde::{Deserialize, Serialize};

use crate::names::fingerprint;
use crate::private;

/// The file in an agent's data directory.
const FILE: &str = "identity.json";
/// What it says that it is.
const SCHEMA: &str = "bellwether.identity/1";

/// A key without a certificate yet.
pub struct Request {
    key: KeyPair,
    /// PKCS #10 request for it, DER in base64.
    pub text: String,
}

/// An enrolled agent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    schema: String,
    /// Where the hub is, `host:port`.
    pub hub: String,
    /// Where the agent stands.
    pub vantage: VantageId,
    /// Its id: the vantage and which enrolment.
    pub agent: Arc<str>,
    /// The certificate, and those above it up to the hub's authority, DER in base64.
    chain: Vec<String>,
    /// The private key, PKCS #8, DER in base64.
    key: String,
}

/// Why an agent cannot say who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Nobody enrolled here.
    #[error("no agent is enrolled in `{path}`")]
    Missing {
        /// The data directory.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("failed to read the agent's identity `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("failed to write the agent's identity `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It holds something else.
    #[error("the agent's identity `{path}`: {why}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// No key can be made.
    #[error("failed to make a key")]
    Key(#[from] rcgen::Error),
    /// The hub's certificate is not for this key, not for an agent, or not from its authority.
    #[error("the hub answers with a certificate that cannot be used: {0}")]
    Certificate(&'static str),
}

impl Request {
    /// Makes a key, and asks for a certificate for it.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn make() -> Result<Self, IdentityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        // What the certificate says is the hub's to choose: the request is for the key alone.
        let request = CertificateParams::default().serialize_request(&key)?;
        let text = STANDARD.encode(request.der());
        Ok(Self { key, text })
    }

    /// Who the agent is by the answer of the hub at `hub`, whose authority is known by its fingerprint.
    ///
    /// # Errors
    /// The chain is not for this key and agent, or does not end in the hub's authority.
    pub fn answered(
        self,
        hub: &str,
        vantage: VantageId,
        agent: Arc<str>,
        chain: Vec<String>,
        authority: &[u8; 32],
    ) -> Result<Identity, IdentityError> {
        let bad = IdentityError::Certificate;
        let ders = ders(&chain).ok_or(bad("it is no certificate"))?;
        let (Some(own), Some(root)) = (ders.first(), ders.get(1..).and_then(<[_]>::last)) else {
            return Err(bad("its chain is too short"));
        };
        if fingerprint(root) != *authority {
            return Err(bad("it is not from the authority that the token names"));
        }
        if bellwether_pki::read(own).malformed.is_some() {
            return Err(bad("it cannot be read"));
        }
        let stands = agent.rsplit_once('/');
        if stands.is_none_or(|(at, of)| at != vantage.as_str() || of.is_empty()) {
            return Err(bad("it is for another agent"));
        }
        let identity = Identity {
            schema: SCHEMA.to_owned(),
            hub: hub.to_owned(),
            vantage,
            agent,
            chain,
            key: STANDARD.encode(self.key.serialized_der()),
        };
        crate::client::for_link(&identity)
            .map_err(|_| bad("it is not for the key that was made"))?;
        Ok(identity)
    }
}

impl Identity {
    /// The one that is kept in a data directory.
    ///
    /// # Errors
    /// There is none, it cannot be read, or is none.
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        let path = folder.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(IdentityError::Missing {
                    path: folder.to_owned(),
                });
            }
            Err(source) => return Err(IdentityError::Read { path, source }),
        };
        let content = |why: String| IdentityError::Content {
            path: path.clone(),
            why,
        };
        let identity: Self = serde_json::from_slice(&text).map_err(|e| content(e.to_string()))?;
        if identity.schema != SCHEMA {
            return Err(content(format!("`{}` is not `{SCHEMA}`", identity.schema)));
        }
        if identity.chain().is_none_or(|chain| chain.len() < 2) || identity.key().is_none() {
            return Err(content(
                "its certificates or its key are damaged".to_owned(),
            ));
        }
        Ok(identity)
    }

    /// Keeps it in a data directory, for the owner's eyes alone. The former one stands until the new one
    /// is durable.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn store(&self, folder: &Path) -> Result<(), IdentityError> {
        let path = folder.join(FILE);
        let text = serde_json::to_vec_pretty(self).expect("an identity is plain JSON");
        let written = private::folder(folder).and_then(|()| private::write(&path, &text));
        written.map_err(|source| IdentityError::Write { path, source })
    }

    /// The certificate and those above it, DER.
    pub(crate) fn chain(&self) -> Option<Vec<Vec<u8>>> {
        ders(&self.chain)
    }

    /// The private key, PKCS #8.
    pub(crate) fn key(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.key).ok()
    }

    /// The fingerprint of the hub's authority.
    #[must_use]
    pub fn authority(&self) -> Option<[u8; 32]> {
        Some(fingerprint(self.chain()?.last()?))
    }

    /// From when until when the certificate holds.
    #[must_use]
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let chain = self.chain()?;
        let seen = bellwether_pki::read(chain.first()?);
        Some((seen.not_before?, seen.not_after?))
    }

    /// When a certificate for a new key is to be asked for: after a third of this one's life, so that
    /// two thirds are left to succeed in.
    #[must_use]
    pub fn renew_at(&self) -> Option<Timestamp> {
        let (begins, ends) = self.span()?;
        let life = ends.as_second() - begins.as_second();
        Timestamp::from_second(begins.as_second() + life / 3).ok()
    }
}

/// Logs do not hold the key.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("hub", &self.hub)
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}

fn ders(chain: &[String]) -> Option<Vec<Vec<u8>>> {
    chain
        .iter()
        .map(|text| STANDARD.decode(text).ok())
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rcgen::{BasicConstraints, CertificateSigningRequestParams, IsCa, Issuer, SanType};
    use rustls::pki_types::CertificateSigningRequestDer;

    use super::*;

    /// An authority of tests.
    pub(crate) struct Authority {
        pub(crate) der: Vec<u8>,
        issuer: Issuer<'static, KeyPair>,
    }

    impl Authority {
        pub(crate) fn make() -> Self {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let der = params.self_signed(&key).unwrap().der().to_vec();
            let issuer = Issuer::new(params, key);
            Self { der, issuer }
        }

        pub(crate) fn fingerprint(&self) -> [u8; 32] {
            fingerprint(&self.der)
        }

        /// A certificate for the hub, valid in these years, and its key.
        pub(crate) fn hub(&self, name: &str, years: (i32, i32)) -> (Vec<u8>, Vec<u8>) {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new([name.to_owned()]).unwrap();
            params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
            params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
            let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
            (der, key.serialize_der())
        }

        pub(crate) fn sign(&self, request: &str, agent: &str) -> Vec<String> {
            let request = STANDARD.decode(request).unwrap();
            let request = CertificateSigningRequestDer::from(request);
            let mut asked = CertificateSigningRequestParams::from_der(&request).unwrap();
            let uri = crate::authority::agent_uri(agent).try_into().unwrap();
            asked.params.subject_alt_names = vec![SanType::URI(uri)];
            asked.params.not_before = rcgen::date_time_ymd(2026, 1, 1);
            asked.params.not_after = rcgen::date_time_ymd(2026, 1, 31);
            let own = asked.signed_by(&self.issuer).unwrap();
            vec![STANDARD.encode(own.der()), STANDARD.encode(&self.der)]
        }
    }

    fn enrolled(authority: &Authority, agent: &str) -> Result<Identity, IdentityError> {
        let request = Request::make().unwrap();
        let chain = authority.sign(&request.text, agent);
        let fra = VantageId::new("fra");
        request.answered(
            "hub:8401",
            fra,
            agent.into(),
            chain,
            &authority.fingerprint(),
        )
    }

    #[test]
    fn an_identity_is_kept_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data");
        assert!(matches!(
            Identity::load(&folder),
            Err(IdentityError::Missing { .. })
        ));
        let first = enrolled(&Authority::make(), "fra/1").unwrap();
        first.store(&folder).unwrap();
        let second = enrolled(&Authority::make(), "fra/2").unwrap();
        second.store(&folder).unwrap();
        assert_eq!(Identity::load(&folder).unwrap(), second);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(FILE))), (0o700, 0o600));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "no drafts");
        assert!(!format!("{second:?}").contains(&second.key));
        let (begins, renew) = (second.span().unwrap().0, second.renew_at().unwrap());
        assert_eq!(renew.as_second() - begins.as_second(), 10 * 86_400);
    }

    #[test]
    fn a_damaged_identity_is_named() {
        let dir = tempfile::tempdir().unwrap();
        enrolled(&Authority::make(), "fra/1")
            .unwrap()
            .store(dir.path())
            .unwrap();
        let path = dir.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        for cut in (0..whole.len()).step_by(7) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(matches!(
                Identity::load(dir.path()),
                Err(IdentityError::Content { .. })
            ));
        }
    }

    #[test]
    fn a_certificate_for_somebody_else_is_refused() {
        let authority = Authority::make();
        let refused = |made: Result<Identity, IdentityError>| {
            assert!(
                matches!(made, Err(IdentityError::Certificate(_))),
                "{made:?}"
            );
        };
        refused(enrolled(&authority, "nyc/1"));
        let fra = || VantageId::new("fra");
        let (mine, other) = (Request::make().unwrap(), Request::make().unwrap());
        let chain = authority.sign(&other.text, "fra/1");
        let pin = authority.fingerprint();
        refused(mine.answered("hub", fra(), "fra/1".into(), chain.clone(), &pin));
        refused(other.answered("hub", fra(), "fra/1".into(), chain, &[0; 32]));
        let garbage = vec!["AAAA".to_owned(), "AAAA".to_owned()];
        let pin = fingerprint(&[0; 3]);
        refused(
            Request::make()
                .unwrap()
                .answered("hub", fra(), "fra/1".into(), garbage, &pin),
        );
    }
}
