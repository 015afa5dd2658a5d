//! What one handshake leaves for those after it, in one worker: configurations, and what was made
//! of chains.
//!
//! A verdict is found again by everything that it was made from, and for as long as its certificates
//! and its staple would be judged the same. What a server *proves* is never remembered: its
//! signature is checked in each handshake.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use bellwether_model::tls::{CertProblem, CertSeen, ProfileVerdict, StapleSeen, TlsPurpose};
use bellwether_pki::{Anchors, Span, examine};
use jiff::Timestamp;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use sha2::{Digest, Sha256};

use super::record::Witness;
use super::{Ask, read, with_der};

/// Verdicts that are kept: chains that a worker meets again within minutes, which are those of all its
/// services.
const VERDICTS_MAX: usize = 16_384;
/// Bytes that they may take together, their certificates included.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// One that takes more is not kept: real ones take some 4 KiB, most of it in certificates that they
/// have in common with others.
const VERDICT_LEN_MAX: usize = 64 * 1024;
/// What a text costs besides its bytes: its place in a list, and the allocator's share.
const TEXT_COST: usize = 48;

/// What the handshakes of one worker share.
#[derive(Default)]
pub(crate) struct Memory {
    configs: RefCell<Vec<(Shape, Arc<ClientConfig>)>>,
    verdicts: RefCell<Verdicts>,
}

/// What configurations differ in; there are as many as the code names lists of protocols.
#[derive(PartialEq, Eq)]
struct Shape {
    names_host: bool,
    alpn: &'static [&'static [u8]],
}

/// A chain as one server showed it.
pub(super) struct Chain<'a> {
    pub(super) certs: &'a [Vec<u8>],
    pub(super) staple: Option<&'a [u8]>,
    /// Whom we aim at.
    pub(super) host: &'a str,
}

/// What was made of a chain.
#[derive(Debug)]
pub(super) struct Judged {
    /// Without their bytes: who shows them has those.
    chain: Vec<Rc<CertSeen>>,
    pub(super) problems: Vec<CertProblem>,
    pub(super) profiles: Vec<ProfileVerdict>,
    pub(super) staple: Option<StapleSeen>,
    span: Span,
}

#[derive(Default)]
struct Verdicts {
    known: HashMap<[u8; 32], Rc<Judged>>,
    /// Certificates of these verdicts, by their digest: those of authorities stand in many chains.
    certs: HashMap<String, Rc<CertSeen>>,
    bytes: usize,
    /// Which half is forgotten next when there are too many.
    half: u8,
}

impl Memory {
    /// How to shake hands as asked.
    pub(super) fn config(&self, ask: &Ask) -> Result<Arc<ClientConfig>, String> {
        let shape = Shape {
            names_host: ask.purpose != TlsPurpose::NoSni,
            alpn: ask.alpn,
        };
        let mut configs = self.configs.borrow_mut();
        if let Some((_, config)) = configs.iter().find(|(known, _)| *known == shape) {
            return Ok(config.clone());
        }
        let config = Arc::new(config(&shape)?);
        configs.push((shape, config.clone()));
        Ok(config)
    }

    /// What strict clients make of a chain at this time.
    pub(super) fn judged(&self, chain: &Chain<'_>, anchors: &Anchors, at: Timestamp) -> Rc<Judged> {
        let key = chain.key(anchors);
        let mut verdicts = self.verdicts.borrow_mut();
        if let Some(judged) = verdicts.known.get(&key).filter(|j| j.span.holds(at)) {
            return judged.clone();
        }
        verdicts.keep(key, chain.judge(anchors, at))
    }
}

impl Chain<'_> {
    /// Everything that a verdict is made from but the time, each part behind its length.
    fn key(&self, anchors: &Anchors) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(anchors.digest());
        let mut part = |bytes: &[u8]| {
            hash.update(bytes.len().to_le_bytes());
            hash.update(bytes);
        };
        part(self.host.as_bytes());
        part(&[u8::from(self.staple.is_some())]);
        part(self.staple.unwrap_or_default());
        for cert in self.certs {
            part(cert);
        }
        hash.finalize().into()
    }

    fn judge(&self, anchors: &Anchors, at: Timestamp) -> Judged {
        let examined = examine(self.certs, self.staple, anchors, self.host, at);
        let chain = if examined.certs.len() == self.certs.len() {
            examined.certs
        } else {
            self.certs.iter().map(|der| read(der)).collect()
        };
        Judged {
            chain: chain.into_iter().map(Rc::new).collect(),
            problems: examined.problems,
            profiles: examined.profiles,
            staple: examined.staple,
            span: examined.span,
        }
    }
}

