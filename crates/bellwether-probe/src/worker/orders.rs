//! What a worker of many probes does for one order.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;

use bellwether_model::dns::{Question, ResolverOrigin};
use bellwether_model::job::{CheckAsk, Job, ResolverAsk, Told, Wanted};
use bellwether_model::observation::{DnsPurpose, DnsSeen, NotRun};
use bellwether_model::{DnsName, NotRunReason, Observation, Origin, Outcome, ProbeKind};
use tokio::sync::oneshot;

use super::visit;
use crate::cx::{Cx, Setting};
use crate::dns::exchange::{Ask, ask};
use crate::http::{Resolve, Resolved};
use crate::{attempt, check, icmp};

/// The setting that an order goes by: its own ask stands in place of the job's.
pub(super) fn setting_for(setting: Rc<Setting>, wanted: &Wanted) -> Rc<Setting> {
    match wanted {
        Wanted::Dns { .. } | Wanted::Address { .. } | Wanted::Echo { .. } => setting,
        Wanted::Visit {
            ask,
            resolver,
            deadline_ms,
            ..
        } => Setting::once(visit_job(setting.job(), ask, *resolver, *deadline_ms)),
        Wanted::Trace {
            ask,
            baseline,
            now,
            deadline_ms,
        } => {
            let CheckAsk {
                target,
                icmp_only,
                expect,
                client_cert,
                tries,
                timeout_ms,
            } = (**ask).clone();
            let job = Job {
                target,
                expect,
                client_cert,
                tries,
                timeout_ms: Some(timeout_ms),
                baseline: baseline.as_deref().cloned(),
                now: now.unwrap_or_else(crate::cx::now),
                deadline_ms: *deadline_ms,
                ..setting.job().clone()
            };
            Setting::traced(job, icmp_only)
        }
    }
}

/// The job of one visit: of what is common to all checks only what a user's client needs, since it
/// is made anew for each.
fn visit_job(common: &Job, ask: &CheckAsk, resolver: Option<u32>, deadline_ms: u64) -> Job {
    let CheckAsk {
        target,
        icmp_only: _,
        expect,
        client_cert,
        tries: _,
        timeout_ms,
    } = ask.clone();
    // A target that is an address may lead to a name all the same.
    let asked = resolver.and_then(|at| usize::try_from(at).ok());
    let resolver = match asked {
        Some(at) => common.resolvers.get(at),
        None if target.name().is_none() => common.resolvers.first(),
        None => None,
    };
    Job {
        schema: common.schema.clone(),
        target,
        expect,
        resolvers: resolver.cloned().into_iter().collect(),
        controls: Vec::new(),
        root_hints: Vec::new(),
        trust_anchor: Vec::new(),
        extra_roots: common.extra_roots.clone(),
        client_cert,
        tries: None,
        sources: common.sources.clone(),
        connect: common.connect,
        family: common.family,
        egress: common.egress.clone(),
        baseline: None,
        now: crate::cx::now(),
        asn_table: None,
        timeout_ms: Some(timeout_ms),
        deadline_ms,
        avoid: Vec::new(),
    }
}

pub(super) async fn run(cx: &Cx, wanted: &Wanted) {
    match wanted {
        Wanted::Dns { server, name } => dns(cx, *server, name).await,
        Wanted::Address { address } => {
            // On the heap: it is the largest by far, and would be carried about with the others.
            let resolve = Rc::new(Nowhere);
            Box::pin(attempt::run(cx, *address, Origin::Operator, 0, resolve)).await;
        }
        Wanted::Echo { address } => {
            let (_unserved, served) = oneshot::channel();
            icmp::run(cx, *address, Origin::Operator, 0, served).await;
        }
        Wanted::Visit { ask, turn, .. } => Box::pin(visit::run(cx, ask.icmp_only, *turn)).await,
        Wanted::Trace { .. } => Box::pin(check::run(cx)).await,
    }
}

async fn dns(cx: &Cx, server: SocketAddr, name: &DnsName) {
    let question = Question {
        name: name.clone(),
        rtype: "A".to_owned(),
    };
    let stand_in = NotRun {
        reason: NotRunReason::Deadline,
        detail: String::new(),
        subject: server.to_string(),
        address: Some(server.ip()),
        via: None,
    };
    let resolver = ResolverAsk {
        label: String::new(),
        address: server,
        channel: bellwether_model::resolver::Channel::default(),
        origin: ResolverOrigin::Given,
    };
    let wanted = Ask::resolver(&resolver, question);
    let own = cx.for_probe();
    let run = async {
        let seen = DnsSeen {
            server: server.ip(),
            purpose: DnsPurpose::Answer,
            exchange: ask(&own, &wanted).await,
        };
        (Outcome::Dns(seen), 1)
    };
    let key = format!("dns {server}");
    cx.probe(ProbeKind::Dns, key, stand_in, run).await;
}

/// The names of redirects are another probe's matter.
struct Nowhere;

impl Resolve for Nowhere {
    fn resolve(&self, name: DnsName) -> Pin<Box<dyn Future<Output = Resolved>>> {
        Box::pin(async move { Err(format!("{name} is not looked up by a probe of an address")) })
    }
}

/// What kind of record tells of an order as a whole.
pub(super) fn kind(wanted: &Wanted) -> ProbeKind {
    match wanted {
        Wanted::Dns { .. } => ProbeKind::Dns,
        Wanted::Address { .. } => ProbeKind::Tcp,
        Wanted::Echo { .. } => ProbeKind::Icmp,
        Wanted::Visit { .. } | Wanted::Trace { .. } => ProbeKind::Addresses,
    }
}

fn address(wanted: &Wanted) -> Option<IpAddr> {
    match wanted {
        Wanted::Visit { .. } | Wanted::Trace { .. } => None,
        Wanted::Dns { server, .. } => Some(server.ip()),
        Wanted::Address { address } | Wanted::Echo { address } => Some(*address),
    }
}

/// What it is aimed at.
pub(super) fn subject(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Visit { ask, .. } | Wanted::Trace { ask, .. } => ask.target.host_text(),
        Wanted::Dns { server, .. } => server.ip().to_string(),
        Wanted::Address { address } | Wanted::Echo { address } => address.to_string(),
    }
}

/// What is said of an order by a job that is not known.
pub(super) fn unknown(number: u64, wanted: &Wanted, settings_max: usize) -> Told {
    let observation = Observation {
        id: String::new(),
        probe: kind(wanted),
        began: crate::cx::now(),
        took_ms: 0.0,
        waits: 0,
        outcome: Outcome::NotRun(NotRun {
            reason: NotRunReason::Limit,
            detail: format!("no job of this number is known; at most {settings_max} are"),
            subject: subject(wanted),
            address: address(wanted),
            via: None,
        }),
    };
    Told {
        number,
        observations: vec![observation],
        queries: 0,
    }
}
