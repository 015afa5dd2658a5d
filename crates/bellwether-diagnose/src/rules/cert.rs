//! Certificates: what a strict client refuses of a chain.

use bellwether_model::Cause;
use bellwether_model::FactKind as F;

use super::Rule;
use super::tls::BASE;

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
];
