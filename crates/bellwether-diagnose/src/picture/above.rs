//! Zones on the way from the root: their servers are asked for the name too, and have to delegate.

use std::collections::BTreeSet;

use bellwether_model::dns::{AnswerKind, Exchange, Response, ZoneSeen};
use bellwether_model::report::Context;

use super::Seen;
use super::zones::{Hop, ServerStatus, ServerView, hop};
use crate::suffix::public_suffix;

/// The zones above those that hold the names, each once.
pub(super) fn zones<'a>(
    context: &'a Context,
    levels: &[Seen<'a, ZoneSeen>],
    hops: &[Hop<'a>],
) -> Vec<Hop<'a>> {
    let mut found: Vec<Hop<'a>> = Vec::new();
    for below in hops {
        let mut at = below.seen;
        // Shorter with each turn: the loop ends at the root.
        while let Some(parent) = at
            .parent
            .as_ref()
            .filter(|p| p.labels().len() < at.zone.labels().len())
        {
            let level = levels
                .iter()
                .find(|(_, z)| z.zone == *parent && z.name == at.name);
            let Some((id, seen)) = level else { break };
            let is_known = found.iter().any(|h| h.seen.zone == *parent)
                || hops.iter().any(|h| h.seen.zone == *parent);
            if !is_known && !at.parent_sets.is_empty() {
                found.push(delegating(hop(context, id, seen), at));
            }
            at = seen;
        }
    }
    found
}

/// Who gave the delegation has answered, whatever else it holds.
fn delegating<'a>(mut above: Hop<'a>, below: &ZoneSeen) -> Hop<'a> {
    let givers: BTreeSet<&String> = below.parent_sets.iter().flat_map(|s| &s.given_by).collect();
    for server in &mut above.servers {
        let denies = matches!(server.status, ServerStatus::Denies(_));
        if givers.contains(&server.label) || denies && !of_this_zone(&above.seen.zone, server) {
            server.status = ServerStatus::Denies(AnswerKind::Referral);
        }
    }
    above
}

/// Is a denial made from this zone, and not from one further down that the server holds as well?
fn of_this_zone(zone: &bellwether_model::DnsName, server: &ServerView<'_>) -> bool {
    let responses = server.seen.exchanges.iter().filter_map(Exchange::response);
    let soa = |r: &Response| {
        let mut records = r.authority.iter();
        records.any(|r| r.rtype == "SOA" && r.name != *zone && r.name.is_at_or_below(zone))
    };
    !responses.into_iter().any(soa)
}

impl Hop<'_> {
    /// Servers that deny a name which others of the same zone delegate.
    pub fn denying_delegation(&self) -> impl Iterator<Item = &ServerView<'_>> {
        let delegates = |s: &ServerView<'_>| s.status == ServerStatus::Denies(AnswerKind::Referral);
        let some_do = self.delegated().any(delegates);
        self.delegated().filter(move |s| {
            let denies = matches!(
                s.status,
                ServerStatus::Denies(AnswerKind::NxDomain | AnswerKind::NoData)
            );
            some_do && denies
        })
    }

    /// Is it the root, or a zone under which names are registered?
    #[must_use]
    pub fn is_registry(&self) -> bool {
        public_suffix(&self.seen.name).is_at_or_below(&self.seen.zone)
    }
}
