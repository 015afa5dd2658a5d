//! The supervisor's end: starts workers, ends them in time, and leaves no probe without a record.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bellwether_model::job::{Event, Job};
use bellwether_model::observation::NotRun;
use bellwether_model::text::inert_bytes;
use bellwether_model::{NotRunReason, Observation, Outcome, ProbeKind};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::frame;

/// How much earlier than ours a worker's deadline is, so that it can end by itself.
const HEAD_START: Duration = Duration::from_millis(250);
/// With less time than this a further worker would not get anywhere.
const RUN_MIN: Duration = Duration::from_millis(500);
/// Workers for one job. The second tries again what was under way when the first one died, which
/// may have died by somebody else's hand; the third leaves out what was under way both times.
const RUNS_MAX: usize = 3;
/// How long to wait for a process that has said everything, or was killed.
pub(super) const EXIT_WAIT: Duration = Duration::from_millis(30);
/// Records of one check. A walk asks at most 300 queries; hostile targets do not get more.
const OBSERVATIONS_MAX: usize = 10_000;
/// Bytes kept of what a worker says to its standard error: the end of a panic message.
const STDERR_LEN_MAX: usize = 2048;

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything was asked.
    Finished,
    /// The worker was ended at the deadline.
    Deadline,
    /// The worker was ended because somebody asked for what is known.
    Stopped,
    /// The worker died, and so did those after it, as far as there was time for them.
    Died {
        /// How, in words.
        status: String,
    },
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Supervised {
    /// In order of arrival; ids are `e1`, `e2`, …
    pub observations: Vec<Observation>,
    /// DNS queries sent, as far as workers lived to tell.
    pub queries: u32,
    /// The most memory that a worker held, KiB, as far as one lived to tell.
    pub peak_kib: Option<u64>,
    /// How it ended.
    pub ended: Ended,
    /// How earlier workers died, in words, even if a later one finished.
    pub crashes: Vec<String>,
}

/// A probe that began and has not ended.
struct Begun {
    key: String,
    probe: ProbeKind,
    stand_in: NotRun,
    began: Timestamp,
    since: Instant,
}

/// What is known so far, over all workers of the job.
struct Record<F> {
    observations: Vec<Observation>,
    known: HashSet<String>,
    begun: Vec<Begun>,
    queries: u32,
    peak_kib: Option<u64>,
    on_event: F,
}

/// Runs a job in a worker process, which `command` starts.
///
/// By the job's deadline every probe that began has a record, whatever the worker does: hang,
/// crash, be stopped. After a crash another worker runs; what is known by then stays known, and a
/// probe that was under way in two crashes is not tried a third time.
pub async fn supervise(
    command: Command,
    job: &Job,
    on_event: impl FnMut(&Observation),
) -> Supervised {
    supervise_until(command, job, std::future::pending(), on_event).await
}

/// [`supervise`] that ends early, with what is known, when `stop` does.
pub async fn supervise_until(
    mut command: Command,
    job: &Job,
    stop: impl Future<Output = ()>,
    on_event: impl FnMut(&Observation),
) -> Supervised {
    let mut stop = std::pin::pin!(stop);
    let start = Instant::now();
    let wall = start + Duration::from_millis(job.deadline_ms);
    let mut record = Record {
        observations: Vec::new(),
        known: HashSet::new(),
        begun: Vec::new(),
        queries: 0,
        peak_kib: None,
        on_event,
    };
    let mut job = job.clone();
    let mut crashes: Vec<String> = Vec::new();
    let mut suspects: HashSet<String> = HashSet::new();
    let ended = loop {
        let run = run(&mut command, &mut job, wall, stop.as_mut(), &mut record);
        let ended = run.await;
        let Ended::Died { status } = &ended else {
            break ended;
        };
        let left = wall.saturating_duration_since(Instant::now());
        if left < RUN_MIN || crashes.len() + 1 >= RUNS_MAX {
            break ended;
        }
        let under_way: HashSet<String> = record.begun.drain(..).map(|begun| begun.key).collect();
        if !crashes.is_empty() {
            let both = suspects.intersection(&under_way).cloned();
            job.avoid.extend(both);
        }
        suspects = under_way;
        crashes.push(status.clone());
    };
    record.close(&ended, start.elapsed());
    Supervised {
        observations: record.observations,
        queries: record.queries,
        peak_kib: record.peak_kib,
        ended,
        crashes,
    }
}

