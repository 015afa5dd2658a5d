//! The codec on messages that are broken in every way, and exchanges with scripted servers.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use bellwether_model::DnsName;
use bellwether_model::dns::{Exchange, ExchangeResult, Question, Rcode, Response, Transport};

use super::message::{Query, QueryFlags, Raw, decode, encode, matches};
use super::testing::{Row, asked, job, loopback, question, reply, run, serve, wire};
use super::{Ask, ask, ask_whole};
use crate::cx::Cx;

fn query() -> Query {
    let question = Question {
        name: DnsName::typed("www.svc.test").unwrap(),
        rtype: "A".into(),
    };
    encode(
        &question,
        QueryFlags {
            edns: true,
            ..QueryFlags::default()
        },
        &mut fastrand::Rng::with_seed(7),
    )
    .unwrap()
}

fn a(owner: &str) -> Row {
    (owner.into(), 1, vec![192, 0, 2, 1])
}

fn opt(options: &[u8]) -> Row {
    (".".into(), 41, options.to_vec())
}

fn decoded(bytes: &[u8]) -> Response {
    decode(&query(), bytes, Raw::IfMalformed)
}

#[test]
fn a_whole_answer() {
    let soa: Row = (
        "svc.test".into(),
        6,
        [
            wire("NS1.Svc.test"),
            wire("host.svc.test"),
            [1_u32, 2, 3, 4, 5]
                .iter()
                .flat_map(|n| n.to_be_bytes())
                .collect(),
        ]
        .concat(),
    );
    let ede = [0, 15, 0, 5, 0, 22, b'n', b'o', 0x1b];
    let bytes = reply(
        &query().bytes,
        0x0400,
        [
            &[a("WWW.svc.test")],
            &[soa],
            &[opt(&ede), a("ns1.svc.test")],
        ],
    );
    assert_eq!(matches(&query(), &bytes), Ok(()));
    let response = decoded(&bytes);
    assert_eq!(response.malformed, None);
    assert!(response.flags.aa && response.edns && response.case_kept);
    assert_eq!(response.answer[0].name.as_str(), "www.svc.test.");
    assert_eq!(response.answer[0].data, "192.0.2.1");
    assert_eq!(
        response.authority[0].data,
        "ns1.svc.test. host.svc.test. 1 2 3 4 5"
    );
    assert_eq!(response.extended_errors[0].code, 22);
    assert_eq!(response.extended_errors[0].text, "no\\u{1b}");
    assert_eq!(response.additional.len(), 1);
    assert_eq!((response.size, response.raw), (bytes.len(), None));
}

#[test]
fn data_of_other_types() {
    let rows: [Row; 4] = [
        (
            "svc.test".into(),
            15,
            [vec![0, 10], wire("MX.Svc.test")].concat(),
        ),
        ("svc.test".into(), 16, b"\x05a \"b;".to_vec()),
        ("svc.test".into(), 65_280, vec![1, 2]),
        ("svc.test".into(), 5, wire("Other.Test")),
    ];
    let response = decoded(&reply(&query().bytes, 0x0400, [&rows, &[], &[]]));
    let data: Vec<&str> = response.answer.iter().map(|r| r.data.as_str()).collect();
    assert_eq!(
        data,
        [
            "10 mx.svc.test.",
            "\"a \\\"b;\"",
            "\\# 2 01 02",
            "other.test."
        ]
    );
    assert_eq!(response.answer[2].rtype, "TYPE65280");
}

#[test]
fn extended_rcode() {
    let mut bytes = reply(&query().bytes, 1, [&[], &[], &[opt(&[])]]);
    let at = bytes.len() - 6;
    bytes[at] = 1;
    assert_eq!(decoded(&bytes).rcode, Rcode(17));
}

#[test]
fn what_breaks_is_named_and_the_rest_kept() {
    let good = reply(
        &query().bytes,
        0x0400,
        [&[a("www.svc.test"), a("www.svc.test")], &[], &[]],
    );
    let cut = decoded(&good[..good.len() - 3]);
    assert_eq!((cut.answer.len(), cut.flags.aa), (1, true));
    assert!(cut.malformed.is_some() && cut.raw.is_some());
    // The length of the last record reaches beyond the end.
    assert_eq!(cut.malformed_at, Some(good.len() - 6));

    let mut lying = good.clone();
    lying[7] = 9;
    assert_eq!(decoded(&lying).answer.len(), 2);
    assert!(decoded(&lying).malformed.is_some());

    let short: Row = ("www.svc.test".into(), 1, vec![192, 0, 2]);
    let bad_data = decoded(&reply(
        &query().bytes,
        0,
        [&[short, a("www.svc.test")], &[], &[]],
    ));
    assert_eq!(bad_data.answer.len(), 1);
    assert!(bad_data.malformed.unwrap().contains("www.svc.test. A"));

    let two_opts = decoded(&reply(&query().bytes, 0, [&[], &[], &[opt(&[]), opt(&[])]]));
    assert_eq!(two_opts.malformed.as_deref(), Some("two OPT records"));

    let cut_option = decoded(&reply(
        &query().bytes,
        0,
        [&[], &[], &[opt(&[0, 15, 0, 9, 0])]],
    ));
    assert!(cut_option.edns && cut_option.malformed.is_some());
}

