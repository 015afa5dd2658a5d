//! Answers that are large: do resolvers bring what name servers give?
//!
//! Asked where the operator declares such a name, or where the target's own zone has a set of keys
//! that does not fit into what we offer to take.

use bellwether_model::dns::{Exchange, Question, Rcode};
use bellwether_model::job::ResolverAsk;
use bellwether_model::observation::{DnsPurpose, DnsSeen};
use bellwether_model::{NotRun, NotRunReason, Outcome, ProbeKind};
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::timeout;

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::cx::Cx;
use crate::dns::message::UDP_PAYLOAD;
use crate::dns::{Ask, ask_whole};
use crate::walk::Walk;

/// Longest wait for the walk to meet a large answer in the target's zone: it asks there at the time
/// at which the resolvers are asked about the zone.
const OWN_WAIT: Duration = Duration::from_millis(1500);

/// A question whose answer is large, once one is met; the sender is gone when none will be.
pub type Large = watch::Receiver<Option<Question>>;

/// Is this a whole answer with authority, larger than what we offer to take over UDP?
pub(crate) fn is_large(exchange: &Exchange) -> bool {
    exchange.response().is_some_and(|r| {
        let is_whole = r.flags.aa && !r.flags.tc && r.malformed.is_none();
        is_whole && r.size > usize::from(UDP_PAYLOAD) && !r.records(&exchange.question).is_empty()
    })
}

/// Asks for each declared name by our own iteration.
pub(crate) async fn declared(cx: &Cx, walk: &Walk) {
    let all = &cx.job().expect.large_answers;
    join_all(all.iter().map(|question| own(cx, walk, question))).await;
}

async fn own(cx: &Cx, walk: &Walk, question: &Question) {
    let Question { name, rtype } = question;
    let stand_in = NotRun {
        reason: NotRunReason::WorkerDied,
        detail: String::new(),
        subject: name.to_string(),
        address: None,
        via: None,
    };
    let time = cx.for_probe().left();
    let run = async {
        let found = timeout(time, walk.resolve(name, std::slice::from_ref(rtype))).await;
        let nowhere = Ipv4Addr::UNSPECIFIED.into();
        let not_asked =
            |reason| Ask::server((nowhere, 0).into(), question.clone()).not_asked(reason);
        let (exchange, waits) = match found {
            Ok(Ok(mut found)) => (found.exchanges.pop(), found.waits),
            Ok(Err(failed)) => (failed.last.or(Some(not_asked(failed.reason))), 0),
            Err(_) => (
                Some(not_asked("it was not found in the probe's time".to_owned())),
                0,
            ),
        };
        let exchange = exchange.unwrap_or_else(|| not_asked("it was not asked for".to_owned()));
        let seen = DnsSeen {
            server: nowhere,
            purpose: DnsPurpose::LargeAnswer,
            exchange,
        };
        (Outcome::Dns(seen), waits)
    };
    let key = format!("large answer {name} {rtype}");
    cx.probe(ProbeKind::Dns, key, stand_in, run).await;
}

/// What a resolver makes of them; with the waits behind `before`.
pub(crate) async fn through(
    cx: &Cx,
    resolver: &ResolverAsk,
    own: Option<Large>,
    before: u32,
) -> (Vec<Exchange>, u32) {
    let declared = cx.job().expect.large_answers.iter();
    let declared = join_all(declared.map(|q| ask(cx, resolver, q.clone(), false)));
    let of_zone = async {
        match timeout(OWN_WAIT.min(cx.left()), met(own)).await {
            Ok(Some(question)) => ask(cx, resolver, question, true).await,
            Ok(None) | Err(_) => (Vec::new(), 0),
        }
    };
    let (declared, of_zone) = futures_util::future::join(declared, of_zone).await;
    let waits = declared.iter().map(|(_, waits)| *waits).max().unwrap_or(0);
    let waits = waits.max(if of_zone.1 > 0 { before + of_zone.1 } else { 0 });
    let all = declared.into_iter().chain([of_zone]);
    (all.flat_map(|(exchanges, _)| exchanges).collect(), waits)
}

async fn met(own: Option<Large>) -> Option<Question> {
    let mut own = own?;
    loop {
        if let Some(question) = own.borrow_and_update().clone() {
            return Some(question);
        }
        own.changed().await.ok()?;
    }
}

/// One question; what fails once more, so that one lost packet says nothing, and without checking of
/// signatures, which may fail for other reasons.
async fn ask(
    cx: &Cx,
    resolver: &ResolverAsk,
    question: Question,
    signatures: bool,
) -> (Vec<Exchange>, u32) {
    let wanted = Ask {
        signatures,
        ..Ask::resolver(resolver, question)
    };
    let (mut exchanges, mut waits) = ask_whole(cx, &wanted).await;
    let brings = |e: &Exchange| {
        e.response().is_some_and(|r| {
            r.rcode == Rcode::NOERROR && !r.flags.tc && !r.records(&e.question).is_empty()
        })
    };
    if !exchanges.iter().any(brings) {
        let again = Ask {
            unchecked: true,
            ..wanted
        };
        let (more, spent) = ask_whole(cx, &again).await;
        exchanges.extend(more);
        waits += spent;
    }
    (exchanges, waits)
}
