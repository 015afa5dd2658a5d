//! When runs begin: grids, clocks that jump, plans that change, limits.

use super::*;

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
