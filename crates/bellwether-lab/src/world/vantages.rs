//! What becomes of the packets and links of vantages, and what each of them is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::roots::{VANTAGE, fixed};
use super::topology::Mistake;
use crate::dns::recursor::Recursor;
use crate::net::Loss;
use crate::scenario::line::Line;
use crate::scenario::vantage::LOCAL;
use crate::scenario::{LinkWord, Spec, VantagePatch, ZoneSpec};

/// The vantages of a world, the built-in one among them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vantages {
    all: BTreeMap<String, Vantage>,
    /// Resolvers that one vantage alone asks, by address: they are near it.
    near: BTreeMap<IpAddr, String>,
}

#[derive(Clone, Debug, Default)]
struct Vantage {
    addresses: Vec<IpAddr>,
    link: LinkWord,
    loss: f64,
    cut: bool,
    interceptor: Option<Recursor>,
    portal: Option<IpAddr>,
}

impl Vantages {
    pub(crate) fn new(spec: &Spec) -> Self {
        let mut all = BTreeMap::new();
        let mut add = |name: &str, addresses: Vec<IpAddr>| {
            let vantage = Vantage {
                addresses,
                ..Vantage::default()
            };
            all.insert(name.to_owned(), vantage);
        };
        let usual = VANTAGE.iter().map(|text| fixed(text));
        add(LOCAL, usual.chain(spec.world.vantage.clone()).collect());
        for vantage in &spec.world.vantages {
            add(&vantage.name, vantage.address.0.clone());
        }
        let near = spec.world.resolvers.iter().filter_map(|resolver| {
            let [name] = &resolver.from[..] else {
                return None;
            };
            Some((resolver.address.0.address.ip(), name.clone()))
        });
        Self {
            near: near.collect(),
            all,
        }
    }

    pub(crate) fn change(
        &mut self,
        name: &str,
        patch: &VantagePatch,
        seed: u64,
    ) -> Result<(), Mistake> {
        let VantagePatch {
            link,
            loss,
            cut,
            interceptor,
            portal,
        } = patch;
        let missing = || Mistake::new(name, format!("there is no vantage `{name}`"));
        let vantage = self.all.get_mut(name).ok_or_else(missing)?;
        vantage.link = link.unwrap_or(vantage.link);
        vantage.loss = loss.unwrap_or(vantage.loss);
        vantage.cut = cut.unwrap_or(vantage.cut);
        vantage.portal = portal.unwrap_or(vantage.portal);
        if let Some(words) = interceptor {
            vantage.interceptor = words.as_ref().map(|words| {
                let mut proxy = Recursor::new(IpAddr::from([0, 0, 0, 0]), seed);
                proxy.change(words);
                proxy
            });
        }
        Ok(())
    }

    /// What does not arrive of their packets.
    pub(crate) fn losses(&self) -> Vec<Loss> {
        let losing = self.all.values().filter(|v| v.cut || v.loss > 0.0);
        let each = losing.flat_map(|v| {
            let share = if v.cut { 1.0 } else { v.loss };
            v.addresses
                .iter()
                .map(move |from| Loss { from: *from, share })
        });
        each.collect()
    }

    /// How the links of their agents are.
    pub(crate) fn links(&self) -> BTreeMap<String, LinkWord> {
        let all = self.all.iter();
        all.map(|(name, vantage)| (name.clone(), vantage.link))
            .collect()
    }

    /// Who answers in place of every DNS server what comes from an address.
    pub(crate) fn interceptor(&mut self, from: IpAddr) -> Option<&mut Recursor> {
        let mut all = self.all.values_mut();
        let vantage = all.find(|v| v.addresses.contains(&from))?;
        vantage.interceptor.as_mut()
    }

    /// Where connections from an address are led, whatever they were for.
    pub(crate) fn portal(&self, from: IpAddr) -> Option<IpAddr> {
        let mut all = self.all.values();
        all.find(|v| v.addresses.contains(&from))?.portal
    }

    /// The vantage at an address, or near the resolver there.
    pub(crate) fn at(&self, address: IpAddr) -> Option<&str> {
        if let Some(name) = self.near.get(&address) {
            return Some(name);
        }
        let mut all = self.all.iter();
        let (name, _) = all.find(|(_, v)| v.addresses.contains(&address))?;
        Some(name)
    }
}

/// The vantages that are answered something of their own by any of these zones.
pub(super) fn viewers(zones: &[ZoneSpec]) -> BTreeSet<String> {
    let names = zones.iter().flat_map(|zone| zone.records_for.keys());
    names.cloned().collect()
}

/// A zone as one vantage is answered.
pub(super) fn view(zone: &ZoneSpec, vantage: &str) -> ZoneSpec {
    let mut zone = zone.clone();
    let Some(own) = zone.records_for.remove(vantage) else {
        return zone;
    };
    let set = |line: &String| {
        let line = Line::parse(line).ok()?;
        Some((line.owner.to_ascii_lowercase(), line.rtype))
    };
    let replaced: BTreeSet<_> = own.iter().filter_map(set).collect();
    zone.records
        .retain(|line| set(line).is_none_or(|set| !replaced.contains(&set)));
    zone.records.extend(own);
    zone
}
