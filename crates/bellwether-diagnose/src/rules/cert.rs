//! Certificates: what a strict client refuses of a chain.

use bellwether_model::Cause;
use bellwether_model::FactKind as F;

use super::tls::BASE;
use super::{Alone, Blame, Rule};

const RENEW: &str = "Renew the certificate and load it on the server; then look why renewal did not happen by itself.";

const STALE_MEMBER: &str = "Bring the server that still shows the old certificate up to date: copy the new one, reload, and see why the roll-out left it out.";
const STAPLE: &str = "Mend OCSP stapling on the server (it must reach the responder), or have a certificate issued that does not demand a staple.";

/// The rows. Of several that fire for one certificate the highest score names the cause: another
/// host's certificate is wrong whatever else is wrong with it.
pub const RULES: &[Rule] = &[
    Rule {
        cause: Cause::CertMalformed,
        requires: &[F::CertMalformed],
        supports: &[
            (F::ChainTooLarge, 0),
            (F::AddressUnchanged, 0),
            (F::OtherAddressesWork, 0),
            (F::WorksSometimes, 0),
        ],
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
        cause: Cause::CertMixedFleet,
        requires: &[F::CertEnded, F::OthersRenewed],
        excludes: &[F::CertMalformed, F::CertNamesDiffer],
        supports: &[(F::CertsDiffer, 2), (F::OtherAddressesWork, 0)],
        prior: 34,
        remedy: STALE_MEMBER,
        ..BASE
    },
    Rule {
        cause: Cause::CertMixedFleet,
        requires: &[F::OldCertStays],
        excludes: &[F::CertMalformed, F::CertNamesDiffer, F::CertEnded],
        supports: &[(F::CertsDiffer, 2)],
        prior: 20,
        cap: 90,
        blame: Blame::Nobody,
        alone: Alone::Warn,
        remedy: STALE_MEMBER,
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
        supports: &[
            (F::IntermediateKnown, 6),
            (F::ClientProfiles, 0),
            (F::AddressUnchanged, 0),
            (F::OtherAddressesWork, 0),
        ],
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
        cause: Cause::CertRevoked,
        requires: &[F::CertRevoked],
        supports: &[(F::ClientProfiles, 0), (F::OtherAddressesWork, 0)],
        prior: 27,
        cap: 90,
        remedy: "Replace the certificate now. If you did not have it revoked, ask the authority why it was.",
        not_excluded: &["a mistake of the authority: its revocation list would tell"],
        ..BASE
    },
    Rule {
        cause: Cause::CertRevocationUnavailable,
        requires: &[F::StapleMissing],
        supports: &[(F::ClientProfiles, 0), (F::OtherAddressesWork, 0)],
        prior: 24,
        cap: 90,
        remedy: STAPLE,
        ..BASE
    },
    Rule {
        cause: Cause::CertRevocationUnavailable,
        requires: &[F::StapleBad],
        supports: &[(F::ClientProfiles, 0), (F::OtherAddressesWork, 0)],
        prior: 24,
        cap: 90,
        remedy: STAPLE,
        ..BASE
    },
    Rule {
        cause: Cause::CertRevocationUnavailable,
        requires: &[F::StapleStale],
        prior: 15,
        cap: 80,
        blame: Blame::Nobody,
        alone: Alone::Warn,
        remedy: "Let the server fetch OCSP responses again, or switch stapling off: one that is no good helps nobody.",
        ..BASE
    },
    Rule {
        cause: Cause::CertPolicyRejected,
        requires: &[F::SctsMissing],
        supports: &[(F::ClientProfiles, 0), (F::OtherAddressesWork, 0)],
        prior: 18,
        cap: 80,
        remedy: "Have the certificate issued again and logged: browsers want its signed timestamps.",
        not_excluded: &[
            "timestamps in the handshake instead of the certificate: a browser would tell",
        ],
        ..BASE
    },
    Rule {
        cause: Cause::CertPolicyRejected,
        requires: &[F::SctsGone],
        excludes: &[F::CertWeak, F::SctsMissing],
        prior: 10,
        cap: 70,
        blame: Blame::Nobody,
        alone: Alone::Warn,
        remedy: "If browsers are to take it, have the certificate issued again and logged.",
        not_excluded: &[
            "a root that browsers were given by hand: they do not ask for timestamps then",
        ],
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
