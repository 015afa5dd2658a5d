//! Facts about who answers in place of others, near us.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bellwether_model::FactKind;
use bellwether_model::dns::AnswerKind;
use bellwether_model::fact::Subject;
use bellwether_model::observation::DnsPurpose;
use serde_json::json;

use super::{Facts, addresses};
use crate::picture::Picture;

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    canaries(picture, facts);
    root(picture, facts);
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

/// The root delegates and no more: whoever gives a final answer without authority at the addresses
/// of its servers, more than one of them, is a resolver.
fn root(picture: &Picture<'_>, facts: &mut Facts) {
    let Some((id, root)) = picture.levels.iter().find(|(_, z)| z.zone.is_root()) else {
        return;
    };
    if root.name.is_root() {
        return;
    }
    let final_answer = |s: &&bellwether_model::dns::ServerSeen| {
        s.exchanges.iter().any(|e| {
            let about = e.question.name == root.name;
            let response = e.response().filter(|r| about && !r.flags.aa && r.flags.ra);
            response.is_some_and(|r| {
                matches!(
                    r.kind(&e.question, Some(&root.zone)),
                    AnswerKind::Positive | AnswerKind::Alias
                )
            })
        })
    };
    let answering = || root.servers.iter().filter(|s| s.answers());
    let who: BTreeSet<IpAddr> = answering()
        .filter(final_answer)
        .map(|s| s.address)
        .collect();
    if who.len() > 1 && who.len() == answering().count() {
        let value = json!({ "servers": addresses(&who), "name": root.name });
        facts.add(FactKind::RootAnswersItself, Subject::Vantage, value, [*id]);
    }
}
