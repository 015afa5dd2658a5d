//! The configuration in force, and what became of the newest file. Secrets are not among it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use bellwether_config::Config;
use bellwether_diagnose::fate::Fate;
use bellwether_model::{CheckId, Service};
use http::Uri;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::query::Query;
use super::{Hub, redact};
use crate::shared::Shared;

/// Checks that are named of one shared fate.
const FATE_CHECKS_MAX: usize = 100;

/// The configuration in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Configuration {
    /// Which one; grows.
    generation: u64,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// How long that is, seconds.
    age_seconds: u64,
    /// The file or directory; null without one.
    path: Option<String>,
    /// A newer file that was refused; null where the newest is in force.
    refused: Option<Refusal>,
    /// Receivers: with none, nobody is told.
    receivers: usize,
    /// Resolvers that are asked, by name.
    resolvers: Vec<String>,
    /// What is watched, in the order of the file.
    services: Vec<ConfiguredService>,
    /// What of ours would fall together with what it watches.
    shared_fate: Vec<SharedFate>,
    /// What was written, with the defaults of the sections filled in. Secrets are `***`, and so is
    /// every text with a `${…}` in it; of the parameters of URLs only the names are shown.
    /// Null where it was asked for briefly.
    #[schema(value_type = Option<Object>)]
    in_force: Option<serde_json::Value>,
}

/// Something of ours that would fall together with what it watches.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SharedFate {
    /// One sentence.
    summary: String,
    /// What to do.
    remedy: String,
    /// The checks that it falls with, `service/check`, the first hundred.
    checks: Vec<String>,
}

/// A file that was refused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Refusal {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// What is wrong, each with file, line and column.
    problems: Vec<String>,
}

/// A service, as configured.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConfiguredService {
    /// Its name.
    name: String,
    /// Its labels.
    labels: BTreeMap<String, String>,
    /// Services whose incidents may explain this one's.
    needs: Vec<String>,
    /// What is asked of it.
    checks: Vec<ConfiguredCheck>,
}

/// A check, as configured.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConfiguredCheck {
    /// Its name in the service.
    name: String,
    /// What it aims at, without secrets.
    target: String,
    /// How often, milliseconds.
    every_ms: u64,
    /// How long one attempt may take, milliseconds.
    timeout_ms: u64,
    /// Does it show a client certificate where it is asked for one?
    client_certificate: bool,
}

/// The configuration in force, without secrets, and why a newer one was refused.
#[utoipa::path(get, path = "/api/v1/configuration", tag = "about", params(
    ("brief" = Option<String>, Query, pattern = "^(true|false)$",
        description = "`true` leaves out what was written: no services, and `in_force` is null")),
    responses((status = 200, description = "the configuration", body = Configuration)),
    security((), ("bearer" = ["read"])))]
pub(crate) async fn configuration(
    State(hub): State<Arc<Hub>>,
    uri: Uri,
) -> Result<Json<Configuration>, Problem> {
    let mut query = Query::read(&uri, &["brief"]);
    let brief = query.word("brief", &[("true", true), ("false", false)]);
    query.done()?;
    let now = hub.now();
    let (shared, brief) = (Arc::clone(&hub.shared), brief.unwrap_or(false));
    // Many thousands of services are a while to write out: not on a thread that others wait for.
    let told = tokio::task::spawn_blocking(move || told(&shared, brief, now));
    Ok(Json(told.await.map_err(|_| Problem::internal())?))
}

fn told(shared: &Shared, brief: bool, now: Timestamp) -> Configuration {
    let configured = shared.configured.load_full();
    let refused = configured.refused.clone().map(|refused| Refusal {
        at: refused.at,
        problems: refused.problems,
    });
    let config = configured.config.as_ref();
    let Config {
        resolvers,
        services,
        ..
    } = config;
    let age = now.duration_since(configured.since);
    let services = if brief { &[] } else { services.as_slice() };
    Configuration {
        generation: configured.generation,
        since: configured.since,
        age_seconds: u64::try_from(age.as_secs()).unwrap_or(0),
        path: configured
            .path
            .as_ref()
            .map(|path| path.display().to_string()),
        refused,
        receivers: shared
            .health
            .receivers
            .load(std::sync::atomic::Ordering::Relaxed),
        resolvers: resolvers
            .iter()
            .map(|resolver| resolver.name.clone())
            .collect(),
        services: services
            .iter()
            .map(|service| configured_service(config, service))
            .collect(),
        shared_fate: shared.fates.load().iter().map(fate).collect(),
        in_force: (!brief).then(|| redact::configuration(config)),
    }
}

fn fate(fate: &Fate) -> SharedFate {
    let checks = fate.checks.iter().take(FATE_CHECKS_MAX);
    SharedFate {
        summary: fate.summary.clone(),
        remedy: fate.remedy.clone(),
        checks: checks.map(CheckId::to_string).collect(),
    }
}

fn configured_service(config: &Config, service: &Service) -> ConfiguredService {
    let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let checks = service.checks.iter().map(|check| ConfiguredCheck {
        name: check.name.clone(),
        target: redact::target(&config.scrub(&check.target.text)),
        every_ms: ms(check.every),
        timeout_ms: ms(check.timeout),
        client_certificate: check.client_cert.is_some(),
    });
    ConfiguredService {
        name: service.name.clone(),
        labels: service
            .labels
            .iter()
            .map(|(name, value)| (name.clone(), config.scrub(value)))
            .collect(),
        needs: service.needs.clone(),
        checks: checks.collect(),
    }
}
