//! What is served, asked as clients ask it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod access;
mod agents;
mod bodies;
mod client;
mod door;
mod events;
mod metrics;
mod page;
mod pings;
mod reading;
mod start;
mod writing;
