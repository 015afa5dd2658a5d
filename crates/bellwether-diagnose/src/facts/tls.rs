//! Facts about handshakes and certificates.

use std::collections::BTreeMap;

use bellwether_model::FactKind;
use bellwether_model::fact::Subject;
use bellwether_model::tls::{CertProblem, TlsResult, TlsSeen};
use serde_json::{Value, json};

use super::Facts;
use crate::picture::{AddressView, Picture};

/// Alerts that speak of the certificate that the client shows, or does not show
/// (RFC 8446 section 6.2).
const CLIENT_CERT_ALERTS: [u8; 7] = [42, 43, 44, 45, 46, 48, 116];

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    for view in picture.addresses.values() {
        let subject = Subject::Address(view.address);
        if let Some((id, tls)) = view.tls {
            handshake(view, id, tls, &subject, facts);
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

fn handshake(
    view: &AddressView<'_>,
    id: &str,
    tls: &TlsSeen,
    subject: &Subject,
    facts: &mut Facts,
) {
    let address = tls.address.to_string();
    let (kind, value) = match &tls.result {
        TlsResult::Completed => return,
        TlsResult::Alert { code, name } => (
            FactKind::TlsAlert,
            json!({ "address": address, "alert": code, "name": name }),
        ),
        TlsResult::Stalled => (
            FactKind::TlsStalled,
            json!({ "address": address, "after_ms": tls.handshake_ms }),
        ),
        TlsResult::NotTls { looks_like } => (
            FactKind::TlsNotSpoken,
            json!({ "address": address, "looks_like": looks_like }),
        ),
        TlsResult::Closed { .. } if view.tcp.is_some() => return,
        TlsResult::Closed { error } => (
            FactKind::TlsClosed,
            json!({ "address": address, "error": error }),
        ),
        TlsResult::NotConnected { .. } | TlsResult::Failed { .. } => return,
    };
    facts.add(kind, subject.clone(), value, [id]);
    if let TlsResult::Alert { code, .. } = &tls.result
        && (tls.client_cert_requested || CLIENT_CERT_ALERTS.contains(code))
    {
        let value = json!({ "address": address, "alert": code });
        facts.add(FactKind::ClientCertRequested, subject.clone(), value, [id]);
    }
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
