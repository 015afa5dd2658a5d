//! Agents elsewhere, over API, page and metrics.

use bellwether_hub::links::Linked;
use bellwether_hub::testing;
use bellwether_model::VantageId;
use bellwether_model::link::AgentState;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::client::{Client, now};

const CONFIG: &str = "
hub: { agents_listen: \"0.0.0.0:8401\" }
vantages:
  - { name: fra, region: eu, network: AS3320, access: eyeball }
  - { name: nyc }
services: [{ name: shop, url: https://www.shop.example/ }]
";

fn client() -> Client {
    let hub = testing::hub(now(), CONFIG);
    hub.enrol("fra");
    hub.enrol("lon");
    Client::of(hub, true, now())
}

/// Its agent is linked, until this is dropped.
fn linked(client: &Client) -> Linked {
    let vantage = VantageId::new("fra");
    let (asks, _asked) = mpsc::channel(1);
    let links = client.shared.links.clone();
    let linked = links.enter(&vantage, 7, asks, now);
    links.heard(&vantage, |presence| {
        presence.program = "1.2.3".to_owned();
        presence.offset_ms = Some(-61_000);
        presence.state = Some(AgentState {
            spooled: 3,
            spooled_bytes: 4_096,
            oldest: Some(now()),
            checks: 12,
            late_p99_us: 2_500,
            ..AgentState::default()
        });
    });
    linked
}

/// The agent of a vantage, as the API tells it.
async fn agent(client: &Client, vantage: &str) -> Value {
    let all = client.json("/api/v1/agents").await;
    let all = all["agents"].as_array().unwrap();
    let found = all.iter().find(|agent| agent["name"] == vantage);
    found.unwrap_or_else(|| panic!("no `{vantage}`")).clone()
}

#[tokio::test]
async fn every_agent_is_told_as_it_stands() {
    let client = client();
    let all = client.json("/api/v1/agents").await;
    let states: Vec<(&str, &str)> = all["agents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["name"].as_str().unwrap(), it["state"].as_str().unwrap()))
        .collect();
    let wanted = [
        ("local", "linked"),
        ("fra", "enrolled"),
        ("lon", "unconfigured"),
        ("nyc", "missing"),
    ];
    assert_eq!(states, wanted);
    let linked = linked(&client);
    let fra = agent(&client, "fra").await;
    for (key, value) in [
        ("state", json!("linked")),
        ("region", json!("eu")),
        ("network", json!(3320)),
        ("version", json!("1.2.3")),
        ("linked", json!(true)),
        ("offset_ms", json!(-61_000)),
        ("behind", json!(true)),
        ("checks", json!(12)),
        ("late_p99_ms", json!(2.5)),
        ("certificate_ends", json!("2026-12-01T12:00:00Z")),
    ] {
        assert_eq!(fra[key], value, "{key}");
    }
    assert_eq!(fra["spool"]["deliveries"], 3);
    drop(linked);
    assert_eq!(agent(&client, "fra").await["linked"], false);
}

#[tokio::test]
async fn vantages_page_and_metrics_tell_the_same() {
    let client = client();
    let _linked = linked(&client);
    let vantages = client.json("/api/v1/vantages").await;
    let fra = &vantages["vantages"][0];
    assert_eq!(
        (&fra["name"], &fra["access"]),
        (&json!("fra"), &json!("eyeball"))
    );
    assert_eq!(
        (&fra["linked"], &fra["configured"]),
        (&json!(true), &json!(true))
    );
    let page = client.get("/").await.text;
    assert!(
        page.contains("61.0 s ahead") && page.contains("3, oldest"),
        "{page}"
    );
    let metrics = client.get("/metrics").await.text;
    for line in [
        r#"bellwether_agent_linked{vantage="fra"} 1.0"#,
        r#"bellwether_agent_linked{vantage="nyc"} 0.0"#,
        r#"bellwether_agent_spool_bytes{vantage="fra"} 4096.0"#,
        r#"bellwether_agent_clock_offset_seconds{vantage="fra"} -61.0"#,
        r#"bellwether_agent_refused_total{vantage="fra",reason="vantage"} 0"#,
        r#"bellwether_agents_turned_away_total{why="token"} 0"#,
    ] {
        assert!(metrics.contains(line), "{line}");
    }
}

#[tokio::test]
async fn a_token_is_made_for_a_vantage_and_shown_once() {
    let client = client();
    let made = client
        .post("/api/v1/agents/tokens", &json!({ "vantage": "nyc" }))
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("bwe_") && token.len() == 91, "{token}");
    assert_eq!(made["ends"], "2026-11-01T12:15:00Z");
    let command = format!("bellwether agent enrol --hub https://HOST:8401 --token {token}");
    assert_eq!(
        (&made["command"], &made["loopback"]),
        (&json!(command), &json!(false))
    );
    for (body, wrong) in [
        (json!({}), "/vantage"),
        (json!({ "vantage": "local" }), "/vantage"),
        (json!({ "vantage": "elsewhere" }), "/vantage"),
        (json!({ "vantage": "nyc", "life": 1 }), "/life"),
    ] {
        let answer = client.post("/api/v1/agents/tokens", &body).await;
        assert_eq!(answer.pointers(422), [wrong], "{body}");
    }
    client.memory.set_broken(true);
    // The list of tokens is believed for a moment: who asks is known.
    let answer = client
        .post("/api/v1/agents/tokens", &json!({ "vantage": "nyc" }))
        .await;
    answer.problem(503);
}

#[tokio::test]
async fn an_agent_is_revoked() {
    let client = client();
    let revoke = async |vantage: &str| {
        let path = format!("/api/v1/agents/{vantage}/revoke");
        client.post(&path, &json!({})).await
    };
    let revoked = revoke("fra").await.json();
    assert_eq!(
        (&revoked["state"], &revoked["revoked"]),
        (&json!("revoked"), &json!("2026-11-01T12:00:00Z"))
    );
    assert_eq!(
        revoke("fra").await.json(),
        revoked,
        "a second time changes nothing"
    );
    assert_eq!(agent(&client, "fra").await, revoked);
    for nobody in ["nyc", "local", "elsewhere", "%2e%2e"] {
        revoke(nobody).await.problem(404);
    }
}
