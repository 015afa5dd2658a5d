//! HTTP/2 (RFC 9113) as a scenario scripts it: one request at a time, heads without compression.

use std::future::Future;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::http::Parts;
use crate::scenario::H2Word;

/// What a client sends first.
const PREFACE_LEN: usize = 24;
/// Most of a frame's payload.
const PAYLOAD_LEN_MAX: usize = 16 * 1024;
/// What both sides may send at first (RFC 9113 section 6.9.2).
const WINDOW: i64 = 65_535;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// Setting that says how much one stream may send at first.
const INITIAL_WINDOW_SIZE: u16 = 4;
const INTERNAL_ERROR: [u8; 4] = [0, 0, 0, 2];
const HTTP_1_1_REQUIRED: [u8; 4] = [0, 0, 0, 13];

/// A frame's kind, flags, stream and payload.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = len.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A string without Huffman coding, with its length before it (RFC 7541 section 5.2).
fn string(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    match u8::try_from(text.len()) {
        Ok(len) if len < 127 => bytes.push(len),
        _ => {
            bytes.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                bytes.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            bytes.push(rest as u8);
        }
    }
    bytes.extend(text);
    bytes
}

/// A head without compression.
fn head(parts: &Parts) -> Vec<u8> {
    // Literal without indexing; the name is number 8 of the static table, `:status`.
    let mut bytes = vec![0x08];
    bytes.extend(string(parts.status.to_string().as_bytes()));
    for (name, value) in &parts.headers {
        bytes.push(0);
        bytes.extend(string(name.to_ascii_lowercase().as_bytes()));
        bytes.extend(string(value.as_bytes()));
    }
    bytes
}

/// Windows of the client: of the connection, of a stream at first, and of the stream at hand.
struct Windows {
    connection: i64,
    initial: i64,
    stream: i64,
}

/// Answers requests on a connection until the client is done; `parts` gives each response.
pub(super) async fn serve<S, F, R>(mut stream: S, word: H2Word, mut parts: F) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: FnMut() -> R,
    R: Future<Output = Parts>,
{
    let mut preface = [0; PREFACE_LEN];
    stream.read_exact(&mut preface).await?;
    let settings: &[u8] = match word {
        // MAX_FRAME_SIZE 0, INITIAL_WINDOW_SIZE 2^32 - 1.
        H2Word::BadSettings => &[0, 5, 0, 0, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff],
        _ => &[],
    };
    stream.write_all(&frame(SETTINGS, 0, 0, settings)).await?;
    let mut windows = Windows {
        connection: WINDOW,
        initial: WINDOW,
        stream: WINDOW,
    };
    loop {
        let Some(came) = next(&mut stream).await? else {
            return stream.shutdown().await;
        };
        control(&mut stream, &came, &mut windows).await?;
        if came.kind != HEADERS {
            continue;
        }
        windows.stream = windows.initial;
        let id = came.stream;
        match word {
            H2Word::Normal | H2Word::Off | H2Word::BadSettings | H2Word::Http1 => {
                let parts = parts().await;
                answer(&mut stream, id, &parts, &mut windows).await?;
            }
            H2Word::Close => return stream.shutdown().await,
            H2Word::Goaway | H2Word::GoawayUnprocessed => {
                stream.write_all(&farewell(word, id)).await?;
                stream.flush().await?;
                // As proper servers do: what the client still sends must not reset the connection.
                while next(&mut stream).await?.is_some() {}
                return stream.shutdown().await;
            }
            H2Word::Silent => std::future::pending().await,
            H2Word::BodySilent => {
                let head = frame(HEADERS, END_HEADERS, id, &head(&parts().await));
                stream.write_all(&head).await?;
                stream.flush().await?;
                std::future::pending::<()>().await;
            }
            H2Word::Reset | H2Word::Http11Required => {
                stream.write_all(&farewell(word, id)).await?;
            }
            H2Word::Push => {
                // Promises stream 2: GET / of the host `pushed`.
                let promise = [
                    &[0, 0, 0, 2, 0x82, 0x84, 0x87, 0x01][..],
                    &string(b"pushed"),
                ];
                let promise = frame(PUSH_PROMISE, END_HEADERS, id, &promise.concat());
                stream.write_all(&promise).await?;
            }
            H2Word::SettingsFlood => flood(&mut stream, &frame(SETTINGS, 0, 0, &[])).await?,
            H2Word::PingFlood => flood(&mut stream, &frame(PING, 0, 0, &[0; 8])).await?,
            H2Word::ContinuationFlood => {
                let head = frame(HEADERS, 0, id, &head(&parts().await));
                stream.write_all(&head).await?;
                let more = [&[0][..], &string(b"x-more"), &string(&[b'x'; 1024])].concat();
                flood(&mut stream, &frame(CONTINUATION, 0, id, &more)).await?;
            }
        }
        stream.flush().await?;
    }
}

