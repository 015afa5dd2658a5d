//! `worker`: the child process in which probes run.

use std::fs::File;
use std::os::fd::AsFd as _;

use anyhow::{Context, Result};
use bellwether_probe::{check, worker};
use tokio::process::Command;

use crate::allocator::Counting;
use crate::exit::Exit;

/// The same program as a worker of one check.
pub(crate) fn one() -> Command {
    command(&["worker"])
}

/// The same program as a worker of many probes.
pub(crate) fn many() -> Command {
    command(&["worker", "--many"])
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("bellwether-worker").args(words);
    // Ctrl-C is for us, who then say what is known; the worker ends with us.
    command.process_group(0);
    command
}

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
    worker::serve_many_judged(input, output, manner, bellwether_agent::judge)
        .context("the worker could not work")?;
    Ok(Exit::Fine)
}
