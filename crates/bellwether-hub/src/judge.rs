//! Judging: what agents harvest becomes verdicts and incidents.
//!
//! One owner of all that is judged, so that order is plain: runs go to be kept and to detection,
//! traces are diagnosed, both are folded into the [`Book`] of incidents, and what changes is stored
//! before it is told. Should it panic, it is made again from what was stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bellwether_agent::{Harvest, Own, Trace};
use bellwether_diagnose::detect::{Detector, Heard};
use bellwether_diagnose::incidents::{self, AlarmKind, Book, JudgedTrace, Update};
use bellwether_diagnose::report::Seen;
use bellwether_model::run::{RunOutcome, Trigger};
use bellwether_model::{CheckId, Digest, Incident, Report, Run, VantageId, Verdict};
use bellwether_store::{Change, StoreError};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::agents::Agents;
use crate::board::{CheckState, SERVED_MIN};
use crate::freshness;
use crate::keep::Keeper;
use crate::shared::{Act, ActError, ActKind, Configured, Event, Shared};
use crate::signals;

/// How often time alone is looked at: holds that end, results that did not come.
const TICK: Duration = Duration::from_secs(1);
/// How often the state of detection is written down.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);
/// While it stays broken in the same way, a report is kept this often.
const EVIDENCE_EVERY: Duration = Duration::from_secs(600);
/// What was harvested at once is taken at once, up to this many.
const AT_ONCE: usize = 256;
/// Changes that wait for a store that takes none: beyond it, the oldest evidence is given up.
const UNSAVED_MAX: usize = 4_096;

/// Keys of checkpoints.
const DETECTION: &str = "detection";
const INCIDENTS: &str = "incidents";
/// Before a check's id: what was last known good of it.
pub const BASELINE: &str = "baseline/";

/// What the judge takes in. It outlives the judge.
pub struct Inbox {
    /// From the agents.
    pub harvest: mpsc::Receiver<Harvest>,
    /// From people.
    pub acts: mpsc::Receiver<Act>,
    /// A new configuration is in force.
    pub configured: mpsc::Receiver<Arc<Configured>>,
    /// No more will come: what is there is taken in, and that is all.
    pub ends: watch::Receiver<bool>,
}

/// The judge.
pub struct Judge {
    shared: Arc<Shared>,
    agents: Agents,
    keeper: Keeper,
    book: Book,
    detector: Detector,
    /// What stands in the last report kept of each check.
    kept: BTreeMap<CheckId, Kept>,
    /// What could not be stored yet, oldest first.
    unsaved: Vec<Change>,
    /// Checks that gave no result for two intervals.
    silent: BTreeSet<CheckId>,
    checkpointed: Timestamp,
}

/// The last report that was kept of a check.
struct Kept {
    at: Timestamp,
    verdict: Verdict,
    cause: Option<bellwether_model::Cause>,
}

