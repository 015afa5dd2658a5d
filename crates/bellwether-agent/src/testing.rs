//! Plans and answers in few words.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::dns::{
    Exchange, ExchangeResult, Flags, Question, Rcode, Record, ResolverOrigin, Response, Transport,
};
use bellwether_model::job::{CheckAsk, JOB_SCHEMA, Job, ResolverAsk, Told, Wanted};
use bellwether_model::net::{TcpResult, TcpSeen};
use bellwether_model::observation::{DnsPurpose, DnsSeen, NotRun};
use bellwether_model::tls::{CertSeen, TlsPurpose, TlsResult, TlsSeen};
use bellwether_model::{
    Channel, CheckId, Egress, Expect, NotRunReason, Observation, Outcome, ProbeKind, Target,
    VantageId,
};
use bellwether_probe::worker::{Judged, Records};
use jiff::Timestamp;

use crate::workers::Said;
use crate::{Plan, PlannedCheck, judge};

/// Where tests begin: no multiple of anything.
pub(crate) const BEGIN: u64 = 1_727_781_013_456_789;
pub(crate) const SECOND: u64 = 1_000_000;
/// What a script's check times out after, milliseconds.
pub(crate) const TIMEOUT_MS: u64 = 5000;

pub(crate) fn resolver(label: &str, origin: ResolverOrigin) -> ResolverAsk {
    ResolverAsk {
        label: label.to_owned(),
        address: SocketAddr::new(label.parse().unwrap(), 53),
        channel: Channel::Plain,
        origin,
    }
}

fn job() -> Job {
    Job {
        schema: JOB_SCHEMA.to_owned(),
        target: target("placeholder.example"),
        expect: Expect::default(),
        resolvers: vec![
            resolver("192.0.2.1", ResolverOrigin::Given),
            resolver("192.0.2.2", ResolverOrigin::Given),
        ],
        controls: Vec::new(),
        root_hints: Vec::new(),
        trust_anchor: Vec::new(),
        extra_roots: Vec::new(),
        client_cert: None,
        tries: None,
        sources: Vec::new(),
        connect: None,
        family: None,
        egress: Egress::default(),
        baseline: None,
        now: Timestamp::UNIX_EPOCH,
        asn_table: None,
        timeout_ms: None,
        deadline_ms: 15_000,
        avoid: Vec::new(),
    }
}

fn target(host: &str) -> Target {
    format!("tls://{host}:443").parse().unwrap()
}

pub(crate) fn name(n: usize) -> String {
    format!("svc-{n:05}.example")
}

pub(crate) fn id(n: usize) -> CheckId {
    CheckId::new(&format!("svc-{n:05}"), "main")
}

pub(crate) fn planned(n: usize, every: u64) -> PlannedCheck {
    PlannedCheck {
        id: id(n),
        ask: Arc::new(CheckAsk {
            target: target(&name(n)),
            icmp_only: false,
            expect: Expect::default(),
            client_cert: None,
            tries: None,
            timeout_ms: TIMEOUT_MS,
        }),
        every: Duration::from_secs(every),
        deep_every: Duration::from_secs(6 * 3600),
        baseline: None,
    }
}

pub(crate) fn plan(count: usize, every: u64) -> Plan {
    Plan {
        generation: 1,
        vantage: VantageId::new(VantageId::LOCAL),
        common: job(),
        checks: (0..count).map(|n| planned(n, every)).collect(),
        at_once: 512,
        workers: 2,
    }
}

/// What a script says of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Ok,
    Refused,
    Nxdomain,
    NotRun(NotRunReason),
    /// Ok, with a certificate of this digest.
    Certificate(u8),
}

/// The name that is aimed at.
pub(crate) fn aim(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Visit { ask, .. } | Wanted::Trace { ask, .. } => ask.target.host_text(),
        Wanted::Dns { .. } | Wanted::Address { .. } | Wanted::Echo { .. } => unreachable!(),
    }
}

pub(crate) fn told(number: u64, wanted: &Wanted, seen: Seen) -> Told {
    let observations = match wanted {
        Wanted::Visit { ask, turn, .. } => visit(ask, *turn, seen),
        Wanted::Trace { .. } => vec![observation(ProbeKind::Tcp, connection(0, seen))],
        Wanted::Dns { .. } | Wanted::Address { .. } | Wanted::Echo { .. } => unreachable!(),
    };
    Told {
        number,
        observations,
        queries: 1,
    }
}

/// What is said of an order by a worker that says what it saw, or by one that judges it: by turns, since
/// both must come to the same.
pub(crate) fn said(number: u64, wanted: &Wanted, seen: Seen) -> Said {
    let told = told(number, wanted, seen);
    match wanted {
        Wanted::Visit {
            ask,
            usual: Some(usual),
            ..
        } if number.is_multiple_of(2) => {
            let (brief, records) = judge(ask, told.observations, Timestamp::UNIX_EPOCH);
            let is_usual = usual.contains(&brief.look());
            Said::Judged(Judged {
                number,
                queries: told.queries,
                brief,
                records: (!is_usual).then(|| Records::of(&records).unwrap()),
            })
        }
        _ => Said::Told(told),
    }
}

