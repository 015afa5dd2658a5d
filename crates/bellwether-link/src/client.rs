//! The agent's end of TLS: it believes one authority, and no other in the world.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::identity::Identity;
use crate::names::{ALPN, SERVER_NAME, fingerprint};

/// What [`Error`] says of a hub that is not the one meant.
const OTHER_AUTHORITY: &str = "another authority";

/// For whoever has no certificate yet, and was told by a token which authority to believe.
///
/// # Errors
/// The library for TLS cannot be set up.
pub fn for_enrolment(authority: [u8; 32]) -> Result<Arc<ClientConfig>, Error> {
    let config = believing(authority)?;
    Ok(done(config.with_no_client_auth()))
}

/// For an enrolled agent.
///
/// # Errors
/// Its certificate and key do not fit.
pub fn for_link(identity: &Identity) -> Result<Arc<ClientConfig>, Error> {
    let damaged = || Error::General("damaged certificates or key".to_owned());
    let config = believing(identity.authority().ok_or_else(damaged)?)?;
    let mut chain = identity.chain().ok_or_else(damaged)?;
    // The hub knows its own authority.
    chain.pop();
    let chain = chain.into_iter().map(CertificateDer::from).collect();
    let key = PrivatePkcs8KeyDer::from(identity.key().ok_or_else(damaged)?);
    Ok(done(config.with_client_auth_cert(chain, key.into())?))
}

/// Shakes hands with a hub over a connection that stands.
///
/// # Errors
/// The connection fails, or the hub is not the one meant ([`is_another_hub`]).
pub async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
    config: Arc<ClientConfig>,
    stream: S,
) -> std::io::Result<TlsStream<S>> {
    let name = ServerName::try_from(SERVER_NAME).expect("a constant name is well formed");
    TlsConnector::from(config).connect(name, stream).await
}

/// Did the handshake fail because the hub's certificate is from another authority than the one that is
/// believed, or for something else than a hub?
#[must_use]
pub fn is_another_hub(error: &std::io::Error) -> bool {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    matches!(inner, Some(Error::InvalidCertificate(_)))
}

/// Did the hub refuse the agent's certificate?
#[must_use]
pub fn is_refused(error: &std::io::Error) -> bool {
    use rustls::AlertDescription as Alert;
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    let Some(Error::AlertReceived(alert)) = inner else {
        return false;
    };
    [
        Alert::BadCertificate,
        Alert::UnsupportedCertificate,
        Alert::CertificateRevoked,
        Alert::CertificateExpired,
        Alert::CertificateUnknown,
        Alert::UnknownCA,
        Alert::AccessDenied,
        Alert::DecryptError,
        Alert::CertificateRequired,
    ]
    .contains(alert)
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn believing(authority: [u8; 32]) -> Result<Builder, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Pinned {
        authority,
        provider: provider.clone(),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    Ok(config)
}

fn done(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A link lasts for days; and what one link was allowed is asked anew at the next.
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// Believes a chain that leads to the authority of this fingerprint.
#[derive(Debug)]
struct Pinned {
    authority: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    /// The rules of every other client, with this one authority.
    fn rules(&self, chain: &[CertificateDer<'_>]) -> Result<Arc<WebPkiServerVerifier>, Error> {
        let root = chain.iter().find(|der| fingerprint(der) == self.authority);
        let root = root.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        let rules =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone());
        rules
            .build()
            .map_err(|_| Error::General(OTHER_AUTHORITY.to_owned()))
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let rules = self.rules(intermediates)?;
        let at = |time| {
            rules.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, time)
        };
        // An agent whose clock is wrong by years still has to link: the hub tells it, and everybody
        // else, that it is. The one authority that is believed is the hub's own, and whoever has its
        // key makes certificates of any date.
        match at(now) {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext {
                not_after, ..
            })) => at(not_after),
            Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
                not_before,
                ..
            })) => at(not_before),
            told => told,
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("a link is TLS 1.3".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::identity::tests::Authority;

    fn server(chain: Vec<Vec<u8>>, key: Vec<u8>) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![ALPN.to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    async fn shaken(believed: [u8; 32], chain: Vec<Vec<u8>>, key: Vec<u8>) -> std::io::Result<()> {
        let (here, there) = tokio::io::duplex(1 << 16);
        let hub = server(chain, key);
        let hub = tokio::spawn(async move { hub.accept(there).await.map(|_| ()) });
        let shaken = shake(for_enrolment(believed).unwrap(), here).await;
        hub.abort();
        shaken.map(|_| ())
    }

    #[tokio::test]
    async fn the_hub_of_the_token_is_believed_whatever_the_time_is() {
        let authority = Authority::make();
        for years in [(2000, 2001), (2020, 2100), (2100, 2101)] {
            let (own, key) = authority.hub(SERVER_NAME, years);
            let chain = vec![own, authority.der.clone()];
            let shaken = shaken(authority.fingerprint(), chain, key).await;
            assert!(shaken.is_ok(), "{years:?}: {shaken:?}");
        }
    }

    #[tokio::test]
    async fn hostile_a15_a_man_in_the_middle_is_not_believed() {
        let (ours, other) = (Authority::make(), Authority::make());
        let pin = ours.fingerprint();
        let (theirs, key) = other.hub(SERVER_NAME, (2020, 2100));
        let refused = |shaken: std::io::Result<()>| {
            let error = shaken.unwrap_err();
            assert!(is_another_hub(&error), "{error:?}");
        };
        // His own authority; ours beside it; ours alone; none.
        let chains = [
            vec![theirs.clone(), other.der.clone()],
            vec![theirs.clone(), other.der.clone(), ours.der.clone()],
            vec![theirs.clone(), ours.der.clone()],
            vec![theirs],
        ];
        for chain in chains {
            refused(shaken(pin, chain, key.clone()).await);
        }
        // A certificate of our authority for something else.
        let (named, key) = ours.hub("www.example.com", (2020, 2100));
        refused(shaken(pin, vec![named, ours.der], key).await);
    }
}
