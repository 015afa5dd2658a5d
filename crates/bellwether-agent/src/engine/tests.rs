//! Hours of an agent, with scripted workers, in moments. Each run is determined by its seed, which
//! stands in the message of whatever fails.

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
use crate::testing::{BEGIN, SECOND, Seen, aim, id, name, plan, planned, resolver, told};
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
    Said::Told(told(asked.number, wanted, seen))
}

/// One after the other without a slot left out, all on one grid.
fn assert_grid(dues: &[u64], every: u64, context: &str) {
    assert!(!dues.is_empty(), "{context}");
    for pair in dues.windows(2) {
        assert_eq!(pair[1] - pair[0], every, "{context}");
    }
}

#[test]
fn runs_lie_on_their_grids_and_do_not_bunch() {
    let seed = 7;
    let (count, every) = (600, 60);
    let mut sim = Sim::well(plan(count, every), seed);
    sim.run(20 * MINUTE);
    sim.assert_numbered(seed);
    for n in 0..count {
        let dues = sim.scheduled(n);
        assert_grid(&dues, every * SECOND, &format!("seed {seed}, check {n}"));
        assert!(
            (19..=20).contains(&dues.len()),
            "seed {seed}: {}",
            dues.len()
        );
        let phase = wheel::phase(id(n).as_str(), 0, every * SECOND);
        assert_eq!(dues[0] % (every * SECOND), phase);
    }
    // One a tenth on average.
    assert!(sim.bunch(0) <= 8, "{}", sim.bunch(0));
    let figures = sim.engine.figures();
    assert!(figures.lateness.max <= wheel::TICK, "{figures:?}");
    assert_eq!(
        (figures.slots_missed, figures.slots_busy, figures.hung),
        (0, 0, 0)
    );
    assert_eq!(figures.runs[0], sim.runs.len() as u64);
    let families: std::collections::BTreeSet<_> = sim
        .rows(3)
        .iter()
        .map(|r| (r.resolver.clone(), r.address))
        .collect();
    assert_eq!(families.len(), 4, "each resolver with each address");
}

#[test]
fn p15_wall_clock_jumps_miss_and_double_nothing() {
    for seed in 0..4 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut sim = Sim::well(plan(50, 30), seed);
        for _ in 0..20 {
            sim.wall_off = chance
                .choice([0, DAY, -DAY, 1, -1_700_000_000, 400 * DAY])
                .unwrap();
            sim.run(chance.u64(1..240) * SECOND);
        }
        let slots = (sim.now - BEGIN) / (30 * SECOND);
        for n in 0..50 {
            // Each stamp is what the wall clock showed; without that, all lie on one grid.
            let rows = sim.runs.iter().zip(&sim.offs);
            let dues: Vec<u64> = rows
                .filter(|(run, _)| run.check == id(n) && run.trigger == Trigger::Schedule)
                .map(|(run, off)| run.due.as_microsecond() - off * SECOND as i64)
                .map(|due| u64::try_from(due).unwrap())
                .collect();
            assert_grid(&dues, 30 * SECOND, &format!("seed {seed}, check {n}"));
            assert!(
                dues.len() as u64 + 1 >= slots,
                "seed {seed}: {} of {slots}",
                dues.len()
            );
        }
        assert_eq!(sim.engine.figures().clock_moved_ms / 1000, sim.wall_off);
    }
}

#[test]
fn what_was_slept_through_is_left_out_and_counted() {
    let mut sim = Sim::well(plan(600, 60), 1);
    sim.run(5 * MINUTE);
    let before = sim.runs.len();
    sim.now += HOUR;
    let woke = sim.now;
    sim.run(5 * MINUTE);
    // What would have begun in the last two seconds, at once; else as ever.
    assert!(sim.bunch(woke) <= 40, "{}", sim.bunch(woke));
    let figures = sim.engine.figures();
    assert!(
        (58 * 600..=60 * 600).contains(&figures.slots_missed),
        "{figures:?}"
    );
    for n in 0..600 {
        let dues = sim.scheduled(n);
        assert!(dues.iter().all(|due| due % MINUTE == dues[0] % MINUTE));
        assert!((10..=11).contains(&dues.len()), "{}", dues.len());
    }
    assert!(sim.runs.len() - before >= 5 * 595);
}