/// One worker from start to end.
async fn run<F: FnMut(&Observation)>(
    command: &mut Command,
    job: &mut Job,
    wall: Instant,
    mut stop: Pin<&mut impl Future<Output = ()>>,
    record: &mut Record<F>,
) -> Ended {
    let left = wall.saturating_duration_since(Instant::now());
    let worker = left.saturating_sub(HEAD_START.min(left / 4));
    job.deadline_ms = u64::try_from(worker.as_millis()).unwrap_or(u64::MAX);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let died = |status: String| Ended::Died { status };
    let bytes = match frame::encode(job) {
        Ok(bytes) => bytes,
        Err(error) => return died(format!("the job cannot be sent: {error}")),
    };
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return died(format!("the worker cannot be started: {error}")),
    };
    let (Some(mut stdin), Some(mut stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return died("the worker has no pipes".to_owned());
    };
    // A stopped worker does not read: writing must not keep us from the wall. The pipe stays open
    // as long as the worker is wanted.
    let feed = Owned(tokio::spawn(async move {
        let _ = stdin.write_all(&bytes).await;
        std::future::pending::<()>().await;
    }));
    let mut words = Owned(tokio::spawn(tail(stderr)));
    let ended = loop {
        let event = tokio::select! {
            biased;
            () = sleep_until(wall) => break Ended::Deadline,
            () = &mut stop => break Ended::Stopped,
            event = frame::next::<Event>(&mut stdout) => event,
        };
        match event {
            Ok(Some(Event::Done { queries, peak_kib })) => {
                record.peak_kib = record.peak_kib.max(peak_kib);
                record.queries = record.queries.saturating_add(queries);
                break Ended::Finished;
            }
            Ok(Some(event)) if record.observations.len() < OBSERVATIONS_MAX => record.take(event),
            Ok(Some(_)) => break died(format!("it made more than {OBSERVATIONS_MAX} records")),
            Ok(None) => break died(String::new()),
            Err(error) => break died(format!("what it says cannot be read: {error}")),
        }
    };
    drop(feed);
    let exit = end(&mut child, &ended).await;
    match ended {
        Ended::Died { status } if status.is_empty() => {
            let words = timeout(EXIT_WAIT, &mut words.0).await;
            died(death(exit, words.ok().and_then(Result::ok).as_deref()))
        }
        other => other,
    }
}

/// Ends a worker by its own process id and collects its status, if that comes at once.
async fn end(child: &mut Child, ended: &Ended) -> Option<ExitStatus> {
    // A worker that has said everything, or whose pipe has ended, leaves by itself.
    if !matches!(ended, Ended::Deadline | Ended::Stopped)
        && let Ok(status) = timeout(EXIT_WAIT, child.wait()).await
    {
        return status.ok();
    }
    // SIGKILL ends a stopped process too. What is left of it is collected later, not waited for.
    let _ = child.start_kill();
    timeout(EXIT_WAIT, child.wait()).await.ok()?.ok()
}

/// The last bytes of a pipe.
pub(super) async fn tail(mut stderr: ChildStderr) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(len @ 1..) = stderr.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..len]);
        let surplus = kept.len().saturating_sub(STDERR_LEN_MAX);
        kept.drain(..surplus);
    }
    kept
}

pub(super) fn death(status: Option<ExitStatus>, words: Option<&[u8]>) -> String {
    let how = match status {
        Some(status) => status.to_string(),
        None => "it closed its pipe".to_owned(),
    };
    let words = words.unwrap_or_default().trim_ascii();
    if words.is_empty() {
        return how;
    }
    format!("{how}; it said: {}", inert_bytes(words, 400))
}

impl<F: FnMut(&Observation)> Record<F> {
    fn take(&mut self, event: Event) {
        match event {
            Event::Started {
                key,
                probe,
                stand_in,
            } => {
                if !self.known.contains(&key) {
                    self.begun.push(Begun {
                        key,
                        probe,
                        stand_in,
                        began: crate::cx::now(),
                        since: Instant::now(),
                    });
                }
            }
            Event::Observed { key, observation } => {
                self.begun.retain(|begun| begun.key != key);
                // A second worker asks again what the first one answered already.
                if self.known.insert(key) {
                    self.push(*observation);
                }
            }
            Event::Done { .. } => {}
        }
    }

    fn push(&mut self, mut observation: Observation) {
        observation.id = format!("e{}", self.observations.len() + 1);
        (self.on_event)(&observation);
        self.observations.push(observation);
    }

    /// A record for every probe that began and did not end.
    fn close(&mut self, ended: &Ended, took: Duration) {
        for begun in std::mem::take(&mut self.begun) {
            let (reason, detail) = match ended {
                Ended::Finished => (
                    NotRunReason::Deadline,
                    "the check ended before it did".to_owned(),
                ),
                Ended::Stopped => (
                    NotRunReason::Deadline,
                    "the check was interrupted before it ended".to_owned(),
                ),
                Ended::Deadline => (
                    NotRunReason::WorkerHung,
                    format!(
                        "the worker hung and was ended after {} ms, the check's deadline",
                        took.as_millis()
                    ),
                ),
                Ended::Died { status } => (
                    NotRunReason::WorkerDied,
                    format!("the worker died while this probe ran: {status}"),
                ),
            };
            if !self.known.insert(begun.key) {
                continue;
            }
            self.push(Observation {
                id: String::new(),
                probe: begun.probe,
                began: begun.began,
                took_ms: begun.since.elapsed().as_secs_f64() * 1000.0,
                waits: 0,
                outcome: Outcome::NotRun(NotRun {
                    reason,
                    detail,
                    ..begun.stand_in
                }),
            });
        }
    }
}

/// A task that ends with its owner.
pub(super) struct Owned<T>(pub(super) JoinHandle<T>);

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
