//! Signed zones as a validator of others sees them, and as the box's own resolvers do.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use domain::base::iana::Rtype;
use domain::base::{Message, MessageBuilder};
use domain::dnssec::validator::anchor::TrustAnchors;
use domain::dnssec::validator::context::{ValidationContext, ValidationState};
use domain::net::client::request::{
    ComposeRequest, Error, GetResponse, RequestMessage, SendRequest,
};

use crate::clock::Clock;
use crate::dns::wire::{Incoming, Query};
use crate::dns::{Manner, Reaction, Reply, Transport};
use crate::scenario::{SetSpec, parse};
use crate::world::zone::name;
use crate::world::{Shared, World, lock};

/// The resolver that hands on what servers say, and the one that judges it.
const PLAIN: &str = "4.2.2.2";
const JUDGE: &str = "8.8.8.8";
/// A server of the signed zone, and one of its parent.
const SERVER: &str = "198.51.100.1";

/// Whoever asks.
const ASKS: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// A world whose zone `shop.test` has these words besides `signed: true`.
fn world(words: &str) -> World {
    let text = format!(
        r#"
schema: bellwether.scenario/1
name: x
world:
  zones:
    - name: ours
      apex: shop.test
      servers: {{ ns1.dns-a.test: 198.51.100.1, ns2.dns-a.test: 198.51.100.2 }}
      records:
        - www 300 A 203.0.113.80
        - Mixed 300 TXT "Two" "words"
        - alias 300 CNAME www
        - away 300 CNAME www.plain.test
        - a.deep 300 A 203.0.113.80
        - "*.apps 300 A 203.0.113.80"
        - "*.many 300 CNAME www"
        - sub 300 NS ns1.dns-a.test
      {words}
    - name: plain
      apex: plain.test
      servers: {{ ns1.dns-a.test: 198.51.100.1 }}
      records: ["www 300 A 203.0.113.81"]
  resolvers: [{{ address: 4.2.2.2 }}, {{ address: 8.8.8.8, validates: true }}]
services: []
"#
    );
    let spec = parse(&text, "x").unwrap();
    World::build(&spec, Clock::new(None), 1).unwrap()
}

fn signed(words: &str) -> World {
    world(&format!("signed: true\n      {words}"))
}

fn set(world: &mut World, yaml: &str) {
    let set: SetSpec = serde_saphyr::from_str(yaml).unwrap();
    world.set(&set).unwrap();
}

const WANTS_DNSSEC: Manner = Manner {
    transport: Transport::Udp,
    edns: true,
    dnssec_ok: true,
    checking_disabled: false,
    authentic: false,
    capitals: false,
    unknown_option: false,
};

fn ask(world: &mut World, server: &str, question: (&str, Rtype), manner: Manner) -> Reply {
    let qname = name(question.0).unwrap();
    let server = server.parse().unwrap();
    match world.react((server, ASKS), (&qname, question.1), manner) {
        Reaction::Silent => panic!("{server} is silent"),
        Reaction::Answer { reply, .. } | Reaction::Forged { reply, .. } => *reply,
    }
}

/// What the box's own resolver thinks: secure, insecure, or bogus with the extended error.
fn own(world: &mut World, question: (&str, Rtype)) -> String {
    let reply = ask(world, JUDGE, question, WANTS_DNSSEC);
    match (reply.rcode, reply.ad, reply.ede) {
        (2, _, Some((code, _))) => format!("bogus {code}"),
        (2, _, None) => "failed".to_owned(),
        (_, true, _) => "secure".to_owned(),
        (_, false, _) => "insecure".to_owned(),
    }
}

/// The world as an upstream of `domain`'s validator.
struct Upstream(Shared);

#[derive(Debug)]
struct Said(Message<Bytes>);

