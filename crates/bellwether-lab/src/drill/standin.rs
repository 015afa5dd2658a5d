//! Steps about a running program, rehearsed on a small one: it is started as `serve` is, connects
//! to the services of its configuration, and answers the few routes that the lab asks.

mod elsewhere;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::child::tests::in_a_namespace;
use super::child::{WorldEnd, run};
use super::{ScenarioReport, WorldJob};
use crate::scenario::Span;

/// The arguments of the stand-in: the test runner would take them for its own.
const ARGUMENTS: &str = "BELLWETHER_LAB_STAND_IN";
/// How long it waits for a peer or its worker.
const PATIENCE: Duration = Duration::from_millis(300);

/// The stand-in, if this process was started as one. As a test it does nothing.
#[test]
fn stand_in() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else {
        return;
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let words: Vec<&str> = arguments.split(' ').collect();
    match words[..] {
        ["serve", "-c", file, "--data-dir", data, "--listen", listen] => {
            runtime.block_on(serve(Path::new(file), Path::new(data), listen));
        }
        ["agent", ref words @ ..] => runtime.block_on(elsewhere::agent(words)),
        _ => panic!("{words:?}"),
    }
    std::process::exit(0);
}

async fn serve(file: &Path, data: &Path, listen: &str) {
    std::fs::create_dir_all(data).unwrap();
    let listener = TcpListener::bind(listen).await.unwrap();
    let mut hangup = signal(SignalKind::hangup()).unwrap();
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let mut state = State::read(file, data);
    println!(
        "The token for writing, shown this once:\n\n    {}\n",
        elsewhere::ADMIN
    );
    tokio::spawn(elsewhere::hub(state.fleet.clone()));
    let mut worker = Worker::start();
    let mut round = tokio::time::interval(state.every);
    loop {
        tokio::select! {
            _ = terminate.recv() => return,
            _ = hangup.recv() => state.configure(file),
            _ = round.tick() => {
                if !worker.answers().await {
                    worker = Worker::start();
                    state.replaced += 1;
                }
                state.round().await;
            }
            Ok((stream, _)) = listener.accept() => {
                // Who asks and goes away is no matter of the server's.
                let _ = timeout(PATIENCE, answer(stream, &mut state)).await;
            }
        }
    }
}

/// A child process that is asked whether it is there.
struct Worker {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    fn start() -> Self {
        let mut child = Command::new("sh")
            .args(["-c", "while read x; do echo $x; done", "worker"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, said }
    }

    async fn answers(&mut self) -> bool {
        let stdin = self.child.stdin.as_mut().unwrap();
        let asked = stdin.write_all(b"there\n").await.is_ok();
        let answer = timeout(PATIENCE, self.said.next_line()).await;
        asked && matches!(answer, Ok(Ok(Some(_))))
    }
}

/// What the stand-in knows.
struct State {
    kept: PathBuf,
    every: Duration,
    services: BTreeMap<String, String>,
    /// The first of the failing rounds of a service.
    failing: BTreeMap<String, (Timestamp, u32)>,
    seen: BTreeMap<String, bool>,
    incidents: Vec<Value>,
    refused: Option<String>,
    replaced: u32,
    fleet: elsewhere::Fleet,
    pinged: Vec<String>,
}

impl State {
    fn read(file: &Path, data: &Path) -> Self {
        let kept = data.join("incidents.json");
        let incidents = std::fs::read(&kept).map_or_else(
            |_| Vec::new(),
            |text| serde_json::from_slice(&text).unwrap(),
        );
        let mut state = Self {
            kept,
            every: Duration::ZERO,
            services: BTreeMap::new(),
            failing: BTreeMap::new(),
            seen: BTreeMap::new(),
            incidents,
            refused: None,
            replaced: 0,
            fleet: elsewhere::Fleet::default(),
            pinged: Vec::new(),
        };
        state.configure(file);
        assert_eq!(state.refused, None);
        state
    }

