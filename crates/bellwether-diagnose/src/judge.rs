//! From facts to findings: roots, consequences, warnings, and the verdict.

use std::collections::BTreeSet;

use bellwether_model::net::Family;
use bellwether_model::report::{Alternative, Role, Severity, Verdict};
use bellwether_model::tls::{CertProblem, TlsResult};
use bellwether_model::{Cause, Diagnosis, DnsName, FactKind, Finding, Layer};

use crate::candidates::{Candidate, Refuted};
use crate::facts::Facts;
use crate::picture::{Attempt, Picture, ServerStatus};
use crate::rules::{Alone, Blame, Over};
use crate::units::{self, Unit};
use crate::{scope, words};

/// A candidate with its part in the story.
struct Cast {
    candidate: Candidate,
    role: Role,
    severity: Severity,
}

/// What judging came to.
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The findings, sorted.
    pub findings: Vec<Finding>,
    /// The first root in full.
    pub diagnosis: Option<Diagnosis>,
}

/// Judges a picture.
#[must_use]
pub fn judge(picture: &Picture<'_>) -> Judgement {
    let facts = Facts::of(picture);
    let failing = units::failing(picture);
    let (candidates, refuted) = crate::candidates::all(picture, &facts, &failing);
    if let Some(us) = our_own_fault(picture, &facts, &failing, &candidates) {
        return alone(picture, us, &refuted);
    }
    let (cast, left) = assign(picture, candidates, &failing);
    let mut findings: Vec<Finding> = cast.iter().map(|c| finding(picture, c)).collect();
    if !left.is_empty() {
        findings.push(words::unexplained(picture, &facts, &left));
    }
    let at_fault = at_fault(&cast);
    let verdict = verdict(picture, &failing, &at_fault, &mut findings);
    sort(&mut findings);
    let diagnosis = diagnosis(picture, &cast, &findings, &refuted);
    Judgement {
        verdict,
        findings,
        diagnosis,
    }
}

/// Is it us? Controls fail and nothing of the target answers; or nothing could be judged.
fn our_own_fault(
    picture: &Picture<'_>,
    facts: &Facts,
    failing: &BTreeSet<Unit>,
    candidates: &[Candidate],
) -> Option<Candidate> {
    let of = |cause: Cause| candidates.iter().find(|c| c.rule.cause == cause).cloned();
    let lacks_some = |c: &Candidate| c.rule.requires.contains(&FactKind::OutOfReach);
    let uplink = of(Cause::MonitorVantageUplink);
    if !picture.target_answers()
        && let Some(uplink) = uplink.clone().filter(|c| !lacks_some(c))
    {
        return Some(uplink);
    }
    if let Some(intercepted) = of(Cause::MonitorVantageIntercepted) {
        return Some(intercepted);
    }
    let by_time = |unit: &Unit| fails_by_time(picture, unit);
    if let Some(clock) = of(Cause::MonitorClockSkew)
        && !failing.is_empty()
        && failing.iter().all(by_time)
    {
        return Some(clock);
    }
    let judged = !failing.is_empty() || works(picture);
    if judged {
        return None;
    }
    let far = uplink.filter(lacks_some);
    far.or_else(|| of(Cause::MonitorProbeHung))
        .or_else(|| Some(words::nothing_judged(facts)))
}

/// Does it fail by what our clock says, and by nothing else?
fn fails_by_time(picture: &Picture<'_>, unit: &Unit) -> bool {
    let Unit::Address(address) = unit else {
        return *unit == Unit::Own && picture.is_bogus();
    };
    let Some((_, tls)) = picture.addresses.get(address).and_then(|v| v.tls) else {
        return false;
    };
    let of_time = |p: &CertProblem| {
        matches!(
            p,
            CertProblem::Expired { .. } | CertProblem::NotYetValid { .. }
        )
    };
    tls.result == TlsResult::Completed && tls.problems.iter().all(of_time)
}

/// Did a user's whole attempt work at least once?
fn works(picture: &Picture<'_>) -> bool {
    if !picture.context.expect.exists {
        return picture.hops.iter().any(|h| {
            h.delegated()
                .any(|s| matches!(s.status, ServerStatus::Denies(_)))
        });
    }
    if !picture.context.target.scheme.has_tcp() {
        return picture
            .hops
            .iter()
            .any(|h| h.delegated().any(|s| s.status == ServerStatus::Answers))
            || picture
                .resolvers
                .iter()
                .any(crate::picture::ResolverView::is_usable);
    }
    picture
        .addresses
        .values()
        .any(|v| v.attempt.works() && picture.judges(Family::of(v.address)))
}

