//! What holds for every sequence of results, and what one story of each kind comes to.

mod any;

use std::time::Duration;

use bellwether_model::run::{Phases, Trigger};
use bellwether_model::{CheckId, VantageId};
use jiff::Timestamp;
use proptest::prelude::*;

use super::cusum;
use super::{
    Alarm, CheckMeta, Detector, Grade, Heard, HeardKind, Profile, Signal, SlowEnd, VantageMeta,
    stamp,
};

const BEGIN: i64 = 1_700_000_000;
const EVERY: u64 = 60;

fn at(seconds: i64) -> Timestamp {
    stamp((BEGIN + seconds) * super::SECOND)
}

fn check(number: usize) -> CheckMeta {
    let id = CheckId::new(&format!("service-{number}"), "main");
    CheckMeta {
        every: Duration::from_secs(EVERY),
        depends: vec![id.service().to_owned()],
        id,
        vantages: Vec::new(),
        canary: false,
    }
}

fn place(name: &str, region: usize) -> VantageMeta {
    VantageMeta {
        id: VantageId::new(name),
        region: Some(format!("region-{region}")),
        asn: None,
        country: None,
    }
}

/// So many checks, at vantages of these names, spread over four regions.
fn detector(checks: usize, names: &[&str]) -> Detector {
    let checks: Vec<CheckMeta> = (0..checks).map(check).collect();
    let places: Vec<VantageMeta> = (0..)
        .zip(names)
        .map(|(i, name)| place(name, i % 4))
        .collect();
    let mut detector = Detector::default();
    detector.configure(&checks, &places);
    detector
}

const TWELVE: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

fn heard(number: usize, vantage: &str, seconds: i64, kind: HeardKind) -> Heard {
    Heard {
        check: check(number).id,
        vantage: VantageId::new(vantage),
        at: at(seconds),
        kind,
        trigger: Trigger::Schedule,
    }
}

fn plain(bad: bool) -> HeardKind {
    if bad {
        HeardKind::Bad
    } else {
        HeardKind::Ok {
            total_us: 0,
            phases: Phases::default(),
        }
    }
}

fn tell(detector: &mut Detector, vantage: &str, seconds: i64, bad: bool) -> Vec<Signal> {
    detector.step(&heard(0, vantage, seconds, plain(bad)), at(seconds))
}

fn alarm(signal: &Signal) -> Option<&Alarm> {
    match signal {
        Signal::Alarm(alarm) => Some(alarm),
        Signal::Suspect { .. }
        | Signal::Widened(_)
        | Signal::Clear { .. }
        | Signal::SlowAlarm(_)
        | Signal::SlowClear { .. }
        | Signal::Flapping { .. } => None,
    }
}

fn alarms(signals: &[Signal]) -> Vec<&Alarm> {
    signals.iter().filter_map(alarm).collect()
}

/// Results five seconds apart: which vantage, and whether it failed.
fn results(most: usize) -> impl Strategy<Value = Vec<(usize, bool)>> {
    proptest::collection::vec((0..12_usize, proptest::bool::weighted(0.4)), 1..most)
}

fn play(detector: &mut Detector, results: &[(usize, bool)], names: &[&str]) -> Vec<Signal> {
    let step =
        |(i, &(vantage, bad)): (i64, &(usize, bool))| tell(detector, names[vantage], 5 * i, bad);
    (0..).zip(results).flat_map(step).collect()
}

