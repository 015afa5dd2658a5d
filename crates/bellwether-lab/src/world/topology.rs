//! From what a scenario declares to everything that exists: root, top-level domains, zones that
//! hold servers' names, delegations and glue.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::roots::{TLD_SERVERS, TLDS, fixed, root_servers};
use super::signed::ds_text;
use super::zone::{Name, Rr, SoaFields, Zone, ancestors, name, record};
use crate::scenario::{Addresses, SoaSpec, ZoneSpec};
use crate::sign::key::Keys;

/// TTL of NS sets and of name servers' addresses, seconds.
const NS_TTL: u32 = 86_400;
/// TTL of SOA records, seconds.
const SOA_TTL: u32 = 3600;
/// SOA timers of zones that say nothing, seconds: refresh, retry, expire, minimum.
const SOA_TIMERS: [u32; 4] = [3600, 600, 1_209_600, 300];

/// What a scenario declares, as it stands after the steps so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Declared {
    pub(crate) zones: Vec<ZoneSpec>,
    /// NS sets at parents, with their TTL.
    pub(crate) delegation: BTreeMap<Name, (Vec<Name>, Option<u32>)>,
    /// DS records at parents.
    pub(crate) ds: BTreeMap<Name, Vec<String>>,
    /// Top-level domains of every name in the scenario.
    pub(crate) tlds: Vec<String>,
    /// Addresses that belong to resolvers and hosts: what exists by itself stays off them.
    pub(crate) taken: BTreeSet<IpAddr>,
    /// Keys of signed zones.
    pub(crate) keys: Keys,
    /// The second at which the world began.
    pub(crate) begun: i64,
    /// When zones were signed for the last time, by the scenario's names for them; those of which
    /// the signer runs are not here.
    pub(crate) stopped: BTreeMap<String, i64>,
}

/// Everything that exists.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topology {
    pub(crate) zones: Vec<Zone>,
    /// Which zones each server address serves.
    pub(crate) at: BTreeMap<IpAddr, Vec<usize>>,
    /// Addresses of each name server's name.
    pub(crate) hosts: BTreeMap<Name, Vec<IpAddr>>,
    /// Glue at parents that is not the hosts' own addresses, by delegated apex and host.
    pub(crate) glue: BTreeMap<(Name, Name), Vec<IpAddr>>,
}

/// A mistake in a scenario: a word to look for in its text, and the complaint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) word: String,
    pub(crate) message: String,
}

impl Mistake {
    pub(crate) fn new(word: &str, message: impl Into<String>) -> Self {
        Self {
            word: word.to_owned(),
            message: message.into(),
        }
    }
}

/// A zone to be, declared or not.
struct Plan {
    spec: Option<usize>,
    apex: Name,
    servers: Vec<(Name, Vec<IpAddr>)>,
    delegated: bool,
}

impl Topology {
    /// Builds everything.
    pub(crate) fn build(declared: &Declared) -> Result<Self, Mistake> {
        let mut plans = declared_plans(declared)?;
        add_tlds(&mut plans, declared)?;
        add_homes(&mut plans, declared);
        let mut built = Self::default();
        for plan in &plans {
            built.register(plan);
        }
        for (index, plan) in plans.iter().enumerate() {
            let zone = built.zone(plan, &plans, declared)?;
            built.zones.push(zone);
            for address in plan.servers.iter().flat_map(|(_, addresses)| addresses) {
                let at = built.at.entry(*address).or_default();
                if !at.contains(&index) {
                    at.push(index);
                }
            }
        }
        built.delegate(&plans, declared)?;
        built.zones.iter_mut().for_each(Zone::seal);
        Ok(built)
    }

    /// Another version of a declared zone, signed for the last time at a second.
    pub(crate) fn version(
        declared: &Declared,
        spec: &ZoneSpec,
        signed: i64,
    ) -> Result<Zone, Mistake> {
        let mut changed = declared.clone();
        changed.stopped.insert(spec.name.clone(), signed);
        for zone in &mut changed.zones {
            if zone.name == spec.name {
                *zone = spec.clone();
            }
        }
        let built = Self::build(&changed)?;
        let found = built
            .zones
            .into_iter()
            .find(|z| z.label.as_ref() == Some(&spec.name));
        found.ok_or_else(|| Mistake::new(&spec.name, format!("there is no zone `{}`", spec.name)))
    }

