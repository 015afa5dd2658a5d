//! Byte streams that remember how they began.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// First bytes that are kept, to say what a peer speaks.
const HEAD_LEN: usize = 64;

/// What an HTTP exchange runs over.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire for T {}

/// More came than the limit allows.
#[derive(Debug, thiserror::Error)]
#[error("more than {limit} bytes came")]
struct TooMuch {
    limit: usize,
}

/// The limit of bytes that ended reading, if that is what did.
pub(crate) fn limit_met(error: &io::Error) -> Option<usize> {
    let inner = error.get_ref()?.downcast_ref::<TooMuch>()?;
    Some(inner.limit)
}

/// A connection that keeps the first bytes it read and counts the rest.
#[derive(Debug)]
pub(crate) struct Watched {
    stream: TcpStream,
    head: Vec<u8>,
    read: usize,
    limit: usize,
}

impl Watched {
    /// Reads fail beyond `limit` bytes.
    pub(crate) fn new(stream: TcpStream, limit: usize) -> Self {
        Self {
            stream,
            head: Vec::new(),
            read: 0,
            limit,
        }
    }

    /// The first bytes that came.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// What comes from here on is bounded elsewhere.
    pub(crate) fn lift_limit(&mut self) {
        self.limit = usize::MAX;
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read >= self.limit {
            let error = TooMuch { limit: self.limit };
            return Poll::Ready(Err(io::Error::other(error)));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let came = &buf.filled()[before..];
        let room = HEAD_LEN - self.head.len();
        let len = came.len();
        self.head.extend_from_slice(&came[..len.min(room)]);
        self.read = self.read.saturating_add(len);
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    /// The records that end a handshake leave in one segment.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
