//! `serve`: the hub with its built-in agent, page and API, for as long as nobody ends it.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bellwether_config::config::{RootHintsFrom, TrustAnchorFrom};
use bellwether_config::{Config, Loaded};
use bellwether_diagnose::words::count;
use bellwether_hub::hub::HubError;
use bellwether_hub::keep::KeepError;
use bellwether_hub::{Hub, HubOptions};
use bellwether_store::StoreError;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{LogFormat, ServeArgs};
use crate::environment;
use crate::exit::{Exit, say};

/// Where a configuration is looked for, if none is named.
const CONFIG_PLACES: [&str; 2] = ["bellwether.yaml", "/etc/bellwether"];
/// Where data is kept by default on a machine that is set up for it.
const DATA_DIR: &str = "/var/lib/bellwether";
/// The file by which a data directory is known.
const STATE: &str = "state.db";
/// Longest time from the wish to end until the end.
const STOP_WAIT: Duration = Duration::from_secs(9);
/// What `systemctl status` shows.
const WELL: &str = "the newest configuration is in force";
const REFUSED: &str = "the newest configuration is refused, the one before stays in force";
/// Directives of the log, as `tracing_subscriber::EnvFilter` reads them.
const LOG_VARIABLE: &str = "BELLWETHER_LOG";

/// Runs the command.
pub(crate) fn run(args: &ServeArgs) -> Result<Exit> {
    let path = args.config.clone().or_else(found);
    let config = match &path {
        Some(path) => match crate::config::loaded(path)? {
            Ok(loaded) => loaded,
            Err(refused) => return Ok(refused),
        },
        None => Loaded {
            config: Config::default(),
            warnings: Vec::new(),
            files: Vec::new(),
        },
    };
    for warning in &config.warnings {
        say(&format!("warning: {warning}"));
    }
    start_log(args.log)?;
    let data_dir = data_dir(args.data_dir.as_deref(), &config.config)?;
    let listen = args.listen.unwrap_or(config.config.hub.listen);
    let from = path.clone();
    // What came by a pipe cannot be read again.
    let path = path.filter(|path| path != Path::new("-"));
    let options = HubOptions {
        path,
        config: as_told(config),
        data_dir,
        version: crate::VERSION,
        read: Arc::new(|path| bellwether_config::load(path).map(as_told)),
        worker: Arc::new(crate::worker::many),
        workers: args.workers,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("bellwether")
        .build()
        .context("failed to start the runtime")?;
    let exit = runtime.block_on(serve(options, listen, from.as_deref()));
    // A reader that hangs does not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(500));
    exit
}

/// Where the configuration does not say what to trust, the environment may. The files that either
/// names are watched, and are part of what is compared.
fn as_told(mut loaded: Loaded) -> Loaded {
    let trust = &mut loaded.config.trust;
    if let (RootHintsFrom::Shipped, Some(path)) = (&trust.root_hints, environment::root_hints()) {
        trust.root_hints = RootHintsFrom::File(path);
    }
    if let (TrustAnchorFrom::Shipped, Some(path)) =
        (&trust.trust_anchor, environment::trust_anchor())
    {
        trust.trust_anchor = match path.to_str() {
            Some("none") => TrustAnchorFrom::None,
            _ => TrustAnchorFrom::File(path),
        };
    }
    loaded.follow()
}

async fn serve(options: HubOptions, listen: SocketAddr, from: Option<&Path>) -> Result<Exit> {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| {
            format!("failed to listen at {listen}; does another one run there? `--listen` names another place")
        })?;
    let place = listener.local_addr().unwrap_or(listen);
    let mut hangup = signal(SignalKind::hangup()).context("failed to take SIGHUP")?;
    let mut term = signal(SignalKind::terminate()).context("failed to take SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to take SIGINT")?;
    let hub = match Hub::start(options, listener).await {
        Ok(hub) => hub,
        Err(error) => return not_begun(error),
    };
    greet(&hub, place, from);
    let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(WELL)]);
    let watchdog = sd_notify::watchdog_enabled().map(|span| span / 2);
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                // The system waits for `READY` before a reload counts as done, and tells two reloads
                // apart by the time that goes with `RELOADING`.
                if let Ok(now) = NotifyState::monotonic_usec_now() {
                    let _ = sd_notify::notify(&[NotifyState::Reloading, now]);
                }
                let read = hub.reload();
                tokio::spawn(async move {
                    let status = if read.await { WELL } else { REFUSED };
                    let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)]);
                });
            }
            _ = term.recv() => break,
            _ = interrupt.recv() => break,
            () = beat(watchdog) => {
                // The system restarts a hub that stands still, so a beat is given only by one
                // whose judge moves.
                if hub.moves() {
                    let _ = sd_notify::notify(&[NotifyState::Watchdog]);
                }
            }
        }
    }
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    tracing::info!("ending");
    // Asked a second time, it ends at once: what is acknowledged is safe in any case.
    tokio::select! {
        stopped = tokio::time::timeout(STOP_WAIT, hub.stop()) => {
            if stopped.is_err() {
                tracing::error!("something did not end in time");
            }
        }
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(Exit::Fine)
}

