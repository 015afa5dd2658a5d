//! Where the way leads from a level: down, here, or along an alias.

use bellwether_model::dns::{Exchange, ListedBy, Referral, Response};
use bellwether_model::observation::AddressSource;
use bellwether_model::{DnsName, Origin};
use tokio::sync::mpsc;

use super::cut::glue;
use super::iterate::is_below;
use super::judge::{Step, alias_step, ns_set, step};
use super::level::{Done, Level, Server, Tell};
use super::{ALIASES_MAX, Found, ZoneHandle};

impl Level {
    /// Draws from one answer what the walk needs of it.
    pub(super) fn read(&mut self, server: &Server, exchange: &Exchange, waits: u32) {
        let Some(response) = exchange.response() else {
            return;
        };
        let question = &exchange.question;
        if question.name == self.zone && question.rtype == "NS" && response.flags.aa {
            let set = ns_set(&self.zone, response).map(|s| s.names);
            self.own_sets
                .insert(server.clone(), (set.unwrap_or_default(), waits));
        }
        if question.name != self.trace.name || !self.trace.rtypes.contains(&question.rtype) {
            return;
        }
        self.report(server, exchange, response, waits);
        match step(&self.zone, &self.trace.name, response) {
            Step::Down(referral) => self.pass_down(server, referral, response, waits),
            Step::Here(apex) => {
                let denies = response.records(question).is_empty()
                    && response.aliases(&question.name).is_empty();
                self.found_apex(server, apex, denies, waits);
            }
            Step::HereSomewhere if !self.apex_asked => {
                self.apex_asked = true;
                let ask = self.ask_of(server, &self.trace.name, "SOA");
                let (walk, server, zone) = (self.walk.clone(), server.clone(), self.zone.clone());
                self.jobs.push(Box::pin(async move {
                    let (mut exchanges, spent) = walk.ask(&zone, &ask).await;
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

    /// Takes the NS sets of the zone itself for its word.
    pub(super) fn take_own_sets(&mut self) {
        loop {
            let known = self.own_sets.keys().find(|s| self.is_delegated(&s.0));
            let Some(server) = known.cloned() else { return };
            let (names, waits) = self.own_sets.remove(&server).unwrap_or_default();
            for name in names {
                self.add_host(name, ListedBy::Child, Vec::new(), Vec::new(), waits);
            }
        }
    }

    /// Does the way lead to this server: does the parent name it, or the zone as delegated? What
    /// servers that only a cache or the baseline knows say of the zone is not the zone's word.
    fn is_delegated(&self, name: &DnsName) -> bool {
        let host = self.hosts.get(name);
        host.is_some_and(|h| {
            h.listed_by.iter().any(|by| match by {
                ListedBy::Hints | ListedBy::Parent | ListedBy::Child => true,
                ListedBy::Baseline | ListedBy::Expected | ListedBy::Cache { .. } => false,
            })
        })
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

    pub(super) fn found_apex(&mut self, server: &Server, apex: DnsName, denies: bool, waits: u32) {
        if apex == self.zone {
            return self.hold(denies, waits);
        }
        if self.children.contains_key(&apex) {
            return;
        }
        // The server holds a zone further down as well; the NS set there is all it can tell of
        // the delegation.
        let ask = self.ask_of(server, &apex, "NS");
        let (walk, server, zone) = (self.walk.clone(), server.clone(), self.zone.clone());
        self.jobs.push(Box::pin(async move {
            let (mut exchanges, spent) = walk.ask(&zone, &ask).await;
            Done::Below {
                server,
                apex,
                exchange: exchanges.pop().expect("a question leaves an exchange"),
                waits: waits + spent,
            }
        }));
    }

    /// The zone holds the name, or denies it.
    pub(super) fn hold(&mut self, denies: bool, waits: u32) {
        if self.holds || self.passed {
            return;
        }
        self.holds = true;
        if !(denies && self.begin_missing(waits)) {
            self.found_zone(waits);
        }
        self.ask_everything();
    }

    /// The zone denies the name, but something remembers a zone in between: its servers are asked
    /// all the same.
    fn begin_missing(&mut self, waits: u32) -> bool {
        let job = self.walk.cx().job();
        let name = &self.trace.name;
        let zones = job.baseline.iter().flat_map(|b| &b.zones).map(|z| &z.zone);
        let missing = zones
            .filter(|zone| is_below(zone, &self.zone) && name.is_at_or_below(zone))
            .min_by_key(|zone| zone.labels().len())
            .cloned();
        // Whoever declares name servers has a zone; below a TLD it is the next label's.
        let count = self.zone.labels().len() + 1;
        let is_declared = self.trace.depth == 0
            && count <= 2.min(name.labels().len())
            && !self.zone.is_root()
            && !job.expect.name_servers.is_empty();
        let declared = is_declared.then(|| name.last_labels(count));
        let Some(zone) = missing.or(declared) else {
            return false;
        };
        self.child(&zone, waits);
        true
    }

    /// Hands a delegation to the level below, which begins with the first one.
    pub(super) fn pass_down(
        &mut self,
        server: &Server,
        referral: Referral,
        response: &Response,
        waits: u32,
    ) {
        self.passed = true;
        let given_by = format!("{}@{}", server.0, server.1);
        let glue = glue(&self.zone, &referral, response);
        self.walk
            .learn(&self.zone, &referral, &glue, &given_by, waits);
        self.ask_ds(server, &referral.zone, response);
        let child = self.child(&referral.zone, waits);
        // A child that ended has made its observation; it cannot have, while we hold its sender.
        let _ = child.send(Tell::Delegation {
            referral,
            glue,
            given_by,
            waits,
        });
    }

    /// Asks for a child's DS records by themselves where a referral of a signed zone says nothing of
    /// them, or where there is no referral since the server holds both zones.
    fn ask_ds(&mut self, server: &Server, zone: &DnsName, response: &Response) {
        let sections = || response.answer.iter().chain(&response.authority);
        let has = |types: &[&str]| sections().any(|r| types.contains(&r.rtype.as_str()));
        let is_told = has(&["DS", "NSEC", "NSEC3"]) && !response.flags.aa;
        let is_signed = has(&["RRSIG"]) || response.flags.aa;
        let is_wanted = self.walk.wants_signatures() && is_signed && !is_told;
        if is_wanted && self.ds_asked.insert(zone.clone()) {
            let ask = self.ask_of(server, zone, "DS");
            self.push_ask(server, ask);
        }
    }

    fn child(&mut self, zone: &DnsName, waits: u32) -> &mpsc::UnboundedSender<Tell> {
        self.children.entry(zone.clone()).or_insert_with(|| {
            let (tell, told) = mpsc::unbounded_channel();
            let (trace, parent) = (self.trace.clone(), Some(self.zone.clone()));
            let level = Self::new(&self.walk, trace, zone.clone(), parent, waits);
            self.walk.begin(level, told);
            tell
        })
    }

    /// Tells the resolvers' probes of the zone, and listens to what their caches hold.
    pub(super) fn found_zone(&mut self, waits: u32) {
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
                large: self.large.subscribe(),
                tell: tell.clone(),
            });
        }
        if self.zone.labels().len() < 2 {
            return;
        }
        for name in self.walk.cx().job().expect.name_servers.clone() {
            self.add_host(name, ListedBy::Expected, Vec::new(), Vec::new(), waits);
        }
    }
}
