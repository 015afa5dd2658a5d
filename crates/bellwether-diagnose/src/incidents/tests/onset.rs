//! What is under way when it breaks: a first look that mixes before and after opens nothing alone.

use bellwether_model::incident::IncidentState;
use bellwether_model::{Cause, Layer, Report, Verdict};

use super::stage::*;

const SHOP: &str = "shop/main";

fn refused() -> Report {
    bad(vec![
        root(Cause::NetTcpRefused, "refused").addresses(&["192.0.2.1"]),
    ])
}

/// Broken, and no rule says why.
fn unexplained() -> Report {
    bad(vec![])
}

fn our_resolver() -> Report {
    let mut report = bad(vec![
        root(Cause::MonitorVantageResolver, "ours").resolvers(&["192.0.2.53"]),
    ]);
    report.verdict = Verdict::Unknown;
    report
}

#[test]
fn an_unexplained_trace_and_an_alarm_wait_for_the_next_trace() {
    let mut story = Story::default();
    story.trace(0, SHOP, &unexplained());
    story.alarm(1, 0, SHOP);
    let told = play(&story);
    assert!(told.kept.is_empty(), "{:#?}", told.kept);
    assert!(told.wanted.iter().any(|(when, _)| *when == at(1)));

    story.trace(3, SHOP, &refused());
    let told = play(&story);
    assert_eq!(told.only().cause, Cause::NetTcpRefused);
    assert_eq!(told.only().began, at(0), "it began when it was first seen");
    assert_eq!(told.kinds(), ["opened"], "nothing had to be taken back");
}

#[test]
fn a_fault_of_our_own_that_breaks_a_trace_under_way_is_ours_alone() {
    let mut story = Story::default();
    story.trace(0, SHOP, &unexplained());
    story.alarm(1, 0, SHOP);
    story.trace(3, SHOP, &our_resolver());
    story.trace(6, SHOP, &our_resolver());
    story.ticks(7, 600, 10);
    let told = play(&story);
    assert_eq!(told.only().cause, Cause::MonitorVantageResolver);
}

#[test]
fn a_trace_begun_before_the_first_failing_round_needs_another() {
    let mut story = Story::default();
    story.trace(
        0,
        SHOP,
        &bad(vec![root(Cause::NetTcpFiltered, "half of it was seen")]),
    );
    story.alarm(5, 2, SHOP);
    assert!(play(&story).kept.is_empty());
    story.trace(6, SHOP, &refused());
    assert_eq!(play(&story).only().cause, Cause::NetTcpRefused);
}

#[test]
fn what_no_rule_explains_twice_is_told_as_that() {
    let mut story = Story::default();
    story.trace(0, SHOP, &unexplained());
    story.alarm(1, 0, SHOP);
    story.trace(3, SHOP, &unexplained());
    assert_eq!(play(&story).only().cause, Cause::Unknown);
}

#[test]
fn an_alarm_that_no_trace_comes_to_explain_is_told_all_the_same() {
    let mut story = Story::default();
    for round in 0..20 {
        story.run(round * 5, SHOP, "192.0.2.53", Some("connection refused"));
    }
    story.alarm(10, 0, SHOP);
    story.ticks(11, 125, 1);
    assert!(play(&story).kept.is_empty(), "traces may still come");
    story.ticks(126, 140, 1);
    let told = play(&story);
    assert_eq!(told.only().state, IncidentState::Open);
    assert_eq!(told.only().began, at(0));
}

#[test]
fn what_fails_now_and_then_under_healthy_traces_is_no_healing() {
    let mut story = Story::default();
    for round in 0..60 {
        let symptom = (round % 3 == 0).then_some("connection refused");
        story.run(round * 5, SHOP, "192.0.2.53", symptom);
    }
    story.alarm(31, 0, SHOP);
    story.trace(32, SHOP, &healthy());
    story.trace(36, SHOP, &healthy());
    story.ticks(40, 290, 5);
    let told = play(&story);
    assert_eq!(told.only().state, IncidentState::Open, "the alarm stands");
    assert_eq!(told.kinds(), ["opened"]);
}

#[test]
fn one_checks_poison_blinds_us_to_that_check_alone() {
    const OTHER: &str = "other/main";
    let mut poison = bad(vec![root(Cause::MonitorCheckPoisoned, "it kills workers")]);
    poison.verdict = Verdict::Unknown;
    let mut story = Story::default();
    story.trace(0, OTHER, &poison);
    story.trace(3, OTHER, &poison);
    for check in [SHOP, OTHER] {
        story.run(5, check, "192.0.2.53", Some("connection refused"));
        story.alarm(8, 5, check);
        story.run(9, check, "192.0.2.53", Some("connection refused"));
        story.trace(10, check, &healthy());
        story.trace(11, check, &healthy());
        story.run(12, check, "192.0.2.53", Some("connection refused"));
        story.trace(13, check, &healthy());
    }
    story.ticks(20, 200, 5);
    let told = play(&story);
    let faults = told.kept.values().filter(|i| i.layer != Layer::Monitor);
    let checks: Vec<_> = faults.flat_map(|i| &i.checks).map(|c| &c.check).collect();
    assert_eq!(checks, [SHOP]);
}

#[test]
fn what_no_rule_explained_before_we_found_ourselves_at_fault_was_that() {
    let mut story = Story::default();
    story.trace(0, SHOP, &unexplained());
    story.alarm(1, 0, SHOP);
    story.trace(3, SHOP, &unexplained());
    assert_eq!(play(&story).only().cause, Cause::Unknown);
    story.trace(6, SHOP, &our_resolver());
    story.trace(9, SHOP, &our_resolver());
    story.ticks(10, 60, 5);
    let told = play(&story);
    let is_open = |i: &&bellwether_model::Incident| i.state == IncidentState::Open;
    let open: Vec<_> = told.kept.values().filter(is_open).collect();
    assert_eq!(open.len(), 1, "{open:#?}");
    assert_eq!(open[0].cause, Cause::MonitorVantageResolver);
    // Once we see again and it still fails, it is told.
    story.trace(100, SHOP, &healthy());
    story.trace(103, SHOP, &healthy());
    story.ticks(104, 600, 5);
    story.run(601, SHOP, "192.0.2.53", Some("connection refused"));
    story.trace(602, SHOP, &refused());
    story.trace(605, SHOP, &refused());
    let told = play(&story);
    let open: Vec<_> = told.kept.values().filter(is_open).collect();
    assert_eq!(open.len(), 1, "{open:#?}");
    assert_eq!(open[0].cause, Cause::NetTcpRefused);
}
