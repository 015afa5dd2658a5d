//! Ports that open, refuse or keep silent, with TLS and HTTP on them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::ca::Authorities;
use super::http::{self, Response};
use crate::LabError;
use crate::net::{Silence, tcp_listener};
use crate::scenario::{HostSpec, TcpWord, TlsSpec};
use crate::world::{Shared, lock};

/// How long a client may take for a handshake and each request: longer than any check.
const PATIENCE: Duration = Duration::from_secs(60);

/// The ports that answer.
pub(crate) struct Hosts {
    world: Shared,
    authorities: Arc<Authorities>,
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
    delay: Duration,
}

impl Hosts {
    pub(crate) fn new(world: Shared, authorities: Arc<Authorities>) -> Self {
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
        let same_tls = old.as_ref().filter(|port| port.spec.tls == spec.tls);
        let tls = match (same_tls, &spec.tls) {
            (Some(port), _) => current(&port.site).tls.clone(),
            (None, Some(tls)) => Some(self.acceptor(tls)?),
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

    fn acceptor(&self, spec: &TlsSpec) -> Result<TlsAcceptor, LabError> {
        let now = lock(&self.world).clock.now();
        let shown = self.authorities.certify(spec, now)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| LabError::Certificate(e.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shown));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
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
    match &site.tls {
        None => http::serve(stream, &site.response, site.delay).await,
        Some(acceptor) => {
            tokio::time::sleep(site.delay).await;
            let stream = acceptor.accept(stream).await?;
            http::serve(stream, &site.response, site.delay).await
        }
    }
}
