//! Facts about the parent's word: who is delegated to, since when, and can they be found?

use std::collections::BTreeSet;
use std::net::IpAddr;

use bellwether_model::dns::{
    AnswerKind, Exchange, HostFailure, HostSeen, ListedBy, Rcode, ServerSeen, ZoneSeen,
};
use bellwether_model::egress::AddressClass;
use bellwether_model::fact::Subject;
use bellwether_model::{DnsName, FactKind};
use serde_json::json;

use super::{Facts, addresses, names};
use crate::picture::{Basis, Hop, Picture, ServerStatus, ServerView};

/// Why a name server's name has no address, where the servers of its own zone do not tell.
pub(crate) const OWN_ZONE_FAILS: &str = "the servers of its own zone give no usable answer";

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    for hop in picture.hops.iter().filter(|h| h.is_reached()) {
        changes(picture, hop, facts);
        sides(picture, hop, facts);
        hosts(hop, facts);
        mismatch(hop, facts);
    }
    parents(picture, facts);
}

fn zone_subject(hop: &Hop<'_>) -> Subject {
    Subject::Zone(hop.seen.zone.clone())
}

fn changes(picture: &Picture<'_>, hop: &Hop<'_>, facts: &mut Facts) {
    let now = hop.seen.parent_names();
    if let Some(before) = hop
        .before
        .map(|b| &b.parent_names)
        .filter(|b| !b.is_empty())
        && !now.is_empty()
        && *before != now
    {
        let value = json!({ "zone": hop.seen.zone, "before": names(before), "after": names(&now) });
        facts.add(
            FactKind::ParentNsChanged,
            zone_subject(hop),
            value,
            [hop.id],
        );
    }
    let declared = &picture.context.expect.name_servers;
    let own = picture.context.target.name() == Some(&hop.seen.name);
    let unexpected: Vec<DnsName> = now
        .iter()
        .filter(|n| !declared.contains(n))
        .cloned()
        .collect();
    if own && !declared.is_empty() && !unexpected.is_empty() {
        let value = json!({ "zone": hop.seen.zone, "expected": names(declared), "unexpected": names(&unexpected) });
        facts.add(FactKind::NsUnexpected, zone_subject(hop), value, [hop.id]);
    }
}

fn sides(picture: &Picture<'_>, hop: &Hop<'_>, facts: &mut Facts) {
    let Some(sides) = hop.sides.as_ref().or(hop.undecided.as_ref()) else {
        return;
    };
    let group = |labels: &[String]| -> Vec<&ServerView<'_>> {
        hop.servers
            .iter()
            .filter(|s| labels.contains(&s.label))
            .collect()
    };
    let (new, old) = (group(&sides.wrong), group(&sides.right));
    let given = |servers: &[&ServerView<'_>]| -> BTreeSet<IpAddr> {
        servers
            .iter()
            .flat_map(|s| s.leads_to.iter().copied())
            .collect()
    };
    let (new_gives, old_gives) = (given(&new), given(&old));
    let new_usable = new.iter().any(|s| !s.status.is_unusable());
    let old_authority = old.iter().any(|s| s.status == ServerStatus::Answers);
    let (new_says, mut old_says) = (said(picture, &new), said(picture, &old));
    let mut old_names = sides.right.clone();
    if !sides.cached.is_empty() {
        old_names = sides.before.iter().map(DnsName::to_string).collect();
        old_says.extend(sides.cached.iter().map(IpAddr::to_string));
    }
    let old_answer = old_authority || !sides.cached.is_empty();
    let is_apart = new_says.is_disjoint(&old_says) && !old_says.is_empty();
    if new_usable && old_answer && is_apart && !leads_back(picture, &new, &old) {
        let value = json!({
            "groups": [
                { "name_servers": sides.wrong, "addresses": new_says },
                { "name_servers": old_names, "addresses": old_says },
            ],
        });
        facts.add(
            FactKind::NsAnswersDisjoint,
            zone_subject(hop),
            value,
            [hop.id],
        );
    }
    if sides.basis == Basis::Cache {
        let value =
            json!({ "held": names(&sides.before), "parent": names(&hop.seen.parent_names()) });
        facts.add(FactKind::CacheNsDiffer, zone_subject(hop), value, [hop.id]);
    }
    if hop.undecided.is_some() {
        let value = json!({ "groups": [sides.wrong, sides.right] });
        facts.add(FactKind::SidesUndecided, zone_subject(hop), value, [hop.id]);
    }
    // Names without an address are a fault of their own.
    if !new_usable && !new.is_empty() {
        let value = json!({ "name_servers": sides.wrong, "answers": statuses(&new) });
        facts.add(FactKind::NewNsUnusable, zone_subject(hop), value, [hop.id]);
    }
    let gone: Vec<&&ServerView<'_>> = old
        .iter()
        .filter(|s| !s.from_parent && s.status == ServerStatus::Answers)
        .collect();
    if !gone.is_empty() && sides.basis != Basis::Child {
        let labels: Vec<&str> = gone.iter().map(|s| s.label.as_str()).collect();
        let value = json!({ "name_servers": labels, "addresses": addresses(&old_gives) });
        facts.add(FactKind::OldNsAnswer, zone_subject(hop), value, [hop.id]);
    }
    owners(picture, hop, &new_gives, &old_gives, facts);
}

