//! Somebody before Frankfurt answers in the place of everybody's name servers, with authority as they do.

use super::*;

/// So many rounds in which these services lead elsewhere there, by runs and traces; whom Frankfurt's failures
/// have asked for a trace finds all well.
fn rewritten(fleet: &mut Fleet, services: &[&str], rounds: usize, each: impl Fn(&Fleet)) {
    let failing: Vec<(&str, &str)> = services.iter().map(|s| ("fra", *s)).collect();
    for round in 0..rounds {
        fleet.rounds(1, &failing, &[LOCAL, "fra", "nyc"]);
        for service in services {
            let report = broken(fleet, "fra", Cause::DnsZoneRecordWrong);
            fleet.trace("fra", service, &report);
            for witness in [LOCAL, "nyc"] {
                let well = healthy(fleet, witness);
                if round == 0 {
                    fleet.trace(witness, service, &well);
                }
            }
        }
        each(fleet);
    }
}

#[test]
fn m06_who_rewrites_most_zones_at_one_vantage_makes_no_target_fail() {
    for services in [&SERVICES[..], &SERVICES[..3]] {
        let mut fleet = Fleet::well();
        rewritten(&mut fleet, services, 12, |fleet| {
            let of_ours = |cause: &&str| cause.starts_with("monitor.");
            assert!(fleet.open().iter().all(of_ours), "{:?}", fleet.open());
            for service in services {
                assert_eq!(fleet.told(service), (Verdict::Healthy, false));
            }
        });
        assert_eq!(fleet.open(), ["monitor.vantage_uplink"]);
        let incident = fleet.incident(Cause::MonitorVantageUplink);
        assert_eq!(incident.scope.vantages, ["fra"]);
    }
}

#[test]
fn m06_who_rewrites_one_name_at_one_vantage_is_told_as_likely_there() {
    let mut fleet = Fleet::well();
    rewritten(&mut fleet, &["shop"], 12, |_| ());
    assert_eq!(fleet.open(), ["dns.zone.record_wrong"]);
    let incident = fleet.incident(Cause::DnsZoneRecordWrong);
    let told = "seen from fra alone (1 of 3 vantages), while traces from local and nyc, in 2 other networks, find it well: that somebody near fra answers in its place (interception) is likelier than a fault of the service";
    assert_eq!(incident.caveats, [told]);
    assert_eq!(fleet.told("shop").0, Verdict::Degraded);
    for service in &SERVICES[1..] {
        assert_eq!(fleet.told(service), (Verdict::Healthy, false));
    }
}
