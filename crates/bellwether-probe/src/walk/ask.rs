//! Whom a level asks, and what.

use std::net::IpAddr;

use bellwether_model::dns::{
    Exchange, ExchangeResult, HostSeen, ListedBy, Question, Rcode, Transport,
};
use bellwether_model::{DnsName, Origin};

use super::judge::is_answered;
use super::level::{Done, Level, Server};
use crate::dns::message::Raw;
use crate::dns::{Ask, TRIES};

/// Most name servers of one zone that are asked: the largest sets in use have 13.
pub(super) const HOSTS_MAX: usize = 32;
/// Servers of a root or TLD zone asked for its keys, until one tells.
const KEY_SERVERS_MAX: usize = 3;
/// Most addresses of one name server that are asked.
pub(super) const ADDRESSES_MAX: usize = 8;

impl Level {
    /// A name server of the zone, or one more word about a known one.
    pub(super) fn add_host(
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
        // Only the zone's own servers can tell of a name inside it, and they are being asked: who
        // looks it up before one answers asks the same silent servers again.
        let is_own = name.is_at_or_below(&self.zone) && !given.is_empty();
        if is_wanted && self.looked_up.insert(name.clone()) {
            if is_own && !self.answered {
                self.to_look_up.push(name.clone());
            } else {
                self.look_up(name.clone(), waits);
            }
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

    fn look_up(&mut self, name: DnsName, waits: u32) {
        let answer = self.walk.host(name.clone(), waits);
        self.jobs.push(Box::pin(async move {
            Done::Host {
                name,
                answer: answer.await,
            }
        }));
    }

    /// A server of the zone answered: those that it may know of are looked up.
    pub(super) fn look_up_own(&mut self, waits: u32) {
        self.answered = true;
        for name in std::mem::take(&mut self.to_look_up) {
            self.look_up(name, waits);
        }
    }

    pub(super) fn add_baseline(&mut self) {
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

    /// Asks a server for the first time, or says why not.
    pub(super) fn ask_server(&mut self, server: Server, origin: Origin, waits: u32) {
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
            let exchange = Ask::server(self.walk.socket(server.1), first).not_asked(reason);
            self.servers.insert(server, vec![exchange]);
            return;
        }
        self.servers.insert(server.clone(), Vec::new());
        self.known_at.insert(server.clone(), waits.max(self.base));
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
        // Who kept silent through all tries is asked everything else once: seconds, not answers, are
        // what more tries would add.
        let asked = self.servers.get(server).map_or(&[][..], Vec::as_slice);
        let is_silent = |e: &Exchange| e.result == ExchangeResult::Silent;
        let tries = if !asked.is_empty() && asked.iter().all(is_silent) {
            1
        } else {
            TRIES
        };
        for rtype in self.trace.rtypes.clone().iter().skip(1) {
            let ask = self.ask_of(server, &self.trace.name, rtype);
            self.push_ask(server, Ask { tries, ..ask });
        }
        let soa = Ask {
            tries,
            ..self.ask_of(server, &zone, "SOA")
        };
        let over_tcp = Ask {
            transport: Transport::Tcp,
            ..soa.clone()
        };
        let plain = Ask {
            edns: false,
            ..soa.clone()
        };
        let ns = Ask {
            tries,
            ..self.ask_of(server, &zone, "NS")
        };
        let mut asks = vec![soa, ns, over_tcp, plain];
        if self.walk.wants_signatures() {
            if self.keys_asked.insert(server.clone()) {
                asks.push(Ask {
                    tries,
                    ..self.ask_of(server, &zone, "DNSKEY")
                });
            }
            // What one server of the zone offers the parent, all do.
            if !std::mem::replace(&mut self.cds_asked, true) {
                asks.push(Ask {
                    tries,
                    ..self.ask_of(server, &zone, "CDS")
                });
            }
        }
        asks.extend(self.ask_variants(server));
        asks.extend(self.ask_canary(server, tries));
        for ask in asks {
            let (question, asked) = (&ask.question, (ask.transport, ask.edns));
            let is_asked = *question.name.as_str() == *self.trace.name.as_str()
                && self.trace.rtypes.contains(&question.rtype)
                && asked == (Transport::Udp, true);
            if !is_asked {
                self.push_ask(server, ask);
            }
        }
    }

    /// One server is asked for a name beside the target's that nobody has registered: is what the
    /// zone says of the target made by a wildcard?
    fn ask_canary(&mut self, server: &Server, tries: u8) -> Option<Ask> {
        let name = &self.trace.name;
        let above = name.parent().filter(|p| p.is_at_or_below(&self.zone))?;
        if self.canary.is_some() {
            return None;
        }
        let canary =
            DnsName::typed(&format!("{}.{above}", crate::canary::label_beside(name))).ok()?;
        self.canary = Some(canary.clone());
        let rtype = self.trace.rtypes[0].clone();
        Some(Ask {
            tries,
            ..self.ask_of(server, &canary, &rtype)
        })
    }

    pub(super) fn ask_of(&self, server: &Server, name: &DnsName, rtype: &str) -> Ask {
        let question = Question {
            name: name.clone(),
            rtype: rtype.to_owned(),
        };
        Ask {
            // Whether the address may be asked was settled with the name of who gave it.
            origin: self.origin(server),
            signatures: self.walk.wants_signatures(),
            raw: if self.full || self.walk.wants_signatures() {
                Raw::Keep
            } else {
                Raw::IfMalformed
            },
            ..Ask::server(self.walk.socket(server.1), question)
        }
    }

    /// Were these exchanges about the zone's keys, and if so, did they tell?
    pub(super) fn told_keys(&self, exchanges: &[Exchange]) -> Option<bool> {
        let is_keys = |e: &&Exchange| e.question.rtype == "DNSKEY" && e.question.name == self.zone;
        let mut about = exchanges.iter().filter(is_keys).peekable();
        about.peek()?;
        Some(about.any(|e| e.response().is_some_and(|r| r.flags.aa && !r.flags.tc)))
    }

    /// Asks for the zone's keys where one server's word suffices: root and TLDs. The first server
    /// that answers is asked, and another one if that has nothing to say of them.
    pub(super) fn ask_keys(&mut self, told: Option<bool>) {
        let is_open = match told {
            None => self.keys_asked.is_empty(),
            Some(settled) => !settled,
        };
        let is_wanted = is_open && !self.full && self.walk.wants_signatures();
        if !is_wanted || self.keys_asked.len() >= KEY_SERVERS_MAX {
            return;
        }
        let mut known = self.servers.iter();
        let next = known.find(|(server, exchanges)| {
            !self.keys_asked.contains(*server) && exchanges.iter().any(is_answered)
        });
        let Some(server) = next.map(|(server, _)| server.clone()) else {
            return;
        };
        self.keys_asked.insert(server.clone());
        let ask = self.ask_of(&server, &self.zone, "DNSKEY");
        self.push_ask(&server, ask);
    }

    fn origin(&self, (name, address): &Server) -> Origin {
        let known = self.hosts.get(name).map(|h| h.known.contains(address));
        match known {
            Some(true) => Origin::Operator,
            Some(false) | None => Origin::Network,
        }
    }

    pub(super) fn push_ask(&mut self, server: &Server, ask: Ask) {
        let (walk, server, zone) = (self.walk.clone(), server.clone(), self.zone.clone());
        let before = self.known_at.get(&server).copied().unwrap_or(0);
        self.jobs.push(Box::pin(async move {
            let (exchanges, waits) = walk.ask(&zone, &ask).await;
            Done::Asked {
                server,
                exchanges,
                waits: before + waits,
            }
        }));
    }

    pub(super) fn ask_everything(&mut self) {
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

    /// A server that fails the name is asked for it in small letters: some fail whatever is not.
    pub(super) fn retry_small(&mut self, server: &Server) {
        let Some(exchanges) = self.servers.get(server).filter(|_| self.full) else {
            return;
        };
        let is_own = |e: &&Exchange| {
            e.question.name == self.trace.name && e.transport == Transport::Udp && e.edns
        };
        let own = || exchanges.iter().filter(is_own);
        let failed = |e: &&Exchange| {
            let response = e.response().filter(|_| !e.lower_case);
            response.is_some_and(|r| {
                r.rcode != Rcode::NOERROR && r.aliases(&self.trace.name).is_empty()
            })
        };
        let small = || own().filter(|e| e.lower_case);
        // One question tells whether the others are worth asking.
        let helped = small().any(is_good);
        let is_open = |e: &&Exchange| {
            let first = !self.small_asked.contains(server);
            (first || helped) && !small().any(|s| s.question == e.question)
        };
        let open = own().filter(failed).filter(is_open);
        let questions: Vec<Question> = open.map(|e| e.question.clone()).collect();
        let most = if helped { questions.len() } else { 1 };
        for question in questions.into_iter().take(most) {
            self.small_asked.insert(server.clone());
            let small = Ask {
                lower_case: true,
                alone: true,
                ..self.ask_of(server, &question.name, &question.rtype)
            };
            self.push_ask(server, small);
        }
    }

    /// A server that drops or fails questions with EDNS is asked without, once it is known to answer so.
    pub(super) fn retry_plain(&mut self, server: &Server) {
        let Some(exchanges) = self.servers.get(server) else {
            return;
        };
        // Who answers others with EDNS has something against this one's answer, not against EDNS.
        let over_udp = |e: &&Exchange| e.transport == Transport::Udp;
        let answered = exchanges.iter().filter(over_udp).filter(|e| is_served(e));
        if !answered.clone().any(|e| !e.edns) || answered.clone().any(|e| e.edns) {
            return;
        }
        let is_own = |e: &&Exchange| e.question.name == self.trace.name;
        let failed = |e: &&Exchange| e.result == ExchangeResult::Silent || is_answered(e);
        let failing = exchanges
            .iter()
            .filter(is_own)
            .filter(|e| e.edns && failed(e));
        let again: Vec<Question> = failing
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
}

/// Did the server say what there is?
fn is_served(exchange: &Exchange) -> bool {
    let rcode = exchange.response().map(|r| r.rcode);
    matches!(rcode, Some(Rcode::NOERROR | Rcode::NXDOMAIN))
}

fn is_good(exchange: &Exchange) -> bool {
    let rcode = exchange.response().map(|r| r.rcode);
    rcode == Some(Rcode::NOERROR)
}

/// Adds what is not there yet.
fn add<T: PartialEq>(to: &mut Vec<T>, more: impl IntoIterator<Item = T>) {
    for item in more {
        if !to.contains(&item) {
            to.push(item);
        }
    }
}
