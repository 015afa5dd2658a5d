//! What is known of vantages when the hub starts anew.

use super::*;

#[test]
fn who_is_not_believed_is_not_after_a_restart() {
    let mut fleet = Fleet::well();
    let all: Vec<(&str, &str)> = SERVICES.iter().map(|s| ("fra", *s)).collect();
    fleet.rounds(6, &all, &[LOCAL, "fra", "nyc"]);
    assert_eq!(fleet.open(), ["monitor.vantage_uplink"]);
    let next = fleet.stage.judge.book.next_id();
    let mut fleet = Fleet {
        stage: fleet.stage.again(),
        linked: fleet.linked,
    };
    for _ in 0..6 {
        fleet.rounds(1, &all, &[LOCAL, "fra", "nyc"]);
        assert_eq!(fleet.open(), ["monitor.vantage_uplink"]);
        assert!(!fleet.stage.judge.vantages.is_heard(&at("fra")));
    }
    assert_eq!(fleet.stage.judge.book.next_id(), next, "nothing is opened");
}

#[test]
fn after_a_restart_of_the_hub_agents_have_time_to_come_back() {
    let mut fleet = Fleet::well();
    fleet.cut("fra");
    fleet.rounds(6, &[], &[LOCAL, "nyc"]);
    assert_eq!(fleet.open(), ["monitor.vantage_offline"]);
    let stage = fleet.stage;
    let links = stage.shared.links.all();
    assert!(links.contains_key(&at("nyc")));
    let stage = stage.again();
    let mut fleet = Fleet {
        stage,
        linked: fleet.linked,
    };
    assert_eq!(fleet.open(), ["monitor.vantage_offline"], "it stays known");
    assert!(!fleet.stage.judge.vantages.is_heard(&at("fra")));
    fleet.rounds(3, &[], &[LOCAL, "nyc"]);
    assert_eq!(fleet.open(), ["monitor.vantage_offline"]);
    fleet.link("fra", 2);
    fleet.rounds(3, &[], &[LOCAL, "fra", "nyc"]);
    assert_eq!(fleet.open(), Vec::<&str>::new());
}

/// What was known of vantages is known before anything follows from the configuration.
#[test]
fn p10_who_was_not_heard_before_a_restart_is_not_told_to_be_heard_by_it() {
    let mut fleet = Fleet::well();
    let report = broken(&fleet, "fra", Cause::NetTcpFiltered);
    fleet.fails_alone("fra", "shop", &report);
    fleet.cut("fra");
    fleet.rounds(12, &[], &[LOCAL, "nyc"]);
    assert!(!fleet.stage.judge.vantages.is_heard(&at("fra")));
    let seen = |fleet: &Fleet| {
        let book = &fleet.stage.judge.book;
        let open: Vec<Incident> = book.open().cloned().collect();
        (open, fleet.told("shop").0)
    };
    let before = seen(&fleet);
    assert_eq!(before.0.len(), 2, "{:#?}", before.0);
    let Fleet { stage, linked } = fleet;
    let mut fleet = Fleet {
        stage: stage.again(),
        linked,
    };
    assert_eq!(seen(&fleet), before);
    fleet.second();
    assert_eq!(seen(&fleet), before, "nor a moment later");
}

/// What is to be known after a restart is written where it changed, and not again and again.
#[test]
fn what_is_as_it_was_is_not_written_down_again() {
    let mut fleet = Fleet::of(&CONFIG.replace("10s", "300s"));
    let written = |fleet: &mut Fleet| {
        let keys = ["detection", crate::board::CHECKPOINT];
        let removed = keys.map(|key| Change::Checkpoint {
            key: key.to_owned(),
            bytes: None,
        });
        fleet.stage.judge.save(removed.into());
        for _ in 0..40 {
            fleet.second();
        }
        let memory = &fleet.stage.memory;
        keys.map(|key| memory_checkpoint(memory, key).is_some())
    };
    fleet.rounds(1, &[], &[LOCAL, "fra", "nyc"]);
    assert_eq!(written(&mut fleet), [true; 2], "after the start");
    assert_eq!(written(&mut fleet), [false; 2], "nothing came");
    fleet.run("nyc", "shop", RunOutcome::Ok);
    assert_eq!(written(&mut fleet), [true; 2], "a run");
    let well = healthy(&fleet, "fra");
    fleet.trace("fra", "shop", &well);
    assert_eq!(written(&mut fleet), [true; 2], "a trace");
    assert_eq!(written(&mut fleet), [false; 2]);
    fleet.cut("fra");
    let began = fleet.now();
    while fleet.open().is_empty() {
        fleet.second();
    }
    assert!(fleet.now() > began);
    assert_eq!(written(&mut fleet), [true; 2], "one is not heard any more");
}
