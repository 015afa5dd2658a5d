//! A small signed tree, its answers written and signed here, and what is made of them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bellwether_model::DnsName;
use bellwether_model::dns::{
    Exchange, ExchangeResult, HostSeen, ListedBy, ParentSet, Question, Record, ServerSeen, ZoneSeen,
};
use bellwether_model::dnssec::{
    DenialResult, DnssecSeen, SignatureResult, SignedAnswer, SignedKind,
};
use jiff::Timestamp;

use super::verify::{Key, digest_fits, rrset};
use super::{Budget, chain, wire};
use crate::dns::message::{QueryFlags, Raw, decode, encode};
use crate::dns::testing::{Row, reply, wire as octets};

const NOW: &str = "2024-10-01T11:10:00Z";
const A: u16 = 1;
const NS: u16 = 2;
const SOA: u16 = 6;
const DS: u16 = 43;
const RRSIG: u16 = 46;
const NSEC: u16 = 47;
const DNSKEY: u16 = 48;

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn name(text: &str) -> DnsName {
    DnsName::presentation(text).unwrap()
}

/// A zone's one key.
struct Signer {
    zone: &'static str,
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Signer {
    fn new(zone: &'static str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).unwrap();
        Self { zone, pair, random }
    }

    fn dnskey(&self) -> Vec<u8> {
        // The first octet of the point says that it is not compressed.
        [&[1, 1, 3, 13], &self.pair.public_key().as_ref()[1..]].concat()
    }

    fn key(&self) -> Key {
        Key::of(&self.dnskey()).unwrap()
    }

    fn ds(&self) -> Vec<u8> {
        let mut builder =
            domain::crypto::common::DigestBuilder::new(domain::crypto::common::DigestType::Sha256);
        builder.update(&octets(self.zone));
        builder.update(&self.dnskey());
        let tag = self.key().key_tag.to_be_bytes();
        [&tag, &[13, 2][..], builder.finish().as_ref()].concat()
    }

    /// The rows of a record set with its signature; `owner` may stand for a wildcard.
    fn sign_as(&self, owner: &str, signed: &str, rtype: u16, data: &[Vec<u8>]) -> Vec<Row> {
        let seconds = u32::try_from(now().as_second()).unwrap();
        let labels = name(signed).labels().iter().filter(|l| **l != "*").count();
        let mut head = rtype.to_be_bytes().to_vec();
        head.extend([13, u8::try_from(labels).unwrap(), 0, 0, 0, 60]);
        head.extend((seconds + 86_400).to_be_bytes());
        head.extend((seconds - 3_600).to_be_bytes());
        head.extend(self.key().key_tag.to_be_bytes());
        head.extend(octets(self.zone));
        let mut message = head.clone();
        let mut sorted = data.to_vec();
        sorted.sort();
        for one in &sorted {
            message.extend(octets(signed));
            message.extend(rtype.to_be_bytes());
            message.extend([0, 1, 0, 0, 0, 60]);
            message.extend(u16::try_from(one.len()).unwrap().to_be_bytes());
            message.extend(one);
        }
        let signature = self.pair.sign(&self.random, &message).unwrap();
        head.extend(signature.as_ref());
        let mut rows: Vec<Row> = data
            .iter()
            .map(|one| (owner.to_owned(), rtype, one.clone()))
            .collect();
        rows.push((owner.to_owned(), RRSIG, head));
        rows
    }

    fn sign(&self, owner: &str, rtype: u16, data: &[Vec<u8>]) -> Vec<Row> {
        self.sign_as(owner, owner, rtype, data)
    }

    /// A signed NSEC record.
    fn nsec(&self, owner: &str, next: &str, types: &[u16]) -> Vec<Row> {
        let len = types.iter().max().map_or(0, |t| t / 8 + 1);
        let mut bits = vec![0_u8; usize::from(len)];
        for t in types {
            bits[usize::from(t / 8)] |= 0x80 >> (t % 8);
        }
        let head = [0, u8::try_from(len).unwrap()];
        let data = [octets(next), head.to_vec(), bits].concat();
        self.sign(owner, NSEC, &[data])
    }
}

fn soa(apex: &str) -> Row {
    let numbers = [0; 20].to_vec();
    (
        apex.to_owned(),
        SOA,
        [octets("ns."), octets("h."), numbers].concat(),
    )
}

const AUTHORITY: u16 = 0x0400;

fn exchange(qname: &str, rtype: &str, flags: u16, answer: &[Row], authority: &[Row]) -> Exchange {
    let question = Question {
        name: name(qname),
        rtype: rtype.into(),
    };
    let flags_sent = QueryFlags {
        edns: true,
        signatures: true,
        ..QueryFlags::default()
    };
    let query = encode(&question, flags_sent, &mut fastrand::Rng::with_seed(7)).unwrap();
    let opt: Row = (".".into(), 41, vec![]);
    let bytes = reply(&query.bytes, flags, [answer, authority, &[opt]]);
    let response = Box::new(decode(&query, &bytes, Raw::Keep));
    Exchange::usual(question, ExchangeResult::Answered { response })
}

fn level(zone: &str, parent: Option<&str>, exchanges: Vec<Exchange>) -> ZoneSeen {
    let host = name("ns.test.");
    ZoneSeen {
        zone: name(zone),
        parent: parent.map(name),
        name: name("www.svc.test."),
        holds_name: zone == "svc.test.",
        parent_sets: vec![ParentSet {
            names: vec![host.clone()],
            ttl: 60,
            given_by: vec![],
        }],
        hosts: vec![HostSeen {
            name: host.clone(),
            listed_by: vec![ListedBy::Parent],
            glue: vec![],
            known: vec![],
            resolved: None,
            alias_of: None,
            failure: None,
        }],
        servers: vec![ServerSeen {
            name: host,
            address: "192.0.2.1".parse().unwrap(),
            owner: None,
            exchanges,
        }],
        canary: None,
        stopped: None,
    }
}

/// Root, `test.` and `svc.test.`, each with its key.
struct Tree {
    root: Signer,
    tld: Signer,
    own: Signer,
}

impl Tree {
    fn new() -> Self {
        Self {
            root: Signer::new("."),
            tld: Signer::new("test."),
            own: Signer::new("svc.test."),
        }
    }

