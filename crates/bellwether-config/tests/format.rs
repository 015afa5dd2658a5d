//! The whole format: the documentation's example, several files, secrets, cross references.

mod common;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use bellwether_config::config::{Access, StoreEngine, TrustAnchorFrom};
use bellwether_config::telling::{Due, ReceiverKind, Window};
use bellwether_config::{Color, Config, Lookup, System, load, schema};
use common::{Canaries, FULL, THREE_LINES, config, fails, loaded, sources};
use jiff::Timestamp;
use serde_json::{Value, json};

#[test]
fn the_full_example_is_read_in_full() {
    let config = config(FULL);
    assert_eq!(config.hub.listen.to_string(), "127.0.0.1:8400");
    assert_eq!(config.hub.store.state, StoreEngine::Embedded);
    assert_eq!(config.trust.trust_anchor, TrustAnchorFrom::Shipped);
    assert_eq!(config.vantages[0].network, Some(3320));
    assert_eq!(config.vantages[1].access, Some(Access::Cloud));
    assert_eq!(config.resolvers[1].from, ["fra"]);
    let controls = config.controls.as_ref().unwrap();
    let controls: Vec<String> = controls.iter().map(ToString::to_string).collect();
    assert_eq!(controls, ["a.root-servers.net.", "9.9.9.9"]);
    assert_eq!(config.allow_networks[0].to_string(), "10.0.0.0/8");
    let [shop, pay] = &config.services[..] else {
        panic!("two services")
    };
    assert_eq!(shop.promises.certificate_tell.as_deref(), Some("jira"));
    let contract = shop.promises.address_contract.as_ref().unwrap();
    assert_eq!(contract.notice, Some(Duration::from_secs(14 * 86_400)));
    assert_eq!(pay.checks[0].every, Duration::from_secs(30));
    assert_eq!(pay.checks[0].deep_every, Duration::from_secs(900));
    assert!(pay.checks[0].client_cert.is_some());
    let Due::Cron(cron) = &config.heartbeats[0].due else {
        panic!("by cron")
    };
    assert_eq!(
        (cron.pattern.as_str(), cron.zone.as_str()),
        ("0 3 * * *", "Europe/Berlin")
    );
    let ReceiverKind::Jira { token, .. } = &config.receivers[1].kind else {
        panic!("jira")
    };
    assert_eq!(token.expose(), "CANARYtoken");
    let route = config.route.as_ref().unwrap();
    assert_eq!(route.repeat_interval, Duration::from_secs(4 * 3600));
    assert_eq!(route.routes[0].group_by, ["cause"]);
    assert!(route.routes[0].matchers[0].fits("pay"));
    assert_eq!(route.routes[0].escalate[0].receiver, "jira");
    assert_eq!(config.maintenance[0].lasts, Duration::from_secs(3600));
    assert_eq!(config.status_pages[0].groups[0].services, ["shop", "pay"]);
    assert_eq!(config.retention.max_size, 20 << 30);
    assert!((config.runs_per_minute() - 5.0).abs() < 1e-9);
}

/// What the documentation calls the default is what is in force when nothing is said.
#[test]
fn documented_defaults_hold() {
    let three = config(THREE_LINES);
    let nothing = Config::default();
    assert_eq!(
        (three.hub.clone(), three.retention),
        (nothing.hub.clone(), nothing.retention)
    );
    assert_eq!(
        (&three.trust, three.defaults),
        (&nothing.trust, nothing.defaults)
    );
    let check = &three.services[0].checks[0];
    assert_eq!(
        (check.every, check.timeout),
        (three.defaults.every, three.defaults.timeout)
    );
    assert_eq!(check.deep_every, Duration::from_secs(15 * 60));
    let answer = three.services[0].promises.answer;
    assert_eq!(
        (
            answer.warn_addresses,
            answer.max_addresses,
            answer.max_bytes
        ),
        (8, 16, 1232)
    );
}

