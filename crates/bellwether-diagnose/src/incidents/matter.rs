//! An open incident with what is remembered for it besides.

mod recall;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::incident::{AffectedCheck, IncidentState, Moment, MomentKind};
use bellwether_model::{Cause, CheckId, Digest, Incident, Layer, Scope, VantageId, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::brief::{Blamed, Controls};
use super::damp::Damp;
use super::party::Party;
use super::scopes::{self, Part};
use super::seen::Seen;
use super::{Key, NoticeKind, phrase, timeline, vantage};

/// At most this many reports are named as evidence: the first half of them and the newest.
const EVIDENCE_MAX: usize = 32;
/// What it is at is known well enough by so many things; more are addresses that change with every
/// look-up.
const PARTIES_MAX: usize = 256;
/// Of so many lines it is counted how often they came.
const LINES_COUNTED_MAX: usize = 1_024;
/// A line that comes so often is told for the last time, and says so.
const SAME_LINE_MAX: u32 = 4;

/// What sort of matter it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sort {
    /// Users fail.
    Fault,
    /// We cannot tell, for something of ours.
    Ours,
    /// Nobody fails yet.
    Warning,
    /// Users wait, as the detector says; traces say nothing of it.
    Slow,
}

/// A check at a vantage that it breaks, or broke.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Member {
    pub since: Timestamp,
    pub until: Option<Timestamp>,
    /// When it became one.
    pub joined: Timestamp,
    /// When its newest unhealthy trace began.
    pub last: Timestamp,
    /// Traces in a row that do not show it.
    pub good: u8,
    /// When the first of them began.
    pub good_since: Option<Timestamp>,
    /// Judged otherwise by the newest trace, and not confirmed yet.
    pub doubted: Option<bellwether_model::Cause>,
    /// What the newest trace says, where it is not what was judged and no rule explains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlike: Option<String>,
    /// What its newest unhealthy trace blames.
    pub blamed: Arc<Blamed>,
    /// What that trace saw.
    pub seen: Arc<Seen>,
    pub controls: Controls,
}

/// What is remembered besides the incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Remembered {
    pub sort: Sort,
    members: Vec<(CheckId, VantageId, Member)>,
    pub parties: BTreeSet<Party>,
    #[serde(default)]
    pub proven: BTreeSet<Party>,
    first: Failure,
    pub damp: Damp,
    pub healed_at: Option<Timestamp>,
    pub mitigated_told: bool,
    pub pending: Vec<(NoticeKind, String)>,
    pub last_told: Timestamp,
    lines: BTreeMap<String, u32>,
    shown: Vec<(Timestamp, CheckId, Digest)>,
    pub shared: Option<String>,
    pub stale: bool,
    pub split_from: Option<String>,
    pub tried: usize,
    pub ended: Option<Ended>,
    pub returned: Option<Returned>,
}

/// When it came back, and how it was before: another member that joins in the instant in which that
/// was learned may have failed sooner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Returned {
    pub learned: Timestamp,
    pub came: Timestamp,
    pub healed: Timestamp,
    pub damp: Damp,
}

/// How the last member became well, with what is to be told instead of healing, should another one
/// join in the very instant in which that was learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ended {
    pub learned: Timestamp,
    pub at: Timestamp,
    pub instead: Option<String>,
}

/// The first failing round.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Failure {
    pub at: Timestamp,
    pub text: String,
}

/// An open incident.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matter {
    pub incident: Incident,
    pub sort: Sort,
    pub members: BTreeMap<Key, Member>,
    /// What it is at.
    pub parties: BTreeSet<Party>,
    /// What of this a crowd shares, and is no accident all the same.
    pub proven: BTreeSet<Party>,
    first: Failure,
    pub damp: Damp,
    /// Since when users are served again, while they are.
    pub healed_at: Option<Timestamp>,
    /// Was that told?
    pub mitigated_told: bool,
    /// Changes that are not told yet, by their words.
    pub pending: BTreeMap<String, NoticeKind>,
    pub last_told: Timestamp,
    /// How often each line came.
    lines: BTreeMap<String, u32>,
    shown: Vec<(Timestamp, CheckId, Digest)>,
    /// What the failing services share, once that is no accident.
    pub shared: Option<String>,
    /// Does nobody see it any more?
    pub stale: bool,
    /// The incident that it was part of, in words.
    pub split_from: Option<String>,
    /// With how many failing checks it was last looked for what they share.
    pub tried: usize,
    /// How its last member became well.
    pub ended: Option<Ended>,
    /// When it last came back.
    pub returned: Option<Returned>,
    /// Until then it need not be looked whether anybody still sees it.
    pub fresh_until: Unkept<Option<Timestamp>>,
}

