//! Incidents: read, taken on, written on.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use bellwether_model::Incident;
use bellwether_model::incident::IncidentState;
use http::Uri;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use utoipa::ToSchema;

use super::body::{Fields, Json as Body, MaybeJson};
use super::document::schema;
use super::problem::Problem;
use super::query::Query;
use super::{Hub, Parameters};
use crate::access::Caller;
use crate::shared::{Act, ActError, ActKind};

/// Longest note, characters: a screen of text.
const NOTE_LEN_MAX: usize = 4_000;

/// Incidents that one answer looks through for those in the state asked for.
const LOOKED_THROUGH_MAX: usize = 10_000;

const STATES: [(&str, IncidentState); 4] = [
    ("open", IncidentState::Open),
    ("acknowledged", IncidentState::Acknowledged),
    ("mitigated", IncidentState::Mitigated),
    ("resolved", IncidentState::Resolved),
];

/// Incidents.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Incidents {
    /// Newest first, without their timelines.
    #[schema(value_type = Vec<schema::Incident>)]
    incidents: Vec<Incident>,
    /// Where there are more: the `page` to ask for next.
    next: Option<String>,
}

/// What to write down.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "the shape that the document shows; bodies are read by `Fields`"
)]
pub(crate) struct NewNote {
    /// The words.
    #[schema(min_length = 1, max_length = 4000)]
    text: String,
}

/// Nothing.
#[derive(ToSchema)]
pub(crate) struct Nothing {}

/// Incidents, newest first, without their timelines.
#[utoipa::path(get, path = "/api/v1/incidents", tag = "incidents", params(
    ("state" = Option<String>, Query, pattern = "^(open|acknowledged|mitigated|resolved|unresolved)$",
        description = "only in this state; `unresolved` is all but `resolved`"),
    ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000, description = "most incidents of one answer; 100 if left out"),
    ("page" = Option<String>, Query, description = "where an earlier answer said `next`")),
    responses((status = 200, description = "incidents", body = Incidents)),
    security((), ("bearer" = ["read"])))]
pub(crate) async fn list(
    State(hub): State<Arc<Hub>>,
    uri: Uri,
) -> Result<Json<Incidents>, Problem> {
    let mut query = Query::read(&uri, &["state", "limit", "page"]);
    let unresolved = query
        .text("state")
        .is_some_and(|state| state == "unresolved");
    let state = if unresolved {
        None
    } else {
        query.word("state", &STATES)
    };
    let limit = query.limit();
    let mut before = query.page(|text| text.parse::<u64>().ok());
    query.done()?;
    let fits = move |incident: &Incident| match state {
        Some(state) => incident.state == state,
        None => !unresolved || incident.state != IncidentState::Resolved,
    };
    let read = hub.ask(move |shared| {
        let mut found = Vec::new();
        let mut looked = 0;
        // What the store does not take yet is told all the same: new ones come first, and others
        // are told as they are now.
        let mut unsaved = shared.unsaved();
        let newest = shared.state.incidents(None, 1)?;
        let newest = newest.first().map_or(0, |incident| incident.id);
        let fresh = unsaved.split_off(&newest.saturating_add(1));
        let asked = before;
        let is_asked = |incident: &Incident| asked.is_none_or(|before| incident.id < before);
        let mut fresh: Vec<Incident> = fresh.into_values().rev().filter(is_asked).collect();
        let next = loop {
            let mut some = std::mem::take(&mut fresh);
            let is_fresh = !some.is_empty();
            if !is_fresh {
                some = shared.state.incidents(before, limit + 1)?;
            }
            let last = !is_fresh && some.len() <= limit;
            for incident in some {
                let incident = unsaved.remove(&incident.id).unwrap_or(incident);
                if found.len() == limit {
                    return Ok((found, before));
                }
                looked += 1;
                before = Some(incident.id);
                if fits(&incident) {
                    found.push(without_timeline(incident));
                }
            }
            if last {
                break None;
            }
            if looked >= LOOKED_THROUGH_MAX {
                break before;
            }
        };
        Ok((found, next))
    });
    let (incidents, next) = read.await?;
    Ok(Json(Incidents {
        incidents,
        next: next.map(|id| id.to_string()),
    }))
}

fn without_timeline(mut incident: Incident) -> Incident {
    incident.timeline = Vec::new();
    incident
}

/// An incident with its timeline.
#[utoipa::path(get, path = "/api/v1/incidents/{id}", tag = "incidents",
    params(("id" = u64, Path, description = "its number", example = 1)),
    responses((status = 200, description = "the incident", body = schema::Incident)),
    security((), ("bearer" = ["read"])))]
