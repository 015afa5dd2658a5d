//! Configuration and zone files of DNS servers.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::Recipe;
use super::plan::{Plan, Serving};
use crate::LabError;
use crate::scenario::Software;

/// Where the world keeps what resolvers need.
const HINTS: &str = "root.hints";
const KEY: &str = "root.key";

pub(super) fn recipe(plan: &Plan, world: &Path, home: &Path) -> Result<Recipe, LabError> {
    let mut files = Vec::new();
    let mut zones = Vec::new();
    if let Serving::Zones { zones: all } = &plan.serving {
        for (index, (apex, text)) in all.iter().enumerate() {
            let file = format!("zone-{index}");
            zones.push((apex.clone(), home.join(&file).display().to_string()));
            files.push((file, text.clone()));
        }
    }
    let place = Place {
        address: plan.at.ip(),
        home: home.display().to_string(),
        zones,
    };
    let (name, text, arguments): (&str, String, &[&str]) = match (plan.software, &plan.serving) {
        (Software::Nsd, _) => ("nsd.conf", place.nsd(), &["-d", "-c", "nsd.conf"]),
        (Software::Knot, _) => ("knot.conf", place.knot(), &["-c", "knot.conf"]),
        (Software::Pdns, _) => {
            files.push(("bind.conf".to_owned(), place.bind_zones()));
            ("pdns.conf", place.pdns(), &["--config-dir=."])
        }
        (
            Software::Unbound,
            Serving::Recursion {
                validates, refuses, ..
            },
        ) => {
            let words = Words {
                validates: *validates,
                refuses: *refuses,
            };
            (
                "unbound.conf",
                place.unbound(words, world),
                &["-d", "-c", "unbound.conf"],
            )
        }
        (
            _,
            Serving::Recursion {
                validates, refuses, ..
            },
        ) => {
            let words = Words {
                validates: *validates,
                refuses: *refuses,
            };
            let key = anchor(&world.join(KEY))?;
            (
                "named.conf",
                place.named_resolver(words, world, &key),
                NAMED,
            )
        }
        (_, _) => ("named.conf", place.named(), NAMED),
    };
    files.push((name.to_owned(), text));
    Ok(Recipe {
        arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
        files,
    })
}

/// In the foreground, one thread, log to standard error.
const NAMED: &[&str] = &["-g", "-n", "1", "-c", "named.conf"];

#[derive(Clone, Copy)]
struct Words {
    validates: bool,
    refuses: bool,
}

/// Where a server stands, and the files of its zones.
struct Place {
    address: IpAddr,
    home: String,
    zones: Vec<(String, String)>,
}

impl Place {
    fn nsd(&self) -> String {
        let Self { address, home, .. } = self;
        let mut text = format!(
            "server:\n  ip-address: {address}\n  port: 53\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{home}\"\n  \
             database: \"\"\n  pidfile: \"{home}/nsd.pid\"\n  xfrdfile: \"{home}/xfrd.state\"\n  zonelistfile: \"{home}/zone.list\"\n  \
             xfrdir: \"{home}\"\n  server-count: 1\n  verbosity: 1\nremote-control:\n  control-enable: no\n"
        );
        for (apex, file) in &self.zones {
            // Writing to a string cannot fail.
            let _ = write!(text, "zone:\n  name: \"{apex}\"\n  zonefile: \"{file}\"\n");
        }
        text
    }

    fn knot(&self) -> String {
        let Self { address, home, .. } = self;
        let mut text = format!(
            "server:\n    listen: \"{address}@53\"\n    rundir: \"{home}\"\n    udp-workers: 1\n    tcp-workers: 1\n    \
             background-workers: 1\nlog:\n  - target: stderr\n    any: warning\ndatabase:\n    storage: \"{home}\"\n\
             template:\n  - id: default\n    storage: \"{home}\"\n    journal-content: none\n    zonefile-sync: -1\nzone:\n"
        );
        for (apex, file) in &self.zones {
            let _ = write!(text, "  - domain: \"{apex}\"\n    file: \"{file}\"\n");
        }
        text
    }

