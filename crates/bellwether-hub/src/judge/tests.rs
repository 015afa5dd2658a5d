//! The judge with a store in memory, and times that tests make.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bellwether_agent::TraceWhy;
use bellwether_diagnose::incidents::AlarmKind;
use bellwether_model::incident::IncidentState;
use bellwether_model::report::Context;
use bellwether_model::run::RunOutcome;
use bellwether_model::{Layer, Target};
use tokio::sync::{broadcast, oneshot};

use super::*;
use crate::agents::Owner;
use crate::board::Board;
use crate::links::Links;
use crate::testing::{self, Memory};

const CONFIG: &str = "
services:
  - { name: shop, url: https://www.shop.example/, every: 10s }
  - { name: pay, url: https://pay.example/, every: 10s }
";

struct Stage {
    judge: Judge,
    owner: Owner,
    shared: Arc<Shared>,
    memory: Arc<Memory>,
    now: Timestamp,
    sequence: u64,
}

fn begin() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

fn shop() -> CheckId {
    CheckId::new("shop", "main")
}

fn config(text: &str) -> Arc<bellwether_config::Config> {
    let config = bellwether_config::parse(text, Path::new("bellwether.yaml"));
    Arc::new(config.unwrap())
}

fn judge(shared: &Arc<Shared>, now: Timestamp) -> (Judge, Owner) {
    let config = shared.configured.load().config.clone();
    let plan = bellwether_agent::settings::plan(&config, 1, &BTreeMap::new()).unwrap();
    let (harvest, _) = mpsc::channel(1);
    let worker = Arc::new(|| tokio::process::Command::new("false"));
    let (agents, owner) = Agents::new(plan, worker, harvest, Arc::default(), Links::default());
    let keeper = Keeper::start(shared.clone(), 1).unwrap();
    let judge = Judge::restore(shared.clone(), agents, keeper, now).unwrap();
    (judge, owner)
}

impl Stage {
    fn new(text: &str) -> Self {
        let hub = testing::hub(begin(), text);
        Self::of(hub.shared, hub.memory)
    }

    fn of(shared: Arc<Shared>, memory: Arc<Memory>) -> Self {
        let now = begin();
        let config = shared.configured.load().config.clone();
        shared.board_mut(|board| drop(board.configure(&config, now)));
        let (judge, owner) = judge(&shared, now);
        Self {
            judge,
            owner,
            shared,
            memory,
            now,
            sequence: 0,
        }
    }

    /// The same store, another process.
    fn again(self) -> Self {
        let Self {
            judge: ended,
            shared,
            memory,
            now,
            sequence,
            ..
        } = self;
        drop(ended);
        let mut board = Board::default();
        let configured = shared.configured.load_full();
        drop(board.configure(&configured.config, now));
        if let Some(kept) = memory_checkpoint(&memory, crate::board::CHECKPOINT) {
            board.restore([kept.as_slice()]);
        }
        shared.board_mut(|place| *place = board);
        let (judge, owner) = judge(&shared, now);
        Self {
            judge,
            owner,
            shared,
            memory,
            now,
            sequence,
        }
    }

    fn configure(&mut self, text: &str) {
        let mut configured = Configured::clone(&self.shared.configured.load());
        configured.generation += 1;
        configured.config = config(text);
        let configured = Arc::new(configured);
        self.shared.configured.store(configured.clone());
        self.judge.configure(&configured, self.now);
    }

    fn target(&self, check: &CheckId) -> Target {
        let config = self.shared.configured.load().config.clone();
        let service = config.services.iter().find(|s| s.name == check.service());
        service.unwrap().checks[0].target.clone()
    }

    fn context(&self, target: Target) -> Context {
        Context {
            target,
            expect: Default::default(),
            vantage: VantageId::LOCAL.to_owned(),
            now: self.now,
            time_given: false,
            family: None,
            baseline: None,
        }
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn run(&mut self, check: &CheckId, outcome: RunOutcome) {
        self.sequence += 1;
        let mut run = testing::run(check, self.sequence, self.now, outcome);
        run.every = 10_000;
        run.late = 0;
        self.take(Harvest::Run(run));
    }

    /// Something comes from the agent.
    fn take(&mut self, one: Harvest) {
        let mut batch = vec![one];
        self.judge.received(&mut batch);
        self.judge.take(&mut batch, self.now);
    }

    /// A trace with this result is judged.
    fn trace(&mut self, check: &CheckId, verdict: Verdict) {
        let mut report = freshness::no_result(check, self.now, "0", self.now);
        report.verdict = verdict;
        report.context = Some(self.context(self.target(check)));
        if verdict == Verdict::Healthy {
            report.diagnosis = None;
            report.findings.clear();
        } else {
            let diagnosis = report.diagnosis.as_mut().unwrap();
            diagnosis.cause = Cause::CertExpired;
            diagnosis.layer = Layer::Tls;
            "the certificate ended".clone_into(&mut diagnosis.summary);
            let finding = &mut report.findings[0];
            finding.cause = Cause::CertExpired;
            finding.layer = Layer::Tls;
        }
        let mut judged = Judged::default();
        let local = VantageId::new(VantageId::LOCAL);
        self.judge
            .judge(check, &local, &report, &mut judged, self.now);
        self.judge.settle(judged, self.now);
    }

    /// A second passes; the other service is served meanwhile.
    fn tick(&mut self) {
        self.run(&CheckId::new("pay", "main"), RunOutcome::Ok);
        self.judge.tick(self.now);
        self.agrees();
    }

    fn verdict(&self, check: &CheckId) -> Verdict {
        self.shared.board(|board| board.checks[check].verdict)
    }

    fn is_held(&self, check: &CheckId) -> bool {
        !self.judge.book.of_check(check).is_empty()
    }

    /// Nobody is shown as served by what an incident makes fail, and nobody as failing without one.
    fn agrees(&self) {
        for check in [shop(), CheckId::new("pay", "main")] {
            let known = self
                .shared
                .board(|board| board.checks.get(&check).is_some_and(|c| c.since.is_some()));
            let fails = self.is_held(&check);
            if known || fails {
                let verdict = self.verdict(&check);
                let shown = matches!(verdict, Verdict::Broken | Verdict::Degraded);
                assert_eq!(
                    shown, fails,
                    "{check} is shown as {verdict:?} at {}",
                    self.now
                );
            }
        }
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }
}

fn memory_checkpoint(memory: &Memory, key: &str) -> Option<Vec<u8>> {
    bellwether_store::StateStore::checkpoint(memory, key).unwrap()
}

fn baseline_key(check: &CheckId) -> String {
    format!("{BASELINE}{check}")
}

/// Item by item what services are told to be.
fn told(events: &mut broadcast::Receiver<Event>, service: &str) -> Vec<Verdict> {
    let mut told = Vec::new();
    loop {
        match events.try_recv() {
            Ok(Event::Service { name, verdict, .. }) if name == service => told.push(verdict),
            // Tests look at the newest ones.
            Ok(_) | Err(broadcast::error::TryRecvError::Lagged(_)) => {}
            Err(_) => return told,
        }
    }
}

#[test]
fn p15_a_clock_set_back_deafens_nobody_and_forgets_no_alarm() {
    let mut stage = Stage::new(CONFIG);
    let elapsed = stage.shared.started_at.elapsed();
    stage.trace(&shop(), Verdict::Healthy);
    for _ in 0..30 {
        stage.wait(10);
        stage.run(&shop(), RunOutcome::Failed);
        stage.tick();
    }
    assert!(stage.judge.detector.is_open(&shop()));
    assert!(stage.is_held(&shop()));
    // A day back; some stamps of before are still on their way.
    let late = stage.now;
    stage.now -= Duration::from_secs(86_400);
    stage.judge.look_at_clock(stage.now, elapsed);
    let run = testing::run(&shop(), 900, late, RunOutcome::Ok);
    stage.take(Harvest::Run(run));
    let judged = |stage: &Stage| stage.shared.board(|b| b.checks[&shop()].judged_at.unwrap());
    assert!(judged(&stage) <= stage.now);
    assert!(stage.judge.detector.is_open(&shop()), "the alarm is kept");
    stage.tick();
    for _ in 0..120 {
        stage.wait(10);
        stage.run(&shop(), RunOutcome::Ok);
        stage.trace(&shop(), Verdict::Healthy);
        stage.tick();
    }
    assert!(!stage.judge.detector.is_open(&shop()), "its end is heard");
    assert!(!stage.is_held(&shop()));
    assert_eq!(stage.verdict(&shop()), Verdict::Healthy);
    assert_eq!(stage.judge.book.open().count(), 0, "the hold ends");
    assert_eq!(judged(&stage), stage.now);
    // Half a day forward: nobody is to blame for what could not be asked.
    stage.now += Duration::from_secs(40_000);
    let elapsed = stage.shared.started_at.elapsed();
    stage.judge.look_at_clock(stage.now, elapsed);
    stage.tick();
    assert_eq!(stage.judge.book.open().count(), 0);
    let told = stage
        .shared
        .board(|board| board.service("shop", stage.now).unwrap());
    assert_eq!(told.verdict, Verdict::Unknown);
    stage.wait(10);
    stage.run(&shop(), RunOutcome::Ok);
    let told = stage
        .shared
        .board(|board| board.service("shop", stage.now).unwrap());
    assert_eq!(told.verdict, Verdict::Healthy);
}

#[test]
fn p15_what_was_written_down_by_a_clock_ahead_is_no_obstacle_after_a_start() {
    let mut stage = Stage::new(CONFIG);
    stage.now += Duration::from_secs(86_400 * 300);
    for _ in 0..10 {
        stage.wait(10);
        stage.run(&shop(), RunOutcome::Ok);
    }
    stage.trace(&shop(), Verdict::Healthy);
    stage.judge.checkpoint(0);
    stage.now = begin();
    let mut stage = stage.again();
    for _ in 0..30 {
        stage.wait(10);
        stage.run(&shop(), RunOutcome::Failed);
        stage.tick();
    }
    assert!(stage.is_held(&shop()));
}

#[test]
fn the_board_follows_incidents_at_once_with_and_without_traces() {
    let mut stage = Stage::new(CONFIG);
    stage.trace(&shop(), Verdict::Healthy);
    let mut events = stage.events();
    for _ in 0..60 {
        stage.wait(10);
        stage.run(&shop(), RunOutcome::Failed);
        stage.agrees();
        stage.tick();
    }
    assert!(stage.is_held(&shop()), "runs alone open an incident");
    assert_eq!(stage.verdict(&shop()), Verdict::Degraded);
    assert_eq!(told(&mut events, "shop").last(), Some(&Verdict::Degraded));
    // Traces find it well, the alarm stands: it is broken until the alarm ends, and no longer.
    for _ in 0..3 {
        stage.wait(3);
        stage.trace(&shop(), Verdict::Healthy);
        stage.agrees();
    }
    let mut ended = None;
    for round in 0..200 {
        stage.wait(10);
        stage.run(&shop(), RunOutcome::Ok);
        stage.agrees();
        stage.tick();
        if ended.is_none() && !stage.is_held(&shop()) {
            ended = Some(round);
        }
    }
    assert!(ended.is_some());
    assert_eq!(stage.verdict(&shop()), Verdict::Healthy);
    assert_eq!(told(&mut events, "shop").last(), Some(&Verdict::Healthy));
    // By traces alone.
    stage.wait(10);
    for verdict in [
        Verdict::Broken,
        Verdict::Broken,
        Verdict::Healthy,
        Verdict::Healthy,
    ] {
        stage.wait(2);
        stage.trace(&shop(), verdict);
        stage.agrees();
    }
    assert_eq!(stage.verdict(&shop()), Verdict::Healthy);
}

#[test]
fn after_a_start_board_and_book_agree() {
    let mut stage = Stage::new(CONFIG);
    stage.trace(&shop(), Verdict::Healthy);
    stage.judge.checkpoint(0);
    for _ in 0..2 {
        stage.wait(2);
        stage.trace(&shop(), Verdict::Broken);
    }
    let stage = stage.again();
    assert_eq!(stage.verdict(&shop()), Verdict::Broken);
    stage.agrees();
    let mut stage = stage;
    stage.judge.checkpoint(0);
    for _ in 0..2 {
        stage.wait(2);
        stage.trace(&shop(), Verdict::Healthy);
    }
    let stage = stage.again();
    stage.agrees();
    assert_eq!(stage.verdict(&shop()), Verdict::Unknown);
}

#[test]
fn what_comes_late_of_another_check_or_target_is_history() {
    let mut stage = Stage::new(CONFIG);
    let harvest = |stage: &Stage, check: &CheckId, target: Target| {
        Harvest::Trace(Box::new(Trace {
            check: check.clone(),
            why: TraceWhy::Asked,
            context: stage.context(target),
            began: stage.now,
            took_ms: 1.0,
            queries: 0,
            observations: Vec::new(),
        }))
    };
    let gone = CheckId::new("gone", "main");
    let target = stage.target(&shop());
    stage.wait(5);
    let late = harvest(&stage, &gone, target.clone());
    stage.take(late);
    stage.run(&gone, RunOutcome::Failed);
    let other = stage.target(&CheckId::new("pay", "main"));
    let late = harvest(&stage, &shop(), other);
    stage.take(late);
    assert!(stage.judge.book.checks().is_empty());
    assert!(stage.judge.keeper.flush(Duration::from_secs(60)));
    let local = VantageId::new(VantageId::LOCAL);
    let range = begin()..stage.now + Duration::from_secs(1);
    let kept = stage.shared.observations.series(&gone, &local, range, 10);
    assert_eq!(kept.unwrap().runs.len(), 1, "its row is kept");
    let own = harvest(&stage, &shop(), target);
    stage.take(own);
    assert_eq!(stage.judge.book.checks(), BTreeSet::from([shop()]));
}

#[test]
fn incidents_of_checks_that_went_while_nobody_looked_end_with_the_start() {
    let hub = testing::hub(begin(), CONFIG);
    let open = testing::incident(1, begin(), Digest([0; 32]));
    let mut other = open.clone();
    other.checks[0].check = "gone/main".to_owned();
    hub.shared
        .state
        .commit(&[Change::Incident(Box::new(other))])
        .unwrap();
    let mut stage = Stage::of(hub.shared, hub.memory);
    for _ in 0..40 {
        stage.wait(60);
        stage.judge.tick(stage.now);
    }
    let open = stage.shared.open_incidents().unwrap();
    let of_gone = |i: &Incident| i.checks.iter().any(|c| c.check == "gone/main");
    assert!(!open.iter().any(of_gone), "{open:#?}");
}

#[test]
fn after_a_start_alarms_that_only_the_book_knows_end_and_what_is_followed_is_asked_for() {
    let mut stage = Stage::new(CONFIG);
    stage.trace(&shop(), Verdict::Healthy);
    let slow = incidents::Signal::Alarm {
        check: shop(),
        vantage: VantageId::new(VantageId::LOCAL),
        kind: AlarmKind::Slow,
        since: stage.now,
        layer: None,
        words: "it takes 5 times as long".to_owned(),
    };
    let mut failing = slow.clone();
    if let incidents::Signal::Alarm { check, kind, .. } = &mut failing {
        (*check, *kind) = (CheckId::new("pay", "main"), AlarmKind::Failing);
    }
    for signal in [slow, failing] {
        let updates = stage.judge.book.signal(&signal, stage.now);
        stage.judge.update(updates, stage.now);
    }
    for _ in 0..2 {
        stage.wait(2);
        stage.trace(&shop(), Verdict::Broken);
    }
    assert_eq!(stage.judge.book.alarms().len(), 2);
    stage.judge.checkpoint(0);
    drop(stage.owner.asked());
    let mut stage = stage.again();
    assert!(stage.judge.book.alarms().is_empty());
    let asked = stage.owner.asked();
    let follows = |ask: &String| ask.starts_with("follow shop/main Some");
    assert!(asked.iter().any(follows), "{asked:?}");
}

#[test]
fn a_poisoned_check_does_not_go_dark_and_a_new_agent_begins_anew() {
    let mut stage = Stage::new(CONFIG);
    let poisoned = Own::CheckPoisoned {
        check: shop(),
        why: "it died".to_owned(),
    };
    stage.wait(1);
    stage
        .judge
        .take(&mut vec![Harvest::Own(poisoned)], stage.now);
    assert!(stage.is_held(&shop()));
    let is_poisoned = |stage: &Stage| stage.shared.board(|b| b.checks[&shop()].poisoned.is_some());
    assert!(is_poisoned(&stage));
    // Traces go well, and nothing of it is heard any more.
    for _ in 0..3 {
        stage.wait(2);
        stage.trace(&shop(), Verdict::Healthy);
    }
    for _ in 0..30 {
        stage.wait(10);
        stage.judge.tick(stage.now);
    }
    assert!(is_poisoned(&stage));
    let hung = |i: &Incident| {
        i.cause == Cause::MonitorProbeHung && i.checks.iter().any(|c| c.check == "shop/main")
    };
    assert!(stage.judge.book.open().any(hung), "its silence is told");
    stage
        .judge
        .take(&mut vec![Harvest::Own(Own::Began)], stage.now);
    assert!(!is_poisoned(&stage));
}

#[test]
fn what_is_known_of_another_target_is_not_known_of_this_one() {
    let mut stage = Stage::new(CONFIG);
    for _ in 0..2 {
        stage.wait(2);
        stage.trace(&shop(), Verdict::Broken);
    }
    let known = Change::Checkpoint {
        key: baseline_key(&shop()),
        bytes: Some(br#"{"at":"2026-01-01T00:00:00Z"}"#.to_vec()),
    };
    stage.shared.state.commit(&[known]).unwrap();
    stage.judge.checkpoint(0);
    let moved = CONFIG.replace("www.shop.example", "new.shop.example");
    let of = |stage: &Stage, text: &str| {
        baselines(&*stage.shared.state, &config(text), &local()).unwrap()
    };
    assert_eq!(of(&stage, CONFIG).len(), 1);
    assert_eq!(of(&stage, &moved).len(), 0, "the plan is made without it");
    // While it runs, and by a start.
    let mut configured = Configured::clone(&stage.shared.configured.load());
    for starts_anew in [true, false] {
        configured.config = config(if starts_anew { &moved } else { CONFIG });
        if starts_anew {
            stage.shared.configured.store(Arc::new(configured.clone()));
            stage = stage.again();
        } else {
            stage.wait(1);
            stage.trace(&shop(), Verdict::Healthy);
            assert_eq!(stage.verdict(&shop()), Verdict::Healthy);
            stage.wait(1);
            let late = stage.now;
            stage.wait(1);
            stage.configure(CONFIG);
            let run = testing::run(&shop(), 1, late - Duration::from_millis(2), RunOutcome::Ok);
            stage.take(Harvest::Run(run));
        }
        stage.shared.board(|board| {
            let check = &board.checks[&shop()];
            assert_eq!(check.verdict, Verdict::Unknown);
            assert_eq!((check.judged_at, check.since), (None, None));
        });
        assert!(!stage.is_held(&shop()));
        assert_eq!(
            memory_checkpoint(&stage.memory, &baseline_key(&shop())),
            None
        );
    }
}

#[test]
fn silence_of_all_is_named_in_parts_and_stored_once_a_tick() {
    let services: String = (0..600)
        .map(|n| format!("  - {{ name: s{n}, url: \"https://s{n}.example/\", every: 10s }}\n"))
        .collect();
    let mut stage = Stage::new(&format!("services:\n{services}"));
    stage.wait(600);
    let mut named = 0;
    for _ in 0..3 {
        let before = stage.memory.commits();
        let _ = stage.judge.parts.due(stage.now);
        stage.judge.tick(stage.now);
        assert!(stage.memory.commits() - before <= 2);
        let now = stage.judge.silent.len();
        assert!((1..=256).contains(&(now - named)), "{named} {now}");
        named = now;
        stage.wait(1);
    }
    assert_eq!(named, 600);
}

#[test]
fn notices_are_kept_for_receivers_alone() {
    let routed = "
receivers:
  - { name: oncall, slack: { webhook: \"https://hooks.example/x\" } }
route: { receiver: oncall }
";
    for (more, some) in [("", false), (routed, true)] {
        let mut stage = Stage::new(&format!("{CONFIG}{more}"));
        for _ in 0..2 {
            stage.wait(2);
            stage.trace(&shop(), Verdict::Broken);
        }
        assert!(stage.is_held(&shop()));
        let kept = stage.shared.state.outbox(10).unwrap();
        assert_eq!(!kept.is_empty(), some);
    }
}

#[test]
fn a_judge_that_panics_loses_neither_rows_nor_changes() {
    let mut stage = Stage::new(CONFIG);
    stage.wait(1);
    stage.trace(&shop(), Verdict::Broken);
    // The second one opens an incident, which the store panics over.
    stage.memory.panic_next();
    stage.wait(1);
    let opens = catch_unwind(AssertUnwindSafe(|| stage.trace(&shop(), Verdict::Broken)));
    assert!(opens.is_err());
    let now = Timestamp::now();
    let run = |sequence| {
        let run = testing::run(&shop(), sequence, now, RunOutcome::Failed);
        Harvest::Run(run)
    };
    let trace = Harvest::Own(Own::CheckPoisoned {
        check: shop(),
        why: "it died".to_owned(),
    });
    let mut batch = vec![trace, run(2), run(3)];
    stage.judge.received(&mut batch);
    stage.memory.panic_next();
    let taken = catch_unwind(AssertUnwindSafe(|| stage.judge.take_batch(&mut batch)));
    assert!(taken.is_err());
    assert_eq!(batch.len(), 2, "what was not judged is still there");
    // The keeper outlives the judge.
    assert!(stage.judge.keeper.flush(Duration::from_secs(60)));
    let mut stage = stage.again();
    stage.judge.take_batch(&mut batch);
    stage.judge.tick(stage.now);
    assert!(stage.judge.is_saved());
    assert!(!stage.shared.state.open_incidents().unwrap().is_empty());
    assert!(stage.judge.keeper.flush(Duration::from_secs(60)));
    let local = VantageId::new(VantageId::LOCAL);
    let range = begin()..now + Duration::from_secs(60);
    let kept = stage.shared.observations.series(&shop(), &local, range, 10);
    assert_eq!(kept.unwrap().runs.len(), 2);
}

#[test]
fn a_stale_check_hides_no_broken_one() {
    let now = begin();
    let hub = testing::filled(now);
    hub.shared.board_mut(|board| {
        let queue = board.checks.get_mut(&CheckId::new("pay", "queue")).unwrap();
        queue.judged_at = Some(now - Duration::from_secs(600));
        let told = board.service("pay", now).unwrap();
        assert_eq!((told.verdict, told.stale), (Verdict::Broken, true));
        assert_eq!(told.cause, Some(Cause::Unknown));
        assert_eq!(board.service("old", now).unwrap().verdict, Verdict::Unknown);
    });
}

#[test]
fn growing_stale_is_an_event() {
    let mut stage = Stage::new(CONFIG);
    stage.wait(1);
    stage.trace(&shop(), Verdict::Healthy);
    let mut events = stage.events();
    stage.wait(5);
    stage.judge.tick(stage.now);
    assert_eq!(told(&mut events, "shop"), []);
    stage.wait(18);
    stage.judge.tick(stage.now);
    assert_eq!(told(&mut events, "shop"), [Verdict::Unknown]);
    stage.judge.tick(stage.now);
    assert_eq!(told(&mut events, "shop"), []);
    stage.run(&shop(), RunOutcome::Ok);
    assert_eq!(told(&mut events, "shop"), [Verdict::Healthy]);
}

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
    let (agents, _owner) = Agents::new(
        plan.unwrap(),
        worker,
        harvest,
        shared.agent.clone(),
        Links::default(),
    );
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
        assert_eq!(shared.unkept(), BTreeMap::new());
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
    judge.update(updates, now);
    assert_eq!(shared.unkept().keys().collect::<Vec<_>>(), [&1]);
    hub.memory.set_broken(false);
    judge.tick(now);
    assert_eq!(shared.unkept(), BTreeMap::new());
}
