//! The servers that are probed: NSD and nginx, at every address of 127.0.0.0/8.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use crate::CORE_SERVES;

/// The name that is asked for.
pub(crate) const NAME: &str = "www.bench.test";
pub(crate) const DNS_PORT: u16 = 5353;
pub(crate) const HTTPS_PORT: u16 = 8443;
/// TIME_WAIT leaves some 470 connections a second for each address and port.
const ADDRESSES: u8 = 128;
/// How long a server may take to listen.
const START_MAX: Duration = Duration::from_secs(10);

/// The servers; they end with this.
pub(crate) struct Servers {
    home: tempfile::TempDir,
    children: Vec<Child>,
}

/// The address of the n-th probe.
pub(crate) fn address(n: u32) -> Ipv4Addr {
    let last = n % u32::from(ADDRESSES);
    Ipv4Addr::new(127, 0, 1, u8::try_from(last).unwrap_or(0) + 1)
}

impl Servers {
    pub(crate) fn start() -> Result<Self> {
        let home = tempfile::tempdir().context("failed to make a folder")?;
        let mut servers = Self {
            home,
            children: Vec::new(),
        };
        let folder = servers.home.path().to_owned();
        certificates(&folder, NAME)?;
        servers.nsd(&folder)?;
        servers.nginx(&folder)?;
        servers.ready()?;
        Ok(servers)
    }

    /// The root that clients trust, as a file.
    pub(crate) fn root(&self) -> String {
        self.home.path().join("root.pem").display().to_string()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.home.path()
    }

    fn nsd(&mut self, folder: &Path) -> Result<()> {
        let home = folder.display();
        let mut text = format!(
            "server:\n  port: {DNS_PORT}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{home}\"\n  database: \"\"\n  \
             pidfile: \"{home}/nsd.pid\"\n  xfrdfile: \"{home}/xfrd\"\n  zonelistfile: \"{home}/zones\"\n  xfrdir: \"{home}\"\n  server-count: 1\n  rrl-ratelimit: 0\n  rrl-whitelist-ratelimit: 0\n"
        );
        for n in 0..u32::from(ADDRESSES) {
            text += &format!("  ip-address: {}\n", address(n));
        }
        text +=
            "remote-control:\n  control-enable: no\nzone:\n  name: bench.test\n  zonefile: zone\n";
        write(folder, "nsd.conf", &text)?;
        let zone = format!(
            "bench.test. 300 SOA ns.bench.test. host.bench.test. 1 60 60 60 60\nbench.test. 300 NS ns.bench.test.\n\
             ns.bench.test. 300 A 127.0.1.1\n{NAME}. 300 A 127.0.1.1\n"
        );
        write(folder, "zone", &zone)?;
        self.spawn("nsd", &["-d", "-c", "nsd.conf"])
    }

    fn nginx(&mut self, folder: &Path) -> Result<()> {
        write(folder, "nginx.conf", &nginx_conf(folder))?;
        self.spawn("nginx", &["-p", ".", "-c", "nginx.conf", "-e", "stderr"])
    }

    fn spawn(&mut self, what: &str, arguments: &[&str]) -> Result<()> {
        let child = program(self.home.path(), Some(CORE_SERVES), what, arguments)?;
        self.children.push(child);
        Ok(())
    }

    fn ready(&self) -> Result<()> {
        let begun = Instant::now();
        for port in [DNS_PORT, HTTPS_PORT] {
            while TcpStream::connect((address(0), port)).is_err() {
                if begun.elapsed() > START_MAX {
                    bail!("nothing listens on port {port} after {START_MAX:?}");
                }
                sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            // One that ended already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A server, on the given core or on any; ends with this process.
pub(crate) fn program(
    folder: &Path,
    core: Option<&str>,
    what: &str,
    arguments: &[&str],
) -> Result<Child> {
    let log = fs::File::create(folder.join(format!("{what}.log"))).context("failed to write")?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(core) = core {
        command.args(["taskset", "-c", core]);
    }
    command
        .arg(what)
        .args(arguments)
        .current_dir(folder)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .with_context(|| {
            format!("failed to start {what}; `scripts/install-deps.sh bench` installs it")
        })
}

/// A web server at every address, TLS 1.3 alone, a new handshake for each connection.
pub(crate) fn nginx_conf(folder: &Path) -> String {
    let home = folder.display();
    format!(
        "user root;\ndaemon off;\nmaster_process off;\npid {home}/nginx.pid;\nerror_log stderr;\nevents {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 1;\n  client_body_temp_path {home}/a;\n  proxy_temp_path {home}/b;\n  fastcgi_temp_path {home}/c;\n  \
         uwsgi_temp_path {home}/d;\n  scgi_temp_path {home}/e;\n  ssl_session_cache off;\n  ssl_session_tickets off;\n  server {{\n    \
         listen 0.0.0.0:{HTTPS_PORT} ssl backlog=4096;\n    ssl_protocols TLSv1.3;\n    ssl_certificate {home}/chain.pem;\n    ssl_certificate_key {home}/key.pem;\n    \
         location / {{ return 200 \"It works.\\n\"; }}\n  }}\n}}\n"
    )
}

pub(crate) fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    fs::write(folder.join(name), text).with_context(|| format!("failed to write {name}"))
}

/// Root, intermediate and the leaf of a name, all ECDSA P-256.
pub(crate) fn certificates(folder: &Path, name: &str) -> Result<()> {
    let authority = |issuer: &str| -> Result<(CertificateParams, KeyPair)> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, issuer);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.use_authority_key_identifier_extension = true;
        Ok((params, KeyPair::generate()?))
    };
    let (params, key) = authority("Bench Root")?;
    let root = CertifiedIssuer::self_signed(params, key)?;
    let (params, key) = authority("Bench Intermediate")?;
    let intermediate = CertifiedIssuer::signed_by(params, key, &root)?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2036, 1, 1);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let leaf = params.signed_by(&key, &intermediate)?;
    write(folder, "root.pem", &root.pem())?;
    write(folder, "chain.pem", &(leaf.pem() + &intermediate.pem()))?;
    write(folder, "key.pem", &key.serialize_pem())
}
