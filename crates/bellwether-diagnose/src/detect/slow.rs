//! Slow or not: the same statistic on latencies, by their logarithm.
//!
//! Two sums for each vantage. `shift` adds how far each result lies above the median in robust
//! deviations; it finds what is slower for everybody. `tail` counts results above 1.25 times the
//! usual 95th percentile; it finds what is slow for some. What the vantage's other targets lose too, by
//! their median, is its path's and is taken off first.

use bellwether_model::run::Phases;
use serde::{Deserialize, Serialize};

use super::cusum::{self, Crossing, FAILING, Milli, NAT};
use super::heard::VantageMeta;
use super::signal::{Channel, Grade, Signal, SlowAlarm, SlowEnd};
use super::small::{Few, Maybe};
use super::{DAY, MINUTE, Micros, Now, Watch, stamp};

/// Where `shift` alarms.
pub(super) const SHIFT_THRESHOLD: Milli = 18 * NAT;

/// Where `tail` alarms.
pub(super) const TAIL_THRESHOLD: Milli = 15_800;

/// What `shift` takes off each deviation: a shift of half a deviation more is never noticed.
const SHIFT_DRIFT: f64 = 1.5;

/// Deviations beyond this count as this much.
const DEVIATION_MAX: f64 = 3.0;

/// Share of results above 1.25 times the 95th percentile: what is usual, and what is not.
const TAIL_SHARES: (f64, f64) = (0.05, 0.6);

/// Above the 95th percentile times this a result is one of the tail.
const TAIL_FACTOR: f32 = 1.25;

/// Results that an estimate of what is usual needs.
const SAMPLES_MIN: usize = 100;

/// Room for so many is made at once: doubled each time it would be for more than are ever kept.
const SAMPLES_AT_ONCE: usize = 25;

/// Slower by less than this is not felt, whatever the ratio.
const EXCESS_MIN_US: f32 = 10_000.0;

/// The deviation is at least 2 %: what hardly ever varies is not slow when it varies a little.
const SPREAD_MIN: f32 = 0.02;

/// The 95th percentile of a normal distribution, in deviations.
const NORMAL_P95: f32 = 1.645;

/// Median now by median before that is worth telling. A notice begins at 1.5; the median of a few
/// results of such a shift lies a little below as often as above.
const RATIO_MIN: f64 = 1.3;

/// Share of the tail that is worth telling though the median stays.
const SHARE_MIN: f64 = 0.2;

/// Grades begin here.
const RATIO_WARNING: f64 = 3.0;
const RATIO_INCIDENT: f64 = 10.0;

/// Latest results that are kept for the ratio.
const RECENT: usize = 8;

/// Above this share of slow canaries it is the vantage's path.
const PATH_SLOW: f64 = 0.25;

/// The end is told when it has held this long.
const HOLD: Micros = 10 * MINUTE;

/// How far one result moves the estimate of the median: slow enough not to follow an outage of an
/// hour, fast enough to follow a day.
const FOLLOW: f32 = 0.004;

/// How far one result moves the estimate of a phase.
const FOLLOW_PHASE: f32 = 0.01;

/// What is usual for a check at a vantage at a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The logarithm of the median, of microseconds.
    pub ln_median: f32,
    /// 1.4826 times the median absolute deviation of the logarithm.
    pub ln_spread: f32,
    /// The logarithm of the 95th percentile.
    pub ln_p95: f32,
}

impl Profile {
    /// From percentiles in microseconds: the 25th, 50th, 75th and 95th; `None` where they are no
    /// percentiles.
    #[must_use]
    pub fn of_percentiles(p25: f64, p50: f64, p75: f64, p95: f64) -> Option<Self> {
        let sorted = 0.0 < p25 && p25 <= p50 && p50 <= p75 && p75 <= p95 && p95.is_finite();
        // Half the quartiles' distance is the median deviation of anything symmetric.
        let mad = (p75.ln() - p25.ln()) / 2.0;
        sorted.then_some(Self {
            ln_median: single(p50.ln()),
            ln_spread: single(1.4826 * mad),
            ln_p95: single(p95.ln()),
        })
    }

    /// From at least one sample of logarithms.
    fn of_samples(samples: &mut [f32]) -> Self {
        samples.sort_by(f32::total_cmp);
        let at = |sorted: &[f32], share: usize| sorted[(sorted.len() - 1) * share / 100];
        let (ln_median, ln_p95) = (at(samples, 50), at(samples, 95));
        let mut away: Vec<f32> = samples.iter().map(|x| (x - ln_median).abs()).collect();
        away.sort_by(f32::total_cmp);
        Self {
            ln_median,
            ln_spread: 1.4826 * at(&away, 50),
            ln_p95,
        }
    }

