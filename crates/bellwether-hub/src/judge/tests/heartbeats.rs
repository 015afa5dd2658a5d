//! Heartbeats from signal to incident, and from its next success to the end of it.

use bellwether_diagnose::heartbeat::{Ping, Signal};
use bellwether_model::FactKind;
use bellwether_model::incident::MomentKind;
use bellwether_store::StateStore as _;
use jiff::SignedDuration;

use super::*;

const WITH: &str = "
services:
  - { name: pay, url: https://pay.example/, every: 10s }
heartbeats:
  - { name: nightly, every: 1h, grace: 5m }
  - { name: other, every: 1h, grace: 5m }
";

const WITHOUT: &str = "
services:
  - { name: pay, url: https://pay.example/, every: 10s }
heartbeats:
  - { name: other, every: 1h, grace: 5m }
";

fn nightly() -> CheckId {
    CheckId::heartbeat("nightly")
}

impl Stage {
    /// A heartbeat reports, now.
    fn beat(&mut self, name: &str, signal: Signal) {
        self.say(name, signal, None);
    }

    fn say(&mut self, name: &str, signal: Signal, log: Option<&str>) {
        let ping = Ping {
            log: log.map(str::to_owned),
            ..Ping::new(self.now, signal)
        };
        // Nobody writes it down here: it counts as heard at once.
        self.shared.beats.take(name, &ping).unwrap();
    }

    /// So many seconds pass, each of which is looked at; the other heartbeat is well.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.wait(1);
            if self.now.as_second() % 600 == 0 {
                self.beat("other", Signal::Success);
            }
            self.judge.tick(self.now);
        }
    }

    /// The incidents of a heartbeat, as they are kept.
    fn incidents(&self, check: &CheckId) -> Vec<Incident> {
        let mut all = self.shared.incidents(None, 100).unwrap();
        all.reverse();
        let is_of = |incident: &Incident| incident.checks.iter().any(|c| c.check == check.as_str());
        all.retain(is_of);
        all
    }

    fn only(&self) -> Incident {
        let mut all = self.incidents(&nightly());
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }
}

fn facts(stage: &Stage, incident: &Incident) -> Vec<FactKind> {
    let digest = incident.evidence.last().unwrap();
    let bytes = stage.memory.evidence(digest).unwrap().unwrap();
    let report: Report = serde_json::from_slice(&bytes).unwrap();
    report.findings[0].facts.iter().map(|f| f.fact).collect()
}

#[test]
fn one_that_is_late_is_an_incident_and_its_next_success_ends_it() {
    let mut stage = Stage::new(WITH);
    stage.beat("nightly", Signal::Success);
    let reported = stage.now;
    stage.pass(3_600 + 300);
    assert!(stage.incidents(&nightly()).is_empty(), "within its grace");
    stage.pass(2);
    let incident = stage.only();
    assert_eq!(incident.cause, Cause::AppStepFailed);
    assert_eq!(incident.state, IncidentState::Open);
    assert_eq!(
        incident.began,
        reported + Duration::from_secs(3_600),
        "when it was due"
    );
    assert!(
        incident.summary.contains("nightly did not report"),
        "{}",
        incident.summary
    );
    assert_eq!(facts(&stage, &incident), [FactKind::HeartbeatMissed]);
    assert!(
        incident.caveats.is_empty(),
        "no vantage saw it: {incident:#?}"
    );
    // Missed again and again it is one incident, which is not called unseen.
    stage.pass(2 * 3_600);
    let incident = stage.only();
    let is_monitor = |line: &bellwether_model::incident::Moment| line.kind == MomentKind::Monitor;
    assert!(!incident.timeline.iter().any(is_monitor), "{incident:#?}");
    stage.beat("nightly", Signal::Success);
    let healed = stage.now;
    stage.pass(1);
    let incident = stage.only();
    assert_eq!(incident.state, IncidentState::Mitigated);
    assert_eq!(incident.mitigated, Some(healed));
    stage.pass(90);
    let incident = stage.only();
    assert_eq!(incident.state, IncidentState::Resolved, "{incident:#?}");
    assert!(stage.incidents(&CheckId::heartbeat("other")).is_empty());
    stage.pass(3_600);
    stage.only();
}