impl GetResponse for Said {
    fn get_response(
        &mut self,
    ) -> Pin<Box<dyn Future<Output = Result<Message<Bytes>, Error>> + Send + Sync + '_>> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

impl SendRequest<RequestMessage<Vec<u8>>> for Upstream {
    fn send_request(&self, request: RequestMessage<Vec<u8>>) -> Box<dyn GetResponse + Send + Sync> {
        let octets = request.to_vec().unwrap();
        Box::new(Said(exchange(&self.0, &octets)))
    }
}

/// Octets to the plain resolver and back.
fn exchange(world: &Shared, octets: &[u8]) -> Message<Bytes> {
    let Incoming::Query(query) = Query::read(octets) else {
        panic!("no query");
    };
    let manner = query.manner(Transport::Tcp);
    let question = (&query.qname, query.qtype);
    let reaction = lock(world).react((PLAIN.parse().unwrap(), ASKS), question, manner);
    let Reaction::Answer { reply, edns, .. } = reaction else {
        panic!("the resolver is silent");
    };
    // TCP's length stands before.
    let octets = query.write(&reply, Transport::Tcp, edns).split_off(2);
    Message::from_octets(Bytes::from(octets)).unwrap()
}

/// What `domain`'s validator thinks.
fn theirs(world: &World, question: (&str, Rtype)) -> &'static str {
    let anchors = TrustAnchors::from_u8(world.root_key().as_bytes()).unwrap();
    let shared: Shared = Arc::new(Mutex::new(world.clone()));
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_rd(true);
    message.header_mut().set_cd(true);
    let mut message = message.question();
    message
        .push((name(question.0).unwrap(), question.1))
        .unwrap();
    let mut request = RequestMessage::new(message.into_message()).unwrap();
    request.set_dnssec_ok(true);
    let answer = exchange(&shared, &request.to_vec().unwrap());
    let context = ValidationContext::new(anchors, Upstream(shared));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let validated = runtime
        .unwrap()
        .block_on(context.validate_msg::<Bytes, Vec<u8>>(&mut answer.clone()));
    match validated.unwrap().0 {
        ValidationState::Secure => "secure",
        ValidationState::Insecure => "insecure",
        ValidationState::Bogus => "bogus",
        ValidationState::Indeterminate => "indeterminate",
    }
}

/// Both validators think this of a question.
#[track_caller]
fn check(world: &mut World, qname: &str, qtype: Rtype, expected: &str) {
    let own = own(world, (qname, qtype));
    assert_eq!(own, expected, "{qname} {qtype}, own");
    let word = expected.split(' ').next().unwrap();
    assert_eq!(theirs(world, (qname, qtype)), word, "{qname} {qtype}");
}

/// Everything that a healthy zone can be asked.
#[track_caller]
fn check_healthy(words: &str) {
    let mut world = signed(words);
    for (qname, qtype) in [
        ("www.shop.test", Rtype::A),
        ("www.shop.test", Rtype::AAAA),
        ("WWW.Shop.Test", Rtype::A),
        ("mixed.shop.test", Rtype::TXT),
        ("alias.shop.test", Rtype::A),
        ("deep.shop.test", Rtype::A),
        ("x.apps.shop.test", Rtype::A),
        ("y.x.apps.shop.test", Rtype::A),
        ("x.apps.shop.test", Rtype::AAAA),
        ("x.many.shop.test", Rtype::A),
        ("apps.shop.test", Rtype::A),
        ("gone.shop.test", Rtype::A),
        ("gone.www.shop.test", Rtype::A),
        ("shop.test", Rtype::SOA),
        ("shop.test", Rtype::NS),
        ("shop.test", Rtype::DNSKEY),
        ("shop.test", Rtype::DS),
        ("sub.shop.test", Rtype::DS),
        ("plain.test", Rtype::DS),
        ("test", Rtype::DNSKEY),
        ("gone.test", Rtype::A),
        ("gone", Rtype::A),
        ("com", Rtype::DS),
    ] {
        check(&mut world, qname, qtype, "secure");
    }
    for (qname, qtype) in [
        ("away.shop.test", Rtype::A),
        ("www.plain.test", Rtype::A),
        ("www.plain.test", Rtype::AAAA),
        ("gone.plain.test", Rtype::A),
        ("ns1.dns-a.test", Rtype::A),
        ("a.root-servers.net", Rtype::A),
    ] {
        check(&mut world, qname, qtype, "insecure");
    }
}

#[test]
fn healthy_with_nsec() {
    check_healthy("");
}

#[test]
fn healthy_with_nsec3() {
    check_healthy("denial: { nsec3: { iterations: 3, salt: c0ffee } }");
}

