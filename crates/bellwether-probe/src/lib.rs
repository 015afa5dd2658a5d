//! Probes: what is asked of the network, and what it said.
//!
//! Each probe returns facts with timings and raw evidence. What a target does is never an error
//! here: a refused query, a bad certificate and a timeout are outcomes, and a probe that could not
//! run leaves a [`NotRun`](bellwether_model::NotRun) that says why. This crate knows no store, no
//! web and no cause: it never judges.
//!
//! - [`cx`]: what all probes of one check share: job, time, event sink
//! - [`dial`]: every socket is opened here, under the egress rule
//! - [`attempt`]: what a user's client does with one address: connect, shake hands, ask
//!   (`tcp`, `tls`, `http` are its steps)
//! - [`icmp`]: an ICMP echo to an address
//! - [`roots`]: which roots a client trusts here
//! - [`worker`]: both ends of the process that the probes run in

pub mod attempt;
pub mod cx;
pub mod dial;
mod http;
pub mod icmp;
mod patience;
pub mod roots;
mod sys;
mod tcp;
mod tls;
mod wire;
pub mod worker;

#[cfg(test)]
mod testing;