impl Judge {
    /// From what was stored.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn restore(
        shared: Arc<Shared>,
        agents: Agents,
        keeper: Keeper,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let state = &shared.state;
        let memory = state.checkpoint(INCIDENTS)?;
        let open = state.open_incidents()?;
        let book = Book::restore(open, memory.as_deref(), state.next_incident()?);
        let detection = state.checkpoint(DETECTION)?;
        let mut judge = Self {
            shared,
            agents,
            keeper,
            book,
            detector: Detector::default(),
            kept: BTreeMap::new(),
            unsaved: Vec::new(),
            silent: BTreeSet::new(),
            checkpointed: now,
        };
        let configured = judge.shared.configured.load_full();
        judge.configure(&configured, now);
        // One of another version is learned anew.
        if let Some(bytes) = detection
            && let Err(error) = judge.detector.restore(&bytes)
        {
            tracing::warn!(%error, "what detection had learned cannot be read; it is learned anew");
        }
        judge.reconcile(now);
        Ok(judge)
    }

    /// The book may know of an alarm that detection, whose state is written down more rarely, does
    /// not know of, and would never take back. It is raised again if runs go on failing.
    fn reconcile(&mut self, now: Timestamp) {
        let checks: Vec<CheckId> = self.shared.board(|b| b.checks.keys().cloned().collect());
        let vantage = VantageId::new(VantageId::LOCAL);
        let mut updates = Vec::new();
        for check in checks {
            if self.detector.is_open(&check) || self.book.of_check(&check).is_empty() {
                continue;
            }
            for kind in [AlarmKind::Failing, AlarmKind::Slow] {
                let signal = incidents::Signal::Clear {
                    check: check.clone(),
                    vantage: vantage.clone(),
                    kind,
                };
                updates.extend(self.book.signal(&signal, now));
            }
        }
        self.update(updates, Vec::new(), now);
    }

    /// Judges until the inbox is closed.
    pub async fn run(mut self, inbox: &mut Inbox) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut harvest = Vec::with_capacity(AT_ONCE);
        loop {
            tokio::select! {
                biased;
                Some(configured) = inbox.configured.recv() => {
                    self.configure(&configured, Timestamp::now());
                }
                Some(act) = inbox.acts.recv() => self.act(act, Timestamp::now()),
                _ = tick.tick() => self.tick(Timestamp::now()),
                _ = inbox.harvest.recv_many(&mut harvest, AT_ONCE) => {
                    let now = Timestamp::now();
                    for one in harvest.drain(..) {
                        self.take(one, now);
                    }
                }
                _ = inbox.ends.wait_for(|ends| *ends) => {
                    while let Ok(one) = inbox.harvest.try_recv() {
                        self.take(one, Timestamp::now());
                    }
                    self.checkpoint(Timestamp::now());
                    return;
                }
            }
            self.shared.judge_beat();
        }
    }

    fn take(&mut self, harvest: Harvest, now: Timestamp) {
        match harvest {
            Harvest::Run(run) => self.ran(run, now),
            Harvest::Trace(trace) => self.traced(*trace, now),
            Harvest::Own(own) => self.own(&own),
        }
    }

    fn ran(&mut self, run: Run, now: Timestamp) {
        let figures = &self.shared.figures;
        figures.runs[run.outcome as usize].fetch_add(1, Ordering::Relaxed);
        if run.trigger == Trigger::Schedule {
            let late = Duration::from_micros(u64::from(run.late));
            figures.lateness.observe(late);
        }
        let mut updates = Vec::new();
        for signal in self.detector.step(&Heard::of(&run), now) {
            if let Some(signal) = signals::of(&signal) {
                updates.extend(self.book.signal(&signal, now));
            }
        }
        updates.extend(self.book.ran(&run, now));
        if run.outcome != RunOutcome::NotRun {
            let began = run.began();
            self.shared.board_mut(|board| {
                if let Some(check) = board.checks.get_mut(&run.check) {
                    check.judged_at = check.judged_at.max(Some(began));
                    check.served = match run.outcome {
                        RunOutcome::Ok => check.served.saturating_add(1),
                        RunOutcome::Wrong | RunOutcome::Failed | RunOutcome::NotRun => 0,
                    };
                    if check.since.is_none() && check.served >= SERVED_MIN {
                        check.verdict = Verdict::Healthy;
                        check.since = Some(began);
                        check.summary = format!("{SERVED_MIN} runs in a row were served");
                    }
                }
            });
        }
        self.shared.board_mut(|board| {
            if let Some(check) = board.checks.get_mut(&run.check) {
                check.last.insert(run.vantage.clone(), run.clone());
            }
        });
        let service = run.check.service().to_owned();
        self.keeper.keep(run);
        self.update(updates, Vec::new(), now);
        self.tell(&service, now);
    }

    fn traced(&mut self, trace: Trace, now: Timestamp) {
        self.shared.figures.traces.fetch_add(1, Ordering::Relaxed);
        let Trace {
            check,
            context,
            began,
            took_ms,
            queries,
            observations,
            why: _,
        } = trace;
        let vantage = VantageId::new(&context.vantage);
        let version = self.shared.version;
        let seen = Seen {
            context,
            began,
            took_ms,
            queries,
            peak_kib: None,
            observations,
        };
        // A rule that panics over what a stranger sent costs this trace alone.
        let judged =
            std::panic::catch_unwind(move || bellwether_diagnose::report::report(seen, version));
        let Ok(report) = judged else {
            self.shared
                .figures
                .judge_panics
                .fetch_add(1, Ordering::Relaxed);
            tracing::error!(%check, "a trace cannot be judged: the rules panicked over it");
            return;
        };
        self.judged(&check, &vantage, &self.without_secrets(report), now);
    }

    /// A report without what a `${…}` of the configuration stood for, in a URL for example: what
    /// is kept and shown goes by this, and gives the same verdict.
    fn without_secrets(&self, report: Report) -> Report {
        let configured = self.shared.configured.load();
        if configured.config.secrets.is_empty() {
            return report;
        }
        let Ok(text) = serde_json::to_string(&report) else {
            return report;
        };
        let scrubbed = configured.config.scrub(&text);
        if scrubbed == text {
            return report;
        }
        serde_json::from_str(&scrubbed).unwrap_or(report)
    }

    /// A judged trace goes into the book and onto the board.
    fn judged(&mut self, check: &CheckId, vantage: &VantageId, report: &Report, now: Timestamp) {
        let Ok(bytes) = serde_json::to_vec(report) else {
            return;
        };
        let digest = Digest(Sha256::digest(&bytes).into());
        let judged = JudgedTrace {
            check,
            vantage,
            report,
            evidence: Some(digest),
            depends: &[],
        };
        let updates = self.book.traced(&judged, now);
        let refers = |update: &Update| match update {
            Update::Changed { incident, .. } => incident.evidence.contains(&digest),
            Update::WantTrace { .. } | Update::Follow { .. } => false,
        };
        let is_kept = updates.iter().any(refers)
            || self.book.names(check, &digest)
            || self.is_news(check, report, now);
        let mut changes = Vec::new();
        if is_kept {
            changes.push(Change::Evidence { at: now, bytes });
            let kept = Kept {
                at: now,
                verdict: report.verdict,
                cause: report.diagnosis.as_ref().map(|d| d.cause),
            };
            self.kept.insert(check.clone(), kept);
        }
        if let Some(baseline) = bellwether_diagnose::baseline_of(report) {
            if let Ok(bytes) = serde_json::to_vec(&baseline) {
                changes.push(Change::Checkpoint {
                    key: format!("{BASELINE}{check}"),
                    bytes: Some(bytes),
                });
            }
            self.agents.baseline(check, Some(Arc::new(baseline)));
        }
        self.update(updates, changes, now);
        let is_held = !self.book.of_check(check).is_empty();
        self.shared.board_mut(|board| {
            if let Some(state) = board.checks.get_mut(check) {
                // What we say of ourselves is no judgement of the check: it grows older all the same.
                if report.context.is_some() {
                    state.judged_at = state.judged_at.max(Some(report.began));
                    state.traced_at = Some(report.began);
                    state.layers.clone_from(&report.layers);
                }
                show(state, report, is_held, is_kept.then_some(digest));
            }
        });
        self.tell(check.service(), now);
    }

    /// Is a report worth keeping for itself? The first, a change, and now and then what stays broken.
    fn is_news(&self, check: &CheckId, report: &Report, now: Timestamp) -> bool {
        let Some(kept) = self.kept.get(check) else {
            return true;
        };
        let cause = report.diagnosis.as_ref().map(|d| d.cause);
        let is_old = now.duration_since(kept.at) >= EVIDENCE_EVERY.try_into().unwrap_or_default();
        (kept.verdict, kept.cause) != (report.verdict, cause)
            || report.verdict != Verdict::Healthy && is_old
    }

    fn own(&mut self, own: &Own) {
        match own {
            Own::WorkerReplaced { why, under_way } => {
                let figures = &self.shared.figures;
                figures.workers_replaced.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    why,
                    under_way,
                    "a worker was replaced; what it had under way is repeated"
                );
            }
            Own::CheckPoisoned { check, why } => {
                tracing::error!(%check, why, "the probes of this check bring down their worker; it is asked apart from now on");
                self.shared.board_mut(|board| {
                    if let Some(state) = board.checks.get_mut(check) {
                        state.poisoned = Some(why.clone());
                    }
                });
                self.poisoned(check, why);
            }
            Own::CheckWell { check } => {
                tracing::info!(%check, "the probes of this check leave their worker alone again");
                self.shared.board_mut(|board| {
                    if let Some(state) = board.checks.get_mut(check) {
                        state.poisoned = None;
                    }
                });
            }
        }
    }

    /// A check that brings down workers is an incident of ours, named at once.
    fn poisoned(&mut self, check: &CheckId, why: &str) {
        let now = Timestamp::now();
        let report = freshness::poisoned(check, why, self.shared.version, now);
        self.ourselves(check, report, now);
    }

    /// What is wrong with ourselves is judged like a trace; it is certain, so that it stands for the
    /// second look too, which has to be a later one.
    fn ourselves(&mut self, check: &CheckId, mut report: Report, now: Timestamp) {
        let vantage = VantageId::new(VantageId::LOCAL);
        self.judged(check, &vantage, &report, now);
        report.began += Duration::from_micros(1);
        self.judged(check, &vantage, &report, now);
    }

    fn act(&mut self, act: Act, now: Timestamp) {
        let Act {
            incident,
            what,
            by,
            done,
        } = act;
        let what = match what {
            ActKind::Acknowledge => incidents::Act::Acknowledge,
            ActKind::Note(text) => incidents::Act::Note(text),
        };
        let answer = match self.acted(incident, &what, &by, now) {
            Ok(answer) => answer,
            Err(incidents::ActError::Unknown(id)) => match self.shared.state.incident(id) {
                Ok(Some(_)) => Err(ActError::Resolved(id)),
                Ok(None) => Err(ActError::Unknown(id)),
                Err(error) => Err(ActError::Store(error.to_string())),
            },
        };
        // Whoever asked may have gone.
        let _ = done.send(answer);
    }

    /// What a person did counts when it is kept, and else not at all: who was refused did nothing.
    fn acted(
        &mut self,
        incident: u64,
        what: &incidents::Act,
        by: &str,
        now: Timestamp,
    ) -> Result<Result<Incident, ActError>, incidents::ActError> {
        if !self.unsaved.is_empty() {
            self.save(Vec::new());
        }
        let refused = || ActError::Store("the store takes nothing now; try again".to_owned());
        if !self.unsaved.is_empty() {
            let known = self.book.incident(incident);
            known.ok_or(incidents::ActError::Unknown(incident))?;
            return Ok(Err(refused()));
        }
        let before = self.book.clone();
        let updates = self.book.act(incident, what, by, now)?;
        self.update(updates, Vec::new(), now);
        if self.unsaved.is_empty() {
            let changed = self.book.incident(incident).cloned();
            return Ok(changed.ok_or(ActError::Unknown(incident)));
        }
        self.book = before;
        self.unsaved.clear();
        self.show_unsaved();
        self.place_incidents();
        if let Some(incident) = self.book.incident(incident) {
            let incident = Box::new(incident.clone());
            self.shared.say(Event::Incident { incident });
        }
        Ok(Err(refused()))
    }

    fn tick(&mut self, now: Timestamp) {
        let updates = self.book.tick(now);
        self.update(updates, Vec::new(), now);
        self.watch_freshness(now);
        if !self.unsaved.is_empty() {
            self.save(Vec::new());
        }
        let age = now.duration_since(self.checkpointed);
        if age >= CHECKPOINT_EVERY.try_into().unwrap_or_default() || age.is_negative() {
            self.checkpoint(now);
        }
    }

    /// A check without a result for two intervals is an alarm about ourselves.
    fn watch_freshness(&mut self, now: Timestamp) {
        // One that brings down workers is named already.
        let found = self.shared.board(|board| {
            let mut found = freshness::silent(board, now);
            found.retain(|(check, _)| board.checks[check].poisoned.is_none());
            found
        });
        for (check, since) in &found {
            if !self.silent.contains(check) {
                let report = freshness::no_result(check, *since, self.shared.version, now);
                self.ourselves(check, report, now);
            }
        }
        self.silent = found.into_iter().map(|(check, _)| check).collect();
    }

    /// Makes what follows from a new configuration.
    fn configure(&mut self, configured: &Configured, now: Timestamp) {
        let config = &configured.config;
        let (checks, vantages) = crate::settings::detection(config);
        self.detector.configure(&checks, &vantages);
        let needs = config.services.iter();
        self.book
            .set_needs(needs.map(|s| (s.name.clone(), s.needs.clone())).collect());
        let gone = self.shared.board_mut(|board| board.configure(config, now));
        let mut updates = Vec::new();
        for check in gone {
            updates.extend(self.book.gone(&check, now));
            self.kept.remove(&check);
            self.silent.remove(&check);
        }
        self.update(updates, Vec::new(), now);
        self.place_incidents();
    }

    /// Stores what changed, then tells it.
    fn update(&mut self, updates: Vec<Update>, mut changes: Vec<Change>, now: Timestamp) {
        let mut newest: BTreeMap<u64, Box<Incident>> = BTreeMap::new();
        for update in updates {
            match update {
                Update::Changed { incident, notices } => {
                    for notice in notices {
                        tracing::warn!(
                            incident = notice.incident,
                            kind = notice.kind.name(),
                            "{}",
                            notice.text
                        );
                        changes.push(Change::Notice(bellwether_store::Notice {
                            id: 0,
                            incident: notice.incident,
                            at: notice.at,
                            kind: notice.kind.name().to_owned(),
                            text: notice.text,
                        }));
                    }
                    newest.insert(incident.id, incident);
                }
                Update::WantTrace { check, vantage: _ } => self.agents.trace(&check),
                Update::Follow {
                    check,
                    vantage: _,
                    every,
                } => self.agents.follow(&check, every),
            }
        }
        let has_incidents = !newest.is_empty();
        for incident in newest.values() {
            changes.push(Change::Incident(incident.clone()));
        }
        if has_incidents {
            let bytes = Some(self.book.checkpoint());
            let key = INCIDENTS.to_owned();
            changes.push(Change::Checkpoint { key, bytes });
        }
        if changes.is_empty() {
            return;
        }
        self.save(changes);
        if has_incidents {
            self.place_incidents();
        }
        for incident in newest.into_values() {
            for affected in &incident.checks {
                let service = affected.check.rsplit_once('/').map_or("", |(s, _)| s);
                self.tell(service, now);
            }
            self.shared.say(Event::Incident { incident });
        }
    }

    /// Stores changes, after those that could not be stored before.
    fn save(&mut self, changes: Vec<Change>) {
        self.unsaved.extend(changes);
        // The disk is waited for here and nowhere else; others go on meanwhile.
        let saved = tokio::task::block_in_place(|| self.shared.state.commit(&self.unsaved));
        match saved {
            Ok(()) => {
                self.unsaved.clear();
                self.shared.trouble("state", None);
            }
            Err(error) => {
                self.shared.trouble("state", Some(error.to_string()));
                self.give_up_evidence();
            }
        }
        self.show_unsaved();
    }

    /// Incidents that the store does not have as they are: who asks is answered from here meanwhile.
    fn show_unsaved(&self) {
        let unsaved = self.unsaved.iter().filter_map(|change| match change {
            Change::Incident(incident) => Some((incident.id, incident.as_ref().clone())),
            _ => None,
        });
        self.shared.set_unsaved(unsaved.collect());
    }

    /// What is told matters more than what proves it.
    fn give_up_evidence(&mut self) {
        if self.unsaved.len() <= UNSAVED_MAX {
            return;
        }
        self.unsaved.retain(|change| {
            !matches!(change, Change::Evidence { .. } | Change::Checkpoint { .. })
        });
        let surplus = self.unsaved.len().saturating_sub(UNSAVED_MAX);
        if surplus > 0 {
            tracing::error!(
                surplus,
                "changes of incidents are given up: the store takes none"
            );
            self.unsaved.drain(..surplus);
        }
    }

    fn checkpoint(&mut self, now: Timestamp) {
        self.checkpointed = now;
        let board = self.shared.board(crate::board::Board::checkpoint);
        let of = |key: &str, bytes| Change::Checkpoint {
            key: key.to_owned(),
            bytes: Some(bytes),
        };
        self.save(vec![
            of(DETECTION, self.detector.checkpoint()),
            of(INCIDENTS, self.book.checkpoint()),
            of(crate::board::CHECKPOINT, board),
        ]);
    }

    /// Puts the open incidents onto the board.
    fn place_incidents(&self) {
        let open: Vec<Incident> = self.book.open().cloned().collect();
        self.shared.board_mut(|board| board.place(&open));
    }

    /// Puts a service's verdict together anew, and says so if it changed.
    fn tell(&self, service: &str, now: Timestamp) {
        let changed = self.shared.board_mut(|board| board.sum_up(service, now));
        if let Some((verdict, cause)) = changed {
            self.shared.say(Event::Service {
                name: service.to_owned(),
                verdict,
                cause: cause.map(|c| c.code().to_owned()),
                at: now,
            });
        }
    }
}

