//! Where the hub itself stands, by the configuration: what follows for who speaks for whom.

use super::*;

/// The hub's own vantage in this region and network.
fn with_local(region: &str, network: &str) -> String {
    let local = format!("vantages:\n  - {{ name: local, region: {region}, network: {network} }}\n");
    let text = CONFIG.replace("vantages:\n", &local);
    assert_ne!(text, CONFIG);
    text
}

#[test]
fn what_the_hub_and_its_neighbour_see_is_one_networks() {
    let told = |network| {
        let mut fleet = Fleet::well_of(&with_local("eu", network));
        for vantage in [LOCAL, "fra"] {
            let report = broken(&fleet, vantage, Cause::NetTcpFiltered);
            for _ in 0..2 {
                fleet.second();
                fleet.trace(vantage, "shop", &report);
            }
        }
        fleet.incident(Cause::NetTcpFiltered).caveats.clone()
    };
    let near = "seen from fra and local (2 of 3 vantages), which stand in one network as far as is configured: they cannot tell a fault near them from one at the service";
    assert_eq!(told("AS3320"), [near]);
    let apart = "seen from fra and local (2 of 3 vantages), in 2 networks";
    assert_eq!(told("AS64500"), [apart]);
}

/// Is New York a liar, by what the hub and Frankfurt see?
#[test]
fn two_of_one_network_outvote_nobody_and_two_of_two_do() {
    let is_flagged = |network| {
        let mut fleet = Fleet::well_of(&with_local("eu", network));
        let down: Vec<(&str, &str)> = SERVICES
            .iter()
            .flat_map(|s| [(LOCAL, *s), ("fra", *s)])
            .collect();
        fleet.rounds(14, &down, &[LOCAL, "fra", "nyc"]);
        fleet.open().contains(&"monitor.false_signal")
    };
    assert!(!is_flagged("AS3320"), "Frankfurt's network");
    assert!(is_flagged("AS64500"), "one of its own");
}

#[test]
fn whoever_is_in_the_same_region_is_asked_first() {
    let asked = |region| {
        let mut fleet = Fleet::well_of(&with_local(region, "AS64500"));
        // Of the two others Frankfurt was heard longest ago.
        for vantage in ["fra", LOCAL] {
            fleet.second();
            fleet.run(vantage, "shop", RunOutcome::Ok);
        }
        fleet.asked("fra");
        fleet.stage.owner.asked();
        fleet.second();
        fleet.run("nyc", "shop", RunOutcome::Failed);
        let by_hub = fleet.stage.owner.asked();
        let by_hub = by_hub.contains(&format!("confirm {}", shop()));
        let confirm = Asked::Confirm { check: shop() };
        (by_hub, fleet.asked("fra").contains(&confirm))
    };
    assert_eq!(asked("us"), (true, false));
    assert_eq!(asked("eu"), (false, true));
}
