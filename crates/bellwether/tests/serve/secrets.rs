//! P23: secrets never come back out.

use std::fs;

use crate::open;
use crate::running::{Serve, Site, Start, bellwether, config, files};

/// What may be in nothing that is told: each place of the configuration has one of its own. With a
/// quote, a backslash, a line break and what HTML takes for its own, so that every way of writing it
/// down is met.
const PLACES: [(&str, &str); 6] = [
    ("HOOK", "canaryhook-7f3d9c1be24a"),
    ("TOKEN", "canary\"to\\ken-7f3d9c"),
    ("LABEL", "canarylabel.7f3d9c1b"),
    ("PATH_PART", "canarypath-7f3d9c1be24a"),
    ("WORDS", "canary <words> & \"more\" 7f3d9c"),
    ("ROLE", "canaryrole-7f3d9c1be24a"),
];

/// Written into the file as it stands, as people do it all the same.
const PLAIN: [&str; 2] = ["canaryquery-7f3d9c1be24a", "canaryplain-7f3d9c1be24a"];

/// Parts of the secrets that no way of writing them down changes.
const PARTS: [&str; 8] = [
    "canaryhook-7f3d9c",
    "ken-7f3d9c",
    "canarylabel.7f3d9c",
    "canarypath-7f3d9c",
    "7f3d9c\"",
    "canaryrole-7f3d9c",
    "canaryquery-7f3d9c",
    "canaryplain-7f3d9c",
];

fn text(site: &str) -> String {
    let services = format!(
        r#"  - name: path
    url: "{site}${{env:PATH_PART}}/x?key={query}"
    labels: {{ team: "${{env:LABEL}}" }}
    expect:
      body: {{ contains: "${{env:WORDS}}" }}
      role: {{ header: x-tier, value: "${{env:ROLE}}" }}
  - name: resolved
    checks:
      - {{ name: "dns", dns: {{ name: localhost, type: TXT, values: ["${{env:ROLE}}"] }} }}
"#,
        query = PLAIN[0],
    );
    let more = format!(
        r#"receivers:
  - {{ name: oncall, slack: {{ webhook: "https://hooks.example/${{env:HOOK}}" }} }}
  - {{ name: jira, jira: {{ url: "https://jira.example/", project: OPS, token: "${{env:TOKEN}}" }} }}
  - {{ name: other, jira: {{ url: "https://jira.example/", project: OPS, token: {plain} }} }}
route: {{ receiver: oncall }}
"#,
        plain = PLAIN[1],
    );
    config(&[("shop", site)], &more) + &services
}

fn assert_clean(place: &str, text: &str) {
    let held = PARTS.iter().find(|part| text.contains(**part));
    assert_eq!(held, None, "{place} holds a secret: {text}");
    let whole = PLACES.iter().map(|(_, secret)| *secret);
    let held = whole.into_iter().find(|secret| text.contains(secret));
    assert_eq!(held, None, "{place} holds a secret: {text}");
}

const PATHS: [&str; 15] = [
    "/",
    "/services/shop",
    "/services/path",
    "/services/resolved",
    "/incidents/1",
    "/incidents/2",
    "/metrics",
    "/api/v1/configuration",
    "/api/v1/services",
    "/api/v1/checks",
    "/api/v1/checks/path/main/observations",
    "/api/v1/incidents",
    "/api/v1/incidents/1",
    "/api/v1/incidents/2",
    "/api/v1/openapi.json",
];

fn nothing_is_told(serve: &Serve) {
    for path in PATHS {
        let (_, body) = serve.get_raw(path);
        assert_clean(path, &body);
    }
    for incident in serve.incidents() {
        for digest in incident["evidence"].as_array().unwrap() {
            let path = format!("/api/v1/evidence/{}", digest.as_str().unwrap());
            assert_clean(&path, &serve.get_raw(&path).1);
        }
    }
}

#[test]
fn p23_secrets_stay_in() {
    let site = Site::start();
    site.fail();
    let text = text(&site.url());
    let mut start = Start::new(&text).env("BELLWETHER_LOG", "debug");
    for (name, secret) in PLACES {
        start = start.env(name, secret);
    }
    let mut serve = start.go();
    serve.until("an incident of the secret path is open", |s| {
        let path = |i: &serde_json::Value| i["checks"].to_string().contains("path/main");
        open(s).iter().any(path)
    });
    nothing_is_told(&serve);
    // It is told what is in force, and that something is left out.
    let told = serve.get("/api/v1/configuration");
    let in_force = &told["in_force"];
    assert_eq!(in_force["receivers"][0]["slack"]["webhook"], "***");
    assert_eq!(in_force["services"][1]["labels"]["team"], "***");
    assert_eq!(in_force["defaults"]["every"], "1s");

    // A complaint quotes the line that it is about; what stands in it is no less a secret.
    for (from, to) in [
        ("slack: { webhook", "slak: { webhook"),
        ("token: canaryplain", "tokn: canaryplain"),
        ("dns: { name: localhost", "dns: { nam: localhost"),
        ("value: \"${env:ROLE}\"", "value: [\"${env:ROLE}\"]"),
        ("    url: \"", "    url: \"ftp"),
    ] {
        let before = serve.metric("bellwether_configurations_refused_total");
        fs::write(serve.config_file(), text.replacen(from, to, 1)).unwrap();
        let newer = |s: &Serve| s.metric("bellwether_configurations_refused_total") > before;
        serve.until(&format!("it is refused: {to}"), newer);
        let refused = serve.get("/api/v1/configuration")["refused"].to_string();
        assert!(refused.contains("bellwether.yaml:"), "{refused}");
        for path in ["/", "/services/path", "/api/v1/configuration"] {
            assert_clean(path, &serve.get_raw(path).1);
        }
        let place = format!("http://{}", serve.at);
        let (_, out, err) = bellwether(&["status", "--hub", &place]);
        assert_clean("status", &(out + &err));
    }
    let backup = serve.dir.path().join("backup");
    let (code, _, err) = bellwether(&[
        "store",
        "backup",
        backup.to_str().unwrap(),
        "--data-dir",
        serve.data().to_str().unwrap(),
    ]);
    assert_eq!(code, 0, "{err}");
    assert!(serve.stop());
    assert_clean("the log", &serve.said());
    let kept = files(&serve.data()).into_iter().chain(files(&backup));
    for file in kept {
        let bytes = fs::read(&file).unwrap();
        let token = serve.token.as_deref().unwrap();
        for secret in PARTS.into_iter().chain([token]) {
            let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "{} holds {secret}", file.display());
        }
    }
}
