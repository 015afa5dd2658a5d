//! `worker`: the child process in which probes run.

use anyhow::{Context, Result};

use crate::allocator::Counting;
use crate::exit::Exit;

/// Runs the job that comes on stdin.
pub(crate) fn run(allocator: &Counting) -> Result<Exit> {
    allocator.arm();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    runtime
        .block_on(crate::parts::probe::worker::serve())
        .context("the worker's pipe failed")?;
    Ok(Exit::Fine)
}
