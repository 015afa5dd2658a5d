//! The hub as a whole: what is started, in which order, and how it ends.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bellwether_agent::{Harvest, Plan};
use bellwether_config::{Loaded, Problems};
use bellwether_model::text::inert;
use bellwether_model::{Digest, VantageId};
use bellwether_store::embedded::{Embedded, Options};
use bellwether_store::{Change, Retention, StateStore, StoreError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::{Mutex, broadcast, mpsc, watch};

use crate::access::{self, Access, Clock};
use crate::agents::{Agents, Owner};
use crate::api;
use crate::beats::{self, Beats};
use crate::board::{self, Board};
use crate::fleet::{self, Fleet};
use crate::judge::{self, Inbox, Judge};
use crate::keep::{KeepError, Keeper};
use crate::links::Links;
use crate::listen::serve_http;
use crate::reload::{LOOK_EVERY, Looks};
use crate::shared::{Act, Configured, DAMAGE, Event, Figures, Health, Refused, Shared};
use crate::tasks::Tasks;

/// What was harvested and waits for the judge.
const HARVEST_MAX: usize = 4_096;
/// Deliveries from elsewhere that wait for the judge.
const FAR_MAX: usize = 64;
/// What people did and waits for the judge.
const ACTS_MAX: usize = 64;
/// Events that a slow listener may be behind.
const EVENTS_MAX: usize = 1_024;
/// How often it is looked whether the store's files are still there.
const STORE_EVERY: Duration = Duration::from_secs(2);
/// After so many looks the store seals, folds and drops: every twenty seconds.
const LOOKS_PER_MAINTENANCE: u32 = 10;
/// A judge that did not go round for so long stands still.
const MOVES_WITHIN: Duration = Duration::from_secs(30);
/// Longest time for runs that wait at the end.
const FLUSH_WAIT: Duration = Duration::from_millis(2_500);
/// Longest time for what is under way at the end.
const AGENT_WAIT: Duration = Duration::from_secs(4);
/// Longest time that somebody who asked for the configuration to be read again waits: what 100,000
/// lines take is a fraction of it.
const RELOAD_WAIT: Duration = Duration::from_secs(30);
/// Most worker processes, whoever asks for more: each may take 256 MiB.
const WORKERS_MAX: usize = 64;
/// Longest time for the agent's end as a whole.
const AGENT_END_WAIT: Duration = Duration::from_millis(4_500);
/// Longest time for the judge to take in what is left. All these together stay below the nine seconds
/// that `serve` waits: whatever stands still, runs are written down before the process ends.
const JUDGE_WAIT: Duration = Duration::from_millis(1_500);
/// Words about damage that are kept: the first of it says what to do.
const DAMAGE_LEN_MAX: usize = 2_000;
/// One day.
const DAY: u64 = 86_400;
/// How far the wall clock may have been moved forward since the start, seconds, for it to say what is
/// old enough to be dropped: a machine that slept over a weekend, and no more.
const CLOCK_BELIEVED_AHEAD: i64 = 3 * 86_400;

/// Reads a configuration.
pub type Read = Arc<dyn Fn(&Path) -> Result<Loaded, Problems> + Send + Sync>;
/// Starts a worker process.
pub type Worker = Arc<dyn Fn() -> Command + Send + Sync>;

/// What a hub is started with.
pub struct HubOptions {
    /// The configuration's file or directory, if there is one.
    pub path: Option<PathBuf>,
    /// What it holds.
    pub config: Loaded,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// The version of the program.
    pub version: &'static str,
    /// Reads the configuration again, as `config` was read: what it gives with the same digest is the
    /// same configuration.
    pub read: Read,
    /// Starts a worker process.
    pub worker: Worker,
    /// How many worker processes; `None` for what suits the configuration and the machine.
    pub workers: Option<NonZeroUsize>,
}

/// Why a hub does not start.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The data directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The thread that keeps runs.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// The place where page and API are.
    #[error("failed to listen")]
    Listen(#[source] std::io::Error),
    /// A file that the configuration names.
    #[error(transparent)]
    Settings(#[from] bellwether_agent::settings::SettingsError),
}

/// How much is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Services.
    pub services: usize,
    /// Checks.
    pub checks: usize,
}

/// A running hub.
pub struct Hub {
    shared: Arc<Shared>,
    agents: Agents,
    keeper: Keeper,
    reload: Arc<Reload>,
    stop: watch::Sender<bool>,
    /// The judge is to take in what is left, and to end.
    judge_end: watch::Sender<bool>,
    judged: mpsc::Receiver<()>,
    first_token: Option<String>,
    notices: Vec<String>,
    tasks: Tasks,
}

impl Hub {
    /// Starts everything.
    ///
    /// # Errors
    /// The data directory is in use, damaged or of a newer version; a file that the configuration
    /// names cannot be read.
    pub async fn start(options: HubOptions, listener: TcpListener) -> Result<Self, HubError> {
        let HubOptions {
            path,
            config,
            data_dir,
            version,
            read,
            worker,
            workers,
        } = options;
        let now = Timestamp::now();
        let store = opened(&data_dir, now)?;
        let mut tasks = Tasks::new();
        let (acts, acts_in) = mpsc::channel(ACTS_MAX);
        let notices = crate::fate::notices(&config.config);
        let named = config.files.clone();
        let access = Access::for_listener(listener.local_addr().map_err(HubError::Listen)?);
        let generation = next_generation(&*store, &config, now)?;
        let configured = configured(generation, now, config, path);
        let shared = shared(configured, store, acts, &tasks, data_dir, version, workers)?;
        let configured = shared.configured.load_full();
        restore_board(&shared, &configured, now)?;
        let plan = plan(&shared, &configured)?;
        let (agents, owner, harvest_in) = agents(plan, worker, &shared);
        let (far_out, far) = mpsc::channel(FAR_MAX);
        // Two starts within a nanosecond have the same number; nothing rests on it.
        let boot = u64::try_from(now.as_nanosecond()).unwrap_or_default();
        let keeper = Keeper::start(shared.clone(), boot)?;
        let (configured_out, configured_in) = mpsc::channel(1);
        let (judge_end, judge_ends) = watch::channel(false);
        let inbox = Arc::new(Mutex::new(Inbox {
            harvest: harvest_in,
            far,
            acts: acts_in,
            configured: configured_in,
            ends: judge_ends,
            batch: Vec::new(),
        }));
        let (judged_out, judged) = mpsc::channel(1);
        let listener = listener.into_std().map_err(HubError::Listen)?;
        // Behind it nothing fails any more: a token that was made is one that is shown.
        let first_token = access::first_token(&*shared.state, now, random())?;
        spawn_agent(&mut tasks, &shared, owner);
        spawn_judge(&mut tasks, &shared, &agents, &keeper, inbox, judged_out);
        spawn_maintenance(&mut tasks, &shared);
        let reload = Arc::new(Reload::default());
        let source = Source { read, named };
        spawn_reload(
            &mut tasks,
            &shared,
            &agents,
            &reload,
            source,
            configured_out,
        );
        let (stop, stopped) = watch::channel(false);
        fleet::spawn(&mut tasks, &shared, far_out, stopped.clone());
        spawn_api(&mut tasks, &shared, access, listener, stopped);
        shared.health.ready.store(true, Ordering::Relaxed);
        Ok(Self {
            shared,
            agents,
            keeper,
            reload,
            stop,
            judge_end,
            judged,
            first_token,
            notices,
            tasks,
        })
    }

    /// Reads the configuration again, now. What it gives ends when that is done, and tells whether the
    /// newest configuration is in force.
    pub fn reload(&self) -> impl Future<Output = bool> + Send + use<> {
        let mut done = self.reload.done.subscribe();
        let shared = self.shared.clone();
        if shared.configured.load().path.is_some() {
            done.mark_unchanged();
            self.reload.asked.notify_one();
        } else {
            // Without a file there is nothing to read.
            done.mark_changed();
        }
        async move {
            let waited = tokio::time::timeout(RELOAD_WAIT, done.changed()).await;
            waited.is_ok_and(|done| done.is_ok()) && shared.configured.load().refused.is_none()
        }
    }

    /// Does the judge move? A schedule that stands still is found by the judge, as silence.
    #[must_use]
    pub fn moves(&self) -> bool {
        self.shared.judge_age() < MOVES_WITHIN
    }

    /// The configuration in force, and what became of the newest file.
    #[must_use]
    pub fn configured(&self) -> Arc<Configured> {
        self.shared.configured.load_full()
    }

    /// How much is watched.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.board(|board| Counts {
            services: board.services.len(),
            checks: board.checks.len(),
        })
    }

    /// What a person should know of the configuration.
    #[must_use]
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The token that was made at the very first start.
    #[must_use]
    pub fn first_token(&self) -> Option<&str> {
        self.first_token.as_deref()
    }

    /// Ends: what is under way is waited for shortly, what is known is kept. Each part has its time,
    /// so that one which stands still takes none of the others'. Tells whether all went well.
    pub async fn stop(mut self) -> bool {
        self.shared.health.ready.store(false, Ordering::Relaxed);
        let _ = self.stop.send(true);
        let agent = tokio::time::timeout(AGENT_END_WAIT, self.agents.stop(AGENT_WAIT)).await;
        if agent.is_err() {
            tracing::error!("the agent did not end in time; what it saw last is not kept");
        }
        let _ = self.judge_end.send(true);
        let judge = tokio::time::timeout(JUDGE_WAIT, self.judged.recv()).await;
        if judge.is_err() {
            tracing::error!("the judge did not end in time; what it learned last is learned anew");
        }
        let keeper = self.keeper.clone();
        let flushed = tokio::task::spawn_blocking(move || keeper.flush(FLUSH_WAIT)).await;
        let is_kept = flushed.unwrap_or(false);
        if !is_kept {
            tracing::error!("the last runs could not be kept");
        }
        drop(self.tasks);
        agent.is_ok() && judge.is_ok() && is_kept
    }
}

