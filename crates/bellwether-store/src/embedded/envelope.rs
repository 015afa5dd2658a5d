//! An envelope as it waits in the inbox, and the head: the same runs in memory, chained by series.

use std::sync::Arc;

use super::day::Tally;
use crate::codec::bytes::{Bytes, checksum, put};
use crate::codec::row::{Base, Row, put_row, take_row};

/// The version of the format.
const VERSION: u8 = 1;

/// Bytes of the head: one chunk of memory that is bounded. Full, it is sealed early.
pub(crate) const HEAD_LEN_MAX: usize = 32 * 1024 * 1024;

const CRC_LEN: usize = 4;

/// Bytes that a run takes here, about: room is made for all of an envelope at once.
const ROW_LEN: usize = 32;

/// Writes the rows of an envelope, each with its series.
pub(crate) fn encode(id: i64, rows: &[(u32, Row)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + rows.len() * ROW_LEN);
    out.push(VERSION);
    let first = rows.first().map(|(_, row)| *row).unwrap_or_default();
    let mut base = Base {
        due: first.due,
        sequence: first.sequence,
    };
    put(&mut out, rows.len() as u64);
    out.extend_from_slice(&base.due.to_le_bytes());
    put(&mut out, base.sequence);
    for (series, row) in rows {
        put(&mut out, u64::from(*series));
        put_row(&mut out, row, base);
        base.sequence = row.sequence;
    }
    let crc = checksum(&[&id.to_le_bytes(), &out]);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// The checksum that ends an envelope.
pub(crate) fn crc_of(bytes: &[u8]) -> u32 {
    crate::codec::block::crc_of(bytes)
}

/// Checks and reads an envelope; `None` if it is damaged.
pub(crate) fn decode(id: i64, bytes: &[u8]) -> Option<Vec<(u32, Row)>> {
    let (body, crc) = bytes.split_last_chunk::<CRC_LEN>()?;
    if checksum(&[&id.to_le_bytes(), body]) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut bytes = Bytes::new(body);
    if bytes.byte()? != VERSION {
        return None;
    }
    let count = bytes.number()?;
    let mut base = Base {
        due: i64::from_le_bytes(bytes.take(8)?.try_into().ok()?),
        sequence: bytes.number()?,
    };
    let mut rows = Vec::new();
    for _ in 0..count {
        let series = bytes.number32()?;
        let row = take_row(&mut bytes, base)?;
        base.sequence = row.sequence;
        rows.push((series, row));
    }
    Some(rows)
}

/// Runs that are in the inbox and not sealed yet.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    bytes: Vec<u8>,
    /// For each series, one more than where its newest row begins; 0 if it has none.
    last: Vec<u32>,
    base: Option<i64>,
    rows: usize,
    /// The last envelope whose rows are here.
    pub(crate) through: i64,
    /// The envelopes in the inbox whose rows are here.
    pub(crate) tally: Tally,
}

impl Arena {
    /// Adds a row.
    pub(crate) fn push(&mut self, series: u32, row: &Row) {
        let due = *self.base.get_or_insert(row.due);
        let index = series as usize;
        if self.last.len() <= index {
            self.last.resize(index + 1, 0);
        }
        let at = self.bytes.len() as u32 + 1;
        self.bytes
            .extend_from_slice(&self.last[index].to_le_bytes());
        self.last[index] = at;
        put_row(&mut self.bytes, row, Base { due, sequence: 0 });
        self.rows += 1;
    }

    /// Rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Whether it is time to seal whatever the clock says.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= HEAD_LEN_MAX
    }

    /// Series numbers up to this one may be here.
    pub(crate) fn series_end(&self) -> u32 {
        self.last.len() as u32
    }

    /// The rows of a series, newest first.
    pub(crate) fn chain(&self, series: u32, out: &mut Vec<Row>) {
        let due = self.base.unwrap_or_default();
        let mut at = self.last.get(series as usize).copied().unwrap_or(0);
        while at != 0 {
            let mut bytes = Bytes::new(&self.bytes[at as usize - 1..]);
            let link = bytes.take(4).expect("written by push");
            at = u32::from_le_bytes(link.try_into().expect("four bytes"));
            let row = take_row(&mut bytes, Base { due, sequence: 0 });
            out.push(row.expect("written by push"));
        }
    }
}

/// The head of one day file.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    /// The day file that it belongs to.
    pub(crate) day: i32,
    pub(crate) current: Arena,
    /// Being sealed; readers still read it.
    pub(crate) frozen: Option<Arc<Arena>>,
}

impl Heads {
    /// The rows of a series that are in no part yet.
    pub(crate) fn chain(&self, series: u32) -> Vec<Row> {
        let mut rows = Vec::new();
        self.current.chain(series, &mut rows);
        if let Some(frozen) = &self.frozen {
            frozen.chain(series, &mut rows);
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::row::tests::any_row;

    proptest! {
        #[test]
        fn envelopes_and_chains_come_back(rows in prop::collection::vec((0u32..5, any_row()), 0..60), flip in any::<prop::sample::Index>()) {
            let mut bytes = encode(3, &rows);
            prop_assert_eq!(decode(3, &bytes), Some(rows.clone()));
            prop_assert_eq!(decode(4, &bytes), None);
            let mut arena = Arena::default();
            rows.iter().for_each(|(series, row)| arena.push(*series, row));
            for series in 0..6 {
                let mut chain = vec![];
                arena.chain(series, &mut chain);
                chain.reverse();
                let expected: Vec<Row> = rows.iter().filter(|(of, _)| *of == series).map(|(_, row)| *row).collect();
                prop_assert_eq!(chain, expected);
            }
            let at = flip.index(bytes.len());
            bytes[at] ^= 1;
            prop_assert_eq!(decode(3, &bytes), None);
        }
    }
}
