//! What answers at the addresses of services.
//!
//! - [`ca`]: the box's certificate authorities
//! - `issue`: what a host shows of them, with what may be wrong with it
//! - `staple`: OCSP responses
//! - `der`: the encoding of both
//! - [`host`]: ports that open, refuse or keep silent, with TLS and HTTP on them
//! - `http`, `h2`: responses over HTTP/1.1 and HTTP/2
//! - `raw`: bytes as they are
//! - `narrow`: a path on which large segments are lost
//! - [`peer`]: peers in the place of TLS and HTTP
//! - [`tls`]: TLS as a host's words say
//! - [`forward`]: the link between an agent and the hub
//! - [`icmp`]: echo replies, where some addresses keep silent

pub(crate) mod ca;
mod der;
pub(crate) mod forward;
mod h2;
pub(crate) mod host;
pub(crate) mod http;
pub(crate) mod icmp;
mod issue;
mod narrow;
pub(crate) mod peer;
mod raw;
mod staple;
pub(crate) mod tls;
