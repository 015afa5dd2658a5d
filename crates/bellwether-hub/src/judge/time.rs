//! What time alone brings: clocks that are moved, results that do not come, verdicts that grow old.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_model::{CheckId, Layer};
use jiff::Timestamp;

use super::{Judge, Judged};
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
        let (mut found, poisoned) = self.shared.board(|board| {
            let found = freshness::silent(board, now);
            let is_poisoned = |check: &CheckId| board.checks[check].poisoned.is_some();
            let all = found.iter().map(|(check, _)| check);
            let poisoned: BTreeSet<CheckId> = all.filter(|c| is_poisoned(c)).cloned().collect();
            (found, poisoned)
        });
        // One that brings down workers is named already, for as long as that stands.
        let named = self.book.holds();
        let named = named.filter(|(check, incident, _, _)| {
            incident.layer == Layer::Monitor && poisoned.contains(check)
        });
        let named: BTreeSet<CheckId> = named.map(|(check, _, _, _)| check.clone()).collect();
        found.retain(|(check, _)| !named.contains(check));
        let found: BTreeMap<CheckId, Timestamp> = found.into_iter().collect();
        self.silent.retain(|check| found.contains_key(check));
        let news = found
            .iter()
            .filter(|(check, _)| !self.silent.contains(check));
        let news: Vec<_> = news.take(SILENT_AT_ONCE).collect();
        let mut judged = Judged::default();
        for (check, since) in news {
            let report = freshness::no_result(check, *since, self.shared.version, now);
            self.ourselves(check, report, &mut judged, now);
            self.silent.insert(check.clone());
        }
        self.settle(judged, now);
        self.tell_stale(now);
    }

    /// What grows too old to be true changes what is told, though nothing happened.
    fn tell_stale(&mut self, now: Timestamp) {
        let stale = self.shared.board(|board| board.stale_services(now));
        let changed: Vec<String> = stale.symmetric_difference(&self.stale).cloned().collect();
        self.stale = stale;
        for service in changed {
            self.tell(&service, now);
        }
    }
}
