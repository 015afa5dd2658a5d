//! Commands that read and act on a running hub, through its API.
//!
//! - `client`: one request, one answer
//! - `status`, `incidents`, `agents`, `heartbeats`: the commands
//! - `troubles`: what is wrong with the hub itself
//! - `when`: times and ages in words

pub(crate) mod agents;
mod client;
pub(crate) mod heartbeats;
pub(crate) mod incidents;
pub(crate) mod status;
mod troubles;
mod when;