#[test]
fn a_new_plan_leaves_those_that_stay_alone() {
    let mut sim = Sim::well(plan(100, 30), 3);
    sim.run(10 * MINUTE);
    let mut next = plan(0, 30);
    next.generation = 2;
    next.checks = (50..150).map(|n| planned(n, 30)).collect();
    sim.plan(next);
    let changed = sim.now;
    sim.run(10 * MINUTE);
    for n in 50..100 {
        assert_grid(&sim.scheduled(n), 30 * SECOND, &format!("check {n}"));
    }
    for n in 100..150 {
        let dues = sim.scheduled(n);
        assert!(dues[0] >= changed && dues[0] <= changed + 30 * SECOND);
    }
    assert!((0..50).all(|n| sim.scheduled(n).iter().all(|due| *due <= changed)));
    assert_eq!(sim.engine.figures().checks, 100);

    // Another interval: another grid.
    let mut slower = plan(0, 30);
    slower.checks = (50..150).map(|n| planned(n, 60)).collect();
    sim.plan(slower);
    let changed = sim.now;
    sim.run(10 * MINUTE);
    let dues = sim.scheduled(60);
    let since: Vec<u64> = dues.into_iter().filter(|due| *due > changed).collect();
    assert_grid(&since, MINUTE, "after the change");
}

#[test]
fn limits_hold_and_each_slot_leaves_a_row() {
    let seed = 11;
    let mut all = plan(200, 10);
    all.at_once = 8;
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut sim = Sim::new(all, move |asked, wanted| {
        vec![(
            chance.u64(SECOND / 2..2 * SECOND),
            answer(asked, wanted, Seen::Ok),
        )]
    });
    sim.run(10 * MINUTE);
    assert!(sim.most_under_way <= 8);
    sim.assert_numbered(seed);
    let figures = sim.engine.figures();
    assert!(
        figures.overloaded > 1000 && figures.waited > 1000,
        "{figures:?}"
    );
    // 8 places at 1.25 s each.
    assert!(figures.runs[0] > 3000, "{figures:?}");
    // A slot leaves a row, or is counted as left out because the run before was under way.
    let mut rows = 0;
    for n in 0..200 {
        let dues = sim.scheduled(n);
        let on_grid = |pair: &[u64]| (pair[1] - pair[0]).is_multiple_of(10 * SECOND);
        assert!(
            dues.windows(2)
                .all(|pair| pair[0] < pair[1] && on_grid(pair)),
            "check {n}"
        );
        rows += dues.len() as u64;
    }
    let open = sim.engine.by_id.len() as u64;
    let slots = 60 * 200;
    assert!(
        (slots - open..=slots).contains(&(rows + figures.slots_busy)),
        "{figures:?}"
    );
    let overload = sim
        .runs
        .iter()
        .filter(|r| r.symptom.as_deref() == Some("monitor.overload"));
    assert!(overload.clone().all(|r| r.outcome == RunOutcome::NotRun));
    assert_eq!(overload.count() as u64, figures.overloaded);
}

#[test]
fn one_host_takes_no_more_than_its_share() {
    let mut all = plan(100, 10);
    for check in &mut all.checks {
        check.ask = planned(0, 10).ask;
    }
    let mut sim = Sim::new(all, |asked, wanted| {
        vec![(4 * SECOND, answer(asked, wanted, Seen::Ok))]
    });
    sim.run(2 * MINUTE);
    assert_eq!(sim.most_under_way, places::PER_HOST_MAX);
}

#[test]
fn records_are_handed_on_of_what_fails_and_how_it_fails() {
    let outages = [
        BEGIN + 5 * MINUTE..BEGIN + 20 * MINUTE,
        BEGIN + 30 * MINUTE..BEGIN + 32 * MINUTE,
    ];
    let mut sim = Sim::new(plan(1, 60), move |asked, wanted| {
        let fails = outages.iter().any(|outage| outage.contains(&asked.at));
        let seen = if fails { Seen::Refused } else { Seen::Ok };
        vec![(50_000, answer(asked, wanted, seen))]
    });
    sim.run(40 * MINUTE);
    // The first one, another after ten minutes of the same, and the first of the second outage.
    let at: Vec<u64> = sim
        .shown
        .iter()
        .map(|shown| (due(&shown.run) - BEGIN) / MINUTE)
        .collect();
    assert_eq!(at.len(), 3, "{at:?}");
    assert!(
        (5..7).contains(&at[0]) && (15..18).contains(&at[1]) && at[2] >= 30,
        "{at:?}"
    );
    for shown in &sim.shown {
        assert_eq!(shown.run.outcome, RunOutcome::Failed);
        assert_eq!(shown.context.vantage, shown.run.vantage.as_str());
        assert!(!shown.observations.is_empty() && shown.took_ms > 0.0);
    }
    sim.assert_numbered(0);
}

