//! What is remembered of one check at one vantage.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use bellwether_model::run::RunOutcome;
use bellwether_model::{Cause, Digest, Layer, Run, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::brief::Brief;
use super::is_past;
use super::leaning::Leans;
use super::party::Party;
use super::when::When;

/// Two unhealthy traces further apart do not confirm each other: the second was asked for at once,
/// and a usual cadence is shorter.
const CONFIRM_WITHIN: Duration = Duration::from_mins(15);
/// A path is well again after so many good runs on it: with a third of the attempts failing, three
/// good ones in a row are still likely, and the detector's own reckoning takes over.
const PATH_WELL: u8 = 3;
/// A streak of failures is over after so many good runs: where a quarter of them fails, as many
/// good ones in a row come about once in 300.
const STREAK_OVER: u32 = 20;
/// So many good runs in a row after a failing one are worth a trace.
const SEEMS_WELL: u32 = 2;
/// Fewer good runs in a row than this may be luck: where a third of them fails, as many come about
/// once in 25.
const SOME_FAIL: u32 = 8;
/// At most this many failing paths are remembered; the ones that failed longest ago go first.
const PATHS_MAX: usize = 16;

/// A resolver and an address by which runs fail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Path {
    pub resolver: Option<String>,
    pub address: Option<IpAddr>,
    pub layer: Option<Layer>,
    pub symptom: Option<String>,
    pub evidence: Option<Digest>,
    pub first: Timestamp,
    pub last: Timestamp,
    /// Good runs on it since.
    good: u8,
}

/// An alarm of the detector that stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Alarm {
    pub since: Timestamp,
    pub layer: Option<Layer>,
    pub words: String,
    /// When it came.
    #[serde(default)]
    pub raised: Timestamp,
    /// Does an incident account for it?
    pub explained: bool,
}

/// What the trace before can confirm.
#[derive(Default)]
pub(super) struct Before {
    /// When it began and what it blames, if it was unhealthy, and near enough.
    pub bad: Option<(Timestamp, Vec<Cause>)>,
    /// Did it say that we are at fault ourselves?
    pub ours: bool,
    /// What it warned of.
    pub warned: Vec<(Cause, BTreeSet<Party>)>,
}

/// A check at a vantage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Watch {
    /// Whom it leans on.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub depends: Leans,
    /// When the newest trace began.
    pub last_trace: When,
    /// The newest unhealthy trace of the streak that lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad: Option<Box<Brief>>,
    /// Was the newest trace that says anything of the target that one?
    pub last_was_bad: bool,
    /// Did the newest trace say only that we are at fault ourselves?
    pub last_was_ours: bool,
    /// What the newest trace of the target warned of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warned: Vec<(Cause, BTreeSet<Party>)>,
    /// When the first trace in a row began that warned of anything.
    #[serde(skip_serializing_if = "When::is_none")]
    pub warned_since: When,
    /// When the first unhealthy trace of the streak began.
    #[serde(skip_serializing_if = "When::is_none")]
    pub first_bad_trace: When,
    /// Healthy traces in a row.
    pub good: u8,
    /// When the first of them began.
    #[serde(skip_serializing_if = "When::is_none")]
    pub good_since: When,
    /// Where runs fail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<Path>,
    /// The first failing run of the streak.
    #[serde(skip_serializing_if = "When::is_none")]
    pub streak: When,
    /// Good runs since the last failing one.
    oks: u32,
    /// The last failing run.
    #[serde(skip_serializing_if = "When::is_none")]
    pub last_bad_run: When,
    /// The first good run after everything bad, where it can tell.
    #[serde(skip_serializing_if = "When::is_none")]
    pub first_ok: When,
    /// The newest sight of it, good or bad.
    pub last_seen: When,
    /// The newest sight that was good.
    pub last_good: When,
    /// The interval of its runs, milliseconds.
    pub every: u32,
    /// The detector says that it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarm: Option<Box<Alarm>>,
    /// The detector says that it is slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<Box<Alarm>>,
    /// Its failure is not told while nobody else sees it: when a trace of it was last asked for.
    #[serde(skip_serializing_if = "When::is_none")]
    pub alone: When,
    /// Is it traced more often than usual?
    pub followed: bool,
}

