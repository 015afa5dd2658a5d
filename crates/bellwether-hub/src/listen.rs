//! The door: connections, and what each of them may cost.
//!
//! A client that hangs, resets, or reads one byte a second costs its own connection and nothing
//! else. When the process has no file descriptor left, the door waits; it never gives up.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Connections at once: what a file descriptor limit of 1,024 leaves beside the store and the
/// workers' pipes. Further ones wait in the system's queue.
pub const CONNECTIONS_MAX: usize = 512;

/// Connections at once from one address, or from one network of IPv6.
pub const CONNECTIONS_PER_PLACE_MAX: usize = 64;

/// Connections at once from this machine, where a proxy may stand for everybody.
pub const CONNECTIONS_LOCAL_MAX: usize = 448;

/// How long the headers of a request may take to come, and how long an idle connection is kept.
pub const HEADER_TIME: Duration = Duration::from_secs(20);

/// How long a client may take no byte of what it asked for.
pub const STALL_TIME: Duration = Duration::from_secs(30);

/// How long requests under way may take when we stop. Event streams never end by themselves.
pub const GRACE: Duration = Duration::from_secs(3);

/// What is read of a request before its headers are complete, bytes: above the limits that are
/// answered in words, so that those are what a client meets.
const BUFFER_MAX: usize = 128 * 1024;

/// Headers of a request.
const HEADERS_MAX: usize = 100;

/// How long the door waits after the system refused a connection: long enough to let something
/// end, short enough that nobody notices.
const REFUSED_PAUSE: Duration = Duration::from_millis(200);

/// How often such a refusal is logged.
const REFUSED_LOGGED_EVERY: Duration = Duration::from_secs(60);

/// Serves until `shutdown` comes, then lets requests under way end within [`GRACE`].
pub async fn serve_http(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut shutdown = pin!(shutdown);
    let mut door = Door::with_limits(listener, LIMITS);
    let stop = CancellationToken::new();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => reap(ended),
            (stream, peer, place) = door.next() => {
                let served = serve(stream, peer, router.clone(), stop.clone());
                connections.spawn(async move {
                    served.await;
                    drop(place);
                });
            }
        }
    }
    // Nobody else comes in while those who are in are served.
    drop(door);
    stop.cancel();
    let rest = async {
        while let Some(ended) = connections.join_next().await {
            reap(ended);
        }
    };
    if tokio::time::timeout(GRACE, rest).await.is_err() {
        tracing::info!(open = connections.len(), "connections still open are cut");
    }
    connections.shutdown().await;
}

fn reap(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

/// Serves one connection to its end.
async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    stop: CancellationToken,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(BUFFER_MAX)
        .max_headers(HEADERS_MAX);
    let io = TokioIo::new(Patient::new(stream));
    let mut connection = pin!(builder.serve_connection(io, service));
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection broke off");
    }
}

/// How many connections there may be at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// In all; further ones wait.
    pub(crate) all: usize,
    /// From one address, or from one network of IPv6; further ones are closed.
    pub(crate) of_one_place: usize,
    /// From this machine.
    pub(crate) local: usize,
}

/// Those of page and API.
const LIMITS: Limits = Limits {
    all: CONNECTIONS_MAX,
    of_one_place: CONNECTIONS_PER_PLACE_MAX,
    local: CONNECTIONS_LOCAL_MAX,
};

/// Where connections come in.
pub(crate) struct Door {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    places: Places,
    logged: Option<Instant>,
}

impl Door {
    pub(crate) fn with_limits(listener: TcpListener, limits: Limits) -> Self {
        Self {
            listener,
            slots: Arc::new(Semaphore::new(limits.all)),
            places: Places::new(limits),
            logged: None,
        }
    }

    /// The next connection that may come in. May be dropped and asked again at any time.
    pub(crate) async fn next(&mut self) -> (TcpStream, SocketAddr, Place) {
        loop {
            let slot = Arc::clone(&self.slots).acquire_owned().await;
            let slot = slot.expect("the semaphore is never closed");
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    // One too many from there: it is closed at once, and costs nothing more.
                    if let Some(place) = self.places.enter(peer.ip(), slot) {
                        let _ = stream.set_nodelay(true);
                        return (stream, peer, place);
                    }
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    let due = self
                        .logged
                        .is_none_or(|at| at.elapsed() >= REFUSED_LOGGED_EVERY);
                    if due {
                        tracing::error!(%error, "no connection can be taken in; waiting");
                        self.logged = Some(Instant::now());
                    }
                    tokio::time::sleep(REFUSED_PAUSE).await;
                }
            }
        }
    }
}

