//! The checkpoint: everything but the incidents, which the store keeps anyway.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_model::incident::IncidentState;
use bellwether_model::{Cause, CheckId, Incident, VantageId};
use serde::{Deserialize, Serialize};

use super::matter::{Matter, Remembered};
use super::party::Party;
use super::watch::Watch;
use super::{Book, Key};

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
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        let watches: Vec<_> = self.watches.iter().map(|((c, v), w)| (c, v, w)).collect();
        let matters: Vec<_> = self
            .matters
            .iter()
            .map(|(id, m)| (id, m.remembered()))
            .collect();
        let weighed = self.weighed.iter();
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

    /// Goes on where a checkpoint was made.
    ///
    /// `open` are the incidents that the store holds as not resolved, `next_id` is the number that
    /// it would give next. A checkpoint that is missing, damaged or of another version costs what
    /// only it knew (how often a matter came back, half-confirmed suspicions), no incident.
    #[must_use]
    pub fn restore(open: Vec<Incident>, memory: Option<&[u8]>, next_id: u64) -> Self {
        let of_this_version = |bytes: &&[u8]| {
            serde_json::from_slice::<Head>(bytes).is_ok_and(|head| head.version == VERSION)
        };
        let memory: Option<Read> = memory
            .filter(of_this_version)
            .and_then(|bytes| serde_json::from_slice(bytes).ok());
        let mut book = Self::new();
        let mut remembered = BTreeMap::new();
        if let Some(memory) = memory {
            book.next = memory.next;
            let watches = memory.watches.into_iter();
            book.watches = watches.map(|(c, v, w)| ((c, v), w)).collect();
            remembered = memory.matters.into_iter().collect();
            let weighed = memory.weighed.into_iter();
            book.weighed = weighed.map(|(c, p, n)| ((c, p), n)).collect();
        }
        let mut known: BTreeSet<Key> = book.watches.keys().cloned().collect();
        for incident in open {
            if incident.state == IncidentState::Resolved {
                continue;
            }
            let matter = match remembered.remove(&incident.id) {
                Some(kept) => Matter::recalled(incident, kept),
                None => Matter::rebuilt(incident),
            };
            for key in matter.members.keys() {
                if known.insert(key.clone()) {
                    book.watches.insert(key.clone(), Watch::default());
                }
            }
            book.next = book.next.max(matter.incident.id + 1);
            book.matters.insert(matter.incident.id, matter);
        }
        let large = |m: &&Matter| m.members.len() > super::MEMBERS_AT_ONCE;
        let large = book.matters.values().filter(large).map(|m| m.incident.id);
        book.deferred = large.collect();
        book.next = book.next.max(next_id);
        book
    }
}
