//! The resolver matrix: one question through each resolver, and look-ups for redirects.
//!
//! **Privacy.** A resolver that the operator gave, and the system's, are always asked. The default
//! public ones are asked only if the name is public by all signs: its TLD exists at the root
//! (which is asked for the TLD alone), and no system resolver answers with private addresses.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;

use bellwether_model::dns::{AnswerKind, Exchange, Question, Rcode, ResolverOrigin, ResolverSeen};
use bellwether_model::egress::AddressClass;
use bellwether_model::job::ResolverAsk;
use bellwether_model::observation::AddressSource;
use bellwether_model::{DnsName, NotRun, NotRunReason, Origin, Outcome, ProbeKind};
use futures_util::FutureExt;
use futures_util::future::{Shared, join, join_all};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::cx::Cx;
use crate::dns::{Ask, ask_whole};
use crate::http::{Resolve, Resolved};
use crate::large;
use crate::walk::{Found, FoundSink, Walk, ZoneHandle};

/// Resolvers of this check that have answered.
pub type Working = Rc<RefCell<Vec<ResolverAsk>>>;

/// One resolver to be asked.
pub struct Asking {
    /// The resolver.
    pub resolver: ResolverAsk,
    /// The target's name.
    pub name: DnsName,
    /// Types to ask for.
    pub rtypes: Vec<String>,
    /// Where addresses go; none for targets that are not dialled.
    pub sink: Option<FoundSink>,
    /// The zone that holds the name, once the walk knows it.
    pub zone: oneshot::Receiver<ZoneHandle>,
    /// Resolvers that answered.
    pub working: Working,
    /// Hears whether this resolver's answer has private addresses.
    pub is_private: Option<oneshot::Sender<bool>>,
}

/// The verdict of the privacy rule: `Err` says why the default resolvers are not asked.
pub type Gate = Shared<Pin<Box<dyn Future<Output = Result<(), String>>>>>;

/// Is the name public, so that the default resolvers may see it?
pub fn gate(walk: &Walk, name: &DnsName, system: Vec<oneshot::Receiver<bool>>) -> Gate {
    let (walk, tld) = (walk.clone(), name.last_labels(1));
    let rule = async move {
        let (exists, private) = join(walk.tld_exists(&tld), join_all(system)).await;
        exists?;
        if private.into_iter().any(|p| p == Ok(true)) {
            return Err("a system resolver answers with private addresses".to_owned());
        }
        Ok(())
    };
    let rule: Pin<Box<dyn Future<Output = Result<(), String>>>> = Box::pin(rule);
    rule.shared()
}

/// Asks one resolver everything; a default one only if the privacy rule allows.
pub async fn run(cx: &Cx, asking: Asking, gate: Gate) {
    let resolver = asking.resolver.clone();
    let key = format!("resolver {}", resolver.label);
    let stand_in = NotRun {
        reason: NotRunReason::WorkerDied,
        detail: String::new(),
        subject: resolver.label.clone(),
        address: Some(resolver.address.ip()),
        via: None,
    };
    let refused = stand_in.clone();
    let own = cx.for_probe();
    let run = async {
        if resolver.origin == ResolverOrigin::Default
            && let Err(detail) = gate.await
        {
            let not_run = NotRun {
                reason: NotRunReason::Privacy,
                detail,
                ..refused
            };
            return (Outcome::NotRun(not_run), 0);
        }
        matrix(&own, asking).await
    };
    cx.probe(ProbeKind::ResolverMatrix, key, stand_in, run)
        .await;
}

