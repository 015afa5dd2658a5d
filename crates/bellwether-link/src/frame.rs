//! Messages on a stream: JSON behind its length as four little-endian bytes.

use std::io;
use std::time::Duration;

use bellwether_model::link::FRAME_LEN_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// Room that is made before anything of a frame has come: whoever announces much and sends nothing
/// takes no memory.
const ROOM_FIRST: usize = 4 * 1024;
/// Bytes that are written at once: a line that takes so many in time is slow, and not gone.
const PIECE_LEN: usize = 4 * 1024;

/// Why a message could not be had, or sent.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection.
    #[error("the link broke")]
    Io(#[from] io::Error),
    /// A frame that is too long.
    #[error("a message of {len} bytes, above {FRAME_LEN_MAX}")]
    TooLong {
        /// Its length as announced, bytes.
        len: usize,
    },
    /// What came is no message.
    #[error("what came is no message of this link")]
    Message(#[source] serde_json::Error),
}

/// A message as a frame.
///
/// # Errors
/// It is longer than a frame may be.
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message).map_err(FrameError::Message)?;
    let len = frame.len() - 4;
    let head = u32::try_from(len).ok().filter(|_| len <= FRAME_LEN_MAX);
    let head = head.ok_or(FrameError::TooLong { len })?;
    frame[..4].copy_from_slice(&head.to_le_bytes());
    Ok(frame)
}

/// Sends a message.
///
/// # Errors
/// It is too long, or the connection fails.
pub async fn send<M: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &M,
) -> Result<(), FrameError> {
    stream.write_all(&encode(message)?).await?;
    Ok(stream.flush().await?)
}

/// Writes a frame piece by piece, each of which may take so long: what is long may take long.
///
/// # Errors
/// The connection fails, or takes nothing for so long.
pub async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    frame: &[u8],
    patience: Duration,
) -> io::Result<()> {
    for piece in frame.chunks(PIECE_LEN) {
        let written = async {
            stream.write_all(piece).await?;
            stream.flush().await
        };
        timeout(patience, written).await??;
    }
    Ok(())
}

/// The next message; `None` where the other side ended the link between two messages.
///
/// Not safe to be given up midway: what was read of a frame by then is lost.
///
/// # Errors
/// The connection fails or ends within a message; what came is too long, or no message.
pub async fn receive<M: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<M>, FrameError> {
    let mut head = [0; 4];
    let first = stream.read(&mut head).await?;
    if first == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut head[first..]).await?;
    let len = usize::try_from(u32::from_le_bytes(head)).unwrap_or(usize::MAX);
    if len > FRAME_LEN_MAX {
        return Err(FrameError::TooLong { len });
    }
    let mut frame = Vec::with_capacity(len.min(ROOM_FIRST));
    let mut rest = stream.take(u64::try_from(len).unwrap_or_default());
    rest.read_to_end(&mut frame).await?;
    if frame.len() < len {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    let message = serde_json::from_slice(&frame).map_err(FrameError::Message)?;
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use bellwether_model::link::{ToAgent, ToHub};
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn messages_come_as_they_were_sent() {
        let (mut here, mut there) = duplex(16);
        let sent = vec![ToAgent::Kept { number: 7 }, ToAgent::Kept { number: 8 }];
        let sends = sent.clone();
        let sender = tokio::spawn(async move {
            for message in &sends {
                send(&mut here, message).await.unwrap();
            }
        });
        let mut got = Vec::new();
        while let Some(message) = receive::<ToAgent>(&mut there).await.unwrap() {
            got.push(message);
        }
        sender.await.unwrap();
        assert_eq!(got, sent);
    }

    #[tokio::test]
    async fn what_announces_too_much_is_refused_before_it_comes() {
        let announced = u32::try_from(FRAME_LEN_MAX + 1).unwrap().to_le_bytes();
        let refused = receive::<ToHub>(&mut announced.as_slice()).await;
        assert!(matches!(refused, Err(FrameError::TooLong { .. })));
    }

    #[tokio::test]
    async fn a_link_that_breaks_within_a_message_is_no_end() {
        let whole = encode(&ToHub::Planned { generation: 3 }).unwrap();
        for cut in 1..whole.len() {
            let got = receive::<ToHub>(&mut &whole[..cut]).await;
            assert!(matches!(got, Err(FrameError::Io(_))), "cut at {cut}");
        }
        assert!(receive::<ToHub>(&mut &whole[..0]).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_word_that_nobody_knows_is_an_error() {
        let frame = encode(&serde_json::json!({ "say": "upgrade", "url": "x" })).unwrap();
        let got = receive::<ToAgent>(&mut frame.as_slice()).await;
        assert!(matches!(got, Err(FrameError::Message(_))));
    }
}
