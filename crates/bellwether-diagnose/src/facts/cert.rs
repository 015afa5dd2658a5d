//! Facts about certificates.

use std::collections::BTreeMap;

use bellwether_model::FactKind;
use bellwether_model::fact::Subject;
use bellwether_model::tls::{CertProblem, CertSeen, ClientProfile, TlsResult, TlsSeen};
use serde_json::{Value, json};

use super::Facts;
use crate::picture::clients::{self, Intermediates};
use crate::picture::{AddressView, Picture, Shower};

/// How long before its end a certificate that others have replaced is worth a warning, seconds: a
/// renewal reaches all servers within days.
const ENDS_SOON: i64 = 7 * 86_400;
/// Age of a newer certificate from which an older one beside it is no renewal under way, seconds.
const ROLLED_OUT: i64 = 3600;

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    let baseline = picture.context.baseline.as_ref();
    let known = clients::intermediates(&picture.addresses, baseline);
    for view in picture.addresses.values() {
        let subject = Subject::Address(view.address);
        if let Some((id, tls)) = view.tls {
            for problem in &tls.problems {
                let subject_of = |index: usize| tls.chain.get(index).map(|c| c.subject.as_str());
                for (kind, mut value) in of_problem(problem, &known, &subject_of) {
                    value["address"] = json!(view.address.to_string());
                    facts.add(kind, subject.clone(), value, [id]);
                }
                remembered(view, id, problem, &known, facts);
            }
            sni(view, id, tls, &subject, facts);
            staple(view, id, tls, facts);
            timestamps(view, id, tls, facts);
            profiles(view, id, facts);
        }
        // The certificate of a redirect's host, met on the way.
        for (id, hop) in &view.http {
            let problems = hop.problems.iter();
            for (kind, mut value) in problems.flat_map(|p| of_problem(p, &known, &|_| None)) {
                value["address"] = json!(hop.address.ip().to_string());
                value["url"] = json!(hop.url);
                facts.add(kind, subject.clone(), value, [*id]);
            }
        }
    }
    fleet(picture, facts);
    left_behind(picture, facts);
}

/// Who has shown the intermediate that this chain lacks.
fn remembered(
    view: &AddressView<'_>,
    id: &str,
    problem: &CertProblem,
    known: &Intermediates<'_>,
    facts: &mut Facts,
) {
    let Some(missing) = clients::missing(problem, known) else {
        return;
    };
    let Some(shower) = known.get(missing) else {
        return;
    };
    let (by, other, when) = match shower {
        Shower::Now(by, other) => (by, Some(*other), "sends it"),
        Shower::Before(by) => (by, None, "sent it when the baseline was saved"),
    };
    let value = json!({
        "address": view.address.to_string(),
        "missing": missing,
        "sent_by": by.to_string(),
        "when": when,
    });
    let from = std::iter::once(id).chain(other);
    let subject = Subject::Address(view.address);
    facts.add(FactKind::IntermediateKnown, subject, value, from);
}

/// A stapled response that is no good where none is demanded; where one is, it is a problem.
fn staple(view: &AddressView<'_>, id: &str, tls: &TlsSeen, facts: &mut Facts) {
    let told = |p: &CertProblem| matches!(p, CertProblem::Staple { .. });
    let seen = tls.staple.as_ref();
    let problem = seen.and_then(|staple| staple.problem.as_ref());
    let (Some(seen), Some(problem)) = (seen, problem) else {
        return;
    };
    if tls.problems.iter().any(told) {
        return;
    }
    let value = json!({
        "address": view.address.to_string(),
        "reason": problem,
        "next_update": seen.next_update,
    });
    let subject = Subject::Address(view.address);
    facts.add(FactKind::StapleStale, subject, value, [id]);
}

