//! Vantages as a whole: what is wrong with one of them, and what follows when one is not heard.
//!
//! What is wrong with a vantage concerns no check, and is one incident however many checks run there. In
//! the book it has a member all the same, under a name that no check can have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::incident::MomentKind;
use bellwether_model::report::Severity;
use bellwether_model::{Cause, CheckId, Layer, Scope, VantageId, Verdict};
use jiff::Timestamp;

use super::brief::{Blamed, Controls};
use super::matter::{Failure, Matter, Member, Sort};
use super::party::Party;
use super::{Book, Changes, Key, Update, is_past, phrase};
use crate::vantages::words;

/// A check that was seen well elsewhere so recently is well there.
const WELL_WITHIN: Duration = Duration::from_mins(5);

/// Something that is wrong with a vantage as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Amiss {
    /// The vantage.
    pub vantage: VantageId,
    /// The cause, of layer `monitor`.
    pub cause: Cause,
    /// How bad.
    pub severity: Severity,
    /// Since when.
    pub since: Timestamp,
    /// The sentence.
    pub summary: String,
    /// What to do.
    pub remedy: String,
    /// The vantage's resolvers that are at fault, where it is that.
    pub resolvers: Vec<String>,
}

/// The vantages, as far as incidents have to know them.
#[derive(Clone, Debug, Default)]
pub(super) struct Fleet {
    networks: BTreeMap<VantageId, Option<u32>>,
    unheard: BTreeSet<VantageId>,
    /// Much fails there alone, and whether it is the vantage is not settled.
    doubted: BTreeSet<VantageId>,
}

impl Fleet {
    /// Is there more than one?
    pub(super) fn is_many(&self) -> bool {
        self.networks.len() > 1
    }

    /// Are several heard, or did several see a matter?
    pub(super) fn is_many_at(&self, matter: &Matter) -> bool {
        self.is_many() && self.heard_at(matter) > 1
    }

    /// How many are heard; one that sees a matter and is no longer heard counts as it did.
    pub(super) fn heard_at(&self, matter: &Matter) -> usize {
        let seen = seeing(matter);
        let heard = self.networks.keys();
        heard
            .filter(|v| self.is_heard(v) || seen.contains(v))
            .count()
    }

    /// The number of a vantage's network, where it is known.
    pub(super) fn network(&self, vantage: &VantageId) -> Option<u32> {
        self.networks.get(vantage).copied().flatten()
    }

    /// All of them, in the order of their names.
    pub(super) fn vantages(&self) -> impl Iterator<Item = &VantageId> {
        self.networks.keys()
    }

    pub(super) fn is_heard(&self, vantage: &VantageId) -> bool {
        !self.unheard.contains(vantage)
    }

    pub(super) fn is_doubted(&self, vantage: &VantageId) -> bool {
        self.doubted.contains(vantage)
    }

    /// From where a matter is seen, in words.
    pub(super) fn scope(&self, matter: &Matter) -> String {
        let seen: BTreeSet<&VantageId> = seeing(matter);
        let names: Vec<&str> = seen.iter().map(|v| v.as_str()).collect();
        let networks: Vec<Option<u32>> = seen
            .iter()
            .map(|v| self.networks.get(*v).copied().flatten())
            .collect();
        words::scope(&names, &networks, self.heard_at(matter))
    }

    /// The chance that a user's attempt fails, wherever he is among the vantages that are heard.
    pub(super) fn share(&self, matter: &Matter) -> Option<f64> {
        if !self.is_many() {
            return None;
        }
        let mut worst: BTreeMap<&VantageId, f64> = BTreeMap::new();
        let is_over = !matter.is_active();
        let fails = |m: &&Member| is_over || m.until.is_none();
        for ((_, vantage), member) in matter.members.iter().filter(|(_, m)| fails(m)) {
            let share = worst.entry(vantage).or_default();
            *share = share.max(member.blamed.scope.share);
        }
        let heard = self
            .networks
            .keys()
            .filter(|v| self.is_heard(v) || worst.contains_key(v));
        #[expect(clippy::cast_precision_loss, reason = "numbers of vantages")]
        let heard = heard.count().max(1) as f64;
        Some(worst.values().sum::<f64>() / heard)
    }
}

/// The vantages from which a matter is seen; of one that is over, was seen.
fn seeing(matter: &Matter) -> BTreeSet<&VantageId> {
    let active: BTreeSet<&VantageId> = matter.active().map(|((_, v), _)| v).collect();
    if !active.is_empty() {
        return active;
    }
    matter.members.keys().map(|(_, v)| v).collect()
}

