//! Ports that open, refuse or keep silent, with TLS and HTTP on them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::ca::Authorities;
use super::http::{self, Response};
use super::peer;
use super::tls::Tls;
use crate::LabError;
use crate::net::{Silence, tcp_listener};
use crate::scenario::{HostSpec, HttpSpec, PeerWord, SometimesSpec, TcpWord, TlsSpec};
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

/// What connections meet.
struct Site {
    usual: Conduct,
    /// What a share of them meets instead.
    sometimes: Option<(f64, Conduct)>,
    /// Connections so far.
    met: AtomicU32,
    delay: Duration,
}

/// What one connection meets.
struct Conduct {
    is_reset: bool,
    peer: PeerWord,
    tls: Option<Arc<Tls>>,
    response: Response,
    /// To clients that are refused over their certificate.
    refusal: Response,
}

impl Site {
    /// What the next connection meets. A share is spread evenly, the first connection among it.
    fn next(&self) -> &Conduct {
        let number = self.met.fetch_add(1, Ordering::Relaxed);
        match &self.sometimes {
            Some((share, conduct)) if is_among(number, *share) => conduct,
            Some(_) | None => &self.usual,
        }
    }
}

fn is_among(number: u32, share: f64) -> bool {
    // Slack for shares such as 0.1, whose multiples miss whole numbers by a little.
    let before = |count: u32| (f64::from(count) * share - share + 1.0 + 1e-9).floor();
    share > 0.0 && before(number + 1) > before(number)
}

impl Hosts {
    pub(crate) fn new(world: Shared, authorities: Authorities) -> Self {
        Self {
            world,
            authorities,
            ports: BTreeMap::new(),
        }
    }

    /// Opens, closes and changes ports as the world says.
    pub(crate) async fn follow(&mut self) -> Result<(), LabError> {
        let wanted = lock(&self.world).hosts.clone();
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
            (Some(port), _) => current(&port.site).usual.tls.clone(),
            (None, Some(tls)) => Some(Arc::new(self.tls(tls)?)),
            (None, None) => None,
        };
        let delay = spec.delay.map_or(lock(&self.world).delay(), |span| span.0);
        let is_reset = spec.tcp == Some(TcpWord::Reset);
        let sometimes = match &spec.sometimes {
            None => None,
            Some(other) => Some((other.share, self.other(&spec, other, &tls)?)),
        };
        let peer = spec.peer.clone().unwrap_or_default();
        let http = spec.http.clone().unwrap_or_default();
        let site = Arc::new(Site {
            usual: self.conduct(is_reset, peer, tls, http),
            sometimes,
            met: AtomicU32::new(0),
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
            (TcpWord::Open | TcpWord::Silent | TcpWord::Reset, open) => {
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

    fn tls(&self, spec: &TlsSpec) -> Result<Tls, LabError> {
        Tls::new(spec, &self.authorities, &self.world)
    }

    fn conduct(
        &self,
        is_reset: bool,
        peer: PeerWord,
        tls: Option<Arc<Tls>>,
        http: HttpSpec,
    ) -> Conduct {
        let clock = lock(&self.world).clock;
        let refusal = HttpSpec {
            status: Some(400),
            body: Some("No required SSL certificate was sent, or it is not valid.\n".to_owned()),
            ..HttpSpec::default()
        };
        Conduct {
            is_reset,
            peer,
            tls,
            response: Response::new(http, clock),
            refusal: Response::new(refusal, clock),
        }
    }

    /// What a share of the connections meets, where it differs from the rest.
    fn other(
        &self,
        spec: &HostSpec,
        other: &SometimesSpec,
        usual: &Option<Arc<Tls>>,
    ) -> Result<Conduct, LabError> {
        let tls = match &other.tls {
            None => usual.clone(),
            Some(words) => {
                let words = spec.tls.clone().unwrap_or_default().patched(words.clone());
                Some(Arc::new(self.tls(&words)?))
            }
        };
        let http = spec.http.clone().unwrap_or_default();
        let http = http.patched(other.http.clone().unwrap_or_default());
        let peer = other.peer.clone().or(spec.peer.clone()).unwrap_or_default();
        let is_reset = other.tcp == Some(TcpWord::Reset);
        Ok(self.conduct(is_reset, peer, tls, http))
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
    let conduct = site.next();
    if conduct.is_reset {
        peer::reset(&stream);
        return Ok(());
    }
    if conduct.peer != PeerWord::None {
        let chain = conduct.tls.as_ref().map_or(&[][..], |tls| &tls.chain);
        return peer::serve(stream, &conduct.peer, chain).await;
    }
    match &conduct.tls {
        None => http::serve(stream, &conduct.response, site.delay).await,
        Some(tls) => {
            tokio::time::sleep(site.delay).await;
            let stream = tls.accept(stream).await?;
            let response = if tls.refuses(&stream) {
                &conduct.refusal
            } else {
                &conduct.response
            };
            http::serve(stream, response, site.delay).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_spread_evenly() {
        for (share, of, expected) in [(0.5, 6, 3), (0.1, 30, 3), (0.02, 150, 3), (0.25, 8, 2)] {
            for begin in [0, 1, 7, 12] {
                let met = (begin..begin + of).filter(|n| is_among(*n, share)).count();
                assert_eq!(met, expected, "{share} from {begin}");
            }
            assert!(is_among(0, share));
        }
        assert!((0..9).all(|n| is_among(n, 1.0)));
        assert!(!(0..9).any(|n| is_among(n, 0.0)));
    }
}
