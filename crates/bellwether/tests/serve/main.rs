//! Promises of a running `bellwether serve`, kept on loopback: each test is named after the promise
//! or the row of hostile inputs that it proves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod agents;
mod clock;
mod disk;
mod edges;
mod egress;
mod heartbeats;
mod hostile;
mod load;
mod requests;
mod running;
mod secrets;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use running::{Serve, Site, Start, bellwether, config, exchange, send};

/// The kinds of moments in an incident's timeline.
fn kinds(incident: &Value) -> Vec<String> {
    let timeline = incident["timeline"].as_array().unwrap();
    let kind = |m: &Value| m["kind"].as_str().unwrap().to_owned();
    timeline.iter().map(kind).collect()
}

/// Do the words stand in the text in this order, others between them?
fn in_order(said: &[String], wanted: &[&str]) -> bool {
    let mut said = said.iter();
    wanted.iter().all(|w| said.any(|s| s == w))
}

fn open(serve: &Serve) -> Vec<Value> {
    let of = serve.incidents().into_iter();
    of.filter(|i| i["state"] != "resolved").collect()
}

#[test]
fn three_lines_are_enough() {
    let site = Site::start();
    let lines = format!("services:\n  - name: shop\n    url: {}\n", site.url());
    let serve = Serve::start(&lines);
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    let services = serve.get("/api/v1/services");
    assert_eq!(services["services"][0]["name"], "shop");
    assert_eq!(services["services"][0]["stale"], false);
    assert_eq!(services["next"], Value::Null);
    let place = format!("http://{}", serve.at);
    let (code, out, _) = bellwether(&["status", "--hub", &place]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("✓ shop  healthy"), "{out}");
}

#[test]
fn a_mistyped_key_is_named() {
    let start = Start::new("services:\n  - name: shop\n    ulr: http://127.0.0.1/\n");
    let done = start.command().output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains(":3:5") && said.contains("`url`"), "{said}");
}

#[test]
fn an_outage_is_one_incident_with_its_times() {
    let (shop, other) = (Site::start(), Site::start());
    let serve = Serve::start(&config(
        &[("shop", &shop.url()), ("other", &other.url())],
        "",
    ));
    serve.until("both are healthy", |s| {
        s.verdict("shop") == "healthy" && s.verdict("other") == "healthy"
    });
    shop.fail();
    serve.until("an incident is open", |s| !open(s).is_empty());
    serve.until("the shop is not healthy", |s| s.verdict("shop") == "broken");
    shop.serve();
    serve.until("users are served again", |s| {
        s.incidents()[0]["mitigated"].is_string()
    });
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    let incidents = serve.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    let incident = &serve.incident(1);
    assert_eq!(incident["layer"], "http", "{incident:#}");
    assert_eq!(incident["checks"][0]["check"], "shop/main");
    assert!(
        in_order(&kinds(incident), &["first_failure", "alarm", "healing"]),
        "{incident:#}"
    );
    assert_eq!(serve.verdict("other"), "healthy");

    let place = format!("http://{}", serve.at);
    let (code, out, err) = bellwether(&["incidents", "show", "1", "--hub", &place]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("503"), "{out}");
    let is_pasted = |l: &&str| !l.contains("  See ") && !l.contains("  Evidence ");
    let wide = out
        .lines()
        .filter(is_pasted)
        .find(|l| l.chars().count() > 80);
    assert_eq!(wide, None, "{out}");
}

#[test]
fn people_act_on_incidents() {
    let site = Site::start();
    site.fail();
    let serve = Serve::start(&config(&[("shop", &site.url())], ""));
    serve.until("an incident is open", |s| !open(s).is_empty());
    let place = format!("http://{}", serve.at);
    let token = serve.dir.path().join("token");
    fs::write(&token, serve.token.as_deref().unwrap()).unwrap();
    let with = ["--hub", &place, "--token-file", token.to_str().unwrap()];
    let of = |words: &[&'static str]| {
        let words: Vec<&str> = words.iter().copied().chain(with).collect();
        bellwether(&words)
    };
    assert_eq!(of(&["incidents", "ack", "1"]).0, 0);
    assert_eq!(of(&["incidents", "note", "1", "ticket 4711"]).0, 0);
    let (_, out, _) = of(&["incidents", "show", "1"]);
    assert!(
        out.contains("ACKNOWLEDGED") && out.contains("ticket 4711"),
        "{out}"
    );
    let (code, _, err) = of(&["incidents", "ack", "77"]);
    assert!(code == 2 && err.contains("77"), "{err}");
    let (code, _, err) = bellwether(&["incidents", "ack", "1", "--hub", &place]);
    assert!(code == 2 && err.contains("token"), "{err}");
}

