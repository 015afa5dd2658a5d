//! One check: what is known of it from run to run.

use std::collections::VecDeque;
use std::sync::Arc;

use bellwether_model::dns::ResolverOrigin;
use bellwether_model::job::{CheckAsk, ResolverAsk};
use bellwether_model::run::RunOutcome;
use bellwether_model::{Brief, Digest, Layer};

use crate::clock::{Micros, micros};
use crate::{PlannedCheck, TraceWhy, wheel};

/// Shortest interval: below it a service is tested, not watched.
const EVERY_MIN: Micros = 1_000_000;
/// Different values of a thing that count as known: a service on many addresses, behind resolvers
/// that each give other ones, shows some of them in turn.
const KNOWN_MAX: usize = 32;

/// Looks that a worker is told to be usual: those of a service whose answers take turns.
const USUAL_MAX: usize = 4;

/// While runs fail in the same way, or show new things, the records of one are handed on this often.
const SHOWN_EVERY: Micros = 600_000_000;
/// Records of two runs that fail in different ways are handed on no sooner one after the other: a
/// service that fails in ten ways by turns does not fill the disk.
const SHOWN_GAP: Micros = 60_000_000;

/// Salts of a check's grids.
const SALT_RUN: u8 = 0;
const SALT_DEEP: u8 = 1;
const SALT_FIRST: u8 = 2;

pub(super) struct Check {
    pub(super) planned: PlannedCheck,
    pub(super) host: Arc<str>,
    pub(super) every: Micros,
    pub(super) phase: Micros,
    pub(super) deep: Micros,
    pub(super) deep_phase: Micros,
    /// Changes when its timers are set anew: older ones no longer count.
    pub(super) grid: u32,
    /// Which check in this place it is: orders of a former one no longer concern it.
    pub(super) birth: u32,
    /// When the next run is due.
    pub(super) due: Micros,
    /// The scheduled run that waits or is under way.
    pub(super) run: Option<u64>,
    /// Which resolver and address are next.
    pub(super) turn: u32,
    /// Runs judged, as far as counting goes.
    pub(super) judged: u32,
    /// Was the last judged run other than ok?
    pub(super) bad: Option<bool>,
    /// The last run whose records were handed on.
    shown: Option<LastShown>,
    pub(super) burst: Option<Burst>,
    /// The run that somebody elsewhere asked for last.
    pub(super) asked: Option<u64>,
    pub(super) known: Known,
    /// Resolvers that the privacy rule kept the last trace from asking.
    pub(super) private: Vec<String>,
    /// Was there a trace that tells which those are?
    pub(super) is_traced: bool,
    pub(super) trace: Tracing,
    /// The cadence at which somebody follows it, and since which request.
    pub(super) follow: Option<(Micros, u32)>,
    /// Runs bring down workers: not before then, and apart.
    pub(super) poison: Option<Micros>,
}

/// Runs in quick succession that confirm an unexpected result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burst {
    /// Runs still to be made.
    pub(super) left: u8,
    /// Runs that were ok.
    pub(super) ok: u8,
    /// The turn of the run to be confirmed.
    pub(super) turn: u32,
}

/// A check's traces.
#[derive(Debug)]
pub(super) struct Tracing {
    /// One is wanted, and this is why.
    pub(super) wanted: Option<TraceWhy>,
    /// It stands in a queue.
    pub(super) is_queued: bool,
    pub(super) order: Option<u64>,
    pub(super) began: Option<Micros>,
    /// When the last one after a failure was wanted.
    pub(super) failure: Option<Micros>,
    /// The wait before a failure that goes on is worth the next one: longer each time.
    pub(super) failure_gap: Micros,
    /// The same after a change.
    pub(super) change: Option<Micros>,
    /// How long to wait between those: longer with each that nothing came between.
    pub(super) change_gap: Micros,
    /// Traces bring down workers: not before then, and apart.
    pub(super) poison: Option<Micros>,
}

/// What runs have shown lately.
#[derive(Debug, Default)]
pub(super) struct Known {
    certificates: VecDeque<Digest>,
    answers: VecDeque<u64>,
    owners: VecDeque<u64>,
    class: Option<u16>,
    /// The looks of the newest runs that went well, each once; 0 for none.
    usual: [u64; USUAL_MAX],
}

/// A run whose records were handed on.
#[derive(Clone, Debug)]
struct LastShown {
    at: Micros,
    outcome: RunOutcome,
    layer: Option<Layer>,
    symptom: Option<Arc<str>>,
    status: Option<u16>,
    /// All of it.
    look: u64,
}

