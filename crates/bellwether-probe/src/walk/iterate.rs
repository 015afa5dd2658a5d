//! Look-ups by our own iteration, from the deepest zone cut known.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use bellwether_model::dns::{Exchange, HostFailure, Question, Rcode};
use bellwether_model::{DnsName, Origin};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;

use super::cut::{Cut, glue};
use super::{ALIASES_MAX, Walk};
use crate::dns::{Ask, waits};

/// Questions of one look-up, all that it needs on the way included.
pub(super) const QUERIES_PER_LOOKUP_MAX: u32 = 20;
/// Name servers' names looked up within one look-up. Those without glue that need each other lead to
/// no question at all, and the ways through a dozen of them are millions.
const HOSTS_PER_LOOKUP_MAX: u32 = QUERIES_PER_LOOKUP_MAX;
/// Deepest chain of referrals: more labels than names of the real world have.
const REFERRALS_MAX: usize = 16;
/// Servers of one zone tried in one look-up.
const SERVERS_MAX: usize = 4;
/// Name servers without glue looked up for one zone on the way.
const HOSTS_MAX: usize = 3;
/// Look-ups that ask a parent once more since no server of its child can be asked, for each child: what
/// the parent left out of one answer it seldom tells in many others.
const ABOVE_MAX: u32 = 8;
/// The next server is asked beside the first if that one has not answered by then.
const HEDGE: Duration = Duration::from_millis(300);

/// A look-up that may need others.
#[derive(Clone)]
pub(super) struct Errand {
    /// Names whose look-up waits for this one, outermost first.
    pub(super) stack: Vec<DnsName>,
    /// Questions left.
    left: Rc<Cell<u32>>,
    /// Look-ups of name servers' names left.
    hosts_left: Rc<Cell<u32>>,
    /// The exchange that ended last.
    last: Rc<RefCell<Option<Exchange>>>,
    /// A question was not asked, or its answer not waited for or kept.
    cut_short: Rc<Cell<bool>>,
}

impl Errand {
    /// An errand nothing waits for yet.
    pub(super) fn new() -> Self {
        Self {
            stack: Vec::new(),
            left: Rc::new(Cell::new(QUERIES_PER_LOOKUP_MAX)),
            hosts_left: Rc::new(Cell::new(HOSTS_PER_LOOKUP_MAX)),
            last: Rc::default(),
            cut_short: Rc::default(),
        }
    }

    /// May one more name server's name be looked up? Counts it.
    pub(super) fn take_host(&self) -> bool {
        let left = self.hosts_left.get();
        self.hosts_left.set(left.saturating_sub(1));
        left > 0 && self.left.get() > 0
    }
}

/// Why iteration did not work.
#[derive(Clone, Debug)]
pub struct Failed {
    /// In words.
    pub reason: String,
    /// The last exchange on the way, if there was one.
    pub last: Option<Exchange>,
}

/// What iteration ended with.
#[derive(Clone, Debug)]
pub struct Iterated {
    /// The zone whose server answered.
    pub zone: DnsName,
    /// One exchange for each type.
    pub exchanges: Vec<Exchange>,
    /// Sequential waits until then.
    pub waits: u32,
}

impl Walk {
    /// Resolves a name by iteration, aliases followed.
    ///
    /// # Errors
    /// Why it did not work.
    pub async fn resolve(&self, name: &DnsName, rtypes: &[String]) -> Result<Iterated, Failed> {
        let mut name = name.clone();
        let mut behind = 0;
        for _ in 0..=ALIASES_MAX {
            let errand = Errand {
                stack: vec![name.clone()],
                ..Errand::new()
            };
            let last = errand.last.clone();
            let found = self
                .descend(&name, rtypes, behind, errand)
                .await
                .map_err(|failure| Failed {
                    reason: describe(&name, &failure),
                    last: last.take(),
                })?;
            let alias = found.exchanges.iter().find_map(|e| {
                let response = e.response()?;
                let end = response.aliases(&name).pop()?;
                response.records(&e.question).is_empty().then_some(end)
            });
            match alias {
                Some(next) => name = next,
                None => return Ok(found),
            }
            behind = found.waits;
        }
        Err(Failed {
            reason: format!("more than {ALIASES_MAX} aliases"),
            last: None,
        })
    }

    /// Does the top-level domain exist? The root servers are asked for it alone.
    ///
    /// # Errors
    /// Why the answer is not yes.
    pub async fn tld_exists(&self, tld: &DnsName) -> Result<(), String> {
        let root = self.cut_at(&DnsName::root());
        let errand = Errand::new();
        let mut waits = 0;
        let unknown = || format!("no root server says whether {tld} exists");
        let servers = self
            .servers(&root, &errand, &mut waits)
            .await
            .map_err(|_| unknown())?;
        let rtypes = ["NS".to_owned()];
        let answer = self.hedged(&root, &servers, tld, &rtypes, &errand).await;
        let (_, exchanges, _) = answer.ok_or_else(unknown)?;
        match exchanges
            .first()
            .and_then(Exchange::response)
            .map(|r| r.rcode)
        {
            Some(Rcode::NOERROR) => Ok(()),
            Some(Rcode::NXDOMAIN) => Err(format!("{tld} does not exist at the root")),
            Some(_) | None => Err(unknown()),
        }
    }

