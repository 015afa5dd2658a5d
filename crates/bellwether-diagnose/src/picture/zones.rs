//! What the name servers of each zone on the alias chain answered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bellwether_model::DnsName;
use bellwether_model::dns::{
    AnswerKind, Exchange, ExchangeResult, ListedBy, Rcode, Record, Response, ServerSeen, ZoneSeen,
};
use bellwether_model::report::{BaselineZone, Context};

use super::Seen;

/// Within this a server answers that does not lose questions by being slow, in milliseconds: half of what
/// one try waits.
pub(crate) const QUICK_MS: f64 = 1000.0;

/// What stands in place of an answer that did not come.
pub(crate) const NO_ANSWER: &str = "no answer";

/// One zone that holds the target's name, or a name that it is an alias of.
pub struct Hop<'a> {
    /// The observation.
    pub id: &'a str,
    /// What it saw.
    pub seen: &'a ZoneSeen,
    /// Its servers.
    pub servers: Vec<ServerView<'a>>,
    /// The zone in the baseline.
    pub before: Option<&'a BaselineZone>,
    /// Two groups of servers of which one may be wrong.
    pub sides: Option<Sides>,
    /// The same, where nothing tells which one is.
    pub undecided: Option<Sides>,
}

/// What a name server at an address is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerStatus {
    /// It does not answer; how, in one word.
    Silent(&'static str),
    /// It answers with an error.
    Error(Rcode),
    /// It answers without authority; `upward` if with a referral to the root or above itself.
    NotAuthoritative {
        /// A referral upwards.
        upward: bool,
    },
    /// Its answer is cut over UDP, and does not come over TCP.
    Truncated,
    /// What it sends cannot be read; the parser's complaint.
    Malformed {
        /// What cannot be read.
        complaint: String,
        /// From which octet on.
        at: Option<usize>,
        /// Octets of the message.
        size: usize,
    },
    /// It says that the name has nothing of one type, and leaves the question for another one without a
    /// usable answer.
    FailsType,
    /// It says, with authority, that the name or its addresses do not exist.
    Denies(AnswerKind),
    /// It answers, with authority.
    Answers,
    /// It was not asked; why.
    NotAsked(String),
}

impl ServerStatus {
    /// Does a resolver that meets this answer try the next server?
    #[must_use]
    pub fn is_unusable(&self) -> bool {
        matches!(
            self,
            Self::Silent(_)
                | Self::Error(_)
                | Self::NotAuthoritative { .. }
                | Self::Truncated
                | Self::Malformed { .. }
                | Self::FailsType
        )
    }
}

/// One name server at one address.
pub struct ServerView<'a> {
    /// What it answered.
    pub seen: &'a ServerSeen,
    /// `NAME@ADDRESS`.
    pub label: String,
    /// What it is good for.
    pub status: ServerStatus,
    /// Addresses that it gives for the name.
    pub addresses: BTreeSet<IpAddr>,
    /// Names that it says the name is an alias of.
    pub aliases: Vec<DnsName>,
    /// Record data for the check's own type, where that is no address.
    pub values: BTreeSet<String>,
    /// Addresses that users come to through it: those given, and those that its alias leads to.
    pub leads_to: BTreeSet<IpAddr>,
    /// Serial number of its copy of the zone.
    pub serial: Option<u32>,
    /// TTL of its SOA record, seconds.
    pub soa_ttl: Option<u32>,
    /// The zone's NS set as it gives it.
    pub ns_set: Option<Vec<DnsName>>,
    /// Types for which it says that the name does not exist, although it has others of it.
    pub denied_types: Vec<String>,
    /// Types for which it gives no usable answer, although it answers for another; how, in words.
    pub failed_types: BTreeMap<String, String>,
    /// Users' resolvers come here: the parent or the zone itself names it.
    pub delegated: bool,
    /// The parent names it.
    pub from_parent: bool,
}