/// P5: silence is never green.
#[test]
fn p05_what_stands_still_is_not_green() {
    let site = Site::start();
    let serve = Serve::start(&config(&[("shop", &site.url())], ""));
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Faster than a new worker can have a run.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for pid in serve.workers() {
                    send(pid, "STOP");
                }
            }
        });
        let until = std::panic::AssertUnwindSafe(|| {
            serve.until("it is told as unknown, and an incident of ours", |s| {
                let service = s.service("shop");
                let of_ours = |i: &Value| {
                    i["cause"]
                        .as_str()
                        .is_some_and(|c| c.starts_with("monitor."))
                };
                service["stale"] == true
                    && service["verdict"] == "unknown"
                    && open(s).iter().any(of_ours)
            });
        });
        let came = std::panic::catch_unwind(until);
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = came {
            std::panic::resume_unwind(panic);
        }
    });
    let (_, page) = serve.get_raw("/");
    assert!(page.contains("unknown"), "{page}");
    assert!(
        !serve.incidents().iter().any(|i| i["layer"] != "monitor"),
        "{:#?}",
        serve.incidents()
    );
    for pid in serve.workers() {
        send(pid, "CONT");
    }
    serve.until("it is healthy again", |s| s.verdict("shop") == "healthy");
}

/// P8, C4: a worker that hangs, is killed or stopped costs nobody else anything that lasts.
#[test]
fn p08_hostile_c4_a_worker_that_dies_is_replaced() {
    let site = Site::start();
    let serve = Serve::start(&config(&[("shop", &site.url())], ""));
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    for signal in ["KILL", "STOP"] {
        let workers = serve.workers();
        assert!(!workers.is_empty());
        for pid in &workers {
            send(*pid, signal);
        }
        serve.until("all are replaced", |s| {
            let now = s.workers();
            !now.is_empty() && now.iter().all(|pid| !workers.contains(pid))
        });
        serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    }
    assert!(serve.metric("bellwether_workers_replaced_total") >= 2.0);
    let of_targets = serve.incidents().into_iter();
    let of_targets: Vec<Value> = of_targets.filter(|i| i["layer"] != "monitor").collect();
    assert!(of_targets.is_empty(), "{of_targets:#?}");
}

const SERVICES: usize = 12;

/// The poison item stands first, in the middle and last among others, with one worker and with four.
fn poison(place: usize, workers: usize) {
    let site = Site::start();
    let poison = "http://localhost:1/";
    let names: Vec<String> = (0..SERVICES).map(|n| format!("s{n:02}")).collect();
    let url = site.url();
    let sites: Vec<(&str, &str)> = names
        .iter()
        .enumerate()
        .map(|(n, name)| {
            (
                name.as_str(),
                if n == place { poison } else { url.as_str() },
            )
        })
        .collect();
    let mut start =
        Start::new(&config(&sites, "")).env("BELLWETHER_WORKER_FAULT", "abort:host localhost");
    start.more = vec!["--workers".to_owned(), workers.to_string()];
    let serve = start.go();
    serve.until("all others are healthy", |s| {
        let others = names.iter().enumerate().filter(|(n, _)| *n != place);
        others
            .into_iter()
            .all(|(_, name)| s.verdict(name) == "healthy")
    });
    let culprit = format!("s{place:02}/main");
    serve.until("the poison is named", |s| {
        open(s).iter().any(|i| {
            i["cause"] == "monitor.check_poisoned" && i["checks"][0]["check"] == culprit.as_str()
        })
    });
    let incidents = serve.incidents();
    let is_of_culprit = |i: &Value| i["checks"][0]["check"] == culprit.as_str();
    assert!(incidents.iter().all(is_of_culprit), "{incidents:#?}");
}

#[test]
fn p08_poison_first_one_worker() {
    poison(0, 1);
}

#[test]
fn p08_poison_in_the_middle_one_worker() {
    poison(SERVICES / 2, 1);
}

#[test]
fn p08_poison_last_one_worker() {
    poison(SERVICES - 1, 1);
}

