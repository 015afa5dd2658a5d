//! Maintenance: services whose faults are expected for a while.
//!
//! What fails of them is watched and traced as ever, and not told. What fails still when that is over is
//! told then, as having begun when it did; what was told before goes on.

use std::collections::BTreeSet;

use bellwether_model::CheckId;
use jiff::Timestamp;

use super::matter::Sort;
use super::{Book, Changes, Key, Update};

impl Book {
    /// Of which services faults are expected from now on: to be told whenever it changes, and after
    /// [`restore`](Self::restore) before anything else. Promises that are about to break are warned of
    /// all the same.
    pub fn set_planned(&mut self, services: BTreeSet<String>, now: Timestamp) -> Vec<Update> {
        let before = std::mem::replace(&mut self.planned, services);
        let over: BTreeSet<&String> = before.difference(&self.planned).collect();
        if over.is_empty() {
            return Vec::new();
        }
        let is_over = |check: &CheckId| over.contains(&check.service().to_owned());
        let sounds = |check: &CheckId, _: &_, watch: &super::Watch| {
            is_over(check) && (watch.alarm.is_some() || watch.slow.is_some())
        };
        let sounding = self.watches.sorted(sounds).into_iter();
        let sounding: Vec<Key> = sounding
            .map(|(check, vantage, _)| (check.clone(), vantage.clone()))
            .collect();
        let mut changes = Changes::default();
        for key in sounding {
            self.expected_no_more(&key, now, &mut changes);
        }
        self.alone_so_far(now, &mut changes);
        self.close(changes, now)
    }

    /// Are faults of a check expected now?
    pub(super) fn is_planned(&self, check: &CheckId) -> bool {
        !self.planned.is_empty() && self.planned.contains(check.service())
    }

    /// What the detector is sure of still is told: failures once a trace explains them, as of others.
    fn expected_no_more(&mut self, key: &Key, now: Timestamp, changes: &mut Changes) {
        let has_slow = !self.held(key, Sort::Slow).is_empty();
        let Some(watch) = self.watches.get_mut(key) else {
            return;
        };
        if let Some(alarm) = watch.alarm.as_mut().filter(|alarm| !alarm.explained) {
            alarm.raised = now;
            changes.wanted.insert(key.clone());
        }
        if let Some(alarm) = watch.slow.clone().filter(|_| !has_slow) {
            self.open_slow(key, &alarm, now, changes);
        }
    }
}