impl Check {
    /// Are the records of this run worth keeping? Those of the first that fails, of one that fails
    /// in another way than the last one kept, of one that shows something new, and now and then of
    /// what stays broken.
    pub(super) fn is_worth_showing(
        &mut self,
        judged: &Brief,
        is_first_bad: bool,
        is_new: bool,
        has_records: bool,
        now: Micros,
    ) -> bool {
        let is_bad = matches!(judged.outcome, RunOutcome::Wrong | RunOutcome::Failed);
        if !is_bad && !is_new {
            return false;
        }
        if let Some(last) = &self.shown {
            let is_alike = !is_first_bad
                && last.outcome == judged.outcome
                && last.layer == judged.layer
                && last.symptom == judged.symptom
                && (!is_bad || last.status == judged.status);
            let gap = if is_alike { SHOWN_EVERY } else { SHOWN_GAP };
            // What failed is shown though something new was shown just before.
            let is_due = now.saturating_sub(last.at) >= gap;
            let is_turn = is_bad && last.outcome == RunOutcome::Ok;
            if !is_due && !is_turn {
                return false;
            }
        }
        if !has_records {
            self.missed_records();
            return false;
        }
        self.shown = Some(LastShown {
            at: now,
            outcome: judged.outcome,
            layer: judged.layer,
            symptom: judged.symptom.clone(),
            status: judged.status,
            look: judged.look(),
        });
        true
    }

    /// [Looks](Brief::look) whose records are not worth showing, as things are: those of runs that
    /// went well, and that of a failure that was shown.
    pub(super) fn usual(&self, now: Micros) -> Vec<u64> {
        let shown = self.shown.as_ref().filter(|last| {
            let is_due = now.saturating_sub(last.at) >= SHOWN_EVERY;
            self.bad == Some(true) && !is_due
        });
        let all = self.known.usual.into_iter();
        let all = all.chain(shown.map(|last| last.look));
        all.filter(|look| *look != 0).collect()
    }

    /// Records that would have been shown did not come: the next ones are to.
    fn missed_records(&mut self) {
        self.known.usual = [0; USUAL_MAX];
        // Neither its look nor its time may keep them back.
        self.shown = None;
    }

    pub(super) fn new(planned: PlannedCheck, birth: u32) -> Self {
        let host = planned.ask.target.host_text().into();
        let turn = wheel::hash(planned.id.as_str(), SALT_FIRST) >> 40;
        let mut check = Self {
            planned,
            host,
            every: 0,
            phase: 0,
            deep: 0,
            deep_phase: 0,
            grid: 0,
            birth,
            due: 0,
            run: None,
            turn: u32::try_from(turn).unwrap_or(0),
            judged: 0,
            bad: None,
            shown: None,
            burst: None,
            asked: None,
            known: Known::default(),
            private: Vec::new(),
            is_traced: false,
            trace: Tracing {
                wanted: None,
                is_queued: false,
                order: None,
                began: None,
                failure: None,
                failure_gap: 0,
                change: None,
                change_gap: 0,
                poison: None,
            },
            follow: None,
            poison: None,
        };
        check.lay_grids();
        check
    }

    /// Where its runs and traces lie.
    fn lay_grids(&mut self) {
        let name = self.planned.id.as_str();
        self.every = micros(self.planned.every).max(EVERY_MIN);
        self.phase = wheel::phase(name, SALT_RUN, self.every);
        self.deep = micros(self.planned.deep_every).max(self.every);
        self.deep_phase = wheel::phase(name, SALT_DEEP, self.deep);
    }

    /// Goes by a new plan from now on. Does it run at other times than before?
    pub(super) fn replan(&mut self, mut planned: PlannedCheck) -> bool {
        let is_same =
            Arc::ptr_eq(&planned.ask, &self.planned.ask) || planned.ask == self.planned.ask;
        if is_same {
            planned.baseline = planned.baseline.or_else(|| self.planned.baseline.take());
        } else {
            // What it asks is another thing: nothing that was learnt holds for it.
            let Self {
                birth,
                turn,
                due,
                grid,
                run,
                follow,
                ..
            } = *self;
            let trace_order = self.trace.order;
            *self = Self {
                turn,
                due,
                grid,
                run,
                follow,
                ..Self::new(planned.clone(), birth)
            };
            self.trace.order = trace_order;
        }
        let moves =
            planned.every != self.planned.every || planned.deep_every != self.planned.deep_every;
        self.planned = planned;
        self.lay_grids();
        moves
    }

    /// When the first trace is due: the checks of a small plan have theirs within `soon`, since
    /// somebody may be looking on, those of a large one (`None`) spread over the time between traces.
    pub(super) fn first_trace(&self, now: Micros, soon: Option<Micros>) -> Micros {
        let spread = match soon {
            Some(soon) => self.deep.min(self.every + self.every / 2).min(soon),
            None => self.deep,
        };
        now + wheel::phase(self.planned.id.as_str(), SALT_FIRST, spread)
    }

