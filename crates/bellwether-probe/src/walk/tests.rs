//! Walks through small scripted trees on loopback.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

use bellwether_model::DnsName;
use bellwether_model::dns::{Exchange, HostFailure, HostSeen, ListedBy, Rcode, ZoneSeen};
use bellwether_model::job::{Event, Job, RootHint};
use bellwether_model::report::{Baseline, BaselineServer, BaselineZone};
use bellwether_model::{NotRunReason, Outcome, ProbeKind};
use tokio::sync::mpsc;

use super::testing::{OURS, TLD, World, healthy, root, script, zone};
use super::{Found, Walk};
use crate::cx::Cx;
use crate::dns::testing::{job, loopback, run, serve};
use crate::owners::Owners;
use crate::tasks::TaskOwner;
use crate::testing::{Network, is_alone};

struct Walked {
    zones: Vec<(ZoneSeen, u32)>,
    found: Vec<Found>,
    aliases: Vec<DnsName>,
    queries: u32,
}

impl Walked {
    fn zone(&self, zone: &str, name: &str) -> &ZoneSeen {
        let is_it = |z: &&(ZoneSeen, u32)| z.0.zone.as_str() == zone && z.0.name.as_str() == name;
        &self
            .zones
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("no zone {zone} for {name}"))
            .0
    }

    fn addresses(&self) -> Vec<String> {
        let mut all: Vec<String> = self.found.iter().map(|f| f.address.to_string()).collect();
        all.sort();
        all.dedup();
        all
    }
}

impl std::ops::Index<&str> for Walked {
    type Output = ZoneSeen;

    fn index(&self, zone: &str) -> &ZoneSeen {
        self.zone(zone, "www.svc.test.")
    }
}

fn walk(world: World) -> Walked {
    walk_with(world, |_| {})
}

fn walk_with(world: World, change: impl FnOnce(&mut Job)) -> Walked {
    run(async {
        let mut port = 0;
        for (last, zones) in world {
            port = serve(loopback(last), port, script(zones)).await.unwrap();
        }
        let mut job = job("https://www.svc.test/");
        job.root_hints = vec![RootHint {
            name: "a.root.".parse().unwrap(),
            addresses: vec![loopback(2)],
        }];
        change(&mut job);
        let events = Rc::new(RefCell::new(Vec::new()));
        let sink = events.clone();
        let cx = Cx::new(job, move |event| sink.borrow_mut().push(event.clone()));
        let owner = TaskOwner::new();
        let walk = Walk::with_port(&cx, Rc::new(Owners::default()), owner.tasks(), port);
        let (sink, mut found) = mpsc::unbounded_channel();
        let name: DnsName = "www.svc.test.".parse().unwrap();
        walk.target(&name, vec!["A".into(), "AAAA".into()], Some(sink), vec![]);
        owner.finished().await;
        let mut all = Vec::new();
        while let Some(one) = found.recv().await {
            all.push(one);
        }
        let zones = events.borrow().iter().filter_map(zone_of).collect();
        Walked {
            zones,
            found: all,
            aliases: walk.aliases(&name),
            queries: cx.queries(),
        }
    })
}

fn zone_of(event: &Event) -> Option<(ZoneSeen, u32)> {
    let Event::Observed { observation, .. } = event else {
        return None;
    };
    match &observation.outcome {
        Outcome::Delegation(seen) => Some((seen.clone(), observation.waits)),
        // Without a trust anchor.
        Outcome::NotRun(not_run) if observation.probe == ProbeKind::Dnssec => {
            assert_eq!(not_run.reason, NotRunReason::NotNeeded);
            None
        }
        other => panic!("{other:?}"),
    }
}

fn host<'a>(zone: &'a ZoneSeen, name: &str) -> &'a HostSeen {
    zone.hosts.iter().find(|h| h.name.as_str() == name).unwrap()
}

#[test]
fn a_healthy_tree() {
    let seen = walk(healthy());
    assert_eq!(seen.zones.len(), 3);
    assert!(!seen["."].holds_name && !seen["test."].holds_name);
    let own = &seen["svc.test."];
    assert!(own.holds_name && own.stopped.is_none());
    assert_eq!(own.parent_sets.len(), 1);
    assert_eq!(own.parent_sets[0].given_by, ["ns.nic.test.@127.0.0.3"]);
    assert_eq!(own.servers.len(), 2);
    assert_eq!(own.servers[0].exchanges.len(), 9);
    let ns1 = host(own, "ns1.svc.test.");
    assert_eq!(ns1.listed_by, [ListedBy::Parent, ListedBy::Child]);
    assert_eq!(ns1.resolved, Some(vec![loopback(4)]));
    assert_eq!(seen.addresses(), ["127.0.1.1"]);
    assert!(seen.found.iter().all(|f| f.waits == 3), "{:?}", seen.found);
    assert!(seen.zones.iter().all(|(_, waits)| *waits <= 4));
    assert!(seen.queries <= 25, "{}", seen.queries);
}

