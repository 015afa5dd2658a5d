//! `bench`: what a check of a healthy service costs, in waits, in added delay, in CPU; and what a whole
//! `serve` costs.
//!
//! Measured in the lab's world, so nothing leaves this machine. Figures, never a timed test.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{cargo, root, say, succeed};

/// Debian's program.
const BLACKBOX: &str = "prometheus-blackbox-exporter";

/// Delay of every scripted server in the delayed world, milliseconds.
const DELAY_MS: f64 = 50.0;

/// Sequential waits that a healthy two-address HTTPS check over warm resolvers may have.
const WAITS_MAX: f64 = 7.0;

/// What the delayed check may take longer besides its waits, milliseconds.
const SLACK_MS: f64 = 100.0;

/// DNS queries that a whole check may send.
const QUERIES_MAX: f64 = 150.0;

/// Checks over which CPU is averaged.
const CPU_CHECKS: u32 = 20;

/// What is measured of one check.
#[derive(Clone, Copy)]
struct Measured {
    took_ms: f64,
    critical_path: f64,
    queries: f64,
}

/// Measures and prints; `Err` if a budget is not kept.
pub(crate) fn run(binary: &Path, runs: usize) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("bellwether-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).context("failed to make a folder for the worlds")?;
    let measured = measure(binary, &folder, runs);
    // What stands in the way of removing it stands in nobody else's.
    let _ = std::fs::remove_dir_all(&folder);
    measured
}

/// Measures single probes beside blackbox_exporter, where that is installed.
pub(crate) fn probes(runs: usize) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let known = std::env::split_paths(&path).any(|folder| folder.join(BLACKBOX).is_file());
    if !known {
        say(&format!(
            "  probes beside blackbox_exporter: left out, `{BLACKBOX}` is not installed (`scripts/install-deps.sh bench`)"
        ));
        return Ok(());
    }
    let mut run = Command::new("unshare");
    run.arg("-rn").arg(room()?).args(["run", &runs.to_string()]);
    succeed(&mut run)
}

/// The bench's own program, built.
fn room() -> Result<PathBuf> {
    let mut build = cargo();
    build.args([
        "build",
        "--release",
        "--locked",
        "--package",
        "bellwether-bench",
    ]);
    succeed(&mut build)?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join("release/bellwether-bench"))
}

/// How much a whole `serve` is asked, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Scale {
    /// Services; each has five checks: three of DNS, one of TCP, one of HTTPS.
    #[arg(long, default_value_t = 20_000)]
    services: u32,
    /// Interval of each check, seconds.
    #[arg(long, default_value_t = 60)]
    every: u64,
    /// Interval of the traces that nothing gives rise to, seconds.
    #[arg(long, default_value_t = 86_400)]
    deep_every: u64,
    /// Of a hundred checks, those whose server is hostile.
    #[arg(long, default_value_t = 10)]
    hostile: u32,
    /// How long it runs before anything is measured, seconds.
    #[arg(long, default_value_t = 60)]
    warm: u64,
    /// How long is measured, seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Leave docs/bench.md as it is.
    #[arg(long)]
    no_write: bool,
}

/// How many agents bring results to one hub, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Fleet {
    /// Agents, each with a link of its own.
    #[arg(long, default_value_t = 200)]
    agents: u32,
    /// Checks, each of which every agent runs.
    #[arg(long, default_value_t = 100)]
    checks: u32,
    /// Interval of each check, seconds.
    #[arg(long, default_value_t = 60)]
    every: u32,
    /// How long they are linked before anything is measured, seconds.
    #[arg(long, default_value_t = 20)]
    warm: u32,
    /// How long is measured, seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Leave docs/bench.md as it is.
    #[arg(long)]
    no_write: bool,
}

/// Where the figures of [`scale`] and [`fleet`] stand in docs/bench.md: between this line with the
/// subcommand's name, and the end.
const SECTION_END: &str = "<!-- end -->";

fn section_begin(what: &str) -> String {
    format!("<!-- by `cargo xtask bench {what}` -->")
}

/// Measures a whole `serve`, in a namespace without a network.
pub(crate) fn scale(binary: &Path, scale: &Scale) -> Result<()> {
    let words = [
        ("services", u64::from(scale.services)),
        ("every", scale.every),
        ("deep_every", scale.deep_every),
        ("hostile", u64::from(scale.hostile)),
        ("warm", scale.warm),
        ("seconds", scale.seconds),
    ];
    section("scale", binary, &words, scale.no_write)
}