    fn seen(&self, ds: &[Row], keys: Vec<Row>, own: Vec<Exchange>) -> DnssecSeen {
        let ns = |zone: &str| vec![(zone.to_owned(), NS, octets("ns.test."))];
        let keys_of = |s: &Signer| {
            let rows = s.sign(s.zone, DNSKEY, &[s.dnskey()]);
            exchange(s.zone, "DNSKEY", AUTHORITY, &rows, &[])
        };
        let to_tld = [ns("test."), self.root.sign("test.", DS, &[self.tld.ds()])].concat();
        let to_own = [ns("svc.test."), ds.to_vec()].concat();
        let mut own_exchanges = vec![exchange("svc.test.", "DNSKEY", AUTHORITY, &keys, &[])];
        own_exchanges.extend(own);
        let levels = [
            level(
                ".",
                None,
                vec![
                    keys_of(&self.root),
                    exchange("www.svc.test.", "A", 0, &[], &to_tld),
                ],
            ),
            level(
                "test.",
                Some("."),
                vec![
                    keys_of(&self.tld),
                    exchange("www.svc.test.", "A", 0, &[], &to_own),
                ],
            ),
            level("svc.test.", Some("test."), own_exchanges),
        ];
        let hex: String = self.root.ds()[4..]
            .iter()
            .map(|b| format!("{b:02X}"))
            .collect();
        let anchor = Record {
            name: DnsName::root(),
            ttl: 0,
            rtype: "DS".into(),
            data: format!("{} 13 2 {hex}", self.root.key().key_tag),
        };
        let rtypes = ["A".to_owned(), "AAAA".to_owned()];
        chain(&name("www.svc.test."), &[anchor], &levels, &rtypes, now())
    }

    fn ds(&self) -> Vec<Row> {
        self.tld.sign("svc.test.", DS, &[self.own.ds()])
    }

    fn keys(&self) -> Vec<Row> {
        self.own.sign("svc.test.", DNSKEY, &[self.own.dnskey()])
    }

