//! Small situations, each with one fault.

mod cert;
mod dnssec;
mod fixture;
mod http;

use bellwether_diagnose::diagnose;
use bellwether_model::net::{TcpResult, TriesSeen, TryCount, TryDepth, TryEnd};
use bellwether_model::report::Role;
use bellwether_model::tls::TlsResult;
use bellwether_model::{Observation, Outcome, ProbeKind};
use fixture::{FOREIGN, GOOD, Says, World, mismatch, name, told};
use proptest::prelude::*;

fn check(expected: &str, change: impl Fn(&mut World)) -> World {
    let mut world = World::healthy();
    change(&mut world);
    let judged = world.judge();
    assert_eq!(told(&judged), expected, "{:#?}", judged.findings);
    world
}

fn foreign(world: &mut World) {
    world.parent = vec!["ns9.b.test", "ns10.b.test"];
    world.child = world.parent.clone();
    world
        .servers
        .insert(("ns9.b.test", "162.159.26.1"), (Says::Address(FOREIGN), 1));
    world
        .servers
        .insert(("ns10.b.test", "162.159.27.1"), (Says::Address(FOREIGN), 1));
    world.hosts.insert(FOREIGN, vec![mismatch()]);
    world
        .resolvers
        .insert("9.9.9.9", (Says::Address(FOREIGN), true));
}

#[test]
fn healthy() {
    check("healthy", |_| {});
}

#[test]
fn parent_delegates_to_foreign_servers() {
    let world = check(
        "degraded dns.delegation.wrong_ns > tls.name_mismatch",
        foreign,
    );
    let diagnosis = world.judge().diagnosis.unwrap();
    assert_eq!(diagnosis.scope.resolvers, ["9.9.9.9"]);
    assert_eq!(diagnosis.scope.addresses, [fixture::ip(FOREIGN)]);
    assert_eq!(
        diagnosis.scope.name_servers,
        ["ns10.b.test.@162.159.27.1", "ns9.b.test.@162.159.26.1"]
    );
    assert_eq!(diagnosis.scope.owners, ["AS54113 C"]);
    assert!((diagnosis.scope.share - 0.5).abs() < 1e-9);
}

#[test]
fn foreign_servers_that_answer_nothing_usable() {
    check("degraded dns.delegation.wrong_ns", |w| {
        foreign(w);
        w.hosts.remove(FOREIGN);
        for (key, rcode) in [
            (("ns9.b.test", "162.159.26.1"), 4),
            (("ns10.b.test", "162.159.27.1"), 5),
        ] {
            w.servers.insert(key, (Says::Rcode(rcode), 1));
        }
        w.resolvers.insert("9.9.9.9", (Says::Rcode(2), true));
    });
}

#[test]
fn foreign_servers_without_a_baseline_and_with_nothing_that_remembers() {
    check("broken tls.name_mismatch", |w| {
        foreign(w);
        w.baseline = false;
        w.servers.retain(|(host, _), _| host.ends_with("b.test"));
        w.hosts.remove(GOOD);
        w.resolvers
            .insert("8.8.8.8", (Says::Address(FOREIGN), true));
    });
}

#[test]
fn one_of_two_servers_refuses() {
    let world = check("healthy ! dns.delegation.lame", |w| {
        w.servers
            .insert(("ns2.a.test", "205.251.193.1"), (Says::Rcode(5), 7));
    });
    assert_eq!(
        world.judge().findings[0].scope.name_servers,
        ["ns2.a.test.@205.251.193.1"]
    );
}

#[test]
fn all_servers_silent() {
    check("broken dns.auth.unresponsive", |w| {
        for server in w.servers.values_mut() {
            server.0 = Says::Silent;
        }
        for resolver in w.resolvers.values_mut() {
            resolver.0 = Says::Rcode(2);
        }
        w.hosts.clear();
    });
}

#[test]
fn one_server_denies_the_name() {
    check("degraded dns.auth.blank_zone", |w| {
        w.servers
            .insert(("ns2.a.test", "205.251.193.1"), (Says::Rcode(3), 1));
    });
}

#[test]
fn one_server_has_an_old_copy() {
    let old = "54.160.170.9";
    check("degraded dns.auth.stale_secondary > cert.expired", |w| {
        w.servers
            .insert(("ns2.a.test", "205.251.193.1"), (Says::Address(old), 6));
        let ended = "2024-09-01T00:00:00Z".parse().unwrap();
        w.hosts.insert(
            old,
            vec![bellwether_model::tls::CertProblem::Expired {
                index: 0,
                not_after: ended,
            }],
        );
    });
}

