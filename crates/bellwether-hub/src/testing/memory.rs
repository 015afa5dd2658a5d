//! A store in memory.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use bellwether_model::incident::IncidentState;
use bellwether_model::run::RunOutcome;
use bellwether_model::{CheckId, Digest, Envelope, Incident, Run, VantageId};
use bellwether_store::{
    Appended, Change, CounterRow, Cursor, Maintained, Notice, ObservationStore, Retention, Rollup,
    Series, Sketch, StateStore, Step, StoreError, Token,
};
use jiff::Timestamp;
use sha2::Digest as _;

/// A store in memory. Nothing of it is durable.
#[derive(Debug, Default)]
pub struct Memory {
    held: Mutex<Held>,
    broken: AtomicBool,
    panics: AtomicBool,
    commits: AtomicU64,
    hangs: Mutex<bool>,
    goes_on: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    runs: BTreeMap<(CheckId, VantageId), Vec<Run>>,
    cursors: BTreeMap<String, Cursor>,
    incidents: BTreeMap<u64, Incident>,
    notices: BTreeMap<u64, (Notice, bool)>,
    evidence: BTreeMap<Digest, Vec<u8>>,
    checkpoints: BTreeMap<String, Vec<u8>>,
    tokens: BTreeMap<String, Token>,
    counters: BTreeMap<CounterKey, (u64, u64)>,
    damage: Vec<String>,
}

/// Source, service, window and attributes: what replaces when it comes again.
type CounterKey = (String, String, Timestamp, Timestamp, Vec<(String, String)>);

impl Memory {
    /// From now on every question fails, or none.
    pub fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    /// The next question panics.
    pub fn panic_next(&self) {
        self.panics.store(true, Ordering::SeqCst);
    }

    /// How often it was asked to keep changes.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// Damage is found, and told by the next maintenance alone.
    ///
    /// # Panics
    /// Every question fails, as told.
    pub fn damage(&self, what: &str) {
        let mut held = self.held().expect("a store that is asked is whole");
        held.damage.push(what.to_owned());
    }

    /// From now on no question is answered, until one may be again.
    pub fn set_hanging(&self, hangs: bool) {
        *self.hangs.lock().unwrap_or_else(PoisonError::into_inner) = hangs;
        self.goes_on.notify_all();
    }

