//! The hub's end of TLS: version 1.3 only, our own authority only, no resumption.
//!
//! A certificate is asked for, and may be left out: who enrols has none yet. What is refused without
//! one is decided by whoever hears the first word. A session that is taken up again would bring its
//! certificate along unlooked at, so that none is kept.

use std::sync::Arc;

use bellwether_model::Digest;
use jiff::Timestamp;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use crate::authority::{Authority, AuthorityError, agent_of, digest};
use crate::names::ALPN;

/// Whoever showed a certificate of our authority that is valid now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The agent's id that stands in it.
    pub agent: String,
    /// SHA-256 of it.
    pub fingerprint: Digest,
}

/// How the hub speaks TLS. Makes a key and a certificate for it.
///
/// # Errors
/// No key can be made.
pub fn config(authority: &Authority, now: Timestamp) -> Result<Arc<ServerConfig>, AuthorityError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone())?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .expect("there is one root, and no list of revoked ones");
    let identity = authority.server(now)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain, identity.key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Who is at the other end, once the handshake is done; `None` where no certificate was shown.
#[must_use]
pub fn peer(connection: &ServerConnection) -> Option<Peer> {
    let certificate = connection.peer_certificates()?.first()?;
    Some(Peer {
        agent: agent_of(certificate)?,
        fingerprint: digest(certificate),
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
    use rustls::{ClientConfig, SupportedProtocolVersion};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;
    use crate::names::SERVER_NAME;

    /// Far from now, in seconds.
    const MONTH: i64 = 31 * 86_400;

    fn now() -> Timestamp {
        Timestamp::now()
    }

    fn earlier() -> Timestamp {
        Timestamp::from_second(now().as_second() - MONTH).unwrap()
    }

    struct Dials<'a> {
        /// Whom the client believes.
        believes: &'a Authority,
        /// Who signed its certificate, and when.
        signed: Option<(&'a Authority, Timestamp)>,
        version: &'static SupportedProtocolVersion,
    }

    /// Whom the hub sees; `None` where nothing comes of it.
    async fn seen(hub: &Authority, dials: Dials<'_>) -> Option<Option<Peer>> {
        let mut roots = RootCertStore::empty();
        roots.add(dials.believes.certificate().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[dials.version])
            .unwrap()
            .with_root_certificates(roots);
        let mut client = match dials.signed {
            None => client.with_no_client_auth(),
            Some((authority, at)) => {
                let key = KeyPair::generate().unwrap();
                let request = CertificateParams::default()
                    .serialize_request(&key)
                    .unwrap();
                let issued = authority.agent(request.der(), "fra/1", at).unwrap();
                let chain = issued.chain.into_iter().map(CertificateDer::from).collect();
                let key = PrivatePkcs8KeyDer::from(key.serialize_der());
                client.with_client_auth_cert(chain, key.into()).unwrap()
            }
        };
        client.alpn_protocols = vec![ALPN.to_vec()];
        let (here, there) = tokio::io::duplex(1 << 16);
        let acceptor = TlsAcceptor::from(config(hub, now()).unwrap());
        let server = tokio::spawn(async move {
            let mut stream = acceptor.accept(here).await.ok()?;
            stream.write_all(b"x").await.ok()?;
            stream.flush().await.ok()?;
            Some(peer(stream.get_ref().1))
        });
        let name = ServerName::try_from(SERVER_NAME).unwrap();
        let dialled = TlsConnector::from(Arc::new(client))
            .connect(name, there)
            .await;
        if let Ok(mut stream) = dialled {
            // In TLS 1.3 the client is through before its certificate was looked at.
            let _ = stream.read_u8().await;
        }
        server.await.unwrap()
    }

    #[tokio::test]
    async fn only_our_authority_and_only_tls_1_3() {
        let (ours, other) = (
            Authority::generate(now()).unwrap(),
            Authority::generate(now()).unwrap(),
        );
        let dials = |believes, signed| Dials {
            believes,
            signed,
            version: &rustls::version::TLS13,
        };
        let peer = seen(&ours, dials(&ours, Some((&ours, now())))).await;
        assert_eq!(peer.flatten().unwrap().agent, "fra/1");
        let nobody = seen(&ours, dials(&ours, None)).await;
        assert_eq!(nobody, Some(None), "who enrols has no certificate yet");
        let refused = [
            ("another authority's", dials(&ours, Some((&other, now())))),
            ("an expired one", dials(&ours, Some((&ours, earlier())))),
            ("another hub", dials(&other, None)),
            (
                "an older TLS",
                Dials {
                    version: &rustls::version::TLS12,
                    ..dials(&ours, None)
                },
            ),
        ];
        for (who, dials) in refused {
            assert_eq!(seen(&ours, dials).await, None, "{who}");
        }
    }
}
