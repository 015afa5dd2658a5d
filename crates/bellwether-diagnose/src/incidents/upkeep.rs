//! What time brings, and what of an incident follows from all the others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_model::incident::{IncidentState, MomentKind};
use jiff::Timestamp;

use super::damp::USUAL_EVERY;
use super::healing::{flaps, mitigated};
use super::leaning::Leaning;
use super::matter::{Failure, Matter, Member, Sort, Unkept, newest};
use super::party::Party;
use super::watch::Watch;
use super::{Book, Changes, Key, NoticeKind, is_past, phrase};

// All of these are times of checks that run every five seconds or more rarely; for faster ones
// `Damp::scaled` shortens them.

/// Healed, it must stay so for as long before it is over.
const HOLD: Duration = Duration::from_mins(1);
/// What was short is told as healed only after this time: whatever comes and goes every two minutes
/// would else be told as healed and as back each time until it is damped.
const TOLD_AFTER: Duration = Duration::from_mins(2);
/// While it comes and goes it is told at most this often.
const CADENCE: Duration = Duration::from_mins(30);
/// Changes of an open incident are told together, at most this often.
const GATHER: Duration = Duration::from_mins(1);
/// A check that stays bad for so long after all others are well has a trouble of its own.
const SPLIT_AFTER: Duration = Duration::from_mins(5);
/// Nothing was seen of a check for so long, or for three intervals if that is longer: that is worth a
/// line.
const STALE_AFTER: Duration = Duration::from_mins(15);
/// An alarm that no trace came to explain for so long is told without one: users fail, whatever keeps
/// the traces.
const UNTRACED_MAX: Duration = Duration::from_mins(1);
/// And no sooner than after so many runs: had it healed, they would say so by then.
const UNTRACED_RUNS: u32 = 4;
/// At most this many changes stand in one notice.
const CHANGES_TOLD: usize = 3;

impl Book {
    /// Does what time brings.
    ///
    /// Of matters that nothing happened to since the last time only the clock is looked at.
    pub(super) fn upkeep(&mut self, now: Timestamp, changes: &mut Changes) {
        let mut stirred = std::mem::take(&mut self.stirred);
        self.untraced(now, changes);
        self.alone_so_far(now, changes);
        self.gather(&stirred, now, changes);
        stirred.extend(&changes.dirty);
        self.share(&stirred, now, changes);
        let ids: Vec<u64> = self.matters.keys().copied().collect();
        for id in ids {
            let is_stirred = stirred.contains(&id) || changes.dirty.contains(&id);
            if is_stirred {
                self.pace(id);
                self.split(id, now, changes);
            }
            self.hold(id, now, changes);
            self.stale(id, is_stirred, now, changes);
            let Some(matter) = self.matters.get_mut(&id) else {
                continue;
            };
            if matter.incident.state == IncidentState::Resolved {
                continue;
            }
            flapping(matter, now, changes);
            gathered(matter, now, changes);
        }
    }

    /// Alarms that wait for a trace that explains them, and none does.
    fn untraced(&mut self, now: Timestamp, changes: &mut Changes) {
        let mut waiting = Vec::new();
        let watches = &self.watches;
        self.unexplained.retain(|key| {
            let alarm = watches.get(key).and_then(|w| Some((w, w.alarm.as_ref()?)));
            let Some((watch, alarm)) = alarm.filter(|(_, a)| !a.explained) else {
                return false;
            };
            let every = Duration::from_millis(u64::from(watch.every));
            if is_past(alarm.raised, UNTRACED_MAX.max(every * UNTRACED_RUNS), now) {
                waiting.push((key.clone(), watch.may_fail()));
            }
            true
        });
        for (key, ongoing) in waiting {
            self.judge_without_trace(&key, ongoing, now, changes);
        }
    }

