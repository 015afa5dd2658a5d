//! Large answers that resolvers do not bring.

use std::collections::BTreeSet;

use bellwether_model::FactKind;
use bellwether_model::dns::{Exchange, Question, Rcode, Response};
use bellwether_model::fact::Subject;
use bellwether_model::observation::DnsPurpose;
use serde_json::json;

use super::Facts;
use crate::picture::Picture;

/// Octets that every path and resolver brings (RFC 1035 section 4.2.1).
const SMALL: usize = 512;

/// What name servers give, as an observation of ours shows.
struct Given<'a> {
    question: &'a Question,
    octets: usize,
    from: &'a str,
}

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    let given = given(picture);
    for resolver in &picture.resolvers {
        let asked: BTreeSet<&Question> = resolver.seen.large.iter().map(|e| &e.question).collect();
        let lost = asked.into_iter().filter_map(|question| {
            let own = given.iter().find(|g| g.question == question)?;
            let mut all = resolver.seen.large.iter();
            let mine = || all.clone().filter(|e| e.question == *question);
            if mine().any(brings) {
                return None;
            }
            let last = all.rfind(|e| e.question == *question && e.was_asked())?;
            Some((own, how(last)))
        });
        for (own, how) in lost {
            let value = json!({
                "resolver": resolver.label,
                "name": own.question.name,
                "type": own.question.rtype,
                "octets": own.octets,
                "answer": how,
            });
            facts.add(
                FactKind::ResolverLosesLarge,
                Subject::Resolver(resolver.label.clone()),
                value,
                [resolver.id, own.from],
            );
        }
    }
}

/// The declared ones by our own iteration, and what the servers of the target's zone give.
fn given<'a>(picture: &Picture<'a>) -> Vec<Given<'a>> {
    let whole = |e: &Exchange, r: &Response| {
        r.flags.aa && r.rcode == Rcode::NOERROR && !r.records(&e.question).is_empty()
    };
    let declared = picture.asides_for(DnsPurpose::LargeAnswer);
    let declared = declared.map(|(id, seen, _)| (id, &seen.exchange));
    let walked = picture.levels.iter().flat_map(|(id, level)| {
        let servers = level.servers.iter().filter(|_| level.holds_name);
        servers.flat_map(|s| s.exchanges.iter().map(|e| (*id, e)))
    });
    let all = declared.chain(walked).filter_map(|(from, exchange)| {
        let response = exchange.response().filter(|r| whole(exchange, r))?;
        Some(Given {
            question: &exchange.question,
            octets: response.size,
            from,
        })
    });
    let mut all: Vec<Given<'a>> = all.filter(|g| g.octets > SMALL).collect();
    // The largest of each question, and of equal ones the first, in whatever order they came.
    all.sort_by(|a, b| (b.octets, a.from.len(), a.from).cmp(&(a.octets, b.from.len(), b.from)));
    all
}

fn brings(exchange: &Exchange) -> bool {
    exchange.response().is_some_and(|r| {
        r.rcode == Rcode::NOERROR && !r.flags.tc && !r.records(&exchange.question).is_empty()
    })
}

fn how(exchange: &Exchange) -> String {
    match exchange.response() {
        None => "no answer".to_owned(),
        Some(r) if r.rcode != Rcode::NOERROR => r.rcode.to_string(),
        Some(r) if r.flags.tc => "cut, and not over TCP".to_owned(),
        Some(_) => "no records".to_owned(),
    }
}
