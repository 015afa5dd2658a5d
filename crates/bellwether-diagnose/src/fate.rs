//! Shared fate, computed beforehand: what watches depends on what it watches.
//!
//! Pure: from what is configured, and from what traces showed services to lean on. When the zone of a shop
//! fails, nobody is told by a receiver in that zone; when its network does, vantages that all stand there
//! see nothing. The time to learn that is before.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bellwether_model::{DnsName, VantageId};

use crate::suffix::registered;

/// At most this many services stand in one sentence.
const NAMES_MAX: usize = 3;

/// Something without which nothing is seen, or nobody told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// What it is, as the sentence begins: `receiver pager is at hooks.pager.example`.
    pub what: String,
    /// Where it is: a host name, or an address.
    pub host: String,
    /// What fails with it: `nobody is told`.
    pub then: &'static str,
}

/// A service that is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// The zones that its names are registered in.
    pub zones: BTreeSet<String>,
    /// What traces showed it to lean on: zones of its name servers, addresses, owners as `AS64500 Name`.
    pub leans: BTreeSet<String>,
}

impl Watched {
    fn is_in_network(&self, network: u32) -> bool {
        let number = format!("AS{network}");
        let first = |lean: &String| lean.split(' ').next() == Some(number.as_str());
        self.leans.iter().any(first)
    }
}

/// What shares fate with what is watched, a sentence each, in a stable order. `vantages` are those
/// elsewhere that are heard, with the numbers of their networks where these are configured.
#[must_use]
pub fn shared(
    needed: &[Needed],
    watched: &BTreeMap<String, Watched>,
    vantages: &[(VantageId, Option<u32>)],
) -> Vec<String> {
    let mut told = Vec::new();
    for one in needed {
        told.extend(of_needed(one, watched));
    }
    told.extend(of_networks(watched, vantages));
    told
}

/// Zone, name servers, address.
fn of_needed(needed: &Needed, watched: &BTreeMap<String, Watched>) -> Vec<String> {
    let Needed { what, host, then } = needed;
    if let Ok(address) = host.parse::<IpAddr>() {
        let address = address.to_string();
        let stand = |w: &Watched| w.leans.contains(&address);
        return sentence(what, "at an address of", watched, stand, then)
            .into_iter()
            .collect();
    }
    let Ok(name) = DnsName::typed(host) else {
        return Vec::new();
    };
    let zone = registered(&name).to_string();
    let in_zone = |w: &Watched| w.zones.contains(&zone);
    let at_servers = |w: &Watched| !in_zone(w) && w.leans.contains(&zone);
    let in_zone = sentence(what, "in the zone of", watched, in_zone, then);
    let at_servers = sentence(
        what,
        "in the zone of the name servers of",
        watched,
        at_servers,
        then,
    );
    in_zone.into_iter().chain(at_servers).collect()
}

fn sentence(
    what: &str,
    how: &str,
    watched: &BTreeMap<String, Watched>,
    shares: impl Fn(&Watched) -> bool,
    then: &str,
) -> Option<String> {
    let services = watched.iter().filter(|(_, w)| shares(w));
    let services: Vec<&str> = services.map(|(name, _)| name.as_str()).collect();
    let names = names(&services)?;
    Some(format!("{what}, {how} {names}: when that fails, {then}"))
}

/// Where the vantages stand.
fn of_networks(
    watched: &BTreeMap<String, Watched>,
    vantages: &[(VantageId, Option<u32>)],
) -> Vec<String> {
    let networks: BTreeSet<Option<u32>> = vantages.iter().map(|(_, network)| *network).collect();
    let mut only = networks.into_iter();
    let (Some(network), None) = (only.next(), only.next()) else {
        return Vec::new();
    };
    let mut told = Vec::new();
    if vantages.len() > 1 {
        told.push(format!(
            "{} vantages stand in 1 network, as far as is configured: they cannot tell a fault of that from one of what they watch",
            vantages.len()
        ));
    }
    if let Some(network) = network {
        let there = watched.iter().filter(|(_, w)| w.is_in_network(network));
        let there: Vec<&str> = there.map(|(name, _)| name.as_str()).collect();
        told.extend(names(&there).map(|names| {
            format!("every vantage elsewhere stands in AS{network}, where {names} is too: what users of other networks see is not seen")
        }));
    }
    told
}

/// `a`, `a and b`, `a, b and 7 more`.
fn names(all: &[&str]) -> Option<String> {
    Some(match all {
        [] => return None,
        [one] => (*one).to_owned(),
        [first @ .., last] if all.len() <= NAMES_MAX => format!("{} and {last}", first.join(", ")),
        _ => {
            let first = &all[..NAMES_MAX - 1];
            format!("{} and {} more", first.join(", "), all.len() - first.len())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|one| (*one).to_owned()).collect()
    }

    fn watched() -> BTreeMap<String, Watched> {
        let shop = Watched {
            zones: set(&["shop.example."]),
            leans: set(&["dns.example.", "203.0.113.7", "AS64500 Cloud"]),
        };
        let other = Watched {
            zones: set(&["other.test."]),
            leans: set(&["198.51.100.1", "AS6450 Elsewhere"]),
        };
        BTreeMap::from([("shop".to_owned(), shop), ("other".to_owned(), other)])
    }

    fn told(host: &str) -> Vec<String> {
        let needed = Needed {
            what: format!("receiver pager is at {host}"),
            host: host.to_owned(),
            then: "nobody is told",
        };
        shared(&[needed], &watched(), &[])
    }

    #[test]
    fn a_receiver_in_the_zone_of_what_is_watched_is_named() {
        let then = "when that fails, nobody is told";
        assert_eq!(
            told("hooks.shop.example"),
            [format!(
                "receiver pager is at hooks.shop.example, in the zone of shop: {then}"
            )]
        );
        assert_eq!(
            told("tickets.dns.example"),
            [format!(
                "receiver pager is at tickets.dns.example, in the zone of the name servers of shop: {then}"
            )]
        );
        assert_eq!(
            told("203.0.113.7"),
            [format!(
                "receiver pager is at 203.0.113.7, at an address of shop: {then}"
            )]
        );
        for apart in ["hooks.pager.test", "203.0.113.8", "example", "not a host"] {
            assert_eq!(told(apart), Vec::<String>::new(), "{apart}");
        }
    }

    #[test]
    fn p12_vantages_of_one_network_are_named() {
        let at = |vantages: &[Option<u32>]| {
            let named = vantages.iter().enumerate();
            let named = named.map(|(n, network)| (VantageId::new(&format!("v{n}")), *network));
            shared(&[], &watched(), &named.collect::<Vec<_>>())
        };
        let one = at(&[Some(64_500); 3]);
        assert!(
            one[0].starts_with("3 vantages stand in 1 network"),
            "{one:?}"
        );
        assert!(
            one[1].contains("stands in AS64500, where shop is too"),
            "{one:?}"
        );
        assert_eq!(one.len(), 2);
        assert_eq!(at(&[Some(64_501); 2]).len(), 1, "no service is there");
        assert_eq!(
            at(&[None, None]).len(),
            1,
            "what is not configured may be one"
        );
        for apart in [
            &[Some(64_500), Some(64_501)][..],
            &[Some(64_501)],
            &[None],
            &[],
        ] {
            assert_eq!(at(apart), Vec::<String>::new(), "{apart:?}");
        }
    }
}
