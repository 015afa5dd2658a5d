//! What each check aims at: what is known of one target says nothing of another.
//!
//! Kept as digests, over restarts too: a target may hold a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_config::Config;
use bellwether_model::{Baseline, CheckId, Digest, Target, VantageId};
use bellwether_store::{Change, StateStore, StoreError};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::BASELINE;

/// The key of the checkpoint.
const TARGETS: &str = "targets";

/// What each check aims at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Targets(BTreeMap<CheckId, Digest>);

fn digest(target: &Target) -> Digest {
    Digest(Sha256::digest(target.text.as_bytes()).into())
}

impl Targets {
    pub(super) fn of(config: &Config) -> Self {
        let mut all = BTreeMap::new();
        for service in &config.services {
            for check in &service.checks {
                let id = CheckId::new(&service.name, &check.name);
                all.insert(id, digest(&check.target));
            }
        }
        // They aim at nothing, and are watched all the same.
        for heartbeat in &config.heartbeats {
            let id = CheckId::heartbeat(&heartbeat.name);
            all.insert(id, Digest([0; 32]));
        }
        Self(all)
    }

    /// As of the last configuration that was judged by; nothing before the first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) fn stored(state: &dyn StateStore) -> Result<Self, StoreError> {
        let kept = state.checkpoint(TARGETS)?;
        let kept = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(kept.unwrap_or_default())
    }

    pub(super) fn checkpoint(&self) -> Change {
        Change::Checkpoint {
            key: TARGETS.to_owned(),
            bytes: serde_json::to_vec(self).ok(),
        }
    }

    /// Is this what the check aims at?
    pub(super) fn is(&self, check: &CheckId, target: &Target) -> bool {
        self.0.get(check).is_some_and(|is| *is == digest(target))
    }

    pub(super) fn contains(&self, check: &CheckId) -> bool {
        self.0.contains_key(check)
    }

    /// Checks that aim at something else by `next`.
    pub(super) fn moved(&self, next: &Self) -> BTreeSet<CheckId> {
        let moves = |(check, target): &(&CheckId, &Digest)| {
            let other = next.0.get(*check);
            other.is_some_and(|other| other != *target)
        };
        let moved = self.0.iter().filter(moves);
        moved.map(|(check, _)| check.clone()).collect()
    }

    /// Checks that are not in `next`.
    pub(super) fn gone(&self, next: &Self) -> BTreeSet<CheckId> {
        let gone = self.0.keys().filter(|check| !next.contains(check));
        gone.cloned().collect()
    }
}

/// Where it is kept what was last known good of a check from a vantage.
#[must_use]
pub fn baseline_key(check: &CheckId, vantage: &VantageId) -> String {
    format!("{}{check}", baselines_at(vantage))
}

/// What the keys of a vantage's baselines begin with.
pub(super) fn baselines_at(vantage: &VantageId) -> String {
    match vantage.as_str() {
        VantageId::LOCAL => BASELINE.to_owned(),
        elsewhere => format!("baseline@{elsewhere}/"),
    }
}

/// What was last known good of each check of a configuration from a vantage, where it still aims at the
/// same. What is right from one place may be wrong from another: each has its own.
///
/// # Errors
/// The store cannot be read.
pub fn baselines(
    state: &dyn StateStore,
    config: &Config,
    vantage: &VantageId,
) -> Result<BTreeMap<CheckId, Arc<Baseline>>, StoreError> {
    let targets = Targets::of(config);
    let moved = Targets::stored(state)?.moved(&targets);
    let mut baselines = BTreeMap::new();
    let begin = baselines_at(vantage);
    for (key, bytes) in state.checkpoints(&begin)? {
        let id = key.strip_prefix(&*begin).and_then(CheckId::parse);
        let Some(id) = id.filter(|id| targets.contains(id) && !moved.contains(id)) else {
            continue;
        };
        if let Ok(baseline) = serde_json::from_slice(&bytes) {
            baselines.insert(id, Arc::new(baseline));
        }
    }
    Ok(baselines)
}
