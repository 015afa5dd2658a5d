//! Validated configuration, as the program uses it. Neither reads nor writes a file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::job::Control;
use bellwether_model::{Resolver, Service};
use ipnet::IpNet;
use serde::Serialize;

use crate::secret::{REDACTED, Secret};
use crate::substitute;
use crate::telling::{Heartbeat, Maintenance, Receiver, Route, StatusPage};

/// Version of the format that this program reads.
pub const VERSION: u32 = 1;

/// How often a check runs if nothing else is said.
pub const EVERY_DEFAULT: Duration = Duration::from_secs(60);

/// How long one attempt may take if nothing else is said.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// How often a deep trace is made if nothing else is said.
pub const DEEP_EVERY_DEFAULT: Duration = Duration::from_secs(15 * 60);

/// Where the hub listens if nothing else is said: nobody but this machine reaches it.
pub const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8400);

/// Where agents link to if nothing else is said: nobody but this machine reaches it.
pub const AGENTS_LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8401);

/// One day.
const DAY: Duration = Duration::from_secs(86_400);

/// Validated configuration: everything that one or several files say, with the defaults filled in.
#[derive(Clone, PartialEq)]
pub struct Config {
    /// Version of the format.
    pub version: u32,
    /// Where the hub listens and keeps its data.
    pub hub: Hub,
    /// Whom to trust.
    pub trust: Trust,
    /// What checks inherit.
    pub defaults: Defaults,
    /// Where the hub itself measures: what `vantages` says of the built-in `local`.
    pub local: Vantage,
    /// Where agents stand, besides that.
    pub vantages: Vec<Vantage>,
    /// Resolvers to ask, in the order of the file; empty means the system's, and for public names
    /// the three public ones of the program.
    pub resolvers: Vec<Resolver>,
    /// What must work if the vantage works; `None` means the program's own, empty means none.
    pub controls: Option<Vec<Control>>,
    /// What answers, redirects and the like may lead to, besides public addresses.
    pub allow_networks: Vec<IpNet>,
    /// What is watched, in the order of the file.
    pub services: Vec<Service>,
    /// Who must report in time.
    pub heartbeats: Vec<Heartbeat>,
    /// Who can be told; everything critical goes to the first unless `route` says otherwise.
    pub receivers: Vec<Receiver>,
    /// Who is told what.
    pub route: Option<Route>,
    /// When faults are expected.
    pub maintenance: Vec<Maintenance>,
    /// What the public is shown.
    pub status_pages: Vec<StatusPage>,
    /// How long data are kept.
    pub retention: Retention,
    /// SHA-256 of everything that was read, in hexadecimal: of the files with their names, and of
    /// what `${…}` stood for. The same digest means the same configuration. Empty if nothing was
    /// read.
    pub digest: String,
    /// Each value that a `${…}` stood for, for [`Config::scrub`].
    pub secrets: Vec<Secret>,
    /// What was written, as JSON, for [`Config::redacted`]: as text it takes a tenth of the memory.
    pub written: Arc<str>,
}

/// Where the hub listens and keeps its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hub {
    /// Where the API and the pages are served.
    pub listen: SocketAddr,
    /// Where agents link to; `None`: [`AGENTS_LISTEN_DEFAULT`], where there are vantages.
    pub agents_listen: Option<SocketAddr>,
    /// Where data are kept; `None` leaves it to the program.
    pub data_dir: Option<PathBuf>,
    /// In what.
    pub store: StoreChoice,
}

/// Which engine keeps what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreChoice {
    /// Incidents, evidence, tokens.
    pub state: StoreEngine,
    /// Results.
    pub observations: StoreEngine,
}

/// A store's engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreEngine {
    /// In the data directory; no server to run.
    #[default]
    Embedded,
}

/// Whom to trust.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trust {
    /// Files with further trust anchors for TLS, PEM.
    pub ca_files: Vec<PathBuf>,
    /// The root name servers.
    pub root_hints: RootHintsFrom,
    /// The root's key.
    pub trust_anchor: TrustAnchorFrom,
    /// The table of prefixes, AS numbers and owners: MMDB, or CSV.
    pub asn_table: Option<PathBuf>,
}

