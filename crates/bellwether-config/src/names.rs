//! Names that stand twice, and references to what there is not, over all sections.

use std::collections::BTreeSet;

use crate::config::{Config, Vantage};
use crate::convert::known::{Known, once};
use crate::error::{ConfigError, Problem};
use crate::place::At;
use crate::secret::Secret;
use crate::spec::{ConfigSpec, HeartbeatSpec, PromisesSpec, RouteSpec};

/// What incidents can be grouped by, besides labels.
pub(crate) const GROUPS: &[&str] = &["cause", "layer", "service", "severity"];

/// Complains about names that stand twice, and about references to what there is not.
pub(crate) fn check(spec: &ConfigSpec, problems: &mut Vec<ConfigError>) {
    // What could not be read is not there, and is no reason for further complaints.
    let is_whole = !problems
        .iter()
        .any(|p| matches!(*p.problem, Problem::Missing { .. }));
    macro_rules! names {
        ($section:ident) => {
            spec.$section
                .iter()
                .map(|one| one.value.name.clone())
                .collect::<Vec<At<String>>>()
        };
    }
    let (services, receivers) = (names!(services), names!(receivers));
    let vantages = names!(vantages);
    once("vantage", &vantages, problems);
    once("resolver", &names!(resolvers), problems);
    once("service", &services, problems);
    once("heartbeat", &names!(heartbeats), problems);
    ids_of_heartbeats(spec, problems);
    once("receiver", &receivers, problems);
    once("maintenance", &names!(maintenance), problems);
    once("status page", &names!(status_pages), problems);
    if !is_whole {
        return;
    }
    fn words(names: &[At<String>]) -> impl Iterator<Item = &str> {
        names.iter().map(|name| name.value.as_str())
    }
    let services = Known::new("service", words(&services));
    let receivers = Known::new("receiver", words(&receivers));
    let vantages = Known::new("vantage", words(&vantages).chain([Vantage::LOCAL]));
    for resolver in &spec.resolvers {
        for from in &resolver.value.from {
            vantages.check("from", from, problems);
        }
    }
    for service in &spec.services {
        for need in &service.value.needs {
            if need.value == service.value.name.value {
                let why = "a service cannot explain itself; remove it";
                problems.push(ConfigError::value(need.place, "needs", why));
            }
            services.check("needs", need, problems);
        }
        for tell in service.value.promises.iter().flat_map(tells) {
            receivers.check("tell", tell, problems);
        }
    }
    if let Some(route) = &spec.route {
        route_leads(&route.value, &receivers, problems);
    }
    for maintenance in &spec.maintenance {
        for service in &maintenance.value.services {
            services.check("services", service, problems);
        }
    }
    let groups = spec.status_pages.iter().flat_map(|page| &page.value.groups);
    for service in groups.flat_map(|group| &group.value.services) {
        services.check("services", service, problems);
    }
}

/// Of whom a URL speaks must be plain.
fn ids_of_heartbeats(spec: &ConfigSpec, problems: &mut Vec<ConfigError>) {
    let heartbeats = || spec.heartbeats.iter().map(|one| &one.value);
    let slugs: Vec<At<String>> = heartbeats().filter_map(|one| one.slug.clone()).collect();
    once("slug", &slugs, problems);
    let mut secrets = |key: &str, written: fn(&HeartbeatSpec) -> Option<&At<Secret>>| {
        let mut seen = BTreeSet::new();
        for secret in heartbeats().filter_map(written) {
            if !seen.insert(secret.value.expose().to_ascii_lowercase()) {
                // It is a secret, and is not said again.
                let why = "stands there twice: each heartbeat has its own";
                problems.push(ConfigError::value(secret.place, key, why));
            }
        }
    };
    secrets("uuid", |one| one.uuid.as_ref());
    secrets("token", |one| one.token.as_ref());
}

/// Who is told of broken promises.
fn tells(promises: &PromisesSpec) -> impl Iterator<Item = &At<String>> {
    let PromisesSpec {
        certificate,
        answer,
        address_contract,
    } = promises;
    [
        certificate.as_ref().and_then(|c| c.tell.as_ref()),
        answer.as_ref().and_then(|a| a.tell.as_ref()),
        address_contract.as_ref().and_then(|a| a.tell.as_ref()),
    ]
    .into_iter()
    .flatten()
}

fn route_leads(route: &RouteSpec, receivers: &Known<'_>, problems: &mut Vec<ConfigError>) {
    let escalated = route.escalate.iter().map(|step| &step.receiver);
    for receiver in route.receiver.iter().chain(escalated) {
        receivers.check("receiver", receiver, problems);
    }
    for inside in &route.routes {
        route_leads(&inside.value, receivers, problems);
    }
}

/// Labels that routes speak of and no service has: each is probably a slip.
pub(crate) fn strange_labels(config: &Config, spec: &ConfigSpec) -> Vec<(crate::Place, String)> {
    let labels: std::collections::BTreeSet<&str> = config
        .services
        .iter()
        .flat_map(|service| service.labels.keys().map(String::as_str))
        .chain(GROUPS.iter().copied())
        .collect();
    let mut strange = Vec::new();
    let mut open: Vec<&RouteSpec> = spec.route.iter().map(|route| &route.value).collect();
    while let Some(route) = open.pop() {
        for text in route.matchers.iter().chain(route.group_by.iter().flatten()) {
            let label = text.value.split(['=', '!']).next().unwrap_or_default();
            let label = label.trim();
            if !labels.contains(label) {
                let why = format!("no service has the label `{label}`, so no incident has it");
                strange.push((text.place, why));
            }
        }
        open.extend(route.routes.iter().map(|inside| &inside.value));
    }
    strange
}
