//! Signatures along the walk: facts about each record set at each server.
//!
//! Pure: what the walk's servers answered and the trust anchor go in, what fits what comes out. No
//! verdict is made here, and time is not judged: that windows hold is seen by whoever knows "now".
//!
//! - [`wire`]: record sets in canonical form, from the octets of responses
//! - [`verify`]: does a signature fit a key, a digest a key?
//! - [`denial`]: do NSEC or NSEC3 records prove that something is not there?
//! - [`answer`]: one answer of one server
//!
//! What an answer does not say is never held against a zone: a record set that may be of a zone
//! further down, an algorithm that we do not support, octets that were not kept.

mod answer;
mod denial;
#[cfg(feature = "fuzzing")]
mod fuzzing;
#[cfg(test)]
mod tests;
mod verify;
mod wire;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bellwether_model::DnsName;
use bellwether_model::dns::{
    Exchange, ListedBy, Question, Rcode, Record, Response, ServerSeen, ZoneSeen,
};
use bellwether_model::dnssec::{
    DnssecSeen, DsSeen, KeySeen, SignatureResult, SignedAnswer, SignedKind, SignedZone,
};
use domain::base::iana::Rtype;
use jiff::Timestamp;

#[cfg(feature = "fuzzing")]
pub(crate) use fuzzing::check_itself;
use verify::{Budget, Key};
use wire::{Signed, Wire};

/// Most keys of one zone, and DS records for it, that are looked at: more than fit into what
/// validators take over UDP and TCP in practice, so that a key which is left out is an attack.
const KEYS_MAX: usize = 256;
/// Deepest chain of zones: as deep as the walk goes.
const ZONES_MAX: usize = 32;

/// A DS or CDS record, or a trust anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Voucher {
    /// The digest of a key.
    Digest {
        key_tag: u16,
        algorithm: u8,
        digest_type: u8,
        digest: Vec<u8>,
    },
    /// The key itself.
    Key(Key),
}

/// The chain from the trust anchor to a name, as the levels of the walk have it.
#[must_use]
pub fn chain(
    name: &DnsName,
    anchor: &[Record],
    levels: &[ZoneSeen],
    rtypes: &[String],
    now: Timestamp,
) -> DnssecSeen {
    let anchors: Vec<Voucher> = anchor.iter().filter_map(voucher_of).collect();
    let mut budget = Budget::new(now);
    let mut way = way(name, levels);
    way.reverse();
    let mut zones = Vec::new();
    let mut keys: Vec<Key> = Vec::new();
    for (index, level) in way.iter().enumerate() {
        let above = index.checked_sub(1).map(|i| way[i]);
        let Some(apex) = wire::wire(&level.zone) else {
            break;
        };
        let (vouchers, ds_answers) = match above {
            None if level.parent.is_none() => (anchors.clone(), Vec::new()),
            None => (Vec::new(), Vec::new()),
            Some(above) => delegation(&above.zone, &level.zone, &keys, levels, &mut budget),
        };
        let (mut zone, own) = keys_of(level, &apex, &vouchers, &mut budget);
        zone.ds_answers = ds_answers;
        if level.holds_name && level.name == *name {
            answers(level, &apex, &own, rtypes, &mut zone, &mut budget);
        }
        zones.push(zone);
        keys = own;
    }
    DnssecSeen {
        name: name.clone(),
        zones,
    }
}

/// The levels from the zone that holds the name up to the root, as far as they were walked.
fn way<'l>(name: &DnsName, levels: &'l [ZoneSeen]) -> Vec<&'l ZoneSeen> {
    let is_on_it = |l: &&ZoneSeen| l.zone.is_root() || !l.parent_sets.is_empty();
    let deepest = levels
        .iter()
        .filter(|l| l.name == *name)
        .max_by_key(|l| (is_on_it(l), l.holds_name, l.zone.labels().len()));
    let mut way: Vec<&ZoneSeen> = Vec::new();
    let mut next = deepest;
    while let Some(level) = next.filter(|_| way.len() < ZONES_MAX) {
        way.push(level);
        next = level.parent.as_ref().and_then(|parent| {
            let mut of_zone = levels.iter().filter(|l| l.zone == *parent);
            of_zone
                .clone()
                .find(|l| l.name == *name)
                .or_else(|| of_zone.next())
        });
    }
    way
}

