//! What of ours would fall together with what it watches: gathered from the configuration and what was
//! last known good, told before anything fails.

use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use bellwether_config::Config;
use bellwether_config::config::Vantage;
use bellwether_config::telling::ReceiverKind;
use bellwether_diagnose::fate::{Fate, Own, Part, Watched, fates, one_network};
use bellwether_model::target::Host;
use bellwether_model::{Baseline, Channel, CheckId, DnsName, Finding, Report, VantageId};
use tokio::time::Instant;
use url::Url;

use crate::judge;
use crate::shared::Shared;
use crate::tasks::Tasks;

/// How soon after the start, and after a new configuration, it is looked again: by then most targets
/// were traced, and are known.
const SOON: Duration = Duration::from_secs(30);
/// How often otherwise: name servers and networks change in weeks, and to read what is known good of
/// very many checks takes a second.
const EVERY: Duration = Duration::from_secs(15 * 60);
/// A new configuration is noticed this soon.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// More are a configuration in which everything hangs on one thing; the first say so.
const FATES_MAX: usize = 64;

/// What would fall together, by a configuration and what is known good.
#[must_use]
pub fn of(config: &Config, baselines: &BTreeMap<CheckId, Arc<Baseline>>) -> Vec<Fate> {
    let checks = config.services.iter().flat_map(|service| {
        let checks = service.checks.iter();
        checks.map(move |check| (CheckId::new(&service.name, &check.name), check))
    });
    let checks: Vec<_> = checks.collect();
    let watched: Vec<Watched<'_>> = checks
        .iter()
        .map(|(id, check)| Watched {
            check: id,
            name: check.target.name(),
            baseline: baselines.get(id).map(Arc::as_ref),
        })
        .collect();
    let mut found = fates(&own(config), &watched);
    found.truncate(FATES_MAX);
    found
}

/// What a person should know of a configuration that is valid.
#[must_use]
pub fn notices(config: &Config) -> Vec<String> {
    let vantages = placed(config).map(|v| (v.name.clone(), v.network));
    let vantages: Vec<_> = vantages.collect();
    let mut notices = config.notices();
    notices.extend(one_network(&vantages));
    notices
}

/// All vantages; the built-in one, if its network is known.
fn placed(config: &Config) -> impl Iterator<Item = &Vantage> {
    let local = iter::once(&config.local);
    let local = local.filter(|local| local.network.is_some());
    local.chain(&config.vantages)
}

/// What of ours is needed most when something has fallen.
fn own(config: &Config) -> Vec<Own> {
    let mut all = Vec::new();
    let listen = config.hub.listen.ip();
    if !listen.is_loopback() && !listen.is_unspecified() {
        all.push(Own {
            address: Some(listen),
            ..named(Part::Hub, "", None)
        });
    }
    for page in &config.status_pages {
        all.push(named(Part::StatusPage, &page.name, host(&page.host)));
    }
    for receiver in &config.receivers {
        let url = match &receiver.kind {
            ReceiverKind::Slack { webhook } => webhook.expose(),
            ReceiverKind::Jira { url, .. } => url,
        };
        let url = Url::parse(url).ok();
        let host = url.as_ref().and_then(|url| host(url.host_str()?));
        all.push(named(Part::Receiver, &receiver.name, host));
    }
    for resolver in &config.resolvers {
        let Some(address) = &resolver.address else {
            continue;
        };
        let host = match &address.channel {
            Channel::Tls { host } | Channel::Https { host, .. } => match host {
                Host::Name(name) => Some(name.clone()),
                Host::Address(_) => None,
            },
            Channel::Plain => None,
        };
        all.push(Own {
            address: Some(address.address.ip()),
            ..named(Part::Resolver, &resolver.name, host)
        });
    }
    for vantage in placed(config) {
        all.push(Own {
            asn: vantage.network,
            ..named(Part::Vantage, &vantage.name, None)
        });
    }
    all
}

fn named(part: Part, name: &str, host: Option<DnsName>) -> Own {
    Own {
        part,
        name: name.to_owned(),
        host,
        address: None,
        asn: None,
    }
}

