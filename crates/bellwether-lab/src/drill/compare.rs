//! A report held against what a scenario expects (formats.md section 4).

use std::collections::BTreeSet;
use std::net::IpAddr;

use bellwether_model::report::{Role, Severity};
use bellwether_model::{Cause, Finding, Layer, Report, Scope};

use crate::scenario::ExpectSpec;
use crate::scenario::expect::ScopeExpect;

/// How far a share may be off: it is rounded to two places in scenarios.
const SHARE_TOLERANCE: f64 = 0.011;

/// What a report names: its diagnosis, or else its first warning.
#[derive(Clone, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) cause: Cause,
    pub(crate) layer: Layer,
    pub(super) scope: &'a Scope,
    confidence: f64,
}

/// The diagnosis, or else the first warning.
pub(crate) fn named(report: &Report) -> Option<Named<'_>> {
    if let Some(diagnosis) = &report.diagnosis {
        return Some(Named {
            cause: diagnosis.cause,
            layer: diagnosis.layer,
            scope: &diagnosis.scope,
            confidence: diagnosis.confidence,
        });
    }
    report
        .findings
        .iter()
        .find(|f| is_warning(f))
        .map(of_finding)
}

/// The first notice.
pub(super) fn noticed(report: &Report) -> Option<Named<'_>> {
    let mut notices = report.findings.iter().filter(|f| f.role == Role::Warning);
    notices.next().map(of_finding)
}

fn of_finding(finding: &Finding) -> Named<'_> {
    Named {
        cause: finding.cause,
        layer: finding.layer,
        scope: &finding.scope,
        confidence: finding.confidence,
    }
}

fn is_warning(finding: &Finding) -> bool {
    finding.role == Role::Warning && finding.severity != Severity::Notice
}

/// Every difference, in words. Empty: as expected.
pub(crate) fn missed(expect: &ExpectSpec, report: &Report) -> Vec<String> {
    let ExpectSpec {
        verdict,
        cause,
        also,
        layer,
        consequences,
        facts,
        scope,
        confidence_at_most,
        queries_at_most,
        nothing_else,
        services: _,
        incidents: _,
        metrics: _,
        no_target: _,
        agents: _,
        runs: _,
        refused: _,
    } = expect;
    let mut missed = Vec::new();
    // Who expects a cause may expect what is only noticed.
    let got = named(report).or_else(|| match cause {
        Some(Some(_)) => noticed(report),
        Some(None) | None => None,
    });
    if let Some(verdict) = verdict.filter(|v| *v != report.verdict) {
        let (wanted, got) = (verdict.name(), report.verdict.name());
        missed.push(format!("verdict: expected {wanted}, got {got}"));
    }
    if let Some(cause) = cause {
        let (wanted, got) = (code(*cause), code(got.as_ref().map(|n| n.cause)));
        if wanted != got {
            missed.push(format!("cause: expected {wanted}, got {got}"));
        }
    }
    contained("other root", also, &roots_of(report), &mut missed);
    if let Some(layer) = layer {
        let got = got.as_ref().map_or("none", |n| n.layer.name());
        if layer.name() != got {
            missed.push(format!("layer: expected {}, got {got}", layer.name()));
        }
    }
    if let (Some(most), Some(named)) = (confidence_at_most, &got)
        && named.confidence > *most + f64::EPSILON
    {
        missed.push(format!(
            "confidence: expected at most {most}, got {}",
            named.confidence
        ));
    }
    if let Some(most) = queries_at_most.filter(|most| report.queries > *most) {
        let got = report.queries;
        missed.push(format!("queries: expected at most {most}, got {got}"));
    }
    contained(
        "consequence",
        consequences,
        &consequences_of(report),
        &mut missed,
    );
    contained("fact", facts, &facts_of(report), &mut missed);
    if let Some(scope) = scope {
        let empty = Scope::default();
        let got = got.as_ref().map_or(&empty, |n| n.scope);
        compare_scope(scope, got, &mut missed);
    }
    if *nothing_else {
        nothing_besides(expect, report, &mut missed);
    }
    missed
}

fn code(cause: Option<Cause>) -> &'static str {
    cause.map_or("none", Cause::code)
}

fn contained<T: Ord + std::fmt::Display>(
    what: &str,
    wanted: &[T],
    got: &BTreeSet<T>,
    missed: &mut Vec<String>,
) {
    for missing in wanted.iter().filter(|item| !got.contains(item)) {
        let list: Vec<String> = got.iter().map(ToString::to_string).collect();
        let list = if list.is_empty() {
            "none".to_owned()
        } else {
            list.join(", ")
        };
        missed.push(format!("{what}: expected {missing}, got {list}"));
    }
}

