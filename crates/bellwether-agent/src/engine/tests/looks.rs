//! What is looked at again: bursts that confirm, traces, other resolvers and families.

use std::cell::RefCell;
use std::rc::Rc;

use bellwether_model::Brief;
use bellwether_probe::worker::Judged;

use super::*;

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

/// Once it is known how a check looks, its records are wanted no more: neither those of one that is well,
/// nor, for ten minutes, those of one that goes on failing as it did.
#[test]
fn records_of_what_is_usual_are_not_wanted() {
    let fails_at = BEGIN + 10 * MINUTE;
    let wants = Rc::new(RefCell::new(Vec::new()));
    let noted = wants.clone();
    let mut sim = Sim::new(plan(1, 60), move |asked, wanted| {
        let fails = asked.at >= fails_at;
        let seen = if fails { Seen::Refused } else { Seen::Ok };
        if let Wanted::Visit {
            ask,
            usual: Some(usual),
            ..
        } = wanted
        {
            let records = crate::testing::told(asked.number, wanted, seen).observations;
            let look = crate::judge(ask, records, Timestamp::UNIX_EPOCH).0.look();
            noted
                .borrow_mut()
                .push((asked.at, fails, !usual.contains(&look)));
        }
        vec![(50_000, answer(asked, wanted, seen))]
    });
    sim.run(45 * MINUTE);
    let wants = wants.borrow();
    let well: Vec<bool> = wants.iter().filter(|w| !w.1).map(|w| w.2).collect();
    assert!(
        well[0] && well[1..].iter().all(|is_wanted| !is_wanted),
        "{well:?}"
    );
    let failing: Vec<u64> = wants.iter().filter(|w| w.1 && w.2).map(|w| w.0).collect();
    // What was asked for meanwhile is wanted too: the first of a burst.
    let shown: Vec<u64> = sim.shown.iter().map(|shown| due(&shown.run)).collect();
    assert!(
        shown.len() >= 3 && failing.len() <= shown.len() + 1,
        "{failing:?} {shown:?}"
    );
}

#[test]
fn what_none_of_our_code_would_say_leaves_an_unknown_row() {
    let mut sim = Sim::new(plan(1, 60), |asked, wanted| {
        let mut said = vec![(50_000, answer(asked, wanted, Seen::Ok))];
        for (_, said) in &mut said {
            if !asked.is_trace {
                *said = Said::Judged(Judged {
                    number: asked.number,
                    queries: 0,
                    brief: Brief {
                        outcome: RunOutcome::Failed,
                        ..Brief::unknown("<script>".into())
                    },
                    records: None,
                });
            }
        }
        said
    });
    sim.run(5 * MINUTE);
    assert!(sim.runs.len() >= 4);
    for run in &sim.runs {
        assert_eq!(run.outcome, RunOutcome::NotRun);
        assert_eq!(run.symptom.as_deref(), Some("monitor.worker_died"));
    }
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
        let mut told = crate::testing::told(asked.number, wanted, Seen::Ok);
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

/// Somebody elsewhere sees a check fail: one run more, at once, and no more than one at a time.
#[test]
fn a_run_that_others_ask_for_comes_at_once() {
    let mut sim = Sim::well(plan(3, 60), 5);
    sim.run(3 * MINUTE);
    let before = sim.runs.len();
    for _ in 0..10 {
        assert!(sim.engine.ask_confirm(&id(1)));
    }
    assert!(!sim.engine.ask_confirm(&id(99)));
    sim.run(SECOND);
    let confirms: Vec<&Run> = sim.runs[before..]
        .iter()
        .filter(|run| run.trigger == Trigger::Confirm)
        .collect();
    assert_eq!(confirms.len(), 1);
    assert_eq!(confirms[0].check, id(1));
    // The next one is one more again, and those that are due lie where they lay.
    assert!(sim.engine.ask_confirm(&id(1)));
    sim.run(3 * MINUTE);
    let of = |trigger| {
        let all = sim.runs.iter().filter(|run| run.trigger == trigger);
        all.filter(|run| run.check == id(1)).count()
    };
    assert_eq!((of(Trigger::Confirm), of(Trigger::Schedule)), (2, 6));
}
