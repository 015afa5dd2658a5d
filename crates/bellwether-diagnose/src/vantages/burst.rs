//! A failed run at one vantage: others are asked at once, until one is served.
//!
//! What one sees and no other is near it; what two see is everybody's within seconds, and not within an
//! interval. An outage of everything asks no storm: there are so many askings a minute, and no more.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::run::{RunOutcome, Trigger};
use bellwether_model::{CheckId, Run, VantageId};
use jiff::Timestamp;

/// So many others are asked about one failure.
const OTHERS_MAX: usize = 5;
/// One after another, so far apart: who is served ends it.
const APART: Duration = Duration::from_secs(2);
/// In all so often in a minute: 5 for each of 120 failures, which is more than the schedule's share of a
/// hub that judges ten thousand checks a minute.
const ASKED_MAX: u32 = 600;
const MINUTE: Duration = Duration::from_secs(60);

/// Failures that others are asked about.
#[derive(Clone, Debug, Default)]
pub struct Bursts {
    under_way: BTreeMap<CheckId, Burst>,
    /// When this minute began, and how often anybody was asked in it.
    minute: Option<Timestamp>,
    asked: u32,
}

#[derive(Clone, Debug)]
struct Burst {
    /// Whom to ask still, the next one last.
    left: Vec<VantageId>,
    next: Timestamp,
}

impl Bursts {
    /// A check failed at a vantage, and detection doubts it: who is to be asked now? `order` is whom
    /// detection would ask.
    pub fn suspect(
        &mut self,
        check: &CheckId,
        at: &VantageId,
        order: &[VantageId],
        is_heard: impl Fn(&VantageId) -> bool,
        now: Timestamp,
    ) -> Option<VantageId> {
        let mut left: Vec<VantageId> = Vec::with_capacity(OTHERS_MAX);
        for other in order {
            // Where it failed its own agent asks again by itself.
            let is_new = other != at && !left.contains(other) && is_heard(other);
            if is_new && left.len() < OTHERS_MAX {
                left.push(other.clone());
            }
        }
        left.reverse();
        let mut burst = Burst { left, next: now };
        let first = self.ask(&mut burst, now);
        if !burst.left.is_empty() {
            self.under_way.insert(check.clone(), burst);
        }
        first
    }

    /// A run came. One that was made to confirm and was served ends it.
    pub fn ran(&mut self, run: &Run) {
        if run.trigger == Trigger::Confirm && run.outcome == RunOutcome::Ok {
            self.under_way.remove(&run.check);
        }
    }

    /// Nothing is to be found out any more.
    pub fn settled(&mut self, check: &CheckId) {
        self.under_way.remove(check);
    }

    /// Who is to be asked now.
    pub fn tick(&mut self, now: Timestamp) -> Vec<(CheckId, VantageId)> {
        let mut asked = Vec::new();
        let mut under_way = std::mem::take(&mut self.under_way);
        for (check, burst) in &mut under_way {
            if burst.next > now {
                continue;
            }
            if let Some(vantage) = self.ask(burst, now) {
                asked.push((check.clone(), vantage));
            }
        }
        under_way.retain(|_, burst| !burst.left.is_empty());
        self.under_way = under_way;
        asked
    }

    fn ask(&mut self, burst: &mut Burst, now: Timestamp) -> Option<VantageId> {
        let is_over = |began: Timestamp| super::is_older(began, MINUTE, now) || began > now;
        if self.minute.is_none_or(is_over) {
            (self.minute, self.asked) = (Some(now), 0);
        }
        if self.asked >= ASKED_MAX {
            // The schedule tells as well, somewhat later.
            burst.left.clear();
            return None;
        }
        let vantage = burst.left.pop()?;
        self.asked += 1;
        burst.next = now.checked_add(APART).unwrap_or(now);
        Some(vantage)
    }
}
