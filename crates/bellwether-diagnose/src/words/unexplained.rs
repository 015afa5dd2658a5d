//! Failures that no rule explains, in words.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bellwether_model::dns::AnswerKind;
use bellwether_model::{FactKind, Layer};

use super::list;
use super::naming::owned;
use crate::facts::Known;
use crate::picture::{Picture, ResolverStatus};
use crate::units::Unit;

/// What fails, where no rule says why.
pub(super) fn sentence(
    picture: &Picture<'_>,
    left: &BTreeSet<Unit>,
    layer: Layer,
    about: &[Known],
) -> String {
    let resolvers: Vec<String> = left
        .iter()
        .filter_map(|u| match u {
            Unit::Resolver(label) => {
                let view = picture.resolvers.iter().find(|r| r.label == *label)?;
                Some(format!("{label} ({})", answer_of(&view.status)))
            }
            Unit::Own | Unit::Server(_) | Unit::Address(_) => None,
        })
        .collect();
    let addresses: Vec<IpAddr> = left
        .iter()
        .filter_map(|u| match u {
            Unit::Address(a) => Some(*a),
            Unit::Own | Unit::Server(_) | Unit::Resolver(_) => None,
        })
        .collect();
    let mut parts = Vec::new();
    if left.contains(&Unit::Own) {
        parts.push("our own iteration finds nothing to connect to".to_owned());
    }
    if !resolvers.is_empty() {
        parts.push(format!("no usable answer from {}", list(resolvers)));
    }
    if !addresses.is_empty() {
        let does = if addresses.len() == 1 { "does" } else { "do" };
        let shown = owned(addresses, |a| picture.addresses.get(a)?.owner.as_ref());
        parts.push(format!("{shown} {does} not work"));
    }
    let known: BTreeSet<&str> = about
        .iter()
        .filter(|k| !is_background(k.kind))
        .map(|k| k.kind.meaning())
        .collect();
    let known = if known.is_empty() {
        String::new()
    } else {
        format!(
            ". Seen: {}",
            known.into_iter().collect::<Vec<_>>().join("; ")
        )
    };
    format!(
        "something fails at layer {layer} that no rule explains: {}{known}",
        parts.join("; ")
    )
}

/// Facts that say nothing of a failure.
fn is_background(kind: FactKind) -> bool {
    [
        FactKind::AddressOwner,
        FactKind::AddressUnchanged,
        FactKind::PingAnswers,
        FactKind::OtherAddressesWork,
        FactKind::ResolverOtherNamesRight,
        FactKind::ResolverIsSystem,
        FactKind::SameCertWithoutSni,
    ]
    .contains(&kind)
}

pub(super) fn answer_of(status: &ResolverStatus) -> String {
    match status {
        ResolverStatus::Answers => "answers".to_owned(),
        ResolverStatus::Denies(AnswerKind::NxDomain) => "NXDOMAIN".to_owned(),
        ResolverStatus::Denies(_) => "NODATA".to_owned(),
        ResolverStatus::Error(rcode) => rcode.to_string(),
        ResolverStatus::Silent => "silent".to_owned(),
    }
}

/// Observations that show these failures.
pub(super) fn evidence_of(picture: &Picture<'_>, left: &BTreeSet<Unit>) -> Vec<String> {
    let mut ids = Vec::new();
    for unit in left {
        match unit {
            Unit::Resolver(label) => {
                ids.extend(
                    picture
                        .resolvers
                        .iter()
                        .filter(|r| r.label == *label)
                        .map(|r| r.id.to_owned()),
                );
            }
            Unit::Own | Unit::Server(_) => ids.extend(picture.hops.iter().map(|h| h.id.to_owned())),
            Unit::Address(address) => {
                let Some(view) = picture.addresses.get(address) else {
                    continue;
                };
                ids.extend(view.tcp.map(|(id, _)| id.to_owned()));
                ids.extend(view.tls.map(|(id, _)| id.to_owned()));
                ids.extend(view.http.iter().map(|(id, _)| (*id).to_owned()));
            }
        }
    }
    ids
}
