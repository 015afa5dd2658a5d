//! Healthy traces, the detector's alarms and their end, and what comes back.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwether_model::incident::{IncidentState, MomentKind};
use bellwether_model::report::Severity;
use bellwether_model::{Cause, CheckId, Layer, Scope, Verdict};
use jiff::Timestamp;

use super::brief::{Blamed, Controls};
use super::matter::{Ended, Failure, Matter, Member, Returned, Sort};
use super::party::Party;
use super::watch::{Alarm, Path};
use super::{AlarmKind, Book, Changes, Key, NoticeKind, phrase};

/// As many traces in a row must not show a trouble before it counts as over: as much evidence as it
/// took to open it.
const GOOD_TRACES: u8 = 2;

impl Book {
    /// A healthy trace.
    pub(super) fn well(
        &mut self,
        key: &Key,
        began: Timestamp,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        self.unseen(key, Sort::Fault, began, now, changes);
        let Some(watch) = self.watches.get(key) else {
            return;
        };
        let unexplained = watch.alarm.as_ref().is_some_and(|a| !a.explained);
        let runs_fail = watch.runs_fail();
        // A lone bad trace is belied by two: until then it would be taken for the beginning of the
        // next trouble.
        let lone = watch.bad.is_some() && !watch.followed;
        if (unexplained || lone) && watch.good < GOOD_TRACES {
            changes.wanted.insert(key.clone());
        } else if unexplained && runs_fail {
            self.judge_without_trace(key, true, now, changes);
        }
        // Else it may be over: the detector's word is waited for, for a while.
    }

    /// A trace that shows nothing of any matter of this sort.
    pub(super) fn unseen(
        &mut self,
        key: &Key,
        sort: Sort,
        began: Timestamp,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        for id in self.held(key, sort) {
            self.one_unseen(id, key, began, now, changes);
        }
    }

    /// A trace that shows nothing of one matter.
    pub(super) fn one_unseen(
        &mut self,
        id: u64,
        key: &Key,
        began: Timestamp,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        let Some(matter) = self.matters.get_mut(&id) else {
            return;
        };
        let Some(member) = matter.members.get_mut(key).filter(|m| m.until.is_none()) else {
            return;
        };
        changes.dirty.insert(id);
        member.good = member.good.saturating_add(1);
        member.good_since.get_or_insert(began);
        member.doubted = None;
        if member.good < GOOD_TRACES {
            changes.wanted.insert(key.clone());
            return;
        }
        self.heal(id, key, now, changes);
    }

    /// A member is well, unless the detector's alarm says otherwise.
    fn heal(&mut self, id: u64, key: &Key, now: Timestamp, changes: &mut Changes) {
        let watch = self.watches.get(key);
        let Some(matter) = self.matters.get_mut(&id) else {
            return;
        };
        let is_fault = matter.sort == Sort::Fault;
        // The alarm of a check that still fails by something else belongs to that.
        let alarmed = watch.is_some_and(|w| w.alarm.is_some() && w.good > 0);
        if is_fault && alarmed {
            return;
        }
        let Some(member) = matter.members.get_mut(key).filter(|m| m.until.is_none()) else {
            return;
        };
        let healed = match watch.filter(|w| is_fault && w.good > 0) {
            Some(watch) => watch.healed_at(),
            None => member.good_since,
        };
        let at = healed.unwrap_or(now);
        let at = at.max(member.since);
        member.until = Some(at);
        changes.dirty.insert(id);
        let text = format!("check {} works again, from {}", key.0, key.1);
        let alone = matter.members.keys().all(|(check, _)| *check == key.0);
        if !alone {
            matter.line(at, MomentKind::Shrinkage, text.clone(), None);
        }
        if !matter.is_active() {
            matter.ended = Some(Ended {
                learned: now,
                at,
                instead: alone.then_some(text),
            });
            self.over(id, now, changes);
        }
    }

    /// No member fails any more.
    pub(super) fn over(&mut self, id: u64, now: Timestamp, changes: &mut Changes) {
        let Some(matter) = self.matters.get_mut(&id) else {
            return;
        };
        changes.dirty.insert(id);
        let ends = matter.members.values().filter_map(|m| m.until);
        let at = ends.max().unwrap_or(now);
        if let Some(ended) = &mut matter.ended
            && ended.learned == now
        {
            ended.at = at;
        }
        matter.damp.went(at);
        matter.healed_at = Some(at);
        matter.pending.clear();
        if matter.is_warning() {
            self.resolve(id, at, now, changes);
            return;
        }
        if matter.damp.suppressed {
            return;
        }
        matter.incident.state = IncidentState::Mitigated;
        matter.incident.mitigated = Some(at);
        let text = healing(matter, at);
        matter.line(at, MomentKind::Healing, text, None);
        // What was short may come back soon: it is told when it stays away.
        if matter.damp.is_calm(now) {
            mitigated(matter, now, changes);
        }
    }

