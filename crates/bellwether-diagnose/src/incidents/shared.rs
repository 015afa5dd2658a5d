//! Do more of a dependency's users fail than chance would have it?

use std::collections::{BTreeMap, BTreeSet};

use super::index::Spot;
use super::matter::{Matter, Sort};
use super::party::Party;
use super::{Book, Changes, fold};
use bellwether_model::Cause;
use jiff::Timestamp;

/// A dependency with this many failing users can be the shared part at all.
const FAILING_MIN: usize = 2;
/// At least this part of its users fails.
const SHARE_MIN: f64 = 0.6;
/// Chance that as many fail by accident, times the number of dependencies looked at (Bonferroni).
const CHANCE_MAX: f64 = 1e-3;

/// The hypergeometric tail: of `all` services `bad` fail, `users` lean on the dependency, and
/// `bad_users` of these fail. How likely is that, or more, if who fails has nothing to do with it?
#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of services, far below 2^53"
)]
fn tail(all: usize, users: usize, bad: usize, bad_users: usize) -> f64 {
    let most = users.min(bad);
    // As many of those that fail find no place among those that do not lean on it.
    let least = bad_users.max(bad.saturating_sub(all - users));
    if least > most {
        return 0.0;
    }
    // From the likeliest on, upwards and downwards: each term follows from the one beside it, and none
    // is nil before those that matter are added. Logarithms anew for each of thousands take seconds.
    let likeliest = (users + 1) * (bad + 1) / (all + 2);
    let begin = likeliest.clamp(least, most);
    let ln = ln_choose(users, begin) + ln_choose(all - users, bad - begin) - ln_choose(all, bad);
    // How much likelier one more than `k` is.
    let step = |k: usize| {
        let more = (users - k) as f64 * (bad - k) as f64;
        more / ((k + 1) as f64 * (all - users + k + 1 - bad) as f64)
    };
    let first = ln.exp();
    let up = (begin..most).scan(first, |term, k| {
        *term *= step(k);
        Some(*term)
    });
    let down = (least..begin).rev().scan(first, |term, k| {
        *term /= step(k);
        Some(*term)
    });
    (first + up.sum::<f64>() + down.sum::<f64>()).min(1.0)
}

/// Natural logarithm of a binomial coefficient.
fn ln_choose(of: usize, some: usize) -> f64 {
    ln_factorial(of) - ln_factorial(some) - ln_factorial(of - some)
}

/// Below this a sum of logarithms is as fast, and exact.
const STIRLING_MIN: usize = 32;

/// Natural logarithm of a factorial, to 13 digits.
#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of services, far below 2^53"
)]
fn ln_factorial(n: usize) -> f64 {
    if n < STIRLING_MIN {
        return (2..=n).map(|i| (i as f64).ln()).sum();
    }
    // Stirling's series, with so many terms that the next one is below 1e-13.
    let x = n as f64;
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    x * x.ln() - x + 0.5 * (std::f64::consts::TAU * x).ln() + series
}

/// All users of something failed together; so many are enough to see it in that alone.
const ALL_OF_OWNER_MIN: usize = 3;
/// The same of one address: what stands there serves them all.
const ALL_OF_ADDRESS_MIN: usize = 2;

impl Book {
    /// Troubles of one cause that began together at something that a crowd shares: are they one
    /// after all? Looked at when there are more of them than last time, of the matters that changed
    /// since.
    pub(super) fn gather(
        &mut self,
        stirred: &BTreeSet<u64>,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        let mut crowds: BTreeMap<Spot, Vec<u64>> = BTreeMap::new();
        for id in stirred.iter().chain(&changes.dirty) {
            let Some(matter) = self.matters.get(id) else {
                continue;
            };
            for spot in self.index.crowd(matter) {
                crowds.insert(spot, Vec::new());
            }
        }
        let index = &self.index;
        self.weighed
            .retain(|spot, _| index.of_crowd(spot).is_some());
        crowds.retain(|spot, ids| {
            let weighed = self.weighed.get(spot).copied().unwrap_or(0);
            ids.extend(index.of_crowd(spot).into_iter().flatten());
            ids.len() > 1 && ids.len() > weighed
        });
        if crowds.is_empty() {
            return;
        }
        let found = self.proofs(&crowds);
        for (key, ids) in crowds {
            self.weighed.insert(key, ids.len());
        }
        for (party, ids) in found {
            for id in &ids {
                if let Some(matter) = self.matters.get_mut(id) {
                    matter.proven.insert(party.clone());
                    self.index.place(matter);
                }
            }
            for id in ids.iter().skip(1) {
                let is_open = |m: &Matter| m.is_active();
                if self.matters.get(id).is_some_and(is_open) {
                    self.merge(*id, now, changes);
                }
            }
        }
    }

