//! Vantages, one trouble at a time.

use bellwether_model::report::{REPORT_SCHEMA, Role};
use bellwether_model::run::{Phases, RunOutcome, Trigger};
use bellwether_model::{Layer, Run, Scope, Verdict};

use super::*;

const EVERY: Duration = Duration::from_secs(60);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn id(vantage: &str) -> VantageId {
    VantageId::new(vantage)
}

fn run(vantage: &str, service: &str, second: i64, is_ok: bool) -> Run {
    Run {
        check: CheckId::new(service, "main"),
        vantage: id(vantage),
        sequence: 1,
        due: at(second),
        late: 0,
        every: 60_000,
        trigger: Trigger::Schedule,
        outcome: if is_ok {
            RunOutcome::Ok
        } else {
            RunOutcome::Failed
        },
        layer: None,
        symptom: None,
        resolver: None,
        address: None,
        status: None,
        size: None,
        certificate: None,
        certificate_ends: None,
        evidence: None,
        clock_offset_ms: None,
        phases: Phases::default(),
    }
}

/// `services` checks of as many zones at these vantages.
fn fleet(services: usize, vantages: &[(&str, Option<u32>)]) -> Vantages {
    let checks: Vec<CheckMeta> = (0..services)
        .map(|n| CheckMeta {
            id: CheckId::new(&format!("s{n}"), "main"),
            every: EVERY,
            depends: vec![format!("service s{n}"), format!("zone s{n}.test")],
            vantages: Vec::new(),
            canary: false,
        })
        .collect();
    let vantages: Vec<VantageMeta> = vantages
        .iter()
        .map(|(vantage, network)| VantageMeta {
            id: id(vantage),
            region: None,
            asn: *network,
            country: None,
        })
        .collect();
    let mut all = Vantages::default();
    all.configure(&checks, &vantages, at(0));
    all
}

/// Plays minutes: everybody runs everything, each vantage at its own second; `ok` says what comes of it.
/// Tells which vantages were ever not heard.
fn play(
    all: &mut Vantages,
    services: usize,
    minutes: std::ops::Range<i64>,
    ok: impl Fn(usize, usize, i64) -> bool,
) -> Vec<String> {
    let names: Vec<VantageId> = all.known.keys().cloned().collect();
    let apart = 60 / i64::try_from(names.len()).unwrap();
    let mut out = Vec::new();
    for minute in minutes {
        for (n, vantage) in names.iter().enumerate() {
            let second = minute * 60 + i64::try_from(n).unwrap() * apart;
            for service in 0..services {
                let is_ok = ok(n, service, second);
                let run = run(vantage.as_str(), &format!("s{service}"), second, is_ok);
                all.heard(&Heard::of(&run), EVERY, at(second));
            }
            let here = |_: &VantageId| {
                Some(Link {
                    is_linked: true,
                    since: Some(at(0)),
                    heard: Some(at(second)),
                    boot: 1,
                    ..Link::default()
                })
            };
            for change in all.tick(here, at(second)) {
                if let Change::Unheard { vantage, .. } = change {
                    out.push(vantage.to_string());
                }
            }
        }
    }
    out
}

const THREE: [(&str, Option<u32>); 3] = [("a", Some(1)), ("b", Some(2)), ("c", Some(3))];

#[test]
fn an_outage_of_everything_makes_no_vantage_suspect() {
    // Whoever sees its beginning and its end first sees it alone for a moment, for each of 100 targets.
    let mut all = fleet(100, &THREE);
    let out = play(&mut all, 100, 0..120, |_, _, second| {
        !(1_013..3_037).contains(&second)
    });
    assert_eq!(out, Vec::<String>::new());
}

#[test]
fn outages_that_begin_at_a_time_of_their_own_make_no_vantage_suspect() {
    let mut all = fleet(100, &THREE);
    let down = |service: usize, second: i64| {
        let begins = 600 + i64::try_from(service).unwrap() * 37;
        (begins..begins + 700).contains(&second)
    };
    let out = play(&mut all, 100, 0..120, |_, service, second| {
        !down(service, second)
    });
    assert_eq!(out, Vec::<String>::new());
}

