//! Which vantages may be heard, and why not.
//!
//! Pure and streaming, as detection is: no clock, no socket. A vantage that cannot be believed, or of
//! which nothing comes, is no evidence against a target: whatever it says is told as our own trouble.
//! Four things are looked at, each by itself:
//!
//! - its controls: what its traces say of itself (`votes`)
//! - its other targets: do many of them fail there, and nowhere else (`others`)? Or is all well there
//!   where everybody else fails?
//! - its clock: by how much it differs from the hub's
//! - its agent: does anything come, and in time (`link`)?
//!
//! It is heard again after as much evidence as it took. With one vantage there is nothing to compare,
//! and nobody to judge instead: it is always heard.
//!
//! - `blind`: when nobody is heard
//! - `ours`: when it is the hub's own clock that is wrong
//! - `words`: from where something is seen
//! - `burst`: whom to ask when one vantage sees a failure

mod blind;
mod burst;
mod link;
mod others;
mod ours;
mod votes;
pub mod words;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_model::report::Severity;
use bellwether_model::{Cause, CheckId, Finding, Report, VantageId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::detect::{CheckMeta, Heard, HeardKind, VantageMeta};
pub use crate::incidents::{Amiss, Blind};
pub use burst::Bursts;
pub use link::Link;

use link::{Linked, Sight};
use others::{KeptSide, Others};
use ours::HubClock;
use votes::Votes;
use votes::blamed;

/// A row that began longer ago than two intervals and this is history: what is true now does not follow
/// from it. As detection has it.
const LATE: Duration = Duration::from_secs(30);
/// A trace takes longer, and is made more rarely.
const LATE_TRACE: Duration = Duration::from_secs(90);

/// Did a run begin so long ago that it is history only?
#[must_use]
pub fn is_late(began: Timestamp, every: Duration, now: Timestamp) -> bool {
    is_older(began, every * 2 + LATE, now)
}

/// Did a trace begin so long ago that it is history only?
#[must_use]
pub fn is_late_trace(began: Timestamp, every: Duration, now: Timestamp) -> bool {
    is_older(began, every * 2 + LATE_TRACE, now)
}

fn is_older(then: Timestamp, than: Duration, now: Timestamp) -> bool {
    now.checked_sub(than).is_ok_and(|since| then < since)
}

/// Does a trace say that its own vantage is at fault, and nothing of its target?
#[must_use]
pub fn blames_itself(report: &Report) -> bool {
    blamed(report).is_some()
}

/// What changes by what was seen of vantages.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Something is wrong with a vantage, or is told in other words.
    Amiss(Amiss),
    /// It no longer is.
    Mended {
        /// The vantage.
        vantage: VantageId,
        /// What was wrong.
        cause: Cause,
        /// What became of it, in words.
        words: String,
    },
    /// What was wrong was something else, as is known now.
    Rejudged {
        /// What it was taken for.
        was: Cause,
        /// What it was.
        amiss: Amiss,
    },
    /// From now on nobody is heard: this takes the place of all that is wrong with single vantages.
    Blind(Blind),
    /// Somebody is heard again, and what is still wrong with single vantages is told anew.
    Sees {
        /// Who, in words.
        words: String,
    },
    /// From now on a vantage is not heard.
    Unheard {
        /// The vantage.
        vantage: VantageId,
        /// Since when what it says is doubtful.
        since: Timestamp,
        /// Why, in words.
        why: String,
        /// Is what it says not believed, and not only missing?
        is_disbelieved: bool,
    },
    /// It is heard again.
    Heard {
        /// The vantage.
        vantage: VantageId,
        /// Since when it was not.
        since: Timestamp,
    },
    /// A trace from there would tell more.
    WantTrace {
        /// Of this check.
        check: CheckId,
        /// From there.
        vantage: VantageId,
    },
}

/// How a vantage stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// May it be heard?
    pub is_heard: bool,
    /// What is wrong with it, the worst first, with the sentence that says so.
    pub amiss: Option<(Cause, String)>,
    /// Since when; `None` where nothing is wrong.
    pub since: Option<Timestamp>,
    /// The number of its autonomous system, where it is configured.
    pub network: Option<u32>,
}

/// Something that is wrong with a vantage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Trouble {
    since: Timestamp,
    summary: String,
    remedy: String,
}

/// One vantage.
#[derive(Clone, Debug)]
struct Known {
    network: Option<u32>,
    /// Since when it is looked at: nothing is late before.
    from: Timestamp,
    link: Linked,
    votes: Votes,
    /// By cause. Those of one vantage are few.
    troubles: BTreeMap<Cause, Trouble>,
    /// Since when it is not heard, while it is not.
    unheard: Option<Timestamp>,
}