/// What servers say: addresses, or the alias that leads to them; a check of another record type
/// compares its data.
fn said(picture: &Picture<'_>, servers: &[&ServerView<'_>]) -> BTreeSet<String> {
    if picture.context.target.rtype.is_some() {
        let values = servers.iter().flat_map(|s| s.values.iter());
        return values.map(|v| super::zone::normal(v)).collect();
    }
    let addresses = servers.iter().flat_map(|s| s.addresses.iter());
    let aliases = servers.iter().filter_map(|s| s.aliases.last());
    let words = addresses.map(IpAddr::to_string);
    words.chain(aliases.map(DnsName::to_string)).collect()
}

/// Do the new servers lead to addresses of the baseline or of the old ones, by whatever way? An
/// alias that became addresses, or the other way round, is the same answer.
fn leads_back(picture: &Picture<'_>, new: &[&ServerView<'_>], old: &[&ServerView<'_>]) -> bool {
    let before = picture.context.baseline.iter();
    let before = before.flat_map(|b| b.addresses.iter().map(|a| a.address));
    let old = old.iter().flat_map(|s| s.leads_to.iter().copied());
    let known: BTreeSet<IpAddr> = before.chain(old).collect();
    let mut ends = new.iter().flat_map(|s| s.leads_to.iter());
    ends.any(|a| known.contains(a))
}

