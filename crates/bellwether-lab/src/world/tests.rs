//! What servers and resolvers of a world answer, and how that changes.

use super::*;
use crate::dns::Reply;
use crate::scenario::parse;

const SCENARIO: &str = r#"
schema: bellwether.scenario/1
name: x
now: 2024-10-01T00:00:00Z
world:
  zones:
    - name: ours
      apex: svc.test
      servers: { ns1.dns-a.test: 205.251.192.1, ns2.dns-a.test: 205.251.193.1 }
      ns_ttl: 1h
      records:
        - www 60 A 54.160.170.229
        - far 60 CNAME www.other.test
        - loop 60 CNAME loop2
        - loop2 60 CNAME loop
        - sub 60 NS ns1.dns-a.test
    - name: theirs
      apex: svc.test
      servers: { ns9.dns-b.test: 162.159.26.1 }
      undelegated: true
      records: ["* 300 A 23.185.0.3"]
    - name: other
      apex: other.test
      servers: { ns1.other.test: 104.16.1.1 }
      records: ["www 60 A 104.16.1.80"]
  resolvers:
    - { address: 8.8.8.8, cache: kept }
    - { address: 4.2.2.2, cache: kept, age: 50m }
    - { address: 9.9.9.9, cache: none }
services: [{ name: www, url: "https://www.svc.test/" }]
"#;

/// Whoever asks.
const ASKS: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// A query with EDNS that wants nothing special.
const PLAIN: Manner = Manner {
    transport: Transport::Udp,
    edns: true,
    dnssec_ok: false,
    checking_disabled: false,
    authentic: false,
    capitals: false,
    unknown_option: false,
};

fn world() -> World {
    let spec = parse(SCENARIO, "x").unwrap();
    World::build(&spec, Clock::new(spec.now), 1).unwrap()
}

fn set(world: &mut World, yaml: &str) {
    let set: SetSpec = serde_saphyr::from_str(yaml).unwrap();
    world.set(&set).unwrap();
}

/// An answer in short: rcode, then data with TTLs.
fn ask(world: &mut World, server: &str, qname: &str, qtype: Rtype) -> String {
    ask_from(world, ASKS, server, qname, qtype)
}

fn ask_from(world: &mut World, from: IpAddr, server: &str, qname: &str, qtype: Rtype) -> String {
    let qname = zone::name(qname).unwrap();
    let server = server.parse().unwrap();
    match world.react((server, from), (&qname, qtype), PLAIN) {
        Reaction::Silent => "silent".to_owned(),
        Reaction::Answer { reply, .. } | Reaction::Forged { reply, .. } => short(&reply),
    }
}

fn short(reply: &Reply) -> String {
    let section = |set: &[zone::Rr]| {
        let items: Vec<String> = set
            .iter()
            .map(|rr| format!("{} {}", rr.ttl, rr.data))
            .collect();
        items.join(", ")
    };
    let aa = if reply.aa { " aa" } else { "" };
    let (answer, authority) = (section(&reply.answer), section(&reply.authority));
    format!("{}{aa} [{answer}] [{authority}]", reply.rcode)
}

const DELEGATE: &str = "{ delegation: { svc.test: [ns9.dns-b.test] } }";

#[test]
fn referrals_carry_glue_of_their_own_domain() {
    let mut world = world();
    let www = zone::name("www.svc.test").unwrap();
    let tld = "194.146.16.53".parse().unwrap();
    let reaction = world.react((tld, ASKS), (&www, Rtype::A), PLAIN);
    let Reaction::Answer { reply, .. } = reaction else {
        panic!("the parent is silent");
    };
    assert_eq!(
        short(&reply),
        "0 [] [3600 ns1.dns-a.test., 3600 ns2.dns-a.test.]"
    );
    assert_eq!(reply.additional.len(), 2);
    let root = ask(&mut world, "198.41.0.4", "www.svc.test", Rtype::A);
    assert_eq!(root, "0 [] [86400 a.nic.test., 86400 b.nic.test.]");
}

