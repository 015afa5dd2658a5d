//! Visits and traces by a worker of many probes, against servers on loopback.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bellwether_model::dns::{ControlVia, ExchangeResult, Rcode, ResolverOrigin};
use bellwether_model::http::{HttpResult, RedirectEnd};
use bellwether_model::job::{CheckAsk, Control, Event, Job, ResolverAsk, RootHint, Wanted};
use bellwether_model::net::TcpResult;
use bellwether_model::tls::{CertProblem, TlsResult};
use bellwether_model::{Channel, NotRunReason, Observation, Outcome, ProbeKind};

use super::orders;
use crate::check;
use crate::cx::{Cx, Setting};
use crate::dns::testing::{Row, Script, asked, job, loopback, reply, run, serve, wire};
use crate::memory::Memory;
use crate::testing::{Pki, by_name, check_ask, http_server, server, tls_server, trusting};
use crate::walk::testing::{World, healthy, script, zone};

const RESOLVER: u8 = 99;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn visit(target: &str) -> Wanted {
    visit_within(target, 20_000)
}

fn visit_within(target: &str, deadline_ms: u64) -> Wanted {
    let is_named = check_ask(target).target.name().is_some();
    Wanted::Visit {
        ask: check_ask(target),
        resolver: is_named.then_some(0),
        turn: 0,
        deadline_ms,
        usual: None,
    }
}

fn resolver(port: u16) -> ResolverAsk {
    ResolverAsk {
        label: "R".into(),
        address: SocketAddr::new(loopback(RESOLVER), port),
        channel: Channel::Plain,
        origin: ResolverOrigin::Given,
    }
}

/// What an order leaves.
async fn carried_out(common: Job, memory: &Rc<Memory>, wanted: Wanted) -> (Vec<Observation>, u32) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sink = seen.clone();
    let setting = orders::setting_for(Setting::new(common), &wanted);
    let cx = Cx::begin(setting, memory.clone(), move |event| {
        if let Event::Observed { observation, .. } = event {
            sink.borrow_mut().push((**observation).clone());
        }
    });
    orders::run(&cx, &wanted).await;
    (seen.take(), cx.queries())
}

/// What a visit leaves whose resolver answers by this script.
async fn visited(
    answers: Script,
    change: impl FnOnce(&mut Job),
    wanted: Wanted,
) -> Vec<Observation> {
    let port = serve(loopback(RESOLVER), 0, answers).await.unwrap();
    let mut common = job("https://common.test/");
    common.resolvers = vec![resolver(port)];
    change(&mut common);
    let memory = Rc::new(Memory::of_many());
    carried_out(common, &memory, wanted).await.0
}

/// The kinds of the records, look-ups of addresses as one.
fn kinds(seen: &[Observation]) -> Vec<ProbeKind> {
    let mut kinds: Vec<ProbeKind> = seen.iter().map(|o| o.probe).collect();
    kinds.dedup();
    kinds
}

/// A resolver that knows of these records of `svc.test.` alone.
fn knows(records: &'static str) -> Script {
    script(vec![zone("svc.test.", records)])
}

#[test]
fn a_visit_of_a_name() {
    run(async {
        let at = http_server(OK).await;
        let wanted = visit(&format!("http://www.svc.test:{}/", at.port()));
        let seen = visited(knows("www.svc.test. A 127.0.0.1"), |_| {}, wanted).await;
        assert_eq!(
            kinds(&seen),
            [ProbeKind::Dns, ProbeKind::Tcp, ProbeKind::Http]
        );
        let Outcome::Dns(look_up) = &seen[0].outcome else {
            panic!("{seen:?}");
        };
        assert_eq!(look_up.server, loopback(RESOLVER));
        assert_eq!(look_up.exchange.question.name.as_str(), "www.svc.test.");
        let Some(Outcome::Http(http)) = seen.last().map(|o| &o.outcome) else {
            panic!("{seen:?}");
        };
        assert_eq!((http.status, http.entry), (Some(200), at));
    });
}

