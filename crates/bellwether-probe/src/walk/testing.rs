//! A small tree of zones on loopback, for tests.

use std::net::IpAddr;
use std::rc::Rc;

use bellwether_model::DnsName;

use crate::dns::testing::{Row, Script, asked, reply, wire};

/// A zone: apex, its records, and the names delegated away by NS records below the apex.
pub(crate) struct Zone {
    apex: &'static str,
    records: Vec<(&'static str, &'static str, &'static str)>,
}

/// Which zones each server holds; an empty list is a server that refuses.
pub(crate) type World = Vec<(u8, Vec<Zone>)>;

pub(crate) fn zone(apex: &'static str, lines: &'static str) -> Zone {
    let records = lines.lines().map(str::trim).filter(|l| !l.is_empty());
    let record = |line: &'static str| {
        let mut words = line.split_ascii_whitespace();
        let mut next = || words.next().unwrap();
        (next(), next(), next())
    };
    Zone {
        apex,
        records: records.map(record).collect(),
    }
}

fn data(rtype: &str, text: &str) -> (u16, Vec<u8>) {
    match rtype {
        "A" => {
            let IpAddr::V4(a) = text.parse().unwrap() else {
                panic!("{text} is no IPv4 address")
            };
            (1, a.octets().to_vec())
        }
        "NS" => (2, wire(text)),
        "CNAME" => (5, wire(text)),
        other => panic!("{other} is not served"),
    }
}

fn soa(apex: &str) -> Row {
    let numbers = [7_u32, 2, 3, 4, 5]
        .iter()
        .flat_map(|n| n.to_be_bytes())
        .collect();
    (
        apex.into(),
        6,
        [wire("ns."), wire("host."), numbers].concat(),
    )
}

impl Zone {
    fn rows(&self, wanted: impl Fn(&str, &str) -> bool) -> Vec<Row> {
        let records = self
            .records
            .iter()
            .filter(|(owner, rtype, _)| wanted(owner, rtype));
        let row = |(owner, rtype, text): &(&str, &str, &str)| {
            let (number, bytes) = data(rtype, text);
            ((*owner).to_owned(), number, bytes)
        };
        records.map(row).collect()
    }

    fn answer(&self, query: &[u8]) -> Vec<u8> {
        let (name, number) = asked(query);
        let name: DnsName = name.parse().unwrap();
        let at_or_above = |owner: &str| name.is_at_or_below(&owner.parse().unwrap());
        let cut = self
            .records
            .iter()
            .find(|(owner, rtype, _)| *rtype == "NS" && *owner != self.apex && at_or_above(owner));
        if let Some((cut, ..)) = cut {
            let ns = self.rows(|owner, rtype| owner == *cut && rtype == "NS");
            let named: Vec<&str> = self
                .records
                .iter()
                .filter(|(owner, rtype, _)| owner == cut && *rtype == "NS")
                .map(|(.., target)| *target)
                .collect();
            let glue = self.rows(|owner, rtype| rtype == "A" && named.contains(&owner));
            return reply(query, 0, [&[], &ns, &glue]);
        }
        let owned = self.rows(|owner, _| owner == name.as_str());
        let mut answer: Vec<Row> = owned
            .iter()
            .filter(|(_, n, _)| *n == number || *n == 5)
            .cloned()
            .collect();
        if number == 6 && name.as_str() == self.apex {
            answer.push(soa(self.apex));
        }
        if !answer.is_empty() {
            return reply(query, 0x0400, [&answer, &[], &[]]);
        }
        let is_apex = name.as_str() == self.apex;
        let rcode = if owned.is_empty() && !is_apex { 3 } else { 0 };
        reply(query, 0x0400 | rcode, [&[], &[soa(self.apex)], &[]])
    }
}

pub(crate) fn script(zones: Vec<Zone>) -> Script {
    Rc::new(move |query| {
        let name: DnsName = asked(query).0.parse().unwrap();
        let holder = zones
            .iter()
            .filter(|z| name.is_at_or_below(&z.apex.parse().unwrap()))
            .max_by_key(|z| z.apex.len());
        match holder {
            Some(zone) => vec![zone.answer(query)],
            None => vec![reply(query, 5, [&[], &[], &[]])],
        }
    })
}

/// The root's server, which delegates `test.`.
pub(crate) fn root() -> (u8, Vec<Zone>) {
    (
        2,
        vec![zone(".", "test. NS ns.nic.test.\nns.nic.test. A 127.0.0.3")],
    )
}

/// The zone above.
pub(crate) const TLD: &str = "svc.test. NS ns1.svc.test.\nsvc.test. NS ns2.svc.test.\n\
    ns1.svc.test. A 127.0.0.4\nns2.svc.test. A 127.0.0.5";
/// The target's zone.
pub(crate) const OURS: &str = "svc.test. NS ns1.svc.test.\nsvc.test. NS ns2.svc.test.\n\
    ns1.svc.test. A 127.0.0.4\nns2.svc.test. A 127.0.0.5\nwww.svc.test. A 127.0.1.1";

/// Nothing wrong anywhere.
pub(crate) fn healthy() -> World {
    vec![
        root(),
        (3, vec![zone("test.", TLD)]),
        (4, vec![zone("svc.test.", OURS)]),
        (5, vec![zone("svc.test.", OURS)]),
    ]
}