#[test]
fn an_unexpected_result_is_confirmed_at_once_by_others() {
    // Fails from the fifth minute on, for good or for three seconds.
    for (lasts, confirms, failing) in [(HOUR, 5, 5), (3 * SECOND, 4, 2)] {
        let mut first: Option<u64> = None;
        let mut sim = Sim::new(plan(1, 60), move |asked, wanted| {
            let at = *first.get_or_insert(if asked.at > BEGIN + 5 * MINUTE {
                asked.at
            } else {
                u64::MAX
            });
            if at == u64::MAX {
                first = None;
            }
            let fails = at <= asked.at && asked.at < at.saturating_add(lasts);
            let seen = if fails { Seen::Refused } else { Seen::Ok };
            vec![(50_000, answer(asked, wanted, seen))]
        });
        sim.run(8 * MINUTE);
        let burst: Vec<&Run> = sim
            .runs
            .iter()
            .filter(|r| r.trigger == Trigger::Confirm)
            .collect();
        assert_eq!(burst.len(), confirms);
        let failed = burst
            .iter()
            .filter(|r| r.outcome == RunOutcome::Failed)
            .count();
        assert_eq!(failed, failing);
        let unexpected = sim
            .runs
            .iter()
            .find(|r| r.outcome == RunOutcome::Failed)
            .unwrap();
        assert_eq!(unexpected.trigger, Trigger::Schedule);
        assert_eq!(unexpected.symptom.as_deref(), Some("tcp.refused"));
        assert!(due(burst[0]) - due(unexpected) < SECOND, "at once");
        for pair in burst.windows(2) {
            assert!(due(pair[1]) - due(pair[0]) >= BURST_GAP);
            assert!(due(pair[1]) - due(pair[0]) <= BURST_GAP + SECOND);
        }
        assert_eq!(burst[0].resolver, unexpected.resolver);
        assert_eq!(burst[0].address, unexpected.address);
        assert_ne!(burst[1].resolver, unexpected.resolver);
        assert!(burst.iter().all(|r| r.late == 0));
        let (_, trace) = sim
            .traces
            .iter()
            .find(|(_, t)| t.why == TraceWhy::Failure)
            .unwrap();
        assert!(trace.began.as_microsecond() - unexpected.due.as_microsecond() < 1_000_000);
        assert_eq!(trace.observations[0].id, "e1");
        assert_eq!(sim.engine.figures().bursts, 1);
        assert!(u64::from(BURST_LEN) >= sim.engine.figures().confirms);
    }
}

#[test]
fn the_first_traces_come_soon_and_then_on_a_cadence() {
    let mut sim = Sim::well(plan(40, 600), 5);
    sim.run(26 * HOUR);
    for n in 0..40 {
        let of: Vec<u64> = sim
            .traces
            .iter()
            .filter(|(_, t)| t.check == id(n))
            .map(|(at, _)| *at)
            .collect();
        assert!(of[0] <= BEGIN + 20 * MINUTE, "check {n}");
        assert!((4..=5).contains(&of.len()), "check {n}: {}", of.len());
        for pair in of[1..].windows(2) {
            assert!(
                (pair[1] - pair[0]).abs_diff(6 * HOUR) < 2 * SECOND,
                "check {n}"
            );
        }
    }
    assert!(sim.traces.iter().all(|(_, t)| t.why == TraceWhy::Cadence));
}