impl Known {
    /// Of one elsewhere nobody has come yet, and so nobody is heard.
    fn new(network: Option<u32>, is_local: bool, now: Timestamp) -> Self {
        Self {
            network,
            from: now,
            link: Linked {
                came: is_local,
                ..Linked::default()
            },
            votes: Votes::default(),
            troubles: BTreeMap::new(),
            unheard: (!is_local).then_some(now),
        }
    }
}

/// Can a vantage with this trouble say what is true? That results are late takes nothing from those that
/// come in time.
fn silences(cause: Cause) -> bool {
    cause != Cause::MonitorPipelineLag
}

/// Is what a vantage says wrong by this trouble, and not only missing?
#[must_use]
pub fn belies(cause: Cause) -> bool {
    silences(cause)
        && !matches!(
            cause,
            Cause::MonitorVantageOffline | Cause::MonitorProbeHung
        )
}

/// All vantages, and which of them may be heard.
#[derive(Clone, Debug, Default)]
pub struct Vantages {
    known: BTreeMap<VantageId, Known>,
    others: Others,
    paces: Paces,
    /// Is nobody heard, and was that told?
    is_blind: bool,
    /// No longer configured, and not asked for since.
    gone: BTreeSet<VantageId>,
    hub_clock: HubClock,
    /// Is there something to be kept that was not asked for since?
    is_news: bool,
    /// When it was last said that there is, for what changes all the time.
    noted: Option<Timestamp>,
}

/// How often results are to come from a vantage.
#[derive(Clone, Copy, Debug, Default)]
struct Paces {
    /// The shortest interval of any check.
    shortest: Duration,
    /// That of the check in the middle. That one check gives no result, however often it is to, is told
    /// of that check; that half of them are behind is told of the vantage.
    middle: Duration,
}

impl Paces {
    fn of(checks: &[CheckMeta]) -> Self {
        let mut all: Vec<Duration> = checks.iter().map(|check| check.every).collect();
        all.sort_unstable();
        Self {
            shortest: all.first().copied().unwrap_or_default(),
            middle: all.get(all.len() / 2).copied().unwrap_or_default(),
        }
    }
}

/// While somebody is not believed, what is known of that changes with each result. So often it is kept.
const KEPT_EVERY: Duration = Duration::from_secs(60);

/// What is kept over a restart.
#[derive(Serialize, Deserialize)]
struct Kept {
    vantage: VantageId,
    /// Was anything ever heard from there?
    #[serde(default)]
    came: bool,
    #[serde(default)]
    boot: u64,
    #[serde(default)]
    votes: Votes,
    #[serde(default)]
    troubles: Vec<(Cause, Trouble)>,
    #[serde(default)]
    unheard: Option<Timestamp>,
    /// What its other targets say of it.
    #[serde(default)]
    alone: KeptSide,
    #[serde(default)]
    green: KeptSide,
    /// Was it told that nobody is heard? The same for all.
    #[serde(default)]
    is_blind: bool,
}

impl Vantages {
    /// Takes on a configuration; vantages that stay are known as they were.
    pub fn configure(&mut self, checks: &[CheckMeta], vantages: &[VantageMeta], now: Timestamp) {
        let mut before = std::mem::take(&mut self.known);
        for meta in vantages {
            let is_local = meta.id.as_str() == VantageId::LOCAL;
            let mut known = before
                .remove(&meta.id)
                .unwrap_or_else(|| Known::new(meta.asn, is_local, now));
            known.network = meta.asn;
            self.known.insert(meta.id.clone(), known);
        }
        self.gone.extend(before.into_keys());
        self.paces = Paces::of(checks);
        let is_many = self.is_many();
        let all = self
            .known
            .iter()
            .map(|(id, known)| (id.clone(), known.network));
        self.others
            .configure(if is_many { checks } else { &[] }, all);
    }

    /// Where one vantage is left, nobody tells what is wrong with it any more, as of one among several:
    /// what stood is over, and each trace says so of itself.
    pub fn left_alone(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.is_many() {
            return changes;
        }
        for (id, known) in &mut self.known {
            known.votes = Votes::default();
            for (cause, _) in std::mem::take(&mut known.troubles) {
                changes.push(Change::Mended {
                    vantage: id.clone(),
                    cause,
                    words: "it is the only vantage now, and each check says so of itself"
                        .to_owned(),
                });
                self.is_news = true;
            }
            if let Some(since) = known.unheard.take() {
                changes.push(Change::Heard {
                    vantage: id.clone(),
                    since,
                });
            }
        }
        self.hub_clock = HubClock::default();
        if std::mem::take(&mut self.is_blind) {
            let words = "one vantage is left, and each check says of itself what is wrong";
            changes.push(Change::Sees {
                words: words.to_owned(),
            });
        }
        changes
    }

