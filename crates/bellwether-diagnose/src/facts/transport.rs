//! Facts about how DNS travels: encrypted resolvers, sizes, protocols.

use bellwether_model::Channel;
use bellwether_model::FactKind;
use bellwether_model::dns::{ChannelFailure, ControlVia};
use bellwether_model::fact::Subject;
use bellwether_model::tls::CertProblem;
use serde_json::{Value, json};

use super::Facts;
use crate::picture::{Picture, ResolverView};

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    for resolver in &picture.resolvers {
        channel(picture, resolver, facts);
    }
}

/// Why a resolver over TLS or HTTPS cannot be asked, and whether plain DNS works there.
fn channel(picture: &Picture<'_>, resolver: &ResolverView<'_>, facts: &mut Facts) {
    let answers = || resolver.seen.answers.iter();
    if answers().any(|e| e.response().is_some()) {
        return;
    }
    let Some(failure) = answers().find_map(|e| e.channel_failure()) else {
        return;
    };
    let subject = Subject::Resolver(resolver.label.clone());
    let value = json!({
        "resolver": resolver.label,
        "over": over(&resolver.seen.channel),
        "because": because(failure),
        "failure": serde_json::to_value(failure).unwrap_or(Value::Null),
    });
    facts.add(
        FactKind::ResolverChannelFails,
        subject.clone(),
        value,
        [resolver.id],
    );
    let address = resolver.seen.address.ip();
    let same = picture
        .resolvers
        .iter()
        .find(|r| r.seen.channel.is_plain() && r.seen.address.ip() == address && r.is_usable());
    let control = picture
        .controls
        .iter()
        .find(|(_, c)| c.ok && c.via == ControlVia::Address && c.control == address.to_string());
    if let Some(id) = same.map(|r| r.id).or(control.map(|(id, _)| *id)) {
        let value = json!({ "resolver": resolver.label, "address": address.to_string() });
        facts.add(FactKind::ResolverPlainWorks, subject, value, [id]);
    }
}

fn over(channel: &Channel) -> &'static str {
    match channel {
        Channel::Plain => "plain DNS",
        Channel::Tls { .. } => "TLS",
        Channel::Https { .. } => "HTTPS",
    }
}

/// In words, after `because`.
#[must_use]
pub fn because(failure: &ChannelFailure) -> String {
    match failure {
        ChannelFailure::Certificate { problems } => match problems.first() {
            Some(problem) => certificate(problem),
            None => "its certificate is refused".to_owned(),
        },
        ChannelFailure::Handshake { error } => format!("the handshake fails: {error}"),
        ChannelFailure::Http {
            status: Some(status),
            content_type: Some(media),
            ..
        } => format!("HTTP answers {status} with `{media}`, which is no DNS"),
        ChannelFailure::Http { error, .. } => format!("HTTP brings no DNS: {error}"),
    }
}

fn certificate(problem: &CertProblem) -> String {
    match problem {
        CertProblem::Expired { not_after, .. } => {
            format!(
                "its certificate ended {}",
                not_after.strftime("%Y-%m-%d %H:%M UTC")
            )
        }
        CertProblem::NotYetValid { not_before, .. } => {
            format!(
                "its certificate begins {}",
                not_before.strftime("%Y-%m-%d %H:%M UTC")
            )
        }
        CertProblem::NameMismatch {
            expected,
            presented,
        } => {
            let shown: Vec<&str> = presented.iter().take(2).map(String::as_str).collect();
            let more = if presented.len() > 2 { " and more" } else { "" };
            format!(
                "its certificate is for {}{more}, not for {expected}",
                shown.join(", ")
            )
        }
        CertProblem::UntrustedRoot {
            self_signed: true, ..
        } => "its certificate is signed by its own key".to_owned(),
        CertProblem::UntrustedRoot { issuer, .. } => {
            format!("its certificate leads to `{issuer}`, which is no trust anchor")
        }
        CertProblem::ChainIncomplete { missing, .. } => {
            format!("its chain of certificates lacks `{missing}`")
        }
        CertProblem::Policy { reason, .. } => format!("its certificate is refused: {reason}"),
        CertProblem::BadSignature { .. } => {
            "a signature in its chain of certificates does not fit".to_owned()
        }
        CertProblem::Malformed { error, .. } => {
            format!("its certificate cannot be parsed: {error}")
        }
        CertProblem::NotLogged { .. } => {
            "browsers want more signed timestamps in its certificate".to_owned()
        }
        CertProblem::Staple { reason, .. } => format!("its certificate is refused: {reason}"),
        CertProblem::Revoked { .. } => "its certificate is revoked".to_owned(),
        CertProblem::Other { detail } => format!("its certificate is refused: {detail}"),
    }
}