/// The name under which a vantage as a whole is a member. No service is called like that.
pub(super) fn whole(vantage: &VantageId) -> Key {
    (CheckId::new("", vantage.as_str()), vantage.clone())
}

/// Is it a vantage as a whole?
pub(super) fn is_whole(check: &CheckId) -> bool {
    check.service().is_empty()
}

impl Book {
    /// Which vantages there are, each with the number of its network where it is known. Those that are
    /// gone see nothing any more.
    pub fn set_vantages(
        &mut self,
        networks: BTreeMap<VantageId, Option<u32>>,
        now: Timestamp,
    ) -> Vec<Update> {
        let mut changes = Changes::default();
        self.fleet.unheard.retain(|v| networks.contains_key(v));
        self.fleet.networks = networks;
        let known = &self.fleet.networks;
        let gone: BTreeSet<VantageId> = self
            .matters
            .values()
            .flat_map(|m| m.members.keys())
            .filter(|(_, v)| !known.contains_key(v))
            .map(|(_, v)| v.clone())
            .collect();
        for vantage in gone {
            self.left(&vantage, now, &mut changes);
        }
        let known = &self.fleet.networks;
        self.watches.leave(|vantage| !known.contains_key(vantage));
        self.close(changes, now)
    }

    /// At these vantages much fails that works elsewhere, and whether it is the vantage is not settled:
    /// what one of them alone sees is not told meanwhile.
    pub fn doubt(&mut self, vantages: BTreeSet<VantageId>) {
        self.fleet.doubted = vantages;
    }

    /// A vantage that is no longer configured.
    fn left(&mut self, vantage: &VantageId, now: Timestamp, changes: &mut Changes) {
        let text = format!("vantage {vantage} was taken out of the configuration");
        let of_them = |m: &Matter| m.active().any(|((_, v), _)| v == vantage);
        let found = self.matters.iter().filter(|(_, m)| of_them(m));
        let found: Vec<u64> = found.map(|(id, _)| *id).collect();
        for id in found {
            self.unseen_from(id, vantage, &text, now, changes);
            let ended = self.matters.get(&id).is_some_and(|m| !m.is_active());
            if ended {
                self.end_as(
                    id,
                    &format!("closed: {text}, and nobody else sees it"),
                    now,
                    changes,
                );
            }
        }
    }

    /// Something is wrong with a vantage as a whole. The same again is no news.
    pub fn amiss(&mut self, amiss: &Amiss, now: Timestamp) -> Vec<Update> {
        let mut changes = Changes::default();
        let key = whole(&amiss.vantage);
        let member = member_of(amiss, now);
        let known = self.whole_in(&key, amiss.cause);
        match known.or_else(|| self.cut_off_before(&key, amiss.cause)) {
            Some(id) => {
                let Some(matter) = self.matters.get_mut(&id) else {
                    return Vec::new();
                };
                let Some(known) = matter.members.get_mut(&key) else {
                    return Vec::new();
                };
                if known.until.is_none() && known.blamed.summary == amiss.summary {
                    return Vec::new();
                }
                (known.blamed, known.last) = (member.blamed, now);
                let was_over = known.until.take().is_some();
                changes.dirty.insert(id);
                if was_over && matter.healed_at.is_some() {
                    self.back(id, amiss.since, now, &mut changes);
                }
            }
            None => {
                let first = Failure {
                    at: amiss.since,
                    text: amiss.summary.clone(),
                };
                self.admit(Sort::Ours, &key, member, first, now, &mut changes);
            }
        }
        self.close(changes, now)
    }

    /// What was wrong with a vantage as a whole is over.
    pub fn mended(
        &mut self,
        vantage: &VantageId,
        cause: Cause,
        words: &str,
        now: Timestamp,
    ) -> Vec<Update> {
        let mut changes = Changes::default();
        let key = whole(vantage);
        if let Some(id) = self.whole_in(&key, cause)
            && let Some(matter) = self.matters.get_mut(&id)
            && let Some(member) = matter.members.get_mut(&key).filter(|m| m.until.is_none())
        {
            member.until = Some(now);
            matter.line(
                now,
                MomentKind::Monitor,
                format!("{vantage}: {words}"),
                None,
            );
            changes.dirty.insert(id);
            if !matter.is_active() {
                self.over(id, now, &mut changes);
            }
        }
        self.close(changes, now)
    }

