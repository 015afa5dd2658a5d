//! Disks that are full, that fail, that turn read-only, that hold wrong bytes: telling goes on, and
//! nothing wrong is told.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::running::{Serve, Site, Start, bellwether, config, files, send};
use crate::{kinds, open};

/// A data directory on a file system of this size, in a mount namespace of the program's own.
fn on_small_disk(text: &str, size: &str) -> Start {
    let mut start = Start::new(text);
    let data = start.dir.path().join("data");
    fs::create_dir(&data).unwrap();
    let data = data.display();
    let script = format!("mount -t tmpfs -o size={size} tmpfs {data} && exec \"$@\"");
    start.before = ["unshare", "-rm", "sh", "-c", &script, "sh"]
        .map(str::to_owned)
        .to_vec();
    start
}

/// The data directory as the program sees it.
fn seen(serve: &Serve) -> PathBuf {
    let data = serve.data();
    let below = data.strip_prefix("/").unwrap();
    Path::new("/proc")
        .join(serve.pid().to_string())
        .join("root")
        .join(below)
}

fn waiting(serve: &Serve) -> f64 {
    serve.metric("bellwether_queue_depth{queue=\"runs\"}")
}

/// P16, S1: a full disk degrades, and never stops telling.
#[test]
fn p16_hostile_s1_a_full_disk_degrades() {
    let site = Site::start();
    let serve = on_small_disk(&config(&[("shop", &site.url())], ""), "100m").go();
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    let filler = seen(&serve).join("filler");
    let fill = || {
        let mut file = fs::File::options()
            .append(true)
            .create(true)
            .open(&filler)
            .unwrap();
        for block in [1 << 20, 4096, 1] {
            while file.write_all(&vec![0; block]).is_ok() {}
        }
    };
    // The reserve that is given up for what is told is not for runs: whoever fills, fills it too.
    serve.until("runs wait for space, and it is told", |s| {
        fill();
        waiting(s) >= 5.0 && s.metric("bellwether_store_in_trouble") > 0.0
    });
    assert!(serve.get_raw("/").1.contains("The store is in trouble"));
    assert_eq!(serve.get_raw("/readyz").0, 503);
    site.fail();
    serve.until("an incident is told", |s| !open(s).is_empty());
    serve.until("the shop is broken", |s| s.verdict("shop") == "broken");
    fs::remove_file(&filler).unwrap();
    serve.until("all that waited is kept", |s| {
        waiting(s) < 3.0 && s.get_raw("/readyz").0 == 200
    });
    assert!(serve.metric("bellwether_runs_lost_total") < 1.0);
    whole(&serve);
    let mut serve = serve;
    assert!(serve.stop());
}

