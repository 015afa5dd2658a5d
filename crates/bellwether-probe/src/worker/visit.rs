//! What one user does once: look the name up through one resolver, connect to one address, and go
//! on as far up as the target says. What failed is not tried in another way; a trace does that.

use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;

use bellwether_model::dns::{ControlVia, Exchange, Question, ResolverOrigin};
use bellwether_model::job::ResolverAsk;
use bellwether_model::net::Family;
use bellwether_model::observation::{DnsPurpose, DnsSeen, NotRun};
use bellwether_model::target::{Host, Scheme};
use bellwether_model::{DnsName, NotRunReason, Origin, Outcome, ProbeKind};
use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::attempt;
use crate::cx::Cx;
use crate::dns::{Ask, ask_whole};
use crate::http::{Resolve, Resolved};
use crate::icmp;
use crate::resolvers::without_address;
use crate::walk::no_v6_route;

/// Visits the job's target through the job's one resolver.
///
/// Leaves a `dns` record for each question, then `icmp`, or `tcp`, `tls` and `http` as far as it
/// came. `turn` picks the address.
pub(super) async fn run(cx: &Cx, icmp_only: bool, turn: u32) {
    let job = cx.job();
    let resolver = job.resolvers.first();
    let (address, origin, waits) = match &job.target.host {
        Host::Address(address) => (*address, Origin::Operator, 0),
        Host::Name(name) => {
            let Some(resolver) = resolver else {
                return without_resolver(cx, name).await;
            };
            let is_all = job.target.scheme == Scheme::Dns && !icmp_only;
            let rtypes = wanted_types(cx, is_all);
            let (exchanges, waits) = look_up(cx, resolver, name, &rtypes).await;
            if is_all {
                return;
            }
            let found = addresses(&exchanges);
            let origin = match resolver.origin {
                ResolverOrigin::System => Origin::SystemResolver,
                ResolverOrigin::Given | ResolverOrigin::Default => Origin::Network,
            };
            match (job.connect, pick(&found, turn)) {
                (Some(typed), _) => (typed, Origin::Operator, waits),
                (None, Some(address)) => (address, origin, waits),
                (None, None) => return,
            }
        }
    };
    if icmp_only {
        let (_unserved, served) = oneshot::channel();
        return icmp::run(cx, address, origin, waits, served).await;
    }
    let resolve = Rc::new(Through {
        cx: cx.clone(),
        resolver: resolver.cloned(),
    });
    attempt::run(cx, address, origin, waits, resolve).await;
}

/// The types that a user's client asks for: those of families that can be spoken from here, unless
/// the look-up is all there is.
fn wanted_types(cx: &Cx, is_all: bool) -> Vec<String> {
    let mut rtypes = cx.job().target.rtypes();
    if !is_all {
        rtypes.retain(|rtype| is_spoken(cx, rtype));
    }
    rtypes
}

fn is_spoken(cx: &Cx, rtype: &str) -> bool {
    let family = match rtype {
        "AAAA" => Family::V6,
        _ => Family::V4,
    };
    match cx.job().family {
        Some(only) => only == family,
        None => family == Family::V4 || cx.memory().has_v6(|| no_v6_route(cx).is_none()),
    }
}

/// Asks for all types at the same time, as clients do.
async fn look_up(
    cx: &Cx,
    resolver: &ResolverAsk,
    name: &DnsName,
    rtypes: &[String],
) -> (Vec<Exchange>, u32) {
    let asked = rtypes.iter().map(|rtype| one(cx, resolver, name, rtype));
    let (exchanges, waits): (Vec<_>, Vec<_>) = join_all(asked).await.into_iter().unzip();
    let waits = waits.into_iter().max().unwrap_or(0);
    (exchanges.into_iter().flatten().collect(), waits)
}

