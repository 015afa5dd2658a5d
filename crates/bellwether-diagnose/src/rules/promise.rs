//! Promises: nobody fails yet.

use bellwether_model::{Cause, FactKind};

use super::{Alone, Blame, Over, Rule};

/// The rows.
pub const RULES: &[Rule] = &[Rule {
    cause: Cause::PromiseAnswerPolicy,
    over: Over::Service,
    requires: &[FactKind::AnswerTooLarge],
    excludes: &[],
    supports: &[],
    prior: 40,
    cap: 99,
    blame: Blame::Nobody,
    alone: Alone::Warn,
    remedy: "Answer with fewer records: some resolvers fail above 20, and answers above 1,232 bytes need TCP.",
    not_excluded: &[],
}];
