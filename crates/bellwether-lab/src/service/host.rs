//! Ports that open, refuse or keep silent, with TLS and HTTP on them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::ca::Authorities;
use super::h2;
use super::http::{self, Response};
use super::narrow::Narrow;
use super::raw::{self, Behind};
use crate::LabError;
use crate::net::{Silence, tcp_listener};
use crate::scenario::{H2Word, HostSpec, RawSpec, TcpWord, TlsSpec};
use crate::world::{Shared, lock};

/// How long a client may take for a handshake and each request: longer than any check.
const PATIENCE: Duration = Duration::from_secs(60);

/// The ports that answer.
pub(crate) struct Hosts {
    world: Shared,
    authorities: Authorities,
    ports: BTreeMap<SocketAddr, Port>,
}

/// One port.
struct Port {
    spec: HostSpec,
    site: Arc<Mutex<Arc<Site>>>,
    open: Option<Open>,
}

/// A port that is not closed.
struct Open {
    silence: Silence,
    task: JoinHandle<()>,
}

/// What a connection meets.
struct Site {
    tls: Option<TlsAcceptor>,
    response: Response,
    h2: H2Word,
    raw: Option<RawSpec>,
    path_mtu: Option<u16>,
    delay: Duration,
}

impl Hosts {
    pub(crate) fn new(world: Shared, authorities: Authorities) -> Self {
        Self {
            world,
            authorities,
            ports: BTreeMap::new(),
        }
    }

    /// Who signs what hosts show.
    pub(crate) fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    /// Opens, closes and changes ports as the world says.
    pub(crate) async fn follow(&mut self) -> Result<(), LabError> {
        let wanted = lock(&self.world).scripted_hosts();
        for (at, spec) in wanted {
            let changed = self.ports.get(&at).is_none_or(|port| port.spec != spec);
            if changed {
                self.change(at, spec).await?;
            }
        }
        Ok(())
    }

    async fn change(&mut self, at: SocketAddr, spec: HostSpec) -> Result<(), LabError> {
        let old = self.ports.remove(&at);
        let h2 = spec.h2.unwrap_or_default();
        let same_tls = old
            .as_ref()
            .filter(|port| port.spec.tls == spec.tls && port.spec.h2.unwrap_or_default() == h2);
        let tls = match (same_tls, &spec.tls) {
            (Some(port), _) => current(&port.site).tls.clone(),
            (None, Some(tls)) => Some(self.acceptor(tls, h2)?),
            (None, None) => None,
        };
        let (now, delay) = {
            let world = lock(&self.world);
            (world.clock, spec.delay.map_or(world.delay(), |span| span.0))
        };
        let response = Response::new(spec.http.clone().unwrap_or_default(), now);
        let site = Arc::new(Site {
            tls,
            response,
            h2,
            raw: spec.raw.clone(),
            path_mtu: spec.path_mtu,
            delay,
        });
        let mut port = match old {
            Some(mut port) => {
                *port.site.lock().unwrap_or_else(PoisonError::into_inner) = site;
                port.spec = spec;
                port
            }
            None => Port {
                spec,
                site: Arc::new(Mutex::new(site)),
                open: None,
            },
        };
        let word = port.spec.tcp.unwrap_or_default();
        match (word, port.open.take()) {
            (TcpWord::Refused, Some(open)) => {
                open.task.abort();
                // The listener is closed when the task is gone.
                let _ = open.task.await;
            }
            (TcpWord::Refused, None) => {}
            (TcpWord::Open | TcpWord::Silent, open) => {
                let mut open = match open {
                    Some(open) => open,
                    None => port.listen(at)?,
                };
                open.silence.set(word == TcpWord::Silent)?;
                port.open = Some(open);
            }
        }
        self.ports.insert(at, port);
        Ok(())
    }

    fn acceptor(&self, spec: &TlsSpec, h2: H2Word) -> Result<TlsAcceptor, LabError> {
        let now = lock(&self.world).clock.now();
        let shown = self.authorities.certify(spec, now)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| LabError::Certificate(e.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shown));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if h2 != H2Word::Off {
            config.alpn_protocols.insert(0, b"h2".to_vec());
        }
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl Port {
    fn listen(&self, at: SocketAddr) -> Result<Open, LabError> {
        let listener = Arc::new(tcp_listener(at)?);
        let silence = Silence::new(Arc::clone(&listener), at);
        let task = tokio::spawn(serve(listener, Arc::clone(&self.site)));
        Ok(Open { silence, task })
    }
}

fn current(site: &Mutex<Arc<Site>>) -> Arc<Site> {
    Arc::clone(&site.lock().unwrap_or_else(PoisonError::into_inner))
}

async fn serve(listener: Arc<TcpListener>, site: Arc<Mutex<Arc<Site>>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        let site = current(&site);
        connections.spawn(async move {
            // A connection that ends early is the client's choice.
            let _ = tokio::time::timeout(PATIENCE, converse(stream, &site)).await;
        });
    }
}

async fn converse(stream: TcpStream, site: &Site) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let stream = Narrow::new(stream, site.path_mtu);
    match &site.tls {
        None => {
            let mut stream = stream;
            let behind = speak(&mut stream, site).await?;
            end(&stream, behind)
        }
        Some(acceptor) => {
            tokio::time::sleep(site.delay).await;
            let mut stream = acceptor.accept(stream).await?;
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            if is_h2 && site.h2 != H2Word::Http1 {
                let delay = site.delay + site.response.delay();
                let parts = || async move {
                    tokio::time::sleep(delay).await;
                    site.response.parts("")
                };
                return h2::serve(stream, site.h2, parts).await;
            }
            if is_h2 {
                // It does not wait for a request that it would not understand.
                stream
                    .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    .await?;
                return stream.shutdown().await;
            }
            let behind = speak(&mut stream, site).await?;
            end(stream.get_ref().0, behind)
        }
    }
}

/// HTTP/1.1, or what a scenario has instead.
async fn speak<S>(stream: S, site: &Site) -> std::io::Result<Behind>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match &site.raw {
        Some(raw) => raw::serve(stream, raw, site.delay).await,
        None => {
            http::serve(stream, &site.response, site.delay).await?;
            Ok(Behind::Closed)
        }
    }
}

fn end(stream: &Narrow, behind: Behind) -> std::io::Result<()> {
    match behind {
        Behind::Closed => Ok(()),
        // Without lingering the kernel resets what is dropped.
        Behind::Reset => SockRef::from(stream.stream()).set_linger(Some(Duration::ZERO)),
    }
}