proptest! {
    #[test]
    fn names_of_vantages_change_nothing(results in results(80), shift in 0..12_usize) {
        let mut renamed = TWELVE;
        renamed.rotate_left(shift);
        let before = play(&mut detector(1, &TWELVE), &results, &TWELVE);
        let after = play(&mut detector(1, &renamed), &results, &renamed);
        let told = |signals: &[Signal], names: [&str; 12]| {
            let place = |id: &VantageId| names.iter().position(|n| *n == id.as_str());
            let told = |alarm: &&Alarm| {
                let mut places: Vec<_> = alarm.vantages.iter().map(place).collect();
                places.sort_unstable();
                (alarm.onset, alarm.channel.clone(), places, alarm.score.to_bits())
            };
            alarms(signals).iter().map(told).collect::<Vec<_>>()
        };
        prop_assert_eq!(told(&before, TWELVE), told(&after, renamed));
    }

    #[test]
    fn the_order_across_vantages_changes_no_sum(results in results(40)) {
        let events: Vec<(i64, usize, bool)> =
            (0..).zip(&results).map(|(i, &(v, bad))| (5 * i, v, bad)).collect();
        let mut by_vantage = events.clone();
        by_vantage.sort_by_key(|&(_, vantage, _)| vantage);
        let now = at(5 * 40);
        let sums = |events: &[(i64, usize, bool)]| {
            let mut detector = detector(1, &TWELVE);
            let mut raised = false;
            for &(seconds, vantage, bad) in events {
                let result = heard(0, TWELVE[vantage], seconds, plain(bad));
                raised |= !alarms(&detector.step(&result, now)).is_empty();
            }
            (raised, detector.evidence(&check(0).id))
        };
        let (first, second) = (sums(&events), sums(&by_vantage));
        // What belongs to an incident is not learned, so that an alarm may change later sums.
        prop_assume!(!first.0 && !second.0);
        prop_assert_eq!(first.1, second.1);
    }

    #[test]
    fn one_more_failure_never_lowers_the_sum(
        mut bad in proptest::collection::vec(any::<bool>(), 1..40),
        flip in any::<prop::sample::Index>(),
        q0 in 0.005..0.97_f64,
    ) {
        let sum = |bad: &[bool]| {
            bad.iter().fold(0, |sum, &bad| cusum::add(sum, cusum::evidence(q0, bad), 9000))
        };
        let before = sum(&bad);
        let flip = flip.index(bad.len());
        bad[flip] = true;
        prop_assert!(sum(&bad) >= before);
    }

    #[test]
    fn unknown_is_never_evidence(results in results(60)) {
        let mut told = detector(1, &TWELVE);
        play(&mut told, &results, &TWELVE);
        let before = told.checkpoint();
        for (i, vantage) in (0..).zip(TWELVE.iter().cycle().take(60)) {
            let result = heard(0, vantage, 300 + i, HeardKind::Unknown);
            prop_assert_eq!(told.step(&result, at(300 + i)), vec![]);
        }
        prop_assert_eq!(before, told.checkpoint());
    }

    #[test]
    fn a_restart_changes_nothing(results in results(200), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(results.len());
        let mut before = detector(1, &TWELVE);
        play(&mut before, &results[..cut], &TWELVE);
        let mut after = detector(1, &TWELVE);
        prop_assert_eq!(after.restore(&before.checkpoint()).unwrap(), 1);
        for (i, &(vantage, bad)) in (0..).zip(&results).skip(cut) {
            prop_assert_eq!(
                tell(&mut before, TWELVE[vantage], 5 * i, bad),
                tell(&mut after, TWELVE[vantage], 5 * i, bad)
            );
        }
        prop_assert_eq!(before.checkpoint(), after.checkpoint());
    }

    #[test]
    fn bytes_that_are_no_checkpoint_are_refused(bytes in any::<Vec<u8>>()) {
        prop_assert!(detector(1, &TWELVE).restore(&bytes).is_err());
    }
}

/// Alone, with others that are well or not.
fn alone(others: usize, others_fail: bool) -> Vec<Signal> {
    let mut detector = detector(1 + others, &["local"]);
    for other in 1..=others {
        let seconds = i64::try_from(other).unwrap();
        let result = heard(other, "local", seconds, plain(others_fail));
        detector.step(&result, at(seconds));
    }
    (0..4)
        .flat_map(|i| tell(&mut detector, "local", 30 + 2 * i, true))
        .collect()
}

