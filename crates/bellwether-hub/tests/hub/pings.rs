//! What jobs call: the lines of the documentation of healthchecks and of Uptime Kuma, word for word but
//! for the host.

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use bellwether_hub::access::Scope;
use bellwether_hub::testing;
use bellwether_store::StateStore as _;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::client::{Answer, Client, from, now};

const UUID: &str = "5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278";
const TOKEN: &str = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0xR";

fn configuration() -> String {
    format!(
        "services: []
heartbeats:
  - {{ name: Database Backup, every: 1d, uuid: {UUID}, token: {TOKEN} }}
  - {{ name: twin x, every: 1d }}
  - {{ name: Twin X, every: 1d }}
"
    )
}

fn client_at(open_reading: bool) -> Client {
    let hub = testing::hub(now(), &configuration());
    tokio::spawn(testing::keep_beats(Arc::clone(&hub.shared)));
    Client::of(hub, open_reading, now())
}

/// The key before slugs, as the API tells it.
async fn ping_key(client: &Client) -> String {
    let rows = told(client).await;
    let path = rows[1]["report_to"]["slug"].as_str();
    let path = path.or(rows[0]["report_to"]["slug"].as_str()).unwrap();
    path.split('/').nth(2).unwrap().to_owned()
}

async fn told(client: &Client) -> Value {
    let request = crate::client::get("/api/v1/heartbeats")
        .header("authorization", format!("Bearer {}", client.token));
    let answer = client.ask(request.body(Body::empty()).unwrap()).await;
    answer.json()["heartbeats"].clone()
}

/// The heartbeat that all of this is about.
async fn backup(client: &Client) -> Value {
    let all = told(client).await;
    let all = all.as_array().unwrap();
    let found = all.iter().find(|row| row["name"] == "Database Backup");
    found.unwrap().clone()
}

async fn call(client: &Client, method: Method, path: &str, body: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost:8400")
        // What `curl --data-raw` says.
        .header("content-type", "application/x-www-form-urlencoded")
        .extension(from([127, 0, 0, 1]));
    client
        .ask(request.body(Body::from(body.to_owned())).unwrap())
        .await
}

async fn ok(client: &Client, method: Method, path: &str, body: &str) {
    let is_head = method == Method::HEAD;
    let answer = call(client, method, path, body).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    assert_eq!(answer.text, if is_head { "" } else { "OK" }, "{path}");
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    assert_eq!(answer.headers["ping-body-limit"], "2048");
}

/// `curl -m 10 --retry 5 https://hc-ping.com/your-uuid-here`, and the same with HEAD and POST.
#[tokio::test]
async fn healthchecks_success_by_uuid() {
    let client = client_at(true);
    for method in [Method::GET, Method::HEAD, Method::POST] {
        ok(&client, method, &format!("/ping/{UUID}"), "").await;
    }
    ok(
        &client,
        Method::GET,
        &format!("/ping/{}", UUID.to_uppercase()),
        "",
    )
    .await;
    let row = backup(&client).await;
    assert_eq!(row["verdict"], "healthy");
    assert_eq!((&row["pings"], &row["last_ok"]), (&json!(4), &json!(true)));
}

/// `curl --retry 3 https://hc-ping.com/your-uuid-here/start`, and the run that it begins.
#[tokio::test]
async fn healthchecks_start_by_uuid() {
    let client = client_at(true);
    let rid = "123e4567-e89b-12d3-a456-426614174000";
    ok(
        &client,
        Method::GET,
        &format!("/ping/{UUID}/start?rid={rid}"),
        "",
    )
    .await;
    let row = backup(&client).await;
    assert_eq!(row["running_since"], now().to_string());
    assert_eq!(row["verdict"], "unknown");
    ok(&client, Method::GET, &format!("/ping/{UUID}?rid={rid}"), "").await;
    let row = backup(&client).await;
    assert_eq!(
        (&row["running_since"], &row["last_took_ms"]),
        (&Value::Null, &json!(0))
    );
}

/// `curl --retry 3 https://hc-ping.com/your-uuid-here/fail`.
#[tokio::test]
async fn healthchecks_fail_by_uuid() {
    let client = client_at(true);
    ok(&client, Method::GET, &format!("/ping/{UUID}/fail"), "").await;
    let row = backup(&client).await;
    assert_eq!(
        (&row["verdict"], &row["trouble"]),
        (&json!("broken"), &json!("failed"))
    );
    assert_eq!(row["last_exit"], Value::Null);
}

