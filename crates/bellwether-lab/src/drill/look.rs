//! What a running program says held against what a scenario expects.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_model::incident::Moment;
use bellwether_model::{Cause, Incident, Layer, Scope};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::api::{Run, Seen, Service, Wanted};
use super::compare::compare_scope;
use crate::scenario::{
    ExpectSpec, IncidentExpect, MetricExpect, MomentExpect, PresenceWord, RunsExpect, ServiceExpect,
};

/// How much earlier than the change that caused it an incident may begin: a round belongs to the
/// moment at which it was due, and may come late.
const DUE_BEFORE: Duration = Duration::from_secs(1);

/// What earlier steps left.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    /// When the world was changed, or something was done with agents.
    pub(super) sets: Vec<Timestamp>,
    /// The incidents of each look.
    pub(super) looks: BTreeMap<String, Vec<u64>>,
}

impl Past {
    /// How long after the last change before it something happened.
    fn since_set(&self, then: Timestamp) -> Option<Duration> {
        let latest = then.checked_add(DUE_BEFORE).unwrap_or(then);
        let set = self.sets.iter().rev().find(|set| **set <= latest)?;
        Some(Duration::try_from(then.duration_since(*set)).unwrap_or_default())
    }
}

/// What is to be asked for, so that it can be compared.
pub(super) fn wanted(expect: &ExpectSpec) -> Wanted<'_> {
    let runs = expect.runs.iter();
    let runs = runs.flat_map(|(check, by)| by.keys().map(|at| (check.as_str(), at.as_str())));
    Wanted {
        metrics: expect.metrics.keys().collect(),
        agents: !expect.agents.is_empty(),
        runs: runs.collect(),
    }
}

/// Every difference, in words. Empty: as expected.
pub(super) fn missed(expect: &ExpectSpec, seen: &Seen, past: &Past) -> Vec<String> {
    let mut missed = Vec::new();
    for (name, wanted) in &expect.services {
        service(name, wanted, &seen.services, &mut missed);
    }
    let wanted = expect.incidents.as_deref().unwrap_or_default();
    let pairs = pairs(wanted, &seen.incidents);
    for (wanted, found) in wanted.iter().zip(&pairs) {
        let Some(found) = found.map(|at| &seen.incidents[at]) else {
            let code = wanted.cause.map_or("any", Cause::code);
            missed.push(format!("incident: expected {code}, got none"));
            continue;
        };
        let mut differences = differences(wanted, found);
        times(wanted, found, past, &mut differences);
        let id = found.id;
        missed.extend(
            differences
                .into_iter()
                .map(|d| format!("incident {id}: {d}")),
        );
    }
    let all = seen.incidents.iter().enumerate();
    let others = all.filter(|(at, _)| !pairs.contains(&Some(*at)));
    for (_, other) in others {
        let is_ours = other.layer == Layer::Monitor;
        let word = match (expect.nothing_else, expect.no_target) {
            (true, _) => "nothing_else",
            (false, true) if !is_ours => "no_target",
            (false, _) => continue,
        };
        let (id, cause, state) = (other.id, other.cause, other.state.name());
        let summary = &other.summary;
        missed.push(format!(
            "{word}: incident {id} {cause} ({state}) besides: {summary}"
        ));
    }
    missed.extend(figures(&expect.metrics, &seen.metrics));
    missed.extend(agents(&expect.agents, &seen.agents));
    for (check, by) in &expect.runs {
        for (vantage, wanted) in by {
            let kept = seen.runs.get(&(check.clone(), vantage.clone()));
            let kept = kept.map_or(&[][..], Vec::as_slice);
            missed.extend(runs(wanted, kept).map(|w| format!("runs of {check} at {vantage}: {w}")));
        }
    }
    if let Some(refused) = expect.refused.filter(|refused| *refused != seen.refused) {
        missed.push(refusal(refused));
    }
    missed
}

/// A complaint about a configuration that was refused, or was not.
pub(super) fn refusal(wanted: bool) -> String {
    match wanted {
        true => "configuration: expected to be refused, and is in force".to_owned(),
        false => "configuration: the newest was refused".to_owned(),
    }
}

/// Complaints about agents.
pub(super) fn agents(
    wanted: &BTreeMap<String, PresenceWord>,
    got: &BTreeMap<String, bool>,
) -> Vec<String> {
    let differences = wanted.iter().filter_map(|(name, wanted)| {
        let got = match got.get(name) {
            None => return Some(format!("agent {name}: it is not told of")),
            Some(true) => PresenceWord::Linked,
            Some(false) => PresenceWord::Offline,
        };
        let (word, is) = (wanted.name(), got.name());
        (got != *wanted).then(|| format!("agent {name}: expected {word}, got {is}"))
    });
    differences.collect()
}

