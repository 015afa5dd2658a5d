//! Every address found for the target, with where it came from. Each is dialled as soon as it is
//! known, up to a bound.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

use bellwether_model::net::Family;
use bellwether_model::observation::{AddressSeen, AddressSource, AddressesSeen};
use bellwether_model::{DnsName, NotRun, NotRunReason, Origin, Outcome, ProbeKind};
use tokio::sync::{mpsc, oneshot};

use crate::cx::Cx;
use crate::http::Resolve;
use crate::owners::Owners;
use crate::tasks::Tasks;
use crate::walk::{Found, Walk};
use crate::{attempt, icmp};

/// Most addresses dialled in one check: the answer policy's own limit.
pub(crate) const DIALLED_MAX: usize = 16;
/// Most addresses kept: more than one answer over UDP can hold.
const FOUND_MAX: usize = 1024;
/// Addresses of one source and family that are dialled as soon as they are known. What exceeds it
/// waits until every source has spoken, so that a long answer of one does not use up the bound.
const AT_ONCE_MAX: usize = 6;

/// Collects addresses and dials them.
pub(crate) struct Addresses {
    cx: Cx,
    tasks: Tasks,
    owners: Rc<Owners>,
    resolve: Rc<dyn Resolve>,
    seen: BTreeMap<IpAddr, Entry>,
    dialled: usize,
    /// Dialled so far, for each source and family.
    shares: BTreeMap<(AddressSource, Family), usize>,
    waits: u32,
}

struct Entry {
    sources: BTreeSet<AddressSource>,
    /// The most that anybody who named it may do.
    origin: Origin,
    waits: u32,
    is_dialled: bool,
    not_dialled: Option<String>,
}

impl Addresses {
    /// A collection with nothing in it.
    #[must_use]
    pub(crate) fn new(cx: &Cx, tasks: Tasks, owners: Rc<Owners>, resolve: Rc<dyn Resolve>) -> Self {
        Self {
            cx: cx.clone(),
            tasks,
            owners,
            resolve,
            seen: BTreeMap::new(),
            dialled: 0,
            shares: BTreeMap::new(),
            waits: 0,
        }
    }

    /// Takes addresses until every source has spoken, and reports them.
    pub(crate) async fn collect(
        self,
        mut found: mpsc::UnboundedReceiver<Found>,
        name: Option<DnsName>,
        walk: Option<Walk>,
    ) {
        let cx = self.cx.clone();
        let stand_in = NotRun {
            reason: NotRunReason::WorkerDied,
            detail: String::new(),
            subject: cx.job().target.host_text(),
            address: None,
            via: None,
        };
        let run = async move {
            let mut all = self;
            while let Some(first) = found.recv().await {
                // What is there together is sorted, so that equal worlds are dialled alike.
                let mut batch = vec![first];
                while let Ok(next) = found.try_recv() {
                    batch.push(next);
                }
                batch.sort_by(|a, b| (a.address, &a.source).cmp(&(b.address, &b.source)));
                for found in batch {
                    all.take(found);
                }
            }
            all.dial_rest();
            if all.seen.is_empty() {
                all.add_baseline();
            }
            let aliases = match (&name, &walk) {
                (Some(name), Some(walk)) => walk.aliases(name),
                _ => Vec::new(),
            };
            let waits = all.waits;
            (Outcome::Addresses(all.report(aliases)), waits)
        };
        let key = "addresses".to_owned();
        cx.probe(ProbeKind::Addresses, key, stand_in, run).await;
    }

    fn take(&mut self, found: Found) {
        let Found {
            address,
            source,
            origin,
            waits,
        } = found;
        self.waits = self.waits.max(waits);
        // One resolver's flood must not keep out what the name servers give.
        let most = match source {
            AddressSource::NameServer { .. } => FOUND_MAX,
            AddressSource::Typed | AddressSource::Resolver { .. } | AddressSource::Baseline => {
                FOUND_MAX / 2
            }
        };
        if self.seen.len() >= most && !self.seen.contains_key(&address) {
            return;
        }
        let entry = self.seen.entry(address).or_insert_with(|| Entry {
            sources: BTreeSet::new(),
            origin,
            waits,
            is_dialled: false,
            not_dialled: None,
        });
        entry.sources.insert(source.clone());
        entry.origin = more_trusted(entry.origin, origin);
        entry.waits = entry.waits.min(waits);
        let family = Family::of(address);
        if entry.is_dialled {
            *self.shares.entry((source, family)).or_default() += 1;
            return;
        }
        let share = self.shares.get(&(source, family)).copied().unwrap_or(0);
        if share < AT_ONCE_MAX {
            self.dial(address);
        }
    }