#[test]
fn the_first_traces_of_many_checks_are_spread() {
    let mut sim = Sim::well(plan(1200, 600), 5);
    sim.run(6 * HOUR + 5 * MINUTE);
    let mut tenths: BTreeMap<u64, usize> = BTreeMap::new();
    let mut first: BTreeMap<CheckId, u64> = BTreeMap::new();
    for (at, trace) in &sim.traces {
        first.entry(trace.check.clone()).or_insert(*at);
    }
    for at in first.values() {
        *tenths.entry((at - BEGIN) / (36 * MINUTE)).or_default() += 1;
    }
    assert_eq!(first.len(), 1200);
    assert!(
        tenths.values().take(10).all(|n| (70..=170).contains(n)),
        "{tenths:?}"
    );
}

#[test]
fn an_outage_of_everything_is_no_storm_of_traces() {
    let seed = 2;
    let count = 600;
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut under_way: BinaryHeap<Reverse<u64>> = BinaryHeap::new();
    let mut sim = Sim::new(plan(count, 60), move |asked, wanted| {
        let fails = asked.at > BEGIN + 10 * MINUTE;
        let seen = if fails { Seen::Refused } else { Seen::Ok };
        if !asked.is_trace {
            return vec![(50_000, answer(asked, wanted, seen))];
        }
        let takes = chance.u64(SECOND..4 * SECOND);
        while under_way
            .peek()
            .is_some_and(|Reverse(ends)| *ends <= asked.at)
        {
            under_way.pop();
        }
        under_way.push(Reverse(asked.at + takes));
        assert!(under_way.len() <= TRACES_MAX, "seed {seed}");
        vec![(takes, answer(asked, wanted, seen))]
    });
    sim.run(15 * MINUTE);
    let mut of: BTreeMap<CheckId, Vec<u64>> = BTreeMap::new();
    for (at, trace) in sim
        .traces
        .iter()
        .filter(|(_, t)| t.why == TraceWhy::Failure)
    {
        of.entry(trace.check.clone()).or_default().push(*at);
    }
    assert_eq!(of.len(), count, "seed {seed}: each had its turn");
    let (least, most) = (
        of.values().map(Vec::len).min(),
        of.values().map(Vec::len).max(),
    );
    assert!(
        most.unwrap() <= 5,
        "at most one for each interval: {most:?}"
    );
    assert!(
        most.unwrap() - least.unwrap() <= 2,
        "fair: {least:?} to {most:?}"
    );
    let figures = sim.engine.figures();
    assert!(
        figures.lateness.p99 <= 2 * wheel::TICK,
        "{:?}",
        figures.lateness
    );
}

#[test]
fn a_change_is_traced_and_what_always_changes_less_and_less() {
    let mut turns = 0_u8;
    let mut sim = Sim::new(plan(2, 60), move |asked, wanted| {
        let after = asked.at - BEGIN;
        let seen = match (asked.aim == name(0), after > 30 * MINUTE) {
            (true, late) => Seen::Certificate(u8::from(late)),
            (false, _) => {
                turns = turns.wrapping_add(1);
                Seen::Certificate(turns)
            }
        };
        vec![(50_000, answer(asked, wanted, seen))]
    });
    sim.run(3 * HOUR);
    let changes = |n: usize| {
        let of = sim
            .traces
            .iter()
            .filter(|(_, t)| t.check == id(n) && t.why == TraceWhy::Change);
        of.map(|(at, _)| (at - BEGIN) / MINUTE)
            .collect::<Vec<u64>>()
    };
    assert_eq!(changes(0), [30]);
    let always = changes(1);
    assert!((3..=9).contains(&always.len()), "{always:?}");
}

#[test]
fn what_is_asked_for_comes_and_what_is_followed_goes_on() {
    let mut sim = Sim::well(plan(3, 60), 9);
    sim.run(5 * MINUTE);
    let before = sim.traces.len();
    assert!(sim.engine.ask_trace(&id(1)));
    assert!(!sim.engine.ask_trace(&id(77)));
    sim.run(SECOND);
    let (_, trace) = &sim.traces[before];
    assert_eq!((trace.check.clone(), trace.why), (id(1), TraceWhy::Asked));
    sim.engine
        .follow(&id(2), Some(std::time::Duration::from_secs(30)));
    sim.run(10 * MINUTE);
    sim.engine.follow(&id(2), None);
    sim.run(10 * MINUTE);
    let followed = sim.traces[before..]
        .iter()
        .filter(|(_, t)| t.check == id(2))
        .count();
    assert!((20..=22).contains(&followed), "{followed}");
}