fn statuses(servers: &[&ServerView<'_>]) -> Vec<String> {
    let mut all: Vec<String> = servers
        .iter()
        .map(|s| format!("{}: {}", s.label, status_word(&s.status)))
        .collect();
    all.sort();
    all
}

/// One word for what a name server answers.
pub(crate) fn status_word(status: &ServerStatus) -> String {
    match status {
        ServerStatus::Silent(how) => (*how).to_owned(),
        ServerStatus::Error(rcode) => rcode.to_string(),
        ServerStatus::NotAuthoritative { upward: true } => "upward referral".to_owned(),
        ServerStatus::NotAuthoritative { upward: false } => "not authoritative".to_owned(),
        ServerStatus::Truncated => "truncated".to_owned(),
        ServerStatus::Malformed { .. } => "malformed".to_owned(),
        ServerStatus::Denies(AnswerKind::NxDomain) => Rcode::NXDOMAIN.to_string(),
        ServerStatus::Denies(_) => "NODATA".to_owned(),
        ServerStatus::FailsType => "no answer for one type".to_owned(),
        ServerStatus::Answers => "answers".to_owned(),
        ServerStatus::NotAsked(_) => "not asked".to_owned(),
    }
}

/// Do the new answers belong to another operator than the earlier ones?
fn owners(
    picture: &Picture<'_>,
    hop: &Hop<'_>,
    new_gives: &BTreeSet<IpAddr>,
    old_gives: &BTreeSet<IpAddr>,
    facts: &mut Facts,
) {
    let owner = |a: &IpAddr| {
        let view = picture.addresses.get(a);
        view.and_then(|v| {
            v.owner
                .clone()
                .or_else(|| v.before.and_then(|b| b.owner.clone()))
        })
    };
    let baseline = picture
        .context
        .baseline
        .iter()
        .flat_map(|b| b.addresses.iter());
    let mut before: Vec<_> = old_gives.iter().filter_map(owner).collect();
    before.extend(baseline.filter_map(|b| b.owner.clone()));
    let mut after: Vec<_> = new_gives.iter().filter_map(owner).collect();
    if before.is_empty() || after.is_empty() {
        return;
    }
    // Beside the earlier addresses there may be some that show certificates for other names.
    let baseline = picture.context.baseline.iter().flat_map(|b| &b.addresses);
    let mut known: BTreeSet<IpAddr> = baseline.map(|b| b.address).collect();
    known.extend(old_gives);
    let is_a_strangers = |a: &&IpAddr| {
        picture
            .addresses
            .get(*a)
            .is_some_and(|v| v.is_a_strangers())
    };
    let strange: Vec<_> = new_gives
        .difference(&known)
        .filter(is_a_strangers)
        .collect();
    if !strange.is_empty() {
        after = strange.into_iter().filter_map(owner).collect();
    }
    if after.is_empty() {
        return;
    }
    if !after
        .iter()
        .any(|a| before.iter().any(|b| a.same_operator(b)))
    {
        let text = |all: Vec<bellwether_model::Owner>| -> BTreeSet<String> {
            all.iter().map(ToString::to_string).collect()
        };
        let value = json!({ "before": text(before), "after": text(after) });
        let ids = new_gives
            .iter()
            .filter_map(|a| picture.addresses.get(a)?.listed);
        facts.add(
            FactKind::OwnerChanged,
            zone_subject(hop),
            value,
            ids.chain([hop.id]),
        );
    }
}

/// Names of name servers that lead nowhere.
fn hosts(hop: &Hop<'_>, facts: &mut Facts) {
    // Of very many only some were looked up.
    let sets = hop.seen.parent_sets.iter().map(|s| s.names.len());
    let all = sets.max().filter(|all| *all > hop.seen.hosts.len());
    let missing = |host: &HostSeen, because: &str| {
        let mut value = json!({ "name_server": host.name, "because": because });
        if let Some(all) = all {
            value["of"] = json!(all);
        }
        value
    };
    for host in &hop.seen.hosts {
        let delegated = host
            .listed_by
            .iter()
            .any(|l| matches!(l, ListedBy::Parent | ListedBy::Child | ListedBy::Hints));
        if !delegated {
            continue;
        }
        let subject = Subject::NameServer(host.name.clone(), None);
        let zone = Some(&hop.seen.zone);
        if let Some(alias) = &host.alias_of {
            let value = json!({ "name_server": host.name, "alias_of": alias });
            facts.add_in(zone, FactKind::NsIsCname, subject.clone(), value, [hop.id]);
        }
        match &host.failure {
            Some(HostFailure::Cycle { names: circle }) => {
                let value = json!({ "name_server": host.name, "cycle": names(circle) });
                facts.add_in(zone, FactKind::NsCycle, subject, value, [hop.id]);
            }
            Some(HostFailure::NxDomain | HostFailure::NoData) if host.findable().is_empty() => {
                let why = if host.failure == Some(HostFailure::NxDomain) {
                    "NXDOMAIN"
                } else {
                    "NODATA"
                };
                let value = missing(host, why);
                facts.add_in(zone, FactKind::NsAddressMissing, subject, value, [hop.id]);
            }
            Some(HostFailure::ServersFail) if host.findable().is_empty() => {
                let value = missing(host, OWN_ZONE_FAILS);
                facts.add_in(zone, FactKind::NsAddressMissing, subject, value, [hop.id]);
            }
            Some(
                HostFailure::NxDomain
                | HostFailure::NoData
                | HostFailure::ServersFail
                | HostFailure::Limit
                | HostFailure::NoRoute,
            )
            | None => {}
        }
        forbidden(hop, host, facts);
        astray(hop, host, facts);
        if let Some(resolved) = host.resolved.as_ref().filter(|r| !r.is_empty())
            && !host.glue.is_empty()
            && !host.glue.iter().any(|g| resolved.contains(g))
        {
            let value = json!({ "name_server": host.name, "glue": addresses(&host.glue), "own": addresses(resolved) });
            let subject = Subject::NameServer(host.name.clone(), None);
            facts.add_in(zone, FactKind::GlueDiffers, subject, value, [hop.id]);
        }
    }
}

/// Glue that leads to something else than the name server, which answers at another address: by its
/// own zone's word or, where that cannot be asked, by the baseline's.
fn astray(hop: &Hop<'_>, host: &HostSeen, facts: &mut Facts) {
    let resolved = host.resolved.as_ref().filter(|r| !r.is_empty());
    let own = resolved.unwrap_or(&host.known);
    if host.glue.is_empty() || host.glue.iter().any(|g| own.contains(g)) {
        return;
    }
    let at = |all: &[IpAddr]| -> Vec<&ServerView<'_>> {
        let mine = hop.servers.iter().filter(|s| s.seen.name == host.name);
        mine.filter(|s| all.contains(&s.seen.address)).collect()
    };
    let (given, right) = (at(&host.glue), at(own));
    let is_useful =
        |s: &&ServerView<'_>| matches!(s.status, ServerStatus::Answers | ServerStatus::Denies(_));
    let all_fail = !given.is_empty() && given.iter().all(|s| s.status.is_unusable());
    if !all_fail || !right.iter().any(is_useful) {
        return;
    }
    let zone = Some(&hop.seen.zone);
    for server in given {
        let value = json!({
            "name_server": host.name, "address": server.seen.address.to_string(),
            "answer": status_word(&server.status), "own": addresses(own),
        });
        let subject = Subject::NameServer(host.name.clone(), Some(server.seen.address));
        facts.add_in(zone, FactKind::GlueAstray, subject, value, [hop.id]);
    }
}

