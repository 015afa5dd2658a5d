//! What is true now, as it is told by API, page, metrics and command line.
//!
//! One writer (the judge) and many readers, who take a copy of what they need. What is too old to
//! be true is told as unknown by [`Board::service`], not by each reader.

mod checks;
mod last;
mod place;
mod places;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bellwether_config::Config;
use bellwether_diagnose::vantages::{Standing, is_late};
use bellwether_model::report::LayerReport;
use bellwether_model::run::RunOutcome;
use bellwether_model::{Cause, CheckId, Digest, Run, VantageId, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use places::KeptPlace;

pub use checks::Checks;
pub use last::LastRuns;
pub use places::{Judgement, Places, Standings};

/// What the keys of the board's checkpoints begin with.
pub const CHECKPOINT: &str = "board";

/// How long after the first interval that brought no result a verdict counts as too old: the second
/// result was to come by then, and has this long to arrive.
pub const STALE_GRACE: Duration = Duration::from_secs(10);

/// So many runs in a row, by several resolvers and addresses, stand for a first trace that has not
/// come yet: those of many checks are spread over a quarter of an hour.
pub const SERVED_MIN: u32 = 5;
/// What is told of a check whose report is healthy.
pub(crate) const ALL_WORKS: &str = "every path that a user could take works";
/// What is told of so many runs.
const SERVED: &str = "5 runs in a row were served";
const _: () = assert!(SERVED_MIN == 5, "the sentence says how many");

/// What is true now.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// Services by name.
    pub services: BTreeMap<String, ServiceState>,
    /// Checks by id.
    pub checks: Checks,
    /// How each configured vantage stands.
    pub vantages: Standings,
    /// Services whose faults are expected now.
    pub maintenance: BTreeMap<String, Maintained>,
    /// The services that each incident which is not resolved was put to.
    placed: BTreeMap<u64, Vec<String>>,
}

/// Why faults of a service are expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintained {
    /// The maintenance, by name.
    pub name: String,
    /// Until when, at least.
    pub until: Timestamp,
}

/// A service as it stands.
#[derive(Clone, Debug)]
pub struct ServiceState {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Services whose incidents may explain this one's.
    pub needs: Vec<String>,
    /// The worst of its checks.
    pub verdict: Verdict,
    /// The cause, where one is known.
    pub cause: Option<Cause>,
    /// One sentence, of the worst of its checks.
    pub summary: Cow<'static, str>,
    /// Since when the verdict is what it is; `None` before the first.
    pub since: Option<Timestamp>,
    /// Its checks.
    pub checks: Vec<CheckId>,
    /// Incidents that are not resolved.
    pub incidents: Vec<u64>,
    /// Why the verdict is unknown, where it is and something was judged.
    pub why_unknown: Option<String>,
}

/// A check as it stands.
#[derive(Clone, Debug)]
pub struct CheckState {
    /// Where its target is, as text.
    pub target: Box<str>,
    /// How often.
    pub every: Duration,
    /// When it came into the configuration of this process.
    pub known_since: Timestamp,
    /// What became of it.
    pub verdict: Verdict,
    /// The cause, where one is known.
    pub cause: Option<Cause>,
    /// One sentence; what very many are told is held once.
    pub summary: Cow<'static, str>,
    /// Since when the verdict is what it is.
    pub since: Option<Timestamp>,
    /// When it was last judged, by a run that said something or by a trace.
    pub judged_at: Option<Timestamp>,
    /// The layers as of the last trace.
    pub layers: Vec<LayerReport>,
    /// When that trace was made.
    pub traced_at: Option<Timestamp>,
    /// The report of that trace, where it is kept.
    pub evidence: Option<Digest>,
    /// The last run at each vantage.
    pub last: LastRuns,
    /// Its probes bring down workers: how.
    pub poisoned: Option<String>,
    /// Runs in a row that were served before anything was traced.
    pub served: u32,
    /// What each vantage says, where there are several.
    pub(crate) places: Option<Box<Places>>,
}

impl CheckState {
    /// Until when what is known holds: from then on it is unknown.
    #[must_use]
    pub fn holds_until(&self) -> Timestamp {
        let until = self.heard_at().checked_add(self.every + STALE_GRACE);
        until.unwrap_or(Timestamp::MAX)
    }

