//! One trouble at a time.

use bellwether_model::incident::IncidentState;
use bellwether_model::report::Severity;
use bellwether_model::{Cause, Layer, Verdict};

use super::super::*;
use super::stage::*;

const SHOP: &str = "shop/main";

/// A parent that leads to strange name servers: five phases, as their traces were judged.
pub(super) fn wrong_delegation(tick: usize) -> Story {
    const DEV: &str = "www/main";
    let [ns9, ns10] = [
        "ns9.dns-b.test.@198.51.100.34",
        "ns10.dns-b.test.@198.51.100.201",
    ];
    let wrong = |resolvers: &[&str], address: &[&str]| {
        let words = format!(
            "the parent leads to dns-b.test; {} resolvers follow",
            resolvers.len()
        );
        root(Cause::DnsDelegationWrongNs, &words)
            .servers(&[ns9, ns10])
            .resolvers(resolvers)
            .addresses(address)
    };
    let own = Says::Gives("203.0.113.229", "AS64501 Cloud A");
    let strange = Says::Gives("203.0.113.3", "AS64502 Cloud B");
    let third_party = Says::Gives("203.0.113.133", "AS64502 Cloud C");
    let first = seeing(
        bad(vec![wrong(&["9.9.9.9"], &["203.0.113.3"])]),
        &[(ns9, strange), (ns10, strange)],
        &[("9.9.9.9", strange), ("4.2.2.2", own), ("8.8.8.8", own)],
    );
    let wider = seeing(
        bad(vec![wrong(&["9.9.9.9", "4.2.2.2"], &["203.0.113.3"])]),
        &[(ns9, strange), (ns10, strange)],
        &[("9.9.9.9", strange), ("4.2.2.2", strange), ("8.8.8.8", own)],
    );
    let repair = seeing(
        bad(vec![wrong(&["9.9.9.9", "4.2.2.2"], &[])]),
        &[(ns9, Says::Rcode(4)), (ns10, Says::Rcode(5))],
        &[
            ("9.9.9.9", Says::Rcode(2)),
            ("4.2.2.2", Says::Rcode(2)),
            ("8.8.8.8", own),
        ],
    );
    let third = seeing(
        bad(vec![wrong(&["9.9.9.9", "4.2.2.2"], &["203.0.113.133"])]),
        &[(ns9, third_party), (ns10, third_party)],
        &[
            ("9.9.9.9", third_party),
            ("4.2.2.2", third_party),
            ("8.8.8.8", own),
        ],
    );
    let mut story = Story::default();
    story.trace(0, DEV, &healthy());
    story.run(30, DEV, "8.8.8.8", None);
    story.run(60, DEV, "9.9.9.9", Some("tls.name_mismatch"));
    story.trace(62, DEV, &first);
    story.trace(65, DEV, &first);
    story.alarm(75, 60, DEV);
    story.run(90, DEV, "8.8.8.8", None);
    story.run(400, DEV, "4.2.2.2", Some("tls.name_mismatch"));
    story.trace(420, DEV, &wider);
    story.trace(900, DEV, &repair);
    story.trace(960, DEV, &repair);
    story.trace(4000, DEV, &third);
    story.trace(8000, DEV, &third);
    story.run(8025, DEV, "8.8.8.8", None);
    story.run(8030, DEV, "9.9.9.9", None);
    story.trace(8040, DEV, &healthy());
    story.trace(8045, DEV, &healthy());
    story.clear(8060, DEV);
    story.run(8090, DEV, "4.2.2.2", None);
    story.run(8120, DEV, "4.2.2.2", None);
    story.ticks(70, 8200, tick);
    story
}

