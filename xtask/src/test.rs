//! `test`: no test may reach the Internet, so all of them run where there is none.

use std::process::Command;

use anyhow::Result;

use crate::{cargo, root, succeed};

/// Builds with the network there, runs without it.
///
/// Inside the namespace cargo finds everything built and fetched. `unshare -rn` gives a user and
/// a network namespace with nothing but `lo`, which is down at first.
pub(crate) fn run(args: &[String]) -> Result<()> {
    succeed(cargo().args(["nextest", "run", "--workspace", "--no-run"]))?;
    let script = "ip link set lo up && exec cargo nextest run --workspace --offline \"$@\"";
    let mut command = Command::new("unshare");
    command
        .current_dir(root())
        .args(["-rn", "sh", "-c", script, "sh"])
        .args(args);
    succeed(&mut command)
}
