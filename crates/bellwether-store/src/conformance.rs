//! What every implementation must do, whatever engine is behind it.
//!
//! An implementation's tests call [`all`] with a constructor. Each check begins with a store of its
//! own, and panics with what is wrong.

use std::sync::Arc;

use bellwether_model::incident::{Incident, IncidentState};
use bellwether_model::run::{Phases, RunOutcome, Trigger};
use bellwether_model::{CheckId, Digest, Envelope, Layer, Run, VantageId};
use jiff::{SignedDuration, Timestamp};

use crate::state::{Change, CounterRow, Notice, StateStore, Token};
use crate::{Cursor, ObservationStore, Retention, Step};

/// A store to be checked: both halves, of one engine or of two.
pub struct Subject {
    /// Runs.
    pub observations: Arc<dyn ObservationStore>,
    /// State.
    pub state: Arc<dyn StateStore>,
}

/// When the checks begin: noon of a day in 2026. A store must be opened as of this time.
pub const BEGIN: Timestamp = Timestamp::constant(1_773_144_000, 0);

const KEEP: Retention = Retention {
    raw_days: 30,
    rollup_days: 395,
    max_bytes: u64::MAX,
};

/// Checks everything, each with a new store.
///
/// # Panics
/// When the store does not do what it must.
pub fn all(mut open: impl FnMut() -> Subject) {
    let checks: [fn(&Subject); 12] = [
        runs_come_back,
        runs_come_back_after_maintenance,
        envelopes_are_kept_once,
        gaps_are_counted,
        late_runs_find_their_place,
        ranges_are_half_open,
        rollups_say_what_the_runs_say,
        incidents_come_back,
        changes_are_made_together,
        evidence_is_found_by_its_digest,
        the_outbox_hands_out_until_sent,
        words_of_state_are_replaced,
    ];
    for check in checks {
        check(&open());
    }
}

fn after(seconds: i64) -> Timestamp {
    BEGIN + SignedDuration::from_secs(seconds)
}

fn vantage() -> VantageId {
    VantageId::new("local")
}

/// A run with every field filled in, or hardly any.
fn run(check: &str, seconds: i64, sequence: u64) -> Run {
    let full = !sequence.is_multiple_of(3);
    let failed = sequence.is_multiple_of(7);
    Run {
        check: CheckId::new("shop", check),
        vantage: vantage(),
        sequence,
        due: after(seconds),
        late: (sequence * 317 % 5000) as u32,
        every: 30_000,
        trigger: if sequence.is_multiple_of(5) {
            Trigger::Confirm
        } else {
            Trigger::Schedule
        },
        outcome: if failed {
            RunOutcome::Failed
        } else {
            RunOutcome::Ok
        },
        layer: failed.then_some(Layer::Dns),
        symptom: failed.then(|| "dns.nxdomain".into()),
        resolver: full.then(|| "192.0.2.53".into()),
        address: full.then(|| [192, 0, 2, (sequence % 4) as u8].into()),
        status: full.then_some(200),
        size: full.then_some(5000 + sequence as u32),
        certificate: full.then_some(Digest([3; 32])),
        certificate_ends: full.then(|| after(86_400 * 30)),
        evidence: failed.then_some(Digest([sequence as u8; 32])),
        clock_offset_ms: full.then(|| 40 - i32::try_from(sequence % 81).unwrap_or_default()),
        phases: Phases {
            dns: Some(1000 + sequence as u32),
            connect: full.then_some(20_000),
            ..Phases::default()
        },
    }
}

fn envelope(number: u64, runs: Vec<Run>) -> Envelope {
    Envelope {
        agent: "agent-1".into(),
        boot: 1,
        number,
        runs,
    }
}

/// Three hours of a run every half minute.
fn hours() -> Vec<Run> {
    (0..360)
        .map(|n| run("main", n * 30, n as u64 + 1))
        .collect()
}

fn fill(store: &Subject, runs: &[Run]) {
    for (index, runs) in runs.chunks(50).enumerate() {
        let envelope = envelope(index as u64 + 1, runs.to_vec());
        let appended = store.observations.append(&[envelope]).expect("appends");
        assert_eq!(appended.runs, runs.len());
    }
}

fn read(store: &Subject, from: i64, to: i64) -> Vec<Run> {
    let check = CheckId::new("shop", "main");
    let series = store
        .observations
        .series(&check, &vantage(), after(from)..after(to), usize::MAX)
        .expect("reads");
    assert_eq!(series.gaps, [], "nothing is missing");
    series.runs
}