/// The schema says the same as the program: each default, written out, changes nothing.
#[test]
fn defaults_of_the_schema_hold() {
    let three = config(THREE_LINES);
    let schema = schema();
    let defaults = |name: &str| {
        let properties = schema["$defs"][name]["properties"].as_object().unwrap();
        let own = |(key, of): (&String, &Value)| Some((key.clone(), of.get("default")?.clone()));
        Value::Object(
            properties
                .iter()
                .filter_map(own)
                .filter(|(_, v)| !v.is_null() && !v.is_array())
                .collect(),
        )
    };
    let hub = json!({ "listen": defaults("Hub")["listen"], "store": defaults("Store") });
    let mut written: Value = json!({ "hub": hub, "trust": defaults("Trust"), "defaults": defaults("Defaults"),
        "retention": defaults("Retention"), "services": [{ "name": "shop", "url": "https://www.shop.example/" }],
        "heartbeats": [{ "name": "h", "cron": "0 3 * * *" }],
        "receivers": [{ "name": "r", "slack": { "webhook": "https://h.example" } }],
        "route": { "receiver": "r" },
        "maintenance": [{ "name": "m", "services": ["shop"], "cron": "0 3 * * *", "for": "1h" }],
        "status_pages": [{ "name": "s", "host": "s.example", "groups": [{ "name": "g", "services": ["shop"] }] }] });
    assert!(written["retention"]["max_size"].is_string(), "{written}");
    let bare = config(&written.to_string());
    for (section, name) in [
        ("heartbeats", "Heartbeat"),
        ("maintenance", "Maintenance"),
        ("status_pages", "StatusPage"),
    ] {
        let defaults = defaults(name);
        assert!(!defaults.as_object().unwrap().is_empty(), "{name}");
        written[section][0]
            .as_object_mut()
            .unwrap()
            .extend(defaults.as_object().unwrap().clone());
    }
    written["route"]
        .as_object_mut()
        .unwrap()
        .extend(defaults("Route").as_object().unwrap().clone());
    let full = config(&written.to_string());
    assert_eq!(
        (&full.hub, &full.trust, full.defaults, full.retention),
        (&three.hub, &three.trust, three.defaults, three.retention)
    );
    assert_eq!(
        (&full.heartbeats, &full.route),
        (&bare.heartbeats, &bare.route)
    );
    assert_eq!(
        (&full.maintenance, &full.status_pages),
        (&bare.maintenance, &bare.status_pages)
    );
}

/// What is read is what the schema describes.
#[test]
fn the_schema_takes_what_is_taken() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for text in [FULL, THREE_LINES] {
        let value: Value = bellwether_config::yaml(text).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|e| e.to_string())
            .collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
    let wrong: Value = bellwether_config::yaml(&THREE_LINES.replace("url:", "ulr:")).unwrap();
    assert!(!validator.is_valid(&wrong));
}

/// P23: what a `${…}` stood for, and what is a secret by its key, never comes back out.
#[test]
fn p23_secrets_never_come_back_out() {
    let text = FULL
        .replace("team: web", "team: \"${env:TEXT}\"")
        .replace(
            "url: https://www.shop.example/ ",
            "url: \"https://www.shop.example/${env:TEXT}\" ",
        )
        .replace("\"${env:JIRA_TOKEN}\"", "CANARYliteral");
    let loaded = loaded(&[("bellwether.yaml", &text)]).unwrap();
    let config = &loaded.config;
    assert_eq!(config.services[0].labels["team"], "CANARYtext");
    let shown = [
        config.redacted().to_string(),
        format!("{config:?} {:?} {loaded:?}", config.receivers),
        serde_json::to_string(&config.receivers).unwrap(),
        config.notices().join("\n"),
        config.scrub("at https://www.shop.example/CANARYtext there"),
        config.written.to_string(),
    ];
    for shown in shown {
        assert!(
            !shown.contains("CANARY") && !shown.contains("Q0FOQVJZ"),
            "{shown}"
        );
        assert!(!shown.is_empty());
    }
    let redacted = config.redacted();
    assert_eq!(redacted["services"][0]["labels"]["team"], "***");
    assert_eq!(redacted["receivers"][1]["jira"]["token"], "***");
    assert_eq!(redacted["defaults"]["deep_every"], "15m");
    for key in [
        "services",
        "services.shop.url",
        "services.shop.labels.team",
        "receivers.jira",
        "receivers.oncall.slack.webhook",
        "receivers.jira.jira.token",
        "services.pay.checks.api.http",
    ] {
        let explained =
            bellwether_config::explain::explain(&sources(&[("b.yaml", &text)]), key, &Canaries)
                .unwrap()
                .to_string();
        assert!(
            !explained.contains("CANARY") && explained.contains("***"),
            "{explained}"
        );
    }
}

