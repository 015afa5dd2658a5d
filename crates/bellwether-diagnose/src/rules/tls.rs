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
    supports: &[
        (F::AddressUnchanged, 0),
        (F::OtherAddressesWork, 0),
        (F::WorksSometimes, 0),
    ],
    prior: 30,
    cap: 97,
    blame: Blame::Addresses,
    alone: Alone::Drop,
    remedy: "",
    not_excluded: &[],
};

const DROPS_LARGE: &str = "Look for a firewall, load balancer or TLS proxy before the server that takes the first segment of a ClientHello alone: ClientHellos with post-quantum keys span two. Update it, or let it pass what it does not understand.";
const ENABLE: &str = "Enable TLS 1.2 and 1.3 with current cipher suites on the server: clients have dropped what it speaks.";

/// The rows. What ClientHellos of other shapes tell goes before what the handshake's end says.
pub const RULES: &[Rule] = &[
    Rule {
        cause: Cause::TlsHandshakeStall,
        requires: &[F::TlsLargeHelloStalls],
        supports: &[
            (F::TlsStalled, 0),
            (F::TlsClosed, 0),
            (F::AddressUnchanged, 0),
            (F::OtherAddressesWork, 0),
        ],
        prior: 45,
        cap: 95,
        remedy: DROPS_LARGE,
        ..BASE
    },
    Rule {
        cause: Cause::TlsHandshakeStall,
        requires: &[F::TlsStalled],
        excludes: &[
            F::LargeSegmentsLost,
            F::TlsLargeHelloStalls,
            F::TlsOldVersionsOnly,
            F::TlsOldSuitesOnly,
            F::TlsVersionIntolerant,
        ],
        supports: &[
            (F::TlsNoHelloAnswered, 8),
            (F::AddressUnchanged, 0),
            (F::WorksSometimes, 0),
        ],
        prior: 22,
        cap: 90,
        remedy: "Look at the process behind the port: it takes connections and does not speak. A proxy without a server behind it looks the same.",
        ..BASE
    },
    Rule {
        cause: Cause::TlsHandshakeStall,
        requires: &[F::TlsNotSpoken],
        cap: 85,
        remedy: "Look which process listens on that port: the one that speaks TLS is gone or moved, or TLS is switched off in its configuration.",
        ..BASE
    },
    Rule {
        cause: Cause::TlsHandshakeStall,
        requires: &[F::TlsMalformed],
        excludes: &[
            F::TlsOldVersionsOnly,
            F::TlsOldSuitesOnly,
            F::TlsVersionIntolerant,
        ],
        prior: 15,
        cap: 75,
        remedy: "Look which process listens on that port, and whether something on the way alters what it sends.",
        ..BASE
    },
    Rule {
        cause: Cause::TlsHandshakeStall,
        requires: &[F::TlsClosed, F::TlsNameRefused],
        excludes: &[F::ClientCertRefused, F::ResetUnasked],
        prior: 25,
        cap: 85,
        remedy: "Look for this name in the configuration of what ends TLS at that address (balancer, ingress, SNI proxy), and for a server behind its entry.",
        not_excluded: &[
            "a filter on the way that ends connections to this name: try from another network",
        ],
        ..BASE
    },
    Rule {
        cause: Cause::TlsHandshakeStall,
        requires: &[F::TlsClosed],
        excludes: &[
            F::ClientCertRefused,
            F::ResetUnasked,
            F::TlsNameRefused,
            F::TlsNoHelloAnswered,
            F::TlsLargeHelloStalls,
            F::TlsOldVersionsOnly,
            F::TlsOldSuitesOnly,
            F::TlsVersionIntolerant,
        ],
        supports: &[
            (F::AddressUnchanged, 0),
            (F::OtherAddressesWork, 0),
            (F::WorksSometimes, 0),
        ],
        prior: 12,
        cap: 70,
        remedy: "Look at the log of what ends TLS at that address: it begins the handshake and ends the connection before it is done, as a process does that dies or lacks its key.",
        not_excluded: &[
            "a rule that takes us for no browser by how our handshake looks: another client would tell",
        ],
        ..BASE
    },
    Rule {
        cause: Cause::TlsHandshakeStall,
        requires: &[F::TlsClosed, F::TlsNoHelloAnswered],
        excludes: &[F::ClientCertRefused, F::ResetUnasked, F::TlsNameRefused],
        prior: 15,
        cap: 75,
        remedy: "Look at the process behind the port and its log: it takes connections and ends them when a client speaks TLS. A proxy without a server behind it looks the same.",
        not_excluded: &["a filter on the way that ends TLS: a second network would tell"],
        ..BASE
    },
    Rule {
        cause: Cause::TlsClientCertRejected,
        requires: &[
            F::ClientCertRequested,
            F::ClientCertRefused,
            F::ClientCertEnded,
        ],
        supports: &[
            (F::ClientCertNotListed, 0),
            (F::AddressUnchanged, 0),
            (F::WorksSometimes, 0),
        ],
        prior: 45,
        cap: 97,
        remedy: "Renew the client certificate, and give the new one to every host that shows the old one.",
        ..BASE
    },
    Rule {
        cause: Cause::TlsClientCertRejected,
        requires: &[
            F::ClientCertRequested,
            F::ClientCertRefused,
            F::ClientCertNotBegun,
        ],
        prior: 45,
        cap: 95,
        remedy: "Show the earlier client certificate until this one begins; or look at the clock of whoever issued it.",
        ..BASE
    },
    Rule {
        cause: Cause::TlsClientCertRejected,
        requires: &[
            F::ClientCertRequested,
            F::ClientCertRefused,
            F::ClientCertNotListed,
        ],
        excludes: &[F::ClientCertEnded, F::ClientCertNotBegun],
        prior: 42,
        cap: 95,
        remedy: "Show a client certificate of an authority that the server takes, or have the server take the old authority again until every client is moved.",
        ..BASE
    },
    Rule {
        cause: Cause::TlsClientCertRejected,
        requires: &[
            F::ClientCertRequested,
            F::ClientCertRefused,
            F::ClientCertNotAskedBefore,
        ],
        excludes: &[
            F::ClientCertEnded,
            F::ClientCertNotBegun,
            F::ClientCertNotListed,
        ],
        prior: 42,
        cap: 95,
        remedy: "Undo the change that makes the server ask for client certificates; browsers have none to show.",
        ..BASE
    },
    Rule {
        cause: Cause::TlsClientCertRejected,
        requires: &[F::ClientCertRequested, F::ClientCertRefused],
        excludes: &[
            F::ClientCertEnded,
            F::ClientCertNotBegun,
            F::ClientCertNotListed,
            F::ClientCertNotAskedBefore,
        ],
        prior: 35,
        cap: 88,
        remedy: "Give the client certificate that the server asks for (`client_cert` of the check), or stop the server from asking; its log says what it refuses.",
        ..BASE
    },
    Rule {
        cause: Cause::TlsNegotiationFailed,
        requires: &[F::TlsOldVersionsOnly],
        prior: 45,
        cap: 95,
        remedy: ENABLE,
        ..BASE
    },
    Rule {
        cause: Cause::TlsNegotiationFailed,
        requires: &[F::TlsOldSuitesOnly],
        prior: 42,
        cap: 93,
        remedy: "Enable TLS 1.3, and for TLS 1.2 ECDHE with AES-GCM or ChaCha20-Poly1305, on the server (RFC 9325 section 4.2).",
        ..BASE
    },
    Rule {
        cause: Cause::TlsNegotiationFailed,
        requires: &[F::TlsVersionIntolerant],
        prior: 38,
        cap: 90,
        remedy: "Update the server, or the middlebox before it: it refuses clients that offer TLS 1.3 instead of answering with 1.2.",
        ..BASE
    },
    Rule {
        cause: Cause::TlsNegotiationFailed,
        requires: &[F::TlsAlert, F::AlpnRefused],
        excludes: &[F::ClientCertRefused],
        prior: 42,
        cap: 95,
        remedy: "Add the protocol to the ones that the server offers for this name (ALPN), or send this name to the server that speaks it.",
        ..BASE
    },
    Rule {
        cause: Cause::TlsNegotiationFailed,
        requires: &[F::TlsAlert],
        excludes: &[
            F::ClientCertRefused,
            F::TlsOldVersionsOnly,
            F::TlsOldSuitesOnly,
            F::TlsVersionIntolerant,
            F::AlpnRefused,
        ],
        cap: 80,
        remedy: "Enable TLS 1.2 or 1.3 with current cipher suites on the server, and this name in its configuration.",
        ..BASE
    },
    Rule {
        cause: Cause::CertPolicyRejected,
        requires: &[F::ChainTooLarge],
        excludes: &[F::TlsMalformed, F::CertMalformed],
        prior: 15,
        cap: 80,
        remedy: "Send the server's certificate and the intermediates up to the root, and nothing else: look at the bundle that the server loads.",
        ..BASE
    },
    Rule {
        cause: Cause::TlsNegotiationFailed,
        requires: &[F::AlpnNotSpoken],
        cap: 88,
        remedy: "Take the protocol out of what TLS offers there (ALPN), or have what is behind it speak it: browsers take the server at its word.",
        ..BASE
    },
];
