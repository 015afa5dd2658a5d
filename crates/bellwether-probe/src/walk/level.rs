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

use bellwether_model::dns::{Exchange, HostSeen, ListedBy, Question, Referral};
use bellwether_model::{DnsName, Origin, Outcome};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};

use super::ask::{ADDRESSES_MAX, HOSTS_MAX};
use super::cut::Glue;
use super::host::HostAnswer;
use super::judge::{is_answered, ns_set, soa_owner};
use super::{ALIASES_MAX, OCTETS_MAX, QUERIES_MAX, Trace, Walk};
use crate::large::is_large;

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
pub(super) enum Done {
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
    /// The level's time ran out.
    pub(super) late: bool,
    /// NS sets as servers of the zone give them, until it is known that the way leads to them;
    /// with the waits until then.
    pub(super) own_sets: BTreeMap<Server, (Vec<DnsName>, u32)>,
    pub(super) looked_up: BTreeSet<DnsName>,
    /// Names inside the zone that wait for the first answer of one of its servers.
    pub(super) to_look_up: Vec<DnsName>,
    pub(super) answered: bool,
    /// When each server's address was known, in waits.
    pub(super) known_at: BTreeMap<Server, u32>,
    /// Every server is asked everything.
    pub(super) full: bool,
    pub(super) apex_asked: bool,
    /// The name was asked for again and again, to see a rotation whole.
    pub(super) pool_asked: bool,
    /// Servers asked for the zone's keys.
    pub(super) keys_asked: BTreeSet<Server>,
    pub(super) cds_asked: bool,
    /// Servers asked for the name in small letters.
    pub(super) small_asked: BTreeSet<Server>,
    /// What was asked again with more room (no question) or with less.
    pub(super) climbed: BTreeSet<(Server, Option<Question>)>,
    /// A name beside the target's that must not exist, once it was asked for.
    pub(super) canary: Option<DnsName>,
    /// Zones below whose DS records were asked for by themselves.
    pub(super) ds_asked: BTreeSet<DnsName>,
    /// A question for the zone whose answer is large.
    pub(super) large: watch::Sender<Option<Question>>,
    /// The resolvers' probes know of the zone.
    pub(super) announced: bool,
    pub(super) children: BTreeMap<DnsName, mpsc::UnboundedSender<Tell>>,
    pub(super) caches: Option<mpsc::UnboundedReceiver<Tell>>,
    pub(super) jobs: FuturesUnordered<LocalBoxFuture<'static, Done>>,
    /// Sequential waits until the level began, and up to now.
    pub(super) base: u32,
    pub(super) waits: u32,
}

impl Level {
    pub(super) fn new(
        walk: &Walk,
        trace: Rc<Trace>,
        zone: DnsName,
        parent: Option<DnsName>,
        base: u32,
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
            late: false,
            own_sets: BTreeMap::new(),
            looked_up: BTreeSet::new(),
            to_look_up: Vec::new(),
            answered: false,
            known_at: BTreeMap::new(),
            full,
            apex_asked: false,
            pool_asked: false,
            keys_asked: BTreeSet::new(),
            cds_asked: false,
            small_asked: BTreeSet::new(),
            climbed: BTreeSet::new(),
            canary: None,
            ds_asked: BTreeSet::new(),
            large: watch::Sender::new(None),
            announced: false,
            children: BTreeMap::new(),
            caches: None,
            jobs: FuturesUnordered::new(),
            waits: base,
            base,
        }
    }

    /// Runs until nothing is open; the outcome and the waits up to its end.
    pub(super) async fn run(mut self, mut told: mpsc::UnboundedReceiver<Tell>) -> (Outcome, u32) {
        self.add_baseline();
        let mut parent_tells = true;
        let mut patience = std::pin::pin!(tokio::time::sleep(PATIENCE));
        let time = self.walk.cx().for_probe().left();
        let mut over = std::pin::pin!(tokio::time::sleep(time));
        loop {
            let (caches_tell, is_waited_for) = (self.caches.is_some(), self.is_waited_for());
            let is_open = !self.jobs.is_empty() || parent_tells || caches_tell;
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
                () = &mut patience, if is_waited_for => {
                    self.found_zone(self.waits);
                }
                () = &mut over, if is_open => {
                    self.late = true;
                    break;
                }
                else => if !self.settle() { break },
            }
            self.take_own_sets();
        }
        let waits = self.waits;
        self.walk.note_waits(waits);
        (Outcome::Delegation(self.seen()), waits)
    }

    /// Resolvers wait to hear of the zone, this is likely it, and its servers keep silent.
    fn is_waited_for(&self) -> bool {
        let is_target = self.trace.depth == 0 && !self.announced;
        is_target && self.full && !self.passed && !self.jobs.is_empty()
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
                    self.note_large(exchange);
                }
                if exchanges.iter().any(is_answered) {
                    self.look_up_own(waits);
                }
                let told_keys = self.told_keys(&exchanges);
                self.servers
                    .entry(server.clone())
                    .or_default()
                    .extend(exchanges);
                self.ask_keys(told_keys);
                self.retry_plain(&server);
                self.retry_small(&server);
                self.climb(&server);
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
                self.found_apex(&server, apex.unwrap_or(zone), false, waits);
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
                None => self.hold(false, waits),
            },
        }
    }

    /// A large answer about the zone itself: resolvers are asked for it.
    fn note_large(&self, exchange: &Exchange) {
        let is_own = self.full && exchange.question.name == self.zone;
        if is_own && self.large.borrow().is_none() && is_large(exchange) {
            self.large.send_replace(Some(exchange.question.clone()));
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

    /// Nothing is open. Is there more to ask? A zone whose servers say nothing usable is the last
    /// on the way, and everything is asked of them.
    fn settle(&mut self) -> bool {
        if self.holds || self.passed || self.zone.labels().len() < 2 {
            return self.ask_pool();
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
        if self.late {
            return Some("its servers took longer than a probe may".to_owned());
        }
        if self.walk.is_full() {
            return Some(format!(
                "the walk's limit of {OCTETS_MAX} octets of answers is reached"
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
