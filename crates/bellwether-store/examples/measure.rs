//! What the embedded store costs: bytes and CPU per result, and its two queries.
//!
//! `cargo run --release -p bellwether-store --example measure [ingest|query] [SERIES [HOURS [SECONDS]]]`
#![expect(clippy::print_stdout, reason = "a program that prints figures")]
#![allow(
    clippy::unwrap_used,
    reason = "a measurement that fails has no figures"
)]

use std::sync::Arc;
use std::time::Instant;

use bellwether_model::run::{Phases, RunOutcome, Trigger};
use bellwether_model::{CheckId, Digest, Envelope, Layer, Run, VantageId};
use bellwether_store::{Embedded, ObservationStore, Options, Retention, Step};
use jiff::{SignedDuration, Timestamp};

const BEGIN: i64 = 1_773_100_800;
const KEEP: Retention = Retention {
    raw_days: 30,
    rollup_days: 4000,
    max_bytes: u64::MAX,
};

/// CPU of this process so far, microseconds: user and system.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    // Of the main thread, nanoseconds; everything here runs in it.
    let nanos: f64 = stat
        .split(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0.0);
    nanos / 1000.0
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// About log-normal around a middle.
fn spread(random: &mut fastrand::Rng, middle: f64, share: f64) -> u32 {
    let sum: f64 = (0..4).map(|_| random.f64() - 0.5).sum();
    let tail = if random.u16(..) < 1000 {
        2.0 + random.f64() * 5.0
    } else {
        1.0
    };
    (middle * (sum * share * 1.7).exp() * tail) as u32
}

struct Series {
    check: CheckId,
    kind: usize,
    middles: [f64; 5],
    share: f64,
}

fn series(index: usize, random: &mut fastrand::Rng) -> Series {
    let kind = match index % 20 {
        0..15 => 0,
        15..17 => 1,
        17..19 => 2,
        _ => 3,
    };
    let base = 2_000.0 + random.f64() * 60_000.0;
    Series {
        check: CheckId::new(&format!("service-{}", index / 4), &format!("check-{index}")),
        kind,
        middles: [900.0, base, base * 1.9, base * 2.0, 300.0],
        share: 0.04 + random.f64() * 0.31,
    }
}

fn run(
    of: &Series,
    vantage: &VantageId,
    every: u32,
    due: Timestamp,
    sequence: u64,
    random: &mut fastrand::Rng,
) -> Run {
    let failed = random.u16(..) < 200;
    let mut phases = [None; 5];
    let present: &[usize] = match of.kind {
        0 => &[0, 1, 2, 3, 4],
        1 => &[0, 1],
        2 => &[0],
        _ => &[1],
    };
    for &index in present {
        if !failed || index < 2 {
            phases[index] = Some(spread(random, of.middles[index], of.share));
        }
    }
    let http = of.kind == 0 && !failed;
    let serial = sequence % 7;
    Run {
        check: of.check.clone(),
        vantage: vantage.clone(),
        sequence,
        due,
        late: spread(random, 900.0, 0.3),
        every,
        trigger: Trigger::Schedule,
        outcome: if failed {
            RunOutcome::Failed
        } else {
            RunOutcome::Ok
        },
        layer: failed.then_some(Layer::Net),
        symptom: failed.then(|| Arc::from("tcp.timeout")),
        resolver: Some(Arc::from("192.0.2.53")),
        address: Some(std::net::IpAddr::from([
            198,
            51,
            of.middles[1] as u8,
            if of.kind == 0 { serial as u8 } else { 1 },
        ])),
        status: http.then_some(200),
        size: http.then(|| {
            if of.middles[1] as u32 % 5 < 2 {
                40_000 + random.u32(0..300)
            } else {
                40_000
            }
        }),
        certificate: http.then(|| Digest([of.middles[1] as u8; 32])),
        certificate_ends: http.then(|| at(BEGIN + 86_400 * 60)),
        evidence: failed.then(|| Digest([random.u8(..); 32])),
        clock_offset_ms: None,
        phases: Phases::of(phases),
    }
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse::<usize>().ok());
    let count = arguments.next().unwrap_or(2000);
    let hours = arguments.next().unwrap_or(25) as i64;
    let every = arguments.next().unwrap_or(60) as i64;
    let only = std::env::args().nth(1);
    if only.as_deref() != Some("query") {
        ingest(count, hours, every);
    }
    if only.as_deref() != Some("ingest") {
        query();
    }
}

