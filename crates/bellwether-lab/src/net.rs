//! Sockets of the box: bound to any address, and silent where a scenario says so.

use std::net::SocketAddr;
use std::sync::Arc;

use socket2::{Domain, Protocol, SockAddr, SockFilter, SockRef, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use crate::LabError;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 512;
/// Classic BPF: `ret #0`, which drops every segment, SYNs first.
const DROP_ALL: [SockFilter; 1] = [SockFilter::new(0x06, 0, 0, 0)];

fn socket(at: SocketAddr, kind: Type, protocol: Protocol) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), kind, Some(protocol))?;
    match at {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(at))?;
    Ok(socket)
}

/// A UDP socket at any address.
pub(crate) fn udp_socket(at: SocketAddr) -> Result<UdpSocket, LabError> {
    let made = socket(at, Type::DGRAM, Protocol::UDP);
    made.and_then(|s| UdpSocket::from_std(s.into()))
        .map_err(|source| LabError::Listen {
            address: at,
            source,
        })
}

/// A listener at any address.
pub(crate) fn tcp_listener(at: SocketAddr) -> Result<TcpListener, LabError> {
    let made = socket(at, Type::STREAM, Protocol::TCP).and_then(|s| {
        s.listen(BACKLOG)?;
        TcpListener::from_std(s.into())
    });
    made.map_err(|source| LabError::Listen {
        address: at,
        source,
    })
}

/// A listener that can be made silent: connections to it then time out, as behind a filter that
/// drops.
pub(crate) struct Silence {
    listener: Arc<TcpListener>,
    at: SocketAddr,
    silent: bool,
}

impl Silence {
    pub(crate) fn new(listener: Arc<TcpListener>, at: SocketAddr) -> Self {
        Self {
            listener,
            at,
            silent: false,
        }
    }

    /// Makes it silent, or lets it speak again.
    pub(crate) fn set(&mut self, silent: bool) -> Result<(), LabError> {
        if silent == self.silent {
            return Ok(());
        }
        let socket = SockRef::from(&*self.listener);
        let done = if silent {
            socket.attach_filter(&DROP_ALL)
        } else {
            socket.detach_filter()
        };
        done.map_err(|source| LabError::Listen {
            address: self.at,
            source,
        })?;
        self.silent = silent;
        Ok(())
    }
}
