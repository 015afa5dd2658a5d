//! The world of one scenario: what is declared, what exists because of it, and how it changes.
//!
//! Pure but for the clock that [`Clock`] may read: sockets stand in [`crate::dns`] and
//! [`crate::service`].

pub(crate) mod path;
pub(crate) mod roots;
pub(crate) mod signed;
mod tlds;
pub(crate) mod topology;
pub(crate) mod vantages;
pub(crate) mod zone;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_model::ResolverAddress;
use domain::base::iana::Rtype;

use crate::clock::Clock;
use crate::dns::authority::{Authorities, Behaviour, CONTROL_ZONE};
use crate::dns::recursor::Recursor;
use crate::dns::{Manner, Reaction, Transport};
use crate::scenario::software::DNS_PORT;
use crate::scenario::{
    Addresses, Answers, ControlsSpec, Delegation, HostPatch, HostSpec, Hostile, Moment,
    ResolverPlace, ResolverPort, ResolverSpec, ResolverWords, ServerWords, SetSpec, SignaturesSpec,
    SignerWord, Software, Spec, ZonePatch, ZoneSpec,
};
use crate::sign::key::Keys;
use crate::target::target_host;
use path::Path;
use roots::{CONTROL_RESOLVERS, fixed};
pub(crate) use tlds::tlds;
use topology::{Declared, Mistake, Topology, named};
use vantages::Vantages;
use zone::Name;

/// The world, shared by its servers.
pub(crate) type Shared = Arc<Mutex<World>>;

/// The world behind a lock. A panic of one server leaves it as it was for the others.
pub(crate) fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The world of one scenario.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    /// Hosts by address and port.
    pub(crate) hosts: BTreeMap<SocketAddr, HostSpec>,
    declared: Declared,
    /// The first version of each zone, for servers that answer from an old one.
    first: BTreeMap<String, ZoneSpec>,
    authorities: Authorities,
    recursors: BTreeMap<IpAddr, Recursor>,
    /// The path to port 53 of everybody.
    pub(crate) path: Path,
    /// Resolvers over TLS and HTTPS, each with the port that it stands at.
    secure: BTreeMap<SocketAddr, (Recursor, ResolverPort)>,
    /// Vantages, and what becomes of their packets.
    pub(crate) vantages: Vantages,
    /// What vantages are answered, where that is not what everybody is.
    views: BTreeMap<String, Authorities>,
    /// Answers in place of every DNS server.
    interceptor: Option<Recursor>,
    seed: u64,
    /// Real servers in the place of scripted ones.
    software: BTreeMap<SocketAddr, Software>,
}

impl World {
    /// Builds the world of a scenario, as it is before the first step.
    pub(crate) fn build(spec: &Spec, clock: Clock, seed: u64) -> Result<Self, Mistake> {
        let mut world = Self {
            clock,
            hosts: BTreeMap::new(),
            declared: Declared {
                tlds: tlds(spec),
                keys: Keys::new(seed),
                begun: clock.now().as_second(),
                ..Declared::default()
            },
            first: BTreeMap::new(),
            authorities: Authorities::default(),
            recursors: BTreeMap::new(),
            path: Path::default(),
            secure: BTreeMap::new(),
            vantages: Vantages::new(spec),
            views: BTreeMap::new(),
            interceptor: None,
            seed,
            software: BTreeMap::new(),
        };
        world.path.change(&spec.world.path);
        world.authorities.delay = spec.world.delay.map_or(Duration::ZERO, |span| span.0);
        for zone in &spec.world.zones {
            let zone = ZoneSpec {
                serial: Some(zone.serial.unwrap_or(1)),
                signatures: zone.signatures.clone().map(|s| world.dated(s)),
                ..zone.clone()
            };
            world.set_signer(&zone.name, zone.signer);
            world.first.insert(zone.name.clone(), zone.clone());
            world.declared.zones.push(zone);
        }
        world.add_hosts(&spec.world.hosts)?;
        world.add_resolvers(&spec.world.resolvers, seed)?;
        for (apex, delegation) in &spec.world.delegation {
            world.delegate(apex, delegation)?;
        }
        world.rebuild()?;
        for (server, words) in &spec.world.servers {
            world.set_server(server, words)?;
        }
        world.rebuild()?;
        for (place, software) in &spec.world.software {
            for at in world.places(place)? {
                world.software.insert(at, *software);
            }
        }
        crate::real::check(&world)?;
        world.warm(spec);
        Ok(world)
    }