#[test]
fn a_wrong_delegation_is_one_incident_with_its_phases() {
    let told = play(&wrong_delegation(10));
    let incident = told.only();
    let lines = lines(incident);
    let has = |line: &str| assert!(lines.iter().any(|l| l == line), "{line}\n{lines:#?}");
    has(
        "60 first_failure www/main fails at tls (tls.name_mismatch) via 9.9.9.9 to 203.0.113.3, seen from local",
    );
    has("65 alarm dns.delegation.wrong_ns: the parent leads to dns-b.test; 1 resolvers follow");
    has("400 growth resolver 4.2.2.2 fails too");
    has("900 phase ns9.dns-b.test.@198.51.100.34 answers NOTIMP instead of NOERROR");
    has("900 phase ns10.dns-b.test.@198.51.100.201 answers REFUSED instead of NOERROR");
    has("900 phase 9.9.9.9 answers SERVFAIL instead of NOERROR");
    has("4000 phase ns9.dns-b.test.@198.51.100.34 answers NOERROR instead of NOTIMP");
    has("4000 growth address 203.0.113.133 fails too");
    has("8030 healing the first healthy round, after 2 h 12 min");
    assert!(
        lines.last().unwrap().contains("resolved over"),
        "{lines:#?}"
    );
    assert_eq!(incident.state, IncidentState::Resolved);
    assert_eq!((incident.began, incident.opened), (at(60), at(65)));
    assert_eq!(incident.mitigated, Some(at(8030)));
    assert_eq!(incident.cause, Cause::DnsDelegationWrongNs);
    assert_eq!(incident.verdict, Verdict::Degraded);
    assert_eq!(incident.scope.resolvers, ["4.2.2.2", "9.9.9.9"]);
    assert_eq!(
        told.kinds(),
        ["opened", "grown", "phase", "phase", "mitigated", "resolved"],
        "{:#?}",
        told.notices
    );
    assert_eq!(
        incident.caveats,
        ["seen from local only, where all 3 controls answered"]
    );
    let (follow, end) = (told.followed.first(), told.followed.last());
    assert_eq!((follow.unwrap().1, end.unwrap().1), (true, false));
}

#[test]
fn the_owner_that_a_name_server_hands_out_is_a_phase() {
    let ns = "ns9.dns-b.test.@198.51.100.34";
    let wrong = || root(Cause::DnsDelegationWrongNs, "wrong").servers(&[ns]);
    let gives = |address, owner| {
        seeing(
            bad(vec![wrong()]),
            &[(ns, Says::Gives(address, owner))],
            &[],
        )
    };
    let mut story = Story::default();
    story.trace(0, SHOP, &gives("203.0.113.3", "Cloud B"));
    story.trace(5, SHOP, &gives("203.0.113.3", "Cloud B"));
    story.trace(60, SHOP, &gives("203.0.113.133", "Cloud C"));
    let told = play(&story);
    let line = format!("60 phase {ns} gives addresses of Cloud C instead of Cloud B");
    assert!(
        lines(told.only()).contains(&line),
        "{:#?}",
        lines(told.only())
    );
}

#[test]
fn a_lone_unhealthy_trace_asks_and_opens_nothing() {
    let lost = bad(vec![
        root(Cause::NetPathLoss, "lost").addresses(&["192.0.2.1"]),
    ]);
    let mut story = Story::default();
    story.run(0, SHOP, "9.9.9.9", Some("tcp.timeout"));
    story.trace(1, SHOP, &lost);
    story.trace(4, SHOP, &healthy());
    story.trace(7, SHOP, &healthy());
    story.trace(300, SHOP, &lost);
    story.trace(304, SHOP, &healthy());
    story.trace(307, SHOP, &healthy());
    story.ticks(10, 400, 10);
    let told = play(&story);
    assert!(told.kept.is_empty(), "{:#?}", told.kept);
    let wanted = [1, 4, 300, 304].map(|when| (at(when), SHOP.to_owned()));
    assert_eq!(told.wanted, wanted, "one to confirm it, one to belie it");
    // What breaks after that began then, and not with the lost packet.
    let refused = bad(vec![root(Cause::NetTcpRefused, "refused")]);
    story.run(600, SHOP, "9.9.9.9", Some("tcp.refused"));
    story.trace(601, SHOP, &refused);
    story.trace(604, SHOP, &refused);
    assert_eq!(play(&story).only().began, at(600));
}

