//! Who may do what.

use axum::body::Body;
use bellwether_hub::access::Scope;
use bellwether_hub::api;
use bellwether_hub::testing::CANARY;
use bellwether_store::{Change, StateStore as _};
use http::Method;
use serde_json::{Value, json};

use crate::client::{Client, from, get, post};

/// What a route needs, as this test says: a change of access is a change here too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Open,
    /// The id in its path, which is another one here: nobody's.
    Id,
    Of(Scope),
}

/// Every route that there is. One that is in the document or in the page and not here fails.
const ROUTES: &[(&str, &str, Wanted)] = &[
    ("GET", "/", Wanted::Of(Scope::Read)),
    ("GET", "/api/v1/agents", Wanted::Of(Scope::Read)),
    ("POST", "/api/v1/agents/tokens", Wanted::Of(Scope::Agents)),
    (
        "POST",
        "/api/v1/agents/{vantage}/revoke",
        Wanted::Of(Scope::Agents),
    ),
    ("GET", "/api/v1/checks", Wanted::Of(Scope::Read)),
    (
        "GET",
        "/api/v1/checks/{service}/{check}/observations",
        Wanted::Of(Scope::Read),
    ),
    (
        "GET",
        "/api/v1/checks/{service}/{check}/series",
        Wanted::Of(Scope::Read),
    ),
    ("GET", "/api/v1/configuration", Wanted::Of(Scope::Read)),
    ("GET", "/api/v1/troubles", Wanted::Of(Scope::Read)),
    ("POST", "/api/v1/counters", Wanted::Of(Scope::Counters)),
    ("GET", "/api/v1/events", Wanted::Of(Scope::Read)),
    ("GET", "/api/v1/evidence/{sha256}", Wanted::Of(Scope::Read)),
    ("GET", "/api/v1/heartbeats", Wanted::Of(Scope::Read)),
    ("GET", "/api/v1/incidents", Wanted::Of(Scope::Read)),
    ("GET", "/api/v1/incidents/{id}", Wanted::Of(Scope::Read)),
    (
        "POST",
        "/api/v1/incidents/{id}/acknowledge",
        Wanted::Of(Scope::Write),
    ),
    (
        "POST",
        "/api/v1/incidents/{id}/notes",
        Wanted::Of(Scope::Write),
    ),
    ("GET", "/api/v1/openapi.json", Wanted::Of(Scope::Read)),
    ("GET", "/api/v1/services", Wanted::Of(Scope::Read)),
    ("GET", "/api/v1/services/{name}", Wanted::Of(Scope::Read)),
    ("GET", "/api/v1/vantages", Wanted::Of(Scope::Read)),
    ("GET", "/api/push/{id}", Wanted::Id),
    ("POST", "/api/push/{id}", Wanted::Id),
    ("GET", "/ping/{id}", Wanted::Id),
    ("POST", "/ping/{id}", Wanted::Id),
    ("GET", "/ping/{id}/{what}", Wanted::Id),
    ("POST", "/ping/{id}/{what}", Wanted::Id),
    ("GET", "/ping/{id}/{what}/{more}", Wanted::Id),
    ("POST", "/ping/{id}/{what}/{more}", Wanted::Id),
    ("GET", "/healthz", Wanted::Open),
    ("GET", "/incidents/{id}", Wanted::Of(Scope::Read)),
    ("GET", "/metrics", Wanted::Of(Scope::Read)),
    ("GET", "/readyz", Wanted::Open),
    ("GET", "/services/{name}", Wanted::Of(Scope::Read)),
    ("GET", "/style.css", Wanted::Open),
];

fn filled_in(path: &str, client: &Client) -> String {
    path.replace("{service}", "pay")
        .replace("{check}", "api")
        .replace("{name}", "pay")
        .replace("{vantage}", "fra")
        .replace("{id}", "1")
        .replace("{sha256}", &client.evidence.to_string())
}