    fn add_hosts(&mut self, hosts: &[HostSpec]) -> Result<(), Mistake> {
        for host in hosts {
            for address in &host.address.0 {
                let at = SocketAddr::new(*address, host.port);
                if self.hosts.insert(at, host.clone()).is_some() {
                    let word = address.to_string();
                    return Err(Mistake::new(&word, format!("two hosts stand at {at}")));
                }
                self.declared.taken.insert(*address);
            }
        }
        Ok(())
    }

    fn add_resolvers(&mut self, resolvers: &[ResolverSpec], seed: u64) -> Result<(), Mistake> {
        for address in CONTROL_RESOLVERS.iter().map(|text| fixed(text)) {
            self.recursors.insert(address, Recursor::new(address, seed));
        }
        let mut seen = BTreeSet::new();
        for spec in resolvers {
            let ResolverSpec {
                address,
                cache,
                age: _,
                validates,
                edns,
                answers,
                bug,
                delay,
                hostile,
                checks_case,
                tls,
                http,
                port,
                serve_stale,
                ttl_floor,
                injected,
                system: _,
                from: _,
            } = spec;
            let ResolverPlace(place) = address;
            if !seen.insert(place.address) {
                return Err(Mistake::new(
                    &place.text,
                    format!("two resolvers stand at {}", place.address),
                ));
            }
            let mut recursor = Recursor::new(place.address.ip(), seed);
            recursor.change(&ResolverWords {
                answers: answers.clone(),
                delay: *delay,
                edns: *edns,
                cache: *cache,
                validates: *validates,
                bug: Some(bug.clone()),
                hostile: Some(*hostile),
                checks_case: *checks_case,
                serve_stale: *serve_stale,
                ttl_floor: *ttl_floor,
                injected: Some(injected.clone()),
                ..ResolverWords::default()
            });
            self.declared.taken.insert(place.address.ip());
            if place.channel.is_plain() {
                self.recursors.insert(place.address.ip(), recursor);
            } else {
                let port = ResolverPort::new(&place.channel, tls.clone(), http.clone(), *port);
                self.secure.insert(place.address, (recursor, port));
            }
        }
        Ok(())
    }

    /// Fills caches that are older than the first step.
    fn warm(&mut self, spec: &Spec) {
        let hosts = spec.services.iter().filter_map(target_host);
        let names: Vec<Name> = hosts.filter_map(|host| zone::name(&host).ok()).collect();
        for resolver in &spec.world.resolvers {
            let then = resolver
                .age
                .and_then(|age| self.clock.now().checked_sub(age.0).ok());
            let ResolverPlace(place) = &resolver.address;
            let recursor = if place.channel.is_plain() {
                self.recursors.get_mut(&place.address.ip())
            } else {
                self.secure.get_mut(&place.address).map(|(r, _)| r)
            };
            if let (Some(then), Some(recursor)) = (then, recursor) {
                let authorities = seen(
                    &self.views,
                    &self.authorities,
                    self.vantages.at(place.address.ip()),
                );
                recursor.warm(authorities, &names, then);
            }
        }
    }

