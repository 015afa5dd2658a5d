//! What became of every address of the target.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bellwether_model::egress::AddressClass;
use bellwether_model::http::{BodyEnd, CodingEnd, HttpResult, HttpSeen, RedirectEnd};
use bellwether_model::net::{IcmpResult, TcpResult, TcpSeen, TriesSeen, TryEnd};
use bellwether_model::observation::{AddressesSeen, NotRun};
use bellwether_model::report::{BaselineAddress, Context};
use bellwether_model::tls::{CertProblem, CertSeen, TlsPurpose, TlsResult, TlsSeen};
use bellwether_model::{Layer, NotRunReason, Observation, Outcome, Owner, ProbeKind};

use super::clients::{self, Clients};
use super::{Hop, ResolverView, Seen};
use crate::facts::http::{counted, refuses_browsers, serves_browsers};

/// How a user's attempt at one address ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// All of it works.
    Works,
    /// It fails at this layer.
    Fails(Layer),
    /// It could not be judged; why.
    Unjudged(String),
}

impl Attempt {
    /// Does it fail?
    #[must_use]
    pub fn fails(&self) -> bool {
        matches!(self, Self::Fails(_))
    }

    /// Does it work?
    #[must_use]
    pub fn works(&self) -> bool {
        *self == Self::Works
    }
}

/// One address of the target.
pub struct AddressView<'a> {
    /// The address.
    pub address: IpAddr,
    /// How a user's attempt ends.
    pub attempt: Attempt,
    /// Where it fails: which part of users' attempts does, as far as that was counted; else 1.
    pub part: f64,
    /// Several attempts, counted.
    pub tries: Option<Seen<'a, TriesSeen>>,
    /// Does some of what was tried here work, and some fail?
    pub is_mixed: bool,
    /// Its owner.
    pub owner: Option<Owner>,
    /// Resolvers that give it.
    pub resolvers: BTreeSet<String>,
    /// Name servers that give it, as `NAME@ADDRESS`.
    pub servers: BTreeSet<String>,
    /// The connection.
    pub tcp: Option<Seen<'a, TcpSeen>>,
    /// The handshake as users do it.
    pub tls: Option<Seen<'a, TlsSeen>>,
    /// The handshake without SNI.
    pub tls_no_sni: Option<Seen<'a, TlsSeen>>,
    /// ClientHellos of other shapes.
    pub hellos: Option<Seen<'a, TlsSeen>>,
    /// The requests, first hop first.
    pub http: Vec<Seen<'a, HttpSeen>>,
    /// Does it answer ICMP echo?
    pub pings: Option<Seen<'a, bool>>,
    /// As it was.
    pub before: Option<&'a BaselineAddress>,
    /// The observation that lists it.
    pub listed: Option<&'a str>,
    /// What kinds of clients make of its chain.
    pub clients: Clients,
    /// Some kinds of clients get through, though others fail.
    pub spared: bool,
}

/// For `pings`: references to constants, so that views need no storage of their own.
const YES: bool = true;
const NO: bool = false;

impl AddressView<'_> {
    /// Is it somebody else's: does it show users a certificate for other names?
    #[must_use]
    pub fn is_a_strangers(&self) -> bool {
        let shown = self.tls.iter().flat_map(|(_, tls)| &tls.problems);
        shown
            .into_iter()
            .any(|p| matches!(p, CertProblem::NameMismatch { .. }))
    }

    /// The chain shown to users, as sent.
    #[must_use]
    pub fn chain(&self) -> &[CertSeen] {
        self.tls.map_or(&[], |(_, tls)| tls.chain.as_slice())
    }

    /// Subjects of the CA certificates sent along.
    pub fn intermediates(&self) -> impl Iterator<Item = &str> {
        let above = self.chain().iter().skip(1);
        above
            .filter(|cert| cert.is_ca && !cert.self_signed && cert.malformed.is_none())
            .map(|cert| cert.subject.as_str())
    }

    /// The request of a redirect's host that the attempt ended at, if one led there.
    #[must_use]
    pub fn led_to(&self) -> Option<&HttpSeen> {
        let (_, last) = self.http.last()?;
        (last.hop > 0).then_some(last)
    }

    /// The certificate shown to users, its SHA-256.
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        self.tls
            .and_then(|(_, t)| t.chain.first())
            .map(|c| c.sha256.as_str())
    }
}

