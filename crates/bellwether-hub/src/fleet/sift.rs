//! What of a delivery is taken in, and what is not.
//!
//! An agent speaks for its own vantage, about checks that it was given, about times that can be. Its
//! clock is put right by what was measured; its words are ours, or they are left out. What is refused
//! is refused row by row: one wrong row holds up none of the others, and none of the other agents'.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use bellwether_diagnose::visit;
use bellwether_model::harvest::{Harvest, Own, Shown, Trace};
use bellwether_model::link::{Delivery, Thinned};
use bellwether_model::run::RunOutcome;
use bellwether_model::text::inert;
use bellwether_model::{CheckId, Layer, Run, VantageId};
use jiff::{SignedDuration, Timestamp};

use super::lexicon::Hour;

/// How far in the future a run may have begun.
const FUTURE_MAX: Duration = Duration::from_secs(5 * 60);
/// What was made by the agent so long ago was made just now: it was put together, and on its way.
const JUST_NOW: Duration = Duration::from_secs(30);
/// How long ago: a spool holds days, and what is older than a year is a clock that was never set.
const PAST_MAX: Duration = Duration::from_secs(366 * 86_400);
/// Longest label of a resolver that is kept, characters.
const LABEL_LEN_MAX: usize = 128;
/// Labels of resolvers of one agent; the store keeps each for good.
const LABELS_MAX: usize = 64;
/// Longest words of an agent about itself.
const WORDS_LEN_MAX: usize = 400;
/// Runs of one delivery whose records are judged for their evidence; the rows of further ones are kept
/// without. An outage of everything shows in the first as in the last.
const SHOWN_MAX: usize = 256;

/// Why something of a delivery is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// It speaks for another vantage.
    Vantage,
    /// It is about a check that this agent was never given.
    Check,
    /// It is of a time that cannot be.
    Time,
    /// It says what none of our code would.
    Unsound,
    /// It names more than its checks can see: the name is left out, and the row is taken.
    Word,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Vantage,
        Self::Check,
        Self::Time,
        Self::Unsound,
        Self::Word,
    ];

    /// In a word, for metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Vantage => "vantage",
            Self::Check => "check",
            Self::Time => "time",
            Self::Unsound => "unsound",
            Self::Word => "word",
        }
    }
}

/// What is known of the agent that delivers.
pub(crate) struct Of<'a> {
    /// Where it stands.
    pub(crate) vantage: &'a VantageId,
    /// The hub's time.
    pub(crate) now: Timestamp,
    /// By how much the hub's clock is ahead of its, as measured on this link, milliseconds: for what
    /// was made on this link, and for what was delivered without saying.
    pub(crate) offset_ms: Option<i64>,
    /// Was a check ever given to it?
    pub(crate) is_given: &'a dyn Fn(&CheckId) -> bool,
}

/// Labels of resolvers that an agent has used.
pub(crate) type Labels = BTreeSet<Arc<str>>;

/// What an agent may name.
pub(crate) struct Words<'a> {
    /// By which it named resolvers before.
    pub(crate) labels: &'a mut Labels,
    /// What else it named within the hour.
    pub(crate) hour: &'a mut Hour,
    left_out: u64,
}

impl<'a> Words<'a> {
    pub(crate) fn new(labels: &'a mut Labels, hour: &'a mut Hour) -> Self {
        Self {
            labels,
            hour,
            left_out: 0,
        }
    }

    fn takes(&mut self, word: &(impl Hash + ?Sized)) -> bool {
        let is_taken = self.hour.takes(word);
        self.left_out += u64::from(!is_taken);
        is_taken
    }
}

/// What of a delivery is taken in.
#[derive(Debug, Default)]
pub(crate) struct Sifted {
    /// In order.
    pub(crate) harvest: Vec<Harvest>,
    /// What is not, by reason.
    pub(crate) refused: [u64; Why::ALL.len()],
    /// The last check that it was never given.
    pub(crate) never_given: Option<CheckId>,
    /// Runs that the agent left out for want of room.
    pub(crate) thinned: Vec<Thinned>,
}

