//! From a configuration to what an agent is to do.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bellwether_config::Config;
use bellwether_config::config::{RootHintsFrom, TrustAnchorFrom};
use bellwether_model::dns::{Record, ResolverOrigin};
use bellwether_model::job::{CheckAsk, JOB_SCHEMA, Job, ResolverAsk, RootHint};
use bellwether_model::link::{LinkCheck, PlanHead};
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
/// Bytes of authorities in a plan, in base64: with the rest of its head they fit into a frame.
const ROOTS_LEN_MAX: usize = 768 * 1024;
/// Shortest interval of a check that an agent takes: that of a configuration is no shorter.
const EVERY_MIN: Duration = Duration::from_secs(1);
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
    let checks = planned_checks(config, baselines)?;
    let (resolvers, _) = resolvers(config, &vantage, Some(system_asks()));
    Ok(Plan {
        generation,
        common: common(config, resolvers)?,
        vantage,
        workers: workers_for(checks.len()),
        checks,
        at_once: AT_ONCE,
    })
}

/// What the agent at another vantage is to do, as it is told over the link. Everything that the
/// configuration names by a path is in it but for the table of owners, which is the hub's.
///
/// # Errors
/// A file that the configuration names cannot be read, or holds something else or more than a link
/// carries.
pub fn link_plan(
    config: &Config,
    generation: u64,
    vantage: &VantageId,
    baselines: &BTreeMap<CheckId, Arc<Baseline>>,
) -> Result<(PlanHead, Vec<LinkCheck>), SettingsError> {
    let (resolvers, system_resolvers_at) = resolvers(config, vantage, None);
    let mut common = common(config, resolvers)?;
    common.asn_table = None;
    let carried: usize = common.extra_roots.iter().map(String::len).sum();
    if let (true, Some(path)) = (carried > ROOTS_LEN_MAX, config.trust.ca_files.first()) {
        let why = format!(
            "{carried} bytes of authorities, above the {ROOTS_LEN_MAX} that a link to an agent carries; \
             name those alone that your services use"
        );
        return Err(content("the certificates", path, why));
    }
    let checks = planned_checks(config, baselines)?;
    let checks = checks.into_iter().map(|check| LinkCheck {
        id: check.id,
        ask: check.ask,
        every: check.every,
        deep_every: check.deep_every,
        baseline: check.baseline,
    });
    let head = PlanHead {
        generation,
        common: Box::new(common),
        system_resolvers_at,
        at_once: u64::try_from(AT_ONCE).unwrap_or(u64::MAX),
    };
    Ok((head, checks.collect()))
}

/// What an agent adds to the plan that the hub tells it.
#[derive(Clone, Debug)]
pub struct Local {
    /// Where it stands.
    pub vantage: VantageId,
    /// Worker processes; as many as suit the plan and the machine, where it is left out.
    pub workers: Option<NonZeroUsize>,
    /// Its own table of prefixes, AS numbers and owners.
    pub asn_table: Option<PathBuf>,
    /// Addresses to dial from, at most one for each family.
    pub sources: Vec<IpAddr>,
}

/// The plan that the hub told, as this agent goes by it: with the resolvers of its own system, where
/// they are wanted. Nothing in it leads to a file of this machine or to another program.
///
/// # Errors
/// It is no plan that this version can go by, in words.
pub fn plan_of(head: PlanHead, checks: Vec<LinkCheck>, local: &Local) -> Result<Plan, String> {
    let PlanHead {
        generation,
        common,
        system_resolvers_at,
        at_once,
    } = head;
    let mut common = *common;
    if common.schema != JOB_SCHEMA {
        return Err(format!(
            "a job of `{}`, not of `{JOB_SCHEMA}`",
            common.schema
        ));
    }
    if let Some(at) = system_resolvers_at {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let at = at.min(common.resolvers.len());
        common.resolvers.splice(at..at, system_asks());
        once_each(&mut common.resolvers);
    }
    common.asn_table.clone_from(&local.asn_table);
    common.sources.clone_from(&local.sources);
    common.now = Timestamp::now();
    let checks: Vec<PlannedCheck> = checks.into_iter().map(planned_of).collect();
    let mut seen = std::collections::HashSet::new();
    if let Some(twice) = checks.iter().find(|check| !seen.insert(&check.id)) {
        return Err(format!("{} stands in it twice", twice.id));
    }
    if let Some(never) = checks.iter().find(|check| check.every < EVERY_MIN) {
        return Err(format!("{} every {:?}", never.id, never.every));
    }
    let at_once = usize::try_from(at_once).unwrap_or(AT_ONCE);
    Ok(Plan {
        generation,
        vantage: local.vantage.clone(),
        common,
        workers: local
            .workers
            .map_or_else(|| workers_for(checks.len()), usize::from),
        checks,
        at_once: at_once.clamp(1, AT_ONCE),
    })
}

fn planned_of(check: LinkCheck) -> PlannedCheck {
    let LinkCheck {
        id,
        ask,
        every,
        deep_every,
        baseline,
    } = check;
    PlannedCheck {
        id,
        ask,
        every,
        deep_every: deep_every.max(every),
        baseline,
    }
}

fn workers_for(checks: usize) -> usize {
    let workers = checks.div_ceil(CHECKS_A_WORKER).max(2);
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    workers.min(cores.max(2)).min(WORKERS_MAX)
}