    /// What is watched nearly every second goes through all of this faster.
    fn pace(&mut self, id: u64) {
        let Some(matter) = self.matters.get_mut(&id) else {
            return;
        };
        let mut slowest = 0;
        for watch in matter.members.keys().filter_map(|k| self.watches.get(k)) {
            slowest = slowest.max(watch.every);
            if slowest >= USUAL_EVERY {
                // Slower ones make no difference, and nearly all are as slow.
                break;
            }
        }
        matter.damp.paced(slowest);
    }

    /// Healed: is it to be told, is it over?
    fn hold(&mut self, id: u64, now: Timestamp, changes: &mut Changes) {
        let Some(matter) = self.matters.get_mut(&id) else {
            return;
        };
        let Some(healed) = matter.healed_at else {
            return;
        };
        let told_after =
            is_past(healed, matter.damp.scaled(TOLD_AFTER), now) || matter.damp.is_calm(now);
        if told_after && !matter.damp.suppressed {
            mitigated(matter, now, changes);
        }
        let hold = matter.damp.scaled(HOLD);
        if !is_past(healed, hold, now) || !matter.damp.is_calm(now) {
            return;
        }
        if let Some(blind) = self.rests_in(id) {
            let text = format!("closed: no vantage is heard, and incident {blind} tells of all");
            self.end_as(id, &text, now, changes);
        } else if self.stayed_well(id, healed.checked_add(hold).unwrap_or(healed)) {
            self.resolve(id, healed, now, changes);
        }
    }

    /// Silence is no health: each member must have been seen well at the end of the hold, and the
    /// detector's alarm be over. What fails by something else meanwhile is told there.
    fn stayed_well(&self, id: u64, until: Timestamp) -> bool {
        let Some(matter) = self.matters.get(&id) else {
            return false;
        };
        let fails_otherwise = |key: &Key| {
            let mut others = self.index.held(key).filter(|other| *other != id);
            others.any(|other| {
                let other = self.matters.get(&other).filter(|m| !m.is_warning());
                let member = other.and_then(|m| m.members.get(key));
                member.is_some_and(|m| m.until.is_none())
            })
        };
        let well = |key: &Key, watch: &Watch| {
            let seen = watch.last_good.get().is_some_and(|good| good >= until);
            seen && watch.alarm.is_none() || fails_otherwise(key)
        };
        // One that is not heard says nothing, while others do.
        let is_heard = |key: &&Key| self.fleet.is_heard(&key.1);
        let is_any = matter.members.keys().any(|key| is_heard(&key));
        let members = matter.members.keys().filter(|key| !is_any || is_heard(key));
        let mut watched = members.filter_map(|key| Some((key, self.watches.get(key)?)));
        matter.sort == Sort::Ours || watched.all(|(key, watch)| well(key, watch))
    }

    /// Members that stay bad after all others are well get an incident of their own.
    fn split(&mut self, id: u64, now: Timestamp, changes: &mut Changes) {
        let Some(matter) = self.matters.get(&id) else {
            return;
        };
        // Nearly always nobody is well yet, or everybody.
        let is_well = |m: &Member| m.until.is_some();
        if matter.is_warning() || !matter.is_active() || !matter.members.values().any(is_well) {
            return;
        }
        let bad: Vec<Key> = matter.active().map(|(key, _)| key.clone()).collect();
        let checks: BTreeSet<_> = bad.iter().map(|(check, _)| check).collect();
        let well = matter
            .members
            .iter()
            .filter(|((check, _), _)| !checks.contains(check));
        let ends: Vec<Timestamp> = well.filter_map(|(_, m)| m.until).collect();
        let Some(last) = ends.iter().max().copied() else {
            return;
        };
        let seen_since = matter
            .active()
            .all(|(_, m)| is_past(last, matter.damp.scaled(SPLIT_AFTER), m.last));
        if bad.len() > ends.len() || !seen_since {
            return;
        }
        let cause_of = |key: &Key| matter.members[key].blamed.cause;
        let mut groups: BTreeMap<_, Vec<Key>> = BTreeMap::new();
        for key in bad {
            groups.entry(cause_of(&key)).or_default().push(key);
        }
        for keys in groups.into_values() {
            self.split_off(id, keys, last, now, changes);
        }
        self.over(id, now, changes);
    }

