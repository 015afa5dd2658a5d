use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use bellwether_model::service::{BodyExpect, StatusRange};
use bellwether_model::target::Scheme;

use bellwether_model::Service;

use super::*;
use crate::service::one;
use crate::{schema, yaml};

struct Nothing;

impl Lookup for Nothing {
    fn env(&self, name: &str) -> Option<String> {
        (name == "HOST").then(|| "www.shop.example".to_owned())
    }

    fn file(&self, _: &Path) -> io::Result<String> {
        Err(io::Error::from(io::ErrorKind::NotFound))
    }
}

fn source(text: &str) -> Source {
    Source {
        path: "bellwether.yaml".into(),
        text: text.to_owned(),
    }
}

fn config(text: &str, lookup: &dyn Lookup) -> Result<Config, Problems> {
    read(vec![source(text)], lookup).map(|loaded| loaded.config)
}

fn one_service(text: &str, lookup: &dyn Lookup) -> Result<Service, Problems> {
    one(&source(text), lookup)
}

#[track_caller]
fn fails(text: &str) -> String {
    config(text, &Nothing).unwrap_err().to_string()
}

#[test]
fn three_lines_are_enough() {
    let text = "services:\n  - name: shop\n    url: https://www.shop.example/\n";
    let config = config(text, &Nothing).unwrap();
    let [service] = &config.services[..] else {
        panic!("one service")
    };
    assert_eq!(service.name, "shop");
    let [check] = &service.checks[..] else {
        panic!("one check")
    };
    assert_eq!(check.name, "main");
    assert_eq!(check.target.text, "https://www.shop.example/");
    assert_eq!(check.every, Duration::from_secs(60));
    assert_eq!(check.timeout, Duration::from_secs(10));
    assert!(check.expect.exists);
    assert!(check.expect.takes_status(204) && !check.expect.takes_status(404));
}

