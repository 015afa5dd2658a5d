//! The whole agent, its clocks paused, with scripted workers.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bellwether_model::job::{Job, Wanted};
use bellwether_model::run::{Run, RunOutcome};
use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use super::*;
use crate::testing::{BEGIN, Seen, id, plan, said};
use crate::workers::Full;
use crate::{Own, TraceWhy, start};

/// Answers by a task each, after what `after` says; `None`: never.
struct Scripted {
    after: fn(u64, &Wanted) -> Option<Duration>,
    say: UnboundedSender<Said>,
    hear: UnboundedReceiver<Said>,
    room: Arc<AtomicU64>,
}

impl Scripted {
    fn new(after: fn(u64, &Wanted) -> Option<Duration>) -> Self {
        let (say, hear) = unbounded_channel();
        let room = Arc::new(AtomicU64::new(u64::MAX));
        Self {
            after,
            say,
            hear,
            room,
        }
    }
}

impl Workers for Scripted {
    fn setting(&mut self, _: u32, _: &Arc<Job>) {}

    fn forget(&mut self, _: u32) {}

    fn ask(&mut self, number: u64, _: u32, wanted: Wanted, _: bool) -> Result<(), Full> {
        if number > self.room.load(Ordering::Relaxed) {
            return Err(Full);
        }
        if let Some(after) = (self.after)(number, &wanted) {
            let say = self.say.clone();
            tokio::spawn(async move {
                sleep(after).await;
                say.send(said(number, &wanted, Seen::Ok)).ok();
            });
        }
        Ok(())
    }

    async fn next(&mut self) -> Option<Said> {
        self.hear.recv().await
    }

    fn said(&mut self) -> Option<Said> {
        self.hear.try_recv().ok()
    }
}

/// The paused clock, and a wall clock that is set.
#[derive(Clone)]
struct TestClock {
    start: Instant,
    wall_off: Arc<AtomicI64>,
}

impl TestClock {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            start,
            wall_off: Arc::default(),
        }
    }
}

impl Clock for TestClock {
    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn wall(&self) -> Timestamp {
        let micros = i64::try_from(BEGIN).unwrap()
            + i64::try_from(self.start.elapsed().as_micros()).unwrap();
        let off = self.wall_off.load(Ordering::Relaxed) * 1_000_000;
        Timestamp::from_microsecond(micros + off).unwrap()
    }
}

fn quick(_: u64, _: &Wanted) -> Option<Duration> {
    Some(Duration::from_millis(40))
}

fn never(_: u64, _: &Wanted) -> Option<Duration> {
    None
}

fn runs(all: &[Harvest]) -> Vec<&Run> {
    let runs = all.iter().filter_map(|one| match one {
        Harvest::Run(run) => Some(run),
        Harvest::Shown(shown) => Some(&shown.run),
        Harvest::Trace(_) | Harvest::Own(_) => None,
    });
    runs.collect()
}

fn drain(taken: &mut mpsc::Receiver<Harvest>) -> Vec<Harvest> {
    std::iter::from_fn(|| taken.try_recv().ok()).collect()
}

