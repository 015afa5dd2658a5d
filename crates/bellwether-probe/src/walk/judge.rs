//! What one answer says about where the zone cuts are.

use bellwether_model::DnsName;
use bellwether_model::dns::{Exchange, Question, Rcode, Record, Referral, Response};

use super::iterate::is_below;

/// What an answer to the walk's own question means for the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The zone of the name is further down.
    Down(Referral),
    /// The server has authority, and its zone's apex is this one.
    Here(DnsName),
    /// The server has authority for the name; in which zone is not said.
    HereSomewhere,
    /// Nothing usable.
    Nothing,
}

/// Reads an answer of a server of `zone` to a question for `name`.
pub(super) fn step(zone: &DnsName, name: &DnsName, response: &Response) -> Step {
    if let Some(referral) = response.referral(name)
        && is_below(&referral.zone, zone)
        && soa_owner(zone, name, response).is_none()
    {
        return Step::Down(referral);
    }
    let is_final =
        matches!(response.rcode, Rcode::NOERROR | Rcode::NXDOMAIN) || response.is_alias_loop(name);
    // What is cut away may be a referral as well as an answer.
    let is_cut = response.flags.tc || response.malformed.is_some();
    let is_empty = response.answer.is_empty() && response.authority.is_empty();
    if !response.flags.aa || !is_final || (is_cut && is_empty) {
        return Step::Nothing;
    }
    if name == zone || !response.aliases(name).is_empty() {
        // The SOA of a negative answer behind an alias belongs to the alias's target.
        return if name == zone || zone.labels().len() > 1 {
            Step::Here(zone.clone())
        } else {
            Step::HereSomewhere
        };
    }
    match soa_owner(zone, name, response) {
        Some(apex) => Step::Here(apex),
        None => Step::HereSomewhere,
    }
}

/// The apex that the SOA record of a response names: the zone which a server that hosts both a
/// zone and one below it took the answer from (RFC 2308 section 3).
pub(super) fn soa_owner(zone: &DnsName, name: &DnsName, response: &Response) -> Option<DnsName> {
    let records = response.answer.iter().chain(&response.authority);
    records
        .filter(|r| r.rtype == "SOA" && name.is_at_or_below(&r.name) && r.name.is_at_or_below(zone))
        .map(|r| r.name.clone())
        .max_by_key(|n| n.labels().len())
}

/// The NS set that a response gives for `zone`, as a referral's.
pub(super) fn ns_set(zone: &DnsName, response: &Response) -> Option<Referral> {
    let is_ns = |r: &&Record| r.rtype == "NS" && r.name == *zone;
    let records: Vec<&Record> = response.answer.iter().filter(is_ns).collect();
    let mut names: Vec<DnsName> = records.iter().filter_map(|r| r.target()).collect();
    names.sort();
    names.dedup();
    let ttl = records.iter().map(|r| r.ttl).min()?;
    (!names.is_empty()).then(|| Referral {
        zone: zone.clone(),
        names,
        ttl,
    })
}

/// The alias chain of an answer as far as the zone that gives it can speak, and where to go on:
/// `None` if the answer says all there is to say.
pub(super) fn alias_step(
    zone: &DnsName,
    question: &Question,
    response: &Response,
) -> (Vec<DnsName>, Option<DnsName>) {
    // Who asks for the alias itself wants no further.
    if question.rtype == "CNAME" {
        return (Vec::new(), None);
    }
    let mut chain = response.aliases(&question.name);
    let Some(outside) = chain.iter().position(|n| !n.is_at_or_below(zone)) else {
        let end = chain.last().cloned();
        let is_loop = response.is_alias_loop(&question.name);
        let is_open = (response.rcode == Rcode::NOERROR || is_loop)
            && response.records(question).is_empty()
            && soa_owner(zone, end.as_ref().unwrap_or(&question.name), response).is_none();
        return (chain, end.filter(|_| is_open));
    };
    chain.truncate(outside + 1);
    let next = chain.last().cloned();
    (chain, next)
}

