//! Pools of workers that are well, that hang, that die and that cannot be started.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bellwether_model::net::TcpResult;
use bellwether_model::{Outcome, ProbeKind};
use tokio::sync::{Semaphore, mpsc};

use super::super::fault::FAULT_VARIABLE;
use super::super::{Manner, ORDERS_AT_ONCE, serve_many};
use super::*;
use crate::testing::{answer, check_ask, http_server, job, server};

/// Set in the processes that play the worker.
const CHILD_VARIABLE: &str = "BELLWETHER_TEST_WORKER";
const SETTING: u32 = 7;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Where the culprit's target is; nobody listens there.
const CULPRIT: &str = "127.0.0.9";
/// This program as a worker; frames go to descriptor 3, since the test harness writes to standard
/// output.
const RUN: &str = r#"exec "$0" worker::pool::tests::child --exact --nocapture 3>&1 >/dev/null"#;

/// Not a test of its own: the processes that the others start run only this.
#[test]
fn child() {
    if std::env::var_os(CHILD_VARIABLE).is_none() {
        return;
    }
    let input = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let output = File::options().write(true).open("/dev/fd/3").unwrap();
    let manner = Manner {
        at_once: ORDERS_AT_ONCE,
        remembers: true,
        beats: true,
    };
    serve_many(input, output, manner).unwrap();
    std::process::exit(0);
}

/// A worker by a script of a shell, which [`RUN`] makes one.
fn shell(script: &str, arg: &Path, fault: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(arg)
        .env(CHILD_VARIABLE, "1")
        .env(FAULT_VARIABLE, fault);
    command
}

fn well(fault: &str) -> impl Fn() -> Command + Send + Sync + 'static {
    let fault = fault.to_owned();
    move || shell(RUN, Path::new(""), &fault)
}

fn visit(target: &str) -> Wanted {
    Wanted::Visit {
        ask: check_ask(target),
        resolver: None,
        turn: 0,
        deadline_ms: 20_000,
        usual: None,
    }
}

fn trace(target: &str) -> Wanted {
    Wanted::Trace {
        ask: check_ask(target),
        baseline: None,
        now: None,
        deadline_ms: 20_000,
    }
}

fn pool(
    command: impl Fn() -> Command + Send + Sync + 'static,
    workers: usize,
) -> (Pool, mpsc::Receiver<Said>) {
    let settings = PoolSettings {
        workers,
        ..PoolSettings::default()
    };
    let (pool, said) = Pool::start(command, settings);
    pool.setting(SETTING, job("http://127.0.0.1:1/"));
    (pool, said)
}

/// What became of orders; each end may come once.
#[derive(Debug, Default)]
struct Ends {
    told: BTreeMap<u64, Told>,
    judged: BTreeMap<u64, Judged>,
    lost: BTreeMap<u64, (NotRunReason, String)>,
    poisoned: BTreeMap<u64, String>,
    replaced: Vec<(String, usize)>,
}

/// Hears until so many orders have ended.
async fn ends(said: &mut mpsc::Receiver<Said>, count: usize) -> Ends {
    let mut ends = Ends::default();
    while ends.told.len() + ends.judged.len() + ends.lost.len() + ends.poisoned.len() < count {
        let is_first = match said.recv().await.expect("the pool lives") {
            Said::Told(told) => ends.told.insert(told.number, told).is_none(),
            Said::Judged(judged) => ends.judged.insert(judged.number, judged).is_none(),
            Said::Lost {
                number,
                reason,
                detail,
            } => ends.lost.insert(number, (reason, detail)).is_none(),
            Said::Poisoned { number, why } => ends.poisoned.insert(number, why).is_none(),
            Said::Replaced { why, under_way } => {
                ends.replaced.push((why, under_way));
                true
            }
        };
        assert!(is_first, "{ends:?}");
    }
    ends
}

fn kinds(told: &Told) -> Vec<ProbeKind> {
    let is_run = |o: &&bellwether_model::Observation| !matches!(o.outcome, Outcome::NotRun(_));
    let run = told.observations.iter().filter(is_run);
    run.map(|o| o.probe).collect()
}

