//! One question to one DNS server, with full fidelity.
//!
//! Everything that came back is kept: what matched, what was discarded and why, how long it took.
//! Both client libraries that exist drop a wrong reply in silence; a monitor must see it (a forged
//! reply, a middlebox that answers first), so the transports are ours and only the message format
//! is the `domain` crate's.
//!
//! - [`message`]: queries to bytes, bytes to [`Response`](bellwether_model::dns::Response)s
//! - [`breaks`]: at which octet a record that cannot be read breaks
//! - [`record`]: record data in presentation form
//! - [`udp`], [`tcp`], [`secure`]: the transports; [`reply`]: what both tell besides a response
//! - [`late`]: answers that come after the one that was taken
//! - [`exchange`]: tries, time limits, and what stands in the record

mod breaks;
pub mod exchange;
pub(crate) mod late;
pub mod message;
pub(crate) mod record;
pub(crate) mod reply;
mod secure;
pub(crate) mod tcp;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub(crate) mod udp;

pub use exchange::{Ask, TRIES, ask, ask_whole, waits};
