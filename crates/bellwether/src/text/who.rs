//! Who is affected, in words.

use std::collections::BTreeSet;

use bellwether_diagnose::words::{count, list};
use bellwether_model::net::{Family, TcpResult};
use bellwether_model::report::{Diagnosis, Verdict};
use bellwether_model::{Layer, Outcome, ProbeKind, Report};

use super::percent;

/// Who is affected, and how often an attempt fails.
pub(super) fn who(report: &Report, diagnosis: &Diagnosis) -> String {
    if report.verdict == Verdict::Unknown {
        return "this machine; nothing is said about the target".to_owned();
    }
    let whom = match report.verdict {
        Verdict::Broken => everybody(report, diagnosis),
        Verdict::Healthy | Verdict::Degraded | Verdict::Unknown => {
            if diagnosis.layer <= Layer::Dns {
                by_resolver(report, diagnosis)
            } else {
                by_address(report, diagnosis)
            }
        }
    };
    let whom = match diagnosis.scope.profiles.as_slice() {
        [] => whom,
        [h2] if h2 == "h2" => format!("{whom} over HTTP/2"),
        refusing => {
            let kinds = refusing.iter().map(|name| kind_of_client(name));
            format!("{whom} with {}", list(kinds))
        }
    };
    let share = diagnosis.scope.share;
    let often = match report.verdict {
        // The rest of the failures is another cause's.
        Verdict::Broken if share > 0.0 && share < 1.0 => {
            format!(
                "{} % of attempts fail by this, the others by what else is broken",
                percent(share)
            )
        }
        Verdict::Broken => "every attempt fails".to_owned(),
        _ if share > 0.0 && !diagnosis.scope.profiles.is_empty() => {
            format!("about {} % of their attempts fail", percent(share))
        }
        _ if share > 0.0 => format!("about {} % of attempts fail", percent(share)),
        _ => String::new(),
    };
    if often.is_empty() {
        whom
    } else {
        format!("{whom}; {often}")
    }
}

/// A kind of client, in words.
fn kind_of_client(profile: &str) -> &str {
    match profile {
        "browser" => "a browser",
        "openssl" => "OpenSSL or a client like it",
        "own_roots" => "a client that trusts the given roots alone",
        "aead_only" => "a client that takes AEAD ciphers alone (rustls and others)",
        other => other,
    }
}

/// How many resolvers were asked.
fn asked(report: &Report) -> usize {
    report
        .observations
        .iter()
        .filter(|o| o.probe == ProbeKind::ResolverMatrix)
        .count()
}

fn everybody(report: &Report, diagnosis: &Diagnosis) -> String {
    let resolvers = &diagnosis.scope.resolvers;
    let all = asked(report);
    if diagnosis.layer > Layer::Dns {
        return match dialled(report) {
            0 => "everybody".to_owned(),
            1 => "everybody, at the only address".to_owned(),
            many => format!("everybody, at each of {many} addresses"),
        };
    }
    if all == 0 || resolvers.iter().any(|r| r == "own") {
        return "everybody".to_owned();
    }
    if resolvers.len() < all {
        // The others fail by another cause.
        return by_resolver(report, diagnosis);
    }
    format!("everybody ({})", by_resolver(report, diagnosis))
}

/// `2 of 4 resolvers: 9.9.9.9 and 4.2.2.2`.
fn by_resolver(report: &Report, diagnosis: &Diagnosis) -> String {
    let resolvers = &diagnosis.scope.resolvers;
    let all = asked(report);
    if resolvers.iter().any(|r| r == "own") {
        return match all {
            0 => "resolvers that look the name up afresh".to_owned(),
            1 => "resolvers that look the name up afresh; the one asked still answers".to_owned(),
            many => {
                format!("resolvers that look the name up afresh; the {many} asked still answer")
            }
        };
    }
    if resolvers.is_empty() {
        return String::from("nobody that was asked");
    }
    if all < resolvers.len() {
        return format!("resolvers {}", list(resolvers));
    }
    format!(
        "{} of {}: {}",
        resolvers.len(),
        count(all, "resolver"),
        list(resolvers)
    )
}

/// Who is led to an address that fails.
fn by_address(report: &Report, diagnosis: &Diagnosis) -> String {
    let scope = &diagnosis.scope;
    let all = asked(report);
    let through = if scope.resolvers.is_empty() || scope.resolvers.len() >= all {
        String::new()
    } else {
        format!(", through {}", by_resolver(report, diagnosis))
    };
    if let [family] = &scope.families[..]
        && families(report) > 1
        && whole_family(report, diagnosis)
    {
        return format!("users of IP{family}{through}");
    }
    let dialled = dialled(report);
    if scope.addresses.is_empty() || scope.addresses.len() >= dialled {
        return format!("everybody who connects{through}");
    }
    format!(
        "whoever is led to {} ({} of {}){through}",
        list(&scope.addresses),
        scope.addresses.len(),
        count(dialled, "address")
    )
}

/// Does every address of the one family fail?
fn whole_family(report: &Report, diagnosis: &Diagnosis) -> bool {
    let failing = &diagnosis.scope.addresses;
    let family = failing.first().map(|a| Family::of(*a));
    failing.iter().all(|a| Some(Family::of(*a)) == family)
        && report.observations.iter().all(|o| match &o.outcome {
            Outcome::Tcp(seen) => {
                Some(Family::of(seen.address.ip())) != family
                    || failing.contains(&seen.address.ip())
                    || seen.result != TcpResult::Connected
            }
            _ => true,
        })
}

/// How many addresses a connection was tried to.
fn dialled(report: &Report) -> usize {
    let tried: BTreeSet<_> = report
        .observations
        .iter()
        .filter_map(|o| match &o.outcome {
            Outcome::Tcp(seen) => Some(seen.address.ip()),
            _ => None,
        })
        .collect();
    tried.len()
}

/// In how many families addresses were found.
fn families(report: &Report) -> usize {
    let found: BTreeSet<Family> = report
        .observations
        .iter()
        .flat_map(|o| match &o.outcome {
            Outcome::Addresses(seen) => seen.found.clone(),
            _ => Vec::new(),
        })
        .map(|seen| Family::of(seen.address))
        .collect();
    found.len()
}