async fn matrix(cx: &Cx, asking: Asking) -> (Outcome, u32) {
    let Asking {
        resolver,
        name,
        rtypes,
        sink,
        zone,
        working,
        is_private,
    } = asking;
    let seen = ResolverSeen {
        resolver: resolver.label.clone(),
        origin: resolver.origin,
        address: resolver.address,
        channel: resolver.channel.clone(),
        answers: Vec::new(),
        zone_ns: None,
        sibling: None,
        unchecked: Vec::new(),
        ancestors: Vec::new(),
        zone_ds: None,
        large: Vec::new(),
    };
    let teller = Teller {
        resolver: &resolver,
        sink,
        working,
    };
    let of_name = of_name(cx, teller, &name, &rtypes, is_private);
    let of_zone = async {
        // The walk may take longer than a resolver is to be waited for.
        match timeout(cx.left(), zone).await {
            Ok(Ok(handle)) => {
                let told = zone_questions(cx, &resolver, &handle).await;
                (
                    Some((handle.zone.clone(), handle.large.clone(), handle.waits)),
                    told,
                )
            }
            Ok(Err(_)) | Err(_) => (None, (None, None, 0)),
        }
    };
    let ((answers, waits), (zone, (zone_ns, sibling, zone_waits))) = join(of_name, of_zone).await;
    let (zone, large, known) = match zone {
        Some((zone, large, waits)) => (Some(zone), Some(large), waits),
        None => (None, None, 0),
    };
    // What the zone's own large answer is shows one wait after the zone, at the earliest.
    let large = large::through(cx, &resolver, large, known + 1);
    let ((unchecked, ancestors, more), (large, large_waits)) =
        join(checking(cx, &resolver, &answers), large).await;
    let mut waits = (waits + more).max(large_waits);
    let mut zone_ds = None;
    if let Some(zone) = zone.filter(|_| !ancestors.is_empty()) {
        let held;
        (held, waits) = ds_held(cx, &resolver, zone, waits).await;
        zone_ds = held.map(Box::new);
    }
    let seen = ResolverSeen {
        answers,
        zone_ns,
        sibling,
        unchecked,
        ancestors,
        zone_ds,
        large,
        ..seen
    };
    let outcome = Outcome::ResolverMatrix(Box::new(seen));
    (outcome, waits.max(zone_waits))
}

/// The answers for the name, all types at once. The teller is dropped when they are there: nothing
/// after that finds addresses.
async fn of_name(
    cx: &Cx,
    teller: Teller<'_>,
    name: &DnsName,
    rtypes: &[String],
    is_private: Option<oneshot::Sender<bool>>,
) -> (Vec<Exchange>, u32) {
    let asked = rtypes
        .iter()
        .map(|rtype| one_type(cx, &teller, name, rtype));
    let (answers, waits): (Vec<_>, Vec<_>) = join_all(asked).await.into_iter().unzip();
    let answers = answers.concat();
    if let Some(is_private) = is_private {
        // Nobody waits if there is no default resolver.
        let _ = is_private.send(has_private(&answers));
    }
    (answers, waits.into_iter().max().unwrap_or(0))
}

/// Where a resolver fails, the same without checking of signatures; and if that works, names above
/// with checking: what zone does it stumble over?
async fn checking(
    cx: &Cx,
    resolver: &ResolverAsk,
    answers: &[Exchange],
) -> (Vec<Exchange>, Vec<Exchange>, u32) {
    let failed: BTreeSet<&Question> = answers
        .iter()
        .filter(|e| e.response().is_some_and(|r| r.rcode == Rcode::SERVFAIL))
        .map(|e| &e.question)
        .collect();
    if let (Some(shared), Some(question)) = (&cx.memory().shared, failed.first()) {
        // It may be the keys of a domain above that it stumbles over.
        let name = &question.name;
        for zone in [DnsName::root(), name.last_labels(1), name.last_labels(2)] {
            shared.forget(&zone);
        }
    }
    if failed.is_empty() || cx.job().trust_anchor.is_empty() {
        return (Vec::new(), Vec::new(), 0);
    }
    let asked = failed.iter().map(|question| {
        let wanted = Ask {
            unchecked: true,
            ..Ask::resolver(resolver, (*question).clone())
        };
        async move { ask_whole(cx, &wanted).await }
    });
    let (unchecked, waits): (Vec<_>, Vec<_>) = join_all(asked).await.into_iter().unzip();
    let unchecked: Vec<Exchange> = unchecked.into_iter().filter_map(|mut e| e.pop()).collect();
    let mut spent = waits.into_iter().max().unwrap_or(0);
    let answers_now = |e: &Exchange| {
        e.response()
            .is_some_and(|r| matches!(r.rcode, Rcode::NOERROR | Rcode::NXDOMAIN))
    };
    if !unchecked.iter().any(answers_now) {
        return (unchecked, Vec::new(), spent);
    }
    let Some(name) = cx.job().target.name() else {
        return (unchecked, Vec::new(), spent);
    };
    let above = [DnsName::root(), name.last_labels(1)].map(|name| async move {
        let question = Question {
            name,
            rtype: "SOA".to_owned(),
        };
        ask_whole(cx, &Ask::resolver(resolver, question)).await
    });
    let (ancestors, waits): (Vec<_>, Vec<_>) = join_all(above).await.into_iter().unzip();
    spent += waits.into_iter().max().unwrap_or(0);
    let ancestors = ancestors.into_iter().filter_map(|mut e| e.pop()).collect();
    (unchecked, ancestors, spent)
}

