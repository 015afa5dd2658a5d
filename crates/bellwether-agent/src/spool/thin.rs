//! What is left of deliveries when there is no room for all of it.

use std::collections::BTreeMap;

use bellwether_model::CheckId;
use bellwether_model::harvest::Harvest;
use bellwether_model::link::{Delivery, Thinned};
use bellwether_model::run::{Run, RunOutcome};
use jiff::Timestamp;

/// Checks whose counts gather in one delivery: with those of its own rows they are a fraction of what a
/// link carries.
pub(super) const COUNTED_MAX: usize = 10_000;

/// How much is left out, in the order in which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Nothing.
    Whole = 0,
    /// Rows of runs that were ok, and showed nothing new.
    Usual = 1,
    /// Traces and records too: what failed or changed is left as its row.
    Records = 2,
    /// All rows; what the agent says of itself is left.
    Rows = 3,
}

impl Level {
    pub(super) const ALL: [Self; 4] = [Self::Whole, Self::Usual, Self::Records, Self::Rows];

    /// From a file, which may be of a later version.
    pub(super) fn of(number: u8) -> Self {
        Self::ALL[usize::from(number).min(Self::ALL.len() - 1)]
    }

    pub(super) fn next(self) -> Option<Self> {
        Self::ALL.get(self as usize + 1).copied()
    }
}

/// Counts, by check.
#[derive(Debug, Default)]
pub(super) struct Counts(BTreeMap<CheckId, Thinned>);

impl Counts {
    fn entry(&mut self, check: &CheckId, at: Timestamp) -> &mut Thinned {
        let thinned = self.0.entry(check.clone()).or_insert_with(|| Thinned {
            check: check.clone(),
            from: at,
            to: at,
            runs: [0; 4],
            traces: 0,
        });
        thinned.from = thinned.from.min(at);
        thinned.to = thinned.to.max(at);
        thinned
    }

    /// All of them, in the order of their checks; none are left.
    fn taken(&mut self) -> Vec<Thinned> {
        std::mem::take(&mut self.0).into_values().collect()
    }

    fn run(&mut self, run: &Run) {
        let place = match run.outcome {
            RunOutcome::Ok => 0,
            RunOutcome::Wrong => 1,
            RunOutcome::Failed => 2,
            RunOutcome::NotRun => 3,
        };
        self.entry(&run.check, run.due).runs[place] += 1;
    }

    fn add(&mut self, other: Thinned) {
        self.entry(&other.check, other.to);
        let sum = self.entry(&other.check, other.from);
        for (sum, more) in sum.runs.iter_mut().zip(other.runs) {
            *sum += more;
        }
        sum.traces += other.traces;
    }
}

/// Thins deliveries that stand one after the other. What is left out is counted in the last of them, with
/// what was counted in each before; counts of more checks than belong into one are left in several. Tells
/// how many rows and traces were left out.
pub(super) fn thin<'a>(
    deliveries: impl DoubleEndedIterator<Item = &'a mut Delivery>,
    level: Level,
) -> u64 {
    let mut counts = Counts::default();
    let mut left_out = 0;
    let mut last: Option<&mut Delivery> = None;
    for delivery in deliveries {
        let more = delivery.thinned.len() + delivery.harvest.len();
        if let Some(last) = last
            && counts.0.len() + more > COUNTED_MAX
        {
            last.thinned = counts.taken();
        }
        for thinned in delivery.thinned.drain(..) {
            counts.add(thinned);
        }
        let harvest = std::mem::take(&mut delivery.harvest);
        let had = harvest.len();
        let kept = harvest.into_iter();
        delivery.harvest = kept
            .filter_map(|one| left(one, level, &mut counts))
            .collect();
        left_out += (had - delivery.harvest.len()) as u64;
        last = Some(delivery);
    }
    if let Some(last) = last {
        last.thinned = counts.taken();
    }
    left_out
}

fn left(one: Harvest, level: Level, counts: &mut Counts) -> Option<Harvest> {
    match one {
        Harvest::Run(run) if leaves(&run, level) => {
            counts.run(&run);
            None
        }
        Harvest::Shown(shown) if level >= Level::Rows => {
            counts.run(&shown.run);
            None
        }
        Harvest::Shown(shown) if level >= Level::Records => Some(Harvest::Run(shown.run)),
        Harvest::Trace(trace) if level >= Level::Records => {
            counts.entry(&trace.check, trace.began).traces += 1;
            None
        }
        other @ (Harvest::Run(_) | Harvest::Shown(_) | Harvest::Trace(_) | Harvest::Own(_)) => {
            Some(other)
        }
    }
}

fn leaves(run: &Run, level: Level) -> bool {
    match level {
        Level::Whole => false,
        // A row that became one of a record is of something that is no longer usual.
        Level::Usual | Level::Records => run.outcome == RunOutcome::Ok,
        Level::Rows => true,
    }
}