    /// Changes the world as a `set` step says.
    pub(crate) fn set(&mut self, set: &SetSpec) -> Result<(), Mistake> {
        let SetSpec {
            delegation,
            ds,
            zones,
            servers,
            resolvers,
            hosts,
            interceptor,
            controls,
            path,
            vantages,
            disk: _,
        } = set;
        for (name, patch) in vantages {
            self.vantages.change(name, patch, self.seed)?;
        }
        if let Some(path) = path {
            self.path.change(path);
        }
        for (apex, delegation) in delegation {
            self.delegate(apex, delegation)?;
        }
        for (label, patch) in zones {
            self.set_zone(label, patch)?;
        }
        for (apex, words) in ds {
            self.declared.set_ds(apex, words)?;
        }
        for (address, patch) in hosts {
            self.set_host(address, patch)?;
        }
        self.rebuild()?;
        for (server, words) in servers {
            self.set_server(server, words)?;
        }
        for (address, words) in resolvers {
            self.set_resolver(address, words)?;
        }
        if let Some(words) = interceptor {
            let address = IpAddr::from([0, 0, 0, 0]);
            let mut proxy = Recursor::new(address, self.seed);
            proxy.change(&words.clone().unwrap_or_default());
            self.interceptor = words.is_some().then_some(proxy);
        }
        if let Some(controls) = controls {
            self.set_controls(controls)?;
        }
        self.rebuild()?;
        crate::real::check(self)
    }

    /// A place of a server, resolver or host.
    fn places(&self, place: &str) -> Result<Vec<SocketAddr>, Mistake> {
        if let Ok(at) = place.parse() {
            return Ok(vec![at]);
        }
        let addresses = match place.parse() {
            Ok(address) => vec![address],
            Err(_) => self.server_addresses(place)?,
        };
        let at = |address: &IpAddr| SocketAddr::new(*address, DNS_PORT);
        Ok(addresses.iter().map(at).collect())
    }

    /// Real servers in the place of scripted ones.
    pub(crate) fn software(&self) -> &BTreeMap<SocketAddr, Software> {
        &self.software
    }

    pub(crate) fn recursor(&self, address: IpAddr) -> Option<&Recursor> {
        self.recursors.get(&address)
    }

    /// The zones of a server as they are.
    pub(crate) fn zones_at(&self, address: IpAddr) -> Vec<&zone::Zone> {
        let topology = &self.authorities.topology;
        let indexes = topology.at.get(&address).map_or(&[][..], Vec::as_slice);
        indexes
            .iter()
            .map(|index| &topology.zones[*index])
            .collect()
    }

