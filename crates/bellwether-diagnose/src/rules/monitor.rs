//! Is it us? These rows are decided first.

use bellwether_model::{Cause, FactKind};

use super::{Alone, Blame, Over, Rule};

/// The rows.
pub const RULES: &[Rule] = &[
    Rule {
        cause: Cause::MonitorVantageUplink,
        over: Over::Vantage,
        requires: &[FactKind::ControlsFailed],
        excludes: &[FactKind::Port53Dead],
        supports: &[(FactKind::NoRoute, 20)],
        prior: 25,
        cap: 99,
        blame: Blame::Nobody,
        alone: Alone::Notice,
        remedy: "Mend this machine's own network: address, route, firewall. Nothing is known of the service until then.",
        not_excluded: &[],
    },
    Rule {
        cause: Cause::MonitorProbeHung,
        over: Over::Vantage,
        requires: &[FactKind::ProbesNotRun],
        excludes: &[FactKind::ControlsFailed],
        supports: &[],
        prior: 30,
        cap: 95,
        blame: Blame::Nobody,
        alone: Alone::Warn,
        remedy: "Run the check again with a longer --deadline. If it hangs again, keep the report (--save) and report it: no target may do this.",
        not_excluded: &[],
    },
    Rule {
        cause: Cause::MonitorVantageResolver,
        over: Over::Resolvers,
        requires: &[FactKind::ResolverFailsControls, FactKind::ResolverIsSystem],
        excludes: &[FactKind::ControlsFailed, FactKind::Port53Dead],
        supports: &[],
        prior: 30,
        cap: 95,
        blame: Blame::Resolvers,
        alone: Alone::Notice,
        remedy: "Mend the resolver that this machine is configured with (/etc/resolv.conf), or give another one with --resolver.",
        not_excluded: &[],
    },
];
