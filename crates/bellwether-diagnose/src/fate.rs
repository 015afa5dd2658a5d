//! What watches and tells, and would fall together with what it watches: computed beforehand, from
//! what is configured and what was last known good.
//!
//! Pure, like all judging. Only what is known is compared: of a host of ours that is no target itself
//! nothing but its name, its addresses and its network are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bellwether_model::report::{Role, Severity};
use bellwether_model::{
    Baseline, Cause, CheckId, DnsName, Fact, FactKind, Finding, Layer, Owner, Scope,
};
use serde_json::json;

use crate::suffix::registered;
use crate::words::{count, list};

/// How sure we are: what is compared is declared, or was seen.
const CONFIDENCE: f64 = 0.95;

/// Something of ours that is needed most when what is watched has fallen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// What it is for.
    pub part: Part,
    /// Its name in the configuration: `public`, `oncall`, `fra`.
    pub name: String,
    /// The host it is reached by, where that is a name.
    pub host: Option<DnsName>,
    /// The address it is reached at, where that is known.
    pub address: Option<IpAddr>,
    /// The AS it stands in, where that is known.
    pub asn: Option<u32>,
}

/// What a thing of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Where the hub is reached.
    Hub,
    /// What the public looks at.
    StatusPage,
    /// Who is told.
    Receiver,
    /// By whom names are looked up.
    Resolver,
    /// Where it is measured from.
    Vantage,
}

impl Part {
    /// What it is called, before its name.
    fn word(self) -> &'static str {
        match self {
            Self::Hub => "the hub",
            Self::StatusPage => "status page",
            Self::Receiver => "receiver",
            Self::Resolver => "resolver",
            Self::Vantage => "vantage",
        }
    }

    /// What nobody has any more when it falls.
    fn loss(self) -> &'static str {
        match self {
            Self::Hub => "nobody reaches the hub, and agents cannot bring what they see",
            Self::StatusPage => "nobody reads the status page",
            Self::Receiver => "nobody is told",
            Self::Resolver => "no check through this resolver can tell it from a fault of its own",
            Self::Vantage => "the vantage is cut off too, or sees what nobody else sees",
        }
    }

    fn cure(self) -> &'static str {
        match self {
            Self::Hub => {
                "Give the hub a name in another zone, at another DNS operator and in another network"
            }
            Self::StatusPage => {
                "Serve the status page under a name that is registered apart, at another DNS operator and another host"
            }
            Self::Receiver => {
                "Add a receiver that is reached by other names and another network (a pager, a chat elsewhere)"
            }
            Self::Resolver => "Add a resolver that has nothing to do with this one",
            Self::Vantage => "Add a vantage in another network",
        }
    }
}

/// A check's target.
#[derive(Clone, Debug)]
pub struct Watched<'a> {
    /// The check.
    pub check: &'a CheckId,
    /// The host's name, if it has one.
    pub name: Option<&'a DnsName>,
    /// What was last known good of it.
    pub baseline: Option<&'a Baseline>,
}

/// Something that ours has in common with what it watches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tie {
    /// A registered name: `shop.example.`
    Zone(DnsName),
    /// Who runs all name servers of both: `dns-a.example.`
    Operator(String),
    /// An address.
    Address(IpAddr),
    /// A network with all addresses of both.
    Network(String),
    /// A certificate, by its SHA-256.
    Certificate(String),
}

impl Tie {
    fn words(&self) -> String {
        match self {
            Self::Zone(zone) => format!("the zone {zone}"),
            Self::Operator(operator) => format!("the name servers of {operator}"),
            Self::Address(address) => format!("the address {address}"),
            Self::Network(network) => format!("the network {network}"),
            Self::Certificate(digest) => {
                let short: String = digest.chars().take(16).collect();
                format!("the certificate {short}…")
            }
        }
    }
}

/// Something of ours that falls together with checks.
#[derive(Clone, Debug, PartialEq)]
pub struct Fate {
    /// What of ours.
    pub part: Part,
    /// Its name.
    pub name: String,
    /// What it has in common with them.
    pub tie: Tie,
    /// The checks, sorted.
    pub checks: Vec<CheckId>,
    /// One sentence.
    pub summary: String,
    /// What to do.
    pub remedy: String,
}

