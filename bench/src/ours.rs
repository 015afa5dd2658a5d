//! Our probes: in a worker of many probes, with orders going in and records coming out.

use std::io::{BufReader, Read, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::Receiver;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bellwether_model::job::{JOB_SCHEMA, Job, Order, Told, Wanted};
use bellwether_model::net::{IcmpResult, TcpResult};
use bellwether_model::tls::TlsResult;
use bellwether_model::{DnsName, Outcome, Target};
use bellwether_probe::worker::{Manner, serve_many};

use crate::servers::{DNS_PORT, HTTPS_PORT, NAME, address};
use crate::{CORE_PROBES, Cost, IN_FLIGHT, Kind, cpu_of};

/// Probes before anything is measured: they fill caches and memory.
const WARM: u32 = 200;
/// Orders that the worker has ahead of those it works on, so that it never waits for one.
const AHEAD: u32 = 64;

/// The worker's end, in a process of its own.
pub(crate) fn work(remembers: bool) -> Result<()> {
    let input = std::io::stdin().as_fd().try_clone_to_owned()?;
    let manner = Manner {
        at_once: IN_FLIGHT,
        remembers,
        beats: false,
    };
    let output: OwnedFd = std::io::stdout().as_fd().try_clone_to_owned()?;
    serve_many(input, std::fs::File::from(output), manner).context("the worker cannot work")
}

/// Has so many probes run by a worker, and tells what one cost.
pub(crate) fn run(kind: Kind, count: u32, root: &str) -> Result<Cost> {
    let mut worker = Worker::start(kind, root)?;
    worker.probes(kind, 0, WARM)?;
    let (before, rss) = (cpu_of(worker.child.id())?, worker.resident()?);
    worker.probes(kind, WARM, count)?;
    let spent = cpu_of(worker.child.id())? - before;
    let end = worker.resident()?;
    Ok(Cost {
        cpu_us: spent.as_secs_f64() * 1e6 / f64::from(count),
        rss_kib: end,
        grown_kib: (end - rss) / f64::from(kind.at_once()),
    })
}

/// A worker with both pipes; it ends with this.
struct Worker {
    child: Child,
    orders: ChildStdin,
    /// Read by a thread: whoever writes orders must not keep the worker from writing records.
    records: Receiver<Result<Told>>,
}

impl Worker {
    fn start(kind: Kind, root: &str) -> Result<Self> {
        let program =
            std::env::current_exe().context("the system does not say where this program is")?;
        let memory = if kind == Kind::Cold {
            "forgets"
        } else {
            "remembers"
        };
        let mut child = Command::new("taskset")
            .args(["-c", CORE_PROBES])
            .arg(program)
            .args(["work", memory])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start the worker")?;
        let (Some(orders), Some(records)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the worker has no pipes");
        };
        let mut worker = Self {
            child,
            orders,
            records: heard(records),
        };
        let job = Box::new(job(kind, root)?);
        let mut bytes = Vec::new();
        append(&mut bytes, &Order::Setting { setting: 0, job })?;
        worker.orders.write_all(&bytes).context("no orders")?;
        Ok(worker)
    }

    /// All of these probes, which must succeed.
    fn probes(&mut self, kind: Kind, first: u32, count: u32) -> Result<()> {
        let (mut ordered, mut ended) = (0, 0);
        let mut bytes = Vec::new();
        while ended < count {
            bytes.clear();
            while ordered < count && ordered < ended + kind.at_once() + AHEAD {
                append(&mut bytes, &order(kind, first + ordered)?)?;
                ordered += 1;
            }
            self.orders.write_all(&bytes).context("the worker died")?;
            // All that came together is looked at together, as a scheduler would.
            let mut next = Some(self.records.recv().context("the worker died")?);
            while let Some(told) = next {
                check(&told?)?;
                ended += 1;
                next = self.records.try_recv().ok();
            }
        }
        Ok(())
    }

    /// Resident memory, KiB.
    fn resident(&self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).context("the worker died")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|rest| rest.split_whitespace().next());
        number
            .and_then(|n| n.parse().ok())
            .context("its status has no VmRSS")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The records as they come.
fn heard(pipe: ChildStdout) -> Receiver<Result<Told>> {
    let (say, hear) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        loop {
            let told = record(&mut pipe);
            let is_last = told.is_err();
            if say.send(told).is_err() || is_last {
                return;
            }
        }
    });
    hear
}

fn record(pipe: &mut impl Read) -> Result<Told> {
    let mut head = [0; 4];
    pipe.read_exact(&mut head).context("the worker died")?;
    let mut bytes = vec![0; usize::try_from(u32::from_le_bytes(head))?];
    pipe.read_exact(&mut bytes).context("the worker died")?;
    serde_json::from_slice(&bytes).context("a record cannot be read")
}

/// Every probe must succeed.
fn check(told: &Told) -> Result<()> {
    if told.observations.is_empty() {
        bail!("a probe left no record");
    }
    match told.observations.iter().find(|o| !is_good(&o.outcome)) {
        Some(bad) => bail!("a probe failed: {:?}", bad.outcome),
        None => Ok(()),
    }
}

fn append(bytes: &mut Vec<u8>, order: &Order) -> Result<()> {
    let text = serde_json::to_vec(order)?;
    bytes.extend(u32::try_from(text.len())?.to_le_bytes());
    bytes.extend(text);
    Ok(())
}

fn order(kind: Kind, n: u32) -> Result<Order> {
    let to = IpAddr::V4(address(n));
    let wanted = match kind {
        Kind::Dns => {
            let name: DnsName = NAME.parse()?;
            let server = SocketAddr::new(to, DNS_PORT);
            Wanted::Dns { server, name }
        }
        Kind::Tcp | Kind::Https | Kind::Cold => Wanted::Address { address: to },
        Kind::Icmp => Wanted::Echo { address: to },
    };
    Ok(Order::Probe {
        number: n.into(),
        setting: 0,
        wanted,
    })
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
    let scheme = match kind {
        Kind::Https | Kind::Cold => "https",
        Kind::Dns | Kind::Tcp | Kind::Icmp => "tcp",
    };
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
