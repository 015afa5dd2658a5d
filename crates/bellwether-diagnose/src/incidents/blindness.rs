//! No vantage is heard: one incident, in which those of single vantages rest.
//!
//! Whoever is heard for some seconds and silent again makes no new ones: it comes and goes as any other
//! incident does, and so do those of single vantages that are told while somebody is heard.

use std::sync::Arc;

use bellwether_model::incident::{IncidentState, MomentKind};
use bellwether_model::report::Severity;
use bellwether_model::{Cause, VantageId};
use jiff::Timestamp;

use super::matter::{Failure, Matter, Member, Sort};
use super::vantage::{Amiss, is_whole, member_of, whole};
use super::{Book, Changes, Key, Update};

/// No vantage is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blind {
    /// Since when.
    pub since: Timestamp,
    /// The sentence.
    pub summary: String,
    /// What to do.
    pub remedy: String,
}

impl Book {
    /// Nobody is heard any more: one incident, in which those of single vantages rest.
    pub fn blind(&mut self, blind: &Blind, now: Timestamp) -> Vec<Update> {
        let mut changes = Changes::default();
        let known = self.blindness().map(|m| (m.incident.id, m.is_active()));
        let known = known.max();
        if known.is_some_and(|(_, is_active)| is_active) {
            return Vec::new();
        }
        let known = known.map(|(id, _)| id);
        let single = self.of_vantages().filter(|m| m.is_active());
        let single: Vec<u64> = single.map(|m| m.incident.id).collect();
        let (key, member) = self.nobody(blind, now);
        let id = match known {
            Some(id) => self.blind_again(id, &key, member, now, &mut changes),
            None => {
                let first = Failure {
                    at: blind.since,
                    text: blind.summary.clone(),
                };
                self.admit(Sort::Ours, &key, member, first, now, &mut changes)
            }
        };
        for one in single {
            let text = format!("no vantage is heard any more, and incident {id} tells of all");
            self.rest(one, text, now, &mut changes);
        }
        self.close(changes, now)
    }

    /// The member by which nobody is heard.
    fn nobody(&self, blind: &Blind, now: Timestamp) -> (Key, Member) {
        // Nobody else is ever at fault by this cause at the hub's own vantage.
        let local = VantageId::new(VantageId::LOCAL);
        let mut member = member_of(
            &Amiss {
                vantage: local.clone(),
                cause: Cause::MonitorVantageOffline,
                severity: Severity::Critical,
                since: blind.since,
                summary: blind.summary.clone(),
                remedy: blind.remedy.clone(),
                resolvers: Vec::new(),
            },
            now,
        );
        let all = self.fleet.vantages().map(ToString::to_string);
        Arc::make_mut(&mut member.blamed).scope.vantages = all.collect();
        (whole(&local), member)
    }

    fn blind_again(
        &mut self,
        id: u64,
        key: &Key,
        member: Member,
        now: Timestamp,
        changes: &mut Changes,
    ) -> u64 {
        let since = member.since;
        let matter = self.matters.get_mut(&id);
        if let Some(known) = matter.and_then(|matter| matter.members.get_mut(key)) {
            (known.blamed, known.last, known.until) = (member.blamed, now, None);
            self.back(id, since, now, changes);
        }
        id
    }

    /// What is wrong with a single vantage is told by another incident from now on. It comes back as what
    /// it was, if it is told by itself again soon.
    fn rest(&mut self, id: u64, text: String, now: Timestamp, changes: &mut Changes) {
        let Some(matter) = self.matters.get_mut(&id) else {
            return;
        };
        let whole = matter.members.iter_mut();
        for (_, member) in whole.filter(|((check, _), _)| is_whole(check)) {
            member.until.get_or_insert(now);
        }
        matter.line(now, MomentKind::Monitor, text, None);
        matter.pending.clear();
        matter.damp.went(now);
        matter.healed_at = Some(now);
        // Nobody says that it is well.
        matter.mitigated_told = true;
        if !matter.damp.suppressed {
            matter.incident.state = IncidentState::Mitigated;
            matter.incident.mitigated = Some(now);
        }
        changes.dirty.insert(id);
    }

    /// Somebody is heard again.
    pub fn sees(&mut self, words: &str, now: Timestamp) -> Vec<Update> {
        let mut changes = Changes::default();
        let found = self.blindness().filter(|matter| matter.is_active());
        let found: Vec<u64> = found.map(|matter| matter.incident.id).collect();
        for id in found {
            let Some(matter) = self.matters.get_mut(&id) else {
                continue;
            };
            for member in matter.members.values_mut() {
                member.until.get_or_insert(now);
            }
            matter.line(now, MomentKind::Monitor, words.to_owned(), None);
            self.over(id, now, &mut changes);
        }
        self.close(changes, now)
    }

    /// Does what is wrong with a single vantage rest, since nobody is heard? By which incident?
    pub(super) fn rests_in(&self, id: u64) -> Option<u64> {
        let matter = self.matters.get(&id)?;
        let is_single = matter.members.keys().any(|(check, _)| is_whole(check));
        if !is_single || matter.is_active() {
            return None;
        }
        let all = self.blindness().filter(|blind| blind.is_active());
        all.map(|blind| blind.incident.id)
            .find(|blind| *blind != id)
    }

    /// What is wrong with vantages as a whole.
    fn of_vantages(&self) -> impl Iterator<Item = &Matter> {
        let of_one = |m: &&Matter| m.members.keys().any(|(check, _)| is_whole(check));
        let open = |m: &&Matter| m.incident.state != IncidentState::Resolved;
        self.matters.values().filter(open).filter(of_one)
    }

    /// That nobody is heard. Of one vantage alone nothing is so urgent.
    fn blindness(&self) -> impl Iterator<Item = &Matter> {
        self.of_vantages().filter(|matter| {
            matter.incident.cause == Cause::MonitorVantageOffline
                && matter.incident.severity == Severity::Critical
        })
    }
}