    /// When the next one is due, after one at `now`.
    pub(super) fn next_trace(&self, now: Micros) -> Micros {
        wheel::next(now + self.deep / 2, self.deep, self.deep_phase)
    }

    /// The resolvers that may be asked for it, by their place.
    pub(super) fn resolvers(&self, all: &[ResolverAsk]) -> Vec<u32> {
        let may = |resolver: &ResolverAsk| match resolver.origin {
            ResolverOrigin::Given | ResolverOrigin::System => true,
            // Not before it is known that the name is none of the house's own.
            ResolverOrigin::Default => self.is_traced,
        };
        (0_u32..)
            .zip(all)
            .filter(|(_, resolver)| may(resolver) && !self.private.contains(&resolver.label))
            .map(|(at, _)| at)
            .collect()
    }

    /// At most so often is a check traced for failing, or for what changes.
    pub(super) fn gap(&self) -> Micros {
        self.every.max(super::FAILURE_GAP_MIN)
    }
}

/// Which resolver is asked in this turn, and which of the addresses found is gone to: both in turn, and
/// each with each.
pub(super) fn rotation(turn: u32, resolvers: &[u32]) -> (Option<u32>, u32) {
    let Ok(len @ 1..) = u32::try_from(resolvers.len()) else {
        return (None, turn);
    };
    let at = turn % len;
    (
        resolvers.get(at as usize).copied(),
        (turn / len).wrapping_add(at),
    )
}

/// Whether it aims at a name, which takes a resolver.
pub(super) fn is_named(ask: &CheckAsk) -> bool {
    ask.target.name().is_some()
}

impl Known {
    /// Takes in what a run has shown. Is some of it new?
    pub(super) fn learn(&mut self, judged: &Brief) -> bool {
        let mut is_new = false;
        if let Some(certificate) = judged.certificate {
            is_new |= learn(&mut self.certificates, certificate);
        }
        if let Some(answers) = judged.answers {
            is_new |= learn(&mut self.answers, answers);
        }
        if let Some(owners) = judged.owners {
            is_new |= learn(&mut self.owners, owners);
        }
        let class = judged.status.map(|status| status / 100);
        if judged.outcome != RunOutcome::NotRun && class.is_some() {
            let is_other = self.class.is_some() && self.class != class;
            is_new |= is_other;
            self.class = class;
            if is_other {
                // What was usual would be new again.
                self.usual = [0; USUAL_MAX];
            }
        }
        if judged.outcome == RunOutcome::Ok {
            self.take_for_usual(judged.look());
        }
        is_new
    }

    /// The newest stands first.
    fn take_for_usual(&mut self, look: u64) {
        let found = self.usual.iter().position(|known| *known == look);
        self.usual[..=found.unwrap_or(USUAL_MAX - 1)].rotate_right(1);
        self.usual[0] = look;
    }
}

/// The newest stands last. The first of its kind is no news.
fn learn<T: PartialEq>(known: &mut VecDeque<T>, value: T) -> bool {
    let is_first = known.is_empty();
    let found = known.iter().position(|other| *other == value);
    if let Some(at) = found {
        known.remove(at);
    }
    known.push_back(value);
    if known.len() > KNOWN_MAX {
        known.pop_front();
    }
    found.is_none() && !is_first
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_resolver_meets_each_address_and_both_families() {
        for (resolvers, addresses) in [(1_u32, 2_u32), (2, 2), (2, 3), (3, 2), (4, 4), (3, 6)] {
            let all: Vec<u32> = (0..resolvers).collect();
            let met: BTreeSet<(u32, u32)> = (0..resolvers * addresses * 2)
                .map(|turn| rotation(turn, &all))
                .map(|(resolver, turn)| (resolver.unwrap(), turn % addresses))
                .collect();
            assert_eq!(
                met.len() as u32,
                resolvers * addresses,
                "{resolvers} x {addresses}"
            );
        }
        assert_eq!(rotation(7, &[]), (None, 7));
    }

    #[test]
    fn after_records_that_were_missed_the_next_ones_are_shown() {
        let mut check = Check::new(crate::testing::planned(0, 60), 0);
        let failed = Brief {
            outcome: RunOutcome::Failed,
            layer: Some(Layer::Net),
            ..Brief::unknown("tcp.refused".into())
        };
        let mut is_shown = |is_first, has_records, seconds: u64| {
            let now = seconds * 1_000_000;
            check.is_worth_showing(&failed, is_first, false, has_records, now)
        };
        assert!(is_shown(true, true, 0));
        // It went well in between, and fails again.
        assert!(!is_shown(true, false, 120));
        assert!(is_shown(false, true, 180));
        assert!(!is_shown(false, true, 240));
    }
}