    /// The zones of a server in the version that it has.
    pub(crate) fn versions_at(&self, address: IpAddr) -> Vec<Cow<'_, zone::Zone>> {
        let behaviour = self.server_behaviour(address);
        self.authorities.zones(address, &behaviour.answers)
    }

    /// How a server or resolver behaves.
    pub(crate) fn server_behaviour(&self, address: IpAddr) -> Behaviour {
        match self.recursors.get(&address) {
            Some(recursor) => recursor.behaviour.clone(),
            None => self.authorities.behaviour(address),
        }
    }

    fn delegate(&mut self, apex: &str, delegation: &Delegation) -> Result<(), Mistake> {
        let mut names = Vec::new();
        for host in &delegation.names {
            names.push(named(host)?);
        }
        let ttl = delegation.ttl.map(|span| span.ttl());
        self.declared.delegation.insert(named(apex)?, (names, ttl));
        Ok(())
    }

    /// Words about signatures, with their moments as of the calendar.
    fn dated(&self, words: SignaturesSpec) -> SignaturesSpec {
        let now = self.clock.now();
        let date = |moment: Moment| {
            let at = jiff::Timestamp::from_second(moment.second(now));
            Moment::At(at.unwrap_or(now))
        };
        SignaturesSpec {
            inception: words.inception.map(date),
            expiration: words.expiration.map(date),
            only: words.only,
        }
    }

    /// A signer stops with the signatures that it made last.
    fn set_signer(&mut self, label: &str, word: Option<SignerWord>) {
        match word {
            None => {}
            Some(SignerWord::Running) => {
                self.declared.stopped.remove(label);
            }
            Some(SignerWord::Stopped) => {
                let now = self.clock.now().as_second();
                let last = self.declared.signer(label).signed_at(now);
                self.declared.stopped.insert(label.to_owned(), last);
            }
        }
    }

    fn set_zone(&mut self, label: &str, patch: &ZonePatch) -> Result<(), Mistake> {
        let signatures = patch.signatures.clone().map(|words| self.dated(words));
        let known = self.declared.zones.iter_mut().find(|z| z.name == label);
        let Some(zone) = known else {
            return Err(Mistake::new(label, format!("there is no zone `{label}`")));
        };
        let ZonePatch {
            servers,
            records,
            records_for,
            undelegated,
            signed,
            algorithm,
            keys,
            ksk_rolls,
            zsk_rolls,
            signer,
            signatures: _,
            altered,
            without_rrsig,
            denial,
            denial_fault,
            decoy_keys,
            cds,
            ns,
            ns_ttl,
            serial,
            soa,
            glue,
        } = patch.clone();
        let edited = records.is_some() || records_for.is_some() || ns.is_some() || soa.is_some();
        let next = zone.serial.map_or(1, |serial| serial.wrapping_add(1));
        zone.serial = serial.or(if edited { Some(next) } else { zone.serial });
        zone.servers = servers.unwrap_or_else(|| zone.servers.clone());
        zone.records = records.unwrap_or_else(|| zone.records.clone());
        zone.records_for = records_for.unwrap_or_else(|| zone.records_for.clone());
        zone.undelegated = undelegated.unwrap_or(zone.undelegated);
        zone.signed = signed.unwrap_or(zone.signed);
        zone.algorithm = algorithm.or(zone.algorithm);
        zone.keys = keys.or(zone.keys);
        zone.ksk_rolls = ksk_rolls.or(zone.ksk_rolls);
        zone.zsk_rolls = zsk_rolls.or(zone.zsk_rolls);
        zone.signer = signer.or(zone.signer);
        zone.signatures = signatures.or_else(|| zone.signatures.clone());
        zone.altered = altered.or_else(|| zone.altered.clone());
        zone.without_rrsig = without_rrsig.or_else(|| zone.without_rrsig.clone());
        zone.denial = denial.or_else(|| zone.denial.clone());
        zone.denial_fault = denial_fault.or(zone.denial_fault);
        zone.decoy_keys = decoy_keys.or(zone.decoy_keys);
        zone.cds = cds.or(zone.cds);
        zone.ns = ns.or_else(|| zone.ns.clone());
        zone.ns_ttl = ns_ttl.or(zone.ns_ttl);
        zone.soa = soa.or_else(|| zone.soa.clone());
        zone.glue = glue.unwrap_or_else(|| zone.glue.clone());
        self.set_signer(label, signer);
        Ok(())
    }

    fn set_server(&mut self, server: &str, words: &ServerWords) -> Result<(), Mistake> {
        let addresses = self.server_addresses(server)?;
        for address in addresses {
            let behaviour = self.authorities.behaviour.entry(address).or_default();
            behaviour.change(words);
        }
        Ok(())
    }

    /// A server by its address or its name.
    fn server_addresses(&self, server: &str) -> Result<Vec<IpAddr>, Mistake> {
        let topology = &self.authorities.topology;
        let found = match server.parse::<IpAddr>() {
            Ok(address) => topology.at.contains_key(&address).then(|| vec![address]),
            Err(_) => topology
                .hosts
                .get(&named(server)?)
                .cloned()
                .filter(|all| !all.is_empty()),
        };
        found.ok_or_else(|| {
            Mistake::new(
                server,
                format!("no zone of the scenario has a server `{server}`"),
            )
        })
    }

    fn set_resolver(&mut self, text: &str, words: &ResolverWords) -> Result<(), Mistake> {
        let missing = || Mistake::new(text, format!("there is no resolver `{text}`"));
        let place: ResolverAddress = text.parse().map_err(|_| missing())?;
        if place.channel.is_plain() {
            let known = self.recursors.get_mut(&place.address.ip());
            known.ok_or_else(missing)?.change(words);
            return Ok(());
        }
        let known = self.secure.get_mut(&place.address).ok_or_else(missing)?;
        known.0.change(words);
        let port = &mut known.1;
        if let Some(new) = &words.tls {
            port.tls = port.tls.clone().patched(new.clone());
        }
        port.http = words.http.clone().unwrap_or_else(|| port.http.clone());
        port.tcp = words.port.unwrap_or(port.tcp);
        Ok(())
    }

    fn set_host(&mut self, key: &str, patch: &HostPatch) -> Result<(), Mistake> {
        let places: Vec<SocketAddr> = match (key.parse::<SocketAddr>(), key.parse::<IpAddr>()) {
            (Ok(at), _) => vec![at],
            (Err(_), Ok(address)) => self
                .hosts
                .keys()
                .filter(|at| at.ip() == address)
                .copied()
                .collect(),
            (Err(_), Err(_)) => {
                let message = format!(
                    "`{key}` is no place of a host; write `192.0.2.1:443` or `[2001:db8::1]:443`"
                );
                return Err(Mistake::new(key, message));
            }
        };
        if places.is_empty() {
            return Err(Mistake::new(key, format!("there is no host at `{key}`")));
        }
        for at in places {
            let host = self.hosts.entry(at).or_insert_with(|| new_host(at));
            patch_host(host, patch);
            self.declared.taken.insert(at.ip());
        }
        Ok(())
    }

    /// Root servers' names fail as told, while the root itself goes on; the public resolvers
    /// fail whole.
    fn set_controls(&mut self, controls: &ControlsSpec) -> Result<(), Mistake> {
        match controls {
            ControlsSpec::All(words) => {
                self.authorities
                    .controls
                    .get_or_insert_default()
                    .change(words);
                for address in CONTROL_RESOLVERS.iter().map(|text| fixed(text)) {
                    self.set_control(address, words);
                }
            }
            ControlsSpec::Each(each) => {
                for (control, words) in each {
                    let body = control.trim_end_matches('.').to_ascii_lowercase();
                    if body.ends_with(CONTROL_ZONE) {
                        self.authorities
                            .controls
                            .get_or_insert_default()
                            .change(words);
                        continue;
                    }
                    let addresses = match control.parse() {
                        Ok(address) => vec![address],
                        Err(_) => self.server_addresses(control)?,
                    };
                    for address in addresses {
                        self.set_control(address, words);
                    }
                }
            }
        }
        Ok(())
    }

    fn set_control(&mut self, address: IpAddr, words: &ServerWords) {
        match self.recursors.get_mut(&address) {
            Some(recursor) => recursor.behaviour.change(words),
            None => self
                .authorities
                .behaviour
                .entry(address)
                .or_default()
                .change(words),
        }
    }

    /// Builds everything anew from what is declared.
    fn rebuild(&mut self) -> Result<(), Mistake> {
        self.declared.publish_ds()?;
        self.authorities.topology = Topology::build(&self.declared)?;
        let both = self
            .recursors
            .keys()
            .find(|a| self.authorities.topology.at.contains_key(a));
        if let Some(address) = both {
            let message = format!("{address} is a resolver, and cannot serve a zone too");
            return Err(Mistake::new(&address.to_string(), message));
        }
        self.authorities.stale = self.stale()?;
        self.views = self.views()?;
        Ok(())
    }

    /// What vantages are answered that have records of their own.
    fn views(&self) -> Result<BTreeMap<String, Authorities>, Mistake> {
        let mut views = BTreeMap::new();
        for name in vantages::viewers(&self.declared.zones) {
            let mut declared = self.declared.clone();
            for zone in &mut declared.zones {
                *zone = vantages::view(zone, &name);
            }
            let mut view = self.authorities.clone();
            view.topology = Topology::build(&declared)?;
            views.insert(name, view);
        }
        Ok(views)
    }

    /// Old versions of zones, for the servers that answer from them.
    fn stale(&self) -> Result<BTreeMap<IpAddr, BTreeMap<usize, zone::Zone>>, Mistake> {
        let mut all = BTreeMap::new();
        for (address, Behaviour { answers, .. }) in &self.authorities.behaviour {
            let Answers::Stale(words) = answers else {
                continue;
            };
            let topology = &self.authorities.topology;
            let indexes = topology.at.get(address).map_or(&[][..], Vec::as_slice);
            let mut older = BTreeMap::new();
            for index in indexes {
                let Some(label) = &topology.zones[*index].label else {
                    continue;
                };
                let first = self.first.get(label);
                let named = words.zone.as_ref().is_none_or(|zone| zone == label);
                if let Some(first) = first.filter(|_| named) {
                    let mut spec = first.clone();
                    spec.serial = words.serial.or(first.serial);
                    spec.records = words
                        .records
                        .clone()
                        .unwrap_or_else(|| first.records.clone());
                    let age = words.age.map_or(0, |age| age.0.as_secs().cast_signed());
                    let signed = self.declared.begun - age;
                    let version = Topology::version(&self.declared, &spec, signed)?;
                    older.insert(*index, version);
                }
            }
            all.insert(*address, older);
        }
        Ok(all)
    }

    /// What the DNS server at an address does with a question that comes from another one.
    pub(crate) fn react(
        &mut self,
        (address, from): (IpAddr, IpAddr),
        question: (&Name, Rtype),
        manner: Manner,
    ) -> Reaction {
        let now = self.clock.now();
        let asks = match self.recursors.contains_key(&address) {
            true => address,
            false => from,
        };
        let view = self.vantages.at(asks).map(str::to_owned);
        let authorities = seen(&self.views, &self.authorities, view.as_deref());
        let own = self.vantages.interceptor(from);
        let interceptor = own.or(self.interceptor.as_mut());
        match interceptor.or_else(|| self.recursors.get_mut(&address)) {
            Some(recursor) => recursor.react(authorities, question, manner, now),
            None => authorities.react(address, question, manner, now.as_second()),
        }
    }

    /// What the resolver over TLS or HTTPS at a port does with a question.
    pub(crate) fn react_secure(
        &mut self,
        at: SocketAddr,
        question: (&Name, Rtype),
        manner: Manner,
    ) -> Reaction {
        let now = self.clock.now();
        match self.secure.get_mut(&at) {
            Some((recursor, _)) => {
                let authorities = seen(&self.views, &self.authorities, self.vantages.at(at.ip()));
                recursor.react(authorities, question, manner, now)
            }
            None => Reaction::Silent,
        }
    }

    /// What the server or resolver at an address sends instead of answers.
    pub(crate) fn hostile(&self, address: IpAddr) -> Option<Hostile> {
        match self.recursors.get(&address) {
            Some(recursor) => recursor.behaviour.hostile,
            None => self.authorities.behaviour.get(&address)?.hostile,
        }
    }

    /// The ports of resolvers over TLS and HTTPS.
    pub(crate) fn secure_ports(&self) -> Vec<(SocketAddr, ResolverPort)> {
        let ports = self.secure.iter();
        ports.map(|(at, (_, port))| (*at, port.clone())).collect()
    }

    /// The root's key, as a trust anchor.
    pub(crate) fn root_key(&self) -> String {
        signed::root_key(&self.declared.keys)
    }

    /// A key that the root does not have, as a trust anchor.
    pub(crate) fn other_root_key(&self) -> String {
        signed::other_root_key(&self.declared.keys)
    }

    /// Delay of scripted servers that have none of their own.
    pub(crate) fn delay(&self) -> Duration {
        self.authorities.delay
    }

    /// Every address that something stands at, and those of them that do not answer echo requests.
    pub(crate) fn echo_addresses(&self) -> (BTreeSet<IpAddr>, BTreeSet<IpAddr>) {
        let servers = self
            .authorities
            .topology
            .at
            .keys()
            .chain(self.recursors.keys());
        let secure = self.secure.keys().map(SocketAddr::ip);
        let all = self
            .hosts
            .keys()
            .map(SocketAddr::ip)
            .chain(servers.copied())
            .chain(secure)
            .collect();
        let silent = |host: &HostSpec| host.icmp == Some(crate::scenario::IcmpWord::Silent);
        let silenced = self.hosts.iter().filter(|(_, host)| silent(host));
        (all, silenced.map(|(at, _)| at.ip()).collect())
    }

    /// Where DNS servers listen, and whether they keep silent over TCP.
    pub(crate) fn dns_addresses(&self) -> Vec<(IpAddr, bool)> {
        let authorities = self.authorities.topology.at.keys().map(|address| {
            (
                *address,
                self.path.is_silent(Transport::Tcp)
                    || self
                        .authorities
                        .behaviour(*address)
                        .is_silent(Transport::Tcp),
            )
        });
        let recursors = self.recursors.values().map(|r| {
            let silent = self.path.is_silent(Transport::Tcp);
            (r.address, silent || r.behaviour.is_silent(Transport::Tcp))
        });
        let scripted = |(address, _): &(IpAddr, bool)| {
            !self
                .software
                .contains_key(&SocketAddr::new(*address, DNS_PORT))
        };
        authorities.chain(recursors).filter(scripted).collect()
    }

    /// Hosts that are scripted.
    pub(crate) fn scripted_hosts(&self) -> BTreeMap<SocketAddr, HostSpec> {
        let mut hosts = self.hosts.clone();
        hosts.retain(|at, _| !self.software.contains_key(at));
        hosts
    }
}

