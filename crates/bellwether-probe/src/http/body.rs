//! Bodies: read up to a bound, hashed, and what was wrong with them.

use std::time::Duration;

use bellwether_model::http::{BodyEnd, BodySeen};
use bellwether_model::text::inert_bytes;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout_at};

use super::head::Framing;
use crate::wire::Wire;

/// Bytes of a body that are read. Expectations look at the beginning of pages, not at downloads.
const BODY_LEN_MAX: usize = 1024 * 1024;
/// Longest line of a chunk's size with its extensions (RFC 9112 section 7.1.1 lets us bound them).
const CHUNK_LINE_LEN_MAX: usize = 1024;
/// Bytes of trailers.
const TRAILERS_LEN_MAX: usize = 16 * 1024;
/// Characters of a body that are shown.
const SAMPLE_LEN: usize = 256;
/// Bytes asked of the connection at once.
const READ_LEN: usize = 16 * 1024;

/// A connection with what was read of it and not used yet.
pub(crate) struct Source<'a> {
    wire: &'a mut dyn Wire,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are used up. Moving the rest to the front for each chunk of one
    /// byte would cost more than all else.
    used: usize,
    /// When to stop waiting; `None` leaves that to the check's deadline.
    until: Option<Instant>,
}

/// What one read gave.
pub(crate) enum Came {
    Bytes,
    End,
    Failed(std::io::Error),
    Nothing,
}

impl<'a> Source<'a> {
    pub(crate) fn new(wire: &'a mut dyn Wire) -> Self {
        Self {
            wire,
            buffer: Vec::new(),
            used: 0,
            until: None,
        }
    }

    /// What was read and not used yet.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    /// Uses up the first `len` unread bytes.
    pub(crate) fn use_up(&mut self, len: usize) {
        self.used = (self.used + len).min(self.buffer.len());
    }

    pub(crate) fn wait_until(&mut self, wait: Option<Duration>) {
        self.until = wait.map(|wait| Instant::now() + wait);
    }

    /// Waits for more bytes.
    pub(crate) async fn more(&mut self) -> Came {
        self.buffer.drain(..self.used);
        self.used = 0;
        // Not by an array here: it would lie in every future above this one.
        self.buffer.reserve(READ_LEN);
        let read = self.wire.read_buf(&mut self.buffer);
        let read = match self.until {
            Some(until) => match timeout_at(until, read).await {
                Ok(read) => read,
                Err(_) => return Came::Nothing,
            },
            None => read.await,
        };
        match read {
            Ok(0) => Came::End,
            Ok(_) => Came::Bytes,
            Err(error) => Came::Failed(error),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        use tokio::io::AsyncWriteExt as _;
        self.wire.write_all(bytes).await?;
        self.wire.flush().await
    }
}

/// A body being read.
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    announced: Option<u64>,
    end: BodyEnd,
}

impl Body {
    /// Reads a body to its end, to the bound, or until time runs out.
    pub(crate) async fn read(source: &mut Source<'_>, framing: Framing) -> Self {
        let mut body = Self {
            bytes: Vec::new(),
            announced: None,
            end: BodyEnd::None,
        };
        body.end = match framing {
            Framing::None => BodyEnd::None,
            Framing::Wrong => BodyEnd::Malformed,
            Framing::UntilClose => body.take(source, None).await,
            Framing::Length(length) => {
                body.announced = Some(length);
                body.take(source, Some(length)).await
            }
            Framing::Chunked => body.chunks(source).await,
        };
        body
    }

