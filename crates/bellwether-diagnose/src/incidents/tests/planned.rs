//! Maintenance: what fails in it is told when it is over, if it fails still.

use bellwether_model::{Cause, Report};

use super::super::{AlarmKind, Signal};
use super::stage::*;

const SHOP: &str = "shop/main";

fn refused() -> Report {
    bad(vec![
        root(Cause::NetTcpRefused, "refused").addresses(&["192.0.2.1"]),
    ])
}

fn ends() -> Report {
    let mut report = healthy();
    report.findings = vec![root(Cause::PromiseCertRotation, "ends soon").warns()];
    report
}

/// Maintenance of the shop from 10 to 100, in which it fails from 20 on.
fn fails_in_it() -> Story {
    let mut story = Story::default();
    story.push(10, Step::Planned(&["shop"]));
    for when in [20, 23, 40] {
        story.run(when, SHOP, "9.9.9.9", Some("tcp.refused"));
        story.trace(when, SHOP, &refused());
    }
    story.alarm(41, 20, SHOP);
    story
}

#[test]
fn what_fails_in_maintenance_and_is_well_after_it_is_not_told() {
    let mut story = fails_in_it();
    for when in [60, 70, 80] {
        story.run(when, SHOP, "9.9.9.9", None);
        story.trace(when, SHOP, &healthy());
    }
    story.clear(81, SHOP);
    story.push(100, Step::Planned(&[]));
    story.ticks(11, 700, 1);
    assert!(play(&story).kept.is_empty(), "{:#?}", play(&story).kept);
    assert!(play_with(&story, |_| true).kept.is_empty());
    // Without maintenance it is an incident.
    let is_plan = |step: &Step| matches!(step, Step::Planned(_));
    story.steps.retain(|(_, step)| !is_plan(step));
    assert_eq!(play(&story).only().cause, Cause::NetTcpRefused);
}

#[test]
fn what_fails_still_when_it_is_over_is_told_as_it_began() {
    let mut story = fails_in_it();
    story.run(90, SHOP, "9.9.9.9", Some("tcp.refused"));
    story.trace(90, SHOP, &refused());
    story.push(100, Step::Planned(&[]));
    story.ticks(11, 110, 1);
    for told in [play(&story), play_with(&story, |_| true)] {
        let incident = told.only();
        assert_eq!(incident.cause, Cause::NetTcpRefused);
        assert_eq!((incident.began, incident.opened), (at(20), at(100)));
        assert_eq!(told.kinds(), ["opened"]);
    }
}

#[test]
fn an_alarm_without_a_trace_waits_for_one_after_the_end() {
    let mut story = Story::default();
    story.push(10, Step::Planned(&["shop"]));
    story.run(20, SHOP, "9.9.9.9", Some("tcp.refused"));
    story.alarm(41, 20, SHOP);
    story.push(3_600, Step::Planned(&[]));
    story.ticks(3_590, 3_601, 1);
    let told = play(&story);
    assert!(told.kept.is_empty(), "{:#?}", told.kept);
    assert!(told.wanted.contains(&(at(3_600), SHOP.to_owned())));
    story.trace(3_602, SHOP, &refused());
    assert_eq!(play(&story).only().cause, Cause::NetTcpRefused);
}

#[test]
fn others_are_told_of_and_what_was_open_goes_on() {
    let mut story = Story::default();
    for when in [0, 3] {
        story.trace(when, SHOP, &refused());
    }
    story.push(10, Step::Planned(&["shop"]));
    for when in [20, 23, 40] {
        story.trace(when, SHOP, &refused());
        story.trace(when, "pay/main", &refused());
    }
    story.ticks(11, 50, 1);
    let told = play(&story);
    let checks = told.kept.values().flat_map(|i| &i.checks);
    let mut checks: Vec<_> = checks.map(|c| c.check.as_str()).collect();
    checks.sort_unstable();
    assert_eq!(checks, ["pay/main", SHOP]);
    assert!(told.kept.values().all(|i| i.cause == Cause::NetTcpRefused));
}

#[test]
fn what_is_about_to_break_is_warned_of_all_the_same() {
    let mut story = Story::default();
    story.push(10, Step::Planned(&["shop"]));
    for when in [20, 23] {
        story.trace(when, SHOP, &ends());
    }
    assert_eq!(play(&story).only().cause, Cause::PromiseCertRotation);
}

#[test]
fn what_is_slow_still_when_it_is_over_is_told() {
    let (check, vantage) = key(SHOP);
    let slow = |when| Signal::Alarm {
        check: check.clone(),
        vantage: vantage.clone(),
        kind: AlarmKind::Slow,
        since: at(when),
        layer: None,
        words: "2 s instead of 0.2 s".to_owned(),
    };
    let mut story = Story::default();
    story.push(10, Step::Planned(&["shop"]));
    story.push(20, Step::Signal(slow(15)));
    story.ticks(21, 99, 1);
    assert!(play(&story).kept.is_empty());
    story.push(100, Step::Planned(&[]));
    assert_eq!(play(&story).only().opened, at(100));
    let cleared = Signal::Clear {
        check: check.clone(),
        vantage: vantage.clone(),
        kind: AlarmKind::Slow,
    };
    story.steps.insert(40, (at(50), Step::Signal(cleared)));
    story.steps.sort_by_key(|(when, _)| *when);
    assert!(play(&story).kept.is_empty(), "over before the end");
}
