//! Words for answers that somebody else than the authority makes.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Addresses;

/// Answers that policy rewrites, as a response policy zone does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RewriteSpec {
    /// Names that are rewritten.
    pub names: Vec<String>,
    /// The addresses put in place; none: the names do not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Addresses>,
    /// Extended error that says so (RFC 8914): 15 blocked, 16 censored, 17 filtered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<u16>,
    /// Text of that error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Answers that somebody on the way sends before the real one, over UDP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InjectedSpec {
    /// Names for which it does.
    pub names: Vec<String>,
    /// Addresses in the forged answer.
    pub to: Addresses,
}

impl RewriteSpec {
    /// Addresses of the family of a record type.
    pub(crate) fn addresses(&self) -> &[IpAddr] {
        self.to.as_ref().map_or(&[], |to| to.0.as_slice())
    }
}
