//! The delegation walk: from the root hints through every address of every name server of each
//! zone on the way to a name.
//!
//! The walk is quick and polite: it goes on with the first good referral and collects the rest
//! meanwhile; root and TLD servers get one question each, and only the servers of the zone that
//! holds the name are asked everything. An address of a name server is never taken from a resolver.
//!
//! - [`cut`]: zone cuts known so far, which look-ups and later walks begin at
//! - [`iterate`]: look-ups by our own iteration: name servers' addresses, controls, redirects
//! - [`host`]: addresses of name servers' names
//! - [`level`]: the servers of one zone, one observation: [`ask`] says whom it asks and what,
//!   [`way`] where it goes on
//! - [`judge`]: what an answer says about where the zone cuts are
//! - [`ladder`]: sizes of answers, TCP, and questions out of the ordinary
//! - [`pool`]: does a rotation show every declared address?
//! - [`seen`]: a level's results in the order of the record

mod ask;
mod cut;
mod host;
mod iterate;
mod judge;
mod ladder;
mod level;
mod pool;
mod seen;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod way;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use bellwether_model::dns::{
    Exchange, ExchangeResult, ListedBy, NO_ROUTE, Question, ServerSeen, ZoneSeen,
};
use bellwether_model::net::Family;
use bellwether_model::observation::AddressSource;
use bellwether_model::{DnsName, NotRun, NotRunReason, Origin, Outcome, ProbeKind};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::cx::Cx;
use crate::dns::{Ask, ask_whole};
use crate::dnssec;
use crate::large::Large;
use crate::owners::Owners;
use crate::shared::Shared;
use crate::system::DNS_PORT;
use crate::tasks::Tasks;
use cut::Cut;
use host::HostAnswer;
use level::{Level, Tell};

pub use iterate::{Failed, Iterated};

/// Most questions of one check's walks: a healthy one takes about a hundred, and a hostile tree of
/// delegations must not make us a nuisance.
pub const QUERIES_MAX: u32 = 300;
/// Octets of responses that are kept of one check's walks, records and all: a record costs some
/// ten times its octets once it is read, and a healthy walk brings 30 KiB, a signed one of a large zone some
/// 200.
pub const OCTETS_MAX: usize = 512 * 1024;
/// Longest alias chain followed (resolvers stop between 8 and 16).
pub const ALIASES_MAX: usize = 8;
/// Names walked in one check: an alias for each question, and another for each of them, is a tree.
const NAMES_MAX: usize = 2 * ALIASES_MAX;
/// A public IPv6 address, of a root server: is there a route to it?
const V6_LANDMARK: &str = "[2001:503:ba3e::2:30]:53";

/// An address that somebody gave for the target's name, or for a name it is an alias of.
#[derive(Clone, Debug)]
pub struct Found {
    /// The address.
    pub address: IpAddr,
    /// Who gave it.
    pub source: AddressSource,
    /// Who it counts as for the egress rule.
    pub origin: Origin,
    /// Sequential waits until it was known.
    pub waits: u32,
}

/// Takes the addresses that are found.
pub type FoundSink = mpsc::UnboundedSender<Found>;

/// The zone that holds the target's name, for the resolvers to be asked about; and the way to tell
/// the walk which name servers their caches hold.
pub struct ZoneHandle {
    /// The zone.
    pub zone: DnsName,
    /// Sequential waits until the zone was known.
    pub waits: u32,
    /// A question for the zone whose answer is large.
    pub large: Large,
    tell: mpsc::UnboundedSender<Tell>,
}

impl ZoneHandle {
    /// A resolver's cache names this name server.
    pub fn cached(&self, name: DnsName, resolver: &str, waits: u32) {
        // If nobody listens any more, the zone's observation is already made.
        let _ = self.tell.send(Tell::Host {
            name,
            listed_by: ListedBy::Cache {
                resolver: resolver.to_owned(),
            },
            known: Vec::new(),
            waits,
        });
    }
}

/// All walks and look-ups of one check. Clones share everything.
#[derive(Clone)]
pub struct Walk {
    inner: Rc<Inner>,
}