/// The issuer logged the earlier certificate, and not this one.
fn timestamps(view: &AddressView<'_>, id: &str, tls: &TlsSeen, facts: &mut Facts) {
    let (Some(own), Some(before)) = (tls.chain.first(), view.before) else {
        return;
    };
    let same_issuer = before.issuer.as_ref() == Some(&own.issuer);
    if !same_issuer || own.scts > 0 || before.scts == 0 || own.malformed.is_some() {
        return;
    }
    let value = json!({
        "address": view.address.to_string(),
        "found": own.scts,
        "before": before.scts,
    });
    facts.add(
        FactKind::SctsGone,
        Subject::Address(view.address),
        value,
        [id],
    );
}

/// Kinds of clients that disagree.
fn profiles(view: &AddressView<'_>, id: &str, facts: &mut Facts) {
    if !view.clients.is_split() {
        return;
    }
    let names = |all: &[ClientProfile]| all.iter().map(|p| p.name()).collect::<Vec<_>>();
    let value = json!({
        "address": view.address.to_string(),
        "accept": names(&view.clients.accept),
        "refuse": names(&view.clients.refuse),
    });
    facts.add(
        FactKind::ClientProfiles,
        Subject::Address(view.address),
        value,
        [id],
    );
}

/// Addresses that still show a certificate that others have replaced.
fn left_behind(picture: &Picture<'_>, facts: &mut Facts) {
    let now = picture.context.now.as_second();
    let good = |view: &&AddressView<'_>| {
        view.tls
            .is_some_and(|(_, tls)| tls.problems.is_empty() && tls.result == TlsResult::Completed)
    };
    for view in picture.addresses.values() {
        let Some((id, own)) = view.tls.and_then(|(id, t)| Some((id, t.chain.first()?))) else {
            continue;
        };
        let Some((begin, end)) = own.not_before.zip(own.not_after) else {
            continue;
        };
        let replaces = |other: &CertSeen| {
            other
                .not_before
                .is_some_and(|b| b > begin && b.as_second() + ROLLED_OUT <= now)
                && other
                    .not_after
                    .is_some_and(|e| e.as_second() > end.as_second() + ENDS_SOON)
        };
        let others = picture.addresses.values().filter(good);
        let newer: Vec<(&AddressView<'_>, &CertSeen)> = others
            .filter_map(|v| Some((v, v.chain().first()?)))
            .filter(|(v, cert)| v.address != view.address && replaces(cert))
            .collect();
        let Some((first, newest)) = newer.first() else {
            continue;
        };
        let kind = if end.as_second() < now {
            FactKind::OthersRenewed
        } else if end.as_second() - now < ENDS_SOON {
            FactKind::OldCertStays
        } else {
            continue;
        };
        let value = json!({
            "address": view.address.to_string(),
            "serial": own.serial,
            "not_after": end,
            "others": newer.iter().map(|(v, _)| v.address.to_string()).collect::<Vec<_>>(),
            "newer_serial": newest.serial,
            "newer_not_after": newest.not_after,
        });
        let from = [Some(id), first.tls.map(|(id, _)| id)];
        facts.add(
            kind,
            Subject::Address(view.address),
            value,
            from.into_iter().flatten(),
        );
    }
}

