//! Our probes: one thread, as in a worker, with every record made and encoded.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bellwether_model::job::{Event, JOB_SCHEMA, Job};
use bellwether_model::net::{IcmpResult, TcpResult};
use bellwether_model::tls::TlsResult;
use bellwether_model::{DnsName, Outcome, Target};
use bellwether_probe::bench;
use bellwether_probe::cx::Cx;
use tokio::task::LocalSet;

use crate::servers::{DNS_PORT, HTTPS_PORT, NAME, address};
use crate::{Cost, IN_FLIGHT, Kind, cpu_of};

/// Probes before anything is measured: they fill caches and memory.
const WARM: u32 = 200;

/// Runs so many probes and tells what one cost.
pub(crate) fn run(kind: Kind, count: u32, root: &str) -> Result<Cost> {
    let job = job(kind, root)?;
    let told = Rc::new(Cell::new((0_u32, 0_usize)));
    let counted = Rc::clone(&told);
    let failed = Rc::new(Cell::new(None));
    let failure = Rc::clone(&failed);
    let mut frame = Vec::new();
    let cx = Cx::new(job, move |event| {
        if let Event::Observed { observation, .. } = event
            && !is_good(&observation.outcome)
        {
            failure.set(Some(format!("{:?}", observation.outcome)));
        }
        // As it crosses the pipe.
        frame.clear();
        let _ = serde_json::to_writer(&mut frame, event);
        let (events, bytes) = counted.get();
        counted.set((events + 1, bytes + frame.len()));
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start a runtime")?;
    let local = LocalSet::new();
    local.block_on(&runtime, in_flight(&cx, kind, WARM));
    let pid = std::process::id();
    let (before, rss) = (cpu_of(pid)?, resident()?);
    local.block_on(&runtime, in_flight(&cx, kind, count));
    let spent = cpu_of(pid)? - before;
    let end = resident()?;
    if let Some(failure) = failed.take() {
        bail!("a probe failed: {failure}");
    }
    if told.get().0 < count {
        bail!("only {} records of {count} probes", told.get().0);
    }
    #[expect(clippy::cast_precision_loss, reason = "16 is exact")]
    let in_flight = IN_FLIGHT as f64;
    Ok(Cost {
        cpu_us: spent.as_secs_f64() * 1e6 / f64::from(count),
        rss_kib: end,
        grown_kib: (end - rss) / in_flight,
    })
}

async fn in_flight(cx: &Cx, kind: Kind, count: u32) {
    let next = Rc::new(Cell::new(0_u32));
    let mut tasks = Vec::new();
    for _ in 0..IN_FLIGHT {
        let (cx, next) = (cx.clone(), Rc::clone(&next));
        tasks.push(tokio::task::spawn_local(async move {
            loop {
                let n = next.get();
                if n >= count {
                    return;
                }
                next.set(n + 1);
                one(&cx, kind, n).await;
            }
        }));
    }
    for task in tasks {
        // A panic shows as records that are missing.
        let _ = task.await;
    }
}

async fn one(cx: &Cx, kind: Kind, n: u32) {
    let to = IpAddr::V4(address(n));
    match kind {
        Kind::Dns => {
            let name: DnsName = NAME.parse().expect("a name");
            bench::dns(cx, SocketAddr::new(to, DNS_PORT), &name).await;
        }
        Kind::Tcp | Kind::Https => bench::address(cx, to).await,
        Kind::Icmp => bench::echo(cx, to).await,
    }
}

/// Only a whole success counts.
fn is_good(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Dns(seen) => seen
            .exchange
            .response()
            .is_some_and(|r| r.answer.len() == 1),
        Outcome::Tcp(seen) => seen.result == TcpResult::Connected,
        Outcome::Tls(seen) => seen.result == TlsResult::Completed && seen.problems.is_empty(),
        Outcome::Http(seen) => seen.status == Some(200),
        Outcome::Icmp(seen) => seen.result == IcmpResult::Reply,
        _ => false,
    }
}

fn job(kind: Kind, root: &str) -> Result<Job> {
    let pem = std::fs::read_to_string(root).context("failed to read the root")?;
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    // A complaint now, not as a probe's failure.
    BASE64.decode(&body).context("the root is no PEM")?;
    let scheme = if kind == Kind::Https { "https" } else { "tcp" };
    let target: Target = format!("{scheme}://{NAME}:{HTTPS_PORT}")
        .parse()
        .map_err(|e| anyhow::anyhow!("{e}"))?;
    let job = serde_json::json!({
        "schema": JOB_SCHEMA,
        "target": target,
        "expect": bellwether_model::Expect::default(),
        "resolvers": [],
        "controls": [],
        "root_hints": [],
        "extra_roots": [body],
        "now": "2026-06-01T00:00:00Z",
        "deadline_ms": 600_000,
    });
    serde_json::from_value(job).context("a job of the bench is no job")
}

/// Resident memory, KiB.
fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("failed to read /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number
        .and_then(|n| n.parse().ok())
        .context("/proc/self/status has no VmRSS")
}