/// Complaints about what is kept of runs, oldest first.
fn runs(wanted: &RunsExpect, kept: &[Run]) -> impl Iterator<Item = String> {
    let RunsExpect {
        at_least,
        gap_at_most,
        once,
    } = wanted;
    let few = at_least.filter(|least| kept.len() < *least);
    let few = few.map(|least| format!("expected at least {least}, got {}", kept.len()));
    let pairs = || {
        kept.windows(2)
            .filter_map(|two| Some((two.first()?, two.last()?)))
    };
    let widest = pairs()
        .map(|(one, next)| (after(one.began, next.began), one.began))
        .max();
    let wide = gap_at_most
        .zip(widest)
        .filter(|(most, (gap, _))| *gap > most.0);
    let wide = wide.map(|(most, (gap, from))| {
        let gap = gap.as_secs_f64();
        format!("expected no gap above {most}, got {gap:.1} s from {from} on")
    });
    // Numbers begin anew with each start of an agent.
    let mut seen = BTreeSet::new();
    let mut all = kept.iter();
    let twice = all.find(|run| !seen.insert((run.began, run.sequence)));
    let twice = twice.filter(|_| *once == Some(true));
    let twice = twice.map(|run| format!("run {} of {} is kept twice", run.sequence, run.began));
    [few, wide, twice].into_iter().flatten()
}

/// What differs of the incident that comes nearest to the one expected.
pub(super) fn incident(wanted: &IncidentExpect, got: &[Incident]) -> Vec<String> {
    let nearest = pairs(std::slice::from_ref(wanted), got);
    match nearest.first().copied().flatten() {
        None => vec![format!(
            "incident: expected {}, got none",
            wanted.cause.map_or("any", Cause::code)
        )],
        Some(at) => {
            let (found, id) = (&got[at], got[at].id);
            let all = differences(wanted, found).into_iter();
            all.map(|d| format!("incident {id}: {d}")).collect()
        }
    }
}

/// Complaints about metrics.
pub(super) fn figures(
    wanted: &BTreeMap<String, MetricExpect>,
    got: &BTreeMap<String, Option<f64>>,
) -> Vec<String> {
    let differences =
        wanted
            .iter()
            .filter_map(|(name, wanted)| match got.get(name).copied().flatten() {
                Some(figure) if wanted.holds(figure) => None,
                Some(figure) => Some(format!("metric {name}: expected {wanted}, got {figure}")),
                None => Some(format!("metric {name}: expected {wanted}, got none")),
            });
    differences.collect()
}

/// Compares how one of these services stands.
pub(super) fn service(
    name: &str,
    wanted: &ServiceExpect,
    services: &[Service],
    missed: &mut Vec<String>,
) {
    let Some(got) = services.iter().find(|s| s.name == name) else {
        missed.push(format!("service {name}: it is not told of"));
        return;
    };
    let ServiceExpect {
        verdict,
        cause,
        stale,
    } = wanted;
    if let Some(verdict) = verdict.filter(|v| *v != got.verdict) {
        let (wanted, got) = (verdict.name(), got.verdict.name());
        missed.push(format!(
            "service {name}: verdict: expected {wanted}, got {got}"
        ));
    }
    if let Some(cause) = cause.filter(|cause| *cause != got.cause) {
        let code = |cause: Option<Cause>| cause.map_or("none", Cause::code);
        let (wanted, got) = (code(cause), code(got.cause));
        missed.push(format!(
            "service {name}: cause: expected {wanted}, got {got}"
        ));
    }
    if let Some(stale) = stale.filter(|stale| *stale != got.stale) {
        let got = got.stale;
        missed.push(format!(
            "service {name}: stale: expected {stale}, got {got}"
        ));
    }
}

/// For each incident that is expected, the place of the one that comes nearest to it: of its cause
/// if there is such a one, and else with the fewest differences. None is taken twice.
pub(super) fn pairs(wanted: &[IncidentExpect], got: &[Incident]) -> Vec<Option<usize>> {
    let mut taken = BTreeSet::new();
    let pair = |wanted: &IncidentExpect| {
        let free = got.iter().enumerate().filter(|(at, _)| !taken.contains(at));
        let distance = |(_, incident): &(usize, &Incident)| {
            let other = wanted.cause.is_some_and(|cause| cause != incident.cause);
            (other, differences(wanted, incident).len())
        };
        let nearest = free.min_by_key(distance).map(|(at, _)| at);
        taken.extend(nearest);
        nearest
    };
    wanted.iter().map(pair).collect()
}