/// Measures a hub with many agents, in a namespace without a network.
pub(crate) fn fleet(binary: &Path, fleet: &Fleet) -> Result<()> {
    let words = [
        ("agents", fleet.agents),
        ("checks", fleet.checks),
        ("every", fleet.every),
        ("warm", fleet.warm),
        ("seconds", fleet.seconds),
    ];
    let words = words.map(|(key, value)| (key, u64::from(value)));
    section("fleet", binary, &words, fleet.no_write)
}

/// Runs a part of the bench, and puts its table into its section of docs/bench.md.
fn section(what: &str, binary: &Path, words: &[(&str, u64)], no_write: bool) -> Result<()> {
    let mut run = Command::new("unshare");
    run.arg("-rn").arg(room()?).arg(what).arg(binary);
    run.args(words.iter().map(|(key, value)| format!("{key}={value}")));
    let output = run
        .stderr(Stdio::inherit())
        .output()
        .context("failed to start `unshare`")?;
    if !output.status.success() {
        bail!("the bench ended with {}", output.status);
    }
    let table = String::from_utf8_lossy(&output.stdout);
    say(table.trim_end());
    if no_write {
        return Ok(());
    }
    let path = root().join("docs/bench.md");
    let page = std::fs::read_to_string(&path).context("failed to read docs/bench.md")?;
    let page = with_section(&page, what, table.trim_end())
        .context("docs/bench.md has no place for these figures")?;
    std::fs::write(&path, page).context("failed to write docs/bench.md")
}

/// The page with this table between the two lines.
fn with_section(page: &str, what: &str, table: &str) -> Option<String> {
    let begin = section_begin(what);
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(SECTION_END)?;
    Some(format!(
        "{before}{begin}\n\n```text\n{table}\n```\n\n{SECTION_END}{after}"
    ))
}

fn measure(binary: &Path, folder: &Path, runs: usize) -> Result<()> {
    let plain = world(folder, "plain", "")?;
    let delayed = world(folder, "delayed", &format!("delay: {DELAY_MS}ms"))?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    // In turn, so that a slow phase of the machine hits both.
    for _ in 0..runs.max(1) {
        without.push(check(binary, &plain)?);
        with.push(check(binary, &delayed)?);
    }
    let of = |all: &[Measured], what: fn(&Measured) -> f64| median(all.iter().map(what).collect());
    let added = of(&with, |m| m.took_ms) - of(&without, |m| m.took_ms);
    say(&format!(
        "a healthy two-address HTTPS check over warm resolvers, median of {runs} runs"
    ));
    let mut broken = 0;
    let mut budget = |what: &str, got: f64, most: f64| {
        let mark = if got <= most { '✓' } else { '✗' };
        broken += u32::from(got > most);
        say(&format!("{mark} {what:52} {got:8.1}   at most {most:.0}"));
    };
    budget(
        "critical_path (sequential waits)",
        of(&with, |m| m.critical_path),
        WAITS_MAX,
    );
    budget(
        "added by 50 ms of delay at every server, ms",
        added,
        WAITS_MAX * DELAY_MS + SLACK_MS,
    );
    budget(
        "DNS queries of the whole check",
        of(&without, |m| m.queries),
        QUERIES_MAX,
    );
    say(&format!(
        "  {:52} {:8.1}",
        "took without delay, ms",
        of(&without, |m| m.took_ms)
    ));
    say(&format!(
        "  {:52} {:8.1}",
        "took with delay, ms",
        of(&with, |m| m.took_ms)
    ));
    let mut cpu = Vec::new();
    for _ in 0..runs.max(1) {
        cpu.push(cpu_ms(binary, &plain)?);
    }
    say(&format!(
        "  {:52} {:8.1}",
        "CPU of a whole check (user + system), ms",
        median(cpu)
    ));
    if broken > 0 {
        bail!("{broken} budgets are not kept");
    }
    Ok(())
}