fn roots_of(report: &Report) -> BTreeSet<Cause> {
    let roots = report.findings.iter().filter(|f| f.role == Role::Root);
    roots.map(|f| f.cause).collect()
}

fn consequences_of(report: &Report) -> BTreeSet<Cause> {
    let of_diagnosis = report
        .diagnosis
        .iter()
        .flat_map(|d| d.consequences.iter().copied());
    let findings = report
        .findings
        .iter()
        .filter(|f| f.role == Role::Consequence);
    of_diagnosis.chain(findings.map(|f| f.cause)).collect()
}

fn facts_of(report: &Report) -> BTreeSet<bellwether_model::FactKind> {
    let of_diagnosis = report.diagnosis.iter().flat_map(|d| &d.facts);
    let of_findings = report.findings.iter().flat_map(|f| &f.facts);
    of_diagnosis.chain(of_findings).map(|f| f.fact).collect()
}

fn nothing_besides(expect: &ExpectSpec, report: &Report, missed: &mut Vec<String>) {
    let cause = expect.cause.flatten();
    for finding in &report.findings {
        let known = match finding.role {
            Role::Root => Some(finding.cause) == cause || expect.also.contains(&finding.cause),
            Role::Consequence => {
                expect.consequences.contains(&finding.cause) || Some(finding.cause) == cause
            }
            Role::Warning => cause.is_some() || finding.severity == Severity::Notice,
        };
        if !known {
            let role = match finding.role {
                Role::Root => "root",
                Role::Consequence => "consequence",
                Role::Warning => "warning",
            };
            let (cause, summary) = (finding.cause, &finding.summary);
            missed.push(format!("nothing_else: {role} {cause} besides: {summary}"));
        }
    }
    let listed = report.diagnosis.iter().flat_map(|d| &d.consequences);
    for extra in listed.filter(|c| !expect.consequences.contains(c)) {
        let known = report.findings.iter().any(|f| f.cause == *extra);
        if !known {
            missed.push(format!("nothing_else: consequence {extra} besides"));
        }
    }
    if let Some(diagnosis) = &report.diagnosis
        && Some(diagnosis.cause) != cause
        && !report.findings.iter().any(|f| f.cause == diagnosis.cause)
    {
        missed.push(format!(
            "nothing_else: diagnosis {} besides",
            diagnosis.cause
        ));
    }
}

/// Each key of a scope that is expected and differs.
pub(super) fn compare_scope(expect: &ScopeExpect, got: &Scope, missed: &mut Vec<String>) {
    let ScopeExpect { share, since, .. } = expect;
    for (key, wanted, got) in scope_sets(expect, got) {
        if wanted != got {
            missed.push(format!(
                "scope.{key}: expected {}, got {}",
                list(&wanted),
                list(&got)
            ));
        }
    }
    if let Some(share) = share.filter(|s| (s - got.share).abs() > SHARE_TOLERANCE) {
        missed.push(format!("scope.share: expected {share}, got {}", got.share));
    }
    if let Some(since) = since {
        let got = got.since.map_or("null".to_owned(), |t| t.to_string());
        let wanted = since
            .parse::<jiff::Timestamp>()
            .map_or(since.clone(), |t| t.to_string());
        if wanted != got {
            missed.push(format!("scope.since: expected {wanted}, got {got}"));
        }
    }
}

/// Each key of a scope that is expected: its name, what is expected, and what was found.
fn scope_sets(
    expect: &ScopeExpect,
    got: &Scope,
) -> Vec<(&'static str, BTreeSet<String>, BTreeSet<String>)> {
    let ScopeExpect {
        vantages,
        resolvers,
        name_servers,
        addresses,
        families,
        profiles,
        owners,
        share: _,
        since: _,
    } = expect;
    let got_addresses: Vec<String> = got.addresses.iter().map(ToString::to_string).collect();
    let set = |items: &[String]| items.iter().map(|i| normal(i)).collect::<BTreeSet<_>>();
    [
        ("vantages", vantages, &got.vantages),
        ("resolvers", resolvers, &got.resolvers),
        ("name_servers", name_servers, &got.name_servers),
        ("addresses", addresses, &got_addresses),
        ("families", families, &got.families),
        ("profiles", profiles, &got.profiles),
        ("owners", owners, &got.owners),
    ]
    .into_iter()
    .filter_map(|(key, wanted, got)| Some((key, set(wanted.as_ref()?), set(got))))
    .collect()
}

