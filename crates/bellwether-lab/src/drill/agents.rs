//! The agents of a world's vantages: enrolled, started, signalled and ended, as steps say.
//!
//! Each is a process of the program that is judged, known by its public command line. It finds the
//! hub at a port of the lab's own, which carries what both say and can be cut.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::StepReport;
use super::folder;
use super::prober::Killer;
use super::process::{Process, workers_of};
use super::serving::{STOP_MAX, Serving, gone, unsent, wrong};
use crate::LabError;
use crate::scenario::{AgentWord, LinkWord, Spec, StepSpec, VantageSpec};
use crate::service::forward::Forwarder;
use crate::sys::{self, Recipient, Signal};

/// Where the hub listens for agents: its own default.
pub(super) const HUB: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8401);
/// Where agents find it: one address for each, of a range for tests between networks (RFC 2544).
const LINKS: u32 = u32::from_be_bytes([198, 18, 0, 0]);
/// How long enrolling may take: a handshake and a signature.
const ENROL_TIME_MAX: Duration = Duration::from_secs(30);
/// How much of a complaint is shown, bytes.
const COMPLAINT_LEN_MAX: usize = 2000;
/// How often it is looked for workers that are to stand still.
const FREEZE_EVERY: Duration = Duration::from_millis(20);

/// All agents of a world.
pub(super) struct Agents {
    program: PathBuf,
    folder: PathBuf,
    all: BTreeMap<String, Agent>,
}

/// An agent, running or not.
struct Agent {
    addresses: Vec<IpAddr>,
    /// Where it finds the resolvers that are its own.
    resolv_conf: Option<PathBuf>,
    link: Forwarder,
    is_enrolled: bool,
    process: Option<Process>,
    /// Makes its workers stand still, again and again.
    freezer: Option<JoinHandle<()>>,
    /// Ends its workers over what they probe.
    killer: Option<Killer>,
}

