//! Facts about what a zone holds, where its servers agree, and about the size of its answers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bellwether_model::FactKind;
use bellwether_model::egress::AddressClass;
use bellwether_model::fact::Subject;
use bellwether_model::net::Family;
use serde_json::json;

use super::{Facts, addresses};
use crate::picture::{Hop, Picture, ServerStatus, ServerView};

/// Bytes of a DNS header, and of a question without its name (RFC 1035 section 4.1).
const HEADER_LEN: usize = 12;
const QUESTION_FIXED_LEN: usize = 5;
/// Bytes of an A and of an AAAA record whose owner is a compression pointer.
const A_LEN: usize = 16;
const AAAA_LEN: usize = 28;

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    aliases(picture, facts);
    private(picture, facts);
    changed(picture, facts);
    added(picture, facts);
    unexpected(picture, facts);
    size(picture, facts);
    existence(picture, facts);
}

fn zone(hop: &Hop<'_>) -> Subject {
    Subject::Zone(hop.seen.zone.clone())
}

/// Alias chains that come back, or end nowhere.
fn aliases(picture: &Picture<'_>, facts: &mut Facts) {
    let chain: Vec<_> = picture.hops.iter().map(|h| &h.seen.name).collect();
    for (index, hop) in picture.hops.iter().enumerate() {
        let inside = hop.delegated().find_map(|s| {
            let end = s.aliases.last()?;
            let repeats = *end == hop.seen.name || s.aliases[..s.aliases.len() - 1].contains(end);
            (repeats || chain[..index].contains(&end)).then(|| s.aliases.clone())
        });
        if let Some(names) = inside {
            let mut all = vec![hop.seen.name.clone()];
            all.extend(names);
            let value = json!({ "aliases": super::names(&all) });
            let from = picture.hops[..=index].iter().map(|h| h.id);
            // The loop is in the zone that the target's own owner can change.
            let subject = picture.own_hop().map_or_else(|| zone(hop), zone);
            facts.add(FactKind::CnameLoop, subject, value, from);
        }
    }
    endless(picture, facts);
    let Some(last) = picture.hops.last() else {
        return;
    };
    // Inside one zone the denial comes with the alias: it is said of its target (RFC 6604).
    let behind = last.delegated().find_map(|s| {
        let is_denied = matches!(s.status, ServerStatus::Denies(_));
        let (end, before) = s.aliases.split_last().filter(|_| is_denied)?;
        Some((end, before.last().unwrap_or(&last.seen.name)))
    });
    let denied = last.delegated().next().is_some()
        && last
            .delegated()
            .all(|s| matches!(s.status, ServerStatus::Denies(_)));
    if let Some((target, alias)) = behind.filter(|_| denied) {
        let value = json!({ "alias": alias, "target": target, "zone": last.seen.zone });
        let from = picture.hops.iter().map(|h| h.id);
        facts.add(FactKind::CnameTargetMissing, zone(last), value, from);
    } else if denied && picture.hops.len() > 1 {
        let before = &picture.hops[picture.hops.len() - 2];
        let value =
            json!({ "alias": before.seen.name, "target": last.seen.name, "zone": last.seen.zone });
        let from = picture.hops.iter().map(|h| h.id);
        facts.add(FactKind::CnameTargetMissing, zone(before), value, from);
    }
}

/// Aliases that lead on past where we and every resolver follow them.
fn endless(picture: &Picture<'_>, facts: &mut Facts) {
    let Some((first, all)) = picture.own_hop().zip(crate::units::endless(picture)) else {
        return;
    };
    let value = json!({ "aliases": super::names(&all), "endless": true });
    let from = picture.hops.iter().map(|h| h.id);
    facts.add(FactKind::CnameLoop, zone(first), value, from);
}

/// Private addresses in what the public tree answers.
fn private(picture: &Picture<'_>, facts: &mut Facts) {
    let Some(hop) = picture.last_hop() else {
        return;
    };
    let given: BTreeSet<IpAddr> = hop
        .delegated()
        .flat_map(|s| s.addresses.iter().copied())
        .collect();
    let inside: Vec<IpAddr> = given
        .iter()
        .copied()
        .filter(|a| !AddressClass::of(*a).is_public())
        .collect();
    for address in inside {
        let value =
            json!({ "address": address.to_string(), "class": AddressClass::of(address).words() });
        let mut servers = hop
            .delegated()
            .filter(|s| s.status == ServerStatus::Answers);
        let everywhere = servers.all(|s| s.addresses.contains(&address));
        let subject = if everywhere {
            zone(hop)
        } else {
            Subject::Address(address)
        };
        facts.add(FactKind::PrivateAddress, subject, value, [hop.id]);
    }
}

