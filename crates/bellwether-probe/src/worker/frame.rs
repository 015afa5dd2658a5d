//! Frames: JSON behind its length, as four little-endian bytes.

use std::io::{self, Read};

use bellwether_model::job::FRAME_LEN_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What is wrong with a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The pipe failed, or ended inside a frame.
    #[error("the pipe failed")]
    Pipe(#[from] io::Error),
    /// A length above the bound.
    #[error("a frame of {len} bytes is longer than {FRAME_LEN_MAX}")]
    Long {
        /// The length.
        len: usize,
    },
    /// Not what was to be said.
    #[error("a frame holds something else")]
    Content(#[from] serde_json::Error),
    /// No judgement, though it begins as one.
    #[error("a frame holds no judgement of a visit")]
    Judgement,
}

/// The bytes of a frame.
pub(super) fn encode(value: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = Vec::new();
    append(&mut bytes, value)?;
    Ok(bytes)
}

/// Adds a frame to those in a buffer; where that fails the buffer stays as it was.
pub(super) fn append(bytes: &mut Vec<u8>, value: &impl Serialize) -> Result<(), FrameError> {
    let begin = bytes.len();
    let appended = append_after(bytes, begin, value);
    if appended.is_err() {
        bytes.truncate(begin);
    }
    appended
}

fn append_after(
    bytes: &mut Vec<u8>,
    begin: usize,
    value: &impl Serialize,
) -> Result<(), FrameError> {
    let content = begin + 4;
    bytes.resize(content, 0);
    serde_json::to_writer(&mut *bytes, value)?;
    let head = head(bytes.len() - content)?;
    bytes[begin..content].copy_from_slice(&head);
    Ok(())
}

/// Adds a frame whose content is written already.
pub(super) fn append_content(bytes: &mut Vec<u8>, content: &[u8]) -> Result<(), FrameError> {
    bytes.extend_from_slice(&head(content.len())?);
    bytes.extend_from_slice(content);
    Ok(())
}

fn head(len: usize) -> Result<[u8; 4], FrameError> {
    match u32::try_from(len) {
        Ok(head) if len <= FRAME_LEN_MAX => Ok(head.to_le_bytes()),
        _ => Err(FrameError::Long { len }),
    }
}

/// Reads one frame.
pub(crate) fn read<T: DeserializeOwned>(from: &mut impl Read) -> Result<T, FrameError> {
    let mut head = [0; 4];
    from.read_exact(&mut head)?;
    let mut bytes = vec![0; length(head)?];
    from.read_exact(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Bytes before the content.
pub(super) const HEAD_LEN: usize = 4;
/// A frame of nothing: whoever says it lives.
pub(super) const BEAT: [u8; HEAD_LEN] = [0; HEAD_LEN];

/// The length of the frame that stands first, its head included; `None` as long as it is not whole.
pub(super) fn whole(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(head) = bytes.first_chunk() else {
        return Ok(None);
    };
    let len = HEAD_LEN + length(*head)?;
    Ok((bytes.len() >= len).then_some(len))
}

/// Reads one frame; `None` at the end of the pipe.
pub(super) async fn next<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
) -> Result<Option<T>, FrameError> {
    let mut head = [0; 4];
    if from.read(&mut head[..1]).await? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut head[1..]).await?;
    let mut bytes = vec![0; length(head)?];
    from.read_exact(&mut bytes).await?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

fn length(head: [u8; 4]) -> Result<usize, FrameError> {
    let len = usize::try_from(u32::from_le_bytes(head)).unwrap_or(usize::MAX);
    if len > FRAME_LEN_MAX {
        return Err(FrameError::Long { len });
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_stand_one_behind_the_other() {
        let mut bytes = Vec::new();
        append(&mut bytes, &"one").unwrap();
        append_content(&mut bytes, b"\"two\"").unwrap();
        assert!(append(&mut bytes, &"x".repeat(FRAME_LEN_MAX)).is_err());
        assert!(append_content(&mut bytes, &vec![b'x'; FRAME_LEN_MAX + 1]).is_err());
        let mut from = bytes.as_slice();
        assert_eq!(read::<String>(&mut from).unwrap(), "one");
        assert_eq!(read::<String>(&mut from).unwrap(), "two");
        assert!(from.is_empty());
        let first = whole(&bytes).unwrap().unwrap();
        assert_eq!(&bytes[HEAD_LEN..first], b"\"one\"");
        for len in 0..first {
            assert_eq!(whole(&bytes[..len]).unwrap(), None);
        }
        assert_eq!(whole(&BEAT).unwrap(), Some(HEAD_LEN));
        assert!(whole(&[0xff; HEAD_LEN]).is_err());
    }
}
