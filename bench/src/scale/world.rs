//! What is asked: a root, a top-level domain and a zone of many names, a resolver before them, a web
//! server at many addresses, and hostile servers beside it.
//!
//! Their addresses are such as the Internet has, since a service at a loopback address is a fault. They
//! are this machine's own in a namespace that has no other interface than `lo`: nothing leaves it.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{Size, hostile, plan};
use crate::servers::{HTTPS_PORT, certificates, nginx_conf, program, write};

/// The zone of all services' names.
pub(crate) const APEX: &str = "bench.test";
/// Resolvers: one process at both addresses.
pub(crate) const RESOLVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::new(9, 9, 9, 9)];
const ROOT: Ipv4Addr = Ipv4Addr::new(198, 41, 0, 4);
const TOP: Ipv4Addr = Ipv4Addr::new(192, 5, 6, 30);
const OWN: [Ipv4Addr; 2] = [
    Ipv4Addr::new(205, 251, 192, 3),
    Ipv4Addr::new(205, 251, 193, 4),
];
/// What web and hostile servers stand in, a /24.
const WEB: Ipv4Addr = Ipv4Addr::new(54, 160, 1, 0);
/// Addresses of a web server: TIME_WAIT leaves some 470 connections a second for each and port.
const WEB_ADDRESSES: u32 = 128;
/// How long a server may take to listen.
const START_MAX: Duration = Duration::from_secs(20);

/// The servers; they end with this.
pub(crate) struct World {
    home: tempfile::TempDir,
    children: Vec<Child>,
    /// The hostile ones serve until this is closed.
    _hold: Option<ChildStdin>,
}

impl World {
    pub(crate) fn start(size: Size) -> Result<Self> {
        let home = tempfile::tempdir().context("failed to make a folder")?;
        let mut world = Self {
            home,
            children: Vec::new(),
            _hold: None,
        };
        let folder = world.home.path().to_owned();
        own_addresses()?;
        certificates(&folder, &format!("*.{APEX}"))?;
        world.name_servers(&folder, size)?;
        world.resolver(&folder)?;
        write(&folder, "nginx.conf", &nginx_conf(&folder))?;
        world.spawn("nginx", &["-p", ".", "-c", "nginx.conf", "-e", "stderr"])?;
        let this = std::env::current_exe().context("the system does not say what this is")?;
        let mut hostile = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(this)
            .arg("hostile")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("failed to start the hostile servers")?;
        world._hold = hostile.stdin.take();
        world.children.push(hostile);
        world.ready()?;
        Ok(world)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.home.path()
    }

    /// One process for each level, so that each says what one of its level would.
    fn name_servers(&mut self, folder: &Path, size: Size) -> Result<()> {
        let head = |apex: &str, server: &str| {
            format!(
                "{apex} 86400 SOA {server} host.test. 1 7200 3600 604800 3600\n{apex} 86400 NS {server}\n"
            )
        };
        let mut root = head(".", "a.root.test.");
        let _ = write!(
            root,
            "a.root.test. 86400 A {ROOT}\ntest. 86400 NS a.nic.test.\na.nic.test. 86400 A {TOP}\n"
        );
        write(
            folder,
            "root.hints",
            &format!(". 3600000 NS a.root.test.\na.root.test. 3600000 A {ROOT}\n"),
        )?;
        let mut top = head("test.", "a.nic.test.");
        let _ = write!(
            top,
            "a.nic.test. 86400 A {TOP}\na.root.test. 86400 A {ROOT}\n"
        );
        let mut own = head(&format!("{APEX}."), &format!("ns1.{APEX}."));
        let _ = writeln!(own, "{APEX}. 86400 NS ns2.{APEX}.");
        for (at, server) in OWN.iter().enumerate() {
            let name = format!("ns{}.{APEX}.", at + 1);
            let _ = writeln!(top, "{APEX}. 86400 NS {name}\n{name} 86400 A {server}");
            let _ = writeln!(own, "{name} 86400 A {server}");
        }
        for service in 0..size.services {
            let name = plan::name(service);
            let _ = writeln!(own, "{name}.{APEX}. 86400 A {}", web(service));
        }
        for (file, apex, zone, addresses) in [
            ("root", ".", root, &[ROOT][..]),
            ("top", "test", top, &[TOP]),
            ("own", APEX, own, &OWN),
        ] {
            write(folder, &format!("{file}.zone"), &zone)?;
            write(
                folder,
                &format!("{file}.conf"),
                &nsd_conf(folder, file, apex, addresses),
            )?;
            self.spawn("nsd", &["-d", "-c", &format!("{file}.conf")])?;
        }
        Ok(())
    }

