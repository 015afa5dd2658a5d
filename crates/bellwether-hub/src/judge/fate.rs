//! Shared fate: looked at when the configuration changes, and now and then, since what services lean on
//! changes by itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bellwether_config::Config;
use bellwether_config::telling::ReceiverKind;
use bellwether_diagnose::fate::{self, Needed, Watched};
use bellwether_diagnose::incidents::Amiss;
use bellwether_diagnose::suffix::registered;
use bellwether_model::report::Severity;
use bellwether_model::{Cause, VantageId};
use jiff::Timestamp;

use super::Judge;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(600);
/// After a change of the configuration traces have so long to show what services lean on.
const FIRST: Duration = Duration::from_secs(60);
/// At most this many sentences stand in the warning.
const TOLD_MAX: usize = 4;

/// What to do about it.
const CURE: &str = "Move what watches to another zone, network and provider than what is watched; or give the vantages their `network:`, where it only is not configured";

impl Judge {
    /// The configuration is another: it is looked at soon.
    pub(super) fn look_at_fate_soon(&mut self, now: Timestamp) {
        self.since.fate = now.checked_add(FIRST).unwrap_or(now);
    }

    /// Does what watches depend on what it watches?
    pub(super) fn look_at_fate(&mut self, now: Timestamp) {
        if now < self.since.fate {
            return;
        }
        self.since.fate = now.checked_add(EVERY).unwrap_or(now);
        let config = self.shared.configured.load().config.clone();
        let told = self.shared_fate(&config);
        let vantage = VantageId::new(VantageId::LOCAL);
        let cause = Cause::MonitorSharedFate;
        let updates = if told.is_empty() {
            let apart = "what watches stands apart from what it watches";
            self.book.mended(&vantage, cause, apart, now)
        } else {
            let more = told.len().saturating_sub(TOLD_MAX);
            let mut summary = told[..told.len() - more].join("; ");
            if more > 0 {
                summary = format!("{summary}; and {more} more");
            }
            let amiss = Amiss {
                vantage,
                cause,
                severity: Severity::Warning,
                since: now,
                summary,
                remedy: CURE.to_owned(),
            };
            self.book.amiss(&amiss, now)
        };
        self.update(updates, now);
    }

    fn shared_fate(&self, config: &Config) -> Vec<String> {
        let elsewhere = self.vantages.standings();
        let elsewhere = elsewhere.filter(|(v, s)| v.as_str() != VantageId::LOCAL && s.is_heard);
        let vantages: Vec<_> = elsewhere.map(|(v, s)| (v.clone(), s.network)).collect();
        let needed = needed(config);
        if needed.is_empty() && vantages.is_empty() {
            return Vec::new();
        }
        let mut watched: BTreeMap<String, Watched> = BTreeMap::new();
        for service in &config.services {
            let zones = service
                .checks
                .iter()
                .filter_map(|check| check.target.name());
            let one = watched.entry(service.name.clone()).or_default();
            one.zones
                .extend(zones.map(|name| registered(name).to_string()));
        }
        for (service, lean) in self.book.leans() {
            if let Some(one) = watched.get_mut(service) {
                one.leans.insert(lean.to_owned());
            }
        }
        fate::shared(&needed, &watched, &vantages)
    }
}

/// What watching and telling need, as far as the configuration says where it is.
fn needed(config: &Config) -> Vec<Needed> {
    let mut needed = Vec::new();
    for receiver in &config.receivers {
        let url = match &receiver.kind {
            ReceiverKind::Slack { webhook } => webhook.expose(),
            ReceiverKind::Jira { url, .. } => url,
        };
        if let Some(host) = host_of(url) {
            needed.push(Needed {
                what: format!("receiver {} is at {}", receiver.name, config.scrub(&host)),
                host,
                then: "nobody is told by it",
            });
        }
    }
    let hub = config.hub.agents_at(&config.vantages);
    let listens = |at: &SocketAddr| !at.ip().is_unspecified() && !at.ip().is_loopback();
    for at in [Some(config.hub.listen), hub]
        .into_iter()
        .flatten()
        .filter(listens)
    {
        needed.push(Needed {
            what: format!("this hub listens at {at}"),
            host: at.ip().to_string(),
            then: "nobody reaches the hub, and no agent does",
        });
    }
    needed
}

/// The host of a URL.
fn host_of(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    Some(match url.host()? {
        url::Host::Domain(name) => name.to_owned(),
        url::Host::Ipv4(address) => address.to_string(),
        url::Host::Ipv6(address) => address.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url() {
        let hosts = [
            ("https://hooks.example/services/T0", Some("hooks.example")),
            ("http://user:word@jira.example:8080?x", Some("jira.example")),
            ("https://[2001:db8::1]:443/", Some("2001:db8::1")),
            ("https://192.0.2.1", Some("192.0.2.1")),
            ("nowhere", None),
        ];
        for (url, host) in hosts {
            assert_eq!(host_of(url).as_deref(), host, "{url}");
        }
    }
}
