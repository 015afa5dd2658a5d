//! Vantages: what is wrong with one, and what follows for all that it says.

use std::collections::BTreeMap;

use bellwether_diagnose::vantages::{self, Link};
use bellwether_model::report::Context;
use bellwether_model::{CheckId, VantageId};
use bellwether_store::{Change, StoreError};
use jiff::{SignedDuration, Timestamp};

use super::targets::baselines_at;
use super::{Judge, Judged};
use crate::links::Presence;
use crate::shared::Configured;

/// The key of what is known of vantages.
const VANTAGES: &str = "vantages";

pub(super) use bellwether_diagnose::vantages::blames_itself;

/// Since when.
#[derive(Default)]
pub(super) struct Since {
    /// Each vantage is heard again: what did not come before is no silence of its checks.
    pub heard: BTreeMap<VantageId, Timestamp>,
    /// Each agent elsewhere is linked.
    pub linked: BTreeMap<VantageId, Timestamp>,
    /// Each agent elsewhere is linked and goes by the plan of this generation: what never gave a result
    /// there is silent from then on.
    pub planned: BTreeMap<VantageId, (u64, Timestamp)>,
}

impl Since {
    /// The wall clock was moved.
    pub(super) fn clock_moved(&mut self, now: Timestamp) {
        self.heard.values_mut().for_each(|at| *at = now);
        self.planned.values_mut().for_each(|(_, at)| *at = now);
    }

    /// Since when results of a vantage are to come: of checks that gave some there, and of those that
    /// never did. Not at all where nobody is linked, or goes by another plan.
    pub(super) fn of(
        &self,
        vantage: &VantageId,
        now: Timestamp,
    ) -> (Option<Timestamp>, Option<Timestamp>) {
        let heard = self.heard.get(vantage).copied();
        let heard = heard.unwrap_or(Timestamp::MIN);
        if vantage.as_str() == VantageId::LOCAL {
            return (Some(heard), Some(heard));
        }
        let linked = self.linked.get(vantage);
        let planned = self.planned.get(vantage);
        (
            linked.map(|linked| heard.max(*linked).min(now)),
            planned.map(|(_, planned)| heard.max(*planned)),
        )
    }
}

/// What the hub knows of an agent, as judging takes it.
fn link(presence: &Presence) -> Link {
    let state = presence.state.as_ref();
    let waits = state.and_then(|state| {
        let waits = state.at.duration_since(state.oldest?);
        waits.max(SignedDuration::ZERO).try_into().ok()
    });
    Link {
        is_linked: presence.is_linked,
        since: presence.since,
        heard: presence.heard,
        boot: presence.boot,
        offset_ms: presence.offset_ms,
        spooled: state.map_or(0, |state| state.spooled),
        waits,
        trouble: state.and_then(|state| state.trouble.clone()),
    }
}