/// Addresses in the public tree that lead back to whoever asks. They were not asked.
fn forbidden(hop: &Hop<'_>, host: &HostSeen, facts: &mut Facts) {
    // Resolvers go by the glue where there is some.
    let found = match host.glue.as_slice() {
        [] => host.findable(),
        glue => glue.to_vec(),
    };
    let outside = |a: &IpAddr| !AddressClass::of(*a).is_public();
    let asked = hop
        .servers
        .iter()
        .any(|s| found.contains(&s.seen.address) && !matches!(s.status, ServerStatus::NotAsked(_)));
    if found.is_empty() || !found.iter().all(outside) || asked {
        return;
    }
    let classes: Vec<&str> = found.iter().map(|a| AddressClass::of(*a).words()).collect();
    let value =
        json!({ "name_server": host.name, "addresses": addresses(&found), "class": classes });
    let subject = Subject::NameServer(host.name.clone(), None);
    let zone = Some(&hop.seen.zone);
    facts.add_in(zone, FactKind::NsAddressForbidden, subject, value, [hop.id]);
}

/// The NS set at the parent against the one in the zone itself.
fn mismatch(hop: &Hop<'_>, facts: &mut Facts) {
    let parent = hop.seen.parent_names();
    let mut children: Vec<&Vec<DnsName>> = hop
        .servers
        .iter()
        .filter(|s| s.from_parent)
        .filter_map(|s| s.ns_set.as_ref())
        .collect();
    children.sort();
    children.dedup();
    let Some(child) = children.iter().find(|c| ***c != parent) else {
        return;
    };
    if parent.is_empty() {
        return;
    }
    let value = json!({ "zone": hop.seen.zone, "parent": names(&parent), "child": names(child) });
    facts.add(
        FactKind::ParentChildNsDiffer,
        zone_subject(hop),
        value,
        [hop.id],
    );
}