#[test]
fn resolvers_that_privacy_forbids_are_left_alone() {
    let mut all = plan(1, 60);
    all.common.resolvers = vec![
        resolver("192.0.2.1", ResolverOrigin::System),
        resolver("192.0.2.2", ResolverOrigin::Default),
        resolver("192.0.2.3", ResolverOrigin::Default),
    ];
    let mut sim = Sim::new(all, |asked, wanted| {
        let mut told = told(asked.number, wanted, Seen::Ok);
        if asked.is_trace {
            let not_run = NotRun {
                reason: bellwether_model::NotRunReason::Privacy,
                detail: String::new(),
                subject: "192.0.2.3".to_owned(),
                address: None,
                via: Some(ControlVia::Resolver {
                    resolver: "192.0.2.3".to_owned(),
                }),
            };
            told.observations.push(Observation {
                probe: ProbeKind::ResolverMatrix,
                outcome: Outcome::NotRun(not_run),
                ..told.observations[0].clone()
            });
        }
        vec![(50_000, Said::Told(told))]
    });
    sim.run(20 * MINUTE);
    let traced = sim.asked.iter().find(|a| a.is_trace).unwrap().at;
    let visits = || sim.asked.iter().filter(|a| !a.is_trace);
    assert!(
        visits()
            .filter(|a| a.at < traced)
            .all(|a| a.resolver == Some(0))
    );
    assert!(visits().all(|a| a.resolver != Some(2)));
    assert!(visits().any(|a| a.resolver == Some(1)));
}

#[test]
fn what_does_not_come_back_leaves_a_row() {
    let mut sim = Sim::new(plan(20, 30), |asked, wanted| {
        if asked.aim == name(4) {
            return Vec::new();
        }
        vec![(50_000, answer(asked, wanted, Seen::Ok))]
    });
    sim.run(10 * MINUTE);
    let rows = sim.rows(4);
    assert!(rows.len() >= 19, "{}", rows.len());
    for row in rows {
        assert_eq!(row.outcome, RunOutcome::NotRun);
        assert_eq!(row.symptom.as_deref(), Some("monitor.probe_hung"));
        assert_eq!(row.layer, Some(bellwether_model::Layer::Monitor));
    }
    assert!(sim.traces.iter().all(|(_, t)| t.check != id(4)));
    assert!(sim.engine.figures().traces_lost > 0);
    assert_eq!(sim.engine.figures().bursts, 0);
}

/// Workers of which one hangs as soon as it is given a certain check: what else is under way in it
/// comes late, one by one, and what it was alone with is named.
fn poisonous(
    workers: u64,
    poison: usize,
    until: u64,
) -> impl FnMut(&Asked, &Wanted) -> Vec<(u64, Said)> {
    let mut stuck_until: BTreeMap<u64, u64> = BTreeMap::new();
    let mut repeated = 0;
    move |asked, wanted| {
        let worker = asked.number % workers;
        if asked.aim == name(poison) && asked.at < until {
            let alone = Said::Poisoned {
                number: asked.number,
                why: "it was stuck: it said nothing for 2000 ms".to_owned(),
            };
            if asked.apart {
                return vec![(2 * SECOND, alone)];
            }
            stuck_until.insert(worker, asked.at + 2 * SECOND);
            let replaced = Said::Replaced {
                why: "it was stuck".to_owned(),
                under_way: 1,
            };
            return vec![(2 * SECOND, replaced), (4 * SECOND, alone)];
        }
        let stuck = stuck_until.get(&worker).copied().unwrap_or(0);
        let after = if asked.at < stuck {
            repeated += 1;
            stuck - asked.at + 20_000 * (repeated % 100)
        } else {
            50_000
        };
        vec![(after, answer(asked, wanted, Seen::Ok))]
    }
}

