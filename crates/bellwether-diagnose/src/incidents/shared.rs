//! Do more of a dependency's users fail than chance would have it?

use std::collections::{BTreeMap, BTreeSet};

use super::matter::{Matter, Sort};
use super::party::Party;
use super::watch::Watch;
use super::{Book, Changes, Key, fold};
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
fn tail(all: usize, users: usize, bad: usize, bad_users: usize) -> f64 {
    let most = users.min(bad);
    let sum: f64 = (bad_users..=most)
        .filter(|k| bad - k <= all - users)
        .map(|k| {
            (ln_choose(users, k) + ln_choose(all - users, bad - k) - ln_choose(all, bad)).exp()
        })
        .sum();
    sum.min(1.0)
}

/// Natural logarithm of a binomial coefficient.
#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of services, far below 2^53"
)]
fn ln_choose(of: usize, some: usize) -> f64 {
    (0..some.min(of - some))
        .map(|i| ((of - i) as f64).ln() - ((i + 1) as f64).ln())
        .sum()
}

/// All users of something failed together; so many are enough to see it in that alone.
const ALL_OF_OWNER_MIN: usize = 3;
/// The same of one address: what stands there serves them all.
const ALL_OF_ADDRESS_MIN: usize = 2;

/// Which services lean on what.
pub(super) struct Leaning<'a> {
    pub services: BTreeSet<&'a str>,
    pub users: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// Dependencies with more than one user: only these can be shared.
    dependencies: usize,
}

impl<'a> Leaning<'a> {
    pub(super) fn of(watches: &'a BTreeMap<Key, Watch>) -> Self {
        let mut services = BTreeSet::new();
        let mut users: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for ((check, _), watch) in watches {
            services.insert(check.service());
            for depends in &watch.depends {
                users.entry(depends).or_default().insert(check.service());
            }
        }
        let dependencies = users.values().filter(|u| u.len() > 1).count();
        Self {
            services,
            users,
            dependencies,
        }
    }

    /// Is it what these failing services share?
    pub(super) fn is_shared(&self, dependency: &str, bad: &BTreeSet<&str>) -> bool {
        let Some(users) = self.users.get(dependency) else {
            return false;
        };
        let failing = users.intersection(bad).count();
        let all = self.services.len();
        is_shared(all, users.len(), bad.len(), failing, self.dependencies)
    }

    /// Do all of its users fail, and are they enough?
    fn all_fail(&self, party: &Party, dependency: &str, bad: &BTreeSet<&str>) -> bool {
        let enough = match party {
            Party::Front(_) => ALL_OF_ADDRESS_MIN,
            _ => ALL_OF_OWNER_MIN,
        };
        let users = self.users.get(dependency);
        users.is_some_and(|users| users.len() >= enough && users.is_subset(bad))
    }
}

impl Book {
    /// Troubles of one cause that began together at something that a crowd shares: are they one
    /// after all? Looked at when there are more of them than last time.
    pub(super) fn gather(&mut self, now: Timestamp, changes: &mut Changes) {
        let mut crowds: BTreeMap<(Cause, Party), Vec<u64>> = BTreeMap::new();
        for (id, matter) in &self.matters {
            if matter.sort != Sort::Fault || !matter.is_active() {
                continue;
            }
            let open = matter.parties.difference(&matter.proven);
            for party in open.filter(|p| p.crowd().is_some()) {
                let crowd = crowds.entry((matter.incident.cause, party.clone()));
                crowd.or_default().push(*id);
            }
        }
        self.weighed.retain(|key, _| crowds.contains_key(key));
        crowds.retain(|key, ids| {
            let weighed = self.weighed.get(key).copied().unwrap_or(0);
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
    fn proofs(&self, crowds: &BTreeMap<(Cause, Party), Vec<u64>>) -> Vec<(Party, Vec<u64>)> {
        let leaning = Leaning::of(&self.watches);
        let mut found = Vec::new();
        for ((cause, party), ids) in crowds {
            let Some(dependency) = party.crowd() else {
                continue;
            };
            let mut ids = ids.clone();
            ids.sort_by_key(|id| (self.matters[id].incident.began, *id));
            let first = self.matters[&ids[0]].incident.began;
            ids.retain(|id| fold::are_together(self.matters[id].incident.began, first));
            let same = |m: &&Matter| {
                m.sort == Sort::Fault
                    && m.incident.cause == *cause
                    && fold::are_together(m.incident.began, first)
            };
            let failing = self.matters.values().filter(same).flat_map(Matter::active);
            let bad: BTreeSet<&str> = failing.map(|((check, _), _)| check.service()).collect();
            let is_one =
                leaning.is_shared(&dependency, &bad) || leaning.all_fail(party, &dependency, &bad);
            if is_one && ids.len() > 1 {
                found.push((party.clone(), ids));
            }
        }
        found
    }
}

/// Is the dependency what the failing services share?
#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of services, far below 2^53"
)]
fn is_shared(all: usize, users: usize, bad: usize, bad_users: usize, dependencies: usize) -> bool {
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
    fn five_of_six_users_among_forty_are_no_accident() {
        assert!(is_shared(40, 6, 5, 5, 10));
        assert!(
            !is_shared(2, 2, 2, 2, 1),
            "everybody fails: nothing stands out"
        );
        assert!(!is_shared(40, 20, 5, 5, 10), "most of its users are well");
    }
}