/// What is answered to a vantage.
fn seen<'a>(
    views: &'a BTreeMap<String, Authorities>,
    usual: &'a Authorities,
    vantage: Option<&str>,
) -> &'a Authorities {
    vantage.and_then(|name| views.get(name)).unwrap_or(usual)
}

fn new_host(at: SocketAddr) -> HostSpec {
    HostSpec {
        address: Addresses(vec![at.ip()]),
        port: at.port(),
        tcp: None,
        tls: None,
        http: None,
        peer: None,
        sometimes: None,
        h2: None,
        raw: None,
        path_mtu: None,
        icmp: None,
        delay: None,
    }
}

/// Changes what a patch gives, also inside `tls` and `http`.
fn patch_host(host: &mut HostSpec, patch: &HostPatch) {
    let HostPatch {
        tcp,
        tls,
        http,
        peer,
        sometimes,
        h2,
        raw,
        path_mtu,
        icmp,
        delay,
    } = patch.clone();
    host.h2 = h2.or(host.h2);
    host.path_mtu = path_mtu.or(host.path_mtu);
    if raw.is_some() || http.is_some() {
        host.raw = raw;
    }
    host.tcp = tcp.or(host.tcp);
    host.icmp = icmp.or(host.icmp);
    host.delay = delay.or(host.delay);
    host.peer = peer.or_else(|| host.peer.take());
    host.sometimes = sometimes.or_else(|| host.sometimes.take());
    if let Some(new) = tls {
        host.tls = Some(host.tls.take().unwrap_or_default().patched(new));
    }
    if let Some(new) = http {
        host.http = Some(host.http.take().unwrap_or_default().patched(new));
    }
}

#[cfg(test)]
mod tests;
