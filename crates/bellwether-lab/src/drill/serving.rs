//! A running `serve` in the box: started, asked, signalled, ended, as the steps of a scenario say.
//!
//! What it does wrong is no error but a missed expectation, and the steps go on.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::StepReport;
use super::api::{Api, Seen, Wanted, is_refused};
use super::disk::Disk;
use super::folder::{CONFIGURATION, pretty, write};
use super::look::{self, Past};
use super::prober::Killer;
use super::process::{Process, left_of};
use crate::LabError;
use crate::scenario::serve::DiskWord;
use crate::scenario::{ExpectSpec, PingWord, ServeWord, ServiceExpect, Span, StepSpec, UntilSpec};
use crate::sys::{self, Recipient, Signal};

/// Where its API stands: its own default, in a box that has nothing else there.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8400);
/// The subcommand, and the name of what it prints.
const SERVE: &str = "serve";
/// What tokens for its API begin with.
const TOKEN_HEAD: &str = "bw_";
/// The folder of its data.
const DATA: &str = "data";
/// How often it is asked, where something is waited for.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How long it may take until it is ready: many times the promise, for machines that do much else.
const READY_MAX: Duration = Duration::from_secs(30);
/// How long it may take to end after SIGTERM: its promise of 10 s, and the time to notice.
pub(super) const STOP_MAX: Duration = Duration::from_secs(11);
/// How long its workers may outlive it.
const ORPHANED_MAX: Duration = Duration::from_secs(5);
/// How often it is asked for by the configuration that the lab writes.
const EVERY: Duration = Duration::from_secs(1);

/// A `serve` of a world, running or not.
#[derive(Debug)]
pub(super) struct Serving {
    program: PathBuf,
    /// The world's folder.
    folder: PathBuf,
    process: Option<Process>,
    /// The disk that its data lie on, where it has one of its own.
    disk: Option<Disk>,
    /// Ends its workers over what they probe.
    killer: Option<Killer>,
    past: Past,
}