impl Agents {
    pub(super) fn new(program: &Path, folder: &Path, spec: &Spec) -> Result<Self, LabError> {
        let mut all = BTreeMap::new();
        for (number, vantage) in (1..).zip(&spec.world.vantages) {
            let at = SocketAddr::new(Ipv4Addr::from_bits(LINKS + number).into(), HUB.port());
            // The hub sees the agent come from its own address.
            let addresses = vantage.address.0.clone();
            let from = addresses.iter().copied().find(IpAddr::is_ipv4);
            let agent = Agent {
                addresses,
                resolv_conf: folder::own_resolvers(spec, folder, &vantage.name)?,
                link: Forwarder::new(at, HUB, from)?,
                is_enrolled: false,
                process: None,
                freezer: None,
                killer: None,
            };
            all.insert(vantage.name.clone(), agent);
        }
        Ok(Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            all,
        })
    }

    /// Lets links be as the world says.
    pub(super) fn follow(&mut self, links: &BTreeMap<String, LinkWord>) -> Result<(), LabError> {
        for (name, word) in links {
            if let Some(agent) = self.all.get_mut(name) {
                agent.link.set(*word)?;
            }
        }
        Ok(())
    }

    /// Does what a step says with one agent; what goes wrong becomes a report.
    pub(super) async fn act(
        &mut self,
        name: &str,
        word: AgentWord,
        step: &StepSpec,
        serving: &mut Serving,
    ) -> Option<StepReport> {
        let done = match word {
            AgentWord::Start => self.start(name, serving).await,
            AgentWord::Stop => self.stop(name).await,
            AgentWord::Kill => self.kill(name).await,
            AgentWord::Freeze => self.signal(name, Signal::Stop),
            AgentWord::Thaw => self.thaw(name),
            AgentWord::FreezeWorker => self.freeze_worker(name),
            AgentWord::FreezeWorkers => self.freeze_workers(name),
            AgentWord::KillProber => self.kill_prober(name, step),
        };
        let step = || format!("agent {name}: {}", word.name());
        done.err().map(|complaint| wrong(step(), complaint))
    }

    async fn start(&mut self, name: &str, serving: &mut Serving) -> Result<(), String> {
        let data = self.folder.join(format!("agent-{name}"));
        let (program, folder) = (self.program.clone(), self.folder.clone());
        let agent = self.agent(name)?;
        if !agent.is_enrolled {
            let token = serving.api()?.enrolment(name, &serving.token()?).await?;
            enrol(&program, &folder, &data, agent.link.at(), &token).await?;
            agent.is_enrolled = true;
        }
        let table = folder.join(folder::ASN_TABLE).display().to_string();
        let mut arguments = ["agent", "run", "--data-dir"].map(str::to_owned).to_vec();
        arguments.extend([data.display().to_string(), "--asn-table".to_owned(), table]);
        for address in &agent.addresses {
            arguments.extend(["--from".to_owned(), address.to_string()]);
        }
        let log = format!("agent-{name}");
        let own = agent.resolv_conf.as_deref();
        let process = Process::start(&program, &arguments, &folder, &log, own);
        let program = program.display();
        agent.process = Some(process.map_err(|e| format!("failed to start `{program}`: {e}"))?);
        Ok(())
    }

    async fn stop(&mut self, name: &str) -> Result<(), String> {
        let mut process = self.take(name)?;
        let workers = process.workers();
        process.signal(Signal::Terminate).map_err(unsent)?;
        let most = STOP_MAX.as_secs();
        match process.ends(STOP_MAX).await {
            Some(status) if status.success() => gone(workers).await,
            Some(status) => Err(format!(
                "it ended with {status}; it said: {}",
                process.said()
            )),
            None => Err(format!(
                "it did not end within {most} s of SIGTERM; it said: {}",
                process.said()
            )),
        }
    }

    async fn kill(&mut self, name: &str) -> Result<(), String> {
        let mut process = self.take(name)?;
        let workers = process.workers();
        process.signal(Signal::Kill).map_err(unsent)?;
        process.ends(STOP_MAX).await;
        gone(workers).await
    }

    fn signal(&mut self, name: &str, signal: Signal) -> Result<(), String> {
        self.running(name)?.signal(signal).map_err(unsent)
    }

    fn thaw(&mut self, name: &str) -> Result<(), String> {
        self.agent(name)?.stop_freezing();
        let process = self.running(name)?;
        for worker in process.workers() {
            // One that ended meanwhile needs no thaw.
            let _ = sys::signal(Recipient::Process(worker), Signal::Continue);
        }
        process.signal(Signal::Continue).map_err(unsent)
    }

    fn freeze_worker(&mut self, name: &str) -> Result<(), String> {
        let workers = self.running(name)?.workers();
        let worker = workers.first().ok_or("it has no worker process")?;
        sys::signal(Recipient::Process(*worker), Signal::Stop).map_err(unsent)
    }

    fn freeze_workers(&mut self, name: &str) -> Result<(), String> {
        let pid = self.running(name)?.pid();
        let agent = self.agent(name)?;
        agent.stop_freezing();
        agent.freezer = Some(tokio::spawn(async move {
            loop {
                for worker in workers_of(pid) {
                    // One that ended meanwhile stands still for good.
                    let _ = sys::signal(Recipient::Process(worker), Signal::Stop);
                }
                tokio::time::sleep(FREEZE_EVERY).await;
            }
        }));
        Ok(())
    }

    fn kill_prober(&mut self, name: &str, step: &StepSpec) -> Result<(), String> {
        let pid = self.running(name)?.pid();
        self.agent(name)?.killer = Killer::start(pid, step);
        Ok(())
    }

    fn agent(&mut self, name: &str) -> Result<&mut Agent, String> {
        let missing = || format!("there is no vantage `{name}`");
        self.all.get_mut(name).ok_or_else(missing)
    }

    /// The process, if it has not ended by itself.
    fn running(&mut self, name: &str) -> Result<&Process, String> {
        let agent = self.agent(name)?;
        let process = agent.process.as_mut().ok_or(NOT_RUNNING)?;
        match process.ended() {
            Some(status) => Err(format!("it ended ({status}); it said: {}", process.said())),
            None => Ok(process),
        }
    }

    fn take(&mut self, name: &str) -> Result<Process, String> {
        self.running(name)?;
        let agent = self.agent(name)?;
        agent.stop_freezing();
        agent.killer = None;
        agent.process.take().ok_or_else(|| NOT_RUNNING.to_owned())
    }

    /// What agents that have ended by themselves said: a scenario's own steps end them otherwise.
    pub(super) fn fallen(&mut self) -> Vec<String> {
        let names: Vec<String> = self.all.keys().cloned().collect();
        let mut fallen = Vec::new();
        for name in names {
            let runs = self.all.get(&name).is_some_and(|a| a.process.is_some());
            if let (true, Err(complaint)) = (runs, self.running(&name)) {
                fallen.push(format!("agent {name}: {complaint}"));
            }
        }
        fallen
    }
}

impl Agent {
    fn stop_freezing(&mut self) {
        if let Some(freezer) = self.freezer.take() {
            freezer.abort();
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop_freezing();
    }
}

const NOT_RUNNING: &str = "it does not run";

/// Makes an agent of what will be one, by the command that a person types.
async fn enrol(
    program: &Path,
    folder: &Path,
    data: &Path,
    hub: SocketAddr,
    token: &str,
) -> Result<(), String> {
    let hub = format!("https://{hub}");
    let data = data.display().to_string();
    let child = Command::new(program)
        .args(["agent", "enrol", "--hub", &hub, "--token", token])
        .args(["--data-dir", &data])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let most = ENROL_TIME_MAX.as_secs();
    let output = match tokio::time::timeout(ENROL_TIME_MAX, child).await {
        Ok(Ok(output)) => output,
        Ok(Err(e)) => return Err(format!("failed to start `{}`: {e}", program.display())),
        Err(_) => return Err(format!("it was not enrolled within {most} s")),
    };
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String = said.trim().chars().take(COMPLAINT_LEN_MAX).collect();
    Err(format!(
        "it was not enrolled ({}); it said: {said}",
        output.status
    ))
}

/// What the hub's configuration says of vantages.
pub(super) fn configuration(vantages: &[VantageSpec]) -> Vec<Value> {
    let each = vantages.iter().map(|vantage| {
        let VantageSpec {
            name,
            address: _,
            region,
            network,
            access,
        } = vantage;
        let mut told = json!({ "name": name });
        for (key, value) in [("region", region), ("network", network), ("access", access)] {
            if let Some(value) = value {
                told[key] = json!(value);
            }
        }
        told
    });
    each.collect()
}
