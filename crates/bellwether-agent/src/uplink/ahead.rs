//! By how much the hub's clock is ahead of the agent's, though that is set meanwhile.
//!
//! The hub measures, every few seconds while there is a link. In between, and for as long as there is
//! none, the clock that does not jump tells when the other one did: what was measured is corrected by as
//! much, at once.

use std::collections::VecDeque;
use std::time::Duration;

use bellwether_model::harvest::Harvest;
use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;

/// A wall clock that is moved by more than this was set.
const SET_MIN: SignedDuration = SignedDuration::from_millis(SET_MIN_MS.cast_signed());
const SET_MIN_MS: u64 = 1_000;
/// Stamps lie on a grid of their own, which is less than this ahead of the clock.
const GRID: SignedDuration = SignedDuration::from_secs(1);
/// From its stamp to a delivery: the run itself, and a disk that takes its time.
const AGE_MAX: Duration = Duration::from_secs(600);
/// How long an answer may be on its way to the hub.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Settings of the clock within that time that are remembered.
const SET_MAX: usize = 8;

/// How the wall clock lies over the one that does not jump: what it showed when that showed none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lain(SignedDuration);

impl Lain {
    /// As it is now.
    pub(super) fn of(clock: &impl Clock) -> Self {
        let wall = clock.wall().duration_since(Timestamp::UNIX_EPOCH);
        let elapsed = SignedDuration::try_from(clock.elapsed()).unwrap_or(SignedDuration::MAX);
        Self(wall.saturating_sub(elapsed))
    }

    /// Was the wall clock set between the two?
    pub(super) fn is_set(self, other: Self) -> bool {
        self.0.saturating_sub(other.0).abs() > SET_MIN
    }
}

/// How the clocks lay lately: what waited while one was set bears a stamp of before.
#[derive(Clone, Debug, Default)]
pub(super) struct Stamps {
    /// With when each was last in force, by the clock that does not jump. The last one is.
    lay: VecDeque<(Lain, Duration)>,
}

impl Stamps {
    /// All stamps as of the clock as it is now; and how that lies.
    pub(super) fn put_right(&mut self, harvest: &mut [Harvest], clock: &impl Clock) -> Lain {
        let (lain, elapsed) = (Lain::of(clock), clock.elapsed());
        match self.lay.back_mut() {
            Some((last, until)) if !last.is_set(lain) => *until = elapsed,
            _ => self.lay.push_back((lain, elapsed)),
        }
        let is_old = |until: Duration| elapsed.saturating_sub(until) > AGE_MAX;
        while self.lay.len() > SET_MAX || self.lay.front().is_some_and(|(_, until)| is_old(*until))
        {
            self.lay.pop_front();
        }
        if self.lay.len() > 1 {
            for one in harvest {
                self.moved(one, lain, clock.wall());
            }
        }
        lain
    }

    fn moved(&self, one: &mut Harvest, lain: Lain, wall: Timestamp) {
        let to = |at: &mut Timestamp, by| *at = at.saturating_add(by).unwrap_or(*at);
        match one {
            Harvest::Run(run) => {
                let by = self.by(run.began(), lain, wall);
                to(&mut run.due, by);
            }
            Harvest::Shown(shown) => {
                let by = self.by(shown.run.began(), lain, wall);
                to(&mut shown.run.due, by);
                to(&mut shown.context.now, by);
            }
            Harvest::Trace(trace) => {
                let by = self.by(trace.began, lain, wall);
                to(&mut trace.began, by);
                to(&mut trace.context.now, by);
            }
            Harvest::Own(_) => {}
        }
    }

    /// By how much a stamp is to be moved: it is of the clock by which it is not to come, and youngest.
    fn by(&self, stamp: Timestamp, lain: Lain, wall: Timestamp) -> SignedDuration {
        let age = wall.duration_since(stamp).saturating_add(GRID);
        let moves = self
            .lay
            .iter()
            .rev()
            .map(|(then, _)| lain.0.saturating_sub(then.0));
        let ages = moves.map(|by| (age.saturating_sub(by), by));
        let youngest = ages
            .filter(|(age, _)| !age.is_negative())
            .min_by_key(|(age, _)| *age);
        let by = youngest.map_or(SignedDuration::ZERO, |(_, by)| by);
        // The grid of a series is of whole microseconds.
        SignedDuration::from_micros(i64::try_from(by.as_micros()).unwrap_or(0))
    }
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Ahead {
    /// How the clocks lay when the hub was told the time, and when it was last told so.
    answered: VecDeque<(Lain, Duration)>,
    /// Milliseconds, and how the clocks lay then.
    measured: Option<(i64, Lain)>,
}

impl Ahead {
    /// The hub is told the time.
    pub(super) fn answers(&mut self, lain: Lain, elapsed: Duration) {
        self.answered
            .retain(|(_, at)| elapsed.saturating_sub(*at) <= ANSWER_MAX);
        if self
            .answered
            .back()
            .is_some_and(|(last, _)| !last.is_set(lain))
        {
            self.answered.pop_back();
        }
        self.answered.push_back((lain, elapsed));
        if self.answered.len() > SET_MAX {
            self.answered.pop_front();
        }
    }

    /// The hub says what follows from an answer: from the last one, unless that is still on its way and
    /// the one before fits what is known.
    pub(super) fn told(&mut self, offset_ms: i64, now: Lain) {
        let known = self.now(now);
        let fits = |then: &Lain| {
            let follows = Self::since(offset_ms, *then, now);
            known.is_some_and(|known| follows.abs_diff(known) <= SET_MIN_MS)
        };
        let mut answers = self.answered.iter().rev().map(|(lain, _)| *lain);
        let then = answers.clone().find(fits).or_else(|| answers.next());
        self.measured = Some((offset_ms, then.unwrap_or(now)));
    }

