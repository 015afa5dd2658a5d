//! Facts about single name servers that users' resolvers come to.

use bellwether_model::dns::{AnswerKind, Exchange, Rcode, Transport};
use bellwether_model::fact::Subject;
use bellwether_model::{DnsName, FactKind};
use serde_json::json;

use super::delegation::status_word;
use super::{Facts, addresses, lost};
use crate::picture::{Hop, NO_ANSWER, Picture, QUICK_MS, ServerStatus, ServerView, is_good};

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    let knew_it = picture
        .context
        .baseline
        .as_ref()
        .is_some_and(|b| !b.addresses.is_empty());
    for (index, hop) in picture
        .hops
        .iter()
        .enumerate()
        .filter(|(_, h)| h.is_reached())
    {
        // Of a registry's servers one fact is told of all of them.
        if super::reg::registry_fails(hop) {
            continue;
        }
        for server in hop.delegated() {
            status(hop, server, facts);
            transports(picture, hop, server, facts);
        }
        all_servfail(hop, facts);
        denials(hop, index, facts);
        serials(hop, knew_it, facts);
        alone(picture, hop, facts);
    }
    for zone in &picture.above {
        on_the_way(zone, facts);
    }
}

/// Servers of a zone above that do not delegate what others of it do.
fn on_the_way(hop: &Hop<'_>, facts: &mut Facts) {
    let delegates = |s: &&ServerView<'_>| s.status == ServerStatus::Denies(AnswerKind::Referral);
    let have: Vec<&str> = hop
        .delegated()
        .filter(delegates)
        .map(|s| s.label.as_str())
        .collect();
    if have.is_empty() {
        return;
    }
    let zone = Some(&hop.seen.zone);
    for server in hop.denying_delegation() {
        let value = json!({
            "name": hop.seen.name, "zone": hop.seen.zone, "name_server": server.label,
            "answer": status_word(&server.status), "others_have_it": have,
        });
        let kind = match hop.is_registry() {
            true => FactKind::RegistryServerDenies,
            false => FactKind::NsDeniesExistingName,
        };
        facts.add_in(zone, kind, subject(server), value, [hop.id]);
    }
    // Of the root's servers one more or less is nobody's loss.
    if hop.seen.zone.is_root() {
        return;
    }
    for server in hop.delegated().filter(|s| s.status.is_unusable()) {
        if !hop.is_registry() {
            status(hop, server, facts);
            continue;
        }
        let value = json!({
            "zone": hop.seen.zone, "name_server": server.label,
            "answer": status_word(&server.status),
        });
        let kind = FactKind::RegistryServerFails;
        facts.add_in(zone, kind, subject(server), value, [hop.id]);
    }
}

/// No resolver gets anything but SERVFAIL here: the servers run and have lost their zone.
fn all_servfail(hop: &Hop<'_>, facts: &mut Facts) {
    let servfail = |s: &ServerView<'_>| s.status == ServerStatus::Error(Rcode::SERVFAIL);
    let labels: Vec<&str> = hop
        .delegated()
        .filter(|s| servfail(s))
        .map(|s| s.label.as_str())
        .collect();
    if !labels.is_empty() && hop.delegated().all(servfail) {
        let value = json!({ "zone": hop.seen.zone, "name_servers": labels });
        facts.add(
            FactKind::AllNsServfail,
            Subject::Zone(hop.seen.zone.clone()),
            value,
            [hop.id],
        );
    }
}

fn subject(server: &ServerView<'_>) -> Subject {
    Subject::NameServer(server.seen.name.clone(), Some(server.seen.address))
}

fn status(hop: &Hop<'_>, server: &ServerView<'_>, facts: &mut Facts) {
    let zone: Option<&DnsName> = Some(&hop.seen.zone);
    let (kind, value) = match &server.status {
        ServerStatus::Silent(how) => (
            FactKind::NsSilent,
            json!({ "name_server": server.label, "how": how }),
        ),
        ServerStatus::Error(rcode) => (
            FactKind::NsRcode,
            json!({ "name_server": server.label, "rcode": rcode.to_string() }),
        ),
        ServerStatus::NotAuthoritative { upward } => (
            FactKind::NsNotAuthoritative,
            json!({ "name_server": server.label, "upward_referral": upward }),
        ),
        ServerStatus::Truncated
        | ServerStatus::Malformed { .. }
        | ServerStatus::FailsType
        | ServerStatus::Denies(_)
        | ServerStatus::Answers
        | ServerStatus::NotAsked(_) => return,
    };
    facts.add_in(zone, kind, subject(server), value, [hop.id]);
}