/// Twenty orders, one of them a culprit: all others are told, and it is named.
async fn with_culprit(fault: &str, at: u64, workers: usize, wanted: fn(&str) -> Wanted) -> Ends {
    let good = http_server(OK).await;
    let (pool, mut said) = pool(well(&format!("{fault}:host {CULPRIT}:")), workers);
    for number in 0..20 {
        let wanted = if number == at {
            wanted(&format!("http://{CULPRIT}:80/"))
        } else {
            visit(&format!("http://{good}/"))
        };
        pool.ask(number, SETTING, wanted).unwrap();
    }
    let ends = ends(&mut said, 20).await;
    let named: Vec<u64> = ends.poisoned.keys().copied().collect();
    assert_eq!(named, [at], "{fault} {at} {workers} {ends:?}");
    let told: Vec<u64> = (0..20).filter(|number| *number != at).collect();
    assert_eq!(ends.told.keys().copied().collect::<Vec<_>>(), told);
    for told in ends.told.values() {
        assert_eq!(kinds(told), [ProbeKind::Tcp, ProbeKind::Http], "{told:?}");
    }
    assert!(!ends.replaced.is_empty());
    // Others go on.
    pool.ask(99, SETTING, visit(&format!("http://{good}/")))
        .unwrap();
    assert!(self::ends(&mut said, 1).await.told.contains_key(&99));
    ends
}

#[tokio::test]
async fn who_aborts_a_worker_is_named() {
    for workers in [1, 4] {
        for at in [0, 10, 19] {
            let ends = with_culprit("abort", at, workers, visit).await;
            assert!(ends.poisoned[&at].contains("signal: 6"), "{ends:?}");
        }
    }
}

#[tokio::test]
async fn who_holds_a_worker_up_is_named() {
    let hang = with_culprit("hang", 0, 1, visit);
    let spin = with_culprit("spin", 10, 4, trace);
    let abort = with_culprit("abort", 19, 1, trace);
    let (hang, spin, _) = tokio::join!(hang, spin, abort);
    assert!(hang.poisoned[&0].contains("it was stuck"), "{hang:?}");
    assert!(spin.poisoned[&10].contains("it was stuck"), "{spin:?}");
}

#[tokio::test]
async fn a_panic_costs_one_order() {
    let good = http_server(OK).await;
    let (pool, mut said) = pool(well(&format!("panic:host {CULPRIT}:")), 1);
    for number in 0..4 {
        let host = if number == 1 { CULPRIT } else { "127.0.0.1" };
        let target = format!("http://{host}:{}/", good.port());
        pool.ask(number, SETTING, visit(&target)).unwrap();
    }
    let ends = ends(&mut said, 4).await;
    let Outcome::NotRun(not_run) = &ends.told[&1].observations[0].outcome else {
        panic!("{ends:?}");
    };
    assert_eq!(not_run.reason, NotRunReason::Panicked);
    assert_eq!(kinds(&ends.told[&2]), [ProbeKind::Tcp, ProbeKind::Http]);
    assert_eq!(pool.figures().replaced, 0);
}

/// A server that answers when it is let, and how many wait for it.
async fn held() -> (String, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (gate, waiting) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (open, count) = (gate.clone(), waiting.clone());
    let at = server(move |mut stream| {
        let (open, count) = (open.clone(), count.clone());
        async move {
            count.fetch_add(1, Ordering::Relaxed);
            drop(open.acquire().await);
            answer(&mut stream, OK.as_bytes()).await;
        }
    })
    .await;
    (format!("http://{at}/"), gate, waiting)
}

/// A far bound, for what comes at once.
async fn until(mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
    waited.expect("it never came so");
}

/// Sends a signal to the worker that was started first, over orders that are under way in it.
async fn signalled(signal: &str) -> Ends {
    let pids = tempfile::NamedTempFile::new().unwrap();
    let path = pids.path().to_owned();
    let script = format!("echo $$ >> \"$1\"\n{RUN}");
    let (pool, mut said) = pool(move || shell(&script, &path, ""), 1);
    let (target, gate, waiting) = held().await;
    for number in 0..10 {
        pool.ask(number, SETTING, visit(&target)).unwrap();
    }
    until(|| waiting.load(Ordering::Relaxed) == 10).await;
    assert_eq!(pool.figures().in_flight, 10);
    let written = std::fs::read_to_string(pids.path()).unwrap();
    let pid = written.lines().next().unwrap();
    let kill = Command::new("kill").args([signal, pid]).status().await;
    assert!(kill.unwrap().success());
    until(|| pool.figures().replaced == 1).await;
    gate.add_permits(1000);
    let ends = ends(&mut said, 10).await;
    assert_eq!(ends.told.len(), 10, "{ends:?}");
    assert_eq!(ends.replaced.len(), 1);
    assert_eq!(ends.replaced[0].1, 10);
    ends
}

#[tokio::test]
async fn a_worker_that_is_killed_takes_nothing_along() {
    let ends = signalled("-KILL").await;
    assert!(ends.replaced[0].0.contains("signal: 9"), "{ends:?}");
}

#[tokio::test]
async fn a_worker_that_is_stopped_takes_nothing_along() {
    let ends = signalled("-STOP").await;
    assert!(ends.replaced[0].0.contains("it was stuck"), "{ends:?}");
}