struct Inner {
    cx: Cx,
    owners: Rc<Owners>,
    tasks: Tasks,
    asked: Cell<u32>,
    /// Octets of responses kept.
    kept: Cell<usize>,
    /// Something was not kept.
    is_full: Cell<bool>,
    /// Port of every name server: 53, but for the tests.
    port: u16,
    /// Why no question goes out over IPv6, if none does.
    no_v6: Option<String>,
    cuts: RefCell<BTreeMap<DnsName, Rc<Cut>>>,
    /// Look-ups that asked a parent once more, since no server of its child could be asked.
    above: RefCell<BTreeMap<DnsName, u32>>,
    hosts: RefCell<HashMap<DnsName, HostAnswer>>,
    traced: RefCell<BTreeSet<DnsName>>,
    /// Zones at which a level began: what is delegated below them is asked with its signatures.
    levels: RefCell<BTreeSet<DnsName>>,
    /// Levels that run; waits up to their end and what they saw, of those that ended.
    open: Cell<usize>,
    waits: Cell<u32>,
    seen: RefCell<Vec<ZoneSeen>>,
    /// What each name is an alias of, by anybody's word.
    aliases: RefCell<BTreeMap<DnsName, BTreeSet<DnsName>>>,
}

/// The walk to one name.
pub(crate) struct Trace {
    /// The name.
    pub(crate) name: DnsName,
    /// Types to ask for.
    pub(crate) rtypes: Vec<String>,
    /// Aliases followed to get here; the target's own name has none.
    pub(crate) depth: usize,
    /// Sequential waits until the name was known.
    pub(crate) base: u32,
    /// Where addresses go.
    pub(crate) sink: Option<FoundSink>,
    /// Who waits to know the zone that holds the name.
    handles: RefCell<Vec<oneshot::Sender<ZoneHandle>>>,
}

impl Walk {
    /// Walks of one check, none begun.
    #[must_use]
    pub fn new(cx: &Cx, owners: Rc<Owners>, tasks: Tasks) -> Self {
        Self::with_port(cx, owners, tasks, DNS_PORT)
    }

    /// The same with name servers at another port, for tests without privilege.
    pub(crate) fn with_port(cx: &Cx, owners: Rc<Owners>, tasks: Tasks, port: u16) -> Self {
        let mut cuts = BTreeMap::new();
        let root = Cut::root(&cx.job().root_hints);
        cuts.insert(DnsName::root(), Rc::new(root));
        let inner = Inner {
            cx: cx.clone(),
            owners,
            tasks,
            asked: Cell::new(0),
            kept: Cell::new(0),
            is_full: Cell::new(false),
            port,
            no_v6: no_v6_route(cx),
            cuts: RefCell::new(cuts),
            above: RefCell::default(),
            hosts: RefCell::default(),
            traced: RefCell::default(),
            levels: RefCell::default(),
            open: Cell::new(0),
            waits: Cell::new(0),
            seen: RefCell::default(),
            aliases: RefCell::default(),
        };
        Self {
            inner: Rc::new(inner),
        }
    }

    /// Begins the walk to the target's name. Each of `handles` hears of the zone that holds it,
    /// or is dropped when it becomes clear that there is none.
    pub fn target(
        &self,
        name: &DnsName,
        rtypes: Vec<String>,
        sink: Option<FoundSink>,
        handles: Vec<oneshot::Sender<ZoneHandle>>,
    ) {
        self.trace(Trace {
            name: name.clone(),
            rtypes,
            depth: 0,
            base: 0,
            sink,
            handles: RefCell::new(handles),
        });
    }

    /// The alias chain of a name as name servers gave it, the name itself first; empty if it is no
    /// alias. A loop ends with the name that repeats.
    #[must_use]
    pub fn aliases(&self, name: &DnsName) -> Vec<DnsName> {
        let aliases = self.inner.aliases.borrow();
        let mut chain = vec![name.clone()];
        while let Some(next) = chain.last().and_then(|last| aliases.get(last)?.first()) {
            let repeats = chain.contains(next);
            chain.push(next.clone());
            if repeats || chain.len() > ALIASES_MAX + 1 {
                break;
            }
        }
        if chain.len() == 1 { Vec::new() } else { chain }
    }

    /// What stands for a question whose exchange did not end in the level's time.
    fn never_ended(&self, address: IpAddr, trace: &Trace) -> Exchange {
        let question = Question {
            name: trace.name.clone(),
            rtype: trace.rtypes[0].clone(),
        };
        let asked = Ask::server(self.socket(address), question);
        asked.not_asked("the probe's time ran out first")
    }

    fn cx(&self) -> &Cx {
        &self.inner.cx
    }