    /// Is what is known too old to be true? Then the verdict is unknown.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.holds_until() < now
    }

    /// When it was last heard of, or began to be asked.
    fn heard_at(&self) -> Timestamp {
        self.judged_at.unwrap_or(self.known_since)
    }

    /// Takes in its newest run. Tells whether what is told of it is another by that.
    fn ran(&mut self, run: Run, standings: &Standings, now: Timestamp) -> bool {
        let mut is_news = false;
        if run.outcome != RunOutcome::NotRun {
            let began = run.began().min(now);
            is_news = self.is_stale(now);
            if let Some(places) = &mut self.places {
                places.ran(&run, began);
                let is_heard = standings.get(&run.vantage).is_some_and(|s| s.is_heard);
                if is_heard {
                    self.judged_at = self.judged_at.max(Some(began));
                }
                is_news |= self.combine(standings, now);
            } else {
                is_news |= self.at(&run.vantage, |own| own.ran(&run, began));
            }
        }
        self.last.insert(run);
        is_news
    }
}

/// A service as it is told: what is stale is unknown.
#[derive(Clone, Debug)]
pub struct Told {
    /// The verdict.
    pub verdict: Verdict,
    /// The cause, where one is known.
    pub cause: Option<Cause>,
    /// Is what is known too old?
    pub stale: bool,
}

/// What is kept of a check over a restart.
#[derive(Debug, Serialize, Deserialize)]
struct Kept<'k> {
    check: Cow<'k, CheckId>,
    verdict: Verdict,
    #[serde(default)]
    cause: Option<Cause>,
    summary: Cow<'k, str>,
    since: Timestamp,
    #[serde(default)]
    judged_at: Option<Timestamp>,
    #[serde(default)]
    traced_at: Option<Timestamp>,
    #[serde(default)]
    evidence: Option<Digest>,
    #[serde(default)]
    layers: Cow<'k, [LayerReport]>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    vantages: Vec<KeptPlace>,
}

impl Board {
    /// A service as it is told at a time.
    #[must_use]
    pub fn service(&self, name: &str, now: Timestamp) -> Option<Told> {
        let service = self.services.get(name)?;
        let checks = service.checks.iter().filter_map(|id| self.checks.get(id));
        let mut worst = None;
        let mut is_any_stale = false;
        for check in checks {
            // A stale check is unknown, and says nothing of the others.
            let is_stale = check.is_stale(now);
            let verdict = match is_stale {
                true => Verdict::Unknown,
                false => check.verdict,
            };
            is_any_stale |= is_stale;
            // Of equally bad ones the last.
            if worst.is_none_or(|(known, _)| weight(known) <= weight(verdict)) {
                worst = Some((verdict, check.cause));
            }
        }
        let (verdict, cause) = worst.unwrap_or((service.verdict, service.cause));
        Some(Told {
            verdict,
            cause,
            stale: is_any_stale,
        })
    }

    /// When a service was last judged: the oldest of its checks' last judgements.
    #[must_use]
    pub fn judged_at(&self, service: &ServiceState) -> Option<Timestamp> {
        let checks = service.checks.iter().filter_map(|id| self.checks.get(id));
        checks.map(|check| check.judged_at).min().flatten()
    }

    /// Why a service's verdict is unknown, where it is and nothing of it is stale.
    #[must_use]
    pub fn why_unknown(&self, service: &ServiceState, now: Timestamp) -> Option<String> {
        if service.why_unknown.is_some() || service.verdict != Verdict::Unknown {
            return service.why_unknown.clone();
        }
        let waits = self.worst(service)?;
        let waits = now.duration_since(waits.known_since).as_secs().max(0);
        Some(format!("not judged yet, {waits} s after the start"))
    }

    /// Takes in a run of a check as it is configured now. Tells whether what is told of its service may
    /// be another by that; `None` of a run that came late, of a check that is gone or asked another
    /// thing: that is history, and no more.
    pub(crate) fn ran(&mut self, run: &Run, now: Timestamp) -> Option<bool> {
        let check = self.checks.get_mut(&run.check)?;
        let began = run.began();
        // What an agent elsewhere sends a second time is no second run.
        let is_local = run.vantage.as_str() == VantageId::LOCAL;
        let last = check.last.get(&run.vantage).filter(|_| !is_local);
        let is_new = last.is_none_or(|last| run.due > last.due);
        let is_current = is_new && began >= check.known_since && !is_late(began, check.every, now);
        is_current.then(|| check.ran(run.clone(), &self.vantages, now))
    }