#[test]
fn p08_a_poisonous_check_is_named_and_all_others_are_in_time() {
    let (count, every) = (120, 30);
    let mut by_phase: Vec<usize> = (0..count).collect();
    by_phase.sort_by_key(|n| {
        wheel::next(
            BEGIN,
            every * SECOND,
            wheel::phase(id(*n).as_str(), 0, every * SECOND),
        )
    });
    for workers in [1, 4] {
        for poison in [by_phase[0], by_phase[count / 2], by_phase[count - 1]] {
            let ends = BEGIN + 20 * MINUTE;
            let mut sim = Sim::new(plan(count, every), poisonous(workers, poison, ends));
            sim.run(40 * MINUTE);
            let context = format!("{workers} workers, check {poison}");
            let poisoned = |(_, own): &&(u64, Own)| matches!(own, Own::CheckPoisoned { check, .. } if *check == id(poison));
            let (named, _) = sim.own.iter().find(poisoned).expect(&context);
            assert!(
                *named <= BEGIN + 2 * every * SECOND,
                "{context}: {}",
                (named - BEGIN) / SECOND
            );
            let others = |(_, own): &&(u64, Own)| matches!(own, Own::CheckPoisoned { check, .. } if *check != id(poison));
            assert_eq!(sim.own.iter().find(others), None, "{context}");
            // All others have a verdict in each interval, and no row that says nothing.
            for n in (0..count).filter(|n| *n != poison) {
                assert_grid(
                    &sim.scheduled(n),
                    every * SECOND,
                    &format!("{context}: {n}"),
                );
                assert!(
                    sim.rows(n).iter().all(|r| r.outcome == RunOutcome::Ok),
                    "{context}: {n}"
                );
            }
            // The poisonous one leaves a row for each slot, and is asked apart and seldom.
            let rows = sim.rows(poison);
            assert!(rows.len() >= 78, "{context}: {}", rows.len());
            let alone = sim
                .asked
                .iter()
                .filter(|a| a.aim == name(poison) && a.at < ends);
            let (apart, among): (Vec<_>, Vec<_>) = alone.partition(|a| a.apart);
            assert!(among.len() <= 3, "{context}: {among:?}");
            assert!(
                (7..=20).contains(&apart.len()),
                "{context}: {}",
                apart.len()
            );
            let word = |row: &Run| row.symptom.as_deref().unwrap_or("ok").to_owned();
            assert_eq!(word(rows[0]), "monitor.worker_hung", "{context}");
            assert_eq!(word(rows[2]), "monitor.check_poisoned", "{context}");
            // It gets well, and is told to be.
            let well = |(_, own): &&(u64, Own)| *own == Own::CheckWell { check: id(poison) };
            assert_eq!(sim.own.iter().filter(well).count(), 1, "{context}");
            assert_eq!(word(rows[rows.len() - 1]), "ok", "{context}");
            assert_eq!(sim.engine.figures().poisoned, 0, "{context}");
        }
    }
}

#[test]
fn c04_a_lost_run_is_no_failure_of_the_target() {
    let mut sim = Sim::new(plan(10, 30), |asked, wanted| {
        if (asked.at - BEGIN) / MINUTE % 3 == 1 {
            let lost = Said::Lost {
                number: asked.number,
                reason: bellwether_model::NotRunReason::WorkerDied,
                detail: "killed".to_owned(),
            };
            return vec![(100_000, lost)];
        }
        vec![(50_000, answer(asked, wanted, Seen::Ok))]
    });
    sim.run(12 * MINUTE);
    let figures = sim.engine.figures();
    assert!(figures.runs[3] > 50 && figures.runs[0] > 100, "{figures:?}");
    assert_eq!((figures.runs[2], figures.confirms), (0, 0));
    assert!((0..10).all(|n| sim.scheduled(n).len() >= 23));
}

#[test]
fn nothing_is_lost_where_nobody_takes_it() {
    let mut sim = Sim::well(plan(300, 10), 4);
    sim.engine.harvest_max = 1000;
    sim.takes = false;
    sim.run(5 * MINUTE);
    let figures = sim.engine.figures();
    assert!(
        figures.pressed && figures.slots_pressed > 5000,
        "{figures:?}"
    );
    assert!(
        (1000..=1000 + 512).contains(&figures.harvest_waiting),
        "{figures:?}"
    );
    sim.takes = true;
    sim.run(5 * MINUTE);
    sim.assert_numbered(4);
    let figures = sim.engine.figures();
    assert!(!figures.pressed);
    assert_eq!(sim.runs.len() as u64, figures.runs.iter().sum::<u64>());
    assert!(sim.runs.len() > 1000 + 300 * 29);
}