impl Fate {
    /// As a warning of one of its checks.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let value = json!({
            "what": self.part.word(),
            "name": self.name,
            "shared": self.tie.words(),
            "checks": self.checks.len(),
        });
        let fact = Fact {
            fact: FactKind::SharesFate,
            value,
            from: Vec::new(),
        };
        Finding {
            cause: Cause::MonitorSharedFate,
            layer: Layer::Monitor,
            role: Role::Warning,
            severity: Severity::Warning,
            confidence: CONFIDENCE,
            scope: Scope::default(),
            summary: self.summary.clone(),
            remedy: self.remedy.clone(),
            see: None,
            facts: vec![fact],
            evidence: Vec::new(),
        }
    }
}

/// What of ours falls together with what is watched, sorted: each thing of ours with each tie once.
#[must_use]
pub fn fates(own: &[Own], watched: &[Watched<'_>]) -> Vec<Fate> {
    let mut ties: BTreeMap<(Part, String, Tie), BTreeSet<CheckId>> = BTreeMap::new();
    let hosts: BTreeMap<&DnsName, &Watched<'_>> = watched
        .iter()
        .filter_map(|one| Some((one.name?, one)))
        .collect();
    let zones = by_zone(watched);
    for ours in own {
        // A host of ours that is watched itself is known as well as any target.
        let known = ours.host.as_ref().and_then(|host| hosts.get(host));
        let known = known.and_then(|one| one.baseline).map(Known::of);
        let mut tie = |tie: Tie, check: &CheckId| {
            let key = (ours.part, ours.name.clone(), tie);
            ties.entry(key).or_default().insert(check.clone());
        };
        let zone = ours.host.as_ref().map(registered);
        for one in zone.iter().flat_map(|zone| zones.get(zone)).flatten() {
            // That it falls together with itself is no news.
            if let Some(zone) = &zone
                && one.name != ours.host.as_ref()
            {
                tie(Tie::Zone(zone.clone()), one.check);
            }
        }
        if ours.address.is_none() && ours.asn.is_none() && known.is_none() {
            continue;
        }
        for one in watched {
            let same_zone = one.name.map(registered) == zone && zone.is_some();
            let Some(theirs) = one.baseline.map(Known::of).filter(|_| !same_zone) else {
                continue;
            };
            if let Some(found) = shared(ours, known.as_ref(), &theirs) {
                tie(found, one.check);
            }
        }
    }
    let fates = ties.into_iter();
    fates
        .map(|((part, name, tie), checks)| worded(part, name, tie, checks))
        .collect()
}

fn by_zone<'w, 'a>(watched: &'w [Watched<'a>]) -> BTreeMap<DnsName, Vec<&'w Watched<'a>>> {
    let mut zones: BTreeMap<DnsName, Vec<&Watched<'_>>> = BTreeMap::new();
    for one in watched {
        if let Some(name) = one.name {
            zones.entry(registered(name)).or_default().push(one);
        }
    }
    zones
}

/// What a baseline says somebody depends on.
struct Known<'b> {
    /// Who runs all name servers of its zone, if it is one.
    operator: Option<String>,
    addresses: BTreeSet<IpAddr>,
    /// Owners of its addresses; none where one of them is not known.
    owners: Vec<&'b Owner>,
    certificates: BTreeSet<&'b str>,
}

impl<'b> Known<'b> {
    fn of(baseline: &'b Baseline) -> Self {
        let own = baseline.zones.iter().find(|zone| zone.holds_name);
        let operators: BTreeSet<String> = own
            .into_iter()
            .flat_map(|zone| &zone.parent_names)
            .map(|name| registered(name).to_string())
            .collect();
        let owners: Option<Vec<&Owner>> = baseline
            .addresses
            .iter()
            .map(|a| a.owner.as_ref())
            .collect();
        let certificates = baseline.addresses.iter();
        Self {
            operator: (operators.len() == 1)
                .then(|| operators.into_iter().next())
                .flatten(),
            addresses: baseline.addresses.iter().map(|a| a.address).collect(),
            owners: owners.unwrap_or_default(),
            certificates: certificates
                .filter_map(|a| a.certificate.as_deref())
                .collect(),
        }
    }

    /// The AS that all its addresses are in.
    fn network(&self) -> Option<&Owner> {
        let (first, rest) = self.owners.split_first()?;
        first.asn?;
        rest.iter()
            .all(|owner| owner.asn == first.asn)
            .then_some(first)
    }
}

