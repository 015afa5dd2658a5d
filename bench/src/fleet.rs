//! What many agents cost one hub: agents of this process, each with its own key, link and deliveries,
//! against the program as it is built. Started by `cargo xtask bench fleet`.
//!
//! What an agent probes is made up here; what it brings is real: the same messages, over TLS, kept by the
//! same store. Told are the hub's CPU and memory, and the time from a run's end until it is durable there.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bellwether_link::client::{for_enrolment, for_link, shake};
use bellwether_link::identity::{Identity, Request};
use bellwether_link::names::EnrolToken;
use bellwether_link::{frame, parcel};
use bellwether_model::harvest::Harvest;
use bellwether_model::link::{AgentState, Delivery, Hello, ToAgent, ToHub, VERSION, VERSION_MIN};
use bellwether_model::run::{Phases, RunOutcome, Trigger};
use bellwether_model::{CheckId, Run, VantageId};
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::scale::watch::Usage;
use crate::scale::{LISTEN, Serve, http};

/// Where the hub listens for agents.
const AGENTS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8401);
/// Most agents: each is a connection of this process and one of the hub's.
const AGENTS_MAX: u32 = 2_000;
/// Most checks.
const CHECKS_MAX: u32 = 1_000;
/// Longest span that is measured, seconds.
const SECONDS_MAX: u64 = 600;
/// How often an agent brings what it has.
const DELIVER_EVERY: Duration = Duration::from_secs(1);
/// How often it says how it is.
const STATE_EVERY: Duration = Duration::from_secs(5);
/// How long an agent may take until it has its plan.
const PLANNED_MAX: Duration = Duration::from_secs(120);

/// How many agents, and what they do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    agents: u32,
    checks: u32,
    /// Interval of each check, seconds.
    every: u64,
    /// Before anything is measured, seconds.
    warm: u64,
    /// How long is measured, seconds.
    seconds: u64,
}

impl Size {
    /// From words like `agents=200`.
    ///
    /// # Errors
    /// A word that is none of these, or a number beyond its bound.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut size = Self {
            agents: 200,
            checks: 100,
            every: 60,
            warm: 20,
            seconds: 60,
        };
        for word in words {
            let (key, value) = word.split_once('=').context("not KEY=NUMBER")?;
            let value: u32 = value
                .parse()
                .with_context(|| format!("{word}: no number"))?;
            match key {
                "agents" => size.agents = value,
                "checks" => size.checks = value,
                "every" => size.every = value.into(),
                "warm" => size.warm = value.into(),
                "seconds" => size.seconds = value.into(),
                _ => bail!("`{key}` is nothing that can be set"),
            }
        }
        let is_bounded = (1..=AGENTS_MAX).contains(&size.agents)
            && (1..=CHECKS_MAX).contains(&size.checks)
            && size.every >= 1
            && size.warm <= SECONDS_MAX
            && (1..=SECONDS_MAX).contains(&size.seconds);
        if !is_bounded {
            bail!("beyond the bounds of this bench: {size:?}");
        }
        Ok(size)
    }
}

/// What agents measured together.
#[derive(Default)]
struct Seen {
    /// From the end of a run until it is durable, milliseconds.
    kept_ms: Vec<f64>,
    runs: u64,
}

/// Everything that was measured.
struct Measured {
    /// From the first token until all are linked.
    linked: Duration,
    spans: (Usage, Usage),
    seen: Seen,
    lost: f64,
}

/// Measures, and tells it as a table.
///
/// # Errors
/// Something does not start or end, or an agent is refused.
pub(crate) fn run(binary: &Path, size: Size) -> Result<String> {
    let folder = tempfile::tempdir().context("failed to make a folder")?;
    let config = folder.path().join("bellwether.yaml");
    fs::write(&config, configuration(size)).context("failed to write a configuration")?;
    let data = folder.path().join("data");
    fs::create_dir(&data).context("failed to make the data directory")?;
    let mut serve = Serve::start(binary, &config, &data)?;
    serve.ready()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let mut measured = runtime.block_on(measure(&serve, size))?;
    let (_, body) = http::ask(LISTEN, "/metrics")?;
    measured.lost = http::sum(&body, "bellwether_runs_lost_total");
    runtime.shutdown_background();
    serve.end()?;
    if measured.seen.runs == 0 {
        bail!("no run was kept");
    }
    Ok(table(measured, size))
}

