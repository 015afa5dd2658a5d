//! What a probe costs in CPU, beside Debian's blackbox_exporter, on the same servers in the same
//! minutes; what a whole `serve` costs ([`scale`]), and a hub with many agents ([`fleet`]). Started by `cargo xtask bench`, in a namespace
//! without a network.
//!
//! CPU is user and system time of the process that probes, read from the kernel before and after.
//! These machines have phases in which everything costs 1.7 times more, so a budget is a ratio.

mod blackbox;
mod fleet;
mod ours;
mod scale;
mod servers;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use servers::Servers;

/// Probes in flight.
const IN_FLIGHT: usize = 16;
/// The core that probes, and the core that serves.
const CORE_PROBES: &str = "0";
const CORE_SERVES: &str = "1";

/// A kind of probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Dns,
    Tcp,
    Https,
    /// The same, with nothing remembered from one probe to the next.
    Cold,
    Icmp,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Dns, Self::Tcp, Self::Https, Self::Cold, Self::Icmp];

    fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Https => "https",
            Self::Cold => "cold",
            Self::Icmp => "icmp",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Dns => "DNS A over UDP, fresh socket, recorded",
            Self::Tcp => "TCP connect, TCP_INFO",
            Self::Https => "TLS 1.3 handshake, verification, HTTPS GET",
            Self::Cold => "the same, nothing remembered",
            Self::Icmp => "ICMP echo",
        }
    }

    /// Least ratio of blackbox_exporter's CPU to ours.
    fn budget(self) -> f64 {
        match self {
            Self::Dns => 21.0,
            Self::Tcp => 8.0,
            Self::Https => 6.0,
            Self::Cold => 4.5,
            Self::Icmp => 40.0,
        }
    }

    /// Probes of one round: about two seconds of blackbox_exporter's CPU.
    fn count(self) -> u32 {
        match self {
            Self::Dns | Self::Icmp | Self::Tcp => 4000,
            Self::Https | Self::Cold => 1200,
        }
    }

    /// Probes under way at the same time. A connection is watched for a late reset, which costs
    /// time and nothing else: those that are watched are not among the [`IN_FLIGHT`].
    fn at_once(self) -> u32 {
        match self {
            Self::Tcp => 1024,
            Self::Dns | Self::Https | Self::Cold | Self::Icmp => 16,
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["probe", kind, count, root] => probe(kind, count, root),
        ["work", memory] => ours::work(memory == "remembers").map(|()| String::new()),
        ["serve"] => serve(),
        ["hostile"] => scale::hostile::serve().map(|()| String::new()),
        ["scale", binary, ..] => scale(binary, &words[2..]),
        ["fleet", binary, ..] => fleet(binary, &words[2..]),
        ["run", rounds] => rounds
            .parse()
            .context("the number of rounds is no number")
            .and_then(run),
        _ => Err(anyhow::anyhow!(
            "usage, inside a namespace without a network: bellwether-bench run ROUNDS | serve | probe KIND COUNT ROOT | scale PROGRAM [KEY=NUMBER]… | fleet PROGRAM [KEY=NUMBER]…"
        )),
    };
    match done {
        Ok(text) => {
            // A reader that closed the pipe has all that it wants.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn scale(binary: &str, words: &[&str]) -> Result<String> {
    only_loopback()?;
    scale::run(std::path::Path::new(binary), scale::Size::parse(words)?)
}

fn fleet(binary: &str, words: &[&str]) -> Result<String> {
    only_loopback()?;
    fleet::run(std::path::Path::new(binary), fleet::Size::parse(words)?)
}

fn probe(kind: &str, count: &str, root: &str) -> Result<String> {
    let kind = Kind::parse(kind).context("no such kind of probe")?;
    let cost = ours::run(kind, count.parse().context("no number")?, root)?;
    Ok(format!(
        "{} {} {}",
        cost.cpu_us, cost.rss_kib, cost.grown_kib
    ))
}

/// Keeps the servers up until the input ends, for a profiler beside them: tells the root's file.
fn serve() -> Result<String> {
    only_loopback()?;
    let servers = Servers::start()?;
    writeln!(std::io::stdout(), "{}", servers.root()).context("nobody listens")?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).context("the input failed")?;
    Ok(String::new())
}

/// What probes cost.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// CPU of one probe, microseconds.
    cpu_us: f64,
    /// Resident memory at the end, KiB.
    rss_kib: f64,
    /// What it grew by over the probes, divided by those in flight, KiB.
    grown_kib: f64,
}

