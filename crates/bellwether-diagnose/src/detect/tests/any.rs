//! What holds whatever is told, in whatever order, under whatever clock and configuration.

use std::time::Duration;

use bellwether_model::VantageId;
use bellwether_model::run::{Phases, Trigger};
use proptest::prelude::*;

use super::{
    CheckMeta, Detector, EVERY, Heard, HeardKind, Profile, Signal, TWELVE, VantageMeta, alarms, at,
    check, detector, heard, outage, place, plain, tell, visit,
};

/// A day, in seconds.
const DAY: i64 = 86_400;

/// So many checks are told of: enough that eight speak for a vantage.
const CHECKS: usize = 10;

/// Something that happens.
#[derive(Clone, Debug)]
enum Op {
    /// A result is heard of, of a run that began so many seconds ago (or will).
    Hear {
        check: usize,
        vantage: usize,
        kind: HeardKind,
        trigger: Trigger,
        ago: i64,
    },
    /// The clock is so many seconds later, or earlier.
    Clock(i64),
    /// Another interval, and other vantages: those whose bit is set.
    Configure { every: u64, vantages: u16 },
    /// The store knows what is usual.
    Profile { check: usize, vantage: usize },
}

fn kind() -> impl Strategy<Value = HeardKind> {
    prop_oneof![
        3 => Just(HeardKind::Bad),
        1 => Just(HeardKind::Unknown),
        3 => Just(plain(false)),
        3 => any::<u32>().prop_map(visit),
        1 => any::<u64>().prop_map(|total_us| HeardKind::Ok { total_us, phases: Phases::default() }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let trigger = prop_oneof![Just(Trigger::Schedule), Just(Trigger::Confirm)];
    let ago = prop_oneof![8 => Just(0), 1 => -10..300_i64];
    // The first check is heard of most, so that something comes of it.
    let number = prop_oneof![3 => Just(0), 1 => 0..CHECKS];
    let hear = (number, 0..12_usize, kind(), trigger, ago).prop_map(
        |(check, vantage, kind, trigger, ago)| Op::Hear {
            check,
            vantage,
            kind,
            trigger,
            ago,
        },
    );
    let clock = prop_oneof![
        20 => 0..10_i64,
        2 => 10..600_i64,
        1 => -7200..0_i64,
        1 => Just(DAY),
    ];
    let every = prop_oneof![
        Just(0),
        Just(1),
        Just(10),
        Just(60),
        Just(3600),
        Just(u64::MAX)
    ];
    let vantages = prop_oneof![3 => Just(0x0fff), 1 => Just(0), 1 => 0..0x1000_u16];
    prop_oneof![
        20 => hear,
        12 => clock.prop_map(Op::Clock),
        1 => (every, vantages).prop_map(|(every, vantages)| Op::Configure { every, vantages }),
        1 => (0..CHECKS, 0..12_usize).prop_map(|(check, vantage)| Op::Profile { check, vantage }),
    ]
}

fn configured(detector: &mut Detector, every: u64, vantages: u16) {
    let checks: Vec<CheckMeta> = (0..CHECKS)
        .map(|number| CheckMeta {
            every: Duration::from_secs(every),
            ..check(number)
        })
        .collect();
    let places: Vec<VantageMeta> = (0..TWELVE.len())
        .filter(|i| vantages & (1 << i) != 0)
        .map(|i| place(TWELVE[i], i % 4))
        .collect();
    detector.configure(&checks, &places);
}

fn done(detector: &mut Detector, op: &Op, now: i64) -> Vec<Signal> {
    match *op {
        Op::Hear {
            check,
            vantage,
            kind,
            trigger,
            ago,
        } => {
            let result = Heard {
                trigger,
                ..heard(check, TWELVE[vantage], now - ago, kind)
            };
            detector.step(&result, at(now))
        }
        Op::Clock(_) => Vec::new(),
        Op::Configure { every, vantages } => {
            configured(detector, every, vantages);
            Vec::new()
        }
        Op::Profile {
            check: number,
            vantage,
        } => {
            let profile = Profile::of_percentiles(40e3, 50e3, 60e3, 90e3).unwrap();
            let vantage = VantageId::new(TWELVE[vantage]);
            detector.profile(&check(number).id, &vantage, profile);
            Vec::new()
        }
    }
}

proptest! {
    #[test]
    fn nothing_panics_and_no_restart_is_noticed(
        ops in proptest::collection::vec(op(), 1..400),
        cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(ops.len());
        let mut now = 0;
        let mut setting = (EVERY, 0x0fff);
        let mut before = Detector::default();
        configured(&mut before, setting.0, setting.1);
        let mut after = None;
        for (i, op) in ops.iter().enumerate() {
            if i == cut {
                let mut restored = Detector::default();
                configured(&mut restored, setting.0, setting.1);
                restored.restore(&before.checkpoint()).unwrap();
                after = Some(restored);
            }
            match *op {
                Op::Clock(by) => now += by,
                Op::Configure { every, vantages } => setting = (every, vantages),
                Op::Hear { .. } | Op::Profile { .. } => {}
            }
            let told = done(&mut before, op, now);
            if let Some(after) = &mut after {
                prop_assert_eq!(told, done(after, op, now));
            }
        }
        let after = after.expect("the cut lies within");
        prop_assert_eq!(before.checkpoint(), after.checkpoint());
    }

    #[test]
    fn alarms_and_ends_take_turns(ops in proptest::collection::vec(op(), 1..400)) {
        let mut now = 0;
        let mut detector = Detector::default();
        configured(&mut detector, EVERY, 0x0fff);
        let (mut open, mut slow) = ([false; CHECKS], [false; CHECKS]);
        for op in &ops {
            if let Op::Clock(by) = op {
                now += by;
            }
            for signal in done(&mut detector, op, now) {
                let number = (0..CHECKS).find(|&i| check(i).id == *signal.check()).unwrap();
                match signal {
                    Signal::Alarm(_) => prop_assert!(!std::mem::replace(&mut open[number], true)),
                    Signal::Clear { .. } => {
                        prop_assert!(std::mem::replace(&mut open[number], false));
                    }
                    Signal::Widened(_) => prop_assert!(open[number]),
                    Signal::SlowAlarm(_) => slow[number] = true,
                    Signal::SlowClear { .. } => {
                        prop_assert!(std::mem::replace(&mut slow[number], false));
                    }
                    Signal::Suspect { vantages, .. } => prop_assert!(!vantages.is_empty()),
                    Signal::Flapping { .. } => {}
                }
            }
            for (number, open) in open.iter().enumerate() {
                prop_assert_eq!(detector.is_open(&check(number).id), *open);
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_adds_nothing(
        bad in proptest::collection::vec(any::<bool>(), 1..60),
        back in 1..7200_i64,
    ) {
        let mut detector = detector(1, &TWELVE);
        for vantage in TWELVE {
            tell(&mut detector, vantage, 0, false);
        }
        let before = detector.checkpoint();
        for (&bad, vantage) in bad.iter().zip(TWELVE.iter().cycle()) {
            prop_assert_eq!(tell(&mut detector, vantage, -back, bad), vec![]);
        }
        prop_assert_eq!(before, detector.checkpoint());
    }
}

#[test]
fn a_day_of_silence_ends_nothing_and_begins_nothing() {
    let mut detector = detector(1, &TWELVE);
    outage(&mut detector, 0, 5, false);
    // What failed before the gap is no evidence after it.
    assert!(alarms(&tell(&mut detector, "a", 300, true)).is_empty());
    assert!(alarms(&tell(&mut detector, "b", 305, true)).is_empty());
    assert!(alarms(&tell(&mut detector, "c", 300 + DAY, true)).is_empty());
    assert!(alarms(&tell(&mut detector, "d", 305 + DAY, true)).is_empty());
    outage(&mut detector, 310 + DAY, 5, false);
    assert_eq!(
        alarms(&outage(&mut detector, 700 + DAY, 5, true)).len(),
        1,
        "a real one is found as ever"
    );
    assert!(detector.is_open(&check(0).id));
    let healed = outage(&mut detector, 1000 + 2 * DAY, 10, false);
    let cleared = [Signal::Clear {
        check: check(0).id,
        at: at(1000 + 2 * DAY),
    }];
    assert_eq!(healed, cleared);
}

#[test]
fn another_interval_repeats_no_alarm_and_still_ends_it() {
    let mut detector = detector(1, &TWELVE);
    outage(&mut detector, 0, 5, true);
    let places: Vec<VantageMeta> = (0..TWELVE.len()).map(|i| place(TWELVE[i], i % 4)).collect();
    for (from, every) in [(300, 10), (600, 3600)] {
        let changed = CheckMeta {
            every: Duration::from_secs(every),
            ..check(0)
        };
        detector.configure(&[changed], &places);
        assert_eq!(outage(&mut detector, from, 5, true), vec![]);
    }
    detector.configure(&[check(0)], &places);
    let healed = outage(&mut detector, 900, 10, false);
    assert!(matches!(healed[..], [Signal::Clear { .. }]), "{healed:?}");
}

#[test]
fn vantages_that_all_go_and_come_back_leave_the_alarm_and_let_it_end() {
    let mut detector = detector(1, &TWELVE);
    outage(&mut detector, 0, 5, true);
    let places: Vec<VantageMeta> = (0..TWELVE.len()).map(|i| place(TWELVE[i], i % 4)).collect();
    detector.configure(&[check(0)], &[]);
    assert_eq!(tell(&mut detector, "a", 301, false), vec![]);
    assert_eq!(detector.evidence(&check(0).id), vec![]);
    assert!(detector.is_open(&check(0).id));
    detector.configure(&[check(0)], &places);
    assert_eq!(detector.evidence(&check(0).id).len(), 12);
    let healed = outage(&mut detector, 310, 10, false);
    assert!(matches!(healed[..], [Signal::Clear { .. }]), "{healed:?}");
}

#[test]
fn a_lone_failure_is_asked_about_four_times() {
    let mut detector = detector(1, &TWELVE);
    outage(&mut detector, 0, 5, false);
    let mut signals = tell(&mut detector, "a", 301, true);
    let mut visits = 0;
    while let Some(Signal::Suspect { vantages, .. }) = signals.first() {
        visits += 1;
        let seconds = 301 + 2 * visits;
        let well = Heard {
            trigger: Trigger::Confirm,
            ..heard(0, vantages[0].as_str(), seconds, plain(false))
        };
        signals = detector.step(&well, at(seconds));
    }
    assert_eq!((visits, signals), (4, vec![]));
}

/// So many checks at one vantage, all slow after 200 minutes, or the first alone; what is told of it.
fn slowed(checks: usize, all: bool) -> Vec<Signal> {
    let mut detector = detector(checks, &["local"]);
    let mut told = Vec::new();
    for minute in 0..260 {
        // The judged one comes last, as one of a minute's turn.
        for number in (0..checks).rev() {
            let seconds = 60 * minute + i64::try_from(checks - number).unwrap();
            let slow = minute >= 200 && (all || number == 0);
            let us = if slow { 160_000 } else { 50_000 };
            let us = us + u32::try_from(minute % 7).unwrap() * 500;
            let result = heard(number, "local", seconds, visit(us));
            told.extend(detector.step(&result, at(seconds)));
        }
    }
    told
}

#[test]
fn what_all_targets_of_a_vantage_lose_is_its_paths() {
    assert!(matches!(slowed(12, false)[..], [Signal::SlowAlarm(_)]));
    assert_eq!(slowed(12, true), vec![]);
    // Two cannot tell whose it is: both are told of.
    assert_eq!(slowed(2, true).len(), 2);
}

#[test]
fn what_is_slow_now_and_then_by_custom_is_not_slow() {
    let mut detector = detector(1, &TWELVE);
    let mut rng = fastrand::Rng::with_seed(1);
    let mut told = Vec::new();
    for (i, vantage) in (0..3 * DAY / 5).zip(TWELVE.iter().cycle()) {
        // One in five misses a cache.
        let us = if rng.u32(0..5) == 0 { 900_000 } else { 30_000 };
        let result = heard(0, vantage, 5 * i, visit(us + rng.u32(0..9_000)));
        told.extend(detector.step(&result, at(5 * i)));
    }
    assert_eq!(told, vec![]);
}
