//! Who is handed out to users: pools, roles, dead members.

use bellwether_model::Cause;
use bellwether_model::FactKind as F;

use super::{Alone, Blame, Over, Rule};

const BASE: Rule = Rule {
    cause: Cause::DnsSteeringDeadTarget,
    over: Over::Addresses,
    requires: &[],
    excludes: &[],
    supports: &[
        (F::HttpStatus, 0),
        (F::HttpServerError, 0),
        (F::HttpStalled, 0),
        (F::ExpectationFailed, 0),
    ],
    prior: 20,
    cap: 88,
    blame: Blame::Addresses,
    alone: Alone::Drop,
    remedy: "Take the dead member out of the answer, and let the health check ask what users ask: an open port is not a working service.",
    not_excluded: &[],
};

/// The rows.
pub const RULES: &[Rule] = &[
    Rule {
        requires: &[F::OthersInRole],
        ..BASE
    },
    Rule {
        cause: Cause::DnsSteeringStaleFailover,
        requires: &[F::RoleOfAnother],
        // The same address as before: what stands there changed, not who is handed out.
        excludes: &[F::AddressUnchanged],
        supports: &[
            (F::RoleDiffers, 0),
            (F::ExpectationFailed, 0),
            (F::RecordsChanged, 5),
        ],
        cap: 90,
        remedy: "Look at which pool the traffic manager has active, and from when its plan is; put the right addresses back by hand until it follows the present one.",
        not_excluded: &["a change of the record by hand: the DNS provider's change log would tell"],
        ..BASE
    },
];