    /// Asks from the deepest known cut downwards until a server answers with authority.
    pub(super) async fn descend(
        &self,
        name: &DnsName,
        rtypes: &[String],
        base: u32,
        errand: Errand,
    ) -> Result<Iterated, HostFailure> {
        let mut waits = base;
        let mut first_failure: Option<HostFailure> = None;
        // A circle found at first is what a second try runs out of questions over.
        let told = |first: &Option<HostFailure>, now: HostFailure| match first {
            Some(telling @ (HostFailure::Cycle { .. } | HostFailure::NoRoute)) => telling.clone(),
            Some(_) | None => now,
        };
        for _ in 0..REFERRALS_MAX {
            let mut cut = self.deepest_cut(name);
            let addresses = match (self.servers(&cut, &errand, &mut waits).await, &cut.parent) {
                (Ok(addresses), _) => addresses,
                // The parent's servers may hold the zone too, or know glue that they left out of
                // another answer.
                (Err(failure), Some(parent))
                    if first_failure.is_none() && self.may_ask_above(&cut, &failure) =>
                {
                    first_failure = Some(failure);
                    cut = self.cut_at(parent);
                    let above = self.servers(&cut, &errand, &mut waits).await;
                    above.map_err(|failure| told(&first_failure, failure))?
                }
                (Err(failure), _) => return Err(told(&first_failure, failure)),
            };
            let answer = self.hedged(&cut, &addresses, name, rtypes, &errand).await;
            let Some((address, exchanges, spent)) = answer else {
                let failure = if errand.left.get() == 0 || errand.cut_short.get() {
                    HostFailure::Limit
                } else {
                    HostFailure::ServersFail
                };
                return Err(told(&first_failure, failure));
            };
            waits += spent;
            let response = exchanges.first().and_then(Exchange::response);
            let referral = response.and_then(|r| Some((r, r.referral(name)?)));
            match referral {
                Some((response, referral)) if is_below(&referral.zone, &cut.zone) => {
                    let glue = glue(&cut.zone, &referral, response);
                    self.learn(&cut.zone, &referral, &glue, &address.to_string(), waits);
                }
                _ => {
                    return Ok(Iterated {
                        zone: cut.zone.clone(),
                        exchanges,
                        waits,
                    });
                }
            }
        }
        Err(HostFailure::Limit)
    }

    /// May the parent's servers be asked again for what they said nothing of? Counts it.
    fn may_ask_above(&self, cut: &Cut, failure: &HostFailure) -> bool {
        if *failure == HostFailure::NoRoute && cut.is_glued() {
            return false;
        }
        let mut above = self.inner.above.borrow_mut();
        let asked = above.entry(cut.zone.clone()).or_default();
        *asked += 1;
        *asked <= ABOVE_MAX
    }

    /// Addresses of a zone's servers: those known, else those looked up.
    async fn servers(
        &self,
        cut: &Cut,
        errand: &Errand,
        waits: &mut u32,
    ) -> Result<Vec<IpAddr>, HostFailure> {
        let origin = match cut.parent {
            None => Origin::Operator,
            Some(_) => Origin::Network,
        };
        let usable = |a: &IpAddr| self.barred(*a, origin).is_none();
        let given = || cut.hosts.values().flatten().copied();
        let mut known: Vec<IpAddr> = given().filter(usable).collect();
        known.sort();
        known.dedup();
        if !known.is_empty() {
            return Ok(known);
        }
        let stack = &errand.stack;
        let circle = |host: &DnsName| stack.iter().position(|waiting| waiting == host);
        let mut failure = match cut.hosts.keys().find_map(circle) {
            _ if given().any(|a| self.no_way(a).is_some()) => HostFailure::NoRoute,
            Some(at) => HostFailure::Cycle {
                names: stack[at..].to_vec(),
            },
            None => HostFailure::ServersFail,
        };
        // Who is inside the zone and has glue is known to the zone's own servers alone.
        let others = cut.hosts.iter().filter(|(host, given)| {
            let is_inside = host.is_at_or_below(&cut.zone) && !given.is_empty();
            !is_inside && circle(host).is_none()
        });
        for host in others.map(|(host, _)| host).take(HOSTS_MAX) {
            let answer = self.host_within(host.clone(), *waits, errand.clone()).await;
            let usable: Vec<IpAddr> = answer.addresses.into_iter().filter(usable).collect();
            if !usable.is_empty() {
                *waits = answer.waits.max(*waits);
                return Ok(usable);
            }
            let is_telling = matches!(
                answer.failure,
                Some(HostFailure::Cycle { .. } | HostFailure::Limit | HostFailure::NoRoute)
            );
            if let (HostFailure::ServersFail, Some(theirs), true) =
                (&failure, answer.failure, is_telling)
            {
                failure = theirs;
            }
        }
        Err(failure)
    }

