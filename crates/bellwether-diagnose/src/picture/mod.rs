//! The observations of one check, put in order: which name servers gave what, what resolvers made
//! of it, and what became of every address. Still facts only; nothing here is a cause.

pub mod above;
pub mod addresses;
pub mod clients;
pub mod dnssec;
pub mod resolvers;
pub mod zones;

use std::collections::BTreeMap;
use std::net::IpAddr;

use bellwether_model::dns::{ControlSeen, Response};
use bellwether_model::net::{Family, TcpResult};
use bellwether_model::observation::{AddressesSeen, DnsPurpose, DnsSeen, NotRun};
use bellwether_model::report::Context;
use bellwether_model::{Observation, Outcome, ProbeKind};

pub use addresses::{AddressView, Attempt};
pub use clients::{Clients, Shower};
pub use dnssec::{ChainState, ChainView};
pub use resolvers::{ResolverStatus, ResolverView};
pub use zones::{Basis, Hop, ServerStatus, ServerView, Sides};
pub(crate) use zones::{NO_ANSWER, QUICK_MS, is_good};

use crate::Situation;

/// An observation's content with its id.
pub type Seen<'a, T> = (&'a str, &'a T);

/// Everything seen, put in order.
pub struct Picture<'a> {
    /// What the check was given.
    pub context: &'a Context,
    /// Every zone level, shallow ones first.
    pub levels: Vec<Seen<'a, bellwether_model::dns::ZoneSeen>>,
    /// The zones that hold the target's name and the names it is an alias of, in that order.
    pub hops: Vec<Hop<'a>>,
    /// The zones above those, on the way from the root, whose servers delegate.
    pub above: Vec<Hop<'a>>,
    /// One entry for each resolver that was asked.
    pub resolvers: Vec<ResolverView<'a>>,
    /// One entry for each address of the target.
    pub addresses: BTreeMap<IpAddr, AddressView<'a>>,
    /// One entry for each name whose signatures were looked at.
    pub chains: Vec<ChainView<'a>>,
    /// Questions outside walk and matrix.
    pub asides: Vec<Seen<'a, DnsSeen>>,
    /// The controls.
    pub controls: Vec<Seen<'a, ControlSeen>>,
    /// What did not run.
    pub not_run: Vec<(&'a str, ProbeKind, &'a NotRun)>,
}

impl<'a> Picture<'a> {
    /// Puts the observations of a situation in order. Their own order does not matter.
    #[must_use]
    pub fn of(situation: &'a Situation) -> Self {
        let mut sorted: Vec<&Observation> = situation.observations.iter().collect();
        sorted.sort_by_key(|o| {
            (
                o.id.trim_start_matches('e').parse::<u64>().unwrap_or(0),
                o.id.clone(),
            )
        });
        let context = &situation.context;
        let (mut levels, mut matrix, mut controls, mut not_run) = (vec![], vec![], vec![], vec![]);
        let mut asides: Vec<Seen<'a, DnsSeen>> = vec![];
        let mut chains: Vec<ChainView<'a>> = vec![];
        let mut found: Vec<Seen<'a, AddressesSeen>> = vec![];
        for o in &sorted {
            match &o.outcome {
                Outcome::Delegation(zone) => levels.push((o.id.as_str(), zone)),
                Outcome::ResolverMatrix(seen) => matrix.push((o.id.as_str(), &**seen)),
                Outcome::Control(seen) => controls.push((o.id.as_str(), seen)),
                Outcome::Addresses(seen) => found.push((o.id.as_str(), seen)),
                Outcome::NotRun(n) => not_run.push((o.id.as_str(), o.probe, n)),
                Outcome::Dnssec(seen) => {
                    chains.push(dnssec::view(o.id.as_str(), seen, context.now));
                }
                Outcome::Dns(seen) => asides.push((o.id.as_str(), seen)),
                Outcome::Tcp(_)
                | Outcome::Tls(_)
                | Outcome::Http(_)
                | Outcome::Tries(_)
                | Outcome::Icmp(_) => {}
            }
        }
        levels.sort_by_key(|(_, z)| (z.zone.labels().len(), z.zone.clone(), z.name.clone()));
        chains.sort_by(|a, b| a.seen.name.cmp(&b.seen.name));
        controls.sort_by_key(|(_, c)| (c.control.clone(), c.via.clone()));
        let hops = zones::hops(context, &levels);
        let above = above::zones(context, &levels, &hops);
        let mut resolvers = resolvers::views(context, &matrix, &controls);
        let addresses = addresses::views(context, &sorted, &found, &hops, &resolvers);
        let is_checked = |r: &ResolverView<'_>| r.is_usable() && r.authentic;
        if !context.time_given && resolvers.iter().any(is_checked) {
            chains.iter_mut().for_each(ChainView::doubt_clock);
        }
        resolvers.sort_by(|a, b| a.label.cmp(&b.label));
        let mut picture = Self {
            context,
            levels,
            hops,
            above,
            resolvers,
            addresses,
            chains,
            asides,
            controls,
            not_run,
        };
        picture.decide_sides();
        picture
    }

    /// Does this family count? Not if the operator asked for the other one only.
    #[must_use]
    pub fn judges(&self, family: Family) -> bool {
        self.context.family.is_none_or(|only| only == family)
    }

