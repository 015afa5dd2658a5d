//! The strict profile: RFC 5280 path validation with the rules of the web's CAs (CA/Browser Forum
//! baseline requirements, "BR" below), every rule as written.
//!
//! [`judge`](crate::judge()) says what clients refuse, and so what breaks users. This profile refuses
//! more: also what a conforming CA would not have issued and most clients let pass. It answers
//! whether a chain is flawless, not whether a service works.

mod cert;
mod constraints;
mod name;
mod path;
mod read;
mod rules;

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::Timestamp;

/// Whom the certificate must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A host by its name.
    Name(String),
    /// A host by its address.
    Address(IpAddr),
}

/// What is asked of the strict profile.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The server's own certificate, DER.
    pub leaf: &'a [u8],
    /// Other certificates at hand, in any order; none of them is trusted.
    pub others: &'a [Vec<u8>],
    /// Certificates that are trusted, in full: their extensions bind too.
    pub trusted: &'a [Vec<u8>],
    /// Whom the certificate must name; `None` asks nothing.
    pub peer: Option<&'a Peer>,
    /// When.
    pub at: Timestamp,
    /// Most certificates between the server's and the trusted one, self-issued ones not counted.
    pub depth_max: Option<usize>,
}

/// Why a chain is refused: the rule that the most promising path breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

/// Is there a path from the certificate to a trusted one that breaks no rule?
///
/// The work is bounded whatever the bytes: signatures, paths and name comparisons are counted.
///
/// # Errors
/// The rule that is broken.
pub fn verify(question: &Question<'_>) -> Result<(), Refusal> {
    catch_unwind(AssertUnwindSafe(|| verified(question)))
        .unwrap_or_else(|_| Err("the parser panicked over this chain".to_owned()))
        .map_err(Refusal)
}

/// Is the content of a name made of attributes?
pub(crate) fn check_name(name: &[u8]) -> Result<(), String> {
    name::check(name)
}

/// [`verify`], panics and all.
pub(crate) fn verified(question: &Question<'_>) -> Result<(), String> {
    path::verify(question)
}