    /// It is over.
    pub(super) fn resolve(
        &mut self,
        id: u64,
        healed: Timestamp,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        let Some(matter) = self.matters.get_mut(&id) else {
            return;
        };
        let incident = &mut matter.incident;
        if incident.state == IncidentState::Resolved {
            return;
        }
        incident.state = IncidentState::Resolved;
        incident.resolved = Some(now);
        if incident.mitigated.is_none() {
            incident.mitigated = Some(healed);
            if !matter.is_warning() {
                let text = healing(matter, healed);
                matter.line(healed, MomentKind::Healing, text, None);
            }
        }
        let incident = &matter.incident;
        let lasted = phrase::lasted(incident.began, healed);
        let mut text = format!("over; it lasted {lasted}");
        if matter.damp.downs > 1 {
            text = format!("{text} and came back {} times", matter.damp.downs - 1);
        }
        matter.line(now, MomentKind::Resolved, text.clone(), None);
        let told = format!(
            "Incident {id} ({}) is {text}: from {} to {}",
            matter.incident.cause,
            phrase::clock(matter.incident.began),
            phrase::clock(healed)
        );
        changes.tell(id, now, NoticeKind::Resolved, told);
    }

    /// A matter that had healed fails again, or only seemed healed, in this very instant.
    pub(super) fn back(&mut self, id: u64, came: Timestamp, now: Timestamp, changes: &mut Changes) {
        let Some(matter) = self.matters.get_mut(&id) else {
            return;
        };
        changes.dirty.insert(id);
        let acknowledged = matter.incident.acknowledged.is_some();
        matter.incident.mitigated = None;
        matter.incident.state = if acknowledged {
            IncidentState::Acknowledged
        } else {
            IncidentState::Open
        };
        if matter.unheal(now) {
            return;
        }
        let came = matter.healed_at.map_or(came, |healed| came.max(healed));
        matter.returned = Some(Returned {
            learned: now,
            came,
            healed: matter.healed_at.unwrap_or(came),
            damp: matter.damp.clone(),
        });
        matter.healed_at = None;
        let begins = matter.damp.came(came);
        let times = matter.damp.downs - 1;
        if !matter.damp.suppressed || begins {
            matter.line(came, MomentKind::Reopened, "it is back".to_owned(), None);
        }
        if begins {
            let text = flaps(matter, now);
            matter.line(now, MomentKind::Flapping, text.clone(), None);
            matter.damp.told = Some(now);
            matter.mitigated_told = false;
            changes.tell(id, now, NoticeKind::Flapping, text);
        } else if matter.mitigated_told && !matter.damp.suppressed {
            matter.mitigated_told = false;
            let text = format!(
                "Incident {id} ({}) is back since {}, for the {} time: {}",
                matter.incident.cause,
                phrase::clock(came),
                ordinal(times),
                matter.incident.summary
            );
            changes.tell(id, now, NoticeKind::Reopened, text);
        }
    }

    /// The detector is sure.
    pub(super) fn alarmed(
        &mut self,
        key: &Key,
        kind: AlarmKind,
        mut alarm: Alarm,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        let accounted = self.held(key, Sort::Fault).into_iter().any(|id| {
            let member = self.matters[&id].members.get(key);
            member.is_some_and(|m| m.until.is_none())
        });
        changes.touched.insert(key.clone());
        if kind == AlarmKind::Failing {
            self.unexplained.insert(key.clone());
        }
        let watch = self.watches.of(&key.0, &key.1);
        match kind {
            AlarmKind::Slow => {
                let is_new = watch.slow.replace(Box::new(alarm.clone())).is_none();
                if is_new && !self.is_planned(&key.0) {
                    self.open_slow(key, &alarm, now, changes);
                }
            }
            AlarmKind::Failing => {
                if let Some(known) = &watch.alarm {
                    alarm.explained |= known.explained;
                    alarm.raised = known.raised;
                }
                alarm.explained |= accounted;
                let explained = alarm.explained;
                watch.alarm = Some(Box::new(alarm));
                if explained {
                    return;
                }
                // The trace that waits for it, if it is the newest; else one is to be made.
                let waiting = watch.waiting(now);
                match waiting {
                    Some(brief) if !brief.roots.is_empty() => {
                        let before = super::watch::Before::default();
                        self.fold(key, &brief, &before, now, changes);
                    }
                    _ => {
                        changes.wanted.insert(key.clone());
                    }
                }
            }
        }
    }