/// What remembers another NS set than the parent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The baseline.
    Baseline,
    /// `expect.name_servers`.
    Expected,
    /// Resolvers' caches.
    Cache,
    /// The zone itself.
    Child,
}

/// Two groups of name servers: those that the parent gives and something else does not know, and
/// those that it does know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sides {
    /// What remembers.
    pub basis: Basis,
    /// The NS set as remembered.
    pub before: Vec<DnsName>,
    /// Names that the parent gives and the remembered set lacks.
    pub added: Vec<DnsName>,
    /// Servers of those names, as `NAME@ADDRESS`.
    pub wrong: Vec<String>,
    /// Servers of the remembered set.
    pub right: Vec<String>,
    /// Where caches that hold the remembered set lead, if no server of it can be asked: names
    /// inside the zone itself lead nowhere once the delegation has changed.
    pub cached: BTreeSet<IpAddr>,
}

impl<'a> Hop<'a> {
    /// The servers that users' resolvers come to.
    pub fn delegated(&self) -> impl Iterator<Item = &ServerView<'a>> {
        self.servers
            .iter()
            .filter(|s| s.delegated && !matches!(s.status, ServerStatus::NotAsked(_)))
    }

    /// The server of a label.
    #[must_use]
    pub fn server(&self, label: &str) -> Option<&ServerView<'a>> {
        self.servers.iter().find(|s| s.label == label)
    }

    /// No name server that resolvers come to gives a usable answer; also if none has an address.
    #[must_use]
    pub fn all_unusable(&self) -> bool {
        self.delegated().all(|s| s.status.is_unusable())
    }

    /// Does the zone hold the name as far as the walk knows? Not if it stopped above the zone.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.seen.holds_name
    }
}

/// The zones that hold the name and its aliases' targets, in the order of the alias chain.
pub(super) fn hops<'a>(context: &'a Context, levels: &[Seen<'a, ZoneSeen>]) -> Vec<Hop<'a>> {
    let Some(name) = context.target.name() else {
        return Vec::new();
    };
    let mut hops: Vec<Hop<'a>> = Vec::new();
    let mut next = Some(name.clone());
    while let Some(name) = next.take() {
        if hops.iter().any(|h| h.seen.name == name) {
            break;
        }
        let Some(hop) = hop_of(context, levels, &name) else {
            break;
        };
        next = main_alias(&hop);
        hops.push(hop);
    }
    for hop in &mut hops {
        for server in &mut hop.servers {
            let alias = server.aliases.last().cloned();
            let behind = alias.map(|a| reached(context, levels, a));
            server.leads_to.extend(behind.into_iter().flatten());
        }
    }
    hops
}

/// The zone that holds a name, as far down as the walk came.
fn hop_of<'a>(
    context: &'a Context,
    levels: &[Seen<'a, ZoneSeen>],
    name: &DnsName,
) -> Option<Hop<'a>> {
    let mine = levels.iter().filter(|(_, z)| z.name == *name);
    let mine: Vec<Seen<'a, ZoneSeen>> = mine.copied().collect();
    let deepest = mine
        .iter()
        .max_by_key(|(_, z)| (on_the_way(&mine, z), z.holds_name, z.zone.labels().len()));
    deepest.map(|(id, seen)| hop(context, id, seen))
}

/// Where the alias leads by most servers' word, and by the newest copy's where as many differ.
fn main_alias(hop: &Hop<'_>) -> Option<DnsName> {
    let mut told: BTreeMap<&DnsName, (usize, Option<u32>)> = BTreeMap::new();
    for server in hop.delegated() {
        if let Some(alias) = server.aliases.last() {
            let (count, serial) = told.entry(alias).or_default();
            *count += 1;
            *serial = (*serial).max(server.serial);
        }
    }
    let main = told.into_iter().max_by_key(|(_, weight)| *weight);
    main.map(|(alias, _)| alias.clone())
}

