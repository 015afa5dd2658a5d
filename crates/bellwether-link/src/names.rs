//! What both ends of the link call things.

/// The name in the hub's certificate. It is looked up nowhere: agents dial an address that they are
/// given, and believe whoever shows this name under the authority that their token names.
pub const SERVER_NAME: &str = "hub.bellwether.internal";

/// The protocol inside TLS, as ALPN has it. Versions are told apart inside.
pub const ALPN: &[u8] = b"bellwether/1";
