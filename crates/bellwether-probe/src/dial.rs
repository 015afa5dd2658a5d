//! Every socket is opened here, under the egress rule and from the vantage's own addresses.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use bellwether_model::job::Job;
use bellwether_model::net::{Family, TcpResult};
use bellwether_model::{Egress, Origin};
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};

use crate::room::{is_exhausted, opened};

/// Why no connection opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotDialled {
    /// The egress rule forbids the address.
    Refused(String),
    /// What became of the attempt.
    Failed(TcpResult),
    /// This system has nothing left to open a connection with; says nothing of the address.
    Exhausted(String),
}

/// Opens sockets: asks the egress rule at every dial and binds the vantage's source address.
#[derive(Clone, Debug)]
pub struct Dialer {
    egress: Egress,
    sources: Vec<IpAddr>,
    /// Addresses that may be dialled whatever names them: typed or configured by the operator.
    typed: Vec<IpAddr>,
}

impl Dialer {
    /// The dialler of one check.
    #[must_use]
    pub fn new(job: &Job) -> Self {
        let typed = job.connect.into_iter().collect();
        Self {
            egress: job.egress.clone(),
            sources: job.sources.clone(),
            typed,
        }
    }

    /// May this address be dialled?
    ///
    /// # Errors
    /// The reason in words.
    pub fn permits(&self, address: IpAddr, origin: Origin) -> Result<(), String> {
        if !self.typed.contains(&address) {
            self.egress.permits(address, origin)?;
        }
        #[cfg(test)]
        crate::testing::keep_on_this_machine(address, || self.has_route((address, 9).into()));
        Ok(())
    }

    /// The source address to bind for a destination, port 0; `None` leaves it to the system.
    #[must_use]
    pub fn source(&self, destination: IpAddr) -> Option<SocketAddr> {
        let family = Family::of(destination);
        let source = self.sources.iter().find(|s| Family::of(**s) == family)?;
        Some(SocketAddr::new(*source, 0))
    }

    /// Connects, from the vantage's source address, if the egress rule permits it.
    ///
    /// It waits as long as the system does; the caller sets the limit.
    ///
    /// # Errors
    /// If the rule forbids it or the attempt fails.
    pub async fn tcp(&self, to: SocketAddr, origin: Origin) -> Result<TcpStream, NotDialled> {
        self.tcp_with(to, origin, None).await
    }

    /// [`Self::tcp`] with segments of at most `mss` bytes, both ways: the SYN says so.
    ///
    /// # Errors
    /// As of [`Self::tcp`].
    pub(crate) async fn tcp_with(
        &self,
        to: SocketAddr,
        origin: Origin,
        mss: Option<u16>,
    ) -> Result<TcpStream, NotDialled> {
        self.permits(to.ip(), origin).map_err(NotDialled::Refused)?;
        let failed = |error: io::Error| {
            if is_exhausted(&error) {
                return NotDialled::Exhausted(system_words(&error));
            }
            NotDialled::Failed(self.failure(to, &error))
        };
        let socket = opened(|| self.socket(to.ip())).await.map_err(failed)?;
        if let Some(mss) = mss {
            let set = SockRef::from(&socket).set_tcp_mss(mss.into());
            set.map_err(failed)?;
        }
        let stream = socket.connect(to).await.map_err(failed)?;
        // Source and destination on this host may meet (simultaneous open, RFC 9293 section 3.5):
        // then nobody listens.
        if stream.local_addr().ok() == Some(to) {
            return Err(NotDialled::Failed(TcpResult::Refused));
        }
        Ok(stream)
    }

    fn socket(&self, to: IpAddr) -> io::Result<TcpSocket> {
        let socket = match Family::of(to) {
            Family::V4 => TcpSocket::new_v4()?,
            Family::V6 => TcpSocket::new_v6()?,
        };
        if let Some(source) = self.source(to) {
            socket.bind(source)?;
        }
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    fn failure(&self, to: SocketAddr, error: &io::Error) -> TcpResult {
        match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => TcpResult::Refused,
            Some(libc::ECONNRESET | libc::ECONNABORTED | libc::EPIPE) => TcpResult::Reset,
            Some(libc::ETIMEDOUT) => TcpResult::TimedOut,
            _ if !self.has_route(to) => TcpResult::NoRoute,
            // A firewall that forbids answers with the last two (RFC 1812 section 5.2.7.1).
            Some(
                libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::EACCES
                | libc::ENONET,
            ) => TcpResult::Unreachable {
                error: system_words(error),
            },
            _ => TcpResult::Error {
                error: system_words(error),
            },
        }
    }

    /// Does the vantage have a route to the address? Asked of the system: no packet leaves.
    ///
    /// Connecting a datagram socket only looks the route up. So `ENETUNREACH` of a connection
    /// attempt can be told apart: no route here, or an ICMP error from out there.
    #[must_use]
    pub fn has_route(&self, to: SocketAddr) -> bool {
        let any: SocketAddr = match Family::of(to.ip()) {
            Family::V4 => ([0; 4], 0).into(),
            Family::V6 => ([0; 16], 0).into(),
        };
        // A source address that cannot be bound is another fault than a missing route.
        let socket = self
            .source(to.ip())
            .and_then(|source| UdpSocket::bind(source).ok())
            .map_or_else(|| UdpSocket::bind(any), Ok);
        match socket.and_then(|socket| socket.connect(to)) {
            Ok(()) => true,
            // That nothing can be asked of the system is no missing route.
            Err(error) => is_exhausted(&error),
        }
    }
}

/// Can packets leave from this address? It is bound for a moment; nothing is sent.
///
/// # Errors
/// The system's words.
pub fn stands_at(address: IpAddr) -> Result<(), String> {
    match UdpSocket::bind((address, 0)) {
        Ok(_) => Ok(()),
        Err(error) => Err(system_words(&error)),
    }
}

/// The system's words for an error, without Rust's `(os error 111)`.
#[must_use]
pub(crate) fn system_words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Network, is_alone, job};

    async fn dialled(to: &str, job: Job) -> NotDialled {
        let to = to.parse().unwrap();
        let dialled = Dialer::new(&job).tcp(to, Origin::Operator).await;
        dialled.unwrap_err()
    }

    #[tokio::test]
    async fn without_a_route_no_packet_leaves() {
        let name = "dial::tests::without_a_route_no_packet_leaves";
        if !is_alone(name, Network::Nothing) {
            return;
        }
        for to in ["192.0.2.1:443", "[2001:db8::1]:443", "127.0.0.1:443"] {
            let failed = dialled(to, job("https://svc.test/")).await;
            assert_eq!(failed, NotDialled::Failed(TcpResult::NoRoute), "{to}");
        }
    }

    #[tokio::test]
    async fn a_source_address_that_is_not_ours_is_no_missing_route() {
        let mut job = job("https://svc.test/");
        job.sources = vec!["203.0.113.7".parse().unwrap()];
        let failed = dialled("127.0.0.1:9", job).await;
        assert!(matches!(
            failed,
            NotDialled::Failed(TcpResult::Error { .. })
        ));
    }

    #[tokio::test]
    async fn the_source_address_is_bound() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut job = job("https://svc.test/");
        job.sources = vec!["127.0.0.9".parse().unwrap()];
        let to = listener.local_addr().unwrap();
        let dial = Dialer::new(&job);
        let (stream, accepted) = tokio::join!(dial.tcp(to, Origin::Operator), listener.accept());
        let from = accepted.unwrap().1.ip().to_string();
        assert_eq!(from, "127.0.0.9");
        drop(stream);
    }
}
