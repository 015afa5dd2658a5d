//! Checks by id: found by their id at once, gone through in order of it, and side by side in memory,
//! since each second all of them are looked at.

use std::collections::HashMap;
use std::ops::Index;
use std::time::Duration;

use bellwether_model::CheckId;
use jiff::Timestamp;

use super::{CheckState, STALE_GRACE};

/// Checks by id.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    /// In order of their ids.
    all: Vec<(CheckId, CheckState)>,
    /// Where each stands.
    places: HashMap<CheckId, usize>,
}

impl Checks {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: &CheckId) -> Option<&CheckState> {
        self.places.get(id).map(|at| &self.all[*at].1)
    }

    /// One of them, to be changed.
    pub fn get_mut(&mut self, id: &CheckId) -> Option<&mut CheckState> {
        self.places.get(id).map(|at| &mut self.all[*at].1)
    }

    /// All of them, in order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&CheckId, &CheckState)> {
        self.all.iter().map(|(id, state)| (id, state))
    }

    /// Those that come behind an id, in order.
    pub fn behind(&self, id: &str) -> impl Iterator<Item = (&CheckId, &CheckState)> {
        let at = self.all.partition_point(|(one, _)| one.as_str() <= id);
        self.all[at..].iter().map(|(id, state)| (id, state))
    }

    /// All of them, to be changed, in order of their ids.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&CheckId, &mut CheckState)> {
        self.all.iter_mut().map(|(id, state)| (&*id, state))
    }

    /// Their ids, in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &CheckId> {
        self.all.iter().map(|(id, _)| id)
    }

    /// How they stand, in order of their ids.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &CheckState> {
        self.all.iter().map(|(_, state)| state)
    }

    /// How they stand, to be changed.
    pub fn values_mut(&mut self) -> impl ExactSizeIterator<Item = &mut CheckState> {
        self.all.iter_mut().map(|(_, state)| state)
    }

    /// Those of which what is known is too old to be true, in order of their ids.
    pub fn stale(&self, now: Timestamp) -> impl Iterator<Item = (&CheckId, &CheckState)> {
        // Most have the same interval: what it comes to is reckoned once for those in a row.
        let mut known = (Duration::ZERO, before(now, Duration::ZERO));
        self.iter().filter(move |(_, check)| {
            if known.0 != check.every {
                known = (check.every, before(now, check.every));
            }
            check.heard_at() < known.1
        })
    }

    /// Adds one, or puts another in place of it. All that come behind it are moved: many are to be
    /// collected from an iterator.
    pub fn insert(&mut self, id: CheckId, state: CheckState) {
        if let Some(known) = self.get_mut(&id) {
            *known = state;
            return;
        }
        let at = self.all.partition_point(|(one, _)| *one < id);
        self.all.insert(at, (id, state));
        self.find();
    }

    /// Keeps those only of which this is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&CheckId) -> bool) {
        let before = self.all.len();
        self.all.retain(|(id, _)| keep(id));
        if self.all.len() < before {
            self.find();
        }
    }

    fn find(&mut self) {
        let ids = self.all.iter().enumerate();
        self.places = ids.map(|(at, (id, _))| (id.clone(), at)).collect();
    }
}

/// What was heard before then is too old to be true now.
fn before(now: Timestamp, every: Duration) -> Timestamp {
    now.checked_sub(every + STALE_GRACE)
        .unwrap_or(Timestamp::MIN)
}

impl Index<&CheckId> for Checks {
    type Output = CheckState;

    fn index(&self, id: &CheckId) -> &CheckState {
        self.get(id)
            .expect("whoever indexes knows that it is there")
    }
}

impl FromIterator<(CheckId, CheckState)> for Checks {
    fn from_iter<I: IntoIterator<Item = (CheckId, CheckState)>>(all: I) -> Self {
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all.shrink_to_fit();
        let mut checks = Self {
            all,
            places: HashMap::new(),
        };
        checks.find();
        checks
    }
}

impl IntoIterator for Checks {
    type Item = (CheckId, CheckState);
    type IntoIter = std::vec::IntoIter<(CheckId, CheckState)>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> CheckId {
        CheckId::new(name, "main")
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn state(every: u64, judged_at: Option<i64>) -> CheckState {
        let mut state = CheckState::new(at(0));
        state.every = Duration::from_secs(every);
        state.judged_at = judged_at.map(at);
        state
    }

    fn names(checks: &Checks) -> Vec<&str> {
        checks.keys().map(CheckId::service).collect()
    }

    #[test]
    fn they_are_found_and_stand_in_order() {
        let given = ["d", "a", "c"].map(|name| (id(name), state(60, None)));
        let mut checks: Checks = given.into_iter().collect();
        checks.insert(id("b"), state(10, None));
        checks.insert(id("a"), state(20, None));
        assert_eq!(names(&checks), ["a", "b", "c", "d"]);
        let every = |name| checks.get(&id(name)).map(|check| check.every.as_secs());
        assert_eq!(every("a"), Some(20));
        assert_eq!(every("b"), Some(10));
        assert_eq!(every("e"), None);
        let behind = checks.behind("b/main").map(|(id, _)| id.service());
        assert_eq!(behind.collect::<Vec<_>>(), ["c", "d"]);
        checks.retain(|check| *check != id("a"));
        assert_eq!(names(&checks), ["b", "c", "d"]);
        assert_eq!(checks[&id("d")].every.as_secs(), 60);
        assert!(checks.get(&id("a")).is_none());
    }

    #[test]
    fn stale_is_what_each_says_of_itself() {
        let states = [
            state(60, None),
            state(60, Some(30)),
            state(10, Some(30)),
            state(10, Some(90)),
            state(3_600, Some(-900)),
        ];
        let named = states.into_iter().enumerate();
        let named = named.map(|(n, state)| (id(&n.to_string()), state));
        let checks: Checks = named.collect();
        for second in [0, 20, 21, 50, 51, 70, 71, 100, 101, 110, 111, 3_000, 9_000] {
            let found: Vec<&CheckId> = checks.stale(at(second)).map(|(id, _)| id).collect();
            let wanted = checks.iter().filter(|(_, c)| c.is_stale(at(second)));
            let wanted: Vec<&CheckId> = wanted.map(|(id, _)| id).collect();
            assert_eq!(found, wanted, "after {second} s");
        }
    }
}
