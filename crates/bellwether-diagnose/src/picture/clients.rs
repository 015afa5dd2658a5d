//! Kinds of clients, where they make different things of one chain.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bellwether_model::report::Baseline;
use bellwether_model::tls::{CertProblem, ClientProfile, HelloAnswer, TlsResult};

use super::AddressView;

/// Who takes what an address shows, and who refuses it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// Kinds that take it.
    pub accept: Vec<ClientProfile>,
    /// Kinds that refuse it.
    pub refuse: Vec<ClientProfile>,
}

impl Clients {
    /// Do they disagree?
    #[must_use]
    pub fn is_split(&self) -> bool {
        !self.accept.is_empty() && !self.refuse.is_empty()
    }
}

/// Who has shown an intermediate certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shower<'a> {
    /// Another address, in the observation with this id.
    Now(IpAddr, &'a str),
    /// An address of the baseline.
    Before(IpAddr),
}

/// Intermediates by subject, with who has shown them beside a good chain.
pub type Intermediates<'a> = BTreeMap<String, Shower<'a>>;

/// Every intermediate that the service's addresses show now, or showed when all was well.
#[must_use]
pub fn intermediates<'a>(
    views: &BTreeMap<IpAddr, AddressView<'a>>,
    baseline: Option<&Baseline>,
) -> Intermediates<'a> {
    let mut known = Intermediates::new();
    for before in baseline.iter().flat_map(|b| &b.addresses) {
        for subject in &before.intermediates {
            known.insert(subject.clone(), Shower::Before(before.address));
        }
    }
    for view in views.values() {
        let good = view.tls.filter(|(_, tls)| tls.problems.is_empty());
        let Some((id, _)) = good else {
            continue;
        };
        for subject in view.intermediates() {
            known.insert(subject.to_owned(), Shower::Now(view.address, id));
        }
    }
    known
}

/// The intermediate that a chain lacks, if that is what is wrong. A chain that ends at an issuer
/// of whom nothing is known ends at an unknown root, unless that issuer has been seen in between.
#[must_use]
pub fn missing<'p>(problem: &'p CertProblem, known: &Intermediates<'_>) -> Option<&'p str> {
    match problem {
        CertProblem::ChainIncomplete { missing, .. } => Some(missing),
        CertProblem::UntrustedRoot {
            issuer,
            self_signed: false,
        } if known.contains_key(issuer) => Some(issuer),
        CertProblem::UntrustedRoot { .. }
        | CertProblem::Expired { .. }
        | CertProblem::NotYetValid { .. }
        | CertProblem::NameMismatch { .. }
        | CertProblem::Policy { .. }
        | CertProblem::LongPath { .. }
        | CertProblem::BadSignature { .. }
        | CertProblem::Malformed { .. }
        | CertProblem::NotLogged { .. }
        | CertProblem::Staple { .. }
        | CertProblem::Revoked { .. }
        | CertProblem::Other { .. } => None,
    }
}

/// Suites that are out of date, and that browsers and OpenSSL still offer last, for old servers.
const STILL_OFFERED: [&str; 6] = [
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
];

/// Does the server take TLS 1.2 with one of those, and nothing better?
#[must_use]
pub fn is_still_taken(view: &AddressView<'_>) -> bool {
    let (Some((_, tls)), Some((_, hellos))) = (view.tls, view.hellos) else {
        return false;
    };
    let mut answers = hellos.hellos.iter().filter_map(|h| match &h.answer {
        HelloAnswer::ServerHello {
            version, cipher, ..
        } => Some((version, cipher)),
        _ => None,
    });
    let is_taken = |(version, cipher): (&String, &String)| {
        version == "TLS 1.2" && STILL_OFFERED.contains(&cipher.as_str())
    };
    let fails = tls.result != TlsResult::Completed && !view.is_mixed;
    fails && answers.clone().next().is_some() && answers.all(is_taken)
}

/// What kinds of clients make of a handshake. A browser that has met an intermediate at another
/// address remembers it.
#[must_use]
pub fn of(view: &AddressView<'_>, known: &Intermediates<'_>) -> Clients {
    let mut clients = Clients::default();
    let Some((_, tls)) = view.tls else {
        return clients;
    };
    if is_still_taken(view) {
        clients.accept = vec![ClientProfile::Browser, ClientProfile::Openssl];
        clients.refuse = vec![ClientProfile::AeadOnly];
    }
    if tls.result != TlsResult::Completed {
        return clients;
    }
    let remembers = !tls.problems.is_empty()
        && tls
            .problems
            .iter()
            .all(|p| missing(p, known).is_some_and(|subject| known.contains_key(subject)));
    for verdict in &tls.profiles {
        let remembered = remembers && verdict.profile == ClientProfile::Browser;
        if verdict.refuses.is_none() || remembered {
            clients.accept.push(verdict.profile);
        } else {
            clients.refuse.push(verdict.profile);
        }
    }
    clients
}
