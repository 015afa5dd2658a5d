//! What does not come back, and how an agent ends.

use super::*;

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

#[test]
fn a_check_that_asks_another_thing_is_told_to_be_well() {
    let ends = BEGIN + 20 * MINUTE;
    let mut sim = Sim::new(plan(4, 30), poisonous(2, 1, ends));
    sim.run(5 * MINUTE);
    assert_eq!(sim.engine.figures().poisoned, 1);
    let mut next = plan(4, 30);
    next.checks[1].ask = planned(7, 30).ask;
    sim.plan(next);
    sim.run(MINUTE);
    let well = |(_, own): &&(u64, Own)| *own == Own::CheckWell { check: id(1) };
    assert_eq!(sim.own.iter().filter(well).count(), 1);
    assert_eq!(sim.engine.figures().poisoned, 0);
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
