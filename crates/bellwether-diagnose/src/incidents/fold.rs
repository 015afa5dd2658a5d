//! Traces that are not healthy: they open, join, change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::incident::{IncidentState, MomentKind};
use bellwether_model::{Cause, Verdict};
use jiff::Timestamp;

use super::brief::{Blamed, Brief};
use super::matter::{Failure, Matter, Member, Sort};
use super::party::Party;
use super::scopes::Part;
use super::watch::Before;
use super::{Book, Changes, Key, NoticeKind, party, phrase, seconds_between};

/// Two troubles at things of one operator are one if they began within this time.
const TOGETHER: Duration = Duration::from_mins(5);

/// What a trace says of one root, with what it takes to believe it.
struct Claim<'a> {
    key: &'a Key,
    brief: &'a Brief,
    sort: Sort,
    now: Timestamp,
}

impl Book {
    /// Takes a trace's roots in.
    pub(super) fn fold(
        &mut self,
        key: &Key,
        brief: &Brief,
        before: &Before,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        let sort = match brief.verdict {
            Verdict::Unknown => Sort::Ours,
            Verdict::Healthy | Verdict::Degraded | Verdict::Broken => {
                self.unseen(key, Sort::Ours, brief.began, now, changes);
                Sort::Fault
            }
        };
        if brief.verdict == Verdict::Healthy {
            self.well(key, brief.began, now, changes);
            return;
        }
        let claim = Claim {
            key,
            brief,
            sort,
            now,
        };
        let mut mine = self.held(key, sort);
        if sort == Sort::Fault && self.is_planned(&key.0) {
            // What was over before does not come back.
            mine.retain(|id| self.is_member(*id, key));
        }
        let mut left: Vec<&Arc<Blamed>> = Vec::new();
        for root in &brief.roots {
            let same = |id: &u64| self.matters[id].incident.cause == root.cause;
            match mine.iter().position(same) {
                Some(place) => {
                    let id = mine.remove(place);
                    let certain = self.is_confirmed(&claim, root, before);
                    self.again(&claim, id, root, certain, changes);
                }
                None => left.push(root),
            }
        }
        mine.retain(|id| self.is_member(*id, key));
        for root in left {
            if mine.is_empty() {
                self.claim(&claim, root, before, changes);
            } else {
                let id = mine.remove(0);
                self.judged_otherwise(&claim, id, root, changes);
            }
        }
        for id in mine {
            self.one_unseen(id, key, brief.began, now, changes);
        }
    }

    /// Matters of a sort that hold a check, those that go on first.
    pub(super) fn held(&self, key: &Key, sort: Sort) -> Vec<u64> {
        let of_sort = |id: &u64| self.matters.get(id).is_some_and(|m| m.sort == sort);
        let mut ids: Vec<u64> = self.index.held(key).filter(of_sort).collect();
        ids.sort_by_key(|id| (!self.is_member(*id, key), *id));
        ids
    }

    fn is_member(&self, id: u64, key: &Key) -> bool {
        let member = self.matters.get(&id).and_then(|m| m.members.get(key));
        member.is_some_and(|m| m.until.is_none())
    }

    /// Is there more than this trace for it?
    fn is_confirmed(&self, claim: &Claim<'_>, root: &Arc<Blamed>, before: &Before) -> bool {
        if claim.sort == Sort::Ours {
            return before.ours;
        }
        // A trace that was under way when it broke saw half of each, and one that no rule explains
        // may be such: the next one tells.
        let whole = |since: Timestamp| claim.brief.began >= since && root.cause != Cause::Unknown;
        let alarm = self.watches.get(claim.key).and_then(|w| w.alarm.as_ref());
        let alarmed = alarm.is_some_and(|a| whole(a.since));
        let earlier = before.bad.as_ref().map_or(&[][..], |(_, causes)| causes);
        let agrees = earlier.contains(&root.cause);
        let is_first = claim
            .brief
            .roots
            .first()
            .is_some_and(|f| f.cause == root.cause);
        let accounted = self.held(claim.key, Sort::Fault);
        let accounted = accounted.iter().any(|id| self.is_member(*id, claim.key));
        agrees || is_first && !accounted && (alarmed || !earlier.is_empty())
    }