    fn trace(&self, trace: Trace) {
        {
            let mut traced = self.inner.traced.borrow_mut();
            if traced.len() >= NAMES_MAX || !traced.insert(trace.name.clone()) {
                return;
            }
        }
        let cut = if trace.depth == 0 {
            self.cut_at(&DnsName::root())
        } else {
            self.deepest_level(&trace.name)
        };
        let (tell, told) = mpsc::unbounded_channel();
        cut.tell_all(&tell);
        let base = trace.base.max(cut.waits);
        let level = Level::new(
            self,
            Rc::new(trace),
            cut.zone.clone(),
            cut.parent.clone(),
            base,
        );
        self.begin(level, told);
    }

    /// Runs one level as a probe of its own.
    fn begin(&self, level: Level, told: mpsc::UnboundedReceiver<Tell>) {
        let cx = self.cx().clone();
        let key = format!("delegation {} for {}", level.zone, level.trace.name);
        let stand_in = NotRun {
            reason: NotRunReason::WorkerDied,
            detail: String::new(),
            subject: level.zone.to_string(),
            address: None,
            via: None,
        };
        let (walk, subject) = (self.clone(), level.zone.to_string());
        self.inner.open.set(self.inner.open.get() + 1);
        self.inner.levels.borrow_mut().insert(level.zone.clone());
        let run = async move {
            let outcome = cx
                .probe(ProbeKind::Delegation, key, stand_in, level.run(told))
                .await;
            if let Outcome::Delegation(seen) = outcome {
                walk.doubt(&seen);
                walk.inner.seen.borrow_mut().push(seen);
            }
            let open = walk.inner.open.get() - 1;
            walk.inner.open.set(open);
            // Levels below, and walks along aliases, begin before the level that found them ends.
            if open == 0 {
                let levels = walk.inner.seen.take();
                walk.tcp_elsewhere(&levels).await;
                walk.signatures(levels).await;
            }
        };
        let tasks = &self.inner.tasks;
        tasks.spawn(self.cx(), ProbeKind::Delegation, subject, run);
    }

    /// Are signatures asked for and looked at?
    fn wants_signatures(&self) -> bool {
        !self.cx().job().trust_anchor.is_empty()
    }

    /// Looks at the signatures of all that was walked: one observation for each name.
    async fn signatures(&self, mut levels: Vec<ZoneSeen>) {
        let Some(target) = self.cx().job().target.name().cloned() else {
            return;
        };
        let stand_in = |name: &DnsName| NotRun {
            reason: NotRunReason::WorkerDied,
            detail: String::new(),
            subject: name.to_string(),
            address: None,
            via: None,
        };
        let cx = self.cx();
        if !self.wants_signatures() {
            let not_run = NotRun {
                reason: NotRunReason::NotNeeded,
                detail: "signatures are not looked at: there is no trust anchor".to_owned(),
                ..stand_in(&target)
            };
            let run = async { (Outcome::NotRun(not_run), 0) };
            cx.probe(
                ProbeKind::Dnssec,
                "dnssec".to_owned(),
                stand_in(&target),
                run,
            )
            .await;
            return;
        }
        levels.sort_by_key(|l| (l.name != target, l.name.clone(), l.zone.clone()));
        let mut names: Vec<DnsName> = levels.iter().map(|l| l.name.clone()).collect();
        names.dedup();
        let (job, levels) = (cx.job(), &levels);
        for name in &names {
            let run = async move {
                let anchor = &job.trust_anchor;
                let seen = dnssec::chain(name, anchor, levels, &job.target.rtypes(), job.now);
                (Outcome::Dnssec(Box::new(seen)), self.inner.waits.get())
            };
            let key = format!("dnssec {name}");
            cx.probe(ProbeKind::Dnssec, key, stand_in(name), run).await;
        }
    }

    /// Follows an alias.
    fn follow(&self, from: &Trace, alias: DnsName, waits: u32) {
        self.trace(Trace {
            name: alias,
            rtypes: from.rtypes.clone(),
            depth: from.depth + 1,
            base: waits,
            sink: from.sink.clone(),
            handles: RefCell::default(),
        });
    }

    fn note_aliases(&self, name: &DnsName, chain: &[DnsName]) {
        let mut aliases = self.inner.aliases.borrow_mut();
        let mut from = name;
        for to in chain {
            aliases.entry(from.clone()).or_default().insert(to.clone());
            from = to;
        }
    }

    /// Why this address is not asked, if it is not.
    fn barred(&self, address: IpAddr, origin: Origin) -> Option<String> {
        self.no_way(address)
            .or_else(|| self.cx().dialer().permits(address, origin).err())
    }

