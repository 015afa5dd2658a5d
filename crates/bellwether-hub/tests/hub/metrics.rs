//! What Prometheus reads.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::client::Client;

#[tokio::test]
async fn everything_is_counted() {
    let client = Client::new();
    let figures = &client.shared.figures;
    figures.runs[2].store(7, Ordering::Relaxed);
    figures.append_errors.store(3, Ordering::Relaxed);
    figures.waiting.store(5, Ordering::Relaxed);
    for late in [0, 2, 24, 26, 90_000] {
        figures.lateness.observe(Duration::from_millis(late));
    }
    let answer = client.get("/metrics").await;
    let kind = answer.headers["content-type"].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"));
    for line in [
        r#"bellwether_build_info{version="0.0.0"} 1.0"#,
        r#"bellwether_runs_total{outcome="failed"} 7"#,
        "bellwether_append_errors_total 3",
        r#"bellwether_queue_depth{queue="runs"} 5.0"#,
        r#"bellwether_lateness_seconds_bucket{le="0.025"} 3"#,
        r#"bellwether_lateness_seconds_bucket{le="+Inf"} 5"#,
        "bellwether_lateness_seconds_count 5",
        r#"bellwether_incidents_unresolved{severity="critical"} 1.0"#,
        r#"bellwether_service_verdict{service="pay",verdict="broken"} 1.0"#,
        r#"bellwether_check_up{service="pay",check="api"} 0.0"#,
        r#"bellwether_check_up{service="pay",check="queue"} 1.0"#,
        r#"bellwether_check_stale{service="old",check="main"} 1.0"#,
        r#"bellwether_check_age_seconds{service="old",check="main"} 600.0"#,
        r#"bellwether_check_interval_seconds{service="shop",check="main"} 60.0"#,
        r#"bellwether_check_phase_seconds{service="shop",check="main",vantage="local",phase="tls"} 0.003"#,
        r#"bellwether_check_certificate_expiry_timestamp_seconds{service="shop",check="main",vantage="local"} 1800000000.0"#,
        "bellwether_configuration_generation 1.0",
        "bellwether_configuration_refused 1.0",
        "bellwether_receivers 0.0",
        "bellwether_ready 1.0",
        "# EOF",
    ] {
        assert!(
            answer.text.lines().any(|it| it == line),
            "{line} is not in\n{}",
            answer.text
        );
    }
    let stale = r#"bellwether_check_up{service="old","#;
    assert!(
        !answer.text.contains(stale),
        "what is unknown is neither up nor down"
    );
}

#[tokio::test]
async fn one_service_is_told_alone() {
    let client = Client::new();
    let text = client.get("/metrics?service=pay").await.text;
    for line in [
        r#"bellwether_service_verdict{service="pay",verdict="broken"} 1.0"#,
        r#"bellwether_check_up{service="pay",check="api"} 0.0"#,
        r#"bellwether_check_phase_seconds{service="pay",check="queue",vantage="local",phase="tls"} 0.003"#,
        "bellwether_metrics_checks_in_brief 0.0",
        "# EOF",
    ] {
        assert!(
            text.lines().any(|it| it == line),
            "{line} is not in\n{text}"
        );
    }
    assert!(
        !text.contains("shop") && !text.contains("bellwether_ready"),
        "{text}"
    );
    assert_eq!(client.get("/metrics?service=none").await.status, 404);
}

#[tokio::test]
async fn every_line_is_one_and_names_are_escaped() {
    let client = Client::new();
    {
        let mut board = client.shared.board.write().unwrap();
        let service = board.services["pay"].clone();
        let name = "a\"b\\c\nbellwether_ready 0";
        board.services.insert(name.to_owned(), service);
    }
    let text = client.get("/metrics").await.text;
    assert!(text.contains(r#"service="a\"b\\c\nbellwether_ready 0""#));
    let mut declared = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            declared = rest.split(' ').next().unwrap();
        }
        if !line.starts_with('#') {
            assert!(
                line.starts_with(declared),
                "{line} does not belong to {declared}"
            );
            let value = line.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}

#[tokio::test]
async fn a_store_that_hangs_blinds_nobody() {
    let client = Client::new();
    client.memory.set_hanging(true);
    let metrics = client.get("/metrics").await;
    let page = client.get("/").await;
    client.memory.set_hanging(false);
    assert_eq!(metrics.status, 200, "{}", metrics.text);
    assert!(metrics.text.contains("bellwether_append_errors_total"));
    assert!(!metrics.text.contains("bellwether_incidents_unresolved"));
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(page.text.contains("shop"));
}
