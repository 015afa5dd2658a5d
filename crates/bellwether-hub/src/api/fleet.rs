//! Where we stand, and who measures.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use bellwether_model::VantageId;
use http::Uri;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Hub;
use super::problem::Problem;
use super::query::Query;

/// A place that is measured from.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Vantage {
    /// Its name; `local` is the built-in one.
    name: String,
    /// Checks that were run from there.
    checks: usize,
    /// When the newest run from there was due.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_run: Option<Timestamp>,
}

/// Vantages.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Vantages {
    /// By name.
    vantages: Vec<Vantage>,
    /// Always null.
    next: Option<String>,
}

/// A program that measures.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Agent {
    /// Its name.
    name: String,
    /// Where it stands.
    vantage: String,
    /// Its version.
    version: String,
    /// When it started.
    #[schema(value_type = String, format = DateTime)]
    started: Timestamp,
    /// When its newest run was due.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_run: Option<Timestamp>,
}

/// Agents.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Agents {
    /// By name.
    agents: Vec<Agent>,
    /// Always null.
    next: Option<String>,
}

/// Places that are measured from.
#[utoipa::path(get, path = "/api/v1/vantages", tag = "fleet",
    responses((status = 200, description = "vantages by name", body = Vantages)),
    security((), ("bearer" = ["read"])))]
pub(crate) async fn vantages(
    State(hub): State<Arc<Hub>>,
    uri: Uri,
) -> Result<Json<Vantages>, Problem> {
    Query::none(&uri)?;
    Ok(Json(Vantages {
        vantages: seen(&hub),
        next: None,
    }))
}

/// The programs that measure. This version has one, built into `serve`.
#[utoipa::path(get, path = "/api/v1/agents", tag = "fleet",
    responses((status = 200, description = "agents by name", body = Agents)),
    security((), ("bearer" = ["read"])))]
pub(crate) async fn agents(State(hub): State<Arc<Hub>>, uri: Uri) -> Result<Json<Agents>, Problem> {
    Query::none(&uri)?;
    let local = seen(&hub)
        .into_iter()
        .find(|it| it.name == VantageId::LOCAL);
    let agent = Agent {
        name: VantageId::LOCAL.to_owned(),
        vantage: VantageId::LOCAL.to_owned(),
        version: hub.shared.version.to_owned(),
        started: hub.shared.started,
        last_run: local.and_then(|it| it.last_run),
    };
    Ok(Json(Agents {
        agents: vec![agent],
        next: None,
    }))
}

/// The vantages that the board knows of, and the built-in one.
fn seen(hub: &Hub) -> Vec<Vantage> {
    let mut found = std::collections::BTreeMap::new();
    found.insert(VantageId::new(VantageId::LOCAL), (0, None));
    let board = hub.board();
    for run in board.checks.values().flat_map(|check| &check.last) {
        let (checks, last) = found.entry(run.vantage.clone()).or_default();
        *checks += 1;
        *last = (*last).max(Some(run.due));
    }
    let vantages = found.into_iter().map(|(name, (checks, last_run))| Vantage {
        name: name.to_string(),
        checks,
        last_run,
    });
    vantages.collect()
}