impl Trust {
    /// The files that it names.
    #[must_use]
    pub fn files(&self) -> Vec<&Path> {
        let Self {
            ca_files,
            root_hints,
            trust_anchor,
            asn_table,
        } = self;
        let mut files: Vec<&Path> = ca_files.iter().map(PathBuf::as_path).collect();
        match root_hints {
            RootHintsFrom::File(path) => files.push(path),
            RootHintsFrom::Shipped => {}
        }
        match trust_anchor {
            TrustAnchorFrom::File(path) => files.push(path),
            TrustAnchorFrom::Shipped | TrustAnchorFrom::None => {}
        }
        files.extend(asn_table.as_deref());
        files
    }
}

/// Where the root name servers' addresses come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RootHintsFrom {
    /// The program.
    #[default]
    Shipped,
    /// A hints file as InterNIC publishes it.
    File(PathBuf),
}

/// Where the root's key comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustAnchorFrom {
    /// The program.
    #[default]
    Shipped,
    /// A file with DS or DNSKEY records in zone-file form.
    File(PathBuf),
    /// Nowhere: signatures are not validated.
    None,
}

/// What checks inherit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Defaults {
    /// How often a check runs.
    pub every: Duration,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How often a deep trace is made, though nothing fails and nothing changes.
    pub deep_every: Duration,
}

/// Where an agent stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vantage {
    /// Its name, unique; an agent enrols as it.
    pub name: String,
    /// The part of the world it stands in; vantages of one region are judged together.
    pub region: Option<String>,
    /// The number of its autonomous system.
    pub network: Option<u32>,
    /// How it is connected.
    pub access: Option<Access>,
}

impl Vantage {
    /// The name of the vantage that is built in.
    pub const LOCAL: &str = "local";

    /// The built-in one, of which nothing is said.
    #[must_use]
    pub fn local() -> Self {
        Self {
            name: Self::LOCAL.to_owned(),
            region: None,
            network: None,
            access: None,
        }
    }
}

/// How a vantage is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// As homes and offices are.
    Eyeball,
    /// In a data centre.
    Cloud,
    /// At a carrier.
    Transit,
}

/// How long data are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Retention {
    /// Single results.
    pub raw: Duration,
    /// Sums over them.
    pub rollups: Duration,
    /// Most bytes of all data; the oldest go first.
    pub max_size: u64,
}

impl Hub {
    /// Where agents link to: nowhere, unless that is said or somebody is to come.
    #[must_use]
    pub fn agents_at(&self, vantages: &[Vantage]) -> Option<SocketAddr> {
        let default = (!vantages.is_empty()).then_some(AGENTS_LISTEN_DEFAULT);
        self.agents_listen.or(default)
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            listen: LISTEN_DEFAULT,
            agents_listen: None,
            data_dir: None,
            store: StoreChoice::default(),
        }
    }
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            every: EVERY_DEFAULT,
            timeout: TIMEOUT_DEFAULT,
            deep_every: DEEP_EVERY_DEFAULT,
        }
    }
}

impl Default for Retention {
    /// 30 days, 13 months, 20 GiB.
    fn default() -> Self {
        Self {
            raw: DAY * 30,
            rollups: DAY * 390,
            max_size: 20 << 30,
        }
    }
}

impl Default for Config {
    /// What is in force without a file: nothing is watched, and the API is there for this machine.
    fn default() -> Self {
        Self {
            version: VERSION,
            hub: Hub::default(),
            trust: Trust::default(),
            defaults: Defaults::default(),
            local: Vantage::local(),
            vantages: Vec::new(),
            resolvers: Vec::new(),
            controls: None,
            allow_networks: Vec::new(),
            services: Vec::new(),
            heartbeats: Vec::new(),
            receivers: Vec::new(),
            route: None,
            maintenance: Vec::new(),
            status_pages: Vec::new(),
            retention: Retention::default(),
            digest: String::new(),
            secrets: Vec::new(),
            written: Arc::from("{}"),
        }
    }
}

