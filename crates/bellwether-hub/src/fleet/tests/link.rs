//! A link that does what it is for.

use bellwether_agent::{Shown, Trace, TraceWhy};
use bellwether_model::link::{AgentState, Asked, Thinned};
use bellwether_model::report::Context;
use bellwether_model::{Expect, Observation};

use super::*;

fn context(vantage: &str) -> Context {
    Context {
        target: "https://www.shop.example/".parse().unwrap(),
        expect: Expect::default(),
        vantage: vantage.to_owned(),
        now: start(),
        time_given: false,
        family: None,
        baseline: None,
    }
}

fn shown(vantage: &str, sequence: u64) -> Harvest {
    Harvest::Shown(Box::new(Shown {
        run: run(vantage, sequence),
        context: context(vantage),
        took_ms: 1.0,
        queries: 1,
        observations: Vec::<Observation>::new(),
    }))
}

fn trace(vantage: &str) -> Harvest {
    Harvest::Trace(Box::new(Trace {
        check: check(),
        why: TraceWhy::Failure,
        context: context(vantage),
        began: start(),
        took_ms: 1.0,
        queries: 1,
        observations: Vec::new(),
    }))
}

#[tokio::test]
async fn what_is_delivered_is_kept_then_told_then_judged() {
    let mut room = room();
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    let harvest = vec![Harvest::Run(run("fra", 1)), shown("fra", 2), trace("fra")];
    wire.deliver(1, &packed_of(harvest)).await;
    assert_eq!(wire.kept().await, 1);
    let runs = room.runs(&check(), "fra");
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0], stored("fra", 1));
    let evidence = runs[1].evidence.expect("what was shown proves it");
    let bytes = room.hub.shared.state.evidence(&evidence).unwrap().unwrap();
    let report: bellwether_model::Report = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(report.context.unwrap().vantage, "fra");
    let far = room.judged.recv().await.unwrap();
    assert_eq!(far.vantage, VantageId::new("fra"));
    assert_eq!(far.harvest.len(), 3);
    assert!(matches!(&far.harvest[1], Harvest::Run(run) if run.evidence == Some(evidence)));
    assert!(matches!(&far.harvest[2], Harvest::Trace(_)));
    let counts = room.counts("fra");
    assert_eq!((counts.deliveries, counts.rows), (1, 2));
}

#[tokio::test]
async fn it_begins_where_it_ended() {
    let room = room();
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    for number in 1..=3 {
        wire.deliver(number, &packed("fra", number)).await;
        assert_eq!(wire.kept().await, number);
    }
    drop(wire);
    let (mut wire, kept) = room.link_as(&peer, hello(2)).await;
    assert_eq!(kept, 3);
    wire.deliver(5, &packed("fra", 5)).await;
    assert_eq!(wire.kept().await, 5);
    assert_eq!(room.counts("fra").missing, 1, "a gap is ours, and told");
}

#[tokio::test]
async fn a_disk_that_takes_nothing_ends_no_link() {
    let room = room();
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    room.hub.memory.set_broken(true);
    wire.deliver(1, &packed("fra", 1)).await;
    let wait = wire.hear_until(|heard| match heard {
        ToAgent::Later { wait_ms, .. } => Some(wait_ms),
        ToAgent::Kept { .. } => panic!("kept nowhere"),
        _ => None,
    });
    assert!(wait.await > 0);
    room.hub.memory.set_broken(false);
    wire.deliver(1, &packed("fra", 1)).await;
    assert_eq!(wire.kept().await, 1);
    assert_eq!(room.runs(&check(), "fra").len(), 1);
}

#[tokio::test]
async fn what_is_on_its_way_behind_a_delivery_that_was_put_off_makes_no_gap() {
    let room = room();
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    room.hub.memory.set_broken(true);
    wire.deliver(1, &packed("fra", 1)).await;
    wire.hear_until(|heard| matches!(heard, ToAgent::Later { .. }).then_some(()))
        .await;
    room.hub.memory.set_broken(false);
    // On their way already, before the agent heard of it; then everything again.
    for number in [2, 3, 4, 1, 2, 3, 4] {
        wire.deliver(number, &packed("fra", number)).await;
    }
    for number in 1..=4 {
        assert_eq!(wire.kept().await, number);
    }
    assert_eq!(room.counts("fra").missing, 0);
    let sequences = room
        .runs(&check(), "fra")
        .into_iter()
        .map(|run| run.sequence);
    assert_eq!(sequences.collect::<Vec<_>>(), [1, 2, 3, 4]);
    // One that the agent has lost meanwhile holds up nothing.
    room.hub.memory.set_broken(true);
    wire.deliver(5, &packed("fra", 5)).await;
    wire.hear_until(|heard| matches!(heard, ToAgent::Later { .. }).then_some(()))
        .await;
    room.hub.memory.set_broken(false);
    for number in [6, 7, 6, 7] {
        wire.deliver(number, &packed("fra", number)).await;
    }
    assert_eq!((wire.kept().await, wire.kept().await), (6, 7));
    assert_eq!(room.counts("fra").missing, 1);
}

