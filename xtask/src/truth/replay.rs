//! Recorded observations, played again in another order: what healthy services really look like.
//!
//! `recorded.csv` holds runs of `bellwether serve` in the box, a second apart, in the worlds of the
//! negative controls (scenarios `n…`, while they are as they should be) and of the healthy real
//! servers. Times are those of a busy machine, as they came.

use anyhow::{Context, Result, ensure};
use bellwether_diagnose::detect::HeardKind;
use bellwether_model::run::Phases;
use fastrand::Rng;

const RECORDED: &str = include_str!("recorded.csv");

/// So many runs are played in the order in which they were made before another place is drawn: what
/// one run has to do with the next stays.
const TOGETHER: std::ops::Range<usize> = 1..16;

/// What was recorded of one check of one scenario, in order.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    runs: Vec<HeardKind>,
}

/// Where the play of one series stands at one vantage.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    at: usize,
    left: usize,
}

/// What was recorded, and where its play stands.
#[derive(Clone, Debug)]
pub(super) struct Replay {
    series: Vec<Series>,
    /// By series, then by vantage.
    places: Vec<Vec<Place>>,
}

impl Replay {
    /// All that was recorded, for so many vantages.
    pub(super) fn new(vantages: usize) -> Result<Self> {
        let series = read(RECORDED)?;
        Ok(Self {
            places: vec![vec![Place::default(); vantages]; series.len()],
            series,
        })
    }

    /// How many checks were recorded, and how many runs of them.
    pub(super) fn size(&self) -> [usize; 2] {
        [
            self.series.len(),
            self.series.iter().map(|s| s.runs.len()).sum(),
        ]
    }

    /// The number of the next run of a check at a vantage.
    pub(super) fn next(&mut self, check: usize, vantage: usize, rng: &mut Rng) -> usize {
        let runs = self.series[check].runs.len();
        let place = &mut self.places[check][vantage];
        if place.left == 0 {
            *place = Place {
                at: rng.usize(0..runs),
                left: rng.usize(TOGETHER),
            };
        }
        let run = place.at;
        place.at = (run + 1) % runs;
        place.left -= 1;
        run
    }

    /// What a run came to.
    pub(super) fn kind(&self, check: usize, run: usize) -> HeardKind {
        self.series[check].runs[run]
    }
}

fn read(text: &str) -> Result<Vec<Series>> {
    let mut series: Vec<Series> = Vec::new();
    for (i, line) in text.lines().enumerate().skip(1) {
        let at = || format!("recorded.csv, line {}", i + 1);
        let fields: Vec<&str> = line.split(',').collect();
        let [scenario, check, _trigger, outcome, phases @ ..] = &fields[..] else {
            anyhow::bail!("{}: too few fields", at());
        };
        let us = |text: &&str| (!text.is_empty()).then(|| text.parse()).transpose();
        let us: Vec<Option<u32>> = phases
            .iter()
            .map(us)
            .collect::<Result<_, _>>()
            .with_context(at)?;
        let phases = Phases::of(us.try_into().ok().with_context(at)?);
        let kind = match *outcome {
            "ok" => HeardKind::Ok {
                total_us: phases.total(),
                phases,
            },
            "failed" | "wrong" => HeardKind::Bad,
            "not_run" => HeardKind::Unknown,
            other => anyhow::bail!("{}: no outcome `{other}`", at()),
        };
        let name = format!("{scenario} {check}");
        match series.last_mut().filter(|last| last.name == name) {
            Some(last) => last.runs.push(kind),
            None => series.push(Series {
                name,
                runs: vec![kind],
            }),
        }
    }
    ensure!(!series.is_empty(), "recorded.csv holds nothing");
    Ok(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_is_played_and_none_is_made_up() {
        let mut replay = Replay::new(1).unwrap();
        let mut rng = Rng::with_seed(1);
        let runs = replay.series[0].runs.len();
        let mut played = vec![0; runs];
        for _ in 0..runs * 100 {
            played[replay.next(0, 0, &mut rng)] += 1;
        }
        assert!(played.iter().all(|&times| times > 0), "{played:?}");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = read("head\na,b,schedule,ok,1,2,3,4\n").unwrap_err();
        assert!(format!("{error:#}").contains("line 2"), "{error:#}");
        assert!(read("head\na,b,schedule,good,1,2,3,4,5\n").is_err());
    }
}