/// What differs of an incident, apart from times.
fn differences(wanted: &IncidentExpect, got: &Incident) -> Vec<String> {
    let mut missed = Vec::new();
    let mut differs = |what: &str, wanted: Option<String>, got: String| {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != got) {
            missed.push(format!("{what}: expected {wanted}, got {got}"));
        }
    };
    let code = |cause: Cause| cause.code().to_owned();
    differs("cause", wanted.cause.map(code), code(got.cause));
    differs("state", wanted.state.map(word), word(got.state));
    differs("layer", wanted.layer.map(word), word(got.layer));
    differs("severity", wanted.severity.map(word), word(got.severity));
    differs("verdict", wanted.verdict.map(word), word(got.verdict));
    let sorted = |checks: &[String]| {
        let checks: BTreeSet<&str> = checks.iter().map(String::as_str).collect();
        format!("[{}]", checks.into_iter().collect::<Vec<_>>().join(", "))
    };
    let checks: Vec<String> = got.checks.iter().map(|c| c.check.clone()).collect();
    let wanted_checks = wanted.checks.as_deref().map(sorted);
    differs("checks", wanted_checks, sorted(&checks));
    for cause in &wanted.consequences {
        if !got.consequences.contains(cause) {
            missed.push(format!(
                "consequence: expected {cause}, and it is not listed"
            ));
        }
    }
    if let Some(scope) = &wanted.scope {
        compare_scope(scope, &got.scope, &mut missed);
    }
    for part in &wanted.caveats {
        if !got.caveats.iter().any(|caveat| caveat.contains(part)) {
            missed.push(format!("caveat: none holds {part:?}"));
        }
    }
    timeline(wanted, &got.timeline, &mut missed);
    missed
}

/// The first line that is expected and does not come where it belongs.
pub(super) fn lacks<'a>(wanted: &'a [MomentExpect], got: &[Moment]) -> Option<&'a MomentExpect> {
    let mut rest = got.iter();
    wanted.iter().find(|MomentExpect { kind, text }| {
        let fits = |moment: &Moment| {
            let holds = |part: &String| moment.text.contains(part.as_str());
            moment.kind == *kind && text.as_ref().is_none_or(holds)
        };
        !rest.any(fits)
    })
}

/// The lines that are expected, in their order among others.
fn timeline(wanted: &IncidentExpect, got: &[Moment], missed: &mut Vec<String>) {
    let told = || {
        let kinds: Vec<String> = got.iter().map(|moment| word(moment.kind)).collect();
        kinds.join(", ")
    };
    if let Some(MomentExpect { kind, text }) = lacks(&wanted.timeline, got) {
        let holding = text.as_ref().map(|t| format!(" with {t:?}"));
        let holding = holding.unwrap_or_default();
        let kind = word(kind);
        missed.push(format!(
            "timeline: expected {kind}{holding} where it belongs, got {}",
            told()
        ));
    }
    for kind in &wanted.without {
        if let Some(moment) = got.iter().find(|moment| moment.kind == *kind) {
            let (kind, text) = (word(kind), &moment.text);
            missed.push(format!("timeline: expected no {kind}, got: {text}"));
        }
    }
}

/// When it was what, and whether it was seen before.
fn times(wanted: &IncidentExpect, got: &Incident, past: &Past, missed: &mut Vec<String>) {
    let set = past.since_set(got.began);
    let opened = set.map(|since| since + after(got.began, got.opened));
    let mitigated = got.mitigated.map(|at| past.since_set(at));
    let bounds = [
        ("began", wanted.began_within, Some(set)),
        ("opened", wanted.opened_within, Some(opened)),
        ("mitigated", wanted.mitigated_within, mitigated),
    ];
    for (what, bound, since) in bounds {
        let Some(bound) = bound else {
            continue;
        };
        match since {
            Some(Some(since)) if since <= bound.0 => {}
            Some(Some(since)) => {
                let since = since.as_secs_f64();
                missed.push(format!(
                    "{what}: expected within {bound} of the change, got {since:.1} s"
                ));
            }
            Some(None) => missed.push(format!("{what}: before anything was changed")),
            None => missed.push(format!("{what}: expected within {bound}, and it was not")),
        }
    }
    if let Some(earlier) = &wanted.same_as {
        let ids = past.looks.get(earlier).map_or(&[][..], Vec::as_slice);
        if !ids.contains(&got.id) {
            missed.push(format!("same_as: `{earlier}` knew {ids:?}"));
        }
    }
}