/// The DS records of the zone as its cache has them: a mended set reaches it only when they end.
async fn ds_held(
    cx: &Cx,
    resolver: &ResolverAsk,
    zone: DnsName,
    waits: u32,
) -> (Option<Exchange>, u32) {
    let question = Question {
        name: zone,
        rtype: "DS".to_owned(),
    };
    let wanted = Ask {
        unchecked: true,
        ..Ask::resolver(resolver, question)
    };
    let (mut held, spent) = ask_whole(cx, &wanted).await;
    (held.pop(), waits + spent)
}

/// Tells the others at once what one resolver answers.
struct Teller<'a> {
    resolver: &'a ResolverAsk,
    sink: Option<FoundSink>,
    working: Working,
}

/// One type, with what follows a truncated or failing answer.
async fn one_type(
    cx: &Cx,
    teller: &Teller<'_>,
    name: &DnsName,
    rtype: &str,
) -> (Vec<Exchange>, u32) {
    let question = Question {
        name: name.clone(),
        rtype: rtype.to_owned(),
    };
    let wanted = Ask {
        hears_on: true,
        ..Ask::resolver(teller.resolver, question)
    };
    let (mut exchanges, mut waits) = ask_whole(cx, &wanted).await;
    teller.tell(&exchanges, waits);
    let is_silent = exchanges.iter().all(|e| e.response().is_none());
    // What TLS or HTTP refuses, it refuses again.
    let is_refused = exchanges.iter().any(|e| e.channel_failure().is_some());
    let again = if is_refused {
        None
    } else if is_silent {
        // Some drop what has an OPT record (RFC 6891 section 6.2.6 tells them not to).
        Some(Ask {
            edns: false,
            tries: 1,
            ..wanted
        })
    } else {
        exchanges.last().is_some_and(is_odd).then_some(wanted)
    };
    if let Some(again) = again {
        let (more, spent) = ask_whole(cx, &again).await;
        // After silence the repetition is one wait with what it repeats.
        waits = if is_silent {
            waits.max(spent)
        } else {
            waits + spent
        };
        teller.tell(&more, waits);
        exchanges.extend(more);
    }
    (exchanges, waits)
}

/// Is the answer one that must be seen twice? That a name has no AAAA is nothing odd.
fn is_odd(exchange: &Exchange) -> bool {
    let Some(response) = exchange.response() else {
        return false;
    };
    match response.kind(&exchange.question, None) {
        AnswerKind::Positive => false,
        AnswerKind::NoData => exchange.question.rtype != "AAAA",
        AnswerKind::Alias | AnswerKind::NxDomain | AnswerKind::Referral | AnswerKind::Unusable => {
            true
        }
    }
}

impl Teller<'_> {
    /// Tells of the addresses in an answer at once.
    fn tell(&self, exchanges: &[Exchange], waits: u32) {
        let resolver = self.resolver;
        let Some(exchange) = exchanges.iter().rfind(|e| e.response().is_some()) else {
            return;
        };
        let Some(response) = exchange.response() else {
            return;
        };
        if matches!(response.rcode, Rcode::NOERROR | Rcode::NXDOMAIN) {
            let mut working = self.working.borrow_mut();
            if !working.contains(resolver) {
                working.push(resolver.clone());
            }
        }
        let Some(sink) = &self.sink else { return };
        let origin = match resolver.origin {
            ResolverOrigin::System => Origin::SystemResolver,
            ResolverOrigin::Given | ResolverOrigin::Default => Origin::Network,
        };
        for address in response.addresses(&exchange.question) {
            // If nobody takes addresses any more, the check is over.
            let _ = sink.send(Found {
                address,
                source: AddressSource::Resolver {
                    resolver: resolver.label.clone(),
                },
                origin,
                waits,
            });
        }
    }
}