    fn held(&self) -> Result<MutexGuard<'_, Held>, StoreError> {
        let hangs = self.hangs.lock().unwrap_or_else(PoisonError::into_inner);
        let hangs = self.goes_on.wait_while(hangs, |hangs| *hangs);
        drop(hangs.unwrap_or_else(PoisonError::into_inner));
        assert!(!self.panics.swap(false, Ordering::SeqCst), "on purpose");
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError::Other(
                "/var/lib/bellwether/state.db is broken".to_owned(),
            ));
        }
        Ok(self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ObservationStore for Memory {
    fn append(&self, envelopes: &[Envelope]) -> Result<Appended, StoreError> {
        let mut held = self.held()?;
        let mut done = Appended::default();
        for envelope in envelopes {
            let cursor = held.cursors.entry(envelope.agent.to_string()).or_default();
            if envelope.number <= cursor.number {
                done.repeated += 1;
                continue;
            }
            done.missing += envelope.number - cursor.number - 1;
            *cursor = Cursor {
                number: envelope.number,
                boot: envelope.boot,
            };
            done.runs += envelope.runs.len();
            for run in &envelope.runs {
                let key = (run.check.clone(), run.vantage.clone());
                held.runs.entry(key).or_default().push(run.clone());
            }
        }
        Ok(done)
    }

    fn cursor(&self, agent: &str) -> Result<Cursor, StoreError> {
        Ok(self.held()?.cursors.get(agent).copied().unwrap_or_default())
    }

    fn series(
        &self,
        check: &CheckId,
        vantage: &VantageId,
        range: Range<Timestamp>,
        newest: usize,
    ) -> Result<Series, StoreError> {
        let held = self.held()?;
        let runs = held.runs.get(&(check.clone(), vantage.clone()));
        let runs = runs
            .into_iter()
            .flatten()
            .filter(|run| range.contains(&run.began()));
        let mut runs: Vec<Run> = runs.cloned().collect();
        runs.sort_by_key(Run::began);
        let from = runs.len().saturating_sub(newest);
        Ok(Series {
            runs: runs.split_off(from),
            gaps: Vec::new(),
        })
    }

    fn rollups(
        &self,
        series: &[(CheckId, VantageId)],
        step: Step,
        range: Range<Timestamp>,
    ) -> Result<Vec<Rollup>, StoreError> {
        let seconds = match step {
            Step::Hour => 3_600,
            Step::Day => 86_400,
        };
        let held = self.held()?;
        let runs = series.iter().filter_map(|key| held.runs.get(key)).flatten();
        let mut rollups = BTreeMap::<i64, Rollup>::new();
        for run in runs.filter(|run| range.contains(&run.began())) {
            let at = run.began().as_second().div_euclid(seconds) * seconds;
            let rollup = rollups.entry(at).or_insert_with(|| Rollup {
                from: Timestamp::from_second(at).unwrap_or(Timestamp::MIN),
                outcomes: [0; 4],
                symptoms: Vec::new(),
                total: Sketch::default(),
                phases: Vec::new(),
            });
            let outcome = match run.outcome {
                RunOutcome::Ok => 0,
                RunOutcome::Wrong => 1,
                RunOutcome::Failed => 2,
                RunOutcome::NotRun => 3,
            };
            rollup.outcomes[outcome] += 1;
            if run.outcome == RunOutcome::Ok {
                rollup.total.insert(run.phases.total());
            }
            if let Some(symptom) = &run.symptom {
                match rollup
                    .symptoms
                    .iter_mut()
                    .find(|(known, _)| **known == **symptom)
                {
                    Some((_, count)) => *count += 1,
                    None => rollup.symptoms.push((symptom.to_string(), 1)),
                }
            }
        }
        Ok(rollups.into_values().collect())
    }

    fn all_series(&self) -> Result<Vec<(CheckId, VantageId)>, StoreError> {
        Ok(self.held()?.runs.keys().cloned().collect())
    }

    fn maintain(&self, _now: Timestamp, _keep: &Retention) -> Result<Maintained, StoreError> {
        let damage = std::mem::take(&mut self.held()?.damage);
        Ok(Maintained {
            damage,
            ..Maintained::default()
        })
    }
}

impl StateStore for Memory {
    fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        let mut held = self.held()?;
        for change in changes {
            match change.clone() {
                Change::Incident(incident) => {
                    held.incidents.insert(incident.id, *incident);
                }
                Change::Notice(mut notice) => {
                    if notice.id == 0 {
                        notice.id = held.notices.len() as u64 + 1;
                    }
                    held.notices.insert(notice.id, (notice, false));
                }
                Change::Sent { notice, .. } => {
                    if let Some((_, sent)) = held.notices.get_mut(&notice) {
                        *sent = true;
                    }
                }
                Change::Evidence { bytes, .. } => {
                    let digest = Digest(sha2::Sha256::digest(&bytes).into());
                    held.evidence.insert(digest, bytes);
                }
                Change::Checkpoint {
                    key,
                    bytes: Some(bytes),
                } => {
                    held.checkpoints.insert(key, bytes);
                }
                Change::Checkpoint { key, bytes: None } => {
                    held.checkpoints.remove(&key);
                }
                Change::Token(token) => {
                    held.tokens.insert(token.name.clone(), token);
                }
                Change::TokenRevoked { name } => {
                    held.tokens.remove(&name);
                }
                Change::Counters(rows) => {
                    for row in rows {
                        let key = (row.source, row.service, row.from, row.to, row.attributes);
                        held.counters.insert(key, (row.total, row.failed));
                    }
                }
                Change::Generation { .. } => {}
            }
        }
        Ok(())
    }

    fn incident(&self, id: u64) -> Result<Option<Incident>, StoreError> {
        Ok(self.held()?.incidents.get(&id).cloned())
    }

    fn open_incidents(&self) -> Result<Vec<Incident>, StoreError> {
        let held = self.held()?;
        let all = held.incidents.values();
        Ok(all
            .filter(|it| it.state != IncidentState::Resolved)
            .cloned()
            .collect())
    }

    fn incidents(&self, before: Option<u64>, most: usize) -> Result<Vec<Incident>, StoreError> {
        let held = self.held()?;
        let all = held.incidents.range(..before.unwrap_or(u64::MAX)).rev();
        Ok(all
            .take(most)
            .map(|(_, incident)| incident.clone())
            .collect())
    }

    fn next_incident(&self) -> Result<u64, StoreError> {
        Ok(self.held()?.incidents.keys().last().map_or(1, |id| id + 1))
    }

    fn evidence(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.held()?.evidence.get(digest).cloned())
    }

    fn checkpoint(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.held()?.checkpoints.get(key).cloned())
    }

    fn checkpoints(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let held = self.held()?;
        let found = held
            .checkpoints
            .iter()
            .filter(|(key, _)| key.starts_with(prefix));
        Ok(found
            .map(|(key, bytes)| (key.clone(), bytes.clone()))
            .collect())
    }

    fn outbox(&self, most: usize) -> Result<Vec<Notice>, StoreError> {
        let held = self.held()?;
        let unsent = held.notices.values().filter(|(_, sent)| !sent);
        Ok(unsent
            .take(most)
            .map(|(notice, _)| notice.clone())
            .collect())
    }

    fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        Ok(self.held()?.tokens.values().cloned().collect())
    }

    fn counters(
        &self,
        service: &str,
        range: Range<Timestamp>,
    ) -> Result<Vec<CounterRow>, StoreError> {
        let held = self.held()?;
        let rows = held
            .counters
            .iter()
            .map(|(key, (total, failed))| CounterRow {
                source: key.0.clone(),
                service: key.1.clone(),
                from: key.2,
                to: key.3,
                attributes: key.4.clone(),
                total: *total,
                failed: *failed,
            });
        let touches = |row: &CounterRow| row.from < range.end && row.to > range.start;
        Ok(rows
            .filter(|row| row.service == service && touches(row))
            .collect())
    }
}