/// What is asked of agents, the built-in one's owner, and what that one brings.
fn agents(plan: Plan, worker: Worker, shared: &Shared) -> (Agents, Owner, mpsc::Receiver<Harvest>) {
    let (harvest, taken) = mpsc::channel(HARVEST_MAX);
    let (figures, links) = (shared.agent.clone(), shared.links.clone());
    let (agents, owner) = Agents::new(plan, worker, harvest, figures, links);
    (agents, owner, taken)
}

/// The store, with what opening it found in the log.
fn opened(data_dir: &Path, now: Timestamp) -> Result<Arc<Embedded>, StoreError> {
    let store = Embedded::open(data_dir, Options::new(now))?;
    for note in store.notes() {
        tracing::warn!("opening the store: {note}");
    }
    Ok(Arc::new(store))
}

/// Asks for the configuration to be read again.
#[derive(Default)]
struct Reload {
    asked: tokio::sync::Notify,
    /// Changes each time that it was read.
    done: watch::Sender<()>,
}

/// Where the configuration comes from, while the hub runs.
struct Source {
    read: Read,
    /// The files that the first one was read from, and that it names.
    named: Vec<PathBuf>,
}

/// A configuration that was read, as it comes into force.
fn configured(
    generation: u64,
    since: Timestamp,
    loaded: Loaded,
    path: Option<PathBuf>,
) -> Configured {
    Configured {
        generation,
        since,
        config: Arc::new(loaded.config),
        path,
        refused: None,
    }
}

