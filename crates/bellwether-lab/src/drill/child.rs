//! One world, step by step: what the child of a drill does.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_model::Report;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

use super::agents::Agents;
use super::compare::missed;
use super::folder::{self, write};
use super::serving::{Serving, wrong as wrong_step};
use super::{ScenarioReport, StepReport, WorldJob};
use crate::LabError;
use crate::clock::Clock;
use crate::dns::secure::SecureServers;
use crate::dns::serve::DnsServers;
use crate::netns;
use crate::real::Reals;
use crate::rename::rename;
use crate::scenario::{PingWord, ResolverSpec, Spec, StepSpec, parse};
use crate::service::ca::Authorities;
use crate::service::host::Hosts;
use crate::service::icmp::Echoes;
use crate::sys;
use crate::target::{target_host, target_text};
use crate::world::roots::{CONTROL_RESOLVERS, SYSTEM_RESOLVER, VANTAGE, fixed};
use crate::world::topology::Mistake;
use crate::world::{Shared, World, lock};

/// How long one check may take before it is ended: twice its own default deadline.
const CHECK_TIME_MAX: Duration = Duration::from_secs(60);
/// How much of a failed check's complaint is shown, bytes.
const COMPLAINT_LEN_MAX: usize = 2000;

/// How a child ended.
#[derive(Clone, Debug)]
pub enum WorldEnd {
    /// The JSON to print on standard output.
    Json(String),
    /// The exit code of the command that `--exec` ran.
    Exit(u8),
}

/// Enters the box and does what the job file says. To be called before any thread is started.
///
/// # Errors
/// If the box cannot be built. What the checked program does wrong is no error.
pub fn world_main(job: &Path) -> Result<WorldEnd, LabError> {
    let read = |source| LabError::File {
        doing: "read",
        path: job.into(),
        source,
    };
    let text = fs::read(job).map_err(read)?;
    let job: WorldJob = serde_json::from_slice(&text).map_err(|e| read(e.into()))?;
    netns::enter_namespace()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|source| LabError::Namespace {
        doing: "start a runtime",
        hint: "",
        source,
    })?;
    runtime.block_on(run(&job))
}

pub(super) async fn run(job: &WorldJob) -> Result<WorldEnd, LabError> {
    let spec = rename(&parse(&job.text, &job.path)?, job.seed)?;
    if let Some(command) = &job.exec {
        let stage = Stage::for_people(job, spec).await?;
        return stage.exec(command).await.map(WorldEnd::Exit);
    }
    let mut stage = Stage::new(job, spec).await?;
    let mut report = ScenarioReport {
        name: stage.spec.name.clone(),
        seed: job.seed,
        steps: Vec::new(),
        skipped: None,
        error: None,
    };
    for step in stage.spec.steps.clone() {
        report.steps.extend(stage.agent(&step).await);
        report.steps.extend(stage.step(&step).await?);
    }
    let fallen = stage.agents.fallen().into_iter();
    report
        .steps
        .extend(fallen.map(|complaint| wrong_step("end".to_owned(), complaint)));
    let json = serde_json::to_string(&report);
    json.map(WorldEnd::Json).map_err(|e| LabError::World {
        scenario: stage.spec.name.clone(),
        message: e.to_string(),
    })
}

/// A world with its servers running.
struct Stage {
    spec: Spec,
    path: String,
    program: PathBuf,
    world: Shared,
    dns: DnsServers,
    secure: SecureServers,
    hosts: Hosts,
    reals: Reals,
    echoes: Echoes,
    serving: Serving,
    agents: Agents,
    directory: tempfile::TempDir,
    /// The last saved healthy report of each host: a baseline is of one host.
    baselines: BTreeMap<String, PathBuf>,
}

impl Stage {
    /// A world for the steps of its scenario.
    async fn new(job: &WorldJob, spec: Spec) -> Result<Self, LabError> {
        let stage = Self::build(job, spec).await?;
        folder::resolv_conf(&stage.spec, stage.directory.path())?;
        Ok(stage)
    }

