//! Facts about handshakes.

use bellwether_model::FactKind;
use bellwether_model::fact::Subject;
use bellwether_model::tls::{TlsResult, TlsSeen};
use serde_json::json;

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
        }
    }
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