    /// Milliseconds; `None` where nothing was ever measured.
    pub(super) fn now(&self, lain: Lain) -> Option<i64> {
        self.measured
            .map(|(offset, then)| Self::since(offset, then, lain))
    }

    fn since(offset_ms: i64, then: Lain, now: Lain) -> i64 {
        let set = now.0.saturating_sub(then.0);
        let set = i64::try_from(set.as_millis()).unwrap_or(i64::MAX);
        offset_ms.saturating_sub(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lain(millis: i64) -> Lain {
        Lain(SignedDuration::from_millis(millis))
    }

    #[test]
    fn a_clock_that_is_set_is_followed_at_once() {
        let mut ahead = Ahead::default();
        assert_eq!(ahead.now(lain(0)), None);
        ahead.answers(lain(0), Duration::ZERO);
        ahead.told(40, lain(0));
        assert_eq!(ahead.now(lain(0)), Some(40));
        assert_eq!(ahead.now(lain(3_600_000)), Some(40 - 3_600_000));
        assert_eq!(ahead.now(lain(-3_600_000)), Some(40 + 3_600_000));
    }

    /// What the hub says follows from an answer that was given before the clock was set.
    #[test]
    fn what_is_told_is_of_the_last_answer() {
        let mut ahead = Ahead::default();
        ahead.answers(lain(0), Duration::ZERO);
        ahead.told(40, lain(3_600_000));
        ahead.answers(lain(3_600_000), Duration::from_secs(10));
        assert_eq!(ahead.now(lain(3_600_000)), Some(40 - 3_600_000));
        // That answer is still on its way.
        ahead.told(41, lain(3_600_000));
        assert_eq!(ahead.now(lain(3_600_000)), Some(41 - 3_600_000));
        ahead.told(42 - 3_600_000, lain(3_600_000));
        assert_eq!(ahead.now(lain(3_600_000)), Some(42 - 3_600_000));
        // The hub's own clock was set.
        ahead.told(42 + 60_000, lain(3_600_000));
        assert_eq!(ahead.now(lain(3_600_000)), Some(42 + 60_000));
        // Both were, long after: no answer of before is on its way any more.
        ahead.answers(lain(7_200_000), Duration::from_secs(100));
        ahead.told(42, lain(7_200_000));
        assert_eq!(ahead.now(lain(7_200_000)), Some(42));
    }

    struct Set {
        elapsed: Duration,
        lain: SignedDuration,
    }

    impl Clock for Set {
        fn elapsed(&self) -> Duration {
            self.elapsed
        }

        fn wall(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH + self.lain + self.elapsed
        }
    }

    /// A run that began so many seconds before, by a clock that lay so then.
    fn run(clock: &Set, ago: i64, lain: SignedDuration) -> Harvest {
        let row = serde_json::json!({
            "check": "service/main", "vantage": "fra", "sequence": 1, "late": 120, "every": 60_000,
            "due": clock.wall() + (lain - clock.lain) - SignedDuration::from_secs(ago),
            "outcome": "ok", "phases": {},
        });
        Harvest::Run(serde_json::from_value(row).unwrap())
    }

    fn due(one: &Harvest) -> Timestamp {
        match one {
            Harvest::Run(run) => run.due,
            other => panic!("{other:?}"),
        }
    }

    /// What waited for the disk while the clock was set bears a stamp of before.
    #[test]
    fn p15_stamps_are_of_the_clock_as_it_is() {
        let years = SignedDuration::from_hours(500_000);
        let hour = SignedDuration::from_hours(1);
        for by in [hour, -hour] {
            let mut stamps = Stamps::default();
            let before = Set {
                elapsed: Duration::from_secs(100),
                lain: years,
            };
            let mut harvest = [run(&before, 20, years), run(&before, 0, years)];
            let given = harvest.clone();
            stamps.put_right(&mut harvest, &before);
            assert_eq!(harvest, given, "nothing was set");
            let clock = Set {
                elapsed: Duration::from_secs(130),
                lain: years + by,
            };
            let mut harvest = [run(&clock, 20, years), run(&clock, 20, clock.lain)];
            assert_eq!(stamps.put_right(&mut harvest, &clock), Lain(clock.lain));
            let wanted = clock.wall() - SignedDuration::from_secs(20);
            assert_eq!(harvest.each_ref().map(due), [wanted, wanted], "{by}");
            // Long after, nobody remembers.
            let clock = Set {
                elapsed: Duration::from_secs(2_000),
                lain: clock.lain,
            };
            let mut harvest = [run(&clock, 4_000, clock.lain)];
            let given = harvest.clone();
            stamps.put_right(&mut harvest, &clock);
            assert_eq!(harvest, given);
        }
    }

    #[test]
    fn any_time_is_taken() {
        let mut ahead = Ahead::default();
        let first = Timestamp::MIN.duration_since(Timestamp::UNIX_EPOCH);
        let last = Timestamp::MAX.duration_since(Timestamp::UNIX_EPOCH);
        for at in [first, SignedDuration::ZERO, last] {
            ahead.answers(Lain(at), Duration::ZERO);
            for told in [i64::MIN, 0, i64::MAX] {
                ahead.told(told, Lain(at));
                assert!(ahead.now(lain(1)).is_some());
                assert!(ahead.now(Lain(first)).is_some());
            }
        }
    }
}
