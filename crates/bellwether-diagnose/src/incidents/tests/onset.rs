//! What is under way when it breaks: a first look that mixes before and after opens nothing alone.

use bellwether_model::incident::IncidentState;
use bellwether_model::report::Report;
use bellwether_model::{Cause, Verdict};

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
    story.ticks(11, 60, 1);
    assert!(play(&story).kept.is_empty(), "traces may still come");
    story.ticks(61, 90, 1);
    let told = play(&story);
    assert_eq!(told.only().state, IncidentState::Open);
    assert_eq!(told.only().began, at(0));
}
