//! The hub's own clock: when those of most agents differ from it by the same, it is the wrong one.

use bellwether_model::{Cause, VantageId};
use jiff::Timestamp;

use super::link::{Link, OFFSET_MAX_MS};
use super::{Change, Vantages, amiss, mended};

/// Agents whose clocks must agree against the hub's. One is as likely to be wrong as the hub.
const AGREE_MIN: usize = 2;
/// Clocks this near each other are the same one, for this.
const SAME_MS: i64 = 30_000;

/// What the clocks of the agents say of the hub's.
#[derive(Clone, Debug, Default)]
pub(super) struct HubClock {
    /// By how much it is ahead of theirs, and how many say so.
    ahead: Option<(i64, usize)>,
    measured: usize,
    linked: usize,
    /// Do most agree with it?
    is_right: bool,
}

impl HubClock {
    /// By how much the hub's clock is ahead of most agents', where that is too much, milliseconds.
    pub(super) fn ahead_ms(&self) -> Option<i64> {
        self.ahead.map(|(ahead, _)| ahead)
    }

    /// How many agents' clocks are known.
    pub(super) fn measured(&self) -> usize {
        self.measured
    }

    /// Takes in how agents are linked now.
    pub(super) fn look<'l>(&mut self, links: impl Iterator<Item = &'l Link>) {
        let linked: Vec<&Link> = links.filter(|link| link.is_linked).collect();
        let mut offsets: Vec<i64> = linked.iter().filter_map(|link| link.offset_ms).collect();
        offsets.sort_unstable();
        (self.measured, self.linked) = (offsets.len(), linked.len());
        let is_most = |agree: usize| agree * 2 > linked.len();
        // Once wrong, it is right again when it is well within.
        let limit = match self.ahead {
            Some(_) => OFFSET_MAX_MS / 2,
            None => OFFSET_MAX_MS,
        };
        let largest = (0..offsets.len())
            .map(|from| together(&offsets[from..]))
            .max_by_key(|group| group.len());
        let group = largest.filter(|group| is_most(group.len()));
        let middle = group.map(|group| (group[group.len() / 2], group.len()));
        self.is_right = middle.is_some_and(|(ahead, _)| ahead.unsigned_abs() <= limit);
        self.ahead = match middle {
            // Once it is known, those that are left need not be as many.
            Some((_, agree)) if !self.is_right && (agree >= AGREE_MIN || self.ahead.is_some()) => {
                middle
            }
            Some(_) => None,
            None => self.ahead,
        };
    }
}

/// Those from the first on that are the same, of some in order.
fn together(offsets: &[i64]) -> &[i64] {
    let first = offsets.first().copied().unwrap_or_default();
    let len = offsets.partition_point(|one| one.saturating_sub(first) <= SAME_MS);
    &offsets[..len]
}

impl Vantages {
    /// By how much the hub's clock is ahead of the agents', where it is the wrong one: milliseconds.
    #[must_use]
    pub fn hub_ahead_ms(&self) -> Option<i64> {
        self.hub_clock.ahead_ms()
    }

    /// Is the hub's own clock the wrong one? Then its own vantage is not believed, and the others are.
    pub(super) fn look_at_hub_clock(&mut self, now: Timestamp, changes: &mut Vec<Change>) {
        let local = VantageId::new(VantageId::LOCAL);
        let Some(known) = self.known.get_mut(&local) else {
            return;
        };
        let clock = &self.hub_clock;
        if let Some((ahead, agree)) = clock.ahead {
            let (seconds, way) = (
                ahead.unsigned_abs() / 1_000,
                if ahead > 0 { "ahead of" } else { "behind" },
            );
            let summary = format!(
                "this hub's clock is {seconds} s {way} those of {agree} of {} linked agents, which agree: it is the wrong one, and what the hub's own vantage says is not believed; the agents are",
                clock.linked
            );
            let remedy = "Set the clock of the machine that this hub runs on (NTP)".to_owned();
            let words = (now, summary, remedy);
            amiss(known, &local, Cause::MonitorClockSkew, words, changes);
            return;
        }
        let by_votes = known.votes.stands() == Some(Cause::MonitorClockSkew);
        if clock.is_right && !by_votes {
            let words = "this hub's clock is that of most agents again";
            mended(known, &local, Cause::MonitorClockSkew, words, changes);
        }
    }
}
