//! The clocks, and the time that the agent goes by.
//!
//! The wall clock is read for stamps alone. It may jump by a day: then no run is left out and none is
//! made twice, because what is due is told by a clock that does not jump. Both are laid over each
//! other at the start, and anew for stamps whenever the wall clock was moved: in between the stamps of
//! runs lie on one grid.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// The clocks that an agent reads.
pub trait Clock: Send + 'static {
    /// Time since a fixed moment. Never goes back.
    fn elapsed(&self) -> Duration;
    /// What the wall clock shows.
    fn wall(&self) -> Timestamp;
}

/// The system's.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// From now on.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A moment of the agent's time: microseconds since the Unix epoch as the wall clock showed it at the
/// start, and since then as the other clock goes.
pub(crate) type Micros = u64;

/// Both clocks, one laid over the other.
pub(crate) struct Anchored<C> {
    clock: C,
    /// What the agent's time was when `clock` showed none.
    begin: Micros,
}

impl<C: Clock> Anchored<C> {
    pub(crate) fn new(clock: C) -> Self {
        // A machine without a battery may begin before 1970.
        let wall = u64::try_from(clock.wall().as_microsecond()).unwrap_or(0);
        let begin = wall.saturating_sub(micros(clock.elapsed()));
        Self { clock, begin }
    }

    pub(crate) fn now(&self) -> Micros {
        self.begin + micros(self.clock.elapsed())
    }

    pub(crate) fn wall(&self) -> Timestamp {
        self.clock.wall()
    }
}

pub(crate) fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// As a stamp. Whole microseconds, as far as stamps go.
#[cfg(test)]
pub(crate) fn stamp(at: Micros) -> Timestamp {
    let micros = i64::try_from(at).unwrap_or(i64::MAX);
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}