#[test]
fn p08_poison_first_four_workers() {
    poison(0, 4);
}

#[test]
fn p08_poison_in_the_middle_four_workers() {
    poison(SERVICES / 2, 4);
}

#[test]
fn p08_poison_last_four_workers() {
    poison(SERVICES - 1, 4);
}

/// P10: a restart in any phase of an incident is invisible.
#[test]
fn p10_a_restart_is_invisible() {
    let site = Site::start();
    let mut serve = Serve::start(&config(&[("shop", &site.url())], ""));
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    site.fail();
    serve.until("an incident is open", |s| !open(s).is_empty());
    let before = serve.incidents();
    let token = serve.token.clone();
    serve.kill();
    let mut serve = Start::again(&serve).go();
    // It is still the same one, from the first answer on.
    assert_eq!(open(&serve).len(), 1);
    serve.until("it was judged again", |s| {
        s.service("shop")["judged_at"].as_str() > before[0]["updated"].as_str()
    });
    let after = serve.incidents();
    assert_eq!(after.len(), 1, "{after:#?}");
    for same in ["id", "began", "opened", "cause"] {
        assert_eq!(after[0][same], before[0][same], "{after:#?}");
    }
    assert!(after[0]["mitigated"].is_null(), "{after:#?}");
    let alarms = kinds(&serve.incident(1))
        .iter()
        .filter(|k| *k == "alarm")
        .count();
    assert_eq!(alarms, 1, "{after:#?}");
    // Acknowledged.
    serve.token.clone_from(&token);
    let (status, said) = serve.post("/api/v1/incidents/1/acknowledge", &json!({}));
    assert_eq!(status, 200, "{said}");
    serve.kill();
    let serve = Start::again(&serve).go();
    assert_eq!(serve.incidents()[0]["state"], "acknowledged");
    site.serve();
    serve.until("users are served again", |s| {
        s.incidents()[0]["mitigated"].is_string()
    });
    // Mitigated.
    let mut serve = serve;
    assert!(serve.stop(), "{}", serve.said());
    let serve = Start::again(&serve).go();
    assert!(serve.incidents()[0]["mitigated"].is_string());
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    // What was told in all these phases was told once.
    let incidents = serve.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    let told = kinds(&serve.incident(1));
    for once in ["first_failure", "alarm", "acknowledged"] {
        assert_eq!(told.iter().filter(|k| *k == once).count(), 1, "{told:?}");
    }
}

/// P11: what a verdict rests on can be had, and gives the same verdict again.
#[test]
fn p11_evidence_replays() {
    let site = Site::start();
    let serve = Serve::start(&config(&[("shop", &site.url())], ""));
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    site.fail();
    serve.until("an incident is open", |s| !open(s).is_empty());
    let incident = &serve.incidents()[0];
    let mut pieces = incident["evidence"].as_array().unwrap().clone();
    assert!(!pieces.is_empty(), "{incident:#}");
    // The first run that failed has its own.
    let of_a_run = |s: &Serve| {
        let runs = s.get("/api/v1/checks/shop/main/observations");
        let runs = runs["observations"].as_array().unwrap().clone();
        let mut failed = runs
            .into_iter()
            .rev()
            .filter(|run| run["outcome"] == "failed");
        let digest = failed.next()?["evidence"].clone();
        let place = format!("/api/v1/evidence/{}", digest.as_str()?);
        (s.get_raw(&place).0 == 200).then_some(digest)
    };
    serve.until("a run has evidence", |s| of_a_run(s).is_some());
    pieces.extend(of_a_run(&serve));
    for digest in &pieces {
        let digest = digest.as_str().unwrap();
        let report = serve.get(&format!("/api/v1/evidence/{digest}"));
        let file = serve.dir.path().join("report.json");
        fs::write(&file, report.to_string()).unwrap();
        let (_, out, err) = bellwether(&["diagnose", file.to_str().unwrap(), "--format", "json"]);
        let again: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
        for same in ["verdict", "diagnosis", "findings"] {
            assert_eq!(again[same], report[same]);
        }
    }
}