pub(crate) async fn one(
    State(hub): State<Arc<Hub>>,
    names: Parameters<1>,
    uri: Uri,
) -> Result<Json<Incident>, Problem> {
    let Parameters([id]) = names;
    Query::none(&uri)?;
    Ok(Json(find(&hub, &id).await?))
}

/// Finds an incident by the number in a path.
///
/// # Errors
/// There is none.
pub(crate) async fn find(hub: &Hub, id: &str) -> Result<Incident, Problem> {
    let unknown = || Problem::not_found("incident", id);
    let number = number(id).ok_or_else(unknown)?;
    let unsaved = hub.shared.unsaved().remove(&number);
    if let Some(incident) = unsaved {
        return Ok(incident);
    }
    let found = hub.ask(move |shared| shared.state.incident(number)).await?;
    found.ok_or_else(unknown)
}

/// A number as the API writes it: what is written otherwise names nothing.
fn number(id: &str) -> Option<u64> {
    let number: u64 = id.parse().ok()?;
    (number.to_string() == id).then_some(number)
}

/// Takes an incident on. A second time changes nothing.
#[utoipa::path(post, path = "/api/v1/incidents/{id}/acknowledge", tag = "incidents",
    params(("id" = u64, Path, description = "its number", example = 1)),
    request_body(content = Option<Nothing>, description = "nothing, or `{}`"),
    responses((status = 200, description = "the incident as it is now", body = schema::Incident),
        (status = 409, description = "it is resolved already", body = Problem, content_type = "application/problem+json")),
    security(("bearer" = ["write"])))]
pub(crate) async fn acknowledge(
    State(hub): State<Arc<Hub>>,
    Extension(caller): Extension<Caller>,
    names: Parameters<1>,
    uri: Uri,
    MaybeJson(body): MaybeJson,
) -> Result<Json<Incident>, Problem> {
    let Parameters([id]) = names;
    Query::none(&uri)?;
    if let Some(body) = body.as_ref().filter(|body| !body.is_null()) {
        let mut fields = Fields::default();
        fields.object(body, "", &[]);
        fields.done()?;
    }
    act(&hub, &caller, &id, ActKind::Acknowledge).await
}

/// Adds a note to an incident's timeline.
#[utoipa::path(post, path = "/api/v1/incidents/{id}/notes", tag = "incidents",
    params(("id" = u64, Path, description = "its number", example = 1)),
    request_body(content = NewNote),
    responses((status = 200, description = "the incident as it is now", body = schema::Incident),
        (status = 409, description = "it is resolved already", body = Problem, content_type = "application/problem+json")),
    security(("bearer" = ["write"])))]
pub(crate) async fn note(
    State(hub): State<Arc<Hub>>,
    Extension(caller): Extension<Caller>,
    names: Parameters<1>,
    uri: Uri,
    Body(body): Body,
) -> Result<Json<Incident>, Problem> {
    let Parameters([id]) = names;
    Query::none(&uri)?;
    let text = words(&body)?;
    act(&hub, &caller, &id, ActKind::Note(text)).await
}

fn words(body: &Value) -> Result<String, Problem> {
    let mut fields = Fields::default();
    let text = fields
        .object(body, "", &["text"])
        .and_then(|map| fields.text(map, "", "text", NOTE_LEN_MAX));
    fields.done()?;
    Ok(text.expect("a text that is missing is an error"))
}

/// Hands an act to the judge, and waits for what comes of it.
async fn act(
    hub: &Hub,
    caller: &Caller,
    id: &str,
    what: ActKind,
) -> Result<Json<Incident>, Problem> {
    let unknown = || Problem::not_found("incident", id);
    let (done, outcome) = oneshot::channel();
    let act = Act {
        incident: number(id).ok_or_else(unknown)?,
        what,
        by: caller.name.clone(),
        done,
    };
    match hub.shared.acts.try_send(act) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(_)) => {
            return Err(Problem::busy("too many acts are waiting already"));
        }
        Err(mpsc::error::TrySendError::Closed(_)) => {
            return Err(Problem::busy("nobody judges just now"));
        }
    }
    match outcome.await {
        Ok(Ok(incident)) => Ok(Json(incident)),
        Ok(Err(ActError::Unknown(_))) => Err(unknown()),
        Ok(Err(error @ ActError::Resolved(_))) => Err(Problem::conflict(error.to_string())),
        Ok(Err(ActError::Store(why))) => {
            tracing::error!(why, "an act could not be kept");
            Err(Problem::busy("it could not be kept; the log says why"))
        }
        Err(_) => Err(Problem::busy("whoever judges was restarted; try again")),
    }
}