    /// Which vantages may be heard from now on. Tells of which services the verdict may be another.
    pub fn stand(&mut self, standings: Standings, now: Timestamp) -> BTreeSet<String> {
        let before = std::mem::replace(&mut self.vantages, standings);
        match self.vantages == before {
            true => BTreeSet::new(),
            false => {
                self.look_anew();
                self.recount(now)
            }
        }
    }

    /// Puts together anew what the vantages say. Tells of which services the verdict may be another.
    pub fn recount(&mut self, now: Timestamp) -> BTreeSet<String> {
        self.recount_of(|_| true, now)
    }

    /// The same, of those checks only of which what a vantage says grew too old: nothing else becomes
    /// another by time alone.
    pub fn grow_old(&mut self, now: Timestamp) -> BTreeSet<String> {
        self.recount_of(|places| !places.is_fresh(now), now)
    }

    fn recount_of(&mut self, is_due: impl Fn(&Places) -> bool, now: Timestamp) -> BTreeSet<String> {
        let mut services = BTreeSet::new();
        if self.vantages.len() < 2 {
            return services;
        }
        for (id, check) in self.checks.iter_mut() {
            let is_due = check.places().is_some_and(&is_due);
            if is_due && check.combine(&self.vantages, now) {
                services.insert(id.service().to_owned());
            }
        }
        services
    }

    /// Another vantage is to give results, or gives none by what is wrong with it: which checks are in
    /// time is to be looked at anew.
    pub fn look_anew(&mut self) {
        for check in self.checks.values_mut() {
            check.in_time_until(Timestamp::MIN);
        }
    }

    /// Nothing said before of checks that bring down workers at a vantage holds any longer.
    pub(crate) fn unpoison(&mut self, vantage: &VantageId) {
        for state in self.checks.values_mut() {
            match &mut state.places {
                Some(places) => places.unpoison(vantage),
                None => state.poisoned = None,
            }
        }
    }

    /// Puts together what the vantages say of a check.
    pub(crate) fn combine(&mut self, check: &CheckId, now: Timestamp) {
        if let Some(state) = self.checks.get_mut(check) {
            state.combine(&self.vantages, now);
        }
    }

    /// Since when a service is stale: the first of its checks to have become so.
    #[must_use]
    pub fn stale_since(&self, name: &str, now: Timestamp) -> Option<Timestamp> {
        let service = self.services.get(name)?;
        let checks = service.checks.iter().filter_map(|id| self.checks.get(id));
        let stale = checks.filter(|check| check.is_stale(now));
        stale.map(CheckState::holds_until).min()
    }

    /// Takes over a configuration; what stays keeps its state. Tells which checks are gone.
    pub fn configure(&mut self, config: &Config, now: Timestamp) -> Vec<CheckId> {
        let known = std::mem::take(&mut self.checks);
        let mut known: HashMap<CheckId, CheckState> = known.into_iter().collect();
        let mut all = Vec::new();
        let mut services = BTreeMap::new();
        for service in &config.services {
            let mut checks = Vec::with_capacity(service.checks.len());
            for check in &service.checks {
                let id = CheckId::new(&service.name, &check.name);
                let mut state = known.remove(&id).unwrap_or_else(|| CheckState::new(now));
                // What a `${…}` stood for is never told, by whomever the board is read.
                state.target = config.scrub(&check.target.text).into();
                state.every = check.every;
                all.push((id.clone(), state));
                checks.push(id);
            }
            let before = self.services.remove(&service.name);
            let mut state = before.unwrap_or_else(ServiceState::new);
            let labels = service.labels.iter();
            state.labels = labels
                .map(|(name, value)| (name.clone(), config.scrub(value)))
                .collect();
            state.needs.clone_from(&service.needs);
            state.checks = checks;
            services.insert(service.name.clone(), state);
        }
        self.services = services;
        self.checks = all.into_iter().collect();
        self.divide(config);
        self.sum_all_up();
        let mut gone: Vec<CheckId> = known.into_keys().collect();
        gone.sort_unstable();
        gone
    }