async fn measure(serve: &Serve, size: Size) -> Result<Measured> {
    let token = serve.token()?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let taken = || std::mem::take(&mut *seen.lock().expect("nobody panics with it"));
    let begun = Instant::now();
    let mut agents = JoinSet::new();
    for number in 0..size.agents {
        let identity = enrol(&token, number).await?;
        agents.spawn(live(identity, number, size, seen.clone()));
    }
    let linked = begun.elapsed();
    let mut ends = Box::pin(async move { agents.join_next().await });
    lives(&mut ends, Duration::from_secs(size.warm)).await?;
    taken();
    let first = serve.usage()?;
    lives(&mut ends, Duration::from_secs(size.seconds)).await?;
    Ok(Measured {
        linked,
        spans: (first, serve.usage()?),
        seen: taken(),
        lost: 0.0,
    })
}

fn table(measured: Measured, size: Size) -> String {
    let Measured {
        linked,
        spans: (first, last),
        mut seen,
        lost,
    } = measured;
    seen.kept_ms.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (seen.kept_ms.len() as f64 * share) as usize;
        seen.kept_ms[place.min(seen.kept_ms.len() - 1)]
    };
    let cpu = (last.hub - first.hub).as_secs_f64();
    let (runs, seconds) = (seen.runs as f64, size.seconds as f64);
    let wanted = f64::from(size.agents) * f64::from(size.checks) / size.every as f64;
    let (agents, checks, every) = (size.agents, size.checks, size.every);
    let rows = [
        (
            "agents × checks",
            format!("{agents} × {checks}, every {every} s"),
        ),
        (
            "results a second",
            format!("{:.0} (wanted {wanted:.0})", runs / seconds),
        ),
        ("hub's CPU a result", format!("{:.0} µs", cpu * 1e6 / runs)),
        (
            "hub's CPU",
            format!("{:.1} % of a core", cpu * 100.0 / seconds),
        ),
        (
            "hub's memory now, and at its most",
            format!("{:.0} MiB, {:.0} MiB", last.hub_mib.0, last.hub_mib.1),
        ),
        (
            "from a run until it is stored: p50, p95, p99",
            format!("{:.0} ms, {:.0} ms, {:.0} ms", at(0.5), at(0.95), at(0.99)),
        ),
        (
            "of that, waiting with the agent",
            format!("up to {} ms", DELIVER_EVERY.as_millis()),
        ),
        (
            "time until all are enrolled and linked",
            format!("{:.1} s", linked.as_secs_f64()),
        ),
        ("rows lost", format!("{lost}")),
    ];
    let mut text = String::new();
    for (what, figure) in rows {
        let _ = writeln!(text, "  {what:52} {figure}");
    }
    text
}

/// Waits so long, unless an agent ends before: none does by itself.
async fn lives<E>(ends: &mut E, span: Duration) -> Result<()>
where
    E: Future<Output = Option<Result<Result<()>, tokio::task::JoinError>>> + Unpin,
{
    tokio::select! {
        () = tokio::time::sleep(span) => Ok(()),
        ended = ends => match ended {
            Some(Ok(Err(error))) => Err(error),
            Some(Err(error)) => Err(error.into()),
            Some(Ok(Ok(()))) | None => bail!("an agent ended by itself"),
        },
    }
}

fn configuration(size: Size) -> String {
    // What the hub's own agent does is not what is measured: it asks once an hour, and nothing but a port.
    let mut text =
        String::from("defaults: { every: 60s, deep_every: 1d }\ncontrols: []\nvantages:\n");
    for number in 0..size.agents {
        let network = 64_512 + number % 1_000;
        let _ = writeln!(
            text,
            "  - {{ name: v{number}, region: r{}, network: AS{network} }}",
            number % 12
        );
    }
    text.push_str("services:\n");
    for number in 0..size.checks {
        let _ = writeln!(
            text,
            "  - {{ name: s{number}, url: \"tcp://127.0.0.1:9\" }}"
        );
    }
    text
}

