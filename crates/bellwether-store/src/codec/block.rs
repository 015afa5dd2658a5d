//! Runs of one series as columns: how they are kept at rest.
//!
//! Version 1 is: the version; in bits a head (count, interval, first due, first sequence, slope of
//! the sequences), a bit for each column that is not all zero, and those columns; pieces of 32
//! bytes for evidence; the CRC-32 of the key and all of that. The key is in the checksum, so that
//! a block in the wrong place is not believed either.

use super::bits::{BitReader, BitWriter};
use super::bytes::{checksum, unzigzag, zigzag};
use super::column;
use super::row::Row;

/// The version of the format.
const VERSION: u8 = 1;

/// Runs in a block: 36 a second for an hour. It bounds what a reader sets aside for any bytes.
pub(crate) const ROWS_MAX: usize = 1 << 17;

/// Columns in the order of the format.
const COLUMNS: usize = 21;

/// Fraction bits of the slope of the sequences.
const SLOPE_BITS: u32 = 16;

const CRC_LEN: usize = 4;

/// Why bytes are no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockError {
    /// The checksum is another.
    Checksum,
    /// A version that this program does not know.
    Version(u8),
    /// The checksum holds and the content does not.
    Malformed,
}

impl std::fmt::Display for BlockError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Checksum => f.write_str("its checksum does not hold"),
            Self::Version(version) => write!(f, "it is of version {version}, unknown here"),
            Self::Malformed => f.write_str("it is malformed"),
        }
    }
}

/// Writes rows under a key. There is at least one row and at most [`ROWS_MAX`]; sorted by begin
/// they take least.
pub(crate) fn encode(key: u64, rows: &[Row]) -> Vec<u8> {
    Encoder::default().encode(key, rows)
}

/// Writes many blocks: it keeps what it works with.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    columns: [Vec<u64>; COLUMNS],
    column: column::Encoder,
}

impl Encoder {
    /// Writes rows under a key, as [`encode`] does.
    pub(crate) fn encode(&mut self, key: u64, rows: &[Row]) -> Vec<u8> {
        let first = rows.first().copied().unwrap_or_default();
        let slope = slope(rows);
        let mut out = BitWriter::new(vec![VERSION]);
        out.number(rows.len() as u64);
        out.number(u64::from(first.every));
        out.number(zigzag(first.due));
        out.number(first.sequence);
        out.number(zigzag(slope));
        let present = self.fill(rows, &first, slope);
        out.put(present, COLUMNS as u32);
        for (index, values) in self.columns.iter().enumerate() {
            if present >> index & 1 == 1 {
                self.column.encode(values, &mut out);
            }
        }
        let mut bytes = out.finish();
        for row in rows {
            bytes.extend_from_slice(row.evidence.as_ref().map_or(&[], |digest| &digest[..]));
        }
        let crc = checksum(&[&key.to_le_bytes(), &bytes]);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Puts rows into columns. A bit for each column that is not all zero.
    fn fill(&mut self, rows: &[Row], first: &Row, slope: i64) -> u64 {
        let every = i64::from(first.every.max(1)) * 1000;
        let mut grid = Grid {
            last: first.due.wrapping_sub(every),
        };
        self.columns.iter_mut().for_each(Vec::clear);
        let mut any = [0; COLUMNS];
        for row in rows {
            let (steps, beside) = grid.place(row);
            let sequence = row.sequence.wrapping_sub(line(first, slope, row.due));
            let fixed = [
                u64::from(row.flags),
                u64::from(row.every) ^ u64::from(first.every),
                steps,
                beside,
                u64::from(row.late),
                zigzag(sequence as i64),
                u64::from(row.boot),
                u64::from(row.symptom),
                u64::from(row.resolver),
                u64::from(row.address),
                u64::from(row.certificate),
                u64::from(row.status),
                row.size,
                u64::from(row.evidence.is_some()),
                u64::from(row.mask),
            ];
            any[OFFSET] |= row.offset;
            self.columns[OFFSET].push(row.offset);
            for (index, value) in fixed.into_iter().enumerate() {
                any[index] |= value;
                self.columns[index].push(value);
            }
            for (index, value) in row.each_phase() {
                let value = u64::from(value);
                any[FIRST_PHASE + index] |= value;
                self.columns[FIRST_PHASE + index].push(value);
            }
        }
        let bits = any.iter().enumerate();
        bits.fold(0, |bits, (index, &any)| bits | u64::from(any != 0) << index)
    }
}

/// The checksum that ends a block: what a manifest sums up.
pub(crate) fn crc_of(block: &[u8]) -> u32 {
    block
        .last_chunk::<CRC_LEN>()
        .map_or(0, |crc| u32::from_le_bytes(*crc))
}

/// Checks and reads rows that were written under a key.
pub(crate) fn decode(key: u64, block: &[u8]) -> Result<Vec<Row>, BlockError> {
    let (body, crc) = block
        .split_last_chunk::<CRC_LEN>()
        .ok_or(BlockError::Checksum)?;
    if checksum(&[&key.to_le_bytes(), body]) != u32::from_le_bytes(*crc) {
        return Err(BlockError::Checksum);
    }
    decode_body(body)
}

/// The interval of the first row, milliseconds, without reading the rest.
pub(crate) fn interval(block: &[u8]) -> Option<u32> {
    let (&version, rest) = block.split_first()?;
    let mut reader = BitReader::new(rest);
    reader.number()?;
    (version == VERSION).then_some(u32::try_from(reader.number()?).ok()?)
}

/// Reads the content of a block whatever its bytes are: for the fuzzer, which cannot guess
/// checksums.
pub(crate) fn decode_body(body: &[u8]) -> Result<Vec<Row>, BlockError> {
    let (&version, rest) = body.split_first().ok_or(BlockError::Malformed)?;
    if version != VERSION {
        return Err(BlockError::Version(version));
    }
    decode_columns(rest).ok_or(BlockError::Malformed)
}

/// How fast sequences grow from slot to slot, with [`SLOPE_BITS`] of fraction.
fn slope(rows: &[Row]) -> i64 {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return 0;
    };
    let slots = slot_of(first, last.due);
    if slots <= 0 || last.sequence < first.sequence || last.boot != first.boot {
        return 0;
    }
    let grown = i128::from(last.sequence - first.sequence) << SLOPE_BITS;
    i64::try_from(grown / i128::from(slots)).unwrap_or(0)
}

