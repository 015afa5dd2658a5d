//! What one zone holds, and how a name is looked up in it.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::base::iana::Rtype;
use domain::base::name::FlattenInto;
use domain::base::{Record, Ttl};
use domain::rdata::{A, Aaaa, Cname, Ns, Soa, ZoneRecordData};
use domain::zonefile::inplace::{Entry, Zonefile};

use crate::scenario::line::{Line, is_absolute};
use crate::sign::Signing;

/// A domain name.
pub(crate) type Name = domain::base::Name<Bytes>;
/// Record data.
pub(crate) type Data = ZoneRecordData<Bytes, Name>;

/// The records of one owner, by type.
pub(crate) type Sets = BTreeMap<Rtype, Vec<Rr>>;

/// TTL of records that give none, seconds.
const TTL_DEFAULT: u32 = 300;

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rr {
    pub(crate) owner: Name,
    pub(crate) ttl: u32,
    pub(crate) data: Data,
}

impl Rr {
    pub(crate) fn new(owner: Name, ttl: u32, data: impl Into<Data>) -> Self {
        Self {
            owner,
            ttl,
            data: data.into(),
        }
    }

    pub(crate) fn ns(owner: &Name, ttl: u32, target: &Name) -> Self {
        Self::new(owner.clone(), ttl, Ns::new(target.clone()))
    }

    pub(crate) fn address(owner: &Name, ttl: u32, address: std::net::IpAddr) -> Self {
        match address {
            std::net::IpAddr::V4(v4) => Self::new(owner.clone(), ttl, A::new(v4)),
            std::net::IpAddr::V6(v6) => Self::new(owner.clone(), ttl, Aaaa::new(v6)),
        }
    }

    pub(crate) fn rtype(&self) -> Rtype {
        use domain::base::rdata::RecordData;
        self.data.rtype()
    }

    /// The target of an NS or CNAME record.
    pub(crate) fn target(&self) -> Option<&Name> {
        match &self.data {
            Data::Ns(ns) => Some(ns.nsdname()),
            Data::Cname(cname) => Some(Cname::cname(cname)),
            _ => None,
        }
    }

    /// The address of an A or AAAA record.
    pub(crate) fn ip(&self) -> Option<std::net::IpAddr> {
        match &self.data {
            Data::A(a) => Some(a.addr().into()),
            Data::Aaaa(aaaa) => Some(aaaa.addr().into()),
            _ => None,
        }
    }

    /// For the answer section, with another TTL.
    pub(crate) fn record(&self) -> Record<&Name, &Data> {
        Record::new(
            &self.owner,
            domain::base::iana::Class::IN,
            Ttl::from_secs(self.ttl),
            &self.data,
        )
    }
}

/// A name from text, with or without the final dot.
pub(crate) fn name(text: &str) -> Result<Name, String> {
    let model = bellwether_model::DnsName::typed(text).map_err(|e| e.to_string())?;
    Name::bytes_from_str(model.as_str()).map_err(|e| format!("`{text}` is no name: {e}"))
}

/// One record from a line of a zone file.
pub(crate) fn record(text: &str, apex: &Name, tlds: &[String]) -> Result<Rr, String> {
    let mut line = Line::parse(text)?;
    let absolute = |name: &mut String| {
        if name == "@" {
            *name = apex.fmt_with_dot().to_string();
        } else if !name.ends_with('.') && is_absolute(name, tlds.iter().map(String::as_str)) {
            name.push('.');
        }
    };
    // An owner lies in the zone: `www.shop.test` in the zone `cdn.test` can only be below its apex.
    let written = line.owner.clone();
    absolute(&mut line.owner);
    if line.owner != written && !name(&line.owner)?.ends_with(apex) {
        line.owner = written;
    }
    for field in line.name_fields() {
        if let Some(name) = line.data.get_mut(*field) {
            absolute(name);
        }
    }
    let (owner, ttl) = (&line.owner, line.ttl.unwrap_or(TTL_DEFAULT));
    let entry = format!("{owner} {ttl} IN {} {}\n", line.rtype, line.data.join(" "));
    let bad = |e: &dyn std::fmt::Display| format!("record `{text}`: {e}");
    let mut file = Zonefile::from(entry.as_str());
    file.set_origin(apex.clone());
    match file.next_entry() {
        Ok(Some(Entry::Record(found))) => {
            let owner: Name = found.owner().clone().flatten_into();
            if !owner.ends_with(apex) {
                return Err(bad(&format!("`{owner}` is not in the zone `{apex}`")));
            }
            let data: Data = found.data().clone().flatten_into();
            Ok(Rr { owner, ttl, data })
        }
        Ok(_) => Err(bad(&"no record")),
        Err(e) => Err(bad(&e)),
    }
}