/// Makes one more agent, as `bellwether agents token` and `bellwether agent enrol` do.
async fn enrol(token: &str, number: u32) -> Result<Identity> {
    let vantage = format!("v{number}");
    let body = format!("{{\"vantage\":\"{vantage}\"}}");
    let request = format!(
        "POST /api/v1/agents/tokens HTTP/1.1\r\nHost: {LISTEN}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(LISTEN).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let made = answer
        .find("bwe_")
        .with_context(|| format!("no token: {answer}"))?;
    let made = answer[made..]
        .split(['"', ' ', '\n'])
        .next()
        .unwrap_or_default();
    let made: EnrolToken = made.parse()?;
    let stream = TcpStream::connect(AGENTS).await?;
    let mut link = shake(for_enrolment(made.authority)?, stream).await?;
    let request = Request::make()?;
    let says = ToHub::Enrol {
        versions: (VERSION_MIN, VERSION),
        token: made.secret,
        request: request.text.clone(),
    };
    frame::send(&mut link, &says).await?;
    match frame::receive(&mut link).await? {
        Some(ToAgent::Enrolled {
            vantage,
            agent,
            chain,
        }) => Ok(request.answered(&AGENTS.to_string(), vantage, agent, chain, &made.authority)?),
        other => bail!("not enrolled: {other:?}"),
    }
}

/// An agent that is linked, until somebody ends it.
async fn live(identity: Identity, number: u32, size: Size, seen: Arc<Mutex<Seen>>) -> Result<()> {
    let stream = TcpStream::connect(AGENTS).await?;
    stream.set_nodelay(true)?;
    let link = shake(for_link(&identity)?, stream).await?;
    let (mut hears, mut says) = tokio::io::split(link);
    let hello = ToHub::Hello(Hello {
        versions: (VERSION_MIN, VERSION),
        program: "bench".to_owned(),
        boot: 1,
        started: Timestamp::now(),
        at: Timestamp::now(),
        generation: 0,
        newest: 0,
    });
    frame::send(&mut says, &hello).await?;
    let planned = tokio::time::timeout(PLANNED_MAX, planned(&mut hears)).await;
    let (generation, checks) = planned.context("no plan came")??;
    frame::send(&mut says, &ToHub::Planned { generation }).await?;
    let waiting = Waiting::default();
    let (answers, mut answered) = mpsc::unbounded_channel();
    let mut listens = tokio::spawn(listen(hears, waiting.clone(), seen, answers));
    let mut makes = Makes::new(&identity.vantage, checks, number, size);
    let mut deliver = tokio::time::interval(DELIVER_EVERY);
    let mut states = tokio::time::interval(STATE_EVERY);
    loop {
        tokio::select! {
            _ = deliver.tick() => {
                for message in makes.messages(&waiting)? {
                    frame::send(&mut says, &message).await?;
                }
            }
            _ = states.tick() => {
                let state = AgentState { at: Timestamp::now(), ..AgentState::default() };
                frame::send(&mut says, &ToHub::State(state)).await?;
            }
            Some(answer) = answered.recv() => frame::send(&mut says, &answer).await?,
            ended = &mut listens => return ended?,
        }
    }
}

/// Deliveries that are not known to be kept, each with when its runs began.
type Waiting = Arc<Mutex<Vec<(u64, Vec<Timestamp>)>>>;

/// Takes in what the hub says.
async fn listen(
    mut hears: impl AsyncRead + Unpin,
    waiting: Waiting,
    seen: Arc<Mutex<Seen>>,
    answers: mpsc::UnboundedSender<ToHub>,
) -> Result<()> {
    while let Some(said) = frame::receive::<ToAgent>(&mut hears).await? {
        match said {
            ToAgent::Kept { number } => {
                let now = Timestamp::now();
                let mut waiting = waiting.lock().expect("nobody panics with it");
                let mut seen = seen.lock().expect("nobody panics with it");
                for (_, runs) in waiting.extract_if(.., |(of, _)| *of <= number) {
                    seen.runs += runs.len() as u64;
                    let ages = runs
                        .iter()
                        .map(|at| now.duration_since(*at).as_secs_f64() * 1e3);
                    seen.kept_ms.extend(ages);
                }
            }
            ToAgent::Time { at, .. } => {
                // Whoever sends them ends with the link.
                let _ = answers.send(ToHub::Time {
                    asked: at,
                    at: Timestamp::now(),
                });
            }
            ToAgent::Refused { why, .. } => bail!("refused: {why}"),
            ToAgent::Later { why, .. } => bail!("not taken: {why}"),
            _ => {}
        }
    }
    Ok(())
}

/// The generation and the checks of the plan that comes.
async fn planned(hears: &mut (impl AsyncRead + Unpin)) -> Result<(u64, Vec<CheckId>)> {
    let mut all = Vec::new();
    loop {
        match frame::receive(hears).await? {
            Some(ToAgent::PlanPart { checks, .. }) => all.extend(checks.into_iter().map(|c| c.id)),
            Some(ToAgent::PlanEnd { generation, .. }) => return Ok((generation, all)),
            Some(ToAgent::Refused { why, .. }) => bail!("refused: {why}"),
            Some(_) => {}
            None => bail!("the link ended before the plan came"),
        }
    }
}

/// Makes runs up as they are due.
struct Makes {
    vantage: VantageId,
    checks: Vec<(CheckId, Timestamp)>,
    every: Duration,
    sequence: u64,
    /// Of the last delivery.
    number: u64,
}

impl Makes {
    fn new(vantage: &VantageId, checks: Vec<CheckId>, number: u32, size: Size) -> Self {
        let every = Duration::from_secs(size.every);
        let now = Timestamp::now();
        let count = checks.len().max(1) as u32;
        // Spread over the interval, and every agent otherwise than the one before.
        let shift = every * (number % 60) / 60 / count.max(1);
        let due = |at: usize| now + every * u32::try_from(at).unwrap_or(0) / count + shift;
        let checks = checks.into_iter().enumerate().map(|(at, id)| (id, due(at)));
        Self {
            vantage: vantage.clone(),
            checks: checks.collect(),
            every,
            sequence: 0,
            number: 0,
        }
    }

    /// What is due, as a delivery.
    fn messages(&mut self, waiting: &Waiting) -> Result<Vec<ToHub>> {
        let runs = self.due();
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let began = runs.iter().map(Run::began).collect();
        let delivery = Delivery {
            boot: 1,
            at: Timestamp::now(),
            offset_ms: Some(0),
            harvest: runs.into_iter().map(Harvest::Run).collect(),
            thinned: Vec::new(),
        };
        self.number += 1;
        let mut waiting = waiting.lock().expect("nobody panics with it");
        waiting.push((self.number, began));
        let packed = parcel::pack(&delivery)?;
        Ok(parcel::messages(self.number, &packed).collect())
    }

    fn due(&mut self) -> Vec<Run> {
        let now = Timestamp::now();
        let mut runs = Vec::new();
        for (check, due) in &mut self.checks {
            if *due > now {
                continue;
            }
            self.sequence += 1;
            runs.push(Run {
                check: check.clone(),
                vantage: self.vantage.clone(),
                sequence: self.sequence,
                due: *due,
                late: 900,
                every: u32::try_from(self.every.as_millis()).unwrap_or(u32::MAX),
                trigger: Trigger::Schedule,
                outcome: RunOutcome::Ok,
                layer: None,
                symptom: None,
                resolver: None,
                address: Some(AGENTS.ip()),
                status: None,
                size: None,
                certificate: None,
                certificate_ends: None,
                evidence: None,
                clock_offset_ms: None,
                phases: Phases {
                    connect: Some(20_000 + u32::try_from(self.sequence % 977).unwrap_or(0)),
                    ..Phases::default()
                },
            });
            *due += self.every;
        }
        runs
    }
}
