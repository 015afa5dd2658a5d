//! Everything that one check asks, at the same time.

use std::rc::Rc;

use bellwether_model::dns::ResolverOrigin;
use bellwether_model::observation::{AddressSource, DnsPurpose, DnsSeen};
use bellwether_model::target::Host;
use bellwether_model::{DnsName, NotRun, NotRunReason, Origin, Outcome, ProbeKind};
use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};

use crate::addresses::Addresses;
use crate::canary;
use crate::controls;
use crate::cx::Cx;
use crate::large;
use crate::resolvers::{self, Asking, Redirects, Working};
use crate::system::DNS_PORT;
use crate::tasks::TaskOwner;
use crate::walk::{Found, FoundSink, Walk};

/// Asks everything of the job and reports each result as it comes. Must run inside a `LocalSet`.
///
/// Dropping the future ends everything that it began.
pub async fn run(cx: &Cx) {
    run_at(cx, DNS_PORT).await;
}

pub(crate) async fn run_at(cx: &Cx, name_server_port: u16) {
    let owner = TaskOwner::new();
    let tasks = owner.tasks();
    let owners = cx.memory().owners(cx.job().asn_table.as_deref()).await;
    let walk = Walk::with_port(cx, owners.clone(), tasks.clone(), name_server_port);
    let working = Working::default();
    {
        let (own, walk) = (cx.clone(), walk.clone());
        tasks.spawn(cx, ProbeKind::Control, "all".to_owned(), async move {
            controls::run(&own, &walk).await;
        });
    }
    if !cx.job().expect.large_answers.is_empty() {
        let (own, walk) = (cx.clone(), walk.clone());
        tasks.spawn(cx, ProbeKind::Dns, "large answers".to_owned(), async move {
            large::declared(&own, &walk).await;
        });
    }
    {
        let own = cx.clone();
        tasks.spawn(cx, ProbeKind::Dns, "canaries".to_owned(), async move {
            canary::run(&own, name_server_port).await;
        });
    }
    let is_dialled = cx.job().target.scheme.has_tcp() || cx.is_echo_only();
    let (sink, found) = mpsc::unbounded_channel();
    let sink = is_dialled.then_some(sink);
    if let (Some(sink), Some(address)) = (&sink, cx.job().connect) {
        typed(sink, address);
    }
    match &cx.job().target.host {
        Host::Address(address) => {
            if let Some(sink) = &sink {
                typed(sink, *address);
            }
        }
        Host::Name(name) => by_name(cx, &owner, &walk, name, sink.as_ref(), &working),
    }
    drop(sink);
    if is_dialled {
        let redirects = Rc::new(Redirects {
            cx: cx.clone(),
            walk: walk.clone(),
            working,
        });
        let all = Addresses::new(cx, tasks.clone(), owners, redirects);
        let name = cx.job().target.name().cloned();
        let subject = cx.job().target.host_text();
        let collect = all.collect(found, name, Some(walk));
        tasks.spawn(cx, ProbeKind::Addresses, subject, collect);
    }
    owner.finished().await;
    second_answers(cx).await;
    cx.emit(&cx.done());
}

/// Reports answers that came after the ones taken and say something else.
async fn second_answers(cx: &Cx) {
    for (server, exchange) in cx.heard() {
        let rtype = &exchange.question.rtype;
        let key = format!("second answer {server} {rtype}");
        let stand_in = NotRun {
            reason: NotRunReason::WorkerDied,
            detail: String::new(),
            subject: exchange.question.name.to_string(),
            address: Some(server.ip()),
            via: None,
        };
        let seen = DnsSeen {
            server: server.ip(),
            purpose: DnsPurpose::SecondAnswer,
            exchange,
        };
        let run = async { (Outcome::Dns(seen), 0) };
        cx.probe(ProbeKind::Dns, key, stand_in, run).await;
    }
}

fn typed(sink: &FoundSink, address: std::net::IpAddr) {
    sink.send(Found {
        address,
        source: AddressSource::Typed,
        origin: Origin::Operator,
        waits: 0,
    })
    .expect("the receiver is dropped later");
}