/// What a look-up in one zone found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found {
    /// The name is at or below this cut.
    Referral(Vec<Rr>),
    /// Records of the type.
    Answer(Vec<Rr>),
    /// An alias.
    Alias(Rr),
    /// The name exists, the type does not.
    NoData,
    /// The name does not exist.
    NxDomain,
}

/// What one zone holds.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    pub(crate) apex: Name,
    /// The scenario's name for it; `None` for zones that exist by themselves.
    pub(crate) label: Option<String>,
    /// How it is signed; `None` for unsigned zones.
    pub(crate) signing: Option<Signing>,
    sets: BTreeMap<Name, Sets>,
}

impl Zone {
    pub(crate) fn new(apex: Name, label: Option<String>) -> Self {
        Self {
            apex,
            label,
            signing: None,
            sets: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, rr: Rr) {
        let sets = self.sets.entry(rr.owner.clone()).or_default();
        let set = sets.entry(rr.rtype()).or_default();
        if !set.iter().any(|known| known.data == rr.data) {
            set.push(rr);
        }
    }

    pub(crate) fn has(&self, owner: &Name) -> bool {
        self.sets.get(owner).is_some_and(|sets| !sets.is_empty())
    }

    pub(crate) fn set(&self, owner: &Name, rtype: Rtype) -> &[Rr] {
        self.sets
            .get(owner)
            .and_then(|sets| sets.get(&rtype))
            .map_or(&[], Vec::as_slice)
    }

    /// Every owner with its records, in canonical order (RFC 4034 section 6.1).
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&Name, &Sets)> {
        self.sets.iter().filter(|(_, sets)| !sets.is_empty())
    }

    /// The owners before a name, the nearest first.
    pub(crate) fn before(&self, name: &Name) -> impl Iterator<Item = (&Name, &Sets)> {
        let end = std::ops::Bound::Excluded(name);
        self.sets
            .range::<Name, _>((std::ops::Bound::Unbounded, end))
            .rev()
    }

    /// Removes a set.
    pub(crate) fn take_set(&mut self, owner: &Name, rtype: Rtype) -> Vec<Rr> {
        let sets = self.sets.get_mut(owner);
        sets.and_then(|sets| sets.remove(&rtype))
            .unwrap_or_default()
    }

    /// Does another zone begin at this name?
    pub(crate) fn is_cut(&self, owner: &Name) -> bool {
        *owner != self.apex && !self.set(owner, Rtype::NS).is_empty()
    }

    /// Does it belong to another zone, which begins above it?
    pub(crate) fn is_below_cut(&self, owner: &Name) -> bool {
        let above = ancestors(owner, &self.apex);
        above.iter().skip(1).any(|name| self.is_cut(name))
    }

    /// The SOA record with the TTL that a negative answer has (RFC 2308 section 3).
    pub(crate) fn soa(&self) -> Option<Rr> {
        let mut soa = self.set(&self.apex, Rtype::SOA).first()?.clone();
        if let Data::Soa(data) = &soa.data {
            soa.ttl = soa.ttl.min(data.minimum().as_secs());
        }
        Some(soa)
    }

    /// The same zone with nothing but SOA, NS and the name servers' addresses.
    pub(crate) fn blank(&self) -> Self {
        let mut blank = Self::new(self.apex.clone(), self.label.clone());
        blank.signing = self.signing.as_ref().map(Signing::anew);
        let servers = self.set(&self.apex, Rtype::NS);
        let soa = self.set(&self.apex, Rtype::SOA);
        for rr in soa.iter().chain(servers) {
            blank.add(rr.clone());
        }
        for host in servers.iter().filter_map(Rr::target) {
            let addresses = [Rtype::A, Rtype::AAAA];
            for rr in addresses.iter().flat_map(|rtype| self.set(host, *rtype)) {
                blank.add(rr.clone());
            }
        }
        blank.seal();
        blank
    }

