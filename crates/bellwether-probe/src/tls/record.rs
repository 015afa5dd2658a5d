//! A verifier that writes down and lets pass: the verdict is made afterwards, from the facts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

/// Names kept of the authorities for client certificates.
const AUTHORITIES_MAX: usize = 32;
/// Certificates kept of a chain: public ones have 2 to 5, and webpki stops at 6 links.
const CHAIN_LEN_MAX: usize = 20;

/// Largest OCSP response kept, bytes; real ones have 300 to 3,000.
const STAPLE_LEN_MAX: usize = 64 * 1024;

/// What the server showed in one handshake.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// The chain as sent, at most [`CHAIN_LEN_MAX`] certificates.
    pub(crate) chain: Vec<Vec<u8>>,
    /// Certificates sent.
    pub(crate) chain_len: usize,
    /// The OCSP response, if one came and is of a bearable size.
    pub(crate) staple: Option<Vec<u8>>,
    pub(crate) stapled: bool,
    /// Names of the authorities whose client certificates the server takes, as DER, at most
    /// [`AUTHORITIES_MAX`]; `None` if it asked for none.
    pub(crate) authorities: Option<Vec<Vec<u8>>>,
    /// How many it names.
    pub(crate) authorities_len: usize,
    /// Did the server prove that it holds the key? `None` before it tried.
    pub(crate) proved: Option<bool>,
}

/// Writes down what one server shows, and accepts all of it.
#[derive(Debug)]
pub(crate) struct Recorder {
    shown: Mutex<Shown>,
    provider: Arc<CryptoProvider>,
    /// The client certificate to show if the server asks.
    client: Option<Arc<CertifiedKey>>,
}

impl Recorder {
    pub(crate) fn new(provider: Arc<CryptoProvider>, client: Option<Arc<CertifiedKey>>) -> Self {
        Self {
            shown: Mutex::default(),
            provider,
            client,
        }
    }

    pub(crate) fn shown(&self) -> Shown {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The signature check parses the certificate, which may be garbage: its result is a fact.
    fn note_proof(&self, check: impl FnOnce() -> Result<HandshakeSignatureValid, Error>) {
        let proved = catch_unwind(AssertUnwindSafe(check)).is_ok_and(|result| result.is_ok());
        self.lock().proved = Some(proved);
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut shown = self.lock();
        shown.chain_len = 1 + intermediates.len();
        shown.chain = std::iter::once(end_entity)
            .chain(intermediates)
            .take(CHAIN_LEN_MAX)
            .map(|cert| cert.as_ref().to_vec())
            .collect();
        shown.stapled = !ocsp_response.is_empty();
        let bearable = 1..=STAPLE_LEN_MAX;
        shown.staple = bearable
            .contains(&ocsp_response.len())
            .then(|| ocsp_response.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.note_proof(|| verify_tls12_signature(message, cert, dss, algorithms));
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.note_proof(|| verify_tls13_signature(message, cert, dss, algorithms));
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// That a certificate was asked for is a fact; one that is configured is shown whichever authorities
/// the server names, as common clients do: what it says of it is the evidence.
impl ResolvesClientCert for Recorder {
    fn resolve(
        &self,
        root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let kept = root_hint_subjects.iter().take(AUTHORITIES_MAX);
        let mut shown = self.lock();
        shown.authorities = Some(kept.map(|name| name.to_vec()).collect());
        shown.authorities_len = root_hint_subjects.len();
        self.client.clone()
    }

    fn has_certs(&self) -> bool {
        self.client.is_some()
    }
}
