//! What can be written.

use axum::body::Body;
use bellwether_store::StateStore as _;
use serde_json::{Value, json};

use crate::client::{Client, now, post};

#[tokio::test]
async fn an_incident_is_acknowledged_and_noted() {
    let mut client = Client::new();
    client.judge();
    let answer = client
        .post_text("/api/v1/incidents/1/acknowledge", "")
        .await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["state"]),
        (200, &json!("acknowledged"))
    );
    let answer = client
        .post("/api/v1/incidents/1/notes", &json!({"text": "on it"}))
        .await;
    assert_eq!(answer.status, 200);
    let timeline = client.json("/api/v1/incidents/1").await["timeline"].clone();
    let last = timeline.as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["kind"], &last["text"]),
        (&json!("note"), &json!("all: on it"))
    );
    client
        .post("/api/v1/incidents/3/acknowledge", &json!({}))
        .await
        .problem(404);
    client
        .post("/api/v1/incidents/x/notes", &json!({"text": "a"}))
        .await
        .problem(404);
    client
        .post("/api/v1/incidents/2/notes", &json!({"text": "a"}))
        .await
        .problem(409);
    for (body, wrong) in [
        (json!({}), "/text"),
        (json!({"text": ""}), "/text"),
        (json!({"text": "a".repeat(4_001)}), "/text"),
        (json!({"text": 1}), "/text"),
        (json!({"text": "a", "b/c": 1}), "/b~1c"),
        (json!([]), ""),
    ] {
        let answer = client.post("/api/v1/incidents/1/notes", &body).await;
        assert_eq!(answer.pointers(422), [wrong], "{body}");
    }
}

#[tokio::test]
async fn without_a_judge_nothing_is_promised() {
    let mut client = Client::new();
    client.nobody_judges();
    client
        .post("/api/v1/incidents/1/acknowledge", &json!({}))
        .await
        .problem(503);
}

fn counters() -> Value {
    json!({
        "schema": "bellwether.counters/1",
        "source": "lb",
        "service": "shop",
        "from": "2026-11-01T11:00:00Z",
        "to": "2026-11-01T11:01:00Z",
        "rows": [{ "attributes": { "address": "198.51.100.7" }, "total": 120_000, "failed": 31 }],
    })
}

#[tokio::test]
async fn counters_are_kept_and_the_same_again_replaces() {
    let client = Client::new();
    let answer = client.post("/api/v1/counters", &counters()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (202, json!({"rows": 1}))
    );
    let mut again = counters();
    again["rows"][0]["failed"] = json!(32);
    assert_eq!(client.post("/api/v1/counters", &again).await.status, 202);
    let rows = client
        .memory
        .counters("shop", now() - std::time::Duration::from_secs(7_200)..now())
        .unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].total, rows[0].failed), (120_000, 32));
    assert_eq!(
        rows[0].attributes,
        [("address".to_owned(), "198.51.100.7".to_owned())]
    );
    let mut other = counters();
    other["rows"][0]["attributes"]["address"] = json!("198.51.100.8");
    assert_eq!(client.post("/api/v1/counters", &other).await.status, 202);
    let rows = client
        .memory
        .counters("shop", now() - std::time::Duration::from_secs(7_200)..now())
        .unwrap();
    assert_eq!(rows.len(), 2);
}

#[tokio::test]
async fn counters_that_are_wrong_are_refused_by_field() {
    let client = Client::new();
    let with = |pointer: &str, value: Value| {
        let mut body = counters();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match body.pointer_mut(parent).unwrap() {
            Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
            parent => parent[key] = value,
        }
        body
    };
    for (pointer, value) in [
        ("/schema", json!("bellwether.counters/2")),
        ("/source", json!("")),
        ("/source", json!("a".repeat(129))),
        ("/service", json!("none")),
        ("/service", json!(null)),
        ("/from", json!("yesterday")),
        ("/to", json!("2026-11-01T11:00:00Z")),
        ("/to", json!("2026-11-01T10:00:00Z")),
        ("/to", json!("2026-11-01T12:05:01Z")),
        ("/rows", json!([])),
        ("/rows", json!({})),
        ("/rows/0", json!(1)),
        ("/rows/0/total", json!(-1)),
        ("/rows/0/total", json!(1.5)),
        ("/rows/0/total", json!(1e300)),
        ("/rows/0/total", json!("1")),
        ("/rows/0/failed", json!(120_001)),
        ("/rows/0/attributes", json!([])),
        ("/rows/0/attributes/address", json!(1)),
        ("/rows/0/attributes/address", json!("a\u{0}")),
        ("/rows/0/more", json!(1)),
        ("/more", json!(1)),
    ] {
        let body = with(pointer, value);
        let pointers = client.post("/api/v1/counters", &body).await.pointers(422);
        assert_eq!(pointers, [pointer], "{body}");
    }
    let mut twice = counters();
    let row = twice["rows"][0].clone();
    twice["rows"].as_array_mut().unwrap().push(row);
    assert_eq!(
        client.post("/api/v1/counters", &twice).await.pointers(422),
        ["/rows/1"]
    );
    let mut missing = counters();
    missing.as_object_mut().unwrap().remove("source");
    assert_eq!(
        client
            .post("/api/v1/counters", &missing)
            .await
            .pointers(422),
        ["/source"]
    );
    assert!(
        client
            .memory
            .counters("shop", jiff::Timestamp::MIN..jiff::Timestamp::MAX)
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn what_is_no_json_by_its_name_is_refused() {
    let client = Client::new();
    for kind in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("application/jsonx"),
    ] {
        let mut request =
            post("/api/v1/counters").header("authorization", format!("Bearer {}", client.token));
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        client
            .ask(request.body(Body::from(counters().to_string())).unwrap())
            .await
            .problem(415);
    }
}

#[tokio::test]
async fn a_store_that_does_not_keep_acknowledges_nothing() {
    let client = Client::new();
    // The token is looked up first, and stays known while the store is away.
    assert_eq!(
        client.post("/api/v1/counters", &counters()).await.status,
        202
    );
    client.memory.set_broken(true);
    client
        .post("/api/v1/counters", &counters())
        .await
        .problem(503);
}
