//! Facts about who answers in place of others, near us.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bellwether_model::FactKind;
use bellwether_model::dns::{AnswerKind, ServerSeen, ZoneSeen};
use bellwether_model::fact::Subject;
use bellwether_model::net::Family;
use bellwether_model::observation::DnsPurpose;
use serde_json::json;

use super::{Facts, addresses};
use crate::picture::Picture;
use crate::suffix::public_suffix;

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    canaries(picture, facts);
    delegating(picture, facts);
}

/// Addresses for a name that must not exist: by a root server's address, it is not the root that
/// answers; by a resolver, it answers whatever does not exist.
fn canaries(picture: &Picture<'_>, facts: &mut Facts) {
    for (id, seen, response) in picture.asides_for(DnsPurpose::Canary) {
        let question = &seen.exchange.question;
        if response.kind(question, None) != AnswerKind::Positive {
            continue;
        }
        let given = addresses(&response.addresses(question));
        if !seen.exchange.recursion {
            let value = json!({ "server": seen.server.to_string(), "name": question.name, "addresses": given });
            facts.add(FactKind::CanaryResolves, Subject::Vantage, value, [id]);
            continue;
        }
        let mut asked = picture.resolvers.iter();
        let Some(resolver) = asked.find(|r| r.seen.address.ip() == seen.server) else {
            continue;
        };
        let value =
            json!({ "resolver": resolver.label, "name": question.name, "addresses": given });
        let subject = Subject::Resolver(resolver.label.clone());
        facts.add(FactKind::ResolverAnswersCanary, subject, value, [id]);
    }
}

/// The root and the zones under which names are registered delegate, and no more: whoever gives a final
/// answer without authority at the addresses of their servers, at all of one family and more than one, is
/// a resolver. Whoever stands in between may do so for one family only.
fn delegating(picture: &Picture<'_>, facts: &mut Facts) {
    for (id, level) in &picture.levels {
        let zone = &level.zone;
        if level.name == *zone || !zone.is_root() && public_suffix(&level.name) != *zone {
            continue;
        }
        for family in [Family::V4, Family::V6] {
            let servers = level.servers.iter().filter(|s| s.answers());
            let answering = servers.filter(|s| Family::of(s.address) == family);
            let answering: Vec<&ServerSeen> = answering.collect();
            let who: BTreeSet<IpAddr> = answering
                .iter()
                .filter(|s| answers_finally(s, level))
                .map(|s| s.address)
                .collect();
            if who.len() < 2 || who.len() != answering.len() {
                continue;
            }
            let value = json!({ "servers": addresses(&who), "name": level.name, "zone": zone });
            let kind = match zone.is_root() {
                true => FactKind::RootAnswersItself,
                false => FactKind::RegistryAnswersItself,
            };
            facts.add(kind, Subject::Vantage, value, [*id]);
        }
    }
}

/// Does a server give what only a resolver, or a server of the name's own zone, would?
fn answers_finally(server: &ServerSeen, level: &ZoneSeen) -> bool {
    server.exchanges.iter().any(|e| {
        let about = e.question.name == level.name && !e.recursion;
        let response = e.response().filter(|r| about && !r.flags.aa && r.flags.ra);
        response.is_some_and(|r| {
            matches!(
                r.kind(&e.question, Some(&level.zone)),
                AnswerKind::Positive | AnswerKind::Alias
            )
        })
    })
}
