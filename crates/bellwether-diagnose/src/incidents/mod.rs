//! Judged traces, runs and the detector's signals folded into incidents with a timeline.
//!
//! Pure, like judging: no clock, no I/O. [`Book`] is all that is remembered; what it says comes
//! back as [`Update`]s, and a checkpoint of it, read back, goes on where it was.
//!
//! One incident per cause, however many checks it breaks and however it changes meanwhile:
//!
//! - opened by two unhealthy traces, or one and the detector's alarm; a lone lost packet opens
//!   nothing, and neither does a trace alone that was under way when it broke, or that no rule
//!   explains: a second one is a moment away, and knows better. What one of several vantages alone sees
//!   is told when somebody else sees it too, or when it has lasted
//! - a check joins where it has the same cause *at the same thing*: the same name server, zone,
//!   address, certificate, resolver; or at things of one operator, if both began together. Sharing
//!   only the time is nothing
//! - what changes meanwhile is a line: growth, another phase, a better diagnosis
//! - healing needs as much evidence as failing: two healthy traces and no alarm; then it must stay
//!   so for a while, the longer the more often it came back
//!
//! - `damp`: how often it comes and goes
//! - `party`, `shared`, `leaning`: what checks have in common
//! - `brief`, `seen`, `scopes`, `sorted`: what is kept of a trace, and compared with the next
//! - `watch`, `watches`, `when`: what is kept of a check
//! - `matter`: an open incident with what is remembered for it
//! - `index`, `needs`: which incidents concern what
//! - `fold`, `alone`, `planned`, `warn`, `healing`, `upkeep`: the steps
//! - `vantage`: vantages as a whole, and when one is not heard; `blindness`: when none is
//! - `timeline`, `phrase`: lines and sentences
//! - `clock`: the wall clock was set back

mod alone;
mod blindness;
mod brief;
mod clock;
mod damp;
mod fold;
mod healing;
mod index;
mod leaning;
mod matter;
mod memory;
mod needs;
mod party;
mod phrase;
mod planned;
mod scopes;
mod seen;
mod shared;
mod sorted;
mod timeline;
mod upkeep;
mod vantage;
mod warn;
mod watch;
mod watches;
mod when;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_model::incident::{IncidentState, MomentKind};
use bellwether_model::{CheckId, Digest, Incident, Layer, Report, Run, VantageId, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use blindness::Blind;
use brief::Brief;
use index::{Index, Spot};
use matter::Matter;
use needs::Needs;
pub use timeline::TIMELINE_MAX;
pub use vantage::Amiss;
use vantage::Fleet;
use watch::Watch;
use watches::Watches;

/// While an incident is open its checks are traced this often: its lines are to be as exact as
/// that.
pub const FOLLOW_EVERY: Duration = Duration::from_secs(60);
/// Where runs are made more often, traces are too, but no more often than this.
pub const FOLLOW_EVERY_MIN: Duration = Duration::from_secs(3);
/// So many checks are followed as often as that; those that fail after them are, the more there are,
/// the more rarely: what they can tell is told by the first.
const FOLLOWED_CLOSELY: usize = 20;
/// The rarest.
const FOLLOW_EVERY_MAX: Duration = Duration::from_mins(15);

/// Incidents of more members than this are written anew once a tick, not once a trace; and of twice as
/// many only every other second, and so on: to write one takes as long as it has members.
const MEMBERS_AT_ONCE: usize = 64;
/// However many they are, what changed is written after so long.
const WRITTEN_AFTER_MAX: Duration = Duration::from_secs(10);

/// A check at a vantage.
type Key = (CheckId, VantageId);

/// A trace, judged.
#[derive(Clone, Copy, Debug)]
pub struct JudgedTrace<'a> {
    /// The check.
    pub check: &'a CheckId,
    /// Where from.
    pub vantage: &'a VantageId,
    /// What came of it; its `began` says when.
    pub report: &'a Report,
    /// The report as it is kept, where it is.
    pub evidence: Option<Digest>,
    /// Whom the service leans on, as declared: name server operators, networks. What the report
    /// shows is added.
    pub depends: &'a [String],
}

