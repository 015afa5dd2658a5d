//! Controls: what works if the vantage works.

use std::net::IpAddr;

use bellwether_model::dns::{AnswerKind, ControlSeen, ControlVia, Exchange, Question, Rcode};
use bellwether_model::job::{Control, ResolverAsk};
use bellwether_model::{DnsName, NotRun, NotRunReason, Origin, Outcome, ProbeKind};
use futures_util::future::{LocalBoxFuture, join_all};

use crate::cx::Cx;
use crate::dns::{Ask, ask, ask_whole};
use crate::system::DNS_PORT;
use crate::walk::Walk;

/// Asks every control in every way: a name through each resolver and by our own iteration, an
/// address on port 53.
pub async fn run(cx: &Cx, walk: &Walk) {
    let mut asked: Vec<LocalBoxFuture<'_, ()>> = Vec::new();
    for control in &cx.job().controls {
        match control {
            Control::Name(name) => {
                for resolver in &cx.job().resolvers {
                    asked.push(Box::pin(through_resolver(cx, name, resolver)));
                }
                asked.push(Box::pin(by_iteration(cx, walk, name)));
            }
            Control::Address(address) => asked.push(Box::pin(address_control(cx, *address))),
        }
    }
    join_all(asked).await;
}

async fn through_resolver(cx: &Cx, name: &DnsName, resolver: &ResolverAsk) {
    let via = ControlVia::Resolver {
        resolver: resolver.label.clone(),
    };
    let question = address_of(name);
    probe(
        cx,
        name.to_string(),
        via.clone(),
        Some(resolver.address.ip()),
        async {
            let wanted = Ask::resolver(resolver, question);
            let (mut exchanges, waits) = ask_whole(cx, &wanted).await;
            let exchange = exchanges.pop().expect("a question leaves an exchange");
            let seen = ControlSeen {
                control: name.to_string(),
                via,
                ok: is_positive(&exchange, None),
                exchange,
            };
            (Outcome::Control(seen), waits)
        },
    )
    .await;
}

async fn by_iteration(cx: &Cx, walk: &Walk, name: &DnsName) {
    let via = ControlVia::Own;
    probe(cx, name.to_string(), via.clone(), None, async {
        let question = address_of(name);
        let iterated = walk
            .resolve(name, std::slice::from_ref(&question.rtype))
            .await;
        let (exchange, ok, waits) = match iterated {
            Ok(mut found) => {
                let exchange = found.exchanges.pop().expect("one type, one exchange");
                let ok = is_positive(&exchange, Some(&found.zone));
                (exchange, ok, found.waits)
            }
            Err(failed) => {
                let nowhere = (std::net::Ipv4Addr::UNSPECIFIED, DNS_PORT).into();
                let not_asked = || Ask::server(nowhere, question).not_asked(failed.reason);
                let exchange = failed.last.unwrap_or_else(not_asked);
                let waits = crate::dns::waits(&exchange);
                (exchange, false, waits)
            }
        };
        let seen = ControlSeen {
            control: name.to_string(),
            via,
            ok,
            exchange,
        };
        (Outcome::Control(seen), waits)
    })
    .await;
}

async fn address_control(cx: &Cx, address: IpAddr) {
    let via = ControlVia::Address;
    probe(cx, address.to_string(), via.clone(), Some(address), async {
        let root = Question {
            name: DnsName::root(),
            rtype: "NS".to_owned(),
        };
        let wanted = Ask {
            origin: Origin::Operator,
            ..Ask::desiring_recursion((address, DNS_PORT).into(), root)
        };
        let exchange = ask(cx, &wanted).await;
        let waits = crate::dns::waits(&exchange);
        let rcode = exchange.response().map(|r| r.rcode);
        let seen = ControlSeen {
            control: address.to_string(),
            via,
            ok: rcode == Some(Rcode::NOERROR),
            exchange,
        };
        (Outcome::Control(seen), waits)
    })
    .await;
}

async fn probe(
    cx: &Cx,
    control: String,
    via: ControlVia,
    address: Option<IpAddr>,
    run: impl Future<Output = (Outcome, u32)>,
) {
    let way = match &via {
        ControlVia::Resolver { resolver } => format!(" through {resolver}"),
        ControlVia::Own => " by own iteration".to_owned(),
        ControlVia::Address => String::new(),
    };
    let key = format!("control {control}{way}");
    let stand_in = NotRun {
        reason: NotRunReason::WorkerDied,
        detail: String::new(),
        subject: control,
        address,
        via: Some(via),
    };
    let what = format!("{key} {address:?}");
    let shared = cx.memory().shared.as_ref();
    let run = async {
        match shared {
            // Many traces that begin together ask a control once.
            Some(shared) => shared.control(&what, run).await,
            None => run.await,
        }
    };
    cx.probe(ProbeKind::Control, key, stand_in, run).await;
}

fn address_of(name: &DnsName) -> Question {
    Question {
        name: name.clone(),
        rtype: "A".to_owned(),
    }
}

fn is_positive(exchange: &Exchange, zone: Option<&DnsName>) -> bool {
    let response = exchange.response();
    response.is_some_and(|r| r.kind(&exchange.question, zone) == AnswerKind::Positive)
}
