//! What the agent itself costs: 100,000 checks a minute whose workers answer at once. Prints the CPU
//! time of the whole process for each run, the making of the scripted records included.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement for people"
)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bellwether_agent::{Full, Harvest, Plan, PlannedCheck, Said, SystemClock, Workers, start};
use bellwether_model::dns::{Exchange, ExchangeResult};
use bellwether_model::job::{CheckAsk, Job, Told, Wanted};
use bellwether_model::{CheckId, DnsName, Observation, Outcome, VantageId};
use tokio::sync::{Notify, mpsc};

struct AtOnce {
    observations: Vec<Observation>,
    said: VecDeque<Said>,
    notify: Notify,
}

impl Workers for AtOnce {
    fn setting(&mut self, _: u32, _: &Arc<Job>) {}

    fn forget(&mut self, _: u32) {}

    fn ask(&mut self, number: u64, _: u32, wanted: Wanted, _: bool) -> Result<(), Full> {
        let mut observations = self.observations.clone();
        if let Wanted::Visit { ask, .. } = wanted
            && let Some(name) = ask.target.name()
        {
            for observation in &mut observations {
                if let Outcome::Dns(seen) = &mut observation.outcome {
                    answer_for(&mut seen.exchange, name);
                }
            }
        }
        self.said.push_back(Said::Told(Told {
            number,
            observations,
            queries: 1,
        }));
        self.notify.notify_one();
        Ok(())
    }

    async fn next(&mut self) -> Option<Said> {
        while self.said.is_empty() {
            self.notify.notified().await;
        }
        self.said.pop_front()
    }

    fn said(&mut self) -> Option<Said> {
        self.said.pop_front()
    }
}

fn answer_for(exchange: &mut Exchange, name: &DnsName) {
    exchange.question.name = name.clone();
    if let ExchangeResult::Answered { response } = &mut exchange.result {
        for record in &mut response.answer {
            record.name = name.clone();
        }
    }
}

/// CPU time of this process, milliseconds: user and system time in hundredths (proc(5)).
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let read = |name: &str| {
        std::fs::read_to_string(format!("{}/examples/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let common: Job = serde_json::from_str(&read("job.json")).unwrap();
    let observations: Vec<Observation> = serde_json::from_str(&read("visit.json")).unwrap();
    let ask = |n: usize| {
        let text = format!("https://svc-{n}.example/");
        Arc::new(CheckAsk {
            target: text.parse().unwrap(),
            icmp_only: false,
            expect: Default::default(),
            client_cert: None,
            tries: None,
            timeout_ms: 5000,
        })
    };
    let check = |n: usize| PlannedCheck {
        id: CheckId::new(&format!("svc-{n}"), "main"),
        ask: ask(n),
        every: Duration::from_secs(60),
        deep_every: Duration::from_secs(365 * 86_400),
        baseline: None,
    };
    let begin = cpu_ms();
    let plan = Plan {
        generation: 1,
        vantage: VantageId::new("local"),
        common,
        checks: (0..100_000).map(check).collect(),
        at_once: 512,
        workers: 1,
    };
    let workers = AtOnce {
        observations,
        said: VecDeque::new(),
        notify: Notify::new(),
    };
    let (give, mut taken) = mpsc::channel(4096);
    let agent = start(plan, workers, SystemClock::start(), give);
    let planned = cpu_ms();
    let taking = tokio::spawn(async move {
        let mut ok = 0_u64;
        while let Some(one) = taken.recv().await {
            ok += u64::from(matches!(one, Harvest::Run(run) if run.symptom.is_none()));
        }
        ok
    });
    tokio::time::sleep(Duration::from_secs(40)).await;
    let spent = cpu_ms() - planned;
    let figures = agent.stop(Duration::from_secs(1)).await.unwrap();
    let runs: u64 = figures.runs.iter().sum();
    let ok = taking.await.unwrap();
    println!("plan of 100,000 checks: {} ms of CPU", planned - begin);
    println!(
        "{runs} runs in 40 s ({ok} ok): {} ms of CPU, {} us a run",
        spent,
        spent * 1000 / runs
    );
    println!("lateness in us: {:?}", figures.lateness);
    println!(
        "status: {}",
        std::fs::read_to_string("/proc/self/status")
            .unwrap()
            .lines()
            .filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM"))
            .collect::<Vec<_>>()
            .join(", ")
    );
}
