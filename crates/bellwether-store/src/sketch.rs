//! Percentiles in little space: buckets whose bounds grow by a factor (DDSketch), so that every
//! percentile is within [`ACCURACY`] of the true one.

use crate::codec::bytes::{Bytes, put};

/// How far a percentile may be from the true one, as a share of it.
pub const ACCURACY: f64 = 0.02;

/// Each bucket's upper bound over its lower.
const GAMMA: f64 = (1.0 + ACCURACY) / (1.0 - ACCURACY);

/// Buckets up to the greatest number there is: ln(2⁶⁴) / ln(γ), and one for zero.
const BUCKETS_MAX: usize = 1111;

/// Percentiles within 2 %, count, sum and greatest of whole numbers, mostly microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// The bucket that `counts` begins with.
    first: usize,
    /// Without zeros at either end.
    counts: Vec<u64>,
    count: u64,
    sum: u64,
    max: u64,
}

impl Sketch {
    /// Takes in a value.
    pub fn insert(&mut self, value: u64) {
        self.add(bucket(value), 1);
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        self.max = self.max.max(value);
    }

    /// Takes in all values of another.
    pub fn merge(&mut self, other: &Self) {
        if let Some(last) = other.counts.len().checked_sub(1) {
            self.reach(other.first, other.first + last);
            let at = other.first - self.first;
            for (mine, theirs) in self.counts[at..].iter_mut().zip(&other.counts) {
                *mine = mine.saturating_add(*theirs);
            }
        }
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// How many values it holds.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum; no more than the greatest number there is.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The greatest; 0 without any.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The mean, if there is any value.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// The value below which a share of the values lies, `q` from 0 to 1, within [`ACCURACY`];
    /// `None` without values.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let rank = (q.clamp(0.0, 1.0) * self.count.checked_sub(1)? as f64).round() as u64;
        let mut below = 0u64;
        for (index, count) in self.counts.iter().enumerate() {
            below = below.saturating_add(*count);
            if below > rank {
                return Some(middle(self.first + index).min(self.max));
            }
        }
        Some(self.max)
    }

    fn add(&mut self, bucket: usize, count: u64) {
        self.reach(bucket, bucket);
        let at = bucket - self.first;
        self.counts[at] = self.counts[at].saturating_add(count);
    }

    /// Makes room for buckets from one to another.
    fn reach(&mut self, low: usize, high: usize) {
        if self.counts.is_empty() {
            self.first = low;
        }
        if low < self.first {
            let more = self.first - low;
            let len = self.counts.len();
            self.counts.resize(len + more, 0);
            self.counts.copy_within(..len, more);
            self.counts[..more.min(len)].fill(0);
            self.first = low;
        }
        let len = high + 1 - self.first;
        if self.counts.len() < len {
            self.counts.resize(len, 0);
        }
    }

    /// Appends it: sum, greatest, and the buckets that hold something.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put(out, self.sum);
        put(out, self.max);
        let held = || {
            self.counts
                .iter()
                .enumerate()
                .filter(|(_, count)| **count > 0)
        };
        put(out, held().count() as u64);
        let mut next = 0;
        for (index, count) in held() {
            let bucket = self.first + index;
            put(out, (bucket - next) as u64);
            put(out, *count);
            next = bucket + 1;
        }
    }

    /// Takes in one as [`Self::put`] writes it, without building it first.
    pub(crate) fn merge_bytes(&mut self, bytes: &mut Bytes<'_>) -> Option<()> {
        self.sum = self.sum.saturating_add(bytes.number()?);
        self.max = self.max.max(bytes.number()?);
        let held = bytes.number()?;
        // Looked through first, so that room is made once and not bucket by bucket.
        let mut ahead = *bytes;
        let mut ends = None;
        let mut next = 0usize;
        for _ in 0..held {
            let step = usize::try_from(ahead.number()?).ok()?;
            let bucket = next.checked_add(step).filter(|&at| at < BUCKETS_MAX)?;
            let (low, _) = *ends.get_or_insert((bucket, bucket));
            ends = Some((low, bucket));
            if ahead.number()? == 0 {
                return None;
            }
            next = bucket + 1;
        }
        if let Some((low, high)) = ends {
            self.reach(low, high);
        }
        let mut next = 0usize;
        for _ in 0..held {
            let bucket = next + bytes.number()? as usize;
            let count = bytes.number()?;
            let at = &mut self.counts[bucket - self.first];
            *at = at.saturating_add(count);
            self.count = self.count.saturating_add(count);
            next = bucket + 1;
        }
        Some(())
    }
}

/// 0 for zero, else one more than the least i with value ≤ γ^i.
fn bucket(value: u64) -> usize {
    if value == 0 {
        return 0;
    }
    let index = ((value as f64).ln() / GAMMA.ln()).ceil();
    (index as usize + 1).min(BUCKETS_MAX - 1)
}

/// The value that is at most [`ACCURACY`] from every value of a bucket.
fn middle(bucket: usize) -> u64 {
    match bucket {
        0 => 0,
        _ => (2.0 * GAMMA.powi(bucket as i32 - 1) / (GAMMA + 1.0)).round() as u64,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|&value| sketch.insert(value));
        sketch
    }

    fn through_bytes(sketch: &Sketch) -> Sketch {
        let mut out = vec![];
        sketch.put(&mut out);
        let mut back = Sketch::default();
        let mut bytes = Bytes::new(&out);
        back.merge_bytes(&mut bytes).expect("reads");
        assert!(bytes.rest().is_empty());
        back
    }

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!(Sketch::default().quantile(0.5), None);
        assert_eq!(Sketch::default().mean(), None);
        assert_eq!(through_bytes(&Sketch::default()), Sketch::default());
    }

    proptest! {
        #[test]
        fn percentiles_are_within_two_in_a_hundred(
            mut values in prop::collection::vec(prop_oneof![0u64..100, 1_000u64..50_000, any::<u64>()], 1..300),
            q in 0.0f64..=1.0,
        ) {
            let sketch = of(&values);
            values.sort_unstable();
            let truth = values[(q * (values.len() - 1) as f64).round() as usize] as f64;
            let told = sketch.quantile(q).expect("not empty") as f64;
            // Half a unit more, because a percentile is told in whole numbers.
            prop_assert!((told - truth).abs() <= truth * ACCURACY * 1.0001 + 0.5, "{told} for {truth}");
            prop_assert_eq!(sketch.count(), values.len() as u64);
            prop_assert_eq!(Some(sketch.max()), values.last().copied());
        }

        #[test]
        fn merged_is_the_same_as_together(
            one in prop::collection::vec(any::<u64>().prop_map(|v| v >> 20), 0..50),
            two in prop::collection::vec(0u64..1000, 0..50),
        ) {
            let mut merged = of(&one);
            merged.merge(&through_bytes(&of(&two)));
            prop_assert_eq!(merged, of(&[one, two].concat()));
        }

        #[test]
        fn any_bytes_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Sketch::default().merge_bytes(&mut Bytes::new(&bytes));
        }
    }
}
