//! Facts about answers that a wildcard makes (RFC 4592).

use std::collections::BTreeSet;

use bellwether_model::FactKind;
use bellwether_model::dns::Exchange;
use bellwether_model::fact::Subject;
use serde_json::json;

use super::{Facts, addresses};
use crate::picture::{Hop, Picture};

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    let Some(hop) = picture.own_hop().filter(|h| h.is_reached()) else {
        return;
    };
    let Some((label, same)) = caught(hop) else {
        return;
    };
    if !same {
        return;
    }
    let given: BTreeSet<_> = hop
        .delegated()
        .flat_map(|s| s.leads_to.iter().copied())
        .collect();
    let zone = Subject::Zone(hop.seen.zone.clone());
    let value = json!({
        "name": hop.seen.name, "canary": hop.seen.canary, "given_by": label, "addresses": addresses(&given),
    });
    facts.add(FactKind::WildcardAnswers, zone.clone(), value, [hop.id]);
    let views = || given.iter().filter_map(|a| picture.addresses.get(a));
    let is_stranger =
        |v: &crate::picture::AddressView<'_>| v.is_a_strangers() && v.before.is_none();
    if views().next().is_none() || !views().all(is_stranger) {
        return;
    }
    let shown: BTreeSet<&str> = views()
        .filter_map(|v| v.tls)
        .flat_map(|(_, t)| t.chain.first())
        .flat_map(|c| c.names.iter().map(String::as_str))
        .collect();
    let from = views().filter_map(|v| v.tls.map(|(id, _)| id));
    let value = json!({ "addresses": addresses(&given), "presented": shown });
    facts.add(FactKind::WildcardStranger, zone, value, from);
}

/// The server that answered the canary, and whether as it answers the name.
fn caught<'h>(hop: &'h Hop<'_>) -> Option<(&'h str, bool)> {
    let canary = hop.seen.canary.as_ref()?;
    hop.delegated().find_map(|server| {
        let about = |e: &&Exchange| e.question.name == *canary;
        let exchange = server.seen.exchanges.iter().find(about)?;
        let response = exchange.response().filter(|r| r.flags.aa)?;
        let given: BTreeSet<_> = response.addresses(&exchange.question).into_iter().collect();
        let alias = response.aliases(canary);
        let same = (!given.is_empty() && given.is_subset(&server.addresses))
            || (!alias.is_empty() && alias == server.aliases);
        Some((server.label.as_str(), same))
    })
}
