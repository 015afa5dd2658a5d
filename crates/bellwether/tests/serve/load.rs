//! S15: much is kept already, the store keeps house, and something breaks in the midst of it.

use std::time::{Duration, Instant};

use bellwether_hub::testing::run;
use bellwether_model::run::RunOutcome;
use bellwether_model::{CheckId, Envelope};
use bellwether_store::ObservationStore as _;
use bellwether_store::embedded::{Embedded, Options};
use jiff::Timestamp;

use crate::open;
use crate::running::{Site, Start, config};

/// Rows that are there before; `BELLWETHER_ROWS` asks for more, and then for the promised figure too.
const ROWS: usize = 100_000;
/// Checks that they are of.
const CHECKS: usize = 500;
/// Rows of one append, as the hub makes them at most.
const AT_ONCE: usize = 2_000;
/// Longest write that ninety-nine of a hundred may take.
const WRITE_MAX: Duration = Duration::from_millis(50);

/// A day of runs of other checks, up to now.
fn fill(dir: &std::path::Path, rows: usize) {
    let now = Timestamp::now();
    let store = Embedded::open(dir, Options::new(now)).unwrap();
    let every = Duration::from_secs(3_600) / u32::try_from(rows.div_ceil(CHECKS)).unwrap().max(1);
    let checks: Vec<CheckId> = (0..CHECKS)
        .map(|n| CheckId::new("other", &format!("c{n}")))
        .collect();
    let all: Vec<usize> = (0..rows).collect();
    for (number, some) in all.chunks(AT_ONCE).enumerate() {
        let runs = some.iter().map(|row| {
            let turn = u32::try_from(row / CHECKS).unwrap();
            let due = now - Duration::from_secs(3_700) + every * turn;
            run(&checks[row % CHECKS], *row as u64 + 1, due, RunOutcome::Ok)
        });
        let envelope = Envelope {
            agent: "other".into(),
            boot: 1,
            number: number as u64 + 1,
            runs: runs.collect(),
        };
        store.append(&[envelope]).unwrap();
    }
}

#[test]
fn hostile_s15_what_breaks_while_the_store_keeps_house_is_told() {
    let asked = std::env::var("BELLWETHER_ROWS").ok();
    let rows = asked.as_ref().map_or(ROWS, |rows| rows.parse().unwrap());
    let site = Site::start();
    let start = Start::new(&config(&[("shop", &site.url())], ""));
    fill(&start.dir.path().join("data"), rows);
    let serve = start.go();
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    site.fail();
    serve.until("an incident is open", |s| !open(s).is_empty());
    // Until the store has sealed and folded what was there: a minute by its own cadence of twenty
    // seconds, with writes all the time.
    let mut took = Vec::new();
    let kept = |s: &crate::running::Serve| s.metric("bellwether_runs_kept_total");
    let before = kept(&serve);
    while kept(&serve) < before + 45.0 {
        let began = Instant::now();
        let body = serde_json::json!({ "text": "still looking" });
        let (status, said) = serve.post("/api/v1/incidents/1/notes", &body);
        assert_eq!(status, 200, "{said}");
        took.push(began.elapsed());
        // One a run: an incident's timeline is bounded, and people write no faster.
        let now = kept(&serve);
        serve.until("the next run is kept", |s| kept(s) > now);
    }
    took.sort();
    let p99 = took[(took.len() * 99).div_ceil(100) - 1];
    eprintln!(
        "{rows} rows; {} writes, p50 {:?}, p99 {p99:?}",
        took.len(),
        took[took.len() / 2]
    );
    if asked.is_some() {
        assert!(p99 <= WRITE_MAX, "{took:?}");
    }
    assert!(serve.metric("bellwether_runs_lost_total") < 1.0);
    assert!(serve.metric("bellwether_append_errors_total") < 1.0);
    let held = serve.get("/api/v1/checks/other/c0/observations?limit=1000");
    assert!(!held["observations"].as_array().unwrap().is_empty());
    assert_eq!(held["gaps"].as_array().unwrap().len(), 0);
}
