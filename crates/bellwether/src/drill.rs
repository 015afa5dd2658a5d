//! `drill`: rehearse outages in the Internet in a box.

use anyhow::Result;

use crate::cli::DrillArgs;
use crate::exit::Exit;

/// Runs the command.
pub(crate) fn run(args: DrillArgs) -> Result<Exit> {
    let _ = args;
    anyhow::bail!("not wired yet")
}

/// The child process that serves the world.
pub(crate) fn world(args: &[String]) -> Result<Exit> {
    let _ = args;
    anyhow::bail!("not wired yet")
}