    fn split_off(
        &mut self,
        from: u64,
        keys: Vec<Key>,
        healed: Timestamp,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        let Some(parent) = self.matters.get_mut(&from) else {
            return;
        };
        let id = self.next;
        self.next += 1;
        let mut new: Option<Matter> = None;
        for key in keys {
            let Some(mut member) = parent.members.remove(&key) else {
                continue;
            };
            let text = format!(
                "check {} stays bad: from here on it is incident {id}",
                key.0
            );
            parent.line(now, MomentKind::Shrinkage, text, None);
            let mut past = member.clone();
            past.until = Some(healed.max(past.since));
            parent.members.insert(key.clone(), past);
            self.index.joined(id, parent.sort, &key);
            member.joined = now;
            let first = Failure {
                at: member.since,
                text: format!("{} fails since then, as part of incident {from}", key.0),
            };
            match &mut new {
                Some(matter) => {
                    matter.began_with(first);
                    matter.admit(key, member);
                }
                None => {
                    let words = format!(
                        "It was part of incident {from}, whose other checks work again since {}",
                        phrase::clock(healed)
                    );
                    let mut matter = Matter::open(id, parent.sort, key, member, first, now);
                    matter.split_from = Some(words);
                    new = Some(matter);
                }
            }
        }
        if let Some(mut matter) = new {
            matter.founders();
            self.index.place(&matter);
            self.matters.insert(id, matter);
            changes.tell(id, now, NoticeKind::Opened, String::new());
        }
    }

    /// Is there nobody left who sees it?
    fn stale(&mut self, id: u64, is_stirred: bool, now: Timestamp, changes: &mut Changes) {
        let Some(matter) = self.matters.get_mut(&id) else {
            return;
        };
        let is_fresh = || matter.fresh_until.0.is_some_and(|until| now < until);
        if !matter.stale && (matter.healed_at.is_some() || !is_stirred && is_fresh()) {
            return;
        }
        matter.fresh_until = Unkept::default();
        let ends = matter.active().filter_map(|(key, member)| {
            let watch = self.watches.get(key);
            let every = watch.map_or(0, |w| u64::from(w.every));
            let limit = STALE_AFTER.max(Duration::from_millis(every * 3));
            let seen = watch
                .and_then(|w| w.last_seen.get())
                .max(Some(member.last))?;
            let end = seen.checked_add(limit).unwrap_or(seen);
            (!is_past(seen, limit, now)).then_some(end)
        });
        // One that is seen is enough.
        let fresh_until = ends.into_iter().next();
        let stale = matter.is_active() && matter.sort == Sort::Fault && fresh_until.is_none();
        matter.fresh_until = Unkept(fresh_until);
        if stale && !matter.stale {
            let text = "nothing is seen of it any more: whether it goes on is unknown".to_owned();
            matter.line(now, MomentKind::Monitor, text, None);
            changes.dirty.insert(id);
        } else if matter.stale && !stale && matter.is_active() {
            matter.line(
                now,
                MomentKind::Monitor,
                "it is seen again".to_owned(),
                None,
            );
            changes.dirty.insert(id);
        }
        matter.stale = stale;
    }

    /// Writes anew what changed, and what depends on it.
    pub(super) fn refresh(&mut self, changes: &mut Changes, now: Timestamp) {
        if changes.dirty.is_empty() {
            return;
        }
        // Another incident may explain this one from now on.
        for id in self.leaning_on(&changes.dirty) {
            let Some(matter) = self.matters.get(&id) else {
                continue;
            };
            let known = |line: &String| matter.incident.caveats.contains(line);
            if matter.sort == Sort::Fault && !self.behind(matter).iter().all(known) {
                changes.dirty.insert(id);
            }
        }
        for id in changes.dirty.clone() {
            let Some(matter) = self.matters.get(&id) else {
                continue;
            };
            let mut caveats = self.caveats(matter);
            caveats.extend(matter.shared.clone());
            let share = self.fleet.share(matter);
            let Some(matter) = self.matters.get_mut(&id) else {
                continue;
            };
            matter.render(caveats, share, now);
            let Some(notices) = changes.notices.get_mut(&id) else {
                continue;
            };
            for notice in notices.iter_mut().filter(|n| n.kind == NoticeKind::Opened) {
                notice.text = phrase::opened(&matter.incident);
                if let Some(healed) = matter.healed_at {
                    let clock = phrase::clock(healed);
                    notice.text = format!("{} It is over since {clock}.", notice.text);
                }
            }
        }
    }