    fn deviation(&self, ln: f32) -> f64 {
        // Where some are much slower by custom (a cache that misses), half the results say nothing of
        // how far the others lie.
        let tail = (self.ln_p95 - self.ln_median) / NORMAL_P95;
        let spread = self.ln_spread.max(tail).max(SPREAD_MIN);
        f64::from((ln - self.ln_median) / spread).clamp(-DEVIATION_MAX, DEVIATION_MAX)
    }

    /// Is it slower by what is felt?
    fn felt(&self, ln: f32) -> bool {
        ln.exp() - self.ln_median.exp() >= EXCESS_MIN_US
    }

    fn exceeded(&self, ln: f32) -> bool {
        ln > self.ln_p95 + TAIL_FACTOR.ln() && self.felt(ln)
    }

    /// Follows what is heard, a small step each time, so that no single result moves it far.
    fn follow(&mut self, ln: f32) {
        let away = (ln - self.ln_median).abs();
        self.ln_median += FOLLOW * (ln - self.ln_median).signum();
        let spread = self.ln_spread / 1.4826;
        self.ln_spread = 1.4826 * (spread + FOLLOW / 4.0 * (away - spread).signum()).max(0.001);
        self.ln_p95 += FOLLOW * if ln > self.ln_p95 { 0.95 } else { -0.05 };
    }
}

/// How fast a check is at a vantage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pace {
    usual: Option<Profile>,
    /// The profile comes from the store, which follows the time of day.
    given: bool,
    /// Logarithms, until there are enough for an estimate.
    samples: Few,
    shift: Milli,
    tail: Milli,
    since: Micros,
    /// Logarithms over the usual median, newest last; kept while there is a suspicion.
    recent: Few,
    /// How many of them are of the present suspicion.
    fresh: u8,
    /// Logarithms of what each phase usually takes.
    phases: [Maybe; 5],
    /// What each phase takes lately, microseconds.
    lately: [Maybe; 5],
}

/// Slowness that did not end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct OpenSlow {
    since: Micros,
    grade: u8,
    quiet: Option<Micros>,
}

impl OpenSlow {
    pub(super) fn clock_set_back(&mut self, now: Micros) {
        self.since = self.since.min(now);
        self.quiet = self.quiet.map(|at| at.min(now));
    }
}

impl Pace {
    pub(super) fn clock_set_back(&mut self, now: Micros) {
        self.since = self.since.min(now);
    }

    pub(super) fn is_suspicious(&self) -> bool {
        self.shift > 0 || self.tail > 0
    }

    fn forget(&mut self) {
        *self = Self {
            lately: self.lately,
            ..Self::default()
        };
    }

    /// Takes in a latency; `still` while what is usual is not to be learned.
    fn hear(&mut self, ln: f32, step: Now, most: (Milli, Milli), still: bool) {
        let Some(usual) = &mut self.usual else {
            let samples = self.samples.made();
            if samples.len() == samples.capacity() {
                samples.reserve_exact(SAMPLES_AT_ONCE);
            }
            samples.push(ln);
            if self.samples.len() >= SAMPLES_MIN {
                self.usual = Some(Profile::of_samples(&mut self.samples));
                self.samples = Few::default();
            }
            return;
        };
        // What the vantage's other targets lose as well is its path's.
        let own = ln - step.excuse.over;
        let mut shift = cusum::milli(usual.deviation(own) - SHIFT_DRIFT);
        if shift > 0 && (step.excuse.slow > PATH_SLOW || !usual.felt(own)) {
            shift = 0;
        }
        let q0 = step.excuse.slow.clamp(TAIL_SHARES.0, 0.97);
        let q1 = (q0 + 0.02).clamp(TAIL_SHARES.1, 0.99);
        let tail = cusum::milli(cusum::likelihood(q0, q1, usual.exceeded(own)));
        let (was_shift, was_tail) = (self.shift, self.tail);
        self.shift = cusum::add(self.shift, shift, most.0);
        self.tail = cusum::add(self.tail, tail, most.1);
        if was_shift == 0 && was_tail == 0 {
            self.since = step.at;
            self.fresh = 0;
        }
        if self.shift > 0 || self.tail > 0 {
            let recent = self.recent.made();
            if recent.len() == RECENT {
                recent.remove(0);
            }
            recent.push(own - usual.ln_median);
            self.fresh = (self.fresh + 1).min(8);
        } else {
            // Nearly always.
            self.recent = Few::default();
            self.fresh = 0;
        }
        if !still && !self.given {
            usual.follow(ln);
        }
    }

