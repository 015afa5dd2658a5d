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
//! - [`identity`]: the agent's key and certificate; [`client`]: its end of TLS
//! - [`private`]: files for the owner's eyes alone
//! - [`frame`]: messages on a stream
//! - [`parcel`]: deliveries in parts, compressed
//! - [`authority`]: the hub's own authority, and what it signs
//! - [`server`]: the hub's end of TLS

pub mod authority;
pub mod client;
pub mod frame;
pub mod identity;
pub mod names;
pub mod parcel;
pub mod private;
pub mod server;

pub use identity::{Identity, IdentityError, Request};
pub use names::{ALPN, EnrolToken, SERVER_NAME};
