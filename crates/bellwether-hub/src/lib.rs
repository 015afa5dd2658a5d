//! The hub: takes in what agents saw, keeps it, judges it, and tells it to whoever asks.
//!
//! The data runs one way: harvest → [`intake`] (kept, counted) → [`judge`] (detection, diagnosis,
//! incidents) → [`board`] (what is true now) → [`api`], [`page`], [`metrics`]. It asks no target:
//! that is the agents' part.
//!
//! - [`shared`]: what all parts hold in common
//! - [`board`]: what is true now, as it is told

pub mod board;
pub mod shared;
