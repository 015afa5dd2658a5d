//! Several checks, and what comes and goes.

use bellwether_model::incident::{IncidentState, MomentKind};
use bellwether_model::{Cause, Verdict};

use super::super::*;
use super::stage::*;

/// A service whose name server fails.
fn ns_down(server: &str) -> bellwether_model::Report {
    bad(vec![
        root(Cause::DnsAuthUnresponsive, &format!("{server} is silent")).servers(&[server]),
    ])
}

/// Two services on name servers of one operator, and a third elsewhere.
pub(super) fn operators() -> Story {
    let mut story = Story::default();
    for when in [0, 5] {
        story.trace(when, "shop/main", &ns_down("ns1.dns.example.@192.0.2.1"));
        story.trace(when, "blog/main", &ns_down("ns7.dns.example.@192.0.2.7"));
        story.trace(when, "wiki/main", &ns_down("ns1.other.test.@198.51.100.1"));
    }
    story
}

#[test]
fn services_on_one_operators_name_servers_have_one_incident_and_others_their_own() {
    let told = play(&operators());
    assert_eq!(told.kept.len(), 2, "{:#?}", told.kept);
    let checks = |id: u64| -> Vec<&str> {
        told.kept[&id]
            .checks
            .iter()
            .map(|c| c.check.as_str())
            .collect()
    };
    assert_eq!(checks(1), ["blog/main", "shop/main"]);
    assert_eq!(checks(2), ["wiki/main"]);
}

#[test]
fn at_one_operator_and_an_hour_apart_are_two() {
    let mut story = Story::default();
    for when in [0, 5] {
        story.trace(when, "shop/main", &ns_down("ns1.dns.example.@192.0.2.1"));
    }
    for when in [3600, 3605] {
        story.trace(when, "blog/main", &ns_down("ns7.dns.example.@192.0.2.7"));
    }
    assert_eq!(play(&story).kept.len(), 2);
    let mut same_server = Story::default();
    for when in [0, 5] {
        same_server.trace(when, "shop/main", &ns_down("ns1.dns.example.@192.0.2.1"));
    }
    for when in [3600, 3605] {
        same_server.trace(when, "blog/main", &ns_down("ns1.dns.example.@192.0.2.1"));
    }
    let told = play(&same_server);
    let growth = "3600 growth check blog/main fails too, from local";
    assert!(
        lines(told.only()).iter().any(|l| l == growth),
        "{:#?}",
        lines(told.only())
    );
}

#[test]
fn a_shared_resolver_in_the_scope_is_nothing_in_common() {
    let expired = |address: &str| {
        bad(vec![
            root(Cause::CertExpired, "ended")
                .addresses(&[address])
                .resolvers(&["9.9.9.9"]),
        ])
    };
    let mut story = Story::default();
    for when in [0, 5] {
        story.trace(when, "shop/main", &expired("192.0.2.1"));
        story.trace(when, "blog/main", &expired("198.51.100.1"));
    }
    assert_eq!(play(&story).kept.len(), 2);
}

#[test]
fn what_many_services_share_is_named_when_it_is_no_accident() {
    const NAMES: [&str; 24] = [
        "a/m", "b/m", "c/m", "d/m", "e/m", "f/m", "g/m", "h/m", "i/m", "j/m", "k/m", "l/m", "n/m",
        "o/m", "p/m", "q/m", "r/m", "s/m", "t/m", "u/m", "v/m", "w/m", "x/m", "y/m",
    ];
    let answer = Says::Gives("192.0.2.80", "AS64500 Host");
    let on = |report, n: usize| {
        let server = if n < 6 {
            "ns1.dns.example.@192.0.2.1"
        } else {
            "ns1.other.test.@192.0.2.2"
        };
        seeing(report, &[(server, answer)], &[])
    };
    let mut story = Story::default();
    for (n, name) in NAMES.iter().enumerate() {
        story.trace(0, name, &on(healthy(), n));
    }
    for when in [60, 65] {
        for (n, name) in NAMES.iter().enumerate().take(6) {
            story.trace(when, name, &on(ns_down("ns1.dns.example.@192.0.2.1"), n));
        }
    }
    story.push(70, Step::Tick);
    let told = play(&story);
    let caveats = &told.only().caveats;
    let named =
        "what they share is dns.example.: 6 of the 6 services that lean on it fail, of 24 watched";
    assert!(caveats.iter().any(|c| c == named), "{caveats:#?}");
}

#[test]
fn a_check_that_stays_bad_after_the_others_is_an_incident_of_its_own() {
    let server = "ns1.dns.example.@192.0.2.1";
    let all = ["shop/main", "blog/main", "wiki/main"];
    let mut story = Story::default();
    for when in [0, 5] {
        for check in all {
            story.trace(when, check, &ns_down(server));
        }
    }
    for when in [600, 605] {
        story.trace(when, "shop/main", &healthy());
        story.trace(when, "blog/main", &healthy());
    }
    for when in (600..1200).step_by(60) {
        story.trace(when, "wiki/main", &ns_down(server));
        story.run(when + 20, "shop/main", "9.9.9.9", None);
        story.run(when + 20, "blog/main", "9.9.9.9", None);
    }
    story.ticks(10, 1200, 10);
    let told = play(&story);
    assert_eq!(told.kept.len(), 2, "{:#?}", told.kept);
    let (parent, child) = (&told.kept[&1], &told.kept[&2]);
    assert!(parent.mitigated.is_some(), "{parent:#?}");
    assert_eq!(child.state, IncidentState::Open);
    assert_eq!(child.began, at(0));
    assert!(
        lines(child)
            .iter()
            .any(|l| l.contains("part of incident 1")),
        "{:#?}",
        lines(child)
    );
    let opened = told.notices.iter().find(|n| n.incident == 2).unwrap();
    assert_eq!(opened.kind, NoticeKind::Opened);
    assert!((900..=960).contains(&(opened.at.as_second() - at(0).as_second())));
}

