//! A program that runs on in the box while the world changes around it.
//!
//! It is started by its public command line, and from then on known by its process alone: what it
//! says it says by its API, what is done to it is done by signals.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use crate::netns;
use crate::real::tail;
use crate::sys::{self, Recipient, Signal};

/// How often it is looked whether a process is there.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The subcommand by which the program becomes a worker of itself.
const WORKER: &str = "worker";

/// A running program. Its whole process group ends with it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pid: u32,
    log: PathBuf,
}

impl Process {
    /// Starts it in a folder; what it prints goes to a file there, which is named after it. It may
    /// have resolvers of its own.
    pub(super) fn start(
        program: &Path,
        arguments: &[String],
        folder: &Path,
        name: &str,
        resolv_conf: Option<&Path>,
    ) -> io::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let out = fs::File::options().create(true).append(true).open(&log)?;
        let err = out.try_clone()?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .kill_on_drop(true);
        if let Some(file) = resolv_conf {
            netns::give_resolv_conf(&mut command, file)?;
        }
        sys::ends_with_us(&mut command);
        let child = command.spawn()?;
        let pid = child
            .id()
            .ok_or_else(|| io::Error::other("it has no number"))?;
        Ok(Self { child, pid, log })
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        sys::signal(Recipient::Process(self.pid), signal)
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// How it ends, if it does within a time.
    pub(super) async fn ends(&mut self, within: Duration) -> Option<ExitStatus> {
        let ended = tokio::time::timeout(within, self.child.wait()).await;
        ended.ok().and_then(Result::ok)
    }

    /// The end of what it printed.
    pub(super) fn said(&self) -> String {
        tail(&self.log)
    }

    /// Its number.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Its worker processes, lowest number first.
    pub(super) fn workers(&self) -> Vec<u32> {
        workers_of(self.pid)
    }
}

/// The worker processes of a process, lowest number first.
pub(super) fn workers_of(parent: u32) -> Vec<u32> {
    let mut found: Vec<u32> = children(parent)
        .into_iter()
        .filter(|pid| is_worker(*pid))
        .collect();
    found.sort_unstable();
    found
}

impl Drop for Process {
    fn drop(&mut self) {
        // What is gone already is as good.
        let _ = sys::signal(Recipient::Group(self.pid), Signal::Kill);
    }
}

/// Those of some processes that are still there after a time.
pub(super) async fn left_of(mut pids: Vec<u32>, within: Duration) -> Vec<u32> {
    let begun = Instant::now();
    loop {
        pids.retain(|pid| stat(*pid).is_some_and(|stat| stat.is_alive()));
        if pids.is_empty() || begun.elapsed() > within {
            return pids;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What the kernel says of a process (proc_pid_stat(5)).
struct Stat {
    state: char,
    parent: u32,
}

impl Stat {
    /// One that nobody has taken note of yet (a zombie) is dead all the same.
    fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Stat { state, parent })
}

fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| stat(*pid).is_some_and(|s| s.parent == parent && s.is_alive());
    pids.filter(is_child).collect()
}

fn is_worker(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0);
    words.any(|word| word == WORKER.as_bytes())
}