/// `curl -m 10 --retry 5 https://hc-ping.com/your-uuid-here/$?`.
#[tokio::test]
async fn healthchecks_exit_status_by_uuid() {
    let client = client_at(true);
    for (exit, verdict) in [
        (0, "healthy"),
        (1, "broken"),
        (255, "broken"),
        (0, "healthy"),
    ] {
        ok(&client, Method::GET, &format!("/ping/{UUID}/{exit}"), "").await;
        let row = backup(&client).await;
        assert_eq!(
            (&row["last_exit"], &row["verdict"]),
            (&json!(exit), &json!(verdict))
        );
    }
    let answer = call(&client, Method::GET, &format!("/ping/{UUID}/256"), "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.text.as_str()),
        (400, "invalid url format")
    );
}

/// `curl -fsS -m 10 --retry 5 --data-raw "$m" https://hc-ping.com/your-uuid-here`: the output goes along.
#[tokio::test]
async fn healthchecks_output_goes_along() {
    let client = client_at(true);
    let output = "line 1\n\u{1b}[31mred\u{1b}[0m <script>alert(1)</script>\n";
    ok(&client, Method::POST, &format!("/ping/{UUID}/3"), output).await;
    let row = backup(&client).await;
    let told = row["last_log"].as_str().unwrap();
    assert_eq!(
        told,
        r"line 1 \u{1b}[31mred\u{1b}[0m <script>alert(1)</script>"
    );
    let page = client.get("/").await;
    assert!(page.text.contains("Database Backup"), "{}", page.text);
    assert!(!page.text.contains("<script>alert"));
    // 100 KB and more are taken, and of what is no text what can be shown.
    let long = format!("{}the end", "x".repeat(150_000));
    ok(&client, Method::POST, &format!("/ping/{UUID}/fail"), &long).await;
    let row = backup(&client).await;
    assert!(row["last_log"].as_str().unwrap().ends_with("the end"));
    let request = Request::post(format!("/ping/{UUID}/log"))
        .header("host", "localhost:8400")
        .body(Body::from(vec![0xff; 4_000]))
        .unwrap();
    assert_eq!(client.ask(request).await.status, 200);
}

/// `curl --data-raw "…" https://hc-ping.com/your-uuid-here/log` changes no verdict.
#[tokio::test]
async fn healthchecks_log_by_uuid() {
    let client = client_at(true);
    ok(
        &client,
        Method::POST,
        &format!("/ping/{UUID}/log"),
        "Hello World",
    )
    .await;
    let row = backup(&client).await;
    assert_eq!(
        (&row["verdict"], &row["last_ping"]),
        (&json!("unknown"), &Value::Null)
    );
    assert_eq!(row["last_log"], "Hello World");
}

/// `https://hc-ping.com/<ping-key>/<slug>[/start|/fail|/log|/<exit-status>]`.
#[tokio::test]
async fn healthchecks_by_ping_key_and_slug() {
    let client = client_at(true);
    let key = ping_key(&client).await;
    for (what, verdict) in [
        ("", "healthy"),
        ("/start", "healthy"),
        ("/fail", "broken"),
        ("/log", "broken"),
        ("/0", "healthy"),
        ("/7", "broken"),
        ("?rid=123e4567-e89b-12d3-a456-426614174000", "healthy"),
        // Nothing is made by itself; what is there is reported for.
        ("?create=1", "healthy"),
    ] {
        let path = format!("/ping/{key}/database-backup{what}");
        ok(&client, Method::GET, &path, "").await;
        assert_eq!(backup(&client).await["verdict"], verdict, "{path}");
    }
    let answer = call(
        &client,
        Method::GET,
        &format!("/ping/{key}/new?create=1"),
        "",
    )
    .await;
    assert_eq!(
        (answer.status.as_u16(), answer.text.as_str()),
        (404, "not found")
    );
    let answer = call(&client, Method::GET, &format!("/ping/{key}/twin-x"), "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.text.as_str()),
        (409, "ambiguous slug")
    );
}