    /// Is there more than one?
    #[must_use]
    pub fn is_many(&self) -> bool {
        self.known.len() > 1
    }

    /// Is it configured?
    #[must_use]
    pub fn is_known(&self, vantage: &VantageId) -> bool {
        self.known.contains_key(vantage)
    }

    /// May it be heard?
    #[must_use]
    pub fn is_heard(&self, vantage: &VantageId) -> bool {
        !self.is_many()
            || self
                .known
                .get(vantage)
                .is_some_and(|known| known.unheard.is_none())
    }

    /// Vantages at which much fails that works elsewhere, while whether it is the vantage is not settled.
    #[must_use]
    pub fn doubted(&self, now: Timestamp) -> BTreeSet<VantageId> {
        let ids = self.known.keys();
        ids.filter(|id| self.is_heard(id) && self.others.is_doubted(id, now))
            .cloned()
            .collect()
    }

    /// How each stands, in the order of their names.
    pub fn standings(&self) -> impl Iterator<Item = (&VantageId, Standing)> {
        self.known.iter().map(|(id, known)| {
            let worst = known
                .troubles
                .iter()
                .min_by_key(|(cause, _)| (!silences(**cause), !belies(**cause)));
            let standing = Standing {
                is_heard: self.is_heard(id),
                amiss: worst.map(|(cause, trouble)| (*cause, trouble.summary.clone())),
                since: worst.map(|(_, trouble)| trouble.since),
                network: known.network,
            };
            (id, standing)
        })
    }

    /// A result came. One that is history says that its agent lives, and no more.
    pub fn heard(&mut self, heard: &Heard, every: Duration, now: Timestamp) {
        let Some(known) = self.known.get_mut(&heard.vantage) else {
            return;
        };
        self.is_news |= !known.link.came;
        known.link.came = true;
        let bad = match heard.kind {
            HeardKind::Ok { .. } => false,
            HeardKind::Bad => true,
            HeardKind::Unknown => return,
        };
        if is_late(heard.at, every, now) {
            let age = now.duration_since(heard.at).unsigned_abs();
            known.link.late.came(age, now);
            return;
        }
        known.link.said = known.link.said.max(Some(now));
        if self.is_many() {
            let known = &self.known;
            let is_heard = |v: &VantageId| known.get(v).is_some_and(|k| k.unheard.is_none());
            self.others.heard(heard, bad, is_heard);
        }
    }

    /// A trace came: what it says of its vantage. Tells what changes by that.
    pub fn traced(
        &mut self,
        check: &CheckId,
        vantage: &VantageId,
        report: &Report,
        now: Timestamp,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        if !self.is_many() {
            return changes;
        }
        let is_local = vantage.as_str() == VantageId::LOCAL;
        let Some(known) = self.known.get_mut(vantage) else {
            return changes;
        };
        known.link.came = true;
        // By then it was put right by what the link measured: if it still looks wrong, that is the hub's.
        let is_measured = known.link.offset_ms.is_some();
        let of_clock = |finding: &Finding| finding.cause == Cause::MonitorClockSkew;
        if is_measured && blamed(report).is_some_and(of_clock) {
            return changes;
        }
        let before = known.votes.stands();
        let wants = known.votes.vote(check, report, now);
        if wants {
            changes.push(Change::WantTrace {
                check: check.clone(),
                vantage: vantage.clone(),
            });
        }
        let after = known.votes.stands();
        let is_else = match before {
            Some(Cause::MonitorVantageUplink) => self.others.fails_alone(vantage, now).is_some(),
            Some(Cause::MonitorFalseSignal) => self.others.is_green_alone(vantage, now).is_some(),
            Some(Cause::MonitorClockSkew) => {
                known.link.is_clock_off() || is_local && self.hub_clock.ahead_ms().is_some()
            }
            Some(_) | None => false,
        };
        if let Some(was) = before.filter(|was| Some(*was) != after && !is_else) {
            mended(
                known,
                vantage,
                was,
                "its controls answer again",
                &mut changes,
            );
        }
        if let Some(cause) = after {
            let (summary, remedy) = known.votes.words(vantage);
            let since = known.votes.since().unwrap_or(now);
            let words = (since, summary, remedy);
            let resolvers = known.votes.resolvers().to_vec();
            let before = changes.len();
            amiss(known, vantage, cause, words, &mut changes);
            if let Some(Change::Amiss(amiss)) = changes.get_mut(before) {
                amiss.resolvers = resolvers;
            }
        }
        self.settle(vantage, &mut changes);
        self.look_who_is_left(&mut changes);
        changes
    }