    /// The zone that holds the target's own name.
    #[must_use]
    pub fn own_hop(&self) -> Option<&Hop<'a>> {
        self.hops.first()
    }

    /// The zone at the end of the alias chain.
    #[must_use]
    pub fn last_hop(&self) -> Option<&Hop<'a>> {
        self.hops.last()
    }

    /// A zone on the alias chain, or above it.
    #[must_use]
    pub fn zone(&self, zone: &bellwether_model::DnsName) -> Option<&Hop<'a>> {
        let mut all = self.hops.iter().chain(&self.above);
        all.find(|h| h.seen.zone == *zone)
    }

    /// The signatures on the way to the target's name and to each that it is an alias of.
    pub fn chains_of_hops(&self) -> impl Iterator<Item = &ChainView<'a>> {
        self.hops
            .iter()
            .filter_map(|hop| self.chains.iter().find(|c| c.seen.name == hop.seen.name))
    }

    /// Would a validating resolver refuse the answers?
    #[must_use]
    pub fn is_bogus(&self) -> bool {
        self.chains_of_hops()
            .any(|c| matches!(c.state, ChainState::Bogus(_)))
    }

    /// Do the signatures hold, from the root to each name on the way?
    #[must_use]
    pub fn validates(&self) -> bool {
        let mut names = self.hops.iter().map(|h| &h.seen.name).peekable();
        let secure = |name: &bellwether_model::DnsName| {
            let mut of = self.chains.iter().filter(|c| c.seen.name == *name);
            of.any(|c| c.state == ChainState::Secure)
        };
        names.peek().is_some() && names.all(secure)
    }

    /// Questions of one purpose, with the answer each got.
    pub fn asides_for(
        &self,
        purpose: DnsPurpose,
    ) -> impl Iterator<Item = (&'a str, &'a DnsSeen, &'a Response)> {
        let of = self
            .asides
            .iter()
            .filter(move |(_, s)| s.purpose == purpose);
        of.filter_map(|(id, seen)| Some((*id, *seen, seen.exchange.response()?)))
    }

    /// Do users get on although no name server answers: does every resolver that was asked answer, and
    /// one of them say that it goes on with what it kept?
    #[must_use]
    pub fn is_served_stale(&self) -> bool {
        let dead = self
            .last_hop()
            .is_some_and(|h| h.is_reached() && h.all_unusable());
        dead && self.resolvers.iter().all(ResolverView::is_usable)
            && self.resolvers.iter().any(ResolverView::serves_stale)
    }

    /// Families in which the name has addresses, by anybody's word.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        let mut all: Vec<Family> = self.addresses.keys().map(|a| Family::of(*a)).collect();
        all.sort();
        all.dedup();
        if all.is_empty() {
            vec![Family::V4]
        } else {
            all
        }
    }

    /// Does anything of the target answer us: an address that connects, or for name resolution
    /// alone a name server of its zone? A reset does not count: a firewall of our own sends it too.
    #[must_use]
    pub fn target_answers(&self) -> bool {
        if !self.context.target.scheme.has_tcp() {
            let servers = self.last_hop().into_iter().flat_map(Hop::delegated);
            return servers
                .into_iter()
                .any(|s| matches!(s.status, ServerStatus::Answers | ServerStatus::Denies(_)));
        }
        self.addresses.values().any(|v| {
            v.tcp
                .is_some_and(|(_, tcp)| tcp.result == TcpResult::Connected)
        })
    }

    /// Where nothing but caches remembers another NS set, what became of the addresses decides
    /// which side is wrong (DESIGN: provenance without a baseline).
    fn decide_sides(&mut self) {
        let fails = |a: &IpAddr| self.addresses.get(a).is_some_and(|v| v.attempt.fails());
        let works = |a: &IpAddr| self.addresses.get(a).is_some_and(|v| v.attempt.works());
        let strangers = |a: &IpAddr| self.addresses.get(a).is_some_and(|v| v.is_a_strangers());
        for hop in &mut self.hops {
            let Some(sides) = &mut hop.sides else {
                continue;
            };
            if !matches!(sides.basis, Basis::Cache | Basis::Child) {
                continue;
            }
            let given = |labels: &[String]| -> Vec<IpAddr> {
                let servers = hop.servers.iter().filter(|s| labels.contains(&s.label));
                servers.flat_map(|s| s.leads_to.iter().copied()).collect()
            };
            let (wrong, mut right) = (given(&sides.wrong), given(&sides.right));
            if sides.basis == Basis::Cache && right.is_empty() {
                let holders = self.resolvers.iter().filter(|r| r.holds(&sides.before));
                sides.cached = holders.flat_map(|r| r.addresses.iter().copied()).collect();
                right.extend(&sides.cached);
            }
            let new_fails = !wrong.is_empty() && wrong.iter().all(fails);
            let old_works = right.iter().any(works);
            let all_unusable = wrong.is_empty();
            if !(old_works && (new_fails || all_unusable)) {
                let each_is_a_strangers =
                    |side: &[IpAddr]| !side.is_empty() && side.iter().all(strangers);
                let undecided = each_is_a_strangers(&wrong) && each_is_a_strangers(&right);
                hop.undecided = undecided.then(|| sides.clone());
                hop.sides = None;
            }
        }
    }
}