/// A value that is wrong is not repeated if it may be a secret.
#[test]
fn p23_complaints_do_not_repeat_secrets() {
    for (from, to) in [
        ("url: https://www.shop.example/ ", "url: \"${env:TEXT}\" "),
        ("within: 800ms", "within: \"${env:TEXT}\""),
        ("listen: 127.0.0.1:8400", "listen: \"${file:/open}\""),
        ("name_servers: [", "name_servers: [\"${env:TEXT} x\", "),
        ("addresses: [", "addresses: [\"${env:TEXT}\", "),
        ("address: \"tls://9.9.9.9\"", "address: \"${env:TEXT}\""),
        ("max_size: 20GiB", "max_size: \"${env:TEXT}\""),
        ("\"${file:/etc/bellwether/pay.pem}\"", "CANARYliteral"),
        ("\"${env:SLACK_WEBHOOK}\"", "CANARYliteral"),
        ("\"${env:JIRA_TOKEN}\"", "[CANARYliteral]"),
        ("\"${env:JIRA_TOKEN}\"", "\"CANARY${x}\""),
        ("host: status.shop.example", "host: \"${env:TEXT} y\""),
        (
            "state: embedded",
            "state: \"postgres://u:CANARYpassword@db/x\"",
        ),
    ] {
        let text = FULL.replacen(from, to, 1);
        assert_ne!(text, FULL, "{from}");
        let problems = loaded(&[("bellwether.yaml", &text)]).unwrap_err();
        for shown in [
            problems.to_string(),
            format!("{problems:?}"),
            problems.pictured(100, Color::No),
        ] {
            assert!(!shown.contains("CANARY"), "{to}: {shown}");
            assert!(shown.contains("bellwether.yaml:"), "{shown}");
        }
    }
}

#[test]
fn f5_secrets_that_are_missing_or_open_are_named() {
    let with =
        |value: &str| THREE_LINES.to_owned() + &format!("    labels: {{ a: \"{value}\" }}\n");
    assert_eq!(
        fails(&[("b.yaml", &with("${file:/gone}"))]),
        ["b.yaml:2:11: `labels`: failed to read `/gone`: entity not found"]
    );
    let open = loaded(&[("b.yaml", &with("${file:/open}"))]).unwrap();
    assert_eq!(
        open.warnings,
        ["b.yaml:2:11: everybody on this machine may read `/open`; use `chmod o-r /open`"]
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "x\n").unwrap();
    let mode = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&path, mode).unwrap();
        System.is_open_to_all(&path)
    };
    assert!(mode(0o644) && !mode(0o640));
}

#[test]
fn f8_a_route_to_nobody_is_refused() {
    for (from, to, why) in [
        (
            "  receiver: oncall\n",
            "  receiver: onkall\n",
            "`receiver`: there is no receiver `onkall`; did you mean `oncall`?",
        ),
        (
            "  receiver: oncall\n",
            "",
            "`receiver` is missing in the route, which would lead to nobody",
        ),
        (
            "receiver: jira }]",
            "receiver: jura }]",
            "there is no receiver `jura`; did you mean `jira`?",
        ),
        (
            "], receiver: oncall, ",
            "], receiver: gone, ",
            "there is no receiver `gone`; there are: oncall, jira",
        ),
        (
            "tell: jira",
            "tell: joan",
            "`tell`: there is no receiver `joan`",
        ),
    ] {
        let text = FULL.replacen(from, to, 1);
        assert_ne!(text, FULL, "{from}");
        let problems = fails(&[("b.yaml", &text)]);
        assert!(
            problems.len() == 1 && problems[0].contains(why),
            "{problems:?}"
        );
    }
}