    /// A world by the real clock for whoever comes with programs of their own. Where the scenario
    /// gives the vantage no resolver of its own, there is one.
    async fn for_people(job: &WorldJob, mut spec: Spec) -> Result<Self, LabError> {
        spec.now = None;
        let resolvers = resolvers(&spec);
        let declared = spec.world.resolvers.iter().any(|r| r.system);
        if !declared {
            spec.world.resolvers.push(own_resolver()?);
        }
        let stage = Self::build(job, spec).await?;
        let folder = stage.directory.path();
        let done = folder::resolv_conf(&stage.spec, folder);
        // Where a system forbids mounts, people see the machine's own file: its resolvers do not
        // answer in the box, and everything else does.
        if declared {
            done?;
        }
        folder::write_for_people(&stage.spec, folder, &resolvers)?;
        Ok(stage)
    }

    async fn build(job: &WorldJob, spec: Spec) -> Result<Self, LabError> {
        let clock = Clock::new(spec.now);
        let world = World::build(&spec, clock, job.seed).map_err(|e| wrong(&job.path, e))?;
        netns::set_up(vantage(&spec)).await?;
        let authorities = Arc::new(Authorities::new(clock.now())?);
        let anchors = [world.root_key(), world.other_root_key()];
        let directory = folder::make(&spec, &authorities, &anchors)?;
        let world = Arc::new(Mutex::new(world));
        let agents = Agents::new(&job.program, directory.path(), &spec)?;
        let mut stage = Self {
            path: job.path.clone(),
            program: job.program.clone(),
            dns: DnsServers::new(Arc::clone(&world)),
            secure: SecureServers::new(Arc::clone(&world), Arc::clone(&authorities)),
            hosts: Hosts::new(Arc::clone(&world), authorities),
            reals: Reals::new(Arc::clone(&world), directory.path(), vantage(&spec).0),
            echoes: Echoes::default(),
            serving: Serving::new(&job.program, directory.path()),
            agents,
            world,
            spec,
            directory,
            baselines: BTreeMap::new(),
        };
        stage.follow().await?;
        Ok(stage)
    }

    fn mistaken(&self, mistake: Mistake) -> LabError {
        wrong(&self.path, mistake)
    }

    /// Does what a step says with agents; what goes wrong is told of each.
    async fn agent(&mut self, step: &StepSpec) -> Vec<StepReport> {
        let mut told = Vec::new();
        let names = step.agent.iter().flat_map(|names| &names.0);
        if step.agent.is_some() {
            self.serving.changes(Timestamp::now());
        }
        for (name, word) in names.filter_map(|name| Some((name, step.deed?))) {
            told.extend(self.agents.act(name, word, step, &mut self.serving).await);
        }
        told
    }

    /// Does one step, and tells what is to be told of it.
    async fn step(&mut self, step: &StepSpec) -> Result<Option<StepReport>, LabError> {
        if let Some(name) = &step.check {
            return self.check(name, step).await.map(Some);
        }
        if let Some(set) = &step.set {
            self.serving.changes(Timestamp::now());
            lock(&self.world).set(set).map_err(|e| self.mistaken(e))?;
            self.follow().await?;
            if let Some(word) = set.disk {
                self.serving.set_disk(word)?;
            }
        }
        if let Some(span) = step.wait {
            lock(&self.world).clock.advance(span.0);
        }
        if let Some(word) = step.serve {
            let resolvers = resolvers(&self.spec);
            let base = folder::configuration(&self.spec, self.directory.path(), &resolvers);
            return self.serving.act(word, step, base).await;
        }
        if let Some(name) = &step.ping {
            let how = step.how.unwrap_or(PingWord::Success);
            return Ok(self.serving.ping(name, how).await);
        }
        if let Some(span) = step.run {
            tokio::time::sleep(span.0).await;
        }
        if let Some(until) = &step.until {
            let within = step.within.unwrap_or_default();
            return Ok(self.serving.until(until, within).await);
        }
        let Some(name) = &step.look else {
            return Ok(None);
        };
        let expected = self.spec.expect.get(name);
        Ok(Some(self.serving.look(name, expected).await))
    }

