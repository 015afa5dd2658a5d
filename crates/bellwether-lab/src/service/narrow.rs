//! A path that is narrower than its ends believe, and on which nobody says so: segments that do not
//! fit are lost, and so is all that comes behind them, since it cannot be taken before them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes of the headers of IPv4 and IPv6 with TCP.
const HEADERS_V4: usize = 40;
const HEADERS_V6: usize = 60;

/// A connection over such a path.
pub(super) struct Narrow {
    stream: TcpStream,
    /// The largest segment that fits; `None` on a usual path.
    limit: Option<usize>,
    /// A segment was lost.
    lost: bool,
}

impl Narrow {
    pub(super) fn new(stream: TcpStream, path_mtu: Option<u16>) -> Self {
        let is_v4 = stream.local_addr().is_ok_and(|at| at.is_ipv4());
        let headers = if is_v4 { HEADERS_V4 } else { HEADERS_V6 };
        let limit = path_mtu.map(|mtu| usize::from(mtu).saturating_sub(headers));
        Self {
            stream,
            limit,
            lost: false,
        }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Is a segment of these bytes larger than what fits? As large as both ends agreed on, the
    /// system makes them.
    fn loses(&self, len: usize) -> bool {
        let Some(limit) = self.limit else {
            return false;
        };
        let segment = SockRef::from(&self.stream).tcp_mss();
        let segment = segment.map_or(len, |mss| usize::try_from(mss).unwrap_or(len));
        len.min(segment) > limit
    }
}

impl AsyncRead for Narrow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Narrow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.lost || self.loses(bytes.len()) {
            self.lost = true;
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.limit.is_none() {
            return Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        }
        let first = parts.iter().find(|part| !part.is_empty());
        self.poll_write(cx, first.map_or(&[][..], |part| part))
    }

    /// All at once on a usual path: what TLS says last, an alert, is written once and not again.
    fn is_write_vectored(&self) -> bool {
        self.limit.is_none()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The end of the stream waits behind what is lost.
        if self.lost {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
