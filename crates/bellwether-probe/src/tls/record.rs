//! A verifier that writes down and lets pass: the verdict is made afterwards, from the facts.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

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
#[derive(Debug, Default)]
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

/// What one handshake is to write down, and the client certificate to show in it.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    shown: RefCell<Shown>,
    client: Option<Arc<CertifiedKey>>,
}

thread_local! {
    /// Whose handshake this thread works on. A configuration serves many, and our library names
    /// none of them to its verifier.
    static CURRENT: RefCell<Option<Rc<Recorder>>> = const { RefCell::new(None) };
}

impl Recorder {
    pub(crate) fn new(client: Option<Arc<CertifiedKey>>) -> Rc<Self> {
        Rc::new(Self {
            shown: RefCell::default(),
            client,
        })
    }

    /// What was written down.
    pub(crate) fn take(&self) -> Shown {
        self.shown.take()
    }

    /// Runs a handshake of which everything is written down here.
    pub(crate) fn over<F: Future>(self: Rc<Self>, handshake: F) -> impl Future<Output = F::Output> {
        // On the heap: it is large, and would lie in every future above this one.
        let mut handshake = Box::pin(handshake);
        poll_fn(move |cx| {
            let _at_work = AtWork::begin(self.clone());
            handshake.as_mut().poll(cx)
        })
    }

    /// The signature check parses the certificate, which may be garbage: its result is a fact.
    fn note_proof(&self, check: impl FnOnce() -> Result<HandshakeSignatureValid, Error>) {
        let proved = catch_unwind(AssertUnwindSafe(check)).is_ok_and(|result| result.is_ok());
        self.shown.borrow_mut().proved = Some(proved);
    }
}

/// For as long as it lives, this thread works on one handshake.
struct AtWork {
    before: Option<Rc<Recorder>>,
}

impl AtWork {
    fn begin(recorder: Rc<Recorder>) -> Self {
        let before = CURRENT.replace(Some(recorder));
        Self { before }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        CURRENT.set(self.before.take());
    }
}

fn current() -> Result<Rc<Recorder>, Error> {
    let current = CURRENT.with_borrow(Option::clone);
    current.ok_or_else(|| Error::General("a handshake that nobody writes down".to_owned()))
}

/// Has all that a server shows written down, and accepts all of it.
#[derive(Debug)]
pub(crate) struct Witness {
    provider: Arc<CryptoProvider>,
}

impl Witness {
    pub(crate) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider }
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let recorder = current()?;
        let mut shown = recorder.shown.borrow_mut();
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
        current()?.note_proof(|| verify_tls12_signature(message, cert, dss, algorithms));
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        current()?.note_proof(|| verify_tls13_signature(message, cert, dss, algorithms));
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
impl ResolvesClientCert for Witness {
    fn resolve(
        &self,
        root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let recorder = current().ok()?;
        let kept = root_hint_subjects.iter().take(AUTHORITIES_MAX);
        let mut shown = recorder.shown.borrow_mut();
        shown.authorities = Some(kept.map(|name| name.to_vec()).collect());
        shown.authorities_len = root_hint_subjects.len();
        recorder.client.clone()
    }

    fn has_certs(&self) -> bool {
        current().is_ok_and(|recorder| recorder.client.is_some())
    }
}
