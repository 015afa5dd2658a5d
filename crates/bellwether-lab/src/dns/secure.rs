//! Resolvers over TLS (RFC 7858) and HTTPS (RFC 8484), each a port of its own with a certificate
//! of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwether_model::Channel;
use bytes::Bytes;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::Transport;
use super::serve::answer;
use crate::LabError;
use crate::net::{Gate, tcp_listener};
use crate::scenario::{HttpSpec, ResolverPort, TcpWord, TlsSpec};
use crate::service::ca::Authorities;
use crate::service::http::Response;
use crate::world::{Shared, lock};

/// How long a client may take: longer than any check.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest request, bytes.
const REQUEST_LEN_MAX: usize = 128 * 1024;
/// The media type of DNS messages.
const MEDIA_TYPE: &str = "application/dns-message";

/// The ports that answer.
pub(crate) struct SecureServers {
    world: Shared,
    authorities: Arc<Authorities>,
    ports: BTreeMap<SocketAddr, Port>,
}

/// One port.
struct Port {
    spec: ResolverPort,
    site: Arc<Mutex<Arc<Site>>>,
    open: Option<(Gate<TcpListener>, JoinHandle<()>)>,
}

/// What a connection meets.
#[derive(Clone)]
struct Site {
    at: SocketAddr,
    channel: Channel,
    acceptor: TlsAcceptor,
    /// What HTTP answers instead of DNS.
    instead: Option<Response>,
}

impl SecureServers {
    pub(crate) fn new(world: Shared, authorities: Arc<Authorities>) -> Self {
        Self {
            world,
            authorities,
            ports: BTreeMap::new(),
        }
    }

    /// Opens, closes and changes ports as the world says.
    pub(crate) async fn follow(&mut self) -> Result<(), LabError> {
        let (wanted, losses) = {
            let world = lock(&self.world);
            (world.secure_ports(), world.vantages.losses())
        };
        for (at, spec) in wanted {
            let silent = spec.tcp == TcpWord::Silent;
            if self.ports.get(&at).is_none_or(|port| port.spec != spec) {
                self.change(at, spec).await?;
            }
            let port = self.ports.get_mut(&at);
            if let Some((gate, _)) = port.and_then(|port| port.open.as_mut()) {
                gate.set(silent, &losses)?;
            }
        }
        Ok(())
    }

    async fn change(&mut self, at: SocketAddr, spec: ResolverPort) -> Result<(), LabError> {
        let clock = lock(&self.world).clock;
        let respond = |http: &HttpSpec| Response::new(http.clone(), clock);
        let site = Arc::new(Site {
            at,
            channel: spec.channel.clone(),
            acceptor: self.acceptor(&spec.tls, &spec.channel)?,
            instead: spec.http.as_ref().map(respond),
        });
        let mut port = match self.ports.remove(&at) {
            Some(port) => {
                *port.site.lock().unwrap_or_else(PoisonError::into_inner) = site;
                Port { spec, ..port }
            }
            None => Port {
                spec,
                site: Arc::new(Mutex::new(site)),
                open: None,
            },
        };
        match (port.spec.tcp, port.open.take()) {
            (TcpWord::Refused, Some((_, task))) => {
                task.abort();
                // The listener is closed when the task is gone.
                let _ = task.await;
            }
            (TcpWord::Refused, None) => {}
            (_, Some(open)) => port.open = Some(open),
            (_, None) => port.open = Some(self.listen(at, &port.site)?),
        }
        self.ports.insert(at, port);
        Ok(())
    }

    fn listen(
        &self,
        at: SocketAddr,
        site: &Arc<Mutex<Arc<Site>>>,
    ) -> Result<(Gate<TcpListener>, JoinHandle<()>), LabError> {
        let listener = Arc::new(tcp_listener(at)?);
        let gate = Gate::new(Arc::clone(&listener), at);
        let task = tokio::spawn(serve(listener, Arc::clone(site), Arc::clone(&self.world)));
        Ok((gate, task))
    }

