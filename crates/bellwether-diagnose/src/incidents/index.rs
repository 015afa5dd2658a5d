//! Which incidents concern what: found without going through all of them.
//!
//! Everything here follows from the matters. It is brought up to date where they change, so that what
//! one trace costs does not depend on how many incidents are open.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bellwether_model::{Cause, CheckId, VantageId};

use super::Key;
use super::matter::{Matter, Sort};
use super::party::Party;

/// A cause, and something that it is at.
pub(super) type Spot = (Cause, Party);

/// Where each matter is found.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// The matters that a check is a member of.
    held: HashMap<CheckId, Vec<(VantageId, u64)>>,
    /// The matters that concern a service.
    services: HashMap<Box<str>, BTreeSet<u64>>,
    /// Matters by what they are at, where to be at it suffices to be the same trouble.
    spots: HashMap<Spot, BTreeSet<u64>>,
    /// Matters that go on at what a crowd shares, as far as it is not proven to be no accident.
    crowds: HashMap<Spot, BTreeSet<u64>>,
    /// Matters of our own.
    ours: BTreeSet<u64>,
    /// What is said of each matter above.
    placed: HashMap<u64, Placed>,
    /// Members of all matters by which somebody fails.
    followed: usize,
}

/// What is said of one matter.
#[derive(Clone, Debug, Default)]
struct Placed {
    spots: BTreeSet<Spot>,
    crowds: BTreeSet<Spot>,
    /// The cause, how many parties, how many of them proven: while these stay, so does the rest.
    as_of: Option<(Cause, usize, usize)>,
}

impl Index {
    /// Of these matters. What crowds they are of is told with [`crowd`](Self::crowd).
    pub(super) fn of(matters: &BTreeMap<u64, Matter>) -> Self {
        let mut index = Self::default();
        for (id, matter) in matters {
            for key in matter.members.keys() {
                index.joined(*id, matter.sort, key);
            }
            index.place(matter);
        }
        index
    }

    /// A check became a member; to be told once.
    pub(super) fn joined(&mut self, id: u64, sort: Sort, (check, vantage): &Key) {
        let held = self.held.entry(check.clone()).or_default();
        if held.iter().any(|(v, other)| v == vantage && *other == id) {
            return;
        }
        held.push((vantage.clone(), id));
        let service = check.service();
        match self.services.get_mut(service) {
            Some(ids) => {
                ids.insert(id);
            }
            None => {
                self.services.insert(service.into(), BTreeSet::from([id]));
            }
        }
        match sort {
            Sort::Ours => {
                self.ours.insert(id);
                self.followed += 1;
            }
            Sort::Fault => self.followed += 1,
            Sort::Warning | Sort::Slow => {}
        }
    }

    /// Brings up to date what a matter is at.
    pub(super) fn place(&mut self, matter: &Matter) {
        let cause = matter.incident.cause;
        let placed = self.placed.entry(matter.incident.id).or_default();
        let as_of = Some((cause, matter.parties.len(), matter.proven.len()));
        if placed.as_of == as_of {
            return;
        }
        placed.as_of = as_of;
        let suffices = |p: &&Party| p.crowd().is_none() || matter.proven.contains(*p);
        let spots = matter.parties.iter().filter(suffices);
        let now = spots.map(|party| (cause, party.clone())).collect();
        let was = std::mem::replace(&mut placed.spots, now);
        moved(&mut self.spots, matter.incident.id, &was, &placed.spots);
    }

    /// Brings up to date what crowds a matter is of. Tells which of them it came to, or left.
    pub(super) fn crowd(&mut self, matter: &Matter) -> Vec<Spot> {
        let mut now = BTreeSet::new();
        if matter.sort == Sort::Fault && matter.is_active() {
            let open = matter.parties.difference(&matter.proven);
            let open = open.filter(|p| p.crowd().is_some());
            now = open.map(|p| (matter.incident.cause, p.clone())).collect();
        }
        let placed = self.placed.entry(matter.incident.id).or_default();
        if placed.crowds == now {
            return Vec::new();
        }
        let was = std::mem::replace(&mut placed.crowds, now);
        moved(&mut self.crowds, matter.incident.id, &was, &placed.crowds);
        was.symmetric_difference(&placed.crowds).cloned().collect()
    }

