//! What is remembered of each check at each vantage, with what their services lean on.

use std::collections::HashMap;

use bellwether_model::{CheckId, VantageId};

use super::Key;
use super::leaning::Leaning;
use super::watch::Watch;

/// All checks that were heard of.
#[derive(Clone, Debug, Default)]
pub(super) struct Watches {
    /// By check, then by vantage, in the order of their names.
    all: HashMap<CheckId, Vec<(VantageId, Watch)>>,
    leaning: Leaning,
}

impl PartialEq for Watches {
    /// The rest follows from it.
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

fn place(held: &[(VantageId, Watch)], vantage: &VantageId) -> Result<usize, usize> {
    held.binary_search_by(|(v, _)| v.cmp(vantage))
}

impl Watches {
    pub(super) fn get(&self, (check, vantage): &Key) -> Option<&Watch> {
        let held = self.all.get(check)?;
        let place = place(held, vantage).ok()?;
        Some(&held[place].1)
    }

    pub(super) fn get_mut(&mut self, (check, vantage): &Key) -> Option<&mut Watch> {
        let held = self.all.get_mut(check)?;
        let place = place(held, vantage).ok()?;
        Some(&mut held[place].1)
    }

    /// The one of a check at a vantage, a new one if nothing was heard of it.
    pub(super) fn of(&mut self, check: &CheckId, vantage: &VantageId) -> &mut Watch {
        // Nearly all are seen from one vantage.
        let held = self.all.entry(check.clone());
        let held = held.or_insert_with(|| Vec::with_capacity(1));
        let place = place(held, vantage).unwrap_or_else(|place| {
            held.insert(place, (vantage.clone(), Watch::default()));
            self.leaning.watched(check.service());
            place
        });
        &mut held[place].1
    }

    /// Takes one on, if nothing is known of it yet.
    pub(super) fn recall(&mut self, check: &CheckId, vantage: &VantageId, mut watch: Watch) {
        if self.contains(check, vantage) {
            return;
        }
        let leans = std::mem::take(&mut watch.depends);
        let leans = leans.iter().map(|name| (**name).into()).collect();
        *self.of(check, vantage) = watch;
        self.leans(check, vantage, leans);
    }

    /// What a check leans on from now on: each thing once, sorted.
    pub(super) fn leans(&mut self, check: &CheckId, vantage: &VantageId, leans: Vec<Box<str>>) {
        let service = check.service();
        let held = self.all.get_mut(check);
        let found = held.and_then(|held| {
            let place = place(held, vantage).ok()?;
            Some(&mut held[place].1)
        });
        let Some(watch) = found else { return };
        let same = watch.depends.iter().zip(&leans).all(|(a, b)| **a == **b);
        if watch.depends.len() == leans.len() && same {
            return;
        }
        let now = self.leaning.list(service, leans);
        self.leaning.changed(service, &watch.depends, &now);
        watch.depends = now;
    }

    pub(super) fn contains(&self, check: &CheckId, vantage: &VantageId) -> bool {
        let held = self.all.get(check);
        held.is_some_and(|held| place(held, vantage).is_ok())
    }

    /// Those of a check, by vantage.
    pub(super) fn of_check(&self, check: &CheckId) -> &[(VantageId, Watch)] {
        self.all.get(check).map_or(&[], Vec::as_slice)
    }

    /// Those at a vantage, in no order.
    pub(super) fn at_mut(&mut self, vantage: &VantageId) -> impl Iterator<Item = &mut Watch> {
        let held = self.all.values_mut();
        held.filter_map(|held| {
            let place = place(held, vantage).ok()?;
            Some(&mut held[place].1)
        })
    }

    /// Forgets what was seen from vantages.
    pub(super) fn leave(&mut self, is_gone: impl Fn(&VantageId) -> bool) {
        for (check, held) in &mut self.all {
            if !held.iter().any(|(vantage, _)| is_gone(vantage)) {
                continue;
            }
            let leaning = &mut self.leaning;
            held.retain(|(vantage, watch)| {
                let is_gone = is_gone(vantage);
                if is_gone {
                    leaning.unwatched(check.service(), &watch.depends);
                }
                !is_gone
            });
        }
        self.all.retain(|_, held| !held.is_empty());
    }

    /// All, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&CheckId, &VantageId, &Watch)> {
        let held = self.all.iter();
        held.flat_map(|(check, held)| held.iter().map(move |(v, watch)| (check, v, watch)))
    }

    /// Those that fulfil something, in the order of their names.
    pub(super) fn sorted(
        &self,
        wanted: impl Fn(&CheckId, &VantageId, &Watch) -> bool,
    ) -> Vec<(&CheckId, &VantageId, &Watch)> {
        let wanted = self.iter().filter(|(c, v, w)| wanted(c, v, w));
        let mut all: Vec<_> = wanted.collect();
        all.sort_unstable_by_key(|(check, vantage, _)| (*check, *vantage));
        all
    }

    /// In no order.
    pub(super) fn checks(&self) -> impl Iterator<Item = &CheckId> {
        self.all.keys()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Watch> {
        self.all.values_mut().flatten().map(|(_, watch)| watch)
    }

    pub(super) fn remove(&mut self, check: &CheckId) {
        for (_, watch) in self.all.remove(check).into_iter().flatten() {
            self.leaning.unwatched(check.service(), &watch.depends);
        }
    }

    /// What their services lean on.
    pub(super) fn leaning(&self) -> &Leaning {
        &self.leaning
    }
}
