//! The box: a network namespace in which every address is local.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags};
use rtnetlink::packet_route::route::{RouteScope, RouteType};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder, new_connection};

use crate::LabError;
use crate::sys;

/// MTU of the box's `lo`: that of Ethernet, for no fault of size is real on a link of 64 KiB.
const MTU: u32 = 1500;
/// The kernel's table of local addresses.
const TABLE_LOCAL: u32 = 255;
/// Tunnel ends that some kernels put into every new namespace. They are down and lead nowhere.
const FALLBACK_TUNNELS: [&str; 9] = [
    "tunl0", "sit0", "gre0", "gretap0", "erspan0", "ip6tnl0", "ip6gre0", "ip_vti0", "ip6_vti0",
];

/// Moves this process into a user and network namespace of its own, where nothing but `lo`
/// exists and `lo` is down.
///
/// To be called before any thread is started: the kernel takes no process with threads.
///
/// # Errors
/// If the system allows no such namespace.
pub fn enter_namespace() -> Result<(), LabError> {
    let (uid, gid) = sys::ids();
    match sys::unshare_user_and_net() {
        Ok(()) => map_ids(uid, gid),
        // A container may forbid user namespaces to root, who needs none.
        Err(_) if uid == 0 && sys::unshare_net().is_ok() => Ok(()),
        Err(source) => {
            let hint = match source.kind() {
                io::ErrorKind::PermissionDenied => {
                    " (are unprivileged user namespaces switched off? `sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0`)"
                }
                _ => "",
            };
            Err(LabError::Namespace {
                doing: "create a network namespace",
                hint,
                source,
            })
        }
    }
}

/// Becomes root inside the namespace (user_namespaces(7)).
fn map_ids(uid: u32, gid: u32) -> Result<(), LabError> {
    let write = |path: &str, text: String| {
        fs::write(path, text).map_err(|source| LabError::Namespace {
            doing: "map users",
            hint: "",
            source,
        })
    };
    // An unprivileged process must give up setgroups(2) before it may map its group.
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", format!("0 {gid} 1"))
}

/// Where the system says which resolvers are its own.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Makes a file the `resolv.conf` of a program that is to be started, and of its children.
pub(crate) fn give_resolv_conf(
    command: &mut tokio::process::Command,
    file: &Path,
) -> std::io::Result<()> {
    sys::sees(command, file, Path::new(RESOLV_CONF))
}

/// Makes a file the `resolv.conf` of this process and its children.
pub(crate) fn set_resolv_conf(file: &Path) -> Result<(), LabError> {
    sys::mount_over(file, Path::new(RESOLV_CONF)).map_err(|source| LabError::Namespace {
        doing: "put a resolv.conf in place",
        hint: "",
        source,
    })
}

/// Makes every address local. `vantage` holds the addresses that unbound clients dial from.
///
/// Without a source address in the route, an unbound client's source is its own target.
pub(crate) async fn set_up(vantage: (Ipv4Addr, Ipv6Addr)) -> Result<(), LabError> {
    let (connection, handle, _) = new_connection().map_err(|source| LabError::Namespace {
        doing: "open a netlink socket",
        hint: "",
        source,
    })?;
    let connection = tokio::spawn(connection);
    let lo = only_loopback(&handle).await?;
    let up = LinkUnspec::new_with_index(lo).mtu(MTU).up().build();
    handle
        .link()
        .change(up)
        .execute()
        .await
        .map_err(netlink("bring `lo` up"))?;
    routes(&handle, lo, vantage).await?;
    let address = handle.address().add(lo, IpAddr::V6(vantage.1), 128);
    address
        .execute()
        .await
        .map_err(netlink("add an IPv6 address"))?;
    connection.abort();
    // Both are extras: our own sockets bind freely anyway, and echo requests may be refused.
    let _ = fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1");
    let _ = fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0");
    Ok(())
}

/// Gives an address to `lo`, for servers that listen at addresses of interfaces alone. Clients
/// still dial from the vantage.
pub(crate) async fn give_address(address: IpAddr, vantage: Ipv4Addr) -> Result<(), LabError> {
    let (connection, handle, _) = new_connection().map_err(|source| LabError::Namespace {
        doing: "open a netlink socket",
        hint: "",
        source,
    })?;
    let connection = tokio::spawn(connection);
    let lo = only_loopback(&handle).await?;
    let prefix = if address.is_ipv4() { 32 } else { 128 };
    let add = handle.address().add(lo, address, prefix).replace();
    add.execute().await.map_err(netlink("add an address"))?;
    if let IpAddr::V4(v4) = address {
        // The address's own route would make it the source of whoever dials it.
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(v4, 32)
            .table_id(TABLE_LOCAL)
            .kind(RouteType::Local)
            .scope(RouteScope::Host)
            .output_interface(lo)
            .pref_source(vantage);
        let replace = handle.route().add(route.build()).replace();
        let replaced = replace.execute().await;
        replaced.map_err(netlink("set the source address"))?;
    }
    connection.abort();
    Ok(())
}

fn netlink(doing: &'static str) -> impl Fn(rtnetlink::Error) -> LabError {
    move |e| LabError::Netlink {
        doing,
        message: e.to_string(),
    }
}

/// The index of `lo`, if nothing else is there.
async fn only_loopback(handle: &Handle) -> Result<u32, LabError> {
    let mut links = handle.link().get().execute();
    let mut lo = None;
    while let Some(link) = links.try_next().await.map_err(netlink("list interfaces"))? {
        let name = link
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name.clone()),
                _ => None,
            });
        let name = name.unwrap_or_default();
        let is_up = link.header.flags.contains(LinkFlags::Up);
        if link.header.flags.contains(LinkFlags::Loopback) {
            lo = Some(link.header.index);
        } else if is_up || !FALLBACK_TUNNELS.contains(&name.as_str()) {
            return Err(LabError::Interface(name));
        }
    }
    lo.ok_or_else(|| LabError::Netlink {
        doing: "find `lo`",
        message: "there is none".to_owned(),
    })
}

async fn routes(handle: &Handle, lo: u32, vantage: (Ipv4Addr, Ipv6Addr)) -> Result<(), LabError> {
    let v4 = || {
        RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(Ipv4Addr::UNSPECIFIED, 0)
            .table_id(TABLE_LOCAL)
            .kind(RouteType::Local)
            .scope(RouteScope::Host)
            .output_interface(lo)
    };
    let add = handle.route().add(v4().build());
    add.execute()
        .await
        .map_err(netlink("make every IPv4 address local"))?;
    // The source must be local already when a route names it.
    let replace = handle
        .route()
        .add(v4().pref_source(vantage.0).build())
        .replace();
    replace
        .execute()
        .await
        .map_err(netlink("set the IPv4 source address"))?;
    let v6 = RouteMessageBuilder::<Ipv6Addr>::new()
        .destination_prefix(Ipv6Addr::UNSPECIFIED, 0)
        .table_id(TABLE_LOCAL)
        .kind(RouteType::Local)
        .output_interface(lo)
        .build();
    let add = handle.route().add(v6);
    add.execute()
        .await
        .map_err(netlink("make every IPv6 address local"))
}