/// The two services of formats.md section 3, the client certificate left out.
const SHOP: &str = r#"
version: 1
receivers: [{ name: jira, jira: { url: https://jira.shop.example, project: OPS, token: "***" } }]
services:
  - name: shop
    url: "https://${env:HOST}/"
    labels: { team: web }
    needs: [pay]
    expect:
      status: [200, "300-399"]
      body: { contains: "Add to cart" }
      within: 800ms
      role: { header: x-tier, value: web }
      name_servers: [ns1.dns-a.example, NS2.dns-a.example.]
      large_answers: [{ name: big.shop.example, type: TXT }]
      addresses: [198.51.100.0/24, "2001:db8:1::/48", 192.0.2.1]
    promises:
      certificate: { days_left: 21, tell: jira }
      answer: { warn_addresses: 8, max_addresses: 20, max_bytes: 1232 }
      address_contract: { url: https://www.shop.example/ip-ranges.json, notice: 14d }
  - name: pay
    labels: { team: pay }
    checks:
      - { name: api, every: 30s, http: { url: https://pay.shop.example/health } }
      - { name: queue, tls: { address: "mq.shop.example:5671" } }
      - { name: db, tcp: { address: "[2001:db8::1]:5432" } }
      - { name: mx, dns: { name: shop.example, type: MX, values: ["10 mx.shop.example."] } }
      - { name: ping, icmp: { address: gw.shop.example } }
"#;

#[test]
fn everything_that_a_service_may_say() {
    let config = config(SHOP, &Nothing).unwrap();
    let shop = &config.services[0];
    let expect = &shop.checks[0].expect;
    assert_eq!(shop.checks[0].target.text, "https://www.shop.example/");
    assert_eq!(
        expect.status[1],
        StatusRange {
            low: 300,
            high: 399
        }
    );
    assert_eq!(
        expect.body,
        Some(BodyExpect::Contains("Add to cart".into()))
    );
    assert_eq!(expect.within_ms, Some(800));
    assert_eq!(expect.name_servers[1].as_str(), "ns2.dns-a.example.");
    let large = &expect.large_answers[0];
    assert_eq!(
        (large.name.as_str(), large.rtype.as_str()),
        ("big.shop.example.", "TXT")
    );
    assert!(expect.addresses[2].contains(&IpAddr::from([192, 0, 2, 1])));
    assert_eq!(expect.answer.max_addresses, 20);
    assert_eq!(shop.promises.certificate_days_left, Some(21));
    let pay = &config.services[1];
    let texts: Vec<&str> = pay.checks.iter().map(|c| c.target.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "https://pay.shop.example/health",
            "tls://mq.shop.example:5671",
            "tcp://[2001:db8::1]:5432",
            "dns://shop.example?type=MX",
            "icmp://gw.shop.example",
        ]
    );
    assert_eq!(pay.checks[0].every, Duration::from_secs(30));
    assert_eq!(pay.checks[3].target.scheme, Scheme::Dns);
    assert_eq!(pay.checks[3].expect.values, ["10 mx.shop.example."]);
    assert!(pay.checks[4].icmp_only);
}

#[test]
fn what_is_written_out_reads_back() {
    let spec: ConfigSpec = yaml(SHOP).unwrap();
    let json = serde_json::to_string(&spec).unwrap();
    assert_eq!(yaml::<ConfigSpec>(&json).unwrap(), spec);
    assert_eq!(serde_json::from_str::<ConfigSpec>(&json).unwrap(), spec);
}

#[test]
fn one_service_in_three_forms() {
    let entry = "name: shop\nurl: https://a.example/\nexpect: { status: [200] }\n";
    let list = "- name: shop\n  url: https://a.example/\n  expect: { status: [200] }\n";
    let file = "services:\n- name: shop\n  url: https://a.example/\n  expect: { status: [200] }\n";
    let json = r#"{"name":"shop","url":"https://a.example/","expect":{"status":[200]}}"#;
    let first = one_service(entry, &Nothing).unwrap();
    for text in [list, file, json] {
        assert_eq!(one_service(text, &Nothing).unwrap(), first);
    }
    let two = "- { name: a, url: https://a.example/ }\n- { name: b, url: https://b.example/ }\n";
    let error = one_service(two, &Nothing).unwrap_err().to_string();
    assert_eq!(
        error,
        "bellwether.yaml:2:3: `services`: one service is read here, and there are 2"
    );
}

#[test]
fn complaints_name_place_and_cure() {
    for (text, message) in [
        (
            "services:\n  - name: shop\n    ulr: https://a.example/\n",
            "bellwether.yaml:3:5: unknown key `ulr`; did you mean `url`?",
        ),
        (
            "services:\n  - { name: a, url: https://a.example/, expect: { bodi: { contains: x } } }\n",
            "bellwether.yaml:2:51: unknown key `bodi`; did you mean `body`?",
        ),
        (
            "receivers: []\n",
            "bellwether.yaml:1:1: `services` is missing in the file; add it: `services: [{ name: shop, url: https://www.shop.example/ }]`",
        ),
        (
            "version: 2\nservices: []\n",
            "bellwether.yaml:1:10: `version`: 2 is unknown; this program reads version 1",
        ),
        (
            "services:\n  - { name: a, url: https://a.example/ }\n  - { name: a, url: https://b.example/ }\n",
            "bellwether.yaml:3:13: service `a` is defined twice, first in line 2, column 13; rename or remove one",
        ),
        (
            "services:\n  - { name: a, url: https://a.example/, expect: { within: 800 } }\n",
            "bellwether.yaml:2:59: `within`: `800` has no unit; write one of ms, s, m, h, d, w, mo or y behind it: `800s`",
        ),
        (
            "services:\n  - { name: a, url: www.a.example }\n",
            "bellwether.yaml:2:21: `url`: `www.a.example` is no URL; write `https://www.a.example/`",
        ),
        (
            "services:\n  - { name: a, checks: [{ name: c, tcp: { address: a.example }, http: { url: https://a.example/ } }] }\n",
            "bellwether.yaml:2:25: `checks`: the check `c` needs exactly one of http, tcp, tls, dns, icmp; it has http and tcp",
        ),
        (
            "services:\n  - name: a\n",
            "bellwether.yaml:2:11: `url` is missing in the service `a`; add it: `url: https://www.example.com/`, or `checks:`",
        ),
        (
            "services:\n  - { name: a, url: https://a.example/, needs: [pya] }\n  - { name: pay, url: https://b.example/ }\n",
            "bellwether.yaml:2:49: `needs`: there is no service `pya`; did you mean `pay`?",
        ),
        (
            "services:\n  - { name: a, url: https://a.example/, expect: { addresses: [10.0.0.1/8] } }\n",
            "bellwether.yaml:2:63: `addresses`: `10.0.0.1/8` has bits behind its prefix; write `10.0.0.0/8`",
        ),
        (
            "services:\n  - { name: a, url: https://a.example/, expect: { status: [20] } }\n",
            "bellwether.yaml:2:60: `status`: `20` is no status; write 200 or \"200-399\"",
        ),
        (
            "services:\n  - { name: a, url: \"${env:NOPE}\" }\n",
            "bellwether.yaml:2:21: `url`: the environment variable `NOPE` is not set",
        ),
        (
            "services:\n  - { name: a, url: https://a.example/, expect: { body: { matches: \"(\" } } }\n",
            "bellwether.yaml:2:68: `matches`: `(` is no regular expression: error: unclosed group",
        ),
        (
            "services:\n  - { name: a, checks: [{ name: c, http: { url: https://a.example/, client_cert: x } }] }\n",
            "bellwether.yaml:2:82: `client_cert`: holds no certificate; give PEM with `-----BEGIN CERTIFICATE-----` and the private key",
        ),
    ] {
        assert_eq!(fails(text), message, "{text}");
    }
}

#[test]
fn large_answers_are_names_with_types() {
    for (text, message) in [
        (
            "services:\n  - { name: a, url: https://a.example/, expect: { large_answers: [{ name: 192.0.2.1, type: A }] } }\n",
            "bellwether.yaml:2:75: `name`: `192.0.2.1` is no name",
        ),
        (
            "services:\n  - { name: a, url: https://a.example/, expect: { large_answers: [{ name: b.example, type: BIG }] } }\n",
            "bellwether.yaml:2:92: `type`: `BIG` is no record type",
        ),
    ] {
        assert_eq!(fails(text), message, "{text}");
    }
}

#[test]
fn wrong_types_name_place_key_and_cure() {
    for (text, message) in [
        (
            "services: shop\n",
            "bellwether.yaml:1:11: `services`: wrong type; it must be a list: `[a, b]`, or lines that begin with `- `",
        ),
        (
            "services:\n  - { name: a, url: [x] }\n",
            "bellwether.yaml:2:21: `url`: wrong type; it must be one text",
        ),
        (
            "services:\n  - name: a\n   url: x\n",
            "bellwether.yaml:3:4: while parsing a block collection, did not find expected '-' indicator; look at the indentation here",
        ),
        (
            "services:\n  - { name: a, name: b }\n",
            "bellwether.yaml:2:16: the key `name` stands twice here; remove one",
        ),
        (
            "services:\n  - { url: https://a.example/ }\n",
            "bellwether.yaml:2:5: `name` is missing in what begins here; add it: `name: …`",
        ),
        (
            "services:\n  - { name: a, url: https://a.example/, expect: { exists: no } }\n",
            "bellwether.yaml:2:59: `exists`: wrong type; it must be true or false",
        ),
        (
            "services:\n  - { name: a, url: https://a.example/, expect: { status: 200 } }\n",
            "bellwether.yaml:2:59: `status`: wrong type; it must be a list: `[a, b]`, or lines that begin with `- `",
        ),
        (
            "services:\n  - { name: a, url: https://a.example/, promises: { certificate: { days_left: soon } } }\n",
            "bellwether.yaml:2:79: `days_left`: wrong type; it must be a whole number",
        ),
    ] {
        assert_eq!(fails(text), message, "{text}");
    }
}

/// The parser's own words for these name no cure.
#[test]
fn what_is_no_file_of_services_says_what_to_write() {
    for (text, words) in [
        ("name: a\nurl: https://a.example/\n", "write `services:`"),
        ("---\nversion: 1\n---\nversion: 1\n", "a second document"),
        ("version: *one\n", "there is no anchor"),
    ] {
        let why = fails(text);
        assert!(why.contains(words), "{text}: {why}");
    }
}

#[test]
fn the_schema_knows_every_key() {
    let schema = schema();
    let service = &schema["$defs"]["Service"]["properties"];
    for key in [
        "name", "url", "checks", "labels", "needs", "expect", "promises",
    ] {
        assert!(service.get(key).is_some(), "{key} in {schema:#}");
    }
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn what_is_said_of_the_built_in_vantage() {
    let with = |vantages: &str| {
        let services = "services: [{ name: shop, url: https://www.shop.example/ }]\n";
        config(&format!("vantages: {vantages}\n{services}"), &Nothing)
    };
    let read = with("[{ name: fra }, { name: local, region: eu, network: AS3320 }]").unwrap();
    let names: Vec<&str> = read.vantages.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["fra"], "no agent enrols as `local`");
    assert_eq!(read.local.region.as_deref(), Some("eu"));
    assert_eq!(read.local.network, Some(3320));
    let read = with("[{ name: fra }]").unwrap();
    assert_eq!(read.local, Vantage::local());
    assert!(with("[{ name: local }, { name: local }]").is_err(), "twice");
}

#[test]
fn resolvers() {
    let with = |resolver: &str| {
        format!(
            "resolvers:\n  - {resolver}\nvantages: [{{ name: fra }}]\nservices: [{{ name: shop, url: https://www.shop.example/ }}]\n"
        )
    };
    let read = |resolver: &str| {
        config(&with(resolver), &Nothing)
            .unwrap()
            .resolvers
            .remove(0)
    };
    let quad9 = read(r#"{ name: q, address: "tls://9.9.9.9", server_name: dns.quad9.net }"#);
    let address = quad9.address.unwrap();
    assert_eq!(
        (address.text.as_str(), address.address.port()),
        ("tls://9.9.9.9", 853)
    );
    assert_eq!(
        read("{ name: isp, address: system, from: [fra] }").address,
        None
    );
    let complains = |resolver: &str, part: &str| {
        let why = fails(&with(resolver));
        assert!(
            why.contains("bellwether.yaml:2:") && why.contains(part),
            "{why}"
        );
    };
    complains("{ name: q, address: dns.quad9.net }", "is no resolver");
    complains(
        "{ name: q, address: 9.9.9.9, server_name: dns.quad9.net }",
        "shows no certificate",
    );
    complains("{ name: q, adress: 9.9.9.9 }", "`address`");
}
