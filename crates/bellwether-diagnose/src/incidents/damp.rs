//! Damping of what comes and goes: the figure of merit of RFC 2439 section 4.2.
//!
//! Each coming adds a penalty, which halves in a fixed time. Above one limit further changes are no
//! longer told one by one; only below a much lower one is the matter over.

use std::time::Duration;

use bellwether_model::incident::Flapping;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::seconds_between;

/// Penalty of one coming, in thousandths: RFC 2439's 1,000.
const PENALTY: u64 = 1_000_000;
/// The penalty halves in this time, seconds.
const HALF_LIFE: f64 = 900.0;
/// Interval of a check from which on all times are as they are named, milliseconds. They are times
/// of people, who are told; only what is watched nearly every second is over sooner.
pub(super) const USUAL_EVERY: u32 = 5_000;
/// Shortest share of these times, at intervals of a second.
const PACE_MIN: f64 = 0.2;
/// From here on changes are damped: three comings within a few minutes do not reach it, four do.
const SUPPRESS: u64 = 3_000_000;
/// Below this the matter may be over.
const REUSE: u64 = 750_000;
/// No more than this: a long series is forgotten in an hour all the same.
const CEILING: u64 = 12_000_000;

/// How one incident comes and goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Damp {
    /// The figure in thousandths, as of `at`: whole numbers come back from a checkpoint as they were.
    figure: u64,
    at: Timestamp,
    /// How often it came.
    pub downs: u32,
    first: Timestamp,
    last: Timestamp,
    /// Whole milliseconds of failing in the spells that are over.
    failed_ms: u64,
    /// Since when it fails now.
    down_since: Option<Timestamp>,
    /// Are changes damped?
    pub suppressed: bool,
    /// When it was last told that it comes and goes.
    pub told: Option<Timestamp>,
    /// What is seen nearly every second is over sooner, and comes and goes faster: all times are
    /// taken times this, from [`PACE_MIN`] to 1.
    #[serde(default = "usual_pace")]
    pace: f64,
}

fn usual_pace() -> f64 {
    1.0
}

impl Damp {
    /// The wall clock was set back.
    pub(super) fn clock_set_back(&mut self, now: Timestamp) {
        for at in [&mut self.at, &mut self.first, &mut self.last] {
            *at = (*at).min(now);
        }
        for at in [&mut self.down_since, &mut self.told] {
            *at = at.map(|at| at.min(now));
        }
    }

    /// It came for the first time.
    pub(super) fn new(at: Timestamp) -> Self {
        Self {
            figure: PENALTY,
            at,
            downs: 1,
            first: at,
            last: at,
            failed_ms: 0,
            down_since: Some(at),
            suppressed: false,
            told: None,
            pace: usual_pace(),
        }
    }

    /// It came first at an earlier time than was known.
    pub(super) fn began(&mut self, at: Timestamp) {
        if self.downs == 1 && self.down_since == Some(self.first) && at < self.first {
            let pace = self.pace;
            *self = Self::new(at);
            self.pace = pace;
        }
    }

    /// The slowest of its checks runs so often, milliseconds; 0 if that is not known.
    pub(super) fn paced(&mut self, every: u32) {
        if every > 0 {
            let pace = f64::from(every) / f64::from(USUAL_EVERY);
            self.pace = pace.clamp(PACE_MIN, 1.0);
        }
    }

    /// A time that is meant for checks of the usual intervals, as it is for these.
    pub(super) fn scaled(&self, time: Duration) -> Duration {
        time.mul_f64(self.pace)
    }

    /// The figure as of a time, in thousandths.
    fn figure(&self, now: Timestamp) -> u64 {
        let age = seconds_between(self.at, now).max(0.0);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the ceiling, far below 2^53"
        )]
        let decayed = (self.figure as f64 * (-age / (HALF_LIFE * self.pace)).exp2()).round() as u64;
        decayed
    }

    /// It came back. True if changes are damped from now on, and were not before.
    pub(super) fn came(&mut self, at: Timestamp) -> bool {
        self.figure = (self.figure(at) + PENALTY).min(CEILING);
        self.at = self.at.max(at);
        self.downs += 1;
        self.last = self.last.max(at);
        self.down_since = Some(at);
        let begins = !self.suppressed && self.figure >= SUPPRESS;
        self.suppressed |= begins;
        begins
    }

    /// It went.
    pub(super) fn went(&mut self, at: Timestamp) {
        if let Some(since) = self.down_since.take() {
            let spell = at.duration_since(since).as_millis();
            self.failed_ms += u64::try_from(spell).unwrap_or(0);
        }
    }

    /// It did not go after all.
    pub(super) fn went_not(&mut self, at: Timestamp) {
        let since = self.last;
        let spell = at.duration_since(since).as_millis();
        self.failed_ms = self
            .failed_ms
            .saturating_sub(u64::try_from(spell).unwrap_or(0));
        self.down_since = Some(since);
    }

    /// Has it been quiet for so long that it counts as over, or as one long failure?
    pub(super) fn is_calm(&self, now: Timestamp) -> bool {
        self.figure(now) < REUSE
    }

    /// In the shape of an incident; `None` while it never came back.
    pub(super) fn flapping(&self, now: Timestamp) -> Option<Flapping> {
        if self.downs < 2 {
            return None;
        }
        let now = now.max(self.last);
        let whole = seconds_between(self.first, now);
        let open = self.down_since.map_or(0.0, |s| seconds_between(s, now));
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of failing, far below 2^53"
        )]
        let failed = self.failed_ms as f64 / 1000.0 + open.max(0.0);
        let duty = if whole > 0.0 { failed / whole } else { 1.0 };
        let round = |x: f64, by: f64| (x * by).round() / by;
        Some(Flapping {
            count: self.downs - 1,
            since: self.first,
            period_seconds: round(
                seconds_between(self.first, self.last) / f64::from(self.downs - 1),
                10.0,
            ),
            duty: round(duty.clamp(0.0, 1.0), 1000.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    #[test]
    fn four_comings_two_minutes_apart_are_damped_and_three_are_not() {
        let mut damp = Damp::new(at(0));
        assert!(!damp.came(at(120)));
        assert!(!damp.came(at(240)));
        assert!(damp.came(at(360)));
        assert!(!damp.came(at(480)), "it begins once");
    }

    #[test]
    fn one_coming_is_calm_after_half_a_half_life() {
        let damp = Damp::new(at(0));
        assert!(!damp.is_calm(at(370)));
        assert!(damp.is_calm(at(380)), "15 min x log2(1000/750) = 374 s");
    }

    #[test]
    fn fast_checks_are_calm_sooner() {
        let mut damp = Damp::new(at(0));
        damp.paced(1_000);
        assert!(!damp.is_calm(at(74)));
        assert!(damp.is_calm(at(75)));
        assert_eq!(
            damp.scaled(Duration::from_secs(60)),
            Duration::from_secs(12)
        );
        damp.paced(3_600_000);
        assert_eq!(
            damp.scaled(Duration::from_secs(60)),
            Duration::from_secs(60)
        );
    }

    #[test]
    fn period_and_duty_are_those_of_the_series() {
        let mut damp = Damp::new(at(0));
        damp.went(at(30));
        damp.came(at(120));
        damp.went(at(150));
        let flapping = damp.flapping(at(240)).unwrap();
        assert_eq!((flapping.count, flapping.period_seconds), (1, 120.0));
        assert!((flapping.duty - 0.25).abs() < 1e-9);
    }
}