/// The nearest thing that both have in common: what is nearer falls more often.
fn shared(ours: &Own, known: Option<&Known<'_>>, theirs: &Known<'_>) -> Option<Tie> {
    let own_addresses = known.map(|known| &known.addresses);
    let mut addresses = own_addresses.into_iter().flatten().chain(&ours.address);
    if let Some(address) = addresses.find(|address| theirs.addresses.contains(address)) {
        return Some(Tie::Address(*address));
    }
    if let Some(known) = known {
        let certificates = known.certificates.intersection(&theirs.certificates);
        if let Some(certificate) = certificates.min() {
            return Some(Tie::Certificate((*certificate).to_owned()));
        }
        if let (Some(operator), Some(other)) = (&known.operator, &theirs.operator)
            && operator == other
        {
            return Some(Tie::Operator(operator.clone()));
        }
    }
    let network = theirs.network()?;
    let asn = ours.asn.or_else(|| known?.network()?.asn)?;
    (network.asn == Some(asn)).then(|| Tie::Network(network.to_string()))
}

fn worded(part: Part, name: String, tie: Tie, checks: BTreeSet<CheckId>) -> Fate {
    let services: BTreeSet<&str> = checks.iter().map(CheckId::service).collect();
    let watched = match services.len() {
        few if few <= 4 => list(&services),
        many => count(many, "service"),
    };
    let ours = match part {
        Part::Hub => part.word().to_owned(),
        _ => format!("{} {name}", part.word()),
    };
    let shared = tie.words();
    let summary = format!(
        "{ours} needs {shared}, as {watched} {does}: when that fails, {loss}",
        does = if services.len() == 1 { "does" } else { "do" },
        loss = part.loss(),
    );
    Fate {
        remedy: format!("{}, so that it outlives {shared}.", part.cure()),
        checks: checks.into_iter().collect(),
        part,
        name,
        tie,
        summary,
    }
}

/// Vantages that are one voice: all of them stand in one network, so that together they can tell no
/// more than one of them. `None` where there is one or none, or a network is not known.
#[must_use]
pub fn one_network(vantages: &[(String, Option<u32>)]) -> Option<String> {
    let networks: Option<BTreeSet<u32>> = vantages.iter().map(|(_, asn)| *asn).collect();
    let networks = networks.filter(|all| vantages.len() > 1 && all.len() == 1)?;
    let names = vantages.iter().map(|(name, _)| name);
    Some(format!(
        "the vantages {} all stand in AS{}: a fault of that network looks like one of every service; add a vantage in another network",
        list(names),
        networks.first()?
    ))
}

#[cfg(test)]
mod tests {
    use bellwether_model::report::{BaselineAddress, BaselineServer, BaselineZone};
    use jiff::Timestamp;

    use super::*;

    fn name(text: &str) -> DnsName {
        DnsName::typed(text).unwrap()
    }

    fn own(part: Part, host: Option<&str>) -> Own {
        Own {
            part,
            name: "ours".to_owned(),
            host: host.map(name),
            address: None,
            asn: None,
        }
    }

    fn baseline(operator: &str, address: &str, asn: Option<u32>, certificate: &str) -> Baseline {
        let server = name(&format!("ns1.{operator}"));
        Baseline {
            at: Timestamp::UNIX_EPOCH,
            zones: vec![BaselineZone {
                zone: name("svc.test"),
                parent_names: vec![server.clone(), name(&format!("ns2.{operator}"))],
                servers: vec![BaselineServer {
                    name: server,
                    addresses: Vec::new(),
                }],
                serial: None,
                holds_name: true,
            }],
            addresses: vec![BaselineAddress {
                address: address.parse().unwrap(),
                owner: Some(Owner {
                    asn,
                    name: "Net".to_owned(),
                    prefix: String::new(),
                }),
                certificate: Some(certificate.to_owned()),
                client_cert_requested: None,
                issuer: None,
                scts: 0,
                intermediates: Vec::new(),
            }],
            aliases: Vec::new(),
            ttl: None,
        }
    }

    /// Ties of one thing of ours to targets of these names and baselines.
    fn ties(ours: Own, targets: &[(&str, Option<&Baseline>)]) -> Vec<(Tie, Vec<String>)> {
        let named: Vec<(CheckId, DnsName, Option<&Baseline>)> = targets
            .iter()
            .map(|(host, baseline)| (CheckId::new(host, "main"), name(host), *baseline))
            .collect();
        let watched: Vec<Watched<'_>> = named
            .iter()
            .map(|(check, name, baseline)| Watched {
                check,
                name: Some(name),
                baseline: *baseline,
            })
            .collect();
        let found = fates(&[ours], &watched).into_iter();
        found
            .map(|fate| {
                let checks = fate.checks.iter().map(|c| c.service().to_owned());
                (fate.tie, checks.collect())
            })
            .collect()
    }

