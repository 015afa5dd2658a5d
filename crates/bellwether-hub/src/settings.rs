//! From a configuration to what judging needs of it.

use std::iter;

use bellwether_config::Config;
use bellwether_diagnose::detect::{CheckMeta, VantageMeta};
use bellwether_diagnose::suffix::registered;
use bellwether_model::{CheckId, VantageId};

/// Checks and vantages, as detection knows them. Checks of one service, and those of one zone,
/// never excuse each other.
#[must_use]
pub fn detection(config: &Config) -> (Vec<CheckMeta>, Vec<VantageMeta>) {
    let mut checks = Vec::new();
    for service in &config.services {
        for check in &service.checks {
            let zone = match check.target.name() {
                Some(name) => registered(name).to_string(),
                None => check.target.host_text(),
            };
            checks.push(CheckMeta {
                id: CheckId::new(&service.name, &check.name),
                every: check.every,
                depends: vec![format!("service {}", service.name), format!("zone {zone}")],
                vantages: Vec::new(),
                canary: false,
            });
        }
    }
    let vantages = iter::once(&config.local).chain(&config.vantages);
    let vantages = vantages.map(|vantage| VantageMeta {
        id: VantageId::new(&vantage.name),
        region: vantage.region.clone(),
        asn: vantage.network,
        country: None,
    });
    (checks, vantages.collect())
}
