//! Facts about certificates.

use std::collections::BTreeMap;

use bellwether_model::FactKind;
use bellwether_model::fact::Subject;
use bellwether_model::tls::{CertProblem, TlsSeen};
use serde_json::{Value, json};

use super::Facts;
use crate::picture::{AddressView, Picture};

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    for view in picture.addresses.values() {
        let subject = Subject::Address(view.address);
        if let Some((id, tls)) = view.tls {
            for problem in &tls.problems {
                let subject_of = |index: usize| tls.chain.get(index).map(|c| c.subject.as_str());
                for (kind, mut value) in of_problem(problem, &subject_of) {
                    value["address"] = json!(view.address.to_string());
                    facts.add(kind, subject.clone(), value, [id]);
                }
            }
            sni(view, id, tls, &subject, facts);
        }
        // The certificate of a redirect's host, met on the way.
        for (id, hop) in &view.http {
            for (kind, mut value) in hop.problems.iter().flat_map(|p| of_problem(p, &|_| None)) {
                value["address"] = json!(hop.address.ip().to_string());
                value["url"] = json!(hop.url);
                facts.add(kind, subject.clone(), value, [*id]);
            }
        }
    }
    fleet(picture, facts);
}

/// What is wrong with a chain, as facts.
fn of_problem<'c>(
    problem: &CertProblem,
    subject_of: &dyn Fn(usize) -> Option<&'c str>,
) -> Vec<(FactKind, Value)> {
    let subject_of = |index: &usize| subject_of(*index).unwrap_or_default();
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
        CertProblem::ChainIncomplete { missing } => {
            (FactKind::IntermediateMissing, json!({ "missing": missing }))
        }
        CertProblem::Policy { index, reason } => (
            FactKind::CertWeak,
            json!({ "index": index, "reason": reason }),
        ),
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
            .map(|(cert, addresses)| json!({ "sha256": cert, "addresses": addresses }))
            .collect();
        facts.add(
            FactKind::CertsDiffer,
            Subject::Service,
            json!({ "groups": groups }),
            from,
        );
    }
}
