//! `agent`: a vantage of a hub elsewhere.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bellwether_agent::settings::Local;
use bellwether_agent::spool::{Folder, Spool};
use bellwether_agent::uplink::dial::{self, Dialler, EnrolError};
use bellwether_agent::uplink::gather::{HARVEST_MAX, gather};
use bellwether_agent::uplink::plans::PlanFile;
use bellwether_agent::uplink::runner::Runner;
use bellwether_agent::uplink::{Shared, Uplink, WISHES_MAX};
use bellwether_agent::{Clock as _, Plan, SystemClock};
use bellwether_diagnose::words::count;
use bellwether_link::{EnrolToken, Identity, IdentityError, private};
use bellwether_probe::owners::Owners;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cli::{AgentCommand, AgentRunArgs, EnrolArgs};
use crate::exit::{Exit, say};
use crate::serve::{at_home, beat, place, start_log};

/// Where an agent's data are by default on a machine that is set up for it.
const DATA_DIR: &str = "/var/lib/bellwether-agent";
/// The same below one's own place for state.
const AT_HOME: &str = "bellwether-agent";
/// Inside: results that wait, the plan, and what shows that somebody is at work there.
const SPOOL: &str = "spool";
const PLAN: &str = "plan.json";
const LOCK: &str = "lock";
/// Longest time from the wish to end until the end.
const STOP_WAIT: Duration = Duration::from_secs(9);

/// Runs the command.
pub(crate) fn run(command: &AgentCommand) -> Result<Exit> {
    match command {
        AgentCommand::Enrol(args) => enrol(args),
        AgentCommand::Run(args) => measure(args),
    }
}

fn enrol(args: &EnrolArgs) -> Result<Exit> {
    let hub = dial::place(&args.hub).map_err(anyhow::Error::msg)?;
    let token: EnrolToken = args.token.parse()?;
    let dir = match &args.data_dir {
        Some(dir) => dir.clone(),
        None => place(Path::new(DATA_DIR), AT_HOME)?,
    };
    let _lock = lock(&dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let identity = match runtime.block_on(dial::enrol(&hub, &token)) {
        Ok(identity) => identity,
        Err(error) => {
            let cure = cure(&error);
            bail!("not enrolled: {:#}\n{cure}", anyhow::Error::from(error));
        }
    };
    if let Ok(before) = Identity::load(&dir) {
        say(&format!(
            "note: this takes the place of the enrolment as {}",
            before.agent
        ));
    }
    identity.store(&dir)?;
    let given = match &args.data_dir {
        Some(dir) => format!(" --data-dir {}", dir.display()),
        None => String::new(),
    };
    say(&format!(
        "This machine is now the vantage `{}` of the hub at {hub}.\n\
         Its key was made here and stays in {}. Start it:\n\n    \
         bellwether agent run{given}\n",
        identity.vantage,
        dir.display(),
    ));
    Ok(Exit::Fine)
}

/// What a person does about it.
fn cure(error: &EnrolError) -> &'static str {
    match error {
        EnrolError::Unreachable { .. } => {
            "Does the hub run there, does it listen for agents at an address that this machine reaches \
             (`hub.agents_listen` in its configuration), and does no firewall stand between?"
        }
        EnrolError::NoHub { .. } => {
            "Agents have a port of their own at the hub: 8401, unless its `hub.agents_listen` says otherwise."
        }
        EnrolError::AnotherHub { .. } => {
            "Check the address, or take a token from the hub that is there. If both are right, somebody \
             stands between."
        }
        EnrolError::Refused { .. } => {
            "A token is good once and for 15 minutes: `bellwether agents token VANTAGE` makes a new one at \
             the hub."
        }
        EnrolError::Link { .. } => "Try it again, with a new token if this one is refused then.",
        EnrolError::Identity(_) => "Nothing was changed; a new token is needed to try again.",
    }
}

fn measure(args: &AgentRunArgs) -> Result<Exit> {
    let dir = match &args.data_dir {
        Some(dir) => dir.clone(),
        None => enrolled_in()?,
    };
    let identity = Identity::load(&dir).map_err(|error| match error {
        IdentityError::Missing { .. } => not_enrolled(&dir),
        error => error.into(),
    })?;
    if let Some(path) = &args.asn_table {
        Owners::load(path)
            .map_err(|why| anyhow::anyhow!("the ASN table `{}`: {why}", path.display()))?;
    }
    start_log(args.log)?;
    let lock = lock(&dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("bellwether")
        .build()
        .context("failed to start the runtime")?;
    let exit = runtime.block_on(go_on(args, &dir, identity));
    // A disk that hangs does not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(500));
    drop(lock);
    exit
}

/// Where somebody enrolled.
fn enrolled_in() -> Result<PathBuf> {
    let places: Vec<PathBuf> = std::iter::once(PathBuf::from(DATA_DIR))
        .chain(at_home(AT_HOME))
        .collect();
    // One that may not be read is the one meant: that is told.
    let is_there =
        |dir: &PathBuf| !matches!(Identity::load(dir), Err(IdentityError::Missing { .. }));
    match places.iter().find(|dir| is_there(dir)) {
        Some(dir) => Ok(dir.clone()),
        None => Err(not_enrolled(
            places.last().map_or(Path::new(DATA_DIR), PathBuf::as_path),
        )),
    }
}

fn not_enrolled(dir: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "nobody enrolled on this machine yet (nothing in {}). It takes two commands:\n\n    \
         bellwether agents token VANTAGE                      at the hub; it prints the second one\n    \
         bellwether agent enrol --hub https://HOST --token …  here",
        dir.display()
    )
}