/// Can something be said of TCP here? Not of a server that is slow over UDP too (TCP takes a wait more, and
/// gets no longer), or that fails whatever
/// is asked in letters of both cases, as every question over TCP is.
pub(super) fn tells_of_tcp(server: &ServerView<'_>) -> bool {
    let all = server.seen.exchanges.iter();
    let udp = all.filter(|e| e.transport == Transport::Udp && e.response().is_some());
    let quick = udp.clone().any(|e| e.took_ms < QUICK_MS);
    let mut good = udp.filter(|e| is_good(e)).peekable();
    quick && (good.peek().is_none() || good.any(|e| !e.lower_case))
}

/// One protocol dead where the other works.
fn transports(picture: &Picture<'_>, hop: &Hop<'_>, server: &ServerView<'_>, facts: &mut Facts) {
    let asked = |wanted: &dyn Fn(&Exchange) -> bool| -> Vec<&Exchange> {
        let all = server.seen.exchanges.iter();
        all.filter(|e| e.was_asked() && wanted(e)).collect()
    };
    let answered = |all: &[&Exchange]| all.iter().any(|e| e.response().is_some());
    let tcp = asked(&|e| e.transport == Transport::Tcp);
    let with_edns = asked(&|e| e.transport == Transport::Udp && e.edns);
    let plain = asked(&|e| e.transport == Transport::Udp && !e.edns);
    let zone = Some(&hop.seen.zone);
    if answered(&with_edns) && !tcp.is_empty() && !answered(&tcp) && tells_of_tcp(server) {
        let value = json!({ "name_server": server.label });
        facts.add_in(zone, FactKind::NsTcpFails, subject(server), value, [hop.id]);
    }
    // A server that does not know EDNS says FORMERR or NOTIMP (RFC 6891 section 7), and is asked without.
    let fails = |e: &&Exchange| match e.response().map(|r| r.rcode) {
        None => true,
        Some(rcode) => matches!(rcode, Rcode::SERVFAIL | Rcode::REFUSED | Rcode::BADVERS),
    };
    let serves = |e: &&Exchange| e.response().is_some_and(|r| r.flags.aa) && is_good(e);
    if !with_edns.is_empty() && with_edns.iter().all(fails) && plain.iter().any(serves) {
        let rcode = with_edns.iter().find_map(|e| Some(e.response()?.rcode));
        if rcode.is_none() && lost::is_any(picture, hop, |e| e.edns) {
            return;
        }
        let answer = rcode.map_or(NO_ANSWER.to_owned(), |r| r.to_string());
        let value = json!({ "name_server": server.label, "answer": answer });
        facts.add_in(
            zone,
            FactKind::NsEdnsFails,
            subject(server),
            value,
            [hop.id],
        );
    }
}

/// Servers that deny what others have, and what all deny.
fn denials(hop: &Hop<'_>, index: usize, facts: &mut Facts) {
    let have: Vec<&str> = hop
        .delegated()
        .filter(|s| s.status == ServerStatus::Answers)
        .map(|s| s.label.as_str())
        .collect();
    let deny: Vec<&ServerView<'_>> = hop
        .delegated()
        .filter(|s| matches!(s.status, ServerStatus::Denies(k) if k != AnswerKind::Referral))
        .collect();
    if deny.is_empty() {
        return;
    }
    // What an alias leads to and is not there is told of the alias, whose owner can change it.
    if have.is_empty() && index > 0 {
        return;
    }
    if have.is_empty() {
        let each: Vec<String> = deny
            .iter()
            .map(|s| format!("{}: {}", s.label, status_word(&s.status)))
            .collect();
        let value = json!({ "name": hop.seen.name, "zone": hop.seen.zone, "name_servers": each });
        let subject = Subject::Zone(hop.seen.zone.clone());
        facts.add(FactKind::RrsetEmptyEverywhere, subject, value, [hop.id]);
        return;
    }
    for server in deny {
        let value = json!({
            "name": hop.seen.name,
            "name_server": server.label,
            "answer": status_word(&server.status),
            "others_have_it": have,
        });
        let zone = Some(&hop.seen.zone);
        facts.add_in(
            zone,
            FactKind::NsDeniesExistingName,
            subject(server),
            value,
            [hop.id],
        );
    }
}