    fn pdns(&self) -> String {
        let Self { address, home, .. } = self;
        format!(
            "launch=bind\nbind-config={home}/bind.conf\nlocal-address={address}\nlocal-port=53\nsocket-dir={home}\n\
             daemon=no\nguardian=no\ndisable-syslog=yes\nreceiver-threads=1\ndistributor-threads=1\nlog-dns-queries=no\n\
             loglevel=4\nsecurity-poll-suffix=\n"
        )
    }

    fn bind_zones(&self) -> String {
        let mut text = String::new();
        for (apex, file) in &self.zones {
            let _ = writeln!(text, "zone \"{apex}\" {{ type master; file \"{file}\"; }};");
        }
        text
    }

    fn named(&self) -> String {
        format!(
            "options {{\n{}  recursion no;\n  dnssec-validation no;\n  notify no;\n}};\ncontrols {{ }};\n{}",
            self.named_options(),
            self.bind_zones()
        )
    }

    fn named_options(&self) -> String {
        let Self { address, home, .. } = self;
        let (v4, v6, source) = match address {
            IpAddr::V4(_) => (address.to_string(), "none".to_owned(), "query-source"),
            IpAddr::V6(_) => ("none".to_owned(), address.to_string(), "query-source-v6"),
        };
        format!(
            "  directory \"{home}\";\n  pid-file \"{home}/named.pid\";\n  session-keyfile \"{home}/session.key\";\n  \
             listen-on {{ {v4}; }};\n  listen-on-v6 {{ {v6}; }};\n  {source} address {address};\n  allow-query {{ any; }};\n"
        )
    }

    fn named_resolver(&self, words: Words, world: &Path, key: &str) -> String {
        let validation = if words.validates { "yes" } else { "no" };
        let clients = if words.refuses { "none" } else { "any" };
        format!(
            "options {{\n{}  recursion yes;\n  allow-recursion {{ {clients}; }};\n  dnssec-validation {validation};\n}};\ncontrols {{ }};\n\
             trust-anchors {{ \".\" static-key {key}; }};\nzone \".\" {{ type hint; file \"{}\"; }};\n",
            self.named_options().replace(
                "allow-query { any; }",
                &format!("allow-query {{ {clients}; }}")
            ),
            world.join(HINTS).display()
        )
    }

    /// `test.` exists in the box, where Unbound denies it by itself (RFC 6761 section 6.2).
    fn unbound(&self, words: Words, world: &Path) -> String {
        let Self { address, home, .. } = self;
        let modules = if words.validates {
            "validator iterator"
        } else {
            "iterator"
        };
        let clients = if words.refuses { "refuse" } else { "allow" };
        format!(
            "server:\n  interface: {address}\n  port: 53\n  outgoing-interface: {address}\n  access-control: 0.0.0.0/0 {clients}\n  \
             access-control: ::/0 {clients}\n  username: \"\"\n  chroot: \"\"\n  directory: \"{home}\"\n  pidfile: \"{home}/unbound.pid\"\n  \
             use-syslog: no\n  logfile: \"\"\n  num-threads: 1\n  do-daemonize: no\n  module-config: \"{modules}\"\n  root-hints: \"{}\"\n  \
             trust-anchor-file: \"{}\"\n  ede: yes\n  aggressive-nsec: no\n  local-zone: \"test.\" nodefault\nremote-control:\n  control-enable: no\n",
            world.join(HINTS).display(),
            world.join(KEY).display()
        )
    }
}

/// A DNSKEY record as named wants it: flags, protocol and algorithm, and the key in quotes.
fn anchor(file: &Path) -> Result<String, LabError> {
    let text = fs::read_to_string(file).map_err(|source| LabError::File {
        doing: "read",
        path: file.to_owned(),
        source,
    })?;
    let fields: Vec<&str> = text.split_whitespace().collect();
    let data = fields
        .iter()
        .position(|f| *f == "DNSKEY")
        .map_or(0, |at| at + 1);
    let data = &fields[data..];
    let (head, key) = data.split_at(data.len().min(3));
    Ok(format!("{} \"{}\"", head.join(" "), key.concat()))
}
