//! Both ends of the process that the probes of a check run in.
//!
//! Hostile bytes meet our parsers in a process that can be killed. A worker takes one job and says
//! what it sees ([`serve()`]); a supervisor starts it, ends it at the deadline, and puts a record in
//! the place of whatever a hang or a crash swallowed ([`supervise()`]).
//!
//! - [`serve()`]: the worker's end
//! - [`serve_many()`]: the worker's end of a process that runs many probes
//! - [`supervise()`]: the supervisor's end
//! - [`pool`]: the scheduler's end of processes that run many probes
//! - [`fault`]: workers that hang and die on purpose, for rehearsals

mod answer;
pub mod fault;
mod frame;
mod many;
mod orders;
pub mod pool;
mod serve;
mod supervise;
mod visit;

#[cfg(feature = "fuzzing")]
pub(crate) use answer::fuzzing::read_answer;
pub use answer::{Judge, Judged, Records};
pub use frame::FrameError;
#[cfg(feature = "fuzzing")]
pub(crate) use frame::read as read_frame;
pub use many::{Manner, ORDERS_AT_ONCE, serve_many, serve_many_judged};
pub use serve::{WorkerError, serve, serve_with};
pub use supervise::{Ended, Supervised, supervise, supervise_until};

#[cfg(test)]
mod orders_tests;
#[cfg(test)]
mod tests;