#[test]
fn an_old_copy_that_lacks_the_name() {
    // A resolver that came to the old copy believes its denial: the copy is the cause of both.
    let world = check("degraded dns.auth.stale_secondary", |w| {
        w.baseline = false;
        w.servers
            .insert(("ns2.a.test", "205.251.193.1"), (Says::Rcode(3), 6));
        w.resolvers.insert("9.9.9.9", (Says::Rcode(3), true));
    });
    let scope = world.judge().diagnosis.unwrap().scope;
    assert_eq!(scope.resolvers, ["9.9.9.9"]);
}

#[test]
fn a_dead_member_of_the_parents_set_alone() {
    // That the sets differ too is a notice beside it.
    check("healthy ! dns.auth.unresponsive", |w| {
        w.parent.push("ns3.a.test");
        w.servers
            .insert(("ns3.a.test", "205.251.194.1"), (Says::Silent, 0));
    });
}

#[test]
fn an_undeclared_address_is_the_records_fault_alone() {
    check("broken dns.zone.record_wrong > tls.name_mismatch", |w| {
        w.expect.addresses = vec!["54.160.0.0/12".parse().unwrap()];
        for server in w.servers.values_mut() {
            server.0 = Says::Address(FOREIGN);
        }
        for resolver in w.resolvers.values_mut() {
            resolver.0 = Says::Address(FOREIGN);
        }
        w.hosts = [(FOREIGN, vec![mismatch()])].into();
    });
}

#[test]
fn a_key_that_vouches_for_itself_has_no_anchor() {
    let world = check("broken cert.untrusted_root", |w| {
        let problem = bellwether_model::tls::CertProblem::UntrustedRoot {
            issuer: "CN=www".into(),
            self_signed: true,
        };
        w.hosts.insert(GOOD, vec![problem]);
    });
    let facts = world.judge().diagnosis.unwrap().facts;
    let kinds: Vec<&str> = facts.iter().map(|f| f.fact.name()).collect();
    assert!(kinds.contains(&"no_trust_anchor") && kinds.contains(&"cert_self_signed"));
}

#[test]
fn servers_that_fail_in_two_ways() {
    check("broken dns.delegation.lame ! dns.auth.unresponsive", |w| {
        let mut says = [Says::Rcode(5), Says::Silent].into_iter();
        for server in w.servers.values_mut() {
            server.0 = says.next().unwrap();
        }
        for resolver in w.resolvers.values_mut() {
            resolver.0 = Says::Rcode(2);
        }
        w.hosts.clear();
    });
}

#[test]
fn the_record_is_gone() {
    check("broken dns.zone.record_missing", |w| {
        for server in w.servers.values_mut() {
            *server = (Says::NoData, 8);
        }
        for resolver in w.resolvers.values_mut() {
            resolver.0 = Says::NoData;
        }
        w.hosts.clear();
    });
}

#[test]
fn a_name_that_should_not_exist() {
    check("healthy", |w| {
        w.expect.exists = false;
        w.baseline = false;
        for server in w.servers.values_mut() {
            *server = (Says::Rcode(3), 8);
        }
        for resolver in w.resolvers.values_mut() {
            resolver.0 = Says::Rcode(3);
        }
        w.hosts.clear();
    });
}

#[test]
fn the_delegation_is_gone() {
    let world = check("broken dns.delegation.missing", |w| {
        w.parent_denies = true;
        for resolver in w.resolvers.values_mut() {
            resolver.0 = Says::Rcode(3);
        }
        w.hosts.clear();
    });
    assert!(world.judge().diagnosis.unwrap().confidence <= 0.7);
}

#[test]
fn a_resolver_denies_one_name() {
    check("degraded dns.resolver.bug", |w| {
        w.resolvers.insert("9.9.9.9", (Says::Rcode(3), true));
    });
}

#[test]
fn a_resolver_is_down() {
    check("degraded dns.resolver.down", |w| {
        w.resolvers.insert("9.9.9.9", (Says::Rcode(5), false));
    });
}

