//! A network between the two: late, stalling, cut at any byte, away for hours.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::time::Instant;

use super::hub::Hub;
use super::lock;

/// Bytes on their way in each direction: what a connection's buffers hold.
const ON_THE_WAY: usize = 64 * 1024;

pub(super) struct Weather {
    random: Mutex<fastrand::Rng>,
    is_well: Mutex<bool>,
    /// Nobody is reached before then.
    away: Mutex<Option<Instant>>,
}

/// What becomes of a connection.
#[derive(Clone, Copy)]
struct Fate {
    late: Duration,
    /// Bytes that come through in one direction.
    bytes: u64,
    /// Whoever waits for the rest is not told that it will not come.
    is_silent: bool,
}

impl Weather {
    pub(super) fn new(random: fastrand::Rng) -> Arc<Self> {
        Arc::new(Self {
            random: Mutex::new(random),
            is_well: Mutex::new(false),
            away: Mutex::new(None),
        })
    }

    /// From now on the sun shines.
    pub(super) fn heal(&self) {
        *lock(&self.is_well) = true;
        *lock(&self.away) = None;
    }

    /// A connection to the hub.
    pub(super) fn dial(self: &Arc<Self>, hub: &Arc<Hub>) -> io::Result<DuplexStream> {
        if lock(&self.away).is_some_and(|until| Instant::now() < until) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let fate = self.fate();
        let (agent, near) = tokio::io::duplex(ON_THE_WAY);
        let (far, served) = tokio::io::duplex(ON_THE_WAY);
        let visit = tokio::spawn(hub.clone().serve(served));
        let weather = self.clone();
        tokio::spawn(async move {
            weather.carry(near, far, fate).await;
            visit.abort();
        });
        Ok(agent)
    }

    fn fate(&self) -> Fate {
        if *lock(&self.is_well) {
            return Fate {
                late: Duration::from_millis(20),
                bytes: u64::MAX,
                is_silent: false,
            };
        }
        let mut random = lock(&self.random);
        // From within the first message to hours.
        let most = 1_u64 << random.u32(4..22);
        Fate {
            late: Duration::from_millis(random.u64(1..400)),
            bytes: random.u64(0..most),
            is_silent: random.bool(),
        }
    }

    async fn carry(&self, near: DuplexStream, far: DuplexStream, fate: Fate) {
        let (near_read, near_write) = tokio::io::split(near);
        let (far_read, far_write) = tokio::io::split(far);
        tokio::select! {
            () = pump(near_read, far_write, fate) => {}
            () = pump(far_read, near_write, fate) => {}
        }
        if *lock(&self.is_well) {
            return;
        }
        let mut random = lock(&self.random);
        if random.u32(0..6) == 0 {
            let away = Duration::from_secs(random.u64(1..2 * 3_600));
            *lock(&self.away) = Some(Instant::now() + away);
        }
    }
}

async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, fate: Fate) {
    let mut left = fate.bytes;
    let mut buffer = vec![0; 8 * 1024];
    while left > 0 {
        let Ok(len) = from.read(&mut buffer).await else {
            return;
        };
        if len == 0 {
            return;
        }
        tokio::time::sleep(fate.late).await;
        let through = len.min(usize::try_from(left).unwrap_or(usize::MAX));
        if to.write_all(&buffer[..through]).await.is_err() {
            return;
        }
        left -= through as u64;
    }
    if fate.is_silent {
        // Nothing comes and nothing ends, until somebody gives up.
        let mut sink = tokio::io::sink();
        let _ = tokio::io::copy(&mut from, &mut sink).await;
    }
}