/// What all parts hold in common, at the start.
fn shared(
    configured: Configured,
    store: Arc<Embedded>,
    acts: mpsc::Sender<Act>,
    tasks: &Tasks,
    data_dir: PathBuf,
    version: &'static str,
    workers: Option<NonZeroUsize>,
) -> Result<Arc<Shared>, StoreError> {
    let beats = Beats::open(&*store, &data_dir, random(), configured.since)?;
    beats.configure(&configured.config, configured.since);
    let health = Health::default();
    let receivers = configured.config.receivers.len();
    health.receivers.store(receivers, Ordering::Relaxed);
    Ok(Arc::new(Shared {
        board: RwLock::new(Board::default()),
        started: configured.since,
        configured: ArcSwap::from_pointee(configured),
        observations: store.clone(),
        state: store.clone(),
        events: broadcast::channel(EVENTS_MAX).0,
        acts,
        fates: ArcSwap::default(),
        figures: Figures::default(),
        agent: Arc::default(),
        links: Links::default(),
        fleet: Fleet::new(store, &data_dir, Clock::system()),
        beats,
        health,
        unkept: RwLock::default(),
        unsaved: std::sync::Mutex::default(),
        troubles: RwLock::default(),
        judge_beat: AtomicU64::new(0),
        former_vantages: OnceLock::new(),
        tasks: tasks.states(),
        started_at: Instant::now(),
        data_dir,
        version,
        workers,
    }))
}

/// Where the number of the configuration in force is kept.
const GENERATION: &str = "generation";

/// The number of a configuration, with the digest of what it holds.
#[derive(Serialize, Deserialize)]
struct Generation {
    generation: u64,
    digest: String,
}

