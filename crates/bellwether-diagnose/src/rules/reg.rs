//! What registries publish, and their servers.

use bellwether_model::Cause;
use bellwether_model::FactKind as F;

use super::{Alone, Blame, Over, Rule};

const UNREACHABLE: Rule = Rule {
    cause: Cause::RegTldUnreachable,
    over: Over::Zones,
    requires: &[],
    excludes: &[F::ControlsFailed, F::Port53Dead],
    supports: &[],
    prior: 20,
    cap: 85,
    blame: Blame::Resolution,
    alone: Alone::Warn,
    remedy: "Nothing in your zone mends this: tell the registry that operates the parent zone.",
    not_excluded: super::dns::ONE_NETWORK,
};

/// The rows.
pub const RULES: &[Rule] = &[
    Rule {
        requires: &[F::ParentServersFail],
        ..UNREACHABLE
    },
    Rule {
        requires: &[F::RegistryServersFail],
        ..UNREACHABLE
    },
    // Some of them, while others delegate: resolvers try the next one.
    Rule {
        over: Over::NameServers,
        requires: &[F::RegistryServerFails],
        excludes: &[F::ControlsFailed, F::Port53Dead],
        blame: Blame::UnusableServers,
        ..UNREACHABLE
    },
    Rule {
        cause: Cause::RegTldBadData,
        over: Over::NameServers,
        requires: &[F::RegistryServerDenies],
        excludes: &[],
        supports: &[],
        prior: 30,
        cap: 95,
        blame: Blame::DenyingServers,
        alone: Alone::Warn,
        remedy: "Nothing in your zone mends this: tell the registry which of its servers denies the name; until then resolvers that ask it believe the denial.",
        not_excluded: &[],
    },
    Rule {
        cause: Cause::RegTldBadData,
        over: Over::Hosts,
        requires: &[F::NsNameDoubled],
        excludes: &[],
        supports: &[(F::NsAddressMissing, 0)],
        prior: 25,
        cap: 90,
        blame: Blame::UnusableServers,
        alone: Alone::Warn,
        remedy: "Have the registry publish the names with their final dot; if they stand so at your registrar too, correct them there.",
        not_excluded: &[
            "that the names were typed so at the registrar: another name below the same parent would tell",
        ],
    },
];