    /// A root that no matter of this check accounts for.
    fn claim(
        &mut self,
        claim: &Claim<'_>,
        root: &Arc<Blamed>,
        before: &Before,
        changes: &mut Changes,
    ) {
        // What no rule explains while we cannot see ourselves is told once we can.
        let began = claim.brief.began;
        let is_dark = claim.sort == Sort::Fault
            && root.cause == Cause::Unknown
            && self.blinded(claim.key, began);
        if is_dark || !self.is_confirmed(claim, root, before) {
            changes.wanted.insert(claim.key.clone());
            return;
        }
        if claim.sort == Sort::Fault && self.is_planned(&claim.key.0) {
            self.wait(claim.key, claim.now);
            return;
        }
        let (member, first) = self.newcomer(claim, root, before);
        let joins = || self.belongs_to(claim.sort, claim.key, root, member.since);
        if claim.sort == Sort::Fault
            && self.is_alone(claim.key, claim.brief, claim.now)
            && joins().is_none()
        {
            self.hold_back(claim.key, claim.now, changes);
            return;
        }
        let id = self.admit(claim.sort, claim.key, member, first, claim.now, changes);
        if claim.sort == Sort::Ours {
            self.was_ours(id, claim.now, changes);
        }
        if let Some(matter) = self.matters.get_mut(&id) {
            matter.show(claim.brief.began, &claim.key.0, claim.brief.evidence);
        }
        if let Some(watch) = self.watches.get_mut(claim.key)
            && claim.sort == Sort::Fault
            && let Some(alarm) = &mut watch.alarm
        {
            alarm.explained = true;
        }
    }

    /// Does something of our own keep us from telling what a check did since then?
    pub(super) fn blinded(&self, key: &Key, since: Timestamp) -> bool {
        let mut ours = self.index.ours().filter_map(|id| self.matters.get(&id));
        ours.any(|m| m.blinds(key, since))
    }

    /// A check as a member, with the first round in which it failed.
    fn newcomer(
        &self,
        claim: &Claim<'_>,
        root: &Arc<Blamed>,
        before: &Before,
    ) -> (Member, Failure) {
        let Claim {
            key,
            brief,
            sort,
            now,
            ..
        } = *claim;
        let watch = self.watches.get(key);
        let accounted = self
            .held(key, sort)
            .iter()
            .any(|id| self.is_member(*id, key));
        let earlier = before.bad.as_ref().map(|(began, _)| *began);
        let since = match sort {
            // The streak belongs to what was there before.
            _ if accounted => earlier,
            Sort::Fault => watch.and_then(super::watch::Watch::failing_since),
            Sort::Ours | Sort::Warning | Sort::Slow => None,
        };
        let since = since.map_or(brief.began, |s| s.min(brief.began));
        let by_run = watch.and_then(|w| w.paths.iter().find(|p| p.first == since));
        let text = match by_run.filter(|_| sort == Sort::Fault && !accounted) {
            Some(path) => phrase::failing_run(key, path),
            None => phrase::failing_trace(key, brief, root),
        };
        let member = Member {
            since,
            until: None,
            joined: now,
            last: brief.began,
            good: 0,
            good_since: None,
            doubted: None,
            unlike: None,
            blamed: root.clone(),
            seen: brief.seen.clone(),
            controls: brief.controls,
        };
        (member, Failure { at: since, text })
    }

