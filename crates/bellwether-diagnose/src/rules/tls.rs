//! Handshakes.

use bellwether_model::Cause;
use bellwether_model::FactKind as F;

use super::{Alone, Blame, Over, Rule};

/// What the rows of handshakes and certificates share.
pub(super) const BASE: Rule = Rule {
    cause: Cause::TlsNameMismatch,
    over: Over::Addresses,
    requires: &[],
    excludes: &[],
    supports: &[(F::AddressUnchanged, 0), (F::OtherAddressesWork, 0)],
    prior: 30,
    cap: 97,
    blame: Blame::Addresses,
    alone: Alone::Drop,
    remedy: "",
    not_excluded: &[],
};

/// The rows.
pub const RULES: &[Rule] = &[
    Rule {
        cause: Cause::TlsHandshakeStall,
        requires: &[F::TlsStalled],
        cap: 85,
        remedy: "Look at the process behind the port: it takes connections and does not speak. A middlebox that drops the ClientHello looks the same.",
        not_excluded: &["a middlebox that drops large ClientHellos: a small one would tell"],
        ..BASE
    },
    Rule {
        cause: Cause::TlsClientCertRejected,
        requires: &[F::TlsAlert, F::ClientCertRequested],
        cap: 85,
        remedy: "Give the client certificate that the server asks for, or stop the server from asking.",
        ..BASE
    },
    Rule {
        cause: Cause::TlsNegotiationFailed,
        requires: &[F::TlsAlert],
        excludes: &[F::ClientCertRequested],
        cap: 80,
        remedy: "Enable TLS 1.2 or 1.3 with current cipher suites on the server, and this name in its configuration.",
        ..BASE
    },
];