#[test]
fn one_unhealthy_trace_and_the_alarm_open() {
    let refused = bad(vec![
        root(Cause::NetTcpRefused, "refused").addresses(&["192.0.2.1"]),
    ]);
    let mut story = Story::default();
    story.run(0, SHOP, "9.9.9.9", Some("tcp.refused"));
    story.trace(1, SHOP, &refused);
    story.alarm(10, 0, SHOP);
    let told = play(&story);
    let incident = told.only();
    assert_eq!((incident.began, incident.opened), (at(0), at(10)));
    assert_eq!(incident.cause, Cause::NetTcpRefused);
    let mut other_way = Story::default();
    other_way.alarm(1, 0, SHOP);
    other_way.trace(10, SHOP, &refused);
    assert_eq!(play(&other_way).only().opened, at(10));
}

#[test]
fn a_fault_that_healed_before_it_was_judged_is_told_from_its_trace() {
    let refused = bad(vec![
        root(Cause::NetTcpRefused, "refused").addresses(&["192.0.2.1"]),
    ]);
    let mut story = Story::default();
    story.run(0, SHOP, "9.9.9.9", Some("tcp.refused"));
    story.trace(2, SHOP, &refused);
    story.run(20, SHOP, "9.9.9.9", None);
    story.trace(21, SHOP, &healthy());
    story.alarm(22, 0, SHOP);
    story.trace(24, SHOP, &healthy());
    assert!(play(&story).kept.is_empty(), "it may go on unseen");
    story.clear(40, SHOP);
    let told = play(&story);
    let incident = told.only();
    assert_eq!(incident.cause, Cause::NetTcpRefused);
    assert_eq!(incident.state, IncidentState::Mitigated);
    assert_eq!((incident.began, incident.mitigated), (at(0), Some(at(20))));
    assert_eq!(incident.evidence.len(), 1, "the failing trace");
    assert_eq!(told.kinds(), ["opened"]);
    assert!(
        told.notices[0].text.contains("over since"),
        "{:?}",
        told.notices
    );
}

#[test]
fn a_fault_that_only_runs_saw_has_no_cause_and_their_symptoms() {
    let mut story = Story::default();
    story.run(0, SHOP, "9.9.9.9", Some("tls.name_mismatch"));
    story.run(10, SHOP, "8.8.8.8", Some("tls.name_mismatch"));
    story.alarm(11, 0, SHOP);
    story.run(20, SHOP, "9.9.9.9", None);
    story.trace(21, SHOP, &healthy());
    story.trace(24, SHOP, &healthy());
    story.clear(40, SHOP);
    let told = play(&story);
    let incident = told.only();
    assert_eq!(
        (incident.cause, incident.layer),
        (Cause::Unknown, Layer::Tls)
    );
    assert!(
        incident.summary.contains("tls.name_mismatch"),
        "{}",
        incident.summary
    );
    assert_eq!(incident.state, IncidentState::Mitigated);
    assert_eq!((incident.began, incident.mitigated), (at(0), Some(at(20))));
    assert_eq!(incident.scope.resolvers, ["8.8.8.8", "9.9.9.9"]);
}

#[test]
fn runs_that_go_on_failing_under_healthy_traces_stay_an_incident_until_the_alarm_ends() {
    let mut story = Story::default();
    story.run(0, SHOP, "9.9.9.9", Some("tls.alert"));
    story.alarm(5, 0, SHOP);
    story.trace(6, SHOP, &healthy());
    story.run(10, SHOP, "9.9.9.9", Some("tls.alert"));
    story.trace(12, SHOP, &healthy());
    story.run(30, SHOP, "9.9.9.9", Some("tls.alert"));
    story.trace(60, SHOP, &healthy());
    let told = play(&story);
    assert_eq!(told.only().state, IncidentState::Open);
    assert_eq!(told.only().cause, Cause::Unknown);
    story.run(90, SHOP, "9.9.9.9", None);
    story.clear(120, SHOP);
    let told = play(&story);
    assert_eq!(told.only().state, IncidentState::Mitigated);
    assert_eq!(told.only().mitigated, Some(at(90)));
}