    /// Takes a member into the matter that it belongs to, or opens one. Returns its number.
    pub(super) fn admit(
        &mut self,
        sort: Sort,
        key: &Key,
        member: Member,
        first: Failure,
        now: Timestamp,
        changes: &mut Changes,
    ) -> u64 {
        let evidence = self.evidence_of(key);
        let Some(id) = self.belongs_to(sort, key, &member.blamed, member.since) else {
            let id = self.next;
            self.next += 1;
            let mut matter = Matter::open(id, sort, key.clone(), member, first, now);
            for (at, digest) in evidence {
                matter.show(at, &key.0, Some(digest));
            }
            self.index.joined(id, sort, key);
            self.index.place(&matter);
            self.matters.insert(id, matter);
            changes.tell(id, now, NoticeKind::Opened, String::new());
            return id;
        };
        changes.dirty.insert(id);
        let Some(matter) = self.matters.get_mut(&id) else {
            return id;
        };
        let since = member.since;
        let widens = matter.widens(key, &member.blamed.scope);
        let first_there = now == matter.incident.opened;
        matter.began_with(first);
        matter.admit(key.clone(), member);
        self.index.joined(id, sort, key);
        self.index.place(matter);
        for (at, digest) in evidence {
            matter.show(at, &key.0, Some(digest));
        }
        if !first_there {
            let text = phrase::fails_too(key);
            if matter.line(since, MomentKind::Growth, text.clone(), None) {
                matter.pend(NoticeKind::Grown, text);
            }
            // Where it names many already, not all find place.
            for part in widens {
                if part.is_in(&matter.incident.scope) {
                    grown(matter, &part, since);
                }
            }
        }
        if matter.healed_at.is_some() {
            self.back(id, since, now, changes);
        } else {
            matter.returned_sooner(since, now);
        }
        id
    }

    /// Reports of the streak: the newest unhealthy trace, and what runs left.
    fn evidence_of(&self, key: &Key) -> Vec<(Timestamp, bellwether_model::Digest)> {
        let Some(watch) = self.watches.get(key) else {
            return Vec::new();
        };
        let by_trace = watch
            .bad
            .iter()
            .filter_map(|b| Some((b.began, b.evidence?)));
        let by_run = watch
            .paths
            .iter()
            .filter_map(|p| Some((p.first, p.evidence?)));
        by_trace.chain(by_run).collect()
    }

    /// The matter of another check that is the same trouble.
    fn belongs_to(
        &self,
        sort: Sort,
        key: &Key,
        root: &Arc<Blamed>,
        since: Timestamp,
    ) -> Option<u64> {
        let same = |m: &&Matter| {
            let together = are_together(m.incident.began, since);
            m.sort == sort
                && m.incident.state != IncidentState::Resolved
                && m.incident.cause == root.cause
                && m.members.get(key).is_none_or(|known| known.until.is_some())
                && party::overlap(&m.parties, &root.parties, together, |p| {
                    m.proven.contains(p)
                })
        };
        let ids = self.index.at(root.cause, &root.parties).into_iter();
        let mut found = ids.filter_map(|id| self.matters.get(&id));
        let found = found.find(same).map(|m| m.incident.id);
        found.or_else(|| self.same_elsewhere(sort, key, root, since))
    }

    /// The matter by which the check itself fails at another vantage, since then and by the same cause:
    /// each may be led to another address. What is at a resolver is that resolver's.
    fn same_elsewhere(
        &self,
        sort: Sort,
        (check, vantage): &Key,
        root: &Arc<Blamed>,
        since: Timestamp,
    ) -> Option<u64> {
        let at_resolver = |p: &Party| matches!(p, Party::Resolver(_));
        if sort != Sort::Fault || root.parties.iter().any(at_resolver) {
            return None;
        }
        let ids = self.index.of_check(check).into_iter();
        let mut found = ids.filter_map(|id| self.matters.get(&id)).filter(|m| {
            let mut elsewhere = m.active_at(check).filter(|(at, _)| *at != vantage);
            m.sort == sort
                && m.incident.state != IncidentState::Resolved
                && m.incident.cause == root.cause
                && elsewhere.any(|(_, member)| are_together(member.since, since))
        });
        found.next().map(|m| m.incident.id)
    }