/// What is made again from the rest, and so is neither kept nor compared.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unkept<T>(pub T);

impl<T> PartialEq for Unkept<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Matter {
    /// A new one with its first member.
    pub(super) fn open(
        id: u64,
        sort: Sort,
        key: Key,
        member: Member,
        first: Failure,
        now: Timestamp,
    ) -> Self {
        let blamed = &member.blamed;
        let incident = Incident {
            id,
            state: IncidentState::Open,
            cause: blamed.cause,
            layer: blamed.layer,
            severity: blamed.severity,
            verdict: blamed.verdict,
            confidence: blamed.confidence,
            summary: String::new(),
            remedy: String::new(),
            see: None,
            consequences: Vec::new(),
            checks: Vec::new(),
            scope: Scope::default(),
            caveats: Vec::new(),
            began: member.since,
            opened: now,
            updated: now,
            acknowledged: None,
            mitigated: None,
            resolved: None,
            flapping: None,
            evidence: Vec::new(),
            timeline: Vec::new(),
        };
        let mut matter = Self {
            incident,
            sort,
            parties: BTreeSet::new(),
            proven: BTreeSet::new(),
            damp: Damp::new(member.since),
            members: BTreeMap::new(),
            first: first.clone(),
            healed_at: None,
            mitigated_told: false,
            pending: BTreeMap::new(),
            last_told: now,
            lines: BTreeMap::new(),
            shown: Vec::new(),
            shared: None,
            stale: false,
            split_from: None,
            tried: 0,
            ended: None,
            returned: None,
            fresh_until: Unkept::default(),
        };
        matter.line(first.at, MomentKind::FirstFailure, first.text, None);
        matter.admit(key, member);
        matter
    }

    /// Takes a member in, or back.
    pub(super) fn admit(&mut self, key: Key, member: Member) {
        self.is_at(&member.blamed.parties);
        self.incident.began = self.incident.began.min(member.since);
        self.damp.began(member.since);
        self.widen(&key, &member.blamed.scope);
        let founds = member.joined == self.incident.opened;
        self.members.insert(key, member);
        if founds {
            self.founders();
        }
    }

    /// It is at these things too.
    pub(super) fn is_at(&mut self, parties: &BTreeSet<Party>) {
        for party in parties {
            if self.parties.len() >= PARTIES_MAX {
                return;
            }
            if !self.parties.contains(party) {
                self.parties.insert(party.clone());
            }
        }
    }

    /// The widest scope.
    pub(super) fn widen(&mut self, (_, vantage): &Key, scope: &Scope) {
        scopes::widen(&mut self.incident.scope, scope);
        let vantages = &mut self.incident.scope.vantages;
        if !vantages.iter().any(|v| v == vantage.as_str()) {
            vantages.push(vantage.as_str().to_owned());
            vantages.sort();
        }
    }

    /// An earlier first failing round; of one instant, the first by its words.
    pub(super) fn began_with(&mut self, first: Failure) {
        if first < self.first {
            let line = self
                .incident
                .timeline
                .iter()
                .position(|m| m.kind == MomentKind::FirstFailure && m.text == self.first.text);
            if let Some(line) = line {
                self.incident.timeline.remove(line);
            }
            self.line(first.at, MomentKind::FirstFailure, first.text.clone(), None);
            self.first = first;
        }
    }

    /// The line of the alarm: of all members that were there from the start.
    pub(super) fn founders(&mut self) {
        let opened = self.incident.opened;
        let there: Vec<(&Key, &Member)> = self
            .members
            .iter()
            .filter(|(_, m)| m.joined == opened)
            .collect();
        let Some((_, first)) = there.first() else {
            return;
        };
        let named = there.iter().filter(|((c, _), _)| !vantage::is_whole(c));
        let mut checks: Vec<&str> = named.map(|((c, _), _)| c.as_str()).collect();
        checks.dedup();
        let text = phrase::alarm(
            self.sort,
            &first.blamed,
            &checks,
            self.split_from.as_deref(),
        );
        self.incident
            .timeline
            .retain(|m| m.kind != MomentKind::Alarm || m.at != opened);
        timeline::insert(
            &mut self.incident.timeline,
            opened,
            MomentKind::Alarm,
            text,
            None,
        );
    }