/// The addresses at the end of an alias chain, whoever's word it began with.
fn reached(context: &Context, levels: &[Seen<'_, ZoneSeen>], alias: DnsName) -> BTreeSet<IpAddr> {
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut open = vec![alias];
    while let Some(name) = open.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let Some(hop) = hop_of(context, levels, &name) else {
            continue;
        };
        for server in hop.delegated() {
            found.extend(server.addresses.iter().copied());
            open.extend(server.aliases.last().cloned());
        }
    }
    found
}

/// Do referrals lead from the root to this zone? Not to one that only the baseline knows, nor to
/// what servers of such a zone delegate.
fn on_the_way(levels: &[Seen<'_, ZoneSeen>], zone: &ZoneSeen) -> bool {
    if zone.zone.is_root() {
        return true;
    }
    let above = zone.parent.as_ref().filter(|p| **p != zone.zone);
    let above = above.and_then(|p| levels.iter().find(|(_, z)| z.zone == *p));
    let nearer = above.filter(|(_, z)| z.zone.labels().len() < zone.zone.labels().len());
    !zone.parent_sets.is_empty() && nearer.is_none_or(|(_, z)| on_the_way(levels, z))
}

pub(super) fn hop<'a>(context: &'a Context, id: &'a str, seen: &'a ZoneSeen) -> Hop<'a> {
    let before = context
        .baseline
        .as_ref()
        .and_then(|b| b.zones.iter().find(|z| z.zone == seen.zone));
    let rtypes = context.target.rtypes();
    let mut servers: Vec<ServerView<'a>> = seen
        .servers
        .iter()
        .map(|s| server(seen, s, &rtypes))
        .collect();
    servers.sort_by(|a, b| a.label.cmp(&b.label));
    let mut hop = Hop {
        id,
        seen,
        servers,
        before,
        sides: None,
        undecided: None,
    };
    hop.sides = sides(context, &hop);
    hop
}

fn server<'a>(zone: &'a ZoneSeen, seen: &'a ServerSeen, rtypes: &[String]) -> ServerView<'a> {
    let asked: Vec<&Exchange> = rtypes
        .iter()
        .filter_map(|t| counting(zone, seen, t))
        .collect();
    let mut addresses = BTreeSet::new();
    let mut values = BTreeSet::new();
    let mut aliases = Vec::new();
    for exchange in &asked {
        let Some(response) = exchange.response() else {
            continue;
        };
        values.extend(
            response
                .records(&exchange.question)
                .into_iter()
                .map(|r| r.data.clone()),
        );
        // Who asks for the alias itself wants no further.
        if aliases.is_empty() && exchange.question.rtype != "CNAME" {
            aliases = response.aliases(&zone.name);
        }
    }
    // A rotation shows its members in turn: all answers together are what the server gives.
    for exchange in &seen.exchanges {
        let is_about =
            exchange.question.name == zone.name && rtypes.contains(&exchange.question.rtype);
        let response = exchange.response().filter(|_| is_about);
        addresses.extend(
            response
                .into_iter()
                .flat_map(|r| r.addresses(&exchange.question)),
        );
    }
    let listed = zone.listed_by(&seen.name);
    let host = zone.hosts.iter().find(|h| h.name == seen.name);
    // Resolvers do not follow an alias at a name server's name (RFC 2181 section 10.3),
    // and an address known from before only is no way to the server.
    let found = host.is_none_or(|h| {
        let hinted = h.listed_by.contains(&ListedBy::Hints);
        h.alias_of.is_none() && (hinted || h.findable().contains(&seen.address))
    });
    let from_parent = listed
        .iter()
        .any(|l| matches!(l, ListedBy::Parent | ListedBy::Hints));
    ServerView {
        seen,
        label: seen.label(),
        status: status(zone, seen, &asked, rtypes.len()),
        leads_to: addresses.clone(),
        addresses,
        aliases,
        values,
        serial: soa(zone, seen).and_then(|r| r.soa()).map(|s| s.serial),
        soa_ttl: soa(zone, seen).map(|r| r.ttl),
        ns_set: ns_set(zone, seen),
        denied_types: denied_types(zone, &asked),
        failed_types: failed_types(&asked),
        delegated: found && (from_parent || listed.contains(&ListedBy::Child)),
        from_parent,
    }
}

