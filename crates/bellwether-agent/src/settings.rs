//! From a configuration to what an agent is to do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bellwether_config::Config;
use bellwether_config::config::{RootHintsFrom, TrustAnchorFrom};
use bellwether_model::dns::{Record, ResolverOrigin};
use bellwether_model::job::{CheckAsk, JOB_SCHEMA, Job, ResolverAsk, RootHint};
use bellwether_model::service::{Check, Service};
use bellwether_model::{Baseline, CheckId, Egress, Expect, Target, VantageId};
use bellwether_probe::hints::{parse_hints, parse_trust_anchor, shipped_anchor, shipped_hints};
use bellwether_probe::owners::Owners;
use bellwether_probe::roots;
use bellwether_probe::system::{default_asks, default_controls, once_each, system_asks};

use jiff::Timestamp;

use crate::{Plan, PlannedCheck};

/// Longest time of a trace.
pub const TRACE_DEADLINE: Duration = Duration::from_secs(30);
/// Runs and traces under way at once, at most: what 10 % of hostile targets hold at 100,000 checks
/// a minute (probe-cost), with room.
const AT_ONCE: usize = 2_048;
/// Checks that one worker serves easily: a second one is for isolation before it is for speed.
const CHECKS_A_WORKER: usize = 10_000;
/// Largest file of certificates, hints or anchors, bytes: every authority that browsers trust makes a
/// quarter of a MiB.
const TEXT_LEN_MAX: u64 = 64 * 1024 * 1024;
/// Most workers.
const WORKERS_MAX: usize = 16;

/// A file that the configuration names, and that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("failed to read {what} `{path}`")]
    Read {
        /// What it is.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("{what} `{path}`: {why}")]
    Content {
        /// What it is.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// What is wrong, with the cure.
        why: String,
    },
    /// A client certificate whose key does not fit, for example.
    #[error("`client_cert` of {check}: {why}")]
    ClientCert {
        /// The check.
        check: CheckId,
        /// What is wrong.
        why: String,
    },
}

/// What the built-in agent is to do.
///
/// # Errors
/// A file that the configuration names cannot be read, or holds something else.
pub fn plan(
    config: &Config,
    generation: u64,
    baselines: &BTreeMap<CheckId, Arc<Baseline>>,
) -> Result<Plan, SettingsError> {
    let vantage = VantageId::new(VantageId::LOCAL);
    let mut checks = Vec::new();
    for service in &config.services {
        for check in &service.checks {
            checks.push(planned(service, check, baselines)?);
        }
    }
    let workers = checks.len().div_ceil(CHECKS_A_WORKER).max(2);
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    Ok(Plan {
        generation,
        common: common(config, &vantage)?,
        vantage,
        checks,
        at_once: AT_ONCE,
        workers: workers.min(cores.max(2)).min(WORKERS_MAX),
    })
}

fn planned(
    service: &Service,
    check: &Check,
    baselines: &BTreeMap<CheckId, Arc<Baseline>>,
) -> Result<PlannedCheck, SettingsError> {
    let id = CheckId::new(&service.name, &check.name);
    if let Some(identity) = &check.client_cert
        && let Err(why) = bellwether_probe::client_cert_fits(identity)
    {
        return Err(SettingsError::ClientCert { check: id, why });
    }
    let ask = CheckAsk {
        target: check.target.clone(),
        icmp_only: check.icmp_only,
        expect: check.expect.clone(),
        client_cert: check.client_cert.clone(),
        tries: check.tries,
        timeout_ms: u64::try_from(check.timeout.as_millis()).unwrap_or(u64::MAX),
    };
    // A baseline of another host says nothing.
    let baseline = baselines.get(&id).cloned();
    Ok(PlannedCheck {
        ask: Arc::new(ask),
        every: check.every,
        deep_every: check.deep_every,
        baseline,
        id,
    })
}

/// What is common to all checks.
fn common(config: &Config, vantage: &VantageId) -> Result<Job, SettingsError> {
    let mut extra_roots = Vec::new();
    for path in &config.trust.ca_files {
        let what = "the certificates";
        let text = text(what, path)?;
        extra_roots.extend(roots::of_pem(&text).map_err(|why| content(what, path, why))?);
    }
    if let Some(path) = &config.trust.asn_table {
        Owners::load(path).map_err(|why| content("the ASN table", path, why))?;
    }
    // Each order brings its own; this one is asked by nobody.
    let nowhere: Target = "dns://a.root-servers.net"
        .parse()
        .expect("a constant target is well formed");
    Ok(Job {
        schema: JOB_SCHEMA.to_owned(),
        target: nowhere,
        expect: Expect::default(),
        resolvers: resolvers(config, vantage),
        controls: config.controls.clone().unwrap_or_else(default_controls),
        root_hints: root_hints(&config.trust.root_hints)?,
        trust_anchor: trust_anchor(&config.trust.trust_anchor)?,
        extra_roots,
        client_cert: None,
        tries: None,
        sources: Vec::new(),
        connect: None,
        family: None,
        egress: Egress {
            allow_networks: config.allow_networks.clone(),
        },
        baseline: None,
        now: Timestamp::now(),
        asn_table: config.trust.asn_table.clone(),
        timeout_ms: None,
        deadline_ms: u64::try_from(TRACE_DEADLINE.as_millis()).unwrap_or(u64::MAX),
        avoid: Vec::new(),
    })
}

fn resolvers(config: &Config, vantage: &VantageId) -> Vec<ResolverAsk> {
    let is_here = |from: &[String]| from.is_empty() || from.iter().any(|v| v == vantage.as_str());
    let mut all = Vec::new();
    for resolver in config.resolvers.iter().filter(|r| is_here(&r.from)) {
        match &resolver.address {
            None => all.extend(system_asks()),
            Some(address) => all.push(ResolverAsk {
                label: label(config, &resolver.name, &address.text),
                address: address.address,
                channel: address.channel.clone(),
                origin: ResolverOrigin::Given,
            }),
        }
    }
    if config.resolvers.is_empty() {
        all.extend(system_asks());
        all.extend(default_asks());
    }
    once_each(&mut all);
    all
}

/// What a resolver is called in runs and reports: its address, unless that holds what a `${…}` stood
/// for. Then its name stands for it.
fn label(config: &Config, name: &str, address: &str) -> String {
    if config.scrub(address) == address {
        address.to_owned()
    } else {
        name.to_owned()
    }
}

fn root_hints(from: &RootHintsFrom) -> Result<Vec<RootHint>, SettingsError> {
    let RootHintsFrom::File(path) = from else {
        return Ok(shipped_hints());
    };
    let what = "the root hints";
    parse_hints(&text(what, path)?).map_err(|why| content(what, path, why))
}

fn trust_anchor(from: &TrustAnchorFrom) -> Result<Vec<Record>, SettingsError> {
    let what = "the trust anchor";
    match from {
        TrustAnchorFrom::Shipped => Ok(shipped_anchor()),
        TrustAnchorFrom::None => Ok(Vec::new()),
        TrustAnchorFrom::File(path) => {
            parse_trust_anchor(&text(what, path)?).map_err(|why| content(what, path, why))
        }
    }
}

fn text(what: &'static str, path: &Path) -> Result<String, SettingsError> {
    bellwether_config::regular::text(path, TEXT_LEN_MAX).map_err(|source| SettingsError::Read {
        what,
        path: path.to_owned(),
        source,
    })
}

fn content(what: &'static str, path: &Path, why: impl std::fmt::Display) -> SettingsError {
    SettingsError::Content {
        what,
        path: path.to_owned(),
        why: why.to_string(),
    }
}
