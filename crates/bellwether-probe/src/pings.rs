//! One ping socket for all echoes of a family, in a worker that sends many.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bellwether_model::net::Family;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::icmp::{PACKET_LEN_MAX, TOKEN_LEN, ping_socket, reply_in, request};
use crate::sys::{awaited, report_icmp_errors};

/// Sockets that are kept: two families, and a few addresses to send from.
const SOCKETS_MAX: usize = 8;
/// Echoes that one socket waits for at the same time; further ones have sockets of their own.
const WAITING_MAX: usize = 4096;
/// Packets and errors that are read in one go, before others have their turn.
const READ_MAX: usize = 256;

/// What came of an echo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Echo {
    /// It came back after so many milliseconds.
    Reply(f64),
    /// Nothing came.
    Silent,
}

/// The sockets.
#[derive(Default)]
pub(crate) struct Pings {
    sockets: RefCell<Vec<(Key, Rc<Shared>)>>,
}

type Key = (Family, Option<SocketAddr>);
type Waiting = Rc<RefCell<HashMap<u16, Waiter>>>;

/// Who waits for an echo.
struct Waiter {
    address: IpAddr,
    token: [u8; TOKEN_LEN],
    tell: oneshot::Sender<Told>,
}

enum Told {
    Came(Instant),
    /// An ICMP error came instead.
    Error,
}

struct Shared {
    socket: Rc<AsyncFd<UdpSocket>>,
    waiting: Waiting,
    next: Cell<u16>,
    reader: JoinHandle<()>,
}

impl Pings {
    /// Sends an echo and waits for it; `None` if this socket cannot tell what becomes of it.
    ///
    /// Runs within a `LocalSet`.
    pub(crate) async fn echo(
        &self,
        address: IpAddr,
        source: Option<SocketAddr>,
        wait: Duration,
    ) -> Option<Echo> {
        let shared = self.shared((Family::of(address), source))?;
        let token: [u8; TOKEN_LEN] = fastrand::u128(..).to_be_bytes();
        let (tell, told) = oneshot::channel();
        let waiter = Waiter {
            address,
            token,
            tell,
        };
        let place = shared.enter(waiter)?;
        let packet = request(address, place.number, &token);
        let start = Instant::now();
        let to = SocketAddr::new(address, 0);
        shared.socket.get_ref().send_to(&packet, to).ok()?;
        match timeout(wait, told).await {
            Ok(Ok(Told::Came(at))) => {
                let rtt = at.saturating_duration_since(start);
                Some(Echo::Reply(rtt.as_secs_f64() * 1000.0))
            }
            Ok(Ok(Told::Error) | Err(_)) => None,
            Err(_) => Some(Echo::Silent),
        }
    }

    fn shared(&self, key: Key) -> Option<Rc<Shared>> {
        let mut sockets = self.sockets.borrow_mut();
        if let Some((_, shared)) = sockets.iter().find(|(known, _)| *known == key) {
            return Some(shared.clone());
        }
        if sockets.len() >= SOCKETS_MAX {
            return None;
        }
        let shared = Rc::new(Shared::open(key).ok()?);
        sockets.push((key, shared.clone()));
        Some(shared)
    }
}

impl Shared {
    fn open((family, source): Key) -> io::Result<Self> {
        let socket = ping_socket(family, source)?;
        // Of one that is not connected the system reports errors only if it is asked to.
        report_icmp_errors(&socket, family)?;
        let wanted = Interest::READABLE.add(Interest::ERROR);
        let socket = Rc::new(awaited(socket.into(), wanted)?);
        let waiting = Waiting::default();
        let (from, to) = (socket.clone(), waiting.clone());
        let reader = tokio::task::spawn_local(async move {
            // It ends with the socket's owner, or with the socket.
            while from
                .async_io(wanted, |socket| hand_out(socket, &to))
                .await
                .is_ok()
            {}
        });
        Ok(Self {
            socket,
            waiting,
            next: Cell::new(0),
            reader,
        })
    }

    fn enter(&self, waiter: Waiter) -> Option<Place> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= WAITING_MAX || self.reader.is_finished() {
            return None;
        }
        let mut number = self.next.get();
        while waiting.contains_key(&number) {
            number = number.wrapping_add(1);
        }
        self.next.set(number.wrapping_add(1));
        waiting.insert(number, waiter);
        let waiting = self.waiting.clone();
        Some(Place { waiting, number })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// A number among those waited for, free again when this is dropped.
struct Place {
    waiting: Waiting,
    number: u16,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.borrow_mut().remove(&self.number);
    }
}

