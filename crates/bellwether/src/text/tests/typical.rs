//! Reports of small situations, one for each kind of text.

use super::*;
use bellwether_diagnose::Situation;
use bellwether_model::net::TcpResult;
use bellwether_model::tls::{CertProblem, TlsResult};
use fixture::{FOREIGN, GOOD, Says, World, mismatch};

#[path = "../../../../bellwether-diagnose/tests/fixture/mod.rs"]
#[allow(
    dead_code,
    unfulfilled_lint_expectations,
    reason = "the fixture serves other tests too, which are judged by themselves"
)]
mod fixture;

/// What `check` would print of this world.
fn check(name: &str, change: impl Fn(&mut World), see: impl Fn(&mut Situation)) {
    let mut world = World::healthy();
    change(&mut world);
    let mut situation = world.situation();
    see(&mut situation);
    let report = bellwether_diagnose::report::report(
        bellwether_diagnose::report::Seen {
            context: situation.context,
            began: "2024-10-01T11:10:00Z".parse().unwrap(),
            took_ms: 412.0,
            queries: 61,
            peak_kib: None,
            observations: situation.observations,
        },
        "0.1.0",
    );
    let text = render(&report, Style::default());
    fits_a_screen(&text);
    golden(&format!("text/{name}.txt"), &text);
}

fn as_it_is(_: &mut Situation) {}

fn foreign(world: &mut World) {
    world.parent = vec!["ns9.b.test", "ns10.b.test"];
    world.child = world.parent.clone();
    for server in [
        ("ns9.b.test", "162.159.26.1"),
        ("ns10.b.test", "162.159.27.1"),
    ] {
        world.servers.insert(server, (Says::Address(FOREIGN), 1));
    }
    world.hosts.insert(FOREIGN, vec![mismatch()]);
    world
        .resolvers
        .insert("9.9.9.9", (Says::Address(FOREIGN), true));
}

#[test]
fn healthy() {
    check("healthy", |_| {}, as_it_is);
}

#[test]
fn wrong_name_servers_since_a_baseline() {
    check("wrong-ns", foreign, as_it_is);
}

#[test]
fn wrong_name_servers_that_answer_errors() {
    let change = |world: &mut World| {
        foreign(world);
        world.hosts.remove(FOREIGN);
        for (server, rcode) in [
            (("ns9.b.test", "162.159.26.1"), 5),
            (("ns10.b.test", "162.159.27.1"), 2),
        ] {
            world.servers.insert(server, (Says::Rcode(rcode), 1));
        }
        world.resolvers.insert("9.9.9.9", (Says::Rcode(2), true));
    };
    check("wrong-ns-rcodes", change, as_it_is);
}

#[test]
fn one_lame_server_of_four_is_a_warning() {
    let change = |world: &mut World| {
        let all = vec!["ns1.a.test", "ns2.a.test", "ns3.a.test", "ns4.a.test"];
        (world.parent, world.child) = (all.clone(), all);
        world.baseline = false;
        let good = (Says::Address(GOOD), 7);
        world.servers.insert(("ns3.a.test", "205.251.194.1"), good);
        let lame = (Says::Rcode(5), 7);
        world.servers.insert(("ns4.a.test", "205.251.195.1"), lame);
    };
    check("lame-one-of-four", change, as_it_is);
}

#[test]
fn expired_certificate() {
    let change = |world: &mut World| {
        let ended = CertProblem::Expired {
            index: 0,
            not_after: "2024-09-30T11:10:00Z".parse().unwrap(),
        };
        world.hosts.insert(GOOD, vec![ended]);
    };
    check("expired", change, as_it_is);
}

#[test]
fn connections_are_refused() {
    let refuse = |situation: &mut Situation| {
        situation.observations.retain_mut(|o| match &mut o.outcome {
            Outcome::Tcp(seen) => {
                seen.result = TcpResult::Refused;
                true
            }
            Outcome::Tls(_) | Outcome::Http(_) => false,
            _ => true,
        });
    };
    check("refused", |_| {}, refuse);
}

#[test]
fn failures_that_no_rule_explains() {
    let fail = |situation: &mut Situation| {
        for observation in &mut situation.observations {
            if let Outcome::Tls(seen) = &mut observation.outcome {
                seen.result = TlsResult::Failed {
                    error: "peer is incompatible".to_owned(),
                };
            }
        }
        situation
            .observations
            .retain(|o| !matches!(o.outcome, Outcome::Http(_)));
    };
    check("unknown-tls", |_| {}, fail);
}

#[test]
fn the_same_fault_at_two_addresses() {
    let change = |world: &mut World| {
        let other = "54.160.170.230";
        world.hosts.insert(GOOD, vec![mismatch()]);
        world.hosts.insert(other, vec![mismatch()]);
        world
            .resolvers
            .insert("9.9.9.9", (Says::Address(other), true));
    };
    check("mismatch-twice", change, as_it_is);
}

#[test]
fn two_faults_that_explain_different_failures() {
    let change = |world: &mut World| {
        world.resolvers.insert("9.9.9.9", (Says::Rcode(2), false));
        world.hosts.insert(GOOD, vec![mismatch()]);
    };
    check("two-roots", change, as_it_is);
}

#[test]
fn two_ns_sets_and_nothing_tells_which_is_right() {
    let change = |world: &mut World| {
        foreign(world);
        world.baseline = false;
        world.child = vec!["ns1.a.test", "ns2.a.test"];
        world.hosts.insert(GOOD, vec![mismatch()]);
    };
    check("undecided", change, as_it_is);
}

#[test]
fn a_resolver_fails_for_this_name_alone() {
    let change = |world: &mut World| {
        world.resolvers.insert("9.9.9.9", (Says::Rcode(2), true));
    };
    check("resolver-servfail", change, as_it_is);
}
