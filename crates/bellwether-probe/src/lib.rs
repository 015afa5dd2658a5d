//! Probes: what is asked of the network, and what it said.
//!
//! Each probe returns facts with timings and raw evidence. What a target does is never an error
//! here: a refused query, a bad certificate and a timeout are outcomes, and a probe that could not
//! run leaves a [`NotRun`](bellwether_model::NotRun) that says why. This crate knows no store, no
//! web and no cause: it never judges.
//!
//! - [`check`]: everything that one check asks, at the same time
//! - [`cx`]: what all probes of one check share: job, time, event sink
//! - [`dial`]: every socket is opened here, under the egress rule
//! - [`dns`]: one question to one DNS server
//! - [`walk`]: the delegation walk, and look-ups by our own iteration
//! - [`resolvers`], [`controls`]: what resolvers and controls answer
//! - [`addresses`]: every address found, with where it came from; those are dialled
//! - [`attempt`], [`icmp`]: what is asked of one address
//! - [`hints`], [`system`], [`owners`]: root hints, defaults, and who owns an address

pub mod addresses;
pub mod attempt;
pub mod check;
pub mod controls;
pub mod cx;
pub mod dial;
pub mod dns;
pub mod hints;
pub mod icmp;
pub mod owners;
pub mod resolvers;
pub mod system;
pub mod tasks;
pub mod walk;