/// A world with a service at two addresses; its first check warms the resolvers.
fn world(folder: &Path, name: &str, delay: &str) -> Result<PathBuf> {
    let mut text = String::from("schema: bellwether.scenario/1\n");
    let _ = write!(
        text,
        r#"name: bench-{name}
fixed: true
now: 2026-03-02T09:00:00Z
world:
  {delay}
  zones:
    - {{ name: ours, apex: svc.test, servers: {{ns1.dns-a.test: 205.251.192.1, ns2.dns-a.test: 205.251.193.1}}, records: ["www 3600 A 54.160.170.229", "www 3600 A 54.160.170.230"] }}
  resolvers: [{{ address: 8.8.8.8, cache: kept }}, {{ address: 9.9.9.9, cache: kept }}]
  hosts:
    - {{ address: 54.160.170.229, port: 443, tls: {{ names: [www.svc.test] }} }}
    - {{ address: 54.160.170.230, port: 443, tls: {{ names: [www.svc.test] }} }}
services: [{{ name: www, url: "https://www.svc.test/" }}]
steps:
  - {{ check: warm }}
  - {{ check: measured }}
expect:
  warm: {{ verdict: healthy }}
  measured: {{ verdict: healthy }}
"#
    );
    let path = folder.join(format!("{name}.yaml"));
    std::fs::write(&path, text).context("failed to write a world")?;
    Ok(path)
}

fn check(binary: &Path, world: &Path) -> Result<Measured> {
    let output = Command::new(binary)
        .arg("drill")
        .arg(world)
        .args(["--format", "json"])
        .stderr(Stdio::inherit())
        .output()
        .context("failed to start the drill")?;
    let drill: Value =
        serde_json::from_slice(&output.stdout).context("the drill gave no results")?;
    let steps = drill["scenarios"][0]["steps"].as_array();
    let step = steps
        .and_then(|s| s.last())
        .context("the drill ran no step")?;
    if step["as_expected"] != true {
        bail!("the healthy service is not healthy: {}", step["missed"]);
    }
    let number = |key: &str| {
        step["report"][key]
            .as_f64()
            .with_context(|| format!("the report has no `{key}`"))
    };
    Ok(Measured {
        took_ms: number("took_ms")?,
        critical_path: number("critical_path")?,
        queries: number("queries")?,
    })
}

/// CPU of one check with its worker: the shell adds up what its children used.
fn cpu_ms(binary: &Path, world: &Path) -> Result<f64> {
    let binary = binary.display();
    let one = format!(
        "{binary} check https://www.svc.test/ --resolver 8.8.8.8 --resolver 9.9.9.9 \
         --ca $BELLWETHER_WORLD/ca.pem --root-hints $BELLWETHER_WORLD/root.hints \
         --trust-anchor $BELLWETHER_WORLD/root.key -q >/dev/null"
    );
    let script = format!(
        "{one}; times; i=0; while [ $i -lt {CPU_CHECKS} ]; do {one} || exit 1; i=$((i+1)); done; times"
    );
    let output = Command::new(binary.to_string())
        .arg("drill")
        .arg(world)
        .args(["--exec", &script])
        .stderr(Stdio::inherit())
        .output()
        .context("failed to start the drill")?;
    if !output.status.success() {
        bail!("a check failed while its CPU was measured");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<f64> = text.lines().filter_map(times_line).collect();
    // Each `times` prints a line for the shell and one for its children.
    let [_, before, _, after] = lines[..] else {
        bail!("the shell's `times` prints something unknown: {text}");
    };
    Ok((after - before) * 1000.0 / f64::from(CPU_CHECKS))
}

/// `0m1.230000s 0m0.450000s` in seconds.
fn times_line(line: &str) -> Option<f64> {
    let seconds = |word: &str| -> Option<f64> {
        let (minutes, seconds) = word.strip_suffix('s')?.split_once('m')?;
        Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?)
    };
    let mut words = line.split_whitespace();
    let sum = seconds(words.next()?)? + seconds(words.next()?)?;
    words.next().is_none().then_some(sum)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_times_prints() {
        assert_eq!(times_line("0m1.5s 1m0.25s"), Some(61.75));
        assert_eq!(times_line("checking"), None);
    }

    #[test]
    fn figures_take_the_place_of_older_ones() {
        let begin = section_begin("scale");
        let page = format!("# Page\n\n{begin}\n\nold\n\n{SECTION_END}\n\nmore\n");
        let once = with_section(&page, "scale", "new").unwrap();
        assert!(once.contains("```text\nnew\n```") && once.ends_with("\n\nmore\n"));
        assert!(!once.contains("old"));
        assert_eq!(
            with_section(&once, "scale", "new").as_deref(),
            Some(once.as_str())
        );
        assert_eq!(with_section("# Page\n", "scale", "new"), None);
    }

    #[test]
    fn the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }
}
