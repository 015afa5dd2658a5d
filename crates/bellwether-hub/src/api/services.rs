//! Services, as they stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use bellwether_model::Verdict;
use http::Uri;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::document::schema;
use super::problem::Problem;
use super::query::Query;
use super::{Hub, Parameters};
use crate::board::{Board, ServiceState};

/// Services of one answer if nothing is said: more than most have, so that a shell one-liner sees
/// them all.
const SERVICES_DEFAULT: usize = 1_000;

/// A service, as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Service {
    /// Its name.
    pub(crate) name: String,
    /// What became of it, as users see it. What was last known is too old: `unknown`.
    #[schema(value_type = schema::Verdict)]
    pub(crate) verdict: Verdict,
    /// The cause's code, where one is known and what is known is not too old.
    pub(crate) cause: Option<String>,
    /// Since when the verdict is what it is; null before the first.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) since: Option<Timestamp>,
    /// When it was last judged; null before the first time.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) judged_at: Option<Timestamp>,
    /// Is what is known too old to be true?
    pub(crate) stale: bool,
    /// Why the verdict is unknown, where it is.
    pub(crate) why_unknown: Option<String>,
    /// One sentence of the check that is worst off.
    pub(crate) summary: Option<String>,
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Services whose incidents may explain this one's.
    pub(crate) needs: Vec<String>,
    /// Its checks, by id.
    pub(crate) checks: Vec<String>,
    /// Incidents that are not resolved.
    pub(crate) incidents: Vec<u64>,
    /// Faults are expected now; null if they are not.
    pub(crate) maintenance: Option<Maintenance>,
}

/// Faults of a service are expected: what fails is shown, and no incident opens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Maintenance {
    /// Its name in the configuration.
    pub(crate) name: String,
    /// Until when, at least.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) until: Timestamp,
}

/// Services.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Services {
    /// By name.
    services: Vec<Service>,
    /// Where there are more: the `page` to ask for next.
    next: Option<String>,
}

/// Services as they stand.
#[utoipa::path(get, path = "/api/v1/services", tag = "services", params(
    ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000, description = "most services of one answer; 1,000 if left out"),
    ("page" = Option<String>, Query, description = "where an earlier answer said `next`")),
    responses((status = 200, description = "services by name", body = Services)),
    security((), ("bearer" = ["read"])))]
pub(crate) async fn list(State(hub): State<Arc<Hub>>, uri: Uri) -> Result<Json<Services>, Problem> {
    let mut query = Query::read(&uri, &["limit", "page"]);
    let limit = match query.limit() {
        _ if query.text("limit").is_none() => SERVICES_DEFAULT,
        limit => limit,
    };
    let after = query.page(|text| Some(text.to_owned())).unwrap_or_default();
    query.done()?;
    let now = hub.now();
    let board = hub.board();
    let mut rest = board.services.iter().filter(|(name, _)| **name > after);
    let services = rest.by_ref().take(limit);
    let services: Vec<Service> = services
        .map(|(name, it)| service(&board, name, it, now))
        .collect();
    let more = rest.next().is_some();
    let last = services.last().map(|service| service.name.clone());
    Ok(Json(Services {
        services,
        next: last.filter(|_| more),
    }))
}

/// A service as it stands.
#[utoipa::path(get, path = "/api/v1/services/{name}", tag = "services",
    params(("name" = String, Path, description = "the service's name", example = "shop")),
    responses((status = 200, description = "the service", body = Service)),
    security((), ("bearer" = ["read"])))]
pub(crate) async fn one(
    State(hub): State<Arc<Hub>>,
    names: Parameters<1>,
    uri: Uri,
) -> Result<Json<Service>, Problem> {
    let Parameters([name]) = names;
    Query::none(&uri)?;
    let now = hub.now();
    let board = hub.board();
    match board.services.get(&name) {
        Some(state) => Ok(Json(service(&board, &name, state, now))),
        None => Err(Problem::not_found("service", &name)),
    }
}

/// A service as it is told.
pub(crate) fn service(board: &Board, name: &str, state: &ServiceState, now: Timestamp) -> Service {
    let told = board.service(name, now);
    let stale = told.as_ref().is_none_or(|told| told.stale);
    let stale_since = board.stale_since(name, now);
    let worst = || {
        let checks = state.checks.iter().filter_map(|id| board.checks.get(id));
        let bad = checks.filter(|check| check.verdict != Verdict::Healthy);
        bad.max_by_key(|check| check.verdict)
            .map(|check| check.summary.clone().into_owned())
    };
    let judged_at = board.judged_at(state);
    let why_unknown = match (stale, judged_at) {
        (true, None) => Some("no result yet, and one is overdue".to_owned()),
        (true, Some(at)) => Some(format!("no result since {at}")),
        (false, _) => board.why_unknown(state, now),
    };
    Service {
        name: name.to_owned(),
        verdict: told.as_ref().map_or(Verdict::Unknown, |told| told.verdict),
        cause: told
            .filter(|_| !stale)
            .and_then(|told| told.cause)
            .map(|cause| cause.to_string()),
        since: if stale { stale_since } else { state.since },
        judged_at,
        stale,
        why_unknown,
        summary: worst().filter(|summary| !summary.is_empty()),
        labels: state.labels.clone(),
        needs: state.needs.clone(),
        checks: state.checks.iter().map(ToString::to_string).collect(),
        incidents: state.incidents.clone(),
        maintenance: board.maintenance.get(name).map(|it| Maintenance {
            name: it.name.clone(),
            until: it.until,
        }),
    }
}