/// Puts a report onto the board. Both failure and recovery count when they were confirmed: until
/// then the verdict stays what it was, unless there was none.
fn show(state: &mut CheckState, report: &Report, is_held: bool, evidence: Option<Digest>) {
    if evidence.is_some() {
        state.evidence = evidence;
    }
    let is_confirmed = (report.verdict == Verdict::Healthy) != is_held;
    let counts = is_confirmed || state.since.is_none();
    if !counts {
        return;
    }
    let cause = report.diagnosis.as_ref().map(|d| d.cause);
    if state.verdict != report.verdict || state.since.is_none() {
        state.since = Some(report.began);
    }
    state.verdict = report.verdict;
    state.cause = cause;
    state.summary = match &report.diagnosis {
        Some(diagnosis) => diagnosis.summary.clone(),
        None => "every path that a user could take works".to_owned(),
    };
}

#[cfg(test)]
mod tests {
    use bellwether_model::incident::IncidentState;
    use tokio::sync::oneshot;

    use super::*;
    use crate::testing;

    /// Who is told that it was not kept did nothing.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_act_that_is_refused_does_not_take_effect() {
        let now: Timestamp = "2026-11-01T12:00:00Z".parse().unwrap();
        let hub = testing::filled(now);
        let shared = hub.shared.clone();
        // Nothing is measured here.
        let config = bellwether_config::Config::default();
        let plan = bellwether_agent::settings::plan(&config, 1, &BTreeMap::new());
        let worker = Arc::new(|| tokio::process::Command::new("true"));
        let (harvest, _harvested) = mpsc::channel(1);
        let (agents, _owner) = Agents::new(plan.unwrap(), worker, harvest);
        let keeper = Keeper::start(shared.clone(), 1).unwrap();
        let mut judge = Judge::restore(shared.clone(), agents, keeper, now).unwrap();
        judge.save(Vec::new());
        let acknowledge = |judge: &mut Judge| {
            let (done, mut outcome) = oneshot::channel();
            let act = Act {
                incident: 1,
                what: ActKind::Acknowledge,
                by: "ann".to_owned(),
                done,
            };
            judge.act(act, now);
            outcome.try_recv().unwrap()
        };
        for _ in 0..2 {
            hub.memory.set_broken(true);
            let refused = acknowledge(&mut judge);
            assert!(matches!(refused, Err(ActError::Store(_))), "{refused:?}");
            assert_eq!(shared.unsaved(), BTreeMap::new());
            hub.memory.set_broken(false);
            judge.tick(now);
            let kept = shared.state.incident(1).unwrap().unwrap();
            assert_eq!(kept.state, IncidentState::Open);
            assert_eq!(judge.book.incident(1).unwrap().acknowledged, None);
        }
        let taken = acknowledge(&mut judge).unwrap();
        assert_eq!(taken.state, IncidentState::Acknowledged);
        let kept = shared.state.incident(1).unwrap().unwrap();
        assert_eq!(kept.acknowledged, Some(now));
        // An incident that changes while the store takes nothing is told from memory.
        hub.memory.set_broken(true);
        let updates = vec![Update::Changed {
            incident: Box::new(taken),
            notices: Vec::new(),
        }];
        judge.update(updates, Vec::new(), now);
        assert_eq!(shared.unsaved().keys().collect::<Vec<_>>(), [&1]);
        hub.memory.set_broken(false);
        judge.tick(now);
        assert_eq!(shared.unsaved(), BTreeMap::new());
    }
}
