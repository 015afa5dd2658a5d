//! How DNS travels: sizes, protocols, and servers that break the protocol.

use bellwether_model::Cause;
use bellwether_model::FactKind as F;

use super::{Alone, Blame, Over, Rule};

const NOT_OURS: &[&str] = &["which side of the path it is on: a second network would tell"];

const FILTERED: Rule = Rule {
    cause: Cause::DnsTransportPort53Filtered,
    over: Over::Service,
    requires: &[],
    excludes: &[],
    supports: &[],
    prior: 25,
    cap: 92,
    blame: Blame::Port53,
    alone: Alone::Warn,
    remedy: "",
    not_excluded: NOT_OURS,
};

const BUG: Rule = Rule {
    cause: Cause::DnsAuthProtocolBug,
    over: Over::NameServers,
    requires: &[],
    excludes: &[],
    supports: &[],
    prior: 25,
    cap: 90,
    blame: Blame::StrictResolvers,
    alone: Alone::Warn,
    remedy: "Update the name server's software, or what stands before it: load balancers and firewalls that look into DNS.",
    not_excluded: &[],
};

/// The rows.
pub const RULES: &[Rule] = &[
    Rule {
        requires: &[F::Port53TcpFails],
        remedy: "Allow TCP port 53 in the firewall on that path (RFC 7766): answers that are too large for UDP need it.",
        ..FILTERED
    },
    Rule {
        requires: &[F::Port53Dead],
        prior: 30,
        remedy: "Allow UDP and TCP port 53 from this machine to everybody, or give it a resolver over TLS or HTTPS by --resolver.",
        ..FILTERED
    },
    Rule {
        cause: Cause::DnsTransportUdpLargeDropped,
        over: Over::NameServers,
        requires: &[F::NsLargeUdpLost],
        excludes: &[],
        supports: &[],
        prior: 25,
        cap: 90,
        blame: Blame::Nobody,
        alone: Alone::Warn,
        remedy: "Let the name servers send at most 1,232 octets over UDP (max-udp-size), allow TCP port 53, and let fragments pass the firewall.",
        not_excluded: NOT_OURS,
    },
    Rule {
        requires: &[F::NsTruncated],
        excludes: &[F::Port53TcpFails],
        cause: Cause::DnsAuthUnresponsive,
        blame: Blame::UnusableServers,
        remedy: "Open TCP port 53 to the name server (RFC 7766): its answer does not fit into a datagram.",
        ..BUG
    },
    Rule {
        requires: &[F::NsMalformed],
        blame: Blame::UnusableServers,
        ..BUG
    },
    Rule {
        requires: &[F::NsDeniesByType],
        blame: Blame::DenyingServers,
        remedy: "Let the name server answer NOERROR without records for types that an existing name lacks (RFC 2308 section 2.2): NXDOMAIN is kept for the whole name.",
        ..BUG
    },
    Rule {
        requires: &[F::NsCaseNotKept, F::NsSmallLettersOnly],
        remedy: "Let the name server take letters of either case for the same (RFC 4343): resolvers mix them against forgery.",
        ..BUG
    },
    Rule {
        requires: &[F::NsCaseNotKept],
        excludes: &[F::NsSmallLettersOnly],
        alone: Alone::Notice,
        remedy: "Let the name server send the question back as it came (RFC 1035 section 7.3): resolvers that mix the case of letters against forgery may take nothing else.",
        ..BUG
    },
    Rule {
        requires: &[F::NsTypeFails],
        excludes: &[F::NsEdnsFails],
        blame: Blame::UnusableServers,
        remedy: "Let the name server answer every type of question: NODATA for those that a name lacks (RFC 2308 section 2.2). A firewall or load balancer before it may drop some.",
        ..BUG
    },
    Rule {
        requires: &[F::NsVariantFails],
        blame: Blame::Nobody,
        remedy: "Let the name server ignore options that it does not know (RFC 6891 section 6.1.2) and answer NODATA for types that it does not know (RFC 3597).",
        ..BUG
    },
    Rule {
        requires: &[F::RepliesDiscarded],
        excludes: &[F::NsSilent],
        blame: Blame::Nobody,
        prior: 5,
        cap: 70,
        alone: Alone::Notice,
        remedy: "Look who answers in the server's place: these messages answer no question of ours.",
        not_excluded: &["somebody who forges answers: what arrives at a second network would tell"],
        ..BUG
    },
    // Answers come cut, and the resolver's TCP port is dead: large ones fail through it.
    Rule {
        cause: Cause::DnsResolverBug,
        over: Over::Resolvers,
        requires: &[F::ResolverTruncated, F::ResolverOtherNamesRight],
        excludes: &[F::Port53TcpFails, F::ResolverFailsControls],
        supports: &[],
        prior: 20,
        cap: 85,
        blame: Blame::Resolvers,
        alone: Alone::Drop,
        remedy: "Tell the resolver's operator: its TCP port 53 does not answer, and answers that do not fit into a datagram need it.",
        not_excluded: NOT_OURS,
    },
];