#[test]
fn one_that_failed_is_an_incident_at_once() {
    let mut stage = Stage::new(WITH);
    stage.beat("nightly", Signal::Start);
    stage.pass(10);
    stage.say(
        "nightly",
        Signal::Exit(255),
        Some("disk full\n\u{1b}[2J<b>"),
    );
    let failed = stage.now;
    stage.pass(1);
    let incident = stage.only();
    assert_eq!(incident.began, failed);
    assert_eq!(facts(&stage, &incident), [FactKind::HeartbeatFailed]);
    assert!(
        incident.summary.ends_with(r"disk full \u{1b}[2J<b>"),
        "{}",
        incident.summary
    );
    // It fails again, and then is missed as well: one incident.
    stage.pass(60);
    stage.beat("nightly", Signal::Exit(1));
    stage.pass(1);
    assert!(stage.only().summary.contains("exit status 1 "));
    stage.pass(3_600 + 300);
    let incident = stage.only();
    assert!(
        incident.summary.contains("did not report"),
        "{}",
        incident.summary
    );
    let both = [FactKind::HeartbeatMissed, FactKind::HeartbeatFailed];
    assert_eq!(facts(&stage, &incident), both);
    stage.beat("nightly", Signal::Exit(0));
    stage.pass(600);
    assert_eq!(stage.only().state, IncidentState::Resolved);
}

#[test]
fn two_that_are_late_are_two_incidents() {
    let mut stage = Stage::new(WITH);
    for _ in 0..2 {
        stage.wait(3_600);
        stage.judge.tick(stage.now);
    }
    let of = |name| stage.incidents(&CheckId::heartbeat(name)).len();
    assert_eq!((of("nightly"), of("other")), (1, 1));
}

#[test]
fn a_restart_while_one_is_late_neither_ends_nor_repeats_it() {
    let mut stage = Stage::new(WITH);
    stage.beat("nightly", Signal::Success);
    stage.pass(4_000);
    assert_eq!(stage.only().state, IncidentState::Open);
    stage.judge.write_all_down();
    let mut stage = stage.again();
    stage.pass(700);
    let incident = stage.only();
    assert_eq!(incident.state, IncidentState::Open);
    stage.beat("nightly", Signal::Success);
    stage.pass(600);
    assert_eq!(stage.only().state, IncidentState::Resolved);
}

#[test]
fn a_time_that_is_put_off_ends_no_incident() {
    let mut stage = Stage::new(WITH);
    stage.beat("nightly", Signal::Success);
    stage.pass(4_000);
    assert_eq!(stage.only().state, IncidentState::Open);
    // It may now report more rarely: that is not as if it had.
    stage.shared.beats.configure(
        &config(&WITH.replace("nightly, every: 1h", "nightly, every: 1d")),
        stage.now,
    );
    stage.pass(900);
    assert_eq!(stage.only().state, IncidentState::Open);
    stage.beat("nightly", Signal::Success);
    stage.pass(600);
    assert_eq!(stage.only().state, IncidentState::Resolved);
}

#[test]
fn m17_one_that_is_taken_out_is_no_longer_watched_and_not_healed() {
    let mut stage = Stage::new(WITH);
    stage.beat("nightly", Signal::Success);
    stage.pass(4_000);
    let before = stage.now;
    stage.configure(WITHOUT);
    stage.shared.beats.configure(&config(WITHOUT), before);
    stage.pass(5);
    let incident = stage.only();
    assert_eq!(incident.state, IncidentState::Resolved);
    assert_eq!(incident.mitigated, None, "it did not heal");
    let last = &incident.timeline.last().unwrap().text;
    assert!(
        last.contains("no check that sees it is configured"),
        "{last}"
    );
    // A new configuration alone ends nothing.
    let mut stage = Stage::new(WITH);
    stage.beat("nightly", Signal::Fail);
    stage.pass(5);
    stage.configure(&WITH.replace("10s", "20s"));
    stage.pass(5);
    assert_eq!(stage.only().state, IncidentState::Open);
}

#[test]
fn p15_clocks_that_are_set_open_no_incident_of_a_heartbeat() {
    let mut stage = Stage::new(WITH);
    let elapsed = stage.shared.started_at.elapsed();
    stage.beat("nightly", Signal::Success);
    stage.pass(60);
    stage.now += Duration::from_secs(40_000);
    stage.judge.look_at_clock(stage.now, elapsed);
    stage.pass(3_500);
    assert!(stage.incidents(&nightly()).is_empty());
    stage.beat("nightly", Signal::Success);
    stage.pass(10);
    stage.now -= SignedDuration::from_secs(30_000);
    stage.judge.look_at_clock(stage.now, elapsed);
    stage.pass(3_600);
    assert!(stage.incidents(&nightly()).is_empty());
    stage.pass(305);
    assert_eq!(
        stage.only().state,
        IncidentState::Open,
        "nobody is deaf either"
    );
}