#[tokio::test(start_paused = true)]
async fn a_judge_that_is_behind_takes_nothing_into_the_store() {
    let mut room = room();
    let (far, judged) = mpsc::channel(1);
    let host = Host {
        far,
        ..Host::new(room.hub.shared.clone(), mpsc::channel(1).0).unwrap()
    };
    host.far
        .try_send(Far {
            vantage: VantageId::new("nyc"),
            harvest: Vec::new(),
        })
        .unwrap();
    room.host = Arc::new(host);
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    wire.deliver(1, &packed("fra", 1)).await;
    wire.hear_until(|heard| matches!(heard, ToAgent::Later { .. }).then_some(()))
        .await;
    assert!(room.runs(&check(), "fra").is_empty());
    drop(judged);
}

#[tokio::test(start_paused = true)]
async fn what_was_put_off_and_does_not_come_is_asked_for_again_after_a_minute() {
    let mut room = room();
    let (far, judged) = mpsc::channel(1);
    let none = Far {
        vantage: VantageId::new("nyc"),
        harvest: Vec::new(),
    };
    far.try_send(none).unwrap();
    room.host = Arc::new(Host {
        far,
        ..Host::new(room.hub.shared.clone(), mpsc::channel(1).0).unwrap()
    });
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    let later = async |wire: &mut Wire<DuplexStream>| {
        wire.hear_until(|heard| match heard {
            ToAgent::Later { .. } => Some(tokio::time::Instant::now()),
            ToAgent::Kept { .. } => panic!("kept"),
            _ => None,
        })
        .await
    };
    wire.deliver(1, &packed("fra", 1)).await;
    let first = later(&mut wire).await;
    // An agent that has not understood: it goes on behind the one that is wanted.
    let (reads, mut writes) = tokio::io::split(wire.0);
    let goes_on = tokio::spawn(async move {
        for number in 2.. {
            for message in parcel::messages(number, &packed("fra", number)) {
                frame::send(&mut writes, &message).await?;
            }
            tokio::time::sleep(Duration::from_secs(7)).await;
        }
        Ok::<_, frame::FrameError>(())
    });
    let mut wire = Wire(tokio::io::join(reads, tokio::io::sink()));
    let again = wire.hear_until(|heard| match heard {
        ToAgent::Later { .. } => Some(tokio::time::Instant::now()),
        ToAgent::Kept { .. } => panic!("kept"),
        _ => None,
    });
    let waited = again.await.duration_since(first).as_secs();
    assert!((60..=67).contains(&waited), "{waited} s");
    goes_on.abort();
    assert!(room.runs(&check(), "fra").is_empty());
    drop(judged);
}

#[tokio::test]
async fn an_agent_hears_its_plan_and_what_is_followed() {
    let room = room();
    let peer = room.enrol("fra");
    let vantage = VantageId::new("fra");
    let links = room.hub.shared.links.clone();
    let follow = Asked::Follow {
        check: check(),
        every_ms: Some(5_000),
    };
    assert!(!links.ask(&vantage, follow.clone()), "not linked");
    let mut wire = room.link(&peer).await;
    let asked = |heard| match heard {
        ToAgent::Ask(asked) => Some(asked),
        _ => None,
    };
    assert_eq!(wire.hear_until(asked).await, follow, "told when it comes");
    let trace = Asked::Trace { check: check() };
    assert!(links.ask(&vantage, trace.clone()));
    assert_eq!(wire.hear_until(asked).await, trace);
    reconfigure(&room, &CONFIG.replace("shop", "bank"));
    let part = wire.hear_until(|heard| match heard {
        ToAgent::PlanPart { checks, .. } => Some(checks),
        _ => None,
    });
    assert_eq!(part.await[0].id, CheckId::new("bank", "main"));
    let stops = Asked::Follow {
        check: check(),
        every_ms: None,
    };
    links.ask(&vantage, stops);
    assert!(links.standing(&vantage).is_empty());
}