fn runs_come_back(store: &Subject) {
    let runs = hours();
    fill(store, &runs);
    assert_eq!(read(store, -3600, 86_400), runs);
    let check = CheckId::new("shop", "main");
    let newest = store
        .observations
        .series(&check, &vantage(), after(0)..after(86_400), 5)
        .expect("reads");
    assert_eq!(newest.runs, runs[355..], "the newest, oldest first");
    let known = store.observations.all_series().expect("reads");
    assert_eq!(known, [(check, vantage())]);
    let unknown = CheckId::new("shop", "other");
    let none = store
        .observations
        .series(&unknown, &vantage(), after(0)..after(86_400), 5);
    assert_eq!(none.expect("reads").runs, []);
}

fn runs_come_back_after_maintenance(store: &Subject) {
    let runs = hours();
    fill(store, &runs);
    for minutes in [11, 70, 130, 250, 720, 1450, 1500] {
        let done = store.observations.maintain(after(minutes * 60), &KEEP);
        assert_eq!(done.expect("maintains").damage, Vec::<String>::new());
        assert_eq!(read(store, -3600, 86_400), runs, "after {minutes} minutes");
    }
    // The first day so far ahead may be a clock that is wrong; others after it show it to be right.
    let mut dropped = Vec::new();
    for day in 32..36 {
        let late = after(86_400 * day);
        let done = store.observations.maintain(late, &KEEP).expect("maintains");
        dropped.extend(done.dropped);
    }
    assert!(!dropped.is_empty(), "a month later the day is dropped");
    assert_eq!(read(store, -3600, 86_400), []);
}

fn envelopes_are_kept_once(store: &Subject) {
    let first = envelope(1, vec![run("main", 0, 1)]);
    let second = envelope(2, vec![run("main", 30, 2)]);
    let append = |envelopes: &[Envelope]| store.observations.append(envelopes).expect("appends");
    assert_eq!(append(&[first.clone(), second.clone()]).repeated, 0);
    let again = append(&[first.clone(), second, envelope(3, vec![run("main", 60, 3)])]);
    assert_eq!((again.runs, again.repeated, again.missing), (1, 2, 0));
    let cursor = |agent| store.observations.cursor(agent).expect("reads");
    let Cursor { number, boot } = cursor("agent-1");
    assert_eq!((number, boot), (3, first.boot));
    assert_eq!(cursor("agent-2"), Cursor::default());
    let other = Envelope {
        agent: "agent-2".into(),
        boot: first.boot + 1,
        ..first
    };
    let next = other.boot;
    assert_eq!(
        append(&[other]).runs,
        1,
        "another agent has its own numbers"
    );
    let Cursor { number, boot } = cursor("agent-2");
    assert_eq!((number, boot), (1, next), "the start of its newest");
    assert_eq!(read(store, 0, 3600).len(), 4);
}

fn gaps_are_counted(store: &Subject) {
    let append = |number| {
        let runs = vec![run("main", number as i64 * 30, number)];
        store
            .observations
            .append(&[envelope(number, runs)])
            .expect("appends")
    };
    assert_eq!(append(1).missing, 0);
    assert_eq!(append(5).missing, 3);
    assert_eq!(append(6).missing, 0);
    assert_eq!(read(store, 0, 3600).len(), 3);
}

fn late_runs_find_their_place(store: &Subject) {
    let runs = hours();
    let (late, early): (Vec<Run>, Vec<Run>) = runs
        .iter()
        .cloned()
        .partition(|run| run.sequence.is_multiple_of(4));
    let append = |number, runs| {
        store
            .observations
            .append(&[envelope(number, runs)])
            .expect("appends");
    };
    append(1, early);
    store
        .observations
        .maintain(after(5 * 3600), &KEEP)
        .expect("maintains");
    append(2, late);
    assert_eq!(read(store, 0, 86_400), runs);
    store
        .observations
        .maintain(after(6 * 3600), &KEEP)
        .expect("maintains");
    assert_eq!(read(store, 0, 86_400), runs);
    store
        .observations
        .maintain(after(36 * 3600), &KEEP)
        .expect("maintains");
    assert_eq!(read(store, 0, 86_400), runs);
    rollups_agree(store, &runs);
}

