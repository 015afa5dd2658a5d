//! Bodies and requests that are too much.

use axum::body::Body;
use serde_json::json;

use crate::client::{Client, get};

#[tokio::test]
async fn hostile_u15_bodies_that_hurt_are_refused() {
    let client = Client::new();
    let path = "/api/v1/counters";
    let big = format!("{{\"source\":\"{}\"}}", "a".repeat(10 << 20));
    client.post_text(path, big).await.problem(413);
    let deep = "[".repeat(100_000);
    client.post_text(path, deep.clone()).await.problem(400);
    client
        .post_text(path, r#"{"a":"#.repeat(100_000))
        .await
        .problem(400);
    let sixty_five = format!("{{\"rows\":{}{}}}", "[".repeat(65), "]".repeat(65));
    client.post_text(path, sixty_five).await.problem(400);
    let twice = client
        .post_text(path, r#"{"source":"a","source":"b"}"#)
        .await;
    assert_eq!(twice.pointers(400), ["/source"]);
    let twice = client
        .post_text(path, r#"{"rows":[{"total":1,"total":2}]}"#)
        .await;
    assert_eq!(twice.pointers(400), ["/rows/0/total"]);
    for number in ["NaN", "Infinity", "1e999", "0x1", "01", "+1"] {
        let body = format!("{{\"rows\":[{{\"total\":{number}}}]}}");
        client.post_text(path, body).await.problem(400);
    }
    client.post_text(path, "").await.problem(400);
    client.post_text(path, vec![0xff, 0xfe]).await.problem(400);
    client.post_text(path, "{} {}").await.problem(400);
}

/// Parts of paths.
const WORDS: &[&str] = &[
    "api",
    "v1",
    "services",
    "checks",
    "pay",
    "api",
    "series",
    "observations",
    "incidents",
    "1",
    "notes",
    "evidence",
    "..",
    "",
    "%00",
    "%2e%2e",
    "%ff",
    "%F0%9F%92%A5",
    "18446744073709551616",
    "-1",
    "a%2Fb",
    "counters",
    "configuration",
];

/// Queries.
const QUERIES: &[&str] = &[
    "",
    "?",
    "?limit=",
    "?limit=1",
    "?limit=99999999999999999999",
    "?from=&to=",
    "?page=.",
    "?page=1.1",
    "?page=-9223372036854775808.0",
    "?from=9999-12-30T22:00:00Z",
    "?to=-009999-01-02T01:59:59Z",
    "?step=1d&vantage=%00",
    "?%ff=%ff",
    "?a&a&a",
    "?state=open&state=open",
];

/// Bodies.
const BODIES: &[&str] = &[
    "",
    "{}",
    "[]",
    "null",
    "{\"text\":null}",
    "{\"text\":\"\\u0000\"}",
    "\u{feff}",
    "{\"rows\":[]}",
    "\"\\ud800\"",
];

#[tokio::test]
async fn p27_no_request_is_a_5xx() {
    let mut client = Client::new();
    client.judge();
    let mut state = 7u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    // The stream of events never ends, which is right, and cannot be waited for.
    let routes = bellwether_hub::api::routes().into_iter();
    let routes: Vec<String> = routes
        .map(|(_, path)| path)
        .filter(|path| path != "/api/v1/events")
        .collect();
    let mut answers = [0; 600];
    for turn in 0..6_000 {
        let mut path = if turn % 3 == 0 {
            (0..random(7))
                .map(|_| format!("/{}", WORDS[random(WORDS.len())]))
                .collect()
        } else {
            let route = routes[random(routes.len())].split('/').skip(1);
            let filled = route.map(|part| match part.starts_with('{') {
                true => format!("/{}", WORDS[random(WORDS.len())]),
                false => format!("/{part}"),
            });
            filled.collect::<String>()
        };
        path = format!(
            "/{}{}",
            path.trim_start_matches('/'),
            QUERIES[random(QUERIES.len())]
        );
        let method =
            ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"][random(7).min(random(7))];
        let request = get(&path)
            .method(method)
            .header("authorization", format!("Bearer {}", client.token))
            .header("content-type", "application/json")
            .body(Body::from(BODIES[random(BODIES.len())]))
            .unwrap();
        let answer = client.ask(request).await;
        assert!(
            answer.status.as_u16() < 500,
            "{method} {path}: {}",
            answer.status
        );
        // Those whom jobs call answer as their clients expect it.
        let is_ours = path.starts_with("/api") && !path.starts_with("/api/push/");
        if answer.status.is_client_error() && method != "HEAD" && is_ours {
            answer.problem(answer.status.as_u16());
        }
        answers[usize::from(answer.status.as_u16())] += 1;
    }
    for status in [200, 400, 404, 405, 422] {
        assert!(
            answers[status] > 20,
            "too few are {status}: {}",
            answers[status]
        );
    }
}

#[tokio::test]
async fn targets_and_headers_have_limits() {
    let client = Client::new();
    client
        .get(&format!("/api/v1/services?{}", "a".repeat(9_000)))
        .await
        .problem(414);
    let request = get("/api/v1/services").header("x-large", "a".repeat(33_000));
    client
        .ask(request.body(Body::empty()).unwrap())
        .await
        .problem(431);
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_done() {
    let client = Client::new();
    for path in [
        "/nope",
        "/api/v1",
        "/api/v1/",
        "/api/v2/services",
        "/api/v1/services/",
        "//",
        "/api/v1/services/a/b",
    ] {
        client.get(path).await.problem(404);
    }
    let request = get("/api/v1/services")
        .method("DELETE")
        .body(Body::empty())
        .unwrap();
    let answer = client.ask(request).await;
    answer.problem(405);
    assert_eq!(answer.headers["allow"], "GET, HEAD");
    let answer = client.get("/api/v1/counters").await;
    answer.problem(405);
    assert_eq!(answer.headers["allow"], "POST");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let client = Client::new();
    let endless = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let answer = client
        .post_text("/api/v1/counters", Body::from_stream(endless))
        .await;
    answer.problem(408);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_not_waited_for() {
    // Nobody takes in what people do.
    let client = Client::new();
    client
        .post("/api/v1/incidents/1/acknowledge", &json!({}))
        .await
        .problem(503);
}

#[tokio::test]
async fn a_panic_is_a_500_and_nothing_more() {
    let client = Client::new();
    let shared = std::sync::Arc::clone(&client.shared);
    // A board that nobody can have made: a service that names a check twice over is fine, a lock
    // that was poisoned is read on. So the panic has to come from a store.
    let _ = std::thread::spawn(move || {
        let _held = shared.board.write().unwrap();
        panic!("on purpose");
    })
    .join();
    assert_eq!(
        client.get("/api/v1/services").await.status,
        200,
        "a poisoned board is read on"
    );
    client.memory.panic_next();
    let answer = client.get("/api/v1/incidents").await;
    let problem = answer.problem(500);
    assert!(!problem.to_string().contains("on purpose"));
    assert_eq!(client.get("/api/v1/incidents").await.status, 200);
}
