//! The link between agents and the hub: what both ends share.
//!
//! The agent dials, over TLS 1.3 with certificates on both sides; the hub's own authority, which an
//! enrolment token names by its hash, is the only one that either side believes. Inside, messages
//! ([`bellwether_model::link`]) go both ways, each in a frame.
//!
//! Nothing here decides anything: who may enrol, what is kept and what is asked is the hub's; what is
//! spooled and when it is dialled again is the agent's.
//!
//! - [`names`]: what both ends are called; the enrolment token
//! - [`frame`]: messages on a stream
//! - [`parcel`]: deliveries in parts, compressed

pub mod frame;
pub mod names;
pub mod parcel;

pub use names::{ALPN, EnrolToken, SERVER_NAME};
