//! What lives as long as the worker, and not as long as one check.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::budget::Budget;
use crate::owners::Owners;
use crate::pings::Pings;
use crate::shared::Shared;
use crate::tls;

/// Longest datagram read. A query offers 1232 octets, but a server that ignores it is to be seen
/// whole; this is the longest that UDP carries.
const DATAGRAM_LEN_MAX: usize = 65_535;

/// How long a table of prefixes counts as what the file holds: tables are made once a day.
const OWNERS_AGE: Duration = Duration::from_secs(3600);

/// How long it counts whether there is a route: it costs three system calls to ask, and a visit that goes
/// by what was so a second ago is told what came of that.
const ROUTE_AGE: Duration = Duration::from_secs(1);

/// What the checks and probes of one worker share.
#[derive(Default)]
pub(crate) struct Memory {
    /// Configurations, and what was made of chains.
    pub(crate) tls: tls::Memory,
    /// Where datagrams are read to.
    pub(crate) datagrams: Datagrams,
    /// What all probes may hold together.
    pub(crate) budget: Budget,
    /// Ping sockets, in a worker of many probes.
    pub(crate) pings: Option<Pings>,
    /// What traces share, in a worker of many probes.
    pub(crate) shared: Option<Shared>,
    /// Whether there was a route for IPv6, and when that was asked.
    v6: Cell<Option<(Instant, bool)>>,
    /// The table of prefixes that was read last.
    owners: Mutex<Option<(PathBuf, Instant, Rc<Owners>)>>,
}

impl Memory {
    /// That of a worker of many probes.
    pub(crate) fn of_many() -> Self {
        Self {
            pings: Some(Pings::default()),
            shared: Some(Shared::default()),
            ..Self::default()
        }
    }

    /// Is there a route for IPv6? By `ask`, if that was not asked a moment ago.
    pub(crate) fn has_v6(&self, ask: impl FnOnce() -> bool) -> bool {
        let now = Instant::now();
        let known = self.v6.get();
        if let Some((_, has)) = known.filter(|(at, _)| now - *at < ROUTE_AGE) {
            return has;
        }
        let has = ask();
        self.v6.set(Some((now, has)));
        has
    }

    /// The table of prefixes at this path, read now or lately.
    ///
    /// A large one takes seconds, in which the one thread of the probes must go on.
    pub(crate) async fn owners(&self, path: Option<&Path>) -> Rc<Owners> {
        let Some(path) = path else {
            return Rc::default();
        };
        let mut kept = self.owners.lock().await;
        if let Some((known, read, owners)) = &*kept
            && known == path
            && read.elapsed() < OWNERS_AGE
        {
            return owners.clone();
        }
        // Whoever gave it has read it before; one that is gone since only lowers confidence.
        let from = path.to_owned();
        let read = spawn_blocking(move || Owners::load(&from).unwrap_or_default()).await;
        let owners = Rc::new(read.unwrap_or_default());
        *kept = Some((path.to_owned(), Instant::now(), owners.clone()));
        owners
    }
}

/// Room for one datagram: each is looked at where it was read, and only what counts is copied.
#[derive(Default)]
pub(crate) struct Datagrams {
    buffer: RefCell<Vec<u8>>,
}

impl Datagrams {
    /// Reads one datagram.
    pub(crate) fn read<T>(
        &self,
        socket: &UdpSocket,
        look: impl FnOnce(&[u8], SocketAddr) -> T,
    ) -> io::Result<T> {
        let mut buffer = self.buffer.borrow_mut();
        buffer.resize(DATAGRAM_LEN_MAX, 0);
        let (len, from) = socket.recv_from(&mut buffer)?;
        Ok(look(&buffer[..len], from))
    }
}
