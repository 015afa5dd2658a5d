//! The Internet in a box.
mod chance;
mod clock;
mod dns;
mod drill;
pub mod error;
mod net;
mod netns;
pub mod scenario;
mod service;
mod sys;
mod target;
mod world;
pub use error::LabError;