impl Judged {
    /// The chain as it is told, of which these are the bytes.
    pub(super) fn chain(&self, certs: &[Vec<u8>]) -> Vec<CertSeen> {
        let chain = self.chain.iter().map(|cert| (**cert).clone());
        with_der(chain.collect(), certs)
    }

    /// Bytes that it takes, about, without its certificates.
    fn cost(&self) -> usize {
        let maybe = |text_of: &Option<String>| text_of.as_deref().map_or(0, text);
        let problem = |problem: &CertProblem| {
            // Its texts stand in this one, and their places are fewer than their letters.
            size_of::<CertProblem>() + 4 * format!("{problem:?}").len()
        };
        let profile =
            |verdict: &ProfileVerdict| size_of::<ProfileVerdict>() + maybe(&verdict.refuses);
        let staple = self.staple.as_ref();
        size_of::<Self>()
            + self.chain.len() * size_of::<Rc<CertSeen>>()
            + self.problems.iter().map(problem).sum::<usize>()
            + self.profiles.iter().map(profile).sum::<usize>()
            + staple.map_or(0, |staple| maybe(&staple.problem))
    }
}

fn text(text: &str) -> usize {
    text.len() + TEXT_COST
}

/// Bytes that a certificate takes, about, its place in the table included.
fn cert_cost(cert: &CertSeen) -> usize {
    let all = |texts: &[String]| texts.iter().map(|t| text(t)).sum::<usize>();
    let own = [
        &cert.sha256,
        &cert.sha256,
        &cert.subject,
        &cert.issuer,
        &cert.serial,
        &cert.key,
        &cert.signature,
    ];
    size_of::<CertSeen>()
        + own.map(|t| text(t)).iter().sum::<usize>()
        + all(&cert.names)
        + cert.addresses.len() * size_of::<std::net::IpAddr>()
        + all(&cert.issuer_urls)
        + cert.malformed.as_deref().map_or(0, text)
}

impl Verdicts {
    /// Keeps a verdict, if it may be kept. Equal certificates become one, those that stand in this
    /// chain more than once included: what is kept is what is counted.
    fn keep(&mut self, key: [u8; 32], mut judged: Judged) -> Rc<Judged> {
        let cost = judged.cost();
        let certs = judged.chain.iter().map(|c| cert_cost(c)).sum::<usize>();
        let is_other = |cert: &Rc<CertSeen>| {
            let known = self.certs.get(&cert.sha256);
            known.is_some_and(|known| known != cert)
        };
        // Of one digest one reading is counted: a second one would be kept beside it.
        if cost + certs > VERDICT_LEN_MAX || judged.chain.iter().any(is_other) {
            return Rc::new(judged);
        }
        // What counted at another time.
        if let Some(former) = self.known.remove(&key) {
            self.bytes -= former.cost();
        }
        if self.known.len() >= VERDICTS_MAX || self.bytes + cost + certs > BYTES_MAX {
            self.forget();
        }
        self.bytes += cost;
        for cert in &mut judged.chain {
            if let Some(known) = self.certs.get(&cert.sha256) {
                *cert = known.clone();
            } else {
                self.bytes += cert_cost(cert);
                self.certs.insert(cert.sha256.clone(), cert.clone());
            }
        }
        let judged = Rc::new(judged);
        self.known.insert(key, judged.clone());
        judged
    }

    /// Forgets every second verdict. Services are met in turn: of more than there is room for, those
    /// are met again soonest that were not met for longest, so that the oldest are no worse than others.
    fn forget(&mut self) {
        self.half ^= 1;
        let half = self.half;
        self.known.retain(|key, _| key[0] & 1 == half);
        self.certs.retain(|_, cert| Rc::strong_count(cert) > 1);
        let verdicts = self.known.values().map(|judged| judged.cost());
        let certs = self.certs.values().map(|cert| cert_cost(cert));
        self.bytes = verdicts.sum::<usize>() + certs.sum::<usize>();
        if self.bytes > BYTES_MAX / 2 + BYTES_MAX / 4 {
            // Whoever chose which ones stay.
            *self = Self::default();
        }
    }
}

