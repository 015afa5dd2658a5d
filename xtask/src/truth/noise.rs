//! What goes wrong by itself: the noise models.
//!
//! N1: loss of single probes, episodes of a vantage, episodes of a region. N2 adds what resolvers,
//! agents and deployments do.

use std::ops::Range;

use fastrand::Rng;

/// Microseconds.
pub(super) type Micros = i64;

pub(super) const SECOND: Micros = 1_000_000;
pub(super) const MINUTE: Micros = 60 * SECOND;
pub(super) const DAY: Micros = 1440 * MINUTE;

/// Episodes that began this long before a time may still last.
const LOOK_BACK: Micros = 120 * MINUTE;

/// A noise model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    /// Nothing ever goes wrong.
    Silent,
    /// Single losses alone.
    Loss,
    /// The reference.
    N1,
    /// What resolvers, agents and deployments add.
    N2,
}

/// A kind of episode: how many a day, how long on average, and how many probes are lost in it.
struct Kind {
    a_day: f64,
    seconds: f64,
    loss: f64,
}

const LOSS: f64 = 0.005;
const VANTAGE: Kind = Kind {
    a_day: 0.5,
    seconds: 300.0,
    loss: 0.6,
};
const REGION: Kind = Kind {
    a_day: 0.1,
    seconds: 600.0,
    loss: 0.5,
};
/// N2: a vantage's resolver answers SERVFAIL.
const RESOLVER: Kind = Kind {
    a_day: 2.0,
    seconds: 20.0,
    loss: 0.5,
};
/// N2: an agent hangs; what it did is heard afterwards.
const HANG: Kind = Kind {
    a_day: 1.0,
    seconds: 90.0,
    loss: 0.0,
};
/// N2: an agent's clock is wrong by two minutes.
const CLOCK: Kind = Kind {
    a_day: 0.2,
    seconds: 60.0,
    loss: 0.0,
};
const CLOCK_OFF: Micros = 2 * MINUTE;
/// N2: a deployment, in which a target is away for five seconds, once a day.
const BLIP: Micros = 5 * SECOND;
/// N2: share of results that come twice, and that come late.
const TWICE: f64 = 0.01;
const LATE: f64 = 0.01;
const LATE_MAX: Micros = 40 * SECOND;

/// The noise of one world over one span.
#[derive(Clone, Debug)]
pub(super) struct Noise {
    model: Model,
    vantages: Vec<Vec<Range<Micros>>>,
    regions: Vec<Vec<Range<Micros>>>,
    resolvers: Vec<Vec<Range<Micros>>>,
    hangs: Vec<Vec<Range<Micros>>>,
    clocks: Vec<Vec<Range<Micros>>>,
    blips: Vec<Vec<Range<Micros>>>,
}

impl Noise {
    /// Draws the noise of a span.
    pub(super) fn draw(
        model: Model,
        [vantages, regions, targets]: [usize; 3],
        span: Range<Micros>,
        rng: &mut Rng,
    ) -> Self {
        let span = span.start - LOOK_BACK..span.end;
        let mut of = |kind: &Kind, many: usize, wanted: bool| -> Vec<Vec<Range<Micros>>> {
            let rate = if wanted { kind.a_day } else { 0.0 };
            (0..many)
                .map(|_| episodes(rate, kind.seconds, &span, rng))
                .collect()
        };
        let (n1, n2) = (matches!(model, Model::N1 | Model::N2), model == Model::N2);
        let mut drawn = Self {
            model,
            vantages: of(&VANTAGE, vantages, n1),
            regions: of(&REGION, regions, n1),
            resolvers: of(&RESOLVER, vantages, n2),
            hangs: of(&HANG, vantages, n2),
            clocks: of(&CLOCK, vantages, n2),
            blips: of(
                &Kind {
                    a_day: 1.0,
                    seconds: 1.0,
                    loss: 0.0,
                },
                targets,
                n2,
            ),
        };
        for blip in drawn.blips.iter_mut().flatten() {
            blip.end = blip.start + BLIP;
        }
        drawn
    }

    /// The chance that a probe fails by noise.
    pub(super) fn loss(&self, vantage: usize, region: usize, target: usize, at: Micros) -> f64 {
        if self.model == Model::Silent {
            return 0.0;
        }
        let mut passes = 1.0 - LOSS;
        for (kind, held) in [
            (&VANTAGE, &self.vantages[vantage]),
            (&REGION, &self.regions[region]),
            (&RESOLVER, &self.resolvers[vantage]),
        ] {
            if within(held, at) {
                passes *= 1.0 - kind.loss;
            }
        }
        if within(&self.blips[target], at) {
            return 1.0;
        }
        1.0 - passes
    }

    /// Was the target really away, a moment ago?
    pub(super) fn deployed(&self, target: usize, at: Micros) -> bool {
        self.blips[target]
            .iter()
            .any(|blip| blip.start <= at && at < blip.end + MINUTE)
    }

    /// What the agent's clock says.
    pub(super) fn clock(&self, vantage: usize, at: Micros) -> Micros {
        at + if within(&self.clocks[vantage], at) {
            CLOCK_OFF
        } else {
            0
        }
    }

    /// When a result is heard of, and whether twice.
    pub(super) fn heard(&self, vantage: usize, done: Micros, rng: &mut Rng) -> (Micros, bool) {
        if self.model != Model::N2 {
            return (done, false);
        }
        let hung = self.hangs[vantage].iter().find(|hang| hang.contains(&done));
        let late = if rng.f64() < LATE {
            rng.i64(0..LATE_MAX)
        } else {
            0
        };
        (hung.map_or(done, |hang| hang.end) + late, rng.f64() < TWICE)
    }
}

fn within(held: &[Range<Micros>], at: Micros) -> bool {
    // Ordered by begin; they may overlap, and there are a few a day.
    let after = held.partition_point(|episode| episode.start <= at);
    held[..after]
        .iter()
        .rev()
        .take(4)
        .any(|episode| at < episode.end)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "microseconds of a simulation"
)]
fn episodes(a_day: f64, seconds: f64, span: &Range<Micros>, rng: &mut Rng) -> Vec<Range<Micros>> {
    let mut drawn = Vec::new();
    if a_day <= 0.0 {
        return drawn;
    }
    let mut exponential = |mean: f64| -(1.0 - rng.f64()).ln() * mean;
    let mut at = span.start;
    loop {
        at += exponential(DAY as f64 / a_day) as Micros;
        if at >= span.end {
            return drawn;
        }
        let length = exponential(seconds * SECOND as f64) as Micros;
        drawn.push(at..at + length);
    }
}
