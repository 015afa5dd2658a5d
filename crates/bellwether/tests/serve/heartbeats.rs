//! M16: jobs report to a running `serve`, and one that stops doing so is an incident.

use std::fs;

use serde_json::Value;

use crate::running::{Serve, Start, bellwether, exchange};

const CONFIG: &str = "
services: []
heartbeats:
  - { name: nightly backup, cron: '0 3 * * *', time_zone: Europe/Berlin, grace: 20m }
  - { name: quick, every: 2s, grace: 1s, token: aB3dE6gH9jK2mN5p }
";

/// A path is called as a job does it, without any token of ours.
fn call(serve: &Serve, path: &str, body: &str) -> (u16, String) {
    let method = if body.is_empty() { "GET" } else { "POST" };
    exchange(serve.at, method, path, None, body).unwrap()
}

/// What the command says, with the token of the first start.
fn told(serve: &Serve, token: &str, more: &[&str]) -> (i32, String) {
    let place = format!("http://{}", serve.at);
    let file = serve.dir.path().join("token");
    fs::write(&file, token).unwrap();
    let mut words = vec!["heartbeats", "--hub", &place];
    words.extend(["--token-file", file.to_str().unwrap()]);
    words.extend(more);
    let (code, out, err) = bellwether(&words);
    assert_eq!(err, "");
    (code, out)
}

fn rows(serve: &Serve, token: &str) -> Vec<Value> {
    let (_, out) = told(serve, token, &["--format", "json"]);
    let all: Value = serde_json::from_str(&out).unwrap();
    all["heartbeats"].as_array().unwrap().clone()
}

/// The incidents of a job.
fn incidents(serve: &Serve, name: &str) -> Vec<Value> {
    let is_of = |incident: &Value| {
        let incident = serve.incident(incident["id"].as_u64().unwrap());
        incident["checks"][0]["check"] == format!("@heartbeat/{name}")
    };
    serve.incidents().into_iter().filter(is_of).collect()
}

#[test]
fn m16_a_job_that_stops_reporting_is_one_incident_until_it_reports_again() {
    let serve = Serve::start(CONFIG);
    let push = "/api/push/aB3dE6gH9jK2mN5p?status=up&msg=OK&ping=";
    assert_eq!(call(&serve, push, ""), (200, r#"{"ok":true}"#.to_owned()));
    serve.until("it is missed", |s| !incidents(s, "quick").is_empty());
    let place = format!("http://{}", serve.at);
    let (code, out, _) = bellwether(&["status", "--hub", &place]);
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("✗ quick") && out.contains("2 heartbeats: 1 broken"),
        "{out}"
    );
    let incident = &incidents(&serve, "quick")[0];
    assert_eq!(incident["cause"], "app.step_failed");
    let id = incident["id"].to_string();
    let (_, out, _) = bellwether(&["incidents", "show", &id, "--hub", &place]);
    assert!(
        out.contains("quick") && !out.contains("seen from"),
        "a job reports by itself: {out}"
    );
    let digest = serve.incident(incident["id"].as_u64().unwrap())["evidence"][0].clone();
    let report = serve.get(&format!("/api/v1/evidence/{}", digest.as_str().unwrap()));
    let fact = &report["findings"][0]["facts"][0];
    assert_eq!(fact["fact"], "heartbeat_missed", "{report:#}");
    serve.until("it reports again, and is well", |s| {
        assert_eq!(call(s, push, "").0, 200);
        incidents(s, "quick")[0]["state"] == "mitigated"
    });
    assert_eq!(incidents(&serve, "quick").len(), 1);
    assert!(incidents(&serve, "nightly backup").is_empty());
}

#[test]
fn heartbeats_that_were_answered_outlive_kill_9() {
    let mut serve = Serve::start(CONFIG);
    let token = serve.token.clone().unwrap();
    let to = |serve: &Serve| rows(serve, &token)[0]["report_to"].clone();
    let first = to(&serve);
    let ping = first["ping"].as_str().unwrap();
    for number in 0..25 {
        let path = format!("{ping}/start?rid={number}");
        assert_eq!(call(&serve, &path, ""), (200, "OK".to_owned()));
    }
    let (status, _) = call(
        &serve,
        &format!("{ping}/3"),
        "no space left on \u{1b}[31mdevice",
    );
    assert_eq!(status, 200);
    serve.kill();
    let serve = Start::again(&serve).go();
    assert_eq!(to(&serve), first, "URLs stay the same");
    let row = &rows(&serve, &token)[0];
    assert_eq!((&row["pings"], &row["last_exit"]), (&26.into(), &3.into()));
    let (code, out) = told(&serve, &token, &[]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("failed with exit status 3"), "{out}");
    assert!(out.contains(&format!("http://{}{ping}", serve.at)), "{out}");
    assert!(!out.contains('\u{1b}'), "{out}");
    let slug = first["slug"].as_str().unwrap();
    assert!(slug.ends_with("/nightly-backup"), "{slug}");
    serve.until("its failure is told", |s| {
        !incidents(s, "nightly backup").is_empty()
    });
    assert_eq!(call(&serve, slug, ""), (200, "OK".to_owned()));
    let stranger = "/ping/11111111-2222-4333-8444-555555555555";
    assert_eq!(call(&serve, stranger, ""), (404, "not found".to_owned()));
}