#[test]
fn one_vantage_asks_again_and_alarms_with_a_caveat() {
    let signals = alone(0, false);
    let Some(Signal::Suspect {
        vantages, since, ..
    }) = signals.first()
    else {
        panic!("no burst: {signals:?}");
    };
    assert_eq!((vantages.len(), *since), (5, at(30)));
    let alarms = alarms(&signals);
    assert_eq!(alarms.len(), 1, "{signals:?}");
    assert_eq!(alarms[0].onset, at(30));
    assert!(
        alarms[0]
            .caveat
            .is_some_and(|caveat| caveat.contains("one vantage"))
    );
}

#[test]
fn canaries_that_are_well_take_the_caveat_away() {
    let signals = alone(8, false);
    assert_eq!(alarms(&signals).len(), 1);
    assert_eq!(alarms(&signals)[0].caveat, None);
}

#[test]
fn canaries_that_fail_excuse_the_target() {
    assert_eq!(alone(8, true), vec![], "neither a burst nor an alarm");
}

#[test]
fn three_failures_in_a_row_are_not_enough_for_one_vantage() {
    let mut detector = detector(1, &["local"]);
    let signals: Vec<Signal> = (0..4)
        .flat_map(|i| tell(&mut detector, "local", 2 * i, i < 3))
        .collect();
    assert!(alarms(&signals).is_empty(), "{signals:?}");
}

/// All twelve fail at once, then all are well, ten minutes each; five seconds apart.
fn outage(detector: &mut Detector, from: i64, minutes: i64, bad: bool) -> Vec<Signal> {
    (0..minutes * 12)
        .zip(TWELVE.iter().cycle())
        .flat_map(|(i, vantage)| tell(detector, vantage, from + 5 * i, bad))
        .collect()
}

#[test]
fn an_outage_is_told_once_and_cleared_once() {
    let mut detector = detector(1, &TWELVE);
    outage(&mut detector, 0, 5, false);
    let signals = outage(&mut detector, 300, 10, true);
    assert_eq!(alarms(&signals).len(), 1);
    assert_eq!(alarms(&signals)[0].onset, at(300));
    let healed = outage(&mut detector, 900, 10, false);
    assert_eq!(
        healed,
        vec![Signal::Clear {
            check: check(0).id,
            at: at(900)
        }]
    );
    assert!(!detector.is_open(&check(0).id));
}

#[test]
fn a_restart_within_an_incident_repeats_nothing_and_ends_nothing() {
    let mut before = detector(1, &TWELVE);
    outage(&mut before, 0, 5, true);
    let saved = before.checkpoint_of(&check(0).id).unwrap();
    let mut after = detector(1, &TWELVE);
    after.restore(&saved).unwrap();
    // An hour later it fails on; one success is no recovery.
    assert_eq!(outage(&mut after, 3900, 5, true), vec![]);
    assert_eq!(tell(&mut after, "a", 4205, false), vec![]);
    assert!(after.is_open(&check(0).id));
}

#[test]
fn silence_is_no_recovery() {
    let mut detector = detector(1, &TWELVE);
    outage(&mut detector, 0, 5, true);
    // Eleven vantages fall silent; one is well, for eight minutes.
    let healed: Vec<Signal> = (0..8)
        .flat_map(|i| tell(&mut detector, "a", 305 + 60 * i, false))
        .collect();
    assert_eq!(healed, vec![]);
}

#[test]
fn a_regions_outage_is_the_regions() {
    let mut detector = detector(1, &TWELVE);
    outage(&mut detector, 0, 5, false);
    let region = |vantage: &str| ["a", "e", "i"].contains(&vantage);
    let signals: Vec<Signal> = (0..36)
        .zip(TWELVE.iter().cycle())
        .flat_map(|(i, vantage)| tell(&mut detector, vantage, 300 + 5 * i, region(vantage)))
        .collect();
    let alarms = alarms(&signals);
    assert_eq!(alarms.len(), 1, "{signals:?}");
    let group = super::Group::Region("region-0".into());
    assert_eq!(alarms[0].channel, super::Channel::Group(group));
    assert_eq!(alarms[0].vantages.len(), 3);
}

