//! The hub: takes in what agents saw, keeps it, judges it, and tells it to whoever asks.
//!
//! The data runs one way: harvest → `intake` (kept, counted) → `judge` (detection, diagnosis,
//! incidents) → [`board`] (what is true now) → [`api`], [`page`], [`metrics`]. It asks no target:
//! that is the agents' part.
//!
//! - [`shared`]: what all parts hold in common
//! - [`board`]: what is true now, as it is told
//! - [`api`]: the API under `/api/v1`, and the router of everything that is served
//! - [`access`]: who may do what
//! - [`counters`]: somebody else's totals
//! - [`page`]: the page for people
//! - [`metrics`]: what Prometheus reads
//! - [`listen`]: connections, and what each may cost
//! - [`testing`]: a hub in memory, for tests and examples

pub mod access;
pub mod api;
pub mod board;
pub mod counters;
pub mod listen;
pub mod metrics;
pub mod page;
pub mod shared;
pub mod testing;
