//! From what was stored, and from a configuration, to what judging goes by.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use bellwether_diagnose::incidents::{self, AlarmKind, Book};
use bellwether_model::CheckId;
use bellwether_store::{Change, StoreError};
use jiff::Timestamp;

use super::maintenance::Plans;
use super::targets::Targets;
use super::{INCIDENTS, Judge, Judged, baseline_key};
use crate::shared::{Configured, Shared};

/// The book as it was stored, with what a judge before this one could not store.
pub(super) fn book(shared: &Shared) -> Result<Book, StoreError> {
    let state = &shared.state;
    let unsaved = shared.unsaved.lock();
    let unsaved = unsaved.unwrap_or_else(PoisonError::into_inner);
    let memory = match unsaved.checkpoint(INCIDENTS) {
        Some(memory) => Some(memory.to_vec()),
        None => state.checkpoint(INCIDENTS)?,
    };
    let next = unsaved.incidents().map(|incident| incident.id + 1);
    let next = next.max().unwrap_or(0).max(state.next_incident()?);
    let open = shared.open_incidents()?;
    Ok(Book::restore(open, memory.as_deref(), next))
}

impl Judge {
    /// The book may know of an alarm that detection, whose state is written down more rarely, does
    /// not know of, and would never take back. It is raised again if runs go on failing.
    pub(super) fn reconcile(&mut self, now: Timestamp) {
        let mut updates = Vec::new();
        for (check, vantage, kind) in self.book.alarms() {
            let is_known = match kind {
                AlarmKind::Failing => self.detector.is_open(&check),
                AlarmKind::Slow => self.detector.is_slow(&check),
            };
            if is_known {
                continue;
            }
            let signal = incidents::Signal::Clear {
                check,
                vantage,
                kind,
            };
            updates.extend(self.book.signal(&signal, now));
        }
        self.update(updates, now);
    }

    /// Makes what follows from a new configuration. Tells which checks aim at something else.
    pub(super) fn configure(
        &mut self,
        configured: &Configured,
        now: Timestamp,
    ) -> BTreeSet<CheckId> {
        let config = &configured.config;
        let targets = Targets::of(config);
        let moved = self.targets.moved(&targets);
        let (checks, vantages) = crate::settings::detection(config);
        self.detector.configure(&checks, &vantages);
        self.vantages.configure(&checks, &vantages, now);
        let needs = config.services.iter();
        self.book
            .set_needs(needs.map(|s| (s.name.clone(), s.needs.clone())).collect());
        self.plans = Plans::of(&config.maintenance);
        let gone = self.shared.board_mut(|board| {
            // What was known of another target is not known of this one.
            board.checks.retain(|check| !moved.contains(check));
            board.configure(config, now)
        });
        let parts = &mut self.parts;
        self.shared.board(|board| parts.divide(board.checks.keys()));
        let mut forgotten: BTreeSet<CheckId> = gone.into_iter().collect();
        forgotten.extend(self.targets.gone(&targets));
        // Those that went while nobody looked.
        let known = self.book.checks().into_iter();
        forgotten.extend(known.filter(|check| !targets.contains(check)));
        forgotten.extend(moved.iter().cloned());
        let mut judged = Judged::default();
        let networks = vantages.iter().map(|one| (one.id.clone(), one.asn));
        let networks = networks.collect();
        judged.updates.extend(self.book.set_vantages(networks, now));
        let left_alone = self.vantages.left_alone();
        self.stand(left_alone, &mut judged, now);
        self.tell_unheard(&mut judged, now);
        self.forget_gone(&mut judged);
        for check in forgotten {
            judged.updates.extend(self.book.gone(&check, now));
            self.detector.forget(&check);
            for vantage in vantages.iter().map(|one| one.id.clone()) {
                let key = (check.clone(), vantage);
                self.kept.remove(&key);
                self.silent.remove(&key);
            }
            self.bursts.settled(&check);
            if let Some(name) = check.as_heartbeat() {
                self.beats.remove(name);
            }
            if moved.contains(&check) {
                for vantage in &vantages {
                    self.agents.baseline(&check, &vantage.id, None);
                    self.agents.follow(&check, &vantage.id, None);
                }
            }
            for vantage in &vantages {
                judged.changes.push(Change::Checkpoint {
                    key: baseline_key(&check, &vantage.id),
                    bytes: None,
                });
            }
        }
        if self.targets != targets {
            judged.changes.push(targets.checkpoint());
            self.targets = targets;
        }
        self.settle(judged, now);
        self.look_at_maintenance(now);
        self.place_incidents();
        self.learn_told(now);
        moved
    }

    /// What services are from the start is no news.
    pub(super) fn learn_told(&mut self, now: Timestamp) {
        let mut told = std::mem::take(&mut self.told);
        self.shared.board(|board| {
            told.retain(|service, _| board.services.contains_key(service));
            for service in board.services.keys() {
                if let Some(now) = board.service(service, now) {
                    told.entry(service.clone())
                        .or_insert((now.verdict, now.cause));
                }
            }
        });
        self.told = told;
    }
}
