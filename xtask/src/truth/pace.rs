//! Slowness, on simulated latencies: days that come and go, spikes, congestion, changes of route.

use bellwether_diagnose::detect::{Channel, Detector, Grade, Heard, HeardKind, Signal, SlowAlarm};
use bellwether_model::run::{Phases, Trigger};
use bellwether_model::{CheckId, VantageId};
use fastrand::Rng;

use super::noise::{DAY, MINUTE, Micros, Model};
use super::stats::percentile;
use super::world::{BEGIN, Shape, metas, places, stamp};

/// The worlds: the judged target, and others that tell whether it is the vantage's path, or too few.
const WORLDS: [(&str, usize, bool); 2] = [("12 targets", 12, true), ("4 targets", 4, false)];

/// Share of a probe's time that each phase takes.
const PHASES: [f64; 5] = [0.1, 0.2, 0.25, 0.35, 0.1];

/// The phase that a fault adds to: the first byte.
const FAULTY: usize = 3;

/// What is slow, and for whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) name: &'static str,
    factor: f64,
    /// Share of the requests.
    share: f64,
    /// One region of four alone.
    region: bool,
}

const FAULTS: [Fault; 6] = [
    Fault {
        name: "ten times as slow",
        factor: 10.0,
        share: 1.0,
        region: false,
    },
    Fault {
        name: "three times",
        factor: 3.0,
        share: 1.0,
        region: false,
    },
    Fault {
        name: "twice",
        factor: 2.0,
        share: 1.0,
        region: false,
    },
    Fault {
        name: "1.5 times",
        factor: 1.5,
        share: 1.0,
        region: false,
    },
    Fault {
        name: "three times, one region of four",
        factor: 3.0,
        share: 1.0,
        region: true,
    },
    Fault {
        name: "ten times, for 30 % of the requests",
        factor: 10.0,
        share: 0.3,
        region: false,
    },
];

/// How fast slowness is found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) name: &'static str,
    pub(super) trials: usize,
    pub(super) minutes: Vec<f64>,
    /// Alarms that named the phase.
    pub(super) phase: usize,
    /// Alarms of each grade, a minute after the first at the latest.
    pub(super) grades: [usize; 3],
}

impl Found {
    pub(super) fn at(&self, percent: usize) -> f64 {
        let mut all = self.minutes.clone();
        all.resize(self.trials, f64::INFINITY);
        percentile(&all, percent)
    }
}

/// What was measured.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) name: &'static str,
    /// Is it the world with a goal?
    pub(super) goal: bool,
    pub(super) check_days: usize,
    pub(super) alarms: usize,
    pub(super) grades: [usize; 3],
    pub(super) found: Vec<Found>,
}

/// How fast one target is from one vantage.
#[derive(Clone, Debug)]
struct Series {
    ln_base: f64,
    /// When the route changes, and what the logarithm is then.
    routes: Vec<(Micros, f64)>,
}

#[derive(Clone)]
struct World {
    detector: Detector,
    checks: Vec<CheckId>,
    vantages: Vec<VantageId>,
    schedule: Vec<(Micros, usize, usize)>,
    series: Vec<Vec<Series>>,
    /// For each vantage: how much it swings by the day, and when its path is congested by how much.
    swings: Vec<(f64, Micros)>,
    congested: Vec<Vec<(Micros, Micros, f64)>>,
    rng: Rng,
    now: Micros,
}

/// Measures false alarms of so many check-days, and so many trials of each fault, in each world.
pub(super) fn worlds(check_days: usize, trials: usize, seed: u64) -> Vec<Measured> {
    let of = |(name, targets, goal)| Measured {
        name,
        goal,
        ..measure(targets, check_days, trials, seed)
    };
    WORLDS.map(of).into()
}

/// Measures one world.
pub(super) fn measure(targets: usize, check_days: usize, trials: usize, seed: u64) -> Measured {
    let days = check_days.div_ceil(targets).max(1);
    let mut world = World::new(targets, seed, days + 4);
    world.run(DAY, None, |_, _| false);
    let (mut alarms, mut grades) = (0, [0; 3]);
    let mut warm = world.clone();
    world.run(
        Micros::try_from(days).unwrap_or(1) * DAY,
        None,
        |_, slow| {
            // A notice that becomes a warning is the same alarm.
            alarms += 1;
            grades[slow.grade as usize] += 1;
            false
        },
    );
    let mut found: Vec<Found> = FAULTS
        .map(|fault| Found {
            name: fault.name,
            trials,
            minutes: vec![],
            phase: 0,
            grades: [0; 3],
        })
        .into();
    for trial in 0..trials {
        // Trials spread over a day and more.
        warm.run(
            2 * DAY / Micros::try_from(trials.max(1)).unwrap_or(1),
            None,
            |_, _| false,
        );
        for (fault, found) in FAULTS.iter().zip(&mut found) {
            one(&warm, *fault, trial, found);
        }
    }
    Measured {
        name: "",
        goal: false,
        check_days: days * targets,
        alarms,
        grades,
        found,
    }
}

#[expect(clippy::cast_precision_loss, reason = "minutes of a simulation")]
fn one(warm: &World, fault: Fault, trial: usize, found: &mut Found) {
    let mut world = warm.clone();
    world.rng = Rng::with_seed(trial as u64);
    let from = world.now;
    let mut first: Option<(Micros, SlowAlarm)> = None;
    world.run(60 * MINUTE, Some(fault), |now, slow| {
        if slow.check.service() != "service-0" {
            return false;
        }
        let settled = first.as_ref().is_some_and(|(at, _)| now > at + MINUTE);
        if !settled {
            first = Some((first.as_ref().map_or(now, |(at, _)| *at), slow));
        }
        settled
    });
    let Some((at, slow)) = first else { return };
    if fault.region && slow.channel == Channel::Global {
        return;
    }
    found.minutes.push((at - from) as f64 / MINUTE as f64);
    found.phase += usize::from(slow.phase == Some(Phases::NAMES[FAULTY]));
    found.grades[match slow.grade {
        Grade::Notice => 0,
        Grade::Warning => 1,
        Grade::Incident => 2,
    }] += 1;
}

