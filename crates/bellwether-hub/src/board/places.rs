//! A check from several vantages: what each says of it, and what that comes to.
//!
//! Where one vantage is configured there are none of these, and the check's own fields are what that one
//! says. Else each vantage has its own judgement, as confirmed as that of one alone, and the check's
//! fields are put together from those that may be heard and are not too old.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_diagnose::vantages::{Standing, belies, words};
use bellwether_model::report::LayerReport;
use bellwether_model::run::RunOutcome;
use bellwether_model::{Cause, Digest, Run, VantageId, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{CheckState, SERVED, SERVED_MIN, STALE_GRACE, weight};

/// What one vantage says of a check.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// What became of it, confirmed.
    pub verdict: Option<Verdict>,
    /// The cause, where one is known.
    pub cause: Option<Cause>,
    /// One sentence.
    pub summary: Cow<'static, str>,
    /// Since when the verdict is what it is; `None` before the first.
    pub since: Option<Timestamp>,
    /// When it was last judged from there.
    pub judged_at: Option<Timestamp>,
    /// The layers as of the last trace from there.
    pub layers: Vec<LayerReport>,
    /// When that trace was made.
    pub traced_at: Option<Timestamp>,
    /// The report of that trace, where it is kept.
    pub evidence: Option<Digest>,
    /// Its probes bring down workers there: how.
    pub poisoned: Option<String>,
    /// Runs in a row that were served.
    pub served: u32,
}

impl Judgement {
    /// What became of it; unknown before the first.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict.unwrap_or(Verdict::Unknown)
    }

    /// Takes in a run that says something. Tells whether the verdict is another by it.
    pub(super) fn ran(&mut self, run: &Run, began: Timestamp) -> bool {
        self.judged_at = self.judged_at.max(Some(began));
        self.served = match run.outcome {
            RunOutcome::Ok => self.served.saturating_add(1),
            RunOutcome::Wrong | RunOutcome::Failed | RunOutcome::NotRun => 0,
        };
        let is_first = self.since.is_none() && self.served >= SERVED_MIN;
        if is_first {
            self.verdict = Some(Verdict::Healthy);
            self.since = Some(began);
            self.summary = Cow::Borrowed(SERVED);
        }
        is_first
    }

    /// Is what is known there too old to be true?
    pub(crate) fn is_stale(&self, every: Duration, now: Timestamp) -> bool {
        self.holds_until(every).is_none_or(|until| until < now)
    }

    /// Until when it is not.
    pub(crate) fn holds_until(&self, every: Duration) -> Option<Timestamp> {
        let until = self.judged_at?.checked_add(every + STALE_GRACE);
        Some(until.unwrap_or(Timestamp::MAX))
    }
}

/// Which vantages there are, and how each stands.
pub type Standings = BTreeMap<VantageId, Standing>;

/// What each vantage says of a check.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// In order of the vantages.
    all: Vec<(VantageId, Judgement)>,
    /// Which of them counted when the check was last put together, as a number.
    counted: u64,
    /// Were all told as they are now?
    is_told: bool,
    /// Until when none of those that count is too old, and all are told.
    fresh_until: Option<Timestamp>,
    /// Until when a result is missed at none of them.
    in_time_until: Option<Timestamp>,
}

/// What is kept of a place over a restart.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptPlace {
    vantage: VantageId,
    verdict: Verdict,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
    summary: String,
    since: Timestamp,
    #[serde(default)]
    judged_at: Option<Timestamp>,
}

impl Places {
    /// What each says, in order of the vantages.
    pub fn iter(&self) -> impl Iterator<Item = (&VantageId, &Judgement)> {
        self.all
            .iter()
            .map(|(vantage, judgement)| (vantage, judgement))
    }

    /// What a vantage says.
    #[must_use]
    pub fn get(&self, vantage: &VantageId) -> Option<&Judgement> {
        let place = self.all.binary_search_by(|(v, _)| v.cmp(vantage)).ok()?;
        Some(&self.all[place].1)
    }