/// Two processes in one data directory would give numbers twice.
fn lock(dir: &Path) -> Result<File> {
    let made = private::folder(dir).and_then(|()| {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.open(dir.join(LOCK))
    });
    let file =
        made.with_context(|| format!("the data directory {} cannot be used", dir.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another agent runs in {}; stop it first", dir.display())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("failed to lock {}", dir.display()))
        }
    }
}

/// The parts of an agent, at work.
struct Parts {
    runner: JoinHandle<()>,
    gather: JoinHandle<()>,
    uplink: JoinHandle<()>,
    stop_runner: CancellationToken,
    stop_uplink: CancellationToken,
}

async fn go_on(args: &AgentRunArgs, dir: &Path, identity: Identity) -> Result<Exit> {
    let mut term = signal(SignalKind::terminate()).context("failed to take SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to take SIGINT")?;
    let mut parts = begin(args, dir, identity)?;
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let watchdog = sd_notify::watchdog_enabled().map(|span| span / 2);
    loop {
        let failed = tokio::select! {
            _ = term.recv() => break,
            _ = interrupt.recv() => break,
            // A beat is given as long as all parts live; one that ends ends the process, below.
            () = beat(watchdog) => {
                let _ = sd_notify::notify(&[NotifyState::Watchdog]);
                continue;
            }
            _ = &mut parts.runner => "what runs the checks",
            _ = &mut parts.gather => "what keeps results",
            _ = &mut parts.uplink => "the link",
        };
        tracing::error!("{failed} has failed; the agent ends, to be started again");
        return Ok(Exit::Broken);
    }
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    tracing::info!("ending");
    // Asked a second time, it ends at once: what the disk has stays there.
    tokio::select! {
        stopped = tokio::time::timeout(STOP_WAIT, end(parts)) => {
            if stopped.is_err() {
                tracing::error!("something did not end in time");
            }
        }
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(Exit::Fine)
}

fn begin(args: &AgentRunArgs, dir: &Path, identity: Identity) -> Result<Parts> {
    let local = Local {
        vantage: identity.vantage.clone(),
        workers: args.workers,
        asn_table: args.asn_table.clone(),
        sources: crate::job::sources(&args.sources)?,
    };
    let plan_file = PlanFile(dir.join(PLAN));
    let plan = plan_file.load(&local).unwrap_or_else(|why| {
        tracing::error!(
            why,
            "the plan that was kept cannot be gone by; the hub tells one"
        );
        None
    });
    let clock = SystemClock::start();
    let path = dir.join(SPOOL);
    let folder =
        Folder::open(&path).with_context(|| format!("failed to open {}", path.display()))?;
    let spool = Spool::open(folder, args.spool_size, clock.wall())
        .with_context(|| format!("failed to open {}", path.display()))?;
    greet(&identity, plan.as_ref(), spool.fill().deliveries);
    let figures = Arc::new(RwLock::default());
    let shared = Shared::new(spool, Arc::clone(&figures));
    let (harvest, harvested) = mpsc::channel(HARVEST_MAX);
    let (wish, wishes) = mpsc::channel(WISHES_MAX);
    let uplink = Uplink {
        shared: shared.clone(),
        clock,
        program: crate::VERSION.to_owned(),
        generation: plan.as_ref().map_or(0, |plan| plan.generation),
        local,
        plan_file: Some(plan_file),
        wishes: wish,
        dial: Dialler::new(dir.to_owned(), identity),
        random: fastrand::Rng::new(),
    };
    let runner = Runner {
        wishes,
        plan,
        harvest,
        figures,
        worker: Arc::new(crate::worker::many),
    };
    let (stop_runner, stop_uplink) = (CancellationToken::new(), CancellationToken::new());
    Ok(Parts {
        runner: tokio::spawn(runner.run(stop_runner.clone())),
        gather: tokio::spawn(gather(harvested, shared, clock)),
        uplink: tokio::spawn(uplink.run(stop_uplink.clone())),
        stop_runner,
        stop_uplink,
    })
}

/// What is known goes to the disk, and from there to the hub, if it is there.
async fn end(parts: Parts) {
    parts.stop_runner.cancel();
    let _ = parts.runner.await;
    let _ = parts.gather.await;
    parts.stop_uplink.cancel();
    let _ = parts.uplink.await;
}

/// What a person sees who starts it by hand.
fn greet(identity: &Identity, plan: Option<&Plan>, waiting: u64) {
    let does = match plan {
        Some(plan) => format!("goes on with {}", count(plan.checks.len(), "check")),
        None => "waits for what the hub plans".to_owned(),
    };
    say(&format!(
        "bellwether {} is the vantage `{}` of the hub at {}; it {does}",
        crate::VERSION,
        identity.vantage,
        identity.hub,
    ));
    if waiting > 0 {
        say(&format!(
            "note: up to {waiting} deliveries wait for the hub since the last time"
        ));
    }
}
