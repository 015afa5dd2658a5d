//! Hours of an agent, with scripted workers, in moments. Each run is determined by its seed, which
//! stands in the message of whatever fails.
//!
//! - `times`: when runs begin
//! - `looks`: what is looked at again
//! - `ends`: what does not come back, and how an agent ends

mod ends;
mod looks;
mod times;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use bellwether_model::dns::{ControlVia, ResolverOrigin};
use bellwether_model::observation::NotRun;
use bellwether_model::run::{Run, RunOutcome, Trigger};
use bellwether_model::{Observation, Outcome, ProbeKind};

use super::runs::{BURST_GAP, BURST_LEN};
use super::traces::TRACES_MAX;
use super::*;
use crate::clock::stamp;
use crate::testing::{BEGIN, SECOND, Seen, aim, id, name, plan, planned, resolver, said};
use crate::{Shown, Trace};

const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: i64 = 86_400;

/// An order as it was given.
#[derive(Clone, Debug)]
struct Asked {
    at: u64,
    number: u64,
    aim: String,
    is_trace: bool,
    resolver: Option<u32>,
    turn: u32,
    apart: bool,
}

type Script = Box<dyn FnMut(&Asked, &Wanted) -> Vec<(u64, Said)>>;

struct Sim {
    engine: Engine,
    now: u64,
    /// What the wall clock is off by, seconds.
    wall_off: i64,
    script: Script,
    coming: BinaryHeap<Reverse<(u64, u64)>>,
    said: BTreeMap<u64, Said>,
    runs: Vec<Run>,
    shown: Vec<Shown>,
    /// What the wall clock was off by when each run left.
    offs: Vec<i64>,
    traces: Vec<(u64, Trace)>,
    own: Vec<(u64, Own)>,
    asked: Vec<Asked>,
    under_way: usize,
    most_under_way: usize,
    takes: bool,
}

impl Sim {
    fn new(plan: Plan, script: impl FnMut(&Asked, &Wanted) -> Vec<(u64, Said)> + 'static) -> Self {
        Self {
            engine: Engine::new(plan, BEGIN, stamp(BEGIN)),
            now: BEGIN,
            wall_off: 0,
            script: Box::new(script),
            coming: BinaryHeap::new(),
            said: BTreeMap::new(),
            runs: Vec::new(),
            shown: Vec::new(),
            offs: Vec::new(),
            traces: Vec::new(),
            own: Vec::new(),
            asked: Vec::new(),
            under_way: 0,
            most_under_way: 0,
            takes: true,
        }
    }

    /// Everything is well, after some milliseconds by chance.
    fn well(plan: Plan, seed: u64) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        Self::new(plan, move |asked, wanted| {
            vec![(chance.u64(1000..300_000), answer(asked, wanted, Seen::Ok))]
        })
    }

    fn wall(&self) -> Timestamp {
        let off = jiff::SignedDuration::from_secs(self.wall_off);
        stamp(self.now).checked_add(off).unwrap()
    }

    fn run(&mut self, time: u64) {
        let until = self.now + time;
        loop {
            self.engine.advance(self.now, self.wall());
            while let Some(Reverse((at, number))) = self.coming.peek().copied()
                && at <= self.now
            {
                self.coming.pop();
                let said = self.said.remove(&number).unwrap();
                self.under_way -= usize::from(!matches!(said, Said::Replaced { .. }));
                self.engine.heard(said);
            }
            self.engine.begin_waiting();
            self.give();
            self.take();
            let next = self.coming.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
            let next = next.min(self.engine.wake());
            if next > until {
                break;
            }
            self.now = next;
        }
        self.now = until;
    }

    fn plan(&mut self, plan: Plan) {
        self.engine.catch_up(self.now, self.wall());
        self.engine.plan(plan);
    }

    fn give(&mut self) {
        let says: Vec<Say> = self.engine.says().collect();
        for say in says {
            let Say::Ask {
                number,
                wanted,
                apart,
                ..
            } = say
            else {
                continue;
            };
            let (resolver, turn) = match &wanted {
                Wanted::Visit { resolver, turn, .. } => (*resolver, *turn),
                _ => (None, 0),
            };
            let asked = Asked {
                at: self.now,
                number,
                aim: aim(&wanted),
                is_trace: matches!(wanted, Wanted::Trace { .. }),
                resolver,
                turn,
                apart,
            };
            self.under_way += 1;
            self.most_under_way = self.most_under_way.max(self.under_way);
            for (after, said) in (self.script)(&asked, &wanted) {
                let key = self.said.last_key_value().map_or(0, |(key, _)| key + 1);
                self.said.insert(key, said);
                self.coming.push(Reverse((self.now + after, key)));
            }
            self.asked.push(asked);
        }
    }

    fn take(&mut self) {
        while self.takes
            && let Some(next) = self.engine.harvest()
        {
            match next {
                Harvest::Run(run) => {
                    self.runs.push(run);
                    self.offs.push(self.wall_off);
                }
                Harvest::Shown(shown) => {
                    self.runs.push(shown.run.clone());
                    self.shown.push(*shown);
                    self.offs.push(self.wall_off);
                }
                Harvest::Trace(trace) => self.traces.push((self.now, *trace)),
                Harvest::Own(own) => self.own.push((self.now, own)),
            }
        }
    }

    fn rows(&self, n: usize) -> Vec<&Run> {
        self.runs.iter().filter(|run| run.check == id(n)).collect()
    }

    fn scheduled(&self, n: usize) -> Vec<u64> {
        let rows = self.rows(n).into_iter();
        rows.filter(|run| run.trigger == Trigger::Schedule)
            .map(due)
            .collect()
    }

    /// Rows are numbered without gaps, and of each check in order.
    fn assert_numbered(&self, seed: u64) {
        let numbers: Vec<u64> = self.runs.iter().map(|run| run.sequence).collect();
        let wanted: Vec<u64> = (1..=numbers.len() as u64).collect();
        assert_eq!(numbers, wanted, "seed {seed}");
    }

    /// Most visits begun within a tenth of a second.
    fn bunch(&self, from: u64) -> usize {
        let mut tenths: BTreeMap<u64, usize> = BTreeMap::new();
        for asked in self.asked.iter().filter(|a| !a.is_trace && a.at >= from) {
            *tenths.entry(asked.at / 100_000).or_default() += 1;
        }
        tenths.into_values().max().unwrap_or(0)
    }
}

fn due(run: &Run) -> u64 {
    u64::try_from(run.due.as_microsecond()).unwrap()
}

fn answer(asked: &Asked, wanted: &Wanted, seen: Seen) -> Said {
    said(asked.number, wanted, seen)
}

/// One after the other without a slot left out, all on one grid.
fn assert_grid(dues: &[u64], every: u64, context: &str) {
    assert!(!dues.is_empty(), "{context}");
    for pair in dues.windows(2) {
        assert_eq!(pair[1] - pair[0], every, "{context}");
    }
}
