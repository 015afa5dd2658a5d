//! Answers that are too large, and resolvers.

use bellwether_model::Cause;
use bellwether_model::FactKind as F;

use super::{Alone, Blame, Over, Rule};

const TOO_MANY: Rule = Rule {
    cause: Cause::DnsAnswerTooManyRecords,
    over: Over::Resolvers,
    requires: &[],
    excludes: &[F::ResolverFailsControls],
    supports: &[(F::ResolverOtherNamesRight, 10)],
    prior: 20,
    cap: 90,
    blame: Blame::Resolvers,
    alone: Alone::Drop,
    remedy: "Answer with fewer records: hand out subsets of at most 8 addresses that together cover the pool.",
    not_excluded: &[
        "where those resolvers begin to fail: answers of 10, 20, 40 and 80 records through them would tell",
    ],
};

const STALE: Rule = Rule {
    cause: Cause::DnsResolverStaleCache,
    over: Over::Resolvers,
    requires: &[],
    excludes: &[F::ResolverFailsControls],
    supports: &[(F::ResolverOtherNamesRight, 5)],
    prior: 20,
    cap: 90,
    blame: Blame::Resolvers,
    alone: Alone::Drop,
    remedy: "Wait for the TTL, or have the operator flush the name; public resolvers offer a page for it.",
    not_excluded: &[],
};

const LONGER: &str = "Have the resolver's operator flush the name, and keep answers no longer than the zone says. Until then leave the old address in service.";

const FILTERED: Rule = Rule {
    cause: Cause::DnsResolverFiltered,
    over: Over::Resolvers,
    requires: &[],
    excludes: &[F::ResolverFailsControls],
    supports: &[(F::ResolverOtherNamesRight, 10)],
    prior: 20,
    cap: 90,
    blame: Blame::Resolvers,
    alone: Alone::Drop,
    remedy: "Ask the resolver's operator why the name is on its list, and to take it off.",
    not_excluded: &[],
};