fn alone(picture: &Picture<'_>, candidate: Candidate, refuted: &[Refuted]) -> Judgement {
    let cast = vec![Cast {
        candidate,
        role: Role::Root,
        severity: Severity::Critical,
    }];
    let findings: Vec<Finding> = cast.iter().map(|c| finding(picture, c)).collect();
    let diagnosis = diagnosis(picture, &cast, &findings, refuted);
    Judgement {
        verdict: Verdict::Unknown,
        findings,
        diagnosis,
    }
}

/// Gives every candidate its part. Also returns the failures that nobody explains.
fn assign(
    picture: &Picture<'_>,
    candidates: Vec<Candidate>,
    failing: &BTreeSet<Unit>,
) -> (Vec<Cast>, BTreeSet<Unit>) {
    let mut left = failing.clone();
    let mut cast: Vec<Cast> = Vec::new();
    let mut blamed: BTreeSet<String> = BTreeSet::new();
    let unusable: BTreeSet<String> = candidates
        .iter()
        .filter(|c| c.rule.blame == Blame::UnusableServers)
        .flat_map(|c| c.group.servers())
        .collect();
    for candidate in candidates {
        let fresh = candidate.explains.iter().any(|u| left.contains(u));
        let rule = candidate.rule;
        let part = if fresh {
            Some((Role::Root, Severity::Critical))
        } else if rule.blame == Blame::UnusableServers {
            // Others of the same zone are the cause; what these do is worth a line.
            quiet(picture, &candidate, &cast, &blamed, &unusable)
        } else if !candidate.explains.is_empty() {
            // A failure that a lower cause explains: only what happens at the address itself
            // follows from it; another explanation of the same look-up would be a contradiction,
            // and whose the address is belongs to that look-up.
            let is_look_up = matches!(rule.cause.layer(), Some(Layer::Dns));
            // What foreign servers lack of the signatures follows from the delegation to them.
            let is_theirs = rule.cause == Cause::DnsDnssecDsMismatch
                && cast.iter().any(|c| {
                    let (led, its) = (&c.candidate, c.role == Role::Root);
                    its && led.rule.blame == Blame::WrongSide && led.zone == candidate.zone
                });
            let follows = rule.over == Over::Addresses
                && rule.cause != Cause::IpOwnerUnexpected
                && !is_look_up
                || is_theirs;
            follows.then_some((Role::Consequence, Severity::Critical))
        } else {
            quiet(picture, &candidate, &cast, &blamed, &unusable)
        };
        let Some((role, severity)) = part else {
            continue;
        };
        if role == Role::Root {
            for unit in &candidate.explains {
                left.remove(unit);
            }
            blamed.extend(candidate.group.servers());
            for (_, wrong) in crate::blame::wrong_servers(picture, &candidate.group) {
                blamed.extend(wrong);
            }
        }
        cast.push(Cast {
            candidate,
            role,
            severity,
        });
    }
    (cast, left)
}

/// The part of a candidate by which nobody fails.
fn quiet(
    picture: &Picture<'_>,
    candidate: &Candidate,
    cast: &[Cast],
    blamed: &BTreeSet<String>,
    unusable: &BTreeSet<String>,
) -> Option<(Role, Severity)> {
    let rule = candidate.rule;
    let rooted = |cause: Cause| {
        cast.iter()
            .any(|c| c.role == Role::Root && c.candidate.rule.cause == cause)
    };
    let servers = candidate.group.servers();
    let told = !servers.is_empty() && servers.iter().all(|s| blamed.contains(s));
    if told {
        return None;
    }
    if rule.cause == Cause::PromiseAnswerPolicy && rooted(Cause::DnsAnswerTooManyRecords)
        || rule.cause == Cause::DnsDelegationNsMismatch && rooted(Cause::DnsDelegationWrongNs)
    {
        return None;
    }
    // Where something fails, how the name servers are spread matters only if they are what fails.
    let roots = || cast.iter().filter(|c| c.role == Role::Root);
    if rule.cause == Cause::PromiseRedundancy
        && roots().next().is_some()
        && !roots().any(|c| c.candidate.rule.blame == Blame::UnusableServers)
    {
        return None;
    }
    match rule.alone {
        Alone::Drop => None,
        Alone::Warn
            if is_declared(picture, candidate) || is_aside(picture, candidate, unusable) =>
        {
            Some((Role::Warning, Severity::Notice))
        }
        Alone::Warn => Some((Role::Warning, Severity::Warning)),
        Alone::Notice => Some((Role::Warning, Severity::Notice)),
    }
}

