//! What detection and incidents cost at 100,000 checks a minute: CPU of each call, bytes of each check.
//!
//! `cargo run --release -p bellwether-diagnose --example load -- [hostile=PERCENT] [services=NUMBER]
//! [minutes=NUMBER]`
//!
//! 20,000 services of five checks run once a minute each. From the second minute on the hostile ones
//! fail, in four ways and at 16 addresses of one owner; in the last minute but one they are served
//! again. What the book asks for is traced two seconds later, what the detector asks for is confirmed.
#![expect(clippy::print_stdout, reason = "a program that prints figures")]
#![allow(
    clippy::unwrap_used,
    reason = "a measurement that fails has no figures"
)]

mod reports;

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_diagnose::detect::{self, CheckMeta, Detector, Heard, VantageMeta};
use bellwether_diagnose::incidents::{AlarmKind, Book, JudgedTrace, Signal, Update};
use bellwether_model::run::{Phases, RunOutcome, Trigger};
use bellwether_model::{CheckId, Digest, Layer, Run, VantageId};
use jiff::Timestamp;

use reports::{ADDRESSES, Reports, WAYS, address};

const BEGIN: i64 = 1_773_100_800;
/// Checks of a service; the last two of a hostile one fail.
const EACH: usize = 5;
const MINUTE: usize = 60;
/// Traces that an agent makes in a second.
const TRACES_AT_ONCE: usize = 200;
/// However slow it is, it ends.
const CPU_MAX: Duration = Duration::from_secs(60);

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Step,
    Ran,
    Signal,
    TracedBad,
    TracedWell,
    Names,
    Tick,
    Holds,
    Open,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Step => "detector.step",
            Self::Ran => "book.ran",
            Self::Signal => "book.signal",
            Self::TracedBad => "book.traced (unhealthy)",
            Self::TracedWell => "book.traced (healthy)",
            Self::Names => "book.names",
            Self::Tick => "book.tick",
            Self::Holds => "book.holds, all",
            Self::Open => "book.open, cloned",
        }
    }
}

/// CPU and calls.
#[derive(Clone, Copy, Default)]
struct Cost {
    calls: u64,
    cpu: Duration,
    most: Duration,
}

struct World {
    hostile: usize,
    ids: Vec<CheckId>,
    vantage: VantageId,
    detector: Detector,
    book: Book,
    reports: Reports,
    random: fastrand::Rng,
    minutes: usize,
    /// By second: checks to trace, and checks to run once more.
    traces: BTreeMap<usize, Vec<usize>>,
    confirms: BTreeMap<usize, Vec<usize>>,
    follows: BTreeMap<usize, usize>,
    numbers: BTreeMap<CheckId, usize>,
    costs: BTreeMap<What, Cost>,
    results: u64,
    changed: u64,
    changed_checks: u64,
    notices: u64,
}

/// CPU of this thread so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// Resident memory of this process, bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

fn at(second: usize) -> Timestamp {
    Timestamp::from_second(BEGIN + i64::try_from(second).unwrap()).unwrap()
}

impl World {
    fn new(services: usize, hostile: usize, minutes: usize) -> Self {
        let names = ["dns-0", "dns-1", "dns-2", "tcp", "web"];
        let of = |s: usize| names.map(|n| CheckId::new(&format!("s{s:05}"), n));
        let ids: Vec<CheckId> = (0..services).flat_map(of).collect();
        let numbers = ids.iter().cloned().enumerate().map(|(i, id)| (id, i));
        Self {
            hostile,
            numbers: numbers.collect(),
            ids,
            vantage: VantageId::new(VantageId::LOCAL),
            detector: Detector::default(),
            book: Book::new(),
            reports: Reports::new(),
            random: fastrand::Rng::with_seed(1),
            minutes,
            traces: BTreeMap::new(),
            confirms: BTreeMap::new(),
            follows: BTreeMap::new(),
            costs: BTreeMap::new(),
            results: 0,
            changed: 0,
            changed_checks: 0,
            notices: 0,
        }
    }

    fn metas(&self) -> Vec<CheckMeta> {
        let meta = |id: &CheckId| CheckMeta {
            id: id.clone(),
            every: Duration::from_secs(60),
            depends: vec![
                format!("service {}", id.service()),
                "zone bench.test.".to_owned(),
            ],
            vantages: Vec::new(),
            canary: false,
        };
        self.ids.iter().map(meta).collect()
    }

    fn configure(&mut self, checks: &[CheckMeta]) {
        let local = VantageMeta {
            id: self.vantage.clone(),
            region: None,
            asn: None,
            country: None,
        };
        self.detector.configure(checks, &[local]);
        // As the hub tells them: nearly all services need nothing.
        let services = self.ids.iter().step_by(EACH).map(CheckId::service);
        let needs = services.map(|service| (service.to_owned(), Vec::new()));
        self.book.set_needs(needs.collect());
    }

