//! What the store did not take, until it does.
//!
//! What is told of incidents comes first: it is small, and a disk that is full often has room for it.
//! What proves and what speeds up the next start (evidence, checkpoints) is held back behind it. Of a
//! checkpoint only the newest is kept, of an incident too; the rest has a limit in bytes. So a store that
//! takes nothing for days costs no more memory than one that takes nothing for an hour.

use std::collections::BTreeMap;

use bellwether_model::Incident;
use bellwether_store::{Change, StoreError};

/// Changes of incidents that wait: weeks of an ordinary life, and a storm of a bad one.
const TOLD_MAX: usize = 4_096;
/// Bytes of evidence and checkpoints that wait: what a few incidents refer to, and one checkpoint of
/// each kind at the largest size that is supported.
const PROOF_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Saves that leave evidence and checkpoints alone after the store took none: each try writes all of
/// them.
const PROOF_PAUSE: u32 = 10;

/// Changes that could not be stored yet.
#[derive(Debug, Default)]
pub(crate) struct Unsaved {
    /// What is being stored right now: a store that panics over it does not take it along.
    under_way: Vec<Change>,
    /// Incidents and notices, oldest first.
    told: Vec<Change>,
    /// The place of the newest state of each incident among them.
    incidents: BTreeMap<u64, usize>,
    /// Evidence, oldest first.
    evidence: Vec<Change>,
    /// Checkpoints, the newest of each key.
    checkpoints: BTreeMap<String, Change>,
    proof_bytes: usize,
    /// Saves to go before evidence and checkpoints are tried again.
    pause: u32,
    why: Option<String>,
}

impl Unsaved {
    /// Is all stored?
    pub(crate) fn is_empty(&self) -> bool {
        self.is_told() && self.evidence.is_empty() && self.checkpoints.is_empty()
    }

    /// Is all stored that tells of incidents?
    pub(crate) fn is_told(&self) -> bool {
        self.told.is_empty() && self.under_way.is_empty()
    }

    /// Incidents as they are, for as long as the store has not taken them so.
    pub(crate) fn incidents(&self) -> impl Iterator<Item = &Incident> {
        let all = self.told.iter().chain(&self.under_way);
        all.filter_map(|change| match change {
            Change::Incident(incident) => Some(&**incident),
            _ => None,
        })
    }

    /// A checkpoint that waits.
    pub(crate) fn checkpoint(&self, wanted: &str) -> Option<&[u8]> {
        match self.checkpoints.get(wanted) {
            Some(Change::Checkpoint { bytes, .. }) => bytes.as_deref(),
            _ => None,
        }
    }

    /// What tells of incidents did not happen, and is not stored. A checkpoint of theirs goes too.
    pub(crate) fn take_back(&mut self, checkpoint: &str) {
        self.told.clear();
        self.incidents.clear();
        if let Some(gone) = self.checkpoints.remove(checkpoint) {
            self.proof_bytes -= bytes(&gone);
        }
    }

    /// Stores changes, after those that wait. Tells what is wrong, as long as something waits.
    pub(crate) fn save(
        &mut self,
        changes: Vec<Change>,
        commit: &dyn Fn(&[Change]) -> Result<(), StoreError>,
    ) -> Option<&str> {
        if self.is_empty() {
            // As one: what an incident refers to is there when it is.
            self.under_way = changes;
            match commit(&self.under_way) {
                Ok(()) => {
                    self.under_way.clear();
                    self.why = None;
                    return None;
                }
                Err(error) => self.why = Some(error.to_string()),
            }
            let changes = std::mem::take(&mut self.under_way);
            self.add(changes);
            return self.why.as_deref();
        }
        let before = std::mem::take(&mut self.under_way);
        self.add(before);
        self.add(changes);
        match self.again(commit) {
            Ok(()) if self.is_empty() => self.why = None,
            Ok(()) => {}
            Err(error) => {
                self.pause = PROOF_PAUSE;
                self.why = Some(error.to_string());
            }
        }
        self.why.as_deref()
    }

