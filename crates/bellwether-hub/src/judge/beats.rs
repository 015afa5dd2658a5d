//! Heartbeats as incidents: one that is missed or failed is a trouble like others, and its next success
//! ends it.

use std::time::Duration;

use bellwether_model::{CheckId, Report, Verdict};
use jiff::{SignedDuration, Timestamp};

use super::{Judge, Judged, local};
use crate::api::redact;
use crate::beats::Brief;

/// What stays broken in the same way is taken in again so often: incidents of which nothing is seen any
/// more say so.
const AGAIN_EVERY: SignedDuration = SignedDuration::from_secs(300);
/// What is well again is taken in so often until its incident is over.
const WELL_EVERY: SignedDuration = SignedDuration::from_secs(5);
/// Two reports of one heartbeat differ by so much at least.
const APART: Duration = Duration::from_micros(1);

/// What of a heartbeat was last taken into the book.
pub(super) struct Fed {
    at: Timestamp,
    what: What,
    /// Its successes by then.
    successes: u64,
}

/// What is told of a heartbeat.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Well,
    Trouble {
        missed: Option<Timestamp>,
        failed: Option<Timestamp>,
    },
}

impl Judge {
    /// Looks at all heartbeats: what changed goes into the book.
    pub(super) fn watch_heartbeats(&mut self, now: Timestamp) {
        let mut judged = Judged::default();
        for brief in self.shared.beats.briefs(now) {
            self.watch_heartbeat(&brief, &mut judged, now);
        }
        self.settle(judged, now);
    }

    fn watch_heartbeat(&mut self, brief: &Brief, judged: &mut Judged, now: Timestamp) {
        let state = &brief.state;
        let check = CheckId::heartbeat(&brief.name);
        let what = match state.verdict {
            // We could not hear it, or never did: nothing follows from that.
            Verdict::Unknown => return,
            Verdict::Healthy => What::Well,
            Verdict::Degraded | Verdict::Broken => What::Trouble {
                missed: state.due.filter(|_| state.missed),
                failed: brief.ended.filter(|_| state.failed),
            },
        };
        let last = self.book.last_trace(&check, &local());
        let is_held = !self.book.of_check(&check).is_empty();
        let fed = self.beats.get(&brief.name);
        // After a restart times must tell; else clocks that are set have no say.
        let newest = brief.last_success.filter(|success| match fed {
            Some(fed) => brief.successes != fed.successes,
            None => last.is_none_or(|last| *success > last),
        });
        let is_since = |every| fed.is_none_or(|fed| now.duration_since(fed.at) >= every);
        let began = match what {
            What::Trouble { .. } if !is_held => state.since.unwrap_or(now),
            What::Trouble { .. } => {
                let is_same = fed.is_some_and(|fed| fed.what == what);
                if is_same && !is_since(AGAIN_EVERY) {
                    return;
                }
                now
            }
            What::Well if !self.book.concerns(&check) => {
                self.beats.remove(&brief.name);
                return;
            }
            // It is over by a success, and by nothing else: not by a time that was put off.
            What::Well if is_held => match newest {
                Some(success) => success,
                None => return,
            },
            What::Well if is_since(WELL_EVERY) => now,
            What::Well => return,
        };
        let Some(mut report) = self.report_of_heartbeat(&brief.name, now) else {
            return;
        };
        report.began = last.map_or(began, |last| began.max(last + APART));
        // What opens or ends one is certain: it stands for the second look too.
        if is_held == (what == What::Well) {
            self.ourselves(&check, &local(), report, judged, now);
        } else {
            self.judge(&check, &local(), &report, judged, now);
        }
        let successes = brief.successes;
        let fed = Fed {
            at: now,
            what,
            successes,
        };
        self.beats.insert(brief.name.clone(), fed);
    }

    /// The report of a heartbeat, without secrets: what a job says may hold some.
    fn report_of_heartbeat(&self, name: &str, now: Timestamp) -> Option<Report> {
        let report = self.shared.beats.report(name, self.shared.version, now)?;
        let configured = self.shared.configured.load();
        Some(redact::report(&configured.config, report))
    }
}