#[test]
fn pointer_loops_end() {
    let mut bytes = reply(&query().bytes, 0x0400, [&[a("www.svc.test")], &[], &[]]);
    let at = bytes.len() - 4 - 10 - wire("www.svc.test").len();
    let here = 0xc000 | u16::try_from(at).unwrap();
    bytes[at..at + 2].copy_from_slice(&here.to_be_bytes());
    let response = decoded(&bytes);
    assert!(response.answer.is_empty() && response.malformed.is_some());
}

#[test]
fn no_bytes_make_the_decoder_fall() {
    let good = reply(
        &query().bytes,
        0x0400,
        [&[a("www.svc.test")], &[], &[opt(&[])]],
    );
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(..=bytes.len()));
        let panicked = Some("the parser panicked");
        assert_ne!(decoded(&bytes).malformed.as_deref(), panicked, "{bytes:?}");
        let _ = matches(&query(), &bytes);
    }
}

#[test]
fn more_records_than_the_limit() {
    let root: Row = (".".into(), 1, vec![192, 0, 2, 1]);
    let rows = vec![root; super::message::RECORDS_MAX + 1];
    let response = decoded(&reply(&query().bytes, 0, [&rows, &[], &[]]));
    assert_eq!(response.answer.len(), super::message::RECORDS_MAX);
    assert!(response.malformed.unwrap().contains("4096"));
}

#[test]
fn what_does_not_count() {
    let good = reply(&query().bytes, 0, [&[], &[], &[]]);
    let reason = |change: fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        matches(&query(), &bytes)
    };
    assert_eq!(reason(|_| {}), Ok(()));
    assert_eq!(reason(|b| b[0] ^= 1), Err("wrong_id"));
    assert_eq!(reason(|b| b[2] &= 0x7f), Err("not_a_response"));
    assert_eq!(reason(|b| b[13] = b'x'), Err("wrong_question"));
    assert_eq!(reason(|b| b.truncate(11)), Err("runt"));
    assert_eq!(reason(|b| b.truncate(12)), Err("wrong_question"));
    // Lower case is no failure, and a NOTIMP may come without the question.
    assert_eq!(reason(|b| b[12..].make_ascii_lowercase()), Ok(()));
    let no_question = |b: &mut Vec<u8>| {
        b.truncate(12);
        b[3] |= 4;
        b[5] = 0;
    };
    assert_eq!(reason(no_question), Ok(()));
}

#[test]
fn what_is_no_question() {
    let question = |rtype: &str| Question {
        name: DnsName::typed("svc.test").unwrap(),
        rtype: rtype.into(),
    };
    let mut random = fastrand::Rng::with_seed(1);
    assert!(
        encode(
            &question("NONSENSE"),
            QueryFlags {
                edns: true,
                recursion: true,
                ..QueryFlags::default()
            },
            &mut random
        )
        .is_err()
    );
    assert!(
        encode(
            &question("TYPE65"),
            QueryFlags {
                edns: true,
                recursion: true,
                ..QueryFlags::default()
            },
            &mut random
        )
        .is_ok()
    );
}

/// Asks a server with this script.
fn exchange_with(script: impl Fn(&[u8]) -> Vec<Vec<u8>> + 'static) -> (Vec<Exchange>, u32) {
    run(async {
        let port = serve(loopback(1), 0, Rc::new(script)).await.unwrap();
        ask_whole(&Cx::new(job("dns://svc.test"), |_| {}), &wanted(port)).await
    })
}

fn wanted(port: u16) -> Ask {
    let question = Question {
        name: DnsName::typed("www.svc.test").unwrap(),
        rtype: "A".into(),
    };
    Ask {
        tries: 1,
        ..Ask::desiring_recursion(SocketAddr::new(loopback(1), port), question)
    }
}

#[test]
fn forged_replies_are_counted_and_the_true_one_is_taken() {
    let (exchanges, waits) = exchange_with(|query| {
        assert_eq!(asked(query), ("www.svc.test.".to_owned(), 1));
        let good = reply(query, 0x0400, [&[a("www.svc.test")], &[], &[]]);
        let mut forged = good.clone();
        forged[1] ^= 1;
        vec![forged.clone(), forged, vec![1, 2, 3], good]
    });
    assert_eq!((exchanges.len(), waits), (1, 1));
    let response = exchanges[0].response().unwrap();
    assert_eq!(response.answer.len(), 1);
    let discarded: Vec<(&str, u32)> = exchanges[0]
        .discarded
        .iter()
        .map(|d| (d.reason.as_str(), d.count))
        .collect();
    assert_eq!(discarded, [("runt", 1), ("wrong_id", 2)]);
}

