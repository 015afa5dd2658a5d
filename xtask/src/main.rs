//! Tasks of this repository: `cargo xtask tidy | test | score | truth | bench | fuzz | limbo | mutate`.
//!
//! - `tidy`: the rules that no compiler proves
//! - `test`: the tests, in a network namespace of their own
//! - `score`: every scenario, several seeds, and how often the right cause was found
//! - `truth`: judging, on simulated worlds whose truth is known
//! - `bench`: what a check costs
//! - `fuzz`: the decoders, against any bytes
//! - `limbo`: the strict profile of certificates against the cases of x509-limbo
//! - `mutate`: mutated configurations, each read or refused with its place

mod bench;
mod fuzz;
mod limbo;
mod score;
mod test;
mod tidy;
mod truth;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

/// Tasks of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Prove the rules of the repository: crate layers, one page for each cause, file sizes, links.
    Tidy,
    /// Build everything, then run the tests inside a network namespace of their own.
    Test {
        /// Handed on to `cargo nextest run`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run every scenario with several seeds, and print the scoreboard.
    Score {
        /// How many seeds.
        #[arg(long, default_value_t = 2)]
        seeds: u64,
        /// Only scenarios whose names fit, for example `d*`; `*` stands for anything.
        #[arg(long, default_value = "*")]
        rows: String,
        /// Judge this program instead of building one in release mode.
        #[arg(long)]
        binary: Option<PathBuf>,
    },
    /// Measure judging on simulated worlds whose truth is known.
    Truth {
        #[command(subcommand)]
        what: Truth,
    },
    /// Fuzz the decoders; what it finds becomes a file of `fuzz/corpus`, and so a test.
    Fuzz {
        /// Targets, as the folders of `fuzz/corpus` are named; all if none is given.
        targets: Vec<String>,
        /// Seconds for each.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Measure a check (sequential waits, added delay, CPU), and probes beside blackbox_exporter;
    /// the median of several runs.
    Bench {
        /// How many runs.
        #[arg(long, default_value_t = 5)]
        runs: usize,
        /// Measure this program instead of building one in release mode.
        #[arg(long)]
        binary: Option<PathBuf>,
        /// Only the check, not the probes beside blackbox_exporter.
        #[arg(long)]
        check_only: bool,
        /// Something else than those two.
        #[command(subcommand)]
        what: Option<Bench>,
    },
    /// Read mutated configurations: none may panic, and each that is refused names a place.
    Mutate {
        /// How many.
        #[arg(long, default_value_t = 100_000)]
        count: u64,
        /// From where; the same seed makes the same mutations.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Run a file of x509-limbo's format through the strict profile of certificates, and print where
    /// both agree and where they differ.
    Limbo {
        /// The file, schema version 1.
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// A whole `serve` at 100,000 checks a minute, some of their servers hostile: rate, CPU, memory,
    /// lateness, rows. Writes its section of docs/bench.md.
    Scale(bench::Scale),
    /// What many agents cost one hub: CPU, memory, time until a run is stored.
    Fleet(bench::Fleet),
}

#[derive(Debug, Subcommand)]
enum Truth {
    /// Detection: false alarms, time to detect, flapping, slowness. Writes docs/detect.md; use a
    /// release build.
    Detect {
        /// Check-days without a fault.
        #[arg(long, default_value_t = 10_000)]
        days: usize,
        /// Of the random generator.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Outages of each kind.
        #[arg(long, default_value_t = 300)]
        trials: usize,
    },
    /// The link between agent and hub: days under a virtual clock, with a network that breaks, agents
    /// that are killed, clocks that are set and disks that are full. Fails with the seeds at which a row
    /// was lost, came twice or out of order.
    Link {
        /// How many days.
        #[arg(long, default_value_t = 1_000)]
        seeds: u64,
        /// Hours of each.
        #[arg(long, default_value_t = 24)]
        hours: u64,
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        first: u64,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Tidy => tidy::run(),
        Task::Test { args } => test::run(&args),
        Task::Score {
            seeds,
            rows,
            binary,
        } => program(binary).and_then(|p| score::run(&p, seeds, &rows)),
        Task::Truth {
            what: Truth::Detect { days, seed, trials },
        } => truth::detect::run(days, seed, trials),
        Task::Truth {
            what:
                Truth::Link {
                    seeds,
                    hours,
                    first,
                },
        } => link_days(seeds, hours, first),
        Task::Limbo { file } => limbo::run(&file),
        Task::Mutate { count, seed } => mutate(count, seed),
        Task::Fuzz { targets, seconds } => fuzz::run(&targets, seconds),
        Task::Bench {
            binary,
            what: Some(Bench::Scale(scale)),
            ..
        } => program(binary).and_then(|p| bench::scale(&p, &scale)),
        Task::Bench {
            binary,
            what: Some(Bench::Fleet(fleet)),
            ..
        } => program(binary).and_then(|p| bench::fleet(&p, &fleet)),
        Task::Bench {
            runs,
            binary,
            check_only,
            what: None,
        } => program(binary)
            .and_then(|p| bench::run(&p, runs))
            .and_then(|()| {
                if check_only {
                    Ok(())
                } else {
                    bench::probes(runs)
                }
            }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The test of mutated configurations with another count, in release mode.
fn mutate(count: u64, seed: u64) -> Result<()> {
    let mut command = cargo();
    command
        .args(["test", "--release", "--package", "bellwether-config"])
        .args(["--test", "mutate", "--", "--nocapture"])
        .env("BELLWETHER_MUTATIONS", count.to_string())
        .env("BELLWETHER_SEED", seed.to_string());
    succeed(&mut command)
}

/// A line on stdout.
fn say(line: &str) {
    use std::io::Write;
    // A reader that closed the pipe has all that it wants.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The repository.
fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask
        .parent()
        .expect("xtask stands in the repository")
        .to_owned()
}

/// Cargo, in the repository.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

fn link_days(seeds: u64, hours: u64, first: u64) -> Result<()> {
    let numbers = [seeds, hours, first].map(|number| number.to_string());
    let built = [
        "run",
        "--release",
        "--quiet",
        "--package",
        "bellwether-agent",
    ];
    let which = ["--features", "simulation", "--example", "link_days", "--"];
    succeed(cargo().args(built).args(which).args(numbers))
}

/// Runs a command to its end; `Err` if it fails.
fn succeed(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command
        .status()
        .with_context(|| format!("failed to start {shown}"))?;
    if !status.success() {
        bail!("{shown} ended with {status}");
    }
    Ok(())
}

/// The program to judge: the given one, else one built in release mode.
fn program(given: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(given) = given {
        return given
            .canonicalize()
            .with_context(|| format!("there is no {}", given.display()));
    }
    let mut command = cargo();
    command.args([
        "build",
        "--release",
        "--package",
        "bellwether",
        "--message-format=json-render-diagnostics",
    ]);
    command.stderr(std::process::Stdio::inherit());
    let output = command.output().context("failed to start cargo")?;
    if !output.status.success() {
        bail!("the program does not build");
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .context("cargo did not say where the program is")
}
