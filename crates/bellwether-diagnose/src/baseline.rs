//! What a healthy report leaves for the next check.

use std::collections::BTreeMap;

use bellwether_model::dns::ZoneSeen;
use bellwether_model::report::{
    BaselineAddress, BaselineServer, BaselineZone, Context, Report, Verdict,
};
use bellwether_model::{Baseline, DnsName};

use crate::Situation;
use crate::facts::caches::authority_ttl;
use crate::picture::Picture;

/// The baseline in a report; `None` if the service was not healthy then, or if the report does not
/// hold what it was made from.
#[must_use]
pub fn of(report: &Report) -> Option<Baseline> {
    let context = report
        .context
        .clone()
        .filter(|_| report.verdict == Verdict::Healthy)?;
    let situation = Situation {
        context: Context {
            baseline: None,
            ..context
        },
        observations: report.observations.clone(),
    };
    let picture = Picture::of(&situation);
    let zones = picture
        .levels
        .iter()
        .filter(|(_, z)| !z.zone.is_root())
        .map(|(_, z)| zone(&picture, z));
    let given = picture
        .addresses
        .values()
        .filter(|v| !v.servers.is_empty() || !v.resolvers.is_empty());
    let addresses = given.map(|v| {
        let own = v.chain().first();
        BaselineAddress {
            address: v.address,
            owner: v.owner.clone(),
            certificate: v.certificate().map(str::to_owned),
            client_cert_requested: v.tls.map(|(_, tls)| tls.client_cert_requested),
            issuer: own.map(|cert| cert.issuer.clone()),
            scts: own.map_or(0, |cert| cert.scts),
            intermediates: v.intermediates().map(str::to_owned).collect(),
        }
    });
    let aliases: Vec<DnsName> = picture
        .hops
        .iter()
        .skip(1)
        .map(|h| h.seen.name.clone())
        .collect();
    Some(Baseline {
        at: situation.context.now,
        zones: zones.collect(),
        addresses: addresses.collect(),
        aliases,
        ttl: authority_ttl(&picture),
    })
}

fn zone(picture: &Picture<'_>, seen: &ZoneSeen) -> BaselineZone {
    let mut servers: BTreeMap<DnsName, BaselineServer> = BTreeMap::new();
    for server in &seen.servers {
        let entry = servers
            .entry(server.name.clone())
            .or_insert_with(|| BaselineServer {
                name: server.name.clone(),
                addresses: Vec::new(),
            });
        entry.addresses.push(server.address);
        entry.addresses.sort();
        entry.addresses.dedup();
    }
    let hop = picture
        .hops
        .iter()
        .find(|h| h.seen.zone == seen.zone && h.seen.name == seen.name);
    BaselineZone {
        zone: seen.zone.clone(),
        parent_names: seen.parent_names(),
        servers: servers.into_values().collect(),
        serial: hop.and_then(|h| h.servers.iter().filter_map(|s| s.serial).max()),
        holds_name: seen.holds_name,
    }
}