#[test]
fn stopping_leaves_rows_of_what_was_under_way() {
    let mut sim = Sim::new(plan(50, 10), |asked, wanted| {
        let after = if asked.at > BEGIN + MINUTE {
            HOUR
        } else {
            50_000
        };
        vec![(after, answer(asked, wanted, Seen::Ok))]
    });
    sim.run(MINUTE + 3 * SECOND);
    assert!(!sim.engine.is_idle());
    sim.engine.stop();
    sim.run(SECOND);
    sim.engine.give_up();
    assert!(sim.engine.is_idle());
    sim.take();
    sim.assert_numbered(0);
    let stopped = sim
        .runs
        .iter()
        .filter(|r| r.symptom.as_deref() == Some("monitor.stopped"));
    assert!((5..=40).contains(&stopped.count()));
    assert_eq!(
        sim.runs
            .iter()
            .filter(|r| r.outcome == RunOutcome::Failed)
            .count(),
        0
    );
}

#[test]
fn a_new_job_is_told_and_the_old_one_forgotten_when_nothing_goes_by_it() {
    let mut engine = Engine::new(plan(1, 10), BEGIN, stamp(BEGIN));
    let told = |engine: &mut Engine| engine.says().map(|say| format!("{say:.12?}")).count();
    assert_eq!(told(&mut engine), 1);
    engine.plan(plan(1, 10));
    assert_eq!(told(&mut engine), 0, "the same job");
    let mut other = plan(1, 10);
    other.common.resolvers.pop();
    engine.plan(other);
    let says: Vec<Say> = engine.says().collect();
    assert!(
        matches!(&says[..], [Say::Forget(0), Say::Setting(1, _)]),
        "{says:?}"
    );
    engine.advance(BEGIN + 10 * SECOND, stamp(BEGIN));
    let says: Vec<Say> = engine.says().collect();
    let asks: Vec<u64> = says
        .iter()
        .filter_map(|say| match say {
            Say::Ask {
                number, setting: 1, ..
            } => Some(*number),
            _ => None,
        })
        .collect();
    assert!(!asks.is_empty(), "{says:?}");
    engine.plan(plan(1, 10));
    assert!(matches!(
        &engine.says().collect::<Vec<_>>()[..],
        [Say::Setting(2, _)]
    ));
    for number in asks {
        engine.lost(number, bellwether_model::NotRunReason::Limit);
    }
    let says: Vec<Say> = engine.says().collect();
    assert!(
        says.iter().any(|say| matches!(say, Say::Forget(1))),
        "{says:?}"
    );
}

#[test]
fn a_run_without_a_way_goes_to_the_other_family() {
    let mut sim = Sim::new(plan(4, 30), |asked, wanted| {
        let no_way = Seen::NotRun(bellwether_model::NotRunReason::NoRoute);
        let seen = if asked.turn.is_multiple_of(2) || asked.aim == name(3) {
            no_way
        } else {
            Seen::Ok
        };
        vec![(50_000, answer(asked, wanted, seen))]
    });
    sim.run(10 * MINUTE);
    for n in 0..3 {
        assert!(sim.rows(n).iter().all(|row| row.outcome == RunOutcome::Ok));
    }
    // Without any way it says so, after two tries.
    let rows = sim.rows(3);
    assert!(
        rows.iter()
            .all(|row| row.symptom.as_deref() == Some("monitor.no_route"))
    );
    let asked = sim
        .asked
        .iter()
        .filter(|a| !a.is_trace && a.aim == name(3))
        .count();
    assert!(
        asked.abs_diff(2 * rows.len()) <= 1,
        "{asked} for {}",
        rows.len()
    );
    sim.assert_numbered(0);
}

#[test]
fn a_run_that_failed_before_the_agent_stopped_begins_no_burst() {
    let mut sim = Sim::new(plan(5, 30), |asked, wanted| {
        vec![(SECOND, answer(asked, wanted, Seen::Nxdomain))]
    });
    while sim.asked.iter().all(|asked| asked.is_trace) {
        sim.run(SECOND / 10);
    }
    sim.engine.stop();
    sim.run(MINUTE);
    assert!(sim.engine.is_idle());
    assert!(
        sim.runs
            .iter()
            .any(|run| run.symptom.as_deref() == Some("dns.nxdomain"))
    );
    assert_eq!(sim.engine.figures().bursts, 0);
}