/// A change to the example, and what is said of it.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "services: [pay], cron",
        "services: [pya], cron",
        "there is no service `pya`; did you mean `pay`?",
    ),
    (
        "services: [shop, pay] }]",
        "services: [shop, gone] }]",
        "there is no service `gone`",
    ),
    (
        "from: [fra]",
        "from: [frb]",
        "there is no vantage `frb`; did you mean `fra`?",
    ),
    (
        "needs: [pay]",
        "needs: [shop]",
        "a service cannot explain itself",
    ),
    (
        "Europe/Berlin, grace",
        "Europe/Berln, grace",
        "there is no time zone `Europe/Berln`; did you mean `Europe/Berlin`?",
    ),
    (
        "cron: \"0 3 * * *\"",
        "cron: \"0 3 * *\"",
        "is no cron pattern",
    ),
    (
        "cron: \"0 3 * * *\"",
        "every: 1d, cron: \"0 3 * * *\"",
        "exactly one of every, cron",
    ),
    ("team=\"pay\"", "team", "is no matcher"),
    (
        "network: AS3320",
        "network: 3320",
        "is no AS number; write `AS3320`",
    ),
    (
        "access: eyeball",
        "access: eye",
        "write eyeball, cloud or transit",
    ),
    (
        "state: embedded",
        "state: postgres://db",
        "this one has `embedded` only",
    ),
    (
        "listen: 127.0.0.1:8400",
        "listen: 8400",
        "is no address with a port",
    ),
    (
        "root_hints: shipped",
        "root_hints: none",
        "without root hints",
    ),
    (
        "every: 60s",
        "every: 10ms",
        "`10ms` is too short; at least 1s",
    ),
    ("repeat_interval: 1h", "repeat_interval: 1s", "at least 1m"),
    (
        "max_size: 20GiB",
        "max_size: 20GB",
        "`GB` is no unit of size",
    ),
    (
        "tls: { address",
        "grpc: { address",
        "`grpc` checks come with a later version; this one has http, tcp, tls, dns and icmp",
    ),
    (
        "slack: { webhook",
        "slak: { webhook",
        "did you mean `slack`?",
    ),
    (
        "name: nyc",
        "name: fra",
        "vantage `fra` is defined twice, first in line 6",
    ),
    ("for: 1h", "form: 1h", "did you mean `for`?"),
    (
        "certificate: {",
        "certifcate: {",
        "did you mean `certificate`?",
    ),
    ("9.9.9.9]", "a b]", "`controls`"),
];

#[test]
fn what_sections_refuse() {
    for (from, to, why) in REFUSED {
        let text = FULL.replacen(from, to, 1);
        assert_ne!(text, FULL, "{from}");
        let problems = fails(&[("b.yaml", &text)]);
        assert!(
            problems.len() == 1 && problems[0].contains(why),
            "{to}: {problems:#?}"
        );
    }
}