    /// What was wrong with a vantage was something else, as is known now.
    pub fn rejudged(&mut self, was: Cause, amiss: &Amiss, now: Timestamp) -> Vec<Update> {
        let key = whole(&amiss.vantage);
        let Some(id) = self.whole_in(&key, was) else {
            return self.amiss(amiss, now);
        };
        let mut changes = Changes::default();
        let Some(matter) = self.matters.get_mut(&id) else {
            return Vec::new();
        };
        if let Some(member) = matter.members.get_mut(&key) {
            let judged = member_of(amiss, now);
            (member.blamed, member.last) = (judged.blamed, now);
        }
        matter.incident.cause = amiss.cause;
        let text = format!("judged {} instead of {was}: {}", amiss.cause, amiss.summary);
        matter.line(now, MomentKind::Cause, text.clone(), None);
        self.index.place(matter);
        changes.dirty.insert(id);
        if !matter.damp.suppressed {
            changes.tell(id, now, super::NoticeKind::Cause, text);
        }
        self.close(changes, now)
    }

    /// A vantage whose agent is gone again: what turned out to be its access the last time, and is not
    /// over yet, is the same trouble, whatever it turns out to be this time.
    fn cut_off_before(&mut self, key: &Key, cause: Cause) -> Option<u64> {
        if cause != Cause::MonitorVantageOffline {
            return None;
        }
        let id = self.whole_in(key, Cause::MonitorVantageUplink)?;
        let matter = self.matters.get_mut(&id)?;
        if matter.is_active() {
            return None;
        }
        matter.incident.cause = cause;
        self.index.place(matter);
        Some(id)
    }

    /// The matter of ours that holds a vantage as a whole for this cause.
    fn whole_in(&self, key: &Key, cause: Cause) -> Option<u64> {
        let held = self.held(key, Sort::Ours).into_iter();
        let mut of_it = held.filter(|id| self.matters[id].incident.cause == cause);
        of_it.next()
    }

    /// A vantage is not heard from now on, `why` says why. Is what it said `since` then not believed
    /// either, what rests on it alone is judged without it.
    pub fn unheard(
        &mut self,
        vantage: &VantageId,
        why: &str,
        disbelieved: Option<Timestamp>,
        now: Timestamp,
    ) -> Vec<Update> {
        let mut changes = Changes::default();
        let is_new = self.fleet.unheard.insert(vantage.clone());
        if !is_new && disbelieved.is_none() {
            return Vec::new();
        }
        for (id, rests_on_it) in self.seen_from(vantage) {
            if !rests_on_it {
                let text = format!("{vantage} is not heard any more, and others judge: {why}");
                self.unseen_from(id, vantage, &text, now, &mut changes);
                continue;
            }
            match disbelieved {
                Some(since) => self.without(id, vantage, since, now, &mut changes),
                None => {
                    let text =
                        format!("nothing is heard from {vantage}, which alone sees it: {why}");
                    self.noted(id, text, now, &mut changes);
                }
            }
        }
        if disbelieved.is_some() {
            for watch in self.watches.at_mut(vantage) {
                (watch.alarm, watch.slow) = (None, None);
                watch.calm();
            }
        }
        self.close(changes, now)
    }

    /// A vantage that was not heard before a restart, of which all was told then.
    pub fn recall_unheard(&mut self, vantage: VantageId) {
        self.fleet.unheard.insert(vantage);
    }

    /// A vantage is heard again: what lies between is a gap of ours.
    pub fn heard_again(
        &mut self,
        vantage: &VantageId,
        since: Timestamp,
        now: Timestamp,
    ) -> Vec<Update> {
        let mut changes = Changes::default();
        if self.fleet.unheard.remove(vantage) {
            let text = format!(
                "a gap of ours: {vantage} was not heard from {} to {}",
                phrase::clock(since),
                phrase::clock(now)
            );
            let is_there = |m: &Matter| m.members.keys().any(|(_, v)| v == vantage);
            let concerned = self.matters.iter().filter(|(_, m)| is_there(m));
            let concerned: Vec<u64> = concerned.map(|(id, _)| *id).collect();
            for id in concerned {
                self.noted(id, text.clone(), now, &mut changes);
            }
        }
        self.close(changes, now)
    }