    /// Dials what waited for its turn.
    fn dial_rest(&mut self) {
        let waiting = self.seen.iter().filter(|(_, entry)| !entry.is_dialled);
        // What the name servers give comes first: it is what the others are held against.
        let by_server = |entry: &Entry| {
            let mut sources = entry.sources.iter();
            sources.any(|s| matches!(s, AddressSource::NameServer { .. }))
        };
        let mut waiting: Vec<(bool, IpAddr)> = waiting
            .map(|(address, entry)| (!by_server(entry), *address))
            .collect();
        waiting.sort();
        for (_, address) in waiting {
            self.dial(address);
        }
    }

    fn dial(&mut self, address: IpAddr) {
        let job = self.cx.job();
        let Some(entry) = self.seen.get_mut(&address) else {
            return;
        };
        let family = Family::of(address);
        let barred = if let Some(only) = job.connect
            && only != address
        {
            Some(format!("--connect names {only} instead"))
        } else if let Some(only) = job.family
            && only != family
        {
            Some(format!("only {} is asked for", only.name()))
        } else if let Err(reason) = self.cx.dialer().permits(address, entry.origin) {
            Some(reason)
        } else if self.dialled >= DIALLED_MAX {
            Some(format!("{DIALLED_MAX} addresses were dialled already"))
        } else {
            None
        };
        entry.not_dialled = barred;
        if entry.not_dialled.is_some() {
            return;
        }
        entry.is_dialled = true;
        self.dialled += 1;
        for source in &entry.sources {
            *self.shares.entry((source.clone(), family)).or_default() += 1;
        }
        let (origin, waits) = (entry.origin, entry.waits);
        let (cx, resolve) = (self.cx.clone(), self.resolve.clone());
        let (says, hears) = oneshot::channel();
        let subject = address.to_string();
        let steps = async move {
            if attempt::run(&cx, address, origin, waits, resolve).await {
                // An echo that has come back listens no more.
                let _ = says.send(());
            }
        };
        let tasks = &self.tasks;
        tasks.spawn(&self.cx, ProbeKind::Tcp, subject.clone(), steps);
        let cx = self.cx.clone();
        let echo = async move {
            icmp::run(&cx, address, origin, waits, hears).await;
        };
        tasks.spawn(&self.cx, ProbeKind::Icmp, subject, echo);
    }

    /// The name leads nowhere any more: do the servers it led to still work?
    fn add_baseline(&mut self) {
        let baseline = self.cx.job().baseline.as_ref();
        let known: Vec<IpAddr> = baseline
            .into_iter()
            .flat_map(|b| b.addresses.iter().map(|a| a.address))
            .collect();
        let waits = self.waits;
        for address in known {
            self.take(Found {
                address,
                source: AddressSource::Baseline,
                origin: Origin::Operator,
                waits,
            });
        }
        self.dial_rest();
    }

    fn report(self, aliases: Vec<DnsName>) -> AddressesSeen {
        let Self { seen, owners, .. } = self;
        let found = seen.into_iter().map(|(address, entry)| AddressSeen {
            address,
            sources: entry.sources.into_iter().collect(),
            owner: owners.owner(address),
            not_dialled: entry.not_dialled,
        });
        AddressesSeen {
            found: found.collect(),
            aliases,
        }
    }
}

fn more_trusted(a: Origin, b: Origin) -> Origin {
    match (a, b) {
        (Origin::Operator, _) | (_, Origin::Operator) => Origin::Operator,
        (Origin::SystemResolver, _) | (_, Origin::SystemResolver) => Origin::SystemResolver,
        (Origin::Network, Origin::Network) => Origin::Network,
    }
}
