//! What time alone brings: clocks that are moved, results that do not come, verdicts that grow old.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_model::{CheckId, Layer};
use jiff::Timestamp;

use super::{Judge, Judged, local};
use crate::board::CheckState;
use crate::freshness;

/// Checks that are named as silent in one tick, at most: when all are, judging goes on in between.
const SILENT_AT_ONCE: usize = 256;

impl Judge {
    /// Was the wall clock set, or did the machine sleep?
    pub(super) fn look_at_clock(&mut self, now: Timestamp, elapsed: Duration) {
        let Some(moved) = self.clock.look(now, elapsed) else {
            return;
        };
        let seconds = moved.as_secs();
        tracing::warn!(seconds, "the wall clock was moved; times go by the new one");
        self.shared.board_mut(|board| board.clock_moved(now));
        self.shared.beats.clock_moved(moved, now);
        if moved.is_negative() {
            self.nothing_is_to_come(now);
        }
    }

    /// What is remembered of times to come would make judging deaf until they come: by a clock that
    /// was set back meanwhile.
    pub(super) fn nothing_is_to_come(&mut self, now: Timestamp) {
        self.detector.clock_set_back(now);
        self.book.clock_set_back(now);
        for kept in self.kept.values_mut() {
            kept.at = kept.at.min(now);
        }
    }

    /// A check without a result for two intervals is an alarm about ourselves.
    pub(super) fn watch_freshness(&mut self, now: Timestamp) {
        let (found, stale) = self.shared.board(|board| {
            let mut found = Found::default();
            for (check, state) in board.checks.stale(now) {
                found.look(check, state, now);
            }
            let stale = Changed::of(&self.stale, &found.stale);
            (found.silent, stale)
        });
        let news = self.newly_silent(&found);
        let mut judged = Judged::default();
        for (check, since) in news {
            let report = freshness::no_result(&check, since, self.shared.version, now);
            self.ourselves(&check, &local(), report, &mut judged, now);
            self.silent.insert(check);
        }
        self.settle(judged, now);
        self.tell_stale(stale, now);
    }

    /// Those that are to be named now, each with the time of its last result.
    fn newly_silent(&mut self, found: &BTreeMap<CheckId, Silent>) -> Vec<(CheckId, Timestamp)> {
        if found.is_empty() {
            self.silent.clear();
            return Vec::new();
        }
        // One that brings down workers is named already, for as long as that stands.
        let poisoned = |check: &CheckId| found.get(check).is_some_and(|one| one.is_poisoned);
        let mut named = BTreeSet::new();
        if found.values().any(|one| one.is_poisoned) {
            let ours = self.book.holds().filter(|(check, incident, _, _)| {
                incident.layer == Layer::Monitor && poisoned(check)
            });
            named.extend(ours.map(|(check, _, _, _)| check));
        }
        let is_silent = |check: &CheckId| found.contains_key(check) && !named.contains(check);
        self.silent.retain(is_silent);
        let news = found.iter();
        let news = news.filter(|(check, _)| !named.contains(check) && !self.silent.contains(check));
        let news = news.take(SILENT_AT_ONCE);
        news.map(|(check, one)| (check.clone(), one.since))
            .collect()
    }

    /// What grows too old to be true changes what is told, though nothing happened.
    fn tell_stale(&mut self, changed: Changed, now: Timestamp) {
        let Changed { come, gone } = changed;
        for service in &gone {
            self.stale.remove(service);
        }
        self.stale.extend(come.iter().cloned());
        for service in come.iter().map(|(service, _)| service).chain(&gone) {
            self.tell(service, now);
        }
    }
}

/// A check that gives no result.
struct Silent {
    since: Timestamp,
    is_poisoned: bool,
}

/// What is too old to be true.
#[derive(Default)]
struct Found<'b> {
    /// Services in order, each with how many of its checks are.
    stale: Vec<(&'b str, usize)>,
    silent: BTreeMap<CheckId, Silent>,
}

impl<'b> Found<'b> {
    fn look(&mut self, check: &'b CheckId, state: &CheckState, now: Timestamp) {
        let service = check.service();
        match self.stale.last_mut() {
            Some((last, count)) if *last == service => *count += 1,
            _ => self.stale.push((service, 1)),
        }
        if let Some(since) = freshness::silent_since(state, now) {
            let is_poisoned = state.poisoned.is_some();
            let silent = Silent { since, is_poisoned };
            self.silent.insert(check.clone(), silent);
        }
    }
}

/// Services of which other checks are stale than before, and those of which none is any longer.
struct Changed {
    come: Vec<(String, usize)>,
    gone: Vec<String>,
}

impl Changed {
    fn of(before: &BTreeMap<String, usize>, now: &[(&str, usize)]) -> Self {
        let is_new = |(service, count): &&(&str, usize)| before.get(*service) != Some(count);
        let come = now.iter().filter(is_new);
        let come = come.map(|(service, count)| ((*service).to_owned(), *count));
        let come = come.collect();
        let now: BTreeSet<&str> = now.iter().map(|(service, _)| *service).collect();
        let gone = before
            .keys()
            .filter(|service| !now.contains(service.as_str()));
        let gone = gone.cloned().collect();
        Self { come, gone }
    }
}