/// The exchange that counts for a type: the first that was answered; but where a server fails whatever
/// is asked with EDNS, or in letters of both cases, the one without.
fn counting<'a>(zone: &ZoneSeen, seen: &'a ServerSeen, rtype: &str) -> Option<&'a Exchange> {
    let first = seen.exchange(&zone.name, rtype)?;
    if is_good(first) {
        return Some(first);
    }
    let good = || seen.exchanges.iter().filter(|e| is_good(e));
    let again = good().find(|e| {
        let only_small = e.lower_case && good().all(|e| e.lower_case);
        let only_plain = !e.edns && good().all(|e| !e.edns);
        e.question == first.question && (only_small || only_plain)
    });
    again.or(Some(first))
}

/// Was the question answered as somebody wants it answered?
#[must_use]
pub(crate) fn is_good(exchange: &Exchange) -> bool {
    exchange
        .response()
        .is_some_and(|r| r.rcode == Rcode::NOERROR)
}

/// Types without a usable answer beside one that is answered.
fn failed_types(asked: &[&Exchange]) -> BTreeMap<String, String> {
    let answers = |e: &&&Exchange| e.response().is_some_and(|r| r.flags.aa) && is_good(e);
    if !asked.iter().any(|e| answers(&e)) {
        return BTreeMap::new();
    }
    // A slow server answers some questions in time and some not, whatever they ask for.
    let is_quick = asked
        .iter()
        .any(|e| e.response().is_some() && e.took_ms < QUICK_MS);
    let failing = asked.iter().filter_map(|e| {
        let how = match e.response() {
            Some(r) if matches!(r.rcode, Rcode::NOERROR | Rcode::NXDOMAIN) => return None,
            Some(r) => r.rcode.to_string(),
            None if !e.was_asked() || !is_quick => return None,
            None if !e.discarded.is_empty() => "only messages that answer no question".to_owned(),
            None => NO_ANSWER.to_owned(),
        };
        Some((e.question.rtype.clone(), how))
    });
    failing.collect()
}

fn not_asked(exchange: &Exchange) -> Option<String> {
    match &exchange.result {
        ExchangeResult::NotAsked { reason } => Some(reason.clone()),
        ExchangeResult::Answered { .. }
        | ExchangeResult::Silent
        | ExchangeResult::Refused
        | ExchangeResult::Unreachable { .. }
        | ExchangeResult::Broken { .. }
        | ExchangeResult::Channel { .. } => None,
    }
}

