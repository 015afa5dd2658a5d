//! The servers of one zone on the way to a name: one observation.
//!
//! A level learns of name servers while it runs (from each server of the parent, from the zone
//! itself, from the baseline, from resolvers' caches), asks each as soon as it knows an address,
//! and hands the first good referral on at once. It ends when nobody can tell it anything more and
//! nothing it asked is open.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use bellwether_model::dns::{
    Exchange, ExchangeResult, HostSeen, ListedBy, Question, Referral, Response, Transport,
};
use bellwether_model::observation::AddressSource;
use bellwether_model::{DnsName, Origin, Outcome};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use super::cut::{Glue, glue};
use super::host::HostAnswer;
use super::judge::{Step, alias_step, is_answered, ns_set, soa_owner, step};
use super::{ALIASES_MAX, Found, QUERIES_MAX, Trace, Walk, ZoneHandle, dns_port};
use crate::dns::Ask;
use crate::dns::message::Raw;

/// Most name servers of one zone that are asked: the largest sets in use have 13.
const HOSTS_MAX: usize = 32;
/// Most addresses of one name server that are asked.
const ADDRESSES_MAX: usize = 8;
/// The resolvers are asked about the zone by then, although its servers do not answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a level is told while it runs.
pub(crate) enum Tell {
    /// A server of the parent delegates the zone.
    Delegation {
        referral: Referral,
        glue: Glue,
        given_by: String,
        waits: u32,
    },
    /// Somebody names a name server of the zone.
    Host {
        name: DnsName,
        listed_by: ListedBy,
        known: Vec<IpAddr>,
        waits: u32,
    },
}

/// One name server at one address.
pub(super) type Server = (DnsName, IpAddr);

/// What a job of a level ended with.
enum Done {
    Asked {
        server: Server,
        exchanges: Vec<Exchange>,
        waits: u32,
    },
    Host {
        name: DnsName,
        answer: HostAnswer,
    },
    /// The SOA at the name: where is the apex?
    Apex {
        server: Server,
        exchange: Exchange,
        waits: u32,
    },
    /// The NS set of a zone that the same server holds further down.
    Below {
        server: Server,
        apex: DnsName,
        exchange: Exchange,
        waits: u32,
    },
}

/// The servers of one zone.
pub(crate) struct Level {
    pub(super) walk: Walk,
    pub(super) trace: Rc<Trace>,
    pub(super) zone: DnsName,
    pub(super) parent: Option<DnsName>,
    /// NS sets of the parent's servers: TTL and givers.
    pub(super) parent_sets: BTreeMap<Vec<DnsName>, (u32, BTreeSet<String>)>,
    pub(super) hosts: BTreeMap<DnsName, HostSeen>,
    pub(super) servers: BTreeMap<Server, Vec<Exchange>>,
    pub(super) holds: bool,
    /// A server gave a good referral.
    pub(super) passed: bool,
    pub(super) cut_short: bool,
    looked_up: BTreeSet<DnsName>,
    /// When each server's address was known, in waits.
    known_at: BTreeMap<Server, u32>,
    /// Every server is asked everything.
    full: bool,
    apex_asked: bool,
    /// The resolvers' probes know of the zone.
    announced: bool,
    children: BTreeMap<DnsName, mpsc::UnboundedSender<Tell>>,
    caches: Option<mpsc::UnboundedReceiver<Tell>>,
    jobs: FuturesUnordered<LocalBoxFuture<'static, Done>>,
    waits: u32,
}

impl Level {
    pub(super) fn new(
        walk: &Walk,
        trace: Rc<Trace>,
        zone: DnsName,
        parent: Option<DnsName>,
    ) -> Self {
        // The zone that most names are in: one label up. Asking everything at once there saves a
        // wait; where the guess is wrong, some questions too many went to a zone further up.
        let full = zone.labels().len() >= 2 && trace.name.labels().len() <= zone.labels().len() + 1;
        Self {
            walk: walk.clone(),
            trace,
            zone,
            parent,
            parent_sets: BTreeMap::new(),
            hosts: BTreeMap::new(),
            servers: BTreeMap::new(),
            holds: false,
            passed: false,
            cut_short: false,
            looked_up: BTreeSet::new(),
            known_at: BTreeMap::new(),
            full,
            apex_asked: false,
            announced: false,
            children: BTreeMap::new(),
            caches: None,
            jobs: FuturesUnordered::new(),
            waits: 0,
        }
    }