    /// RFC 1034 section 4.3.2, steps 3 and 4, for one zone.
    pub(crate) fn look_up(&self, qname: &Name, qtype: Rtype) -> Found {
        if let Some(cut) = self.cut(qname, qtype) {
            return Found::Referral(cut);
        }
        if let Some(sets) = self.sets.get(qname).filter(|sets| !sets.is_empty()) {
            return Self::at_node(sets, qtype, None);
        }
        if self.has_below(qname) {
            return Found::NoData;
        }
        match self.wildcard(qname) {
            Some((_, sets)) => Self::at_node(sets, qtype, Some(qname)),
            None => Found::NxDomain,
        }
    }

    /// The wildcard that answers for a name, if one does.
    pub(crate) fn expands(&self, qname: &Name) -> Option<Name> {
        if self.has(qname) || self.has_below(qname) {
            return None;
        }
        self.wildcard(qname).map(|(star, _)| star)
    }

    /// The nearest name above one that exists (RFC 4592 section 3.3.1).
    pub(crate) fn closest(&self, qname: &Name) -> Name {
        ancestors(qname, &self.apex)
            .into_iter()
            .skip(1)
            .find(|n| self.has(n) || self.has_below(n))
            .unwrap_or_else(|| self.apex.clone())
    }

    /// The NS set of the highest cut at or above a name, below the apex.
    fn cut(&self, qname: &Name, qtype: Rtype) -> Option<Vec<Rr>> {
        let mut above: Vec<Name> = ancestors(qname, &self.apex);
        above.reverse();
        for owner in above.into_iter().filter(|n| *n != self.apex) {
            // DS records stand at the parent's side of a cut (RFC 4035 section 3.1.4.1).
            if owner == *qname && qtype == Rtype::DS {
                continue;
            }
            let set = self.set(&owner, Rtype::NS);
            if !set.is_empty() {
                return Some(set.to_vec());
            }
        }
        None
    }

    fn at_node(sets: &BTreeMap<Rtype, Vec<Rr>>, qtype: Rtype, as_name: Option<&Name>) -> Found {
        let named = |rr: &Rr| Rr {
            owner: as_name.unwrap_or(&rr.owner).clone(),
            ..rr.clone()
        };
        if qtype == Rtype::ANY {
            return Found::Answer(sets.values().flatten().map(named).collect());
        }
        if let Some(set) = sets.get(&qtype) {
            return Found::Answer(set.iter().map(named).collect());
        }
        match sets.get(&Rtype::CNAME).and_then(|set| set.first()) {
            Some(alias) => Found::Alias(named(alias)),
            None => Found::NoData,
        }
    }

    /// Does any name exist below this one (an empty non-terminal, RFC 8020)?
    fn has_below(&self, qname: &Name) -> bool {
        self.sets
            .iter()
            .any(|(owner, sets)| !sets.is_empty() && owner != qname && owner.ends_with(qname))
    }

    /// The wildcard that covers a name: `*` below its closest encloser (RFC 4592 section 3.3.1).
    fn wildcard(&self, qname: &Name) -> Option<(Name, &Sets)> {
        if *qname == self.apex {
            return None;
        }
        let encloser = self.closest(qname);
        let star = wildcard(&encloser);
        let sets = self.sets.get(&star).filter(|sets| !sets.is_empty())?;
        Some((star, sets))
    }
}

/// `*` below a name.
pub(crate) fn wildcard(encloser: &Name) -> Name {
    let text = match encloser.is_root() {
        true => "*.".to_owned(),
        false => format!("*.{}", encloser.fmt_with_dot()),
    };
    // Too long a name has no wildcard; itself is in no gap.
    Name::bytes_from_str(&text).unwrap_or_else(|_| encloser.clone())
}

/// A name and those above it, down to the apex's own.
pub(crate) fn ancestors(name: &Name, apex: &Name) -> Vec<Name> {
    let mut all = Vec::new();
    let mut current = Some(name.clone());
    while let Some(found) = current.filter(|n| n.ends_with(apex)) {
        current = found.parent();
        all.push(found);
    }
    all
}