/// P28: a bad configuration never takes down a good one.
#[test]
fn p28_a_bad_file_leaves_the_old_one_in_force() {
    let (shop, other) = (Site::start(), Site::start());
    let good = config(&[("shop", &shop.url())], "");
    let serve = Serve::start(&good);
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    fs::write(serve.config_file(), good.replace("url:", "ulr:")).unwrap();
    serve.until("it is refused", |s| {
        !s.get("/api/v1/configuration")["refused"].is_null()
    });
    let refused = serve.get("/api/v1/configuration")["refused"].to_string();
    assert!(
        refused.contains("ulr") && refused.contains("url"),
        "{refused}"
    );
    assert_eq!(serve.verdict("shop"), "healthy");
    assert!(serve.get_raw("/").1.contains("ulr"));
    let place = format!("http://{}", serve.at);
    let (_, out, _) = bellwether(&["status", "--hub", &place]);
    assert!(out.contains("REFUSED"), "{out}");
    let two = config(&[("shop", &shop.url()), ("other", &other.url())], "");
    fs::write(serve.config_file(), two).unwrap();
    serve.signal("HUP");
    serve.until("the new one is in force", |s| {
        s.get("/api/v1/services")["services"]
            .as_array()
            .unwrap()
            .len()
            == 2
    });
    serve.until("the new service is healthy", |s| {
        s.verdict("other") == "healthy"
    });
    assert!(serve.get("/api/v1/configuration")["refused"].is_null());
    // What is no longer configured is no longer told.
    fs::write(serve.config_file(), config(&[("other", &other.url())], "")).unwrap();
    serve.until("the old service is gone", |s| {
        s.get_raw("/api/v1/services/shop").0 == 404
    });
}

/// S12: two processes on one data directory.
#[test]
fn hostile_s12_a_second_process_is_refused() {
    let site = Site::start();
    let serve = Serve::start(&config(&[("shop", &site.url())], ""));
    let done = Start::again(&serve).command().output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains(&serve.pid().to_string()), "{said}");
}

/// C14: few file descriptors are waited for, and end nothing.
#[test]
fn hostile_c14_few_file_descriptors() {
    let site = Site::start();
    let mut start = Start::new(&config(&[("shop", &site.url())], ""));
    start.before = vec!["prlimit".to_owned(), "--nofile=64".to_owned()];
    let serve = start.go();
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    // More connections than descriptors, all of them silent.
    let held: Vec<_> = (0..100)
        .filter_map(|_| TcpStream::connect(serve.at).ok())
        .collect();
    assert!(held.len() > 50);
    drop(held);
    serve.until("it answers again", |s| s.get_raw("/healthz").0 == 200);
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
}

/// Telemetry cannot hurt what it watches.
#[test]
fn readers_that_hang_cost_nobody_anything() {
    let site = Site::start();
    let serve = Serve::start(&config(&[("shop", &site.url())], ""));
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    let mut held = Vec::new();
    for path in ["/metrics", "/api/v1/events", "/", "/api/v1/services"] {
        for _ in 0..4 {
            // Asked, and never read.
            let mut stream = TcpStream::connect(serve.at).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", serve.at).unwrap();
            held.push(stream);
            // Half a request.
            let mut stream = TcpStream::connect(serve.at).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHo").unwrap();
            held.push(stream);
            // Reset.
            let mut stream = TcpStream::connect(serve.at).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", serve.at).unwrap();
            let _ = stream.read(&mut [0; 1]);
        }
    }
    let runs = |s: &Serve| s.metric("bellwether_runs_kept_total");
    let before = runs(&serve);
    serve.until("ten more runs are kept", |s| runs(s) >= before + 10.0);
    let late = serve.get("/api/v1/checks/shop/main/observations");
    let late = late["observations"].as_array().unwrap().clone();
    let is_late = |o: &Value| o["late_ms"].as_f64().unwrap() > 1000.0;
    assert!(!late.iter().any(is_late), "{late:#?}");
    assert!(serve.metric("bellwether_runs_lost_total") < 1.0);
}

#[test]
fn counters_are_taken_and_replaced() {
    let site = Site::start();
    let serve = Serve::start(&config(&[("shop", &site.url())], ""));
    let body = |failed: u64| {
        json!({
            "schema": "bellwether.counters/1", "source": "lb", "service": "shop",
            "from": "2026-11-21T10:00:00Z", "to": "2026-11-21T10:01:00Z",
            "rows": [{ "attributes": { "address": "198.51.100.7" }, "total": 120_000, "failed": failed }]
        })
    };
    assert_eq!(serve.post("/api/v1/counters", &body(31)).0, 202);
    assert_eq!(serve.post("/api/v1/counters", &body(32)).0, 202);
    let (status, said) = serve.post("/api/v1/counters", &body(130_000));
    assert!((400..500).contains(&status), "{status} {said}");
    let without = exchange(
        serve.at,
        "POST",
        "/api/v1/counters",
        None,
        &body(1).to_string(),
    );
    assert_eq!(without.unwrap().0, 401);
}

