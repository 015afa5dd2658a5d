//! Reports and runs in few words, and a stage that plays stories, with restarts where asked.

use std::collections::BTreeMap;

use bellwether_model::dns::*;
use bellwether_model::observation::{AddressSeen, AddressesSeen};
use bellwether_model::report::*;
use bellwether_model::run::{Phases, RunOutcome, Trigger};
use bellwether_model::{
    Cause, CheckId, Digest, DnsName, Finding, Incident, Layer, Observation, Outcome, Owner,
    ProbeKind, Report, Run, Scope, VantageId, Verdict,
};
use jiff::Timestamp;

use super::super::*;

/// Seconds after the story begins.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_727_780_400 + seconds).unwrap()
}

pub(super) fn check(text: &str) -> CheckId {
    CheckId::parse(text).unwrap()
}

pub(super) fn local() -> VantageId {
    VantageId::new(VantageId::LOCAL)
}

pub(super) fn key(text: &str) -> (CheckId, VantageId) {
    (check(text), local())
}

/// Strings of a list.
fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(|s| (*s).to_owned()).collect()
}

/// A finding to be put into a report.
pub(super) fn root(cause: Cause, summary: &str) -> Finding {
    Finding {
        cause,
        layer: cause.layer().unwrap_or(Layer::Tls),
        role: Role::Root,
        severity: Severity::Critical,
        confidence: 0.9,
        scope: Scope::default(),
        summary: summary.to_owned(),
        remedy: format!("mend {cause}"),
        see: None,
        facts: vec![],
        evidence: vec![],
    }
}

pub(super) trait Build {
    fn servers(self, all: &[&str]) -> Self;
    fn resolvers(self, all: &[&str]) -> Self;
    fn addresses(self, all: &[&str]) -> Self;
    fn warns(self) -> Self;
}

impl Build for Finding {
    fn servers(mut self, all: &[&str]) -> Self {
        self.scope.name_servers = strings(all);
        self
    }

    fn resolvers(mut self, all: &[&str]) -> Self {
        self.scope.resolvers = strings(all);
        self
    }

    fn addresses(mut self, all: &[&str]) -> Self {
        self.scope.addresses = all.iter().map(|a| a.parse().unwrap()).collect();
        self
    }

    fn warns(mut self) -> Self {
        (self.role, self.severity) = (Role::Warning, Severity::Warning);
        self
    }
}

/// A report of a verdict with findings; three controls answered.
pub(super) fn report(verdict: Verdict, findings: Vec<Finding>) -> Report {
    let control = |name: &str| ControlReport {
        name: name.to_owned(),
        state: ControlState::Ok,
    };
    Report {
        schema: REPORT_SCHEMA.to_owned(),
        version: "0.0.0".to_owned(),
        target: "https://www.svc.test/".to_owned(),
        began: at(0),
        took_ms: 1.0,
        verdict,
        diagnosis: None,
        findings,
        layers: vec![],
        controls: vec![control("a"), control("b"), control("c")],
        critical_path: 1,
        queries: 1,
        peak_kib: None,
        context: None,
        observations: vec![],
    }
}

pub(super) fn healthy() -> Report {
    report(Verdict::Healthy, vec![])
}

pub(super) fn bad(findings: Vec<Finding>) -> Report {
    report(Verdict::Degraded, findings)
}

/// What a server says: an address with its owner, or an rcode.
#[derive(Clone, Copy)]
pub(super) enum Says {
    Gives(&'static str, &'static str),
    Rcode(u16),
}

fn name(text: &str) -> DnsName {
    DnsName::typed(text).unwrap()
}