/// A zone's keys: who vouches for them, and the answers that gave them.
fn keys_of(
    level: &ZoneSeen,
    apex: &Wire,
    vouchers: &[Voucher],
    budget: &mut Budget,
) -> (SignedZone, Vec<Key>) {
    let question = Question {
        name: level.zone.clone(),
        rtype: "DNSKEY".to_owned(),
    };
    let mut given: Vec<(String, SignedKind, Signed)> = Vec::new();
    for server in servers(level) {
        let Some((response, signed)) = authoritative(server, &question) else {
            continue;
        };
        let kind = match response.records(&question).is_empty() {
            true => SignedKind::NoData,
            false => SignedKind::Records,
        };
        given.push((server.label(), kind, signed));
    }
    let sets = || given.iter().map(|(_, _, signed)| dnskeys(signed, level));
    let mut all: Vec<Key> = Vec::new();
    sets().for_each(|keys| add(&mut all, keys));
    let fits = |key: &Key| vouchers.iter().take(KEYS_MAX).any(|v| v.fits(apex, key));
    let vouched: Vec<Key> = all.iter().filter(|k| fits(k)).cloned().collect();
    let mut key_answers = Vec::new();
    let mut trusted: Vec<Key> = Vec::new();
    for (name_server, kind, signed) in &given {
        let mut seen = SignedAnswer {
            name_server: name_server.clone(),
            name: level.zone.clone(),
            rtype: question.rtype.clone(),
            kind: *kind,
            rrsets: Vec::new(),
            denial: None,
            unjudged: None,
        };
        let is_keys = |s: &&wire::Rrset| s.rtype == Rtype::DNSKEY && s.name == level.zone;
        if let Some(set) = signed.answer.iter().find(is_keys) {
            let by = if vouched.is_empty() { &all } else { &vouched };
            let rrset = verify::rrset(set, &level.zone, by, budget);
            let verified = rrset
                .signatures
                .iter()
                .any(|s| s.result == SignatureResult::Verified);
            if verified {
                add(&mut trusted, dnskeys(signed, level));
            }
            seen.rrsets.push(rrset);
        }
        key_answers.push(seen);
    }
    let own = if trusted.is_empty() || vouched.is_empty() {
        all.clone()
    } else {
        trusted
    };
    let zone = SignedZone {
        zone: level.zone.clone(),
        parent: level.parent.clone(),
        holds_name: level.holds_name,
        ds: vouchers.iter().map(|v| v.seen(apex, &all)).collect(),
        ds_answers: Vec::new(),
        keys: all.iter().map(|k| seen_key(k, fits(k))).collect(),
        key_answers,
        answers: Vec::new(),
        others: Vec::new(),
        cds: Vec::new(),
    };
    (zone, own)
}

/// Adds keys that are not there yet: every server sends the same ones.
fn add(known: &mut Vec<Key>, keys: Vec<Key>) {
    for key in keys {
        if known.len() < KEYS_MAX && !known.contains(&key) {
            known.push(key);
        }
    }
}

fn dnskeys(signed: &Signed, level: &ZoneSeen) -> Vec<Key> {
    let sets = signed
        .answer
        .iter()
        .filter(|s| s.rtype == Rtype::DNSKEY && s.name == level.zone);
    sets.flat_map(|s| s.data.iter())
        .take(KEYS_MAX)
        .filter_map(|data| Key::of(data))
        .collect()
}

fn seen_key(key: &Key, vouched: bool) -> KeySeen {
    KeySeen {
        key_tag: key.key_tag,
        algorithm: key.algorithm,
        flags: key.flags,
        vouched,
    }
}

/// What the parent's servers say of a zone's DS records, in referrals and by themselves.
fn delegation(
    parent: &DnsName,
    zone: &DnsName,
    keys: &[Key],
    levels: &[ZoneSeen],
    budget: &mut Budget,
) -> (Vec<Voucher>, Vec<SignedAnswer>) {
    let mut vouchers: Vec<Voucher> = Vec::new();
    let mut answers: Vec<SignedAnswer> = Vec::new();
    let mut told: BTreeSet<String> = BTreeSet::new();
    let question = Question {
        name: zone.clone(),
        rtype: "DS".to_owned(),
    };
    for level in levels.iter().filter(|l| l.zone == *parent) {
        for server in servers(level) {
            let found = authoritative(server, &question)
                .map(|(_, signed)| (signed, true))
                .or_else(|| Some((referral(server, zone)?, false)));
            let Some((signed, is_asked)) = found else {
                continue;
            };
            let Some((seen, data)) = answer::ds(parent, zone, &signed, is_asked, keys, budget)
            else {
                continue;
            };
            if !told.insert(server.label()) {
                continue;
            }
            for voucher in data.iter().filter_map(|d| Voucher::of_ds(d)) {
                if vouchers.len() < KEYS_MAX && !vouchers.contains(&voucher) {
                    vouchers.push(voucher);
                }
            }
            answers.push(SignedAnswer {
                name_server: server.label(),
                ..seen
            });
        }
    }
    (vouchers, answers)
}

