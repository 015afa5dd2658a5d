//! What is written down of checks now and then, in parts, one after the other.
//!
//! What detection, incidents and board know grows with the checks. Of a hundred thousand it is a
//! hundred MiB: written in one piece it would hold up the judge for seconds, every half minute. A
//! part is of some checks; a small configuration has one, and all of it is written at once.

use std::collections::BTreeSet;
use std::time::Duration;

use bellwether_agent::wheel;
use bellwether_model::CheckId;
use jiff::{SignedDuration, Timestamp};

/// Checks of one part, about: half a MiB and some milliseconds.
pub(crate) const PART_LEN: usize = 1_000;
/// How often each part is written, where there are few.
const EVERY: Duration = Duration::from_secs(30);
/// Between one part and the next: of a hundred parts each is written every five minutes. What is told
/// of the checks is too old after a restart in any case, and what was learned changes in hours; a part
/// a second would cost as much as all of judging.
const BETWEEN: Duration = Duration::from_secs(3);
/// How often what incidents remember is written, where there is more than one part: with thousands of
/// checks that fail it is some MiB.
const MEMORY_EVERY: SignedDuration = SignedDuration::from_secs(10);

/// Checks in parts, and which is next.
#[derive(Debug)]
pub(crate) struct Parts {
    parts: Vec<Vec<CheckId>>,
    /// In which of them anything changed since it was written: what is as it was is not written again.
    changed: Vec<bool>,
    next: usize,
    /// Was the end of a round passed since that was asked?
    is_round_over: bool,
    /// When the last one was written.
    written: Timestamp,
    /// When what incidents remember was.
    remembered: Timestamp,
    /// Keys of another division, to be removed when all of this one is written.
    former: BTreeSet<String>,
}

impl Parts {
    /// Of no checks. `stored` are the keys that a former process wrote.
    pub(crate) fn new(now: Timestamp, stored: impl IntoIterator<Item = String>) -> Self {
        Self {
            parts: vec![Vec::new()],
            changed: vec![true],
            next: 0,
            is_round_over: false,
            written: now,
            remembered: now,
            former: stored.into_iter().collect(),
        }
    }

    /// Divides these checks. A check stays in its part as long as there are as many.
    pub(crate) fn divide<'c>(&mut self, checks: impl ExactSizeIterator<Item = &'c CheckId>) {
        let count = checks.len().div_ceil(PART_LEN).max(1);
        if count != self.parts.len() {
            self.former.extend(self.keys(self.parts.len()));
            self.next = 0;
        }
        self.parts = vec![Vec::new(); count];
        self.changed = vec![true; count];
        for check in checks {
            let at = self.at(check);
            self.parts[at].push(check.clone());
        }
    }

    /// In which part a check is.
    fn at(&self, check: &CheckId) -> usize {
        let at = wheel::hash(check.as_str(), 0) % self.parts.len() as u64;
        usize::try_from(at).unwrap_or_default()
    }

    /// Something came of a check.
    pub(crate) fn changed(&mut self, check: &CheckId) {
        let at = self.at(check);
        self.changed[at] = true;
    }

    /// Something may have changed of any of them.
    pub(crate) fn all_changed(&mut self) {
        self.changed.fill(true);
    }

    /// Is everything in one?
    pub(crate) fn is_one(&self) -> bool {
        self.parts.len() == 1
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    /// The checks of one.
    pub(crate) fn checks(&self, part: usize) -> &[CheckId] {
        &self.parts[part]
    }

    /// The key of a part, of those that begin so.
    pub(crate) fn key(&self, begin: &str, part: usize) -> String {
        key(begin, part, self.parts.len())
    }

    /// The part to be written now, if anything changed in one and it is time; it counts as written.
    pub(crate) fn due(&mut self, now: Timestamp) -> Option<usize> {
        let share = EVERY / u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        let share = match self.is_one() {
            true => share,
            false => share.max(BETWEEN),
        };
        let share = SignedDuration::try_from(share).unwrap_or_default();
        let age = now.duration_since(self.written);
        // A clock that was set back makes none of them wait.
        if age < share && !age.is_negative() {
            return None;
        }
        let len = self.parts.len();
        let turns = (self.next..len).chain(0..self.next);
        let part = turns.into_iter().find(|part| self.changed[*part])?;
        self.is_round_over |= part < self.next || part + 1 == len;
        self.changed[part] = false;
        self.written = now;
        self.next = (part + 1) % len;
        Some(part)
    }

    /// Was each part that changed written once, since this was asked?
    pub(crate) fn take_round(&mut self) -> bool {
        std::mem::take(&mut self.is_round_over)
    }

    /// May what incidents remember be written now? It counts as written.
    pub(crate) fn may_remember(&mut self, now: Timestamp) -> bool {
        let age = now.duration_since(self.remembered);
        let is_time = self.is_one() || age >= MEMORY_EVERY || age.is_negative();
        if is_time {
            self.remembered = now;
        }
        is_time
    }

    /// Keys that nobody needs any more, once the last part of a round was written.
    pub(crate) fn over(&mut self, part: usize) -> Vec<String> {
        if part + 1 < self.parts.len() || self.former.is_empty() {
            return Vec::new();
        }
        let now: BTreeSet<String> = self.keys(self.parts.len()).collect();
        let former = std::mem::take(&mut self.former);
        former.difference(&now).cloned().collect()
    }

    fn keys(&self, count: usize) -> impl Iterator<Item = String> + use<> {
        let begins = KEYS.into_iter();
        begins.flat_map(move |begin| (0..count).map(move |part| key(begin, part, count)))
    }
}

