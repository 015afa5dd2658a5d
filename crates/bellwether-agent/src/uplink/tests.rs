//! Links with a scripted hub at the other end, under a virtual clock.

use std::os::unix::fs::PermissionsExt as _;

use bellwether_link::frame;
use bellwether_link::parcel::{self, Assembly};
use bellwether_model::VantageId;
use bellwether_model::harvest::{Harvest, Own};
use bellwether_model::link::{AgentState, Delivery, ToAgent, ToHub, VERSION};
use tempfile::TempDir;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;

use super::*;
use crate::SystemClock;
use crate::settings::link_plan;
use crate::spool::{Folder, LIMIT_MIN};

/// Hands each connection to whoever plays the hub. Its certificate is always about to end.
struct Door(mpsc::UnboundedSender<DuplexStream>);

impl Dial for Door {
    type Stream = DuplexStream;

    async fn dial(&mut self) -> Result<DuplexStream, DialError> {
        let (here, there) = tokio::io::duplex(1 << 16);
        let _ = self.0.send(there);
        Ok(here)
    }

    fn renewal(&mut self, _: Timestamp) -> Option<String> {
        Some("a request".to_owned())
    }
}

struct Bench {
    dir: TempDir,
    links: mpsc::UnboundedReceiver<DuplexStream>,
    shared: Arc<Shared<Folder>>,
    wished: mpsc::Receiver<Wish>,
    stop: CancellationToken,
    uplink: JoinHandle<()>,
}

fn local() -> Local {
    Local {
        vantage: VantageId::new("fra"),
        workers: None,
        asn_table: None,
        sources: Vec::new(),
    }
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let clock = SystemClock::start();
    let folder = Folder::open(&dir.path().join("spool")).unwrap();
    let spool = Spool::open(folder, LIMIT_MIN, clock.wall()).unwrap();
    let shared = Shared::new(spool, Arc::default());
    let (tell, links) = mpsc::unbounded_channel();
    let (wishes, wished) = mpsc::channel(8);
    let uplink = Uplink {
        dial: Door(tell),
        shared: shared.clone(),
        clock,
        program: "1.2.3".to_owned(),
        local: local(),
        plan_file: Some(PlanFile(dir.path().join("plan.json"))),
        generation: 0,
        wishes,
        random: fastrand::Rng::with_seed(1),
    };
    let stop = CancellationToken::new();
    Bench {
        dir,
        links,
        shared,
        wished,
        uplink: tokio::spawn(uplink.run(stop.clone())),
        stop,
    }
}

fn delivery(n: u64) -> Delivery {
    let why = format!("delivery {n}");
    Delivery {
        boot: 1,
        at: Timestamp::UNIX_EPOCH,
        offset_ms: None,
        harvest: vec![Harvest::Own(Own::WorkerReplaced { why, under_way: 0 })],
        thinned: Vec::new(),
    }
}

fn welcome(kept: u64) -> ToAgent {
    ToAgent::Welcome {
        version: VERSION,
        program: "1.2.3".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        agent: "fra/1".into(),
        vantage: VantageId::new("fra"),
        kept,
        boot: None,
    }
}

impl Bench {
    async fn spooled(&self, numbers: std::ops::RangeInclusive<u64>) {
        for n in numbers {
            self.shared
                .spool(move |spool| spool.append(delivery(n)))
                .await;
        }
    }

    /// The next link, welcomed.
    async fn link(&mut self, kept: u64) -> DuplexStream {
        let mut link = self.dialled().await;
        say(&mut link, &welcome(kept)).await;
        link
    }

    async fn dialled(&mut self) -> DuplexStream {
        let mut link = self.links.recv().await.unwrap();
        assert!(matches!(hear(&mut link).await, Some(ToHub::Hello(_))));
        link
    }
}

async fn say(link: &mut DuplexStream, message: &ToAgent) {
    frame::send(link, message).await.unwrap();
}

async fn hear(link: &mut DuplexStream) -> Option<ToHub> {
    frame::receive(link).await.ok().flatten()
}

