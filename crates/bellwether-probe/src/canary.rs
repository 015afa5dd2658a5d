//! Names that must not exist: who answers them with addresses, answers anything.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use bellwether_model::dns::Question;
use bellwether_model::net::Family;
use bellwether_model::observation::{DnsPurpose, DnsSeen};
use bellwether_model::{DnsName, NotRun, NotRunReason, Origin, Outcome, ProbeKind};
use futures_util::future::join_all;

use crate::cx::Cx;
use crate::dns::{Ask, ask, waits};

/// Below this top-level domain nothing exists, by promise (RFC 6761 section 6.4).
const NOWHERE: &str = "invalid";
/// Letters of a label that nobody has registered: 26 to the 16th power are enough.
const LETTERS: usize = 16;

/// A label that is nobody's.
fn nonce() -> String {
    let mut random = fastrand::Rng::new();
    (0..LETTERS).map(|_| random.lowercase()).collect()
}

/// A label that is nobody's, the same whenever it is made of the same name: name servers are asked
/// for it, who remember nothing.
pub(crate) fn label_beside(name: &DnsName) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    name.as_str().hash(&mut hasher);
    let mut random = fastrand::Rng::with_seed(hasher.finish());
    (0..LETTERS).map(|_| random.lowercase()).collect()
}

/// Asks a root server and each resolver for a name that must not exist, all at the same time.
pub async fn run(cx: &Cx, port: u16) {
    let Ok(name) = DnsName::typed(&format!("{}.{NOWHERE}", nonce())) else {
        return;
    };
    let question = Question {
        name,
        rtype: "A".to_owned(),
    };
    let root = root_server(cx).map(|address| {
        let at = SocketAddr::new(address, port);
        Ask {
            origin: Origin::Operator,
            ..Ask::server(at, question.clone())
        }
    });
    let resolvers = cx.job().resolvers.iter();
    let through = resolvers.map(|r| Ask::resolver(r, question.clone()));
    let asked = root.into_iter().chain(through).map(|ask| one(cx, ask));
    join_all(asked).await;
}

/// Any root server of a family that this vantage has.
fn root_server(cx: &Cx) -> Option<IpAddr> {
    let hints = cx.job().root_hints.iter();
    let all: Vec<IpAddr> = hints.flat_map(|h| h.addresses.iter().copied()).collect();
    let fits = |a: &&IpAddr| cx.job().family.is_none_or(|f| f == Family::of(**a));
    let is_v4 = |a: &&IpAddr| a.is_ipv4();
    let usable: Vec<&IpAddr> = all.iter().filter(fits).collect();
    let v4 = usable.iter().copied().find(is_v4);
    v4.or(usable.first().copied()).copied()
}

async fn one(cx: &Cx, wanted: Ask) {
    let server = wanted.server.ip();
    let stand_in = NotRun {
        reason: NotRunReason::WorkerDied,
        detail: String::new(),
        subject: wanted.question.name.to_string(),
        address: Some(server),
        via: None,
    };
    let own = cx.for_probe();
    let run = async {
        let exchange = ask(&own, &wanted).await;
        let spent = waits(&exchange);
        let seen = DnsSeen {
            server,
            purpose: DnsPurpose::Canary,
            exchange,
        };
        (Outcome::Dns(seen), spent)
    };
    let key = format!("canary {server}");
    cx.probe(ProbeKind::Dns, key, stand_in, run).await;
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use bellwether_model::dns::ResolverOrigin;
    use bellwether_model::job::{Event, Job, ResolverAsk};
    use bellwether_model::resolver::Channel;

    use super::*;
    use crate::testing::job;

    /// A resolver that keeps silent leaves a record of what was asked, however short the time is.
    #[tokio::test]
    async fn silence_is_told_in_time() {
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let job = Job {
            timeout_ms: Some(1000),
            resolvers: vec![ResolverAsk {
                label: "silent".to_owned(),
                address: silent.local_addr().unwrap(),
                channel: Channel::default(),
                origin: ResolverOrigin::Given,
            }],
            ..job("https://svc.test/")
        };
        let told = Rc::new(RefCell::new(Vec::new()));
        let sink = told.clone();
        let cx = Cx::new(job, move |event| {
            if let Event::Observed { observation, .. } = event {
                sink.borrow_mut().push(observation.outcome.clone());
            }
        });
        run(&cx, 53).await;
        let told = told.take();
        assert!(matches!(told[..], [Outcome::Dns(_)]), "{told:?}");
    }
}
