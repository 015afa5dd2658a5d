//! Judging: what agents harvest becomes verdicts and incidents.
//!
//! One owner of all that is judged, so that order is plain: runs go to be kept and to detection,
//! traces are diagnosed, both are folded into the [`Book`] of incidents, and what changes is stored
//! before it is told; where the store takes nothing it is told all the same, since an outage that nobody
//! hears of is worse than one that a restart forgets. Should it panic, it is made again from what was
//! stored.

mod show;
mod start;
mod targets;
#[cfg(test)]
mod tests;
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bellwether_agent::{Harvest, Own, Shown, Trace};
use bellwether_diagnose::detect::{Detector, Heard};
use bellwether_diagnose::incidents::{self, Book, JudgedTrace, Notice, Update};
use bellwether_diagnose::report::Seen;
use bellwether_model::run::{RunOutcome, Trigger};
use bellwether_model::{Cause, CheckId, Digest, Incident, Report, Run, VantageId, Verdict};
use bellwether_store::{Change, StoreError};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::agents::Agents;
use crate::board::{Board, CheckState, SERVED_MIN};
use crate::freshness;
use crate::keep::Keeper;
use crate::parts::{self, Parts};
use crate::shared::{Act, ActError, ActKind, Configured, Event, Shared};
use crate::signals;
use crate::unsaved::Unsaved;
use show::Show;
use targets::Targets;
pub use targets::baselines;

/// How often time alone is looked at: holds that end, results that did not come.
const TICK: Duration = Duration::from_secs(1);
/// While it stays broken in the same way, a report is kept this often.
const EVIDENCE_EVERY: Duration = Duration::from_secs(600);
/// What was harvested at once is taken at once, up to this many.
const AT_ONCE: usize = 256;
/// Largest report of a run that is kept: several times that of a long chain of certificates.
const RUN_EVIDENCE_LEN_MAX: usize = 256 * 1024;
/// What began so much later than now was stamped before the wall clock was set back.
const AHEAD: SignedDuration = SignedDuration::from_secs(5);

/// The key of what incidents remember.
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
    /// What was taken from the harvest and is not judged yet, newest first.
    pub batch: Vec<Harvest>,
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
    /// Checks that gave no result for two intervals, and were named for it.
    silent: BTreeSet<CheckId>,
    /// What each service was last told to be.
    told: BTreeMap<String, (Verdict, Option<Cause>)>,
    /// Services of which something is too old to be true.
    stale: BTreeSet<String>,
    targets: Targets,
    /// What is written down now and then, part by part.
    parts: Parts,
    /// Incidents changed, and what they remember is not written down yet.
    is_memory_due: bool,
    clock: freshness::Moves,
}

/// What judging came to, and is neither stored nor shown yet.
#[derive(Default)]
struct Judged {
    updates: Vec<Update>,
    changes: Vec<Change>,
    shows: Vec<Show>,
    /// Services whose checks ran.
    services: BTreeSet<String>,
}