impl World {
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a simulation")]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "microseconds of a simulation"
    )]
    fn new(targets: usize, seed: u64, days: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        let shape = Shape {
            targets,
            model: Model::Silent,
            ..Shape::REFERENCE
        };
        let checks: Vec<CheckId> = (0..targets)
            .map(|i| CheckId::new(&format!("service-{i}"), "main"))
            .collect();
        let vantages: Vec<VantageId> = (0..shape.vantages)
            .map(|i| VantageId::new(&format!("vantage-{i:02}")))
            .collect();
        let mut detector = Detector::default();
        detector.configure(&metas(&checks, shape), &places(&vantages, shape));
        let span = Micros::try_from(days).unwrap_or(1) * DAY;
        let times = |a_day: f64, rng: &mut Rng| {
            let mut at = BEGIN;
            std::iter::from_fn(|| {
                at += (-(1.0 - rng.f64()).ln() * DAY as f64 / a_day) as Micros;
                (at < BEGIN + span).then_some(at)
            })
            .collect::<Vec<_>>()
        };
        let mut schedule = Vec::new();
        let mut series = Vec::new();
        for check in 0..targets {
            let phase = rng.i64(0..MINUTE);
            series.push(Vec::new());
            for (turn, vantage) in (0..).zip(0..shape.vantages) {
                schedule.push(((phase + turn * MINUTE / 12) % MINUTE, check, vantage));
                // A change of route every five days: up to 30 % either way.
                let routes = times(0.2, &mut rng);
                let routes = routes
                    .into_iter()
                    .map(|at| (at, rng.f64() * 0.6 - 0.3))
                    .collect();
                // 20 to 200 ms.
                let ln_base = (20_000.0_f64).ln() + rng.f64() * 10.0_f64.ln();
                series[check].push(Series { ln_base, routes });
            }
        }
        schedule.sort_unstable();
        let swings = (0..shape.vantages)
            .map(|_| ((1.1 + 0.4 * rng.f64()).ln() / 2.0, rng.i64(0..DAY)))
            .collect();
        let congested = (0..shape.vantages)
            .map(|_| {
                let begins = times(1.0, &mut rng);
                let lasts = |rng: &mut Rng| rng.i64(10 * MINUTE..50 * MINUTE);
                begins
                    .into_iter()
                    .map(|at| (at, at + lasts(&mut rng), (1.3 + 0.7 * rng.f64()).ln()))
                    .collect()
            })
            .collect();
        Self {
            detector,
            checks,
            vantages,
            schedule,
            series,
            swings,
            congested,
            rng,
            now: BEGIN,
        }
    }

    /// Runs whole minutes.
    fn run(
        &mut self,
        span: Micros,
        fault: Option<Fault>,
        mut saw: impl FnMut(Micros, SlowAlarm) -> bool,
    ) {
        for _ in 0..span / MINUTE {
            for i in 0..self.schedule.len() {
                let (offset, check, vantage) = self.schedule[i];
                let at = self.now + offset;
                let phases = self.phases(check, vantage, at, fault.filter(|_| check == 0));
                let heard = Heard {
                    check: self.checks[check].clone(),
                    vantage: self.vantages[vantage].clone(),
                    at: stamp(at),
                    kind: HeardKind::Ok {
                        total_us: phases.total(),
                        phases,
                    },
                    trigger: Trigger::Schedule,
                };
                for signal in self.detector.step(&heard, stamp(at)) {
                    if let Signal::SlowAlarm(slow) = signal
                        && saw(at, slow)
                    {
                        return;
                    }
                }
            }
            self.now += MINUTE;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "microseconds of a simulation")]
    #[expect(clippy::cast_possible_truncation, reason = "microseconds of a latency")]
    #[expect(clippy::cast_sign_loss, reason = "latencies are above zero")]
    fn phases(&mut self, check: usize, vantage: usize, at: Micros, fault: Option<Fault>) -> Phases {
        let series = &self.series[check][vantage];
        let routed = series.routes.iter().rev().find(|(since, _)| *since <= at);
        let (swing, peak) = self.swings[vantage];
        let day = (at - BEGIN - peak) as f64 / DAY as f64 * std::f64::consts::TAU;
        let congested = self.congested[vantage]
            .iter()
            .find(|(a, b, _)| (*a..*b).contains(&at));
        let spike = if self.rng.f64() < 0.01 {
            (3.0 + 17.0 * self.rng.f64()).ln()
        } else {
            0.0
        };
        // The sum of twelve is as good as a normal one: 12 % of jitter.
        let normal = (0..12).map(|_| self.rng.f64()).sum::<f64>() - 6.0;
        let ln = series.ln_base
            + routed.map_or(0.0, |(_, by)| *by)
            + swing * day.cos()
            + congested.map_or(0.0, |(_, _, by)| *by)
            + spike
            + 0.12 * normal;
        let usual = ln.exp();
        let slow = fault.is_some_and(|fault| {
            (!fault.region || vantage.is_multiple_of(Shape::REFERENCE.regions))
                && self.rng.f64() < fault.share
        });
        let added = if slow {
            usual * fault.map_or(0.0, |fault| fault.factor - 1.0)
        } else {
            0.0
        };
        let mut phases = PHASES.map(|share| share * usual);
        phases[FAULTY] += added;
        Phases::of(phases.map(|us| Some(us as u32)))
    }
}
