//! What the records of one visit come to as a row.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be parsed is a mistake in the test"
)]

use bellwether_diagnose::visit::{Judged, is_known, row};
use bellwether_model::Observation;
use bellwether_model::job::CheckAsk;
use bellwether_model::run::RunOutcome;
use serde_json::{Value, json};

const NAME: &str = "www.svc.test.";
const ADDRESS: &str = "198.51.100.7";

fn ask(target: &str, expect: &Value) -> CheckAsk {
    CheckAsk {
        target: target.parse().unwrap(),
        icmp_only: false,
        expect: serde_json::from_value(expect.clone()).unwrap(),
        client_cert: None,
        tries: None,
        timeout_ms: 5000,
    }
}

fn record(probe: &str, took_ms: f64, outcome: &Value) -> Value {
    json!({
        "id": "", "probe": probe, "began": "2024-10-01T11:10:00Z", "took_ms": took_ms, "waits": 1,
        "outcome": outcome,
    })
}

fn dns(rtype: &str, result: &Value) -> Value {
    let exchange = json!({
        "question": { "name": NAME, "type": rtype }, "transport": "udp", "edns": true, "tries": 1,
        "took_ms": 4.0, "result": result,
    });
    record(
        "dns",
        4.5,
        &json!({ "kind": "dns", "server": "192.0.2.1", "exchange": exchange }),
    )
}

fn answered(rtype: &str, rcode: u16, data: &[&str]) -> Value {
    let record = |data: &&str| json!({ "name": NAME, "ttl": 60, "type": rtype, "data": data });
    let answer: Vec<Value> = data.iter().map(record).collect();
    let response = json!({ "rcode": rcode, "size": 77, "answer": answer });
    dns(rtype, &json!({ "kind": "answered", "response": response }))
}

/// Two questions, and an address for one of them.
fn found() -> Vec<Value> {
    vec![answered("A", 0, &[ADDRESS]), answered("AAAA", 0, &[])]
}

fn tcp(result: &str) -> Value {
    let connect_ms = (result == "connected").then_some(12.25);
    let seen = json!({ "kind": "tcp", "address": "198.51.100.7:443", "result": { "kind": result }, "connect_ms": connect_ms });
    record("tcp", 12.5, &seen)
}

fn tls(result: &Value, problems: &Value) -> Value {
    let certificate =
        json!({ "sha256": "ab".repeat(32), "size": 900, "not_after": "2024-12-01T00:00:00Z" });
    let seen = json!({
        "kind": "tls", "address": "198.51.100.7:443", "purpose": "user", "result": result,
        "handshake_ms": 20.0, "chain": [certificate], "problems": problems,
    });
    record("tls", 20.5, &seen)
}

fn good_tls() -> Value {
    tls(&json!({ "kind": "completed" }), &json!([]))
}

fn http(change: &Value) -> Value {
    let mut seen = json!({
        "kind": "http", "entry": "198.51.100.7:443", "address": "198.51.100.7:443",
        "url": "https://www.svc.test/", "hop": 0, "result": { "kind": "response" }, "status": 200,
        "body": { "size": 512, "sha256": "", "end": "complete" },
        "phases": { "connect_ms": 12.25, "tls_ms": 20.0, "wait_ms": 30.5, "transfer_ms": 2.0, "total_ms": 64.75 },
    });
    for (key, value) in change.as_object().unwrap() {
        seen[key] = value.clone();
    }
    record("http", 33.0, &seen)
}

fn not_run(probe: &str, reason: &str) -> Value {
    let seen = json!({ "kind": "not_run", "reason": reason, "detail": "", "address": ADDRESS });
    record(probe, 0.0, &seen)
}

fn judge(ask: &CheckAsk, records: Vec<Value>) -> Judged {
    let read = |record| serde_json::from_value::<Observation>(record).unwrap();
    let observations = records.into_iter().map(read).collect();
    let judged = row(ask, observations, "2024-10-01T11:10:00Z".parse().unwrap());
    if let Some(symptom) = &judged.symptom {
        assert!(is_known(symptom), "`{symptom}` is not in the table");
    }
    assert_eq!(judged.outcome == RunOutcome::Ok, judged.symptom.is_none());
    judged
}

fn told(judged: &Judged) -> String {
    let outcome = format!("{:?}", judged.outcome).to_lowercase();
    let layer = judged.layer.map_or("-", |layer| layer.name());
    format!(
        "{outcome} {layer} {}",
        judged.symptom.as_deref().unwrap_or("-")
    )
}

/// One target and one expectation against many records.
fn check(target: &str, expect: &Value, cases: Vec<(&str, Vec<Value>)>) {
    let ask = ask(target, expect);
    for (expected, records) in cases {
        let shown = records.last().map(ToString::to_string);
        assert_eq!(told(&judge(&ask, records)), expected, "{shown:?}");
    }
}

fn with(mut records: Vec<Value>, more: Vec<Value>) -> Vec<Value> {
    records.extend(more);
    records
}