#[test]
fn a_service_that_needs_a_broken_one_says_so() {
    let mut story = Story {
        needs: [("shop".to_owned(), vec!["db".to_owned()])].into(),
        ..Story::default()
    };
    let db = bad(vec![
        root(Cause::NetTcpRefused, "db refuses").addresses(&["192.0.2.9"]),
    ]);
    let shop = report(
        Verdict::Broken,
        vec![root(Cause::HttpStatus5xx, "503").addresses(&["192.0.2.1"])],
    );
    for when in [0, 5] {
        story.trace(when, "db/main", &db);
    }
    for when in [10, 15] {
        story.trace(when, "shop/main", &shop);
    }
    let told = play(&story);
    let [db, shop] = [&told.kept[&1], &told.kept[&2]];
    let behind = "consequence of incident 1: net.tcp.refused at db, which it needs";
    assert!(
        shop.caveats.iter().any(|c| c == behind),
        "{:?}",
        shop.caveats
    );
    assert!(!db.caveats.iter().any(|c| c.starts_with("consequence")));
    assert!(told.notices[1].text.contains(behind), "{:?}", told.notices);
    // Seen the other way round the same comes out, a little later.
    story.steps.sort_by_key(|(when, step)| match step {
        Step::Trace(_, "db/main", _) => when.checked_add(jiff::Span::new().seconds(60)).unwrap(),
        _ => *when,
    });
    let told = play(&story);
    assert!(
        told.kept[&1]
            .caveats
            .iter()
            .any(|c| c.starts_with("consequence of incident 2"))
    );
}

#[test]
fn unknown_troubles_that_turn_out_to_be_one_are_one() {
    let broken = bad(vec![root(Cause::Unknown, "no rule fires")]);
    let server = "ns1.dns.example.@192.0.2.1";
    let mut story = Story::default();
    for when in [0, 5] {
        story.trace(when, "shop/main", &broken);
        story.trace(when + 1, "blog/main", &broken);
    }
    for when in [60, 65] {
        story.trace(when, "shop/main", &ns_down(server));
        story.trace(when + 1, "blog/main", &ns_down(server));
    }
    let told = play(&story);
    assert_eq!(told.kept[&2].state, IncidentState::Resolved);
    let kept = &told.kept[&1];
    assert_eq!(
        (kept.cause, kept.state),
        (Cause::DnsAuthUnresponsive, IncidentState::Open)
    );
    assert_eq!(kept.checks.len(), 2);
}

/// Down for a minute, up for a minute, for an hour; then well.
pub(super) fn flapping() -> Story {
    const SHOP: &str = "shop/main";
    let refused = bad(vec![
        root(Cause::NetTcpRefused, "refused").addresses(&["192.0.2.1"]),
    ]);
    let mut story = Story::default();
    for round in 0..30 {
        let down = round * 120;
        for after in [0, 5, 30] {
            story.run(down + after, SHOP, "9.9.9.9", Some("tcp.refused"));
            story.trace(down + after, SHOP, &refused);
            story.run(down + 60 + after, SHOP, "9.9.9.9", None);
            story.trace(down + 60 + after, SHOP, &healthy());
        }
    }
    for when in (3600..9000).step_by(60) {
        story.run(when, SHOP, "9.9.9.9", None);
    }
    story.ticks(0, 9000, 10);
    story
}

#[test]
fn what_comes_and_goes_is_one_incident_and_four_notices_an_hour() {
    let told = play(&flapping());
    let incident = told.only();
    let of_the_hour: Vec<_> = told.notices.iter().filter(|n| n.at < at(3600)).collect();
    assert!(of_the_hour.len() <= 4, "{of_the_hour:#?}");
    assert_eq!(of_the_hour[0].kind, NoticeKind::Opened);
    assert_eq!(of_the_hour[1].kind, NoticeKind::Flapping);
    let flaps: Vec<_> = incident
        .timeline
        .iter()
        .filter(|m| m.kind == MomentKind::Flapping)
        .collect();
    assert_eq!(flaps.len(), 1);
    let flapping = incident.flapping.unwrap();
    assert_eq!(flapping.count, 29);
    assert!(
        (flapping.period_seconds - 120.0).abs() < 1.0,
        "{flapping:?}"
    );
    assert_eq!(
        incident.state,
        IncidentState::Resolved,
        "and over in the end"
    );
    let resolved = incident.resolved.unwrap().as_second() - at(3480).as_second();
    assert!(
        (1800..=4200).contains(&resolved),
        "quiet long enough first: {resolved}"
    );
    assert_eq!(
        incident.verdict,
        Verdict::Degraded,
        "damping takes nothing from how bad it is"
    );
}

#[test]
fn what_came_back_before_it_was_over_is_the_same_incident() {
    const SHOP: &str = "shop/main";
    let refused = bad(vec![
        root(Cause::NetTcpRefused, "refused").addresses(&["192.0.2.1"]),
    ]);
    let mut story = Story::default();
    for when in [0, 5, 600] {
        story.trace(when, SHOP, &refused);
    }
    for when in [660, 665] {
        story.trace(when, SHOP, &healthy());
    }
    for when in [700, 705] {
        story.trace(when, SHOP, &refused);
    }
    let told = play(&story);
    assert_eq!(told.only().state, IncidentState::Open);
    assert!(
        lines(told.only())
            .iter()
            .any(|l| l == "700 reopened it is back")
    );
    assert_eq!(told.kinds(), ["opened", "mitigated", "reopened"]);
    assert_eq!(told.only().flapping.unwrap().count, 1);
}
