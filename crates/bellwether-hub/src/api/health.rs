//! Whether we live, and whether we can do our work. Open to everybody: they say yes or no.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Hub;
use super::problem::Problem;

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