#[test]
fn what_is_late_or_from_the_future_or_repeated_changes_nothing() {
    let mut detector = detector(1, &TWELVE);
    tell(&mut detector, "a", 600, false);
    let before = detector.checkpoint();
    for seconds in [600, 400, 601 + 60] {
        let result = heard(0, "a", seconds, HeardKind::Bad);
        assert_eq!(detector.step(&result, at(601)), vec![]);
    }
    let late = heard(0, "b", 600 - 200, HeardKind::Bad);
    assert_eq!(detector.step(&late, at(601)), vec![]);
    assert_eq!(before, detector.checkpoint());
}

#[test]
fn a_new_configuration_keeps_what_stays() {
    let mut detector = detector(1, &TWELVE);
    outage(&mut detector, 0, 5, true);
    let places: Vec<VantageMeta> = (0..3).map(|i| place(TWELVE[i], i)).collect();
    detector.configure(&[check(7), check(0)], &places);
    assert!(detector.is_open(&check(0).id) && !detector.is_open(&check(7).id));
    assert_eq!(detector.evidence(&check(0).id).len(), 3);
    detector.configure(&[check(7)], &places);
    assert!(!detector.is_open(&check(0).id));
}

/// A visit that waits so long for the first byte, and 50 ms for the rest.
fn visit(first_byte_us: u32) -> HeardKind {
    let phases = Phases {
        dns: Some(10_000),
        connect: Some(40_000),
        first_byte: Some(first_byte_us),
        ..Phases::default()
    };
    HeardKind::Ok {
        total_us: phases.total(),
        phases,
    }
}

fn visits(detector: &mut Detector, minutes: std::ops::Range<i64>, us: u32) -> Vec<Signal> {
    minutes
        .flat_map(|minute| {
            let us = us + u32::try_from(minute % 7).unwrap() * 500;
            detector.step(&heard(0, "local", 60 * minute, visit(us)), at(60 * minute))
        })
        .collect()
}

#[test]
fn slowness_names_its_phase_and_becomes_normal_after_a_day() {
    let mut detector = detector(1, &["local"]);
    assert_eq!(visits(&mut detector, 0..200, 50_000), vec![]);
    let signals = visits(&mut detector, 200..230, 400_000);
    let [Signal::SlowAlarm(slow)] = &signals[..] else {
        panic!("{signals:?}")
    };
    assert_eq!(
        (slow.phase, slow.grade),
        (Some("first_byte"), Grade::Warning)
    );
    assert_eq!(slow.since, at(200 * 60));
    let day = visits(&mut detector, 230..200 + 1442, 400_000);
    let [Signal::SlowClear { why, .. }] = &day[..] else {
        panic!("{day:?}")
    };
    assert_eq!(*why, SlowEnd::NewNormal);
    assert_eq!(visits(&mut detector, 1642..2000, 400_000), vec![]);
}

#[test]
fn slowness_ends_when_it_is_fast_again() {
    let mut detector = detector(1, &["local"]);
    visits(&mut detector, 0..200, 50_000);
    visits(&mut detector, 200..230, 400_000);
    let signals = visits(&mut detector, 230..300, 50_000);
    let [Signal::SlowClear { why, .. }] = &signals[..] else {
        panic!("{signals:?}")
    };
    assert_eq!(*why, SlowEnd::Recovered);
}

#[test]
fn what_is_not_felt_is_not_slow() {
    let mut detector = detector(1, &["local"]);
    let quick = |us: u64| HeardKind::Ok {
        total_us: us,
        phases: Phases::default(),
    };
    for minute in 0..400 {
        let kind = quick(if minute < 200 { 300 + minute % 7 } else { 3000 });
        let seconds = 60 * i64::try_from(minute).unwrap();
        assert_eq!(
            detector.step(&heard(0, "local", seconds, kind), at(seconds)),
            vec![]
        );
    }
}