    /// The same cause again, of a matter that holds the check: it goes on, or is back.
    fn again(
        &mut self,
        claim: &Claim<'_>,
        id: u64,
        root: &Arc<Blamed>,
        certain: bool,
        changes: &mut Changes,
    ) {
        if self.is_member(id, claim.key) {
            self.goes_on(claim, id, root, changes);
            return;
        }
        if !certain {
            changes.wanted.insert(claim.key.clone());
            return;
        }
        let before = Before::default();
        let (mut member, _) = self.newcomer(claim, root, &before);
        let Some(matter) = self.matters.get_mut(&id) else {
            return;
        };
        let mut came = member.since;
        if let Some(known) = matter.members.get(claim.key) {
            came = known.until.map_or(came, |until| came.max(until));
            // It keeps its first time; that it was well between is in the timeline.
            member.since = known.since;
            member.joined = known.joined;
        }
        let was_active = matter.is_active();
        matter.admit(claim.key.clone(), member);
        self.index.place(matter);
        matter.show(claim.brief.began, &claim.key.0, claim.brief.evidence);
        changes.dirty.insert(id);
        let had_healed = matter.healed_at.is_some() || !was_active;
        if had_healed {
            self.back(id, came, claim.now, changes);
        } else {
            matter.returned_sooner(came, claim.now);
        }
        if let Some(matter) = self.matters.get_mut(&id) {
            let text = format!("check {} fails again, from {}", claim.key.0, claim.key.1);
            matter.line(came, MomentKind::Growth, text, claim.brief.evidence);
        }
    }

    /// A member's next unhealthy trace: what changed?
    fn goes_on(&mut self, claim: &Claim<'_>, id: u64, root: &Arc<Blamed>, changes: &mut Changes) {
        let Claim { key, brief, .. } = *claim;
        let watch = self.watches.get(key);
        let Some(matter) = self.matters.get_mut(&id) else {
            return;
        };
        changes.dirty.insert(id);
        let (joins, leaves) = matter.moves(key, &root.scope);
        let Some(member) = matter.members.get_mut(key) else {
            return;
        };
        let old = std::mem::replace(&mut member.blamed, root.clone());
        let seen = std::mem::replace(&mut member.seen, brief.seen.clone());
        let last = std::mem::replace(&mut member.last, brief.began);
        member.controls = brief.controls;
        (member.good, member.good_since, member.doubted) = (0, None, None);
        member.unlike = None;
        matter.is_at(&root.parties);
        self.index.place(matter);
        let is_large = matter.members.len() > super::MEMBERS_AT_ONCE;
        matter.widen(key, &root.scope);
        matter.show(brief.began, &key.0, brief.evidence);
        for part in &joins {
            // Where it names many already, not all find place.
            if is_large && !part.is_in(&matter.incident.scope) {
                continue;
            }
            let label = part.label();
            let failed = watch.and_then(|w| w.first_failing(label, Some(last)));
            grown(
                matter,
                part,
                failed.map_or(brief.began, |f| f.min(brief.began)),
            );
        }
        for part in &leaves {
            let text = format!("{} no longer fails", part.words());
            matter.line(brief.began, MomentKind::Shrinkage, text, brief.evidence);
        }
        let affected: BTreeSet<&str> = old
            .scope
            .resolvers
            .iter()
            .filter(|r| root.scope.resolvers.contains(r))
            .map(String::as_str)
            .collect();
        let mut phases = brief.seen.changes_since(&seen, &affected);
        if old.layer != root.layer && old.cause == root.cause {
            phases.push(format!(
                "{} fails at {} instead of {}",
                key.0, root.layer, old.layer
            ));
        }
        // What several see at about the same time is told once.
        phases.retain(|text| !matter.is_told_elsewhere(&key.1, text, brief.began));
        for text in phases {
            if matter.line(brief.began, MomentKind::Phase, text.clone(), brief.evidence) {
                matter.pend(NoticeKind::Phase, text);
            }
        }
    }