    /// Addresses that a parent hands out with a referral to `cut` for the server `host`.
    pub(crate) fn glue(&self, parent: &Name, cut: &Name, host: &Name) -> Vec<IpAddr> {
        if let Some(given) = self.glue.get(&(cut.clone(), host.clone())) {
            return given.clone();
        }
        // In-domain and sibling glue (RFC 9471): what lies below the parent's own apex.
        match self.hosts.get(host) {
            Some(addresses) if host.ends_with(parent) => addresses.clone(),
            _ => Vec::new(),
        }
    }

    fn register(&mut self, plan: &Plan) {
        for (host, addresses) in &plan.servers {
            let known = self.hosts.entry(host.clone()).or_default();
            for address in addresses {
                if !known.contains(address) {
                    known.push(*address);
                }
            }
        }
    }

    fn zone(&self, plan: &Plan, plans: &[Plan], declared: &Declared) -> Result<Zone, Mistake> {
        let spec = plan.spec.map(|index| &declared.zones[index]);
        let mut zone = Zone::new(plan.apex.clone(), spec.map(|s| s.name.clone()));
        let ttl = spec
            .and_then(|s| s.ns_ttl)
            .map_or(NS_TTL, |span| span.ttl());
        if let Some(spec) = spec {
            for line in &spec.records {
                let rr = record(line, &plan.apex, &declared.tlds)
                    .map_err(|e| Mistake::new(line, format!("zone `{}`: {e}", spec.name)))?;
                zone.add(rr);
            }
        }
        self.add_hosts(&mut zone, plan, plans);
        use domain::base::iana::Rtype;
        if zone.set(&plan.apex, Rtype::NS).is_empty() {
            for host in ns_names(plan, spec)? {
                zone.add(Rr::ns(&plan.apex, ttl, &host));
            }
        }
        if zone.set(&plan.apex, Rtype::SOA).is_empty() {
            zone.add(soa(plan, spec)?);
        }
        zone.signing = match spec {
            Some(spec) => declared.signing(spec)?,
            None => is_registry(&plan.apex).then(|| declared.registry(&plan.apex)),
        };
        Ok(zone)
    }

    /// Address records of the name servers whose names lie in this zone.
    fn add_hosts(&self, zone: &mut Zone, plan: &Plan, plans: &[Plan]) {
        let owned: BTreeSet<Name> = plan.servers.iter().map(|(host, _)| host.clone()).collect();
        for (host, addresses) in &self.hosts {
            let home = plans
                .iter()
                .filter(|p| p.delegated && host.ends_with(&p.apex))
                .max_by_key(|p| p.apex.label_count());
            let here = home.is_some_and(|home| home.apex == plan.apex) && plan.delegated;
            let own = owned.contains(host) && host.ends_with(&plan.apex) && !plan.delegated;
            // What the scenario says of the name itself goes first: an alias, other addresses.
            if (here || own) && !zone.has(host) {
                for address in addresses {
                    zone.add(Rr::address(host, NS_TTL, *address));
                }
            }
        }
    }

    /// NS sets and DS records at the parents' side of each cut.
    fn delegate(&mut self, plans: &[Plan], declared: &Declared) -> Result<(), Mistake> {
        let mut sets: BTreeMap<Name, (Vec<Name>, u32)> = BTreeMap::new();
        for plan in plans.iter().filter(|p| p.delegated && !p.apex.is_root()) {
            let spec = plan.spec.map(|index| &declared.zones[index]);
            let ttl = spec
                .and_then(|s| s.ns_ttl)
                .map_or(NS_TTL, |span| span.ttl());
            let names = plan.servers.iter().map(|(host, _)| host.clone()).collect();
            sets.insert(plan.apex.clone(), (names, ttl));
        }
        for (apex, (names, ttl)) in &declared.delegation {
            let old = sets.get(apex).map_or(NS_TTL, |(_, ttl)| *ttl);
            sets.insert(apex.clone(), (names.clone(), ttl.unwrap_or(old)));
        }
        self.take_glue(declared)?;
        let mut signed = declared.ds.clone();
        for plan in plans
            .iter()
            .filter(|p| p.spec.is_none() && is_registry(&p.apex))
        {
            let ds = ds_text(&plan.apex, &declared.registry(&plan.apex).ksk);
            signed.entry(plan.apex.clone()).or_insert(vec![ds]);
        }
        for (apex, (names, ttl)) in &sets {
            let parents = self.parents(apex, plans);
            for index in parents {
                for host in names {
                    self.zones[index].add(Rr::ns(apex, *ttl, host));
                }
                for ds in signed.get(apex).into_iter().flatten() {
                    let line = format!("{} {ttl} DS {ds}", apex.fmt_with_dot());
                    let above = self.zones[index].apex.clone();
                    let rr = record(&line, &above, &declared.tlds)
                        .map_err(|e| Mistake::new(ds, format!("ds of `{apex}`: {e}")))?;
                    self.zones[index].add(rr);
                }
            }
        }
        Ok(())
    }

