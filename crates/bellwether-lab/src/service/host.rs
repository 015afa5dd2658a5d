//! Ports that open, refuse or keep silent, with TLS and HTTP on them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::ca::Authorities;
use super::h2;
use super::http::{self, Response};
use super::narrow::Narrow;
use super::peer;
use super::raw::{self, Behind};
use super::tls::Tls;
use crate::LabError;
use crate::net::{Gate, tcp_listener};
use crate::scenario::{H2Word, HostSpec, HttpSpec, PeerWord, RawSpec, ShareSpec, TcpWord, TlsSpec};
use crate::world::{Shared, lock};

/// How long a client may take for a handshake and each request: longer than any check.
const PATIENCE: Duration = Duration::from_secs(60);

/// The ports that answer.
pub(crate) struct Hosts {
    world: Shared,
    authorities: Arc<Authorities>,
    ports: BTreeMap<SocketAddr, Port>,
    /// What connections to each port meet, for those that are led elsewhere.
    sites: Sites,
    /// Sessions that outlive a change of the certificate.
    sessions: BTreeMap<SocketAddr, Arc<dyn StoresServerSessions>>,
}

/// What connections meet, by port.
type Sites = Arc<Mutex<BTreeMap<SocketAddr, Current>>>;

/// What connections to a port meet now.
type Current = Arc<Mutex<Arc<Site>>>;

/// Sessions that a port remembers.
const SESSIONS_MAX: usize = 256;

/// One port.
struct Port {
    spec: HostSpec,
    site: Current,
    open: Option<Open>,
}

/// A port that is not closed.
struct Open {
    gate: Gate<TcpListener>,
    task: JoinHandle<()>,
}

/// What connections meet.
struct Site {
    usual: Conduct,
    /// What a share of them meets instead.
    sometimes: Option<(f64, Conduct)>,
    /// Connections so far.
    met: AtomicU32,
    path_mtu: Option<u16>,
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
    h2: H2Word,
    raw: Option<RawSpec>,
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
    pub(crate) fn new(world: Shared, authorities: Arc<Authorities>) -> Self {
        Self {
            world,
            authorities,
            ports: BTreeMap::new(),
            sites: Sites::default(),
            sessions: BTreeMap::new(),
        }
    }