#[test]
fn without_a_file_it_says_how_to_begin() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_bellwether"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path().join("data"))
        .current_dir(dir.path())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    let mut byte = [0; 1];
    while !said.contains("url: https") && stderr.read(&mut byte).unwrap() == 1 {
        said.push(char::from(byte[0]));
    }
    send(child.id(), "TERM");
    assert!(child.wait().unwrap().success());
    assert!(said.contains("services:"), "{said}");
}

/// What happens comes by the event stream, to whoever reads it.
#[test]
fn events_come_as_they_happen() {
    let site = Site::start();
    let serve = Serve::start(&config(&[("shop", &site.url())], ""));
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    let mut stream = TcpStream::connect(serve.at).unwrap();
    stream.set_read_timeout(Some(running::FAR)).unwrap();
    write!(
        stream,
        "GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n",
        serve.at
    )
    .unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut comes = |event: &str, with: &str| {
        let name = format!("event: {event}");
        while lines.next().unwrap() != name {}
        let data = lines.next().unwrap();
        assert!(data.starts_with("data: "), "{data}");
        data.contains(with)
    };
    assert!(comes("snapshot", r#""name":"shop","verdict":"healthy""#));
    site.fail();
    assert!(comes("incident", r#""cause":"http."#));
    while !comes("service", r#""verdict":"broken""#) {}
    site.serve();
    while !comes("service", r#""verdict":"healthy""#) {}
    fs::write(serve.config_file(), "services: 7\n").unwrap();
    serve.signal("HUP");
    assert!(comes("configuration", r#""refused":true"#));
}

/// Every service is listed, also where the API gives them in pages.
#[test]
fn many_services_are_listed_whole() {
    let site = Site::start();
    let url = site.url();
    let names: Vec<String> = (0..1_050).map(|n| format!("s{n:04}")).collect();
    let sites: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), url.as_str())).collect();
    let serve = Serve::start(&config(&sites, "").replace("every: 1s", "every: 1h"));
    let place = format!("http://{}", serve.at);
    let (_, out, err) = bellwether(&["status", "--hub", &place]);
    assert!(err.is_empty(), "{err}");
    assert!(out.contains(" s0000 ") && out.contains(" s1049 "), "{out}");
    assert!(out.contains("1050 services"), "{out}");
    assert!(out.contains("nobody is told"), "{out}");
}

/// The system's service manager is told when it is ready, reads its configuration, lives, and ends.
#[test]
fn the_service_manager_is_told() {
    let site = Site::start();
    let text = config(&[("shop", &site.url())], "");
    let start = Start::new(&text);
    let place = start.dir.path().join("notify");
    let socket = UnixDatagram::bind(&place).unwrap();
    socket.set_read_timeout(Some(running::FAR)).unwrap();
    let comes = |word: &str| {
        let mut bytes = [0; 4_096];
        loop {
            let len = socket
                .recv(&mut bytes)
                .unwrap_or_else(|e| panic!("{word}: {e}"));
            let said = String::from_utf8_lossy(&bytes[..len]).into_owned();
            if said.lines().any(|line| line == word) {
                return said;
            }
        }
    };
    let mut serve = start
        .env("NOTIFY_SOCKET", place.to_str().unwrap())
        .env("WATCHDOG_USEC", "400000")
        .go();
    comes("READY=1");
    comes("WATCHDOG=1");
    serve.signal("HUP");
    let said = comes("RELOADING=1");
    assert!(said.contains("MONOTONIC_USEC="), "{said}");
    let said = comes("READY=1");
    assert!(said.contains("is in force"), "{said}");
    fs::write(serve.config_file(), text.replace("url:", "ulr:")).unwrap();
    serve.signal("HUP");
    comes("RELOADING=1");
    let said = comes("READY=1");
    assert!(said.contains("refused"), "{said}");
    assert!(serve.stop());
    comes("STOPPING=1");
}
