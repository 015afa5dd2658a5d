//! A small part of what `truth detect` measures, as a test that fails when the figures get worse.
//! The bounds are the goals, widened by what so few trials scatter.

use super::detect::{false_alarms, flaps, judged, replayed, time_to};
use super::noise::{MINUTE, Model};
use super::world::{Kind, Shape};

const HOUR: i64 = 60 * MINUTE;

fn alone() -> Shape {
    Shape {
        vantages: 1,
        regions: 1,
        targets: 1,
        ..Shape::REFERENCE
    }
}

#[test]
fn outages_are_found_in_time() {
    // What a grey failure takes scatters most.
    for (kind, trials, median, p95) in [
        (Kind::Full, 20, 10.0, 16.0),
        (Kind::Grey(0.3), 120, 45.0, 130.0),
        (Kind::Region, 20, 42.0, 60.0),
    ] {
        let found = time_to("", Shape::REFERENCE, kind, HOUR, trials, 1);
        assert_eq!(found.missed(), 0, "{kind:?}");
        let told = (found.at(50), found.at(95));
        assert!(told.0 <= median && told.1 <= p95, "{kind:?}: {told:?}");
        // A grey failure may show in one region first; it widens later.
        let fits = matches!(kind, Kind::Grey(_)) || found.fits >= 19;
        assert!(fits, "{kind:?}: {} of 20 have the right scope", found.fits);
    }
}

#[test]
fn a_day_of_noise_raises_next_to_nothing() {
    let told = false_alarms("", Shape::REFERENCE, 51, 1);
    assert!(told.alarms <= 1, "{told:?}");
}

#[test]
fn without_noise_nothing_is_ever_raised() {
    let silent = Shape {
        model: Model::Silent,
        ..alone()
    };
    assert_eq!(false_alarms("", silent, 100, 1).alarms, 0);
}

#[test]
fn what_was_recorded_of_healthy_services_raises_nothing() {
    assert_eq!(replayed(27, 1).unwrap().alarms, 0);
}

#[test]
fn one_vantage_alone_finds_an_outage_by_its_own_burst() {
    let found = time_to("", alone(), Kind::Full, HOUR, 20, 1);
    assert_eq!(found.missed(), 0);
    // A minute until the first run at most; then four failures, two seconds apart.
    assert!(found.at(100) <= 70.0, "{}", found.at(100));
}

#[test]
fn lost_packets_alone_never_raise_anything_at_one_vantage() {
    let loss = Shape {
        model: Model::Loss,
        ..alone()
    };
    assert_eq!(false_alarms("", loss, 200, 1).alarms, 0);
}

#[test]
fn an_hour_of_flapping_is_told_of_four_times_at_most() {
    let told = flaps(Shape::REFERENCE, 2 * MINUTE, 1);
    assert!(told.iter().all(|told| (1..=4).contains(told)), "{told:?}");
}

#[test]
fn below_six_vantages_no_region_is_claimed() {
    for (vantages, networks) in [(5, 5), (5, 2), (3, 2)] {
        for kind in [Kind::Full, Kind::Region] {
            let found = time_to("", judged(vantages, networks), kind, HOUR, 10, 1);
            assert_eq!(found.groups, 0, "{kind:?} at {vantages} in {networks}");
        }
    }
    let found = time_to("", judged(12, 12), Kind::Region, HOUR, 10, 1);
    assert_eq!(found.groups, 10, "with twelve it is");
}

#[test]
fn outages_are_found_in_time_in_however_many_networks() {
    for (vantages, networks, median) in [(12, 12, 10.0), (12, 5, 10.0), (12, 2, 12.0), (5, 5, 18.0)]
    {
        let found = time_to("", judged(vantages, networks), Kind::Full, HOUR, 20, 1);
        assert_eq!(found.missed(), 0, "{vantages} in {networks}");
        let told = found.at(50);
        assert!(told <= median, "{vantages} in {networks}: {told}");
    }
}

#[test]
fn a_day_of_noise_silences_nobody_who_is_well() {
    for networks in [12, 2] {
        let told = false_alarms("", judged(12, networks), 51, 1);
        assert!(told.alarms <= 2, "{told:?}");
        assert_eq!(told.silenced[1], 0, "{told:?}");
    }
}