/// What keys begin with: detection, what incidents remember of checks, the board.
pub(crate) const DETECTION: &str = "detection";
/// Apart from what incidents remember of themselves, which has the key `incidents`.
pub(crate) const WATCHES: &str = "watches";
/// All of them.
pub(crate) const KEYS: [&str; 3] = [DETECTION, WATCHES, crate::board::CHECKPOINT];

fn key(begin: &str, part: usize, count: usize) -> String {
    if count == 1 {
        return begin.to_owned();
    }
    format!("{begin}/{part}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> Vec<CheckId> {
        (0..count)
            .map(|n| CheckId::new(&format!("svc-{n}"), "main"))
            .collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// Parts written in the seconds of a span, with what is removed after each.
    fn written(parts: &mut Parts, seconds: std::ops::Range<i64>) -> Vec<(usize, usize)> {
        let mut written = Vec::new();
        for second in seconds {
            parts.all_changed();
            if let Some(part) = parts.due(at(second)) {
                written.push((part, parts.over(part).len()));
            }
        }
        written
    }

    #[test]
    fn few_checks_are_written_in_one_piece() {
        let mut parts = Parts::new(at(0), []);
        parts.divide(ids(PART_LEN).iter());
        assert!(parts.is_one());
        assert_eq!(parts.key(DETECTION, 0), "detection");
        assert_eq!(written(&mut parts, 0..100), [(0, 0); 3]);
    }

    #[test]
    fn many_are_written_in_turn_and_none_is_left_out() {
        let mut parts = Parts::new(at(0), []);
        let all = ids(45 * PART_LEN);
        parts.divide(all.iter());
        assert_eq!(parts.len(), 45);
        let turns = written(&mut parts, 1..271);
        let wanted: Vec<(usize, usize)> = (0..45).chain(0..45).map(|part| (part, 0)).collect();
        // With the last of the first round the names of the division before go.
        assert_eq!(turns.len(), wanted.len());
        assert_eq!(&turns[..44], &wanted[..44]);
        let mut found: Vec<&CheckId> = (0..45).flat_map(|part| parts.checks(part)).collect();
        found.sort();
        found.dedup();
        assert_eq!(found.len(), all.len());
        let sizes = (0..45).map(|part| parts.checks(part).len());
        assert!(
            sizes.clone().all(|n| (800..=1200).contains(&n)),
            "{:?}",
            sizes.max()
        );
    }

    #[test]
    fn what_is_as_it_was_is_not_written_again() {
        let mut parts = Parts::new(at(0), []);
        let all = ids(10 * PART_LEN);
        parts.divide(all.iter());
        let mut rounds = 0;
        let mut due = |parts: &mut Parts, seconds: std::ops::Range<i64>| {
            let due: Vec<usize> = seconds.filter_map(|s| parts.due(at(s))).collect();
            rounds += usize::from(parts.take_round());
            due
        };
        assert_eq!(due(&mut parts, 0..60), (0..10).collect::<Vec<_>>());
        assert_eq!(due(&mut parts, 60..600), Vec::<usize>::new());
        // Of two parts one check each, and of one of them several; the later one comes first.
        let of = |parts: &Parts, part: usize| parts.checks(part)[..3].to_vec();
        due(&mut parts, 0..0);
        for check in of(&parts, 7).iter().chain(&of(&parts, 2)) {
            parts.changed(check);
        }
        assert_eq!(due(&mut parts, 600..700), [2, 7]);
        parts.changed(&of(&parts, 3)[0]);
        assert_eq!(
            due(&mut parts, 700..800),
            [3],
            "before the next round is over"
        );
        parts.all_changed();
        assert_eq!(due(&mut parts, 800..900).len(), 10);
        assert_eq!(rounds, 3, "each time the last one was passed");
    }

    #[test]
    fn what_is_remembered_of_very_many_waits() {
        let mut parts = Parts::new(at(0), []);
        assert!(parts.may_remember(at(1)) && parts.may_remember(at(1)));
        parts.divide(ids(2 * PART_LEN).iter());
        assert!(!parts.may_remember(at(2)) && !parts.may_remember(at(10)));
        assert!(parts.may_remember(at(11)));
        assert!(parts.may_remember(at(5)), "the clock was set back");
    }

    #[test]
    fn what_another_division_wrote_goes_once_all_is_written_anew() {
        let stored = ["detection", "detection/2", "board/1", "watches/7"];
        let mut parts = Parts::new(at(0), stored.map(str::to_owned));
        parts.divide(ids(2 * PART_LEN).iter());
        let removed = written(&mut parts, 0..61);
        // Of those that were stored the first two divisions' names are written anew.
        assert_eq!(removed.first(), Some(&(0, 0)));
        let mut names = Parts::new(at(0), stored.map(str::to_owned));
        names.divide(ids(2 * PART_LEN).iter());
        let over = names.over(1);
        assert!(over.contains(&"detection".to_owned()) && over.contains(&"watches/7".to_owned()));
        assert!(!over.contains(&"board/1".to_owned()), "{over:?}");
        // More checks, another division: the names of the one before go, as far as they are others.
        names.divide(ids(PART_LEN).iter());
        let over = names.over(0);
        assert!(over.contains(&"board/1".to_owned()) && !over.contains(&"board".to_owned()));
    }
}