    /// The tree with these exchanges at the name's own server, all else in order.
    fn answers(&self, own: Vec<Exchange>) -> Vec<SignedAnswer> {
        let seen = self.seen(&self.ds(), self.keys(), own);
        seen.zones[2].answers.clone()
    }
}

fn results(answer: &SignedAnswer) -> Vec<SignatureResult> {
    let all = answer.rrsets.iter().flat_map(|r| &r.signatures);
    all.map(|s| s.result).collect()
}

#[test]
fn example_of_rfc_6605() {
    let key = BASE64
        .decode("GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==")
        .unwrap();
    let key = Key::of(&[&[1, 1, 3, 13][..], &key].concat()).unwrap();
    assert_eq!(key.key_tag, 55_648);
    let digest =
        super::hex("b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17").unwrap();
    let zone = wire::wire(&name("example.net.")).unwrap();
    assert!(digest_fits(&zone, &key, 2, &digest));
    let signature = BASE64
        .decode("qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLlUzGGus7ZwmwWep666VCw==")
        .unwrap();
    let time = |text: &str| -> u32 {
        let time: Timestamp = text.parse().unwrap();
        u32::try_from(time.as_second()).unwrap()
    };
    let mut data = [0, 1, 13, 3, 0, 0, 14, 16].to_vec();
    data.extend(time("2010-09-09T10:04:39Z").to_be_bytes());
    data.extend(time("2010-08-12T10:04:39Z").to_be_bytes());
    data.extend(55_648_u16.to_be_bytes());
    data.extend(octets("example.net."));
    data.extend(signature);
    let rows = |address: u8| -> Vec<Row> {
        let owner = || "WWW.example.net.".to_owned();
        vec![
            (owner(), A, vec![192, 0, 2, address]),
            (owner(), RRSIG, data.clone()),
        ]
    };
    let check = |address| {
        let asked = exchange("www.example.net.", "A", AUTHORITY, &rows(address), &[]);
        let signed = wire::signed(asked.response().unwrap()).unwrap();
        let zone = name("example.net.");
        let seen = rrset(
            &signed.answer[0],
            &zone,
            std::slice::from_ref(&key),
            &mut Budget::new(now()),
        );
        assert_eq!(
            seen.signatures[0].expiration.to_string(),
            "2010-09-09T10:04:39Z"
        );
        seen.signatures[0].result
    };
    assert_eq!(check(1), SignatureResult::Verified);
    assert_eq!(check(2), SignatureResult::Failed);
}

#[test]
fn a_chain_from_the_anchor_to_the_answers() {
    let tree = Tree::new();
    let a = tree.own.sign(
        "www.svc.test.",
        A,
        &[vec![192, 0, 2, 2], vec![192, 0, 2, 1]],
    );
    let mut no_aaaa = tree
        .own
        .nsec("www.svc.test.", "svc.test.", &[A, RRSIG, NSEC]);
    no_aaaa.push(soa("svc.test."));
    let own = vec![
        exchange("www.svc.test.", "A", AUTHORITY, &a, &[]),
        exchange("www.svc.test.", "AAAA", AUTHORITY, &[], &no_aaaa),
    ];
    let seen = tree.seen(&tree.ds(), tree.keys(), own);
    assert_eq!(seen.zones.len(), 3);
    for zone in &seen.zones {
        assert!(zone.ds[0].matches && zone.ds[0].supported && zone.keys[0].vouched);
        assert_eq!(results(&zone.key_answers[0]), [SignatureResult::Verified]);
    }
    let answers = &seen.zones[2].answers;
    assert_eq!(results(&answers[0]), [SignatureResult::Verified]);
    assert_eq!(results(&answers[1]), [SignatureResult::Verified]);
    assert_eq!(answers[1].kind, SignedKind::NoData);
    assert_eq!(
        answers[1].denial.as_ref().unwrap().result,
        DenialResult::Proven
    );
}

#[test]
fn other_keys_and_altered_records() {
    let tree = Tree::new();
    let other = Signer::new("svc.test.");
    let keys = other.sign("svc.test.", DNSKEY, &[other.dnskey()]);
    let seen = tree.seen(&tree.ds(), keys, vec![]);
    assert!(!seen.zones[2].ds[0].matches && !seen.zones[2].keys[0].vouched);
    let mut a = tree.own.sign("www.svc.test.", A, &[vec![192, 0, 2, 1]]);
    a[0].2[3] = 9;
    let asked = exchange("www.svc.test.", "A", AUTHORITY, &a, &[]);
    assert_eq!(
        results(&tree.answers(vec![asked])[0]),
        [SignatureResult::Failed]
    );
    let foreign = other.sign("www.svc.test.", A, &[vec![192, 0, 2, 1]]);
    let asked = exchange("www.svc.test.", "A", AUTHORITY, &foreign, &[]);
    assert_eq!(
        results(&tree.answers(vec![asked])[0]),
        [SignatureResult::NoKey]
    );
}

#[test]
fn a_delegation_proven_unsigned() {
    let tree = Tree::new();
    let none = tree.tld.nsec("svc.test.", "test.", &[NS, RRSIG, NSEC]);
    let seen = tree.seen(&none, vec![], vec![]);
    let answer = &seen.zones[2].ds_answers[0];
    assert_eq!(answer.denial.as_ref().unwrap().result, DenialResult::Proven);
    // A record of the child's apex says nothing of the parent's DS records.
    let wrong = tree.tld.nsec("svc.test.", "test.", &[NS, SOA, RRSIG, NSEC]);
    let seen = tree.seen(&wrong, vec![], vec![]);
    let answer = &seen.zones[2].ds_answers[0];
    assert_eq!(
        answer.denial.as_ref().unwrap().result,
        DenialResult::Unproven
    );
    // A referral of somebody who knows nothing of signatures says nothing.
    let seen = tree.seen(&[], vec![], vec![]);
    assert_eq!(seen.zones[2].ds_answers, []);
}

#[test]
fn a_wildcard_needs_a_proof_that_nothing_nearer_is_there() {
    let tree = Tree::new();
    let data = [vec![192, 0, 2, 1]];
    let a = tree.own.sign_as("www.svc.test.", "*.svc.test.", A, &data);
    let denial = |authority: &[Row]| {
        let asked = exchange("www.svc.test.", "A", AUTHORITY, &a, authority);
        let answers = tree.answers(vec![asked]);
        assert_eq!(results(&answers[0])[0], SignatureResult::Verified);
        answers[0].denial.clone().unwrap().result
    };
    let covering = tree.own.nsec("*.svc.test.", "svc.test.", &[A, RRSIG, NSEC]);
    assert_eq!(denial(&covering), DenialResult::Proven);
    let elsewhere = tree.own.nsec("xxx.svc.test.", "svc.test.", &[A]);
    assert_eq!(denial(&elsewhere), DenialResult::Unproven);
    assert_eq!(denial(&[]), DenialResult::Absent);
}

#[test]
fn a_name_that_does_not_exist() {
    let tree = Tree::new();
    let denial = |authority: Vec<Row>| {
        let rows = [authority, vec![soa("svc.test.")]].concat();
        let asked = exchange("www.svc.test.", "A", AUTHORITY | 3, &[], &rows);
        let answers = tree.answers(vec![asked]);
        assert_eq!(answers[0].kind, SignedKind::NxDomain);
        answers[0].denial.clone().unwrap().result
    };
    let apex = tree.own.nsec("svc.test.", "mail.svc.test.", &[SOA, NS]);
    let around = tree.own.nsec("mail.svc.test.", "svc.test.", &[A]);
    assert_eq!(
        denial([apex.clone(), around.clone()].concat()),
        DenialResult::Proven
    );
    assert_eq!(denial(around), DenialResult::Unproven);
    assert_eq!(denial(apex), DenialResult::Unproven);
}

#[test]
fn hostile_records_end_no_check() {
    let tree = Tree::new();
    let many: Vec<Row> = (0..60_u8)
        .flat_map(|n| {
            let mut rows = tree.own.sign("www.svc.test.", A, &[vec![192, 0, 2, 1]]);
            rows[1].2.push(n);
            rows
        })
        .collect();
    let asked = exchange("www.svc.test.", "A", AUTHORITY, &many, &[]);
    let seen = tree.answers(vec![asked]);
    assert!(results(&seen[0]).len() <= 17);
    assert!(results(&seen[0]).contains(&SignatureResult::TooMany));
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..300 {
        let mut rows = tree.own.nsec("www.svc.test.", "svc.test.", &[A, RRSIG]);
        rows.extend(tree.keys());
        for (_, rtype, data) in &mut rows {
            *rtype = *random.choice([*rtype, 50, DS, DNSKEY].iter()).unwrap();
            let keep = random.usize(..=data.len());
            data.truncate(keep);
            for octet in data.iter_mut() {
                if random.u8(..) < 16 {
                    *octet = random.u8(..);
                }
            }
        }
        let keys = rows.clone();
        let asked = exchange("www.svc.test.", "AAAA", AUTHORITY, &[], &rows);
        let _ = tree.seen(&rows, keys, vec![asked]);
    }
}
