//! One line for each layer of a check, and for each control.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bellwether_model::http::BodyEnd;
use bellwether_model::report::{ControlReport, ControlState, LayerReport, LayerState, Role};
use bellwether_model::{Finding, Layer, Observation, ProbeKind};

use crate::picture::{AddressView, Attempt, Picture};
use crate::units;
use crate::words::{count, list, span};

/// At most this many addresses stand in a layer's line.
const ADDRESSES_MAX: usize = 2;

/// The layers that apply to the target, lowest first.
#[must_use]
pub fn layers(
    picture: &Picture<'_>,
    findings: &[Finding],
    observations: &[Observation],
) -> Vec<LayerReport> {
    let scheme = picture.context.target.scheme;
    let mut wanted = vec![Layer::Dns];
    if scheme.has_tcp() {
        wanted.push(Layer::Net);
    }
    if scheme.has_tls() {
        wanted.push(Layer::Tls);
    }
    if scheme.has_http() {
        wanted.push(Layer::Http);
    }
    wanted
        .into_iter()
        .map(|layer| {
            let (state, summary) = state(picture, findings, layer);
            LayerReport {
                layer,
                state,
                took_ms: took(observations, layer),
                summary,
            }
        })
        .collect()
}

fn took(observations: &[Observation], layer: Layer) -> f64 {
    let of = |probe| match probe {
        ProbeKind::Dns | ProbeKind::Delegation | ProbeKind::ResolverMatrix | ProbeKind::Dnssec => {
            Layer::Dns
        }
        ProbeKind::Tcp => Layer::Net,
        ProbeKind::Tls => Layer::Tls,
        ProbeKind::Http => Layer::Http,
        ProbeKind::Addresses | ProbeKind::Icmp | ProbeKind::Control | ProbeKind::Path => {
            Layer::Monitor
        }
    };
    let longest = observations
        .iter()
        .filter(|o| of(o.probe) == layer)
        .map(|o| o.took_ms);
    (longest.fold(0.0, f64::max) * 10.0).round() / 10.0
}

fn state(picture: &Picture<'_>, findings: &[Finding], layer: Layer) -> (LayerState, String) {
    let ours = findings
        .iter()
        .any(|f| f.layer == Layer::Monitor && f.role == Role::Root);
    let broken_at = |role: Role| {
        findings.iter().find(|f| {
            f.role == role && (f.layer == layer || layer == Layer::Dns && f.layer == Layer::Reg)
        })
    };
    if let Some(root) = broken_at(Role::Root) {
        let state = if root.scope.share >= 1.0 {
            LayerState::Failed
        } else {
            LayerState::Degraded
        };
        return (state, root.cause.to_string());
    }
    if let Some(consequence) = broken_at(Role::Consequence) {
        let state = if consequence.scope.share >= 1.0 {
            LayerState::Failed
        } else {
            LayerState::Degraded
        };
        return (state, format!("{} follows", consequence.cause));
    }
    if layer == Layer::Dns {
        return dns(picture, ours);
    }
    attempts(picture, layer)
}

fn dns(picture: &Picture<'_>, ours: bool) -> (LayerState, String) {
    if picture.context.target.name().is_none() {
        return (
            LayerState::Skipped,
            "an address needs no resolution".to_owned(),
        );
    }
    if picture.hops.is_empty() && picture.resolvers.is_empty() {
        return (
            LayerState::Unknown,
            why_not(picture, &[ProbeKind::Delegation, ProbeKind::ResolverMatrix]),
        );
    }
    let usable = picture.resolvers.iter().filter(|r| r.is_usable()).count();
    let nothing = usable == 0 && units::own_fails(picture);
    if ours && nothing {
        return (LayerState::Unknown, "the vantage itself fails".to_owned());
    }
    let servers: BTreeSet<&str> = picture.own_hop().map_or_else(BTreeSet::new, |h| {
        h.delegated().map(|s| s.seen.name.as_str()).collect()
    });
    let mut who = Vec::new();
    if !servers.is_empty() {
        who.push(count(servers.len(), "name server"));
    }
    if !picture.resolvers.is_empty() {
        who.push(count(picture.resolvers.len(), "resolver"));
    }
    let given: Vec<IpAddr> = picture
        .addresses
        .values()
        .filter(|v| !v.resolvers.is_empty() || !v.servers.is_empty())
        .map(|v| v.address)
        .collect();
    let lead = match given.len() {
        _ if !picture.context.expect.exists => " deny the name, as declared".to_owned(),
        0 => " asked".to_owned(),
        1..=ADDRESSES_MAX => format!(" lead to {}", list(given)),
        many => format!(" lead to {}", count(many, "address")),
    };
    (LayerState::Ok, format!("{}{lead}", who.join(" and ")))
}

