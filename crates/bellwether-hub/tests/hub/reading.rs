//! What can be read.

use std::time::Duration;

use bellwether_store::StateStore;
use serde_json::{Value, json};

use crate::client::{Client, now};

#[test]
fn the_document_is_the_golden_one() {
    let text = serde_json::to_string_pretty(&bellwether_hub::api::openapi()).unwrap() + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    assert!(
        text == golden,
        "openapi.json differs; look at it, then BLESS=1"
    );
    assert!(text.contains("\"openapi\": \"3.1.0\""));
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = bellwether_hub::api::openapi();
    let mut open = vec![&document];
    let mut seen = 0;
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => open.extend(map.values()),
            Value::Array(list) => open.extend(list),
            _ => continue,
        }
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
            seen += 1;
        }
    }
    assert!(seen > 20);
}

#[tokio::test]
async fn services_are_told_as_they_stand() {
    let client = Client::new();
    let list = client.json("/api/v1/services").await;
    assert_eq!(list["next"], Value::Null);
    let services = list["services"].as_array().unwrap();
    let told: Vec<_> = services
        .iter()
        .map(|it| {
            (
                it["name"].as_str().unwrap(),
                it["verdict"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [("old", "unknown"), ("pay", "broken"), ("shop", "healthy")]
    );
    let pay = client.json("/api/v1/services/pay").await;
    assert_eq!(pay, services[1]);
    assert_eq!(pay["cause"], "unknown");
    assert_eq!(pay["judged_at"], "2026-11-01T12:00:00Z");
    assert_eq!(pay["since"], "2026-11-01T11:00:00Z");
    assert_eq!(pay["stale"], false);
    assert_eq!(pay["incidents"], json!([1]));
    client.get("/api/v1/services/none").await.problem(404);
}

#[tokio::test]
async fn p05_what_is_stale_is_told_as_unknown_everywhere() {
    // A check every 60 s, judged at noon: it holds for an interval and 10 s, and no second longer.
    for (after, stale) in [(70, false), (71, true)] {
        let client = Client::at(true, now() + Duration::from_secs(after));
        let shop = client.json("/api/v1/services/shop").await;
        assert_eq!(shop["stale"], stale);
        assert_eq!(shop["verdict"], if stale { "unknown" } else { "healthy" });
        let checks = client.json("/api/v1/checks?service=shop").await;
        assert_eq!(checks["checks"][0]["verdict"], shop["verdict"]);
        let page = client.get("/").await.text;
        let metrics = client.get("/metrics").await.text;
        let up = r#"bellwether_check_up{service="shop",check="main"} 1.0"#;
        assert_eq!(metrics.contains(up), !stale);
        assert_eq!(page.contains("✓ healthy"), !stale, "nothing is green");
        if stale {
            assert_eq!(shop["since"], "2026-11-01T12:01:10Z");
            let row = page.split("/services/shop").nth(1).unwrap();
            assert!(
                row.contains("? unknown") && row.contains("no result for 71 s"),
                "{row}"
            );
            let of_it = client.get("/services/shop").await.text;
            assert!(!of_it.contains("✓ healthy") && of_it.contains("? unknown"));
            assert!(metrics.contains(r#"bellwether_check_stale{service="shop",check="main"} 1.0"#));
        }
    }
}

#[tokio::test]
async fn lists_are_paged() {
    let client = Client::new();
    for (path, key, name) in [
        ("/api/v1/services", "services", "name"),
        ("/api/v1/checks", "checks", "id"),
        ("/api/v1/incidents", "incidents", "id"),
    ] {
        let all = client.json(path).await;
        let all: Vec<&Value> = all[key]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it[name])
            .collect();
        let mut found = Vec::new();
        let mut next = String::new();
        loop {
            let page = client.json(&format!("{path}?limit=1{next}")).await;
            let items = page[key].as_array().unwrap();
            assert_eq!(items.len(), 1, "{path}");
            found.push(items[0][name].clone());
            match page["next"].as_str() {
                Some(page) => next = format!("&page={}", page.replace('/', "%2F")),
                None => break,
            }
        }
        assert_eq!(found.iter().collect::<Vec<_>>(), all, "{path}");
    }
}

#[tokio::test]
async fn runs_are_paged_newest_first_and_none_is_missed() {
    let client = Client::new();
    let path = "/api/v1/checks/pay/api/observations?from=2026-11-01T00:00:00Z";
    let mut sequences = Vec::new();
    let mut next = String::new();
    loop {
        let page = client.json(&format!("{path}&limit=7{next}")).await;
        for run in page["observations"].as_array().unwrap() {
            sequences.push(run["sequence"].as_u64().unwrap());
        }
        match page["next"].as_str() {
            Some(page) => next = format!("&page={page}"),
            None => break,
        }
    }
    assert_eq!(sequences, (1..=180).rev().collect::<Vec<u64>>());
    let one = client
        .json("/api/v1/checks/pay/api/observations?limit=1&vantage=local")
        .await;
    let run = &one["observations"][0];
    assert_eq!(
        (&run["outcome"], &run["symptom"]),
        (&json!("failed"), &json!("http.status_503"))
    );
    assert_eq!(run["late_ms"], 1.5);
    assert_eq!(run["phases_ms"]["tls"], 3.0);
    client
        .get("/api/v1/checks/pay/none/observations")
        .await
        .problem(404);
    client
        .get("/api/v1/checks/pay/api/observations?vantage=mars")
        .await
        .problem(404);
}

#[tokio::test]
async fn runs_that_began_together_are_paged_too() {
    use bellwether_hub::testing::run;
    use bellwether_model::run::RunOutcome;
    use bellwether_model::{CheckId, Envelope};
    use bellwether_store::ObservationStore as _;
    let client = Client::new();
    let check = CheckId::new("shop", "burst");
    let at = now() - Duration::from_secs(60);
    let runs = (1..=5)
        .map(|sequence| run(&check, sequence, at, RunOutcome::Ok))
        .collect();
    let envelope = Envelope {
        agent: "other".into(),
        boot: 1,
        number: 1,
        runs,
    };
    client.memory.append(&[envelope]).unwrap();
    let mut found = Vec::new();
    let mut next = String::new();
    for _ in 0..3 {
        let page = client
            .json(&format!(
                "/api/v1/checks/shop/burst/observations?limit=2{next}"
            ))
            .await;
        found.extend(
            page["observations"]
                .as_array()
                .unwrap()
                .iter()
                .map(|run| run["sequence"].as_u64().unwrap()),
        );
        next = page["next"]
            .as_str()
            .map_or_else(String::new, |page| format!("&page={page}"));
    }
    assert_eq!((found, next), (vec![5, 4, 3, 2, 1], String::new()));
}

#[tokio::test]
async fn series_have_percentiles_and_counts() {
    let client = Client::new();
    let path = "/api/v1/checks/pay/api/series?from=2026-11-01T09:00:00Z&to=2026-11-01T12:00:00Z";
    for step in ["1m", "5m", "1h", "1d"] {
        let series = client.json(&format!("{path}&step={step}")).await;
        assert_eq!(
            (&series["step"], &series["next"]),
            (&json!(step), &Value::Null)
        );
        let points = series["points"].as_array().unwrap();
        let expected = match step {
            "1m" => 180,
            "5m" => 36,
            "1h" => 3,
            _ => 1,
        };
        assert_eq!(points.len(), expected, "{step}");
        let sum = |name: &str| {
            points
                .iter()
                .map(|it| it["counts"][name].as_u64().unwrap())
                .sum::<u64>()
        };
        assert_eq!(
            (sum("ok"), sum("failed"), sum("wrong")),
            (170, 10, 0),
            "{step}"
        );
        let last = points.last().unwrap();
        assert!(last["symptoms"]["http.status_503"].as_u64().unwrap() > 0);
    }
    // Every minute of an hour: 10 to 19 ms in turn.
    let hour = client.json(&format!("{path}&step=5m")).await;
    let took = &hour["points"][0]["took_ms"];
    assert_eq!(
        (&took["p50"], &took["max"]),
        (&json!(13.0), &json!(15.0)),
        "{took}"
    );
    let down = hour["points"].as_array().unwrap().last().unwrap();
    assert_eq!(down["took_ms"], Value::Null, "no run was ok");
}

#[tokio::test]
async fn hostile_u17_what_would_cost_too_much_is_refused() {
    let client = Client::new();
    for query in [
        "from=2000-01-01T00:00:00Z&step=1m",
        "from=2026-01-01T00:00:00Z&step=5m",
        "from=-009999-01-02T01:59:59Z&to=9999-12-30T22:00:00Z&step=1d",
        "from=1900-01-01T00:00:00Z&step=1h",
    ] {
        let answer = client
            .get(&format!("/api/v1/checks/pay/api/series?{query}"))
            .await;
        assert_eq!(answer.pointers(422).len(), 1, "{query}");
    }
}

#[tokio::test]
async fn parameters_are_read_strictly() {
    let client = Client::new();
    for (path, wrong) in [
        ("/api/v1/services?limt=1", "?limt"),
        ("/api/v1/services?limit=0", "?limit"),
        ("/api/v1/services?limit=1001", "?limit"),
        ("/api/v1/services?limit=1&limit=2", "?limit"),
        ("/api/v1/incidents?state=closed", "?state"),
        ("/api/v1/incidents?page=x", "?page"),
        ("/api/v1/checks/pay/api/observations?page=1", "?page"),
        (
            "/api/v1/checks/pay/api/observations?from=yesterday",
            "?from",
        ),
        (
            "/api/v1/checks/pay/api/observations?from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z",
            "?from",
        ),
        ("/api/v1/checks/pay/api/series?step=2m", "?step"),
        ("/api/v1/configuration?x", "?x"),
        ("/metrics?x=1", "?x"),
    ] {
        assert_eq!(client.get(path).await.pointers(422), [wrong], "{path}");
    }
    client.get("/api/v1/services/%ff").await.problem(404);
    client.get("/api/v1/incidents/01").await.problem(404);
    client.get("/api/v1/evidence/xyz").await.problem(404);
}

#[tokio::test]
async fn incidents_are_read() {
    let client = Client::new();
    let ids = |list: Value| -> Vec<u64> {
        list["incidents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["id"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(ids(client.json("/api/v1/incidents").await), [2, 1]);
    assert_eq!(ids(client.json("/api/v1/incidents?state=open").await), [1]);
    assert_eq!(
        ids(client.json("/api/v1/incidents?state=resolved").await),
        [2]
    );
    assert_eq!(
        ids(client.json("/api/v1/incidents?state=unresolved").await),
        [1]
    );
    let one = client.json("/api/v1/incidents/1").await;
    assert_eq!(one["timeline"][0]["kind"], "first_failure");
    client.get("/api/v1/incidents/3").await.problem(404);
}

#[tokio::test]
async fn evidence_is_downloaded_by_its_hash() {
    let client = Client::new();
    let path = format!("/api/v1/evidence/{}", client.evidence);
    let answer = client.get(&path).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["schema"], "bellwether.check/1");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert!(
        answer.headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    let name = answer.headers["content-disposition"].to_str().unwrap();
    assert_eq!(
        name,
        format!("attachment; filename=\"{}.json\"", client.evidence)
    );
    client
        .get(&format!("/api/v1/evidence/{}", "0".repeat(64)))
        .await
        .problem(404);
}

#[tokio::test]
async fn the_rest_of_the_lists() {
    let client = Client::new();
    let vantages = client.json("/api/v1/vantages").await;
    assert_eq!(vantages["vantages"][0]["name"], "local");
    assert_eq!(vantages["vantages"][0]["checks"], 4);
    let agents = client.json("/api/v1/agents").await;
    assert_eq!(agents["agents"].as_array().unwrap().len(), 1);
    assert_eq!(
        client.json("/api/v1/heartbeats").await,
        json!({"heartbeats": [], "next": null})
    );
    let configuration = client.json("/api/v1/configuration").await;
    assert_eq!(configuration["generation"], 1);
    assert_eq!(configuration["services"].as_array().unwrap().len(), 3);
    let in_force = &configuration["in_force"];
    assert_eq!(in_force["defaults"]["every"], "1m");
    assert_eq!(
        in_force["services"][0]["url"],
        "https://www.shop.example/?key=…"
    );
    let brief = client.json("/api/v1/configuration?brief=true").await;
    assert_eq!(brief["in_force"], Value::Null);
    assert_eq!(brief["services"].as_array().unwrap().len(), 0);
    assert_eq!(brief["refused"], configuration["refused"]);
    assert!(
        configuration["refused"]["problems"][0]
            .as_str()
            .unwrap()
            .contains("ulr")
    );
    let document = client.json("/api/v1/openapi.json").await;
    assert_eq!(document, bellwether_hub::api::openapi());
}

#[tokio::test]
async fn health_says_yes_or_no() {
    use std::sync::atomic::Ordering;
    let client = Client::new();
    assert_eq!(client.get("/healthz").await.status, 200);
    assert_eq!(client.get("/readyz").await.status, 200);
    client
        .shared
        .health
        .set_trouble(Some("/var/lib/bellwether is full".to_owned()));
    let answer = client.get("/readyz").await;
    answer.problem(503);
    assert!(!answer.text.contains("/var/lib"));
    assert!(
        client
            .get("/")
            .await
            .text
            .contains("/var/lib/bellwether is full")
    );
    client.shared.health.set_trouble(None);
    client.shared.health.ready.store(false, Ordering::Release);
    client.get("/readyz").await.problem(503);
    assert_eq!(client.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn what_the_store_does_not_take_is_told_all_the_same() {
    let client = Client::new();
    let mut known = StateStore::incident(&*client.memory, 1).unwrap().unwrap();
    known.summary = "as it is now".to_owned();
    let mut fresh = known.clone();
    fresh.id = 7;
    client
        .shared
        .set_unkept([(1, known), (7, fresh)].into_iter().collect());
    let list = client.json("/api/v1/incidents?state=unresolved").await;
    let told = |list: &serde_json::Value| -> Vec<(u64, String)> {
        let all = list["incidents"].as_array().unwrap().iter();
        all.map(|it| (it["id"].as_u64().unwrap(), it["summary"].to_string()))
            .collect()
    };
    let words = "\"as it is now\"".to_owned();
    assert_eq!(told(&list), [(7, words.clone()), (1, words.clone())]);
    let first = client
        .json("/api/v1/incidents?state=unresolved&limit=1")
        .await;
    assert_eq!(told(&first), [(7, words.clone())]);
    let next = first["next"].as_str().unwrap();
    let path = format!("/api/v1/incidents?state=unresolved&limit=1&page={next}");
    assert_eq!(told(&client.json(&path).await), [(1, words)]);
    assert_eq!(client.json("/api/v1/incidents/7").await["id"], 7);
    client.shared.set_unkept(std::collections::BTreeMap::new());
    client.get("/api/v1/incidents/7").await.problem(404);
}

#[tokio::test]
async fn troubles_are_told_in_words() {
    let client = Client::new();
    let none = client.json("/api/v1/troubles").await;
    assert_eq!(none, serde_json::json!({ "troubles": [] }));
    let trouble = bellwether_hub::shared::Trouble {
        since: now(),
        what: "no space left for `d/state.db`".to_owned(),
    };
    client
        .shared
        .troubles
        .write()
        .unwrap()
        .insert("state", trouble);
    let told = client.json("/api/v1/troubles").await["troubles"][0].clone();
    assert_eq!(
        told,
        serde_json::json!({
            "part": "state", "since": now(), "what": "no space left for `d/state.db`"
        })
    );
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_a_503_without_its_words() {
    let client = Client::new();
    client.memory.set_broken(true);
    for path in [
        "/api/v1/incidents",
        "/api/v1/incidents/1",
        "/api/v1/checks/pay/api/observations",
        "/api/v1/checks/pay/api/series",
    ] {
        let answer = client.get(path).await;
        answer.problem(503);
        assert!(!answer.text.contains("state.db"), "{path}");
    }
    for path in [
        "/api/v1/services",
        "/api/v1/checks",
        "/metrics",
        "/",
        "/services/pay",
    ] {
        assert_eq!(client.get(path).await.status, 200, "{path} needs no store");
    }
}
