//! The state as bytes, so that a restart is not noticed.
//!
//! JSON with a version. As large as the configuration: about 200 bytes for a check at a vantage,
//! so whoever keeps many checks keeps [`Detector::checkpoint_of`] of those that changed, and
//! [`Detector::checkpoint`] of all now and then.

use bellwether_model::{CheckId, VantageId};
use serde::{Deserialize, Serialize};

use super::failing::Cell;
use super::slow::Pace;
use super::{Detector, Place, Seen, State, Watch};

/// What this code writes and reads.
const VERSION: u32 = 1;

/// Why a checkpoint could not be taken on.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It is no checkpoint, or a damaged one.
    #[error("failed to read the checkpoint of detection")]
    Damaged(#[from] serde_json::Error),
    /// Another version wrote it.
    #[error("the checkpoint of detection has version {found}, this program reads {VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
}

#[derive(Serialize, Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    checks: Vec<SavedCheck>,
}

#[derive(Serialize, Deserialize)]
struct SavedCheck {
    check: CheckId,
    state: State,
    cells: Vec<SavedCell>,
}

#[derive(Serialize, Deserialize)]
struct SavedCell {
    vantage: VantageId,
    seen: Seen,
    cell: Cell,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pace: Option<Box<Pace>>,
}

impl Detector {
    /// All that is known, as bytes.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        self.save(0..self.checks.len())
    }

    /// What is known of one check, as bytes; `None` if it is not configured.
    #[must_use]
    pub fn checkpoint_of(&self, check: &CheckId) -> Option<Vec<u8>> {
        self.by_check
            .get(check)
            .map(|&check| self.save(check..check + 1))
    }

    /// What is known of these checks, as bytes; those that are not configured are left out.
    #[must_use]
    pub fn checkpoint_of_many<'c>(&self, checks: impl IntoIterator<Item = &'c CheckId>) -> Vec<u8> {
        let known = checks.into_iter().filter_map(|c| self.by_check.get(c));
        self.save(known.copied())
    }

    /// Takes on what was known, of checks and vantages that are configured; the others of the
    /// checkpoint are passed over. Configure first. Gives the number of checks taken on.
    ///
    /// # Errors
    /// It is damaged, or of another version; then nothing is changed.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<usize, CheckpointError> {
        let Versioned { version: found } = serde_json::from_slice(bytes)?;
        if found != VERSION {
            return Err(CheckpointError::Version { found });
        }
        let Saved { version: _, checks } = serde_json::from_slice(bytes)?;
        let mut taken = 0;
        for SavedCheck {
            check,
            state,
            cells,
        } in checks
        {
            let Some(&number) = self.by_check.get(&check) else {
                continue;
            };
            self.checks[number].state = state;
            for SavedCell {
                vantage,
                seen,
                cell,
                pace,
            } in cells
            {
                if let Some(&vantage) = self.by_vantage.get(&vantage) {
                    self.seen[vantage][number] = seen;
                    self.checks[number].places[vantage] = Place { cell, pace };
                }
            }
            taken += 1;
        }
        Ok(taken)
    }

    fn save(&self, checks: impl Iterator<Item = usize>) -> Vec<u8> {
        let saved = Saved {
            version: VERSION,
            checks: checks
                .map(|i| self.save_check(i, &self.checks[i]))
                .collect(),
        };
        serde_json::to_vec(&saved).expect("plain structs always become JSON")
    }

    fn save_check(&self, number: usize, watch: &Watch) -> SavedCheck {
        let heard = |&v: &usize| self.seen[v][number].at != 0 || watch.places[v].pace.is_some();
        let cell = |v: usize| SavedCell {
            vantage: self.vantages[v].id.clone(),
            seen: self.seen[v][number],
            cell: watch.places[v].cell,
            pace: watch.places[v].pace.clone(),
        };
        SavedCheck {
            check: watch.id.clone(),
            state: watch.state.clone(),
            cells: (0..self.vantages.len()).filter(heard).map(cell).collect(),
        }
    }
}
