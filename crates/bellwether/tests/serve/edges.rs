//! Where `serve` meets what is around it: files, the system's service manager, other programs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::running::{Serve, Site, Start, bellwether, config};

/// Longest wait for a datagram that must come.
const FAR: Duration = Duration::from_secs(90);

/// Runs the program somewhere, with nothing of its own at home.
fn at(dir: &Path, args: &[&str]) -> (i32, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_bellwether"))
        .args(args)
        .current_dir(dir)
        .env("HOME", dir.join("home"))
        .env("XDG_STATE_HOME", dir.join("state"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    (done.status.code().unwrap_or(-1), said.into_owned())
}

/// A file that never ends is refused in words, and what comes after it is read.
#[test]
fn a_configuration_that_never_ends_is_refused() {
    let site = Site::start();
    let text = config(&[("shop", &site.url())], "");
    let serve = Serve::start(&text);
    let put = |made: &Path| fs::rename(made, serve.config_file()).unwrap();
    let refused = |s: &Serve| s.get("/api/v1/configuration")["refused"].clone();
    let new = serve.dir.path().join("new");
    symlink("/dev/null", &new).unwrap();
    put(&new);
    serve.until("a device is refused", |s| {
        refused(s).to_string().contains("no regular file")
    });
    fs::write(&new, &text).unwrap();
    put(&new);
    serve.until("the file is taken", |s| refused(s).is_null());
    assert!(Command::new("mkfifo").arg(&new).status().unwrap().success());
    put(&new);
    serve.until("a pipe is refused", |s| {
        refused(s).to_string().contains("no regular file")
    });
    assert_eq!(serve.metric("bellwether_configuration_refused"), 1.0);
    let (_, out, _) = bellwether(&["status", "--hub", &format!("http://{}", serve.at)]);
    assert!(out.contains("REFUSED"), "{out}");
    fs::write(&new, config(&[("other", &site.url())], "")).unwrap();
    put(&new);
    serve.until("what comes next is in force", |s| {
        s.get_raw("/api/v1/services/other").0 == 200
    });
}

/// What a service manager is told, from its start through a reload that waits for the reading.
#[test]
fn the_service_manager_is_told() {
    let site = Site::start();
    let start = Start::new(&config(&[("shop", &site.url())], ""));
    let socket = start.dir.path().join("notify");
    let hears = UnixDatagram::bind(&socket).unwrap();
    hears.set_read_timeout(Some(FAR)).unwrap();
    let hear = || {
        let mut bytes = [0; 4_096];
        let len = hears.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    };
    let serve = start.env("NOTIFY_SOCKET", socket.to_str().unwrap()).go();
    assert!(hear().contains("READY=1"));
    for (text, words) in [
        ("services: [", "refused"),
        (&config(&[("other", &site.url())], ""), "is in force"),
    ] {
        fs::write(serve.config_file(), text).unwrap();
        serve.signal("HUP");
        let begun = hear();
        assert!(begun.contains("RELOADING=1"), "{begun}");
        assert!(begun.contains("MONOTONIC_USEC="), "{begun}");
        let done = hear();
        assert!(done.contains("READY=1") && done.contains(words), "{done}");
    }
    // By then it is so.
    assert_eq!(serve.get_raw("/api/v1/services/other").0, 200);
}

/// The token of a start that failed is not lost: there is none yet.
#[test]
fn the_first_token_is_shown() {
    let site = Site::start();
    let text = config(&[("shop", &site.url())], "trust: { root_hints: HINTS }\n");
    let start = Start::new(&text);
    let hints = start.dir.path().join("hints");
    let file = start.dir.path().join("bellwether.yaml");
    fs::write(&file, text.replace("HINTS", hints.to_str().unwrap())).unwrap();
    let done = start.command().output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains("hints"), "{said}");
    fs::write(&hints, ".  1 IN NS a.test.\na.test. 1 IN A 127.0.0.1\n").unwrap();
    let serve = start.go();
    assert!(serve.token.is_some(), "{}", serve.said());
}

#[test]
fn a_start_that_fails_by_the_machine_is_told_apart() {
    let start = Start::new(&config(&[("shop", "http://127.0.0.1:1/")], ""));
    // Not what a data directory is.
    fs::write(start.dir.path().join("data"), "").unwrap();
    let done = start.command().output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("data"), "{said}");
}

#[test]
fn the_store_is_found_where_the_configuration_says() {
    let site = Site::start();
    let mut serve = Serve::start(&config(&[("shop", &site.url())], ""));
    let elsewhere = tempfile::tempdir().unwrap();
    let elsewhere = elsewhere.path();
    let (code, said) = at(elsewhere, &["store", "check"]);
    let shared = Path::new("/var/lib/bellwether");
    if !shared.exists() {
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("--data-dir"), "{said}");
    }
    assert_eq!(
        fs::read_dir(elsewhere).unwrap().count(),
        0,
        "nothing is made"
    );
    let data = serve.data();
    let text = config(&[("shop", &site.url())], "").replace(
        "services:",
        &format!("hub: {{ data_dir: \"{}\" }}\nservices:", data.display()),
    );
    fs::write(elsewhere.join("bellwether.yaml"), text).unwrap();
    serve.until("a run is kept", |s| {
        s.metric("bellwether_runs_kept_total") > 0.0
    });
    assert!(serve.stop());
    let (code, said) = at(elsewhere, &["store", "check"]);
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains(" 0 runs"), "{said}");

    // A copy that failed stands in nobody's way.
    let copy = elsewhere.join("copy");
    let copy = copy.to_str().unwrap();
    let missing = elsewhere.join("missing");
    let missing = missing.to_str().unwrap();
    let (code, said) = at(elsewhere, &["store", "backup", copy, "--data-dir", missing]);
    assert_eq!(code, 2, "{said}");
    let (code, said) = at(elsewhere, &["store", "backup", copy]);
    assert_eq!(code, 0, "{said}");
    // And one that is there is left alone.
    let (code, said) = at(elsewhere, &["store", "backup", copy]);
    assert_eq!(code, 2, "{said}");
    let (code, said) = at(elsewhere, &["store", "check", "--data-dir", copy]);
    assert_eq!(code, 0, "{said}");
}