    /// Takes `length` bytes, or all up to the end of the connection.
    async fn take(&mut self, source: &mut Source<'_>, length: Option<u64>) -> BodyEnd {
        let mut missing = length;
        loop {
            let wanted = missing.unwrap_or(u64::MAX);
            let len = source.unread().len();
            let len = usize::try_from(wanted).map_or(len, |wanted| len.min(wanted));
            let room = BODY_LEN_MAX - self.bytes.len();
            self.bytes
                .extend_from_slice(&source.unread()[..len.min(room)]);
            source.use_up(len.min(room));
            if let Some(missing) = &mut missing {
                // `len` came out of `missing`.
                *missing = missing.saturating_sub(u64::try_from(len).unwrap_or_default());
            }
            match missing {
                Some(0) if len <= room => return BodyEnd::Complete,
                _ if len > room || self.bytes.len() == BODY_LEN_MAX => return BodyEnd::Cut,
                _ => {}
            }
            match source.more().await {
                Came::Bytes => {}
                Came::Nothing => return BodyEnd::Stalled,
                Came::End if length.is_none() => return BodyEnd::Complete,
                // A connection over TLS that ends without a farewell: browsers show the page.
                Came::Failed(error)
                    if length.is_none() && error.kind() == std::io::ErrorKind::UnexpectedEof =>
                {
                    return BodyEnd::Complete;
                }
                Came::End | Came::Failed(_) => return BodyEnd::Truncated,
            }
        }
    }