/// A mismatch of NS sets that `expect.name_servers` declares: a migration under way.
fn is_declared(picture: &Picture<'_>, candidate: &Candidate) -> bool {
    let declared = &picture.context.expect.name_servers;
    if candidate.rule.cause != Cause::DnsDelegationNsMismatch || declared.is_empty() {
        return false;
    }
    let Some(hop) = picture
        .hops
        .iter()
        .find(|h| Some(&h.seen.zone) == candidate.zone.as_ref())
    else {
        return false;
    };
    let mut all = hop.seen.parent_names();
    all.extend(
        hop.servers
            .iter()
            .filter_map(|s| s.ns_set.clone())
            .flatten(),
    );
    all.iter().all(|n| declared.contains(n))
}

/// A mismatch of NS sets one of whose odd members gives nothing usable: that is what to mend, and
/// that the sets differ goes with it.
fn is_aside(picture: &Picture<'_>, candidate: &Candidate, unusable: &BTreeSet<String>) -> bool {
    let hop = picture.hops.iter();
    let mut hop = hop.filter(|h| Some(&h.seen.zone) == candidate.zone.as_ref());
    let Some(hop) = hop
        .next()
        .filter(|_| candidate.rule.cause == Cause::DnsDelegationNsMismatch)
    else {
        return false;
    };
    let parent = hop.seen.parent_names();
    let children = hop.servers.iter().filter_map(|s| s.ns_set.as_ref());
    let in_all_children = |name: &DnsName| children.clone().all(|c| c.contains(name));
    unusable.iter().any(|label| {
        let name = label.split('@').next().unwrap_or_default();
        let is_it = |n: &&DnsName| n.as_str() == name;
        let of_parent = parent.iter().find(is_it);
        let of_child = children.clone().flatten().find(is_it);
        match (of_parent, of_child) {
            (Some(name), _) => !in_all_children(name),
            (None, of_child) => of_child.is_some(),
        }
    })
}

fn finding(picture: &Picture<'_>, cast: &Cast) -> Finding {
    let Cast {
        candidate,
        role,
        severity,
    } = cast;
    let scope = scope::of(picture, candidate, *role);
    let mut evidence: Vec<String> = candidate
        .facts
        .iter()
        .flat_map(|f| f.from.iter().cloned())
        .collect();
    evidence.sort_by_key(|id| (id.len(), id.clone()));
    evidence.dedup();
    let cause = candidate.rule.cause;
    Finding {
        cause,
        layer: candidate.layer(picture),
        role: *role,
        severity: *severity,
        confidence: confidence(candidate),
        summary: words::summary(picture, candidate, &scope),
        remedy: words::remedy(picture, candidate),
        see: words::see(picture, candidate),
        facts: candidate
            .facts
            .iter()
            .map(crate::facts::Known::report)
            .collect(),
        evidence,
        scope,
    }
}

/// The logistic of the score, at most what one vantage can be sure of; two decimals.
fn confidence(candidate: &Candidate) -> f64 {
    let odds = (-f64::from(candidate.score) / 10.0).exp();
    let cap = f64::from(candidate.rule.cap) / 100.0;
    ((1.0 / (1.0 + odds)).min(cap) * 100.0).round() / 100.0
}

/// What resolvers do by themselves, by the roots that blame them.
fn at_fault(cast: &[Cast]) -> BTreeSet<Unit> {
    let roots = cast.iter().filter(|c| c.role == Role::Root);
    let theirs = roots.filter(|c| c.candidate.rule.blame == Blame::Resolvers);
    theirs
        .flat_map(|c| c.candidate.explains.iter().cloned())
        .collect()
}

