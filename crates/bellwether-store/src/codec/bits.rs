//! Single bits, the least significant first.

/// Groups of a number: four bits, and one that says whether more follow.
const GROUP_BITS: u32 = 4;

/// Bits that one look into the bytes shows at least: a word less what is before the first of them.
const WINDOW_BITS: u32 = 57;

/// Writes bits.
#[derive(Debug, Default)]
pub(crate) struct BitWriter {
    out: Vec<u8>,
    waiting: u64,
    count: u32,
}

impl BitWriter {
    /// Behind what is in `out`.
    pub(crate) fn new(out: Vec<u8>) -> Self {
        Self {
            out,
            waiting: 0,
            count: 0,
        }
    }

    /// The lowest `width` bits, at most 64; the bits above must be zero.
    pub(crate) fn put(&mut self, value: u64, width: u32) {
        debug_assert!(width == 64 || value >> width == 0, "value fits its width");
        if width == 0 {
            return;
        }
        self.waiting |= value << self.count;
        let total = self.count + width;
        if total < 64 {
            self.count = total;
            return;
        }
        self.out.extend_from_slice(&self.waiting.to_le_bytes());
        let used = 64 - self.count;
        self.waiting = if used == 64 { 0 } else { value >> used };
        self.count = total - 64;
    }

    /// A number, short when small.
    pub(crate) fn number(&mut self, mut value: u64) {
        while value >= 1 << GROUP_BITS {
            self.put((value & 0xf) | 0x10, GROUP_BITS + 1);
            value >>= GROUP_BITS;
        }
        self.put(value, GROUP_BITS + 1);
    }

    /// The bytes; the last is filled up with zeros.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let len = self.count.div_ceil(8) as usize;
        self.out
            .extend_from_slice(&self.waiting.to_le_bytes()[..len]);
        self.out
    }
}

/// Bits that [`BitWriter::number`] takes.
pub(crate) fn number_width(value: u64) -> u64 {
    let significant = u64::from(64 - value.leading_zeros()).max(1);
    significant.div_ceil(u64::from(GROUP_BITS)) * u64::from(GROUP_BITS + 1)
}

/// Reads bits; past the end there is nothing.
#[derive(Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    /// From the first bit on.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// At least [`WINDOW_BITS`] from here on; zeros past the end.
    #[inline]
    fn window(&self) -> u64 {
        let first = self.at / 8;
        let word = match self.bytes.get(first..first + 8) {
            Some(eight) => u64::from_le_bytes(eight.try_into().expect("eight bytes")),
            None => {
                let rest = self.bytes.get(first..).unwrap_or(&[]);
                let mut eight = [0; 8];
                eight[..rest.len()].copy_from_slice(rest);
                u64::from_le_bytes(eight)
            }
        };
        word >> (self.at % 8)
    }

    fn advance(&mut self, bits: u32) -> Option<()> {
        self.at += bits as usize;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    /// So many bits, at most 64.
    pub(crate) fn take(&mut self, width: u32) -> Option<u64> {
        if width > 32 {
            let low = self.take(32)?;
            let high = self.take(width - 32)?;
            return Some(low | high << 32);
        }
        let value = self.window() & ((1u64 << width) - 1);
        self.advance(width)?;
        Some(value)
    }

    /// Zeros before the next one, which is read too; at most `most`, and then no one follows.
    pub(crate) fn zeros(&mut self, most: u32) -> Option<u32> {
        let zeros = self.window().trailing_zeros();
        if zeros >= most {
            self.advance(most)?;
            return Some(most);
        }
        self.advance(zeros + 1)?;
        Some(zeros)
    }

    /// Zeros before the next one, fewer than `most`, and so many bits behind it, both in one look;
    /// `None` where that look does not reach, and then nothing is read.
    #[inline]
    pub(crate) fn zeros_and_bits(&mut self, most: u32, width: u32) -> Option<(u32, u64)> {
        let window = self.window();
        let zeros = window.trailing_zeros();
        let len = zeros + 1 + width;
        let at = self.at + len as usize;
        if zeros >= most || len > WINDOW_BITS || at > self.bytes.len() * 8 {
            return None;
        }
        self.at = at;
        Some((zeros, window >> (zeros + 1) & ((1 << width) - 1)))
    }

    /// A number as [`BitWriter::number`] writes it.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(GROUP_BITS as usize) {
            let group = self.take(GROUP_BITS + 1)?;
            value |= (group & 0xf) << shift;
            if group & 0x10 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// Bits that are left.
    pub(crate) fn left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_come_back(values in prop::collection::vec((any::<u64>(), 0u32..=64), 0..200)) {
            let mut writer = BitWriter::new(vec![]);
            let cut = |value: u64, width: u32| if width == 64 { value } else { value & ((1 << width) - 1) };
            for &(value, width) in &values {
                writer.put(cut(value, width), width);
                writer.number(value);
            }
            let bytes = writer.finish();
            let mut reader = BitReader::new(&bytes);
            for &(value, width) in &values {
                prop_assert_eq!(reader.take(width), Some(cut(value, width)));
                prop_assert_eq!(reader.number(), Some(value));
            }
            prop_assert!(reader.left() < 8);
        }
    }
}