impl Serving {
    pub(super) fn new(program: &Path, folder: &Path) -> Self {
        Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            process: None,
            disk: None,
            killer: None,
            past: Past::default(),
        }
    }

    /// Makes room on its disk, or takes all there is.
    pub(super) fn set_disk(&mut self, word: DiskWord) -> Result<(), LabError> {
        match &self.disk {
            Some(disk) => disk.set(word),
            None => Ok(()),
        }
    }

    /// Its API, if it runs.
    pub(super) fn api(&mut self) -> Result<Api, String> {
        self.running().map(|_| Api { at: LISTEN })
    }

    /// The token that it printed at its first start.
    pub(super) fn token(&self) -> Result<String, String> {
        let log = self.folder.join(format!("{SERVE}.log"));
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let mut words = said.split_ascii_whitespace();
        let token = words.find(|word| word.starts_with(TOKEN_HEAD));
        token.map(str::to_owned).ok_or_else(|| {
            "it printed no token at its first start; agents and reports need one".to_owned()
        })
    }

    /// Reports as a heartbeat, as whoever was given its URL does.
    pub(super) async fn ping(&mut self, name: &str, how: PingWord) -> Option<StepReport> {
        let complaint = self.try_ping(name, how).await.err()?;
        Some(wrong(format!("ping: {name}"), complaint))
    }

    async fn try_ping(&mut self, name: &str, how: PingWord) -> Result<(), String> {
        let api = self.api()?;
        let path = match name.starts_with('/') {
            true => name.to_owned(),
            false => api.heartbeat(name, &self.token()?).await?,
        };
        api.ping(&format!("{path}{}", how.suffix())).await
    }

    /// The world, or what becomes of an agent, is about to change.
    pub(super) fn changes(&mut self, now: Timestamp) {
        self.past.sets.push(now);
    }

    /// Does what a step says; what goes wrong becomes a report. `base` is the configuration that
    /// the scenario makes.
    pub(super) async fn act(
        &mut self,
        word: ServeWord,
        step: &StepSpec,
        base: Value,
    ) -> Result<Option<StepReport>, LabError> {
        if word.configures() {
            self.configure(step, base)?;
        }
        if let Some(mib) = step.disk {
            self.disk = Some(Disk::new(&self.folder.join(DATA), mib)?);
        }
        let complaints = match word {
            ServeWord::Start => self.start().await,
            ServeWord::Stop => self.stop().await,
            ServeWord::Kill => self.kill().await,
            ServeWord::Freeze => self.signal(Signal::Stop),
            ServeWord::Thaw => self.signal(Signal::Continue),
            ServeWord::Reload => self.signal(Signal::Hangup),
            ServeWord::FreezeWorker => self.signal_worker(Signal::Stop),
            ServeWord::KillWorker => self.signal_worker(Signal::Kill),
            ServeWord::KillProber => self.kill_prober(step),
        };
        let name = format!("serve: {}", word.name());
        Ok(complaints.err().map(|complaint| wrong(name, complaint)))
    }

    /// Writes the configuration, whole at once: whoever watches the file never reads half of it.
    fn configure(&self, step: &StepSpec, mut base: Value) -> Result<(), LabError> {
        let every = step.every.unwrap_or(Span(EVERY)).to_string();
        let mut defaults = Map::from_iter([("every".to_owned(), Value::from(every))]);
        if let Some(span) = step.deep_every {
            defaults.insert("deep_every".to_owned(), span.to_string().into());
        }
        patch(&mut base, &json!({ "defaults": defaults }));
        if let Some(config) = &step.config {
            patch(&mut base, &Value::Object(config.clone()));
        }
        let path = self.folder.join(CONFIGURATION);
        let new = self.folder.join("new.yaml");
        write(&new, &pretty(&base))?;
        std::fs::rename(&new, &path).map_err(|source| LabError::File {
            doing: "write",
            path,
            source,
        })
    }

    async fn start(&mut self) -> Result<(), String> {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let listen = LISTEN.to_string();
        let arguments = [
            SERVE,
            "-c",
            &file(CONFIGURATION),
            "--data-dir",
            &file(DATA),
            "--listen",
            &listen,
        ]
        .map(str::to_owned);
        let process = Process::start(&self.program, &arguments, &self.folder, SERVE, None);
        let program = self.program.display();
        let mut process = process.map_err(|e| format!("failed to start `{program}`: {e}"))?;
        let begun = Instant::now();
        while !(Api { at: LISTEN }).is_ready().await {
            if let Some(status) = process.ended() {
                return Err(format!("it ended ({status}); it said: {}", process.said()));
            }
            if begun.elapsed() > READY_MAX {
                let most = READY_MAX.as_secs();
                let said = process.said();
                return Err(format!("it was not ready within {most} s; it said: {said}"));
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        self.process = Some(process);
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), String> {
        let mut process = self.take()?;
        let workers = process.workers();
        process.signal(Signal::Terminate).map_err(unsent)?;
        match process.ends(STOP_MAX).await {
            Some(status) if status.success() => gone(workers).await,
            Some(status) => Err(format!(
                "it ended with {status}; it said: {}",
                process.said()
            )),
            None => Err(format!(
                "it did not end within {} s of SIGTERM; it said: {}",
                STOP_MAX.as_secs(),
                process.said()
            )),
        }
    }

    async fn kill(&mut self) -> Result<(), String> {
        let mut process = self.take()?;
        let workers = process.workers();
        process.signal(Signal::Kill).map_err(unsent)?;
        process.ends(STOP_MAX).await;
        gone(workers).await
    }

    fn signal(&mut self, signal: Signal) -> Result<(), String> {
        self.running()?.signal(signal).map_err(unsent)
    }

    fn signal_worker(&mut self, signal: Signal) -> Result<(), String> {
        let workers = self.running()?.workers();
        let worker = workers.first().ok_or("it has no worker process")?;
        sys::signal(Recipient::Process(*worker), signal).map_err(unsent)
    }

    fn kill_prober(&mut self, step: &StepSpec) -> Result<(), String> {
        let pid = self.running()?.pid();
        self.killer = Killer::start(pid, step);
        Ok(())
    }

    fn take(&mut self) -> Result<Process, String> {
        self.running()?;
        self.killer = None;
        self.process.take().ok_or_else(|| NOT_RUNNING.to_owned())
    }

    /// The process, if it has not ended by itself.
    fn running(&mut self) -> Result<&Process, String> {
        let process = self.process.as_mut().ok_or(NOT_RUNNING)?;
        match process.ended() {
            Some(status) => Err(format!("it ended ({status}); it said: {}", process.said())),
            None => Ok(process),
        }
    }

    /// Waits for what is awaited; what does not come becomes a report.
    pub(super) async fn until(&mut self, until: &UntilSpec, within: Span) -> Option<StepReport> {
        let begun = Instant::now();
        loop {
            let missed = match self.running() {
                Err(complaint) => vec![complaint],
                Ok(_) => match lacking(until).await {
                    lacking if lacking.is_empty() => return None,
                    lacking if begun.elapsed() > within.0 => lacking
                        .into_iter()
                        .map(|complaint| format!("after {within} still: {complaint}"))
                        .collect(),
                    _ => Vec::new(),
                },
            };
            if !missed.is_empty() {
                let wanted = Wanted {
                    metrics: until.metrics.keys().collect(),
                    agents: !until.agents.is_empty(),
                    runs: Vec::new(),
                };
                let seen = Seen::take(Api { at: LISTEN }, &wanted).await;
                return Some(StepReport {
                    name: "until".to_owned(),
                    expected: None,
                    as_expected: false,
                    missed,
                    report: seen.map_or(Value::Null, |seen| seen.told),
                });
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Takes what it says, and holds it against what is expected.
    pub(super) async fn look(&mut self, name: &str, expect: Option<&ExpectSpec>) -> StepReport {
        let nothing = ExpectSpec::default();
        let wanted = expect.unwrap_or(&nothing);
        let seen = match self.running() {
            Ok(_) => Seen::take(Api { at: LISTEN }, &look::wanted(wanted)).await,
            Err(complaint) => Err(complaint),
        };
        let (missed, report) = match seen {
            Ok(seen) => {
                let ids = seen.incidents.iter().map(|i| i.id).collect();
                self.past.looks.insert(name.to_owned(), ids);
                (look::missed(wanted, &seen, &self.past), seen.told)
            }
            Err(complaint) => (vec![complaint], Value::Null),
        };
        StepReport {
            name: name.to_owned(),
            expected: expect.cloned(),
            as_expected: missed.is_empty(),
            missed,
            report,
        }
    }
}

/// A step that did not become what it should.
pub(super) fn wrong(name: String, complaint: String) -> StepReport {
    StepReport {
        name,
        expected: None,
        as_expected: false,
        missed: vec![complaint],
        report: Value::Null,
    }
}

const NOT_RUNNING: &str = "it does not run";

pub(super) fn unsent(e: std::io::Error) -> String {
    format!("failed to send it a signal: {e}")
}

/// Workers must not outlive the program that started them.
pub(super) async fn gone(workers: Vec<u32>) -> Result<(), String> {
    let left = left_of(workers, ORPHANED_MAX).await;
    if left.is_empty() {
        return Ok(());
    }
    let seconds = ORPHANED_MAX.as_secs();
    Err(format!("its workers {left:?} outlived it by {seconds} s"))
}

/// What of that which is awaited is not so yet.
async fn lacking(until: &UntilSpec) -> Vec<String> {
    match try_lacking(until, Api { at: LISTEN }).await {
        Ok(lacking) => lacking,
        Err(complaint) => vec![complaint],
    }
}

async fn try_lacking(until: &UntilSpec, api: Api) -> Result<Vec<String>, String> {
    let mut lacking = Vec::new();
    if let Some(name) = &until.service {
        let (_, services) = api.services().await?;
        let wanted = ServiceExpect {
            verdict: until.verdict,
            cause: until.cause,
            stale: None,
        };
        look::service(name, &wanted, &services, &mut lacking);
    }
    if let Some(count) = until.incidents {
        let all = api.incidents().await?;
        let fits = |state| until.state.is_none_or(|wanted| wanted == state);
        let got = all.iter().filter(|i| fits(i.state)).count();
        if got != count {
            let state = until.state.map_or("", |state| state.name());
            let states: Vec<&str> = all.iter().map(|i| i.state.name()).collect();
            let states = states.join(", ");
            lacking.push(format!(
                "incidents: expected {count} {state}, got {got} (states: {states})"
            ));
        }
    }
    if !until.timeline.is_empty() {
        lacking.extend(lacking_lines(until, api).await?);
    }
    if let Some(wanted) = &until.incident {
        let mut all = Vec::new();
        for listed in api.incidents().await? {
            all.push(api.incident(listed.id).await?.1);
        }
        lacking.extend(look::incident(wanted, &all));
    }
    if !until.agents.is_empty() {
        lacking.extend(look::agents(&until.agents, &api.agents().await?));
    }
    if !until.metrics.is_empty() {
        let got = api.metrics(until.metrics.keys()).await?;
        lacking.extend(look::figures(&until.metrics, &got));
    }
    if let Some(refused) = until.refused {
        let got = is_refused(&api.configuration().await?);
        lacking.extend((got != refused).then(|| look::refusal(refused)));
    }
    Ok(lacking)
}

/// A complaint if no incident has the timeline that is awaited.
async fn lacking_lines(until: &UntilSpec, api: Api) -> Result<Option<String>, String> {
    let mut told = Vec::new();
    for listed in api.incidents().await? {
        let (_, incident) = api.incident(listed.id).await?;
        if look::lacks(&until.timeline, &incident.timeline).is_none() {
            return Ok(None);
        }
        let texts = incident.timeline.iter().map(|moment| moment.text.clone());
        told.push(texts.collect::<Vec<_>>().join(" / "));
    }
    Ok(Some(format!(
        "timeline: no incident has it yet, told is: {}",
        told.join("; ")
    )))
}

/// Puts one value over another (RFC 7396): mappings are merged, `null` removes, anything else
/// replaces.
fn patch(base: &mut Value, over: &Value) {
    let Value::Object(over) = over else {
        *base = over.clone();
        return;
    };
    if !base.is_object() {
        *base = Value::Object(Map::new());
    }
    let Value::Object(base) = base else {
        return;
    };
    for (key, value) in over {
        match value {
            Value::Null => {
                base.remove(key);
            }
            _ => patch(base.entry(key.clone()).or_insert(Value::Null), value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_put_over_each_other() {
        let mut base = json!({ "a": { "b": 1, "c": 2 }, "d": [1], "e": 5 });
        patch(
            &mut base,
            &json!({ "a": { "c": 3, "f": { "g": 1 } }, "d": [2], "e": null }),
        );
        assert_eq!(
            base,
            json!({ "a": { "b": 1, "c": 3, "f": { "g": 1 } }, "d": [2] })
        );
    }
}