    fn configure(&mut self, file: &Path) {
        let config: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let known = [
            "version",
            "trust",
            "defaults",
            "resolvers",
            "services",
            "hub",
            "vantages",
            "heartbeats",
        ];
        let keys = config.as_object().unwrap().keys();
        self.refused = keys.clone().find(|k| !known.contains(&k.as_str())).cloned();
        if self.refused.is_some() {
            return;
        }
        for name in ["ca_files/0", "root_hints", "trust_anchor", "asn_table"] {
            let file = config.pointer(&format!("/trust/{name}")).unwrap();
            assert!(Path::new(file.as_str().unwrap()).is_file(), "{name}");
        }
        let every: Span = config["defaults"]["every"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        self.every = every.0;
        let services = config["services"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let pairs = services.map(|s| (text(&s["name"]), text(&s["url"])));
        self.services = pairs.collect();
    }

    /// Asks each service once. The second failure in a row opens an incident.
    async fn round(&mut self) {
        for (name, url) in self.services.clone() {
            let began = Timestamp::now();
            let serves = is_served(&url).await;
            self.seen.insert(name.clone(), serves);
            let moment = |kind: &str| json!({ "at": Timestamp::now(), "kind": kind, "text": url });
            let open = self.incidents.iter_mut().find(|i| i["state"] == "open");
            if serves {
                self.failing.remove(&name);
                if let Some(incident) = open {
                    incident["state"] = json!("resolved");
                    incident["mitigated"] = json!(Timestamp::now());
                    let timeline = incident["timeline"].as_array_mut().unwrap();
                    timeline.extend([moment("healing"), moment("resolved")]);
                }
                continue;
            }
            let failing = self.failing.entry(name.clone()).or_insert((began, 0));
            failing.1 += 1;
            if failing.1 == 2 && open.is_none() {
                let timeline = [moment("first_failure"), moment("alarm")];
                let (began, id) = (failing.0, self.incidents.len() + 1);
                self.incidents.push(incident(id, &name, began, &timeline));
            }
        }
        let text = serde_json::to_vec(&self.incidents).unwrap();
        std::fs::write(&self.kept, text).unwrap();
    }

    fn services(&self) -> Value {
        let service = |name: &String| {
            let open = self.incidents.iter().any(|i| i["state"] == "open");
            let (verdict, cause) = match (open, self.seen.get(name)) {
                (true, _) => ("broken", json!("net.tcp.refused")),
                (false, Some(true)) => ("healthy", Value::Null),
                (false, Some(false) | None) => ("unknown", Value::Null),
            };
            json!({ "name": name, "verdict": verdict, "cause": cause, "since": null,
                "judged_at": null, "stale": false })
        };
        self.services.keys().map(service).collect()
    }

    fn answer(&self, path: &str) -> Option<Value> {
        if let Some(id) = path.strip_prefix("/api/v1/incidents/") {
            let id: u64 = id.parse().unwrap();
            return self.incidents.iter().find(|i| i["id"] == id).cloned();
        }
        match path {
            "/api/v1/agents" => Some(json!({ "agents": self.fleet.told(), "next": null })),
            "/readyz" => Some(json!("ready")),
            "/api/v1/services" => Some(json!({ "services": self.services(), "next": null })),
            "/api/v1/incidents" => Some(json!({ "incidents": self.incidents, "next": null })),
            "/api/v1/configuration" => Some(json!({ "refused": self.refused })),
            _ => None,
        }
    }
}

fn incident(id: usize, service: &str, began: Timestamp, timeline: &[Value]) -> Value {
    let scope = json!({ "vantages": ["local"], "resolvers": [], "name_servers": [],
        "addresses": ["203.0.113.80"], "families": ["v4"], "profiles": [], "owners": [], "share": 1.0,
        "since": null });
    json!({ "id": id, "state": "open", "cause": "net.tcp.refused", "layer": "net",
        "severity": "critical", "verdict": "broken", "confidence": 0.9, "summary": "nothing listens",
        "remedy": "", "checks": [{ "check": format!("{service}/main"), "since": began }],
        "scope": scope, "began": began, "opened": Timestamp::now(), "updated": Timestamp::now(),
        "timeline": timeline })
}

async fn is_served(url: &str) -> bool {
    let host = url.strip_prefix("http://").unwrap().trim_end_matches('/');
    let connected = timeout(PATIENCE, TcpStream::connect((host, 80))).await;
    matches!(connected, Ok(Ok(_)))
}

async fn answer(mut stream: TcpStream, state: &mut State) -> std::io::Result<()> {
    let mut request = [0; 1024];
    let len = stream.read(&mut request).await?;
    let request = String::from_utf8_lossy(&request[..len]).into_owned();
    assert!(
        request.contains("\r\nHost: 127.0.0.1:8400\r\n"),
        "{request}"
    );
    let path = request.split(' ').nth(1).unwrap();
    let metrics = format!(
        "bellwether_workers_replaced_total {}\npings_total {}\n",
        state.replaced,
        state.pinged.len()
    );
    let is_admin = request.contains(&format!(
        "\r\nAuthorization: Bearer {}\r\n",
        elsewhere::ADMIN
    ));
    if let (true, Some(answer)) = (is_admin, elsewhere::asked(path, &request)) {
        let head = "HTTP/1.0 201 Created\r\nContent-Type: application/json\r\n\r\n";
        return stream
            .write_all((head.to_owned() + &answer).as_bytes())
            .await;
    }
    if let Some(ping) = path.strip_prefix("/ping/") {
        state.pinged.push(ping.to_owned());
        return stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nOK").await;
    }
    let (status, body) = match state.answer(path) {
        Some(body) => ("200 OK", body.to_string()),
        None if path == "/metrics" => ("200 OK", metrics),
        None => ("404 Not Found", String::new()),
    };
    let head = format!("HTTP/1.0 {status}\r\nContent-Type: text/plain\r\n\r\n");
    stream.write_all((head + &body).as_bytes()).await
}

/// What becomes of a scenario with these steps and expectations.
async fn rehearse(steps: &str, expect: &str) -> ScenarioReport {
    rehearse_in(WORLD, steps, expect).await
}

/// The same in another world.
async fn rehearse_in(world: &str, steps: &str, expect: &str) -> ScenarioReport {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("bellwether");
    let this = std::env::current_exe().unwrap();
    let script = format!(
        "#!/bin/sh\n{ARGUMENTS}=\"$*\" exec '{}' --exact drill::standin::stand_in --nocapture\n",
        this.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let job = WorldJob {
        path: "x.yaml".to_owned(),
        text: format!("{world}steps: [{steps}]\nexpect: {{{expect}}}\n"),
        seed: 1,
        program,
        exec: None,
    };
    match run(&job).await.unwrap() {
        WorldEnd::Json(json) => serde_json::from_str(&json).unwrap(),
        WorldEnd::Exit(code) => panic!("{code}"),
    }
}

const WORLD: &str = r#"
schema: bellwether.scenario/1
name: x
fixed: true
world:
  hosts: [{ address: 203.0.113.80, port: 80 }]
services: [{ name: www, url: "http://203.0.113.80/" }]
"#;

#[test]
fn a_program_lives_through_faults() {
    in_a_namespace("drill::standin::a_program_lives_through_faults", async {
        let steps = "
            { serve: start, every: 50ms },
            { until: { service: www, verdict: healthy, cause: null }, within: 60s },
            { look: well },
            { set: { hosts: { '203.0.113.80:80': { tcp: refused } } } },
            { until: { incidents: 1, state: open, timeline: [first_failure, { alarm: 203.0.113.80 }] }, within: 60s },
            { look: down },
            { serve: kill },
            { serve: start, every: 50ms },
            { look: again },
            { serve: freeze_worker },
            { until: { metrics: { bellwether_workers_replaced_total: { at_least: 1 } } }, within: 60s },
            { serve: reload, config: { servces: [] } },
            { until: { refused: true }, within: 60s },
            { serve: reload },
            { until: { refused: false }, within: 60s },
            { serve: freeze }, { run: 50ms }, { serve: thaw },
            { set: { hosts: { '203.0.113.80:80': { tcp: open } } } },
            { until: { incidents: 1, state: resolved, service: www, verdict: healthy }, within: 60s },
            { look: healed },
            { serve: stop }";
        let expect = "
            well: { services: { www: { verdict: healthy } }, incidents: [], nothing_else: true },
            down: { services: { www: { verdict: broken, cause: net.tcp.refused } }, nothing_else: true,
              incidents: [{ cause: net.tcp.refused, state: open, checks: [www/main], began_within: 60s, opened_within: 60s }] },
            again: { incidents: [{ same_as: down }], nothing_else: true },
            healed: { metrics: { bellwether_workers_replaced_total: { at_least: 1 } }, refused: false, nothing_else: true,
              incidents: [{ state: resolved, same_as: down, scope: { addresses: [203.0.113.80] }, mitigated_within: 60s,
                timeline: [{ first_failure: 203.0.113.80 }, alarm, healing, resolved] }] }";
        let report = rehearse(steps, expect).await;
        let names: Vec<&str> = report.steps.iter().map(|s| s.name.as_str()).collect();
        let missed: Vec<&Vec<String>> = report.steps.iter().map(|s| &s.missed).collect();
        assert_eq!(names, ["well", "down", "again", "healed"], "{missed:?}");
        assert!(report.steps.iter().all(|s| s.as_expected), "{missed:?}");
        let mut tally = super::score::Tally::default();
        tally.add(&report);
        let score = tally.score();
        assert_eq!(
            (score.cause_top1, score.layer, score.scope_f1),
            (1.0, 1.0, 1.0)
        );
        assert_eq!((score.false_alarms, score.wrong, score.unknown), (0, 0, 0));
    });
}

#[test]
fn what_does_not_become_so_is_told() {
    in_a_namespace("drill::standin::what_does_not_become_so_is_told", async {
        let steps = "
            { serve: start, every: 50ms },
            { until: { service: www, verdict: broken }, within: 100ms },
            { until: { service: www, verdict: healthy }, within: 60s },
            { look: a },
            { serve: stop },
            { serve: start, config: { nonsense: 1 } },
            { look: b },
            { serve: freeze }";
        let expect = "a: { incidents: [{ cause: net.tcp.refused }] }, b: { nothing_else: true }";
        let report = rehearse(steps, expect).await;
        let told = report
            .steps
            .iter()
            .map(|s| (s.name.as_str(), s.missed.join(" / ")));
        let [until, a, start, b, freeze] = &told.collect::<Vec<_>>()[..] else {
            panic!("{:?}", report.steps);
        };
        assert_eq!(until.0, "until");
        let words = until
            .1
            .strip_prefix("after 100ms still: service www: verdict: expected broken, got ");
        assert!(words.is_some(), "{}", until.1);
        assert_eq!(
            *a,
            (
                "a",
                "incident: expected net.tcp.refused, got none".to_owned()
            )
        );
        assert!(
            start.0 == "serve: start" && start.1.contains("it ended"),
            "{start:?}"
        );
        let ended = "it does not run".to_owned();
        assert_eq!(*b, ("b", ended.clone()));
        assert_eq!(*freeze, ("serve: freeze", ended));
        assert!(report.steps.iter().all(|s| !s.as_expected));
    });
}