/// The number of the configuration in force: the same as before a restart, if it is the same.
fn next_generation(
    store: &dyn StateStore,
    config: &Loaded,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let last = store.checkpoint(GENERATION)?;
    let last: Option<Generation> = last.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let digest = &config.config.digest;
    let generation = match last {
        Some(last) if last.digest == *digest => return Ok(last.generation),
        Some(last) => last.generation + 1,
        None => 1,
    };
    store.commit(&in_force(generation, digest, now))?;
    Ok(generation)
}

/// A configuration is in force from now on.
fn in_force(generation: u64, digest: &str, now: Timestamp) -> Vec<Change> {
    let kept = Generation {
        generation,
        digest: digest.to_owned(),
    };
    vec![
        Change::Generation {
            generation,
            at: now,
            digest: Digest::parse(digest).unwrap_or(Digest([0; 32])),
        },
        Change::Checkpoint {
            key: GENERATION.to_owned(),
            bytes: serde_json::to_vec(&kept).ok(),
        },
    ]
}

/// Random bytes for a token.
fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

fn restore_board(shared: &Shared, configured: &Configured, now: Timestamp) -> Result<(), HubError> {
    let kept = shared.state.checkpoints(board::CHECKPOINT)?;
    shared.board_mut(|board| {
        board.configure(&configured.config, now);
        if !kept.is_empty() {
            board.restore(kept.iter().map(|(_, bytes)| bytes.as_slice()));
        }
    });
    Ok(())
}

/// What the built-in agent is to do.
fn plan(shared: &Shared, configured: &Configured) -> Result<Plan, HubError> {
    let local = VantageId::new(VantageId::LOCAL);
    let baselines = judge::baselines(&*shared.state, &configured.config, &local)?;
    let mut plan =
        bellwether_agent::settings::plan(&configured.config, configured.generation, &baselines)?;
    if let Some(workers) = shared.workers {
        plan.workers = workers.get().min(WORKERS_MAX);
    }
    Ok(plan)
}

fn spawn_judge(
    tasks: &mut Tasks,
    shared: &Arc<Shared>,
    agents: &Agents,
    keeper: &Keeper,
    inbox: Arc<Mutex<Inbox>>,
    judged: mpsc::Sender<()>,
) {
    let (shared, agents, keeper) = (shared.clone(), agents.clone(), keeper.clone());
    let restarted = shared.figures.tasks_restarted.clone();
    tasks.spawn("judge", restarted, move || {
        let (shared, agents, keeper) = (shared.clone(), agents.clone(), keeper.clone());
        let (inbox, judged) = (inbox.clone(), judged.clone());
        async move {
            let mut inbox = inbox.lock().await;
            let of = shared.clone();
            let restore = move || Judge::restore(of, agents, keeper, Timestamp::now());
            match blocking(restore).await {
                Ok(judge) => {
                    shared.trouble("judge", None);
                    judge.run(&mut inbox).await;
                    // The inbox is closed: that is the end, not a failure.
                    let _ = judged.send(()).await;
                    std::future::pending::<()>().await;
                }
                Err(error) => shared.trouble("judge", Some(error.to_string())),
            }
        }
    });
}

/// What heartbeats report is kept as it comes.
fn spawn_beats(tasks: &mut Tasks, shared: &Arc<Shared>) {
    let shared = shared.clone();
    let restarted = shared.figures.tasks_restarted.clone();
    tasks.spawn("heartbeats", restarted, move || beats::run(shared.clone()));
}

/// What is done to the store besides appending runs.
fn spawn_maintenance(tasks: &mut Tasks, shared: &Arc<Shared>) {
    crate::fate::spawn(tasks, shared);
    spawn_beats(tasks, shared);
    let shared = shared.clone();
    let restarted = shared.figures.tasks_restarted.clone();
    tasks.spawn("store", restarted, move || {
        let shared = shared.clone();
        async move {
            let mut looks = 0;
            loop {
                tokio::time::sleep(STORE_EVERY).await;
                let shared = shared.clone();
                looks += 1;
                let is_due = looks >= LOOKS_PER_MAINTENANCE;
                let is_told = blocking(move || {
                    if is_due {
                        maintain(&shared);
                        true
                    } else {
                        look(&shared)
                    }
                })
                .await;
                // What is told stays so until the next maintenance, a whole while later.
                if is_told {
                    looks = 0;
                }
            }
        }
    });
}

/// Looks whether the store's files are still there. Whether there is something to tell.
fn look(shared: &Shared) -> bool {
    let told = match shared.observations.look() {
        Ok(damage) if damage.is_empty() => return false,
        Ok(damage) => damage.join("; "),
        Err(error) => error.to_string(),
    };
    shared.trouble("store", Some(told));
    true
}