fn ingest(count: usize, hours: i64, every: i64) {
    let dir = tempfile::tempdir_in(".").unwrap();
    let store = Embedded::open(dir.path(), Options::new(at(BEGIN))).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let all: Vec<Series> = (0..count).map(|index| series(index, &mut random)).collect();
    let vantage = VantageId::new("local");
    let (mut sequence, mut number, mut results) = (0u64, 0, 0u64);
    let (mut ingest, mut keep, mut worst) = (0.0, 0.0, 0.0f64);
    for slot in 0..hours * 3600 / every {
        for (chunk_index, chunk) in all.chunks(1000).enumerate() {
            number += 1;
            let due =
                at(BEGIN + slot * every) + SignedDuration::from_millis(chunk_index as i64 * 20);
            let runs: Vec<Run> = chunk
                .iter()
                .map(|of| {
                    // As if many more checks shared the agent.
                    sequence += 1 + random.u64(0..3);
                    run(
                        of,
                        &vantage,
                        every as u32 * 1000,
                        due,
                        sequence,
                        &mut random,
                    )
                })
                .collect();
            results += runs.len() as u64;
            let envelope = Envelope {
                agent: "a".into(),
                boot: 1,
                number,
                runs,
            };
            let (before, wall) = (cpu(), Instant::now());
            store.append(&[envelope]).unwrap();
            ingest += cpu() - before;
            worst = worst.max(wall.elapsed().as_secs_f64() * 1000.0);
        }
        let now = BEGIN + slot * every;
        if now % 60 == 0 {
            let before = cpu();
            store.maintain(at(now), &KEEP).unwrap();
            keep += cpu() - before;
        }
    }
    let before = cpu();
    store.maintain(at(BEGIN + 86_400 * 2), &KEEP).unwrap();
    let turn = cpu() - before;
    println!("{results} results of {count} series every {every} s");
    println!(
        "CPU µs per result: ingest {:.2}, seal + fold + roll-ups {:.2}, closing the day {:.2}",
        ingest / results as f64,
        keep / results as f64,
        turn / results as f64
    );
    println!("longest append: {worst:.1} ms");
    at_rest(dir.path(), &store, &all, &vantage);
}

/// What the files hold, and what a day of one series costs.
fn at_rest(dir: &std::path::Path, store: &Embedded, all: &[Series], vantage: &VantageId) {
    let file = dir.join("results/2026-03-10.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    let (pages, free): (f64, f64) = (
        connection
            .query_row("PRAGMA page_count", [], |row| row.get(0))
            .unwrap(),
        connection
            .query_row("PRAGMA freelist_count", [], |row| row.get(0))
            .unwrap(),
    );
    let in_file: f64 = connection
        .query_row("SELECT sum(results) FROM hour", [], |row| row.get(0))
        .unwrap();
    let blocks: f64 = connection
        .query_row("SELECT sum(length(data)) FROM block", [], |row| row.get(0))
        .unwrap();
    println!(
        "bytes per result at rest: {:.2} (blocks alone {:.2}, with free pages {:.2})",
        (pages - free) * 8192.0 / in_file,
        blocks / in_file,
        pages * 8192.0 / in_file
    );
    let rollup = std::fs::metadata(dir.join("rollup.db")).unwrap().len();
    println!(
        "rollup.db bytes per series: {:.0}",
        rollup as f64 / all.len() as f64
    );
    let times = 50;
    let check = &all[0].check;
    let read = || {
        store
            .series(check, vantage, at(BEGIN)..at(BEGIN + 86_400), usize::MAX)
            .unwrap()
    };
    let runs = read().runs.len();
    let before = cpu();
    (0..times).for_each(|_| assert_eq!(read().runs.len(), runs));
    println!(
        "24 h of one series: {:.3} ms CPU for {runs} runs",
        (cpu() - before) / 1000.0 / f64::from(times)
    );
}

/// Thirteen months of one service at five vantages, as hours.
fn query() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let store = Embedded::open(dir.path(), Options::new(at(BEGIN))).unwrap();
    let mut random = fastrand::Rng::with_seed(2);
    let of = series(0, &mut random);
    let vantages: Vec<VantageId> = (0..5).map(|n| VantageId::new(&format!("v{n}"))).collect();
    let mut number = 0;
    for day in 0..395 {
        let mut runs = Vec::new();
        for slot in 0..24 * 6 {
            for vantage in &vantages {
                number += 1;
                runs.push(run(
                    &of,
                    vantage,
                    600_000,
                    at(BEGIN + day * 86_400 + slot * 600),
                    number,
                    &mut random,
                ));
            }
        }
        store
            .append(&[Envelope {
                agent: "a".into(),
                boot: 1,
                number: day as u64 + 1,
                runs,
            }])
            .unwrap();
        store
            .maintain(at(BEGIN + (day + 1) * 86_400), &KEEP)
            .unwrap();
        if day % 10 == 0 {
            store
                .maintain(at(BEGIN + (day + 1) * 86_400 + 600), &KEEP)
                .unwrap();
        }
    }
    let series: Vec<_> = vantages
        .iter()
        .map(|vantage| (of.check.clone(), vantage.clone()))
        .collect();
    let range = at(BEGIN)..at(BEGIN + 396 * 86_400);
    for step in [Step::Hour, Step::Day] {
        store.rollups(&series, step, range.clone()).unwrap();
        let before = cpu();
        let rollups = store.rollups(&series, step, range.clone()).unwrap();
        println!(
            "13 months × 5 vantages by the {step:?}: {:.1} ms CPU, {} rows",
            (cpu() - before) / 1000.0,
            rollups.len()
        );
    }
}