fn config(shape: &Shape) -> Result<ClientConfig, String> {
    let witness = Arc::new(Witness::new(provider()));
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(witness.clone())
        .with_client_cert_resolver(witness);
    config.resumption = Resumption::disabled();
    config.enable_sni = shape.names_host;
    config.alpn_protocols = shape.alpn.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

/// The cryptography of a current client. AES-128 comes first, as in browsers, and because hashing
/// with SHA-384 costs more than the cipher.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let made = PROVIDER.get_or_init(|| {
        let mut provider = aws_lc_rs::default_provider();
        let first = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256.suite();
        provider
            .cipher_suites
            .sort_by_key(|suite| suite.suite() != first);
        Arc::new(provider)
    });
    made.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roots::anchors;
    use crate::testing::{Pki, job, trusting};

    const HOST: &str = "www.svc.test";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn june() -> Timestamp {
        at("2026-06-01T00:00:00Z")
    }

    fn shown(certs: &[Vec<u8>]) -> Chain<'_> {
        Chain {
            certs,
            staple: None,
            host: HOST,
        }
    }

    fn kept(memory: &Memory) -> usize {
        memory.verdicts.borrow().known.len()
    }

    #[test]
    fn the_same_chain_is_judged_once() {
        let pki = Pki::new();
        let roots = anchors(&trusting("https://svc.test/", &pki));
        let chain = pki.chain(&[HOST], 2026).chain;
        let memory = Memory::default();
        let first = memory.judged(&shown(&chain), &roots, june());
        let later = june() + jiff::SignedDuration::from_secs(3600);
        let second = memory.judged(&shown(&chain), &roots, later);
        assert!(Rc::ptr_eq(&first, &second));
        assert_eq!(first.problems, []);
        assert_eq!(first.chain[0].names, [HOST]);
        assert!(first.chain(&chain)[0].der.is_some());
        assert!(first.chain[0].der.is_none());
    }

    #[test]
    fn a_verdict_stands_for_no_other() {
        let pki = Pki::new();
        let mine = anchors(&trusting("https://svc.test/", &pki));
        let others = anchors(&job("https://svc.test/"));
        let chain = pki.chain(&[HOST], 2026).chain;
        let memory = Memory::default();
        let problems = |chain: &Chain<'_>, roots: &Anchors| {
            let judged = memory.judged(chain, roots, june());
            let fresh = chain.judge(roots, june());
            assert_eq!(judged.problems, fresh.problems);
            assert_eq!(judged.profiles, fresh.profiles);
            assert_eq!(judged.staple, fresh.staple);
            assert_eq!(judged.chain(chain.certs), fresh.chain(chain.certs));
            judged.problems.len()
        };
        // Asked twice each: the second time from memory.
        for _ in 0..2 {
            assert_eq!(problems(&shown(&chain), &mine), 0);
            // Other roots.
            assert_eq!(problems(&shown(&chain), &others), 1);
            // Another name.
            let host = "other.svc.test";
            let named = Chain {
                host,
                ..shown(&chain)
            };
            assert_eq!(problems(&named, &mine), 1);
            // Another staple, and an empty one, which is another thing than none.
            for staple in [&b"no response"[..], b"", b"no respons"] {
                let stapled = Chain {
                    staple: Some(staple),
                    ..shown(&chain)
                };
                assert_eq!(problems(&stapled, &mine), 0);
                assert!(memory.judged(&stapled, &mine, june()).staple.is_some());
            }
            // Other certificates, more of them, and the same bytes cut elsewhere.
            let longer = [chain.clone(), vec![pki.root.clone()]].concat();
            assert_eq!(problems(&shown(&longer), &mine), 0);
            let joined = vec![longer.concat()];
            assert_eq!(problems(&shown(&joined), &mine), 1);
            let expired = pki.chain(&[HOST], 2025).chain;
            assert_eq!(problems(&shown(&expired), &mine), 1);
        }
        assert_eq!(kept(&memory), 10);
    }

    #[test]
    fn a_certificate_that_ends_between_two_probes() {
        let pki = Pki::new();
        let roots = anchors(&trusting("https://svc.test/", &pki));
        let chain = pki.chain(&[HOST], 2026).chain;
        let memory = Memory::default();
        let judged = |text: &str| {
            let judged = memory.judged(&shown(&chain), &roots, at(text));
            let fresh = shown(&chain).judge(&roots, at(text));
            assert_eq!(judged.problems, fresh.problems, "{text}");
            judged.problems.len()
        };
        // It ends with the year's last day, at midnight before it.
        for (text, problems) in [
            ("2026-12-30T23:59:59Z", 0),
            ("2026-12-31T00:00:00Z", 0),
            ("2026-12-31T00:00:00.5Z", 1),
            ("2026-12-31T00:00:01Z", 1),
            ("2026-12-30T23:59:59Z", 0),
            ("2019-12-31T23:59:59Z", 1),
            ("2020-01-01T00:00:00Z", 0),
        ] {
            assert_eq!(judged(text), problems, "{text}");
        }
        // Of one chain one verdict is kept, the last.
        assert_eq!(kept(&memory), 1);
    }

    #[test]
    fn a_hostile_peer_cannot_fill_the_memory() {
        let roots = Anchors::none();
        let memory = Memory::default();
        let judged = |certs: &[Vec<u8>]| {
            let _ = memory.judged(&shown(certs), &roots, june());
            let verdicts = memory.verdicts.borrow();
            assert!(verdicts.bytes <= BYTES_MAX);
            assert!(verdicts.known.len() <= VERDICTS_MAX);
            let sum: usize = verdicts.known.values().map(|judged| judged.cost()).sum();
            let certs = verdicts.certs.values().map(|cert| cert_cost(cert));
            assert_eq!(verdicts.bytes, sum + certs.sum::<usize>());
        };
        let chain = |n: u32, len: u8| -> Vec<Vec<u8>> {
            let cert = |at| [&n.to_be_bytes()[..], &[0x30, at]].concat();
            (0..len).map(cert).collect()
        };
        // A large one is told, and not kept.
        judged(&chain(0, u8::MAX));
        assert_eq!(kept(&memory), 0);
        let mut most = 0;
        for n in 0..700 {
            judged(&chain(n, 60));
            most = most.max(kept(&memory));
        }
        // Half of them were forgotten at a time.
        assert!(kept(&memory) > 0 && most < 700, "{most}");
    }

    #[test]
    fn a_certificate_that_is_repeated_in_a_chain_is_kept_once() {
        let pki = Pki::new();
        let roots = anchors(&trusting("https://svc.test/", &pki));
        let memory = Memory::default();
        let certs = vec![pki.chain(&[HOST], 2026).chain.swap_remove(0); 20];
        let judged = memory.judged(&shown(&certs), &roots, june());
        assert_eq!(judged.chain(&certs).len(), 20);
        let first = &judged.chain[0];
        assert!(judged.chain.iter().all(|cert| Rc::ptr_eq(cert, first)));
        let verdicts = memory.verdicts.borrow();
        assert_eq!((verdicts.known.len(), verdicts.certs.len()), (1, 1));
        assert_eq!(verdicts.bytes, judged.cost() + cert_cost(first));
    }

    #[test]
    fn certificates_of_authorities_are_kept_once() {
        let pki = Pki::new();
        let roots = anchors(&trusting("https://svc.test/", &pki));
        let memory = Memory::default();
        let shown_last = |host: &str| {
            let certs = pki.chain(&[host], 2026).chain;
            let certs = [certs, vec![pki.root.clone()]].concat();
            let judged = memory.judged(&shown(&certs), &roots, june());
            judged.chain.last().unwrap().clone()
        };
        let (one, other) = (shown_last("a.svc.test"), shown_last("b.svc.test"));
        assert!(Rc::ptr_eq(&one, &other));
    }

    #[test]
    fn configurations_are_made_once() {
        let memory = Memory::default();
        let ask = |purpose, alpn| Ask {
            address: "192.0.2.1:443".parse().unwrap(),
            host: bellwether_model::target::Host::Address("192.0.2.1".parse().unwrap()),
            purpose,
            alpn,
        };
        let config = |purpose, alpn| memory.config(&ask(purpose, alpn)).unwrap();
        let web = config(TlsPurpose::User, super::super::WEB);
        assert!(Arc::ptr_eq(
            &web,
            &config(TlsPurpose::User, super::super::WEB)
        ));
        assert!(web.enable_sni);
        let old = config(TlsPurpose::User, super::super::HTTP_1_1);
        assert_eq!(old.alpn_protocols, [b"http/1.1".to_vec()]);
        assert!(!config(TlsPurpose::NoSni, super::super::WEB).enable_sni);
    }
}
