//! What a scrape takes from the board: a copy, so that whoever writes the board does not wait until
//! all of it is written out; and of very many checks no more than a scrape can hold.

use std::collections::BTreeSet;

use bellwether_model::{CheckId, VantageId, Verdict};
use jiff::Timestamp;

use crate::board::{Board, CheckState};

/// Checks of which every series is written: about seven MB. Where there are more, those come first that
/// are not well, and of those that are it is told that they are up and when their certificates end,
/// which is what alarms go by: of 100,000 checks that is ten MB, which a usual scrape takes in.
pub(super) const IN_FULL_MAX: usize = 10_000;

/// What a scrape takes from the board.
pub(super) struct Seen {
    /// Services by name, as they are told.
    pub(super) services: Vec<(String, Verdict)>,
    /// Of each check that is healthy or not, whether it is.
    pub(super) up: Vec<(CheckId, bool)>,
    /// When the certificates end that the last runs saw.
    pub(super) ends: Vec<(CheckId, VantageId, Timestamp)>,
    /// Checks that are told in full.
    pub(super) full: Vec<(CheckId, CheckState)>,
    /// Checks that are not.
    pub(super) in_brief: usize,
    /// Services whose faults are expected.
    pub(super) maintenance: BTreeSet<String>,
}

/// How much there is to tell of a check.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rank {
    /// Users fail, or it brings down workers.
    Fails,
    /// Nothing is known, or nothing new.
    Unknown,
    Well,
}

fn rank(check: &CheckState, now: Timestamp) -> Rank {
    if check.poisoned.is_some() {
        return Rank::Fails;
    }
    match check.verdict {
        _ if check.is_stale(now) => Rank::Unknown,
        Verdict::Broken | Verdict::Degraded => Rank::Fails,
        Verdict::Unknown => Rank::Unknown,
        Verdict::Healthy => Rank::Well,
    }
}

impl Seen {
    /// Of all services.
    pub(super) fn of(board: &Board, now: Timestamp, full_max: usize) -> Self {
        let names = board.services.keys();
        let services = names.filter_map(|name| told(board, name, now)).collect();
        let mut seen = Self {
            services,
            up: Vec::with_capacity(board.checks.len()),
            ends: Vec::new(),
            full: Vec::new(),
            in_brief: 0,
            maintenance: board.maintenance.keys().cloned().collect(),
        };
        let is_all = board.checks.len() <= full_max;
        let all = || board.checks.iter().map(|(_, check)| rank(check, now));
        // Those that fail have their places before those of which nothing is known, as after a start.
        let failing = all().filter(|rank| *rank == Rank::Fails).count();
        let mut rest = full_max.saturating_sub(failing);
        for (id, check) in board.checks.iter() {
            let is_full = is_all
                || match rank(check, now) {
                    Rank::Fails => seen.full.len() < full_max,
                    Rank::Unknown if rest > 0 => {
                        rest -= 1;
                        true
                    }
                    Rank::Unknown | Rank::Well => false,
                };
            seen.add(id, check, is_full, now);
        }
        seen
    }

    /// Of one service, in full; `None` if there is no such service.
    pub(super) fn of_one(board: &Board, name: &str, now: Timestamp) -> Option<Self> {
        let service = board.services.get(name)?;
        let mut seen = Self {
            services: told(board, name, now).into_iter().collect(),
            up: Vec::new(),
            ends: Vec::new(),
            full: Vec::new(),
            in_brief: 0,
            maintenance: board.maintenance.keys().cloned().collect(),
        };
        for id in &service.checks {
            if let Some(check) = board.checks.get(id) {
                seen.add(id, check, true, now);
            }
        }
        Some(seen)
    }

    fn add(&mut self, id: &CheckId, check: &CheckState, is_full: bool, now: Timestamp) {
        // Unknown is neither up nor down: then there is no sample, and `absent()` tells it.
        if check.verdict != Verdict::Unknown && !check.is_stale(now) {
            let is_up = check.verdict == Verdict::Healthy;
            self.up.push((id.clone(), is_up));
        }
        for run in &check.last {
            if let Some(ends) = run.certificate_ends {
                self.ends.push((id.clone(), run.vantage.clone(), ends));
            }
        }
        if is_full {
            self.full.push((id.clone(), check.clone()));
        } else {
            self.in_brief += 1;
        }
    }
}

fn told(board: &Board, name: &str, now: Timestamp) -> Option<(String, Verdict)> {
    let told = board.service(name, now)?;
    Some((name.to_owned(), told.verdict))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn ids(seen: &Seen) -> Vec<&str> {
        seen.full.iter().map(|(id, _)| id.as_str()).collect()
    }

    #[test]
    fn of_very_many_those_that_are_not_well_are_told_in_full() {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let hub = testing::filled(now);
        let seen = |most| hub.shared.board(|board| Seen::of(board, now, most));
        let all = seen(4);
        let every = ["old/main", "pay/api", "pay/queue", "shop/main"];
        assert_eq!((ids(&all), all.in_brief), (every.to_vec(), 0));
        let some = seen(3);
        assert_eq!((ids(&some), some.in_brief), (every[..2].to_vec(), 2));
        // What alarms go by is there of all.
        assert_eq!(some.up, all.up);
        assert_eq!(some.ends, all.ends);
        assert_eq!(some.services.len(), 3);
        // What fails comes before what is not known.
        let few = seen(1);
        assert_eq!((ids(&few), few.in_brief), (vec!["pay/api"], 3));
        let ill = CheckId::new("shop", "main");
        hub.shared.board_mut(|board| {
            let check = board.checks.get_mut(&ill).unwrap();
            check.poisoned = Some("it aborts".to_owned());
        });
        assert_eq!(ids(&seen(2)), ["pay/api", "shop/main"]);
    }

    #[test]
    fn one_service_is_told_in_full() {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let hub = testing::filled(now);
        let seen = |name| hub.shared.board(|board| Seen::of_one(board, name, now));
        let pay = seen("pay").unwrap();
        assert_eq!(ids(&pay), ["pay/api", "pay/queue"]);
        assert_eq!(pay.services, [("pay".to_owned(), Verdict::Broken)]);
        assert!(seen("pa").is_none());
    }
}
