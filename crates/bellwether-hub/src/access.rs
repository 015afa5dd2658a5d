//! Who may do what: tokens with scopes, the rule of the Host header, back-off.
//!
//! Deny by default. What a route needs stands beside the route (the `security` of its OpenAPI
//! operation, or [`crate::page::ROUTES`]); a path that stands nowhere is 404 for everybody.
//!
//! - On a loopback address reading is open, and the Host header must name this machine: a page
//!   that rebinds its own name to 127.0.0.1 gets nothing. Writing needs a token.
//! - On any other address everything needs a token.
//! - Where jobs report (`/ping/…`, `/api/push/…`) the id in the path is the secret, on any address. It
//!   opens nothing else.
//! - `/healthz` and `/readyz` are open everywhere; they say nothing but yes or no.
//!
//! A browser gives the token as the password of HTTP Basic. That is the simplest thing that is
//! safe here: there is no form to forge, no session to steal or to forget, and a revoked token is
//! dead at once. Browsers send such a password along with requests that other sites cause, so it
//! opens reading alone: whatever writes takes `Authorization: Bearer`, which no other site can
//! make a browser send.
//!
//! What is served speaks no TLS itself: where it listens on an address that others reach, a proxy
//! with a certificate belongs in front of it, or the token crosses the network in the clear.
//!
//! - [`token`]: making and recognising tokens
//! - [`host`]: whom a request believes to talk to, and where it comes from
//! - [`backoff`]: what wrong tokens cost

pub mod backoff;
pub mod host;
pub mod token;

mod guard;

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;

pub(crate) use guard::{Caller, guard};
pub use token::{first_token, mint};

/// What a token may be allowed. Each is a word of its own; none implies another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Reading everything but secrets, which nobody reads.
    Read,
    /// Acknowledging incidents, and adding notes.
    Write,
    /// Handing in counters.
    Counters,
    /// Naming private addresses as targets.
    Private,
    /// Making agents of other machines, and revoking them.
    Agents,
}

impl Scope {
    /// All of them: what the first token has.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Write,
        Self::Counters,
        Self::Private,
        Self::Agents,
    ];

    /// Its name, as it is kept with a token.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Counters => "counters",
            Self::Private => "private",
            Self::Agents => "agents",
        }
    }

    /// The scope of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing, on any address.
    Nothing,
    /// The id in its path, which is looked at there: whoever knows it may report, from anywhere.
    Id,
    /// A token of this scope. Where reading is open, [`Scope::Read`] needs none.
    Token(Scope),
}

/// How the API is reached, and by which clock it goes.
#[derive(Clone)]
pub struct Access {
    /// Is reading open to whoever can connect? So it is on a loopback address, where everybody
    /// who can connect has an account on this machine.
    pub open_reading: bool,
    /// What time it is.
    pub clock: Clock,
}

impl Access {
    /// For what listens at this address, by the system's clock.
    #[must_use]
    pub fn for_listener(address: SocketAddr) -> Self {
        Self {
            open_reading: address.ip().to_canonical().is_loopback(),
            clock: Clock::system(),
        }
    }
}

/// What time it is.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that says what this function says.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The system's.
    #[must_use]
    pub fn system() -> Self {
        Self::new(Timestamp::now)
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}