    /// Each vantage of a configuration has a standing, and says something of each check.
    fn divide(&mut self, config: &Config) {
        let local = (VantageId::new(VantageId::LOCAL), None);
        let named = config.vantages.iter();
        let named = named.map(|one| (VantageId::new(&one.name), one.network));
        let mut before = std::mem::take(&mut self.vantages);
        for (id, network) in [local].into_iter().chain(named) {
            let mut standing = before.remove(&id).unwrap_or(Standing {
                is_heard: true,
                amiss: None,
                since: None,
                network,
            });
            standing.network = network;
            self.vantages.insert(id, standing);
        }
        for check in self.checks.values_mut() {
            check.divide(&self.vantages);
        }
    }

    /// The wall clock was moved. What would now be in the future counts as of now, so that it grows old
    /// as it must; and what could not be asked by the new time yet is not silent.
    pub fn clock_moved(&mut self, now: Timestamp) {
        let at_most_now = |at: &mut Option<Timestamp>| *at = at.map(|at| at.min(now));
        for check in self.checks.values_mut() {
            check.known_since = now;
            at_most_now(&mut check.judged_at);
            at_most_now(&mut check.traced_at);
            at_most_now(&mut check.since);
            if let Some(places) = &mut check.places {
                places.clock_moved(now);
            }
            check.last.clock_moved(now);
        }
        self.sum_all_up();
        for service in self.services.values_mut() {
            at_most_now(&mut service.since);
        }
    }

    fn worst(&self, service: &ServiceState) -> Option<&CheckState> {
        let checks = service.checks.iter().filter_map(|id| self.checks.get(id));
        checks.max_by_key(|check| weight(check.verdict))
    }

    fn sum_all_up(&mut self) {
        for service in self.services.values_mut() {
            sum_up(service, &self.checks);
        }
    }

    /// Puts a service together from its checks: the worst counts.
    pub fn sum_up(&mut self, name: &str) {
        if let Some(service) = self.services.get_mut(name) {
            sum_up(service, &self.checks);
        }
    }

    /// What is to be known of these checks after a restart.
    #[must_use]
    pub fn checkpoint_of<'c>(&self, checks: impl IntoIterator<Item = &'c CheckId>) -> Vec<u8> {
        let kept: Vec<Kept<'_>> = checks
            .into_iter()
            .filter_map(|id| {
                let check = self.checks.get(id)?;
                Some(Kept {
                    check: Cow::Borrowed(id),
                    verdict: check.verdict,
                    cause: check.cause,
                    summary: Cow::Borrowed(&check.summary),
                    since: check.since?,
                    judged_at: check.judged_at,
                    traced_at: check.traced_at,
                    evidence: check.evidence,
                    layers: Cow::Borrowed(&check.layers),
                    vantages: check.places().map(Places::kept).unwrap_or_default(),
                })
            })
            .collect();
        serde_json::to_vec(&kept).unwrap_or_default()
    }

    /// Takes over what was known before a restart, of checks that are still configured; of what was
    /// said twice of one the newer. A verdict keeps its age: what is too old by now is told as
    /// unknown.
    pub fn restore<'b>(&mut self, parts: impl IntoIterator<Item = &'b [u8]>) {
        // One that another version wrote costs the others nothing.
        let mut unread = 0;
        for bytes in parts {
            let kept: Vec<serde_json::Value> =
                serde_json::from_slice(bytes).unwrap_or_else(|error| {
                    tracing::warn!(%error, "what was known before the restart cannot be read");
                    Vec::new()
                });
            for kept in kept {
                match serde_json::from_value::<Kept<'_>>(kept) {
                    Ok(kept) => self.recall(kept),
                    Err(error) => {
                        if unread == 0 {
                            tracing::warn!(%error, "what was known of a check cannot be read");
                        }
                        unread += 1;
                    }
                }
            }
        }
        if unread > 0 {
            tracing::warn!(unread, "checks are judged anew after the restart");
        }
        self.sum_all_up();
    }

    fn recall(&mut self, kept: Kept<'_>) {
        let Some(check) = self.checks.get_mut(&kept.check) else {
            return;
        };
        if check.judged_at > kept.judged_at {
            return;
        }
        let is_many = check.places.is_some();
        if let Some(places) = &mut check.places {
            kept.vantages.into_iter().for_each(|one| places.recall(one));
        }
        check.verdict = kept.verdict;
        check.cause = kept.cause;
        check.summary = known(kept.summary.into_owned());
        check.since = Some(kept.since);
        check.judged_at = kept.judged_at;
        check.traced_at = kept.traced_at;
        check.evidence = kept.evidence;
        check.layers = kept.layers.into_owned();
        if !is_many {
            return;
        }
        // Where there was one vantage before, it is that one's.
        let local = VantageId::new(VantageId::LOCAL);
        let is_known = check
            .places()
            .is_some_and(|p| p.iter().any(|(_, j)| j.since.is_some()));
        let (layers, traced_at, evidence) = (check.layers.clone(), check.traced_at, check.evidence);
        let (verdict, cause, summary) = (check.verdict, check.cause, check.summary.clone());
        let (since, judged_at) = (check.since, check.judged_at);
        if !is_known {
            check.at(&local, |place| {
                (place.verdict, place.cause, place.summary) = (Some(verdict), cause, summary);
                (place.since, place.judged_at) = (since, judged_at);
                (place.layers, place.traced_at, place.evidence) = (layers, traced_at, evidence);
            });
        }
    }
}