#[test]
fn p26_the_matrix_names_every_route() {
    let client = Client::new();
    let mut there: Vec<(String, String)> = api::routes()
        .into_iter()
        .map(|(method, path)| (method.to_string(), path))
        .collect();
    there.sort();
    let mut here: Vec<(String, String)> = ROUTES
        .iter()
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    here.sort();
    assert_eq!(there, here);
    let document = api::openapi();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let known = ROUTES
                .iter()
                .any(|(m, p, _)| m.eq_ignore_ascii_case(method) && p == path);
            assert!(known, "{method} {path}");
        }
    }
    drop(client);
}

#[tokio::test]
async fn p26_every_route_by_every_scope() {
    for open_reading in [true, false] {
        let hub = bellwether_hub::testing::filled(crate::client::now());
        hub.enrol("fra");
        let mut client = Client::of(hub, open_reading, crate::client::now());
        let mut tokens: Vec<(Vec<Scope>, Option<String>)> = vec![(vec![], None)];
        for bits in 0..32u8 {
            let scopes: Vec<Scope> = Scope::ALL
                .into_iter()
                .enumerate()
                .filter(|(n, _)| bits & (1 << n) != 0)
                .map(|(_, it)| it)
                .collect();
            let token = client.token_with(&scopes);
            tokens.push((scopes, Some(token)));
        }
        client.judge();
        for (method, path, wanted) in ROUTES {
            for (scopes, token) in &tokens {
                let mut request = get(&filled_in(path, &client)).method(*method);
                if let Some(token) = token {
                    request = request.header("authorization", format!("Bearer {token}"));
                }
                let response = client.send(request.body(Body::empty()).unwrap()).await;
                let status = response.status().as_u16();
                let expected = match (wanted, token) {
                    (Wanted::Open, _) => None,
                    (Wanted::Id, _) => {
                        assert!([404, 429].contains(&status), "{method} {path}: {status}");
                        continue;
                    }
                    (Wanted::Of(Scope::Read), None) if open_reading => None,
                    (Wanted::Of(_), None) => Some(401),
                    (Wanted::Of(scope), Some(_)) if scopes.contains(scope) => None,
                    (Wanted::Of(_), Some(_)) => Some(403),
                };
                let case = format!("{method} {path} open: {open_reading}, {scopes:?}");
                match expected {
                    Some(expected) => assert_eq!(status, expected, "{case}"),
                    None => assert!(
                        ![401, 403, 404, 405, 500].contains(&status),
                        "{case}: {status}"
                    ),
                }
            }
        }
    }
}

#[tokio::test]
async fn p26_what_is_unknown_is_404_whoever_asks() {
    for client in [Client::new(), Client::elsewhere()] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            for path in [
                "/api/v1/tokens",
                "/admin",
                "/api/v1/services/pay/delete",
                "/.env",
            ] {
                let request = get(path)
                    .method(method.clone())
                    .body(Body::empty())
                    .unwrap();
                client.ask(request).await.problem(404);
            }
        }
    }
}