/// The NS set in the cache, and another name of the zone: its apex.
async fn zone_questions(
    cx: &Cx,
    resolver: &ResolverAsk,
    handle: &ZoneHandle,
) -> (Option<Exchange>, Option<Exchange>, u32) {
    let of = |rtype: &str| {
        let question = Question {
            name: handle.zone.clone(),
            rtype: rtype.to_owned(),
        };
        Ask::resolver(resolver, question)
    };
    let (ns, soa) = (of("NS"), of("SOA"));
    let ((mut ns, ns_waits), (mut soa, soa_waits)) =
        join(ask_whole(cx, &ns), ask_whole(cx, &soa)).await;
    let response = ns.iter().rev().find_map(Exchange::response);
    for record in response.into_iter().flat_map(|r| &r.answer) {
        if record.rtype == "NS"
            && record.name == handle.zone
            && let Some(name) = record.target()
        {
            handle.cached(name, &resolver.label, handle.waits + ns_waits);
        }
    }
    (ns.pop(), soa.pop(), handle.waits + ns_waits.max(soa_waits))
}

fn has_private(answers: &[Exchange]) -> bool {
    let responses = answers.iter().filter_map(|e| Some((e, e.response()?)));
    responses
        .flat_map(|(e, r)| r.addresses(&e.question))
        .any(|a| !AddressClass::of(a).is_public())
}

/// Resolves the names that redirects lead to: through the first resolver that works, else by our
/// own iteration.
pub struct Redirects {
    /// What the check shares.
    pub cx: Cx,
    /// The walk, for iteration.
    pub walk: Walk,
    /// Resolvers that have answered.
    pub working: Working,
}

impl Resolve for Redirects {
    fn resolve(&self, name: DnsName) -> Pin<Box<dyn Future<Output = Resolved>>> {
        let (cx, walk) = (self.cx.clone(), self.walk.clone());
        let working = self.working.borrow().first().cloned();
        Box::pin(async move {
            let rtypes = ["A".to_owned(), "AAAA".to_owned()];
            let whom = working.as_ref().map(|resolver| resolver.label.clone());
            let (exchanges, waits) = match working {
                Some(resolver) => through(&cx, &resolver, &name, &rtypes).await,
                None => {
                    let found = walk.resolve(&name, &rtypes).await.map_err(|f| f.reason)?;
                    (found.exchanges, found.waits)
                }
            };
            let responses = exchanges.iter().filter_map(|e| Some((e, e.response()?)));
            let addresses: Vec<IpAddr> = responses
                .flat_map(|(e, r)| r.addresses(&e.question))
                .collect();
            if addresses.is_empty() {
                let whom = whom.as_deref().unwrap_or("our own iteration");
                return Err(without_address(&name, whom, &exchanges));
            }
            Ok((addresses, waits))
        })
    }
}

/// Why a name leads to no address.
pub(crate) fn without_address(name: &DnsName, whom: &str, exchanges: &[Exchange]) -> String {
    let mut responses = exchanges.iter().filter_map(Exchange::response).peekable();
    if responses.peek().is_none() {
        return format!("{whom} does not answer for {name}");
    }
    let error = responses.find(|response| response.rcode != Rcode::NOERROR);
    match error {
        Some(response) => format!("{whom} answers {} for {name}", response.rcode),
        None => format!("{name} has no address"),
    }
}

async fn through(
    cx: &Cx,
    resolver: &ResolverAsk,
    name: &DnsName,
    rtypes: &[String],
) -> (Vec<Exchange>, u32) {
    let asked = rtypes.iter().map(|rtype| async move {
        let question = Question {
            name: name.clone(),
            rtype: rtype.clone(),
        };
        let (mut exchanges, waits) = ask_whole(cx, &Ask::resolver(resolver, question)).await;
        (exchanges.pop(), waits)
    });
    let ended = join_all(asked).await;
    let waits = ended.iter().map(|(_, waits)| *waits).max().unwrap_or(0);
    (ended.into_iter().filter_map(|(e, _)| e).collect(), waits)
}