#[test]
fn healthy_with_each_algorithm_and_one_key() {
    for algorithm in [8, 10, 13] {
        let mut world = signed(&format!("algorithm: {algorithm}\n      keys: single"));
        check(&mut world, "www.shop.test", Rtype::A, "secure");
        check(&mut world, "x.apps.shop.test", Rtype::AAAA, "secure");
    }
    // `domain`'s validator takes these as unsigned; unbound validates them.
    for algorithm in [14, 15] {
        let mut world = signed(&format!("algorithm: {algorithm}"));
        assert_eq!(own(&mut world, ("www.shop.test", Rtype::A)), "secure");
        assert_eq!(theirs(&world, ("www.shop.test", Rtype::A)), "insecure");
    }
    check(
        &mut signed("algorithm: 12"),
        "www.shop.test",
        Rtype::A,
        "insecure",
    );
}

#[test]
fn opt_out_and_costly_proofs_are_insecure() {
    let mut world = signed("denial: { nsec3: { opt_out: true } }");
    check(&mut world, "www.shop.test", Rtype::A, "secure");
    check(&mut world, "www.shop.test", Rtype::AAAA, "secure");
    check(&mut world, "gone.shop.test", Rtype::A, "insecure");
    let mut world = signed("denial: { nsec3: { iterations: 150 } }");
    check(&mut world, "www.shop.test", Rtype::A, "secure");
    check(&mut world, "gone.shop.test", Rtype::A, "insecure");
}

#[test]
fn each_fault_is_bogus_with_its_reason() {
    let www = |words: &str, expected: &str| {
        check(&mut signed(words), "www.shop.test", Rtype::A, expected);
    };
    www("signatures: { expiration: -1d }", "bogus 7");
    www("signatures: { expiration: -1d, only: [www A] }", "bogus 7");
    www("signatures: { inception: +1d }", "bogus 8");
    www("without_rrsig: [www A]", "bogus 10");
    www("without_rrsig: [\"@ DNSKEY\"]", "bogus 10");
    www("altered: [\"www 300 A 203.0.113.99\"]", "bogus 6");
    www("signatures: { expiration: -1d, only: [alias] }", "secure");
    let mut wide = signed("denial_fault: wide");
    check(&mut wide, "www.shop.test", Rtype::A, "secure");
    check(&mut wide, "www.shop.test", Rtype::AAAA, "bogus 12");
    let mut missing = signed("denial_fault: missing");
    check(&mut missing, "www.shop.test", Rtype::A, "secure");
    check(&mut missing, "x.apps.shop.test", Rtype::A, "secure");
    check(&mut missing, "x.apps.shop.test", Rtype::AAAA, "bogus 12");
    check(&mut missing, "gone.shop.test", Rtype::A, "bogus 12");
}

#[test]
fn the_ds_set_stays_until_it_is_set() {
    let mut world = signed("");
    let www = ("www.shop.test", Rtype::A);
    let mut after = |yaml: &str, expected: &str| {
        set(&mut world, yaml);
        check(&mut world, www.0, www.1, expected);
    };
    after("{ zones: { ours: { ksk_rolls: 1 } } }", "bogus 9");
    after("{ ds: { shop.test: right } }", "secure");
    after("{ ds: { shop.test: wrong } }", "bogus 9");
    after("{ ds: { shop.test: none } }", "insecure");
    after("{ ds: { shop.test: right } }", "secure");
    after("{ zones: { ours: { signed: false } } }", "bogus 9");
    after("{ ds: { shop.test: [] } }", "insecure");
}

#[test]
fn the_ds_set_of_a_top_level_domain_can_be_mended() {
    let mut world = signed("");
    let mut after = |yaml: &str, expected: &str| {
        set(&mut world, yaml);
        check(&mut world, "www.shop.test", Rtype::A, expected);
    };
    after("{ ds: { test: wrong } }", "bogus 9");
    after("{ ds: { test: right } }", "secure");
}