impl Sifted {
    /// Something is not taken in.
    fn refuse(&mut self, why: Why) {
        self.refused[why as usize] += 1;
    }

    /// How much is not taken in for a reason.
    pub(crate) fn refused_for(&self, why: Why) -> u64 {
        self.refused[why as usize]
    }
}

/// Takes apart what is taken in and what is not.
pub(crate) fn sift(delivery: Delivery, of: &Of<'_>, words: &mut Words<'_>) -> Sifted {
    let Delivery {
        boot: _,
        at,
        offset_ms,
        harvest,
        thinned,
    } = delivery;
    let offset = Offset::of(offset_ms_of(at, offset_ms, of));
    let mut sifted = Sifted::default();
    let mut shown = 0;
    for one in harvest {
        let check = check(&one).cloned();
        let one = match one {
            Harvest::Run(run) => row(run, of, offset, words).map(Harvest::Run),
            Harvest::Shown(one) if shown < SHOWN_MAX => {
                shown += 1;
                record(*one, of, offset, words)
            }
            Harvest::Shown(one) => row(one.run, of, offset, words).map(Harvest::Run),
            Harvest::Trace(one) => trace(*one, of, offset),
            Harvest::Own(one) => own(one, of).map(Harvest::Own),
        };
        match one {
            Ok(one) => sifted.harvest.push(one),
            Err(why) => {
                sifted.refuse(why);
                if why == Why::Check {
                    sifted.never_given = check;
                }
            }
        }
    }
    sifted.refused[Why::Word as usize] += words.left_out;
    let is_given = |thinned: &Thinned| (of.is_given)(&thinned.check);
    let (given, never): (Vec<_>, Vec<_>) = thinned.into_iter().partition(is_given);
    sifted.refused[Why::Check as usize] += u64::try_from(never.len()).unwrap_or(u64::MAX);
    let never = never.into_iter().next_back().map(|thinned| thinned.check);
    sifted.never_given = never.or(sifted.never_given);
    sifted.thinned = given;
    sifted
}

/// The check that something is about.
fn check(one: &Harvest) -> Option<&CheckId> {
    match one {
        Harvest::Run(run) => Some(&run.check),
        Harvest::Shown(shown) => Some(&shown.run.check),
        Harvest::Trace(trace) => Some(&trace.check),
        Harvest::Own(Own::CheckPoisoned { check, .. } | Own::CheckWell { check }) => Some(check),
        Harvest::Own(Own::Began | Own::WorkerReplaced { .. }) => None,
    }
}

/// By how much an agent's clock was off when it made a delivery.
///
/// What was made just now is of the clocks as they are: between two measurements either may have been set,
/// and so may the hub's own since a delivery went to the agent's disk.
fn offset_ms_of(at: Timestamp, told: Option<i64>, of: &Of<'_>) -> Option<i64> {
    let ahead = |millis: i64| {
        let at = at.checked_add(SignedDuration::from_millis(millis)).ok()?;
        Some(at.duration_since(of.now))
    };
    let is_now = |ahead: SignedDuration| ahead.unsigned_abs() <= JUST_NOW;
    let is_to_come = |ahead: SignedDuration| ahead > SignedDuration::ZERO && !is_now(ahead);
    let Some(measured) = of.offset_ms else {
        return told;
    };
    let by_link = ahead(measured).is_some_and(is_now);
    let told = told.filter(|told| !by_link && !ahead(*told).is_some_and(is_to_come));
    Some(told.unwrap_or(measured))
}

/// By how much an agent's clock is off.
#[derive(Clone, Copy, Debug)]
struct Offset {
    /// As it was measured, milliseconds, where it was.
    measured: Option<i32>,
    /// By how much its times are put right.
    by: SignedDuration,
}

impl Offset {
    fn of(millis: Option<i64>) -> Self {
        let measured = SignedDuration::from_millis(millis.unwrap_or_default());
        let is_kept = measured.unsigned_abs() <= Run::CLOCK_OFFSET_KEPT;
        let bounded = |millis: i64| i32::try_from(millis.clamp(i32::MIN.into(), i32::MAX.into()));
        Self {
            measured: millis.and_then(|millis| bounded(millis).ok()),
            by: if is_kept {
                SignedDuration::ZERO
            } else {
                measured
            },
        }
    }
}

