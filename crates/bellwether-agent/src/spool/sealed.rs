//! Deliveries that wait for long: many of them in one file, by columns, compressed.

use std::io::Read as _;

use bellwether_model::Run;
use bellwether_model::harvest::Harvest;
use bellwether_model::link::{Delivery, Thinned};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::table::Table;

/// How a sealed file begins; the digit is its version.
const MAGIC: &[u8; 4] = b"BWS1";
/// Bytes before the content: magic, level, numbers of the first and the last delivery, when the first
/// was made, checksum of the content, checksum of this.
const HEAD: usize = 4 + 1 + 8 + 8 + 8 + 4 + 4;
/// It happens some times an hour, and what it saves is kept for days; more takes long for little.
const COMPRESSION: i32 = 7;
/// Longest content, bytes: thousands of rows and some traces.
const CONTENT_LEN_MAX: u64 = 256 * 1024 * 1024;

/// A delivery with its number.
pub(super) type Numbered = (u64, Delivery);

/// What stands before the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// How much was thinned.
    pub(super) level: u8,
    pub(super) first: u64,
    pub(super) last: u64,
    /// When the first delivery was made.
    pub(super) at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Content {
    /// Numbers left out before each.
    skipped: Vec<u64>,
    boot: Vec<u64>,
    /// Microseconds from the one before.
    at: Vec<i64>,
    offset_ms: Vec<Option<i64>>,
    /// How many rows, then how many of what is none, then rows again, for each delivery.
    kinds: Vec<Vec<u32>>,
    rows: Rows,
    rest: Vec<Harvest>,
    thinned: Vec<(u32, Vec<Thinned>)>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Rows {
    Table(Table),
    /// Rows that would not come out of a table as they went in.
    Plain(Vec<Run>),
}

/// Deliveries in order as the content of a file; `None` if there are none.
pub(super) fn write(deliveries: &[Numbered], level: u8) -> Option<Vec<u8>> {
    let ((first, begin), (last, _)) = (deliveries.first()?, deliveries.last()?);
    let json = serde_json::to_vec(&content(deliveries)).ok()?;
    let packed = zstd::bulk::compress(&json, COMPRESSION).ok()?;
    let mut out = Vec::with_capacity(HEAD + packed.len());
    out.extend(MAGIC);
    out.push(level);
    out.extend(first.to_le_bytes());
    out.extend(last.to_le_bytes());
    out.extend(begin.at.as_microsecond().to_le_bytes());
    out.extend(crc32fast::hash(&packed).to_le_bytes());
    out.extend(crc32fast::hash(&out).to_le_bytes());
    out.extend(packed);
    Some(out)
}

/// What stands before the content of a sound file.
pub(super) fn head(bytes: &[u8]) -> Option<Head> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let (said, crc) = head.split_at(HEAD - 4);
    let is_sound = said.starts_with(MAGIC) && crc32fast::hash(said).to_le_bytes() == crc;
    let long = |at: usize| -> Option<[u8; 8]> { said.get(at..at + 8)?.try_into().ok() };
    let content = said.get(HEAD - 8..)?;
    if !is_sound || crc32fast::hash(rest).to_le_bytes() != content {
        return None;
    }
    Some(Head {
        level: said[4],
        first: u64::from_le_bytes(long(5)?),
        last: u64::from_le_bytes(long(13)?),
        at: Timestamp::from_microsecond(i64::from_le_bytes(long(21)?)).ok()?,
    })
}

/// The deliveries of a sound file.
pub(super) fn read(bytes: &[u8]) -> Option<Vec<Numbered>> {
    let head = head(bytes)?;
    let decoder = zstd::stream::read::Decoder::with_buffer(bytes.get(HEAD..)?).ok()?;
    let mut json = Vec::new();
    decoder.take(CONTENT_LEN_MAX).read_to_end(&mut json).ok()?;
    let content: Content = serde_json::from_slice(&json).ok()?;
    deliveries(head.first, content)
}

/// Reads bytes as what stands in a file, without checksum and compression, which nobody guesses: what is
/// read comes out again as it went in.
#[cfg(feature = "fuzzing")]
pub(super) fn fuzz(bytes: &[u8]) {
    let content = serde_json::from_slice::<Content>(bytes).ok();
    let Some(all) = content.and_then(|content| deliveries(1, content)) else {
        return;
    };
    let Some(written) = write(&all, 0) else {
        return assert!(all.is_empty());
    };
    let again = read(&written).expect("what was written can be read");
    let shape = |all: &[Numbered]| -> Vec<(u64, usize, usize)> {
        let each = all.iter();
        each.map(|(number, one)| (*number, one.harvest.len(), one.thinned.len()))
            .collect()
    };
    assert_eq!(shape(&again), shape(&all));
}

fn content(deliveries: &[Numbered]) -> Content {
    let mut content = Content {
        skipped: Vec::new(),
        boot: Vec::new(),
        at: Vec::new(),
        offset_ms: Vec::new(),
        kinds: Vec::new(),
        rows: Rows::Plain(Vec::new()),
        rest: Vec::new(),
        thinned: Vec::new(),
    };
    let mut runs = Vec::new();
    let (mut expected, mut last) = (deliveries.first().map_or(0, |(number, _)| *number), 0);
    for (place, (number, delivery)) in (0..).zip(deliveries) {
        content.skipped.push(number.saturating_sub(expected));
        expected = number.saturating_add(1);
        content.boot.push(delivery.boot);
        let at = delivery.at.as_microsecond();
        content.at.push(at.wrapping_sub(last));
        last = at;
        content.offset_ms.push(delivery.offset_ms);
        let mut kinds = vec![0];
        for one in &delivery.harvest {
            let is_row = matches!(one, Harvest::Run(_));
            if is_row != (kinds.len() % 2 == 1) {
                kinds.push(0);
            }
            *kinds.last_mut().expect("there is one") += 1;
            match one {
                Harvest::Run(run) => runs.push(run.clone()),
                other => content.rest.push(other.clone()),
            }
        }
        content.kinds.push(kinds);
        if !delivery.thinned.is_empty() {
            content.thinned.push((place, delivery.thinned.clone()));
        }
    }
    content.rows = Table::of(&runs).map_or(Rows::Plain(runs), Rows::Table);
    content
}

fn deliveries(first: u64, content: Content) -> Option<Vec<Numbered>> {
    let mut runs = match content.rows {
        Rows::Table(table) => table.runs()?,
        Rows::Plain(runs) => runs,
    }
    .into_iter();
    let mut rest = content.rest.into_iter();
    let mut thinned = content.thinned.into_iter().peekable();
    let (mut number, mut at) = (first, 0_i64);
    let mut all = Vec::with_capacity(content.kinds.len());
    for (place, kinds) in content.kinds.iter().enumerate() {
        number = number.checked_add(*content.skipped.get(place)?)?;
        at = at.wrapping_add(*content.at.get(place)?);
        let mut harvest = Vec::new();
        for (turn, count) in kinds.iter().enumerate() {
            for _ in 0..*count {
                harvest.push(match turn % 2 {
                    0 => Harvest::Run(runs.next()?),
                    _ => rest.next()?,
                });
            }
        }
        let here = thinned.next_if(|(of, _)| usize::try_from(*of) == Ok(place));
        let delivery = Delivery {
            boot: *content.boot.get(place)?,
            at: Timestamp::from_microsecond(at).ok()?,
            offset_ms: *content.offset_ms.get(place)?,
            harvest,
            thinned: here.map(|(_, thinned)| thinned).unwrap_or_default(),
        };
        all.push((number, delivery));
        number = number.saturating_add(1);
    }
    Some(all)
}
