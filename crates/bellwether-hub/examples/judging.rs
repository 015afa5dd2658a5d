//! What judging costs: a judge over a store on disk takes in runs of very many checks, some of which
//! fail and are traced, and tells CPU by thread and memory by part. Nothing is asked of any target.
//!
//! With `vantages=N` agents elsewhere bring the same as the built-in one.
//!
//! `judging [services=20000] [failing=10] [rounds=2] [rate=8000] [idle=5] [scrape=1] [vantages=1]`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bellwether_agent::{Harvest, Trace, TraceWhy};
use bellwether_hub::access::Access;
use bellwether_hub::agents::Agents;
use bellwether_hub::judge::{Inbox, Judge};
use bellwether_hub::keep::Keeper;
use bellwether_hub::links::{Far, Linked};
use bellwether_hub::shared::Shared;
use bellwether_hub::{api, testing};
use bellwether_model::net::{TcpResult, TcpSeen};
use bellwether_model::observation::{Observation, Outcome, ProbeKind};
use bellwether_model::report::Context;
use bellwether_model::run::RunOutcome;
use bellwether_model::{CheckId, Run, Target, VantageId};
use bellwether_store::{Embedded, Options};
use jiff::Timestamp;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tower::ServiceExt as _;

/// Checks of a service, as in the bench of all of `serve`.
const CHECKS: [&str; 5] = ["dns-0", "dns-1", "dns-2", "tcp", "web"];
/// Of them, those that fail where a service does.
const FAILING: [&str; 2] = ["tcp", "web"];
/// Addresses of services that fail.
const ADDRESSES: u32 = 16;
/// What is handed on at once.
const LUMP: usize = 8;
/// Runs that an agent elsewhere delivers at once.
const DELIVERY: usize = 500;

fn word(name: &str, usual: u64) -> u64 {
    let mut words = std::env::args().filter_map(|word| {
        let (key, value) = word.split_once('=')?;
        (key == name).then(|| value.parse().expect("a number"))
    });
    words.next().unwrap_or(usual)
}

/// CPU of this process by thread name, milliseconds.
fn cpu() -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task")
        .expect("Linux")
        .flatten()
    {
        let read = |file| std::fs::read_to_string(task.path().join(file));
        let (Ok(name), Ok(stat)) = (read("comm"), read("schedstat")) else {
            continue;
        };
        let nanos = stat.split(' ').next().and_then(|n| n.parse::<f64>().ok());
        *all.entry(name.trim().to_owned()).or_default() += nanos.unwrap_or_default() / 1e6;
    }
    all
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<f64>().ok())
        .unwrap_or_default()
        / 1024.0
}

/// Says what came to pass since the last time.
struct Says {
    cpu: BTreeMap<String, f64>,
    resident: f64,
    since: Instant,
}

impl Says {
    #[expect(clippy::print_stdout, reason = "whoever measures reads this")]
    fn say(&mut self, what: &str, per: f64, unit: &str) {
        let (cpu, resident) = (cpu(), resident());
        let mut line = format!("{what:24}");
        for (thread, ms) in &cpu {
            let spent = ms - self.cpu.get(thread).copied().unwrap_or_default();
            if spent > 1.0 {
                let _ = write!(line, " {thread} {:.2} {unit},", spent * 1e3 / per);
            }
        }
        let took = self.since.elapsed().as_secs_f64();
        println!(
            "{line} {:+.1} MiB, {resident:.1} MiB in all, {took:.2} s",
            resident - self.resident
        );
        *self = Self {
            cpu,
            resident,
            since: Instant::now(),
        };
    }
}

fn is_failing(service: u64, failing: u64) -> bool {
    // Two checks of such a service fail, so more services are than checks.
    let share = failing * CHECKS.len() as u64 / FAILING.len() as u64;
    (service + 1) * share / 100 > service * share / 100
}

/// Vantages beside the built-in one.
fn elsewhere(vantages: u64) -> Vec<VantageId> {
    let names = (1..vantages).map(|n| VantageId::new(&format!("v{n:02}")));
    names.collect()
}

fn configuration(services: u64, vantages: u64) -> String {
    let mut text = "controls: []\n".to_owned();
    if vantages > 1 {
        text += "vantages:\n";
    }
    for vantage in elsewhere(vantages) {
        let _ = writeln!(text, "  - {{ name: {vantage} }}");
    }
    text += "services:\n";
    for service in 0..services {
        let address = 1 + service % u64::from(ADDRESSES);
        let name = format!("s{service:05}");
        let _ = write!(
            text,
            "  - name: {name}\n    checks:\n      \
             - {{ name: dns-0, dns: {{ name: {name}.svc.test, type: A }} }}\n      \
             - {{ name: dns-1, dns: {{ name: {name}.svc.test, type: A }} }}\n      \
             - {{ name: dns-2, dns: {{ name: {name}.svc.test, type: A }} }}\n      \
             - {{ name: tcp, tcp: {{ address: \"198.51.100.{address}:{}\" }} }}\n      \
             - {{ name: web, http: {{ url: \"https://{name}.svc.test:8443/\" }} }}\n",
            1_000 + service
        );
    }
    text
}