impl Judge {
    /// What was known of vantages before a restart.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) fn recall_vantages(
        &mut self,
        configured: &Configured,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // Before the book is told anything: agents that were heard are not told to be silent first.
        let (checks, vantages) = crate::settings::detection(&configured.config);
        self.vantages.configure(&checks, &vantages, now);
        if let Some(bytes) = self.shared.state.checkpoint(VANTAGES)? {
            self.vantages.restore(&bytes);
            let silent = self.vantages.standings();
            for (vantage, _) in silent.filter(|(_, standing)| !standing.is_heard) {
                self.book.recall_unheard(vantage.clone());
            }
        }
        Ok(())
    }

    /// Tells the book who is not heard, as far as it does not know.
    pub(super) fn tell_unheard(&mut self, judged: &mut Judged, now: Timestamp) {
        let all = self.vantages.standings();
        let all: Vec<_> = all
            .map(|(vantage, standing)| (vantage.clone(), standing))
            .collect();
        for (vantage, standing) in all {
            let why = standing.amiss.map(|(_, why)| why).unwrap_or_default();
            let updates = match standing.is_heard {
                true => self.book.heard_again(&vantage, now, now),
                false => self.book.unheard(&vantage, &why, None, now),
            };
            judged.updates.extend(updates);
        }
        self.show_vantages(judged, now);
    }

    /// Looks at each vantage: what it sent, how its agent is, and what time brings.
    pub(super) fn watch_vantages(&mut self, now: Timestamp) {
        if !self.vantages.is_many() {
            return;
        }
        self.shared.links.hush(now);
        let all = self.shared.links.all();
        let changes = self
            .vantages
            .tick(|vantage| all.get(vantage).map(link), now);
        let mut judged = Judged::default();
        self.stand(changes, &mut judged, now);
        self.book.doubt(self.vantages.doubted(now));
        if self.vantages.take_news() {
            judged.changes.push(self.known_of_vantages());
        }
        let grown_old = self.shared.board_mut(|board| board.grow_old(now));
        if !grown_old.is_empty() {
            self.parts.all_changed();
        }
        judged.services.extend(grown_old);
        self.settle(judged, now);
        for (check, vantage) in self.bursts.tick(now) {
            self.agents.confirm(&check, &vantage);
        }
        self.welcome(&all, now);
    }

    /// An agent that was linked meanwhile hears what it has to know.
    fn welcome(&mut self, all: &BTreeMap<VantageId, Presence>, now: Timestamp) {
        let generation = self.shared.configured.load().generation;
        let mut is_other = false;
        for (vantage, presence) in all {
            let runs = presence.is_linked && presence.generation == generation;
            let known = self.since.planned.get(vantage).map(|(known, _)| *known);
            match (runs, known) {
                (true, Some(known)) if known == generation => {}
                (true, _) => {
                    self.since
                        .planned
                        .insert(vantage.clone(), (generation, now));
                    is_other = true;
                }
                (false, _) => drop(self.since.planned.remove(vantage)),
            }
            let linked = presence.since.filter(|_| presence.is_linked);
            let before = self.since.linked.get(vantage).copied();
            match linked {
                Some(since) if before != Some(since) => {
                    is_other = true;
                    self.since.linked.insert(vantage.clone(), since);
                    for (check, at, every) in self.book.followed() {
                        if at == *vantage {
                            self.agents.follow(&check, &at, Some(every));
                        }
                    }
                }
                Some(_) => {}
                None => drop(self.since.linked.remove(vantage)),
            }
        }
        if is_other {
            self.shared.board_mut(crate::board::Board::look_anew);
        }
    }

    /// What follows from what changed with vantages.
    pub(super) fn stand(
        &mut self,
        changes: Vec<vantages::Change>,
        judged: &mut Judged,
        now: Timestamp,
    ) {
        if changes.is_empty() {
            return;
        }
        self.parts.all_changed();
        for change in changes {
            let updates = match change {
                vantages::Change::Amiss(amiss) => {
                    tracing::warn!(vantage = %amiss.vantage, cause = %amiss.cause, "{}", amiss.summary);
                    self.book.amiss(&amiss, now)
                }
                vantages::Change::Mended {
                    vantage,
                    cause,
                    words,
                } => {
                    tracing::info!(%vantage, %cause, "{words}");
                    self.since.heard.insert(vantage.clone(), now);
                    self.book.mended(&vantage, cause, &words, now)
                }
                vantages::Change::Rejudged { was, amiss } => self.book.rejudged(was, &amiss, now),
                vantages::Change::Blind(blind) => {
                    tracing::error!("{}", blind.summary);
                    self.book.blind(&blind, now)
                }
                vantages::Change::Sees { words } => {
                    tracing::info!("{words}");
                    self.book.sees(&words, now)
                }
                vantages::Change::Unheard {
                    vantage,
                    since,
                    why,
                    is_disbelieved,
                } => {
                    if is_disbelieved {
                        self.detector.mute(&vantage);
                    }
                    let disbelieved = is_disbelieved.then_some(since);
                    self.book.unheard(&vantage, &why, disbelieved, now)
                }
                vantages::Change::Heard { vantage, since } => {
                    self.since.heard.insert(vantage.clone(), now);
                    self.book.heard_again(&vantage, since, now)
                }
                vantages::Change::WantTrace { check, vantage } => {
                    self.agents.trace(&check, &vantage);
                    continue;
                }
            };
            judged.updates.extend(updates);
        }
        self.show_vantages(judged, now);
        judged.changes.push(self.known_of_vantages());
    }

    fn known_of_vantages(&self) -> Change {
        Change::Checkpoint {
            key: VANTAGES.to_owned(),
            bytes: Some(self.vantages.checkpoint()),
        }
    }

    /// Puts how vantages stand onto the board.
    pub(super) fn show_vantages(&self, judged: &mut Judged, now: Timestamp) {
        let standings = self.vantages.standings();
        let standings = standings.map(|(v, s)| (v.clone(), s)).collect();
        let services = self.shared.board_mut(|board| board.stand(standings, now));
        judged.services.extend(services);
    }

    /// An agent's times are put onto the hub's clock. While that is the wrong one, what was seen is judged
    /// by the time that the agent knew.
    pub(super) fn by_right_clock(&self, mut context: Context) -> Context {
        let ahead = self.vantages.hub_ahead_ms();
        if let Some(ahead) = ahead.filter(|_| context.vantage != VantageId::LOCAL) {
            let there = context.now.checked_sub(SignedDuration::from_millis(ahead));
            context.now = there.unwrap_or(context.now);
        }
        context
    }

    /// What is known from vantages that are no longer configured goes.
    pub(super) fn forget_gone(&mut self, judged: &mut Judged) {
        let gone = self.vantages.take_gone();
        if gone.is_empty() {
            return;
        }
        self.kept.retain(|(_, vantage), _| !gone.contains(vantage));
        self.silent.retain(|(_, vantage)| !gone.contains(vantage));
        self.since
            .heard
            .retain(|vantage, _| !gone.contains(vantage));
        self.since
            .planned
            .retain(|vantage, _| !gone.contains(vantage));
        for vantage in gone.iter().filter(|v| !self.vantages.is_known(v)) {
            match self.shared.state.checkpoints(&baselines_at(vantage)) {
                Ok(kept) => {
                    let keys = kept.into_iter().map(|(key, _)| key);
                    let removed = keys.map(|key| Change::Checkpoint { key, bytes: None });
                    judged.changes.extend(removed);
                }
                Err(error) => {
                    tracing::warn!(%error, %vantage, "what was known good from a vantage that is gone cannot be read, and stays");
                }
            }
        }
        // By which they are known to be gone at the next start.
        judged.changes.push(self.known_of_vantages());
    }

    /// Did a trace begin so long ago that nothing follows from it for now?
    pub(super) fn is_history(&self, check: &CheckId, began: Timestamp, now: Timestamp) -> bool {
        let every = self
            .shared
            .board(|board| board.checks.get(check).map(|c| c.every));
        every.is_none_or(|every| vantages::is_late_trace(began, every, now))
    }
}