#[tokio::test(start_paused = true)]
async fn runs_leave_in_order_whatever_the_wall_clock_does() {
    let clock = TestClock::new();
    let (give, mut taken) = mpsc::channel(64);
    let agent = start(plan(40, 10), Scripted::new(quick), clock.clone(), give);
    let mut all = Vec::new();
    for minute in 0..10 {
        clock
            .wall_off
            .store([0, 86_400, -86_400][minute % 3], Ordering::Relaxed);
        let ends = Instant::now() + Duration::from_secs(60);
        while let Ok(Some(one)) = timeout_at(ends, taken.recv()).await {
            all.push(one);
        }
    }
    let runs = runs(&all);
    assert!((2360..=2400).contains(&runs.len()), "{}", runs.len());
    assert!(
        runs.iter()
            .zip(1..)
            .all(|(run, number)| run.sequence == number)
    );
    assert!(
        runs.iter()
            .all(|run| run.outcome == RunOutcome::Ok && run.late <= 20_000)
    );
    let figures = agent.figures();
    assert_eq!(
        (
            figures.slots_missed,
            figures.slots_busy,
            figures.undelivered
        ),
        (0, 0, 0)
    );
    let last = agent.stop(Duration::from_secs(1)).await.unwrap();
    assert!(last.runs[0] >= runs.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn who_takes_slowly_loses_nothing() {
    let (give, mut taken) = mpsc::channel(1);
    let agent = start(plan(100, 10), Scripted::new(quick), TestClock::new(), give);
    sleep(Duration::from_secs(300)).await;
    let figures = agent.figures();
    assert!(
        figures.harvest_waiting > 2000 && !figures.pressed,
        "{figures:?}"
    );
    assert!(figures.lateness.max <= 20_000, "{:?}", figures.lateness);
    // One a second while the agent is stopped, then the rest.
    let taking = tokio::spawn(async move {
        let mut all = Vec::new();
        while let Some(one) = taken.recv().await {
            all.push(one);
            if all.len() < 20 {
                sleep(Duration::from_secs(1)).await;
            }
        }
        all
    });
    let last = agent.stop(Duration::from_secs(60)).await.unwrap();
    let all = taking.await.unwrap();
    let runs = runs(&all);
    assert_eq!(last.undelivered, 0);
    assert_eq!(runs.len() as u64, last.runs.iter().sum::<u64>());
    assert!(
        runs.iter()
            .zip(1..)
            .all(|(run, number)| run.sequence == number)
    );
}

#[tokio::test(start_paused = true)]
async fn what_nobody_took_at_the_end_is_counted() {
    let (give, _taken) = mpsc::channel(1);
    let agent = start(plan(100, 10), Scripted::new(quick), TestClock::new(), give);
    sleep(Duration::from_secs(60)).await;
    let last = agent.stop(Duration::from_secs(5)).await.unwrap();
    assert!(last.undelivered > 500, "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_no_longer_than_it_may() {
    let (give, mut taken) = mpsc::channel(10_000);
    let agent = start(plan(100, 10), Scripted::new(never), TestClock::new(), give);
    sleep(Duration::from_secs(5)).await;
    let begun = Instant::now();
    agent.stop(Duration::from_secs(2)).await.unwrap();
    assert!(begun.elapsed() <= Duration::from_millis(2300));
    let all = drain(&mut taken);
    let runs = runs(&all);
    assert!((30..=70).contains(&runs.len()), "{}", runs.len());
    assert!(
        runs.iter()
            .all(|run| run.symptom.as_deref() == Some("monitor.stopped"))
    );
}

#[tokio::test(start_paused = true)]
async fn orders_that_are_not_taken_leave_rows() {
    let (give, mut taken) = mpsc::channel(10_000);
    let workers = Scripted::new(quick);
    workers.room.store(0, Ordering::Relaxed);
    let agent = start(plan(20, 10), workers, TestClock::new(), give);
    sleep(Duration::from_secs(25)).await;
    let all = drain(&mut taken);
    let runs = runs(&all);
    assert!(runs.len() >= 40, "{}", runs.len());
    assert!(
        runs.iter()
            .all(|run| run.symptom.as_deref() == Some("monitor.limit"))
    );
    assert_eq!(agent.figures().runs[2], 0);
}

#[tokio::test(start_paused = true)]
async fn requests_are_taken_in() {
    let (give, mut taken) = mpsc::channel(10_000);
    let agent = start(plan(3, 60), Scripted::new(quick), TestClock::new(), give);
    sleep(Duration::from_secs(130)).await;
    drain(&mut taken);
    agent.trace(&id(1)).await;
    agent.follow(&id(2), Some(Duration::from_secs(20))).await;
    agent.baseline(&id(1), None).await;
    sleep(Duration::from_secs(61)).await;
    let all = drain(&mut taken);
    let asked = |n: usize| {
        let of = all.iter().filter(|one| matches!(one, Harvest::Trace(trace) if trace.check == id(n) && trace.why == TraceWhy::Asked));
        of.count()
    };
    assert_eq!((asked(0), asked(1)), (0, 1));
    assert!((3..=4).contains(&asked(2)), "{}", asked(2));
    let mut next = plan(1, 60);
    next.generation = 2;
    agent.plan(next).await;
    sleep(Duration::from_secs(61)).await;
    assert_eq!((agent.figures().generation, agent.figures().checks), (2, 1));
    let all = drain(&mut taken);
    assert_eq!(
        runs(&all).iter().filter(|run| run.check != id(0)).count(),
        0
    );
    assert!(
        !all.iter()
            .any(|one| matches!(one, Harvest::Own(Own::CheckPoisoned { .. })))
    );
}

#[tokio::test(start_paused = true)]
async fn an_agent_without_anybody_to_tell_ends() {
    let (give, taken) = mpsc::channel(1);
    let mut agent = start(plan(3, 10), Scripted::new(quick), TestClock::new(), give);
    drop(taken);
    assert!(matches!(agent.ended().await, Ended::Stopped));
}