    /// The detector is sure of the contrary.
    pub(super) fn cleared(
        &mut self,
        key: &Key,
        kind: AlarmKind,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        let Some(watch) = self.watches.get_mut(key) else {
            return;
        };
        changes.touched.insert(key.clone());
        if kind == AlarmKind::Slow {
            watch.slow = None;
            for id in self.held(key, Sort::Slow) {
                self.end_member(id, key, now, changes);
            }
            return;
        }
        let unexplained = watch.alarm.as_ref().is_some_and(|a| !a.explained);
        let runs_fail = watch.runs_fail();
        if unexplained {
            self.judge_without_trace(key, runs_fail, now, changes);
        }
        if let Some(watch) = self.watches.get_mut(key) {
            watch.alarm = None;
        }
        for id in self.held(key, Sort::Fault) {
            let member = self.matters.get(&id).and_then(|m| m.members.get(key));
            let well = member.is_some_and(|m| m.until.is_none() && m.good >= GOOD_TRACES);
            if well {
                self.heal(id, key, now, changes);
            } else if member.is_some_and(|m| m.until.is_none()) {
                changes.wanted.insert(key.clone());
            }
        }
        if let Some(watch) = self.watches.get_mut(key)
            && watch.good >= GOOD_TRACES
        {
            watch.calm();
        }
    }

    /// A member ends without a trace.
    fn end_member(&mut self, id: u64, key: &Key, now: Timestamp, changes: &mut Changes) {
        let Some(matter) = self.matters.get_mut(&id) else {
            return;
        };
        if let Some(member) = matter.members.get_mut(key) {
            member.until.get_or_insert(now);
        }
        changes.dirty.insert(id);
        if !matter.is_active() {
            self.over(id, now, changes);
        }
    }

    /// The detector is sure, and traces show nothing: either it healed before they were made, or
    /// they do not go where it fails. `ongoing`: does it still fail?
    pub(super) fn judge_without_trace(
        &mut self,
        key: &Key,
        ongoing: bool,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        let alarm = self.watches.get(key).and_then(|w| w.alarm.clone());
        let Some(alarm) = alarm else {
            return;
        };
        // While we could not see ourselves, what runs saw was that.
        if self.is_planned(&key.0) || self.blinded(key, alarm.since) {
            return;
        }
        let Some(watch) = self.watches.get_mut(key) else {
            return;
        };
        if let Some(alarm) = &mut watch.alarm {
            alarm.explained = true;
        }
        let healed = watch.healed_at().unwrap_or(now);
        let since = watch.failing_since().unwrap_or(alarm.since);
        let since = since.min(now);
        let stored = watch.bad.clone().filter(|b| !b.roots.is_empty());
        let blamed = match &stored {
            Some(brief) => brief.roots[0].clone(),
            None => Arc::new(of_runs(key, &watch.paths, &alarm)),
        };
        let text = match watch.paths.iter().find(|p| p.first == since) {
            Some(path) => phrase::failing_run(key, path),
            None => format!("{}: {}", key.0, alarm.words),
        };
        let member = Member {
            since,
            until: None,
            joined: now,
            last: stored.as_ref().map_or(since, |b| b.began),
            good: watch.good,
            good_since: watch.good_since.get(),
            doubted: None,
            unlike: None,
            blamed,
            seen: stored
                .as_ref()
                .map_or_else(Arc::default, |b| b.seen.clone()),
            controls: stored.map_or_else(Controls::default, |b| b.controls),
        };
        let first = Failure { at: since, text };
        let id = self.admit(Sort::Fault, key, member, first, now, changes);
        if ongoing {
            return;
        }
        let Some(matter) = self.matters.get_mut(&id) else {
            return;
        };
        if let Some(member) = matter.members.get_mut(key) {
            member.until = Some(healed.max(since));
        }
        // What is told at the opening says that it is over already.
        matter.mitigated_told = true;
        if !matter.is_active() {
            self.over(id, now, changes);
        }
    }

    pub(super) fn open_slow(
        &mut self,
        key: &Key,
        alarm: &Alarm,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        let member = Member {
            since: alarm.since.min(now),
            until: None,
            joined: now,
            last: alarm.since.min(now),
            good: 0,
            good_since: None,
            doubted: None,
            unlike: None,
            blamed: Arc::new(Blamed {
                severity: Severity::Warning,
                verdict: Verdict::Healthy,
                summary: format!("{} is slow: {}", key.0, alarm.words),
                ..of_runs(key, &[], alarm)
            }),
            seen: Arc::default(),
            controls: Controls::default(),
        };
        let first = Failure {
            at: member.since,
            text: format!("{}: {}", key.0, alarm.words),
        };
        self.admit(Sort::Slow, key, member, first, now, changes);
    }

