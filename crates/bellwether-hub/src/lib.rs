//! The hub: takes in what agents saw, keeps it, judges it, and tells it to whoever asks.
//!
//! The data runs one way: harvest → [`keep`] (durable) and [`judge`] (detection, diagnosis,
//! incidents) → [`board`] (what is true now) → [`api`], [`page`], [`metrics`]. It asks no target:
//! that is the agents' part.
//!
//! - [`hub`]: what is started, and how it ends
//! - [`shared`]: what all parts hold in common
//! - [`tasks`]: background tasks that are started again
//! - [`settings`], [`reload`]: what follows from the configuration, and when it is read again
//! - [`agents`], [`links`]: what is asked of agents, of the built-in one and of those elsewhere
//! - [`fleet`]: agents elsewhere: enrolment, their links, and what they bring
//! - [`keep`]: runs, until they are durable
//! - [`judge`], [`signals`], [`freshness`]: detection, diagnosis and incidents; silence
//! - `parts`: what is written down of very many checks, some after the others
//! - `unsaved`: what the store did not take, until it does
//! - [`beats`]: who must report, and what was heard of it
//! - [`board`]: what is true now, as it is told
//! - [`api`]: the API under `/api/v1`, and the router of everything that is served
//! - [`access`]: who may do what
//! - [`counters`]: somebody else's totals
//! - `evidence`: what proves a row
//! - [`fate`]: what of ours would fall together with what it watches
//! - [`page`]: the page for people
//! - [`metrics`]: what Prometheus reads
//! - [`listen`]: connections, and what each may cost
//! - [`testing`]: a hub in memory, for tests and examples

pub mod access;
pub mod agents;
pub mod api;
pub mod beats;
pub mod board;
pub mod counters;
mod evidence;
pub mod fate;
pub mod fleet;
pub mod freshness;
pub mod hub;
pub mod judge;
pub mod keep;
pub mod links;
pub mod listen;
pub mod metrics;
pub mod page;
mod parts;
pub mod reload;
pub mod settings;
pub mod shared;
pub mod signals;
pub mod tasks;
pub mod testing;
mod unsaved;

#[cfg(feature = "fuzzing")]
pub use api::fuzz_ping_url;
pub use hub::{Hub, HubOptions};

/// Causes that no single check shows, and a running hub tells.
pub const TOLD_BY_SERVE: &[bellwether_model::Cause] = &[
    bellwether_model::Cause::MonitorProbeHung,
    bellwether_model::Cause::MonitorCheckPoisoned,
    bellwether_model::Cause::MonitorSharedFate,
    bellwether_model::Cause::MonitorVantageOffline,
    bellwether_model::Cause::MonitorPipelineLag,
];