    /// Members by which it goes on.
    pub(super) fn active(&self) -> impl Iterator<Item = (&Key, &Member)> {
        self.members.iter().filter(|(_, m)| m.until.is_none())
    }

    /// Members of a check by which it goes on, at whatever vantage.
    pub(super) fn active_of<'m>(
        &'m self,
        check: &CheckId,
    ) -> impl Iterator<Item = &'m Member> + use<'m> {
        self.active_at(check).map(|(_, member)| member)
    }

    /// The same, each with its vantage.
    pub(super) fn active_at<'m>(
        &'m self,
        check: &CheckId,
    ) -> impl Iterator<Item = (&'m VantageId, &'m Member)> + use<'m> {
        let check = check.clone();
        let theirs = self.members.range((check.clone(), VantageId::new(""))..);
        let theirs = theirs.take_while(move |((other, _), _)| *other == check);
        let active = theirs.filter(|(_, m)| m.until.is_none());
        active.map(|((_, vantage), member)| (vantage, member))
    }

    /// Services of its members; one with several checks may come more than once.
    pub(super) fn services(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(|(check, _)| check.service())
    }

    /// Is it time to write it anew, if it is of very many checks?
    pub(super) fn is_to_be_written(&self, now: Timestamp) -> bool {
        let size = u32::try_from(self.members.len() / super::MEMBERS_AT_ONCE).unwrap_or(u32::MAX);
        let after = Duration::from_secs(1).saturating_mul(size.saturating_sub(1));
        let after = after.min(super::WRITTEN_AFTER_MAX);
        super::is_past(self.incident.updated, after, now)
    }

    /// Does it go on?
    pub(super) fn is_active(&self) -> bool {
        self.active().next().is_some()
    }

    /// Does it keep us from telling what a check did since then? Our own network, resolver or clock
    /// keeps us from telling of any; that one check's probes harm us, of that one.
    pub(super) fn blinds(&self, key: &Key, since: Timestamp) -> bool {
        let of_one = matches!(
            self.incident.cause,
            Cause::MonitorCheckPoisoned | Cause::MonitorProbeHung | Cause::MonitorCoverageGap
        );
        // That results are late makes none of them wrong.
        self.sort == Sort::Ours
            && self.incident.cause != Cause::MonitorPipelineLag
            && self.healed_at.is_none_or(|healed| healed >= since)
            && match of_one {
                true => self.members.contains_key(key),
                false => self.members.keys().any(|(_, v)| *v == key.1),
            }
    }

    /// Does nobody fail by it?
    pub(super) fn is_warning(&self) -> bool {
        matches!(self.sort, Sort::Warning | Sort::Slow)
    }

    /// What is affected by all members but one.
    fn parts_without(&self, key: &Key) -> BTreeSet<Part> {
        let others = self.active().filter(|(other, _)| *other != key);
        others
            .flat_map(|((_, vantage), m)| scopes::parts_at(&m.blamed.scope, vantage))
            .collect()
    }

    /// What joins and what leaves, when a member that goes on blames this scope instead of what it
    /// did.
    pub(super) fn moves(&self, key: &Key, scope: &Scope) -> (BTreeSet<Part>, BTreeSet<Part>) {
        let none = (BTreeSet::new(), BTreeSet::new());
        let Some(member) = self.members.get(key) else {
            return none;
        };
        if self.members.len() > super::MEMBERS_AT_ONCE {
            // To gather it from each would take too long: what was ever affected stands for it, and
            // nothing leaves.
            return (self.widens(key, scope), none.1);
        }
        if scopes::are_alike(&member.blamed.scope, scope) {
            return none;
        }
        let was: BTreeSet<Part> = scopes::parts_at(&member.blamed.scope, &key.1).collect();
        let now: BTreeSet<Part> = scopes::parts_at(scope, &key.1).collect();
        let others = self.parts_without(key);
        let joins = now.difference(&was).filter(|p| !others.contains(*p));
        let leaves = was.difference(&now).filter(|p| !others.contains(*p));
        (joins.cloned().collect(), leaves.cloned().collect())
    }

    /// What is new to the widest scope.
    pub(super) fn widens(&self, (_, vantage): &Key, scope: &Scope) -> BTreeSet<Part> {
        let widest = &self.incident.scope;
        let new = scopes::parts_at(scope, vantage).filter(|part| !part.is_in(widest));
        new.collect()
    }

    /// A line of the timeline. False if it is not new, or came too often to be worth one more.
    pub(super) fn line(
        &mut self,
        at: Timestamp,
        kind: MomentKind,
        text: String,
        evidence: Option<Digest>,
    ) -> bool {
        let varies = matches!(
            kind,
            MomentKind::Growth | MomentKind::Shrinkage | MomentKind::Phase
        );
        let mut text = text;
        let counted = self.lines.len() < LINES_COUNTED_MAX || self.lines.contains_key(&text);
        if varies && counted {
            let came = self.lines.entry(text.clone()).or_default();
            *came += 1;
            if *came > SAME_LINE_MAX {
                return false;
            }
            if *came == SAME_LINE_MAX {
                text.push_str("; it comes and goes, and is not told again");
            }
        }
        timeline::insert(&mut self.incident.timeline, at, kind, text, evidence)
    }

    /// Was this line told lately, where others than this vantage see the matter too?
    pub(super) fn is_told_elsewhere(&self, vantage: &VantageId, text: &str, at: Timestamp) -> bool {
        let is_lately = |line: &&Moment| super::fold::are_together(line.at, at);
        let mut told = self.incident.timeline.iter().rev().filter(is_lately);
        self.members.keys().any(|(_, v)| v != vantage) && told.any(|line| line.text == text)
    }

    /// Names a report as evidence.
    pub(super) fn show(&mut self, at: Timestamp, check: &CheckId, evidence: Option<Digest>) {
        let Some(digest) = evidence else {
            return;
        };
        let new = (at, check.clone(), digest);
        let Err(place) = self.shown.binary_search(&new) else {
            return;
        };
        self.shown.insert(place, new);
        if self.shown.len() > EVIDENCE_MAX {
            self.shown.remove(EVIDENCE_MAX / 2);
        }
        self.incident.evidence = self.shown.iter().map(|(_, _, d)| *d).collect();
        self.incident.evidence.dedup();
    }

    /// Takes back that it healed, if that was learned in this very instant: whether another check
    /// joins just before or just after makes no difference.
    pub(super) fn unheal(&mut self, now: Timestamp) -> bool {
        let Some(ended) = self.ended.take_if(|e| e.learned == now) else {
            return false;
        };
        self.damp.went_not(ended.at);
        self.healed_at = None;
        self.mitigated_told = false;
        self.incident
            .timeline
            .retain(|m| m.kind != MomentKind::Healing || m.at != ended.at);
        if let Some(text) = ended.instead {
            self.line(ended.at, MomentKind::Shrinkage, text, None);
        }
        true
    }

    /// It came back sooner than was known in this instant.
    pub(super) fn returned_sooner(&mut self, came: Timestamp, now: Timestamp) {
        let Some(mut back) = self.returned.clone().filter(|r| r.learned == now) else {
            return;
        };
        let came = came.max(back.healed);
        if came >= back.came {
            return;
        }
        let is_it = |m: &Moment| m.kind == MomentKind::Reopened && m.at == back.came;
        if let Some(line) = self.incident.timeline.iter_mut().find(|m| is_it(m)) {
            line.at = came;
            self.incident.timeline.sort_by_key(timeline::place);
        }
        let told = self.damp.told;
        self.damp = back.damp.clone();
        self.damp.came(came);
        self.damp.told = told;
        back.came = came;
        self.returned = Some(back);
    }

    /// A change to be told with the next notice.
    pub(super) fn pend(&mut self, kind: NoticeKind, text: String) {
        self.pending.entry(text).or_insert(kind);
    }

    /// Writes the incident's figures anew, from its members. `share` is that over several vantages.
    pub(super) fn render(&mut self, caveats: Vec<String>, share: Option<f64>, now: Timestamp) {
        let checks = self.checks();
        let incident = &mut self.incident;
        let ruling = |m: &Member| m.blamed.cause == incident.cause;
        let all = || self.members.iter();
        let speaks = all()
            .filter(|(_, m)| ruling(m) && !m.blamed.summary.is_empty())
            .max_by_key(newest)
            .or_else(|| all().max_by_key(newest));
        let crowd = crowd_of(&self.members, incident.cause);
        let example = crowd.as_ref().map(|crowd| (crowd.key, crowd.member));
        if let Some((key, member)) = example.or(speaks) {
            let blamed = &member.blamed;
            // That no rule explains the newest trace takes nothing from the sentence.
            let sentence = match blamed.summary.as_str() {
                "" => phrase::plain(&incident.summary),
                sentence => sentence.to_owned(),
            };
            incident.summary = match &crowd {
                Some(crowd) => {
                    let example = (key.0.as_str(), sentence.as_str());
                    phrase::crowd(incident.cause, &crowd.common, &checks, example)
                }
                None => phrase::summary(&sentence, &checks),
            };
            incident.layer = blamed.layer;
            incident.confidence = blamed.confidence;
            incident.consequences.clone_from(&blamed.consequences);
            if !blamed.remedy.is_empty() {
                incident.remedy = match &crowd {
                    Some(_) => phrase::remedy_of(key.0.as_str(), &blamed.remedy),
                    None => blamed.remedy.clone(),
                };
            }
            if blamed.see.is_some() {
                incident.see.clone_from(&blamed.see);
            }
        }
        for member in self.members.values() {
            incident.verdict = worse(incident.verdict, member.blamed.verdict);
            incident.severity = incident.severity.min(member.blamed.severity);
        }
        incident.checks = checks;
        incident.scope.since = Some(incident.began);
        incident.scope.share = share.unwrap_or(incident.scope.share);
        incident.caveats = caveats;
        incident.flapping = self.damp.flapping(now);
        incident.updated = incident.updated.max(now);
    }

    /// The checks with their own times.
    fn checks(&self) -> Vec<AffectedCheck> {
        let mut checks: Vec<AffectedCheck> = Vec::new();
        let of_checks = self
            .members
            .iter()
            .filter(|((c, _), _)| !vantage::is_whole(c));
        for ((check, _), member) in of_checks {
            if let Some(known) = checks.last_mut().filter(|k| k.check == check.as_str()) {
                known.since = known.since.min(member.since);
                known.until = match (known.until, member.until) {
                    (Some(a), Some(b)) => Some(a.max(b)),
                    _ => None,
                };
                scopes::widen(&mut known.scope, &member.blamed.scope);
            } else {
                checks.push(AffectedCheck {
                    check: check.to_string(),
                    since: member.since,
                    until: member.until,
                    scope: member.blamed.scope.clone(),
                });
            }
        }
        checks
    }
}

