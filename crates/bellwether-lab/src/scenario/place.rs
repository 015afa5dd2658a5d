//! Where resolvers are, and how they are spoken to.

use bellwether_model::target::Host;
use bellwether_model::{Channel, ResolverAddress};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{HttpSpec, TcpWord, TlsSpec};

/// A resolver's address as a check is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverPlace(pub ResolverAddress);

impl Serialize for ResolverPlace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.text)
    }
}

impl<'de> Deserialize<'de> for ResolverPlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let address: ResolverAddress = text.parse().map_err(serde::de::Error::custom)?;
        if address.channel.is_plain() && address.address.port() != 53 {
            return Err(serde::de::Error::custom(format!(
                "`{text}`: resolvers in plain DNS stand at port 53"
            )));
        }
        Ok(Self(address))
    }
}

/// The port of a resolver over TLS or HTTPS.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolverPort {
    /// How it is spoken to.
    pub channel: Channel,
    /// The certificate.
    pub tls: TlsSpec,
    /// What HTTP answers instead of DNS.
    pub http: Option<HttpSpec>,
    /// What becomes of connections.
    pub tcp: TcpWord,
}

impl ResolverPort {
    /// A port where all is well but for what is given.
    #[must_use]
    pub fn new(
        channel: &Channel,
        tls: Option<TlsSpec>,
        http: Option<HttpSpec>,
        tcp: Option<TcpWord>,
    ) -> Self {
        let mut port = Self {
            channel: channel.clone(),
            tls: tls.unwrap_or_default(),
            http,
            tcp: tcp.unwrap_or_default(),
        };
        if port.tls.names.is_none() {
            port.tls.names = own_name(channel).map(|name| vec![name]);
        }
        port
    }
}

/// The name that its certificate should have.
fn own_name(channel: &Channel) -> Option<String> {
    match channel {
        Channel::Plain => None,
        Channel::Tls { host } | Channel::Https { host, .. } => Some(match host {
            Host::Name(name) => name.without_dot().to_owned(),
            Host::Address(address) => address.to_string(),
        }),
    }
}