/// A parent whose forty name servers all have glue there, at addresses that nobody here has a route to.
fn far_away() -> World {
    let mut lines = String::new();
    for i in 1..=40 {
        let _ = write!(
            lines,
            "svc.test. NS n{i}.svc.test.\nn{i}.svc.test. A 203.0.113.{i}\n"
        );
    }
    vec![root(), (3, vec![zone("test.", lines.leak())])]
}

#[test]
fn glue_that_no_route_leads_to_is_not_looked_up() {
    let name = "walk::tests::glue_that_no_route_leads_to_is_not_looked_up";
    if !is_alone(name, Network::Loopback) {
        return;
    }
    let seen = walk(far_away());
    let own = &seen["svc.test."];
    assert_eq!(own.parent_sets[0].names.len(), 40);
    let exchanges = own.servers.iter().flat_map(|s| &s.exchanges);
    assert!(exchanges.clone().count() > 0);
    assert!(exchanges.clone().all(Exchange::lacked_route));
    assert!(own.hosts.iter().all(|h| h.failure.is_none()));
    assert!(seen.queries <= 6, "{}", seen.queries);
}

#[test]
fn a_name_whose_servers_have_no_route_fails_by_that() {
    let name = "walk::tests::a_name_whose_servers_have_no_route_fails_by_that";
    if !is_alone(name, Network::Loopback) {
        return;
    }
    let tld = "svc.test. NS ns1.dns.far.";
    let seen = walk(vec![
        (
            2,
            vec![zone(
                ".",
                "test. NS ns.nic.test.\nns.nic.test. A 127.0.0.3\nfar. NS ns.far.\nns.far. A 203.0.113.1",
            )],
        ),
        (3, vec![zone("test.", tld)]),
    ]);
    let ns1 = host(&seen["svc.test."], "ns1.dns.far.");
    assert_eq!(ns1.failure, Some(HostFailure::NoRoute));
    assert!(seen.queries <= 8, "{}", seen.queries);
}

#[test]
fn name_servers_of_another_zone_are_looked_up() {
    let seen = walk(vec![
        root(),
        (
            3,
            vec![zone(
                "test.",
                "svc.test. NS ns1.dns.test.\ndns.test. NS ns.dns.test.\nns.dns.test. A 127.0.0.5",
            )],
        ),
        (
            4,
            vec![zone(
                "svc.test.",
                "svc.test. NS ns1.dns.test.\nwww.svc.test. A 127.0.1.1",
            )],
        ),
        (5, vec![zone("dns.test.", "ns1.dns.test. A 127.0.0.4")]),
    ]);
    let own = &seen["svc.test."];
    let ns1 = host(own, "ns1.dns.test.");
    assert!(ns1.glue.is_empty());
    assert_eq!(ns1.resolved, Some(vec![loopback(4)]));
    assert_eq!(seen.addresses(), ["127.0.1.1"]);
    assert!(seen.zones.iter().all(|(_, waits)| *waits <= 7));
}

#[test]
fn a_zone_and_one_below_on_the_same_servers() {
    let mut world = healthy();
    world[1] = (3, vec![zone("test.", TLD), zone("svc.test.", OURS)]);
    let seen = walk(world);
    assert!(!seen["test."].holds_name);
    let own = &seen["svc.test."];
    assert!(own.holds_name);
    assert_eq!(own.parent_names().len(), 2);
    assert_eq!(own.servers.len(), 2);
}

#[test]
fn a_name_the_parent_denies_is_sought_at_the_servers_of_the_baseline() {
    let mut world = healthy();
    world[1] = (3, vec![zone("test.", "")]);
    let seen = walk_with(world, |job| {
        job.baseline = Some(Baseline {
            at: jiff::Timestamp::UNIX_EPOCH,
            zones: vec![BaselineZone {
                zone: "svc.test.".parse().unwrap(),
                parent_names: vec!["ns1.svc.test.".parse().unwrap()],
                servers: vec![BaselineServer {
                    name: "ns1.svc.test.".parse().unwrap(),
                    addresses: vec![loopback(4)],
                }],
                serial: None,
                holds_name: true,
            }],
            addresses: vec![],
            aliases: vec![],
            ttl: None,
        });
    });
    let tld = &seen["test."];
    assert!(tld.holds_name);
    let denied = tld.servers[0].exchanges[0].response().unwrap();
    assert_eq!(denied.rcode, Rcode::NXDOMAIN);
    assert_eq!(tld.servers[0].exchanges.len(), 1);
    let own = &seen["svc.test."];
    assert!(own.parent_sets.is_empty());
    assert!(own.servers.iter().any(answers));
    assert_eq!(seen.addresses(), ["127.0.1.1"]);
}

fn answers(server: &bellwether_model::dns::ServerSeen) -> bool {
    server.answers()
}

#[test]
fn lame_and_foreign_servers_and_those_only_the_child_names() {
    let mut world = healthy();
    world[2] = (4, vec![]);
    world[3] = (
        5,
        vec![zone(
            "svc.test.",
            "svc.test. NS ns3.svc.test.\nns3.svc.test. A 127.0.0.6\nwww.svc.test. A 127.0.1.9",
        )],
    );
    world.push((6, vec![zone("svc.test.", OURS)]));
    let seen = walk(world);
    let own = &seen["svc.test."];
    let refused = own.servers[0].exchanges[0].response().unwrap();
    assert_eq!(refused.rcode, Rcode::REFUSED);
    assert_eq!(host(own, "ns3.svc.test.").listed_by, [ListedBy::Child]);
    assert_eq!(seen.addresses(), ["127.0.1.1", "127.0.1.9"]);
}