/// What is wrong with a chain, as facts.
pub(super) fn of_problem<'c>(
    problem: &CertProblem,
    known: &Intermediates<'_>,
    subject_of: &dyn Fn(usize) -> Option<&'c str>,
) -> Vec<(FactKind, Value)> {
    let subject_of = |index: &usize| subject_of(*index).unwrap_or_default();
    if let Some(missing) = clients::missing(problem, known) {
        return vec![(FactKind::IntermediateMissing, json!({ "missing": missing }))];
    }
    let one = match problem {
        CertProblem::Expired { index, not_after } => {
            let kind = if *index == 0 {
                FactKind::CertEnded
            } else {
                FactKind::ChainLinkEnded
            };
            (
                kind,
                json!({ "index": index, "subject": subject_of(index), "not_after": not_after }),
            )
        }
        CertProblem::NotYetValid { index, not_before } => (
            FactKind::CertNotBegun,
            json!({ "index": index, "subject": subject_of(index), "not_before": not_before }),
        ),
        CertProblem::NameMismatch {
            expected,
            presented,
        } => (
            FactKind::CertNamesDiffer,
            json!({ "expected": expected, "presented": presented }),
        ),
        CertProblem::UntrustedRoot {
            issuer,
            self_signed,
        } => {
            // A key that vouches for itself leads to no anchor either.
            let value = json!({ "issuer": issuer, "self_signed": self_signed });
            let anchor = (FactKind::NoTrustAnchor, value.clone());
            let own_key = self_signed.then_some((FactKind::CertSelfSigned, value));
            return [Some(anchor), own_key].into_iter().flatten().collect();
        }
        CertProblem::ChainIncomplete { missing, .. } => {
            (FactKind::IntermediateMissing, json!({ "missing": missing }))
        }
        CertProblem::NotLogged { found, wanted } => (
            FactKind::SctsMissing,
            json!({ "found": found, "wanted": wanted }),
        ),
        CertProblem::Staple { sent, reason } => {
            let kind = if *sent {
                FactKind::StapleBad
            } else {
                FactKind::StapleMissing
            };
            (kind, json!({ "reason": reason }))
        }
        CertProblem::Revoked { at } => (FactKind::CertRevoked, json!({ "since": at })),
        CertProblem::Policy { index, reason } => (
            FactKind::CertWeak,
            json!({ "index": index, "reason": reason }),
        ),
        CertProblem::LongPath { intermediates } => long(*intermediates),
        CertProblem::BadSignature { index } => (
            FactKind::CertWeak,
            json!({ "index": index, "reason": "a signature does not verify" }),
        ),
        CertProblem::Malformed { index, error } => (
            FactKind::CertMalformed,
            json!({ "index": index, "error": error }),
        ),
        CertProblem::Other { detail } => (FactKind::CertWeak, json!({ "reason": detail })),
    };
    vec![one]
}

fn long(intermediates: usize) -> (FactKind, Value) {
    let value = json!({ "reason": long_path(intermediates) });
    (FactKind::CertWeak, value)
}

/// Why a long path is refused.
pub(super) fn long_path(intermediates: usize) -> String {
    format!("{intermediates} intermediates, of which Firefox and rustls follow 6, OpenSSL all")
}

/// The certificate with SNI against the one without.
fn sni(view: &AddressView<'_>, id: &str, tls: &TlsSeen, subject: &Subject, facts: &mut Facts) {
    let Some((other_id, other)) = view.tls_no_sni else {
        return;
    };
    let (Some(mine), Some(default)) = (tls.chain.first(), other.chain.first()) else {
        return;
    };
    let same = mine.sha256 == default.sha256;
    let kind = if same {
        FactKind::SameCertWithoutSni
    } else {
        FactKind::CertDependsOnSni
    };
    let value = json!({
        "address": view.address.to_string(),
        "with_sni": mine.names,
        "without_sni": default.names,
    });
    facts.add(kind, subject.clone(), value, [id, other_id]);
}

/// Addresses of one name that show different certificates.
fn fleet(picture: &Picture<'_>, facts: &mut Facts) {
    let mut by_cert: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut from = Vec::new();
    for view in picture.addresses.values() {
        if let (Some(cert), Some((id, _))) = (view.certificate(), view.tls) {
            by_cert
                .entry(cert)
                .or_default()
                .push(view.address.to_string());
            from.push(id);
        }
    }
    if by_cert.len() > 1 {
        let groups: Vec<_> = by_cert
            .iter()
            .map(|(cert, addresses)| group(picture, cert, addresses))
            .collect();
        facts.add(
            FactKind::CertsDiffer,
            Subject::Service,
            json!({ "groups": groups }),
            from,
        );
    }
}

/// Addresses that show one certificate, and what tells it from others.
fn group(picture: &Picture<'_>, sha256: &str, addresses: &[String]) -> Value {
    let shown = picture.addresses.values().filter_map(|v| v.chain().first());
    let cert = shown.into_iter().find(|cert| cert.sha256 == sha256);
    json!({
        "sha256": sha256,
        "serial": cert.map(|cert| cert.serial.as_str()),
        "not_after": cert.and_then(|cert| cert.not_after),
        "addresses": addresses,
    })
}