#[test]
fn a_visit_over_tls_is_made_once() {
    run(async {
        let pki = Pki::new();
        let (good, other) = (
            pki.chain(&["www.svc.test"], 2040),
            pki.chain(&["other"], 2040),
        );
        for (identity, is_fine) in [(&good, true), (&other, false)] {
            let config = by_name("www.svc.test", identity, identity);
            let at = tls_server(config, OK).await;
            let wanted = visit(&format!("https://www.svc.test:{}/", at.port()));
            let roots = trusting("https://svc.test/", &pki).extra_roots;
            let trust = |job: &mut Job| job.extra_roots = roots;
            let seen = visited(knows("www.svc.test. A 127.0.0.1"), trust, wanted).await;
            let tls: Vec<_> = seen
                .iter()
                .filter_map(|o| match &o.outcome {
                    Outcome::Tls(seen) => Some(seen),
                    _ => None,
                })
                .collect();
            // A trace would ask without naming the host, and several times.
            assert_eq!(tls.len(), 1, "{seen:?}");
            assert_eq!(tls[0].result, TlsResult::Completed);
            let is_other = |p: &CertProblem| matches!(p, CertProblem::NameMismatch { .. });
            assert_eq!(tls[0].problems.is_empty(), is_fine, "{:?}", tls[0].problems);
            assert_eq!(tls[0].problems.iter().any(is_other), !is_fine);
            assert!(seen.iter().all(|o| !matches!(o.outcome, Outcome::Tries(_))));
        }
    });
}

#[test]
fn a_refused_visit_is_made_once() {
    run(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let wanted = visit(&format!("https://127.0.0.1:{port}/"));
        let seen = visited(knows(""), |_| {}, wanted).await;
        let [
            Observation {
                outcome: Outcome::Tcp(tcp),
                ..
            },
        ] = &seen[..]
        else {
            panic!("{seen:?}");
        };
        assert_eq!(tcp.result, TcpResult::Refused);
    });
}

#[test]
fn a_name_that_does_not_exist_is_not_visited() {
    run(async {
        let seen = visited(knows(""), |_| {}, visit("https://www.svc.test/")).await;
        assert_eq!(kinds(&seen), [ProbeKind::Dns]);
        for observation in &seen {
            let Outcome::Dns(look_up) = &observation.outcome else {
                panic!("{observation:?}");
            };
            let rcode = look_up.exchange.response().map(|r| r.rcode);
            assert_eq!(rcode, Some(Rcode::NXDOMAIN));
        }
        let none = Wanted::Visit {
            ask: check_ask("https://www.svc.test/"),
            resolver: Some(4),
            turn: 0,
            deadline_ms: 1000,
            usual: None,
        };
        let seen = visited(knows(""), |_| {}, none).await;
        let Outcome::NotRun(not_run) = &seen[0].outcome else {
            panic!("{seen:?}");
        };
        assert_eq!(
            (not_run.reason, seen.len()),
            (NotRunReason::Limit, 1),
            "{seen:?}"
        );
    });
}

/// A resolver that follows `www.svc.test.` to an address, and knows `other.test.` too.
fn follows() -> Script {
    Rc::new(|query| {
        let (name, rtype) = asked(query);
        let alias: Row = ("www.svc.test.".into(), 5, wire("web.cdn.test."));
        let address = |owner: &str| -> Row { (owner.into(), 1, vec![127, 0, 0, 1]) };
        let rows = match (name.as_str(), rtype) {
            ("www.svc.test.", 1) => vec![alias, address("web.cdn.test.")],
            ("www.svc.test.", _) => vec![alias],
            ("other.test.", 1) => vec![address("other.test.")],
            ("other.test.", _) => vec![],
            _ => return vec![reply(query, 3, [&[], &[], &[]])],
        };
        vec![reply(query, 0, [&rows, &[], &[]])]
    })
}

#[test]
fn aliases_are_followed_as_the_resolver_does() {
    run(async {
        let at = http_server(OK).await;
        let wanted = visit(&format!("http://www.svc.test:{}/", at.port()));
        let seen = visited(follows(), |_| {}, wanted).await;
        assert_eq!(
            kinds(&seen),
            [ProbeKind::Dns, ProbeKind::Tcp, ProbeKind::Http]
        );
    });
}

#[test]
fn redirects_are_resolved_through_the_same_resolver() {
    run(async {
        let end = http_server(OK).await;
        for (host, ends_in) in [("other.test", Some(200)), ("missing.test", None)] {
            let location = format!("http://{host}:{}/there", end.port());
            let text =
                format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            let begin = http_server(text).await;
            let wanted = visit(&format!("http://www.svc.test:{}/", begin.port()));
            let seen = visited(follows(), |_| {}, wanted).await;
            let look_ups = seen.iter().filter(|o| match &o.outcome {
                Outcome::Dns(seen) => seen.exchange.question.name.as_str() == format!("{host}."),
                _ => false,
            });
            assert!(look_ups.count() >= 1, "{seen:?}");
            let Some(Outcome::Http(last)) = seen.last().map(|o| &o.outcome) else {
                panic!("{seen:?}");
            };
            match ends_in {
                Some(status) => assert_eq!((last.status, last.hop), (Some(status), 1)),
                None => {
                    let ended = last.redirect.as_ref().map(|r| &r.end);
                    assert!(
                        matches!(ended, Some(RedirectEnd::Unresolved { .. })),
                        "{last:?}"
                    );
                }
            }
        }
    });
}