/// What the detector says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Signal {
    /// It leans towards failing: worth a trace, and no more.
    Suspicion {
        /// The check.
        check: CheckId,
        /// Where from.
        vantage: VantageId,
        /// The first result that it doubts.
        since: Timestamp,
    },
    /// It is sure.
    Alarm {
        /// The check.
        check: CheckId,
        /// Where from.
        vantage: VantageId,
        /// Of what.
        kind: AlarmKind,
        /// When the change was, by its reckoning.
        since: Timestamp,
        /// The lowest layer that runs saw failing.
        layer: Option<Layer>,
        /// What it measured, in a sentence.
        words: String,
    },
    /// It is sure of the contrary.
    Clear {
        /// The check.
        check: CheckId,
        /// Where from.
        vantage: VantageId,
        /// Of what.
        kind: AlarmKind,
    },
}

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// Users fail.
    Failing,
    /// Users wait.
    Slow,
}

/// What a person does to an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Takes it on.
    Acknowledge,
    /// Writes something down.
    Note(String),
}

/// Why nothing came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActError {
    /// There is no such open incident; it may be resolved.
    Unknown(u64),
}

impl std::fmt::Display for ActError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown(id) => write!(f, "there is no open incident {id}"),
        }
    }
}

impl std::error::Error for ActError {}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// An incident is new or changed: it is to be kept as it is here, and what is to be told, told.
    Changed {
        /// As it is now. Once resolved it is no longer remembered here.
        incident: Box<Incident>,
        /// What to tell, in order; often nothing.
        notices: Vec<Notice>,
    },
    /// A trace of the check is wanted at once, to confirm.
    WantTrace {
        /// The check.
        check: CheckId,
        /// Where from.
        vantage: VantageId,
    },
    /// From now on the check is to be traced at this pace; `None`: at the usual one again.
    Follow {
        /// The check.
        check: CheckId,
        /// Where from.
        vantage: VantageId,
        /// How often.
        every: Option<Duration>,
    },
}

/// What people are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Of which incident.
    pub incident: u64,
    /// When.
    pub at: Timestamp,
    /// What kind of change.
    pub kind: NoticeKind,
    /// The sentence, with names and numbers.
    pub text: String,
}

/// What kind of change is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// It was opened.
    Opened,
    /// The judgement changed.
    Cause,
    /// It fails in another way.
    Phase,
    /// More fails.
    Grown,
    /// Users are served again.
    Mitigated,
    /// It came back.
    Reopened,
    /// It comes and goes.
    Flapping,
    /// Somebody took it on.
    Acknowledged,
    /// It is over.
    Resolved,
}