/// F1: every mistake is named at once, in order of place.
#[test]
fn f1_all_problems_come_together() {
    let text = "verson: 1\nservices:\n  - name: a\n    ulr: https://a.example/\n    evry: 1m\n    expect: { within: 5, status: [1, 200], exists: maybe }\n  - { name: b, url: https://b.example/, needs: [gone], timeout: 3 }\n  - { nam: d, url: https://d.example/ }\n  - { name: b, checks: [{ name: x, tcp: { address: b.example:1 }, every: soon }, { name: y }] }\nretention: { raw: 1 }\n";
    assert_eq!(
        fails(&[("b.yaml", text)]),
        [
            "b.yaml:1:1: unknown key `verson`; did you mean `version`?",
            "b.yaml:4:5: unknown key `ulr`; did you mean `url`?",
            "b.yaml:5:5: unknown key `evry`; did you mean `every`?",
            "b.yaml:6:23: `within`: `5` has no unit; write one of ms, s, m, h, d, w, mo or y behind it: `5s`",
            "b.yaml:6:35: `status`: `1` is no status; write 200 or \"200-399\"",
            "b.yaml:6:52: `exists`: wrong type; it must be true or false",
            "b.yaml:7:49: `needs`: there is no service `gone`; there are: a, b",
            "b.yaml:7:65: `timeout`: `3` has no unit; write one of ms, s, m, h, d, w, mo or y behind it: `3s`",
            "b.yaml:8:7: unknown key `nam`; did you mean `name`?",
            "b.yaml:9:13: service `b` is defined twice, first in line 7, column 13; rename or remove one",
            "b.yaml:9:74: `every`: `soon` is no duration; write a number and ms, s, m, h, d, w, mo or y: `60s`",
            "b.yaml:9:82: `checks`: the check `y` needs exactly one of http, tcp, tls, dns, icmp; it has none",
            "b.yaml:10:19: `raw`: `1` has no unit; write one of ms, s, m, h, d, w, mo or y behind it: `1s`",
        ]
    );
}

#[test]
fn files_of_a_directory_are_one_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "a.yaml",
        "defaults: { every: 30s }\nservices:\n  - { name: a, url: https://a.example/, needs: [b] }\n",
    );
    write(
        "b.yml",
        "services:\n  - { name: b, url: https://b.example/ }\n",
    );
    write("c.yaml", "# nothing yet\n");
    write("d.txt", "no: yaml\n");
    write(".e.yaml", "no: yaml\n");
    let whole = load(folder.path()).unwrap();
    assert_eq!(whole.config.services.len(), 2);
    assert_eq!(
        whole.config.services[1].checks[0].every,
        Duration::from_secs(30)
    );
    assert_eq!(whole.files.len(), 3);
    let again = load(folder.path()).unwrap();
    assert_eq!(again.config.digest, whole.config.digest);
    write(
        "b.yml",
        "services:\n  - { name: b, url: https://b.example/ } #\n",
    );
    assert_ne!(
        load(folder.path()).unwrap().config.digest,
        whole.config.digest
    );
    write(
        "c.yaml",
        "defaults: { every: 1m }\nservices:\n  - { name: a, ulr: https://c.example/ }\n",
    );
    let problems = load(folder.path()).unwrap_err().to_string();
    let folder = folder.path().display();
    assert_eq!(
        problems,
        format!(
            "{folder}/c.yaml:1:1: the section `defaults` is defined twice, first in {folder}/a.yaml:1:1; rename or remove one\n\
             {folder}/c.yaml:3:13: service `a` is defined twice, first in {folder}/a.yaml:3:13; rename or remove one\n\
             {folder}/c.yaml:3:16: unknown key `ulr`; did you mean `url`?"
        )
    );
}

#[test]
fn pictures_show_the_line_with_a_mark() {
    let text = THREE_LINES.replace("url:", "ulr:");
    let problems = loaded(&[("bellwether.yaml", &text)]).unwrap_err();
    let picture = problems.pictured(100, Color::No);
    for part in [
        "unknown key `ulr`; did you mean `url`?",
        "bellwether.yaml:3:5",
        "3 │     ulr: https://www.shop.example/",
        "here",
    ] {
        assert!(picture.contains(part), "{picture}\nlacks {part}");
    }
}

#[test]
fn what_nothing_acts_on_is_said() {
    let notices = config(THREE_LINES).notices();
    assert_eq!(
        notices,
        ["there is no receiver: nobody is told when something breaks"]
    );
    let notices = config(FULL).notices().join("\n");
    for section in ["route", "status_pages", "receivers"] {
        assert!(
            notices.contains(&format!("`{section}:` is read")),
            "{notices}"
        );
    }
    assert!(
        !notices.contains("heartbeats") && !notices.contains("maintenance"),
        "{notices}"
    );
    let odd = FULL.replace("team=\"pay\"", "taem=\"pay\"");
    let warnings = loaded(&[("b.yaml", &odd)]).unwrap().warnings;
    assert!(
        warnings.len() == 1 && warnings[0].contains("no service has the label `taem`"),
        "{warnings:?}"
    );
}