/// Counts and the digest. Targets, labels and the like may hold what a `${…}` stood for.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("digest", &self.digest)
            .field("services", &self.services.len())
            .field("checks", &self.checks())
            .finish_non_exhaustive()
    }
}

impl Config {
    /// How many checks there are.
    #[must_use]
    pub fn checks(&self) -> usize {
        self.services.iter().map(|s| s.checks.len()).sum()
    }

    /// Runs a minute from each vantage, all checks together.
    #[must_use]
    pub fn runs_per_minute(&self) -> f64 {
        let checks = self.services.iter().flat_map(|s| &s.checks);
        checks.map(|check| 60.0 / check.every.as_secs_f64()).sum()
    }

    /// What the operator should know of a configuration that is valid: which sections nothing acts
    /// on in this version, and that nobody is told.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        if self.services.is_empty() && self.heartbeats.is_empty() {
            notices.push(
                "nothing is watched: write `services:` with one entry of `name:` and `url:`"
                    .to_owned(),
            );
        }
        if self.receivers.is_empty() {
            notices.push("there is no receiver: nobody is told when something breaks".to_owned());
        }
        let waiting = [
            ("receivers", !self.receivers.is_empty()),
            ("route", self.route.is_some()),
            ("status_pages", !self.status_pages.is_empty()),
        ];
        for (section, _) in waiting.iter().filter(|(_, is_there)| *is_there) {
            notices.push(format!(
                "`{section}:` is read and validated, and nothing acts on it in this version"
            ));
        }
        let contracts = self.services.iter();
        let contracts = contracts.filter(|s| s.promises.address_contract.is_some());
        match contracts.count() {
            0 => {}
            n => notices.push(format!(
                "`address_contract:` of {n} services is read and validated, and nothing acts on it in this version"
            )),
        }
        notices
    }

    /// What was written, with the defaults of the sections filled in, for whoever asks what is in
    /// force. Secrets, and every text with a `${…}` in it, are `***`.
    #[must_use]
    pub fn redacted(&self) -> serde_json::Value {
        crate::echo::redacted(self)
    }

    /// A text with everything that a `${…}` stood for replaced by `***`, also where a URL has it
    /// percent-encoded.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            let secret = secret.expose();
            if secret.len() < substitute::SCRUBBED_LEN_MIN {
                continue;
            }
            if text.contains(secret) {
                text = text.replace(secret, REDACTED);
            }
            if text.contains('%') {
                text = in_url(&text, secret);
            }
        }
        text
    }
}

/// A text without a secret that stands in it with some of its bytes percent-encoded: which ones, is
/// up to whoever encoded it.
fn in_url(text: &str, secret: &str) -> String {
    let mut scrubbed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        match encoded_len(rest.as_bytes(), secret.as_bytes()) {
            Some(len) => {
                scrubbed.push_str(REDACTED);
                rest = &rest[len..];
            }
            None => {
                scrubbed.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    scrubbed
}

/// How many bytes at the start of `text` are the secret, each byte as it is or as `%XX`.
fn encoded_len(text: &[u8], secret: &[u8]) -> Option<usize> {
    let mut at = 0;
    for byte in secret {
        let rest = text.get(at..)?;
        let digits = rest.get(1..3).filter(|_| rest.first() == Some(&b'%'));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let decoded = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if decoded == Some(*byte) {
            at += 3;
        } else if rest.first() == Some(byte) {
            at += 1;
        } else {
            return None;
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_however_a_url_encodes_it() {
        let secret = "a b\"ü%/c";
        for text in [
            "key=a%20b%22%c3%BC%25%2Fc&x",
            "key=a%20b%22ü%25/c&x",
            "key=%61%20b%22%C3%bc%25/%63&x",
        ] {
            assert_eq!(in_url(text, secret), format!("key={REDACTED}&x"), "{text}");
        }
        for other in ["key=a%20b%2", "%", "%zz ü%20", "key=a+b"] {
            assert_eq!(in_url(other, secret), other);
        }
    }
}