fn status(zone: &ZoneSeen, seen: &ServerSeen, asked: &[&Exchange], types: usize) -> ServerStatus {
    // What our own limits, time and routes kept from being asked says nothing of the server.
    let reason = asked.iter().find_map(|e| not_asked(e));
    if let Some(reason) = &reason
        && !asked.iter().any(|e| e.was_asked())
    {
        return ServerStatus::NotAsked(reason.clone());
    }
    let responses: Vec<(&Exchange, &Response)> = asked
        .iter()
        .filter_map(|e| Some((*e, e.response()?)))
        .collect();
    if responses.is_empty() {
        return ServerStatus::Silent(silence(seen));
    }
    let kinds: Vec<AnswerKind> = responses
        .iter()
        .map(|(e, r)| r.kind(&e.question, Some(&zone.zone)))
        .collect();
    let has = |kind| kinds.contains(&kind);
    if has(AnswerKind::Positive) || has(AnswerKind::Alias) {
        let authoritative = responses.iter().any(|(_, r)| r.flags.aa);
        return if authoritative {
            ServerStatus::Answers
        } else {
            ServerStatus::NotAuthoritative { upward: false }
        };
    }
    let error = responses
        .iter()
        .map(|(_, r)| r.rcode)
        .find(|r| *r != Rcode::NOERROR && *r != Rcode::NXDOMAIN);
    if let Some(rcode) = error {
        return ServerStatus::Error(rcode);
    }
    let cut = responses.iter().find(|(e, r)| r.is_cut(&e.question));
    if let Some((exchange, response)) = cut {
        return cut_short(seen, exchange, response);
    }
    if has(AnswerKind::Unusable) {
        return ServerStatus::NotAuthoritative { upward: true };
    }
    let aa = responses.iter().all(|(_, r)| r.flags.aa);
    let kind = if has(AnswerKind::NxDomain) {
        AnswerKind::NxDomain
    } else {
        AnswerKind::NoData
    };
    // Half an answer: of the other type nothing is known. On the way down one type is enough.
    let whole = if zone.holds_name { types } else { asked.len() };
    let is_half = aa && kind == AnswerKind::NoData && responses.len() < whole;
    if is_half && !has(AnswerKind::Referral) {
        // What is not there at all was under way when the time ran out.
        let missing = (asked.len() < whole).then(|| "the time ran out".to_owned());
        return reason
            .or(missing)
            .map_or(ServerStatus::FailsType, ServerStatus::NotAsked);
    }
    match (aa, has(AnswerKind::Referral)) {
        (_, true) => ServerStatus::Denies(AnswerKind::Referral),
        (true, false) => ServerStatus::Denies(kind),
        (false, false) => ServerStatus::NotAuthoritative { upward: false },
    }
}

/// An answer that did not come whole.
fn cut_short(seen: &ServerSeen, exchange: &Exchange, response: &Response) -> ServerStatus {
    // Whether the whole comes over TCP nobody waited for.
    let mut again = seen.exchanges.iter();
    let unread = again.find(|e| e.question == exchange.question && !e.was_asked());
    if let Some(reason) = unread.and_then(not_asked) {
        return ServerStatus::NotAsked(reason);
    }
    match &response.malformed {
        Some(complaint) => ServerStatus::Malformed {
            complaint: complaint.clone(),
            at: response.malformed_at,
            size: response.size,
        },
        None => ServerStatus::Truncated,
    }
}

/// NXDOMAIN is said of a name, whatever type was asked for (RFC 2308 section 2.1).
fn denied_types(zone: &ZoneSeen, asked: &[&Exchange]) -> Vec<String> {
    let kind = |e: &&&Exchange| {
        let response = e.response().filter(|r| r.flags.aa)?;
        // An alias inside leads on: NXDOMAIN is said of its target (RFC 6604).
        response
            .aliases(&zone.name)
            .is_empty()
            .then(|| response.kind(&e.question, Some(&zone.zone)))
    };
    if !asked.iter().any(|e| kind(&e) == Some(AnswerKind::Positive)) {
        return Vec::new();
    }
    let denied = asked
        .iter()
        .filter(|e| kind(e) == Some(AnswerKind::NxDomain));
    denied.map(|e| e.question.rtype.clone()).collect()
}

fn silence(seen: &ServerSeen) -> &'static str {
    let ended =
        |wanted: fn(&ExchangeResult) -> bool| seen.exchanges.iter().any(|e| wanted(&e.result));
    if ended(|r| matches!(r, ExchangeResult::Refused)) {
        "refused"
    } else if ended(|r| matches!(r, ExchangeResult::Unreachable { .. })) {
        "unreachable"
    } else {
        "silent"
    }
}

/// The SOA record that the server gives with authority.
fn soa<'a>(zone: &ZoneSeen, seen: &'a ServerSeen) -> Option<&'a Record> {
    let response = seen
        .exchange(&zone.zone, "SOA")?
        .response()
        .filter(|r| r.flags.aa)?;
    response
        .answer
        .iter()
        .find(|r| r.rtype == "SOA" && r.name == zone.zone)
}