/// Does work that may block where it holds up nobody. A panic there is one of whoever asked.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and with it whoever waits here.
            Err(_) => std::future::pending().await,
        },
    }
}

fn maintain(shared: &Shared) {
    let retention = shared.configured.load().config.retention;
    let days = |span: Duration| u32::try_from(span.as_secs() / DAY).unwrap_or(u32::MAX);
    let keep = Retention {
        raw_days: days(retention.raw).max(1),
        rollup_days: days(retention.rollups).max(1),
        max_bytes: retention.max_size,
    };
    let now = Timestamp::now();
    let passed = shared.started_at.elapsed();
    let ahead = now.duration_since(shared.started).as_secs() - passed.as_secs().cast_signed();
    // A clock that was set to another year would make all that is kept look old at once.
    let keep = if ahead >= CLOCK_BELIEVED_AHEAD {
        Retention {
            raw_days: u32::MAX,
            rollup_days: u32::MAX,
            ..keep
        }
    } else {
        keep
    };
    match shared.observations.maintain(now, &keep) {
        Ok(done) => {
            shared.trouble("store", None);
            damaged(shared, &done.damage);
        }
        Err(error) => shared.trouble("store", Some(error.to_string())),
    }
}

/// The store tells damage once, and what is left out stays left out: it is told until somebody starts
/// the process again, after having looked.
fn damaged(shared: &Shared, found: &[String]) {
    if found.is_empty() {
        return;
    }
    for damage in found {
        tracing::error!("the store is damaged: {damage}");
    }
    let before = shared.troubles().remove(DAMAGE).map(|known| known.what);
    let all: Vec<&str> = before.iter().chain(found).map(String::as_str).collect();
    shared.trouble(DAMAGE, Some(inert(&all.join("; "), DAMAGE_LEN_MAX)));
}

fn spawn_reload(
    tasks: &mut Tasks,
    shared: &Arc<Shared>,
    agents: &Agents,
    asked: &Arc<Reload>,
    source: Source,
    configured: mpsc::Sender<Arc<Configured>>,
) {
    let Some(path) = shared.configured.load().path.clone() else {
        return;
    };
    let (shared, agents, asked) = (shared.clone(), agents.clone(), asked.clone());
    let Source { read, named } = source;
    let restarted = shared.figures.tasks_restarted.clone();
    tasks.spawn("configuration", restarted, move || {
        let (shared, agents, asked) = (shared.clone(), agents.clone(), asked.clone());
        let (path, read, configured) = (path.clone(), read.clone(), configured.clone());
        let mut named = named.clone();
        async move {
            // What was in force before this began is read once more: a file may have changed between
            // its being read and the first look.
            let mut before = None;
            loop {
                let is_asked = tokio::select! {
                    () = asked.asked.notified() => true,
                    () = tokio::time::sleep(LOOK_EVERY) => false,
                };
                let (from, files) = (path.clone(), named.clone());
                let mut looks = blocking(move || Looks::at(&from, &files)).await;
                if before.as_ref() == Some(&looks) && !is_asked {
                    continue;
                }
                let (again, from) = (read.clone(), path.clone());
                let mut loaded = blocking(move || again(&from)).await;
                // A secret that is missing may come later: it is looked at from before it was asked for.
                if let Err(problems) = &loaded
                    && problems.asked_files().iter().any(|f| !named.contains(f))
                {
                    named.extend_from_slice(problems.asked_files());
                    named.sort_unstable();
                    named.dedup();
                    let (again, from, files) = (read.clone(), path.clone(), named.clone());
                    let both = move || (Looks::at(&from, &files), again(&from));
                    (looks, loaded) = blocking(both).await;
                }
                if let Ok(loaded) = &loaded {
                    named.clone_from(&loaded.files);
                }
                // As it was before it was read: what is written meanwhile is read the next time.
                before = Some(looks);
                take_over(&shared, &agents, loaded, &configured).await;
                asked.done.send_replace(());
            }
        }
    });
}

