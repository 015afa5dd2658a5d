//! One sentence for each cause that a certificate shows.

use bellwether_model::report::Scope;
use bellwether_model::{Cause, FactKind};

use super::read::{fact, value};
use super::sentence::s;
use super::time::moment;
use crate::candidates::Candidate;
use crate::picture::Picture;

/// What is wrong with the certificate at `what`.
pub(super) fn cert(
    picture: &Picture<'_>,
    candidate: &Candidate,
    scope: &Scope,
    what: &str,
) -> String {
    let first = candidate.facts.first();
    let text = |key: &str| first.map_or("", |k| value(k, key)).to_owned();
    let when = |key: &str| moment(picture.context.now, &text(key));
    let has = |kind: FactKind| fact(candidate, kind).is_some();
    match candidate.rule.cause {
        Cause::CertExpired => format!("the certificate at {what} ended {}", when("not_after")),
        Cause::CertNotYetValid => {
            format!(
                "the certificate at {what} begins only {}",
                when("not_before")
            )
        }
        Cause::CertChainExpiredLink => {
            format!(
                "an intermediate certificate at {what} ended {}: {}",
                when("not_after"),
                text("subject")
            )
        }
        Cause::CertUntrustedRoot if has(FactKind::CertSelfSigned) => {
            format!("the certificate at {what} is signed by its own key; no client trusts it")
        }
        Cause::CertUntrustedRoot => format!(
            "no trust anchor is behind the certificate at {what}: its chain ends at {}",
            text("issuer")
        ),
        Cause::CertChainIncomplete => format!(
            "{what} send{} no certificate of {}{}",
            s(scope),
            text("missing"),
            if scope.profiles.is_empty() {
                ""
            } else {
                "; browsers get it elsewhere, other clients fail"
            }
        ),
        Cause::CertMixedFleet => format!(
            "{what} still show{} the old certificate, {} {}; other addresses have a newer one",
            s(scope),
            if has(FactKind::CertEnded) {
                "which ended"
            } else {
                "which ends"
            },
            when("not_after")
        ),
        Cause::CertMalformed => format!(
            "{what} show{} a certificate that clients cannot read: {}",
            s(scope),
            text("error")
        ),
        _ => refused(candidate, what),
    }
}

/// Why clients refuse a certificate that leads to a root, is in time, and names the host.
fn refused(candidate: &Candidate, what: &str) -> String {
    let first = candidate.facts.first();
    let text = |key: &str| first.map_or("", |k| value(k, key)).to_owned();
    let has = |kind: FactKind| fact(candidate, kind).is_some();
    match candidate.rule.cause {
        Cause::CertRevoked => {
            format!("the OCSP response stapled at {what} says that the certificate is revoked")
        }
        Cause::CertRevocationUnavailable if has(FactKind::StapleStale) => {
            format!(
                "the OCSP response stapled at {what} is no good: {}",
                text("reason")
            )
        }
        Cause::CertRevocationUnavailable => format!(
            "browsers that honour its demand refuse the certificate at {what}: {}",
            text("reason")
        ),
        Cause::CertPolicyRejected if !has(FactKind::CertWeak) => format!(
            "browsers refuse the certificate at {what} if its root is public: it carries {} signed certificate timestamps",
            first
                .and_then(|k| k.value.get("found"))
                .map(ToString::to_string)
                .unwrap_or_default()
        ),
        Cause::CertPolicyRejected => format!(
            "clients refuse the certificate at {what}: {}",
            text("reason")
        ),
        cause => format!("{what}: {}", cause.definition()),
    }
}
