//! Where we stand, and who measures.

use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use bellwether_config::config::Access;
use bellwether_model::VantageId;
use http::Uri;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Hub;
use super::agents::Agent;
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
    /// Is it in the configuration? One that is not has runs in the store.
    configured: bool,
    /// The part of the world it stands in.
    region: Option<String>,
    /// The number of its autonomous system.
    network: Option<u32>,
    /// How it is connected: `eyeball`, `cloud` or `transit`.
    access: Option<&'static str>,
    /// Is its agent linked now? The built-in one is part of the hub.
    linked: bool,
}

/// Vantages.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Vantages {
    /// By name.
    vantages: Vec<Vantage>,
    /// Always null.
    next: Option<String>,
}

/// Agents.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Agents {
    /// By name.
    agents: Vec<Agent>,
    /// Where the hub listens for agents elsewhere; null where it does not.
    listen: Option<String>,
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
        vantages: vantages_of(&hub),
        next: None,
    }))
}

/// The programs that measure: the built-in one, one for each vantage of the configuration, and those
/// that were enrolled for a vantage that is gone.
#[utoipa::path(get, path = "/api/v1/agents", tag = "fleet",
    responses((status = 200, description = "agents by name", body = Agents)),
    security((), ("bearer" = ["read"])))]
pub(crate) async fn agents(State(hub): State<Arc<Hub>>, uri: Uri) -> Result<Json<Agents>, Problem> {
    Query::none(&uri)?;
    Ok(Json(Agents {
        listen: hub.shared.fleet.listens().map(|at| at.to_string()),
        agents: super::agents::all(&hub).await?,
        next: None,
    }))
}

/// The vantages of the configuration, those that the board knows of, and the built-in one.
fn vantages_of(hub: &Hub) -> Vec<Vantage> {
    let configured = hub.shared.configured.load_full();
    let of = |id: &VantageId| {
        let config = &configured.config;
        let mut all = iter::once(&config.local).chain(&config.vantages);
        all.find(|known| known.name == id.as_str())
    };
    let mut found = seen(hub);
    for vantage in &configured.config.vantages {
        found.entry(VantageId::new(&vantage.name)).or_default();
    }
    let linked = hub.shared.links.all();
    let vantages = found.into_iter().map(|(id, Seen { checks, last_run })| {
        let is_local = id.as_str() == VantageId::LOCAL;
        let own = of(&id);
        Vantage {
            name: id.to_string(),
            checks,
            last_run,
            configured: is_local || own.is_some(),
            region: own.and_then(|own| own.region.clone()),
            network: own.and_then(|own| own.network),
            access: own.and_then(|own| own.access).map(access),
            linked: is_local || linked.get(&id).is_some_and(|it| it.is_linked),
        }
    });
    vantages.collect()
}

/// As the configuration has it.
fn access(access: Access) -> &'static str {
    match access {
        Access::Eyeball => "eyeball",
        Access::Cloud => "cloud",
        Access::Transit => "transit",
    }
}

/// What was run from a vantage.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Checks that were.
    pub(crate) checks: usize,
    /// When the newest run was due.
    pub(crate) last_run: Option<Timestamp>,
}

/// What was run from each vantage that the board knows of, and from the built-in one.
pub(crate) fn seen(hub: &Hub) -> BTreeMap<VantageId, Seen> {
    let mut found = BTreeMap::from([(VantageId::new(VantageId::LOCAL), Seen::default())]);
    let board = hub.board();
    for run in board.checks.values().flat_map(|check| &check.last) {
        let seen = found.entry(run.vantage.clone()).or_default();
        seen.checks += 1;
        seen.last_run = seen.last_run.max(Some(run.due));
    }
    found
}
