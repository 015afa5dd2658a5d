//! `heartbeats`: who must report, how each stands, and where it reports, from a running hub.

use std::fmt::Write as _;

use anyhow::Result;
use bellwether_diagnose::words::count;
use bellwether_model::Verdict;
use bellwether_model::text::inert;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::client::{Client, Page};
use super::when::{clock, span};
use crate::cli::{HeartbeatsArgs, RemoteFormat};
use crate::exit::Exit;
use crate::output;

/// Longest name that is shown whole.
const NAME_SHOWN_MAX: usize = 60;
/// Longest text of a job that is shown.
const LOG_SHOWN_MAX: usize = 200;
/// Longest path that is shown: the hub's have 110 characters at most.
const PATH_SHOWN_MAX: usize = 200;

/// A page of heartbeats.
#[derive(Deserialize)]
pub(super) struct Heartbeats {
    heartbeats: Vec<Heartbeat>,
    next: Option<String>,
}

/// A heartbeat, as the API tells it.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Heartbeat {
    pub(super) name: String,
    pub(super) verdict: Verdict,
    since: Option<Timestamp>,
    trouble: Option<String>,
    last_ping: Option<Timestamp>,
    last_success: Option<Timestamp>,
    next_due: Option<Timestamp>,
    late_ms: Option<u64>,
    last_ok: Option<bool>,
    last_exit: Option<u8>,
    last_took_ms: Option<u64>,
    last_log: Option<String>,
    running_since: Option<Timestamp>,
    pings: u64,
    every_ms: Option<u64>,
    cron: Option<String>,
    time_zone: Option<String>,
    grace_ms: u64,
    max_run_ms: Option<u64>,
    report_to: Option<ReportTo>,
}

/// Where it reports.
#[derive(Debug, Deserialize, Serialize)]
struct ReportTo {
    ping: String,
    slug: Option<String>,
    push: String,
}

impl Page for Heartbeats {
    type Row = Heartbeat;

    fn into_rows(self) -> (Vec<Heartbeat>, Option<String>) {
        (self.heartbeats, self.next)
    }
}

/// All of a hub.
pub(super) fn ask(client: &Client) -> Result<Vec<Heartbeat>> {
    client.all::<Heartbeats>("/api/v1/heartbeats?limit=1000")
}

/// Runs the command.
pub(crate) fn run(args: &HeartbeatsArgs) -> Result<Exit> {
    let client = Client::new(&args.hub)?;
    let heartbeats = ask(&client)?;
    match args.format {
        RemoteFormat::Text => {
            output::print(&text(client.place(), &heartbeats, Timestamp::now()))?;
        }
        // As the API has it, the last page of it.
        RemoteFormat::Json => output::json(&serde_json::json!({
            "heartbeats": heartbeats,
            "next": null,
        }))?,
    }
    Ok(exit(&heartbeats))
}

/// 1 where one is broken, 3 where nothing is known of one, 0 where all are well.
fn exit(heartbeats: &[Heartbeat]) -> Exit {
    let any = |wanted: &[Verdict]| heartbeats.iter().any(|one| wanted.contains(&one.verdict));
    if any(&[Verdict::Broken, Verdict::Degraded]) {
        Exit::Broken
    } else if any(&[Verdict::Unknown]) {
        Exit::Ourselves
    } else {
        Exit::Fine
    }
}

/// The column that names need.
fn width(heartbeats: &[Heartbeat]) -> usize {
    let names = heartbeats
        .iter()
        .map(|one| shown(&one.name).chars().count());
    names.max().unwrap_or(0)
}

fn shown(name: &str) -> String {
    inert(name, NAME_SHOWN_MAX)
}

fn text(place: &str, heartbeats: &[Heartbeat], now: Timestamp) -> String {
    if heartbeats.is_empty() {
        return "no heartbeat is configured: see `heartbeats:` in docs/heartbeats.md\n".to_owned();
    }
    let mut text = String::new();
    let width = width(heartbeats);
    for one in heartbeats {
        let _ = writeln!(text, "{}", line(one, width, now));
        if let Some(log) = one.last_log.as_ref().filter(|_| one.last_ok == Some(false)) {
            let _ = writeln!(text, "      it said: {}", inert(log, LOG_SHOWN_MAX));
        }
        if let Some(ReportTo { ping, slug, push }) = &one.report_to {
            for path in [Some(ping), slug.as_ref(), Some(push)]
                .into_iter()
                .flatten()
            {
                let path = inert(path, PATH_SHOWN_MAX);
                let _ = writeln!(text, "      http://{place}{path}");
            }
        }
    }
    let of = |verdict| {
        heartbeats
            .iter()
            .filter(|one| one.verdict == verdict)
            .count()
    };
    let counts: Vec<String> = [Verdict::Healthy, Verdict::Broken, Verdict::Unknown]
        .into_iter()
        .filter(|verdict| of(*verdict) > 0)
        .map(|verdict| format!("{} {}", of(verdict), verdict.name()))
        .collect();
    let number = count(heartbeats.len(), "heartbeat");
    let _ = writeln!(text, "{number}: {}", counts.join(", "));
    if heartbeats.iter().all(|one| one.report_to.is_none()) {
        text.push_str("where they report is told to a token with the scope `write`\n");
    }
    text
}

