//! Bytes as they are: what no proper server sends.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::scenario::{RawPiece, RawSpec, RawThen, RawWhen};

/// Bytes that are written at once where a piece is sent often.
const MANY_LEN: usize = 64 * 1024;

/// What becomes of the connection behind the bytes.
pub(super) enum Behind {
    /// The client is to be reset.
    Reset,
    Closed,
}

/// Says what a scenario scripts, and ends the connection as it says.
pub(super) async fn serve<S>(
    mut stream: S,
    spec: &RawSpec,
    delay: Duration,
) -> std::io::Result<Behind>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if spec.when.unwrap_or_default() == RawWhen::Request {
        let mut buffer = Vec::new();
        if super::http::head(&mut stream, &mut buffer).await?.is_none() {
            stream.shutdown().await?;
            return Ok(Behind::Closed);
        }
    }
    tokio::time::sleep(delay).await;
    for piece in &spec.send {
        say(&mut stream, piece).await?;
    }
    stream.flush().await?;
    match spec.then.unwrap_or_default() {
        RawThen::Close => {
            stream.shutdown().await?;
            Ok(Behind::Closed)
        }
        RawThen::Hold => std::future::pending().await,
        RawThen::Reset => Ok(Behind::Reset),
    }
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, piece: &RawPiece) -> std::io::Result<()> {
    let RawPiece {
        text,
        hex,
        times,
        drip,
        after,
    } = piece;
    if let Some(after) = after {
        stream.flush().await?;
        tokio::time::sleep(after.0).await;
    }
    let mut bytes = text.clone().unwrap_or_default().into_bytes();
    bytes.extend(hex.iter().flat_map(|hex| &hex.0));
    if bytes.is_empty() {
        return Ok(());
    }
    let times = times.unwrap_or(1);
    if let Some(pause) = drip {
        let mut round = 0;
        while times == 0 || round < times {
            for byte in &bytes {
                stream.write_all(&[*byte]).await?;
                stream.flush().await?;
                tokio::time::sleep(pause.0).await;
            }
            round += 1;
        }
        return Ok(());
    }
    let at_once = (MANY_LEN / bytes.len()).max(1);
    let many = bytes.repeat(at_once);
    let mut left = if times == 0 { u64::MAX } else { times };
    while left > 0 {
        let now = usize::try_from(left).map_or(at_once, |left| left.min(at_once));
        stream.write_all(&many[..now * bytes.len()]).await?;
        left -= u64::try_from(now).unwrap_or(left);
    }
    Ok(())
}
