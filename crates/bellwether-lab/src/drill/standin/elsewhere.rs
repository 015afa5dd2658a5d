//! Agents of the stand-in, and steps about them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::super::agents::HUB;
use super::super::child::tests::in_a_namespace;
use super::{PATIENCE, Worker, rehearse_in};

/// The token for its API.
pub(super) const ADMIN: &str = "bw_standin";
/// How often an agent says that it is there.
const SAYS_EVERY: Duration = Duration::from_millis(50);

/// When each agent was last heard, and from where it came.
#[derive(Clone, Default)]
pub(super) struct Fleet(Arc<Mutex<BTreeMap<String, (Instant, String)>>>);

impl Fleet {
    pub(super) fn told(&self) -> Value {
        let all = self.0.lock().unwrap();
        let agent = |(name, (heard, from)): (&String, &(Instant, String))| json!({ "name": name, "linked": heard.elapsed() < PATIENCE, "from": from });
        all.iter().map(agent).collect()
    }
}

/// Hears agents.
pub(super) async fn hub(fleet: Fleet) {
    // Resolvers of a vantage elsewhere are none of the hub's.
    let own = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    assert!(!own.contains("192.0.2.53"), "{own}");
    let listener = TcpListener::bind(HUB).await.unwrap();
    while let Ok((stream, peer)) = listener.accept().await {
        let fleet = fleet.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(name)) = lines.next_line().await {
                let mut all = fleet.0.lock().unwrap();
                all.insert(name, (Instant::now(), peer.ip().to_string()));
            }
        });
    }
}

/// What its API answers to whoever has the token.
pub(super) fn asked(path: &str, request: &str) -> Option<String> {
    match path {
        "/api/v1/agents/tokens" => {
            let body = request.split("\r\n\r\n").nth(1).unwrap();
            let body: Value = serde_json::from_str(body).unwrap();
            let name = body["vantage"].as_str().unwrap();
            Some(json!({ "token": format!("bwe_{name}") }).to_string())
        }
        "/api/v1/heartbeats" => {
            let told = json!({ "name": "nightly", "report_to": { "ping": "/ping/1234" } });
            Some(json!({ "heartbeats": [told], "next": null }).to_string())
        }
        _ => None,
    }
}

/// An agent: it says its name to the hub as long as its worker answers.
pub(super) async fn agent(words: &[&str]) {
    match *words {
        ["enrol", "--hub", hub, "--token", token, "--data-dir", data] => {
            std::fs::create_dir(data).unwrap();
            let name = token.strip_prefix("bwe_").unwrap();
            let hub = hub.strip_prefix("https://").unwrap();
            std::fs::write(Path::new(data).join("id"), format!("{name} {hub}")).unwrap();
        }
        [
            "run",
            "--data-dir",
            data,
            "--asn-table",
            table,
            "--from",
            from,
        ] => {
            assert!(Path::new(table).is_file(), "{words:?}");
            let own = std::fs::read_to_string("/etc/resolv.conf").unwrap();
            assert_eq!(own, "nameserver 192.0.2.53\n");
            let id = std::fs::read_to_string(Path::new(data).join("id")).unwrap();
            let (name, hub) = id.split_once(' ').unwrap();
            if from != "192.0.2.10" {
                let mut link = TcpStream::connect(hub).await.unwrap();
                link.write_all(format!("{name}\n").as_bytes())
                    .await
                    .unwrap();
                panic!("it is somewhere else");
            }
            let mut terminate =
                tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
            tokio::select! {
                _ = terminate.recv() => {}
                () = say(name, hub) => {}
            }
        }
        _ => panic!("{words:?}"),
    }
}

