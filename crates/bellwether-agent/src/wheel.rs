//! When what is due: a wheel of slots, and the grid on which a check's runs lie.
//!
//! Pure. Times are microseconds of a clock that never jumps. Setting a timer and taking one out cost
//! the same whether there are ten of them or a million.

/// Length of a slot, microseconds: nothing begins later than this for the wheel's sake.
pub const TICK: u64 = 10_000;
/// Slots of a turn, some 80 s: what is due later stays in its slot for further turns.
const SLOTS: usize = 8192;
/// How far ahead [`Wheel::wake`] looks, slots: whoever waits looks again after a second at the latest.
const AHEAD: u64 = 100;

/// Timers by the time at which they are due.
#[derive(Debug)]
pub struct Wheel<T> {
    slots: Vec<Vec<(u64, T)>>,
    /// The first tick that was not gone through yet.
    tick: u64,
    len: usize,
}

impl<T> Wheel<T> {
    /// An empty one, at this time.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self {
            slots: std::iter::repeat_with(Vec::new).take(SLOTS).collect(),
            tick: now / TICK,
            len: 0,
        }
    }

    /// Timers set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Is none set?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a timer; one in the past goes off with the next slot.
    pub fn insert(&mut self, at: u64, item: T) {
        let tick = at.div_ceil(TICK).max(self.tick);
        self.slots[slot(tick)].push((at, item));
        self.len += 1;
    }

    /// Takes out everything that is due, in order.
    pub fn advance(&mut self, now: u64, due: &mut Vec<(u64, T)>) {
        let last = now / TICK;
        if last < self.tick {
            return;
        }
        let begin = due.len();
        // After a whole turn each slot was seen once.
        let turn = u64::try_from(SLOTS).unwrap_or(u64::MAX);
        for tick in self.tick..self.tick + (last - self.tick + 1).min(turn) {
            due.extend(self.slots[slot(tick)].extract_if(.., |(at, _)| *at <= now));
        }
        self.tick = last + 1;
        self.len -= due.len() - begin;
        due[begin..].sort_by_key(|(at, _)| *at);
    }

    /// When to call [`advance`](Self::advance) next, at the latest.
    #[must_use]
    pub fn wake(&self) -> u64 {
        let ahead = self.tick..self.tick + AHEAD;
        let next = ahead
            .clone()
            .find(|tick| !self.slots[slot(*tick)].is_empty());
        next.unwrap_or(ahead.end) * TICK
    }
}

#[expect(clippy::cast_possible_truncation, reason = "what is left of 8192")]
fn slot(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

/// Where in its interval a check's runs lie, microseconds from the grid's begin: by its name alone, so
/// that it is the same after each start and on each machine. `salt` parts several grids of one check.
#[must_use]
pub fn phase(name: &str, salt: u8, every: u64) -> u64 {
    hash(name, salt) % every.max(1)
}

/// FNV-1a, and the last step of MurmurHash3: names that differ in a digit must lie far apart.
#[must_use]
pub fn hash(name: &str, salt: u8) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in name.bytes().chain([salt]) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The first time on a grid that is later than `after`.
#[must_use]
pub fn next(after: u64, every: u64, phase: u64) -> u64 {
    let every = every.max(1);
    let here = after - after % every + phase % every;
    if here > after { here } else { here + every }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is set goes off once, not before its time, and at most a tick after it was
        /// looked for; in order.
        #[test]
        fn each_goes_off_once_and_in_time(
            begin in 0_u64..1 << 40,
            timers in prop::collection::vec((0_u64..200_000_000, 0_u64..300_000_000), 1..200),
            steps in prop::collection::vec(1_u64..40_000_000, 1..60),
        ) {
            let mut wheel = Wheel::new(begin);
            let mut waiting: Vec<(u64, u64, usize)> = timers
                .iter()
                .enumerate()
                .map(|(at, (set, after))| (begin + set, begin + set + after, at))
                .collect();
            waiting.sort_unstable();
            let mut now = begin;
            let mut set = waiting.into_iter().peekable();
            let mut open: std::collections::BTreeMap<usize, (u64, u64)> = Default::default();
            for step in steps.into_iter().chain([600_000_000]) {
                now += step;
                let mut due = Vec::new();
                wheel.advance(now, &mut due);
                prop_assert!(due.is_sorted_by_key(|(at, _)| *at));
                for (at, item) in due {
                    prop_assert!(at <= now);
                    prop_assert_eq!(open.remove(&item).map(|(at, _)| at), Some(at));
                }
                // What is left is not due, but for the part of the tick that has begun.
                // Set late, it waits for the tick after that.
                prop_assert!(open.values().all(|(_, from)| from + TICK > now));
                prop_assert_eq!(wheel.len(), open.len());
                while let Some((_, at, item)) = set.next_if(|(when, ..)| *when <= now) {
                    wheel.insert(at, item);
                    open.insert(item, (at, at.max(now)));
                }
            }
            for (_, at, item) in set {
                wheel.insert(at, item);
                open.insert(item, (at, at.max(now)));
            }
            let mut due = Vec::new();
            wheel.advance(now + 600_000_000 + 2 * TICK, &mut due);
            wheel.advance(now + 600_000_000 + 4 * TICK, &mut due);
            prop_assert_eq!(due.len(), open.len());
            prop_assert!(wheel.is_empty());
        }

        /// Waking when told, nothing is later than a tick.
        #[test]
        fn who_wakes_when_told_is_in_time(after in prop::collection::vec(0_u64..5_000_000, 1..50)) {
            let begin = 1_700_000_000_000_000;
            let mut wheel = Wheel::new(begin);
            for at in &after {
                wheel.insert(begin + at, ());
            }
            let mut seen = 0;
            while seen < after.len() {
                let now = wheel.wake();
                let mut due = Vec::new();
                wheel.advance(now, &mut due);
                prop_assert!(due.iter().all(|(at, ())| now - at <= TICK));
                seen += due.len();
            }
        }

        #[test]
        fn a_grid_goes_on_by_its_interval(after in 0_u64..1 << 50, every in 1_u64..1 << 40, name in "[a-z/]{1,12}") {
            let phase = phase(&name, 0, every);
            let first = next(after, every, phase);
            prop_assert!(first > after && first - after <= every);
            prop_assert_eq!(first % every, phase);
            prop_assert_eq!(next(first, every, phase), first + every);
        }
    }

    #[test]
    fn names_alike_lie_apart() {
        let every = 60_000_000;
        let mut tenths = [0_u32; 600];
        for n in 0..60_000 {
            let at = phase(&format!("svc-{n:05}/main"), 0, every) / 100_000;
            tenths[usize::try_from(at).unwrap()] += 1;
        }
        // A hundred each; chance alone leaves seven of ten thousand beyond 1.5 times that.
        assert!(tenths.iter().all(|n| (50..=150).contains(n)), "{tenths:?}");
    }
}