#[tokio::test]
async fn a_vantage_that_leaves_the_configuration_is_linked_no_longer() {
    let room = room();
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    reconfigure(&room, &CONFIG.replace("fra", "lon"));
    assert_eq!(wire.refused().await.0, Refusal::Unconfigured);
    let mut wire = room.connect(Some(peer.clone()));
    wire.say(&ToHub::Hello(hello(1))).await;
    assert_eq!(wire.refused().await.0, Refusal::Unconfigured);
    reconfigure(&room, CONFIG);
    room.link(&peer).await;
}

#[tokio::test]
async fn the_newer_link_wins_and_a_copied_key_is_told() {
    let room = room();
    let peer = room.enrol("fra");
    let mut first = room.link(&peer).await;
    let (mut second, _) = room.link_as(&peer, hello(2)).await;
    assert_eq!(first.refused().await.0, Refusal::Superseded);
    assert_eq!(room.counts("fra").copied, None, "a start anew is none");
    let linked = || {
        room.hub
            .shared
            .links
            .presence(&VantageId::new("fra"))
            .unwrap()
    };
    assert!(linked().is_linked && linked().boot == 2);
    let _third = room.link(&peer).await;
    assert_eq!(second.refused().await.0, Refusal::Superseded);
    assert!(
        room.counts("fra").copied.is_some(),
        "an older start comes back"
    );
}

#[tokio::test]
async fn how_an_agent_is_can_be_seen() {
    let room = room();
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    let state = AgentState {
        at: start(),
        spooled: 3,
        trouble: Some("\u{1b}".repeat(9_000)),
        ..AgentState::default()
    };
    wire.say(&ToHub::State(state)).await;
    wire.say(&ToHub::Planned { generation: 7 }).await;
    wire.deliver(1, &packed("fra", 1)).await;
    assert_eq!(wire.kept().await, 1);
    let presence = || {
        room.hub
            .shared
            .links
            .presence(&VantageId::new("fra"))
            .unwrap()
    };
    assert_eq!(
        (presence().generation, presence().program.as_str()),
        (7, "1.0.0")
    );
    let state = presence().state.unwrap();
    assert_eq!(state.spooled, 3);
    assert!(!state.trouble.unwrap().contains('\u{1b}'));
    drop(wire);
    timeout(FAR, async {
        while presence().is_linked {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_clock_that_is_off_is_measured_and_put_right() {
    let room = room();
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    let (asked, _) = wire
        .hear_until(|heard| match heard {
            ToAgent::Time { at, offset_ms, .. } => Some((at, offset_ms)),
            _ => None,
        })
        .await;
    let at = asked - Duration::from_secs(3_600);
    wire.say(&ToHub::Time { asked, at }).await;
    let thinned = Thinned {
        check: check(),
        from: start(),
        to: start(),
        runs: [40, 2, 0, 0],
        traces: 0,
    };
    let delivery = Delivery {
        boot: 1,
        at: start(),
        offset_ms: None,
        harvest: vec![Harvest::Run(run("fra", 1))],
        thinned: vec![thinned],
    };
    wire.deliver(1, &parcel::pack(&delivery).unwrap()).await;
    assert_eq!(wire.kept().await, 1);
    let links = &room.hub.shared.links;
    let presence = links.presence(&VantageId::new("fra")).unwrap();
    let offset = presence.offset_ms.unwrap();
    assert!((3_590_000..3_610_000).contains(&offset), "{offset}");
    assert_eq!(room.counts("fra").thinned, 42);
    let run = &room.runs(&check(), "fra")[0];
    let moved = run.due.duration_since(super::run("fra", 1).due);
    assert!(
        (3_590..3_610).contains(&moved.as_secs()),
        "put right by what was measured"
    );
}

#[tokio::test]
async fn a_certificate_is_renewed_over_the_link() {
    let room = room();
    let peer = room.enrol("fra");
    let mut wire = room.link(&peer).await;
    let (request, _) = request();
    let renew = ToHub::Renew {
        request: STANDARD.encode(&request),
    };
    wire.say(&renew).await;
    let chain = wire.hear_until(|heard| match heard {
        ToAgent::Renewed { chain } => Some(chain),
        _ => None,
    });
    let leaf = STANDARD.decode(&chain.await[0]).unwrap();
    let new = Peer {
        fingerprint: bellwether_link::authority::digest(&leaf),
        ..peer.clone()
    };
    room.link(&new).await;
    let mut wire = room.connect(Some(peer));
    wire.say(&ToHub::Hello(hello(1))).await;
    assert_eq!(
        wire.refused().await.0,
        Refusal::Denied,
        "the old one is dead"
    );
}
