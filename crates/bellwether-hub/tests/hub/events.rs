//! The event stream.

use std::time::Duration;

use axum::body::Body;
use bellwether_hub::shared::Event;
use http_body_util::BodyExt as _;

use crate::client::{Client, get};

/// What is read of a stream, piece by piece.
struct Stream(Body);

impl Stream {
    async fn open(client: &Client) -> Self {
        let request =
            get("/api/v1/events").header("authorization", format!("Bearer {}", client.token));
        let response = client.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self(response.into_body())
    }

    async fn next(&mut self) -> String {
        let frame = self.0.frame().await.expect("it does not end").unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    }
}

/// The first event of a new stream.
pub(crate) async fn first(client: &Client) -> String {
    Stream::open(client).await.next().await
}

fn changed(generation: u64) -> Event {
    Event::Configuration {
        generation,
        refused: false,
    }
}

#[tokio::test]
async fn first_comes_the_state_then_what_happens() {
    let client = Client::new();
    let mut stream = Stream::open(&client).await;
    let snapshot = stream.next().await;
    assert!(snapshot.starts_with("event: snapshot\n"), "{snapshot}");
    assert!(
        snapshot.contains(r#""name":"pay","verdict":"broken""#)
            && snapshot.contains(r#""incidents":[1]"#)
    );
    let incident = bellwether_hub::testing::incident(7, crate::client::now(), client.evidence);
    client
        .shared
        .events
        .send(Event::Incident {
            incident: (&incident).into(),
        })
        .unwrap();
    client.shared.events.send(changed(2)).unwrap();
    let event = stream.next().await;
    assert!(
        event.starts_with("event: incident\n") && event.contains(r#""id":7"#),
        "{event}"
    );
    // A slow reader holds a thousand of them: what grows with the incident is had by its number.
    assert!(
        !event.contains("timeline") && !event.contains("checks"),
        "{event}"
    );
    let event = stream.next().await;
    assert!(
        event.starts_with("event: configuration\n") && event.contains(r#""generation":2"#),
        "{event}"
    );
}

#[tokio::test]
async fn a_slow_reader_misses_events_and_is_told() {
    let client = Client::new();
    let mut slow = Stream::open(&client).await;
    let mut quick = Stream::open(&client).await;
    slow.next().await;
    quick.next().await;
    for generation in 0..100 {
        client.shared.events.send(changed(generation)).unwrap();
        assert!(
            quick
                .next()
                .await
                .contains(&format!("\"generation\":{generation},"))
        );
    }
    assert_eq!(
        slow.next().await,
        "event: lagged\ndata: {\"missed\":84}\n\n"
    );
    assert!(slow.next().await.starts_with("event: snapshot\n"));
    assert!(slow.next().await.contains("\"generation\":84,"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_says_that_it_lives() {
    let client = Client::new();
    let mut stream = Stream::open(&client).await;
    stream.next().await;
    let began = tokio::time::Instant::now();
    assert!(stream.next().await.starts_with(':'));
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_so_that_access_is_asked_for_again() {
    let client = Client::new();
    let mut stream = Stream::open(&client).await;
    let mut frames = 0;
    while let Some(frame) = stream.0.frame().await {
        frame.unwrap();
        frames += 1;
        assert!(frames < 100, "it goes on and on");
    }
    assert!(frames > 10, "it lasts a while");
}

#[tokio::test]
async fn streams_are_bounded_and_given_back() {
    let client = Client::new();
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(Stream::open(&client).await);
    }
    client.get("/api/v1/events").await.problem(503);
    assert_eq!(
        client.get("/api/v1/services").await.status,
        200,
        "all else goes on"
    );
    open.pop();
    open.push(Stream::open(&client).await);
    assert_eq!(client.shared.events.receiver_count(), 64);
    drop(open);
    assert_eq!(client.shared.events.receiver_count(), 0);
}