    /// Lets the servers do as the world says.
    async fn follow(&mut self) -> Result<(), LabError> {
        self.dns.follow()?;
        self.secure.follow().await?;
        self.hosts.follow().await?;
        self.reals.follow(self.hosts.authorities()).await?;
        let world = lock(&self.world);
        let (all, silent) = world.echo_addresses();
        let losses = world.vantages.losses();
        let links = world.vantages.links();
        drop(world);
        self.agents.follow(&links)?;
        self.echoes.follow(&all, &silent, &losses)
    }

    /// Runs a shell command in the box. Programs learn of the box's anchors by variables that they
    /// know anyway: those of TLS libraries and curl, and those that stand for flags of ours.
    async fn exec(&self, command: &str) -> Result<u8, LabError> {
        let folder = self.directory.path();
        let child = Command::new("sh")
            .arg("-c")
            .arg(command)
            .env("BELLWETHER_WORLD", folder)
            .env("SSL_CERT_FILE", folder.join(folder::CA))
            .env("CURL_CA_BUNDLE", folder.join(folder::CA))
            .env("BELLWETHER_ROOT_HINTS", folder.join(folder::ROOT_HINTS))
            .env("BELLWETHER_TRUST_ANCHOR", folder.join(folder::ROOT_KEY))
            .kill_on_drop(true)
            .status();
        let status = child.await.map_err(|source| LabError::Child {
            doing: "run",
            program: command.to_owned(),
            source,
        })?;
        Ok(status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1))
    }

    /// Runs the program once and compares its report.
    async fn check(&mut self, name: &str, step: &StepSpec) -> Result<StepReport, LabError> {
        self.reals.forget(self.hosts.authorities()).await?;
        let saved = self.directory.path().join("report.json");
        let arguments = self.arguments(step, &saved)?;
        let output = self.run_program(&arguments, step).await;
        let (report, mut complaints) = match output {
            Ok(output) => read_report(&output),
            Err(complaint) => (Value::Null, vec![complaint]),
        };
        // The program takes no report of a broken service for a baseline.
        let is_good = report["verdict"].as_str() == Some("healthy");
        if step.save == Some(true) && saved.exists() && is_good {
            // Kept apart, so that a later save replaces it only when it is whole.
            let file = format!("baseline-{}.json", self.baselines.len());
            let kept = self.directory.path().join(file);
            fs::rename(&saved, &kept).map_err(|source| LabError::File {
                doing: "write",
                path: kept.clone(),
                source,
            })?;
            self.baselines.insert(host(self.service(step)), kept);
        }
        let expected = self.spec.expect.get(name);
        if let (Ok(typed), Some(expect)) = (Report::deserialize(&report), expected) {
            complaints.extend(missed(expect, &typed));
        }
        Ok(StepReport {
            name: name.to_owned(),
            expected: expected.cloned(),
            as_expected: complaints.is_empty(),
            missed: complaints,
            report,
        })
    }

    fn service(&self, step: &StepSpec) -> &Value {
        let named = |service: &&Value| match &step.service {
            Some(name) => service["name"].as_str() == Some(name),
            None => true,
        };
        self.spec
            .services
            .iter()
            .find(named)
            .unwrap_or(&Value::Null)
    }

    fn arguments(&self, step: &StepSpec, saved: &Path) -> Result<Vec<String>, LabError> {
        let service = self.service(step);
        let expect = self.directory.path().join("service.json");
        write(&expect, &service.to_string())?;
        let file = |name: &str| self.directory.path().join(name).display().to_string();
        let mut all = vec!["check".to_owned(), target_text(service).unwrap_or_default()];
        let mut add = |flag: &str, value: String| all.extend([flag.to_owned(), value]);
        add("--format", "json".to_owned());
        for resolver in resolvers(&self.spec) {
            add("--resolver", resolver);
        }
        add("--ca", file(folder::CA));
        let anchor = match step.outdated_anchor {
            Some(true) => folder::OUTDATED_ANCHOR,
            Some(false) | None => folder::ROOT_KEY,
        };
        add("--trust-anchor", file(anchor));
        if step.without_controls == Some(true) {
            add("--control", "none".to_owned());
        }
        add("--root-hints", file(folder::ROOT_HINTS));
        add("--asn-table", file(folder::ASN_TABLE));
        add("--expect", expect.display().to_string());
        let clock = lock(&self.world).clock;
        if clock.is_set() && step.own_clock != Some(true) {
            add("--at", clock.now().to_string());
        }
        if let Some(baseline) = self
            .baselines
            .get(&host(service))
            .filter(|_| step.baseline != Some(false))
        {
            add("--baseline", baseline.display().to_string());
        }
        if step.save == Some(true) {
            add("--save", saved.display().to_string());
        }
        if let Some(from) = step.from {
            add("--from", from.to_string());
        }
        Ok(all)
    }

    async fn run_program(&self, arguments: &[String], step: &StepSpec) -> Result<Output, String> {
        let mut command = Command::new(&self.program);
        if step.offline == Some(true) {
            sys::without_network(&mut command);
        }
        let child = command
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("check: failed to start `{}`: {e}", self.program.display()))?;
        match tokio::time::timeout(CHECK_TIME_MAX, child.wait_with_output()).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(e)) => Err(format!("check: failed to read its output: {e}")),
            Err(_) => Err(format!(
                "check: did not end within {} s",
                CHECK_TIME_MAX.as_secs()
            )),
        }
    }
}