impl NoticeKind {
    /// The name, as it stands in a notice.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Cause => "cause",
            Self::Phase => "phase",
            Self::Grown => "grown",
            Self::Mitigated => "mitigated",
            Self::Reopened => "reopened",
            Self::Flapping => "flapping",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

/// Incidents that are not over, and what is remembered of each check.
#[derive(Clone, Debug)]
pub struct Book {
    watches: Watches,
    matters: BTreeMap<u64, Matter>,
    needs: Needs,
    fleet: Fleet,
    next: u64,
    /// With how many troubles it was last looked whether what they share is no accident.
    weighed: BTreeMap<Spot, usize>,
    /// Incidents of very many checks, to be written anew within the next seconds.
    deferred: BTreeSet<u64>,
    /// Incidents that changed since the last tick: what follows from others than time is looked at of
    /// these alone.
    stirred: BTreeSet<u64>,
    /// Alarms that no incident accounts for; among them some that one does by now.
    unexplained: BTreeSet<Key>,
    /// Failures that one of several vantages alone sees, and that are not told yet.
    alone: BTreeSet<Key>,
    /// Services whose faults are expected now.
    planned: BTreeSet<String>,
    index: Index,
}

impl PartialEq for Book {
    /// What was still to be looked at, and what follows from the rest, makes no difference.
    fn eq(&self, other: &Self) -> bool {
        self.watches == other.watches
            && self.matters == other.matters
            && self.needs == other.needs
            && self.next == other.next
            && self.weighed == other.weighed
            && self.deferred == other.deferred
    }
}

impl Default for Book {
    fn default() -> Self {
        Self::new()
    }
}

/// What one call came to, before it is put in order.
#[derive(Default)]
struct Changes {
    dirty: BTreeSet<u64>,
    notices: BTreeMap<u64, Vec<Notice>>,
    wanted: BTreeSet<Key>,
    touched: BTreeSet<Key>,
}

impl Changes {
    fn tell(&mut self, incident: u64, at: Timestamp, kind: NoticeKind, text: String) {
        self.dirty.insert(incident);
        let notice = Notice {
            incident,
            at,
            kind,
            text,
        };
        self.notices.entry(incident).or_default().push(notice);
    }
}

impl Book {
    /// Nothing is open, nothing is known; numbers begin at 1.
    #[must_use]
    pub fn new() -> Self {
        Self {
            watches: Watches::default(),
            matters: BTreeMap::new(),
            needs: Needs::default(),
            fleet: Fleet::default(),
            next: 1,
            weighed: BTreeMap::new(),
            deferred: BTreeSet::new(),
            stirred: BTreeSet::new(),
            unexplained: BTreeSet::new(),
            alone: BTreeSet::new(),
            planned: BTreeSet::new(),
            index: Index::default(),
        }
    }

    /// The number that the next incident gets.
    #[must_use]
    pub fn next_id(&self) -> u64 {
        self.next
    }

    /// Incidents that are not resolved, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Incident> {
        self.matters.values().map(|m| &m.incident)
    }

    /// One that is not resolved.
    #[must_use]
    pub fn incident(&self, id: u64) -> Option<&Incident> {
        self.matters.get(&id).map(|m| &m.incident)
    }

    /// The incidents by which a check fails now, oldest first. Warnings are not among them.
    #[must_use]
    pub fn of_check(&self, check: &CheckId) -> Vec<u64> {
        let fails = |m: &Matter| !m.is_warning() && m.active_of(check).next().is_some();
        let ids = self.index.of_check(check).into_iter();
        ids.filter(|id| self.matters.get(id).is_some_and(fails))
            .collect()
    }

