//! Promises: nobody fails yet.

use bellwether_model::{Cause, FactKind};

use super::{Alone, Blame, Over, Rule};

const ANSWER: Rule = Rule {
    cause: Cause::PromiseAnswerPolicy,
    over: Over::Service,
    requires: &[],
    excludes: &[],
    supports: &[],
    prior: 40,
    cap: 99,
    blame: Blame::Nobody,
    alone: Alone::Warn,
    remedy: "Answer with fewer records: some resolvers fail above 20, and answers above 1,232 bytes need TCP.",
    not_excluded: &[],
};

const REDUNDANCY: Rule = Rule {
    cause: Cause::PromiseRedundancy,
    over: Over::Zones,
    requires: &[],
    excludes: &[],
    supports: &[],
    prior: 40,
    cap: 99,
    blame: Blame::Nobody,
    alone: Alone::Notice,
    remedy: "Put a name server into another network: one fault on the way to this one takes the whole zone with it (RFC 2182 section 3.1).",
    not_excluded: &[],
};

/// The rows.
pub const RULES: &[Rule] = &[
    Rule {
        requires: &[FactKind::AnswerTooLarge],
        ..ANSWER
    },
    Rule {
        requires: &[FactKind::PoolMemberUnseen],
        cap: 90,
        remedy: "Put the member into the rotation, or take it out of `expect.addresses` if it is to stand by.",
        ..ANSWER
    },
    Rule {
        requires: &[FactKind::NsShareNetwork],
        ..REDUNDANCY
    },
    Rule {
        requires: &[FactKind::NsShareOwner],
        prior: 20,
        remedy: "Consider name servers of a second operator: what fails for the whole of one takes the zone with it.",
        ..REDUNDANCY
    },
];