fn run(rounds: usize) -> Result<String> {
    only_loopback()?;
    let servers = Servers::start()?;
    let blackbox = blackbox::Blackbox::start(&servers)?;
    let mut costs: Vec<(Kind, Vec<Cost>, Vec<f64>)> = Kind::ALL
        .into_iter()
        .map(|kind| (kind, Vec::new(), Vec::new()))
        .collect();
    for _ in 0..rounds.max(1) {
        // In turn, so that a slow phase of the machine hits both.
        for (kind, ours, theirs) in &mut costs {
            ours.push(ours::run(*kind, kind.count(), &servers.root())?);
            theirs.push(blackbox.cost(*kind)?);
        }
    }
    Ok(table(&costs, rounds))
}

fn table(costs: &[(Kind, Vec<Cost>, Vec<f64>)], rounds: usize) -> String {
    let mut text = format!(
        "CPU of one probe, {IN_FLIGHT} in flight, beside blackbox_exporter; medians of {rounds} rounds\n\
         {:44} {:>9} {:>12} {:>7} {:>8}   {}\n",
        "", "ours, µs", "blackbox, µs", "ratio", "budget", "memory of a probe, KiB"
    );
    for (kind, ours, theirs) in costs {
        let us = median(ours.iter().map(|c| c.cpu_us).collect());
        let blackbox = median(theirs.clone());
        let ratios = ours.iter().zip(theirs).map(|(o, t)| t / o.cpu_us).collect();
        let ratio = median(ratios);
        let grown = median(ours.iter().map(|c| c.grown_kib).collect());
        let mark = if ratio >= kind.budget() { '✓' } else { '✗' };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{mark} {:42} {us:9.1} {blackbox:12.0} {ratio:6.1}x {:7}x   {grown:.1}",
            kind.words(),
            kind.budget()
        );
    }
    let rss = costs
        .iter()
        .flat_map(|(_, ours, _)| ours)
        .map(|c| c.rss_kib);
    let most = rss.fold(0.0, f64::max) / 1024.0;
    let _ = write!(
        text,
        "  most memory of a process that probes: {most:.1} MiB"
    );
    text
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// No bench runs where a packet could leave the machine.
fn only_loopback() -> Result<()> {
    let table = std::fs::read_to_string("/proc/net/dev").context("failed to list interfaces")?;
    // `/proc/net` is of this namespace, `/sys` may be of another.
    let others: Vec<&str> = table
        .lines()
        .skip(2)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim())
        .filter(|name| *name != "lo")
        .collect();
    if !others.is_empty() {
        bail!("there is an interface besides `lo`: {}", others.join(", "));
    }
    let status = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status()
        .context("failed to start `ip`")?;
    if !status.success() {
        bail!("`lo` cannot be brought up");
    }
    let _ = std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0");
    Ok(())
}

/// CPU of a process so far, all of its threads, as the scheduler counted it.
fn cpu_of(pid: u32) -> Result<Duration> {
    let mut sum = 0_u64;
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).context("the process is gone")?;
    for task in tasks {
        let path = task
            .context("the process is gone")?
            .path()
            .join("schedstat");
        // A thread may end meanwhile.
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let first = text
            .split_whitespace()
            .next()
            .and_then(|w| w.parse::<u64>().ok());
        sum += first.unwrap_or_default();
    }
    Ok(Duration::from_nanos(sum))
}