impl Watch {
    /// Is there anything to remember that only a failure leaves behind?
    pub(super) fn is_amiss(&self) -> bool {
        self.bad.is_some()
            || self.last_was_bad
            || self.last_was_ours
            || self.followed
            || self.streak.is_some()
            || self.alarm.is_some()
            || self.slow.is_some()
            || !self.paths.is_empty()
            || !self.warned.is_empty()
    }

    /// Takes in a run.
    pub(super) fn ran(&mut self, run: &Run) {
        self.every = run.every;
        let began = run.began();
        match run.outcome {
            RunOutcome::NotRun => return,
            RunOutcome::Ok => self.ran_well(run, began),
            RunOutcome::Wrong | RunOutcome::Failed => self.ran_badly(run, began),
        }
        self.last_seen = self.last_seen.max(When::at(began));
    }

    fn ran_well(&mut self, run: &Run, began: Timestamp) {
        self.last_good = self.last_good.max(When::at(began));
        for path in &mut self.paths {
            let same =
                path.resolver.as_deref() == run.resolver.as_deref() && path.address == run.address;
            path.good = path.good.saturating_add(u8::from(same));
        }
        let failing = self.bad.as_ref();
        let through: BTreeSet<&str> = failing
            .iter()
            .filter(|b| b.verdict == Verdict::Degraded)
            .flat_map(|b| b.roots.iter().flat_map(|r| &r.scope.resolvers))
            .map(String::as_str)
            .collect();
        // Where only some paths fail, a good run on another one is no healing.
        let tells =
            through.is_empty() || run.resolver.as_deref().is_some_and(|r| through.contains(r));
        let after = self.last_bad_run.max(failing.map(|b| b.began).into());
        if tells && self.first_ok.is_none() && after.get().is_some_and(|a| began > a) {
            self.first_ok = When::at(began);
        }
        self.oks = self.oks.saturating_add(1);
        if self.alarm.is_some() || self.followed {
            return;
        }
        // A lone bad trace that opened nothing, and that a good one and many good runs belie.
        if failing.is_some() && self.good > 0 && self.oks > STREAK_OVER {
            self.calm();
        }
        if self.bad.is_some() {
            return;
        }
        self.paths.retain(|p| p.good < PATH_WELL);
        if self.oks > STREAK_OVER {
            self.paths.clear();
            self.streak = When::default();
        }
    }

    fn ran_badly(&mut self, run: &Run, began: Timestamp) {
        self.oks = 0;
        self.first_ok = When::default();
        self.last_bad_run = self.last_bad_run.max(When::at(began));
        self.streak = When::at(self.streak.get().map_or(began, |s| s.min(began)));
        let resolver = run.resolver.as_deref();
        let symptom = run.symptom.as_deref().map(str::to_owned);
        let known = self
            .paths
            .iter_mut()
            .find(|p| p.resolver.as_deref() == resolver && p.address == run.address);
        if let Some(path) = known {
            path.first = path.first.min(began);
            path.last = path.last.max(began);
            path.good = 0;
            path.layer = run.layer;
            path.symptom = symptom;
            path.evidence = run.evidence.or(path.evidence);
            return;
        }
        if self.paths.len() >= PATHS_MAX
            && let Some(oldest) = (0..self.paths.len()).min_by_key(|i| self.paths[*i].last)
        {
            self.paths.remove(oldest);
        }
        self.paths.push(Path {
            resolver: resolver.map(str::to_owned),
            address: run.address,
            layer: run.layer,
            symptom,
            evidence: run.evidence,
            first: began,
            last: began,
            good: 0,
        });
        self.paths.sort_by(|a, b| {
            (a.first, &a.resolver, a.address).cmp(&(b.first, &b.resolver, b.address))
        });
    }

    /// Takes in a trace. Returns what the one before it can confirm.
    pub(super) fn traced(&mut self, brief: &Brief) -> Before {
        let near = |b: &Brief| !is_past(b.began, CONFIRM_WITHIN, brief.began);
        let bad = self.bad.as_ref().filter(|b| self.last_was_bad && near(b));
        let before = Before {
            bad: bad.map(|b| (b.began, b.roots.iter().map(|root| root.cause).collect())),
            ours: self.last_was_ours,
            warned: self.warned.clone(),
        };
        self.last_trace = When::at(brief.began);
        self.last_was_ours = brief.verdict == Verdict::Unknown;
        match brief.verdict {
            Verdict::Healthy => {
                self.last_seen = self.last_seen.max(When::at(brief.began));
                self.last_good = self.last_good.max(When::at(brief.began));
                self.good = self.good.saturating_add(1);
                self.good_since.or_at(brief.began);
            }
            Verdict::Degraded | Verdict::Broken => {
                self.last_seen = self.last_seen.max(When::at(brief.began));
                self.good = 0;
                self.good_since = When::default();
                self.first_ok = When::default();
                self.first_bad_trace.or_at(brief.began);
            }
            // About us: nothing is known of the target.
            Verdict::Unknown => {}
        }
        before
    }

