//! The top-level domains of a world.

use std::collections::{BTreeMap, BTreeSet};

use crate::scenario::{Addresses, Spec};
use crate::target::target_host;

/// The top-level domains of every name that a scenario speaks of.
pub(crate) fn tlds(spec: &Spec) -> Vec<String> {
    let world = &spec.world;
    let sets = spec.steps.iter().filter_map(|step| step.set.as_ref());
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut add_servers = |servers: &BTreeMap<String, Addresses>| {
        names.extend(servers.keys().cloned());
    };
    world.zones.iter().for_each(|z| add_servers(&z.servers));
    for patch in sets.clone().flat_map(|set| set.zones.values()) {
        patch.servers.iter().for_each(&mut add_servers);
    }
    names.extend(world.zones.iter().map(|z| z.apex.clone()));
    names.extend(
        world
            .zones
            .iter()
            .flat_map(|z| z.ns.iter().flatten().cloned()),
    );
    let delegations = sets
        .flat_map(|set| &set.delegation)
        .chain(&world.delegation);
    for (apex, delegation) in delegations {
        names.insert(apex.clone());
        names.extend(delegation.names.iter().cloned());
    }
    names.extend(spec.services.iter().filter_map(target_host));
    let patched = spec.steps.iter().filter_map(|step| step.set.as_ref());
    let patched = patched
        .flat_map(|set| set.hosts.values())
        .filter_map(|h| h.tls.as_ref());
    for tls in world
        .hosts
        .iter()
        .filter_map(|h| h.tls.as_ref())
        .chain(patched)
    {
        names.extend(tls.names.iter().chain(&tls.without_sni).flatten().cloned());
    }
    let last = |name: &String| {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let last = name.rsplit('.').next().unwrap_or_default().to_owned();
        let is_label = last.starts_with(|c: char| c.is_ascii_alphabetic());
        is_label.then_some(last)
    };
    let found: BTreeSet<String> = names.iter().filter_map(last).collect();
    found.into_iter().collect()
}
