//! Who is affected by a cause.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bellwether_model::fact::Subject;
use bellwether_model::net::Family;
use bellwether_model::report::{Role, Scope};
use bellwether_model::tls::ClientProfile;
use bellwether_model::{FactKind, Layer};

use crate::blame;
use crate::candidates::Candidate;
use crate::picture::{Picture, ResolverView};
use crate::rules::{Blame, Over};
use crate::units::{self, Unit};

/// Clients that speak HTTP/2, as `scope.profiles` names them: over HTTP/1.1 the same works.
const H2: &str = "h2";

/// The scope of a candidate.
#[must_use]
pub fn of(picture: &Picture<'_>, candidate: &Candidate, role: Role) -> Scope {
    let failing = &candidate.explains;
    let addresses: Vec<IpAddr> = addresses(candidate);
    let resolvers = resolvers(picture, candidate, &addresses);
    let families = if failing.is_empty() && addresses.is_empty() {
        Vec::new()
    } else {
        match refused_families(picture, candidate) {
            some if !some.is_empty() && addresses.is_empty() => some,
            _ => families(picture, &addresses),
        }
    };
    let owners: BTreeSet<String> = addresses
        .iter()
        .filter_map(|a| {
            picture
                .addresses
                .get(a)?
                .owner
                .as_ref()
                .map(ToString::to_string)
        })
        .collect();
    let share = if role == Role::Warning {
        0.0
    } else {
        share(picture, candidate)
    };
    Scope {
        vantages: vec![picture.context.vantage.clone()],
        resolvers,
        name_servers: name_servers(picture, candidate),
        addresses,
        families,
        profiles: profiles(picture, candidate),
        owners: owners.into_iter().collect(),
        share,
        since: None,
    }
}

fn addresses(candidate: &Candidate) -> Vec<IpAddr> {
    // What speaks of an address and fails nobody yet is about that address all the same.
    if candidate.rule.over == Over::Addresses && candidate.rule.blame == Blame::Nobody {
        let about = candidate.group.subjects.iter().filter_map(|s| match s {
            Subject::Address(address) => Some(*address),
            Subject::Vantage
            | Subject::Zone(_)
            | Subject::NameServer(..)
            | Subject::Resolver(_)
            | Subject::Service => None,
        });
        return about.collect();
    }
    let units = candidate.explains.iter().filter_map(|u| match u {
        Unit::Address(a) => Some(*a),
        Unit::Resolver(_) | Unit::Own | Unit::Server(_) => None,
    });
    units.collect()
}

/// The kinds of clients that fail, where others do not; empty: all of them, or it is no matter of
/// kinds.
fn profiles(picture: &Picture<'_>, candidate: &Candidate) -> Vec<String> {
    let over_h2 = [FactKind::H2Fails, FactKind::AlpnNotSpoken];
    if candidate.rule.requires.iter().any(|f| over_h2.contains(f)) {
        return vec![H2.to_owned()];
    }
    if candidate.rule.requires.contains(&FactKind::BrowsersRefused) {
        return vec![ClientProfile::Browser.name().to_owned()];
    }
    let views: Vec<_> = addresses(candidate)
        .iter()
        .filter_map(|a| picture.addresses.get(a))
        .collect();
    let is_split = !views.is_empty() && views.iter().all(|v| v.clients.is_split());
    if candidate.rule.cause.layer() != Some(Layer::Tls) || !is_split {
        return Vec::new();
    }
    let refusing: BTreeSet<_> = views.iter().flat_map(|v| &v.clients.refuse).collect();
    refusing.iter().map(|p| p.name().to_owned()).collect()
}

/// Resolvers that give one of the addresses or nothing; `own` where no resolver shows the fault.
fn resolvers(picture: &Picture<'_>, candidate: &Candidate, addresses: &[IpAddr]) -> Vec<String> {
    if candidate.rule.over == Over::Vantage {
        return Vec::new();
    }
    let gives = |r: &ResolverView<'_>| addresses.iter().any(|a| r.addresses.contains(a));
    let mut labels: Vec<String> = picture
        .resolvers
        .iter()
        .filter(|r| {
            gives(r)
                || candidate
                    .explains
                    .contains(&Unit::Resolver(r.label.clone()))
                || refuses(candidate, r)
                || candidate
                    .group
                    .subjects
                    .contains(&Subject::Resolver(r.label.clone()))
        })
        .map(|r| r.label.clone())
        .collect();
    if labels.is_empty() && !candidate.explains.is_empty() && !picture.hops.is_empty() {
        labels.push("own".to_owned());
    }
    labels.sort();
    labels
}