/// One question, with what follows a truncated answer; what came last is what a client has.
async fn one(
    cx: &Cx,
    resolver: &ResolverAsk,
    name: &DnsName,
    rtype: &str,
) -> (Option<Exchange>, u32) {
    let question = Question {
        name: name.clone(),
        rtype: rtype.to_owned(),
    };
    let stand_in = NotRun {
        address: Some(resolver.address.ip()),
        via: Some(ControlVia::Resolver {
            resolver: resolver.label.clone(),
        }),
        ..stand_in(format!("{name}@{}", resolver.address.ip()))
    };
    let mut spent = 0;
    let own = cx.for_probe();
    let run = async {
        let (mut exchanges, waits) = ask_whole(&own, &Ask::resolver(resolver, question)).await;
        spent = waits;
        let seen = DnsSeen {
            server: resolver.address.ip(),
            purpose: DnsPurpose::Answer,
            exchange: exchanges.pop().expect("a question leaves an exchange"),
        };
        (Outcome::Dns(seen), waits)
    };
    let key = format!("dns {} {name} {rtype}", resolver.label);
    match cx.probe(ProbeKind::Dns, key, stand_in, run).await {
        Outcome::Dns(seen) => (Some(seen.exchange), spent),
        _ => (None, spent),
    }
}

async fn without_resolver(cx: &Cx, name: &DnsName) {
    let not_run = NotRun {
        reason: NotRunReason::Limit,
        detail: "the job has no resolver of this number".to_owned(),
        ..stand_in(name.to_string())
    };
    let run = async { (Outcome::NotRun(not_run), 0) };
    let key = format!("dns {name}");
    cx.probe(ProbeKind::Dns, key, stand_in(name.to_string()), run)
        .await;
}

fn stand_in(subject: String) -> NotRun {
    NotRun {
        reason: NotRunReason::Deadline,
        detail: String::new(),
        subject,
        address: None,
        via: None,
    }
}

/// Addresses in these answers, sorted.
fn addresses(exchanges: &[Exchange]) -> Vec<IpAddr> {
    let responses = exchanges.iter().filter_map(|e| Some((e, e.response()?)));
    let mut found: Vec<IpAddr> = responses
        .flat_map(|(e, r)| r.addresses(&e.question))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// One of sorted addresses: each of a family in its turn, and the families by turns.
fn pick(found: &[IpAddr], turn: u32) -> Option<IpAddr> {
    let turn = usize::try_from(turn).unwrap_or(0);
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = found.iter().partition(|a| a.is_ipv4());
    let (of, turn) = match (v4.is_empty(), v6.is_empty()) {
        (false, false) if turn % 2 == 0 => (v4, turn / 2),
        (false, false) => (v6, turn / 2),
        (_, true) => (v4, turn),
        (true, false) => (v6, turn),
    };
    of.get(turn.checked_rem(of.len())?).copied()
}

/// Resolves the names that redirects lead to through the resolver of the visit.
struct Through {
    cx: Cx,
    resolver: Option<ResolverAsk>,
}

impl Resolve for Through {
    fn resolve(&self, name: DnsName) -> Pin<Box<dyn Future<Output = Resolved>>> {
        let (cx, resolver) = (self.cx.clone(), self.resolver.clone());
        Box::pin(async move {
            let Some(resolver) = resolver else {
                return Err(format!("there is no resolver to ask for {name}"));
            };
            let mut rtypes = vec!["A".to_owned(), "AAAA".to_owned()];
            rtypes.retain(|rtype| is_spoken(&cx, rtype));
            let (exchanges, waits) = look_up(&cx, &resolver, &name, &rtypes).await;
            let found = addresses(&exchanges);
            if found.is_empty() {
                return Err(without_address(&name, &resolver.label, &exchanges));
            }
            Ok((found, waits))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_turn() {
        let all: Vec<IpAddr> = ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
            .map(|a| a.parse().unwrap())
            .into();
        let picked: Vec<IpAddr> = (0..4).filter_map(|turn| pick(&all, turn)).collect();
        assert_eq!(picked, [all[0], all[2], all[1], all[2]]);
        let v4: Vec<IpAddr> = (0..3).filter_map(|turn| pick(&all[..2], turn)).collect();
        assert_eq!(v4, [all[0], all[1], all[0]]);
        assert_eq!(pick(&all[2..], 7), Some(all[2]));
        assert_eq!(pick(&[], 3), None);
    }
}