    fn resolver(&mut self, folder: &Path) -> Result<()> {
        let home = folder.display();
        let [one, other] = RESOLVERS;
        // The top-level domain `test` is answered by unbound itself, unless it is told not to.
        let text = format!(
            "server:\n  interface: {one}\n  interface: {other}\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  \
             directory: \"{home}\"\n  pidfile: \"{home}/unbound.pid\"\n  use-syslog: no\n  access-control: 0.0.0.0/0 allow\n  module-config: \"iterator\"\n  root-hints: \"{home}/root.hints\"\n  \
             local-zone: \"test.\" nodefault\n  msg-cache-size: 64m\n  rrset-cache-size: 128m\n  \
             num-queries-per-thread: 2048\n  outgoing-range: 4096\nremote-control:\n  control-enable: no\n"
        );
        write(folder, "unbound.conf", &text)?;
        self.spawn("unbound", &["-d", "-c", "unbound.conf"])
    }

    /// On any core: who measures a whole program leaves that to the kernel.
    fn spawn(&mut self, what: &str, arguments: &[&str]) -> Result<()> {
        self.children
            .push(program(self.home.path(), None, what, arguments)?);
        Ok(())
    }

    fn ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        let dns = [ROOT, TOP, OWN[0], OWN[1], RESOLVERS[0]].map(|at| (at, 53));
        let ports = std::iter::once(HTTPS_PORT).chain(hostile::PORTS);
        for at in dns.into_iter().chain(ports.map(|port| (web(0), port))) {
            while TcpStream::connect(at).is_err() {
                if begun.elapsed() > START_MAX {
                    bail!("nothing listens at {}:{} after {START_MAX:?}", at.0, at.1);
                }
                sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for child in &mut self.children {
            // One that ended already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The address of a service's servers.
fn web(service: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(WEB) + 1 + service % WEB_ADDRESSES)
}

/// Makes all of these addresses this machine's own. Whoever calls has seen that there is only `lo`.
fn own_addresses() -> Result<()> {
    let single = [ROOT, TOP].into_iter().chain(OWN).chain(RESOLVERS);
    let networks = single.map(|at| format!("{at}/32"));
    for network in networks.chain([format!("{WEB}/24")]) {
        let status = Command::new("ip")
            .args(["route", "add", "local", &network, "dev", "lo"])
            .status()
            .context("failed to start `ip`")?;
        if !status.success() {
            bail!("{network} cannot be made an address of this machine");
        }
    }
    Ok(())
}

fn nsd_conf(folder: &Path, file: &str, apex: &str, addresses: &[Ipv4Addr]) -> String {
    let home = folder.display();
    let mut text = format!(
        "server:\n  port: 53\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{home}\"\n  database: \"\"\n  \
         pidfile: \"{home}/{file}.pid\"\n  xfrdfile: \"{home}/{file}.xfrd\"\n  zonelistfile: \"{home}/{file}.list\"\n  \
         xfrdir: \"{home}\"\n  server-count: 1\n  rrl-ratelimit: 0\n  rrl-whitelist-ratelimit: 0\n"
    );
    for address in addresses {
        let _ = writeln!(text, "  ip-address: {address}");
    }
    let _ = write!(
        text,
        "remote-control:\n  control-enable: no\nzone:\n  name: \"{apex}\"\n  zonefile: {file}.zone\n"
    );
    text
}