    #[test]
    fn a_status_page_in_a_watched_zone_is_told_of() {
        let page = own(Part::StatusPage, Some("status.shop.test"));
        let found = ties(
            page.clone(),
            &[
                ("www.shop.test", None),
                ("api.shop.test", None),
                ("www.other.test", None),
            ],
        );
        let both = vec!["api.shop.test".to_owned(), "www.shop.test".to_owned()];
        assert_eq!(found, [(Tie::Zone(name("shop.test")), both)]);
        assert_eq!(ties(page.clone(), &[("www.other.test", None)]), []);
        // That it is watched itself ties it to nothing.
        assert_eq!(ties(page, &[("status.shop.test", None)]), []);
    }

    #[test]
    fn a_host_of_ours_that_is_watched_is_known_as_targets_are() {
        let page = baseline("dns-a.test", "192.0.2.1", Some(64500), "aa");
        let cases = [
            (
                baseline("dns-a.test", "192.0.2.9", Some(64501), "bb"),
                Some(Tie::Operator("dns-a.test.".to_owned())),
            ),
            (
                baseline("dns-b.test", "192.0.2.1", Some(64501), "bb"),
                Some(Tie::Address("192.0.2.1".parse().unwrap())),
            ),
            (
                baseline("dns-b.test", "192.0.2.9", Some(64501), "aa"),
                Some(Tie::Certificate("aa".to_owned())),
            ),
            (
                baseline("dns-b.test", "192.0.2.9", Some(64500), "bb"),
                Some(Tie::Network("AS64500 Net".to_owned())),
            ),
            (baseline("dns-b.test", "192.0.2.9", Some(64501), "bb"), None),
            (baseline("dns-b.test", "192.0.2.9", None, "bb"), None),
        ];
        for (shop, tie) in cases {
            let ours = own(Part::StatusPage, Some("status.page.test"));
            let found = ties(
                ours,
                &[
                    ("status.page.test", Some(&page)),
                    ("www.shop.test", Some(&shop)),
                ],
            );
            let found: Vec<Tie> = found.into_iter().map(|(tie, _)| tie).collect();
            assert_eq!(found, Vec::from_iter(tie));
        }
    }

    #[test]
    fn two_operators_on_one_side_are_no_shared_fate() {
        let page = baseline("dns-a.test", "192.0.2.1", None, "aa");
        let mut shop = baseline("dns-a.test", "192.0.2.9", None, "bb");
        shop.zones[0].parent_names.push(name("ns1.dns-b.test"));
        let ours = own(Part::StatusPage, Some("status.page.test"));
        let found = ties(
            ours,
            &[
                ("status.page.test", Some(&page)),
                ("www.shop.test", Some(&shop)),
            ],
        );
        assert_eq!(found, []);
    }

    #[test]
    fn a_vantage_in_the_network_of_a_target_is_told_of() {
        let shop = baseline("dns-a.test", "192.0.2.9", Some(64500), "bb");
        let vantage = Own {
            asn: Some(64500),
            ..own(Part::Vantage, None)
        };
        let found = ties(vantage.clone(), &[("www.shop.test", Some(&shop))]);
        assert_eq!(found.len(), 1);
        let elsewhere = Own {
            asn: Some(64501),
            ..vantage
        };
        assert_eq!(ties(elsewhere, &[("www.shop.test", Some(&shop))]), []);
    }

    #[test]
    fn words_say_what_is_lost_and_what_to_do() {
        let check = CheckId::new("shop", "main");
        let host = name("www.shop.test");
        let watched = [Watched {
            check: &check,
            name: Some(&host),
            baseline: None,
        }];
        let page = Own {
            name: "public".to_owned(),
            ..own(Part::StatusPage, Some("status.shop.test"))
        };
        let found = fates(&[page], &watched);
        assert_eq!(
            found[0].summary,
            "status page public needs the zone shop.test., as shop does: when that fails, nobody reads the status page"
        );
        let finding = found[0].finding();
        assert_eq!(finding.cause, Cause::MonitorSharedFate);
        assert_eq!(finding.severity, Severity::Warning);
    }

    #[test]
    fn vantages_in_one_network_are_one_voice() {
        let of = |all: &[(&str, Option<u32>)]| {
            let all: Vec<(String, Option<u32>)> = all
                .iter()
                .map(|(name, asn)| ((*name).to_owned(), *asn))
                .collect();
            one_network(&all).is_some()
        };
        assert!(of(&[("fra", Some(1)), ("nyc", Some(1))]));
        assert!(!of(&[("fra", Some(1)), ("nyc", Some(2))]));
        assert!(!of(&[("fra", Some(1)), ("nyc", None)]));
        assert!(!of(&[("fra", Some(1))]) && !of(&[]));
    }
}