#[test]
fn a_better_diagnosis_is_a_line_and_no_second_incident() {
    let names = bad(vec![
        root(Cause::TlsNameMismatch, "names").addresses(&["203.0.113.3"]),
    ]);
    let wrong = bad(vec![
        root(Cause::DnsDelegationWrongNs, "led astray").servers(&["ns1.x.test.@192.0.2.1"]),
    ]);
    let mut story = Story::default();
    story.trace(0, SHOP, &names);
    story.trace(5, SHOP, &names);
    story.trace(60, SHOP, &wrong);
    story.trace(65, SHOP, &wrong);
    let told = play(&story);
    let incident = told.only();
    assert_eq!(incident.cause, Cause::DnsDelegationWrongNs);
    assert_eq!(incident.remedy, "mend dns.delegation.wrong_ns");
    assert_eq!(incident.began, at(0));
    let line = "65 cause judged dns.delegation.wrong_ns instead of tls.name_mismatch: led astray";
    assert!(
        lines(incident).iter().any(|l| l == line),
        "{:#?}",
        lines(incident)
    );
    assert_eq!(told.kinds(), ["opened", "cause"]);
    assert!(
        told.wanted.contains(&(at(60), SHOP.into())),
        "one trace is not enough"
    );
}

#[test]
fn one_trace_of_another_opinion_changes_nothing() {
    let names = bad(vec![
        root(Cause::TlsNameMismatch, "names").addresses(&["203.0.113.3"]),
    ]);
    let other = bad(vec![
        root(Cause::NetTcpFiltered, "silent").addresses(&["203.0.113.3"]),
    ]);
    let mut story = Story::default();
    for (when, report) in [
        (0, &names),
        (5, &names),
        (60, &other),
        (65, &names),
        (120, &other),
    ] {
        story.trace(when, SHOP, report);
    }
    let told = play(&story);
    assert_eq!(told.only().cause, Cause::TlsNameMismatch);
    assert_eq!(told.kinds(), ["opened"]);
}

#[test]
fn our_own_trouble_is_no_targets_and_no_recovery() {
    let refused = bad(vec![
        root(Cause::NetTcpRefused, "refused").addresses(&["192.0.2.1"]),
    ]);
    let blind = report(
        Verdict::Unknown,
        vec![root(Cause::MonitorVantageUplink, "no uplink")],
    );
    let mut story = Story::default();
    story.trace(0, SHOP, &refused);
    story.trace(5, SHOP, &refused);
    for when in [60, 65, 120] {
        story.trace(when, SHOP, &blind);
        story.trace(when + 1, "blog/main", &blind);
    }
    let told = play(&story);
    assert_eq!(told.kept.len(), 2, "{:#?}", told.kept);
    let (target, us) = (&told.kept[&1], &told.kept[&2]);
    assert_eq!(target.state, IncidentState::Open, "unknown is not well");
    assert_eq!(us.cause, Cause::MonitorVantageUplink);
    assert_eq!(us.verdict, Verdict::Unknown);
    let checks: Vec<&str> = us.checks.iter().map(|c| c.check.as_str()).collect();
    assert_eq!(checks, ["blog/main", SHOP], "one for both");
    story.trace(180, SHOP, &refused);
    story.trace(181, "blog/main", &healthy());
    story.trace(185, SHOP, &refused);
    story.trace(186, "blog/main", &healthy());
    story.ticks(190, 600, 10);
    let told = play(&story);
    assert_eq!(told.kept[&2].state, IncidentState::Resolved);
    assert_eq!(told.kept[&1].state, IncidentState::Open);
}

#[test]
fn a_warning_opens_once_and_ends_when_gone_twice() {
    let ends = || {
        root(Cause::CertExpired, "ends in 6 days")
            .addresses(&["192.0.2.1"])
            .warns()
    };
    let warned = report(Verdict::Healthy, vec![ends()]);
    let mut story = Story::default();
    story.trace(0, SHOP, &warned);
    story.trace(60, SHOP, &warned);
    story.trace(120, SHOP, &healthy());
    story.trace(180, SHOP, &warned);
    story.trace(181, "blog/main", &warned);
    story.trace(182, "blog/main", &warned);
    let told = play(&story);
    let incident = told.only();
    assert_eq!(incident.severity, Severity::Warning);
    assert_eq!(
        (incident.verdict, incident.state),
        (Verdict::Healthy, IncidentState::Open)
    );
    assert_eq!(incident.checks.len(), 2, "the same address");
    assert_eq!(told.kinds(), ["opened"]);
    for when in [240, 300] {
        story.trace(when, SHOP, &healthy());
        story.trace(when + 1, "blog/main", &healthy());
    }
    let told = play(&story);
    assert_eq!(told.only().state, IncidentState::Resolved);
    assert!(
        told.followed.is_empty(),
        "nobody fails: the usual pace will do"
    );
}

