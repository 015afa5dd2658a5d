//! Causes as rows: what each needs to be known, what speaks for and against it, and what to do.
//!
//! A row fires for a subject only if all of `requires` and none of `excludes` is known of it. Weights
//! are tenths of nats: 10 multiplies the odds by e.

pub mod cert;
pub mod dns;
pub mod dnssec;
pub mod http;
pub mod monitor;
pub mod net;
pub mod promise;
pub mod reg;
pub mod resolver;
pub mod steering;
pub mod tls;
pub mod transport;

use bellwether_model::{Cause, FactKind};

/// What a row speaks of, and so which facts it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Over {
    /// The vantage.
    Vantage,
    /// A zone on the alias chain, or above it.
    Zones,
    /// A name server at an address.
    NameServers,
    /// A name server's name.
    Hosts,
    /// A resolver.
    Resolvers,
    /// An address of the service.
    Addresses,
    /// The service as a whole.
    Service,
}

/// Which failures of users a cause explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Whatever fails through the servers that the parent gives and something else does not know.
    WrongSide,
    /// Nothing resolves: every look-up that ends without an address.
    Resolution,
    /// The servers give nothing usable; users fail only if no other server does.
    UnusableServers,
    /// The servers deny the name; so do resolvers that happen to ask them.
    DenyingServers,
    /// Addresses that only these servers give.
    AnswersOfServers,
    /// Addresses that the zone's servers agree on, or look-ups that end without one.
    ZoneData,
    /// Whatever needs port 53: our own iteration, and resolvers in plain DNS that give nothing.
    Port53,
    /// The servers break the protocol, all of them; resolvers that insist on it give nothing.
    StrictResolvers,
    /// Whoever validates: our own iteration, and resolvers that fail only where they check.
    Validation,
    /// The resolvers, and addresses that only they give.
    Resolvers,
    /// The addresses.
    Addresses,
    /// Nobody fails.
    Nobody,
}

/// What becomes of a finding by which no user fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alone {
    /// It is not told.
    Drop,
    /// It is a warning.
    Warn,
    /// It is a notice.
    Notice,
}

/// One way to conclude a cause.
#[derive(Debug)]
pub struct Rule {
    /// The cause.
    pub cause: Cause,
    /// What the row speaks of.
    pub over: Over,
    /// All of these must be known.
    pub requires: &'static [FactKind],
    /// None of these may be known.
    pub excludes: &'static [FactKind],
    /// What raises the score where known.
    pub supports: &'static [(FactKind, i16)],
    /// Score before any support.
    pub prior: i16,
    /// The most that one vantage and one moment can make sure of, per cent.
    pub cap: u8,
    /// Which failures it explains.
    pub blame: Blame,
    /// What becomes of it if nobody fails by it.
    pub alone: Alone,
    /// What to do.
    pub remedy: &'static str,
    /// What was not looked for, and what would tell.
    pub not_excluded: &'static [&'static str],
}

/// The tables, lowest family first.
pub const TABLES: &[&[Rule]] = &[
    monitor::RULES,
    reg::RULES,
    dns::RULES,
    dnssec::RULES,
    transport::RULES,
    steering::RULES,
    resolver::RULES,
    net::RULES,
    tls::RULES,
    cert::RULES,
    http::RULES,
    promise::RULES,
];

/// Every row.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// Causes that are concluded elsewhere than in a row: from the time at which a job reports.
const WITHOUT_ROW: [Cause; 1] = [Cause::AppStepFailed];

/// Every cause that can be concluded, sorted.
#[must_use]
pub fn causes_with_rules() -> Vec<Cause> {
    let mut causes: Vec<Cause> = all()
        .map(|r| r.cause)
        .filter(|c| *c != Cause::Unknown)
        .chain(WITHOUT_ROW)
        .collect();
    causes.sort();
    causes.dedup();
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each two causes over the same subjects need a fact that separates them: one requires what
    /// the other excludes, or requires something that the other does not.
    #[test]
    fn each_two_causes_are_separable() {
        let rows: Vec<&Rule> = all().collect();
        for (i, a) in rows.iter().enumerate() {
            for b in &rows[i + 1..] {
                if a.over != b.over || a.cause == b.cause {
                    continue;
                }
                let same = a.requires.iter().all(|f| b.requires.contains(f))
                    && b.requires.iter().all(|f| a.requires.contains(f));
                let apart = a.requires.iter().any(|f| b.excludes.contains(f))
                    || b.requires.iter().any(|f| a.excludes.contains(f));
                assert!(
                    !same || apart,
                    "nothing separates {} from {}",
                    a.cause,
                    b.cause
                );
            }
        }
    }

    #[test]
    fn no_row_requires_what_it_excludes() {
        for row in all() {
            assert!(!row.requires.is_empty(), "{} fires on nothing", row.cause);
            assert!(
                row.requires.iter().all(|f| !row.excludes.contains(f)),
                "{}",
                row.cause
            );
            assert!(
                row.supports.iter().all(|(_, w)| w.abs() <= 60),
                "{}",
                row.cause
            );
        }
    }
}
