//! Whether we live, and whether we can do our work. Open to everybody: they say yes or no.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use http::Uri;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Hub;
use super::problem::Problem;
use super::query::Query;

/// That all is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Well {
    /// `ok`.
    status: &'static str,
}

/// Does the process live?
#[utoipa::path(get, path = "/healthz", tag = "health",
    responses((status = 200, description = "it does", body = Well)), security(()))]
pub(crate) async fn healthz() -> Json<Well> {
    Json(Well { status: "ok" })
}

/// Is the store open, and does the schedule run?
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, description = "both", body = Well)), security(()))]
pub(crate) async fn readyz(State(hub): State<Arc<Hub>>) -> Result<Json<Well>, Problem> {
    let health = &hub.shared.health;
    if !health.ready.load(Ordering::Acquire) {
        return Err(Problem::busy(
            "not ready yet: the store is being opened, or the schedule does not run",
        ));
    }
    if hub.shared.is_hindered() {
        return Err(Problem::busy(
            "the store is in trouble; the page and the log say which",
        ));
    }
    Ok(Json(Well { status: "ok" }))
}

/// Something that is wrong with the hub itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HubTrouble {
    /// Which part: `keep` (runs), `intake` (what agents deliver), `state` (incidents), `store` (its files),
    /// `judge`, `agents` (they cannot link).
    part: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// What, in words.
    what: String,
}

/// What is wrong with the hub itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HubTroubles {
    /// By part; empty if all is well.
    troubles: Vec<HubTrouble>,
}

/// What is wrong with the hub itself: why `/readyz` says no, in words. What is told of services
/// meanwhile is true, but may not be kept.
#[utoipa::path(get, path = "/api/v1/troubles", tag = "about",
    responses((status = 200, description = "what is wrong", body = HubTroubles)),
    security((), ("bearer" = ["read"])))]
pub(crate) async fn troubles(
    State(hub): State<Arc<Hub>>,
    uri: Uri,
) -> Result<Json<HubTroubles>, Problem> {
    Query::none(&uri)?;
    let troubles = hub.shared.troubles().into_iter();
    let troubles = troubles.map(|(part, trouble)| HubTrouble {
        part: part.to_owned(),
        since: trouble.since,
        what: trouble.what,
    });
    Ok(Json(HubTroubles {
        troubles: troubles.collect(),
    }))
}
