//! What a whole `serve` costs at a given rate: the program as it is built, its workers, a store on a
//! disk, against servers of this machine, some of them hostile. Started by `cargo xtask bench scale`.
//!
//! - `world`: name servers, resolver, web server, hostile servers
//! - `hostile`: those that hang, reset, dribble and babble
//! - `plan`: the configuration
//! - `watch`: CPU and memory of processes, as the kernel counts them
//! - `http`: questions to page and API
//! - `rows`: what the store holds afterwards
//! - `table`: the figures, each beside its budget

pub(crate) mod hostile;
pub(crate) mod http;
mod plan;
mod rows;
mod table;
pub(crate) mod watch;
mod world;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;

use http::Asked;
use rows::{Rows, Span};
use watch::Usage;
use world::World;

/// Where `serve` has its page and API.
pub(crate) const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8400);
/// How long `serve` may take until it is ready.
const READY_MAX: Duration = Duration::from_secs(120);
/// How long it may take to end: it promises ten seconds.
const END_MAX: Duration = Duration::from_secs(20);
/// How often it is looked whether something has happened.
const LOOK: Duration = Duration::from_millis(20);
/// Longest span that is measured: a bench ends by itself.
const SECONDS_MAX: u64 = 900;
/// Most services: addresses of names and the memory of the servers bound it.
const SERVICES_MAX: u32 = 50_000;

/// How much is asked, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Services; each has five checks: three of DNS, one of TCP, one of HTTPS.
    pub(crate) services: u32,
    /// Interval of each check, seconds.
    pub(crate) every: u64,
    /// Interval of the traces that nothing gives rise to, seconds.
    pub(crate) deep_every: u64,
    /// Of a hundred checks, those whose server is hostile.
    pub(crate) hostile: u32,
    /// Before anything is measured, seconds: the first round, and what follows from it.
    pub(crate) warm: u64,
    /// How long is measured, seconds.
    pub(crate) seconds: u64,
}

impl Size {
    /// From words like `services=20000`; what is left out is as in the design's budget.
    ///
    /// # Errors
    /// A word that is none of these, or a number beyond its bound.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut size = Self {
            services: 20_000,
            every: 60,
            deep_every: 86_400,
            hostile: 10,
            warm: 60,
            seconds: 60,
        };
        for word in words {
            let (key, value) = word.split_once('=').context("not KEY=NUMBER")?;
            let value: u64 = value
                .parse()
                .with_context(|| format!("{word}: no number"))?;
            let small = || u32::try_from(value).with_context(|| format!("{word}: too large"));
            match key {
                "services" => size.services = small()?,
                "every" => size.every = value,
                "deep_every" => size.deep_every = value,
                "hostile" => size.hostile = small()?,
                "warm" => size.warm = value,
                "seconds" => size.seconds = value,
                _ => bail!("`{key}` is nothing that can be set"),
            }
        }
        let is_bounded = (1..=SERVICES_MAX).contains(&size.services)
            && size.every >= 1
            && size.deep_every >= size.every
            && size.hostile <= plan::HOSTILE_MAX
            && size.warm <= SECONDS_MAX
            && (1..=SECONDS_MAX).contains(&size.seconds);
        if !is_bounded {
            bail!("beyond the bounds of this bench: {size:?}");
        }
        Ok(size)
    }

    pub(crate) fn checks(self) -> u32 {
        self.services * plan::CHECKS_EACH
    }

    /// Scheduled runs in a minute.
    pub(crate) fn a_minute(self) -> f64 {
        f64::from(self.checks()) * 60.0 / self.every as f64
    }
}

/// Everything that was measured.
pub(crate) struct Measured {
    pub(crate) size: Size,
    pub(crate) config_lines: usize,
    /// CPU of a process that reads the configuration and ends.
    pub(crate) config_cpu: Duration,
    /// From the start to the first answer that it is ready.
    pub(crate) ready_after: Duration,
    pub(crate) at_ready: Usage,
    /// At the begin and the end of what is measured.
    pub(crate) spans: (Usage, Usage),
    pub(crate) at_end: Usage,
    pub(crate) asked: Vec<Asked>,
    pub(crate) ended_after: Duration,
    /// Counts that the hub tells of itself.
    pub(crate) told: Told,
    pub(crate) rows: Rows,
    /// The machine's load over the last minute, at the end.
    pub(crate) load: f64,
}

/// What `/metrics` says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) traces: f64,
    pub(crate) lost: f64,
    pub(crate) restarted: f64,
    pub(crate) replaced: f64,
    pub(crate) incidents: f64,
}

/// Measures, and tells it as a table.
///
/// # Errors
/// Something does not start or end, or the store cannot be read.
pub(crate) fn run(binary: &Path, size: Size) -> Result<String> {
    let world = World::start(size)?;
    let config = plan::write(world.folder(), size)?;
    let data = world.folder().join("data");
    fs::create_dir(&data).context("failed to make the data directory")?;
    let measured = measure(binary, size, &config, &data)?;
    Ok(table::table(&measured))
}