#[test]
fn resolvers_walk_aliases_and_see_loops() {
    let mut world = world();
    assert_eq!(
        ask(&mut world, "9.9.9.9", "far.svc.test", Rtype::A),
        "0 [60 www.other.test., 60 104.16.1.80] []"
    );
    assert_eq!(
        ask(&mut world, "9.9.9.9", "loop.svc.test", Rtype::A),
        "2 [] []"
    );
    assert_eq!(
        ask(&mut world, "1.1.1.1", "a.root-servers.net", Rtype::A),
        "0 [86400 198.41.0.4] []"
    );
    let gone = ask(&mut world, "9.9.9.9", "gone.svc.test", Rtype::A);
    assert!(gone.starts_with("3 [] [300 "), "{gone}");
}

#[test]
fn a_kept_cache_remembers_the_name_servers_until_their_ttl_ends() {
    let mut world = world();
    let right = "0 [60 54.160.170.229] []";
    let wrong = "0 [300 23.185.0.3] []";
    for resolver in ["8.8.8.8", "9.9.9.9", "4.2.2.2"] {
        assert_eq!(
            ask(&mut world, resolver, "www.svc.test", Rtype::A),
            right,
            "{resolver}"
        );
    }
    ask(&mut world, "8.8.8.8", "svc.test", Rtype::NS);
    set(&mut world, DELEGATE);
    world.clock.advance(Duration::from_secs(20));
    assert_eq!(
        ask(&mut world, "8.8.8.8", "www.svc.test", Rtype::A),
        "0 [40 54.160.170.229] []"
    );
    assert_eq!(ask(&mut world, "9.9.9.9", "www.svc.test", Rtype::A), wrong);
    world.clock.advance(Duration::from_secs(580));
    assert_eq!(ask(&mut world, "8.8.8.8", "www.svc.test", Rtype::A), right);
    assert_eq!(
        ask(&mut world, "8.8.8.8", "svc.test", Rtype::NS),
        "0 [3000 ns1.dns-a.test., 3000 ns2.dns-a.test.] []"
    );
    // Its cache is 50 minutes older, so that its hour is over.
    assert_eq!(ask(&mut world, "4.2.2.2", "www.svc.test", Rtype::A), wrong);
    world.clock.advance(Duration::from_secs(3000));
    assert_eq!(ask(&mut world, "8.8.8.8", "www.svc.test", Rtype::A), wrong);
}

#[test]
fn resolvers_pass_over_servers_that_do_not_serve() {
    let mut world = world();
    set(&mut world, "{ servers: { ns1.dns-a.test: silent } }");
    assert_eq!(
        ask(&mut world, "9.9.9.9", "www.svc.test", Rtype::A),
        "0 [60 54.160.170.229] []"
    );
    set(
        &mut world,
        "{ servers: { 205.251.193.1: { answers: { rcode: REFUSED } } } }",
    );
    assert_eq!(
        ask(&mut world, "9.9.9.9", "www.svc.test", Rtype::A),
        "2 [] []"
    );
    set(&mut world, "{ servers: { 205.251.193.1: normal } }");
    assert_eq!(
        ask(&mut world, "9.9.9.9", "www.svc.test", Rtype::A),
        "0 [60 54.160.170.229] []"
    );
}

#[test]
fn behaviours_of_one_server() {
    let mut world = world();
    let mut with = |words: &str| {
        set(
            &mut world,
            &format!("{{ servers: {{ 205.251.192.1: {words} }} }}"),
        );
        ask(&mut world, "205.251.192.1", "www.svc.test", Rtype::A)
    };
    assert_eq!(with("normal"), "0 aa [60 54.160.170.229] []");
    assert_eq!(with("{ udp: silent }"), "silent");
    assert_eq!(with("{ rcode: NOTIMP }"), "4 [] []");
    assert!(with("blank").starts_with("3 aa [] [300 "));
    assert_eq!(with("not_authoritative"), "0 [60 54.160.170.229] []");
    assert!(with("upward_referral").starts_with("0 [] [518400 a.root-servers.net., "));
    let stale = with("{ stale: { serial: 0, records: [\"www 60 A 54.160.1.1\"] } }");
    assert_eq!(stale, "0 aa [60 54.160.1.1] []");
}