/// `curl "https://kuma.example/api/push/<token>?status=up&msg=OK&ping="`, as the page of a push monitor
/// shows it.
#[tokio::test]
async fn uptime_kuma_push() {
    let client = client_at(true);
    for (query, verdict, log, took) in [
        (
            "?status=up&msg=OK&ping=",
            "healthy",
            json!("OK"),
            json!(null),
        ),
        (
            "?status=up&msg=OK&ping=1250",
            "healthy",
            json!("OK"),
            json!(1250),
        ),
        (
            "?status=down&msg=disk%20full%1b&ping=",
            "broken",
            json!("disk full\\u{1b}"),
            json!(null),
        ),
        ("", "healthy", json!(null), json!(null)),
        ("?status=false&ping=-1", "broken", json!(null), json!(null)),
        ("?ping=nonsense", "healthy", json!(null), json!(null)),
    ] {
        for method in [Method::GET, Method::POST] {
            let answer = call(&client, method, &format!("/api/push/{TOKEN}{query}"), "").await;
            assert_eq!(answer.status, 200, "{query}");
            assert_eq!(answer.text, r#"{"ok":true}"#);
            assert_eq!(
                answer.headers["content-type"],
                "application/json; charset=utf-8"
            );
        }
        let row = backup(&client).await;
        assert_eq!(row["verdict"], verdict, "{query}");
        assert_eq!(
            (&row["last_log"], &row["last_took_ms"]),
            (&log, &took),
            "{query}"
        );
    }
    // Without an old token it is the UUID.
    for token in [UUID.to_owned(), UUID.replace('-', "")] {
        let answer = call(&client, Method::GET, &format!("/api/push/{token}"), "").await;
        assert_eq!(answer.text, r#"{"ok":true}"#);
    }
}

#[tokio::test]
async fn uptime_kuma_unknown_token() {
    let client = client_at(true);
    for token in ["nobody", "database-backup", &TOKEN.to_lowercase()] {
        let answer = call(
            &client,
            Method::GET,
            &format!("/api/push/{token}?status=up"),
            "",
        )
        .await;
        assert_eq!(answer.status, 404);
        let expected = json!({ "ok": false, "msg": "Monitor not found or not active." });
        assert_eq!(answer.json(), expected);
    }
}

#[tokio::test]
async fn ids_that_mean_nobody_are_all_alike_and_cost() {
    let client = client_at(false);
    let stranger = "11111111-2222-4333-8444-555555555555";
    let paths = [
        format!("/ping/{stranger}"),
        format!("/ping/{stranger}/start"),
        format!("/ping/{stranger}/999"),
        format!("/ping/{stranger}/nonsense"),
        format!("/ping/{UUID}x"),
        "/ping/key/database-backup".to_owned(),
        "/ping/key/database-backup/start".to_owned(),
        "/ping/database-backup".to_owned(),
        "/ping/%ff".to_owned(),
    ];
    let mut told: Vec<(u16, String)> = Vec::new();
    for path in &paths[..8] {
        let answer = call(&client, Method::GET, path, "").await;
        told.push((answer.status.as_u16(), answer.text));
    }
    told.dedup();
    assert_eq!(told, [(404, "not found".to_owned())]);
    assert_eq!(call(&client, Method::GET, &paths[8], "").await.status, 404);
    // Going on does not get faster; who is right is let through all the same.
    for _ in 0..5 {
        call(&client, Method::GET, &paths[0], "").await;
    }
    let answer = call(&client, Method::GET, &paths[0], "").await;
    assert_eq!(answer.status, 429);
    assert!(answer.headers.contains_key("retry-after"));
    let answer = call(&client, Method::GET, "/api/push/nobody", "").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["ok"]),
        (429, &json!(false))
    );
    ok(&client, Method::GET, &format!("/ping/{UUID}"), "").await;
    // Wrong ids are no wrong tokens.
    let request = crate::client::get("/api/v1/heartbeats").header("authorization", "Bearer bw_x");
    let answer = client.ask(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn who_reports_too_often_is_told_to_wait_and_stops_nobody_else() {
    let client = client_at(false);
    let mut refused = 0;
    for _ in 0..200 {
        let answer = call(&client, Method::GET, &format!("/ping/{UUID}"), "").await;
        if answer.status == 429 {
            assert_eq!(answer.headers["retry-after"], "1");
            refused += 1;
        }
    }
    assert_eq!(refused, 80);
    let rows = told(&client).await;
    let twin = rows[1]["report_to"]["ping"].as_str().unwrap().to_owned();
    ok(&client, Method::GET, &twin, "").await;
}

#[tokio::test]
async fn reporting_is_open_everywhere_and_opens_nothing_else() {
    let elsewhere = client_at(false);
    let request = Request::get(format!("/ping/{UUID}"))
        .header("host", "ping.example")
        .header("origin", "https://www.example")
        .extension(from([192, 0, 2, 1]));
    let answer = elsewhere.ask(request.body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "OK"));
    let answer = elsewhere
        .get(&format!("/api/v1/heartbeats?id={UUID}"))
        .await;
    assert_eq!(answer.status, 401);
    // Here a name that somebody else could own is refused, as everywhere.
    let here = client_at(true);
    let request = Request::get(format!("/ping/{UUID}")).header("host", "evil.example");
    here.ask(request.body(Body::empty()).unwrap())
        .await
        .problem(403);
    let answer = call(&here, Method::DELETE, &format!("/ping/{UUID}"), "").await;
    answer.problem(405);
    assert_eq!(answer.headers["allow"], "GET, POST, HEAD");
}

#[tokio::test]
async fn where_to_report_is_told_to_who_may_write_alone() {
    let client = client_at(true);
    let open = client.json("/api/v1/heartbeats").await;
    assert_eq!(open["heartbeats"].as_array().unwrap().len(), 3);
    assert!(!open.to_string().contains(UUID), "{open}");
    assert_eq!(open["heartbeats"][0]["report_to"], Value::Null);
    let reader = client.token_with(&[Scope::Read]);
    let request = crate::client::get("/api/v1/heartbeats")
        .header("authorization", format!("Bearer {reader}"));
    let answer = client.ask(request.body(Body::empty()).unwrap()).await;
    assert!(!answer.text.contains(UUID));
    let row = backup(&client).await;
    assert_eq!(row["report_to"]["ping"], format!("/ping/{UUID}"));
    assert_eq!(row["report_to"]["push"], format!("/api/push/{TOKEN}"));
    // Nowhere else do they stand.
    for path in ["/api/v1/configuration", "/", "/metrics"] {
        let text = client.get(path).await.text;
        assert!(!text.contains(UUID) && !text.contains(TOKEN), "{path}");
    }
    let first = client.json("/api/v1/heartbeats?limit=2").await;
    assert_eq!(first["next"], "Twin X");
    let rest = client
        .json("/api/v1/heartbeats?limit=2&page=Twin%20X")
        .await;
    assert_eq!(
        (&rest["heartbeats"][0]["name"], &rest["next"]),
        (&json!("twin x"), &Value::Null)
    );
}

#[tokio::test]
async fn what_cannot_be_kept_is_to_be_tried_again() {
    let client = client_at(true);
    client.memory.set_broken(true);
    let answer = call(&client, Method::GET, &format!("/ping/{UUID}"), "").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.headers["retry-after"], "1");
    let answer = call(&client, Method::GET, &format!("/api/push/{TOKEN}"), "").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["ok"]),
        (503, &json!(false))
    );
    client.memory.set_broken(false);
    ok(&client, Method::GET, &format!("/ping/{UUID}"), "").await;
    assert_eq!(client.memory.checkpoints("heartbeat/").unwrap().len(), 3);
}

