//! Addresses and prefixes: a bijection that keeps common prefixes, as Crypto-PAn does.
//!
//! Bit `i` of the new address is bit `i` of the old one, flipped or not by a function of the `i`
//! bits before it and the seed. Two addresses that share `n` bits then share exactly `n` bits
//! again. Keys are tried until every address of the scenario stays in its class and off the
//! addresses that every world has.

use std::net::IpAddr;

use bellwether_model::egress::AddressClass;
use ipnet::IpNet;

use crate::chance::mix;
use crate::world::roots::{SYSTEM_RESOLVER, VANTAGE, fixed, pinned};

/// Keys tried: each fits with a chance of some per cent at worst.
const KEYS_MAX: u64 = 2000;

/// The bijection.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// `None`: no key fits, and addresses stay.
    key: Option<u64>,
    pinned: Vec<IpAddr>,
    /// Prefixes of the scenario that hold a pinned address, and stay whole.
    kept: Vec<IpNet>,
}

impl Addresses {
    pub(super) fn new(
        addresses: Vec<IpAddr>,
        owners: impl Iterator<Item = IpNet>,
        seed: u64,
    ) -> Self {
        let own = VANTAGE.iter().chain([&SYSTEM_RESOLVER]);
        let pinned: Vec<IpAddr> = pinned().chain(own.map(|a| fixed(a))).collect();
        let owners: Vec<IpNet> = owners.collect();
        let holds_pinned = |net: &IpNet| pinned.iter().any(|a| net.contains(a));
        let kept: Vec<IpNet> = owners.iter().copied().filter(holds_pinned).collect();
        let moved: Vec<IpNet> = owners
            .into_iter()
            .filter(|net| !holds_pinned(net))
            .collect();
        let mut map = Self {
            key: None,
            pinned,
            kept,
        };
        map.key = (0..KEYS_MAX)
            .map(|n| mix(seed, &format!("addresses {n}")))
            .find(|key| {
                let trial = Self {
                    key: Some(*key),
                    ..map.clone()
                };
                trial.fits(&addresses, &moved)
            });
        map
    }

    fn fits(&self, addresses: &[IpAddr], prefixes: &[IpNet]) -> bool {
        let address_fits = |old: &IpAddr| {
            let new = self.address(*old);
            new == *old || (AddressClass::of(new) == AddressClass::of(*old) && self.is_free(new))
        };
        let prefix_fits = |old: &IpNet| {
            let new = self.net(*old);
            new == *old || !self.pinned.iter().any(|a| new.contains(a))
        };
        addresses.iter().all(address_fits) && prefixes.iter().all(prefix_fits)
    }

    fn is_free(&self, address: IpAddr) -> bool {
        let edge = match address {
            // Addresses of a network and its broadcast look like mistakes.
            IpAddr::V4(v4) => matches!(v4.octets()[3], 0 | 255),
            IpAddr::V6(_) => false,
        };
        !edge && !self.is_kept(address)
    }

    fn is_kept(&self, address: IpAddr) -> bool {
        self.pinned.contains(&address) || self.kept.iter().any(|net| net.contains(&address))
    }

    /// The new address.
    pub(super) fn address(&self, old: IpAddr) -> IpAddr {
        let Some(key) = self.key.filter(|_| !self.is_kept(old)) else {
            return old;
        };
        let Some(fixed_bits) = fixed_bits(old) else {
            return old;
        };
        match old {
            IpAddr::V4(v4) => {
                let bits = u128::from(v4.to_bits()) << 96;
                let new = flip(bits, 32, fixed_bits, key) >> 96;
                IpAddr::V4(u32::try_from(new).unwrap_or(0).into())
            }
            IpAddr::V6(v6) => IpAddr::V6(flip(v6.to_bits(), 128, fixed_bits, !key).into()),
        }
    }

    /// The new prefix: that of every new address of the old one.
    pub(super) fn net(&self, old: IpNet) -> IpNet {
        if self.kept.contains(&old) {
            return old;
        }
        IpNet::new(self.address(old.network()), old.prefix_len()).map_or(old, |net| net.trunc())
    }
}

/// How many leading bits stay; `None`: all.
fn fixed_bits(address: IpAddr) -> Option<u32> {
    match (AddressClass::of(address), address) {
        (AddressClass::Public, IpAddr::V4(_)) => Some(0),
        // The registries' blocks: the first bits say that an address is global.
        (AddressClass::Public, IpAddr::V6(_)) => Some(16),
        (AddressClass::Documentation, IpAddr::V4(_)) => Some(24),
        (AddressClass::Documentation, IpAddr::V6(_)) => Some(32),
        (
            AddressClass::Private
            | AddressClass::Loopback
            | AddressClass::LinkLocal
            | AddressClass::Special,
            _,
        ) => None,
    }
}

fn flip(bits: u128, width: u32, fixed_bits: u32, key: u64) -> u128 {
    let mut new = bits;
    for index in fixed_bits..width {
        let before = if index == 0 { 0 } else { bits >> (128 - index) };
        if mix(key, &format!("{index} {before:x}")) & 1 == 1 {
            new ^= 1 << (127 - index);
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn common(a: IpAddr, b: IpAddr) -> u32 {
        match (a, b) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            _ => 0,
        }
    }

    fn any_address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
            any::<u32>().prop_map(|bits| IpAddr::V4((0x36a0_0000 | (bits >> 16)).into())),
            any::<u64>().prop_map(|b| IpAddr::V6(((0x2600_u128 << 112) | u128::from(b)).into())),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn bijective_in_class_and_prefix_preserving(
            addresses in proptest::collection::btree_set(any_address(), 1..12),
            seed: u64,
        ) {
            let all: Vec<IpAddr> = addresses.iter().copied().collect();
            let map = Addresses::new(all.clone(), std::iter::empty(), seed);
            let new: BTreeSet<IpAddr> = all.iter().map(|a| map.address(*a)).collect();
            prop_assert_eq!(new.len(), all.len());
            for a in &all {
                let moved = map.address(*a);
                prop_assert_eq!(AddressClass::of(moved), AddressClass::of(*a));
                prop_assert_eq!(moved.is_ipv4(), a.is_ipv4());
                for b in all.iter().filter(|b| fixed_bits(**b) == fixed_bits(*a)) {
                    prop_assert_eq!(common(moved, map.address(*b)), common(*a, *b));
                }
            }
        }
    }

    #[test]
    fn what_every_world_has_keeps_its_address() {
        let all =
            ["8.8.8.8", "198.41.0.4", "10.0.0.5", "54.160.170.229"].map(|a| a.parse().unwrap());
        let owners = ["8.8.8.0/24", "54.160.0.0/12"].map(|n| n.parse::<IpNet>().unwrap());
        let map = Addresses::new(all.to_vec(), owners.into_iter(), 3);
        for kept in &all[..3] {
            assert_eq!(map.address(*kept), *kept);
        }
        assert_ne!(map.address(all[3]), all[3]);
        assert_eq!(map.net(owners[0]), owners[0]);
        assert!(map.net(owners[1]).contains(&map.address(all[3])));
        assert_eq!(map.net(owners[1]).prefix_len(), 12);
    }
}