/// A sentence; what very many are told is held once.
fn known(summary: String) -> Cow<'static, str> {
    match summary.as_str() {
        ALL_WORKS => Cow::Borrowed(ALL_WORKS),
        SERVED => Cow::Borrowed(SERVED),
        _ => Cow::Owned(summary),
    }
}

impl CheckState {
    fn new(now: Timestamp) -> Self {
        Self {
            target: Box::default(),
            every: Duration::ZERO,
            known_since: now,
            verdict: Verdict::Unknown,
            cause: None,
            summary: Cow::Borrowed(""),
            since: None,
            judged_at: None,
            layers: Vec::new(),
            traced_at: None,
            evidence: None,
            last: LastRuns::default(),
            poisoned: None,
            served: 0,
            places: None,
        }
    }
}

impl ServiceState {
    fn new() -> Self {
        Self {
            labels: BTreeMap::new(),
            needs: Vec::new(),
            verdict: Verdict::Unknown,
            cause: None,
            summary: Cow::Borrowed(""),
            since: None,
            checks: Vec::new(),
            incidents: Vec::new(),
            why_unknown: None,
        }
    }
}

/// Puts a service together from its checks.
fn sum_up(service: &mut ServiceState, checks: &Checks) {
    let of_it = service.checks.iter().filter_map(|id| checks.get(id));
    let Some(worst) = of_it.max_by_key(|check| weight(check.verdict)) else {
        return;
    };
    service.cause = worst.cause;
    if service.verdict != worst.verdict || service.since.is_none() {
        service.since = worst.since;
    }
    service.verdict = worst.verdict;
    service.summary.clone_from(&worst.summary);
    let is_judged = worst.judged_at.is_some();
    let is_unknown = worst.verdict == Verdict::Unknown;
    service.why_unknown = (is_unknown && is_judged).then(|| worst.summary.clone().into_owned());
}

/// Which of several verdicts a service has: users who fail count more than what is not known.
pub(crate) fn weight(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Healthy => 0,
        Verdict::Unknown => 1,
        Verdict::Degraded => 2,
        Verdict::Broken => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_entry_costs_no_other() {
        let now = Timestamp::UNIX_EPOCH;
        let config = |text| bellwether_config::parse(text, "bellwether.yaml".as_ref()).unwrap();
        let config = config(
            "services: [{ name: a, url: https://a.example/ }, { name: b, url: https://b.example/ }]",
        );
        let mut before = Board::default();
        before.configure(&config, now);
        for check in before.checks.values_mut() {
            check.verdict = Verdict::Healthy;
            check.since = Some(now);
        }
        let mut kept: serde_json::Value =
            serde_json::from_slice(&before.checkpoint_of(before.checks.keys())).unwrap();
        kept[0]["verdict"] = "of another version".into();
        let mut after = Board::default();
        after.configure(&config, now);
        after.restore([kept.to_string().as_bytes()]);
        let verdict = |name| after.services[name].verdict;
        assert_eq!(verdict("a"), Verdict::Unknown);
        assert_eq!(verdict("b"), Verdict::Healthy);
    }
}
