//! What agents say of themselves.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bellwether_agent::Own;
use bellwether_model::{CheckId, Report, VantageId};
use jiff::Timestamp;

use super::{Judge, Judged};
use crate::freshness;

impl Judge {
    pub(super) fn own(&mut self, own: &Own, vantage: &VantageId, now: Timestamp) {
        match own {
            Own::WorkerReplaced { why, under_way } => {
                if vantage.as_str() == VantageId::LOCAL {
                    let figures = &self.shared.figures;
                    figures.workers_replaced.fetch_add(1, Ordering::Relaxed);
                }
                tracing::warn!(
                    %vantage,
                    why,
                    under_way,
                    "a worker was replaced; what it had under way is repeated"
                );
            }
            Own::CheckPoisoned { check, why } => {
                let why = &self.shared.configured.load().config.scrub(why);
                tracing::error!(%check, why, "the probes of this check bring down their worker; it is asked apart from now on");
                self.poison(check, vantage, Some(why.clone()), now);
                self.poisoned(check, vantage, why, now);
            }
            Own::Began => {
                self.parts.all_changed();
                self.shared.board_mut(|board| board.unpoison(vantage));
            }
            Own::CheckWell { check } => {
                tracing::info!(%check, "the probes of this check leave their worker alone again");
                self.poison(check, vantage, None, now);
            }
        }
    }

    fn poison(
        &mut self,
        check: &CheckId,
        vantage: &VantageId,
        why: Option<String>,
        now: Timestamp,
    ) {
        self.parts.changed(check);
        self.shared.board_mut(|board| {
            if let Some(state) = board.checks.get_mut(check) {
                state.at(vantage, |place| place.poisoned = why);
                board.combine(check, now);
            }
        });
    }

    /// A check that brings down workers is an incident of ours, named at once.
    fn poisoned(&mut self, check: &CheckId, vantage: &VantageId, why: &str, now: Timestamp) {
        let report = freshness::poisoned(check, vantage, why, self.shared.version, now);
        let mut judged = Judged::default();
        self.ourselves(check, vantage, report, &mut judged, now);
        self.settle(judged, now);
    }

    /// What is wrong with ourselves is judged like a trace; it is certain, so that it stands for the
    /// second look too, which has to be a later one.
    pub(super) fn ourselves(
        &mut self,
        check: &CheckId,
        vantage: &VantageId,
        mut report: Report,
        judged: &mut Judged,
        now: Timestamp,
    ) {
        self.judge(check, vantage, &report, judged, now);
        report.began += Duration::from_micros(1);
        self.judge(check, vantage, &report, judged, now);
    }
}
