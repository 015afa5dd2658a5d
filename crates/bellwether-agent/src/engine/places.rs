//! Who may begin: limits for all together and for each host, with those who wait in fair order.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Under way at one host at the same time, at most: what one service with many checks may take of the
/// places of all others while it hangs, and what its servers have to bear of us.
pub(crate) const PER_HOST_MAX: usize = 16;

/// Who goes first where places are short: what is due before what confirms, and that before traces,
/// which take longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    Due,
    Confirm,
    Trace,
}

type Entry = (u64, Arc<str>);

#[derive(Debug)]
pub(crate) struct Places {
    limit: usize,
    busy: usize,
    hosts: HashMap<Arc<str>, Host>,
    /// Have a place at their host, by rank.
    ready: [VecDeque<Entry>; 3],
}

#[derive(Debug, Default)]
struct Host {
    busy: usize,
    waiting: VecDeque<(Rank, u64)>,
}

impl Places {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            busy: 0,
            hosts: HashMap::new(),
            ready: Default::default(),
        }
    }

    pub(crate) fn limit(&mut self, limit: usize) {
        self.limit = limit.max(1);
    }

    pub(crate) fn busy(&self) -> usize {
        self.busy
    }

    /// Waiting, those at a host that is busy not counted.
    pub(crate) fn waiting(&self) -> usize {
        self.ready.iter().map(VecDeque::len).sum()
    }

    /// Lines up; begins as soon as [`next`](Self::next) names it.
    pub(crate) fn enter(&mut self, number: u64, host: &Arc<str>, rank: Rank) {
        let at = self.hosts.entry(host.clone()).or_default();
        if at.busy < PER_HOST_MAX {
            at.busy += 1;
            self.ready[rank as usize].push_back((number, host.clone()));
        } else {
            at.waiting.push_back((rank, number));
        }
    }

    /// Who begins now. Whoever no longer wants to, [leaves](Self::leave) at once.
    pub(crate) fn next(&mut self) -> Option<Entry> {
        if self.busy >= self.limit {
            return None;
        }
        let entry = self.ready.iter_mut().find_map(VecDeque::pop_front)?;
        self.busy += 1;
        Some(entry)
    }

    /// Gives up the place.
    pub(crate) fn leave(&mut self, host: &Arc<str>) {
        self.busy -= 1;
        let Some(at) = self.hosts.get_mut(host) else {
            return;
        };
        match at.waiting.pop_front() {
            Some((rank, number)) => self.ready[rank as usize].push_back((number, host.clone())),
            None if at.busy == 1 => {
                self.hosts.remove(host);
            }
            None => at.busy -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Both limits hold, nobody is forgotten, and everything is empty at the end.
        #[test]
        fn limits_hold(
            limit in 1_usize..40,
            steps in prop::collection::vec((0_usize..5, any::<bool>(), 0_u8..3), 1..400),
        ) {
            let mut places = Places::new(limit);
            let hosts: Vec<Arc<str>> = (0..5).map(|n| format!("h{n}").into()).collect();
            let (mut under_way, mut begun) = (Vec::<Entry>::new(), 0_usize);
            let mut entered = 0_u64;
            for (host, leaves, rank) in steps {
                if leaves && !under_way.is_empty() {
                    let (_, host) = under_way.remove(under_way.len() / 2);
                    places.leave(&host);
                } else {
                    let rank = [Rank::Due, Rank::Confirm, Rank::Trace][usize::from(rank)];
                    places.enter(entered, &hosts[host], rank);
                    entered += 1;
                }
                while let Some(entry) = places.next() {
                    under_way.push(entry);
                    begun += 1;
                }
                prop_assert!(under_way.len() <= limit);
                for host in &hosts {
                    let here = under_way.iter().filter(|(_, h)| h == host).count();
                    prop_assert!(here <= PER_HOST_MAX);
                }
            }
            while let Some((_, host)) = under_way.pop() {
                places.leave(&host);
                while let Some(entry) = places.next() {
                    under_way.push(entry);
                    begun += 1;
                }
            }
            prop_assert_eq!(begun as u64, entered);
            prop_assert!(places.hosts.is_empty() && places.busy == 0);
        }
    }
}
