//! Codings of bodies, undone: never more comes out than is read of a body that is not coded, and
//! no window is larger than clients have to have.

use std::io::{self, Read};

use bellwether_model::http::{CodingEnd, CodingSeen};
use bellwether_model::text::inert;
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::body::BODY_LEN_MAX;

/// Codings over each other that are undone, the outer ones; more than one is rare, more than three is
/// a trap.
const CODINGS_MAX: usize = 3;
/// Largest window of zstd, bytes (RFC 9659 section 3).
const ZSTD_WINDOW_MAX: u64 = 8 * 1024 * 1024;
/// Largest window of brotli, as the power of two that its header states.
const BROTLI_WBITS_MAX: u32 = 22;
/// Bytes that a decoder reads and gives at once.
const STEP_LEN: usize = 16 * 1024;
/// Longest complaint of a decoder that is kept, characters.
const WORDS_LEN_MAX: usize = 128;
/// First bytes of a gzip member.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// First bytes of a zstd frame (RFC 8878 section 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Flags in a frame's descriptor: it has no window of its own; a checksum ends it.
const ZSTD_SINGLE: u8 = 0x20;
const ZSTD_CHECKSUM: u8 = 0x04;
/// A window of 1 MiB, as much as comes out.
const ZSTD_WINDOW_OURS: u8 = 10 << 3;

/// A coding (RFC 9110 section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    fn named(name: &str) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match () {
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () if is("deflate") => Some(Self::Deflate),
            () if is("br") => Some(Self::Brotli),
            () if is("zstd") => Some(Self::Zstd),
            () => None,
        }
    }
}

/// Undoes the codings named, the last one first. `whole` says whether all of the body came;
/// `accepted` names what the request asked for. What comes out is there if any did.
pub(crate) fn decode(
    names: &[String],
    body: &[u8],
    whole: bool,
    accepted: &[&str],
) -> Option<(CodingSeen, Option<Vec<u8>>)> {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.retain(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"));
    if names.is_empty() || body.is_empty() {
        return None;
    }
    let is_accepted = |name: &&str| accepted.iter().any(|a| a.eq_ignore_ascii_case(name));
    let mut seen = CodingSeen {
        codings: names.iter().take(8).map(|name| inert(name, 32)).collect(),
        accepted: names.iter().all(is_accepted),
        end: CodingEnd::Unknown,
        size: 0,
        coded: u64::try_from(body.len()).unwrap_or(u64::MAX),
    };
    let codings: Option<Vec<Coding>> = names.iter().map(|name| Coding::named(name)).collect();
    let Some(codings) = codings else {
        return Some((seen, None));
    };
    let left = codings.len().saturating_sub(CODINGS_MAX);
    let mut bytes: Option<Vec<u8>> = None;
    let mut whole = whole;
    for coding in codings.into_iter().skip(left).rev() {
        let mut out = Vec::new();
        let mut rest = bytes.as_deref().unwrap_or(body);
        seen.end = undo(coding, &mut rest, &mut out);
        if bytes.is_none() {
            let used = body.len() - rest.len();
            seen.coded = u64::try_from(used).unwrap_or(u64::MAX);
        }
        // Of a body that we cut ourselves the coded form ends inside as well.
        if seen.end == CodingEnd::Truncated && !whole {
            seen.end = CodingEnd::Cut;
        }
        bytes = Some(out);
        match seen.end {
            CodingEnd::Complete => {}
            CodingEnd::Cut => whole = false,
            CodingEnd::Truncated
            | CodingEnd::Malformed { .. }
            | CodingEnd::WindowTooLarge { .. }
            | CodingEnd::Unknown => break,
        }
    }
    if seen.end == CodingEnd::Complete && !whole {
        seen.end = CodingEnd::Cut;
    }
    if left > 0 && matches!(seen.end, CodingEnd::Complete | CodingEnd::Cut) {
        seen.end = CodingEnd::Unknown;
    }
    let usable = matches!(seen.end, CodingEnd::Complete | CodingEnd::Cut);
    let bytes = bytes.filter(|_| usable);
    let len = bytes.as_ref().map_or(0, Vec::len);
    seen.size = u64::try_from(len).unwrap_or(u64::MAX);
    Some((seen, bytes))
}

/// Undoes one coding; what is left of `coded` was not needed.
fn undo(coding: Coding, coded: &mut &[u8], out: &mut Vec<u8>) -> CodingEnd {
    match coding {
        Coding::Gzip => gzip(coded, out),
        // What the RFC means is zlib; some servers send the bare stream, and browsers take both.
        Coding::Deflate if is_zlib(coded) => drain(ZlibDecoder::new(&mut *coded), out),
        Coding::Deflate => drain(DeflateDecoder::new(&mut *coded), out),
        Coding::Brotli => match brotli_wbits(coded) {
            Some(bits) if bits > BROTLI_WBITS_MAX => CodingEnd::WindowTooLarge { bytes: 1 << bits },
            Some(_) => {
                let coded = Ending(&mut *coded);
                drain(brotli_decompressor::Decompressor::new(coded, STEP_LEN), out)
            }
            None => malformed("it does not begin as brotli does"),
        },
        Coding::Zstd => zstd(coded, out),
    }
}

/// Says that more was wanted where nothing is left, which the decoder of brotli does not tell from
/// what is no brotli.
struct Ending<R>(R);

impl<R: Read> Read for Ending<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf)? {
            0 if !buf.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            len => Ok(len),
        }
    }
}