    /// The crowds whose failing together is no accident, each with its matters, the oldest first.
    fn proofs(&self, crowds: &BTreeMap<Spot, Vec<u64>>) -> Vec<(Party, Vec<u64>)> {
        let leaning = self.watches.leaning();
        // What fails by each cause, gone through once for all crowds.
        let mut by_cause: BTreeMap<Cause, Failing<'_>> =
            crowds.keys().map(|(c, _)| (*c, Failing::new())).collect();
        for matter in self.matters.values().filter(|m| m.sort == Sort::Fault) {
            if let Some(failing) = by_cause.get_mut(&matter.incident.cause) {
                let services = matter.active().map(|((check, _), _)| check.service());
                failing.push((matter.incident.began, services.collect()));
            }
        }
        let mut found = Vec::new();
        for ((cause, party), ids) in crowds {
            let Some(dependency) = party.crowd() else {
                continue;
            };
            let failing = &by_cause[cause];
            // Most often so few fail that nothing has to be counted.
            let most: usize = failing.iter().map(|(_, services)| services.len()).sum();
            if !may_be_shared(leaning.users(&dependency), most) {
                continue;
            }
            let mut ids = ids.clone();
            ids.sort_by_key(|id| (self.matters[id].incident.began, *id));
            let first = self.matters[&ids[0]].incident.began;
            ids.retain(|id| fold::are_together(self.matters[id].incident.began, first));
            let together = failing
                .iter()
                .filter(|(b, _)| fold::are_together(*b, first));
            let bad: BTreeSet<&str> = together.flat_map(|(_, s)| s.iter().copied()).collect();
            let tally = leaning.tally(bad.iter().copied());
            let failing = leaning.failing(&tally, &dependency);
            let is_one = leaning.is_shared(&dependency, bad.len(), failing)
                || all_fail(party, leaning.users(&dependency), failing);
            if is_one && ids.len() > 1 {
                found.push((party.clone(), ids));
            }
        }
        found
    }
}

/// When matters of one cause began, and the services that fail by them.
type Failing<'a> = Vec<(Timestamp, Vec<&'a str>)>;

/// Do all users of something fail, and are they enough?
fn all_fail(party: &Party, users: usize, failing: usize) -> bool {
    let enough = match party {
        Party::Front(_) => ALL_OF_ADDRESS_MIN,
        _ => ALL_OF_OWNER_MIN,
    };
    users >= enough && failing == users
}

/// Can a dependency of so many users be what is shared, where no more than so many fail in all?
#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of services, far below 2^53"
)]
fn may_be_shared(users: usize, bad: usize) -> bool {
    users > 0 && bad as f64 / users as f64 >= SHARE_MIN
}

/// Is the dependency what the failing services share?
#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of services, far below 2^53"
)]
pub(super) fn is_shared(
    all: usize,
    users: usize,
    bad: usize,
    bad_users: usize,
    dependencies: usize,
) -> bool {
    let possible = bad_users <= users && users <= all && bad_users <= bad && bad <= all;
    possible
        && bad_users >= FAILING_MIN
        && bad_users as f64 / users as f64 >= SHARE_MIN
        && tail(all, users, bad, bad_users) * dependencies.max(1) as f64 <= CHANCE_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_textbooks() {
        // Fisher's tea: 4 of 8, all 4 right: 1/70.
        assert!((tail(8, 4, 4, 4) - 1.0 / 70.0).abs() < 1e-12);
        assert!((tail(8, 4, 4, 0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn large_numbers_give_what_small_steps_do() {
        for (of, some) in [(20_000, 9), (20_000, 7_500), (64, 31), (40, 40)] {
            let steps: f64 = (0..some)
                .map(|i| ((of - i) as f64).ln() - ((i + 1) as f64).ln())
                .sum();
            let once = ln_choose(of, some);
            assert!(
                (once - steps).abs() < 1e-8,
                "{of} over {some}: {once}, {steps}"
            );
        }
        // All in all it is certain; and where more fail than find place elsewhere, so is that.
        assert!((tail(20_000, 6_000, 5_000, 0) - 1.0).abs() < 1e-6);
        assert!((tail(10, 8, 7, 5) - 1.0).abs() < 1e-12);
        assert!(tail(20_000, 1_250, 1_250, 900) < 1e-300);
    }

    #[test]
    fn five_of_six_users_among_forty_are_no_accident() {
        assert!(is_shared(40, 6, 5, 5, 10));
        assert!(
            !is_shared(2, 2, 2, 2, 1),
            "everybody fails: nothing stands out"
        );
        assert!(!is_shared(40, 20, 5, 5, 10), "most of its users are well");
    }
}
