//! Variables that stand for a flag or a key of the configuration where neither is given, as
//! `SSL_CERT_FILE` does for the roots of TLS: for machines, and worlds of `drill --exec`, whose DNS
//! root is another one.

use std::path::PathBuf;

/// The root hints: as `--root-hints`, or `trust: { root_hints: … }`.
const ROOT_HINTS: &str = "BELLWETHER_ROOT_HINTS";
/// The trust anchor of the root: as `--trust-anchor`, or `trust: { trust_anchor: … }`.
const TRUST_ANCHOR: &str = "BELLWETHER_TRUST_ANCHOR";

/// The file of root hints that the environment names.
pub(crate) fn root_hints() -> Option<PathBuf> {
    file(ROOT_HINTS)
}

/// The file of the root's trust anchor that the environment names, or `none`.
pub(crate) fn trust_anchor() -> Option<PathBuf> {
    file(TRUST_ANCHOR)
}

/// An empty variable is one that is not set.
fn file(variable: &str) -> Option<PathBuf> {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty())?;
    Some(PathBuf::from(value))
}
