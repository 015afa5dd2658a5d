//! The checkpoint: everything but the incidents, which the store keeps anyway.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_model::incident::IncidentState;
use bellwether_model::{Cause, CheckId, Incident, VantageId};
use serde::{Deserialize, Serialize};

use super::Book;
use super::index::Index;
use super::matter::{Matter, Remembered};
use super::party::Party;
use super::vantage;
use super::watch::Watch;

/// The shape of a checkpoint. One of another shape is passed over, and what it held is rebuilt from
/// the incidents as far as they tell.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Memory<W, M> {
    version: u32,
    next: u64,
    watches: W,
    matters: M,
    #[serde(default)]
    weighed: Vec<(Cause, Party, usize)>,
}

type Read = Memory<Vec<(CheckId, VantageId, Watch)>, Vec<(u64, Remembered)>>;

#[derive(Deserialize)]
struct Head {
    version: u32,
}

impl Book {
    /// All that is remembered besides the incidents. To be kept together with the incidents of the
    /// updates that it follows.
    ///
    /// Some 200 bytes for each check: who watches very many keeps [`checkpoint_of_amiss`] with the
    /// incidents, and [`checkpoint_of`] of some checks after the others.
    ///
    /// [`checkpoint_of_amiss`]: Self::checkpoint_of_amiss
    /// [`checkpoint_of`]: Self::checkpoint_of
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        self.save(self.watches.sorted(|_, _, _| true), true)
    }

    /// What is remembered of incidents, and of checks that anything is amiss with; nothing of those
    /// that are well.
    #[must_use]
    pub fn checkpoint_of_amiss(&self) -> Vec<u8> {
        let index = &self.index;
        let amiss = |check: &CheckId, vantage: &VantageId, watch: &Watch| {
            watch.is_amiss() || index.is_held(check, vantage)
        };
        self.save(self.watches.sorted(amiss), true)
    }

    /// What is remembered of these checks, and of no incident: for [`recall`](Self::recall).
    #[must_use]
    pub fn checkpoint_of<'c>(&self, checks: impl IntoIterator<Item = &'c CheckId>) -> Vec<u8> {
        let of = |check: &'c CheckId| {
            let held = self.watches.of_check(check).iter();
            held.map(move |(vantage, watch)| (check, vantage, watch))
        };
        self.save(checks.into_iter().flat_map(of).collect(), false)
    }

    fn save(&self, watches: Vec<(&CheckId, &VantageId, &Watch)>, with_matters: bool) -> Vec<u8> {
        let matters = self.matters.iter().filter(|_| with_matters);
        let matters: Vec<_> = matters.map(|(id, m)| (id, m.remembered())).collect();
        let weighed = self.weighed.iter().filter(|_| with_matters);
        let weighed = weighed.map(|((cause, party), n)| (*cause, party.clone(), *n));
        let memory = Memory {
            version: VERSION,
            next: self.next,
            watches,
            matters,
            weighed: weighed.collect(),
        };
        serde_json::to_vec(&memory).expect("plain data with string keys becomes JSON")
    }

    /// Takes on what [`checkpoint_of`](Self::checkpoint_of) said, of checks of which nothing is known
    /// yet. Bytes that are damaged or of another version are passed over.
    pub fn recall(&mut self, bytes: &[u8]) {
        for (check, vantage, watch) in read(bytes).map_or_else(Vec::new, |memory| memory.watches) {
            self.watches.recall(&check, &vantage, watch);
            let key = (check, vantage);
            let known = self.watches.get(&key);
            if known.is_some_and(|watch| watch.alone.is_some()) {
                self.alone.insert(key.clone());
            }
            if known.is_some_and(|watch| watch.alarm.is_some()) {
                self.unexplained.insert(key);
            }
        }
    }

    /// Goes on where a checkpoint was made.
    ///
    /// `open` are the incidents that the store holds as not resolved, `next_id` is the number that
    /// it would give next. A checkpoint that is missing, damaged or of another version costs what
    /// only it knew (how often a matter came back, half-confirmed suspicions), no incident.
    #[must_use]
    pub fn restore(open: Vec<Incident>, memory: Option<&[u8]>, next_id: u64) -> Self {
        let memory = memory.and_then(read);
        let mut book = Self::new();
        let mut remembered = BTreeMap::new();
        if let Some(memory) = memory {
            book.next = memory.next;
            for (check, vantage, watch) in memory.watches {
                book.watches.recall(&check, &vantage, watch);
            }
            remembered = memory.matters.into_iter().collect();
            let weighed = memory.weighed.into_iter();
            book.weighed = weighed.map(|(c, p, n)| ((c, p), n)).collect();
        }
        // A check that is remembered elsewhere left an incident that still names it.
        let remembers = remembered.values();
        let held: BTreeSet<CheckId> = remembers.flat_map(Remembered::checks).cloned().collect();
        for incident in open {
            if incident.state == IncidentState::Resolved {
                continue;
            }
            let matter = match remembered.remove(&incident.id) {
                Some(kept) => Matter::recalled(incident, kept, &held),
                None => Matter::rebuilt(incident),
            };
            let of_checks = matter.members.keys().filter(|(c, _)| !vantage::is_whole(c));
            for (check, vantage) in of_checks {
                book.watches.of(check, vantage);
            }
            book.next = book.next.max(matter.incident.id + 1);
            book.matters.insert(matter.incident.id, matter);
        }
        let large = |m: &&Matter| m.members.len() > super::MEMBERS_AT_ONCE;
        let large = book.matters.values().filter(large).map(|m| m.incident.id);
        book.deferred = large.collect();
        book.next = book.next.max(next_id);
        book.index = Index::of(&book.matters);
        book.stirred = book.matters.keys().copied().collect();
        let sounds = book.watches.iter().filter(|(_, _, w)| w.alarm.is_some());
        let sounds = sounds.map(|(check, vantage, _)| (check.clone(), vantage.clone()));
        book.unexplained = sounds.collect();
        let alone = book.watches.iter().filter(|(_, _, w)| w.alone.is_some());
        let alone = alone.map(|(check, vantage, _)| (check.clone(), vantage.clone()));
        book.alone = alone.collect();
        book
    }
}

fn read(bytes: &[u8]) -> Option<Read> {
    let head: Head = serde_json::from_slice(bytes).ok()?;
    if head.version != VERSION {
        return None;
    }
    serde_json::from_slice(bytes).ok()
}