/// What the newest of several members is found by; of one instant, the first by name.
pub(super) fn newest<'m>((key, member): &(&'m Key, &'m Member)) -> (Timestamp, Reverse<&'m Key>) {
    (member.last, Reverse(*key))
}

/// The worse of two verdicts; that we could not tell is worse than nothing only.
fn worse(a: Verdict, b: Verdict) -> Verdict {
    let rank = |v: Verdict| match v {
        Verdict::Healthy => 0,
        Verdict::Unknown => 1,
        Verdict::Degraded => 2,
        Verdict::Broken => 3,
    };
    if rank(b) > rank(a) { b } else { a }
}

/// The layer in which it fails, in words.
pub(super) fn layer_words(layer: Option<Layer>) -> &'static str {
    layer.map_or("some layer", Layer::name)
}

/// Several checks that fail by one cause, each in its own words.
struct Crowd<'m> {
    /// One of them, as an example: the same at each call, as long as it fails.
    key: &'m Key,
    member: &'m Member,
    /// What all of them are at.
    common: BTreeSet<Party>,
}

/// The members that are no single story: they fail by the same cause, and are not told by the same
/// sentence.
fn crowd_of(members: &BTreeMap<Key, Member>, cause: Cause) -> Option<Crowd<'_>> {
    let tells = |m: &&Member| m.blamed.cause == cause && !m.blamed.summary.is_empty();
    // Of one that is over, those that failed.
    let is_over = !members.values().any(|m| m.until.is_none() && tells(&m));
    let fails = |m: &&Member| (is_over || m.until.is_none()) && tells(m);
    let failing = || members.iter().filter(|(_, m)| fails(m));
    let (key, member) = failing().next()?;
    let differs =
        |(k, m): &(&Key, &Member)| k.0 != key.0 && m.blamed.summary != member.blamed.summary;
    failing().find(differs)?;
    let mut common = member.blamed.parties.clone();
    for (_, other) in failing() {
        common.retain(|party| other.blamed.parties.contains(party));
        if common.is_empty() {
            break;
        }
    }
    Some(Crowd {
        key,
        member,
        common,
    })
}