    /// Keeps a trace for the next one.
    pub(super) fn keep(&mut self, brief: Brief) {
        if brief.verdict == Verdict::Unknown {
            return;
        }
        let warned = brief.warnings.iter();
        self.warned = warned.map(|w| (w.cause, w.parties.clone())).collect();
        match self.warned.is_empty() {
            true => self.warned_since = When::default(),
            false => self.warned_since.or_at(brief.began),
        }
        self.last_was_bad = brief.is_bad();
        if brief.is_bad() {
            self.bad = Some(Box::new(brief));
        }
        if self.good >= 2 && self.alarm.is_none() {
            self.calm();
        }
    }

    /// The newest trace, if it was unhealthy, and is near enough to what is learned now.
    pub(super) fn waiting(&self, now: Timestamp) -> Option<Brief> {
        self.newly_bad(now).cloned()
    }

    fn newly_bad(&self, now: Timestamp) -> Option<&Brief> {
        let bad = self.bad.as_deref().filter(|_| self.last_was_bad);
        bad.filter(|b| !is_past(b.began, CONFIRM_WITHIN, now))
    }

    /// Does it fail there, by the newest run or trace?
    pub(super) fn sees_it_fail(&self, now: Timestamp) -> bool {
        self.alarm.is_some() || self.runs_fail() || self.newly_bad(now).is_some()
    }

    /// How often it runs.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(u64::from(self.every))
    }

    /// The streak is over.
    pub(super) fn calm(&mut self) {
        self.bad = None;
        self.last_was_bad = false;
        self.first_bad_trace = When::default();
        self.paths.clear();
        self.streak = When::default();
        self.last_bad_run = When::default();
        self.first_ok = When::default();
    }

    /// Since when it fails: the first failing round of the streak.
    pub(super) fn failing_since(&self) -> Option<Timestamp> {
        let by_path = self.paths.iter().map(|p| p.first).min();
        let by_alarm = self.alarm.as_ref().map(|a| a.since);
        let by_run = match (by_alarm, self.streak.get()) {
            // What the detector reckons into the trouble, and no lost packet before it.
            (Some(alarm), Some(streak)) if alarm <= streak => Some(streak),
            (Some(alarm), _) => Some(by_path.map_or(alarm, |p| p.min(alarm))),
            (None, _) => by_path,
        };
        match (by_run, self.first_bad_trace.get()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Since when users are served again, if they are.
    pub(super) fn healed_at(&self) -> Option<Timestamp> {
        let by_trace = self
            .good_since
            .get()
            .filter(|_| self.last_bad_run < self.good_since);
        match (self.first_ok.get(), by_trace) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Do runs fail now?
    pub(super) fn runs_fail(&self) -> bool {
        self.last_bad_run.is_some() && self.first_ok.is_none()
    }

    /// Did runs of an open incident's check just begin to be served? Two in a row, so that what fails
    /// now and then does not ask each time.
    pub(super) fn seems_well(&self) -> bool {
        self.followed && self.oks == SEEMS_WELL && self.first_ok.is_some() && self.good == 0
    }

    /// May runs fail now, for all that is known? Where some fail and others do not, a good one says
    /// little.
    pub(super) fn may_fail(&self) -> bool {
        self.last_bad_run.is_some() && self.oks < SOME_FAIL
    }

    /// When runs through a resolver, or to an address, first failed after a time.
    pub(super) fn first_failing(&self, what: &str, after: Option<Timestamp>) -> Option<Timestamp> {
        let is_it = |p: &&Path| {
            p.resolver.as_deref() == Some(what) || p.address.is_some_and(|a| a.to_string() == what)
        };
        let firsts = self.paths.iter().filter(is_it).map(|p| p.first);
        firsts
            .min()
            .filter(|first| after.is_none_or(|a| *first > a))
    }
}