    /// A check fails on, and its newest trace blames something else than its matter does.
    fn judged_otherwise(
        &mut self,
        claim: &Claim<'_>,
        id: u64,
        root: &Arc<Blamed>,
        changes: &mut Changes,
    ) {
        let key = claim.key;
        let Some(matter) = self.matters.get(&id) else {
            return;
        };
        let was = matter.incident.cause;
        let doubted = matter.members.get(key).and_then(|m| m.doubted);
        if root.cause == Cause::Unknown {
            // That no rule fires now takes nothing from what was known, and is told.
            let mut root = (**root).clone();
            root.cause = was;
            let now = std::mem::take(&mut root.summary);
            root.remedy = String::new();
            self.goes_on(claim, id, &Arc::new(root), changes);
            self.unlike(claim, id, now);
            return;
        }
        if was != Cause::Unknown && doubted != Some(root.cause) {
            if let Some(member) = self
                .matters
                .get_mut(&id)
                .and_then(|m| m.members.get_mut(key))
            {
                member.doubted = Some(root.cause);
                (member.good, member.good_since) = (0, None);
            }
            changes.dirty.insert(id);
            changes.wanted.insert(key.clone());
            return;
        }
        self.goes_on(claim, id, root, changes);
        let Some(matter) = self.matters.get_mut(&id) else {
            return;
        };
        let active = matter.active().count();
        let agree = matter
            .active()
            .filter(|(_, m)| m.blamed.cause == root.cause)
            .count();
        if agree * 2 <= active {
            return;
        }
        matter.incident.cause = root.cause;
        matter.incident.layer = root.layer;
        let parties = matter.active().flat_map(|(_, m)| m.blamed.parties.clone());
        matter.parties = parties.collect();
        self.index.place(matter);
        let text = format!("judged {} instead of {was}: {}", root.cause, root.summary);
        matter.line(
            claim.brief.began,
            MomentKind::Cause,
            text.clone(),
            claim.brief.evidence,
        );
        changes.tell(id, claim.now, NoticeKind::Cause, text);
        self.merge(id, claim.now, changes);
    }

    /// What is seen now is not what was judged: the sentence and what it says to do may be of the
    /// past.
    fn unlike(&mut self, claim: &Claim<'_>, id: u64, now: String) {
        let Some(matter) = self.matters.get_mut(&id) else {
            return;
        };
        let text = format!("it fails on, in a way that no rule explains: {now}");
        let evidence = claim.brief.evidence;
        if matter.line(claim.brief.began, MomentKind::Phase, text.clone(), evidence) {
            matter.pend(NoticeKind::Phase, text);
        }
        if let Some(member) = matter.members.get_mut(claim.key) {
            member.unlike = Some(now);
        }
    }

    /// What began together with a trouble of our own, and no rule explains, was that: our resolver
    /// may die in the middle of the first traces.
    fn was_ours(&mut self, ours: u64, now: Timestamp, changes: &mut Changes) {
        let Some(own) = self.matters.get(&ours) else {
            return;
        };
        let began = own.incident.began;
        let is_it = |m: &Matter| {
            m.sort == Sort::Fault
                && m.incident.cause == Cause::Unknown
                && m.is_active()
                && are_together(m.incident.began, began)
                && m.members
                    .keys()
                    .all(|key| own.blinds(key, m.incident.began))
        };
        let found = self.matters.iter().filter(|(_, m)| is_it(m));
        let found: Vec<u64> = found.map(|(id, _)| *id).collect();
        for id in found {
            let text = format!("it was ourselves: incident {ours} says why");
            let Some(ended) = self.end_as(id, &text, now, changes) else {
                continue;
            };
            // Should it go on once we see again, it is looked at anew.
            for key in ended.into_keys() {
                let watch = self.watches.get_mut(&key);
                if let Some(alarm) = watch.and_then(|w| w.alarm.as_mut()) {
                    alarm.explained = false;
                    self.unexplained.insert(key);
                }
            }
        }
    }