/// A visit by this ask.
pub(crate) fn visit_of(ask: &Arc<CheckAsk>) -> Wanted {
    Wanted::Visit {
        ask: ask.clone(),
        resolver: Some(0),
        turn: 0,
        deadline_ms: TIMEOUT_MS,
        usual: None,
    }
}

fn visit(ask: &CheckAsk, turn: u32, seen: Seen) -> Vec<Observation> {
    let rcode = match seen {
        Seen::Nxdomain => Rcode::NXDOMAIN,
        Seen::NotRun(reason) => {
            let not_run = NotRun {
                reason,
                detail: String::new(),
                subject: String::new(),
                address: None,
                via: None,
            };
            return vec![observation(ProbeKind::Dns, Outcome::NotRun(not_run))];
        }
        Seen::Ok | Seen::Refused | Seen::Certificate(_) => Rcode::NOERROR,
    };
    let mut all = vec![observation(ProbeKind::Dns, look_up(ask, rcode))];
    if rcode == Rcode::NOERROR {
        all.push(observation(ProbeKind::Tcp, connection(turn, seen)));
    }
    if let Seen::Ok | Seen::Certificate(_) = seen {
        let digest = if let Seen::Certificate(digest) = seen {
            digest
        } else {
            0
        };
        all.push(observation(ProbeKind::Tls, handshake(turn, digest)));
    }
    all
}

fn observation(probe: ProbeKind, outcome: Outcome) -> Observation {
    Observation {
        id: String::new(),
        probe,
        began: Timestamp::UNIX_EPOCH,
        took_ms: 1.5,
        waits: 1,
        outcome,
    }
}

fn address(turn: u32) -> IpAddr {
    let last = if turn.is_multiple_of(2) { 1 } else { 2 };
    IpAddr::from([198, 51, 100, last])
}

fn look_up(ask: &CheckAsk, rcode: Rcode) -> Outcome {
    let name = ask.target.name().unwrap().clone();
    let record = |turn| Record {
        name: name.clone(),
        ttl: 300,
        rtype: "A".to_owned(),
        data: address(turn).to_string(),
    };
    let answer = if rcode == Rcode::NOERROR {
        vec![record(0), record(1)]
    } else {
        Vec::new()
    };
    let response = Response {
        rcode,
        flags: Flags::default(),
        edns: true,
        extended_errors: Vec::new(),
        answer,
        authority: Vec::new(),
        additional: Vec::new(),
        size: 90,
        case_kept: true,
        malformed: None,
        malformed_at: None,
        raw: None,
    };
    let exchange = Exchange {
        question: Question {
            name,
            rtype: "A".to_owned(),
        },
        transport: Transport::Udp,
        edns: true,
        recursion: true,
        offered: None,
        variant: Default::default(),
        lower_case: false,
        tries: 1,
        took_ms: 1.5,
        result: ExchangeResult::Answered {
            response: Box::new(response),
        },
        discarded: Vec::new(),
    };
    Outcome::Dns(DnsSeen {
        server: IpAddr::from([192, 0, 2, 1]),
        purpose: DnsPurpose::Answer,
        exchange,
    })
}

fn connection(turn: u32, seen: Seen) -> Outcome {
    let result = if seen == Seen::Refused {
        TcpResult::Refused
    } else {
        TcpResult::Connected
    };
    Outcome::Tcp(TcpSeen {
        address: SocketAddr::new(address(turn), 443),
        result,
        connect_ms: Some(2.25),
        info: None,
    })
}

fn handshake(turn: u32, digest: u8) -> Outcome {
    let certificate = CertSeen {
        sha256: bellwether_model::Digest([digest; 32]).to_string(),
        size: 900,
        subject: String::new(),
        issuer: String::new(),
        serial: String::new(),
        not_before: None,
        not_after: Some(Timestamp::UNIX_EPOCH),
        names: Vec::new(),
        addresses: Vec::new(),
        is_ca: false,
        self_signed: false,
        key: String::new(),
        signature: String::new(),
        scts: 0,
        must_staple: false,
        issuer_urls: Vec::new(),
        malformed: None,
        der: None,
    };
    let at = SocketAddr::new(address(turn), 443);
    Outcome::Tls(Box::new(TlsSeen {
        result: TlsResult::Completed,
        handshake_ms: 3.0,
        chain: vec![certificate],
        chain_len: 1,
        ..TlsSeen::begun(at, TlsPurpose::User)
    }))
}
