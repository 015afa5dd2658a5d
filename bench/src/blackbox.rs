//! Debian's blackbox_exporter, driven by requests for `/probe` as Prometheus makes them.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::servers::{DNS_PORT, HTTPS_PORT, NAME, Servers, address, write};
use crate::{CORE_PROBES, IN_FLIGHT, Kind, cpu_of};

const PORT: u16 = 9115;
/// How long it may take to listen.
const START_MAX: Duration = Duration::from_secs(10);
/// Probes before anything is measured.
const WARM: u32 = 100;

/// The exporter; it ends with this.
pub(crate) struct Blackbox {
    child: Child,
}

impl Blackbox {
    pub(crate) fn start(servers: &Servers) -> Result<Self> {
        let root = servers.root();
        let modules = format!(
            "modules:\n  dns:\n    prober: dns\n    timeout: 5s\n    dns:\n      transport_protocol: udp\n      preferred_ip_protocol: ip4\n      \
             query_name: {NAME}\n      query_type: A\n  tcp:\n    prober: tcp\n    timeout: 5s\n    tcp:\n      preferred_ip_protocol: ip4\n  \
             https:\n    prober: http\n    timeout: 5s\n    http:\n      preferred_ip_protocol: ip4\n      headers: {{ Host: {NAME} }}\n      \
             tls_config: {{ ca_file: {root}, server_name: {NAME} }}\n  icmp:\n    prober: icmp\n    timeout: 5s\n    icmp:\n      preferred_ip_protocol: ip4\n"
        );
        write(servers.folder(), "blackbox.yml", &modules)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "taskset", "-c", CORE_PROBES, "prometheus-blackbox-exporter"])
            .arg(format!("--config.file={}", servers.folder().join("blackbox.yml").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{PORT}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start prometheus-blackbox-exporter; `scripts/install-deps.sh bench` installs it")?;
        let blackbox = Self { child };
        let begun = Instant::now();
        while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).is_err() {
            if begun.elapsed() > START_MAX {
                bail!("blackbox_exporter does not listen after {START_MAX:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(blackbox)
    }

    /// CPU of one probe, microseconds.
    pub(crate) fn cost(&self, kind: Kind) -> Result<f64> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("failed to start a runtime")?;
        runtime.block_on(drive(kind, WARM))?;
        // `taskset` and `setpriv` become the program: the process is the exporter's own.
        let before = cpu_of(self.child.id())?;
        runtime.block_on(drive(kind, kind.count()))?;
        let spent = cpu_of(self.child.id())? - before;
        Ok(spent.as_secs_f64() * 1e6 / f64::from(kind.count()))
    }
}

impl Drop for Blackbox {
    fn drop(&mut self) {
        // One that ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// It remembers nothing either way.
fn module(kind: Kind) -> &'static str {
    match kind {
        Kind::Dns => "dns",
        Kind::Tcp => "tcp",
        Kind::Https | Kind::Cold => "https",
        Kind::Icmp => "icmp",
    }
}

/// Asks for so many probes over connections that stay open, as Prometheus does.
async fn drive(kind: Kind, count: u32) -> Result<()> {
    let mut streams = JoinSet::new();
    let each = count / u32::try_from(IN_FLIGHT).unwrap_or(1);
    for first in 0..IN_FLIGHT {
        let first = u32::try_from(first).unwrap_or_default() * each;
        streams.spawn(scrapes(kind, first, each));
    }
    while let Some(done) = streams.join_next().await {
        done.context("a scrape panicked")??;
    }
    Ok(())
}

async fn scrapes(kind: Kind, first: u32, count: u32) -> Result<()> {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let mut stream = TcpStream::connect(at).await.context("no connection")?;
    let mut buffer = Vec::new();
    for n in first..first + count {
        let to = address(n);
        let target = match kind {
            Kind::Dns => format!("{to}:{DNS_PORT}"),
            Kind::Tcp => format!("{to}:{HTTPS_PORT}"),
            Kind::Https | Kind::Cold => format!("https://{to}:{HTTPS_PORT}/"),
            Kind::Icmp => to.to_string(),
        };
        let request = format!(
            "GET /probe?target={target}&module={} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            module(kind)
        );
        stream
            .write_all(request.as_bytes())
            .await
            .context("no request")?;
        let body = response(&mut stream, &mut buffer).await?;
        if !body.contains("probe_success 1") {
            bail!("blackbox_exporter failed to probe {target}: {body}");
        }
    }
    Ok(())
}

/// One response with its body, which is chunked or of a known length.
async fn response(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<String> {
    buffer.clear();
    loop {
        let read = stream.read_buf(buffer).await.context("no answer")?;
        let text = String::from_utf8_lossy(buffer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.parse::<usize>().ok());
            let whole = match length {
                Some(length) => body.len() >= length,
                None => body.ends_with("0\r\n\r\n"),
            };
            if whole {
                return Ok(body.to_owned());
            }
        }
        if read == 0 {
            bail!("blackbox_exporter closed the connection");
        }
    }
}
