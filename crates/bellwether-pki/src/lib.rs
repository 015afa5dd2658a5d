//! Certificates: bytes, time and anchors in, facts out.
//!
//! Everything here takes hostile bytes. It parses them under a size cap and behind
//! `catch_unwind`, and what cannot be parsed is a fact with the parser's complaint. This crate does
//! no I/O and reads no clock; it is the only direct user of x509-parser and webpki.
//!
//! - [`read`]: what a certificate says of itself
//! - [`name_text`]: a distinguished name that stands by itself
//! - [`judge()`]: all that a strict client refuses of a chain
//! - [`examine()`]: the same, with the stapled response, and what each kind of client makes of it
//! - [`Anchors`]: the roots that a chain may lead to
//! - [`strict`]: RFC 5280 and the web's rules to the letter, for comparison with others

mod anchors;
mod cert;
mod der;
mod judge;
mod key;
mod names;
mod path;
mod profiles;
mod signature;
mod span;
mod staple;
pub mod strict;

use std::panic::catch_unwind;

use bellwether_model::tls::CertSeen;

pub use anchors::{AnchorError, Anchors};
pub use judge::{Examined, examine, judge};
pub use span::Span;

/// What a certificate says of itself, as far as it can be read; never fails.
#[must_use]
pub fn read(der: &[u8]) -> CertSeen {
    catch_unwind(|| cert::Cert::read(der).seen).unwrap_or_else(|_| CertSeen {
        malformed: Some("the parser panicked over it".to_owned()),
        ..cert::Cert::blank(der).seen
    })
}

/// A distinguished name, as DER holds it, in the form of [`CertSeen`]; never fails.
#[must_use]
pub fn name_text(der: &[u8]) -> String {
    catch_unwind(|| cert::name_text(der)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