    /// The same, to be changed; a new one if it said nothing yet.
    pub(super) fn of(&mut self, vantage: &VantageId) -> &mut Judgement {
        let place = self.all.binary_search_by(|(v, _)| v.cmp(vantage));
        let place = place.unwrap_or_else(|place| {
            self.all
                .insert(place, (vantage.clone(), Judgement::default()));
            place
        });
        &mut self.all[place].1
    }

    /// Takes in a run that says something. Tells whether its vantage says something else by it.
    pub(super) fn ran(&mut self, run: &Run, began: Timestamp) -> bool {
        let is_news = self.of(&run.vantage).ran(run, began);
        self.is_told &= !is_news;
        is_news
    }

    pub(super) fn unpoison(&mut self, vantage: &VantageId) {
        let of_it = self.all.iter_mut().filter(|(v, _)| v == vantage);
        for (_, judgement) in of_it {
            self.is_told &= judgement.poisoned.take().is_none();
        }
    }

    pub(super) fn clock_moved(&mut self, now: Timestamp) {
        let at_most_now = |at: &mut Option<Timestamp>| *at = at.map(|at| at.min(now));
        for (_, judgement) in &mut self.all {
            at_most_now(&mut judgement.judged_at);
            at_most_now(&mut judgement.traced_at);
            at_most_now(&mut judgement.since);
        }
        self.is_told = false;
        self.in_time_until = None;
    }