fn exchange(says: Says) -> Exchange {
    let question = Question {
        name: name("www.svc.test"),
        rtype: "A".to_owned(),
    };
    let (rcode, answer) = match says {
        Says::Rcode(code) => (Rcode(code), vec![]),
        Says::Gives(address, _) => {
            let record = Record {
                name: question.name.clone(),
                ttl: 60,
                rtype: "A".to_owned(),
                data: address.to_owned(),
            };
            (Rcode::NOERROR, vec![record])
        }
    };
    let response = Response {
        rcode,
        flags: Flags::default(),
        edns: true,
        extended_errors: vec![],
        answer,
        authority: vec![],
        additional: vec![],
        size: 100,
        case_kept: true,
        malformed: None,
        malformed_at: None,
        raw: None,
    };
    Exchange {
        question,
        transport: Transport::Udp,
        edns: true,
        recursion: false,
        offered: None,
        variant: Variant::Usual,
        lower_case: false,
        tries: 1,
        took_ms: 1.0,
        result: ExchangeResult::Answered {
            response: Box::new(response),
        },
        discarded: vec![],
    }
}

fn resolver(label: &str, says: Says) -> ResolverSeen {
    ResolverSeen {
        resolver: label.to_owned(),
        origin: ResolverOrigin::Given,
        address: format!("{label}:53").parse().unwrap(),
        channel: bellwether_model::Channel::Plain,
        answers: vec![exchange(says)],
        zone_ns: None,
        sibling: None,
        unchecked: vec![],
        ancestors: vec![],
        zone_ds: None,
        large: vec![],
    }
}

/// Adds what name servers (`NAME@ADDRESS`) and resolvers answered.
pub(super) fn seeing(
    mut report: Report,
    servers: &[(&str, Says)],
    resolvers: &[(&str, Says)],
) -> Report {
    let mut found = AddressesSeen::default();
    for (_, says) in servers.iter().chain(resolvers) {
        if let Says::Gives(address, owner) = says {
            found.found.push(AddressSeen {
                address: address.parse().unwrap(),
                sources: vec![],
                owner: Some(Owner {
                    asn: None,
                    name: (*owner).to_owned(),
                    prefix: String::new(),
                }),
                not_dialled: None,
            });
        }
    }
    let mut seen = vec![];
    for (label, says) in servers {
        let (host, address) = label.split_once('@').unwrap();
        seen.push(ServerSeen {
            name: name(host),
            address: address.parse().unwrap(),
            owner: None,
            exchanges: vec![exchange(*says)],
        });
    }
    let names = seen.iter().map(|s| s.name.clone()).collect();
    let zone = ZoneSeen {
        zone: name("svc.test"),
        parent: Some(name("test")),
        name: name("www.svc.test"),
        holds_name: true,
        parent_sets: vec![ParentSet {
            names,
            ttl: 1500,
            given_by: vec![],
        }],
        hosts: vec![],
        servers: seen,
        canary: None,
        stopped: None,
    };
    let mut outcomes = vec![
        (ProbeKind::Delegation, Outcome::Delegation(zone)),
        (ProbeKind::Addresses, Outcome::Addresses(found)),
    ];
    for (label, says) in resolvers {
        let outcome = Outcome::ResolverMatrix(Box::new(resolver(label, *says)));
        outcomes.push((ProbeKind::ResolverMatrix, outcome));
    }
    let observed = outcomes.into_iter().enumerate();
    report.observations = observed
        .map(|(i, (probe, outcome))| Observation {
            id: format!("e{i}"),
            probe,
            began: at(0),
            took_ms: 1.0,
            waits: 1,
            outcome,
        })
        .collect();
    report
}