    /// Why this address cannot be asked from here: no fault of whoever stands there.
    fn no_way(&self, address: IpAddr) -> Option<String> {
        let family = Family::of(address);
        if let Some(only) = self.cx().job().family
            && only != family
        {
            return Some(format!("only {} is asked for", only.name()));
        }
        if family == Family::V6
            && let Some(reason) = &self.inner.no_v6
        {
            return Some(reason.clone());
        }
        // Says nothing of the server: the fault is on this side.
        let routed = self.cx().dialer().has_route(self.socket(address));
        (!routed).then(|| format!("{NO_ROUTE}route to {address}"))
    }

    /// Asks a server of a zone, or takes what it told another trace of this worker lately.
    async fn ask(&self, zone: &DnsName, wanted: &Ask) -> (Vec<Exchange>, u32) {
        let target = self.cx().job().target.name();
        let shared = self.cx().memory().shared.as_ref();
        let Some(shared) = shared.filter(|_| Shared::is_open_to(zone, wanted, target)) else {
            return self.ask_anew(wanted).await;
        };
        let baseline = self.cx().job().baseline.as_ref();
        let known = || {
            let (mut exchange, waits) = shared.answer(zone, wanted, baseline, Instant::now())?;
            self.bound(&mut exchange);
            Some((vec![exchange], waits))
        };
        if let Some(known) = known() {
            return known;
        }
        let turn = shared.turn(Shared::words(zone, wanted)).await;
        if turn.is_none()
            && let Some(known) = known()
        {
            return known;
        }
        let (exchanges, waits) = self.ask_anew(wanted).await;
        shared.keep(zone, wanted, &exchanges, waits, Instant::now());
        drop(turn);
        (exchanges, waits)
    }

    /// Something is wrong with a zone, or with one below it: the traces to come ask anew who
    /// delegates it.
    fn doubt(&self, seen: &ZoneSeen) {
        let Some(shared) = &self.cx().memory().shared else {
            return;
        };
        // One dead address among those of a top-level domain is nothing new.
        let mut servers = seen.servers.iter();
        let is_wrong = if seen.zone.labels().len() < 2 {
            !servers.any(ServerSeen::answers)
        } else {
            !servers.all(ServerSeen::answers)
        };
        if is_wrong || seen.stopped.is_some() {
            shared.forget(&seen.zone);
        }
    }

    /// Asks, within the walk's limit.
    async fn ask_anew(&self, wanted: &Ask) -> (Vec<Exchange>, u32) {
        let asked = self.inner.asked.get();
        if asked >= QUERIES_MAX {
            let reason = format!("the walk's limit of {QUERIES_MAX} questions is reached");
            return (vec![wanted.not_asked(reason)], 0);
        }
        self.inner.asked.set(asked + 1);
        let (mut exchanges, waits) = ask_whole(self.cx(), wanted).await;
        exchanges.iter_mut().for_each(|e| self.bound(e));
        (exchanges, waits)
    }

    /// Keeps no more responses once the walk has kept enough: what is not kept says nothing of the server.
    fn bound(&self, exchange: &mut Exchange) {
        let ExchangeResult::Answered { response } = &exchange.result else {
            return;
        };
        let kept = self.inner.kept.get() + response.size;
        if kept <= OCTETS_MAX {
            return self.inner.kept.set(kept);
        }
        self.inner.is_full.set(true);
        exchange.result = ExchangeResult::NotAsked {
            reason: format!(
                "its answer is not kept: the walk's limit of {OCTETS_MAX} octets is reached"
            ),
        };
    }

    /// Where an address is asked.
    fn socket(&self, address: IpAddr) -> SocketAddr {
        SocketAddr::new(address, self.inner.port)
    }

    /// A level ended after so many waits.
    fn note_waits(&self, waits: u32) {
        self.inner.waits.set(self.inner.waits.get().max(waits));
    }

    fn is_full(&self) -> bool {
        self.inner.is_full.get()
    }

    fn is_spent(&self) -> bool {
        self.inner.asked.get() >= QUERIES_MAX
    }
}

/// Why no question can go out over IPv6. Connecting a datagram socket asks the routing table and
/// sends nothing.
pub(crate) fn no_v6_route(cx: &Cx) -> Option<String> {
    let landmark: SocketAddr = V6_LANDMARK
        .parse()
        .expect("a constant address is well formed");
    let local = cx
        .dialer()
        .source(landmark.ip())
        .unwrap_or_else(|| "[::]:0".parse().expect("a constant address is well formed"));
    let routed = std::net::UdpSocket::bind(local).and_then(|socket| socket.connect(landmark));
    let error = routed.err()?;
    Some(format!(
        "{NO_ROUTE}IPv6 route: {}",
        crate::dial::system_words(&error)
    ))
}