    /// Which way a check fails, if it is a hostile one and it is time.
    fn way(&self, number: usize, second: usize) -> Option<usize> {
        let service = number / EACH;
        let share = self.hostile * EACH / 2;
        let before = service * share / 100;
        let is_hostile = (service + 1) * share / 100 > before && number % EACH >= EACH - 2;
        let is_time = second >= MINUTE && second < (self.minutes - 2) * MINUTE;
        (is_hostile && is_time).then_some(before % WAYS)
    }

    fn run(&mut self, number: usize, second: usize, trigger: Trigger) -> Run {
        let way = self.way(number, second);
        let mut us = |middle: u32| Some(middle + self.random.u32(..middle / 4));
        let phases = match (way, number % EACH) {
            (Some(_), _) => Phases::default(),
            (None, 0..=2) => Phases {
                dns: us(400),
                ..Phases::default()
            },
            (None, _) => Phases {
                dns: us(400),
                connect: us(900),
                tls: us(3000),
                ..Phases::default()
            },
        };
        Run {
            check: self.ids[number].clone(),
            vantage: self.vantage.clone(),
            sequence: self.results + 1,
            due: at(second),
            late: self.random.u32(..900_000),
            every: 60_000,
            trigger,
            outcome: if way.is_some() {
                RunOutcome::Failed
            } else {
                RunOutcome::Ok
            },
            layer: way.map(|way| if way == 0 { Layer::Net } else { Layer::Http }),
            symptom: way
                .map(|way| ["tcp.silent", "http.reset", "http.slow", "http.bad"][way].into()),
            resolver: Some("192.0.2.53".into()),
            address: Some(address(number / EACH % ADDRESSES)),
            status: None,
            size: None,
            certificate: None,
            certificate_ends: None,
            evidence: None,
            clock_offset_ms: None,
            phases,
        }
    }

    fn measured<T>(&mut self, what: What, calls: usize, work: impl FnOnce(&mut Self) -> T) -> T {
        let begin = cpu();
        let done = work(self);
        let spent = cpu().saturating_sub(begin);
        let cost = self.costs.entry(what).or_default();
        cost.calls += calls as u64;
        cost.cpu += spent;
        cost.most = cost.most.max(spent);
        done
    }

    /// One second of all that arrives.
    fn second(&mut self, second: usize) {
        let now = at(second + 1);
        let count = self.ids.len();
        let mut runs = Vec::new();
        // Spread over the minute in an order that has nothing to do with names.
        for number in (second % MINUTE..count).step_by(MINUTE) {
            runs.push(self.run(number, second, Trigger::Schedule));
        }
        for number in self.confirms.remove(&second).unwrap_or_default() {
            runs.push(self.run(number, second, Trigger::Confirm));
        }
        self.results += runs.len() as u64;
        let signals: Vec<detect::Signal> = self.measured(What::Step, runs.len(), |world| {
            let detector = &mut world.detector;
            let step = |run: &Run| detector.step(&Heard::of(run), now);
            runs.iter().flat_map(step).collect()
        });
        let signals: Vec<Signal> = signals
            .iter()
            .filter_map(|s| self.said(s, second))
            .collect();
        let mut updates = self.measured(What::Signal, signals.len(), |world| {
            let all = signals.iter().map(|signal| world.book.signal(signal, now));
            all.flatten().collect::<Vec<Update>>()
        });
        updates.extend(self.measured(What::Ran, runs.len(), |world| {
            let all = runs.iter().map(|run| world.book.ran(run, now));
            all.flatten().collect::<Vec<Update>>()
        }));
        self.take(updates, second);
        self.trace(second, now);
        let updates = self.measured(What::Tick, 1, |world| world.book.tick(now));
        self.take(updates, second);
        if second.is_multiple_of(10) {
            self.measured(What::Holds, 1, |world| world.book.holds().count());
            self.measured(What::Open, 1, |world| {
                world.book.open().cloned().collect::<Vec<_>>().len()
            });
        }
    }

    /// As the hub tells the book.
    fn said(&mut self, signal: &detect::Signal, second: usize) -> Option<Signal> {
        let (check, vantage) = (signal.check().clone(), self.vantage.clone());
        Some(match signal {
            detect::Signal::Suspect { since, .. } => {
                let number = self.numbers[&check];
                for visit in 1..=5 {
                    let due = second + visit * 2;
                    self.confirms.entry(due).or_default().push(number);
                }
                Signal::Suspicion {
                    check,
                    vantage,
                    since: *since,
                }
            }
            detect::Signal::Alarm(alarm) => Signal::Alarm {
                check,
                vantage,
                kind: AlarmKind::Failing,
                since: alarm.onset,
                layer: None,
                words: "its runs fail".to_owned(),
            },
            detect::Signal::Clear { .. } => Signal::Clear {
                check,
                vantage,
                kind: AlarmKind::Failing,
            },
            detect::Signal::Widened(_)
            | detect::Signal::SlowAlarm(_)
            | detect::Signal::SlowClear { .. }
            | detect::Signal::Flapping { .. } => return None,
        })
    }