#[test]
fn names_without_an_address_say_why() {
    let seen = walk(vec![
        root(),
        (
            3,
            vec![zone(
                "test.",
                "svc.test. NS gone.dns.test.\nsvc.test. NS alias.dns.test.\nsvc.test. NS ns1.svc.test.\n\
                 svc.test. NS ns.other.test.\nother.test. NS ns.svc.test.\n\
                 dns.test. NS ns.dns.test.\nns.dns.test. A 127.0.0.5",
            )],
        ),
        (
            5,
            vec![zone("dns.test.", "alias.dns.test. CNAME real.dns.test.")],
        ),
    ]);
    let own = &seen["svc.test."];
    assert!(own.holds_name);
    assert_eq!(
        host(own, "gone.dns.test.").failure,
        Some(HostFailure::NxDomain)
    );
    let alias = host(own, "alias.dns.test.");
    assert_eq!(alias.alias_of.as_ref().unwrap().as_str(), "real.dns.test.");
    let circle = |name: &str| match &host(own, name).failure {
        Some(HostFailure::Cycle { names }) => names.iter().map(ToString::to_string).collect(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(circle("ns1.svc.test."), ["ns1.svc.test."]);
    let longer: Vec<String> = circle("ns.other.test.");
    assert!(
        longer.contains(&"ns.svc.test.".to_owned()) || longer.len() == 1,
        "{longer:?}"
    );
}

/// The ways through two dozen names that need each other are more than anybody could try.
#[test]
fn many_names_that_need_each_other_come_to_an_end() {
    let names: Vec<String> = ('a'..='z').map(|c| format!("{c}.svc.test.")).collect();
    let set = names.iter().map(|n| format!("svc.test. NS {n}\n"));
    let set: &'static str = set.collect::<String>().leak();
    let seen = walk(vec![root(), (3, vec![zone("test.", set)])]);
    let own = &seen["svc.test."];
    for name in names {
        let failure = &host(own, &name).failure;
        let is_told = matches!(
            failure,
            Some(HostFailure::Cycle { .. } | HostFailure::Limit)
        );
        assert!(is_told, "{name}: {failure:?}");
    }
}

#[test]
fn aliases_are_walked_and_loops_end() {
    let mut world = healthy();
    world[1] = (
        3,
        vec![zone(
            "test.",
            "svc.test. NS ns1.svc.test.\nns1.svc.test. A 127.0.0.4\n\
             cdn.test. NS ns.cdn.test.\nns.cdn.test. A 127.0.0.5",
        )],
    );
    world[2] = (
        4,
        vec![zone("svc.test.", "www.svc.test. CNAME www.cdn.test.")],
    );
    world[3] = (5, vec![zone("cdn.test.", "www.cdn.test. A 127.0.1.7")]);
    let seen = walk(world);
    assert!(seen["svc.test."].holds_name);
    assert!(seen.zone("cdn.test.", "www.cdn.test.").holds_name);
    assert_eq!(seen.addresses(), ["127.0.1.7"]);
    let chain: Vec<&str> = seen.aliases.iter().map(DnsName::as_str).collect();
    assert_eq!(chain, ["www.svc.test.", "www.cdn.test."]);

    let mut world = healthy();
    let looped = "www.svc.test. CNAME b.svc.test.\nb.svc.test. CNAME www.svc.test.";
    world[2] = (4, vec![zone("svc.test.", looped)]);
    world[3] = (5, vec![zone("svc.test.", looped)]);
    let seen = walk(world);
    let chain: Vec<&str> = seen.aliases.iter().map(DnsName::as_str).collect();
    assert_eq!(chain, ["www.svc.test.", "b.svc.test.", "www.svc.test."]);
}

#[test]
fn servers_with_private_addresses_are_not_asked() {
    let seen = walk_with(healthy(), |job| {
        job.egress.allow_networks = vec!["127.0.0.3/32".parse().unwrap()];
    });
    let own = &seen["svc.test."];
    assert!(own.holds_name);
    assert!(own.servers.iter().all(|s| !s.exchanges[0].was_asked()));
    assert!(seen.found.is_empty());
}

#[test]
fn the_same_tree_gives_the_same_record() {
    let record = || -> BTreeMap<String, String> {
        let zones = walk(healthy()).zones.into_iter();
        let text = |(mut seen, _): (ZoneSeen, u32)| {
            for exchange in seen.servers.iter_mut().flat_map(|s| &mut s.exchanges) {
                exchange.took_ms = 0.0;
                if let bellwether_model::dns::ExchangeResult::Answered { response } =
                    &mut exchange.result
                {
                    response.raw = None;
                }
            }
            (seen.zone.to_string(), serde_json::to_string(&seen).unwrap())
        };
        zones.map(text).collect()
    };
    assert_eq!(record(), record());
}
