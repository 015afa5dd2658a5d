//! Plans that take long to be told.

use std::collections::BTreeSet;

use bellwether_model::link::{AgentState, Asked};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::out::Out;
use super::super::registry::NotInForce;
use super::super::session::{self, Admitted, Who};
use super::*;

/// What a slow line carries each second, bytes.
const SLOW: usize = 2 * 1024;
/// How long an agent waits until anything of what it says is taken.
const PATIENCE: Duration = Duration::from_secs(30);
const CHECKS: usize = 800;

fn large() -> String {
    let mut text = "vantages: [{ name: fra }, { name: nyc }]\nservices:\n".to_owned();
    for n in 0..CHECKS {
        let path = "x".repeat(200);
        text += &format!("  - {{ name: s{n}, url: \"https://s{n}.example/{path}\" }}\n");
    }
    text
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut bytes = vec![0; SLOW];
    while let Ok(len @ 1..) = from.read(&mut bytes).await {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if to.write_all(&bytes[..len]).await.is_err() {
            return;
        }
    }
}

/// A line that carries little, in both directions.
fn slow(far: DuplexStream) -> DuplexStream {
    let (ours, near) = tokio::io::duplex(SLOW);
    let (far_reads, far_writes) = tokio::io::split(far);
    let (near_reads, near_writes) = tokio::io::split(near);
    tokio::spawn(carry(far_reads, near_writes));
    tokio::spawn(carry(near_reads, far_writes));
    ours
}

/// Hears parts of a plan until it is whole; how many checks they had.
async fn planned(wire: &mut Wire<impl AsyncRead + AsyncWrite + Unpin>) -> usize {
    let mut known = BTreeSet::new();
    let said = wire.hear_until(|heard| match heard {
        ToAgent::PlanPart { checks, .. } => {
            known.extend(checks.into_iter().map(|check| check.id));
            None
        }
        ToAgent::PlanEnd { checks, .. } => Some(checks),
        _ => None,
    });
    let said = said.await;
    assert_eq!(u64::try_from(known.len()), Ok(said));
    known.len()
}

#[tokio::test(start_paused = true)]
async fn c07_a_large_plan_and_a_backlog_pass_each_other_on_a_slow_line() {
    let room = room_with(&large());
    let peer = room.enrol("fra");
    let begun = tokio::time::Instant::now();
    let wire = slow(room.connect_over(SLOW, Some(peer)).0);
    let (hears, mut says) = tokio::io::split(wire);
    let first = frame::encode(&ToHub::Hello(hello(1))).unwrap();
    frame::write(&mut says, &first, PATIENCE).await.unwrap();
    let backlog = tokio::spawn(async move {
        // A delivery that takes longer than the plan.
        for part in 0..33 {
            let part = ToHub::Deliver {
                number: 1,
                part,
                parts: 33,
                bytes: STANDARD.encode(vec![0; 32 * 1024]),
            };
            let part = frame::encode(&part).unwrap();
            frame::write(&mut says, &part, PATIENCE).await?;
        }
        Ok::<_, std::io::Error>(says)
    });
    let mut wire = Wire(tokio::io::join(hears, tokio::io::sink()));
    assert_eq!(planned(&mut wire).await, CHECKS);
    assert!(begun.elapsed() > Duration::from_secs(100), "a slow line");
    assert!(!backlog.is_finished(), "and much to be delivered over it");
    backlog.abort();
}