/// One that stands still over a suspect was made to: the suspect is asked again.
#[tokio::test]
async fn who_is_in_a_worker_that_is_stopped_is_not_named() {
    let pids = tempfile::NamedTempFile::new().unwrap();
    let path = pids.path().to_owned();
    let script = format!("echo $$ >> \"$1\"\n{RUN}");
    let (pool, mut said) = pool(move || shell(&script, &path, ""), 1);
    let written = || std::fs::read_to_string(pids.path()).unwrap();
    until(|| written().lines().count() == 1).await;
    let (target, gate, waiting) = held().await;
    pool.ask_apart(1, SETTING, visit(&target)).unwrap();
    until(|| waiting.load(Ordering::Relaxed) == 1).await;
    let written = written();
    let pid = written.lines().last().unwrap();
    let kill = Command::new("kill").args(["-STOP", pid]).status().await;
    assert!(kill.unwrap().success());
    until(|| pool.figures().replaced == 1).await;
    gate.add_permits(1000);
    let ends = ends(&mut said, 1).await;
    assert!(ends.told.contains_key(&1), "{ends:?}");
}

/// As long as each worker says its first word and nothing more, no order is to blame.
#[tokio::test]
async fn nobody_is_named_while_all_workers_hang() {
    let mut mark = tempfile::NamedTempFile::new().unwrap();
    mark.write_all(b"hang").unwrap();
    let path = mark.path().to_owned();
    let beat = r"printf '\000\000\000\000\000\000\000\000'";
    let script = format!("if [ -s \"$1\" ]; then\n{beat}\nexec sleep 600\nfi\n{RUN}");
    let good = http_server(OK).await;
    let (pool, mut said) = pool(move || shell(&script, &path, ""), 1);
    pool.ask(1, SETTING, visit(&format!("http://{good}/")))
        .unwrap();
    // The first one, the one in its place, and one apart.
    until(|| pool.figures().replaced >= 4).await;
    mark.as_file().set_len(0).unwrap();
    let ends = ends(&mut said, 1).await;
    assert!(ends.told.contains_key(&1), "{ends:?}");
}

/// The first one says this; those after it are well.
async fn first_says(says: &str) -> Ends {
    let mut mark = tempfile::NamedTempFile::new().unwrap();
    mark.write_all(b"first").unwrap();
    let path = mark.path().to_owned();
    let script = format!(
        "if [ -s \"$1\" ]; then\n: > \"$1\"\nhead -c 1 >/dev/null\n{says}\nexec sleep 600\nfi\n{RUN}"
    );
    let good = http_server(OK).await;
    let (pool, mut said) = pool(move || shell(&script, &path, ""), 1);
    for number in 0..5 {
        let target = format!("http://{good}/");
        pool.ask(number, SETTING, visit(&target)).unwrap();
    }
    let ends = ends(&mut said, 5).await;
    assert_eq!(ends.told.len(), 5, "{ends:?}");
    ends
}

#[tokio::test]
async fn garbage_is_not_listened_to() {
    for says in [
        r"printf '\000\000\000\000garbage garbage'",
        r"printf '\000\000\000\000\002\000\000\000{}'",
        r#"printf '\000\000\000\000\045\000\000\000{"number":123456789,"observations":[]}'"#,
        r"printf '\000\000\000\000\377\377\377\177'",
        // Before it said that it lives: nobody is to blame, and nothing is repeated apart.
        "printf 'garbage garbage'",
    ] {
        first_says(says).await;
    }
}

#[tokio::test]
async fn no_more_than_there_is_room_for() {
    let settings = PoolSettings {
        workers: 1,
        at_once: 2,
        capacity: 3,
    };
    let silent = || shell("exec sleep 600", Path::new(""), "");
    let (pool, mut said) = Pool::start(silent, settings);
    let target = "http://127.0.0.1:1/";
    let taken: Vec<bool> = (0..5)
        .map(|number| pool.ask(number, SETTING, visit(target)).is_ok())
        .collect();
    assert_eq!(taken, [true, true, true, false, false]);
    until(|| pool.figures().in_flight == 2).await;
    assert_eq!(pool.figures().queued, 1);
    drop(pool);
    let ends = ends(&mut said, 3).await;
    assert_eq!(ends.lost.len(), 3, "{ends:?}");
    assert!(said.recv().await.is_none());
}

#[tokio::test]
async fn a_pool_that_is_dropped_leaves_no_worker() {
    let pids = tempfile::NamedTempFile::new().unwrap();
    let path = pids.path().to_owned();
    let script = format!("echo $$ >> \"$1\"\n{RUN}");
    let (pool, said) = pool(move || shell(&script, &path, ""), 3);
    let written = || std::fs::read_to_string(pids.path()).unwrap();
    until(|| written().lines().count() == 3).await;
    drop((pool, said));
    let is_gone = |pid: &str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        status.is_err() || status.is_ok_and(|s| s.contains("State:\tZ"))
    };
    until(|| written().lines().all(is_gone)).await;
}