/// Reads all that came, and tells those who wait for it.
fn hand_out(socket: &UdpSocket, waiting: &Waiting) -> io::Result<()> {
    let mut bytes = [0; PACKET_LEN_MAX];
    for _ in 0..READ_MAX {
        match socket.recv_from(&mut bytes) {
            Ok((len, from)) => reply(&bytes[..len], from.ip(), waiting),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            // It is somebody's; whose, the queue of errors says.
            Err(_) => errors(socket, waiting),
        }
    }
    Ok(())
}

/// Whoever waits for this reply has its number, its token and its address.
fn reply(packet: &[u8], from: IpAddr, waiting: &Waiting) {
    let Some((number, token)) = reply_in(packet, from) else {
        return;
    };
    let mut waiting = waiting.borrow_mut();
    let is_its = |waiter: &Waiter| waiter.address == from && waiter.token == token;
    if waiting.get(&number).is_some_and(is_its)
        && let Some(waiter) = waiting.remove(&number)
    {
        // Nobody may wait any more.
        let _ = waiter.tell.send(Told::Came(Instant::now()));
    }
}

/// The queue of errors holds the packets that were answered by one, each with where it went.
fn errors(socket: &UdpSocket, waiting: &Waiting) {
    let mut packet = [MaybeUninit::uninit(); PACKET_LEN_MAX];
    for _ in 0..READ_MAX {
        let read = SockRef::from(socket).recv_from_with_flags(&mut packet, libc::MSG_ERRQUEUE);
        let Ok((_, to)) = read else { return };
        let Some(to) = to.as_socket() else { continue };
        let mut waiting = waiting.borrow_mut();
        for (_, waiter) in waiting.extract_if(|_, waiter| waiter.address == to.ip()) {
            // Nobody may wait any more.
            let _ = waiter.tell.send(Told::Error);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;
    use crate::testing::LOCALHOST;

    fn waiting(number: u16, address: &str) -> (Waiting, oneshot::Receiver<Told>) {
        let (tell, told) = oneshot::channel();
        let waiter = Waiter {
            address: address.parse().unwrap(),
            token: [7; TOKEN_LEN],
            tell,
        };
        let waiting = Waiting::default();
        waiting.borrow_mut().insert(number, waiter);
        (waiting, told)
    }

    /// An echo reply of ICMP.
    fn packet(number: u16, token: &[u8]) -> Vec<u8> {
        let [high, low] = number.to_be_bytes();
        [&[0, 0, 0, 0, 0, 0, high, low][..], token].concat()
    }

    #[test]
    fn only_its_own_reply_is_handed_to_whoever_waits() {
        let (waiting, mut told) = waiting(5, "192.0.2.1");
        let from = |packet: &[u8], address: &str| {
            reply(packet, address.parse().unwrap(), &waiting);
            waiting.borrow().is_empty()
        };
        let token = [7; TOKEN_LEN];
        // Another number, token, length, address, kind, and what is no packet.
        assert!(!from(&packet(6, &token), "192.0.2.1"));
        assert!(!from(&packet(5, &[8; TOKEN_LEN]), "192.0.2.1"));
        assert!(!from(&packet(5, &token[1..]), "192.0.2.1"));
        assert!(!from(&packet(5, &token), "192.0.2.2"));
        let mut request = packet(5, &token);
        request[0] = 8;
        assert!(!from(&request, "192.0.2.1"));
        assert!(!from(&[0, 0, 0], "192.0.2.1"));
        assert!(told.try_recv().is_err());
        assert!(from(&packet(5, &token), "192.0.2.1"));
        assert!(matches!(told.try_recv(), Ok(Told::Came(_))));
    }

    /// Whether echo is allowed depends on the system.
    #[tokio::test]
    async fn many_echoes_share_a_socket() {
        let echoes = async {
            let pings = Pings::default();
            let wait = Duration::from_secs(5);
            let all = (0..50).map(|_| pings.echo(LOCALHOST, None, wait));
            let all = futures_util::future::join_all(all).await;
            let sockets = pings.sockets.borrow();
            assert!(sockets.len() <= 1);
            for (_, shared) in sockets.iter() {
                assert!(shared.waiting.borrow().is_empty());
                assert!(all.iter().all(|echo| matches!(echo, Some(Echo::Reply(_)))));
            }
        };
        LocalSet::new().run_until(echoes).await;
    }

    #[tokio::test]
    async fn whoever_gives_up_leaves_nothing_behind() {
        let (waiting, _told) = waiting(5, "192.0.2.1");
        drop(Place {
            waiting: waiting.clone(),
            number: 5,
        });
        assert!(waiting.borrow().is_empty());
    }
}