/// A run as it is kept, on the hub's clock.
fn stamp(run: &mut Run, offset: Offset) -> Result<(), Why> {
    run.clock_offset_ms = offset.measured;
    // The grid of a series is of whole microseconds.
    run.due = run.due.checked_add(offset.by).map_err(|_| Why::Time)?;
    Ok(())
}

fn row(mut run: Run, of: &Of<'_>, offset: Offset, words: &mut Words<'_>) -> Result<Run, Why> {
    about(&run.check, run.vantage.as_str(), of)?;
    if !is_sound(&run) {
        return Err(Why::Unsound);
    }
    stamp(&mut run, offset)?;
    timely(run.began(), of.now)?;
    // Evidence is what the hub has, and says so.
    run.evidence = None;
    let label = run.resolver.take();
    let label = label.and_then(|label| kept_label(&label, words.labels));
    run.resolver = label.filter(|label| words.takes(&**label));
    run.address = run.address.filter(|address| words.takes(address));
    let certificate = (run.certificate, run.certificate_ends);
    if certificate != (None, None) && !words.takes(&certificate) {
        (run.certificate, run.certificate_ends) = (None, None);
    }
    // A word that is not known is of a program newer than this one, or of nobody's: the failure counts,
    // the word does not.
    run.symptom = run.symptom.filter(|word| visit::is_known(word));
    Ok(run)
}

fn record(
    shown: Shown,
    of: &Of<'_>,
    offset: Offset,
    words: &mut Words<'_>,
) -> Result<Harvest, Why> {
    let Shown {
        run,
        mut context,
        took_ms,
        queries,
        observations,
    } = shown;
    about(&run.check, &context.vantage, of)?;
    let run = row(run, of, offset, words)?;
    context.now = context.now.checked_add(offset.by).map_err(|_| Why::Time)?;
    timely(context.now, of.now)?;
    Ok(Harvest::Shown(Box::new(Shown {
        run,
        context,
        took_ms,
        queries,
        observations,
    })))
}

fn trace(mut trace: Trace, of: &Of<'_>, offset: Offset) -> Result<Harvest, Why> {
    about(&trace.check, &trace.context.vantage, of)?;
    trace.began = trace.began.checked_add(offset.by).map_err(|_| Why::Time)?;
    let now = trace.context.now.checked_add(offset.by);
    trace.context.now = now.map_err(|_| Why::Time)?;
    timely(trace.began, of.now)?;
    timely(trace.context.now, of.now)?;
    Ok(Harvest::Trace(Box::new(trace)))
}

fn own(own: Own, of: &Of<'_>) -> Result<Own, Why> {
    let given = |check: &CheckId| (of.is_given)(check).then_some(()).ok_or(Why::Check);
    Ok(match own {
        Own::Began => Own::Began,
        Own::WorkerReplaced { why, under_way } => Own::WorkerReplaced {
            why: inert(&why, WORDS_LEN_MAX),
            under_way,
        },
        Own::CheckPoisoned { check, why } => {
            given(&check)?;
            let why = inert(&why, WORDS_LEN_MAX);
            Own::CheckPoisoned { check, why }
        }
        Own::CheckWell { check } => {
            given(&check)?;
            Own::CheckWell { check }
        }
    })
}

fn about(check: &CheckId, vantage: &str, of: &Of<'_>) -> Result<(), Why> {
    if vantage != of.vantage.as_str() {
        return Err(Why::Vantage);
    }
    (of.is_given)(check).then_some(()).ok_or(Why::Check)
}

fn timely(at: Timestamp, now: Timestamp) -> Result<(), Why> {
    let since = now.duration_since(at);
    let is_timely = if since.is_negative() {
        since.unsigned_abs() <= FUTURE_MAX
    } else {
        since.unsigned_abs() <= PAST_MAX
    };
    is_timely.then_some(()).ok_or(Why::Time)
}