#[test]
fn edited_zones_raise_their_serial() {
    let mut world = world();
    set(
        &mut world,
        "{ zones: { ours: { records: [] } }, servers: { 205.251.193.1: { stale: {} } } }",
    );
    let serial = |text: String| text.split(' ').nth(5).unwrap().to_owned();
    let new = ask(&mut world, "205.251.192.1", "svc.test", Rtype::SOA);
    let old = ask(&mut world, "205.251.193.1", "svc.test", Rtype::SOA);
    assert_eq!((serial(new), serial(old)), ("2".to_owned(), "1".to_owned()));
    assert_eq!(
        ask(&mut world, "205.251.193.1", "www.svc.test", Rtype::A),
        "0 aa [60 54.160.170.229] []"
    );
}

#[test]
fn no_delegation_means_that_the_name_does_not_exist() {
    let mut world = world();
    set(&mut world, "{ delegation: { svc.test: [] } }");
    assert!(ask(&mut world, "194.146.16.53", "www.svc.test", Rtype::A).starts_with("3 aa [] "));
}

#[test]
fn bugs_of_resolvers_and_broken_controls() {
    let mut world = world();
    set(
        &mut world,
        "{ resolvers: { 9.9.9.9: { bug: { nxdomain_for: [www.svc.test] } } } }",
    );
    assert_eq!(
        ask(&mut world, "9.9.9.9", "www.svc.test", Rtype::A),
        "3 [] []"
    );
    set(
        &mut world,
        "{ resolvers: { 9.9.9.9: { bug: { nxdomain_above: 0 } } } }",
    );
    assert_eq!(
        ask(&mut world, "9.9.9.9", "www.svc.test", Rtype::A),
        "3 [] []"
    );
    set(
        &mut world,
        "{ resolvers: { 9.9.9.9: { bug: null } }, controls: silent }",
    );
    assert_eq!(
        ask(&mut world, "9.9.9.9", "www.svc.test", Rtype::A),
        "silent"
    );
    let control = "a.root-servers.net";
    assert_eq!(ask(&mut world, "198.41.0.4", control, Rtype::A), "silent");
    assert_eq!(ask(&mut world, "4.2.2.2", control, Rtype::A), "2 [] []");
    // The root itself goes on.
    let root = ask(&mut world, "198.41.0.4", "www.svc.test", Rtype::A);
    assert!(root.starts_with("0 [] [86400 a.nic.test."), "{root}");
}

#[test]
fn mistakes_are_named() {
    let mut world = world();
    let mut message = |yaml: &str| {
        let set: SetSpec = serde_saphyr::from_str(yaml).unwrap();
        world.set(&set).unwrap_err().message
    };
    assert!(message("{ servers: { 1.2.3.4: silent } }").contains("no zone of the scenario has"));
    assert!(message("{ resolvers: { 1.2.3.4: silent } }").contains("there is no resolver"));
    assert!(message("{ hosts: { 1.2.3.4: { tcp: silent } } }").contains("there is no host"));
    assert!(message("{ hosts: { nowhere: { tcp: silent } } }").contains("is no place of a host"));
    assert!(message("{ ds: { svc.test: right } }").contains("no zone `svc.test` is signed"));
    assert!(message("{ zones: { ours: { records: [x] } } }").contains("record `x`"));
}

#[test]
fn a_path_is_mended_by_null() {
    let mut world = world();
    let server = "205.251.192.1".parse().unwrap();
    set(&mut world, "{ path: { udp_above: 512 } }");
    assert!(!world.path.carries(server, 600));
    set(&mut world, "{ path: { fragments: lost } }");
    assert!(!world.path.carries(server, 600), "what is left out stays");
    set(&mut world, "{ path: { udp_above: null } }");
    assert!(world.path.carries(server, 600));
}