    /// At which vantages an alarm of a check stands here.
    #[must_use]
    pub fn alarmed_at(&self, check: &CheckId, kind: super::AlarmKind) -> Vec<VantageId> {
        let watches = self.watches.of_check(check).iter();
        let sounds = watches.filter(|(_, watch)| match kind {
            super::AlarmKind::Failing => watch.alarm.is_some(),
            super::AlarmKind::Slow => watch.slow.is_some(),
        });
        sounds.map(|(vantage, _)| vantage.clone()).collect()
    }

    /// Matters by which checks fail or are slow at a vantage, and whether they rest on it alone.
    fn seen_from(&self, vantage: &VantageId) -> Vec<(u64, bool)> {
        let mut found = Vec::new();
        for (id, matter) in &self.matters {
            if matter.sort == Sort::Ours || !matter.active().any(|((_, v), _)| v == vantage) {
                continue;
            }
            let mut others = matter
                .active()
                .map(|((_, v), _)| v)
                .filter(|v| *v != vantage);
            let heard = others.any(|other| self.fleet.is_heard(other));
            found.push((*id, !heard));
        }
        found
    }

    /// What a vantage sees of a matter no longer counts.
    fn unseen_from(
        &mut self,
        id: u64,
        vantage: &VantageId,
        text: &str,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        let Some(matter) = self.matters.get_mut(&id) else {
            return;
        };
        let theirs = matter.members.iter_mut().filter(|((_, v), _)| v == vantage);
        for (_, member) in theirs {
            member.until.get_or_insert(now);
        }
        matter.line(now, MomentKind::Monitor, text.to_owned(), None);
        changes.dirty.insert(id);
    }

    fn noted(&mut self, id: u64, text: String, now: Timestamp, changes: &mut Changes) {
        if let Some(matter) = self.matters.get_mut(&id) {
            matter.line(now, MomentKind::Monitor, text, None);
            changes.dirty.insert(id);
        }
    }

    /// A matter that rests on a vantage that is not believed. What began with its trouble was that; what
    /// is older goes on only if nobody who is heard sees the check well.
    fn without(
        &mut self,
        id: u64,
        vantage: &VantageId,
        since: Timestamp,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        let Some(matter) = self.matters.get(&id) else {
            return;
        };
        let began_with_it = matter.incident.began >= since
            || super::fold::are_together(matter.incident.began, since);
        let is_well = |(check, _): &Key| self.is_well_elsewhere(check, vantage, now);
        let is_well = matter.active().all(|(key, _)| is_well(key));
        let text = match (began_with_it, is_well) {
            (true, _) => format!(
                "it was ourselves: what {vantage} says is not believed, and nobody else sees it"
            ),
            (false, true) => format!("what {vantage} says is not believed, and others see it well"),
            (false, false) => {
                let text = format!(
                    "{vantage}, which alone sees it, is not believed any more: whether it goes on is unknown"
                );
                return self.noted(id, text, now, changes);
            }
        };
        self.end_as(id, &text, now, changes);
    }

    /// Does somebody else who is heard see a check well?
    fn is_well_elsewhere(&self, check: &CheckId, vantage: &VantageId, now: Timestamp) -> bool {
        let others = self.watches.of_check(check).iter();
        let mut others = others.filter(|(v, _)| v != vantage && self.fleet.is_heard(v));
        others.any(|(_, watch)| {
            let good = watch.last_good.get();
            let recent = good.is_some_and(|good| !is_past(good, WELL_WITHIN, now));
            recent && !watch.runs_fail() && !watch.last_was_bad
        })
    }
}

/// A vantage as a member of what is wrong with it.
pub(super) fn member_of(amiss: &Amiss, now: Timestamp) -> Member {
    let vantage = amiss.vantage.as_str().to_owned();
    let scope = Scope {
        vantages: vec![vantage.clone()],
        resolvers: amiss.resolvers.clone(),
        since: Some(amiss.since),
        ..Scope::default()
    };
    Member {
        since: amiss.since,
        until: None,
        joined: now,
        last: now,
        good: 0,
        good_since: None,
        doubted: None,
        unlike: None,
        blamed: Arc::new(Blamed {
            cause: amiss.cause,
            layer: Layer::Monitor,
            severity: amiss.severity,
            verdict: Verdict::Unknown,
            confidence: 0.99,
            summary: amiss.summary.clone(),
            remedy: amiss.remedy.clone(),
            see: None,
            consequences: Vec::new(),
            scope,
            parties: BTreeSet::from([Party::Vantage(vantage)]),
        }),
        seen: Arc::default(),
        controls: Controls::default(),
    }
}