fn host(text: &str) -> Option<DnsName> {
    DnsName::typed(text).ok()
}

/// A report of a check with the warnings that it stands for: each fate is told by the first of its
/// checks. `None` where there are none.
#[must_use]
pub(crate) fn warned(fates: &[Fate], check: &CheckId, report: &Report) -> Option<Report> {
    let mine = fates
        .iter()
        .filter(|fate| fate.checks.first() == Some(check));
    let findings: Vec<Finding> = mine.map(Fate::finding).collect();
    if findings.is_empty() {
        return None;
    }
    let mut report = report.clone();
    report.findings.extend(findings);
    Some(report)
}

/// Looks now and then, and after each new configuration.
pub(crate) fn spawn(tasks: &mut Tasks, shared: &Arc<Shared>) {
    let shared = shared.clone();
    let restarted = shared.figures.tasks_restarted.clone();
    tasks.spawn("shared fate", restarted, move || {
        let shared = shared.clone();
        async move {
            let (mut generation, mut next) = (0, Instant::now());
            loop {
                let now = shared.configured.load().generation;
                if generation != now || next <= Instant::now() {
                    next = Instant::now() + if generation == now { EVERY } else { SOON };
                    generation = now;
                    let looks = shared.clone();
                    let looked = tokio::task::spawn_blocking(move || look(&looks)).await;
                    if let Err(panic) = looked {
                        std::panic::resume_unwind(panic.into_panic());
                    }
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    });
}

fn look(shared: &Shared) {
    let config = shared.configured.load().config.clone();
    // Names, name servers and networks are the same from everywhere, as far as it matters here.
    let local = VantageId::new(VantageId::LOCAL);
    match judge::baselines(&*shared.state, &config, &local) {
        Ok(baselines) => shared.fates.store(Arc::new(of(&config, &baselines))),
        // What is known stays so; the store tells its trouble itself.
        Err(error) => tracing::debug!(%error, "what is known good cannot be read now"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(text: &str) -> Config {
        bellwether_config::parse(text, Path::new("bellwether.yaml")).unwrap()
    }

    #[test]
    fn what_is_configured_is_enough_to_warn() {
        let config = config(
            "services:
  - { name: shop, url: https://www.shop.test/ }
  - { name: other, url: https://www.other.test/ }
receivers:
  - { name: desk, jira: { url: https://jira.shop.test, project: OPS, token: x } }
  - { name: chat, slack: { webhook: https://hooks.chat.test/services/T0 } }
status_pages:
  - { name: public, host: status.shop.test, groups: [{ name: Shop, services: [shop] }] }
resolvers:
  - { name: own, address: 'tls://192.0.2.53', server_name: dns.other.test }
",
        );
        let found = of(&config, &BTreeMap::new());
        let found: Vec<(Part, &str, &str)> = found
            .iter()
            .map(|fate| (fate.part, fate.name.as_str(), fate.checks[0].service()))
            .collect();
        assert_eq!(
            found,
            [
                (Part::StatusPage, "public", "shop"),
                (Part::Receiver, "desk", "shop"),
                (Part::Resolver, "own", "other"),
            ]
        );
    }

    #[test]
    fn a_fate_is_told_by_one_check() {
        let config = config(
            "services:
  - { name: a, url: https://a.shop.test/ }
  - { name: b, url: https://b.shop.test/ }
status_pages:
  - { name: public, host: status.shop.test, groups: [{ name: Shop, services: [a] }] }
",
        );
        let fates = of(&config, &BTreeMap::new());
        let now = jiff::Timestamp::UNIX_EPOCH;
        let local = VantageId::new(VantageId::LOCAL);
        let told = |service: &str| {
            let check = CheckId::new(service, "main");
            let report = crate::freshness::no_result(&check, &local, now, "0", now);
            let before = report.findings.len();
            warned(&fates, &check, &report).map(|report| report.findings.len() - before)
        };
        assert_eq!((told("a"), told("b")), (Some(1), None));
    }
}
