//! What several checks may have in common, and which of it a cause is at.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use bellwether_model::{
    Cause, CheckId, DnsName, FactKind, Finding, Layer, Outcome, Report, VantageId,
};
use serde::{Deserialize, Serialize};

use crate::suffix::public_suffix;

/// Of a service so many addresses are remembered as what it leans on.
const ADDRESSES_MAX: usize = 8;

/// Something that a trouble can be at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Party {
    /// A name server, by its name.
    NameServer(String),
    /// A zone.
    Zone(String),
    /// A resolver.
    Resolver(String),
    /// An address of the service.
    Address(IpAddr),
    /// An address at which many services may be answered for: what one of them answers says nothing
    /// of the next.
    Front(IpAddr),
    /// A certificate, by its SHA-256.
    Certificate(String),
    /// A vantage.
    Vantage(String),
    /// Who runs the name servers, by the registered name above theirs; or the network that does not
    /// carry.
    Operator(String),
    /// Who owns the addresses, of a trouble that each of their hosts may have for itself.
    Owner(String),
    /// Nothing but the check itself.
    Check(String),
}

impl Party {
    /// Is it the very thing that is at fault, and not only who runs it?
    pub(super) fn is_exact(&self) -> bool {
        !matches!(self, Self::Operator(_)) && self.crowd().is_none()
    }

    /// Something that many share who have nothing to do with each other, as it is called in
    /// [`leaned_on`]: half a cloud's customers are no reason to think of the cloud.
    pub(super) fn crowd(&self) -> Option<String> {
        match self {
            Self::Front(address) => Some(address.to_string()),
            Self::Owner(owner) => Some(owner.clone()),
            _ => None,
        }
    }
}

/// What the cause of a finding is at: what another check must share to have the same trouble.
///
/// Only what the cause blames counts. Two services whose certificates are wrong are asked for
/// through the same resolvers, and have nothing else to do with each other.
pub(super) fn of(
    finding: &Finding,
    report: &Report,
    check: &CheckId,
    vantage: &VantageId,
) -> BTreeSet<Party> {
    let mut all = of_finding(finding, check, vantage);
    let layer = finding.cause.layer().unwrap_or(finding.layer);
    let shown = match layer {
        Layer::Tls | Layer::Promise => certificates(finding, report),
        _ => BTreeSet::new(),
    };
    if !shown.is_empty() {
        // Who shows a certificate at an address shows others beside it: the trouble is this one's.
        all.retain(|p| !matches!(p, Party::Address(_)));
        all.extend(shown);
    }
    all
}

/// The same without what only the observations tell.
pub(super) fn of_finding(
    finding: &Finding,
    check: &CheckId,
    vantage: &VantageId,
) -> BTreeSet<Party> {
    let mut all = BTreeSet::new();
    let scope = &finding.scope;
    let code = finding.cause.code();
    let layer = finding.cause.layer().unwrap_or(finding.layer);
    if let Some(fact) = finding
        .facts
        .iter()
        .find(|f| f.fact == FactKind::SharesFate)
    {
        // One thing of ours with one tie, whichever check it was found by.
        let word = |key: &str| fact.value.get(key).and_then(serde_json::Value::as_str);
        let words = ["what", "name", "shared"].map(|key| word(key).unwrap_or_default());
        all.insert(Party::Check(words.join(" ")));
        return all;
    }
    if layer == Layer::Monitor {
        all.insert(Party::Vantage(vantage.as_str().to_owned()));
        return all;
    }
    if code.starts_with("dns.resolver.") {
        let named = scope.resolvers.iter();
        all.extend(named.map(|label| Party::Resolver(resolver(label, vantage))));
    } else if matches!(layer, Layer::Dns | Layer::Reg) {
        name_servers(scope, &mut all);
        zones(finding, &mut all);
    } else {
        let party = match layer {
            Layer::Http | Layer::App => Party::Front,
            _ => Party::Address,
        };
        all.extend(scope.addresses.iter().copied().map(party));
        let owner = if is_networks(code) {
            Party::Operator
        } else {
            Party::Owner
        };
        all.extend(scope.owners.iter().cloned().map(owner));
        if layer == Layer::Promise {
            name_servers(scope, &mut all);
            zones(finding, &mut all);
        }
    }
    if !all.iter().any(Party::is_exact) {
        all.insert(Party::Check(check.to_string()));
    }
    all
}

