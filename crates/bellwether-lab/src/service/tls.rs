//! TLS as a host's words say: versions, client certificates, limits.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{StoresServerSessions, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::ca::Authorities;
use crate::LabError;
use crate::scenario::{ClientAuthSpec, ClientAuthWord, H2Word, RefusalWord, TlsSpec, TlsVersion};
use crate::world::{Shared, lock};

/// A TLS server.
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    hello_max: Option<usize>,
    /// Judges the client's certificate after the handshake.
    late: Option<Arc<dyn ClientCertVerifier>>,
    clock: WorldClock,
    /// What it shows by name.
    pub(crate) chain: Vec<Vec<u8>>,
}

fn failed(e: impl std::fmt::Display) -> LabError {
    LabError::Certificate(e.to_string())
}

impl Tls {
    pub(crate) fn new(
        spec: &TlsSpec,
        h2: H2Word,
        sessions: Option<Arc<dyn StoresServerSessions>>,
        authorities: &Authorities,
        world: &Shared,
    ) -> Result<Self, LabError> {
        let now = lock(world).clock.now();
        let shown = authorities.certify(spec, now)?;
        let chain = shown.chain();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let versions: Vec<_> = spec
            .versions
            .as_deref()
            .unwrap_or(&[TlsVersion::Tls12, TlsVersion::Tls13])
            .iter()
            .map(|version| match version {
                TlsVersion::Tls12 => &rustls::version::TLS12,
                TlsVersion::Tls13 => &rustls::version::TLS13,
            })
            .collect();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(failed)?;
        let auth = spec.client_auth.clone().unwrap_or_default();
        let verifier = verifier(&auth, authorities, provider)?;
        let by_http = auth.refuses_by == Some(RefusalWord::Http);
        let late = verifier.clone().filter(|_| by_http);
        let builder = match verifier {
            None => builder.with_no_client_auth(),
            Some(strict) if by_http => builder.with_client_cert_verifier(Arc::new(Lenient(strict))),
            Some(strict) => builder.with_client_cert_verifier(strict),
        };
        let mut config = builder.with_cert_resolver(Arc::new(shown));
        let clock = WorldClock(Arc::clone(world));
        config.time_provider = Arc::new(clock.clone());
        if let Some(known) = sessions {
            config.session_storage = known;
        }
        config.send_tls13_tickets = spec.tickets.unwrap_or(2);
        let h2 = (h2 != H2Word::Off).then(|| "h2".to_owned());
        let usual = || h2.into_iter().chain(["http/1.1".to_owned()]).collect();
        let alpn: Vec<String> = spec.alpn.clone().unwrap_or_else(usual);
        config.alpn_protocols = alpn.into_iter().map(String::into_bytes).collect();
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            hello_max: spec.hello_max,
            late,
            clock,
            chain,
        })
    }

    /// Lets a ClientHello pass; never ends where it is dropped.
    pub(crate) async fn admit(&self, stream: &TcpStream) -> std::io::Result<()> {
        if let Some(max) = self.hello_max
            && hello_len(stream).await? > max
        {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    /// Shakes hands.
    pub(crate) async fn accept<S>(&self, stream: S) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.acceptor.accept(stream).await
    }

    /// Is the client's certificate refused after the handshake?
    pub(crate) fn refuses<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: &TlsStream<S>) -> bool {
        let Some(verifier) = &self.late else {
            return false;
        };
        let now = self.clock.current_time().unwrap_or_else(UnixTime::now);
        match stream.get_ref().1.peer_certificates() {
            Some([leaf, rest @ ..]) => verifier.verify_client_cert(leaf, rest, now).is_err(),
            _ => verifier.client_auth_mandatory(),
        }
    }
}

/// Length of the first record, which a ClientHello stands in.
async fn hello_len(stream: &TcpStream) -> std::io::Result<usize> {
    let mut header = [0; 5];
    loop {
        match stream.peek(&mut header).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            5 => return Ok(5 + usize::from(u16::from_be_bytes([header[3], header[4]]))),
            _ => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
        }
    }
}

fn verifier(
    auth: &ClientAuthSpec,
    authorities: &Authorities,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, LabError> {
    if auth.want == ClientAuthWord::None {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for word in &auth.trusts {
        let authority = authorities.client_authority(word)?;
        roots.add(authority.der().clone()).map_err(failed)?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match auth.want {
        ClientAuthWord::Requested => builder.allow_unauthenticated(),
        ClientAuthWord::None | ClientAuthWord::Required => builder,
    };
    builder.build().map(Some).map_err(failed)
}

/// The world's clock, as rustls asks for it.
#[derive(Clone)]
struct WorldClock(Shared);

impl std::fmt::Debug for WorldClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WorldClock")
    }
}

impl TimeProvider for WorldClock {
    fn current_time(&self) -> Option<UnixTime> {
        let second = u64::try_from(lock(&self.0).clock.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            second,
        )))
    }
}

/// Asks as another does, and takes everybody in the handshake.
#[derive(Debug)]
struct Lenient(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Lenient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