    fn hear_phases(&mut self, phases: Phases, still: bool) {
        for (i, us) in phases.all().into_iter().enumerate() {
            let Some(us) = us else { continue };
            #[expect(
                clippy::cast_precision_loss,
                reason = "seven digits of a latency are plenty"
            )]
            let us = (us as f32).max(1.0);
            let lately = self.lately[i].get().unwrap_or(us);
            self.lately[i].set(lately + 0.4 * (us - lately));
            let usual = self.phases[i].get().unwrap_or_else(|| us.ln());
            if !still {
                let moved = FOLLOW_PHASE * (us.ln() - usual).signum();
                self.phases[i].set(usual + moved);
            } else {
                self.phases[i].set(usual);
            }
        }
    }
}

impl Watch {
    /// Is a latency one of the tail there?
    pub(super) fn exceeds(&self, vantage: usize, total_us: u64) -> bool {
        self.places[vantage]
            .pace
            .as_ref()
            .and_then(|pace| pace.usual)
            .is_some_and(|usual| usual.exceeded(ln(total_us)))
    }

    /// The logarithm of how much slower than usual a latency is there, where that is known.
    pub(super) fn over(&self, vantage: usize, total_us: u64) -> Option<f32> {
        let usual = self.places[vantage].pace.as_ref()?.usual?;
        Some(ln(total_us) - usual.ln_median)
    }

    /// Is a latency evidence of a shift there, if it is not the path's?
    pub(super) fn lags(&self, vantage: usize, total_us: u64) -> bool {
        let usual = self.places[vantage]
            .pace
            .as_ref()
            .and_then(|pace| pace.usual);
        usual.is_some_and(|usual| {
            let ln = ln(total_us);
            usual.deviation(ln) > SHIFT_DRIFT && usual.felt(ln)
        })
    }

    /// Sets what is usual there.
    pub(super) fn set_profile(&mut self, vantage: usize, profile: Profile) {
        if self.state.slow.is_some() {
            // What is slow now is not to become usual by the back door.
            return;
        }
        let pace = self.places[vantage].pace.get_or_insert_default();
        pace.usual = Some(profile);
        pace.given = true;
        pace.samples = Few::default();
    }

    /// Takes in how long a user waited.
    pub(super) fn pace(
        &mut self,
        step: Now,
        total_us: u64,
        phases: Phases,
        last: impl Fn(usize) -> Micros + Copy,
        vantages: &[VantageMeta],
        signals: &mut Vec<Signal>,
    ) {
        let still = self.state.slow.is_some() || self.state.open.is_some();
        let live = self.plan.live(&self.state, step.now, last);
        let most = (self.plan.shift[live].clamp, self.plan.tail[live].clamp);
        let pace = self.places[step.vantage].pace.get_or_insert_default();
        let was = pace.is_suspicious();
        pace.hear(ln(total_us), step, most, still);
        let suspicious = was || pace.is_suspicious();
        pace.hear_phases(phases, still || suspicious);
        if self.state.slow.is_some() {
            self.easing(step, last, vantages, signals, live);
            return;
        }
        if !suspicious || self.state.open.is_some() {
            return;
        }
        if let Some(slow) = self.slowness(step, live, last, vantages) {
            self.state.slow = Some(Box::new(OpenSlow {
                since: slow.since.as_microsecond(),
                grade: slow.grade as u8,
                quiet: None,
            }));
            signals.push(Signal::SlowAlarm(slow));
        }
    }

    /// Follows slowness: does it get worse, end, become normal?
    fn easing(
        &mut self,
        step: Now,
        last: impl Fn(usize) -> Micros + Copy,
        vantages: &[VantageMeta],
        signals: &mut Vec<Signal>,
        live: usize,
    ) {
        let Some(mut open) = self.state.slow.as_deref().copied() else {
            return;
        };
        let end = |why| Signal::SlowClear {
            check: self.id.clone(),
            at: stamp(step.at),
            why,
        };
        if self.state.open.is_some() {
            signals.push(end(SlowEnd::Broken));
            self.state.slow = None;
            return;
        }
        if step.now - open.since >= DAY {
            signals.push(end(SlowEnd::NewNormal));
            self.state.slow = None;
            let paces = self.places.iter_mut().filter_map(|p| p.pace.as_mut());
            paces.for_each(|pace| pace.forget());
            return;
        }
        let most = |pace: &Pace| pace.shift.max(pace.tail);
        let sum: Milli = self
            .places
            .iter()
            .filter_map(|p| p.pace.as_deref())
            .map(most)
            .sum();
        open.quiet = (sum < FAILING).then(|| open.quiet.unwrap_or(step.now));
        if open.quiet.is_some_and(|quiet| step.now - quiet >= HOLD) {
            signals.push(end(SlowEnd::Recovered));
            self.state.slow = None;
            return;
        }
        if let Some(slow) = self.slowness(step, live, last, vantages)
            && slow.grade as u8 > open.grade
        {
            open.grade = slow.grade as u8;
            signals.push(Signal::SlowAlarm(slow));
        }
        self.state.slow = Some(Box::new(open));
    }