fn planned_checks(
    config: &Config,
    baselines: &BTreeMap<CheckId, Arc<Baseline>>,
) -> Result<Vec<PlannedCheck>, SettingsError> {
    let all = config.services.iter();
    let all = all.flat_map(|service| service.checks.iter().map(move |check| (service, check)));
    all.map(|(service, check)| planned(service, check, baselines))
        .collect()
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
fn common(config: &Config, resolvers: Vec<ResolverAsk>) -> Result<Job, SettingsError> {
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
        resolvers,
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

/// The resolvers that are asked from a vantage. Those of its system stand where the configuration has
/// them: `system` are they, where they are known; else the place is told.
fn resolvers(
    config: &Config,
    vantage: &VantageId,
    system: Option<Vec<ResolverAsk>>,
) -> (Vec<ResolverAsk>, Option<u32>) {
    let is_here = |from: &[String]| from.is_empty() || from.iter().any(|v| v == vantage.as_str());
    let mut all = Vec::new();
    let mut place = None;
    let system_here = |all: &mut Vec<ResolverAsk>, place: &mut Option<usize>| match &system {
        Some(system) => all.extend(system.iter().cloned()),
        None => *place = place.or(Some(all.len())),
    };
    for resolver in config.resolvers.iter().filter(|r| is_here(&r.from)) {
        match &resolver.address {
            None => system_here(&mut all, &mut place),
            Some(address) => all.push(ResolverAsk {
                label: label(config, &resolver.name, &address.text),
                address: address.address,
                channel: address.channel.clone(),
                origin: ResolverOrigin::Given,
            }),
        }
    }
    if config.resolvers.is_empty() {
        system_here(&mut all, &mut place);
        all.extend(default_asks());
    }
    // What stands twice before the place moves it.
    let place = place.map(|place| {
        let mut before = all[..place].to_vec();
        once_each(&mut before);
        u32::try_from(before.len()).unwrap_or(u32::MAX)
    });
    once_each(&mut all);
    (all, place)
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

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\
resolvers:
  - { name: quad9, address: 9.9.9.9 }
  - { name: here, address: 192.0.2.53, from: [local] }
  - { name: there, address: 192.0.2.54, from: [fra] }
  - { name: own, address: system }
vantages: [{ name: fra }, { name: nyc }]
services:
  - name: shop
    url: https://www.shop.example/
";

    fn config(text: &str) -> Config {
        bellwether_config::parse(text, Path::new("test.yaml")).unwrap()
    }

    fn local(vantage: &str) -> Local {
        Local {
            vantage: VantageId::new(vantage),
            workers: None,
            asn_table: Some("/etc/owners.csv".into()),
            sources: vec!["192.0.2.7".parse().unwrap()],
        }
    }

    fn labels(plan: &Plan) -> Vec<&str> {
        let all = plan.common.resolvers.iter();
        all.map(|resolver| resolver.label.as_str()).collect()
    }

    #[test]
    fn a_plan_told_is_the_plan_that_was_made() {
        let config = config(CONFIG);
        let none = BTreeMap::new();
        let here = plan(&config, 7, &none).unwrap();
        let vantage = VantageId::new(VantageId::LOCAL);
        let (head, checks) = link_plan(&config, 7, &vantage, &none).unwrap();
        assert_eq!(head.common.asn_table, None);
        let text = serde_json::to_string(&(head, checks)).unwrap();
        let (head, checks) = serde_json::from_str(&text).unwrap();
        let told = plan_of(head, checks, &local(VantageId::LOCAL)).unwrap();
        assert_eq!(labels(&told), labels(&here));
        assert_eq!((told.generation, told.workers), (7, here.workers));
        assert_eq!(told.common.asn_table, Some("/etc/owners.csv".into()));
        assert_eq!(told.common.sources.len(), 1);
        let ids = |plan: &Plan| plan.checks.iter().map(|c| c.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&told), ids(&here));
        assert_eq!(told.checks[0].ask, here.checks[0].ask);
    }

    #[test]
    fn each_vantage_asks_its_own_resolvers() {
        let config = config(CONFIG);
        for (vantage, own) in [("fra", Some("192.0.2.54")), ("nyc", None)] {
            let id = VantageId::new(vantage);
            let (head, checks) = link_plan(&config, 1, &id, &BTreeMap::new()).unwrap();
            let place = 1 + u32::from(own.is_some());
            assert_eq!(head.system_resolvers_at, Some(place), "{vantage}");
            let told = plan_of(head, checks, &local(vantage)).unwrap();
            let system = system_asks();
            let mut wanted = vec!["9.9.9.9"];
            wanted.extend(own);
            wanted.extend(system.iter().map(|ask| ask.label.as_str()));
            assert_eq!(labels(&told), wanted, "{vantage}");
        }
    }

    #[test]
    fn what_no_hub_would_tell_is_refused() {
        let config = config(CONFIG);
        let fra = VantageId::new("fra");
        let made = || link_plan(&config, 1, &fra, &BTreeMap::new()).unwrap();
        let refused = |(head, checks)| plan_of(head, checks, &local("fra")).unwrap_err();
        let (mut head, checks) = made();
        head.common.schema = "bellwether.worker/9".to_owned();
        assert!(refused((head, checks)).contains("worker/9"));
        let (head, mut checks) = made();
        checks.push(checks[0].clone());
        assert!(refused((head, checks)).contains("twice"));
        let (head, mut checks) = made();
        checks[0].every = Duration::ZERO;
        assert!(refused((head, checks)).contains("every"));
    }
}
