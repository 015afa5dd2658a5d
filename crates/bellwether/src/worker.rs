//! `worker`: the child process in which probes run.

use std::fs::File;
use std::os::fd::AsFd as _;

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

/// Carries out the orders that come on stdin, until it ends.
pub(crate) fn run_many(allocator: &Counting) -> Result<Exit> {
    allocator.arm();
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    let input = input.context("stdin cannot be taken")?;
    let manner = worker::Manner {
        at_once: worker::ORDERS_AT_ONCE,
        remembers: true,
        beats: true,
    };
    // Records are put together already: a second buffer would only look for ends of lines.
    let output = std::io::stdout().as_fd().try_clone_to_owned();
    let output = File::from(output.context("stdout cannot be taken")?);
    worker::serve_many(input, output, manner).context("the worker could not work")?;
    Ok(Exit::Fine)
}
