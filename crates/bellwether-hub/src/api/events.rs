//! What happens, as it happens: server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http::Uri;
use serde::Serialize;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::problem::Problem;
use super::query::Query;
use super::{Hub, services};
use crate::shared::Event;

/// Streams at once: each holds a connection for as long as its reader likes.
pub(super) const STREAMS_MAX: usize = 64;

/// How often a silent stream says that it lives: below the minute after which proxies cut.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a stream lasts: so long may whoever lost their token still listen. Browsers open
/// another by themselves.
const STREAM_TIME: Duration = Duration::from_secs(900);

/// What happens, as it happens, as server-sent events. First comes `snapshot`: services with
/// their verdicts, numbers of open incidents, the configuration's generation. Then `service`,
/// `incident` and `configuration`, as things change. A reader who is too slow misses some: it is
/// told `lagged` with their number, and a new `snapshot` follows. A stream ends after a quarter of
/// an hour: open another.
#[utoipa::path(get, path = "/api/v1/events", tag = "events",
    responses((status = 200, description = "events", body = String, content_type = "text/event-stream")),
    security((), ("bearer" = ["read"])))]
pub(crate) async fn events(State(hub): State<Arc<Hub>>, uri: Uri) -> Result<Response, Problem> {
    Query::none(&uri)?;
    let permit = Arc::clone(&hub.streams).try_acquire_owned();
    let permit = permit.map_err(|_| Problem::busy("too many event streams are open already"))?;
    // First the ear, then the look: what happens in between is told twice rather than not at all.
    let receiver = hub.shared.events.subscribe();
    let reader = Reader {
        hub,
        receiver,
        then: Then::Snapshot,
        until: Instant::now() + STREAM_TIME,
        _permit: permit,
    };
    let events = stream::unfold(reader, async |mut reader| {
        let sent = reader.next().await?;
        Some((Ok::<_, Infallible>(sent), reader))
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

struct Reader {
    hub: Arc<Hub>,
    receiver: Receiver<Event>,
    then: Then,
    until: Instant,
    _permit: OwnedSemaphorePermit,
}

/// What a reader is told next.
enum Then {
    Snapshot,
    Events,
}

impl Reader {
    /// The next event; `None` at the end of its time, or of the process.
    async fn next(&mut self) -> Option<Sent> {
        if matches!(self.then, Then::Snapshot) {
            self.then = Then::Events;
            return Some(snapshot(&self.hub));
        }
        let received = tokio::time::timeout_at(self.until, self.receiver.recv());
        match received.await.ok()? {
            Ok(event) => Some(sent(name(&event), &event)),
            Err(RecvError::Lagged(missed)) => {
                self.then = Then::Snapshot;
                Some(sent("lagged", &json!({ "missed": missed })))
            }
            Err(RecvError::Closed) => None,
        }
    }
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::Service { .. } => "service",
        Event::Incident { .. } => "incident",
        Event::Configuration { .. } => "configuration",
    }
}

fn sent(name: &str, data: &impl Serialize) -> Sent {
    let event = Sent::default().event(name);
    event
        .json_data(data)
        .unwrap_or_else(|_| Sent::default().comment("an event could not be written"))
}

fn snapshot(hub: &Hub) -> Sent {
    let now = hub.now();
    let configured = hub.shared.configured.load();
    let board = hub.board();
    let mut incidents: Vec<u64> = Vec::new();
    let mut told = Vec::new();
    for (name, state) in &board.services {
        let service = services::service(&board, name, state, now);
        incidents.extend(&state.incidents);
        told.push(json!({
            "name": service.name,
            "verdict": service.verdict,
            "cause": service.cause,
            "since": service.since,
            "stale": service.stale,
        }));
    }
    incidents.sort_unstable();
    incidents.dedup();
    let snapshot = json!({
        "at": now,
        "services": told,
        "incidents": incidents,
        "configuration": {
            "generation": configured.generation,
            "refused": configured.refused.is_some(),
        },
    });
    sent("snapshot", &snapshot)
}