#[test]
fn truncated_answers_are_asked_over_tcp() {
    let (exchanges, waits) =
        exchange_with(|query| vec![reply(query, 0x0600, [&[a("www.svc.test")], &[], &[]])]);
    let transports: Vec<Transport> = exchanges.iter().map(|e| e.transport).collect();
    assert_eq!(transports, [Transport::Udp, Transport::Tcp]);
    assert!(exchanges[0].response().unwrap().flags.tc);
    assert!(!exchanges[1].response().unwrap().flags.tc);
    assert_eq!(waits, 3);
}

#[test]
fn formerr_is_asked_without_edns() {
    let (exchanges, _) = exchange_with(|query| {
        let has_opt = query.len() > 12 + question(query).len();
        let rcode = u16::from(has_opt);
        vec![reply(query, 0x0400 | rcode, [&[], &[], &[]])]
    });
    let rcodes: Vec<Rcode> = exchanges
        .iter()
        .map(|e| e.response().unwrap().rcode)
        .collect();
    assert_eq!(rcodes, [Rcode::FORMERR, Rcode::NOERROR]);
    assert!(exchanges[0].edns && !exchanges[1].edns);
}

#[test]
fn lower_case_is_recorded() {
    let was_mixed = Rc::new(Cell::new(false));
    let sent = was_mixed.clone();
    let (exchanges, _) = exchange_with(move |query| {
        sent.set(question(query).iter().any(u8::is_ascii_uppercase));
        let mut bytes = reply(query, 0x0400, [&[a("www.svc.test")], &[], &[]]);
        bytes[12..].make_ascii_lowercase();
        vec![bytes]
    });
    let response = exchanges[0].response().unwrap();
    assert_eq!(response.answer[0].name.as_str(), "www.svc.test.");
    assert_eq!(response.case_kept, !was_mixed.get());
}

#[test]
fn a_closed_port_is_refused() {
    run(async {
        let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let cx = Cx::new(job("dns://svc.test"), |_| {});
        let over_udp = ask(&cx, &wanted(port)).await;
        assert_eq!(over_udp.result, ExchangeResult::Refused);
        let over_tcp = Ask {
            transport: Transport::Tcp,
            ..wanted(port)
        };
        assert_eq!(ask(&cx, &over_tcp).await.result, ExchangeResult::Refused);
    });
}

#[test]
fn replies_from_elsewhere_are_counted() {
    run(async {
        let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        tokio::task::spawn_local(async move {
            let mut buffer = [0; 512];
            let (len, from) = server.recv_from(&mut buffer).await.unwrap();
            let good = reply(&buffer[..len], 0, [&[], &[], &[]]);
            other.send_to(&good, from).await.unwrap();
            server.send_to(&good, from).await.unwrap();
        });
        let cx = Cx::new(job("dns://svc.test"), |_| {});
        let exchange = ask(&cx, &wanted(port)).await;
        assert!(exchange.response().is_some());
        assert_eq!(exchange.discarded[0].reason, "wrong_source");
        assert_eq!(cx.queries(), 1);
    });
}

#[test]
fn what_may_not_be_dialled_is_not_asked() {
    run(async {
        let mut job = job("dns://svc.test");
        job.egress.allow_networks.clear();
        let cx = Cx::new(job, |_| {});
        let wanted = Ask {
            origin: bellwether_model::Origin::Network,
            ..wanted(53)
        };
        let exchange = ask(&cx, &wanted).await;
        assert!(matches!(exchange.result, ExchangeResult::NotAsked { .. }));
        assert_eq!(cx.queries(), 0);
    });
}

/// A resolver that is asked over TLS and does not speak it gets no question in the clear.
#[test]
fn what_is_asked_over_tls_is_not_asked_in_the_clear() {
    run(async {
        let plain = Rc::new(Cell::new(0));
        let count = plain.clone();
        let script = move |query: &[u8]| {
            count.set(count.get() + 1);
            vec![reply(query, 0x8180, [&[a("www.svc.test")], &[], &[]])]
        };
        let port = serve(loopback(1), 0, Rc::new(script)).await.unwrap();
        let (host, address) = (
            bellwether_model::target::Host::Address(loopback(1)),
            SocketAddr::new(loopback(1), port),
        );
        for channel in [
            bellwether_model::Channel::Tls { host: host.clone() },
            bellwether_model::Channel::Https {
                host: host.clone(),
                path: "/dns-query".into(),
            },
        ] {
            let resolver = bellwether_model::job::ResolverAsk {
                label: "R".into(),
                address,
                channel,
                origin: bellwether_model::dns::ResolverOrigin::Given,
            };
            let asked = wanted(port).question;
            let cx = Cx::new(job("dns://svc.test"), |_| {});
            let (exchanges, _) = ask_whole(&cx, &Ask::resolver(&resolver, asked)).await;
            assert_eq!(exchanges.len(), 1);
            assert!(exchanges[0].response().is_none());
        }
        assert_eq!(plain.get(), 0);
    });
}