/// What the servers of the zones above say of the name.
fn parents(picture: &Picture<'_>, facts: &mut Facts) {
    // Only the target's own name: what an alias leads to is told of the alias.
    if let Some(hop) = picture.own_hop() {
        denial(picture, hop, facts);
        answered_above(picture, hop, facts);
    }
    for (id, level) in &picture.levels {
        if level.holds_name {
            continue;
        }
        let dead = level.servers.iter().all(|s| !is_of_use(s));
        // Whom nobody could ask has not failed: no route is our own fault.
        let asked = |s: &ServerSeen| s.exchanges.iter().any(Exchange::was_asked);
        if dead && level.servers.iter().any(asked) {
            let labels: Vec<String> = level.servers.iter().map(ServerSeen::label).collect();
            let value = json!({ "zone": level.zone, "name_servers": labels });
            facts.add(
                FactKind::ParentServersFail,
                Subject::Zone(level.zone.clone()),
                value,
                [*id],
            );
        }
    }
    disagreement(picture, facts);
}

/// Did it say anything but an error, and that with authority or with a referral? What could not be
/// kept or read may have been one.
fn is_of_use(server: &ServerSeen) -> bool {
    let mut responses = server.exchanges.iter().filter_map(Exchange::response);
    responses.any(|r| {
        let is_final = matches!(r.rcode, Rcode::NOERROR | Rcode::NXDOMAIN);
        is_final && (r.flags.aa || !r.authority.is_empty() || r.malformed.is_some() || r.flags.tc)
    })
}

/// A zone of the baseline is no longer delegated, and the zone above it answers in its place.
fn answered_above(picture: &Picture<'_>, hop: &Hop<'_>, facts: &mut Facts) {
    let answers = hop.delegated().any(|s| s.status == ServerStatus::Answers);
    let Some(zone) = remembered_zone(picture, hop).filter(|_| answers && hop.is_reached()) else {
        return;
    };
    let is_delegated = |(_, z): &&(&str, &ZoneSeen)| z.zone == zone && !z.parent_sets.is_empty();
    if picture.levels.iter().any(|level| is_delegated(&level)) {
        return;
    }
    let labels: Vec<&str> = hop.delegated().map(|s| s.label.as_str()).collect();
    let value = json!({ "zone": zone, "parent": hop.seen.zone, "given_by": labels });
    facts.add(FactKind::DelegationGone, zone_subject(hop), value, [hop.id]);
    if let Some((id, below)) = picture.levels.iter().find(|(_, z)| z.zone == zone) {
        still_answering(hop, id, below, facts);
    }
}

/// The highest zone between the one where the walk ended and the name that the baseline knows.
fn remembered_zone(picture: &Picture<'_>, hop: &Hop<'_>) -> Option<DnsName> {
    let (name, above) = (&hop.seen.name, &hop.seen.zone);
    let baseline = picture.context.baseline.as_ref()?;
    let between =
        baseline.zones.iter().map(|z| &z.zone).filter(|zone| {
            **zone != *above && zone.is_at_or_below(above) && name.is_at_or_below(zone)
        });
    between.min_by_key(|zone| zone.labels().len()).cloned()
}