/// What happens.
#[derive(Clone)]
pub(super) enum Step {
    Trace(&'static str, &'static str, Box<Report>),
    Run(Box<Run>),
    Signal(Signal),
    Act(u64, Act),
    Gone(&'static str),
    Unheard(&'static str, Option<i64>),
    Heard(&'static str, i64),
    Amiss(Box<Amiss>),
    Mended(&'static str, Cause),
    Planned(&'static [&'static str]),
    Rejudged(Cause, Box<Amiss>),
    Blind(Box<Blind>),
    Sees,
    Tick,
}

/// A story: what happens when.
#[derive(Clone, Default)]
pub(super) struct Story {
    pub steps: Vec<(Timestamp, Step)>,
    pub needs: BTreeMap<String, Vec<String>>,
    /// With the numbers of their networks; none where there is one alone.
    pub vantages: BTreeMap<VantageId, Option<u32>>,
}

impl Story {
    pub(super) fn trace(&mut self, when: i64, check: &'static str, report: &Report) {
        self.trace_at(when, VantageId::LOCAL, check, report);
    }

    pub(super) fn trace_at(
        &mut self,
        when: i64,
        vantage: &'static str,
        check: &'static str,
        report: &Report,
    ) {
        let mut report = report.clone();
        report.began = at(when);
        let step = Step::Trace(vantage, check, Box::new(report));
        self.steps.push((at(when), step));
    }

    pub(super) fn run_at(
        &mut self,
        when: i64,
        vantage: &'static str,
        check: &'static str,
        via: &str,
        symptom: Option<&str>,
    ) {
        let mut run = run(when, check, via, symptom);
        run.vantage = VantageId::new(vantage);
        self.steps.push((at(when), Step::Run(Box::new(run))));
    }

    pub(super) fn run(&mut self, when: i64, check: &'static str, via: &str, symptom: Option<&str>) {
        self.steps.push((
            at(when),
            Step::Run(Box::new(run(when, check, via, symptom))),
        ));
    }

    pub(super) fn alarm(&mut self, when: i64, since: i64, check: &'static str) {
        let (check, vantage) = key(check);
        let alarm = Signal::Alarm {
            check,
            vantage,
            kind: AlarmKind::Failing,
            since: at(since),
            layer: Some(Layer::Tls),
            words: "9 of 10 runs failed".to_owned(),
        };
        self.steps.push((at(when), Step::Signal(alarm)));
    }

    pub(super) fn clear(&mut self, when: i64, check: &'static str) {
        let (check, vantage) = key(check);
        let kind = AlarmKind::Failing;
        let clear = Signal::Clear {
            check,
            vantage,
            kind,
        };
        self.steps.push((at(when), Step::Signal(clear)));
    }

    pub(super) fn push(&mut self, when: i64, step: Step) {
        self.steps.push((at(when), step));
    }

    /// Ticks every so many seconds.
    pub(super) fn ticks(&mut self, from: i64, to: i64, every: usize) {
        let times = (from..=to).step_by(every);
        self.steps.extend(times.map(|t| (at(t), Step::Tick)));
        self.steps.sort_by_key(|(when, _)| *when);
    }
}

pub(super) fn run(when: i64, check: &'static str, via: &str, symptom: Option<&str>) -> Run {
    let (check, vantage) = key(check);
    Run {
        check,
        vantage,
        sequence: 1,
        due: at(when),
        late: 0,
        every: 30_000,
        trigger: Trigger::Schedule,
        outcome: if symptom.is_some() {
            RunOutcome::Failed
        } else {
            RunOutcome::Ok
        },
        layer: symptom.map(|_| Layer::Tls),
        symptom: symptom.map(Into::into),
        resolver: Some(via.into()),
        address: Some("203.0.113.3".parse().unwrap()),
        status: None,
        size: None,
        certificate: None,
        certificate_ends: None,
        evidence: None,
        clock_offset_ms: None,
        phases: Phases::default(),
    }
}

/// What came of a story.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Told {
    /// Every incident as it was last kept.
    pub kept: BTreeMap<u64, Incident>,
    pub notices: Vec<Notice>,
    pub wanted: Vec<(Timestamp, String)>,
    pub followed: Vec<(String, bool)>,
}

impl Told {
    pub(super) fn kinds(&self) -> Vec<&'static str> {
        self.notices.iter().map(|n| n.kind.name()).collect()
    }

    pub(super) fn only(&self) -> &Incident {
        assert_eq!(self.kept.len(), 1, "one incident: {:#?}", self.kept);
        self.kept.values().next().unwrap()
    }

    fn take(&mut self, updates: Vec<Update>, now: Timestamp) {
        for update in updates {
            match update {
                Update::Changed { incident, notices } => {
                    // As the store has it: through its written form.
                    let text = serde_json::to_string(&*incident).unwrap();
                    let read: Incident = serde_json::from_str(&text).unwrap();
                    assert_eq!(read, *incident);
                    self.kept.insert(incident.id, read);
                    self.notices.extend(notices);
                }
                Update::WantTrace { check, .. } => self.wanted.push((now, check.to_string())),
                Update::Follow { check, every, .. } => {
                    self.followed.push((check.to_string(), every.is_some()));
                }
            }
        }
    }
}

/// Stops the program before these steps and starts it again.
pub(super) fn play_with(story: &Story, restart: impl Fn(usize) -> bool) -> Told {
    let mut told = Told::default();
    let mut book = Book::new();
    book.set_needs(story.needs.clone());
    fleet(&mut book, story);
    for (n, (now, step)) in story.steps.iter().enumerate() {
        if restart(n) {
            let is_open = |i: &&Incident| i.state != IncidentState::Resolved;
            let open: Vec<Incident> = told.kept.values().filter(is_open).cloned().collect();
            let next = told.kept.len() as u64 + 1;
            let again = Book::restore(open.clone(), Some(&book.checkpoint()), next);
            // In parts it comes to the same.
            let mut parts = Book::restore(open, Some(&book.checkpoint_of_amiss()), next);
            for check in book.watches.checks() {
                parts.recall(&book.checkpoint_of([check]));
            }
            parts.recall(b"damaged");
            assert!(parts == again, "restarted from parts before step {n}");
            let (unheard, planned) = (book.fleet.clone(), book.planned.clone());
            book = again;
            book.set_needs(story.needs.clone());
            // Whoever judges vantages says it again.
            book.fleet = unheard;
            told.take(book.set_planned(planned, *now), *now);
        }
        told.take(act_out(&mut book, step, *now), *now);
    }
    told
}

fn fleet(book: &mut Book, story: &Story) {
    if !story.vantages.is_empty() {
        let told = book.set_vantages(story.vantages.clone(), at(0));
        assert_eq!(told, []);
    }
}

pub(super) fn play(story: &Story) -> Told {
    play_with(story, |_| false)
}

pub(super) fn act_out(book: &mut Book, step: &Step, now: Timestamp) -> Vec<Update> {
    match step {
        Step::Trace(vantage, id, report) => {
            let mut digest = [0; 32];
            let second = report.began.as_second().to_be_bytes();
            digest[..8].copy_from_slice(&second);
            for (into, from) in digest[8..].iter_mut().zip(id.bytes()) {
                *into = from;
            }
            let trace = JudgedTrace {
                check: &check(id),
                vantage: &VantageId::new(vantage),
                report,
                evidence: Some(Digest(digest)),
                depends: &[],
            };
            book.traced(&trace, now)
        }
        Step::Run(run) => book.ran(run, now),
        Step::Signal(signal) => book.signal(signal, now),
        Step::Act(id, act) => book.act(*id, act, "ann", now).unwrap(),
        Step::Gone(id) => book.gone(&check(id), now),
        Step::Unheard(vantage, since) => {
            let vantage = VantageId::new(vantage);
            book.unheard(&vantage, "its controls fail", since.map(at), now)
        }
        Step::Heard(vantage, since) => book.heard_again(&VantageId::new(vantage), at(*since), now),
        Step::Amiss(amiss) => book.amiss(amiss, now),
        Step::Mended(vantage, cause) => {
            book.mended(&VantageId::new(vantage), *cause, "well again", now)
        }
        Step::Planned(services) => {
            let services = services.iter().map(|s| (*s).to_owned()).collect();
            book.set_planned(services, now)
        }
        Step::Rejudged(was, amiss) => book.rejudged(*was, amiss, now),
        Step::Blind(blind) => book.blind(blind, now),
        Step::Sees => book.sees("local is heard again, and judges", now),
        Step::Tick => book.tick(now),
    }
}

/// Lines of a timeline, as `SECONDS KIND TEXT`.
pub(super) fn lines(incident: &Incident) -> Vec<String> {
    let of = |m: &bellwether_model::incident::Moment| {
        let kind = serde_json::to_value(m.kind).unwrap();
        let seconds = m.at.as_second() - at(0).as_second();
        format!("{seconds} {} {}", kind.as_str().unwrap(), m.text)
    };
    incident.timeline.iter().map(of).collect()
}