/// Does it refuse answers of a zone whose signatures do not hold, be it of one type only?
fn refuses(candidate: &Candidate, resolver: &ResolverView<'_>) -> bool {
    let is_zones = candidate.rule.over == Over::Zones && candidate.rule.blame == Blame::Validation;
    is_zones && crate::facts::dnssec::fails_checked(resolver)
}

/// Of a resolver's users, which part fails because it refuses the addresses of one family?
fn refused(picture: &Picture<'_>, candidate: &Candidate, resolver: &ResolverView<'_>) -> f64 {
    if !refuses(candidate, resolver) {
        return 0.0;
    }
    let offered = picture.families().into_iter();
    let shares: Vec<f64> = offered
        .filter(|family| picture.judges(*family))
        .map(|family| {
            if fails_family(resolver, family) {
                1.0
            } else {
                0.0
            }
        })
        .collect();
    units::mean(&shares)
}

/// The families of the name that resolvers refuse for their signatures.
fn refused_families(picture: &Picture<'_>, candidate: &Candidate) -> Vec<String> {
    let refusing = picture.resolvers.iter().filter(|r| refuses(candidate, r));
    let refusing: Vec<&ResolverView<'_>> = refusing.collect();
    let offered = picture.families().into_iter();
    let failing = offered.filter(|family| refusing.iter().any(|r| fails_family(r, *family)));
    failing.map(|f| f.name().to_owned()).collect()
}

/// Does it give nothing usable for addresses of this family?
fn fails_family(resolver: &ResolverView<'_>, family: Family) -> bool {
    let rtype = match family {
        Family::V4 => "A",
        Family::V6 => "AAAA",
    };
    resolver.failing_types.iter().any(|t| t == rtype)
}

fn families(picture: &Picture<'_>, addresses: &[IpAddr]) -> Vec<String> {
    let mut all: Vec<Family> = if addresses.is_empty() {
        picture.families()
    } else {
        addresses.iter().map(|a| Family::of(*a)).collect()
    };
    all.sort();
    all.dedup();
    all.into_iter().map(|f| f.name().to_owned()).collect()
}

fn name_servers(picture: &Picture<'_>, candidate: &Candidate) -> Vec<String> {
    let mut labels: BTreeSet<String> = candidate.group.servers();
    for (hop, wrong) in blame::wrong_servers(picture, &candidate.group) {
        if candidate.rule.blame != Blame::WrongSide {
            continue;
        }
        labels.extend(wrong);
        // Names of the wrong set that have no address at all.
        let sides = hop.sides.as_ref().or(hop.undecided.as_ref());
        for name in sides.iter().flat_map(|s| &s.added) {
            if !labels.iter().any(|l| l.starts_with(&format!("{name}@"))) {
                labels.insert(name.to_string());
            }
        }
    }
    labels.into_iter().collect()
}

/// The chance that a user's attempt fails by this cause: resolvers weigh the same; where none was
/// asked, our own iteration stands for them.
fn share(picture: &Picture<'_>, candidate: &Candidate) -> f64 {
    if candidate.rule.over == Over::Vantage {
        return 0.0;
    }
    let shares: Vec<f64> = if picture.resolvers.is_empty() {
        vec![units::own_share(picture, &candidate.explains)]
    } else {
        picture
            .resolvers
            .iter()
            .map(|r| {
                let share = units::resolver_share(picture, r, &candidate.explains);
                share.max(refused(picture, candidate, r))
            })
            .collect()
    };
    let share = units::mean(&shares);
    // No resolver has met it yet: what those will meet who look up afresh.
    let share = if share > 0.0 {
        share
    } else {
        units::own_share(picture, &candidate.explains)
    };
    (share * 1000.0).round() / 1000.0
}
