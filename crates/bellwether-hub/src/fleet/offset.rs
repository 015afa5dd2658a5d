//! By how much the hub's clock is ahead of an agent's.
//!
//! The middle of a round trip is when the agent read its clock, give or take half of it. Of the last
//! few measurements the least delayed one is the nearest to the truth, unless the clock was moved
//! since: a newer one that no delay explains makes the older ones void. When the hub's own clock is set,
//! the one that does not jump tells by how much, and what was measured before stays good.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Measurements that are looked at.
const KEPT: usize = 8;
/// What a clock may drift between two of them, and what rounding takes.
const SLACK: SignedDuration = SignedDuration::from_millis(100);
/// Longest round trip that says anything.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(20);

/// Both of the hub's clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// What the wall clock shows.
    pub(crate) wall: Timestamp,
    /// The one that does not jump.
    pub(crate) at: Instant,
}

impl Now {
    /// How much further the wall clock went than the other one.
    fn set_since(self, then: Self) -> SignedDuration {
        let passed = self.at.saturating_duration_since(then.at);
        let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        self.wall.duration_since(then.wall).saturating_sub(passed)
    }
}

/// Measurements of one link.
#[derive(Debug, Default)]
pub(crate) struct Offsets(VecDeque<Sample>);

#[derive(Clone, Copy, Debug)]
struct Sample {
    round_trip: Duration,
    /// By the wall clock as it was `asked`.
    offset: SignedDuration,
    asked: Now,
}

impl Sample {
    fn offset(&self, now: Now) -> SignedDuration {
        self.offset.saturating_add(now.set_since(self.asked))
    }
}

impl Offsets {
    /// The agent's clock stood at `at` somewhere between `asked` and `now`. What is best known then,
    /// milliseconds.
    pub(crate) fn measured(&mut self, asked: Now, at: Timestamp, now: Now) -> Option<i64> {
        let round_trip = now.at.saturating_duration_since(asked.at);
        let middle = asked.wall.checked_add(round_trip / 2);
        if round_trip <= ROUND_TRIP_MAX {
            let sample = Sample {
                round_trip,
                offset: middle.unwrap_or(asked.wall).duration_since(at),
                asked,
            };
            self.0.retain(|old| is_one_clock(old, &sample, now));
            if self.0.len() == KEPT {
                self.0.pop_front();
            }
            self.0.push_back(sample);
        }
        self.best(now)
    }

    /// What is best known, milliseconds.
    pub(crate) fn best(&self, now: Now) -> Option<i64> {
        let best = self.0.iter().min_by_key(|sample| sample.round_trip)?;
        i64::try_from(best.offset(now).as_millis()).ok()
    }
}

/// Can both have been measured of a clock that was not moved?
fn is_one_clock(old: &Sample, new: &Sample, now: Now) -> bool {
    let error = (old.round_trip + new.round_trip) / 2;
    let error = SignedDuration::try_from(error).unwrap_or(SignedDuration::MAX);
    let apart = old.offset(now).saturating_sub(new.offset(now)).abs();
    apart <= error.saturating_add(SLACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
    }

    /// So many milliseconds later, on a clock that was set by `set` of them meanwhile.
    fn later(begun: Now, millis: i64, set: i64) -> Now {
        Now {
            wall: at(millis + set),
            at: begun.at + Duration::from_millis(millis.unsigned_abs()),
        }
    }

    fn begun() -> Now {
        Now {
            wall: at(0),
            at: Instant::now(),
        }
    }

    /// A round trip of this many milliseconds there and back, over a clock that is behind by `offset`.
    fn told(
        offsets: &mut Offsets,
        begun: Now,
        now: i64,
        there: i64,
        back: i64,
        offset: i64,
    ) -> Option<i64> {
        let (asked, answered) = (later(begun, now, 0), later(begun, now + there + back, 0));
        offsets.measured(asked, at(now + there - offset), answered)
    }

    #[test]
    fn the_least_delayed_is_believed() {
        let begun = begun();
        let told = |offsets: &mut Offsets, now, there, back, offset| {
            told(offsets, begun, now, there, back, offset)
        };
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
        let begun = begun();
        let told = |offsets: &mut Offsets, now, there, back, offset| {
            told(offsets, begun, now, there, back, offset)
        };
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
    fn the_hubs_own_clock_is_followed_at_once() {
        let begun = begun();
        let mut offsets = Offsets::default();
        told(&mut offsets, begun, 0, 5, 5, 40);
        for set in [3_600_000, -3_600_000] {
            assert_eq!(offsets.best(later(begun, 5_000, set)), Some(40 + set));
        }
        // Set while the question is on its way.
        let asked = later(begun, 10_000, 0);
        let answered = later(begun, 10_010, 3_600_000);
        let measured = offsets.measured(asked, at(10_005 - 40), answered);
        assert_eq!(measured, Some(3_600_040));
        assert_eq!(offsets.0.len(), 2, "it is one clock of the agent");
    }

    #[test]
    fn any_time_is_taken() {
        let begun = begun();
        let mut offsets = Offsets::default();
        for told in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH] {
            assert!(offsets.measured(begun, told, begun).is_some());
            let last = Now {
                wall: Timestamp::MAX,
                at: begun.at,
            };
            assert!(offsets.best(last).is_some());
        }
    }
}
