//! One column of numbers: constant, runs, a small dictionary, or residuals in Rice code. The
//! encoder takes whichever is smallest.

use super::bits::{BitReader, BitWriter, number_width};
use super::bytes::{unzigzag, zigzag};

/// Bits that say which of the four it is.
const TAG_BITS: u32 = 2;
const CONSTANT: u64 = 0;
const RUNS: u64 = 1;
const DICTIONARY: u64 = 2;
const RICE: u64 = 3;

/// Numbers that share a predictor and a Rice parameter: a day's drift is slower than this.
const FRAME_LEN: usize = 128;

/// Zeros that announce a number written in full: longer ones cost more than it does.
const ESCAPE_ZEROS: u32 = 14;

/// Bits of a Rice parameter, and of a width less one.
const WIDTH_BITS: u32 = 6;

/// Distinct values a dictionary may have: more is seldom the smallest, and slow to look for.
const DICTIONARY_LEN_MAX: usize = 16;

/// Appends a column; the reader must know how many numbers it has.
pub(crate) fn encode(values: &[u64], out: &mut BitWriter) {
    let Some((&first, rest)) = values.split_first() else {
        return;
    };
    if rest.iter().all(|&value| value == first) {
        out.put(CONSTANT, TAG_BITS);
        out.number(first);
        return;
    }
    let (runs, dictionary) = survey(values);
    let frames: Vec<Frame> = frames(values);
    let rice: u64 = frames.iter().map(|frame| frame.cost).sum();
    let packed = dictionary.as_ref().map_or(u64::MAX, |entries| {
        let entries_width: u64 = entries.iter().map(|&value| number_width(value)).sum();
        let width = u64::from(index_width(entries.len()));
        number_width(entries.len() as u64) + entries_width + width * values.len() as u64
    });
    if runs <= rice && runs <= packed {
        out.put(RUNS, TAG_BITS);
        encode_runs(values, out);
    } else if packed <= rice {
        out.put(DICTIONARY, TAG_BITS);
        encode_dictionary(values, &dictionary.unwrap_or_default(), out);
    } else {
        out.put(RICE, TAG_BITS);
        for (frame, chunk) in frames.iter().zip(values.chunks(FRAME_LEN)) {
            frame.encode(chunk, out);
        }
    }
}

/// Reads a column of `count` numbers into `out`, which is emptied before.
pub(crate) fn decode(reader: &mut BitReader<'_>, count: usize, out: &mut Vec<u64>) -> Option<()> {
    out.clear();
    if count == 0 {
        return Some(());
    }
    match reader.take(TAG_BITS)? {
        CONSTANT => out.resize(count, reader.number()?),
        RUNS => {
            while out.len() < count {
                let value = reader.number()?;
                let len = usize::try_from(reader.number()?).ok()?.checked_add(1)?;
                if len > count - out.len() {
                    return None;
                }
                out.resize(out.len() + len, value);
            }
        }
        DICTIONARY => {
            let len = usize::try_from(reader.number()?).ok()?;
            if len > DICTIONARY_LEN_MAX {
                return None;
            }
            let entries: Vec<u64> = (0..len).map(|_| reader.number()).collect::<Option<_>>()?;
            let width = index_width(len);
            for _ in 0..count {
                out.push(*entries.get(reader.take(width)? as usize)?);
            }
        }
        _ => {
            let mut previous = 0;
            while out.len() < count {
                let len = FRAME_LEN.min(count - out.len());
                decode_frame(reader, len, &mut previous, out)?;
            }
        }
    }
    Some(())
}

/// What the two simple ways would cost: bits of the runs, and the distinct values where few.
fn survey(values: &[u64]) -> (u64, Option<Vec<u64>>) {
    let mut runs = 0;
    let mut entries = Some(Vec::with_capacity(DICTIONARY_LEN_MAX));
    let mut len = 0u64;
    for (index, &value) in values.iter().enumerate() {
        len += 1;
        if values.get(index + 1) == Some(&value) {
            continue;
        }
        runs += number_width(value) + number_width(len - 1);
        len = 0;
        if let Some(known) = &mut entries
            && !known.contains(&value)
        {
            known.push(value);
            if known.len() > DICTIONARY_LEN_MAX {
                entries = None;
            }
        }
    }
    (runs, entries)
}

fn encode_runs(values: &[u64], out: &mut BitWriter) {
    for run in values.chunk_by(|a, b| a == b) {
        out.number(run[0]);
        out.number(run.len() as u64 - 1);
    }
}

fn index_width(len: usize) -> u32 {
    usize::BITS - len.saturating_sub(1).leading_zeros()
}

fn encode_dictionary(values: &[u64], entries: &[u64], out: &mut BitWriter) {
    out.number(entries.len() as u64);
    entries.iter().for_each(|&value| out.number(value));
    let width = index_width(entries.len());
    for value in values {
        let index = entries.iter().position(|entry| entry == value);
        out.put(index.expect("surveyed") as u64, width);
    }
}

/// How up to [`FRAME_LEN`] numbers are written.
struct Frame {
    /// What each is compared with; the number before it, if none.
    middle: Option<u64>,
    /// The number before the frame.
    before: u64,
    parameter: u32,
    cost: u64,
}