/// The walk ended at a zone that denies the name although the name belongs to a zone below it.
fn denial(picture: &Picture<'_>, hop: &Hop<'_>, facts: &mut Facts) {
    let Some(zone) = missing_zone(picture, hop) else {
        return;
    };
    let deniers: Vec<&ServerView<'_>> = hop
        .servers
        .iter()
        .filter(|s| s.delegated && matches!(s.status, ServerStatus::Denies(_)))
        .collect();
    // Who refers to the zone delegates it, even if nothing is known of what is below.
    let delegates = |s: &ServerView<'_>| {
        matches!(
            s.status,
            ServerStatus::Answers | ServerStatus::Denies(AnswerKind::Referral)
        )
    };
    if deniers.is_empty() || hop.delegated().any(delegates) {
        return;
    }
    let labels: Vec<&str> = deniers.iter().map(|s| s.label.as_str()).collect();
    let rcode = if deniers
        .iter()
        .any(|s| s.status == ServerStatus::Denies(AnswerKind::NxDomain))
    {
        "NXDOMAIN"
    } else {
        "NODATA"
    };
    let value =
        json!({ "zone": zone, "parent": hop.seen.zone, "rcode": rcode, "given_by": labels });
    facts.add(
        FactKind::ParentNxdomain,
        Subject::Zone(hop.seen.zone.clone()),
        value,
        [hop.id],
    );
    if let Some((id, below)) = picture.levels.iter().find(|(_, z)| z.zone == zone) {
        still_answering(hop, id, below, facts);
    }
}

/// The missing zone's own servers, known from before, still answer.
fn still_answering(hop: &Hop<'_>, id: &str, below: &ZoneSeen, facts: &mut Facts) {
    let alive = below.servers.iter().filter(|s| {
        s.exchanges.iter().any(|e| {
            e.response()
                .is_some_and(|r| r.flags.aa && r.rcode == Rcode::NOERROR)
        })
    });
    let labels: Vec<String> = alive.map(ServerSeen::label).collect();
    if !labels.is_empty() {
        let value = json!({ "zone": below.zone, "name_servers": labels });
        facts.add(
            FactKind::OldNsAnswer,
            Subject::Zone(hop.seen.zone.clone()),
            value,
            [id, hop.id],
        );
    }
}

/// The zone that should be delegated below the one where the walk ended, if there should be one.
///
/// The baseline knows it by name. Without one it is known only that nobody registers a host: right
/// below a public suffix there must be a delegation.
fn missing_zone(picture: &Picture<'_>, hop: &Hop<'_>) -> Option<DnsName> {
    let name = &hop.seen.name;
    let above = &hop.seen.zone;
    if let Some(highest) = remembered_zone(picture, hop) {
        return Some(highest);
    }
    let deeper = picture.levels.iter().any(|(_, z)| {
        z.name == *name
            && z.zone != *above
            && z.zone.is_at_or_below(above)
            && !z.parent_sets.is_empty()
    });
    let suffix = crate::suffix::public_suffix(name);
    let registered = name.labels().len() > suffix.labels().len();
    let at_suffix = suffix.is_at_or_below(above);
    (!deeper && at_suffix && registered)
        .then(|| name.last_labels(suffix.labels().len() + 1))
        .or_else(|| (above.is_root() && !deeper).then(|| name.last_labels(1)))
}

/// Servers of one parent that give different NS sets.
fn disagreement(picture: &Picture<'_>, facts: &mut Facts) {
    for hop in picture.hops.iter().filter(|h| h.is_reached()) {
        if hop.seen.parent_sets.len() < 2 {
            continue;
        }
        let sets: Vec<_> = hop
            .seen
            .parent_sets
            .iter()
            .map(|s| json!({ "names": names(&s.names), "given_by": s.given_by }))
            .collect();
        let value = json!({ "zone": hop.seen.zone, "sets": sets });
        facts.add(
            FactKind::ParentServersDiffer,
            zone_subject(hop),
            value,
            [hop.id],
        );
    }
}
