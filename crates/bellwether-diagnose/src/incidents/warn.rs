//! What is about to break: one incident per cause and subject.

use std::sync::Arc;

use bellwether_model::Verdict;
use jiff::Timestamp;

use super::brief::{Blamed, Brief};
use super::matter::{Failure, Member, Sort};
use super::party;
use super::watch::Before;
use super::{Book, Changes, Key};

impl Book {
    /// Takes a trace's warnings in. As with failures, two traces must agree, and two must not show
    /// it any more before it is over; a trace of a service that fails does not count for that,
    /// since it may not get as far.
    pub(super) fn warn(
        &mut self,
        key: &Key,
        brief: &Brief,
        before: &Before,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        if brief.verdict == Verdict::Unknown {
            return;
        }
        let mut mine = self.held(key, Sort::Warning);
        for warning in &brief.warnings {
            let same = |id: &u64| {
                let matter = &self.matters[id];
                matter.incident.cause == warning.cause
                    && matter.members.get(key).is_some_and(|m| m.until.is_none())
                    && party::overlap(&matter.parties, &warning.parties, true, |_| true)
            };
            if let Some(place) = mine.iter().position(same) {
                let id = mine.remove(place);
                self.still(id, key, brief, warning, changes);
                continue;
            }
            let agrees = before.warned.iter().any(|(cause, parties)| {
                *cause == warning.cause && party::overlap(parties, &warning.parties, true, |_| true)
            });
            if agrees && self.is_warned_alone(key, warning, now) {
                self.ask_others(key, now, changes);
            } else if agrees {
                self.warned(key, brief, warning, now, changes);
            } else {
                changes.wanted.insert(key.clone());
            }
        }
        if brief.verdict == Verdict::Healthy {
            for id in mine {
                self.one_unseen(id, key, brief.began, now, changes);
            }
        }
    }

    fn warned(
        &mut self,
        key: &Key,
        brief: &Brief,
        warning: &Blamed,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        let mut blamed = warning.clone();
        // What a service that fails is warned of is no failure itself.
        blamed.verdict = Verdict::Healthy;
        let member = Member {
            since: brief.began,
            until: None,
            joined: now,
            last: brief.began,
            good: 0,
            good_since: None,
            doubted: None,
            unlike: None,
            blamed: Arc::new(blamed),
            seen: brief.seen.clone(),
            controls: brief.controls,
        };
        let first = Failure {
            at: brief.began,
            text: format!("{} is warned of first, from {}", key.0, key.1),
        };
        let id = self.admit(Sort::Warning, key, member, first, now, changes);
        if let Some(matter) = self.matters.get_mut(&id) {
            matter.show(brief.began, &key.0, brief.evidence);
        }
    }

    /// It is seen again: its words are renewed, and nothing is told.
    fn still(
        &mut self,
        id: u64,
        key: &Key,
        brief: &Brief,
        warning: &Blamed,
        changes: &mut Changes,
    ) {
        let Some(matter) = self.matters.get_mut(&id) else {
            return;
        };
        let Some(member) = matter.members.get_mut(key) else {
            return;
        };
        (member.good, member.good_since, member.last) = (0, None, brief.began);
        let worded = member.blamed.summary == warning.summary;
        member.blamed = Arc::new(Blamed {
            verdict: Verdict::Healthy,
            ..warning.clone()
        });
        matter.parties.extend(warning.parties.iter().cloned());
        self.index.place(matter);
        matter.widen(key, &warning.scope);
        if !worded {
            changes.dirty.insert(id);
        }
    }
}