    /// What one vantage cannot separate, and what may be behind it.
    fn caveats(&self, matter: &Matter) -> Vec<String> {
        let mut caveats = Vec::new();
        // A job reports by itself: no vantage looks at it.
        let seen = matter.members.keys();
        let seen = seen.filter(|(check, _)| check.as_heartbeat().is_none());
        let mut vantages = seen.map(|(_, v)| v);
        let first = vantages.next();
        let is_one = vantages.all(|v| Some(v) == first);
        if matter.sort == Sort::Fault && first.is_some() && self.fleet.is_many_at(matter) {
            let alone = self.seen_alone(matter);
            caveats.push(alone.unwrap_or_else(|| self.fleet.scope(matter)));
        } else if matter.sort == Sort::Fault
            && first.is_some()
            && is_one
            && let Some(((_, vantage), member)) = matter.members.iter().max_by_key(newest)
        {
            caveats.push(phrase::seen_from(vantage, member.controls));
        }
        if matter.sort == Sort::Fault {
            caveats.extend(self.behind(matter));
            let newest = matter.active().max_by_key(|(_, m)| m.last);
            let unlike = newest.and_then(|(_, m)| m.unlike.as_deref());
            caveats.extend(unlike.map(|now| {
                format!("the newest trace no longer shows this, and fails all the same: {now}")
            }));
        }
        caveats
    }

    /// Incidents that one of these may explain, besides themselves.
    fn leaning_on(&mut self, dirty: &BTreeSet<u64>) -> BTreeSet<u64> {
        let is_new = self.needs.take_new();
        if self.needs.is_empty() {
            return BTreeSet::new();
        }
        if is_new {
            let others = self.matters.keys().filter(|id| !dirty.contains(id));
            return others.copied().collect();
        }
        let matters = dirty.iter().filter_map(|id| self.matters.get(id));
        let services: BTreeSet<&str> = matters.flat_map(Matter::services).collect();
        // Services of one incident may need each other.
        let needing = services
            .iter()
            .flat_map(|one| self.needs.needing(&BTreeSet::from([*one])));
        let ids = needing.flat_map(|service| self.index.of_service(service));
        ids.filter(|id| !dirty.contains(id)).collect()
    }

    /// Incidents of needed services that explain this one.
    fn behind(&self, matter: &Matter) -> Vec<String> {
        if self.needs.is_empty() {
            return Vec::new();
        }
        let mine: BTreeSet<&str> = matter.services().collect();
        let needed = self.needs.needed(&mine);
        let age = |m: &Matter| (m.incident.began, m.incident.id);
        let mut lines = Vec::new();
        let ids = needed.iter().flat_map(|s| self.index.of_service(s));
        let ids: BTreeSet<u64> = ids.collect();
        for other in ids.iter().filter_map(|id| self.matters.get(id)) {
            let theirs: BTreeSet<&str> = other.services().collect();
            let explains = other.sort == Sort::Fault
                && other.incident.cause != bellwether_model::Cause::Unknown
                && other.incident.id != matter.incident.id;
            if !explains {
                continue;
            }
            let over = other.healed_at.is_some_and(|h| h < matter.incident.began);
            let mutual = self
                .needs
                .needed(&theirs)
                .intersection(&mine)
                .next()
                .is_some();
            if over || mutual && age(other) > age(matter) {
                continue;
            }
            let at: Vec<&str> = theirs.intersection(&needed).copied().collect();
            lines.push(format!(
                "consequence of incident {}: {} at {}, which it needs",
                other.incident.id,
                other.incident.cause,
                phrase::names(&at)
            ));
        }
        lines
    }