/// Every run has left its row once: they are numbered without a gap.
fn whole(serve: &Serve) {
    let all = serve.get("/api/v1/checks/shop/main/observations?limit=1000");
    let rows = all["observations"].as_array().unwrap();
    let mut numbers: Vec<u64> = rows
        .iter()
        .map(|r| r["sequence"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    let wanted: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert_eq!(numbers, wanted);
    assert!(!numbers.is_empty());
}

/// Lets system calls of a program fail, for as long as it is held.
struct Failing(Child);

impl Failing {
    /// `how` is what strace takes: which calls, how they fail, and when in each thread.
    fn of(serve: &Serve, calls: &str, how: &str, log: &Path) -> Self {
        let child = Command::new("strace")
            .args(["-f", "-q", "-p", &serve.pid().to_string(), "-o"])
            .arg(log)
            .args(["-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:{how}")])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn end(mut self) {
        // It lets go of the program when it is asked to end.
        send(self.0.id(), "INT");
        self.0.wait().unwrap();
    }
}

/// P17, S3, S4: a sync that failed once is not taken for a success, and costs nothing that was
/// acknowledged.
#[test]
fn p17_hostile_s3_hostile_s4_a_failed_sync() {
    let site = Site::start();
    let mut serve = Serve::start(&config(&[("shop", &site.url())], ""));
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    let log = serve.dir.path().join("strace");
    let held = Failing::of(&serve, "fsync,fdatasync", "error=EIO:when=1", &log);
    serve.until("an append failed", |s| {
        s.metric("bellwether_append_errors_total") >= 1.0
    });
    held.end();
    let kept = |s: &Serve| s.metric("bellwether_runs_kept_total");
    let before = kept(&serve);
    serve.until("runs are kept again", |s| kept(s) >= before + 5.0);
    assert!(serve.metric("bellwether_runs_lost_total") < 1.0);
    serve.until("all is well", |s| s.get_raw("/readyz").0 == 200);
    let acknowledged = kept(&serve);
    serve.kill();
    assert!(fs::read_to_string(&log).unwrap().contains("(INJECTED)"));
    let data = serve.data();
    let (code, out, err) = bellwether(&["store", "check", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}{err}");
    let serve = Start::again(&serve).go();
    let all = serve.get("/api/v1/checks/shop/main/observations?limit=1000");
    let rows = all["observations"].as_array().unwrap().len();
    // Those of the second start come on top.
    assert!(rows as f64 >= acknowledged, "{rows} of {acknowledged}");
}

/// S5: where nothing can be written any more, what breaks is still told, from memory.
#[test]
fn hostile_s5_a_disk_turns_read_only() {
    let site = Site::start();
    let serve = Serve::start(&config(&[("shop", &site.url())], ""));
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    let calls = "pwrite64,ftruncate,fallocate,unlink,rename";
    let held = Failing::of(&serve, calls, "error=EROFS", Path::new("/dev/null"));
    serve.until("runs wait, and it is told", |s| {
        waiting(s) >= 3.0 && s.metric("bellwether_store_in_trouble") > 0.0
    });
    site.fail();
    serve.until("an incident is told", |s| !open(s).is_empty());
    serve.until("the shop is broken", |s| s.verdict("shop") == "broken");
    let id = open(&serve)[0]["id"].as_u64().unwrap();
    assert!(kinds(&serve.incident(id)).contains(&"alarm".to_owned()));
    let (_, page) = serve.get_raw("/");
    assert!(
        page.contains("503") && page.contains("The store is in trouble"),
        "{page}"
    );
    let place = format!("http://{}", serve.at);
    let (_, out, _) = bellwether(&["incidents", "--hub", &place]);
    assert!(out.contains("http."), "{out}");
    assert!(serve.metric("bellwether_incidents_unresolved{severity=\"critical\"}") >= 1.0);
    // What people do is not acknowledged before it is kept.
    let (status, said) = serve.post(
        "/api/v1/incidents/1/notes",
        &serde_json::json!({"text": "x"}),
    );
    assert_eq!(status, 503, "{said}");
    held.end();
    serve.until("all that waited is kept", |s| {
        waiting(s) < 3.0 && s.get_raw("/readyz").0 == 200
    });
    assert!(serve.metric("bellwether_runs_lost_total") < 1.0);
    whole(&serve);
    let mut serve = serve;
    let before = serve.incidents();
    assert!(serve.stop());
    let serve = Start::again(&serve).go();
    assert_eq!(
        serve.incidents()[0]["opened"],
        before[0]["opened"],
        "it was kept"
    );
}

/// What a running program tells of the past: its runs and incidents.
fn told(serve: &Serve, until: &str) -> Option<(Vec<Value>, Vec<Value>)> {
    let path = format!("/api/v1/checks/shop/main/observations?limit=1000&to={until}");
    let (status, body) = serve.get_raw(&path);
    let all: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
    // A part that does not hold is left out, and said to be.
    let has_gap = all["gaps"].as_array().is_some_and(|m| !m.is_empty());
    let (status, body) = serve.get_raw("/api/v1/incidents/1");
    let incident: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
    let first = incident["timeline"].as_array()?.first().cloned();
    (!has_gap).then(|| {
        (
            all["observations"].as_array().unwrap().clone(),
            first.into_iter().collect(),
        )
    })
}

/// P18, S7: a flipped bit is harmless or found, at the start, by `store check`, or by a gap that is
/// told. (The store's own tests flip every 64th byte.)
#[test]
fn p18_hostile_s7_a_flipped_bit_is_harmless_or_found() {
    let site = Site::start();
    let mut serve = Serve::start(&config(&[("shop", &site.url())], ""));
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    site.fail();
    serve.until("an incident is open, and some runs are kept", |s| {
        !open(s).is_empty() && s.metric("bellwether_runs_kept_total") > 8.0
    });
    assert!(serve.stop());
    let until = jiff::Timestamp::now().to_string();
    let mut serve = Start::again(&serve).go();
    let truth = told(&serve, &until).unwrap();
    assert!(truth.0.len() > 3);
    serve.kill();
    let data = serve.data();
    let databases: Vec<PathBuf> = files(&data)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "db"))
        .collect();
    assert!(databases.len() >= 2, "{databases:?}");
    let mut random = fastrand::Rng::with_seed(18);
    let mut found = 0;
    for turn in 0..flips() {
        let copied = tempfile::tempdir().unwrap();
        fs::copy(serve.config_file(), copied.path().join("bellwether.yaml")).unwrap();
        let to = copied.path().join("data");
        let copy = Command::new("cp")
            .arg("-r")
            .arg(&data)
            .arg(&to)
            .status()
            .unwrap();
        assert!(copy.success());
        let path = to.join(
            databases[turn % databases.len()]
                .strip_prefix(&data)
                .unwrap(),
        );
        let mut bytes = fs::read(&path).unwrap();
        let at = random.usize(..bytes.len());
        bytes[at] ^= 1 << random.u8(..8);
        fs::write(&path, bytes).unwrap();
        let context = format!("{} at {at}", path.display());
        let mut start = Start::again(&serve);
        start.dir = std::sync::Arc::new(copied);
        let Ok(again) = start.try_go() else {
            // It says so and ends.
            found += 1;
            continue;
        };
        match told(&again, &until) {
            Some(now) => assert_eq!(now, truth, "{context}"),
            None => found += 1,
        }
    }
    eprintln!("{found} of {} found", flips());
}

/// Flips of one test; `BELLWETHER_STORE_FLIPS` asks for more.
fn flips() -> usize {
    let asked = std::env::var("BELLWETHER_STORE_FLIPS").ok();
    asked.map_or(12, |flips| flips.parse().unwrap())
}

/// P1, C1: killed at any instant, what was acknowledged is there.
#[test]
fn p01_hostile_c1_what_was_acknowledged_survives_a_kill() {
    let site = Site::start();
    site.fail();
    let mut serve = Serve::start(&config(&[("shop", &site.url())], ""));
    serve.until("an incident is open", |s| !open(s).is_empty());
    let mut random = fastrand::Rng::with_seed(1);
    let mut acknowledged = Vec::new();
    let mut kept = 0.0;
    for turn in 0..kills() {
        for note in 0..random.u32(1..8) {
            let text = format!("note {turn}.{note}");
            let body = serde_json::json!({ "text": text });
            let (status, said) = serve.post("/api/v1/incidents/1/notes", &body);
            assert_eq!(status, 200, "{said}");
            acknowledged.push(text);
        }
        let now = serve.metric("bellwether_runs_kept_total");
        // Anywhere in what comes next.
        (0..random.u32(..2_000_000)).for_each(|n| {
            std::hint::black_box(n);
        });
        serve.kill();
        kept += now;
        let token = serve.token.clone();
        serve = Start::again(&serve).go();
        serve.token = token;
        let incident = serve.incident(1).to_string();
        for text in &acknowledged {
            let times = incident.matches(&format!(": {text}\"")).count();
            assert_eq!(times, 1, "turn {turn}: {text} in {incident}");
        }
        let all = serve.get("/api/v1/checks/shop/main/observations?limit=1000");
        let rows = all["observations"].as_array().unwrap().len();
        assert!(
            rows as f64 >= kept.min(1000.0),
            "turn {turn}: {rows} of {kept}"
        );
    }
    assert_eq!(serve.incidents().len(), 1);
}

/// Kills of one test; `BELLWETHER_SERVE_KILLS` asks for more.
fn kills() -> u32 {
    let asked = std::env::var("BELLWETHER_SERVE_KILLS").ok();
    asked.map_or(8, |kills| kills.parse().unwrap())
}
