//! The world's clock: fixed or real, moved by `wait` steps.

use std::time::Duration;

use jiff::Timestamp;

/// The world's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    base: Option<Timestamp>,
    moved: Duration,
}

impl Clock {
    /// A clock that stands at `base`, or the real one.
    pub(crate) fn new(base: Option<Timestamp>) -> Self {
        Self {
            base,
            moved: Duration::ZERO,
        }
    }

    /// Moves it on.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.moved += by;
    }

    /// The time in the world.
    pub(crate) fn now(&self) -> Timestamp {
        let base = self.base.unwrap_or_else(Timestamp::now);
        base.checked_add(self.moved).unwrap_or(Timestamp::MAX)
    }

    /// Does it differ from the real one?
    pub(crate) fn is_set(&self) -> bool {
        self.base.is_some() || !self.moved.is_zero()
    }
}