    /// A matter is no longer remembered.
    pub(super) fn gone(&mut self, matter: &Matter) {
        let id = matter.incident.id;
        if let Some(placed) = self.placed.remove(&id) {
            let none = BTreeSet::new();
            moved(&mut self.spots, id, &placed.spots, &none);
            moved(&mut self.crowds, id, &placed.crowds, &none);
        }
        self.ours.remove(&id);
        for (check, vantage) in matter.members.keys() {
            if let Some(held) = self.held.get_mut(check) {
                held.retain(|(v, other)| v != vantage || *other != id);
                if held.is_empty() {
                    self.held.remove(check);
                }
            }
            if let Some(ids) = self.services.get_mut(check.service()) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.services.remove(check.service());
                }
            }
        }
        if !matter.is_warning() {
            self.followed = self.followed.saturating_sub(matter.members.len());
        }
    }

    /// The matters that a check at a vantage is a member of, in no order.
    pub(super) fn held(&self, (check, vantage): &Key) -> impl Iterator<Item = u64> {
        let held = self.held.get(check).into_iter().flatten();
        held.filter(move |(v, _)| v == vantage).map(|(_, id)| *id)
    }

    /// Is a check at a vantage a member of any?
    pub(super) fn is_held(&self, check: &CheckId, vantage: &VantageId) -> bool {
        let held = self.held.get(check);
        held.is_some_and(|held| held.iter().any(|(v, _)| v == vantage))
    }

    /// The matters that a check is a member of, at whatever vantage, oldest first.
    pub(super) fn of_check(&self, check: &CheckId) -> BTreeSet<u64> {
        let held = self.held.get(check).into_iter().flatten();
        held.map(|(_, id)| *id).collect()
    }

    /// The matters that concern a service, oldest first.
    pub(super) fn of_service(&self, service: &str) -> impl Iterator<Item = u64> {
        self.services.get(service).into_iter().flatten().copied()
    }

    /// The matters of this cause that are at one of these things, oldest first.
    pub(super) fn at(&self, cause: Cause, parties: &BTreeSet<Party>) -> BTreeSet<u64> {
        let spots = parties.iter().map(|party| (cause, party.clone()));
        let found = spots.filter_map(|spot| self.spots.get(&spot));
        found.flatten().copied().collect()
    }

    /// The matters that go on at a spot that a crowd shares, by their numbers.
    pub(super) fn of_crowd(&self, spot: &Spot) -> Option<&BTreeSet<u64>> {
        self.crowds.get(spot)
    }

    /// The matters of our own.
    pub(super) fn ours(&self) -> impl Iterator<Item = u64> {
        self.ours.iter().copied()
    }

    /// Members of all matters by which somebody fails.
    pub(super) fn followed(&self) -> usize {
        self.followed
    }
}

#[cfg(test)]
impl Index {
    /// Is it what these matters come to?
    pub(super) fn is_of(&self, matters: &BTreeMap<u64, Matter>) -> bool {
        let again = Self::of(matters);
        let held = |index: &Self| -> BTreeSet<(CheckId, VantageId, u64)> {
            let held = index.held.iter();
            let all =
                held.flat_map(|(c, all)| all.iter().map(|(v, id)| (c.clone(), v.clone(), *id)));
            all.collect()
        };
        held(self) == held(&again)
            && self.services == again.services
            && self.spots == again.spots
            && self.ours == again.ours
            && self.followed == again.followed
    }
}

/// Takes a matter from where it was to where it is.
fn moved(
    all: &mut HashMap<Spot, BTreeSet<u64>>,
    id: u64,
    was: &BTreeSet<Spot>,
    now: &BTreeSet<Spot>,
) {
    for spot in was.difference(now) {
        if let Some(ids) = all.get_mut(spot) {
            ids.remove(&id);
            if ids.is_empty() {
                all.remove(spot);
            }
        }
    }
    for spot in now.difference(was) {
        all.entry(spot.clone()).or_default().insert(id);
    }
}
