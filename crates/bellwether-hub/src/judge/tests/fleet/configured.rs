//! Checks and vantages that come into the configuration, and go.

use super::*;

#[test]
fn a_check_that_never_gave_a_result_at_a_vantage_is_named() {
    let mut fleet = Fleet::well();
    let generation = fleet.stage.shared.configured.load().generation;
    let links = fleet.stage.shared.links.clone();
    // It comes new into the configuration; the hub and New York run it, Frankfurt never does.
    let text = format!("{CONFIG}  - {{ name: mail, url: https://mail.example/, every: 10s }}\n");
    fleet.stage.configure(&text);
    let rounds = |fleet: &mut Fleet, rounds: usize, from: &[&str]| {
        for _ in 0..rounds {
            fleet.rounds(1, &[], &[LOCAL, "fra", "nyc"]);
            for vantage in from {
                fleet.run(vantage, "mail", RunOutcome::Ok);
            }
        }
    };
    rounds(&mut fleet, 6, &[LOCAL, "nyc"]);
    assert_eq!(fleet.open(), Vec::<&str>::new(), "it has no plan of it yet");
    for agent in ["fra", "nyc"] {
        links.heard(&at(agent), |presence| presence.generation = generation + 1);
    }
    rounds(&mut fleet, 2, &[LOCAL, "nyc"]);
    assert_eq!(
        fleet.open(),
        Vec::<&str>::new(),
        "two intervals are not over"
    );
    rounds(&mut fleet, 2, &[LOCAL, "nyc"]);
    assert_eq!(fleet.open(), ["monitor.probe_hung"]);
    let hung = fleet.incident(Cause::MonitorProbeHung).clone();
    assert_eq!(hung.checks[0].check, "mail/main");
    assert_eq!(hung.scope.vantages, ["fra"]);
    assert_eq!(fleet.told("shop"), (Verdict::Healthy, false));
    rounds(&mut fleet, 2, &[LOCAL, "nyc"]);
    assert_eq!(fleet.stage.judge.book.open().count(), 1, "once");
    // The same at the hub's own vantage, which is asked from the start.
    let text = text.replace("mail", "news");
    fleet.stage.configure(&text);
    for _ in 0..5 {
        fleet.rounds(1, &[], &[LOCAL, "fra", "nyc"]);
        for vantage in ["fra", "nyc"] {
            fleet.run(vantage, "news", RunOutcome::Ok);
        }
    }
    let hung = fleet.incident(Cause::MonitorProbeHung);
    assert_eq!(hung.checks[0].check, "news/main");
    assert_eq!(hung.scope.vantages, ["local"]);
}

#[test]
fn what_is_known_of_a_vantage_goes_with_it() {
    let mut fleet = Fleet::well();
    let key = |vantage: &str| crate::judge::baseline_key(&shop(), &at(vantage));
    let put = |vantage: &str| Change::Checkpoint {
        key: key(vantage),
        bytes: Some(b"{}".to_vec()),
    };
    let kept = ["fra", "nyc", LOCAL].map(put);
    fleet.stage.judge.save(kept.into());
    let (head, tail) = CONFIG.split_once("services:").unwrap();
    let without = head.replace("  - { name: fra, region: eu, network: AS3320 }\n", "");
    assert_ne!(head, without);
    fleet.stage.configure(&format!("{without}services:{tail}"));
    let is_kept = |vantage| memory_checkpoint(&fleet.stage.memory, &key(vantage)).is_some();
    assert_eq!(["fra", "nyc", LOCAL].map(is_kept), [false, true, true]);
    // And what went while nobody looked.
    let text = format!("services:{tail}");
    fleet.stage.judge.save(vec![put("nyc")]);
    fleet.stage.judge.watch_vantages(begin());
    let mut configured = Configured::clone(&fleet.stage.shared.configured.load());
    configured.config = config(&text);
    fleet.stage.shared.configured.store(Arc::new(configured));
    let fleet = Fleet {
        stage: fleet.stage.again(),
        linked: fleet.linked,
    };
    let is_kept = |vantage| memory_checkpoint(&fleet.stage.memory, &key(vantage)).is_some();
    assert_eq!(["fra", "nyc", LOCAL].map(is_kept), [false, false, true]);
}

#[test]
fn the_last_vantage_is_heard_whatever_was_wrong_with_it_among_several() {
    let mut fleet = Fleet::well();
    let portal = broken(&fleet, LOCAL, Cause::MonitorVantageIntercepted);
    for _ in 0..2 {
        fleet.second();
        fleet.trace(LOCAL, "pay", &portal);
    }
    assert_eq!(fleet.open(), ["monitor.vantage_intercepted"]);
    assert!(!fleet.stage.judge.vantages.is_heard(&local()));
    let (_, tail) = CONFIG.split_once("services:").unwrap();
    fleet.stage.configure(&format!("services:{tail}"));
    assert_eq!(fleet.open(), Vec::<&str>::new());
    assert!(fleet.stage.judge.vantages.is_heard(&local()));
    fleet.rounds(12, &[(LOCAL, "shop")], &[LOCAL]);
    let report = broken(&fleet, LOCAL, Cause::NetTcpFiltered);
    for _ in 0..2 {
        fleet.second();
        fleet.trace(LOCAL, "shop", &report);
    }
    assert_eq!(fleet.told("shop").0, Verdict::Broken, "it judges by itself");
    // With others again nothing of that is left.
    fleet.stage.configure(CONFIG);
    fleet.second();
    assert!(fleet.stage.judge.vantages.is_heard(&local()));
}

#[test]
fn one_that_is_no_longer_configured_judges_nothing() {
    let mut fleet = Fleet::well();
    let report = broken(&fleet, "fra", Cause::NetTcpFiltered);
    fleet.fails_alone("fra", "shop", &report);
    assert_eq!(fleet.told("shop").0, Verdict::Degraded);
    let (head, tail) = CONFIG.split_once("services:").unwrap();
    assert!(head.contains("fra"));
    fleet.stage.configure(&format!("services:{tail}"));
    assert_eq!(fleet.open(), Vec::<&str>::new(), "nobody sees it any more");
    for service in SERVICES {
        fleet.run("fra", service, RunOutcome::Failed);
    }
    fleet.rounds(12, &[], &[LOCAL]);
    assert_eq!(fleet.told("shop"), (Verdict::Healthy, false));
    assert_eq!(fleet.open(), Vec::<&str>::new());
    // And from one to several again.
    fleet.stage.configure(CONFIG);
    fleet.link("fra", 3);
    fleet.rounds(3, &[], &[LOCAL, "fra", "nyc"]);
    assert_eq!(fleet.told("shop"), (Verdict::Healthy, false));
}