fn trace(check: &CheckId, target: &Target, address: u64, now: Timestamp) -> Trace {
    let address = format!("198.51.100.{address}:8443");
    let seen = TcpSeen {
        address: address.parse().expect("an address"),
        result: TcpResult::Refused,
        connect_ms: Some(1.0),
        info: None,
    };
    Trace {
        check: check.clone(),
        why: TraceWhy::Failure,
        context: Context {
            target: target.clone(),
            expect: bellwether_model::Expect::default(),
            vantage: VantageId::LOCAL.to_owned(),
            now,
            time_given: false,
            family: None,
            baseline: None,
        },
        began: now,
        took_ms: 1.0,
        queries: 0,
        observations: vec![Observation {
            id: "e1".to_owned(),
            probe: ProbeKind::Tcp,
            began: now,
            took_ms: 1.0,
            waits: 1,
            outcome: Outcome::Tcp(seen),
        }],
    }
}

/// Agents elsewhere, and what they bring.
struct Elsewhere {
    all: Vec<VantageId>,
    far: mpsc::Sender<Far>,
    waits: Vec<Run>,
}

impl Elsewhere {
    /// Each of them saw the same.
    fn saw(&mut self, run: &Run) {
        if self.all.is_empty() {
            return;
        }
        self.waits.push(run.clone());
        if self.waits.len() == DELIVERY {
            self.bring();
        }
    }

    fn bring(&mut self) {
        for vantage in &self.all {
            let runs = self.waits.iter().map(|run| Run {
                vantage: vantage.clone(),
                ..run.clone()
            });
            let far = Far {
                vantage: vantage.clone(),
                harvest: runs.map(Harvest::Run).collect(),
            };
            self.far.blocking_send(far).expect("a judge");
        }
        self.waits.clear();
    }
}

