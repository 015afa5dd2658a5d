//! `check`: probe in a worker, judge, print, save.

use std::time::Instant;

use anyhow::{Context, Result};
use bellwether_diagnose::report::{self, Seen};
use bellwether_model::Observation;
use bellwether_model::job::Job;
use bellwether_probe::worker::{self, Ended, Supervised};
use jiff::Timestamp;

use crate::cli::{CheckArgs, Format};
use crate::exit::{Exit, say};
use crate::progress::Progress;
use crate::save::Save;
use crate::{job, output};

/// The exit code of a check that Ctrl-C cut short: 128 and the signal's number, as shells write it.
/// Its report is of what was known by then.
const INTERRUPTED: u8 = 130;

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
    let ended = supervised.ended;
    let seen = Seen {
        context,
        began,
        took_ms,
        queries: supervised.queries,
        peak_kib: supervised.peak_kib,
        observations: supervised.observations,
    };
    let report = report::report(seen, crate::VERSION);
    let saved = save.map(|save| save.write(&report)).transpose();
    output::report(&report, args.output)?;
    if let Err(error) = saved {
        say(&format!("warning: {error:#}"));
    }
    Ok(match ended {
        Ended::Stopped => Exit::Other(INTERRUPTED),
        Ended::Finished | Ended::Deadline | Ended::Died { .. } => Exit::of(&report, args.strict),
    })
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
    let interrupted = async {
        // Without a handler the signal ends this process, as it always did.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let supervised = runtime.block_on(worker::supervise_until(
        crate::worker::one(),
        job,
        interrupted,
        on_event,
    ));
    progress.finish();
    Ok(supervised)
}
