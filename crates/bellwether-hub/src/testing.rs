//! A hub in memory, for tests and examples: a store that keeps nothing, and a board with a bit of
//! everything.

mod memory;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bellwether_link::authority::{Authority, Issued};
use bellwether_model::incident::{AffectedCheck, IncidentState, Moment, MomentKind};
use bellwether_model::report::{LayerReport, LayerState, Scope, Severity};
use bellwether_model::run::{Phases, RunOutcome, Trigger};
use bellwether_model::service::ClientIdentity;
use bellwether_model::{
    Cause, CheckId, Digest, Envelope, Incident, Layer, Run, VantageId, Verdict,
};
use bellwether_store::{Change, ObservationStore as _, StateStore as _};
use jiff::Timestamp;
use sha2::Digest as _;
use tokio::sync::{broadcast, mpsc};

use crate::access::{Clock, Scope as TokenScope, mint};
use crate::beats::{Beats, Secret};
use crate::board::{Board, CheckState, LastRuns, ServiceState};
use crate::fleet::Fleet;
use crate::shared::{Act, ActError, ActKind, Configured, Figures, Health, Refused, Shared};
use crate::tasks::TaskStates;

pub use memory::Memory;

/// A secret that must be in no answer.
pub const CANARY: &str = "canary-7f3a9c";

/// Events that one reader may be behind.
const EVENTS_KEPT: usize = 16;

/// Acts that wait.
const ACTS_WAITING: usize = 16;

