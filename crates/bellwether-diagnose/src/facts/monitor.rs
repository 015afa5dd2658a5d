//! Facts about ourselves: controls, routes, probes that did not run.

use std::net::IpAddr;

use bellwether_model::dns::{ControlVia, Exchange, ExchangeResult, HostFailure, HostSeen};
use bellwether_model::fact::Subject;
use bellwether_model::net::{Family, TcpResult, TcpSeen};
use bellwether_model::{FactKind, NotRunReason, ProbeKind};
use serde_json::json;

use super::Facts;
use crate::picture::{Picture, ServerView};

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    controls(picture, facts);
    routes(picture, facts);
    nothing_leaves(picture, facts);
    out_of_reach(picture, facts);
    not_run(picture, facts);
}

/// Controls that fail: those asked by ourselves, and those through resolvers, apart.
fn controls(picture: &Picture<'_>, facts: &mut Facts) {
    let failed: Vec<_> = picture.controls.iter().filter(|(_, c)| !c.ok).collect();
    if picture.controls.is_empty() || failed.len() < picture.controls.len() {
        return;
    }
    let names: Vec<String> = failed.iter().map(|(_, c)| c.control.clone()).collect();
    let value = json!({
        "failed": names.len(),
        "of": picture.controls.len(),
        "controls": names,
        "target_answers": picture.target_answers(),
    });
    facts.add(
        FactKind::ControlsFailed,
        Subject::Vantage,
        value,
        failed.iter().map(|(id, _)| *id),
    );
}

fn routes(picture: &Picture<'_>, facts: &mut Facts) {
    let by_tcp = picture.addresses.values().filter_map(|a| {
        let (id, tcp) = a.tcp?;
        (tcp.result == TcpResult::NoRoute).then_some(id)
    });
    let own = picture.controls.iter().filter_map(|(id, c)| {
        let direct = !matches!(c.via, ControlVia::Resolver { .. });
        let unreachable = matches!(&c.exchange.result, ExchangeResult::Unreachable { .. });
        (direct && !c.ok && unreachable).then_some(*id)
    });
    let from: Vec<&str> = by_tcp.chain(own).collect();
    if !from.is_empty() && picture.controls.iter().all(|(_, c)| !c.ok) {
        facts.add(
            FactKind::NoRoute,
            Subject::Vantage,
            json!({ "attempts": from.len() }),
            from,
        );
    }
}

/// Proof that it is us: not one packet left, and the system says why.
fn nothing_leaves(picture: &Picture<'_>, facts: &mut Facts) {
    let walked = picture.levels.iter();
    let asked = walked.flat_map(|(_, z)| z.servers.iter().flat_map(|s| &s.exchanges));
    let asked: Vec<_> = asked.collect();
    let lacked = asked.iter().filter(|e| e.lacked_route()).count();
    let dialled: Vec<_> = picture.addresses.values().filter_map(|a| a.tcp).collect();
    let no_route = |tcp: &&bellwether_model::net::TcpSeen| tcp.result == TcpResult::NoRoute;
    let stayed = dialled.iter().filter(|(_, t)| no_route(t)).count();
    let all_stayed = asked.iter().all(|e| !e.was_asked()) && stayed == dialled.len();
    let helped = picture
        .resolvers
        .iter()
        .any(crate::picture::ResolverView::is_usable);
    if !all_stayed || lacked + stayed == 0 || helped {
        return;
    }
    let from = picture.levels.iter().map(|(id, _)| *id);
    let from = from.chain(dialled.iter().map(|(id, _)| *id));
    let value = json!({ "attempts": lacked + stayed });
    facts.add(FactKind::NothingLeaves, Subject::Vantage, value, from);
}

/// What the check needs stands where this machine has no route to, an IPv6-only service for one whose
/// network has none.
fn out_of_reach(picture: &Picture<'_>, facts: &mut Facts) {
    let mut add = |what: String, addresses: Vec<IpAddr>, from: Vec<&str>| {
        let value = json!({ "what": what, "addresses": super::addresses(&addresses) });
        facts.add(FactKind::OutOfReach, Subject::Vantage, value, from);
    };
    if let Some(hop) = picture
        .last_hop()
        .filter(|h| h.delegated().next().is_none())
    {
        let exchanges = |s: &&ServerView<'_>| s.seen.exchanges.iter().any(Exchange::lacked_route);
        let lacking = hop.servers.iter().filter(exchanges);
        let mut far: Vec<IpAddr> = lacking.map(|s| s.seen.address).collect();
        far.sort();
        let lost = |h: &HostSeen| h.failure == Some(HostFailure::NoRoute);
        if !far.is_empty() || hop.seen.hosts.iter().any(lost) {
            add(
                format!("name server of {}", hop.seen.zone),
                far,
                vec![hop.id],
            );
        }
    }
    let counted = picture.addresses.values();
    let dialled: Vec<_> = counted
        .filter(|v| picture.judges(Family::of(v.address)))
        .filter_map(|v| Some((v.address, v.tcp?)))
        .collect();
    let stayed = |(_, (_, tcp)): &(IpAddr, (&str, &TcpSeen))| tcp.result == TcpResult::NoRoute;
    if !dialled.is_empty() && dialled.iter().all(stayed) {
        let from = dialled.iter().map(|(_, (id, _))| *id).collect();
        let far = dialled.iter().map(|(address, _)| *address).collect();
        add(
            format!("address of {}", picture.context.target.host_text()),
            far,
            from,
        );
    }
}

fn not_run(picture: &Picture<'_>, facts: &mut Facts) {
    let ours = |reason| {
        matches!(
            reason,
            NotRunReason::Deadline
                | NotRunReason::WorkerHung
                | NotRunReason::WorkerDied
                | NotRunReason::Panicked
        )
    };
    let side = |probe| {
        matches!(
            probe,
            ProbeKind::Icmp | ProbeKind::Path | ProbeKind::Control
        )
    };
    let lost: Vec<_> = picture
        .not_run
        .iter()
        .filter(|(_, probe, n)| ours(n.reason) && !side(*probe))
        .collect();
    if lost.is_empty() {
        return;
    }
    let mut probes: Vec<String> = lost
        .iter()
        .map(|(_, p, n)| format!("{} {}", p.name(), n.subject))
        .collect();
    probes.sort();
    let why: Vec<&str> = lost
        .iter()
        .map(|(_, _, n)| n.detail.as_str())
        .take(1)
        .collect();
    let value = json!({ "probes": probes, "reason": why.first() });
    facts.add(
        FactKind::ProbesNotRun,
        Subject::Vantage,
        value,
        lost.iter().map(|(id, ..)| *id),
    );
}
