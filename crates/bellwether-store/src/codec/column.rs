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

/// Writes columns. It keeps what it works with, because most columns are short.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    frames: Vec<Frame>,
    sorted: Vec<u64>,
    around: Vec<u64>,
    along: Vec<u64>,
}

impl Encoder {
    /// Appends a column; the reader must know how many numbers it has.
    pub(crate) fn encode(&mut self, values: &[u64], out: &mut BitWriter) {
        let Some((&first, rest)) = values.split_first() else {
            return;
        };
        if rest.iter().all(|&value| value == first) {
            out.put(CONSTANT, TAG_BITS);
            out.number(first);
            return;
        }
        let (runs, dictionary) = survey(values);
        let packed = dictionary.packed(values.len());
        // Rice codes take a bit for each number at least, and often far more.
        let simple = runs.min(packed);
        let rice = if simple <= rice_floor(values.len()) {
            u64::MAX
        } else {
            self.plan(values);
            self.frames.iter().map(|frame| frame.cost).sum()
        };
        if runs <= rice && runs <= packed {
            out.put(RUNS, TAG_BITS);
            encode_runs(values, out);
        } else if packed <= rice {
            out.put(DICTIONARY, TAG_BITS);
            encode_dictionary(values, dictionary.entries(), out);
        } else {
            out.put(RICE, TAG_BITS);
            for (frame, chunk) in self.frames.iter().zip(values.chunks(FRAME_LEN)) {
                frame.encode(chunk, out);
            }
        }
    }

    /// How each frame of a column is written.
    fn plan(&mut self, values: &[u64]) {
        let mut before = 0;
        self.frames.clear();
        for chunk in values.chunks(FRAME_LEN) {
            self.sorted.clear();
            self.sorted.extend_from_slice(chunk);
            let at = self.sorted.len() / 2;
            let middle = *self.sorted.select_nth_unstable(at).1;
            let mut last = before;
            self.around.clear();
            self.along.clear();
            for &value in chunk {
                self.around.push(residual(value, middle));
                self.along.push(residual(value, last));
                last = value;
            }
            let (parameter, cost) = best(&self.around);
            let around = Frame {
                middle: Some(middle),
                before,
                parameter,
                cost: cost + number_width(middle),
            };
            let (parameter, cost) = best(&self.along);
            let along = Frame {
                middle: None,
                before,
                parameter,
                cost,
            };
            before = last;
            self.frames.push(if along.cost < around.cost {
                along
            } else {
                around
            });
        }
    }
}

/// Bits that so many numbers take at least in Rice code.
fn rice_floor(count: usize) -> u64 {
    count as u64 + count.div_ceil(FRAME_LEN) as u64 * u64::from(1 + WIDTH_BITS)
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

/// The distinct values of a column, if they are few.
struct Dictionary {
    entries: [u64; DICTIONARY_LEN_MAX],
    /// One more than fit, if they are not few.
    len: usize,
}

impl Dictionary {
    fn add(&mut self, value: u64) {
        if self.len > DICTIONARY_LEN_MAX || self.entries[..self.len].contains(&value) {
            return;
        }
        if let Some(entry) = self.entries.get_mut(self.len) {
            *entry = value;
        }
        self.len += 1;
    }

    fn entries(&self) -> &[u64] {
        self.entries.get(..self.len).unwrap_or(&[])
    }

    /// Bits that so many numbers take by it.
    fn packed(&self, count: usize) -> u64 {
        if self.len > DICTIONARY_LEN_MAX {
            return u64::MAX;
        }
        let entries: u64 = self
            .entries()
            .iter()
            .map(|&value| number_width(value))
            .sum();
        let width = u64::from(index_width(self.len));
        number_width(self.len as u64) + entries + width * count as u64
    }
}

/// What the two simple ways would take: bits of the runs, and the distinct values.
fn survey(values: &[u64]) -> (u64, Dictionary) {
    let mut runs = 0;
    let mut dictionary = Dictionary {
        entries: [0; DICTIONARY_LEN_MAX],
        len: 0,
    };
    for run in values.chunk_by(|a, b| a == b) {
        runs += number_width(run[0]) + number_width(run.len() as u64 - 1);
        dictionary.add(run[0]);
    }
    (runs, dictionary)
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
#[derive(Debug)]
struct Frame {
    /// What each is compared with; the number before it, if none.
    middle: Option<u64>,
    /// The number before the frame.
    before: u64,
    parameter: u32,
    cost: u64,
}

fn residual(value: u64, prediction: u64) -> u64 {
    zigzag(value.wrapping_sub(prediction) as i64)
}

/// The Rice parameter for residuals and what it comes to, the frame's head included.
fn best(residuals: &[u64]) -> (u32, u64) {
    let head = u64::from(1 + WIDTH_BITS);
    let max = residuals.iter().copied().max().unwrap_or(0);
    // The mean is drawn up by outliers, which are escaped: so smaller parameters are tried from the
    // guess on as long as they come to less, and then the next greater one.
    let sum = residuals
        .iter()
        .fold(0u64, |sum, &value| sum.saturating_add(value));
    let mean = sum / residuals.len().max(1) as u64;
    let guess = 63 - (mean | 1).leading_zeros();
    let mut chosen = (guess, cost(residuals, max, guess));
    while let Some(lower) = chosen.0.checked_sub(1) {
        let cost = cost(residuals, max, lower);
        if cost > chosen.1 {
            break;
        }
        chosen = (lower, cost);
    }
    if chosen.0 == guess && guess < 63 {
        let cost = cost(residuals, max, guess + 1);
        if cost < chosen.1 {
            chosen = (guess + 1, cost);
        }
    }
    (chosen.0, chosen.1 + head)
}

/// Bits of residuals, the greatest of which is `max`.
fn cost(residuals: &[u64], max: u64, parameter: u32) -> u64 {
    let each = u64::from(parameter) + 1;
    if max >> parameter < u64::from(ESCAPE_ZEROS) {
        let zeros: u64 = residuals.iter().map(|&value| value >> parameter).sum();
        return zeros + each * residuals.len() as u64;
    }
    residuals
        .iter()
        .map(|&value| {
            let zeros = value >> parameter;
            if zeros < u64::from(ESCAPE_ZEROS) {
                zeros + each
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
        let residual = match reader.zeros_and_bits(ESCAPE_ZEROS, parameter) {
            Some((zeros, bits)) => u64::from(zeros).wrapping_shl(parameter) | bits,
            None => take_rice(reader, parameter)?,
        };
        *previous = middle
            .unwrap_or(*previous)
            .wrapping_add(unzigzag(residual) as u64);
        out.push(*previous);
    }
    Some(())
}

/// The same bit by bit: what is escaped, or longer than one look.
#[cold]
fn take_rice(reader: &mut BitReader<'_>, parameter: u32) -> Option<u64> {
    let zeros = reader.zeros(ESCAPE_ZEROS)?;
    if zeros < ESCAPE_ZEROS {
        return Some(u64::from(zeros).wrapping_shl(parameter) | reader.take(parameter)?);
    }
    let width = reader.take(WIDTH_BITS)? as u32 + 1;
    reader.take(width)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(values: &[u64]) -> usize {
        let mut writer = BitWriter::new(vec![]);
        Encoder::default().encode(values, &mut writer);
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