/// What is worth knowing of a layer in which everything works.
fn fine(picture: &Picture<'_>, layer: Layer, good: usize) -> String {
    let all = count(good, "address");
    let s = if good == 1 { "s" } else { "" };
    match layer {
        Layer::Net => format!("{all} connect{s}"),
        Layer::Tls => {
            let seen = || picture.addresses.values().filter_map(|v| v.tls);
            let versions: BTreeSet<&str> =
                seen().filter_map(|(_, t)| t.version.as_deref()).collect();
            let ends = seen().filter_map(|(_, t)| t.chain.first()?.not_after).min();
            let ends = ends.map_or_else(String::new, |end| {
                let left = end.as_second() - picture.context.now.as_second();
                let days = span(left.unsigned_abs());
                format!(
                    ", certificate until {} ({days} left)",
                    end.strftime("%Y-%m-%d")
                )
            });
            let versions: Vec<String> = versions
                .into_iter()
                .map(|v| format!(", {}", v.replace("TLSv", "TLS ")))
                .collect();
            format!("{all}{}{ends}", versions.concat())
        }
        Layer::Http => {
            let statuses: BTreeSet<u16> = picture
                .addresses
                .values()
                .filter_map(|v| v.http.last().and_then(|(_, h)| h.status))
                .collect();
            let cut = picture.addresses.values().filter(|v| is_cut_by_memory(v));
            let cut = match cut.count() {
                0 => String::new(),
                cut => format!(
                    "; reading stopped early at {cut}: the memory for all probes together was spent"
                ),
            };
            if statuses.is_empty() {
                return format!("{all} answer{s}{cut}");
            }
            format!("{all} answer{s} {}{cut}", list(statuses))
        }
        Layer::Monitor | Layer::Reg | Layer::Dns | Layer::Route | Layer::App | Layer::Promise => {
            all
        }
    }
}

/// Was the body read in part only, because others took the memory?
fn is_cut_by_memory(view: &AddressView<'_>) -> bool {
    let body = view.http.last().and_then(|(_, seen)| seen.body.as_ref());
    body.is_some_and(|body| body.end == BodyEnd::CutByMemory)
}

fn attempts(picture: &Picture<'_>, layer: Layer) -> (LayerState, String) {
    let reached = |a: &Attempt| match a {
        Attempt::Works => true,
        Attempt::Fails(at) => *at > layer,
        Attempt::Unjudged(_) => false,
    };
    let failed_here = |a: &Attempt| matches!(a, Attempt::Fails(at) if *at == layer);
    let all = || picture.addresses.values().map(|v| &v.attempt);
    let (good, bad) = (
        all().filter(|a| reached(a)).count(),
        all().filter(|a| failed_here(a)).count(),
    );
    if !picture.context.expect.exists && picture.addresses.is_empty() {
        return (
            LayerState::Skipped,
            "not judged: the name is declared not to exist".to_owned(),
        );
    }
    let lower = all().any(|a| matches!(a, Attempt::Fails(at) if *at < layer));
    match (good, bad) {
        (0, 0) if lower || picture.addresses.is_empty() && !picture.hops.is_empty() => (
            LayerState::Skipped,
            "not judged: what it needs fails".to_owned(),
        ),
        (0, 0) => {
            let probe = match layer {
                Layer::Net => ProbeKind::Tcp,
                Layer::Tls => ProbeKind::Tls,
                Layer::Monitor
                | Layer::Reg
                | Layer::Dns
                | Layer::Route
                | Layer::Http
                | Layer::App
                | Layer::Promise => ProbeKind::Http,
            };
            if connected_before(picture, layer) {
                (LayerState::Ok, "answers".to_owned())
            } else {
                (
                    LayerState::Unknown,
                    why_not(picture, &[probe, ProbeKind::Delegation]),
                )
            }
        }
        (good, 0) => (LayerState::Ok, fine(picture, layer, good)),
        (0, _) => (LayerState::Failed, "fails".to_owned()),
        (_, bad) => (
            LayerState::Degraded,
            format!("{bad} of {} fail", good + bad),
        ),
    }
}

/// Did the layer's own probe succeed where a higher one brought no result?
fn connected_before(picture: &Picture<'_>, layer: Layer) -> bool {
    picture.addresses.values().any(|v| match layer {
        Layer::Net => v
            .tcp
            .is_some_and(|(_, t)| t.result == bellwether_model::net::TcpResult::Connected),
        Layer::Tls => v
            .tls
            .is_some_and(|(_, t)| !crate::picture::addresses::tls_fails(t)),
        Layer::Monitor
        | Layer::Reg
        | Layer::Dns
        | Layer::Route
        | Layer::Http
        | Layer::App
        | Layer::Promise => false,
    })
}

fn why_not(picture: &Picture<'_>, probes: &[ProbeKind]) -> String {
    let found = probes
        .iter()
        .find_map(|p| picture.not_run.iter().find(|(_, kind, _)| kind == p));
    found.map_or_else(
        || "no probe brought a result".to_owned(),
        |(_, _, n)| n.detail.clone(),
    )
}

/// The controls, each with the way to it.
#[must_use]
pub fn controls(picture: &Picture<'_>) -> Vec<ControlReport> {
    use bellwether_model::dns::ControlVia;
    let lines = picture.controls.iter().map(|(_, c)| {
        let name = match &c.via {
            ControlVia::Resolver { resolver } => format!("{} via {resolver}", c.control),
            ControlVia::Own => format!("{} by own iteration", c.control),
            ControlVia::Address => c.control.clone(),
        };
        ControlReport {
            name,
            state: if c.ok {
                ControlState::Ok
            } else {
                ControlState::Failed
            },
        }
    });
    lines.collect()
}