/// The last report that was kept of a check.
struct Kept {
    at: Timestamp,
    verdict: Verdict,
    cause: Option<Cause>,
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
        let mut stored = Vec::new();
        for begin in parts::KEYS {
            stored.push((begin, state.checkpoints(begin)?));
        }
        let keys = stored.iter().flat_map(|(_, all)| all);
        let parts = Parts::new(now, keys.map(|(key, _)| key.clone()));
        let of = |wanted: &'static str| {
            let found = stored.iter().filter(move |(begin, _)| *begin == wanted);
            found.flat_map(|(_, all)| all).map(|(_, bytes)| bytes)
        };
        let mut book = start::book(&shared)?;
        of(parts::WATCHES).for_each(|bytes| book.recall(bytes));
        let targets = Targets::stored(&**state)?;
        let clock = freshness::Moves::new(now, shared.started_at.elapsed());
        let mut judge = Self {
            clock,
            shared,
            agents,
            keeper,
            book,
            detector: Detector::default(),
            kept: BTreeMap::new(),
            silent: BTreeSet::new(),
            told: BTreeMap::new(),
            stale: BTreeSet::new(),
            targets,
            parts,
            is_memory_due: false,
        };
        let configured = judge.shared.configured.load_full();
        let moved = judge.configure(&configured, now);
        // One of another version is learned anew.
        for bytes in of(parts::DETECTION) {
            if let Err(error) = judge.detector.restore(bytes) {
                tracing::warn!(%error, "what detection had learned cannot be read; it is learned anew");
            }
        }
        for check in &moved {
            judge.detector.forget(check);
        }
        judge.nothing_is_to_come(now);
        judge.reconcile(now);
        for (check, _, every) in judge.book.followed() {
            judge.agents.follow(&check, Some(every));
        }
        let book = &judge.book;
        judge
            .shared
            .board_mut(|board| show::show_all(board, book, now));
        judge.learn_told(now);
        Ok(judge)
    }

    /// Judges until the inbox is closed.
    pub async fn run(mut self, inbox: &mut Inbox) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.take_batch(&mut inbox.batch);
            tokio::select! {
                biased;
                Some(configured) = inbox.configured.recv() => {
                    let now = self.now();
                    self.configure(&configured, now);
                }
                Some(act) = inbox.acts.recv() => {
                    let now = self.now();
                    self.act(act, now);
                }
                _ = tick.tick() => {
                    let now = self.now();
                    self.tick(now);
                }
                _ = inbox.harvest.recv_many(&mut inbox.batch, AT_ONCE) => self.received(&mut inbox.batch),
                _ = inbox.ends.wait_for(|ends| *ends) => {
                    while let Ok(one) = inbox.harvest.try_recv() {
                        inbox.batch.push(one);
                        if inbox.batch.len() == AT_ONCE {
                            self.received(&mut inbox.batch);
                            self.take_batch(&mut inbox.batch);
                        }
                    }
                    self.received(&mut inbox.batch);
                    self.take_batch(&mut inbox.batch);
                    (0..self.parts.len()).for_each(|part| self.checkpoint(part));
                    return;
                }
            }
            self.shared.judge_beat();
        }
    }

    /// What came together. Rows are kept before they are judged, whatever becomes of judging them.
    fn received(&self, batch: &mut [Harvest]) {
        let runs = batch.iter().filter_map(|one| match one {
            Harvest::Run(run) => Some(run.clone()),
            // Its row names the report that proves it, which is made first.
            Harvest::Shown(_) | Harvest::Trace(_) | Harvest::Own(_) => None,
        });
        self.keeper.keep(runs.collect());
        batch.reverse();
    }

    /// What was taken from the inbox lies there until it is its turn: whoever panics over one loses
    /// that one. What runs came to is stored once for all that came together: an outage of everything
    /// changes the same incidents with each of them.
    fn take_batch(&mut self, batch: &mut Vec<Harvest>) {
        if !batch.is_empty() {
            let now = self.now();
            self.take(batch, now);
        }
    }

    fn take(&mut self, batch: &mut Vec<Harvest>, now: Timestamp) {
        let mut judged = Judged::default();
        while let Some(one) = batch.pop() {
            match one {
                Harvest::Run(run) => self.ran(run, &mut judged, now),
                Harvest::Shown(shown) => {
                    let run = self.shown(*shown, &mut judged, now);
                    self.keeper.keep(vec![run.clone()]);
                    self.ran(run, &mut judged, now);
                }
                Harvest::Trace(trace) => {
                    self.settle(std::mem::take(&mut judged), now);
                    self.traced(*trace, now);
                }
                Harvest::Own(own) => {
                    self.settle(std::mem::take(&mut judged), now);
                    self.own(&own, now);
                }
            }
        }
        self.settle(judged, now);
    }

    /// What the wall clock shows; when it was moved, that comes first.
    fn now(&mut self) -> Timestamp {
        let now = Timestamp::now();
        self.look_at_clock(now, self.shared.started_at.elapsed());
        now
    }

    /// Is this a result of a check as it is configured now? What came late, of a check that is gone or
    /// asked another thing, is history, and no more.
    fn counts(&self, run: &Run, now: Timestamp) -> bool {
        let began = run.began();
        let is_placed = began.duration_since(now) <= AHEAD;
        let known = |check: &CheckState| began >= check.known_since;
        let board = |board: &Board| board.checks.get(&run.check).is_some_and(known);
        is_placed && self.shared.board(board)
    }

    fn ran(&mut self, run: Run, judged: &mut Judged, now: Timestamp) {
        let figures = &self.shared.figures;
        figures.runs[run.outcome as usize].fetch_add(1, Ordering::Relaxed);
        if run.trigger == Trigger::Schedule {
            let late = Duration::from_micros(u64::from(run.late));
            figures.lateness.observe(late);
        }
        if !self.counts(&run, now) {
            return;
        }
        for signal in self.detector.step(&Heard::of(&run), now) {
            if let Some(signal) = signals::of(&signal) {
                judged.updates.extend(self.book.signal(&signal, now));
            }
        }
        judged.updates.extend(self.book.ran(&run, now));
        judged.services.insert(run.check.service().to_owned());
        self.shared.board_mut(|board| {
            let Some(check) = board.checks.get_mut(&run.check) else {
                return;
            };
            if run.outcome != RunOutcome::NotRun {
                let began = run.began().min(now);
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
            check.last.insert(run.vantage.clone(), run);
        });
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
        // It may have come late: of a check that is gone, or that aims at something else by now.
        if !self.targets.is(&check, &context.target) {
            return;
        }
        // And it may have begun before the wall clock was set back.
        let began = began.min(now);
        let vantage = VantageId::new(&context.vantage);
        let seen = Seen {
            context,
            began,
            took_ms,
            queries,
            peak_kib: None,
            observations,
        };
        if let Some(report) = self.report(&check, seen) {
            let mut judged = Judged::default();
            self.judge(&check, &vantage, &report, &mut judged, now);
            self.settle(judged, now);
        }
    }

    /// What follows from what was seen, without secrets. A rule that panics over what a stranger
    /// sent costs this report alone.
    fn report(&self, check: &CheckId, seen: Seen) -> Option<Report> {
        let version = self.shared.version;
        let judged =
            std::panic::catch_unwind(move || bellwether_diagnose::report::report(seen, version));
        if let Ok(report) = judged {
            let configured = self.shared.configured.load();
            return Some(crate::api::redact::report(
                &configured.config,
                check,
                report,
            ));
        }
        let panics = &self.shared.figures.judge_panics;
        panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%check, "what was seen cannot be judged: the rules panicked over it");
        None
    }

    /// A run, with a report of its records as its evidence: what proves the row, to be judged again.
    fn shown(&mut self, shown: Shown, judged: &mut Judged, now: Timestamp) -> Run {
        let Shown {
            mut run,
            context,
            took_ms,
            queries,
            observations,
        } = shown;
        let seen = Seen {
            context,
            began: run.began(),
            took_ms,
            queries,
            peak_kib: None,
            observations,
        };
        let report = self.report(&run.check, seen);
        let bytes = report.and_then(|report| serde_json::to_vec(&report).ok());
        if let Some(bytes) = bytes.filter(|b| b.len() <= RUN_EVIDENCE_LEN_MAX) {
            run.evidence = Some(Digest(Sha256::digest(&bytes).into()));
            judged.changes.push(Change::Evidence { at: now, bytes });
        }
        run
    }

    /// A judged trace goes into the book, and from there onto the board.
    fn judge(
        &mut self,
        check: &CheckId,
        vantage: &VantageId,
        report: &Report,
        judged: &mut Judged,
        now: Timestamp,
    ) {
        let Ok(bytes) = serde_json::to_vec(report) else {
            return;
        };
        let digest = Digest(Sha256::digest(&bytes).into());
        let trace = JudgedTrace {
            check,
            vantage,
            report,
            evidence: Some(digest),
            depends: &[],
        };
        let updates = self.book.traced(&trace, now);
        let is_kept = self.book.names(check, &digest) || self.is_news(check, report, now);
        judged.updates.extend(updates);
        if is_kept {
            judged.changes.push(Change::Evidence { at: now, bytes });
            let kept = Kept {
                at: now,
                verdict: report.verdict,
                cause: report.diagnosis.as_ref().map(|d| d.cause),
            };
            self.kept.insert(check.clone(), kept);
        }
        if let Some(baseline) = bellwether_diagnose::baseline_of(report) {
            if let Ok(bytes) = serde_json::to_vec(&baseline) {
                judged.changes.push(Change::Checkpoint {
                    key: format!("{BASELINE}{check}"),
                    bytes: Some(bytes),
                });
            }
            self.agents.baseline(check, Some(Arc::new(baseline)));
        }
        let evidence = is_kept.then_some(digest);
        judged.shows.push(Show::of(check, report, evidence));
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

    fn own(&mut self, own: &Own, now: Timestamp) {
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
                let why = &self.shared.configured.load().config.scrub(why);
                tracing::error!(%check, why, "the probes of this check bring down their worker; it is asked apart from now on");
                self.shared.board_mut(|board| {
                    if let Some(state) = board.checks.get_mut(check) {
                        state.poisoned = Some(why.clone());
                    }
                });
                self.poisoned(check, why, now);
            }
            Own::Began => self.shared.board_mut(|board| {
                for state in board.checks.values_mut() {
                    state.poisoned = None;
                }
            }),
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
    fn poisoned(&mut self, check: &CheckId, why: &str, now: Timestamp) {
        let report = freshness::poisoned(check, why, self.shared.version, now);
        let mut judged = Judged::default();
        self.ourselves(check, report, &mut judged, now);
        self.settle(judged, now);
    }

    /// What is wrong with ourselves is judged like a trace; it is certain, so that it stands for the
    /// second look too, which has to be a later one.
    fn ourselves(
        &mut self,
        check: &CheckId,
        mut report: Report,
        judged: &mut Judged,
        now: Timestamp,
    ) {
        let vantage = VantageId::new(VantageId::LOCAL);
        self.judge(check, &vantage, &report, judged, now);
        report.began += Duration::from_micros(1);
        self.judge(check, &vantage, &report, judged, now);
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
        if !self.is_saved() {
            self.save(Vec::new());
        }
        let refused = || ActError::Store("the store takes nothing now; try again".to_owned());
        if !self.is_saved() {
            let known = self.book.incident(incident);
            known.ok_or(incidents::ActError::Unknown(incident))?;
            return Ok(Err(refused()));
        }
        let before = self.book.clone();
        let updates = self.book.act(incident, what, by, now)?;
        self.update(updates, now);
        if self.is_saved() {
            let changed = self.book.incident(incident).cloned();
            return Ok(changed.ok_or(ActError::Unknown(incident)));
        }
        self.book = before;
        self.unsaved(|unsaved| unsaved.take_back(INCIDENTS));
        self.is_memory_due = true;
        self.show_unsaved();
        self.place_incidents();
        if let Some(incident) = self.book.incident(incident) {
            let incident = incident.into();
            self.shared.say(Event::Incident { incident });
        }
        Ok(Err(refused()))
    }

    fn tick(&mut self, now: Timestamp) {
        let updates = self.book.tick(now);
        self.update(updates, now);
        self.watch_freshness(now);
        if !self.unsaved(|unsaved| unsaved.is_empty()) {
            self.save(Vec::new());
        }
        if let Some(part) = self.parts.due(now) {
            self.checkpoint(part);
        } else if self.is_memory_due {
            let memory = self.memory();
            self.save(vec![memory]);
        }
    }

    fn update(&mut self, updates: Vec<Update>, now: Timestamp) {
        let judged = Judged {
            updates,
            ..Judged::default()
        };
        self.settle(judged, now);
    }

    /// Stores what changed, shows it, then tells it. What the store does not take is told all the same.
    fn settle(&mut self, judged: Judged, now: Timestamp) {
        let Judged {
            updates,
            mut changes,
            shows,
            mut services,
        } = judged;
        let has_receivers = !self.shared.configured.load().config.receivers.is_empty();
        let mut newest: BTreeMap<u64, Box<Incident>> = BTreeMap::new();
        for update in updates {
            match update {
                Update::Changed { incident, notices } => {
                    let notices = notices.into_iter().map(outgoing);
                    if has_receivers {
                        changes.extend(notices);
                    } else {
                        // Nobody would take them from the store, where they would lie for ever.
                        notices.for_each(drop);
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
        // What incidents of very many checks remember is written with the next tick: without it they
        // are made again from what is stored of themselves.
        if has_incidents && self.parts.is_one() {
            changes.push(self.memory());
        }
        self.is_memory_due |= has_incidents && !self.parts.is_one();
        if !changes.is_empty() {
            self.save(changes);
        }
        let changed: Vec<&Incident> = newest.values().map(|one| &**one).collect();
        let book = &self.book;
        let open: Option<Vec<Incident>> = has_incidents.then(|| book.open().cloned().collect());
        // All at once, and as soon as the incidents can be read.
        let shown = self.shared.board_mut(|board| {
            if let Some(open) = &open {
                board.place(open);
            }
            show::show(board, book, shows, &changed)
        });
        services.extend(shown);
        // What is wrong, and then which services are so by it.
        for incident in newest.into_values() {
            let incident = incident.as_ref().into();
            self.shared.say(Event::Incident { incident });
        }
        for service in services {
            self.tell(&service, now);
        }
    }

    fn unsaved<T>(&self, work: impl FnOnce(&mut Unsaved) -> T) -> T {
        let unsaved = self.shared.unsaved.lock();
        work(&mut unsaved.unwrap_or_else(PoisonError::into_inner))
    }

    fn is_saved(&self) -> bool {
        self.unsaved(|unsaved| unsaved.is_told())
    }

    /// Stores changes, after those that could not be stored before.
    fn save(&mut self, changes: Vec<Change>) {
        let state = self.shared.state.clone();
        let commit = |changes: &[Change]| state.commit(changes);
        let save = |unsaved: &mut Unsaved| unsaved.save(changes, &commit).map(str::to_owned);
        // The disk is waited for here and nowhere else; others go on meanwhile.
        let trouble = tokio::task::block_in_place(|| self.unsaved(save));
        self.shared.trouble("state", trouble);
        self.show_unsaved();
    }

    /// Incidents that the store does not have as they are: who asks is answered from here meanwhile.
    fn show_unsaved(&self) {
        let incidents = self.unsaved(|unsaved| {
            let all = unsaved.incidents();
            all.map(|incident| (incident.id, incident.clone()))
                .collect()
        });
        self.shared.set_unkept(incidents);
    }

    /// Writes down what is known of the checks of a part.
    fn checkpoint(&mut self, part: usize) {
        let checks = self.parts.checks(part);
        let board = self.shared.board(|board| board.checkpoint_of(checks));
        let of = |begin: &str, bytes| Change::Checkpoint {
            key: self.parts.key(begin, part),
            bytes: Some(bytes),
        };
        let mut changes = vec![
            of(parts::DETECTION, self.detector.checkpoint_of_many(checks)),
            of(crate::board::CHECKPOINT, board),
        ];
        if !self.parts.is_one() {
            changes.push(of(parts::WATCHES, self.book.checkpoint_of(checks)));
        }
        changes.push(self.memory());
        let over = self.parts.over(part).into_iter();
        changes.extend(over.map(|key| Change::Checkpoint { key, bytes: None }));
        self.save(changes);
    }

    /// What incidents remember, to be written down.
    fn memory(&mut self) -> Change {
        self.is_memory_due = false;
        let bytes = match self.parts.is_one() {
            true => self.book.checkpoint(),
            false => self.book.checkpoint_of_amiss(),
        };
        Change::Checkpoint {
            key: INCIDENTS.to_owned(),
            bytes: Some(bytes),
        }
    }

    /// Puts the open incidents onto the board.
    fn place_incidents(&self) {
        let open: Vec<Incident> = self.book.open().cloned().collect();
        self.shared.board_mut(|board| board.place(&open));
    }

    /// Puts a service's verdict together anew, and says so if what is told of it changed.
    fn tell(&mut self, service: &str, now: Timestamp) {
        let told = self.shared.board_mut(|board| {
            board.sum_up(service, now);
            board.service(service, now)
        });
        let Some(told) = told.map(|told| (told.verdict, told.cause)) else {
            return;
        };
        if self.told.get(service) == Some(&told) {
            return;
        }
        self.told.insert(service.to_owned(), told);
        let (verdict, cause) = told;
        self.shared.say(Event::Service {
            name: service.to_owned(),
            verdict,
            cause: cause.map(|c| c.code().to_owned()),
            at: now,
        });
    }
}

/// A notice for the outbox. The log has it in any case.
fn outgoing(notice: Notice) -> Change {
    tracing::warn!(
        incident = notice.incident,
        kind = notice.kind.name(),
        "{}",
        notice.text
    );
    Change::Notice(bellwether_store::Notice {
        id: 0,
        incident: notice.incident,
        at: notice.at,
        kind: notice.kind.name().to_owned(),
        text: notice.text,
    })
}