    /// The incidents by which a check fails now, oldest first, as seen from where, since when, and what
    /// becomes of it by each; as [`holds`](Self::holds) says of all checks.
    pub fn holds_of<'b>(
        &'b self,
        check: &CheckId,
    ) -> impl Iterator<Item = (&'b VantageId, &'b Incident, Timestamp, Verdict)> + use<'b> {
        let check = check.clone();
        let ids = self.index.of_check(&check).into_iter();
        let matters = ids.filter_map(|id| self.matters.get(&id));
        let fails = matters.filter(|m| !m.is_warning());
        fails.flat_map(move |matter| {
            let active = matter.active_at(&check);
            active.map(|(at, m)| (at, &matter.incident, m.since, m.blamed.verdict))
        })
    }

    /// Does an incident that holds the check name this report as evidence? It does so at once, while
    /// an incident of very many checks is written anew only within the next seconds.
    #[must_use]
    pub fn names(&self, check: &CheckId, digest: &Digest) -> bool {
        let ids = self.index.of_check(check).into_iter();
        let mut holding = ids.filter_map(|id| self.matters.get(&id));
        holding.any(|m| {
            let lines = &m.incident.timeline;
            m.incident.evidence.contains(digest)
                || lines.iter().any(|line| line.evidence == Some(*digest))
        })
    }

    /// Each check that an incident makes fail now as seen from a vantage, with the incident, since when,
    /// and what becomes of that check by it, oldest incident first. Warnings are not among them, and
    /// neither is what is wrong with a vantage as a whole.
    pub fn holds(
        &self,
    ) -> impl Iterator<Item = (&CheckId, &VantageId, &Incident, Timestamp, Verdict)> {
        let fails = self.matters.values().filter(|m| !m.is_warning());
        fails.flat_map(|matter| {
            let active = matter.active().filter(|((c, _), _)| !vantage::is_whole(c));
            active.map(|((check, at), m)| (check, at, &matter.incident, m.since, m.blamed.verdict))
        })
    }

    /// When the newest trace of a check began: an older one is passed over.
    #[must_use]
    pub fn last_trace(&self, check: &CheckId, vantage: &VantageId) -> Option<Timestamp> {
        let watch = self.watches.get(&(check.clone(), vantage.clone()));
        watch.and_then(|watch| watch.last_trace.get())
    }

    /// Is an incident of it not over yet, though it may work again?
    #[must_use]
    pub fn concerns(&self, check: &CheckId) -> bool {
        let ids = self.index.of_check(check).into_iter();
        let mut all = ids.filter_map(|id| self.matters.get(&id));
        all.any(|m| m.incident.state != IncidentState::Resolved)
    }

    /// Every check that is remembered, configured or not.
    #[must_use]
    pub fn checks(&self) -> BTreeSet<CheckId> {
        let members = self.matters.values().flat_map(|m| m.members.keys());
        let members = members.map(|(check, _)| check);
        let members = members.filter(|check| !vantage::is_whole(check));
        self.watches.checks().chain(members).cloned().collect()
    }

    /// Alarms of the detector that stand here: after a restart it may not know of them.
    #[must_use]
    pub fn alarms(&self) -> Vec<(CheckId, VantageId, AlarmKind)> {
        let sounds = |_: &CheckId, _: &VantageId, w: &Watch| w.alarm.is_some() || w.slow.is_some();
        let of = |(check, vantage, watch): (&CheckId, &VantageId, &Watch)| {
            let failing = watch.alarm.as_ref().map(|_| AlarmKind::Failing);
            let slow = watch.slow.as_ref().map(|_| AlarmKind::Slow);
            let kinds = failing.into_iter().chain(slow);
            let named = kinds.map(|kind| (check.clone(), vantage.clone(), kind));
            named.collect::<Vec<_>>()
        };
        self.watches
            .sorted(sounds)
            .into_iter()
            .flat_map(of)
            .collect()
    }

    /// Checks that are traced more often than usual, and how often: to be told again to an agent
    /// that started anew.
    #[must_use]
    pub fn followed(&self) -> Vec<(CheckId, VantageId, Duration)> {
        let followed = self.watches.sorted(|_, _, w| w.followed).into_iter();
        followed
            .enumerate()
            .map(|(n, (check, vantage, watch))| (check.clone(), vantage.clone(), pace(watch, n)))
            .collect()
    }

    /// Which services each service needs: to be told at the start, and when it changes. Troubles of
    /// a needed service are named as what a trouble may come from.
    pub fn set_needs(&mut self, needs: BTreeMap<String, Vec<String>>) {
        self.needs = Needs::of(needs);
    }

    /// Takes in a judged trace. One that is not newer than the last of its check and vantage is
    /// passed over.
    pub fn traced(&mut self, trace: &JudgedTrace<'_>, now: Timestamp) -> Vec<Update> {
        let watch = self.watches.of(trace.check, trace.vantage);
        if watch
            .last_trace
            .get()
            .is_some_and(|last| trace.report.began <= last)
        {
            return Vec::new();
        }
        let key = (trace.check.clone(), trace.vantage.clone());
        let mut changes = Changes::default();
        let brief = Brief::of(trace);
        let before = watch.traced(&brief);
        let leans = party::leaned_on(trace.report, trace.depends);
        self.watches.leans(trace.check, trace.vantage, leans);
        changes.touched.insert(key.clone());
        self.fold(&key, &brief, &before, now, &mut changes);
        self.warn(&key, &brief, &before, now, &mut changes);
        if let Some(watch) = self.watches.get_mut(&key) {
            watch.keep(brief);
        }
        self.close(changes, now)
    }

    /// Takes in a run. It opens nothing by itself; it tells when a failure began and ended, and when
    /// it seems over, a trace is asked for at once, as it was when it began.
    pub fn ran(&mut self, run: &Run, now: Timestamp) -> Vec<Update> {
        let watch = self.watches.of(&run.check, &run.vantage);
        let was = watch.every;
        watch.ran(run);
        let key = || (run.check.clone(), run.vantage.clone());
        if watch.every != was && watch.followed {
            // How fast its incidents go by depends on it.
            self.stirred.extend(self.index.held(&key()));
        }
        if !watch.seems_well() {
            // Nearly all runs.
            return Vec::new();
        }
        let mut changes = Changes::default();
        changes.wanted.insert(key());
        self.close(changes, now)
    }

    /// Takes in what the detector says.
    pub fn signal(&mut self, signal: &Signal, now: Timestamp) -> Vec<Update> {
        let mut changes = Changes::default();
        match signal {
            Signal::Suspicion { check, vantage, .. } => {
                changes.wanted.insert((check.clone(), vantage.clone()));
            }
            Signal::Alarm {
                check,
                vantage,
                kind,
                since,
                layer,
                words,
            } => {
                let key = (check.clone(), vantage.clone());
                let alarm = watch::Alarm {
                    since: *since,
                    layer: *layer,
                    words: words.clone(),
                    raised: now,
                    explained: false,
                };
                self.alarmed(&key, *kind, alarm, now, &mut changes);
            }
            Signal::Clear {
                check,
                vantage,
                kind,
            } => {
                let key = (check.clone(), vantage.clone());
                self.cleared(&key, *kind, now, &mut changes);
            }
        }
        self.close(changes, now)
    }

    /// Takes in what a person does.
    ///
    /// # Errors
    /// If no open incident has this number.
    pub fn act(
        &mut self,
        id: u64,
        act: &Act,
        by: &str,
        now: Timestamp,
    ) -> Result<Vec<Update>, ActError> {
        let matter = self.matters.get_mut(&id).ok_or(ActError::Unknown(id))?;
        let mut changes = Changes::default();
        changes.dirty.insert(id);
        match act {
            Act::Acknowledge => {
                let incident = &mut matter.incident;
                if incident.acknowledged.is_none() {
                    incident.acknowledged = Some(now);
                    if incident.state == IncidentState::Open {
                        incident.state = IncidentState::Acknowledged;
                    }
                    let text = format!("{by} took it on");
                    let told = format!("{by} took on incident {id}: {}", incident.summary);
                    matter.line(now, MomentKind::Acknowledged, text, None);
                    changes.tell(id, now, NoticeKind::Acknowledged, told);
                }
            }
            Act::Note(words) => {
                matter.line(now, MomentKind::Note, format!("{by}: {words}"), None);
            }
        }
        // Whoever did it is told that it is kept: it waits for no tick, however many checks there are.
        self.stirred.insert(id);
        self.deferred.remove(&id);
        Ok(self.finish(changes, now))
    }

    /// What waits to be written, whatever it is: before an end.
    pub fn flush(&mut self, now: Timestamp) -> Vec<Update> {
        let changes = Changes {
            dirty: std::mem::take(&mut self.deferred),
            ..Changes::default()
        };
        self.finish(changes, now)
    }

    /// A check is no longer configured: what it saw is no reason to keep anything open.
    pub fn gone(&mut self, check: &CheckId, now: Timestamp) -> Vec<Update> {
        let mut changes = Changes::default();
        self.forget(check, now, &mut changes);
        self.close(changes, now)
    }

    /// Does what time brings: over after the hold, damped cadence, what nobody sees any more. To be
    /// called every few seconds; called twice in one instant, the second does nothing.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Update> {
        let mut changes = Changes::default();
        self.upkeep(now, &mut changes);
        self.stirred.extend(&changes.dirty);
        let matters = &self.matters;
        let is_due = |id: &u64| matters.get(id).is_none_or(|m| m.is_to_be_written(now));
        let due: BTreeSet<u64> = self.deferred.iter().copied().filter(is_due).collect();
        changes.dirty.extend(due);
        self.deferred.retain(|id| !changes.dirty.contains(id));
        self.finish(changes, now)
    }

    /// Puts in order what a call came to. An incident of very many checks waits for the next tick if
    /// there is nothing to tell: to write it anew at each of their traces would take longer than the
    /// traces.
    fn close(&mut self, mut changes: Changes, now: Timestamp) -> Vec<Update> {
        self.stirred.extend(&changes.dirty);
        let waits = |id: &u64| {
            let matter = self.matters.get(id);
            let large = matter.is_some_and(|m| m.members.len() > MEMBERS_AT_ONCE);
            large && !changes.notices.contains_key(id)
        };
        let waiting: BTreeSet<u64> = changes.dirty.iter().copied().filter(waits).collect();
        changes.dirty.retain(|id| !waiting.contains(id));
        self.deferred.extend(waiting);
        self.finish(changes, now)
    }

    fn finish(&mut self, mut changes: Changes, now: Timestamp) -> Vec<Update> {
        self.refresh(&mut changes, now);
        let mut updates = Vec::new();
        let mut over = Vec::new();
        for id in &changes.dirty {
            let Some(matter) = self.matters.get(id) else {
                continue;
            };
            if matter.incident.state == IncidentState::Resolved {
                over.push(*id);
                changes.touched.extend(matter.members.keys().cloned());
            }
            updates.push(Update::Changed {
                incident: Box::new(matter.incident.clone()),
                notices: changes.notices.remove(id).unwrap_or_default(),
            });
        }
        over.into_iter().for_each(|id| self.remove(id));
        for (check, vantage) in changes.wanted {
            updates.push(Update::WantTrace { check, vantage });
        }
        for key in changes.touched {
            updates.extend(self.follow(key));
        }
        // To make it anew takes as long as there are members.
        #[cfg(test)]
        assert!(
            self.index.followed() > MEMBERS_AT_ONCE || self.index.is_of(&self.matters),
            "{:#?}",
            self.index
        );
        updates
    }

    /// Forgets an incident that is over.
    fn remove(&mut self, id: u64) {
        let Some(matter) = self.matters.remove(&id) else {
            return;
        };
        self.deferred.remove(&id);
        self.index.gone(&matter);
    }

    /// Is a check to be traced at another pace from now on?
    fn follow(&mut self, key: Key) -> Option<Update> {
        let fails = |id: u64| self.matters.get(&id).is_some_and(|m| !m.is_warning());
        let follow = self.index.held(&key).any(fails);
        let watch = self.watches.get_mut(&key)?;
        if watch.followed == follow {
            return None;
        }
        watch.followed = follow;
        let others = self.index.followed().saturating_sub(1);
        let every = follow.then(|| pace(watch, others));
        let (check, vantage) = key;
        Some(Update::Follow {
            check,
            vantage,
            every,
        })
    }
}

/// How often a check of an open incident is traced, while so many others are.
fn pace(watch: &Watch, others: usize) -> Duration {
    let runs = Duration::from_millis(u64::from(watch.every));
    let closely = FOLLOW_EVERY.min(runs.max(FOLLOW_EVERY_MIN));
    let crowds = u32::try_from(others / FOLLOWED_CLOSELY).unwrap_or(u32::MAX);
    if crowds == 0 {
        return closely;
    }
    let rarely = FOLLOW_EVERY.saturating_mul(crowds);
    rarely.clamp(closely, FOLLOW_EVERY_MAX)
}

/// Seconds from one time to another; negative if the other is earlier.
fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// Is `now` at least this long after `then`?
fn is_past(then: Timestamp, after: Duration, now: Timestamp) -> bool {
    now.duration_since(then).unsigned_abs() >= after && now >= then
}