/// The timers of a SOA record.
#[derive(Clone, Debug)]
pub(crate) struct SoaFields {
    pub(crate) mname: Name,
    pub(crate) rname: Name,
    pub(crate) serial: u32,
    pub(crate) refresh: u32,
    pub(crate) retry: u32,
    pub(crate) expire: u32,
    pub(crate) minimum: u32,
}

impl SoaFields {
    pub(crate) fn data(self) -> Soa<Name> {
        Soa::new(
            self.mname,
            self.rname,
            self.serial.into(),
            Ttl::from_secs(self.refresh),
            Ttl::from_secs(self.retry),
            Ttl::from_secs(self.expire),
            Ttl::from_secs(self.minimum),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> Zone {
        let apex = name("svc.test").unwrap();
        let mut zone = Zone::new(apex.clone(), None);
        let tlds = ["test".to_owned()];
        for line in [
            "@ 3600 SOA ns1.dns.test. host.svc.test. 7 1 2 3 300",
            "@ 86400 NS ns1.dns.test",
            "www 60 A 192.0.2.1",
            "alias 60 CNAME www",
            "top 60 CNAME @",
            "far 60 CNAME shop.other.test",
            "a.b 60 A 192.0.2.2",
            "*.wild 60 A 192.0.2.3",
            "sub 60 NS ns1.dns.test.",
        ] {
            zone.add(record(line, &apex, &tlds).unwrap());
        }
        zone
    }

    #[track_caller]
    fn check(qname: &str, qtype: Rtype, expected: &str) {
        let found = match zone().look_up(&name(qname).unwrap(), qtype) {
            Found::Referral(set) => format!("referral {}", set[0].owner),
            Found::Answer(set) => format!("answer {} {}", set[0].owner, set[0].data),
            Found::Alias(rr) => format!("alias {}", rr.data),
            Found::NoData => "nodata".to_owned(),
            Found::NxDomain => "nxdomain".to_owned(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn look_ups() {
        check("www.svc.test", Rtype::A, "answer www.svc.test 192.0.2.1");
        check("WWW.svc.test", Rtype::A, "answer www.svc.test 192.0.2.1");
        check("www.svc.test", Rtype::AAAA, "nodata");
        check("alias.svc.test", Rtype::A, "alias www.svc.test.");
        check(
            "alias.svc.test",
            Rtype::CNAME,
            "answer alias.svc.test www.svc.test.",
        );
        check("top.svc.test", Rtype::A, "alias svc.test.");
        check("far.svc.test", Rtype::A, "alias shop.other.test.");
        check("b.svc.test", Rtype::A, "nodata");
        check(
            "x.wild.svc.test",
            Rtype::A,
            "answer x.wild.svc.test 192.0.2.3",
        );
        check("wild.svc.test", Rtype::A, "nodata");
        check("gone.svc.test", Rtype::A, "nxdomain");
        check("x.sub.svc.test", Rtype::A, "referral sub.svc.test");
        check("sub.svc.test", Rtype::DS, "nodata");
    }

    #[test]
    fn what_is_no_record() {
        let apex = name("svc.test").unwrap();
        let error = |line: &str| record(line, &apex, &["test".to_owned()]).unwrap_err();
        assert!(error("www 60 A 300.1.2.3").contains("www 60 A 300.1.2.3"));
        assert!(error("www.other.test. 60 A 192.0.2.1").contains("not in the zone"));
    }

    #[test]
    fn an_owner_that_looks_absolute_may_be_relative() {
        let apex = name("cdn.test").unwrap();
        let owner = |line: &str| record(line, &apex, &["test".to_owned()]).unwrap().owner;
        let below = name("www.shop.test.cdn.test").unwrap();
        assert_eq!(owner("www.shop.test 60 A 192.0.2.1"), below);
        let absolute = name("www.cdn.test").unwrap();
        assert_eq!(owner("www.cdn.test 60 A 192.0.2.1"), absolute);
    }

    #[test]
    fn a_blank_zone_keeps_its_servers() {
        let blank = zone().blank();
        let www = name("www.svc.test").unwrap();
        assert_eq!(blank.look_up(&www, Rtype::A), Found::NxDomain);
        assert!(blank.soa().is_some());
    }
}