/// How well what a report names agrees with an expected scope: found and right, found and wrong,
/// missed; over all keys that are expected.
pub(super) fn scope_hits(expect: &ScopeExpect, got: Option<&Scope>) -> [usize; 3] {
    let empty = Scope::default();
    let got = got.unwrap_or(&empty);
    let mut hits = [0; 3];
    for (_, wanted, got) in scope_sets(expect, got) {
        hits[0] += got.intersection(&wanted).count();
        hits[1] += got.difference(&wanted).count();
        hits[2] += wanted.difference(&got).count();
    }
    hits
}

fn list(items: &BTreeSet<String>) -> String {
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    format!("[{}]", items.join(", "))
}

/// Names with and without the final dot, and all spellings of an address, are the same.
fn normal(item: &str) -> String {
    if let Some((name, address)) = item.split_once('@') {
        return format!("{}@{}", normal(name), normal(address));
    }
    match item.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => item.trim_end_matches('.').to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let finding = |cause: &str, role: &str, severity: &str| {
            serde_json::json!({ "cause": cause, "layer": "dns", "role": role,
                "severity": severity, "summary": "s", "facts": [] })
        };
        let scope = serde_json::json!({ "vantages": ["local"], "resolvers": ["9.9.9.9"],
            "name_servers": ["ns9.b.test.@192.0.2.1"], "addresses": ["192.0.2.9"],
            "families": ["v4"], "profiles": [], "owners": [], "share": 0.5, "since": null });
        let fact = serde_json::json!({ "fact": "parent_ns_changed", "value": {}, "from": [] });
        serde_json::from_value(serde_json::json!({
            "schema": "bellwether.check/1", "version": "0", "target": "https://a.test/",
            "began": "2024-10-01T11:10:00Z", "took_ms": 1.0, "verdict": "degraded",
            "diagnosis": { "cause": "dns.delegation.wrong_ns", "layer": "dns",
                "severity": "critical", "confidence": 0.9, "summary": "s", "scope": scope,
                "consequences": ["tls.name_mismatch"], "remedy": "", "evidence": [],
                "facts": [fact] },
            "findings": [
                finding("dns.delegation.wrong_ns", "root", "critical"),
                finding("tls.name_mismatch", "consequence", "critical"),
                finding("dns.delegation.lame", "warning", "warning"),
            ],
            "layers": [], "controls": [], "critical_path": 1, "observations": []
        }))
        .unwrap()
    }

    #[track_caller]
    fn check(yaml: &str, expected: &[&str]) {
        let expect: ExpectSpec = serde_saphyr::from_str(yaml).unwrap();
        assert_eq!(missed(&expect, &report()), expected);
    }

    #[test]
    fn as_expected() {
        check("{}", &[]);
        check(
            "{ verdict: degraded, cause: dns.delegation.wrong_ns, consequences: [tls.name_mismatch], \
             facts: [parent_ns_changed], nothing_else: true, \
             scope: { resolvers: [9.9.9.9], name_servers: [NS9.b.test@192.0.2.1], share: 0.5 } }",
            &[],
        );
    }

    #[test]
    fn differences_are_named() {
        check(
            "{ verdict: broken }",
            &["verdict: expected broken, got degraded"],
        );
        check(
            "{ cause: null }",
            &["cause: expected none, got dns.delegation.wrong_ns"],
        );
        check(
            "{ facts: [ns_rcode] }",
            &["fact: expected ns_rcode, got parent_ns_changed"],
        );
        check(
            "{ scope: { resolvers: [8.8.8.8] } }",
            &["scope.resolvers: expected [8.8.8.8], got [9.9.9.9]"],
        );
        check(
            "{ confidence_at_most: 0.7 }",
            &["confidence: expected at most 0.7, got 0.9"],
        );
        check(
            "{ cause: dns.delegation.wrong_ns, nothing_else: true }",
            &["nothing_else: consequence tls.name_mismatch besides: s"],
        );
        check(
            "{ nothing_else: true, consequences: [tls.name_mismatch] }",
            &[
                "nothing_else: root dns.delegation.wrong_ns besides: s",
                "nothing_else: warning dns.delegation.lame besides: s",
            ],
        );
    }
}
