//! Words that agents bring: addresses, certificates, labels of resolvers.
//!
//! The store keeps each different one. Whoever has stolen an agent could make up ever new ones, so each
//! vantage has so many an hour, over all its links: far more than its checks can see.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwether_model::VantageId;
use jiff::Timestamp;

/// Different words of each check in an hour: one that runs each minute sees another address and another
/// certificate at about every run.
const OF_CHECK: usize = 64;
/// Different words in an hour, at least: whoever was cut off for days brings all of them in one.
const WORDS_MIN: usize = 10_000;
/// How long they are counted together.
const HOUR: Duration = Duration::from_secs(3_600);

/// What each vantage has brought.
#[derive(Debug, Default)]
pub(crate) struct Lexicon(Mutex<BTreeMap<VantageId, Arc<Mutex<Hour>>>>);

impl Lexicon {
    /// The hour of a vantage.
    pub(crate) fn of(&self, vantage: &VantageId) -> Arc<Mutex<Hour>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(vantage.clone()).or_default().clone()
    }
}

/// What came from one vantage within an hour.
#[derive(Debug, Default)]
pub(crate) struct Hour {
    begun: Option<Timestamp>,
    max: usize,
    /// Of each word its hash alone.
    words: HashSet<u64>,
    random: RandomState,
}

impl Hour {
    /// An hour of an agent with so many checks goes on, or another one begins.
    pub(crate) fn go_on(&mut self, checks: usize, now: Timestamp) {
        let is_over = |begun: Timestamp| now.duration_since(begun).unsigned_abs() >= HOUR;
        if self.begun.is_none_or(is_over) {
            self.begun = Some(now);
            self.words = HashSet::new();
        }
        self.max = checks.saturating_mul(OF_CHECK).max(WORDS_MIN);
    }

    /// Is there room for this word, or is it known?
    pub(crate) fn takes(&mut self, word: &(impl Hash + ?Sized)) -> bool {
        let hash = self.random.hash_one(word);
        if self.words.len() >= self.max {
            return self.words.contains(&hash);
        }
        self.words.insert(hash);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p24_so_many_words_an_hour_and_known_ones_always() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let lexicon = Lexicon::default();
        let (fra, nyc) = (VantageId::new("fra"), VantageId::new("nyc"));
        for (checks, max) in [(0, WORDS_MIN), (1, WORDS_MIN), (1_000, 64_000)] {
            let lexicon = Lexicon::default();
            let hour = lexicon.of(&fra);
            let mut hour = hour.lock().unwrap();
            hour.go_on(checks, now);
            let taken = (0..100_000).filter(|word| hour.takes(word)).count();
            assert_eq!(taken, max);
            hour.go_on(checks, now + HOUR / 2);
            assert!(hour.takes(&0) && !hour.takes(&99_999));
            hour.go_on(checks, now + HOUR);
            assert!(hour.takes(&99_999), "another hour");
        }
        let hour = lexicon.of(&fra);
        hour.lock().unwrap().go_on(1, now);
        (0..WORDS_MIN).for_each(|word| assert!(hour.lock().unwrap().takes(&word)));
        assert!(
            !lexicon.of(&fra).lock().unwrap().takes("another"),
            "over all links"
        );
        let other = lexicon.of(&nyc);
        other.lock().unwrap().go_on(1, now);
        assert!(other.lock().unwrap().takes("another"));
    }
}