    /// Looks at what time brings. `link` says how each agent is linked; the built-in one is `None`, and
    /// so is one that was not seen since the start.
    pub fn tick(
        &mut self,
        link: impl Fn(&VantageId) -> Option<Link>,
        now: Timestamp,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        // Where nothing is to be run, nobody is silent.
        if !self.is_many() || self.paces.shortest.is_zero() {
            return changes;
        }
        let links: BTreeMap<VantageId, Option<Link>> =
            self.known.keys().map(|id| (id.clone(), link(id))).collect();
        self.hub_clock.look(links.values().flatten());
        self.look_at_hub_clock(now, &mut changes);
        for (id, link) in links {
            let Some(known) = self.known.get_mut(&id) else {
                continue;
            };
            let sight = Sight {
                paces: self.paces,
                is_local: id.as_str() == VantageId::LOCAL,
                hub_ahead_ms: self.hub_clock.ahead_ms().unwrap_or(0),
                is_only: self.hub_clock.measured() < 2,
                now,
            };
            let before = (known.link.came, known.link.boot);
            link::look(known, &id, link, &sight, &mut changes);
            self.is_news |= before != (known.link.came, known.link.boot);
            if let Some(check) = known.votes.asks(self.paces.shortest, now) {
                changes.push(Change::WantTrace {
                    check,
                    vantage: id.clone(),
                });
            }
            self.look_at_others(&id, now, &mut changes);
            self.settle(&id, &mut changes);
        }
        self.look_who_is_left(&mut changes);
        let is_due = self.noted.is_none_or(|at| is_older(at, KEPT_EVERY, now));
        if is_due && self.others.is_any_out() {
            self.noted = Some(now);
            self.is_news = true;
        }
        changes
    }

    /// Does much fail there and nowhere else, or nothing where all else fails?
    fn look_at_others(&mut self, id: &VantageId, now: Timestamp, changes: &mut Vec<Change>) {
        let alone = self.others.fails_alone(id, now);
        let green = self.others.is_green_alone(id, now);
        // Somebody has to be heard.
        let heard = self
            .known
            .iter()
            .filter(|(other, k)| *other != id && k.unheard.is_none());
        let is_last = heard.count() == 0;
        let Some(known) = self.known.get_mut(id) else {
            return;
        };
        let by_votes = known.votes.stands();
        let uplink = Cause::MonitorVantageUplink;
        match alone {
            Some(alone) if !is_last => {
                let summary = format!(
                    "from {id} {} of {} independent targets failed lately that work from elsewhere: its own access is bad, and what it sees of targets is not believed",
                    alone.failing, alone.of
                );
                let remedy = format!(
                    "Look at the network of the machine that stands at {id}: loss, routes, firewall"
                );
                let words = (alone.since, summary, remedy);
                amiss(known, id, uplink, words, changes);
            }
            None if by_votes != Some(uplink) => {
                mended(
                    known,
                    id,
                    uplink,
                    "what works elsewhere works from there too",
                    changes,
                );
            }
            Some(_) | None => {}
        }
        let false_signal = Cause::MonitorFalseSignal;
        match green {
            Some(green) if !is_last => {
                let summary = format!(
                    "{id} says that {} independent targets work which fail from all others: what it says is not believed",
                    green.failing
                );
                let remedy = format!(
                    "Look at what runs at {id}: another program, a cache or a proxy may answer in the targets' place. If nobody of you did that, revoke its agent: `bellwether agents revoke {id}`"
                );
                let words = (green.since, summary, remedy);
                amiss(known, id, false_signal, words, changes);
            }
            None if by_votes != Some(false_signal) => mended(
                known,
                id,
                false_signal,
                "it sees what the others see",
                changes,
            ),
            Some(_) | None => {}
        }
    }

