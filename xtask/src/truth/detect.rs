//! `truth detect`: false alarms, time to detect, flapping and slowness, and docs/detect.md.

use std::time::Instant;

use anyhow::{Context, Result};
use bellwether_diagnose::detect::{Channel, Signal};
use fastrand::Rng;

use super::noise::{DAY, MINUTE, Micros, Model, SECOND};
use super::pace;
use super::page;
use super::replay::Replay;
use super::stats::percentile;
use super::world::{Fault, Go, Kind, Shape, World};
use crate::{root, say};

/// What is learned before anything is measured.
const WARM: Micros = DAY / 4;

/// A fault begins this long after the trial, and what is not found after so long is missed.
const LEAD: Micros = 5 * MINUTE;
const MISSED: Micros = 60 * MINUTE;

/// False alarms of a world without faults.
#[derive(Clone, Debug)]
pub(super) struct False {
    pub(super) name: String,
    pub(super) check_days: usize,
    pub(super) alarms: usize,
    /// Alarms of a deployment: the target was away.
    pub(super) real: usize,
    /// Vantages that were not believed any more, and those of them where all was well.
    pub(super) silenced: [usize; 2],
    /// Of how many vantage-days, where that is judged.
    pub(super) vantage_days: Option<usize>,
    /// Visits of bursts for each scheduled probe.
    pub(super) extra: f64,
    /// Nanoseconds of CPU for each result, the simulation included.
    pub(super) nanos: f64,
}

/// How fast a kind of fault is found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) trials: usize,
    pub(super) seconds: Vec<f64>,
    /// How far the told begin lies from the true one, seconds.
    pub(super) onset: Vec<f64>,
    /// Alarms whose channel fits the fault.
    pub(super) fits: usize,
    /// Alarms that speak of a region or a network.
    pub(super) groups: usize,
}

impl Found {
    pub(super) fn missed(&self) -> usize {
        self.trials - self.seconds.len()
    }

    /// What is missed counts as never.
    pub(super) fn at(&self, percent: usize) -> f64 {
        let mut all = self.seconds.clone();
        all.resize(self.trials, f64::INFINITY);
        percentile(&all, percent)
    }
}

/// Recorded observations, played again.
#[derive(Clone, Debug)]
pub(super) struct Replayed {
    /// How many checks were recorded, and how many runs of them.
    pub(super) size: [usize; 2],
    pub(super) check_days: usize,
    pub(super) runs: usize,
    pub(super) alarms: usize,
    /// Slowness by grade; one that gets worse counts again.
    pub(super) slow: [usize; 3],
}

/// Everything that was measured.
pub(super) struct Measured {
    pub(super) seed: u64,
    pub(super) trials: usize,
    pub(super) replayed: Replayed,
    pub(super) falses: Vec<False>,
    pub(super) found: Vec<(String, Vec<Found>)>,
    /// Notices of each hour of flapping.
    pub(super) flapping: Vec<(String, Vec<usize>)>,
    pub(super) pace: Vec<pace::Measured>,
}

/// Measures, writes the page, and fails where a goal is not met.
pub(crate) fn run(days: usize, seed: u64, trials: usize) -> Result<()> {
    let began = Instant::now();
    let measured = measure(days, seed, trials)?;
    let text = page::page(&measured);
    say(&text);
    let file = root().join("docs/detect.md");
    std::fs::write(&file, &text).with_context(|| format!("failed to write {}", file.display()))?;
    say(&format!(
        "wrote {} after {:.0} s",
        file.display(),
        began.elapsed().as_secs_f64()
    ));
    let missed = page::missed_goals(&measured);
    anyhow::ensure!(
        missed.is_empty(),
        "goals that are not met:\n  {}",
        missed.join("\n  ")
    );
    Ok(())
}

/// The parts have nothing to do with each other and are measured side by side; within each, one world
/// after the other.
fn measure(days: usize, seed: u64, trials: usize) -> Result<Measured> {
    let said = |name: &str| say(&format!("measuring: {name}"));
    std::thread::scope(|scope| {
        let found = scope.spawn(move || {
            let found = faulty_worlds()
                .into_iter()
                .enumerate()
                .map(|(i, (name, shape))| {
                    said(name);
                    let trials = if i == 0 { trials * GOAL_TIMES } else { trials };
                    (name.to_owned(), kinds(shape, trials, seed))
                });
            let found = found.collect();
            said("flapping");
            let flapping = [2, 6, 10].map(|minutes| {
                let told = flaps(Shape::REFERENCE, minutes * MINUTE, seed);
                (format!("{minutes} minutes"), told)
            });
            (found, flapping.into())
        });
        let replayed = scope.spawn(move || {
            said("recorded observations");
            replayed(days, seed)
        });
        let pace = scope.spawn(move || {
            said("slowness");
            pace::worlds(days / 4, trials / 5, seed)
        });
        let falses = quiet_worlds(days).into_iter().map(|(name, shape, days)| {
            said(name);
            false_alarms(name, shape, days, seed)
        });
        let falses = falses.collect();
        let ended = "a measurement does not panic";
        let (found, flapping) = found.join().expect(ended);
        Ok(Measured {
            seed,
            trials,
            replayed: replayed.join().expect(ended)?,
            falses,
            found,
            flapping,
            pace: pace.join().expect(ended),
        })
    })
}