#[tokio::test]
async fn on_a_loopback_address_the_host_must_be_one() {
    let client = Client::new();
    for (_, path, wanted) in ROUTES.iter().filter(|(method, ..)| *method == "GET") {
        let path = filled_in(path, &client);
        for token in [None, Some(&client.token)] {
            let mut request = http::Request::get(&path).header("host", "evil.example:8400");
            if let Some(token) = token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let status = client
                .send(request.body(Body::empty()).unwrap())
                .await
                .status();
            let refused = *wanted != Wanted::Open;
            assert_eq!(status == 403, refused, "{path}: {status}");
        }
    }
    let elsewhere = Client::elsewhere();
    let request = http::Request::get("/api/v1/services")
        .header("host", "bellwether.example")
        .header("authorization", format!("Bearer {}", elsewhere.token));
    assert_eq!(
        elsewhere
            .ask(request.body(Body::empty()).unwrap())
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn hostile_u12_another_site_can_do_nothing() {
    let mut client = Client::new();
    client.judge();
    let post = || {
        post("/api/v1/incidents/1/notes")
            .header("authorization", format!("Bearer {}", client.token))
            .header("content-type", "application/json")
    };
    let body = || Body::from(r#"{"text":"a"}"#);
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let request = post().header(name, value).body(body()).unwrap();
        client.ask(request).await.problem(403);
    }
    let same = post()
        .header("origin", "http://localhost:8400")
        .header("sec-fetch-site", "same-origin");
    assert_eq!(client.ask(same.body(body()).unwrap()).await.status, 200);
    let read = || get("/api/v1/events").header("sec-fetch-site", "cross-site");
    let asked = read().header("sec-fetch-mode", "cors");
    client
        .ask(asked.body(Body::empty()).unwrap())
        .await
        .problem(403);
    let stream = get("/api/v1/events").header("origin", "https://evil.example");
    client
        .ask(stream.body(Body::empty()).unwrap())
        .await
        .problem(403);
    let link = get("/").header("sec-fetch-site", "cross-site");
    let link = link.header("sec-fetch-mode", "navigate");
    let followed = client.ask(link.body(Body::empty()).unwrap()).await;
    assert_eq!(followed.status, 200, "a link in a ticket leads to the page");
    for path in [
        "/",
        "/incidents/1",
        "/services/pay",
        "/api/v1/services",
        "/metrics",
        "/nope",
    ] {
        let headers = client.get(path).await.headers;
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe-inline") && !policy.contains("script-src"));
        assert_eq!(headers["x-frame-options"], "DENY");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["cache-control"], "no-store");
        assert!(!headers.contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn a_password_opens_reading_and_nothing_else() {
    use base64::Engine as _;
    let mut client = Client::elsewhere();
    client.judge();
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("me:{}", client.token));
    let basic = format!("Basic {encoded}");
    let page = get("/")
        .header("authorization", &basic)
        .body(Body::empty())
        .unwrap();
    assert_eq!(client.ask(page).await.status, 200);
    let note = post("/api/v1/incidents/1/notes")
        .header("authorization", &basic)
        .header("content-type", "application/json");
    client
        .ask(note.body(Body::from(r#"{"text":"a"}"#)).unwrap())
        .await
        .problem(401);
    let page = client.get("/").await;
    page.problem(401);
    assert!(
        page.headers["www-authenticate"]
            .to_str()
            .unwrap()
            .starts_with("Basic ")
    );
    let api = client.get("/api/v1/services").await;
    assert!(
        api.headers["www-authenticate"]
            .to_str()
            .unwrap()
            .starts_with("Bearer ")
    );
}

#[tokio::test]
async fn hostile_u18_guessing_is_uniform_and_slowed_down() {
    let client = Client::elsewhere();
    let expired = {
        let (mut token, secret) =
            bellwether_hub::access::mint("expired", &Scope::ALL, crate::client::now(), [3; 32]);
        token.expires = Some(crate::client::now());
        client.memory.commit(&[Change::Token(token)]).unwrap();
        secret
    };
    let guess = async |header: &str, address: [u8; 4]| {
        let request = http::Request::get("/api/v1/services")
            .header("authorization", header)
            .extension(from(address));
        client.ask(request.body(Body::empty()).unwrap()).await
    };
    let missing = client.get("/api/v1/services").await;
    missing.problem(401);
    let long = "a".repeat(2_000);
    let guesses = [
        "Bearer bw_wrong",
        "Bearer ",
        "Bearer",
        "Digest x",
        "Basic !!!",
        "Basic YQ==",
        &format!("Bearer {expired}"),
        &format!("Bearer {long}"),
    ];
    for wrong in guesses {
        let answer = guess(wrong, [192, 0, 2, 1]).await;
        assert_eq!(
            (answer.status, &answer.text),
            (missing.status, &missing.text),
            "{wrong}"
        );
    }
    for _ in guesses.len()..10 {
        guess("Bearer bw_x", [192, 0, 2, 1]).await.problem(401);
    }
    let waits = guess("Bearer bw_x", [192, 0, 2, 1]).await;
    waits.problem(429);
    assert_eq!(waits.headers["retry-after"], "1");
    guess("Bearer bw_x", [192, 0, 2, 2]).await.problem(401);
    let right = guess(&format!("Bearer {}", client.token), [192, 0, 2, 1]).await;
    assert_eq!(right.status, 200, "the operators are not locked out");
}

#[tokio::test]
async fn hostile_u11_an_id_that_is_not_there_is_404_on_each_route() {
    let mut client = Client::new();
    client.judge();
    for (method, path, _) in ROUTES.iter().filter(|(_, path, _)| path.contains('{')) {
        let path = path
            .replace("{service}", "x")
            .replace("{check}", "x")
            .replace("{name}", "x")
            .replace("{id}", "9")
            .replace("{sha256}", &"0".repeat(64));
        let request = get(&path)
            .method(*method)
            .header("authorization", format!("Bearer {}", client.token))
            .header("content-type", "application/json");
        let body = if path.ends_with("notes") {
            r#"{"text":"a"}"#
        } else {
            ""
        };
        let answer = client.ask(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
    }
}

#[tokio::test]
async fn p23_the_canary_is_in_no_answer() {
    let mut client = Client::new();
    let configured = client.shared.configured.load_full();
    let mut targets = configured.config.services.iter().flat_map(|s| &s.checks);
    let canary_held = targets.any(|check| check.target.text.contains(CANARY))
        && client
            .shared
            .board
            .read()
            .unwrap()
            .checks
            .values()
            .any(|it| it.target.contains(CANARY));
    assert!(canary_held, "the secret is there to be leaked");
    let token = client.token.clone();
    client.judge();
    for (method, path, _) in ROUTES {
        let request = get(&filled_in(path, &client))
            .method(*method)
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        let text = if *path == "/api/v1/events" {
            crate::events::first(&client).await
        } else {
            client.ask(request).await.text
        };
        assert!(!text.contains(CANARY), "{path}: {text}");
        assert!(!text.contains(&token), "{path}");
    }
}

#[tokio::test]
async fn a_revoked_token_is_dead_within_a_second() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};
    let hub = bellwether_hub::testing::filled(crate::client::now());
    let token = hub.token("short", &Scope::ALL);
    let memory = Arc::clone(&hub.memory);
    let seconds = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&seconds);
    let access = bellwether_hub::access::Access {
        open_reading: false,
        clock: bellwether_hub::access::Clock::new(move || {
            crate::client::now() + jiff::SignedDuration::from_secs(clock.load(Ordering::SeqCst))
        }),
    };
    let router = api::router(hub.shared, access);
    let ask = async || {
        use tower::ServiceExt as _;
        let request = get("/api/v1/services").header("authorization", format!("Bearer {token}"));
        router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(ask().await, 200);
    memory
        .commit(&[Change::TokenRevoked {
            name: "short".to_owned(),
        }])
        .unwrap();
    seconds.store(1, Ordering::SeqCst);
    assert_eq!(ask().await, 401);
}

#[test]
fn every_answer_of_the_document_is_told() {
    let document = api::openapi();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let answers = operation["responses"].as_object().unwrap();
            for status in ["422", "500", "503"] {
                assert!(answers.contains_key(status), "{method} {path} {status}");
            }
            for (status, answer) in answers {
                if status.as_str() >= "400" {
                    let problem = json!({"$ref": "#/components/schemas/Problem"});
                    let schema = &answer["content"]["application/problem+json"]["schema"];
                    assert_eq!(*schema, problem, "{method} {path} {status}");
                }
            }
            assert_ne!(
                operation["security"],
                Value::Null,
                "{method} {path} says nothing of access"
            );
        }
    }
}