    fn again(
        &mut self,
        commit: &dyn Fn(&[Change]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if !self.told.is_empty() {
            commit(&self.told)?;
            self.told.clear();
            self.incidents.clear();
        }
        if self.pause > 0 {
            self.pause -= 1;
            return Ok(());
        }
        if !self.evidence.is_empty() {
            commit(&self.evidence)?;
            let stored: usize = self.evidence.drain(..).map(|one| bytes(&one)).sum();
            self.proof_bytes -= stored;
        }
        while let Some(first) = self.checkpoints.first_entry() {
            commit(std::slice::from_ref(first.get()))?;
            self.proof_bytes -= bytes(&first.remove());
        }
        Ok(())
    }

    fn add(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.proof_bytes += bytes(&change);
            match change {
                Change::Evidence { .. } => self.evidence.push(change),
                Change::Checkpoint { ref key, .. } => {
                    if let Some(older) = self.checkpoints.insert(key.clone(), change) {
                        self.proof_bytes -= bytes(&older);
                    }
                }
                Change::Incident(ref incident) => match self.incidents.get(&incident.id) {
                    Some(place) => self.told[*place] = change,
                    None => {
                        self.incidents.insert(incident.id, self.told.len());
                        self.told.push(change);
                    }
                },
                Change::Notice(_)
                | Change::Sent { .. }
                | Change::Token(_)
                | Change::TokenRevoked { .. }
                | Change::Counters(_)
                | Change::Generation { .. } => self.told.push(change),
            }
        }
        self.give_up();
    }

    /// What is told matters more than what proves it.
    fn give_up(&mut self) {
        let mut surplus = 0;
        while self.proof_bytes > PROOF_BYTES_MAX && surplus < self.evidence.len() {
            self.proof_bytes -= bytes(&self.evidence[surplus]);
            surplus += 1;
        }
        self.evidence.drain(..surplus);
        while self.proof_bytes > PROOF_BYTES_MAX
            && let Some((_, given_up)) = self.checkpoints.pop_last()
        {
            // It is made anew before long.
            self.proof_bytes -= bytes(&given_up);
        }
        let surplus = self.told.len().saturating_sub(TOLD_MAX);
        if surplus > 0 {
            tracing::error!(
                surplus,
                "changes of incidents are given up: the store takes none"
            );
            self.told.drain(..surplus);
            self.incidents.retain(|_, place| {
                let is_there = *place >= surplus;
                *place = place.saturating_sub(surplus);
                is_there
            });
        }
    }
}