    /// What there is to tell, if the evidence crosses and the difference is worth it.
    fn slowness(
        &self,
        step: Now,
        live: usize,
        last: impl Fn(usize) -> Micros + Copy,
        vantages: &[VantageMeta],
    ) -> Option<SlowAlarm> {
        let plan = &self.plan;
        let pace = |v: usize| {
            self.places[v]
                .pace
                .as_ref()
                .filter(|_| plan.is_fresh(last(v), step.now))
        };
        let shift = |v: usize| pace(v).map_or(0, |pace| pace.shift);
        let tail = |v: usize| pace(v).map_or(0, |pace| pace.tail);
        let crossing: Crossing<'_> = plan
            .fleet
            .crossing(&plan.tail[live], tail)
            .or_else(|| plan.fleet.crossing(&plan.shift[live], shift))?;
        let holds = |v: &usize| shift(*v) >= FAILING || tail(*v) >= FAILING;
        let holders: Vec<usize> = crossing.members.iter().copied().filter(holds).collect();
        // One congested path beside one changed route is no region.
        if crossing.group.is_some() && holders.len() * 4 < crossing.members.len() * 3 {
            return None;
        }
        let held: Vec<&Pace> = holders
            .iter()
            .filter_map(|&v| pace(v))
            .map(|pace| &**pace)
            .collect();
        let (ratio, share) = recent(&held);
        if ratio < RATIO_MIN && share < SHARE_MIN {
            return None;
        }
        Some(SlowAlarm {
            check: self.id.clone(),
            since: stamp(held.iter().map(|pace| pace.since).min().unwrap_or(step.at)),
            channel: crossing
                .group
                .cloned()
                .map_or(Channel::Global, Channel::Group),
            vantages: holders.iter().map(|&v| vantages[v].id.clone()).collect(),
            phase: phase(&held),
            ratio,
            share,
            grade: match ratio {
                r if r >= RATIO_INCIDENT => Grade::Incident,
                r if r >= RATIO_WARNING => Grade::Warning,
                _ => Grade::Notice,
            },
        })
    }
}

/// Median over the usual median, and the share of the tail, of the present suspicion.
fn recent(held: &[&Pace]) -> (f64, f64) {
    let mut above: Vec<f32> = Vec::new();
    let mut tail = 0_u32;
    for pace in held {
        let Some(usual) = pace.usual else { continue };
        let fresh = pace.recent.len().saturating_sub(usize::from(pace.fresh));
        above.extend(&pace.recent[fresh..]);
        let exceeds = |ln: &&f32| usual.exceeded(**ln + usual.ln_median);
        tail += u32::try_from(pace.recent[fresh..].iter().filter(exceeds).count()).unwrap_or(0);
    }
    if above.is_empty() {
        return (1.0, 0.0);
    }
    above.sort_by(f32::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "a few results of each vantage")]
    let share = f64::from(tail) / above.len() as f64;
    (f64::from(above[above.len() / 2]).exp(), share)
}

/// The phase that took most of the added time.
fn phase(held: &[&Pace]) -> Option<&'static str> {
    let mut added = [0.0_f32; 5];
    for pace in held {
        for (i, added) in added.iter_mut().enumerate() {
            if let (Some(usual), Some(lately)) = (pace.phases[i].get(), pace.lately[i].get()) {
                *added += lately - usual.exp();
            }
        }
    }
    let worst = (0..added.len()).max_by(|&a, &b| added[a].total_cmp(&added[b]))?;
    (added[worst] > 0.0).then_some(Phases::NAMES[worst])
}

fn ln(total_us: u64) -> f32 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "seven digits of a latency are plenty"
    )]
    let us = total_us.max(1) as f64;
    single(us.ln())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "logarithms of latencies are small"
)]
fn single(value: f64) -> f32 {
    value as f32
}
