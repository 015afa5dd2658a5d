//! The configuration: services of five checks each, some with hostile servers.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Size;
use super::hostile::PORTS;
use super::world::{APEX, RESOLVERS};
use crate::servers::HTTPS_PORT;

/// Checks of a service: three of DNS, one of TCP, one of HTTPS, which is the mix of the budget.
pub(crate) const CHECKS_EACH: u32 = 5;
/// Of them, those that may have a hostile server.
const TARGETS_EACH: u32 = 2;
/// Of a hundred checks, the most that can have a hostile server.
pub(crate) const HOSTILE_MAX: u32 = 100 * TARGETS_EACH / CHECKS_EACH;

/// A configuration on the disk.
pub(crate) struct Written {
    pub(crate) path: PathBuf,
    pub(crate) lines: usize,
}

/// The name of a service.
pub(crate) fn name(service: u32) -> String {
    format!("s{service:05}")
}

/// The port that a service's TCP and HTTPS checks go to: hostile services are spread evenly.
fn port(size: Size, service: u32) -> u16 {
    // Two checks of a hostile service are hostile, so more services are than checks.
    let share = size.hostile * CHECKS_EACH / TARGETS_EACH;
    let before = service * share / 100;
    let is_hostile = (service + 1) * share / 100 > before;
    match is_hostile {
        true => PORTS[before as usize % PORTS.len()],
        false => HTTPS_PORT,
    }
}

/// Writes it into a folder.
pub(crate) fn write(folder: &Path, size: Size) -> Result<Written> {
    let home = folder.display();
    let mut text = format!(
        "defaults: {{ every: {}s, timeout: 5s, deep_every: {}s }}\n\
         trust: {{ ca_files: [{home}/root.pem], root_hints: {home}/root.hints, trust_anchor: none }}\n\
         controls: []\nresolvers:\n",
        size.every, size.deep_every
    );
    for (at, address) in RESOLVERS.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  - {{ name: resolver-{at}, address: {address} }}");
    }
    text += "services:\n";
    for service in 0..size.services {
        let name = name(service);
        let port = port(size, service);
        let _ = write!(
            text,
            "  - name: {name}\n    checks:\n      \
             - {{ name: dns-0, dns: {{ name: {name}.{APEX}, type: A }} }}\n      \
             - {{ name: dns-1, dns: {{ name: {name}.{APEX}, type: A }} }}\n      \
             - {{ name: dns-2, dns: {{ name: {name}.{APEX}, type: A }} }}\n      \
             - {{ name: tcp, tcp: {{ address: \"{name}.{APEX}:{port}\" }} }}\n      \
             - {{ name: web, http: {{ url: \"https://{name}.{APEX}:{port}/\" }} }}\n"
        );
    }
    let path = folder.join("bellwether.yaml");
    fs::write(&path, &text).context("failed to write the configuration")?;
    Ok(Written {
        path,
        lines: text.lines().count(),
    })
}
