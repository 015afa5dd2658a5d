//! Scopes put together, and what of them comes and goes.

use bellwether_model::{Scope, VantageId};

/// A scope names no more than this of each: addresses that change with every look-up would else
/// grow for as long as the incident is open.
const NAMED_MAX: usize = 256;

/// Makes a scope as wide as both.
pub(super) fn widen(scope: &mut Scope, other: &Scope) {
    fn union<T: Ord + Clone>(all: &mut Vec<T>, more: &[T]) {
        for one in more {
            if all.len() >= NAMED_MAX {
                return;
            }
            if let Err(place) = all.binary_search(one) {
                all.insert(place, one.clone());
            }
        }
    }
    union(&mut scope.vantages, &other.vantages);
    union(&mut scope.resolvers, &other.resolvers);
    union(&mut scope.name_servers, &other.name_servers);
    union(&mut scope.addresses, &other.addresses);
    union(&mut scope.families, &other.families);
    union(&mut scope.profiles, &other.profiles);
    union(&mut scope.owners, &other.owners);
    scope.share = scope.share.max(other.share);
    scope.since = match (scope.since, other.since) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}

/// Part of a scope that can join or leave.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// A resolver.
    Resolver(String),
    /// A name server.
    NameServer(String),
    /// An address.
    Address(String),
    /// A vantage.
    Vantage(String),
}

impl Part {
    /// Its name alone.
    pub(super) fn label(&self) -> &str {
        match self {
            Self::Resolver(l) | Self::NameServer(l) | Self::Address(l) | Self::Vantage(l) => l,
        }
    }

    /// Is it part of this scope?
    pub(super) fn is_in(&self, scope: &Scope) -> bool {
        match self {
            Self::Resolver(r) => scope.resolvers.contains(r),
            Self::NameServer(n) => scope.name_servers.contains(n),
            Self::Address(a) => a.parse().is_ok_and(|a| scope.addresses.contains(&a)),
            Self::Vantage(v) => scope.vantages.contains(v),
        }
    }

    /// As a line of the timeline begins.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Resolver(r) if r == "own" => "our own look-up".to_owned(),
            Self::Resolver(r) => format!("resolver {r}"),
            Self::NameServer(n) => format!("name server {n}"),
            Self::Address(a) => format!("address {a}"),
            Self::Vantage(v) => format!("vantage {v}"),
        }
    }
}

/// The parts of a scope, with the vantage from which it is seen.
pub(super) fn parts_at(scope: &Scope, vantage: &VantageId) -> impl Iterator<Item = Part> {
    let resolvers = scope.resolvers.iter().cloned().map(Part::Resolver);
    let servers = scope.name_servers.iter().cloned().map(Part::NameServer);
    let addresses = scope.addresses.iter().map(|a| Part::Address(a.to_string()));
    let vantages = scope.vantages.iter().cloned().map(Part::Vantage);
    let here = Part::Vantage(vantage.as_str().to_owned());
    let parts = resolvers.chain(servers).chain(addresses).chain(vantages);
    parts.chain([here])
}

/// Have two scopes the same parts, in the same order?
pub(super) fn are_alike(a: &Scope, b: &Scope) -> bool {
    a.resolvers == b.resolvers
        && a.name_servers == b.name_servers
        && a.addresses == b.addresses
        && a.vantages == b.vantages
}
