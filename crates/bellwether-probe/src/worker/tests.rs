use std::fs::File;
use std::time::{Duration, Instant};

use bellwether_model::http::HttpResult;
use bellwether_model::job::Job;
use bellwether_model::{NotRunReason, Outcome, ProbeKind};
use tokio::process::Command;

use super::fault::FAULT_VARIABLE;
use super::*;
use crate::testing::{http_server, job, server};

/// Set in the processes that play the worker.
const CHILD_VARIABLE: &str = "BELLWETHER_TEST_WORKER";

/// Not a test of its own: the process that the others start runs only this. Frames go to
/// descriptor 3, since the test harness writes to standard output.
#[test]
fn child() {
    if std::env::var_os(CHILD_VARIABLE).is_none() {
        return;
    }
    let output = File::options().write(true).open("/dev/fd/3").unwrap();
    serve(std::io::stdin(), output).unwrap();
    std::process::exit(0);
}

/// This test program as a worker, in the same process as the shell that arranges its pipes.
fn worker(fault: &str) -> Command {
    let exe = std::env::current_exe().unwrap();
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(r#"exec "$0" worker::tests::child --exact --nocapture 3>&1 >/dev/null"#)
        .arg(exe)
        .env(CHILD_VARIABLE, "1")
        .env(FAULT_VARIABLE, fault);
    command
}

async fn supervised(command: Command, job: &Job) -> Supervised {
    let mut told = 0;
    let done = supervise(command, job, |_| told += 1).await;
    assert_eq!(told, done.observations.len());
    for (at, observation) in done.observations.iter().enumerate() {
        assert_eq!(observation.id, format!("e{}", at + 1));
    }
    done
}

/// The connection and the request, each with the reason if it did not run.
fn steps(done: &Supervised) -> Vec<(ProbeKind, Option<NotRunReason>)> {
    let mut steps: Vec<_> = done
        .observations
        .iter()
        .filter(|o| matches!(o.probe, ProbeKind::Tcp | ProbeKind::Http))
        .map(|o| match &o.outcome {
            Outcome::NotRun(not_run) => (o.probe, Some(not_run.reason)),
            _ => (o.probe, None),
        })
        .collect();
    steps.sort();
    steps
}

async fn target() -> Job {
    let at = http_server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    job(&format!("http://{at}/"))
}

#[tokio::test]
async fn a_healthy_worker_says_all_and_leaves() {
    let done = supervised(worker(""), &target().await).await;
    assert_eq!(done.crashes, Vec::<String>::new());
    assert_eq!(done.ended, Ended::Finished);
    let expected = [(ProbeKind::Tcp, None), (ProbeKind::Http, None)];
    assert_eq!(steps(&done), expected);
}

#[tokio::test]
async fn a_worker_that_hangs_is_ended_at_the_deadline() {
    let mut job = target().await;
    job.deadline_ms = 700;
    let start = Instant::now();
    let done = supervised(worker("hang:http"), &job).await;
    assert!(start.elapsed() < Duration::from_millis(1_200));
    assert_eq!(done.ended, Ended::Deadline);
    let reason = NotRunReason::WorkerHung;
    let expected = [(ProbeKind::Tcp, None), (ProbeKind::Http, Some(reason))];
    assert_eq!(steps(&done), expected);
}

#[tokio::test]
async fn a_worker_that_is_stopped_is_ended_at_the_deadline() {
    let mut job = target().await;
    job.deadline_ms = 500;
    let mut command = Command::new("sh");
    command.arg("-c").arg("kill -STOP $$");
    let start = Instant::now();
    let done = supervised(command, &job).await;
    assert!(start.elapsed() < Duration::from_millis(1_000));
    assert_eq!(done.ended, Ended::Deadline);
}

#[tokio::test]
async fn a_check_that_is_stopped_says_what_is_known() {
    let (says, hears) = tokio::sync::oneshot::channel::<()>();
    let mut says = Some(says);
    // Somebody asks for it when the connection is known; the request hangs.
    let on_event = |observation: &bellwether_model::Observation| {
        if observation.probe == ProbeKind::Tcp {
            says.take().unwrap().send(()).unwrap();
        }
    };
    let stop = async { hears.await.unwrap() };
    let job = target().await;
    let done = supervise_until(worker("hang:http"), &job, stop, on_event).await;
    assert_eq!(done.ended, Ended::Stopped);
    assert_eq!(steps(&done)[0], (ProbeKind::Tcp, None));
}

#[tokio::test]
async fn what_was_under_way_in_two_crashes_is_not_tried_again() {
    let done = supervised(worker("abort:http"), &target().await).await;
    assert_eq!(done.ended, Ended::Finished);
    assert_eq!(done.crashes.len(), 2);
    assert!(done.crashes[0].contains("signal: 6"), "{}", done.crashes[0]);
    // The connection of the first worker, and what stands for the request.
    let reason = NotRunReason::WorkerDied;
    let expected = [(ProbeKind::Tcp, None), (ProbeKind::Http, Some(reason))];
    assert_eq!(steps(&done), expected);
}

/// Somebody kills the first worker from outside: nothing is lost.
#[tokio::test]
async fn a_worker_that_is_killed_is_replaced() {
    let mark = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("sh");
    let script = r#"if [ -s "$1" ]; then
        exec "$0" worker::tests::child --exact --nocapture 3>&1 >/dev/null
    fi
    echo ran > "$1"
    kill -KILL $$"#;
    command
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(mark.path())
        .env(CHILD_VARIABLE, "1");
    let done = supervised(command, &target().await).await;
    assert_eq!(done.ended, Ended::Finished);
    assert_eq!(done.crashes.len(), 1);
    let expected = [(ProbeKind::Tcp, None), (ProbeKind::Http, None)];
    assert_eq!(steps(&done), expected);
}

#[tokio::test]
async fn a_panic_costs_one_probe() {
    let done = supervised(worker("panic:http"), &target().await).await;
    assert_eq!(done.ended, Ended::Finished);
    assert_eq!(done.crashes, Vec::<String>::new());
    let reason = NotRunReason::Panicked;
    let expected = [(ProbeKind::Tcp, None), (ProbeKind::Http, Some(reason))];
    assert_eq!(steps(&done), expected);
}

#[tokio::test]
async fn a_worker_ends_by_itself_shortly_before_the_deadline() {
    let at = server(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let mut job = job(&format!("http://{at}/"));
    job.deadline_ms = 1_500;
    let done = supervised(worker(""), &job).await;
    assert_eq!(done.ended, Ended::Finished);
    let stalled = done
        .observations
        .iter()
        .any(|o| matches!(&o.outcome, Outcome::Http(seen) if seen.result == HttpResult::Stalled));
    assert!(stalled, "{:?}", done.observations);
}

#[tokio::test]
async fn no_worker_at_all() {
    let done = supervised(Command::new("/does/not/exist"), &target().await).await;
    assert!(matches!(&done.ended, Ended::Died { status } if status.contains("cannot be started")));
    let mut command = Command::new("sh");
    command.arg("-c").arg("echo oops >&2; exit 7");
    let done = supervised(command, &target().await).await;
    let Ended::Died { status } = &done.ended else {
        panic!("{:?}", done.ended);
    };
    assert!(
        status.contains("exit status: 7") && status.contains("oops"),
        "{status}"
    );
    let mut command = Command::new("sh");
    command.arg("-c").arg("echo garbage garbage");
    let done = supervised(command, &target().await).await;
    assert!(matches!(done.ended, Ended::Died { .. }));
}