/// Did the server answer this question at all?
pub(super) fn is_answered(exchange: &Exchange) -> bool {
    exchange.response().is_some()
}

#[cfg(test)]
mod tests {
    use bellwether_model::dns::Flags;

    use super::*;

    fn name(text: &str) -> DnsName {
        DnsName::typed(text).unwrap()
    }

    fn response(aa: bool, rcode: Rcode, answer: &[[&str; 3]], authority: &[[&str; 3]]) -> Response {
        let records = |rows: &[[&str; 3]]| -> Vec<Record> {
            let record = |[owner, rtype, data]: &[&str; 3]| Record {
                name: name(owner),
                ttl: 60,
                rtype: (*rtype).to_owned(),
                data: (*data).to_owned(),
            };
            rows.iter().map(record).collect()
        };
        Response {
            flags: Flags {
                aa,
                ..Flags::default()
            },
            answer: records(answer),
            authority: records(authority),
            ..Response::empty(rcode)
        }
    }

    const SOA: &str = "ns. host. 1 2 3 4 5";

    #[test]
    fn steps_of_the_way() {
        let (zone, target) = (name("test"), name("www.svc.test"));
        let step = |r: &Response| step(&zone, &target, r);
        let ok = Rcode::NOERROR;
        let down = response(false, ok, &[], &[["svc.test", "NS", "ns1.a.test."]]);
        assert!(matches!(step(&down), Step::Down(r) if r.zone == name("svc.test")));
        let upwards = response(false, ok, &[], &[[".", "NS", "a.root-servers.net."]]);
        assert_eq!(step(&upwards), Step::Nothing);
        let denied = response(true, Rcode::NXDOMAIN, &[], &[["test", "SOA", SOA]]);
        assert_eq!(step(&denied), Step::Here(zone.clone()));
        let nodata = response(true, ok, &[], &[["svc.test", "SOA", SOA]]);
        assert_eq!(step(&nodata), Step::Here(name("svc.test")));
        let hosted_here_too = response(true, ok, &[["www.svc.test", "A", "192.0.2.1"]], &[]);
        assert_eq!(step(&hosted_here_too), Step::HereSomewhere);
        let no_authority = response(false, ok, &[["www.svc.test", "A", "192.0.2.1"]], &[]);
        assert_eq!(step(&no_authority), Step::Nothing);
        let refused = response(false, Rcode::REFUSED, &[], &[]);
        assert_eq!(step(&refused), Step::Nothing);
    }

    #[test]
    fn where_an_alias_leads() {
        let zone = name("svc.test");
        let question = Question {
            name: name("www.svc.test"),
            rtype: "A".into(),
        };
        let to = |r: &Response| alias_step(&zone, &question, r);
        let ok = Rcode::NOERROR;
        let outside = response(
            true,
            ok,
            &[
                ["www.svc.test", "CNAME", "www.cdn.test."],
                ["www.cdn.test", "A", "192.0.2.1"],
            ],
            &[],
        );
        assert_eq!(
            to(&outside),
            (vec![name("www.cdn.test")], Some(name("www.cdn.test")))
        );
        let inside = response(
            true,
            ok,
            &[
                ["www.svc.test", "CNAME", "lb.svc.test."],
                ["lb.svc.test", "A", "192.0.2.1"],
            ],
            &[],
        );
        assert_eq!(to(&inside), (vec![name("lb.svc.test")], None));
        let bare = response(true, ok, &[["www.svc.test", "CNAME", "lb.svc.test."]], &[]);
        assert_eq!(to(&bare).1, Some(name("lb.svc.test")));
        let dangling = response(
            true,
            ok,
            &[["www.svc.test", "CNAME", "lb.svc.test."]],
            &[["svc.test", "SOA", SOA]],
        );
        assert_eq!(to(&dangling).1, None);
    }
}
