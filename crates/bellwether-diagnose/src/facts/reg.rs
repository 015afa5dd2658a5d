//! Facts about what registries publish, and whether their servers answer.

use bellwether_model::dns::{HostFailure, HostSeen, ListedBy};
use bellwether_model::fact::Subject;
use bellwether_model::{DnsName, FactKind};
use serde_json::json;

use super::Facts;
use crate::picture::{Hop, Picture};
use crate::suffix::public_suffix;

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    for hop in picture.hops.iter().filter(|h| h.is_reached()) {
        doubled(picture, hop, facts);
        registry(hop, facts);
    }
}

/// Names of name servers to which the parent's own name was appended: a zone file reads a name
/// without its final dot as relative (RFC 1035 section 5.1).
fn doubled(picture: &Picture<'_>, hop: &Hop<'_>, facts: &mut Facts) {
    let is_registry = |p: &&DnsName| public_suffix(&hop.seen.name).is_at_or_below(p);
    let parent = hop.seen.parent.as_ref().filter(|p| !p.is_root());
    // In a zone of one's own nobody else has lost the dot: such a name has no address, as others.
    let Some(parent) = parent.filter(is_registry) else {
        return;
    };
    for host in hop.seen.hosts.iter().filter(|h| is_lost(h)) {
        let Some(meant) = without(&host.name, parent) else {
            continue;
        };
        let is_known = meant.is_at_or_below(parent) || remembered(picture, hop, &meant);
        if meant.labels().len() < 2 || !is_known {
            continue;
        }
        let value = json!({
            "name_server": host.name, "parent": parent, "meant": meant,
            "given_by": hop.seen.parent_sets.iter().filter(|s| s.names.contains(&host.name))
                .flat_map(|s| &s.given_by).collect::<Vec<_>>(),
        });
        let subject = Subject::NameServer(host.name.clone(), None);
        let zone = Some(&hop.seen.zone);
        facts.add_in(zone, FactKind::NsNameDoubled, subject, value, [hop.id]);
    }
}

/// The parent names it, and it leads nowhere.
fn is_lost(host: &HostSeen) -> bool {
    let from_parent = host.listed_by.contains(&ListedBy::Parent);
    let failed = matches!(
        host.failure,
        Some(HostFailure::NxDomain | HostFailure::NoData | HostFailure::ServersFail)
    );
    from_parent && failed && host.findable().is_empty()
}

/// The name before the zone's was appended.
fn without(name: &DnsName, zone: &DnsName) -> Option<DnsName> {
    let kept = name.as_str().strip_suffix(zone.as_str())?;
    DnsName::presentation(kept).ok()
}

/// Does anything but the parent know this name as a name server of the zone?
fn remembered(picture: &Picture<'_>, hop: &Hop<'_>, name: &DnsName) -> bool {
    let baseline = hop.before.iter().flat_map(|b| &b.parent_names);
    let declared = &picture.context.expect.name_servers;
    let others = hop.seen.hosts.iter().filter(|h| {
        let other = |by: &ListedBy| !matches!(by, ListedBy::Parent);
        h.listed_by.iter().any(other)
    });
    baseline
        .chain(declared)
        .chain(others.map(|h| &h.name))
        .any(|known| known == name)
}

/// The walk ended at a zone under which names are registered, since none of its servers is of use.
#[must_use]
pub(crate) fn registry_fails(hop: &Hop<'_>) -> bool {
    let zone = &hop.seen.zone;
    let is_registry =
        zone.labels().len() > 1 && hop.seen.name != *zone && public_suffix(&hop.seen.name) == *zone;
    is_registry && hop.delegated().next().is_some() && hop.all_unusable()
}

fn registry(hop: &Hop<'_>, facts: &mut Facts) {
    if !registry_fails(hop) {
        return;
    }
    let labels: Vec<&str> = hop.delegated().map(|s| s.label.as_str()).collect();
    let value = json!({ "zone": hop.seen.zone, "name_servers": labels });
    let subject = Subject::Zone(hop.seen.zone.clone());
    facts.add(FactKind::RegistryServersFail, subject, value, [hop.id]);
}