fn ranges_are_half_open(store: &Subject) {
    let runs = hours();
    fill(store, &runs);
    let check = CheckId::new("shop", "main");
    let (first, last) = (runs[10].began(), runs[20].began());
    for _ in 0..2 {
        let series = store
            .observations
            .series(&check, &vantage(), first..last, usize::MAX)
            .expect("reads");
        assert_eq!(series.runs, runs[10..20]);
        store
            .observations
            .maintain(after(86_400), &KEEP)
            .expect("maintains");
    }
}

fn rollups_say_what_the_runs_say(store: &Subject) {
    let runs = hours();
    fill(store, &runs);
    for hours in [0, 1, 2, 4, 13, 40] {
        store
            .observations
            .maintain(after(hours * 3600 + 400), &KEEP)
            .expect("maintains");
        rollups_agree(store, &runs);
    }
}

/// Compares roll-ups with the runs that they are of.
fn rollups_agree(store: &Subject, runs: &[Run]) {
    let series = [(CheckId::new("shop", "main"), vantage())];
    for (step, seconds) in [(Step::Hour, 3600), (Step::Day, 86_400)] {
        let rollups = store
            .observations
            .rollups(&series, step, after(-86_400)..after(86_400))
            .expect("reads");
        let of = |at: Timestamp| at.as_second().div_euclid(seconds) * seconds;
        let mut steps: Vec<i64> = runs.iter().map(|run| of(run.began())).collect();
        steps.dedup();
        let found: Vec<i64> = rollups
            .iter()
            .map(|rollup| rollup.from.as_second())
            .collect();
        assert_eq!(found, steps, "a row for each step");
        for rollup in rollups {
            let here = |run: &&Run| of(run.began()) == rollup.from.as_second();
            let ok: Vec<&Run> = runs
                .iter()
                .filter(here)
                .filter(|run| run.outcome == RunOutcome::Ok)
                .collect();
            let all = runs.iter().filter(here).count() as u64;
            let failed = all - ok.len() as u64;
            assert_eq!(rollup.outcomes, [ok.len() as u64, 0, failed, 0]);
            let symptoms: Vec<(String, u64)> = vec![("dns.nxdomain".to_owned(), failed)];
            assert_eq!(rollup.symptoms, symptoms);
            assert_eq!(rollup.total.count(), ok.len() as u64);
            let sum: u64 = ok.iter().map(|run| run.phases.total()).sum();
            assert_eq!(rollup.total.sum(), sum);
            let phases = if step == Step::Day { 5 } else { 0 };
            assert_eq!(rollup.phases.len(), phases);
            if step == Step::Day {
                assert_eq!(rollup.phases[0].count(), ok.len() as u64);
            }
        }
    }
}

fn incident(id: u64, state: IncidentState) -> Incident {
    let text = format!(
        r#"{{"id":{id},"state":"open","cause":"dns.delegation.wrong_ns","layer":"dns",
        "severity":"critical","verdict":"broken","confidence":0.30000000000000004,
        "summary":"incident {id}","remedy":"","checks":[],"scope":{{}},
        "began":"2026-03-10T11:58:00Z","opened":"2026-03-10T12:00:00Z",
        "updated":"2026-03-10T12:00:00Z"}}"#
    );
    let mut incident: Incident = serde_json::from_str(&text).expect("an incident");
    incident.state = state;
    incident
}

fn put(store: &Subject, incident: Incident) {
    let change = Change::Incident(Box::new(incident));
    store.state.commit(&[change]).expect("commits");
}

fn incidents_come_back(store: &Subject) {
    assert_eq!(store.state.next_incident().expect("reads"), 1);
    for id in 1..=4 {
        put(store, incident(id, IncidentState::Open));
    }
    put(store, incident(2, IncidentState::Resolved));
    put(store, incident(3, IncidentState::Acknowledged));
    let ids = |incidents: Vec<Incident>| -> Vec<u64> {
        incidents.into_iter().map(|incident| incident.id).collect()
    };
    assert_eq!(ids(store.state.open_incidents().expect("reads")), [1, 3, 4]);
    assert_eq!(ids(store.state.incidents(None, 2).expect("reads")), [4, 3]);
    assert_eq!(
        ids(store.state.incidents(Some(3), 9).expect("reads")),
        [2, 1]
    );
    let third = store.state.incident(3).expect("reads");
    assert_eq!(third, Some(incident(3, IncidentState::Acknowledged)));
    assert_eq!(store.state.incident(9).expect("reads"), None);
    assert_eq!(store.state.next_incident().expect("reads"), 5);
}