fn after(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// A word of a closed list, as it is written.
fn word(item: impl Serialize) -> String {
    match serde_json::to_value(item) {
        Ok(Value::String(word)) => word,
        Ok(_) | Err(_) => String::new(),
    }
}

/// The cause, layer and scope of the incident found for each that is expected, for the score.
pub(super) fn found<'a>(
    wanted: &[IncidentExpect],
    got: &'a [Incident],
) -> Vec<Option<(Cause, Layer, &'a Scope)>> {
    let named = |at: usize| (got[at].cause, got[at].layer, &got[at].scope);
    let pairs = pairs(wanted, got);
    pairs.into_iter().map(|at| at.map(named)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn incident(id: u64, cause: &str, timeline: &[(&str, &str)]) -> Incident {
        let moments: Vec<Value> = timeline
            .iter()
            .map(|(kind, text)| json!({ "at": at(3), "kind": kind, "text": text }))
            .collect();
        serde_json::from_value(json!({
            "id": id, "state": "resolved", "cause": cause, "layer": "dns", "severity": "critical",
            "verdict": "degraded", "confidence": 0.9, "summary": "s", "remedy": "r",
            "consequences": ["tls.name_mismatch"],
            "checks": [{ "check": "www/main", "since": at(3) }],
            "scope": { "vantages": ["local"], "resolvers": ["9.9.9.9"], "name_servers": [], "addresses": [],
                "families": [], "profiles": [], "owners": [], "share": 0.5, "since": null },
            "caveats": ["one vantage cannot tell here from everywhere"],
            "began": at(3), "opened": at(5), "updated": at(9), "mitigated": at(21), "timeline": moments,
        }))
        .unwrap()
    }

    fn seen() -> Seen {
        let timeline = [
            ("first_failure", "www/main fails"),
            ("alarm", ""),
            ("growth", "resolver 4.2.2.2 too"),
            ("phase", "ns65 answers REFUSED"),
            ("healing", ""),
            ("resolved", ""),
        ];
        Seen {
            services: serde_json::from_value(
                json!([{ "name": "www", "verdict": "degraded", "cause": "dns.delegation.wrong_ns" }]),
            )
            .unwrap(),
            incidents: vec![
                incident(1, "dns.delegation.wrong_ns", &timeline),
                incident(2, "net.tcp.refused", &[]),
            ],
            metrics: [("x".to_owned(), Some(2.0)), ("y".to_owned(), None)].into(),
            refused: false,
            agents: [("fra".to_owned(), true), ("nyc".to_owned(), false)].into(),
            runs: [(("www/main".to_owned(), "fra".to_owned()), kept())].into(),
            told: Value::Null,
        }
    }

    /// Runs of two starts of an agent, with a hole between them, one of them kept twice.
    fn kept() -> Vec<Run> {
        let runs = [(0, 1), (1, 2), (8, 1), (9, 2), (9, 2)];
        let run = |(second, sequence)| Run {
            began: at(second),
            sequence,
        };
        runs.map(run).to_vec()
    }

    #[track_caller]
    fn check(yaml: &str, expected: &[&str]) {
        let expect: ExpectSpec = serde_saphyr::from_str(yaml).unwrap();
        let past = Past {
            sets: vec![at(0), at(2), at(20)],
            looks: [("early".to_owned(), vec![1])].into(),
        };
        assert_eq!(super::missed(&expect, &seen(), &past), expected);
    }

    #[test]
    fn agents_and_runs_that_differ() {
        check(
            "{ incidents: [{ cause: dns.delegation.wrong_ns }, { cause: net.tcp.refused }], no_target: true, agents: { fra: linked, nyc: offline }, runs: { www/main: { fra: { at_least: 5, gap_at_most: 7s } } } }",
            &[],
        );
        check(
            "{ incidents: [{ cause: dns.delegation.wrong_ns }], no_target: true }",
            &["no_target: incident 2 net.tcp.refused (resolved) besides: s"],
        );
        check(
            "{ agents: { fra: offline, sin: linked }, runs: { www/main: { fra: { at_least: 6, gap_at_most: 6s, once: true }, nyc: { at_least: 1 } } } }",
            &[
                "agent fra: expected offline, got linked",
                "agent sin: it is not told of",
                "runs of www/main at fra: expected at least 6, got 5",
                "runs of www/main at fra: expected no gap above 6s, got 7.0 s from 2023-11-14T22:13:21Z on",
                "runs of www/main at fra: run 2 of 2023-11-14T22:13:29Z is kept twice",
                "runs of www/main at nyc: expected at least 1, got 0",
            ],
        );
    }

    #[test]
    fn an_awaited_incident_is_compared_with_the_nearest() {
        let wanted = |yaml: &str| serde_saphyr::from_str::<IncidentExpect>(yaml).unwrap();
        let incidents = seen().incidents;
        let fits = wanted(
            "{ cause: dns.delegation.wrong_ns, scope: { vantages: [local] }, timeline: [alarm] }",
        );
        assert!(super::incident(&fits, &incidents).is_empty());
        let other = wanted("{ cause: net.tcp.refused, scope: { vantages: [fra] } }");
        let said = super::incident(&other, &incidents).join(" / ");
        assert!(
            said.starts_with("incident 2: ") && said.contains("fra"),
            "{said}"
        );
        assert_eq!(
            super::incident(&other, &[]),
            ["incident: expected net.tcp.refused, got none"]
        );
    }

    #[test]
    fn as_expected() {
        check("{}", &[]);
        check(
            "{ services: { www: { verdict: degraded, cause: dns.delegation.wrong_ns, stale: false } }, \
               incidents: [{ cause: net.tcp.refused }, { cause: dns.delegation.wrong_ns, state: resolved, layer: dns, \
                 severity: critical, verdict: degraded, consequences: [tls.name_mismatch], checks: [www/main], \
                 scope: { resolvers: [9.9.9.9] }, timeline: [first_failure, { growth: 4.2.2.2 }, { phase: REFUSED }, resolved], \
                 without: [reopened], caveats: [one vantage], began_within: 1s, opened_within: 3s, mitigated_within: 1s, \
                 same_as: early }], \
               metrics: { x: 2 }, refused: false, nothing_else: true }",
            &[],
        );
    }

    #[test]
    fn services_that_differ() {
        check(
            "{ services: { www: { verdict: healthy, cause: null, stale: true }, other: {} } }",
            &[
                "service other: it is not told of",
                "service www: verdict: expected healthy, got degraded",
                "service www: cause: expected none, got dns.delegation.wrong_ns",
                "service www: stale: expected true, got false",
            ],
        );
    }

    #[test]
    fn incidents_that_differ() {
        check(
            "{ incidents: [{ cause: dns.delegation.wrong_ns, state: open, checks: [a/b], scope: { resolvers: [] } }], nothing_else: true }",
            &[
                "incident 1: state: expected open, got resolved",
                "incident 1: checks: expected [a/b], got [www/main]",
                "incident 1: scope.resolvers: expected [], got [9.9.9.9]",
                "nothing_else: incident 2 net.tcp.refused (resolved) besides: s",
            ],
        );
        check(
            "{ incidents: [{}, {}, { cause: cert.expired }] }",
            &["incident: expected cert.expired, got none"],
        );
        check(
            "{ incidents: [{ cause: cert.expired }] }",
            &["incident 1: cause: expected cert.expired, got dns.delegation.wrong_ns"],
        );
    }

    #[test]
    fn timelines_that_differ() {
        let all = "first_failure, alarm, growth, phase, healing, resolved";
        check(
            "{ incidents: [{ timeline: [phase, growth] }] }",
            &[&format!(
                "incident 1: timeline: expected growth where it belongs, got {all}"
            )],
        );
        check(
            "{ incidents: [{ cause: dns.delegation.wrong_ns, timeline: [{ phase: NOTIMP }], without: [growth] }] }",
            &[
                &format!(
                    "incident 1: timeline: expected phase with \"NOTIMP\" where it belongs, got {all}"
                ),
                "incident 1: timeline: expected no growth, got: resolver 4.2.2.2 too",
            ],
        );
    }

    #[test]
    fn times_and_figures_that_differ() {
        check(
            "{ incidents: [{ cause: dns.delegation.wrong_ns, began_within: 500ms, opened_within: 2s, same_as: late }, \
               { cause: net.tcp.refused, same_as: early }] }",
            &[
                "incident 1: began: expected within 500ms of the change, got 1.0 s",
                "incident 1: opened: expected within 2s of the change, got 3.0 s",
                "incident 1: same_as: `late` knew []",
                "incident 2: same_as: `early` knew [1]",
            ],
        );
        check(
            "{ metrics: { x: { at_most: 1 }, y: 0, z: { at_least: 1 } }, refused: true }",
            &[
                "metric x: expected at most 1, got 2",
                "metric y: expected 0, got none",
                "metric z: expected at least 1, got none",
                "configuration: expected to be refused, and is in force",
            ],
        );
    }
}