#[test]
fn a_healthy_visit_has_everything_a_row_wants() {
    let records = with(
        found(),
        vec![tcp("connected"), good_tls(), http(&json!({}))],
    );
    let judged = judge(&ask("https://www.svc.test/", &json!({})), records);
    assert_eq!(told(&judged), "ok - -");
    assert_eq!(judged.address, Some(ADDRESS.parse().unwrap()));
    assert_eq!((judged.status, judged.size), (Some(200), Some(512)));
    assert_eq!(judged.certificate.unwrap().to_string(), "ab".repeat(32));
    assert_eq!(
        judged.certificate_ends,
        Some("2024-12-01T00:00:00Z".parse().unwrap())
    );
    let phases = [
        Some(4500),
        Some(12_250),
        Some(20_000),
        Some(30_500),
        Some(2000),
    ];
    assert_eq!(judged.phases.all(), phases);
    assert_eq!(judged.answers.into_iter().collect::<Vec<_>>(), [ADDRESS]);
}

#[test]
fn look_ups() {
    let silent = dns("A", &json!({ "kind": "silent" }));
    let silent_too = silent.clone();
    let closed = dns("A", &json!({ "kind": "refused" }));
    let cases = vec![
        (
            "failed dns dns.nxdomain",
            vec![answered("A", 3, &[]), answered("AAAA", 3, &[])],
        ),
        (
            "failed dns dns.no_address",
            vec![answered("A", 0, &[]), answered("AAAA", 0, &[])],
        ),
        ("failed dns dns.servfail", vec![answered("A", 2, &[])]),
        ("failed dns dns.refused", vec![answered("A", 5, &[])]),
        ("failed dns dns.rcode_9", vec![answered("A", 9, &[])]),
        ("failed dns dns.silent", vec![silent]),
        ("failed dns dns.port_closed", vec![closed]),
        // What did not come tells, and not what came.
        (
            "failed dns dns.silent",
            vec![silent_too, answered("AAAA", 0, &[])],
        ),
        (
            "notrun monitor monitor.deadline",
            vec![not_run("dns", "deadline")],
        ),
        // One type has none, and nobody knows of the other.
        (
            "notrun monitor monitor.deadline",
            vec![not_run("dns", "deadline"), answered("AAAA", 0, &[])],
        ),
        (
            "notrun monitor monitor.worker_died",
            vec![not_run("dns", "worker_died")],
        ),
        ("notrun monitor monitor.not_asked", vec![]),
    ];
    check("https://www.svc.test/", &json!({}), cases);
}

#[test]
fn connections_and_handshakes() {
    let to = |record| with(found(), vec![record]);
    let over = |record| with(found(), vec![tcp("connected"), record]);
    let fine = json!({ "kind": "completed" });
    let expired = json!([{ "kind": "expired", "index": 0, "not_after": "2024-09-01T00:00:00Z" }]);
    let other = json!([{ "kind": "name_mismatch", "expected": "www.svc.test", "presented": [] }]);
    let cases = vec![
        ("ok - -", over(good_tls())),
        ("failed net tcp.refused", to(tcp("refused"))),
        ("failed net tcp.silent", to(tcp("timed_out"))),
        ("notrun monitor monitor.no_route", to(tcp("no_route"))),
        (
            "notrun monitor monitor.deadline",
            to(not_run("tcp", "deadline")),
        ),
        (
            "notrun monitor monitor.deadline",
            over(not_run("tls", "deadline")),
        ),
        (
            "failed tls tls.stalled",
            over(tls(&json!({ "kind": "stalled" }), &json!([]))),
        ),
        (
            "failed tls tls.alert_internal_error",
            over(tls(
                &json!({ "kind": "alert", "code": 80, "name": "" }),
                &json!([]),
            )),
        ),
        (
            "failed tls tls.alert_201",
            over(tls(
                &json!({ "kind": "alert", "code": 201, "name": "" }),
                &json!([]),
            )),
        ),
        ("failed tls tls.expired", over(tls(&fine, &expired))),
        ("failed tls tls.name_mismatch", over(tls(&fine, &other))),
    ];
    check("tls://www.svc.test:443", &json!({}), cases);
    let slow = vec![("wrong tls tls.slow", over(good_tls()))];
    check("tls://www.svc.test:443", &json!({ "within_ms": 30 }), slow);
    let quick = vec![("ok - -", over(good_tls()))];
    check("tls://www.svc.test:443", &json!({ "within_ms": 37 }), quick);
}

