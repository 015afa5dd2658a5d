//! The wall clock jumps: nothing is missed, nothing is done twice, silence is still heard.

use std::fs;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use serde_json::Value;

use crate::open;
use crate::running::{Serve, Site, Start, config};

/// The wall clock of one program.
pub(crate) struct Clock {
    file: fs::File,
    library: String,
    path: String,
}

impl Clock {
    pub(crate) fn new(dir: &Path) -> Self {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/serve/clock.c");
        let library = dir.join("clock.so");
        let built = Command::new("cc")
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(source)
            .status()
            .unwrap();
        assert!(built.success());
        let path = dir.join("clock");
        let mut clock = Self {
            file: fs::File::create(&path).unwrap(),
            library: library.display().to_string(),
            path: path.display().to_string(),
        };
        clock.set(0);
        clock
    }

    /// What a program has to be started with to go by it.
    pub(crate) fn env(&self) -> [(&'static str, &str); 2] {
        [
            ("LD_PRELOAD", &self.library),
            ("BELLWETHER_TEST_CLOCK", &self.path),
        ]
    }

    /// Seconds ahead of the machine's.
    pub(crate) fn set(&mut self, ahead: i64) {
        self.file.rewind().unwrap();
        self.file.write_all(&ahead.to_ne_bytes()).unwrap();
    }
}

const DAY: i64 = 86_400;

fn kept(serve: &Serve) -> f64 {
    serve.metric("bellwether_runs_kept_total")
}

/// A `serve` that goes by this clock.
pub(crate) fn by(start: Start, clock: &Clock) -> Start {
    let [(preload, library), (which, path)] = clock.env();
    start.env(preload, library).env(which, path)
}

/// A healthy shop, watched by a `serve` whose wall clock can be set.
fn healthy() -> (Site, Clock, Serve) {
    let site = Site::start();
    let start = Start::new(&config(&[("shop", &site.url())], ""));
    let clock = Clock::new(start.dir.path());
    let serve = by(start, &clock).go();
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    (site, clock, serve)
}

/// P15, C5: a day forward and back, a leap second, 1970, 2038.
#[test]
fn p15_hostile_c5_the_wall_clock_jumps() {
    let (_site, mut clock, serve) = healthy();
    let now = Timestamp::now().as_second();
    let places = [
        ("a day ahead", DAY),
        ("as it was", 0),
        ("a day back", -DAY),
        ("a leap second", -DAY + 1),
        ("1970", 1_000 - now),
        ("2038", (1 << 31) + 100 - now),
        ("as it was again", 0),
    ];
    for (name, ahead) in places {
        clock.set(ahead);
        let before = kept(&serve);
        serve.until(&format!("five runs are kept: {name}"), |s| {
            kept(s) >= before + 5.0
        });
        serve.until(
            &format!("the shop is healthy, and judged now: {name}"),
            |s| {
                let service = s.service("shop");
                let judged: Option<Timestamp> =
                    service["judged_at"].as_str().and_then(|at| at.parse().ok());
                let shown = Timestamp::now().as_second() + ahead;
                let is_now = judged.is_some_and(|at| (at.as_second() - shown).abs() < 60);
                service["verdict"] == "healthy" && is_now
            },
        );
    }
    let incidents = serve.incidents();
    assert!(incidents.is_empty(), "{incidents:#?}");
    assert!(serve.metric("bellwether_runs_lost_total") < 1.0);
    // Each run is there once, whatever time it bears.
    let all = serve.get("/api/v1/checks/shop/main/observations?limit=1000&from=1970-01-01T00:00:00Z&to=2040-01-01T00:00:00Z");
    let mut numbers: Vec<u64> = all["observations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["sequence"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    let wanted: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert_eq!(numbers, wanted);
}

/// P15, P5: set back by a day, what fails is still an incident, and it ends.
#[test]
fn p15_a_clock_that_was_set_back_deafens_nobody() {
    let (site, mut clock, serve) = healthy();
    clock.set(-DAY);
    let before = kept(&serve);
    serve.until("runs go on", |s| kept(s) >= before + 3.0);
    site.fail();
    serve.until("an incident is open", |s| !open(s).is_empty());
    // And once more while it is open.
    clock.set(-2 * DAY);
    site.serve();
    serve.until("users are served again", |s| {
        s.incidents().iter().all(|i| !i["mitigated"].is_null())
    });
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    let of_targets = |i: &Value| i["layer"] != "monitor";
    assert_eq!(
        serve.incidents().iter().filter(|i| of_targets(i)).count(),
        1
    );
}