fn ns_set(zone: &ZoneSeen, seen: &ServerSeen) -> Option<Vec<DnsName>> {
    let response = seen.exchange(&zone.zone, "NS")?.response()?;
    let records = response
        .answer
        .iter()
        .filter(|r| r.rtype == "NS" && r.name == zone.zone);
    let mut names: Vec<DnsName> = records.filter_map(Record::target).collect();
    names.sort();
    names.dedup();
    (response.flags.aa && !names.is_empty()).then_some(names)
}

/// Which servers the parent gives that something else does not know, and which it does know.
fn sides(context: &Context, hop: &Hop<'_>) -> Option<Sides> {
    let now = hop.seen.parent_names();
    if now.is_empty() || !hop.seen.holds_name {
        return None;
    }
    let (basis, before) = remembered(context, hop, &now)?;
    let added: Vec<DnsName> = now
        .iter()
        .filter(|n| !before.contains(n))
        .cloned()
        .collect();
    if added.is_empty() {
        return None;
    }
    let of = |names: &[DnsName]| -> Vec<String> {
        let servers = hop.servers.iter().filter(|s| names.contains(&s.seen.name));
        servers.map(|s| s.label.clone()).collect()
    };
    // What a wrong server names as the zone's servers is as wrong as itself.
    let mut wrong_names = added.clone();
    let named_by_wrong = hop.servers.iter().filter(|s| added.contains(&s.seen.name));
    wrong_names.extend(
        named_by_wrong
            .filter_map(|s| s.ns_set.clone())
            .flatten()
            .filter(|n| !before.contains(n)),
    );
    let wrong = of(&wrong_names);
    let right = of(&before);
    Some(Sides {
        basis,
        before,
        added,
        wrong,
        right,
        cached: BTreeSet::new(),
    })
}

/// The NS set that something besides the parent remembers, if it lacks a name of the parent's.
fn remembered(context: &Context, hop: &Hop<'_>, now: &[DnsName]) -> Option<(Basis, Vec<DnsName>)> {
    let lacks = |set: &[DnsName]| now.iter().any(|n| !set.contains(n));
    if let Some(before) = hop.before
        && !before.parent_names.is_empty()
    {
        return lacks(&before.parent_names).then(|| (Basis::Baseline, before.parent_names.clone()));
    }
    // Declared names are those of the target's own zone; an alias leads to somebody else's.
    let own = context.target.name() == Some(&hop.seen.name);
    if own && !context.expect.name_servers.is_empty() {
        let declared = context.expect.name_servers.clone();
        return lacks(&declared).then_some((Basis::Expected, declared));
    }
    if let Some(held) = cached_sets(hop)
        .into_values()
        .find(|set| lacks(set) && set.iter().any(|n| !now.contains(n)))
    {
        return Some((Basis::Cache, held));
    }
    let by = |wanted: fn(&ListedBy) -> bool| -> Vec<DnsName> {
        let hosts = hop
            .seen
            .hosts
            .iter()
            .filter(|h| h.listed_by.iter().any(wanted));
        hosts.map(|h| h.name.clone()).collect()
    };
    let child = by(|l| matches!(l, ListedBy::Child));
    (!child.is_empty() && lacks(&child)).then_some((Basis::Child, child))
}

/// The NS set that each resolver holds.
fn cached_sets<'p>(hop: &'p Hop<'_>) -> BTreeMap<&'p str, Vec<DnsName>> {
    let mut sets: BTreeMap<&str, Vec<DnsName>> = BTreeMap::new();
    for host in &hop.seen.hosts {
        for listed in &host.listed_by {
            if let ListedBy::Cache { resolver } = listed {
                sets.entry(resolver).or_default().push(host.name.clone());
            }
        }
    }
    sets
}