fn frames(values: &[u64]) -> Vec<Frame> {
    let mut before = 0;
    let mut sorted = Vec::with_capacity(FRAME_LEN);
    let mut residuals = Vec::with_capacity(FRAME_LEN);
    let mut all = Vec::with_capacity(values.len().div_ceil(FRAME_LEN));
    for chunk in values.chunks(FRAME_LEN) {
        sorted.clear();
        sorted.extend_from_slice(chunk);
        let at = sorted.len() / 2;
        let middle = *sorted.select_nth_unstable(at).1;
        residuals.clear();
        residuals.extend(chunk.iter().map(|&value| residual(value, middle)));
        let (parameter, cost) = best(&residuals);
        let around = Frame {
            middle: Some(middle),
            before,
            parameter,
            cost: cost + number_width(middle),
        };
        let mut last = before;
        residuals.clear();
        residuals.extend(chunk.iter().map(|&value| {
            let residual = residual(value, last);
            last = value;
            residual
        }));
        let (parameter, cost) = best(&residuals);
        let along = Frame {
            middle: None,
            before,
            parameter,
            cost,
        };
        before = last;
        all.push(if along.cost < around.cost {
            along
        } else {
            around
        });
    }
    all
}

fn residual(value: u64, prediction: u64) -> u64 {
    zigzag(value.wrapping_sub(prediction) as i64)
}

/// The Rice parameter for residuals and what it comes to, the frame's head included.
fn best(residuals: &[u64]) -> (u32, u64) {
    // The mean is drawn up by outliers, which are escaped: so each is counted only up to a bound
    // above the rest, and the neighbours of the guess are tried.
    let sum: u128 = residuals.iter().map(|&value| u128::from(value)).sum();
    let mean = (sum / residuals.len().max(1) as u128) as u64;
    let guess = 63 - (mean | 1).leading_zeros();
    let low = guess.saturating_sub(3);
    let head = u64::from(1 + WIDTH_BITS);
    (low..=(guess + 1).min(63))
        .map(|parameter| (parameter, cost(residuals, parameter)))
        .min_by_key(|&(_, cost)| cost)
        .map_or((0, head), |(parameter, cost)| (parameter, cost + head))
}

fn cost(residuals: &[u64], parameter: u32) -> u64 {
    residuals
        .iter()
        .map(|&value| {
            let zeros = value >> parameter;
            if zeros < u64::from(ESCAPE_ZEROS) {
                zeros + 1 + u64::from(parameter)
            } else {
                u64::from(ESCAPE_ZEROS + WIDTH_BITS + width_of(value))
            }
        })
        .sum()
}

/// Bits of a number, at least one.
fn width_of(value: u64) -> u32 {
    (64 - value.leading_zeros()).max(1)
}

impl Frame {
    fn encode(&self, values: &[u64], out: &mut BitWriter) {
        out.put(u64::from(self.middle.is_some()), 1);
        out.put(u64::from(self.parameter), WIDTH_BITS);
        if let Some(middle) = self.middle {
            out.number(middle);
        }
        let mut before = self.before;
        for &value in values {
            put_rice(
                out,
                residual(value, self.middle.unwrap_or(before)),
                self.parameter,
            );
            before = value;
        }
    }
}

fn put_rice(out: &mut BitWriter, value: u64, parameter: u32) {
    let zeros = value >> parameter;
    if zeros < u64::from(ESCAPE_ZEROS) {
        out.put(1 << zeros, zeros as u32 + 1);
        out.put(value & ((1 << parameter) - 1), parameter);
    } else {
        out.put(0, ESCAPE_ZEROS);
        let width = width_of(value);
        out.put(u64::from(width - 1), WIDTH_BITS);
        out.put(value, width);
    }
}

fn decode_frame(
    reader: &mut BitReader<'_>,
    len: usize,
    previous: &mut u64,
    out: &mut Vec<u64>,
) -> Option<()> {
    let has_middle = reader.take(1)? == 1;
    let parameter = reader.take(WIDTH_BITS)? as u32;
    let middle = if has_middle {
        Some(reader.number()?)
    } else {
        None
    };
    for _ in 0..len {
        let zeros = reader.zeros(ESCAPE_ZEROS)?;
        let residual = if zeros < ESCAPE_ZEROS {
            u64::from(zeros).wrapping_shl(parameter) | reader.take(parameter)?
        } else {
            let width = reader.take(WIDTH_BITS)? as u32 + 1;
            reader.take(width)?
        };
        *previous = middle
            .unwrap_or(*previous)
            .wrapping_add(unzigzag(residual) as u64);
        out.push(*previous);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(values: &[u64]) -> usize {
        let mut writer = BitWriter::new(vec![]);
        encode(values, &mut writer);
        let bytes = writer.finish();
        let mut back = vec![7];
        decode(&mut BitReader::new(&bytes), values.len(), &mut back).expect("reads");
        assert_eq!(back, values);
        bytes.len()
    }

    #[test]
    fn what_is_the_same_costs_nothing() {
        assert!(round_trip(&[60_000; 1000]) <= 4);
        assert!(round_trip(&[vec![0; 500], vec![7; 500]].concat()) <= 6);
    }

    #[test]
    fn noise_costs_its_bits() {
        let mut random = fastrand::Rng::with_seed(1);
        let noise: Vec<u64> = (0..1024).map(|_| 20_000 + random.u64(0..256)).collect();
        assert!(round_trip(&noise) <= 1024 * 9 / 8 + 40);
    }

    proptest! {
        #[test]
        fn columns_come_back(values in prop::collection::vec(prop_oneof![
            any::<u64>(), 0u64..4, 1_000u64..1_200, Just(5u64), Just(u64::MAX)
        ], 0..400)) {
            round_trip(&values);
        }

        #[test]
        fn any_bytes_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0usize..2000) {
            let mut out = vec![];
            let _ = decode(&mut BitReader::new(&bytes), count, &mut out);
            prop_assert!(out.len() <= count);
        }
    }
}
