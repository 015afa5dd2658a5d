//! Addresses: who owns them, and do they take connections?

use bellwether_model::Cause;
use bellwether_model::FactKind as F;

use super::{Alone, Blame, Over, Rule};

const BASE: Rule = Rule {
    cause: Cause::NetTcpRefused,
    over: Over::Addresses,
    requires: &[],
    excludes: &[],
    supports: &[
        (F::OtherAddressesWork, 0),
        (F::WorksSometimes, 0),
        (F::RedirectFails, 0),
    ],
    prior: 30,
    cap: 95,
    blame: Blame::Addresses,
    alone: Alone::Drop,
    remedy: "",
    not_excluded: &[],
};

const FLAPS: &str = "Find which member behind the address the resets come from: its process is down while the balancer still sends to it; or a firewall is short of states.";

/// The rows.
pub const RULES: &[Rule] = &[
    Rule {
        cause: Cause::IpOwnerUnexpected,
        requires: &[F::AddressUnexpected],
        prior: 20,
        cap: 85,
        remedy: "Find out who put this address into the answer, and take it out, or add its network to `expect.addresses`.",
        ..BASE
    },
    Rule {
        requires: &[F::AddressRefused],
        excludes: &[F::WorksSometimes],
        remedy: "Start the server on that port, or take the address out of the answer.",
        ..BASE
    },
    Rule {
        cause: Cause::NetTcpResetFlap,
        requires: &[F::AddressRefused, F::WorksSometimes],
        prior: 35,
        remedy: FLAPS,
        ..BASE
    },
    Rule {
        cause: Cause::NetTcpResetFlap,
        requires: &[F::AddressResets, F::WorksSometimes],
        excludes: &[F::AddressRefused, F::ClientCertRefused],
        prior: 33,
        remedy: FLAPS,
        ..BASE
    },
    Rule {
        cause: Cause::NetTcpResetFlap,
        requires: &[F::AddressResets, F::HttpWorksAtTimes],
        excludes: &[F::AddressRefused, F::ClientCertRefused, F::WorksSometimes],
        supports: &[(F::HttpWorksAtTimes, 0)],
        prior: 33,
        remedy: FLAPS,
        ..BASE
    },
    Rule {
        cause: Cause::NetTcpResetFlap,
        requires: &[F::ResetUnasked],
        excludes: &[
            F::AddressRefused,
            F::ClientCertRefused,
            F::WorksSometimes,
            F::HttpWorksAtTimes,
        ],
        supports: &[(F::OtherAddressesWork, 0), (F::RedirectFails, 0)],
        prior: 20,
        cap: 85,
        remedy: "Look at what listens on that port, and its log: a balancer whose servers are all down, a process at its limit of connections or dying as it takes them, or a rule there that bars clients.",
        not_excluded: &[
            "a firewall on the way that makes the resets: capture at the server (`tcpdump 'tcp[tcpflags] & tcp-rst != 0'`); those that it does not send are made on the way",
            "that only this network is barred: a second one would tell",
        ],
        ..BASE
    },
    Rule {
        cause: Cause::NetPathV6Broken,
        requires: &[F::AddressTimesOut, F::OtherFamilyWorks],
        excludes: &[F::WorksSometimes],
        prior: 20,
        cap: 85,
        remedy: "Mend IPv6 between here and the server, or take the AAAA records out until it works.",
        not_excluded: &["a fault near this vantage: a second network would tell"],
        ..BASE
    },
    Rule {
        cause: Cause::NetPathV6Broken,
        requires: &[F::AddressUnreachable, F::OtherFamilyWorks],
        excludes: &[F::AddressTimesOut, F::WorksSometimes],
        prior: 20,
        cap: 85,
        remedy: "Mend IPv6 between here and the server, or take the AAAA records out until it works.",
        not_excluded: &["a fault near this vantage: a second network would tell"],
        ..BASE
    },
    Rule {
        cause: Cause::NetTcpFiltered,
        requires: &[F::AddressTimesOut],
        excludes: &[F::OtherFamilyWorks, F::WorksSometimes],
        supports: &[
            (F::PingAnswers, 10),
            (F::OtherAddressesWork, 5),
            (F::RedirectFails, 0),
        ],
        prior: 15,
        cap: 90,
        remedy: "Look for a firewall, a dead host or a lost route at that address; until it is mended take the address out of the answer.",
        not_excluded: &[
            "a route that ends before the host: a second network, or a trace, would tell",
        ],
        ..BASE
    },
    Rule {
        cause: Cause::NetPathPmtuBlackhole,
        requires: &[F::LargeSegmentsLost],
        supports: &[
            (F::HttpBodyStalled, 5),
            (F::HttpStalled, 0),
            (F::TlsStalled, 0),
        ],
        cap: 92,
        remedy: "Let ICMP \"packet too big\" pass on the way from the server, or have the tunnel or router with the small MTU clamp the MSS.",
        not_excluded: &["a fault near this vantage: a second network would tell"],
        ..BASE
    },
    Rule {
        cause: Cause::NetTcpMidstreamStall,
        requires: &[F::HttpBodyStalled],
        excludes: &[F::LargeSegmentsLost],
        prior: 20,
        cap: 80,
        remedy: "Look for what stops the transfer: an idle timeout of NAT or balancer, a full disk or queue behind the server, a client that is not read.",
        not_excluded: &["a server that announces more than it has: its own log would tell"],
        ..BASE
    },
];
