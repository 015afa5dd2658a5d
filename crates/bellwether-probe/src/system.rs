//! What is asked when the operator says nothing: the system's resolvers, three public ones, and
//! the controls.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bellwether_model::dns::ResolverOrigin;
use bellwether_model::job::{Control, ResolverAsk};
use bellwether_model::{Channel, DnsName};

/// Public resolvers of three operators in three networks. They are asked for public names only
/// (the privacy rule is in [`resolvers`](crate::resolvers)).
pub const DEFAULT_RESOLVERS: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)),
    IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)),
    IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9)),
];

/// Name servers that the system's resolver library uses, at most (`resolv.conf(5)`, `MAXNS`).
const SYSTEM_RESOLVERS_MAX: usize = 3;
/// Port of DNS (RFC 1035 section 4.2).
pub(crate) const DNS_PORT: u16 = 53;

/// What works if the vantage works: a name that the root servers themselves answer for, and public
/// resolvers in three networks.
#[must_use]
pub fn default_controls() -> Vec<Control> {
    let name = DnsName::typed("a.root-servers.net").expect("a constant name is well formed");
    let mut controls = vec![Control::Name(name)];
    controls.extend(DEFAULT_RESOLVERS.map(Control::Address));
    controls
}

/// Where the system says which resolvers are its own.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The system's own resolvers, as they are asked.
#[must_use]
pub fn system_asks() -> Vec<ResolverAsk> {
    // A file that is not there means what an empty one means (resolv.conf(5)).
    let resolv_conf = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
    let asks = system_resolvers(&resolv_conf).into_iter();
    asks.map(|address| ResolverAsk {
        label: label(address),
        address,
        channel: Channel::Plain,
        origin: ResolverOrigin::System,
    })
    .collect()
}

/// The public resolvers, as they are asked for public names.
#[must_use]
pub fn default_asks() -> Vec<ResolverAsk> {
    let asks = DEFAULT_RESOLVERS.iter().map(|ip| ResolverAsk {
        label: ip.to_string(),
        address: (*ip, DNS_PORT).into(),
        channel: Channel::Plain,
        origin: ResolverOrigin::Default,
    });
    asks.collect()
}

/// Leaves one ask for each place.
pub fn once_each(asks: &mut Vec<ResolverAsk>) {
    let mut seen = Vec::new();
    asks.retain(|ask| {
        let place = (ask.address, ask.channel.clone());
        let is_new = !seen.contains(&place);
        seen.push(place);
        is_new
    });
}

/// A resolver as asked: its address, with the port if that is not 53.
fn label(address: SocketAddr) -> String {
    match address.port() {
        DNS_PORT => address.ip().to_string(),
        _ => address.to_string(),
    }
}

/// The resolvers that a `resolv.conf` names; this host's own if it names none (`resolv.conf(5)`).
/// What cannot be read there is left out, as the system's own library does.
#[must_use]
pub fn system_resolvers(resolv_conf: &str) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = Vec::new();
    for line in resolv_conf.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        let Some(server) = words.next().and_then(server) else {
            continue;
        };
        if !found.contains(&server) && found.len() < SYSTEM_RESOLVERS_MAX {
            found.push(server);
        }
    }
    if found.is_empty() {
        found.push((Ipv4Addr::LOCALHOST, DNS_PORT).into());
    }
    found
}

/// An address, with a zone index for link-local ones: `fe80::1%2`.
fn server(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address, DNS_PORT).into());
    }
    if !text.contains('%') {
        return None;
    }
    format!("[{text}]:{DNS_PORT}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf() {
        let found = |text: &str| -> Vec<String> {
            let servers = system_resolvers(text);
            servers.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            found(
                "# made by hand\nsearch lan\nnameserver 192.0.2.53 # first\nnameserver\t2001:db8::53\n\
                 nameserver 192.0.2.53\nnameserver nonsense\n;nameserver 192.0.2.99\noptions edns0\n"
            ),
            ["192.0.2.53:53", "[2001:db8::53]:53"]
        );
        assert_eq!(found(""), ["127.0.0.1:53"]);
        assert_eq!(found("nameserver fe80::1%2"), ["[fe80::1%2]:53"]);
        let four =
            "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n";
        assert_eq!(found(four).len(), SYSTEM_RESOLVERS_MAX);
    }
}