#[test]
fn requests() {
    let over = |change: Value| with(found(), vec![tcp("connected"), good_tls(), http(&change)]);
    let unmet = |what: &str| json!({ "expectations": [{ "what": what, "expected": "", "found": "", "met": false }] });
    let body = |end: &str| json!({ "body": { "size": 5, "sha256": "", "end": end } });
    let moved = |end: &str| json!({ "status": 302, "redirect": { "location": "", "end": { "kind": end } } });
    let cases = vec![
        (
            "failed http http.status_503",
            over(json!({ "status": 503 })),
        ),
        ("wrong http http.status_404", over(json!({ "status": 404 }))),
        (
            "failed http http.stalled",
            over(json!({ "result": { "kind": "stalled" } })),
        ),
        (
            "failed http http.closed",
            over(json!({ "result": { "kind": "closed", "error": "" } })),
        ),
        (
            "failed tls tls.alert_certificate_required",
            over(json!({ "result": { "kind": "closed", "error": "" }, "tls_alert": 116 })),
        ),
        ("wrong http http.body_wrong", over(unmet("body"))),
        ("wrong http http.role_wrong", over(unmet("role"))),
        ("wrong http http.slow", over(unmet("within"))),
        ("failed http http.body_truncated", over(body("truncated"))),
        ("failed http http.body_stalled", over(body("stalled"))),
        ("failed http http.redirect_loop", over(moved("loop"))),
        (
            "notrun monitor monitor.deadline",
            with(
                found(),
                vec![tcp("connected"), good_tls(), not_run("http", "deadline")],
            ),
        ),
    ];
    check("https://www.svc.test/", &json!({}), cases);
    let declared = json!({ "status": [{ "low": 404, "high": 404 }] });
    let cases = vec![
        ("ok - -", over(json!({ "status": 404 }))),
        ("wrong http http.status_200", over(json!({}))),
    ];
    check("https://www.svc.test/", &declared, cases);
}

#[test]
fn a_redirects_look_up_is_not_the_targets() {
    let mut elsewhere = answered("A", 3, &[]);
    elsewhere["outcome"]["exchange"]["question"]["name"] = json!("elsewhere.test.");
    elsewhere["took_ms"] = json!(400.0);
    let records = with(
        found(),
        vec![tcp("connected"), good_tls(), elsewhere, http(&json!({}))],
    );
    let judged = judge(&ask("https://www.svc.test/", &json!({})), records);
    assert_eq!(
        (told(&judged).as_str(), judged.phases.dns),
        ("ok - -", Some(4500))
    );
}

#[test]
fn names_that_shall_not_exist() {
    let cases = vec![
        ("ok - -", vec![answered("A", 3, &[])]),
        (
            "ok - -",
            vec![answered("A", 0, &[]), answered("AAAA", 0, &[])],
        ),
        ("wrong dns dns.exists", found()),
        ("failed dns dns.servfail", vec![answered("A", 2, &[])]),
    ];
    check("https://www.svc.test/", &json!({ "exists": false }), cases);
}

#[test]
fn records_and_networks_that_were_declared() {
    let expect = json!({ "values": ["10 mx.svc.test"] });
    let cases = vec![
        ("ok - -", vec![answered("MX", 0, &["10 MX.svc.test."])]),
        (
            "wrong dns dns.values_differ",
            vec![answered("MX", 0, &["20 mx.svc.test."])],
        ),
        ("failed dns dns.no_data", vec![answered("MX", 0, &[])]),
    ];
    check("dns://www.svc.test?type=MX", &expect, cases);
    let judged = judge(
        &ask("dns://www.svc.test?type=MX", &expect),
        vec![answered("MX", 0, &["10 mx.svc.test."])],
    );
    assert_eq!((judged.status, judged.size), (Some(0), Some(77)));
    let slow = vec![(
        "wrong dns dns.slow",
        vec![answered("MX", 0, &["1 a.test."])],
    )];
    check(
        "dns://www.svc.test?type=MX",
        &json!({ "within_ms": 4 }),
        slow,
    );

    let expect = json!({ "addresses": ["203.0.113.0/24"] });
    let cases = vec![
        (
            "wrong dns dns.address_outside",
            with(found(), vec![tcp("connected"), good_tls()]),
        ),
        // What fails there is a consequence, and makes it worse.
        (
            "failed dns dns.address_outside",
            with(found(), vec![tcp("refused")]),
        ),
    ];
    check("tls://www.svc.test:443", &expect, cases);
}

#[test]
fn echoes() {
    let mut ask = ask("https://www.svc.test/", &json!({}));
    ask.icmp_only = true;
    let echo = |result: Value| {
        record(
            "icmp",
            3.0,
            &json!({ "kind": "icmp", "address": ADDRESS, "result": result, "rtt_ms": 2.5 }),
        )
    };
    let judged = judge(&ask, with(found(), vec![echo(json!({ "kind": "reply" }))]));
    assert_eq!(
        (told(&judged).as_str(), judged.phases.connect),
        ("ok - -", Some(2500))
    );
    assert_eq!(judged.address, Some(ADDRESS.parse().unwrap()));
    let judged = judge(&ask, with(found(), vec![echo(json!({ "kind": "silent" }))]));
    assert_eq!(told(&judged), "failed net icmp.silent");
    let judged = judge(&ask, with(found(), vec![not_run("icmp", "not_permitted")]));
    assert_eq!(told(&judged), "notrun monitor monitor.not_permitted");
}

#[test]
fn an_address_needs_no_look_up() {
    let target = format!("tcp://{ADDRESS}:443");
    let cases = vec![
        ("ok - -", vec![tcp("connected")]),
        ("failed net tcp.refused", vec![tcp("refused")]),
    ];
    check(&target, &json!({}), cases);
}