/// Serial numbers behind the newest (RFC 1982 arithmetic), where the answers differ too.
///
/// Some operators number each server's copy by itself, so a number alone says nothing: it counts
/// only beside an answer that the newer servers do not give.
///
/// A server that denies a name which was there before has no *older* copy: that is a blank zone.
fn serials(hop: &Hop<'_>, knew_it: bool, facts: &mut Facts) {
    let known = || hop.delegated().filter(|s| s.serial.is_some());
    let Some(newest) = known()
        .filter_map(|s| s.serial)
        .reduce(|a, b| if behind(a, b) { b } else { a })
    else {
        return;
    };
    let current: Vec<&ServerView<'_>> = known().filter(|s| s.serial == Some(newest)).collect();
    for server in known() {
        let Some(serial) = server.serial.filter(|s| behind(*s, newest)) else {
            continue;
        };
        let same = current.iter().any(|c| {
            c.status == server.status
                && c.addresses == server.addresses
                && c.aliases == server.aliases
                && c.values == server.values
        });
        let lost = knew_it && matches!(server.status, ServerStatus::Denies(_));
        if same || lost {
            continue;
        }
        let value = json!({
            "name_server": server.label,
            "serial": serial,
            "newest": newest,
            "addresses": addresses(&server.addresses),
        });
        let zone = Some(&hop.seen.zone);
        facts.add_in(
            zone,
            FactKind::SerialBehind,
            subject(server),
            value,
            [hop.id],
        );
    }
}

/// A server whose addresses nobody else gives, while all others agree: no serial tells why.
///
/// Two against one at least, or the baseline tells which of the two is older. Where answers take turns
/// the others do not agree.
fn alone(picture: &Picture<'_>, hop: &Hop<'_>, facts: &mut Facts) {
    let answering: Vec<&ServerView<'_>> = hop
        .delegated()
        .filter(|s| s.status == ServerStatus::Answers && s.aliases.is_empty())
        .filter(|s| !s.addresses.is_empty())
        .collect();
    let serials: Vec<Option<u32>> = answering.iter().map(|s| s.serial).collect();
    if serials.iter().any(|s| s.is_none() || *s != serials[0]) {
        return;
    }
    let baseline = picture.context.baseline.iter();
    let before: Vec<_> = baseline
        .flat_map(|b| b.addresses.iter().map(|a| a.address))
        .collect();
    for server in &answering {
        let others: Vec<&&ServerView<'_>> = answering
            .iter()
            .filter(|s| s.seen.name != server.seen.name)
            .collect();
        // One server at several addresses has one copy.
        let names: std::collections::BTreeSet<&DnsName> =
            others.iter().map(|s| &s.seen.name).collect();
        let Some(first) = others.first() else {
            continue;
        };
        let agree = others.iter().all(|s| s.addresses == first.addresses);
        let is_apart = first.addresses.is_disjoint(&server.addresses);
        let is_old = server.addresses.iter().all(|a| before.contains(a))
            && !first.addresses.iter().any(|a| before.contains(a));
        if !agree || !is_apart || !(names.len() >= 2 || is_old) {
            continue;
        }
        let value = json!({
            "name": hop.seen.name, "name_server": server.label, "serial": server.serial,
            "addresses": addresses(&server.addresses), "others": addresses(&first.addresses),
        });
        let zone = Some(&hop.seen.zone);
        let kind = FactKind::NsAnswersAlone;
        facts.add_in(zone, kind, subject(server), value, [hop.id]);
    }
}

/// Is `a` before `b` in serial number arithmetic (RFC 1982 section 3.2)?
fn behind(a: u32, b: u32) -> bool {
    a != b && b.wrapping_sub(a) < 1 << 31
}

#[cfg(test)]
mod tests {
    use super::behind;

    #[test]
    fn serials_wrap() {
        assert!(behind(1, 2));
        assert!(behind(u32::MAX, 0));
        assert!(!behind(2, 1));
        assert!(!behind(7, 7));
    }
}
