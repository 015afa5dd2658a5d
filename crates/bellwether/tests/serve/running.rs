//! A `bellwether serve` of one's own, and servers for it to watch. All on loopback.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for what must come: far above what it takes on a loaded machine.
pub(crate) const FAR: Duration = Duration::from_secs(90);
/// How long [`Serve::until`] lets the program alone between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A server whose behaviour is changed while it runs.
pub(crate) struct Site {
    pub(crate) at: SocketAddr,
    does: Arc<AtomicU8>,
}

const SERVES: u8 = 0;
const FAILS: u8 = 1;

impl Site {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let does = Arc::new(AtomicU8::new(SERVES));
        let doing = does.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let doing = doing.clone();
                thread::spawn(move || answer(stream, doing.load(Ordering::Relaxed)));
            }
        });
        Self { at, does }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.at)
    }

    pub(crate) fn fail(&self) {
        self.does.store(FAILS, Ordering::Relaxed);
    }

    pub(crate) fn serve(&self) {
        self.does.store(SERVES, Ordering::Relaxed);
    }
}

fn answer(mut stream: TcpStream, does: u8) {
    let mut head = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while head.read_line(&mut line).is_ok_and(|len| len > 2) {
        line.clear();
    }
    let answer: &[u8] = match does {
        SERVES => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        _ => b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    };
    let _ = stream.write_all(answer);
}

/// A configuration of sites, each a service, every second.
pub(crate) fn config(sites: &[(&str, &str)], more: &str) -> String {
    let mut text =
        "defaults: { every: 1s, timeout: 2s, deep_every: 20s }\ncontrols: []\n".to_owned();
    text.push_str(more);
    text.push_str("services:\n");
    for (name, url) in sites {
        text.push_str(&format!("  - {{ name: {name}, url: \"{url}\" }}\n"));
    }
    text
}

/// A running `serve`.
pub(crate) struct Serve {
    pub(crate) dir: Arc<tempfile::TempDir>,
    pub(crate) at: SocketAddr,
    pub(crate) token: Option<String>,
    child: Child,
    said: Arc<Mutex<String>>,
}

/// How a `serve` is started.
pub(crate) struct Start {
    pub(crate) dir: Arc<tempfile::TempDir>,
    pub(crate) env: Vec<(&'static str, String)>,
    /// Stands before the program: `prlimit …`.
    pub(crate) before: Vec<String>,
    /// Stands behind it: `--workers 4`.
    pub(crate) more: Vec<String>,
    /// Did no `serve` keep its data here before? Then it prints a token.
    pub(crate) is_first: bool,
}

impl Start {
    pub(crate) fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("bellwether.yaml"), config).unwrap();
        Self {
            dir: Arc::new(dir),
            env: Vec::new(),
            before: Vec::new(),
            more: Vec::new(),
            is_first: true,
        }
    }

    /// The same data and configuration again.
    pub(crate) fn again(serve: &Serve) -> Self {
        Self {
            dir: serve.dir.clone(),
            env: Vec::new(),
            before: Vec::new(),
            more: Vec::new(),
            is_first: false,
        }
    }

    pub(crate) fn env(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    pub(crate) fn command(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_bellwether");
        let mut words = self.before.clone();
        words.push(program.to_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
            .arg("serve")
            .arg("-c")
            .arg(self.dir.path().join("bellwether.yaml"))
            .arg("--data-dir")
            .arg(self.dir.path().join("data"))
            .args(["--listen", "127.0.0.1:0"])
            .args(&self.more)
            .envs(self.env.iter().map(|(n, v)| (*n, v.as_str())))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn go(self) -> Serve {
        self.try_go()
            .unwrap_or_else(|said| panic!("serve did not start: {said}"))
    }

    /// Starts it; what it said, where it ended instead.
    pub(crate) fn try_go(self) -> Result<Serve, String> {
        let mut child = self.command().spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let said = Arc::new(Mutex::new(String::new()));
        let saying = said.clone();
        let (says, hears) = mpsc::channel();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut said = saying.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
                drop(said);
                // Once its place is known, nobody listens any more.
                let _ = says.send(line);
            }
        });
        let begun = Instant::now();
        let mut at = None;
        let at = loop {
            let line = hears.recv_timeout(FAR.saturating_sub(begun.elapsed()));
            let Ok(line) = line else {
                let _ = child.kill();
                let _ = child.wait();
                return Err(said.lock().unwrap().clone());
            };
            let place = line
                .split_once("page and API at http://")
                .and_then(|(_, rest)| rest.split_once('/'));
            if let Some((place, _)) = place {
                at = Some(place.parse().unwrap());
            }
            match at {
                Some(at) if !self.is_first || line.contains("BELLWETHER_TOKEN") => break at,
                _ => {}
            }
        };
        let mut serve = Serve {
            dir: self.dir,
            at,
            token: None,
            child,
            said,
        };
        serve.until("it is ready", |s| s.get_raw("/readyz").0 == 200);
        let said = serve.said();
        let token = said.lines().map(str::trim).find(|l| l.starts_with("bw_"));
        serve.token = token.map(str::to_owned);
        Ok(serve)
    }
}