/// The world with goals gets so many times the outages: a median of 300 scatters by 2 s, which is more
/// than what lies between figure and goal.
pub(super) const GOAL_TIMES: usize = 7;

const SLOW: Shape = Shape {
    timeout: 3 * SECOND,
    ..Shape::REFERENCE
};

fn of(vantages: usize) -> Shape {
    Shape {
        vantages,
        regions: vantages.min(4),
        ..Shape::REFERENCE
    }
}

/// Vantages in so many networks, and it is judged who may be heard.
pub(super) fn judged(vantages: usize, networks: usize) -> Shape {
    Shape {
        networks: Some(networks),
        judged: true,
        ..of(vantages)
    }
}

fn alone() -> Shape {
    Shape {
        targets: 1,
        ..of(1)
    }
}

/// Worlds without a fault, and for how many check-days each is watched.
fn quiet_worlds(days: usize) -> Vec<(&'static str, Shape, usize)> {
    let noise = |model, shape| Shape { model, ..shape };
    let silent = noise(Model::Silent, Shape::REFERENCE);
    let lossy = noise(Model::Loss, alone());
    vec![
        ("12 vantages, N1", Shape::REFERENCE, days),
        ("12 vantages, N1, failures take 3 s", SLOW, days / 2),
        (
            "12 vantages, N2",
            noise(Model::N2, Shape::REFERENCE),
            days / 2,
        ),
        ("12 vantages, no noise", silent, days),
        ("5 vantages, N1", of(5), days),
        ("3 vantages, N1", of(3), days),
        (
            "12 vantages in 12 networks, judged, N1",
            judged(12, 12),
            days,
        ),
        ("12 vantages in 5 networks, judged, N1", judged(12, 5), days),
        ("12 vantages in 2 networks, judged, N1", judged(12, 2), days),
        ("5 vantages in 5 networks, judged, N1", judged(5, 5), days),
        ("3 vantages in 2 networks, judged, N1", judged(3, 2), days),
        ("1 vantage, 50 canaries, N1", of(1), days),
        ("1 vantage alone, N1", alone(), days),
        ("1 vantage alone, single losses only", lossy, days),
    ]
}

/// Worlds in which each kind of fault is looked for; the first is the one with goals.
fn faulty_worlds() -> Vec<(&'static str, Shape)> {
    vec![
        ("12 vantages", Shape::REFERENCE),
        ("12 vantages, failures take 3 s", SLOW),
        ("5 vantages", of(5)),
        ("3 vantages", of(3)),
        ("12 vantages in 12 networks, judged", judged(12, 12)),
        ("12 vantages in 5 networks, judged", judged(12, 5)),
        ("12 vantages in 2 networks, judged", judged(12, 2)),
        ("5 vantages in 5 networks, judged", judged(5, 5)),
        ("3 vantages in 2 networks, judged", judged(3, 2)),
        ("1 vantage, 50 canaries", of(1)),
        ("1 vantage alone", alone()),
    ]
}

/// Counts alarms in a world without faults.
#[expect(clippy::cast_precision_loss, reason = "counts of a simulation")]
pub(super) fn false_alarms(name: &str, shape: Shape, check_days: usize, seed: u64) -> False {
    let days = check_days.div_ceil(shape.targets);
    let mut world = World::new(shape, seed, days as f64 + 1.0);
    world.run(world.now + WARM, |_, _, _| Go::On);
    world.probes = [0, 0];
    world.silenced = [0, 0];
    let (began, from) = (Instant::now(), world.now);
    let mut alarms = Vec::new();
    let until = from + Micros::try_from(days).unwrap_or(1) * DAY;
    world.run(until, |now, check, signal| {
        if matches!(signal, Signal::Alarm(_)) {
            alarms.push((now, check));
        }
        Go::On
    });
    let real = alarms
        .iter()
        .filter(|(at, check)| world.deployed(*check, *at))
        .count();
    let [due, extra] = world.probes;
    False {
        name: name.to_owned(),
        check_days: days * shape.targets,
        alarms: alarms.len(),
        real,
        silenced: world.silenced,
        vantage_days: shape.judged.then_some(days * shape.vantages),
        extra: extra as f64 / due as f64,
        nanos: began.elapsed().as_nanos() as f64 / (due + extra) as f64,
    }
}