#[tokio::test(start_paused = true)]
async fn p24_who_is_revoked_in_the_middle_of_a_plan_hears_no_more_of_it() {
    let room = room_with(&large());
    let peer = room.enrol("fra");
    let mut wire = room.connect_over(SLOW, Some(peer));
    wire.say(&ToHub::Hello(hello(1))).await;
    wire.hear_until(|heard| matches!(heard, ToAgent::PlanPart { .. }).then_some(()))
        .await;
    let fra = VantageId::new("fra");
    assert!(room.fleet().revoke(&fra, "admin").unwrap());
    // What is on its way, and what was to be next.
    let mut parts = 0;
    let refused = wire.hear_until(|heard| match heard {
        ToAgent::Refused { code, .. } => Some(code),
        ToAgent::PlanPart { .. } => {
            parts += 1;
            None
        }
        ToAgent::PlanEnd { .. } => panic!("all of it"),
        _ => None,
    });
    assert_eq!(refused.await, Refusal::Denied);
    assert!(parts <= 2, "{parts} parts");
    assert_eq!(wire.hear().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_told_to_its_end_before_the_next_one() {
    let room = room_with(&large());
    let peer = room.enrol("fra");
    let mut wire = room.connect_over(SLOW, Some(peer));
    wire.say(&ToHub::Hello(hello(1))).await;
    wire.hear_until(|heard| matches!(heard, ToAgent::Plan(_)).then_some(()))
        .await;
    for _ in 0..3 {
        reconfigure(&room, CONFIG);
    }
    let mut told = Vec::new();
    for _ in 0..2 {
        told.push(planned(&mut wire).await);
    }
    assert_eq!(told, [CHECKS, 1], "then the newest alone");
    // A vantage that is not wanted any more hears no more of either.
    reconfigure(&room, &large());
    wire.hear_until(|heard| matches!(heard, ToAgent::Plan(_)).then_some(()))
        .await;
    reconfigure(&room, &CONFIG.replace("fra", "lon"));
    let refused = wire.hear_until(|heard| match heard {
        ToAgent::Refused { code, .. } => Some(code),
        ToAgent::PlanEnd { .. } => panic!("all of it"),
        _ => None,
    });
    assert_eq!(refused.await, Refusal::Unconfigured);
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_comes_behind_the_last_part_of_a_plan() {
    let room = room_with(&large());
    let peer = room.enrol("fra");
    let mut wire = room.connect_over(SLOW, Some(peer));
    wire.say(&ToHub::Hello(hello(1))).await;
    let links = room.hub.shared.links.clone();
    let trace = Asked::Trace {
        check: CheckId::new("s1", "main"),
    };
    let mut parts = 0;
    wire.hear_until(|heard| match heard {
        ToAgent::PlanPart { .. } => {
            parts += 1;
            assert!(links.ask(&VantageId::new("fra"), trace.clone()));
            None
        }
        ToAgent::Ask(_) => panic!("it knows no check of this plan yet"),
        ToAgent::PlanEnd { .. } => Some(()),
        _ => None,
    })
    .await;
    assert!(parts > 2, "{parts} parts");
    for _ in 0..parts {
        let asked = wire.hear_until(|heard| match heard {
            ToAgent::Ask(asked) => Some(asked),
            _ => None,
        });
        assert_eq!(asked.await, trace);
    }
}

/// Until the hub takes the agent for gone, seconds; `says` how it is every five of them.
async fn gone_after(room: &Room, mut wire: Wire<DuplexStream>, limit: u64) -> Option<u64> {
    let begun = tokio::time::Instant::now();
    let links = room.hub.shared.links.clone();
    let is_linked = || links.all()[&VantageId::new("fra")].is_linked;
    while begun.elapsed() < Duration::from_secs(limit) {
        if !is_linked() {
            return Some(begun.elapsed().as_secs());
        }
        let state = ToHub::State(AgentState::default());
        // The line holds little: whoever is gone does not read this either.
        let _ = timeout(Duration::from_millis(1), frame::send(&mut wire.0, &state)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    None
}

/// Links, and takes nothing of what is said to it.
async fn deaf(room: &Room) -> Wire<DuplexStream> {
    let peer = room.enrol("fra");
    let mut wire = room.connect_over(SLOW, Some(peer));
    wire.say(&ToHub::Hello(hello(1))).await;
    let welcome = wire.hear().await;
    assert!(matches!(welcome, Some(ToAgent::Welcome { .. })));
    wire
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_is_gone_however_much_it_says() {
    let room = room_with(&large());
    let wire = deaf(&room).await;
    let gone = gone_after(&room, wire, 600).await;
    assert!(
        gone.is_some_and(|gone| (25..60).contains(&gone)),
        "{gone:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_revoked_and_takes_nothing_is_not_waited_for() {
    let room = room_with(&large());
    let wire = deaf(&room).await;
    // Until the line is full of its plan.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let revoked = room.fleet().revoke(&VantageId::new("fra"), "admin");
    assert!(revoked.unwrap());
    let gone = gone_after(&room, wire, 600).await;
    assert!(gone.is_some_and(|gone| gone < 10), "{gone:?}");
}

/// Whoever revokes it then finds nobody to send away.
#[tokio::test(start_paused = true)]
async fn p24_who_is_revoked_before_it_sits_is_told_no_plan() {
    let room = room();
    let peer = room.enrol("fra");
    let vantage = VantageId::new("fra");
    let ends = room.host.now() + Duration::from_secs(86_400);
    let who = Who {
        peer: peer.clone(),
        version: 1,
        admitted: Admitted {
            vantage: vantage.clone(),
            ends,
        },
    };
    assert!(room.fleet().revoke(&vantage, "admin").unwrap());
    let in_force = room.fleet().registry.in_force(&peer);
    assert!(
        matches!(in_force, Err(NotInForce::Revoked(_))),
        "{in_force:?}"
    );
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    tokio::spawn(session::serve(room.host.clone(), ours, hello(1), who));
    let heard = Wire(theirs).hear().await;
    let denied = Refusal::Denied;
    assert!(
        matches!(&heard, Some(ToAgent::Refused { code, .. }) if *code == denied),
        "{heard:?}"
    );
}

/// One part is on its way, one waits, and a word goes before that one.
#[tokio::test(start_paused = true)]
async fn words_go_before_parts_and_parts_wait_where_they_are_made() {
    let (ours, theirs) = tokio::io::duplex(8);
    let out = Out::over(ours);
    let part = |generation| ToAgent::PlanEnd {
        generation,
        checks: 0,
    };
    for generation in 1..=2 {
        let room = out.room().await.unwrap();
        room.say(&part(generation)).unwrap();
    }
    let third = timeout(Duration::from_secs(1), out.room()).await;
    assert!(third.is_err(), "there is room for no third one");
    let word = ToAgent::Kept { number: 7 };
    out.say(&word).await.unwrap();
    let mut wire = Wire(theirs);
    for said in [part(1), word, part(2)] {
        assert_eq!(wire.hear().await, Some(said));
    }
}