    /// Ends a matter that goes on in another one, or was another one. Returns its members.
    pub(super) fn end_as(
        &mut self,
        id: u64,
        text: &str,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Option<BTreeMap<Key, Member>> {
        let ended = self.matters.get_mut(&id)?;
        let members = ended.members.clone();
        ended.line(now, MomentKind::Resolved, text.to_owned(), None);
        ended.incident.state = IncidentState::Resolved;
        ended.incident.resolved = Some(now);
        let told = format!("Incident {id}: {text}");
        changes.tell(id, now, NoticeKind::Resolved, told);
        Some(members)
    }

    /// Two open matters that turn out to be one: the younger ends in the older.
    pub(super) fn merge(&mut self, id: u64, now: Timestamp, changes: &mut Changes) {
        let is_over = |m: &&Matter| m.incident.state == IncidentState::Resolved;
        let Some(this) = self.matters.get(&id).filter(|m| !is_over(m)) else {
            return;
        };
        let same = |m: &&Matter| {
            let together = are_together(m.incident.began, this.incident.began);
            m.incident.id != id
                && m.incident.state != IncidentState::Resolved
                && m.sort == this.sort
                && m.incident.cause == this.incident.cause
                && party::overlap(&m.parties, &this.parties, together, |p| {
                    m.proven.contains(p) && this.proven.contains(p)
                })
        };
        let ids = self
            .index
            .at(this.incident.cause, &this.parties)
            .into_iter();
        let mut found = ids.filter_map(|id| self.matters.get(&id));
        let Some(other) = found.find(same) else {
            return;
        };
        let age = |m: &Matter| {
            let first = m.members.keys().next().cloned();
            (m.incident.began, m.incident.opened, first)
        };
        let (older, younger) = if age(other) <= age(this) {
            (other.incident.id, id)
        } else {
            (id, other.incident.id)
        };
        let Some(ended) = self.matters.get(&younger) else {
            return;
        };
        let parties = ended.parties.clone();
        let proven = ended.proven.clone();
        let text = format!("it is the same trouble as incident {older}, and goes on there");
        let Some(members) = self.end_as(younger, &text, now, changes) else {
            return;
        };
        changes.dirty.insert(older);
        let Some(kept) = self.matters.get_mut(&older) else {
            return;
        };
        kept.is_at(&parties);
        kept.proven.extend(proven);
        self.index.place(kept);
        let mut came = None;
        for (key, member) in members {
            let active = kept.members.get(&key).is_some_and(|m| m.until.is_none());
            if active {
                continue;
            }
            let (since, check) = (member.since, key.0.clone());
            if member.until.is_none() {
                came = Some(came.map_or(since, |c: Timestamp| c.min(since)));
            }
            self.index.joined(older, kept.sort, &key);
            kept.admit(key, member);
            let text = format!("check {check} fails too, as incident {younger} until now");
            if kept.line(since, MomentKind::Growth, text.clone(), None) {
                kept.pend(NoticeKind::Grown, text);
            }
        }
        self.index.place(kept);
        if let Some(came) = came
            && kept.healed_at.is_some()
        {
            self.back(older, came, now, changes);
        }
    }
}

/// Did both begin together?
pub(super) fn are_together(a: Timestamp, b: Timestamp) -> bool {
    seconds_between(a, b).abs() <= TOGETHER.as_secs_f64()
}

/// A line for what joined.
fn grown(matter: &mut Matter, part: &Part, at: Timestamp) {
    let text = match part {
        Part::NameServer(_) => format!("{} is at fault too", part.words()),
        Part::Resolver(_) | Part::Address(_) | Part::Vantage(_) => {
            format!("{} fails too", part.words())
        }
    };
    if matter.line(at, MomentKind::Growth, text.clone(), None) {
        matter.pend(NoticeKind::Grown, text);
    }
}