    /// Runs until nothing is open; the outcome and the waits up to its end.
    pub(super) async fn run(mut self, mut told: mpsc::UnboundedReceiver<Tell>) -> (Outcome, u32) {
        self.add_baseline();
        let mut parent_tells = true;
        let mut patience = std::pin::pin!(tokio::time::sleep(PATIENCE));
        loop {
            let caches_tell = self.caches.is_some();
            let caches = async {
                match &mut self.caches {
                    Some(caches) => caches.recv().await,
                    None => None,
                }
            };
            tokio::select! {
                Some(done) = self.jobs.next(), if !self.jobs.is_empty() => self.take(done),
                tell = told.recv(), if parent_tells => match tell {
                    Some(tell) => self.hear(tell),
                    None => parent_tells = false,
                },
                tell = caches, if caches_tell => match tell {
                    Some(tell) => self.hear(tell),
                    None => self.caches = None,
                },
                () = &mut patience, if self.full && !self.passed && !self.announced => {
                    self.found_zone(self.waits);
                }
                else => if !self.settle() { break },
            }
        }
        let waits = self.waits;
        (Outcome::Delegation(self.seen()), waits)
    }

    fn hear(&mut self, tell: Tell) {
        match tell {
            Tell::Delegation {
                referral,
                glue,
                given_by,
                waits,
            } => {
                self.waits = self.waits.max(waits);
                let set = self.parent_sets.entry(referral.names.clone());
                let (ttl, givers) = set.or_insert_with(|| (referral.ttl, BTreeSet::new()));
                *ttl = (*ttl).min(referral.ttl);
                givers.insert(given_by);
                for name in referral.names {
                    let given = glue.get(&name).into_iter().flatten().copied().collect();
                    self.add_host(name, ListedBy::Parent, given, Vec::new(), waits);
                }
            }
            Tell::Host {
                name,
                listed_by,
                known,
                waits,
            } => self.add_host(name, listed_by, Vec::new(), known, waits),
        }
    }

    /// A name server of the zone, or one more word about a known one.
    fn add_host(
        &mut self,
        name: DnsName,
        listed_by: ListedBy,
        given: Vec<IpAddr>,
        known: Vec<IpAddr>,
        waits: u32,
    ) {
        if !self.hosts.contains_key(&name) && self.hosts.len() >= HOSTS_MAX {
            self.cut_short = true;
            return;
        }
        let host = self.hosts.entry(name.clone()).or_insert_with(|| HostSeen {
            name: name.clone(),
            listed_by: Vec::new(),
            glue: Vec::new(),
            known: Vec::new(),
            resolved: None,
            alias_of: None,
            failure: None,
        });
        let is_operators = matches!(listed_by, ListedBy::Hints | ListedBy::Baseline);
        let has_addresses = !host.addresses().is_empty() || !given.is_empty() || !known.is_empty();
        add(&mut host.listed_by, [listed_by]);
        add(&mut host.glue, given.iter().copied());
        add(&mut host.known, known.iter().copied());
        // Names of root and TLD servers are looked up only if nobody gives their addresses; what
        // the operator wrote down is taken at its word.
        let is_wanted = !has_addresses || (!is_operators && self.zone.labels().len() >= 2);
        if is_wanted && self.looked_up.insert(name.clone()) {
            let look_up = self.walk.host(name.clone(), waits);
            let job_name = name.clone();
            self.jobs.push(Box::pin(async move {
                Done::Host {
                    name: job_name,
                    answer: look_up.await,
                }
            }));
        }
        let origin = if is_operators {
            Origin::Operator
        } else {
            Origin::Network
        };
        for address in given.into_iter().chain(known) {
            self.ask_server((name.clone(), address), origin, waits);
        }
    }

    /// Asks a server for the first time, or says why not.
    fn ask_server(&mut self, server: Server, origin: Origin, waits: u32) {
        if self.servers.contains_key(&server) {
            return;
        }
        let count = self.servers.keys().filter(|(name, _)| *name == server.0);
        if count.count() >= ADDRESSES_MAX {
            self.cut_short = true;
            return;
        }
        let first = Question {
            name: self.trace.name.clone(),
            rtype: self.trace.rtypes[0].clone(),
        };
        if let Some(reason) = self.walk.barred(server.1, origin) {
            let exchange = Ask::server(dns_port(server.1), first).not_asked(reason);
            self.servers.insert(server, vec![exchange]);
            return;
        }
        self.servers.insert(server.clone(), Vec::new());
        self.known_at
            .insert(server.clone(), waits.max(self.trace.base));
        let first = self.ask_of(&server, &self.trace.name, &self.trace.rtypes[0]);
        self.push_ask(&server, first);
        if self.full {
            self.ask_rest(&server);
        }
    }

