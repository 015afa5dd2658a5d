//! What answers at the addresses of services.
//!
//! - [`ca`]: the box's certificate authorities
//! - [`host`]: ports that open, refuse or keep silent, with TLS and HTTP on them
//! - `http`, `h2`: responses over HTTP/1.1 and HTTP/2
//! - `raw`: bytes as they are
//! - `narrow`: a path on which large segments are lost
//! - [`icmp`]: echo replies, where some addresses keep silent

pub(crate) mod ca;
mod h2;
pub(crate) mod host;
pub(crate) mod http;
pub(crate) mod icmp;
mod narrow;
mod raw;