/// Walk and matrix, which find the addresses of a name.
fn by_name(
    cx: &Cx,
    owner: &TaskOwner,
    walk: &Walk,
    name: &DnsName,
    sink: Option<&FoundSink>,
    working: &Working,
) {
    let rtypes = cx.job().target.rtypes();
    let mut handles = Vec::new();
    let mut system = Vec::new();
    let mut askings = Vec::new();
    for resolver in &cx.job().resolvers {
        let (handle, zone) = oneshot::channel();
        handles.push(handle);
        let is_private = (resolver.origin == ResolverOrigin::System).then(|| {
            let (says, hears) = oneshot::channel();
            system.push(hears);
            says
        });
        askings.push(Asking {
            resolver: resolver.clone(),
            name: name.clone(),
            rtypes: rtypes.clone(),
            sink: sink.cloned(),
            zone,
            working: working.clone(),
            is_private,
        });
    }
    let gate = resolvers::gate(walk, name, system);
    walk.target(name, rtypes, sink.cloned(), handles);
    let own = cx.clone();
    let run = async move {
        let asked = askings
            .into_iter()
            .map(|asking| resolvers::run(&own, asking, gate.clone()));
        join_all(asked).await;
    };
    let (tasks, subject) = (owner.tasks(), name.to_string());
    tasks.spawn(cx, ProbeKind::ResolverMatrix, subject, run);
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::net::SocketAddr;

    use bellwether_model::dns::{ListedBy, ResolverSeen, ZoneSeen};
    use bellwether_model::job::{Job, ResolverAsk, RootHint};
    use bellwether_model::observation::AddressesSeen;
    use bellwether_model::{NotRunReason, Observation, Outcome};

    use bellwether_model::job::Event;

    use super::*;
    use crate::dns::testing::{Script, job, loopback, run as run_local, serve};
    use crate::walk::testing::{World, healthy, script, zone};

    const LAST: u8 = 99;

    /// Checks the healthy tree through one resolver.
    fn check(resolver: Script, change: impl FnOnce(&mut Job)) -> Vec<Observation> {
        check_in(healthy(), resolver, change)
    }

    fn check_in(world: World, resolver: Script, change: impl FnOnce(&mut Job)) -> Vec<Observation> {
        run_local(async {
            let mut port = 0;
            for (last, zones) in world {
                port = serve(loopback(last), port, script(zones)).await.unwrap();
            }
            serve(loopback(LAST), port, resolver).await.unwrap();
            // Whatever is dialled here stays on loopback.
            let mut job = job("https://www.svc.test/");
            job.root_hints = vec![RootHint {
                name: "a.root.".parse().unwrap(),
                addresses: vec![loopback(2)],
            }];
            job.resolvers = vec![ResolverAsk {
                label: "R".into(),
                address: SocketAddr::new(loopback(LAST), port),
                channel: bellwether_model::Channel::Plain,
                origin: ResolverOrigin::Given,
            }];
            change(&mut job);
            let seen = Rc::new(RefCell::new(Vec::new()));
            let sink = seen.clone();
            let cx = Cx::new(job, move |event| {
                if let Event::Observed { observation, .. } = event {
                    sink.borrow_mut().push((**observation).clone());
                }
            });
            run_at(&cx, port).await;
            seen.take()
        })
    }

    fn matrix(seen: &[Observation]) -> &ResolverSeen {
        let matrix = seen.iter().find_map(|o| match &o.outcome {
            Outcome::ResolverMatrix(seen) => Some(&**seen),
            _ => None,
        });
        matrix.unwrap()
    }

    fn addresses(seen: &[Observation]) -> &AddressesSeen {
        let addresses = seen.iter().find_map(|o| match &o.outcome {
            Outcome::Addresses(seen) => Some(seen),
            _ => None,
        });
        addresses.unwrap()
    }

    fn own_zone(seen: &[Observation]) -> &ZoneSeen {
        let zone = seen.iter().find_map(|o| match &o.outcome {
            Outcome::Delegation(seen) if seen.holds_name => Some(seen),
            _ => None,
        });
        zone.unwrap()
    }

    /// A resolver that answers from a zone of its own.
    fn cached(records: &'static str) -> Script {
        script(vec![zone("svc.test.", records)])
    }

    #[test]
    fn resolvers_are_asked_about_the_zone_and_their_caches_name_servers() {
        let seen = check(
            cached(
                "svc.test. NS old.svc.test.\nwww.svc.test. A 127.0.1.1\nwww.svc.test. A 10.0.0.5",
            ),
            |_| {},
        );
        let resolver = matrix(&seen);
        assert_eq!(resolver.answers.len(), 2);
        assert!(resolver.zone_ns.is_some() && resolver.sibling.is_some());
        let zone = own_zone(&seen);
        let old = zone
            .hosts
            .iter()
            .find(|h| h.name.as_str() == "old.svc.test.")
            .unwrap();
        let by = ListedBy::Cache {
            resolver: "R".into(),
        };
        assert_eq!(old.listed_by, [by]);
        assert!(old.failure.is_some());
        let found = &addresses(&seen).found;
        assert_eq!(found.len(), 2);
        assert!(
            found[0]
                .not_dialled
                .as_ref()
                .unwrap()
                .contains("10.0.0.5 is private")
        );
        assert_eq!(
            (found[1].sources.len(), found[1].not_dialled.as_ref()),
            (3, None)
        );
    }

    #[test]
    fn what_a_resolver_denies_is_asked_twice() {
        let seen = check(cached(""), |_| {});
        let answers = &matrix(&seen).answers;
        let rtypes: Vec<&str> = answers.iter().map(|e| e.question.rtype.as_str()).collect();
        assert_eq!(rtypes, ["A", "A", "AAAA", "AAAA"]);
    }

    fn privacy(resolver: Script, change: impl FnOnce(&mut Job)) -> Option<String> {
        let seen = check(resolver, |job| {
            let default = ResolverAsk {
                label: "P".into(),
                origin: ResolverOrigin::Default,
                ..job.resolvers[0].clone()
            };
            job.resolvers[0].origin = ResolverOrigin::System;
            job.resolvers.push(default);
            // Not dialled: the addresses in the answers are public ones.
            job.target = "dns://www.svc.test".parse().unwrap();
            change(job);
        });
        seen.iter().find_map(|o| match &o.outcome {
            Outcome::NotRun(n) if n.reason == NotRunReason::Privacy => Some(n.detail.clone()),
            _ => None,
        })
    }

    #[test]
    fn default_resolvers_see_public_names_only() {
        let public = || cached("www.svc.test. A 198.51.100.1");
        assert_eq!(privacy(public(), |_| {}), None);
        let private = privacy(cached("www.svc.test. A 10.0.0.5"), |_| {});
        assert!(private.unwrap().contains("private"));
        let internal = privacy(public(), |job| {
            job.target = "dns://www.corp".parse().unwrap();
        });
        assert_eq!(
            internal.as_deref(),
            Some("corp. does not exist at the root")
        );
    }

    #[test]
    fn an_address_needs_no_walk() {
        let seen = check(cached(""), |job| {
            job.target = "https://127.0.1.1/".parse().unwrap();
        });
        assert_eq!(addresses(&seen).found[0].sources, [AddressSource::Typed]);
        assert!(
            seen.iter()
                .all(|o| !matches!(o.outcome, Outcome::Delegation(_)))
        );
    }

    #[test]
    fn long_answers_are_sampled() {
        let mut world = healthy();
        let many: &'static str = (1..=40)
            .map(|n| format!("www.svc.test. A 127.0.1.{n}\n"))
            .collect::<String>()
            .leak();
        world[2] = (4, vec![zone("svc.test.", many)]);
        let seen = check_in(world, cached("www.svc.test. A 127.0.1.99"), |_| {});
        let found = &addresses(&seen).found;
        assert_eq!(found.len(), 41);
        let dialled = found.iter().filter(|a| a.not_dialled.is_none()).count();
        assert_eq!(dialled, crate::addresses::DIALLED_MAX);
        let other = |a: &&bellwether_model::observation::AddressSeen| {
            a.address == std::net::IpAddr::from([127, 0, 1, 99])
        };
        assert!(found.iter().find(other).unwrap().not_dialled.is_none());
    }

    #[test]
    fn a_name_that_is_gone_still_has_its_old_addresses() {
        let mut world = healthy();
        world[2] = (4, vec![zone("svc.test.", "")]);
        world[3] = (5, vec![zone("svc.test.", "")]);
        let seen = check_in(world, cached(""), |job| {
            job.baseline = Some(bellwether_model::Baseline {
                at: jiff::Timestamp::UNIX_EPOCH,
                zones: vec![],
                addresses: vec![bellwether_model::report::BaselineAddress {
                    address: [127, 0, 1, 1].into(),
                    owner: None,
                    certificate: None,
                    client_cert_requested: None,
                    issuer: None,
                    scts: 0,
                    intermediates: vec![],
                }],
                aliases: vec![],
                ttl: None,
            });
        });
        let found = &addresses(&seen).found;
        assert_eq!(found[0].sources, [AddressSource::Baseline]);
        assert_eq!(found[0].not_dialled, None);
    }
}