    /// Everything besides the first question: the other types, SOA and NS of the apex, the SOA
    /// over TCP and without EDNS.
    fn ask_rest(&mut self, server: &Server) {
        let zone = self.zone.clone();
        for rtype in self.trace.rtypes.clone().iter().skip(1) {
            let ask = self.ask_of(server, &self.trace.name, rtype);
            self.push_ask(server, ask);
        }
        let soa = self.ask_of(server, &zone, "SOA");
        let over_tcp = Ask {
            transport: Transport::Tcp,
            ..soa.clone()
        };
        let plain = Ask {
            edns: false,
            ..soa.clone()
        };
        let ns = self.ask_of(server, &zone, "NS");
        for ask in [soa, ns, over_tcp, plain] {
            let (question, asked) = (&ask.question, (ask.transport, ask.edns));
            let is_asked = *question.name.as_str() == *self.trace.name.as_str()
                && self.trace.rtypes.contains(&question.rtype)
                && asked == (Transport::Udp, true);
            if !is_asked {
                self.push_ask(server, ask);
            }
        }
    }

    fn ask_of(&self, server: &Server, name: &DnsName, rtype: &str) -> Ask {
        let question = Question {
            name: name.clone(),
            rtype: rtype.to_owned(),
        };
        Ask {
            // Whether the address may be asked was settled with the name of who gave it.
            origin: self.origin(server),
            raw: if self.full {
                Raw::Keep
            } else {
                Raw::IfMalformed
            },
            ..Ask::server(dns_port(server.1), question)
        }
    }

    fn origin(&self, (name, address): &Server) -> Origin {
        let known = self.hosts.get(name).map(|h| h.known.contains(address));
        match known {
            Some(true) => Origin::Operator,
            Some(false) | None => Origin::Network,
        }
    }

    fn push_ask(&mut self, server: &Server, ask: Ask) {
        let (walk, server) = (self.walk.clone(), server.clone());
        let before = self.known_at.get(&server).copied().unwrap_or(0);
        self.jobs.push(Box::pin(async move {
            let (exchanges, waits) = walk.ask(&ask).await;
            Done::Asked {
                server,
                exchanges,
                waits: before + waits,
            }
        }));
    }

    fn take(&mut self, done: Done) {
        match done {
            Done::Asked {
                server,
                exchanges,
                waits,
            } => {
                self.waits = self.waits.max(waits);
                for exchange in &exchanges {
                    self.read(&server, exchange, waits);
                }
                self.servers
                    .entry(server.clone())
                    .or_default()
                    .extend(exchanges);
                self.retry_plain(&server);
            }
            Done::Host { name, answer } => self.take_host(name, answer),
            Done::Apex {
                server,
                exchange,
                waits,
            } => {
                let (zone, name) = (self.zone.clone(), self.trace.name.clone());
                let response = exchange.response();
                let apex = response.and_then(|r| soa_owner(&zone, &name, r));
                self.found_apex(&server, apex.unwrap_or(zone), waits);
            }
            Done::Below {
                server,
                apex,
                exchange,
                waits,
            } => match exchange
                .response()
                .and_then(|r| Some((r, ns_set(&apex, r)?)))
            {
                Some((response, set)) => self.pass_down(&server, set, response, waits),
                None => self.hold(waits),
            },
        }
    }

    fn take_host(&mut self, name: DnsName, answer: HostAnswer) {
        self.waits = self.waits.max(answer.waits);
        let Some(host) = self.hosts.get_mut(&name) else {
            return;
        };
        host.alias_of = answer.alias_of;
        host.failure = answer.failure;
        let mut addresses = answer.addresses;
        addresses.sort();
        addresses.dedup();
        host.resolved = Some(addresses.clone());
        for address in addresses {
            self.ask_server((name.clone(), address), Origin::Network, answer.waits);
        }
    }