    fn acceptor(&self, spec: &TlsSpec, channel: &Channel) -> Result<TlsAcceptor, LabError> {
        let now = lock(&self.world).clock.now();
        let shown = self.authorities.certify(spec, now)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| LabError::Certificate(e.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shown));
        if matches!(channel, Channel::Https { .. }) {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

async fn serve(listener: Arc<TcpListener>, site: Arc<Mutex<Arc<Site>>>, world: Shared) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        let site = Arc::clone(&site.lock().unwrap_or_else(PoisonError::into_inner));
        let world = Arc::clone(&world);
        connections.spawn(async move {
            // A connection that ends early is the client's choice.
            let _ = tokio::time::timeout(PATIENCE, converse(stream, &site, &world)).await;
        });
    }
}

async fn converse(stream: TcpStream, site: &Site, world: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = site.acceptor.accept(stream).await?;
    if matches!(site.channel, Channel::Tls { .. } | Channel::Plain) {
        loop {
            let len = stream.read_u16().await?;
            let mut octets = vec![0; usize::from(len)];
            stream.read_exact(&mut octets).await?;
            if let Some(reply) = ask(site, world, &octets).await {
                stream
                    .write_u16(u16::try_from(reply.len()).unwrap_or(0))
                    .await?;
                stream.write_all(&reply).await?;
                stream.flush().await?;
            }
        }
    }
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    if is_h2 {
        over_h2(stream, site, world)
            .await
            .map_err(std::io::Error::other)
    } else {
        over_http_1(stream, site, world).await
    }
}

/// The answer to a message, after its delay; `None`: nothing.
async fn ask(site: &Site, world: &Shared, octets: &[u8]) -> Option<Vec<u8>> {
    // Nobody answers in between: there is one message at most.
    let (reply, after) = answer(octets, Transport::Secure, |question, manner| {
        lock(world).react_secure(site.at, question, manner)
    })
    .pop()?;
    tokio::time::sleep(after).await;
    Some(reply)
}

async fn over_h2<S>(stream: S, site: &Site, world: &Shared) -> Result<(), h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted?;
        let (world, site) = (Arc::clone(world), site.clone());
        tokio::spawn(async move {
            let (parts, mut body) = request.into_parts();
            let mut octets = Vec::new();
            while let Some(Ok(part)) = body.data().await {
                let _ = body.flow_control().release_capacity(part.len());
                octets.extend_from_slice(&part);
                if octets.len() > REQUEST_LEN_MAX {
                    return;
                }
            }
            let path = parts.uri.path().to_owned();
            let Some((status, media, reply)) = respond_to(&site, &world, &path, &octets).await
            else {
                return std::future::pending::<()>().await;
            };
            let head = http::Response::builder()
                .status(status)
                .header("content-type", media)
                .body(());
            let sent = head.ok().map(|head| respond.send_response(head, false));
            if let Some(Ok(mut sink)) = sent {
                let _ = sink.send_data(Bytes::from(reply), true);
            }
        });
    }
    Ok(())
}

/// Status, media type and body in answer to a request; `None`: silence.
async fn respond_to(
    site: &Site,
    world: &Shared,
    path: &str,
    octets: &[u8],
) -> Option<(u16, String, Vec<u8>)> {
    if let Some(instead) = &site.instead {
        return Some(instead.page());
    }
    let wanted = match &site.channel {
        Channel::Https { path, .. } => path.as_str(),
        Channel::Tls { .. } | Channel::Plain => "",
    };
    if path != wanted {
        return Some((404, "text/plain".to_owned(), b"no such path\n".to_vec()));
    }
    let reply = ask(site, world, octets).await?;
    Some((200, MEDIA_TYPE.to_owned(), reply))
}

async fn over_http_1<S>(mut stream: S, site: &Site, world: &Shared) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = Vec::new();
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > REQUEST_LEN_MAX || stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        is_it.then(|| value.trim().parse::<usize>().ok())?
    });
    let whole = end + length.unwrap_or(0).min(REQUEST_LEN_MAX);
    while buffer.len() < whole {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
    let Some((status, media, reply)) = respond_to(site, world, &path, &buffer[end..whole]).await
    else {
        return std::future::pending().await;
    };
    let head = format!(
        "HTTP/1.1 {status} OK\r\nContent-Type: {media}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        reply.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&reply).await?;
    stream.shutdown().await
}