    /// Is what they say told, and none of them too old?
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        self.is_told && self.fresh_until.is_some_and(|until| now <= until)
    }

    /// Those that can say what is true now.
    fn saying<'p>(
        &'p self,
        standings: &'p Standings,
        every: Duration,
        now: Timestamp,
    ) -> impl Iterator<Item = (usize, &'p (VantageId, Judgement))> {
        self.all.iter().enumerate().filter(move |(_, place)| {
            let (vantage, judgement) = place;
            let is_heard = standings.get(vantage).is_some_and(|s| s.is_heard);
            let says = judgement.since.is_some() && judgement.verdict() != Verdict::Unknown;
            is_heard && says && !judgement.is_stale(every, now)
        })
    }

    /// The vantage that last saw the check fail, and says nothing now: too old, or out of hearing. What
    /// one says that is not believed does not count.
    fn last_seen_failing<'p>(
        &'p self,
        saying: &[&(VantageId, Judgement)],
        standings: &Standings,
    ) -> Option<(&'p VantageId, &'p Judgement)> {
        let says = |of: &VantageId| saying.iter().any(|(vantage, _)| vantage == of);
        let is_believed = |of: &VantageId| {
            let standing = standings.get(of);
            standing.is_some_and(|s| !s.amiss.as_ref().is_some_and(|(cause, _)| belies(*cause)))
        };
        let fails = |judgement: &Judgement| {
            let verdict = judgement.verdict();
            judgement.since.is_some() && matches!(verdict, Verdict::Degraded | Verdict::Broken)
        };
        let mut all = self
            .all
            .iter()
            .map(|(vantage, judgement)| (vantage, judgement));
        all.find(|(vantage, judgement)| fails(judgement) && !says(vantage) && is_believed(vantage))
    }

    /// The same, as a number that is another where others can.
    fn counting(&self, standings: &Standings, every: Duration, now: Timestamp) -> u64 {
        let saying = self.saying(standings, every, now);
        // FNV-1a over their places.
        saying.fold(0xcbf2_9ce4_8422_2325, |mixed: u64, (n, _)| {
            (mixed ^ (n as u64 + 1)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    pub(super) fn kept(&self) -> Vec<KeptPlace> {
        let kept = self.all.iter().filter_map(|(vantage, judgement)| {
            Some(KeptPlace {
                vantage: vantage.clone(),
                verdict: judgement.verdict(),
                cause: judgement.cause,
                summary: judgement.summary.clone().into_owned(),
                since: judgement.since?,
                judged_at: judgement.judged_at,
            })
        });
        kept.collect()
    }

    pub(super) fn recall(&mut self, kept: KeptPlace) {
        let place = self.of(&kept.vantage);
        place.verdict = Some(kept.verdict);
        place.cause = kept.cause;
        place.summary = super::known(kept.summary);
        place.since = Some(kept.since);
        place.judged_at = kept.judged_at;
    }
}

impl CheckState {
    /// What each vantage says, where there are several.
    #[must_use]
    pub fn places(&self) -> Option<&Places> {
        self.places.as_deref()
    }

    /// Is a result missed at no vantage yet?
    pub(crate) fn is_in_time(&self, now: Timestamp) -> bool {
        let until = self.places.as_ref().and_then(|p| p.in_time_until);
        until.is_some_and(|until| now <= until)
    }

    /// No result is missed before then: those that came since make it later.
    pub(crate) fn in_time_until(&mut self, until: Timestamp) {
        if let Some(places) = &mut self.places {
            places.in_time_until = Some(until);
        }
    }

    /// Changes what a vantage says. Where there is one, that is what is told.
    pub(crate) fn at<T>(
        &mut self,
        vantage: &VantageId,
        work: impl FnOnce(&mut Judgement) -> T,
    ) -> T {
        if let Some(places) = &mut self.places {
            places.is_told = false;
            return work(places.of(vantage));
        }
        let mut own = self.take();
        let done = work(&mut own);
        self.put(own);
        done
    }

    fn take(&mut self) -> Judgement {
        Judgement {
            verdict: Some(self.verdict),
            cause: self.cause,
            summary: std::mem::take(&mut self.summary),
            since: self.since,
            judged_at: self.judged_at,
            layers: std::mem::take(&mut self.layers),
            traced_at: self.traced_at,
            evidence: self.evidence,
            poisoned: self.poisoned.take(),
            served: self.served,
        }
    }

    fn put(&mut self, own: Judgement) {
        self.verdict = own.verdict();
        self.cause = own.cause;
        self.summary = own.summary;
        self.since = own.since;
        self.judged_at = own.judged_at;
        self.layers = own.layers;
        self.traced_at = own.traced_at;
        self.evidence = own.evidence;
        self.poisoned = own.poisoned;
        self.served = own.served;
    }

    /// There are several vantages, or one: what is known goes over from one form to the other.
    pub(super) fn divide(&mut self, vantages: &Standings) {
        let local = VantageId::new(VantageId::LOCAL);
        let is_many = vantages.len() > 1;
        match (&mut self.places, is_many) {
            (None, true) => {
                let mut places = Box::<Places>::default();
                let mut own = self.take();
                if own.since.is_none() {
                    own.verdict = None;
                }
                *places.of(&local) = own.clone();
                self.put(own);
                self.places = Some(places);
            }
            (Some(places), false) => {
                let own = std::mem::take(places.of(&local));
                self.places = None;
                self.put(own);
            }
            (Some(places), true) => {
                places
                    .all
                    .retain(|(vantage, _)| vantages.contains_key(vantage));
                places.is_told = false;
                places.in_time_until = None;
            }
            (None, false) => {}
        }
    }

    /// Puts together what the vantages say, if that may be another than it was. Tells whether it is.
    pub(super) fn combine(&mut self, standings: &Standings, now: Timestamp) -> bool {
        let Some(places) = &mut self.places else {
            return false;
        };
        let counting = places.counting(standings, self.every, now);
        let saying = places.saying(standings, self.every, now);
        let ends = saying.filter_map(|(_, (_, place))| place.holds_until(self.every));
        places.fresh_until = Some(ends.min().unwrap_or(Timestamp::MAX));
        if places.is_told && places.counted == counting {
            return false;
        }
        places.is_told = true;
        places.counted = counting;
        let places = &*places;
        let saying = places.saying(standings, self.every, now);
        let saying: Vec<&(VantageId, Judgement)> = saying.map(|(_, place)| place).collect();
        let told = Told::of(places, &saying, standings);
        let is_news = self.verdict != told.verdict || self.cause != told.cause;
        if self.verdict != told.verdict || self.since.is_none() {
            self.since = told.since;
        }
        if told.judged_at.is_some() {
            self.judged_at = told.judged_at;
        }
        if let Some((layers, traced_at, evidence)) = told.trace {
            (self.layers, self.traced_at, self.evidence) = (layers, traced_at, evidence);
        }
        self.verdict = told.verdict;
        self.cause = told.cause;
        self.summary = told.summary;
        self.poisoned = told.poisoned;
        self.served = told.served;
        is_news
    }
}

/// What the vantages of a check come to.
struct Told {
    verdict: Verdict,
    cause: Option<Cause>,
    summary: Cow<'static, str>,
    since: Option<Timestamp>,
    judged_at: Option<Timestamp>,
    trace: Option<(Vec<LayerReport>, Option<Timestamp>, Option<Digest>)>,
    poisoned: Option<String>,
    served: u32,
}

impl Told {
    fn of(places: &Places, saying: &[&(VantageId, Judgement)], standings: &Standings) -> Self {
        let is_heard = |v: &VantageId| standings.get(v).is_some_and(|s| s.is_heard);
        let heard = || places.all.iter().filter(|(v, _)| is_heard(v));
        let judged_at = heard().filter_map(|(_, j)| j.judged_at).max();
        let poisoned = heard().find_map(|(v, j)| Some((v, j.poisoned.as_ref()?)));
        let poisoned = poisoned.map(|(v, why)| format!("at {v}: {why}"));
        let rest = Self {
            verdict: Verdict::Unknown,
            cause: None,
            summary: Cow::Borrowed(""),
            since: None,
            judged_at,
            trace: None,
            poisoned,
            served: saying.iter().map(|(_, j)| j.served).min().unwrap_or(0),
        };
        let worst = saying.iter().rev().max_by_key(|(_, j)| weight(j.verdict()));
        let Some((_, worst)) = worst else {
            return rest.unknown(places, standings);
        };
        let fails = |(_, j): &&&(VantageId, Judgement)| j.verdict() != Verdict::Healthy;
        let failing: Vec<&str> = saying
            .iter()
            .filter(fails)
            .map(|(v, _)| v.as_str())
            .collect();
        let is_broken = |(_, j): &&(VantageId, Judgement)| j.verdict() == Verdict::Broken;
        let verdict = match failing.len() {
            0 => Verdict::Healthy,
            _ if saying.iter().all(is_broken) => Verdict::Broken,
            _ => Verdict::Degraded,
        };
        // Who alone saw it fail, and is not heard of any more, may be right still.
        if verdict == Verdict::Healthy
            && let Some((silent, last)) = places.last_seen_failing(saying, standings)
        {
            return Self {
                cause: last.cause,
                summary: Cow::Owned(format!(
                    "{}; seen from {silent} alone, of which nothing is heard now",
                    last.summary.trim_end().trim_end_matches('.')
                )),
                since: last.since,
                ..rest
            };
        }
        let summary = match (failing.len(), saying.len()) {
            (0, _) | (_, 1) => worst.summary.clone(),
            (_, heard) => {
                let sentence = worst.summary.trim_end().trim_end_matches('.');
                let from = words::from(&failing, heard);
                Cow::Owned(format!("{sentence}; seen {from}"))
            }
        };
        Self {
            verdict,
            cause: worst.cause,
            summary,
            since: saying.iter().filter_map(|(_, j)| j.since).max(),
            trace: Some((worst.layers.clone(), worst.traced_at, worst.evidence)),
            ..rest
        }
    }

    /// No vantage that is heard can say.
    fn unknown(self, places: &Places, standings: &Standings) -> Self {
        let ours = places.all.iter().filter(|(_, j)| j.since.is_some());
        let ours = ours
            .filter(|(_, j)| j.verdict() == Verdict::Unknown)
            .max_by_key(|(_, j)| j.since);
        let amiss = || standings.values().find_map(|s| s.amiss.as_ref());
        match (ours, amiss()) {
            (Some((_, own)), _) => Self {
                cause: own.cause,
                summary: own.summary.clone(),
                since: own.since,
                ..self
            },
            (None, Some((cause, summary))) => Self {
                cause: Some(*cause),
                summary: Cow::Owned(format!("no vantage that is heard can say; {summary}")),
                since: standings.values().filter_map(|s| s.since).max(),
                ..self
            },
            (None, None) => self,
        }
    }
}
