//! Plans that take long to be told.

use std::collections::BTreeSet;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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
