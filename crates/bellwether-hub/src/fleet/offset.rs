//! By how much the hub's clock is ahead of an agent's.
//!
//! The middle of a round trip is when the agent read its clock, give or take half of it. Of the last
//! few measurements the least delayed one is the nearest to the truth, unless the clock was moved
//! since: a newer one that no delay explains makes the older ones void.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Measurements that are looked at.
const KEPT: usize = 8;
/// What a clock may drift between two of them, and what rounding takes.
const SLACK: SignedDuration = SignedDuration::from_millis(100);
/// Longest round trip that says anything.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(20);

/// Measurements of one link.
#[derive(Debug, Default)]
pub(crate) struct Offsets(VecDeque<Sample>);

#[derive(Clone, Copy, Debug)]
struct Sample {
    round_trip: Duration,
    offset: SignedDuration,
}

impl Offsets {
    /// The agent's clock stood at `at` somewhere within `round_trip`, which began when ours stood at
    /// `asked`. What is best known now, milliseconds.
    pub(crate) fn measured(
        &mut self,
        asked: Timestamp,
        round_trip: Duration,
        at: Timestamp,
    ) -> Option<i64> {
        let middle = asked.checked_add(round_trip / 2).unwrap_or(asked);
        if round_trip <= ROUND_TRIP_MAX {
            let sample = Sample {
                round_trip,
                offset: middle.duration_since(at),
            };
            self.0.retain(|old| is_one_clock(old, &sample));
            if self.0.len() == KEPT {
                self.0.pop_front();
            }
            self.0.push_back(sample);
        }
        self.best()
    }

    /// What is best known, milliseconds.
    pub(crate) fn best(&self) -> Option<i64> {
        let best = self.0.iter().min_by_key(|sample| sample.round_trip)?;
        i64::try_from(best.offset.as_millis()).ok()
    }
}

/// Can both have been measured of a clock that was not moved?
fn is_one_clock(old: &Sample, new: &Sample) -> bool {
    let error = (old.round_trip + new.round_trip) / 2;
    let error = SignedDuration::try_from(error).unwrap_or(SignedDuration::MAX);
    let apart = old.offset.saturating_sub(new.offset).abs();
    apart <= error.saturating_add(SLACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
    }

    /// A round trip of this many milliseconds there and back, over a clock that is behind by `offset`.
    fn told(offsets: &mut Offsets, now: i64, there: i64, back: i64, offset: i64) -> Option<i64> {
        let round_trip = Duration::from_millis((there + back).unsigned_abs());
        offsets.measured(at(now), round_trip, at(now + there - offset))
    }

    #[test]
    fn the_least_delayed_is_believed() {
        let mut offsets = Offsets::default();
        assert_eq!(told(&mut offsets, 0, 400, 0, 5_000), Some(4_800));
        assert_eq!(told(&mut offsets, 10_000, 10, 10, 5_000), Some(5_000));
        for n in 2..9 {
            assert_eq!(told(&mut offsets, n * 10_000, 0, 900, 5_000), Some(5_000));
        }
        assert_eq!(
            told(&mut offsets, 90_000, 0, 900, 5_000),
            Some(5_450),
            "nine ago"
        );
        assert_eq!(told(&mut offsets, 100_000, 0, 60_000, 5_000), Some(5_450));
    }

    #[test]
    fn a_clock_that_is_moved_is_measured_anew() {
        let mut offsets = Offsets::default();
        assert_eq!(told(&mut offsets, 0, 5, 5, 0), Some(0));
        assert_eq!(
            told(&mut offsets, 10_000, 50, 50, -3_600_000),
            Some(-3_600_000)
        );
        // One that stands still is behind by more each time.
        for n in 1..20 {
            let behind = n * 10_000;
            assert_eq!(told(&mut offsets, behind, 1, 1, behind), Some(behind));
        }
    }

    #[test]
    fn any_time_is_taken() {
        let mut offsets = Offsets::default();
        for told in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH] {
            assert!(offsets.measured(at(0), Duration::ZERO, told).is_some());
        }
    }
}