#[test]
fn maintenance_goes_by_the_clock_on_the_wall() {
    let planned = |cron: &str, lasts: &str| {
        let text = format!(
            "{THREE_LINES}maintenance: [{{ name: night, services: [shop], cron: '{cron}', time_zone: Europe/Berlin, for: {lasts} }}]\n"
        );
        config(&text).maintenance.remove(0)
    };
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    let from = |text: &str| Window::From(Some(at(text)));
    let night = planned("0 2 * * Sun", "90m");
    for (now, expected) in [
        ("2026-11-22T00:59:59Z", from("2026-11-22T01:00:00Z")),
        (
            "2026-11-22T01:00:00Z",
            Window::Until(at("2026-11-22T02:30:00Z")),
        ),
        (
            "2026-11-22T02:29:59.9Z",
            Window::Until(at("2026-11-22T02:30:00Z")),
        ),
        ("2026-11-22T02:30:00Z", from("2026-11-29T01:00:00Z")),
        // Clocks go forward, and 02:00 is left out: it begins when the hour is over.
        (
            "2026-03-29T01:00:00Z",
            Window::Until(at("2026-03-29T02:30:00Z")),
        ),
        // Clocks go back, and 02:00 comes twice: it is on once.
        (
            "2026-10-25T00:10:00Z",
            Window::Until(at("2026-10-25T01:30:00Z")),
        ),
    ] {
        assert_eq!(night.at(at(now)), expected, "{now}");
    }
    // One that begins anew before it ends is always on.
    let always = planned("* * * * *", "1m");
    for second in [0, 1, 59, 60, 3_599] {
        let now = at("2026-11-22T01:00:00Z") + jiff::SignedDuration::from_secs(second);
        assert!(matches!(always.at(now), Window::Until(end) if end > now));
    }
}

const UUID: &str = "123E4567-e89b-12d3-a456-426614174000";

#[test]
fn heartbeats_keep_their_old_urls_and_show_none_of_them() {
    let text = format!(
        "services: []\nheartbeats: [{{ name: a, every: 1d, max_run: 2h, slug: old-a, uuid: {UUID}, token: aB3dE6gH9j }}]"
    );
    let config = config(&text);
    let [heartbeat] = &config.heartbeats[..] else {
        panic!("{:?}", config.heartbeats);
    };
    assert_eq!(heartbeat.max_run, Some(Duration::from_secs(7_200)));
    assert_eq!(heartbeat.slug(), "old-a");
    let uuid = heartbeat.uuid.as_ref().unwrap().expose();
    assert_eq!(uuid, UUID.to_ascii_lowercase());
    let shown = config.redacted().to_string();
    assert!(shown.contains("old-a") && shown.contains("2h"), "{shown}");
    for secret in [UUID, "aB3dE6gH9j"] {
        assert!(!shown.contains(secret), "{shown}");
        assert!(!format!("{config:?}{heartbeat:?}").contains(secret));
    }
}

#[test]
fn heartbeats_that_cannot_be_told_apart_are_refused() {
    let two = |ids: [&str; 2]| {
        let one = |(n, id): (usize, &str)| format!("{{ name: h{n}, every: 1d, {id} }}");
        let all: Vec<String> = ids.into_iter().enumerate().map(one).collect();
        let text = format!("services: []\nheartbeats: [{}]", all.join(", "));
        let problems = loaded(&[("b.yaml", &text)]).unwrap_err();
        problems.lines().join("\n")
    };
    let uuid = |text: &str| format!("uuid: {text}");
    let twice = two([&uuid(UUID), &uuid(&UUID.to_ascii_lowercase())]);
    assert!(
        twice.contains("twice") && !twice.contains("e89b"),
        "{twice}"
    );
    let twice = two(["token: aB3dE6gH9j", "token: aB3dE6gH9j"]);
    assert!(
        twice.contains("twice") && !twice.contains("aB3dE"),
        "{twice}"
    );
    assert!(two(["slug: s", "slug: s"]).contains("slug"));
    let none = two(["uuid: 123", "token: 'a b'"]);
    assert!(
        none.contains("is no UUID") && none.contains("is no push token"),
        "{none}"
    );
}

