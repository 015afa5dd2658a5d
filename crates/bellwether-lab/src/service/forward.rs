//! The link between an agent and the hub: carried by hand, so that it can be cut alone.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::peer;
use crate::LabError;
use crate::net::{Gate, tcp_listener};
use crate::scenario::LinkWord;

/// What is carried at once, bytes.
const PIECE_LEN: usize = 16 * 1024;

/// One agent's link: a port that leads to the hub.
pub(crate) struct Forwarder {
    at: SocketAddr,
    word: watch::Sender<LinkWord>,
    gate: Gate<TcpListener>,
    task: JoinHandle<()>,
}

impl Forwarder {
    /// Listens at `at`, and carries everything to `to`, from an address of the agent's own if one is
    /// given.
    pub(crate) fn new(
        at: SocketAddr,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> Result<Self, LabError> {
        let listener = Arc::new(tcp_listener(at)?);
        let at = listener.local_addr().unwrap_or(at);
        let gate = Gate::new(Arc::clone(&listener), at);
        let (word, hears) = watch::channel(LinkWord::Open);
        let task = tokio::spawn(accept(listener, to, from, hears));
        Ok(Self {
            at,
            word,
            gate,
            task,
        })
    }

    /// Where the agent finds it.
    pub(crate) fn at(&self) -> SocketAddr {
        self.at
    }

    /// The link is so from now on.
    pub(crate) fn set(&mut self, word: LinkWord) -> Result<(), LabError> {
        self.gate.set(word == LinkWord::Silent, &[])?;
        self.word.send_replace(word);
        Ok(())
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: Arc<TcpListener>,
    to: SocketAddr,
    from: Option<IpAddr>,
    word: watch::Receiver<LinkWord>,
) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((agent, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        connections.spawn(carry(agent, to, from, word.clone()));
    }
}

/// Carries one connection, until either side ends it or the link is refused.
async fn carry(
    mut agent: TcpStream,
    to: SocketAddr,
    from: Option<IpAddr>,
    mut word: watch::Receiver<LinkWord>,
) {
    let is_refused = *word.borrow_and_update() == LinkWord::Refused;
    let hub = match is_refused {
        true => None,
        false => dial(to, from).await.ok(),
    };
    let Some(mut hub) = hub else {
        // Nobody listens behind it.
        let _ = peer::reset(&agent);
        return;
    };
    // Small frames that ask and answer must not wait for each other.
    let _ = (agent.set_nodelay(true), hub.set_nodelay(true));
    let (up, down) = (word.clone(), word.clone());
    let ended = {
        let ((agent_in, agent_out), (hub_in, hub_out)) = (agent.split(), hub.split());
        let both =
            async { tokio::join!(pass(agent_in, hub_out, up), pass(hub_in, agent_out, down)) };
        tokio::select! {
            ((), ()) = both => true,
            _ = word.wait_for(|word| *word == LinkWord::Refused) => false,
        }
    };
    if !ended {
        let _ = (peer::reset(&agent), peer::reset(&hub));
    }
}

async fn dial(to: SocketAddr, from: Option<IpAddr>) -> std::io::Result<TcpStream> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(from) = from.filter(|from| from.is_ipv4() == to.is_ipv4()) {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    socket.connect(to).await
}

/// Passes on what comes while the link is open, and holds it while it is silent.
async fn pass<R, W>(mut from: R, mut to: W, mut word: watch::Receiver<LinkWord>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut piece = vec![0; PIECE_LEN];
    loop {
        let len = match from.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(len) => len,
        };
        let open = word.wait_for(|word| *word == LinkWord::Open).await.is_ok();
        if !open || to.write_all(&piece[..len]).await.is_err() {
            return;
        }
    }
    let open = word.wait_for(|word| *word == LinkWord::Open).await.is_ok();
    if open {
        let _ = to.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    /// Far above what a machine takes that does much else.
    const PATIENCE: Duration = Duration::from_secs(60);
    const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    /// A hub that says back what it hears, and how many bytes of each connection it heard.
    async fn hub() -> (SocketAddr, watch::Receiver<usize>) {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let at = listener.local_addr().unwrap();
        let (heard, hears) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let heard = heard.clone();
                tokio::spawn(async move {
                    let mut piece = [0; 64];
                    while let Ok(len @ 1..) = stream.read(&mut piece).await {
                        heard.send_modify(|all| *all += len);
                        let _ = stream.write_all(&piece[..len]).await;
                    }
                });
            }
        });
        (at, hears)
    }

    async fn echo(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(text).await?;
        let mut said = vec![0; text.len()];
        let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut said)).await;
        read.unwrap()?;
        Ok(said)
    }

    #[tokio::test]
    async fn a_link_is_cut_and_mended() {
        let (hub, heard) = hub().await;
        let from = Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)));
        let mut link = Forwarder::new(ANY, hub, from).unwrap();
        let mut agent = TcpStream::connect(link.at()).await.unwrap();
        assert_eq!(echo(&mut agent, b"one").await.unwrap(), b"one");
        // What is sent over a silent link arrives when it is mended, and not before.
        link.set(LinkWord::Silent).unwrap();
        agent.write_all(b"two").await.unwrap();
        let early = async {
            let mut octet = [0];
            agent.read_exact(&mut octet).await
        };
        tokio::select! {
            biased;
            early = early => panic!("{early:?}"),
            () = yields() => {}
        }
        assert_eq!(*heard.borrow(), 3);
        link.set(LinkWord::Open).unwrap();
        let mut said = [0; 3];
        agent.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"two");
        // A refused link ends what is connected, and takes nobody.
        link.set(LinkWord::Refused).unwrap();
        let ended = tokio::time::timeout(PATIENCE, agent.read(&mut said))
            .await
            .unwrap();
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
        let mut late = TcpStream::connect(link.at()).await.unwrap();
        assert!(echo(&mut late, b"three").await.is_err());
        link.set(LinkWord::Open).unwrap();
        let mut again = TcpStream::connect(link.at()).await.unwrap();
        assert_eq!(echo(&mut again, b"four").await.unwrap(), b"four");
    }

    /// Lets everything else run that can.
    async fn yields() {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
    }
}