fn slot_of(first: &Row, due: i64) -> i64 {
    let every = i64::from(first.every.max(1)) * 1000;
    due.wrapping_sub(first.due).wrapping_div(every)
}

/// Where the line through the sequences is at a row.
fn line(first: &Row, slope: i64, due: i64) -> u64 {
    let grown = (i128::from(slope) * i128::from(slot_of(first, due))) >> SLOPE_BITS;
    first.sequence.wrapping_add(grown as u64)
}

/// The step of the grid that a row is on, and what is left beside it.
struct Grid {
    /// When the last row on the grid was due.
    last: i64,
}

impl Grid {
    /// Steps from the last row on the grid, less one, and microseconds beside that.
    fn place(&mut self, row: &Row) -> (u64, u64) {
        let away = row.due.wrapping_sub(self.last);
        if !row.on_grid() {
            return (0, zigzag(away));
        }
        self.last = row.due;
        let every = i64::from(row.every.max(1)) * 1000;
        let steps = away.wrapping_div(every);
        let beside = away.wrapping_sub(steps.wrapping_mul(every));
        (zigzag(steps.wrapping_sub(1)), zigzag(beside))
    }

    fn due(&mut self, on_grid: bool, every: u32, steps: u64, beside: u64) -> i64 {
        let beside = unzigzag(beside);
        if !on_grid {
            return self.last.wrapping_add(beside);
        }
        let every = i64::from(every.max(1)) * 1000;
        let steps = unzigzag(steps).wrapping_add(1);
        let away = steps.wrapping_mul(every).wrapping_add(beside);
        self.last = self.last.wrapping_add(away);
        self.last
    }
}

/// Columns before this are of every row; from here on, of the rows that have the phase.
const FIRST_PHASE: usize = 15;
/// The last is of every row again: versions before agents elsewhere left it empty.
const OFFSET: usize = 20;

fn decode_columns(bytes: &[u8]) -> Option<Vec<Row>> {
    let mut reader = BitReader::new(bytes);
    let count = usize::try_from(reader.number()?).ok()?;
    if count == 0 || count > ROWS_MAX {
        return None;
    }
    let first = Row {
        every: u32::try_from(reader.number()?).ok()?,
        due: unzigzag(reader.number()?),
        sequence: reader.number()?,
        ..Row::default()
    };
    let slope = unzigzag(reader.number()?);
    let present = reader.take(COLUMNS as u32)?;
    // What a column that is not there stands for, but for what follows from the grid.
    let plain = Row {
        every: first.every,
        ..Row::default()
    };
    let mut rows = vec![plain; count];
    let mut values = Vec::new();
    let mut steps = Vec::new();
    let mut beside = Vec::new();
    for index in 0..FIRST_PHASE {
        if present >> index & 1 == 0 {
            continue;
        }
        column::decode(&mut reader, count, &mut values)?;
        match index {
            STEPS => steps = std::mem::take(&mut values),
            BESIDE => beside = std::mem::take(&mut values),
            _ => fill(&mut rows, index, &values, &first)?,
        }
    }
    let mut grid = Grid {
        last: first.due.wrapping_sub(i64::from(first.every.max(1)) * 1000),
    };
    for (index, row) in rows.iter_mut().enumerate() {
        let of = |column: &[u64]| column.get(index).copied().unwrap_or(0);
        row.due = grid.due(row.on_grid(), row.every, of(&steps), of(&beside));
        row.sequence = row.sequence.wrapping_add(line(&first, slope, row.due));
    }
    decode_phases(&mut reader, present, &mut rows, &mut values)?;
    if present >> OFFSET & 1 == 1 {
        column::decode(&mut reader, count, &mut values)?;
        put_all(&mut rows, &values, |row| &mut row.offset, Some)?;
    }
    decode_evidence(&reader, bytes, &mut rows)?;
    Some(rows)
}