async fn say(name: &str, hub: &str) {
    let mut worker = Worker::start();
    let line = format!("{name}\n");
    loop {
        // A link that is silent takes nobody: another try is made soon.
        let link = tokio::time::timeout(PATIENCE, TcpStream::connect(hub)).await;
        if let Ok(Ok(mut link)) = link {
            loop {
                let there = worker.answers().await;
                if !there {
                    worker = Worker::start();
                    continue;
                }
                if link.write_all(line.as_bytes()).await.is_err() {
                    break;
                }
                tokio::time::sleep(SAYS_EVERY).await;
            }
        }
        tokio::time::sleep(SAYS_EVERY).await;
    }
}

const WORLD: &str = r#"
schema: bellwether.scenario/1
name: x
fixed: true
world:
  vantages: [{ name: fra, address: 192.0.2.10, region: eu }]
  resolvers: [{ address: 9.9.9.9, from: [fra, local] }, { address: 192.0.2.53, system: true, from: [fra] }]
  hosts: [{ address: 203.0.113.80, port: 80 }]
services: [{ name: www, url: "http://203.0.113.80/" }]
"#;

#[test]
fn an_agent_lives_through_faults() {
    let name = "drill::standin::elsewhere::an_agent_lives_through_faults";
    in_a_namespace(name, async {
        let linked = "{ until: { agents: { fra: linked } }, within: 60s }";
        let offline = "{ until: { agents: { fra: offline } }, within: 60s }";
        let set = |link: &str| format!("{{ set: {{ vantages: {{ fra: {{ link: {link} }} }} }} }}");
        let (silent, open, refused) = (set("silent"), set("open"), set("refused"));
        let steps = format!(
            "{{ serve: start, every: 50ms, disk: 8 }}, {{ agent: fra, do: start }}, {linked},
             {silent}, {offline}, {open}, {linked}, {refused}, {offline}, {open}, {linked},
             {{ agent: fra, do: freeze }}, {offline}, {{ agent: [fra], do: thaw }}, {linked},
             {{ agent: fra, do: freeze_workers }}, {offline}, {{ agent: fra, do: thaw }}, {linked},
             {{ agent: fra, do: freeze_worker }}, {linked},
             {{ agent: fra, do: kill }}, {offline}, {{ agent: fra, do: start }}, {linked},
             {{ ping: nightly }}, {{ ping: nightly, how: 7 }},
             {{ until: {{ metrics: {{ pings_total: 2 }} }}, within: 60s }},
             {{ set: {{ disk: full }} }}, {{ set: {{ disk: free }} }},
             {{ look: end }}, {{ agent: fra, do: stop }}, {{ serve: stop }}"
        );
        let report = rehearse_in(WORLD, &steps, "end: { agents: { fra: linked } }").await;
        let told = report.steps.iter();
        let told: Vec<_> = told
            .map(|s| (s.name.as_str(), s.missed.join(" / ")))
            .collect();
        assert_eq!(told, [("end", String::new())]);
    });
}

#[test]
fn agents_that_fall_are_told_of() {
    let name = "drill::standin::elsewhere::agents_that_fall_are_told_of";
    in_a_namespace(name, async {
        let other = WORLD.replace("192.0.2.10", "192.0.2.11");
        let steps = "{ serve: start, every: 50ms }, { agent: fra, do: start },
            { until: { agents: { fra: offline } }, within: 60s },
            { until: { agents: { fra: linked } }, within: 100ms }, { ping: daily }, { serve: stop }";
        let report = rehearse_in(&other, steps, "").await;
        let told = report.steps.iter();
        let told: Vec<_> = told
            .map(|s| (s.name.as_str(), s.missed.join(" / ")))
            .collect();
        let [until, ping, end] = &told[..] else {
            panic!("{told:?}");
        };
        assert!(
            until.0 == "until" && until.1.contains("expected linked, got offline"),
            "{until:?}"
        );
        assert!(
            ping.0 == "ping: daily" && ping.1.contains("no heartbeat `daily`"),
            "{ping:?}"
        );
        assert!(
            end.0 == "end" && end.1.contains("agent fra: it ended"),
            "{end:?}"
        );
    });
}
