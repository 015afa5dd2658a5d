//! The hub: takes in what agents saw, keeps it, judges it, and tells it to whoever asks.
//!
//! The data runs one way: harvest → [`intake`] (kept, counted) → [`judge`] (detection, diagnosis,
//! incidents) → [`board`] (what is true now) → [`api`], [`page`], [`metrics`]. It asks no target:
//! that is the agents' part.
//!
//! - [`hub`]: what is started, and how it ends
//! - [`shared`]: what all parts hold in common
//! - [`tasks`]: background tasks that are started again
//! - [`settings`], [`reload`]: what follows from the configuration, and when it is read again
//! - [`agents`]: what is asked of agents
//! - [`keep`]: runs, until they are durable
//! - [`judge`], [`signals`], [`freshness`]: detection, diagnosis and incidents; silence
//! - [`board`]: what is true now, as it is told

pub mod agents;
pub mod board;
pub mod freshness;
pub mod hub;
pub mod judge;
pub mod keep;
pub mod reload;
pub mod settings;
pub mod shared;
pub mod signals;
pub mod tasks;

pub use hub::{Hub, HubOptions};
