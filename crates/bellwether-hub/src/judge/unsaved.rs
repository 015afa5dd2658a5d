//! What the store does not take now, for the next try. It outlives a judge that panics.

use std::collections::BTreeSet;

use bellwether_store::Change;

/// Changes that wait: beyond it, what matters least is given up.
const LEN_MAX: usize = 4_096;
/// Reports among them, bytes: some hundred.
const EVIDENCE_BYTES_MAX: usize = 32 << 20;

/// Changes that could not be stored yet, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Unsaved(Vec<Change>);

impl Unsaved {
    pub(super) fn all(&self) -> &[Change] {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Of a checkpoint only the newest counts.
    pub(super) fn add(&mut self, changes: Vec<Change>) {
        let key_of = |change: &Change| match change {
            Change::Checkpoint { key, .. } => Some(key.clone()),
            _ => None,
        };
        if !self.0.is_empty() {
            let newer: BTreeSet<String> = changes.iter().filter_map(key_of).collect();
            self.0.retain(|old| match old {
                Change::Checkpoint { key, .. } => !newer.contains(key),
                _ => true,
            });
        }
        self.0.extend(changes);
    }

    /// A checkpoint that waits.
    pub(super) fn checkpoint(&self, wanted: &str) -> Option<&[u8]> {
        self.0.iter().find_map(|change| match change {
            Change::Checkpoint {
                key,
                bytes: Some(bytes),
            } if key == wanted => Some(bytes.as_slice()),
            _ => None,
        })
    }

    /// What is told matters more than what proves it, and that more than what is only learned.
    pub(super) fn give_up(&mut self) {
        let mut bytes = 0_usize;
        let mut kept = Vec::with_capacity(self.0.len());
        for change in self.0.drain(..).rev() {
            if let Change::Evidence { bytes: report, .. } = &change {
                bytes = bytes.saturating_add(report.len());
                if bytes > EVIDENCE_BYTES_MAX {
                    continue;
                }
            }
            kept.push(change);
        }
        kept.reverse();
        self.0 = kept;
        if self.0.len() <= LEN_MAX {
            return;
        }
        self.0.retain(|change| {
            !matches!(change, Change::Evidence { .. } | Change::Checkpoint { .. })
        });
        let surplus = self.0.len().saturating_sub(LEN_MAX);
        if surplus > 0 {
            tracing::error!(
                surplus,
                "changes of incidents are given up: the store takes none"
            );
            self.0.drain(..surplus);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn checkpoint(key: &str, byte: u8) -> Change {
        Change::Checkpoint {
            key: key.to_owned(),
            bytes: Some(vec![byte; 8]),
        }
    }

    #[test]
    fn of_each_checkpoint_the_newest_waits_and_of_reports_a_bounded_share() {
        let mut unsaved = Unsaved::default();
        for round in 0..100 {
            unsaved.add(vec![checkpoint("a", round), checkpoint("b", round)]);
        }
        assert_eq!(unsaved.all().len(), 2);
        assert_eq!(unsaved.checkpoint("a"), Some(&[99_u8; 8][..]));
        let report = || Change::Evidence {
            at: Timestamp::UNIX_EPOCH,
            bytes: vec![0; 1 << 20],
        };
        for _ in 0..100 {
            unsaved.add(vec![report()]);
            unsaved.give_up();
        }
        assert_eq!(unsaved.all().len(), 2 + 32);
    }
}
