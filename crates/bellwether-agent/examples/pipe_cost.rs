//! What agent, pipe and workers cost for each result, without a hub: visits of DNS, TCP and HTTPS
//! (60, 20 and 20 of a hundred) to servers that stand on this machine already, as
//! `bellwether-bench serve` starts them in a namespace without a network. They know one name, so that the
//! bound on what is under way at one host shows in the lateness above some hundred results a second.
//!
//! `pipe_cost ROOT.pem [RESULTS_A_SECOND] [SECONDS]`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement for people"
)]

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use bellwether_agent::{Harvest, Plan, PlannedCheck, Processes, SystemClock, start};
use bellwether_model::dns::ResolverOrigin;
use bellwether_model::job::{CheckAsk, Job, ResolverAsk};
use bellwether_model::{Channel, CheckId, VantageId};
use bellwether_probe::worker;
use tokio::process::Command;
use tokio::sync::mpsc;

/// Workers, as for a large configuration on two cores.
const WORKERS: usize = 2;
/// Each check runs so often, seconds.
const EVERY: u64 = 20;

/// CPU time of a process, microseconds, as the scheduler counts it (`sched` of proc(5)).
fn cpu_us(process: &str) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let nanos = text.split(' ').next().and_then(|n| n.parse::<u64>().ok());
        nanos.unwrap_or(0) / 1000
    };
    tasks.map(|task| of(task.unwrap())).sum()
}

fn children() -> Vec<String> {
    let mut all = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path().join("children");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        all.extend(text.split_whitespace().map(str::to_owned));
    }
    all
}

fn resident_kib(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn work() {
    let manner = worker::Manner {
        at_once: worker::ORDERS_AT_ONCE,
        remembers: true,
        beats: true,
    };
    let input = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let output = std::io::stdout().as_fd().try_clone_to_owned().unwrap();
    let output = std::fs::File::from(output);
    worker::serve_many_judged(input, output, manner, bellwether_agent::judge).unwrap();
}

fn common(root: &str) -> Job {
    let path = format!("{}/examples/job.json", env!("CARGO_MANIFEST_DIR"));
    let mut job: Job = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let pem = std::fs::read_to_string(root).unwrap();
    let text: String = pem.lines().filter(|l| !l.starts_with('-')).collect();
    job.extra_roots = vec![text];
    job.resolvers = (1..=2)
        .map(|n| ResolverAsk {
            label: format!("resolver-{n}"),
            address: format!("127.0.1.{n}:5353").parse().unwrap(),
            channel: Channel::default(),
            origin: ResolverOrigin::Given,
        })
        .collect();
    job.controls.clear();
    job.root_hints.clear();
    job.trust_anchor.clear();
    job.egress.allow_networks = vec!["127.0.0.0/8".parse().unwrap()];
    job
}

fn check(n: u64) -> PlannedCheck {
    let text = match n % 5 {
        0..3 => "dns://www.bench.test".to_owned(),
        3 => "tcp://www.bench.test:8443".to_owned(),
        _ => "https://www.bench.test:8443/".to_owned(),
    };
    let mut target: bellwether_model::Target = text.parse().unwrap();
    if n % 5 < 3 {
        target.rtype = Some("A".to_owned());
    }
    let ask = CheckAsk {
        target,
        icmp_only: false,
        expect: Default::default(),
        client_cert: None,
        tries: None,
        timeout_ms: 5000,
    };
    PlannedCheck {
        id: CheckId::new(&format!("svc-{n}"), "main"),
        ask: Arc::new(ask),
        every: Duration::from_secs(EVERY),
        deep_every: Duration::from_secs(365 * 86_400),
        baseline: None,
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words[0] == "work" {
        return work();
    }
    let number = |at: usize, or: u64| words.get(at).map_or(or, |w| w.parse().unwrap());
    let (rate, seconds) = (number(1, 333), number(2, 10));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure(&words[0], rate, seconds));
}

async fn measure(root: &str, rate: u64, seconds: u64) {
    let before = resident_kib("self");
    let plan = Plan {
        generation: 1,
        vantage: VantageId::new("local"),
        common: common(root),
        checks: (0..rate * EVERY).map(check).collect(),
        at_once: 512,
        workers: WORKERS,
    };
    let command = || {
        let mut command = Command::new("/proc/self/exe");
        command.arg("work");
        command
    };
    let processes = Processes::start(command, WORKERS, 512);
    let (give, mut taken) = mpsc::channel(4096);
    let agent = start(plan, processes, SystemClock::start(), give);
    let taking = tokio::spawn(async move {
        let mut all = Vec::new();
        let (mut ok, mut other) = (0_u64, 0_u64);
        while taken.recv_many(&mut all, 4096).await > 0 {
            for one in all.drain(..) {
                match one {
                    Harvest::Run(run) if run.symptom.is_none() => ok += 1,
                    Harvest::Run(_) | Harvest::Shown(_) => other += 1,
                    Harvest::Trace(_) | Harvest::Own(_) => {}
                }
            }
        }
        (ok, other)
    });
    tokio::time::sleep(Duration::from_secs(EVERY + 2)).await;
    let spent = || {
        let workers: u64 = children().iter().map(|child| cpu_us(child)).sum();
        (cpu_us("self"), workers)
    };
    let runs = |figures: &bellwether_agent::Figures| figures.runs.iter().sum::<u64>();
    let (begin, first) = (spent(), runs(&agent.figures()));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (end, last) = (spent(), runs(&agent.figures()));
    let (count, checks) = (last - first, rate * EVERY);
    let resident = resident_kib("self");
    let of_workers: Vec<u64> = children().iter().map(|c| resident_kib(c)).collect();
    let figures = agent.stop(Duration::from_secs(2)).await.unwrap();
    let (ok, other) = taking.await.unwrap();
    println!(
        "{count} results: agent {} us each, workers {} us each",
        (end.0 - begin.0) / count,
        (end.1 - begin.1) / count
    );
    println!("{ok} ok, {other} other; lateness {:?}", figures.lateness);
    println!(
        "agent {resident} KiB, {} bytes a check; workers {of_workers:?} KiB",
        (resident.saturating_sub(before)) * 1024 / checks
    );
}