/// The rows.
pub const RULES: &[Rule] = &[
    Rule {
        requires: &[F::AnswerTooLarge, F::ResolverDeniesExistingName],
        ..TOO_MANY
    },
    Rule {
        requires: &[F::AnswerTooLarge, F::ResolverServfail],
        excludes: &[
            F::ResolverFailsControls,
            F::FailsOnlyChecked,
            F::ResolverTruncated,
            F::Port53TcpFails,
        ],
        prior: 5,
        cap: 75,
        ..TOO_MANY
    },
    Rule {
        cause: Cause::DnsResolverDown,
        over: Over::Resolvers,
        requires: &[F::ResolverFailsControls],
        excludes: &[F::ResolverIsSystem, F::Port53Dead],
        supports: &[],
        prior: 30,
        cap: 95,
        blame: Blame::Resolvers,
        alone: Alone::Warn,
        remedy: "Nothing in your zone mends this: its operator must. Users can be told to choose another resolver.",
        not_excluded: &[
            "an access list at the resolver that leaves out this vantage's network: a second network would tell",
        ],
    },
    // Who asked for privacy has no resolver, whatever the same operator answers in plain DNS.
    Rule {
        cause: Cause::DnsResolverDown,
        over: Over::Resolvers,
        requires: &[F::ResolverChannelFails],
        excludes: &[],
        supports: &[(F::ResolverPlainWorks, 10)],
        prior: 35,
        cap: 97,
        blame: Blame::Resolvers,
        alone: Alone::Warn,
        remedy: "Nothing in your zone mends this: its operator must. Clients that insist on encryption need another resolver until then.",
        not_excluded: &[
            "something on the path that ends TLS in the resolver's place: a second network would tell",
        ],
    },
    Rule {
        requires: &[F::ResolverServesOldAnswer],
        ..STALE
    },
    Rule {
        requires: &[F::ResolverAnswerDiffers, F::CacheNsDiffer],
        ..STALE
    },
    // Nothing but the time left tells that the answer is an older one.
    Rule {
        requires: &[F::ResolverAnswerDiffers, F::ResolverAnswerKept],
        excludes: &[
            F::ResolverFailsControls,
            F::ResolverSinkhole,
            F::ResolverTwoAnswers,
        ],
        cap: 70,
        not_excluded: &[
            "that the answer is made by policy, or that the name servers answer that resolver's network otherwise: its time running down as it is asked again, and asking them from there, would tell",
        ],
        ..STALE
    },
    Rule {
        requires: &[F::ResolverDeniesExistingName, F::ResolverNegativeCached],
        excludes: &[F::AnswerTooLarge, F::ResolverFailsControls],
        cap: 80,
        ..STALE
    },
    // A cache that keeps for longer than the zone says is worth a line even while the old address
    // still answers.
    Rule {
        requires: &[F::ResolverServesOldAnswer, F::ResolverTtlAboveZone],
        prior: 25,
        alone: Alone::Warn,
        remedy: LONGER,
        ..STALE
    },
    Rule {
        requires: &[F::ResolverAnswerDiffers, F::ResolverTtlAboveZone],
        prior: 22,
        cap: 85,
        alone: Alone::Warn,
        remedy: LONGER,
        ..STALE
    },
    Rule {
        requires: &[F::ResolverServesStale],
        prior: 25,
        cap: 92,
        alone: Alone::Warn,
        remedy: "Mend the name servers: the resolver goes on with what it kept because none of them answers, for some days at most (RFC 8767).",
        ..STALE
    },
    Rule {
        requires: &[F::ResolverHoldsOldDs, F::FailsOnlyChecked, F::ChainSecure],
        prior: 30,
        remedy: "Wait for the TTL of the DS set, or have the operator flush the zone; the parent's records are right now.",
        ..STALE
    },
    Rule {
        requires: &[F::ResolverSinkhole],
        ..FILTERED
    },
    Rule {
        requires: &[F::ResolverTwoAnswers],
        prior: 25,
        alone: Alone::Warn,
        remedy: "Somebody on the way to the resolver answers before it does: tell the network's operator; users can be told to use DNS over TLS or HTTPS.",
        not_excluded: &[
            "where on the way the first answer is made: other networks, and the first answers' hop counts, would tell",
        ],
        ..FILTERED
    },
    Rule {
        requires: &[F::ResolverAnswerDiffers, F::ResolverAnswerForeign],
        excludes: &[
            F::ResolverFailsControls,
            F::CacheNsDiffer,
            F::ResolverTtlAboveZone,
            F::ResolverServesStale,
            F::ResolverAnswerKept,
        ],
        prior: 5,
        cap: 65,
        not_excluded: &["that the resolver is led astray itself: its operator would know"],
        ..FILTERED
    },
    Rule {
        requires: &[F::ResolverAnswersCanary],
        prior: 10,
        cap: 90,
        blame: Blame::Nobody,
        alone: Alone::Notice,
        remedy: "Names that do not exist lead somewhere through this resolver: no check of absence is to be trusted there.",
        ..FILTERED
    },
    Rule {
        cause: Cause::DnsResolverSlow,
        over: Over::Resolvers,
        requires: &[F::ResolverSlow],
        excludes: &[F::ResolverFailsControls],
        supports: &[],
        prior: 20,
        cap: 80,
        blame: Blame::Nobody,
        alone: Alone::Warn,
        remedy: "Nothing in your zone mends this: its operator must, or users choose another resolver.",
        not_excluded: &["the path from here to the resolver: another network would tell"],
    },
    // The target's own answer comes; what is larger does not.
    Rule {
        cause: Cause::DnsResolverBug,
        over: Over::Resolvers,
        requires: &[F::ResolverLosesLarge, F::ResolverOtherNamesRight],
        excludes: &[
            F::ResolverFailsControls,
            F::FailsOnlyChecked,
            F::Port53TcpFails,
            F::Port53Dead,
        ],
        supports: &[],
        prior: 15,
        cap: 85,
        blame: Blame::Nobody,
        alone: Alone::Warn,
        remedy: "Tell the resolver's operator: answers that do not fit into a datagram get lost between it and name servers (fragments, or TCP port 53). Keep answers below 1,232 octets until then.",
        not_excluded: &[
            "that the name servers refuse large answers to that resolver alone: its operator would know",
        ],
    },
    Rule {
        cause: Cause::DnsResolverBug,
        over: Over::Resolvers,
        requires: &[F::ResolverDeniesExistingName, F::ResolverOtherNamesRight],
        excludes: &[
            F::AnswerTooLarge,
            F::ResolverNegativeCached,
            F::ResolverSinkhole,
            F::ResolverFailsControls,
        ],
        supports: &[],
        prior: 20,
        cap: 88,
        blame: Blame::Resolvers,
        alone: Alone::Drop,
        remedy: "Tell the resolver's operator: the authority has the name, and the resolver answers others rightly.",
        not_excluded: &[
            "a denial cached while the name was missing for a moment: asking again after the negative TTL would tell",
        ],
    },
];
