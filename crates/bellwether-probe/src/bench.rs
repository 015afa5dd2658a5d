//! Single probes, as a check runs them, for benches.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;

use bellwether_model::dns::{Question, ResolverOrigin};
use bellwether_model::job::ResolverAsk;
use bellwether_model::observation::{DnsPurpose, DnsSeen, NotRun};
use bellwether_model::{DnsName, NotRunReason, Origin, Outcome, ProbeKind};
use tokio::sync::oneshot;

use crate::cx::Cx;
use crate::dns::exchange::{Ask, ask};
use crate::http::{Resolve, Resolved};
use crate::{attempt, icmp};

/// One query over UDP from a fresh socket, recorded.
pub async fn dns(cx: &Cx, server: SocketAddr, name: &DnsName) -> Outcome {
    let question = Question {
        name: name.clone(),
        rtype: "A".to_owned(),
    };
    let stand_in = NotRun {
        reason: NotRunReason::Deadline,
        detail: String::new(),
        subject: server.to_string(),
        address: Some(server.ip()),
        via: None,
    };
    let resolver = ResolverAsk {
        label: server.to_string(),
        address: server,
        channel: bellwether_model::resolver::Channel::default(),
        origin: ResolverOrigin::Given,
    };
    let wanted = Ask::resolver(&resolver, question);
    let run = async {
        let seen = DnsSeen {
            server: server.ip(),
            purpose: DnsPurpose::Answer,
            exchange: ask(cx, &wanted).await,
        };
        (Outcome::Dns(seen), 1)
    };
    cx.probe(ProbeKind::Dns, format!("dns {server}"), stand_in, run)
        .await
}

/// What a user's client does with one address, as far up as the job's target says.
pub async fn address(cx: &Cx, address: IpAddr) {
    attempt::run(cx, address, Origin::Operator, 0, Rc::new(Nowhere)).await;
}

/// One echo.
pub async fn echo(cx: &Cx, address: IpAddr) {
    let (_unserved, served) = oneshot::channel();
    icmp::run(cx, address, Origin::Operator, 0, served).await;
}

/// No redirect is followed to another host.
struct Nowhere;

impl Resolve for Nowhere {
    fn resolve(&self, _: DnsName) -> Pin<Box<dyn Future<Output = Resolved>>> {
        Box::pin(async { Err("a bench follows no redirect".to_owned()) })
    }
}