/// An alias is written out where it stands, and a bomb of aliases is refused at once.
#[test]
fn aliases_and_merges() {
    let text = "services:\n  - &a { name: a, url: https://a.example/, expect: &e { status: [200] } }\n  - { <<: *a, name: b }\n  - { name: c, url: https://c.example/, expect: *e }\n";
    let config = config(text);
    assert_eq!(
        config.services[1].checks[0].target.text,
        "https://a.example/"
    );
    assert_eq!(config.services[2].checks[0].expect.status.len(), 1);
    let mut bomb = "services:\n  - { name: a, url: https://a.example/, expect: { body: { json: { x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]".to_owned();
    for n in 1..12 {
        let all = vec![format!("*x{}", n - 1); 10].join(", ");
        bomb += &format!(", x{n}: &x{n} [{all}]");
    }
    bomb += " } } } }\n";
    let problems = fails(&[("b.yaml", &bomb)]);
    assert!(problems[0].contains("aliases"), "{problems:?}");
}

/// Each use of a merge key is a copy of what it names.
#[test]
fn a_bomb_of_merge_keys_is_refused() {
    let mut bomb = String::from("labels: &all\n");
    for n in 0..2_000 {
        let _ = writeln!(bomb, "  key{n}: {n}");
    }
    bomb += "services:\n";
    for _ in 0..2_000 {
        bomb += "  - { <<: *all }\n";
    }
    let problems = fails(&[("b.yaml", &bomb)]);
    assert!(problems[0].contains("aliases"), "{problems:?}");
    let problems = fails(&[("b.yaml", "services: [{ <<: 7, name: a }]\n")]);
    assert!(problems[0].contains("1:18"), "{problems:?}");
}

/// Aliases in a row nest as brackets do, and what walks the tree, or drops it, goes down into it.
#[test]
fn aliases_that_nest_are_refused() {
    let mut deep = String::from("route:\n  a0: &a0 []\n");
    for n in 1..100_000 {
        let _ = writeln!(deep, "  a{n}: &a{n} [*a{}]", n - 1);
    }
    let problems = fails(&[("b.yaml", &deep)]);
    assert!(problems[0].contains("nested too deeply"), "{problems:?}");
    assert!(problems[0].starts_with("b.yaml:6"), "{problems:?}");
}

/// Twenty thousand services that share what they can are no bomb.
#[test]
fn many_services_may_share_what_they_have() {
    let mut text = String::from(
        "services:\n  - &all { name: a0, url: https://a.example/, labels: { team: a, tier: b }, expect: { status: [200], within: 1s, body: { contains: x } } }\n",
    );
    for n in 1..20_000 {
        let _ = writeln!(text, "  - {{ <<: *all, name: a{n} }}");
    }
    let config = config(&text);
    assert_eq!(config.services.len(), 20_000);
    assert_eq!(config.services[19_999].checks[0].expect.status.len(), 1);
}