/// The frame by which a request, or all of them, are given up.
fn farewell(word: H2Word, id: u32) -> Vec<u8> {
    match word {
        H2Word::Goaway => {
            let payload = [id.to_be_bytes(), INTERNAL_ERROR].concat();
            frame(GOAWAY, 0, 0, &payload)
        }
        H2Word::Http11Required => frame(RST_STREAM, 0, id, &HTTP_1_1_REQUIRED),
        H2Word::Reset => frame(RST_STREAM, 0, id, &INTERNAL_ERROR),
        _ => frame(GOAWAY, 0, 0, &[0; 8]),
    }
}

/// The same frame without end.
async fn flood<S: AsyncWrite + Unpin>(stream: &mut S, frame: &[u8]) -> std::io::Result<()> {
    let many = frame.repeat(1 + 16 * 1024 / frame.len());
    loop {
        stream.write_all(&many).await?;
    }
}

/// The next frame; `None` at the end of the stream.
async fn next<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<Option<Frame>> {
    let mut head = [0; 9];
    match stream.read_exact(&mut head).await {
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(e),
    }
    let [a, b, c, kind, flags, s0, s1, s2, s3] = head;
    let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    if len > PAYLOAD_LEN_MAX {
        return Err(std::io::Error::other("a frame larger than was offered"));
    }
    let mut payload = vec![0; len];
    stream.read_exact(&mut payload).await?;
    Ok(Some(Frame {
        kind,
        flags,
        stream: u32::from_be_bytes([s0, s1, s2, s3]),
        payload,
    }))
}

/// What every server does with frames that are no request.
async fn control<S: AsyncWrite + Unpin>(
    stream: &mut S,
    came: &Frame,
    windows: &mut Windows,
) -> std::io::Result<()> {
    match came.kind {
        SETTINGS if came.flags & ACK == 0 => {
            for setting in came.payload.chunks_exact(6) {
                let [n0, n1, v0, v1, v2, v3] = *setting else {
                    continue;
                };
                if u16::from_be_bytes([n0, n1]) == INITIAL_WINDOW_SIZE {
                    windows.initial = i64::from(u32::from_be_bytes([v0, v1, v2, v3]));
                }
            }
            stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await?;
        }
        PING if came.flags & ACK == 0 => {
            stream
                .write_all(&frame(PING, ACK, 0, &came.payload))
                .await?;
        }
        WINDOW_UPDATE => {
            if let Ok(bytes) = <[u8; 4]>::try_from(came.payload.as_slice()) {
                let more = i64::from(u32::from_be_bytes(bytes) & 0x7fff_ffff);
                match came.stream {
                    0 => windows.connection += more,
                    _ => windows.stream += more,
                }
            }
        }
        _ => {}
    }
    stream.flush().await
}

async fn answer<S>(
    stream: &mut S,
    id: u32,
    parts: &Parts,
    windows: &mut Windows,
) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let empty = parts.body.is_empty();
    let flags = END_HEADERS | if empty { END_STREAM } else { 0 };
    stream
        .write_all(&frame(HEADERS, flags, id, &head(parts)))
        .await?;
    let mut rest = parts.body.as_slice();
    while !rest.is_empty() {
        let window = windows.connection.min(windows.stream);
        let window = usize::try_from(window).unwrap_or(0);
        if window == 0 {
            stream.flush().await?;
            let Some(came) = next(stream).await? else {
                return Ok(());
            };
            control(stream, &came, windows).await?;
            continue;
        }
        let (now, later) = rest.split_at(rest.len().min(window).min(PAYLOAD_LEN_MAX));
        let flags = if later.is_empty() { END_STREAM } else { 0 };
        stream.write_all(&frame(DATA, flags, id, now)).await?;
        let sent = i64::try_from(now.len()).unwrap_or(i64::MAX);
        windows.connection -= sent;
        windows.stream -= sent;
        rest = later;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_any_length() {
        assert_eq!(string(b"ab"), b"\x02ab");
        assert_eq!(string(&[b'x'; 127])[..3], [127, 0, b'x']);
        assert_eq!(string(&[b'x'; 300])[..4], [127, 0xad, 1, b'x']);
    }

    #[test]
    fn frames() {
        assert_eq!(
            frame(PING, ACK, 0, &[7; 8])[..10],
            [0, 0, 8, 6, 1, 0, 0, 0, 0, 7]
        );
        assert_eq!(frame(DATA, 0, 258, b"x"), [0, 0, 1, 0, 0, 0, 0, 1, 2, b'x']);
    }
}
