//! One vantage is left, or none.

use super::*;

#[test]
fn p05_with_all_others_gone_the_one_that_is_left_judges_alone() {
    let mut fleet = Fleet::well();
    fleet.cut("fra");
    fleet.cut("nyc");
    fleet.rounds(12, &[], &[LOCAL]);
    assert_eq!(fleet.open(), ["monitor.vantage_offline"; 2]);
    assert_eq!(fleet.told("shop"), (Verdict::Healthy, false));
    fleet.rounds(12, &[(LOCAL, "shop")], &[LOCAL]);
    let report = broken(&fleet, LOCAL, Cause::NetTcpFiltered);
    fleet.trace(LOCAL, "shop", &report);
    fleet.second();
    fleet.trace(LOCAL, "shop", &report);
    assert_eq!(fleet.told("shop").0, Verdict::Broken);
    let incident = fleet.incident(Cause::NetTcpFiltered);
    let only =
        "seen from local only: one vantage cannot tell a fault near it from one at the service";
    assert_eq!(incident.caveats, [only]);
    // And without it nobody can say.
    fleet.rounds(12, &[], &[]);
    assert_eq!(fleet.told("wiki").0, Verdict::Unknown);
}

#[test]
fn p05_with_nobody_left_that_is_one_incident_and_an_urgent_one() {
    let mut fleet = Fleet::well();
    fleet.cut("fra");
    fleet.rounds(6, &[], &[LOCAL, "nyc"]);
    assert_eq!(fleet.open(), ["monitor.vantage_offline"]);
    assert!(
        fleet
            .incident(Cause::MonitorVantageOffline)
            .summary
            .ends_with("others judge meanwhile")
    );
    fleet.cut("nyc");
    fleet.rounds(12, &[], &[]);
    let open = open_now(&fleet);
    let [blind] = open.as_slice() else {
        panic!("{open:#?}");
    };
    assert_eq!(blind.severity, Severity::Critical);
    assert_eq!(blind.scope.vantages, ["fra", "local", "nyc"]);
    assert!(
        blind.summary.contains("none of 3 vantages is heard"),
        "{}",
        blind.summary
    );
    for service in SERVICES {
        assert_eq!(fleet.told(service).0, Verdict::Unknown, "never green");
        let summary = fleet.summary(service);
        assert!(!summary.contains("others judge"), "{summary}");
    }
    // It stays one over a restart, and is over when one is heard for long enough.
    let blind = blind.id;
    let mut fleet = Fleet {
        stage: fleet.stage.again(),
        linked: fleet.linked,
    };
    fleet.rounds(3, &[], &[]);
    let open: Vec<u64> = open_now(&fleet).iter().map(|one| one.id).collect();
    assert_eq!(open, [blind]);
    fleet.link("nyc", 2);
    fleet.rounds(3, &[], &["nyc"]);
    let state = |fleet: &Fleet| fleet.stage.judge.book.incident(blind).map(|i| i.state);
    assert_eq!(state(&fleet), Some(IncidentState::Mitigated));
    assert_eq!(
        fleet.open(),
        ["monitor.vantage_offline", "monitor.probe_hung"],
        "what is left is told of each, as it is while others judge"
    );
    let is_warning = |incident: &Incident| incident.severity == Severity::Warning;
    assert!(open_now(&fleet).iter().all(is_warning));
    assert_eq!(fleet.told("shop"), (Verdict::Healthy, false));
    fleet.rounds(60, &[], &["nyc"]);
    assert_eq!(state(&fleet), None);
}

/// Incidents that are neither over nor held open whether they stay so.
fn open_now(fleet: &Fleet) -> Vec<Incident> {
    let open = fleet.stage.judge.book.open();
    let open = open.filter(|incident| incident.mitigated.is_none());
    open.cloned().collect()
}

#[test]
fn p05_heard_for_a_moment_and_silent_again_is_the_same_incident() {
    let mut fleet = Fleet::well();
    fleet.cut("fra");
    fleet.cut("nyc");
    fleet.rounds(6, &[], &[LOCAL]);
    assert_eq!(fleet.open(), ["monitor.vantage_offline"; 2]);
    fleet.rounds(6, &[], &[]);
    let blind = open_now(&fleet);
    let is_blind = |fleet: &Fleet| {
        let open = open_now(fleet);
        open.iter().any(|one| one.severity == Severity::Critical)
    };
    assert_eq!(blind.len(), 1);
    let next = fleet.stage.judge.book.next_id();
    for _ in 0..3 {
        fleet.rounds(1, &[], &[LOCAL]);
        assert!(!is_blind(&fleet), "it is heard");
        assert!(fleet.stage.judge.vantages.is_heard(&local()));
        fleet.rounds(4, &[], &[]);
        assert!(is_blind(&fleet));
        assert_eq!(fleet.told("shop").0, Verdict::Unknown);
    }
    assert_eq!(
        fleet.stage.judge.book.next_id(),
        next,
        "nothing new is opened"
    );
    let blind = fleet.stage.judge.book.incident(blind[0].id).unwrap();
    assert_eq!(
        blind.flapping.as_ref().map(|flapping| flapping.count),
        Some(3)
    );
}

#[test]
fn p05_nothing_is_healthy_because_its_only_witness_fell_silent() {
    let mut fleet = Fleet::well();
    let report = broken(&fleet, "fra", Cause::NetTcpFiltered);
    fleet.fails_alone("fra", "shop", &report);
    assert_eq!(fleet.told("shop").0, Verdict::Degraded);
    fleet.rounds(40, &[], &[LOCAL, "nyc"]);
    assert_eq!(fleet.told("shop").0, Verdict::Unknown);
    // It comes back, and sees it well.
    let healthy = healthy(&fleet, "fra");
    for _ in 0..3 {
        fleet.rounds(2, &[], &[LOCAL, "fra", "nyc"]);
        fleet.trace("fra", "shop", &healthy);
    }
    assert_eq!(fleet.told("shop").0, Verdict::Healthy);
}
