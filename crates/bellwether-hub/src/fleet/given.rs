//! Checks that agents were ever given: results of others are nobody's.
//!
//! An agent that comes back after days brings results of checks that are no longer configured, also
//! when the hub was started anew meanwhile. So what is dropped is remembered for as long as a spool may
//! hold it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bellwether_config::Config;
use bellwether_model::CheckId;
use bellwether_store::{Change, StateStore, StoreError};
use jiff::Timestamp;

/// The key of what is remembered.
const KEY: &str = "fleet/given";
/// How long a check is remembered that is no longer configured: several times what a spool holds.
const REMEMBERED: Duration = Duration::from_secs(60 * 86_400);
/// Checks that are remembered, in all: twice what one hub watches.
const CHECKS_MAX: usize = 200_000;

/// Checks that agents were ever given, each with when it was dropped.
#[derive(Debug, Default)]
pub(crate) struct Given(Mutex<Option<BTreeMap<CheckId, Option<Timestamp>>>>);

impl Given {
    /// A configuration is in force.
    ///
    /// # Errors
    /// What was remembered cannot be read, or what is to be cannot be kept. It counts all the same
    /// where it could be read.
    pub(crate) fn configure(
        &self,
        state: &dyn StateStore,
        config: &Config,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.is_none() {
            let kept = state.checkpoint(KEY)?;
            *inner = Some(
                kept.and_then(|b| serde_json::from_slice(&b).ok())
                    .unwrap_or_default(),
            );
        }
        let all = inner.as_mut().expect("it was read just now");
        let before = all.clone();
        for dropped in all.values_mut() {
            dropped.get_or_insert(now);
        }
        for service in &config.services {
            for check in &service.checks {
                all.insert(CheckId::new(&service.name, &check.name), None);
            }
        }
        let is_fresh = |at: &Timestamp| now.duration_since(*at).unsigned_abs() < REMEMBERED;
        all.retain(|_, dropped| dropped.as_ref().is_none_or(is_fresh));
        while all.len() > CHECKS_MAX {
            let former = all.iter().filter_map(|(check, at)| Some(((*at)?, check)));
            let Some((_, first)) = former.min() else {
                break;
            };
            let first = first.clone();
            all.remove(&first);
        }
        if *all == before {
            return Ok(());
        }
        state.commit(&[Change::Checkpoint {
            key: KEY.to_owned(),
            bytes: serde_json::to_vec(all).ok(),
        }])
    }

    /// Was a check ever given?
    pub(crate) fn is_given(&self, check: &CheckId) -> bool {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.as_ref().is_some_and(|all| all.contains_key(check))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::testing::Memory;

    fn config(service: &str) -> Config {
        let text = format!("services: [{{ name: {service}, url: https://a.example/ }}]");
        bellwether_config::parse(&text, Path::new("a.yaml")).unwrap()
    }

    #[test]
    fn a_check_that_was_dropped_is_remembered_for_a_while() {
        let memory = Memory::default();
        let now = Timestamp::UNIX_EPOCH;
        let (old, new) = (CheckId::new("old", "main"), CheckId::new("new", "main"));
        let configured = |service: &str, now| {
            let given = Given::default();
            given.configure(&memory, &config(service), now).unwrap();
            given
        };
        let given = configured("old", now);
        assert!(given.is_given(&old) && !given.is_given(&new));
        let given = configured("new", now);
        assert!(
            given.is_given(&old) && given.is_given(&new),
            "after a restart"
        );
        let commits = memory.commits();
        configured("new", now + REMEMBERED / 2);
        assert_eq!(memory.commits(), commits, "nothing changed");
        let given = configured("new", now + REMEMBERED);
        assert!(!given.is_given(&old) && given.is_given(&new));
    }
}
