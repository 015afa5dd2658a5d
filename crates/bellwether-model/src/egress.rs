//! The pure rule that says which addresses may be dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Who named an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The operator typed or configured it: target, resolver, control, baseline.
    Operator,
    /// The system's own resolver gave it for the name that the operator typed.
    SystemResolver,
    /// The network named it: glue, other answers, redirects.
    Network,
}

/// What kind of address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressClass {
    /// Reachable by everybody.
    Public,
    /// Reserved for examples (RFC 5737, RFC 3849, RFC 9637); dialled, with a notice.
    Documentation,
    /// Private, shared or unique local (RFC 1918, RFC 6598, RFC 4193).
    Private,
    /// This host.
    Loopback,
    /// This link; the metadata service of clouds among them.
    LinkLocal,
    /// Nobody: unspecified, multicast, reserved, broadcast.
    Special,
}

/// The rule, with what the operator allows besides public addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Egress {
    /// Networks that answers, redirects and the like may lead to, besides public addresses.
    #[serde(default)]
    pub allow_networks: Vec<IpNet>,
}

impl Egress {
    /// May this address be dialled? `Err` says why not.
    ///
    /// # Errors
    /// The reason, with the class of the address.
    pub fn permits(&self, address: IpAddr, origin: Origin) -> Result<(), String> {
        let class = AddressClass::of(address);
        let address = unmapped(address);
        let allowed = match (class, origin) {
            (AddressClass::Public | AddressClass::Documentation, _) | (_, Origin::Operator) => true,
            (AddressClass::Special, _) => false,
            (_, Origin::SystemResolver) => true,
            (
                AddressClass::Private | AddressClass::Loopback | AddressClass::LinkLocal,
                Origin::Network,
            ) => self.allow_networks.iter().any(|net| net.contains(&address)),
        };
        if allowed {
            return Ok(());
        }
        let words = class.words();
        if class == AddressClass::Special {
            return Err(format!("{address} is {words}"));
        }
        Err(format!(
            "{address} is {words}, and the network named it; --allow-network {address} would allow it"
        ))
    }
}

impl AddressClass {
    /// The class of an address; an IPv4 address inside an IPv6 one counts as itself.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match unmapped(address) {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(a: Ipv4Addr) -> Self {
        let [b0, b1, b2, _] = a.octets();
        match (b0, b1, b2) {
            (127, ..) => Self::Loopback,
            (10, ..) | (192, 168, _) => Self::Private,
            (172, 16..=31, _) | (100, 64..=127, _) => Self::Private,
            (169, 254, _) => Self::LinkLocal,
            (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => Self::Documentation,
            (198, 18..=19, _) | (192, 0, 0) | (0, ..) | (224..=255, ..) => Self::Special,
            _ => Self::Public,
        }
    }

    fn of_v6(a: Ipv6Addr) -> Self {
        let s = a.segments();
        if a.is_loopback() {
            return Self::Loopback;
        }
        match s[0] {
            0xfc00..=0xfdff => Self::Private,
            0xfe80..=0xfebf => Self::LinkLocal,
            0x2001 if s[1] == 0xdb8 => Self::Documentation,
            0x3fff if s[1] < 0x1000 => Self::Documentation,
            // 6to4 carries IPv4 addresses too (RFC 3056 section 2: public ones alone).
            0x2002 => Self::of_v4(embedded(s[1], s[2])),
            0x2000..=0x3fff => Self::Public,
            // NAT64's well-known prefix (RFC 6052) carries public IPv4 addresses.
            0x0064 if s[1] == 0xff9b && s[2..6] == [0; 4] => Self::of_v4(embedded(s[6], s[7])),
            _ => Self::Special,
        }
    }

    /// For messages.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Documentation => "reserved for documentation",
            Self::Private => "private",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Special => "no address of a host",
        }
    }

    /// May it stand in a public answer?
    #[must_use]
    pub fn is_public(self) -> bool {
        matches!(self, Self::Public | Self::Documentation)
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}

/// `::ffff:192.0.2.1` as `192.0.2.1`: the kernel dials the latter.
fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_network_names_is_dialled_only_if_public() {
        let egress = Egress::default();
        let network = |text: &str| {
            egress
                .permits(text.parse().unwrap(), Origin::Network)
                .is_ok()
        };
        for public in [
            "8.8.8.8",
            "192.0.2.1",
            "2001:db8::1",
            "2620:fe::fe",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert!(network(public), "{public}");
        }
        for inside in [
            "10.0.0.5",
            "127.0.0.1",
            "0.0.0.0",
            "169.254.169.254",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "fe80::1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "64:ff9b::a00:1",
            "::127.0.0.1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::808:808",
            "::ffff:169.254.169.254",
        ] {
            assert!(!network(inside), "{inside}");
        }
    }

    #[test]
    fn the_operator_may_name_private_addresses() {
        let egress = Egress::default();
        let private: IpAddr = "10.0.0.5".parse().unwrap();
        assert!(egress.permits(private, Origin::Operator).is_ok());
        assert!(egress.permits(private, Origin::SystemResolver).is_ok());
        let allowing = Egress {
            allow_networks: vec!["10.0.0.0/8".parse().unwrap()],
        };
        assert!(allowing.permits(private, Origin::Network).is_ok());
    }
}
