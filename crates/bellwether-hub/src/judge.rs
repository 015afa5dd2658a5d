//! Judging: what agents harvest becomes verdicts and incidents.
//!
//! One owner of all that is judged, so that order is plain: runs go to be kept and to detection,
//! traces are diagnosed, both are folded into the [`Book`] of incidents, and what changes is stored
//! before it is told; where the store takes nothing it is told all the same, since an outage that nobody
//! hears of is worse than one that a restart forgets. Should it panic, it is made again from what was
//! stored.

mod beats;
mod maintenance;
mod own;
mod settle;
mod show;
mod start;
mod targets;
#[cfg(test)]
mod tests;
mod time;
mod vantages;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bellwether_agent::{Harvest, Shown, Trace};
use bellwether_diagnose::detect::{Detector, Heard, Signal};
use bellwether_diagnose::incidents::{self, Book, JudgedTrace, Update};
use bellwether_diagnose::report::Seen;
use bellwether_diagnose::vantages::{Bursts, Vantages};
use bellwether_model::run::Trigger;
use bellwether_model::{Cause, CheckId, Digest, Incident, Report, Run, VantageId, Verdict};
use bellwether_store::{Change, StoreError};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::agents::Agents;
use crate::freshness;
use crate::keep::Keeper;
use crate::links::Far;
use crate::parts::{self, Parts};
use crate::shared::{Act, ActError, ActKind, Configured, Event, Shared};
use crate::signals;
use crate::unsaved::Unsaved;
use beats::Fed;
use maintenance::Plans;
use show::Show;
use targets::Targets;
pub use targets::{baseline_key, baselines};
use vantages::Since;

/// How often time alone is looked at: holds that end, results that did not come.
const TICK: Duration = Duration::from_secs(1);
/// While it stays broken in the same way, a report is kept this often.
const EVIDENCE_EVERY: Duration = Duration::from_secs(600);
/// What comes together in so long is judged together: each time that the judge is woken costs as much
/// as some runs, and a verdict that comes so much later is as good.
const GATHER: Duration = Duration::from_millis(10);
/// What was harvested at once is taken at once, up to this many.
const AT_ONCE: usize = 256;
/// What began so much later than now was stamped before the wall clock was set back.
const AHEAD: SignedDuration = SignedDuration::from_secs(5);

/// The key of what incidents remember.
const INCIDENTS: &str = "incidents";
/// Before a check's id: what was last known good of it.
pub const BASELINE: &str = "baseline/";

/// What the judge takes in. It outlives the judge.
pub struct Inbox {
    /// From the built-in agent.
    pub harvest: mpsc::Receiver<Harvest>,
    /// From agents elsewhere.
    pub far: mpsc::Receiver<Far>,
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
    /// Which vantages may be heard.
    vantages: Vantages,
    /// Failures that others than the vantage that saw them are asked about.
    bursts: Bursts,
    /// Since when each vantage is heard, and each agent elsewhere linked.
    since: Since,
    /// What stands in the last report kept of each check at a vantage.
    kept: BTreeMap<Key, Kept>,
    /// Checks that gave no result for two intervals at a vantage, and were named for it.
    silent: BTreeSet<Key>,
    /// What each service was last told to be.
    told: BTreeMap<String, (Verdict, Option<Cause>)>,
    /// Services of which something is too old to be true.
    stale: BTreeMap<String, usize>,
    /// What of each heartbeat was last taken into the book.
    beats: BTreeMap<String, Fed>,
    targets: Targets,
    /// When faults are expected.
    plans: Plans,
    /// What is written down now and then, part by part.
    parts: Parts,
    /// Incidents changed, and what they remember is not written down yet.
    is_memory_due: bool,
    clock: freshness::Moves,
}

/// A check at a vantage.
type Key = (CheckId, VantageId);

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

/// Where the built-in agent stands.
fn local() -> VantageId {
    VantageId::new(VantageId::LOCAL)
}