/// The answers of the zone that holds the name: to the name's own questions, and others.
fn answers(
    level: &ZoneSeen,
    apex: &Wire,
    keys: &[Key],
    rtypes: &[String],
    zone: &mut SignedZone,
    budget: &mut Budget,
) {
    let mut cds: Vec<Voucher> = Vec::new();
    for server in servers(level) {
        let mut seen = |name: &DnsName, rtype: &str| {
            let question = Question {
                name: name.clone(),
                rtype: rtype.to_owned(),
            };
            let (response, signed) = authoritative(server, &question)?;
            let seen = answer::answer(
                apex,
                &level.zone,
                &question,
                response,
                &signed,
                keys,
                budget,
            )?;
            let seen = SignedAnswer {
                name_server: server.label(),
                ..seen
            };
            Some((seen, signed))
        };
        for rtype in rtypes {
            zone.answers
                .extend(seen(&level.name, rtype).map(|(seen, _)| seen));
        }
        for rtype in ["SOA", "NS", "CDS"] {
            let is_own = level.name == level.zone && rtypes.iter().any(|t| t == rtype);
            let Some((seen, signed)) = seen(&level.zone, rtype).filter(|_| !is_own) else {
                continue;
            };
            if seen.kind != SignedKind::Records {
                continue;
            }
            let offered = signed.answer.iter().filter(|s| s.rtype == Rtype::CDS);
            for voucher in offered
                .flat_map(|s| &s.data)
                .filter_map(|d| Voucher::of_ds(d))
            {
                // Algorithm 0 asks the parent to delete the DS records (RFC 8078 section 4).
                let is_deletion = matches!(voucher, Voucher::Digest { algorithm: 0, .. });
                if !is_deletion && cds.len() < KEYS_MAX && !cds.contains(&voucher) {
                    cds.push(voucher);
                }
            }
            zone.others.push(seen);
        }
    }
    zone.cds = cds.iter().map(|v| v.seen(apex, keys)).collect();
}

/// The servers that the way leads to.
fn servers(level: &ZoneSeen) -> impl Iterator<Item = &ServerSeen> {
    level.servers.iter().filter(|server| {
        level.listed_by(&server.name).iter().any(|by| match by {
            ListedBy::Hints | ListedBy::Parent | ListedBy::Child => true,
            ListedBy::Baseline | ListedBy::Expected | ListedBy::Cache { .. } => false,
        })
    })
}

/// A server's whole answer with authority to a question that asked for signatures.
fn authoritative<'s>(
    server: &'s ServerSeen,
    question: &Question,
) -> Option<(&'s Response, Signed)> {
    let asked = server.exchanges.iter().filter(|e| e.question == *question);
    asked.filter_map(whole).find_map(|response| {
        let is_final = matches!(response.rcode, Rcode::NOERROR | Rcode::NXDOMAIN);
        let signed = wire::signed(response).filter(|_| response.flags.aa && is_final)?;
        Some((response, signed))
    })
}

/// A server's referral to a zone below.
fn referral(server: &ServerSeen, zone: &DnsName) -> Option<Signed> {
    server.exchanges.iter().filter_map(whole).find_map(|r| {
        let referral = r.referral(zone).filter(|found| found.zone == *zone);
        referral
            .filter(|_| !r.flags.aa)
            .and_then(|_| wire::signed(r))
    })
}

fn whole(exchange: &Exchange) -> Option<&Response> {
    let response = exchange.response().filter(|_| exchange.edns)?;
    (!response.flags.tc && response.edns).then_some(response)
}

impl Voucher {
    fn of_ds(data: &[u8]) -> Option<Self> {
        let [high, low, algorithm, digest_type, digest @ ..] = data else {
            return None;
        };
        Some(Self::Digest {
            key_tag: u16::from_be_bytes([*high, *low]),
            algorithm: *algorithm,
            digest_type: *digest_type,
            digest: digest.to_vec(),
        })
    }

    fn fits(&self, zone: &Wire, key: &Key) -> bool {
        match self {
            Self::Key(own) => own.data[4..] == key.data[4..] && own.algorithm == key.algorithm,
            Self::Digest {
                key_tag,
                algorithm,
                digest_type,
                digest,
            } => {
                *key_tag == key.key_tag
                    && *algorithm == key.algorithm
                    && verify::digest_fits(zone, key, *digest_type, digest)
            }
        }
    }

    fn seen(&self, zone: &Wire, keys: &[Key]) -> DsSeen {
        let (key_tag, algorithm, digest_type) = match self {
            Self::Key(key) => (key.key_tag, key.algorithm, 0),
            Self::Digest {
                key_tag,
                algorithm,
                digest_type,
                ..
            } => (*key_tag, *algorithm, *digest_type),
        };
        let is_key = matches!(self, Self::Key(_));
        DsSeen {
            key_tag,
            algorithm,
            digest_type,
            supported: verify::supports_algorithm(algorithm)
                && (is_key || verify::supports_digest(digest_type)),
            matches: keys.iter().any(|k| self.fits(zone, k)),
        }
    }
}

/// A trust anchor as the command line read it.
fn voucher_of(record: &Record) -> Option<Voucher> {
    let mut fields = record.data.split_ascii_whitespace();
    let mut number = || fields.next()?.parse::<u16>().ok();
    let numbers = [number()?, number()?, number()?];
    let rest: String = fields.collect();
    let small = |n: u16| u8::try_from(n).ok();
    if record.rtype == "DS" {
        return Some(Voucher::Digest {
            key_tag: numbers[0],
            algorithm: small(numbers[1])?,
            digest_type: small(numbers[2])?,
            digest: hex(&rest)?,
        });
    }
    let [high, low] = numbers[0].to_be_bytes();
    let mut data = vec![high, low, small(numbers[1])?, small(numbers[2])?];
    data.extend(BASE64.decode(&rest).ok()?);
    Key::of(&data).map(Voucher::Key)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let pairs = digits.chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|p| p.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    pairs.collect()
}
