//! CPU and memory of processes, as the kernel counts them (proc(5)).

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// A tick of the counts in `/proc/PID/stat`: a hundredth of a second on every Linux of today.
const TICK: Duration = Duration::from_millis(10);

/// What `serve` and its workers have used so far, and hold now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// CPU of the process that is hub and agent.
    pub(crate) hub: Duration,
    /// CPU of its workers, those that have ended included.
    pub(crate) workers: Duration,
    /// Memory of the hub now, and at its most, MiB.
    pub(crate) hub_mib: (f64, f64),
    /// The same of the largest worker.
    pub(crate) worker_mib: (f64, f64),
    /// Workers now.
    pub(crate) count: usize,
    /// CPU of all processes of this machine but idling.
    pub(crate) machine: Duration,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let own = Stat::of(pid)?;
        let mut usage = Self {
            hub: own.cpu,
            workers: own.children,
            hub_mib: memory(pid)?,
            machine: machine()?,
            ..Self::default()
        };
        for worker in children(pid)? {
            // One may end meanwhile; then the next look counts it among those that ended.
            let (Ok(stat), Ok((now, most))) = (Stat::of(worker), memory(worker)) else {
                continue;
            };
            usage.workers += stat.cpu;
            usage.count += 1;
            let so_far = usage.worker_mib;
            usage.worker_mib = (so_far.0.max(now), so_far.1.max(most));
        }
        Ok(usage)
    }
}

/// A process's own CPU so far.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    Ok(Stat::of(pid)?.cpu)
}

/// Has it ended, and waits to be waited for?
pub(crate) fn has_ended(pid: u32) -> Result<bool> {
    Ok(Stat::of(pid)?.state == "Z")
}

/// The machine's load over the last minute.
pub(crate) fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("failed to read the load")?;
    let first = text.split_whitespace().next();
    first
        .and_then(|n| n.parse().ok())
        .context("the load is no number")
}

struct Stat {
    state: String,
    parent: u32,
    cpu: Duration,
    /// CPU of children that have ended and were waited for.
    children: Duration,
}

impl Stat {
    fn of(pid: u32) -> Result<Self> {
        let text =
            fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
        // The name in parentheses may hold anything.
        let (_, rest) = text.rsplit_once(") ").context("a stat without a name")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |at: usize| -> Result<Duration> {
            let field = fields.get(at).context("a stat that is too short")?;
            let ticks: u32 = field.parse().context("a stat without numbers")?;
            Ok(TICK * ticks)
        };
        let parent = fields.get(1).and_then(|parent| parent.parse().ok());
        Ok(Self {
            state: fields.first().map_or_else(String::new, ToString::to_string),
            parent: parent.context("a stat without a parent")?,
            cpu: ticks(11)? + ticks(12)?,
            children: ticks(13)? + ticks(14)?,
        })
    }
}

/// Resident memory now and at its most, MiB.
fn memory(pid: u32) -> Result<(f64, f64)> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let mib = |key: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib / 1024.0)
    };
    let (now, most) = (mib("VmRSS:"), mib("VmHWM:"));
    Ok((
        now.context("a status without VmRSS")?,
        most.context("a status without VmHWM")?,
    ))
}

fn children(pid: u32) -> Result<Vec<u32>> {
    let all = fs::read_dir("/proc").context("failed to list processes")?;
    let numbers = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |other: &u32| Stat::of(*other).is_ok_and(|stat| stat.parent == pid);
    Ok(numbers.filter(is_child).collect())
}

/// CPU of the whole machine but idling and waiting for a disk.
fn machine() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("failed to read the machine's counts")?;
    let line = text.lines().next().unwrap_or_default();
    let fields = line.split_whitespace().skip(1).take(8);
    let busy = fields.enumerate().filter(|(at, _)| !matches!(at, 3 | 4));
    let ticks: u64 = busy.filter_map(|(_, n)| n.parse::<u64>().ok()).sum();
    Ok(TICK * u32::try_from(ticks).unwrap_or(u32::MAX))
}
