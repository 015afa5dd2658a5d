//! From the command line to a job: what files say, which defaults hold, what contradicts itself.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use bellwether_model::dns::{Record, ResolverOrigin};
use bellwether_model::job::{Control, JOB_SCHEMA, Job, ResolverAsk, RootHint};
use bellwether_model::net::Family;
use bellwether_model::report::Context as CheckContext;
use bellwether_model::service::ClientIdentity;
use bellwether_model::{Baseline, Egress, Expect, Service, Target, Verdict};

use bellwether_probe::hints::{parse_hints, parse_trust_anchor, shipped_anchor, shipped_hints};
use bellwether_probe::owners::Owners;
use bellwether_probe::system::{default_asks, default_controls, once_each, system_asks};

use crate::cli::{CheckArgs, ControlArg, ResolverArg};
use crate::{environment, files};

/// The name of the vantage of a one-shot check.
const VANTAGE: &str = "local";

/// The job of a check.
pub(crate) fn of(args: &CheckArgs) -> Result<Job> {
    let target = args.target.clone();
    let mut extra_roots = Vec::new();
    for path in &args.ca {
        extra_roots.extend(files::certificates(path)?);
    }
    if let Some(path) = &args.asn_table {
        Owners::load(path).with_context(|| format!("the ASN table `{}`", path.display()))?;
    }
    let root_hints = root_hints(args)?;
    let family = family(args)?;
    let declared = declared(args, &target)?;
    Ok(Job {
        schema: JOB_SCHEMA.to_owned(),
        expect: declared.expect,
        client_cert: declared.client_cert,
        tries: declared.tries,
        timeout_ms: declared.timeout_ms,
        resolvers: resolvers(args)?,
        controls: controls(args)?,
        root_hints,
        trust_anchor: trust_anchor(args)?,
        extra_roots,
        sources: sources(&args.sources)?,
        connect: args.connect,
        family,
        egress: Egress {
            allow_networks: args.allow_networks.clone(),
        },
        baseline: args
            .baseline
            .as_deref()
            .map(|path| baseline(path, &target))
            .transpose()?,
        now: args.at.unwrap_or_else(jiff::Timestamp::now),
        asn_table: args.asn_table.clone(),
        deadline_ms: deadline_ms(args.deadline),
        avoid: Vec::new(),
        target,
    })
}

/// What judging needs of the job besides the observations.
pub(crate) fn context(job: &Job, time_given: bool) -> CheckContext {
    CheckContext {
        target: job.target.clone(),
        expect: job.expect.clone(),
        vantage: VANTAGE.to_owned(),
        now: job.now,
        time_given,
        family: job.family,
        baseline: job.baseline.clone(),
    }
}

/// What a saved report leaves as last known good, for this target.
pub(crate) fn baseline(path: &std::path::Path, target: &Target) -> Result<Baseline> {
    let report = files::report("the baseline", path)?;
    let shown = path.display();
    if report.verdict != Verdict::Healthy {
        bail!(
            "the baseline `{shown}` is a report of a service that was {}; a baseline is what was last known good: give one whose verdict is healthy",
            report.verdict.name()
        );
    }
    if let Some(context) = &report.context
        && context.target.host != target.host
    {
        bail!(
            "the baseline `{shown}` is of {}, and the target is {}; give one of the same host",
            context.target.host_text(),
            target.host_text()
        );
    }
    let Some(baseline) = bellwether_diagnose::baseline_of(&report) else {
        bail!(
            "the baseline `{shown}` says nothing of what was seen; save a new one by `bellwether check {target} --save FILE`"
        );
    };
    Ok(baseline)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the command line takes 0.1 to 600 seconds"
)]
fn deadline_ms(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}

fn resolvers(args: &CheckArgs) -> Result<Vec<ResolverAsk>> {
    let mut all: Vec<ResolverAsk> = Vec::new();
    for resolver in &args.resolvers {
        match resolver {
            ResolverArg::System => all.extend(system_asks()),
            ResolverArg::Address(given) => all.push(ResolverAsk {
                label: given.text.clone(),
                address: given.address,
                channel: given.channel.clone(),
                origin: ResolverOrigin::Given,
            }),
        }
    }
    if args.resolvers.is_empty() {
        all.extend(system_asks());
        all.extend(default_asks());
    }
    once_each(&mut all);
    Ok(all)
}

