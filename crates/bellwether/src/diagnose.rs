//! `diagnose`: judge a saved report again.

use anyhow::{Result, bail};
use bellwether_diagnose::report::{self, Seen};

use crate::cli::DiagnoseArgs;
use crate::exit::Exit;
use crate::{files, job, output};

/// Runs the command.
pub(crate) fn run(args: &DiagnoseArgs) -> Result<Exit> {
    let saved = files::report("the report", &args.report)?;
    let Some(mut context) = saved.context else {
        bail!(
            "the report `{}` has no `context`, so it cannot be judged again; save a new one by `bellwether check {} --save FILE`",
            args.report.display(),
            bellwether_model::text::inert(&saved.target, 200)
        );
    };
    if let Some(path) = &args.baseline {
        context.baseline = Some(job::baseline(path, &context.target)?);
    }
    let seen = Seen {
        context,
        began: saved.began,
        took_ms: saved.took_ms,
        queries: saved.queries,
        peak_kib: saved.peak_kib,
        observations: saved.observations,
    };
    let report = report::report(seen, crate::VERSION);
    output::report(&report, args.output)?;
    Ok(Exit::of(&report, args.strict))
}
