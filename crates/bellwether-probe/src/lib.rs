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
//! - [`dnssec`]: signatures along the walk
//! - [`walk`]: the delegation walk, and look-ups by our own iteration
//! - [`resolvers`], [`controls`]: what resolvers and controls answer; [`canary`]: who answers names
//!   that must not exist
//! - [`large`]: answers that are large, through resolvers
//! - [`addresses`]: every address found, with where it came from; those are dialled
//! - [`attempt`]: what a user's client does with one address: connect, shake hands, ask (`tcp`,
//!   `tls`, `http` are its steps)
//! - [`icmp`]: an ICMP echo to an address
//! - [`hints`], [`system`], [`owners`], [`roots`]: root hints, defaults, who owns an address, and
//!   which roots a client trusts here
//! - `fuzzing`: decoders as functions, for fuzzing (feature)
//! - [`worker`]: both ends of the process that the probes run in

mod addresses;
mod attempt;
mod budget;
pub mod canary;
pub mod check;
pub mod controls;
pub mod cx;
pub mod dial;
pub mod dns;
pub mod dnssec;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod hints;
mod http;
pub mod icmp;
pub mod large;
mod memory;
pub mod owners;
mod patience;
mod pings;
pub mod resolvers;
mod room;
pub mod roots;
mod shared;
mod sys;
pub mod system;
pub mod tasks;
mod tcp;
mod tls;
mod tries;
pub mod walk;
mod wire;
pub mod worker;

pub use tls::fits as client_cert_fits;

#[cfg(test)]
mod testing;