/// A zone that answers by where a question comes from, and vantages to ask from.
const PLACES: &str = r#"
schema: bellwether.scenario/1
name: x
now: 2024-10-01T00:00:00Z
world:
  vantages:
    - { name: fra, address: 192.0.2.10 }
    - { name: nyc, address: [192.0.2.20, "2001:db8::20"] }
  zones:
    - name: ours
      apex: svc.test
      servers: { ns1.dns-a.test: 205.251.192.1 }
      records: ["www 60 A 54.160.170.1", "api 60 A 54.160.170.9"]
      records_for: { nyc: ["www 60 A 54.160.170.2", "www 60 A 54.160.170.3"] }
  resolvers:
    - { address: 8.8.8.8, cache: none, from: [fra] }
    - { address: 9.9.9.9, cache: none, from: [nyc] }
    - { address: 4.2.2.2, cache: none, from: [fra, nyc] }
"#;

fn places() -> World {
    let spec = parse(PLACES, "x").unwrap();
    World::build(&spec, Clock::new(spec.now), 1).unwrap()
}

#[test]
fn answers_differ_by_who_asks() {
    let mut world = places();
    let mut answer = |from: &str, server: &str, name: &str| {
        ask_from(&mut world, from.parse().unwrap(), server, name, Rtype::A)
    };
    let (here, there) = ("60 54.160.170.1]", "60 54.160.170.2, 60 54.160.170.3]");
    for (from, server, wanted) in [
        ("192.0.2.10", "205.251.192.1", here),
        ("192.0.2.20", "205.251.192.1", there),
        ("2001:db8::20", "205.251.192.1", there),
        ("127.0.0.1", "205.251.192.1", here),
        ("127.0.0.1", "8.8.8.8", here),
        ("192.0.2.10", "9.9.9.9", there),
        ("192.0.2.20", "4.2.2.2", here),
    ] {
        let said = answer(from, server, "www.svc.test");
        assert!(said.contains(wanted), "{from} of {server}: {said}");
        let said = answer(from, server, "api.svc.test");
        assert!(
            said.contains("60 54.160.170.9]"),
            "{from} of {server}: {said}"
        );
    }
    set(&mut world, "{ zones: { ours: { records_for: {} } } }");
    let from = "192.0.2.20".parse().unwrap();
    let said = ask_from(&mut world, from, "205.251.192.1", "www.svc.test", Rtype::A);
    assert!(said.contains(here), "{said}");
}

#[test]
fn a_vantage_is_intercepted_alone() {
    let mut world = places();
    let change = "{ vantages: { nyc: { loss: 0.3, interceptor: { bug: { rewrites: { names: [www.svc.test], to: 10.0.0.1 } } } } } }";
    set(&mut world, change);
    let mut answer = |from: &str| {
        let from = from.parse().unwrap();
        ask_from(&mut world, from, "205.251.192.1", "www.svc.test", Rtype::A)
    };
    assert!(answer("192.0.2.20").contains("10.0.0.1"));
    assert!(answer("192.0.2.10").contains("54.160.170.1"));
    let shares: Vec<f64> = world.vantages.losses().iter().map(|l| l.share).collect();
    assert_eq!(shares, [0.3, 0.3], "both families");
    set(
        &mut world,
        "{ vantages: { nyc: { loss: 0, interceptor: null, portal: 54.160.170.9 }, fra: { cut: true, link: silent } } }",
    );
    let from = "192.0.2.20".parse().unwrap();
    let said = ask_from(&mut world, from, "205.251.192.1", "www.svc.test", Rtype::A);
    assert!(said.contains("54.160.170.2"), "{said}");
    assert_eq!(
        world.vantages.portal(from).unwrap().to_string(),
        "54.160.170.9"
    );
    let losses = world.vantages.losses();
    assert_eq!((losses.len(), losses[0].share), (1, 1.0));
    assert_eq!(
        world.vantages.links()["fra"],
        crate::scenario::LinkWord::Silent
    );
}
