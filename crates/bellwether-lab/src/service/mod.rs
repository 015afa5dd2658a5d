//! What answers at the addresses of services.
//!
//! - [`ca`]: the box's certificate authorities
//! - [`host`]: ports that open, refuse or keep silent, with TLS and HTTP on them
//! - `http`: responses
//! - [`peer`]: peers in the place of TLS and HTTP
//! - [`tls`]: TLS as a host's words say
//! - [`icmp`]: echo replies, where some addresses keep silent

pub(crate) mod ca;
pub(crate) mod host;
pub(crate) mod http;
pub(crate) mod icmp;
pub(crate) mod peer;
pub(crate) mod tls;