/// A configuration that was read again comes into force, or is refused.
async fn take_over(
    shared: &Arc<Shared>,
    agents: &Agents,
    loaded: Result<Loaded, Problems>,
    judge: &mpsc::Sender<Arc<Configured>>,
) {
    let now = Timestamp::now();
    let before = shared.configured.load_full();
    let refuse = |problems: Vec<String>| {
        // They say what stands in the file, and that may be what another place of it hides.
        let scrub = |problem: &String| api::redact::complaint(&before.config.scrub(problem));
        let problems: Vec<String> = problems.iter().map(scrub).collect();
        for problem in &problems {
            tracing::error!(
                "the new configuration is refused, the old one stays in force: {problem}"
            );
        }
        let refused = Some(Refused { at: now, problems });
        shared.configured.store(Arc::new(Configured {
            refused,
            ..(*before).clone()
        }));
        let figures = &shared.figures;
        figures
            .refused_configurations
            .fetch_add(1, Ordering::Relaxed);
        shared.say(Event::Configuration {
            generation: before.generation,
            refused: true,
        });
    };
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(problems) => return refuse(problems.lines()),
    };
    if loaded.config.digest == before.config.digest {
        if before.refused.is_some() {
            shared.configured.store(Arc::new(Configured {
                refused: None,
                ..(*before).clone()
            }));
        }
        return;
    }
    let next = configured(before.generation + 1, now, loaded, before.path.clone());
    let next = Arc::new(next);
    let (of, planned) = (shared.clone(), next.clone());
    let plan = match blocking(move || plan(&of, &planned)).await {
        Ok(plan) => plan,
        Err(error) => return refuse(vec![next.config.scrub(&error.to_string())]),
    };
    let changes = in_force(next.generation, &next.config.digest, now);
    let state = shared.state.clone();
    if let Err(error) = blocking(move || state.commit(&changes)).await {
        tracing::error!(%error, "the number of the new configuration could not be kept");
    }
    let generation = next.generation;
    let receivers = next.config.receivers.len();
    shared.health.receivers.store(receivers, Ordering::Relaxed);
    shared.configured.store(next.clone());
    shared.fleet.configured();
    shared.beats.configure(&next.config, now);
    agents.plan(plan).await;
    let _ = judge.send(next).await;
    tracing::info!(generation, "a new configuration is in force");
    shared.say(Event::Configuration {
        generation,
        refused: false,
    });
}

fn spawn_agent(tasks: &mut Tasks, shared: &Shared, owner: Owner) {
    let restarted = shared.figures.tasks_restarted.clone();
    let owner = Arc::new(Mutex::new(owner));
    tasks.spawn("agent", restarted, move || {
        let owner = owner.clone();
        async move { owner.lock().await.run().await }
    });
}

fn spawn_api(
    tasks: &mut Tasks,
    shared: &Arc<Shared>,
    access: Access,
    listener: std::net::TcpListener,
    stopped: watch::Receiver<bool>,
) {
    let restarted = shared.figures.tasks_restarted.clone();
    let router = api::router(shared.clone(), access);
    tasks.spawn("api", restarted, move || {
        let listener = listener.try_clone().and_then(TcpListener::from_std);
        let (router, mut stopped) = (router.clone(), stopped.clone());
        async move {
            let listener = match listener {
                Ok(listener) => listener,
                Err(error) => {
                    tracing::error!(%error, "page and API cannot listen");
                    return;
                }
            };
            let stop = async move {
                // The sender goes with the hub.
                let _ = stopped.wait_for(|stopped| *stopped).await;
            };
            serve_http(listener, router, stop).await;
            std::future::pending::<()>().await;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn damage_is_told_until_somebody_looked() {
        let hub = testing::empty(Timestamp::UNIX_EPOCH);
        let told = || {
            let troubles = hub.shared.troubles();
            troubles.get(DAMAGE).map(|trouble| trouble.what.clone())
        };
        maintain(&hub.shared);
        assert_eq!(told(), None);
        hub.memory.damage("`a.db` is damaged");
        for _ in 0..3 {
            maintain(&hub.shared);
            assert_eq!(told().as_deref(), Some("`a.db` is damaged"));
        }
        assert!(hub.shared.health.trouble().is_some());
        assert!(!hub.shared.is_hindered(), "the rest serves on");
        hub.memory.damage("`b.db` is damaged");
        maintain(&hub.shared);
        let both = "`a.db` is damaged; `b.db` is damaged";
        assert_eq!(told().as_deref(), Some(both));
        // Another trouble comes and goes.
        hub.memory.set_broken(true);
        maintain(&hub.shared);
        assert!(hub.shared.is_hindered());
        hub.memory.set_broken(false);
        maintain(&hub.shared);
        assert!(!hub.shared.is_hindered());
        assert_eq!(told().as_deref(), Some(both));
    }
}
