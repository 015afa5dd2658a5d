//! How late runs begin: a histogram of fixed size, good to an eighth.

use std::time::Duration;

use serde::Serialize;

/// Parts of each power of two.
const PARTS: u64 = 8;
/// Up to 2^36 microseconds, some nineteen hours; what is above counts as that.
const OCTAVES: u64 = 34;
const LEN: usize = (OCTAVES * PARTS) as usize;

/// Counts by microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Box<[u64; LEN]>,
    count: u64,
    max: u64,
}

/// How late runs began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lateness {
    /// Runs counted.
    pub count: u64,
    /// Half of them began no later, microseconds; up to an eighth too much.
    pub p50: u64,
    /// Ninety-five of a hundred, microseconds.
    pub p95: u64,
    /// Ninety-nine of a hundred, microseconds.
    pub p99: u64,
    /// The latest, microseconds.
    pub max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: Box::new([0; LEN]),
            count: 0,
            max: 0,
        }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, micros: u64) {
        self.counts[place(micros)] += 1;
        self.count += 1;
        self.max = self.max.max(micros);
    }

    pub(crate) fn told(&self) -> Lateness {
        Lateness {
            count: self.count,
            p50: self.quantile(50),
            p95: self.quantile(95),
            p99: self.quantile(99),
            max: self.max,
        }
    }

    fn quantile(&self, percent: u64) -> u64 {
        let wanted = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && *count > 0 {
                return end(at).min(self.max);
            }
        }
        0
    }
}

/// The first eight places are exact, then each power of two has eight.
fn place(micros: u64) -> usize {
    let at = if micros < PARTS {
        micros
    } else {
        let octave = u64::from(micros.ilog2()) - 3;
        (octave + 1) * PARTS + (micros >> octave) - PARTS
    };
    usize::try_from(at).unwrap_or(LEN).min(LEN - 1)
}

/// The largest value of a place.
fn end(place: usize) -> u64 {
    let place = place as u64;
    if place < PARTS {
        return place;
    }
    let (octave, part) = (place / PARTS - 1, place % PARTS);
    ((PARTS + part + 1) << octave) - 1
}

/// Two histograms in turn: what is told is of the last whole span, and of the one that runs.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    running: Histogram,
    whole: Lateness,
    since: u64,
}

/// Length of a span.
const SPAN: Duration = Duration::from_secs(60);

impl Recent {
    pub(crate) fn record(&mut self, now: u64, micros: u64) {
        self.turn(now);
        self.running.record(micros);
    }

    pub(crate) fn told(&mut self, now: u64) -> Lateness {
        self.turn(now);
        self.whole
    }

    fn turn(&mut self, now: u64) {
        let span = SPAN.as_micros() as u64;
        if now - self.since < span {
            return;
        }
        let is_next = now - self.since < 2 * span;
        let ended = std::mem::take(&mut self.running).told();
        self.whole = if is_next { ended } else { Lateness::default() };
        self.since = now - now % span;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_in_order_and_an_eighth_wide() {
        let mut last = 0;
        for micros in (0..5000).chain((5000..100_000_000).step_by(997)) {
            let at = place(micros);
            assert!(at >= last && end(at) >= micros, "{micros}");
            assert!(end(at) - micros <= micros / 8 + 1, "{micros}");
            last = at;
        }
        assert_eq!(place(u64::MAX), LEN - 1);
    }

    #[test]
    fn quantiles() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|n| histogram.record(n * 10));
        let Lateness {
            count,
            p50,
            p95,
            p99,
            max,
        } = histogram.told();
        assert_eq!((count, max), (1000, 10_000));
        assert!((5000..=5632).contains(&p50), "{p50}");
        assert!((9500..=10_000).contains(&p95) && p95 <= p99, "{p95}");
        assert!((9900..=10_000).contains(&p99), "{p99}");
        assert_eq!(Histogram::default().told(), Lateness::default());
    }
}