    /// A check that is no longer configured.
    pub(super) fn forget(&mut self, check: &CheckId, now: Timestamp, changes: &mut Changes) {
        let is_it = |(of, _): &Key| of == check;
        self.watches.remove(check);
        for id in self.index.of_check(check) {
            let Some(matter) = self.matters.get_mut(&id) else {
                continue;
            };
            if matter.active_of(check).next().is_none() {
                continue;
            }
            changes.dirty.insert(id);
            for (_, member) in matter.members.iter_mut().filter(|(key, _)| is_it(key)) {
                member.until.get_or_insert(now);
            }
            let text = format!("check {check} was taken out of the configuration");
            matter.line(now, MomentKind::Shrinkage, text, None);
            if matter.is_active() {
                continue;
            }
            let mut members = matter.members.keys();
            let configured = members.any(|(c, v)| self.watches.contains(c, v));
            if configured {
                self.over(id, now, changes);
            } else {
                end_unwatched(matter, now, changes);
            }
        }
    }
}

/// Nothing is left that could see whether it goes on. It is not said to have healed.
fn end_unwatched(matter: &mut Matter, now: Timestamp, changes: &mut Changes) {
    let id = matter.incident.id;
    matter.incident.state = IncidentState::Resolved;
    matter.incident.resolved = Some(now);
    let text = "closed: no check that sees it is configured any more".to_owned();
    matter.line(now, MomentKind::Resolved, text.clone(), None);
    changes.tell(
        id,
        now,
        NoticeKind::Resolved,
        format!("Incident {id} is {text}"),
    );
}

/// The line of healing.
fn healing(matter: &Matter, at: Timestamp) -> String {
    let lasted = phrase::lasted(matter.incident.began, at);
    match matter.sort {
        Sort::Ours => format!("we see again, after {lasted}"),
        Sort::Fault | Sort::Warning | Sort::Slow => {
            format!("the first healthy round, after {lasted}")
        }
    }
}

/// Tells that users are served again.
pub(super) fn mitigated(matter: &mut Matter, now: Timestamp, changes: &mut Changes) {
    let (Some(at), false) = (matter.healed_at, matter.mitigated_told) else {
        return;
    };
    matter.mitigated_told = true;
    let incident = &matter.incident;
    let text = format!(
        "Incident {} ({}): {} since {}, after {}; it is watched whether it stays so",
        incident.id,
        incident.cause,
        phrase::work_again(incident),
        phrase::clock(at),
        phrase::lasted(incident.began, at)
    );
    changes.tell(incident.id, now, NoticeKind::Mitigated, text);
}

/// How it comes and goes, in a sentence.
pub(super) fn flaps(matter: &Matter, now: Timestamp) -> String {
    let incident = &matter.incident;
    let Some(flapping) = matter.damp.flapping(now) else {
        return String::new();
    };
    format!(
        "Incident {} ({}) comes and goes: {} times back since {}, every {:.0} s, failing {:.0} % of the time; single changes are no longer told",
        incident.id,
        incident.cause,
        flapping.count,
        phrase::clock(flapping.since),
        flapping.period_seconds,
        flapping.duty * 100.0
    )
}

fn ordinal(number: u32) -> String {
    match (number % 10, number % 100) {
        (1, n) if n != 11 => format!("{number}st"),
        (2, n) if n != 12 => format!("{number}nd"),
        (3, n) if n != 13 => format!("{number}rd"),
        _ => format!("{number}th"),
    }
}

/// What runs alone say: the layer and the symptoms, and no cause.
fn of_runs((check, _): &Key, paths: &[Path], alarm: &Alarm) -> Blamed {
    let layer = alarm
        .layer
        .or_else(|| paths.iter().filter_map(|p| p.layer).min());
    let layer = layer.unwrap_or(Layer::App);
    let symptoms: BTreeSet<&str> = paths.iter().filter_map(|p| p.symptom.as_deref()).collect();
    let symptoms: Vec<&str> = symptoms.into_iter().collect();
    let seen = if symptoms.is_empty() {
        alarm.words.clone()
    } else {
        format!("{} ({})", phrase::names(&symptoms), alarm.words)
    };
    let resolvers: BTreeSet<&String> = paths.iter().filter_map(|p| p.resolver.as_ref()).collect();
    let addresses: BTreeSet<_> = paths.iter().filter_map(|p| p.address).collect();
    Blamed {
        cause: Cause::Unknown,
        layer,
        severity: Severity::Critical,
        verdict: Verdict::Degraded,
        confidence: 0.0,
        summary: format!("runs of {check} failed at {layer}: {seen}. No trace shows why."),
        remedy: String::new(),
        see: None,
        consequences: Vec::new(),
        scope: Scope {
            resolvers: resolvers.into_iter().cloned().collect(),
            addresses: addresses.into_iter().collect(),
            ..Scope::default()
        },
        parties: BTreeSet::from([Party::Check(check.to_string())]),
    }
}