#[tokio::test]
async fn heartbeats_in_metrics() {
    let client = client_at(true);
    ok(&client, Method::GET, &format!("/ping/{UUID}/2"), "").await;
    let metrics = client.get("/metrics").await.text;
    for line in [
        r#"bellwether_heartbeat_up{heartbeat="Database Backup"} 0"#,
        r#"bellwether_heartbeat_failed{heartbeat="Database Backup"} 1"#,
        r#"bellwether_heartbeat_late_seconds{heartbeat="Database Backup"} 0"#,
        r#"bellwether_heartbeat_pings_total{heartbeat="Database Backup"} 1"#,
        "bellwether_heartbeats_taken_total 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    // Of what never reported nothing is known.
    assert!(!metrics.contains(r#"bellwether_heartbeat_up{heartbeat="twin x"}"#));
}

/// The lines of `docs/heartbeats.md`, each called as it stands there.
#[tokio::test]
async fn the_lines_of_the_documentation_work() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/heartbeats.md");
    let page = std::fs::read_to_string(path).unwrap();
    let client = client_at(true);
    let key = ping_key(&client).await;
    let mut called = 0;
    for line in page.lines().filter(|line| line.contains("curl ")) {
        let Some(at) = line.find("http://127.0.0.1:8400/") else {
            continue;
        };
        let url = &line[at + "http://127.0.0.1:8400".len()..];
        let url = url.split(['"', '\'', ' ']).next().unwrap();
        let url = url
            .replace("UUID", UUID)
            .replace("PING_KEY", &key)
            .replace("SLUG", "database-backup")
            .replace("TOKEN", TOKEN)
            .replace("$?", "1");
        let method = match line.contains("--data") {
            true => Method::POST,
            false => Method::GET,
        };
        let answer = call(&client, method, &url, "output").await;
        assert_eq!(answer.status, 200, "{line}: {url}");
        called += 1;
    }
    assert!(called >= 8, "{called} lines");
}