/// What counts towards the limit of evidence and checkpoints.
fn bytes(change: &Change) -> usize {
    match change {
        Change::Evidence { bytes, .. } => bytes.len(),
        Change::Checkpoint { key, bytes } => key.len() + bytes.as_ref().map_or(0, Vec::len),
        Change::Incident(_)
        | Change::Notice(_)
        | Change::Sent { .. }
        | Change::Token(_)
        | Change::TokenRevoked { .. }
        | Change::Counters(_)
        | Change::Generation { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use bellwether_model::Digest;
    use jiff::Timestamp;

    use super::*;
    use crate::testing;

    const MIB: usize = 1024 * 1024;

    /// A disk that has room for so many bytes a commit; what it took, in words.
    struct Disk {
        room: usize,
        took: RefCell<Vec<String>>,
        tried: RefCell<usize>,
    }

    impl Disk {
        fn new(room: usize) -> Self {
            Self {
                room,
                took: RefCell::default(),
                tried: RefCell::default(),
            }
        }

        fn save(&self, unsaved: &mut Unsaved, changes: Vec<Change>) -> Option<String> {
            let commit = |changes: &[Change]| {
                let len = changes.iter().map(|c| bytes(c) + 1).sum::<usize>();
                *self.tried.borrow_mut() += len;
                if len > self.room {
                    let path = "/state.db".into();
                    return Err(StoreError::Full { path });
                }
                self.took.borrow_mut().extend(changes.iter().map(words));
                Ok(())
            };
            unsaved.save(changes, &commit).map(str::to_owned)
        }

        fn took(&self) -> Vec<String> {
            self.took.take()
        }
    }

    fn words(change: &Change) -> String {
        match change {
            Change::Incident(it) => format!("incident {} {}", it.id, it.summary),
            Change::Evidence { bytes, .. } => format!("evidence {}", bytes[0]),
            Change::Checkpoint { key, bytes } => format!("{key} {}", bytes.as_ref().unwrap()[0]),
            other => format!("{other:?}"),
        }
    }

    fn evidence(mark: u8) -> Change {
        let at = Timestamp::UNIX_EPOCH;
        let bytes = vec![mark; MIB];
        Change::Evidence { at, bytes }
    }

    fn checkpoint(key: &str, mark: u8) -> Change {
        let bytes = Some(vec![mark; MIB]);
        let key = key.to_owned();
        Change::Checkpoint { key, bytes }
    }

    fn incident(id: u64, summary: &str) -> Change {
        let mut incident = testing::incident(id, Timestamp::UNIX_EPOCH, Digest([0; 32]));
        summary.clone_into(&mut incident.summary);
        Change::Incident(Box::new(incident))
    }

    #[test]
    fn what_fits_is_stored_as_one() {
        let (mut unsaved, disk) = (Unsaved::default(), Disk::new(3 * MIB));
        let all = vec![
            evidence(1),
            incident(7, "a"),
            checkpoint("board", 1),
            incident(7, "b"),
        ];
        assert_eq!(disk.save(&mut unsaved, all), None);
        let all = ["evidence 1", "incident 7 a", "board 1", "incident 7 b"];
        assert_eq!(disk.took(), all);
        assert!(unsaved.is_empty());
    }

    #[test]
    fn a_full_disk_still_takes_what_is_told() {
        let (mut unsaved, mut disk) = (Unsaved::default(), Disk::new(100));
        let said = disk.save(&mut unsaved, vec![evidence(1), incident(7, "a")]);
        assert_eq!(said.as_deref(), Some("no space left for `/state.db`"));
        assert!(!unsaved.is_told());
        let said = disk.save(&mut unsaved, vec![incident(7, "b"), checkpoint("board", 1)]);
        assert!(said.is_some(), "the evidence waits");
        assert_eq!(disk.took(), ["incident 7 b"]);
        assert!(unsaved.is_told() && !unsaved.is_empty());
        // It is not written over and over, and the trouble is told all the while.
        *disk.tried.borrow_mut() = 0;
        for _ in 0..PROOF_PAUSE {
            assert!(disk.save(&mut unsaved, Vec::new()).is_some());
        }
        assert_eq!(*disk.tried.borrow(), 0);
        disk.room = 100 * MIB;
        assert_eq!(disk.save(&mut unsaved, vec![checkpoint("board", 2)]), None);
        assert_eq!(disk.took(), ["evidence 1", "board 2"]);
        assert!(unsaved.is_empty());
        assert_eq!(unsaved.proof_bytes, 0);
    }

    #[test]
    fn days_cost_no_more_than_an_hour() {
        let (mut unsaved, disk) = (Unsaved::default(), Disk::new(0));
        for mark in 0..200 {
            let changes = vec![
                checkpoint("detection", mark),
                checkpoint("board", mark),
                evidence(mark),
                incident(u64::from(mark % 3), "again"),
            ];
            assert!(disk.save(&mut unsaved, changes).is_some());
        }
        assert_eq!(unsaved.told.len(), 3);
        assert_eq!(unsaved.checkpoints.len(), 2);
        assert!(unsaved.proof_bytes <= PROOF_BYTES_MAX);
        let newest = unsaved.evidence.last().map(words);
        assert_eq!(newest.as_deref(), Some("evidence 199"));
        let held: usize = unsaved.evidence.iter().map(bytes).sum();
        assert!(held <= PROOF_BYTES_MAX && held > PROOF_BYTES_MAX / 2);
        for id in 0..2 * TOLD_MAX as u64 {
            let _ = disk.save(&mut unsaved, vec![incident(id, "storm")]);
        }
        assert_eq!(unsaved.told.len(), TOLD_MAX);
        let place = unsaved.incidents[&(2 * TOLD_MAX as u64 - 1)];
        assert_eq!(place, TOLD_MAX - 1);
    }
}
