//! An ordinary command that shows the same.

use bellwether_model::fact::Subject;
use bellwether_model::target::Host;
use bellwether_model::{Cause, FactKind, Layer};

use crate::candidates::Candidate;
use crate::picture::Picture;
use crate::rules::Over;

/// A `dig`, `openssl` or `curl` line.
#[must_use]
pub fn see(picture: &Picture<'_>, candidate: &Candidate) -> Option<String> {
    let target = &picture.context.target;
    let name = target
        .name()
        .map_or_else(|| target.host_text(), |n| n.without_dot().to_owned());
    match candidate.rule.cause.layer() {
        Some(Layer::Reg | Layer::Dns) => dns(picture, candidate, &name),
        Some(Layer::Net | Layer::Route) => {
            let address = first_address(candidate)?;
            Some(format!("nc -vz -w 4 {address} {}", target.port))
        }
        Some(Layer::Tls) => {
            let address = bracketed(first_address(candidate)?);
            let sni = match &target.host {
                Host::Name(name) => format!(" -servername {}", name.without_dot()),
                Host::Address(_) => String::new(),
            };
            Some(format!(
                "openssl s_client -connect {address}:{}{sni} </dev/null | openssl x509 -noout -subject -dates -ext subjectAltName",
                target.port
            ))
        }
        Some(Layer::Http) => {
            let address = bracketed(first_address(candidate)?);
            Some(format!(
                "curl -sv --resolve {name}:{}:{address} -o /dev/null {}",
                target.port, target.text
            ))
        }
        Some(Layer::Monitor | Layer::App | Layer::Promise) | None => None,
    }
}

fn first_address(candidate: &Candidate) -> Option<std::net::IpAddr> {
    candidate.group.subjects.iter().find_map(|s| match s {
        Subject::Address(address) => Some(*address),
        Subject::Vantage
        | Subject::Zone(_)
        | Subject::NameServer(..)
        | Subject::Resolver(_)
        | Subject::Service => None,
    })
}

fn bracketed(address: std::net::IpAddr) -> String {
    if address.is_ipv6() {
        format!("[{address}]")
    } else {
        address.to_string()
    }
}

/// The same with signatures, at the server that gave them, or through the resolver.
fn signatures(picture: &Picture<'_>, candidate: &Candidate, name: &str) -> Option<String> {
    if let Some(Subject::Resolver(label)) = candidate.group.subjects.first()
        && candidate
            .facts
            .iter()
            .any(|f| f.kind == FactKind::FailsOnlyChecked)
    {
        return Some(format!("dig @{label} {name} A +dnssec +cd"));
    }
    let chain = picture.chains_of_hops().next()?;
    let known = candidate.facts.iter().find(|f| {
        let value = |key| f.value.get(key).is_some();
        f.from.iter().any(|id| id == chain.id) && value("name_servers") && value("type")
    })?;
    let text = |key: &str| known.value.get(key)?.as_str();
    let server = known.value.pointer("/name_servers/0")?.as_str()?;
    let address = server.rsplit_once('@')?.1;
    Some(format!(
        "dig @{address} {} {} +dnssec +norec",
        text("name")?,
        text("type")?
    ))
}

fn dns(picture: &Picture<'_>, candidate: &Candidate, name: &str) -> Option<String> {
    let subject = candidate.group.subjects.iter().next()?;
    if candidate.rule.cause == Cause::DnsDelegationMissing
        || candidate.rule.over == Over::Zones && is_delegation(candidate)
    {
        let parent = parent_server(picture, candidate)?;
        let zone = candidate
            .facts
            .iter()
            .find(|f| f.kind == FactKind::ParentNxdomain);
        let zone = zone.and_then(|f| f.value.get("zone")?.as_str().map(str::to_owned));
        let zone = zone.or_else(|| candidate.zone.as_ref().map(ToString::to_string))?;
        return Some(format!("dig @{parent} {zone} NS +norec"));
    }
    if let Some(line) = signatures(picture, candidate, name) {
        return Some(line);
    }
    match subject {
        Subject::NameServer(_, Some(address)) => Some(format!("dig @{address} {name} A +norec")),
        Subject::NameServer(host, None) => Some(format!("dig {host} A +trace")),
        Subject::Resolver(label) => Some(format!("dig @{label} {name} A")),
        Subject::Zone(_) => {
            let hop = picture
                .hops
                .iter()
                .find(|h| Some(&h.seen.zone) == candidate.zone.as_ref())?;
            let server = hop.delegated().next()?;
            Some(format!(
                "dig @{} {} A +norec",
                server.seen.address, hop.seen.name
            ))
        }
        Subject::Vantage | Subject::Address(_) | Subject::Service => None,
    }
}

fn is_delegation(candidate: &Candidate) -> bool {
    candidate.rule.cause.code().starts_with("dns.delegation.")
        || candidate.rule.cause == Cause::Unknown
}

/// An address of a server of the zone above, one that answers.
fn parent_server(picture: &Picture<'_>, candidate: &Candidate) -> Option<std::net::IpAddr> {
    if candidate.rule.cause == Cause::DnsDelegationMissing {
        return picture
            .own_hop()?
            .delegated()
            .next()
            .map(|s| s.seen.address);
    }
    let hop = picture
        .hops
        .iter()
        .find(|h| Some(&h.seen.zone) == candidate.zone.as_ref())?;
    let giver = hop.seen.parent_sets.first()?.given_by.first()?;
    giver.rsplit_once('@')?.1.parse().ok()
}