impl Serve {
    pub(crate) fn start(config: &str) -> Self {
        Start::new(config).go()
    }

    /// All that it wrote to stderr.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.dir.path().join("bellwether.yaml")
    }

    /// Its worker processes.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let parent = self.pid().to_string();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
                continue;
            };
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
                continue;
            };
            let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            let mut words = after.split_whitespace();
            let state = words.next();
            if words.next() == Some(&parent) && state != Some("Z") {
                found.push(pid);
            }
        }
        found
    }

    pub(crate) fn get_raw(&self, path: &str) -> (u16, String) {
        exchange(self.at, "GET", path, self.token.as_deref(), "").unwrap_or((0, String::new()))
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, body) = self.get_raw(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, String) {
        let body = body.to_string();
        exchange(self.at, "POST", path, self.token.as_deref(), &body).unwrap()
    }

    /// A service as it is told.
    pub(crate) fn service(&self, name: &str) -> Value {
        self.get(&format!("/api/v1/services/{name}"))
    }

    pub(crate) fn verdict(&self, name: &str) -> String {
        let service = self.service(name);
        service["verdict"].as_str().unwrap_or_default().to_owned()
    }

    /// All incidents, newest first.
    pub(crate) fn incidents(&self) -> Vec<Value> {
        let page = self.get("/api/v1/incidents");
        page["incidents"].as_array().unwrap().clone()
    }

    /// An incident with its timeline.
    pub(crate) fn incident(&self, id: u64) -> Value {
        self.get(&format!("/api/v1/incidents/{id}"))
    }

    /// A number of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get_raw("/metrics");
        let line = text.lines().find(|l| {
            l.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
        });
        let line = line.unwrap_or_else(|| panic!("no metric {name}: {text}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    /// Waits until something holds. The one place where these tests look again and again: most of
    /// what they wait for (a count, a process that is gone) is told by no event.
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(
                begun.elapsed() < FAR,
                "it never came to be that {what}; serve said:\n{}",
                self.said()
            );
            thread::sleep(LOOK_AGAIN);
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        send(self.pid(), signal);
    }

    /// SIGTERM, and waits for its end. Tells whether it ended well.
    pub(crate) fn stop(&mut self) -> bool {
        self.signal("TERM");
        self.wait()
    }

    pub(crate) fn kill(&mut self) {
        self.signal("KILL");
        self.wait();
    }

    /// Waits for its end; one that does not come is made.
    fn wait(&mut self) -> bool {
        let pid = self.pid();
        let (ended, hears) = mpsc::channel::<()>();
        let watch = thread::spawn(move || {
            let is_late = hears.recv_timeout(FAR) == Err(RecvTimeoutError::Timeout);
            if is_late {
                send(pid, "KILL");
            }
            is_late
        });
        let status = self.child.wait().unwrap();
        drop(ended);
        assert!(!watch.join().unwrap(), "serve does not end");
        status.success()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A signal to a process that a test started.
pub(crate) fn send(pid: u32, signal: &str) {
    let sent = Command::new("kill")
        .args(["-s", signal, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
    assert!(sent.is_ok());
}

/// One request, one answer.
pub(crate) fn exchange(
    at: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let token = token.map_or(String::new(), |t| format!("Authorization: Bearer {t}\r\n"));
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/json\r\n"
    };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {at}\r\n{token}{kind}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    let is_chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = if is_chunked {
        unchunk(body)
    } else {
        body.to_owned()
    };
    Ok((status.unwrap_or(0), body))
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((len, rest)) = body.split_once("\r\n") {
        let len = usize::from_str_radix(len.trim(), 16).unwrap_or(0);
        if len == 0 || rest.len() < len {
            break;
        }
        whole.push_str(&rest[..len]);
        body = rest[len..].trim_start_matches("\r\n");
    }
    whole
}

/// Every file below a directory.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Runs the program, and gives its exit code, stdout and stderr.
pub(crate) fn bellwether(args: &[&str]) -> (i32, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_bellwether"))
        .args(args)
        .output()
        .unwrap();
    (
        done.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&done.stdout).into_owned(),
        String::from_utf8_lossy(&done.stderr).into_owned(),
    )
}