#[test]
fn what_three_of_a_hundred_targets_do_from_one_vantage_is_theirs() {
    // An access of a provider that does not reach one of their networks.
    let mut all = fleet(100, &THREE);
    let out = play(&mut all, 100, 0..240, |vantage, service, _| {
        vantage != 0 || service > 2
    });
    assert_eq!(out, Vec::<String>::new());
}

#[test]
fn a_tenth_that_fails_from_one_vantage_alone_is_its_own() {
    let mut all = fleet(30, &THREE);
    let lost =
        |service: usize, second: i64| (second / 60 + i64::try_from(service).unwrap()) % 10 == 0;
    let out = play(&mut all, 30, 0..60, |vantage, service, second| {
        vantage != 1 || second < 600 || !lost(service, second)
    });
    assert_eq!(out, ["b"]);
    assert!(!all.is_heard(&id("b")));
    let standing = all.standings().find(|(v, _)| v.as_str() == "b").unwrap().1;
    assert_eq!(standing.amiss.unwrap().0, Cause::MonitorVantageUplink);
    // It is heard again after as much evidence as it took, and not before.
    play(&mut all, 30, 60..62, |_, _, _| true);
    assert!(!all.is_heard(&id("b")));
    play(&mut all, 30, 62..80, |_, _, _| true);
    assert!(all.is_heard(&id("b")));
}

#[test]
fn a08_one_that_is_always_green_is_a_liar_to_two_networks_only() {
    let down =
        |vantage: usize, service: usize, second: i64| vantage != 0 && service < 8 && second > 900;
    let mut all = fleet(12, &THREE);
    let out = play(&mut all, 12, 0..40, |v, s, at| !down(v, s, at));
    assert_eq!(out, ["a"]);
    // Whoever is spared what a part of all is hit by may be right.
    let part =
        |vantage: usize, service: usize, second: i64| vantage != 0 && service < 3 && second > 900;
    let mut all = fleet(12, &THREE);
    let out = play(&mut all, 12, 0..40, |v, s, at| !part(v, s, at));
    assert_eq!(out, Vec::<String>::new());
    // Two that see it well are not silenced by two that do not.
    let four = [
        ("a", Some(1)),
        ("b", Some(2)),
        ("c", Some(3)),
        ("d", Some(4)),
    ];
    let half =
        |vantage: usize, service: usize, second: i64| vantage > 1 && service < 8 && second > 900;
    let mut all = fleet(12, &four);
    let out = play(&mut all, 12, 0..40, |v, s, at| !half(v, s, at));
    assert_eq!(out, Vec::<String>::new());
    // What two of one network see may be the trouble of that.
    let mut all = fleet(12, &[("a", Some(1)), ("b", Some(2)), ("c", Some(2))]);
    let out = play(&mut all, 12, 0..40, |v, s, at| !down(v, s, at));
    assert_eq!(out, Vec::<String>::new());
}

#[test]
fn somebody_is_always_heard() {
    let mut all = fleet(12, &[("a", Some(1)), ("b", Some(2))]);
    // Each says of the other's half that it works.
    let out = play(&mut all, 12, 0..200, |vantage, service, _| {
        service % 2 == vantage
    });
    assert!(out.len() <= 1, "{out:?}");
    assert!(all.is_heard(&id("a")) || all.is_heard(&id("b")));
}

#[test]
fn one_vantage_is_heard_whatever_it_says() {
    let mut all = fleet(12, &[("local", None)]);
    let out = play(&mut all, 12, 0..30, |_, _, _| false);
    assert_eq!(out, Vec::<String>::new());
    assert!(all.is_heard(&id("local")));
}

#[test]
fn what_is_known_survives_a_restart() {
    let mut all = fleet(12, &THREE);
    play(&mut all, 12, 0..40, |vantage, _, second| {
        vantage != 2 || second < 600
    });
    assert!(!all.is_heard(&id("c")));
    let bytes = all.checkpoint();
    let mut again = fleet(12, &THREE);
    again.restore(&bytes);
    again.restore(b"damaged");
    assert!(!again.is_heard(&id("c")));
    assert!(again.standings().eq(all.standings()));
}