/// Could this row have been made by our own code?
fn is_sound(run: &Run) -> bool {
    match run.outcome {
        RunOutcome::Ok => run.layer.is_none() && run.symptom.is_none(),
        RunOutcome::NotRun => run.layer == Some(Layer::Monitor),
        RunOutcome::Wrong | RunOutcome::Failed => {
            run.layer.is_some_and(|layer| layer != Layer::Monitor)
        }
    }
}

/// A resolver's label as it is kept; none, where an agent makes up ever new ones.
fn kept_label(label: &str, labels: &mut Labels) -> Option<Arc<str>> {
    let label = inert(label, LABEL_LEN_MAX);
    if let Some(known) = labels.get(label.as_str()) {
        return Some(known.clone());
    }
    if labels.len() >= LABELS_MAX {
        return None;
    }
    let label: Arc<str> = label.into();
    labels.insert(label.clone());
    Some(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn check() -> CheckId {
        CheckId::new("shop", "main")
    }

    fn run(sequence: u64, due: Timestamp) -> Run {
        Run {
            vantage: VantageId::new("fra"),
            ..testing::run(&check(), sequence, due, RunOutcome::Failed)
        }
    }

    fn delivery(runs: Vec<Run>, offset_ms: Option<i64>) -> Delivery {
        Delivery {
            boot: 1,
            at: now(),
            offset_ms,
            harvest: runs.into_iter().map(Harvest::Run).collect(),
            thinned: Vec::new(),
        }
    }

    fn sifted(delivery: Delivery) -> Sifted {
        sifted_on(None, delivery)
    }

    /// On a link where so many milliseconds were measured.
    fn sifted_on(offset_ms: Option<i64>, delivery: Delivery) -> Sifted {
        let vantage = VantageId::new("fra");
        let of = Of {
            vantage: &vantage,
            now: now(),
            offset_ms,
            is_given: &|check| check.service() == "shop",
        };
        let (mut labels, mut hour) = (Labels::new(), Hour::default());
        hour.go_on(1, now());
        sift(delivery, &of, &mut Words::new(&mut labels, &mut hour))
    }

    fn runs(sifted: &Sifted) -> Vec<Run> {
        let all = sifted.harvest.iter();
        let runs = all.filter_map(|one| match one {
            Harvest::Run(run) => Some(run.clone()),
            Harvest::Shown(_) | Harvest::Trace(_) | Harvest::Own(_) => None,
        });
        runs.collect()
    }

    #[test]
    fn what_is_right_is_taken_as_it_is() {
        let given = vec![run(1, now()), run(2, now())];
        let sifted = sifted(delivery(given.clone(), Some(1_900)));
        let mut wanted = given;
        for run in &mut wanted {
            run.clock_offset_ms = Some(1_900);
        }
        assert_eq!(runs(&sifted), wanted);
        assert_eq!(sifted.refused, [0; Why::ALL.len()]);
    }

    #[test]
    fn hostile_a02_other_agents_id() {
        let forged = Run {
            vantage: VantageId::new("local"),
            ..run(1, now())
        };
        let sifted = sifted(delivery(vec![forged, run(2, now())], None));
        assert_eq!(runs(&sifted).len(), 1, "its own row is taken");
        assert_eq!(sifted.refused_for(Why::Vantage), 1);
    }

    #[test]
    fn hostile_a03_times_of_ten_years() {
        let years = Duration::from_secs(3_653 * 86_400);
        for (at, is_taken) in [
            (now() + years, false),
            (now() - years, false),
            (Timestamp::MIN, false),
            (Timestamp::MAX, false),
            (now() + Duration::from_secs(301), false),
            (now() + Duration::from_secs(290), true),
            (now() - Duration::from_secs(7 * 86_400), true),
        ] {
            let sifted = sifted(delivery(vec![run(1, at)], None));
            assert_eq!(runs(&sifted).len(), usize::from(is_taken), "{at}");
            assert_eq!(sifted.refused_for(Why::Time), u64::from(!is_taken), "{at}");
        }
    }

    #[test]
    fn hostile_a12_a_job_never_given() {
        let other = Run {
            check: CheckId::new("bank", "main"),
            ..run(1, now())
        };
        let poisoned = Own::CheckPoisoned {
            check: CheckId::new("bank", "main"),
            why: String::new(),
        };
        let mut delivery = delivery(vec![other], None);
        delivery.harvest.push(Harvest::Own(poisoned));
        let sifted = sifted(delivery);
        assert!(sifted.harvest.is_empty());
        assert_eq!(sifted.refused_for(Why::Check), 2);
        assert_eq!(sifted.never_given, Some(CheckId::new("bank", "main")));
    }

    #[test]
    fn hostile_a18_a_clock_that_is_off_is_put_right() {
        let hour = 3_600_000;
        let behind = now() - Duration::from_millis(3_600_000);
        let sifted_run = &runs(&sifted(delivery(vec![run(1, behind)], Some(hour))))[0];
        assert_eq!(sifted_run.due, now());
        for absurd in [i64::MIN, i64::MAX] {
            let sifted = sifted(delivery(vec![run(1, now())], Some(absurd)));
            assert_eq!(sifted.refused_for(Why::Time), 1);
        }
    }

    /// What is delivered says what was measured before a clock was set, its own or the hub's.
    #[test]
    fn p15_a_clock_that_was_set_is_put_right_by_what_is_measured_now() {
        let hour = 3_600_000;
        let minutes = |n: i64| SignedDuration::from_mins(n);
        let ago = |n| now().checked_sub(minutes(n)).unwrap();
        for (made, told, measured, wanted) in [
            (ago(-60), Some(0), Some(-hour), now()),
            (ago(60), Some(0), Some(hour), now()),
            (ago(60), None, Some(hour), now()),
            // It lay on the agent's disk while the hub's clock was set back.
            (ago(-50), Some(0), Some(-hour), ago(10)),
            // It lay there, and its clock was set afterwards.
            (ago(120), Some(0), Some(-hour), ago(120)),
            (ago(180), Some(hour), Some(0), ago(120)),
        ] {
            let delivery = Delivery {
                at: made,
                ..delivery(vec![run(1, made)], told)
            };
            let sifted = sifted_on(measured, delivery);
            assert_eq!(runs(&sifted)[0].due, wanted, "{made} {told:?} {measured:?}");
        }
    }

    #[test]
    fn words_are_ours_or_left_out() {
        let poisoned = Run {
            symptom: Some("http.\u{1b}[2Jstatus".into()),
            ..run(1, now())
        };
        let well = Run {
            outcome: RunOutcome::Ok,
            ..run(2, now())
        };
        // Well, with a layer that failed: nobody's.
        let other = sifted(delivery(vec![poisoned, well], None));
        assert_eq!(other.refused_for(Why::Unsound), 1);
        let taken = &runs(&other)[0];
        assert_eq!((taken.outcome, &taken.symptom), (RunOutcome::Failed, &None));
        let labelled = |n: usize| Run {
            resolver: Some(format!("\u{202e}{n}").into()),
            ..run(1, now())
        };
        let sifted = sifted(delivery((0..LABELS_MAX + 9).map(labelled).collect(), None));
        let labels: Labels = runs(&sifted)
            .into_iter()
            .filter_map(|run| run.resolver)
            .collect();
        assert_eq!(labels.len(), LABELS_MAX);
        assert!(labels.iter().all(|label| label.starts_with("\\u{202e}")));
        let words = sifted_words("\u{7}".repeat(10_000));
        assert!(words.chars().count() < 10 * WORDS_LEN_MAX && !words.contains('\u{7}'));
    }

    fn sifted_words(why: String) -> String {
        let mut delivery = delivery(Vec::new(), None);
        let own = Own::WorkerReplaced { why, under_way: 1 };
        delivery.harvest.push(Harvest::Own(own));
        match sifted(delivery).harvest.pop() {
            Some(Harvest::Own(Own::WorkerReplaced { why, .. })) => why,
            other => panic!("{other:?}"),
        }
    }
}
