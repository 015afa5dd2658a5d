//! Agents that lie, and strangers.

use super::super::counts::Turned;
use super::super::roster::roster;
use super::super::sift::Why;
use super::super::visit::FIRST_WORD;
use super::*;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

/// What somebody without a certificate hears.
async fn stranger(room: &Room, said: &ToHub) -> ToAgent {
    let mut wire = room.connect(None);
    wire.say(said).await;
    wire.hear().await.expect("an answer")
}

#[tokio::test]
async fn p24_a_stolen_agent_lies_about_itself_alone() {
    let mut room = room();
    let (fra, nyc) = (room.enrol("fra"), room.enrol("nyc"));
    let (mut thief, mut other) = (room.link(&fra).await, room.link(&nyc).await);
    let lies = ["fra", "nyc", "local"].map(|vantage| Harvest::Run(run(vantage, 1)));
    thief.deliver(1, &packed_of(lies.to_vec())).await;
    assert_eq!(thief.kept().await, 1);
    other.deliver(1, &packed("nyc", 2)).await;
    assert_eq!(other.kept().await, 1);
    assert_eq!(room.runs(&check(), "fra"), [stored("fra", 1)]);
    assert_eq!(room.runs(&check(), "nyc"), [stored("nyc", 2)]);
    assert!(room.runs(&check(), "local").is_empty());
    assert_eq!(room.counts("fra").refused[Why::Vantage as usize], 2);
    let judged = room.judged.recv().await.unwrap();
    assert_eq!(judged.harvest.len(), 1, "what is not kept is not judged");
    assert!(
        room.fleet()
            .revoke(&VantageId::new("fra"), "admin")
            .unwrap()
    );
    assert_eq!(thief.refused().await.0, Refusal::Denied, "at once");
    other.deliver(2, &packed("nyc", 3)).await;
    assert_eq!(other.kept().await, 2);
}

#[tokio::test]
async fn hostile_a01_replayed_batch() {
    let mut room = room();
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    for number in [1, 2, 1, 2, 1] {
        wire.deliver(number, &packed("fra", number)).await;
        wire.kept().await;
    }
    drop(wire);
    let (mut wire, kept) = room.link_as(&peer, hello(2)).await;
    assert_eq!(kept, 2);
    wire.deliver(1, &packed("fra", 9)).await;
    assert_eq!(wire.kept().await, 2);
    assert_eq!(
        room.runs(&check(), "fra"),
        [stored("fra", 1), stored("fra", 2)]
    );
    assert_eq!(room.counts("fra").repeated, 4);
    assert!(room.judged.try_recv().is_ok() && room.judged.try_recv().is_ok());
    assert!(room.judged.try_recv().is_err(), "nothing is judged twice");
}

