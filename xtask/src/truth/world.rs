//! A simulated world: vantages, targets, noise, faults, bursts, and the detector that is judged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::time::Duration;

use bellwether_diagnose::detect::{CheckMeta, Detector, Heard, HeardKind, Signal, VantageMeta};
use bellwether_diagnose::vantages::{Change, Link, Vantages};
use bellwether_model::run::{Phases, Trigger};
use bellwether_model::{CheckId, VantageId};
use fastrand::Rng;
use jiff::Timestamp;

use super::noise::{DAY, MINUTE, Micros, Model, Noise, SECOND};
use super::replay::Replay;

/// When every world begins; any time will do.
pub(super) const BEGIN: Micros = 1_700_000_000 * SECOND;

/// Visits of a burst are this far apart, and the first is this long after the failure.
const BURST_EVERY: Micros = 2 * SECOND;

/// How often it is looked who may be heard.
const LOOK_EVERY: Micros = 5 * SECOND;

/// A vantage that lost less than this, for so long, was well.
const EPISODE_MIN: f64 = 0.1;
const WELL_FOR: Micros = 15 * MINUTE;

/// What a world looks like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) vantages: usize,
    pub(super) regions: usize,
    /// Vantages of one network share their episodes; none: each stands in its own.
    pub(super) networks: Option<usize>,
    /// Is it judged who may be heard, as the hub does with several vantages?
    pub(super) judged: bool,
    /// The judged one, and the others.
    pub(super) targets: usize,
    pub(super) every: Micros,
    /// How long a probe that fails takes to say so.
    pub(super) timeout: Micros,
    pub(super) model: Model,
}

impl Shape {
    /// The reference: 12 vantages in 4 regions, each minute, 50 other targets.
    pub(super) const REFERENCE: Self = Self {
        vantages: 12,
        regions: 4,
        networks: None,
        judged: false,
        targets: 51,
        every: MINUTE,
        timeout: 0,
        model: Model::N1,
    };

    fn region(&self, vantage: usize) -> usize {
        vantage % self.regions
    }

    fn network(&self, vantage: usize) -> usize {
        self.networks.map_or(vantage, |networks| vantage % networks)
    }
}

/// What is done to the first target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// All probes fail.
    Full,
    /// This share of the probes fails.
    Grey(f64),
    /// All probes from one region fail.
    Region,
    /// Up and down, each for half of this time.
    Flap(Micros),
}

/// A fault of the first target.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) span: Range<Micros>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A visit of a burst: which burst, which visit.
    Visit(usize, usize),
    /// A result is heard of.
    Heard {
        check: usize,
        vantage: usize,
        at: Micros,
        seen: Seen,
        burst: Option<usize>,
    },
}

/// What a probe came to: a draw, or the number of a recorded run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Drawn { bad: bool },
    Recorded(usize),
}

#[derive(Clone, Debug)]
struct Burst {
    check: usize,
    vantages: Vec<usize>,
    over: bool,
}

/// A simulated world.
#[derive(Clone)]
pub(super) struct World {
    pub(super) shape: Shape,
    pub(super) now: Micros,
    /// Probes made by schedule, and by bursts.
    pub(super) probes: [usize; 2],
    detector: Detector,
    /// Who may be heard.
    fleet: Vantages,
    looked: Micros,
    /// How often a vantage was not believed, and whether that was while all was well there.
    pub(super) silenced: [usize; 2],
    checks: Vec<CheckId>,
    vantages: Vec<VantageId>,
    rng: Rng,
    noise: Noise,
    fault: Option<Fault>,
    /// What is played in the place of what is drawn.
    replay: Option<Replay>,
    /// Offset within an interval, check, vantage; in order.
    schedule: Vec<(Micros, usize, usize)>,
    next: usize,
    /// When the present interval began.
    round: Micros,
    events: BinaryHeap<Reverse<(Micros, usize, Event)>>,
    counted: usize,
    bursts: Vec<Burst>,
}

impl World {
    pub(super) fn new(shape: Shape, seed: u64, days: f64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let checks: Vec<CheckId> = (0..shape.targets)
            .map(|i| CheckId::new(&format!("service-{i}"), "main"))
            .collect();
        let vantages: Vec<VantageId> = (0..shape.vantages)
            .map(|i| VantageId::new(&format!("vantage-{i:02}")))
            .collect();
        let mut detector = Detector::default();
        detector.configure(&metas(&checks, shape), &places(&vantages, shape));
        let mut fleet = Vantages::default();
        if shape.judged {
            fleet.configure(
                &metas(&checks, shape),
                &places(&vantages, shape),
                stamp(BEGIN),
            );
        }
        let noise = draw(shape, BEGIN, days, &mut rng);
        let mut world = Self {
            shape,
            now: BEGIN,
            probes: [0, 0],
            detector,
            fleet,
            looked: BEGIN,
            silenced: [0, 0],
            checks,
            vantages,
            rng,
            noise,
            fault: None,
            replay: None,
            schedule: Vec::new(),
            next: 0,
            round: BEGIN,
            events: BinaryHeap::new(),
            counted: 0,
            bursts: Vec::new(),
        };
        world.stagger();
        world
    }

