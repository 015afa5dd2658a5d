//! What the tests of the embedded store share: runs of every kind, and a store in a directory that
//! goes away.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::sync::Arc;

use bellwether_model::incident::{Incident, IncidentState, Moment, MomentKind};
use bellwether_model::run::{Phases, RunOutcome, Trigger};
use bellwether_model::{CheckId, Digest, Envelope, Layer, Run, VantageId};
use bellwether_store::{Embedded, Options, Retention};
use jiff::{SignedDuration, Timestamp};

/// 2026-03-10 12:00:00 UTC.
pub(crate) const NOON: i64 = 1_773_144_000;

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(crate) const KEEP: Retention = Retention {
    raw_days: 30,
    rollup_days: 395,
    max_bytes: u64::MAX,
};

/// A reserve small enough for tests.
pub(crate) const RESERVE: u64 = 256 * 1024;

pub(crate) fn options(now: Timestamp) -> Options {
    Options {
        reserve_bytes: RESERVE,
        ..Options::new(now)
    }
}

pub(crate) fn open(dir: &std::path::Path, now: i64) -> Embedded {
    Embedded::open(dir, options(at(now))).unwrap()
}

pub(crate) fn check_of(index: usize) -> CheckId {
    CheckId::new("shop", &format!("check-{index}"))
}

pub(crate) fn vantage() -> VantageId {
    VantageId::new("local")
}

/// A run of a check that is due at a second, with a bit of everything; the same for the same numbers.
pub(crate) fn run(check: usize, every: u32, due: i64, sequence: u64) -> Run {
    let mut random = fastrand::Rng::with_seed(sequence.wrapping_mul(31).wrapping_add(check as u64));
    let failed = random.u8(..) < 16;
    let confirm = random.u8(..) < 8;
    let micros = if confirm { random.i64(0..1_000_000) } else { 0 };
    let certificate = (!check.is_multiple_of(3)).then_some(Digest([check as u8; 32]));
    Run {
        check: check_of(check),
        vantage: vantage(),
        sequence,
        due: at(due) + SignedDuration::from_micros(micros),
        late: random.u32(200..4_000),
        every,
        trigger: if confirm {
            Trigger::Confirm
        } else {
            Trigger::Schedule
        },
        outcome: if failed {
            RunOutcome::Failed
        } else {
            RunOutcome::Ok
        },
        layer: failed.then_some(Layer::Net),
        symptom: failed.then(|| Arc::from("tcp.refused")),
        resolver: Some(Arc::from("192.0.2.53")),
        address: Some(std::net::IpAddr::from([192, 0, 2, random.u8(1..5)])),
        status: (!failed).then_some(200),
        size: (!failed).then(|| random.u32(5_000..5_050)),
        certificate,
        certificate_ends: certificate.map(|_| at(NOON + 86_400 * 60)),
        evidence: failed.then(|| Digest([random.u8(..); 32])),
        clock_offset_ms: None,
        phases: Phases {
            dns: Some(random.u32(800..1_200)),
            connect: Some(random.u32(9_000..11_000)),
            tls: (!failed).then(|| random.u32(18_000..22_000)),
            first_byte: (!failed).then(|| random.u32(25_000..35_000)),
            transfer: (!failed).then(|| random.u32(100..300)),
        },
    }
}

pub(crate) fn envelope(agent: &str, number: u64, runs: Vec<Run>) -> Envelope {
    Envelope {
        agent: agent.into(),
        boot: 7,
        number,
        runs,
    }
}

/// An incident with a timeline.
pub(crate) fn incident(id: u64, state: IncidentState, evidence: Vec<Digest>) -> Incident {
    let text = format!(
        r#"{{"id":{id},"state":"open","cause":"dns.delegation.wrong_ns","layer":"dns","severity":"critical",
        "verdict":"broken","confidence":0.1234567890123456789,"summary":"shop {id} is delegated elsewhere","remedy":"put the NS set back",
        "checks":[],"scope":{{}},"began":"2026-03-10T11:58:00Z","opened":"2026-03-10T12:00:00Z","updated":"2026-03-10T12:00:00Z"}}"#
    );
    let mut incident: Incident = serde_json::from_str(&text).unwrap();
    incident.state = state;
    incident.timeline = vec![Moment {
        at: at(NOON),
        kind: MomentKind::Alarm,
        text: "opened".to_owned(),
        evidence: evidence.first().copied(),
    }];
    incident.evidence = evidence;
    incident
}

/// All runs of a check in a day around noon.
pub(crate) fn all_runs(store: &Embedded, check: usize) -> bellwether_store::Series {
    use bellwether_store::ObservationStore;
    store
        .series(
            &check_of(check),
            &vantage(),
            at(NOON - 86_400 * 40)..at(NOON + 86_400 * 40),
            usize::MAX,
        )
        .unwrap()
}