#[tokio::test]
async fn hostile_a06_claims_many_vantages() {
    let room = room();
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    let claims = (0..10_000).map(|n| Harvest::Run(run(&format!("v{n}"), 1)));
    wire.deliver(1, &packed_of(claims.collect())).await;
    assert_eq!(wire.kept().await, 1);
    assert!(room.hub.memory.all_series().unwrap().is_empty());
    assert_eq!(room.counts("fra").refused[Why::Vantage as usize], 10_000);
    assert_eq!(room.hub.shared.links.all().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn hostile_a09_tokens_are_refused_alike() {
    let room = room();
    let (used, _) = room.token("nyc");
    let mut wire = room.connect(None);
    assert!(matches!(wire.enrol(&used).await, ToAgent::Enrolled { .. }));
    let (replaced, whole) = room.token("fra");
    let (gone, _) = room.token("fra");
    reconfigure(&room, &CONFIG.replace("fra", "lon"));
    let mut answers = Vec::new();
    for token in [
        "guessed",
        &used,
        &replaced,
        &gone,
        &whole,
        "",
        &"x".repeat(100_000),
    ] {
        let begun = Instant::now();
        let mut wire = room.connect(None);
        answers.push((wire.enrol(token).await, begun.elapsed()));
    }
    let (first, took) = &answers[0];
    assert!(matches!(
        first,
        ToAgent::Refused {
            code: Refusal::Denied,
            ..
        }
    ));
    for (answer, time) in &answers {
        assert_eq!(answer, first);
        assert!(
            time.abs_diff(*took) <= Duration::from_millis(2),
            "{time:?} {took:?}"
        );
    }
    // Whoever goes on guessing waits longer each time; the right token opens all the same.
    let mut last = Duration::ZERO;
    for _ in 0..20 {
        let begun = Instant::now();
        room.connect(None).enrol("guessed").await;
        last = begun.elapsed();
    }
    assert!(last > *took * 4, "{last:?}");
    let (right, _) = room.token("nyc");
    let enrolled = room.connect(None).enrol(&right).await;
    assert!(matches!(enrolled, ToAgent::Enrolled { .. }));
    assert_eq!(room.fleet().tally.all_turned()[Turned::Token as usize], 27);
}

#[tokio::test]
async fn a_new_enrolment_ends_the_former_one() {
    let room = room();
    let former = room.enrol("fra");
    let mut wire = room.link(&former).await;
    let (secret, _) = room.token("fra");
    let enrolled = room.connect(None).enrol(&secret).await;
    let ToAgent::Enrolled { vantage, agent, .. } = enrolled else {
        panic!("{enrolled:?}");
    };
    assert_eq!(vantage.as_str(), "fra");
    assert_ne!(*agent, *former.agent);
    assert_eq!(wire.refused().await.0, Refusal::Denied);
    let mut wire = room.connect(Some(former));
    wire.say(&ToHub::Hello(hello(1))).await;
    assert_eq!(wire.refused().await.0, Refusal::Denied);
}

#[tokio::test(start_paused = true)]
async fn hostile_a10_a_certificate_that_ends_ends_its_link() {
    let room = room();
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    // An agent that answers, for more than a month.
    let refused = loop {
        match wire.hear().await.expect("the link holds") {
            ToAgent::Time { at, .. } => {
                wire.say(&ToHub::Time { asked: at, at }).await;
                tokio::time::advance(Duration::from_secs(600)).await;
                wire.say(&ToHub::Planned { generation: 1 }).await;
            }
            ToAgent::Refused { code, .. } => break code,
            _ => {}
        }
    };
    assert_eq!(refused, Refusal::Denied);
    let lived = room.host.now().duration_since(start()).as_secs();
    assert!((30 * 86_400..31 * 86_400).contains(&lived), "{lived}");
}

#[tokio::test(start_paused = true)]
async fn hostile_a10_a_link_outlives_the_certificate_that_it_began_with() {
    let room = room();
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    let day = |days: i64| room.host.now().duration_since(start()).as_secs() / 86_400 >= days;
    let mut has_asked = false;
    let refused = loop {
        match wire.hear().await.expect("the link holds") {
            ToAgent::Time { at, .. } => {
                wire.say(&ToHub::Time { asked: at, at }).await;
                tokio::time::advance(Duration::from_secs(600)).await;
                wire.say(&ToHub::Planned { generation: 1 }).await;
                if day(20) && !std::mem::replace(&mut has_asked, true) {
                    let request = STANDARD.encode(request().0);
                    wire.say(&ToHub::Renew { request }).await;
                    wire.hear_until(|heard| matches!(heard, ToAgent::Renewed { .. }).then_some(()))
                        .await;
                }
            }
            ToAgent::Refused { code, .. } => break code,
            _ => {}
        }
    };
    assert_eq!(refused, Refusal::Denied);
    assert!(has_asked && day(50) && !day(51), "{}", room.host.now());
}

#[tokio::test]
async fn a11_versions_before_and_after() {
    let room = room();
    let peer = room.enrol("fra");
    for (versions, is_welcome) in [
        ((0, 1), true),
        ((1, 2), true),
        ((2, 2), false),
        ((0, 0), false),
    ] {
        let mut wire = room.connect(Some(peer.clone()));
        let hello = Hello {
            versions,
            ..hello(1)
        };
        wire.say(&ToHub::Hello(hello)).await;
        if is_welcome {
            wire.welcomed().await;
        } else {
            let (code, why) = wire.refused().await;
            assert_eq!(code, Refusal::Version);
            assert!(why.contains("upgrade"), "{why}");
        }
    }
    // A hub that speaks one more goes by what the agent knows.
    let newer = Host {
        versions: (1, 2),
        ..Host::new(room.hub.shared.clone(), mpsc::channel(1).0).unwrap()
    };
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    tokio::spawn(visit(Arc::new(newer), ours, Some(peer), FROM, ()));
    let mut wire = Wire(theirs);
    wire.say(&ToHub::Hello(hello(1))).await;
    let heard = wire.hear().await;
    assert!(
        matches!(heard, Some(ToAgent::Welcome { version: 1, .. })),
        "{heard:?}"
    );
}

#[tokio::test]
async fn a12_a_result_for_a_job_never_given() {
    let mut room = room();
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    let never = Run {
        check: CheckId::new("bank", "main"),
        ..run("fra", 1)
    };
    wire.deliver(1, &packed_of(vec![Harvest::Run(never)])).await;
    assert_eq!(wire.kept().await, 1);
    assert!(room.runs(&CheckId::new("bank", "main"), "fra").is_empty());
    assert_eq!(room.counts("fra").refused[Why::Check as usize], 1);
    assert!(room.judged.try_recv().is_err());
    let told = troubles(&room, "fra");
    assert!(
        told[0].contains("1 results") && told[0].contains("`bank/main`"),
        "{told:?}"
    );
    assert!(troubles(&room, "nyc").is_empty());
}

/// What is told to be wrong with the agent of a vantage.
fn troubles(room: &Room, vantage: &str) -> Vec<String> {
    let rows = roster(&room.hub.shared).unwrap().into_iter();
    let row = rows.filter(|row| row.vantage.as_str() == vantage);
    row.flat_map(|row| row.troubles()).collect()
}

#[tokio::test]
async fn p24_a_stolen_agent_cannot_fill_the_dictionary() {
    const WORDS: u32 = 10_000;
    let room = room();
    let (fra, nyc) = (room.enrol("fra"), room.enrol("nyc"));
    let address = |n: u32| Some(IpAddr::from((0x0a00_0000 + n).to_be_bytes()));
    let named = |vantage: &str, numbers: std::ops::Range<u32>| {
        let runs = numbers.map(|n| {
            Harvest::Run(Run {
                address: address(n),
                ..run(vantage, (n % 3_000).into())
            })
        });
        packed_of(runs.collect())
    };
    let mut other = room.link(&nyc).await;
    // Over as many links as it likes.
    for number in 1..=3 {
        let mut thief = room.link(&fra).await;
        let from = (u32::try_from(number).unwrap() - 1) * 6_000;
        let lies = named("fra", from..from + 6_000);
        thief.deliver(number, &lies).await;
        assert_eq!(thief.kept().await, number);
        other.deliver(number, &named("nyc", 0..10)).await;
        assert_eq!(other.kept().await, number, "others' results in time");
    }
    let words = |vantage: &str| {
        let runs = room.runs(&check(), vantage).into_iter();
        let words: std::collections::BTreeSet<_> = runs.filter_map(|run| run.address).collect();
        words.len()
    };
    assert_eq!(room.runs(&check(), "fra").len(), 18_000, "rows are facts");
    assert!(words("fra") <= WORDS as usize, "{}", words("fra"));
    assert_eq!(words("nyc"), 10);
    assert!(room.counts("fra").refused[Why::Word as usize] >= 8_000);
    assert!(troubles(&room, "fra")[0].contains("left out"));
    assert!(troubles(&room, "nyc").is_empty());
}

#[tokio::test]
async fn a_plan_that_an_agent_cannot_go_by_is_told() {
    let room = room();
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    let (generation, why) = (1, "no \u{1b}such file".to_owned());
    wire.say(&ToHub::Unplanned { generation, why }).await;
    wire.deliver(1, &packed("fra", 1)).await;
    assert_eq!(wire.kept().await, 1);
    let told = troubles(&room, "fra");
    assert!(
        told[0].contains("such file") && !told[0].contains('\u{1b}'),
        "{told:?}"
    );
    wire.say(&ToHub::Planned { generation }).await;
    wire.deliver(2, &packed("fra", 2)).await;
    assert_eq!(wire.kept().await, 2);
    assert!(troubles(&room, "fra").is_empty());
}

#[tokio::test]
async fn a16_unknown_message() {
    let room = room();
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    let upgrade = serde_json::json!({ "say": "upgrade", "url": "https://evil.example/" });
    frame::send(&mut wire.0, &upgrade).await.unwrap();
    assert_eq!(wire.refused().await.0, Refusal::Protocol);
    assert_eq!(room.counts("fra").protocol, 1);
    let mut wire = room.link(&peer).await;
    wire.say(&ToHub::Hello(hello(1))).await;
    assert_eq!(wire.refused().await.0, Refusal::Protocol, "twice");
}

#[tokio::test(start_paused = true)]
async fn a18_frozen_clock() {
    let room = room();
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    let mut told = Vec::new();
    while told.len() < 10 {
        let heard = wire.hear().await.expect("the link holds");
        if let ToAgent::Time { at, offset_ms, .. } = heard {
            told.extend(offset_ms);
            let frozen = start();
            wire.say(&ToHub::Time {
                asked: at,
                at: frozen,
            })
            .await;
        }
    }
    assert!(told.is_sorted() && told[9] - told[0] >= 80_000, "{told:?}");
    let presence = room
        .hub
        .shared
        .links
        .presence(&VantageId::new("fra"))
        .unwrap();
    assert!(
        presence.offset_ms.is_some_and(|shown| shown >= 80_000),
        "{presence:?}"
    );
}

#[tokio::test]
async fn who_has_no_certificate_enrols_or_hears_nothing() {
    let room = room();
    let words = [
        ToHub::Hello(hello(1)),
        ToHub::Planned { generation: 1 },
        ToHub::Renew {
            request: String::new(),
        },
    ];
    for said in words {
        let answer = stranger(&room, &said).await;
        assert!(
            matches!(
                answer,
                ToAgent::Refused {
                    code: Refusal::Denied,
                    ..
                }
            ),
            "{answer:?}"
        );
    }
    let mut wire = room.connect(None);
    wire.0.write_all(&[0xff; 64]).await.unwrap();
    assert_eq!(wire.refused().await.0, Refusal::Protocol);
    assert!(room.hub.shared.links.all().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_slow_loris_has_its_time_and_no_more() {
    let room = room();
    let peer = room.enrol("fra");
    let begun = Instant::now();
    let mut wire = room.connect(Some(peer.clone()));
    // A first word of which a byte comes each second.
    let word = frame::encode(&ToHub::Hello(hello(1))).unwrap();
    for byte in word {
        if wire.0.write_all(&[byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(begun.elapsed() <= FIRST_WORD * 2);
    // And a linked one that goes on like that.
    let mut wire = room.link(&peer).await;
    let begun = Instant::now();
    let word = frame::encode(&ToHub::Planned { generation: 1 }).unwrap();
    let (mut reads, mut writes) = tokio::io::split(wire.0);
    let drips = tokio::spawn(async move {
        for byte in word.iter().cycle().take(1_000).skip(1) {
            if writes.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(7)).await;
        }
    });
    let mut rest = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut reads, &mut rest).await;
    drop(reads);
    drips.await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(300),
        "{:?}",
        begun.elapsed()
    );
    wire = room.link(&peer).await;
    wire.say(&ToHub::Planned { generation: 1 }).await;
}

#[tokio::test]
async fn a_batch_of_a_gigabyte_harms_nobody_else() {
    let room = room();
    let (fra, nyc) = (room.enrol("fra"), room.enrol("nyc"));
    // Announced as parts of one delivery: more than there may be.
    let mut wire = room.link(&fra).await;
    let huge = ToHub::Deliver {
        number: 1,
        part: 0,
        parts: 2_048,
        bytes: String::new(),
    };
    wire.say(&huge).await;
    assert_eq!(wire.refused().await.0, Refusal::Protocol);
    // And as one that is small only while it is packed: kept as an empty one, so that it never comes
    // again.
    let bomb = zstd::bulk::compress(&vec![b' '; 1 << 30], 3).unwrap();
    let mut wire = room.link(&fra).await;
    let mut other = room.link(&nyc).await;
    for number in 1..=3 {
        wire.deliver(number, &bomb).await;
        other.deliver(number, &packed("nyc", number)).await;
        assert_eq!(other.kept().await, number, "others' results in time");
        assert_eq!(wire.kept().await, number);
    }
    wire.deliver(4, &packed("fra", 4)).await;
    assert_eq!(wire.kept().await, 4);
    assert_eq!(room.runs(&check(), "fra").len(), 1);
    assert_eq!(room.runs(&check(), "nyc").len(), 3);
    assert_eq!(room.counts("fra").broken, 4);
    // A frame that is announced as one takes no memory and ends the link.
    wire.0
        .write_all(&(1_u32 << 30).to_le_bytes())
        .await
        .unwrap();
    assert_eq!(wire.refused().await.0, Refusal::Protocol);
    // Numbers that leap leave no gap that nobody could fill.
    let mut wire = room.link(&fra).await;
    wire.deliver(u64::MAX, &packed("fra", 9)).await;
    assert_eq!(wire.refused().await.0, Refusal::Protocol);
}