#[test]
fn people_take_it_on_and_write_it_down() {
    let refused = bad(vec![
        root(Cause::NetTcpRefused, "refused").addresses(&["192.0.2.1"]),
    ]);
    let mut story = Story::default();
    story.trace(0, SHOP, &refused);
    story.trace(5, SHOP, &refused);
    story.push(10, Step::Act(1, Act::Acknowledge));
    story.push(11, Step::Act(1, Act::Acknowledge));
    story.push(12, Step::Act(1, Act::Note("called the provider".into())));
    let told = play(&story);
    assert_eq!(told.only().state, IncidentState::Acknowledged);
    assert_eq!(told.kinds(), ["opened", "acknowledged"], "once");
    let lines = lines(told.only());
    assert_eq!(
        &lines[2..],
        [
            "10 acknowledged ann took it on",
            "12 note ann: called the provider"
        ]
    );
    let unknown = Book::new().act(7, &Act::Acknowledge, "ann", at(0));
    assert_eq!(unknown, Err(ActError::Unknown(7)));
}

#[test]
fn what_is_no_longer_configured_keeps_nothing_open() {
    let refused = bad(vec![
        root(Cause::NetTcpRefused, "refused").addresses(&["192.0.2.1"]),
    ]);
    let mut story = Story::default();
    story.trace(0, SHOP, &refused);
    story.trace(5, SHOP, &refused);
    story.push(10, Step::Gone(SHOP));
    let told = play(&story);
    assert_eq!(told.only().state, IncidentState::Resolved);
    assert_eq!(told.only().mitigated, None, "nobody saw it heal");
}

#[test]
fn silence_is_not_health() {
    let refused = bad(vec![
        root(Cause::NetTcpRefused, "refused").addresses(&["192.0.2.1"]),
    ]);
    let mut story = Story::default();
    story.trace(0, SHOP, &refused);
    story.trace(5, SHOP, &refused);
    story.ticks(10, 4000, 10);
    let told = play(&story);
    assert_eq!(told.only().state, IncidentState::Open);
    assert!(
        lines(told.only())
            .iter()
            .any(|l| l.contains("nothing is seen of it any more"))
    );
    let mut story = Story::default();
    story.trace(0, SHOP, &refused);
    story.trace(5, SHOP, &refused);
    story.trace(60, SHOP, &healthy());
    story.trace(65, SHOP, &healthy());
    story.ticks(70, 4000, 10);
    let told = play(&story);
    assert_eq!(
        told.only().state,
        IncidentState::Mitigated,
        "not seen well after the hold"
    );
}

#[test]
fn the_detectors_slowness_is_a_warning_that_its_end_ends() {
    let (check, vantage) = key(SHOP);
    let kind = AlarmKind::Slow;
    let mut story = Story::default();
    story.push(
        0,
        Step::Signal(Signal::Alarm {
            check: check.clone(),
            vantage: vantage.clone(),
            kind,
            since: at(-60),
            layer: Some(Layer::Http),
            words: "the first byte takes 900 ms instead of 120 ms".into(),
        }),
    );
    story.trace(10, SHOP, &healthy());
    story.trace(20, SHOP, &healthy());
    let told = play(&story);
    assert_eq!(told.only().state, IncidentState::Open);
    assert_eq!(told.only().severity, Severity::Warning);
    assert_eq!(told.only().layer, Layer::Http);
    story.push(
        300,
        Step::Signal(Signal::Clear {
            check,
            vantage,
            kind,
        }),
    );
    assert_eq!(play(&story).only().state, IncidentState::Resolved);
}
