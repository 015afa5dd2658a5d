//! Bodies: read up to a bound, hashed, and what was wrong with them.

use std::time::Duration;

use bellwether_model::http::{BodyEnd, BodySeen};
use bellwether_model::text::inert_bytes;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout_at};

use super::head::Framing;
use crate::budget::{Budget, Loan};
use crate::wire::Wire;

/// Bytes of a body that are read. Expectations look at the beginning of pages, not at downloads.
pub(crate) const BODY_LEN_MAX: usize = 1024 * 1024;
/// A body that still brings bytes this shortly before time runs out is slow, not stuck.
const STILL_COMING: Duration = Duration::from_millis(1500);
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
    /// When bytes came last.
    fresh: Option<Instant>,
}

/// Where the bytes of a body go.
#[derive(Clone)]
pub(crate) struct Room {
    /// Bytes that are read at most.
    pub(crate) len_max: usize,
    /// The memory of all probes of this worker.
    pub(crate) budget: Budget,
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
            fresh: None,
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
        self.fresh = None;
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
            Ok(_) => {
                self.fresh = Some(Instant::now());
                Came::Bytes
            }
            Err(error) => Came::Failed(error),
        }
    }

    /// How a body ends for which time ran out: `missing` says whether something announced did
    /// not come.
    fn late(&self, missing: bool) -> BodyEnd {
        let is_fresh = |fresh: Instant| fresh.elapsed() < STILL_COMING;
        match self.fresh.is_some_and(is_fresh) {
            true => BodyEnd::Slow,
            false if missing => BodyEnd::Stalled,
            false => BodyEnd::Open,
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
    /// Bytes that are kept at most.
    len_max: usize,
    /// What the worker lends for them.
    loan: Loan,
}

impl Body {
    /// Reads a body to its end, to the bound, or until time runs out.
    pub(crate) async fn read(source: &mut Source<'_>, framing: Framing, room: Room) -> Self {
        let mut body = Self::new(room);
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

    /// A body of which nothing came yet.
    pub(crate) fn new(room: Room) -> Self {
        Self {
            bytes: Vec::new(),
            announced: None,
            end: BodyEnd::None,
            len_max: room.len_max.min(BODY_LEN_MAX),
            loan: room.budget.loan(),
        }
    }

    /// Keeps these bytes as far as there is room; else says how the body ends by that.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Result<(), BodyEnd> {
        let room = self.len_max - self.bytes.len();
        let kept = &bytes[..bytes.len().min(room)];
        if !self.loan.covers(self.bytes.len() + kept.len()) {
            return Err(BodyEnd::CutByMemory);
        }
        self.bytes.extend_from_slice(kept);
        if bytes.len() > room {
            Err(BodyEnd::Cut)
        } else {
            Ok(())
        }
    }

    /// How it ended, for those who read it otherwise.
    pub(crate) fn finish(&mut self, end: BodyEnd, announced: Option<u64>) {
        self.end = end;
        self.announced = announced;
    }

    pub(crate) fn end(&self) -> BodyEnd {
        self.end
    }

    /// Its bytes, and what was lent for them.
    pub(crate) fn into_parts(self) -> (Vec<u8>, Loan) {
        (self.bytes, self.loan)
    }

    /// Takes `length` bytes, or all up to the end of the connection.
    async fn take(&mut self, source: &mut Source<'_>, length: Option<u64>) -> BodyEnd {
        let mut missing = length;
        loop {
            let wanted = missing.unwrap_or(u64::MAX);
            let len = source.unread().len();
            let len = usize::try_from(wanted).map_or(len, |wanted| len.min(wanted));
            if let Err(end) = self.keep(&source.unread()[..len]) {
                return end;
            }
            source.use_up(len);
            if let Some(missing) = &mut missing {
                // `len` came out of `missing`.
                *missing = missing.saturating_sub(u64::try_from(len).unwrap_or_default());
            }
            match missing {
                Some(0) => return BodyEnd::Complete,
                _ if self.bytes.len() == self.len_max => return BodyEnd::Cut,
                _ => {}
            }
            match source.more().await {
                Came::Bytes => {}
                Came::Nothing => return source.late(length.is_some()),
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
                // Between two chunks nothing is missing but the end.
                Err(BodyEnd::Stalled) if source.unread().is_empty() => return source.late(false),
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
            sample: sample(&self.bytes),
            note: None,
            coding: None,
        }
    }
}

/// The beginning of a body as it is shown.
pub(crate) fn sample(bytes: &[u8]) -> String {
    inert_bytes(bytes, SAMPLE_LEN)
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
            Came::Nothing => return Err(source.late(true)),
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

    fn room() -> Room {
        Room {
            len_max: BODY_LEN_MAX,
            budget: Budget::default(),
        }
    }

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
            let body = Body::read(&mut source, framing, room()).await;
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
            let body = Body::read(&mut source, Framing::Chunked, room()).await;
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

    /// Feeds `text` and then nothing, and waits no longer than `wait`.
    async fn stuck(text: &str, framing: Framing) -> BodyEnd {
        let (mut ours, mut theirs) = tokio::io::duplex(1024);
        use tokio::io::AsyncWriteExt as _;
        theirs.write_all(text.as_bytes()).await.unwrap();
        let mut source = Source::new(&mut ours);
        source.wait_until(Some(STILL_COMING * 2));
        Body::read(&mut source, framing, room()).await.end
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_go_on() {
        for (text, framing, end) in [
            ("ab", Framing::Length(3), BodyEnd::Stalled),
            ("", Framing::Length(3), BodyEnd::Stalled),
            ("ab", Framing::UntilClose, BodyEnd::Open),
            ("2\r\nab\r\n", Framing::Chunked, BodyEnd::Open),
            ("", Framing::Chunked, BodyEnd::Open),
            ("2\r\na", Framing::Chunked, BodyEnd::Stalled),
            ("2\r\nab\r\n3", Framing::Chunked, BodyEnd::Stalled),
        ] {
            assert_eq!(stuck(text, framing).await, end, "{text:?}, {framing:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_drop_by_drop() {
        let (mut ours, mut theirs) = tokio::io::duplex(1024);
        let feed = async move {
            use tokio::io::AsyncWriteExt as _;
            while theirs.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let read = async {
            let mut source = Source::new(&mut ours);
            source.wait_until(Some(Duration::from_secs(5)));
            Body::read(&mut source, Framing::UntilClose, room())
                .await
                .end
        };
        tokio::select! {
            end = read => assert_eq!(end, BodyEnd::Slow),
            () = feed => panic!("the reader left first"),
        }
    }

    #[tokio::test]
    async fn a_body_is_cut_when_the_memory_of_all_is_spent() {
        let text = "x".repeat(300 * 1024);
        let budget = Budget::new(100 * 1024);
        let room = Room {
            len_max: BODY_LEN_MAX,
            budget: budget.clone(),
        };
        let (mut ours, mut theirs) = tokio::io::duplex(512 * 1024);
        use tokio::io::AsyncWriteExt as _;
        theirs.write_all(text.as_bytes()).await.unwrap();
        let mut source = Source::new(&mut ours);
        let body = Body::read(&mut source, Framing::Length(300 * 1024), room.clone()).await;
        assert_eq!(body.end, BodyEnd::CutByMemory);
        assert!(body.bytes.len() <= 164 * 1024 && body.bytes.len() >= 100 * 1024);
        drop(body);
        assert_eq!(budget.left(), 100 * 1024);
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
