//! Where agents come in, and what a connection may cost before it is known who it is.
//!
//! The listener follows the configuration. An address that is in use is told and tried again. Whoever
//! is half open has little time and few places; who is linked has others, so that no flood of the
//! former keeps the latter out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bellwether_link::server;
use bellwether_model::link::Refusal;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::counts::Turned;
use super::visit::visit;
use super::{Host, TROUBLE};
use crate::listen::{Door, Limits, Place};

/// Connections of agents at once: with those of page and API, the store's files and the workers' pipes
/// below a file descriptor limit of 1,024. Further ones wait in the system's queue.
const LINKS: Limits = Limits {
    all: 320,
    // Many agents may stand behind one address; somebody else's many connections have fewer places.
    of_one_place: 256,
    local: 300,
};

/// Of these, connections of which it is not known yet who they are. Further ones are closed at once.
const HALF_OPEN: Limits = Limits {
    all: 64,
    of_one_place: 16,
    local: 48,
};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long agents may take to hear that the hub ends.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How soon an address that could not be listened at is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// Listens as the configuration says, until `stopped`.
pub(super) async fn listen(host: Arc<Host>, mut stopped: watch::Receiver<bool>) {
    let mut configured = host.fleet().configured.subscribe();
    let mut links = JoinSet::new();
    loop {
        configured.mark_unchanged();
        remember(&host).await;
        let wanted = wanted(&host);
        let served = async {
            match wanted {
                Some(at) => serve(&host, at, &mut links).await,
                None => {
                    host.shared.trouble(TROUBLE, None);
                    std::future::pending().await
                }
            }
        };
        tokio::select! {
            () = told(&mut stopped) => break,
            () = moved(&host, &mut configured, wanted) => {}
            () = served => tokio::time::sleep(AGAIN).await,
        }
        host.fleet().listens.send_replace(None);
        if self::wanted(&host).is_none() {
            links.shutdown().await;
        }
    }
    host.fleet().listens.send_replace(None);
    host.fleet().end_all(Refusal::Busy, "the hub ends");
    let rest = async { while links.join_next().await.is_some() {} };
    let _ = timeout(LAST_WORDS, rest).await;
    links.shutdown().await;
    std::future::pending().await
}

/// Ends when the hub does.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // The sender goes with the hub.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Where it is to be listened.
fn wanted(host: &Host) -> Option<SocketAddr> {
    let configured = host.shared.configured.load();
    let config = &configured.config;
    config.hub.agents_at(&config.vantages)
}

/// Ends when it is to be listened elsewhere. Checks that are new are remembered meanwhile.
async fn moved(host: &Host, configured: &mut watch::Receiver<()>, from: Option<SocketAddr>) {
    // The sender lives as long as the hub.
    while configured.changed().await.is_ok() {
        remember(host).await;
        if wanted(host) != from {
            return;
        }
    }
}

/// What agents may bring results of.
async fn remember(host: &Host) {
    let configured = host.shared.configured.load_full();
    if configured.config.vantages.is_empty() {
        return;
    }
    let kept = host.ask(move |shared| {
        let fleet = &shared.fleet;
        let now = fleet.clock.now();
        fleet
            .given
            .configure(&*shared.state, &configured.config, now)
    });
    if let Err(error) = kept.await.and_then(|kept| kept) {
        tracing::error!(%error, "which checks agents were given cannot be written down");
    }
}

/// Listens at an address, until it cannot any more.
async fn serve(host: &Arc<Host>, at: SocketAddr, links: &mut JoinSet<()>) {
    let trouble = |what: String| {
        let former = host.shared.troubles().remove(TROUBLE);
        if former.is_none_or(|former| former.what != what) {
            tracing::error!("{what}");
        }
        host.shared.trouble(TROUBLE, Some(what));
    };
    let tls = host.ask(|shared| {
        let fleet = &shared.fleet;
        let authority = fleet.authority()?;
        server::config(&authority, fleet.clock.now())
    });
    let tls = match tls.await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let cause = cause.unwrap_or_default();
            return trouble(format!("agents cannot link: {error}: {cause}"));
        }
        Err(error) => return trouble(format!("agents cannot link: {error}")),
    };
    let listener = match TcpListener::bind(at).await {
        Ok(listener) => listener,
        Err(error) => {
            return trouble(format!(
                "agents cannot link: failed to listen at {at} (`hub.agents_listen`): {error}"
            ));
        }
    };
    host.shared.trouble(TROUBLE, None);
    let bound = listener.local_addr().unwrap_or(at);
    tracing::info!(%bound, "listening for agents");
    host.fleet().listens.send_replace(Some(bound));
    accept(host, listener, TlsAcceptor::from(tls), links).await;
}

/// Takes connections in, for ever.
async fn accept(
    host: &Arc<Host>,
    listener: TcpListener,
    tls: TlsAcceptor,
    links: &mut JoinSet<()>,
) {
    let mut door = Door::with_limits(listener, LINKS);
    let half_open = crate::listen::Places::new(HALF_OPEN);
    let slots = Arc::new(Semaphore::new(HALF_OPEN.all));
    loop {
        tokio::select! {
            Some(ended) = links.join_next() => {
                if let Err(error) = ended
                    && error.is_panic()
                {
                    tracing::error!(%error, "an agent's link failed");
                }
            }
            (stream, peer, place) = door.next() => {
                let slot = Arc::clone(&slots).try_acquire_owned().ok();
                let half = slot.and_then(|slot| half_open.enter(peer.ip(), slot));
                let Some(half) = half else {
                    host.fleet().tally.turned(Turned::Crowded);
                    continue;
                };
                let connected = connected(Arc::clone(host), stream, peer, tls.clone(), half);
                links.spawn(async move {
                    connected.await;
                    drop(place);
                });
            }
        }
    }
}

/// Serves one connection to its end.
async fn connected(
    host: Arc<Host>,
    stream: TcpStream,
    peer: SocketAddr,
    tls: TlsAcceptor,
    half: Place,
) {
    let from = peer.ip().to_canonical();
    let stream = match timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::info!(%from, %error, "no handshake with whoever may be an agent");
            return host.fleet().tally.turned(Turned::Handshake);
        }
        Err(_) => {
            tracing::debug!(%from, "a handshake that took too long");
            return host.fleet().tally.turned(Turned::Handshake);
        }
    };
    let shown = server::peer(stream.get_ref().1);
    visit(host, stream, shown, from, half).await;
}
