//! Agents that behave and others that do not, over memory and over TLS on loopback.

mod crash;
mod hostile;
mod link;
mod plans;
mod takings;
mod tls;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_link::frame;
use bellwether_link::parcel;
use bellwether_link::server::Peer;
use bellwether_model::harvest::Harvest;
use bellwether_model::link::{Delivery, Hello, Refusal, ToAgent, ToHub};
use bellwether_model::run::RunOutcome;
use bellwether_model::{CheckId, Run, VantageId};
use bellwether_store::{ObservationStore, StateStore};
use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::visit::visit;
use super::{Fleet, Host};
use crate::access::Clock;
use crate::links::Far;
use crate::testing::{self, Hub};

/// Far above what anything here takes.
const FAR: Duration = Duration::from_secs(120);

/// Of whoever connects over memory.
const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

const CONFIG: &str = "
vantages: [{ name: fra, region: eu }, { name: nyc }]
services:
  - name: shop
    url: https://www.shop.example/
";

/// A hub with its host of agents, and what reaches the judge.
struct Room {
    hub: Hub,
    host: Arc<Host>,
    judged: mpsc::Receiver<Far>,
    _dir: tempfile::TempDir,
}

fn start() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// A clock that moves with that of the tests.
fn clock() -> Clock {
    let begun = tokio::time::Instant::now();
    Clock::new(move || start() + begun.elapsed())
}

fn room() -> Room {
    room_with(CONFIG)
}

fn room_with(config: &str) -> Room {
    let hub = testing::hub(start(), config);
    let memory = hub.memory.clone();
    let dir = tempfile::tempdir().unwrap();
    room_of(hub, memory.clone(), memory, dir)
}

fn room_of(
    mut hub: Hub,
    observations: Arc<dyn ObservationStore>,
    state: Arc<dyn StateStore>,
    dir: tempfile::TempDir,
) -> Room {
    let shared = Arc::get_mut(&mut hub.shared).unwrap();
    shared.fleet = Fleet::new(state.clone(), dir.path(), clock());
    shared.observations = observations;
    shared.state = state;
    let config = shared.configured.load().config.clone();
    let fleet = &shared.fleet;
    fleet
        .given
        .configure(&*shared.state, &config, start())
        .unwrap();
    let (far, judged) = mpsc::channel(1_024);
    Room {
        host: Arc::new(Host::new(hub.shared.clone(), far).unwrap()),
        hub,
        judged,
        _dir: dir,
    }
}

impl Room {
    fn fleet(&self) -> &Fleet {
        &self.hub.shared.fleet
    }

    /// Makes an agent of this vantage, as the API and a token do.
    fn enrol(&self, vantage: &str) -> Peer {
        let (token, _) = self.token(vantage);
        let enrolment = format!("{:x}", fastrand_of(vantage, &token));
        let made = self.fleet().registry.enrol(
            &token,
            &enrolment,
            self.host.now(),
            |_| true,
            |agent| {
                let authority = self.fleet().authority()?;
                authority.agent(&request().0, agent, self.host.now())
            },
        );
        let made = made.unwrap();
        Peer {
            agent: made.agent.to_string(),
            fingerprint: made.issued.fingerprint,
        }
    }

    /// An enrolment token: the secret part, and the whole.
    fn token(&self, vantage: &str) -> (String, String) {
        let mut random = [0; 32];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        let token = self
            .fleet()
            .token(&VantageId::new(vantage), "admin", random);
        let (token, _) = token.unwrap();
        (token.secret.clone(), token.to_string())
    }

    /// Connects over memory; what was shown of a certificate is this.
    fn connect(&self, peer: Option<Peer>) -> Wire<DuplexStream> {
        self.connect_over(1 << 16, peer)
    }

    /// The same over a line that holds so many bytes.
    fn connect_over(&self, bytes: usize, peer: Option<Peer>) -> Wire<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(bytes);
        tokio::spawn(visit(self.host.clone(), ours, peer, FROM, ()));
        Wire(theirs)
    }

    /// Links, and hears welcome and plan.
    async fn link(&self, peer: &Peer) -> Wire<DuplexStream> {
        let (wire, _) = self.link_as(peer, hello(1)).await;
        wire
    }

    /// The same with this first word; what number the hub has.
    async fn link_as(&self, peer: &Peer, hello: Hello) -> (Wire<DuplexStream>, u64) {
        let mut wire = self.connect(Some(peer.clone()));
        wire.say(&ToHub::Hello(hello)).await;
        let kept = wire.welcomed().await;
        (wire, kept)
    }

    fn runs(&self, check: &CheckId, vantage: &str) -> Vec<Run> {
        let vantage = VantageId::new(vantage);
        let all = Timestamp::MIN..Timestamp::MAX;
        let store = &self.hub.shared.observations;
        store.series(check, &vantage, all, usize::MAX).unwrap().runs
    }

    fn counts(&self, vantage: &str) -> super::Counts {
        self.fleet().counts(&VantageId::new(vantage))
    }
}