    /// A silent world in which each target is a check that was recorded.
    pub(super) fn recorded(replay: Replay, vantages: usize, seed: u64) -> Self {
        let [targets, _] = replay.size();
        let shape = Shape {
            vantages,
            targets,
            model: Model::Silent,
            ..Shape::REFERENCE
        };
        Self {
            replay: Some(replay),
            ..Self::new(shape, seed, 1.0)
        }
    }

    /// Was a target really away, a moment ago?
    pub(super) fn deployed(&self, target: usize, at: Micros) -> bool {
        self.noise.deployed(target, at)
    }

    /// The same detector in another stretch of time: other noise, other phases, a fault.
    pub(super) fn trial(&self, seed: u64, fault: Option<Fault>, days: f64) -> Self {
        let mut trial = self.clone();
        trial.rng = Rng::with_seed(seed);
        trial.noise = draw(self.shape, self.now, days, &mut trial.rng);
        trial.fault = fault;
        trial.stagger();
        trial
    }

    /// Each check has a phase, and its vantages are spread evenly over the interval.
    fn stagger(&mut self) {
        let Shape {
            vantages, every, ..
        } = self.shape;
        self.schedule.clear();
        for check in 0..self.checks.len() {
            let phase = self.rng.i64(0..every);
            let mut order: Vec<usize> = (0..vantages).collect();
            self.rng.shuffle(&mut order);
            for (turn, &vantage) in (0..).zip(&order) {
                let apart = every / Micros::try_from(vantages).unwrap_or(1);
                self.schedule
                    .push(((phase + turn * apart) % every, check, vantage));
            }
        }
        self.schedule.sort_unstable();
        self.next = 0;
        // The interval in which the world stands is over.
        self.now += every - (self.now - BEGIN) % every;
        self.round = self.now;
    }

    /// Runs until a time, or until the caller has seen enough.
    pub(super) fn run(&mut self, until: Micros, mut saw: impl FnMut(Micros, usize, Signal) -> Go) {
        loop {
            let (offset, check, vantage) = self.schedule[self.next];
            let due = self.round + offset;
            while let Some(Reverse((at, _, _))) = self.events.peek()
                && *at <= due.min(until)
            {
                let Reverse((at, _, event)) = self.events.pop().expect("it was there");
                self.now = at;
                if self.event(event, &mut saw) == Go::Stop {
                    return;
                }
            }
            if due >= until {
                self.now = until;
                return;
            }
            self.now = due;
            self.next += 1;
            if self.next == self.schedule.len() {
                self.next = 0;
                self.round += self.shape.every;
            }
            self.probes[0] += 1;
            if self.probe(check, vantage, None, &mut saw) == Go::Stop {
                return;
            }
        }
    }

    fn event(&mut self, event: Event, saw: &mut impl FnMut(Micros, usize, Signal) -> Go) -> Go {
        match event {
            Event::Visit(number, visit) => {
                let burst = &self.bursts[number];
                let Some(&vantage) = burst.vantages.get(visit).filter(|_| !burst.over) else {
                    return Go::On;
                };
                let check = burst.check;
                self.probes[1] += 1;
                self.later(self.now + BURST_EVERY, Event::Visit(number, visit + 1));
                self.probe(check, vantage, Some(number), saw)
            }
            Event::Heard {
                check,
                vantage,
                at,
                seen,
                burst,
            } => self.hear(check, vantage, at, seen, burst, saw),
        }
    }

    fn probe(
        &mut self,
        check: usize,
        vantage: usize,
        burst: Option<usize>,
        saw: &mut impl FnMut(Micros, usize, Signal) -> Go,
    ) -> Go {
        let seen = match &mut self.replay {
            Some(replay) => Seen::Recorded(replay.next(check, vantage, &mut self.rng)),
            None => Seen::Drawn {
                bad: self.fails(check, vantage),
            },
        };
        let takes = match seen {
            Seen::Drawn { bad: true } => self.shape.timeout,
            Seen::Drawn { bad: false } | Seen::Recorded(_) => 0,
        };
        let done = self.now + takes;
        let at = self.noise.clock(vantage, self.now);
        let (heard, twice) = self.noise.heard(vantage, done, &mut self.rng);
        if twice {
            let event = Event::Heard {
                check,
                vantage,
                at,
                seen,
                burst,
            };
            self.later(heard + SECOND, event);
        }
        if heard > self.now {
            self.later(
                heard,
                Event::Heard {
                    check,
                    vantage,
                    at,
                    seen,
                    burst,
                },
            );
            return Go::On;
        }
        self.hear(check, vantage, at, seen, burst, saw)
    }

    fn fails(&mut self, check: usize, vantage: usize) -> bool {
        let region = self.shape.region(vantage);
        let fault = self
            .fault
            .as_ref()
            .filter(|f| check == 0 && f.span.contains(&self.now));
        let fails = fault.map_or(0.0, |fault| match fault.kind {
            Kind::Full => 1.0,
            Kind::Grey(share) => share,
            Kind::Region => f64::from(u8::from(region == 0)),
            Kind::Flap(period) => f64::from(u8::from(
                (self.now - fault.span.start) % period < period / 2,
            )),
        });
        let loss = self
            .noise
            .loss(self.shape.network(vantage), region, check, self.now);
        let drawn = self.rng.f64();
        drawn < 1.0 - (1.0 - fails) * (1.0 - loss)
    }

