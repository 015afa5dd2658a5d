//! The Internet in a box: drills for the diagnosis, on real sockets and real addresses, in a
//! namespace of which no packet leaves.
//!
//! A scenario file says which zones, resolvers and hosts exist and how they misbehave; [`drill()`]
//! builds that world, runs the program in it by its public flags, and holds its reports against
//! what the file expects. The lab shares no code with what it judges.
//!
//! It never runs where any interface but its own exists, never reads what the probes or the
//! diagnosis think, and never changes the names of a `fixed` scenario.
//!
//! - [`scenario`]: what people write
//! - `rename`: the seed's names and addresses
//! - `world`: what exists because of it, and how it changes
//! - `sign`: zones that are signed with DNSSEC
//! - `dns`, `service`: the scripted servers
//! - `real`: servers of others, run in the box
//! - `netns`, `net`, `sys`: the namespace and its sockets
//! - [`mod@drill`]: parent and child of a drill
//! - [`shipped()`]: scenarios inside the program

mod chance;
mod clock;
mod dns;
pub mod drill;
pub mod error;
mod net;
mod netns;
mod real;
mod rename;
pub mod scenario;
mod service;
pub mod shipped;
mod sign;
mod sys;
mod target;
mod world;

pub use drill::{
    DRILL_SCHEMA, DrillOptions, DrillSummary, LOOK_SCHEMA, SEED_DEFAULT, ScenarioReport, Score,
    StepReport, WORLD_SUBCOMMAND, WorldEnd, drill, exec, world_main,
};
pub use error::LabError;
pub use netns::enter_namespace;
pub use shipped::shipped;