fn changes_are_made_together(store: &Subject) {
    let change = Change::Checkpoint {
        key: "a".to_owned(),
        bytes: Some(vec![1]),
    };
    let refused = Change::Incident(Box::new(incident(0, IncidentState::Open)));
    let commit = store.state.commit(&[change, refused]);
    assert!(commit.is_err(), "0 is no number of an incident");
    assert_eq!(store.state.checkpoint("a").expect("reads"), None);
}

fn evidence_is_found_by_its_digest(store: &Subject) {
    let bytes = b"a report".repeat(100);
    let keep = |at| Change::Evidence {
        at,
        bytes: bytes.clone(),
    };
    store.state.commit(&[keep(BEGIN)]).expect("commits");
    store
        .state
        .commit(&[keep(after(60))])
        .expect("the same again commits");
    let hex = "9b1b5f9bd1a1b7d9e7c0bfb0ac8b2b4f9b5b6a5b3f2bd2d0a0ef3c8c3f9f0000";
    assert_eq!(
        store
            .state
            .evidence(&Digest::parse(hex).expect("hex"))
            .expect("reads"),
        None
    );
    let digest: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&bytes).into();
    assert_eq!(
        store.state.evidence(&Digest(digest)).expect("reads"),
        Some(bytes)
    );
}

fn the_outbox_hands_out_until_sent(store: &Subject) {
    let notice = |kind: &str| Notice {
        id: 0,
        incident: 1,
        at: BEGIN,
        kind: kind.to_owned(),
        text: "shop is broken".to_owned(),
    };
    let changes = [
        Change::Incident(Box::new(incident(1, IncidentState::Open))),
        Change::Notice(notice("opened")),
        Change::Notice(notice("grown")),
    ];
    store.state.commit(&changes).expect("commits");
    let waiting = store.state.outbox(10).expect("reads");
    let kinds: Vec<&str> = waiting.iter().map(|notice| notice.kind.as_str()).collect();
    assert_eq!(kinds, ["opened", "grown"]);
    assert_eq!(store.state.outbox(1).expect("reads").len(), 1);
    let sent = Change::Sent {
        notice: waiting[0].id,
        at: after(5),
    };
    store.state.commit(&[sent]).expect("commits");
    assert_eq!(store.state.outbox(10).expect("reads"), waiting[1..]);
}

fn words_of_state_are_replaced(store: &Subject) {
    let checkpoint = |key: &str, bytes: Option<&[u8]>| Change::Checkpoint {
        key: key.to_owned(),
        bytes: bytes.map(<[u8]>::to_vec),
    };
    let token = |scope: &str| {
        Change::Token(Token {
            name: "ci".to_owned(),
            hash: Digest([1; 32]),
            scopes: vec![scope.to_owned()],
            created: BEGIN,
            expires: None,
        })
    };
    let counters = |failed| CounterRow {
        source: "edge".to_owned(),
        service: "shop".to_owned(),
        from: after(0),
        to: after(60),
        attributes: vec![("region".to_owned(), "eu".to_owned())],
        total: 10,
        failed,
    };
    let commit = |changes: &[Change]| store.state.commit(changes).expect("commits");
    commit(&[
        checkpoint("d/a", Some(b"1")),
        checkpoint("d/b", Some(b"2")),
        checkpoint("e", Some(b"3")),
    ]);
    commit(&[checkpoint("d/a", Some(b"4")), checkpoint("d/b", None)]);
    let found = store.state.checkpoints("d/").expect("reads");
    assert_eq!(found, [("d/a".to_owned(), b"4".to_vec())]);
    commit(&[token("read"), token("write")]);
    let scopes: Vec<Vec<String>> = store
        .state
        .tokens()
        .expect("reads")
        .into_iter()
        .map(|token| token.scopes)
        .collect();
    assert_eq!(scopes, [["write"]]);
    commit(&[Change::TokenRevoked {
        name: "ci".to_owned(),
    }]);
    assert_eq!(store.state.tokens().expect("reads"), []);
    commit(&[
        Change::Counters(vec![counters(1)]),
        Change::Counters(vec![counters(2)]),
    ]);
    let read = |from, to| {
        store
            .state
            .counters("shop", after(from)..after(to))
            .expect("reads")
    };
    assert_eq!(read(0, 3600), [counters(2)]);
    assert_eq!(read(59, 60), [counters(2)]);
    assert_eq!(read(60, 120), []);
    assert_eq!(read(-60, 0), []);
    commit(&[Change::Generation {
        generation: 1,
        at: BEGIN,
        digest: Digest([2; 32]),
    }]);
}
