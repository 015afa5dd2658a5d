//! Handshakes and certificates.

use bellwether_model::Cause;
use bellwether_model::FactKind as F;

use super::{Alone, Blame, Over, Rule};

const BASE: Rule = Rule {
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

const RENEW: &str = "Renew the certificate and load it on the server; then look why renewal did not happen by itself.";

/// The rows. Of several that fire for one certificate the highest score names the cause: another
/// host's certificate is wrong whatever else is wrong with it.
pub const RULES: &[Rule] = &[
    Rule {
        cause: Cause::CertMalformed,
        requires: &[F::CertMalformed],
        prior: 40,
        remedy: "Have the certificate issued again: clients cannot parse this one.",
        ..BASE
    },
    Rule {
        requires: &[F::CertNamesDiffer],
        excludes: &[F::CertMalformed],
        supports: &[
            (F::AddressUnchanged, 5),
            (F::CertDependsOnSni, 2),
            (F::SameCertWithoutSni, 2),
        ],
        prior: 33,
        cap: 95,
        remedy: "Configure the host's certificate for this name on the server; a missing virtual host shows the default one.",
        ..BASE
    },
    Rule {
        cause: Cause::CertExpired,
        requires: &[F::CertEnded],
        prior: 31,
        remedy: RENEW,
        ..BASE
    },
    Rule {
        cause: Cause::CertNotYetValid,
        requires: &[F::CertNotBegun],
        excludes: &[F::CertEnded],
        remedy: "Put the earlier certificate back until this one begins, or have it issued again.",
        ..BASE
    },
    Rule {
        cause: Cause::CertChainExpiredLink,
        requires: &[F::ChainLinkEnded],
        excludes: &[F::CertEnded],
        remedy: "Replace the expired intermediate certificate in the bundle that the server sends.",
        ..BASE
    },
    Rule {
        cause: Cause::CertChainIncomplete,
        requires: &[F::IntermediateMissing],
        prior: 26,
        remedy: "Send the intermediate certificate too: configure the full chain, not the server's certificate alone.",
        ..BASE
    },
    Rule {
        cause: Cause::CertUntrustedRoot,
        requires: &[F::CertSelfSigned],
        prior: 25,
        remedy: "Use a certificate of a CA that clients trust; for a private CA give its root with --ca.",
        ..BASE
    },
    Rule {
        cause: Cause::CertUntrustedRoot,
        requires: &[F::NoTrustAnchor],
        prior: 25,
        remedy: "Use a certificate of a CA that clients trust; for a private CA give its root with --ca.",
        ..BASE
    },
    Rule {
        cause: Cause::CertPolicyRejected,
        requires: &[F::CertWeak],
        prior: 20,
        cap: 85,
        remedy: "Have the certificate issued again with a key, signature and usage that clients take.",
        ..BASE
    },
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