fn measure(binary: &Path, size: Size, config: &plan::Written, data: &Path) -> Result<Measured> {
    let config_cpu = config_cpu(binary, &config.path)?;
    let mut serve = Serve::start(binary, &config.path, data)?;
    let ready_after = serve.ready()?;
    let at_ready = serve.usage()?;
    let begun = Timestamp::now();
    serve.lives_for(Duration::from_secs(size.warm))?;
    let first = (Timestamp::now(), serve.usage()?);
    serve.lives_for(Duration::from_secs(size.seconds))?;
    let last = (Timestamp::now(), serve.usage()?);
    let load = watch::load()?;
    let (asked, told) = ask()?;
    let at_end = serve.usage()?;
    let ended_after = serve.end()?;
    let rows = Rows::read(data, Span::of(begun, first.0), Span::of(first.0, last.0))?;
    Ok(Measured {
        size,
        config_lines: config.lines,
        config_cpu,
        ready_after,
        at_ready,
        spans: (first.1, last.1),
        at_end,
        asked,
        ended_after,
        told,
        rows,
        load,
    })
}

/// Asks page and API, while everything goes on.
fn ask() -> Result<(Vec<Asked>, Told)> {
    let check = plan::name(0);
    let paths = [
        "/healthz".to_owned(),
        "/".to_owned(),
        "/api/v1/services".to_owned(),
        "/api/v1/incidents".to_owned(),
        format!("/api/v1/checks/{check}/web/series"),
        "/metrics".to_owned(),
    ];
    let mut asked = Vec::new();
    let mut told = Told::default();
    for path in paths {
        let (one, body) = http::ask(LISTEN, &path)?;
        if path == "/metrics" {
            let sum = |name: &str| http::sum(&body, name);
            told = Told {
                traces: sum("bellwether_traces_total"),
                lost: sum("bellwether_runs_lost_total"),
                restarted: sum("bellwether_tasks_restarted_total"),
                replaced: sum("bellwether_workers_replaced_total"),
                incidents: sum("bellwether_incidents_unresolved"),
            };
        }
        asked.push(one);
    }
    Ok((asked, told))
}

/// CPU of a process that reads the configuration, and does nothing else.
fn config_cpu(binary: &Path, config: &Path) -> Result<Duration> {
    let mut child = Command::new(binary)
        .args(["config", "check"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .context("failed to start the program")?;
    let begun = Instant::now();
    // One that has ended and was not waited for is still counted.
    while !watch::has_ended(child.id())? {
        if begun.elapsed() > READY_MAX {
            let _ = child.kill();
            let _ = child.wait();
            bail!("the configuration is not read after {READY_MAX:?}");
        }
        sleep(LOOK);
    }
    let cpu = watch::cpu(child.id());
    let status = child.wait().context("failed to wait for the program")?;
    if !status.success() {
        bail!("the configuration is refused: {status}");
    }
    cpu
}

/// A running `serve`; it ends with this.
pub(crate) struct Serve {
    child: Child,
    log: PathBuf,
    begun: Instant,
}

impl Serve {
    pub(crate) fn start(binary: &Path, config: &Path, data: &Path) -> Result<Self> {
        let log = data.with_extension("log");
        let file = fs::File::create(&log).context("failed to make a log")?;
        let begun = Instant::now();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(binary)
            .arg("serve")
            .arg("-c")
            .arg(config)
            .arg("--data-dir")
            .arg(data)
            .arg("--listen")
            .arg(LISTEN.to_string())
            .env("BELLWETHER_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .context("failed to start `serve`")?;
        Ok(Self { child, log, begun })
    }

    /// How long it took until it was ready.
    pub(crate) fn ready(&mut self) -> Result<Duration> {
        while self.begun.elapsed() < READY_MAX {
            self.lives()?;
            if http::is_ok(LISTEN, "/readyz") {
                return Ok(self.begun.elapsed());
            }
            sleep(LOOK);
        }
        bail!("`serve` is not ready after {READY_MAX:?}: {}", self.said())
    }

    fn lives_for(&mut self, span: Duration) -> Result<()> {
        let until = Instant::now() + span;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.lives()?;
            sleep(left.min(Duration::from_millis(500)));
        }
        self.lives()
    }

    fn lives(&mut self) -> Result<()> {
        match self
            .child
            .try_wait()
            .context("failed to look after `serve`")?
        {
            None => Ok(()),
            Some(status) => bail!("`serve` ended with {status}: {}", self.said()),
        }
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }

    /// Asks it to end; how long that took.
    pub(crate) fn end(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        let asked = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        if !asked.is_ok_and(|status| status.success()) {
            bail!("`serve` cannot be asked to end");
        }
        while begun.elapsed() < END_MAX {
            let ended = self.child.try_wait();
            if ended.context("failed to look after `serve`")?.is_some() {
                return Ok(begun.elapsed());
            }
            sleep(LOOK);
        }
        bail!("`serve` does not end after {END_MAX:?}")
    }

    /// The token that it printed at its first start.
    pub(crate) fn token(&self) -> Result<String> {
        let text = fs::read_to_string(&self.log).context("failed to read its log")?;
        let token = text.lines().map(str::trim).find(|l| l.starts_with("bw_"));
        token.map(str::to_owned).context("it printed no token")
    }

    /// The last of its log.
    fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("; ")
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // One that ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