/// A resolver on the machine or in the network of a vantage is called the same at others.
fn resolver(label: &str, vantage: &VantageId) -> String {
    let address = label.rsplit("//").next().unwrap_or(label);
    let by_port = || address.parse::<SocketAddr>().ok().map(|at| at.ip());
    let at = address.parse::<IpAddr>().ok().or_else(by_port);
    let is_near = at.is_none_or(|at| match at {
        IpAddr::V4(at) => at.is_loopback() || at.is_private() || at.is_link_local(),
        IpAddr::V6(at) => at.is_loopback() || at.is_unique_local() || at.is_unicast_link_local(),
    });
    match is_near && vantage.as_str() != VantageId::LOCAL {
        true => format!("{label} at {vantage}"),
        false => label.to_owned(),
    }
}

fn name_servers(scope: &bellwether_model::Scope, all: &mut BTreeSet<Party>) {
    for label in &scope.name_servers {
        let name = label.split('@').next().unwrap_or(label);
        all.insert(Party::NameServer(name.to_owned()));
        all.extend(operator(name).map(Party::Operator));
    }
}

/// The registered name above a name server's: `worldnic.com.` of `ns65.worldnic.com.`
pub(super) fn operator(name_server: &str) -> Option<String> {
    let name = DnsName::presentation(name_server).ok()?;
    let suffix = public_suffix(&name);
    let labels = suffix.labels().len() + 1;
    (name.labels().len() >= labels).then(|| name.last_labels(labels).to_string())
}

/// Is it the network's between us and the address, and not the host's at the address?
fn is_networks(code: &str) -> bool {
    code.starts_with("route.") || code.starts_with("net.path.")
}

/// Facts name their zone inside their value.
fn zones(finding: &Finding, all: &mut BTreeSet<Party>) {
    let named = finding.facts.iter().filter_map(|f| f.value.get("zone"));
    let named = named.filter_map(serde_json::Value::as_str);
    all.extend(named.map(|z| Party::Zone(z.to_owned())));
}

/// The certificates that a finding is about.
fn certificates(finding: &Finding, report: &Report) -> BTreeSet<Party> {
    let mut all = BTreeSet::new();
    for observation in &report.observations {
        let Outcome::Tls(seen) = &observation.outcome else {
            continue;
        };
        let concerned = finding.scope.addresses.contains(&seen.address.ip());
        if let Some(shown) = seen.chain.first()
            && concerned
            && seen.purpose == bellwether_model::tls::TlsPurpose::User
        {
            all.insert(Party::Certificate(shown.sha256.clone()));
        }
    }
    all
}

/// Who and what a report's service leans on, by its observations (operators of its name servers, its
/// addresses, their owners) and as declared: each once, sorted.
pub(super) fn leaned_on(report: &Report, declared: &[String]) -> Vec<Box<str>> {
    let mut all: Vec<Box<str>> = declared.iter().map(|d| d.as_str().into()).collect();
    for observation in &report.observations {
        match &observation.outcome {
            Outcome::Delegation(zone) if zone.holds_name => {
                let names = zone.parent_names();
                let operators = names.iter().filter_map(|n| operator(n.as_str()));
                all.extend(operators.map(String::into_boxed_str));
            }
            Outcome::Addresses(seen) => {
                let owners = seen.found.iter().filter_map(|a| a.owner.as_ref());
                all.extend(owners.map(|owner| owner.to_string().into_boxed_str()));
                let addresses = seen.found.iter().take(ADDRESSES_MAX);
                all.extend(addresses.map(|a| a.address.to_string().into_boxed_str()));
            }
            _ => {}
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// May two troubles of the same cause be one?
///
/// What is at fault itself suffices at any time. Who runs it suffices only if both began together;
/// what a crowd shares only if it was shown to be no accident besides.
pub(super) fn overlap(
    a: &BTreeSet<Party>,
    b: &BTreeSet<Party>,
    together: bool,
    proven: impl Fn(&Party) -> bool,
) -> bool {
    let suffices = |p: &Party| p.is_exact() || together && (p.crowd().is_none() || proven(p));
    a.intersection(b).any(suffices)
}

/// Does the cause concern ourselves?
pub(super) fn is_ours(cause: Cause, layer: Layer) -> bool {
    cause.layer().unwrap_or(layer) == Layer::Monitor
}
