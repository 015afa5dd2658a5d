//! What time alone brings: clocks that are moved, results that do not come, verdicts that grow old.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_model::{CheckId, Layer, VantageId};
use jiff::Timestamp;

use super::vantages::Since;
use super::{Judge, Judged, Key, local};
use crate::board::{Board, CheckState};
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
        self.parts.all_changed();
        self.shared.board_mut(|board| board.clock_moved(now));
        self.vantages.clock_moved(now);
        self.since.clock_moved(now);
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
        // What comes from a vantage whose agent is not linked is not to come now; that is told of the vantage.
        let linked = self.shared.links.all();
        let is_linked = |v: &VantageId| linked.get(v).is_none_or(|presence| presence.is_linked);
        let (found, stale) = self.shared.board_mut(|board| {
            let mut silent = BTreeMap::new();
            let is_one = board.vantages.len() < 2;
            if !is_one {
                silent = silent_places(board, &self.since, is_linked, now);
            }
            let mut found = Found {
                stale: Vec::new(),
                silent,
            };
            for (check, state) in board.checks.stale(now) {
                found.is_stale(check);
                if is_one {
                    found.look(check, state, now);
                }
            }
            let stale = Changed::of(&self.stale, &found.stale);
            (found.silent, stale)
        });
        let news = self.newly_silent(&found);
        let mut judged = Judged::default();
        for ((check, vantage), since) in news {
            let report = freshness::no_result(&check, &vantage, since, self.shared.version, now);
            self.ourselves(&check, &vantage, report, &mut judged, now);
            self.silent.insert((check, vantage));
        }
        self.settle(judged, now);
        self.tell_stale(stale, now);
    }

    /// Those that are to be named now, each with the time of its last result.
    fn newly_silent(&mut self, found: &BTreeMap<Key, Silent>) -> Vec<(Key, Timestamp)> {
        if found.is_empty() {
            self.silent.clear();
            return Vec::new();
        }
        // One that brings down workers is named already, for as long as that stands.
        let poisoned = |key: &Key| found.get(key).is_some_and(|one| one.is_poisoned);
        let mut named = BTreeSet::new();
        if found.values().any(|one| one.is_poisoned) {
            let ours = self
                .book
                .holds()
                .filter(|(_, _, incident, _, _)| incident.layer == Layer::Monitor);
            let ours = ours.map(|(check, at, ..)| (check.clone(), at.clone()));
            named.extend(ours.filter(poisoned));
        }
        let is_silent = |key: &Key| found.contains_key(key) && !named.contains(key);
        self.silent.retain(is_silent);
        let news = found.iter();
        let news = news.filter(|(key, _)| !named.contains(*key) && !self.silent.contains(*key));
        let news = news.take(SILENT_AT_ONCE);
        news.map(|(key, one)| (key.clone(), one.since)).collect()
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
    silent: BTreeMap<Key, Silent>,
}

impl<'b> Found<'b> {
    /// None of those that are heard judged it lately.
    fn is_stale(&mut self, check: &'b CheckId) {
        let service = check.service();
        match self.stale.last_mut() {
            Some((last, count)) if *last == service => *count += 1,
            _ => self.stale.push((service, 1)),
        }
    }

    /// Does it give no result, at the one vantage that there is?
    fn look(&mut self, check: &CheckId, state: &CheckState, now: Timestamp) {
        if let Some(since) = freshness::silent_since(state, state.judged_at, now) {
            let is_poisoned = state.poisoned.is_some();
            let silent = Silent { since, is_poisoned };
            self.silent.insert((check.clone(), local()), silent);
        }
    }
}

/// Which checks give no result at which of several vantages, though others do there? What is wrong with a
/// vantage as a whole is told of that. Most are in time for a while yet, and not looked at before.
fn silent_places(
    board: &mut Board,
    since: &Since,
    is_linked: impl Fn(&VantageId) -> bool,
    now: Timestamp,
) -> BTreeMap<Key, Silent> {
    let vantages = &board.vantages;
    // Who is well, and since when what it runs is to give results.
    let well = vantages
        .iter()
        .filter(|(vantage, s)| s.amiss.is_none() && is_linked(vantage));
    let well: Vec<(&VantageId, Option<Timestamp>, Option<Timestamp>)> = well
        .map(|(vantage, _)| {
            let (again, ever) = since.of(vantage, now);
            (vantage, again, ever)
        })
        .collect();
    let mut silent = BTreeMap::new();
    for (check, state) in board.checks.iter_mut() {
        if state.is_in_time(now) {
            continue;
        }
        let mut first = Timestamp::MAX;
        for (vantage, again, ever) in &well {
            let place = state.places().and_then(|places| places.get(vantage));
            let judged = place.and_then(|place| place.judged_at);
            let last = match judged {
                Some(judged) => again.map(|again| again.max(judged)),
                None => *ever,
            };
            let Some(last) = last else {
                continue;
            };
            first = first.min(freshness::silent_after(state, Some(last)));
            if let Some(since) = freshness::silent_since(state, Some(last), now) {
                let is_poisoned = place.is_some_and(|place| place.poisoned.is_some());
                let key = (check.clone(), (*vantage).clone());
                silent.insert(key, Silent { since, is_poisoned });
            }
        }
        state.in_time_until(first);
    }
    silent
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