pub(super) fn views<'a>(
    context: &'a Context,
    sorted: &[&'a Observation],
    found: &[Seen<'a, AddressesSeen>],
    hops: &[Hop<'_>],
    resolvers: &[ResolverView<'_>],
) -> BTreeMap<IpAddr, AddressView<'a>> {
    let mut views: BTreeMap<IpAddr, AddressView<'a>> = BTreeMap::new();
    let before = |address: IpAddr| {
        let baseline = context.baseline.as_ref()?;
        baseline.addresses.iter().find(|b| b.address == address)
    };
    let mut wanted: BTreeSet<IpAddr> = BTreeSet::new();
    wanted.extend(
        hops.iter()
            .flat_map(|h| h.servers.iter())
            .flat_map(|s| s.addresses.iter()),
    );
    wanted.extend(resolvers.iter().flat_map(|r| r.addresses.iter()));
    wanted.extend(
        found
            .iter()
            .flat_map(|(_, f)| f.found.iter().map(|a| a.address)),
    );
    wanted.extend(sorted.iter().filter_map(|o| aimed_at(o)));
    for address in wanted {
        views.insert(
            address,
            AddressView {
                address,
                attempt: Attempt::Unjudged("not tried".to_owned()),
                part: 1.0,
                tries: None,
                is_mixed: false,
                owner: None,
                resolvers: BTreeSet::new(),
                servers: BTreeSet::new(),
                tcp: None,
                tls: None,
                tls_no_sni: None,
                hellos: None,
                http: Vec::new(),
                pings: None,
                before: before(address),
                listed: None,
                clients: Clients::default(),
                spared: false,
            },
        );
    }
    fill_sources(&mut views, found, hops, resolvers);
    fill_probes(&mut views, sorted);
    let not_run = not_run(sorted);
    for view in views.values_mut() {
        view.http.sort_by_key(|(_, h)| h.hop);
        view.attempt = judge(context, view, found, &not_run);
        view.part = part(context, view);
        count(view);
        reset_unasked(view);
    }
    let known = clients::intermediates(&views, context.baseline.as_ref());
    let split: Vec<(IpAddr, Clients)> = views
        .values()
        .map(|view| (view.address, clients::of(view, &known)))
        .collect();
    for (address, clients) in split {
        if let Some(view) = views.get_mut(&address) {
            let gets_through = clients.is_split()
                && view.attempt == Attempt::Fails(Layer::Tls)
                && (clients::is_still_taken(view) || above_tls(context, view, &not_run).works());
            view.clients = clients;
            view.spared = gets_through;
        }
    }
    views
}

fn aimed_at(observation: &Observation) -> Option<IpAddr> {
    match &observation.outcome {
        Outcome::Tcp(seen) => Some(seen.address.ip()),
        Outcome::Tls(seen) => Some(seen.address.ip()),
        Outcome::Http(seen) => Some(seen.entry.ip()),
        Outcome::Tries(seen) => Some(seen.address.ip()),
        Outcome::Icmp(_)
        | Outcome::Dns(_)
        | Outcome::Delegation(_)
        | Outcome::Dnssec(_)
        | Outcome::ResolverMatrix(_)
        | Outcome::Addresses(_)
        | Outcome::Control(_)
        | Outcome::NotRun(_) => None,
    }
}

fn fill_sources<'a>(
    views: &mut BTreeMap<IpAddr, AddressView<'a>>,
    found: &[Seen<'a, AddressesSeen>],
    hops: &[Hop<'_>],
    resolvers: &[ResolverView<'_>],
) {
    for (id, seen) in found {
        for entry in &seen.found {
            if let Some(view) = views.get_mut(&entry.address) {
                view.owner = entry.owner.clone();
                view.listed = Some(id);
            }
        }
    }
    for server in hops.iter().flat_map(|h| h.servers.iter()) {
        for address in &server.addresses {
            if let Some(view) = views.get_mut(address) {
                view.servers.insert(server.label.clone());
            }
        }
    }
    for resolver in resolvers {
        for address in &resolver.addresses {
            if let Some(view) = views.get_mut(address) {
                view.resolvers.insert(resolver.label.clone());
            }
        }
    }
}

fn fill_probes<'a>(views: &mut BTreeMap<IpAddr, AddressView<'a>>, sorted: &[&'a Observation]) {
    for o in sorted {
        let id = o.id.as_str();
        match &o.outcome {
            Outcome::Tcp(seen) => {
                if let Some(view) = views.get_mut(&seen.address.ip()) {
                    view.tcp = Some((id, seen));
                }
            }
            Outcome::Tls(seen) => {
                let Some(view) = views.get_mut(&seen.address.ip()) else {
                    continue;
                };
                match seen.purpose {
                    TlsPurpose::User => view.tls = Some((id, seen)),
                    TlsPurpose::NoSni => view.tls_no_sni = Some((id, seen)),
                    TlsPurpose::Hellos => view.hellos = Some((id, seen)),
                    TlsPurpose::OtherSni => {}
                }
            }
            Outcome::Http(seen) => {
                if let Some(view) = views.get_mut(&seen.entry.ip()) {
                    view.http.push((id, seen));
                }
            }
            Outcome::Tries(seen) => {
                if let Some(view) = views.get_mut(&seen.address.ip()) {
                    view.tries = Some((id, seen));
                }
            }
            Outcome::Icmp(seen) => {
                if let Some(view) = views.get_mut(&seen.address) {
                    let answered = seen.result == IcmpResult::Reply;
                    view.pings = Some((id, if answered { &YES } else { &NO }));
                }
            }
            Outcome::Dns(_)
            | Outcome::Delegation(_)
            | Outcome::Dnssec(_)
            | Outcome::ResolverMatrix(_)
            | Outcome::Addresses(_)
            | Outcome::Control(_)
            | Outcome::NotRun(_) => {}
        }
    }
}

fn not_run<'a>(sorted: &[&'a Observation]) -> Vec<(ProbeKind, &'a NotRun)> {
    let all = sorted.iter().filter_map(|o| match &o.outcome {
        Outcome::NotRun(n) => Some((o.probe, n)),
        Outcome::Dns(_)
        | Outcome::Delegation(_)
        | Outcome::Dnssec(_)
        | Outcome::ResolverMatrix(_)
        | Outcome::Addresses(_)
        | Outcome::Control(_)
        | Outcome::Tcp(_)
        | Outcome::Tls(_)
        | Outcome::Http(_)
        | Outcome::Tries(_)
        | Outcome::Icmp(_) => None,
    });
    all.collect()
}

fn judge(
    context: &Context,
    view: &AddressView<'_>,
    found: &[Seen<'_, AddressesSeen>],
    not_run: &[(ProbeKind, &NotRun)],
) -> Attempt {
    let scheme = context.target.scheme;
    if !scheme.has_tcp() {
        return Attempt::Works;
    }
    let Some((_, tcp)) = view.tcp else {
        return untried(view, found, not_run);
    };
    match &tcp.result {
        TcpResult::Connected => {}
        TcpResult::NoRoute => {
            return Attempt::Unjudged("the vantage has no route to it".to_owned());
        }
        TcpResult::Error { error } => return Attempt::Unjudged(error.clone()),
        TcpResult::Refused
        | TcpResult::Reset
        | TcpResult::TimedOut
        | TcpResult::Unreachable { .. } => return Attempt::Fails(Layer::Net),
    }
    if scheme.has_tls() {
        match view.tls {
            None => return lacking(ProbeKind::Tls, view, not_run),
            Some((_, tls)) if tls_fails(tls) => return Attempt::Fails(Layer::Tls),
            Some(_) => {}
        }
    }
    above_tls(context, view, not_run)
}

/// The part of an attempt that comes after the handshake.
fn above_tls(
    context: &Context,
    view: &AddressView<'_>,
    not_run: &[(ProbeKind, &NotRun)],
) -> Attempt {
    if !context.target.scheme.has_http() {
        return Attempt::Works;
    }
    match view.http.last() {
        None => lacking(ProbeKind::Http, view, not_run),
        Some((_, last)) => http_attempt(context, last, view, not_run),
    }
}

/// Puts several attempts beside the first one: which part of them fails?
fn count(view: &mut AddressView<'_>) {
    let Some((_, tries)) = view.tries.filter(|(_, tries)| tries.made > 0) else {
        return;
    };
    if matches!(view.attempt, Attempt::Unjudged(_)) {
        return;
    }
    let (made, failed) = (f64::from(tries.made), f64::from(tries.failed));
    if view.attempt.works() {
        let failing = tries.ends.iter().filter_map(|end| failing_layer(&end.end));
        let Some(lowest) = failing.min() else { return };
        view.attempt = Attempt::Fails(lowest);
        view.is_mixed = true;
        view.part = failed / if failed < made { made } else { made + 1.0 };
        return;
    }
    view.is_mixed = tries.failed < tries.made;
    view.part = match tries.failed {
        // It failed once, before they were counted.
        0 => 1.0 / (made + 1.0),
        _ => failed / made,
    };
}

/// What is reset before anything is said fails by its connection, whichever step met that.
fn reset_unasked(view: &mut AddressView<'_>) {
    let is_above = matches!(view.attempt, Attempt::Fails(layer) if layer > Layer::Net);
    if is_above && !view.is_mixed && !crate::facts::net::unasked(view).is_empty() {
        view.attempt = Attempt::Fails(Layer::Net);
    }
}

/// The layer at which one of several attempts failed; none if it worked, or says nothing.
#[must_use]
pub fn failing_layer(end: &TryEnd) -> Option<Layer> {
    match end {
        TryEnd::Works => None,
        TryEnd::Connection { result } => match result {
            TcpResult::Refused
            | TcpResult::Reset
            | TcpResult::TimedOut
            | TcpResult::Unreachable { .. } => Some(Layer::Net),
            TcpResult::Connected | TcpResult::NoRoute | TcpResult::Error { .. } => None,
        },
        TryEnd::Handshake { .. } | TryEnd::Certificate { .. } => Some(Layer::Tls),
        TryEnd::Request { tls_alert, .. } => Some(match tls_alert {
            Some(_) => Layer::Tls,
            None => Layer::Http,
        }),
    }
}

/// Does a strict client refuse this handshake?
#[must_use]
pub fn tls_fails(tls: &TlsSeen) -> bool {
    tls.result != TlsResult::Completed || !tls.problems.is_empty()
}

fn http_attempt(
    context: &Context,
    last: &HttpSeen,
    view: &AddressView<'_>,
    not_run: &[(ProbeKind, &NotRun)],
) -> Attempt {
    if !last.problems.is_empty() {
        return Attempt::Fails(Layer::Tls);
    }
    // The connection to a redirect's host is one as any.
    match last.connection.as_ref().filter(|_| last.hop > 0) {
        Some(TcpResult::NoRoute) => {
            let why = "the vantage has no route to where it redirects";
            return Attempt::Unjudged(why.to_owned());
        }
        Some(TcpResult::Error { error }) => return Attempt::Unjudged(error.clone()),
        Some(
            TcpResult::Refused
            | TcpResult::Reset
            | TcpResult::TimedOut
            | TcpResult::Unreachable { .. },
        ) => return Attempt::Fails(Layer::Net),
        Some(TcpResult::Connected) | None => {}
    }
    if last.result != HttpResult::Response {
        // An alert ends the connection, not the request.
        let is_tls = last.tls_alert.is_some();
        return Attempt::Fails(if is_tls { Layer::Tls } else { Layer::Http });
    }
    if let Some(redirect) = &last.redirect {
        match &redirect.end {
            RedirectEnd::Followed => return lacking(ProbeKind::Http, view, not_run),
            RedirectEnd::NoLocation | RedirectEnd::Unusable { .. }
                if !leads_nowhere(context, last) => {}
            RedirectEnd::NoLocation
            | RedirectEnd::Unusable { .. }
            | RedirectEnd::Loop
            | RedirectEnd::Limit
            | RedirectEnd::Refused { .. }
            | RedirectEnd::Unresolved { .. } => return Attempt::Fails(Layer::Http),
        }
    }
    let expected = last.expectations.iter().all(|e| e.met);
    let end = last.body.as_ref().map(|b| b.end);
    if end == Some(BodyEnd::CutByMemory) && !expected {
        return Attempt::Unjudged("the memory for all probes together was spent".to_owned());
    }
    let browsers = refuses_browsers(&context.expect, last).is_none();
    if answers(context, last) && browsers && !codes_wrongly(last) && !fails_over_h2(view) {
        Attempt::Works
    } else {
        Attempt::Fails(Layer::Http)
    }
}

/// Is a redirect that cannot be followed all that users get? Where no location is named, browsers
/// show the page that comes with it; and what was declared is the answer itself.
fn leads_nowhere(context: &Context, last: &HttpSeen) -> bool {
    let end = last.redirect.as_ref().map(|redirect| &redirect.end);
    let is_shown = last.body.as_ref().is_some_and(|body| body.size > 0);
    let is_fault = match end {
        Some(RedirectEnd::Unusable { .. }) => true,
        Some(RedirectEnd::NoLocation) => !is_shown,
        Some(
            RedirectEnd::Followed
            | RedirectEnd::Loop
            | RedirectEnd::Limit
            | RedirectEnd::Refused { .. }
            | RedirectEnd::Unresolved { .. },
        )
        | None => false,
    };
    is_fault && context.expect.status.is_empty()
}

/// Did all of the body come that can be expected?
fn body_whole(seen: &HttpSeen) -> bool {
    let Some(body) = &seen.body else { return true };
    match body.end {
        BodyEnd::Complete | BodyEnd::Cut | BodyEnd::CutByMemory | BodyEnd::None => true,
        // One that is not meant to end.
        BodyEnd::Open | BodyEnd::Slow => seen.is_stream(),
        BodyEnd::Truncated | BodyEnd::Stalled | BodyEnd::Malformed => false,
    }
}

/// Is the body coded otherwise than it says, or than the client takes?
fn codes_wrongly(seen: &HttpSeen) -> bool {
    let coding = seen.body.as_ref().and_then(|body| body.coding.as_ref());
    coding.is_some_and(|coding| match coding.end {
        CodingEnd::Malformed { .. } | CodingEnd::Truncated | CodingEnd::WindowTooLarge { .. } => {
            true
        }
        CodingEnd::Complete | CodingEnd::Cut => !coding.accepted,
        // Browsers show what came.
        CodingEnd::Unknown => false,
    })
}

/// Does what was agreed to be asked over HTTP/2 only work over HTTP/1.1?
fn fails_over_h2(view: &AddressView<'_>) -> bool {
    view.http.iter().any(|(_, hop)| {
        let h2 = hop.h2.as_ref().map(|h2| &h2.result);
        h2.is_some_and(bellwether_model::http::H2Result::fails)
    })
}

/// Of attempts that fail at an address, which part does? Protocols and kinds of clients weigh the
/// same, as families do.
fn part(context: &Context, view: &AddressView<'_>) -> f64 {
    let Some((_, last)) = view.http.last().filter(|_| view.attempt.fails()) else {
        return 1.0;
    };
    let expect = &context.expect;
    if refuses_browsers(expect, last).is_some() {
        return 0.5;
    }
    let (failed, of) = counted(expect, last);
    if failed < of {
        // A handful of requests.
        let small = |count| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        return small(failed) / small(of);
    }
    let coding = last.body.as_ref().and_then(|body| body.coding.as_ref());
    let is_decoded =
        coding.is_none_or(|coding| matches!(coding.end, CodingEnd::Complete | CodingEnd::Cut));
    let others_are_served = is_decoded && answers(context, last);
    let is_of_kind = others_are_served || serves_browsers(expect, last);
    if view.attempt == Attempt::Fails(Layer::Http) && is_of_kind {
        0.5
    } else {
        1.0
    }
}

/// Is it what was expected, to a client that takes it so?
fn answers(context: &Context, last: &HttpSeen) -> bool {
    let stays = last
        .redirect
        .as_ref()
        .is_none_or(|redirect| match redirect.end {
            RedirectEnd::NoLocation | RedirectEnd::Unusable { .. } => !leads_nowhere(context, last),
            RedirectEnd::Followed
            | RedirectEnd::Loop
            | RedirectEnd::Limit
            | RedirectEnd::Refused { .. }
            | RedirectEnd::Unresolved { .. } => false,
        });
    stays
        && last.result == HttpResult::Response
        && last.status.is_some_and(|s| context.expect.takes_status(s))
        && last.expectations.iter().all(|e| e.met)
        && body_whole(last)
}

fn untried(
    view: &AddressView<'_>,
    found: &[Seen<'_, AddressesSeen>],
    not_run: &[(ProbeKind, &NotRun)],
) -> Attempt {
    let refused = not_run
        .iter()
        .any(|(_, n)| n.address == Some(view.address) && n.reason == NotRunReason::EgressRefused);
    let listed = found
        .iter()
        .flat_map(|(_, f)| f.found.iter())
        .find(|a| a.address == view.address);
    let why = listed.and_then(|a| a.not_dialled.clone());
    // A user who is given a private address by the public tree cannot connect to it.
    let outside = !AddressClass::of(view.address).is_public();
    if outside && (refused || why.is_some()) {
        return Attempt::Fails(Layer::Dns);
    }
    match why {
        Some(why) => Attempt::Unjudged(why),
        None => lacking(ProbeKind::Tcp, view, not_run),
    }
}

fn lacking(probe: ProbeKind, view: &AddressView<'_>, not_run: &[(ProbeKind, &NotRun)]) -> Attempt {
    let why = not_run
        .iter()
        .find(|(kind, n)| *kind == probe && n.address == Some(view.address))
        .map_or_else(
            || format!("no {} probe ran", probe.name()),
            |(_, n)| n.detail.clone(),
        );
    Attempt::Unjudged(why)
}