    /// Who signs what hosts show.
    pub(crate) fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    /// Opens, closes and changes ports as the world says.
    pub(crate) async fn follow(&mut self) -> Result<(), LabError> {
        let (wanted, losses) = {
            let world = lock(&self.world);
            (world.scripted_hosts(), world.vantages.losses())
        };
        for (at, spec) in wanted {
            let changed = self.ports.get(&at).is_none_or(|port| port.spec != spec);
            let silent = spec.tcp == Some(TcpWord::Silent);
            if changed {
                self.change(at, spec).await?;
            }
            let port = self.ports.get_mut(&at);
            if let Some(open) = port.and_then(|port| port.open.as_mut()) {
                open.gate.set(silent, &losses)?;
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
            (Some(port), _) => current(&port.site).usual.tls.clone(),
            (None, Some(tls)) => Some(Arc::new(self.tls(at, tls, h2)?)),
            (None, None) => None,
        };
        let delay = spec.delay.map_or(lock(&self.world).delay(), |span| span.0);
        let sometimes = match &spec.sometimes {
            None => None,
            Some(other) => Some((other.share, self.other(at, &spec, other, &tls)?)),
        };
        let site = Arc::new(Site {
            usual: self.conduct(&spec, tls),
            sometimes,
            met: AtomicU32::new(0),
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
            (TcpWord::Open | TcpWord::Silent | TcpWord::Reset, Some(open)) => {
                port.open = Some(open);
            }
            (TcpWord::Open | TcpWord::Silent | TcpWord::Reset, None) => {
                let (world, sites) = (Arc::clone(&self.world), Arc::clone(&self.sites));
                port.open = Some(port.listen(at, world, sites)?);
            }
        }
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        sites.insert(at, Arc::clone(&port.site));
        drop(sites);
        self.ports.insert(at, port);
        Ok(())
    }

    fn tls(&mut self, at: SocketAddr, spec: &TlsSpec, h2: H2Word) -> Result<Tls, LabError> {
        let sessions = (spec.resumes == Some(true)).then(|| {
            let fresh = || ServerSessionMemoryCache::new(SESSIONS_MAX);
            Arc::clone(self.sessions.entry(at).or_insert_with(|| fresh()))
        });
        Tls::new(spec, h2, sessions, &self.authorities, &self.world)
    }

    fn conduct(&self, spec: &HostSpec, tls: Option<Arc<Tls>>) -> Conduct {
        let clock = lock(&self.world).clock;
        let refusal = HttpSpec {
            status: Some(400),
            body: Some("No required SSL certificate was sent, or it is not valid.\n".to_owned()),
            ..HttpSpec::default()
        };
        Conduct {
            is_reset: spec.tcp == Some(TcpWord::Reset),
            peer: spec.peer.clone().unwrap_or_default(),
            tls,
            response: Response::new(spec.http.clone().unwrap_or_default(), clock),
            refusal: Response::new(refusal, clock),
            h2: spec.h2.unwrap_or_default(),
            raw: spec.raw.clone(),
        }
    }

    /// What a share of the connections meets, where it differs from the rest.
    fn other(
        &mut self,
        at: SocketAddr,
        spec: &HostSpec,
        other: &ShareSpec,
        usual: &Option<Arc<Tls>>,
    ) -> Result<Conduct, LabError> {
        let tls = match &other.tls {
            None => usual.clone(),
            Some(words) => {
                let words = spec.tls.clone().unwrap_or_default().patched(words.clone());
                Some(Arc::new(self.tls(
                    at,
                    &words,
                    spec.h2.unwrap_or_default(),
                )?))
            }
        };
        let http = spec.http.clone().unwrap_or_default();
        let other = HostSpec {
            tcp: other.tcp,
            peer: other.peer.clone().or(spec.peer.clone()),
            http: Some(http.patched(other.http.clone().unwrap_or_default())),
            h2: other.h2.or(spec.h2),
            raw: other.raw.clone().or(spec.raw.clone()),
            ..spec.clone()
        };
        Ok(self.conduct(&other, tls))
    }
}

impl Port {
    fn listen(&self, at: SocketAddr, world: Shared, sites: Sites) -> Result<Open, LabError> {
        let listener = Arc::new(tcp_listener(at)?);
        let gate = Gate::new(Arc::clone(&listener), at);
        let meets = Meets {
            at,
            site: Arc::clone(&self.site),
            sites,
            world,
        };
        let task = tokio::spawn(serve(listener, meets));
        Ok(Open { gate, task })
    }
}

fn current(site: &Mutex<Arc<Site>>) -> Arc<Site> {
    Arc::clone(&site.lock().unwrap_or_else(PoisonError::into_inner))
}

/// How it is found out what a connection meets.
struct Meets {
    at: SocketAddr,
    site: Current,
    sites: Sites,
    world: Shared,
}

impl Meets {
    /// What a connection from an address meets: the port's own site, or the one to which whoever
    /// comes from there is led. `None`: nothing listens there.
    fn from(&self, from: IpAddr) -> Option<Arc<Site>> {
        let portal = lock(&self.world).vantages.portal(from);
        let Some(portal) = portal else {
            return Some(current(&self.site));
        };
        let sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let site = sites.get(&SocketAddr::new(portal, self.at.port()))?;
        Some(current(site))
    }
}

async fn serve(listener: Arc<TcpListener>, meets: Meets) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, client)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        let Some(site) = meets.from(client.ip()) else {
            // Where the portal has no such port, the connection ends.
            let _ = peer::reset(&stream);
            continue;
        };
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
        return peer::reset(&stream);
    }
    if conduct.peer != PeerWord::None {
        let chain = conduct.tls.as_ref().map_or(&[][..], |tls| &tls.chain);
        return peer::serve(stream, &conduct.peer, chain).await;
    }
    let Some(tls) = &conduct.tls else {
        let mut stream = Narrow::new(stream, site.path_mtu);
        let behind = speak(&mut stream, conduct, &conduct.response, site.delay).await?;
        return end(&stream, behind);
    };
    tokio::time::sleep(site.delay).await;
    tls.admit(&stream).await?;
    let mut stream = tls.accept(Narrow::new(stream, site.path_mtu)).await?;
    let response = if tls.refuses(&stream) {
        &conduct.refusal
    } else {
        &conduct.response
    };
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    if is_h2 && conduct.h2 != H2Word::Http1 {
        let delay = site.delay + response.delay();
        let parts = || async move {
            tokio::time::sleep(delay).await;
            response.parts("")
        };
        return h2::serve(stream, conduct.h2, parts).await;
    }
    if is_h2 {
        // It does not wait for a request that it would not understand.
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await?;
        return stream.shutdown().await;
    }
    let behind = speak(&mut stream, conduct, response, site.delay).await?;
    end(stream.get_ref().0, behind)
}

/// HTTP/1.1, or what a scenario has instead.
async fn speak<S>(
    stream: S,
    conduct: &Conduct,
    response: &Response,
    delay: Duration,
) -> std::io::Result<Behind>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match &conduct.raw {
        Some(raw) => raw::serve(stream, raw, delay).await,
        None => {
            http::serve(stream, response, delay).await?;
            Ok(Behind::Closed)
        }
    }
}

fn end(stream: &Narrow, behind: Behind) -> std::io::Result<()> {
    match behind {
        Behind::Closed => Ok(()),
        // Without lingering the kernel resets what is dropped.
        Behind::Reset => peer::reset(stream.stream()),
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
