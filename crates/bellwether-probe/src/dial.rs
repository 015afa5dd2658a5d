//! Every socket is opened here, under the egress rule and from the vantage's own addresses.

use std::net::{IpAddr, SocketAddr};

use bellwether_model::job::Job;
use bellwether_model::net::Family;
use bellwether_model::{Egress, Origin};

/// Opens sockets: asks the egress rule at every dial and binds the vantage's source address.
#[derive(Clone, Debug)]
pub struct Dialer {
    egress: Egress,
    sources: Vec<IpAddr>,
    /// Addresses that may be dialled whatever names them: typed or configured by the operator.
    typed: Vec<IpAddr>,
}

impl Dialer {
    /// The dialler of one check.
    #[must_use]
    pub fn new(job: &Job) -> Self {
        let typed = job.connect.into_iter().collect();
        Self {
            egress: job.egress.clone(),
            sources: job.sources.clone(),
            typed,
        }
    }

    /// May this address be dialled?
    ///
    /// # Errors
    /// The reason in words.
    pub fn permits(&self, address: IpAddr, origin: Origin) -> Result<(), String> {
        if self.typed.contains(&address) {
            return Ok(());
        }
        self.egress.permits(address, origin)
    }

    /// The source address to bind for a destination, port 0; `None` leaves it to the system.
    #[must_use]
    pub fn source(&self, destination: IpAddr) -> Option<SocketAddr> {
        let family = Family::of(destination);
        let source = self.sources.iter().find(|s| Family::of(**s) == family)?;
        Some(SocketAddr::new(*source, 0))
    }
}
