//! The worker's end: one job in, observations out.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use bellwether_model::job::{Event, JOB_SCHEMA, Job};
use tokio::sync::Notify;
use tokio::task::LocalSet;

use super::fault;
use super::frame::{self, FrameError};
use crate::check;
use crate::cx::Cx;
use crate::roots;

/// How long after its own deadline a worker waits for probes to give up by themselves.
const GRACE: Duration = Duration::from_millis(50);

/// Room for a frame that is kept for the next one: most take less.
const FRAME_KEPT: usize = 64 * 1024;

/// Why a worker could not work.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The job cannot be read.
    #[error("failed to read the job")]
    Job(#[source] FrameError),
    /// The job is of another version.
    #[error("the job has the schema `{0}`, this worker knows `{JOB_SCHEMA}`")]
    Schema(String),
    /// The runtime cannot be built.
    #[error("failed to start the runtime")]
    Runtime(#[source] io::Error),
}

/// Reads one job, runs the check it describes, and says what it sees.
///
/// The input stays open until the supervisor is gone; when it ends, so does this process.
///
/// # Errors
/// If there is no job that can be run. What the target does is never an error.
pub fn serve(
    input: impl Read + Send + 'static,
    output: impl Write + 'static,
) -> Result<(), WorkerError> {
    serve_with(input, output, |cx| async move { check::run(&cx).await })
}

/// [`serve`] with another check than the whole one.
///
/// # Errors
/// If there is no job that can be run.
pub fn serve_with<F, R>(
    mut input: impl Read + Send + 'static,
    mut output: impl Write + 'static,
    run: F,
) -> Result<(), WorkerError>
where
    F: FnOnce(Cx) -> R,
    R: Future<Output = ()>,
{
    let job: Job = frame::read(&mut input).map_err(WorkerError::Job)?;
    if job.schema != JOB_SCHEMA {
        return Err(WorkerError::Schema(job.schema));
    }
    fault::arm();
    if job.target.scheme.has_tls() {
        roots::prepare(&job);
    }
    end_with(input);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(WorkerError::Runtime)?;
    let gone = Rc::new(Notify::new());
    let on_gone = gone.clone();
    let is_done = Cell::new(false);
    let mut frame = Vec::new();
    let cx = Cx::new(job, move |event| {
        if matches!(event, Event::Done { .. }) && is_done.replace(true) {
            return;
        }
        frame.clear();
        let said = frame::append(&mut frame, event).is_ok()
            && output
                .write_all(&frame)
                .and_then(|()| output.flush())
                .is_ok();
        frame.shrink_to(FRAME_KEPT);
        if !said {
            on_gone.notify_one();
        }
        if let Event::Started { key, .. } = event {
            fault::strike(key);
        }
    });
    let wait = cx.left() + GRACE;
    let run = run(cx.clone());
    LocalSet::new().block_on(&runtime, async {
        tokio::select! {
            _ = tokio::time::timeout(wait, run) => {
                // A check that came to its end has said so already; this is for one that did not.
                cx.emit(&cx.done());
            }
            // Nobody listens any more.
            () = gone.notified() => {}
        }
    });
    Ok(())
}

/// Ends this process when the pipe from the supervisor does: a worker without one would go on
/// dialling on nobody's behalf.
fn end_with(mut input: impl Read + Send + 'static) {
    std::thread::spawn(move || {
        let mut rest = [0; 64];
        while input.read(&mut rest).is_ok_and(|len| len > 0) {}
        std::process::exit(0);
    });
}
