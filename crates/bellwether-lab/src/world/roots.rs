//! What exists in every world: root servers, public resolvers, servers of top-level domains.

use std::fmt::Write as _;
use std::net::IpAddr;

/// The root servers' letters with their addresses, as in the hints file that InterNIC publishes.
pub(crate) const ROOT_SERVERS: [(&str, &str, &str); 13] = [
    ("a", "198.41.0.4", "2001:503:ba3e::2:30"),
    ("b", "170.247.170.2", "2801:1b8:10::b"),
    ("c", "192.33.4.12", "2001:500:2::c"),
    ("d", "199.7.91.13", "2001:500:2d::d"),
    ("e", "192.203.230.10", "2001:500:a8::e"),
    ("f", "192.5.5.241", "2001:500:2f::f"),
    ("g", "192.112.36.4", "2001:500:12::d0d"),
    ("h", "198.97.190.53", "2001:500:1::53"),
    ("i", "192.36.148.17", "2001:7fe::53"),
    ("j", "192.58.128.30", "2001:503:c27::2:30"),
    ("k", "193.0.14.129", "2001:7fd::1"),
    ("l", "199.7.83.42", "2001:500:9f::42"),
    ("m", "202.12.27.33", "2001:dc3::35"),
];

/// The public resolvers that are controls of every check; they answer unless a scenario says
/// otherwise.
pub(crate) const CONTROL_RESOLVERS: [&str; 6] = [
    "1.1.1.1",
    "8.8.8.8",
    "9.9.9.9",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "2620:fe::fe",
];

/// Other public resolvers whose addresses renaming keeps.
pub(crate) const PUBLIC_RESOLVERS: [&str; 16] = [
    "1.0.0.1",
    "8.8.4.4",
    "149.112.112.112",
    "9.9.9.10",
    "4.2.2.1",
    "4.2.2.2",
    "4.2.2.3",
    "4.2.2.4",
    "208.67.222.222",
    "208.67.220.220",
    "64.6.64.6",
    "64.6.65.6",
    "94.140.14.14",
    "2606:4700:4700::1001",
    "2001:4860:4860::8844",
    "2620:fe::9",
];

/// Top-level domains that every world has.
pub(crate) const TLDS: [&str; 3] = ["com", "net", "org"];

/// Servers of the top-level domains that every world has.
pub(crate) const TLD_SERVERS: [(&str, [&str; 2]); 2] = [
    ("a.gtld-servers.net", ["192.5.6.30", "2001:503:a83e::2:30"]),
    (
        "b.gtld-servers.net",
        ["192.33.14.30", "2001:503:231d::2:30"],
    ),
];

/// Where unbound clients in the box dial from, unless the scenario says otherwise.
pub(crate) const VANTAGE: [&str; 2] = ["84.17.47.10", "2a02:6ea0:c700::10"];

/// The resolver of the vantage's provider, in worlds that people enter and that give the vantage
/// none of its own.
pub(crate) const SYSTEM_RESOLVER: &str = "84.17.47.53";

/// A constant address.
pub(crate) fn fixed(text: &str) -> IpAddr {
    text.parse()
        .expect("addresses in this file are well-formed")
}

/// `a.root-servers.net.` and so on, with their addresses.
pub(crate) fn root_servers() -> impl Iterator<Item = (String, [IpAddr; 2])> {
    ROOT_SERVERS.iter().map(|(letter, v4, v6)| {
        (
            format!("{letter}.root-servers.net."),
            [fixed(v4), fixed(v6)],
        )
    })
}

/// A hints file.
pub(crate) fn hints() -> String {
    let mut text = String::from("; root servers of the box\n");
    for (name, [v4, v6]) in root_servers() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, ".      3600000  NS    {name}");
        let _ = writeln!(text, "{name}  3600000  A     {v4}");
        let _ = writeln!(text, "{name}  3600000  AAAA  {v6}");
    }
    text
}

/// Addresses that renaming keeps, and that no scenario address may take: root servers, servers of
/// the well-known top-level domains, public resolvers.
pub(crate) fn pinned() -> impl Iterator<Item = IpAddr> {
    let roots = root_servers().flat_map(|(_, addresses)| addresses);
    let tlds = TLD_SERVERS
        .iter()
        .flat_map(|(_, addresses)| addresses.iter().map(|a| fixed(a)));
    let resolvers = CONTROL_RESOLVERS
        .iter()
        .chain(&PUBLIC_RESOLVERS)
        .map(|a| fixed(a));
    roots.chain(tlds).chain(resolvers)
}