fn controls(args: &CheckArgs) -> Result<Vec<Control>> {
    if args.controls.is_empty() {
        return Ok(default_controls());
    }
    if args.controls.len() > 1 && args.controls.contains(&ControlArg::None) {
        bail!("`--control none` and other controls contradict each other; leave one out");
    }
    Ok(args
        .controls
        .iter()
        .filter_map(|control| match control {
            ControlArg::None => None,
            ControlArg::One(control) => Some(control.clone()),
        })
        .collect())
}

fn root_hints(args: &CheckArgs) -> Result<Vec<RootHint>> {
    let (path, what) = match (&args.root_hints, environment::root_hints()) {
        (Some(path), _) => (path.clone(), "the root hints"),
        (None, Some(path)) => (path, "the root hints of $BELLWETHER_ROOT_HINTS"),
        (None, None) => return Ok(shipped_hints()),
    };
    let text = files::text(what, &path)?;
    parse_hints(&text).map_err(|why| anyhow::anyhow!("{what} `{}`: {why}", path.display()))
}

/// The root's trust anchor; none if `none` switches signatures off.
fn trust_anchor(args: &CheckArgs) -> Result<Vec<Record>> {
    let (path, what) = match (&args.trust_anchor, environment::trust_anchor()) {
        (Some(path), _) => (path.clone(), "the trust anchor"),
        (None, Some(path)) => (path, "the trust anchor of $BELLWETHER_TRUST_ANCHOR"),
        (None, None) => return Ok(shipped_anchor()),
    };
    if path == std::path::Path::new("none") {
        return Ok(Vec::new());
    }
    let text = files::text(what, &path)?;
    parse_trust_anchor(&text).with_context(|| format!("{what} `{}`", path.display()))
}

/// Addresses to ask from: of this machine, one for each family.
pub(crate) fn sources(sources: &[IpAddr]) -> Result<Vec<IpAddr>> {
    for (at, source) in sources.iter().enumerate() {
        if let Some(other) = sources[..at]
            .iter()
            .find(|s| s.is_ipv4() == source.is_ipv4())
        {
            bail!("`--from {source}`: `--from {other}` is of the same family; give one for each");
        }
    }
    for source in sources {
        if let Err(why) = bellwether_probe::dial::stands_at(*source) {
            bail!(
                "`--from {source}`: {why}; give an address of this machine (`ip address` lists them)"
            );
        }
    }
    Ok(sources.to_vec())
}

fn family(args: &CheckArgs) -> Result<Option<Family>> {
    let family = match (args.v4, args.v6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        (false, false) => return Ok(None),
    };
    if let Some(connect) = args.connect
        && Family::of(connect) != family
    {
        bail!(
            "`--connect {connect}` is no Ip{} address; leave out one of the two",
            family.name()
        );
    }
    Ok(Some(family))
}

/// What a file declares of the target.
#[derive(Default)]
struct Declared {
    expect: Expect,
    client_cert: Option<ClientIdentity>,
    tries: Option<u32>,
    timeout_ms: Option<u64>,
}

fn declared(args: &CheckArgs, target: &Target) -> Result<Declared> {
    let Some(path) = &args.expect else {
        return Ok(Declared::default());
    };
    let text = files::text("the expectations", path)?;
    let declared = declared_for(bellwether_config::parse_service(&text, path)?, target);
    if let Some(identity) = &declared.client_cert
        && let Err(why) = bellwether_probe::client_cert_fits(identity)
    {
        bail!("`client_cert` of `{}`: {why}", path.display());
    }
    Ok(declared)
}

/// Of a service's checks, the one that is about the target; the expectations of the others are
/// about something else only as far as they name record data. A client certificate is shown only
/// where it is declared.
fn declared_for(service: Service, target: &Target) -> Declared {
    let checks = &service.checks;
    let same = checks
        .iter()
        .find(|c| c.target.text == target.text)
        .or_else(|| {
            checks.iter().find(|c| {
                c.target.host == target.host
                    && c.target.scheme == target.scheme
                    && c.target.port == target.port
            })
        });
    let alike = || {
        checks
            .iter()
            .find(|c| c.target.host == target.host && c.target.scheme == target.scheme)
    };
    let expect = same.or_else(alike).or_else(|| checks.first());
    Declared {
        expect: expect.map(|c| c.expect.clone()).unwrap_or_default(),
        client_cert: same.and_then(|c| c.client_cert.clone()),
        tries: same.and_then(|c| c.tries),
        timeout_ms: same.and_then(|c| u64::try_from(c.timeout.as_millis()).ok()),
    }
}