/// Does an error speak of the connection that was to come in, and not of us?
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// Connections by the place they come from.
#[derive(Clone)]
pub(crate) struct Places {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    limits: Limits,
}

/// A connection's place; leaves it when dropped.
pub(crate) struct Place {
    from: IpAddr,
    places: Places,
    _slot: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            counts: Arc::default(),
            limits,
        }
    }

    /// A place for a connection from there; `None` if there are too many.
    pub(crate) fn enter(&self, from: IpAddr, slot: OwnedSemaphorePermit) -> Option<Place> {
        let from = crate::access::backoff::place(from);
        let most = if from.is_loopback() {
            self.limits.local
        } else {
            self.limits.of_one_place
        };
        let mut places = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = places.entry(from).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place {
            from,
            places: self.clone(),
            _slot: slot,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self
            .places
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = places.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                places.remove(&self.from);
            }
        }
    }
}

/// A stream that is given up when the other side takes nothing for [`STALL_TIME`].
struct Patient<S> {
    stream: S,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            stalled: None,
        }
    }

    /// What became of a write, unless nothing has for too long.
    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL_TIME)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_given_up() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut ours = Patient::new(ours);
        let began = Instant::now();
        let error = ours.write_all(&[0; 1_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= STALL_TIME);
        drop(ours);
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut theirs, &mut rest)
            .await
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_little_is_served() {
        let (ours, mut theirs) = tokio::io::duplex(8);
        let reader = tokio::spawn(async move {
            let mut byte = [0];
            let mut count = 0;
            while tokio::io::AsyncReadExt::read(&mut theirs, &mut byte)
                .await
                .unwrap()
                > 0
            {
                count += 1;
                tokio::time::sleep(STALL_TIME / 2).await;
            }
            count
        });
        let mut ours = Patient::new(ours);
        ours.write_all(&[0; 100]).await.unwrap();
        drop(ours);
        assert_eq!(reader.await.unwrap(), 100);
    }

    /// How long a connection lives that says this and nothing more.
    async fn lives(words: &str) -> Duration {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let router = Router::new().route("/", axum::routing::get(async || "well"));
        let served = tokio::spawn(serve(ours, peer, router, CancellationToken::new()));
        let began = Instant::now();
        theirs.write_all(words.as_bytes()).await.unwrap();
        served.await.unwrap();
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_given_up() {
        let answered = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        for words in [
            "",
            "GET / HT",
            "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
            answered,
        ] {
            let lived = lives(words).await;
            assert!(
                lived >= HEADER_TIME && lived <= HEADER_TIME * 2,
                "{words:?}: {lived:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_byte_at_a_time_is_no_way_round() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let served = tokio::spawn(serve(ours, peer, Router::new(), CancellationToken::new()));
        let began = Instant::now();
        while theirs.write_all(b"G").await.is_ok() && began.elapsed() < HEADER_TIME * 9 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(began.elapsed() <= HEADER_TIME * 2, "{:?}", began.elapsed());
        served.await.unwrap();
    }

    #[tokio::test]
    async fn places_are_left() {
        let places = Places::new(LIMITS);
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let slot = || Arc::clone(&slots).try_acquire_owned().unwrap();
        let from = IpAddr::from([192, 0, 2, 1]);
        let inside: Vec<_> = (0..CONNECTIONS_PER_PLACE_MAX)
            .map(|_| places.enter(from, slot()).unwrap())
            .collect();
        assert!(places.enter(from, slot()).is_none());
        assert!(places.enter(IpAddr::from([192, 0, 2, 2]), slot()).is_some());
        drop(inside);
        assert!(places.enter(from, slot()).is_some());
        assert_eq!(slots.available_permits(), CONNECTIONS_MAX);
        assert!(places.counts.lock().unwrap().is_empty());
    }
}
