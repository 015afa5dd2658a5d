//! One running program.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::Recipe;
use super::plan::{Plan, Serving};
use crate::LabError;
use crate::scenario::Software;

/// How long a program may take until it answers.
const START_MAX: Duration = Duration::from_secs(20);
/// How often it is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(30);
/// Where servers are installed that stand in no user's path.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin"];
/// Bytes of a program's complaint that are shown.
const COMPLAINT_LEN_MAX: usize = 1500;

/// The file of a program, if it is installed.
pub(crate) fn find(software: Software) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.iter().map(PathBuf::from));
    folders
        .map(|folder| folder.join(software.program()))
        .find(|file| file.is_file())
}

/// A program with what it was started for. Its whole process group ends with it.
pub(super) struct Running {
    pub(super) plan: Plan,
    child: Child,
    group: Option<u32>,
    frozen: bool,
}

impl Running {
    pub(super) async fn start(plan: Plan, recipe: Recipe, home: &Path) -> Result<Self, LabError> {
        let program = find(plan.software).ok_or_else(|| LabError::not_installed(plan.software))?;
        for (name, text) in &recipe.files {
            let path = home.join(name);
            fs::write(&path, text).map_err(|source| LabError::File {
                doing: "write",
                path,
                source,
            })?;
        }
        let log = home.join("log");
        let failed = |source| LabError::File {
            doing: "write",
            path: log.clone(),
            source,
        };
        let out = fs::File::create(&log).map_err(failed)?;
        let err = out.try_clone().map_err(failed)?;
        // Dies with this process, however that ends.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(&program)
            .args(&recipe.arguments)
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| LabError::Child {
                doing: "start",
                program: program.display().to_string(),
                source,
            })?;
        let group = child.id();
        let mut running = Self {
            plan,
            child,
            group,
            frozen: false,
        };
        running.ready(&log).await?;
        let frozen = running.plan.frozen;
        running.freeze(frozen)?;
        Ok(running)
    }

    /// Waits until it answers.
    async fn ready(&mut self, log: &Path) -> Result<(), LabError> {
        let begun = Instant::now();
        loop {
            let ended = self.child.try_wait().ok().flatten();
            let late = begun.elapsed() > START_MAX;
            if ended.is_some() || late {
                let why = match ended {
                    Some(status) => match status.signal() {
                        Some(signal) => format!("it ended by signal {signal}"),
                        None => format!("it ended with {status}"),
                    },
                    None => format!("it did not answer within {} s", START_MAX.as_secs()),
                };
                return Err(LabError::World {
                    scenario: format!("{} at {}", self.plan.software.program(), self.plan.at),
                    message: format!("{why}; it said: {}", tail(log)),
                });
            }
            if self.answers().await {
                return Ok(());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn answers(&self) -> bool {
        match &self.plan.serving {
            Serving::Nothing => true,
            Serving::Web { .. } => {
                let open = TcpStream::connect(self.plan.at);
                matches!(tokio::time::timeout(ASK_EVERY, open).await, Ok(Ok(_)))
            }
            Serving::Zones { zones } => {
                let apex = zones.last().map_or(".", |(apex, _)| apex.as_str());
                let serves = |rcode| rcode == 0 || zones.is_empty();
                ask(self.plan.at, apex).await.is_some_and(serves)
            }
            Serving::Recursion { .. } => ask(self.plan.at, ".").await.is_some(),
        }
    }

    /// Makes it do nothing, or go on.
    pub(super) fn freeze(&mut self, frozen: bool) -> Result<(), LabError> {
        if frozen != self.frozen {
            self.signal(if frozen { "STOP" } else { "CONT" })?;
            self.frozen = frozen;
        }
        Ok(())
    }

    pub(super) async fn stop(mut self) {
        // A program that is gone already is as good.
        let _ = self.signal("KILL");
        let _ = self.child.wait().await;
        // What it forked may hold its port for a moment longer.
        let begun = Instant::now();
        while !is_free(self.plan.at) && begun.elapsed() < START_MAX {
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Sends a signal to the whole group: some programs fork.
    fn signal(&self, signal: &str) -> Result<(), LabError> {
        let Some(group) = self.group else {
            return Ok(());
        };
        let sent = std::process::Command::new("kill")
            .args([format!("-{signal}"), "--".to_owned(), format!("-{group}")])
            .stderr(Stdio::null())
            .status();
        sent.map(drop).map_err(|source| LabError::Child {
            doing: "run",
            program: "kill".to_owned(),
            source,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.signal("KILL");
    }
}

/// Can a server listen there?
fn is_free(at: SocketAddr) -> bool {
    UdpSocket::bind(at).is_ok() && TcpListener::bind(at).is_ok()
}

/// The rcode of the answer to a question for an SOA record, if one comes.
async fn ask(at: SocketAddr, apex: &str) -> Option<u8> {
    let mut query = vec![0x62, 0x77, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in apex.split('.').filter(|label| !label.is_empty()) {
        query.push(u8::try_from(label.len()).ok()?);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 6, 0, 1]);
    let any: SocketAddr = match at {
        SocketAddr::V4(_) => "0.0.0.0:0".parse().ok()?,
        SocketAddr::V6(_) => "[::]:0".parse().ok()?,
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.set_nonblocking(true).ok()?;
    let socket = tokio::net::UdpSocket::from_std(socket).ok()?;
    socket.connect(at).await.ok()?;
    socket.send(&query).await.ok()?;
    let mut reply = [0; 512];
    let wait = tokio::time::timeout(Duration::from_millis(500), socket.recv(&mut reply));
    let len = wait.await.ok()?.ok()?;
    (len >= 12 && reply[..2] == query[..2]).then(|| reply[3] & 0x0f)
}

/// The end of what a program said.
pub(crate) fn tail(log: &Path) -> String {
    let said = fs::read(log).unwrap_or_default();
    let from = said.len().saturating_sub(COMPLAINT_LEN_MAX);
    let said = String::from_utf8_lossy(&said[from..]);
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    bellwether_model::text::inert(&lines.join(" / "), COMPLAINT_LEN_MAX)
}
