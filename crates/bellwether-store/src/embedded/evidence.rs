//! Evidence: pieces found by their SHA-256, compressed.

use bellwether_model::Digest;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::state::Change;

/// Longest piece, compressed: above any report that the probes' own limits allow.
pub const EVIDENCE_LEN_MAX: usize = 4 * 1024 * 1024;

/// Longest piece that is unpacked: what claims to be longer is not believed.
const UNPACKED_LEN_MAX: usize = 64 * 1024 * 1024;

/// zstd's own default: higher levels cost twice the time for a few bytes in a hundred.
const LEVEL: i32 = 3;

/// Bytes of the time before the compressed ones.
const AT_LEN: usize = 8;

/// A piece, ready to be kept.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) digest: Digest,
    pub(crate) at: Timestamp,
    /// When, and the compressed bytes.
    pub(crate) data: Vec<u8>,
}

/// The SHA-256 of bytes.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// Compresses what a change holds; `None` if it is no evidence, or too long to be kept.
pub(crate) fn pack(change: &Change) -> Option<Piece> {
    let Change::Evidence { at, bytes } = change else {
        return None;
    };
    let digest = digest(bytes);
    if bytes.len() <= UNPACKED_LEN_MAX {
        let mut data = at.as_microsecond().to_be_bytes().to_vec();
        let packed = zstd::bulk::compress(bytes, LEVEL).unwrap_or_default();
        if (1..=EVIDENCE_LEN_MAX).contains(&packed.len()) {
            data.extend_from_slice(&packed);
            return Some(Piece {
                digest,
                at: Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(*at),
                data,
            });
        }
    }
    tracing::warn!(%digest, bytes = bytes.len(), "evidence is too long to be kept");
    None
}

/// The bytes of a piece, if it is one.
pub(crate) fn unpack(data: &[u8]) -> Option<Vec<u8>> {
    let packed = data.get(AT_LEN..)?;
    let len = zstd::zstd_safe::get_frame_content_size(packed).ok()??;
    let len = usize::try_from(len)
        .ok()
        .filter(|&len| len <= UNPACKED_LEN_MAX)?;
    zstd::bulk::decompress(packed, len).ok()
}

/// When a piece was kept.
pub(crate) fn at_of(data: &[u8]) -> Option<Timestamp> {
    let at = i64::from_be_bytes(*data.first_chunk::<AT_LEN>()?);
    Timestamp::from_microsecond(at).ok()
}

/// The key by time: keys sort as times do.
pub(crate) fn at_key(at: Timestamp, digest: &Digest) -> Vec<u8> {
    let at = at.as_microsecond() as u64 ^ 1 << 63;
    [&at.to_be_bytes(), &digest.0[..]].concat()
}

/// The digest in a key by time.
pub(crate) fn digest_of(key: &[u8]) -> Option<Digest> {
    Some(Digest(key.get(AT_LEN..)?.try_into().ok()?))
}