/// Plays what was recorded of healthy services, at 12 vantages, and counts what is told of it.
pub(super) fn replayed(check_days: usize, seed: u64) -> Result<Replayed> {
    let vantages = Shape::REFERENCE.vantages;
    let replay = Replay::new(vantages)?;
    let size = replay.size();
    let days = check_days.div_ceil(size[0]);
    let mut world = World::recorded(replay, vantages, seed);
    world.run(world.now + WARM, |_, _, _| Go::On);
    world.probes = [0, 0];
    let (mut alarms, mut slow) = (0, [0; 3]);
    let until = world.now + Micros::try_from(days).unwrap_or(1) * DAY;
    world.run(until, |_, _, signal| {
        match signal {
            Signal::Alarm(_) => alarms += 1,
            Signal::SlowAlarm(alarm) => slow[alarm.grade as usize] += 1,
            Signal::Suspect { .. }
            | Signal::Widened(_)
            | Signal::Clear { .. }
            | Signal::SlowClear { .. }
            | Signal::Flapping { .. } => {}
        }
        Go::On
    });
    Ok(Replayed {
        size,
        check_days: days * size[0],
        runs: world.probes.iter().sum(),
        alarms,
        slow,
    })
}

/// Each kind of fault in one shape of world.
fn kinds(shape: Shape, trials: usize, seed: u64) -> Vec<Found> {
    let mut kinds = vec![
        ("full outage", Kind::Full, MISSED),
        ("30 % grey", Kind::Grey(0.3), MISSED),
    ];
    if shape.vantages > 1 {
        kinds.push(("one region of four", Kind::Region, MISSED));
    }
    kinds.push(("outage of 60 s", Kind::Full, MINUTE));
    kinds
        .into_iter()
        .map(|(name, kind, lasts)| time_to(name, shape, kind, lasts, trials, seed))
        .collect()
}

/// Measures how fast a kind of fault is found.
#[expect(clippy::cast_precision_loss, reason = "microseconds of a simulation")]
pub(super) fn time_to(
    name: &str,
    shape: Shape,
    kind: Kind,
    lasts: Micros,
    trials: usize,
    seed: u64,
) -> Found {
    let mut warm = World::new(shape, seed, 1.0);
    warm.run(warm.now + WARM, |_, _, _| Go::On);
    let mut found = Found {
        name: name.to_owned(),
        trials,
        seconds: vec![],
        onset: vec![],
        fits: 0,
        groups: 0,
    };
    let mut rng = Rng::with_seed(seed);
    for trial in 0..trials {
        let from = warm.now + LEAD + rng.i64(0..shape.every);
        let fault = Fault {
            kind,
            span: from..from + lasts,
        };
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(trial as u64);
        let mut world = warm.trial(seed, Some(fault), 0.2);
        world.run(from + lasts.max(2 * MINUTE), |now, check, signal| {
            let Signal::Alarm(alarm) = signal else {
                return Go::On;
            };
            if check != 0 || now < from {
                return Go::On;
            }
            found.seconds.push((now - from) as f64 / 1e6);
            found
                .onset
                .push((alarm.onset.as_microsecond() - from).abs() as f64 / 1e6);
            found.groups += usize::from(alarm.channel != Channel::Global);
            found.fits += usize::from((alarm.channel == Channel::Global) == (kind != Kind::Region));
            Go::Stop
        });
    }
    found
}

/// Counts what is told of an hour of flapping: alarms, flapping, ends.
pub(super) fn flaps(shape: Shape, period: Micros, seed: u64) -> Vec<usize> {
    let mut warm = World::new(shape, seed, 1.0);
    warm.run(warm.now + WARM, |_, _, _| Go::On);
    let hour = 60 * MINUTE;
    (0..20)
        .map(|trial| {
            let from = warm.now + LEAD;
            let fault = Fault {
                kind: Kind::Flap(period),
                span: from..from + hour,
            };
            let mut world = warm.trial(seed + trial, Some(fault), 0.5);
            let mut told = 0;
            world.run(from + 4 * hour, |_, check, signal| {
                told += usize::from(
                    check == 0
                        && matches!(
                            signal,
                            Signal::Alarm(_)
                                | Signal::Widened(_)
                                | Signal::Flapping { .. }
                                | Signal::Clear { .. }
                        ),
                );
                Go::On
            });
            told
        })
        .collect()
}