fn fastrand_of(vantage: &str, token: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    (vantage, token).hash(&mut hasher);
    hasher.finish()
}

/// A request for a certificate, with its key.
fn request() -> (Vec<u8>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default()
        .serialize_request(&key)
        .unwrap();
    (request.der().to_vec(), key)
}

fn hello(boot: u64) -> Hello {
    Hello {
        versions: (1, 1),
        program: "1.0.0".to_owned(),
        boot,
        started: start(),
        at: start(),
        generation: 0,
        newest: 1_000,
    }
}

fn check() -> CheckId {
    CheckId::new("shop", "main")
}

fn run(vantage: &str, sequence: u64) -> Run {
    let due = start() - Duration::from_secs(3_600) + Duration::from_secs(sequence);
    Run {
        vantage: VantageId::new(vantage),
        ..testing::run(&check(), sequence, due, RunOutcome::Failed)
    }
}

/// The same as it is kept: with what was measured of its agent's clock.
fn stored(vantage: &str, sequence: u64) -> Run {
    Run {
        clock_offset_ms: Some(0),
        ..run(vantage, sequence)
    }
}

/// A delivery of one run, as it is spooled.
fn packed(vantage: &str, sequence: u64) -> Vec<u8> {
    packed_of(vec![Harvest::Run(run(vantage, sequence))])
}

fn packed_of(harvest: Vec<Harvest>) -> Vec<u8> {
    let delivery = Delivery {
        boot: 1,
        at: start(),
        offset_ms: Some(0),
        harvest,
        thinned: Vec::new(),
    };
    parcel::pack(&delivery).unwrap()
}

/// The agent's end.
struct Wire<S>(S);

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    async fn say(&mut self, said: &ToHub) {
        frame::send(&mut self.0, said).await.unwrap();
    }

    async fn deliver(&mut self, number: u64, packed: &[u8]) {
        for message in parcel::messages(number, packed) {
            self.say(&message).await;
        }
    }

    /// What the hub says next; `None` where it has ended the link.
    async fn hear(&mut self) -> Option<ToAgent> {
        let heard = timeout(FAR, frame::receive::<ToAgent>(&mut self.0)).await;
        heard.expect("something is said").ok().flatten()
    }

    /// What it says next that this is looked for.
    async fn hear_until<T>(&mut self, mut wanted: impl FnMut(ToAgent) -> Option<T>) -> T {
        loop {
            let heard = self.hear().await.expect("the link holds");
            if let Some(found) = wanted(heard) {
                return found;
            }
        }
    }

    /// Hears welcome and the whole plan; which number the hub has.
    async fn welcomed(&mut self) -> u64 {
        let heard = self.hear().await;
        let Some(ToAgent::Welcome { kept, .. }) = heard else {
            panic!("no welcome: {heard:?}");
        };
        self.hear_until(|heard| matches!(heard, ToAgent::PlanEnd { .. }).then_some(()))
            .await;
        kept
    }

    /// The next number that is said to be kept.
    async fn kept(&mut self) -> u64 {
        self.hear_until(|heard| match heard {
            ToAgent::Kept { number } => Some(number),
            ToAgent::Later { why, .. } => panic!("later: {why}"),
            _ => None,
        })
        .await
    }

    /// How the link is ended.
    async fn refused(&mut self) -> (Refusal, String) {
        let refused = self.hear_until(|heard| match heard {
            ToAgent::Refused { code, why } => Some((code, why)),
            _ => None,
        });
        let refused = refused.await;
        let rest = timeout(FAR, frame::receive::<ToAgent>(&mut self.0)).await;
        let is_ended = matches!(rest, Ok(Ok(None)));
        assert!(is_ended, "the link ends after it, and is not cut: {rest:?}");
        refused
    }

    /// Asks to be enrolled.
    async fn enrol(&mut self, token: &str) -> ToAgent {
        let (request, _) = request();
        let enrol = ToHub::Enrol {
            versions: (1, 1),
            token: token.to_owned(),
            request: STANDARD.encode(request),
        };
        self.say(&enrol).await;
        self.hear().await.expect("an answer")
    }
}

/// Another configuration comes into force.
fn reconfigure(room: &Room, text: &str) {
    let mut configured = room.hub.shared.configured.load().as_ref().clone();
    let config = bellwether_config::parse(text, Path::new("bellwether.yaml"));
    configured.config = Arc::new(config.unwrap());
    configured.generation += 1;
    room.hub.shared.configured.store(Arc::new(configured));
    room.fleet().configured();
}
