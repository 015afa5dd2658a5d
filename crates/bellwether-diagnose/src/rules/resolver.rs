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
    Rule {
        requires: &[F::ResolverDeniesExistingName, F::ResolverNegativeCached],
        excludes: &[F::AnswerTooLarge, F::ResolverFailsControls],
        cap: 80,
        ..STALE
    },
    Rule {
        cause: Cause::DnsResolverFiltered,
        over: Over::Resolvers,
        requires: &[F::ResolverSinkhole],
        excludes: &[F::ResolverFailsControls],
        supports: &[(F::ResolverOtherNamesRight, 10)],
        prior: 20,
        cap: 90,
        blame: Blame::Resolvers,
        alone: Alone::Drop,
        remedy: "Ask the resolver's operator why the name is on its list, and to take it off.",
        not_excluded: &[],
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