/// Hands on a round of runs at a rate, with traces of what fails.
fn feed(
    shared: &Shared,
    (harvest, elsewhere): (&mpsc::Sender<Harvest>, &mut Elsewhere),
    sequence: &mut u64,
    failing: u64,
    rate: u64,
) {
    let config = shared.configured.load().config.clone();
    let pause = Duration::from_secs_f64(LUMP as f64 / rate as f64);
    let mut due = Instant::now();
    let mut lump = 0;
    for at in 0..CHECKS.len() {
        for (number, service) in config.services.iter().enumerate() {
            let check = &service.checks[at];
            let number = number as u64;
            let fails = is_failing(number, failing) && FAILING.contains(&check.name.as_str());
            let id = CheckId::new(&service.name, &check.name);
            *sequence += 1;
            let outcome = match fails {
                true => RunOutcome::Failed,
                false => RunOutcome::Ok,
            };
            let now = Timestamp::now();
            let mut run = testing::run(&id, *sequence, now, outcome);
            run.late = 0;
            elsewhere.saw(&run);
            harvest.blocking_send(Harvest::Run(run)).expect("a judge");
            if fails {
                let trace = trace(&id, &check.target, number % u64::from(ADDRESSES) + 1, now);
                let trace = Harvest::Trace(Box::new(trace));
                harvest.blocking_send(trace).expect("a judge");
            }
            lump += 1;
            if lump % LUMP == 0 {
                due += pause;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }
    }
    elsewhere.bring();
}

/// What readers ask for, and what that costs.
fn scrape(says: &mut Says, shared: &Arc<Shared>, runtime: &Runtime) {
    let loopback = "127.0.0.1:1".parse().expect("an address");
    let router = api::router(shared.clone(), Access::for_listener(loopback));
    for path in [
        "/metrics",
        "/",
        "/api/v1/services",
        "/api/v1/checks/s00000/web/series",
    ] {
        let request = http::Request::get(path).header("host", "127.0.0.1");
        let request = request.body(axum::body::Body::empty()).expect("a request");
        let len = runtime.block_on(async {
            let answer = router.clone().oneshot(request).await.expect("an answer");
            let body = http_body_util::BodyExt::collect(answer.into_body()).await;
            body.expect("a body").to_bytes().len()
        });
        says.say(&format!("{path} {len}"), 1e3, "ms");
    }
}

/// A hub over a store on disk that nobody runs anything for.
fn hub(
    folder: &Path,
    (services, vantages): (u64, u64),
    now: Timestamp,
    says: &mut Says,
) -> Arc<Shared> {
    let checks = services as f64 * CHECKS.len() as f64;
    let hub = testing::hub(now, &configuration(services, vantages));
    says.say("configuration", checks, "µs a check");
    let store = Arc::new(Embedded::open(folder, Options::new(now)).expect("a store"));
    let mut shared = Arc::into_inner(hub.shared).expect("nobody else has it");
    (shared.observations, shared.state) = (store.clone(), store);
    let config = shared.configured.load().config.clone();
    let board = shared.board.get_mut().expect("no panic");
    board.configure(&config, now);
    says.say("board", checks, "µs a check");
    Arc::new(shared)
}

/// Agents elsewhere are linked.
fn linked(shared: &Shared, all: &[VantageId]) -> Vec<Linked> {
    let generation = shared.configured.load().generation;
    let linked = all.iter().map(|vantage| {
        let asks = mpsc::channel(1).0;
        let linked = shared.links.enter(vantage, 1, asks, Timestamp::now);
        shared
            .links
            .heard(vantage, |presence| presence.generation = generation);
        linked
    });
    linked.collect()
}

/// They say that they are there.
fn hear(shared: &Shared, all: &[VantageId]) {
    for vantage in all {
        let now = Timestamp::now();
        shared
            .links
            .heard(vantage, |presence| presence.heard = Some(now));
    }
}

/// Until so many runs are judged.
fn await_taken(shared: &Shared, all: &[VantageId], runs: u64) {
    let figures = &shared.figures.runs;
    let taken = || figures.iter().map(|n| n.load(Ordering::Relaxed));
    while taken().sum::<u64>() < runs {
        hear(shared, all);
        std::thread::yield_now();
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("judge")
        .enable_all()
        .build()
        .expect("a runtime")
}

fn main() {
    let (services, failing) = (word("services", 20_000), word("failing", 10));
    let vantages = word("vantages", 1);
    let (rounds, rate, idle) = (word("rounds", 2), word("rate", 8_000), word("idle", 5));
    let mut says = Says {
        cpu: cpu(),
        resident: resident(),
        since: Instant::now(),
    };
    let now = Timestamp::now();
    let folder = tempfile::tempdir().expect("a folder");
    let checks = services as f64 * CHECKS.len() as f64;
    let shared = hub(folder.path(), (services, vantages), now, &mut says);
    let config = shared.configured.load().config.clone();
    let plan = bellwether_agent::settings::plan(&config, 1, &BTreeMap::new()).expect("a plan");
    says.say("plan", checks, "µs a check");
    let runtime = runtime();
    let (harvest, harvest_in) = mpsc::channel(4_096);
    let worker = Arc::new(|| tokio::process::Command::new("false"));
    let (agents, owner) = Agents::new(
        plan,
        worker,
        harvest.clone(),
        Arc::default(),
        bellwether_hub::links::Links::default(),
    );
    says.say("places", checks, "µs a check");
    let keeper = Keeper::start(shared.clone(), 1).expect("a keeper");
    let judge = Judge::restore(shared.clone(), agents, keeper.clone(), now).expect("a judge");
    says.say("judge", checks, "µs a check");
    let (far, far_in) = mpsc::channel(64);
    let mut elsewhere = Elsewhere {
        all: elsewhere(vantages),
        far,
        waits: Vec::new(),
    };
    let linked = linked(&shared, &elsewhere.all);
    let (_acts, acts) = mpsc::channel(1);
    let (_configured, configured) = mpsc::channel(1);
    let (ends, is_ending) = watch::channel(false);
    let mut inbox = Inbox {
        harvest: harvest_in,
        far: far_in,
        acts,
        configured,
        ends: is_ending,
        batch: Vec::new(),
    };
    let judging = runtime.spawn(async move { judge.run(&mut inbox).await });
    let mut sequence = 0;
    for round in 1..=rounds {
        let feeds = (&harvest, &mut elsewhere);
        feed(&shared, feeds, &mut sequence, failing, rate);
        await_taken(&shared, &elsewhere.all, sequence * vantages);
        says.say(&format!("round {round}"), checks, "µs a run");
    }
    hear(&shared, &elsewhere.all);
    std::thread::sleep(Duration::from_secs(idle));
    says.say("idle", idle as f64, "µs a second");
    if word("scrape", 1) > 0 {
        scrape(&mut says, &shared, &runtime);
    }
    ends.send_replace(true);
    runtime.block_on(judging).expect("no panic");
    drop((owner, linked));
    assert!(keeper.flush(Duration::from_secs(30)), "all is kept");
    says.say("end", checks, "µs a check");
}