#[test]
fn the_ds_set_is_that_of_the_first_signed_zone_at_the_apex() {
    let text = r#"
schema: bellwether.scenario/1
name: x
world:
  zones:
    - { name: old, apex: shop.test, servers: { ns1.dns-a.test: 198.51.100.1 }, signed: SIGNED }
    - { name: new, apex: shop.test, servers: { ns1.dns-b.test: 198.51.100.2 }, signed: true,
        undelegated: true, records: ["www 300 A 203.0.113.80"] }
  resolvers: [{ address: 4.2.2.2 }, { address: 8.8.8.8, validates: true }]
"#;
    for (before, expected) in [("false", "secure"), ("true", "bogus 9")] {
        let spec = parse(&text.replace("SIGNED", before), "x").unwrap();
        let mut world = World::build(&spec, Clock::new(None), 1).unwrap();
        set(
            &mut world,
            "{ delegation: { shop.test: [ns1.dns-b.test] } }",
        );
        check(&mut world, "www.shop.test", Rtype::A, expected);
        set(&mut world, "{ ds: { shop.test: right } }");
        check(&mut world, "www.shop.test", Rtype::A, "secure");
    }
}

#[test]
fn a_zone_signing_key_is_rolled_unnoticed_if_it_was_published_before() {
    let mut world = signed("zsk_rolls: 0");
    set(&mut world, "{ resolvers: { 8.8.8.8: { cache: kept } } }");
    check(&mut world, "www.shop.test", Rtype::A, "secure");
    set(&mut world, "{ zones: { ours: { zsk_rolls: 1 } } }");
    check(&mut world, "alias.shop.test", Rtype::A, "secure");
    // A key that no cache knows yet.
    set(&mut world, "{ zones: { ours: { zsk_rolls: 3 } } }");
    assert_eq!(own(&mut world, ("deep.shop.test", Rtype::A)), "bogus 9");
}

#[test]
fn a_signer_that_stops_is_not_noticed_for_two_weeks() {
    let mut world = signed("");
    let expires = |world: &mut World| {
        let reply = ask(world, SERVER, ("www.shop.test", Rtype::A), WANTS_DNSSEC);
        let now = world.clock.now().as_second();
        let ends = reply.answer.iter().find_map(|rr| match &rr.data {
            crate::world::zone::Data::Rrsig(rrsig) => Some(rrsig.expiration().into_int()),
            _ => None,
        });
        (i64::from(ends.unwrap()) - now) / 3600
    };
    let day = std::time::Duration::from_secs(86_400);
    assert!((335..=336).contains(&expires(&mut world)));
    world.clock.advance(10 * day);
    // Renewed each day.
    assert!((311..=336).contains(&expires(&mut world)));
    set(&mut world, "{ zones: { ours: { signer: stopped } } }");
    world.clock.advance(13 * day);
    assert!((0..=24).contains(&expires(&mut world)));
    assert_eq!(own(&mut world, ("www.shop.test", Rtype::A)), "secure");
    world.clock.advance(2 * day);
    assert_eq!(own(&mut world, ("www.shop.test", Rtype::A)), "bogus 7");
    set(&mut world, "{ zones: { ours: { signer: running } } }");
    assert_eq!(own(&mut world, ("www.shop.test", Rtype::A)), "secure");
}

#[test]
fn one_server_with_old_signatures_is_passed_over() {
    let mut world = signed("");
    set(
        &mut world,
        "{ servers: { 198.51.100.1: { stale: { age: 20d } } } }",
    );
    let old = ask(
        &mut world,
        SERVER,
        ("www.shop.test", Rtype::A),
        WANTS_DNSSEC,
    );
    assert_eq!(old.answer.len(), 2);
    for qname in ["www.shop.test", "x.apps.shop.test", "gone.shop.test"] {
        assert_eq!(own(&mut world, (qname, Rtype::A)), "secure");
    }
    set(
        &mut world,
        "{ servers: { 198.51.100.2: { stale: { age: 20d } } } }",
    );
    assert_eq!(own(&mut world, ("www.shop.test", Rtype::A)), "bogus 7");
}

#[test]
fn dnssec_records_only_for_those_who_ask() {
    let mut world = signed("cds: wrong");
    let plain = Manner {
        dnssec_ok: false,
        ..WANTS_DNSSEC
    };
    for server in [SERVER, PLAIN, JUDGE] {
        for qname in ["www.shop.test", "x.apps.shop.test", "gone.shop.test"] {
            let reply = ask(&mut world, server, (qname, Rtype::A), plain);
            let all = reply.answer.iter().chain(&reply.authority);
            let types: Vec<Rtype> = all.map(|rr| rr.rtype()).collect();
            assert!(types.iter().all(|t| [Rtype::A, Rtype::SOA].contains(t)));
            assert!(!reply.ad);
        }
    }
    let authentic = Manner {
        authentic: true,
        ..plain
    };
    assert!(ask(&mut world, JUDGE, ("www.shop.test", Rtype::A), authentic).ad);
    let rrsigs = ask(
        &mut world,
        SERVER,
        ("www.shop.test", Rtype::RRSIG),
        WANTS_DNSSEC,
    );
    assert_eq!(rrsigs.answer.len(), 2);
    let cds = ask(&mut world, SERVER, ("shop.test", Rtype::CDS), WANTS_DNSSEC);
    assert_eq!(cds.answer.len(), 2);
    check(&mut world, "shop.test", Rtype::CDS, "secure");
}