/// What editors leave in a text, and beside it.
#[test]
fn files_as_editors_leave_them() {
    let crlf = "\u{feff}services:\r\n  - name: shop\r\n    url: https://a.example/\r\n";
    let problems = fails(&[("b.yaml", &crlf.replace("url", "ulr"))]);
    assert!(problems[0].starts_with("b.yaml:3:5: "), "{problems:?}");
    assert!(problems[0].contains("did you mean `url`"), "{problems:?}");
    let (name, url) = {
        let config = config(crlf);
        let check = &config.services[0].checks[0];
        (config.services[0].name.clone(), check.target.text.clone())
    };
    assert_eq!((&*name, &*url), ("shop", "https://a.example/"));

    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("shop.yaml"), crlf).unwrap();
    for beside in [
        "shop.yaml~",
        "#shop.yaml#",
        ".shop.yaml.swp",
        ".shop.yaml",
        "shop.yaml.bak",
    ] {
        std::fs::write(at(beside), "no: [configuration").unwrap();
    }
    // Emacs marks a file that is being edited so.
    std::os::unix::fs::symlink("somebody@host.1234", at(".#shop.yaml")).unwrap();
    std::fs::create_dir(at("old.yaml")).unwrap();
    let loaded = bellwether_config::load(folder.path()).unwrap();
    assert_eq!(loaded.files, [at("shop.yaml")]);

    // A file that is gone is not passed over: what it watched would be watched no more.
    std::os::unix::fs::symlink("/nowhere/pay.yaml", at("pay.yaml")).unwrap();
    let problems = bellwether_config::load(folder.path()).unwrap_err().lines();
    assert!(problems[0].contains("pay.yaml"), "{problems:?}");
    assert!(problems[0].contains("No such file"), "{problems:?}");
}

/// What has no length is read no further than what has one.
#[test]
fn a_file_without_end_is_not_read_to_its_end() {
    let problems = bellwether_config::load(Path::new("/dev/zero"))
        .unwrap_err()
        .lines();
    assert!(
        problems[0].contains("it is no regular file"),
        "{problems:?}"
    );
}

#[test]
fn keys_are_explained() {
    let explain = |key: &str| {
        let text = "services:\n  - name: shop\n    url: https://www.shop.example/\n    every: 30s\n  - { name: a.b, checks: [{ name: c, timeout: 1s, tcp: { address: a.example:1 } }] }\ndefaults: { deep_every: 5m }\n";
        let sources = sources(&[("b.yaml", text)]);
        match bellwether_config::explain::explain(&sources, key, &Canaries) {
            Ok(explained) => explained.to_string(),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(
        explain("services.shop.checks.main.every"),
        "services.shop.checks.main.every = 30s\n  from     b.yaml:4:12, inherited from services.shop.every\n  means    How often, a number with its unit of time: `60s`.\n  allowed  a number and ms, s, m, h, d, w, mo or y\n"
    );
    for (key, parts) in [
        (
            "services.shop.checks.main.deep_every",
            &["= 5m", "b.yaml:6:25, inherited from defaults.deep_every"][..],
        ),
        ("services.a.b.checks.c.timeout", &["= 1s", "b.yaml:5:47\n"]),
        ("services.a.b.every", &["= 60s", "the program's default"]),
        ("defaults.every", &["= 60s", "the program's default"]),
        (
            "hub.listen",
            &["= 127.0.0.1:8400", "the program's default", "loopback"],
        ),
        ("hub.store.state", &["= embedded", "allowed  embedded"]),
        ("retention.max_size", &["= 20GiB", "KiB, MiB or GiB"]),
        ("vantages", &["is not set", "allowed  a list"]),
        ("services.shop.expect.exists", &["true, false"]),
        (
            "services.shop.checks.main.tries",
            &["a whole number from 1 to 200"],
        ),
        (
            "defaults.evry",
            &["there is no key `defaults.evry`; did you mean `defaults.every`?"],
        ),
        ("services.shpo.url", &["did you mean `services.shop`?"]),
        ("hub.listen.port", &["nothing is known there"]),
    ] {
        let explained = explain(key);
        for part in parts {
            assert!(explained.contains(part), "{key}: {explained}\nlacks {part}");
        }
    }
    let bare = bellwether_config::explain::explain(&[], "services.any.checks.one.every", &Canaries);
    assert_eq!(bare.unwrap().value.as_deref(), Some("60s"));
}

/// A text of nothing but mistakes does not fill the memory with complaints.
#[test]
fn keys_that_stand_twice_are_listed_up_to_a_bound() {
    let text = "a: 1\n".repeat(50_000);
    let problems = fails(&[("b.yaml", &text)]);
    assert_eq!(problems.len(), 101);
    assert!(problems[100].contains("and more"), "{problems:?}");
}