    /// Draws from one answer what the walk needs of it.
    fn read(&mut self, server: &Server, exchange: &Exchange, waits: u32) {
        let Some(response) = exchange.response() else {
            return;
        };
        let question = &exchange.question;
        if question.name == self.zone && question.rtype == "NS" && response.flags.aa {
            for name in ns_set(&self.zone, response)
                .into_iter()
                .flat_map(|s| s.names)
            {
                self.add_host(name, ListedBy::Child, Vec::new(), Vec::new(), waits);
            }
        }
        if question.name != self.trace.name || !self.trace.rtypes.contains(&question.rtype) {
            return;
        }
        self.report(server, exchange, response, waits);
        match step(&self.zone, &self.trace.name, response) {
            Step::Down(referral) => self.pass_down(server, referral, response, waits),
            Step::Here(apex) => self.found_apex(server, apex, waits),
            Step::HereSomewhere if !self.apex_asked => {
                self.apex_asked = true;
                let ask = self.ask_of(server, &self.trace.name, "SOA");
                let (walk, server) = (self.walk.clone(), server.clone());
                self.jobs.push(Box::pin(async move {
                    let (mut exchanges, spent) = walk.ask(&ask).await;
                    Done::Apex {
                        server,
                        exchange: exchanges.pop().expect("a question leaves an exchange"),
                        waits: waits + spent,
                    }
                }));
            }
            Step::HereSomewhere | Step::Nothing => {}
        }
    }

    /// Tells of addresses and aliases in an answer.
    fn report(&self, server: &Server, exchange: &Exchange, response: &Response, waits: u32) {
        let (chain, next) = alias_step(&self.zone, &exchange.question, response);
        self.walk.note_aliases(&self.trace.name, &chain);
        if let Some(next) = next {
            if self.trace.depth < ALIASES_MAX {
                self.walk.follow(&self.trace, next, waits);
            }
            return;
        }
        let Some(sink) = &self.trace.sink else { return };
        for address in response.addresses(&exchange.question) {
            // If nobody takes addresses any more, the check is over.
            let _ = sink.send(Found {
                address,
                source: AddressSource::NameServer {
                    name: server.0.clone(),
                    address: server.1,
                },
                origin: Origin::Network,
                waits,
            });
        }
    }

    fn found_apex(&mut self, server: &Server, apex: DnsName, waits: u32) {
        if apex == self.zone {
            return self.hold(waits);
        }
        if self.children.contains_key(&apex) {
            return;
        }
        // The server holds a zone further down as well; the NS set there is all it can tell of
        // the delegation.
        let ask = self.ask_of(server, &apex, "NS");
        let (walk, server) = (self.walk.clone(), server.clone());
        self.jobs.push(Box::pin(async move {
            let (mut exchanges, spent) = walk.ask(&ask).await;
            Done::Below {
                server,
                apex,
                exchange: exchanges.pop().expect("a question leaves an exchange"),
                waits: waits + spent,
            }
        }));
    }

    /// The zone holds the name.
    fn hold(&mut self, waits: u32) {
        if self.holds || self.passed {
            return;
        }
        self.holds = true;
        if !self.begin_missing() {
            self.found_zone(waits);
        }
        self.ask_everything();
    }

    fn ask_everything(&mut self) {
        let is_top = self.zone.labels().len() < 2 && self.trace.name != self.zone;
        // TLD servers get one question each.
        if is_top || std::mem::replace(&mut self.full, true) {
            return;
        }
        let asked: Vec<Server> = self.known_at.keys().cloned().collect();
        for server in asked {
            self.ask_rest(&server);
        }
    }

    /// The parent denies a zone that the baseline knows: its servers are asked all the same.
    fn begin_missing(&mut self) -> bool {
        let baseline = self.walk.cx().job().baseline.as_ref();
        let zones = baseline.into_iter().flat_map(|b| &b.zones);
        let is_missing = |zone: &DnsName| {
            zone != &self.zone
                && zone.is_at_or_below(&self.zone)
                && self.trace.name.is_at_or_below(zone)
        };
        let missing = zones
            .map(|z| z.zone.clone())
            .filter(is_missing)
            .min_by_key(|z| z.labels().len());
        let Some(zone) = missing else { return false };
        self.child(&zone);
        true
    }

