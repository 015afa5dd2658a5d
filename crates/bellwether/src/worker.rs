//! `worker`: the child process in which probes run.

use anyhow::{Context, Result};
use bellwether_probe::{check, worker};

use crate::allocator::Counting;
use crate::exit::Exit;

/// Runs the job that comes on stdin.
pub(crate) fn run(allocator: &Counting) -> Result<Exit> {
    allocator.arm();
    let run = |cx| async move { check::run(&cx).await };
    worker::serve_with(std::io::stdin(), std::io::stdout(), run)
        .context("the worker could not work")?;
    Ok(Exit::Fine)
}