/// Nothing is watched. What a person can put right where they typed is a usage error, as is a second
/// process; the rest lies with the machine.
fn not_begun(error: HubError) -> Result<Exit> {
    let is_ours = match &error {
        HubError::Settings(_) | HubError::Listen(_) => false,
        HubError::Store(why) | HubError::Keep(KeepError::Store(why)) => {
            !matches!(why, StoreError::Locked { .. } | StoreError::Newer { .. })
        }
        HubError::Keep(KeepError::Thread(_)) => true,
    };
    if !is_ours {
        return Err(error.into());
    }
    say(&format!("error: {:#}", anyhow::Error::from(error)));
    Ok(Exit::Broken)
}

pub(crate) async fn beat(every: Option<Duration>) {
    match every {
        Some(every) => tokio::time::sleep(every).await,
        None => std::future::pending().await,
    }
}

/// What a person sees who starts it by hand.
fn greet(hub: &Hub, place: SocketAddr, path: Option<&Path>) {
    let counts = hub.counts();
    match path {
        Some(path) => say(&format!(
            "bellwether {} watches {} with {} of `{}`; page and API at http://{place}/",
            crate::VERSION,
            count(counts.services, "service"),
            count(counts.checks, "check"),
            path.display()
        )),
        None => say(&format!(
            "bellwether {} watches nothing yet; page and API at http://{place}/\n\
             Write three lines into bellwether.yaml, and start it again here (or name the file by -c):\n\n\
             services:\n  - name: shop\n    url: https://www.shop.example/\n",
            crate::VERSION
        )),
    }
    for notice in hub.notices() {
        say(&format!("note: {notice}"));
    }
    if let Some(token) = hub.first_token() {
        say(&format!(
            "The token for writing (acknowledge, counters), shown this once:\n\n    {token}\n\n\
             Keep it: `export BELLWETHER_TOKEN=…` for `bellwether incidents ack`."
        ));
    }
}

/// A configuration in one of the usual places.
pub(crate) fn found() -> Option<PathBuf> {
    CONFIG_PLACES
        .iter()
        .map(PathBuf::from)
        .find(|place| place.exists())
}

/// Where data is kept.
fn data_dir(given: Option<&Path>, config: &Config) -> Result<PathBuf> {
    if let Some(dir) = given.or(config.hub.data_dir.as_deref()) {
        return Ok(dir.to_owned());
    }
    place(Path::new(DATA_DIR), "bellwether")
}

/// A place for data: the one for all users of a machine that is set up for it, or `name` of one's own.
pub(crate) fn place(shared: &Path, name: &str) -> Result<PathBuf> {
    let mut private = std::fs::DirBuilder::new();
    private.recursive(true).mode(0o700);
    if private.create(shared).is_ok() && writable(shared) {
        return Ok(shared.to_owned());
    }
    let all = shared.display();
    match at_home(name) {
        Some(dir) => Ok(dir),
        None => bail!(
            "no place for data: {all} cannot be written to, and there is no $HOME; name one by `--data-dir`"
        ),
    }
}

/// Where data was kept, for whoever only reads it. Makes nothing: whoever copies from the wrong place
/// must be told.
pub(crate) fn kept_in(given: Option<&Path>, config: &Config) -> Result<PathBuf> {
    let places: Vec<PathBuf> = match given.or(config.hub.data_dir.as_deref()) {
        Some(dir) => vec![dir.to_owned()],
        None => std::iter::once(PathBuf::from(DATA_DIR))
            .chain(at_home("bellwether"))
            .collect(),
    };
    if let Some(place) = places.iter().find(|place| place.join(STATE).exists()) {
        return Ok(place.clone());
    }
    let places: Vec<String> = places
        .iter()
        .map(|place| format!("`{}`", place.display()))
        .collect();
    bail!(
        "there is no data of `serve` in {}; name its directory by `--data-dir`",
        places.join(" or ")
    )
}

/// Where data is kept by whoever may not write to the place for all.
pub(crate) fn at_home(name: &str) -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    Some(state.or(home)?.join(name))
}

fn writable(dir: &Path) -> bool {
    tempfile::tempfile_in(dir).is_ok()
}

pub(crate) fn start_log(format: LogFormat) -> Result<()> {
    use tracing_subscriber::EnvFilter;
    let filter = match std::env::var(LOG_VARIABLE) {
        Ok(directives) => EnvFilter::try_new(&directives)
            .with_context(|| format!("${LOG_VARIABLE} is no list of directives: `{directives}`"))?,
        Err(_) => EnvFilter::new("info"),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(crate::log::Stderr::start());
    match format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