    /// Hands a delegation to the level below, which begins with the first one.
    fn pass_down(&mut self, server: &Server, referral: Referral, response: &Response, waits: u32) {
        self.passed = true;
        let given_by = format!("{}@{}", server.0, server.1);
        let glue = glue(&self.zone, &referral, response);
        self.walk
            .learn(&self.zone, &referral, &glue, &given_by, waits);
        let child = self.child(&referral.zone);
        // A child that ended has made its observation; it cannot have, while we hold its sender.
        let _ = child.send(Tell::Delegation {
            referral,
            glue,
            given_by,
            waits,
        });
    }

    fn child(&mut self, zone: &DnsName) -> &mpsc::UnboundedSender<Tell> {
        self.children.entry(zone.clone()).or_insert_with(|| {
            let (tell, told) = mpsc::unbounded_channel();
            let (trace, parent) = (self.trace.clone(), Some(self.zone.clone()));
            let level = Self::new(&self.walk, trace, zone.clone(), parent);
            self.walk.begin(level, told);
            tell
        })
    }

    /// Tells the resolvers' probes of the zone, and listens to what their caches hold.
    fn found_zone(&mut self, waits: u32) {
        if self.trace.depth > 0 || std::mem::replace(&mut self.announced, true) {
            return;
        }
        let handles = std::mem::take(&mut *self.trace.handles.borrow_mut());
        let (tell, told) = mpsc::unbounded_channel();
        self.caches = Some(told);
        for handle in handles {
            // A resolver's probe that ended early does not want to know.
            let _ = handle.send(ZoneHandle {
                zone: self.zone.clone(),
                waits,
                tell: tell.clone(),
            });
        }
        for name in self.walk.cx().job().expect.name_servers.clone() {
            self.add_host(name, ListedBy::Expected, Vec::new(), Vec::new(), waits);
        }
    }

    fn add_baseline(&mut self) {
        let job = self.walk.cx().job();
        let zones = job.baseline.iter().flat_map(|b| &b.zones);
        let same = zones.filter(|z| z.zone == self.zone && self.zone.labels().len() >= 2);
        let servers: Vec<(DnsName, Vec<IpAddr>)> = same
            .flat_map(|z| &z.servers)
            .map(|s| (s.name.clone(), s.addresses.clone()))
            .collect();
        for (name, addresses) in servers {
            self.add_host(name, ListedBy::Baseline, Vec::new(), addresses, 0);
        }
    }

    /// A server that drops questions with EDNS is asked without, once it is known to answer so.
    fn retry_plain(&mut self, server: &Server) {
        let Some(exchanges) = self.servers.get(server) else {
            return;
        };
        if !exchanges.iter().any(|e| !e.edns && is_answered(e)) {
            return;
        }
        let is_own = |e: &&Exchange| e.question.name == self.trace.name;
        let silent = exchanges
            .iter()
            .filter(is_own)
            .filter(|e| e.edns && e.result == ExchangeResult::Silent);
        let again: Vec<Question> = silent
            .map(|e| e.question.clone())
            .filter(|q| !exchanges.iter().any(|e| e.question == *q && !e.edns))
            .collect();
        for question in again {
            let plain = Ask {
                edns: false,
                ..self.ask_of(server, &question.name, &question.rtype)
            };
            self.push_ask(server, plain);
        }
    }

    /// Nothing is open. Is there more to ask? A zone whose servers say nothing usable is the last
    /// on the way, and everything is asked of them.
    fn settle(&mut self) -> bool {
        if self.holds || self.passed || self.zone.labels().len() < 2 {
            return false;
        }
        self.holds = true;
        self.found_zone(self.waits);
        self.ask_everything();
        true
    }

    /// Why the walk stopped here.
    pub(super) fn stopped(&self) -> Option<String> {
        if self.walk.is_spent() {
            return Some(format!(
                "the walk's limit of {QUERIES_MAX} questions is reached"
            ));
        }
        if self.cut_short {
            return Some(format!(
                "more than {HOSTS_MAX} name servers, or {ADDRESSES_MAX} addresses of one"
            ));
        }
        if self.holds && self.trace.depth >= ALIASES_MAX {
            return Some(format!("the chain of aliases is longer than {ALIASES_MAX}"));
        }
        (!self.holds && !self.passed).then(|| {
            format!(
                "no server of {} gave a referral or an answer with authority",
                self.zone
            )
        })
    }
}

/// Adds what is not there yet.
fn add<T: PartialEq>(to: &mut Vec<T>, more: impl IntoIterator<Item = T>) {
    for item in more {
        if !to.contains(&item) {
            to.push(item);
        }
    }
}