    /// Asks servers one after the other, each a little after the last, until one is of use.
    async fn hedged(
        &self,
        cut: &Cut,
        addresses: &[IpAddr],
        name: &DnsName,
        rtypes: &[String],
        errand: &Errand,
    ) -> Option<(IpAddr, Vec<Exchange>, u32)> {
        // Above the second label a referral will come: one type is enough to get it.
        let count = if cut.zone.labels().len() < 2 {
            1
        } else {
            rtypes.len()
        };
        let origin = match cut.parent {
            None => Origin::Operator,
            Some(_) => Origin::Network,
        };
        let mut waiting = addresses.iter().take(SERVERS_MAX);
        let mut running = FuturesUnordered::new();
        loop {
            if let Some(address) = waiting.next() {
                running.push(self.one(&cut.zone, *address, origin, name, &rtypes[..count], errand));
            } else if running.is_empty() {
                return None;
            }
            let hedge = async {
                if waiting.len() == 0 {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(HEDGE).await;
            };
            tokio::select! {
                Some((address, mut exchanges, spent)) = running.next() => {
                    if !is_useful(&cut.zone, name, exchanges.first()) {
                        continue;
                    }
                    let is_final = !refers_below(&cut.zone, name, exchanges.first());
                    if is_final && count < rtypes.len() {
                        let rest = self.one(&cut.zone, address, origin, name, &rtypes[count..], errand);
                        exchanges.extend(rest.await.1);
                    }
                    return Some((address, exchanges, spent));
                }
                () = hedge => {}
            }
        }
    }

    async fn one(
        &self,
        zone: &DnsName,
        address: IpAddr,
        origin: Origin,
        name: &DnsName,
        rtypes: &[String],
        errand: &Errand,
    ) -> (IpAddr, Vec<Exchange>, u32) {
        let asked = rtypes.iter().map(|rtype| async move {
            let question = Question {
                name: name.clone(),
                rtype: rtype.clone(),
            };
            let wanted = Ask {
                origin,
                tries: 1,
                ..Ask::server(self.socket(address), question)
            };
            let Some(left) = errand.left.get().checked_sub(1) else {
                let reason = format!("a look-up's limit of {QUERIES_PER_LOOKUP_MAX} questions");
                errand.cut_short.set(true);
                return (wanted.not_asked(reason), 0);
            };
            errand.left.set(left);
            let (mut exchanges, _) = self.ask(zone, &wanted).await;
            let last = exchanges.pop().expect("a question leaves an exchange");
            if !last.was_asked() {
                errand.cut_short.set(true);
            }
            *errand.last.borrow_mut() = Some(last.clone());
            let spent = exchanges.iter().map(waits).sum::<u32>() + waits(&last);
            (last, spent)
        });
        let ended = join_all(asked).await;
        let spent = ended.iter().map(|(_, spent)| *spent).max().unwrap_or(0);
        (address, ended.into_iter().map(|(e, _)| e).collect(), spent)
    }
}

/// Is `zone` strictly below `ancestor`?
pub(super) fn is_below(zone: &DnsName, ancestor: &DnsName) -> bool {
    zone != ancestor && zone.is_at_or_below(ancestor)
}

fn refers_below(zone: &DnsName, name: &DnsName, exchange: Option<&Exchange>) -> bool {
    let referral = exchange.and_then(|e| e.response()?.referral(name));
    referral.is_some_and(|r| is_below(&r.zone, zone))
}

/// An answer with authority, or a referral downwards.
fn is_useful(zone: &DnsName, name: &DnsName, exchange: Option<&Exchange>) -> bool {
    let Some(response) = exchange.and_then(Exchange::response) else {
        return false;
    };
    let is_final = matches!(response.rcode, Rcode::NOERROR | Rcode::NXDOMAIN);
    let is_empty = response.answer.is_empty() && response.authority.is_empty();
    if is_empty && (response.flags.tc || response.malformed.is_some()) {
        return false;
    }
    (response.flags.aa && is_final) || refers_below(zone, name, exchange)
}

fn describe(name: &DnsName, failure: &HostFailure) -> String {
    match failure {
        HostFailure::NxDomain => format!("{name} does not exist"),
        HostFailure::NoData => format!("{name} has no address"),
        HostFailure::ServersFail => format!("no name server on the way to {name} answers usably"),
        HostFailure::Cycle { names } => {
            let names: Vec<&str> = names.iter().map(DnsName::as_str).collect();
            format!(
                "the name servers on the way to {name} need themselves: {}",
                names.join(" → ")
            )
        }
        HostFailure::Limit => {
            format!("the way to {name} is longer than {QUERIES_PER_LOOKUP_MAX} questions")
        }
        HostFailure::NoRoute => {
            format!("this machine has no route to any name server on the way to {name}")
        }
    }
}
