//! Servers that hang, reset, dribble and babble, each at a port of its own; for a few minutes.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Ports, in the order of [`Way`]'s variants.
pub(crate) const PORTS: [u16; 4] = [9001, 9002, 9003, 9004];
/// Connections held at the same time, of all ports together: below the usual limit of descriptors.
const HELD_MAX: usize = 8_000;
/// How long one is held: above any time that a check waits.
const HOLD: Duration = Duration::from_secs(15);
/// What babbles, at once and in all.
const BABBLE_LEN: usize = 16 * 1024;
const BABBLE_TIMES: usize = 64;

/// What a server does to whoever connects.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Takes the connection, and is silent.
    Hangs,
    /// Resets it.
    Resets,
    /// Says one byte a second.
    Dribbles,
    /// Says much that means nothing.
    Babbles,
}

/// Serves until the input ends.
///
/// # Errors
/// A port is taken.
pub(crate) fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start a runtime")?;
    runtime.block_on(async {
        let held = Arc::new(Semaphore::new(HELD_MAX));
        let ways = [Way::Hangs, Way::Resets, Way::Dribbles, Way::Babbles];
        for (port, way) in PORTS.into_iter().zip(ways) {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await;
            let listener = listener.with_context(|| format!("port {port} is taken"))?;
            tokio::spawn(listen(listener, way, held.clone()));
        }
        // Whoever started this closes its end, or ends.
        let gone = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = tokio::task::spawn_blocking(gone).await;
        Ok(())
    })
}

async fn listen(listener: TcpListener, way: Way, held: Arc<Semaphore>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptor is left: others give some back.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Beyond the bound a connection is closed at once, which is hostile enough.
        let Ok(place) = held.clone().try_acquire_owned() else {
            continue;
        };
        tokio::spawn(async move {
            // Whoever is tired of it closes.
            let _ = timeout(HOLD, treat(stream, way)).await;
            drop(place);
        });
    }
}

async fn treat(mut stream: TcpStream, way: Way) -> std::io::Result<()> {
    match way {
        Way::Hangs => {
            let mut sink = [0; 4096];
            while stream.read(&mut sink).await? > 0 {}
            Ok(())
        }
        Way::Resets => {
            // Unread bytes make the kernel reset instead of close.
            stream.readable().await?;
            stream.set_zero_linger()
        }
        Way::Dribbles => {
            let (mut read, mut write) = stream.split();
            let dribble = async {
                loop {
                    write.write_all(b"H").await?;
                    sleep(Duration::from_secs(1)).await;
                }
            };
            let mut sink = [0; 4096];
            let gone = async { while read.read(&mut sink).await.is_ok_and(|len| len > 0) {} };
            tokio::select! {
                ended = dribble => ended,
                () = gone => Ok(()),
            }
        }
        Way::Babbles => {
            let babble: Vec<u8> = (0..BABBLE_LEN)
                .map(|n| u8::try_from(n * 7919 % 251).unwrap_or_default())
                .collect();
            for _ in 0..BABBLE_TIMES {
                stream.write_all(&babble).await?;
            }
            Ok(())
        }
    }
}