    /// Chunks and trailers (RFC 9112 section 7.1).
    async fn chunks(&mut self, source: &mut Source<'_>) -> BodyEnd {
        loop {
            let line = match line(source, CHUNK_LINE_LEN_MAX).await {
                Ok(line) => line,
                Err(end) => return end,
            };
            let Some(size) = chunk_size(&line) else {
                return BodyEnd::Malformed;
            };
            if size == 0 {
                return trailers(source).await;
            }
            match self.take(source, Some(size)).await {
                BodyEnd::Complete => {}
                BodyEnd::Truncated => return BodyEnd::Truncated,
                other => return other,
            }
            match line_end(source).await {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    /// What is kept of it.
    pub(crate) fn seen(&self) -> BodySeen {
        let digest = Sha256::digest(&self.bytes);
        BodySeen {
            size: u64::try_from(self.bytes.len()).unwrap_or(u64::MAX),
            announced: self.announced,
            sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            end: self.end,
            sample: inert_bytes(&self.bytes, SAMPLE_LEN),
            note: None,
        }
    }
}

/// One line without its end; `\n` alone ends one too (RFC 9112 section 2.2).
async fn line(source: &mut Source<'_>, len_max: usize) -> Result<Vec<u8>, BodyEnd> {
    let mut looked = 0;
    loop {
        let unread = source.unread();
        if let Some(at) = unread[looked..].iter().position(|b| *b == b'\n') {
            let end = looked + at;
            let line = unread[..end].strip_suffix(b"\r").unwrap_or(&unread[..end]);
            let line = line.to_vec();
            source.use_up(end + 1);
            return if line.len() > len_max {
                Err(BodyEnd::Malformed)
            } else {
                Ok(line)
            };
        }
        looked = unread.len();
        // One more may be the `\r` of an end of which only that came yet.
        if looked > len_max + 1 {
            return Err(BodyEnd::Malformed);
        }
        match source.more().await {
            Came::Bytes => {}
            Came::Nothing => return Err(BodyEnd::Stalled),
            Came::End | Came::Failed(_) => return Err(BodyEnd::Truncated),
        }
    }
}

/// The empty line behind a chunk.
async fn line_end(source: &mut Source<'_>) -> Result<(), BodyEnd> {
    match line(source, 0).await {
        Ok(line) if line.is_empty() => Ok(()),
        Ok(_) => Err(BodyEnd::Malformed),
        Err(end) => Err(end),
    }
}

async fn trailers(source: &mut Source<'_>) -> BodyEnd {
    let mut read = 0;
    loop {
        match line(source, TRAILERS_LEN_MAX).await {
            Ok(line) if line.is_empty() => return BodyEnd::Complete,
            Ok(line) => read += line.len() + 1,
            Err(end) => return end,
        }
        if read > TRAILERS_LEN_MAX {
            return BodyEnd::Malformed;
        }
    }
}

/// The size in front of a chunk, its extensions left out; at most 16 digits, else it overflows.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|b| *b == b';').next()?.trim_ascii();
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a body out of text; the connection ends behind it.
    async fn body(text: &str, framing: Framing) -> (String, BodyEnd) {
        let (mut ours, mut theirs) = tokio::io::duplex(64 * 1024);
        let text = text.as_bytes().to_vec();
        let feed = async move {
            use tokio::io::AsyncWriteExt as _;
            theirs.write_all(&text).await.unwrap();
        };
        let read = async {
            let mut source = Source::new(&mut ours);
            let body = Body::read(&mut source, framing).await;
            (String::from_utf8(body.bytes.clone()).unwrap(), body.end)
        };
        let ((), read) = tokio::join!(feed, read);
        read
    }

    #[tokio::test]
    async fn chunks() {
        let ok = |text: &str| (text.to_owned(), BodyEnd::Complete);
        for (text, expected) in [
            ("0\r\n\r\n", ok("")),
            ("3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n", ok("abcde")),
            ("3\nabc\n0\n\n", ok("abc")),
            ("3\r\nab", ("ab".to_owned(), BodyEnd::Truncated)),
            ("3\r\nabc\r\n", ("abc".to_owned(), BodyEnd::Truncated)),
            (
                "3\r\nabcd\r\n0\r\n\r\n",
                ("abc".to_owned(), BodyEnd::Malformed),
            ),
            ("x\r\n", (String::new(), BodyEnd::Malformed)),
            ("-1\r\n", (String::new(), BodyEnd::Malformed)),
            (
                "ffffffffffffffffff\r\n",
                (String::new(), BodyEnd::Malformed),
            ),
            (
                "ffffffffffffffff\r\nab",
                ("ab".to_owned(), BodyEnd::Truncated),
            ),
        ] {
            assert_eq!(body(text, Framing::Chunked).await, expected, "{text:?}");
        }
        let endless = format!("1;{}", "x".repeat(2000));
        assert_eq!(body(&endless, Framing::Chunked).await.1, BodyEnd::Malformed);
        let trailers = format!("0\r\n{}", "T: xxxxxxxx\r\n".repeat(2000));
        assert_eq!(
            body(&trailers, Framing::Chunked).await.1,
            BodyEnd::Malformed
        );
    }

    /// However the bytes are split on the way, the body is the same.
    #[tokio::test]
    async fn chunks_that_come_byte_by_byte() {
        let (mut ours, mut theirs) = tokio::io::duplex(1);
        let feed = async move {
            use tokio::io::AsyncWriteExt as _;
            let text = b"3;x\r\nabc\r\n1\r\nd\r\n0\r\nT: 1\r\n\r\n";
            theirs.write_all(text).await.unwrap();
        };
        let read = async {
            let mut source = Source::new(&mut ours);
            let body = Body::read(&mut source, Framing::Chunked).await;
            (body.bytes, body.end)
        };
        let ((), read) = tokio::join!(feed, read);
        assert_eq!(read, (b"abcd".to_vec(), BodyEnd::Complete));
    }

    #[tokio::test]
    async fn lengths() {
        let length = |n| Framing::Length(n);
        assert_eq!(body("abc", length(3)).await.1, BodyEnd::Complete);
        assert_eq!(body("abcd", length(3)).await.0, "abc");
        assert_eq!(body("ab", length(3)).await.1, BodyEnd::Truncated);
        assert_eq!(body("ab", length(u64::MAX)).await.1, BodyEnd::Truncated);
        assert_eq!(body("", length(0)).await.1, BodyEnd::Complete);
        assert_eq!(body("ab", Framing::UntilClose).await.1, BodyEnd::Complete);
        assert_eq!(body("ab", Framing::Wrong).await.1, BodyEnd::Malformed);
    }

    #[tokio::test]
    async fn an_endless_body_is_cut() {
        let text = "x".repeat(BODY_LEN_MAX + 1);
        for framing in [Framing::UntilClose, Framing::Length(u64::MAX)] {
            let (kept, end) = body(&text, framing).await;
            assert_eq!((kept.len(), end), (BODY_LEN_MAX, BodyEnd::Cut));
        }
        let chunk = format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len());
        assert_eq!(body(&chunk, Framing::Chunked).await.1, BodyEnd::Cut);
        let exact = format!("{BODY_LEN_MAX:x}\r\n{}\r\n0\r\n\r\n", &text[1..]);
        assert_eq!(body(&exact, Framing::Chunked).await.1, BodyEnd::Complete);
    }
}