#[test]
fn what_is_bogus_is_given_to_those_who_check_for_themselves() {
    let mut world = signed("signatures: { expiration: -1d }");
    let www = ("www.shop.test", Rtype::A);
    assert_eq!(own(&mut world, www), "bogus 7");
    let manner = Manner {
        checking_disabled: true,
        ..WANTS_DNSSEC
    };
    let reply = ask(&mut world, JUDGE, www, manner);
    assert_eq!((reply.rcode, reply.ad, reply.answer.len()), (0, false, 2));
    set(
        &mut world,
        "{ resolvers: { 8.8.8.8: { validates: false } } }",
    );
    assert_eq!(own(&mut world, www), "insecure");
}

#[test]
fn bugs_of_validators() {
    let mut world = signed("algorithm: 15");
    let mut with = |bug: &str, qname: &str| {
        let yaml = format!("{{ resolvers: {{ 8.8.8.8: {{ bug: {bug} }} }} }}");
        set(&mut world, &yaml);
        own(&mut world, (qname, Rtype::A))
    };
    assert_eq!(
        with("{ without_algorithm: [15] }", "www.shop.test"),
        "insecure"
    );
    assert_eq!(
        with("{ fails_algorithm: [15] }", "www.shop.test"),
        "bogus 1"
    );
    assert_eq!(
        with("{ fails_algorithm: [15] }", "www.plain.test"),
        "insecure"
    );
    assert_eq!(with("outdated_anchor", "www.shop.test"), "bogus 9");
    assert_eq!(with("outdated_anchor", "www.plain.test"), "insecure");
    assert_eq!(with("outdated_anchor", "a.root-servers.net"), "insecure");
    assert_eq!(with("null", "www.shop.test"), "secure");
}

#[test]
fn one_seed_one_key() {
    let key = |seed| {
        let spec = parse("schema: bellwether.scenario/1\nname: x\n", "x").unwrap();
        World::build(&spec, Clock::new(None), seed)
            .unwrap()
            .root_key()
    };
    assert_eq!(key(1), key(1));
    assert_ne!(key(1), key(2));
    assert!(key(1).starts_with(". 172800 IN DNSKEY 257 3 13 "));
}

#[test]
fn large_answers_do_not_fit_into_udp() {
    let mut world = signed("algorithm: 10");
    let size = |world: &mut World, qtype: Rtype, udp_size: u16| {
        let mut message = MessageBuilder::new_vec().question();
        message.push((name("shop.test").unwrap(), qtype)).unwrap();
        let mut message = message.additional();
        let opt = message.opt(|opt| {
            opt.set_udp_payload_size(udp_size);
            opt.set_dnssec_ok(true);
            Ok(())
        });
        opt.unwrap();
        let Incoming::Query(query) = Query::read(&message.finish()) else {
            panic!("no query");
        };
        let manner = query.manner(Transport::Udp);
        let question = (&query.qname, query.qtype);
        let reaction = world.react((SERVER.parse().unwrap(), ASKS), question, manner);
        let Reaction::Answer { reply, edns, .. } = reaction else {
            panic!("the server is silent");
        };
        let octets = query.write(&reply, Transport::Udp, edns);
        assert!(octets.len() <= usize::from(udp_size));
        Message::from_octets(octets).unwrap().header().tc()
    };
    assert!(size(&mut world, Rtype::DNSKEY, 512));
    assert!(!size(&mut world, Rtype::DNSKEY, 1232));
    assert!(!size(&mut world, Rtype::SOA, 512));
    set(&mut world, "{ zones: { ours: { zsk_rolls: 1 } } }");
    assert!(size(&mut world, Rtype::DNSKEY, 4096));
}