/// Reads a decoder up to its end or our limit.
fn drain(mut decoder: impl Read, out: &mut Vec<u8>) -> CodingEnd {
    let mut step = vec![0; STEP_LEN];
    loop {
        let room = BODY_LEN_MAX - out.len();
        if room == 0 {
            return CodingEnd::Cut;
        }
        let len = STEP_LEN.min(room);
        match decoder.read(&mut step[..len]) {
            Ok(0) => return CodingEnd::Complete,
            Ok(read) => out.extend_from_slice(&step[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return CodingEnd::Truncated;
            }
            Err(error) => return malformed(&error.to_string()),
        }
    }
}

/// The members of a gzip body (RFC 1952 section 2.2). Bytes behind one that begin no other are left
/// alone, as clients do.
fn gzip(coded: &mut &[u8], out: &mut Vec<u8>) -> CodingEnd {
    loop {
        match drain(GzDecoder::new(&mut *coded), out) {
            CodingEnd::Complete if coded.starts_with(&GZIP_MAGIC) => {}
            end => return end,
        }
    }
}

fn malformed(error: &str) -> CodingEnd {
    CodingEnd::Malformed {
        error: inert(error, WORDS_LEN_MAX),
    }
}

/// Does it begin as zlib does (RFC 1950 section 2.2)?
fn is_zlib(coded: &[u8]) -> bool {
    match coded {
        [method, flags, ..] => {
            method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0
        }
        _ => false,
    }
}

/// The window that a brotli stream states (RFC 7932 section 9.1); 30 for the "large window" form
/// that HTTP does not know.
fn brotli_wbits(coded: &[u8]) -> Option<u32> {
    let first = u32::from(*coded.first()?);
    if first & 1 == 0 {
        return Some(16);
    }
    match (first >> 1) & 7 {
        0 => match (first >> 4) & 7 {
            0 => Some(17),
            1 => Some(30),
            n => Some(8 + n),
        },
        n => Some(17 + n),
    }
}

/// The frames of a zstd body one by one: the window of each is known before anything is reserved.
fn zstd(rest: &mut &[u8], out: &mut Vec<u8>) -> CodingEnd {
    while !rest.is_empty() {
        // A frame to be skipped (RFC 8878 section 3.1.2).
        if let [low, 0x2a, 0x4d, 0x18, len @ ..] = *rest
            && low & 0xf0 == 0x50
        {
            let Some((len, behind)) = len.split_first_chunk::<4>() else {
                return CodingEnd::Truncated;
            };
            let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
            let Some(behind) = behind.get(len..) else {
                return CodingEnd::Truncated;
            };
            *rest = behind;
            continue;
        }
        if !rest.starts_with(&ZSTD_MAGIC) {
            return malformed("it does not begin as zstd does");
        }
        match zstd_window(rest) {
            None => return CodingEnd::Truncated,
            Some(bytes) if bytes > ZSTD_WINDOW_MAX => return CodingEnd::WindowTooLarge { bytes },
            Some(_) => {}
        }
        match zstd_frame(rest, out) {
            CodingEnd::Complete => {}
            other => return other,
        }
    }
    CodingEnd::Complete
}

/// One frame, under a head of ours that asks for no larger window than comes out: what the decoder
/// keeps for its own window would otherwise be many times that.
fn zstd_frame(rest: &mut &[u8], out: &mut Vec<u8>) -> CodingEnd {
    let Some((descriptor, behind)) = zstd_head(rest) else {
        return CodingEnd::Truncated;
    };
    if descriptor & 3 != 0 {
        return malformed("it needs a dictionary");
    }
    *rest = behind;
    let [a, b, c, d] = ZSTD_MAGIC;
    let head = [a, b, c, d, descriptor & ZSTD_CHECKSUM, ZSTD_WINDOW_OURS];
    let mut decoder = FrameDecoder::new();
    if let Err(error) = decoder.init(&head[..]) {
        return malformed(&error.to_string());
    }
    let room = BODY_LEN_MAX - out.len();
    while !decoder.is_finished() {
        let step = BlockDecodingStrategy::UptoBytes(STEP_LEN);
        if let Err(error) = decoder.decode_blocks(&mut *rest, step) {
            return if rest.is_empty() {
                CodingEnd::Truncated
            } else {
                malformed(&error.to_string())
            };
        }
        // Nothing is taken out before the end: what comes may refer to all that came.
        if decoder.can_collect() > room {
            let bytes = decoder.collect().unwrap_or_default();
            out.extend_from_slice(&bytes[..bytes.len().min(room)]);
            return CodingEnd::Cut;
        }
    }
    let bytes = decoder.collect().unwrap_or_default();
    out.extend_from_slice(&bytes[..bytes.len().min(room)]);
    if bytes.len() > room {
        CodingEnd::Cut
    } else {
        CodingEnd::Complete
    }
}

/// The descriptor of a zstd frame, and what stands behind its head.
fn zstd_head(frame: &[u8]) -> Option<(u8, &[u8])> {
    let descriptor = *frame.get(4)?;
    let is_single = descriptor & ZSTD_SINGLE != 0;
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size = match descriptor >> 6 {
        0 => usize::from(is_single),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    let window = usize::from(!is_single);
    Some((descriptor, frame.get(5 + window + dictionary + size..)?))
}

/// The window that a zstd frame needs (RFC 8878 section 3.1.1.1).
fn zstd_window(frame: &[u8]) -> Option<u64> {
    let descriptor = *frame.get(4)?;
    if descriptor & ZSTD_SINGLE == 0 {
        let window = u64::from(*frame.get(5)?);
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + (base >> 3) * (window & 7));
    }
    // A single segment: the window is as large as what comes out.
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let len = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let field = frame.get(5 + dictionary..5 + dictionary + len)?;
    let mut bytes = [0; 8];
    bytes[..len].copy_from_slice(field);
    Some(u64::from_le_bytes(bytes) + if len == 2 { 256 } else { 0 })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    /// `hello` in a meta-block that is not compressed (RFC 7932 section 9.2).
    const BROTLI: &[u8] = b"\x40\x00\x10hello\x03";

    fn coded(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn of(name: &str, body: &[u8]) -> (CodingEnd, Option<Vec<u8>>) {
        let names: Vec<String> = name.split(", ").map(str::to_owned).collect();
        let (seen, bytes) = decode(&names, body, true, &["gzip"]).unwrap();
        (seen.end, bytes)
    }

    #[test]
    fn what_is_not_coded_is_left_alone() {
        let names = ["identity".to_owned(), String::new()];
        assert!(decode(&names, b"x", true, &[]).is_none());
        assert!(decode(&["gzip".to_owned()], b"", true, &[]).is_none());
    }

    #[test]
    fn gzip_and_deflate() {
        let done = |text: &str| (CodingEnd::Complete, Some(text.as_bytes().to_vec()));
        assert_eq!(of("gzip", &coded(b"abc")), done("abc"));
        assert_eq!(of("X-GZIP", &coded(b"abc")), done("abc"));
        let two = [coded(b"abc"), coded(b"def"), b"rest".to_vec()].concat();
        assert_eq!(of("gzip", &two), done("abcdef"));
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(b"abc").unwrap();
        assert_eq!(of("deflate", &zlib.finish().unwrap()), done("abc"));
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::best());
        bare.write_all(b"abc").unwrap();
        assert_eq!(of("deflate", &bare.finish().unwrap()), done("abc"));
        assert_eq!(of("gzip, gzip", &coded(&coded(b"abc"))), done("abc"));
        assert_eq!(of("gzip", &coded(b"abc")[..12]).0, CodingEnd::Truncated);
        assert!(matches!(
            of("gzip", b"plain").0,
            CodingEnd::Malformed { .. } | CodingEnd::Truncated
        ));
        assert_eq!(of("utf-8", b"plain").0, CodingEnd::Unknown);
        let four = "gzip, gzip, gzip, gzip";
        let often = coded(&coded(&coded(&coded(b"x"))));
        assert_eq!(of(four, &often), (CodingEnd::Unknown, None));
        assert!(matches!(
            of(four, b"plain text, and more").0,
            CodingEnd::Malformed { .. }
        ));
        assert_eq!(of("br", BROTLI), done("hello"));
        assert_eq!(of("br", &BROTLI[..5]).0, CodingEnd::Truncated);
    }

    #[test]
    fn a_bomb_is_cut() {
        let bomb = coded(&vec![0; 64 * 1024 * 1024]);
        assert!(bomb.len() < 128 * 1024);
        let (end, bytes) = of("gzip", &bomb);
        assert_eq!((end, bytes.unwrap().len()), (CodingEnd::Cut, BODY_LEN_MAX));
        let nested = coded(&bomb);
        let (end, bytes) = of("gzip, gzip", &nested);
        assert_eq!((end, bytes.unwrap().len()), (CodingEnd::Cut, BODY_LEN_MAX));
        let seen = decode(&["gzip".to_owned()], &bomb, true, &["gzip"])
            .unwrap()
            .0;
        assert!(seen.accepted && seen.size == u64::try_from(BODY_LEN_MAX).unwrap());
    }

    #[test]
    fn of_a_body_that_we_cut_the_beginning_is_decoded() {
        let mut bytes = vec![0; 100_000];
        fastrand::Rng::with_seed(1).fill(&mut bytes);
        let body = coded(&bytes);
        let (seen, out) = decode(&["gzip".to_owned()], &body[..50_000], false, &[]).unwrap();
        assert_eq!(seen.end, CodingEnd::Cut);
        assert!(bytes.starts_with(&out.unwrap()));
    }

    #[test]
    fn brotli() {
        let (end, bytes) = of("br", BROTLI);
        assert_eq!(end, CodingEnd::Complete, "{bytes:?}");
        assert_eq!(bytes.unwrap(), b"hello");
        assert!(of("br", &BROTLI[..6]).0 != CodingEnd::Complete);
        for (first, bits) in [
            (0x06, 16),
            (0x01, 17),
            (0x0b, 22),
            (0x0d, 23),
            (0x0f, 24),
            (0x11, 30),
        ] {
            assert_eq!(brotli_wbits(&[first]), Some(bits), "{first:x}");
        }
        assert_eq!(
            of("br", &[0x0f, 0, 0]).0,
            CodingEnd::WindowTooLarge { bytes: 1 << 24 }
        );
    }

    #[test]
    fn zstd() {
        let of = |body: &[u8]| of("zstd", body);
        let frame = ruzstd::encoding::compress_to_vec(
            &b"hello hello"[..],
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        let done = (CodingEnd::Complete, Some(b"hello hello".to_vec()));
        assert_eq!(of(&frame), done);
        let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9][..], &frame].concat();
        assert_eq!(of(&skipped), done);
        assert_eq!(of(&frame[..frame.len() - 6]).0, CodingEnd::Truncated);
        assert!(matches!(of(b"plain text").0, CodingEnd::Malformed { .. }));
        // A window of 128 MiB, before anything is reserved for it.
        let large = [&ZSTD_MAGIC[..], &[0x00, 17 << 3, 0, 0]].concat();
        assert_eq!(of(&large).0, CodingEnd::WindowTooLarge { bytes: 1 << 27 });
        let zeroes = vec![0; 4 * 1024 * 1024];
        let bomb = ruzstd::encoding::compress_to_vec(
            zeroes.as_slice(),
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        let (end, bytes) = of(&bomb);
        assert_eq!((end, bytes.unwrap().len()), (CodingEnd::Cut, BODY_LEN_MAX));
    }

    #[test]
    fn noise_ends() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..300 {
            let mut bytes = vec![0; rng.usize(1..400)];
            rng.fill(&mut bytes);
            let framed = [&ZSTD_MAGIC[..], &[0x20, 200], &bytes].concat();
            for name in ["gzip", "deflate", "br", "zstd"] {
                of(name, &bytes);
                of(name, &framed);
            }
        }
    }
}