/// The addresses against the baseline's, the NS set being the same.
fn changed(picture: &Picture<'_>, facts: &mut Facts) {
    let (Some(hop), Some(baseline)) = (picture.last_hop(), &picture.context.baseline) else {
        return;
    };
    let now: BTreeSet<IpAddr> = hop
        .delegated()
        .flat_map(|s| s.addresses.iter().copied())
        .collect();
    let before: BTreeSet<IpAddr> = baseline.addresses.iter().map(|a| a.address).collect();
    if now.is_empty() || before.is_empty() || !now.is_disjoint(&before) {
        return;
    }
    let value = json!({ "before": addresses(&before), "after": addresses(&now) });
    facts.add(FactKind::RecordsChanged, zone(hop), value, [hop.id]);
    let owner = |a: &IpAddr| picture.addresses.get(a).and_then(|v| v.owner.clone());
    let after: Vec<_> = now.iter().filter_map(owner).collect();
    let earlier: Vec<_> = baseline
        .addresses
        .iter()
        .filter_map(|a| a.owner.clone())
        .collect();
    let foreign = !after.is_empty()
        && !earlier.is_empty()
        && !after
            .iter()
            .any(|a| earlier.iter().any(|b| a.same_operator(b)));
    if foreign && !facts.holds(FactKind::OwnerChanged, &zone(hop)) {
        let text = |all: &[bellwether_model::Owner]| -> BTreeSet<String> {
            all.iter().map(ToString::to_string).collect()
        };
        let value = json!({ "before": text(&earlier), "after": text(&after) });
        facts.add(FactKind::OwnerChanged, zone(hop), value, [hop.id]);
    }
}

/// Addresses beside known ones: of an operator that none of the baseline's belongs to, and whose hosts
/// show certificates for other names. All servers give them, and they are the same as before.
fn added(picture: &Picture<'_>, facts: &mut Facts) {
    let (Some(hop), Some(baseline)) = (picture.last_hop(), &picture.context.baseline) else {
        return;
    };
    let moved = [
        FactKind::ParentNsChanged,
        FactKind::NsUnexpected,
        FactKind::RecordsChanged,
    ];
    if moved.iter().any(|kind| facts.holds(*kind, &zone(hop))) {
        return;
    }
    let earlier: Vec<_> = baseline
        .addresses
        .iter()
        .filter_map(|a| a.owner.as_ref())
        .collect();
    let known = |a: &IpAddr| baseline.addresses.iter().any(|b| b.address == *a);
    let text = |owner: &bellwether_model::Owner| owner.to_string();
    for view in picture
        .addresses
        .values()
        .filter(|v| v.is_a_strangers() && !known(&v.address))
    {
        let Some(owner) = &view.owner else { continue };
        let mut servers = hop
            .delegated()
            .filter(|s| s.status == ServerStatus::Answers)
            .peekable();
        let everywhere =
            servers.peek().is_some() && servers.all(|s| s.addresses.contains(&view.address));
        if !everywhere || earlier.is_empty() || earlier.iter().any(|e| e.same_operator(owner)) {
            continue;
        }
        let before: BTreeSet<String> = earlier.iter().map(|o| text(o)).collect();
        let value = json!({
            "address": view.address.to_string(), "before": before, "after": [text(owner)],
        });
        let subject = Subject::Address(view.address);
        facts.add(FactKind::OwnerChanged, subject, value, [hop.id]);
    }
}

/// Addresses outside the networks that were declared.
fn unexpected(picture: &Picture<'_>, facts: &mut Facts) {
    let declared = &picture.context.expect.addresses;
    if declared.is_empty() {
        return;
    }
    for view in picture
        .addresses
        .values()
        .filter(|v| !v.servers.is_empty() || !v.resolvers.is_empty())
    {
        if declared.iter().any(|net| net.contains(&view.address)) {
            continue;
        }
        let nets: Vec<String> = declared.iter().map(ToString::to_string).collect();
        let value = json!({ "address": view.address.to_string(), "expected": nets });
        facts.add(
            FactKind::AddressUnexpected,
            Subject::Address(view.address),
            value,
            view.listed,
        );
    }
    let Some(hop) = picture.last_hop() else {
        return;
    };
    let given: BTreeSet<IpAddr> = hop
        .delegated()
        .flat_map(|s| s.addresses.iter().copied())
        .collect();
    if !given.is_empty()
        && !given
            .iter()
            .any(|a| declared.iter().any(|net| net.contains(a)))
    {
        let nets: Vec<String> = declared.iter().map(ToString::to_string).collect();
        let value = json!({ "addresses": addresses(&given), "expected": nets });
        facts.add(FactKind::AddressUnexpected, zone(hop), value, [hop.id]);
    }
}