/// What waits by then, or the first that comes later.
async fn gathered(
    then: Instant,
    harvest: &mut mpsc::Receiver<Harvest>,
    batch: &mut Vec<Harvest>,
) -> usize {
    tokio::time::sleep_until(then).await;
    harvest.recv_many(batch, AT_ONCE).await
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
            vantages: Vantages::default(),
            bursts: Bursts::default(),
            since: Since::default(),
            kept: BTreeMap::new(),
            silent: BTreeSet::new(),
            told: BTreeMap::new(),
            stale: BTreeMap::new(),
            beats: BTreeMap::new(),
            targets,
            plans: Plans::default(),
            parts,
            is_memory_due: false,
        };
        let configured = judge.shared.configured.load_full();
        judge.recall_vantages(&configured, now)?;
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
        for (check, vantage, every) in judge.book.followed() {
            if check.as_heartbeat().is_some() {
                continue;
            }
            judge.agents.follow(&check, &vantage, Some(every));
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
        let mut next = Instant::now();
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
                Some(far) = inbox.far.recv() => {
                    let now = self.now();
                    self.take_far(far, now);
                }
                _ = gathered(next, &mut inbox.harvest, &mut inbox.batch) => {
                    // Where more waits than was taken, it is taken at once.
                    if inbox.batch.len() < AT_ONCE {
                        next = Instant::now() + GATHER;
                    }
                    self.received(&mut inbox.batch);
                }
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
                    let now = self.now();
                    let updates = self.book.flush(now);
                    self.update(updates, now);
                    self.write_all_down();
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

    /// What came from elsewhere is kept already, and stands for where its agent stands.
    fn take_far(&mut self, far: Far, now: Timestamp) {
        let Far { vantage, harvest } = far;
        // One that was taken out of the configuration meanwhile is history.
        if !self.vantages.is_known(&vantage) {
            return;
        }
        let mut judged = Judged::default();
        for one in harvest {
            match one {
                Harvest::Run(run) if run.vantage == vantage => self.ran(&run, &mut judged, now),
                Harvest::Shown(shown) if shown.run.vantage == vantage => {
                    self.ran(&shown.run, &mut judged, now);
                }
                // Nobody speaks for another vantage than his own.
                Harvest::Run(_) | Harvest::Shown(_) => {}
                Harvest::Trace(trace) if trace.context.vantage != vantage.as_str() => {}
                Harvest::Trace(trace) => {
                    if judged.shows.iter().any(|show| show.is_of(&trace.check)) {
                        self.settle(std::mem::take(&mut judged), now);
                    }
                    self.traced(*trace, &mut judged, now);
                }
                Harvest::Own(own) => {
                    self.settle(std::mem::take(&mut judged), now);
                    self.own(&own, &vantage, now);
                }
            }
        }
        self.settle(judged, now);
    }

    fn take(&mut self, batch: &mut Vec<Harvest>, now: Timestamp) {
        let mut judged = Judged::default();
        while let Some(one) = batch.pop() {
            match one {
                Harvest::Run(run) => self.ran(&run, &mut judged, now),
                Harvest::Shown(shown) => {
                    let run = self.shown(*shown, &mut judged, now);
                    self.keeper.keep(vec![run.clone()]);
                    self.ran(&run, &mut judged, now);
                }
                Harvest::Trace(trace) => {
                    // Two of one check: the second goes by what the first came to.
                    if judged.shows.iter().any(|show| show.is_of(&trace.check)) {
                        self.settle(std::mem::take(&mut judged), now);
                    }
                    self.traced(*trace, &mut judged, now);
                }
                Harvest::Own(own) => {
                    self.settle(std::mem::take(&mut judged), now);
                    self.own(&own, &local(), now);
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

    fn ran(&mut self, run: &Run, judged: &mut Judged, now: Timestamp) {
        let figures = &self.shared.figures;
        figures.runs[run.outcome as usize].fetch_add(1, Ordering::Relaxed);
        let is_local = run.vantage.as_str() == VantageId::LOCAL;
        if run.trigger == Trigger::Schedule && is_local {
            let late = Duration::from_micros(u64::from(run.late));
            figures.lateness.observe(late);
        }
        if run.began().duration_since(now) > AHEAD {
            return;
        }
        // Before anything follows from it for its vantage.
        let is_heard = self.vantages.is_heard(&run.vantage);
        let heard = Heard::of(run);
        let every = Duration::from_millis(u64::from(run.every));
        self.vantages.heard(&heard, every, now);
        let is_news = self.shared.board_mut(|board| board.ran(run, now));
        let Some(is_news) = is_news else {
            return;
        };
        self.parts.changed(&run.check);
        if is_heard {
            self.bursts.ran(run);
            for signal in self.detector.step(&heard, now) {
                self.signalled(run, &signal, judged, now);
            }
            judged.updates.extend(self.book.ran(run, now));
        }
        if is_news {
            judged.services.insert(run.check.service().to_owned());
        }
    }

    /// What detection says of a run.
    fn signalled(&mut self, run: &Run, signal: &Signal, judged: &mut Judged, now: Timestamp) {
        if let Signal::Suspect {
            check, vantages, ..
        } = signal
            && self.vantages.is_many()
        {
            // Its own agent traces what fails there; whether it fails elsewhere is asked elsewhere.
            let known = &self.vantages;
            let is_heard = |vantage: &VantageId| known.is_heard(vantage);
            let asked = self
                .bursts
                .suspect(check, &run.vantage, vantages, is_heard, now);
            if let Some(vantage) = asked {
                self.agents.confirm(check, &vantage);
            }
            return;
        }
        if let Signal::Alarm(alarm) = signal {
            self.bursts.settled(&alarm.check);
        }
        for signal in signals::of(signal, &self.book) {
            judged.updates.extend(self.book.signal(&signal, now));
        }
    }

    fn traced(&mut self, trace: Trace, judged: &mut Judged, now: Timestamp) {
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
        let context = self.by_right_clock(context);
        // It may have come late: of a check that is gone, or that aims at something else by now.
        if !self.targets.is(&check, &context.target) {
            return;
        }
        // And it may have begun before the wall clock was set back.
        let began = began.min(now);
        let vantage = VantageId::new(&context.vantage);
        if self.is_history(&check, began, now) {
            return;
        }
        let seen = Seen {
            context,
            began,
            took_ms,
            queries,
            peak_kib: None,
            observations,
        };
        let Some(report) = self.report(&check, seen) else {
            return;
        };
        self.reported(&check, &vantage, &report, judged, now);
    }

    /// What a vantage that cannot be believed says of a target is no evidence; and what it says of
    /// itself is told of the vantage, once.
    fn reported(
        &mut self,
        check: &CheckId,
        vantage: &VantageId,
        report: &Report,
        judged: &mut Judged,
        now: Timestamp,
    ) {
        let changes = self.vantages.traced(check, vantage, report, now);
        self.stand(changes, judged, now);
        let of_itself = self.vantages.is_many() && vantages::blames_itself(report);
        if self.vantages.is_heard(vantage) && !of_itself {
            self.judge(check, vantage, report, judged, now);
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
            return Some(crate::api::redact::report(&configured.config, report));
        }
        let panics = &self.shared.figures.judge_panics;
        panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%check, "what was seen cannot be judged: the rules panicked over it");
        None
    }

    /// A run, with a report of its records as its evidence: what proves the row, to be judged again.
    fn shown(&mut self, shown: Shown, judged: &mut Judged, now: Timestamp) -> Run {
        let (run, proof) = crate::evidence::of(&self.shared, shown, now);
        judged.changes.extend(proof);
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
        // What is kept is what was seen; what of ours falls with it is told beside that.
        let warned = crate::fate::warned(&self.shared.fates.load(), check, report);
        let trace = JudgedTrace {
            check,
            vantage,
            report: warned.as_ref().unwrap_or(report),
            evidence: Some(digest),
            depends: &[],
        };
        self.parts.changed(check);
        let updates = self.book.traced(&trace, now);
        let key = (check.clone(), vantage.clone());
        let is_kept = self.book.names(check, &digest) || self.is_news(&key, report, now);
        judged.updates.extend(updates);
        if is_kept {
            judged.changes.push(Change::Evidence { at: now, bytes });
            let kept = Kept {
                at: now,
                verdict: report.verdict,
                cause: report.diagnosis.as_ref().map(|d| d.cause),
            };
            self.kept.insert(key, kept);
        }
        if let Some(baseline) = bellwether_diagnose::baseline_of(report) {
            if let Ok(bytes) = serde_json::to_vec(&baseline) {
                judged.changes.push(Change::Checkpoint {
                    key: baseline_key(check, vantage),
                    bytes: Some(bytes),
                });
            }
            self.agents
                .baseline(check, vantage, Some(Arc::new(baseline)));
        }
        let evidence = is_kept.then_some(digest);
        judged
            .shows
            .push(Show::of(check, vantage, report, evidence));
    }

    /// Is a report worth keeping for itself? The first, a change, and now and then what stays broken.
    fn is_news(&self, key: &Key, report: &Report, now: Timestamp) -> bool {
        let Some(kept) = self.kept.get(key) else {
            return true;
        };
        let cause = report.diagnosis.as_ref().map(|d| d.cause);
        let is_old = now.duration_since(kept.at) >= EVIDENCE_EVERY.try_into().unwrap_or_default();
        (kept.verdict, kept.cause) != (report.verdict, cause)
            || report.verdict != Verdict::Healthy && is_old
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
        self.look_at_maintenance(now);
        let updates = self.book.tick(now);
        self.update(updates, now);
        self.watch_vantages(now);
        self.watch_freshness(now);
        self.watch_heartbeats(now);
        if !self.unsaved(|unsaved| unsaved.is_empty()) {
            self.save(Vec::new());
        }
        let mut changes = Vec::new();
        if let Some(part) = self.parts.due(now) {
            changes = self.checkpoint(part);
            // Once a round what incidents remember is as new as the parts.
            self.is_memory_due |= self.parts.take_round();
        }
        if self.is_memory_due && self.parts.may_remember(now) {
            changes.push(self.memory());
        }
        if !changes.is_empty() {
            self.save(changes);
        }
    }

    fn update(&mut self, updates: Vec<Update>, now: Timestamp) {
        let judged = Judged {
            updates,
            ..Judged::default()
        };
        self.settle(judged, now);
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

    /// All that is known, at the end.
    fn write_all_down(&mut self) {
        for part in 0..self.parts.len() {
            let changes = self.checkpoint(part);
            self.save(changes);
        }
        let memory = self.memory();
        self.save(vec![memory]);
    }

    /// What is known of the checks of a part, to be written down.
    fn checkpoint(&mut self, part: usize) -> Vec<Change> {
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
        // What it remembers of the incidents of few checks goes with them.
        if self.parts.is_one() {
            changes.push(self.memory());
        }
        let over = self.parts.over(part).into_iter();
        changes.extend(over.map(|key| Change::Checkpoint { key, bytes: None }));
        changes
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
}
