//! The sockets of the scripted DNS servers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use domain::base::iana::{Class, Rtype};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::recursor::{DELAY_MAX, refused};
use super::wire::{Incoming, Query};
use super::{Manner, Reaction, Transport, hostile};
use crate::LabError;
use crate::net::{Gate, tcp_listener, udp_socket};
use crate::world::zone::Name;
use crate::world::{Shared, lock};

/// The port of DNS.
const PORT: u16 = 53;
/// Largest message.
const MESSAGE_LEN_MAX: usize = 65_535;
/// How long a TCP connection may stay idle (RFC 7766 section 6.2.3).
const TCP_IDLE: Duration = Duration::from_secs(10);

/// The DNS servers that listen.
pub(crate) struct DnsServers {
    world: Shared,
    listeners: BTreeMap<IpAddr, (Gate<UdpSocket>, Gate<TcpListener>)>,
    tasks: JoinSet<()>,
}

impl DnsServers {
    pub(crate) fn new(world: Shared) -> Self {
        Self {
            world,
            listeners: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Listens at every server address of the world, and makes TCP as silent as it has to be.
    /// UDP is silent by not answering. What is lost on the way to them does not arrive at either.
    pub(crate) fn follow(&mut self) -> Result<(), LabError> {
        let world = lock(&self.world);
        let (wanted, losses) = (world.dns_addresses(), world.vantages.losses());
        drop(world);
        for (address, silent) in wanted {
            if !self.listeners.contains_key(&address) {
                self.listen(address)?;
            }
            if let Some((udp, tcp)) = self.listeners.get_mut(&address) {
                udp.set(false, &losses)?;
                tcp.set(silent, &losses)?;
            }
        }
        Ok(())
    }

    fn listen(&mut self, address: IpAddr) -> Result<(), LabError> {
        let at = SocketAddr::new(address, PORT);
        let udp = Arc::new(udp_socket(at)?);
        let listener = Arc::new(tcp_listener(at)?);
        let gates = (
            Gate::new(Arc::clone(&udp), at),
            Gate::new(Arc::clone(&listener), at),
        );
        self.listeners.insert(address, gates);
        self.tasks
            .spawn(serve_udp(udp, address, Arc::clone(&self.world)));
        self.tasks
            .spawn(serve_tcp(listener, address, Arc::clone(&self.world)));
        Ok(())
    }
}

/// How long after a forged answer the real one comes.
const FORGED_BEFORE: Duration = Duration::from_millis(3);

/// What is sent in answer to octets, each message with its delay: by a server at one address to
/// whoever asks from another.
fn respond(
    octets: &[u8],
    between: (IpAddr, IpAddr),
    transport: Transport,
    world: &Shared,
) -> Vec<(Vec<u8>, Duration)> {
    answer(octets, transport, |question, manner| {
        lock(world).react(between, question, manner)
    })
}

/// The same by whatever reacts to the question.
pub(super) fn answer(
    octets: &[u8],
    transport: Transport,
    react: impl FnOnce((&Name, Rtype), Manner) -> Reaction,
) -> Vec<(Vec<u8>, Duration)> {
    let query = match Query::read(octets) {
        Incoming::Query(query) => query,
        Incoming::Bad(reply) => return vec![(reply, Duration::ZERO)],
        Incoming::Noise => return Vec::new(),
    };
    let transfer = query.qtype == Rtype::AXFR || query.qtype == Rtype::IXFR;
    let reaction = if query.class != Class::IN || transfer {
        Reaction::answer(refused(), Duration::ZERO, true)
    } else {
        react((&query.qname, query.qtype), query.manner(transport))
    };
    match reaction {
        Reaction::Silent => Vec::new(),
        Reaction::Answer { reply, after, edns } => {
            vec![(query.write(&reply, transport, edns), after.min(DELAY_MAX))]
        }
        Reaction::Forged {
            forged,
            reply,
            after,
            edns,
        } => {
            let real = (after + FORGED_BEFORE).min(DELAY_MAX);
            vec![
                (query.write(&forged, transport, edns), Duration::ZERO),
                (query.write(&reply, transport, edns), real),
            ]
        }
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, address: IpAddr, world: Shared) {
    let mut buffer = vec![0; MESSAGE_LEN_MAX];
    let mut delayed = JoinSet::new();
    loop {
        let Ok((len, peer)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        if lock(&world).path.is_silent(Transport::Udp) {
            continue;
        }
        let between = (address, peer.ip());
        let messages = respond(&buffer[..len], between, Transport::Udp, &world);
        let hostile = lock(&world).hostile(address);
        if let Some(word) = hostile {
            let (socket, query) = (Arc::clone(&socket), buffer[..len].to_vec());
            delayed.spawn(async move {
                for (octets, after) in messages {
                    tokio::time::sleep(after).await;
                    let _ = hostile::send(word, &socket, &query, &octets, peer).await;
                }
            });
            continue;
        }
        while delayed.try_join_next().is_some() {}
        for (octets, after) in messages {
            if !lock(&world).path.carries(address, octets.len()) {
                continue;
            }
            if after.is_zero() {
                // A client that has gone away is no matter of the server's.
                let _ = socket.send_to(&octets, peer).await;
                continue;
            }
            let socket = Arc::clone(&socket);
            delayed.spawn(async move {
                tokio::time::sleep(after).await;
                let _ = socket.send_to(&octets, peer).await;
            });
        }
    }
}

async fn serve_tcp(listener: Arc<TcpListener>, address: IpAddr, world: Shared) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        let world = Arc::clone(&world);
        let between = (address, peer.ip());
        connections.spawn(async move {
            // A connection that ends early is the client's choice.
            let _ =
                tokio::time::timeout(TCP_IDLE + DELAY_MAX, converse(stream, between, world)).await;
        });
    }
}

async fn converse(
    mut stream: TcpStream,
    between: (IpAddr, IpAddr),
    world: Shared,
) -> std::io::Result<()> {
    loop {
        let len = tokio::time::timeout(TCP_IDLE, stream.read_u16()).await??;
        let mut octets = vec![0; usize::from(len)];
        stream.read_exact(&mut octets).await?;
        let hostile = lock(&world).hostile(between.0);
        for (reply, after) in respond(&octets, between, Transport::Tcp, &world) {
            tokio::time::sleep(after).await;
            match hostile {
                None => stream.write_all(&reply).await?,
                Some(word) if hostile::answer(word, &mut stream, &reply).await? => {}
                Some(_) => return Ok(()),
            }
        }
    }
}