/// Time passes as nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn workers_that_cannot_be_started() {
    let starts = Arc::new(AtomicUsize::new(0));
    let counted = starts.clone();
    let nothing = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Command::new("/does/not/exist")
    };
    let (pool, mut said) = pool(nothing, 2);
    for number in 0..4 {
        pool.ask(number, SETTING, visit("http://127.0.0.1:1/"))
            .unwrap();
    }
    let ends = ends(&mut said, 4).await;
    let (reason, detail) = &ends.lost[&2];
    assert_eq!(*reason, NotRunReason::WorkerDied);
    assert!(detail.contains("cannot be started"), "{detail}");
    // A hundred ticks, and waits that double.
    assert!(starts.load(Ordering::Relaxed) < 20);
    assert_eq!(
        pool.figures().failed_starts,
        starts.load(Ordering::Relaxed) as u64
    );
}

/// With hardly a descriptor left, probes wait for each other.
#[tokio::test]
async fn hostile_c14_few_descriptors() {
    let script = format!("ulimit -n 40\n{RUN}");
    let (pool, mut said) = pool(move || shell(&script, Path::new(""), ""), 1);
    let good = http_server(OK).await;
    for number in 0..200 {
        let target = format!("http://{good}/");
        pool.ask(number, SETTING, visit(&target)).unwrap();
    }
    let ends = ends(&mut said, 200).await;
    assert_eq!(ends.told.len(), 200);
    for told in ends.told.values() {
        // Who got none in time says so, and nothing of the server.
        let is_fair = told.observations.iter().all(|o| match &o.outcome {
            Outcome::NotRun(not_run) => not_run.reason == NotRunReason::Limit,
            Outcome::Tcp(seen) => seen.result == TcpResult::Connected,
            Outcome::Http(seen) => seen.status == Some(200),
            _ => false,
        });
        assert!(is_fair, "{told:?}");
    }
    let served = ends.told.values().filter(|told| kinds(told).len() == 2);
    assert!(served.count() > 40);
    assert!(ends.replaced.is_empty(), "{ends:?}");
}

/// What brought workers down can still be asked, apart from all others.
#[tokio::test]
async fn a_culprit_is_asked_apart() {
    let good = http_server(OK).await;
    let (pool, mut said) = pool(well(&format!("abort:host {CULPRIT}:")), 1);
    let culprit = format!("http://{CULPRIT}:80/");
    pool.ask_apart(1, SETTING, visit(&culprit)).unwrap();
    pool.ask_apart(2, SETTING, visit(&format!("http://{good}/")))
        .unwrap();
    let ends = ends(&mut said, 2).await;
    assert!(ends.poisoned.contains_key(&1) && ends.told.contains_key(&2));
    assert_eq!(pool.figures().workers, 1);
    assert!(ends.replaced.is_empty(), "{ends:?}");
}

/// Somebody kills workers again and again, whatever they do: each order ends, and ends once.
#[tokio::test]
async fn every_order_ends_once() {
    const ORDERS: u64 = 400;
    let pids = tempfile::NamedTempFile::new().unwrap();
    let path = pids.path().to_owned();
    let script = format!("echo $$ >> \"$1\"\n{RUN}");
    let (pool, mut said) = pool(move || shell(&script, &path, ""), 3);
    let good = http_server(OK).await;
    let (mut asked, mut ended, mut killed) = (0, std::collections::BTreeSet::new(), 0);
    while ended.len() < usize::try_from(ORDERS).unwrap() {
        while asked < ORDERS && asked < u64::try_from(ended.len()).unwrap() + 60 {
            let wanted = visit(&format!("http://{good}/"));
            pool.ask(asked, SETTING, wanted).unwrap();
            asked += 1;
        }
        let number = match said.recv().await.unwrap() {
            Said::Judged(judged) => judged.number,
            Said::Told(told) => told.number,
            Said::Lost { number, .. } | Said::Poisoned { number, .. } => number,
            Said::Replaced { .. } => continue,
        };
        assert!(ended.insert(number), "{number}");
        if ended.len() % 40 == 0 {
            let written = std::fs::read_to_string(pids.path()).unwrap();
            // The one that was started last, which may be one for suspects.
            let pid = written.lines().nth_back(killed % 2).unwrap();
            // It may be gone already.
            let _ = Command::new("kill").args(["-KILL", pid]).status().await;
            killed += 1;
        }
    }
    until(|| pool.figures().in_flight == 0 && pool.figures().workers == 3).await;
    assert!(pool.figures().replaced > 0);
    while let Ok(more) = said.try_recv() {
        assert!(matches!(more, Said::Replaced { .. }), "{more:?}");
    }
}
