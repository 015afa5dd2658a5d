//! Flapping: a figure of merit as RFC 2439 has it, on confirmed state, with thresholds for people
//! instead of routers.

use bellwether_model::incident::Flapping;
use serde::{Deserialize, Serialize};

use super::{MINUTE, Micros, stamp};

/// What one coming costs (RFC 2439 section 4.2).
const PENALTY: f32 = 1000.0;

/// Above this it flaps: four comings within a few minutes, or any period below 8.8 minutes.
const SUPPRESS: f32 = 3000.0;

/// Below this it does no longer.
const REUSE: f32 = 750.0;

/// The cost halves in this time.
const HALF_LIFE: f32 = 15.0;

/// The cost never exceeds this, so that an hour of quiet always ends it.
const CEILING: f32 = 12_000.0;

/// How often it is told that it goes on.
const TOLD_EVERY: Micros = 30 * MINUTE;

/// How often something came lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Flap {
    penalty: f32,
    at: Micros,
    comings: u32,
    first: Micros,
    last: Micros,
    down_since: Option<Micros>,
    down: Micros,
    suppressed: bool,
    told: Micros,
}

impl Flap {
    pub(super) fn clock_set_back(&mut self, now: Micros) {
        for at in [
            &mut self.at,
            &mut self.first,
            &mut self.last,
            &mut self.told,
        ] {
            *at = (*at).min(now);
        }
        self.down_since = self.down_since.map(|at| at.min(now));
    }

    /// It came.
    pub(super) fn down(&mut self, now: Micros) {
        self.decay(now);
        if self.comings == 0 || (self.penalty < REUSE && !self.suppressed) {
            *self = Self {
                first: now,
                at: now,
                penalty: self.penalty,
                ..Self::default()
            };
        }
        self.penalty = (self.penalty + PENALTY).min(CEILING);
        self.comings += 1;
        self.last = now;
        self.down_since = Some(now);
        self.suppressed |= self.penalty >= SUPPRESS;
    }

    /// It went.
    pub(super) fn up(&mut self, now: Micros) {
        if let Some(since) = self.down_since.take() {
            self.down += (now - since).max(0);
        }
    }

    /// Is its end to be held back?
    pub(super) fn holds(&mut self, now: Micros) -> bool {
        self.decay(now);
        if self.penalty < REUSE {
            self.suppressed = false;
        }
        self.suppressed
    }

    /// What there is to tell of it, if it is time to.
    pub(super) fn tell(&mut self, now: Micros) -> Option<Flapping> {
        if !self.suppressed || (self.told != 0 && now - self.told < TOLD_EVERY) {
            return None;
        }
        self.told = now;
        let down = self.down + self.down_since.map_or(0, |since| (now - since).max(0));
        Some(Flapping {
            count: self.comings.saturating_sub(1),
            since: stamp(self.first),
            period_seconds: seconds(self.last - self.first)
                / f64::from(self.comings.saturating_sub(1).max(1)),
            duty: (seconds(down) / seconds((now - self.first).max(1))).min(1.0),
        })
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "an age in minutes needs no more digits"
    )]
    fn decay(&mut self, now: Micros) {
        let minutes = (now - self.at).max(0) as f32 / MINUTE as f32;
        self.penalty *= (-minutes / HALF_LIFE).exp2();
        self.at = self.at.max(now);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a span in seconds needs no more digits"
)]
fn seconds(span: Micros) -> f64 {
    span as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: Micros = 1_700_000_000_000_000;

    #[test]
    fn four_comings_are_flapping_until_an_hour_of_quiet() {
        let mut flap = Flap::default();
        for i in 0..4 {
            assert_eq!(flap.tell(BEGIN + 2 * i * MINUTE), None);
            flap.down(BEGIN + 2 * i * MINUTE);
            flap.up(BEGIN + (2 * i + 1) * MINUTE);
        }
        let now = BEGIN + 8 * MINUTE;
        let told = flap.tell(now).expect("four in eight minutes");
        assert_eq!(told.count, 3);
        assert!((told.period_seconds - 120.0).abs() < 1e-6 && (told.duty - 0.5).abs() < 1e-6);
        assert_eq!(flap.tell(now + MINUTE), None, "told every half hour");
        assert!(flap.holds(now + 20 * MINUTE));
        assert!(!flap.holds(now + 60 * MINUTE));
    }

    #[test]
    fn what_comes_every_half_hour_does_not_flap() {
        let mut flap = Flap::default();
        for i in 0..20 {
            flap.down(BEGIN + 30 * i * MINUTE);
            flap.up(BEGIN + (30 * i + 5) * MINUTE);
            assert!(!flap.holds(BEGIN + (30 * i + 6) * MINUTE));
        }
    }
}
