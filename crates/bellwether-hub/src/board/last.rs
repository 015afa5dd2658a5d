//! The last run at each vantage. Nearly all checks have one vantage, so there is room for no more than
//! there are: a tree has room for eleven.

use std::ops::Index;

use bellwether_model::{Run, VantageId};
use jiff::Timestamp;

/// The last run at each vantage.
#[derive(Clone, Debug, Default)]
pub struct LastRuns(Vec<Run>);

impl LastRuns {
    /// Puts a run in place of the last one at its vantage.
    pub fn insert(&mut self, run: Run) {
        match self.place(&run.vantage) {
            Ok(at) => self.0[at] = run,
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, run);
            }
        }
    }

    /// The last one there.
    #[must_use]
    pub fn get(&self, vantage: &VantageId) -> Option<&Run> {
        self.place(vantage).ok().map(|at| &self.0[at])
    }

    /// None of them is later than now: what comes next is newer.
    pub(super) fn clock_moved(&mut self, now: Timestamp) {
        for run in &mut self.0 {
            run.due = run.due.min(now);
        }
    }

    /// Where it was run, in order.
    pub fn vantages(&self) -> impl Iterator<Item = &VantageId> {
        self.0.iter().map(|run| &run.vantage)
    }

    /// The last run at each, in order of the vantages.
    pub fn iter(&self) -> std::slice::Iter<'_, Run> {
        self.0.iter()
    }

    fn place(&self, vantage: &VantageId) -> Result<usize, usize> {
        self.0.binary_search_by(|run| run.vantage.cmp(vantage))
    }
}

impl Index<&VantageId> for LastRuns {
    type Output = Run;

    fn index(&self, vantage: &VantageId) -> &Run {
        self.get(vantage)
            .expect("whoever indexes knows that it was run there")
    }
}

impl<'l> IntoIterator for &'l LastRuns {
    type Item = &'l Run;
    type IntoIter = std::slice::Iter<'l, Run>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use bellwether_model::CheckId;
    use bellwether_model::run::RunOutcome;

    use super::*;
    use crate::testing;

    #[test]
    fn the_newest_of_each_vantage_stands_in_order() {
        let mut last = LastRuns::default();
        for (sequence, vantage) in (1..).zip(["nyc", "fra", "nyc", "ams"]) {
            let check = CheckId::new("shop", "main");
            let mut run = testing::run(&check, sequence, Timestamp::UNIX_EPOCH, RunOutcome::Ok);
            run.vantage = VantageId::new(vantage);
            last.insert(run);
        }
        let kept = last.iter().map(|run| (run.vantage.as_str(), run.sequence));
        let kept: Vec<_> = kept.collect();
        assert_eq!(kept, [("ams", 4), ("fra", 2), ("nyc", 3)]);
        assert_eq!(last[&VantageId::new("nyc")].sequence, 3);
        assert!(last.get(&VantageId::new("sfo")).is_none());
    }
}