    /// Looks for what failing services share, where more of them fail than when it was last looked
    /// for, of the matters that changed since.
    fn share(&mut self, stirred: &BTreeSet<u64>, now: Timestamp, changes: &mut Changes) {
        for id in stirred {
            let Some(matter) = self.matters.get_mut(id) else {
                continue;
            };
            if matter.sort != Sort::Fault || matter.shared.is_some() {
                continue;
            }
            let active = matter.active().count();
            if active < 2 || active <= matter.tried {
                continue;
            }
            matter.tried = active;
            let Some(text) = shared_part(matter, self.watches.leaning()) else {
                continue;
            };
            matter.line(now, MomentKind::Growth, text.clone(), None);
            matter.pend(NoticeKind::Grown, text.clone());
            matter.shared = Some(text);
            changes.dirty.insert(*id);
        }
    }
}

/// Whom the failing services lean on, more of them than chance would have it.
fn shared_part(matter: &Matter, leaning: &Leaning) -> Option<String> {
    let bad: BTreeSet<&str> = matter.active().map(|((c, _), _)| c.service()).collect();
    let proven: Vec<String> = matter.proven.iter().filter_map(Party::crowd).collect();
    let tally = leaning.tally(bad.iter().copied());
    let common = leaning.named(&tally);
    let common = common.filter(|(party, failing)| leaning.is_shared(party, bad.len(), *failing));
    let proven = proven
        .iter()
        .map(|p| (p.as_str(), leaning.failing(&tally, p)));
    let proven = proven.filter(|(party, _)| leaning.users(party) > 0);
    let found = common.chain(proven).map(|(party, failing)| {
        let theirs = leaning.users(party);
        (failing, std::cmp::Reverse(theirs), party)
    });
    let (failing, std::cmp::Reverse(theirs), party) = found.max()?;
    let services = leaning.services();
    Some(format!(
        "what they share is {party}: {failing} of the {theirs} services that lean on it fail, of {services} watched"
    ))
}

/// Damping: told again after a while, and at an end when it stays as it is.
fn flapping(matter: &mut Matter, now: Timestamp, changes: &mut Changes) {
    if !matter.damp.suppressed {
        return;
    }
    let id = matter.incident.id;
    if matter.damp.is_calm(now) && matter.is_active() {
        matter.damp.suppressed = false;
        let text = "it no longer comes and goes: it fails all the time".to_owned();
        matter.line(now, MomentKind::Flapping, text.clone(), None);
        changes.tell(
            id,
            now,
            NoticeKind::Flapping,
            format!("Incident {id}: {text}"),
        );
        return;
    }
    if matter
        .damp
        .told
        .is_none_or(|told| is_past(told, matter.damp.scaled(CADENCE), now))
    {
        matter.damp.told = Some(now);
        let text = flaps(matter, now);
        changes.tell(id, now, NoticeKind::Flapping, text);
    }
}

/// Growth and phases, several in one notice.
fn gathered(matter: &mut Matter, now: Timestamp, changes: &mut Changes) {
    if matter.pending.is_empty() || !is_past(matter.last_told, matter.damp.scaled(GATHER), now) {
        return;
    }
    let pending = std::mem::take(&mut matter.pending);
    if matter.damp.suppressed {
        return;
    }
    let kind = pending.values().copied().min();
    let kind = kind.unwrap_or(NoticeKind::Grown);
    // In the order of their words.
    let mut texts: Vec<&str> = pending.keys().map(String::as_str).collect();
    let more = texts.len().saturating_sub(CHANGES_TOLD);
    texts.truncate(CHANGES_TOLD);
    let mut text = format!("Incident {}: {}", matter.incident.id, texts.join("; "));
    if more > 0 {
        text = format!("{text}; and {more} more changes");
    }
    matter.last_told = now;
    changes.tell(matter.incident.id, now, kind, text);
}