#[test]
fn wrong_certificate_on_the_right_address() {
    check("broken tls.name_mismatch", |w| {
        w.hosts.insert(GOOD, vec![mismatch()]);
    });
}

#[test]
fn a_declared_migration_is_a_notice() {
    check("healthy", |w| {
        w.parent.push("ns3.a.test");
        w.servers
            .insert(("ns3.a.test", "205.251.194.1"), (Says::Address(GOOD), 7));
        w.expect.name_servers = ["ns1.a.test", "ns2.a.test", "ns3.a.test"]
            .map(name)
            .to_vec();
    });
    check("healthy ! dns.delegation.ns_mismatch", |w| {
        w.parent.push("ns3.a.test");
        w.servers
            .insert(("ns3.a.test", "205.251.194.1"), (Says::Address(GOOD), 7));
    });
}

#[test]
fn nothing_ran() {
    let mut situation = World::healthy().situation();
    situation.observations.clear();
    let judged = diagnose(&situation);
    assert_eq!(told(&judged), "unknown monitor.probe_hung");
    assert_eq!(judged.layers.len(), 4);
}

proptest! {
    #[test]
    fn the_order_of_observations_does_not_matter(seed in any::<u64>(), fault in 0..4) {
        let mut world = World::healthy();
        match fault {
            0 => foreign(&mut world),
            1 => { world.hosts.insert(GOOD, vec![mismatch()]); }
            2 => { world.resolvers.insert("9.9.9.9", (Says::Rcode(3), true)); }
            _ => { world.servers.insert(("ns2.a.test", "205.251.193.1"), (Says::Silent, 7)); }
        }
        let mut situation = world.situation();
        let straight = diagnose(&situation);
        fastrand::Rng::with_seed(seed).shuffle(&mut situation.observations);
        prop_assert_eq!(&straight, &diagnose(&situation));
        let roots = straight.findings.iter().filter(|f| f.role == Role::Root).count();
        prop_assert_eq!(roots > 0, straight.diagnosis.is_some());
    }
}

/// The situation of a world with several attempts at one address beside.
fn with_tries(world: &World, failed: u32, end: TryEnd) -> bellwether_diagnose::Situation {
    let mut situation = world.situation();
    let mut ends = vec![TryCount { end, count: failed }];
    ends.push(TryCount {
        end: TryEnd::Works,
        count: 6 - failed,
    });
    ends.retain(|end| end.count > 0);
    let first = situation.observations[0].clone();
    situation.observations.push(Observation {
        id: "e900".into(),
        probe: ProbeKind::Tcp,
        outcome: Outcome::Tries(TriesSeen {
            address: (fixture::ip(GOOD), 443).into(),
            depth: TryDepth::Request,
            made: 6,
            failed,
            ends,
        }),
        ..first
    });
    situation
}

fn refused() -> TryEnd {
    let result = TcpResult::Refused;
    TryEnd::Connection { result }
}

#[test]
fn a_share_of_connections_is_refused() {
    let judged = diagnose(&with_tries(&World::healthy(), 2, refused()));
    assert_eq!(told(&judged), "degraded net.tcp.reset_flap");
    let diagnosis = judged.diagnosis.unwrap();
    assert!(
        (diagnosis.scope.share - 1.0 / 3.0).abs() < 0.001,
        "{diagnosis:#?}"
    );
    assert!(diagnosis.summary.ends_with("; 2 of 6 attempts fail"));
}

#[test]
fn tries_that_work_say_nothing() {
    let judged = diagnose(&with_tries(&World::healthy(), 0, refused()));
    assert_eq!(told(&judged), "healthy");
}

#[test]
fn a_share_of_handshakes_is_answered_with_an_alert() {
    let result = TlsResult::Alert {
        code: 80,
        name: "internal_error".into(),
    };
    let judged = diagnose(&with_tries(
        &World::healthy(),
        3,
        TryEnd::Handshake { result },
    ));
    assert_eq!(told(&judged), "degraded tls.negotiation_failed");
    let share = judged.diagnosis.unwrap().scope.share;
    assert!((share - 0.5).abs() < 0.001, "{share}");
}

#[test]
fn connections_that_time_out_at_times_have_no_known_cause() {
    let result = TcpResult::TimedOut;
    let judged = diagnose(&with_tries(
        &World::healthy(),
        3,
        TryEnd::Connection { result },
    ));
    assert_eq!(told(&judged), "degraded unknown");
}