#[test]
fn an_outage_of_everything_asks_no_storm() {
    let mut bursts = Bursts::default();
    let order: Vec<VantageId> = ["a", "b", "c", "d", "e", "f", "g", "a"].map(id).into();
    let mut asked = 0;
    for n in 0..5_000 {
        let check = CheckId::new(&format!("s{n}"), "main");
        asked += usize::from(
            bursts
                .suspect(&check, &id("a"), &order, |_| true, at(0))
                .is_some(),
        );
    }
    for second in 0..50 {
        asked += bursts.tick(at(second)).len();
    }
    assert_eq!(asked, 600);
    // The next minute has room again.
    let check = CheckId::new("late", "main");
    assert_eq!(
        bursts.suspect(&check, &id("a"), &order, |_| true, at(100)),
        Some(id("b"))
    );
}

#[test]
fn five_others_are_asked_one_after_another_until_one_is_served() {
    let order: Vec<VantageId> = ["b", "c", "a", "d", "e", "f", "g"].map(id).into();
    let check = CheckId::new("s", "main");
    let not_e = |vantage: &VantageId| vantage.as_str() != "e";
    let asked = |until: i64| {
        let mut bursts = Bursts::default();
        let mut asked: Vec<VantageId> = Vec::new();
        asked.extend(bursts.suspect(&check, &id("a"), &order, not_e, at(0)));
        for second in 1..30 {
            if second == until {
                let mut served = run("c", "s", second, true);
                served.trigger = Trigger::Confirm;
                bursts.ran(&served);
            }
            asked.extend(
                bursts
                    .tick(at(second))
                    .into_iter()
                    .map(|(_, vantage)| vantage),
            );
        }
        asked
            .iter()
            .map(|v| v.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(asked(99), ["b", "c", "d", "f", "g"]);
    assert_eq!(asked(3), ["b", "c"]);
}

/// What is wrong with `b` by what its link is like, where all else is well.
fn amiss_by(all: &mut Vantages, link: Option<Link>, second: i64) -> Vec<Cause> {
    let well = Link {
        is_linked: true,
        since: Some(at(0)),
        heard: Some(at(second)),
        boot: 1,
        ..Link::default()
    };
    for vantage in ["a", "c"] {
        all.heard(
            &Heard::of(&run(vantage, "s0", second, true)),
            EVERY,
            at(second),
        );
    }
    all.tick(
        |v| {
            if v.as_str() == "b" {
                link.clone()
            } else {
                Some(well.clone())
            }
        },
        at(second),
    );
    all.known[&id("b")].troubles.keys().copied().collect()
}

#[test]
fn m10_what_waits_at_an_agent_is_late_and_what_comes_in_time_counts() {
    let mut all = fleet(3, &THREE);
    let link = |second: i64, waits: u64, trouble: Option<&str>| {
        Some(Link {
            is_linked: true,
            since: Some(at(0)),
            heard: Some(at(second)),
            boot: 1,
            spooled: waits / 10,
            waits: Some(Duration::from_secs(waits)),
            trouble: trouble.map(str::to_owned),
            ..Link::default()
        })
    };
    assert_eq!(amiss_by(&mut all, link(10, 5, None), 10), []);
    assert_eq!(amiss_by(&mut all, link(110, 115, None), 110), []);
    assert_eq!(
        amiss_by(&mut all, link(130, 130, None), 130),
        [Cause::MonitorPipelineLag]
    );
    assert!(all.is_heard(&id("b")), "what is late makes nothing wrong");
    // While it is late it is not said that nothing runs there, and it is over when little waits.
    assert_eq!(
        amiss_by(&mut all, link(400, 100, None), 400),
        [Cause::MonitorPipelineLag]
    );
    all.heard(&Heard::of(&run("b", "s0", 430, true)), EVERY, at(430));
    assert_eq!(amiss_by(&mut all, link(440, 0, None), 440), []);
    let full = link(450, 0, Some("no space left on device"));
    assert_eq!(amiss_by(&mut all, full, 450), [Cause::MonitorPipelineLag]);
    assert_eq!(amiss_by(&mut all, link(460, 0, None), 460), []);
}

#[test]
fn agents_have_time_to_come_back_and_who_never_came_is_not_missed() {
    let mut never = fleet(3, &THREE);
    for second in (0..600).step_by(10) {
        assert_eq!(amiss_by(&mut never, None, second), []);
    }
    assert!(!never.is_heard(&id("b")), "nor is it heard");
    // It came once, and then the hub was started anew.
    let here = Link {
        is_linked: true,
        since: Some(at(0)),
        heard: Some(at(1)),
        boot: 7,
        ..Link::default()
    };
    let mut before = fleet(3, &THREE);
    assert_eq!(amiss_by(&mut before, Some(here), 1), []);
    assert!(before.take_news());
    let mut again = fleet(3, &THREE);
    again.restore(&before.checkpoint());
    assert_eq!(amiss_by(&mut again, None, 50), []);
    let gone = [Cause::MonitorVantageOffline];
    assert_eq!(amiss_by(&mut again, None, 121), gone);
    // The same start of it comes back: it was cut off.
    let back = Link {
        is_linked: true,
        since: Some(at(200)),
        heard: Some(at(200)),
        boot: 7,
        ..Link::default()
    };
    let changes = again.tick(|v| (v.as_str() == "b").then(|| back.clone()), at(200));
    let rejudged = |change: &Change| matches!(change, Change::Rejudged { amiss, .. } if amiss.cause == Cause::MonitorVantageUplink);
    assert!(changes.iter().any(rejudged), "{changes:#?}");
    assert!(again.is_heard(&id("b")));
}

#[test]
fn a_provider_that_fails_from_one_vantage_is_not_its_access() {
    // Three of eight targets stand behind it; the others are served but for a lost packet now and then.
    let lost = |service: usize, second: i64| (second / 60 * 8 + service as i64) % 97 == 0;
    let fails = |vantage: usize, service: usize, second: i64| {
        vantage == 0 && second > 600 && (service < 3 || lost(service, second))
    };
    let mut all = fleet(8, &THREE);
    let out = play(&mut all, 8, 0..600, |v, s, at| !fails(v, s, at));
    assert_eq!(out, Vec::<String>::new());
    // And one that works every other time.
    let flaps = |vantage: usize, service: usize, second: i64| {
        vantage == 0
            && second > 600
            && (service < 3 && second / 60 % 2 == 0 || lost(service, second))
    };
    let mut all = fleet(8, &THREE);
    let out = play(&mut all, 8, 0..600, |v, s, at| !flaps(v, s, at));
    assert_eq!(out, Vec::<String>::new());
}

#[test]
fn half_of_all_failing_from_one_vantage_is_its_access() {
    for zones in [8, 12, 40] {
        let mut all = fleet(zones, &THREE);
        let out = play(&mut all, zones, 0..20, |vantage, service, second| {
            vantage != 1 || second < 600 || service >= zones / 2
        });
        assert_eq!(out, ["b"], "{zones} targets");
    }
}

#[test]
fn a_third_of_all_packets_lost_is_told_within_minutes() {
    for zones in [8, 12, 40, 100] {
        let mut all = fleet(zones, &THREE);
        // Which ones fail is another third each minute.
        let lost = |service: usize, second: i64| {
            let mixed = (service as u64 + 1) * 2_654_435_761 + (second as u64 / 60) * 40_503 * 977;
            (mixed >> 7) % 10 < 3
        };
        let out = play(&mut all, zones, 0..10, |_, _, _| true);
        assert_eq!(out, Vec::<String>::new());
        let out = play(&mut all, zones, 10..15, |vantage, service, second| {
            vantage != 1 || !lost(service, second)
        });
        assert_eq!(out, ["b"], "{zones} targets");
    }
}

#[test]
fn who_is_not_believed_by_others_is_not_after_a_restart() {
    let mut all = fleet(12, &THREE);
    let fails = |vantage: usize, second: i64| vantage == 2 && second >= 600;
    play(&mut all, 12, 0..40, |vantage, _, second| {
        !fails(vantage, second)
    });
    assert!(!all.is_heard(&id("c")));
    let bytes = all.checkpoint();
    let mut again = fleet(12, &THREE);
    again.clock_moved(at(2_400));
    again.restore(&bytes);
    let out = play(&mut again, 12, 40..50, |vantage, _, second| {
        !fails(vantage, second)
    });
    assert_eq!(out, Vec::<String>::new(), "it is not found out anew");
    assert!(!again.is_heard(&id("c")), "nor believed meanwhile");
    // A new configuration, in which the same target has another number, makes no difference.
    let mut moved = fleet(14, &THREE);
    moved.clock_moved(at(2_400));
    moved.restore(&bytes);
    play(&mut moved, 14, 40..42, |vantage, _, second| {
        !fails(vantage, second)
    });
    assert!(!moved.is_heard(&id("c")));
    play(&mut moved, 14, 42..70, |_, _, _| true);
    assert!(moved.is_heard(&id("c")), "it is when all is well there");
}

/// One tick with these links; tells what changed.
fn linked(all: &mut Vantages, offsets: &[(&str, Option<i64>)], second: i64) -> Vec<Change> {
    let names: Vec<VantageId> = all.known.keys().cloned().collect();
    for vantage in &names {
        let run = run(vantage.as_str(), "s0", second, true);
        all.heard(&Heard::of(&run), EVERY, at(second));
    }
    let link = |vantage: &VantageId| {
        let found = offsets.iter().find(|(name, _)| *name == vantage.as_str());
        found.map(|(_, offset_ms)| Link {
            is_linked: true,
            since: Some(at(0)),
            heard: Some(at(second)),
            boot: 1,
            offset_ms: *offset_ms,
            ..Link::default()
        })
    };
    all.tick(link, at(second))
}

fn told(changes: &[Change]) -> Vec<(String, Cause)> {
    let amiss = changes.iter().filter_map(|change| match change {
        Change::Amiss(amiss) => Some((amiss.vantage.to_string(), amiss.cause)),
        _ => None,
    });
    amiss.collect()
}

const LOCAL_AND_THREE: [(&str, Option<u32>); 4] = [
    ("local", None),
    ("a", Some(1)),
    ("b", Some(2)),
    ("c", Some(3)),
];

#[test]
fn when_most_clocks_differ_by_the_same_it_is_the_hubs() {
    let hour = 3_600_000;
    for off in [hour, -hour] {
        let mut all = fleet(3, &LOCAL_AND_THREE);
        let well = [("a", Some(5)), ("b", Some(-7)), ("c", Some(0))];
        assert_eq!(told(&linked(&mut all, &well, 10)), []);
        // They are measured one after another.
        let one = [("a", Some(off)), ("b", Some(-7)), ("c", Some(0))];
        for second in 11..21 {
            assert_eq!(told(&linked(&mut all, &one, second)), []);
        }
        let two = [("a", Some(off)), ("b", Some(off - 7)), ("c", Some(0))];
        let changes = linked(&mut all, &two, 21);
        assert_eq!(
            told(&changes),
            [("local".to_owned(), Cause::MonitorClockSkew)]
        );
        let three = [("a", Some(off)), ("b", Some(off - 7)), ("c", Some(off))];
        for second in 22..120 {
            assert_eq!(told(&linked(&mut all, &three, second)), []);
        }
        for agent in ["a", "b", "c"] {
            assert!(all.is_heard(&id(agent)), "{agent} is believed");
        }
        assert!(!all.is_heard(&id("local")));
        // One of them is wrong by itself as well.
        let other = [("a", Some(off)), ("b", Some(off - 7)), ("c", Some(off / 2))];
        let mut later = Vec::new();
        for second in 120..150 {
            later.extend(told(&linked(&mut all, &other, second)));
        }
        assert_eq!(later, [("c".to_owned(), Cause::MonitorClockSkew)]);
        // It is put right.
        linked(&mut all, &well, 150);
        for agent in ["local", "a", "b", "c"] {
            assert!(all.is_heard(&id(agent)), "{agent}");
        }
    }
}

#[test]
fn with_one_agent_it_is_not_said_whose_clock_is_wrong() {
    let mut all = fleet(3, &[("local", None), ("a", Some(1))]);
    let mut words = Vec::new();
    for second in 0..40 {
        for change in linked(&mut all, &[("a", Some(-3_600_000))], second) {
            if let Change::Amiss(amiss) = change {
                words.push((amiss.vantage.to_string(), amiss.summary));
            }
        }
    }
    assert_eq!(words.len(), 1, "{words:?}");
    assert_eq!(words[0].0, "a");
    assert!(
        words[0].1.contains("either may be the wrong one"),
        "{words:?}"
    );
}

/// Only what changes who is left: what is told of single ones, and that nobody is.
fn names(changes: &[Change]) -> Vec<String> {
    let names = changes.iter().filter_map(|change| match change {
        Change::Amiss(amiss) => Some(format!("amiss {}", amiss.vantage)),
        Change::Mended { vantage, .. } => Some(format!("mended {vantage}")),
        Change::Blind(_) => Some("blind".to_owned()),
        Change::Sees { .. } => Some("sees".to_owned()),
        _ => None,
    });
    names.collect()
}

#[test]
fn nobody_heard_is_told_once_and_not_of_each() {
    let mut all = fleet(3, &[("local", None), ("a", Some(1)), ("b", Some(2))]);
    let here = |second: i64| Link {
        is_linked: true,
        since: Some(at(0)),
        heard: Some(at(second)),
        boot: 1,
        ..Link::default()
    };
    all.tick(|v| (v.as_str() != "local").then(|| here(1)), at(1));
    let mut told = Vec::new();
    let mut blind = None;
    for second in 2..400 {
        // `a` goes first, then all else.
        if second < 200 {
            for vantage in ["local", "b"] {
                let run = run(vantage, "s0", second, true);
                all.heard(&Heard::of(&run), EVERY, at(second));
            }
        }
        let linked = |v: &VantageId| (second < 200 && v.as_str() == "b").then(|| here(second));
        let changes = all.tick(linked, at(second));
        for change in &changes {
            if let Change::Amiss(amiss) = change {
                assert!(amiss.summary.ends_with("; others judge meanwhile"));
            }
            if let Change::Blind(told) = change {
                blind = Some(told.clone());
            }
        }
        // The one before the last is told as it is: then there still is one.
        told.extend(names(&changes));
    }
    assert_eq!(told, ["amiss a", "amiss b", "blind"]);
    let blind = blind.unwrap();
    assert!(
        blind
            .summary
            .starts_with("nothing is watched now: none of 3")
    );
    assert!(!blind.summary.contains("meanwhile"), "{}", blind.summary);
    for (_, standing) in all.standings() {
        let (_, summary) = standing.amiss.unwrap();
        assert!(!summary.contains("others judge"), "{summary}");
    }
    // It stays known over a restart, and is not told again.
    let mut again = fleet(3, &[("local", None), ("a", Some(1)), ("b", Some(2))]);
    again.restore(&all.checkpoint());
    assert_eq!(names(&again.tick(|_| None, at(400))), Vec::<String>::new());
    // Somebody is heard again: what still is wrong is told of each.
    all.heard(&Heard::of(&run("local", "s0", 401, true)), EVERY, at(401));
    assert_eq!(
        names(&all.tick(|_| None, at(401))),
        ["sees", "amiss a", "amiss b"]
    );
}

#[test]
fn one_check_that_pauses_is_not_the_whole_vantage() {
    let pace = |n: usize, seconds: u64| CheckMeta {
        id: CheckId::new(&format!("s{n}"), "main"),
        every: Duration::from_secs(seconds),
        depends: Vec::new(),
        vantages: Vec::new(),
        canary: false,
    };
    let mut checks: Vec<CheckMeta> = (1..4).map(|n| pace(n, 300)).collect();
    checks.push(pace(0, 1));
    let mut all = fleet(1, &[("local", None), ("a", Some(1))]);
    let vantages: Vec<VantageMeta> = ["local", "a"]
        .map(|vantage| VantageMeta {
            id: id(vantage),
            region: None,
            asn: None,
            country: None,
        })
        .into();
    all.configure(&checks, &vantages, at(0));
    let mut told = Vec::new();
    for second in 0..2_000 {
        // The fast one gives no result at `a` from the 20th second on, the others do until the 1,000th.
        if second < 20 {
            all.heard(&Heard::of(&run("a", "s0", second, true)), EVERY, at(second));
        }
        if second < 1_000 && second % 300 == 17 {
            all.heard(&Heard::of(&run("a", "s1", second, true)), EVERY, at(second));
        }
        all.heard(
            &Heard::of(&run("local", "s0", second, true)),
            EVERY,
            at(second),
        );
        let link = |v: &VantageId| {
            (v.as_str() == "a").then(|| Link {
                is_linked: true,
                since: Some(at(0)),
                heard: Some(at(second)),
                boot: 1,
                ..Link::default()
            })
        };
        for change in all.tick(link, at(second)) {
            if let Change::Amiss(amiss) = change {
                told.push((second, amiss.cause));
            }
        }
    }
    // 917 was the last; two intervals of the slower ones later it is the vantage.
    assert_eq!(told, [(917 + 610 + 1, Cause::MonitorProbeHung)]);
}

#[test]
fn what_hangs_at_the_hub_itself_is_looked_for_there() {
    let mut all = fleet(1, &[("local", None), ("a", Some(1))]);
    let mut told = Vec::new();
    for second in (0..2_000).step_by(10) {
        let whose: &[&str] = if second < 500 {
            &["local", "a"]
        } else {
            &["a"]
        };
        for vantage in whose {
            let run = run(vantage, "s0", second, true);
            all.heard(&Heard::of(&run), EVERY, at(second));
        }
        let link = |v: &VantageId| {
            (v.as_str() == "a").then(|| Link {
                is_linked: true,
                since: Some(at(0)),
                heard: Some(at(second)),
                boot: 1,
                ..Link::default()
            })
        };
        let amiss = all.tick(link, at(second)).into_iter();
        told.extend(amiss.filter_map(|change| match change {
            Change::Amiss(amiss) => Some((amiss.vantage, amiss.cause, amiss.remedy)),
            _ => None,
        }));
    }
    let [(vantage, cause, remedy)] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((vantage, *cause), (&id("local"), Cause::MonitorProbeHung));
    assert!(remedy.contains("`bellwether serve`"), "{remedy}");
}

#[test]
fn m03_what_arrives_long_after_it_was_seen_is_late_until_no_more_of_it_comes() {
    let mut all = fleet(3, &THREE);
    let link = |second: i64, offset_ms: i64| {
        Some(Link {
            is_linked: true,
            since: Some(at(590)),
            heard: Some(at(second)),
            boot: 1,
            offset_ms: Some(offset_ms),
            ..Link::default()
        })
    };
    let brings = |all: &mut Vantages, began: &[i64], second: i64| {
        for began in began {
            all.heard(&Heard::of(&run("b", "s0", *began, true)), EVERY, at(second));
        }
    };
    // Nothing waits there by the agent's own word: it is all on its way.
    brings(&mut all, &[60, 120], 600);
    assert_eq!(
        amiss_by(&mut all, link(600, 0), 600),
        [],
        "two are an accident"
    );
    brings(&mut all, &[180, 600], 601);
    assert_eq!(
        amiss_by(&mut all, link(601, 0), 601),
        [Cause::MonitorPipelineLag]
    );
    assert!(all.is_heard(&id("b")));
    assert_eq!(
        amiss_by(&mut all, link(605, 0), 605),
        [Cause::MonitorPipelineLag]
    );
    assert_eq!(amiss_by(&mut all, link(607, 0), 607), []);
    // By a clock that is an hour behind all of it looks old, and the clock is what is told.
    brings(&mut all, &[240, 300, 360], 610);
    for second in [610, 612, 614] {
        assert_eq!(amiss_by(&mut all, link(second, 3_600_000), second), []);
        brings(&mut all, &[240, 300, 360], second);
    }
    assert_eq!(
        amiss_by(&mut all, link(640, 3_600_000), 640),
        [Cause::MonitorClockSkew]
    );
}

/// Who is not believed by what its other targets say is cut off, and linked again: that ends nothing.
#[test]
fn what_others_say_of_an_access_is_not_over_because_its_agent_is_linked_again() {
    let linked = |second: i64| {
        Some(Link {
            is_linked: true,
            since: Some(at(second)),
            heard: Some(at(second)),
            boot: 1,
            ..Link::default()
        })
    };
    let mut all = fleet(8, &THREE);
    let out = play(&mut all, 8, 0..20, |vantage, _, second| {
        vantage != 1 || second < 600
    });
    assert_eq!(out, ["b"]);
    let mut told = Vec::new();
    for second in [1_201, 1_215, 1_400, 1_500] {
        all.heard(&Heard::of(&run("a", "s0", second, true)), EVERY, at(second));
        let changes = all.tick(
            |v| match second {
                1_201..1_500 if v.as_str() == "b" => None,
                _ => linked(second),
            },
            at(second),
        );
        told.extend(changes.into_iter().filter_map(|change| match change {
            Change::Amiss(amiss) if amiss.vantage == id("b") => Some(("amiss", amiss.cause)),
            Change::Mended { vantage, cause, .. } if vantage == id("b") => Some(("mended", cause)),
            Change::Rejudged { amiss, .. } => Some(("rejudged", amiss.cause)),
            Change::Heard { .. } => Some(("heard", Cause::Unknown)),
            _ => None,
        }));
    }
    let offline = Cause::MonitorVantageOffline;
    assert_eq!(told, [("amiss", offline), ("mended", offline)]);
    let uplink = Cause::MonitorVantageUplink;
    assert!(all.known[&id("b")].troubles.contains_key(&uplink));
    // It ends when neither holds.
    play(&mut all, 8, 26..50, |_, _, _| true);
    assert!(all.is_heard(&id("b")));
}

/// A trace that finds a false signal, and what others see: each alone is enough, and neither ends the
/// other.
#[test]
fn what_a_trace_says_of_a_false_signal_stands_until_traces_say_otherwise() {
    let false_signal = Cause::MonitorFalseSignal;
    let stands = |all: &Vantages| all.known[&id("a")].troubles.contains_key(&false_signal);
    let mut all = fleet(12, &THREE);
    play(&mut all, 12, 0..2, |_, _, _| true);
    let trace = |all: &mut Vantages, report: &Report, second: i64| {
        all.traced(&CheckId::new("s0", "main"), &id("a"), report, at(second));
    };
    for second in [121, 122] {
        trace(&mut all, &blames(Some(false_signal)), second);
    }
    assert!(stands(&all));
    play(&mut all, 12, 3..5, |_, _, _| true);
    assert!(
        stands(&all),
        "others see the same, and that is no word on it"
    );
    // From all others most fails meanwhile: two traces that say nothing of it end nothing.
    play(&mut all, 12, 5..15, |vantage, service, _| {
        vantage == 0 || service > 7
    });
    for second in [901, 902, 903] {
        trace(&mut all, &blames(None), second);
    }
    assert!(stands(&all));
    play(&mut all, 12, 16..50, |_, _, _| true);
    assert!(!stands(&all), "neither holds");
}

/// A trace that blames its own vantage for this, or finds all well.
fn blames(cause: Option<Cause>) -> Report {
    let verdict = match cause {
        Some(_) => Verdict::Unknown,
        None => Verdict::Healthy,
    };
    let finding = |cause| Finding {
        cause,
        layer: Layer::Monitor,
        role: Role::Root,
        severity: Severity::Critical,
        confidence: 0.9,
        scope: Scope::default(),
        summary: format!("it is {cause}"),
        remedy: String::new(),
        see: None,
        facts: Vec::new(),
        evidence: Vec::new(),
    };
    Report {
        schema: REPORT_SCHEMA.to_owned(),
        version: "0.0.0".to_owned(),
        target: "https://www.svc.test/".to_owned(),
        began: at(0),
        took_ms: 1.0,
        verdict,
        diagnosis: None,
        findings: cause.into_iter().map(finding).collect(),
        layers: Vec::new(),
        controls: Vec::new(),
        critical_path: 1,
        queries: 1,
        peak_kib: None,
        context: None,
        observations: Vec::new(),
    }
}