/// A heartbeat in a line.
fn line(one: &Heartbeat, width: usize, now: Timestamp) -> String {
    let (mark, verdict) = match one.verdict {
        Verdict::Healthy => ('✓', "healthy"),
        Verdict::Degraded => ('✗', "DEGRADED"),
        Verdict::Broken => ('✗', "BROKEN "),
        Verdict::Unknown => ('?', "unknown"),
    };
    let mut line = format!("  {mark} {:<width$}  {verdict}", shown(&one.name));
    let mut also = |words: String| {
        let _ = write!(line, "  {words}");
    };
    if let Some(since) = one.since {
        also(format!(
            "since {} UTC ({})",
            clock(since, now),
            span(since, now)
        ));
    }
    if one.last_ok == Some(false) {
        also(match one.last_exit {
            Some(exit) => format!("failed with exit status {exit}"),
            None => "failed".to_owned(),
        });
    }
    match (one.late_ms, one.next_due) {
        (Some(_), Some(due)) => also(format!("was due {} UTC", clock(due, now))),
        (_, Some(due)) => also(format!("next due {} UTC", clock(due, now))),
        (_, None) => {}
    }
    also(match one.last_ping {
        Some(at) => format!("last report {} ago", span(at, now)),
        None => "never reported".to_owned(),
    });
    if let Some(began) = one.running_since {
        also(format!("running for {}", span(began, now)));
    }
    line
}

/// Those that are broken, each in a line: for the status of the whole.
pub(super) fn broken(heartbeats: &[Heartbeat], now: Timestamp) -> String {
    let is_broken = |one: &&Heartbeat| one.verdict == Verdict::Broken;
    let width = width(heartbeats);
    let mut text = String::new();
    for one in heartbeats.iter().filter(is_broken) {
        let _ = writeln!(text, "{}", line(one, width, now));
    }
    if !heartbeats.is_empty() {
        let broken = heartbeats.iter().filter(is_broken).count();
        let number = count(heartbeats.len(), "heartbeat");
        let _ = writeln!(text, "{number}: {broken} broken");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeats() -> Vec<Heartbeat> {
        let rows = serde_json::json!([
            {
                "name": "nightly", "verdict": "healthy", "pings": 4, "grace_ms": 1,
                "last_ping": "2026-11-21T02:00:00Z", "next_due": "2026-11-22T02:00:00Z",
                "report_to": { "ping": "/ping/u", "slug": "/ping/k/nightly", "push": "/api/push/t" },
            },
            {
                "name": "queue", "verdict": "broken", "pings": 4, "grace_ms": 1,
                "since": "2026-11-21T11:00:00Z", "late_ms": 600_000, "last_ok": false,
                "last_exit": 3, "last_log": "disk full [2J \u{1b}",
                "last_ping": "2026-11-21T10:59:00Z", "next_due": "2026-11-21T11:00:00Z",
                "running_since": "2026-11-21T11:08:00Z",
            },
            { "name": "new", "verdict": "unknown", "pings": 0, "grace_ms": 1 },
        ]);
        serde_json::from_value(rows).unwrap()
    }

    #[test]
    fn what_is_printed() {
        let now = "2026-11-21T11:10:00Z".parse().unwrap();
        let expected = r"  ✓ nightly  healthy  next due 2026-11-22 02:00:00 UTC  last report 9 h 10 min ago
      http://hub:8400/ping/u
      http://hub:8400/ping/k/nightly
      http://hub:8400/api/push/t
  ✗ queue    BROKEN   since 11:00:00 UTC (10 min)  failed with exit status 3  was due 11:00:00 UTC  last report 11 min ago  running for 2 min
      it said: disk full [2J \u{1b}
  ? new      unknown  never reported
3 heartbeats: 1 healthy, 1 broken, 1 unknown
";
        assert_eq!(text("hub:8400", &heartbeats(), now), expected);
        let brief = broken(&heartbeats(), now);
        assert_eq!(brief.lines().count(), 2, "{brief}");
        assert!(brief.ends_with("3 heartbeats: 1 broken\n"), "{brief}");
        assert_eq!(exit(&heartbeats()), Exit::Broken);
        assert_eq!(exit(&heartbeats()[..1]), Exit::Fine);
        assert_eq!(exit(&heartbeats()[2..]), Exit::Ourselves);
        let hidden = text("hub:8400", &heartbeats()[2..], now);
        assert!(hidden.contains("scope `write`"), "{hidden}");
    }
}