/// The numbers of the next deliveries, until nothing more comes for some seconds.
async fn delivered(link: &mut DuplexStream) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut assembly = Assembly::default();
    // What says how the agent is comes every five seconds.
    while let Some(message) = hear(link).await {
        match message {
            ToHub::Deliver {
                number,
                part,
                parts,
                bytes,
            } => {
                let (number, packed) = assembly.take(number, part, parts, &bytes).unwrap().unwrap();
                assert_eq!(parcel::unpack(&packed).unwrap(), delivery(number));
                numbers.push(number);
            }
            ToHub::State(_) if !numbers.is_empty() => break,
            _ => {}
        }
    }
    numbers
}

#[tokio::test(start_paused = true)]
async fn deliveries_come_in_order_within_a_window_and_again_after_a_break() {
    let mut bench = bench();
    bench.spooled(1..=40).await;
    let mut link = bench.link(0).await;
    assert_eq!(delivered(&mut link).await, (1..=16).collect::<Vec<_>>());
    say(&mut link, &ToAgent::Kept { number: 10 }).await;
    assert_eq!(delivered(&mut link).await, (17..=26).collect::<Vec<_>>());
    drop(link);
    // The hub took more than it could say.
    let mut link = bench.link(12).await;
    assert_eq!(delivered(&mut link).await, (13..=28).collect::<Vec<_>>());
    say(
        &mut link,
        &ToAgent::Later {
            wait_ms: 3_000,
            why: String::new(),
        },
    )
    .await;
    assert_eq!(delivered(&mut link).await, (13..=28).collect::<Vec<_>>());
    say(&mut link, &ToAgent::Kept { number: 28 }).await;
    assert_eq!(delivered(&mut link).await, (29..=40).collect::<Vec<_>>());
    // What the hub cannot have does not go for it.
    say(&mut link, &ToAgent::Kept { number: 99 }).await;
    say(&mut link, &ToAgent::Kept { number: 39 }).await;
    let spooled = async |link: &mut DuplexStream| loop {
        if let Some(ToHub::State(AgentState { spooled, .. })) = hear(link).await {
            return spooled;
        }
    };
    while spooled(&mut link).await != 1 {}
}

#[tokio::test(start_paused = true)]
async fn c07_a_silent_hub_is_dialled_anew_after_half_a_minute() {
    let mut bench = bench();
    let link = bench.link(0).await;
    let begun = Instant::now();
    let _next = bench.dialled().await;
    let waited = begun.elapsed();
    assert!((30..35).contains(&waited.as_secs()), "{waited:?}");
    drop(link);
}

#[tokio::test(start_paused = true)]
async fn who_is_turned_away_asks_rarely_and_lives_on() {
    for (code, from, to) in [
        (Refusal::Denied, 150, 301),
        (Refusal::Unconfigured, 30, 61),
        (Refusal::Version, 150, 301),
        (Refusal::Protocol, 30, 61),
        (Refusal::Superseded, 22, 46),
        (Refusal::Busy, 0, 2),
    ] {
        let mut bench = bench();
        let mut link = bench.dialled().await;
        let why = "because".to_owned();
        say(&mut link, &ToAgent::Refused { code, why }).await;
        let begun = Instant::now();
        let _next = bench.dialled().await;
        let waited = begun.elapsed().as_secs();
        assert!((from..to).contains(&waited), "{code:?}: {waited} s");
        assert!(!bench.uplink.is_finished());
    }
}