/// What [`filled`] is configured by.
const CONFIGURATION: &str = "
services:
  - name: shop
    url: https://www.shop.example/?key=canary-7f3a9c
    labels: { team: web }
    needs: [pay]
  - name: pay
    checks:
      - { name: api, every: 30s, http: { url: https://pay.shop.example/health } }
      - { name: queue, tls: { address: \"mq.shop.example:5671\" } }
  - name: old
    url: https://old.shop.example/
";

/// A hub in memory.
pub struct Hub {
    /// What its parts share.
    pub shared: Arc<Shared>,
    /// Its store.
    pub memory: Arc<Memory>,
    /// What people do; for [`judge`].
    pub acts: mpsc::Receiver<Act>,
    /// The evidence of its incident.
    pub evidence: Digest,
}

impl Hub {
    /// Adds a token with these scopes; its secret.
    #[must_use]
    pub fn token(&self, name: &str, scopes: &[TokenScope]) -> String {
        let mut random = [0; 32];
        random[..32].copy_from_slice(&sha2::Sha256::digest(name.as_bytes()));
        let (token, secret) = mint(name, scopes, self.shared.started, random);
        self.memory
            .commit(&[Change::Token(token)])
            .expect("memory takes everything");
        secret
    }
}

impl Hub {
    /// Makes somebody the agent of a vantage, by a token as people do.
    ///
    /// # Panics
    /// The store takes nothing.
    pub fn enrol(&self, vantage: &str) {
        let (registry, now) = (&self.shared.fleet.registry, self.shared.started);
        let made = registry.ticket(&VantageId::new(vantage), vantage, "test", now);
        made.expect("memory takes everything");
        let sign = |_: &str| {
            Ok(Issued {
                chain: Vec::new(),
                fingerprint: Digest([7; 32]),
                ends: now + Duration::from_secs(30 * 86_400),
            })
        };
        let made = registry.enrol(vantage, "1f0c3a", now, |_| true, sign);
        made.expect("the token is good");
    }
}

/// A hub that holds nothing.
#[must_use]
pub fn empty(now: Timestamp) -> Hub {
    hub(
        now,
        "services: [{ name: none, url: https://none.example/ }]",
    )
}

/// A hub that is configured by this and has judged nothing yet.
///
/// # Panics
/// The configuration is wrong.
#[must_use]
pub fn hub(now: Timestamp, configuration: &str) -> Hub {
    let memory = Arc::new(Memory::default());
    let (acts, received) = mpsc::channel(ACTS_WAITING);
    let config = bellwether_config::parse(configuration, Path::new("bellwether.yaml"));
    let configured = Configured {
        generation: 1,
        since: now,
        config: Arc::new(config.expect("the configuration of tests is right")),
        path: Some(PathBuf::from("bellwether.yaml")),
        refused: None,
    };
    let health = Health::default();
    health.ready.store(true, Ordering::Release);
    let beats = Beats::new(Secret::new([7; 32]), now);
    beats.configure(&configured.config, now);
    let authority = Authority::generate(now).expect("a key can be made");
    let fleet = Fleet::new(
        Arc::clone(&memory) as _,
        &data_dir(),
        Clock::new(move || now),
    );
    let shared = Shared {
        board: RwLock::new(Board::default()),
        configured: ArcSwap::from_pointee(configured),
        observations: Arc::clone(&memory) as _,
        state: Arc::clone(&memory) as _,
        events: broadcast::channel(EVENTS_KEPT).0,
        acts,
        figures: Figures::default(),
        agent: Arc::default(),
        fates: arc_swap::ArcSwap::default(),
        links: crate::links::Links::default(),
        beats,
        fleet: fleet.with_authority(authority),
        health,
        unkept: RwLock::default(),
        unsaved: std::sync::Mutex::default(),
        troubles: RwLock::default(),
        judge_beat: AtomicU64::new(0),
        former_vantages: OnceLock::new(),
        tasks: TaskStates::default(),
        started: now,
        started_at: Instant::now(),
        data_dir: data_dir(),
        version: "0.0.0",
        workers: None,
    };
    Hub {
        shared: Arc::new(shared),
        memory,
        acts: received,
        evidence: Digest([0; 32]),
    }
}

/// Where its files would be.
fn data_dir() -> PathBuf {
    PathBuf::from("/var/lib/bellwether")
}

/// A hub with a bit of everything: a healthy service, a broken one with an incident, a stale one,
/// runs of three hours, evidence, a refused configuration, and secrets where they may be.
#[must_use]
pub fn filled(now: Timestamp) -> Hub {
    let mut hub = hub(now, CONFIGURATION);
    hub.evidence = keep(&hub.memory, now);
    *hub.shared.board.write().expect("nobody panicked") = board(now, hub.evidence);
    let mut configured = hub.shared.configured.load().as_ref().clone();
    let mut config = configured.config.as_ref().clone();
    config.services[0].checks[0].client_cert = Some(ClientIdentity {
        chain: vec!["MIIB".to_owned()],
        key: CANARY.to_owned(),
    });
    configured.config = Arc::new(config);
    configured.refused = Some(Refused {
        at: now - Duration::from_secs(30),
        problems: vec!["bellwether.yaml:3:5: unknown key `ulr`; did you mean `url`?".to_owned()],
    });
    hub.shared.configured.store(Arc::new(configured));
    hub
}

/// Keeps evidence, two incidents and runs; the hash of the evidence.
fn keep(memory: &Memory, now: Timestamp) -> Digest {
    let bytes = br#"{"schema":"bellwether.check/1"}"#.to_vec();
    let evidence = Digest(sha2::Sha256::digest(&bytes).into());
    let incident = incident(1, now, evidence);
    let mut resolved = incident.clone();
    resolved.id = 2;
    resolved.state = IncidentState::Resolved;
    resolved.resolved = Some(now);
    let changes = [
        Change::Evidence { at: now, bytes },
        Change::Incident(Box::new(incident)),
        Change::Incident(Box::new(resolved)),
    ];
    memory.commit(&changes).expect("memory takes everything");
    let mut runs = history(&CheckId::new("shop", "main"), now, RunOutcome::Ok);
    runs.extend(history(
        &CheckId::new("pay", "api"),
        now,
        RunOutcome::Failed,
    ));
    let envelope = Envelope {
        agent: "local".into(),
        boot: 1,
        number: 1,
        runs,
    };
    memory.append(&[envelope]).expect("memory takes everything");
    evidence
}

fn board(now: Timestamp, evidence: Digest) -> Board {
    let long_ago = now - Duration::from_secs(600);
    let mut board = Board::default();
    for (service, check, target, verdict, judged) in [
        (
            "shop",
            "main",
            "https://www.shop.example/?key=canary-7f3a9c",
            Verdict::Healthy,
            now,
        ),
        (
            "pay",
            "api",
            "https://pay.shop.example/health",
            Verdict::Broken,
            now,
        ),
        (
            "pay",
            "queue",
            "tls://mq.shop.example:5671",
            Verdict::Healthy,
            now,
        ),
        (
            "old",
            "main",
            "https://old.shop.example/",
            Verdict::Healthy,
            long_ago,
        ),
    ] {
        let id = CheckId::new(service, check);
        let mut state = state(target, verdict, judged);
        let outcome = match verdict {
            Verdict::Healthy => RunOutcome::Ok,
            _ => RunOutcome::Failed,
        };
        if verdict == Verdict::Broken {
            state.cause = Some(Cause::Unknown);
            state.evidence = Some(evidence);
        }
        let last = run(&id, 180, now - Duration::from_secs(5), outcome);
        state.last.insert(last);
        board.checks.insert(id, state);
    }
    for (name, verdict, incidents) in [
        ("shop", Verdict::Healthy, vec![]),
        ("pay", Verdict::Broken, vec![1]),
        ("old", Verdict::Healthy, vec![]),
    ] {
        let own = || board.checks.iter().filter(|(id, _)| id.service() == name);
        let service = ServiceState {
            labels: BTreeMap::from([("team".to_owned(), "web".to_owned())]),
            needs: (name == "shop")
                .then(|| "pay".to_owned())
                .into_iter()
                .collect(),
            verdict,
            cause: (verdict == Verdict::Broken).then_some(Cause::Unknown),
            summary: "".into(),
            since: Some(now - Duration::from_secs(3_600)),
            checks: own().map(|(id, _)| id.clone()).collect(),
            incidents,
            why_unknown: None,
        };
        board.services.insert(name.to_owned(), service);
    }
    board
}

fn state(target: &str, verdict: Verdict, judged: Timestamp) -> CheckState {
    let layer = |layer, state| LayerReport {
        layer,
        state,
        took_ms: 12.5,
        summary: "2 of 2 addresses".to_owned(),
    };
    let http = match verdict {
        Verdict::Healthy => LayerState::Ok,
        _ => LayerState::Failed,
    };
    CheckState {
        target: target.into(),
        every: Duration::from_secs(60),
        known_since: judged - Duration::from_secs(3_600),
        verdict,
        cause: None,
        summary: match verdict {
            Verdict::Healthy => "".into(),
            _ => "every address answers 503".into(),
        },
        since: Some(judged - Duration::from_secs(3_600)),
        judged_at: Some(judged),
        layers: vec![
            layer(Layer::Dns, LayerState::Ok),
            layer(Layer::Net, LayerState::Ok),
            layer(Layer::Tls, LayerState::Ok),
            layer(Layer::Http, http),
        ],
        traced_at: Some(judged),
        evidence: None,
        last: LastRuns::default(),
        poisoned: None,
        served: 0,
        places: None,
    }
}

/// A run each minute of three hours.
fn history(check: &CheckId, now: Timestamp, last: RunOutcome) -> Vec<Run> {
    let runs = (0..180u32).map(|n| {
        let due = now - Duration::from_secs(u64::from(180 - n) * 60);
        let outcome = if n >= 170 { last } else { RunOutcome::Ok };
        run(check, u64::from(n) + 1, due, outcome)
    });
    runs.collect()
}

/// A run.
#[must_use]
pub fn run(check: &CheckId, sequence: u64, due: Timestamp, outcome: RunOutcome) -> Run {
    let failed = outcome == RunOutcome::Failed;
    Run {
        check: check.clone(),
        vantage: VantageId::new(VantageId::LOCAL),
        sequence,
        due,
        late: 1_500,
        every: 60_000,
        trigger: Trigger::Schedule,
        outcome,
        layer: failed.then_some(Layer::Http),
        symptom: failed.then(|| "http.status_503".into()),
        resolver: Some("9.9.9.9".into()),
        address: Some([192, 0, 2, 1].into()),
        status: Some(if failed { 503 } else { 200 }),
        size: Some(1_234),
        certificate: Some(Digest([9; 32])),
        certificate_ends: Timestamp::from_second(1_800_000_000).ok(),
        evidence: None,
        clock_offset_ms: None,
        phases: Phases {
            dns: Some(1_000),
            connect: Some(2_000),
            tls: Some(3_000),
            first_byte: Some(4_000 + (sequence % 10) as u32 * 1_000),
            transfer: None,
        },
    }
}

/// An open incident.
#[must_use]
pub fn incident(id: u64, now: Timestamp, evidence: Digest) -> Incident {
    let began = now - Duration::from_secs(600);
    Incident {
        id,
        state: IncidentState::Open,
        cause: Cause::Unknown,
        layer: Layer::Http,
        severity: Severity::Critical,
        verdict: Verdict::Broken,
        confidence: 0.5,
        summary: "every address of pay.shop.example answers 503".to_owned(),
        remedy: "Look at the origin.".to_owned(),
        see: Some("curl -v https://pay.shop.example/health".to_owned()),
        consequences: vec![],
        checks: vec![AffectedCheck {
            check: "pay/api".to_owned(),
            since: began,
            until: None,
            scope: Scope::default(),
        }],
        scope: Scope {
            vantages: vec!["local".to_owned()],
            addresses: vec![[192, 0, 2, 1].into()],
            share: 1.0,
            since: Some(began),
            ..Scope::default()
        },
        caveats: vec!["seen from `local` only".to_owned()],
        began,
        opened: began,
        updated: now,
        acknowledged: None,
        mitigated: None,
        resolved: None,
        flapping: None,
        evidence: vec![evidence],
        timeline: vec![Moment {
            at: began,
            kind: MomentKind::FirstFailure,
            text: "pay/api answers 503".to_owned(),
            evidence: Some(evidence),
        }],
    }
}

/// Keeps what heartbeats report, for ever.
pub async fn keep_beats(shared: Arc<Shared>) {
    crate::beats::run(shared).await;
}

/// Takes in what people do, as a judge would, until nobody can do anything any more.
pub async fn judge(memory: Arc<Memory>, mut acts: mpsc::Receiver<Act>, now: Timestamp) {
    while let Some(act) = acts.recv().await {
        let _ = act
            .done
            .send(acted(&memory, act.incident, act.what, &act.by, now));
    }
}

fn acted(
    memory: &Memory,
    id: u64,
    what: ActKind,
    by: &str,
    now: Timestamp,
) -> Result<Incident, ActError> {
    let kept = |error: bellwether_store::StoreError| ActError::Store(error.to_string());
    let mut incident = memory
        .incident(id)
        .map_err(kept)?
        .ok_or(ActError::Unknown(id))?;
    if incident.state == IncidentState::Resolved {
        return Err(ActError::Resolved(id));
    }
    let (kind, text) = match what {
        ActKind::Acknowledge => {
            incident.state = IncidentState::Acknowledged;
            incident.acknowledged = Some(now);
            (MomentKind::Acknowledged, format!("acknowledged by {by}"))
        }
        ActKind::Note(text) => (MomentKind::Note, format!("{by}: {text}")),
    };
    incident.timeline.push(Moment {
        at: now,
        kind,
        text,
        evidence: None,
    });
    memory
        .commit(&[Change::Incident(Box::new(incident.clone()))])
        .map_err(kept)?;
    Ok(incident)
}
