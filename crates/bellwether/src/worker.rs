//! `worker`: the child process in which probes run.

use anyhow::{Context, Result};

use crate::allocator::Counting;
use crate::exit::Exit;

/// Runs the job that comes on stdin.
pub(crate) fn run(allocator: &Counting) -> Result<Exit> {
    allocator.arm();
    crate::parts::probe::worker::serve(std::io::stdin(), std::io::stdout())
        .context("the worker could not work")?;
    Ok(Exit::Fine)
}