/// A hub of so many services and incidents, by the API's own rules, that closes each connection
/// with its last byte.
fn large(services: u64, incidents: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            let mut head = Vec::new();
            let mut some = [0; 1_024];
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read(&mut some) {
                    Ok(len @ 1..) => head.extend_from_slice(&some[..len]),
                    _ => break,
                }
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let (status, body) = match answer(&target, services, incidents) {
                Some(body) => ("200 OK", body),
                None => ("422 Unprocessable Content", json!({ "title": target })),
            };
            let body = body.to_string();
            let whole = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(whole.as_bytes());
        }
    });
    place
}

/// Strict as the API: `None` for what it refuses.
fn answer(target: &str, services: u64, incidents: u64) -> Option<Value> {
    const LIMIT: u64 = 1_000;
    let url = url::Url::parse("http://hub").unwrap().join(target).ok()?;
    let (mut limit, mut page, mut state) = (100, 0, None);
    for (name, value) in url.query_pairs() {
        match name.as_ref() {
            "limit" => limit = value.parse().ok().filter(|n| (1..=LIMIT).contains(n))?,
            // With what a query takes for its own.
            "page" => page = value.strip_prefix("+&=%")?.parse().ok()?,
            "state" => state = Some(value.into_owned()),
            "brief" if url.path() == "/api/v1/configuration" => {
                value.parse::<bool>().ok()?;
            }
            _ => return None,
        }
    }
    let of = |all: u64| {
        let to = all.min(page + limit);
        (page..to, (to < all).then(|| format!("+&=%{to}")))
    };
    match url.path() {
        "/api/v1/services" => {
            let (some, next) = of(services);
            let one = |n: u64| {
                json!({ "name": format!("s{n}"), "verdict": "healthy", "cause": null,
                    "since": null, "judged_at": null, "stale": false })
            };
            let some: Vec<Value> = some.map(one).collect();
            Some(json!({ "services": some, "next": next }))
        }
        "/api/v1/incidents" => {
            if state.as_deref() != Some("unresolved") {
                return None;
            }
            let (some, next) = of(incidents);
            let at = "2026-11-21T10:00:00Z";
            let one = |n: u64| {
                let state = ["open", "acknowledged", "mitigated"][n as usize % 3];
                json!({ "id": n + 1, "state": state, "cause": "http.status_5xx", "layer": "http",
                    "severity": "critical", "verdict": "broken", "confidence": 0.9, "summary": "",
                    "remedy": "", "checks": [], "scope": {}, "began": at, "opened": at,
                    "updated": at })
            };
            let some: Vec<Value> = some.map(one).collect();
            Some(json!({ "incidents": some, "next": next }))
        }
        "/api/v1/configuration" => {
            Some(json!({ "generation": 1, "since": "2026-11-21T10:00:00Z" }))
        }
        "/api/v1/troubles" => Some(json!({ "troubles": [] })),
        "/api/v1/heartbeats" => Some(json!({ "heartbeats": [], "next": null })),
        _ => None,
    }
}

#[test]
fn status_of_a_large_hub_is_whole() {
    let place = large(2_345, 1_234);
    let (code, out, err) = bellwether(&["status", "--hub", &place]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("2345 services: 2345 healthy"), "{err}");
    let of = |state: &str| out.matches(&format!(", {state}: ")).count();
    assert_eq!(of("open") + of("acknowledged") + of("mitigated"), 1_234);
    assert!(of("acknowledged") > 400 && of("mitigated") > 400);
    let (code, out, err) = bellwether(&["incidents", "--format", "json", "--hub", &place]);
    assert_eq!(code, 0, "{err}");
    let listed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(listed["incidents"].as_array().unwrap().len(), 1_234);
}

/// The last byte of an answer and the end of the connection come together, over and over.
#[test]
fn an_answer_that_ends_its_connection_is_whole() {
    let place = large(1, 0);
    for _ in 0..50 {
        let (code, out, err) = bellwether(&["status", "--hub", &place]);
        assert_eq!(code, 0, "{out}{err}");
    }
}

/// A secret that is not there yet, as where it is mounted later than the configuration.
#[test]
fn a_secret_that_comes_later_is_taken_without_being_asked_to() {
    let site = Site::start();
    let serve = Serve::start(&config(&[("shop", &site.url())], ""));
    let secret = serve.dir.path().join("secret");
    let text = config(&[("shop", "${file:SECRET}")], "");
    let text = text.replace("SECRET", secret.to_str().unwrap());
    fs::write(serve.config_file(), &text).unwrap();
    let refused = |s: &Serve| s.get("/api/v1/configuration")["refused"].clone();
    serve.until("a missing secret is refused", |s| {
        refused(s).to_string().contains("failed to read")
    });
    fs::write(&secret, site.url()).unwrap();
    serve.until("the secret is taken", |s| refused(s).is_null());
    assert_eq!(serve.get("/api/v1/configuration")["generation"], 2);
}