const STEPS: usize = 2;
const BESIDE: usize = 3;

/// Puts a column into the rows. The sequence is only what is beside the line yet.
fn fill(rows: &mut [Row], index: usize, values: &[u64], first: &Row) -> Option<()> {
    match index {
        0 => put_all(
            rows,
            values,
            |row| &mut row.flags,
            |value| value.try_into().ok(),
        ),
        1 => put_all(
            rows,
            values,
            |row| &mut row.every,
            |value| Some(word(value)? ^ first.every),
        ),
        4 => put_all(rows, values, |row| &mut row.late, word),
        5 => put_all(
            rows,
            values,
            |row| &mut row.sequence,
            |value| Some(unzigzag(value) as u64),
        ),
        6 => put_all(rows, values, |row| &mut row.boot, word),
        7 => put_all(rows, values, |row| &mut row.symptom, word),
        8 => put_all(rows, values, |row| &mut row.resolver, word),
        9 => put_all(rows, values, |row| &mut row.address, word),
        10 => put_all(rows, values, |row| &mut row.certificate, word),
        11 => put_all(rows, values, |row| &mut row.status, word),
        12 => put_all(rows, values, |row| &mut row.size, Some),
        13 => put_all(
            rows,
            values,
            |row| &mut row.evidence,
            |value| Some((value != 0).then_some([0; 32])),
        ),
        _ => put_all(
            rows,
            values,
            |row| &mut row.mask,
            |value| value.try_into().ok().filter(|&mask: &u8| mask < 32),
        ),
    }
}

/// One loop for each column, so that what a column is is asked once and not for each row.
fn put_all<T>(
    rows: &mut [Row],
    values: &[u64],
    place: impl Fn(&mut Row) -> &mut T,
    read: impl Fn(u64) -> Option<T>,
) -> Option<()> {
    for (row, &value) in rows.iter_mut().zip(values) {
        *place(row) = read(value)?;
    }
    Some(())
}

fn word(value: u64) -> Option<u32> {
    value.try_into().ok()
}

fn decode_phases(
    reader: &mut BitReader<'_>,
    present: u64,
    rows: &mut [Row],
    values: &mut Vec<u64>,
) -> Option<()> {
    for phase in 0..5 {
        if present >> (FIRST_PHASE + phase) & 1 == 0 {
            continue;
        }
        let has = |row: &&mut Row| row.mask >> phase & 1 == 1;
        let count = rows.iter_mut().filter(has).count();
        column::decode(reader, count, values)?;
        for (row, &value) in rows.iter_mut().filter(has).zip(values.iter()) {
            row.phases[phase] = u32::try_from(value).ok()?;
        }
    }
    Some(())
}

/// Evidence is at the end, so that it begins at a whole byte.
fn decode_evidence(reader: &BitReader<'_>, bytes: &[u8], rows: &mut [Row]) -> Option<()> {
    let at = bytes.len() - reader.left() / 8;
    let mut pieces = bytes.get(at..)?.chunks_exact(32);
    for row in rows {
        if let Some(evidence) = &mut row.evidence {
            *evidence = pieces.next()?.try_into().expect("32 bytes");
        }
    }
    (pieces.next().is_none() && pieces.remainder().is_empty()).then_some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::row::tests::any_row;

    proptest! {
        #[test]
        fn p18_blocks_come_back(rows in prop::collection::vec(any_row(), 1..200), key in any::<u64>()) {
            let block = encode(key, &rows);
            prop_assert_eq!(interval(&block), Some(rows[0].every));
            prop_assert_eq!(decode(key, &block), Ok(rows));
            prop_assert_eq!(decode(key ^ 1, &block), Err(BlockError::Checksum));
        }

        #[test]
        fn hostile_s7_any_bytes_read_without_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_body(&bytes);
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            let _ = decode_body(&bytes);
        }

        #[test]
        fn hostile_s7_a_changed_block_reads_without_panic(
            rows in prop::collection::vec(any_row(), 1..40),
            at in any::<prop::sample::Index>(),
            change in 1u8..,
        ) {
            let mut block = encode(7, &rows);
            let at = at.index(block.len());
            block[at] ^= change;
            prop_assert_eq!(decode(7, &block), Err(BlockError::Checksum));
            let _ = decode_body(&block[..block.len() - CRC_LEN]);
        }
    }

    #[test]
    fn an_unknown_version_is_no_guess() {
        assert_eq!(decode_body(&[2, 0, 0]), Err(BlockError::Version(2)));
    }

    #[test]
    fn regular_rows_are_small() {
        let rows: Vec<Row> = (0..60)
            .map(|slot| Row {
                due: 1_700_000_000_000_000 + slot * 60_000_000,
                late: 900,
                every: 60_000,
                sequence: 1000 + slot as u64 * 500,
                boot: 1,
                status: 201,
                size: 5001,
                ..Row::default()
            })
            .collect();
        assert!(encode(1, &rows).len() < 60);
    }
}