    fn take_glue(&mut self, declared: &Declared) -> Result<(), Mistake> {
        for spec in &declared.zones {
            let apex = named(&spec.apex)?;
            for (host, Addresses(addresses)) in &spec.glue {
                self.glue
                    .insert((apex.clone(), named(host)?), addresses.clone());
            }
        }
        Ok(())
    }

    /// The zones with the deepest apex above a name.
    fn parents(&self, apex: &Name, plans: &[Plan]) -> Vec<usize> {
        let above = |plan: &&Plan| plan.apex != *apex && apex.ends_with(&plan.apex);
        let Some(nearest) = plans
            .iter()
            .filter(|p| p.delegated)
            .filter(above)
            .max_by_key(|p| p.apex.label_count())
        else {
            return Vec::new();
        };
        (0..plans.len())
            .filter(|index| plans[*index].apex == nearest.apex)
            .collect()
    }
}

/// The root and the top-level domains are signed in every world.
pub(super) fn is_registry(apex: &Name) -> bool {
    // The root label counts too.
    apex.label_count() <= 2
}

pub(crate) fn named(text: &str) -> Result<Name, Mistake> {
    name(text).map_err(|e| Mistake::new(text, e))
}

fn declared_plans(declared: &Declared) -> Result<Vec<Plan>, Mistake> {
    let mut plans: Vec<Plan> = Vec::new();
    for (index, spec) in declared.zones.iter().enumerate() {
        let apex = named(&spec.apex)?;
        if apex.is_root() {
            let message = format!("zone `{}`: the root exists by itself", spec.name);
            return Err(Mistake::new(&spec.name, message));
        }
        let delegated = !spec.undelegated;
        if delegated && plans.iter().any(|p| p.delegated && p.apex == apex) {
            let message = format!(
                "zone `{}`: another zone with the apex `{}` is delegated too; mark one `undelegated: true`",
                spec.name, spec.apex
            );
            return Err(Mistake::new(&spec.name, message));
        }
        let mut servers = Vec::new();
        for (host, Addresses(addresses)) in &spec.servers {
            servers.push((named(host)?, addresses.clone()));
        }
        plans.push(Plan {
            spec: Some(index),
            apex,
            servers,
            delegated,
        });
    }
    Ok(plans)
}

/// The root, the zone of its servers' names, and every top-level domain.
fn add_tlds(plans: &mut Vec<Plan>, declared: &Declared) -> Result<(), Mistake> {
    let mut roots = Vec::new();
    for (host, addresses) in root_servers() {
        roots.push((named(&host)?, addresses.to_vec()));
    }
    let mut gtlds = Vec::new();
    for (host, addresses) in TLD_SERVERS {
        gtlds.push((
            named(host)?,
            addresses.iter().map(|a| fixed(a)).collect::<Vec<_>>(),
        ));
    }
    let mut add = |apex: Name, servers: Vec<(Name, Vec<IpAddr>)>| {
        if !plans.iter().any(|p| p.delegated && p.apex == apex) {
            plans.push(Plan {
                spec: None,
                apex,
                servers,
                delegated: true,
            });
        }
    };
    add(Name::root_bytes(), roots.clone());
    add(named("root-servers.net")?, roots);
    add(named("gtld-servers.net")?, gtlds.clone());
    for tld in TLDS {
        add(named(tld)?, gtlds.clone());
    }
    let mut subnet = 16;
    for tld in &declared.tlds {
        let mut servers = Vec::new();
        for letter in ["a", "b"] {
            let (v4, v6) = free(declared, &mut subnet);
            servers.push((named(&format!("{letter}.nic.{tld}"))?, vec![v4, v6]));
        }
        add(named(tld)?, servers);
    }
    Ok(())
}