/// The resolvers that a check asks: the scenario's, or else the public ones of IPv4.
fn resolvers(spec: &Spec) -> Vec<String> {
    let all = &spec.world.resolvers;
    let given = all.iter().filter(|r| !r.system);
    let mut given: Vec<String> = given.map(|r| r.address.0.text.clone()).collect();
    if all.iter().any(|r| r.system) {
        given.push(folder::SYSTEM.to_owned());
    }
    if !given.is_empty() {
        return given;
    }
    CONTROL_RESOLVERS
        .iter()
        .map(|a| fixed(a))
        .filter(IpAddr::is_ipv4)
        .map(|a| a.to_string())
        .collect()
}

/// A resolver of the vantage's provider, with no fault of its own.
fn own_resolver() -> Result<ResolverSpec, LabError> {
    let text = format!("{{ address: {SYSTEM_RESOLVER}, system: true }}");
    serde_saphyr::from_str(&text).map_err(|e| LabError::Usage(e.to_string()))
}

/// Whose baseline a report is: the name that the service's check resolves, or else its whole target.
fn host(service: &Value) -> String {
    let name = target_host(service).map(|name| name.to_ascii_lowercase());
    name.or_else(|| target_text(service)).unwrap_or_default()
}

fn wrong(path: &str, mistake: Mistake) -> LabError {
    LabError::Scenario {
        place: path.to_owned(),
        message: mistake.message,
    }
}

/// The report on standard output, or a complaint with what stood on standard error.
fn read_report(output: &Output) -> (Value, Vec<String>) {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    let complaint = match Report::deserialize(&report) {
        Ok(_) => return (report, Vec::new()),
        Err(e) if report.is_object() => format!("check: its report cannot be read: {e}"),
        Err(_) => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let said: String = stderr.trim().chars().take(COMPLAINT_LEN_MAX).collect();
            format!("check: gave no report ({}): {said}", output.status)
        }
    };
    (report, vec![complaint])
}

/// Where unbound clients dial from.
fn vantage(spec: &Spec) -> (Ipv4Addr, Ipv6Addr) {
    let given = spec.world.vantage.iter().copied();
    let usual = VANTAGE.iter().map(|a| fixed(a));
    let (mut v4, mut v6) = (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
    for address in usual.chain(given) {
        match address {
            IpAddr::V4(a) => v4 = a,
            IpAddr::V6(a) => v6 = a,
        }
    }
    (v4, v6)
}

#[cfg(test)]
pub(super) mod tests;