/// The verdict; a fault of our own resolver steps back where the service is broken by itself.
fn verdict(
    picture: &Picture<'_>,
    failing: &BTreeSet<Unit>,
    at_fault: &BTreeSet<Unit>,
    findings: &mut [Finding],
) -> Verdict {
    let is_ours = |f: &Finding| f.layer == Layer::Monitor && f.role == Role::Root;
    let others = findings.iter().any(|f| f.role == Role::Root && !is_ours(f));
    if others {
        for ours in findings.iter_mut().filter(|f| is_ours(f)) {
            ours.role = Role::Warning;
            ours.severity = Severity::Warning;
        }
    } else if findings.iter().any(is_ours) {
        return Verdict::Unknown;
    }
    if failing.is_empty() {
        return Verdict::Healthy;
    }
    let mut shares: Vec<f64> = picture
        .resolvers
        .iter()
        .map(|r| units::resolver_share(picture, r, failing))
        .collect();
    // Our own iteration is no user's path: it counts for resolvers that were not asked, unless each
    // that was asked fails by itself.
    let fails_itself = |r| units::resolver_share(picture, r, at_fault) >= 1.0;
    let all_fail = !picture.resolvers.is_empty() && picture.resolvers.iter().all(fails_itself);
    if !units::split_horizon(picture) && !all_fail {
        shares.push(units::own_share(picture, failing));
    }
    let everything = shares.iter().all(|s| *s >= 1.0);
    let some_address_works = picture.addresses.values().any(|v| v.attempt.works())
        && picture
            .resolvers
            .iter()
            .any(|r| units::resolver_share(picture, r, failing) < 1.0);
    // Where it fails for some kinds of clients only, the others are users too.
    let some_clients_work = picture.addresses.values().any(|v| v.spared);
    if everything && !some_address_works && !some_clients_work {
        Verdict::Broken
    } else {
        Verdict::Degraded
    }
}

/// Root, consequence, warning; severity; layer; rank; larger share; code.
fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        let key = |f: &Finding| (f.role, f.severity, f.layer, f.cause.rank());
        key(a)
            .cmp(&key(b))
            .then_with(|| b.scope.share.total_cmp(&a.scope.share))
            .then_with(|| a.cause.code().cmp(b.cause.code()))
            .then_with(|| a.summary.cmp(&b.summary))
    });
}

fn diagnosis(
    picture: &Picture<'_>,
    cast: &[Cast],
    findings: &[Finding],
    refuted: &[Refuted],
) -> Option<Diagnosis> {
    let root = findings.first().filter(|f| f.role == Role::Root)?;
    let candidate = cast
        .iter()
        .map(|c| &c.candidate)
        .find(|c| c.rule.cause == root.cause && finding_matches(root, c));
    let mut consequences: Vec<Cause> = findings
        .iter()
        .filter(|f| f.role == Role::Consequence)
        .map(|f| f.cause)
        .collect();
    consequences.dedup();
    Some(Diagnosis {
        cause: root.cause,
        layer: root.layer,
        severity: root.severity,
        confidence: root.confidence,
        summary: root.summary.clone(),
        scope: root.scope.clone(),
        consequences,
        remedy: root.remedy.clone(),
        see: root.see.clone(),
        evidence: root.evidence.clone(),
        facts: root.facts.clone(),
        alternatives: alternatives(root, candidate, refuted),
        not_excluded: candidate
            .map(|c| {
                c.rule
                    .not_excluded
                    .iter()
                    .map(|s| (*s).to_owned())
                    .collect()
            })
            .unwrap_or_default(),
        details: candidate
            .map(|c| words::details(picture, c))
            .unwrap_or_default(),
    })
}

fn finding_matches(root: &Finding, candidate: &Candidate) -> bool {
    root.facts.len() == candidate.facts.len()
        && root
            .facts
            .iter()
            .zip(&candidate.facts)
            .all(|(a, b)| *a == b.report())
}

/// Causes whose evidence was there and that a fact rules out, and what is left of them.
fn alternatives(
    root: &Finding,
    candidate: Option<&Candidate>,
    refuted: &[Refuted],
) -> Vec<Alternative> {
    let mut all: Vec<Alternative> = Vec::new();
    let mine = candidate.map_or(&[][..], |c| c.rule.requires);
    for refuted in refuted
        .iter()
        .filter(|r| r.cause != root.cause && r.cause != Cause::Unknown)
    {
        let known: &[FactKind] = &refuted.against;
        if all.iter().any(|a| a.cause == refuted.cause) || !known.iter().any(|k| mine.contains(k)) {
            continue;
        }
        let confidence = ((1.0 - root.confidence) * 50.0).round() / 100.0;
        all.push(Alternative {
            cause: refuted.cause,
            confidence,
            against: refuted.against.clone(),
        });
    }
    all.truncate(3);
    all
}

/// Why an address could not be judged, for layer lines.
#[must_use]
pub fn unjudged(attempt: &Attempt) -> Option<&str> {
    match attempt {
        Attempt::Unjudged(why) => Some(why),
        Attempt::Works | Attempt::Fails(_) => None,
    }
}