    fn hear(
        &mut self,
        check: usize,
        vantage: usize,
        at: Micros,
        seen: Seen,
        burst: Option<usize>,
        saw: &mut impl FnMut(Micros, usize, Signal) -> Go,
    ) -> Go {
        let kind = match (seen, &self.replay) {
            (Seen::Recorded(run), Some(replay)) => replay.kind(check, run),
            (Seen::Drawn { bad: true }, _) => HeardKind::Bad,
            (Seen::Drawn { bad: false } | Seen::Recorded(_), _) => HeardKind::Ok {
                total_us: 0,
                phases: Phases::default(),
            },
        };
        if let Some(burst) = burst
            && matches!(kind, HeardKind::Ok { .. })
        {
            self.bursts[burst].over = true;
        }
        let heard = Heard {
            check: self.checks[check].clone(),
            vantage: self.vantages[vantage].clone(),
            at: stamp(at),
            kind,
            trigger: if burst.is_some() {
                Trigger::Confirm
            } else {
                Trigger::Schedule
            },
        };
        if !self.is_believed(&heard) {
            return Go::On;
        }
        for signal in self.detector.step(&heard, stamp(self.now)) {
            if let Signal::Suspect { vantages, .. } = &signal {
                let number = |id| {
                    self.vantages
                        .iter()
                        .position(|v| v == id)
                        .expect("it is ours")
                };
                let vantages = vantages.iter().map(number).collect();
                self.bursts.push(Burst {
                    check,
                    vantages,
                    over: false,
                });
                self.later(
                    self.now + BURST_EVERY,
                    Event::Visit(self.bursts.len() - 1, 0),
                );
            }
            if saw(self.now, check, signal) == Go::Stop {
                return Go::Stop;
            }
        }
        Go::On
    }

    /// Is the vantage heard, as the hub judges it? What is not believed is no evidence.
    fn is_believed(&mut self, heard: &Heard) -> bool {
        if !self.shape.judged {
            return true;
        }
        let is_heard = self.fleet.is_heard(&heard.vantage);
        let every = Duration::from_micros(self.shape.every.unsigned_abs());
        self.fleet.heard(heard, every, stamp(self.now));
        if self.now - self.looked >= LOOK_EVERY {
            self.looked = self.now;
            self.look();
        }
        is_heard
    }

    fn look(&mut self) {
        let now = stamp(self.now);
        let here = Link {
            is_linked: true,
            since: Some(stamp(BEGIN)),
            heard: Some(now),
            boot: 1,
            ..Link::default()
        };
        for change in self.fleet.tick(|_| Some(here.clone()), now) {
            let Change::Unheard {
                vantage,
                is_disbelieved: true,
                ..
            } = change
            else {
                continue;
            };
            self.detector.mute(&vantage);
            let number = self.vantages.iter().position(|one| *one == vantage);
            let number = number.expect("it is ours");
            let was_well = (0..WELL_FOR / MINUTE).all(|minute| {
                let at = self.now - minute * MINUTE;
                let (network, region) = (self.shape.network(number), self.shape.region(number));
                self.noise.loss(network, region, 0, at) < EPISODE_MIN
            });
            self.silenced[0] += 1;
            self.silenced[1] += usize::from(was_well);
        }
    }

    fn later(&mut self, at: Micros, event: Event) {
        self.counted += 1;
        self.events.push(Reverse((at, self.counted, event)));
    }
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Go {
    On,
    Stop,
}

pub(super) fn stamp(at: Micros) -> Timestamp {
    Timestamp::from_microsecond(at).expect("simulated times are near")
}

pub(super) fn metas(checks: &[CheckId], shape: Shape) -> Vec<CheckMeta> {
    let every = Duration::from_micros(shape.every.unsigned_abs());
    let meta = |id: &CheckId| CheckMeta {
        id: id.clone(),
        every,
        depends: vec![id.service().to_owned()],
        vantages: Vec::new(),
        canary: false,
    };
    checks.iter().map(meta).collect()
}

pub(super) fn places(vantages: &[VantageId], shape: Shape) -> Vec<VantageMeta> {
    let place = |(i, id): (usize, &VantageId)| VantageMeta {
        id: id.clone(),
        region: Some(format!("region-{}", shape.region(i))),
        asn: u32::try_from(64_500 + shape.network(i)).ok(),
        country: None,
    };
    vantages.iter().enumerate().map(place).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "days of a simulation")]
#[expect(clippy::cast_precision_loss, reason = "a day in microseconds")]
fn draw(shape: Shape, from: Micros, days: f64, rng: &mut Rng) -> Noise {
    let span = from..from + (days * DAY as f64) as Micros;
    Noise::draw(
        shape.model,
        [shape.vantages, shape.regions, shape.targets],
        span,
        rng,
    )
}