/// The record set against the answer policy.
fn size(picture: &Picture<'_>, facts: &mut Facts) {
    let Some(hop) = picture.last_hop() else {
        return;
    };
    let policy = picture.context.expect.answer;
    for family in [Family::V4, Family::V6] {
        let largest = hop
            .delegated()
            .map(|s| largest_answer(hop, s, family))
            .max()
            .unwrap_or(0);
        let each = if family == Family::V4 {
            A_LEN
        } else {
            AAAA_LEN
        };
        let name_len = hop.seen.name.as_str().len() + 1;
        let bytes = HEADER_LEN + QUESTION_FIXED_LEN + name_len + largest * each;
        let over = |limit: u32, found: usize| u32::try_from(found).is_ok_and(|f| f > limit);
        let breach =
            over(policy.max_addresses, largest) || (largest > 0 && over(policy.max_bytes, bytes));
        if breach || over(policy.warn_addresses, largest) {
            let value = json!({
                "name": hop.seen.name,
                "family": family.name(),
                "records": largest,
                "bytes": bytes,
                "breach": breach,
                "policy": { "warn_addresses": policy.warn_addresses,
                            "max_addresses": policy.max_addresses, "max_bytes": policy.max_bytes },
            });
            facts.add(FactKind::AnswerTooLarge, Subject::Service, value, [hop.id]);
        }
    }
}

/// Most addresses of a family in one answer: what a rotation shows in turn does not add up.
fn largest_answer(hop: &Hop<'_>, server: &ServerView<'_>, family: Family) -> usize {
    let asked = server.seen.exchanges.iter();
    let about = asked.filter(|e| e.question.name == hop.seen.name);
    let counts = about.filter_map(|e| {
        let found = e.response()?.addresses(&e.question);
        Some(found.iter().filter(|a| Family::of(**a) == family).count())
    });
    counts.max().unwrap_or(0)
}

/// `exists: false` and declared record data against what the servers say.
fn existence(picture: &Picture<'_>, facts: &mut Facts) {
    let Some(hop) = picture.last_hop() else {
        return;
    };
    let expect = &picture.context.expect;
    let answering: Vec<_> = hop
        .delegated()
        .filter(|s| s.status == ServerStatus::Answers)
        .collect();
    if !expect.exists && !answering.is_empty() {
        let labels: Vec<&str> = answering.iter().map(|s| s.label.as_str()).collect();
        let value =
            json!({ "what": "exists", "expected": false, "found": true, "name_servers": labels });
        facts.add(FactKind::ExpectationFailed, zone(hop), value, [hop.id]);
    }
    if expect.values.is_empty() || answering.is_empty() {
        return;
    }
    let wanted: BTreeSet<String> = expect.values.iter().map(|v| normal(v)).collect();
    let wrong: Vec<_> = answering
        .iter()
        .filter(|s| s.values.iter().map(|v| normal(v)).collect::<BTreeSet<_>>() != wanted)
        .collect();
    if wrong.len() == answering.len() {
        let found: BTreeSet<&String> = wrong.iter().flat_map(|s| s.values.iter()).collect();
        let value = json!({ "what": "values", "expected": wanted, "found": found });
        facts.add(FactKind::ExpectationFailed, zone(hop), value, [hop.id]);
    }
}

/// Record data as they compare: single spaces, lower case, names without their final dot; the
/// character strings of a TXT record joined and without quotes, since people write it either way.
pub(crate) fn normal(data: &str) -> String {
    if data.contains('"') {
        let strings: Vec<&str> = data.split('"').skip(1).step_by(2).collect();
        let outside = data.split('"').step_by(2).all(|s| s.trim().is_empty());
        if outside {
            return words(&strings.concat());
        }
    }
    words(data)
}

fn words(data: &str) -> String {
    let word = |w: &str| match w.strip_suffix('.') {
        Some(name) if !name.is_empty() => name.to_ascii_lowercase(),
        Some(_) | None => w.to_ascii_lowercase(),
    };
    let all: Vec<String> = data.split_ascii_whitespace().map(word).collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn record_data_as_people_write_them() {
        let same = |a: &str, b: &str| assert_eq!(normal(a), normal(b));
        same("10 mx.shop.test", "10  MX.shop.test.");
        same("v=spf1 a -all", "\"v=spf1 a -all\"");
        same("v=spf1 a -all", "\"v=spf1 a \" \"-all\"");
        same("0 issue \"ca.test\"", "0 issue \"ca.test\"");
        assert_ne!(normal("0 ."), normal("0"));
        assert_ne!(normal("10 mx.shop.test."), normal("20 mx.shop.test."));
    }
}
