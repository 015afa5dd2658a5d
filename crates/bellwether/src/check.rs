//! `check`: probe in a worker, judge, print, save.

use std::time::Instant;

use anyhow::{Context, Result};
use bellwether_model::Observation;
use bellwether_model::job::Job;
use bellwether_probe::worker::{self, Supervised};
use jiff::Timestamp;

use crate::cli::{CheckArgs, Format};
use crate::exit::{Exit, say};
use crate::progress::Progress;
use crate::save::Save;
use crate::{job, judge, output};

/// Runs the command.
pub(crate) fn run(args: CheckArgs) -> Result<Exit> {
    let job = job::of(&args)?;
    let context = job::context(&job, args.at.is_some());
    // Said now rather than after the check: a directory that does not exist, for example.
    let save = args.save.as_deref().map(Save::open).transpose()?;
    let began = Timestamp::now();
    let start = Instant::now();
    let supervised = supervise(&job, &args)?;
    let took_ms = start.elapsed().as_secs_f64() * 1000.0;
    let report = judge::report(judge::Seen {
        context,
        began,
        took_ms,
        queries: supervised.queries,
        observations: supervised.observations,
    });
    let saved = save.map(|save| save.write(&report)).transpose();
    output::report(&report, args.output)?;
    if let Err(error) = saved {
        say(&format!("warning: {error:#}"));
    }
    Ok(Exit::of(&report, args.strict))
}

/// Probes run in a child process, which can be killed.
fn supervise(job: &Job, args: &CheckArgs) -> Result<Supervised> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let mut progress = Progress::new(job, args.output);
    let on_event = |observation: &Observation| {
        if args.output.format == Format::Ndjson && !args.output.quiet {
            // A closed pipe is no reason to stop: the report may still be saved.
            let _ = output::observation(observation);
        }
        progress.seen(observation);
    };
    let supervised = runtime.block_on(worker::supervise(command(), job, on_event));
    progress.finish();
    Ok(supervised)
}

/// The same program as a worker.
fn command() -> tokio::process::Command {
    let mut command = tokio::process::Command::new("/proc/self/exe");
    command.arg0("bellwether-worker").arg("worker");
    command
}