    /// Is it heard, by all that is known?
    fn settle(&mut self, id: &VantageId, changes: &mut Vec<Change>) {
        let Some(known) = self.known.get_mut(id) else {
            return;
        };
        let silencing = || known.troubles.iter().filter(|(cause, _)| silences(**cause));
        let worst = silencing().min_by_key(|(cause, _)| !belies(**cause));
        match (worst, known.unheard) {
            (Some((cause, trouble)), None) => {
                let since = trouble.since;
                changes.push(Change::Unheard {
                    vantage: id.clone(),
                    since,
                    why: trouble.summary.clone(),
                    is_disbelieved: belies(*cause),
                });
                known.unheard = Some(since);
            }
            (None, Some(since)) if known.link.came => {
                known.unheard = None;
                changes.push(Change::Heard {
                    vantage: id.clone(),
                    since,
                });
            }
            (Some(_) | None, Some(_)) | (None, None) => {}
        }
    }

    /// The wall clock was moved: nothing that has to come by the new time is late yet.
    pub fn clock_moved(&mut self, now: Timestamp) {
        for known in self.known.values_mut() {
            known.from = now;
            known.link.clock_moved(now);
            known.votes.clock_moved(now);
            for trouble in known.troubles.values_mut() {
                trouble.since = trouble.since.min(now);
            }
            known.unheard = known.unheard.map(|at| at.min(now));
        }
        self.others.forget(now);
        self.noted = None;
    }

    /// Those that are no longer configured, since this was asked.
    pub fn take_gone(&mut self) -> BTreeSet<VantageId> {
        std::mem::take(&mut self.gone)
    }

    /// Is anything of what [`checkpoint`](Self::checkpoint) says new since this was asked?
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.is_news)
    }

    /// What is to be known after a restart.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        let kept = self.known.iter().map(|(vantage, known)| {
            let troubles = known.troubles.iter();
            let (alone, green) = self.others.kept(vantage).unwrap_or_default();
            Kept {
                alone,
                green,
                is_blind: self.is_blind,
                vantage: vantage.clone(),
                came: known.link.came,
                boot: known.link.boot,
                votes: known.votes.clone(),
                troubles: troubles.map(|(cause, t)| (*cause, t.clone())).collect(),
                unheard: known.unheard,
            }
        });
        let kept: Vec<Kept> = kept.collect();
        serde_json::to_vec(&kept).unwrap_or_default()
    }

    /// Takes over what was known before a restart, of vantages that are configured. Damaged bytes are
    /// passed over.
    pub fn restore(&mut self, bytes: &[u8]) {
        let kept: Vec<Kept> = serde_json::from_slice(bytes).unwrap_or_default();
        for one in kept {
            let Some(known) = self.known.get_mut(&one.vantage) else {
                self.gone.insert(one.vantage);
                continue;
            };
            known.link.came = one.came;
            known.link.boot = one.boot;
            known.votes = one.votes;
            known.troubles = one.troubles.into_iter().collect();
            // Nobody is deaf to what nothing speaks against.
            let is_silenced = known.troubles.keys().any(|cause| silences(*cause));
            known.unheard = one.unheard.filter(|_| is_silenced || !one.came);
            self.is_blind |= one.is_blind;
            self.others.recall(&one.vantage, one.alone, one.green);
        }
    }
}

/// Since when, the sentence, and what to do.
type Words = (Timestamp, String, String);

/// Something is wrong with a vantage. That it still is, in the same words, is no news.
fn amiss(
    known: &mut Known,
    vantage: &VantageId,
    cause: Cause,
    (since, summary, remedy): Words,
    changes: &mut Vec<Change>,
) {
    if known.troubles.contains_key(&cause) {
        return;
    }
    known.troubles.insert(
        cause,
        Trouble {
            since,
            summary: summary.clone(),
            remedy: remedy.clone(),
        },
    );
    changes.push(Change::Amiss(of(vantage, cause, (since, summary, remedy))));
}

/// As the book of incidents takes it.
fn of(vantage: &VantageId, cause: Cause, (since, summary, remedy): Words) -> Amiss {
    Amiss {
        vantage: vantage.clone(),
        cause,
        // Others judge meanwhile. When nobody is left, that is told instead.
        severity: Severity::Warning,
        since,
        summary: match cause {
            Cause::MonitorVantageOffline => format!("{summary}; others judge meanwhile"),
            _ => summary,
        },
        remedy,
        resolvers: Vec::new(),
    }
}

/// It no longer is wrong, if it was.
fn mended(
    known: &mut Known,
    vantage: &VantageId,
    cause: Cause,
    words: &str,
    changes: &mut Vec<Change>,
) {
    if known.troubles.remove(&cause).is_some() {
        changes.push(Change::Mended {
            vantage: vantage.clone(),
            cause,
            words: words.to_owned(),
        });
    }
}
