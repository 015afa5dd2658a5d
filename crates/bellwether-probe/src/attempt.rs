//! Everything that a user's client does with one address: connect, shake hands, ask.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;

use bellwether_model::{DnsName, Origin};

use crate::cx::Cx;

/// The addresses of a name and the sequential waits it took to find them, or why there are none.
pub type Resolved = Result<(Vec<IpAddr>, u32), String>;

/// Resolves the names that redirects lead to.
pub trait Resolve {
    /// The addresses of `name`, in the order in which a client would try them.
    fn resolve(&self, name: DnsName) -> Pin<Box<dyn Future<Output = Resolved>>>;
}

/// Probes one address of the target as far up as the target's scheme says.
///
/// `origin` says who named the address, `waits` how many sequential waits it took to learn it.
pub async fn run(cx: &Cx, address: IpAddr, origin: Origin, waits: u32, resolve: Rc<dyn Resolve>) {
    let _ = (cx, address, origin, waits, resolve);
}
