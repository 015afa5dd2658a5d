//! Three vantages: the built-in one, and agents in Frankfurt and New York.

mod blindness;
mod configured;
mod intercepted;
mod places;
mod restarts;

use bellwether_model::link::{AgentState, Asked};
use bellwether_model::report::{Role, Severity};
use bellwether_model::run::Trigger as Why;

use super::*;
use crate::links::Linked;

const CONFIG: &str = "
vantages:
  - { name: fra, region: eu, network: AS3320 }
  - { name: nyc, region: us, network: AS14618 }
services:
  - { name: shop, url: https://www.shop.example/, every: 10s }
  - { name: pay, url: https://pay.example/, every: 10s }
  - { name: blog, url: https://blog.test/, every: 10s }
  - { name: wiki, url: https://wiki.test/, every: 10s }
";
const SERVICES: [&str; 4] = ["shop", "pay", "blog", "wiki"];
const LOCAL: &str = VantageId::LOCAL;

/// The judge, and the links of both agents.
struct Fleet {
    stage: Stage,
    linked: BTreeMap<&'static str, (Linked, mpsc::Receiver<Asked>)>,
}

fn at(vantage: &str) -> VantageId {
    VantageId::new(vantage)
}

fn check(service: &str) -> CheckId {
    CheckId::new(service, "main")
}

impl Fleet {
    fn of(config: &str) -> Self {
        let mut fleet = Self {
            stage: Stage::new(config),
            linked: BTreeMap::new(),
        };
        fleet.link("fra", 1);
        fleet.link("nyc", 1);
        fleet
    }

    /// One that has seen all of them well for a minute.
    fn well() -> Self {
        Self::well_of(CONFIG)
    }

    fn well_of(config: &str) -> Self {
        let mut fleet = Self::of(config);
        fleet.second();
        for vantage in [LOCAL, "fra", "nyc"] {
            for service in SERVICES {
                fleet.trace(vantage, service, &healthy(&fleet, vantage));
            }
        }
        fleet.rounds(6, &[], &[LOCAL, "fra", "nyc"]);
        assert_eq!(fleet.open(), Vec::<&str>::new());
        fleet
    }

    fn now(&self) -> Timestamp {
        self.stage.now
    }

    fn link(&mut self, vantage: &'static str, boot: u64) {
        let (asks, asked) = mpsc::channel(64);
        let links = &self.stage.shared.links;
        let linked = links.enter(&at(vantage), boot, asks, begin);
        self.linked.insert(vantage, (linked, asked));
        let now = self.now();
        links.heard(&at(vantage), |presence| {
            (presence.since, presence.heard) = (Some(now), Some(now));
            presence.state = None;
        });
    }

    fn cut(&mut self, vantage: &str) {
        self.linked.remove(vantage);
        let now = self.now();
        let links = &self.stage.shared.links;
        links.heard(&at(vantage), |presence| presence.since = Some(now));
    }

    /// What an agent says of itself.
    fn says(&self, vantage: &str, spooled: u64, waited: u64) {
        let now = self.now();
        let state = AgentState {
            at: now,
            spooled,
            oldest: (spooled > 0).then(|| now - Duration::from_secs(waited)),
            ..AgentState::default()
        };
        let links = &self.stage.shared.links;
        links.heard(&at(vantage), |presence| presence.state = Some(state));
    }

    fn run(&mut self, vantage: &str, service: &str, outcome: RunOutcome) {
        let now = self.now();
        self.run_of(vantage, service, outcome, now);
    }

    /// A run that began at another time, and comes now.
    fn run_of(&mut self, vantage: &str, service: &str, outcome: RunOutcome, due: Timestamp) {
        self.stage.sequence += 1;
        let mut run = testing::run(&check(service), self.stage.sequence, due, outcome);
        run.every = 10_000;
        run.late = 0;
        run.vantage = at(vantage);
        self.bring(vantage, Harvest::Run(run));
    }

    fn bring(&mut self, vantage: &str, one: Harvest) {
        let now = self.now();
        if vantage == LOCAL {
            return self.stage.take(one);
        }
        let far = Far {
            vantage: at(vantage),
            harvest: vec![one],
        };
        self.stage.judge.take_far(far, now);
    }

    fn trace(&mut self, vantage: &str, service: &str, report: &Report) {
        let mut report = report.clone();
        report.began = self.now();
        let mut judged = Judged::default();
        let now = self.now();
        let judge = &mut self.stage.judge;
        judge.reported(&check(service), &at(vantage), &report, &mut judged, now);
        judge.settle(judged, now);
    }

    /// A second passes.
    fn second(&mut self) {
        self.stage.wait(1);
        let now = self.now();
        for vantage in self.linked.keys() {
            let links = &self.stage.shared.links;
            links.heard(&at(vantage), |presence| presence.heard = Some(now));
        }
        self.stage.judge.tick(now);
    }

    /// So many rounds of ten seconds, in which these vantages run everything, each at its own second;
    /// `failing` names what fails from where.
    fn rounds(&mut self, rounds: usize, failing: &[(&str, &str)], running: &[&str]) {
        for _ in 0..rounds {
            for second in 0..10 {
                self.second();
                let Some(vantage) = [LOCAL, "fra", "nyc"].get(second / 3) else {
                    continue;
                };
                if second % 3 != 1 || !running.contains(vantage) {
                    continue;
                }
                for service in SERVICES {
                    let fails = failing.contains(&(*vantage, service));
                    let outcome = match fails {
                        true => RunOutcome::Failed,
                        false => RunOutcome::Ok,
                    };
                    self.run(vantage, service, outcome);
                }
            }
        }
    }

    /// A vantage sees a service fail, and the others see it well: that is told when it has lasted.
    fn fails_alone(&mut self, vantage: &str, service: &str, report: &Report) {
        let before = self.open();
        for _ in 0..2 {
            self.second();
            self.trace(vantage, service, report);
        }
        assert_eq!(self.open(), before, "nobody else sees it");
        self.rounds(4, &[(vantage, service)], &[LOCAL, "fra", "nyc"]);
        self.trace(vantage, service, report);
    }

    /// Causes of incidents that are not over.
    fn open(&self) -> Vec<&'static str> {
        let open = self.stage.judge.book.open();
        let open = open.filter(|incident| incident.mitigated.is_none());
        open.map(|incident| incident.cause.code()).collect()
    }

    fn incident(&self, cause: Cause) -> &Incident {
        let mut open = self.stage.judge.book.open();
        open.find(|incident| incident.cause == cause).unwrap()
    }

    /// What the service is told to be now.
    fn told(&self, service: &str) -> (Verdict, bool) {
        let now = self.now();
        let told = self.stage.shared.board(|board| board.service(service, now));
        told.map(|told| (told.verdict, told.stale)).unwrap()
    }

    fn summary(&self, service: &str) -> String {
        let of = |board: &Board| board.checks[&check(service)].summary.clone().into_owned();
        self.stage.shared.board(of)
    }

    /// What an agent was asked since, and the check.
    fn asked(&mut self, vantage: &str) -> Vec<Asked> {
        let mut asked = Vec::new();
        let hears = &mut self.linked.get_mut(vantage).unwrap().1;
        while let Ok(one) = hears.try_recv() {
            asked.push(one);
        }
        asked
    }
}

fn base(fleet: &Fleet, vantage: &str) -> Report {
    let now = fleet.now();
    let mut report = freshness::no_result(&shop(), &at(vantage), now, "0", now);
    let mut context = fleet.stage.context(fleet.stage.target(&shop()));
    context.vantage = vantage.to_owned();
    report.context = Some(context);
    report
}

fn healthy(fleet: &Fleet, vantage: &str) -> Report {
    let mut report = base(fleet, vantage);
    report.verdict = Verdict::Healthy;
    report.diagnosis = None;
    report.findings.clear();
    report
}

/// Says that all is broken by this.
fn broken(fleet: &Fleet, vantage: &str, cause: Cause) -> Report {
    let mut report = base(fleet, vantage);
    let layer = cause.layer().unwrap();
    report.verdict = match layer {
        Layer::Monitor => Verdict::Unknown,
        _ => Verdict::Broken,
    };
    let finding = &mut report.findings[0];
    (finding.cause, finding.layer) = (cause, layer);
    (finding.role, finding.severity) = (Role::Root, Severity::Critical);
    finding.scope.share = 1.0;
    finding.scope.addresses = vec![[203, 0, 113, 9].into()];
    finding.summary = format!("it is {cause}");
    let diagnosis = report.diagnosis.as_mut().unwrap();
    (diagnosis.cause, diagnosis.layer) = (cause, layer);
    diagnosis.summary = format!("it is {cause}");
    report
}

#[test]
fn m01_an_agent_that_is_gone_is_one_incident_and_no_targets() {
    let mut fleet = Fleet::well();
    fleet.cut("fra");
    let last = fleet.now();
    while fleet.open().is_empty() {
        fleet.rounds(1, &[], &[LOCAL, "nyc"]);
        let waited = fleet.now().duration_since(last).as_secs();
        assert!(waited <= 20, "declared within two intervals");
    }
    fleet.rounds(12, &[], &[LOCAL, "nyc"]);
    assert_eq!(fleet.open(), ["monitor.vantage_offline"]);
    let incident = fleet.incident(Cause::MonitorVantageOffline).clone();
    assert_eq!(incident.scope.vantages, ["fra"]);
    assert!(
        incident.checks.is_empty(),
        "it concerns no check: {incident:#?}"
    );
    assert!(incident.summary.contains("nothing comes from fra"));
    for service in SERVICES {
        assert_eq!(fleet.told(service), (Verdict::Healthy, false));
    }
    // Another start of it comes.
    fleet.link("fra", 2);
    fleet.rounds(1, &[], &[LOCAL, "fra", "nyc"]);
    assert_eq!(fleet.open(), Vec::<&str>::new());
    fleet.rounds(30, &[], &[LOCAL, "fra", "nyc"]);
    assert_eq!(fleet.stage.judge.book.open().count(), 0, "and it is over");
}

#[test]
fn m02_an_agent_that_is_there_and_runs_nothing_is_told_apart() {
    let mut fleet = Fleet::well();
    fleet.rounds(6, &[], &[LOCAL, "nyc"]);
    assert_eq!(fleet.open(), ["monitor.probe_hung"]);
    let incident = fleet.incident(Cause::MonitorProbeHung);
    assert!(
        incident.summary.contains("the agent at fra is there"),
        "{}",
        incident.summary
    );
    assert_eq!(fleet.told("shop"), (Verdict::Healthy, false));
    fleet.rounds(100, &[], &[LOCAL, "fra", "nyc"]);
    let left: Vec<_> = fleet.stage.judge.book.open().collect();
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn m03_what_was_cut_off_comes_late_and_judges_nothing() {
    let mut fleet = Fleet::well();
    let cut = fleet.now();
    fleet.cut("fra");
    fleet.rounds(60, &[], &[LOCAL, "nyc"]);
    assert_eq!(fleet.open(), ["monitor.vantage_offline"]);
    // The same start of it is back, with what it saw meanwhile: half of it bad.
    fleet.link("fra", 1);
    fleet.says("fra", 60, 600);
    fleet.second();
    assert_eq!(fleet.open(), ["monitor.pipeline_lag"]);
    let uplink = fleet.incident(Cause::MonitorVantageUplink).clone();
    assert!(uplink.timeline.iter().any(|line| {
        line.text
            .starts_with("judged monitor.vantage_uplink instead of monitor.vantage_offline")
    }));
    for n in 0..55 {
        let due = cut + Duration::from_secs(n * 10);
        for service in SERVICES {
            let outcome = if n % 2 == 0 {
                RunOutcome::Failed
            } else {
                RunOutcome::Ok
            };
            fleet.run_of("fra", service, outcome, due);
        }
        fleet.says("fra", 60 - n, 600 - n * 10);
    }
    fleet.second();
    assert_eq!(fleet.open(), ["monitor.pipeline_lag"], "the gap is ours");
    let fails = |fleet: &Fleet| SERVICES.iter().any(|s| fleet.stage.is_held(&check(s)));
    assert!(!fails(&fleet));
    fleet.says("fra", 0, 0);
    fleet.rounds(12, &[], &[LOCAL, "fra", "nyc"]);
    assert!(!fails(&fleet));
    assert_eq!(fleet.stage.judge.book.open().count(), 0);
    assert_eq!(fleet.told("shop"), (Verdict::Healthy, false));
}

#[test]
fn m04_one_that_loses_much_is_not_believed_and_is_heard_again() {
    let mut fleet = Fleet::well();
    // Something else of it fails each round, and it says so by traces too.
    for round in 0..40 {
        let service = SERVICES[round % 4];
        fleet.rounds(1, &[("fra", service)], &[LOCAL, "fra", "nyc"]);
    }
    assert_eq!(fleet.open(), ["monitor.vantage_uplink"]);
    assert_eq!(fleet.told("shop"), (Verdict::Healthy, false));
    let report = broken(&fleet, "fra", Cause::NetTcpFiltered);
    for _ in 0..4 {
        fleet.second();
        fleet.trace("fra", "shop", &report);
    }
    assert_eq!(
        fleet.open(),
        ["monitor.vantage_uplink"],
        "its traces are no evidence"
    );
    fleet.rounds(40, &[], &[LOCAL, "fra", "nyc"]);
    assert_eq!(fleet.open(), Vec::<&str>::new());
    assert!(fleet.stage.judge.vantages.is_heard(&at("fra")));
}

#[test]
fn m06_one_whose_controls_fail_is_our_trouble_and_ends_what_it_began() {
    let mut fleet = Fleet::well();
    let wrong = broken(&fleet, "fra", Cause::TlsNameMismatch);
    fleet.fails_alone("fra", "shop", &wrong);
    assert_eq!(fleet.open(), ["tls.name_mismatch"]);
    let portal = broken(&fleet, "fra", Cause::MonitorVantageIntercepted);
    fleet.second();
    fleet.trace("fra", "pay", &portal);
    let again = |asked: &Asked| matches!(asked, Asked::Trace { check } if check.service() == "pay");
    assert!(
        fleet.asked("fra").iter().any(again),
        "another look is asked for"
    );
    fleet.second();
    fleet.trace("fra", "pay", &portal);
    assert_eq!(
        fleet.open(),
        ["monitor.vantage_intercepted"],
        "one of ours, and none of a target"
    );
    assert_eq!(fleet.told("shop"), (Verdict::Healthy, false));
    assert_eq!(fleet.told("pay"), (Verdict::Healthy, false));
    // One that shows nothing is not enough.
    let well = healthy(&fleet, "fra");
    fleet.second();
    fleet.trace("fra", "pay", &well);
    assert!(!fleet.stage.judge.vantages.is_heard(&at("fra")));
    fleet.second();
    fleet.trace("fra", "pay", &well);
    assert!(fleet.stage.judge.vantages.is_heard(&at("fra")));
}

#[test]
fn a_clock_that_is_two_minutes_off_is_not_believed() {
    let mut fleet = Fleet::well();
    let links = fleet.stage.shared.links.clone();
    let off = |ms| links.heard(&at("fra"), |presence| presence.offset_ms = Some(ms));
    links.heard(&at("nyc"), |presence| presence.offset_ms = Some(2));
    off(-120_000);
    fleet.second();
    assert_eq!(fleet.open(), Vec::<&str>::new(), "it may be the hub's");
    fleet.rounds(3, &[], &[LOCAL, "fra", "nyc"]);
    assert_eq!(fleet.open(), ["monitor.clock_skew"]);
    assert!(
        fleet
            .incident(Cause::MonitorClockSkew)
            .summary
            .contains("120 s ahead of")
    );
    off(59_000);
    fleet.second();
    assert_eq!(
        fleet.open(),
        ["monitor.clock_skew"],
        "not before it is well within"
    );
    off(5);
    fleet.second();
    assert_eq!(fleet.open(), Vec::<&str>::new());
}

#[test]
fn a07_all_down_from_one_vantage_is_one_voice() {
    let mut fleet = Fleet::well();
    let all: Vec<(&str, &str)> = SERVICES.iter().map(|s| ("fra", *s)).collect();
    for _ in 0..12 {
        fleet.rounds(1, &all, &[LOCAL, "fra", "nyc"]);
        for service in SERVICES {
            assert!(!fleet.stage.is_held(&check(service)));
            assert_ne!(fleet.told(service).0, Verdict::Broken);
        }
    }
    assert_eq!(fleet.open(), ["monitor.vantage_uplink"]);
    for service in SERVICES {
        assert_eq!(fleet.told(service), (Verdict::Healthy, false));
    }
}

#[test]
fn a08_all_green_during_an_outage_is_outvoted_and_flagged() {
    let mut fleet = Fleet::well();
    let seen = ["shop", "pay", "blog"];
    let down: Vec<(&str, &str)> = seen
        .iter()
        .flat_map(|s| [(LOCAL, *s), ("nyc", *s)])
        .collect();
    fleet.rounds(2, &down, &[LOCAL, "fra", "nyc"]);
    for vantage in [LOCAL, "nyc"] {
        for service in seen {
            let report = broken(&fleet, vantage, Cause::NetTcpRefused);
            fleet.trace(vantage, service, &report);
            fleet.second();
            fleet.trace(vantage, service, &report);
        }
    }
    assert_eq!(fleet.open().first(), Some(&"net.tcp.refused"));
    assert_eq!(fleet.told("shop").0, Verdict::Degraded);
    fleet.rounds(12, &down, &[LOCAL, "fra", "nyc"]);
    assert!(
        fleet.open().contains(&"monitor.false_signal"),
        "{:?}",
        fleet.open()
    );
    let flag = fleet.incident(Cause::MonitorFalseSignal);
    assert_eq!(flag.scope.vantages, ["fra"]);
    for service in seen {
        assert_eq!(
            fleet.told(service),
            (Verdict::Broken, false),
            "{}",
            fleet.summary(service)
        );
    }
    assert_eq!(fleet.told("wiki"), (Verdict::Healthy, false));
}

#[test]
fn n07_one_timeout_at_one_vantage_opens_nothing() {
    let mut fleet = Fleet::well();
    fleet.asked("nyc");
    fleet.run("fra", "shop", RunOutcome::Failed);
    let confirm = Asked::Confirm { check: shop() };
    let asks = |fleet: &mut Fleet| {
        let asked = fleet.asked("nyc");
        asked.contains(&confirm)
            || fleet
                .stage
                .owner
                .asked()
                .contains(&format!("confirm {}", shop()))
    };
    assert!(asks(&mut fleet), "somebody else is asked at once");
    // Whoever is asked is served; it is asked on three times, and no more.
    let mut times = 1;
    for n in 0..20 {
        let mut run = testing::run(&shop(), 9_000 + n, fleet.now(), RunOutcome::Ok);
        (run.vantage, run.trigger, run.late) = (at("nyc"), Why::Confirm, 1_000);
        fleet.bring("nyc", Harvest::Run(run));
        fleet.second();
        times += usize::from(asks(&mut fleet));
    }
    assert!(times <= 4, "asked {times} times");
    fleet.rounds(30, &[], &[LOCAL, "fra", "nyc"]);
    assert_eq!(fleet.stage.judge.book.next_id(), 1, "nothing was opened");
}

#[test]
fn p12_what_one_vantage_sees_is_told_of_that_one() {
    let mut fleet = Fleet::well();
    let report = broken(&fleet, "fra", Cause::NetTcpFiltered);
    fleet.fails_alone("fra", "shop", &report);
    let incident = fleet.incident(Cause::NetTcpFiltered).clone();
    assert_eq!(incident.scope.vantages, ["fra"]);
    assert_eq!(
        incident.caveats,
        ["seen from fra alone (1 of 3 vantages): the fault may be near it"]
    );
    assert!(
        (incident.scope.share - 1.0 / 3.0).abs() < 1e-9,
        "{}",
        incident.scope.share
    );
    assert_eq!(
        fleet.told("shop").0,
        Verdict::Degraded,
        "broken there is degraded"
    );
    assert_eq!(
        fleet.summary("shop"),
        "it is net.tcp.filtered; seen from fra alone (1 of 3 vantages)"
    );
    // Others join.
    for vantage in ["nyc", LOCAL] {
        for _ in 0..2 {
            fleet.second();
            fleet.trace(vantage, "shop", &report);
        }
    }
    let incident = fleet.incident(Cause::NetTcpFiltered).clone();
    assert_eq!(fleet.stage.judge.book.next_id(), 2, "one incident");
    assert_eq!(incident.scope.vantages, ["fra", "local", "nyc"]);
    assert_eq!(
        incident.caveats,
        ["seen from all 3 vantages, in 3 networks as far as is configured"]
    );
    let grown = "check shop/main fails too, from nyc";
    assert!(
        incident.timeline.iter().any(|line| line.text == grown),
        "{:#?}",
        incident.timeline
    );
    assert_eq!(fleet.told("shop").0, Verdict::Broken);
    assert_eq!(incident.checks.len(), 1);
    // And get well one by one.
    let well = healthy(&fleet, "fra");
    for vantage in ["nyc", LOCAL] {
        for _ in 0..2 {
            fleet.second();
            fleet.trace(vantage, "shop", &well);
        }
    }
    assert_eq!(fleet.told("shop").0, Verdict::Degraded);
    let incident = fleet.incident(Cause::NetTcpFiltered);
    assert_eq!(
        incident.caveats,
        ["seen from fra alone (1 of 3 vantages): the fault may be near it"]
    );
}

#[test]
fn when_the_hubs_clock_is_set_agents_go_on_being_believed() {
    let hour = Duration::from_secs(3_600);
    for is_ahead in [true, false] {
        let mut fleet = Fleet::well();
        let elapsed = fleet.stage.shared.started_at.elapsed();
        if is_ahead {
            fleet.stage.now += hour;
        } else {
            fleet.stage.now -= hour;
        }
        let now = fleet.now();
        fleet.stage.judge.look_at_clock(now, elapsed);
        let links = fleet.stage.shared.links.clone();
        let ms = if is_ahead { 3_600_000 } else { -3_600_000 };
        // They are measured one after another.
        fleet.rounds(1, &[], &[LOCAL, "fra", "nyc"]);
        for agent in ["fra", "nyc"] {
            links.heard(&at(agent), |presence| presence.offset_ms = Some(ms));
            fleet.rounds(1, &[], &[LOCAL, "fra", "nyc"]);
        }
        fleet.rounds(6, &[], &[LOCAL, "fra", "nyc"]);
        assert_eq!(fleet.open(), ["monitor.clock_skew"]);
        let skew = fleet.incident(Cause::MonitorClockSkew);
        assert_eq!(skew.scope.vantages, ["local"]);
        for agent in ["fra", "nyc"] {
            assert!(fleet.stage.judge.vantages.is_heard(&at(agent)));
        }
        assert_eq!(fleet.told("shop"), (Verdict::Healthy, false));
        // What they see is judged, by the time that they know.
        let context = fleet.stage.context(fleet.stage.target(&shop()));
        let mut far = context.clone();
        far.vantage = "fra".to_owned();
        let judge = &fleet.stage.judge;
        let there = judge.by_right_clock(far).now;
        assert_eq!(there, context.now - SignedDuration::from_millis(ms));
        assert_eq!(judge.by_right_clock(context.clone()).now, context.now);
        let report = broken(&fleet, "fra", Cause::NetTcpFiltered);
        fleet.fails_alone("fra", "shop", &report);
        assert!(fleet.open().contains(&"net.tcp.filtered"));
    }
}

#[test]
fn two_good_traces_mend_nothing_that_stands_by_other_evidence() {
    let mut fleet = Fleet::well();
    let portal = |fleet: &Fleet| broken(fleet, "fra", Cause::MonitorVantageUplink);
    let all: Vec<(&str, &str)> = SERVICES.iter().map(|s| ("fra", *s)).collect();
    for _ in 0..3 {
        let report = portal(&fleet);
        fleet.trace("fra", "shop", &report);
        fleet.rounds(1, &all, &[LOCAL, "fra", "nyc"]);
    }
    fleet.rounds(6, &all, &[LOCAL, "fra", "nyc"]);
    assert_eq!(fleet.open(), ["monitor.vantage_uplink"]);
    for _ in 0..3 {
        fleet.second();
        let report = healthy(&fleet, "fra");
        fleet.trace("fra", "shop", &report);
        assert!(!fleet.stage.judge.vantages.is_heard(&at("fra")));
    }
    assert_eq!(fleet.open(), ["monitor.vantage_uplink"]);
    // Nor does it that its agent is cut off, and linked again.
    let one = fleet.incident(Cause::MonitorVantageUplink).id;
    fleet.cut("fra");
    fleet.rounds(6, &all, &[LOCAL, "nyc"]);
    assert_eq!(
        fleet.open(),
        ["monitor.vantage_uplink", "monitor.vantage_offline"]
    );
    fleet.link("fra", 1);
    fleet.rounds(3, &all, &[LOCAL, "fra", "nyc"]);
    assert_eq!(fleet.open(), ["monitor.vantage_uplink"]);
    let uplink = fleet.incident(Cause::MonitorVantageUplink);
    assert_eq!((uplink.id, uplink.mitigated), (one, None));
    fleet.rounds(60, &[], &[LOCAL, "fra", "nyc"]);
    assert!(fleet.stage.judge.vantages.is_heard(&at("fra")));
    // The same of its clock.
    let links = fleet.stage.shared.links.clone();
    let clock = |fra, nyc| {
        links.heard(&at("fra"), |presence| presence.offset_ms = fra);
        links.heard(&at("nyc"), |presence| presence.offset_ms = nyc);
    };
    clock(None, Some(0));
    let skew = broken(&fleet, "fra", Cause::MonitorClockSkew);
    for _ in 0..2 {
        fleet.second();
        fleet.trace("fra", "shop", &skew);
    }
    assert_eq!(fleet.open(), ["monitor.clock_skew"]);
    clock(Some(300_000), Some(0));
    fleet.second();
    for _ in 0..3 {
        fleet.second();
        let report = healthy(&fleet, "fra");
        fleet.trace("fra", "shop", &report);
    }
    assert_eq!(fleet.open(), ["monitor.clock_skew"]);
    clock(Some(0), Some(0));
    fleet.second();
    assert_eq!(fleet.open(), Vec::<&str>::new());
}

#[test]
fn nobody_speaks_for_another_vantage() {
    let mut fleet = Fleet::well();
    let mut run = testing::run(&shop(), 7_777, fleet.now(), RunOutcome::Failed);
    run.vantage = at("nyc");
    fleet.bring("fra", Harvest::Run(run));
    let last = |board: &Board| board.checks[&shop()].last[&at("nyc")].sequence;
    assert_ne!(fleet.stage.shared.board(last), 7_777);
}

#[test]
fn each_vantage_has_a_baseline_of_its_own() {
    assert_eq!(
        crate::judge::baseline_key(&shop(), &local()),
        "baseline/shop/main"
    );
    assert_eq!(
        crate::judge::baseline_key(&shop(), &at("fra")),
        "baseline@fra/shop/main"
    );
}

#[test]
fn a01_what_is_sent_a_second_time_is_no_second_run() {
    let mut fleet = Fleet::well();
    fleet.second();
    let first = fleet.now();
    fleet.run("fra", "shop", RunOutcome::Ok);
    fleet.second();
    let served = |board: &Board| {
        let places = board.checks[&shop()].places().unwrap();
        places.get(&at("fra")).unwrap().served
    };
    let before = fleet.stage.shared.board(served);
    for outcome in [RunOutcome::Ok, RunOutcome::Failed] {
        fleet.run_of("fra", "shop", outcome, first);
    }
    assert_eq!(fleet.stage.shared.board(served), before);
    // The clock of the hub is set back by an hour: what comes then is heard.
    let elapsed = fleet.stage.shared.started_at.elapsed();
    fleet.stage.now -= Duration::from_secs(3_600);
    let now = fleet.now();
    fleet.stage.judge.look_at_clock(now, elapsed);
    fleet.rounds(1, &[], &[LOCAL, "fra", "nyc"]);
    assert_eq!(fleet.stage.shared.board(served), before + 1);
}