    fn trace(&mut self, second: usize, now: Timestamp) {
        let mut due = self.traces.remove(&second).unwrap_or_default();
        due.sort_unstable();
        due.dedup();
        if due.len() > TRACES_AT_ONCE {
            let later = due.split_off(TRACES_AT_ONCE);
            self.traces.entry(second + 1).or_default().extend(later);
        }
        let mut made = Vec::new();
        for number in due {
            let way = self.way(number, second);
            let report = self.reports.of(way, number, at(second));
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_le_bytes());
            digest[8..16].copy_from_slice(&second.to_le_bytes());
            made.push((number, way, report, Digest(digest)));
            if let Some(every) = self.follows.get(&number) {
                let next = second + every;
                self.traces.entry(next).or_default().push(number);
            }
        }
        for is_bad in [true, false] {
            let part: Vec<_> = made.iter().filter(|m| m.1.is_some() == is_bad).collect();
            let what = if is_bad {
                What::TracedBad
            } else {
                What::TracedWell
            };
            let updates = self.measured(what, part.len(), |world| {
                let mut updates = Vec::new();
                for (number, _, report, digest) in &part {
                    let trace = JudgedTrace {
                        check: &world.ids[*number],
                        vantage: &world.vantage,
                        report,
                        evidence: Some(*digest),
                        depends: &[],
                    };
                    updates.extend(world.book.traced(&trace, now));
                }
                updates
            });
            self.measured(What::Names, part.len(), |world| {
                let named = |(number, _, _, digest): &&&(usize, Option<usize>, _, Digest)| {
                    world.book.names(&world.ids[*number], digest)
                };
                part.iter().filter(named).count()
            });
            self.take(updates, second);
        }
    }

    /// What the book says.
    fn take(&mut self, updates: Vec<Update>, second: usize) {
        for update in updates {
            match update {
                Update::Changed { incident, notices } => {
                    self.changed += 1;
                    self.changed_checks += incident.checks.len() as u64;
                    self.notices += notices.len() as u64;
                }
                Update::WantTrace { check, .. } => {
                    let number = self.numbers[&check];
                    self.traces.entry(second + 2).or_default().push(number);
                }
                Update::Follow { check, every, .. } => {
                    let number = self.numbers[&check];
                    let Some(every) = every else {
                        self.follows.remove(&number);
                        continue;
                    };
                    let every = usize::try_from(every.as_secs()).unwrap().max(1);
                    if self.follows.insert(number, every).is_none() {
                        self.traces.entry(second + every).or_default().push(number);
                    }
                }
            }
        }
    }

    fn print(&self) {
        let mut all = Duration::ZERO;
        for (what, cost) in &self.costs {
            let us = cost.cpu.as_secs_f64() * 1e6;
            println!(
                "{:26}{:9} calls {:11.2} us each {:11.0} us in the worst batch",
                what.name(),
                cost.calls,
                us / cost.calls.max(1) as f64,
                cost.most.as_secs_f64() * 1e6
            );
            if !matches!(what, What::Holds | What::Open) {
                all += cost.cpu;
            }
        }
        println!(
            "{} results: {:.2} us of each, without holds and open",
            self.results,
            all.as_secs_f64() * 1e6 / self.results as f64
        );
        println!(
            "{} incidents open, {} times written ({} checks in them), {} notices",
            self.book.open().count(),
            self.changed,
            self.changed_checks,
            self.notices
        );
    }
}

fn main() {
    let (mut services, mut hostile, mut minutes) = (20_000, 10, 7);
    for word in std::env::args().skip(1) {
        let (name, number) = word.split_once('=').unwrap();
        let number = number.parse().unwrap();
        match name {
            "services" => services = number,
            "hostile" => hostile = number,
            "minutes" => minutes = number,
            _ => panic!("{name} is neither services, hostile nor minutes"),
        }
    }
    let mut world = World::new(services, hostile, minutes);
    let checks = world.ids.len();
    let metas = world.metas();
    let before = resident();
    let begin = cpu();
    world.configure(&metas);
    let begin = cpu() - begin;
    println!("{checks} checks, {hostile} % hostile: configured in {begin:?} of CPU");
    let each = |then: usize| (resident().saturating_sub(then)) / checks;
    println!("{} bytes each once configured", each(before));
    for second in 0..minutes * MINUTE {
        world.second(second);
        if (second + 1).is_multiple_of(MINUTE) {
            println!(
                "minute {}: {} incidents, {} bytes of each check",
                second / MINUTE,
                world.book.open().count(),
                each(before)
            );
        }
        if cpu() > CPU_MAX {
            println!("stopped at second {second}: it takes too long");
            break;
        }
    }
    let begin = cpu();
    let saved = world.detector.checkpoint().len();
    let detector = cpu() - begin;
    let begin = cpu();
    let amiss = world.book.checkpoint_of_amiss().len();
    let book = cpu() - begin;
    println!("checkpoint: detector {saved} bytes in {detector:?}, book {amiss} bytes in {book:?}");
    world.print();
    let total = resident();
    drop(std::mem::take(&mut world.detector));
    println!(
        "the detector gave back {} bytes of each check",
        total.saturating_sub(resident()) / checks
    );
}