#[test]
fn the_egress_rule_holds_for_visits() {
    run(async {
        let at = http_server(OK).await;
        for (origin, may) in [
            (ResolverOrigin::Given, false),
            (ResolverOrigin::System, true),
        ] {
            let wanted = visit(&format!("http://www.svc.test:{}/", at.port()));
            let strict = |job: &mut Job| {
                job.egress.allow_networks.clear();
                job.resolvers[0].origin = origin;
            };
            let seen = visited(knows("www.svc.test. A 127.0.0.1"), strict, wanted).await;
            let refused = seen.iter().any(|o| match &o.outcome {
                Outcome::NotRun(n) => n.reason == NotRunReason::EgressRefused,
                _ => false,
            });
            assert_eq!(refused, !may, "{seen:?}");
            assert_eq!(kinds(&seen).contains(&ProbeKind::Http), may);
        }
    });
}

#[test]
fn a_visit_ends_in_time() {
    run(async {
        // A resolver that says nothing.
        let silent: Script = Rc::new(|_| Vec::new());
        let seen = visited(silent, |_| {}, visit_within("https://www.svc.test/", 1500)).await;
        assert_eq!(kinds(&seen), [ProbeKind::Dns]);
        for observation in &seen {
            let Outcome::Dns(look_up) = &observation.outcome else {
                panic!("{observation:?}");
            };
            assert_eq!(look_up.exchange.result, ExchangeResult::Silent);
        }
        // A server that takes the connection and says nothing.
        let at = server(|stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .await;
        let wanted = visit_within(&format!("http://{at}/"), 1500);
        let seen = visited(knows(""), |_| {}, wanted).await;
        assert_eq!(kinds(&seen), [ProbeKind::Tcp, ProbeKind::Http]);
        match &seen[1].outcome {
            Outcome::Http(http) => assert_eq!(http.result, HttpResult::Stalled),
            Outcome::NotRun(not_run) => assert_eq!(not_run.reason, NotRunReason::Deadline),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_visit_of_a_name_alone_and_one_by_echo() {
    run(async {
        let records = "www.svc.test. A 127.0.0.1";
        let seen = visited(knows(records), |_| {}, visit("dns://www.svc.test?type=A")).await;
        assert_eq!(seen.len(), 1, "{seen:?}");
        let Outcome::Dns(look_up) = &seen[0].outcome else {
            panic!("{seen:?}");
        };
        assert_eq!(look_up.exchange.response().map(|r| r.answer.len()), Some(1));
        let mut echo = check_ask("tcp://www.svc.test:1");
        Arc::make_mut(&mut echo).icmp_only = true;
        let wanted = Wanted::Visit {
            ask: echo,
            resolver: Some(0),
            turn: 3,
            deadline_ms: 5000,
            usual: None,
        };
        let seen = visited(knows(records), |_| {}, wanted).await;
        // Whether echoes are allowed depends on the system.
        assert_eq!(kinds(&seen), [ProbeKind::Dns, ProbeKind::Icmp]);
    });
}

/// A tree of zones whose root and TLD count what they are asked, canaries left out.
struct Counted {
    port: u16,
    root: Rc<Cell<u32>>,
    tld: Rc<Cell<u32>>,
    memory: Rc<Memory>,
}

fn counting(script: Script, count: &Rc<Cell<u32>>) -> Script {
    let count = count.clone();
    Rc::new(move |query| {
        if !asked(query).0.ends_with("invalid.") {
            count.set(count.get() + 1);
        }
        script(query)
    })
}

impl Counted {
    async fn start(world: World) -> Self {
        let (root, tld) = (Rc::<Cell<u32>>::default(), Rc::<Cell<u32>>::default());
        let mut port = 0;
        for (last, zones) in world {
            let answers = script(zones);
            let answers = match last {
                2 => counting(answers, &root),
                3 => counting(answers, &tld),
                _ => answers,
            };
            port = serve(loopback(last), port, answers).await.unwrap();
        }
        let answers = script(vec![zone(
            "test.",
            "www.svc.test. A 127.0.1.1\napi.svc.test. A 127.0.1.1\nctl.test. A 127.0.1.1",
        )]);
        serve(loopback(RESOLVER), port, answers).await.unwrap();
        Self {
            port,
            root,
            tld,
            memory: Rc::new(Memory::of_many()),
        }
    }

    /// A trace: its records, and how often root and TLD were asked for it.
    async fn trace(&self, target: &str) -> (Vec<Observation>, u32, u32, u32) {
        self.trace_of(check_ask(target)).await
    }

    async fn trace_of(&self, ask: Arc<CheckAsk>) -> (Vec<Observation>, u32, u32, u32) {
        let mut common = job("https://common.test/");
        common.resolvers = vec![resolver(self.port)];
        common.controls = vec![Control::Name("ctl.test.".parse().unwrap())];
        common.root_hints = vec![RootHint {
            name: "a.root.".parse().unwrap(),
            addresses: vec![loopback(2)],
        }];
        let wanted = Wanted::Trace {
            ask,
            baseline: None,
            now: None,
            deadline_ms: 20_000,
        };
        let before = (self.root.get(), self.tld.get());
        let seen = Rc::new(RefCell::new(Vec::new()));
        let sink = seen.clone();
        let setting = orders::setting_for(Setting::new(common), &wanted);
        let cx = Cx::begin(setting, self.memory.clone(), move |event| {
            if let Event::Observed { observation, .. } = event {
                sink.borrow_mut().push((**observation).clone());
            }
        });
        check::run_at(&cx, self.port).await;
        let (root, tld) = (self.root.get() - before.0, self.tld.get() - before.1);
        (seen.take(), cx.queries(), root, tld)
    }
}

/// The zones of a trace with how many of their servers answered.
fn zones(seen: &[Observation]) -> Vec<(String, usize)> {
    let mut zones: Vec<(String, usize)> = seen
        .iter()
        .filter_map(|o| match &o.outcome {
            Outcome::Delegation(seen) => {
                let answering = seen.servers.iter().filter(|s| s.answers()).count();
                Some((seen.zone.to_string(), answering))
            }
            _ => None,
        })
        .collect();
    zones.sort();
    zones
}

#[test]
fn traces_share_what_root_and_tld_say() {
    run(async {
        let mut world = healthy();
        world[1].1 = vec![zone(
            "test.",
            "svc.test. NS ns1.svc.test.\nsvc.test. NS ns2.svc.test.\n\
             ns1.svc.test. A 127.0.0.4\nns2.svc.test. A 127.0.0.5\nctl.test. A 127.0.1.1",
        )];
        let tree = Counted::start(world).await;
        let (first, queries, root, tld) = tree.trace("dns://www.svc.test").await;
        assert!(root > 0 && tld > 0);
        // All but the delegation itself, which is asked by each.
        let (second, fewer, root, again) = tree.trace("dns://www.svc.test").await;
        assert!(root == 0 && again < tld, "{fewer}");
        assert!(fewer < queries);
        assert_eq!(zones(&second), zones(&first));
        // What the zone itself says is asked by each.
        assert!(zones(&second).contains(&("svc.test.".to_owned(), 2)));
        let (third, _, root, again) = tree.trace("dns://api.svc.test").await;
        assert!(root == 0 && again < tld);
        assert_eq!(zones(&third), zones(&first));
        let exchanges = third.iter().filter_map(|o| match &o.outcome {
            Outcome::Delegation(seen) => Some(&seen.servers[0].exchanges[0].question.name),
            _ => None,
        });
        for name in exchanges {
            assert_eq!(name.as_str(), "api.svc.test.");
        }
        // Another zone is another delegation.
        let (_, _, root, tld) = tree.trace("dns://www.other.test").await;
        assert_eq!(root, 0);
        assert!(tld > 0);
        let controls = third.iter().filter_map(|o| match &o.outcome {
            Outcome::Control(seen) => Some((&seen.via, seen.ok)),
            _ => None,
        });
        let ways: Vec<(&ControlVia, bool)> = controls.collect();
        assert!(
            ways.len() == 2 && ways.iter().all(|(_, ok)| *ok),
            "{ways:?}"
        );
    });
}

#[test]
fn a_trace_by_echo_connects_to_nothing() {
    run(async {
        let tree = Counted::start(healthy()).await;
        let mut echo = check_ask("dns://www.svc.test");
        Arc::make_mut(&mut echo).icmp_only = true;
        let (seen, ..) = tree.trace_of(echo).await;
        let echoes = seen.iter().filter(|o| o.probe == ProbeKind::Icmp);
        assert_eq!(echoes.count(), 1, "{seen:?}");
        assert!(seen.iter().all(|o| o.probe != ProbeKind::Tcp));
    });
}

#[test]
fn a_zone_that_fails_has_its_delegation_asked_anew() {
    run(async {
        let mut world = healthy();
        // Nobody listens at one of the zone's servers.
        world.retain(|(last, _)| *last != 5);
        let tree = Counted::start(world).await;
        tree.trace("dns://www.svc.test").await;
        let (_, _, root, tld) = tree.trace("dns://www.svc.test").await;
        assert_eq!(root, 0);
        assert!(tld > 0);
    });
}