/// Addresses for servers that exist by themselves, away from everything declared.
fn free(declared: &Declared, subnet: &mut u8) -> (IpAddr, IpAddr) {
    loop {
        let v4 = IpAddr::from([194, 146, *subnet, 53]);
        let v6 = IpAddr::from([0x2001, 0x67c, 0x1010, u16::from(*subnet), 0, 0, 0, 0x53]);
        *subnet = subnet.wrapping_add(1);
        let used = |address: &IpAddr| {
            let servers = declared.zones.iter().flat_map(|z| z.servers.values());
            declared.taken.contains(address)
                || servers
                    .into_iter()
                    .any(|Addresses(all)| all.contains(address))
        };
        if !used(&v4) && !used(&v6) {
            return (v4, v6);
        }
    }
}

/// Zones that hold servers' names and are not declared: served by a place of their own, so that a
/// fault of the servers does not hide their names.
fn add_homes(plans: &mut Vec<Plan>, declared: &Declared) {
    let apexes: Vec<Name> = plans
        .iter()
        .filter(|p| p.delegated)
        .map(|p| p.apex.clone())
        .collect();
    let hosts: BTreeSet<Name> = plans
        .iter()
        .flat_map(|p| &p.servers)
        .filter(|(_, addresses)| !addresses.is_empty())
        .map(|(host, _)| host.clone())
        .collect();
    let mut homes = BTreeSet::new();
    for host in &hosts {
        let above = ancestors(host, &Name::root_bytes());
        let covered = |apex: &&Name| apex.label_count() > 2 && host.ends_with(*apex);
        // Root label and top-level domain count two: the registrable name has three.
        let registrable = above.iter().find(|n| n.label_count() == 3);
        match registrable {
            Some(apex) if !apexes.iter().any(|known| covered(&known)) => homes.insert(apex.clone()),
            _ => false,
        };
    }
    let mut subnet = 96;
    let (first, _) = free(declared, &mut subnet);
    let (second, _) = free(declared, &mut subnet);
    for apex in homes {
        let mut servers = Vec::new();
        for (label, address) in [("dns-one", first), ("dns-two", second)] {
            let text = format!("{label}.{}", apex.fmt_with_dot());
            if let Ok(host) = Name::bytes_from_str(&text) {
                servers.push((host, vec![address]));
            }
        }
        plans.push(Plan {
            spec: None,
            apex,
            servers,
            delegated: true,
        });
    }
}

fn ns_names(plan: &Plan, spec: Option<&ZoneSpec>) -> Result<Vec<Name>, Mistake> {
    match spec.and_then(|s| s.ns.as_ref()) {
        Some(names) => names.iter().map(|n| named(n)).collect(),
        None => Ok(plan.servers.iter().map(|(host, _)| host.clone()).collect()),
    }
}

fn soa(plan: &Plan, spec: Option<&ZoneSpec>) -> Result<Rr, Mistake> {
    let fields = spec.and_then(|s| s.soa.clone()).unwrap_or_default();
    let SoaSpec {
        mname,
        rname,
        refresh,
        retry,
        expire,
        minimum,
    } = fields;
    let mname = match (mname, plan.servers.first()) {
        (Some(text), _) => named(&text)?,
        (None, Some((host, _))) => host.clone(),
        (None, None) => plan.apex.clone(),
    };
    let rname = match rname {
        Some(text) => named(&text)?,
        None => {
            let text = format!("hostmaster.{}", plan.apex.fmt_with_dot());
            let text = if plan.apex.is_root() {
                "hostmaster.".to_owned()
            } else {
                text
            };
            named(&text)?
        }
    };
    let timer = |given: Option<crate::scenario::Span>, index: usize| {
        given.map_or(SOA_TIMERS[index], crate::scenario::Span::ttl)
    };
    let soa = SoaFields {
        mname,
        rname,
        serial: spec.and_then(|s| s.serial).unwrap_or(1),
        refresh: timer(refresh, 0),
        retry: timer(retry, 1),
        expire: timer(expire, 2),
        minimum: timer(minimum, 3),
    };
    Ok(Rr::new(plan.apex.clone(), SOA_TTL, soa.data()))
}