#[tokio::test(start_paused = true)]
async fn the_wait_grows_to_a_minute_and_shrinks_after_a_good_link() {
    let mut bench = bench();
    let mut last = Duration::ZERO;
    for turn in 0..12 {
        drop(bench.dialled().await);
        let begun = Instant::now();
        let link = bench.dialled().await;
        last = begun.elapsed();
        assert!(last <= WAIT_MAX && last >= WAIT_MIN / 2, "{turn}: {last:?}");
        drop(link);
    }
    assert!(last >= WAIT_MAX / 2, "{last:?}");
    let mut link = bench.link(0).await;
    let held = Instant::now();
    while held.elapsed() < 2 * GOOD {
        let at = Timestamp::UNIX_EPOCH;
        say(
            &mut link,
            &ToAgent::Time {
                at,
                offset_ms: None,
                of: None,
            },
        )
        .await;
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    drop(link);
    let begun = Instant::now();
    let _next = bench.dialled().await;
    assert!(begun.elapsed() <= WAIT_MIN, "{:?}", begun.elapsed());
}

/// There is no word by which a hub could make an agent do anything but measure.
#[tokio::test(start_paused = true)]
async fn hostile_a16_an_upgrade_command_is_no_word_of_the_link() {
    let mut bench = bench();
    for command in [
        serde_json::json!({ "say": "upgrade", "url": "https://evil.example/agent" }),
        serde_json::json!({ "say": "ask", "want": "run", "command": "id" }),
        serde_json::json!({ "say": "welcome" }),
    ] {
        let mut link = bench.link(0).await;
        let frame = frame::encode(&command).unwrap();
        link.write_all(&frame).await.unwrap();
        // It ends the link, and comes again.
        while hear(&mut link).await.is_some() {}
    }
    let _next = bench.dialled().await;
    assert!(
        bench.wished.try_recv().is_err(),
        "nobody was asked for anything"
    );
}

#[tokio::test(start_paused = true)]
async fn hostile_a11_a_version_that_nobody_speaks_and_a_frame_that_is_too_long() {
    let mut bench = bench();
    let mut link = bench.dialled().await;
    let ToAgent::Welcome {
        program,
        at,
        agent,
        vantage,
        kept,
        ..
    } = welcome(0)
    else {
        panic!("a welcome");
    };
    let version = VERSION + 1;
    say(
        &mut link,
        &ToAgent::Welcome {
            version,
            program,
            at,
            agent,
            vantage,
            kept,
            boot: None,
        },
    )
    .await;
    assert!(hear(&mut link).await.is_none());
    let mut link = bench.link(0).await;
    link.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
    while hear(&mut link).await.is_some() {}
    let _next = bench.dialled().await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_gone_by_when_it_is_whole_and_kept_for_the_next_start() {
    let text = "services: [{ name: shop, url: https://www.shop.example/ }]\n";
    let config = bellwether_config::parse(text, std::path::Path::new("a.yaml")).unwrap();
    let vantage = VantageId::new("fra");
    let (head, checks) = link_plan(&config, 4, &vantage, &Default::default()).unwrap();
    let mut bench = bench();
    let mut link = bench.link(0).await;
    let answer = async |link: &mut DuplexStream| loop {
        match hear(link).await {
            Some(ToHub::State(_) | ToHub::Renew { .. }) => {}
            other => return other,
        }
    };
    // A part is missing.
    say(&mut link, &ToAgent::Plan(head.clone())).await;
    say(
        &mut link,
        &ToAgent::PlanEnd {
            generation: 4,
            checks: 1,
        },
    )
    .await;
    let unplanned = answer(&mut link).await;
    assert!(
        matches!(unplanned, Some(ToHub::Unplanned { generation: 4, .. })),
        "{unplanned:?}"
    );
    let file = PlanFile(bench.dir.path().join("plan.json"));
    assert!(file.load(&local()).unwrap().is_none());
    say(&mut link, &ToAgent::Plan(head)).await;
    say(
        &mut link,
        &ToAgent::PlanPart {
            generation: 4,
            checks,
        },
    )
    .await;
    say(
        &mut link,
        &ToAgent::PlanEnd {
            generation: 4,
            checks: 1,
        },
    )
    .await;
    assert_eq!(
        answer(&mut link).await,
        Some(ToHub::Planned { generation: 4 })
    );
    let Some(Wish::Plan(plan)) = bench.wished.recv().await else {
        panic!("a plan");
    };
    assert_eq!((plan.generation, plan.checks.len()), (4, 1));
    let kept = file.load(&local()).unwrap().unwrap();
    assert_eq!(
        (kept.generation, kept.checks[0].id.as_str()),
        (4, "shop/main")
    );
    let mode = file.0.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_delivered_before_the_end() {
    let mut bench = bench();
    let mut link = bench.link(0).await;
    assert!(matches!(hear(&mut link).await, Some(ToHub::State(_))));
    // It asks what time it is before it is brought anything.
    let (at, offset_ms) = (Timestamp::UNIX_EPOCH, None);
    say(
        &mut link,
        &ToAgent::Time {
            at,
            offset_ms,
            of: None,
        },
    )
    .await;
    while !matches!(hear(&mut link).await, Some(ToHub::Time { .. })) {}
    bench.spooled(1..=3).await;
    bench.stop.cancel();
    for number in 1..=3 {
        loop {
            let heard = hear(&mut link).await.expect("the link holds");
            if let ToHub::Deliver { number: at, .. } = heard {
                assert_eq!(at, number);
                break;
            }
        }
    }
    say(&mut link, &ToAgent::Kept { number: 3 }).await;
    bench.uplink.await.unwrap();
    assert_eq!(lock(&bench.shared.spool).fill().deliveries, 0);
}

/// Says a frame as a slow line carries it.
async fn drip(link: &mut (impl AsyncWrite + Unpin), message: &ToAgent) {
    for piece in frame::encode(message).unwrap().chunks(2_048) {
        link.write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// A plan that takes minutes on its line arrives, though much waits to be delivered over the same.
#[tokio::test(start_paused = true)]
async fn c07_a_large_plan_comes_over_a_slow_line() {
    let mut text = "services:\n".to_owned();
    for n in 0..800 {
        let path = "x".repeat(200);
        text += &format!("  - {{ name: s{n}, url: \"https://s{n}.example/{path}\" }}\n");
    }
    let config = bellwether_config::parse(&text, std::path::Path::new("a.yaml")).unwrap();
    let vantage = VantageId::new("fra");
    let (head, checks) = link_plan(&config, 4, &vantage, &Default::default()).unwrap();
    let count = checks.len() as u64;
    let mut bench = bench();
    bench.spooled(1..=40).await;
    let link = bench.link(0).await;
    let (mut hears, mut says) = tokio::io::split(link);
    let begun = Instant::now();
    let told = tokio::spawn(async move {
        let part = ToAgent::PlanPart {
            generation: 4,
            checks,
        };
        drip(&mut says, &ToAgent::Plan(head)).await;
        // As one part: the longest that a hub says.
        drip(&mut says, &part).await;
        let end = ToAgent::PlanEnd {
            generation: 4,
            checks: count,
        };
        drip(&mut says, &end).await;
        says
    });
    loop {
        let heard = frame::receive::<ToHub>(&mut hears).await.unwrap();
        match heard.expect("the link holds") {
            ToHub::Planned { generation } => break assert_eq!(generation, 4),
            other => assert!(!matches!(other, ToHub::Unplanned { .. }), "{other:?}"),
        }
    }
    assert!(begun.elapsed() > Duration::from_secs(100));
    assert!(bench.links.try_recv().is_err(), "one link was enough");
    told.await.unwrap();
}

/// What is said of the spool is known without asking the disk.
#[tokio::test]
async fn how_the_agent_is_can_be_said_while_the_disk_is_slow() {
    let bench = bench();
    bench.spooled(1..=3).await;
    let busy = lock(&bench.shared.spool);
    let (tell, told) = std::sync::mpsc::channel();
    let shared = bench.shared.clone();
    std::thread::spawn(move || {
        let state = shared.state(Timestamp::UNIX_EPOCH);
        let _ = tell.send(state.spooled);
    });
    let spooled = told.recv_timeout(Duration::from_secs(60));
    assert_eq!(spooled, Ok(3));
    drop(busy);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_cannot_be_used_is_asked_for_again_after_an_hour() {
    let mut bench = bench();
    let mut link = bench.link(0).await;
    let mut asked = Vec::new();
    let begun = Instant::now();
    while asked.len() < 3 {
        match hear(&mut link).await {
            Some(ToHub::Renew { .. }) => {
                asked.push(begun.elapsed().as_secs());
                // One that the agent cannot keep, and one that never comes.
                if asked.len() == 1 {
                    let chain = vec!["none".to_owned()];
                    say(&mut link, &ToAgent::Renewed { chain }).await;
                }
            }
            Some(ToHub::State(_)) => {
                let (at, offset_ms) = (Timestamp::UNIX_EPOCH, None);
                say(
                    &mut link,
                    &ToAgent::Time {
                        at,
                        offset_ms,
                        of: None,
                    },
                )
                .await;
            }
            other => assert!(matches!(other, Some(ToHub::Time { .. })), "{other:?}"),
        }
    }
    let waits = asked.windows(2).map(|two| two[1] - two[0]);
    assert!(
        waits.clone().all(|wait| (3_600..3_610).contains(&wait)),
        "{asked:?}"
    );
    assert!(
        asked[0] < 10 && bench.links.try_recv().is_err(),
        "over one link"
    );
}
